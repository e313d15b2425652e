#include "base/json_scan.h"

#include "base/json_keys.h"
#include "base/json_text.h"

#define DEPTH_MAX 1000
#define KEYS_MAX  1000000

struct scan {
	const char *text, *end;
	const struct json_limits *limits;
	struct json_member *want;
	size_t n;
	struct err *e;
	enum err_code rc;

	/* the member of the outermost object that is being read */
	struct slice top_key; /* with its quotes */
	bool top_escaped;
	const char *top_value;
	enum json_kind top_kind;

	size_t nkeys; /* of all open objects, counted also where duplicates are allowed */
	unsigned depth;
	uint32_t frames[DEPTH_MAX]; /* index of the first key, shifted, and 1 for an object */
	struct json_keys keys;
};

static const char *fail(struct scan *s, const char *at, const char *what)
{
	s->rc = err_set(s->e, ERR_BAD_REQUEST, "byte %zu: %s", (size_t)(at - s->text), what);
	return NULL;
}

static const char *fail_limit(
	struct scan *s, const char *at, const char *what, unsigned limit, const char *setting)
{
	s->rc = err_set(s->e, ERR_BAD_REQUEST, "byte %zu: %s %u%s%s%s", (size_t)(at - s->text),
		what, limit, setting ? " (" : "", setting ? setting : "", setting ? ")" : "");
	return NULL;
}

static const char *ends_early(struct scan *s)
{
	return fail(s, s->end, "the text ends before its value does");
}

static bool is_in_object(const struct scan *s)
{
	return s->frames[s->depth - 1] & 1;
}

static bool note_key(struct scan *s, struct slice text, bool escaped)
{
	const struct json_key *same;

	if (s->nkeys == s->limits->max_keys)
		return fail_limit(s, text.ptr - 1, "more keys in open objects than",
			s->limits->max_keys, s->limits->keys_setting);
	s->nkeys++;
	if (s->limits->allow_duplicates)
		return true;
	s->rc = json_keys_add(&s->keys, s->frames[s->depth - 1] >> 1, text, escaped, &same);
	if (s->rc)
		s->rc = err_set(s->e, s->rc, "no memory for the keys of an object");
	else if (same)
		s->rc = err_set(s->e, ERR_BAD_REQUEST,
			"byte %zu: duplicate key; the first one is at byte %zu",
			(size_t)(text.ptr - 1 - s->text), (size_t)(same->text.ptr - 1 - s->text));
	return !s->rc;
}

static void close_innermost(struct scan *s)
{
	s->nkeys = s->frames[--s->depth] >> 1;
	if (!s->limits->allow_duplicates)
		json_keys_drop(&s->keys, s->nkeys);
}

/* ---- the walk: each returns where to go on, or NULL after fail() ---- */

static const char *escape(struct scan *s, const char *p)
{
	unsigned unit, low;

	if (s->end - p < 2)
		return ends_early(s);
	if (p[1] != 'u')
		return memchr("\"\\/bfnrt", p[1], 8) ? p + 2
						     : fail(s, p, "unknown escape in a string");
	if (!json_text_hex4(p + 2, s->end, &unit))
		return fail(s, p, "\\u must be followed by four hexadecimal digits");
	if (!json_text_is_high(unit) && !json_text_is_low(unit))
		return p + 6;
	if (json_text_is_low(unit) || s->end - p < 12 || p[6] != '\\' || p[7] != 'u' ||
		!json_text_hex4(p + 8, s->end, &low) || !json_text_is_low(low))
		return fail(s, p, "unpaired \\u surrogate");
	return p + 12;
}

static const char *non_ascii(struct scan *s, const char *p)
{
	const char *q;
	size_t bad;

	/* Two and three bytes are nearly all there is; the rest is for utf8_is_valid(). */
	while (s->end - p >= 3) {
		unsigned char one = (unsigned char)p[0], two = (unsigned char)p[1];

		if (one < 0x80)
			return p;
		if ((two & 0xc0) != 0x80)
			break;
		if (one >= 0xc2 && one <= 0xdf)
			p += 2;
		else if ((one & 0xf0) == 0xe0 && ((unsigned char)p[2] & 0xc0) == 0x80 &&
			 (one != 0xe0 || two >= 0xa0) && (one != 0xed || two < 0xa0))
			p += 3;
		else
			break;
	}
	q = p;
	while (q < s->end && (unsigned char)*q >= 0x80)
		q++;
	if (!utf8_is_valid((struct slice){ p, (size_t)(q - p) }, &bad))
		return fail(s, p + bad, "a string is not valid UTF-8");
	return q;
}

