/* Who else has a model: conf/equivalents.json, and the operator's own over it. */
#include "tests/unit/catalog_env.h"

#include "base/json.h"
#include "gateway/equivalents.h"

#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static char home[] = "/tmp/tollgate-same-XXXXXX";
static char home_setting[64];

static void write_own(const char *text)
{
	char path[128];
	FILE *f;

	snprintf(path, sizeof(path), "%s/equivalents.json", home);
	unlink(path);
	if (!text)
		return;
	f = fopen(path, "w");
	assert_non_null(f);
	assert_int_equal(chmod(path, 0600), 0);
	fputs(text, f);
	assert_int_equal(fclose(f), 0);
}

static int begin(void **state)
{
	(void)state;
	if (!mkdtemp(home))
		return -1;
	snprintf(home_setting, sizeof(home_setting), "GATEWAY_HOME=%s", home);
	return 0;
}

static int end(void **state)
{
	(void)state;
	write_own(NULL);
	return rmdir(home);
}

#define OWN(members)    "{\"version\":1,\"date\":\"2026-12-24\"," members "}"
#define MODEL(id, rows) "\"models\":[{\"id\":\"" id "\",\"at\":[" rows "]}]"
#define LLAMA           "meta-llama/llama-3.3-70b-instruct"

/* Everybody who serves a model, as "slug=native slug=native". */
static void check(const struct env *env, const char *model, const char *expected)
{
	struct route_way ways[24];
	struct buf got = { .max_bytes = 4096 };
	struct route r;
	struct err e;
	size_t n;

	print_message("%s\n", model);
	if (route_find(env->catalog, model, &r, &e))
		fail_msg("%s", e.message);
	n = equivalents_of(env->catalog, model, &r, ways, 24);
	for (size_t i = 0; i < n; i++)
		buf_printf(&got, "%s%s=%.*s", i ? " " : "", ways[i].provider->slug,
			SLICE_ARG(ways[i].native));
	assert_string_equal(buf_cstr(&got), expected);
	buf_fini(&got);
}

static void every_shipped_equivalent_is_of_a_model_and_provider_that_we_know(void **state)
{
	const char *id = NULL, *slug = NULL;
	struct json_object *tree, *models, *at;
	struct err e;

	(void)state;
	assert_int_equal(json_read_file("conf/equivalents.json", 1 << 20, &tree, &e), ERR_OK);
	models = json_object_object_get(tree, "models");
	assert_true(json_object_array_length(models) > 50);
	{
		struct env env;

		env_load(&env, NULL);
		for (size_t i = 0; i < json_object_array_length(models); i++) {
			struct json_object *row = json_object_array_get_idx(models, i);

			id = json_member_str(row, "id", "");
			print_message("%s\n", id);
			assert_non_null(catalog_model_find(env.catalog, slice_of(id)));
			at = json_object_object_get(row, "at");
			assert_true(json_object_array_length(at) > 0);
			for (size_t k = 0; k < json_object_array_length(at); k++) {
				slug = json_member_str(
					json_object_array_get_idx(at, k), "provider", "");
				assert_non_null(catalog_provider_find(env.catalog, slice_of(slug)));
			}
		}
		env_fini(&env);
	}
	json_object_put(tree);
}

static void the_operators_file_comes_before_the_shipped_one(void **state)
{
	struct env env;
	struct route r;

	(void)state;
	write_own(OWN(MODEL(LLAMA,
		"{\"provider\":\"rack\",\"native_id\":\"llama-70b\","
		"\"price_prompt_usd_per_token\":\"0.0000001\","
		"\"price_completion_usd_per_token\":\"0.0000002\"},"
		"{\"provider\":\"groq\",\"native_id\":\"llama-next\",\"also\":[\"llama-other\"],"
		"\"same_price\":true}") ",\"families\":[{\"prefix\":\"meta-llama/\",\"order\":["
					"\"groq\"],\"routers\":[\"Groq\",\"x\"]}]"));
	env_load(&env, ENV(home_setting, "GROQ_API_KEY=k", "CEREBRAS_API_KEY=k",
			       "RACK_BASE_URL=http://rack/v1", "OPENROUTER_API_KEY=k",
			       "GATEWAY_PROVIDERS=groq,cerebras,rack,openrouter"));
	check(&env, LLAMA,
		"groq=llama-next openrouter=" LLAMA " rack=llama-70b cerebras=llama-3.3-70b");
	check(&env, "groq/llama-other",
		"groq=llama-other openrouter=" LLAMA " rack=llama-70b cerebras=llama-3.3-70b");
	assert_string_equal(
		equivalents_hint(env.catalog, SLICE("kilocode/Meta-Llama/x")), "[\"Groq\",\"x\"]");
	assert_null(equivalents_hint(env.catalog, SLICE("openai/gpt-5")));
	assert_int_equal(route_find(env.catalog, "groq/llama-other", &r, NULL), ERR_OK);
	assert_true(r.named);
	assert_string_equal(r.model->id, LLAMA);
	assert_ptr_equal(r.prices, r.model->prices); /* the same price, it says */
	assert_int_equal(route_find(env.catalog, "rack/llama-70b", &r, NULL), ERR_OK);
	assert_int_equal(r.prices->base.prompt, 100000);
	assert_int_equal(r.prices->base.completion, 200000);
	env_fini(&env);
	write_own(NULL);
}

