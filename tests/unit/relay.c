/* The relay and the pump against a provider that misbehaves, byte for byte. */
#include "tests/unit/scripted.h"

static struct provider_script server;
static struct pump *pump;

static int set_up(void **state)
{
	(void)state;
	script_start(&server, NULL);
	pump = new_pump("");
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	pump_stop(pump);
	script_stop(&server);
	return 0;
}

/* A call with default limits, to its end. */
static struct call try_call(script play, bool stream)
{
	struct call c = call_of(stream);

	server.play = play;
	place_call(pump, &server, &c);
	read_all(&c);
	return c;
}

static bool plays_hello(struct peer *p)
{
	say_events_head(p);
	say_chunk(p, HELLO STOP DONE);
	say_chunk(p, "");
	return true;
}

/* Whatever went wrong before, the next request is served (promise 8). */
static void assert_healthy(void)
{
	struct call c = try_call(plays_hello, true);

	assert_int_equal(c.rc, ERR_OK);
	assert_true(c.res.complete);
	assert_string_equal(c.res.finish_reason, "stop");
	assert_true(slice_ends(buf_slice(&c.seen), DONE));
	end_call(&c);
}

/* What began ends in one error event and without [DONE]. */
static void assert_told(struct call *c, enum err_code rc)
{
	assert_int_equal(c->rc, rc);
	assert_true(c->res.spoke);
	assert_false(c->res.complete);
	assert_true(saw(c, "\"content\":\"Hel\""));
	assert_true(saw(c, "\"error\":{"));
	assert_true(slice_ends(buf_slice(&c->seen), "\"finish_reason\":\"error\"}]}\n\n"));
	assert_false(saw(c, "[DONE]"));
	end_call(c);
	assert_healthy();
}

/* What never began has its true status, and the client nothing yet. */
static void assert_refused(struct call *c, enum err_code rc, int status)
{
	assert_int_equal(c->rc, rc);
	assert_int_equal(err_status(&c->e), status);
	assert_false(c->res.spoke);
	assert_int_equal(c->seen.len, 0);
	assert_string_equal(c->e.provider, "lab");
	assert_int_equal(c->res.usage.state, USAGE_NONE);
	end_call(c);
	assert_healthy();
}

#define REFUSED(play, rc, status) \
	do { \
		struct call c_ = try_call(play, true); \
		assert_refused(&c_, rc, status); \
	} while (0)
#define TOLD(play, rc) \
	do { \
		struct call c_ = try_call(play, true); \
		assert_told(&c_, rc); \
	} while (0)

/* ---- good ends ---- */

static bool plays_pieces(struct peer *p)
{
	say_events_head(p);
	for (const char *at = HELLO STOP DONE; *at; at++)
		say_chunk(p, (char[]){ *at, 0 });
	say_chunk(p, "");
	return true;
}

static void one_byte_at_a_time_is_a_stream_too(void **state)
{
	struct call c = try_call(plays_pieces, true);

	(void)state;
	assert_int_equal(c.rc, ERR_OK);
	assert_true(saw(&c, ": ok\n\ndata: {"));
	assert_true(slice_ends(buf_slice(&c.seen), DONE));
	end_call(&c);
}

static bool plays_no_done(struct peer *p)
{
	say_events_head(p);
	say_chunk(p, HELLO STOP);
	say_chunk(p, "");
	return true;
}

static void a_missing_done_is_added_at_the_end_of_the_body(void **state)
{
	struct call c = try_call(plays_no_done, true);

	(void)state;
	assert_int_equal(c.rc, ERR_OK);
	assert_true(slice_ends(buf_slice(&c.seen), DONE));
	end_call(&c);
}

static bool plays_no_done_and_waits(struct peer *p)
{
	say_events_head(p);
	say_chunk(p, HELLO STOP);
	(void)leaves(p);
	return false;
}

static void a_missing_done_is_added_while_the_connection_stays_open(void **state)
{
	struct call c = call_of(true);

	(void)state;
	c.conf.idle_ms = 50; /* below the grace period: counts instead of it */
	c.include_usage = true;
	server.play = plays_no_done_and_waits;
	place_call(pump, &server, &c);
	read_all(&c);
	assert_int_equal(c.rc, ERR_OK);
	assert_int_equal(c.res.usage.state, USAGE_ESTIMATED);
	assert_true(saw(&c, "\"choices\":[],\"usage\":{"));
	assert_true(slice_ends(buf_slice(&c.seen), DONE));
	end_call(&c);
	assert_healthy();
}