/* p stands on the opening quote. */
static inline const char *string(struct scan *s, const char *p, bool *escaped)
{
	*escaped = false;
	p++;
	for (;;) {
		p = json_text_special(p, s->end, true);
		if (p == s->end)
			return ends_early(s);
		if (*p == '"')
			return p + 1;
		if (*p == '\\') {
			*escaped = true;
			p = escape(s, p);
		} else if ((unsigned char)*p >= 0x80) {
			p = non_ascii(s, p);
		} else {
			return fail(s, p, "a control character in a string must be escaped");
		}
		if (!p)
			return NULL;
	}
}

static const char *number(struct scan *s, const char *p)
{
	static const char need[] = "a number needs a digit here";
	const char *q;

	if (*p == '-')
		p++;
	q = p < s->end && *p == '0' ? p + 1 : json_text_digits(p, s->end);
	if (q == p)
		return fail(s, p, need);
	p = q;
	if (p < s->end && json_text_is_digit(*p))
		return fail(s, p, "a number must not begin with 0");
	if (p < s->end && *p == '.') {
		q = json_text_digits(++p, s->end);
		if (q == p)
			return fail(s, p, need);
		p = q;
	}
	if (p < s->end && (*p == 'e' || *p == 'E')) {
		p++;
		if (p < s->end && (*p == '+' || *p == '-'))
			p++;
		q = json_text_digits(p, s->end);
		if (q == p)
			return fail(s, p, need);
		p = q;
	}
	return p;
}

static const char *literal(struct scan *s, const char *p)
{
	static const char *const words[] = { "true", "false", "null" };

	for (size_t i = 0; i < 3; i++) {
		size_t n = strlen(words[i]);

		if ((size_t)(s->end - p) >= n && memcmp(p, words[i], n) == 0)
			return p + n;
	}
	return fail(s, p, "unknown word; only true, false and null exist");
}

/* A key and its colon. */
static const char *member(struct scan *s, const char *p)
{
	const char *q;
	bool escaped;

	p = json_text_blanks(p, s->end);
	if (p == s->end)
		return ends_early(s);
	if (*p != '"')
		return fail(s, p, "a key in double quotes must stand here");
	q = string(s, p, &escaped);
	if (!q || !note_key(s, (struct slice){ p + 1, (size_t)(q - p) - 2 }, escaped))
		return NULL;
	if (s->depth == 1) {
		s->top_key = (struct slice){ p, (size_t)(q - p) };
		s->top_escaped = escaped;
	}
	p = json_text_blanks(q, s->end);
	if (p == s->end)
		return ends_early(s);
	return *p == ':' ? p + 1 : fail(s, p, "a colon must follow the key");
}

/* A member of the outermost object ends at end: is it a wanted one? */
static void take(struct scan *s, const char *end)
{
	struct slice inner = { s->top_key.ptr + 1, s->top_key.len - 2 };

	for (size_t i = 0; i < s->n; i++) {
		struct json_member *m = &s->want[i];

		if (s->top_escaped ? !json_text_spells(inner, m->name)
				   : (inner.len && m->name[0] != inner.ptr[0]) ||
					     !slice_is(inner, m->name))
			continue;
		m->whole = (struct slice){ s->top_key.ptr, (size_t)(end - s->top_key.ptr) };
		m->value.kind = s->top_kind;
		m->value.raw = (struct slice){ s->top_value, (size_t)(end - s->top_value) };
	}
}

/* A value ended at p: closes what ends with it, up to the begin of the next value or, at depth
 * 0, to the end of the outermost one. */
