/* What callers may rely on, whichever engine keeps the books: each promise is tried with the table
 * of one host, and with Redis. */
#include "tests/unit/ledger_shared.h"

#include <pthread.h>
#include <sys/mman.h>

static void what_fits_exactly_is_admitted_and_one_more_is_not(void **state)
{
	struct ledger *l = open_ledger();
	struct ledger_limit balance = { .subject = USER, .kind = LEDGER_BALANCE };
	struct ledger_lease a, b;
	struct ledger_refusal refusal;

	(void)state;
	credit(l, USER, 10 * USD, 1);
	assert_int_equal(reserve(l, NOON, 1, 4 * USD, 0, &balance, 1, &a, &refusal), ERR_OK);
	assert_int_equal(balance.remaining, 6 * USD);
	assert_int_equal(
		reserve(l, NOON, 2, 6 * USD + 1, 0, &balance, 1, &b, &refusal), ERR_NO_CREDIT);
	assert_int_equal(refusal.retry_after_ms, 0); /* when the first has ended */
	assert_int_equal(balance.remaining, 6 * USD);
	assert_int_equal(reserve(l, NOON, 3, 6 * USD, 0, &balance, 1, &b, &refusal), ERR_OK);
	assert_int_equal(balance.remaining, 0);
	assert_int_equal(
		reserve(l, NOON, 4, 11 * USD, 0, &balance, 1, &b, &refusal), ERR_NO_CREDIT);
	assert_true(refusal.retry_after_ms == LEDGER_NEVER);
	assert_int_equal(account_of(l, USER).reserved, 10 * USD);
	ledger_close(l);
}

static void a_refusal_by_one_limit_takes_nothing_from_the_others(void **state)
{
	struct ledger *l = open_ledger();
	struct ledger_limit limits[] = {
		{ .subject = KEY, .kind = LEDGER_REQUESTS_MINUTE, .ceiling = 5 },
		{ .subject = KEY, .kind = LEDGER_TOKENS_MINUTE, .ceiling = 1000 },
		{ .subject = KEY, .kind = LEDGER_REQUESTS_HOUR, .ceiling = 5 },
		{ .subject = KEY, .kind = LEDGER_CONCURRENT, .ceiling = 5 },
		{ .subject = KEY, .kind = LEDGER_SPEND_TOTAL, .ceiling = 5 * USD },
		{ .subject = USER, .kind = LEDGER_BALANCE },
	};
	struct ledger_refusal refusal;
	struct ledger_lease lease;

	(void)state;
	credit(l, USER, USD, 1);
	for (int i = 0; i < 20; i++)
		assert_int_equal(reserve(l, NOON, 100, 2 * USD, 500, limits, 6, &lease, &refusal),
			ERR_NO_CREDIT);
	assert_int_equal(refusal.limit, 5);
	assert_false(lease.is_open);
	assert_int_equal(limits[0].remaining, 5);
	assert_int_equal(limits[1].remaining, 1000);
	assert_int_equal(limits[2].remaining, 5);
	assert_int_equal(limits[3].remaining, 5);
	assert_int_equal(limits[4].remaining, 5 * USD);
	assert_int_equal(account_of(l, KEY).reserved, 0);
	assert_int_equal(reserve(l, NOON, 1, USD, 500, limits, 6, &lease, &refusal), ERR_OK);
	ledger_close(l);
}

