/* What may be rescued, and the request that asks for the rest (gateway/rescue.h). */
#include "tests/unit/catalog_env.h"

#include "gateway/chat.h"
#include "gateway/rescue.h"
#include "gateway/route.h"

#include <stdio.h>

static const struct json_limits limits = { .max_depth = 64, .max_keys = 1000 };

#define DELTA(members) "{\"choices\":[{\"index\":0,\"delta\":{" members "}}]}"

static struct said *told(const char *const *chunks)
{
	struct said *s = NULL;

	for (; *chunks; chunks++)
		said_note(&s, slice_of(*chunks));
	return s;
}
#define TOLD(...) told((const char *const[]){ __VA_ARGS__, NULL })

static struct chat_req parse(const char *body)
{
	struct chat_req req;
	struct err e = { .message = "" };

	if (chat_parse(slice_of(body), &limits, &req, &e))
		fail_msg("%s", e.message);
	return req;
}

#define USER "{\"role\":\"user\",\"content\":\"hi\"}"
#define ASK  "{\"model\":\"m\",\"messages\":[" USER "]"

/* ---- which ways are sound ---- */

static void what_was_said_decides_which_ways_are_sound(void **state)
{
	static const struct {
		const char *name, *chunk;
		bool go_on, splice;
	} cases[] = {
		{ "words", DELTA("\"role\":\"assistant\",\"content\":\"abc\""), true, true },
		{ "a role", DELTA("\"role\":\"assistant\",\"content\":\"\""), false, true },
		{ "blanks", DELTA("\"content\":\" \\n\\u00a0\\t\\u3000\""), false, true },
		{ "thoughts",
			DELTA("\"reasoning\":\"a\",\"reasoning_content\":\"a\","
			      "\"reasoning_details\":[{\"text\":\"a\"}]"),
			false, true },
		{ "thoughts and words", DELTA("\"reasoning\":\"a\",\"content\":\"a\""), true,
			true },
		{ "a call",
			DELTA("\"content\":\"a\",\"tool_calls\":[{\"index\":0,\"id\":\"c\","
			      "\"type\":\"function\",\"function\":{\"name\":\"f\","
			      "\"arguments\":\"{\"}}]"),
			false, true },
		{ "a call of another kind",
			DELTA("\"tool_calls\":[{\"index\":0,\"custom\":{\"name\":\"f\"}}]"), false,
			false },
		{ "arguments that are no text",
			DELTA("\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":{\"a\":1}}}"
			      "]"),
			false, false },
		{ "a refusal", DELTA("\"content\":\"a\",\"refusal\":\"no\""), false, false },
		{ "no refusal", DELTA("\"content\":\"a\",\"refusal\":null,\"annotations\":[]"),
			true, true },
		{ "sound", DELTA("\"content\":\"a\",\"audio\":{\"id\":\"x\"}"), false, false },
		{ "an image", DELTA("\"content\":\"a\",\"images\":[{}]"), false, false },
		{ "citations", DELTA("\"content\":\"a\",\"annotations\":[{}]"), false, false },
		{ "parts", DELTA("\"content\":[{\"type\":\"text\"}]"), false, false },
		{ "another choice", "{\"choices\":[{\"index\":1,\"delta\":{\"content\":\"a\"}}]}",
			false, false },
		{ "an end",
			"{\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"},"
			"\"finish_reason\":\"stop\"}]}",
			false, false },
		{ "no chat", "{\"choices\":[{\"index\":0,\"text\":\"a\"}]}", false, false },
	};
	struct chat_req req = parse(ASK "}");

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct said *s = TOLD(cases[i].chunk);

		print_message("%s\n", cases[i].name);
		assert_int_equal(rescue_can(s, &req, RESCUE_BY_CONTINUE), cases[i].go_on);
		assert_int_equal(rescue_can(s, &req, RESCUE_BY_SPLICE), cases[i].splice);
		assert_false(rescue_can(s, &req, RESCUE_BY_NONE));
		said_fini(&s);
		assert_null(s);
	}
	assert_false(rescue_can(NULL, &req, RESCUE_BY_CONTINUE));
	assert_true(rescue_can(NULL, &req, RESCUE_BY_SPLICE));
}

