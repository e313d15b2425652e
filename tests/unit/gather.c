#include "tests/unit/gather_trees.h"

#define HEAD                "\"id\":\"c1\",\"object\":\"chat.completion.chunk\",\"created\":7,\"model\":\"lab/m\""
#define CHUNK(choices)      "data: {" HEAD ",\"choices\":[" choices "]}\n\n"
#define DELTA(index, delta) "{\"index\":" index ",\"delta\":{" delta "},\"finish_reason\":null}"
#define ENDS(index, reason) "{\"index\":" index ",\"delta\":{},\"finish_reason\":\"" reason "\"}"
#define ANSWER(choices) \
	"{\"id\":\"c1\",\"object\":\"chat.completion\",\"created\":7,\"model\":\"lab/" \
	"m\",\"choices\":[" choices "]}"
#define CHOICE(index, message, reason) \
	"{\"index\":" index ",\"message\":{\"role\":\"assistant\"," message \
	"},\"logprobs\":null,\"finish_reason\":\"" reason "\"}"

static const struct {
	const char *name, *events, *answer;
} rows[] = {
	{ "a text",
		CHUNK(DELTA("0", "\"role\":\"assistant\",\"content\":\"\"")) CHUNK(DELTA("0",
			"\"content\":\"Hel\"")) CHUNK(DELTA("0", "\"content\":\"lo\\n\\u00e9\""))
			CHUNK(ENDS("0", "stop")) "data: [DONE]\n\n",
		ANSWER(CHOICE("0", "\"content\":\"Hello\\n\xc3\xa9\",\"refusal\":null", "stop")) },
	{ "nothing at all", CHUNK(ENDS("0", "stop")),
		ANSWER(CHOICE("0", "\"content\":\"\",\"refusal\":null", "stop")) },
	{ "comments, and no blank behind the colon",
		": OPENROUTER PROCESSING\n\n" CHUNK(DELTA(
			"0", "\"content\":\"a\"")) ": keep-alive\n\ndata:{" HEAD
						   ",\"choices\":[" ENDS("0", "stop") "]}\n\n",
		ANSWER(CHOICE("0", "\"content\":\"a\",\"refusal\":null", "stop")) },
	{ "calls of tools, interleaved",
		CHUNK(DELTA("0", "\"role\":\"assistant\",\"content\":null,\"tool_calls\":[{"
				 "\"index\":0,\"id\":\"call_a1\","
				 "\"type\":\"function\",\"function\":{\"name\":\"lookup\","
				 "\"arguments\":\"\"}}]")) CHUNK(DELTA("0",
			"\"tool_calls\":[{\"index\":1,\"id\":\"call_b2\",\"type\":\"function\","
			"\"function\":{\"name\":\"clock\",\"arguments\":\"\"}}]")) CHUNK(DELTA("0",
			"\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":"
			"\"{\\\"q\\\":\"}},{\"index\":1,\"function\":{\"arguments\":"
			"\"{}\"}}]")) CHUNK(DELTA("0", "\"tool_calls\":[{\"index\":0,\"function\":{"
						       "\"arguments\":\"\\\"plan\\\"}\"}}]"))
			CHUNK(ENDS("0", "tool_calls")),
		ANSWER(CHOICE("0",
			"\"content\":null,\"refusal\":null,\"tool_calls\":[{\"id\":\"call_a1\","
			"\"type\":\"function\","
			"\"function\":{\"name\":\"lookup\",\"arguments\":\"{\\\"q\\\":\\\"plan\\\"}"
			"\"}},{\"id\":\"call_b2\","
			"\"type\":\"function\",\"function\":{\"name\":\"clock\",\"arguments\":\"{}"
			"\"}}]",
			"tool_calls")) },
	{ "the second call begins first, and says more of itself",
		CHUNK(DELTA("0", "\"tool_calls\":[{\"index\":1,\"id\":\"b\",\"type\":\"custom\","
				 "\"custom\":{\"name\":\"c\","
				 "\"input\":\"x\"}}]")) CHUNK(DELTA("0",
			"\"tool_calls\":[{\"index\":0,\"id\":\"a\",\"function\":{\"name\":\"f\","
			"\"arguments\":\"{}\"},"
			"\"extra_content\":{\"google\":{\"thought_signature\":\"s\"}}}]"))
			CHUNK(DELTA("0", "\"tool_calls\":[{\"index\":1,\"id\":\"\",\"custom\":{"
					 "\"name\":\"\","
					 "\"input\":\"y\"}}]")) CHUNK(ENDS("0", "tool_calls")),
		ANSWER(CHOICE("0",
			"\"content\":null,\"refusal\":null,\"tool_calls\":[{\"id\":\"a\","
			"\"function\":{\"name\":\"f\","
			"\"arguments\":\"{}\"},\"extra_content\":{\"google\":{\"thought_"
			"signature\":\"s\"}}},{\"id\":\"b\","
			"\"type\":\"custom\",\"custom\":{\"name\":\"c\",\"input\":\"xy\"}}]",
			"tool_calls")) },
	{ "no calls after all",
		CHUNK(DELTA("0", "\"content\":\"a\",\"tool_calls\":[],\"annotations\":[]"))
			CHUNK(ENDS("0", "stop")),
		ANSWER(CHOICE(
			"0", "\"content\":\"a\",\"refusal\":null,\"annotations\":[]", "stop")) },
	{ "the call of a function as it once was",
		CHUNK(DELTA("0", "\"function_call\":{\"name\":\"f\",\"arguments\":\"{\"}"))
			CHUNK(DELTA("0", "\"function_call\":{\"arguments\":\"}\"}"))
				CHUNK(ENDS("0", "function_call")),
		ANSWER(CHOICE("0",
			"\"content\":null,\"refusal\":null,\"function_call\":{\"name\":\"f\","
			"\"arguments\":\"{}\"}",
			"function_call")) },
	{ "choices in turns, the later first",
		CHUNK(DELTA("1", "\"content\":\"b\""))
			CHUNK(DELTA("0", "\"content\":\"a\"") "," DELTA("1", "\"content\":\"B\""))
				CHUNK(ENDS("1", "length")) CHUNK(ENDS("0", "stop")),
		ANSWER(CHOICE("0", "\"content\":\"a\",\"refusal\":null", "stop") "," CHOICE(
			"1", "\"content\":\"bB\",\"refusal\":null", "length")) },
	{ "a refusal",
		CHUNK(DELTA("0", "\"role\":\"assistant\",\"refusal\":\"I \""))
			CHUNK(DELTA("0", "\"refusal\":\"won't\"")) CHUNK(ENDS("0", "stop")),
		ANSWER(CHOICE("0", "\"content\":null,\"refusal\":\"I won't\"", "stop")) },
	{ "thoughts, and what is hidden of them",
		CHUNK(DELTA("0", "\"reasoning\":\"Let \",\"reasoning_content\":\"Let "
				 "\",\"reasoning_details\":[{\"type\":"
				 "\"reasoning.text\",\"index\":0,\"format\":\"anthropic-claude-"
				 "v1\",\"text\":\"Let \"}]")) CHUNK(DELTA("0",
			"\"reasoning\":\"me\",\"reasoning_content\":\"me\",\"reasoning_details\":[{"
			"\"type\":\"reasoning.text\",\"index\":0,\"format\":\"anthropic-claude-"
			"v1\","
			"\"text\":\"me\"}]")) CHUNK(DELTA("0",
			"\"reasoning_details\":[{\"type\":\"reasoning.text\",\"index\":0,"
			"\"signature\":\"c2ln\"},{\"type\":\"reasoning.encrypted\",\"index\":1,"
			"\"data\":\"AA==\"}]")) CHUNK(DELTA("0",
			"\"reasoning_details\":[{\"type\":\"reasoning.encrypted\","
			"\"index\":1,\"data\":\"BB==\"}]")) CHUNK(ENDS("0", "stop")),
		ANSWER(CHOICE("0",
			"\"content\":\"\",\"refusal\":null,\"reasoning\":\"Let "
			"me\",\"reasoning_content\":\"Let me\","
			"\"reasoning_details\":[{\"type\":\"reasoning.text\",\"index\":0,"
			"\"format\":"
			"\"anthropic-claude-v1\",\"text\":\"Let "
			"me\",\"signature\":\"c2ln\"},{\"type\":"
			"\"reasoning.encrypted\",\"index\":1,\"data\":\"AA==\"},{\"type\":"
			"\"reasoning.encrypted\","
			"\"index\":1,\"data\":\"BB==\"}]",
			"stop")) },
	{ "thoughts without an index",
		CHUNK(DELTA("0", "\"reasoning_details\":[{\"type\":\"reasoning.summary\","
				 "\"summary\":\"a\"},{\"type\":"
				 "\"reasoning.text\",\"text\":\"b\"}]")) CHUNK(DELTA("0",
			"\"reasoning_details\":[{\"type\":\"reasoning.text\",\"text\":\"c\","
			"\"signature\":\"s\"}]")) CHUNK(DELTA("0",
			"\"reasoning_details\":[{\"type\":\"reasoning.text\",\"text\":\"d\"},{"
			"\"type\":\"reasoning.text\",\"text\":\"e\"}]")) CHUNK(ENDS("0", "stop")),
		ANSWER(CHOICE("0",
			"\"content\":\"\",\"refusal\":null,\"reasoning_details\":[{\"type\":"
			"\"reasoning.summary\","
			"\"summary\":\"a\"},{\"type\":\"reasoning.text\",\"text\":\"bc\","
			"\"signature\":\"s\"},{\"type\":"
			"\"reasoning.text\",\"text\":\"d\"},{\"type\":\"reasoning.text\",\"text\":"
			"\"e\"}]",
			"stop")) },
	{ "thoughts with ids of their own",
		CHUNK(DELTA("0", "\"reasoning_details\":[{\"type\":\"reasoning.text\",\"id\":"
				 "\"r1\",\"index\":0,\"text\":"
				 "\"a\"}]"))
			CHUNK(DELTA("0", "\"reasoning_details\":[{\"type\":\"reasoning.text\","
					 "\"id\":\"r2\",\"index\":0,"
					 "\"text\":\"b\"}]")) CHUNK(ENDS("0", "stop")),
		ANSWER(CHOICE("0",
			"\"content\":\"\",\"refusal\":null,\"reasoning_details\":[{\"type\":"
			"\"reasoning.text\",\"id\":"
			"\"r1\",\"index\":0,\"text\":\"a\"},{\"type\":\"reasoning.text\",\"id\":"
			"\"r2\",\"index\":0,\"text\":"
			"\"b\"}]",
			"stop")) },
	{ "logprobs",
		CHUNK("{\"index\":0,\"delta\":{\"content\":\"a\"},\"logprobs\":{\"content\":[{"
		      "\"token\":\"a\"}],\"refusal\":"
		      "null},\"finish_reason\":null}")
			CHUNK("{\"index\":0,\"delta\":{\"content\":\"b\"},\"logprobs\":{"
			      "\"content\":[{\"token\":\"b\"},{"
			      "\"token\":\"c\"}],\"refusal\":null},\"finish_reason\":null}")
				CHUNK("{\"index\":0,\"delta\":{},\"logprobs\":null,\"finish_"
				      "reason\":\"stop\"}"),
		ANSWER("{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"ab\","
		       "\"refusal\":null},\"logprobs\":{"
		       "\"content\":[{\"token\":\"a\"},{\"token\":\"b\"},{\"token\":\"c\"}],"
		       "\"refusal\":null},"
		       "\"finish_reason\":\"stop\"}") },
	{ "sound, images and where it is said",
		CHUNK(DELTA("0", "\"audio\":{\"id\":\"au\",\"data\":\"AAAA\"},\"images\":[{"
				 "\"type\":\"image_url\"}]")) CHUNK(DELTA("0",
			"\"audio\":{\"transcript\":\"h\"},\"annotations\":[{\"n\":1}]"))
			CHUNK(DELTA("0", "\"audio\":{\"data\":\"BBBB\",\"transcript\":\"i\","
					 "\"expires_at\":9},"
					 "\"annotations\":[{\"n\":2}],\"images\":[{\"n\":1}]"))
				CHUNK(ENDS("0", "stop")),
		ANSWER(CHOICE("0",
			"\"content\":null,\"refusal\":null,\"audio\":{\"id\":\"au\",\"data\":"
			"\"AAAABBBB\",\"transcript\":"
			"\"hi\",\"expires_at\":9},\"images\":[{\"type\":\"image_url\"},{\"n\":1}],"
			"\"annotations\":[{\"n\":1},"
			"{\"n\":2}]",
			"stop")) },
	{ "members that nobody knows keep their last value",
		"data: {" HEAD ",\"system_fingerprint\":null,\"x\":1,\"obfuscation\":\"aaa\","
		"\"choices\":[{\"index\":0,"
		"\"delta\":{\"content\":\"a\",\"y\":null,\"z\":\"v\"},\"w\":[1],\"finish_reason\":"
		"null}]}\n\n"
		"data: {" HEAD ",\"system_fingerprint\":\"fp\",\"x\":2,\"choices\":[{\"index\":0,"
		"\"delta\":{\"y\":{\"k\":1},"
		"\"z\":null},\"w\":[2],\"finish_reason\":\"stop\",\"native_finish_reason\":\"end_"
		"turn\"}],\"usage\":"
		"null,\"service_tier\":\"default\",\"n\":null}\n\n",
		"{\"id\":\"c1\",\"object\":\"chat.completion\",\"created\":7,\"model\":\"lab/"
		"m\",\"system_fingerprint\":"
		"\"fp\",\"x\":2,\"service_tier\":\"default\",\"n\":null,\"choices\":[{\"index\":0,"
		"\"message\":{\"role\":"
		"\"assistant\",\"content\":\"a\",\"refusal\":null,\"y\":{\"k\":1},\"z\":\"v\"},"
		"\"logprobs\":null,\"w\":[2],"
		"\"finish_reason\":\"stop\",\"native_finish_reason\":\"end_turn\"}]}" },
	{ "content in parts",
		CHUNK(DELTA("0", "\"content\":[{\"type\":\"text\",\"text\":\"a\"}]"))
			CHUNK(DELTA("0", "\"content\":[{\"type\":\"text\",\"text\":\"b\"}]"))
				CHUNK(ENDS("0", "stop")),
		ANSWER(CHOICE("0",
			"\"content\":[{\"type\":\"text\",\"text\":\"a\"},{\"type\":\"text\","
			"\"text\":\"b\"}],\"refusal\":"
			"null",
			"stop")) },
	{ "the usage of its events",
		"data: {" HEAD ",\"choices\":[" ENDS(
			"0", "stop") "],\"usage\":{\"total_tokens\":1}}\n\n"
				     "data: {" HEAD
				     ",\"choices\":[],\"usage\":{\"total_tokens\":2}}\n\n",
		"{\"id\":\"c1\",\"object\":\"chat.completion\",\"created\":7,\"model\":\"lab/"
		"m\",\"choices\":[" CHOICE("0", "\"content\":\"\",\"refusal\":null",
			"stop") "],\"usage\":{\"total_tokens\":2}}" },
	{ "a completion of a text",
		"data: "
		"{\"id\":\"c\",\"object\":\"text_completion\",\"created\":7,\"model\":\"m\","
		"\"choices\":[{\"index\":0,"
		"\"text\":\" wo\",\"logprobs\":{\"tokens\":[\" "
		"wo\"],\"text_offset\":[0]},\"finish_reason\":null}]}\n\n"
		"data: "
		"{\"id\":\"c\",\"object\":\"text_completion\",\"created\":7,\"model\":\"m\","
		"\"choices\":[{\"index\":1,"
		"\"text\":\"x\",\"logprobs\":null,\"finish_reason\":\"length\"},{\"index\":0,"
		"\"text\":\"rld\",\"logprobs\":{"
		"\"tokens\":[\"rld\"],\"text_offset\":[3]},\"finish_reason\":\"stop\"}]}\n\n",
		"{\"id\":\"c\",\"object\":\"text_completion\",\"created\":7,\"model\":\"m\","
		"\"choices\":[{\"index\":0,\"text\":"
		"\" world\",\"logprobs\":{\"tokens\":[\" "
		"wo\",\"rld\"],\"text_offset\":[0,3]},\"finish_reason\":\"stop\"},"
		"{\"index\":1,\"text\":\"x\",\"logprobs\":null,\"finish_reason\":\"length\"}]}" },
	{ "a completion between two texts",
		"data: "
		"{\"id\":\"c\",\"object\":\"fim.completion.chunk\",\"created\":7,\"model\":\"m\","
		"\"choices\":[{\"index\":"
		"0,\"delta\":{\"content\":\"a \"},\"finish_reason\":null}]}\n\n"
		"data: "
		"{\"id\":\"c\",\"object\":\"fim.completion.chunk\",\"created\":7,\"model\":\"m\","
		"\"choices\":[{\"index\":"
		"0,\"delta\":{\"content\":\"+ b\"},\"finish_reason\":\"stop\"}]}\n\n",
		"{\"id\":\"c\",\"object\":\"fim.completion\",\"created\":7,\"model\":\"m\","
		"\"choices\":[{\"index\":0,\"text\":"
		"\"a + b\",\"message\":{\"role\":\"assistant\",\"content\":\"a + "
		"b\"},\"finish_reason\":\"stop\"}]}" },
};