/* Each kind that refuses for a time: one ms before the time it still does, then no more. */
static void a_refusal_says_exactly_when_it_will_succeed(void **state)
{
	static const struct {
		const char *name;
		enum ledger_limit_kind kind;
		int64_t ceiling, tokens;
		int first; /* so many fit */
	} rows[] = {
		{ "requests per minute", LEDGER_REQUESTS_MINUTE, 7, 0, 7 },
		{ "tokens per minute", LEDGER_TOKENS_MINUTE, 1000, 333, 3 },
		{ "requests per hour", LEDGER_REQUESTS_HOUR, 3, 0, 3 },
	};
	struct ledger *l = open_ledger();
	uint64_t id = 1;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct ledger_limit limit = {
			.subject = KEY + i + 10, .kind = rows[i].kind, .ceiling = rows[i].ceiling
		};
		struct ledger_refusal refusal, ignored;
		struct ledger_lease lease;
		int64_t wait;

		print_message("  %s\n", rows[i].name);
		for (int n = 0; n < rows[i].first; n++)
			assert_int_equal(reserve(l, NOON, id++, 0, rows[i].tokens, &limit, 1,
						 &lease, &refusal),
				ERR_OK);
		assert_int_equal(
			reserve(l, NOON, id++, 0, rows[i].tokens, &limit, 1, &lease, &refusal),
			ERR_RATE_LIMITED);
		wait = refusal.retry_after_ms;
		assert_true(wait > 0 && wait != LEDGER_NEVER);
		assert_int_equal(err.retry_after_ms, wait);
		assert_int_equal(reserve(l, later(NOON, wait - 1), id++, 0, rows[i].tokens, &limit,
					 1, &lease, &ignored),
			ERR_RATE_LIMITED);
		assert_int_equal(reserve(l, later(NOON, wait), id++, 0, rows[i].tokens, &limit, 1,
					 &lease, &ignored),
			ERR_OK);
	}
	ledger_close(l);
}

static void the_day_ends_at_midnight_utc_and_the_month_with_it(void **state)
{
	struct ledger *l = open_ledger();
	struct ledger_limit day = { .subject = KEY, .kind = LEDGER_SPEND_DAY, .ceiling = USD };
	struct ledger_limit month = { .subject = KEY, .kind = LEDGER_SPEND_MONTH, .ceiling = USD };
	struct ledger_refusal refusal;
	struct ledger_lease lease;

	(void)state;
	spend(l, NOON, 1, USD);
	assert_int_equal(reserve(l, NOON, 2, 1, 0, &day, 1, &lease, &refusal), ERR_NO_CREDIT);
	assert_int_equal(refusal.retry_after_ms, DAY / 2);
	assert_int_equal(reserve(l, NOON, 3, 1, 0, &month, 1, &lease, &refusal), ERR_NO_CREDIT);
	assert_int_equal(refusal.retry_after_ms, 9 * DAY + DAY / 2); /* to December 1 */
	assert_int_equal(reserve(l, later(NOON, DAY / 2 - 1), 4, 1, 0, &day, 1, &lease, &refusal),
		ERR_NO_CREDIT);
	assert_int_equal(
		reserve(l, later(NOON, DAY / 2), 5, USD, 0, &day, 1, &lease, &refusal), ERR_OK);
	assert_int_equal(reserve(l, later(NOON, 9 * DAY), 6, 1, 0, &month, 1, &lease, &refusal),
		ERR_NO_CREDIT);
	ledger_release(l, &lease);
	ledger_close(l);
}

/* The wall clock jumps an hour over midnight and back; rates and deadlines do not see it. */
static void a_clock_that_jumps_an_hour_gives_nobody_a_second_day(void **state)
{
	struct ledger *l = open_ledger();
	struct ledger_now night = { NOON.wall_ms + DAY / 2 - 60000, NOON.mono_ms };
	struct ledger_now ahead = { night.wall_ms + 3600000, NOON.mono_ms + 1 };
	struct ledger_limit limits[] = {
		{ .subject = KEY, .kind = LEDGER_SPEND_DAY, .ceiling = USD },
		{ .subject = KEY, .kind = LEDGER_REQUESTS_MINUTE, .ceiling = 2 },
	};
	struct ledger_refusal refusal;
	struct ledger_lease lease;

	(void)state;
	assert_int_equal(reserve(l, night, 1, 0, 0, limits, 2, &lease, &refusal), ERR_OK);
	spend(l, night, 2, USD);
	spend(l, ahead, 3, USD); /* counts in the next day, which it uses up */
	assert_int_equal(reserve(l, ahead, 4, 1, 0, limits, 1, &lease, &refusal), ERR_NO_CREDIT);
	assert_int_equal(reserve(l, night, 5, 1, 0, limits, 1, &lease, &refusal), ERR_NO_CREDIT);
	assert_int_equal(reserve(l, ahead, 6, 0, 0, &limits[1], 1, &lease, &refusal), ERR_OK);
	assert_int_equal(
		reserve(l, ahead, 7, 0, 0, &limits[1], 1, &lease, &refusal), ERR_RATE_LIMITED);
	assert_int_equal(ledger_reap(l, ahead), 0);
	assert_int_equal(differences(l), 0);
	ledger_close(l);
}

