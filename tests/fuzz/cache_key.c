/* Any JSON, in the place of a member of a chat that nobody knows: written otherwise (members in
 * another order, characters as escapes, numbers with other exponents, blanks) it has the same key;
 * and with any one value changed it has another. The first two bytes say how it is written and what
 * is changed. Any bytes at all, validated or not, are no harm. */
#include "gateway/cache_key.h"
#include "gateway/chat.h"

#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(claim) \
	do { \
		if (!(claim)) { \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #claim); \
			abort(); \
		} \
	} while (0)

#define MEMBERS 64 /* of an object that is put into another order */

static const struct json_limits limits = { .max_depth = 30, .max_keys = 1000 };

/* ---- another spelling ---- */

struct speller {
	struct buf *out;
	unsigned seed;
	long change; /* how many values come before the one to change; negative: it is done, or none
		      */
};

static unsigned roll(struct speller *s, unsigned n)
{
	s->seed = s->seed * 1103515245 + 12345;
	return (s->seed >> 16) % n;
}

static void blanks(struct speller *s)
{
	static const char kinds[] = " \t\r\n";

	for (unsigned n = roll(s, 6); n > 3; n--)
		buf_char(s->out, kinds[roll(s, 4)]);
}

static void spell_string(struct speller *s, struct slice raw, const char *more)
{
	struct buf text = { 0 };

	CHECK(json_str_decode((struct json_value){ JSON_STRING, raw }, &text));
	buf_str(&text, more);
	buf_char(s->out, '"');
	for (size_t i = 0; i < text.len; i++) {
		unsigned char c = (unsigned char)text.data[i];

		if (c == '/' && roll(s, 2))
			buf_str(s->out, "\\/");
		else if (c < 0x20 || c == '"' || c == '\\' || (c < 0x80 && roll(s, 3) == 0))
			buf_printf(s->out, roll(s, 2) ? "\\u%04x" : "\\u%04X", c);
		else
			buf_char(s->out, (char)c);
	}
	buf_char(s->out, '"');
	buf_fini(&text);
}

/* A number and a power of ten, of which the key must make the same as of the number alone. */
static void spell_number(struct speller *s, struct slice raw)
{
	const char *e = memchr(raw.ptr, 'e', raw.len);
	struct slice mantissa = raw;
	bool point;

	if (!e)
		e = memchr(raw.ptr, 'E', raw.len);
	if (e)
		mantissa.len = (size_t)(e - raw.ptr);
	if (raw.len - mantissa.len > 14) { /* out of bounds: has the spelling that it has */
		buf_slice_append(s->out, raw);
		return;
	}
	point = memchr(mantissa.ptr, '.', mantissa.len);
	buf_slice_append(s->out, mantissa);
	if (!point && roll(s, 2)) {
		buf_str(s->out, ".0");
		point = true;
	}
	for (unsigned n = point ? roll(s, 4) : 0; n; n--)
		buf_char(s->out, '0');
	if (e)
		buf_slice_append(s->out, slice_from(raw, mantissa.len));
	else if (roll(s, 2))
		buf_str(s->out, roll(s, 2) ? "e-0" : "E+00");
}

static void spell(struct speller *s, struct json_value v);

static void spell_members(struct speller *s, struct json_value v, const char *more)
{
	struct slice keys[MEMBERS];
	struct json_value values[MEMBERS];
	struct json_iter it;
	/* What is changed is counted in the order of the text: until then nothing is moved. */
	bool moves = s->change < 0;
	size_t n = 0;

	json_iter_init(&it, v);
	while (n < MEMBERS && json_iter_next(&it, &keys[n], &values[n]))
		n++;
	buf_char(s->out, '{');
	buf_str(s->out, more);
	for (size_t left = n; left; left--) {
		size_t i = moves ? roll(s, (unsigned)left) : n - left;

		if (left < n || *more)
			buf_char(s->out, ',');
		blanks(s);
		spell_string(s, keys[i], "");
		blanks(s);
		buf_char(s->out, ':');
		spell(s, values[i]);
		if (moves) {
			keys[i] = keys[left - 1];
			values[i] = values[left - 1];
		}
	}
	blanks(s);
	buf_char(s->out, '}');
}

