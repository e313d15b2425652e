/* Completions of a text: what is read of a request, what a provider is sent, what a client sees. */
#include "gateway/fim.h"
#include "gateway/providers/openai_like.h"
#include "gateway/providers/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#define NOW    1767225600
#define FIM(x) "{\"model\":\"m/x\",\"prompt\":\"a\"" x "}"

static const struct json_limits limits = { .max_depth = 64, .max_keys = 1000 };
static struct chat_req req;
static struct err err;
static struct target target = { .slug = "lab",
	.base_url = "http://lab/v1",
	.auth = "bearer",
	.api_key = "k",
	.public_id = "m/x",
	.native_id = "x" };

static void what_is_wrong_between_texts_is_named(void **state)
{
	static const struct {
		const char *body, *param;
	} cases[] = {
		{ "{\"model\":\"m/x\"}", "prompt" },
		{ "{\"model\":\"m/x\",\"prompt\":[\"a\"]}", "prompt" },
		{ FIM(",\"suffix\":7"), "suffix" },
		{ FIM(",\"stop\":\"x\""), "stop" },
		{ FIM(",\"stop\":[7]"), "stop" },
		{ FIM(",\"stream\":1"), "stream" },
		{ FIM(",\"min_tokens\":-1"), "min_tokens" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		print_message("%s\n", cases[i].body);
		assert_int_equal(
			fim_parse(slice_of(cases[i].body), &limits, &req, &err), ERR_BAD_REQUEST);
		assert_string_equal(err.param, cases[i].param);
	}
	assert_int_equal(
		fim_parse(SLICE("{\"prompt\":\"a\"}"), &limits, &req, &err), ERR_MODEL_NOT_FOUND);
	assert_int_equal(fim_parse(SLICE(""), &limits, &req, &err), ERR_BAD_REQUEST);
}

static void a_limit_between_texts_is_at_most_a_thousand(void **state)
{
	static const struct {
		const char *body;
		enum err_code rc;
		int64_t tokens;
	} cases[] = { { FIM(""), ERR_OK, 1000 }, { FIM(",\"max_tokens\":null"), ERR_OK, 1000 },
		{ FIM(",\"max_tokens\":1000"), ERR_OK, 1000 },
		{ FIM(",\"max_tokens\":1"), ERR_OK, 1 },
		{ FIM(",\"max_tokens\":1001"), ERR_BAD_REQUEST, 0 },
		{ FIM(",\"max_tokens\":0"), ERR_BAD_REQUEST, 0 },
		{ FIM(",\"max_tokens\":1.5"), ERR_BAD_REQUEST, 0 } };
	static const struct catalog_provider lab = { .slug = "lab",
		.fim_path = "/fim/completions" },
					     other = { .slug = "other" };

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct route r = { .provider = &lab };

		print_message("%s\n", cases[i].body);
		assert_int_equal(fim_parse(slice_of(cases[i].body), &limits, &req, &err), ERR_OK);
		assert_int_equal(fim_route(&req, &r, &err), cases[i].rc);
		if (cases[i].rc) {
			assert_string_equal(err.param, "max_tokens");
			continue;
		}
		assert_int_equal(req.max_tokens, cases[i].tokens);
		assert_string_equal(r.target.chat_path, "/fim/completions");
	}
	struct route r = { .provider = &other };

	assert_int_equal(fim_route(&req, &r, &err), ERR_UNSUPPORTED);
	assert_string_equal(err.reason, "unsupported_fim_model");
}

static void prompts_are_counted(void **state)
{
	static const struct {
		const char *more;
		int64_t n; /* 0: refused */
	} cases[] = {
		{ "", 1 },
		{ ",\"prompt\":\"a\",\"n\":3", 3 },
		{ ",\"prompt\":[\"a\",\"b\"],\"n\":3", 6 },
		{ ",\"prompt\":[1,2,3]", 1 },
		{ ",\"prompt\":[[1,2],[3]]", 2 },
		{ ",\"prompt\":[\"a\",1]", 0 },
		{ ",\"prompt\":[]", 0 },
		{ ",\"prompt\":{}", 0 },
		{ ",\"prompt\":[\"a\",\"b\"],\"n\":65", 0 },
		{ ",\"prompt\":\"a\",\"n\":0", 0 },
	};
	char body[128];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		snprintf(body, sizeof(body), "{\"model\":\"m/x\"%s}", cases[i].more);
		print_message("%s\n", body);
		assert_int_equal(fim_parse_text(slice_of(body), &limits, &req, &err),
			cases[i].n ? ERR_OK : ERR_BAD_REQUEST);
		if (cases[i].n)
			assert_int_equal(req.n, cases[i].n);
	}
	assert_int_equal(
		fim_parse_text(SLICE(FIM(",\"best_of\":2")), &limits, &req, &err), ERR_UNSUPPORTED);
	assert_string_equal(err.param, "best_of");
}

