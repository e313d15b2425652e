/* Conversations put in the order that strict providers demand. Each is shown as a line:
 * "user: text "a" | model: call 0 c1 f {}". */
#include "gateway/chat.h"
#include "gateway/providers/talk.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

static const struct json_limits limits = { .max_depth = 64, .max_keys = 100000 };

static bool takes_all(struct slice format)
{
	(void)format;
	return true;
}

static bool takes_claude(struct slice format)
{
	return slice_is(format, "anthropic-claude-v1");
}

static const struct talk_rules plain = { .id_max = 64 };
static const struct talk_rules late = { .id_max = 64, .late_system_in_turn = true };
static const struct talk_rules thinking = { .id_max = 64, .takes_thought = takes_all };
static const struct talk_rules claude = { .id_max = 64, .takes_thought = takes_claude };

/* ---- showing a talk ---- */

static void show_member(struct buf *b, const char *name, struct json_value v)
{
	if (v.kind == JSON_ABSENT)
		return;
	buf_printf(b, " %s=", name);
	buf_slice_append(b, v.raw);
}

static void show_part(struct buf *b, const struct talk *t, const struct part *p)
{
	static const char *const kinds[] = { "text", "image", "audio", "video", "file", "call",
		"result", "thought", "hidden", "native", "unknown" };

	buf_printf(b, " %s", kinds[p->kind]);
	if (p->kind == PART_CALL) {
		assert_in_range(p->call, 0, t->call_count - 1);
		buf_printf(b, " %s %s ", t->calls[p->call].id, t->calls[p->call].name);
		talk_write_arguments(p, b);
	} else if (p->kind == PART_RESULT) {
		assert_in_range(p->call, 0, t->call_count - 1);
		buf_printf(b, " %s ", t->calls[p->call].id);
		buf_slice_append(b, p->value.raw);
	} else if (p->value.kind != JSON_ABSENT) {
		buf_char(b, ' ');
		buf_slice_append(b, p->value.raw);
	}
	if (p->failed)
		buf_str(b, " failed");
	show_member(b, "cache", p->cache);
	show_member(b, "signature", p->signature);
	show_member(b, "format", p->format);
}

static void show(struct buf *b, const struct talk *t)
{
	unsigned next = 0;

	for (unsigned i = 0; i < t->system_count; i++) {
		buf_str(b, i ? "" : "system:");
		show_part(b, t, &t->system[i]);
	}
	for (unsigned i = 0; i < t->turn_count; i++) {
		const struct turn *turn = &t->turns[i];

		assert_int_equal(turn->first, next);
		assert_true(turn->count > 0);
		if (i)
			assert_int_not_equal(turn->who, t->turns[i - 1].who);
		buf_str(b, b->len ? " | " : "");
		buf_str(b, turn->who == SPEAKER_USER ? "user:" : "model:");
		for (unsigned k = 0; k < turn->count; k++)
			show_part(b, t, &t->parts[next++]);
	}
}

/* The body of a request, read; its slices point into the body. */
static void ask(struct chat_req *req, struct slice body)
{
	struct err e;

	if (chat_parse(body, &limits, req, &e))
		fail_msg("%s", e.message);
}

static struct slice body_of(const char *messages)
{
	static char body[1 << 16];
	int n = snprintf(body, sizeof(body), "{\"model\":\"m\",\"messages\":[%s]}", messages);

	assert_true(n > 0 && (size_t)n < sizeof(body));
	return (struct slice){ body, (size_t)n };
}

static void expect_by(const struct talk_rules *rules, const char *messages, const char *expected)
{
	struct buf b = { 0 };
	struct chat_req req;
	struct talk t;
	struct err e;

	ask(&req, body_of(messages));
	if (talk_read(&req, rules, &t, &e))
		fail_msg("%s: %s", messages, e.message);
	show(&b, &t);
	assert_string_equal(buf_cstr(&b), expected);
	talk_fini(&t);
	buf_fini(&b);
}

static void expect(const char *messages, const char *expected)
{
	expect_by(&plain, messages, expected);
}

#define USER(text)   "{\"role\":\"user\",\"content\":\"" text "\"}"
#define SYSTEM(text) "{\"role\":\"system\",\"content\":\"" text "\"}"
#define MODEL(text)  "{\"role\":\"assistant\",\"content\":\"" text "\"}"
#define CALL(id, name, arguments) \
	"{\"id\":\"" id "\",\"type\":\"function\",\"function\":{\"name\":\"" name \
	"\",\"arguments\":\"" arguments "\"}}"
#define CALLS(list) "{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[" list "]}"
#define TOOL(id, result) \
	"{\"role\":\"tool\",\"tool_call_id\":\"" id "\",\"content\":\"" result "\"}"

/* ---- order ---- */

