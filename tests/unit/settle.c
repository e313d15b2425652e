#include "gateway/settle.h"

#include "base/log.h"
#include "tests/unit/ledger_home.h"

static struct key_info key = { .id = "key_0123456789ab", .number = 1 };
static struct identity who = { .key = &key, .user = { .number = 2 } };

static const struct usage some_usage = { .state = USAGE_REPORTED,
	.prompt_tokens = 100,
	.completion_tokens = 50,
	.cached_tokens = 30,
	.cache_write_tokens = 20,
	.cache_write_1h_tokens = 5,
	.reasoning_tokens = 10 };
static const struct cost some_cost = {
	.microusd = 700, .market_microusd = 800, .price_version = 0xabcd
};

static struct settle_facts a_call(void)
{
	return (struct settle_facts){ .identity = &who,
		.provider = "openai",
		.model = "openai/gpt-5.2",
		.asked_model = "gpt-5.2",
		.usage = &some_usage,
		.cost = &some_cost,
		.finish_reason = "stop",
		.status = 200,
		.stream = true,
		.attempts = 2,
		.latency_ms = 900,
		.ttft_ms = 300 };
}

/* A reservation of 1,000 microdollars on the user. */
static struct admission reserve(struct ledger *l, uint64_t id)
{
	struct admission a = { .limits_n = 1 };
	struct ledger_refusal refusal;
	struct ledger_now now = ledger_now();
	struct ledger_ask ask = { .id = id_of(id),
		.microusd = 1000,
		.tokens = 100,
		.deadline_ms = now.mono_ms + DAY,
		.limits = a.limits,
		.limits_n = 1 };

	a.limits[0] = (struct ledger_limit){ .subject = USER, .kind = LEDGER_BALANCE };
	if (ledger_reserve(l, now, &ask, &a.lease, &refusal, &err))
		fail_msg("reserve: %s", err.message);
	return a;
}

static struct record_settle line_of(struct ledger *l, uint64_t id)
{
	struct record r;

	if (ledger_find(l, id_of(id), &r, &err))
		fail_msg("find: %s", err.message);
	assert_int_equal(r.type, RECORD_SETTLE);
	return r.settle;
}

static void expect_name(struct ledger *l, uint64_t name, const char *expected)
{
	struct buf text = { 0 };

	assert_int_equal(ledger_name_text(l, name, &text, &err), ERR_OK);
	assert_true(slice_is(buf_slice(&text), expected));
	buf_fini(&text);
}

static void a_line_says_who_what_and_how_much(void **state)
{
	struct ledger *l = open_ledger();
	struct settle_facts f = a_call();
	struct admission a;
	struct record_settle r;

	(void)state;
	credit(l, USER, USD, 1);
	a = reserve(l, 10);
	settle_request(l, &a, &f);
	assert_false(a.lease.is_open);
	r = line_of(l, 10);
	assert_int_equal(r.key, 1);
	assert_int_equal(r.user, 2);
	assert_int_equal(r.org, 0);
	expect_name(l, r.provider, "openai");
	expect_name(l, r.model, "openai/gpt-5.2");
	expect_name(l, r.asked_model, "gpt-5.2");
	assert_int_equal(r.cost_microusd, 700);
	assert_int_equal(r.upstream_microusd, 800);
	assert_int_equal(r.reserved_microusd, 1000);
	assert_int_equal(r.tokens[RECORD_PROMPT], 100);
	assert_int_equal(r.tokens[RECORD_CACHE_READ], 30);
	assert_int_equal(r.tokens[RECORD_CACHE_WRITE_5M], 15);
	assert_int_equal(r.tokens[RECORD_CACHE_WRITE_1H], 5);
	assert_int_equal(r.tokens[RECORD_COMPLETION], 50);
	assert_int_equal(r.tokens[RECORD_REASONING], 10);
	assert_int_equal(r.latency_ms, 900);
	assert_int_equal(r.ttft_ms, 300);
	assert_int_equal(r.generation_ms, 600);
	assert_int_equal(r.price_version, 0xabcd);
	assert_int_equal(r.status, 200);
	assert_int_equal(r.flags, RECORD_STREAM);
	assert_int_equal(r.usage_state, RECORD_USAGE_REPORTED);
	assert_int_equal(r.attempts, 2);
	assert_string_equal(settle_finish_reason(r.finish_reason), "stop");
	assert_int_equal(account_of(l, USER).charged, 700);
	assert_int_equal(account_of(l, USER).reserved, 0);
	assert_int_equal(differences(l), 0);
	ledger_close(l);
}