static const char *after_value(struct scan *s, const char *p)
{
	while (s->depth) {
		bool object = is_in_object(s);

		if (s->depth == 1 && s->n)
			take(s, p);
		p = json_text_blanks(p, s->end);
		if (p == s->end)
			return ends_early(s);
		if (*p == ',')
			return object ? member(s, p + 1) : p + 1;
		if (*p != (object ? '}' : ']'))
			return fail(s, p,
				object ? "a comma or } must stand here"
				       : "a comma or ] must stand here");
		close_innermost(s);
		p++;
	}
	return p;
}

/* Returns the begin of the first value inside, or the end of an empty object or array. */
static const char *open(struct scan *s, const char *p, bool object, bool *empty)
{
	if (s->depth == s->limits->max_depth)
		return fail_limit(
			s, p, "nested deeper than", s->limits->max_depth, s->limits->depth_setting);
	p = json_text_blanks(p + 1, s->end);
	*empty = p < s->end && *p == (object ? '}' : ']');
	if (*empty)
		return p + 1;
	s->frames[s->depth++] = (uint32_t)s->nkeys << 1 | object;
	return object ? member(s, p) : p;
}

static const char *value(struct scan *s, const char *p)
{
	do {
		enum json_kind kind;
		bool ended = true, escaped;

		p = json_text_blanks(p, s->end);
		if (p == s->end)
			return ends_early(s);
		kind = json_text_kind(*p);
		if (s->depth == 1) {
			s->top_value = p;
			s->top_kind = kind;
		}
		switch (kind) {
		case JSON_OBJECT:
		case JSON_ARRAY:
			p = open(s, p, kind == JSON_OBJECT, &ended);
			break;
		case JSON_STRING:
			p = string(s, p, &escaped);
			break;
		case JSON_NUMBER:
			p = number(s, p);
			break;
		case JSON_BOOL:
		case JSON_NULL:
			p = literal(s, p);
			break;
		case JSON_ABSENT:
			return fail(s, p, "no value begins like this");
		}
		if (p && ended)
			p = after_value(s, p);
	} while (p && s->depth);
	return p;
}

static enum err_code scan(struct slice text, const struct json_limits *limits,
	struct json_member *want, size_t n, bool only_object, enum json_kind *kind, struct err *e)
{
	struct scan s; /* not = { 0 }: clearing 6 KB would cost more than a small text */
	const char *p;

	if (limits->max_depth < 1 || limits->max_depth > DEPTH_MAX || limits->max_keys < 1 ||
		limits->max_keys > KEYS_MAX)
		return err_set(e, ERR_RANGE, "max_depth must be 1..%d and max_keys 1..%d",
			DEPTH_MAX, KEYS_MAX);
	s.text = text.len ? text.ptr : "";
	s.end = s.text + text.len;
	s.limits = limits;
	s.want = want;
	s.n = n;
	s.e = e;
	s.rc = ERR_OK;
	s.nkeys = 0;
	s.depth = 0;
	json_keys_init(&s.keys, limits->max_keys);

	p = json_text_blanks(s.text, s.end);
	*kind = p < s.end ? json_text_kind(*p) : JSON_ABSENT;
	if (only_object && p < s.end && *kind != JSON_OBJECT)
		p = fail(&s, p, "the text must be a JSON object");
	else
		p = value(&s, p);
	if (p) {
		p = json_text_blanks(p, s.end);
		if (p < s.end)
			(void)fail(&s, p, "something follows the end of the value");
	}
	json_keys_fini(&s.keys);
	return s.rc;
}

static void forget(struct json_member *want, size_t n)
{
	for (size_t i = 0; i < n; i++)
		want[i] = (struct json_member){ .name = want[i].name };
}

enum err_code json_scan(struct slice text, const struct json_limits *limits,
	struct json_member *want, size_t n, struct err *e)
{
	enum json_kind kind;
	enum err_code rc;

	forget(want, n);
	rc = scan(text, limits, want, n, true, &kind, e);
	if (rc)
		forget(want, n);
	return rc;
}

enum err_code json_validate(
	struct slice text, const struct json_limits *limits, enum json_kind *kind, struct err *e)
{
	enum json_kind found = JSON_ABSENT;
	enum err_code rc = scan(text, limits, NULL, 0, false, &found, e);

	if (kind)
		*kind = rc ? JSON_ABSENT : found;
	return rc;
}
