/* What a request wishes about who serves it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "gateway/chat.h"
#include "gateway/wishes.h"

#include <stdio.h>

static struct buf body;
static struct chat_req req;
static struct wishes wishes;
static struct err e;

/* Reads a request with these further members. */
static enum err_code read(const char *members)
{
	static const struct json_limits limits = { .max_depth = 32, .max_keys = 1000 };

	print_message("%s\n", members);
	buf_fini(&body);
	buf_printf(&body,
		"{\"model\":\"a\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]%s}",
		members);
	if (chat_parse(buf_slice(&body), &limits, &req, &e))
		fail_msg("%s", e.message);
	return wishes_read(&req, &wishes, &e);
}

static int end(void **state)
{
	(void)state;
	buf_fini(&body);
	return 0;
}

static void check_list(const struct slice *list, size_t n, const char *expected)
{
	struct buf got = { .max_bytes = 4096 };

	for (size_t i = 0; i < n; i++) {
		buf_str(&got, i ? " " : "");
		buf_slice_append(&got, list[i]);
	}
	assert_non_null(buf_cstr(&got));
	assert_string_equal(got.data, expected);
	buf_fini(&got);
}

static void who_wishes_nothing_has_no_wishes(void **state)
{
	static const char *const cases[] = { "", ",\"models\":null,\"provider\":null",
		",\"order\":[\"a\"],\"only\":[\"b\"]" };

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		memset(&wishes, 0xff, sizeof(wishes));
		assert_int_equal(read(cases[i]), ERR_OK);
		assert_false(wishes.any);
		assert_int_equal(wishes.model_count, 0);
		assert_null(wishes.for_routers);
		assert_int_equal(wishes.max_prompt_picousd, -1);
		assert_int_equal(wishes.max_completion_picousd, -1);
	}
}

static void the_chain_is_models_then_fallbacks_then_vercels(void **state)
{
	(void)state;
	assert_int_equal(read(",\"fallbacks\":[\"c\"],\"providerOptions\":{\"gateway\":{\"models\":"
			      "[\"d\"]}},\"models\":[\" x\\/a \",\"b\\u002d2\"]"),
		ERR_OK);
	assert_true(wishes.any);
	check_list(wishes.models, wishes.model_count, "x/a b-2 c d");
}

static void openrouters_form_is_understood(void **state)
{
	(void)state;
	assert_int_equal(
		read(",\"provider\":{\"order\":[\"a\",\"minimax\\/fp8\"],\"only\":[\"b/x\"],"
		     "\"ignore\":[\"c\",\"d\"],\"allow_fallbacks\":false,\"sort\":\"throughput\","
		     "\"data_collection\":\"deny\",\"zdr\":true,\"require_parameters\":true,"
		     "\"max_price\":{\"prompt\":\"1.5\",\"completion\":6,\"request\":0.01,"
		     "\"image\":\"0\"},\"preferred_max_latency\":3},\"tools\":[{}],"
		     "\"response_format\":{\"type\":\"json_schema\"}"),
		ERR_OK);
	check_list(wishes.order.slug, wishes.order.count, "a minimax");
	check_list(wishes.only.slug, wishes.only.count, "b");
	check_list(wishes.ignore.slug, wishes.ignore.count, "c d");
	assert_true(wishes.no_fallbacks && wishes.no_collection && wishes.zdr);
	assert_true(wishes.require_parameters && wishes.tools && wishes.schema);
	assert_false(wishes.images);
	assert_int_equal(wishes.sort, SORT_THROUGHPUT);
	assert_int_equal(wishes.max_prompt_picousd, 1500000);
	assert_int_equal(wishes.max_completion_picousd, 6000000);
	assert_int_equal(wishes.max_request_picousd, INT64_C(10000000000));
	assert_int_equal(wishes.max_image_picousd, 0);
	assert_null(wishes.for_routers);
	assert_int_equal(read(",\"provider\":{\"data_collection\":\"allow\",\"zdr\":false,"
			      "\"allow_fallbacks\":true,\"sort\":{\"by\":\"price\"}}"),
		ERR_OK);
	assert_false(wishes.no_fallbacks || wishes.no_collection || wishes.zdr);
	assert_int_equal(wishes.sort, SORT_PRICE);
	assert_int_equal(wishes.max_prompt_picousd, -1);
}

