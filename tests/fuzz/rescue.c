/* Any chunks, a line each: said again, a stream that was cut anywhere comes to the same as if it
 * had not been; what the client is sent is JSON; and a request that goes on is one that
 * chat_parse() takes. The first byte of the input says where it is cut, the second which chunks
 * the new attempt leaves out, to be another one. A first line that is a request is the request. */
#include "gateway/chat.h"
#include "gateway/providers/openai_like.h"
#include "gateway/said.h"

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

#define LINES 64

/* All that the client has of the one choice. */
static void add_up(const struct said *s, struct buf *out)
{
	buf_printf(out, "%d ", s && s->finished);
	if (!s)
		return;
	buf_slice_append(out, buf_slice(&s->text));
	for (size_t i = 0; i < s->call_count; i++) {
		buf_printf(out, "\n%lld ", (long long)s->calls[i].index);
		buf_slice_append(out, buf_slice(&s->calls[i].name));
		buf_char(out, ' ');
		buf_slice_append(out, buf_slice(&s->calls[i].arguments));
	}
	CHECK(buf_ok(out));
}

static bool take(struct rescue *r, struct said **s, struct slice chunk)
{
	struct slice out;

	switch (rescue_chunk(r, chunk, &out)) {
	case RESCUE_DIFFERS:
		return false;
	case RESCUE_PASS:
		CHECK(!json_validate(out, &tongue_limits, NULL, NULL));
		said_note(s, out);
		return true;
	case RESCUE_HOLD:
		break;
	}
	return true;
}

static struct said *said_of(const struct slice *lines, size_t n)
{
	struct said *s = NULL;

	for (size_t i = 0; i < n; i++)
		said_note(&s, lines[i]);
	return s;
}

static void say_again(const struct slice *lines, size_t n, size_t cut)
{
	struct said *whole = said_of(lines, n), *s = said_of(lines, cut);
	struct rescue *r = rescue_begin(s, RESCUE_BY_SPLICE);
	struct buf want = { 0 }, got = { 0 };

	CHECK(r);
	for (size_t i = 0; i < n; i++)
		CHECK(take(r, &s, lines[i]));
	CHECK(rescue_is_whole(r));
	add_up(whole, &want);
	add_up(s, &got);
	CHECK(slice_eq(buf_slice(&want), buf_slice(&got)));
	rescue_fini(r);
	said_fini(&whole);
	said_fini(&s);
	buf_fini(&want);
	buf_fini(&got);
}

/* Whatever comes: what was said stays the beginning of what the client has. */
static void say_otherwise(const struct slice *lines, size_t n, size_t cut, enum rescue_way way,
	const char *slug, unsigned without)
{
	const struct target t = { .quirks = quirks_of(slug) };
	struct said *s = said_of(lines, cut);
	struct rescue *r = rescue_begin(s, way);
	struct buf before = { 0 };
	bool goes = true;

	CHECK(r);
	rescue_tell(r, &t);
	if (s)
		buf_slice_append(&before, buf_slice(&s->text));
	for (size_t i = 0; i < n && goes; i++)
		if (!(without >> (i % 8) & 1))
			goes = take(r, &s, lines[i]);
	if (s && !s->lost)
		CHECK(slice_eq(slice_first(buf_slice(&s->text), before.len), buf_slice(&before)));
	rescue_fini(r);
	said_fini(&s);
	buf_fini(&before);
}

static void ask_for_the_rest(const struct chat_req *req, const struct said *s)
{
	/* A key and a level more than the client's own. */
	static const struct json_limits limits = { .max_depth = 66, .max_keys = 1010 };
	struct chat_req made;
	struct buf body = { 0 };
	struct err e;

	CHECK(said_trimmed(s) > 0);
	CHECK(!rescue_continue_body(req, s, &body, &e));
	CHECK(!chat_parse(buf_slice(&body), &limits, &made, &e));
	buf_fini(&body);
}

/* The same chunks noted with a blank in front, so that none is like the one before. */
static void read_anew(const struct slice *lines, size_t n)
{
	struct said *one = NULL, *other = NULL;
	struct buf want = { 0 }, got = { 0 };

	for (size_t i = 0; i < n; i++) {
		struct buf copy = { 0 };

		for (size_t k = 0; k <= i; k++)
			buf_char(&copy, ' ');
		buf_slice_append(&copy, lines[i]);
		said_note(&one, lines[i]);
		said_note(&other, buf_slice(&copy));
		buf_fini(&copy);
	}
	add_up(one, &want);
	add_up(other, &got);
	CHECK(slice_eq(buf_slice(&want), buf_slice(&got)));
	said_fini(&one);
	said_fini(&other);
	buf_fini(&want);
	buf_fini(&got);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct json_limits limits = { .max_depth = 64, .max_keys = 1000 };
	static const char plain[] = "{\"model\":\"m\",\"messages\":[{\"role\":\"user\"}]}";
	struct slice rest = { (const char *)data + 2, size - 2 }, lines[LINES];
	struct chat_req req;
	struct said *s;
	size_t n = 0, cut;

	if (size < 2)
		return 0;
	CHECK(!chat_parse(slice_of(plain), &limits, &req, NULL));
	for (bool first = true; rest.len && n < LINES; first = false) {
		struct slice line = slice_cut(&rest, '\n');
		enum json_kind kind;
		struct chat_req own;

		if (json_validate(line, &tongue_limits, &kind, NULL) || kind != JSON_OBJECT)
			continue;
		if (first && !chat_parse(line, &limits, &own, NULL))
			req = own;
		else
			lines[n++] = line;
	}
	cut = n ? data[0] % (n + 1) : 0;
	read_anew(lines, n);
	s = said_of(lines, cut);
	if (rescue_can(s, &req, RESCUE_BY_SPLICE)) {
		if (said_text_bytes(s) || cut)
			say_again(lines, n, cut);
		say_otherwise(lines, n, cut, RESCUE_BY_SPLICE, "", data[1]);
	}
	if (rescue_can(s, &req, RESCUE_BY_CONTINUE)) {
		ask_for_the_rest(&req, s);
		say_otherwise(lines, n, cut, RESCUE_BY_CONTINUE, "", data[1]);
		say_otherwise(lines, n, cut, RESCUE_BY_CONTINUE, "mistral", data[1]);
	}
	said_fini(&s);
	return 0;
}
