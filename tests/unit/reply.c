/* Answers written piece by piece, as decoders that translate do. */
#include "gateway/chat.h"
#include "gateway/providers/openai_like.h"
#include "gateway/providers/reply.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#define NOW 1767225600

#define HEAD(object) \
	"{\"id\":\"msg_1\",\"object\":\"" object \
	"\",\"created\":1767225600,\"model\":\"lab/model-1\",\"choices\":["
#define CHUNK HEAD("chat.completion.chunk")
#define WHOLE HEAD("chat.completion")
#define TAIL  ",\"logprobs\":null,\"finish_reason\":null}]}"

static struct chat_req req;
static struct target target = { .slug = "lab", .public_id = "lab/model-1" };

static void begin_asking(struct dialect *d, const char *body)
{
	static const struct json_limits limits = { .max_depth = 64, .max_keys = 1000 };
	struct err e;

	target.quirks = quirks_of("lab");
	assert_int_equal(chat_parse(slice_of(body), &limits, &req, &e), ERR_OK);
	dialect_init(d, &target, &req);
}

static struct json_value string(const char *raw)
{
	return (struct json_value){ JSON_STRING, slice_of(raw) };
}

static const struct json_value none = { .kind = JSON_ABSENT };

static void begin(struct dialect *d)
{
	begin_asking(d, "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]}");
	reply_open(d, REPLY_CHUNK, NOW);
	reply_id(d, string("\"msg_1\""));
}

static const char *text_of(struct slice json)
{
	static char text[8192];

	assert_true(slice_copy(json, text, sizeof(text)));
	return text;
}

/* Ends the event, which must be this chunk, and begins another. */
static void expect_chunk(struct dialect *d, const char *expected)
{
	struct delta delta;
	struct err e;

	assert_int_equal(reply_chunk(d, &delta, &e), ERR_OK);
	assert_int_equal(delta.kind, DELTA_CHUNK);
	assert_string_equal(text_of(delta.json), expected);
	assert_int_equal(json_validate(delta.json, &tongue_limits, NULL, NULL), ERR_OK);
	reply_open(d, REPLY_CHUNK, NOW + 5);
}

static size_t expect_silence(struct dialect *d)
{
	struct delta delta;
	struct err e;

	assert_int_equal(reply_chunk(d, &delta, &e), ERR_OK);
	assert_int_equal(delta.kind, DELTA_SKIP);
	assert_int_equal(delta.json.len, 0);
	reply_open(d, REPLY_CHUNK, NOW + 5);
	return delta.text_bytes;
}

static void expect_answer(struct dialect *d, const char *expected)
{
	struct answer a = { .text_bytes = 0 };
	struct err e;

	if (reply_answer(d, &a, &e))
		fail_msg("%s", e.message);
	assert_string_equal(text_of(buf_slice(&a.json)), expected);
	assert_int_equal(json_validate(buf_slice(&a.json), &tongue_limits, NULL, NULL), ERR_OK);
	answer_fini(&a);
}

static void the_role_goes_out_once_with_the_first_chunk_of_a_choice(void **state)
{
	struct dialect d;

	(void)state;
	begin(&d);
	reply_begin(&d, 0);
	expect_chunk(
		&d, CHUNK "{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"}" TAIL);
	reply_begin(&d, 0);
	assert_int_equal(expect_silence(&d), 0);
	reply_text(&d, 0, string("\"He\\u0020\\\"l\""));
	reply_text(&d, 0, string("\"\\ud83d\\ude00\""));
	expect_chunk(&d,
		CHUNK "{\"index\":0,\"delta\":{\"content\":\"He\\u0020\\\"l\\ud83d\\ude00\"}" TAIL);
	reply_text(&d, 1, string("\"b\""));
	expect_chunk(
		&d, CHUNK "{\"index\":1,\"delta\":{\"role\":\"assistant\",\"content\":\"b\"}" TAIL);
	assert_int_equal(d.choices_seen, 2);
	assert_int_equal(d.created, NOW);
	dialect_fini(&d);
}

static void an_empty_text_is_no_event(void **state)
{
	struct dialect d;

	(void)state;
	begin(&d);
	reply_text(&d, 0, string("\"\""));
	reply_text(&d, 0, none);
	reply_text(&d, 0, (struct json_value){ JSON_NULL, SLICE("null") });
	reply_refusal(&d, 0, string("\"\""));
	reply_thought(&d, 0, 0, "lab-v1", string("\"\""), none);
	reply_hidden_thought(&d, 0, 0, "lab-v1", none, SLICE(""));
	assert_int_equal(expect_silence(&d), 0);
	assert_int_equal(d.choices_seen, 0);
	dialect_fini(&d);
}

