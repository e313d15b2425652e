#include "tests/unit/catalog_env.h"

#include "gateway/prices.h"
#include "gateway/route.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char home[] = "/tmp/tollgate-prices-XXXXXX";

#define SETTINGS "OPENROUTER_API_KEY=k", "XAI_API_KEY=k", "OLLAMA_BASE_URL=http://127.0.0.1/v1"

static void path_of(const char *name, char out[128])
{
	snprintf(out, 128, "%s/%s", home, name);
}

static int clean(void **state)
{
	static const char *const names[] = { "models.json", "prices.json", "prices.lock" };
	char path[128];

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		path_of(names[i], path);
		unlink(path);
	}
	return 0;
}

/* The catalogue with what lies over it in home. */
static enum err_code open_env(struct env *env, struct err *e)
{
	static char setting[128];
	static const char *const settings[] = { setting, SETTINGS, NULL };

	snprintf(setting, sizeof(setting), "GATEWAY_HOME=%s", home);
	return env_try(env, NULL, settings, e);
}

static void load(struct env *env)
{
	struct err e;

	if (open_env(env, &e))
		fail_msg("%s", e.message);
}

static const struct catalog_model *model(const struct env *env, const char *id)
{
	const struct catalog_model *m = catalog_model_find(env->catalog, slice_of(id));

	if (!m)
		fail_msg("no model %s", id);
	return m;
}

