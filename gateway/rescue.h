/* gateway/rescue.h - goes on with a stream whose provider died after text had gone out, so that the
 * client sees one answer.
 *
 * While a stream runs, `said` keeps what the client has: the text of choice 0, and how far tool
 * calls and thoughts went. When it dies there are two ways:
 *
 *   continue   a request with the delivered text as the last message, the assistant's, is sent to
 *              a model that goes on from it; its text is simply the rest
 *   splice     the request is sent again as it was; its answer is compared with what was said and
 *              held back, and goes on where the said text ends, if it begins with exactly that
 *
 * Either way the new attempt's chunks are rewritten to the id, created and role of the first.
 * Thoughts that the client has are not compared; thoughts of the new attempt are left out once
 * any text went out. Tool calls half said are never continued, and spliced only when name and
 * arguments begin alike (ids may differ: the client keeps the first).
 * Pure. Chunks are chat.completion.chunk objects as dialects make them, validated JSON.
 */
#ifndef GATEWAY_RESCUE_H
#define GATEWAY_RESCUE_H

#include "gateway/providers/tongue.h"

#define SAID_MAX ((size_t)1 << 20) /* bytes kept; an answer beyond it is not rescued */

struct said; /* NULL is a valid one of which nothing is known */

/* Notes a chunk that goes to the client. *s is made at the first call. Without memory, or above
 * SAID_MAX, the answer is marked as not to be rescued. Costs well under a microsecond. */
void said_note(struct said **s, struct slice chunk);
void said_fini(struct said **s); /* *s becomes NULL */

size_t said_text_bytes(const struct said *s); /* decoded text of choice 0 */

enum rescue_way {
	RESCUE_BY_NONE,
	RESCUE_BY_CONTINUE,
	RESCUE_BY_SPLICE,
};

/* Which ways are sound for what was said: only n = 1; continuing only plain text (no tool call, no
 * refusal, no response_format with a schema, no logprobs, no audio), not blank. */
bool rescue_can(const struct said *s, const struct chat_req *req, enum rescue_way way);

/* Does this model go on from an assistant's message that comes last? By the catalogue's and the
 * quirks' word (capability "prefill" of the model; the provider's way of marking it). */
bool rescue_takes_prefill(const struct target *t);

/* Writes the request's body with the said text as the assistant's last message (appended to one
 * that is there already), max tokens lessened by a count of what was said, at least 1.
 * ERR_NO_MEMORY and what chat_parse() would refuse never happens for a valid request. */
MUST_CHECK enum err_code rescue_continue_body(
	const struct chat_req *req, const struct said *s, struct buf *out, struct err *e);

/* The state of a rescue: one for each new attempt. */
struct rescue;
MUST_CHECK struct rescue *rescue_begin(const struct said *s, enum rescue_way way); /* NULL: no
										    * memory */
void rescue_fini(struct rescue *r);

enum rescue_take {
	RESCUE_HOLD,    /* nothing for the client: it has this already */
	RESCUE_PASS,    /* *out is for the client */
	RESCUE_DIFFERS, /* another answer: this attempt is of no use */
};
/* Takes a chunk of the new attempt. *out is valid until the next call. */
enum rescue_take rescue_chunk(struct rescue *r, struct slice chunk, struct slice *out);

/* The stream has ended well: has all that was said come again? For splices; else true. */
bool rescue_is_whole(const struct rescue *r);

#endif
