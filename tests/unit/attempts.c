/* Attempts against two providers whose every byte is written by the test. */
#include "tests/unit/attempts_two.h"

/* ---- what providers do ---- */

static void reply(struct peer *p, const char *head, const char *body)
{
	char length[64];

	snprintf(length, sizeof(length), "Content-Length: %zu\r\n\r\n", strlen(body));
	say(p, "HTTP/1.1 ");
	say(p, head);
	say(p, "\r\nContent-Type: application/json\r\n");
	say(p, length);
	say(p, body);
}

static bool answers(struct peer *p)
{
	count(p);
	reply(p, "200 OK", WHOLE);
	return true;
}

static bool streams_with_a_pause(struct peer *p)
{
	count(p);
	say_events_head(p);
	say_chunk(p, HELLO);
	usleep(300000);
	say_chunk(p, CHUNK("{\"content\":\"lo\"}", "null") STOP DONE);
	say_chunk(p, "");
	return true;
}

static bool fails_500(struct peer *p)
{
	count(p);
	reply(p, "500 Internal Server Error", "{\"error\":{\"message\":\"oops\"}}");
	return true;
}

static bool fails_500_once(struct peer *p)
{
	if (asked_first)
		return streams(p);
	return fails_500(p);
}

static bool fails_400(struct peer *p)
{
	count(p);
	reply(p, "400 Bad Request",
		"{\"error\":{\"message\":\"messages are "
		"bad\",\"type\":\"invalid_request_error\"}}");
	return true;
}

static bool is_limited_briefly(struct peer *p)
{
	if (count(p) > 1)
		return streams(p);
	reply(p, "429 Too Many Requests\r\nretry-after-ms: 200",
		"{\"error\":{\"message\":\"slow down\"}}");
	return true;
}

static bool resets(struct peer *p)
{
	count(p);
	reset(p);
	return false;
}

static bool is_silent(struct peer *p)
{
	count(p);
	say_events_head(p);
	return leaves(p) && false;
}

static bool dies_behind_the_role(struct peer *p)
{
	count(p);
	say_events_head(p);
	say_chunk(p, CHUNK("{\"role\":\"assistant\",\"content\":\"\"}", "null"));
	reset(p);
	return false;
}

static bool dies_in_the_text(struct peer *p)
{
	count(p);
	say_events_head(p);
	say_chunk(p, HELLO);
	reset(p);
	return false;
}

/* ---- one request ---- */

/* The client has "Hello" once, and the answer's end. */
static void assert_hello(struct asking *a, const char *words)
{
	assert_int_equal(a->c.rc, ERR_OK);
	assert_string_equal(a->words, words);
	assert_true(saw(&a->c, "\"content\":\"Hel\""));
	assert_true(saw(&a->c, "\"content\":\"lo\""));
	assert_false(saw(&a->c, "\"content\":\"Hello\""));
	assert_false(saw(&a->c, "\"error\""));
	assert_true(slice_ends(buf_slice(&a->c.seen), DONE));
}

/* ---- before anything was said ---- */

static void a_good_answer_is_the_first_ones(void **state)
{
	struct asking a = ask_of(true);

	(void)state;
	first.play = streams;
	second.play = streams;
	ask(&a);
	assert_hello(&a, "one:ok");
	assert_true(saw(&a.c, "X-Provider: one\r\n"));
	assert_true(saw(&a.c, "X-Attempts: one:ok\r\n"));
	assert_true(saw(&a.c, "{\"provider\":\"one\","));
	assert_int_equal(asked_second, 0);
	end_ask(&a);
}

static void a_500_is_tried_once_more_where_it_was(void **state)
{
	struct asking a = ask_of(true);

	(void)state;
	first.play = fails_500_once;
	second.play = streams;
	ask(&a);
	assert_hello(&a, "one:500, one:ok");
	assert_int_equal(asked_second, 0);
	end_ask(&a);
}

static void who_fails_for_good_is_left_for_another(void **state)
{
	struct asking a = ask_of(true);

	(void)state;
	first.play = fails_500;
	second.play = streams;
	ask(&a);
	assert_hello(&a, "one:500, one:500, two:ok");
	assert_true(saw(&a.c, "X-Provider: two\r\n"));
	assert_true(saw(&a.c, "X-Attempts: one:500, one:500, two:ok\r\n"));
	assert_ptr_not_equal(a.tries.answered, NULL);
	end_ask(&a);
}

