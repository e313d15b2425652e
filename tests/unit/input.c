/* fcgi/input.c: what a web server sends, in any portion, and what nobody should send. */
#include "base/clock.h"
#include "fcgi/input.h"
#include "tests/unit/fcgi_client.h"

#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdio.h>
#include <cmocka.h>

#define PATIENCE_MS 5000

static const char *const post[] = { "REQUEST_METHOD", "POST", "EMPTY", "", "HTTP_A", "one", NULL };

/* Sends bytes, step at a time, to somebody who may close before the end, and closes. */
struct sending {
	pthread_t thread;
	int fd;
	struct slice bytes;
	size_t step;
};

static void *send_what_is_taken(void *arg)
{
	struct sending *s = arg;
	ssize_t n = 1;

	while (s->bytes.len && n > 0) {
		struct slice part = slice_first(s->bytes, s->step);

		n = send(s->fd, part.ptr, part.len, MSG_NOSIGNAL);
		s->bytes = slice_from(s->bytes, n > 0 ? (size_t)n : 0);
	}
	close(s->fd);
	return NULL;
}

static int64_t soon(void)
{
	return clock_mono_ms() + PATIENCE_MS;
}

static struct slice piece_of(struct input *in, enum input_read expected)
{
	struct slice piece = SLICE("");

	assert_int_equal(input_read(in, soon(), &piece), expected);
	return piece;
}

/* All that can be read from fd, and how it ends: "no" or "ID RESPONDER FAULT params | body END". */
static void see(int fd, struct buf *seen)
{
	struct input *in = input_open(fd, soon());
	struct slice piece;
	enum input_read rc;
	const char *name;

	if (!in) {
		assert_int_equal(fcntl(fd, F_GETFD), -1);
		buf_str(seen, "no");
		return;
	}
	buf_printf(seen, "%u %d %d ", input_request_id(in), input_is_for_responder(in),
		(int)input_fault(in, &name));
	for (char **p = input_params(in); *p; p++)
		buf_printf(seen, "%s;", *p);
	buf_str(seen, "| ");
	while ((rc = input_read(in, soon(), &piece)) == INPUT_BYTES)
		buf_slice_append(seen, piece);
	assert_int_equal(input_read(in, soon(), &piece), rc);
	buf_str(seen, rc == INPUT_END ? " END" : rc == INPUT_BROKEN ? " BROKEN" : " TIMEOUT");
	input_close(in);
	close(fd);
}

/* SOCK_SEQPACKET keeps the cuts between sends. */
static void see_sent(struct slice bytes, size_t step, struct buf *seen)
{
	struct sending s = { .bytes = bytes, .step = step };
	int fd[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fd), 0);
	s.fd = fd[1];
	assert_int_equal(pthread_create(&s.thread, NULL, send_what_is_taken, &s), 0);
	see(fd[0], seen);
	pthread_join(s.thread, NULL);
}

static void see_cut(struct slice bytes, size_t cut, struct buf *seen)
{
	int fd[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fd), 0);
	client_send(fd[1], slice_first(bytes, cut));
	client_send(fd[1], slice_from(bytes, cut));
	close(fd[1]);
	see(fd[0], seen);
}

static void expect(struct buf *seen, const char *text)
{
	if (!slice_is(buf_slice(seen), text))
		print_message("seen     %.*s\nexpected %s\n", (int)seen->len, seen->data, text);
	assert_true(slice_is(buf_slice(seen), text));
	buf_fini(seen);
}

static void expect_sent(struct buf *b, const char *text)
{
	struct buf seen = { 0 };

	assert_true(buf_ok(b));
	see_sent(buf_slice(b), 8000, &seen);
	expect(&seen, text);
	buf_fini(b);
}

/* ---- what web servers send ---- */

