#include "tests/unit/catalog_env.h"

#include "gateway/route.h"

#include <stdio.h>
#include <string.h>

/* Every provider that has a key or an address in the catalogue. */
#define EVERYBODY \
	ENV("OPENAI_API_KEY=k", "ANTHROPIC_API_KEY=k", "GEMINI_API_KEY=k", \
		"OLLAMA_BASE_URL=http://localhost:11434/v1", "HF_TOKEN=k", "OPENROUTER_API_KEY=k", \
		"AI_GATEWAY_API_KEY=k", "MISTRAL_API_KEY=k", "XAI_API_KEY=k", "MINIMAX_API_KEY=k", \
		"CORETHINK_API_KEY=k", "INCEPTION_API_KEY=k", "STREAMLAKE_API_KEY=k", \
		"MOONSHOT_API_KEY=k", "ZAI_API_KEY=k", "ARCEE_API_KEY=k", "DEEPSEEK_API_KEY=k", \
		"GROQ_API_KEY=k", "FIREWORKS_API_KEY=k", "COHERE_API_KEY=k", \
		"PERPLEXITY_API_KEY=k", "TOGETHER_API_KEY=k", "KILO_API_KEY=k")

struct expect {
	const char *id, *slug, *native;
};

static void check(const struct env *env, const struct expect *cases, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct route r;
		struct err e = { .message = "" };

		print_message("%s\n", cases[i].id);
		if (route_find(env->catalog, cases[i].id, &r, &e))
			fail_msg("%s", e.message);
		assert_string_equal(r.target.slug, cases[i].slug);
		assert_string_equal(r.target.native_id, cases[i].native);
		assert_string_equal(r.target.public_id, cases[i].id);
		assert_ptr_equal(
			r.provider, catalog_provider_find(env->catalog, slice_of(cases[i].slug)));
		assert_non_null(r.target.quirks);
		assert_non_null(r.target.provider);
	}
}

#define CHECK(env, cases) check(env, cases, sizeof(cases) / sizeof((cases)[0]))