/* ---- what is sent ---- */

static void check_sent(
	const char *body, const char *path, const char *slug, const char *url, const char *sent)
{
	struct http_req out = { .url = "" };

	target.chat_path = path;
	target.quirks = quirks_of(slug);
	assert_int_equal(fim_parse_text(slice_of(body), &limits, &req, &err), ERR_OK);
	assert_int_equal(provider_text.encode(&req, &target, &out, &err), ERR_OK);
	assert_string_equal(out.url, url);
	assert_string_equal(buf_cstr(&out.body), sent);
	http_req_fini(&out);
}

static void a_path_says_what_is_sent(void **state)
{
	static const char body[] =
		FIM(",\"suffix\":\"z\",\"seed\":7,\"user\":\"u\",\"stop\":[\"q\"],"
		    "\"temperature\":0.20,\"max_tokens\":5,\"min_tokens\":null");

	(void)state;
	check_sent(body, "/fim/completions", "mistral", "http://lab/v1/fim/completions",
		"{\"model\":\"x\",\"stream\":false,\"prompt\":\"a\",\"suffix\":\"z\","
		"\"random_seed\":7,\"stop\":[\"q\"],\"temperature\":0.20,\"max_tokens\":5}");
	check_sent(body, "/completions", "lab", "http://lab/v1/completions",
		"{\"model\":\"x\",\"stream\":false,\"prompt\":\"a\",\"suffix\":\"z\",\"seed\":7,"
		"\"user\":\"u\",\"stop\":[\"q\"],\"temperature\":0.20,\"max_tokens\":5,"
		"\"min_tokens\":null}");
	check_sent(FIM(",\"stream\":true"), "../beta/completions", "lab",
		"http://lab/beta/completions",
		"{\"model\":\"x\",\"stream\":true,\"stream_options\":{\"include_usage\":true},"
		"\"prompt\":\"a\"}");
	check_sent(FIM(",\"max_tokens\":5"), "/chat/completions", "lab",
		"http://lab/v1/chat/completions",
		"{\"model\":\"x\",\"stream\":false,\"messages\":[{\"role\":\"user\",\"content\":"
		"\"a\"}],\"max_tokens\":5}");
}

static void what_a_path_between_texts_cannot_is_refused(void **state)
{
	static const struct {
		const char *body, *param;
	} cases[] = {
		{ FIM(",\"n\":2"), "n" },
		{ FIM(",\"echo\":true"), "echo" },
		{ FIM(",\"logprobs\":2"), "logprobs" },
		{ "{\"model\":\"m/x\",\"prompt\":[\"a\"]}", "prompt" },
	};

	(void)state;
	target.chat_path = "/fim/completions";
	target.quirks = quirks_of("lab");
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct http_req out = { .url = "" };

		print_message("%s\n", cases[i].body);
		assert_int_equal(
			fim_parse_text(slice_of(cases[i].body), &limits, &req, &err), ERR_OK);
		assert_int_equal(provider_text.encode(&req, &target, &out, &err), ERR_UNSUPPORTED);
		assert_string_equal(err.param, cases[i].param);
		http_req_fini(&out);
	}
}

/* ---- what is seen ---- */

#define SEEN(object) \
	"{\"id\":\"c1\",\"object\":\"" object "\",\"created\":9,\"model\":\"m/x\",\"choices\":["
#define FROM(choice) "{\"id\":\"c1\",\"created\":9,\"choices\":[" choice "]}"

static void begin(struct dialect *d, const struct provider *p)
{
	target.provider = p;
	target.quirks = quirks_of("lab");
	assert_int_equal(
		fim_parse_text(SLICE(FIM(",\"stream\":true")), &limits, &req, &err), ERR_OK);
	dialect_init(d, &target, &req);
}

static void check_event(struct dialect *d, const char *data, const char *seen)
{
	const struct sse_event ev = { .data = slice_of(data) };
	struct delta delta;

	print_message("%s\n", data);
	assert_int_equal(d->target->provider->decode_event(d, &ev, NOW, &delta, &err), ERR_OK);
	assert_int_equal(delta.kind, seen ? DELTA_CHUNK : DELTA_SKIP);
	if (seen)
		assert_true(slice_is(delta.json, seen));
}