static void what_the_catalogue_does_not_know_may_come_back(void **state)
{
	struct env env;

	(void)state;
	write_own(OWN(MODEL("nobody/nothing",
		"{\"provider\":\"groq\",\"native_id\":\"x\",\"same_price\":true}")));
	env_load(&env, ENV(home_setting, "GROQ_API_KEY=k"));
	check(&env, LLAMA, "groq=llama-3.3-70b-versatile");
	env_fini(&env);
	write_own(NULL);
}

static void without_its_files_a_model_is_its_makers_and_the_routers(void **state)
{
	char folder[] = "/tmp/tollgate-bare-XXXXXX", path[160], here[1024];
	static const char *const files[] = { "models.json", "providers.json" };
	struct env env;
	struct err e;

	(void)state;
	assert_non_null(mkdtemp(folder));
	assert_non_null(getcwd(here, sizeof(here)));
	for (size_t i = 0; i < 2; i++) {
		char from[1200];

		snprintf(path, sizeof(path), "%s/%s", folder, files[i]);
		snprintf(from, sizeof(from), "%s/conf/%s", here, files[i]);
		assert_int_equal(symlink(from, path), 0);
	}
	if (env_try(&env, folder, ENV("GROQ_API_KEY=k", "OPENROUTER_API_KEY=k"), &e))
		fail_msg("%s", e.message);
	check(&env, LLAMA, "openrouter=" LLAMA);
	env_fini(&env);
	for (size_t i = 0; i < 2; i++) {
		snprintf(path, sizeof(path), "%s/%s", folder, files[i]);
		unlink(path);
	}
	assert_int_equal(rmdir(folder), 0);
}

static void a_bad_file_is_refused_with_entry_and_member(void **state)
{
#define ROW(members) "{\"provider\":\"groq\",\"native_id\":\"x\"" members "}"
	static const struct {
		const char *text, *words[2];
	} cases[] = {
		{ "{\"version\":2,\"date\":\"2026-12-24\"}", { "version", "only version 1" } },
		{ OWN("\"model\":[]"), { "model", "" } },
		{ OWN(MODEL(LLAMA, "{\"provider\":\"nobody\",\"native_id\":\"x\"}")),
			{ "models[0]", "nobody" } },
		{ OWN(MODEL(LLAMA, "{\"provider\":\"openrouter\",\"native_id\":\"x\"}")),
			{ "openrouter", "is a router" } },
		{ OWN(MODEL(LLAMA, "{\"provider\":\"groq\"}")), { "native_id", "" } },
		{ OWN(MODEL(LLAMA, ROW(",\"same_prices\":true"))), { "same_prices", "" } },
		{ OWN(MODEL(LLAMA, ROW(",\"price_prompt_usd_per_token\":\"1\""))),
			{ "groq", "only one of its prices" } },
		{ OWN(MODEL(LLAMA, ROW(",\"price_prompt_usd_per_token\":1"))),
			{ "price_prompt_usd_per_token", "" } },
		{ OWN(MODEL("minimax/minimax-m2.5:free", ROW(""))), { "id", "free" } },
		{ OWN("\"families\":[{\"prefix\":\"x/\",\"order\":[\"nobody\"]}]"),
			{ "families[0]", "unknown provider" } },
		{ OWN("\"families\":[{\"order\":[\"groq\"]}]"), { "families[0]", "prefix" } },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct env env;
		struct err e = { .message = "" };

		print_message("%s\n", cases[i].text);
		write_own(cases[i].text);
		assert_int_equal(env_try(&env, NULL, ENV(home_setting), &e), ERR_CONF);
		for (size_t k = 0; k < 2; k++)
			if (!strstr(e.message, cases[i].words[k]))
				fail_msg(
					"\"%s\" does not say \"%s\"", e.message, cases[i].words[k]);
		assert_non_null(strstr(e.message, home));
		env_fini(&env);
	}
	write_own(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_shipped_equivalent_is_of_a_model_and_provider_that_we_know),
		cmocka_unit_test(the_operators_file_comes_before_the_shipped_one),
		cmocka_unit_test(what_the_catalogue_does_not_know_may_come_back),
		cmocka_unit_test(without_its_files_a_model_is_its_makers_and_the_routers),
		cmocka_unit_test(a_bad_file_is_refused_with_entry_and_member),
	};

	return cmocka_run_group_tests(tests, begin, end);
}
