#include "base/sse.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#define MAX_BYTES 4096

static enum err_code collect(void *ctx, const struct sse_event *ev, struct err *e)
{
	struct buf *seen = ctx;

	(void)e;
	assert_true(ev->data.len > 0);
	buf_char(seen, '[');
	buf_slice_append(seen, ev->name);
	buf_char(seen, '|');
	buf_slice_append(seen, ev->data);
	buf_char(seen, ']');
	return ERR_OK;
}

/* Feeds a piece from a block of exactly its size, which is gone afterwards. */
static enum err_code feed(struct sse *s, const char *bytes, size_t n, struct buf *seen)
{
	char *copy = malloc(n ? n : 1);
	enum err_code rc;

	assert_non_null(copy);
	memcpy(copy, bytes, n);
	rc = sse_feed(s, copy, n, collect, seen, NULL);
	memset(copy, '#', n);
	free(copy);
	return rc;
}

/* Events and "partial" as text; the input comes in pieces of step bytes, the first of first. */
static void read_cut(
	struct slice text, size_t first, size_t step, struct buf *seen, uint64_t *comments)
{
	struct sse s;
	bool partial;

	buf_reset(seen);
	sse_init(&s, MAX_BYTES);
	for (size_t at = 0, n = first; at < text.len; at += n, n = step) {
		if (n > text.len - at)
			n = text.len - at;
		assert_int_equal(feed(&s, text.ptr + at, n, seen), ERR_OK);
	}
	assert_int_equal(sse_end(&s, collect, seen, &partial, NULL), ERR_OK);
	buf_str(seen, partial ? "partial" : "");
	*comments = s.comments;
	sse_fini(&s);
}

static void every_stream_gives_the_same_events_however_it_is_cut(void **state)
{
	static const struct {
		struct slice text;
		const char *events;
		uint64_t comments;
	} rows[] = {
		{ SLICE("data: {\"a\":1}\n\n"), "[|{\"a\":1}]", 0 },
		{ SLICE("data:{\"a\":1}\r\n\r\n"), "[|{\"a\":1}]", 0 },
		{ SLICE("data: {\"a\":1}\r\r"), "[|{\"a\":1}]", 0 },
		{ SLICE("\xef\xbb\xbf"
			"data: x\n\n"),
			"[|x]", 0 },
		{ SLICE(": OPENROUTER PROCESSING\n\ndata: x\n\n"), "[|x]", 1 },
		{ SLICE("data: a\ndata: b\n\n"), "[|a\nb]", 0 },
		{ SLICE("data\n\n"), "", 0 },
		{ SLICE("event: error\ndata: {\"error\":{\"message\":\"m\"}}\n\n"),
			"[error|{\"error\":{\"message\":\"m\"}}]", 0 },
		{ SLICE("data: {\"a\":1}"), "[|{\"a\":1}]partial", 0 },
		{ SLICE("data: [DONE]\n"), "[|[DONE]]partial", 0 },
		{ SLICE("data: x\r\n\r\n"), "[|x]", 0 },
		{ SLICE("data:  x\n\n"), "[| x]", 0 },
		{ SLICE("id: 7\nretry: 10\ndata: x\n\n"), "[|x]", 0 },
		/* beyond the specification's table */
		{ SLICE(""), "", 0 },
		{ SLICE("\n\r\r\n\n"), "", 0 },
		{ SLICE("data: \n\ndata:\n\ndata: x\n\n"), "[|x]", 0 },
		{ SLICE("data:\ndata: x\ndata:\n\n"), "[|\nx\n]", 0 },
		{ SLICE("data: x\r\r\ndata: y\n\r\n"), "[|x][|y]", 0 },
		{ SLICE("event: a\nevent: b\ndata: x\n\ndata: y\n\n"), "[b|x][|y]", 0 },
		{ SLICE("event: a\n\ndata: y\n\n"), "[|y]", 0 },
		{ SLICE("event: gone\n"), "partial", 0 },
		{ SLICE("event\ndata: x\n\n"), "[|x]", 0 },
		{ SLICE("data: x\n\nid: 7\n"), "[|x]", 0 },
		{ SLICE("data: x\n\n: ping\n"), "[|x]", 1 },
		{ SLICE(":\n:\n\n: cut"), "partial", 3 },
		{ SLICE("datax: 1\n data: 2\nDATA: 3\n{\"bare\":1}\ndata : 4\n\n"), "", 0 },
		{ SLICE("data: a:b: c\n\n"), "[|a:b: c]", 0 },
		{ SLICE("data:\tx \n\n"), "[|\tx ]", 0 },
		{ SLICE("\xef\xbb\xbf\xef\xbb\xbf"
			"data: x\n\ndata: y\n\n"),
			"[|y]", 0 },
		{ SLICE("\xef\xbb"
			"data: x\ndata: y\n\n"),
			"[|y]", 0 },
		{ SLICE("\xef\xbb"), "partial", 0 },
		{ SLICE("\xef\xbb\xbf"), "", 0 },
		{ SLICE("\xef\n\ndata: y\n\n"), "[|y]", 0 },
		{ SLICE("data: \xe2\x82\xac\xf0\x9f\x98\x80\n\n"),
			"[|\xe2\x82\xac\xf0\x9f\x98\x80]", 0 },
		{ SLICE("data: a\ndata: b\n: c\ndata: d"), "[|a\nb\nd]partial", 1 },
		{ SLICE("event: 0123456789012345678901234567890123456789012345678901234567890123456"
			"\ndata: x\n\n"),
			"[012345678901234567890123456789012345678901234567890123456789012|x]", 0 },
	};
	struct buf seen = { 0 };
	uint64_t comments;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		size_t n = rows[i].text.len;

		print_message("row %zu: %.*s\n", i, SLICE_ARG(rows[i].text));
		for (size_t step = 1; step <= 5; step++) {
			read_cut(rows[i].text, step, step, &seen, &comments);
			assert_string_equal(buf_cstr(&seen), rows[i].events);
			assert_int_equal(comments, rows[i].comments);
		}
		for (size_t cut = 0; cut <= n; cut++) {
			read_cut(rows[i].text, cut, n + 1, &seen, &comments);
			assert_string_equal(buf_cstr(&seen), rows[i].events);
			assert_int_equal(comments, rows[i].comments);
		}
	}
	buf_fini(&seen);
}