static void what_each_web_server_sends_reads_the_same_in_any_portion(void **state)
{
	static const struct {
		const char *file;
		const char *software; /* as the web server calls itself */
	} rows[] = {
		{ "lighttpd", ";SERVER_SOFTWARE=lighttpd/1.4.69;" },
		{ "nginx", ";SERVER_SOFTWARE=nginx/1.22.1;" },
		{ "mod_fcgid", ";SERVER_SOFTWARE=Apache/2.4.71 (Debian) mod_fcgid/2.3.9;" },
		{ "mod_proxy_fcgi", ";SERVER_SOFTWARE=Apache/2.4.71 (Debian);" },
	};
	static const char *const all[] = { ";REQUEST_METHOD=POST;",
		";REQUEST_URI=/v1/chat/completions?a=1&b=%20c;", "CONTENT_LENGTH=11;",
		";CONTENT_TYPE=application/json;", ";HTTP_AUTHORIZATION=Bearer sk-tg-golden;",
		";HTTP_X_REQUEST_ID=golden-1;", "llllllll;", "| hello world END" };

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		char path[100], bytes[4000];
		struct buf whole = { 0 }, seen = { 0 };
		struct slice sent = { bytes, 0 };
		FILE *f;

		(void)snprintf(path, sizeof(path), "tests/fixtures/fastcgi/%s.bin", rows[i].file);
		print_message("%s\n", path);
		f = fopen(path, "re");
		assert_non_null(f);
		sent.len = fread(bytes, 1, sizeof(bytes), f);
		(void)fclose(f);
		see_sent(sent, sizeof(bytes), &whole);
		assert_true(slice_starts(buf_slice(&whole), "1 1 0 "));
		assert_non_null(
			memmem(whole.data, whole.len, rows[i].software, strlen(rows[i].software)));
		for (size_t k = 0; k < sizeof(all) / sizeof(*all); k++) {
			print_message("%s\n", all[k]);
			assert_non_null(memmem(whole.data, whole.len, all[k], strlen(all[k])));
		}
		see_sent(sent, 1, &seen);
		assert_true(slice_eq(buf_slice(&seen), buf_slice(&whole)));
		for (size_t cut = 1; cut < sent.len; cut++) {
			buf_reset(&seen);
			see_cut(sent, cut, &seen);
			assert_true(slice_eq(buf_slice(&seen), buf_slice(&whole)));
		}
		buf_fini(&seen);
		buf_fini(&whole);
	}
}

static void records_of_any_size_and_padding_make_the_same_request(void **state)
{
	static const size_t sizes[] = { 1, 7, 65535 }, steps[] = { 1, 8, 9, 8000 };
	static const unsigned paddings[] = { 0, 1, 7, 8, 255 };

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		for (size_t k = 0; k < 5; k++) {
			struct buf b = { 0 };

			client_request(&b, post, SLICE("hello world"), sizes[i], paddings[k]);
			for (size_t j = 0; j < 4; j++) {
				struct buf seen = { 0 };

				see_sent(buf_slice(&b), steps[j], &seen);
				expect(&seen, "258 1 0 REQUEST_METHOD=POST;EMPTY=;HTTP_A=one;| "
					      "hello world END");
			}
			buf_fini(&b);
		}
	}
}

static void an_end_at_any_byte_is_never_taken_for_a_whole_request(void **state)
{
	struct buf b = { 0 };
	bool had_body = false;

	(void)state;
	client_request(&b, post, SLICE("hello world"), 6, 3);
	for (size_t len = 1; len < b.len; len++) {
		struct buf seen = { 0 };

		see_sent(slice_first(buf_slice(&b), len), 8000, &seen);
		assert_true(slice_is(buf_slice(&seen), "no") ||
			    slice_ends(buf_slice(&seen), " BROKEN"));
		had_body |= slice_ends(buf_slice(&seen), "hello world BROKEN");
		buf_fini(&seen);
	}
	assert_true(had_body);
	buf_fini(&b);
}

/* ---- what nobody should send ---- */

