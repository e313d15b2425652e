#include "tests/unit/request_client.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>

#define MAX ((size_t)1 << 20)

static enum err_code read_body(struct client *c, struct slice *body, struct err *e)
{
	return request_read_body(c->rq, MAX, "GATEWAY_MAX_BODY", 200, body, e);
}

static void a_request_cut_at_every_byte_reads_the_same(void **state)
{
	static const size_t per_record[] = { 1, 7, 65535 };

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		struct buf b = { 0 };

		client_request(
			&b, request_post, SLICE("hello world"), per_record[i], (unsigned)i * 5);
		for (size_t cut = 1; cut < b.len; cut++) {
			struct client c = open_with(SOCK_SEQPACKET, buf_slice(&b), cut);
			struct slice body;
			struct err e;

			assert_non_null(c.rq);
			assert_string_equal(request_method(c.rq), "POST");
			assert_string_equal(request_param(c.rq, "EMPTY"), "");
			assert_int_equal(read_body(&c, &body, &e), ERR_OK);
			assert_true(slice_is(body, "hello world"));
			request_done_reading(c.rq);
			assert_int_equal(request_finish(c.rq,
						 &(struct sink_head){ .status = 200, .length = -1 },
						 &body, 1000, &e),
				ERR_OK);
			request_close(c.rq, 500);
			close(c.fd);
		}
		buf_fini(&b);
	}
}

static void a_length_is_compared_when_it_is_a_number(void **state)
{
	static const struct {
		const char *length; /* NULL = unset */
		enum err_code rc;
	} rows[] = { { NULL, ERR_OK }, { "", ERR_OK }, { "0", ERR_OK }, { "5", ERR_OK },
		{ "none", ERR_OK }, { "-1", ERR_OK }, { "4", ERR_BAD_REQUEST },
		{ "6", ERR_BAD_REQUEST }, { "1048577", ERR_TOO_LARGE },
		{ "9223372036854775807", ERR_TOO_LARGE } };

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		const char *params[] = { "REQUEST_METHOD", "POST",
			rows[i].length ? "CONTENT_LENGTH" : "X",
			rows[i].length ? rows[i].length : "", NULL };
		struct client c = open_request(params, SLICE("12345"));
		struct slice body, again;
		struct err e = { 0 };

		print_message("%s\n", rows[i].length ? rows[i].length : "unset");
		assert_int_equal(read_body(&c, &body, &e), rows[i].rc);
		assert_int_equal(read_body(&c, &again, &e), rows[i].rc);
		if (rows[i].rc == ERR_OK) {
			assert_true(slice_is(body, "12345"));
			assert_ptr_equal(again.ptr, body.ptr);
		} else {
			assert_int_equal(body.len, 0);
		}
		drop(&c);
	}
}

struct sender {
	int fd;
	struct buf bytes;
};

static void *send_all(void *arg)
{
	struct sender *s = arg;

	client_send(s->fd, buf_slice(&s->bytes));
	return NULL;
}

/* A body larger than a socket holds is sent from a thread, answered, and the answer is read. */
static void check_large(size_t bytes, const char *length, enum err_code expected)
{
	const char *params[] = { "REQUEST_METHOD", "POST", length ? "CONTENT_LENGTH" : "X",
		length ? length : "", NULL };
	struct sender s = { .bytes.max_bytes = (size_t)64 << 20 };
	char *big = calloc(1, bytes);
	struct client c;
	struct slice body;
	struct err e = { 0 };
	pthread_t t;
	int fd[2];

	assert_non_null(big);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fd), 0);
	client_request(&s.bytes, params, (struct slice){ big, bytes }, 32000, 0);
	s.fd = c.fd = fd[1];
	assert_int_equal(pthread_create(&t, NULL, send_all, &s), 0);
	c.rq = request_open_fcgi(fd[0], 5000);
	assert_non_null(c.rq);
	assert_int_equal(
		request_read_body(c.rq, (size_t)32 << 20, "GATEWAY_MAX_BODY", 20000, &body, &e),
		expected);
	if (expected) {
		assert_non_null(strstr(e.message, "33554432"));
		assert_non_null(strstr(e.message, "GATEWAY_MAX_BODY"));
	} else {
		assert_true(slice_eq(body, (struct slice){ big, bytes }));
	}
	drop(&c); /* and the peer sees a whole answer, not a reset */
	pthread_join(t, NULL);
	buf_fini(&s.bytes);
	free(big);
}

