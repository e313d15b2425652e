/* What of the dialect of Anthropic's Messages API golden files do not show: headers, the books of a
 * stream, what models can, and texts that were never meant well. */
#include "gateway/chat.h"
#include "gateway/providers/anthropic.h"
#include "gateway/providers/openai_like.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#define NOW 1767225600

static const struct json_limits limits = { .max_depth = 64, .max_keys = 1000 };
static struct chat_req req;
static struct err err;

static struct target target_of(const char *slug, const char *model)
{
	return (struct target){ .provider = &provider_anthropic,
		.quirks = quirks_of(slug),
		.slug = slug,
		.base_url = "https://a.example/v1",
		.chat_path = "/messages",
		.auth = "x-api-key",
		.api_key = "the-key",
		.public_id = "anthropic/claude",
		.native_id = model };
}

#define ASK "\"messages\":[{\"role\":\"user\",\"content\":\"?\"}]}"

static void read_request(const char *body)
{
	assert_int_equal(chat_parse(slice_of(body), &limits, &req, &err), ERR_OK);
}

/* ---- requests ---- */

static void encode(const char *body, const struct target *t, struct http_req *http)
{
	*http = (struct http_req){ .url = "" };
	read_request(body);
	if (anthropic_encode(&req, t, http, &err))
		fail_msg("%s", err.message);
}

/* The value of a header, or NULL; fails when it is there twice. */
static const char *header(const struct http_req *http, const char *name)
{
	const char *p = http->headers.data, *end = p + http->headers.len, *found = NULL;
	size_t n = strlen(name);

	for (; p < end; p += strlen(p) + 1)
		if (strncasecmp(p, name, n) == 0 && p[n] == ':') {
			assert_null(found);
			found = p + n + 2;
		}
	return found;
}

static void a_key_is_told_in_one_way_only(void **state)
{
	struct target t = target_of("anthropic", "claude-haiku-4-5");
	struct http_req http;

	(void)state;
	encode("{\"model\":\"m\"," ASK, &t, &http);
	assert_string_equal(http.url, "https://a.example/v1/messages");
	assert_string_equal(header(&http, "x-api-key"), "the-key");
	assert_null(header(&http, "authorization"));
	assert_string_equal(header(&http, "anthropic-version"), "2023-06-01");
	assert_string_equal(header(&http, "content-type"), "application/json");
	assert_string_equal(header(&http, "accept"), "application/json");
	assert_null(header(&http, "anthropic-beta"));
	http_req_fini(&http);
	t.auth = "bearer";
	encode("{\"model\":\"m\",\"stream\":true," ASK, &t, &http);
	assert_string_equal(header(&http, "authorization"), "Bearer the-key");
	assert_null(header(&http, "x-api-key"));
	assert_string_equal(header(&http, "accept"), "text/event-stream");
	http_req_fini(&http);
	t.auth = "none";
	t.api_key = "";
	encode("{\"model\":\"m\"," ASK, &t, &http);
	assert_null(header(&http, "authorization"));
	assert_null(header(&http, "x-api-key"));
	http_req_fini(&http);
}

static void betas_of_the_client_and_of_the_request_are_one_list(void **state)
{
	static const char body[] =
		"{\"model\":\"m\",\"reasoning_effort\":\"low\",\"anthropic_beta\":[\"context-1m\","
		"\"interleaved-thinking-2025-05-14\",\"context-1m\",7,\"a,b\",\"a\\r\\nX: "
		"y\",\"\"],"
		"\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\"}}],\"messages\":[{"
		"\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"?\"},{\"type\":"
		"\"file\",\"file\":{\"file_id\":\"file_1\"}}]}]}";
	static const char plain[] = "{\"model\":\"m\",\"anthropic_beta\":[\"context-1m\"]," ASK;
	struct target t = target_of("anthropic", "claude-haiku-4-5");
	struct target other = target_of("minimax-anthropic", "claude-haiku-4-5");
	struct http_req http;

	(void)state;
	encode(body, &t, &http);
	assert_string_equal(header(&http, "anthropic-beta"),
		"context-1m,interleaved-thinking-2025-05-14,files-api-2025-04-14");
	http_req_fini(&http);
	encode(plain, &other, &http);
	assert_null(header(&http, "anthropic-beta"));
	http_req_fini(&http);
}

