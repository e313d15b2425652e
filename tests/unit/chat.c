#include "gateway/chat.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#define MODEL    "\"model\":\"openai/gpt-5.2\""
#define HI       "{\"role\":\"user\",\"content\":\"hi\"}"
#define MESSAGES "\"messages\":[" HI "]"
#define WITH(x)  "{" MODEL "," MESSAGES "," x "}"

static const struct json_limits limits = { .max_depth = 64,
	.max_keys = 1000,
	.depth_setting = "GATEWAY_MAX_DEPTH",
	.keys_setting = "GATEWAY_MAX_KEYS" };
static struct chat_req req;
static struct err err;

static enum err_code parse(const char *body)
{
	return chat_parse(slice_of(body), &limits, &req, &err);
}

static void a_request_is_read_once_and_kept_as_it_is(void **state)
{
	static const char body[] =
		" \n{\"temperature\":1e-1,\"x\":{\"y\":[1,{}]}," MESSAGES ",\"stream\":true,"
		"\"stream_options\":{\"include_usage\":true,\"z\":1},\"n\":2,"
		"\"max_tokens\":7,\"tools\":[]," MODEL "}\t ";

	(void)state;
	assert_int_equal(parse(body), ERR_OK);
	assert_string_equal(req.model, "openai/gpt-5.2");
	assert_true(req.stream);
	assert_true(req.include_usage);
	assert_int_equal(req.n, 2);
	assert_int_equal(req.max_tokens, 7);
	assert_true(slice_is(req.field[CHAT_MESSAGES].value.raw, "[" HI "]"));
	assert_true(slice_starts(req.body, "{\"temperature\":1e-1,"));
	assert_ptr_equal(req.body.ptr, body + 2);
}

static void what_is_not_said_has_its_default(void **state)
{
	static const char *const bodies[] = {
		"{" MODEL "," MESSAGES "}",
		WITH("\"stream\":null,\"n\":null,\"max_tokens\":null,\"tools\":null,"
		     "\"stream_options\":null,\"max_completion_tokens\":null"),
		WITH("\"stream\":false"),
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
		assert_int_equal(parse(bodies[i]), ERR_OK);
		assert_false(req.stream);
		assert_false(req.include_usage);
		assert_int_equal(req.n, 1);
		assert_int_equal(req.max_tokens, 0);
	}
}

static void the_newer_limit_of_tokens_wins(void **state)
{
	(void)state;
	assert_int_equal(parse(WITH("\"max_completion_tokens\":9,\"max_tokens\":5")), ERR_OK);
	assert_int_equal(req.max_tokens, 9);
	assert_int_equal(parse(WITH("\"max_completion_tokens\":null,\"max_tokens\":5")), ERR_OK);
	assert_int_equal(req.max_tokens, 5);
	assert_int_equal(parse(WITH("\"max_tokens\":99999999999")), ERR_OK);
	assert_int_equal(req.max_tokens, 99999999999);
	assert_int_equal(parse(WITH("\"n\":128")), ERR_OK);
}