static void either_shape_of_a_stream_is_understood(void **state)
{
	static const struct {
		const struct provider *p;
		const char *text, *end;
	} cases[] = {
		{ &provider_text,
			SEEN("text_completion") "{\"index\":0,\"text\":\"hi\",\"logprobs\":null,"
						"\"finish_reason\":null}]}",
			SEEN("text_completion") "{\"index\":0,\"text\":\"\",\"logprobs\":null,"
						"\"finish_reason\":\"length\"}]}" },
		{ &provider_fim,
			SEEN("fim.completion.chunk") "{\"index\":0,\"delta\":{\"content\":\"hi\"},"
						     "\"finish_reason\":null}]}",
			SEEN("fim.completion.chunk") "{\"index\":0,\"delta\":{\"content\":\"\"},"
						     "\"finish_reason\":\"length\"}]}" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct dialect d;

		begin(&d, cases[i].p);
		check_event(&d, FROM("{\"index\":0,\"delta\":{\"role\":\"assistant\"}}"), NULL);
		check_event(
			&d, FROM("{\"index\":0,\"delta\":{\"content\":\"hi\"}}"), cases[i].text);
		check_event(&d, FROM("{\"index\":0,\"text\":\"hi\"}"), cases[i].text);
		assert_false(dialect_may_end(&d));
		check_event(&d, FROM("{\"text\":\"\",\"finish_reason\":\"model_length\"}"),
			cases[i].end);
		assert_true(dialect_may_end(&d));
		check_event(&d, FROM("{\"text\":\"\",\"finish_reason\":\"stop\"}"), NULL);
		assert_string_equal(d.finish_reason, "length");
		dialect_fini(&d);
	}
}

static void a_failure_within_a_stream_is_an_error(void **state)
{
	static const char *const bad[] = {
		"{\"error\":{\"message\":\"no\"}}",
		FROM("{\"index\":0,\"text\":\"\",\"finish_reason\":\"error\"}"),
		FROM("7"),
		FROM("{\"index\":128,\"text\":\"a\"}"),
		FROM("{\"index\":-1,\"text\":\"a\"}"),
		"{\"choices\":[{\"text\":",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		const struct sse_event ev = { .data = slice_of(bad[i]) };
		struct dialect d;
		struct delta delta;

		print_message("%s\n", bad[i]);
		begin(&d, &provider_text);
		assert_int_not_equal(
			provider_text.decode_event(&d, &ev, NOW, &delta, &err), ERR_OK);
		dialect_fini(&d);
	}
}

static void a_whole_answer_can_become_a_stream(void **state)
{
	struct answer a = { .text_bytes = 0 };
	struct buf out = { 0 };
	struct dialect d;

	(void)state;
	begin(&d, &provider_fim);
	assert_int_equal(
		provider_fim.decode(&d, SLICE("application/json"),
			SLICE(FROM(
				"{\"message\":{\"content\":\"hi\"},\"finish_reason\":\"stop\"}")),
			NOW, &a, &err),
		ERR_OK);
	assert_string_equal(buf_cstr(&a.json),
		SEEN("fim.completion") "{\"index\":0,\"text\":\"hi\",\"message\":{\"role\":"
				       "\"assistant\",\"content\":\"hi\"},\"finish_reason\":"
				       "\"stop\"}]}");
	assert_int_equal(a.text_bytes, 2);
	assert_int_equal(provider_fim.write_events(&a, &out, &err), ERR_OK);
	assert_string_equal(buf_cstr(&out),
		"data: {\"object\":\"fim.completion.chunk\",\"id\":\"c1\",\"created\":9,"
		"\"model\":\"m/x\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"hi\"},"
		"\"finish_reason\":\"stop\"}]}\n\n");
	buf_fini(&out);
	answer_fini(&a);
	dialect_fini(&d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_wrong_between_texts_is_named),
		cmocka_unit_test(a_limit_between_texts_is_at_most_a_thousand),
		cmocka_unit_test(prompts_are_counted),
		cmocka_unit_test(a_path_says_what_is_sent),
		cmocka_unit_test(what_a_path_between_texts_cannot_is_refused),
		cmocka_unit_test(either_shape_of_a_stream_is_understood),
		cmocka_unit_test(a_failure_within_a_stream_is_an_error),
		cmocka_unit_test(a_whole_answer_can_become_a_stream),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
