/* What a request asks for beside its messages. */
#include "gateway/chat.h"
#include "gateway/providers/ask.h"
#include "gateway/providers/talk.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

static const struct json_limits limits = { .max_depth = 64, .max_keys = 100000 };
static const struct ask_rules rules = { .name_max = 64, .name_extra = "" };
static const struct ask_rules google = {
	.name_max = 64, .name_extra = ".:", .name_starts_letter = true
};

static struct chat_req req;

/* Parses a request with these members behind model and messages. */
static void request(const char *members)
{
	static char body[1 << 16];
	struct err e;
	int n = snprintf(body, sizeof(body),
		" {\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]%s%s}",
		*members ? "," : "", members);

	assert_true(n > 0 && (size_t)n < sizeof(body));
	if (chat_parse((struct slice){ body, (size_t)n }, &limits, &req, &e))
		fail_msg("%s: %s", members, e.message);
}

static void read_ask(const char *members, struct ask *a)
{
	struct err e;

	request(members);
	if (ask_read(&req, &rules, NULL, 0, a, &e))
		fail_msg("%s: %s", members, e.message);
}

/* ---- sampling ---- */

static void members_are_there_as_they_were_written(void **state)
{
	struct ask a;

	(void)state;
	read_ask("\"temperature\":0.70,\"top_p\":1e-1,\"top_k\":40,\"seed\":12345678901,\"user\":"
		 "\"u\",\"logprobs\":true,\"max_tokens\":77,\"frequency_penalty\":null,"
		 "\"metadata\":{\"a\":\"b\"},\"modalities\":[\"text\"]",
		&a);
	assert_true(slice_is(a.temperature.raw, "0.70"));
	assert_true(slice_is(a.top_p.raw, "1e-1"));
	assert_true(slice_is(a.top_k.raw, "40"));
	assert_true(slice_is(a.seed.raw, "12345678901"));
	assert_true(slice_is(a.user.raw, "\"u\""));
	assert_true(json_is_true(a.logprobs));
	assert_true(slice_is(a.metadata.raw, "{\"a\":\"b\"}"));
	assert_true(slice_is(a.modalities.raw, "[\"text\"]"));
	assert_int_equal(a.frequency_penalty.kind, JSON_ABSENT);
	assert_int_equal(a.presence_penalty.kind, JSON_ABSENT);
	assert_int_equal(a.max_tokens, 77);
	ask_fini(&a);
}

static void nothing_asked_is_nothing_sent(void **state)
{
	struct ask a;

	(void)state;
	read_ask("", &a);
	assert_int_equal(a.temperature.kind, JSON_ABSENT);
	assert_int_equal(a.reasoning.effort, EFFORT_UNSET);
	assert_int_equal(a.form, FORM_TEXT);
	assert_int_equal(a.choice, TOOLS_AUTO);
	assert_int_equal(a.tool_count, 0);
	assert_false(a.parallel_off);
	ask_fini(&a);
}

static void the_safety_identifier_stands_in_for_the_user(void **state)
{
	struct ask a;

	(void)state;
	read_ask("\"safety_identifier\":\"s\"", &a);
	assert_true(slice_is(a.user.raw, "\"s\""));
	ask_fini(&a);
}