static bool plays_whole(struct peer *p)
{
	say(p, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: ");
	char length[16];

	snprintf(length, sizeof(length), "%zu\r\n\r\n", sizeof(WHOLE) - 1);
	say(p, length);
	say(p, WHOLE);
	return true;
}

static void a_whole_answer_is_handed_over_unsent(void **state)
{
	struct call c = try_call(plays_whole, false);

	(void)state;
	assert_int_equal(c.rc, ERR_OK);
	assert_false(c.res.spoke);
	assert_int_equal(c.seen.len, 0);
	assert_true(json_str_is(
		json_get((struct json_value){ JSON_OBJECT, buf_slice(&c.res.answer.json) }, "model")
			.raw,
		"lab/m"));
	end_call(&c);
}

static void a_whole_answer_to_a_streaming_call_becomes_a_stream(void **state)
{
	struct call c = try_call(plays_whole, true);

	(void)state;
	assert_int_equal(c.rc, ERR_OK);
	assert_true(saw(&c, "\"delta\":{\"role\":\"assistant\",\"content\":\"Four.\"}"));
	assert_true(slice_ends(buf_slice(&c.seen), DONE));
	end_call(&c);
}

static bool plays_late(struct peer *p)
{
	say_events_head(p);
	say_chunk(p, "data: {\"choices\":[{\"index\":0,"); /* heartbeats must not land here */
	usleep(450000);
	say_chunk(p, "\"delta\":{\"content\":\"Hel\"},\"finish_reason\":\"stop\"}]}\n\n" DONE);
	say_chunk(p, "");
	return true;
}

static void silence_is_filled_with_heartbeats_between_events(void **state)
{
	struct call c = call_of(true);

	(void)state;
	c.conf.heartbeat_ms = 100;
	server.play = plays_late;
	place_call(pump, &server, &c);
	read_all(&c);
	assert_int_equal(c.rc, ERR_OK);
	assert_true(saw(&c, ": ok\n\n: keep-alive\n\n"));
	assert_true(saw(&c, "\n\n: keep-alive\n\ndata: {"));
	assert_true(slice_ends(buf_slice(&c.seen), DONE));
	end_call(&c);
}

/* ---- streams that break ---- */

static bool cut_in_event(struct peer *p)
{
	say_events_head(p);
	say_chunk(p, HELLO "data: {\"choices\":[{\"ind");
	return false;
}

static bool cut_in_character(struct peer *p)
{
	say_events_head(p);
	say_chunk(p, HELLO "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"\xc3");
	say_chunk(p, ""); /* as HTTP wants it */
	return true;
}

static bool ends_without_finish(struct peer *p)
{
	say_events_head(p);
	say_chunk(p, HELLO DONE);
	say_chunk(p, "");
	return true;
}

static bool resets(struct peer *p)
{
	say_events_head(p);
	say_chunk(p, HELLO);
	usleep(20000); /* a reset overtakes what was not read */
	reset(p);
	return false;
}

static bool says_nonsense(struct peer *p)
{
	say_events_head(p);
	say_chunk(p, HELLO "data: {\"choices\":[{]}\n\n" STOP DONE);
	(void)leaves(p);
	return false;
}

static bool says_error_later(struct peer *p)
{
	say_events_head(p);
	say_chunk(p, HELLO "data: {\"error\":{\"message\":\"no\"}}\n\n");
	(void)leaves(p);
	return false;
}

static bool never_ends_its_line(struct peer *p)
{
	char line[1025];

	memset(line, 'x', 1024);
	line[1024] = 0;
	say_events_head(p);
	say_chunk(p, HELLO "data: ");
	for (int i = 0; i < 64; i++)
		say_chunk(p, line);
	(void)leaves(p);
	return false;
}

static void a_broken_stream_ends_in_an_error_event(void **state)
{
	(void)state;
	TOLD(cut_in_event, ERR_UPSTREAM_CLOSED);
	TOLD(cut_in_character, ERR_UPSTREAM_CLOSED);
	TOLD(ends_without_finish, ERR_UPSTREAM_CLOSED);
	TOLD(resets, ERR_UPSTREAM_CLOSED);
	TOLD(says_nonsense, ERR_UPSTREAM_INVALID);
	TOLD(says_error_later, ERR_UPSTREAM_STATUS);
	TOLD(never_ends_its_line, ERR_UPSTREAM_TOO_LARGE);
}

static bool stalls(struct peer *p)
{
	say_events_head(p);
	say_chunk(p, HELLO);
	(void)leaves(p);
	return false;
}

static void a_stall_is_a_timeout_and_cancels_the_provider(void **state)
{
	struct call c = call_of(true);
	int left = left_before(&server);

	(void)state;
	c.conf.idle_ms = 50;
	server.play = stalls;
	place_call(pump, &server, &c);
	read_all(&c);
	assert_int_equal(c.res.usage.state, USAGE_PARTIAL);
	assert_told(&c, ERR_UPSTREAM_TIMEOUT);
	for (int i = 0; server.left == left && i < 500; i++)
		usleep(10000);
	assert_int_equal(server.left, left + 1);
}

static void the_deadline_ends_a_stream_that_goes_on(void **state)
{
	struct call c = call_of(true);

	(void)state;
	c.conf.deadline_ms = 50;
	server.play = stalls;
	place_call(pump, &server, &c);
	read_all(&c);
	assert_told(&c, ERR_UPSTREAM_TIMEOUT);
}

/* ---- refusals and what is no answer ---- */

static bool says_401(struct peer *p)
{
	say(p, "HTTP/1.1 401 No\r\nContent-Length: 31\r\n\r\n{\"error\":{\"message\":\"bad key "
	       "k\"}}");
	return true;
}
static bool says_404(struct peer *p)
{
	say(p, "HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n");
	return true;
}
static bool says_429(struct peer *p)
{
	say(p, "HTTP/1.1 429 No\r\nRetry-After: 7\r\nContent-Length: 2\r\n\r\n{}");
	return true;
}
static bool says_429_exactly(struct peer *p)
{
	say(p, "HTTP/1.1 429 No\r\nretry-after-ms: 1500\r\nRetry-After: 2\r\n"
	       "Content-Length: 2\r\n\r\n{}");
	return true;
}
static bool says_429_until(struct peer *p)
{
	char line[128];
	time_t then = time(NULL) + 100;
	struct tm tm;

	gmtime_r(&then, &tm);
	strftime(line, sizeof(line), "Retry-After: %a, %d %b %Y %H:%M:%S GMT\r\n", &tm);
	say(p, "HTTP/1.1 429 No\r\n");
	say(p, line);
	say(p, "Content-Length: 2\r\n\r\n{}");
	return true;
}
static bool says_500_html(struct peer *p)
{
	say(p, "HTTP/1.1 500 No\r\nContent-Type: text/html\r\n\r\n<html><b>Oops</b></html>");
	return false;
}
static bool breaks_off_a_refusal(struct peer *p)
{
	say(p, "HTTP/1.1 503 No\r\nContent-Length: 999\r\n\r\nbusy");
	return false;
}
static bool redirects(struct peer *p)
{
	say(p, "HTTP/1.1 302 Go\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n");
	return true;
}
static bool says_garbage(struct peer *p)
{
	say(p, "SSH-2.0-OpenSSH_9.2\r\n\r\n");
	return false;
}
static bool says_gzip(struct peer *p)
{
	say(p, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Encoding: gzip\r\n"
	       "Content-Length: 10\r\n\r\n0123456789");
	return true;
}
static bool resets_at_once(struct peer *p)
{
	reset(p);
	return false;
}
static bool closes_at_once(struct peer *p)
{
	(void)p;
	return false;
}
static bool says_error_first(struct peer *p)
{
	say_events_head(p);
	say_chunk(p, "data: {\"error\":{\"message\":\"full\",\"code\":429}}\n\n");
	say_chunk(p, "");
	return true;
}
static bool says_error_bare(struct peer *p)
{
	say_events_head(p);
	say_chunk(p, "{\"error\":{\"message\":\"full\",\"code\":503}}");
	say_chunk(p, "");
	return true;
}

static void a_refusal_keeps_its_status(void **state)
{
	struct call c;

	(void)state;
	REFUSED(says_401, ERR_UPSTREAM_STATUS, 401);
	REFUSED(says_404, ERR_UPSTREAM_STATUS, 404);
	REFUSED(says_500_html, ERR_UPSTREAM_STATUS, 500);
	REFUSED(breaks_off_a_refusal, ERR_UPSTREAM_STATUS, 503);
	REFUSED(says_error_first, ERR_UPSTREAM_STATUS, 429);
	REFUSED(says_error_bare, ERR_UPSTREAM_STATUS, 503);
	c = try_call(says_429, true);
	assert_int_equal(c.e.retry_after_ms, 7000);
	assert_refused(&c, ERR_UPSTREAM_STATUS, 429);
	c = try_call(says_429_exactly, true);
	assert_int_equal(c.e.retry_after_ms, 1500);
	assert_refused(&c, ERR_UPSTREAM_STATUS, 429);
	c = try_call(says_429_until, true);
	assert_in_range(c.e.retry_after_ms, 80000, 100000);
	assert_refused(&c, ERR_UPSTREAM_STATUS, 429);
}

/* Fails when relay_chat() returns another code than the one that the error has (tried). */
static void a_refusal_of_the_callers_own_key_is_marked_as_such(void **state)
{
	static const script plays[] = { says_401, says_429, says_error_first };
	static const int statuses[] = { 401, 429, 429 };

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		struct call c = call_of(true);

		server.play = plays[i];
		c.byok = true;
		place_call(pump, &server, &c);
		read_all(&c);
		assert_true(slice_starts(slice_of(c.e.message), "[BYOK] lab: "));
		assert_refused(&c, ERR_BYOK, statuses[i]);
	}
}

static void what_is_no_answer_is_an_error_of_the_gateway(void **state)
{
	(void)state;
	REFUSED(redirects, ERR_UPSTREAM_INVALID, 502);
	REFUSED(says_garbage, ERR_UPSTREAM_INVALID, 502);
	REFUSED(says_gzip, ERR_UPSTREAM_INVALID, 502);
	REFUSED(resets_at_once, ERR_UPSTREAM_CONNECT, 503);
	REFUSED(closes_at_once, ERR_UPSTREAM_CONNECT, 503);
}

static bool says_nothing(struct peer *p)
{
	(void)leaves(p);
	return false;
}
static bool says_only_a_head(struct peer *p)
{
	say_events_head(p);
	(void)leaves(p);
	return false;
}

static void a_first_byte_that_does_not_come_is_a_timeout(void **state)
{
	static const script plays[] = { says_nothing, says_only_a_head };

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct call c = call_of(true);

		c.conf.first_byte_ms = 50;
		server.play = plays[i];
		place_call(pump, &server, &c);
		shutdown(c.client[0], SHUT_WR);
		read_all(&c);
		assert_refused(&c, ERR_UPSTREAM_TIMEOUT, 504);
	}
}

