#include "gateway/account_views.h"
#include "gateway/limits.h"
#include "handlers/common/path.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>

#define USD    INT64_C(1000000)
#define DAY    INT64_C(20778) /* 2026-11-21 */
#define NOW_MS (DAY * INT64_C(86400000) + INT64_C(43200000))

static struct err err;
static struct buf out;

static int clean(void **state)
{
	(void)state;
	buf_fini(&out);
	return 0;
}

static void is(const char *text)
{
	assert_non_null(buf_cstr(&out));
	assert_string_equal(out.data, text);
}

static void has(const char *text)
{
	assert_non_null(buf_cstr(&out));
	if (!strstr(out.data, text))
		fail_msg("%s is missing in %s", text, out.data);
}

static void find(void *ctx, enum usage_by by, uint64_t number, struct buf *id, struct buf *label)
{
	(void)ctx;
	(void)label;
	if (number)
		buf_printf(id, "%s-%llu", usage_by_name(by), (unsigned long long)number);
}

static const struct usage_names names = { find, NULL };

static void credits_and_usage_are_those_of_the_balance(void **state)
{
	struct account a = { .credited = 12 * USD + 345678, .charged = 4, .spent = 99 };

	(void)state;
	account_view_credits(&a, &out);
	is("{\"data\":{\"total_credits\":12.345678,\"total_usage\":0.000004}}\n");
}

static void a_key_shows_its_budget_in_its_own_window(void **state)
{
	static const struct {
		const char *name;
		enum key_window window;
		int64_t budget;
		const char *text;
	} rows[] = {
		{ "none", KEY_WINDOW_NONE, 0,
			"\"limit\":null,\"limit_remaining\":null,\"limit_reset\":null," },
		{ "day", KEY_WINDOW_DAY, 5 * USD,
			"\"limit\":5,\"limit_remaining\":4.5,\"limit_reset\":\"daily\"," },
		{ "month", KEY_WINDOW_MONTH, 5 * USD,
			"\"limit\":5,\"limit_remaining\":3,\"limit_reset\":\"monthly\"," },
		{ "total, overspent", KEY_WINDOW_TOTAL, 5 * USD,
			"\"limit\":5,\"limit_remaining\":0,\"limit_reset\":null," },
		{ "nothing may be spent", KEY_WINDOW_DAY, 0,
			"\"limit\":0,\"limit_remaining\":0,\"limit_reset\":\"daily\"," },
	};
	const struct account a = { .spent = 7 * USD,
		.day = DAY,
		.day_spent = USD / 2,
		.month = account_month(NOW_MS),
		.month_spent = 2 * USD,
		.requests = 3 };

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct key_info key = { .id = "key_1",
			.name = "laptop",
			.budget_window = rows[i].window,
			.budget_microusd = rows[i].budget,
			.requests_per_minute = 60 };

		print_message("  %s\n", rows[i].name);
		buf_reset(&out);
		account_view_key(&key, &a, USD, NOW_MS, &out);
		has("{\"data\":{\"id\":\"key_1\",\"label\":\"laptop\",");
		has(rows[i].text);
		has("\"usage\":7,\"usage_daily\":0.5,\"usage_weekly\":1,\"usage_monthly\":2,");
		has("\"rate_limit\":{\"requests\":60,\"tokens\":-1,\"interval\":\"60s\"}}}\n");
	}
}