static void what_was_asked_for_decides_too(void **state)
{
	static const struct {
		const char *body;
		bool go_on, splice;
	} cases[] = {
		{ ASK "}", true, true },
		{ ASK ",\"n\":1}", true, true },
		{ ASK ",\"n\":2}", false, false },
		{ ASK ",\"response_format\":{\"type\":\"text\"}}", true, true },
		{ ASK ",\"response_format\":{\"type\":\"json_object\"}}", false, true },
		{ ASK ",\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{}}}", false,
			true },
		{ ASK ",\"logprobs\":true}", false, true },
		{ ASK ",\"logprobs\":false}", true, true },
		{ ASK ",\"modalities\":[\"text\"]}", true, true },
		{ ASK ",\"modalities\":[\"text\",\"audio\"]}", false, true },
		{ ASK ",\"audio\":{\"voice\":\"v\"}}", false, true },
		{ ASK ",\"tools\":[],\"tool_choice\":\"auto\"}", true, true },
		{ ASK ",\"tools\":[],\"tool_choice\":\"required\"}", false, true },
		{ ASK ",\"tool_choice\":{\"type\":\"function\"}}", false, true },
		{ ASK ",\"reasoning\":{\"effort\":\"high\"}}", true, true },
		{ "{\"model\":\"m\",\"messages\":[" USER
		  ",{\"role\":\"assistant\",\"content\":\"a\"}]}",
			true, true },
		{ "{\"model\":\"m\",\"messages\":[" USER
		  ",{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[{}]}]}",
			false, true },
		{ "{\"model\":\"m\",\"messages\":[" USER
		  ",{\"role\":\"assistant\",\"content\":7}]}",
			false, true },
	};
	struct said *s = TOLD(DELTA("\"content\":\"abc\""));

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct chat_req req = parse(cases[i].body);

		print_message("%s\n", cases[i].body);
		assert_int_equal(rescue_can(s, &req, RESCUE_BY_CONTINUE), cases[i].go_on);
		assert_int_equal(rescue_can(s, &req, RESCUE_BY_SPLICE), cases[i].splice);
	}
	said_fini(&s);
}

static void an_answer_too_long_to_keep_is_not_rescued(void **state)
{
	static char chunk[SAID_MAX / 4 + 64];
	static const char before[] = "{\"choices\":[{\"index\":0,\"delta\":{\"content\":\"";
	struct chat_req req = parse(ASK "}");
	struct said *s = NULL;
	struct rescue *r;
	struct slice out;
	size_t n = sizeof(before) - 1;

	(void)state;
	memcpy(chunk, before, n);
	memset(chunk + n, 'a', SAID_MAX / 4);
	memcpy(chunk + n + SAID_MAX / 4, "\"}}]}", 6);
	for (int i = 0; i < 4; i++)
		said_note(&s, slice_of(chunk));
	assert_int_equal(said_text_bytes(s), SAID_MAX);
	assert_true(rescue_can(s, &req, RESCUE_BY_CONTINUE));
	/* Arguments count, too. */
	said_note(&s,
		SLICE(DELTA("\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":\"{\"}}]")));
	assert_int_equal(said_text_bytes(s), 0);
	said_note(&s, SLICE(DELTA("\"content\":\"abc\"")));
	assert_int_equal(said_text_bytes(s), 0);
	assert_false(rescue_can(s, &req, RESCUE_BY_CONTINUE));
	assert_false(rescue_can(s, &req, RESCUE_BY_SPLICE));
	r = rescue_begin(s, RESCUE_BY_SPLICE);
	assert_int_equal(rescue_chunk(r, SLICE(DELTA("\"content\":\"a\"")), &out), RESCUE_DIFFERS);
	rescue_fini(r);
	said_fini(&s);
}

