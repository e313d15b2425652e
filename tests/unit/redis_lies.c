/* A Redis that hangs up, comes too late, and says what no Redis says. */
#include "tests/unit/redis_played.h"

/* Tried: fails when it is. */
static void a_call_that_broke_off_is_not_sent_again(void **state)
{
	struct played p = { .fd = -1, .hangs_up = true };
	struct redis *r;

	(void)state;
	played_start(&p);
	r = redis_of(p.url, LONG_MS);
	assert_string_equal(said(r, "INCR a"), "store");
	assert_non_null(strstr(err.message, "closed the connection"));
	assert_int_equal(p.asked, 1);
	redis_close(r);
	played_stop(&p);
}

/* Tried: fails when such a connection is kept. */
static void a_connection_whose_answer_is_late_is_left(void **state)
{
	struct played p = { .fd = -1 };
	struct redis *r;

	(void)state;
	played_start(&p);
	played_says(&p, "+then\r\n", 7);
	r = redis_of(p.url, 6 * SHORT_MS);
	assert_string_equal(said(r, "GET a"), "then");
	played_says(&p, NULL, 0);
	assert_string_equal(said(r, "GET a"), "store");
	played_says(&p, "+now\r\n", 6);
	assert_string_equal(said(r, "GET b"), "now");
	assert_int_equal(p.accepted, 2);
	assert_string_equal(said(r, "GET c"), "now");
	assert_int_equal(p.accepted, 2);
	redis_close(r);
	played_stop(&p);
}

/* As a CGI program does for each request. Tried: fails when it may be late three times. */
static void who_begins_while_it_hangs_waits_once(void **state)
{
	struct played p = { .fd = -1 };
	struct redis *r;

	(void)state;
	played_start(&p);
	r = redis_of(p.url, SHORT_MS);
	for (int i = 0; i < 3; i++)
		assert_string_equal(said(r, "GET a"), "store");
	assert_int_equal(p.accepted, 1);
	played_says(&p, "+now\r\n", 6);
	assert_true(says_at_last(r, "GET a", "now"));
	redis_close(r);
	played_stop(&p);
}

/* Tried: fails when an error quotes what came. */
static void an_error_that_repeats_the_password_is_not_passed_on(void **state)
{
	static const char said_back[] = "-ERR the password hunter2 is too short\r\n";
	struct played p = { .fd = -1 };
	struct redis *r;
	char url[128];

	(void)state;
	played_start(&p);
	played_says(&p, said_back, strlen(said_back));
	snprintf(url, sizeof(url), "unix://:hunter2@%s", p.path);
	r = redis_of(url, LONG_MS);
	assert_string_equal(said(r, "GET a"), "store");
	assert_non_null(strstr(err.message, "repeats"));
	assert_null(strstr(err.message, "hunter2"));
	redis_close(r);
	played_stop(&p);
}

static void a_server_that_cannot_serve_now_is_as_good_as_gone(void **state)
{
	static const char *const answers[] = { "-LOADING Redis is loading\r\n",
		"-MASTERDOWN Link with MASTER is down\r\n", "-READONLY You can't write\r\n",
		"-CLUSTERDOWN The cluster is down\r\n", "-OOM command not allowed\r\n",
		"-MOVED 1 127.0.0.1:1\r\n" };
	struct played p = { .fd = -1 };
	struct redis *r;

	(void)state;
	played_start(&p);
	r = redis_of(p.url, LONG_MS);
	for (size_t i = 0; i < sizeof(answers) / sizeof(*answers); i++) {
		played_says(&p, answers[i], strlen(answers[i]));
		assert_string_equal(said(r, "SET a b"), "store");
	}
	played_says(&p, "+OK\r\n", 5);
	assert_string_equal(said(r, "SET a b"), "OK");
	redis_close(r);
	played_stop(&p);
}

static void after_a_failure_to_connect_nobody_tries_for_a_while(void **state)
{
	struct played p = { .fd = -1, .hangs_up = true };
	struct redis *r;
	char url[128];
	int64_t began_ms;

	(void)state;
	played_start(&p);
	snprintf(url, sizeof(url), "unix://:password@%s", p.path);
	r = redis_of(url, LONG_MS);
	began_ms = clock_mono_ms();
	assert_string_equal(said(r, "GET a"), "store");
	for (int i = 0; i < 50; i++)
		assert_string_equal(said(r, "GET a"), "store");
	if (clock_mono_ms() - began_ms < REDIS_PAUSE_MS) /* else the machine was busy */
		assert_int_equal(p.accepted, 1);
	assert_true(p.accepted <= 2 + (clock_mono_ms() - began_ms) / REDIS_PAUSE_MS);
	p.hangs_up = false;
	played_says(&p, "+OK\r\n", 5);
	assert_true(says_at_last(r, "GET a", "OK"));
	redis_close(r);
	played_stop(&p);
}