static void what_only_routers_know_is_noted_by_name(void **state)
{
	static const struct {
		const char *members, *name;
	} cases[] = {
		{ ",\"provider\":{\"quantizations\":[\"fp8\"]}", "provider.quantizations" },
		{ ",\"provider\":{\"enforce_distillable_text\":true}",
			"provider.enforce_distillable_text" },
		{ ",\"provider\":{\"max_price\":{\"audio\":1}}", "provider.max_price.audio" },
		{ ",\"provider\":{\"quantizations\":[]}", NULL },
		{ ",\"provider\":{\"enforce_distillable_text\":false}", NULL },
		{ ",\"provider\":{\"sort\":\"exacto\"}", NULL },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(read(cases[i].members), ERR_OK);
		if (cases[i].name)
			assert_string_equal(wishes.for_routers, cases[i].name);
		else
			assert_null(wishes.for_routers);
	}
}

static void vercels_form_is_understood(void **state)
{
	static const struct {
		const char *word;
		enum wish_sort sort;
	} sorts[] = { { "cost", SORT_PRICE }, { "ttft", SORT_LATENCY },
		{ "tps", SORT_THROUGHPUT } };
	char members[128];

	(void)state;
	assert_int_equal(
		read(",\"providerOptions\":{\"anthropic\":{\"effort\":\"low\"},\"gateway\":{"
		     "\"order\":[\"a\"],\"only\":[\"b\"],\"zeroDataRetention\":true,"
		     "\"disallowPromptTraining\":true,\"tags\":[\"x\"]}}"),
		ERR_OK);
	check_list(wishes.order.slug, wishes.order.count, "a");
	check_list(wishes.only.slug, wishes.only.count, "b");
	assert_true(wishes.zdr && wishes.no_collection);
	for (size_t i = 0; i < 3; i++) {
		(void)snprintf(members, sizeof(members),
			",\"providerOptions\":{\"gateway\":{\"sort\":\"%s\"}}", sorts[i].word);
		assert_int_equal(read(members), ERR_OK);
		assert_int_equal(wishes.sort, sorts[i].sort);
	}
	/* what one form demands the other does not take back */
	assert_int_equal(read(",\"provider\":{\"zdr\":true,\"data_collection\":\"deny\"},"
			      "\"providerOptions\":{\"gateway\":{\"zeroDataRetention\":false,"
			      "\"disallowPromptTraining\":false}}"),
		ERR_OK);
	assert_true(wishes.zdr && wishes.no_collection);
}

static void images_are_seen_when_parameters_are_required(void **state)
{
	static const struct json_limits limits = { .max_depth = 32, .max_keys = 1000 };
	static const char text[] =
		"{\"model\":\"a\",\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"image_"
		"url\",\"image_url\":{\"url\":\"https://x/y.png\"}}]}],\"provider\":{\"require_"
		"parameters\":true}}";

	(void)state;
	assert_int_equal(chat_parse(slice_of(text), &limits, &req, &e), ERR_OK);
	assert_int_equal(wishes_read(&req, &wishes, &e), ERR_OK);
	assert_true(wishes.images);
	assert_false(wishes.tools || wishes.schema);
}

