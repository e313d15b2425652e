/* The ledger with Redis when something is wrong: Redis away, full, or holding what is not the
 * ledger's; a host that dies; an answer that is lost. */
#include "tests/unit/ledger_shared.h"

static char said[16384];

static void tell(const char *command)
{
	if (!redis_rig_ask(&rig, command, said, sizeof(said)))
		fail_msg("%s: no answer", command);
}

#define DIGEST 64 /* bytes: a hash of all that Redis holds, with what is around it */

static void note_digest(char digest[DIGEST])
{
	tell("DEBUG DIGEST");
	assert_int_equal(said[0], '+');
	assert_int_equal(strlen(said), 43);
	memcpy(digest, said, 44);
}

static void assert_digest(const char *before)
{
	char now[DIGEST];

	note_digest(now);
	assert_string_equal(now, before);
}

/* Redis is back: whoever found it away asks again after a while only. */
static void revive(struct ledger *l)
{
	struct account a;
	int64_t until = clock_mono_ms() + RIG_WAIT_MS;

	while (ledger_account(l, USER, &a, &err) != ERR_OK && clock_mono_ms() < until)
		poll(NULL, 0, 20);
}

static void ship(struct ledger *l)
{
	atomic_store(&l->hot.head->last_ship_ms, 0);
	if (ledger_tick(l, NOON, &err) != ERR_OK)
		fail_msg("tick: %s", err.message);
}

static struct ledger *open_with(bool fail_open)
{
	struct ledger_conf conf = { .home = home,
		.sync_ms = 100,
		.redis = redis_of_this_process(),
		.fail_open = fail_open };
	struct ledger *l = NULL;

	if (ledger_open(&l, &conf, NOON, &err) != ERR_OK)
		fail_msg("open: %s", err.message);
	return l;
}

/* Another host: a home of its own. */
static char homes[2][64];

static struct ledger *open_host(int n)
{
	if (homes[n][0])
		memcpy(home, homes[n], sizeof(home));
	else if (make_home(NULL) != 0)
		fail_msg("no folder");
	memcpy(homes[n], home, sizeof(home));
	return open_ledger();
}

static int drop_hosts(void **state)
{
	for (int i = 0; i < 2; i++) {
		if (!homes[i][0])
			continue;
		memcpy(home, homes[i], sizeof(home));
		if (i == 0 || homes[1][0])
			drop_home(state);
		homes[i][0] = '\0';
	}
	home_redis = NULL;
	return 0;
}

static int make_hosts(void **state)
{
	int rc = make_shared_home(state);

	memcpy(homes[0], home, sizeof(home));
	return rc;
}

static enum ledger_settled settle(struct ledger *l, struct ledger_lease *lease, int64_t cost)
{
	struct record_settle what = a_request(cost, 0);
	enum ledger_settled how;

	if (ledger_settle(l, NOON, lease, &what, &how, &err))
		fail_msg("settle: %s", err.message);
	return how;
}

static void without_redis_what_has_limits_waits_and_what_has_none_goes_on(void **state)
{
	struct ledger *l = open_with(false);
	struct ledger_limit balance = { .subject = USER, .kind = LEDGER_BALANCE };
	struct ledger_refusal refusal;
	struct ledger_lease open, lease;

	(void)state;
	credit(l, USER, 100, 1);
	assert_int_equal(reserve(l, NOON, 1, 60, 0, &balance, 1, &open, &refusal), ERR_OK);
	redis_rig_kill(&rig);
	assert_int_equal(reserve(l, NOON, 2, 10, 0, &balance, 1, &lease, &refusal), ERR_STORE);
	assert_true(err.retry_after_ms > 0);
	assert_false(lease.is_open);
	assert_int_equal(reserve(l, NOON, 3, 0, 0, NULL, 0, &lease, &refusal), ERR_OK);
	assert_int_equal(settle(l, &lease, 0), LEDGER_DEFERRED);
	assert_int_equal(settle(l, &open, 7), LEDGER_DEFERRED);
	assert_int_equal(ledger_look(l, NOON, &balance, 1, &err), ERR_STORE);
	assert_true(redis_rig_restart(&rig));
	revive(l);
	ship(l);
	/* The credit was lost with the server, which kept nothing, and is told again as well. */
	assert_int_equal(account_of(l, USER).requests, 2);
	assert_int_equal(ledger_look(l, NOON, &balance, 1, &err), ERR_OK);
	assert_int_equal(balance.remaining, 93);
	assert_int_equal(account_of(l, USER).reserved, 0);
	ledger_close(l);
}