static void a_rescue_outlives_what_was_said(void **state)
{
	static char chunk[SAID_MAX + 64];
	static const char before[] =
		"{\"id\":\"new\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"";
	struct said *s =
		TOLD("{\"id\":\"old\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\","
		     "\"tool_calls\":[{\"index\":0,\"function\":{\"name\":\"f\"}}]}}]}");
	struct rescue *r = rescue_begin(s, RESCUE_BY_SPLICE);
	size_t n = sizeof(before) - 1;
	struct slice out;

	(void)state;
	memcpy(chunk, before, n);
	memset(chunk + n, 'a', SAID_MAX);
	memcpy(chunk + n + SAID_MAX, "\"}}]}", 6);
	assert_int_equal(rescue_chunk(r,
				 SLICE(DELTA("\"content\":\"a\",\"tool_calls\":[{\"index\":0,"
					     "\"function\":{\"name\":\"f\"}}]")),
				 &out),
		RESCUE_HOLD);
	assert_int_equal(rescue_chunk(r, slice_of(chunk), &out), RESCUE_PASS);
	assert_true(slice_starts(out, "{\"id\":\"old\""));
	said_note(&s, out); /* too much: what was kept is let go */
	assert_int_equal(said_text_bytes(s), 0);
	assert_int_equal(rescue_chunk(r,
				 SLICE("{\"id\":\"new\",\"choices\":[{\"index\":0,\"delta\":{"
				       "\"content\":\"b\","
				       "\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":"
				       "\"{}\"}}]}}]}"),
				 &out),
		RESCUE_PASS);
	assert_true(slice_is(out,
		"{\"id\":\"old\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"b\","
		"\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":\"{}\"}}]}}]}"));
	rescue_fini(r);
	said_fini(&s);
}

/* ---- the request ---- */

static void the_request_ends_with_what_was_said(void **state)
{
#define WITH(messages, more) "{\"model\":\"m\",\"messages\":[" USER messages "]" more "}"
#define HALF                 "{\"role\":\"assistant\",\"content\":"
	static const struct {
		const char *name, *before, *after;
	} cases[] = {
		{ "appended", WITH("", ""), WITH("," HALF "\"Say \\\"a\\\"\"}", "") },
		{ "to a text", WITH("," HALF "\"Well\\\\\"}", ""),
			WITH("," HALF "\"Well\\\\Say \\\"a\\\"\"}", "") },
		{ "to null", WITH("," HALF "null}", ""), WITH("," HALF "\"Say \\\"a\\\"\"}", "") },
		{ "to nothing", WITH(",{\"role\":\"assistant\"}", ""),
			WITH(",{\"content\":\"Say \\\"a\\\"\",\"role\":\"assistant\"}", "") },
		{ "to the last part",
			WITH("," HALF "[{\"type\":\"text\",\"text\":\"Well \"}]}", ""),
			WITH("," HALF "[{\"type\":\"text\",\"text\":\"Well Say \\\"a\\\"\"}]}",
				"") },
		{ "behind another part", WITH("," HALF "[{\"type\":\"x\"}]}", ""),
			WITH("," HALF
			     "[{\"type\":\"x\"},{\"type\":\"text\",\"text\":\"Say \\\"a\\\"\"}]}",
				"") },
		{ "as the only part", WITH("," HALF "[]}", ""),
			WITH("," HALF "[{\"type\":\"text\",\"text\":\"Say \\\"a\\\"\"}]}", "") },
		{ "limits", WITH("", ",\"max_tokens\":100,\"max_completion_tokens\":3.0e1"),
			WITH("," HALF "\"Say \\\"a\\\"\"}",
				",\"max_tokens\":98,\"max_completion_tokens\":28") },
		{ "a limit that is reached", WITH("", ",\"max_tokens\":2"),
			WITH("," HALF "\"Say \\\"a\\\"\"}", ",\"max_tokens\":1") },
		{ "thinking",
			WITH("",
				",\"reasoning\":{\"effort\":\"high\",\"exclude\":true},"
				"\"reasoning_effort\":\"low\",\"thinking\":{\"type\":\"enabled\"}"),
			WITH("," HALF "\"Say \\\"a\\\"\"}",
				",\"reasoning\":{\"effort\":\"none\"},\"reasoning_effort\":"
				"\"none\","
				"\"thinking\":{\"type\":\"disabled\"}") },
		{ "all else", WITH("", ",\"stop\":[\"x\"],\"seed\":7,\"stream\":true"),
			WITH("," HALF "\"Say \\\"a\\\"\"}",
				",\"stop\":[\"x\"],\"seed\":7,\"stream\":true") },
	};
	/* The blanks at its end are not sent. */
	struct said *s =
		TOLD(DELTA("\"content\":\"Say \\\"a\""), DELTA("\"content\":\"\\\"  \\n\""));
	struct err e = { .message = "" };

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct chat_req req = parse(cases[i].before), made;
		struct buf out = { 0 };

		print_message("%s\n", cases[i].name);
		assert_true(rescue_can(s, &req, RESCUE_BY_CONTINUE));
		assert_int_equal(rescue_continue_body(&req, s, &out, &e), ERR_OK);
		assert_string_equal(buf_cstr(&out), cases[i].after);
		assert_int_equal(chat_parse(buf_slice(&out), &limits, &made, &e), ERR_OK);
		buf_fini(&out);
	}
	said_fini(&s);
}