static void a_connection_that_breaks_leads_to_another_at_once(void **state)
{
	struct asking a = ask_of(false);

	(void)state;
	first.play = resets;
	second.play = answers;
	ask(&a);
	assert_int_equal(a.c.rc, ERR_OK);
	/* (libcurl itself dials again where a kept connection turns out to be dead) */
	assert_int_equal(a.tries.count, 2);
	assert_true(a.tries.list[0].end == ATTEMPT_FAILED && a.tries.list[1].end == ATTEMPT_OK);
	assert_non_null(memmem(a.tries.res.answer.json.data, a.tries.res.answer.json.len,
		"{\"provider\":\"two\",", 18));
	end_ask(&a);
}

static void a_bad_request_goes_straight_back(void **state)
{
	struct asking a = ask_of(true);

	(void)state;
	first.play = fails_400;
	second.play = streams;
	ask(&a);
	assert_int_equal(err_status(&a.c.e), 400);
	assert_int_equal(asked_first, 1);
	assert_int_equal(asked_second, 0);
	assert_int_equal(a.c.seen.len, 0);
	end_ask(&a);
}

static void a_short_limit_is_waited_out_where_nobody_else_is(void **state)
{
	struct asking a = ask_of(true);
	int64_t begun_ms = clock_mono_ms();

	(void)state;
	a.providers = 1;
	first.play = is_limited_briefly;
	ask(&a);
	assert_hello(&a, "one:429, one:ok");
	assert_true(clock_mono_ms() - begun_ms >= 200);
	end_ask(&a);
}

static void everybody_down_is_503_with_a_time(void **state)
{
	struct asking a = ask_of(true);

	(void)state;
	first.play = resets;
	second.play = resets;
	ask(&a);
	assert_int_equal(a.c.rc, ERR_ALL_DOWN);
	assert_int_equal(err_status(&a.c.e), 503);
	assert_true(a.c.e.retry_after_ms > 0);
	assert_true(a.tries.count <= 4);
	assert_int_equal(a.c.seen.len, 0);
	end_ask(&a);
}

static void one_provider_alone_keeps_its_own_error(void **state)
{
	struct asking a = ask_of(true);

	(void)state;
	a.providers = 1;
	first.play = fails_500;
	ask(&a);
	assert_int_equal(a.c.rc, ERR_UPSTREAM_STATUS);
	assert_int_equal(a.c.e.upstream_status, 500);
	assert_int_equal(asked_first, 2);
	end_ask(&a);
}

static void no_more_attempts_are_made_than_allowed(void **state)
{
	struct asking a = ask_of(true);

	(void)state;
	a.most = 1;
	first.play = resets;
	second.play = streams;
	ask(&a);
	assert_int_equal(a.tries.count, 1);
	assert_int_equal(asked_second, 0);
	assert_int_equal(err_status(&a.c.e), 503);
	end_ask(&a);
}

static void who_dies_before_its_first_word_is_never_seen(void **state)
{
	struct asking a = ask_of(true);

	(void)state;
	first.play = dies_behind_the_role;
	second.play = streams;
	ask(&a);
	assert_hello(&a, "one:closed, two:ok");
	assert_true(saw(&a.c, "X-Provider: two\r\n"));
	end_ask(&a);
}

/* ---- company for the slow ---- */

static void who_speaks_first_answers_and_the_other_is_cancelled(void **state)
{
	struct asking a = ask_of(true);
	int left = left_before(&first);

	(void)state;
	a.first_token_ms = 100;
	first.play = is_silent;
	second.play = streams;
	ask(&a);
	assert_hello(&a, "one:slow, two:ok");
	assert_true(a.tries.list[1].hedge);
	assert_true(saw(&a.c, "X-Provider: two\r\n"));
	assert_true(saw(&a.c, "X-Attempts: one:slow, two:ok\r\n"));
	for (int i = 0; first.left == left && i < 300; i++)
		usleep(10000);
	assert_int_equal(first.left, left + 1);
	end_ask(&a);
}