static void bare_names_find_their_maker_by_pattern(void **state)
{
	static const struct expect cases[] = { { "gpt-oss-20b", "groq", "gpt-oss-20b" },
		{ "gpt-4o", "openai", "gpt-4o" }, { "GPT-6", "openai", "GPT-6" },
		{ "chatgpt-4o-latest", "openai", "chatgpt-4o-latest" }, { "o1", "openai", "o1" },
		{ "o3-pro", "openai", "o3-pro" }, { "o4-mini", "openai", "o4-mini" },
		{ "o12-x", "openai", "o12-x" }, { "codex-mini", "openai", "codex-mini" },
		{ "text-embedding-3-small", "openai", "text-embedding-3-small" },
		{ "text-embedding-004", "google", "text-embedding-004" },
		{ "davinci-002", "openai", "davinci-002" },
		{ "babbage-002", "openai", "babbage-002" },
		{ "ft:gpt-4o:org::id", "openai", "ft:gpt-4o:org::id" },
		{ "claude-sonnet-4-6", "anthropic", "claude-sonnet-4-6" },
		{ "gemini-9", "google", "gemini-9" }, { "learnlm-2.0", "google", "learnlm-2.0" },
		{ "gemma3:4b", "ollama", "gemma3:4b" },
		{ "gemma-3-27b-it", "google", "gemma-3-27b-it" }, { "grok-9", "xai", "grok-9" },
		{ "codestral-2601", "mistral", "codestral-2601" },
		{ "mistral-small-latest", "mistral", "mistral-small-latest" },
		{ "ministral-8b", "mistral", "ministral-8b" },
		{ "magistral-medium", "mistral", "magistral-medium" },
		{ "devstral-x", "mistral", "devstral-x" },
		{ "pixtral-12b", "mistral", "pixtral-12b" },
		{ "voxtral-mini", "mistral", "voxtral-mini" },
		{ "open-mistral-nemo", "mistral", "open-mistral-nemo" },
		{ "open-mixtral-8x7b", "mistral", "open-mixtral-8x7b" },
		{ "kimi-k9", "moonshot", "kimi-k9" },
		{ "moonshot-v1-8k", "moonshot", "moonshot-v1-8k" }, { "glm-9", "zai", "glm-9" },
		{ "MiniMax-M9", "minimax", "MiniMax-M9" }, { "abab6.5", "minimax", "abab6.5" },
		{ "deepseek-chat", "deepseek", "deepseek-chat" },
		{ "mercury-coder", "inception", "mercury-coder" },
		{ "kat-coder-x", "streamlake", "kat-coder-x" },
		{ "command-r", "cohere", "command-r" },
		{ "c4ai-aya-expanse-8b", "cohere", "c4ai-aya-expanse-8b" },
		{ "corethink", "corethink", "corethink" }, { "trinity-x", "arcee", "trinity-x" },
		{ "virtuoso-large", "arcee", "virtuoso-large" },
		{ "maestro-reasoning", "arcee", "maestro-reasoning" },
		{ "sonar-pro", "perplexity", "sonar-pro" },
		{ "accounts/fireworks/models/x", "fireworks", "accounts/fireworks/models/x" },
		{ "llama3.3:70b", "ollama", "llama3.3:70b" }, { "phi4", "ollama", "phi4" },
		{ "qwen3", "ollama", "qwen3" }, { "mistral", "ollama", "mistral" },
		{ "mixtral", "ollama", "mixtral" }, { "codellama", "ollama", "codellama" },
		{ "starcoder2", "ollama", "starcoder2" },
		{ "nomic-embed-text", "ollama", "nomic-embed-text" },
		{ "mxbai-embed-large", "ollama", "mxbai-embed-large" },
		{ "anything:7b", "ollama", "anything:7b" },
		{ "unknown-org/model", "huggingface", "unknown-org/model" } };
	struct env env;

	(void)state;
	env_load(&env, EVERYBODY);
	CHECK(&env, cases);
	env_fini(&env);
}

static void ids_are_translated_to_what_the_provider_calls_them(void **state)
{
	static const struct expect cases[] = { { "anthropic/claude-sonnet-4.6", "anthropic",
						       "claude-sonnet-4-6" },
		{ "anthropic/claude-sonnet-4", "anthropic", "claude-sonnet-4-20250514" },
		{ "x-ai/grok-code-fast-1", "xai", "grok-code-fast-1" },
		{ "google/gemini-3-flash-preview", "google", "gemini-3-flash-preview" },
		{ "mistralai/codestral-2508", "mistral", "codestral-2508" },
		{ "z-ai/glm-5", "zai", "glm-5" }, { "z-ai/glm-5:free", "zai", "glm-5" },
		{ "moonshotai/kimi-k2.5", "moonshot", "kimi-k2.5" },
		{ "minimax/minimax-m2.5", "minimax", "MiniMax-M2.5" },
		{ "kwaipilot/kat-coder-pro-v2", "streamlake", "KAT-Coder-Pro-V2" },
		{ "meta-llama/llama-3.3-70b-instruct", "openrouter",
			"meta-llama/llama-3.3-70b-instruct" },
		/* other spellings of the same */
		{ "claude-sonnet-4.6", "anthropic", "claude-sonnet-4-6" },
		{ "minimax-m2.5", "minimax", "MiniMax-M2.5" },
		{ "xai/grok-4.20", "xai", "grok-4.20-0309-reasoning" },
		{ "moonshot/kimi-k2.5", "moonshot", "kimi-k2.5" },
		{ "Anthropic/Claude-Sonnet-4.6", "anthropic", "claude-sonnet-4-6" },
		{ "kilocode/anthropic/claude-sonnet-4.6", "anthropic", "claude-sonnet-4-6" },
		{ "KiloCode/gpt-4o", "openai", "gpt-4o" },
		{ " openai/gpt-4o ", "openai", "gpt-4o" },
		/* a provider and whatever it has */
		{ "openai/gpt-9", "openai", "gpt-9" }, { "OpenAI/gpt-9", "openai", "gpt-9" },
		{ "together/meta-llama/Llama-4", "together", "meta-llama/Llama-4" },
		{ "groq/openai/gpt-oss-20b", "groq", "openai/gpt-oss-20b" },
		{ "openrouter/anthropic/claude-sonnet-4.6", "openrouter",
			"anthropic/claude-sonnet-4.6" },
		{ "openrouter/auto", "openrouter", "openrouter/auto" },
		{ "kilo-auto/balanced", "kilo", "kilo-auto/balanced" },
		{ "vercel/xai/grok-4", "vercel", "xai/grok-4" },
		{ "hf/Qwen/Qwen3-8B:fastest", "huggingface", "Qwen/Qwen3-8B:fastest" },
		{ "ollama/llama3.3:70b", "ollama", "llama3.3:70b" } };
	struct env env;

	(void)state;
	env_load(&env, EVERYBODY);
	CHECK(&env, cases);
	env_fini(&env);
}

