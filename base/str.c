#include "base/str.h"

bool slice_eq(struct slice a, struct slice b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

static char lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static bool same_nocase(const char *a, const char *b, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (lower(a[i]) != lower(b[i]))
			return false;
	return true;
}

bool slice_is_nocase(struct slice a, const char *b)
{
	/* As in slice_is(): bit 5 is all that two letters differ in. */
	if (a.len && (*a.ptr ^ *b) & ~0x20)
		return false;
	return a.len == strlen(b) && same_nocase(a.ptr, b, a.len);
}

bool slice_starts(struct slice a, const char *prefix)
{
	size_t n = strlen(prefix);

	return !n || (a.len >= n && memcmp(a.ptr, prefix, n) == 0);
}

bool slice_starts_nocase(struct slice a, const char *prefix)
{
	size_t n = strlen(prefix);

	return a.len >= n && same_nocase(a.ptr, prefix, n);
}

bool slice_ends(struct slice a, const char *suffix)
{
	size_t n = strlen(suffix);

	return !n || (a.len >= n && memcmp(a.ptr + a.len - n, suffix, n) == 0);
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

struct slice slice_trim(struct slice a)
{
	while (a.len && is_blank(a.ptr[0]))
		a = slice_from(a, 1);
	while (a.len && is_blank(a.ptr[a.len - 1]))
		a.len--;
	return a;
}

struct slice slice_from(struct slice a, size_t n)
{
	if (n > a.len)
		n = a.len;
	return (struct slice){ a.ptr ? a.ptr + n : NULL, a.len - n };
}

struct slice slice_first(struct slice a, size_t n)
{
	if (n < a.len)
		a.len = n;
	return a;
}

struct slice slice_cut(struct slice *rest, char c)
{
	struct slice all = *rest, head = all;
	const char *at = all.len ? memchr(all.ptr, c, all.len) : NULL;

	if (!at) {
		*rest = (struct slice){ NULL, 0 };
		return all;
	}
	head.len = (size_t)(at - all.ptr);
	*rest = slice_from(all, head.len + 1);
	return head;
}

bool slice_copy(struct slice a, char *dst, size_t size)
{
	dst[0] = '\0';
	if (a.len >= size || (a.len && memchr(a.ptr, '\0', a.len)))
		return false;
	if (a.len)
		memcpy(dst, a.ptr, a.len);
	dst[a.len] = '\0';
	return true;
}

void str_copy_cut(char *dst, size_t size, const char *src)
{
	struct slice s = slice_of(src);

	if (s.len >= size)
		s.len = utf8_whole(slice_first(s, size - 1));
	if (s.len)
		memcpy(dst, s.ptr, s.len);
	dst[s.len] = '\0';
}

bool str_int(struct slice a, int64_t min, int64_t max, int64_t *out)
{
	bool negative = a.len && a.ptr[0] == '-';
	int64_t n = 0;

	if (negative)
		a = slice_from(a, 1);
	if (!a.len)
		return false;
	for (size_t i = 0; i < a.len; i++) {
		int digit = a.ptr[i] - '0';

		if (digit < 0 || digit > 9)
			return false;
		if (__builtin_mul_overflow(n, 10, &n) ||
			__builtin_add_overflow(n, negative ? -digit : digit, &n))
			return false;
	}
	if (n < min || n > max)
		return false;
	*out = n;
	return true;
}

/* A whole number and a unit out of a table that ends with an empty row. */
struct unit {
	const char *name;
	int64_t factor;
};

static bool with_unit(struct slice a, const struct unit *units, int64_t *out)
{
	struct slice number = a, unit;
	int64_t n;

	number.len = 0;
	while (number.len < a.len && a.ptr[number.len] >= '0' && a.ptr[number.len] <= '9')
		number.len++;
	unit = slice_from(a, number.len);
	for (; units->name; units++) {
		if (!slice_is_nocase(unit, units->name))
			continue;
		if (!str_int(number, 0, INT64_MAX, &n))
			return false;
		return !__builtin_mul_overflow(n, units->factor, out);
	}
	return false;
}

bool str_duration(struct slice a, int64_t *out_ms)
{
	static const struct unit units[] = { { "ms", 1 }, { "s", 1000 }, { "", 1000 },
		{ "m", 60000 }, { "h", 3600000 }, { "d", 86400000 }, { NULL, 0 } };
	int64_t ms;

	if (!with_unit(a, units, &ms))
		return false;
	*out_ms = ms;
	return true;
}

bool str_size(struct slice a, int64_t *out_bytes)
{
	static const struct unit units[] = { { "", 1 }, { "b", 1 }, { "k", 1 << 10 },
		{ "kb", 1 << 10 }, { "kib", 1 << 10 }, { "m", 1 << 20 }, { "mb", 1 << 20 },
		{ "mib", 1 << 20 }, { "g", 1 << 30 }, { "gb", 1 << 30 }, { "gib", 1 << 30 },
		{ NULL, 0 } };
	int64_t bytes;

	if (!with_unit(a, units, &bytes))
		return false;
	*out_bytes = bytes;
	return true;
}

bool str_bool(struct slice a, bool *out)
{
	static const char *const yes[] = { "on", "true", "yes", "1" };
	static const char *const no[] = { "off", "false", "no", "0" };

	for (size_t i = 0; i < sizeof(yes) / sizeof(yes[0]); i++) {
		if (slice_is_nocase(a, yes[i]) || slice_is_nocase(a, no[i])) {
			*out = slice_is_nocase(a, yes[i]);
			return true;
		}
	}
	return false;
}

/* The length of the well-formed sequence at p (RFC 3629 section 4), or 0. */
static size_t sequence(const unsigned char *p, size_t left)
{
	unsigned char low = 0x80, high = 0xbf;
	size_t n;

	if (p[0] < 0x80)
		return 1;
	if (p[0] >= 0xc2 && p[0] <= 0xdf)
		n = 2;
	else if ((p[0] & 0xf0) == 0xe0)
		n = 3;
	else if (p[0] >= 0xf0 && p[0] <= 0xf4)
		n = 4;
	else
		return 0;
	if (p[0] == 0xe0)
		low = 0xa0; /* shorter forms exist */
	else if (p[0] == 0xed)
		high = 0x9f; /* surrogates */
	else if (p[0] == 0xf0)
		low = 0x90;
	else if (p[0] == 0xf4)
		high = 0x8f; /* above U+10FFFF */
	if (left < n || p[1] < low || p[1] > high)
		return 0;
	for (size_t i = 2; i < n; i++)
		if (p[i] < 0x80 || p[i] > 0xbf)
			return 0;
	return n;
}

bool utf8_is_valid(struct slice a, size_t *bad)
{
	const unsigned char *p = (const unsigned char *)a.ptr;
	size_t at = 0, n;
	uint64_t word;

	while (at < a.len) {
		while (a.len - at >= sizeof(word)) {
			memcpy(&word, p + at, sizeof(word));
			if (word & UINT64_C(0x8080808080808080))
				break;
			at += sizeof(word);
		}
		if (at == a.len)
			break;
		n = sequence(p + at, a.len - at);
		if (!n) {
			if (bad)
				*bad = at;
			return false;
		}
		at += n;
	}
	return true;
}

size_t utf8_whole(struct slice a)
{
	/* Step back over at most three continuation bytes to the byte that leads them. */
	for (size_t back = 1; back <= 3 && back <= a.len; back++) {
		unsigned char c = (unsigned char)a.ptr[a.len - back];

		if (c < 0x80)
			return a.len;
		if (c >= 0xc0) {
			size_t need = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : 2;

			return need > back ? a.len - back : a.len;
		}
	}
	return a.len;
}