static void who_has_begun_to_speak_gets_no_company(void **state)
{
	struct asking a = ask_of(true);

	(void)state;
	a.first_token_ms = 100;
	first.play = streams_with_a_pause;
	second.play = streams;
	ask(&a);
	assert_hello(&a, "one:ok");
	assert_int_equal(asked_second, 0);
	end_ask(&a);
}

static void a_heartbeat_before_names_nobody(void **state)
{
	struct asking a = ask_of(true);

	(void)state;
	a.first_token_ms = 600;
	a.c.conf.heartbeat_ms = 150;
	first.play = is_silent;
	second.play = streams;
	ask(&a);
	assert_hello(&a, "one:slow, two:ok");
	assert_true(saw(&a.c, ": keep-alive\n\n"));
	assert_false(saw(&a.c, "X-Provider"));
	assert_true(saw(&a.c, "{\"provider\":\"two\","));
	end_ask(&a);
}

static void company_that_fails_does_not_hurt(void **state)
{
	struct asking a = ask_of(true);

	(void)state;
	a.first_token_ms = 100;
	a.deadline_ms = 1500;
	first.play = is_silent;
	second.play = fails_400;
	ask(&a);
	assert_int_equal(a.c.rc, ERR_ALL_DOWN);
	assert_string_equal(a.words, "one:timeout, two:400");
	end_ask(&a);
}

/* ---- after something was said ---- */

static void a_broken_stream_goes_on_elsewhere(void **state)
{
	struct asking a = ask_of(true);

	(void)state;
	a.prefill = true;
	first.play = dies_in_the_text;
	second.play = goes_on;
	ask(&a);
	assert_hello(&a, "one:cut, two:ok");
	assert_true(a.tries.list[1].rescue);
	end_ask(&a);
}

static bool dies_once_in_the_text(struct peer *p)
{
	return asked_first ? streams(p) : dies_in_the_text(p);
}

static void a_broken_stream_is_heard_again_where_it_broke(void **state)
{
	struct asking a = ask_of(true);

	(void)state;
	first.play = dies_once_in_the_text;
	second.play = streams;
	ask(&a);
	assert_hello(&a, "one:cut, one:ok");
	assert_int_equal(asked_second, 0);
	end_ask(&a);
}

static void another_answer_is_never_spliced(void **state)
{
	struct asking a = ask_of(true);

	(void)state;
	first.play = dies_in_the_text;
	second.play = says_something_else;
	ask(&a);
	assert_int_not_equal(a.c.rc, ERR_OK);
	assert_true(saw(&a.c, "\"content\":\"Hel\""));
	assert_false(saw(&a.c, "Good"));
	assert_true(saw(&a.c, "tokens came"));
	assert_true(slice_ends(buf_slice(&a.c.seen), "\"finish_reason\":\"error\"}]}\n\n"));
	assert_false(saw(&a.c, "[DONE]"));
	end_ask(&a);
}

static void without_rescue_a_broken_stream_is_told(void **state)
{
	struct asking a = ask_of(true);

	(void)state;
	a.rescue = RESCUE_OFF;
	a.prefill = true;
	first.play = dies_in_the_text;
	second.play = goes_on;
	ask(&a);
	assert_int_not_equal(a.c.rc, ERR_OK);
	assert_int_equal(asked_second, 0);
	assert_true(saw(&a.c, "\"error\""));
	assert_false(saw(&a.c, "[DONE]"));
	end_ask(&a);
}

static void a_beginning_that_is_held_back_dies_unseen(void **state)
{
	struct asking a = ask_of(true);

	(void)state;
	a.c.conf.hold = 2;
	first.play = dies_in_the_text;
	second.play = streams;
	ask(&a);
	assert_hello(&a, "one:closed, two:ok");
	assert_true(saw(&a.c, "X-Provider: two\r\n"));
	end_ask(&a);
}

/* ---- the client ---- */

static bool says_and_dies(struct peer *p)
{
	count(p);
	say_events_head(p);
	say_chunk(p, CHUNK("{\"role\":\"assistant\",\"content\":\"lo\"}", "null"));
	reset(p);
	return false;
}

static bool dies_in_the_text_then_ends_it(struct peer *p)
{
	if (asked_first)
		return streams(p);
	return dies_in_the_text(p);
}