static void another_spelling_still_finds_the_catalogue_entry_and_its_price(void **state)
{
	static const char *const spellings[] = { "claude-sonnet-4.6", "claude-sonnet-4-6",
		"anthropic/claude-sonnet-4-6", "anthropic/claude-sonnet-4.6" };
	struct env env;
	struct route r;

	(void)state;
	env_load(&env, EVERYBODY);
	for (size_t i = 0; i < sizeof(spellings) / sizeof(spellings[0]); i++) {
		print_message("%s\n", spellings[i]);
		assert_int_equal(route_find(env.catalog, spellings[i], &r, NULL), ERR_OK);
		assert_non_null(r.model);
		assert_string_equal(r.model->id, "anthropic/claude-sonnet-4.6");
	}
	/* The paid and the free entry have one native name: it never means the free one. */
	assert_int_equal(route_find(env.catalog, "MiniMax-M2.5", &r, NULL), ERR_OK);
	assert_string_equal(r.model->id, "minimax/minimax-m2.5");
	assert_false(r.free);
	env_fini(&env);
}

static void patterns_pass_over_providers_that_are_not_configured(void **state)
{
	static const struct expect cases[] = { { "gpt-oss-20b", "openrouter", "gpt-oss-20b" },
		{ "codestral-x", "codestral", "codestral-x" },
		{ "unknown-org/model", "openrouter", "unknown-org/model" } };
	struct env env;

	(void)state;
	env_load(&env, ENV("OPENROUTER_API_KEY=k", "CODESTRAL_API_KEY=k"));
	CHECK(&env, cases);
	env_fini(&env);
}

static void a_router_alone_serves_the_paid_models_of_others_under_our_ids(void **state)
{
	static const struct expect cases[] = { { "anthropic/claude-sonnet-4.6", "openrouter",
						       "anthropic/claude-sonnet-4.6" },
		{ "anthropic/claude-new", "openrouter", "anthropic/claude-new" } };
	static const char *const refused[] = { "minimax/minimax-m2.5:free", "ollama/llama3",
		"ollama/other", "demo/echo:free", "demo/other", "kilo-auto/free" };
	struct env env;
	struct route r;
	struct err e;

	(void)state;
	env_load(&env, ENV("OPENROUTER_API_KEY=k"));
	CHECK(&env, cases);
	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
		print_message("%s\n", refused[i]);
		assert_int_equal(
			route_find(env.catalog, refused[i], &r, &e), ERR_MODEL_UNAVAILABLE);
	}
	env_fini(&env);
}