static bool says_too_much(struct peer *p)
{
	char text[1025];

	memset(text, ' ', 1024);
	text[1024] = 0;
	say(p, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
	       "Transfer-Encoding: chunked\r\n\r\n");
	for (int i = 0; i < 80; i++)
		say_chunk(p, text);
	(void)leaves(p);
	return false;
}

static void an_answer_above_the_limit_is_refused(void **state)
{
	struct call c = try_call(says_too_much, false);

	(void)state;
	assert_non_null(strstr(c.e.message, "GATEWAY_MAX_ANSWER"));
	assert_refused(&c, ERR_UPSTREAM_TOO_LARGE, 502);
}

static void where_nobody_listens_the_error_says_so(void **state)
{
	static const struct {
		const char *url;
		enum err_code rc;
	} rows[] = {
		{ "http://127.0.0.1:1/v1", ERR_UPSTREAM_CONNECT },
		{ "http://no-such-host.invalid/v1", ERR_UPSTREAM_CONNECT },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct call c = call_of(true);

		c.url = rows[i].url;
		place_call(pump, NULL, &c);
		read_all(&c);
		assert_int_equal(c.rc, rows[i].rc);
		assert_int_equal(c.seen.len, 0);
		end_call(&c);
	}
	assert_healthy();
}

