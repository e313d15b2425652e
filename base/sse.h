/* base/sse.h - server-sent events, read from bytes cut anywhere.
 * Rules: WHATWG HTML section 9.2 as read in openai-chat.md section 15.1: LF, CR LF or CR end a
 * line, one BOM is skipped, data lines are joined by LF, id and retry are ignored, a comment
 * is no event (but proves that the sender lives), an unterminated last event is dispatched by
 * sse_end().
 *
 * Ownership: the parser keeps at most one event in its buffer; sse_fini() frees it. An event
 *            that arrives whole in one feed is lent straight from the caller's bytes.
 * Threads:   one at a time.
 */
#ifndef BASE_SSE_H
#define BASE_SSE_H

#include "base/buf.h"

#define SSE_PAST_BOM 4u

struct sse_event {
	struct slice name; /* of the "event:" line; empty when there was none */
	struct slice data; /* data lines joined by LF; never empty */
};

/* Receives an event, valid during the call; anything but ERR_OK stops the feed. */
typedef enum err_code (*sse_on_event)(void *ctx, const struct sse_event *ev, struct err *e);

struct sse {
	struct buf line;        /* the line being read, when it began in an earlier feed */
	struct buf data;        /* data lines so far */
	char name[64];          /* event name so far; longer names are cut */
	size_t max_event_bytes; /* ceiling on one event and on one line */
	uint64_t comments;      /* comment lines seen */
	unsigned bom;           /* bytes of a BOM seen at the start, 0..2, then SSE_PAST_BOM */
	bool has_data;
	bool skip_lf; /* the last feed ended in CR */
};

/* max_event_bytes 1..1 GiB. */
void sse_init(struct sse *s, size_t max_event_bytes);
void sse_fini(struct sse *s);

/* Feeds n bytes. ERR_UPSTREAM_TOO_LARGE when an event or line exceeds the ceiling; otherwise
 * what on_event returned. Events with empty data are skipped. */
MUST_CHECK enum err_code sse_feed(struct sse *s, const char *bytes, size_t n, sse_on_event on_event,
	void *ctx, struct err *e);

/* The stream has ended: dispatches what is left as a last event. *partial says whether
 * something was left that had not been ended by an empty line (comments and unknown lines that
 * are whole do not count). The parser is then ready for another stream. */
MUST_CHECK enum err_code sse_end(
	struct sse *s, sse_on_event on_event, void *ctx, bool *partial, struct err *e);

#endif