static void settling_charges_the_truth_and_gives_the_rest_back(void **state)
{
	struct ledger *l = open_ledger();
	struct ledger_limit limits[] = {
		{ .subject = ORG, .kind = LEDGER_BALANCE },
		{ .subject = account_member(3, 2), .kind = LEDGER_SPEND_DAY, .ceiling = 2 * USD },
		{ .subject = KEY, .kind = LEDGER_TOKENS_MINUTE, .ceiling = 1000 },
		{ .subject = KEY, .kind = LEDGER_CONCURRENT, .ceiling = 1 },
	};
	struct record_settle what = a_request(300000, 3);
	struct ledger_refusal refusal;
	struct ledger_lease lease;
	enum ledger_settled how;

	(void)state;
	credit(l, ORG, 10 * USD, 1);
	assert_int_equal(reserve(l, NOON, 1, USD, 900, limits, 4, &lease, &refusal), ERR_OK);
	assert_int_equal(limits[3].remaining, 0);
	assert_int_equal(ledger_settle(l, NOON, &lease, &what, &how, &err), ERR_OK);
	assert_int_equal(how, LEDGER_SETTLED);
	assert_int_equal(ledger_look(l, NOON, limits, 4, &err), ERR_OK);
	assert_int_equal(limits[0].remaining, 9700000);
	assert_int_equal(limits[1].remaining, 1700000);
	assert_int_equal(limits[2].remaining, 850); /* 100 + 50 were used, not 900 */
	assert_int_equal(limits[3].remaining, 1);
	assert_int_equal(account_of(l, USER).spent, 300000);
	assert_int_equal(account_of(l, USER).charged, 0); /* the organisation pays */
	assert_int_equal(account_of(l, ORG).charged, 300000);
	assert_int_equal(account_of(l, account_subject(ACCOUNT_PROVIDER, 9)).requests, 1);
	ledger_close(l);
}

static void a_request_is_settled_once(void **state)
{
	struct ledger *l = open_ledger();
	struct ledger_limit balance = { .subject = USER, .kind = LEDGER_BALANCE };
	struct record_settle what = a_request(5, 0);
	struct ledger_lease lease, copy;
	struct ledger_refusal refusal;
	enum ledger_settled how;

	(void)state;
	credit(l, USER, USD, 1);
	assert_int_equal(reserve(l, NOON, 7, 10, 0, &balance, 1, &lease, &refusal), ERR_OK);
	copy = lease;
	assert_int_equal(ledger_settle(l, NOON, &lease, &what, &how, &err), ERR_OK);
	assert_int_equal(ledger_settle(l, NOON, &lease, &what, &how, &err), ERR_OK);
	assert_int_equal(how, LEDGER_ALREADY);
	fold(l, NOON);
	assert_int_equal(ledger_settle(l, NOON, &copy, &what, &how, &err), ERR_OK);
	assert_int_equal(how, LEDGER_ALREADY);
	ledger_release(l, &copy);
	assert_int_equal(account_of(l, USER).spent, 5);
	assert_int_equal(account_of(l, USER).reserved, 0);
	ledger_close(l);
}

/* Generations: the slot is another's by then, whose reservation must stay. */
static void a_late_settle_counts_but_releases_nothing_twice(void **state)
{
	struct ledger *l = open_ledger();
	struct ledger_limit balance = { .subject = USER, .kind = LEDGER_BALANCE };
	struct record_settle what = a_request(5, 0);
	struct ledger_lease late, other;
	struct ledger_refusal refusal;
	enum ledger_settled how;

	(void)state;
	credit(l, USER, USD, 1);
	assert_int_equal(reserve(l, NOON, 1, 100, 0, &balance, 1, &late, &refusal), ERR_OK);
	assert_int_equal(ledger_reap(l, later(NOON, 60000)), 0);
	assert_int_equal(ledger_reap(l, later(NOON, 60001)), 1);
	assert_int_equal(account_of(l, USER).reserved, 0);
	assert_int_equal(
		reserve(l, later(NOON, 60001), 2, 30, 0, &balance, 1, &other, &refusal), ERR_OK);
	assert_int_equal(other.index, late.index);
	assert_int_equal(ledger_settle(l, later(NOON, 60002), &late, &what, &how, &err), ERR_OK);
	assert_int_equal(account_of(l, USER).reserved, 30);
	assert_int_equal(account_of(l, USER).spent, 5);
	assert_int_equal(differences(l), 0);
	ledger_close(l);
}

