/* base/buf.h - bytes that grow up to a ceiling.
 *
 * A failed append (ceiling reached, no memory) is remembered: the buffer keeps what it had,
 * every later append does nothing, and buf_ok() is false. So a writer appends freely and
 * checks once, at the end.
 *
 * { 0 } is a valid empty buffer with the ceiling BUF_MAX_DEFAULT.
 * Ownership: the struct is the caller's, buf_fini() frees the bytes. Not locked.
 */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include "base/str.h"

#define BUF_MAX_DEFAULT ((size_t)16 << 20) /* bytes, when max_bytes is 0 */

struct buf {
	char *data; /* NULL while nothing was ever appended; no NUL at the end */
	size_t len;
	size_t cap;
	size_t max_bytes; /* ceiling on len; 0 = BUF_MAX_DEFAULT */
	bool failed;
};

void buf_init(struct buf *b, size_t max_bytes);
void buf_fini(struct buf *b);  /* frees, and leaves a valid empty buffer with the same ceiling */
void buf_reset(struct buf *b); /* forgets the content and a failure, keeps the memory */

static inline bool buf_ok(const struct buf *b)
{
	return !b->failed;
}

static inline struct slice buf_slice(const struct buf *b)
{
	return (struct slice){ b->data ? b->data : "", b->len };
}

/* A buffer in room of the caller's, of at least 2 bytes: it fails instead of growing, and is not to
 * be ended. One byte is kept for a NUL. */
static inline struct buf buf_over(char *room, size_t size)
{
	return (struct buf){ .data = room, .cap = size, .max_bytes = size - 1 };
}

/* The way of an append that needs memory, or fails; called by the next four only. */
void buf_append_growing(struct buf *b, const void *bytes, size_t n);

/* These four are on every byte's path, so the common case is here. */
static inline void buf_append(struct buf *b, const void *bytes, size_t n)
{
	if (!b->data || b->failed || n >= b->cap - b->len) {
		buf_append_growing(b, bytes, n);
		return;
	}
	memcpy(b->data + b->len, bytes, n);
	b->len += n;
}
static inline void buf_slice_append(struct buf *b, struct slice s)
{
	if (s.len)
		buf_append(b, s.ptr, s.len);
}
static inline void buf_str(struct buf *b, const char *s)
{
	buf_append(b, s, strlen(s));
}
static inline void buf_char(struct buf *b, char c)
{
	buf_append(b, &c, 1);
}

void buf_printf(struct buf *b, const char *format, ...) PRINTF_LIKE(2, 3);
void buf_vprintf(struct buf *b, const char *format, va_list args) PRINTF_LIKE(2, 0);
void buf_int(struct buf *b, int64_t n);

/* Appends s as a JSON string with its quotes. Bad UTF-8 becomes U+FFFD, so the result is
 * always valid JSON. "/" and non-ASCII text are left as they are. */
void buf_json_str(struct buf *b, struct slice s);
void buf_json_cstr(struct buf *b, const char *s); /* NULL becomes null */

/* Makes room for n more bytes and lends them (valid until the next call on b), or NULL and
 * failed. buf_commit says how many of them were filled. */
MUST_CHECK char *buf_room(struct buf *b, size_t n);
void buf_commit(struct buf *b, size_t n);

/* Drops the first n bytes (n is capped at len). */
void buf_drop(struct buf *b, size_t n);

/* The content with a NUL behind it (not counted in len), or NULL when failed. */
MUST_CHECK char *buf_cstr(struct buf *b);

#endif