/* ---- the client ---- */

struct leaver {
	struct call *c;
	useconds_t after_us;
};

static void *leave(void *arg)
{
	struct leaver *l = arg;

	usleep(l->after_us);
	shutdown(l->c->client[0], SHUT_RDWR);
	return NULL;
}

static void a_client_that_leaves_cancels_its_provider(void **state)
{
	static const script plays[] = { says_nothing, says_only_a_head, stalls };

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		struct call c = call_of(true);
		struct leaver l = { &c, 150000 };
		pthread_t thread;
		int left = left_before(&server);
		int64_t began = clock_mono_ms();

		open_client(&c);
		server.play = plays[i];
		assert_int_equal(pthread_create(&thread, NULL, leave, &l), 0);
		place_call(pump, &server, &c);
		pthread_join(thread, NULL);
		assert_int_equal(c.rc, ERR_CLIENT_GONE);
		assert_true(clock_mono_ms() - began < 4000); /* not by a limit, the least is 5 s */
		for (int k = 0; server.left == left && k < 500; k++)
			usleep(10000);
		assert_int_equal(server.left, left + 1);
		end_call(&c);
		assert_healthy();
	}
}

static void a_client_that_left_before_is_found_by_the_first_write(void **state)
{
	struct call c = call_of(true);

	(void)state;
	open_client(&c);
	shutdown(c.client[0], SHUT_RDWR);
	server.play = stalls;
	place_call(pump, &server, &c);
	assert_int_equal(c.rc, ERR_CLIENT_GONE);
	end_call(&c);
	assert_healthy();
}