static void generated_text_is_counted_as_it_reads(void **state)
{
	struct dialect d;
	struct delta delta;
	struct err e;
	unsigned slot;

	(void)state;
	begin(&d);
	reply_text(&d, 0, string("\"\\u00e9\""));                             /* 2 */
	reply_refusal(&d, 0, string("\"no\""));                               /* 2 */
	reply_thought(&d, 0, 0, "lab-v1", string("\"hm\""), string("\"s\"")); /* 2 */
	slot = reply_call(&d, 0, SLICE("\"c\""), SLICE("\"f\""), SLICE(""));  /* 1 */
	reply_arguments(&d, 0, slot, string("\"{}\""));                       /* 2 */
	assert_int_equal(reply_chunk(&d, &delta, &e), ERR_OK);
	assert_int_equal(delta.text_bytes, 9);
	dialect_fini(&d);
}

static void calls_get_slots_ids_and_arguments(void **state)
{
	struct dialect d;
	unsigned a, b;

	(void)state;
	begin(&d);
	a = reply_call(&d, 0, SLICE("\"toolu_1\""), SLICE("\"weather\""), SLICE(""));
	assert_int_equal(a, 0);
	assert_false(reply_has_arguments(&d, 0, a));
	expect_chunk(&d,
		CHUNK "{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":null,"
		      "\"tool_calls\":[{\"index\":0,\"id\":\"toolu_1\",\"type\":"
		      "\"function\",\"function\":{\"name\":\"weather\",\"arguments\":\"\"}}"
		      "]}" TAIL);
	reply_arguments(&d, 0, a, string("\"\""));
	assert_false(reply_has_arguments(&d, 0, a));
	assert_int_equal(expect_silence(&d), 0);
	reply_arguments(&d, 0, a, string("\"{\\\"city\\\":\""));
	assert_true(reply_has_arguments(&d, 0, a));
	expect_chunk(&d, CHUNK "{\"index\":0,\"delta\":{\"tool_calls\":[{\"index\":0,"
			       "\"function\":{\"arguments\":\"{\\\"city\\\":\"}}]}" TAIL);
	/* A whole call in one event is one piece. */
	b = reply_call(&d, 0, SLICE(""), SLICE("\"clock\""), SLICE("\"extra_content\":{\"a\":1}"));
	assert_int_equal(b, 1);
	reply_arguments_object(
		&d, 0, b, (struct json_value){ JSON_OBJECT, SLICE("{\"tz\":\"a\\n\"}") });
	expect_chunk(&d,
		CHUNK "{\"index\":0,\"delta\":{\"tool_calls\":[{\"index\":1,\"id\":"
		      "\"call_eda819331023d842_0_1\",\"type\":\"function\",\"function\":{\"name\":"
		      "\"clock\",\"arguments\":\"{\\\"tz\\\":\\\"a\\\\n\\\"}\"},"
		      "\"extra_content\":{\"a\":1}}]}" TAIL);
	assert_true(slice_is(reply_call_id(&d, 0, a), "\"toolu_1\""));
	assert_true(slice_is(reply_call_id(&d, 0, b), "\"call_eda819331023d842_0_1\""));
	assert_true(slice_is(reply_call_id(&d, 0, 9), "\"\""));
	dialect_fini(&d);
}

static void calls_without_arguments_end_with_an_empty_object(void **state)
{
	struct dialect d;

	(void)state;
	begin(&d);
	(void)reply_call(&d, 0, SLICE("\"a\""), SLICE("\"f\""), SLICE(""));
	(void)reply_text(&d, 0, string("\"x\""));
	expect_chunk(&d, CHUNK "{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"x\","
			       "\"tool_calls\":[{\"index\":0,\"id\":\"a\",\"type\":\"function\","
			       "\"function\":{\"name\":\"f\",\"arguments\":\"\"}}]}" TAIL);
	reply_finish(&d, 0, "stop", SLICE("end_turn"));
	expect_chunk(&d, CHUNK "{\"index\":0,\"delta\":{\"tool_calls\":[{\"index\":0,"
			       "\"function\":{\"arguments\":\"{}\"}}]},\"logprobs\":null,"
			       "\"finish_reason\":\"tool_calls\","
			       "\"native_finish_reason\":\"end_turn\"}]}");
	assert_string_equal(d.finish_reason, "tool_calls");
	dialect_fini(&d);
}