static void spell_elements(struct speller *s, struct json_value v, const char *more)
{
	struct json_iter it;
	struct json_value one;
	struct slice none;
	bool first = true;

	buf_char(s->out, '[');
	json_iter_init(&it, v);
	while (json_iter_next(&it, &none, &one)) {
		if (!first)
			buf_char(s->out, ',');
		first = false;
		spell(s, one);
	}
	if (*more && !first)
		buf_char(s->out, ',');
	buf_str(s->out, more);
	blanks(s);
	buf_char(s->out, ']');
}

static void spell(struct speller *s, struct json_value v)
{
	bool other = s->change == 0;

	if (s->change >= 0)
		s->change--;
	blanks(s);
	switch (v.kind) {
	case JSON_STRING:
		spell_string(s, v.raw, other ? "\xc3\xa9" : "");
		break;
	case JSON_NUMBER:
		if (other) { /* what is negative becomes positive, all else negative */
			bool negative = v.raw.ptr[0] == '-';

			buf_str(s->out, negative ? "1" : "-1");
			v.raw = slice_from(v.raw, negative);
		}
		spell_number(s, v.raw);
		break;
	case JSON_OBJECT:
		spell_members(s, v, other ? "\"\\u0000not there before\":1" : "");
		break;
	case JSON_ARRAY:
		spell_elements(s, v, other ? "[]" : "");
		break;
	case JSON_BOOL:
		buf_str(s->out, json_is_true(v) != other ? "true" : "false");
		break;
	case JSON_NULL:
	case JSON_ABSENT:
		buf_str(s->out, other ? "0" : "null");
		break;
	}
	blanks(s);
}

/* ---- the keys ---- */

static bool key_of(struct slice json, struct cache_key *out)
{
	static const struct json_limits wider = { .max_depth = 40, .max_keys = 1100 };
	static const struct cache_tenant tenant = { .scope = SCOPE_USER, .user = 1 };
	struct chat_req req;
	const struct cache_ask ask = {
		.tenant = &tenant, .endpoint = "chat", .model = "m", .req = &req
	};
	struct buf body = { 0 };
	bool good;

	buf_str(&body,
		"{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"x\"}],\"x\":[");
	buf_slice_append(&body, json);
	buf_str(&body, "]}");
	good = !chat_parse(buf_slice(&body), &wider, &req, NULL);
	if (good)
		CHECK(!cache_key_make(&ask, out, NULL));
	buf_fini(&body);
	return good;
}

static void read_unvalidated(struct slice text)
{
	static const struct cache_tenant tenant = { .scope = SCOPE_KEY, .key = 1 };
	struct chat_req req = { .body = text };
	const struct cache_ask ask = {
		.tenant = &tenant, .endpoint = "chat", .model = "m", .req = &req
	};
	struct cache_key key;

	for (size_t i = 0; i < CHAT_FIELDS; i++)
		req.field[i].name = "messages";
	(void)!cache_key_make(&ask, &key, NULL);
}

/* Is there an object that is too wide to be moved about here? */
static bool is_wide(struct json_value v)
{
	struct json_iter it;
	struct json_value one;
	struct slice key;
	size_t n = 0;

	json_iter_init(&it, v);
	while (json_iter_next(&it, &key, &one))
		if ((v.kind == JSON_OBJECT && ++n > MEMBERS) || is_wide(one))
			return true;
	return false;
}

static bool same(const struct cache_key *a, const struct cache_key *b)
{
	return memcmp(a->hash, b->hash, sizeof(a->hash)) == 0 && a->length == b->length &&
	       a->crc == b->crc;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice text;
	struct json_value v;
	struct buf other = { 0 };
	struct speller s;
	struct cache_key one, again;

	if (size < 2)
		return 0;
	text = slice_trim((struct slice){ (const char *)data + 2, size - 2 });
	read_unvalidated(text);
	if (json_validate(text, &limits, &v.kind, NULL))
		return 0;
	v.raw = text;
	if (is_wide(v) || !key_of(text, &one))
		return 0;

	s = (struct speller){ .out = &other, .seed = data[0], .change = -1 };
	spell(&s, v);
	CHECK(buf_ok(&other) && key_of(buf_slice(&other), &again));
	CHECK(same(&one, &again));

	buf_reset(&other);
	s = (struct speller){ .out = &other, .seed = data[0], .change = data[1] };
	spell(&s, v);
	CHECK(buf_ok(&other) && key_of(buf_slice(&other), &again));
	CHECK(same(&one, &again) == (s.change >= 0));
	buf_fini(&other);
	return 0;
}