static void with_fail_open_the_limits_of_this_host_decide_and_the_record_says_so(void **state)
{
	struct ledger *l = open_with(true);
	struct ledger_limit limits[] = {
		{ .subject = USER, .kind = LEDGER_BALANCE },
		{ .subject = KEY, .kind = LEDGER_REQUESTS_MINUTE, .ceiling = 1 },
	};
	struct ledger_refusal refusal;
	struct ledger_lease lease, second;
	struct record r;

	(void)state;
	redis_rig_kill(&rig);
	assert_int_equal(reserve(l, NOON, 1, 10, 0, limits, 2, &lease, &refusal), ERR_OK);
	assert_true(lease.is_alone && !lease.is_shared);
	assert_int_equal(
		reserve(l, NOON, 2, 10, 0, limits, 2, &second, &refusal), ERR_RATE_LIMITED);
	assert_int_equal(refusal.limit, 1);
	assert_int_equal(settle(l, &lease, 5), LEDGER_DEFERRED);
	assert_int_equal(ledger_find(l, id_of(1), &r, &err), ERR_OK);
	assert_true(r.settle.flags & RECORD_ALONE);
	assert_true(redis_rig_restart(&rig));
	revive(l);
	ship(l);
	assert_int_equal(account_of(l, USER).spent, 5);
	ledger_close(l);
}

/* A key of another kind at each place the ledger writes: nothing at all may then be written. */
static void a_key_of_another_kind_leaves_no_half_state(void **state)
{
	static const char *const planted[] = { "account:0100000000000001",
		"account:0200000000000002", "meter:0100000000000001", "leases", "deadlines",
		"stream", "usage:20778", "ids:20778" };
	struct ledger_limit limits[] = {
		{ .subject = USER, .kind = LEDGER_BALANCE },
		{ .subject = KEY, .kind = LEDGER_TOKENS_MINUTE, .ceiling = 1000 },
	};
	char before[DIGEST], command[256];
	struct ledger *l = open_ledger();

	(void)state;
	assert_int_equal(account_day(NOON.wall_ms), 20778);
	for (size_t i = 0; i < sizeof(planted) / sizeof(planted[0]); i++) {
		struct ledger_refusal refusal;
		struct ledger_lease lease = { .id = id_of(100 + i) };
		enum err_code rc;

		print_message("  %s\n", planted[i]);
		tell("FLUSHALL");
		ship(l);
		credit(l, USER, 1000, 50 + i);
		rc = reserve(l, NOON, 100 + i, 10, 100, limits, 2, &lease, &refusal);
		assert_int_equal(rc, ERR_OK);
		snprintf(command, sizeof(command), "DEL unit:{unit}:%s", planted[i]);
		tell(command);
		/* A set of sets: none of the ledger's keys is one. */
		snprintf(command, sizeof(command), "SADD unit:{unit}:%s x", planted[i]);
		tell(command);
		note_digest(before);
		rc = reserve(l, NOON, 200 + i, 10, 100, limits, 2, &(struct ledger_lease){ 0 },
			&refusal);
		if (rc != ERR_OK)
			assert_digest(before);
		note_digest(before);
		assert_int_equal(settle(l, &lease, 5), LEDGER_DEFERRED);
		assert_digest(before);
		snprintf(command, sizeof(command), "DEL unit:{unit}:%s", planted[i]);
		tell(command);
		tell("DEL unit:{unit}:shipped");
		ship(l);
		assert_int_equal(ledger_redis_account(l, USER, &(struct account){ 0 }, &err), 0);
	}
	ledger_close(l);
}

/* Redis refuses for want of memory at the first write of a script, never later. */
static void without_memory_nothing_is_written_and_nothing_is_lost(void **state)
{
	struct ledger *l = open_ledger();
	struct ledger_limit balance = { .subject = USER, .kind = LEDGER_BALANCE };
	struct ledger_refusal refusal;
	struct ledger_lease open, lease;
	char before[DIGEST];

	(void)state;
	credit(l, USER, 1000, 1);
	assert_int_equal(reserve(l, NOON, 1, 100, 0, &balance, 1, &open, &refusal), ERR_OK);
	tell("CONFIG SET maxmemory-policy noeviction");
	tell("CONFIG SET maxmemory 1");
	note_digest(before);
	assert_int_equal(reserve(l, NOON, 2, 10, 0, &balance, 1, &lease, &refusal), ERR_STORE);
	assert_int_equal(settle(l, &open, 40), LEDGER_DEFERRED);
	assert_digest(before);
	tell("CONFIG SET maxmemory 0");
	ship(l);
	assert_int_equal(account_of(l, USER).charged, 40);
	assert_int_equal(account_of(l, USER).reserved, 0);
	ledger_close(l);
}

