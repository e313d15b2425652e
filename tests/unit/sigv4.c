#include "base/sigv4.h"

#include "base/crypto.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

/* 2026-01-02T03:04:05Z */
#define NOW_MS INT64_C(1767323045000)

#define HOST "https://bedrock-runtime.us-east-1.amazonaws.com"
#define URL  HOST "/model/anthropic.claude-sonnet-4-20250514-v1%3A0/converse"

static struct sigv4_keys keys_of(const char *session_token)
{
	return (struct sigv4_keys){ "AKIDTEST", "secretfortests", session_token, "us-east-1" };
}

static struct sigv4_request request_of(const char *url)
{
	return (struct sigv4_request){ .service = "bedrock",
		.url = slice_of(url),
		.content_type = SLICE("application/json"),
		.body = SLICE("{\"messages\":[]}") };
}

/* The header called name, up to its NUL; fails the test when there is none. */
static const char *header(const struct buf *headers, const char *name)
{
	const char *end = headers->data + headers->len;

	for (const char *h = headers->data; h && h < end; h += strlen(h) + 1)
		if (slice_starts(slice_of(h), name))
			return h + strlen(name);
	fail_msg("no header %s", name);
	return "";
}

static struct buf sign(struct sigv4_keys keys, struct sigv4_request r)
{
	struct buf headers = { 0 };

	sigv4_sign(&keys, &r, NOW_MS, &headers);
	assert_true(buf_ok(&headers));
	return headers;
}

/* The vector of providers.md section 7.2. */
static void the_published_request_gets_its_signature(void **state)
{
	struct buf headers = sign(keys_of(""), request_of(URL));

	(void)state;
	assert_string_equal(header(&headers, "X-Amz-Date: "), "20260102T030405Z");
	assert_string_equal(header(&headers, "Authorization: "),
		"AWS4-HMAC-SHA256 "
		"Credential=AKIDTEST/20260102/us-east-1/bedrock/aws4_request, "
		"SignedHeaders=content-type;host;x-amz-date, "
		"Signature=36c21da118b4c1e53d4eb736e67aed8e5ecf25c3c454fc610e7fdfc578a789b2");
	buf_fini(&headers);
}

/* The signature was computed by a second program, written from the same section. */
static void a_session_token_is_sent_and_signed(void **state)
{
	struct buf headers = sign(keys_of("FwoGZXIvYXdz/token=="), request_of(URL));

	(void)state;
	assert_string_equal(header(&headers, "X-Amz-Security-Token: "), "FwoGZXIvYXdz/token==");
	assert_string_equal(header(&headers, "Authorization: "),
		"AWS4-HMAC-SHA256 "
		"Credential=AKIDTEST/20260102/us-east-1/bedrock/aws4_request, "
		"SignedHeaders=content-type;host;x-amz-date;x-amz-security-token, "
		"Signature=887956055528e98859ea4ec85cacb0d78b64448147c15962e676bac4ac8ae939");
	buf_fini(&headers);
}

static void assert_same_signature(const char *url, const char *other, bool same)
{
	struct buf a = sign(keys_of(""), request_of(url)), b = sign(keys_of(""), request_of(other));

	assert_int_equal(slice_eq(buf_slice(&a), buf_slice(&b)), same);
	buf_fini(&a);
	buf_fini(&b);
}

/* curl leaves the scheme's own port out of Host, and what is signed must be what is sent. */
static void the_host_is_signed_as_it_is_sent(void **state)
{
	(void)state;
	assert_same_signature("https://h.example/m", "https://h.example:443/m", true);
	assert_same_signature("http://h.example/m", "http://h.example:80/m", true);
	assert_same_signature("http://h.example/m", "http://h.example:443/m", false);
	assert_same_signature("http://h.example:8080/m", "http://h.example/m", false);
	assert_same_signature("http://[::1]:80/m", "http://[::1]/m", true);
	assert_same_signature("http://h.example", "http://h.example/", true);
}

static void everything_that_matters_is_signed(void **state)
{
	static const char *const urls[] = { HOST "/model/a/converse",
		HOST "/model/a/converse-stream", HOST "/model/a%3A0/converse",
		"https://other.example/model/a/converse" };
	struct sigv4_request r = request_of(URL);
	struct buf first, other;
	struct sigv4_keys keys;

	(void)state;
	for (size_t i = 0; i < sizeof(urls) / sizeof(urls[0]); i++)
		for (size_t k = 0; k < i; k++)
			assert_same_signature(urls[i], urls[k], false);
	first = sign(keys_of(""), r);
	r.body = SLICE("{\"messages\":[ ]}");
	other = sign(keys_of(""), r);
	assert_false(slice_eq(buf_slice(&first), buf_slice(&other)));
	buf_fini(&other);
	keys = keys_of("");
	keys.secret = "another";
	other = sign(keys, request_of(URL));
	assert_false(slice_eq(buf_slice(&first), buf_slice(&other)));
	buf_fini(&other);
	keys = keys_of("");
	keys.region = "eu-west-1";
	other = sign(keys, request_of(URL));
	assert_non_null(strstr(header(&other, "Authorization: "), "/eu-west-1/bedrock/"));
	buf_fini(&other);
	buf_fini(&first);
}

static void the_secret_is_in_no_header(void **state)
{
	struct buf headers = sign(keys_of("token"), request_of(URL));

	(void)state;
	assert_null(memmem(headers.data, headers.len, "secretfortests", 14));
	buf_fini(&headers);
}

static void headers_that_do_not_fit_have_failed(void **state)
{
	const struct sigv4_keys keys = keys_of("");
	const struct sigv4_request r = request_of(URL);
	struct buf headers = { .max_bytes = 64 };

	(void)state;
	sigv4_sign(&keys, &r, NOW_MS, &headers);
	assert_false(buf_ok(&headers));
	buf_fini(&headers);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_published_request_gets_its_signature),
		cmocka_unit_test(a_session_token_is_sent_and_signed),
		cmocka_unit_test(the_host_is_signed_as_it_is_sent),
		cmocka_unit_test(everything_that_matters_is_signed),
		cmocka_unit_test(the_secret_is_in_no_header),
		cmocka_unit_test(headers_that_do_not_fit_have_failed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
