/* What golden files of the dialect cannot show: addresses, headers, signatures, tokens and frames
 * that are wrong. The real relay runs; the pump's place is taken by the test. */
#include "base/sigv4.h"
#include "gateway/chat.h"
#include "gateway/providers/bedrock.h"
#include "gateway/providers/openai_like.h"
#include "gateway/relay.h"
#include "gateway/vertex.h"
#include "tests/unit/frame_writer.h"
#include "tests/unit/rsa_key.h"

#include <setjmp.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>
#include "tests/unit/played_pump.h"
#include "tests/unit/relay_alone.h"

#define MODEL "us.anthropic.claude-sonnet-4-20250514-v1:0"
#define BASE  "https://bedrock-runtime.us-east-1.amazonaws.com"

/* ---- the pump ---- */

static struct {
	/* what it answers */
	int status;
	const char *content_type, *error_type;
	struct slice body;
	/* what it was asked */
	char url[URL_MAX_SIZE];
	struct buf headers, request;
	int asked, tokens;
} upstream;

static void play(struct job *j, int status, struct slice body)
{
	j->status = status;
	j->retry_after_ms = -1;
	snprintf(j->content_type, sizeof(j->content_type), "%s", upstream.content_type);
	snprintf(j->error_type, sizeof(j->error_type), "%s", upstream.error_type);
	if (j->ops->on_head(j, &j->err) != JOB_MORE ||
		(body.len && j->ops->on_bytes(j, body, &j->err) != JOB_MORE))
		return;
	(void)j->ops->on_end(j, false, &j->err);
}

enum err_code pump_run(struct pump *p, struct job *j, struct err *e)
{
	(void)p;
	if (strstr(j->req->url, "/token")) {
		upstream.tokens++;
		play(j, 200, SLICE("{\"access_token\":\"ya29.tok\",\"expires_in\":3599}"));
	} else {
		upstream.asked++;
		memcpy(upstream.url, j->req->url, sizeof(upstream.url));
		buf_reset(&upstream.headers);
		buf_slice_append(&upstream.headers, buf_slice(&j->req->headers));
		buf_reset(&upstream.request);
		buf_slice_append(&upstream.request, buf_slice(&j->req->body));
		play(j, upstream.status, upstream.body);
	}
	*e = j->err;
	return j->err.code;
}

static const char *sent(const char *name)
{
	const char *end = upstream.headers.data + upstream.headers.len;

	for (const char *h = upstream.headers.data; h && h < end; h += strlen(h) + 1)
		if (slice_starts(slice_of(h), name))
			return h + strlen(name);
	return NULL;
}

/* ---- one call ---- */

struct client {
	struct sink sink;
	struct buf seen;
	bool begun;
};

static enum sink_state client_begin(struct sink *s, const struct sink_head *head)
{
	(void)head;
	((struct client *)s)->begun = true;
	return SINK_OK;
}

static enum sink_state client_write(struct sink *s, struct slice bytes)
{
	buf_slice_append(&((struct client *)s)->seen, bytes);
	return SINK_OK;
}

static bool client_has_begun(const struct sink *s)
{
	return ((const struct client *)s)->begun;
}

static const struct sink_ops client_ops = {
	.begin = client_begin, .write = client_write, .has_begun = client_has_begun
};

static struct target target_of(const char *native_id)
{
	return (struct target){ .provider = &provider_bedrock,
		.quirks = quirks_of("bedrock"),
		.slug = "bedrock",
		.base_url = BASE,
		.chat_path = "/model/{id}/converse",
		.auth = "bearer",
		.api_key = "bedrock-api-key-1",
		.public_id = "bedrock/x",
		.native_id = native_id };
}

