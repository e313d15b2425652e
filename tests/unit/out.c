#include "fcgi/out.h"
#include "base/clock.h"
#include "tests/unit/fcgi_client.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <cmocka.h>

static const struct sink_head plain = { .status = 200, .content_type = "text/plain", .length = -1 };
static const struct sink_head events = {
	.status = 200, .content_type = "text/event-stream", .length = -1, .streaming = true
};

struct pair {
	struct out o;
	struct sink *s;
	int peer;
};

/* type SOCK_SEQPACKET keeps apart what was sent in separate calls. */
static void open_pair(struct pair *p, int type)
{
	int fd[2];

	assert_int_equal(socketpair(AF_UNIX, type, 0, fd), 0);
	out_init(&p->o, fd[0], true, CLIENT_ID);
	p->o.input_over = true;
	p->s = &p->o.sink;
	p->peer = fd[1];
}

static void close_pair(struct pair *p)
{
	close(p->o.fd);
	close(p->peer);
	out_fini(&p->o);
}

static bool is_quiet(int fd)
{
	struct pollfd f = { .fd = fd, .events = POLLIN };

	return poll(&f, 1, 0) == 0;
}

static enum err_code finish(struct pair *p, struct slice body)
{
	struct err e;

	return out_finish(&p->o, body, clock_mono_ms() + 20000, &e);
}

static void a_whole_answer_leaves_in_one_write(void **state)
{
	struct pair p;
	struct client_answer a;
	char got[4096];
	ssize_t n;

	(void)state;
	open_pair(&p, SOCK_SEQPACKET);
	assert_int_equal(sink_begin(p.s, &plain), SINK_OK);
	assert_int_equal(finish(&p, SLICE("hello")), ERR_OK);
	n = recv(p.peer, got, sizeof(got), MSG_DONTWAIT);
	assert_true(n > 0);
	assert_true(is_quiet(p.peer));
	a = client_parse((struct slice){ got, (size_t)n });
	assert_true(a.ended);
	assert_int_equal(a.rest, 0);
	assert_true(slice_is(buf_slice(&a.text), "Status: 200 OK\r\nContent-Type: text/plain\r\n"
						 "X-Content-Type-Options: nosniff\r\n\r\nhello"));
	assert_int_equal(p.o.bytes, 5);
	buf_fini(&a.text);
	close_pair(&p);
}

static void the_head_waits_for_the_first_bytes(void **state)
{
	struct pair p;
	struct client_answer a;
	char got[4096];
	ssize_t n;

	(void)state;
	open_pair(&p, SOCK_SEQPACKET);
	assert_false(sink_has_begun(p.s));
	assert_int_equal(sink_begin(p.s, &events), SINK_OK);
	assert_true(sink_has_begun(p.s));
	assert_int_equal(sink_flush(p.s), SINK_OK);
	assert_int_equal(sink_write(p.s, SLICE("")), SINK_OK);
	assert_true(is_quiet(p.peer));
	assert_int_equal(sink_write(p.s, SLICE(": ok\n\n")), SINK_OK);
	n = recv(p.peer, got, sizeof(got), MSG_DONTWAIT);
	assert_true(n > 0);
	a = client_parse((struct slice){ got, (size_t)n });
	assert_true(client_has(&a, "X-Accel-Buffering: no\r\n"));
	assert_true(client_has(&a, "Cache-Control: no-cache\r\n"));
	assert_true(client_has(&a, "Content-Encoding: identity\r\n"));
	assert_true(slice_is(client_body(&a), ": ok\n\n"));
	assert_false(client_has(&a, "Content-Length"));
	buf_fini(&a.text);
	assert_null(p.o.wait.data); /* an open stream keeps nothing */
	close_pair(&p);
}

static struct client_answer answer_of(struct pair *p)
{
	struct buf b = { 0 };
	struct client_answer a;

	shutdown(p->o.fd, SHUT_WR);
	assert_int_equal(client_receive(p->peer, &b), 0);
	a = client_parse(buf_slice(&b));
	buf_fini(&b);
	return a;
}

static void extra_lines_take_the_place_of_fixed_ones(void **state)
{
	struct pair p;
	struct sink_head h = events;
	struct client_answer a;

	(void)state;
	open_pair(&p, SOCK_STREAM);
	h.extra = SLICE("X-Model: m\r\ncache-control: no-store\r\n");
	assert_int_equal(sink_begin(p.s, &h), SINK_OK);
	assert_int_equal(finish(&p, SLICE("x")), ERR_OK);
	a = answer_of(&p);
	assert_true(client_has(&a, "cache-control: no-store\r\n"));
	assert_true(client_has(&a, "X-Model: m\r\n"));
	assert_false(client_has(&a, "no-cache"));
	buf_fini(&a.text);
	close_pair(&p);
}