static void params_text(struct buf *b, struct slice text)
{
	client_begin(b, FCGI_RESPONDER);
	client_stream(b, FCGI_PARAMS, text, 65535, 0);
	client_stream(b, FCGI_STDIN, SLICE("x"), 1, 0);
}

static void lengths_that_lie_are_no_request(void **state)
{
	static const struct slice lies[] = { SLICE("\xff\xff\xff\xff\1NV"),
		SLICE("\1\xff\xff\xff\xffNV"), SLICE("\xff\xff\xff\xff\xff\xff\xff\xffNV"),
		SLICE("\1\2NV"), SLICE("\2\1NV"), SLICE("\1\1NV\1"), SLICE("\1\1NV\1\1"),
		SLICE("\x80"), SLICE("\1\x80\0\0"), SLICE("\1"), SLICE("\5\5"),
		SLICE("\x80\0\0\1\x80\0\0\2NV") };

	(void)state;
	for (size_t i = 0; i < sizeof(lies) / sizeof(*lies); i++) {
		struct buf b = { 0 };

		print_message("row %zu\n", i);
		params_text(&b, lies[i]);
		expect_sent(&b, "no");
	}
}

static void lengths_may_be_written_long_and_nothing_may_be_named(void **state)
{
	struct buf b = { 0 };

	(void)state;
	params_text(&b, SLICE("\x80\0\0\1\x80\0\0\2NVW\1\0E\0\2vw\0\0\x80\0\0\0\1v\1\1NZ"));
	expect_sent(&b, "258 1 0 N=VW;E=;=vw;=;=v;N=Z;| x END");
	params_text(&b, SLICE(""));
	expect_sent(&b, "258 1 0 | x END");
}

static void parameters_above_the_limit_are_told_from_those_at_it(void **state)
{
	size_t room = INPUT_PARAMS_MAX - 14; /* "A", one byte; "BIG", room bytes */
	char *big = calloc(1, 4 * INPUT_PARAMS_MAX);

	(void)state;
	assert_non_null(big);
	memset(big, 'b', 4 * INPUT_PARAMS_MAX);
	for (int more = 0; more < 3; more++) {
		struct buf b = { 0 }, text = { 0 };
		struct sending s = { .step = 100000 };
		struct input *in;
		const char *name;
		int fd[2];

		print_message("row %d\n", more);
		client_param(&text, SLICE("A"), SLICE("1"));
		client_param(&text, SLICE("BIG"),
			(struct slice){ big, more < 2 ? room + (size_t)more : 4 * room });
		client_param(&text, SLICE("C"), more ? SLICE("2") : SLICE(""));
		if (!more)
			text.len -= 3;
		assert_int_equal(text.len == INPUT_PARAMS_MAX - 2, !more);
		params_text(&b, buf_slice(&text));
		assert_true(buf_ok(&b));
		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fd), 0);
		s.fd = fd[1];
		s.bytes = buf_slice(&b);
		assert_int_equal(pthread_create(&s.thread, NULL, send_what_is_taken, &s), 0);
		in = input_open(fd[0], soon());
		assert_non_null(in);
		assert_int_equal(input_fault(in, &name), more ? INPUT_TOO_LARGE : INPUT_WELL);
		assert_string_equal(input_params(in)[0], "A=1");
		if (more == 2)
			assert_null(input_params(in)[1]);
		else
			assert_int_equal(strlen(input_params(in)[1]), 4 + room + (size_t)more);
		assert_true(slice_is(piece_of(in, INPUT_BYTES), "x"));
		(void)piece_of(in, INPUT_END);
		pthread_join(s.thread, NULL);
		input_close(in);
		close(fd[0]);
		buf_fini(&b);
		buf_fini(&text);
	}
	free(big);
}

