#include "tests/unit/catalog_env.h"

#include "base/json.h"

#include <string.h>

#define AUTO_MODELS 4 /* of conf/auto_models.json */

enum listing { MODELS, PROVIDERS, GROUPS };

static struct json_object *listing(const struct env *env, enum listing which, bool all)
{
	struct json_object *tree;
	struct buf text = { 0 };
	struct err e;

	if (which == MODELS)
		catalog_write_models(env->catalog, all, &text);
	else if (which == PROVIDERS)
		catalog_write_providers(env->catalog, all, &text);
	else
		catalog_write_models_by_provider(env->catalog, all, &text);
	assert_true(buf_ok(&text));
	if (json_read(buf_slice(&text), 64, &tree, &e))
		fail_msg("%s", e.message);
	buf_fini(&text);
	return tree;
}

static struct json_object *get(struct json_object *o, const char *name)
{
	struct json_object *v;

	print_message("  %s\n", name);
	assert_true(json_object_object_get_ex(o, name, &v));
	return v;
}

static struct json_object *at(struct json_object *list, size_t i)
{
	return json_object_array_get_idx(list, i);
}

static size_t count(struct json_object *list)
{
	return json_object_array_length(list);
}

static const char *text(struct json_object *o, const char *name)
{
	assert_true(json_object_is_type(get(o, name), json_type_string));
	return json_object_get_string(get(o, name));
}

static struct json_object *with(struct json_object *list, const char *member, const char *value)
{
	for (size_t i = 0; i < count(list); i++)
		if (strcmp(json_member_str(at(list, i), member, ""), value) == 0)
			return at(list, i);
	fail_msg("nothing has %s %s", member, value);
	return NULL;
}

struct member {
	const char *name;
	enum json_type type, other;
};

static void has_members(struct json_object *o, const struct member *members)
{
	for (; members->name; members++) {
		enum json_type type = json_object_get_type(get(o, members->name));

		assert_true(type == members->type || type == members->other);
	}
}

#define ONE(name, type) \
	{ \
		name, json_type_##type, json_type_##type \
	}
#define TWO(name, type, alt) \
	{ \
		name, json_type_##type, json_type_##alt \
	}

static void without_keys_the_two_demonstration_models_are_listed_and_no_others(void **state)
{
	struct json_object *tree, *data;
	struct env env;

	(void)state;
	env_load(&env, NULL);
	tree = listing(&env, MODELS, false);
	assert_string_equal(text(tree, "object"), "list");
	data = get(tree, "data");
	assert_int_equal(count(data), 2);
	assert_string_equal(text(at(data, 0), "id"), "demo/echo:free");
	assert_string_equal(text(at(data, 1), "id"), "demo/story:free");
	assert_non_null(strstr(text(at(data, 0), "name"), "DEMONSTRATION"));
	assert_non_null(strstr(text(at(data, 1), "description"), "DEMONSTRATION"));
	json_object_put(tree);
	env_fini(&env);
}

static void a_model_has_every_member_of_the_schema(void **state)
{
	static const struct member members[] = { ONE("id", string), ONE("object", string),
		ONE("owned_by", string), ONE("name", string), ONE("created", int),
		ONE("description", string), ONE("context_length", int),
		ONE("canonical_slug", string), ONE("architecture", object),
		ONE("top_provider", object), ONE("pricing", object),
		TWO("per_request_limits", null, object), ONE("supported_parameters", array),
		ONE("default_parameters", object), ONE("isFree", boolean), { 0 } };
	static const struct member architecture[] = { ONE("input_modalities", array),
		ONE("output_modalities", array), ONE("tokenizer", string), ONE("modality", string),
		TWO("instruct_type", null, string), { 0 } };
	static const struct member top[] = { ONE("is_moderated", boolean),
		TWO("context_length", int, null), TWO("max_completion_tokens", int, null), { 0 } };
	static const struct member pricing[] = { ONE("prompt", string), ONE("completion", string),
		ONE("image", string), ONE("request", string), ONE("web_search", string),
		ONE("internal_reasoning", string), { 0 } };
	struct json_object *tree, *data;
	struct env env;

	(void)state;
	env_load(&env, NULL);
	tree = listing(&env, MODELS, true);
	data = get(tree, "data");
	assert_int_equal(count(data), catalog_model_count(env.catalog) + AUTO_MODELS);
	for (size_t i = 0; i < count(data); i++) {
		print_message("%s\n", json_member_str(at(data, i), "id", "?"));
		has_members(at(data, i), members);
		has_members(get(at(data, i), "architecture"), architecture);
		has_members(get(at(data, i), "top_provider"), top);
		has_members(get(at(data, i), "pricing"), pricing);
		assert_string_equal(text(at(data, i), "object"), "model");
	}
	json_object_put(tree);
	env_fini(&env);
}