static void system_texts_are_set_apart_in_order(void **state)
{
	(void)state;
	expect(SYSTEM("a") "," USER("x") ",{\"role\":\"developer\",\"content\":\"b\"}",
		"system: text \"a\" text \"b\" | user: text \"x\"");
	expect("{\"role\":\"system\",\"content\":[{\"type\":\"text\",\"text\":\"a\"},{\"type\":"
	       "\"text\",\"text\":\"\"},{\"type\":\"text\",\"text\":\"b\",\"cache_control\":{"
	       "\"type\":\"ephemeral\"}}]}," USER("x"),
		"system: text \"a\" text \"b\" cache={\"type\":\"ephemeral\"} | user: text \"x\"");
	expect(SYSTEM("only"), "system: text \"only\"");
}

static void late_system_texts_may_stay_where_they_are(void **state)
{
	(void)state;
	expect_by(&late, SYSTEM("a") "," USER("x") "," MODEL("y") "," SYSTEM("now") "," USER("z"),
		"system: text \"a\" | user: text \"x\" | model: text \"y\" | user: text \"now\" "
		"text \"z\"");
	expect_by(&late,
		USER("x") "," CALLS(CALL("c1", "f", "")) "," SYSTEM("s") "," TOOL("c1", "r"),
		"user: text \"x\" | model: call c1 f {} | user: result c1 \"r\" text \"s\"");
}

static void turns_of_the_same_speaker_are_merged(void **state)
{
	(void)state;
	expect(USER("a") "," USER("b") "," MODEL("c") "," MODEL("d"),
		"user: text \"a\" text \"b\" | model: text \"c\" text \"d\"");
}

static void empty_texts_and_their_turns_are_dropped(void **state)
{
	(void)state;
	expect(USER("a") "," MODEL(" \\n\\t ") "," USER("b"), "user: text \"a\" text \"b\"");
	expect(USER("a") ",{\"role\":\"assistant\",\"content\":\"\",\"tool_calls\":[" CALL(
		       "c1", "f", "{}") "]}," TOOL("c1", ""),
		"user: text \"a\" | model: call c1 f {} | user: result c1 \"\"");
	expect(USER("a") ",{\"role\":\"assistant\"},{\"role\":\"assistant\",\"content\":[]}",
		"user: text \"a\"");
	expect("{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"\"},{\"type\":"
	       "\"text\",\"text\":\"b\"}]}",
		"user: text \"b\"");
}

static void text_comes_before_calls(void **state)
{
	(void)state;
	expect(USER("q") "," CALLS(CALL("c1", "f", "{}")) "," MODEL("said") "," TOOL("c1", "r"),
		"user: text \"q\" | model: text \"said\" call c1 f {} | user: result c1 \"r\"");
}

static void results_stand_in_the_order_of_calls_before_all_else(void **state)
{
	(void)state;
	expect(USER("q") "," CALLS(CALL("a", "f", "{}") "," CALL("b", "g", "{}")) "," USER(
		       "u") "," TOOL("b", "2") "," TOOL("a", "1"),
		"user: text \"q\" | model: call a f {} call b g {} | user: result a \"1\" result b "
		"\"2\" text \"u\"");
}

static void a_late_result_goes_back_to_its_call(void **state)
{
	(void)state;
	expect(USER("q") "," CALLS(CALL("a", "f", "{}")) "," USER("u") "," MODEL("m") "," TOOL(
		       "a", "1") "," MODEL("n"),
		"user: text \"q\" | model: call a f {} | user: result a \"1\" text \"u\" | model: "
		"text \"m\" text \"n\"");
}

static void a_call_nobody_answered_gets_a_result_that_says_so(void **state)
{
	(void)state;
	expect(USER("q") "," CALLS(CALL("a", "f", "{}") "," CALL("b", "f", "{}")) "," TOOL(
		       "b", "2") "," MODEL("m"),
		"user: text \"q\" | model: call a f {} call b f {} | user: result a \"no result "
		"recorded\" failed result b \"2\" | model: text \"m\"");
	expect(USER("q") "," CALLS(CALL("a", "f", "{}")),
		"user: text \"q\" | model: call a f {} | user: result a \"no result recorded\" "
		"failed");
	expect(USER("q") "," CALLS(CALL("a", "f", "{}")) "," USER("u"),
		"user: text \"q\" | model: call a f {} | user: result a \"no result recorded\" "
		"failed text \"u\"");
}

static void a_result_nobody_called_for_becomes_text(void **state)
{
	(void)state;
	expect(USER("q") "," TOOL("x", "lost"), "user: text \"q\" text \"lost\"");
	expect(USER("q") "," CALLS(CALL("a", "f", "{}")) "," TOOL("a", "1") "," TOOL("a", "2"),
		"user: text \"q\" | model: call a f {} | user: result a \"1\" text \"2\"");
	expect("{\"role\":\"tool\",\"tool_call_id\":\"x\",\"content\":[{\"type\":\"text\",\"text\":"
	       "\"t\"},{\"type\":\"image_url\",\"image_url\":{\"url\":\"https://h/i\"}}]}",
		"user: text \"t\" image {\"url\":\"https://h/i\"}");
}