static void thinking_that_was_seen_is_switched_off(void **state)
{
	struct said *s = TOLD(DELTA("\"reasoning\":\"Hm\""), DELTA("\"content\":\"a\""));
	struct chat_req req = parse(WITH("", ""));
	struct buf out = { 0 };
	struct err e;

	(void)state;
	assert_int_equal(rescue_continue_body(&req, s, &out, &e), ERR_OK);
	assert_string_equal(buf_cstr(&out),
		"{\"reasoning_effort\":\"none\",\"model\":\"m\",\"messages\":[" USER "," HALF
		"\"a\"}]}");
	buf_reset(&out);
	req = parse(WITH("", ",\"reasoning_effort\":null"));
	assert_int_equal(rescue_continue_body(&req, s, &out, &e), ERR_OK);
	assert_string_equal(
		buf_cstr(&out), WITH("," HALF "\"a\"}", ",\"reasoning_effort\":\"none\""));
	buf_fini(&out);
	said_fini(&s);
}

static void a_request_that_does_not_fit_is_refused(void **state)
{
	struct said *s = TOLD(DELTA("\"content\":\"abc\""));
	struct chat_req req = parse(WITH("", ""));
	struct buf out = { .max_bytes = req.body.len };
	struct err e;

	(void)state;
	assert_int_equal(rescue_continue_body(&req, s, &out, &e), ERR_NO_MEMORY);
	buf_fini(&out);
	said_fini(&s);
}

/* ---- who goes on ---- */

static void prefill_is_a_word_of_the_catalogue_and_of_the_provider(void **state)
{
	static const struct {
		const char *id;
		bool takes;
	} cases[] = {
		{ "anthropic/claude-sonnet-4.5", true },
		{ "claude-haiku-4-5", true },
		{ "anthropic/claude-3-haiku", true },
		{ "anthropic/claude-opus-4.6", false },
		{ "anthropic/claude-sonnet-5", false },
		{ "mistralai/devstral-2512", true },
		{ "moonshotai/kimi-k2.5", true },
		{ "moonshotai/kimi-k2.7-code", false },
		{ "openrouter/anthropic/claude-sonnet-4.5", true },
		{ "openrouter/openai/gpt-4o", false },
		{ "deepseek/deepseek-v4-pro", false },
		{ "google/gemini-2.5-pro", false },
		{ "openai/gpt-4o", false },
		{ "ollama/llama3", false },
	};
	struct env env;
	struct err e = { .message = "" };

	(void)state;
	env_load(&env, ENV("ANTHROPIC_API_KEY=k", "MISTRAL_API_KEY=k", "MOONSHOT_API_KEY=k",
			       "OPENROUTER_API_KEY=k", "DEEPSEEK_API_KEY=k", "GEMINI_API_KEY=k",
			       "OPENAI_API_KEY=k", "OLLAMA_BASE_URL=http://localhost:11434/v1"));
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct route r;

		print_message("%s\n", cases[i].id);
		if (route_find(env.catalog, cases[i].id, &r, &e))
			fail_msg("%s", e.message);
		assert_int_equal(rescue_takes_prefill(&r.target), cases[i].takes);
	}
	env_fini(&env);
}