static void a_nul_is_a_fault_and_makes_no_parameter(void **state)
{
	static const struct {
		struct slice name, value;
		const char *named;
	} rows[] = { { SLICE("HTTP_A"), SLICE("x\0HTTP_B=y"), "HTTP_A" },
		{ SLICE("HTTP_A"), SLICE("\0"), "HTTP_A" },
		{ SLICE("HTTP_A"), SLICE("x\0"), "HTTP_A" },
		{ SLICE("HTTP_C\0HTTP_D"), SLICE("z"), "HTTP_C" },
		{ SLICE("\0HTTP_D"), SLICE("z"), "" }, { SLICE("\0"), SLICE(""), "" } };

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct buf b = { 0 }, text = { 0 };
		struct input *in;
		const char *name;
		int fd[2];

		print_message("row %zu\n", i);
		client_param(&text, SLICE("FIRST"), SLICE("1"));
		client_param(&text, rows[i].name, rows[i].value);
		client_param(&text, SLICE("\0second"), SLICE("2"));
		client_param(&text, SLICE("LAST"), SLICE("a\r\nb=c"));
		params_text(&b, buf_slice(&text));
		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fd), 0);
		client_send(fd[1], buf_slice(&b));
		in = input_open(fd[0], soon());
		assert_non_null(in);
		assert_int_equal(input_fault(in, &name), INPUT_HAS_NUL);
		assert_string_equal(name, rows[i].named);
		assert_string_equal(input_params(in)[0], "FIRST=1");
		assert_string_equal(input_params(in)[1], "LAST=a\r\nb=c");
		assert_null(input_params(in)[2]);
		input_close(in);
		close(fd[0]);
		close(fd[1]);
		buf_fini(&b);
		buf_fini(&text);
	}
}

/* A record that is not of this request: of another one, or of none. */
static void stranger(struct buf *b, int type, unsigned id, struct slice bytes)
{
	size_t at = b->len;

	client_record(b, type, bytes.ptr, bytes.len, 3);
	b->data[at + 2] = (char)(id >> 8);
	b->data[at + 3] = (char)id;
}

static void records_of_others_are_passed_over(void **state)
{
	struct buf b = { 0 }, text = { 0 };

	(void)state;
	client_param(&text, SLICE("REQUEST_METHOD"), SLICE("POST"));
	stranger(&b, FCGI_GET_VALUES, 0, SLICE("\16\0FCGI_MAX_CONNS"));
	stranger(&b, FCGI_STDIN, 7, SLICE("early"));
	client_begin(&b, FCGI_RESPONDER);
	stranger(&b, FCGI_PARAMS, 7, SLICE("\1\1NV"));
	stranger(&b, FCGI_PARAMS, 0x0202, SLICE("")); /* one byte of its id is ours */
	client_record(&b, FCGI_PARAMS, text.data, 5, 0);
	stranger(&b, FCGI_ABORT_REQUEST, 7, SLICE(""));
	stranger(&b, 99, 0, SLICE("what is this"));
	stranger(&b, FCGI_BEGIN_REQUEST, 7, SLICE("\0\1\0\0\0\0\0\0"));
	client_stream(&b, FCGI_PARAMS, slice_from(buf_slice(&text), 5), 65535, 0);
	client_record(&b, FCGI_STDIN, "one ", 4, 0);
	stranger(&b, FCGI_GET_VALUES, 0, SLICE("\16\0FCGI_MAX_CONNS"));
	stranger(&b, FCGI_STDIN, 7, SLICE(""));
	stranger(&b, FCGI_STDIN, 0x0103, SLICE("no "));
	client_record(&b, FCGI_DATA, "data", 4, 9);
	client_stream(&b, FCGI_STDIN, SLICE("two"), 1, 0);
	for (size_t step = 1; step < 40; step += 3) {
		struct buf seen = { 0 };

		see_sent(buf_slice(&b), step, &seen);
		expect(&seen, "258 1 0 REQUEST_METHOD=POST;| one two END");
	}
	buf_fini(&b);
	buf_fini(&text);
}

