/* Google's dialect, as far as bodies alone do not show it: addresses and keys, which models can
 * what, waits, and requests that are sent once more. What the bodies say: tests/fixtures/gemini. */
#include "gateway/chat.h"
#include "gateway/providers/gemini.h"
#include "gateway/providers/openai_like.h"
#include "gateway/relay.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>
#include "tests/unit/played_pump.h"
#include "tests/unit/relay_alone.h"

#define STUDIO "https://generativelanguage.googleapis.com/v1beta"
#define VERTEX "https://aiplatform.googleapis.com/v1/projects/p/locations/global/publishers/google"
#define KEY    "operators-own-key-0123"

#define HI "[{\"role\":\"user\",\"content\":\"hi\"}]"

static struct chat_req req;
static struct target target;

static void ask_for(const char *base_url, const char *auth, const char *id, const char *body)
{
	static const struct json_limits limits = { .max_depth = 64, .max_keys = 1000 };
	struct err e;

	assert_int_equal(chat_parse(slice_of(body), &limits, &req, &e), ERR_OK);
	target = (struct target){ .provider = &provider_gemini,
		.quirks = quirks_of("google"),
		.slug = "google",
		.base_url = base_url,
		.chat_path = "",
		.auth = auth,
		.api_key = KEY,
		.public_id = "google/model",
		.native_id = id };
}

static void ask_hi(const char *base_url, const char *auth, const char *id)
{
	ask_for(base_url, auth, id, "{\"model\":\"m\",\"messages\":" HI "}");
}

/* The value of a header of an encoded request, or NULL. */
static const char *header(const struct http_req *http, const char *name)
{
	const char *end = http->headers.data + http->headers.len;
	size_t n = strlen(name);

	for (const char *h = http->headers.data; h < end; h += strlen(h) + 1)
		if (strncmp(h, name, n) == 0 && h[n] == ':')
			return h + n + 2;
	return NULL;
}

static bool says(const struct buf *b, const char *text)
{
	return memmem(buf_slice(b).ptr, b->len, text, strlen(text)) != NULL;
}

/* ---- addresses and keys ---- */

static void the_address_holds_the_model_and_what_is_wanted_of_it(void **state)
{
	static const struct {
		const char *base, *id;
		bool stream;
		const char *url;
	} rows[] = {
		{ STUDIO, "gemini-2.5-pro", false,
			STUDIO "/models/gemini-2.5-pro:generateContent" },
		{ STUDIO, "gemini-2.5-pro", true,
			STUDIO "/models/gemini-2.5-pro:streamGenerateContent?alt=sse" },
		{ STUDIO, "tunedModels/x-1", false, STUDIO "/tunedModels/x-1:generateContent" },
		{ STUDIO, "models/gemma-3-27b-it", false,
			STUDIO "/models/gemma-3-27b-it:generateContent" },
		{ VERTEX, "gemini-3-flash-preview", true,
			VERTEX "/models/gemini-3-flash-preview:streamGenerateContent?alt=sse" },
		{ STUDIO, "x?key=1#y z%2e:free", false,
			STUDIO "/models/x%3Fkey%3D1%23y%20z%252e%3Afree:generateContent" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct http_req http = { .url = "" };
		struct err e;

		ask_hi(rows[i].base, "x-goog-api-key", rows[i].id);
		req.stream = rows[i].stream;
		assert_int_equal(gemini_encode(&req, &target, &http, &e), ERR_OK);
		assert_string_equal(http.url, rows[i].url);
		http_req_fini(&http);
	}
}

static void no_model_name_leads_elsewhere_than_below_the_base(void **state)
{
	static const char *const ids[] = { "../../v1/secrets", "a/../b", "./a", "/a", "a//b", "" };

	(void)state;
	for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
		struct http_req http = { .url = "" };
		struct err e;

		ask_hi(STUDIO, "x-goog-api-key", ids[i]);
		print_message("%s\n", ids[i]);
		assert_int_equal(gemini_encode(&req, &target, &http, &e), ERR_BAD_REQUEST);
		assert_string_equal(e.param, "model");
		http_req_fini(&http);
	}
}