static void a_body_above_the_limit_is_refused_and_drained(void **state)
{
	(void)state;
	check_large((size_t)33 << 20, "34603008", ERR_TOO_LARGE);
	check_large((size_t)33 << 20, NULL, ERR_TOO_LARGE);
	check_large((size_t)32 << 20, NULL, ERR_OK);
}

static void parameters_above_the_limit_are_refused_with_an_answer(void **state)
{
	struct sender s = { .bytes.max_bytes = (size_t)64 << 20 };
	char *big = calloc(1, MAX + 1);
	const char *const params[] = { "REQUEST_METHOD", "GET", "BIG", big, NULL };
	struct client c;
	struct err e;
	pthread_t t;
	int fd[2];

	(void)state;
	assert_non_null(big);
	memset(big, 'b', MAX);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fd), 0);
	client_request(&s.bytes, params, SLICE("hello"), 32000, 0);
	s.fd = c.fd = fd[1];
	assert_int_equal(pthread_create(&t, NULL, send_all, &s), 0);
	c.rq = request_open_fcgi(fd[0], 5000);
	assert_non_null(c.rq);
	assert_int_equal(request_check(c.rq, &e), ERR_BAD_REQUEST);
	assert_non_null(strstr(e.message, "1048576 bytes"));
	assert_string_equal(request_method(c.rq), "GET");
	drop(&c);
	pthread_join(t, NULL);
	buf_fini(&s.bytes);
	free(big);
}

static void a_body_that_stops_is_given_up(void **state)
{
	struct buf b = { 0 };

	(void)state;
	client_request(&b, request_post, SLICE("hello world"), 4, 0);
	/* Cut inside the last content, its header, and the end of the stream. */
	for (size_t less = 1; less <= 20; less++) {
		struct client c =
			open_with(SOCK_STREAM, slice_first(buf_slice(&b), b.len - less), 1);
		struct client_answer a;
		struct slice body;
		struct err e = { 0 };

		assert_non_null(c.rq);
		assert_int_equal(
			request_read_body(c.rq, MAX, "L", 10, &body, &e), ERR_BODY_TIMEOUT);
		assert_int_equal(body.len, 0);
		shutdown(c.fd, SHUT_WR);
		a = close_and_parse(&c, 500);
		assert_true(a.ended);
		buf_fini(&a.text);
	}
	buf_fini(&b);
}

static void a_body_that_ends_with_its_connection_or_an_abort_is_an_error(void **state)
{
	(void)state;
	for (int aborts = 0; aborts < 2; aborts++) {
		struct buf b = { 0 };
		struct client c;
		struct slice body;
		struct err e;

		client_request(&b, request_post, SLICE("hello world"), 4, 0);
		b.len -= 11; /* a header and the last three bytes */
		b.len -= 8;
		if (aborts)
			client_record(&b, FCGI_ABORT_REQUEST, "", 0, 0);
		c = open_with(SOCK_STREAM, buf_slice(&b), b.len);
		assert_non_null(c.rq);
		if (!aborts)
			shutdown(c.fd, SHUT_WR);
		assert_int_equal(read_body(&c, &body, &e), ERR_BAD_REQUEST);
		request_close(c.rq, 500);
		close(c.fd);
		buf_fini(&b);
	}
}

static void half_a_head_then_silence_or_an_end_is_no_request(void **state)
{
	struct buf b = { 0 };

	(void)state;
	client_request(&b, request_post, SLICE(""), 65535, 0);
	for (size_t n = 0; n < b.len - 8; n += 13) {
		for (int ends = 0; ends < 2; ends++) {
			char byte;
			int fd[2];

			assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fd), 0);
			client_send(fd[1], slice_first(buf_slice(&b), n));
			if (ends)
				shutdown(fd[1], SHUT_WR);
			assert_null(request_open_fcgi(fd[0], 2));
			/* The descriptor is closed at once, and only once. */
			assert_int_equal(fcntl(fd[0], F_GETFD), -1);
			assert_true(
				recv(fd[1], &byte, 1, MSG_DONTWAIT) == 0 || errno == ECONNRESET);
			close(fd[1]);
		}
	}
	buf_fini(&b);
}