static void stop_is_a_list_without_blank_texts(void **state)
{
	static const struct {
		const char *stop, *expected;
		unsigned max;
	} rows[] = {
		{ "\"END\"", "\"s\":[\"END\"]", 4 },
		{ "[\"a\",\" \",\"\",\"\\n\",\"b\"]", "\"s\":[\"a\",\"b\"]", 4 },
		{ "[\"a\",\"b\",\"c\"]", "\"s\":[\"a\",\"b\"]", 2 },
		{ "[]", "", 4 },
		{ "\" \\t\"", "", 4 },
		{ "null", "", 4 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct buf b = { 0 };
		char members[64];
		struct ask a;

		print_message("%s\n", rows[i].stop);
		snprintf(members, sizeof(members), "\"stop\":%s", rows[i].stop);
		read_ask(members, &a);
		assert_int_equal(ask_write_stop(&a, "s", rows[i].max, &b), *rows[i].expected != 0);
		assert_string_equal(buf_cstr(&b), rows[i].expected);
		ask_fini(&a);
		buf_fini(&b);
	}
}

/* ---- reasoning ---- */

static void reasoning_is_understood_in_every_spelling(void **state)
{
	static const struct {
		const char *members;
		enum effort effort;
		int64_t max_tokens;
		bool exclude;
	} rows[] = {
		{ "\"reasoning_effort\":\"high\"", EFFORT_HIGH, 0, false },
		{ "\"reasoning_effort\":null", EFFORT_UNSET, 0, false },
		{ "\"reasoning_effort\":\"xhigh\"", EFFORT_XHIGH, 0, false },
		{ "\"reasoning\":{\"effort\":\"minimal\"}", EFFORT_MINIMAL, 0, false },
		{ "\"reasoning\":{\"effort\":\"low\"},\"reasoning_effort\":\"high\"", EFFORT_LOW, 0,
			false },
		{ "\"reasoning\":{\"max_tokens\":2048,\"exclude\":true}", EFFORT_UNSET, 2048,
			true },
		{ "\"reasoning\":{\"max_tokens\":0}", EFFORT_NONE, 0, false },
		{ "\"reasoning\":{\"enabled\":true}", EFFORT_MEDIUM, 0, false },
		{ "\"reasoning\":{\"enabled\":false,\"effort\":\"high\"}", EFFORT_NONE, 0, false },
		{ "\"reasoning\":{\"enabled\":true,\"effort\":\"max\"}", EFFORT_MAX, 0, false },
		{ "\"reasoning\":{}", EFFORT_UNSET, 0, false },
		{ "\"include_reasoning\":false", EFFORT_UNSET, 0, true },
		{ "\"include_reasoning\":false,\"reasoning\":{\"exclude\":false}", EFFORT_UNSET, 0,
			false },
		{ "\"thinking\":{\"type\":\"enabled\",\"budget_tokens\":4096}", EFFORT_UNSET, 4096,
			false },
		{ "\"thinking\":{\"type\":\"disabled\"}", EFFORT_NONE, 0, false },
		{ "\"thinking\":{\"type\":\"adaptive\"}", EFFORT_UNSET, 0, false },
		{ "\"thinking\":{\"type\":\"disabled\"},\"reasoning_effort\":\"low\"", EFFORT_LOW,
			0, false },
		{ "\"enable_thinking\":false", EFFORT_NONE, 0, false },
		{ "\"enable_thinking\":true", EFFORT_MEDIUM, 0, false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct ask a;

		print_message("%s\n", rows[i].members);
		read_ask(rows[i].members, &a);
		assert_int_equal(a.reasoning.effort, rows[i].effort);
		assert_int_equal(a.reasoning.max_tokens, rows[i].max_tokens);
		assert_int_equal(a.reasoning.exclude, rows[i].exclude);
		ask_fini(&a);
	}
}

static void an_effort_is_a_share_of_what_may_be_written(void **state)
{
	(void)state;
	assert_int_equal(effort_tokens(EFFORT_UNSET, 1000), 0);
	assert_int_equal(effort_tokens(EFFORT_NONE, 1000), 0);
	assert_int_equal(effort_tokens(EFFORT_MINIMAL, 1000), 20);
	assert_int_equal(effort_tokens(EFFORT_LOW, 1000), 100);
	assert_int_equal(effort_tokens(EFFORT_MEDIUM, 64000), 19200);
	assert_int_equal(effort_tokens(EFFORT_HIGH, 65), 39);
	assert_int_equal(effort_tokens(EFFORT_XHIGH, 1000), 900);
	assert_int_equal(effort_tokens(EFFORT_MAX, 1000), 900);
	assert_true(effort_tokens(EFFORT_MAX, INT64_MAX) > 0);
	assert_int_equal(effort_tokens(EFFORT_HIGH, 0), 0);
	for (int i = EFFORT_MINIMAL; i <= EFFORT_XHIGH; i++)
		assert_int_equal(effort_of_tokens(effort_tokens((enum effort)i, 64000), 64000), i);
	assert_int_equal(effort_of_tokens(0, 1000), EFFORT_NONE);
	assert_int_equal(effort_of_tokens(1, 1000), EFFORT_MINIMAL);
	assert_int_equal(effort_of_tokens(INT64_MAX, 1000), EFFORT_XHIGH);
	assert_int_equal(effort_of_tokens(500, 0), EFFORT_MEDIUM);
}

/* ---- structured output ---- */

static void a_form_of_answer_is_read(void **state)
{
	struct ask a;

	(void)state;
	read_ask("\"response_format\":{\"type\":\"text\"}", &a);
	assert_int_equal(a.form, FORM_TEXT);
	ask_fini(&a);
	read_ask("\"response_format\":{\"type\":\"json_object\"}", &a);
	assert_int_equal(a.form, FORM_JSON);
	ask_fini(&a);
	read_ask("\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{\"name\":\"n\","
		 "\"strict\":true,\"schema\":{\"type\":\"object\"}}}",
		&a);
	assert_int_equal(a.form, FORM_SCHEMA);
	assert_string_equal(a.schema_name, "n");
	assert_true(a.schema_strict);
	assert_true(slice_is(a.schema.raw, "{\"type\":\"object\"}"));
	ask_fini(&a);
	read_ask("\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{\"schema\":{}}}",
		&a);
	assert_string_equal(a.schema_name, "response");
	assert_false(a.schema_strict);
	ask_fini(&a);
}

/* ---- tools ---- */

#define TOOL(name) "{\"type\":\"function\",\"function\":{\"name\":\"" name "\"}}"

static void tools_are_read(void **state)
{
	struct ask a;

	(void)state;
	read_ask("\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"description\":"
		 "\"d\",\"parameters\":{\"type\":\"object\"},\"strict\":true},\"cache_control\":{"
		 "\"type\":\"ephemeral\"}},{\"type\":\"web_search_20250305\",\"name\":\"w\"},"
		 "{\"function\":{\"name\":\"g\",\"parameters\":null}}],\"parallel_tool_calls\":"
		 "false",
		&a);
	assert_int_equal(a.tool_count, 3);
	assert_string_equal(a.tools[0].name, "f");
	assert_string_equal(a.tools[0].known, "f");
	assert_true(slice_is(a.tools[0].description.raw, "\"d\""));
	assert_true(slice_is(a.tools[0].parameters.raw, "{\"type\":\"object\"}"));
	assert_true(slice_is(a.tools[0].cache.raw, "{\"type\":\"ephemeral\"}"));
	assert_int_equal(a.tools[1].native.kind, JSON_OBJECT);
	assert_null(a.tools[1].name);
	assert_string_equal(a.tools[2].name, "g");
	assert_int_equal(a.tools[2].parameters.kind, JSON_ABSENT);
	assert_true(a.any_strict);
	assert_true(a.parallel_off);
	ask_fini(&a);
}

static void a_tool_declared_twice_is_one(void **state)
{
	struct ask a;

	(void)state;
	read_ask("\"tools\":[" TOOL("f") "," TOOL("g") "," TOOL("f") "]", &a);
	assert_int_equal(a.tool_count, 2);
	ask_fini(&a);
}

static void functions_of_old_are_tools(void **state)
{
	struct ask a;

	(void)state;
	read_ask("\"functions\":[{\"name\":\"f\"},{\"name\":\"g\"}],\"function_call\":{\"name\":"
		 "\"g\"}",
		&a);
	assert_int_equal(a.tool_count, 2);
	assert_int_equal(a.choice, TOOLS_NAMED);
	assert_string_equal(a.chosen->name, "g");
	ask_fini(&a);
	read_ask("\"functions\":[{\"name\":\"f\"}],\"function_call\":\"none\"", &a);
	assert_int_equal(a.choice, TOOLS_NONE);
	ask_fini(&a);
}

static void every_form_of_choice_is_understood(void **state)
{
	static const struct {
		const char *choice;
		enum tool_choice expected;
		const char *chosen;
		unsigned left;
	} rows[] = {
		{ "\"auto\"", TOOLS_AUTO, NULL, 3 },
		{ "null", TOOLS_AUTO, NULL, 3 },
		{ "\"none\"", TOOLS_NONE, NULL, 3 },
		{ "\"required\"", TOOLS_REQUIRED, NULL, 3 },
		{ "\"any\"", TOOLS_REQUIRED, NULL, 3 },
		{ "{\"type\":\"function\",\"function\":{\"name\":\"g\"}}", TOOLS_NAMED, "g", 3 },
		{ "{\"type\":\"function\",\"name\":\"g\"}", TOOLS_NAMED, "g", 3 },
		{ "{\"type\":\"tool\",\"name\":\"h\"}", TOOLS_NAMED, "h", 3 },
		{ "{\"type\":\"any\"}", TOOLS_REQUIRED, NULL, 3 },
		{ "{\"type\":\"allowed_tools\",\"allowed_tools\":{\"mode\":\"required\",\"tools\":["
		  "{\"type\":\"function\",\"function\":{\"name\":\"h\"}},{\"type\":\"function\","
		  "\"function\":{\"name\":\"f\"}}]}}",
			TOOLS_REQUIRED, NULL, 2 },
		{ "{\"type\":\"allowed_tools\",\"mode\":\"auto\",\"tools\":[{\"type\":\"function\","
		  "\"name\":\"h\"}]}",
			TOOLS_AUTO, NULL, 1 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char members[512];
		struct ask a;

		print_message("%s\n", rows[i].choice);
		snprintf(members, sizeof(members),
			"\"tools\":[" TOOL("f") "," TOOL("g") "," TOOL("h") "],\"tool_choice\":%s",
			rows[i].choice);
		read_ask(members, &a);
		assert_int_equal(a.choice, rows[i].expected);
		assert_int_equal(a.tool_count, rows[i].left);
		if (rows[i].chosen)
			assert_string_equal(a.chosen->name, rows[i].chosen);
		else
			assert_null(a.chosen);
		ask_fini(&a);
	}
}

/* ---- names ---- */

/* The client's name of a tool that the provider calls known. */
static void expect_back(const struct ask_rules *r, const char *known, const char *expected)
{
	struct buf raw = { 0 }, b = { 0 };

	buf_json_cstr(&raw, known);
	ask_write_client_name(&req, r, buf_slice(&raw), &b);
	assert_string_equal(buf_cstr(&b), expected);
	buf_fini(&b);
	buf_fini(&raw);
}

static void names_fit_and_come_back(void **state)
{
	static const char long_name[] = "mcp__a_server_with_quite_a_long_name__and_a_tool_with_"
					"another_long_name";
	char members[1024];
	struct ask a;
	struct err e;

	(void)state;
	snprintf(members, sizeof(members),
		"\"tools\":[" TOOL("a.b") "," TOOL("a_b") "," TOOL("a/b") "," TOOL("näme") "," TOOL(
			"1st") "," TOOL("%s1") "," TOOL("%s2") "]",
		long_name, long_name);
	read_ask(members, &a);
	assert_string_equal(a.tools[0].known, "a_b_2");
	assert_string_equal(a.tools[1].known, "a_b");
	assert_string_equal(a.tools[2].known, "a_b_3");
	assert_string_equal(a.tools[3].known, "n_me");
	assert_string_equal(a.tools[4].known, "1st");
	assert_int_equal(strlen(a.tools[5].known), 64);
	assert_int_equal(strlen(a.tools[6].known), 64);
	assert_string_not_equal(a.tools[5].known, a.tools[6].known);
	for (unsigned i = 0; i < a.tool_count; i++) {
		char expected[128];

		snprintf(expected, sizeof(expected), "\"%s\"", a.tools[i].name);
		expect_back(&rules, a.tools[i].known, expected);
		assert_string_equal(ask_known_name(&a, a.tools[i].name), a.tools[i].known);
	}
	expect_back(&rules, "invented", "\"invented\"");
	assert_string_equal(ask_known_name(&a, "never said"), "never_said");
	ask_fini(&a);
	assert_int_equal(ask_read(&req, &google, NULL, 0, &a, &e), ERR_OK);
	assert_string_equal(a.tools[0].known, "a.b");
	assert_string_equal(a.tools[2].known, "a_b_2");
	assert_string_equal(a.tools[4].known, "_1st");
	expect_back(&google, "_1st", "\"1st\"");
	ask_fini(&a);
}

static void names_of_functions_of_old_come_back(void **state)
{
	struct ask a;

	(void)state;
	read_ask("\"functions\":[{\"name\":\"a b\"},{\"name\":\"c\"}]", &a);
	assert_string_equal(a.tools[0].known, "a_b");
	expect_back(&rules, "a_b", "\"a b\"");
	expect_back(&rules, "c", "\"c\"");
	ask_fini(&a);
}

static void tools_that_only_the_history_knows_are_marked(void **state)
{
	static const char body[] =
		"{\"model\":\"m\",\"messages\":[{\"role\":\"assistant\",\"tool_calls\":[{\"id\":"
		"\"1\","
		"\"function\":{\"name\":\"f.x\"}},{\"id\":\"2\",\"function\":{\"name\":\"g\"}}]},{"
		"\"role\":\"assistant\",\"function_call\":{\"name\":\"f x\"}}],\"tools\":[" TOOL(
			"g") "]}";
	static const struct talk_rules any = { .id_max = 64 };
	struct talk t;
	struct ask a;
	struct err e;

	(void)state;
	assert_int_equal(chat_parse(slice_of(body), &limits, &req, &e), ERR_OK);
	assert_int_equal(talk_read(&req, &any, &t, &e), ERR_OK);
	assert_int_equal(ask_read(&req, &rules, t.calls, t.call_count, &a, &e), ERR_OK);
	assert_int_equal(a.tool_count, 3);
	assert_false(a.tools[0].from_history);
	assert_string_equal(a.tools[1].name, "f.x");
	assert_string_equal(a.tools[1].known, "f_x");
	assert_true(a.tools[1].from_history);
	assert_string_equal(a.tools[2].known, "f_x_2");
	expect_back(&rules, "f_x", "\"f.x\"");
	expect_back(&rules, "f_x_2", "\"f x\"");
	ask_fini(&a);
	talk_fini(&t);
}

/* ---- hostile shapes ---- */

static void wrong_shapes_are_refused_by_name(void **state)
{
	static const struct {
		const char *members, *param;
	} rows[] = {
		{ "\"temperature\":\"1\"", "temperature" },
		{ "\"top_p\":[]", "top_p" },
		{ "\"top_k\":1.5", "top_k" },
		{ "\"seed\":1e99", "seed" },
		{ "\"top_logprobs\":0.5", "top_logprobs" },
		{ "\"logprobs\":1", "logprobs" },
		{ "\"logit_bias\":[]", "logit_bias" },
		{ "\"user\":7", "user" },
		{ "\"metadata\":\"x\"", "metadata" },
		{ "\"thinking\":true", "thinking" },
		{ "\"thinking\":{}", "thinking.type" },
		{ "\"thinking\":{\"type\":\"enabled\",\"budget_tokens\":\"9\"}",
			"thinking.budget_tokens" },
		{ "\"stop\":7", "stop" },
		{ "\"stop\":[7]", "stop" },
		{ "\"reasoning\":\"high\"", "reasoning" },
		{ "\"reasoning\":{\"effort\":\"hard\"}", "reasoning.effort" },
		{ "\"reasoning\":{\"effort\":1}", "reasoning.effort" },
		{ "\"reasoning\":{\"max_tokens\":-1}", "reasoning.max_tokens" },
		{ "\"reasoning\":{\"max_tokens\":\"1\"}", "reasoning.max_tokens" },
		{ "\"reasoning\":{\"enabled\":1}", "reasoning.enabled" },
		{ "\"reasoning\":{\"exclude\":1}", "reasoning.exclude" },
		{ "\"reasoning_effort\":\"hard\"", "reasoning_effort" },
		{ "\"include_reasoning\":1", "include_reasoning" },
		{ "\"response_format\":\"json\"", "response_format" },
		{ "\"response_format\":{}", "response_format.type" },
		{ "\"response_format\":{\"type\":\"xml\"}", "response_format.type" },
		{ "\"response_format\":{\"type\":\"json_schema\"}", "response_format.json_schema" },
		{ "\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{}}",
			"response_format.json_schema.schema" },
		{ "\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{\"name\":1}}",
			"response_format.json_schema.name" },
		{ "\"parallel_tool_calls\":\"no\"", "parallel_tool_calls" },
		{ "\"tools\":[1]", "tools[0]" },
		{ "\"tools\":[{}]", "tools[0].type" },
		{ "\"tools\":[{\"type\":7}]", "tools[0].type" },
		{ "\"tools\":[{\"type\":\"custom\",\"custom\":{\"name\":\"c\"}}]",
			"tools[0].type" },
		{ "\"tools\":[{\"type\":\"function\"}]", "tools[0].function" },
		{ "\"tools\":[" TOOL("f") ",{\"type\":\"function\",\"function\":{}}]",
			"tools[1].function.name" },
		{ "\"tools\":[" TOOL("") "]", "tools[0].function.name" },
		{ "\"tools\":[" TOOL("a\\u0000") "]", "tools[0].function.name" },
		{ "\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"description\":"
		  "1}}]",
			"tools[0].function.description" },
		{ "\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"parameters\":[]"
		  "}}]",
			"tools[0].function.parameters" },
		{ "\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"strict\":1}}]",
			"tools[0].function.strict" },
		{ "\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\"},\"cache_"
		  "control\":1}"
		  "]",
			"tools[0].function.cache_control" },
		{ "\"functions\":[{}]", "functions[0].name" },
		{ "\"tool_choice\":\"must\"", "tool_choice" },
		{ "\"tool_choice\":7", "tool_choice" },
		{ "\"tool_choice\":{}", "tool_choice.type" },
		{ "\"tool_choice\":{\"type\":\"custom\"}", "tool_choice.type" },
		{ "\"tool_choice\":\"required\"", "tool_choice" },
		{ "\"tool_choice\":{\"type\":\"function\"}", "tool_choice.function.name" },
		{ "\"tools\":[" TOOL("f") "],\"tool_choice\":{\"type\":\"function\",\"function\":{"
					  "\"name\":\"g\"}}",
			"tool_choice.function.name" },
		{ "\"tools\":[" TOOL("f") "],\"tool_choice\":{\"type\":\"allowed_tools\"}",
			"tool_choice.allowed_tools.tools" },
		{ "\"tools\":[" TOOL(
			  "f") "],\"tool_choice\":{\"type\":\"allowed_tools\",\"tools\":[]}",
			"tool_choice.allowed_tools.tools" },
		{ "\"tools\":[" TOOL(
			  "f") "],\"tool_choice\":{\"type\":\"allowed_tools\",\"tools\":[{"
			       "\"name\":\"g\"}]}",
			"tool_choice.allowed_tools.tools[0]" },
		{ "\"tools\":[" TOOL(
			  "f") "],\"tool_choice\":{\"type\":\"allowed_tools\",\"mode\":1,"
			       "\"tools\":[{\"name\":\"f\"}]}",
			"tool_choice.allowed_tools.mode" },
		{ "\"functions\":[{\"name\":\"f\"}],\"function_call\":{\"name\":\"g\"}",
			"function_call.name" },
		{ "\"functions\":[{\"name\":\"f\"}],\"function_call\":[]", "function_call" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct ask a;
		struct err e;

		print_message("%s\n", rows[i].members);
		request(rows[i].members);
		assert_int_equal(ask_read(&req, &rules, NULL, 0, &a, &e), ERR_BAD_REQUEST);
		assert_string_equal(e.param, rows[i].param);
		assert_null(a.memory);
		ask_fini(&a);
	}
}

static void more_tools_than_the_limit_are_refused(void **state)
{
	struct buf b = { 0 };
	struct ask a;
	struct err e;

	(void)state;
	buf_str(&b, "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"x\"}],"
		    "\"tools\":[");
	for (int i = 0; i < 5000; i++)
		buf_printf(&b, "%s{\"function\":{\"name\":\"f.%d\"}}", i ? "," : "", i);
	buf_str(&b, "]}");
	assert_int_equal(chat_parse(buf_slice(&b), &limits, &req, &e), ERR_OK);
	assert_int_equal(ask_read(&req, &rules, NULL, 0, &a, &e), ERR_BAD_REQUEST);
	assert_string_equal(e.param, "tools");
	ask_fini(&a);
	buf_fini(&b);
}

static void a_refusal_names_provider_and_member(void **state)
{
	const struct target target = { .slug = "lab" };
	struct err e;

	(void)state;
	assert_int_equal(ask_refuse(&target, "n", "gives one answer only", &e), ERR_UNSUPPORTED);
	assert_string_equal(e.param, "n");
	assert_string_equal(e.message, "n: provider lab gives one answer only");
}

/* Whatever a client sends is read or refused. */
static void no_request_brings_it_down(void **state)
{
	static const char seed[] =
		"{\"model\":\"m\",\"messages\":[{\"role\":\"assistant\",\"tool_calls\":[{\"id\":"
		"\"1\","
		"\"function\":{\"name\":\"f.x\"}}]}],\"temperature\":1,\"stop\":[\"a\",\"b\"],"
		"\"reasoning\":{\"effort\":\"low\",\"max_tokens\":5},\"response_format\":{\"type\":"
		"\"json_schema\",\"json_schema\":{\"name\":\"n\",\"schema\":{}}},\"tools\":[" TOOL(
			"a.b") "," TOOL("c") "],\"functions\":[{\"name\":\"d\"}],\"tool_choice\":{"
					     "\"type\":\"allowed_tools\",\"mode\":\"auto\","
					     "\"tools\":[{\"name\":\"c\"}]}}";
	static const char spice[] = "\"{}[],:0123tfnul\\ ab";
	unsigned read = 0;

	(void)state;
	srand(11);
	for (int round = 0; round < 60000; round++) {
		char body[sizeof(seed)];
		size_t len = sizeof(seed) - 1;
		struct buf b = { 0 };
		struct ask a;
		struct err e;

		memcpy(body, seed, sizeof(seed));
		for (int i = rand() % 3; i >= 0; i--) {
			size_t at = (size_t)rand() % len, n = (size_t)rand() % 12;

			if (rand() % 2) {
				body[at] = spice[(size_t)rand() % (sizeof(spice) - 1)];
			} else {
				n = n < len - at ? n : len - at - 1;
				memmove(body + at, body + at + n, len - at - n);
				len -= n;
			}
		}
		if (chat_parse((struct slice){ body, len }, &limits, &req, &e))
			continue;
		if (!ask_read(&req, &rules, NULL, 0, &a, &e)) {
			ask_write_stop(&a, "stop", 4, &b);
			ask_write_client_name(&req, &rules, SLICE("\"a_b\""), &b);
			read++;
		}
		ask_fini(&a);
		buf_fini(&b);
	}
	assert_true(read > 1000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(members_are_there_as_they_were_written),
		cmocka_unit_test(nothing_asked_is_nothing_sent),
		cmocka_unit_test(the_safety_identifier_stands_in_for_the_user),
		cmocka_unit_test(stop_is_a_list_without_blank_texts),
		cmocka_unit_test(reasoning_is_understood_in_every_spelling),
		cmocka_unit_test(an_effort_is_a_share_of_what_may_be_written),
		cmocka_unit_test(a_form_of_answer_is_read),
		cmocka_unit_test(tools_are_read),
		cmocka_unit_test(a_tool_declared_twice_is_one),
		cmocka_unit_test(functions_of_old_are_tools),
		cmocka_unit_test(every_form_of_choice_is_understood),
		cmocka_unit_test(names_fit_and_come_back),
		cmocka_unit_test(names_of_functions_of_old_come_back),
		cmocka_unit_test(tools_that_only_the_history_knows_are_marked),
		cmocka_unit_test(wrong_shapes_are_refused_by_name),
		cmocka_unit_test(more_tools_than_the_limit_are_refused),
		cmocka_unit_test(a_refusal_names_provider_and_member),
		cmocka_unit_test(no_request_brings_it_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
