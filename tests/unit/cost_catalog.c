#include "tests/unit/catalog_env.h"

#include "base/json.h"

#include <stdio.h>
#include <string.h>

static const struct cost_table *prices(const struct env *env, const char *id)
{
	const struct catalog_model *m = catalog_model_find(env->catalog, slice_of(id));

	assert_non_null(m);
	return m->prices;
}

/* USD for a million tokens, as providers publish it, in picodollars for one. */
#define MILLION(usd) ((int64_t)((usd)*1000 + 0.5) * 1000)

static void published_prices_are_in_the_tables(void **state)
{
	static const struct {
		const char *id;
		int64_t prompt, completion, read, write, write_1h;
	} cases[] = {
		{ "openai/gpt-4.1", MILLION(2), MILLION(8), MILLION(0.5), MILLION(2), MILLION(2) },
		{ "openai/gpt-4o-mini", MILLION(0.15), MILLION(0.6), MILLION(0.075), MILLION(0.15),
			MILLION(0.15) },
		{ "openai/gpt-5-nano", MILLION(0.05), MILLION(0.4), MILLION(0.005), MILLION(0.05),
			MILLION(0.05) },
		{ "openai/gpt-oss-120b", MILLION(0.03), MILLION(0.15), MILLION(0.03), MILLION(0.03),
			MILLION(0.03) },
		{ "anthropic/claude-opus-4.1", MILLION(15), MILLION(75), MILLION(1.5),
			MILLION(18.75), MILLION(30) },
		{ "anthropic/claude-haiku-4.5", MILLION(1), MILLION(5), MILLION(0.1), MILLION(1.25),
			MILLION(2) },
		{ "z-ai/glm-5:free", 0, 0, 0, 0, 0 },
	};
	struct env env;

	(void)state;
	env_load(&env, NULL);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct cost_table *t = prices(&env, cases[i].id);

		print_message("%s\n", cases[i].id);
		assert_int_equal(t->base.prompt, cases[i].prompt);
		assert_int_equal(t->base.completion, cases[i].completion);
		assert_int_equal(t->base.reasoning, cases[i].completion);
		assert_int_equal(t->base.cache_read, cases[i].read);
		assert_int_equal(t->base.cache_write, cases[i].write);
		assert_int_equal(t->base.cache_write_1h, cases[i].write_1h);
	}
	env_fini(&env);
}

static void long_context_steps_are_in_the_tables(void **state)
{
	struct env env;
	const struct cost_table *t;

	(void)state;
	env_load(&env, NULL);
	t = prices(&env, "openai/gpt-5.4");
	assert_int_equal(t->steps_n, 1);
	assert_int_equal(t->steps[0].above_tokens, 272000);
	assert_int_equal(t->steps[0].rates.prompt, MILLION(5));
	assert_int_equal(t->steps[0].rates.completion, MILLION(22.5));
	assert_int_equal(t->steps[0].rates.cache_write, MILLION(5)); /* the step's prompt price */
	t = prices(&env, "google/gemini-2.5-pro");
	assert_int_equal(t->steps[0].above_tokens, 200000);
	assert_int_equal(t->steps[0].rates.cache_read, MILLION(0.25));
	assert_int_equal(prices(&env, "openai/gpt-4.1")->steps_n, 0);
	env_fini(&env);
}

/* What the file spells and what the table holds are the same amount, for every model. */
static void every_model_of_the_catalogue_has_its_price_exactly(void **state)
{
	struct json_object *tree, *models;
	struct env env;
	struct err e;

	(void)state;
	env_load(&env, NULL);
	assert_int_equal(json_read_file("conf/models.json", 1 << 20, &tree, &e), ERR_OK);
	models = json_object_object_get(tree, "models");
	assert_true(json_object_array_length(models) > 90);
	for (size_t i = 0; i < json_object_array_length(models); i++) {
		struct json_object *row = json_object_array_get_idx(models, i);
		const char *text = json_member_str(row, "price_prompt_usd_per_token", "");
		const struct cost_table *t = prices(&env, json_member_str(row, "id", ""));
		struct buf spelt = { 0 };

		print_message("%s\n", json_member_str(row, "id", ""));
		cost_write_usd((cost_wide)t->base.prompt, &spelt);
		assert_string_equal(buf_cstr(&spelt), text);
		buf_reset(&spelt);
		text = json_member_str(row, "price_completion_usd_per_token", "");
		cost_write_usd((cost_wide)t->base.completion, &spelt);
		assert_string_equal(buf_cstr(&spelt), text);
		assert_int_not_equal(t->version, 0);
		buf_fini(&spelt);
	}
	json_object_put(tree);
	env_fini(&env);
}

static char folder[] = "/tmp/tollgate-prices-XXXXXX";

static void write_file(const char *name, const char *text)
{
	char path[128];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	f = fopen(path, "w");
	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
}