static void other_roles_are_refused(void **state)
{
	struct buf b = { 0 }, got = { 0 };
	struct client_answer a;
	struct client c;

	(void)state;
	client_begin(&b, FCGI_AUTHORIZER);
	client_stream(&b, FCGI_PARAMS, SLICE("\1\1ab"), 100, 0);
	client_stream(&b, FCGI_STDIN, SLICE(""), 100, 0);
	c = open_with(SOCK_STREAM, buf_slice(&b), b.len);
	assert_null(c.rq);
	shutdown(c.fd, SHUT_WR);
	(void)client_receive(c.fd, &got);
	a = client_parse(buf_slice(&got));
	assert_true(a.ended);
	assert_int_equal(a.status, FCGI_UNKNOWN_ROLE);
	close(c.fd);
	buf_fini(&a.text);
	buf_fini(&b);
	buf_fini(&got);
}

static void a_connection_ends_with_its_answer_also_where_it_might_stay(void **state)
{
	static const char body[] = "\0\1\1\0\0\0\0\0"; /* a responder that keeps it */
	struct buf b = { 0 };
	struct client c;

	(void)state;
	client_record(&b, FCGI_BEGIN_REQUEST, body, 8, 0);
	client_stream(&b, FCGI_PARAMS, SLICE("\1\1NV"), 100, 0);
	client_stream(&b, FCGI_STDIN, SLICE(""), 100, 0);
	c = open_with(SOCK_STREAM, buf_slice(&b), b.len);
	assert_non_null(c.rq);
	assert_string_equal(request_param(c.rq, "N"), "V");
	drop(&c); /* reads to the end of the connection */
	buf_fini(&b);
}

/* The padding that comes late is nothing but the header of an abort. */
static void padding_behind_the_body_is_no_abort(void **state)
{
	struct buf b = { 0 };
	struct client c;

	(void)state;
	client_begin(&b, FCGI_RESPONDER);
	client_stream(&b, FCGI_PARAMS, SLICE("\1\1NV"), 100, 0);
	client_record(&b, FCGI_STDIN, "", 0, 10);
	c = open_with(SOCK_STREAM, slice_first(buf_slice(&b), b.len - 8), b.len);
	assert_non_null(c.rq);
	request_done_reading(c.rq);
	client_send(c.fd, SLICE("\1\2\1\2\0\0\0\0"));
	assert_false(sink_is_gone(request_sink(c.rq)));
	client_send(c.fd, SLICE("\1\2\1\2\0\0\0\0"));
	assert_true(sink_is_gone(request_sink(c.rq)));
	request_close(c.rq, 500);
	close(c.fd);
	buf_fini(&b);
}

static void only_the_first_finish_counts(void **state)
{
	static const char *const head[] = { "REQUEST_METHOD", "HEAD", NULL };
	struct sink_head h = { .status = 200, .content_type = "text/plain", .length = -1 };
	struct slice first = SLICE("first"), second = SLICE("second");
	struct client c = open_request(request_post, SLICE("hello world"));
	struct client_answer a;
	struct err e;

	(void)state;
	assert_int_equal(request_finish(c.rq, &h, &first, 1000, &e), ERR_OK);
	assert_int_equal(request_finish(c.rq, &h, &second, 1000, &e), ERR_OK);
	assert_int_equal(request_bytes_out(c.rq), 5);
	a = close_and_parse(&c, 500);
	assert_true(a.ended);
	assert_int_equal(a.rest, 0);
	assert_true(slice_is(client_body(&a), "first"));
	assert_true(client_has(&a, "Content-Length: 5\r\n"));
	buf_fini(&a.text);

	c = open_request(head, SLICE(""));
	assert_int_equal(request_finish(c.rq, &h, &first, 1000, &e), ERR_OK);
	a = close_and_parse(&c, 500);
	assert_int_equal(client_body(&a).len, 0);
	assert_true(client_has(&a, "Content-Length: 5\r\n"));
	buf_fini(&a.text);
}

static void an_unanswered_request_is_answered_and_a_cut_one_stays_cut(void **state)
{
	struct sink_head h = { .status = 200, .content_type = "text/plain", .length = -1 };
	struct client c = open_request(request_post, SLICE("hello world"));
	struct client_answer a = close_and_parse(&c, 503);
	struct err e;

	(void)state;
	assert_true(a.ended);
	assert_true(client_has(&a, "Status: 503 "));
	assert_true(client_has(&a, "Retry-After: 1\r\n"));
	buf_fini(&a.text);

	for (int with_head = 0; with_head < 2; with_head++) {
		c = open_request(request_post, SLICE("hello world"));
		request_done_reading(c.rq);
		assert_int_equal(sink_begin(request_sink(c.rq), &h), SINK_OK);
		assert_int_equal(sink_write(request_sink(c.rq), SLICE("half")), SINK_OK);
		if (with_head)
			assert_int_equal(request_finish(c.rq, &h, NULL, 1000, &e), ERR_INTERNAL);
		a = close_and_parse(&c, 500);
		assert_false(a.ended);
		assert_true(slice_is(client_body(&a), "half"));
		buf_fini(&a.text);
	}
}

