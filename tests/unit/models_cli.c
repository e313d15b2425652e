#include "tests/unit/cli_run.h"

#include <fcntl.h>
#include <stdlib.h>

static char top[] = "/tmp/tollgate-models-XXXXXX";
static char home[64];

#define RUN(...) run(cli_models, WORDS("models", __VA_ARGS__))

static void misuse_is_named_and_changes_nothing(void **state)
{
	static const struct {
		const char *words[7], *named;
	} cases[] = { { { "models", "set-price", "openai/gpt-5" }, "--completion" },
		{ { "models", "set-price", "openai/gpt-5", "--prompt", "1" }, "--completion" },
		{ { "models", "set-price", "openai/gpt-5", "--reset", "--prompt", "1" },
			"--reset" },
		{ { "models", "refresh", "--yes", "--dry-run" }, "--dry-run" },
		{ { "models", "refresh", "--provider", "openai" }, "openai" },
		{ { "models", "list", "--all", "--provider", "openai" }, "--provider" },
		{ { "models", "list", "--provider", "nobody" }, "nobody" },
		{ { "models", "list", "--yes" }, "--yes" }, { { "models", "hide" }, "ID" },
		{ { "models", "destroy" }, "destroy" }, { { "models" }, "refresh" } };
	char path[128];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		print_message("%s\n", cases[i].named);
		assert_int_equal(run(cli_models, cases[i].words), CLI_USAGE);
		has(cases[i].named);
	}
	snprintf(path, sizeof(path), "%s/prices.json", home);
	assert_int_not_equal(access(path, F_OK), 0);
}

static void prices_are_read_for_a_million_tokens_and_kept_for_one(void **state)
{
	static const char *const bad[] = { "", "x", "-1", "1usd", "1,5", "1001000000", ".5" };

	(void)state;
	assert_int_equal(RUN("set-price", "OpenAI/GPT-5", "--prompt", "2.50", "--completion",
				 "0.000001", "--cache-read=0", "--request", "0.01"),
		CLI_OK);
	has("openai/gpt-5");
	assert_int_equal(RUN("show", "openai/gpt-5", "--json"), CLI_OK);
	has("\"price_prompt_usd_per_token\":\"0.0000025\"");
	has("\"price_completion_usd_per_token\":\"0.000000000001\"");
	has("\"price_cache_read\":\"0\"");
	has("\"price_cache_write\":null");
	has("\"price_request\":\"0.01\"");
	has("\"price_source\":\"operator\"");
	has("\"price_version\":\"");
	assert_int_equal(RUN("show", "openai/gpt-5"), CLI_OK);
	has("$2.5 for a million tokens");
	has("$0.01 for a request");
	has("the operator");
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		print_message("%s\n", bad[i]);
		assert_int_equal(
			RUN("set-price", "openai/gpt-5", "--prompt", bad[i], "--completion", "1"),
			CLI_FAILED);
		has("--prompt");
	}
	assert_int_equal(RUN("set-price", "openai/gpt-5", "--reset"), CLI_OK);
	assert_int_equal(RUN("show", "openai/gpt-5", "--json"), CLI_OK);
	has("\"price_source\":\"catalogue\"");
}

static void hidden_models_are_shown_as_such_until_they_are_unhidden(void **state)
{
	(void)state;
	setenv("OPENAI_API_KEY", "sk-secret", 1);
	assert_int_equal(RUN("list"), CLI_OK);
	has("openai/gpt-5.2 ");
	assert_int_equal(RUN("hide", "openai/gpt-5.2"), CLI_OK);
	assert_int_equal(RUN("list"), CLI_OK);
	assert_null(strstr(out, "openai/gpt-5.2 "));
	assert_int_equal(RUN("list", "--all"), CLI_OK);
	has("openai/gpt-5.2 ");
	has("hidden");
	assert_int_equal(RUN("unhide", "openai/gpt-5.2"), CLI_OK);
	assert_int_equal(RUN("list", "--provider", "openai"), CLI_OK);
	has("openai/gpt-5.2 ");
	assert_null(strstr(out, "hidden"));
	assert_null(strstr(out, "sk-secret"));
}

static void an_unknown_model_is_answered_with_near_ids(void **state)
{
	(void)state;
	assert_int_equal(RUN("show", "opnai/gpt-5.2"), CLI_FAILED);
	has("openai/gpt-5.2");
	assert_int_equal(RUN("hide", "nothing-like-it"), CLI_FAILED);
}

static void without_a_provider_a_refresh_says_so_and_changes_nothing(void **state)
{
	(void)state;
	unsetenv("OPENAI_API_KEY");
	assert_int_equal(RUN("refresh", "--yes"), CLI_OK);
	has("No configured provider");
}

static void a_provider_that_does_not_answer_is_named_without_its_key(void **state)
{
	char path[128];

	(void)state;
	setenv("OPENAI_API_KEY", "sk-secret", 1);
	setenv("OPENAI_BASE_URL", "http://127.0.0.1:1/v1", 1);
	assert_int_equal(RUN("refresh", "--yes"), CLI_FAILED);
	has("openai");
	has("failed");
	assert_null(strstr(out, "sk-secret"));
	snprintf(path, sizeof(path), "%s/models.json", home);
	assert_int_not_equal(access(path, F_OK), 0);
}

static int set_up(void **state)
{
	(void)state;
	if (!mkdtemp(top) || clearenv() != 0)
		return -1;
	snprintf(home, sizeof(home), "%s/home", top);
	setenv("GATEWAY_CATALOGUE", "conf", 1);
	return setenv("GATEWAY_HOME", home, 1);
}

static int tear_down(void **state)
{
	static const char *const names[] = { "prices.json", "prices.lock" };
	char path[128];

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", home, names[i]);
		unlink(path);
	}
	rmdir(home);
	return rmdir(top);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(misuse_is_named_and_changes_nothing),
		cmocka_unit_test(prices_are_read_for_a_million_tokens_and_kept_for_one),
		cmocka_unit_test(hidden_models_are_shown_as_such_until_they_are_unhidden),
		cmocka_unit_test(an_unknown_model_is_answered_with_near_ids),
		cmocka_unit_test(without_a_provider_a_refresh_says_so_and_changes_nothing),
		cmocka_unit_test(a_provider_that_does_not_answer_is_named_without_its_key),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