/* Calls the target; seen is all that the client gets, or nothing on an error. */
static enum err_code call(const struct target *t, bool stream, struct buf *seen, struct err *e)
{
	static const struct json_limits limits = { .max_depth = 20, .max_keys = 100 };
	const struct relay_conf conf = { .connect_ms = 1,
		.first_byte_ms = 1,
		.idle_ms = 1,
		.client_stall_ms = 1,
		.deadline_ms = 1,
		.max_event_bytes = 4096,
		.max_answer_bytes = 1 << 20 };
	const struct sink_head head = { .status = 200, .length = -1, .streaming = true };
	const struct cost_facts unpriced = { .table = NULL };
	struct client client = { .sink = { &client_ops } };
	struct relay_client to = { .sink = &client.sink };
	struct relay_result res;
	struct chat_req req;
	enum err_code rc;

	*e = (struct err){ 0 };
	assert_int_equal(
		chat_parse(SLICE("{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":"
				 "\"Hi\"}],\"max_tokens\":9}"),
			&limits, &req, e),
		ERR_OK);
	req.stream = stream;
	rc = relay_chat(NULL, &conf,
		&(struct relay_call){ .target = t,
			.req = &req,
			.client = &to,
			.head = &head,
			.prices = &unpriced },
		"req_1", &res, e);
	buf_reset(seen);
	buf_slice_append(seen, buf_slice(&client.seen));
	buf_slice_append(seen, buf_slice(&res.ending));
	if (!rc && !stream)
		buf_slice_append(seen, buf_slice(&res.answer.json));
	relay_result_fini(&res);
	buf_fini(&client.seen);
	return rc;
}

static void answer(int status, const char *content_type, struct slice body)
{
	upstream.status = status;
	upstream.content_type = content_type;
	upstream.error_type = "";
	upstream.body = body;
}

static void answer_well(void)
{
	answer(200, "application/json",
		SLICE("{\"output\":{\"message\":{\"role\":\"assistant\",\"content\":[{\"text\":"
		      "\"Yes.\"}]}},\"stopReason\":\"end_turn\",\"usage\":{\"inputTokens\":1,"
		      "\"outputTokens\":1,\"totalTokens\":2}}"));
}

static bool holds(const struct buf *b, const char *text)
{
	return memmem(buf_slice(b).ptr, b->len, text, strlen(text)) != NULL;
}

static int forget(void **state)
{
	(void)state;
	buf_fini(&upstream.headers);
	buf_fini(&upstream.request);
	upstream.asked = upstream.tokens = 0;
	return 0;
}

/* ---- requests ---- */

static void the_model_is_one_segment_of_the_path(void **state)
{
	static const struct {
		const char *model, *path;
	} rows[] = {
		{ MODEL, "us.anthropic.claude-sonnet-4-20250514-v1%3A0" },
		{ "arn:aws:bedrock:us-east-1:1:inference-profile/x",
			"arn%3Aaws%3Abedrock%3Aus-east-1%3A1%3Ainference-profile%2Fx" },
		{ "a b?c#d%e", "a%20b%3Fc%23d%25e" },
	};
	struct buf seen = { 0 };
	char url[URL_MAX_SIZE];
	struct err e;

	(void)state;
	answer_well();
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct target t = target_of(rows[i].model);

		assert_int_equal(call(&t, false, &seen, &e), ERR_OK);
		snprintf(url, sizeof(url), BASE "/model/%s/converse", rows[i].path);
		assert_string_equal(upstream.url, url);
		assert_string_equal(sent("Accept: "), "application/json");
		/* this answer is no stream, but the request was one */
		assert_int_equal(call(&t, true, &seen, &e), ERR_OK);
		snprintf(url, sizeof(url), BASE "/model/%s/converse-stream", rows[i].path);
		assert_string_equal(upstream.url, url);
		assert_string_equal(sent("Accept: "), "application/vnd.amazon.eventstream");
	}
	buf_fini(&seen);
}

static void a_name_of_dots_leads_nowhere(void **state)
{
	static const char *const names[] = { ".", "..", "..." };
	struct buf seen = { 0 };
	struct err e;

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		struct target t = target_of(names[i]);

		assert_int_equal(call(&t, false, &seen, &e), ERR_MODEL_NOT_FOUND);
	}
	assert_int_equal(upstream.asked, 0);
	buf_fini(&seen);
}