static void write_file(const char *name, const char *text, mode_t mode)
{
	char path[128];
	FILE *f;

	path_of(name, path);
	f = fopen(path, "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
	assert_int_equal(chmod(path, mode), 0);
}

struct list {
	const char *slug, *text;
};

/* Refreshes from these lists; gives the changes as lines "KIND id slug". */
static void refresh(
	const struct list *lists, size_t n, const char *day, bool apply, char *got, size_t size)
{
	static const char *const kinds[] = { "new", "changed", "gone", "back" };
	struct prices_plan plan;
	struct catalog *base;
	struct env env;
	struct err e;

	got[0] = '\0';
	load(&env);
	assert_int_equal(prices_load_base(env.conf, &base, &e), ERR_OK);
	assert_int_equal(prices_plan_init(&plan, base, day, &e), ERR_OK);
	for (size_t i = 0; i < n; i++) {
		const struct catalog_provider *p =
			catalog_provider_find(base, slice_of(lists[i].slug));
		struct prices_list l;

		if (prices_list_read(slice_of(lists[i].text),
			    base->providers_more[p - base->providers].list_unit, &l, &e))
			fail_msg("%s", e.message);
		assert_int_equal(prices_plan_add(&plan, p, &l, &e), ERR_OK);
		prices_list_fini(&l);
	}
	for (size_t i = 0; i < plan.count; i++)
		snprintf(got + strlen(got), size - strlen(got), "%s %s %s\n",
			kinds[plan.changes[i].kind], plan.changes[i].id, plan.changes[i].slug);
	if (apply && prices_plan_apply(&plan, env.conf, &e))
		fail_msg("%s", e.message);
	prices_plan_fini(&plan);
	catalog_fini(base);
	env_fini(&env);
}

#define REFRESH(day, apply, got, ...) \
	refresh((const struct list[]){ __VA_ARGS__ }, \
		sizeof((const struct list[]){ __VA_ARGS__ }) / sizeof(struct list), day, apply, \
		got, sizeof(got))

/* All models of the shipped catalogue that OpenRouter serves, one with another price. */
#define ROUTER(more) \
	"{\"has_more\":true,\"data\":[{\"id\":\"microsoft/phi-4\",\"pricing\":{\"prompt\":" \
	"\"0.0000009\",\"completion\":\"0.0000010\"}}" more "]}"

static void a_refresh_finds_what_is_new_and_what_costs_otherwise(void **state)
{
	char got[4096];
	struct env env;
	struct route r;
	struct err e;

	(void)state;
	REFRESH("2027-01-01", true, got,
		{ "openrouter",
			ROUTER(",{\"id\":\"new/thing\",\"name\":\"Thing\",\"pricing\":{"
			       "\"prompt\":\"0.000001\",\"completion\":\"0.000002\"}},"
			       "{\"id\":\"openai/gpt-5\",\"pricing\":{\"prompt\":\"0.0000015\","
			       "\"completion\":\"0.00001\"}},"
			       "{\"id\":\"some/unpriced\"}") });
	assert_string_equal(got, "changed microsoft/phi-4 openrouter\n"
				 "new new/thing openrouter\n"
				 "changed openai/gpt-5 openrouter\n");
	load(&env);
	assert_int_equal(model(&env, "microsoft/phi-4")->prices->base.prompt, 900000);
	assert_int_equal(model(&env, "new/thing")->prices->base.completion, 2000000);
	assert_int_equal(model(&env, "openai/gpt-5")->prices->base.prompt, 1500000);
	/* What the list did not say stays, and so does who serves it. */
	assert_int_equal(model(&env, "openai/gpt-5")->prices->base.cache_read, 125000);
	assert_string_equal(model(&env, "openai/gpt-5")->provider->slug, "openai");
	assert_null(catalog_model_find(env.catalog, SLICE("some/unpriced")));
	assert_int_equal(route_find(env.catalog, "new/thing", &r, &e), ERR_OK);
	assert_string_equal(r.target.slug, "openrouter");
	env_fini(&env);
}

static void the_same_lists_again_change_nothing(void **state)
{
	char got[4096];

	(void)state;
	for (int i = 0; i < 2; i++) {
		REFRESH("2027-01-01", true, got, { "openrouter", ROUTER("") });
		assert_string_equal(got, i ? "" : "changed microsoft/phi-4 openrouter\n");
	}
}

static void what_is_not_applied_changes_nothing(void **state)
{
	char got[4096], path[128];

	(void)state;
	REFRESH("2027-01-01", false, got, { "openrouter", ROUTER("") });
	assert_string_equal(got, "changed microsoft/phi-4 openrouter\n");
	path_of("models.json", path);
	assert_int_not_equal(access(path, F_OK), 0);
}

#define XAI(id, prompt) \
	"{\"id\":\"" id "\",\"prompt_text_token_price\":" prompt \
	",\"completion_text_token_price\":150000}"

static void what_a_provider_says_of_its_own_counts_more_than_a_router(void **state)
{
	static const char *const xai = "{\"models\":[" XAI("grok-4.5", "70000") "]}";
	char got[8192];
	struct env env;

	(void)state;
	REFRESH("2027-01-01", true, got, { "xai", xai },
		{ "openrouter", ROUTER(",{\"id\":\"x-ai/grok-4.5\",\"pricing\":{\"prompt\":"
				       "\"0.000009\",\"completion\":\"0.00001\"}}") });
	load(&env);
	assert_int_equal(model(&env, "x-ai/grok-4.5")->prices->base.prompt, 7000000);
	env_fini(&env);
}

static void a_model_that_is_not_listed_is_gone_until_it_is_listed_again(void **state)
{
	static const char *const few = "{\"models\":[" XAI("grok-4.5", "70000") "]}";
	static const char *const more = "{\"models\":[" XAI("grok-4.5", "70000") "," XAI(
		"grok-4.3", "70000") "," XAI("grok-9", "10") "]}";
	char got[4096];
	struct env env;
	struct route r;
	struct err e;
	struct buf text = { 0 };

	(void)state;
	REFRESH("2027-01-01", true, got, { "xai", few });
	assert_non_null(strstr(got, "gone x-ai/grok-4.3 xai\n"));
	load(&env);
	assert_true(model(&env, "x-ai/grok-4.3")->gone);
	assert_false(model(&env, "x-ai/grok-4.5")->gone);
	catalog_write_models(env.catalog, false, &text);
	assert_null(strstr(buf_cstr(&text), "\"x-ai/grok-4.3\""));
	assert_non_null(strstr(buf_cstr(&text), "\"x-ai/grok-4.5\""));
	/* The list may be wrong: who asks is not refused. */
	assert_int_equal(route_find(env.catalog, "x-ai/grok-4.3", &r, &e), ERR_OK);
	buf_fini(&text);
	env_fini(&env);
	REFRESH("2027-01-02", true, got, { "xai", more });
	assert_non_null(strstr(got, "back x-ai/grok-4.3 xai\n"));
	assert_non_null(strstr(got, "new x-ai/grok-9 xai\n"));
	assert_null(strstr(got, "gone"));
	load(&env);
	assert_false(model(&env, "x-ai/grok-4.3")->gone);
	assert_string_equal(model(&env, "x-ai/grok-9")->native_id, "grok-9");
	env_fini(&env);
}

static void what_is_installed_on_a_local_server_costs_nothing(void **state)
{
	char got[4096];
	struct env env;

	(void)state;
	REFRESH("2027-01-01", true, got,
		{ "ollama", "{\"data\":[{\"id\":\"llama3:latest\"},{\"id\":\"qwen9:7b\"}]}" });
	assert_non_null(strstr(got, "new ollama/qwen9:7b ollama\n"));
	assert_null(strstr(got, "gone ollama/llama3 ollama\n"));
	assert_non_null(strstr(got, "gone ollama/phi3 ollama\n"));
	load(&env);
	assert_int_equal(model(&env, "ollama/qwen9:7b")->prices->base.prompt, 0);
	env_fini(&env);
}

static void a_newer_release_takes_the_place_of_what_was_found_before(void **state)
{
	char got[4096];
	struct env env;

	(void)state;
	REFRESH("2001-01-01", true, got, { "openrouter", ROUTER("") });
	load(&env);
	assert_int_not_equal(model(&env, "microsoft/phi-4")->prices->base.prompt, 900000);
	env_fini(&env);
}

/* ---- the operator's word ---- */

static void say(const char *id, const char *prompt, bool forgets, int hidden)
{
	struct json_object *prices = json_object_new_object();
	struct prices_word w = {
		.id = id, .day = "2027-02-03", .forgets_prices = forgets, .hidden = hidden
	};
	struct env env;
	struct err e;

	if (prompt) {
		json_object_object_add(prices, prices_members[0], json_object_new_string(prompt));
		json_object_object_add(prices, prices_members[1], json_object_new_string("0.5"));
		w.prices = prices;
	}
	load(&env);
	if (prices_say(env.conf, &w, &e))
		fail_msg("%s", e.message);
	json_object_put(prices);
	env_fini(&env);
}

static void the_operators_prices_stay_through_a_refresh_and_can_be_reset(void **state)
{
	char got[4096], path[128];
	struct stat st;
	struct env env;

	(void)state;
	say("microsoft/phi-4", "0.25", false, 0);
	REFRESH("2027-03-01", true, got, { "openrouter", ROUTER("") });
	/* The difference is to what was known, not to the operator's word. */
	assert_string_equal(got, "changed microsoft/phi-4 openrouter\n");
	load(&env);
	assert_int_equal(model(&env, "microsoft/phi-4")->prices->base.prompt, 250000000000);
	env_fini(&env);
	path_of("prices.json", path);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	say("microsoft/phi-4", NULL, true, 0);
	load(&env);
	assert_int_equal(model(&env, "microsoft/phi-4")->prices->base.prompt, 900000);
	env_fini(&env);
}

static void a_set_price_replaces_all_that_the_model_had(void **state)
{
	struct env env;
	const struct cost_table *t;
	uint32_t before;

	(void)state;
	load(&env);
	before = model(&env, "anthropic/claude-sonnet-4.6")->prices->version;
	env_fini(&env);
	say("anthropic/claude-sonnet-4.6", "0.25", false, 0);
	load(&env);
	t = model(&env, "anthropic/claude-sonnet-4.6")->prices;
	assert_int_equal(t->base.cache_read, t->base.prompt);
	assert_int_equal(t->steps_n, 0);
	assert_int_not_equal(t->version, before);
	env_fini(&env);
}

static void a_hidden_model_is_neither_listed_nor_served(void **state)
{
	struct buf text = { 0 };
	struct env env;
	struct route r;
	struct err e;

	(void)state;
	say("microsoft/phi-4", NULL, false, 1);
	load(&env);
	catalog_write_models(env.catalog, true, &text);
	assert_null(strstr(buf_cstr(&text), "microsoft/phi-4"));
	assert_int_equal(route_find(env.catalog, "microsoft/phi-4", &r, &e), ERR_MODEL_NOT_FOUND);
	assert_null(strstr(e.message, "near it: microsoft/phi-4"));
	assert_int_equal(
		route_find(env.catalog, "microsoft/phi-4:nitro", &r, &e), ERR_MODEL_NOT_FOUND);
	buf_reset(&text);
	assert_int_equal(catalog_write_model(env.catalog, SLICE("microsoft/phi-4"), &text, &e),
		ERR_MODEL_NOT_FOUND);
	buf_fini(&text);
	env_fini(&env);
	say("microsoft/phi-4", NULL, false, -1);
	load(&env);
	assert_int_equal(route_find(env.catalog, "microsoft/phi-4", &r, &e), ERR_OK);
	env_fini(&env);
}

static void a_word_that_is_not_valid_changes_nothing(void **state)
{
	struct json_object *prices = json_object_new_object();
	struct prices_word w = { .id = "openai/gpt-5", .prices = prices, .day = "2027-01-01" };
	char path[128];
	struct env env;
	struct err e;

	(void)state;
	json_object_object_add(prices, prices_members[0], json_object_new_string("-1"));
	load(&env);
	assert_int_equal(prices_say(env.conf, &w, &e), ERR_CONF);
	path_of("prices.json", path);
	assert_int_not_equal(access(path, F_OK), 0);
	path_of("prices.try", path);
	assert_int_not_equal(access(path, F_OK), 0);
	json_object_put(prices);
	env_fini(&env);
}

static void broken_files_are_refused_by_name_and_member(void **state)
{
	static const struct {
		const char *name, *text, *word;
	} cases[] = { { "prices.json", "{", "prices.json" },
		{ "prices.json", "{\"version\":1,\"date\":\"2027-01-01\"}", "models" },
		{ "prices.json",
			"{\"version\":1,\"date\":\"2027-01-01\",\"models\":[{\"id\":\"openai/"
			"gpt-5\","
			"\"date\":\"2027-01-01\",\"prices\":{\"native_id\":\"x\"}}]}",
			"native_id" },
		{ "prices.json",
			"{\"version\":1,\"date\":\"2027-01-01\",\"models\":[{\"id\":\"openai/"
			"gpt-5\","
			"\"date\":\"2027-01-01\",\"prices\":{\"price_prompt_usd_per_token\":\"1\"}}"
			"]}",
			"price_completion_usd_per_token" },
		{ "prices.json",
			"{\"version\":1,\"date\":\"2027-01-01\",\"models\":[{\"id\":\"openai/"
			"gpt-5\","
			"\"date\":\"soon\"}]}",
			"date" },
		{ "models.json",
			"{\"version\":2,\"date\":\"2027-01-01\",\"gone\":[],\"models\":[]}",
			"version" },
		{ "models.json",
			"{\"version\":1,\"date\":\"2027-01-01\",\"gone\":[],\"models\":[{\"id\":"
			"\"x\","
			"\"provider\":\"openai\"}]}",
			"native_id" } };
	struct env env;
	struct err e;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		print_message("%s\n", cases[i].text);
		write_file(cases[i].name, cases[i].text, 0600);
		assert_int_equal(open_env(&env, &e), ERR_CONF);
		assert_non_null(strstr(e.message, cases[i].word));
		env_fini(&env);
		clean(NULL);
	}
	/* Whoever can write it decides what is paid. */
	write_file("prices.json", "{\"version\":1,\"date\":\"2027-01-01\",\"models\":[]}", 0666);
	assert_int_not_equal(open_env(&env, &e), ERR_OK);
	assert_non_null(strstr(e.message, "prices.json"));
	env_fini(&env);
}

