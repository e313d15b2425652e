/* kilo-contract.md section 21: every case is a list of messages and what becomes of it. */
#include "base/clock.h"
#include "gateway/chat.h"
#include "gateway/providers/openai_like.h"
#include "gateway/providers/tool_repair.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

static const struct json_limits limits = { .max_depth = 64, .max_keys = 1000 };

#define BEGIN "{ \"model\" : \"m\", \"messages\" : "
#define END   " , \"n\":1 }"

/* Pieces of conversations, as terse as they may be. */
#define USER           "{\"role\":\"user\",\"content\":\"hi\"}"
#define SAYS           "{\"role\":\"assistant\",\"content\":\"text\"}"
#define C(id)          "{\"id\":\"" id "\",\"type\":\"function\",\"function\":{\"name\":\"f\"}}"
#define CALLS(list)    "{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[" list "],\"z\":1.50}"
#define GAVE(id, text) "{\"role\":\"tool\",\"tool_call_id\":\"" id "\",\"content\":\"" text "\"}"
#define NOTE(id)       GAVE(id, TOOL_REPAIR_NOTICE)

static enum err_code repair(const char *body, struct buf *out, struct err *e)
{
	struct chat_req req;

	assert_int_equal(chat_parse(slice_of(body), &limits, &req, e), ERR_OK);
	return tool_repair(&req, out, e);
}

struct repair_case {
	const char *name, *before, *after; /* NULL: as it was */
};

static void try_all(const struct repair_case *cases, size_t n)
{
	char body[4096], want[4096];
	struct err e;

	for (size_t i = 0; i < n; i++) {
		struct buf out = { 0 }, again = { 0 };

		print_message("%s\n", cases[i].name);
		snprintf(body, sizeof(body), BEGIN "%s" END, cases[i].before);
		assert_int_equal(repair(body, &out, &e), ERR_OK);
		if (!cases[i].after) {
			assert_int_equal(out.len, 0);
			continue;
		}
		snprintf(want, sizeof(want), BEGIN "%s" END, cases[i].after);
		assert_string_equal(buf_cstr(&out), want);
		/* What is repaired needs no repair. */
		assert_int_equal(repair(want, &again, &e), ERR_OK);
		assert_int_equal(again.len, 0);
		buf_fini(&out);
		buf_fini(&again);
	}
}
#define TRY(cases) try_all(cases, sizeof(cases) / sizeof((cases)[0]))

static void what_is_well_is_not_touched(void **state)
{
	static const struct repair_case cases[] = {
		{ "no tools", "[" USER "," SAYS "," USER "]", NULL },
		{ "a call and its result", "[" USER "," CALLS(C("c1")) "," GAVE("c1", "r") "]",
			NULL },
		{ "results in another order",
			"[" USER
			"," CALLS(C("c1") "," C("c2")) "," GAVE("c2", "r") "," GAVE("c1", "r") "]",
			NULL },
		{ "a word between", "[" CALLS(C("c1")) "," USER "," GAVE("c1", "r") "]", NULL },
		{ "an id used again in another message",
			"[" CALLS(C("c1")) "," GAVE("c1", "r") "," CALLS(C("c1")) "," GAVE(
				"c1", "s") "]",
			NULL },
		{ "no calls in the list", "[" CALLS("") "," USER "]", NULL },
		{ "a function of old",
			"[{\"role\":\"assistant\",\"function_call\":{\"name\":\"f\"}},"
			"{\"role\":\"function\",\"name\":\"f\",\"content\":\"r\"}]",
			NULL },
	};

	(void)state;
	TRY(cases);
}

