#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "gateway/prices_list.h"

static void numbers_are_scaled_by_their_digits(void **state)
{
	static const struct {
		const char *text;
		int shift;
		int64_t out; /* -1 = refused */
	} cases[] = { { "0.15", 6, 150000 }, { "15", 6, 15000000 }, { "0", 6, 0 }, { "0.0", 6, 0 },
		{ "1.5e-7", 12, 150000 }, { "1.5E-07", 12, 150000 }, { "1e+2", 0, 100 },
		{ "0.0000025", 12, 2500000 }, { "0.30000000000000004", 6, 300000 },
		{ "0.0000004", 6, 0 }, { "0.0000005", 6, 1 }, { "0.00000049", 6, 0 },
		{ "2.7", 6, 2700000 }, { "30000", 2, 3000000 }, { "1000", 12, 1000000000000000 },
		{ "1001", 12, -1 }, { "1e99", 12, -1 }, { "0e99", 12, 0 }, { "1e-99", 12, 0 },
		{ "-1", 12, -1 }, { "", 6, -1 }, { ".5", 6, -1 }, { "5.", 6, -1 }, { "1,5", 6, -1 },
		{ "1.2.3", 6, -1 }, { "e5", 6, -1 }, { "1e", 6, -1 }, { "1e1000", 6, -1 },
		{ "123456789012345678901", 0, -1 }, { " 1", 6, -1 },
		{ "0.00000000000000000000000000000015", 6, 0 } };

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int64_t out = -1;
		bool good = prices_list_scale(slice_of(cases[i].text), cases[i].shift, &out);

		print_message("%s\n", cases[i].text);
		assert_int_equal(good, cases[i].out >= 0);
		assert_int_equal(out, cases[i].out);
	}
}