static void a_generation_tells_everything_that_its_line_says(void **state)
{
	struct record r = { .type = RECORD_SETTLE, .wall_ms = NOW_MS };

	(void)state;
	r.settle = (struct record_settle){ .model = 5,
		.asked_model = 6,
		.provider = 7,
		.cost_microusd = 1234,
		.upstream_microusd = 1000,
		.tokens = { 100, 60, 8, 2, 50, 20 },
		.latency_ms = 2500,
		.ttft_ms = 400,
		.generation_ms = 2100,
		.status = 200,
		.flags = RECORD_STREAM,
		.usage_state = RECORD_USAGE_PARTIAL,
		.attempts = 2,
		.finish_reason = 1 };
	account_view_generation("req_ab", &r, &names, SLICE(""), &out);
	is("{\"data\":{\"id\":\"req_ab\",\"upstream_id\":null,"
	   "\"created_at\":\"2026-11-21T11:59:57.500Z\",\"model\":\"model-5\","
	   "\"requested_model\":\"model-6\",\"provider_name\":\"provider-7\",\"status\":200,"
	   "\"streamed\":true,\"cancelled\":false,\"is_byok\":false,\"cache_hit\":false,"
	   "\"total_cost\":0.001234,\"usage\":0.001234,\"upstream_inference_cost\":0.001,"
	   "\"cache_discount\":null,\"tokens_prompt\":100,\"tokens_completion\":50,"
	   "\"native_tokens_prompt\":100,\"native_tokens_completion\":50,"
	   "\"native_tokens_reasoning\":20,\"native_tokens_cached\":60,\"cache_write_tokens\":10,"
	   "\"usage_state\":\"partial\",\"finish_reason\":\"stop\",\"native_finish_reason\":null,"
	   "\"latency\":2500,\"time_to_first_token\":400,\"generation_time\":2100,"
	   "\"moderation_latency\":null,\"attempt_count\":2,\"attempts\":[{"
	   "\"provider\":\"provider-7\",\"model\":\"model-5\",\"status\":200,"
	   "\"outcome\":\"ok\",\"error\":null,\"begun_ms\":0,\"took_ms\":2500,"
	   "\"ttft_ms\":400,\"hedge\":false,\"rescue\":false}]}}\n");
}

static void a_generation_lists_the_attempts_that_were_kept_else_what_its_line_knows(void **state)
{
	struct record r = { .type = RECORD_SETTLE, .wall_ms = NOW_MS };

	(void)state;
	r.settle = (struct record_settle){ .provider = 7, .status = 503, .attempts = 3 };
	account_view_generation("req_ab", &r, &names, SLICE("[{\"provider\":\"a\"}]"), &out);
	has("\"attempt_count\":3,\"attempts\":[{\"provider\":\"a\"}]}}\n");
	buf_reset(&out);
	/* The status is what the caller got, not what the provider said. */
	account_view_generation("req_ab", &r, &names, SLICE(""), &out);
	has("\"attempts\":[{\"provider\":\"provider-7\",\"model\":null,\"status\":null,"
	    "\"outcome\":\"failed\"");
	buf_reset(&out);
	r.settle.status = 200;
	r.settle.flags = RECORD_CLIENT_GONE;
	account_view_generation("req_ab", &r, &names, SLICE(""), &out);
	has("\"outcome\":\"cut\",\"error\":\"client_gone\"");
	buf_reset(&out);
	r.settle.attempts = 0;
	account_view_generation("req_ab", &r, &names, SLICE(""), &out);
	has("\"attempts\":[]}}");
}

static void a_profile_without_organisations_does_not_name_them(void **state)
{
	struct people_user user = { .id = "ana", .name = "Ana \"A\"" };
	struct people_org org = { .id = "0d3f4c1e-6a51-4c07-9b0f-2f1f5c1f2a77", .slug = "acme" };
	struct account_membership list[] = { { &org, PEOPLE_OWNER },
		{ &org, PEOPLE_BILLING_MANAGER } };

	(void)state;
	account_view_profile(&user, list, 0, &out);
	is("{\"user\":{\"id\":\"ana\",\"email\":null,\"name\":\"Ana "
	   "\\\"A\\\"\",\"image\":null}}\n");
	buf_reset(&out);
	account_view_profile(&user, list, 2, &out);
	has(",\"organizations\":[{\"id\":\"0d3f4c1e-6a51-4c07-9b0f-2f1f5c1f2a77\",\"name\":"
	    "\"acme\","
	    "\"role\":\"owner\"},{");
	has("\"role\":\"billing_manager\"}]}\n");
}