static void a_call_whose_answer_was_lost_may_be_made_again(void **state)
{
	struct ledger *l = open_ledger();
	struct ledger_limit limits[] = {
		{ .subject = USER, .kind = LEDGER_BALANCE },
		{ .subject = KEY, .kind = LEDGER_REQUESTS_MINUTE, .ceiling = 5 },
	};
	struct ledger_ask ask = { .id = id_of(1),
		.microusd = 10,
		.deadline_ms = NOON.mono_ms + 1000,
		.limits = limits,
		.limits_n = 2 };
	struct ledger_lease lease = { .id = id_of(1), .index = 3 };
	struct record r = { .type = RECORD_SETTLE, .wall_ms = NOON.wall_ms, .id = { 1, ~1ULL } };
	struct ledger_refusal refusal;
	size_t fresh;

	(void)state;
	credit(l, USER, 10, 1);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(
			ledger_redis_reserve(l, NOON, &ask, &lease, &refusal, &err), ERR_OK);
		assert_int_equal(limits[0].remaining, 0);
		assert_int_equal(limits[1].remaining, 4);
		assert_int_equal(account_of(l, USER).reserved, 10);
	}
	r.settle = a_request(4, 0);
	r.settle.lease_index = 3;
	record_seal(&r);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(ledger_redis_apply(l, &r, 1, NULL, &fresh, &err), ERR_OK);
		assert_int_equal(fresh, i == 0);
		assert_int_equal(account_of(l, USER).reserved, 0);
		assert_int_equal(account_of(l, USER).spent, 4);
	}
	ledger_close(l);
}

static void hang(void)
{
	no_fault();
	redis_rig_pause(&rig);
}

/* Redis hangs, and carries the call out when nobody waits for the answer any more. */
static void what_nobody_knows_to_be_held_is_given_back_by_the_next_reaping(void **state)
{
	const struct redis_conf rc = {
		.url = rig.url, .prefix = "unit", .ca_file = "", .timeout_ms = 300
	};
	const struct redis_conf nowhere = {
		.url = "unix:///nowhere/at/all", .prefix = "unit", .ca_file = "", .timeout_ms = 300
	};
	struct ledger_conf lc = { .home = home, .sync_ms = 100 };
	struct ledger_limit balance = { .subject = USER, .kind = LEDGER_BALANCE };
	struct ledger_refusal refusal;
	struct ledger_lease lease;
	struct account a = { .reserved = 0 };
	struct redis *away;
	struct ledger *l;

	(void)state;
	assert_int_equal(redis_open(&lc.redis, &rc, &err), ERR_OK);
	assert_int_equal(redis_open(&away, &nowhere, &err), ERR_OK);
	assert_int_equal(ledger_open(&l, &lc, NOON, &err), ERR_OK);
	credit(l, USER, 100, 1);
	do_at("ledger_redis.asking", hang);
	assert_int_equal(reserve(l, NOON, 1, 60, 0, &balance, 1, &lease, &refusal), ERR_STORE);
	assert_false(lease.is_open);
	redis_rig_resume(&rig);
	for (int i = 0; i < 1000 && (ledger_account(l, USER, &a, &err) || !a.reserved); i++)
		poll(NULL, 0, 20);
	assert_int_equal(a.reserved, 60);
	/* One that cannot be told does not forget it. */
	l->conf.redis = away;
	assert_int_equal(ledger_reap(l, NOON), 0);
	l->conf.redis = lc.redis;
	assert_int_equal(ledger_reap(l, NOON), 1);
	assert_int_equal(account_of(l, USER).reserved, 0);
	assert_int_equal(l->hot.head->leases_used, 0);
	ledger_close(l);
	redis_close(away);
	redis_close(lc.redis);
}

static void killed_before_redis(void)
{
	struct ledger *l = open_ledger();

	do_at("ledger.written", die);
	spend(l, NOON, 5, 30);
}

