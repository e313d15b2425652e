/* What goes to a provider and what a client sees, proven by files (STYLE: a model test):
 *
 *     tests/fixtures/chat/NAME.json                 what a client sends
 *     tests/fixtures/DIALECT/NAME.chat.json         the same, of interest to one dialect only
 *     tests/fixtures/DIALECT/NAME.SLUG.request.json the body that must go to provider SLUG
 *     tests/fixtures/DIALECT/NAME.SLUG.request.txt  the error in its place
 *     tests/fixtures/DIALECT/NAME.stream.sse        what came back
 *     tests/fixtures/DIALECT/NAME.stream.frames     the same in binary frames, of which each line
 *                                                   is one: "event {json}" or "!exception {json}"
 *     tests/fixtures/DIALECT/NAME.stream.chat.sse   what the client must then see
 *     tests/fixtures/DIALECT/NAME.stream.usage.sse  the same when it asked for usage
 *     tests/fixtures/DIALECT/NAME.answer.json       a whole answer, or what came in its place
 *     tests/fixtures/DIALECT/NAME.answer.chat.json  what the client must see of it
 *     tests/fixtures/DIALECT/NAME.answer.chat.sse   … when it had asked for a stream
 *     tests/fixtures/DIALECT/NAME.STATUS.error.*    a refusal with that status
 *     tests/fixtures/DIALECT/NAME.STATUS.error.txt  the error the client must get
 *
 * What came back came from the provider "lab", unless its slug stands behind NAME:
 * NAME.SLUG.stream.sse, NAME.SLUG.answer.json, NAME.SLUG.STATUS.error.*.
 * NAME's request is that of its .chat.json or of chat/, else chat/text.json. The model goes out
 * without its author's prefix, since what is sent depends on it.
 * With GOLDEN_ACCEPT=1 the expectations that exist (empty ones too) are written anew: make
 * fixtures-accept, and read the diff.
 *
 * The real relay runs; the pump's place is taken by a feeder that cuts what came back.
 */
#include "base/clock.h"
#include "gateway/chat.h"
#include "gateway/providers/openai_like.h"
#include "gateway/relay.h"
#include "tests/unit/frame_writer.h"

#include <glob.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>
#include "tests/unit/played_pump.h"
#include "tests/unit/relay_alone.h"

#define FIXTURES "tests/fixtures/"

/* The dialect whose fixtures are tried. */
static const struct provider *dialect;

static const struct json_limits limits = { .max_depth = 64, .max_keys = 1000 };

/* ---- the feeder ---- */

static struct {
	struct slice text;
	size_t first, step; /* bytes of the first piece, of the others */
	int status;
	const char *content_type;
} feed;

enum err_code pump_run(struct pump *p, struct job *j, struct err *e)
{
	struct slice rest = feed.text;
	size_t n = feed.first;
	enum job_next next;

	(void)p;
	j->status = feed.status;
	j->retry_after_ms = -1;
	snprintf(j->content_type, sizeof(j->content_type), "%s", feed.content_type);
	next = j->ops->on_head(j, &j->err);
	while (next == JOB_MORE && rest.len) {
		struct slice piece = slice_first(rest, n);
		char *copy = malloc(piece.len + 1); /* so that reading beyond it is seen */

		assert_non_null(copy);
		memcpy(copy, piece.ptr, piece.len);
		rest = slice_from(rest, piece.len);
		next = piece.len ? j->ops->on_bytes(j, (struct slice){ copy, piece.len }, &j->err)
				 : JOB_MORE;
		free(copy);
		n = feed.step;
	}
	if (next == JOB_MORE)
		next = j->ops->on_end(j, false, &j->err);
	if (next != JOB_FAIL)
		return ERR_OK;
	*e = j->err;
	return j->err.code;
}

/* ---- the client ---- */

struct client {
	struct sink sink;
	struct buf seen;
	bool begun;
};

static enum sink_state client_begin(struct sink *s, const struct sink_head *head)
{
	assert_int_equal(head->status, 200);
	((struct client *)s)->begun = true;
	return SINK_OK;
}

static enum sink_state client_write(struct sink *s, struct slice bytes)
{
	struct client *c = (struct client *)s;

	assert_true(c->begun);
	/* Only whole events go out, so that a comment never lands inside one. */
	assert_true(slice_ends(bytes, "\n\n"));
	buf_slice_append(&c->seen, bytes);
	return SINK_OK;
}