static void price_strings_pass_through_byte_for_byte(void **state)
{
	struct json_object *tree, *m, *pricing, *over;
	struct env env;

	(void)state;
	env_load(&env, NULL);
	tree = listing(&env, MODELS, true);
	m = with(get(tree, "data"), "id", "openai/gpt-5.4");
	pricing = get(m, "pricing");
	assert_string_equal(text(pricing, "prompt"), "0.0000025");
	assert_string_equal(text(pricing, "completion"), "0.000015");
	assert_string_equal(text(pricing, "input_cache_read"), "0.00000025");
	assert_false(json_object_object_get_ex(pricing, "input_cache_write", NULL));
	over = at(get(pricing, "overrides"), 0);
	assert_int_equal(json_member_int(over, "min_prompt_tokens", 0), 272000);
	assert_string_equal(text(over, "prompt"), "0.000005");
	assert_string_equal(text(over, "completion"), "0.0000225");
	assert_string_equal(text(over, "input_cache_read"), "0.0000005");
	json_object_put(tree);
	env_fini(&env);
}

static void free_models_say_so_in_the_name_once_and_in_a_member(void **state)
{
	struct json_object *tree, *data, *m;
	struct env env;

	(void)state;
	env_load(&env, NULL);
	tree = listing(&env, MODELS, true);
	data = get(tree, "data");
	for (size_t i = 0; i < count(data); i++) {
		const char *name = text(at(data, i), "name");
		const char *suffix = strstr(name, "(free)");

		print_message("%s\n", name);
		assert_null(suffix ? strstr(suffix + 1, "(free)") : NULL);
	}
	m = with(data, "id", "minimax/minimax-m2.5:free");
	assert_true(json_object_get_boolean(get(m, "isFree")));
	assert_non_null(strstr(text(m, "name"), "ree)"));
	m = with(data, "id", "minimax/minimax-m2.5");
	assert_false(json_object_get_boolean(get(m, "isFree")));
	assert_null(strstr(text(m, "name"), "ree)"));
	json_object_put(tree);
	env_fini(&env);
}

static void preferred_models_come_first_by_their_index(void **state)
{
	struct json_object *tree, *data;
	int64_t last = 0;
	bool past = false;
	struct env env;

	(void)state;
	env_load(&env, NULL);
	tree = listing(&env, MODELS, true);
	data = get(tree, "data");
	for (size_t i = 0; i < AUTO_MODELS; i++)
		assert_int_equal(json_member_int(at(data, i), "preferredIndex", 0), -1);
	assert_string_equal(text(at(data, AUTO_MODELS), "id"), "minimax/minimax-m2.5:free");
	for (size_t i = AUTO_MODELS; i < count(data); i++) {
		int64_t index = json_member_int(at(data, i), "preferredIndex", 0);

		assert_false(past && index);
		past = index == 0;
		assert_true(past || index > last);
		last = index;
	}
	assert_true(past);
	json_object_put(tree);
	env_fini(&env);
}

static void only_models_that_are_served_are_listed_and_no_embeddings(void **state)
{
	struct json_object *tree, *data;
	struct env env;

	(void)state;
	env_load(&env, ENV("OPENAI_API_KEY=k"));
	tree = listing(&env, MODELS, false);
	data = get(tree, "data");
	assert_int_equal(count(data), 19 + AUTO_MODELS - 1); /* no free one */
	for (size_t i = 0; i < count(data); i++) {
		assert_string_equal(text(at(data, i), "owned_by"), i < 3 ? "kilo-auto" : "openai");
		assert_null(strstr(text(at(data, i), "id"), "embedding"));
	}
	json_object_put(tree);
	env_fini(&env);
}

