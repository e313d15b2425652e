#include "tests/unit/health_told.h"

/* ---- closed ---- */

static void of_whom_nothing_is_known_everybody_may_ask(void **state)
{
	bool changed = true;

	(void)state;
	assert_int_equal(enter(T0), HEALTH_GO);
	assert_int_equal(state_at(T0), HEALTH_CLOSED);
	assert_int_equal(tell(HEALTH_NOTHING, T0), HEALTH_CLOSED);
	assert_int_equal(place_find(h, NAME), PLACE_NONE); /* and makes no row */
	free(h);
	h = NULL;
	assert_int_equal(enter(T0), HEALTH_GO);
	assert_int_equal(state_at(T0), HEALTH_CLOSED);
	assert_int_equal(tell_of("gpt-5", HEALTH_FAILED, T0, &changed), HEALTH_CLOSED);
	assert_false(changed);
	health_forget(h, SLICE(""));
	assert_int_equal(health_list(h, &conf, T0, NULL, NULL), 0);
}

static void a_share_of_failures_opens_it_once_there_are_enough_outcomes(void **state)
{
	static const struct {
		const char *outcomes;
		enum health_state is;
	} rows[] = { { "++f", HEALTH_CLOSED }, { "fff+", HEALTH_CLOSED }, /* too few yet */
		{ "fff+f", HEALTH_OPEN }, { "+++ff", HEALTH_CLOSED }, { "+++fff", HEALTH_OPEN },
		{ "++++++fffff", HEALTH_OPEN }, /* five in a row */
		{ "++++++ff+ff", HEALTH_CLOSED }, { "ffffrrrrf", HEALTH_OPEN },
		{ "rrrrrrrrr", HEALTH_CLOSED }, { "ffff+", HEALTH_CLOSED }, /* opens on a failure */
		{ "ffff+f", HEALTH_OPEN }, { "ffffnnnn", HEALTH_CLOSED } };

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		print_message("  %s\n", rows[i].outcomes);
		memset(h, 0, health_bytes());
		for (const char *c = rows[i].outcomes; *c; c++) {
			if (*c == 'r') /* 429s, each over at once */
				(void)limit(1, T0 - 1);
			else
				(void)tell(*c == 'f'   ? HEALTH_FAILED
					   : *c == 'n' ? HEALTH_NOTHING
						       : HEALTH_OK,
					T0);
		}
		assert_int_equal(state_at(T0), rows[i].is);
	}
}

static void failures_in_a_row_open_it_however_far_apart(void **state)
{
	(void)state;
	for (int64_t i = 0; i < 4; i++)
		assert_int_equal(
			tell(HEALTH_FAILED, T0 + i * 10 * conf.interval_ms), HEALTH_CLOSED);
	assert_int_equal(tell(HEALTH_FAILED, T0 + 40 * conf.interval_ms), HEALTH_OPEN);
}

static void outcomes_older_than_two_intervals_do_not_count(void **state)
{
	const int64_t later = T0 + 2 * conf.interval_ms;

	(void)state;
	for (int i = 0; i < 100; i++)
		assert_int_equal(tell(HEALTH_OK, T0), HEALTH_CLOSED);
	/* A hundred good ones no longer stand against these … */
	(void)tell(HEALTH_FAILED, later);
	(void)tell(HEALTH_OK, later);
	(void)tell(HEALTH_FAILED, later);
	(void)tell(HEALTH_FAILED, later);
	assert_int_equal(tell(HEALTH_FAILED, later), HEALTH_OPEN);
	memset(h, 0, health_bytes());
	for (int i = 0; i < 3; i++)
		(void)tell(HEALTH_FAILED, T0);
	/* … nor these bad ones against that. */
	(void)tell(HEALTH_OK, later);
	(void)tell(HEALTH_OK, later);
	(void)tell(HEALTH_OK, later);
	(void)tell(HEALTH_OK, later);
	assert_int_equal(tell(HEALTH_FAILED, later), HEALTH_CLOSED);
}

static void the_share_stays_true_when_the_counters_are_full(void **state)
{
	int more = 0;

	(void)state;
	for (int i = 0; i < 100000; i++)
		assert_int_equal(tell(i % 5 % 2 ? HEALTH_FAILED : HEALTH_OK, T0), HEALTH_CLOSED);
	/* 16,000 of 40 % failures, and then 75 %: half of all are after 6,400 more. */
	while (state_at(T0) == HEALTH_CLOSED && more < 40000)
		(void)tell(more++ % 4 ? HEALTH_FAILED : HEALTH_OK, T0);
	assert_in_range(more, 3000, 7000);
}

