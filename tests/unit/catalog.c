#include "tests/unit/catalog_env.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const struct catalog_provider *provider(const struct env *env, const char *slug)
{
	const struct catalog_provider *p = catalog_provider_find(env->catalog, slice_of(slug));

	assert_non_null(p);
	return p;
}

/* ---- the files of conf/ ---- */

static void the_shipped_catalogue_loads_and_only_the_demonstration_is_on(void **state)
{
	struct env env;

	(void)state;
	env_load(&env, NULL);
	assert_true(catalog_model_count(env.catalog) > 90);
	assert_true(catalog_provider_count(env.catalog) > 35);
	assert_true(catalog_demo_is_on(env.catalog));
	for (size_t i = 0; i < catalog_provider_count(env.catalog); i++) {
		const struct catalog_provider *p = catalog_provider_at(env.catalog, i);

		assert_int_equal(p->configured, p->demo);
		assert_string_equal(p->api_key, "");
	}
	assert_null(catalog_provider_at(env.catalog, catalog_provider_count(env.catalog)));
	assert_null(catalog_model_at(env.catalog, catalog_model_count(env.catalog)));
	env_fini(&env);
}

static void models_and_providers_are_found_in_any_case_and_by_alias(void **state)
{
	struct env env;

	(void)state;
	env_load(&env, NULL);
	assert_string_equal(
		catalog_model_find(env.catalog, SLICE("OpenAI/GPT-5"))->id, "openai/gpt-5");
	assert_null(catalog_model_find(env.catalog, SLICE("openai/gpt-")));
	assert_null(catalog_model_find(env.catalog, SLICE("")));
	assert_ptr_equal(provider(&env, "X-AI"), provider(&env, "xai"));
	assert_ptr_equal(provider(&env, "z-ai"), provider(&env, "zai"));
	assert_ptr_equal(provider(&env, "moonshotai"), provider(&env, "moonshot"));
	assert_ptr_equal(provider(&env, "arcee-ai"), provider(&env, "arcee"));
	assert_ptr_equal(provider(&env, "mistralai"), provider(&env, "mistral"));
	assert_null(catalog_provider_find(env.catalog, SLICE("nobody")));
	env_fini(&env);
}

static void models_say_whether_they_are_free_and_embed(void **state)
{
	struct env env;

	(void)state;
	env_load(&env, NULL);
	assert_true(catalog_model_find(env.catalog, SLICE("z-ai/glm-5:free"))->free);
	assert_true(catalog_model_find(env.catalog, SLICE("demo/echo:free"))->free);
	assert_false(catalog_model_find(env.catalog, SLICE("z-ai/glm-5"))->free);
	assert_false(catalog_model_find(env.catalog, SLICE("ollama/llama3"))->free);
	assert_true(catalog_model_find(env.catalog, SLICE("mistralai/mistral-embed"))->embedding);
	assert_false(catalog_model_find(env.catalog, SLICE("openai/gpt-5"))->embedding);
	env_fini(&env);
}

/* ---- settings ---- */

static void keys_come_from_the_slug_first_and_then_from_the_customary_names(void **state)
{
	struct env env;

	(void)state;
	env_load(&env, ENV("GOOGLE_GENERATIVE_AI_API_KEY=c", "GEMINI_API_KEY=b"));
	assert_string_equal(provider(&env, "google")->api_key, "b");
	assert_true(provider(&env, "google")->configured);
	assert_false(catalog_demo_is_on(env.catalog));
	env_fini(&env);
	env_load(&env, ENV("ARCEEAI_API_KEY=b", "ARCEE_API_KEY=a"));
	assert_string_equal(provider(&env, "arcee")->api_key, "a");
	env_fini(&env);
	env_load(&env, ENV("HUGGINGFACE_API_KEY=a", "HF_TOKEN=b"));
	assert_string_equal(provider(&env, "huggingface")->api_key, "a");
	env_fini(&env);
}

static void a_coding_plan_takes_its_own_key_before_the_shared_one(void **state)
{
	struct env env;

	(void)state;
	env_load(&env, ENV("ZAI_API_KEY=a", "ZAI_CODING_API_KEY=b"));
	assert_string_equal(provider(&env, "zai")->api_key, "a");
	assert_string_equal(provider(&env, "zai-coding")->api_key, "b");
	env_fini(&env);
}

