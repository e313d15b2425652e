#include "base/buf.h"

#include <stdio.h>
#include <stdlib.h>

void buf_init(struct buf *b, size_t max_bytes)
{
	*b = (struct buf){ .max_bytes = max_bytes };
}

void buf_fini(struct buf *b)
{
	free(b->data);
	*b = (struct buf){ .max_bytes = b->max_bytes };
}

void buf_reset(struct buf *b)
{
	b->len = 0;
	b->failed = false;
}

/* Room for n more bytes below the ceiling, and one that does not count for a NUL. */
static bool grow(struct buf *b, size_t n)
{
	size_t max = b->max_bytes ? b->max_bytes : BUF_MAX_DEFAULT;
	size_t cap = b->cap;
	char *data;

	if (max > SIZE_MAX / 2) /* no memory has more, and doubling stays within size_t */
		max = SIZE_MAX / 2;
	if (b->failed)
		return false;
	if (n > max - b->len) { /* len <= max always */
		b->failed = true;
		return false;
	}
	if (b->data && n < cap - b->len)
		return true;
	/* Doubling keeps appends linear; the last step goes straight to the ceiling. There is never
	 * room for more than the ceiling and a NUL, so who finds room need not look at it. */
	if (cap < 64)
		cap = 64;
	while (cap - b->len <= n && cap <= max)
		cap *= cap < 256 ? 4 : 2;
	if (cap > max + 1)
		cap = max + 1;
	data = realloc(b->data, cap);
	if (!data) {
		b->failed = true;
		return false;
	}
	b->data = data;
	b->cap = cap;
	return true;
}

char *buf_room(struct buf *b, size_t n)
{
	return grow(b, n) ? b->data + b->len : NULL;
}

void buf_commit(struct buf *b, size_t n)
{
	b->len += n;
}

void buf_append_growing(struct buf *b, const void *bytes, size_t n)
{
	if (!n || !grow(b, n))
		return;
	memcpy(b->data + b->len, bytes, n);
	b->len += n;
}

void buf_vprintf(struct buf *b, const char *format, va_list args)
{
	char small[256];
	va_list again;
	int n;
	char *room;

	va_copy(again, args);
	n = vsnprintf(small, sizeof(small), format, args);
	if (n < 0) {
		b->failed = true;
	} else if ((size_t)n < sizeof(small)) {
		buf_append(b, small, (size_t)n);
	} else {
		room = buf_room(b, (size_t)n);
		if (room) {
			vsnprintf(room, (size_t)n + 1, format, again);
			buf_commit(b, (size_t)n);
		}
	}
	va_end(again);
}

void buf_printf(struct buf *b, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	buf_vprintf(b, format, args);
	va_end(args);
}

void buf_int(struct buf *b, int64_t n)
{
	char digits[24];
	size_t at = sizeof(digits);
	uint64_t rest = n < 0 ? 0 - (uint64_t)n : (uint64_t)n;

	do
		digits[--at] = (char)('0' + rest % 10);
	while (rest /= 10);
	if (n < 0)
		digits[--at] = '-';
	buf_append(b, digits + at, sizeof(digits) - at);
}

void buf_json_str(struct buf *b, struct slice s)
{
	static const char hex[] = "0123456789abcdef";
	size_t bad;

	buf_char(b, '"');
	while (s.len) {
		struct slice good = s;

		if (!utf8_is_valid(s, &bad))
			good.len = bad;
		s = slice_from(s, good.len);
		while (good.len) {
			size_t n = 0;
			unsigned char c;

			while (n < good.len && (unsigned char)good.ptr[n] >= 0x20 &&
				good.ptr[n] != '"' && good.ptr[n] != '\\' && good.ptr[n] != 0x7f)
				n++;
			buf_append(b, good.ptr, n);
			good = slice_from(good, n);
			if (!good.len)
				break;
			c = (unsigned char)good.ptr[0];
			good = slice_from(good, 1);
			if (c == '"' || c == '\\')
				buf_append(b, (char[2]){ '\\', (char)c }, 2);
			else if (c == '\n')
				buf_str(b, "\\n");
			else if (c == '\t')
				buf_str(b, "\\t");
			else if (c == '\r')
				buf_str(b, "\\r");
			else
				buf_append(b,
					(char[6]){ '\\', 'u', '0', '0', hex[c >> 4], hex[c & 15] },
					6);
		}
		if (s.len) {
			buf_str(b, "\xef\xbf\xbd");
			s = slice_from(s, 1);
		}
	}
	buf_char(b, '"');
}

void buf_json_cstr(struct buf *b, const char *s)
{
	if (s)
		buf_json_str(b, slice_of(s));
	else
		buf_str(b, "null");
}

void buf_drop(struct buf *b, size_t n)
{
	if (n > b->len)
		n = b->len;
	if (n && n < b->len)
		memmove(b->data, b->data + n, b->len - n);
	b->len -= n;
}

char *buf_cstr(struct buf *b)
{
	char *end = buf_room(b, 0);

	if (!end)
		return NULL;
	*end = '\0';
	return b->data;
}
