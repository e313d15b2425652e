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
 * Either way the new attempt's chunks are rewritten to the id, created, model and role of the
 * first. Thoughts that the client has are not compared; thoughts of the new attempt are left out
 * once any text or call went out, but for what a provider hides beside a call that is new. Where
 * only thoughts went out, those of the new attempt follow, numbered behind them. Tool calls half
 * said are never continued, and spliced only when name and arguments begin alike (ids may differ:
 * the client keeps the first).
 *
 * Texts are compared decoded. Nothing new goes out before all that was said has come again: an
 * attempt that differs has not been seen by the client.
 *
 * Blanks. Some refuse an assistant's message that ends in blanks, so it is sent without them
 * everywhere. The client has them: as far as the rest begins with the same ones they are left out.
 *
 * Repetitions. Some begin their answer with the text that they were to go on with. Where a provider
 * is known to (quirks: repeats_prefill), and where the new text begins with all of a said text that
 * is too long for chance, the repetition is held back. A text that begins with a good part of
 * what was said and then differs is an answer begun anew: RESCUE_DIFFERS.
 *
 * Pure. Chunks are chat.completion.chunk objects as dialects make them, validated JSON.
 * Threads: a said or rescue is used by one at a time. Ownership: rescue_begin() borrows the said,
 *          which may be noted on while the rescue goes on.
 */
#ifndef GATEWAY_RESCUE_H
#define GATEWAY_RESCUE_H

#include "gateway/providers/tongue.h"

#define SAID_MAX ((size_t)1 << 20) /* bytes kept; an answer beyond it is not rescued */

struct said; /* NULL is a valid one: nothing was said */

/* Notes a chunk that goes to the client. *s is made at the first call. Without memory, or above
 * SAID_MAX, the answer is marked as not to be rescued. A chunk that is like the one before but for
 * its text costs some 0.05 microseconds, another one less than one. */
void said_note(struct said **s, struct slice chunk);
void said_fini(struct said **s); /* *s becomes NULL */

size_t said_text_bytes(const struct said *s); /* decoded text of choice 0 */

enum rescue_way {
	RESCUE_BY_NONE,
	RESCUE_BY_CONTINUE,
	RESCUE_BY_SPLICE,
};

/* Which ways are sound for what was said. Neither: more than one choice; a finish reason that is
 * out; a refusal, image, sound, citation or anything else that is no text, thought or call of a
 * function. Continuing only words: not blank, no call, no response_format but text, no logprobs,
 * no audio, no tool that must be called. */
bool rescue_can(const struct said *s, const struct chat_req *req, enum rescue_way way);

/* Does this model go on from an assistant's message that comes last? By the catalogue's and the
 * quirks' word (capability "prefill" of the model; the provider's way of marking it). */
bool rescue_takes_prefill(const struct target *t);

/* Writes the request's body with the said text as the assistant's last message (appended to one
 * that is there already), max tokens lessened by a count of what was said, at least 1, and thinking
 * switched off if it was asked for or seen: who thinks does not go on with a text, and what was to
 * be thought was. Only for what rescue_can() allows. ERR_NO_MEMORY and what chat_parse() would
 * refuse never happens for a valid request. */
MUST_CHECK enum err_code rescue_continue_body(
	const struct chat_req *req, const struct said *s, struct buf *out, struct err *e);

/* The state of a rescue: one for each new attempt. */
struct rescue;
/* NULL: no memory. */
MUST_CHECK struct rescue *rescue_begin(const struct said *s, enum rescue_way way);
/* Says who goes on, before the first chunk; see repetitions above. */
void rescue_tell(struct rescue *r, const struct target *t);
void rescue_fini(struct rescue *r); /* may be NULL */

enum rescue_take {
	RESCUE_HOLD,    /* nothing for the client: it has this already */
	RESCUE_PASS,    /* *out is for the client */
	RESCUE_DIFFERS, /* another answer, or no memory: this attempt is of no use */
};
/* Takes a chunk of the new attempt. *out is valid until the next call, or as long as chunk. */
enum rescue_take rescue_chunk(struct rescue *r, struct slice chunk, struct slice *out);

/* The stream has ended well: has all that was said come again? For splices; else true. */
bool rescue_is_whole(const struct rescue *r);

#endif