static void the_key_stands_in_one_header_and_never_in_the_address(void **state)
{
	static const struct {
		const char *auth, *name, *value;
	} rows[] = {
		{ "x-goog-api-key", "x-goog-api-key", KEY },
		{ "bearer", "Authorization", "Bearer " KEY },
		{ "service-account", "Authorization", "Bearer " KEY },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct http_req http = { .url = "" };
		const char *other = i ? "x-goog-api-key" : "Authorization";
		struct err e;

		ask_hi(STUDIO, rows[i].auth, "gemini-2.5-pro");
		assert_int_equal(gemini_encode(&req, &target, &http, &e), ERR_OK);
		assert_string_equal(header(&http, rows[i].name), rows[i].value);
		assert_null(header(&http, other));
		assert_null(strstr(http.url, KEY));
		assert_false(says(&http.body, KEY));
		http_req_fini(&http);
	}
}

static void vertex_reads_addresses_of_the_web_by_itself(void **state)
{
	static const char body[] =
		"{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":"
		"\"image_url\",\"image_url\":{\"url\":\"https://example.com/a.PNG?x=1\"}}]}]}";
	struct http_req http = { .url = "" };
	struct err e;

	(void)state;
	ask_for(VERTEX, "bearer", "gemini-2.5-pro", body);
	assert_int_equal(gemini_encode(&req, &target, &http, &e), ERR_OK);
	assert_true(says(&http.body, "{\"fileData\":{\"mimeType\":\"image/png\",\"fileUri\":"
				     "\"https://example.com/a.PNG?x=1\"}}"));
	http_req_fini(&http);
	ask_for(STUDIO, "x-goog-api-key", "gemini-2.5-pro", body);
	assert_int_equal(gemini_encode(&req, &target, &http, &e), ERR_UNSUPPORTED);
	http_req_fini(&http);
}

static void only_googles_own_addresses_need_no_inlining(void **state)
{
	static const struct {
		const char *url;
		bool taken;
	} rows[] = {
		{ "gs://bucket/a.png", true },
		{ "https://www.youtube.com/watch?v=x", true },
		{ "https://youtu.be/x", true },
		{ STUDIO "/files/abc", true },
		{ "https://example.com/a.png", false },
		{ "https://www.youtube.com.example.com/a.png", false },
		{ "http://www.youtube.com/watch?v=x", false },
	};

	(void)state;
	assert_false(provider_gemini.can & CAN_IMAGE_URLS);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		print_message("%s\n", rows[i].url);
		assert_int_equal(provider_gemini.takes_url(slice_of(rows[i].url)), rows[i].taken);
	}
}

/* ---- models ---- */