static void a_release_gives_back_all_but_the_request(void **state)
{
	struct ledger *l = open_ledger();
	struct ledger_limit limits[] = {
		{ .subject = USER, .kind = LEDGER_BALANCE },
		{ .subject = KEY, .kind = LEDGER_TOKENS_MINUTE, .ceiling = 1000 },
		{ .subject = KEY, .kind = LEDGER_CONCURRENT, .ceiling = 1 },
		{ .subject = KEY, .kind = LEDGER_REQUESTS_MINUTE, .ceiling = 10 },
	};
	struct ledger_refusal refusal;
	struct ledger_lease lease;

	(void)state;
	credit(l, USER, USD, 1);
	assert_int_equal(reserve(l, NOON, 1, USD, 1000, limits, 4, &lease, &refusal), ERR_OK);
	ledger_release(l, &lease);
	ledger_release(l, &lease);
	assert_int_equal(ledger_look(l, NOON, limits, 4, &err), ERR_OK);
	assert_int_equal(limits[0].remaining, USD);
	assert_int_equal(limits[1].remaining, 1000);
	assert_int_equal(limits[2].remaining, 1);
	assert_int_equal(limits[3].remaining, 9);
	ledger_close(l);
}

static _Atomic int *admitted;
static enum ledger_limit_kind raced;

static void *race(void *arg)
{
	struct ledger *l = arg;
	struct ledger_limit limit = {
		.subject = USER, .kind = raced, .ceiling = raced == LEDGER_BALANCE ? 0 : 1
	};
	struct ledger_now now = ledger_now();

	for (uint64_t i = 1; i <= 8; i++) {
		struct ledger_refusal refusal;
		struct ledger_lease lease;
		enum err_code rc = reserve(l, (struct ledger_now){ NOON.wall_ms, now.mono_ms },
			(uint64_t)getpid() << 20 | i, 1, 1, &limit, 1, &lease, &refusal);

		if (rc == ERR_OK)
			atomic_fetch_add(admitted, 1);
		else if (rc != ERR_NO_CREDIT && rc != ERR_RATE_LIMITED)
			atomic_fetch_add(admitted, 1000);
	}
	return NULL;
}

/* Fails when the decision is made before the lock is taken. */
static void of_a_thousand_parallel_requests_against_one_unit_one_is_admitted(void **state)
{
	static const enum ledger_limit_kind kinds[] = { LEDGER_BALANCE, LEDGER_SPEND_DAY,
		LEDGER_REQUESTS_MINUTE, LEDGER_TOKENS_MINUTE, LEDGER_REQUESTS_HOUR,
		LEDGER_CONCURRENT };
	struct ledger *l = open_ledger();

	(void)state;
	credit(l, USER, 1, 1);
	ledger_close(l);
	admitted = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++) {
		pid_t pids[64];

		raced = kinds[k];
		atomic_store(admitted, 0);
		fflush(NULL);
		for (int p = 0; p < 64; p++) {
			pids[p] = fork();
			if (pids[p] == 0) {
				pthread_t t;

				l = open_ledger();
				pthread_create(&t, NULL, race, l);
				race(l);
				pthread_join(t, NULL);
				_exit(0);
			}
		}
		for (int p = 0; p < 64; p++)
			waitpid(pids[p], NULL, 0);
		assert_int_equal(atomic_load(admitted), 1);
		/* Their owners are gone: what they hold comes back. */
		l = open_ledger();
		assert_int_equal(ledger_reap(l, NOON), 1);
		assert_int_equal(account_of(l, USER).reserved, 0);
		ledger_close(l);
	}
	munmap((void *)(uintptr_t)admitted, 4096);
}

static void killed_holding_a_reservation(void)
{
	struct ledger *l = open_ledger();
	struct ledger_limit balance = { .subject = USER, .kind = LEDGER_BALANCE };
	struct ledger_refusal refusal;
	struct ledger_lease lease;

	if (reserve(l, NOON, 1, USD, 0, &balance, 1, &lease, &refusal) == ERR_OK)
		die();
}