static void a_cgi_reads_no_more_than_was_announced(void **state)
{
	static const struct {
		const char *length, *sent;
		bool closes;
		enum err_code rc;
	} rows[] = { { "CONTENT_LENGTH=5", "hello", false, ERR_OK },
		{ "CONTENT_LENGTH=5", "hello", true, ERR_OK },
		{ "CONTENT_LENGTH=", "hello", true, ERR_OK }, { "X=", "hello", true, ERR_OK },
		{ "CONTENT_LENGTH=5", "hell", true, ERR_BAD_REQUEST },
		{ "CONTENT_LENGTH=5", "hello!", false, ERR_BAD_REQUEST },
		{ "CONTENT_LENGTH=5", "hell", false, ERR_BODY_TIMEOUT },
		{ "CONTENT_LENGTH=2000000", "", true, ERR_TOO_LARGE } };

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		char method[] = "REQUEST_METHOD=POST", length[64];
		char *params[] = { method, length, NULL };
		struct slice sent = slice_of(rows[i].sent), body;
		struct request *rq;
		struct err e;
		char got[2048];
		int in[2], out[2];

		print_message("row %zu\n", i);
		assert_true(slice_copy(slice_of(rows[i].length), length, sizeof(length)));
		assert_int_equal(pipe(in), 0);
		assert_int_equal(pipe(out), 0);
		assert_int_equal(write(in[1], sent.ptr, sent.len), sent.len);
		if (rows[i].closes)
			close(in[1]);
		rq = request_open_cgi(params, in[0], out[1]);
		assert_non_null(rq);
		assert_int_equal(request_read_body(rq, MAX, "L", 20, &body, &e), rows[i].rc);
		assert_true(rows[i].rc ? !body.len : slice_is(body, "hello"));
		if (!rows[i].closes)
			close(in[1]); /* so that the rest is drained at once */
		request_close(rq, 500);
		assert_true(read(out[0], got, sizeof(got)) > 20);
		assert_memory_equal(got, "Status: 500 ", 12);
		assert_false(fcntl(out[1], F_GETFL) & O_NONBLOCK);
		close(in[0]);
		close(out[0]);
		close(out[1]);
	}
}

static void a_cgi_without_a_body_does_not_wait_for_one(void **state)
{
	char method[] = "REQUEST_METHOD=GET";
	char *params[] = { method, NULL };
	int in[2], out[2];
	char got[16];

	(void)state;
	assert_int_equal(pipe(in), 0); /* and never closed, as some web servers do */
	assert_int_equal(pipe(out), 0);
	request_close(request_open_cgi(params, in[0], out[1]), 500);
	assert_int_equal(read(out[0], got, sizeof(got)), sizeof(got));
	for (int i = 0; i < 2; i++) {
		close(in[i]);
		close(out[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_request_cut_at_every_byte_reads_the_same),
		cmocka_unit_test(a_length_is_compared_when_it_is_a_number),
		cmocka_unit_test(a_body_above_the_limit_is_refused_and_drained),
		cmocka_unit_test(parameters_above_the_limit_are_refused_with_an_answer),
		cmocka_unit_test(a_body_that_stops_is_given_up),
		cmocka_unit_test(a_body_that_ends_with_its_connection_or_an_abort_is_an_error),
		cmocka_unit_test(half_a_head_then_silence_or_an_end_is_no_request),
		cmocka_unit_test(other_roles_are_refused),
		cmocka_unit_test(a_connection_ends_with_its_answer_also_where_it_might_stay),
		cmocka_unit_test(padding_behind_the_body_is_no_abort),
		cmocka_unit_test(only_the_first_finish_counts),
		cmocka_unit_test(an_unanswered_request_is_answered_and_a_cut_one_stays_cut),
		cmocka_unit_test(a_cgi_reads_no_more_than_was_announced),
		cmocka_unit_test(a_cgi_without_a_body_does_not_wait_for_one),
	};

	(void)signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