static void suffixes_of_routers_are_no_tags_of_a_local_server(void **state)
{
	static const char *const ids[] = { "x:free", "x:thinking", "x:nitro", "x:online", "x:floor",
		"x:extended", "x:exacto", "x:FREE" };
	struct env env;
	struct route r;
	struct err e;

	(void)state;
	env_load(&env, EVERYBODY);
	for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
		print_message("%s\n", ids[i]);
		assert_int_equal(route_find(env.catalog, ids[i], &r, &e), ERR_MODEL_NOT_FOUND);
	}
	env_fini(&env);
}

static void only_what_is_free_by_name_at_a_router_or_in_the_catalogue_is_free(void **state)
{
	static const struct {
		const char *id;
		bool free;
	} cases[] = { { "minimax/minimax-m2.5:free", true }, { "minimax/minimax-m2.5", false },
		{ "corethink:free", true }, { "giga-potato", true },
		{ "openrouter/some/model:free", true }, { "openrouter/some/model", false },
		{ "openai/gpt-4o:free", true }, { "ollama/llama3", false },
		{ "ollama/other:free", false } };
	struct env env;
	struct route r;

	(void)state;
	env_load(&env, EVERYBODY);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		print_message("%s\n", cases[i].id);
		assert_int_equal(route_find(env.catalog, cases[i].id, &r, NULL), ERR_OK);
		assert_int_equal(r.free, cases[i].free);
	}
	env_fini(&env);
}

static void a_model_nobody_serves_names_the_setting_that_is_missing(void **state)
{
	static const struct {
		const char *id, *setting;
	} cases[] = { { "anthropic/claude-sonnet-4.6", "ANTHROPIC_API_KEY" },
		{ "claude-sonnet-4.6", "ANTHROPIC_API_KEY" },
		{ "anthropic/claude-x", "ANTHROPIC_API_KEY" },
		{ "google/gemini-9", "GEMINI_API_KEY" }, { "ollama/llama3", "OLLAMA_BASE_URL" },
		{ "demo/echo:free", "GATEWAY_DEMO" }, { "bedrock/x", "bedrock" } };
	struct env env;
	struct route r;
	struct err e;

	(void)state;
	env_load(&env, ENV("OPENAI_API_KEY=k"));
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		print_message("%s\n", cases[i].id);
		assert_int_equal(
			route_find(env.catalog, cases[i].id, &r, &e), ERR_MODEL_UNAVAILABLE);
		assert_non_null(strstr(e.message, cases[i].setting));
		assert_string_equal(e.param, "model");
	}
	env_fini(&env);
}

static void an_unknown_model_is_answered_with_near_ones_that_are_served(void **state)
{
	static const struct {
		const char *id, *near;
	} cases[] = { { "gpt4o", "openai/gpt-4o" }, { "opnai/gpt-5.2", "openai/gpt-5.2" },
		{ "gtp-4.1", "openai/gpt-4.1" } };
	struct env env;
	struct route r;
	struct err e;

	(void)state;
	env_load(&env, ENV("OPENAI_API_KEY=k"));
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		print_message("%s\n", cases[i].id);
		assert_int_equal(route_find(env.catalog, cases[i].id, &r, &e), ERR_MODEL_NOT_FOUND);
		assert_non_null(strstr(e.message, cases[i].near));
	}
	assert_int_equal(route_find(env.catalog, "cloude-sonnet-4.6", &r, &e), ERR_MODEL_NOT_FOUND);
	assert_null(strstr(e.message, "anthropic/")); /* near, but not configured */
	assert_int_equal(route_find(env.catalog, "zzzzzzzzzzzz", &r, &e), ERR_MODEL_NOT_FOUND);
	assert_null(strstr(e.message, "near it"));
	env_fini(&env);
}

