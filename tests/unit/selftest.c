/* What a self-test adds to a catalogue, and who sees it. */
#include "tests/unit/catalog_env.h"

#include "base/clock.h"
#include "base/log.h"
#include "gateway/equivalents.h"
#include "gateway/policy.h"
#include "gateway/rescue.h"
#include "gateway/selftest.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char home[] = "/tmp/tollgate-selftest-XXXXXX";
static char home_setting[64];
static const char secret[] = "0123456789abcdef";

/* An OpenAI key, and a router, which says that it has whatever nobody else has. */
#define AT_HOME(...) ENV(home_setting, "OPENAI_API_KEY=k", "OPENROUTER_API_KEY=k", __VA_ARGS__)

static void announce(int64_t until_ms)
{
	static const struct selftest_model models[] = {
		{ "reset", { 0, 1 }, 2, true },
		{ "refused", { 3, 1 }, 2, false },
		{ "alone", { 2 }, 1, false },
	};
	const struct selftest_site site = { .ports = { 5001, 5001, 5001, 5002 },
		.secret = secret,
		.until_ms = until_ms,
		.models = models,
		.model_count = 3 };
	struct err e;

	if (selftest_announce(home, &site, clock_wall_ms(), &e))
		fail_msg("%s", e.message);
}

static void withdraw(void)
{
	struct err e;

	if (selftest_withdraw(home, &e))
		fail_msg("%s", e.message);
}

/* "selftest-a selftest-b", as they are asked. */
static void check_ways(const struct catalog *c, const char *model, const char *expected)
{
	struct route_way ways[8];
	struct route r;
	char seen[256] = "";
	struct err e;
	size_t n;

	if (route_find(c, model, &r, &e))
		fail_msg("%s", e.message);
	n = equivalents_of(c, model, &r, ways, 8);
	for (size_t i = 0; i < n; i++) {
		strncat(seen, i ? " " : "", sizeof(seen) - strlen(seen) - 1);
		strncat(seen, ways[i].provider->slug, sizeof(seen) - strlen(seen) - 1);
	}
	assert_string_equal(seen, expected);
}

static void check_unknown(const struct catalog *c, const char *model)
{
	struct route r;
	struct err e;

	assert_int_not_equal(route_find(c, model, &r, &e), ERR_OK);
}

static void its_models_are_at_its_providers_and_nowhere_else(void **state)
{
	struct env env;
	struct route r;
	struct err e;

	(void)state;
	announce(clock_wall_ms() + 60000);
	env_load(&env, AT_HOME(NULL));
	check_ways(env.catalog, "selftest/reset", "selftest-a selftest-b");
	check_ways(env.catalog, "selftest/refused", "selftest-closed selftest-b");
	check_ways(env.catalog, "SelfTest/Alone", "selftest-c");
	assert_int_equal(route_find(env.catalog, "selftest/refused", &r, &e), ERR_OK);
	assert_string_equal(r.target.base_url, "http://127.0.0.1:5002/3");
	assert_string_equal(r.target.native_id, "refused");
	assert_string_equal(r.target.api_key, secret);
	assert_false(r.target.prefill);
	assert_non_null(r.prices);
	assert_int_equal(r.prices->base.prompt, 0);
	assert_int_equal(r.prices->base.completion, 0);
	assert_int_equal(route_find(env.catalog, "selftest/reset", &r, &e), ERR_OK);
	assert_true(rescue_takes_prefill(&r.target));
	assert_false(r.free); /* so nobody has it without a key */
	env_fini(&env);
	withdraw();
}