static void a_choice_finishes_once(void **state)
{
	struct dialect d;

	(void)state;
	begin(&d);
	reply_text(&d, 0, string("\"x\""));
	reply_finish(&d, 0, "length", SLICE(""));
	expect_chunk(&d, CHUNK "{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"x\"},"
			       "\"logprobs\":null,\"finish_reason\":\"length\"}]}");
	reply_finish(&d, 0, "stop", SLICE("again"));
	assert_int_equal(expect_silence(&d), 0);
	assert_string_equal(d.finish_reason, "length");
	assert_int_equal(d.choices_finished, 1);
	assert_true(dialect_may_end(&d));
	dialect_fini(&d);
}

static void thoughts_are_told_in_words_and_in_details(void **state)
{
	struct dialect d;
	unsigned first, second;

	(void)state;
	begin(&d);
	first = reply_next_detail(&d, 0);
	second = reply_next_detail(&d, 0);
	assert_int_equal(first, 0);
	assert_int_equal(second, 1);
	reply_thought(&d, 0, first, "lab-v1", string("\"hm\""), none);
	expect_chunk(&d, CHUNK
		"{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\",\"reasoning\":"
		"\"hm\",\"reasoning_content\":\"hm\",\"reasoning_details\":[{\"type\":"
		"\"reasoning.text\",\"index\":0,\"format\":\"lab-v1\",\"text\":\"hm\"}]}" TAIL);
	reply_thought(&d, 0, first, "lab-v1", none, string("\"Eq+/\""));
	expect_chunk(&d, CHUNK "{\"index\":0,\"delta\":{\"reasoning_details\":[{\"type\":"
			       "\"reasoning.text\",\"index\":0,\"format\":\"lab-v1\","
			       "\"signature\":\"Eq+/\"}]}" TAIL);
	reply_thought(&d, 0, first, "lab-v1", string("\"a\""), none);
	reply_thought(&d, 0, first, "lab-v1", string("\"b\""), none);
	reply_thought(&d, 0, first, "lab-v1", none, string("\"s\""));
	reply_hidden_thought(&d, 0, second, "lab-v1", string("\"Zz\""), SLICE("\"call_1\""));
	expect_chunk(&d,
		CHUNK "{\"index\":0,\"delta\":{\"reasoning\":\"ab\",\"reasoning_content\":\"ab\","
		      "\"reasoning_details\":[{\"type\":\"reasoning.text\",\"index\":0,\"format\":"
		      "\"lab-v1\",\"text\":\"ab\",\"signature\":\"s\"},{\"type\":"
		      "\"reasoning.encrypted\",\"index\":1,\"format\":\"lab-v1\",\"id\":\"call_1\","
		      "\"data\":\"Zz\"}]}" TAIL);
	dialect_fini(&d);
}

static void thoughts_nobody_wants_to_read_are_counted_but_not_told(void **state)
{
	static const char *const bodies[] = {
		"{\"model\":\"m\",\"reasoning\":{\"exclude\":true},\"messages\":[{\"role\":"
		"\"user\",\"content\":\"x\"}]}",
		"{\"model\":\"m\",\"include_reasoning\":false,\"messages\":[{\"role\":"
		"\"user\",\"content\":\"x\"}]}",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
		struct dialect d;

		begin_asking(&d, bodies[i]);
		reply_open(&d, REPLY_CHUNK, NOW);
		reply_id(&d, string("\"msg_1\""));
		reply_text(&d, 0, string("\"x\""));
		expect_chunk(&d, CHUNK
			"{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"x\"}" TAIL);
		reply_thought(&d, 0, 0, "lab-v1", string("\"hm\""), none);
		assert_int_equal(expect_silence(&d), 2);
		reply_thought(&d, 0, 0, "lab-v1", none, string("\"s\""));
		assert_int_equal(expect_silence(&d), 0);
		/* Where there was no text to hide, the signature is of use. */
		reply_thought(&d, 0, 1, "lab-v1", none, string("\"s\""));
		expect_chunk(&d, CHUNK
			"{\"index\":0,\"delta\":{\"reasoning_details\":[{\"type\":"
			"\"reasoning.text\",\"index\":1,\"format\":\"lab-v1\",\"signature\":\"s\"}]"
			"}" TAIL);
		dialect_fini(&d);
	}
}

