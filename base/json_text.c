#include "base/json_text.h"

static unsigned utf8_put(unsigned code, unsigned char out[4])
{
	if (code < 0x80) {
		out[0] = (unsigned char)code;
		return 1;
	}
	if (code < 0x800) {
		out[0] = (unsigned char)(0xc0 | code >> 6);
		out[1] = (unsigned char)(0x80 | (code & 0x3f));
		return 2;
	}
	if (code < 0x10000) {
		out[0] = (unsigned char)(0xe0 | code >> 12);
		out[1] = (unsigned char)(0x80 | (code >> 6 & 0x3f));
		out[2] = (unsigned char)(0x80 | (code & 0x3f));
		return 3;
	}
	out[0] = (unsigned char)(0xf0 | code >> 18);
	out[1] = (unsigned char)(0x80 | (code >> 12 & 0x3f));
	out[2] = (unsigned char)(0x80 | (code >> 6 & 0x3f));
	out[3] = (unsigned char)(0x80 | (code & 0x3f));
	return 4;
}

unsigned json_text_unescape(const char **p, const char *end, unsigned char out[4])
{
	static const char from[] = "bfnrt", to[] = "\b\f\n\r\t";
	const char *at = *p, *simple;
	unsigned unit, low;

	if (end - at < 2) { /* unvalidated text only, as every doubt below */
		*p = end;
		out[0] = '\\';
		return 1;
	}
	*p = at + 2;
	if (at[1] != 'u' || !json_text_hex4(at + 2, end, &unit)) {
		simple = memchr(from, at[1], sizeof(from) - 1);
		out[0] = (unsigned char)(simple ? to[simple - from] : at[1]);
		return 1;
	}
	*p = at + 6;
	if (json_text_is_high(unit) && end - at >= 12 && at[6] == '\\' && at[7] == 'u' &&
		json_text_hex4(at + 8, end, &low) && json_text_is_low(low)) {
		*p = at + 12;
		unit = 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
	}
	return utf8_put(unit, out);
}

int json_text_next(struct json_spelling *s)
{
	if (s->given < s->n)
		return s->out[s->given++];
	if (s->p == s->end)
		return -1;
	if (*s->p != '\\')
		return (unsigned char)*s->p++;
	s->n = json_text_unescape(&s->p, s->end, s->out);
	s->given = 1;
	return s->out[0];
}

bool json_text_spells(struct slice inner, const char *s)
{
	struct json_spelling a = { .p = inner.ptr, .end = inner.ptr + inner.len };
	size_t n = strlen(s);

	for (size_t i = 0; i < n; i++)
		if (json_text_next(&a) != (unsigned char)s[i])
			return false;
	return json_text_next(&a) < 0;
}