static void odd_ids_are_refused_not_misread(void **state)
{
	static const char *const ids[] = { "", " ", "/", "openai", "openai/", "/gpt", ":", "*",
		"kilocode/", "o", "ox", "o1x" };
	char longest[400];
	struct env env;
	struct route r;
	struct err e;

	(void)state;
	env_load(&env, ENV("OPENAI_API_KEY=k"));
	for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
		print_message("\"%s\"\n", ids[i]);
		assert_int_not_equal(route_find(env.catalog, ids[i], &r, &e), ERR_OK);
	}
	memset(longest, 'a', sizeof(longest));
	longest[sizeof(longest) - 1] = '\0';
	memcpy(longest, "openai/", strlen("openai/"));
	assert_int_equal(route_find(env.catalog, longest, &r, &e), ERR_MODEL_NOT_FOUND);
	env_fini(&env);
}

static void variants_are_kept_for_routers_and_left_out_for_others(void **state)
{
	static const struct expect cases[] = { { "openai/gpt-4o:thinking", "openai", "gpt-4o" },
		{ "openai/gpt-4o:NITRO", "openai", "gpt-4o" },
		{ "anthropic/claude-sonnet-4.6:floor", "anthropic", "claude-sonnet-4-6" },
		{ "gpt-4o:online", "openai", "gpt-4o" }, { "gpt-9:extended", "openai", "gpt-9" },
		{ "openai/gpt-9:exacto", "openai", "gpt-9" },
		{ "openai/gpt-4o:nitro:online", "openai", "gpt-4o" },
		{ "gpt-4o-2024-08-06:nitro", "openai", "gpt-4o-2024-08-06" },
		/* no variant of a router's */
		{ "ft:gpt-4o:org::id", "openai", "ft:gpt-4o:org::id" },
		{ "openai/gpt-9:mine", "openai", "gpt-9:mine" },
		/* models of a router, or asked for there */
		{ "openrouter/openai/gpt-4o:nitro", "openrouter", "openai/gpt-4o:nitro" },
		{ "microsoft/phi-4:floor", "openrouter", "microsoft/phi-4:floor" },
		{ "microsoft/phi-4:free", "openrouter", "microsoft/phi-4:free" },
		{ "openai/gpt-4o:free", "openrouter", "openai/gpt-4o:free" },
		/* a router that knows none */
		{ "vercel/openai/gpt-4o:nitro", "vercel", "openai/gpt-4o" },
		/* a variant of the catalogue's own */
		{ "z-ai/glm-5:free", "zai", "glm-5" },
		/* whatever it is on the operator's own machine */
		{ "ollama/mine:free", "ollama", "mine:free" },
		{ "llama3:nitro", "ollama", "llama3" } };
	struct env env;

	(void)state;
	env_load(&env, EVERYBODY);
	CHECK(&env, cases);
	env_fini(&env);
}

static void a_variant_keeps_the_price_but_free_never_becomes_paid(void **state)
{
	struct env env;
	struct route r;
	struct err e;

	(void)state;
	env_load(&env, EVERYBODY);
	assert_int_equal(
		route_find(env.catalog, "openrouter/microsoft/phi-4:nitro", &r, &e), ERR_OK);
	assert_string_equal(r.model->id, "microsoft/phi-4");
	assert_int_equal(route_find(env.catalog, "microsoft/phi-4:free", &r, &e), ERR_OK);
	assert_null(r.model);
	assert_true(r.free);
	env_fini(&env);
	env_load(&env, ENV("OPENAI_API_KEY=k"));
	assert_int_equal(route_find(env.catalog, "gpt-4o:nitro", &r, &e), ERR_OK);
	assert_string_equal(r.model->id, "openai/gpt-4o");
	for (int i = 0; i < 3; i++) {
		static const char *const ids[] = { "openai/gpt-4o:free", "gpt-4o:free",
			"openai/gpt-9:free:nitro" };

		print_message("%s\n", ids[i]);
		assert_int_equal(route_find(env.catalog, ids[i], &r, &e), ERR_MODEL_NOT_FOUND);
		assert_non_null(strstr(e.message, ":free"));
	}
	env_fini(&env);
}