static bool client_has_begun(const struct sink *s)
{
	return ((const struct client *)s)->begun;
}

static const struct sink_ops client_ops = {
	.begin = client_begin, .write = client_write, .has_begun = client_has_begun
};

/* ---- files ---- */

static struct buf read_file(const char *path)
{
	struct buf b = { 0 };
	FILE *f = fopen(path, "rb");
	char bytes[4096];
	size_t n;

	if (!f)
		fail_msg("cannot read %s", path);
	while ((n = fread(bytes, 1, sizeof(bytes), f)))
		buf_append(&b, bytes, n);
	fclose(f);
	return b;
}

static void expect(const char *path, struct slice got)
{
	struct buf want;

	if (access(path, F_OK))
		return; /* not every variant of every fixture is of interest */
	if (getenv("GOLDEN_ACCEPT")) {
		FILE *f = fopen(path, "wb");

		assert_non_null(f);
		assert_int_equal(fwrite(got.ptr, 1, got.len, f), got.len);
		fclose(f);
		return;
	}
	want = read_file(path);
	if (!slice_eq(buf_slice(&want), got))
		fail_msg("%s: expected\n%.*s\n--- but got\n%.*s", path, SLICE_ARG(buf_slice(&want)),
			SLICE_ARG(got));
	buf_fini(&want);
}

/* "…/name.rest" → "name" */
static void name_of(const char *path, char *name, size_t size)
{
	const char *base = strrchr(path, '/') + 1;

	snprintf(name, size, "%.*s", (int)strcspn(base, "."), base);
}

/* "…/name.slug.rest" → "slug"; "lab" where none stands there. */
static void slug_of(const char *path, char *slug, size_t size)
{
	const char *rest = strrchr(path, '/') + 1;
	int n;

	rest += strcspn(rest, ".") + 1;
	n = (int)strcspn(rest, ".");
	if (slice_starts(slice_of(rest), "stream.") || slice_starts(slice_of(rest), "answer.") ||
		(*rest >= '4' && *rest <= '5'))
		snprintf(slug, size, "lab");
	else
		snprintf(slug, size, "%.*s", n, rest);
}

/* The path of an expectation: that of the input with its end replaced. */
static void beside(const char *path, const char *end, const char *with, char *out, size_t size)
{
	snprintf(out, size, "%.*s%s", (int)(strlen(path) - strlen(end)), path, with);
}

/* ---- one exchange ---- */

static struct buf request_of(const char *name)
{
	char path[256];

	snprintf(path, sizeof(path), FIXTURES "%s/%s.chat.json", dialect->name, name);
	if (access(path, F_OK))
		snprintf(path, sizeof(path), FIXTURES "chat/%s.json", name);
	if (access(path, F_OK))
		snprintf(path, sizeof(path), FIXTURES "chat/text.json");
	return read_file(path);
}

static struct target target_of(const char *slug, const struct chat_req *req)
{
	const char *rest = strchr(req->model, '/');
	bool same = dialect == &provider_openai;

	return (struct target){
		.provider = dialect,
		.quirks = quirks_of(slug),
		.slug = slug,
		.base_url = "http://127.0.0.1:1/v1",
		.chat_path = "/chat/completions",
		.auth = "bearer",
		.api_key = "0123456789-operators-own",
		.public_id = same ? "lab/model-1" : req->model,
		.native_id = rest ? rest + 1 : req->model,
	};
}

/* Answers whose provider does not say when they were made have the time of this run, and an id made
 * of it, which have to be the same in every run. */
static void fix_time(
	struct buf *seen, int64_t begun_s, const char *mark, int base, const char *fixed)
{
	char *at = buf_cstr(seen), *end = seen->data + seen->len, *stop;

	for (; at && (at = memmem(at, (size_t)(end - at), mark, strlen(mark)));) {
		long long then = strtoll(at += strlen(mark), &stop, base);

		if (then >= begun_s && then <= clock_wall_ms() / 1000 &&
			stop - at == (ptrdiff_t)strlen(fixed))
			memcpy(at, fixed, strlen(fixed));
	}
}

/* Who answers. */
static char answering[SLUG_MAX];

