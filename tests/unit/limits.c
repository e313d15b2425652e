#include "gateway/limits.h"

#include "tests/unit/ledger_home.h"

#define FIVE_USD (5 * USD)

static const struct limits_conf conf = {
	.free_per_hour = 3, .ipv6_prefix_bits = 64, .buy_url = "https://pay.example.com"
};

/* 1 microdollar a token of the answer, the prompt for nothing. */
static struct cost_table table;

static struct key_info key;
static struct identity who;
static struct limits_who caller = { .identity = &who };
static uint64_t requests;

static int start(void **state)
{
	const struct cost_offer offer = { .base = { .prompt = "0", .completion = "0.000001" } };

	key = (struct key_info){ .id = "key_0123456789ab", .number = 1 };
	who = (struct identity){ .key = &key, .user = { .id = "key_0123456789ab", .number = 2 } };
	caller.address = NULL;
	requests = 0;
	return cost_table_init(&table, &offer, NULL) || make_home(state);
}

static void has_user(void)
{
	strcpy(key.user, "ana");
	strcpy(who.user.id, "ana");
}

static void has_org(void)
{
	static struct people_org org = { .number = 3 };

	who.org = &org;
	who.role = PEOPLE_MEMBER;
}

static struct ledger_now after(int64_t ms)
{
	return (struct ledger_now){ NOON.wall_ms + ms, NOON.mono_ms + ms };
}

static struct limits_what what_of(int64_t tokens)
{
	requests++;
	return (struct limits_what){ .id = id_of(1000 + requests),
		.prices = &table,
		.worst = { .max_output_tokens = tokens },
		.likely_tokens = tokens,
		.deadline_mono_ms = NOON.mono_ms + DAY };
}

static enum err_code admit(
	struct ledger *l, struct ledger_now now, int64_t tokens, struct admission *a)
{
	const struct limits_what what = what_of(tokens);

	return limits_admit(l, now, &conf, &caller, &what, a, &err);
}

/* ---- which limits there are ---- */

struct expected {
	uint64_t subject;
	enum ledger_limit_kind kind;
	int64_t ceiling;
};

static void expect_limits(bool free, const struct expected *rows, size_t n)
{
	struct admission a = { .limits_n = 0 };

	limits_collect(&conf, &caller, free, &a);
	assert_int_equal(a.limits_n, n);
	for (size_t i = 0; i < n; i++) {
		assert_int_equal(a.limits[i].subject, rows[i].subject);
		assert_int_equal(a.limits[i].kind, rows[i].kind);
		assert_int_equal(a.limits[i].ceiling, rows[i].ceiling);
	}
}

static void a_key_alone_has_its_own_limits_and_no_balance(void **state)
{
	const struct expected rows[] = {
		{ KEY, LEDGER_REQUESTS_MINUTE, 60 },
		{ KEY, LEDGER_TOKENS_MINUTE, 1000 },
		{ KEY, LEDGER_CONCURRENT, 4 },
		{ KEY, LEDGER_SPEND_MONTH, 25 * USD },
	};

	(void)state;
	expect_limits(false, NULL, 0);
	key.requests_per_minute = 60;
	key.tokens_per_minute = 1000;
	key.concurrent = 4;
	key.budget_window = KEY_WINDOW_MONTH;
	key.budget_microusd = 25 * USD;
	expect_limits(false, rows, 4);
	expect_limits(true, rows, 3);
}

static void a_user_pays_unless_an_organisation_does(void **state)
{
	const struct expected alone[] = {
		{ KEY, LEDGER_SPEND_DAY, 0 },
		{ USER, LEDGER_SPEND_DAY, USD },
		{ USER, LEDGER_BALANCE, 0 },
	};
	const struct expected member[] = {
		{ KEY, LEDGER_SPEND_DAY, 0 },
		{ USER, LEDGER_SPEND_DAY, USD },
		{ ORG, LEDGER_BALANCE, 0 },
		{ account_member(3, 2), LEDGER_SPEND_DAY, 2 * USD },
	};

	(void)state;
	has_user();
	key.budget_window = KEY_WINDOW_DAY; /* of nothing */
	who.user.daily = (struct people_limit){ true, USD };
	expect_limits(false, alone, 3);
	has_org();
	who.member_daily = (struct people_limit){ true, 2 * USD };
	expect_limits(false, member, 4);
	expect_limits(true, NULL, 0);
}