/* ---- open and half open ---- */

static void open_lets_nobody_ask_until_the_interval_is_over_then_one(void **state)
{
	struct health_look look;

	(void)state;
	open_it(T0);
	assert_int_equal(wait_of(T0), conf.interval_ms);
	assert_int_equal(wait_of(T0 + conf.interval_ms - 1), 1);
	look = health_look(h, NAME, &conf, T0 + conf.interval_ms);
	assert_int_equal(look.state, HEALTH_OPEN);
	assert_true(look.probe_due);
	assert_int_equal(look.wait_ms, 0);
	assert_int_equal(enter(T0 + conf.interval_ms), HEALTH_PROBE);
	assert_int_equal(state_at(T0 + conf.interval_ms), HEALTH_HALF_OPEN);
	for (int64_t i = 0; i < conf.interval_ms; i += 1000)
		assert_int_equal(enter(T0 + conf.interval_ms + i), HEALTH_STOP);
}

static void time_alone_never_closes_it(void **state)
{
	(void)state;
	open_it(T0);
	assert_int_equal(state_at(T0 + 1000 * conf.interval_ms), HEALTH_OPEN);
	assert_int_equal(enter(T0 + 1000 * conf.interval_ms), HEALTH_PROBE);
	assert_int_equal(enter(T0 + 1000 * conf.interval_ms), HEALTH_STOP);
}

static void a_probe_that_succeeds_closes_it_and_what_was_is_forgotten(void **state)
{
	const int64_t now = T0 + conf.interval_ms;

	(void)state;
	open_it(T0);
	assert_int_equal(enter(now), HEALTH_PROBE);
	assert_int_equal(tell_probe(HEALTH_OK, now + 5, now), HEALTH_CLOSED);
	assert_int_equal(enter(now + 5), HEALTH_GO);
	assert_int_equal(enter(now + 5), HEALTH_GO);
	/* The five failures are within two intervals still, and count no more. */
	for (int i = 0; i < 3; i++)
		assert_int_equal(tell(HEALTH_FAILED, now + 6), HEALTH_CLOSED);
}

static void a_probe_that_fails_opens_it_for_another_interval(void **state)
{
	const int64_t now = T0 + conf.interval_ms;

	(void)state;
	open_it(T0);
	assert_int_equal(enter(now), HEALTH_PROBE);
	assert_int_equal(tell_probe(HEALTH_FAILED, now + 700, now), HEALTH_OPEN);
	assert_int_equal(wait_of(now + 700), conf.interval_ms);
	assert_int_equal(enter(now + 700 + conf.interval_ms), HEALTH_PROBE);
}

static void a_probe_of_which_nothing_is_heard_is_given_to_another(void **state)
{
	const int64_t now = T0 + conf.interval_ms;

	(void)state;
	open_it(T0);
	assert_int_equal(enter(now), HEALTH_PROBE);
	assert_int_equal(wait_of(now + conf.interval_ms - 1), 1);
	assert_int_equal(enter(now + conf.interval_ms), HEALTH_PROBE);
	assert_int_equal(enter(now + conf.interval_ms), HEALTH_STOP);
	/* The first one's success is as good as any. */
	assert_int_equal(tell_probe(HEALTH_OK, now + conf.interval_ms + 9, now), HEALTH_CLOSED);
}

static void a_probe_that_says_nothing_is_given_back_by_whose_it_is(void **state)
{
	const int64_t first = T0 + conf.interval_ms, second = first + conf.interval_ms;

	(void)state;
	open_it(T0);
	assert_int_equal(enter(first), HEALTH_PROBE);
	assert_int_equal(tell_probe(HEALTH_NOTHING, first + 3, first), HEALTH_OPEN);
	assert_true(health_look(h, NAME, &conf, first + 3).probe_due);
	assert_int_equal(enter(first + 3), HEALTH_PROBE);
	assert_int_equal(enter(second + 3), HEALTH_PROBE); /* the one before was silent too long */
	assert_int_equal(tell_probe(HEALTH_NOTHING, second + 4, first + 3), HEALTH_HALF_OPEN);
	assert_int_equal(enter(second + 4), HEALTH_STOP);
}

