/* gateway/providers/tool_calls.h - puts right the tool calls of providers that nearly speak OpenAI.
 *
 * In a stream the first piece of a call carries index, id, type and name, every later piece only
 * index and a bit of arguments (openai-chat.md section 8.4). Providers leave the index out, repeat
 * id, type and name, or send arguments as an object (gotcha 6): their pieces are written anew. A
 * piece that is right is left alone.
 *
 * Ownership: tool_calls_free() frees the state.
 */
#ifndef GATEWAY_PROVIDERS_TOOL_CALLS_H
#define GATEWAY_PROVIDERS_TOOL_CALLS_H

#include "base/json_scan.h"

#define CALLS_MAX 1024u /* of one answer */

struct tool_calls; /* the calls seen so far in all choices of a stream; NULL = none */

/* A "tool_calls" array of one choice. */
struct tool_pieces {
	struct json_value array;
	unsigned choice;
	bool whole;     /* of a message, not of a delta: every piece is a call, without index */
	const char *id; /* of the answer: ids that are missing are made from it */
};

/* Takes note of the calls. true: they are right as they stand; false: nothing was noted, use
 * tool_calls_write. *text_bytes grows by the length of names and arguments. */
bool tool_calls_take(struct tool_calls **calls, const struct tool_pieces *p, size_t *text_bytes);

/* Takes note of the calls and appends them as they should be. false: too many calls. */
MUST_CHECK bool tool_calls_write(
	struct tool_calls **calls, const struct tool_pieces *p, struct buf *out);

void tool_calls_free(struct tool_calls *calls);

#endif