static void of_calls_with_the_same_id_the_first_stays(void **state)
{
	static const struct repair_case cases[] = {
		{ "twice", "[" CALLS(C("c1") " , " C("c1")) "," GAVE("c1", "r") "]",
			"[" CALLS(C("c1")) "," GAVE("c1", "r") "]" },
		{ "between others",
			"[" CALLS(C("c1") "," C("c2") "," C("c1") "," C("c3")) "," GAVE(
				"c1", "r") "," GAVE("c2", "r") "," GAVE("c3", "r") "]",
			"[" CALLS(C("c1") "," C("c2") "," C("c3")) "," GAVE("c1", "r") "," GAVE(
				"c2", "r") "," GAVE("c3", "r") "]" },
	};

	(void)state;
	TRY(cases);
}

static void a_call_without_a_result_gets_one_in_front_of_all_others(void **state)
{
	static const struct repair_case cases[] = {
		{ "at the end", "[" USER "," CALLS(C("c1")) "]",
			"[" USER "," CALLS(C("c1")) "," NOTE("c1") "]" },
		{ "before others",
			"[" CALLS(C("c1") "," C("c2") "," C("c3")) "," USER "," GAVE("c2", "r") "]",
			"[" CALLS(C("c1") "," C("c2") "," C("c3")) "," NOTE("c1") "," NOTE(
				"c3") "," USER "," GAVE("c2", "r") "]" },
		{ "of two messages in a row",
			"[" CALLS(C("c1")) "," CALLS(C("c2")) "," GAVE("c2", "r") "]",
			"[" CALLS(C("c1")) "," NOTE("c1") "," CALLS(C("c2")) "," GAVE(
				"c2", "r") "]" },
	};

	(void)state;
	TRY(cases);
}

static void a_result_counts_within_its_group_and_once(void **state)
{
	static const struct repair_case cases[] = {
		{ "before any call", "[" GAVE("q", "r") "," USER "]", "[" USER "]" },
		{ "of an unknown call", "[" USER "," SAYS "," GAVE("q", "r") "," USER "]",
			"[" USER "," SAYS "," USER "]" },
		{ "twice", "[" CALLS(C("c1")) "," GAVE("c1", "r") "," GAVE("c1", "s") "]",
			"[" CALLS(C("c1")) "," GAVE("c1", "r") "]" },
		{ "in a later group", "[" CALLS(C("c1")) "," SAYS "," GAVE("c1", "r") "," USER "]",
			"[" CALLS(C("c1")) "," NOTE("c1") "," SAYS "," USER "]" },
		{ "of a group that is over, and again",
			"[" CALLS(C("c1")) "," GAVE("c1", "r") "," SAYS "," GAVE(
				"c1", "s") "," CALLS(C("c1")) "," GAVE("c1", "t") "]",
			"[" CALLS(C("c1")) "," GAVE("c1", "r") "," SAYS "," CALLS(C("c1")) "," GAVE(
				"c1", "t") "]" },
		{ "all of the tail goes",
			"[" USER "," SAYS "," GAVE("a", "r") " , " GAVE("b", "r") " ]",
			"[" USER "," SAYS "]" },
	};

	(void)state;
	TRY(cases);
}

static void the_examples_of_the_contract_come_out_as_printed(void **state)
{
	static const struct repair_case cases[] = {
		{ "first",
			"[" USER "," CALLS(C("c1") "," C("c1") "," C("c2")) "," GAVE(
				"c2", "r") "," GAVE("c2", "s") "," GAVE("zz", "r") "," USER "]",
			"[" USER "," CALLS(C("c1") "," C("c2")) "," NOTE("c1") "," GAVE(
				"c2", "r") "," USER "]" },
		{ "second",
			"[" GAVE("q", "r") "," USER "," CALLS(C("c1")) "," SAYS
								       "," GAVE("c1", "r") "]",
			"[" USER "," CALLS(C("c1")) "," NOTE("c1") "," SAYS "]" },
	};

	(void)state;
	TRY(cases);
}

