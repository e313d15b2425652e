#include "gateway/providers/openai_like.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>

static bool drops(const char *slug, const char *member)
{
	return quirks_drops(quirks_of(slug), slice_of(member));
}

static void every_provider_with_a_row_says_which_limit_it_understands(void **state)
{
	static const struct {
		const char *slug;
		enum limit_field limit;
	} cases[] = { { "openai", LIMIT_MAX_COMPLETION_TOKENS }, { "ollama", LIMIT_MAX_TOKENS },
		{ "vllm", LIMIT_EITHER }, { "huggingface", LIMIT_MAX_TOKENS },
		{ "openrouter", LIMIT_EITHER }, { "vercel", LIMIT_MAX_TOKENS },
		{ "mistral", LIMIT_MAX_TOKENS }, { "xai", LIMIT_EITHER },
		{ "minimax", LIMIT_MAX_TOKENS }, { "moonshot", LIMIT_EITHER },
		{ "zai", LIMIT_MAX_TOKENS }, { "deepseek", LIMIT_MAX_TOKENS },
		{ "groq", LIMIT_MAX_COMPLETION_TOKENS }, { "together", LIMIT_MAX_TOKENS },
		{ "fireworks", LIMIT_MAX_TOKENS }, { "cohere", LIMIT_MAX_TOKENS },
		{ "inception", LIMIT_MAX_TOKENS }, { "corethink", LIMIT_MAX_TOKENS },
		{ "streamlake", LIMIT_MAX_TOKENS }, { "arcee", LIMIT_MAX_TOKENS },
		{ "martian", LIMIT_EITHER } };

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct quirks *q = quirks_of(cases[i].slug);

		print_message("%s\n", cases[i].slug);
		assert_string_equal(q->slug, cases[i].slug);
		assert_int_equal(q->limit, cases[i].limit);
	}
}

static void a_provider_without_a_row_gets_the_row_of_everybody_else(void **state)
{
	const struct quirks *q = quirks_of("my-own-server");

	(void)state;
	assert_string_equal(q->slug, "");
	assert_int_equal(q->limit, LIMIT_EITHER);
	assert_false(q->strict || q->is_router || q->trusts_cost || q->no_stream_options);
	assert_false(drops("my-own-server", "top_k"));
}

static void members_for_routers_reach_routers_only(void **state)
{
	static const char *const members[] = { "provider", "providerOptions", "route", "transforms",
		"plugins", "usage", "session_id", "include_reasoning", "reasoning", "debug",
		"preset" };
	static const char *const others[] = { "openai", "mistral", "groq", "ollama", "xai",
		"my-own-server", "demo" };

	(void)state;
	for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++) {
		print_message("%s\n", members[i]);
		assert_false(drops("openrouter", members[i]));
		assert_false(drops("kilo", members[i]));
		for (size_t k = 0; k < sizeof(others) / sizeof(others[0]); k++)
			assert_true(drops(others[k], members[i]));
	}
}

static void vercel_gets_the_few_members_for_routers_it_knows(void **state)
{
	(void)state;
	assert_false(drops("vercel", "providerOptions"));
	assert_false(drops("vercel", "reasoning"));
	assert_true(drops("vercel", "plugins"));
	assert_true(drops("vercel", "transforms"));
}

static void the_chain_of_models_reaches_nobody(void **state)
{
	static const char *const slugs[] = { "openai", "openrouter", "kilo", "vercel", "demo",
		"my-own-server" };

	(void)state;
	for (size_t i = 0; i < sizeof(slugs) / sizeof(slugs[0]); i++) {
		assert_true(drops(slugs[i], "models"));
		assert_true(drops(slugs[i], "fallbacks"));
	}
}

static void extra_body_reaches_google_only(void **state)
{
	(void)state;
	assert_true(drops("openrouter", "extra_body"));
	assert_true(drops("openai", "extra_body"));
	assert_true(drops("my-own-server", "extra_body"));
	assert_false(drops("google", "extra_body"));
}

static void no_provider_loses_what_a_chat_needs(void **state)
{
	static const char *const slugs[] = { "openai", "anthropic", "google", "ollama", "mistral",
		"codestral", "groq", "cohere", "corethink", "moonshot", "minimax", "openrouter",
		"demo", "my-own-server" };
	static const char *const members[] = { "model", "messages", "stream", "max_tokens",
		"max_completion_tokens", "tools", "tool_choice", "response_format", "stop", "n" };

	(void)state;
	for (size_t i = 0; i < sizeof(slugs) / sizeof(slugs[0]); i++)
		for (size_t k = 0; k < sizeof(members) / sizeof(members[0]); k++) {
			print_message("%s %s\n", slugs[i], members[k]);
			assert_false(drops(slugs[i], members[k]));
		}
}

/* A request for another vendor's model may come to them when that vendor fails. */
static void words_of_one_vendor_reach_that_vendor_only(void **state)
{
	(void)state;
	assert_true(drops("openai", "top_k"));
	assert_true(drops("openai", "thinking"));
	assert_true(drops("xai", "safety_settings"));
	assert_true(drops("moonshot", "chat_template_kwargs"));
	assert_true(drops("deepseek", "cache_control"));
	assert_true(drops("zai", "enable_thinking"));
	assert_false(drops("deepseek", "thinking"));
	assert_false(drops("moonshot", "thinking"));
	assert_false(drops("alibaba", "enable_thinking"));
	assert_false(drops("vllm", "chat_template_kwargs"));
	assert_false(drops("vllm", "top_k"));
	assert_false(drops("groq", "reasoning_format"));
	assert_false(drops("mistral", "safe_prompt"));
	assert_false(drops("openrouter", "thinking"));
	assert_false(drops("my-own-server", "thinking"));
}