static void a_success_closes_it_however_late(void **state)
{
	const int64_t now = T0 + conf.interval_ms;

	(void)state;
	open_it(T0);
	assert_int_equal(tell(HEALTH_OK, T0 + 1), HEALTH_CLOSED);
	open_it(T0 + 2);
	assert_int_equal(enter(now + 2), HEALTH_PROBE);
	assert_int_equal(tell(HEALTH_OK, now + 3), HEALTH_CLOSED); /* not the probe's */
	/* What the probe meets now is one outcome like any other. */
	assert_int_equal(tell_probe(HEALTH_FAILED, now + 4, now + 2), HEALTH_CLOSED);
}

static void failures_of_what_was_sent_before_do_not_make_it_last_longer(void **state)
{
	const int64_t now = T0 + conf.interval_ms;

	(void)state;
	open_it(T0);
	assert_int_equal(tell(HEALTH_FAILED, now - 1), HEALTH_OPEN);
	assert_int_equal(wait_of(now - 1), 1);
	assert_int_equal(enter(now), HEALTH_PROBE);
	assert_int_equal(tell(HEALTH_FAILED, now + 1), HEALTH_HALF_OPEN);
	assert_int_equal(tell(HEALTH_NOTHING, now + 1), HEALTH_HALF_OPEN);
}

/* ---- limited ---- */

static void a_limited_one_is_left_alone_until_its_time_then_as_if_nothing_had_been(void **state)
{
	(void)state;
	assert_int_equal(limit(2000, T0), HEALTH_LIMITED);
	assert_int_equal(wait_of(T0), 2000);
	assert_int_equal(tell(HEALTH_OK, T0 + 1), HEALTH_LIMITED); /* another's was let in yet */
	assert_int_equal(limit(500, T0 + 1), HEALTH_LIMITED);      /* the longer one counts */
	assert_int_equal(wait_of(T0 + 1), 1999);
	assert_int_equal(limit(5000, T0 + 2), HEALTH_LIMITED);
	assert_int_equal(wait_of(T0 + 2), 5000);
	for (int i = 0; i < 3; i++)
		assert_int_equal(enter(T0 + 5002), HEALTH_GO); /* not one probe: everybody */
	assert_int_equal(state_at(T0 + 5002), HEALTH_CLOSED);
	(void)limit(0, T0 + 6000); /* not told for how long */
	assert_int_equal(wait_of(T0 + 6000), conf.interval_ms);
	(void)limit(INT64_MAX, T0 + 7000);
	assert_int_equal(wait_of(T0 + 7000), HEALTH_LIMITED_MAX_MS);
}

static void failures_while_limited_open_it_with_the_next_one_after(void **state)
{
	(void)state;
	(void)limit(2000, T0);
	for (int i = 0; i < 5; i++)
		assert_int_equal(tell(HEALTH_FAILED, T0 + 1), HEALTH_LIMITED);
	assert_int_equal(enter(T0 + 2000), HEALTH_GO);
	assert_int_equal(tell(HEALTH_FAILED, T0 + 2001), HEALTH_OPEN);
}

static void a_limit_mends_nothing_but_a_probe_that_meets_one_ends_the_outage(void **state)
{
	const int64_t now = T0 + conf.interval_ms;

	(void)state;
	open_it(T0);
	assert_int_equal(limit(10, T0 + 1), HEALTH_OPEN);
	assert_int_equal(enter(now), HEALTH_PROBE);
	assert_int_equal(limit(10, now), HEALTH_HALF_OPEN);
	assert_int_equal(tell_probe(HEALTH_REFUSED, now + 1, now), HEALTH_LIMITED);
	assert_int_equal(enter(now + 1 + conf.interval_ms), HEALTH_GO);
	/* Nor does a probe that is told of when another has already failed. */
	memset(h, 0, health_bytes());
	open_it(T0);
	assert_int_equal(enter(now), HEALTH_PROBE);
	assert_int_equal(enter(now + conf.interval_ms), HEALTH_PROBE);
	assert_int_equal(tell_probe(HEALTH_FAILED, now + conf.interval_ms, now), HEALTH_OPEN);
	assert_int_equal(tell_probe(HEALTH_REFUSED, now + conf.interval_ms, now), HEALTH_OPEN);
}

/* ---- what is told ---- */