static void each_model_thinks_in_its_own_way(void **state)
{
	static const struct {
		const char *id;
		enum gemini_thinking thinking;
		const char *lowest;
		bool has_no_medium, wants_signatures, json_schema;
	} rows[] = {
		{ "gemini-2.5-pro", GEMINI_BUDGET, NULL, false, false, true },
		{ "gemini-2.5-flash", GEMINI_BUDGET, NULL, false, false, true },
		{ "gemini-2.5-flash-lite", GEMINI_BUDGET, NULL, false, false, true },
		{ "gemini-3-pro-preview", GEMINI_LEVEL, "LOW", true, true, true },
		{ "gemini-3.1-pro-preview", GEMINI_LEVEL, "LOW", false, true, true },
		{ "gemini-3-flash-preview", GEMINI_LEVEL, "MINIMAL", false, true, true },
		{ "gemini-3.1-flash-lite", GEMINI_LEVEL, "MINIMAL", false, true, true },
		{ "gemini-3.5-flash", GEMINI_LEVEL, "MINIMAL", false, true, true },
		{ "gemini-3.7-flash", GEMINI_LEVEL, "LOW", false, true, true },
		{ "gemini-3.10-flash", GEMINI_LEVEL, "LOW", false, true, true },
		{ "gemini-flash-latest", GEMINI_LEVEL, "LOW", false, true, true },
		{ "gemini-4-pro", GEMINI_LEVEL, "LOW", false, true, true },
		{ "models/gemini-2.5-pro", GEMINI_BUDGET, NULL, false, false, true },
		{ "gemini-3-pro-image-preview", GEMINI_NEVER_THINKS, NULL, false, true, true },
		{ "gemini-2.0-flash", GEMINI_NEVER_THINKS, NULL, false, false, false },
		{ "gemini-1.5-pro-002", GEMINI_NEVER_THINKS, NULL, false, false, false },
		{ "gemini-pro", GEMINI_NEVER_THINKS, NULL, false, false, false },
		{ "gemma-3-27b-it", GEMINI_NEVER_THINKS, NULL, false, false, false },
		{ "tunedModels/mine", GEMINI_NEVER_THINKS, NULL, false, false, false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct gemini_model m = gemini_model_of(rows[i].id);

		print_message("%s\n", rows[i].id);
		assert_int_equal(m.thinking, rows[i].thinking);
		if (rows[i].lowest)
			assert_string_equal(m.lowest, rows[i].lowest);
		assert_int_equal(m.has_no_medium, rows[i].has_no_medium);
		assert_int_equal(m.wants_signatures, rows[i].wants_signatures);
		assert_int_equal(m.json_schema, rows[i].json_schema);
		assert_int_equal(m.takes_system, strncmp(rows[i].id, "gemma", 5) != 0);
	}
}

/* ---- errors ---- */

static struct err refused(int status, const char *body)
{
	struct err e = { 0 };

	ask_hi(STUDIO, "x-goog-api-key", "gemini-2.5-pro");
	assert_int_not_equal(gemini_decode_error(&target, status, slice_of(body), &e), ERR_OK);
	return e;
}

static void a_wait_is_as_long_as_google_says(void **state)
{
	static const struct {
		const char *delay;
		int64_t wait_ms;
	} rows[] = {
		{ "34.4s", 34400 },
		{ "0.017s", 17 },
		{ "60s", 60000 },
		{ "999999999999s", 86400000 },
		{ "-3s", 0 },
		{ "34.4", 0 },
		{ "nans", 0 },
		{ "s", 0 },
		{ "", 0 },
	};
	char body[256];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		snprintf(body, sizeof(body),
			"{\"error\":{\"code\":429,\"message\":\"m\",\"status\":\"RESOURCE_"
			"EXHAUSTED\","
			"\"details\":[{\"retryDelay\":\"%s\"}]}}",
			rows[i].delay);
		print_message("%s\n", rows[i].delay);
		struct err e = refused(429, body);

		assert_int_equal(e.retry_after_ms, rows[i].wait_ms);
		assert_true(err_may_retry(&e));
	}
}

static void what_is_spent_for_the_day_is_not_tried_again(void **state)
{
	struct err e = refused(429,
		"[{\"error\":{\"code\":429,\"message\":\"m\",\"status\":\"RESOURCE_EXHAUSTED\","
		"\"details\":[{\"violations\":[{\"quotaId\":\"A\"},{\"quotaId\":"
		"\"GenerateRequestsPerDayPerProjectPerModel-FreeTier\"}]},"
		"{\"retryDelay\":\"34.4s\"}]}}]");

	(void)state;
	assert_int_equal(err_status(&e), 429);
	assert_false(err_may_retry(&e));
	assert_int_equal(e.retry_after_ms, 0);
}

static void errors_of_any_shape_are_errors(void **state)
{
	static const char *const bodies[] = { "", "[]", "[1]", "null", "{}", "{\"error\":null}",
		"{\"error\":[]}", "{\"error\":{\"details\":{}}}",
		"{\"error\":{\"details\":[1,null]}}",
		"{\"error\":{\"details\":[{\"violations\":[3,{\"quotaId\":4}]}],\"status\":7}}",
		"{\"error\":{\"details\":[{\"retryDelay\":{},\"reason\":[]}]}}", "<html>" };

	(void)state;
	for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
		struct err e = refused(429, bodies[i]);

		print_message("%s\n", bodies[i]);
		assert_int_equal(err_status(&e), 429);
		assert_int_equal(e.retry_after_ms, 0);
	}
}

/* ---- requests that are sent once more ---- */

static struct {
	unsigned calls;
	struct {
		int status;
		const char *type, *body;
	} answers[3];
	struct buf sent[3];
} upstream;

enum err_code pump_run(struct pump *p, struct job *j, struct err *e)
{
	unsigned n = upstream.calls++;
	struct slice body;
	enum job_next next;

	(void)p;
	assert_true(n < 3);
	buf_slice_append(&upstream.sent[n], buf_slice(&j->req->body));
	body = slice_of(upstream.answers[n].body);
	j->status = upstream.answers[n].status;
	j->retry_after_ms = -1;
	snprintf(j->content_type, sizeof(j->content_type), "%s", upstream.answers[n].type);
	next = j->ops->on_head(j, &j->err);
	if (next == JOB_MORE)
		next = j->ops->on_bytes(j, body, &j->err);
	if (next == JOB_MORE)
		next = j->ops->on_end(j, false, &j->err);
	if (next != JOB_FAIL)
		return ERR_OK;
	*e = j->err;
	return j->err.code;
}

