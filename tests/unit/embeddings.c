/* Embeddings: what is read of a request, what each shape of provider is sent, and that a client
 * gets one vector for each input, in its order and form. */
#include "gateway/embeddings.h"
#include "gateway/providers/embed.h"
#include "gateway/providers/openai_like.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#define ASK(x) "{\"model\":\"m/x\"," x "}"

static const struct json_limits limits = { .max_depth = 64, .max_keys = 10000 };
static struct chat_req req;
static struct err err;
static struct target target = { .provider = &provider_embed,
	.slug = "lab",
	.base_url = "http://lab/a/v1",
	.auth = "x-goog-api-key",
	.api_key = "k",
	.public_id = "m/x",
	.native_id = "x" };

static void inputs_are_counted(void **state)
{
	static const struct {
		const char *body;
		int64_t n; /* 0: refused */
	} cases[] = {
		{ ASK("\"input\":\"a\""), 1 },
		{ ASK("\"input\":[\"a\",\"b\"]"), 2 },
		{ ASK("\"input\":[1,2,3]"), 1 },
		{ ASK("\"input\":[[1],[2,3]]"), 2 },
		{ ASK("\"input\":\"\""), 0 },
		{ ASK("\"input\":[]"), 0 },
		{ ASK("\"input\":[[]]"), 0 },
		{ ASK("\"input\":[\"a\",\"\"]"), 0 },
		{ ASK("\"input\":[\"a\",1]"), 0 },
		{ ASK("\"input\":[1,-2]"), 0 },
		{ ASK("\"input\":[1.5]"), 0 },
		{ ASK("\"input\":null"), 0 },
		{ ASK("\"x\":1"), 0 },
		{ ASK("\"input\":\"a\",\"dimensions\":0"), 0 },
		{ ASK("\"input\":\"a\",\"encoding_format\":\"hex\""), 0 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		print_message("%s\n", cases[i].body);
		assert_int_equal(embeddings_parse(slice_of(cases[i].body), &limits, &req, &err),
			cases[i].n ? ERR_OK : ERR_BAD_REQUEST);
		if (cases[i].n)
			assert_int_equal(req.n, cases[i].n);
	}
}

static void each_shape_gets_its_own_request(void **state)
{
	static const char body[] = ASK("\"input\":[\"a\",\"b\"],\"input_type\":\"search_query\","
				       "\"user\":\"u\",\"encoding_format\":\"base64\"");
	static const struct {
		const char *path, *slug, *url, *sent;
	} cases[] = {
		{ "/embeddings", "openai", "http://lab/a/v1/embeddings",
			"{\"model\":\"x\",\"input\":[\"a\",\"b\"],\"input_type\":\"search_query\","
			"\"encoding_format\":\"base64\"}" },
		{ "/embeddings", "mistral", "http://lab/a/v1/embeddings",
			"{\"model\":\"x\",\"input\":[\"a\",\"b\"],\"input_type\":"
			"\"search_query\"}" },
		{ "/models/{id}:batchEmbedContents", "lab",
			"http://lab/a/v1/models/x:batchEmbedContents",
			"{\"requests\":[{\"model\":\"models/x\",\"content\":{\"parts\":[{\"text\":"
			"\"a\"}]},\"taskType\":\"RETRIEVAL_QUERY\"},{\"model\":\"models/x\","
			"\"content\":{\"parts\":[{\"text\":\"b\"}]},\"taskType\":"
			"\"RETRIEVAL_QUERY\"}]}" },
		{ "../../v2/embed", "lab", "http://lab/v2/embed",
			"{\"model\":\"x\",\"texts\":[\"a\",\"b\"],\"input_type\":\"search_query\","
			"\"embedding_types\":[\"float\"]}" },
		{ "../hf/{id}/pipeline/feature-extraction", "lab",
			"http://lab/a/hf/x/pipeline/feature-extraction",
			"{\"inputs\":[\"a\",\"b\"]}" },
	};

	(void)state;
	assert_int_equal(embeddings_parse(slice_of(body), &limits, &req, &err), ERR_OK);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct http_req out = { .url = "" };

		print_message("%s %s\n", cases[i].slug, cases[i].path);
		target.chat_path = cases[i].path;
		target.quirks = quirks_of(cases[i].slug);
		assert_int_equal(provider_embed.encode(&req, &target, &out, &err), ERR_OK);
		assert_string_equal(out.url, cases[i].url);
		assert_string_equal(buf_cstr(&out.body), cases[i].sent);
		assert_non_null(memmem(out.headers.data, out.headers.len, "x-goog-api-key: k", 18));
		http_req_fini(&out);
	}
}