static void nonsense_is_no_request(void **state)
{
	static const struct slice rows[] = { SLICE("GET / HTTP/1.0\r\n\r\n"),
		/* version 2, id 0, a body that is too long, one too short, none, no body's end */
		SLICE("\2\1\1\2\0\10\0\0\0\1\0\0\0\0\0\0"),
		SLICE("\1\1\0\0\0\10\0\0\0\1\0\0\0\0\0\0"),
		SLICE("\1\1\1\2\0\11\0\0\0\1\0\0\0\0\0\0\0"),
		SLICE("\1\1\1\2\0\7\0\0\0\1\0\0\0\0\0"), SLICE("\1\1\1\2\0\0\0\0"),
		/* an abort, and a body that comes too early */
		SLICE("\1\1\1\2\0\10\0\0\0\1\0\0\0\0\0\0\1\2\1\2\0\0\0\0"),
		SLICE("\1\1\1\2\0\10\0\0\0\1\0\0\0\0\0\0\1\5\1\2\0\1\0\0x"),
		/* the end of the parameters in version 2, and in version 0 */
		SLICE("\1\1\1\2\0\10\0\0\0\1\0\0\0\0\0\0\2\4\1\2\0\0\0\0"),
		SLICE("\1\1\1\2\0\10\0\0\0\1\0\0\0\0\0\0\0\4\1\2\0\0\0\0") };

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct buf b = { 0 };

		print_message("row %zu\n", i);
		buf_slice_append(&b, rows[i]);
		client_stream(&b, FCGI_PARAMS, SLICE(""), 1, 0);
		client_stream(&b, FCGI_STDIN, SLICE(""), 1, 0);
		expect_sent(&b, "no");
	}
}

static void a_body_ends_with_an_abort_or_nonsense_for_good(void **state)
{
	static const struct slice rows[] = { SLICE("\1\2\1\2\0\0\0\0"), SLICE("\0\5\1\2\0\0\0\0"),
		SLICE("\1\1\0\0\0\10\0\0\0\1\0\0\0\0\0\0") };

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct buf b = { 0 };

		client_begin(&b, FCGI_RESPONDER);
		client_stream(&b, FCGI_PARAMS, SLICE("\1\1NV"), 1, 0);
		client_record(&b, FCGI_STDIN, "half", 4, 2);
		buf_slice_append(&b, rows[i]);
		client_stream(&b, FCGI_STDIN, SLICE(" more"), 5, 0);
		expect_sent(&b, "258 1 0 N=V;| half BROKEN");
	}
}

static void other_roles_are_told_apart(void **state)
{
	static const struct {
		const char *body; /* of BEGIN_REQUEST */
		const char *seen;
	} rows[] = { { "\0\1\0\0\0\0\0\0", "258 1 0 | x END" },
		{ "\0\1\1\0\0\0\0\0", "258 1 0 | x END" }, /* keeps its connection */
		{ "\0\2\0\0\0\0\0\0", "258 0 0 | x END" },
		{ "\0\3\1\0\0\0\0\0", "258 0 0 | x END" },
		{ "\1\1\0\0\0\0\0\0", "258 0 0 | x END" },
		{ "\0\0\0\0\0\0\0\0", "258 0 0 | x END" } };

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct buf b = { 0 };

		client_record(&b, FCGI_BEGIN_REQUEST, rows[i].body, 8, 0);
		client_stream(&b, FCGI_PARAMS, SLICE(""), 1, 0);
		client_stream(&b, FCGI_STDIN, SLICE("x"), 1, 0);
		expect_sent(&b, rows[i].seen);
	}
}

/* ---- time ---- */

