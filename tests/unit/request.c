#include "fcgi/request_open.h"
#include "tests/unit/fcgi_client.h"

#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <cmocka.h>

#define MAX ((size_t)1 << 20)

static const char *const post[] = { "REQUEST_METHOD", "POST", "REQUEST_URI", "/v1/x?a=1&b=%20c",
	"CONTENT_LENGTH", "11", "CONTENT_TYPE", "application/json", "HTTP_X_REQUEST_ID", "r-1",
	"HTTP_X_API_KEY", "one", "HTTP_X_API_KEY", "two", "EMPTY", "", NULL };

struct client {
	int fd;
	struct request *rq;
};

/* Sends bytes as they are and opens the request. SOCK_SEQPACKET keeps the cuts between sends. */
static struct client open_with(int type, struct slice bytes, size_t cut)
{
	struct client c;
	int fd[2];

	assert_int_equal(socketpair(AF_UNIX, type, 0, fd), 0);
	c.fd = fd[1];
	if (cut)
		client_send(c.fd, slice_first(bytes, cut));
	if (cut < bytes.len)
		client_send(c.fd, slice_from(bytes, cut));
	c.rq = request_open_fcgi(fd[0], 50);
	return c;
}

static struct client open_request(const char *const *params, struct slice body)
{
	struct buf b = { 0 };
	struct client c;

	client_request(&b, params, body, 30000, 0);
	c = open_with(SOCK_STREAM, buf_slice(&b), b.len);
	buf_fini(&b);
	assert_non_null(c.rq);
	return c;
}

static struct client_answer close_and_parse(struct client *c, int otherwise)
{
	struct buf b = { .max_bytes = (size_t)64 << 20 };
	struct client_answer a;

	request_close(c->rq, otherwise);
	assert_int_equal(client_receive(c->fd, &b), 0);
	a = client_parse(buf_slice(&b));
	buf_fini(&b);
	close(c->fd);
	return a;
}

static void drop(struct client *c)
{
	struct client_answer a = close_and_parse(c, 500);

	assert_true(a.ended);
	buf_fini(&a.text);
}

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

		client_request(&b, post, SLICE("hello world"), per_record[i], (unsigned)i * 5);
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