static void a_base_url_of_the_settings_wins_and_loses_its_last_slash(void **state)
{
	struct env env;

	(void)state;
	env_load(&env, ENV("OPENAI_API_KEY=k", "OPENAI_BASE_URL=http://10.0.0.1:9/x//"));
	assert_string_equal(provider(&env, "openai")->base_url, "http://10.0.0.1:9/x");
	assert_string_equal(provider(&env, "xai")->base_url, "https://api.x.ai/v1");
	env_fini(&env);
}

static void an_address_alone_does_not_configure_a_provider_that_needs_a_key(void **state)
{
	struct env env;

	(void)state;
	env_load(&env, ENV("OPENAI_BASE_URL=http://10.0.0.1"));
	assert_false(provider(&env, "openai")->configured);
	assert_true(catalog_demo_is_on(env.catalog));
	env_fini(&env);
}

static void local_servers_count_only_when_the_operator_names_them(void **state)
{
	struct env env;

	(void)state;
	env_load(&env, ENV("VLLM_API_KEY=k", "OLLAMA_API_KEY=cloud"));
	assert_false(provider(&env, "vllm")->configured);
	assert_false(provider(&env, "ollama")->configured);
	assert_true(provider(&env, "ollama-cloud")->configured);
	env_fini(&env);
	env_load(&env, ENV("VLLM_BASE_URL=http://gpu:8000/v1", "VLLM_API_KEY=k",
			       "LMSTUDIO_BASE_URL=http://127.0.0.1:1234/v1"));
	assert_true(provider(&env, "vllm")->configured);
	assert_string_equal(provider(&env, "vllm")->auth, "bearer");
	assert_true(provider(&env, "lmstudio")->configured);
	assert_string_equal(provider(&env, "lmstudio")->auth, "none");
	env_fini(&env);
	env_load(&env, ENV("GATEWAY_PROVIDERS=ollama"));
	assert_true(provider(&env, "ollama")->configured);
	assert_string_equal(provider(&env, "ollama")->base_url, "http://localhost:11434/v1");
	env_fini(&env);
}

static void the_key_of_the_cloud_never_goes_to_a_local_server(void **state)
{
	struct env env;

	(void)state;
	env_load(&env, ENV("OLLAMA_API_KEY=cloud", "OLLAMA_HOST=gpu"));
	assert_true(provider(&env, "ollama")->configured);
	assert_string_equal(provider(&env, "ollama")->api_key, "");
	assert_string_equal(provider(&env, "ollama")->auth, "none");
	env_fini(&env);
}

static void an_ollama_host_may_lack_scheme_port_and_path(void **state)
{
	static const struct {
		const char *setting, *url;
	} cases[] = { { "OLLAMA_HOST=gpu", "http://gpu:11434/v1" },
		{ "OLLAMA_HOST=gpu:9", "http://gpu:9/v1" },
		{ "OLLAMA_HOST=:9", "http://127.0.0.1:9/v1" },
		{ "OLLAMA_HOST=0.0.0.0", "http://127.0.0.1:11434/v1" },
		{ "OLLAMA_HOST=0.0.0.0:9", "http://127.0.0.1:9/v1" },
		{ "OLLAMA_HOST=[::1]", "http://[::1]:11434/v1" },
		{ "OLLAMA_HOST=[::1]:9", "http://[::1]:9/v1" },
		{ "OLLAMA_HOST=http://gpu:9", "http://gpu:9/v1" },
		{ "OLLAMA_HOST=https://gpu/", "https://gpu/v1" },
		{ "OLLAMA_HOST=https://gpu/ollama/", "https://gpu/ollama" },
		{ "OLLAMA_HOST=gpu/deep", "http://gpu:11434/deep" },
		{ "OLLAMA_BASE_URL=http://gpu:9", "http://gpu:9/v1" },
		{ "OLLAMA_BASE_URL=http://gpu:9/v1/", "http://gpu:9/v1" } };

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct env env;

		print_message("%s\n", cases[i].setting);
		env_load(&env, ENV(cases[i].setting));
		assert_string_equal(provider(&env, "ollama")->base_url, cases[i].url);
		assert_true(provider(&env, "ollama")->configured);
		env_fini(&env);
	}
}

