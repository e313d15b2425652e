#include "base/aws_frames.h"
#include "tests/unit/frame_writer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

/* providers.md section 7.3 */
static const char vector[] =
	"0000007a00000051ca2c46650b3a6576656e742d7479706507000b6d65737361676553746f70"
	"0d3a636f6e74656e742d747970650700106170706c69636174696f6e2f6a736f6e"
	"0d3a6d6573736167652d747970650700056576656e74"
	"7b2273746f70526561736f6e223a22656e645f7475726e227d5fbf09fc";

#define VECTOR_BYTES 122

static struct buf vector_frame(void)
{
	struct buf b = { 0 };
	char *room = buf_room(&b, VECTOR_BYTES);

	assert_non_null(room);
	assert_true(crypto_unhex(slice_of(vector), room, VECTOR_BYTES));
	buf_commit(&b, VECTOR_BYTES);
	return b;
}

static enum err_code note(void *ctx, const struct sse_event *ev, struct err *e)
{
	struct buf *seen = ctx;

	(void)e;
	buf_slice_append(seen, ev->name);
	buf_char(seen, '=');
	buf_slice_append(seen, ev->data);
	buf_char(seen, ';');
	return ERR_OK;
}

/* Feeds text in a first piece and pieces of step bytes; each is gone after its feed. */
static enum err_code feed_cut(struct slice text, size_t max, size_t first, size_t step,
	struct buf *seen, bool *partial, struct err *e)
{
	struct aws_frames f;
	enum err_code rc = ERR_OK;

	buf_reset(seen);
	aws_frames_init(&f, max);
	for (size_t n = first; !rc && text.len; n = step) {
		struct slice piece = slice_first(text, n);
		char *copy = malloc(piece.len + 1);

		assert_non_null(copy);
		memcpy(copy, piece.ptr, piece.len);
		rc = aws_frames_feed(&f, copy, piece.len, note, seen, e);
		free(copy);
		text = slice_from(text, piece.len);
	}
	*partial = aws_frames_end(&f);
	aws_frames_fini(&f);
	return rc;
}

static enum err_code feed(struct slice text, size_t max, struct buf *seen, struct err *e)
{
	bool partial;

	return feed_cut(text, max, text.len, 1, seen, &partial, e);
}

static void assert_seen(const struct buf *seen, const char *wanted)
{
	if (!slice_is(buf_slice(seen), wanted))
		fail_msg("expected %s, but got %.*s", wanted, SLICE_ARG(buf_slice(seen)));
}

static void the_published_frame_is_read(void **state)
{
	struct buf frame = vector_frame(), again = { 0 }, seen = { 0 };

	(void)state;
	assert_int_equal(feed(buf_slice(&frame), 4096, &seen, NULL), ERR_OK);
	assert_seen(&seen, "messageStop={\"stopReason\":\"end_turn\"};");
	/* and the tests write frames as they are published */
	frame_put_event(&again, SLICE("messageStop"), SLICE("{\"stopReason\":\"end_turn\"}"));
	assert_true(slice_eq(buf_slice(&frame), buf_slice(&again)));
	buf_fini(&frame);
	buf_fini(&again);
	buf_fini(&seen);
}

static void frames_read_the_same_wherever_they_are_cut(void **state)
{
	static const char wanted[] = "messageStart={\"role\":\"assistant\"};contentBlockDelta="
				     "{\"delta\":{\"text\":\"a\"}};ping=;!throttlingException="
				     "{\"message\":\"slow down\"};";
	struct buf text = { 0 }, seen = { 0 };
	bool partial;

	(void)state;
	frame_put_lines(&text, SLICE("messageStart {\"role\":\"assistant\"}\n"
				     "contentBlockDelta {\"delta\":{\"text\":\"a\"}}\nping\n"
				     "!throttlingException {\"message\":\"slow down\"}\n"));
	for (size_t step = 1; step <= text.len; step++) {
		assert_int_equal(
			feed_cut(buf_slice(&text), 4096, step, step, &seen, &partial, NULL),
			ERR_OK);
		assert_seen(&seen, wanted);
		assert_false(partial);
	}
	for (size_t cut = 1; cut < text.len; cut++) {
		assert_int_equal(
			feed_cut(buf_slice(&text), 4096, cut, text.len, &seen, &partial, NULL),
			ERR_OK);
		assert_seen(&seen, wanted);
	}
	buf_fini(&text);
	buf_fini(&seen);
}