static void what_is_wrong_is_named(void **state)
{
	static const struct {
		const char *body, *param;
	} rows[] = {
		{ "", "" },
		{ " \r\n\t", "" },
		{ "no json", "" },
		{ "null", "" },
		{ "[]", "" },
		{ "\"text\"", "" },
		{ "{" MODEL "," MESSAGES, "" },
		{ "{" MODEL "," MESSAGES "}}", "" },
		{ "{" MODEL "," MESSAGES "} x", "" },
		{ "{" MODEL "," MESSAGES ",}", "" },
		{ "{'model':1}", "" },
		{ WITH(MODEL), "" },
		{ WITH("\"mod\\u0065l\":\"x\""), "" },
		{ WITH("\"x\":{\"a\":1,\"a\":2}"), "" },
		{ WITH("\"x\":\"\xff\""), "" },
		{ WITH("\"x\":\"\xc0\x80\""), "" },
		{ WITH("\"x\":\"\\ud800\""), "" },
		{ WITH("\"x\":NaN"), "" },
		{ WITH("\"x\":01"), "" },
		{ "{" MODEL "}", "messages" },
		{ "{" MODEL ",\"messages\":null}", "messages" },
		{ "{" MODEL ",\"messages\":\"hi\"}", "messages" },
		{ "{" MODEL ",\"messages\":{}}", "messages" },
		{ "{" MODEL ",\"messages\":[]}", "messages" },
		{ "{" MODEL ",\"messages\":[\"hi\"]}", "messages[0]" },
		{ "{" MODEL ",\"messages\":[" HI ",null]}", "messages[1]" },
		{ "{" MODEL ",\"messages\":[{}]}", "messages[0].role" },
		{ "{" MODEL ",\"messages\":[" HI ",{\"role\":1}]}", "messages[1].role" },
		{ WITH("\"stream\":\"true\""), "stream" },
		{ WITH("\"stream\":1"), "stream" },
		{ WITH("\"stream_options\":{}"), "stream_options" },
		{ WITH("\"stream\":true,\"stream_options\":[]"), "stream_options" },
		{ WITH("\"stream\":true,\"stream_options\":{\"include_usage\":1}"),
			"stream_options.include_usage" },
		{ WITH("\"n\":0"), "n" },
		{ WITH("\"n\":-1"), "n" },
		{ WITH("\"n\":129"), "n" },
		{ WITH("\"n\":1.5"), "n" },
		{ WITH("\"n\":\"1\""), "n" },
		{ WITH("\"n\":99999999999999999999"), "n" },
		{ WITH("\"max_tokens\":0"), "max_tokens" },
		{ WITH("\"max_tokens\":-5"), "max_tokens" },
		{ WITH("\"max_tokens\":100000000000"), "max_tokens" },
		{ WITH("\"max_tokens\":9223372036854775808"), "max_tokens" },
		{ WITH("\"max_tokens\":true"), "max_tokens" },
		{ WITH("\"max_completion_tokens\":0"), "max_completion_tokens" },
		{ WITH("\"max_completion_tokens\":[]"), "max_completion_tokens" },
		{ WITH("\"tools\":{}"), "tools" },
		{ WITH("\"tools\":\"all\""), "tools" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		print_message("row %zu: %s\n", i, rows[i].param);
		assert_int_equal(parse(rows[i].body), ERR_BAD_REQUEST);
		assert_string_equal(err.param, rows[i].param);
		assert_int_equal(err_status(&err), 400);
		assert_true(err.message[0]);
	}
}

static void a_model_is_a_plain_name(void **state)
{
	static const char *const bad[] = { "null", "7", "[]", "\"\"", "\"  \"", "\"a b\"",
		"\"a\\u0000b\"", "\"a\\r\\nX-Evil: 1\"", "\"a\\\"b\"", "\"a\\\\b\"", "\"<a>\"",
		"\"\xc3\xa9\"", "\"\\u007f\"" };
	char body[1024], name[300];

	(void)state;
	assert_int_equal(parse("{" MESSAGES "}"), ERR_MODEL_NOT_FOUND);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		print_message("%s\n", bad[i]);
		snprintf(body, sizeof(body), "{\"model\":%s," MESSAGES "}", bad[i]);
		assert_int_equal(parse(body), ERR_MODEL_NOT_FOUND);
		assert_string_equal(err.param, "model");
		assert_string_equal(req.model, "");
	}
	memset(name, 'm', sizeof(name));
	name[MODEL_ID_MAX - 1] = '\0';
	snprintf(body, sizeof(body), "{\"model\":\" %s \"," MESSAGES "}", name);
	assert_int_equal(parse(body), ERR_OK);
	assert_string_equal(req.model, name);
	name[MODEL_ID_MAX - 1] = 'm';
	name[MODEL_ID_MAX] = '\0';
	snprintf(body, sizeof(body), "{\"model\":\"%s\"," MESSAGES "}", name);
	assert_int_equal(parse(body), ERR_MODEL_NOT_FOUND);
	assert_string_equal(req.model, "");
}

static void a_truncated_request_is_refused_at_every_byte(void **state)
{
	static const char body[] = WITH("\"stream\":true,\"tools\":[{\"a\":\"\\u00e9\"}]");

	(void)state;
	assert_int_equal(parse(body), ERR_OK);
	for (size_t n = 0; n < sizeof(body) - 1; n++)
		assert_int_equal(chat_parse((struct slice){ body, n }, &limits, &req, &err),
			ERR_BAD_REQUEST);
}