struct client {
	struct sink sink;
	bool begun;
};

static enum sink_state begin(struct sink *s, const struct sink_head *head)
{
	(void)head;
	((struct client *)s)->begun = true;
	return SINK_OK;
}

static enum sink_state take(struct sink *s, struct slice bytes)
{
	(void)s;
	(void)bytes;
	return SINK_OK;
}

static bool has_begun(const struct sink *s)
{
	return ((const struct client *)s)->begun;
}

static const struct sink_ops client_ops = { .begin = begin, .write = take, .has_begun = has_begun };

static enum err_code relay(struct relay_result *res, struct err *e)
{
	static const struct relay_conf conf = { .connect_ms = 1,
		.first_byte_ms = 1,
		.idle_ms = 1,
		.client_stall_ms = 1,
		.deadline_ms = 1,
		.max_event_bytes = 1 << 20,
		.max_answer_bytes = 1 << 20 };
	static const struct sink_head head = { .status = 200, .length = -1, .streaming = true };
	static const struct cost_facts unpriced = { .table = NULL };
	struct client client = { .sink = { &client_ops } };
	struct relay_client to = { .sink = &client.sink };
	const struct relay_call call = {
		.target = &target, .req = &req, .client = &to, .head = &head, .prices = &unpriced
	};

	return relay_chat(NULL, &conf, &call, "req_1", res, e);
}

#define SIGNED \
	"{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"go\"},{\"role\":" \
	"\"assistant\",\"tool_calls\":[{\"id\":\"a\",\"type\":\"function\",\"function\":{" \
	"\"name\":" \
	"\"f\",\"arguments\":\"{}\"},\"extra_content\":{\"google\":{\"thought_signature\":" \
	"\"T1RIRVI=\"}}}]},{\"role\":\"tool\",\"tool_call_id\":\"a\",\"content\":\"1\"}]}"
#define CORRUPTED \
	"{\"error\":{\"code\":400,\"message\":\"Corrupted thought signature.\"," \
	"\"status\":\"INVALID_ARGUMENT\"}}"
#define ANSWER \
	"{\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"x\"}]},\"finishReason\":\"STOP\"}]" \
	"," \
	"\"usageMetadata\":{\"promptTokenCount\":3,\"candidatesTokenCount\":2},\"responseId\":" \
	"\"r-1\"}"
#define JSON "application/json"

static void set_up_upstream(int first_status, const char *first, int then_status, const char *then)
{
	for (unsigned i = 0; i < 3; i++)
		buf_fini(&upstream.sent[i]);
	memset(&upstream, 0, sizeof(upstream));
	upstream.answers[0].status = first_status;
	upstream.answers[0].body = first;
	upstream.answers[1].status = then_status;
	upstream.answers[1].body = then;
	upstream.answers[0].type = upstream.answers[1].type = JSON;
}

static int forget(void **state)
{
	(void)state;
	set_up_upstream(0, "", 0, "");
	return 0;
}

/* Tried with mend() that always says no: the first assertion on calls fails. */
static void refused_signatures_are_left_out_of_a_second_try(void **state)
{
	struct relay_result res;
	struct err e;

	(void)state;
	ask_for(STUDIO, "x-goog-api-key", "gemini-3-flash-preview", SIGNED);
	set_up_upstream(400, CORRUPTED, 200, ANSWER);
	assert_int_equal(relay(&res, &e), ERR_OK);
	assert_int_equal(upstream.calls, 2);
	assert_true(says(&upstream.sent[0], "\"thoughtSignature\":\"T1RIRVI=\""));
	assert_false(says(&upstream.sent[1], "T1RIRVI="));
	assert_true(says(
		&upstream.sent[1], "\"thoughtSignature\":\"skip_thought_signature_validator\""));
	assert_true(says(&res.answer.json, "\"content\":\"x\""));
	assert_int_equal(res.upstream_status, 200);
	assert_int_equal(res.usage.completion_tokens, 2);
	relay_result_fini(&res);
}