static void results_may_be_arrays_and_empty(void **state)
{
	(void)state;
	expect(CALLS(CALL("a", "f", "{}") "," CALL(
		       "b", "f", "{}")) ","
					"{\"role\":\"tool\",\"tool_call_id\":\"a\",\"content\":[{"
					"\"type\":\"text\",\"text\":"
					"\"t\"}]},{\"role\":\"tool\",\"tool_call_id\":\"b\","
					"\"content\":null}",
		"model: call a f {} call b f {} | user: result a "
		"[{\"type\":\"text\",\"text\":\"t\"}] "
		"result b \"\"");
}

static void a_function_call_of_old_is_a_call(void **state)
{
	(void)state;
	expect(USER("q") ",{\"role\":\"assistant\",\"content\":null,\"function_call\":{\"name\":"
			 "\"f\",\"arguments\":\"{\\\"a\\\":1}\"}},{\"role\":\"function\",\"name\":"
			 "\"f\",\"content\":\"r\"}",
		"user: text \"q\" | model: call _f f {\"a\":1} | user: result _f \"r\"");
}

/* ---- ids ---- */

static void ids_are_made_to_fit(void **state)
{
	(void)state;
	expect(CALLS(CALL("functions.f:0", "f", "{}")) "," TOOL("functions.f:0", "r"),
		"model: call functions_f_0 f {} | user: result functions_f_0 \"r\"");
}

static void ids_stay_different(void **state)
{
	(void)state;
	expect(CALLS(CALL("a.1", "f", "1") "," CALL("a:1", "f", "2") "," CALL("a_1", "f",
		       "3")) "," TOOL("a:1", "y") "," TOOL("a.1", "x") "," TOOL("a_1", "z"),
		"model: call a_1 f {\"value\":1} call a_1_2 f {\"value\":2} call a_1_3 f "
		"{\"value\":3} | user: result a_1 \"x\" result a_1_2 \"y\" result a_1_3 \"z\"");
}

static void ids_that_come_again_belong_to_their_own_turn(void **state)
{
	(void)state;
	expect(USER("q") "," CALLS(CALL("call_0", "f", "{}")) "," TOOL("call_0", "1") "," CALLS(
		       CALL("call_0", "f", "{}")) "," TOOL("call_0", "2"),
		"user: text \"q\" | model: call call_0 f {} | user: result call_0 \"1\" | model: "
		"call call_0_2 f {} | user: result call_0_2 \"2\"");
	expect(CALLS(CALL("x", "f", "1") "," CALL("x", "f", "2")) "," TOOL("x", "r1") "," TOOL(
		       "x", "r2"),
		"model: call x f {\"value\":1} call x_2 f {\"value\":2} | user: result x \"r1\" "
		"result x_2 \"r2\"");
}

static void long_ids_are_shortened_and_stay_different(void **state)
{
	const struct talk_rules nine = { .id_max = 9 };
	struct chat_req req;
	struct talk t;
	struct err e;

	(void)state;
	ask(&req,
		body_of(CALLS(CALL("call_aaaaaaaaaaaaaaaaaaaa", "f", "{}") "," CALL(
			"call_aaaaaaaaaaaaaaaaaaab", "f", "{}") "," CALL("abcdefghi", "f", "{}"))));
	assert_int_equal(talk_read(&req, &nine, &t, &e), ERR_OK);
	assert_int_equal(t.call_count, 3);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(strlen(t.calls[i].id), 9);
	assert_string_not_equal(t.calls[0].id, t.calls[1].id);
	assert_string_equal(t.calls[2].id, "abcdefghi");
	talk_fini(&t);
}

static void a_call_without_id_gets_one(void **state)
{
	(void)state;
	expect("{\"role\":\"assistant\",\"tool_calls\":[{\"function\":{\"name\":\"f\"}}]}," TOOL(
		       "", "r"),
		"model: call call f {} | user: result call \"r\"");
}

/* ---- signatures ---- */

#define SIGNED(id, more, function_more) \
	"{\"role\":\"assistant\",\"tool_calls\":[{\"id\":\"" id \
	"\",\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"\"" function_more \
	"}" more "}]"