static void a_router_alone_lists_what_it_serves_for_others(void **state)
{
	struct json_object *tree, *data;
	struct env env;

	(void)state;
	env_load(&env, ENV("OPENROUTER_API_KEY=k"));
	tree = listing(&env, MODELS, false);
	data = get(tree, "data");
	assert_non_null(with(data, "id", "anthropic/claude-sonnet-4.6"));
	for (size_t i = 0; i < count(data); i++) {
		const char *id = text(at(data, i), "id");

		/* The maker's free ones are not the router's. */
		assert_int_equal(json_object_get_boolean(get(at(data, i), "isFree")),
			strcmp(id, "openai/gpt-oss-20b:free") == 0 ||
				strcmp(id, "kilo-auto/free") == 0);
		assert_int_not_equal(strncmp(id, "ollama/", 7), 0);
		assert_int_not_equal(strncmp(id, "demo/", 5), 0);
	}
	json_object_put(tree);
	env_fini(&env);
}

static void auto_models_are_listed_as_the_contract_describes_them(void **state)
{
	static const struct {
		const char *id, *name, *prompt, *completion, *modality, *is_free;
		int64_t context, max_output;
	} rows[AUTO_MODELS] = {
		{ "kilo-auto/frontier", "Kilo Auto Frontier", "0.000005", "0.000025",
			"text+image->text", "false", 1000000, 128000 },
		{ "kilo-auto/balanced", "Kilo Auto Balanced", "0.0000006", "0.000003", "text->text",
			"false", 204800, 131072 },
		{ "kilo-auto/free", "Kilo Auto Free", "0", "0", "text->text", "true", 204800,
			131072 },
		{ "kilo-auto/small", "Kilo Auto Small", "0.00000005", "0.0000004", "text->text",
			"false", 131072, 32768 },
	};
	struct json_object *tree, *data;
	struct buf one = { 0 };
	struct env env;
	struct err e;

	(void)state;
	env_load(&env, NULL);
	tree = listing(&env, MODELS, true);
	data = get(tree, "data");
	for (size_t i = 0; i < AUTO_MODELS; i++) {
		struct json_object *m = at(data, i), *pricing = get(m, "pricing");

		print_message("%s\n", rows[i].id);
		assert_string_equal(text(m, "id"), rows[i].id);
		assert_string_equal(text(m, "name"), rows[i].name);
		assert_string_equal(text(m, "owned_by"), "kilo-auto");
		assert_string_equal(text(pricing, "prompt"), rows[i].prompt);
		assert_string_equal(text(pricing, "completion"), rows[i].completion);
		assert_string_equal(text(get(m, "architecture"), "modality"), rows[i].modality);
		assert_string_equal(json_object_get_string(get(m, "isFree")), rows[i].is_free);
		assert_int_equal(json_member_int(m, "created", -1), 0);
		assert_int_equal(json_member_int(m, "context_length", 0), rows[i].context);
		assert_int_equal(
			json_member_int(get(m, "top_provider"), "max_completion_tokens", 0),
			rows[i].max_output);
		assert_int_equal(count(get(m, "supported_parameters")), 6);
	}
	assert_int_equal(
		catalog_write_model(env.catalog, SLICE("kilo/auto-small"), &one, &e), ERR_OK);
	assert_non_null(memmem(one.data, one.len, "\"kilo-auto/small\"", 17));
	buf_fini(&one);
	json_object_put(tree);
	env_fini(&env);
}

static void one_model_is_the_entry_of_the_list(void **state)
{
	struct buf list = { 0 }, one = { 0 };
	struct env env;
	struct err e;

	(void)state;
	env_load(&env, NULL);
	catalog_write_models(env.catalog, true, &list);
	assert_int_equal(
		catalog_write_model(env.catalog, SLICE("OpenAI/gpt-5.4"), &one, &e), ERR_OK);
	assert_non_null(memmem(list.data, list.len, one.data, one.len));
	assert_int_equal(catalog_write_model(env.catalog, SLICE("openai/no"), &one, &e),
		ERR_MODEL_NOT_FOUND);
	assert_non_null(strstr(e.message, "openai/no"));
	buf_fini(&list);
	buf_fini(&one);
	env_fini(&env);
}

