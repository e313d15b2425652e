#include "gateway/chat.h"
#include "gateway/providers/openai_like.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

static const struct json_limits limits = { .max_depth = 64, .max_keys = 1000 };

/* The URL, and the value of a header ("" when it is not sent). */
static void encode(
	struct target t, const char *body, const char *header, char *url, char *value, size_t size)
{
	struct http_req http = { .url = "" };
	size_t n = strlen(header), i = 0;
	struct chat_req req;
	struct err e = { 0 };

	t.provider = &provider_openai;
	t.quirks = quirks_of(t.slug);
	t.public_id = "a/b";
	assert_int_equal(chat_parse(slice_of(body), &limits, &req, &e), ERR_OK);
	assert_int_equal(provider_openai.encode(&req, &t, &http, &e), ERR_OK);
	str_copy_cut(url, size, http.url);
	value[0] = '\0';
	for (; i < http.headers.len; i += strlen(http.headers.data + i) + 1)
		if (strncmp(http.headers.data + i, header, n) == 0 &&
			http.headers.data[i + n] == ':')
			snprintf(value, size, "%s", http.headers.data + i + n + 2);
	http_req_fini(&http);
}

static void a_deployment_stands_in_the_path_and_the_key_in_its_own_header(void **state)
{
	const struct target azure = { .slug = "azure-deployments",
		.base_url = "https://lab.openai.azure.com/openai",
		.chat_path = "/deployments/{id}/chat/completions?api-version=2024-10-21",
		.auth = "api-key",
		.api_key = "k1",
		.native_id = "my gpt/4" };
	char url[512], value[512];

	(void)state;
	encode(azure, "{\"model\":\"a\",\"messages\":[{\"role\":\"user\"}]}", "api-key", url, value,
		sizeof(url));
	assert_string_equal(url, "https://lab.openai.azure.com/openai/deployments/my%20gpt/4/chat/"
				 "completions?api-version=2024-10-21");
	assert_string_equal(value, "k1");
	encode(azure, "{\"model\":\"a\",\"messages\":[{\"role\":\"user\"}]}", "Authorization", url,
		value, sizeof(url));
	assert_string_equal(value, "");
}

static void no_model_leads_out_of_its_folder(void **state)
{
	static const char *const ids[] = { "../x", "a/../../x", "a/./b", "/x", "a//b", "" };
	struct target t = { .provider = &provider_openai,
		.quirks = quirks_of("azure-deployments"),
		.slug = "azure-deployments",
		.base_url = "https://lab.openai.azure.com/openai",
		.chat_path = "/deployments/{id}/chat/completions",
		.auth = "api-key",
		.api_key = "k1",
		.public_id = "a" };
	struct chat_req req;
	struct err e;

	(void)state;
	assert_int_equal(chat_parse(SLICE("{\"model\":\"a\",\"messages\":[{\"role\":\"user\"}]}"),
				 &limits, &req, &e),
		ERR_OK);
	for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
		struct http_req http = { .url = "" };

		t.native_id = ids[i];
		if (t.provider->encode(&req, &t, &http, &e) != ERR_BAD_REQUEST)
			fail_msg("\"%s\" went to %s", ids[i], http.url);
		assert_string_equal(e.param, "model");
		http_req_fini(&http);
	}
}

static void a_cache_key_becomes_the_header_that_a_provider_knows(void **state)
{
	static const struct {
		const char *slug, *header, *key, *value;
	} cases[] = {
		{ "mistral", "x-affinity", "thread-7", "thread-7" },
		{ "xai", "x-grok-conv-id", "thread-7", "thread-7" },
		{ "fireworks", "x-session-affinity", "thread-7", "thread-7" },
		{ "openai", "x-affinity", "thread-7", "" },
		{ "xai", "x-grok-conv-id", "a\\r\\nEvil: 1", "" },
		{ "xai", "x-grok-conv-id", "two words", "" },
		{ "xai", "x-grok-conv-id", "\\u00e4", "" },
		{ "xai", "x-grok-conv-id", "a\\u0000b", "" },
	};
	char url[512], value[512], body[256];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct target t = { .slug = cases[i].slug,
			.base_url = "https://lab.example/v1",
			.chat_path = "/chat/completions",
			.auth = "bearer",
			.api_key = "k",
			.native_id = "m" };

		print_message("%s %s\n", cases[i].slug, cases[i].key);
		snprintf(body, sizeof(body),
			"{\"model\":\"a\",\"prompt_cache_key\":\"%s\",\"messages\":[{\"role\":"
			"\"user\"}]}",
			cases[i].key);
		encode(t, body, cases[i].header, url, value, sizeof(url));
		assert_string_equal(value, cases[i].value);
		assert_string_equal(url, "https://lab.example/v1/chat/completions");
	}
}