static void parameters_are_found_by_name_and_counted(void **state)
{
	struct client c = open_request(post, SLICE("hello world"));
	const char *key = request_header(c.rq, "X-Api-Key");
	char longest[200];

	(void)state;
	assert_string_equal(key, "one"); /* the first of two */
	assert_int_equal(request_param_count(c.rq, "HTTP_X_API_KEY"), 2);
	assert_int_equal(request_param_count(c.rq, "REQUEST_METHOD"), 1);
	assert_int_equal(request_param_count(c.rq, "HTTP_X_API"), 0);
	assert_int_equal(request_param_count(c.rq, "FCGI_ROLE"), 0);
	assert_string_equal(request_header(c.rq, "x-request-id"), "r-1");
	assert_string_equal(request_header(c.rq, "Content-Type"), "application/json");
	assert_null(request_header(c.rq, "X-Request"));
	assert_null(request_param(c.rq, "X_REQUEST_ID"));
	memset(longest, 'a', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	assert_null(request_header(c.rq, longest));
	request_done_reading(c.rq);
	assert_ptr_equal(key, request_header(c.rq, "X-Api-Key")); /* lent to the end */
	assert_string_equal(key, "one");
	drop(&c);
}

static void each_of_many_parameters_is_found(void **state)
{
	char names[150][24], values[150][16];
	const char *params[301] = { NULL };
	struct client c;

	(void)state;
	/* Many with the same length and the same last letter; the last ten are there twice. */
	for (int i = 0; i < 150; i++) {
		snprintf(names[i], sizeof(names[i]), "HTTP_%03d_A", i < 140 ? i : i - 10);
		snprintf(values[i], sizeof(values[i]), "%d", i);
		params[2 * i] = names[i];
		params[2 * i + 1] = values[i];
	}
	c = open_request(params, SLICE(""));
	for (int i = 0; i < 140; i++) {
		assert_string_equal(request_param(c.rq, names[i]), values[i]);
		assert_int_equal(request_param_count(c.rq, names[i]), i < 130 ? 1 : 2);
	}
	assert_null(request_param(c.rq, "HTTP_140_A"));
	assert_null(request_param(c.rq, "HTTP_000_"));
	assert_null(request_param(c.rq, ""));
	drop(&c);
}

static void long_parameters_arrive_whole(void **state)
{
	char *value = malloc(100001);
	const char *params[] = { "REQUEST_METHOD", "GET", "LONG", value, NULL };
	struct client c;

	(void)state;
	assert_non_null(value);
	memset(value, 'v', 100000);
	value[100000] = '\0';
	c = open_request(params, SLICE(""));
	assert_string_equal(request_param(c.rq, "LONG"), value);
	drop(&c);
	free(value);
}

static struct client open_params(struct slice text)
{
	struct buf b = { 0 };
	struct client c;

	client_begin(&b, FCGI_RESPONDER);
	client_stream(&b, FCGI_PARAMS, text, 65535, 0);
	client_stream(&b, FCGI_STDIN, SLICE(""), 1, 0);
	c = open_with(SOCK_STREAM, buf_slice(&b), b.len);
	assert_non_null(c.rq);
	buf_fini(&b);
	return c;
}

static void a_nul_in_a_parameter_is_refused_and_makes_no_other(void **state)
{
	struct buf text = { 0 };
	struct client c;
	struct err e;

	(void)state;
	client_param(&text, SLICE("REQUEST_METHOD"), SLICE("GET"));
	client_param(&text, SLICE("HTTP_E"), SLICE("a\r\nHTTP_F=b"));
	c = open_params(buf_slice(&text));
	assert_int_equal(request_check(c.rq, &e), ERR_OK);
	assert_string_equal(request_param(c.rq, "HTTP_E"), "a\r\nHTTP_F=b");
	assert_null(request_param(c.rq, "HTTP_F"));
	drop(&c);
	client_param(&text, SLICE("HTTP_A"), SLICE("x\0HTTP_B=y"));
	client_param(&text, SLICE("HTTP_C\0HTTP_D"), SLICE("z"));
	c = open_params(buf_slice(&text));
	assert_int_equal(request_check(c.rq, &e), ERR_BAD_REQUEST);
	assert_non_null(strstr(e.message, " HTTP_A holds a NUL"));
	assert_string_equal(request_method(c.rq), "GET");
	assert_null(request_param(c.rq, "HTTP_A"));
	assert_null(request_param(c.rq, "HTTP_B"));
	assert_null(request_param(c.rq, "HTTP_C"));
	assert_null(request_param(c.rq, "HTTP_D"));
	drop(&c);
	buf_reset(&text);
	client_param(&text, SLICE("\0"), SLICE("z"));
	c = open_params(buf_slice(&text));
	assert_int_equal(request_check(c.rq, &e), ERR_BAD_REQUEST);
	assert_non_null(strstr(e.message, " without a name holds a NUL"));
	drop(&c);
	buf_fini(&text);
}

static void the_path_is_decoded_and_cleaned(void **state)
{
	static const struct {
		const char *uri, *path; /* path NULL = refused */
	} rows[] = {
		{ "/", "/" },
		{ "/v1/models/a%2Fb%20c", "/v1/models/a/b c" },
		{ "/v1//chat/../chat/./completions?x=/../", "/v1/chat/completions" },
		{ "//a", "/a" },
		{ "/a/", "/a/" },
		{ "/a//", "/a/" },
		{ "/a/.", "/a/" },
		{ "/a/b/..", "/a/" },
		{ "/a/..", "/" },
		{ "/a/%2e%2e/b", "/b" },
		{ "/...", "/..." },
		{ "/.a/..b", "/.a/..b" },
		{ "/a+b", "/a+b" },
		{ "/\xc3\xa9%C3%A9", "/\xc3\xa9\xc3\xa9" },
		{ "http://host/a?b", "/a" },
		{ "HTTPS://host:1/a", "/a" },
		{ "http://host", "/" },
		{ "http://host?x", "/" },
		{ "/a%3Fb?c", "/a?b" },
		{ "/..", NULL },
		{ "/a/../../b", NULL },
		{ "/a/%2e%2e/%2E%2e", NULL },
		{ "/a%00b", NULL },
		{ "/a%0ab", NULL },
		{ "/a\x7f", NULL },
		{ "/a%", NULL },
		{ "/a%4", NULL },
		{ "/a%g0", NULL },
		{ "/%ff", NULL },
		{ "/%c0%af", NULL },
		{ "a", NULL },
		{ "*", NULL },
		{ "?a", NULL },
		{ "ftp://host/a", NULL },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		const char *params[] = { "REQUEST_URI", rows[i].uri, "SCRIPT_NAME", "/no", NULL };
		struct client c = open_request(params, SLICE(""));

		print_message("%s\n", rows[i].uri);
		if (rows[i].path)
			assert_string_equal(request_path(c.rq), rows[i].path);
		else
			assert_null(request_path(c.rq));
		drop(&c);
	}
}

static void the_path_has_a_ceiling(void **state)
{
	char uri[REQUEST_PATH_MAX + 2];
	const char *params[] = { "REQUEST_URI", uri, NULL };
	struct client c;

	(void)state;
	memset(uri, 'a', sizeof(uri));
	uri[0] = '/';
	uri[REQUEST_PATH_MAX] = '\0';
	c = open_request(params, SLICE(""));
	assert_string_equal(request_path(c.rq), uri);
	drop(&c);
	uri[REQUEST_PATH_MAX] = 'a';
	uri[REQUEST_PATH_MAX + 1] = '\0';
	c = open_request(params, SLICE(""));
	assert_null(request_path(c.rq));
	drop(&c);
}

static void without_a_uri_the_script_and_its_path_info_are_the_path(void **state)
{
	static const char *const params[] = { "SCRIPT_NAME", "/v1/models", "PATH_INFO",
		"/org//na%20me", NULL };
	struct client c = open_request(params, SLICE(""));

	(void)state;
	assert_string_equal(request_path(c.rq), "/v1/models/org/na%20me");
	assert_string_equal(request_method(c.rq), "");
	assert_int_equal(request_query(c.rq).len, 0);
	drop(&c);
}

static void query_parameters_are_decoded(void **state)
{
	static const char *const params[] = { "REQUEST_URI", "/p?no", "QUERY_STRING",
		"a=1&b=x+%2By&a=2&c&%64=4&bad=%zz&nul=%00&=e", NULL };
	static const struct {
		const char *name, *value; /* value NULL = absent */
	} rows[] = { { "a", "1" }, { "b", "x +y" }, { "c", "" }, { "d", "4" }, { "bad", NULL },
		{ "nul", NULL }, { "no", NULL }, { "A", NULL } };
	struct client c = open_request(params, SLICE(""));
	char value[5];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		print_message("%s\n", rows[i].name);
		assert_int_equal(request_query_get(c.rq, rows[i].name, value, sizeof(value)),
			rows[i].value != NULL);
		assert_string_equal(value, rows[i].value ? rows[i].value : "");
	}
	assert_false(request_query_get(c.rq, "b", value, 4)); /* no room for the NUL */
	drop(&c);
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
	client_request(&b, post, SLICE("hello world"), 4, 0);
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

		client_request(&b, post, SLICE("hello world"), 4, 0);
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
	client_request(&b, post, SLICE(""), 65535, 0);
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
	struct client c = open_request(post, SLICE("hello world"));
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
	struct client c = open_request(post, SLICE("hello world"));
	struct client_answer a = close_and_parse(&c, 503);
	struct err e;

	(void)state;
	assert_true(a.ended);
	assert_true(client_has(&a, "Status: 503 "));
	assert_true(client_has(&a, "Retry-After: 1\r\n"));
	buf_fini(&a.text);

	for (int with_head = 0; with_head < 2; with_head++) {
		c = open_request(post, SLICE("hello world"));
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
		cmocka_unit_test(parameters_are_found_by_name_and_counted),
		cmocka_unit_test(each_of_many_parameters_is_found),
		cmocka_unit_test(long_parameters_arrive_whole),
		cmocka_unit_test(a_nul_in_a_parameter_is_refused_and_makes_no_other),
		cmocka_unit_test(the_path_is_decoded_and_cleaned),
		cmocka_unit_test(the_path_has_a_ceiling),
		cmocka_unit_test(without_a_uri_the_script_and_its_path_info_are_the_path),
		cmocka_unit_test(query_parameters_are_decoded),
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