static void a_list_of_providers_leaves_all_others_out(void **state)
{
	struct env env;

	(void)state;
	env_load(&env, ENV("GATEWAY_PROVIDERS=groq, X-AI", "OPENAI_API_KEY=k", "GROQ_API_KEY=k",
			       "OPENROUTER_API_KEY=bad key"));
	assert_true(provider(&env, "groq")->configured);
	assert_false(provider(&env, "openai")->configured);
	assert_false(provider(&env, "xai")->configured); /* listed, but without a key */
	env_fini(&env);
}

static void a_list_adds_providers_the_catalogue_does_not_know(void **state)
{
	const struct catalog_provider *p;
	struct env env;

	(void)state;
	env_load(&env, ENV("GATEWAY_PROVIDERS=my-llm,other",
			       "MY_LLM_BASE_URL=https://llm.example/v1/", "MY_LLM_API_KEY=secret",
			       "OTHER_BASE_URL=http://10.1.1.1", "OTHER_DIALECT=openai"));
	p = provider(&env, "my-llm");
	assert_true(p->configured);
	assert_string_equal(p->base_url, "https://llm.example/v1");
	assert_string_equal(p->chat_path, "/chat/completions");
	assert_string_equal(p->auth, "bearer");
	assert_string_equal(p->api_key, "secret");
	assert_string_equal(p->key_names, "MY_LLM_API_KEY");
	assert_string_equal(p->quirks->slug, "");
	assert_true(provider(&env, "other")->configured);
	assert_string_equal(provider(&env, "other")->auth, "none");
	env_fini(&env);
}

static void the_demonstration_follows_its_switch(void **state)
{
	static const struct {
		const char *demo, *key;
		bool on;
	} cases[] = { { "GATEWAY_DEMO=0", "X=", false }, { "GATEWAY_DEMO=1", "X=", true },
		{ "GATEWAY_DEMO=auto", "X=", true }, { "GATEWAY_DEMO=1", "OPENAI_API_KEY=k", true },
		{ "GATEWAY_DEMO=auto", "OPENAI_API_KEY=k", false },
		{ "GATEWAY_DEMO=0", "OPENAI_API_KEY=k", false } };

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct env env;

		print_message("%s %s\n", cases[i].demo, cases[i].key);
		env_load(&env, ENV(cases[i].demo, cases[i].key));
		assert_int_equal(catalog_demo_is_on(env.catalog), cases[i].on);
		assert_int_equal(provider(&env, "demo")->configured, cases[i].on);
		env_fini(&env);
	}
}

static void bad_settings_are_refused_by_name_and_never_quoted_when_secret(void **state)
{
	static const struct {
		const char *setting, *name;
	} cases[] = { { "OPENAI_BASE_URL=ftp://x", "OPENAI_BASE_URL" },
		{ "OPENAI_BASE_URL=api.openai.com", "OPENAI_BASE_URL" },
		{ "OPENAI_BASE_URL=http://", "OPENAI_BASE_URL" },
		{ "OPENAI_BASE_URL=http:///v1", "OPENAI_BASE_URL" },
		{ "OPENAI_BASE_URL=http://SECRET@x/", "OPENAI_BASE_URL" },
		{ "OPENAI_BASE_URL=http://SECRET:p@x", "OPENAI_BASE_URL" },
		{ "OPENAI_BASE_URL=http://x/?k=SECRET", "OPENAI_BASE_URL" },
		{ "OPENAI_BASE_URL=http://x/#f", "OPENAI_BASE_URL" },
		{ "OPENAI_BASE_URL=http://x\\y", "OPENAI_BASE_URL" },
		{ "OPENAI_BASE_URL=http://x y", "OPENAI_BASE_URL" },
		{ "OPENAI_BASE_URL=http://x\r\nHost: y", "OPENAI_BASE_URL" },
		{ "OPENAI_BASE_URL=http://x:0", "OPENAI_BASE_URL" },
		{ "OPENAI_BASE_URL=http://x:70000", "OPENAI_BASE_URL" },
		{ "OPENAI_BASE_URL=http://x:", "OPENAI_BASE_URL" },
		{ "OPENAI_BASE_URL=http://[::1", "OPENAI_BASE_URL" },
		{ "OLLAMA_HOST=gpu:x", "OLLAMA_HOST" }, { "OLLAMA_HOST=a@b", "OLLAMA_HOST" },
		{ "OLLAMA_BASE_URL=gpu", "OLLAMA_BASE_URL" },
		{ "OPENAI_API_KEY=SECRET\nX: y", "OPENAI_API_KEY" },
		{ "HF_TOKEN=SECRET x", "HF_TOKEN" }, { "OPENAI_DIALECT=klingon", "OPENAI_DIALECT" },
		{ "GATEWAY_PROVIDERS=unknown", "UNKNOWN_BASE_URL" },
		{ "GATEWAY_PROVIDERS=un/known", "GATEWAY_PROVIDERS" } };

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct env env;
		struct err e = { .message = "" };

		print_message("%s\n", cases[i].setting);
		assert_int_equal(env_try(&env, NULL, ENV(cases[i].setting), &e), ERR_CONF);
		assert_null(env.catalog);
		assert_non_null(strstr(e.message, cases[i].name));
		assert_string_equal(e.param, cases[i].name);
		assert_null(strstr(e.message, "SECRET"));
		env_fini(&env);
	}
}