static void there_is_no_third_try(void **state)
{
	struct relay_result res;
	struct err e;

	(void)state;
	ask_for(STUDIO, "x-goog-api-key", "gemini-3-flash-preview", SIGNED);
	set_up_upstream(400, CORRUPTED, 400, CORRUPTED);
	assert_int_equal(relay(&res, &e), ERR_UPSTREAM_STATUS);
	assert_int_equal(upstream.calls, 2);
	assert_int_equal(err_status(&e), 400);
	relay_result_fini(&res);
}

static void other_refusals_are_final(void **state)
{
	struct relay_result res;
	struct err e;

	(void)state;
	ask_for(STUDIO, "x-goog-api-key", "gemini-3-flash-preview", SIGNED);
	set_up_upstream(400, "{\"error\":{\"message\":\"Unknown name\"}}", 200, ANSWER);
	assert_int_equal(relay(&res, &e), ERR_UPSTREAM_STATUS);
	assert_int_equal(upstream.calls, 1);
	relay_result_fini(&res);
}

static void a_key_that_is_no_key_counts_as_one_that_is_refused(void **state)
{
	struct relay_result res;
	struct err e;

	(void)state;
	ask_hi(STUDIO, "x-goog-api-key", "gemini-2.5-pro");
	set_up_upstream(400,
		"{\"error\":{\"code\":400,\"message\":\"API key not valid.\",\"status\":"
		"\"INVALID_ARGUMENT\",\"details\":[{\"reason\":\"API_KEY_INVALID\"}]}}",
		0, "");
	assert_int_equal(relay(&res, &e), ERR_UPSTREAM_STATUS);
	assert_int_equal(err_status(&e), 401);
	assert_int_equal(res.upstream_status, 401);
	relay_result_fini(&res);
}

static void a_stream_of_nothing_may_be_tried_again(void **state)
{
	struct relay_result res;
	struct err e;

	(void)state;
	ask_hi(STUDIO, "x-goog-api-key", "gemini-2.5-pro");
	req.stream = true;
	set_up_upstream(200, "", 0, "");
	upstream.answers[0].type = "text/event-stream";
	assert_int_equal(relay(&res, &e), ERR_UPSTREAM_CLOSED);
	assert_true(err_may_retry(&e));
	assert_false(res.spoke);
	assert_int_equal(res.usage.state, USAGE_NONE);
	relay_result_fini(&res);
}

/* ---- streams ---- */

static enum err_code feed(struct dialect *d, const char *data, struct delta *out)
{
	const struct sse_event ev = { { "", 0 }, slice_of(data) };
	struct err e;

	return gemini_decode_event(d, &ev, 1767225600, out, &e);
}

static void a_cut_stream_is_billed_by_what_it_told(void **state)
{
	struct dialect d;
	struct delta out;

	(void)state;
	ask_hi(STUDIO, "x-goog-api-key", "gemini-2.5-pro");
	dialect_init(&d, &target, &req);
	assert_int_equal(feed(&d,
				 "{\"candidates\":[{\"content\":{\"parts\":[{\"text\":"
				 "\"0123456789abcdef\"}]}}],\"usageMetadata\":{"
				 "\"promptTokenCount\":9}}",
				 &out),
		ERR_OK);
	assert_int_equal(d.usage.prompt_tokens, 9);
	assert_int_equal(d.usage.completion_tokens, 4);
	/* Figures count for what came up to them … */
	assert_int_equal(feed(&d,
				 "{\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"x\"}]}}],"
				 "\"usageMetadata\":{\"promptTokenCount\":9,"
				 "\"candidatesTokenCount\":5,\"thoughtsTokenCount\":20}}",
				 &out),
		ERR_OK);
	assert_int_equal(d.usage.completion_tokens, 25);
	/* … and estimates for what came since. */
	assert_int_equal(feed(&d,
				 "{\"candidates\":[{\"content\":{\"parts\":[{\"text\":"
				 "\"01234567\"}]}}]}",
				 &out),
		ERR_OK);
	assert_int_equal(d.usage.completion_tokens, 27);
	assert_int_equal(d.usage.reasoning_tokens, 20);
	dialect_fini(&d);
}

static void no_candidate_has_a_number_beyond_reason(void **state)
{
	static const char *const indices[] = { "-1", "128", "99999999999", "\"0\"", "{}" };
	char data[128];

	(void)state;
	for (size_t i = 0; i < sizeof(indices) / sizeof(indices[0]); i++) {
		struct dialect d;
		struct delta out;

		ask_hi(STUDIO, "x-goog-api-key", "gemini-2.5-pro");
		dialect_init(&d, &target, &req);
		snprintf(data, sizeof(data), "{\"candidates\":[{\"index\":%s}]}", indices[i]);
		print_message("%s\n", data);
		assert_int_equal(feed(&d, data, &out), ERR_UPSTREAM_INVALID);
		dialect_fini(&d);
	}
}