static void nobody_lists_or_finds_it_by_another_name(void **state)
{
	struct buf text = { .max_bytes = 0 };
	struct env env, without;
	struct route r;
	struct err e;

	(void)state;
	env_load(&without, AT_HOME(NULL));
	announce(clock_wall_ms() + 60000);
	env_load(&env, AT_HOME(NULL));
	catalog_write_models(env.catalog, true, &text);
	catalog_write_providers(env.catalog, true, &text);
	catalog_write_models_by_provider(env.catalog, true, &text);
	assert_true(buf_ok(&text));
	assert_null(memmem(text.data, text.len, "selftest", 8));
	buf_reset(&text);
	assert_int_equal(catalog_write_model(env.catalog, SLICE("selftest/reset"), &text, &e),
		ERR_MODEL_NOT_FOUND);
	buf_fini(&text);
	assert_int_equal(catalog_model_count(env.catalog), catalog_model_count(without.catalog));
	assert_int_equal(
		catalog_provider_count(env.catalog), catalog_provider_count(without.catalog));
	assert_null(catalog_provider_find(env.catalog, SLICE("selftest-a")));
	/* With routers whatever nobody knows is theirs. */
	assert_int_equal(route_find(env.catalog, "selftest-a/reset", &r, &e), ERR_OK);
	assert_string_equal(r.target.slug, "openrouter");
	env_fini(&env);
	env_load(&env, ENV(home_setting, "OPENAI_API_KEY=k"));
	check_unknown(env.catalog, "reset");
	check_unknown(env.catalog, "selftest-a/reset");
	/* A near miss does not tell. */
	assert_int_equal(route_find(env.catalog, "selftest/rese", &r, &e), ERR_MODEL_NOT_FOUND);
	assert_null(strstr(e.message, "selftest/reset"));
	env_fini(&env);
	env_fini(&without);
	withdraw();
}

/* A process that has not seen the test's file yet asks no router, which would know any name. */
static void without_a_test_its_models_are_nowhere(void **state)
{
	struct env env;

	(void)state;
	env_load(&env, AT_HOME(NULL));
	check_ways(env.catalog, "somebody/else", "openrouter");
	check_unknown(env.catalog, "selftest/reset");
	check_unknown(env.catalog, "kilocode/SelfTest/reset");
	env_fini(&env);
}

static void everything_else_is_as_it_was(void **state)
{
	struct env env;

	(void)state;
	announce(clock_wall_ms() + 60000);
	env_load(&env, AT_HOME("AZURE_OPENAI_API_KEY=k", "AZURE_RESOURCE_NAME=r"));
	check_ways(env.catalog, "openai/gpt-5.2", "openai azure openrouter");
	env_fini(&env);
	withdraw();
}

static void it_ends_when_it_is_withdrawn_or_its_time_has_come(void **state)
{
	struct env env;

	(void)state;
	announce(clock_wall_ms() + 60000);
	withdraw();
	withdraw(); /* twice is no error */
	env_load(&env, ENV(home_setting));
	check_unknown(env.catalog, "selftest/reset");
	env_fini(&env);
	announce(clock_wall_ms() - 1);
	env_load(&env, ENV(home_setting));
	check_unknown(env.catalog, "selftest/reset");
	env_fini(&env);
	withdraw();
}

static void write_file(const char *text)
{
	char path[128];
	FILE *f;

	snprintf(path, sizeof(path), "%s/" SELFTEST_FILE, home);
	f = fopen(path, "w");
	assert_non_null(f);
	assert_int_equal(chmod(path, 0600), 0);
	fputs(text, f);
	assert_int_equal(fclose(f), 0);
}

#define HEAD \
	"{\"version\":1,\"date\":\"2026-11-21\",\"until_ms\":9999999999999,\"secret\":\"s\"," \
	"\"providers\":["
#define PROVIDER "{\"slug\":\"selftest-a\",\"base_url\":\"http://127.0.0.1:5001/0\"}"
#define MODEL    "{\"id\":\"selftest/ok\",\"at\":[\"selftest-a\"]}"