static void what_may_be_spent_is_the_least_of_all_limits(void **state)
{
	const struct ledger_limit limits[] = { { .kind = LEDGER_REQUESTS_MINUTE, .ceiling = 0 },
		{ .kind = LEDGER_BALANCE }, { .kind = LEDGER_SPEND_DAY, .ceiling = 5 * USD },
		{ .kind = LEDGER_SPEND_TOTAL, .ceiling = 100 * USD } };
	struct account accounts[] = { { .subject = 1 },
		{ .credited = 10 * USD, .charged = 2 * USD },
		{ .day = DAY, .day_spent = 5 * USD - 1 }, { .spent = USD } };
	struct people_org org = { .slug = "acme" };
	struct identity who = { .org = &org, .role = PEOPLE_MEMBER };
	int64_t left;

	(void)state;
	assert_true(account_view_spendable(&who, limits, accounts, 4, NOW_MS, &left));
	assert_int_equal(left, 1);
	/* The next day the daily limit is whole again. */
	assert_true(account_view_spendable(
		&who, limits, accounts, 4, NOW_MS + INT64_C(86400000), &left));
	assert_int_equal(left, 5 * USD);
	accounts[1].charged = 11 * USD;
	assert_true(account_view_spendable(&who, limits, accounts, 4, NOW_MS, &left));
	assert_int_equal(left, -USD);
	account_view_balance(true, left, &out);
	is("{\"balance\":-1,\"isDepleted\":true}\n");
	assert_false(account_view_spendable(&who, limits, accounts, 1, NOW_MS, &left));
	buf_reset(&out);
	account_view_balance(false, left, &out);
	is("{\"balance\":null,\"isDepleted\":false}\n");
	who.role = PEOPLE_BILLING_MANAGER;
	assert_true(account_view_spendable(&who, limits, accounts, 1, NOW_MS, &left));
	assert_int_equal(left, 0);
}

static void add(struct usage_report *r, int64_t day, uint64_t model, int64_t cost)
{
	const struct usage_key key = { .key = 1, .model = model };
	const struct usage_row row = {
		.requests = 1, .cost_microusd = cost, .tokens = { 10, 4, 2, 1, 5, 0 }
	};

	assert_int_equal(usage_report_add(r, day, &key, &row, &err), ERR_OK);
}

static void usage_is_newest_first_and_then_by_model(void **state)
{
	struct usage_report r;

	(void)state;
	assert_int_equal(usage_report_init(&r, SLICE("day,model"), "by", &err), ERR_OK);
	add(&r, DAY - 1, 1, 900);
	add(&r, DAY, 2, 1);
	add(&r, DAY, 1, 2);
	assert_int_equal(usage_report_sort(&r, &err), ERR_OK);
	assert_int_equal(account_view_usage(&r, &names, &out, &err), ERR_OK);
	is("{\"usage\":[{\"date\":\"2026-11-21\",\"model\":\"model-1\",\"total_cost\":2,"
	   "\"request_count\":1,\"total_input_tokens\":10,\"total_output_tokens\":5,"
	   "\"total_cache_write_tokens\":3,\"total_cache_hit_tokens\":4},"
	   "{\"date\":\"2026-11-21\",\"model\":\"model-2\",\"total_cost\":1,"
	   "\"request_count\":1,\"total_input_tokens\":10,\"total_output_tokens\":5,"
	   "\"total_cache_write_tokens\":3,\"total_cache_hit_tokens\":4},"
	   "{\"date\":\"2026-11-20\",\"model\":\"model-1\",\"total_cost\":900,"
	   "\"request_count\":1,\"total_input_tokens\":10,\"total_output_tokens\":5,"
	   "\"total_cache_write_tokens\":3,\"total_cache_hit_tokens\":4}]}\n");
	usage_report_fini(&r);
	assert_int_equal(usage_report_init(&r, SLICE("day"), "by", &err), ERR_OK);
	add(&r, DAY, 2, 1);
	buf_reset(&out);
	assert_int_equal(account_view_usage(&r, &names, &out, &err), ERR_OK);
	has("{\"usage\":[{\"date\":\"2026-11-21\",\"total_cost\":1,");
	usage_report_fini(&r);
}

static void an_organisation_shows_its_policies_as_lists(void **state)
{
	struct people_org org = { .id = "0d3f4c1e-6a51-4c07-9b0f-2f1f5c1f2a77",
		.slug = "acme",
		.name = "Acme",
		.data_collection = PEOPLE_DATA_DENY,
		.models = "anthropic/*,openai/gpt-5.2",
		.providers_denied = "xai",
		.member_daily = { true, USD } };

	(void)state;
	account_view_org(&org, &out);
	is("{\"id\":\"0d3f4c1e-6a51-4c07-9b0f-2f1f5c1f2a77\",\"name\":\"Acme\",\"settings\":{"
	   "\"model_allow_list\":[\"anthropic/*\",\"openai/gpt-5.2\"],"
	   "\"provider_allow_list\":[],\"provider_deny_list\":[\"xai\"],"
	   "\"default_model\":null,\"data_collection\":\"deny\",\"enable_usage_limits\":true,"
	   "\"code_indexing_enabled\":false}}\n");
}