static void ids_and_words_are_compared_as_they_read(void **state)
{
	static const struct repair_case cases[] = {
		{ "an escape in a result", "[" CALLS(C("c1")) "," GAVE("\\u0063\\u0031", "r") "]",
			NULL },
		{ "an escape in a call",
			"[" CALLS(C("c1") "," C("\\u00631")) "," GAVE("c1", "r") "]",
			"[" CALLS(C("c1")) "," GAVE("c1", "r") "]" },
		{ "a NUL in an id", "[" CALLS(C("a\\u0000b") "," C("a\\u0000c")) "]",
			"[" CALLS(C("a\\u0000b") "," C("a\\u0000c")) "," NOTE("a\\u0000b") "," NOTE(
				"a\\u0000c") "]" },
		{ "a role and a name in escapes",
			"[{\"rol\\u0065\":\"\\u0074ool\",\"tool_call_id\":\"q\"}," USER "]",
			"[" USER "]" },
		{ "calls in escapes",
			"[{\"role\":\"assistant\",\"tool\\u005fcalls\":[" C("c1") "]}]",
			"[{\"role\":\"assistant\",\"tool\\u005fcalls\":[" C("c1") "]}," NOTE(
				"c1") "]" },
		{ "an empty id", "[" CALLS(C("")) "," GAVE("", "r") "," GAVE("", "s") "]",
			"[" CALLS(C("")) "," GAVE("", "r") "]" },
	};

	(void)state;
	TRY(cases);
}

static void what_has_the_wrong_shape_is_left_to_be_refused(void **state)
{
	static const struct repair_case cases[] = {
		{ "calls that are no list", "[{\"role\":\"assistant\",\"tool_calls\":{\"id\":1}}]",
			NULL },
		{ "calls that are null", "[{\"role\":\"assistant\",\"tool_calls\":null}]", NULL },
		{ "an id that is a number",
			"[{\"role\":\"assistant\",\"tool_calls\":[{\"id\":1},7]}]", NULL },
		{ "a result without an id", "[" USER ",{\"role\":\"tool\",\"content\":\"r\"}]",
			NULL },
		{ "a result whose id is a number",
			"[" USER ",{\"role\":\"tool\",\"tool_call_id\":1}]", NULL },
		{ "calls of a user",
			"[{\"role\":\"user\",\"content\":\"\",\"tool_calls\":[" C("c1") "]}]",
			NULL },
		{ "beside what is repaired",
			"[{\"role\":\"assistant\",\"tool_calls\":[{\"id\":1}," C("c1") "," C(
				"c1") ",7]}]",
			"[{\"role\":\"assistant\",\"tool_calls\":[{\"id\":1}," C("c1") ",7]}," NOTE(
				"c1") "]" },
	};

	(void)state;
	TRY(cases);
}

#define READ "{\"id\":\"c1\",\"function\":{\"name\":\"read\"}}"

static void what_read_gave_is_told_in_words_when_it_is_binary(void **state)
{
	static const struct repair_case cases[] = {
		{ "a string", "[" CALLS(READ) "," GAVE("c1", "PK\\u0000\\u0001") "]",
			"[" CALLS(READ) "," GAVE("c1", TOOL_REPAIR_BINARY) "]" },
		{ "parts",
			"[" CALLS(READ) ",{\"role\":\"tool\",\"tool_call_id\":\"c1\",\"content\":["
					"{\"type\":\"text\",\"text\":\"a\"},{\"type\":\"text\","
					"\"text\":\"\\u0000\"}]}]",
			"[" CALLS(READ) ",{\"role\":\"tool\",\"tool_call_id\":\"c1\",\"content\":["
					"{\"type\":\"text\",\"text\":\"a\"},{\"type\":\"text\","
					"\"text\":\"" TOOL_REPAIR_BINARY "\"}]}]" },
		{ "text that speaks of it", "[" CALLS(READ) "," GAVE("c1", "\\\\u0000") "]", NULL },
		{ "a backslash before it", "[" CALLS(READ) "," GAVE("c1", "\\\\\\u0000") "]",
			"[" CALLS(READ) "," GAVE("c1", TOOL_REPAIR_BINARY) "]" },
		{ "another tool's", "[" CALLS(C("c1")) "," GAVE("c1", "\\u0000") "]", NULL },
		{ "beside a duplicate",
			"[" CALLS(READ) "," GAVE("c1", "\\u0000") "," GAVE("c1", "s") "]",
			"[" CALLS(READ) "," GAVE("c1", TOOL_REPAIR_BINARY) "]" },
	};

	(void)state;
	TRY(cases);
}