static void dimensions_go_by_the_providers_name(void **state)
{
	struct http_req out = { .url = "" };

	(void)state;
	target.chat_path = "/embeddings";
	target.quirks = quirks_of("mistral");
	assert_int_equal(embeddings_parse(SLICE(ASK("\"input\":\"a\",\"dimensions\":64")), &limits,
				 &req, &err),
		ERR_OK);
	assert_int_equal(provider_embed.encode(&req, &target, &out, &err), ERR_OK);
	assert_string_equal(
		buf_cstr(&out.body), "{\"model\":\"x\",\"input\":\"a\",\"output_dimension\":64}");
	http_req_fini(&out);
	target.chat_path = "../feature-extraction";
	assert_int_equal(provider_embed.encode(&req, &target, &out, &err), ERR_UNSUPPORTED);
	assert_string_equal(err.param, "dimensions");
	http_req_fini(&out);
}

static enum err_code answer(const char *body, const char *text, struct answer *a)
{
	struct dialect d;
	enum err_code rc;

	assert_int_equal(embeddings_parse(slice_of(body), &limits, &req, &err), ERR_OK);
	target.quirks = quirks_of("lab");
	dialect_init(&d, &target, &req);
	*a = (struct answer){ .text_bytes = 0 };
	rc = provider_embed.decode(&d, SLICE("application/json"), slice_of(text), 0, a, &err);
	dialect_fini(&d);
	return rc;
}

#define LIST(first, second) \
	"{\"object\":\"list\",\"data\":[{\"object\":\"embedding\",\"index\":0," \
	"\"embedding\":" first "},{\"object\":\"embedding\",\"index\":1,\"embedding\":" second \
	"}],\"model\":\"m/x\"}"
#define TWO ASK("\"input\":[\"a\",\"b\"]")

static void any_shape_becomes_one_list_in_order(void **state)
{
	static const struct {
		const char *text;
		int64_t tokens;
	} cases[] = {
		{ "{\"data\":[{\"index\":1,\"embedding\":[3,4]},{\"index\":0,\"embedding\":[1,2]}],"
		  "\"usage\":{\"prompt_tokens\":5,\"total_tokens\":5}}",
			5 },
		{ "{\"data\":[{\"embedding\":[1,2]},{\"embedding\":[3,4]}]}", 0 },
		{ "{\"embeddings\":[{\"values\":[1,2]},{\"values\":[3,4]}],\"usageMetadata\":{"
		  "\"promptTokenCount\":6}}",
			6 },
		{ "{\"embeddings\":[[1,2],[3,4]],\"prompt_eval_count\":7}", 7 },
		{ "{\"embeddings\":{\"float\":[[1,2],[3,4]]},\"meta\":{\"billed_units\":{"
		  "\"input_tokens\":8}}}",
			8 },
		{ "[[1,2],[3,4]]", 0 },
		{ "{\"data\":[{\"embedding\":\"AACAPwAAAEA=\"},{\"embedding\":[3,4]}]}", 0 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct answer a;

		print_message("%s\n", cases[i].text);
		assert_int_equal(answer(TWO, cases[i].text, &a), ERR_OK);
		assert_string_equal(buf_cstr(&a.json), LIST("[1,2]", "[3,4]"));
		assert_int_equal(a.usage.prompt_tokens, cases[i].tokens);
		answer_fini(&a);
	}
}

static void numbers_become_bytes(void **state)
{
	struct answer a;

	(void)state;
	assert_int_equal(answer(ASK("\"input\":[\"a\",\"b\"],\"encoding_format\":\"base64\""),
				 "[[1,2],[-0.5,1e2]]", &a),
		ERR_OK);
	assert_string_equal(buf_cstr(&a.json), LIST("\"AACAPwAAAEA=\"", "\"AAAAvwAAyEI=\""));
	answer_fini(&a);
}

static void a_list_that_does_not_fit_the_input_is_no_answer(void **state)
{
	static const char *const bad[] = {
		"not json",
		"{}",
		"[[1,2]]",
		"[[1,2],[3,4],[5,6]]",
		"[[[1,2]],[[3,4]]]",
		"[[1,2],[]]",
		"[[1,2],null]",
		"{\"data\":[{\"index\":0,\"embedding\":[1]},{\"index\":0,\"embedding\":[2]}]}",
		"{\"data\":[{\"index\":0,\"embedding\":[1]},{\"index\":2,\"embedding\":[2]}]}",
		"{\"data\":[{\"index\":-1,\"embedding\":[1]},{\"index\":1,\"embedding\":[2]}]}",
		"{\"data\":[{\"embedding\":\"AAA\"},{\"embedding\":[2]}]}",
		"{\"data\":[{\"embedding\":\"AACAfw==\"},{\"embedding\":[2]}]}", /* infinite */
		"{\"error\":{\"message\":\"no\"}}",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct answer a;

		print_message("%s\n", bad[i]);
		assert_int_not_equal(answer(TWO, bad[i], &a), ERR_OK);
		answer_fini(&a);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(inputs_are_counted),
		cmocka_unit_test(each_shape_gets_its_own_request),
		cmocka_unit_test(dimensions_go_by_the_providers_name),
		cmocka_unit_test(any_shape_becomes_one_list_in_order),
		cmocka_unit_test(numbers_become_bytes),
		cmocka_unit_test(a_list_that_does_not_fit_the_input_is_no_answer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