static uint64_t subject_of(const char *address, int64_t bits)
{
	const struct limits_conf c = { .free_per_hour = 3, .ipv6_prefix_bits = bits };
	static const struct identity nobody;
	struct ip ip;
	struct admission a = { .limits_n = 0 };
	const struct limits_who anyone = { &nobody, address ? &ip : NULL };

	if (address)
		assert_true(ip_parse(slice_of(address), &ip));
	limits_collect(&c, &anyone, true, &a);
	assert_int_equal(a.limits_n, 1);
	assert_int_equal(a.limits[0].kind, LEDGER_REQUESTS_HOUR);
	assert_int_equal(account_kind_of(a.limits[0].subject), ACCOUNT_ADDRESS);
	return a.limits[0].subject;
}

static void an_ipv6_caller_is_known_by_its_prefix_an_ipv4_caller_by_all(void **state)
{
	static const struct {
		const char *a, *b;
		int64_t bits;
		bool same;
	} rows[] = {
		{ "2001:db8:1:2::1", "2001:db8:1:2:ffff:ffff:ffff:ffff", 64, true },
		{ "2001:db8:1:2::1", "2001:db8:1:3::1", 64, false },
		{ "2001:db8:1:2::1", "2001:db8:1:2::2", 128, false },
		{ "2001:db8:1:2::1", "2001:db8:1:2::1", 128, true },
		{ "2001:db8:1:200::1", "2001:db8:1:2ff::1", 56, true },
		{ "2001:db8:1:200::1", "2001:db8:1:300::1", 56, false },
		{ "2001:db8:1:2::1", "2001:db8:1:2:4000::1", 65, true },
		{ "2001:db8:1:2::1", "2001:db8:1:2:8000::1", 65, false },
		{ "2001:db8::1", "2001:ffff::1", 16, true },
		{ "192.0.2.1", "192.0.2.2", 64, false },
		{ "192.0.2.1", "192.0.2.2", 16, false },
		{ "192.0.2.1", "::ffff:192.0.2.1", 64, true },
		{ NULL, NULL, 64, true },
		{ NULL, "192.0.2.1", 64, false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		print_message("row %zu, /%d\n", i, (int)rows[i].bits);
		assert_int_equal(
			subject_of(rows[i].a, rows[i].bits) == subject_of(rows[i].b, rows[i].bits),
			rows[i].same);
	}
}

/* ---- rates ---- */

static void a_refusal_says_the_millisecond_when_it_will_succeed(void **state)
{
	struct ledger *l = open_ledger();
	struct admission a;
	int64_t wait;

	(void)state;
	key.requests_per_minute = 7;
	for (int i = 0; i < 7; i++)
		assert_int_equal(admit(l, NOON, 1, &a), ERR_OK);
	assert_int_equal(a.limits[0].remaining, 0);
	assert_int_equal(admit(l, NOON, 1, &a), ERR_RATE_LIMITED);
	wait = err.retry_after_ms;
	assert_int_equal(wait, 8572); /* 60000 / 7, upwards */
	assert_int_equal(err_status(&err), 429);
	assert_non_null(strstr(err.message, "7 requests per minute"));
	assert_int_equal(admit(l, after(wait - 1), 1, &a), ERR_RATE_LIMITED);
	assert_int_equal(err.retry_after_ms, 1);
	assert_int_equal(admit(l, after(wait), 1, &a), ERR_OK);
	assert_int_equal(admit(l, after(wait), 1, &a), ERR_RATE_LIMITED);
	ledger_close(l);
}

static void more_tokens_than_the_limit_never_succeed_and_no_time_is_named(void **state)
{
	struct ledger *l = open_ledger();
	struct admission a;

	(void)state;
	key.tokens_per_minute = 600;
	assert_int_equal(admit(l, NOON, 601, &a), ERR_RATE_LIMITED);
	assert_int_equal(err.retry_after_ms, 0);
	assert_false(err_may_retry(&err));
	assert_int_equal(admit(l, NOON, INT64_MAX, &a), ERR_RATE_LIMITED);
	assert_int_equal(admit(l, NOON, 600, &a), ERR_OK);
	assert_int_equal(admit(l, NOON, 10, &a), ERR_RATE_LIMITED);
	assert_int_equal(err.retry_after_ms, 1000);
	assert_int_equal(admit(l, after(1000), 10, &a), ERR_OK);
	ledger_close(l);
}

static void a_place_is_free_when_a_request_ends(void **state)
{
	struct ledger *l = open_ledger();
	struct admission first, a;

	(void)state;
	key.concurrent = 1;
	key.requests_per_minute = 60;
	assert_int_equal(admit(l, NOON, 1, &first), ERR_OK);
	assert_int_equal(first.limits[0].remaining, 59);
	assert_int_equal(admit(l, NOON, 1, &a), ERR_RATE_LIMITED);
	assert_int_equal(err.retry_after_ms, 1000);
	assert_non_null(strstr(err.message, "at the same time"));
	ledger_release(l, &first.lease);
	assert_int_equal(admit(l, NOON, 1, &a), ERR_OK);
	assert_int_equal(a.limits[0].remaining, 58); /* the refusal took none */
	ledger_close(l);
}

static void nobody_has_so_many_an_hour_for_free(void **state)
{
	static const struct identity nobody;
	struct ledger *l = open_ledger();
	struct limits_what what;
	struct admission a;

	(void)state;
	caller.identity = &nobody;
	for (int i = 0; i < 4; i++) {
		what = what_of(1);
		what.free = true;
		assert_int_equal(limits_admit(l, NOON, &conf, &caller, &what, &a, &err),
			i < 3 ? ERR_OK : ERR_RATE_LIMITED);
	}
	assert_non_null(strstr(err.message, "free requests per hour"));
	assert_in_range(err.retry_after_ms, 3600000 - 1, 3840000);
	assert_int_equal(
		limits_admit(l, after(err.retry_after_ms), &conf, &caller, &what, &a, &err),
		ERR_OK);
	caller.identity = &who;
	ledger_close(l);
}

/* ---- money ---- */

static void a_balance_admits_what_fits_and_not_a_microdollar_more(void **state)
{
	struct ledger *l = open_ledger();
	struct admission a, b;

	(void)state;
	has_user();
	assert_int_equal(admit(l, NOON, 1, &a), ERR_NO_CREDIT);
	assert_int_equal(err_status(&err), 402);
	assert_true(err.has_balance);
	assert_int_equal(err.balance_microusd, 0);
	assert_string_equal(err.buy_url, conf.buy_url);
	assert_non_null(strstr(err.message, "$0.000000 left"));
	assert_non_null(strstr(err.message, "up to $0.000001"));
	credit(l, USER, FIVE_USD, 1);
	assert_int_equal(admit(l, NOON, FIVE_USD + 1, &a), ERR_NO_CREDIT);
	assert_int_equal(err.balance_microusd, FIVE_USD);
	assert_int_equal(admit(l, NOON, FIVE_USD, &a), ERR_OK);
	assert_int_equal(a.microusd, FIVE_USD);
	assert_int_equal(admit(l, NOON, 1, &b), ERR_NO_CREDIT);
	ledger_release(l, &a.lease);
	assert_int_equal(admit(l, NOON, 1, &b), ERR_OK);
	ledger_close(l);
}

static void each_purse_refuses_in_its_own_name(void **state)
{
	struct ledger *l = open_ledger();
	struct admission a;

	(void)state;
	has_user();
	has_org();
	credit(l, ORG, 10, 1);
	assert_int_equal(admit(l, NOON, 11, &a), ERR_NO_CREDIT);
	assert_non_null(strstr(err.message, "balance of this organisation has $0.000010"));
	who.member_daily = (struct people_limit){ true, 5 };
	assert_int_equal(admit(l, NOON, 6, &a), ERR_NO_CREDIT);
	assert_non_null(strstr(err.message, "this member of the organisation"));
	who.user.daily = (struct people_limit){ true, 4 };
	assert_int_equal(admit(l, NOON, 5, &a), ERR_NO_CREDIT);
	assert_non_null(strstr(err.message, "this user"));
	key.budget_window = KEY_WINDOW_TOTAL;
	key.budget_microusd = 3;
	assert_int_equal(admit(l, NOON, 4, &a), ERR_NO_CREDIT);
	assert_non_null(strstr(err.message, "this key"));
	assert_int_equal(admit(l, NOON, 3, &a), ERR_OK);
	assert_int_equal(account_of(l, ORG).reserved, 3);
	ledger_close(l);
}

static void what_has_no_price_is_refused_where_money_counts(void **state)
{
	struct ledger *l = open_ledger();
	struct limits_what what = what_of(1);
	struct admission a;

	(void)state;
	what.prices = NULL;
	assert_int_equal(limits_admit(l, NOON, &conf, &caller, &what, &a, &err), ERR_OK);
	has_user();
	credit(l, USER, FIVE_USD, 1);
	what.id = id_of(1);
	assert_int_equal(limits_admit(l, NOON, &conf, &caller, &what, &a, &err), ERR_FORBIDDEN);
	assert_string_equal(err.param, "model");
	assert_int_equal(account_of(l, USER).holds, 0);
	ledger_close(l);
}

static void a_request_beyond_every_price_is_the_clients_error(void **state)
{
	static const int64_t tokens[] = { LEDGER_MICROUSD_MAX + 1, INT64_MAX / 2, INT64_MAX, -1 };
	struct ledger *l = open_ledger();
	struct admission a;

	(void)state;
	has_user();
	credit(l, USER, FIVE_USD, 1);
	for (size_t i = 0; i < sizeof(tokens) / sizeof(tokens[0]); i++) {
		struct limits_what what = what_of(tokens[i]);

		what.likely_tokens = 1;
		print_message("%" PRId64 " tokens\n", tokens[i]);
		assert_int_equal(
			limits_admit(l, NOON, &conf, &caller, &what, &a, &err), ERR_BAD_REQUEST);
		assert_string_equal(err.param, "max_tokens");
	}
	assert_int_equal(admit(l, NOON, LEDGER_MICROUSD_MAX, &a), ERR_NO_CREDIT);
	assert_int_equal(account_of(l, USER).reserved, 0);
	ledger_close(l);
}

/* ---- headers ---- */

static void durations_are_written_as_openai_does(void **state)
{
	static const struct {
		int64_t ms;
		const char *text;
	} rows[] = {
		{ 0, "0ms" },
		{ -1, "0ms" },
		{ INT64_MIN, "0ms" },
		{ 1, "1ms" },
		{ 999, "999ms" },
		{ 1000, "1s" },
		{ 1500, "1.500s" },
		{ 59999, "59.999s" },
		{ 60000, "1m0s" },
		{ 360000, "6m0s" },
		{ 3599999, "59m59s" },
		{ 3600000, "1h0m0s" },
		{ 86400000, "24h0m0s" },
		{ INT64_MAX, "2562047788015h12m55s" },
	};
	char text[LIMITS_DURATION_SIZE];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		limits_duration(rows[i].ms, text);
		assert_string_equal(text, rows[i].text);
	}
}