static void a_day_at_the_end_of_a_name_is_understood_both_ways(void **state)
{
	static const struct {
		const char *id, *native, *entry;
	} cases[] = { { "openai/gpt-4o-2024-08-06", "gpt-4o-2024-08-06", "openai/gpt-4o" },
		{ "gpt-4o-2024-08-06", "gpt-4o-2024-08-06", "openai/gpt-4o" },
		{ "claude-sonnet-4-20250514", "claude-sonnet-4-20250514",
			"anthropic/claude-sonnet-4" },
		{ "anthropic/claude-sonnet-4-20250514", "claude-sonnet-4-20250514",
			"anthropic/claude-sonnet-4" },
		{ "claude-sonnet-4", "claude-sonnet-4-20250514", "anthropic/claude-sonnet-4" },
		{ "anthropic/claude-haiku-4-5-20251001", "claude-haiku-4-5-20251001",
			"anthropic/claude-haiku-4.5" },
		{ "claude-3-haiku", "claude-3-haiku-20240307", "anthropic/claude-3-haiku" },
		/* no days */
		{ "gpt-4o-2024-13-06", "gpt-4o-2024-13-06", NULL },
		{ "gpt-4o-20240806x", "gpt-4o-20240806x", NULL },
		{ "gpt-4o-19990806", "gpt-4o-19990806", NULL } };
	struct env env;
	struct route r;
	struct err e;

	(void)state;
	env_load(&env, EVERYBODY);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		print_message("%s\n", cases[i].id);
		assert_int_equal(route_find(env.catalog, cases[i].id, &r, &e), ERR_OK);
		assert_string_equal(r.target.native_id, cases[i].native);
		assert_int_equal(r.model != NULL, cases[i].entry != NULL);
		if (r.model)
			assert_string_equal(r.model->id, cases[i].entry);
	}
	env_fini(&env);
	env_load(&env, ENV("OPENROUTER_API_KEY=k"));
	assert_int_equal(route_find(env.catalog, "openai/gpt-4o-2024-08-06", &r, &e), ERR_OK);
	assert_string_equal(r.target.native_id, "openai/gpt-4o-2024-08-06");
	assert_string_equal(r.model->id, "openai/gpt-4o");
	env_fini(&env);
}

static void the_newest_of_a_family_is_found_by_its_numbers(void **state)
{
	static const struct expect cases[] = { { "~anthropic/claude-sonnet-latest", "anthropic",
						       "claude-sonnet-5" },
		{ "~anthropic/claude-haiku-latest", "anthropic", "claude-haiku-4-5" },
		{ "~Anthropic/Claude-Opus-Latest", "anthropic", "claude-opus-5" },
		{ "kilocode/~openai/gpt-latest", "openai", "gpt-5.6" },
		{ "~openai/gpt-mini-latest", "openai", "gpt-5.4-mini" },
		{ "~google/gemini-flash-latest", "google", "gemini-3.6-flash" },
		{ "~google/gemini-pro-latest", "google", "gemini-3.1-pro-preview" },
		{ "~nobody/x-latest", "openrouter", "~nobody/x-latest" } };
	static const char *const refused[] = { "~", "~/", "~openai", "~openai/", "~openai/gpt",
		"~openai/latest", "~openai/-latest", "~openai/gtp-latest" };
	struct env env;
	struct route r;
	struct err e;

	(void)state;
	env_load(&env, EVERYBODY);
	CHECK(&env, cases);
	env_fini(&env);
	env_load(&env, ENV("OPENROUTER_API_KEY=k"));
	assert_int_equal(route_find(env.catalog, "~openai/gpt-latest", &r, &e), ERR_OK);
	assert_string_equal(r.target.native_id, "~openai/gpt-latest"); /* it knows itself */
	assert_string_equal(r.model->id, "openai/gpt-5.6");
	env_fini(&env);
	env_load(&env, ENV("OPENAI_API_KEY=k"));
	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
		print_message("%s\n", refused[i]);
		assert_int_equal(route_find(env.catalog, refused[i], &r, &e), ERR_MODEL_NOT_FOUND);
	}
	assert_int_equal(route_find(env.catalog, "~anthropic/claude-sonnet-latest", &r, &e),
		ERR_MODEL_UNAVAILABLE);
	env_fini(&env);
}

