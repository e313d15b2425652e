/* What one family of models left in a conversation, sent to another: ids (kilo-contract.md sections
 * 22 and 37), thoughts and signatures (section 25), rules of single families (24.3). */
#include "gateway/chat.h"
#include "gateway/providers/openai_like.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

static const struct json_limits limits = { .max_depth = 64, .max_keys = 1000 };

/* Where a request goes. */
struct door {
	const struct provider *dialect;
	const char *slug, *model;
};

#define CLAUDE_BY_ROUTER \
	{ \
		&provider_openai, "openrouter", "anthropic/claude-sonnet-4.6" \
	}

/* The body that goes out for a list of messages; tail may be further members. */
static struct buf encode(const struct door *door, const char *messages, const char *tail)
{
	const struct target t = { .provider = door->dialect,
		.quirks = quirks_of(door->slug),
		.slug = door->slug,
		.base_url = "http://127.0.0.1:1",
		.chat_path = "/chat/completions",
		.auth = "bearer",
		.api_key = "k",
		.public_id = "a/b",
		.native_id = door->model };
	struct http_req http = { .url = "" };
	struct buf body = { 0 };
	struct chat_req req;
	struct err e = { 0 };

	buf_printf(&body, "{\"model\":\"m\",\"messages\":[%s]%s}", messages, tail);
	assert_int_equal(chat_parse(buf_slice(&body), &limits, &req, &e), ERR_OK);
	if (door->dialect->encode(&req, &t, &http, &e))
		fail_msg("%s: %s", door->slug, e.message);
	assert_int_equal(json_validate(buf_slice(&http.body), &limits, NULL, &e), ERR_OK);
	buf_fini(&http.headers);
	buf_fini(&body);
	return http.body;
}

static unsigned count(struct buf *in, const char *what)
{
	const char *at = buf_cstr(in);
	unsigned n = 0;

	for (; (at = strstr(at, what)) != NULL; at += strlen(what))
		n++;
	return n;
}

static void demand(const struct door *door, const char *messages, const char *tail,
	const char *what, unsigned times)
{
	struct buf sent = encode(door, messages, tail);

	print_message("%s %s: %s\n", door->slug, door->model, what);
	if (count(&sent, what) != times)
		fail_msg("not %u times in %s", times, buf_cstr(&sent));
	buf_fini(&sent);
}

/* ---- ids ---- */

#define CALL(id) \
	"{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[{\"id\":\"" id "\"," \
	"\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}}]}," \
	"{\"role\":\"tool\",\"tool_call_id\":\"" id "\",\"content\":\"r\"}"

#define DOTTED   "2a67f0bdf9058a67087f6f0ba2116ce6553a43a134d0b5618f18db66847ffd4a"
#define FUNCTION "c216cab2de2e56d547b4e6340edfc11a16bd7a07a29dc02bcf21927e5196d3de"