static void the_same_request_is_the_same_bytes(void **state)
{
	static const char body[] =
		"{\"model\":\"m\",\"user\":\"a@b.example\",\"tools\":[{\"type\":\"function\","
		"\"function\":{\"name\":\"a.b\"}},{\"type\":\"function\",\"function\":{\"name\":"
		"\"a/b\"}}],\"messages\":[{\"role\":\"system\",\"content\":\"s\"},{\"role\":"
		"\"user\",\"content\":\"a\"},{\"role\":\"assistant\",\"tool_calls\":[{\"id\":\"\","
		"\"type\":\"function\",\"function\":{\"name\":\"a.b\",\"arguments\":\"{}\"}}]}]}";
	struct target t = target_of("anthropic", "claude-opus-4-8");
	struct http_req one, two;

	(void)state;
	encode(body, &t, &one);
	encode(body, &t, &two);
	assert_true(slice_eq(buf_slice(&one.body), buf_slice(&two.body)));
	assert_true(slice_eq(buf_slice(&one.headers), buf_slice(&two.headers)));
	http_req_fini(&one);
	http_req_fini(&two);
}

static void an_address_that_is_too_long_is_the_operators_mistake(void **state)
{
	static char url[URL_MAX_SIZE + 1];
	struct target t = target_of("anthropic", "claude-opus-4-8");
	struct http_req http = { .url = "" };

	(void)state;
	memset(url, 'a', sizeof(url) - 1);
	t.base_url = url;
	read_request("{\"model\":\"m\"," ASK);
	assert_int_equal(anthropic_encode(&req, &t, &http, &err), ERR_CONF);
	http_req_fini(&http);
}

/* ---- models ---- */

static void ids_are_written_as_anthropic_writes_them(void **state)
{
	static const struct {
		const char *id, *native;
	} cases[] = {
		{ "claude-sonnet-4.6", "claude-sonnet-4-6" },
		{ "anthropic/claude-sonnet-4.6", "claude-sonnet-4-6" },
		{ "claude-3.7-sonnet:thinking", "claude-3-7-sonnet" },
		{ "claude-sonnet-4-20250514", "claude-sonnet-4-20250514" },
		{ "claude-3-5-sonnet-v2.x", "claude-3-5-sonnet-v2.x" },
		{ "MiniMax-M2.5", "MiniMax-M2.5" },
		{ "org/model:8b", "org/model:8b" },
	};
	char native[MODEL_ID_MAX];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		print_message("%s\n", cases[i].id);
		anthropic_native_id(cases[i].id, native);
		assert_string_equal(native, cases[i].native);
	}
}