#define PROVIDERS \
	"{\"version\":1,\"date\":\"2026-01-02\",\"router_suffixes\":[],\"patterns\":[]," \
	"\"providers\":[{\"slug\":\"p\",\"name\":\"P\",\"base_url\":\"http://p\"," \
	"\"chat_path\":\"/c\",\"models_path\":\"\",\"auth\":\"bearer\"," \
	"\"dialect\":\"openai\",\"key_names\":[\"P\"],\"doubles_1h\":true,\"listing\":{" \
	"\"headquarters\":\"X\",\"datacenters\":[],\"data_policy\":{\"training\":true," \
	"\"retains_prompts\":true,\"can_publish\":false},\"has_completions\":false," \
	"\"is_abortable\":false,\"is_multipart_supported\":false," \
	"\"moderation_required\":false,\"status_page_url\":null}}]}"
#define MODEL(more) \
	"{\"version\":1,\"date\":\"2026-01-02\",\"preferred\":[],\"models\":[{\"id\":\"a/b\"," \
	"\"provider\":\"p\",\"native_id\":\"b\",\"name\":\"B\",\"description\":\"d\"," \
	"\"created\":0,\"context_length\":1,\"max_output\":1,\"input_modalities\":[\"text\"]," \
	"\"output_modalities\":[\"text\"],\"supports_tools\":true," \
	"\"supports_reasoning\":false,\"price_prompt_usd_per_token\":\"0.1\"," \
	"\"price_completion_usd_per_token\":\"0.2\"," more "}]}"

static void prices_that_most_models_lack_are_read_too(void **state)
{
	const int64_t tenth = INT64_C(100000000000);
	const struct cost_table *t;
	struct env env;
	struct err e;

	(void)state;
	write_file("models.json",
		MODEL("\"price_request\":\"0.3\",\"price_image\":\"0.4\","
		      "\"price_reasoning\":\"0.5\",\"overrides\":[{\"min_prompt_tokens\":9,"
		      "\"price_cache_write_1h\":\"0.6\",\"price_reasoning\":\"0.7\"}]"));
	if (env_try(&env, folder, NULL, &e))
		fail_msg("%s", e.message);
	t = prices(&env, "a/b");
	assert_int_equal(t->request, 3 * tenth);
	assert_int_equal(t->image, 4 * tenth);
	assert_int_equal(t->base.reasoning, 5 * tenth);
	assert_int_equal(t->base.cache_write_1h, 2 * tenth);
	assert_int_equal(t->steps[0].rates.cache_write_1h, 6 * tenth);
	assert_int_equal(t->steps[0].rates.reasoning, 7 * tenth);
	env_fini(&env);
}

static void steps_out_of_order_or_beyond_the_limit_stop_the_start(void **state)
{
	static const struct {
		const char *models, *param, *says;
	} cases[] = {
		{ MODEL("\"overrides\":[{\"min_prompt_tokens\":9},{\"min_prompt_tokens\":8}]"),
			"overrides", "ascend" },
		{ MODEL("\"overrides\":[{\"min_prompt_tokens\":1},{\"min_prompt_tokens\":2},"
			"{\"min_prompt_tokens\":3},{\"min_prompt_tokens\":4},"
			"{\"min_prompt_tokens\":5},{\"min_prompt_tokens\":6},"
			"{\"min_prompt_tokens\":7}]"),
			"overrides", "too many" },
		{ MODEL("\"overrides\":[{\"min_prompt_tokens\":1,\"price_cache_read\":\"1e-6\"}]"),
			"price_cache_read", "expected a price" },
		{ MODEL("\"price_image\":\"1000.01\""), "price_image", "at most 1000" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct env env;
		struct err e;

		write_file("models.json", cases[i].models);
		assert_int_equal(env_try(&env, folder, NULL, &e), ERR_CONF);
		print_message("%s\n", e.message);
		assert_string_equal(e.param, cases[i].param);
		assert_non_null(strstr(e.message, cases[i].says));
		assert_non_null(strstr(e.message, "(a/b)"));
		env_fini(&env);
	}
}

static int set_up(void **state)
{
	(void)state;
	if (!mkdtemp(folder))
		return -1;
	write_file("providers.json", PROVIDERS);
	return 0;
}

static int tear_down(void **state)
{
	char path[128];

	(void)state;
	snprintf(path, sizeof(path), "%s/models.json", folder);
	remove(path);
	snprintf(path, sizeof(path), "%s/providers.json", folder);
	remove(path);
	return remove(folder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(published_prices_are_in_the_tables),
		cmocka_unit_test(long_context_steps_are_in_the_tables),
		cmocka_unit_test(every_model_of_the_catalogue_has_its_price_exactly),
		cmocka_unit_test(prices_that_most_models_lack_are_read_too),
		cmocka_unit_test(steps_out_of_order_or_beyond_the_limit_stop_the_start),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