static void images_citations_logprobs_and_refusals_have_their_places(void **state)
{
	struct dialect d;

	(void)state;
	begin(&d);
	reply_image(&d, 0, SLICE("\"image/webp\""), string("\"UklG\""));
	reply_image(&d, 0, SLICE(""), string("\"iVBO\""));
	reply_citation(&d, 0, SLICE("{\"url\":\"https://a\"}"));
	reply_citation(&d, 0, SLICE("{\"url\":\"https://b\"}"));
	reply_logprobs(&d, 0, SLICE("{\"content\":[]}"));
	reply_refusal(&d, 0, string("\"no\""));
	expect_chunk(&d, CHUNK
		"{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":null,\"refusal\":"
		"\"no\",\"images\":[{\"type\":\"image_url\",\"image_url\":{\"url\":"
		"\"data:image/webp;base64,UklG\"}},{\"type\":\"image_url\",\"image_url\":{\"url\":"
		"\"data:image/png;base64,iVBO\"}}],\"annotations\":[{\"type\":\"url_citation\","
		"\"url_citation\":{\"url\":\"https://a\"}},{\"type\":\"url_citation\","
		"\"url_citation\":{\"url\":\"https://b\"}}]},\"logprobs\":{\"content\":[]},"
		"\"finish_reason\":null}]}");
	dialect_fini(&d);
}

#define USAGE \
	"],\"usage\":{\"prompt_tokens\":12,\"completion_tokens\":3,\"total_tokens\":15," \
	"\"prompt_tokens_details\":{\"cached_tokens\":4,\"cache_write_tokens\":2}," \
	"\"completion_tokens_details\":{\"reasoning_tokens\":1}}}"

static void a_whole_answer_has_its_choices_in_order(void **state)
{
	struct dialect d;
	unsigned slot;

	(void)state;
	begin(&d);
	reply_open(&d, REPLY_WHOLE, NOW);
	d.usage = (struct usage){ .state = USAGE_REPORTED,
		.prompt_tokens = 12,
		.completion_tokens = 3,
		.cached_tokens = 4,
		.cache_write_tokens = 2,
		.reasoning_tokens = 1 };
	reply_finish(&d, 2, "content_filter", SLICE("refusal"));
	slot = reply_call(&d, 1, SLICE("\"a\""), SLICE("\"f\""), SLICE(""));
	reply_arguments(&d, 1, slot, string("\"{\""));
	reply_arguments(&d, 1, slot, string("\"}\""));
	reply_finish(&d, 1, "tool_calls", SLICE("tool_use"));
	reply_text(&d, 0, string("\"Che\""));
	reply_thought(&d, 0, reply_next_detail(&d, 0), "lab-v1", string("\"t\""), string("\"s\""));
	reply_text(&d, 0, string("\"ck\""));
	reply_finish(&d, 0, "stop", SLICE("end_turn"));
	expect_answer(&d,
		WHOLE "{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"Check\","
		      "\"refusal\":null,\"reasoning\":\"t\",\"reasoning_content\":\"t\","
		      "\"reasoning_details\":[{\"type\":\"reasoning.text\",\"index\":0,\"format\":"
		      "\"lab-v1\",\"text\":\"t\",\"signature\":\"s\"}]},\"logprobs\":null,"
		      "\"finish_reason\":\"stop\",\"native_finish_reason\":\"end_turn\"},"
		      "{\"index\":1,\"message\":{\"role\":\"assistant\",\"content\":null,"
		      "\"refusal\":null,\"tool_calls\":[{\"id\":\"a\",\"type\":\"function\","
		      "\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}}]},\"logprobs\":null,"
		      "\"finish_reason\":\"tool_calls\",\"native_finish_reason\":\"tool_use\"},"
		      "{\"index\":2,\"message\":{\"role\":\"assistant\",\"content\":\"\","
		      "\"refusal\":null},\"logprobs\":null,\"finish_reason\":\"content_filter\","
		      "\"native_finish_reason\":\"refusal\"}" USAGE);
	dialect_fini(&d);
}

static void an_answer_that_never_finished_is_none(void **state)
{
	struct answer a = { .text_bytes = 0 };
	struct dialect d;
	struct err e;

	(void)state;
	begin(&d);
	reply_open(&d, REPLY_WHOLE, NOW);
	assert_int_equal(reply_answer(&d, &a, &e), ERR_UPSTREAM_INVALID);
	reply_text(&d, 0, string("\"half\""));
	assert_int_equal(reply_answer(&d, &a, &e), ERR_UPSTREAM_CLOSED);
	assert_null(strstr(e.message, "half"));
	answer_fini(&a);
	dialect_fini(&d);
}