static void nothing_that_was_held_back_is_taken_for_said(void **state)
{
	struct asking a = ask_of(true);

	(void)state;
	a.prefill = true;
	a.c.conf.hold = 1;
	first.play = dies_in_the_text_then_ends_it;
	second.play = says_and_dies;
	ask(&a);
	assert_hello(&a, "one:cut, two:cut, two:invalid, one:ok");
	end_ask(&a);
}

static bool is_missing(struct peer *p)
{
	count(p);
	reply(p, "404 Not Found", "{\"error\":{\"message\":\"no such model\"}}");
	return true;
}

static void that_the_last_one_has_no_such_model_is_not_the_answer(void **state)
{
	struct asking a = ask_of(true);

	(void)state;
	first.play = resets;
	second.play = is_missing;
	ask(&a);
	assert_int_equal(a.c.rc, ERR_ALL_DOWN);
	end_ask(&a);
}

static bool is_overloaded_for_30_s(struct peer *p)
{
	count(p);
	reply(p, "503 Overloaded\r\nRetry-After: 30", "{\"error\":{\"message\":\"busy\"}}");
	return true;
}

static void the_soonest_time_that_anybody_named_is_told(void **state)
{
	struct asking a = ask_of(true);

	(void)state;
	first.play = is_overloaded_for_30_s;
	second.play = is_overloaded_for_30_s;
	ask(&a);
	assert_int_equal(a.c.rc, ERR_ALL_DOWN);
	assert_int_equal(a.c.e.retry_after_ms, 30000);
	end_ask(&a);
}

static void *leave_soon(void *arg)
{
	usleep(150000);
	shutdown(*(int *)arg, SHUT_RDWR);
	return NULL;
}

static bool is_limited_for_long(struct peer *p)
{
	count(p);
	reply(p, "429 Too Many Requests\r\nretry-after-ms: 4000",
		"{\"error\":{\"message\":\"slow down\"}}");
	return true;
}

static void a_client_that_leaves_between_attempts_ends_the_request(void **state)
{
	struct asking a = ask_of(true);
	int64_t begun_ms = clock_mono_ms();
	pthread_t thread;

	(void)state;
	a.providers = 1;
	first.play = is_limited_for_long;
	open_client(&a.c);
	pthread_create(&thread, NULL, leave_soon, &a.c.client[0]);
	ask(&a);
	pthread_join(thread, NULL);
	assert_int_equal(a.c.rc, ERR_CLIENT_GONE);
	assert_true(clock_mono_ms() - begun_ms < 3500);
	assert_int_equal(asked_first, 1);
	end_ask(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_good_answer_is_the_first_ones),
		cmocka_unit_test(a_500_is_tried_once_more_where_it_was),
		cmocka_unit_test(who_fails_for_good_is_left_for_another),
		cmocka_unit_test(a_connection_that_breaks_leads_to_another_at_once),
		cmocka_unit_test(a_bad_request_goes_straight_back),
		cmocka_unit_test(a_short_limit_is_waited_out_where_nobody_else_is),
		cmocka_unit_test(everybody_down_is_503_with_a_time),
		cmocka_unit_test(one_provider_alone_keeps_its_own_error),
		cmocka_unit_test(no_more_attempts_are_made_than_allowed),
		cmocka_unit_test(who_dies_before_its_first_word_is_never_seen),
		cmocka_unit_test(who_speaks_first_answers_and_the_other_is_cancelled),
		cmocka_unit_test(who_has_begun_to_speak_gets_no_company),
		cmocka_unit_test(a_heartbeat_before_names_nobody),
		cmocka_unit_test(company_that_fails_does_not_hurt),
		cmocka_unit_test(a_broken_stream_goes_on_elsewhere),
		cmocka_unit_test(a_broken_stream_is_heard_again_where_it_broke),
		cmocka_unit_test(another_answer_is_never_spliced),
		cmocka_unit_test(without_rescue_a_broken_stream_is_told),
		cmocka_unit_test(a_beginning_that_is_held_back_dies_unseen),
		cmocka_unit_test(nothing_that_was_held_back_is_taken_for_said),
		cmocka_unit_test(that_the_last_one_has_no_such_model_is_not_the_answer),
		cmocka_unit_test(the_soonest_time_that_anybody_named_is_told),
		cmocka_unit_test(a_client_that_leaves_between_attempts_ends_the_request),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
