/* base/str.h - pieces of text that know their length, and strict readers of numbers.
 *
 * A slice points into memory that somebody else owns and is valid as long as that memory.
 * It need not end in NUL and may contain NUL. Nothing here allocates.
 */
#ifndef BASE_STR_H
#define BASE_STR_H

#include "base/err.h"

#include <stddef.h>
#include <string.h>

struct slice {
	const char *ptr;
	size_t len;
};

#define SLICE(literal) ((struct slice){ "" literal, sizeof(literal) - 1 })
#define SLICE_ARG(s)   (int)((s).len > 4096 ? 4096 : (s).len), (s).ptr /* for "%.*s" */

static inline struct slice slice_of(const char *s)
{
	return (struct slice){ s, s ? strlen(s) : 0 };
}

bool slice_eq(struct slice a, struct slice b);

/* Exact; b = NULL is "". Here, because names are looked for in lists: most differ in the first
 * byte. */
static inline bool slice_is(struct slice a, const char *b)
{
	if (!a.len || !b)
		return !a.len && (!b || !*b);
	return *a.ptr == *b && a.len == strlen(b) && memcmp(a.ptr, b, a.len) == 0;
}
bool slice_is_nocase(struct slice a, const char *b);   /* ASCII letters only */
bool slice_starts(struct slice a, const char *prefix); /* exact */
bool slice_starts_nocase(struct slice a, const char *prefix);
bool slice_ends(struct slice a, const char *suffix);
struct slice slice_trim(struct slice a);            /* blanks, tabs, CR, LF at both ends */
struct slice slice_from(struct slice a, size_t n);  /* without the first n bytes (n is capped) */
struct slice slice_first(struct slice a, size_t n); /* the first n bytes (n is capped) */

/* Cuts *rest at the first byte c: returns what is before it and leaves what is behind it in
 * *rest; without c returns all and empties *rest (ptr becomes NULL). */
struct slice slice_cut(struct slice *rest, char c);

/* Copies a into dst (size bytes, NUL included); false, and dst is "", if it does not fit or
 * holds a NUL. */
MUST_CHECK bool slice_copy(struct slice a, char *dst, size_t size);

/* Copies as much as fits and ends it with NUL, cutting at a UTF-8 boundary. */
void str_copy_cut(char *dst, size_t size, const char *src);

/* A whole decimal number, optional '-', nothing else; false outside min..max, *out untouched. */
MUST_CHECK bool str_int(struct slice a, int64_t min, int64_t max, int64_t *out);

/* "250ms", "10s", "5m", "2h", "7d", or "0"; a bare number means seconds. In milliseconds. */
MUST_CHECK bool str_duration(struct slice a, int64_t *out_ms);

/* "512", "64k", "32m", "1g", also "64KiB" spellings; powers of 1,024. In bytes. */
MUST_CHECK bool str_size(struct slice a, int64_t *out_bytes);

/* on/off, true/false, yes/no, 1/0, without regard to case. */
MUST_CHECK bool str_bool(struct slice a, bool *out);

/* Is a well-formed UTF-8 (RFC 3629: no surrogates, nothing above U+10FFFF, no overlong form)?
 * *bad (may be NULL) is the offset of the first byte of the first bad sequence. */
bool utf8_is_valid(struct slice a, size_t *bad);

/* The length of a without an incomplete UTF-8 sequence at its very end (0..3 bytes less). */
size_t utf8_whole(struct slice a);

#endif