static void an_organisation_pays_for_its_member(void **state)
{
	struct ledger *l = open_ledger();
	struct people_org org = { .number = 3 };
	struct identity member = who;
	struct settle_facts f = a_call();
	struct admission a;

	(void)state;
	credit(l, USER, USD, 1);
	a = reserve(l, 10);
	member.org = &org;
	f.identity = &member;
	settle_request(l, &a, &f);
	assert_int_equal(line_of(l, 10).org, 3);
	assert_int_equal(account_of(l, ORG).charged, 700);
	assert_int_equal(account_of(l, USER).charged, 0);
	assert_int_equal(account_of(l, USER).spent, 700);
	assert_int_equal(account_of(l, account_member(3, 2)).spent, 700);
	ledger_close(l);
}

static void nobody_and_nothing_leave_a_line_too(void **state)
{
	static const struct identity nobody;
	static const struct usage none = { .state = USAGE_NONE };
	static const struct cost nothing = { .microusd = 0 };
	struct ledger *l = open_ledger();
	struct settle_facts f = a_call();
	struct admission a = { .lease = { .id = id_of(10) } };
	struct record_settle r;

	(void)state;
	f.identity = &nobody;
	f.usage = &none;
	f.cost = &nothing;
	f.provider = f.model = f.asked_model = f.finish_reason = "";
	f.ttft_ms = 0;
	f.free = f.client_gone = true;
	f.status = 499;
	settle_request(l, &a, &f);
	r = line_of(l, 10);
	assert_int_equal(r.key | r.user | r.org | r.provider | r.model | r.asked_model, 0);
	assert_int_equal(r.cost_microusd, 0);
	assert_int_equal(r.usage_state, RECORD_USAGE_NONE);
	assert_int_equal(r.generation_ms, 0);
	assert_int_equal(r.status, 499);
	assert_true(r.flags & RECORD_FREE);
	assert_true(r.flags & RECORD_CLIENT_GONE);
	assert_false(r.flags & RECORD_BYOK);
	assert_string_equal(settle_finish_reason(r.finish_reason), "");
	ledger_close(l);
}

static void a_request_with_the_callers_own_key_costs_nothing_and_says_what_it_was_worth(
	void **state)
{
	static const struct cost worth = { .market_microusd = 700, .waived = true };
	struct ledger *l = open_ledger();
	struct settle_facts f = a_call();
	struct admission a = { .lease = { .id = id_of(10) } };
	struct record_settle r;

	(void)state;
	f.cost = &worth;
	f.byok = true;
	settle_request(l, &a, &f);
	r = line_of(l, 10);
	assert_true(r.flags & RECORD_BYOK);
	assert_int_equal(r.cost_microusd, 0);
	assert_int_equal(r.upstream_microusd, 700);
	assert_int_equal(account_of(l, USER).charged, 0);
	ledger_close(l);
}

static void a_request_is_charged_once_however_often_it_is_settled(void **state)
{
	struct ledger *l = open_ledger();
	struct settle_facts f = a_call();
	struct admission a, again;

	(void)state;
	credit(l, USER, USD, 1);
	a = again = reserve(l, 10);
	settle_request(l, &a, &f);
	settle_request(l, &a, &f);
	settle_request(l, &again, &f);
	assert_int_equal(account_of(l, USER).charged, 700);
	assert_int_equal(account_of(l, USER).requests, 1);
	assert_int_equal(account_of(l, USER).reserved, 0);
	ledger_close(l);
}