static void strict_providers_get_known_members_only(void **state)
{
	(void)state;
	assert_false(drops("openai", "something_new"));
	assert_false(drops("openai", "verbosity"));
	assert_true(drops("groq", "store"));
	assert_true(drops("groq", "logprobs"));
	assert_false(drops("groq", "reasoning_format"));
	assert_true(drops("mistral", "user"));
	assert_true(drops("mistral", "logit_bias"));
	assert_true(drops("mistral", "reasoning_effort"));
	assert_false(drops("mistral", "random_seed"));
	assert_false(drops("mistral", "safe_prompt"));
	assert_true(drops("google", "store"));
	assert_true(drops("google", "seed"));
}

static void refused_members_are_dropped_for_who_refuses_them(void **state)
{
	(void)state;
	assert_true(drops("cohere", "parallel_tool_calls"));
	assert_false(drops("together", "parallel_tool_calls"));
	assert_true(drops("minimax", "presence_penalty"));
	assert_true(drops("moonshot", "seed"));
	assert_false(drops("deepseek", "temperature"));
	assert_true(drops("corethink", "prompt_cache_key"));
	assert_true(drops("inception", "diffusing"));
	assert_true(drops("mistral", "stream_options"));
	assert_false(drops("xai", "stream_options"));
}

static void mistral_knows_the_seed_by_another_name(void **state)
{
	struct slice other = SLICE("temperature"), same;

	(void)state;
	assert_true(slice_is(quirks_name(quirks_of("mistral"), SLICE("seed")), "random_seed"));
	assert_false(drops("mistral", "seed"));
	same = quirks_name(quirks_of("mistral"), other);
	assert_ptr_equal(same.ptr, other.ptr);
	assert_true(slice_is(quirks_name(quirks_of("openai"), SLICE("seed")), "seed"));
}

static void routers_say_what_they_charge_and_xai_counts_reasoning_apart(void **state)
{
	(void)state;
	assert_true(quirks_of("openrouter")->trusts_cost);
	assert_false(quirks_of("openai")->trusts_cost);
	assert_true(quirks_of("xai")->completion_excludes_reasoning);
	assert_false(quirks_of("deepseek")->completion_excludes_reasoning);
}

static bool model_drops(const char *slug, const char *model, const char *member)
{
	struct quirks q;

	quirks_for_model(quirks_of(slug), model, &q);
	return quirks_drops(&q, slice_of(member));
}

static void a_family_refuses_what_its_provider_takes_otherwise(void **state)
{
	static const struct {
		const char *slug, *model, *member;
		bool drops;
	} cases[] = {
		{ "openai", "gpt-4o", "temperature", false },
		{ "openai", "gpt-4o", "stop", false },
		{ "openai", "o3-mini", "temperature", true },
		{ "openai", "o4-mini", "stop", true },
		{ "openai", "o1", "parallel_tool_calls", true },
		{ "openai", "gpt-5", "top_p", true },
		{ "openai", "GPT-5-mini", "top_p", true },
		{ "openai", "gpt-5-chat-latest", "top_p", false },
		{ "openai", "gpt-5.2-chat-latest", "top_p", false },
		{ "openai", "gpt-5.1", "temperature", false },
		{ "openai", "gpt-5.1", "presence_penalty", true },
		{ "openai", "ft:o3-mini:lab::x", "temperature", true },
		{ "openai", "gpt-4o-mini-search-preview", "tools", true },
		{ "azure", "o3", "temperature", true },
		{ "xai", "grok-4", "stop", true },
		{ "xai", "grok-4-1-fast-non-reasoning", "stop", false },
		{ "xai", "grok-3", "stop", false },
		{ "xai", "grok-code-fast-1", "presence_penalty", true },
		{ "martian", "x-ai/grok-4", "stop", true },
		{ "moonshot", "kimi-k2.5", "temperature", true },
		{ "moonshot", "moonshot-v1-8k", "temperature", false },
		{ "mistral", "mistral-large-latest", "temperature", false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		print_message("%s %s %s\n", cases[i].slug, cases[i].model, cases[i].member);
		assert_int_equal(model_drops(cases[i].slug, cases[i].model, cases[i].member),
			cases[i].drops);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_provider_with_a_row_says_which_limit_it_understands),
		cmocka_unit_test(a_provider_without_a_row_gets_the_row_of_everybody_else),
		cmocka_unit_test(members_for_routers_reach_routers_only),
		cmocka_unit_test(vercel_gets_the_few_members_for_routers_it_knows),
		cmocka_unit_test(the_chain_of_models_reaches_nobody),
		cmocka_unit_test(extra_body_reaches_google_only),
		cmocka_unit_test(no_provider_loses_what_a_chat_needs),
		cmocka_unit_test(words_of_one_vendor_reach_that_vendor_only),
		cmocka_unit_test(strict_providers_get_known_members_only),
		cmocka_unit_test(refused_members_are_dropped_for_who_refuses_them),
		cmocka_unit_test(a_family_refuses_what_its_provider_takes_otherwise),
		cmocka_unit_test(mistral_knows_the_seed_by_another_name),
		cmocka_unit_test(routers_say_what_they_charge_and_xai_counts_reasoning_apart),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