static void what_a_process_wrote_before_it_died_is_told_by_the_next(void **state)
{
	struct ledger *l = open_ledger();

	(void)state;
	ledger_close(l);
	assert_true(WIFSIGNALED(in_child(killed_before_redis)));
	l = open_ledger();
	assert_int_equal(account_of(l, USER).spent, 0);
	ship(l);
	assert_int_equal(account_of(l, USER).spent, 30);
	ship(l);
	assert_int_equal(account_of(l, USER).spent, 30);
	assert_int_equal(differences(l), 0);
	ledger_close(l);
}

static void two_hosts_spend_one_balance(void **state)
{
	struct ledger *a = open_host(0), *b = open_host(1);
	struct ledger_limit balance = { .subject = USER, .kind = LEDGER_BALANCE };
	struct ledger_refusal refusal;
	struct ledger_lease of_a, of_b;
	bool already;

	(void)state;
	credit(a, USER, 100, 1);
	assert_int_equal(
		ledger_credit(b, NOON, USER, 100, id_of(1), 0, SLICE(""), &already, &err), ERR_OK);
	assert_true(already);
	assert_int_equal(reserve(a, NOON, 1, 60, 0, &balance, 1, &of_a, &refusal), ERR_OK);
	assert_int_equal(reserve(b, NOON, 2, 60, 0, &balance, 1, &of_b, &refusal), ERR_NO_CREDIT);
	assert_int_equal(balance.remaining, 40);
	settle(a, &of_a, 10);
	assert_int_equal(reserve(b, NOON, 3, 90, 0, &balance, 1, &of_b, &refusal), ERR_OK);
	settle(b, &of_b, 90);
	assert_int_equal(account_of(a, USER).charged, 100);
	assert_int_equal(account_of(b, USER).charged, 100);
	ledger_close(a);
	ledger_close(b);
}

static void what_a_dead_host_held_is_given_back_by_another(void **state)
{
	struct ledger *a = open_host(0), *b = open_host(1);
	struct ledger_limit limits[] = {
		{ .subject = USER, .kind = LEDGER_BALANCE },
		{ .subject = KEY, .kind = LEDGER_CONCURRENT, .ceiling = 1 },
	};
	struct ledger_refusal refusal;
	struct ledger_lease lease;

	(void)state;
	credit(a, USER, 100, 1);
	assert_int_equal(reserve(a, NOON, 1, 100, 0, limits, 2, &lease, &refusal), ERR_OK);
	assert_int_equal(ledger_reap(b, later(NOON, 60000)), 0);
	assert_int_equal(reserve(b, NOON, 2, 1, 0, limits, 2, &lease, &refusal), ERR_NO_CREDIT);
	assert_int_equal(ledger_reap(b, later(NOON, 60001)), 1);
	assert_int_equal(
		reserve(b, later(NOON, 60001), 3, 100, 0, limits, 2, &lease, &refusal), ERR_OK);
	ledger_close(a);
	ledger_close(b);
}

static void a_request_and_a_name_are_found_from_the_other_host(void **state)
{
	struct ledger *a = open_host(0), *b = open_host(1);
	struct buf text = { 0 };
	struct record r;
	uint64_t name;

	(void)state;
	/* The days of what is looked for end today. */
	spend(a, ledger_now(), 77, 5);
	assert_int_equal(ledger_name(a, NOON, SLICE("openai/gpt-5.2"), &name, &err), ERR_OK);
	ship(a);
	assert_int_equal(ledger_redis_find(b, id_of(77), &r, &err), ERR_OK);
	assert_int_equal(r.settle.cost_microusd, 5);
	assert_int_equal(ledger_find(b, id_of(78), &r, &err), ERR_NOT_FOUND);
	assert_int_equal(ledger_name_text(b, name, &text, &err), ERR_OK);
	assert_true(slice_is(buf_slice(&text), "openai/gpt-5.2"));
	assert_int_equal(ledger_name_text(b, name + 1, &text, &err), ERR_NOT_FOUND);
	buf_fini(&text);
	ledger_close(a);
	ledger_close(b);
}