static void pieces_become_a_whole(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct buf out = gathered(rows[i].name, slice_of(rows[i].events), SLICE(""));
		struct json_object *got = tree_of(buf_slice(&out)),
				   *want = tree_of(slice_of(rows[i].answer));

		assert_same_json(rows[i].name, got, want);
		json_object_put(got);
		json_object_put(want);
		buf_fini(&out);
	}
}

static void the_usage_that_is_given_takes_the_place_of_any_other(void **state)
{
	const struct slice events =
		SLICE("data: {\"choices\":[" ENDS("0", "stop") "],\"usage\":{\"a\":1}}\n\n");
	struct buf out = gathered("usage", events, SLICE("{\"total_tokens\":3}"));
	struct json_object *tree = tree_of(buf_slice(&out)), *usage;

	(void)state;
	assert_true(json_object_object_get_ex(tree, "usage", &usage));
	assert_string_equal(json_object_to_json_string_ext(usage, JSON_C_TO_STRING_PLAIN),
		"{\"total_tokens\":3}");
	json_object_put(tree);
	buf_fini(&out);
}

static void usage_is_told_by_a_chunk_of_the_same_answer(void **state)
{
	struct buf out = { 0 };

	(void)state;
	gather_usage_chunk(
		SLICE(": hello\n\n" CHUNK(ENDS("0", "stop"))), SLICE("{\"total_tokens\":3}"), &out);
	assert_true(slice_is(
		buf_slice(&out), "{" HEAD ",\"choices\":[],\"usage\":{\"total_tokens\":3}}"));
	buf_reset(&out);
	gather_usage_chunk(SLICE(""), SLICE(""), &out);
	assert_true(slice_is(buf_slice(&out), "{\"choices\":[],\"usage\":null}"));
	buf_fini(&out);
}