static void ids_with_a_dot_become_their_hash_for_claude_through_every_door(void **state)
{
	static const struct door doors[] = {
		{ &provider_anthropic, "anthropic", "claude-sonnet-4-6" },
		{ &provider_bedrock, "bedrock", "us.anthropic.claude-sonnet-4-6" },
		CLAUDE_BY_ROUTER,
		{ &provider_openai, "vercel", "anthropic/claude-sonnet-4.6" },
		{ &provider_openai, "kilo", "anthropic/claude-sonnet-4.6" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(doors) / sizeof(doors[0]); i++) {
		demand(&doors[i], CALL("toolu_01.abc"), "", "\"" DOTTED "\"", 2);
		demand(&doors[i], CALL("toolu_01\\u002eabc"), "", "\"" DOTTED "\"", 2);
		demand(&doors[i], CALL("functions.read:0"), "", "\"" FUNCTION "\"", 2);
		demand(&doors[i], CALL("call_1"), "", "\"call_1\"", 2);
	}
}

static void ids_become_nine_characters_for_mistral_through_every_door(void **state)
{
	static const struct door doors[] = {
		{ &provider_openai, "mistral", "mistral-large-latest" },
		{ &provider_bedrock, "bedrock", "mistral.mistral-large-2407-v1:0" },
		{ &provider_openai, "openrouter", "mistralai/mistral-large" },
		{ &provider_openai, "vercel", "mistral/mistral-large" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(doors) / sizeof(doors[0]); i++) {
		demand(&doors[i], CALL("toolu_01.abc"), "", "\"2a67f0bdf\"", 2);
		demand(&doors[i], CALL("call_1"), "", "\"74196fe72\"", 2);
		demand(&doors[i], CALL("functions.read:0"), "", "\"c216cab2d\"", 2);
		demand(&doors[i], CALL("123456789"), "", "\"123456789\"", 2);
	}
}

static void others_get_their_ids_as_they_are(void **state)
{
	static const struct door door = { &provider_openai, "openrouter", "openai/gpt-5.2" };

	(void)state;
	demand(&door, CALL("toolu_01.abc"), "", "\"toolu_01.abc\"", 2);
}

/* The second id is what the first one becomes. */
static void no_two_ids_become_one(void **state)
{
	static const struct door doors[] = {
		{ &provider_openai, "mistral", "mistral-large-latest" },
		{ &provider_openai, "openrouter", "mistralai/mistral-large" },
		{ &provider_bedrock, "bedrock", "mistral.mistral-large-2407-v1:0" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(doors) / sizeof(doors[0]); i++) {
		demand(&doors[i], CALL("call_1") "," CALL("74196fe72"), "", "\"74196fe72\"", 2);
		demand(&doors[i], CALL("74196fe72") "," CALL("call_1"), "", "\"74196fe72\"", 2);
	}
	demand(&(struct door){ &provider_anthropic, "anthropic", "claude-sonnet-4-6" },
		CALL("toolu_01.abc") "," CALL(DOTTED), "", "\"" DOTTED "\"", 2);
}

/* ---- thoughts ---- */

#define BY_CLAUDE \
	"\"reasoning_details\":[{\"type\":\"reasoning.text\",\"text\":\"hm\",\"signature\":" \
	"\"U0lH\",\"format\":\"anthropic-claude-v1\",\"index\":0},{\"type\":" \
	"\"reasoning.encrypted\",\"data\":\"RU5D\",\"format\":\"anthropic-claude-v1\"}]"
#define BY_GEMINI \
	"\"reasoning_details\":[{\"type\":\"reasoning.encrypted\",\"data\":\"U0lH\",\"id\":" \
	"\"c1\"," \
	"\"format\":\"google-gemini-v1\",\"index\":0}]"
#define BY_OPEN \
	"\"reasoning_details\":[{\"type\":\"reasoning.text\",\"text\":\"hm\",\"format\":" \
	"\"unknown\"}]"
#define THOUGHT(what) \
	"{\"role\":\"user\",\"content\":\"q\"},{\"role\":\"assistant\",\"content\":\"a\"," what \
	"},{\"role\":\"user\",\"content\":\"and?\"}"

static void details_go_to_who_wrote_them_byte_by_byte(void **state)
{
	static const struct {
		struct door door;
		const char *details;
	} cases[] = {
		{ CLAUDE_BY_ROUTER, BY_CLAUDE },
		{ { &provider_openai, "openrouter", "google/gemini-3-pro-preview" }, BY_GEMINI },
		{ { &provider_openai, "openrouter", "deepseek/deepseek-v3.2" }, BY_OPEN },
		/* Of whom nobody knows what it will be. */
		{ { &provider_openai, "openrouter", "openrouter/auto" }, BY_CLAUDE },
	};
	char messages[1024];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		snprintf(messages, sizeof(messages), "{\"role\":\"assistant\",%s,\"content\":\"\"}",
			cases[i].details);
		demand(&cases[i].door, messages, "", messages, 1);
	}
}

static void the_same_vendor_keeps_them_behind_another_door(void **state)
{
	static const struct door anthropic = { &provider_anthropic, "anthropic",
		"claude-sonnet-4-6" };
	static const struct door bedrock = { &provider_bedrock, "bedrock",
		"us.anthropic.claude-sonnet-4-6" };

	(void)state;
	demand(&anthropic, THOUGHT(BY_CLAUDE), "",
		"{\"type\":\"thinking\",\"thinking\":\"hm\",\"signature\":\"U0lH\"}", 1);
	demand(&anthropic, THOUGHT(BY_CLAUDE), "",
		"{\"type\":\"redacted_thinking\",\"data\":\"RU5D\"}", 1);
	demand(&bedrock, THOUGHT(BY_CLAUDE), "",
		"{\"reasoningText\":{\"text\":\"hm\",\"signature\":\"U0lH\"}}", 1);
	demand(&bedrock, THOUGHT(BY_CLAUDE), "", "{\"redactedContent\":\"RU5D\"}", 1);
}

static void signatures_go_to_nobody_else(void **state)
{
	static const char *const details[] = { BY_CLAUDE, BY_GEMINI };
	static const struct door doors[] = {
		{ &provider_anthropic, "anthropic", "claude-sonnet-4-6" },
		{ &provider_bedrock, "bedrock", "us.anthropic.claude-sonnet-4-6" },
		CLAUDE_BY_ROUTER,
		{ &provider_gemini, "google", "gemini-3-pro-preview" },
		{ &provider_openai, "openrouter", "google/gemini-3-pro-preview" },
		{ &provider_bedrock, "bedrock", "amazon.nova-pro-v1:0" },
		{ &provider_openai, "openai", "gpt-5.2" },
		{ &provider_openai, "mistral", "mistral-large-latest" },
		{ &provider_openai, "groq", "openai/gpt-oss-120b" },
		{ &provider_openai, "deepseek", "deepseek-v4" },
		{ &provider_openai, "moonshot", "kimi-k2.5" },
		{ &provider_openai, "zai", "glm-5" },
		{ &provider_openai, "minimax", "MiniMax-M2.5" },
		{ &provider_openai, "xai", "grok-4" },
		{ &provider_openai, "vllm", "qwen" },
		{ &provider_openai, "openrouter", "openai/gpt-5.2" },
		{ &provider_openai, "openrouter", "z-ai/glm-5" },
		{ &provider_openai, "vercel", "xai/grok-4" },
	};
	char messages[1024];

	(void)state;
	for (size_t i = 0; i < sizeof(doors) / sizeof(doors[0]); i++)
		for (size_t k = 0; k < 2; k++) {
			if (k == 0 ? i < 3 : i == 3 || i == 4)
				continue; /* its own */
			snprintf(messages, sizeof(messages),
				"{\"role\":\"user\",\"content\":\"q\"},{\"role\":\"assistant\","
				"\"content\":\"a\",%s},{\"role\":\"user\",\"content\":\"and?\"}",
				details[k]);
			demand(&doors[i], messages, "", "U0lH", 0);
			demand(&doors[i], messages, "", "RU5D", 0);
		}
}

static void what_was_thought_goes_on_in_words_where_they_are_read(void **state)
{
	static const struct door deepseek = { &provider_openai, "deepseek", "deepseek-v4" };
	static const struct door glm = { &provider_openai, "openrouter", "z-ai/glm-5" };
	static const struct door gpt = { &provider_openai, "openrouter", "openai/gpt-5.2" };
	static const struct door minimax = { &provider_openai, "minimax", "MiniMax-M2.5" };

	(void)state;
	demand(&minimax, THOUGHT(BY_CLAUDE), "",
		"\"reasoning_details\":[{\"type\":\"reasoning.text\",\"text\":\"hm\"}]", 1);
	demand(&minimax, THOUGHT(BY_OPEN), "", BY_OPEN, 1);
	demand(&deepseek, THOUGHT(BY_CLAUDE), "", "\"reasoning_content\":\"hm\"", 1);
	demand(&glm, THOUGHT(BY_CLAUDE), "", "\"reasoning\":\"hm\"", 1);
	demand(&glm, THOUGHT(BY_CLAUDE ",\"reasoning\":\"own\""), "", "\"reasoning\":\"own\"", 1);
	demand(&gpt, THOUGHT(BY_CLAUDE), "", "hm", 0);
}

static void thoughts_that_nobody_signed_do_not_go_to_claude(void **state)
{
	static const struct door router = CLAUDE_BY_ROUTER;

	(void)state;
	demand(&router, THOUGHT(BY_OPEN), "", "reasoning_details", 0);
	demand(&router,
		THOUGHT("\"reasoning_details\":[{\"type\":\"reasoning.text\",\"text\":\"hm\"}]"),
		"", "reasoning_details", 0);
	/* Pieces of a stream, of which the last is signed, do. */
	demand(&router,
		THOUGHT("\"reasoning_details\":[{\"type\":\"reasoning.text\",\"text\":\"h\","
			"\"index\":0},{\"type\":\"reasoning.text\",\"text\":\"m\",\"index\":0},"
			"{\"type\":\"reasoning.text\",\"signature\":\"U0lH\",\"index\":0}]"),
		"", "\"index\":0", 3);
}

static void blocks_of_thoughts_become_details_for_claude_only(void **state)
{
#define BLOCKS \
	"\"thinking_blocks\":[{\"type\":\"thinking\",\"thinking\":\"hm\",\"signature\":\"U0lH\"}," \
	"{\"type\":\"redacted_thinking\",\"data\":\"RU5D\"}]"
	static const struct door router = CLAUDE_BY_ROUTER;
	static const struct door glm = { &provider_openai, "openrouter", "z-ai/glm-5" };
	static const struct door gpt = { &provider_openai, "openrouter", "openai/gpt-5.2" };

	(void)state;
	demand(&router, THOUGHT(BLOCKS), "",
		"\"reasoning_details\":[{\"type\":\"reasoning.text\",\"text\":\"hm\",\"signature\":"
		"\"U0lH\",\"format\":\"anthropic-claude-v1\",\"index\":0},{\"type\":"
		"\"reasoning.encrypted\",\"data\":\"RU5D\",\"format\":\"anthropic-claude-v1\","
		"\"index\":1}]",
		1);
	demand(&router, THOUGHT(BLOCKS), "", "thinking_blocks", 0);
	demand(&gpt, THOUGHT(BLOCKS), "", "U0lH", 0);
	demand(&glm, THOUGHT(BLOCKS), "", "\"reasoning\":\"hm\"", 1);
	demand(&gpt,
		THOUGHT("\"x\":1") ",{\"role\":\"assistant\",\"content\":[{\"type\":\"thinking\","
				   "\"thinking\":\"hm\",\"signature\":\"U0lH\"},{\"type\":\"text\","
				   "\"text\":\"b\"}]}",
		"", "\"content\":[{\"type\":\"text\",\"text\":\"b\"}]", 1);
}

/* Every carrier of gemini.md section 9. */
static void signatures_beside_calls_are_left_to_gemini(void **state)
{
#define SIGNED \
	"{\"role\":\"assistant\",\"extra_content\":{\"google\":{\"thought_signature\":\"U0lH\"}}," \
	"\"tool_calls\":[{\"id\":\"c1__thought__U0lH\",\"type\":\"function\",\"function\":{" \
	"\"name\":\"f\",\"arguments\":\"{}\",\"thought_signature\":\"U0lH\"},\"extra_content\":{" \
	"\"google\":{\"thought_signature\":\"U0lH\"}},\"provider_specific_fields\":{" \
	"\"thought_signature\":\"U0lH\"},\"thoughtSignature\":\"U0lH\"}]},{\"role\":\"tool\"," \
	"\"tool_call_id\":\"c1__thought__U0lH\",\"content\":\"r\"}"
	static const struct door doors[] = {
		{ &provider_anthropic, "anthropic", "claude-sonnet-4-6" },
		{ &provider_bedrock, "bedrock", "us.anthropic.claude-sonnet-4-6" },
		{ &provider_openai, "openai", "gpt-5.2" },
		{ &provider_openai, "mistral", "mistral-large-latest" },
		{ &provider_openai, "groq", "openai/gpt-oss-120b" },
		{ &provider_openai, "deepseek", "deepseek-v4" },
		{ &provider_openai, "vllm", "qwen" },
		{ &provider_openai, "openrouter", "z-ai/glm-5" },
		CLAUDE_BY_ROUTER,
	};
	static const struct door gemini = { &provider_gemini, "google", "gemini-3-pro-preview" };

	(void)state;
	for (size_t i = 0; i < sizeof(doors) / sizeof(doors[0]); i++)
		demand(&doors[i], SIGNED, "", "U0lH", 0);
	/* On the text and on the call. */
	demand(&gemini, SIGNED, "", "\"thoughtSignature\":\"U0lH\"", 2);
}

static void references_in_results_are_renamed_for_gemini_behind_a_router(void **state)
{
	static const struct door gemini = { &provider_openai, "openrouter",
		"google/gemini-3-pro-preview" };
	static const struct door gpt = { &provider_openai, "openrouter", "openai/gpt-5.2" };
#define GAVE(text) \
	CALL("c1") ",{\"role\":\"tool\",\"tool_call_id\":\"c1\",\"content\":\"" text "\"}"
#define SCHEMA "{\\\"a\\\": [{\\\"$ref\\\" :\\\"#/x $ref\\\"}]}"

	(void)state;
	demand(&gemini, GAVE(SCHEMA), "", "{\\\"a\\\": [{\\\"_ref\\\" :\\\"#/x $ref\\\"}]}", 1);
	demand(&gpt, GAVE(SCHEMA), "", SCHEMA, 1);
	demand(&gemini, GAVE("no JSON: {\\\"$ref\\\":1"), "", "no JSON: {\\\"$ref\\\":1", 1);
}

/* ---- rules of single families ---- */

#define TOOLS \
	",\"tools\":[{\"type\":\"function\",\"cache_control\":{\"type\":\"ephemeral\"}," \
	"\"function\":{\"name\":\"f\",\"strict\":true,\"parameters\":{}}}]"

/* Another vendor's thinking is switched on without words that it would not know. */
static void claudes_switch_of_thinking_is_told_in_the_words_of_others(void **state)
{
	static const struct door kimi = { &provider_openai, "moonshot", "kimi-k2.5" };

	(void)state;
	demand(&kimi, CALL("c1"), ",\"thinking\":{\"type\":\"enabled\",\"budget_tokens\":2048}",
		"\"thinking\":{\"type\":\"enabled\"}", 1);
	demand(&kimi, CALL("c1"), ",\"thinking\":{\"type\":\"adaptive\"}",
		"\"thinking\":{\"type\":\"enabled\"}", 1);
	demand(&kimi, CALL("c1"), ",\"thinking\":{\"type\":\"disabled\",\"keep\":1}",
		"\"thinking\":{\"type\":\"disabled\",\"keep\":1}", 1);
}

/* The first call of a message must have a signature there; nobody else's has. */
static void calls_that_others_made_get_gemini_s_word_for_them(void **state)
{
#define SENTINEL "skip_thought_signature_validator"
	static const struct door gemini = { &provider_openai, "google-openai",
		"gemini-3-pro-preview" };
	static const struct door older = { &provider_openai, "google-openai", "gemini-2.5-pro" };
	static const char two[] = "{\"role\":\"assistant\",\"tool_calls\":[{\"id\":\"a\"},"
				  "{\"id\":\"b\"}]}";

	(void)state;
	demand(&gemini, two, "", SENTINEL, 1);
	demand(&gemini, SIGNED, "", SENTINEL, 0);
	demand(&older, two, "", SENTINEL, 0);
}

static void mistral_has_its_temperature_and_no_strict_tools(void **state)
{
	static const struct door doors[] = {
		{ &provider_openai, "mistral", "mistral-large-latest" },
		{ &provider_openai, "openrouter", "mistralai/mistral-large" },
	};
	static const struct door gpt = { &provider_openai, "openrouter", "openai/gpt-5.2" };

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		demand(&doors[i], CALL("c1"), TOOLS, "\"temperature\":0.2", 1);
		demand(&doors[i], CALL("c1"), ",\"temperature\":0.9", "\"temperature\":0.9", 1);
		demand(&doors[i], CALL("c1"), ",\"temperature\":null", "0.2", 0);
		demand(&doors[i], CALL("c1"), TOOLS, "strict", 0);
	}
	demand(&doors[1], CALL("c1"), TOOLS, "cache_control", 1);
	demand(&gpt, CALL("c1"), TOOLS, "temperature", 0);
	demand(&gpt, CALL("c1"), TOOLS, "strict", 1);
}

static void kimi_is_not_told_its_temperature(void **state)
{
	static const struct door doors[] = {
		{ &provider_openai, "moonshot", "kimi-k2.5" },
		{ &provider_openai, "openrouter", "moonshotai/kimi-k2.5" },
	};

	(void)state;
	for (size_t i = 0; i < 2; i++)
		demand(&doors[i], CALL("c1"), ",\"temperature\":0.9,\"top_p\":0.5", "0.", 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ids_with_a_dot_become_their_hash_for_claude_through_every_door),
		cmocka_unit_test(ids_become_nine_characters_for_mistral_through_every_door),
		cmocka_unit_test(others_get_their_ids_as_they_are),
		cmocka_unit_test(no_two_ids_become_one),
		cmocka_unit_test(details_go_to_who_wrote_them_byte_by_byte),
		cmocka_unit_test(the_same_vendor_keeps_them_behind_another_door),
		cmocka_unit_test(signatures_go_to_nobody_else),
		cmocka_unit_test(what_was_thought_goes_on_in_words_where_they_are_read),
		cmocka_unit_test(thoughts_that_nobody_signed_do_not_go_to_claude),
		cmocka_unit_test(blocks_of_thoughts_become_details_for_claude_only),
		cmocka_unit_test(signatures_beside_calls_are_left_to_gemini),
		cmocka_unit_test(references_in_results_are_renamed_for_gemini_behind_a_router),
		cmocka_unit_test(claudes_switch_of_thinking_is_told_in_the_words_of_others),
		cmocka_unit_test(calls_that_others_made_get_gemini_s_word_for_them),
		cmocka_unit_test(mistral_has_its_temperature_and_no_strict_tools),
		cmocka_unit_test(kimi_is_not_told_its_temperature),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
