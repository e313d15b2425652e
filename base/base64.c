#include "base/base64.h"

static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

void base64_url_write(struct slice bytes, struct buf *out)
{
	const uint8_t *from = (const uint8_t *)bytes.ptr;
	uint32_t group = 0;
	unsigned bits = 0;

	for (size_t i = 0; i < bytes.len; i++) {
		group = group << 8 | from[i];
		bits += 8;
		while (bits >= 6) {
			bits -= 6;
			buf_char(out, letters[group >> bits & 63]);
		}
	}
	if (bits)
		buf_char(out, letters[group << (6 - bits) & 63]);
}

static int value(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	if (c == '-')
		return 62;
	return c == '_' ? 63 : -1;
}

bool base64_url_read(struct slice text, struct buf *out)
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
		int six = value(text.ptr[i]);

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