static void every_flipped_bit_is_noticed(void **state)
{
	struct buf frame = vector_frame(), seen = { 0 };
	bool partial;

	(void)state;
	for (size_t i = 0; i < 8 * frame.len; i++) {
		struct err e = { 0 };
		enum err_code rc;

		frame.data[i / 8] = (char)(frame.data[i / 8] ^ 1 << i % 8);
		rc = feed_cut(buf_slice(&frame), 4096, i % 130, 7, &seen, &partial, &e);
		if (rc != ERR_UPSTREAM_INVALID || seen.len)
			fail_msg("bit %zu of byte %zu goes unnoticed", i % 8, i / 8);
		assert_non_null(strstr(e.message, "checksum"));
		frame.data[i / 8] = (char)(frame.data[i / 8] ^ 1 << i % 8);
	}
	buf_fini(&frame);
	buf_fini(&seen);
}

static void a_frame_above_the_ceiling_is_refused_before_it_is_read(void **state)
{
	struct buf frame = vector_frame(), seen = { 0 };
	struct aws_frames f;
	struct err e;

	(void)state;
	assert_int_equal(feed(buf_slice(&frame), VECTOR_BYTES, &seen, NULL), ERR_OK);
	aws_frames_init(&f, VECTOR_BYTES - 1);
	assert_int_equal(
		aws_frames_feed(&f, frame.data, 12, note, &seen, &e), ERR_UPSTREAM_TOO_LARGE);
	assert_non_null(strstr(e.message, "121 bytes"));
	assert_null(f.frame.data); /* nothing was kept for it */
	aws_frames_fini(&f);
	buf_fini(&frame);
	buf_fini(&seen);
}

static void after_a_wrong_frame_nothing_more_is_believed(void **state)
{
	struct buf frame = vector_frame(), seen = { 0 };
	struct aws_frames f;

	(void)state;
	aws_frames_init(&f, 4096);
	frame.data[100] ^= 1;
	assert_int_equal(aws_frames_feed(&f, frame.data, frame.len, note, &seen, NULL),
		ERR_UPSTREAM_INVALID);
	frame.data[100] ^= 1;
	assert_int_equal(aws_frames_feed(&f, frame.data, frame.len, note, &seen, NULL),
		ERR_UPSTREAM_INVALID);
	assert_int_equal(seen.len, 0);
	/* a new stream begins anew */
	assert_false(aws_frames_end(&f));
	assert_int_equal(aws_frames_feed(&f, frame.data, frame.len, note, &seen, NULL), ERR_OK);
	assert_int_not_equal(seen.len, 0);
	aws_frames_fini(&f);
	buf_fini(&frame);
	buf_fini(&seen);
}

static void an_end_within_a_frame_is_told(void **state)
{
	struct buf frame = vector_frame(), seen = { 0 };
	bool partial;

	(void)state;
	for (size_t n = 1; n < frame.len; n++) {
		assert_int_equal(feed_cut(slice_first(buf_slice(&frame), n), 4096, 5, 5, &seen,
					 &partial, NULL),
			ERR_OK);
		assert_true(partial);
		assert_int_equal(seen.len, 0);
	}
	buf_fini(&frame);
	buf_fini(&seen);
}

static void an_error_frame_tells_code_and_message(void **state)
{
	struct buf headers = { 0 }, text = { 0 }, seen = { 0 };

	(void)state;
	frame_put_header(&headers, ":message-type", SLICE("error"));
	frame_put_header(&headers, ":error-code", SLICE("InternalError"));
	frame_put_header(&headers, ":error-message", SLICE("a \"quoted\" reason"));
	frame_put(&text, buf_slice(&headers), SLICE(""));
	assert_int_equal(feed(buf_slice(&text), 4096, &seen, NULL), ERR_OK);
	assert_seen(&seen, "!InternalError={\"message\":\"a \\\"quoted\\\" reason\"};");
	buf_fini(&headers);
	buf_fini(&text);
	buf_fini(&seen);
}

static void a_long_name_of_an_exception_is_cut(void **state)
{
	struct buf headers = { 0 }, text = { 0 }, seen = { 0 }, name = { 0 };

	(void)state;
	for (int i = 0; i < 40000; i++)
		buf_char(&name, 'x');
	frame_put_header(&headers, ":message-type", SLICE("exception"));
	frame_put_header(&headers, ":exception-type", buf_slice(&name));
	frame_put(&text, buf_slice(&headers), SLICE("{}"));
	assert_int_equal(feed(buf_slice(&text), 1 << 20, &seen, NULL), ERR_OK);
	assert_int_equal(slice_starts(buf_slice(&seen), "!xxx"), 1);
	assert_in_range(seen.len, 64, 200);
	buf_fini(&headers);
	buf_fini(&text);
	buf_fini(&seen);
	buf_fini(&name);
}