static void a_body_that_pauses_goes_on_behind_a_timeout(void **state)
{
	struct buf b = { 0 };
	struct slice piece;
	struct input *in;
	int fd[2];

	(void)state;
	client_request(&b, post, SLICE("hello"), 3, 0); /* ends in "lo" and an empty record */
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fd), 0);
	client_send(fd[1], slice_first(buf_slice(&b), b.len - 9));
	in = input_open(fd[0], soon());
	assert_non_null(in);
	assert_true(slice_is(piece_of(in, INPUT_BYTES), "hel"));
	assert_true(slice_is(piece_of(in, INPUT_BYTES), "l"));
	assert_int_equal(input_read(in, clock_mono_ms() + 1, &piece), INPUT_TIMEOUT);
	assert_int_equal(input_read(in, 0, &piece), INPUT_TIMEOUT);
	client_send(fd[1], slice_from(buf_slice(&b), b.len - 9));
	assert_true(slice_is(piece_of(in, INPUT_BYTES), "o"));
	(void)piece_of(in, INPUT_END);
	input_close(in);
	close(fd[0]);
	close(fd[1]);
	buf_fini(&b);
}

/* The same again and again, until nobody takes it. */
static void *send_for_ever(void *arg)
{
	struct sending *s = arg;

	while (send(s->fd, s->bytes.ptr, s->bytes.len, MSG_NOSIGNAL) > 0)
		;
	close(s->fd);
	return NULL;
}

static void a_peer_that_never_stops_is_given_up_at_the_deadline(void **state)
{
	static const char data[60000];

	(void)state;
	for (int begun = 0; begun < 2; begun++) {
		struct buf b = { 0 };
		struct sending s;
		int fd[2];

		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fd), 0);
		client_begin(&b, FCGI_RESPONDER);
		if (begun)
			client_send(fd[1], buf_slice(&b));
		buf_reset(&b);
		stranger(&b, FCGI_DATA, 7, (struct slice){ data, sizeof(data) });
		s = (struct sending){ .fd = fd[1], .bytes = buf_slice(&b) };
		assert_int_equal(pthread_create(&s.thread, NULL, send_for_ever, &s), 0);
		assert_null(input_open(fd[0], clock_mono_ms() + 5));
		pthread_join(s.thread, NULL);
		buf_fini(&b);
	}
}

static void padding_behind_the_body_is_told(void **state)
{
	struct buf b = { 0 };

	(void)state;
	client_begin(&b, FCGI_RESPONDER);
	client_stream(&b, FCGI_PARAMS, SLICE("\1\1NV"), 10, 0);
	client_record(&b, FCGI_STDIN, "", 0, 200);
	for (size_t less = 0; less <= 200; less += 40) {
		struct input *in;
		int fd[2];

		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fd), 0);
		client_send(fd[1], slice_first(buf_slice(&b), b.len - less));
		in = input_open(fd[0], soon());
		assert_non_null(in);
		(void)piece_of(in, INPUT_END);
		assert_int_equal(input_padding(in), less);
		input_release(in);
		(void)piece_of(in, INPUT_END);
		assert_string_equal(input_params(in)[0], "N=V");
		input_close(in);
		close(fd[0]);
		close(fd[1]);
	}
	buf_fini(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_each_web_server_sends_reads_the_same_in_any_portion),
		cmocka_unit_test(records_of_any_size_and_padding_make_the_same_request),
		cmocka_unit_test(an_end_at_any_byte_is_never_taken_for_a_whole_request),
		cmocka_unit_test(lengths_that_lie_are_no_request),
		cmocka_unit_test(lengths_may_be_written_long_and_nothing_may_be_named),
		cmocka_unit_test(parameters_above_the_limit_are_told_from_those_at_it),
		cmocka_unit_test(a_nul_is_a_fault_and_makes_no_parameter),
		cmocka_unit_test(records_of_others_are_passed_over),
		cmocka_unit_test(nonsense_is_no_request),
		cmocka_unit_test(a_body_ends_with_an_abort_or_nonsense_for_good),
		cmocka_unit_test(other_roles_are_told_apart),
		cmocka_unit_test(a_body_that_pauses_goes_on_behind_a_timeout),
		cmocka_unit_test(a_peer_that_never_stops_is_given_up_at_the_deadline),
		cmocka_unit_test(padding_behind_the_body_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