/* One entry of each shape, and what is to be read from it. */
static void every_shape_is_read(void **state)
{
	static const struct {
		const char *name;
		enum catalog_list_unit unit;
		const char *list, *expect;
	} cases[] = {
		{ "openrouter", CATALOG_LIST_PER_TOKEN,
			"{\"data\":[{\"id\":\"z-ai/glm-5\",\"name\":\"Z.ai: GLM "
			"5\",\"created\":1770800000,"
			"\"context_length\":202752,\"architecture\":{\"input_modalities\":["
			"\"text\"],"
			"\"output_modalities\":[\"text\"]},\"pricing\":{\"prompt\":\"0.0000006\","
			"\"completion\":\"0.00000192\",\"request\":\"0\",\"image\":\"0\","
			"\"internal_reasoning\":\"0\",\"input_cache_read\":\"0.00000012\","
			"\"input_cache_write\":\"0\",\"overrides\":[{\"min_prompt_tokens\":200000,"
			"\"prompt\":\"0.000001\"}]},\"top_provider\":{\"max_completion_tokens\":"
			"131072},"
			"\"supported_parameters\":[\"reasoning\",\"tools\"]}]}",
			"{\"native_id\":\"z-ai/glm-5\",\"name\":\"Z.ai: GLM "
			"5\",\"created\":1770800000,"
			"\"context_length\":202752,\"max_output\":131072,\"input_modalities\":["
			"\"text\"],"
			"\"output_modalities\":[\"text\"],\"supports_tools\":true,"
			"\"supports_reasoning\":true,\"price_prompt_usd_per_token\":\"0.0000006\","
			"\"price_completion_usd_per_token\":\"0.00000192\","
			"\"price_cache_read\":\"0.00000012\",\"overrides\":[{"
			"\"price_prompt_usd_per_token\":\"0.000001\",\"min_prompt_tokens\":200000}]"
			"}" },
		{ "vercel", CATALOG_LIST_PER_TOKEN,
			"{\"object\":\"list\",\"data\":[{\"id\":\"zai/glm-5\",\"name\":\"GLM\","
			"\"type\":\"language\",\"tags\":[\"tool-use\",\"reasoning\"],"
			"\"context_window\":200000,\"max_tokens\":96000,\"pricing\":{"
			"\"input\":\"0.000001\",\"output\":\"0.0000032\","
			"\"input_cache_read\":\"0.0000002\"}},{\"id\":\"x/"
			"pictures\",\"type\":\"image\"}]}",
			"{\"native_id\":\"zai/glm-5\",\"name\":\"GLM\",\"context_length\":200000,"
			"\"max_output\":96000,\"supports_tools\":true,\"supports_reasoning\":true,"
			"\"price_prompt_usd_per_token\":\"0.000001\","
			"\"price_completion_usd_per_token\":\"0.0000032\","
			"\"price_cache_read\":\"0.0000002\"}" },
		{ "huggingface", CATALOG_LIST_PER_MILLION,
			"{\"data\":[{\"id\":\"Qwen/Qwen3-8B\",\"created\":1,\"providers\":["
			"{\"provider\":\"a\",\"status\":\"live\",\"pricing\":{\"input\":0.1,"
			"\"output\":0.3}},"
			"{\"provider\":\"b\"},{\"provider\":\"c\",\"pricing\":{\"input\":0.2,"
			"\"output\":0.15}}]}]}",
			"{\"native_id\":\"Qwen/Qwen3-8B\",\"created\":1,"
			"\"price_prompt_usd_per_token\":\"0.0000002\","
			"\"price_completion_usd_per_token\":\"0.0000003\"}" },
		{ "together", CATALOG_LIST_PER_MILLION,
			"[{\"id\":\"meta-llama/"
			"Llama-4\",\"type\":\"chat\",\"display_name\":\"Llama 4\","
			"\"context_length\":1048576,\"pricing\":{\"hourly\":0,\"input\":0.27,"
			"\"output\":0.85,\"base\":0}}]",
			"{\"native_id\":\"meta-llama/Llama-4\",\"name\":\"Llama 4\","
			"\"context_length\":1048576,\"price_prompt_usd_per_token\":\"0.00000027\","
			"\"price_completion_usd_per_token\":\"0.00000085\"}" },
		{ "xai", CATALOG_LIST_CENTS_PER_100M,
			"{\"models\":[{\"id\":\"grok-4\",\"aliases\":[\"grok-4-latest\"],"
			"\"input_modalities\":[\"text\",\"image\"],\"output_modalities\":[\"text\"]"
			","
			"\"prompt_text_token_price\":30000,\"cached_prompt_text_token_price\":7500,"
			"\"completion_text_token_price\":150000}]}",
			"{\"native_id\":\"grok-4\",\"input_modalities\":[\"text\",\"image\"],"
			"\"output_modalities\":[\"text\"],\"price_prompt_usd_per_token\":\"0."
			"000003\","
			"\"price_completion_usd_per_token\":\"0.000015\","
			"\"price_cache_read\":\"0.00000075\"}" },
		{ "ollama", CATALOG_LIST_FREE,
			"{\"models\":[{\"name\":\"llama3.3:70b\",\"model\":\"llama3.3:70b\","
			"\"size\":1}]}",
			"{\"native_id\":\"llama3.3:70b\",\"name\":\"llama3.3:70b\","
			"\"price_prompt_usd_per_token\":\"0\","
			"\"price_completion_usd_per_token\":\"0\"}" },
		{ "vllm", CATALOG_LIST_FREE,
			"{\"object\":\"list\",\"data\":[{\"id\":\"served\",\"object\":\"model\","
			"\"created\":5,\"owned_by\":\"vllm\",\"max_model_len\":32768}]}",
			"{\"native_id\":\"served\",\"created\":5,\"context_length\":32768,"
			"\"price_prompt_usd_per_token\":\"0\","
			"\"price_completion_usd_per_token\":\"0\"}" },
		{ "anthropic", CATALOG_LIST_NO_PRICES,
			"{\"data\":[{\"type\":\"model\",\"id\":\"claude-x\",\"display_name\":"
			"\"Claude X\","
			"\"created_at\":\"2026-01-01T00:00:00Z\"}],\"has_more\":false}",
			"{\"native_id\":\"claude-x\",\"name\":\"Claude X\"}" },
		{ "gemini", CATALOG_LIST_NO_PRICES,
			"{\"models\":[{\"name\":\"models/gemini-9\",\"displayName\":\"Gemini 9\","
			"\"inputTokenLimit\":1048576,\"outputTokenLimit\":65536,"
			"\"supportedGenerationMethods\":[\"generateContent\",\"countTokens\"]},"
			"{\"name\":\"models/veo\",\"supportedGenerationMethods\":[\"predict\"]}]}",
			"{\"native_id\":\"gemini-9\",\"name\":\"Gemini "
			"9\",\"context_length\":1048576,"
			"\"max_output\":65536}" },
		{ "cohere", CATALOG_LIST_NO_PRICES,
			"{\"models\":[{\"name\":\"command-a\",\"endpoints\":[\"chat\"],"
			"\"context_length\":256000}]}",
			"{\"native_id\":\"command-a\",\"name\":\"command-a\",\"context_length\":"
			"256000}" },
		{ "an embedding", CATALOG_LIST_PER_MILLION,
			"[{\"id\":\"e\",\"type\":\"embedding\",\"pricing\":{\"input\":0.02}}]",
			"{\"native_id\":\"e\",\"output_modalities\":[\"embeddings\"],"
			"\"price_prompt_usd_per_token\":\"0.00000002\","
			"\"price_completion_usd_per_token\":\"0\"}" },
		{ "a price that varies", CATALOG_LIST_PER_TOKEN,
			"{\"data\":[{\"id\":\"openrouter/auto\",\"pricing\":{\"prompt\":\"-1\","
			"\"completion\":\"-1\"}}]}",
			"{\"native_id\":\"openrouter/auto\"}" },
		{ "half a price", CATALOG_LIST_PER_TOKEN,
			"{\"data\":[{\"id\":\"x\",\"pricing\":{\"prompt\":\"0.1\"}}]}",
			"{\"native_id\":\"x\"}" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct prices_list l;
		struct buf got = { 0 };
		struct err e;

		print_message("%s\n", cases[i].name);
		if (prices_list_read(slice_of(cases[i].list), cases[i].unit, &l, &e))
			fail_msg("%s", e.message);
		assert_int_equal(json_object_array_length(l.models), 1);
		json_write(json_object_array_get_idx(l.models, 0), &got);
		assert_string_equal(buf_cstr(&got), cases[i].expect);
		buf_fini(&got);
		prices_list_fini(&l);
	}
}

static void more_pages_aliases_and_missing_prices_are_told(void **state)
{
	struct prices_list l;
	struct err e;

	(void)state;
	assert_int_equal(
		prices_list_read(SLICE("{\"has_more\":true,\"data\":[{\"id\":\"A-20250101\"},"
				       "{\"id\":\"b\",\"aliases\":[\"c\"]}]}"),
			CATALOG_LIST_PER_TOKEN, &l, &e),
		ERR_OK);
	assert_true(l.is_partial);
	assert_int_equal(l.unpriced, 2);
	assert_true(prices_list_has(&l, SLICE("a")));
	assert_true(prices_list_has(&l, SLICE("a-20260101")));
	assert_true(prices_list_has(&l, SLICE("C")));
	assert_false(prices_list_has(&l, SLICE("d")));
	prices_list_fini(&l);
}

static void what_is_no_list_is_refused(void **state)
{
	static const char *const texts[] = { "", "{", "[]", "{}", "null", "5", "\"x\"",
		"{\"data\":{}}", "{\"data\":[]}", "{\"data\":[null,5,\"x\",[],{}]}",
		"{\"data\":[{\"id\":\"\"},{\"id\":\"a b\"},{\"id\":5},{\"id\":\"\\u0000x\"}]}",
		"{\"error\":\"no\"}" };

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct prices_list l;
		struct err e;

		print_message("%s\n", texts[i]);
		assert_int_equal(
			prices_list_read(slice_of(texts[i]), CATALOG_LIST_PER_TOKEN, &l, &e),
			ERR_UPSTREAM_INVALID);
		prices_list_fini(&l);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(numbers_are_scaled_by_their_digits),
		cmocka_unit_test(every_shape_is_read),
		cmocka_unit_test(more_pages_aliases_and_missing_prices_are_told),
		cmocka_unit_test(what_is_no_list_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
