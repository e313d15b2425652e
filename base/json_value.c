#include "base/json_text.h"

/* p stands on the opening quote; returns the byte behind the closing one, or end. */
static const char *skip_string(const char *p, const char *end)
{
	p++;
	for (;;) {
		p = json_text_special(p, end, false);
		if (p == end)
			return end;
		if (*p == '"')
			return p + 1;
		if (end - p < 2)
			return end;
		p += 2;
	}
}

/* Where in nested brackets a walk is. */
struct nest {
	size_t depth;
	bool in_string;
};

/* Walks on to until, or behind the bracket that ends the outermost container; an escape there may
 * be walked over as a whole. */
static const char *walk(struct nest *n, const char *p, const char *until, const char *end)
{
	while (p < until) {
		char c = *p++;

		if (c == '"')
			n->in_string = !n->in_string;
		else if (n->in_string)
			p += c == '\\' && p < end;
		else if (c == '{' || c == '[')
			n->depth++;
		else if ((c == '}' || c == ']') && --n->depth == 0)
			break;
	}
	return p;
}

#ifdef __SSE2__
static inline unsigned bytes_like(__m128i v, char c)
{
	return (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(v, _mm_set1_epi8(c)));
}

/* One bit for each of 16 bytes: which of them stand in a string, its first quote included? A
 * quote turns all behind it over. */
static inline unsigned inside(unsigned quotes, bool in_string)
{
	quotes ^= quotes << 1;
	quotes ^= quotes << 2;
	quotes ^= quotes << 4;
	quotes ^= quotes << 8;
	return (in_string ? ~quotes : quotes) & 0xffff;
}
#endif

static const char *skip_container(const char *p, const char *end)
{
	struct nest n = { 0 };

#ifdef __SSE2__
	while (end - p >= 16) {
		__m128i v = _mm_loadu_si128((const __m128i *)(const void *)p), folded;
		unsigned quotes = bytes_like(v, '"'), slashes = bytes_like(v, '\\'), in, open, at;
		size_t width = 16;

		if (slashes) {
			/* "\\\"" and the like: byte by byte. */
			if (slashes & slashes << 1) {
				p = walk(&n, p, p + 16, end);
				if (!n.depth)
					return p;
				continue;
			}
			quotes &= ~(slashes << 1);
			width -= slashes >> 15; /* the last one begins the next 16 */
		}
		if (n.in_string && !quotes) {
			p += width;
			continue;
		}
		in = inside(quotes, n.in_string);
		folded = _mm_or_si128(v, _mm_set1_epi8(0x20));
		open = bytes_like(folded, '{') & ~in;
		for (at = open | (bytes_like(folded, '}') & ~in); at; at &= at - 1) {
			if (at & -at & open)
				n.depth++;
			else if (--n.depth == 0)
				return p + __builtin_ctz(at) + 1;
		}
		n.in_string = in >> 15;
		p += width;
	}
#endif
	return walk(&n, p, end, end);
}

static const char *skip_scalar(const char *p, const char *end)
{
	while (p < end && *p != ',' && *p != '}' && *p != ']' && json_text_blanks(p, p + 1) == p)
		p++;
	return p;
}

void json_iter_init(struct json_iter *it, struct json_value v)
{
	*it = (struct json_iter){ .object = v.kind == JSON_OBJECT };
	if ((v.kind == JSON_OBJECT || v.kind == JSON_ARRAY) && v.raw.len >= 2) {
		it->p = v.raw.ptr + 1;
		it->end = v.raw.ptr + v.raw.len - 1;
	}
}

