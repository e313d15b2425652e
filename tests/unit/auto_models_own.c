/* Auto models of the operator's own: GATEWAY_HOME/auto_models.json over the shipped file. */
#include "tests/unit/auto_ask.h"

#include "gateway/catalog_live.h"

#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static char home[] = "/tmp/tollgate-auto-XXXXXX";
static char home_setting[64];

static void write_own(const char *text)
{
	char path[128], aside[160];
	FILE *f;

	snprintf(path, sizeof(path), "%s/auto_models.json", home);
	snprintf(aside, sizeof(aside), "%s.new", path);
	if (!text) {
		unlink(path);
		return;
	}
	f = fopen(aside, "w");
	assert_non_null(f);
	assert_int_equal(chmod(aside, 0600), 0);
	fputs(text, f);
	assert_int_equal(fclose(f), 0);
	assert_int_equal(rename(aside, path), 0);
}

#define OWN(more, models) "{\"version\":1,\"date\":\"2026-12-24\"," more "\"models\":[" models "]}"
#define TEAM(rules)       "{\"id\":\"team/best\",\"aliases\":[\"best\"],\"rules\":[" rules "]}"

static void the_operators_file_adds_changes_and_hides(void **state)
{
	struct auto_choice choice;
	struct env env;

	(void)state;
	write_own(OWN("\"groups\":{\"writing\":[\"prose\",\"verse\"]},"
		      "\"features\":{\"poet\":\"verse\"},",
		TEAM("{\"modes\":[\"writing\",\"plan\"],\"models\":[\"" OPUS "\"],"
		     "\"verbosity\":\"max\",\"reasoning\":{\"effort\":\"high\"}},"
		     "{\"models\":[\"" KIMI "\",\"" M27
		     "\"]}") ","
			     "{\"id\":\"kilo-auto/balanced\",\"rules\":[{\"models\":[\"" SONNET
			     "\"]}]},"
			     "{\"id\":\"KILO-AUTO/frontier\",\"name\":\"Ours\"},"
			     "{\"id\":\"kilo-auto/free\",\"hidden\":true}"));
	env_load(&env, ENV(ALL_KEYS, home_setting));
	choice = choose(env.catalog, "kilocode/Team/Best", "prose");
	assert_string_equal(choice.id, "team/best");
	assert_string_equal(choice.model, OPUS);
	assert_int_equal(choice.chain_count, 0);
	assert_true(slice_is(choice.reasoning, "{\"effort\":\"high\"}"));
	assert_true(slice_is(choice.verbosity, "\"max\""));
	choice = choose(env.catalog, "best", "");
	assert_string_equal(choice.model, KIMI);
	assert_string_equal(choice.chain[0], M27);
	assert_string_equal(choose(env.catalog, "best", "plan").model, OPUS);
	assert_string_equal(choose(env.catalog, "best", "planning").model, KIMI);
	/* A table is replaced whole; what is not said stays as it was shipped. */
	assert_string_equal(choose(env.catalog, "kilo-auto/balanced", "plan").model, SONNET);
	assert_string_equal(choose(env.catalog, "kilo/auto", "plan").model, OPUS);
	assert_null(choose(env.catalog, "kilo-auto/free", "").id);
	assert_null(choose(env.catalog, "kilo/auto-free", "").id);
	assert_string_equal(choose(env.catalog, "kilo/auto-small", "").id, "kilo-auto/small");
	env_fini(&env);
	write_own(NULL);
}

