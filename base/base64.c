#include "base/base64.h"

static const char url_letters[] =
	"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* Appends the letters; returns how many bytes stood behind the last whole group of three. */
static size_t write(struct slice bytes, const char *with, struct buf *out)
{
	const uint8_t *from = (const uint8_t *)bytes.ptr;
	size_t rest = bytes.len % 3, whole = bytes.len - rest, n = 0;
	char *to = buf_room(out, bytes.len / 3 * 4 + 4);

	if (!to)
		return 0;
	for (size_t i = 0; i < whole; i += 3) {
		uint32_t group = (uint32_t)(from[i] << 16 | from[i + 1] << 8 | from[i + 2]);

		to[n++] = with[group >> 18];
		to[n++] = with[group >> 12 & 63];
		to[n++] = with[group >> 6 & 63];
		to[n++] = with[group & 63];
	}
	if (rest) {
		uint32_t group =
			(uint32_t)(from[whole] << 16 | (rest > 1 ? from[whole + 1] << 8 : 0));

		to[n++] = with[group >> 18];
		to[n++] = with[group >> 12 & 63];
		if (rest > 1)
			to[n++] = with[group >> 6 & 63];
	}
	buf_commit(out, n);
	return rest;
}

void base64_url_write(struct slice bytes, struct buf *out)
{
	(void)write(bytes, url_letters, out);
}

void base64_write(struct slice bytes, struct buf *out)
{
	size_t rest = write(bytes, letters, out);

	if (rest)
		buf_append(out, "==", 3 - rest);
}

static int value(char c, char last_but_one, char last)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	if (c == last_but_one)
		return 62;
	return c == last ? 63 : -1;
}

static bool read(struct slice text, char last_but_one, char last, struct buf *out)
{
	char *room;
	uint32_t group = 0;
	unsigned bits = 0;
	size_t n = 0;

	if (text.len % 4 == 1)
		return false;
	room = buf_room(out, text.len / 4 * 3 + text.len % 4 * 3 / 4);
	if (!room)
		return false;
	for (size_t i = 0; i < text.len; i++) {
		int six = value(text.ptr[i], last_but_one, last);

		if (six < 0)
			return false;
		group = group << 6 | (uint32_t)six;
		bits += 6;
		if (bits >= 8) {
			bits -= 8;
			room[n++] = (char)(group >> bits & 255);
		}
	}
	/* Bits behind the last byte would give the same bytes a second spelling. */
	if (group & ((1u << bits) - 1))
		return false;
	buf_commit(out, n);
	return true;
}

bool base64_url_read(struct slice text, struct buf *out)
{
	return read(text, '-', '_', out);
}

bool base64_read(struct slice text, struct buf *out)
{
	if (text.len % 4)
		return false;
	for (int i = 0; i < 2 && text.len && text.ptr[text.len - 1] == '='; i++)
		text.len--;
	return read(text, '+', '/', out);
}