static void a_file_that_is_wrong_counts_as_none(void **state)
{
	static const struct {
		const char *why, *text;
		bool good;
	} rows[] = {
		{ "as it should be", HEAD PROVIDER "],\"models\":[" MODEL "]}", true },
		{ "no JSON", "{", false },
		{ "empty", "", false },
		{ "another host",
			HEAD "{\"slug\":\"selftest-a\",\"base_url\":\"http://127.0.0.1.evil/\"}],"
			     "\"models\":[" MODEL "]}",
			false },
		{ "a host behind a user",
			HEAD "{\"slug\":\"selftest-a\",\"base_url\":\"http://127.0.0.1:1@evil/\"}],"
			     "\"models\":[" MODEL "]}",
			false },
		{ "a provider of another name",
			HEAD "{\"slug\":\"openai\",\"base_url\":\"http://127.0.0.1:5001\"}],"
			     "\"models\":[" MODEL "]}",
			false },
		{ "a model of another name",
			HEAD PROVIDER "],\"models\":[" MODEL
				      ",{\"id\":\"openai/gpt-5\",\"at\":[\"selftest-a\"]}]}",
			false },
		{ "a model at nobody",
			HEAD PROVIDER "],\"models\":[" MODEL ",{\"id\":\"selftest/x\",\"at\":[]}]}",
			false },
		{ "a model at a real provider",
			HEAD PROVIDER "],\"models\":[" MODEL
				      ",{\"id\":\"selftest/x\",\"at\":[\"openai\"]}]}",
			false },
		{ "a model at too many",
			HEAD PROVIDER
			"],\"models\":[" MODEL ",{\"id\":\"selftest/x\",\"at\":[\"selftest-a\","
			"\"selftest-a\",\"selftest-a\",\"selftest-a\",\"selftest-a\"]}"
			"]}",
			false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct env env;

		print_message("%s\n", rows[i].why);
		write_file(rows[i].text);
		env_load(&env, ENV(home_setting, "OPENAI_API_KEY=k"));
		if (rows[i].good)
			check_ways(env.catalog, "selftest/ok", "selftest-a");
		else
			check_unknown(env.catalog, "selftest/ok");
		check_ways(env.catalog, "openai/gpt-5", "openai");
		env_fini(&env);
	}
	withdraw();
}

static void only_a_key_that_names_it_may_have_it(void **state)
{
	static const struct {
		const char *models;
		bool allowed;
	} rows[] = { { "selftest/*", true }, { "selftest/ok", true }, { "", false },
		{ "openai/*", false } };

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct key_info key = { .id = "key_0123456789ab" };
		struct identity who = { .key = &key };

		print_message("\"%s\"\n", rows[i].models);
		strcpy(key.models, rows[i].models);
		assert_int_equal(policy_model(&who, SLICE("selftest/ok"), NULL),
			rows[i].allowed ? ERR_OK : ERR_FORBIDDEN);
		assert_int_equal(policy_model(&who, SLICE(" SelfTest/ok"), NULL),
			rows[i].allowed ? ERR_OK : ERR_FORBIDDEN);
	}
	assert_int_equal(
		policy_model(&(struct identity){ .key = NULL }, SLICE("selftest/ok"), NULL),
		ERR_FORBIDDEN);
}

static int set_up(void **state)
{
	struct err e;

	(void)state;
	if (!mkdtemp(home))
		return -1;
	snprintf(home_setting, sizeof(home_setting), "GATEWAY_HOME=%s", home);
	return log_open("/dev/null", "test", &e) ? -1 : 0;
}

static int tear_down(void **state)
{
	(void)state;
	return rmdir(home);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(its_models_are_at_its_providers_and_nowhere_else),
		cmocka_unit_test(nobody_lists_or_finds_it_by_another_name),
		cmocka_unit_test(without_a_test_its_models_are_nowhere),
		cmocka_unit_test(everything_else_is_as_it_was),
		cmocka_unit_test(it_ends_when_it_is_withdrawn_or_its_time_has_come),
		cmocka_unit_test(a_file_that_is_wrong_counts_as_none),
		cmocka_unit_test(only_a_key_that_names_it_may_have_it),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