static void messages_that_hold_nothing_else_are_refused_by_name(void **state)
{
	struct buf out = { 0 };
	struct err e = { 0 };

	(void)state;
	assert_int_equal(repair(BEGIN "[" GAVE("q", "r") "," GAVE("q", "r") "]" END, &out, &e),
		ERR_BAD_REQUEST);
	assert_string_equal(e.param, "messages");
	assert_int_equal(out.len, 0);
	buf_fini(&out);
}

static void notices_have_a_ceiling(void **state)
{
	struct buf body = { .max_bytes = 4 << 20 }, out = { 0 };
	struct err e = { 0 };

	(void)state;
	buf_str(&body, BEGIN "[{\"role\":\"assistant\",\"tool_calls\":[{\"id\":\"\"}");
	for (int i = 0; i < 40000; i++)
		buf_printf(&body, ",{\"id\":\"%x\"}", i);
	buf_str(&body, "]}]" END);
	assert_int_equal(repair(buf_cstr(&body), &out, &e), ERR_BAD_REQUEST);
	assert_string_equal(e.param, "messages");
	assert_int_equal(out.len, 0);
	buf_fini(&body);
	buf_fini(&out);
}

/* Many calls and results cost as much each as few do: no list is walked for each of them. */
static void a_long_conversation_is_read_in_time_that_grows_with_it(void **state)
{
	int64_t took_us[2] = { INT64_MAX, INT64_MAX };

	(void)state;
	for (int k = 0; k < 2; k++) {
		struct buf body = { .max_bytes = 64 << 20 };
		int calls = k ? 32000 : 4000;
		struct chat_req req;
		struct err e;

		buf_str(&body, BEGIN "[{\"role\":\"assistant\",\"tool_calls\":[{\"id\":\"\"}");
		for (int i = 0; i < calls; i++)
			buf_printf(&body, ",{\"id\":\"%x\"}", i);
		buf_str(&body, "]}," GAVE("", "r"));
		for (int i = calls; i-- > 0;)
			buf_printf(&body, ",{\"role\":\"tool\",\"tool_call_id\":\"%x\"}", i);
		buf_str(&body, "]" END);
		assert_int_equal(chat_parse(buf_slice(&body), &limits, &req, &e), ERR_OK);
		for (int i = 0; i < 5; i++) {
			struct buf out = { 0 };
			int64_t begun_us = clock_mono_us();

			assert_int_equal(tool_repair(&req, &out, &e), ERR_OK);
			assert_int_equal(out.len, 0);
			if (clock_mono_us() - begun_us < took_us[k])
				took_us[k] = clock_mono_us() - begun_us;
		}
		buf_fini(&body);
	}
	/* Eight times as many; were each looked for among all, it would be sixty-four. */
	assert_true(took_us[1] < 32 * (took_us[0] + 100));
}

/* ---- through the dialects ---- */

static struct buf encode(
	const struct provider *p, const char *slug, const char *model, struct slice body)
{
	const struct target t = { .provider = p,
		.quirks = quirks_of(slug),
		.slug = slug,
		.base_url = "http://127.0.0.1:1",
		.chat_path = "/chat/completions",
		.auth = "bearer",
		.api_key = "k",
		.public_id = "a/b",
		.native_id = model };
	struct http_req http = { .url = "" };
	struct chat_req req;
	struct err e;

	assert_int_equal(chat_parse(body, &limits, &req, &e), ERR_OK);
	assert_int_equal(p->encode(&req, &t, &http, &e), ERR_OK);
	buf_fini(&http.headers);
	return http.body;
}