static void headers_tell_of_the_limits_there_are(void **state)
{
	struct ledger *l = open_ledger();
	struct buf head = { 0 };
	struct admission a;

	(void)state;
	key.concurrent = 5;
	assert_int_equal(admit(l, NOON, 10, &a), ERR_OK);
	limits_write_head(&a, &head);
	assert_int_equal(head.len, 0);
	key.requests_per_minute = 60;
	key.tokens_per_minute = 600;
	assert_int_equal(admit(l, NOON, 10, &a), ERR_OK);
	limits_write_head(&a, &head);
	assert_true(slice_is(buf_slice(&head), "x-ratelimit-limit-requests: 60\r\n"
					       "x-ratelimit-remaining-requests: 59\r\n"
					       "x-ratelimit-reset-requests: 1s\r\n"
					       "x-ratelimit-limit-tokens: 600\r\n"
					       "x-ratelimit-remaining-tokens: 590\r\n"
					       "x-ratelimit-reset-tokens: 1s\r\n"));
	buf_fini(&head);
	ledger_close(l);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, start, drop_home)
	const struct CMUnitTest tests[] = {
		T(a_key_alone_has_its_own_limits_and_no_balance),
		T(a_user_pays_unless_an_organisation_does),
		T(an_ipv6_caller_is_known_by_its_prefix_an_ipv4_caller_by_all),
		T(a_refusal_says_the_millisecond_when_it_will_succeed),
		T(more_tokens_than_the_limit_never_succeed_and_no_time_is_named),
		T(a_place_is_free_when_a_request_ends),
		T(nobody_has_so_many_an_hour_for_free),
		T(a_balance_admits_what_fits_and_not_a_microdollar_more),
		T(each_purse_refuses_in_its_own_name),
		T(what_has_no_price_is_refused_where_money_counts),
		T(a_request_beyond_every_price_is_the_clients_error),
		T(durations_are_written_as_openai_does),
		T(headers_tell_of_the_limits_there_are),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