static void a_key_is_sent_as_bearer(void **state)
{
	struct target t = target_of(MODEL);
	struct buf seen = { 0 };
	struct err e;

	(void)state;
	answer_well();
	assert_int_equal(call(&t, false, &seen, &e), ERR_OK);
	assert_true(holds(&seen, "\"content\":\"Yes.\""));
	assert_string_equal(sent("Authorization: "), "Bearer bedrock-api-key-1");
	assert_null(sent("X-Amz-Date: "));
	buf_fini(&seen);
}

/* The signature itself is proven in sigv4.c: here the same function signs what went out. */
static void access_keys_sign_what_is_sent(void **state)
{
	const struct sigv4_keys keys = { "AKIDTEST", "secretfortests", "session", "us-east-1" };
	struct target t = target_of(MODEL);
	struct sigv4_request r = { .service = "bedrock",
		.content_type = SLICE("application/json") };
	struct buf seen = { 0 }, again = { 0 };
	int year, month, day, hour, minute, second;
	const char *signature;
	struct err e;
	int64_t now_s;

	(void)state;
	answer_well();
	t.auth = "sigv4";
	t.api_key = "";
	t.sigv4 = &keys;
	assert_int_equal(call(&t, false, &seen, &e), ERR_OK);
	assert_string_equal(sent("X-Amz-Security-Token: "), "session");
	assert_true(slice_starts(
		slice_of(sent("Authorization: ")), "AWS4-HMAC-SHA256 Credential=AKIDTEST/"));
	assert_int_equal(sscanf(sent("X-Amz-Date: "), "%4d%2d%2dT%2d%2d%2dZ", &year, &month, &day,
				 &hour, &minute, &second),
		6);
	struct tm tm = { .tm_year = year - 1900,
		.tm_mon = month - 1,
		.tm_mday = day,
		.tm_hour = hour,
		.tm_min = minute,
		.tm_sec = second };
	now_s = timegm(&tm);
	r.url = slice_of(upstream.url);
	r.body = buf_slice(&upstream.request);
	sigv4_sign(&keys, &r, now_s * 1000, &again);
	signature = memmem(again.data, again.len, "Signature=", 10);
	assert_non_null(signature);
	assert_true(holds(&upstream.headers, signature)); /* up to its NUL */
	assert_false(holds(&upstream.headers, "secretfortests"));
	buf_fini(&again);
	buf_fini(&seen);
}

static void a_dialect_that_cannot_be_signed_is_told_so(void **state)
{
	const struct sigv4_keys keys = { "AKIDTEST", "secretfortests", "", "us-east-1" };
	struct target t = target_of("m");
	struct buf seen = { 0 };
	struct err e;

	(void)state;
	t.provider = &provider_openai;
	t.sigv4 = &keys;
	assert_int_equal(call(&t, false, &seen, &e), ERR_CONF);
	assert_int_equal(upstream.asked, 0);
	buf_fini(&seen);
}

/* ---- tokens ---- */