static void a_provider_has_every_member_of_the_schema(void **state)
{
	static const struct member members[] = { ONE("name", string), ONE("displayName", string),
		ONE("slug", string), ONE("baseUrl", string), ONE("dataPolicy", object),
		ONE("headquarters", string), ONE("datacenters", array),
		ONE("hasChatCompletions", boolean), ONE("hasCompletions", boolean),
		ONE("isAbortable", boolean), ONE("moderationRequired", boolean),
		ONE("isMultipartSupported", boolean), ONE("byokEnabled", boolean),
		ONE("editors", array), ONE("owners", array), ONE("ignoredProviderModels", array),
		ONE("adapterName", string), TWO("statusPageUrl", string, null), { 0 } };
	static const struct member policy[] = { ONE("training", boolean),
		ONE("retainsPrompts", boolean), ONE("canPublish", boolean), { 0 } };
	struct json_object *tree, *data;
	struct env env;

	(void)state;
	env_load(&env, NULL);
	tree = listing(&env, PROVIDERS, true);
	assert_string_equal(text(tree, "object"), "list");
	data = get(tree, "data");
	assert_int_equal(count(data), catalog_provider_count(env.catalog));
	for (size_t i = 0; i < count(data); i++) {
		has_members(at(data, i), members);
		has_members(get(at(data, i), "dataPolicy"), policy);
	}
	json_object_put(tree);
	env_fini(&env);
}

static void addresses_of_the_operator_are_not_shown(void **state)
{
	struct json_object *tree, *p;
	struct buf all = { 0 };
	struct env env;

	(void)state;
	env_load(&env, ENV("OPENAI_API_KEY=unseen-key", "OPENAI_BASE_URL=http://unseen.lan",
			       "GATEWAY_PROVIDERS=openai,mine", "MINE_BASE_URL=http://unseen.lan"));
	catalog_write_providers(env.catalog, true, &all);
	catalog_write_models_by_provider(env.catalog, true, &all);
	assert_null(memmem(all.data, all.len, "unseen", strlen("unseen")));
	buf_fini(&all);
	tree = listing(&env, PROVIDERS, false);
	assert_int_equal(count(get(tree, "data")), 2);
	p = with(get(tree, "data"), "slug", "mine");
	assert_string_equal(text(p, "baseUrl"), "");
	assert_true(json_object_get_boolean(get(get(p, "dataPolicy"), "training")));
	assert_true(json_object_get_boolean(get(get(p, "dataPolicy"), "retainsPrompts")));
	json_object_put(tree);
	env_fini(&env);
}

