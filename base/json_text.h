/* base/json_text.h - the characters of JSON: what json_scan.c, json_keys.c and json_value.c
 * have in common. Not for others.
 *
 * Everything stays between p and end, also on text that was never validated.
 */
#ifndef BASE_JSON_TEXT_H
#define BASE_JSON_TEXT_H

#include "base/json_scan.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

static inline bool json_text_is_special(char c, bool strict)
{
	return c == '"' || c == '\\' ||
	       (strict && ((unsigned char)c < 0x20 || (unsigned char)c >= 0x80));
}

/* The first byte inside a string that needs a look: a quote or backslash and, when strict, a
 * control byte or the lead of a UTF-8 sequence; else end. */
static inline const char *json_text_special(const char *p, const char *end, bool strict)
{
#ifdef __SSE2__
	while (end - p >= 16) {
		__m128i v = _mm_loadu_si128((const __m128i *)(const void *)p);
		__m128i hit = _mm_or_si128(_mm_cmpeq_epi8(v, _mm_set1_epi8('"')),
			_mm_cmpeq_epi8(v, _mm_set1_epi8('\\')));
		int mask;

		if (strict) /* signed compare: bytes from 0x80 up count as negative */
			hit = _mm_or_si128(hit, _mm_cmplt_epi8(v, _mm_set1_epi8(0x20)));
		mask = _mm_movemask_epi8(hit);
		if (mask)
			return p + __builtin_ctz((unsigned)mask);
		p += 16;
	}
#else
	const uint64_t ones = UINT64_C(0x0101010101010101);

	while (end - p >= 8) {
		uint64_t w, quote, slash, hit;

		memcpy(&w, p, sizeof(w));
		quote = w ^ (ones * '"');
		slash = w ^ (ones * '\\');
		hit = ((quote - ones) & ~quote) | ((slash - ones) & ~slash);
		if (strict)
			hit |= (w - ones * 0x20) | w;
		/* Borrows blur where in the word the hit is, but only a true one starts them. */
		if (hit & (ones * 0x80))
			break;
		p += 8;
	}
#endif
	while (p < end && !json_text_is_special(*p, strict))
		p++;
	return p;
}

static inline const char *json_text_blanks(const char *p, const char *end)
{
	while (p < end && (*p == ' ' || *p == '\n' || *p == '\r' || *p == '\t'))
		p++;
	return p;
}

static inline bool json_text_is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static inline const char *json_text_digits(const char *p, const char *end)
{
	while (p < end && json_text_is_digit(*p))
		p++;
	return p;
}

static inline bool json_text_hex4(const char *p, const char *end, unsigned *out)
{
	unsigned n = 0;

	if (end - p < 4)
		return false;
	for (int i = 0; i < 4; i++) {
		char c = p[i];

		if (json_text_is_digit(c))
			n = n << 4 | (unsigned)(c - '0');
		else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
			n = n << 4 | (unsigned)((c | 0x20) - 'a' + 10);
		else
			return false;
	}
	*out = n;
	return true;
}

static inline bool json_text_is_high(unsigned unit)
{
	return unit >= 0xd800 && unit <= 0xdbff;
}

static inline bool json_text_is_low(unsigned unit)
{
	return unit >= 0xdc00 && unit <= 0xdfff;
}

static inline enum json_kind json_text_kind(char c)
{
	switch (c) {
	case '{':
		return JSON_OBJECT;
	case '[':
		return JSON_ARRAY;
	case '"':
		return JSON_STRING;
	case 't':
	case 'f':
		return JSON_BOOL;
	case 'n':
		return JSON_NULL;
	default:
		return c == '-' || json_text_is_digit(c) ? JSON_NUMBER : JSON_ABSENT;
	}
}

/* Decodes the escape at *p and steps over it. Returns 1..4 bytes. */
unsigned json_text_unescape(const char **p, const char *end, unsigned char out[4]);

/* What a string spells, byte by byte. Set p and end to what is between its quotes. */
struct json_spelling {
	const char *p, *end;
	unsigned char out[4]; /* of the last escape */
	unsigned n, given;
};

/* The next byte, or -1. */
int json_text_next(struct json_spelling *s);

/* Does a string, given without its quotes, spell s? */
bool json_text_spells(struct slice inner, const char *s);

#endif