/* With nothing but the demonstration configured. */
static void only_what_is_allowed_is_offered(void **state)
{
	struct people_org org = { .slug = "acme" };
	struct identity who = { .org = &org, .role = PEOPLE_MEMBER };
	struct key_info key = { .id = "key_1" };
	struct conf *conf;
	struct catalog *c;

	(void)state;
	clearenv();
	setenv("GATEWAY_CATALOGUE", "conf", 1);
	setenv("GATEWAY_DEMO", "on", 1);
	assert_int_equal(conf_load(&conf, &err), ERR_OK);
	assert_int_equal(catalog_load(conf, &c, &err), ERR_OK);
	who.key = &key;
	account_view_models(c, &who, &out);
	has("{\"object\":\"list\",\"data\":[{");
	has("\"demo/echo:free\"");
	assert_null(strstr(out.data, "\"anthropic/"));
	buf_reset(&out);
	assert_int_equal(account_view_defaults(c, &who, &out, &err), ERR_OK);
	has("{\"defaultModel\":\"demo/");
	strcpy(org.models, "openai/*");
	buf_reset(&out);
	account_view_models(c, &who, &out);
	is("{\"object\":\"list\",\"data\":[]}\n");
	buf_reset(&out);
	assert_int_equal(account_view_defaults(c, &who, &out, &err), ERR_NOT_FOUND);
	assert_int_equal(err_status(&err), 409);
	assert_int_equal(out.len, 0);
	catalog_fini(c);
	conf_fini(conf);
}

static void a_token_comes_with_its_end(void **state)
{
	(void)state;
	account_view_token(SLICE("a.b.c"), NOW_MS, "0d3f4c1e-6a51-4c07-9b0f-2f1f5c1f2a77", &out);
	is("{\"token\":\"a.b.c\",\"expiresAt\":\"2026-11-21T12:00:00.000Z\","
	   "\"organizationId\":\"0d3f4c1e-6a51-4c07-9b0f-2f1f5c1f2a77\"}\n");
}

static void a_path_of_its_own_begins_at_any_slash_and_ends_there(void **state)
{
	static const struct {
		const char *path, *endpoint;
		bool takes_rest, is;
		const char *rest;
	} rows[] = {
		{ "/api/profile", "/api/profile", false, true, "" },
		{ "/~ana/gw/api/profile", "/api/profile", false, true, "" },
		{ "/api/profile/balance", "/api/profile", false, false, "" },
		{ "/api/profiles", "/api/profile", false, false, "" },
		{ "/api/organizations/x/models", "/api/organizations", true, true, "x/models" },
		{ "/api/organizationsx", "/api/organizations", true, false, "" },
		{ "", "/api/profile", false, false, "" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct slice rest = { 0 };

		print_message("  %s\n", rows[i].path);
		assert_int_equal(
			path_is_own(rows[i].path, rows[i].endpoint, rows[i].takes_rest, &rest),
			rows[i].is);
		if (rows[i].is)
			assert_true(slice_is(rest, rows[i].rest));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(credits_and_usage_are_those_of_the_balance, clean),
		cmocka_unit_test_teardown(a_key_shows_its_budget_in_its_own_window, clean),
		cmocka_unit_test_teardown(a_generation_tells_everything_that_its_line_says, clean),
		cmocka_unit_test_teardown(
			a_generation_lists_the_attempts_that_were_kept_else_what_its_line_knows,
			clean),
		cmocka_unit_test_teardown(
			a_profile_without_organisations_does_not_name_them, clean),
		cmocka_unit_test_teardown(what_may_be_spent_is_the_least_of_all_limits, clean),
		cmocka_unit_test_teardown(usage_is_newest_first_and_then_by_model, clean),
		cmocka_unit_test_teardown(an_organisation_shows_its_policies_as_lists, clean),
		cmocka_unit_test_teardown(only_what_is_allowed_is_offered, clean),
		cmocka_unit_test_teardown(a_token_comes_with_its_end, clean),
		cmocka_unit_test_teardown(
			a_path_of_its_own_begins_at_any_slash_and_ends_there, clean),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