static void groups_have_every_member_and_their_totals_agree(void **state)
{
	static const struct member model[] = { ONE("slug", string), TWO("hf_slug", null, string),
		ONE("updated_at", string), ONE("created_at", string),
		TWO("hf_updated_at", null, string), ONE("name", string), ONE("short_name", string),
		ONE("author", string), ONE("description", string),
		TWO("model_version_group_id", null, string), ONE("context_length", int),
		ONE("input_modalities", array), ONE("output_modalities", array),
		ONE("has_text_output", boolean), ONE("group", string),
		TWO("instruct_type", null, string), TWO("default_system", null, string),
		ONE("default_stops", array), ONE("hidden", boolean), TWO("router", null, string),
		TWO("warning_message", null, string), ONE("permaslug", string),
		TWO("reasoning_config", null, object), TWO("features", null, object),
		TWO("default_parameters", null, object), ONE("endpoint", object), { 0 } };
	static const struct member endpoint[] = { ONE("id", string), ONE("name", string),
		ONE("context_length", int), ONE("model", object), ONE("model_variant_slug", string),
		ONE("model_variant_permaslug", string), ONE("adapter_name", string),
		ONE("provider_name", string), ONE("provider_info", object),
		ONE("provider_display_name", string), ONE("provider_slug", string),
		ONE("provider_model_id", string), TWO("quantization", null, string),
		ONE("variant", string), ONE("is_free", boolean), ONE("can_abort", boolean),
		TWO("max_prompt_tokens", null, int), TWO("max_completion_tokens", null, int),
		TWO("max_prompt_images", null, int), TWO("max_tokens_per_image", null, int),
		ONE("supported_parameters", array), ONE("is_byok", boolean),
		ONE("moderation_required", boolean), ONE("data_policy", object),
		ONE("pricing", object), ONE("variable_pricings", array), ONE("is_hidden", boolean),
		ONE("is_deranked", boolean), ONE("is_disabled", boolean),
		ONE("supports_tool_parameters", boolean), ONE("supports_reasoning", boolean),
		ONE("supports_multipart", boolean), TWO("limit_rpm", null, int),
		TWO("limit_rpd", null, int), TWO("limit_rpm_cf", null, int),
		ONE("has_completions", boolean), ONE("has_chat_completions", boolean),
		ONE("features", object), TWO("provider_region", null, string), { 0 } };
	struct json_object *tree, *groups;
	const char *last_group = "";
	int64_t total = 0;
	struct env env;

	(void)state;
	env_load(&env, NULL);
	tree = listing(&env, GROUPS, true);
	groups = get(tree, "providers");
	for (size_t i = 0; i < count(groups); i++) {
		struct json_object *models = get(at(groups, i), "models");
		const char *last = "";

		assert_true(strcasecmp(last_group, text(at(groups, i), "name")) < 0);
		last_group = text(at(groups, i), "name");
		get(at(groups, i), "dataPolicy");
		assert_true(count(models) > 0);
		total += (int64_t)count(models);
		for (size_t k = 0; k < count(models); k++) {
			has_members(at(models, k), model);
			has_members(get(at(models, k), "endpoint"), endpoint);
			assert_int_equal(
				json_member_int(get(get(at(models, k), "endpoint"), "pricing"),
					"discount", -1),
				0);
			assert_true(strncasecmp(last, text(at(models, k), "name"), 3) <= 0);
			last = text(at(models, k), "name");
		}
	}
	assert_int_equal(json_member_int(tree, "total_providers", -1), count(groups));
	assert_int_equal(json_member_int(tree, "total_models", -1), total);
	assert_int_equal(total, catalog_model_count(env.catalog));
	assert_string_equal(text(tree, "generated_at"), "2026-11-21T00:00:00.000Z");
	json_object_put(tree);
	env_fini(&env);
}

static void two_loads_give_the_same_bytes(void **state)
{
	struct buf first = { 0 }, second = { 0 };
	struct env env;

	(void)state;
	for (int i = 0; i < 2; i++) {
		struct buf *out = i ? &second : &first;

		env_load(&env, ENV("OPENAI_API_KEY=k", "MISTRAL_API_KEY=k"));
		catalog_write_models(env.catalog, true, out);
		catalog_write_providers(env.catalog, true, out);
		catalog_write_models_by_provider(env.catalog, true, out);
		env_fini(&env);
	}
	assert_true(first.len > 100000);
	assert_true(slice_eq(buf_slice(&first), buf_slice(&second)));
	buf_fini(&first);
	buf_fini(&second);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			without_keys_the_two_demonstration_models_are_listed_and_no_others),
		cmocka_unit_test(a_model_has_every_member_of_the_schema),
		cmocka_unit_test(price_strings_pass_through_byte_for_byte),
		cmocka_unit_test(free_models_say_so_in_the_name_once_and_in_a_member),
		cmocka_unit_test(preferred_models_come_first_by_their_index),
		cmocka_unit_test(only_models_that_are_served_are_listed_and_no_embeddings),
		cmocka_unit_test(a_router_alone_lists_what_it_serves_for_others),
		cmocka_unit_test(auto_models_are_listed_as_the_contract_describes_them),
		cmocka_unit_test(one_model_is_the_entry_of_the_list),
		cmocka_unit_test(a_provider_has_every_member_of_the_schema),
		cmocka_unit_test(addresses_of_the_operator_are_not_shown),
		cmocka_unit_test(groups_have_every_member_and_their_totals_agree),
		cmocka_unit_test(two_loads_give_the_same_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