bool json_iter_next(struct json_iter *it, struct slice *key, struct json_value *v)
{
	const char *p = json_text_blanks(it->p, it->end), *q;

	*key = SLICE("");
	*v = (struct json_value){ .raw = SLICE("") };
	if (p < it->end && *p == ',')
		p = json_text_blanks(p + 1, it->end);
	it->p = it->end;
	if (it->object && p < it->end) {
		if (*p != '"')
			return false;
		q = skip_string(p, it->end);
		*key = (struct slice){ p, (size_t)(q - p) };
		p = json_text_blanks(q, it->end);
		if (p < it->end && *p == ':')
			p = json_text_blanks(p + 1, it->end);
	}
	if (p == it->end)
		return false;
	v->kind = json_text_kind(*p);
	if (v->kind == JSON_ABSENT)
		return false;
	if (v->kind == JSON_STRING)
		q = skip_string(p, it->end);
	else if (v->kind == JSON_OBJECT || v->kind == JSON_ARRAY)
		q = skip_container(p, it->end);
	else
		q = skip_scalar(p, it->end);
	v->raw = (struct slice){ p, (size_t)(q - p) };
	it->p = q;
	return true;
}

struct json_value json_get(struct json_value object, const char *name)
{
	struct json_value found = { .raw = SLICE("") }, v;
	struct json_iter it;
	struct slice key;

	if (object.kind != JSON_OBJECT)
		return found;
	json_iter_init(&it, object);
	while (json_iter_next(&it, &key, &v))
		if (json_str_is(key, name))
			found = v;
	return found;
}

struct json_value json_at(struct json_value array, size_t index)
{
	struct json_value v = { .raw = SLICE("") };
	struct json_iter it;
	struct slice key;

	if (array.kind != JSON_ARRAY)
		return v;
	json_iter_init(&it, array);
	while (json_iter_next(&it, &key, &v))
		if (index-- == 0)
			return v;
	return (struct json_value){ .raw = SLICE("") };
}

/* Takes the quotes off; false when they are not there. */
static bool unquote(struct slice raw, struct slice *inner)
{
	if (raw.len < 2 || raw.ptr[0] != '"' || raw.ptr[raw.len - 1] != '"')
		return false;
	*inner = (struct slice){ raw.ptr + 1, raw.len - 2 };
	return true;
}

bool json_str_is(struct slice raw_string, const char *s)
{
	struct slice inner;

	if (!unquote(raw_string, &inner))
		return false;
	/* Most differ in the first byte, which is what it says unless it begins an escape. */
	if (inner.len && inner.ptr[0] != *s && inner.ptr[0] != '\\')
		return false;
	return slice_is(inner, s) ? !memchr(inner.ptr, '\\', inner.len)
				  : json_text_spells(inner, s);
}

/* The next piece of the text that inner spells: a run without escapes, or one escape decoded
 * into out. False at the end. */
static bool piece(struct slice *inner, unsigned char out[4], struct slice *found)
{
	const char *p = inner->ptr, *end = p + inner->len, *slash;

	if (!inner->len)
		return false;
	if (*p == '\\') {
		found->len = json_text_unescape(&p, end, out);
		found->ptr = (const char *)out;
	} else {
		slash = memchr(p, '\\', inner->len);
		*found = (struct slice){ p, (size_t)((slash ? slash : end) - p) };
		p += found->len;
	}
	*inner = (struct slice){ p, (size_t)(end - p) };
	return true;
}

bool json_str_decode(struct json_value v, struct buf *out)
{
	unsigned char decoded[4];
	struct slice inner, s;

	if (v.kind != JSON_STRING || !unquote(v.raw, &inner))
		return false;
	while (piece(&inner, decoded, &s))
		buf_slice_append(out, s);
	return true;
}

bool json_str_copy(struct json_value v, char *dst, size_t size)
{
	unsigned char decoded[4];
	struct slice inner, s;
	size_t len = 0;

	dst[0] = '\0';
	if (v.kind != JSON_STRING || !unquote(v.raw, &inner))
		return false;
	while (piece(&inner, decoded, &s)) {
		if (s.len >= size - len || memchr(s.ptr, '\0', s.len)) {
			dst[0] = '\0';
			return false;
		}
		memcpy(dst + len, s.ptr, s.len);
		len += s.len;
	}
	dst[len] = '\0';
	return true;
}