static void members_of_the_wrong_kind_harm_nobody(void **state)
{
	static const char event[] =
		"{\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"a\",\"thought\":true},"
		"{\"functionCall\":{\"id\":\"i\",\"name\":\"n\",\"args\":{\"a\":1}},"
		"\"thoughtSignature\":\"U0lH\"},{\"inlineData\":{\"mimeType\":\"image/"
		"png\",\"data\":"
		"\"AAAA\"}},{\"executableCode\":{\"code\":\"x\"}},{\"codeExecutionResult\":{"
		"\"output\":"
		"\"y\"}}]},\"groundingMetadata\":{\"groundingChunks\":[{\"web\":{\"uri\":\"u\","
		"\"title\":\"t\"}}]},\"logprobsResult\":{\"chosenCandidates\":[{\"token\":\"a\"}],"
		"\"topCandidates\":[{\"candidates\":[{\"token\":\"a\"}]}]},\"finishReason\":"
		"\"STOP\"}],"
		"\"promptFeedback\":{\"blockReason\":\"SAFETY\"},\"usageMetadata\":{"
		"\"promptTokenCount\":1},\"responseId\":\"r\",\"error\":{\"code\":500}}";
	static const char *const wrong[] = { "null", "1", "\"\"", "[]", "{}", "[{}]", "[null]",
		"{\"parts\":[1]}", "true", "-1e99" };
	const struct slice text = slice_of(event);
	unsigned tried = 0;

	(void)state;
	/* Behind every colon, another value instead. */
	for (size_t at = 0; at < text.len; at++) {
		struct json_value v = { JSON_ABSENT, slice_from(text, at + 1) };

		if (text.ptr[at] != ':')
			continue;
		while (v.raw.len && json_validate(v.raw, &tongue_limits, &v.kind, NULL))
			v.raw.len--;
		assert_true(v.raw.len > 0);
		for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
			struct buf b = { 0 };
			struct dialect d;
			struct delta out;

			ask_hi(STUDIO, "x-goog-api-key", "gemini-2.5-pro");
			dialect_init(&d, &target, &req);
			buf_slice_append(&b, slice_first(text, at + 1));
			buf_str(&b, wrong[i]);
			buf_slice_append(&b, slice_from(text, at + 1 + v.raw.len));
			if (!feed(&d, buf_cstr(&b), &out) && out.kind == DELTA_CHUNK)
				assert_int_equal(
					json_validate(out.json, &tongue_limits, NULL, NULL),
					ERR_OK);
			tried++;
			dialect_fini(&d);
			buf_fini(&b);
		}
	}
	assert_true(tried > 300);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_address_holds_the_model_and_what_is_wanted_of_it),
		cmocka_unit_test(no_model_name_leads_elsewhere_than_below_the_base),
		cmocka_unit_test(the_key_stands_in_one_header_and_never_in_the_address),
		cmocka_unit_test(vertex_reads_addresses_of_the_web_by_itself),
		cmocka_unit_test(only_googles_own_addresses_need_no_inlining),
		cmocka_unit_test(each_model_thinks_in_its_own_way),
		cmocka_unit_test(a_wait_is_as_long_as_google_says),
		cmocka_unit_test(what_is_spent_for_the_day_is_not_tried_again),
		cmocka_unit_test(errors_of_any_shape_are_errors),
		cmocka_unit_test_teardown(refused_signatures_are_left_out_of_a_second_try, forget),
		cmocka_unit_test_teardown(there_is_no_third_try, forget),
		cmocka_unit_test_teardown(other_refusals_are_final, forget),
		cmocka_unit_test_teardown(
			a_key_that_is_no_key_counts_as_one_that_is_refused, forget),
		cmocka_unit_test_teardown(a_stream_of_nothing_may_be_tried_again, forget),
		cmocka_unit_test(a_cut_stream_is_billed_by_what_it_told),
		cmocka_unit_test(no_candidate_has_a_number_beyond_reason),
		cmocka_unit_test(members_of_the_wrong_kind_harm_nobody),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