static void what_is_no_whole_answer_is_an_error(void **state)
{
	static const char *const streams[] = {
		"",
		"data: [DONE]\n\n",
		": hello\n\n",
		"data: {" HEAD ",\"choices\":[]}\n\n",
		"data: {" HEAD "}\n\n",
		"data: {" HEAD ",\"choices\":null}\n\n",
		CHUNK(DELTA("0", "\"content\":\"a\"")),
		CHUNK(DELTA("0", "\"content\":\"a\"")) "data: [DONE]\n\n",
		CHUNK(DELTA("0", "\"content\":\"a\"")) CHUNK(ENDS("0", "")),
		CHUNK(DELTA("0", "\"content\":\"a\"")) CHUNK(DELTA("1", "\"content\":\"a\""))
			CHUNK(ENDS("1", "stop")),
		CHUNK(ENDS("0", "error")),
		CHUNK(ENDS("0", "stop")) "data: {" HEAD
					 ",\"error\":{\"message\":\"m\"},\"choices\":[]}\n\n",
		"data: {\"error\":{\"message\":\"m\"}}\n\n" CHUNK(ENDS("0", "stop")),
		CHUNK("{\"index\":0,\"error\":{\"message\":\"m\"},\"delta\":{},\"finish_reason\":"
		      "\"stop\"}"),
		CHUNK("1"),
		CHUNK("{\"index\":-1,\"delta\":{},\"finish_reason\":\"stop\"}"),
		CHUNK(ENDS("0", "stop")) "data: pong\n\n",
		CHUNK(ENDS("0", "stop")) "data: {\"choices\":[\n\n",
		CHUNK(ENDS("0", "stop")) "event: error\n\n",
		"data: {" HEAD ",\ndata: \"choices\":[" ENDS("0", "stop") "]}\n\n",
		"data: {" HEAD ",\"choices\":[" ENDS("0", "stop") "],\"x\":wrong}\n\n",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(streams) / sizeof(streams[0]); i++) {
		struct buf out = { 0 };
		struct err e = { 0 };

		buf_str(&out, "had");
		if (gather_events(slice_of(streams[i]), SLICE(""), &out, &e) !=
			ERR_UPSTREAM_INVALID)
			fail_msg("%s\n%.*s", streams[i], SLICE_ARG(buf_slice(&out)));
		assert_true(slice_is(buf_slice(&out), "had"));
		assert_non_null(strstr(e.message, "the stream"));
		buf_fini(&out);
	}
}