#define FLOOD 40000 /* events: some 5 MB */

static atomic_int flooded, flooded_when_full;

static bool floods(struct peer *p)
{
	char event[512];

	say_events_head(p);
	for (int i = 0; i < FLOOD; i++) {
		snprintf(event, sizeof(event),
			"data: {\"id\":\"a\",\"created\":1767225600,\"choices\":[{\"index\":0,"
			"\"delta\":{\"content\":\"<%d>\"},\"finish_reason\":null}]}\n\n",
			i);
		say_chunk(p, event);
		flooded = i;
	}
	say_chunk(p, STOP DONE);
	say_chunk(p, "");
	return true;
}

static void *read_slowly(void *arg)
{
	struct call *c = arg;

	/* Until the provider stands still: everything in between is full. */
	for (int before = -1; before != flooded || !before;) {
		before = flooded;
		usleep(200000);
	}
	flooded_when_full = flooded;
	read_all(c);
	return NULL;
}

static void a_slow_client_pauses_its_provider_and_loses_nothing(void **state)
{
	struct call c = call_of(true);
	pthread_t thread;
	struct slice rest;

	(void)state;
	open_client(&c);
	c.seen.max_bytes = 64 << 20;
	flooded = 0;
	server.play = floods;
	assert_int_equal(pthread_create(&thread, NULL, read_slowly, &c), 0);
	place_call(pump, &server, &c);
	assert_int_equal(c.rc, ERR_OK);
	pthread_join(thread, NULL);
	assert_true(flooded_when_full < FLOOD - 1);
	rest = buf_slice(&c.seen);
	for (int i = 0; i < FLOOD; i++) {
		char text[16];
		const char *at;

		snprintf(text, sizeof(text), "<%d>", i);
		at = memmem(rest.ptr, rest.len < 1024 ? rest.len : 1024, text, strlen(text));
		assert_non_null(at);
		rest = slice_from(rest, (size_t)(at + 1 - rest.ptr));
	}
	assert_true(slice_ends(rest, DONE));
	end_call(&c);
	assert_healthy();
}

static void a_client_that_takes_nothing_is_given_up(void **state)
{
	struct call c = call_of(true);

	(void)state;
	c.conf.client_stall_ms = 150; /* far below all other limits */
	server.play = floods;
	place_call(pump, &server, &c);
	assert_int_equal(c.rc, ERR_CLIENT_GONE);
	assert_non_null(strstr(c.e.message, "GATEWAY_CLIENT_STALL"));
	end_call(&c);
	assert_healthy();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_byte_at_a_time_is_a_stream_too),
		cmocka_unit_test(a_missing_done_is_added_at_the_end_of_the_body),
		cmocka_unit_test(a_missing_done_is_added_while_the_connection_stays_open),
		cmocka_unit_test(a_whole_answer_is_handed_over_unsent),
		cmocka_unit_test(a_whole_answer_to_a_streaming_call_becomes_a_stream),
		cmocka_unit_test(silence_is_filled_with_heartbeats_between_events),
		cmocka_unit_test(a_broken_stream_ends_in_an_error_event),
		cmocka_unit_test(a_stall_is_a_timeout_and_cancels_the_provider),
		cmocka_unit_test(the_deadline_ends_a_stream_that_goes_on),
		cmocka_unit_test(a_refusal_keeps_its_status),
		cmocka_unit_test(a_refusal_of_the_callers_own_key_is_marked_as_such),
		cmocka_unit_test(what_is_no_answer_is_an_error_of_the_gateway),
		cmocka_unit_test(a_first_byte_that_does_not_come_is_a_timeout),
		cmocka_unit_test(an_answer_above_the_limit_is_refused),
		cmocka_unit_test(where_nobody_listens_the_error_says_so),
		cmocka_unit_test(a_client_that_leaves_cancels_its_provider),
		cmocka_unit_test(a_client_that_left_before_is_found_by_the_first_write),
		cmocka_unit_test(a_slow_client_pauses_its_provider_and_loses_nothing),
		cmocka_unit_test(a_client_that_takes_nothing_is_given_up),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