static void hostile_figures_are_billed_as_far_as_the_books_go(void **state)
{
	static const struct usage huge = { .state = USAGE_PARTIAL,
		.prompt_tokens = INT64_MAX,
		.completion_tokens = UINT32_MAX,
		.cached_tokens = LEDGER_TOKENS_MAX + 1,
		.cache_write_tokens = -1,
		.reasoning_tokens = INT64_MIN };
	static const struct cost dear = { .microusd = INT64_MAX, .market_microusd = INT64_MAX };
	static char long_name[1000];
	struct ledger *l = open_ledger();
	struct settle_facts f = a_call();
	struct admission a = { .lease = { .id = id_of(10) } };
	struct record_settle r;

	(void)state;
	memset(long_name, 'x', sizeof(long_name) - 1);
	f.usage = &huge;
	f.cost = &dear;
	f.provider = f.asked_model = long_name;
	f.finish_reason = "because I say so";
	f.attempts = 100000;
	f.latency_ms = INT64_MAX;
	f.ttft_ms = -5;
	settle_request(l, &a, &f);
	r = line_of(l, 10);
	assert_int_equal(r.cost_microusd, LEDGER_MICROUSD_MAX);
	assert_int_equal(r.upstream_microusd, LEDGER_MICROUSD_MAX);
	assert_int_equal(r.tokens[RECORD_PROMPT], LEDGER_TOKENS_MAX);
	assert_int_equal(r.tokens[RECORD_COMPLETION], LEDGER_TOKENS_MAX);
	assert_int_equal(r.tokens[RECORD_CACHE_READ], LEDGER_TOKENS_MAX);
	assert_int_equal(r.tokens[RECORD_CACHE_WRITE_5M], 0);
	assert_int_equal(r.tokens[RECORD_REASONING], 0);
	assert_int_equal(r.latency_ms, UINT32_MAX);
	assert_int_equal(r.ttft_ms, 0);
	assert_int_equal(r.attempts, 255);
	assert_int_equal(r.usage_state, RECORD_USAGE_PARTIAL);
	assert_string_equal(settle_finish_reason(r.finish_reason), "unknown");
	long_name[RECORD_NAME_MAX] = '\0';
	expect_name(l, r.provider, long_name);
	assert_int_equal(r.provider, r.asked_model);
	ledger_close(l);
}

static void every_known_finish_reason_is_kept(void **state)
{
	static const char *const reasons[] = { "", "stop", "length", "tool_calls", "content_filter",
		"function_call" };
	struct ledger *l = open_ledger();
	struct settle_facts f = a_call();

	(void)state;
	for (uint64_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++) {
		struct admission a = { .lease = { .id = id_of(10 + i) } };

		f.finish_reason = reasons[i];
		settle_request(l, &a, &f);
		assert_string_equal(
			settle_finish_reason(line_of(l, 10 + i).finish_reason), reasons[i]);
	}
	assert_string_equal(settle_finish_reason(255), "unknown");
	ledger_close(l);
}

static void a_write_that_fails_once_is_tried_again(void **state)
{
	struct ledger *l = open_ledger();
	struct settle_facts f = a_call();
	struct admission a;

	(void)state;
	credit(l, USER, USD, 1);
	a = reserve(l, 10);
	fail_at("journal.write", EIO);
	fault_action = no_fault; /* the next one succeeds */
	settle_request(l, &a, &f);
	assert_null(fault_name);
	assert_int_equal(line_of(l, 10).cost_microusd, 700);
	assert_int_equal(account_of(l, USER).charged, 700);
	ledger_close(l);
}

static void what_cannot_be_written_is_logged_to_be_entered_by_hand(void **state)
{
	static const struct cost negative = { .microusd = -1 };
	struct ledger *l = open_ledger();
	struct settle_facts f = a_call();
	char path[HOME_PATH_MAX], text[4096];
	struct admission a;
	struct record r;
	FILE *log;

	(void)state;
	snprintf(path, sizeof(path), "%s/log", home);
	assert_int_equal(log_open(path, "test", &err), ERR_OK);
	credit(l, USER, USD, 1);
	a = reserve(l, 10);
	f.cost = &negative;
	settle_request(l, &a, &f);
	assert_int_equal(ledger_find(l, id_of(10), &r, &err), ERR_NOT_FOUND);
	assert_int_equal(account_of(l, USER).reserved, 0);
	log = fopen(path, "r");
	assert_non_null(log);
	text[fread(text, 1, sizeof(text) - 1, log)] = '\0';
	fclose(log);
	assert_non_null(strstr(text, "NOT SETTLED: id 000000000000000afffffffffffffff5"));
	assert_non_null(strstr(text, "key 0000000000000001"));
	assert_non_null(strstr(text, "tokens 100 + 50"));
	assert_int_equal(log_open("", "test", &err), ERR_OK);
	ledger_close(l);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, make_home, drop_home)
	const struct CMUnitTest tests[] = {
		T(a_line_says_who_what_and_how_much),
		T(an_organisation_pays_for_its_member),
		T(nobody_and_nothing_leave_a_line_too),
		T(a_request_with_the_callers_own_key_costs_nothing_and_says_what_it_was_worth),
		T(a_request_is_charged_once_however_often_it_is_settled),
		T(hostile_figures_are_billed_as_far_as_the_books_go),
		T(every_known_finish_reason_is_kept),
		T(a_write_that_fails_once_is_tried_again),
		T(what_cannot_be_written_is_logged_to_be_entered_by_hand),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