/* Where all choices that came up have finished, the rest is only about usage. */
static bool may_be_whole(struct slice events)
{
	return events.len > 2 && slice_ends(events, "\n\n") &&
	       memmem(events.ptr, events.len, "\"finish_reason\":\"", 17);
}

static void a_stream_that_was_cut_never_becomes_a_whole(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct slice events = slice_of(rows[i].events);

		for (size_t cut = 0; cut < events.len; cut++) {
			char *copy = malloc(cut + 1); /* so that reading beyond it is seen */
			struct slice piece = { copy, cut };
			struct buf out = { 0 };
			enum err_code rc;

			assert_non_null(copy);
			memcpy(copy, events.ptr, cut);
			rc = gather_events(piece, SLICE(""), &out, NULL);
			if (!rc && !may_be_whole(piece))
				fail_msg("%s: cut at %zu", rows[i].name, cut);
			assert_int_equal(!rc, out.len > 0);
			buf_fini(&out);
			free(copy);
		}
	}
}

static void a_stream_of_too_many_parts_is_an_error(void **state)
{
	struct buf members = { 0 }, calls = { 0 }, out = { 0 };
	struct err e;

	(void)state;
	buf_str(&members, "data: {\"choices\":[" ENDS("0", "stop") "]");
	buf_str(&calls, "data: "
			"{\"choices\":[{\"index\":0,\"finish_reason\":\"stop\",\"delta\":{\"tool_"
			"calls\":[");
	for (int i = 0; i < 2000; i++) {
		buf_printf(&members, ",\"k%d\":0", i);
		buf_printf(&calls, "%s{\"index\":%d}", i ? "," : "", i);
	}
	buf_str(&members, "}\n\n");
	buf_str(&calls, "]}}]}\n\n");
	assert_int_equal(
		gather_events(buf_slice(&members), SLICE(""), &out, &e), ERR_UPSTREAM_INVALID);
	assert_int_equal(
		gather_events(buf_slice(&calls), SLICE(""), &out, &e), ERR_UPSTREAM_INVALID);
	buf_fini(&members);
	buf_fini(&calls);
	buf_fini(&out);
}

static void an_answer_that_does_not_fit_is_an_error(void **state)
{
	struct buf out = { .max_bytes = 100 };
	struct err e;

	(void)state;
	assert_int_equal(
		gather_events(slice_of(rows[0].events), SLICE(""), &out, &e), ERR_NO_MEMORY);
	assert_int_equal(out.len, 0);
	buf_fini(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pieces_become_a_whole),
		cmocka_unit_test(the_usage_that_is_given_takes_the_place_of_any_other),
		cmocka_unit_test(usage_is_told_by_a_chunk_of_the_same_answer),
		cmocka_unit_test(what_is_no_whole_answer_is_an_error),
		cmocka_unit_test(a_stream_that_was_cut_never_becomes_a_whole),
		cmocka_unit_test(a_stream_of_too_many_parts_is_an_error),
		cmocka_unit_test(an_answer_that_does_not_fit_is_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