/* A dialect that translates mends what it gets in its own way: it finds nothing to mend, so what it
 * sends is what it sends for the repaired conversation written by hand. */
static void dialects_find_nothing_left_to_mend(void **state)
{
	static const char sick[] = BEGIN
		"[" GAVE("q", "r") "," USER "," CALLS(C("c1") "," C("c1") "," C("c2")) "," GAVE(
			"c2", "two") "," GAVE("c2", "s") "," GAVE("zz", "r") "," USER "]" END;
	static const struct {
		const struct provider *dialect;
		const char *slug, *model, *want;
	} cases[] = {
		{ &provider_anthropic, "anthropic", "claude-sonnet-4-6",
			"{\"role\":\"assistant\",\"content\":[{\"type\":\"tool_use\",\"id\":\"c1\","
			"\"name\":\"f\",\"input\":{}},{\"type\":\"tool_use\",\"id\":\"c2\","
			"\"name\":\"f\",\"input\":{}}]},{\"role\":\"user\",\"content\":["
			"{\"type\":\"tool_result\",\"tool_use_id\":\"c1\","
			"\"content\":\"" TOOL_REPAIR_NOTICE "\"},"
			"{\"type\":\"tool_result\",\"tool_use_id\":\"c2\",\"content\":\"two\"}," },
		{ &provider_gemini, "google", "gemini-2.5-pro",
			"{\"role\":\"model\",\"parts\":[{\"functionCall\":{\"name\":\"f\",\"args\":"
			"{}}},{\"functionCall\":{\"name\":\"f\",\"args\":{}}}]},"
			"{\"role\":\"user\",\"parts\":[{\"functionResponse\":{\"name\":\"f\","
			"\"response\":{\"output\":\"" TOOL_REPAIR_NOTICE "\"}}},"
			"{\"functionResponse\":{\"name\":\"f\",\"response\":"
			"{\"output\":\"two\"}}}," },
		{ &provider_bedrock, "bedrock", "us.anthropic.claude-sonnet-4-6",
			"{\"toolResult\":{\"toolUseId\":\"c1\",\"content\":["
			"{\"text\":\"" TOOL_REPAIR_NOTICE "\"}]}},"
			"{\"toolResult\":{\"toolUseId\":\"c2\",\"content\":["
			"{\"text\":\"two\"}]}}," },
	};
	struct buf body = { 0 };
	struct err e;

	(void)state;
	assert_int_equal(repair(sick, &body, &e), ERR_OK);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct buf sent =
			encode(cases[i].dialect, cases[i].slug, cases[i].model, buf_slice(&body));

		print_message("%s\n", cases[i].slug);
		if (!strstr(buf_cstr(&sent), cases[i].want))
			fail_msg("not in %s", buf_cstr(&sent));
		/* Of the dialects' own repair. */
		assert_null(strstr(buf_cstr(&sent), "no result recorded"));
		assert_null(strstr(buf_cstr(&sent), "zz"));
		buf_fini(&sent);
	}
	buf_fini(&body);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_well_is_not_touched),
		cmocka_unit_test(of_calls_with_the_same_id_the_first_stays),
		cmocka_unit_test(a_call_without_a_result_gets_one_in_front_of_all_others),
		cmocka_unit_test(a_result_counts_within_its_group_and_once),
		cmocka_unit_test(the_examples_of_the_contract_come_out_as_printed),
		cmocka_unit_test(ids_and_words_are_compared_as_they_read),
		cmocka_unit_test(what_has_the_wrong_shape_is_left_to_be_refused),
		cmocka_unit_test(what_read_gave_is_told_in_words_when_it_is_binary),
		cmocka_unit_test(messages_that_hold_nothing_else_are_refused_by_name),
		cmocka_unit_test(notices_have_a_ceiling),
		cmocka_unit_test(a_long_conversation_is_read_in_time_that_grows_with_it),
		cmocka_unit_test(dialects_find_nothing_left_to_mend),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