static void what_a_killed_process_held_is_given_back_at_the_next_tick(void **state)
{
	struct ledger *l = open_ledger();

	(void)state;
	credit(l, USER, USD, 1);
	ledger_close(l);
	assert_true(WIFSIGNALED(in_child(killed_holding_a_reservation)));
	l = open_ledger();
	assert_int_equal(account_of(l, USER).reserved, USD);
	assert_int_equal(ledger_tick(l, NOON, &err), ERR_OK);
	assert_int_equal(account_of(l, USER).reserved, 0);
	ledger_close(l);
}

static void figures_out_of_range_are_refused_by_name_and_change_nothing(void **state)
{
	static const struct {
		const char *name;
		int64_t microusd, tokens, ceiling;
		enum ledger_limit_kind kind;
		const char *param;
	} rows[] = {
		{ "negative money", -1, 0, 1, LEDGER_BALANCE, "microusd" },
		{ "too much money", LEDGER_MICROUSD_MAX + 1, 0, 1, LEDGER_BALANCE, "microusd" },
		{ "negative tokens", 0, -1, 1, LEDGER_BALANCE, "tokens" },
		{ "too many tokens", 0, LEDGER_TOKENS_MAX + 1, 1, LEDGER_BALANCE, "tokens" },
		{ "negative ceiling", 0, 0, -1, LEDGER_SPEND_DAY, "limits" },
		{ "ceiling of a bucket", 0, 0, METER_MAX + 1, LEDGER_TOKENS_MINUTE, "limits" },
		{ "ceiling of an hour", 0, 0, METER_HOUR_MAX + 1, LEDGER_REQUESTS_HOUR, "limits" },
		{ "unknown kind", 0, 0, 1, LEDGER_LIMIT_KINDS, "limits" },
	};
	struct ledger *l = open_ledger();
	struct record_settle what = a_request(LEDGER_MICROUSD_MAX + 1, 0);
	struct ledger_refusal refusal;
	struct ledger_lease lease;
	enum ledger_settled how;
	bool already;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct ledger_limit limit = {
			.subject = USER, .kind = rows[i].kind, .ceiling = rows[i].ceiling
		};

		print_message("  %s\n", rows[i].name);
		assert_int_equal(reserve(l, NOON, 1, rows[i].microusd, rows[i].tokens, &limit, 1,
					 &lease, &refusal),
			ERR_RANGE);
		assert_string_equal(err.param, rows[i].param);
	}
	lease = (struct ledger_lease){ .id = id_of(1) };
	assert_int_equal(ledger_settle(l, NOON, &lease, &what, &how, &err), ERR_RANGE);
	assert_int_equal(
		ledger_credit(l, NOON, USER, INT64_MIN, id_of(1), 0, SLICE(""), &already, &err),
		ERR_RANGE);
	assert_int_equal(
		ledger_credit(l, NOON, KEY, 1, id_of(1), 0, SLICE(""), &already, &err), ERR_RANGE);
	assert_int_equal(account_of(l, USER).requests, 0);
	ledger_close(l);
}

static void a_credit_counts_once_before_and_after_folds(void **state)
{
	struct ledger *l = open_ledger();
	bool already;

	(void)state;
	for (int i = 0; i < 4; i++) {
		assert_int_equal(ledger_credit(l, NOON, USER, USD, id_of(1), 5, SLICE("gift"),
					 &already, &err),
			ERR_OK);
		assert_int_equal(already, i > 0);
		spend(l, NOON, 100 + (uint64_t)i, 1);
		fold(l, NOON);
	}
	credit(l, USER, -USD / 2, 2);
	assert_int_equal(account_balance(&(struct account){ .credited = USD }), USD);
	assert_int_equal(account_of(l, USER).credited, USD / 2);
	assert_int_equal(differences(l), 0);
	ledger_close(l);
}