static void a_nul_is_a_byte_like_any_other(void **state)
{
	struct buf seen = { 0 };
	uint64_t comments;

	(void)state;
	read_cut(SLICE("data: a\0b\n\n"), 3, 3, &seen, &comments);
	assert_true(slice_eq(buf_slice(&seen), SLICE("[|a\0b]")));
	buf_fini(&seen);
}

struct range {
	const char *from, *to;
	int inside, outside;
};

static enum err_code where(void *ctx, const struct sse_event *ev, struct err *e)
{
	struct range *r = ctx;

	(void)e;
	if (ev->data.ptr >= r->from && ev->data.ptr + ev->data.len <= r->to)
		r->inside++;
	else
		r->outside++;
	return ERR_OK;
}

static void an_event_that_arrives_whole_is_not_copied(void **state)
{
	static const char text[] = "event: m\ndata: one\n\n: c\ndata: two\r\n\r\ndata: th";
	struct range r = { .from = text, .to = text + sizeof(text) };
	struct sse s;
	bool partial;

	(void)state;
	sse_init(&s, MAX_BYTES);
	assert_int_equal(sse_feed(&s, text, sizeof(text) - 1, where, &r, NULL), ERR_OK);
	assert_int_equal(r.inside, 2);
	assert_int_equal(sse_feed(&s, "ree\n\n", 5, where, &r, NULL), ERR_OK);
	assert_int_equal(r.outside, 1);
	assert_int_equal(sse_end(&s, where, &r, &partial, NULL), ERR_OK);
	assert_false(partial);
	sse_fini(&s);
}

static enum err_code refuse(void *ctx, const struct sse_event *ev, struct err *e)
{
	int *calls = ctx;

	(void)ev;
	++*calls;
	return err_set(e, ERR_UPSTREAM_INVALID, "not today");
}