/* ---- bad files ---- */

#define MODEL_HEAD \
	"{\"id\":\"a/b\",\"provider\":\"p\",\"native_id\":\"b\",\"name\":\"B\"," \
	"\"description\":\"d\",\"created\":0,\"context_length\":1,\"max_output\":1," \
	"\"input_modalities\":[\"text\"],\"output_modalities\":[\"text\"]," \
	"\"supports_tools\":true,\"supports_reasoning\":false,"
#define MODEL_PRICES \
	"\"price_prompt_usd_per_token\":\"0.1\",\"price_completion_usd_per_token\":\"0\"," \
	"\"price_cache_read\":null,\"price_cache_write\":null}"
#define MODELS(rows) \
	"{\"version\":1,\"date\":\"2026-01-02\",\"preferred\":[],\"models\":[" rows "]}"
#define PROVIDER_WITH(more, dialect) \
	"{" more "\"slug\":\"p\",\"name\":\"P\",\"base_url\":\"http://p\"," \
	"\"chat_path\":\"/c\",\"models_path\":\"\",\"auth\":\"bearer\"," \
	"\"dialect\":\"" dialect "\",\"key_names\":[\"P\"]," \
	"\"listing\":{\"headquarters\":\"X\",\"datacenters\":[],\"data_policy\":{\"training\":" \
	"true," \
	"\"retains_prompts\":true,\"can_publish\":false},\"has_completions\":false," \
	"\"is_abortable\":false,\"is_multipart_supported\":false,\"moderation_required\":false," \
	"\"status_page_url\":null}}"
#define PROVIDER PROVIDER_WITH("", "openai")
#define PROVIDERS(patterns, rows) \
	"{\"version\":1,\"date\":\"2026-01-02\",\"router_suffixes\":[],\"patterns\":[" patterns \
	"]," \
	"\"providers\":[" rows "]}"

static char folder[] = "/tmp/tollgate-catalog-XXXXXX";

static void write_file(const char *name, const char *text)
{
	char path[128];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	unlink(path);
	if (!text)
		return;
	f = fopen(path, "w");
	assert_non_null(f);
	fputs(text, f);
	assert_int_equal(fclose(f), 0);
}

static int set_up(void **state)
{
	(void)state;
	return mkdtemp(folder) ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	write_file("models.json", NULL);
	write_file("providers.json", NULL);
	return rmdir(folder);
}

static void a_dialect_this_build_does_not_speak_is_never_configured(void **state)
{
	struct env env;
	struct err e;

	(void)state;
	write_file("providers.json", PROVIDERS("", PROVIDER_WITH("", "klingon")));
	write_file("models.json", MODELS(""));
	assert_int_equal(env_try(&env, folder, ENV("P=k"), &e), ERR_OK);
	assert_null(provider(&env, "p")->provider);
	assert_false(provider(&env, "p")->configured);
	env_fini(&env);
	assert_int_equal(env_try(&env, folder, ENV("P=k", "GATEWAY_PROVIDERS=p"), &e), ERR_CONF);
	assert_string_equal(e.param, "GATEWAY_PROVIDERS");
	env_fini(&env);
}