/* The request as it goes out holds the said text as its last message, marked and unanswered. */
static void dialects_send_it_so_that_it_is_gone_on_with(void **state)
{
	static const struct {
		const char *id, *end;
	} cases[] = {
		{ "anthropic/claude-sonnet-4.5",
			"{\"role\":\"assistant\",\"content\":[{\"type\":\"text\",\"text\":\"Well,"
			" he\"" },
		{ "mistralai/devstral-2512",
			"{\"role\":\"assistant\",\"content\":\"Well, he\",\"prefix\":true}]" },
		{ "moonshotai/kimi-k2.5",
			"{\"role\":\"assistant\",\"content\":\"Well, he\",\"partial\":true}]" },
		{ "openrouter/anthropic/claude-sonnet-4.5",
			"{\"role\":\"assistant\",\"content\":\"Well, he\"}]" },
	};
	struct said *s = TOLD(DELTA("\"reasoning\":\"Hm\",\"content\":\"Well, he \""));
	struct env env;
	struct err e = { .message = "" };

	(void)state;
	env_load(&env, ENV("ANTHROPIC_API_KEY=k", "MISTRAL_API_KEY=k", "MOONSHOT_API_KEY=k",
			       "OPENROUTER_API_KEY=k"));
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct chat_req req = parse(WITH("", ",\"max_tokens\":5000,\"stream\":true,"
						     "\"reasoning\":{\"effort\":\"high\"}")),
				made;
		struct http_req http = { .url = "" };
		struct buf body = { 0 };
		struct route r;

		print_message("%s\n", cases[i].id);
		if (route_find(env.catalog, cases[i].id, &r, &e))
			fail_msg("%s", e.message);
		assert_true(rescue_takes_prefill(&r.target));
		assert_int_equal(rescue_continue_body(&req, s, &body, &e), ERR_OK);
		assert_int_equal(chat_parse(buf_slice(&body), &limits, &made, &e), ERR_OK);
		if (r.target.provider->encode(&made, &r.target, &http, &e))
			fail_msg("%s", e.message);
		assert_non_null(strstr(buf_cstr(&http.body), cases[i].end));
		assert_null(strstr(http.body.data, "Continue."));
		assert_null(strstr(http.body.data, "budget_tokens"));
		assert_null(strstr(http.body.data, "\"high\""));
		http_req_fini(&http);
		buf_fini(&body);
	}
	said_fini(&s);
	env_fini(&env);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_said_decides_which_ways_are_sound),
		cmocka_unit_test(what_was_asked_for_decides_too),
		cmocka_unit_test(an_answer_too_long_to_keep_is_not_rescued),
		cmocka_unit_test(a_rescue_outlives_what_was_said),
		cmocka_unit_test(the_request_ends_with_what_was_said),
		cmocka_unit_test(thinking_that_was_seen_is_switched_off),
		cmocka_unit_test(a_request_that_does_not_fit_is_refused),
		cmocka_unit_test(prefill_is_a_word_of_the_catalogue_and_of_the_provider),
		cmocka_unit_test(dialects_send_it_so_that_it_is_gone_on_with),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