static void a_service_account_is_sent_as_the_token_it_is_given(void **state)
{
	char path[] = "/tmp/tollgate-bedrock-XXXXXX";
	struct target t = target_of("m");
	struct buf seen = { 0 }, text = { 0 };
	struct rsa_key key;
	struct err e;
	int fd = mkstemp(path);

	(void)state;
	assert_true(fd >= 0);
	rsa_key_of(&key, EVP_RSA_gen(2048), NULL);
	buf_str(&text, "{\"type\":\"service_account\",\"client_email\":\"a@b\",\"token_uri\":"
		       "\"https://h.example/token\",\"private_key\":");
	buf_json_cstr(&text, key.pem);
	buf_char(&text, '}');
	assert_int_equal(write(fd, text.data, text.len), text.len);
	close(fd);
	t.provider = &provider_openai;
	t.account_file = path;
	t.api_key = "";
	answer(200, "application/json",
		SLICE("{\"id\":\"a\",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\","
		      "\"content\":\"Yes.\"},\"finish_reason\":\"stop\"}]}"));
	for (int i = 0; i < 2; i++) {
		assert_int_equal(call(&t, false, &seen, &e), ERR_OK);
		assert_string_equal(sent("Authorization: "), "Bearer ya29.tok");
	}
	assert_int_equal(upstream.tokens, 1);
	/* the token is masked like a key where a provider quotes it */
	answer(400, "application/json", SLICE("{\"error\":{\"message\":\"bad ya29.tok here\"}}"));
	assert_int_equal(call(&t, false, &seen, &e), ERR_UPSTREAM_STATUS);
	assert_null(strstr(e.message, "ya29.tok"));
	unlink(path);
	t.account_file = "/nonexistent/account.json";
	assert_int_equal(call(&t, false, &seen, &e), ERR_CONF);
	assert_string_equal(e.provider, "bedrock");
	assert_string_equal(e.param, VERTEX_VARIABLE);
	rsa_key_fini(&key);
	buf_fini(&text);
	buf_fini(&seen);
}

/* ---- answers ---- */

static void the_kind_of_a_refusal_stands_in_a_header(void **state)
{
	static const struct {
		int status;
		const char *type, *code;
		int answered, retry;
	} rows[] = {
		{ 429, "ThrottlingException:http://internal.amazon.com/coral/",
			"ThrottlingException", 429, 1 },
		{ 400, "com.amazon.coral#ValidationException", "ValidationException", 400, -1 },
		{ 400, "ServiceQuotaExceededException", "ServiceQuotaExceededException", 400, -1 },
		{ 424, "ModelErrorException", "ModelErrorException", 424, 1 },
		{ 403, "InvalidSignatureException", "InvalidSignatureException", 403, -1 },
		{ 500, "InternalServerException", "InternalServerException", 502, 1 },
	};
	struct target t = target_of(MODEL);
	struct buf seen = { 0 };
	struct err e;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		print_message("%s\n", rows[i].type);
		answer(rows[i].status, "application/json", SLICE("{\"message\":\"words\"}"));
		upstream.error_type = rows[i].type;
		assert_int_equal(call(&t, true, &seen, &e), ERR_UPSTREAM_STATUS);
		assert_string_equal(e.provider_code, rows[i].code);
		assert_int_equal(err_status(&e), rows[i].answered);
		assert_int_equal(e.upstream_status, rows[i].status);
		assert_int_equal(err_may_retry(&e), rows[i].retry > 0);
		assert_string_equal(e.provider, "bedrock");
		assert_int_equal(seen.len, 0);
	}
	buf_fini(&seen);
}

/* Amazon explains a wrong signature with all that was signed. */
static void what_was_signed_is_not_told_to_the_client(void **state)
{
	struct target t = target_of(MODEL);
	struct buf seen = { 0 };
	struct err e;

	(void)state;
	answer(403, "application/json",
		SLICE("{\"message\":\"The Canonical String should have been 'x-amz-security-token:"
		      "FwoSESSION'\"}"));
	upstream.error_type = "InvalidSignatureException";
	assert_int_equal(call(&t, true, &seen, &e), ERR_UPSTREAM_STATUS);
	assert_null(strstr(e.message, "FwoSESSION"));
	assert_non_null(strstr(e.message, "AWS_"));
	buf_fini(&seen);
}

static void a_call_without_an_id_gets_one(void **state)
{
	struct target t = target_of(MODEL);
	struct buf frames = { 0 }, seen = { 0 };
	struct err e;

	(void)state;
	frame_put_lines(&frames,
		SLICE("contentBlockStart {\"contentBlockIndex\":0,\"start\":{\"toolUse\":{\"name\":"
		      "\"f\"}}}\nmessageStop {\"stopReason\":\"tool_use\"}\n"));
	answer(200, "application/vnd.amazon.eventstream", buf_slice(&frames));
	assert_int_equal(call(&t, true, &seen, &e), ERR_OK);
	assert_true(holds(&seen, "\"id\":\"call_"));
	assert_true(slice_ends(buf_slice(&seen), "data: [DONE]\n\n"));
	buf_fini(&frames);
	buf_fini(&seen);
}