static void what_a_model_can_is_told_by_its_id(void **state)
{
	static const struct {
		const char *id;
		int64_t max_output;
		enum anthropic_thinking thinking;
		bool samples, schema, xhigh;
	} cases[] = {
		{ "claude-opus-5-20270101", 128000, ANTHROPIC_ADAPTIVE, false, true, true },
		{ "claude-fable-1", 128000, ANTHROPIC_ADAPTIVE, false, true, true },
		{ "claude-mythos", 128000, ANTHROPIC_ADAPTIVE, false, true, true },
		{ "claude-opus-4-8", 128000, ANTHROPIC_ADAPTIVE, false, true, true },
		{ "claude-opus-4-7", 128000, ANTHROPIC_ADAPTIVE, false, true, true },
		{ "claude-sonnet-5", 128000, ANTHROPIC_ADAPTIVE, false, true, true },
		{ "claude-opus-4-6", 128000, ANTHROPIC_EITHER, true, true, false },
		{ "claude-sonnet-4-6", 64000, ANTHROPIC_EITHER, true, true, false },
		{ "claude-opus-4-5-20251101", 64000, ANTHROPIC_BUDGET, true, true, false },
		{ "claude-sonnet-4-5", 64000, ANTHROPIC_BUDGET, true, true, false },
		{ "claude-haiku-4-5", 64000, ANTHROPIC_BUDGET, true, true, false },
		{ "claude-opus-4-1-20250805", 32000, ANTHROPIC_BUDGET, true, true, false },
		{ "claude-sonnet-4-20250514", 64000, ANTHROPIC_BUDGET, true, false, false },
		{ "claude-opus-4-20250514", 32000, ANTHROPIC_BUDGET, true, false, false },
		{ "claude-3-7-sonnet-20250219", 64000, ANTHROPIC_BUDGET, true, false, false },
		{ "claude-3-5-haiku-20241022", 8192, ANTHROPIC_NEVER_THINKS, true, false, false },
		{ "claude-3-haiku-20240307", 4096, ANTHROPIC_NEVER_THINKS, true, false, false },
		{ "claude-2.1", 4096, ANTHROPIC_NEVER_THINKS, true, false, false },
		{ "claude-ode-9", 128000, ANTHROPIC_ADAPTIVE, false, true, true },
		{ "MiniMax-M2.5", 0, ANTHROPIC_BUDGET, true, false, false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct anthropic_model *m = anthropic_model_of(cases[i].id);

		print_message("%s\n", cases[i].id);
		assert_int_equal(m->max_output, cases[i].max_output);
		assert_int_equal(m->thinking, cases[i].thinking);
		assert_int_equal(m->samples, cases[i].samples);
		assert_int_equal(m->schema, cases[i].schema);
		assert_int_equal(m->xhigh, cases[i].xhigh);
	}
}

static void what_the_catalogue_allows_is_not_exceeded(void **state)
{
	struct target t = target_of("anthropic", "claude-haiku-4-5");
	struct http_req http;

	(void)state;
	t.max_output = 1000;
	encode("{\"model\":\"m\",\"max_tokens\":5000," ASK, &t, &http);
	assert_non_null(memmem(http.body.data, http.body.len, "\"max_tokens\":1000,", 18));
	http_req_fini(&http);
}

/* ---- streams ---- */

static enum err_code decode(struct dialect *d, const char *data, struct delta *out)
{
	const struct sse_event ev = { .data = slice_of(data) };

	return anthropic_decode_event(d, &ev, NOW, out, &err);
}

static void begin_stream(struct dialect *d, const struct target *t)
{
	read_request("{\"model\":\"m\",\"stream\":true," ASK);
	dialect_init(d, t, &req);
}

#define START(usage) \
	"{\"type\":\"message_start\",\"message\":{\"id\":\"msg_1\",\"usage\":{" usage "}}}"
#define TEXT_START \
	"{\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\"," \
	"\"text\":\"\"}}"
#define TEXT(text) \
	"{\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\"," \
	"\"text\":\"" text "\"}}"

static void a_stream_that_is_cut_is_counted_by_what_it_told(void **state)
{
	const struct target t = target_of("anthropic", "claude-haiku-4-5");
	struct dialect d;
	struct delta out;

	(void)state;
	begin_stream(&d, &t);
	assert_int_equal(decode(&d, START("\"input_tokens\":7,\"output_tokens\":1"), &out), ERR_OK);
	assert_int_equal(out.kind, DELTA_SKIP);
	assert_int_equal(decode(&d, TEXT_START, &out), ERR_OK);
	assert_int_equal(decode(&d, TEXT("0123456789"), &out), ERR_OK);
	assert_int_equal(d.usage.state, USAGE_REPORTED);
	assert_int_equal(d.usage.prompt_tokens, 7);
	assert_int_equal(d.usage.completion_tokens, 3);
	assert_int_equal(decode(&d, TEXT("01234567"), &out), ERR_OK);
	assert_int_equal(d.usage.completion_tokens, 5);
	/* Then the provider's word counts, even if it is less. */
	assert_int_equal(decode(&d,
				 "{\"type\":\"message_delta\",\"delta\":{\"stop_reason\":"
				 "\"end_turn\"},\"usage\":{\"output_tokens\":2}}",
				 &out),
		ERR_OK);
	assert_int_equal(d.usage.completion_tokens, 2);
	assert_int_equal(d.usage.prompt_tokens, 7);
	dialect_fini(&d);
}

static void tokens_cached_for_an_hour_are_told_apart(void **state)
{
	const struct target t = target_of("anthropic", "claude-haiku-4-5");
	struct dialect d;
	struct delta out;

	(void)state;
	begin_stream(&d, &t);
	assert_int_equal(decode(&d,
				 START("\"input_tokens\":3,\"cache_creation_input_tokens\":9,"
				       "\"cache_read_input_tokens\":5,\"cache_creation\":{"
				       "\"ephemeral_5m_input_tokens\":2,"
				       "\"ephemeral_1h_input_tokens\":7},\"output_tokens\":1"),
				 &out),
		ERR_OK);
	assert_int_equal(d.usage.prompt_tokens, 17);
	assert_int_equal(d.usage.cached_tokens, 5);
	assert_int_equal(d.usage.cache_write_tokens, 9);
	assert_int_equal(d.usage.cache_write_1h_tokens, 7);
	dialect_fini(&d);
}

static void what_makes_no_sense_is_counted_and_changes_nothing(void **state)
{
	const struct target t = target_of("anthropic", "claude-haiku-4-5");
	struct dialect d;
	struct delta out;

	(void)state;
	begin_stream(&d, &t);
	assert_int_equal(decode(&d, "{\"type\":", &out), ERR_UPSTREAM_INVALID);
	assert_int_equal(d.malformed, 1);
	assert_int_equal(decode(&d, TEXT("never began"), &out), ERR_OK);
	assert_int_equal(out.kind, DELTA_SKIP);
	assert_int_equal(d.malformed, 2);
	assert_int_equal(decode(&d, TEXT_START, &out), ERR_OK);
	assert_int_equal(decode(&d, TEXT("x"), &out), ERR_OK);
	assert_int_equal(out.kind, DELTA_CHUNK);
	assert_int_equal(out.text_bytes, 1);
	assert_int_equal(d.malformed, 2);
	dialect_fini(&d);
}

/* ---- hostile texts ---- */

static const char *const events[] = {
	START("\"input_tokens\":3,\"cache_creation\":{\"ephemeral_1h_input_tokens\":7},"
	      "\"iterations\":[{\"type\":\"message\",\"input_tokens\":1}]"),
	"{\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"thinking\","
	"\"thinking\":\"a\",\"signature\":\"b\"}}",
	"{\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"thinking_delta\","
	"\"thinking\":\"c\"}}",
	"{\"type\":\"content_block_start\",\"index\":1,\"content_block\":{\"type\":\"tool_use\","
	"\"id\":\"t\",\"name\":\"json\",\"input\":{\"value\":[1]}}}",
	"{\"type\":\"content_block_delta\",\"index\":1,\"delta\":{\"type\":\"input_json_delta\","
	"\"partial_json\":\"{\\\"value\\\":[\\\"a]\\\"],1}\"}}",
	"{\"type\":\"content_block_stop\",\"index\":1}",
	"{\"type\":\"content_block_start\",\"index\":2,\"content_block\":{\"type\":\"text\","
	"\"text\":\"t\",\"citations\":[{\"type\":\"web_search_result_location\",\"url\":\"u\"}]}}",
	"{\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"m\"}}",
	"{\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"tool_use\"},\"usage\":{"
	"\"output_tokens\":5}}",
};

/* Whatever comes out must be JSON, or an error. */
static void feed_broken(const struct target *t, size_t broken, size_t at, char with)
{
	struct dialect d;
	struct delta out;

	dialect_init(&d, t, &req);
	for (size_t i = 0; i < sizeof(events) / sizeof(events[0]); i++) {
		char *copy = strdup(events[i]); /* so that reading beyond it is seen */
		struct sse_event ev;

		assert_non_null(copy);
		if (i == broken)
			copy[at] = with;
		ev = (struct sse_event){ .data = { copy, strlen(copy) } };
		if (!anthropic_decode_event(&d, &ev, NOW, &out, &err) && out.kind == DELTA_CHUNK)
			assert_int_equal(
				json_validate(out.json, &tongue_limits, NULL, NULL), ERR_OK);
		free(copy);
	}
	dialect_fini(&d);
}

static void no_event_however_broken_breaks_the_chunks(void **state)
{
	static const char wrong[] = "\"{}[]:,x0\\ ";
	const struct target t = target_of("lab", "claude-haiku-4-5");

	(void)state;
	read_request("{\"model\":\"m\",\"response_format\":{\"type\":\"json_schema\","
		     "\"json_schema\":{\"name\":\"n\",\"schema\":{\"type\":\"array\"}}}," ASK);
	for (size_t i = 0; i < sizeof(events) / sizeof(events[0]); i++)
		for (size_t at = 0; events[i][at]; at++)
			feed_broken(&t, i, at, wrong[(i + at) % (sizeof(wrong) - 1)]);
}

static void no_request_however_odd_makes_a_body_that_is_no_json(void **state)
{
	static const char body[] =
		"{\"model\":\"m\",\"reasoning\":{\"effort\":\"high\"},\"thinking\":{\"type\":"
		"\"enabled\",\"budget_tokens\":2000},\"stop\":[\"a\",\" \"],\"user\":\"u\","
		"\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"parameters\":{"
		"\"type\":\"object\"}},\"cache_control\":{\"type\":\"ephemeral\"}}],\"messages\":["
		"{\"role\":\"system\",\"content\":\"s\"},{\"role\":\"user\",\"content\":[{"
		"\"type\":\"image_url\",\"image_url\":{\"url\":\"data:image/png;base64,iVBO\"}},{"
		"\"type\":\"text\",\"text\":\"t\"}]},{\"role\":\"assistant\",\"content\":\"b \\n\","
		"\"reasoning_details\":[{\"type\":\"reasoning.text\",\"text\":\"T\",\"signature\":"
		"\"S\"}],\"tool_calls\":[{\"id\":\"c\",\"type\":\"function\",\"function\":{"
		"\"name\":\"f\",\"arguments\":\"{}\"}}]},{\"role\":\"tool\",\"tool_call_id\":"
		"\"c\",\"content\":[{\"type\":\"text\",\"text\":\"r\"}]},{\"role\":\"assistant\","
		"\"content\":\"So: \\t\"}]}";
	static const char *const with[] = { "null", "1", "\"x\"", "[]", "{}", "true" };
	const struct target t = target_of("anthropic", "claude-sonnet-4");
	size_t sent = 0, refused = 0;

	(void)state;
	/* Each value in turn becomes one of another kind. */
	for (size_t at = 1; at + 1 < sizeof(body); at++) {
		struct buf odd = { 0 };
		struct http_req http = { .url = "" };
		const char *end = body + at + 1;

		if (body[at - 1] != ':' || body[at - 2] != '"')
			continue;
		if (body[at] == '"')
			end = strchr(end, '"') + 1;
		else if (body[at] == '{' || body[at] == '[')
			continue;
		else
			end = body + at + strcspn(body + at, ",}]");
		buf_append(&odd, body, at);
		buf_str(&odd, with[at % (sizeof(with) / sizeof(with[0]))]);
		buf_str(&odd, end);
		if (!chat_parse(buf_slice(&odd), &limits, &req, &err)) {
			if (!anthropic_encode(&req, &t, &http, &err)) {
				assert_int_equal(
					json_validate(buf_slice(&http.body), &limits, NULL, &err),
					ERR_OK);
				sent++;
			} else {
				assert_int_equal(err_status(&err), 400);
				assert_string_not_equal(err.param, "");
				refused++;
			}
		}
		http_req_fini(&http);
		buf_fini(&odd);
	}
	assert_true(sent > 0);
	assert_true(refused > 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_key_is_told_in_one_way_only),
		cmocka_unit_test(betas_of_the_client_and_of_the_request_are_one_list),
		cmocka_unit_test(the_same_request_is_the_same_bytes),
		cmocka_unit_test(an_address_that_is_too_long_is_the_operators_mistake),
		cmocka_unit_test(ids_are_written_as_anthropic_writes_them),
		cmocka_unit_test(what_a_model_can_is_told_by_its_id),
		cmocka_unit_test(what_the_catalogue_allows_is_not_exceeded),
		cmocka_unit_test(a_stream_that_is_cut_is_counted_by_what_it_told),
		cmocka_unit_test(tokens_cached_for_an_hour_are_told_apart),
		cmocka_unit_test(what_makes_no_sense_is_counted_and_changes_nothing),
		cmocka_unit_test(no_event_however_broken_breaks_the_chunks),
		cmocka_unit_test(no_request_however_odd_makes_a_body_that_is_no_json),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