/* Three nodes; a request over all kinds of subjects is decided by one of them. */
static void in_a_cluster_all_of_a_request_is_in_one_slot(void **state)
{
	struct redis_rig nodes[3] = { { .cluster = true }, { .cluster = true },
		{ .cluster = true } };
	struct ledger_limit limits[] = {
		{ .subject = KEY, .kind = LEDGER_TOKENS_MINUTE, .ceiling = 1000 },
		{ .subject = account_member(3, 2), .kind = LEDGER_SPEND_DAY, .ceiling = 900 },
		{ .subject = ORG, .kind = LEDGER_BALANCE },
	};
	struct record_settle what = a_request(30, 3);
	struct redis *usual = shared_by == getpid() ? shared_redis : NULL;
	struct ledger_refusal refusal;
	struct ledger_lease lease, second;
	enum ledger_settled how;
	struct ledger *l;
	uint64_t n;
	char url[512];

	(void)state;
	assert_true(redis_rig_cluster(nodes, 3, url, sizeof(url)));
	shared_url = url;
	shared_by = 0;
	l = open_ledger();
	credit(l, ORG, 100, 1);
	assert_int_equal(reserve(l, NOON, 1, 90, 500, limits, 3, &lease, &refusal), ERR_OK);
	assert_int_equal(limits[2].remaining, 10);
	assert_int_equal(reserve(l, NOON, 2, 11, 0, limits, 3, &second, &refusal), ERR_NO_CREDIT);
	assert_int_equal(ledger_settle(l, NOON, &lease, &what, &how, &err), ERR_OK);
	assert_int_equal(how, LEDGER_SETTLED);
	assert_int_equal(account_of(l, ORG).charged, 30);
	assert_int_equal(account_of(l, ORG).reserved, 0);
	assert_int_equal(ledger_ship_all(l, NOON, true, &n, &err), ERR_OK);
	assert_int_equal(account_of(l, ORG).charged, 30);
	assert_int_equal(ledger_take_all(l, NOON, &n, &err), ERR_OK);
	assert_int_equal(n, 0);
	ledger_close(l);
	redis_close(shared_redis);
	shared_url = NULL;
	shared_redis = usual;
	shared_by = usual ? getpid() : 0;
	for (int i = 0; i < 3; i++)
		redis_rig_stop(&nodes[i]);
}

static void sums_stop_where_a_double_counts_no_more(void **state)
{
	struct ledger *l = open_ledger();
	struct ledger_limit limits[] = {
		{ .subject = USER, .kind = LEDGER_BALANCE, .ceiling = INT64_MAX },
		{ .subject = USER, .kind = LEDGER_SPEND_TOTAL, .ceiling = INT64_MAX },
	};
	struct ledger_refusal refusal;
	struct ledger_lease lease;
	bool already;

	(void)state;
	for (uint64_t i = 1; i <= 90; i++)
		credit(l, USER, LEDGER_MICROUSD_MAX, i);
	assert_int_equal(ledger_credit(l, NOON, USER, LEDGER_MICROUSD_MAX, id_of(91), 0, SLICE(""),
				 &already, &err),
		ERR_RANGE);
	for (uint64_t i = 1; i <= 91; i++)
		spend(l, NOON, 1000 + i, LEDGER_MICROUSD_MAX);
	assert_int_equal(account_of(l, USER).credited, 90 * LEDGER_MICROUSD_MAX);
	assert_int_equal(account_of(l, USER).spent, LEDGER_REDIS_SUM_MAX);
	assert_int_equal(reserve(l, NOON, 1, 1, 0, limits, 2, &lease, &refusal), ERR_NO_CREDIT);
	assert_int_equal(refusal.limit, 1);
	ledger_close(l);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, make_hosts, drop_hosts)
	const struct CMUnitTest tests[] = {
		T(without_redis_what_has_limits_waits_and_what_has_none_goes_on),
		T(with_fail_open_the_limits_of_this_host_decide_and_the_record_says_so),
		T(a_key_of_another_kind_leaves_no_half_state),
		T(without_memory_nothing_is_written_and_nothing_is_lost),
		T(a_call_whose_answer_was_lost_may_be_made_again),
		T(what_nobody_knows_to_be_held_is_given_back_by_the_next_reaping),
		T(what_a_process_wrote_before_it_died_is_told_by_the_next),
		T(two_hosts_spend_one_balance),
		T(what_a_dead_host_held_is_given_back_by_another),
		T(a_request_and_a_name_are_found_from_the_other_host),
		T(in_a_cluster_all_of_a_request_is_in_one_slot),
		T(sums_stop_where_a_double_counts_no_more),
	};

	return cmocka_run_group_tests(tests, start_redis, stop_redis);
}