static void a_frame_that_is_wrong_ends_the_stream_with_an_error(void **state)
{
	struct target t = target_of(MODEL);
	struct buf frames = { 0 }, seen = { 0 };
	size_t good;
	struct err e;

	(void)state;
	frame_put_lines(&frames, SLICE("contentBlockDelta "
				       "{\"contentBlockIndex\":0,\"delta\":{\"text\":\"Hel\"}}\n"));
	good = frames.len;
	frame_put_lines(&frames, SLICE("messageStop {\"stopReason\":\"end_turn\"}\n"));
	frames.data[good + 60] ^= 1;
	answer(200, "application/vnd.amazon.eventstream", buf_slice(&frames));
	assert_int_equal(call(&t, true, &seen, &e), ERR_UPSTREAM_INVALID);
	assert_true(holds(&seen, "\"content\":\"Hel\""));
	assert_true(holds(&seen, "\"finish_reason\":\"error\""));
	assert_false(holds(&seen, "[DONE]"));
	/* cut within the stop: as if it had not come */
	frames.data[good + 60] ^= 1;
	answer(200, "application/vnd.amazon.eventstream",
		slice_first(buf_slice(&frames), frames.len - 1));
	assert_int_equal(call(&t, true, &seen, &e), ERR_UPSTREAM_CLOSED);
	assert_false(holds(&seen, "[DONE]"));
	buf_fini(&frames);
	buf_fini(&seen);
}

static void a_frame_above_the_limit_names_its_setting(void **state)
{
	struct target t = target_of(MODEL);
	struct buf frames = { 0 }, seen = { 0 }, payload = { 0 };
	struct err e;

	(void)state;
	for (int i = 0; i < 5000; i++)
		buf_char(&payload, ' ');
	frame_put_event(&frames, SLICE("contentBlockDelta"), buf_slice(&payload));
	answer(200, "application/vnd.amazon.eventstream", buf_slice(&frames));
	assert_int_equal(call(&t, true, &seen, &e), ERR_UPSTREAM_TOO_LARGE);
	assert_non_null(strstr(e.message, "GATEWAY_MAX_EVENT, 4096 bytes"));
	buf_fini(&frames);
	buf_fini(&seen);
	buf_fini(&payload);
}

static void images_in_s3_need_no_fetching(void **state)
{
	(void)state;
	assert_true(provider_bedrock.takes_url(SLICE("s3://bucket/a.png")));
	assert_false(provider_bedrock.takes_url(SLICE("https://h.example/a.png")));
	assert_false(provider_bedrock.can & CAN_IMAGE_URLS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(the_model_is_one_segment_of_the_path, forget),
		cmocka_unit_test_teardown(a_name_of_dots_leads_nowhere, forget),
		cmocka_unit_test_teardown(a_key_is_sent_as_bearer, forget),
		cmocka_unit_test_teardown(access_keys_sign_what_is_sent, forget),
		cmocka_unit_test_teardown(a_dialect_that_cannot_be_signed_is_told_so, forget),
		cmocka_unit_test_teardown(
			a_service_account_is_sent_as_the_token_it_is_given, forget),
		cmocka_unit_test_teardown(the_kind_of_a_refusal_stands_in_a_header, forget),
		cmocka_unit_test_teardown(what_was_signed_is_not_told_to_the_client, forget),
		cmocka_unit_test_teardown(a_call_without_an_id_gets_one, forget),
		cmocka_unit_test_teardown(
			a_frame_that_is_wrong_ends_the_stream_with_an_error, forget),
		cmocka_unit_test_teardown(a_frame_above_the_limit_names_its_setting, forget),
		cmocka_unit_test(images_in_s3_need_no_fetching),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