static void a_bad_file_of_the_operator_is_refused_with_file_and_member(void **state)
{
	static const struct {
		const char *text;
		const char *in_message[3];
	} rows[] = {
		{ "{", { "auto_models.json" } },
		{ "{\"version\":1,\"date\":\"2026-12-24\"}", { "models", "missing" } },
		{ "{\"version\":2,\"date\":\"2026-12-24\",\"models\":[]}", { "version" } },
		{ OWN("\"groups\":{\"a\":\"plan\"},", ""), { "groups" } },
		{ OWN("\"groups\":{\"a\":[7]},", ""), { "groups" } },
		{ OWN("\"groups\":{\"a\":[\"\"]},", ""), { "groups" } },
		{ OWN("\"features\":{\"a\":[]},", ""), { "features" } },
		{ OWN("", "7"), { "models[0]", "object" } },
		{ OWN("", "{\"name\":\"x\"}"), { "models[0]", "id", "missing" } },
		{ OWN("", "{\"id\":\"a/b\"}"), { "(a/b)", "rules", "missing" } },
		{ OWN("", "{\"id\":\"a/b\",\"rules\":[]}"), { "(a/b)", "rules" } },
		{ OWN("", "{\"id\":\"a/b\",\"rule\":[]}"), { "(a/b)", "rule:" } },
		{ OWN("", "{\"id\":\"kilocode/b\",\"hidden\":false}"), { "id", "kilocode/" } },
		{ OWN("", TEAM("{\"models\":[\"" KIMI "\"]}") "," TEAM("7")),
			{ "models[1] (team/best)", "id", "twice" } },
		{ OWN("", "{\"id\":\"a/b\",\"aliases\":[\"kilo/AUTO\"]}"),
			{ "(a/b)", "aliases", "another" } },
		{ OWN("", "{\"id\":\"kilo/auto\",\"rules\":[]}"), { "id", "another" } },
		{ OWN("", TEAM("7")), { "rules[0] (team/best)", "object" } },
		{ OWN("", TEAM("{}")), { "rules[0]", "models", "missing" } },
		{ OWN("", TEAM("{\"models\":[]}")), { "models", "1 to 16" } },
		{ OWN("", TEAM("{\"models\":[\"kilo/auto\"]}")), { "models", "auto model" } },
		{ OWN("", TEAM("{\"models\":[\"a b\"]}")), { "models", "names" } },
		{ OWN("", TEAM("{\"models\":[\"a\"],\"reasoning\":true}")), { "reasoning" } },
		{ OWN("", TEAM("{\"models\":[\"a\"],\"verbosity\":1}")), { "verbosity" } },
		{ OWN("", TEAM("{\"models\":[\"a\"],\"modes\":[\"plan\"]}")),
			{ "rules[0]", "modes", "last" } },
		{ OWN("", TEAM("{\"models\":[\"a\"],\"balance\":true}")), { "balance", "last" } },
		{ OWN("", TEAM("{\"models\":[\"a\"]},{\"models\":[\"b\"]}")),
			{ "rules[0]", "modes", "last" } },
		{ OWN("", TEAM("{\"models\":[\"a\"],\"modes\":[]},{\"models\":[\"b\"]}")),
			{ "rules[0]", "modes", "empty" } },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct err e = { .message = "" };
		struct env env;

		print_message("%s\n", rows[i].text);
		write_own(rows[i].text);
		assert_int_equal(env_try(&env, NULL, ENV(home_setting), &e), ERR_CONF);
		print_message("  %s\n", e.message);
		assert_non_null(strstr(e.message, home));
		for (size_t k = 0; k < 3 && rows[i].in_message[k]; k++)
			assert_non_null(strstr(e.message, rows[i].in_message[k]));
		env_fini(&env);
	}
	write_own(NULL);
}

static const char *default_of(const struct catalog_copy *copy)
{
	return choose(copy->catalog, "kilo-auto/balanced", "").model;
}

static void a_change_is_used_a_second_later_and_a_broken_one_never(void **state)
{
	struct catalog_copy *copies[4];
	struct catalog_live *live;
	struct conf *conf;
	struct err e;

	(void)state;
	clearenv();
	putenv(home_setting);
	setenv("GATEWAY_CATALOGUE", "conf", 1);
	setenv("MINIMAX_API_KEY", "k", 1);
	setenv("MOONSHOT_API_KEY", "k", 1);
	assert_int_equal(conf_load(&conf, &e), ERR_OK);
	assert_int_equal(catalog_live_open(conf, 0, &live, &e), ERR_OK);
	copies[0] = catalog_live_take(live, 0);
	write_own(
		OWN("", "{\"id\":\"kilo-auto/balanced\",\"rules\":[{\"models\":[\"" KIMI "\"]}]}"));
	copies[1] = catalog_live_take(live, CATALOG_LIVE_LOOK_MS);
	write_own(OWN("", "{\"id\":\"kilo-auto/balanced\",\"rules\":[]}"));
	copies[2] = catalog_live_take(live, 2 * CATALOG_LIVE_LOOK_MS);
	write_own(NULL);
	copies[3] = catalog_live_take(live, 3 * CATALOG_LIVE_LOOK_MS);
	assert_string_equal(default_of(copies[0]), M27);
	assert_string_equal(default_of(copies[1]), KIMI);
	assert_string_equal(default_of(copies[2]), KIMI);
	assert_string_equal(default_of(copies[3]), M27);
	for (size_t i = 0; i < 4; i++)
		catalog_live_drop(live, copies[i]);
	catalog_live_close(live);
	conf_fini(conf);
}

static void the_example_of_the_documentation_works(void **state)
{
	static char text[65536];
	FILE *f = fopen("docs/catalogue.md", "r");
	const char *begin;
	char *end;
	struct env env;

	(void)state;
	assert_non_null(f);
	text[fread(text, 1, sizeof(text) - 1, f)] = '\0';
	assert_int_equal(fclose(f), 0);
	begin = strstr(text, "GATEWAY_HOME/auto_models.json`:");
	assert_non_null(begin);
	begin = strchr(begin, '{');
	end = strstr(begin, "```");
	assert_non_null(end);
	*end = '\0';
	write_own(begin);
	env_load(&env, ENV(ALL_KEYS, home_setting));
	assert_string_equal(choose(env.catalog, "best", "prose").model, OPUS);
	assert_string_equal(choose(env.catalog, "acme/best", "plan").model, "openai/gpt-5.2");
	assert_null(choose(env.catalog, "kilo/auto-free", "").id);
	env_fini(&env);
	write_own(NULL);
}

static int set_up(void **state)
{
	(void)state;
	if (!mkdtemp(home))
		return -1;
	snprintf(home_setting, sizeof(home_setting), "GATEWAY_HOME=%s", home);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	return rmdir(home);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_operators_file_adds_changes_and_hides),
		cmocka_unit_test(a_bad_file_of_the_operator_is_refused_with_file_and_member),
		cmocka_unit_test(a_change_is_used_a_second_later_and_a_broken_one_never),
		cmocka_unit_test(the_example_of_the_documentation_works),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