static void what_is_wrong_is_refused_by_name(void **state)
{
	static const struct {
		const char *members, *param, *words;
	} cases[] = {
		{ ",\"models\":\"a\"", "models", "an array of model ids" },
		{ ",\"models\":[\"a\",1]", "models[1]", "a model id" },
		{ ",\"models\":[\" \"]", "models[0]", "a model id" },
		{ ",\"fallbacks\":[{\"model\":\"a\"}]", "fallbacks[0]", "a model id" },
		{ ",\"models\":[\"1\",\"2\",\"3\",\"4\",\"5\",\"6\",\"7\",\"8\",\"9\"]", "models",
			"at most 8" },
		{ ",\"models\":[\"1\",\"2\",\"3\",\"4\"],\"fallbacks\":[\"5\",\"6\",\"7\",\"8\","
		  "\"9\"]",
			"fallbacks", "at most 8" },
		{ ",\"provider\":[]", "provider", "an object" },
		{ ",\"provider\":{\"order\":\"a\"}", "provider.order", "an array" },
		{ ",\"provider\":{\"only\":[1]}", "provider.only[0]", "the name of a provider" },
		{ ",\"provider\":{\"ignore\":[\"a\",null]}", "provider.ignore[1]",
			"the name of a provider" },
		{ ",\"provider\":{\"only\":[\"1\",\"2\",\"3\",\"4\",\"5\",\"6\",\"7\",\"8\",\"9\","
		  "\"10\",\"11\",\"12\",\"13\",\"14\",\"15\",\"16\",\"17\"]}",
			"provider.only", "more than 16" },
		{ ",\"provider\":{\"allow_fallbacks\":\"no\"}", "provider.allow_fallbacks",
			"true or false" },
		{ ",\"provider\":{\"zdr\":1}", "provider.zdr", "true or false" },
		{ ",\"provider\":{\"require_parameters\":\"x\"}", "provider.require_parameters",
			"true or false" },
		{ ",\"provider\":{\"data_collection\":\"never\"}", "provider.data_collection",
			"deny" },
		{ ",\"provider\":{\"data_collection\":false}", "provider.data_collection", "deny" },
		{ ",\"provider\":{\"sort\":\"fast\"}", "provider.sort", "price, latency" },
		{ ",\"provider\":{\"max_price\":1}", "provider.max_price", "an object" },
		{ ",\"provider\":{\"max_price\":{\"prompt\":\"-1\"}}", "provider.max_price.prompt",
			"decimal number" },
		{ ",\"provider\":{\"max_price\":{\"completion\":1e3}}",
			"provider.max_price.completion", "decimal number" },
		{ ",\"provider\":{\"max_price\":{\"image\":true}}", "provider.max_price.image",
			"decimal number" },
		{ ",\"provider\":{\"quantizations\":\"fp8\"}", "provider.quantizations",
			"an array" },
		{ ",\"providerOptions\":1", "providerOptions", "an object" },
		{ ",\"providerOptions\":{\"gateway\":[]}", "providerOptions.gateway", "an object" },
		{ ",\"providerOptions\":{\"gateway\":{\"order\":{}}}",
			"providerOptions.gateway.order", "an array" },
		{ ",\"providerOptions\":{\"gateway\":{\"sort\":\"price\"}}",
			"providerOptions.gateway.sort", "cost, ttft" },
		{ ",\"provider\":{\"only\":[\"a\"]},\"providerOptions\":{\"gateway\":{\"only\":["
		  "\"b\"]}}",
			"providerOptions.gateway.only", "say it once" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(read(cases[i].members), ERR_BAD_REQUEST);
		assert_string_equal(e.param, cases[i].param);
		if (!strstr(e.message, cases[i].words))
			fail_msg("\"%s\" does not say \"%s\"", e.message, cases[i].words);
	}
}

static void names_with_escapes_have_room_or_are_refused(void **state)
{
	struct buf members = { .max_bytes = 8192 };

	(void)state;
	buf_str(&members, ",\"models\":[");
	for (int i = 0; i < 8; i++) {
		buf_str(&members, i ? ",\"a\\/" : "\"a\\/");
		for (int k = 0; k < 150; k++)
			buf_char(&members, 'x');
		buf_char(&members, '"');
	}
	buf_char(&members, ']');
	assert_int_equal(read(buf_cstr(&members)), ERR_BAD_REQUEST);
	assert_string_equal(e.param, "models[3]");
	buf_fini(&members);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(who_wishes_nothing_has_no_wishes),
	cmocka_unit_test(the_chain_is_models_then_fallbacks_then_vercels),
	cmocka_unit_test(openrouters_form_is_understood),
	cmocka_unit_test(what_only_routers_know_is_noted_by_name),
	cmocka_unit_test(vercels_form_is_understood),
	cmocka_unit_test(images_are_seen_when_parameters_are_required),
	cmocka_unit_test(what_is_wrong_is_refused_by_name),
	cmocka_unit_test(names_with_escapes_have_room_or_are_refused),
};

int main(void)
{
	return cmocka_run_group_tests(tests, NULL, end);
}