static void statuses_without_a_body_announce_none(void **state)
{
	static const int rows[] = { 204, 304 };

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct sink_head h = { .status = rows[i], .content_type = "text/plain" };
		struct client_answer a;
		struct pair p;

		open_pair(&p, SOCK_STREAM);
		assert_int_equal(sink_begin(p.s, &h), SINK_OK);
		assert_int_equal(finish(&p, SLICE("")), ERR_OK);
		a = answer_of(&p);
		assert_false(client_has(&a, "Content-Length"));
		assert_false(client_has(&a, "Content-Type:"));
		buf_fini(&a.text);
		close_pair(&p);
	}
}

static void a_head_that_must_not_be_sent_becomes_a_500(void **state)
{
	static char long_lines[OUT_HEAD_MAX];
	struct sink_head rows[4] = { plain, plain, plain, plain };

	(void)state;
	memset(long_lines, 'a', sizeof(long_lines));
	memcpy(long_lines, "X: ", 3);
	memcpy(long_lines + sizeof(long_lines) - 2, "\r\n", 2);
	rows[0].extra = (struct slice){ long_lines, sizeof(long_lines) };
	rows[1].content_type = "text/plain\r\nSet-Cookie: a=b";
	rows[2].status = 99;
	rows[3].status = 600;
	for (size_t i = 0; i < 4; i++) {
		struct client_answer a;
		struct pair p;

		print_message("row %zu\n", i);
		open_pair(&p, SOCK_STREAM);
		assert_int_equal(sink_begin(p.s, &rows[i]), SINK_GONE);
		assert_int_equal(sink_write(p.s, SLICE("secret")), SINK_GONE);
		assert_int_equal(finish(&p, SLICE("secret")), ERR_INTERNAL);
		a = answer_of(&p);
		assert_true(a.ended);
		assert_true(client_has(&a, "Status: 500 "));
		assert_true(client_has(&a, "Content-Type: application/json\r\n"));
		assert_false(client_has(&a, "Cookie"));
		assert_false(client_has(&a, "secret"));
		buf_fini(&a.text);
		close_pair(&p);
	}
}

struct reader {
	int fd;
	struct buf got;
};

static void *read_all(void *arg)
{
	struct reader *r = arg;

	(void)client_receive(r->fd, &r->got);
	return NULL;
}

static char *pattern(size_t n)
{
	char *bytes = malloc(n + 1);

	assert_non_null(bytes);
	for (size_t i = 0; i < n; i++)
		bytes[i] = (char)(i * 31 + i / 251);
	return bytes;
}

static void bodies_of_any_length_arrive_whole(void **state)
{
	static const size_t rows[] = { 0, 1, 65527, 65528, 65529, 131055, 131056, 131057, 8 * 65528,
		8 * 65528 + 1, 3000000 };

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		char *bytes = pattern(rows[i]);
		struct slice body = { bytes, rows[i] };
		struct reader r = { .got.max_bytes = (size_t)64 << 20 };
		struct client_answer a;
		struct pair p;
		pthread_t t;

		print_message("%zu bytes\n", rows[i]);
		open_pair(&p, SOCK_STREAM);
		r.fd = p.peer;
		assert_int_equal(pthread_create(&t, NULL, read_all, &r), 0);
		assert_int_equal(sink_begin(p.s, &plain), SINK_OK);
		assert_int_equal(finish(&p, body), ERR_OK);
		shutdown(p.o.fd, SHUT_WR);
		pthread_join(t, NULL);
		a = client_parse(buf_slice(&r.got));
		assert_true(a.ended);
		assert_int_equal(a.rest, 0);
		assert_true(slice_eq(client_body(&a), body));
		assert_int_equal(p.o.bytes, rows[i]);
		buf_fini(&a.text);
		buf_fini(&r.got);
		free(bytes);
		close_pair(&p);
	}
}