static void a_settled_request_is_found_by_its_id(void **state)
{
	struct ledger *l = open_ledger();
	struct record r;

	(void)state;
	spend(l, NOON, 41, 5);
	spend(l, NOON, 42, 6);
	assert_int_equal(ledger_find(l, id_of(42), &r, &err), ERR_OK);
	assert_int_equal(r.settle.cost_microusd, 6);
	fold(l, NOON);
	memset(l->hot.recent, 0, sizeof(*l->hot.recent) * l->hot.head->recent);
	assert_int_equal(ledger_find(l, id_of(41), &r, &err), ERR_OK);
	assert_int_equal(r.settle.cost_microusd, 5);
	assert_int_equal(r.settle.ttft_ms, 300);
	assert_int_equal(ledger_find(l, id_of(43), &r, &err), ERR_NOT_FOUND);
	ledger_close(l);
}

static enum err_code sum_usage(void *ctx, int64_t day, const struct usage_key *key,
	const struct usage_row *row, struct err *e)
{
	int64_t *cost = ctx;

	(void)e;
	assert_int_equal(key->model, 77);
	cost[day - account_day(NOON.wall_ms)] += row->cost_microusd;
	return ERR_OK;
}

static void usage_shows_folded_and_fresh_lines_alike(void **state)
{
	struct ledger *l = open_ledger();
	int64_t today = account_day(NOON.wall_ms), cost[3] = { 0 };

	(void)state;
	spend(l, NOON, 1, 5);
	spend(l, later(NOON, DAY), 2, 50);
	fold(l, NOON);
	spend(l, NOON, 3, 6);
	spend(l, later(NOON, 2 * DAY), 4, 500);
	assert_int_equal(ledger_usage(l, today, today + 2, sum_usage, cost, &err), ERR_OK);
	assert_int_equal(cost[0], 11);
	assert_int_equal(cost[1], 50);
	assert_int_equal(cost[2], 500);
	assert_int_equal(ledger_usage(l, today, today - 1, sum_usage, cost, &err), ERR_RANGE);
	ledger_close(l);
}

static void names_are_kept(void **state)
{
	struct ledger *l = open_ledger();
	uint64_t name, again, before;
	struct buf text = { 0 };

	(void)state;
	assert_int_equal(ledger_name(l, NOON, SLICE("openai/gpt-5.2"), &name, &err), ERR_OK);
	assert_int_equal(ledger_name_text(l, name, &text, &err), ERR_OK);
	fold(l, NOON);
	before = l->hot.head->applied;
	assert_int_equal(ledger_name(l, NOON, SLICE("openai/gpt-5.2"), &again, &err), ERR_OK);
	assert_int_equal(again, name);
	assert_int_equal(ledger_name_text(l, name, &text, &err), ERR_OK);
	assert_true(slice_is(buf_slice(&text), "openai/gpt-5.2openai/gpt-5.2"));
	assert_int_equal(l->hot.head->applied, before); /* not written again */
	assert_int_equal(ledger_name_text(l, name + 1, &text, &err), ERR_NOT_FOUND);
	buf_fini(&text);
	ledger_close(l);
}

int main(void)
{
#define T(f) \
	{ "gdbm_" #f, f, make_home, drop_home, NULL }, \
	{ \
		"redis_" #f, f, make_shared_home, drop_shared_home, NULL \
	}
	const struct CMUnitTest tests[] = {
		T(what_fits_exactly_is_admitted_and_one_more_is_not),
		T(a_refusal_by_one_limit_takes_nothing_from_the_others),
		T(a_refusal_says_exactly_when_it_will_succeed),
		T(the_day_ends_at_midnight_utc_and_the_month_with_it),
		T(a_clock_that_jumps_an_hour_gives_nobody_a_second_day),
		T(settling_charges_the_truth_and_gives_the_rest_back),
		T(a_request_is_settled_once),
		T(a_late_settle_counts_but_releases_nothing_twice),
		T(a_release_gives_back_all_but_the_request),
		T(of_a_thousand_parallel_requests_against_one_unit_one_is_admitted),
		T(what_a_killed_process_held_is_given_back_at_the_next_tick),
		T(figures_out_of_range_are_refused_by_name_and_change_nothing),
		T(a_credit_counts_once_before_and_after_folds),
		T(a_settled_request_is_found_by_its_id),
		T(usage_shows_folded_and_fresh_lines_alike),
		T(names_are_kept),
	};

	return cmocka_run_group_tests(tests, start_redis, stop_redis);
}