static void an_address_that_does_not_fit_is_refused(void **state)
{
	char path[URL_MAX_SIZE + 8];
	struct http_req http = { .url = "" };
	struct target t = { .quirks = quirks_of("openai"),
		.slug = "openai",
		.base_url = "https://lab.example",
		.chat_path = path,
		.auth = "bearer",
		.api_key = "k",
		.native_id = "m" };
	struct chat_req req;
	struct err e = { 0 };

	(void)state;
	memset(path, 'a', sizeof(path));
	path[0] = '/';
	path[sizeof(path) - 1] = '\0';
	assert_int_equal(chat_parse(SLICE("{\"model\":\"a\",\"messages\":[{\"role\":\"user\"}]}"),
				 &limits, &req, &e),
		ERR_OK);
	assert_int_equal(provider_openai.encode(&req, &t, &http, &e), ERR_CONF);
	http_req_fini(&http);
}

/* What a router is told about a model whose family has a preferred provider. */
static void check_hint(const char *slug, const char *members, const char *expected)
{
	struct target t = { .provider = &provider_openai,
		.quirks = quirks_of(slug),
		.slug = slug,
		.base_url = "https://lab/v1",
		.chat_path = "/chat/completions",
		.auth = "none",
		.api_key = "",
		.native_id = "a/b",
		.public_id = "a/b",
		.prefers = "[\"amazon-bedrock\"]" };
	struct http_req http = { .url = "" };
	struct chat_req req;
	char body[512], got[512];
	struct err e = { 0 };

	print_message("%s %s\n", slug, members);
	snprintf(body, sizeof(body), "{\"model\":\"a/b\"%s,\"messages\":[{\"role\":\"user\"}]}",
		members);
	assert_int_equal(chat_parse(slice_of(body), &limits, &req, &e), ERR_OK);
	assert_int_equal(provider_openai.encode(&req, &t, &http, &e), ERR_OK);
	snprintf(got, sizeof(got), "%.*s", SLICE_ARG(buf_slice(&http.body)));
	snprintf(body, sizeof(body), "{\"model\":\"a/b\"%s", expected);
	assert_string_equal(got, body);
	http_req_fini(&http);
}

static void a_router_is_told_whom_to_prefer_unless_the_client_says(void **state)
{
#define MESSAGES ",\"messages\":[{\"role\":\"user\"}]"
	static const struct {
		const char *slug, *members, *expected;
	} cases[] = {
		{ "openrouter", "", MESSAGES ",\"provider\":{\"order\":[\"amazon-bedrock\"]}}" },
		{ "kilo", ",\"provider\":null",
			MESSAGES ",\"provider\":{\"order\":[\"amazon-bedrock\"]}}" },
		{ "vercel", "",
			MESSAGES ",\"providerOptions\":{\"gateway\":{\"order\":[\"bedrock\"]}}}" },
		{ "openrouter", ",\"provider\":{\"zdr\":true}",
			",\"provider\":{\"order\":[\"amazon-bedrock\"],\"zdr\":true}" MESSAGES
			"}" },
		{ "openrouter", ",\"provider\":{\"order\":[\"x\"]}",
			",\"provider\":{\"order\":[\"x\"]}" MESSAGES "}" },
		{ "openrouter", ",\"provider\":{\"sort\":\"price\"}",
			",\"provider\":{\"sort\":\"price\"}" MESSAGES "}" },
		{ "vercel", ",\"providerOptions\":{\"gateway\":{\"sort\":\"tps\"}}",
			MESSAGES ",\"providerOptions\":{\"gateway\":{\"sort\":\"tps\"}}}" },
		{ "my-own-server", "", MESSAGES "}" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		check_hint(cases[i].slug, cases[i].members, cases[i].expected);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_deployment_stands_in_the_path_and_the_key_in_its_own_header),
		cmocka_unit_test(no_model_leads_out_of_its_folder),
		cmocka_unit_test(a_cache_key_becomes_the_header_that_a_provider_knows),
		cmocka_unit_test(an_address_that_does_not_fit_is_refused),
		cmocka_unit_test(a_router_is_told_whom_to_prefer_unless_the_client_says),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