/* What the client sees: the stream, the answer, or the error with its status. */
static void run(const char *name, bool stream, bool include_usage, struct buf *seen)
{
	const struct relay_conf conf = { .connect_ms = 1,
		.first_byte_ms = 1,
		.idle_ms = 1,
		.client_stall_ms = 1,
		.deadline_ms = 1,
		.max_event_bytes = 1 << 20,
		.max_answer_bytes = 1 << 20 };
	const struct sink_head head = { .status = 200, .length = -1, .streaming = true };
	struct client client = { .sink = { &client_ops } };
	struct buf body = request_of(name);
	struct target t;
	const struct cost_facts unpriced = { .table = NULL };
	struct relay_result res;
	struct chat_req req;
	struct relay_client to = { .sink = &client.sink };
	const struct relay_call call = {
		.target = &t, .req = &req, .client = &to, .head = &head, .prices = &unpriced
	};
	struct err e = { 0 };
	int64_t begun_s = clock_wall_ms() / 1000;
	enum err_code rc;

	assert_int_equal(chat_parse(buf_slice(&body), &limits, &req, &e), ERR_OK);
	t = target_of(answering, &req);
	req.stream = stream;
	req.include_usage = include_usage;
	rc = relay_chat(NULL, &conf, &call, "req_1", &res, &e);
	buf_slice_append(&client.seen, buf_slice(&res.ending));
	if (!rc && !stream) {
		buf_slice_append(seen, buf_slice(&res.answer.json));
		buf_char(seen, '\n');
	}
	buf_slice_append(seen, buf_slice(&client.seen));
	/* A failure is told either by status or, behind the beginning, by an event without [DONE].
	 */
	assert_int_equal(rc && !client.begun, rc && !res.spoke);
	if (stream)
		assert_int_equal(!rc, slice_ends(buf_slice(&client.seen), "data: [DONE]\n\n"));
	if (rc && !res.spoke) {
		buf_printf(seen, "HTTP %d, retry %s\n", err_status(&e),
			err_may_retry(&e) ? "may help" : "will not help");
		err_write_json(&e, NULL, seen);
		buf_char(seen, '\n');
	}
	fix_time(seen, begun_s, "\"created\":", 10, "1767225600");
	fix_time(seen, begun_s, "\"chatcmpl-", 16, "6955b900");
	/* Nothing of the operator's leaves. */
	assert_null(memmem(buf_slice(seen).ptr, seen->len, t.api_key, strlen(t.api_key)));
	relay_result_fini(&res);
	buf_fini(&client.seen);
	buf_fini(&body);
}

static void run_cut(const char *name, size_t first, size_t step, bool stream, bool include_usage,
	struct buf *seen)
{
	feed.first = first;
	feed.step = step;
	buf_reset(seen);
	run(name, stream, include_usage, seen);
}

/* The stream of a file, as it comes over the wire. */
static struct buf read_stream(const char *path)
{
	struct buf text = read_file(path), frames = { 0 };

	feed.status = 200;
	feed.content_type = "text/event-stream";
	if (!slice_ends(slice_of(path), ".frames"))
		return text;
	feed.content_type = "application/vnd.amazon.eventstream";
	frame_put_lines(&frames, buf_slice(&text));
	buf_fini(&text);
	return frames;
}

static void stream_of(const char *path, bool include_usage)
{
	struct buf text = read_stream(path), whole = { 0 }, again = { 0 };
	char name[64], expected[256];

	name_of(path, name, sizeof(name));
	slug_of(path, answering, sizeof(answering));
	beside(path, strrchr(path, '.'), include_usage ? ".usage.sse" : ".chat.sse", expected,
		sizeof(expected));
	feed.text = buf_slice(&text);
	run_cut(name, text.len, text.len, true, include_usage, &whole);
	expect(expected, buf_slice(&whole));
	/* Position 0 stands for byte by byte. */
	for (size_t cut = 0; cut < text.len; cut++) {
		run_cut(name, cut ? cut : 1, cut ? text.len : 1, true, include_usage, &again);
		if (!slice_eq(buf_slice(&whole), buf_slice(&again)))
			fail_msg("%s cut at %zu: the client sees\n%.*s", path, cut,
				SLICE_ARG(buf_slice(&again)));
	}
	buf_fini(&text);
	buf_fini(&whole);
	buf_fini(&again);
}

/* ---- the tests ---- */