static void bad_files_are_refused_with_file_and_member(void **state)
{
	static const char good_p[] = PROVIDERS("", PROVIDER);
	static const char good_m[] = MODELS(MODEL_HEAD MODEL_PRICES);
	static const struct {
		const char *providers, *models;
		const char *in_message[3];
	} cases[] = {
		{ good_p, NULL, { "models.json" } },
		{ NULL, good_m, { "providers.json" } },
		{ good_p, "{", { "models.json" } },
		{ good_p, "[]", { "models.json", "object" } },
		{ good_p, "{\"version\":1}", { "models.json", "date", "missing" } },
		{ good_p, "{\"version\":2,\"date\":\"2026-01-02\",\"preferred\":[],\"models\":[]}",
			{ "models.json", "version" } },
		{ good_p, "{\"version\":1,\"date\":\"today\",\"preferred\":[],\"models\":[]}",
			{ "models.json", "date" } },
		{ good_p,
			"{\"version\":1,\"date\":\"2026-01-02\",\"preferred\":[\"x\"],\"models\":[]"
			"}",
			{ "preferred[0]", "(x)" } },
		{ good_p, MODELS("7"), { "models.json", "models[0]", "object" } },
		{ good_p, MODELS(MODEL_HEAD MODEL_PRICES "," MODEL_HEAD MODEL_PRICES),
			{ "models[1]", "(a/b)", "twice" } },
		{ good_p, MODELS(MODEL_HEAD "\"price_promt\":\"1\"," MODEL_PRICES),
			{ "models.json", "(a/b)", "price_promt" } },
		{ good_p,
			MODELS(MODEL_HEAD "\"price_prompt_usd_per_token\":\"0.1\","
					  "\"price_cache_read\":null,\"price_cache_write\":null}"),
			{ "(a/b)", "price_completion_usd_per_token", "missing" } },
		{ good_p,
			MODELS(MODEL_HEAD
				"\"overrides\":[{\"min_prompt_tokens\":-1}]," MODEL_PRICES),
			{ "(a/b)", "min_prompt_tokens" } },
		{ PROVIDERS("", "{\"slug\":\"p\",\"listing\":{\"trainin\":1}}"), good_m,
			{ "providers[0]", "(p)", "missing" } },
		{ PROVIDERS("", PROVIDER "," PROVIDER), good_m, { "providers[1]", "(p)", "slug" } },
		{ PROVIDERS("{\"match\":\"a*\",\"providers\":[\"q\"]}", PROVIDER), good_m,
			{ "patterns[0]", "providers" } },
		{ PROVIDERS("", PROVIDER_WITH("\"places\":{\"r\":\"AWS_REGION\"},", "openai")),
			good_m, { "providers[0]", "(p)", "places" } },
		{ PROVIDERS("", PROVIDER_WITH("\"places\":{\"r\":[]},", "openai")), good_m,
			{ "places" } },
		{ PROVIDERS("", PROVIDER_WITH("\"places\":{\"r\":[7]},", "openai")), good_m,
			{ "places" } },
		{ PROVIDERS("", ""), good_m, { "models.json", "(a/b)", "provider" } },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct env env;
		struct err e = { .message = "" };

		print_message("case %zu: %s\n", i, cases[i].in_message[0]);
		write_file("providers.json", cases[i].providers);
		write_file("models.json", cases[i].models);
		assert_int_equal(env_try(&env, folder, NULL, &e), ERR_CONF);
		for (size_t k = 0; k < 3 && cases[i].in_message[k]; k++)
			if (!strstr(e.message, cases[i].in_message[k]))
				fail_msg("%s lacks %s", e.message, cases[i].in_message[k]);
		env_fini(&env);
	}
	write_file("providers.json", good_p);
	write_file("models.json", good_m);
	{
		struct env env;
		struct err e = { .message = "" };

		assert_int_equal(env_try(&env, folder, NULL, &e), ERR_OK);
		env_fini(&env);
	}
}

static void prices_are_exact_decimals_or_refused(void **state)
{
	static const struct {
		const char *price;
		bool good;
	} cases[] = { { "\"0\"", true }, { "\"0.000000000001\"", true }, { "\"12.5\"", true },
		{ "\"0.0000000000001\"", false }, { "\"1e-6\"", false }, { "\"-1\"", false },
		{ "\".5\"", false }, { "\"5.\"", false }, { "\"\"", false }, { "0.5", false },
		{ "null", false }, { "\"1,5\"", false }, { "\"1234567\"", false } };

	(void)state;
	write_file("providers.json", PROVIDERS("", PROVIDER));
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char text[2048];
		struct env env;
		struct err e = { .message = "" };

		print_message("%s\n", cases[i].price);
		snprintf(text, sizeof(text),
			MODELS(MODEL_HEAD "\"price_prompt_usd_per_token\":%s,"
					  "\"price_completion_usd_per_token\":\"0\","
					  "\"price_cache_read\":null,\"price_cache_write\":null}"),
			cases[i].price);
		write_file("models.json", text);
		assert_int_equal(
			env_try(&env, folder, NULL, &e), cases[i].good ? ERR_OK : ERR_CONF);
		if (!cases[i].good)
			assert_string_equal(e.param, "price_prompt_usd_per_token");
		env_fini(&env);
	}
}

