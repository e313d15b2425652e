/* gateway/providers/splice.h - a text with a few pieces replaced: noted while it is read, made in
 * one pass at the end, so that what nobody touches is copied once and never parsed again.
 *
 * { 0 } is a valid empty splice. Pieces must not overlap; they may come in any order.
 * Ownership: the pieces point into the caller's text, which must live until splice_write.
 */
#ifndef GATEWAY_PROVIDERS_SPLICE_H
#define GATEWAY_PROVIDERS_SPLICE_H

#include "base/buf.h"

struct splice {
	struct buf edits; /* of struct edit, ordered by place */
	struct buf text;  /* what is put in: append here, then call splice_put */
};

/* Forgets everything; max_bytes is the ceiling of what may be put in. */
void splice_reset(struct splice *s, size_t max_bytes);
void splice_fini(struct splice *s);

static inline bool splice_is_empty(const struct splice *s)
{
	return !s->edits.len && !s->edits.failed;
}

/* Replaces what (of length 0: inserts before it) by all that stands in s->text from byte from on.
 */
void splice_put(struct splice *s, struct slice what, size_t from);
void splice_str(struct splice *s, struct slice what, const char *with);

/* Appends text with its replacements; out fails when they did not fit. */
void splice_write(const struct splice *s, struct slice text, struct buf *out);

#endif