static void a_slow_reader_fills_the_sink_and_loses_nothing(void **state)
{
	enum { PART = 7001 };
	char *bytes = pattern(PART);
	struct buf got = { .max_bytes = (size_t)64 << 20 },
		   sent = { .max_bytes = (size_t)64 << 20 };
	struct client_answer a;
	struct pair p;
	enum sink_state st = SINK_OK;

	(void)state;
	open_pair(&p, SOCK_STREAM);
	assert_int_equal(sink_begin(p.s, &events), SINK_OK);
	for (int i = 0; i < 1000 && st == SINK_OK; i++) {
		st = sink_write(p.s, (struct slice){ bytes, PART });
		buf_append(&sent, bytes, PART);
	}
	assert_int_equal(st, SINK_FULL);
	assert_int_equal(sink_flush(p.s), SINK_FULL);
	/* One who writes all the same is not lost, up to the ceiling. */
	for (int i = 0; i < 50; i++) {
		assert_int_equal(sink_write(p.s, (struct slice){ bytes, PART }), SINK_FULL);
		buf_append(&sent, bytes, PART);
	}
	while (st == SINK_FULL) {
		char part[5000];
		ssize_t n = recv(p.peer, part, sizeof(part), MSG_DONTWAIT);

		assert_true(n > 0);
		buf_append(&got, part, (size_t)n);
		st = sink_flush(p.s);
	}
	assert_int_equal(st, SINK_OK);
	assert_null(p.o.wait.data);
	while (!is_quiet(p.peer)) {
		char part[5000];
		ssize_t n = recv(p.peer, part, sizeof(part), 0);

		assert_true(n > 0);
		buf_append(&got, part, (size_t)n);
	}
	assert_int_equal(finish(&p, SLICE("")), ERR_OK);
	shutdown(p.o.fd, SHUT_WR);
	assert_int_equal(client_receive(p.peer, &got), 0);
	a = client_parse(buf_slice(&got));
	assert_true(a.ended);
	assert_true(slice_eq(client_body(&a), buf_slice(&sent)));
	buf_fini(&a.text);
	buf_fini(&got);
	buf_fini(&sent);
	free(bytes);
	close_pair(&p);
}

static void a_caller_that_ignores_a_full_sink_is_cut_off_at_the_ceiling(void **state)
{
	enum { PART = 1 << 20 };
	char *bytes = pattern(PART);
	struct pair p;
	enum sink_state st = SINK_OK;
	size_t parts = 0;

	(void)state;
	open_pair(&p, SOCK_STREAM);
	assert_int_equal(sink_begin(p.s, &events), SINK_OK);
	for (; parts < 100 && st != SINK_GONE; parts++)
		st = sink_write(p.s, (struct slice){ bytes, PART });
	assert_int_equal(st, SINK_GONE);
	assert_in_range(parts, 30, 34);
	assert_null(p.o.wait.data);
	free(bytes);
	close_pair(&p);
}

static void a_reader_that_never_reads_is_given_up(void **state)
{
	char *bytes = pattern(1 << 20);
	struct pair p;
	struct err e;

	(void)state;
	open_pair(&p, SOCK_STREAM);
	assert_int_equal(sink_begin(p.s, &plain), SINK_OK);
	assert_int_equal(
		out_finish(&p.o, (struct slice){ bytes, 1 << 20 }, clock_mono_ms() + 30, &e),
		ERR_CLIENT_GONE);
	free(bytes);
	close_pair(&p);
}

static void a_peer_that_closed_is_gone(void **state)
{
	struct pair p;

	(void)state;
	open_pair(&p, SOCK_STREAM);
	assert_false(sink_is_gone(p.s));
	close(p.peer);
	assert_int_equal(sink_begin(p.s, &events), SINK_OK);
	assert_int_equal(sink_write(p.s, SLICE("x")), SINK_GONE);
	assert_int_equal(sink_flush(p.s), SINK_GONE);
	assert_true(sink_is_gone(p.s));
	assert_int_equal(finish(&p, SLICE("")), ERR_CLIENT_GONE);
	close_pair(&p);
	open_pair(&p, SOCK_STREAM);
	shutdown(p.peer, SHUT_WR);
	assert_true(sink_is_gone(p.s)); /* lighttpd half-closes when the client does */
	close_pair(&p);
}

static void an_abort_record_cut_anywhere_is_a_leaving_client(void **state)
{
	struct buf records = { 0 };

	(void)state;
	client_record(&records, FCGI_STDIN, "", 0, 3); /* says nothing */
	client_record(&records, FCGI_STDIN, "\2\2\2\2\2\2\2\2\2", 9, 0);
	client_record(&records, FCGI_ABORT_REQUEST, "", 0, 0);
	for (size_t cut = 0; cut < records.len; cut++) {
		struct pair p;

		open_pair(&p, SOCK_STREAM);
		client_send(p.peer, slice_first(buf_slice(&records), cut));
		/* Known from the header alone: it is the last record. */
		assert_false(sink_is_gone(p.s));
		assert_true(is_quiet(p.o.fd)); /* and it does not stay readable */
		client_send(p.peer, slice_from(buf_slice(&records), cut));
		assert_true(sink_is_gone(p.s));
		close_pair(&p);
	}
	buf_fini(&records);
}