static void headers_of_every_type_are_stepped_over(void **state)
{
	/* true, false, int8, int16, int32, int64, bytes, time, uuid */
	static const unsigned char sizes[] = { 0, 0, 1, 2, 4, 8, 3, 0, 8, 16 };
	struct buf headers = { 0 }, text = { 0 }, seen = { 0 };

	(void)state;
	for (unsigned type = 0; type < sizeof(sizes); type++) {
		if (type == 7)
			continue;
		buf_append(&headers, "\x02:x", 3);
		buf_char(&headers, (char)type);
		if (type == 6)
			buf_append(&headers, "\0\x03", 2);
		for (unsigned i = 0; i < sizes[type]; i++)
			buf_char(&headers, (char)0xff);
	}
	frame_put_header(&headers, ":event-type", SLICE("here"));
	frame_put(&text, buf_slice(&headers), SLICE("{}"));
	assert_int_equal(feed(buf_slice(&text), 4096, &seen, NULL), ERR_OK);
	assert_seen(&seen, "here={};");
	buf_fini(&headers);
	buf_fini(&text);
	buf_fini(&seen);
}

static void headers_that_do_not_fit_are_refused(void **state)
{
	const struct {
		const char *what;
		struct slice headers;
	} rows[] = {
		{ "a name longer than the headers", SLICE("\x09:x\x07") },
		{ "no type", SLICE("\x02:x") },
		{ "an unknown type", SLICE("\x02:x\x0a") },
		{ "a type above 127", SLICE("\x02:x\xff") },
		{ "a string longer than the headers", SLICE("\x02:x\x07\x00\x09y") },
		{ "half a length", SLICE("\x02:x\x07\x00") },
		{ "half a number", SLICE("\x02:x\x05\x00\x00") },
	};
	struct buf text = { 0 }, seen = { 0 };
	struct err e;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		print_message("%s\n", rows[i].what);
		buf_reset(&text);
		frame_put(&text, rows[i].headers, SLICE("{}"));
		assert_int_equal(feed(buf_slice(&text), 4096, &seen, &e), ERR_UPSTREAM_INVALID);
		assert_non_null(strstr(e.message, "header"));
		assert_int_equal(seen.len, 0);
	}
	buf_fini(&text);
	buf_fini(&seen);
}

static void lengths_that_cannot_be_are_refused(void **state)
{
	static const uint32_t rows[][2] = { { 0, 0 }, { 15, 0 }, { 16, 1 }, { 100, 85 },
		{ 100, UINT32_MAX } };
	struct buf text = { 0 }, seen = { 0 };
	struct err e;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		buf_reset(&text);
		frame_put32(&text, rows[i][0]);
		frame_put32(&text, rows[i][1]);
		frame_put32(&text, crypto_crc32(buf_slice(&text)));
		assert_int_equal(feed(buf_slice(&text), 4096, &seen, &e), ERR_UPSTREAM_INVALID);
		assert_non_null(strstr(e.message, "lengths"));
	}
	buf_fini(&text);
	buf_fini(&seen);
}

static enum err_code refuse(void *ctx, const struct sse_event *ev, struct err *e)
{
	(void)ev;
	++*(int *)ctx;
	return err_set(e, ERR_BUSY, "enough");
}

static void the_receivers_error_stops_the_feed(void **state)
{
	struct buf frame = vector_frame(), two = { 0 };
	struct aws_frames f;
	struct err e;
	int events = 0;

	(void)state;
	buf_slice_append(&two, buf_slice(&frame));
	buf_slice_append(&two, buf_slice(&frame));
	aws_frames_init(&f, 4096);
	assert_int_equal(aws_frames_feed(&f, two.data, two.len, refuse, &events, &e), ERR_BUSY);
	assert_string_equal(e.message, "enough");
	assert_int_equal(events, 1);
	aws_frames_fini(&f);
	buf_fini(&frame);
	buf_fini(&two);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_published_frame_is_read),
		cmocka_unit_test(frames_read_the_same_wherever_they_are_cut),
		cmocka_unit_test(every_flipped_bit_is_noticed),
		cmocka_unit_test(a_frame_above_the_ceiling_is_refused_before_it_is_read),
		cmocka_unit_test(after_a_wrong_frame_nothing_more_is_believed),
		cmocka_unit_test(an_end_within_a_frame_is_told),
		cmocka_unit_test(an_error_frame_tells_code_and_message),
		cmocka_unit_test(a_long_name_of_an_exception_is_cut),
		cmocka_unit_test(headers_of_every_type_are_stepped_over),
		cmocka_unit_test(headers_that_do_not_fit_are_refused),
		cmocka_unit_test(lengths_that_cannot_be_are_refused),
		cmocka_unit_test(the_receivers_error_stops_the_feed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
