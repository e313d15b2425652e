/* Any bytes, by the first of them: as a whole token; as the header, or the claims, of a token
 * whose signature is right, because a fuzzer cannot make one; or as base64url. Only a header with
 * the two members that it must have is taken, and claims that are taken make a token that is
 * taken. */
#include "gateway/token.h"

#include "base/base64.h"
#include "base/crypto.h"
#include "base/json_scan.h"

#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define SECRET SLICE("0123456789abcdef0123456789abcdef")
#define HEADER SLICE("{\"alg\":\"HS256\",\"typ\":\"JWT\"}")
#define NOW    INT64_C(1800000000)
#define CLAIMS \
	SLICE("{\"env\":\"test\",\"kiloUserId\":\"u\",\"apiTokenPepper\":null,\"version\":3," \
	      "\"iat\":1800000000,\"exp\":1800000900}")

#define CHECK(claim) \
	do { \
		if (!(claim)) { \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #claim); \
			abort(); \
		} \
	} while (0)

static enum token_verdict judge(struct slice text, struct token *t)
{
	static const struct token nothing;
	enum token_verdict v = token_read(text, SECRET, "test", NOW, t);

	CHECK(v >= TOKEN_VALID && v < TOKEN_VERDICTS);
	CHECK(v == TOKEN_VALID || memcmp(t, &nothing, sizeof(nothing)) == 0);
	CHECK(v == TOKEN_MALFORMED || token_is_likely(text));
	return v;
}

static enum token_verdict judge_signed(struct slice header, struct slice claims, struct token *t)
{
	struct buf text = { 0 };
	uint8_t mac[SHA256_BYTES];
	enum token_verdict v;

	base64_url_write(header, &text);
	buf_char(&text, '.');
	base64_url_write(claims, &text);
	crypto_hmac_sha256(SECRET, buf_slice(&text), mac);
	buf_char(&text, '.');
	base64_url_write((struct slice){ (const char *)mac, sizeof(mac) }, &text);
	v = judge(buf_slice(&text), t);
	CHECK(v != TOKEN_FORGED);
	buf_fini(&text);
	return v;
}

static void as_header(struct slice header)
{
	static const struct json_limits limits = { .max_depth = 1, .max_keys = 2 };
	struct json_member want[] = { { .name = "alg" }, { .name = "typ" } };
	struct token t;

	if (judge_signed(header, CLAIMS, &t) != TOKEN_VALID)
		return;
	CHECK(json_scan(header, &limits, want, 2, NULL) == ERR_OK);
	CHECK(json_str_is(want[0].value.raw, "HS256") && json_str_is(want[1].value.raw, "JWT"));
}

static void as_claims(struct slice claims)
{
	struct buf text = { 0 };
	struct token t, again;
	enum token_verdict v = judge_signed(HEADER, claims, &t);

	if (v != TOKEN_VALID)
		return;
	CHECK(strcmp(t.env, "test") == 0 && t.user[0] && !t.org[0] == !t.role[0]);
	CHECK(t.expires_s + TOKEN_SKEW_S > NOW && t.issued_s - TOKEN_SKEW_S <= NOW);
	CHECK(t.expires_s - t.issued_s <= (t.org[0] ? TOKEN_ORG_S : TOKEN_USER_S));
	CHECK(token_make(&t, SECRET, &text, NULL) == ERR_OK);
	CHECK(judge(buf_slice(&text), &again) == TOKEN_VALID);
	CHECK(memcmp(&t, &again, sizeof(t)) == 0);
	buf_fini(&text);
}

static void as_base64(struct slice text)
{
	struct buf bytes = { 0 }, again = { 0 };

	if (base64_url_read(text, &bytes)) {
		base64_url_write(buf_slice(&bytes), &again);
		CHECK(slice_eq(buf_slice(&again), text));
	} else {
		CHECK(bytes.len == 0);
	}
	buf_fini(&bytes);
	buf_fini(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice text = { (const char *)data + 1, size - 1 };
	struct token t;

	if (!size)
		return 0;
	switch (data[0] % 4) {
	case 0:
		as_header(text);
		break;
	case 1:
		as_claims(text);
		break;
	case 2:
		as_base64(text);
		break;
	default:
		(void)judge(text, &t);
	}
	return 0;
}