static void an_unread_body_stays_where_it_is(void **state)
{
	struct pair p;
	char got[8];

	(void)state;
	open_pair(&p, SOCK_STREAM);
	p.o.input_over = false;
	client_send(p.peer, SLICE("\1\2\3"));
	assert_false(sink_is_gone(p.s));
	assert_int_equal(recv(p.o.fd, got, sizeof(got), 0), 3);
	close_pair(&p);
}

static void head_requests_get_the_length_without_the_body(void **state)
{
	struct pair p;
	struct sink_head h = plain;
	struct client_answer a;

	(void)state;
	open_pair(&p, SOCK_STREAM);
	p.o.is_head = true;
	h.length = 5;
	assert_int_equal(sink_begin(p.s, &h), SINK_OK);
	assert_int_equal(sink_write(p.s, SLICE("he")), SINK_OK);
	assert_int_equal(finish(&p, SLICE("llo")), ERR_OK);
	a = answer_of(&p);
	assert_true(a.ended);
	assert_true(client_has(&a, "Content-Length: 5\r\n"));
	assert_int_equal(client_body(&a).len, 0);
	assert_int_equal(p.o.bytes, 0);
	buf_fini(&a.text);
	close_pair(&p);
}

static void a_pipe_gets_plain_bytes(void **state)
{
	struct out o;
	struct err e;
	char got[512];
	int fd[2];

	(void)state;
	assert_int_equal(pipe2(fd, O_NONBLOCK), 0);
	out_init(&o, fd[1], false, 0);
	assert_int_equal(sink_begin(&o.sink, &plain), SINK_OK);
	assert_int_equal(sink_write(&o.sink, SLICE("hel")), SINK_OK);
	assert_int_equal(out_finish(&o, SLICE("lo"), clock_mono_ms() + 1000, &e), ERR_OK);
	assert_true(slice_is((struct slice){ got, (size_t)read(fd[0], got, sizeof(got)) },
		"Status: 200 OK\r\nContent-Type: text/plain\r\n"
		"X-Content-Type-Options: nosniff\r\n\r\nhello"));
	assert_false(sink_is_gone(&o.sink));
	close(fd[0]);
	assert_true(sink_is_gone(&o.sink));
	out_fini(&o);
	close(fd[1]);
}

static void a_full_pipe_fills_the_sink(void **state)
{
	char *bytes = pattern(300000);
	struct out o;
	struct err e;
	struct buf got = { 0 };
	char part[4096];
	ssize_t n;
	int fd[2];

	(void)state;
	assert_int_equal(pipe2(fd, O_NONBLOCK), 0);
	out_init(&o, fd[1], false, 0);
	assert_int_equal(sink_begin(&o.sink, &plain), SINK_OK);
	assert_int_equal(sink_write(&o.sink, (struct slice){ bytes, 300000 }), SINK_FULL);
	assert_int_equal(out_finish(&o, SLICE(""), clock_mono_ms() + 20, &e), ERR_CLIENT_GONE);
	while ((n = read(fd[0], part, sizeof(part))) > 0)
		buf_append(&got, part, (size_t)n);
	assert_in_range(got.len, 4096, 300000);
	buf_fini(&got);
	free(bytes);
	out_fini(&o);
	close(fd[0]);
	close(fd[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_whole_answer_leaves_in_one_write),
		cmocka_unit_test(the_head_waits_for_the_first_bytes),
		cmocka_unit_test(extra_lines_take_the_place_of_fixed_ones),
		cmocka_unit_test(statuses_without_a_body_announce_none),
		cmocka_unit_test(a_head_that_must_not_be_sent_becomes_a_500),
		cmocka_unit_test(bodies_of_any_length_arrive_whole),
		cmocka_unit_test(a_slow_reader_fills_the_sink_and_loses_nothing),
		cmocka_unit_test(a_caller_that_ignores_a_full_sink_is_cut_off_at_the_ceiling),
		cmocka_unit_test(a_reader_that_never_reads_is_given_up),
		cmocka_unit_test(a_peer_that_closed_is_gone),
		cmocka_unit_test(an_abort_record_cut_anywhere_is_a_leaving_client),
		cmocka_unit_test(an_unread_body_stays_where_it_is),
		cmocka_unit_test(head_requests_get_the_length_without_the_body),
		cmocka_unit_test(a_pipe_gets_plain_bytes),
		cmocka_unit_test(a_full_pipe_fills_the_sink),
	};

	(void)signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