static void the_first_tokens_average_follows_slowly(void **state)
{
	struct health_report report = { .outcome = HEALTH_OK, .ttft_ms = 800 };
	int64_t last = 800;

	(void)state;
	(void)health_tell(h, OPENAI, GPT, &conf, T0, &report, NULL);
	assert_int_equal(health_look(h, NAME, &conf, T0).ttft_ms, 800);
	report.ttft_ms = 1600;
	(void)health_tell(h, OPENAI, GPT, &conf, T0, &report, NULL);
	assert_int_equal(health_look(h, NAME, &conf, T0).ttft_ms, 900);
	report.ttft_ms = 0; /* not known: no part of it */
	(void)health_tell(h, OPENAI, GPT, &conf, T0, &report, NULL);
	assert_int_equal(health_look(h, NAME, &conf, T0).ttft_ms, 900);
	report.ttft_ms = 3;
	for (int i = 0; i < 200; i++) {
		int64_t is;

		(void)health_tell(h, OPENAI, GPT, &conf, T0, &report, NULL);
		is = health_look(h, NAME, &conf, T0).ttft_ms;
		assert_true(is <= last);
		last = is;
	}
	assert_in_range(last, 2, 4);
}

static void a_change_of_state_is_told_once(void **state)
{
	const int64_t now = T0 + conf.interval_ms;
	struct health_report back = { .outcome = HEALTH_NOTHING, .probe = true, .entered_ms = now };
	bool changed;

	(void)state;
	for (int i = 0; i < 8; i++) {
		(void)tell_of("gpt-5", HEALTH_FAILED, T0, &changed);
		assert_int_equal(changed, i == 4);
	}
	assert_int_equal(enter(now), HEALTH_PROBE);
	(void)health_tell(h, OPENAI, GPT, &conf, now, &back, &changed);
	assert_true(changed); /* open again */
	back.outcome = HEALTH_FAILED;
	(void)health_tell(h, OPENAI, GPT, &conf, now, &back, &changed);
	assert_false(changed); /* and still */
	(void)tell_of("gpt-5", HEALTH_OK, now, &changed);
	assert_true(changed);
	(void)tell_of("gpt-5", HEALTH_OK, now, &changed);
	assert_false(changed);
	for (int i = 0; i < 3; i++) {
		(void)tell_of("gpt-5", HEALTH_REFUSED, now, &changed);
		assert_int_equal(changed, i == 0);
	}
	(void)tell_of("gpt-5", HEALTH_REFUSED, now + conf.interval_ms, &changed);
	assert_true(changed);
	(void)tell_of("gpt-5", HEALTH_OK, now + 2 * conf.interval_ms, &changed);
	assert_true(changed); /* the first success after the limit */
}

/* ---- listings ---- */

static void a_listing_says_what_is_known(void **state)
{
	struct health_report report = { .outcome = HEALTH_OK, .ttft_ms = 321 };

	(void)state;
	assert_int_equal(list(T0), 0);
	(void)health_tell(h, OPENAI, GPT, &conf, T0 - 9 * conf.interval_ms, &report, NULL);
	(void)tell(HEALTH_OK, T0);
	(void)tell(HEALTH_OK, T0);
	for (int i = 0; i < 3; i++)
		(void)tell(HEALTH_FAILED, T0 + 10);
	assert_int_equal(list(T0 + 110), 1);
	assert_string_equal(listed[0].slug, "openai");
	assert_string_equal(listed[0].model, "gpt-5");
	assert_int_equal(listed[0].state, HEALTH_OPEN);
	assert_int_equal(listed[0].wait_ms, conf.interval_ms - 100);
	assert_int_equal(listed[0].since_ms, 100);
	assert_int_equal(listed[0].ttft_ms, 321);
	assert_int_equal(listed[0].recent, 5);
	assert_int_equal(listed[0].failed, 3);
	assert_int_equal(listed[0].total, 6);
	assert_int_equal(listed[0].total_failed, 3);
	assert_int_equal(listed[0].heard_ms, 100);
	(void)limit(50, T0 + 120); /* of an open one: nothing but heard */
	assert_int_equal(list(T0 + 130), 1);
	assert_int_equal(listed[0].total, 6);
	assert_int_equal(listed[0].heard_ms, 10);
}

static void a_limit_that_has_passed_is_listed_as_closed_since_then(void **state)
{
	(void)state;
	(void)limit(400, T0);
	assert_int_equal(list(T0 + 300), 1);
	assert_int_equal(listed[0].state, HEALTH_LIMITED);
	assert_int_equal(listed[0].since_ms, 300);
	assert_int_equal(listed[0].wait_ms, 100);
	list(T0 + 1000);
	assert_int_equal(listed[0].state, HEALTH_CLOSED);
	assert_int_equal(listed[0].since_ms, 600);
	assert_int_equal(listed[0].wait_ms, 0);
}