static void what_is_no_answer_ends_the_connection_and_nothing_else(void **state)
{
#define DEEP8 "*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n"
#define BAD(s) \
	{ \
		s, sizeof(s) - 1 \
	}
	static const struct slice answers[] = { BAD("HTTP/1.1 400 Bad Request\r\n\r\n"),
		BAD("hello"), BAD("\0\0\0\0"), BAD(":abc\r\n"), BAD("$-2\r\n"),
		BAD("$99999999999999999999\r\n"), BAD("*99999999999999999999\r\n"),
		BAD("*2147483647\r\n"), BAD("*1048577\r\n"), BAD("$abc\r\n"),
		BAD(DEEP8 DEEP8 DEEP8 "+x\r\n"), BAD("*3\r\n*1000000\r\n"), BAD("\r\n"),
		BAD("+OK\r\n+unasked\r\n"), BAD("$5\r\nab"), BAD("*2\r\n+a\r\n"), BAD("") };
	struct played p = { .fd = -1 };
	struct redis *r;

	(void)state;
	played_start(&p);
	played_says(&p, "$4\r\ngood\r\n", 10);
	r = redis_of(p.url, LONG_MS);
	assert_string_equal(said(r, "GET a"), "good");
	for (size_t i = 0; i < sizeof(answers) / sizeof(*answers); i++) {
		const char *is;

		print_message("%zu: %.20s\n", i, answers[i].ptr);
		p.hangs_up = true;
		played_says(&p, answers[i].ptr, answers[i].len);
		is = said(r, "GET a");
		if (!slice_starts(answers[i], "+OK")) {
			assert_string_equal(is, "store");
			assert_null(strstr(err.message, "HTTP"));
		}
		p.hangs_up = false;
		played_says(&p, "$4\r\ngood\r\n", 10);
		assert_string_equal(said(r, "GET a"), "good");
	}
	redis_close(r);
	played_stop(&p);
}

static void a_huge_answer_is_waited_for_no_longer_than_the_time_limit(void **state)
{
	struct played p = { .fd = -1 };
	struct redis *r;

	(void)state;
	played_start(&p);
	r = redis_of(p.url, SHORT_MS);
	played_says(&p, "$60000000\r\nab", 13);
	assert_string_equal(said(r, "GET a"), "store");
	assert_non_null(strstr(err.message, "in time"));
	redis_close(r);
	played_stop(&p);
}

static void more_than_the_ceiling_is_not_read(void **state)
{
	size_t n = ((size_t)64 << 20) + 100;
	char *answer = malloc(n);
	struct played p = { .fd = -1 };
	struct redis *r;

	(void)state;
	assert_non_null(answer);
	memset(answer, 'x', n);
	memcpy(answer, "$67108900\r\n", 11);
	played_start(&p);
	r = redis_of(p.url, LONG_MS * 2);
	played_says(&p, answer, n);
	assert_string_equal(said(r, "GET a"), "store");
	assert_non_null(strstr(err.message, "64 MiB"));
	redis_close(r);
	played_stop(&p);
	free(answer);
}

static void an_answer_may_come_byte_by_byte(void **state)
{
	struct played p = { .fd = -1, .bytewise = true };
	struct redis_reply reply;
	struct redis *r;

	(void)state;
	played_start(&p);
	r = redis_of(p.url, LONG_MS);
	played_says(&p, "*3\r\n$5\r\na\r\nbc\r\n:-12\r\n*2\r\n$-1\r\n*-1\r\n",
		strlen("*3\r\n$5\r\na\r\nbc\r\n:-12\r\n*2\r\n$-1\r\n*-1\r\n"));
	assert_int_equal(call(r, "GET a", &reply), ERR_OK);
	assert_int_equal(reply.value.count, 3);
	assert_true(slice_is(reply.value.items[0].text, "a\r\nbc"));
	assert_int_equal(reply.value.items[1].integer, -12);
	assert_int_equal(reply.value.items[2].count, 2);
	assert_int_equal(reply.value.items[2].items[1].kind, REDIS_NIL);
	redis_reply_fini(&reply);
	redis_close(r);
	played_stop(&p);
}

static void nothing_is_tested_without_redis(void **state)
{
	(void)state;
	assert_false(redis_is_built());
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_call_that_broke_off_is_not_sent_again),
		cmocka_unit_test(a_connection_whose_answer_is_late_is_left),
		cmocka_unit_test(who_begins_while_it_hangs_waits_once),
		cmocka_unit_test(an_error_that_repeats_the_password_is_not_passed_on),
		cmocka_unit_test(a_server_that_cannot_serve_now_is_as_good_as_gone),
		cmocka_unit_test(after_a_failure_to_connect_nobody_tries_for_a_while),
		cmocka_unit_test(what_is_no_answer_ends_the_connection_and_nothing_else),
		cmocka_unit_test(a_huge_answer_is_waited_for_no_longer_than_the_time_limit),
		cmocka_unit_test(more_than_the_ceiling_is_not_read),
		cmocka_unit_test(an_answer_may_come_byte_by_byte),
	};
	const struct CMUnitTest none[] = { cmocka_unit_test(nothing_is_tested_without_redis) };

	if (!redis_is_built())
		return cmocka_run_group_tests(none, NULL, NULL);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