static void too_many_calls_or_choices_are_the_providers_fault(void **state)
{
	struct dialect d;
	struct delta delta;
	struct err e;

	(void)state;
	begin(&d);
	for (unsigned i = 0; i < CALLS_MAX; i++)
		assert_int_equal(reply_call(&d, 0, SLICE(""), SLICE("\"f\""), SLICE("")), i);
	assert_int_equal(reply_chunk(&d, &delta, &e), ERR_OK);
	reply_open(&d, REPLY_CHUNK, NOW);
	(void)reply_call(&d, 0, SLICE(""), SLICE("\"f\""), SLICE(""));
	assert_int_equal(reply_chunk(&d, &delta, &e), ERR_UPSTREAM_INVALID);
	assert_int_equal(delta.kind, DELTA_ERROR);
	dialect_fini(&d);
	begin(&d);
	reply_text(&d, CHOICES_MAX, string("\"x\""));
	assert_int_equal(reply_chunk(&d, &delta, &e), ERR_UPSTREAM_INVALID);
	dialect_fini(&d);
}

static void an_id_that_is_missing_or_too_long_is_made_up(void **state)
{
	static const char long_id[] =
		"\"0123456789012345678901234567890123456789012345678901234567890123456789\"";
	const struct json_value ids[] = { none, { JSON_STRING, SLICE("\"\"") },
		{ JSON_NUMBER, SLICE("7") }, { JSON_STRING, slice_of(long_id) } };

	(void)state;
	for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
		struct dialect d;
		struct delta delta;
		struct err e;

		begin_asking(&d, "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":"
				 "\"x\"}]}");
		reply_open(&d, REPLY_CHUNK, NOW);
		reply_id(&d, ids[i]);
		reply_begin(&d, 0);
		assert_int_equal(reply_chunk(&d, &delta, &e), ERR_OK);
		assert_string_equal(d.id, "chatcmpl-6955b900");
		reply_id(&d, string("\"too late\""));
		assert_string_equal(d.id, "chatcmpl-6955b900");
		dialect_fini(&d);
	}
}

/* Two answers of one second: a conversation that keeps both must not hold one id twice. */
static void ids_that_are_missing_differ_from_request_to_request(void **state)
{
	char id[2][64], call[2][64];

	(void)state;
	for (int i = 0; i < 2; i++) {
		struct dialect d;
		struct delta delta;
		struct err e;

		begin_asking(&d, "{\"model\":\"m\",\"messages\":[{\"role\":\"user\","
				 "\"content\":\"hi\"}]}");
		d.seed = i ? "req_2" : "req_1";
		reply_open(&d, REPLY_CHUNK, NOW);
		(void)reply_call(&d, 0, SLICE(""), SLICE("\"f\""), SLICE(""));
		assert_int_equal(reply_chunk(&d, &delta, &e), ERR_OK);
		str_copy_cut(id[i], sizeof(id[i]), d.id);
		assert_true(slice_copy(reply_call_id(&d, 0, 0), call[i], sizeof(call[i])));
		dialect_fini(&d);
	}
	assert_string_not_equal(id[0], id[1]);
	assert_string_not_equal(call[0], call[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ids_that_are_missing_differ_from_request_to_request),
		cmocka_unit_test(the_role_goes_out_once_with_the_first_chunk_of_a_choice),
		cmocka_unit_test(an_empty_text_is_no_event),
		cmocka_unit_test(generated_text_is_counted_as_it_reads),
		cmocka_unit_test(calls_get_slots_ids_and_arguments),
		cmocka_unit_test(calls_without_arguments_end_with_an_empty_object),
		cmocka_unit_test(a_choice_finishes_once),
		cmocka_unit_test(thoughts_are_told_in_words_and_in_details),
		cmocka_unit_test(thoughts_nobody_wants_to_read_are_counted_but_not_told),
		cmocka_unit_test(images_citations_logprobs_and_refusals_have_their_places),
		cmocka_unit_test(a_whole_answer_has_its_choices_in_order),
		cmocka_unit_test(an_answer_that_never_finished_is_none),
		cmocka_unit_test(too_many_calls_or_choices_are_the_providers_fault),
		cmocka_unit_test(an_id_that_is_missing_or_too_long_is_made_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