static void a_dialect_of_the_settings_brings_its_path_and_its_header(void **state)
{
	static const struct {
		const char *dialect, *chat_path, *auth;
	} cases[] = { { "openai", "/chat/completions", "bearer" },
		{ "anthropic", "/messages", "x-api-key" },
		{ "gemini", "/models/{id}:generateContent", "x-goog-api-key" } };

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char dialect[64], row[64];
		struct env env;

		print_message("%s\n", cases[i].dialect);
		/* One that the file does not know, and one whose row says another. */
		snprintf(dialect, sizeof(dialect), "MY_OWN_DIALECT=%s", cases[i].dialect);
		snprintf(row, sizeof(row), "DEEPSEEK_DIALECT=%s", cases[i].dialect);
		env_load(&env, ENV("GATEWAY_PROVIDERS=my-own,deepseek", dialect, row,
				       "MY_OWN_BASE_URL=http://10.0.0.1:9/v1/", "MY_OWN_API_KEY=k",
				       "DEEPSEEK_API_KEY=d"));
		for (int k = 0; k < 2; k++) {
			const struct catalog_provider *p =
				provider(&env, k ? "deepseek" : "my-own");

			assert_true(p->configured);
			assert_string_equal(p->dialect, cases[i].dialect);
			assert_string_equal(p->provider->name, cases[i].dialect);
			assert_string_equal(p->chat_path, cases[i].chat_path);
			assert_string_equal(p->auth, cases[i].auth);
			assert_string_equal(p->api_key, k ? "d" : "k");
		}
		assert_string_equal(provider(&env, "my-own")->base_url, "http://10.0.0.1:9/v1");
		env_fini(&env);
	}
}

static void a_provider_of_ones_own_needs_no_key_in_any_dialect(void **state)
{
	struct env env;

	(void)state;
	env_load(&env, ENV("GATEWAY_PROVIDERS=mine", "MINE_DIALECT=anthropic",
			       "MINE_BASE_URL=http://10.0.0.1:9"));
	assert_true(provider(&env, "mine")->configured);
	assert_string_equal(provider(&env, "mine")->auth, "none");
	assert_string_equal(provider(&env, "mine")->chat_path, "/messages");
	env_fini(&env);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_shipped_catalogue_loads_and_only_the_demonstration_is_on),
		cmocka_unit_test(models_and_providers_are_found_in_any_case_and_by_alias),
		cmocka_unit_test(models_say_whether_they_are_free_and_embed),
		cmocka_unit_test(keys_come_from_the_slug_first_and_then_from_the_customary_names),
		cmocka_unit_test(a_coding_plan_takes_its_own_key_before_the_shared_one),
		cmocka_unit_test(a_base_url_of_the_settings_wins_and_loses_its_last_slash),
		cmocka_unit_test(an_address_alone_does_not_configure_a_provider_that_needs_a_key),
		cmocka_unit_test(local_servers_count_only_when_the_operator_names_them),
		cmocka_unit_test(the_key_of_the_cloud_never_goes_to_a_local_server),
		cmocka_unit_test(an_ollama_host_may_lack_scheme_port_and_path),
		cmocka_unit_test(a_list_of_providers_leaves_all_others_out),
		cmocka_unit_test(a_list_adds_providers_the_catalogue_does_not_know),
		cmocka_unit_test(a_dialect_this_build_does_not_speak_is_never_configured),
		cmocka_unit_test(the_demonstration_follows_its_switch),
		cmocka_unit_test(bad_settings_are_refused_by_name_and_never_quoted_when_secret),
		cmocka_unit_test(bad_files_are_refused_with_file_and_member),
		cmocka_unit_test(prices_are_exact_decimals_or_refused),
		cmocka_unit_test(a_dialect_of_the_settings_brings_its_path_and_its_header),
		cmocka_unit_test(a_provider_of_ones_own_needs_no_key_in_any_dialect),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