static void what_the_receiver_says_stops_the_feed(void **state)
{
	struct err e = { 0 };
	struct sse s;
	int calls = 0;
	bool partial;

	(void)state;
	sse_init(&s, MAX_BYTES);
	assert_int_equal(sse_feed(&s, "data: a\n\ndata: b\n\n", 18, refuse, &calls, &e),
		ERR_UPSTREAM_INVALID);
	assert_int_equal(calls, 1);
	assert_string_equal(e.message, "not today");
	assert_int_equal(sse_feed(&s, "data: c", 7, refuse, &calls, &e), ERR_OK);
	assert_int_equal(sse_end(&s, refuse, &calls, &partial, &e), ERR_UPSTREAM_INVALID);
	assert_true(partial);
	assert_int_equal(calls, 2);
	sse_fini(&s);
}

static void the_ceiling_holds_at_the_same_byte_however_the_stream_is_cut(void **state)
{
	static const struct {
		const char *text;
		enum err_code rc;
	} rows[] = {
		{ "data: 4567890123456789\n\n", ERR_OK }, /* 22 bytes a line */
		{ "data: 45678901234567890\n\n", ERR_UPSTREAM_TOO_LARGE },
		{ ": 34567890123456789012\n", ERR_OK },
		{ ": 345678901234567890123", ERR_UPSTREAM_TOO_LARGE },
		{ "data:0123456789\ndata:01234567890\n\n", ERR_OK }, /* 10 + 1 + 11 */
		{ "data:0123456789\ndata:012345678901\n\n", ERR_UPSTREAM_TOO_LARGE },
		{ "data:0123456789\n\ndata:0123456789\n\ndata:0123456789\n\n", ERR_OK },
	};
	struct buf seen = { 0 };
	struct err e;
	struct sse s;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		size_t n = strlen(rows[i].text);

		print_message("%s\n", rows[i].text);
		for (size_t step = 1; step <= n; step++) {
			enum err_code rc = ERR_OK;

			sse_init(&s, 22);
			for (size_t at = 0; at < n && !rc; at += step)
				rc = sse_feed(&s, rows[i].text + at, at + step < n ? step : n - at,
					collect, &seen, &e);
			assert_int_equal(rc, rows[i].rc);
			if (rc)
				assert_non_null(strstr(e.message, "22 bytes"));
			sse_fini(&s);
		}
	}
	buf_fini(&seen);
}

static void an_ended_parser_reads_another_stream(void **state)
{
	struct buf seen = { 0 };
	struct sse s;
	bool partial;

	(void)state;
	sse_init(&s, MAX_BYTES);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(feed(&s,
					 "\xef\xbb\xbf"
					 "data: x\r",
					 11, &seen),
			ERR_OK);
		assert_int_equal(sse_end(&s, collect, &seen, &partial, NULL), ERR_OK);
		assert_true(partial);
	}
	assert_string_equal(buf_cstr(&seen), "[|x][|x]");
	assert_int_equal(sse_end(&s, collect, &seen, &partial, NULL), ERR_OK);
	assert_false(partial);
	sse_fini(&s);
	sse_fini(&s);
	buf_fini(&seen);
}

static void a_large_event_does_not_keep_its_memory(void **state)
{
	size_t n = 1 << 20;
	char *text = malloc(n);
	struct buf seen = { 0 };
	struct sse s;

	(void)state;
	assert_non_null(text);
	memset(text, 'x', n);
	memcpy(text, "data:", 5);
	sse_init(&s, n);
	assert_int_equal(feed(&s, text, n, &seen), ERR_OK);
	assert_int_equal(feed(&s, "\n\n", 2, &seen), ERR_OK);
	assert_int_equal(seen.len, n - 5 + 3);
	assert_true(s.line.cap + s.data.cap < n / 2);
	sse_fini(&s);
	buf_fini(&seen);
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_stream_gives_the_same_events_however_it_is_cut),
		cmocka_unit_test(a_nul_is_a_byte_like_any_other),
		cmocka_unit_test(an_event_that_arrives_whole_is_not_copied),
		cmocka_unit_test(what_the_receiver_says_stops_the_feed),
		cmocka_unit_test(the_ceiling_holds_at_the_same_byte_however_the_stream_is_cut),
		cmocka_unit_test(an_ended_parser_reads_another_stream),
		cmocka_unit_test(a_large_event_does_not_keep_its_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