struct slice json_str_text(struct json_value v, struct buf *room)
{
	struct slice inner;

	if (v.kind != JSON_STRING || !unquote(v.raw, &inner))
		return SLICE("");
	if (!memchr(inner.ptr, '\\', inner.len))
		return inner;
	buf_reset(room);
	return json_str_decode(v, room) && buf_ok(room) ? buf_slice(room) : SLICE("");
}

void json_put_compact(struct json_value v, struct buf *out)
{
	const char *p = v.raw.ptr, *end = p + v.raw.len, *from;

	while (p < end) {
		from = p;
		if (*p == '"')
			p = skip_string(p, end);
		else
			while (p < end && *p != '"' && json_text_blanks(p, p + 1) == p)
				p++;
		buf_append(out, from, (size_t)(p - from));
		p = json_text_blanks(p, end);
	}
}

size_t json_str_bytes(struct json_value v)
{
	unsigned char decoded[4];
	struct slice inner, s;
	size_t n = 0;

	if (v.kind != JSON_STRING || !unquote(v.raw, &inner))
		return 0;
	while (piece(&inner, decoded, &s))
		n += s.len;
	return n;
}

bool json_is_true(struct json_value v)
{
	return v.kind == JSON_BOOL && slice_is(v.raw, "true");
}

bool json_is_truthy(struct json_value v)
{
	struct json_iter it;
	struct slice key;

	switch (v.kind) {
	case JSON_ABSENT:
	case JSON_NULL:
		return false;
	case JSON_BOOL:
		return json_is_true(v);
	case JSON_STRING:
		return v.raw.len > 2;
	case JSON_NUMBER: /* any digit but 0 in front of the exponent */
		for (size_t i = 0; i < v.raw.len && (v.raw.ptr[i] | 0x20) != 'e'; i++)
			if (v.raw.ptr[i] >= '1' && v.raw.ptr[i] <= '9')
				return true;
		return false;
	case JSON_ARRAY:
	case JSON_OBJECT:
		json_iter_init(&it, v);
		return json_iter_next(&it, &key, &v);
	}
	return false;
}

static bool times_ten(int64_t *n, int64_t times)
{
	for (; times > 0; times--)
		if (__builtin_mul_overflow(*n, 10, n))
			return false;
	return true;
}

bool json_int(struct json_value v, int64_t *out)
{
	const char *p = v.raw.ptr, *end;
	int64_t n = 0, shift = 0, zeros = 0, exponent = 0;
	bool negative, fraction = false, minus;

	if (v.kind != JSON_NUMBER)
		return false;
	end = p + v.raw.len;
	negative = p < end && *p == '-';
	/* Zeros wait until a digit behind them shows that they count; shift is the power of ten
	 * still to apply. Negative numbers reach one further, so n is kept negative. */
	for (p += negative; p < end && (json_text_is_digit(*p) || (*p == '.' && !fraction)); p++) {
		if (*p == '.') {
			fraction = true;
			continue;
		}
		shift -= fraction;
		zeros++;
		if (*p == '0')
			continue;
		if ((n && !times_ten(&n, zeros)) || __builtin_sub_overflow(n, *p - '0', &n))
			return false;
		zeros = 0;
	}
	if (p < end && (*p == 'e' || *p == 'E')) {
		p++;
		minus = p < end && *p == '-';
		if (p < end && (*p == '-' || *p == '+'))
			p++;
		for (; p < end && json_text_is_digit(*p); p++)
			if (exponent < INT64_C(1) << 50)
				exponent = exponent * 10 + (*p - '0');
		shift += minus ? -exponent : exponent;
	}
	if (p != end)
		return false;
	if (n && (shift + zeros < 0 || !times_ten(&n, shift + zeros)))
		return false;
	if (!negative && __builtin_sub_overflow(0, n, &n))
		return false;
	*out = n;
	return true;
}