static void rows_of_providers_that_are_no_more_are_passed_over(void **state)
{
	struct env env;

	(void)state;
	write_file("models.json",
		"{\"version\":1,\"date\":\"2027-01-01\",\"gone\":[\"no/"
		"such\"],\"models\":[{\"id\":\"x/y\","
		"\"provider\":\"closed-down\"}]}",
		0600);
	load(&env);
	assert_null(catalog_model_find(env.catalog, SLICE("x/y")));
	env_fini(&env);
}

static int set_up(void **state)
{
	(void)state;
	return mkdtemp(home) ? 0 : -1;
}

static int tear_down(void **state)
{
	clean(state);
	return rmdir(home);
}

#define TEST(name) cmocka_unit_test_setup(name, clean)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_refresh_finds_what_is_new_and_what_costs_otherwise),
		TEST(the_same_lists_again_change_nothing),
		TEST(what_is_not_applied_changes_nothing),
		TEST(what_a_provider_says_of_its_own_counts_more_than_a_router),
		TEST(a_model_that_is_not_listed_is_gone_until_it_is_listed_again),
		TEST(what_is_installed_on_a_local_server_costs_nothing),
		TEST(a_newer_release_takes_the_place_of_what_was_found_before),
		TEST(the_operators_prices_stay_through_a_refresh_and_can_be_reset),
		TEST(a_set_price_replaces_all_that_the_model_had),
		TEST(a_hidden_model_is_neither_listed_nor_served),
		TEST(a_word_that_is_not_valid_changes_nothing),
		TEST(broken_files_are_refused_by_name_and_member),
		TEST(rows_of_providers_that_are_no_more_are_passed_over),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