static void a_raw_nul_is_no_json(void **state)
{
	static const char body[] = WITH("\"x\":\"a\0b\"");

	(void)state;
	assert_int_equal(chat_parse((struct slice){ body, sizeof(body) - 1 }, &limits, &req, &err),
		ERR_BAD_REQUEST);
	assert_non_null(strstr(err.message, "byte "));
}

static void depth_and_keys_name_their_setting(void **state)
{
	struct buf body = { 0 };

	(void)state;
	buf_str(&body, "{" MODEL "," MESSAGES ",\"x\":");
	for (int i = 0; i < 200; i++)
		buf_char(&body, '[');
	for (int i = 0; i < 200; i++)
		buf_char(&body, ']');
	buf_char(&body, '}');
	assert_int_equal(chat_parse(buf_slice(&body), &limits, &req, &err), ERR_BAD_REQUEST);
	assert_non_null(strstr(err.message, "GATEWAY_MAX_DEPTH"));
	buf_reset(&body);
	buf_str(&body, "{" MODEL "," MESSAGES);
	for (int i = 0; i < 1000; i++)
		buf_printf(&body, ",\"k%d\":0", i);
	buf_char(&body, '}');
	assert_int_equal(chat_parse(buf_slice(&body), &limits, &req, &err), ERR_BAD_REQUEST);
	assert_non_null(strstr(err.message, "GATEWAY_MAX_KEYS"));
	buf_fini(&body);
}

/* ---- how much it is ---- */

static void an_estimate_is_four_bytes_a_token(void **state)
{
	(void)state;
	assert_int_equal(parse("{" MODEL "," MESSAGES "}"), ERR_OK);
	assert_int_equal(chat_estimate_prompt_tokens(&req), (sizeof("[" HI "]") - 1 + 3) / 4);
	assert_int_equal(parse(WITH("\"tools\":[1,2,3]")), ERR_OK);
	assert_int_equal(
		chat_estimate_prompt_tokens(&req), (sizeof("[" HI "][1,2,3]") - 1 + 3) / 4);
}

static int64_t most_of(const char *content)
{
	struct buf body = { 0 };
	int64_t n;

	buf_printf(&body, "{" MODEL ",\"messages\":[{\"role\":\"user\",\"content\":%s}]}", content);
	assert_int_equal(chat_parse(buf_slice(&body), &limits, &req, &err), ERR_OK);
	n = chat_most_prompt_tokens(&req);
	assert_true(n >= chat_estimate_prompt_tokens(&req));
	buf_fini(&body);
	return n;
}

static void no_prompt_has_more_tokens_than_the_most(void **state)
{
	static char data[400000];
	char *part = data;

	(void)state;
	assert_true(most_of("\"hello\"") >= 5);
	assert_true(most_of("null") > 0);
	/* Every byte of text may be a token. */
	memset(data, 'x', 100000);
	memcpy(data, "\"", 1);
	strcpy(data + 100000, "\"");
	assert_true(most_of(data) >= 99999);
	assert_true(most_of("[{\"type\":\"text\",\"text\":\"abcdefgh\"}]") >= 8);
	/* An image is a few bytes, and some thousand tokens. */
	assert_true(most_of("[{\"type\":\"image_url\",\"image_url\":{\"url\":\"https://x/y\"}}]") >=
		    6000);
	assert_true(most_of("[1,2,{}]") >= 18000);
	/* Inline it is not a token a byte. */
	part += sprintf(
		part, "[{\"type\":\"image_url\",\"image_url\":{\"url\":\"data:image/png;base64,");
	memset(part, 'A', 300000);
	strcpy(part + 300000, "\"}}]");
	assert_in_range(most_of(data), 6000 + 75000, 100000);
}