static void ids_are_translated_for_who_has_names_of_its_own(void **state)
{
	static const struct expect cases[] = { { "vercel/z-ai/glm-5", "vercel", "zai/glm-5" },
		{ "vercel/x-ai/grok-4", "vercel", "xai/grok-4" },
		{ "vercel/mistralai/mistral-large", "vercel", "mistral/mistral-large" },
		{ "vercel/mistralai/codestral-2508", "vercel", "mistral/codestral" },
		{ "vercel/mistralai/devstral-2512", "vercel", "mistral/devstral-2" },
		{ "vercel/meta-llama/llama-4", "vercel", "meta/llama-4" },
		{ "vercel/qwen/qwen3-coder", "vercel", "alibaba/qwen3-coder" },
		{ "vercel/kwaipilot/kat", "vercel", "kwaipilot/kat" },
		{ "vercel/google/gemini-3-flash-preview", "vercel", "google/gemini-3-flash" },
		{ "vercel/anthropic/claude-sonnet-4.6", "vercel", "anthropic/claude-sonnet-4.6" },
		{ "groq/meta-llama/llama-3.3-70b-instruct", "groq", "llama-3.3-70b-versatile" },
		{ "ollama/meta-llama/llama-3.3-70b-instruct", "ollama", "llama3.3:70b" } };
	struct env env;

	(void)state;
	env_load(&env, EVERYBODY);
	CHECK(&env, cases);
	env_fini(&env);
}

static void the_target_knows_how_much_the_model_may_write(void **state)
{
	struct env env;
	struct route r;
	struct err e;

	(void)state;
	env_load(&env, EVERYBODY);
	assert_int_equal(route_find(env.catalog, "openai/gpt-4o", &r, &e), ERR_OK);
	assert_int_equal(r.target.max_output, 16384);
	assert_int_equal(route_find(env.catalog, "gpt-4o-2024-08-06", &r, &e), ERR_OK);
	assert_int_equal(r.target.max_output, 16384);
	assert_int_equal(route_find(env.catalog, "openai/gpt-9", &r, &e), ERR_OK);
	assert_int_equal(r.target.max_output, 0);
	env_fini(&env);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bare_names_find_their_maker_by_pattern),
		cmocka_unit_test(ids_are_translated_to_what_the_provider_calls_them),
		cmocka_unit_test(another_spelling_still_finds_the_catalogue_entry_and_its_price),
		cmocka_unit_test(patterns_pass_over_providers_that_are_not_configured),
		cmocka_unit_test(a_router_alone_serves_the_paid_models_of_others_under_our_ids),
		cmocka_unit_test(suffixes_of_routers_are_no_tags_of_a_local_server),
		cmocka_unit_test(only_what_is_free_by_name_at_a_router_or_in_the_catalogue_is_free),
		cmocka_unit_test(a_model_nobody_serves_names_the_setting_that_is_missing),
		cmocka_unit_test(an_unknown_model_is_answered_with_near_ones_that_are_served),
		cmocka_unit_test(odd_ids_are_refused_not_misread),
		cmocka_unit_test(variants_are_kept_for_routers_and_left_out_for_others),
		cmocka_unit_test(a_variant_keeps_the_price_but_free_never_becomes_paid),
		cmocka_unit_test(a_day_at_the_end_of_a_name_is_understood_both_ways),
		cmocka_unit_test(the_newest_of_a_family_is_found_by_its_numbers),
		cmocka_unit_test(ids_are_translated_for_who_has_names_of_its_own),
		cmocka_unit_test(the_target_knows_how_much_the_model_may_write),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