static void for_each(const char *pattern, void (*one)(const char *path))
{
	static const char *const dialects[] = { "openai", "anthropic", "gemini", "bedrock" };
	char in_dialect[128];
	glob_t found;

	for (size_t d = 0; d < sizeof(dialects) / sizeof(dialects[0]); d++) {
		size_t n = 0;

		dialect = provider_named(dialects[d]);
		if (!dialect)
			continue;
		snprintf(in_dialect, sizeof(in_dialect), FIXTURES "%s/%s", dialects[d], pattern);
		assert_int_equal(glob(in_dialect, 0, NULL, &found), 0);
		for (size_t i = 0; i < found.gl_pathc; i++) {
			const char *path = found.gl_pathv[i];

			if (slice_ends(slice_of(path), ".error.txt") ||
				(strstr(path, ".chat.") && !strstr(path, ".request.")) ||
				strstr(path, ".usage."))
				continue;
			one(path);
			n++;
		}
		assert_true(n > 0);
		globfree(&found);
	}
}

static void one_request(const char *path)
{
	char name[64], slug[SLUG_MAX];
	struct buf body;
	struct target t;
	struct chat_req req;
	struct http_req http = { .url = "" };
	struct err e = { 0 };

	name_of(path, name, sizeof(name));
	slug_of(path, slug, sizeof(slug));
	body = request_of(name);
	assert_int_equal(chat_parse(buf_slice(&body), &limits, &req, &e), ERR_OK);
	t = target_of(slug, &req);
	if (slice_ends(slice_of(path), ".txt")) {
		struct buf told = { 0 };

		assert_int_not_equal(dialect->encode(&req, &t, &http, &e), ERR_OK);
		buf_printf(&told, "HTTP %d\n", err_status(&e));
		err_write_json(&e, NULL, &told);
		buf_char(&told, '\n');
		expect(path, buf_slice(&told));
		buf_fini(&told);
	} else {
		if (dialect->encode(&req, &t, &http, &e))
			fail_msg("%s: %s", path, e.message);
		assert_int_equal(json_validate(buf_slice(&http.body), &limits, NULL, &e), ERR_OK);
		buf_char(&http.body, '\n');
		expect(path, buf_slice(&http.body));
	}
	http_req_fini(&http);
	buf_fini(&body);
}

static void one_stream(const char *path)
{
	stream_of(path, false);
	stream_of(path, true);
}

static void one_answer(const char *path)
{
	struct buf text = read_file(path), seen = { 0 };
	char name[64], expected[256];

	name_of(path, name, sizeof(name));
	slug_of(path, answering, sizeof(answering));
	feed.text = buf_slice(&text);
	feed.status = 200;
	feed.content_type = "application/json";
	for (int stream = 0; stream < 2; stream++) {
		beside(path, ".json", stream ? ".chat.sse" : ".chat.json", expected,
			sizeof(expected));
		run_cut(name, 7, 11, stream, false, &seen);
		expect(expected, buf_slice(&seen));
	}
	buf_fini(&text);
	buf_fini(&seen);
}

static void one_refusal(const char *path)
{
	struct buf text = read_file(path), seen = { 0 };
	const char *at = strstr(path, ".error.");
	char expected[256];
	int64_t status;

	assert_non_null(at);
	slug_of(path, answering, sizeof(answering));
	assert_true(str_int((struct slice){ at - 3, 3 }, 400, 599, &status));
	beside(path, at, ".error.txt", expected, sizeof(expected));
	feed.text = buf_slice(&text);
	feed.status = (int)status;
	feed.content_type = "application/json";
	run_cut("text", 5, 7, true, false, &seen);
	expect(expected, buf_slice(&seen));
	buf_fini(&text);
	buf_fini(&seen);
}

static void a_provider_gets_only_what_it_understands(void **state)
{
	(void)state;
	for_each("*.request.*", one_request);
}

static void a_stream_reads_the_same_wherever_it_is_cut(void **state)
{
	(void)state;
	for_each("*.stream.*", one_stream);
}

static void an_answer_is_passed_on_and_a_failure_under_200_is_found(void **state)
{
	(void)state;
	for_each("*.answer.json", one_answer);
}

static void a_refusal_becomes_one_error_in_plain_words(void **state)
{
	(void)state;
	for_each("*.error.*", one_refusal);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_provider_gets_only_what_it_understands),
		cmocka_unit_test(a_stream_reads_the_same_wherever_it_is_cut),
		cmocka_unit_test(an_answer_is_passed_on_and_a_failure_under_200_is_found),
		cmocka_unit_test(a_refusal_becomes_one_error_in_plain_words),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