static void images_are_counted_over_all_messages(void **state)
{
	static const char part[] =
		"{\"type\":\"image_url\",\"image_url\":{\"url\":\"https://x/y\"}}";
	struct buf body = { 0 };

	(void)state;
	buf_printf(&body,
		"{" MODEL
		",\"messages\":[{\"role\":\"user\",\"content\":[%s,{\"type\":\"text\",\"text\":"
		"\"image_url\"},%s]},{\"role\":\"assistant\",\"content\":\"image_url\"},{\"role\":"
		"\"user\","
		"\"content\":[%s]}]}",
		part, part, part);
	assert_int_equal(chat_parse(buf_slice(&body), &limits, &req, &err), ERR_OK);
	assert_int_equal(chat_images(&req), 3);
	buf_fini(&body);
}

static void caching_for_an_hour_is_noticed_before_it_costs(void **state)
{
	static const struct {
		const char *cache;
		bool hour;
	} cases[] = { { "{\"type\":\"ephemeral\"}", false },
		{ "{\"type\":\"ephemeral\",\"ttl\":\"5m\"}", false },
		{ "{\"type\":\"ephemeral\",\"ttl\":\"1h\"}", true },
		{ "{\"type\":\"ephemeral\",\"ttl\":\"\\u0031h\"}", true },
		{ "{\"type\":\"ephemeral\",\"ttl\":\"1\\u0068\"}", true } };

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct buf body = { 0 };

		print_message("%s\n", cases[i].cache);
		buf_printf(&body,
			"{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":"
			"[{\"type\":\"text\",\"text\":\"a\",\"cache_control\":%s}]}]}",
			cases[i].cache);
		assert_int_equal(chat_parse(buf_slice(&body), &limits, &req, &err), ERR_OK);
		assert_int_equal(chat_may_cache_1h(&req), cases[i].hour);
		buf_fini(&body);
	}
}

/* Else a short limit beside "think hard" would spend what nobody reserved. */
static void thoughts_that_a_provider_adds_are_reserved(void **state)
{
	static const struct {
		const char *body;
		int64_t adds, does_not;
	} cases[] = {
		{ WITH("\"max_tokens\":10"), 10, 10 },
		{ WITH("\"n\":1"), 5000, 5000 },
		{ WITH("\"max_tokens\":10,\"reasoning_effort\":\"high\""), 5000, 10 },
		{ WITH("\"max_tokens\":10,\"reason\\u0069ng_effort\":\"high\""), 5000, 10 },
		{ WITH("\"max_tokens\":10,\"reasoning\":{\"max_tokens\":4000}"), 5000, 10 },
		{ WITH("\"max_tokens\":10,\"thinking\":{\"type\":\"enabled\"}"), 5000, 10 },
		{ WITH("\"max_tokens\":10,\"reasoning_effort\":null"), 10, 10 },
		{ WITH("\"max_tokens\":9000,\"reasoning_effort\":\"high\""), 9000, 9000 },
		{ WITH("\"max_tokens\":10,\"n\":3,\"reasoning\":{\"effort\":\"low\"}"), 15000, 30 },
	};
	const struct provider adds = { .can = ADDS_THOUGHTS }, does_not = { .can = 0 };

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		print_message("%s\n", cases[i].body);
		assert_int_equal(parse(cases[i].body), ERR_OK);
		assert_int_equal(chat_most_output_tokens(&req, &adds, 5000), cases[i].adds);
		assert_int_equal(chat_most_output_tokens(&req, &does_not, 5000), cases[i].does_not);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_request_is_read_once_and_kept_as_it_is),
		cmocka_unit_test(what_is_not_said_has_its_default),
		cmocka_unit_test(the_newer_limit_of_tokens_wins),
		cmocka_unit_test(what_is_wrong_is_named),
		cmocka_unit_test(a_model_is_a_plain_name),
		cmocka_unit_test(a_truncated_request_is_refused_at_every_byte),
		cmocka_unit_test(a_raw_nul_is_no_json),
		cmocka_unit_test(depth_and_keys_name_their_setting),
		cmocka_unit_test(an_estimate_is_four_bytes_a_token),
		cmocka_unit_test(no_prompt_has_more_tokens_than_the_most),
		cmocka_unit_test(images_are_counted_over_all_messages),
		cmocka_unit_test(thoughts_that_a_provider_adds_are_reserved),
		cmocka_unit_test(caching_for_an_hour_is_noticed_before_it_costs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
