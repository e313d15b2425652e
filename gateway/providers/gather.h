/* gateway/providers/gather.h - makes one whole answer of the events of a stream.
 *
 * The reverse of answer_write_events(): texts, thoughts and their details, refusals, tool calls,
 * logprobs, annotations and audio of each choice are put together from its deltas (openai-chat.md
 * section 6); members of chunks and choices that are not known keep the last value that was no
 * null. For chat completions, completions of a text, and completions between two texts.
 * Pure. Threads: any.
 */
#ifndef GATEWAY_PROVIDERS_GATHER_H
#define GATEWAY_PROVIDERS_GATHER_H

#include "gateway/providers/tongue.h"

/* Appends the answer. events: "data: {…}\n\n" …, comments and [DONE] are passed over. usage: its
 * usage object; empty = the one of the events, if any. ERR_UPSTREAM_INVALID: no chunk, an error
 * event, or a choice without a finish reason; ERR_NO_MEMORY. */
MUST_CHECK enum err_code gather_events(
	struct slice events, struct slice usage, struct buf *out, struct err *e);

/* Appends the chunk that tells usage, for a stream whose events these are. */
void gather_usage_chunk(struct slice events, struct slice usage, struct buf *out);

#endif