static void long_names_are_cut_in_listings_only(void **state)
{
	char a[200], b[200];

	(void)state;
	memset(a, 'm', sizeof(a) - 1);
	a[sizeof(a) - 1] = '\0';
	memcpy(a + 126, "\xC3\xA9", 2); /* the cut falls into it */
	memcpy(b, a, sizeof(b));
	b[198] = 'n';
	(void)tell_of(a, HEALTH_OK, T0, NULL);
	(void)tell_of(b, HEALTH_OK, T0, NULL);
	for (int i = 0; i < 5; i++)
		(void)tell_of(b, HEALTH_FAILED, T0, NULL);
	assert_int_equal(
		health_look(h, health_name(OPENAI, slice_of(a)), &conf, T0).state, HEALTH_CLOSED);
	assert_int_equal(
		health_look(h, health_name(OPENAI, slice_of(b)), &conf, T0).state, HEALTH_OPEN);
	assert_int_equal(list(T0), 2);
	assert_int_equal(strlen(listed[0].model), 126);
	assert_string_equal(listed[0].model, listed[1].model);
}

static void names_do_not_run_into_each_other(void **state)
{
	(void)state;
	assert_int_not_equal(
		health_name(SLICE("ab"), SLICE("c")), health_name(SLICE("a"), SLICE("bc")));
	assert_int_not_equal(
		health_name(SLICE("ab"), SLICE("")), health_name(SLICE(""), SLICE("ab")));
	assert_int_not_equal(health_name(SLICE(""), SLICE("")), 0);
}

static void what_is_forgotten_starts_anew(void **state)
{
	struct health_report failed = { .outcome = HEALTH_FAILED, .ttft_ms = 5 };

	(void)state;
	for (int i = 0; i < 5; i++) {
		(void)health_tell(h, SLICE("groq"), GPT, &conf, T0, &failed, NULL);
		(void)health_tell(h, OPENAI, GPT, &conf, T0, &failed, NULL);
		(void)health_tell(h, OPENAI, SLICE("o9"), &conf, T0, &failed, NULL);
	}
	assert_int_equal(list(T0), 3);
	health_forget(h, SLICE("open")); /* nobody's slug */
	assert_int_equal(list(T0), 3);
	health_forget(h, OPENAI);
	assert_int_equal(list(T0), 1);
	assert_string_equal(listed[0].slug, "groq");
	assert_int_equal(enter(T0), HEALTH_GO);
	assert_int_equal(health_look(h, NAME, &conf, T0).ttft_ms, 0);
	for (int i = 0; i < 4; i++)
		assert_int_equal(tell(HEALTH_FAILED, T0), HEALTH_CLOSED);
	assert_int_equal(list(T0), 2);
	health_forget(h, SLICE(""));
	assert_int_equal(list(T0), 0);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, make_rows, drop_rows)
	const struct CMUnitTest tests[] = {
		T(of_whom_nothing_is_known_everybody_may_ask),
		T(a_share_of_failures_opens_it_once_there_are_enough_outcomes),
		T(failures_in_a_row_open_it_however_far_apart),
		T(outcomes_older_than_two_intervals_do_not_count),
		T(the_share_stays_true_when_the_counters_are_full),
		T(open_lets_nobody_ask_until_the_interval_is_over_then_one),
		T(time_alone_never_closes_it),
		T(a_probe_that_succeeds_closes_it_and_what_was_is_forgotten),
		T(a_probe_that_fails_opens_it_for_another_interval),
		T(a_probe_of_which_nothing_is_heard_is_given_to_another),
		T(a_probe_that_says_nothing_is_given_back_by_whose_it_is),
		T(a_success_closes_it_however_late),
		T(failures_of_what_was_sent_before_do_not_make_it_last_longer),
		T(a_limited_one_is_left_alone_until_its_time_then_as_if_nothing_had_been),
		T(failures_while_limited_open_it_with_the_next_one_after),
		T(a_limit_mends_nothing_but_a_probe_that_meets_one_ends_the_outage),
		T(the_first_tokens_average_follows_slowly),
		T(a_change_of_state_is_told_once),
		T(a_listing_says_what_is_known),
		T(a_limit_that_has_passed_is_listed_as_closed_since_then),
		T(long_names_are_cut_in_listings_only),
		T(names_do_not_run_into_each_other),
		T(what_is_forgotten_starts_anew),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