static void signatures_are_collected_from_every_carrier(void **state)
{
	static const struct {
		const char *name, *message;
	} rows[] = {
		{ "extra_content", SIGNED("c1",
					   ",\"extra_content\":{\"google\":{\"thought_"
					   "signature\":\"QUJD\"}}",
					   "") "}" },
		{ "reasoning_details",
			SIGNED("c1", "", "") ",\"reasoning_details\":[{\"type\":\"reasoning."
					     "encrypted\",\"id\":\"c1\",\"data\":\"QUJD\","
					     "\"format\":\"google-gemini-v1\",\"index\":0}]}" },
		{ "id", SIGNED("c1__thought__QUJD", "", "") "}" },
		{ "function", SIGNED("c1", "", ",\"thought_signature\":\"QUJD\"") "}" },
		{ "provider_specific_fields", SIGNED("c1",
						      ",\"provider_specific_fields\":{"
						      "\"thought_signature\":\"QUJD\"}",
						      "") "}" },
		{ "provider_specific_fields of the function",
			SIGNED("c1", "",
				",\"provider_specific_fields\":{\"thought_signature\":"
				"\"QUJD\"}") "}" },
		{ "thoughtSignature", SIGNED("c1", ",\"thoughtSignature\":\"QUJD\"", "") "}" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct chat_req req;
		struct talk t;
		struct err e;

		print_message("%s\n", rows[i].name);
		ask(&req, body_of(rows[i].message));
		assert_int_equal(talk_read(&req, &plain, &t, &e), ERR_OK);
		assert_int_equal(t.call_count, 1);
		assert_string_equal(t.calls[0].id, "c1");
		assert_true(slice_is(t.calls[0].signature, "QUJD"));
		assert_true(slice_is(t.parts[0].signature.raw, "\"QUJD\""));
		talk_fini(&t);
	}
}

static void an_id_is_parted_from_its_signature_on_both_sides(void **state)
{
	(void)state;
	expect(CALLS(CALL("call_1__thought__QUJD", "f", "{}")) "," TOOL(
		       "call_1__thought__QUJD", "r"),
		"model: call call_1 f {} signature=\"QUJD\" | user: result call_1 \"r\"");
	expect(CALLS(CALL("call_1__thought__QUJD", "f", "{}")) "," TOOL("call_1", "r"),
		"model: call call_1 f {} signature=\"QUJD\" | user: result call_1 \"r\"");
}

static void only_the_signed_call_is_signed(void **state)
{
	(void)state;
	expect("{\"role\":\"assistant\",\"reasoning_details\":[{\"type\":\"reasoning.encrypted\","
	       "\"id\":\"a\",\"data\":\"S\"}],\"tool_calls\":[" CALL("a", "f", "{}") "," CALL(
		       "b", "f", "{}") "]}," TOOL("a", "1") "," TOOL("b", "2"),
		"model: call a f {} signature=\"S\" call b f {} | user: result a \"1\" result b "
		"\"2\"");
}

static void a_signature_of_the_message_is_that_of_its_last_text(void **state)
{
	(void)state;
	expect_by(&thinking,
		"{\"role\":\"assistant\",\"content\":[{\"type\":\"text\",\"text\":\"a\"},{\"type\":"
		"\"text\",\"text\":\"b\"}],\"extra_content\":{\"google\":{\"thought_signature\":"
		"\"S\"}}}",
		"model: text \"a\" text \"b\" signature=\"S\"");
	expect_by(&thinking,
		"{\"role\":\"assistant\",\"content\":\"\",\"reasoning_details\":[{\"type\":"
		"\"reasoning.encrypted\",\"data\":\"S\",\"format\":\"google-gemini-v1\"}]}",
		"model: text \"\" signature=\"S\"");
	expect("{\"role\":\"assistant\",\"content\":\"\",\"extra_content\":{\"google\":{"
	       "\"thought_signature\":\"S\"}}}," USER("x"),
		"user: text \"x\"");
}

/* ---- thoughts ---- */

static void thoughts_come_first_in_their_order_with_the_same_bytes(void **state)
{
	(void)state;
	expect_by(&claude,
		"{\"role\":\"assistant\",\"content\":\"hi\",\"tool_calls\":[" CALL(
			"c", "f", "{}") "],"
					"\"reasoning_details\":[{\"type\":\"reasoning.text\","
					"\"index\":0,\"format\":"
					"\"anthropic-claude-v1\",\"text\":\"Let\\u0020me\","
					"\"signature\":\"Eo8B\"},{"
					"\"type\":\"reasoning.encrypted\",\"index\":1,\"data\":"
					"\"EmwK\"},{\"type\":"
					"\"reasoning.text\",\"format\":\"openai-responses-v1\","
					"\"text\":\"no\"},{\"type\":"
					"\"reasoning.magic\"}]}",
		"model: thought \"Let\\u0020me\" signature=\"Eo8B\" format=\"anthropic-claude-v1\" "
		"hidden \"EmwK\" format=\"anthropic-claude-v1\" text \"hi\" call c f {} | user: "
		"result c \"no result recorded\" failed");
}

static void a_thought_that_came_in_pieces_is_whole_again(void **state)
{
	(void)state;
	expect_by(&claude,
		"{\"role\":\"assistant\",\"content\":\"hi\",\"reasoning_details\":["
		"{\"type\":\"reasoning.text\",\"index\":0,\"text\":\"Need \"},"
		"{\"type\":\"reasoning.text\",\"index\":0,\"text\":\"a \"},"
		"{\"type\":\"reasoning.text\",\"index\":0,\"text\":\"tool\"},"
		"{\"type\":\"reasoning.text\",\"index\":0,\"signature\":\"S1\"},"
		"{\"type\":\"reasoning.text\",\"index\":1,\"text\":\"two\",\"signature\":\"S2\"},"
		"{\"type\":\"reasoning.text\",\"index\":1,\"text\":\"three\"}]}",
		"model: thought \"Need a tool\" signature=\"S1\" format=\"anthropic-claude-v1\" "
		"thought \"two\" signature=\"S2\" format=\"anthropic-claude-v1\" "
		"thought \"three\" format=\"anthropic-claude-v1\" text \"hi\"");
}

static void thoughts_of_nobody_are_asked_for(void **state)
{
#define PLAIN "{\"role\":\"assistant\",\"content\":\"hi\",\"reasoning_content\":\"hm\"}"
#define BLOCKS \
	"{\"role\":\"assistant\",\"content\":\"hi\",\"thinking_blocks\":[{\"type\":\"thinking\"," \
	"\"thinking\":\"t\",\"signature\":\"S\"},{\"type\":\"redacted_thinking\",\"data\":\"D\"}]" \
	",\"reasoning\":\"t\"}"
	(void)state;
	expect_by(&thinking, PLAIN, "model: thought \"hm\" text \"hi\"");
	expect_by(&claude, PLAIN, "model: text \"hi\"");
	expect(PLAIN, "model: text \"hi\"");
	expect_by(
		&thinking, BLOCKS, "model: thought \"t\" signature=\"S\" hidden \"D\" text \"hi\"");
	expect_by(&claude, BLOCKS, "model: text \"hi\"");
	expect_by(&thinking,
		"{\"role\":\"assistant\",\"content\":[{\"type\":\"thinking\",\"thinking\":\"t\","
		"\"signature\":\"S\"},{\"type\":\"text\",\"text\":\"hi\"}]}",
		"model: thought \"t\" signature=\"S\" text \"hi\"");
}

/* ---- parts ---- */

static void every_kind_of_part_is_known(void **state)
{
	(void)state;
	expect("{\"role\":\"user\",\"content\":[{\"type\":\"image_url\",\"image_url\":\"https://"
	       "h/i\"},{\"type\":\"input_audio\",\"input_audio\":{\"data\":\"QQ==\"}},{\"type\":"
	       "\"file\",\"file\":{\"file_id\":\"f\"}},{\"type\":\"video_url\",\"video_url\":{"
	       "\"url\":\"https://h/v\"}},{\"type\":\"document\",\"source\":{}},{\"type\":"
	       "\"smell\"}]}",
		"user: image \"https://h/i\" audio {\"data\":\"QQ==\"} file {\"file_id\":\"f\"} "
		"video "
		"{\"url\":\"https://h/v\"} native unknown \"smell\"");
	expect("{\"role\":\"assistant\",\"content\":null,\"refusal\":\"no\",\"images\":[{\"type\":"
	       "\"image_url\",\"image_url\":{\"url\":\"data:,\"}}]}",
		"model: text \"no\" image {\"url\":\"data:,\"}");
	expect("{\"role\":\"assistant\",\"content\":[{\"type\":\"refusal\",\"refusal\":\"no\"}],"
	       "\"audio\":{\"id\":\"a\"}}",
		"model: text \"no\" unknown \"audio\"");
}

static void breakpoints_stay_with_what_they_stand_on(void **state)
{
#define CACHE "\"cache_control\":{\"type\":\"ephemeral\"}"
	(void)state;
	expect("{\"role\":\"user\",\"content\":\"x\"," CACHE "}",
		"user: text \"x\" cache={\"type\":\"ephemeral\"}");
	expect("{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"a\"," CACHE
	       "},{\"type\":\"text\",\"text\":\"b\",\"cache_control\":null}]}",
		"user: text \"a\" cache={\"type\":\"ephemeral\"} text \"b\"");
	expect(CALLS(CALL(
		       "c", "f", "{}")) ",{\"role\":\"tool\",\"tool_call_id\":\"c\",\"content\":["
					"{\"type\":\"text\",\"text\":\"r\"," CACHE "}]}",
		"model: call c f {} | user: result c [{\"type\":\"text\",\"text\":\"r\"," CACHE
		"}] cache={\"type\":\"ephemeral\"}");
	expect(CALLS(CALL("c", "f", "{}")) ",{\"role\":\"tool\",\"tool_call_id\":\"c\",\"content\":"
					   "\"r\"," CACHE "}",
		"model: call c f {} | user: result c \"r\" cache={\"type\":\"ephemeral\"}");
	expect(SYSTEM("s") ",{\"role\":\"system\",\"content\":\"t\"," CACHE "}",
		"system: text \"s\" text \"t\" cache={\"type\":\"ephemeral\"}");
}

static void arguments_become_an_object(void **state)
{
	static const struct {
		const char *arguments, *expected;
	} rows[] = {
		{ "\"\"", "{}" },
		{ "\" \\n\"", "{}" },
		{ "\"{\\\"a\\\": [1,2]}\"", "{\"a\": [1,2]}" },
		{ "\"[1]\"", "{\"value\":[1]}" },
		{ "\"null\"", "{\"value\":null}" },
		{ "\"{oops\"", "{\"raw\":\"{oops\"}" },
		{ "\"{\\\"a\\\":\\\"\\u00e4\\\"}\"", "{\"a\":\"ä\"}" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct part p = { .kind = PART_CALL,
			.value = { JSON_STRING, slice_of(rows[i].arguments) } };
		struct buf b = { 0 };

		buf_str(&b, "x");
		talk_write_arguments(&p, &b);
		assert_string_equal(buf_cstr(&b) + 1, rows[i].expected);
		buf_fini(&b);
	}
}

static void the_text_of_a_content_is_one_string(void **state)
{
	static const struct {
		enum json_kind kind;
		const char *content, *expected;
	} rows[] = {
		{ JSON_STRING, "\"a\\n\"", "\"a\\n\"" },
		{ JSON_ARRAY,
			"[{\"type\":\"text\",\"text\":\"a\\\"\"},{\"type\":\"image_url\"},{"
			"\"type\":"
			"\"text\",\"text\":\"b\"}]",
			"\"a\\\"b\"" },
		{ JSON_ABSENT, "", "\"\"" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct buf b = { 0 };

		talk_write_text((struct json_value){ rows[i].kind, slice_of(rows[i].content) }, &b);
		assert_string_equal(buf_cstr(&b), rows[i].expected);
		buf_fini(&b);
	}
}

/* ---- size ---- */

static void a_thousand_messages_and_a_hundred_calls_at_once(void **state)
{
	struct buf b = { 0 };
	struct chat_req req;
	struct talk t;
	struct err e;

	(void)state;
	buf_str(&b, "{\"model\":\"m\",\"messages\":[" USER("go"));
	for (int i = 0; i < 1000; i++)
		buf_printf(&b, ",{\"role\":\"%s\",\"content\":\"%d\"}",
			i % 2 ? "user" : "assistant", i);
	buf_str(&b, ",{\"role\":\"assistant\",\"tool_calls\":[");
	for (int i = 0; i < 100; i++)
		buf_printf(&b, "%s{\"id\":\"c%d\",\"function\":{\"name\":\"f\"}}", i ? "," : "", i);
	buf_str(&b, "]}");
	for (int i = 99; i >= 0; i--)
		buf_printf(&b, ",{\"role\":\"tool\",\"tool_call_id\":\"c%d\",\"content\":\"%d\"}",
			i, i);
	buf_str(&b, "]}");
	ask(&req, buf_slice(&b));
	assert_int_equal(talk_read(&req, &plain, &t, &e), ERR_OK);
	assert_int_equal(t.turn_count, 1003);
	assert_int_equal(t.call_count, 100);
	assert_int_equal(t.turns[1002].count, 100);
	for (unsigned i = 0; i < 100; i++) {
		const struct part *p = &t.parts[t.turns[1002].first + i];
		char expected[16];

		snprintf(expected, sizeof(expected), "\"%u\"", i);
		assert_int_equal(p->call, i);
		assert_true(slice_is(p->value.raw, expected));
	}
	talk_fini(&t);
	buf_fini(&b);
}

static void more_parts_than_the_limit_are_refused(void **state)
{
	struct buf b = { .max_bytes = 64 << 20 };
	struct chat_req req;
	struct talk t;
	struct err e;

	(void)state;
	buf_str(&b, "{\"model\":\"m\",\"messages\":[" USER("go"));
	for (int i = 0; i < 200000; i++)
		buf_str(&b, "," USER("x"));
	buf_str(&b, "]}");
	ask(&req, buf_slice(&b));
	assert_int_equal(talk_read(&req, &plain, &t, &e), ERR_BAD_REQUEST);
	assert_string_equal(e.param, "messages");
	talk_fini(&t);
	buf_fini(&b);
}

/* ---- hostile shapes ---- */

static void wrong_shapes_are_refused_by_name(void **state)
{
	static const struct {
		const char *message, *param;
	} rows[] = {
		{ "{\"role\":\"pope\",\"content\":\"x\"}", "messages[0].role" },
		{ "{\"role\":\"user\"}", "messages[0].content" },
		{ "{\"role\":\"user\",\"content\":7}", "messages[0].content" },
		{ "{\"role\":\"user\",\"content\":{}}", "messages[0].content" },
		{ "{\"role\":\"system\",\"content\":null}", "messages[0].content" },
		{ "{\"role\":\"user\",\"content\":[\"x\"]}", "messages[0].content[0]" },
		{ "{\"role\":\"user\",\"content\":[{}]}", "messages[0].content[0].type" },
		{ "{\"role\":\"user\",\"content\":[{\"type\":1}]}", "messages[0].content[0].type" },
		{ "{\"role\":\"user\",\"content\":[{\"type\":\"text\"}]}",
			"messages[0].content[0].text" },
		{ "{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":[]}]}",
			"messages[0].content[0].text" },
		{ "{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"x\"},{\"type\":"
		  "\"image_url\"}]}",
			"messages[0].content[1].image_url" },
		{ "{\"role\":\"user\",\"content\":[{\"type\":\"file\",\"file\":1}]}",
			"messages[0].content[0].file" },
		{ "{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"x\",\"cache_"
		  "control\":1}]}",
			"messages[0].content[0].cache_control" },
		{ "{\"role\":\"user\",\"content\":\"x\",\"cache_control\":[]}",
			"messages[0].cache_control" },
		{ "{\"role\":\"user\",\"content\":[{\"type\":\"thinking\"}]}",
			"messages[0].content[0].type" },
		{ "{\"role\":\"system\",\"content\":[{\"type\":\"image_url\",\"image_url\":\"x\"}]"
		  "}",
			"messages[0].content[0].type" },
		{ "{\"role\":\"tool\",\"content\":\"x\"}", "messages[0].tool_call_id" },
		{ "{\"role\":\"tool\",\"tool_call_id\":1,\"content\":\"x\"}",
			"messages[0].tool_call_id" },
		{ "{\"role\":\"tool\",\"tool_call_id\":\"a\\u0000\",\"content\":\"x\"}",
			"messages[0].tool_call_id" },
		{ "{\"role\":\"tool\",\"tool_call_id\":\"a\",\"content\":[1]}",
			"messages[0].content[0]" },
		{ "{\"role\":\"function\",\"content\":\"x\"}", "messages[0].name" },
		{ "{\"role\":\"assistant\",\"tool_calls\":{}}", "messages[0].tool_calls" },
		{ "{\"role\":\"assistant\",\"tool_calls\":[1]}", "messages[0].tool_calls[0]" },
		{ "{\"role\":\"assistant\",\"tool_calls\":[{}]}",
			"messages[0].tool_calls[0].function" },
		{ "{\"role\":\"assistant\",\"tool_calls\":[{\"id\":1}]}",
			"messages[0].tool_calls[0].id" },
		{ "{\"role\":\"assistant\",\"tool_calls\":[{\"type\":\"custom\"}]}",
			"messages[0].tool_calls[0].type" },
		{ "{\"role\":\"assistant\",\"tool_calls\":[{\"function\":{\"name\":\"\"}}]}",
			"messages[0].tool_calls[0].function.name" },
		{ "{\"role\":\"assistant\",\"tool_calls\":[{\"function\":{\"name\":\"a\\u0000\"}}]"
		  "}",
			"messages[0].tool_calls[0].function.name" },
		{ "{\"role\":\"assistant\",\"tool_calls\":[{\"function\":{\"name\":\"f\","
		  "\"arguments\":[]}}]}",
			"messages[0].tool_calls[0].function.arguments" },
		{ "{\"role\":\"assistant\",\"function_call\":[]}", "messages[0].function_call" },
		{ "{\"role\":\"assistant\",\"refusal\":1}", "messages[0].refusal" },
		{ "{\"role\":\"assistant\",\"images\":1}", "messages[0].images" },
		{ "{\"role\":\"assistant\",\"images\":[{\"type\":\"text\",\"text\":\"\"}]}",
			"messages[0].images[0].type" },
		{ "{\"role\":\"assistant\",\"reasoning\":1}", "messages[0].reasoning" },
		{ "{\"role\":\"assistant\",\"reasoning_content\":1}",
			"messages[0].reasoning_content" },
		{ "{\"role\":\"assistant\",\"reasoning_details\":1}",
			"messages[0].reasoning_details" },
		{ "{\"role\":\"assistant\",\"reasoning_details\":[1]}",
			"messages[0].reasoning_details[0]" },
		{ "{\"role\":\"assistant\",\"reasoning_details\":[{}]}",
			"messages[0].reasoning_details[0].type" },
		{ "{\"role\":\"assistant\",\"reasoning_details\":[{\"type\":\"reasoning.text\","
		  "\"text\":1}]}",
			"messages[0].reasoning_details[0].text" },
		{ "{\"role\":\"assistant\",\"reasoning_details\":[{\"type\":\"reasoning."
		  "encrypted\"}]}",
			"messages[0].reasoning_details[0].data" },
		{ "{\"role\":\"assistant\",\"thinking_blocks\":{}}",
			"messages[0].thinking_blocks" },
		{ "{\"role\":\"assistant\",\"thinking_blocks\":[{\"type\":\"thinking\","
		  "\"thinking\":1}]}",
			"messages[0].thinking_blocks[0].thinking" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct chat_req req;
		struct talk t;
		struct err e;

		print_message("%s\n", rows[i].message);
		ask(&req, body_of(rows[i].message));
		assert_int_equal(talk_read(&req, &thinking, &t, &e), ERR_BAD_REQUEST);
		assert_string_equal(e.param, rows[i].param);
		assert_null(t.memory);
		talk_fini(&t);
	}
}

static void a_refusal_names_provider_and_part(void **state)
{
	const struct target target = { .slug = "lab" };
	struct chat_req req;
	struct talk t;
	struct err e;

	(void)state;
	ask(&req, body_of(USER("x") ",{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":"
				    "\"y\"},{\"type\":\"input_audio\",\"input_audio\":{}}]}"));
	assert_int_equal(talk_read(&req, &plain, &t, &e), ERR_OK);
	assert_int_equal(talk_refuse(&t.parts[2], &target, "sound", &e), ERR_UNSUPPORTED);
	assert_string_equal(e.param, "messages[1].content[1]");
	assert_string_equal(e.message, "messages[1].content[1]: provider lab does not take sound");
	talk_fini(&t);
}

/* Whatever a client sends is read or refused. Each round changes some bytes; what is still JSON
 * goes through. */
static void no_request_brings_it_down(void **state)
{
	static const char seed[] = "{\"model\":\"m\",\"messages\":[" SYSTEM("s") "," USER(
		"u") ","
		     "{\"role\":\"assistant\",\"content\":[{\"type\":\"text\",\"text\":\"t\"}],"
		     "\"reasoning_details\":[{\"type\":\"reasoning.text\",\"index\":0,\"text\":"
		     "\"a\"},{"
		     "\"type\":\"reasoning.text\",\"index\":0,\"text\":\"b\"},{\"type\":"
		     "\"reasoning."
		     "encrypted\",\"id\":\"a\",\"data\":\"S\"}],\"tool_calls\":[" CALL("a", "f",
			     "{}") "," CALL("b", "g", "1") "]}," TOOL("b", "x") "," TOOL("a",
			     "y") ",{\"role\":\"function\","
				  "\"name\":\"f\",\"content\":null}," USER("z") "]}";
	static const char spice[] = "\"{}[],:0123tfnul\\ ab";
	unsigned read = 0;

	(void)state;
	srand(7);
	for (int round = 0; round < 60000; round++) {
		char body[sizeof(seed)];
		size_t len = sizeof(seed) - 1;
		struct buf b = { 0 };
		struct chat_req req;
		struct talk t;
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
		if (!talk_read(&req, rand() % 2 ? &thinking : &late, &t, &e)) {
			show(&b, &t);
			read++;
		}
		talk_fini(&t);
		buf_fini(&b);
	}
	assert_true(read > 1000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(system_texts_are_set_apart_in_order),
		cmocka_unit_test(late_system_texts_may_stay_where_they_are),
		cmocka_unit_test(turns_of_the_same_speaker_are_merged),
		cmocka_unit_test(empty_texts_and_their_turns_are_dropped),
		cmocka_unit_test(text_comes_before_calls),
		cmocka_unit_test(results_stand_in_the_order_of_calls_before_all_else),
		cmocka_unit_test(a_late_result_goes_back_to_its_call),
		cmocka_unit_test(a_call_nobody_answered_gets_a_result_that_says_so),
		cmocka_unit_test(a_result_nobody_called_for_becomes_text),
		cmocka_unit_test(results_may_be_arrays_and_empty),
		cmocka_unit_test(a_function_call_of_old_is_a_call),
		cmocka_unit_test(ids_are_made_to_fit),
		cmocka_unit_test(ids_stay_different),
		cmocka_unit_test(ids_that_come_again_belong_to_their_own_turn),
		cmocka_unit_test(long_ids_are_shortened_and_stay_different),
		cmocka_unit_test(a_call_without_id_gets_one),
		cmocka_unit_test(signatures_are_collected_from_every_carrier),
		cmocka_unit_test(an_id_is_parted_from_its_signature_on_both_sides),
		cmocka_unit_test(only_the_signed_call_is_signed),
		cmocka_unit_test(a_signature_of_the_message_is_that_of_its_last_text),
		cmocka_unit_test(thoughts_come_first_in_their_order_with_the_same_bytes),
		cmocka_unit_test(a_thought_that_came_in_pieces_is_whole_again),
		cmocka_unit_test(thoughts_of_nobody_are_asked_for),
		cmocka_unit_test(every_kind_of_part_is_known),
		cmocka_unit_test(breakpoints_stay_with_what_they_stand_on),
		cmocka_unit_test(arguments_become_an_object),
		cmocka_unit_test(the_text_of_a_content_is_one_string),
		cmocka_unit_test(a_thousand_messages_and_a_hundred_calls_at_once),
		cmocka_unit_test(more_parts_than_the_limit_are_refused),
		cmocka_unit_test(wrong_shapes_are_refused_by_name),
		cmocka_unit_test(a_refusal_names_provider_and_part),
		cmocka_unit_test(no_request_brings_it_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
