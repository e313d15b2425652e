#include "gateway/token.h"

#include "base/base64.h"
#include "base/crypto.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

#define SECRET  SLICE("0123456789abcdef0123456789abcdef")
#define NOW     INT64_C(1800000000)
#define ORG_ID  "0d3f4c1e-6a51-4c07-9b0f-2f1f5c1f2a77"
#define HEADER  "{\"alg\":\"HS256\",\"typ\":\"JWT\"}"
#define USER    "\"env\":\"test\",\"kiloUserId\":\"u\",\"apiTokenPepper\":\"p\","
#define VERSION "\"version\":3,"
#define TIMES   "\"iat\":1800000000,\"exp\":1800000900"
#define CLAIMS  "{" USER VERSION TIMES "}"

static const struct token member = { .env = "test",
	.user = "user-42",
	.pepper = "p1",
	.org = ORG_ID,
	.role = "member",
	.issued_s = NOW,
	.expires_s = NOW + TOKEN_ORG_S };

static void make(const struct token *t, struct buf *out)
{
	struct err e;

	if (token_make(t, SECRET, out, &e))
		fail_msg("%s", e.message);
}

/* A token of any header and claims, under a signature that is right. */
static void forge(struct slice header, struct slice claims, struct slice secret, struct buf *out)
{
	uint8_t mac[SHA256_BYTES];

	buf_reset(out);
	base64_url_write(header, out);
	buf_char(out, '.');
	base64_url_write(claims, out);
	crypto_hmac_sha256(secret, buf_slice(out), mac);
	buf_char(out, '.');
	base64_url_write((struct slice){ (const char *)mac, sizeof(mac) }, out);
}

static enum token_verdict judge(struct slice text)
{
	static const struct token nothing;
	struct token t = member;
	enum token_verdict v = token_read(text, SECRET, "test", NOW, &t);

	if (v)
		assert_memory_equal(&t, &nothing, sizeof(t));
	return v;
}

/* kilo-contract.md section 37. HMAC fills a key with zeros, so the contract's secret, too short
 * for us, signs alike with zeros behind it. */
static void the_contracts_token_is_made_and_read(void **state)
{
	static const char wanted[] =
		"eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9."
		"eyJlbnYiOiJwcm9kdWN0aW9uIiwia2lsb1VzZXJJZCI6InVzZXItNDIiLCJhcGlUb2tlblBlcHBlciI6In"
		"AxIiwidmVyc2lvbiI6MywiaWF0IjoxNzY3MjI1NjAwLCJleHAiOjE5MjQ5MDU2MDB9."
		"smASw9k1zz5Ju2u5FWmmt8TDN-m6AZf9T-ZAyRnbgRA";
	static const char key[TOKEN_SECRET_MIN] = "test-secret";
	const struct slice secret = { key, sizeof(key) };
	struct token t = { .env = "production",
		.user = "user-42",
		.pepper = "p1",
		.issued_s = 1767225600,
		.expires_s = 1924905600 };
	struct buf out = { 0 };
	struct token back;

	(void)state;
	assert_int_equal(token_make(&t, secret, &out, NULL), ERR_OK);
	assert_string_equal(buf_cstr(&out), wanted);
	assert_int_equal(
		token_read(buf_slice(&out), secret, "production", NOW, &back), TOKEN_VALID);
	assert_memory_equal(&back, &t, sizeof(t));
	buf_fini(&out);
}

static void an_organisations_token_comes_back_as_it_was_made(void **state)
{
	struct buf out = { 0 };
	struct token back;

	(void)state;
	make(&member, &out);
	assert_int_equal(token_read(buf_slice(&out), SECRET, "test", NOW + 5, &back), TOKEN_VALID);
	assert_string_equal(back.env, "test");
	assert_string_equal(back.user, "user-42");
	assert_string_equal(back.pepper, "p1");
	assert_string_equal(back.org, ORG_ID);
	assert_string_equal(back.role, "member");
	assert_int_equal(back.issued_s, NOW);
	assert_int_equal(back.expires_s - back.issued_s, 15 * 60);
	buf_fini(&out);
}

static void the_longest_claims_fit_a_token(void **state)
{
	struct token t = { .issued_s = NOW, .not_before_s = NOW, .expires_s = NOW + 1 };
	struct token back;
	struct buf out = { 0 };

	(void)state;
	memset(t.env, '"', sizeof(t.env) - 1); /* which JSON writes as two bytes */
	memset(t.user, '\\', sizeof(t.user) - 1);
	memset(t.pepper, '"', sizeof(t.pepper) - 1);
	memset(t.org, '\\', sizeof(t.org) - 1);
	memset(t.role, '"', sizeof(t.role) - 1);
	make(&t, &out);
	assert_in_range(out.len, 1000, TOKEN_MAX);
	assert_int_equal(token_read(buf_slice(&out), SECRET, t.env, NOW, &back), TOKEN_VALID);
	assert_memory_equal(&back, &t, sizeof(t));
	buf_fini(&out);
}

static void what_a_token_cannot_carry_is_not_made(void **state)
{
	struct buf out = { 0 };
	struct token t;
	struct err e;

	(void)state;
#define REFUSED(change, name) \
	do { \
		t = member; \
		change; \
		assert_int_equal(token_make(&t, SECRET, &out, &e), ERR_RANGE); \
		assert_string_equal(e.param, name); \
		assert_int_equal(out.len, 0); \
	} while (0)
	REFUSED(t.env[0] = '\0', "env");
	REFUSED(t.env[1] = ' ', "env");
	REFUSED(t.user[0] = '\0', "kiloUserId");
	REFUSED(t.user[0] = '\n', "kiloUserId");
	REFUSED(t.user[0] = '\x7f', "kiloUserId");
	REFUSED(t.user[0] = '\xc3', "kiloUserId");
	REFUSED(t.pepper[0] = '\t', "apiTokenPepper");
	REFUSED(t.org[0] = ' ', "organizationId");
	REFUSED(t.role[0] = '\0', "organizationRole");
	REFUSED(t.org[0] = '\0', "organizationRole");
	REFUSED(t.issued_s = -1, "iat");
	REFUSED(t.issued_s = INT64_MAX, "iat");
	REFUSED(t.not_before_s = -1, "nbf");
	REFUSED(t.not_before_s = t.expires_s, "nbf");
	REFUSED(t.expires_s = t.issued_s, "exp");
	REFUSED(t.expires_s = INT64_MIN, "exp");
	REFUSED(t.expires_s++, "exp"); /* a second longer than 15 minutes */
#undef REFUSED
	t = member;
	t.org[0] = t.role[0] = '\0';
	t.expires_s = t.issued_s + TOKEN_USER_S + 1;
	assert_int_equal(token_make(&t, SECRET, &out, &e), ERR_RANGE);
	assert_int_equal(
		token_make(&member, SLICE("0123456789abcdef0123456789abcde"), &out, &e), ERR_RANGE);
	assert_string_equal(e.param, "secret");
	assert_int_equal(out.len, 0);
	out.max_bytes = 100;
	assert_int_equal(token_make(&member, SECRET, &out, &e), ERR_NO_MEMORY);
	buf_fini(&out);
}

static void only_the_secret_that_signed_opens(void **state)
{
	struct buf out = { 0 };
	struct token t;

	(void)state;
	make(&member, &out);
	assert_int_equal(judge(buf_slice(&out)), TOKEN_VALID);
	assert_int_equal(token_read(buf_slice(&out), SLICE("0123456789abcdef0123456789abcdeX"),
				 "test", NOW, &t),
		TOKEN_FORGED);
	/* A secret that is empty or short opens nothing, not even what it signed. */
	forge(SLICE(HEADER), SLICE(CLAIMS), SLICE(""), &out);
	assert_int_equal(token_read(buf_slice(&out), SLICE(""), "test", NOW, &t), TOKEN_FORGED);
	assert_int_equal(token_read(buf_slice(&out), (struct slice){ NULL, 0 }, "test", NOW, &t),
		TOKEN_FORGED);
	forge(SLICE(HEADER), SLICE(CLAIMS), SLICE("short"), &out);
	assert_int_equal(
		token_read(buf_slice(&out), SLICE("short"), "test", NOW, &t), TOKEN_FORGED);
	buf_fini(&out);
}

static void a_token_changed_anywhere_is_refused(void **state)
{
	struct buf out = { 0 };

	(void)state;
	make(&member, &out);
	for (size_t i = 0; i < out.len; i++) {
		static const char letters[] = { 'A', 'B', 'Q', '_', '.', '=', ' ', '\0', '\xff' };
		char was = out.data[i];

		for (size_t k = 0; k < sizeof(letters); k++) {
			out.data[i] = letters[k];
			if (letters[k] != was)
				assert_int_not_equal(judge(buf_slice(&out)), TOKEN_VALID);
		}
		out.data[i] = was;
	}
	for (size_t n = 0; n < out.len; n++) {
		assert_int_not_equal(judge((struct slice){ out.data, n }), TOKEN_VALID);
		assert_int_not_equal(
			judge((struct slice){ out.data + n + 1, out.len - n - 1 }), TOKEN_VALID);
	}
	assert_int_equal(judge(buf_slice(&out)), TOKEN_VALID);
	buf_fini(&out);
}

static void the_outer_form_is_three_parts_of_base64url_without_padding(void **state)
{
	static const struct {
		struct slice behind;
		enum token_verdict verdict;
	} cases[] = {
		{ SLICE(""), TOKEN_VALID },
		{ SLICE("="), TOKEN_FORGED },
		{ SLICE("\n"), TOKEN_FORGED },
		{ SLICE(" "), TOKEN_FORGED },
		{ SLICE("\0"), TOKEN_FORGED },
		{ SLICE("A"), TOKEN_FORGED },
		{ SLICE("AAAA"), TOKEN_FORGED },
		{ SLICE("."), TOKEN_MALFORMED },
		{ SLICE(".AAAA"), TOKEN_MALFORMED },
	};
	static const struct slice forms[] = { SLICE(""), SLICE("."), SLICE(".."), SLICE("a.b"),
		SLICE("a.b."), SLICE(".b.c"), SLICE("a..c"), SLICE("a.b.c.d"), SLICE("..."),
		SLICE("sk-tg-abcdef") };
	struct buf out = { 0 };
	size_t n;

	(void)state;
	for (size_t i = 0; i < COUNT(forms); i++) {
		assert_int_equal(judge(forms[i]), TOKEN_MALFORMED);
		assert_false(token_is_likely(forms[i]));
	}
	assert_false(token_is_likely((struct slice){ NULL, 0 }));
	make(&member, &out);
	assert_true(token_is_likely(buf_slice(&out)));
	n = out.len;
	for (size_t i = 0; i < COUNT(cases); i++) {
		out.len = n;
		buf_slice_append(&out, cases[i].behind);
		print_message("%zu\n", i);
		assert_int_equal(judge(buf_slice(&out)), cases[i].verdict);
	}
	/* The last letter of 32 bytes carries two bits of nothing: a second spelling. */
	out.len = n;
	for (int bit = 0; bit < 3; bit++) {
		out.data[n - 1]++;
		assert_int_not_equal(judge(buf_slice(&out)), TOKEN_VALID);
	}
	buf_fini(&out);
}

/* Blanks are JSON: only the length makes the difference. */
static void a_token_above_the_size_limit_is_not_looked_at(void **state)
{
	struct buf header = { 0 }, claims = { 0 }, out = { 0 };

	(void)state;
	buf_str(&header, HEADER);
	buf_str(&claims, CLAIMS);
	while (out.len <= TOKEN_MAX) {
		forge(buf_slice(&header), buf_slice(&claims), SECRET, &out);
		assert_int_equal(judge(buf_slice(&out)),
			out.len > TOKEN_MAX ? TOKEN_MALFORMED : TOKEN_VALID);
		buf_char(&header, ' ');
		buf_char(&claims, ' ');
	}
	buf_fini(&header);
	buf_fini(&claims);
	buf_fini(&out);
}

/* Every one of these has the right signature: no other door may stand open. */
static void no_other_header_is_taken(void **state)
{
	static const char *const headers[] = {
		"{\"alg\":\"none\",\"typ\":\"JWT\"}",
		"{\"alg\":\"None\",\"typ\":\"JWT\"}",
		"{\"alg\":\"\",\"typ\":\"JWT\"}",
		"{\"alg\":null,\"typ\":\"JWT\"}",
		"{\"alg\":[\"HS256\"],\"typ\":\"JWT\"}",
		"{\"alg\":\"hs256\",\"typ\":\"JWT\"}",
		"{\"alg\":\"HS256 \",\"typ\":\"JWT\"}",
		"{\"alg\":\"HS256\\u0000\",\"typ\":\"JWT\"}",
		"{\"alg\":\"HS512\",\"typ\":\"JWT\"}",
		"{\"alg\":\"RS256\",\"typ\":\"JWT\"}",
		"{\"alg\":\"ES256\",\"typ\":\"JWT\"}",
		"{\"typ\":\"JWT\"}",
		"{\"alg\":\"HS256\"}",
		"{\"alg\":\"HS256\",\"typ\":\"jwt\"}",
		"{\"alg\":\"HS256\",\"typ\":\"at+jwt\"}",
		"{\"alg\":\"HS256\",\"typ\":null}",
		"{\"alg\":\"HS256\",\"typ\":\"JWT\",\"crit\":[\"exp\"]}",
		"{\"alg\":\"HS256\",\"typ\":\"JWT\",\"crit\":\"exp\"}",
		"{\"alg\":\"HS256\",\"typ\":\"JWT\",\"kid\":\"../../dev/null\"}",
		"{\"alg\":\"HS256\",\"typ\":\"JWT\",\"jku\":\"http://a\"}",
		"{\"alg\":\"HS256\",\"typ\":\"JWT\",\"b64\":false}",
		"{\"alg\":\"none\",\"alg\":\"HS256\",\"typ\":\"JWT\"}",
		"{\"alg\":\"HS256\",\"alg\":\"HS256\",\"typ\":\"JWT\"}",
		"{\"alg\":\"HS256\",\"\\u0061lg\":\"none\",\"typ\":\"JWT\"}",
		"{\"Alg\":\"HS256\",\"typ\":\"JWT\"}",
		"{\"alg\":\"HS256\",\"typ\":\"JWT\"} {}",
		"{\"alg\":\"HS256\",\"typ\":\"JWT\"",
		"[\"HS256\",\"JWT\"]",
		"\"HS256\"",
		"null",
		"{}",
		" ",
	};
	struct buf out = { 0 };

	(void)state;
	forge(SLICE(HEADER), SLICE(CLAIMS), SECRET, &out);
	assert_int_equal(judge(buf_slice(&out)), TOKEN_VALID);
	forge(SLICE(" {\"typ\" : \"JWT\", \"alg\":\"HS\\u003256\"}"), SLICE(CLAIMS), SECRET, &out);
	assert_int_equal(judge(buf_slice(&out)), TOKEN_VALID); /* another spelling of the same */
	for (size_t i = 0; i < COUNT(headers); i++) {
		print_message("%s\n", headers[i]);
		forge(slice_of(headers[i]), SLICE(CLAIMS), SECRET, &out);
		assert_int_equal(judge(buf_slice(&out)), TOKEN_MALFORMED);
	}
	buf_fini(&out);
}

static void an_unsigned_token_opens_nothing(void **state)
{
	static const char *const headers[] = { "{\"alg\":\"none\",\"typ\":\"JWT\"}", HEADER };
	struct buf out = { 0 };

	(void)state;
	for (size_t i = 0; i < COUNT(headers); i++) {
		buf_reset(&out);
		base64_url_write(slice_of(headers[i]), &out);
		buf_char(&out, '.');
		base64_url_write(SLICE(CLAIMS), &out);
		assert_int_equal(judge(buf_slice(&out)), TOKEN_MALFORMED);
		buf_char(&out, '.');
		assert_int_equal(judge(buf_slice(&out)), TOKEN_MALFORMED);
		buf_str(&out, "AAAA");
		assert_int_equal(judge(buf_slice(&out)), i ? TOKEN_FORGED : TOKEN_MALFORMED);
	}
	buf_fini(&out);
}

static void claims_are_ours_or_nothing(void **state)
{
#define ORG "\"organizationId\":\"" ORG_ID "\",\"organizationRole\":\"owner\","
	static const struct {
		const char *claims;
		enum token_verdict verdict;
	} cases[] = {
		{ CLAIMS, TOKEN_VALID },
		{ "{" USER VERSION ORG TIMES "}", TOKEN_VALID },
		{ "{" USER VERSION TIMES ",\"nbf\":1800000000}", TOKEN_VALID },
		{ "{\"env\":\"test\",\"kiloUserId\":\"u\",\"apiTokenPepper\":null," VERSION TIMES
		  "}",
			TOKEN_VALID },
		/* other deployments */
		{ "{\"env\":\"prod\",\"kiloUserId\":\"u\",\"apiTokenPepper\":\"p\"," VERSION TIMES
		  "}",
			TOKEN_FOREIGN },
		{ "{\"env\":\"Test\",\"kiloUserId\":\"u\",\"apiTokenPepper\":\"p\"," VERSION TIMES
		  "}",
			TOKEN_FOREIGN },
		{ "{\"env\":\"test\\u0000\",\"kiloUserId\":\"u\",\"apiTokenPepper\":\"p\"," VERSION
				TIMES "}",
			TOKEN_MALFORMED },
		{ "{\"kiloUserId\":\"u\",\"apiTokenPepper\":\"p\"," VERSION TIMES "}",
			TOKEN_MALFORMED },
		/* versions */
		{ "{" USER "\"version\":2," TIMES "}", TOKEN_OUTDATED },
		{ "{" USER "\"version\":4,\"new\":1," TIMES "}", TOKEN_OUTDATED },
		{ "{" USER "\"version\":\"3\"," TIMES "}", TOKEN_MALFORMED },
		{ "{" USER "\"version\":3.5," TIMES "}", TOKEN_MALFORMED },
		{ "{" USER TIMES "}", TOKEN_MALFORMED },
		/* unknown, doubled, of another kind */
		{ "{" USER VERSION TIMES ",\"aud\":\"gateway\"}", TOKEN_MALFORMED },
		{ "{" USER VERSION TIMES ",\"internalApiUse\":true}", TOKEN_MALFORMED },
		{ "{" USER VERSION TIMES ",\"exp\":1800000900}", TOKEN_MALFORMED },
		{ "{" USER VERSION TIMES ",\"\\u0065xp\":1900000000}", TOKEN_MALFORMED },
		{ "{" USER VERSION TIMES ",\"kiloUserId\":\"admin\"}", TOKEN_MALFORMED },
		{ "{\"env\":[\"test\"],\"kiloUserId\":\"u\",\"apiTokenPepper\":\"p\"," VERSION TIMES
		  "}",
			TOKEN_MALFORMED },
		{ "{\"env\":\"test\",\"kiloUserId\":7,\"apiTokenPepper\":\"p\"," VERSION TIMES "}",
			TOKEN_MALFORMED },
		{ "{\"env\":\"test\",\"kiloUserId\":\"\",\"apiTokenPepper\":\"p\"," VERSION TIMES
		  "}",
			TOKEN_MALFORMED },
		{ "{\"env\":\"test\",\"kiloUserId\":\"a\\nb\",\"apiTokenPepper\":\"p\"," VERSION
				TIMES "}",
			TOKEN_MALFORMED },
		{ "{\"env\":\"test\",\"kiloUserId\":\"u\"," VERSION TIMES "}", TOKEN_MALFORMED },
		{ "{\"env\":\"test\",\"kiloUserId\":\"u\",\"apiTokenPepper\":false," VERSION TIMES
		  "}",
			TOKEN_MALFORMED },
		{ "{" USER VERSION "\"organizationId\":\"o\"," TIMES "}", TOKEN_MALFORMED },
		{ "{" USER VERSION "\"organizationRole\":\"owner\"," TIMES "}", TOKEN_MALFORMED },
		{ "{" USER VERSION "\"organizationId\":\"\",\"organizationRole\":\"\"," TIMES "}",
			TOKEN_MALFORMED },
		{ "{" USER VERSION "\"organizationId\":\"o\",\"organizationRole\":\"a_role_that_"
		  "does_not_fit\"," TIMES "}",
			TOKEN_MALFORMED },
		/* times */
		{ "{" USER VERSION "\"exp\":1800000900}", TOKEN_MALFORMED },
		{ "{" USER VERSION "\"iat\":1800000000}", TOKEN_MALFORMED },
		{ "{" USER VERSION "\"iat\":1800000000,\"exp\":null}", TOKEN_MALFORMED },
		{ "{" USER VERSION "\"iat\":1800000000,\"exp\":\"1800000900\"}", TOKEN_MALFORMED },
		{ "{" USER VERSION "\"iat\":1800000000,\"exp\":9223372036854775807}",
			TOKEN_MALFORMED },
		{ "{" USER VERSION "\"iat\":1800000000,\"exp\":9223372036854775808}",
			TOKEN_MALFORMED },
		{ "{" USER VERSION "\"iat\":1800000000,\"exp\":1e300}", TOKEN_MALFORMED },
		{ "{" USER VERSION "\"iat\":-1,\"exp\":1800000900}", TOKEN_MALFORMED },
		{ "{" USER VERSION "\"iat\":1800000900,\"exp\":1800000900}", TOKEN_MALFORMED },
		{ "{" USER VERSION "\"iat\":0,\"exp\":1800000900}", TOKEN_MALFORMED },
		{ "{" USER VERSION ORG "\"iat\":1800000000,\"exp\":1800000901}", TOKEN_MALFORMED },
		{ "{" USER VERSION "\"iat\":1800000000,\"exp\":1957680001}", TOKEN_MALFORMED },
		{ "{" USER VERSION TIMES ",\"nbf\":-5}", TOKEN_MALFORMED },
		{ "{" USER VERSION TIMES ",\"nbf\":{}}", TOKEN_MALFORMED },
		/* not JSON, not an object, not UTF-8 */
		{ CLAIMS "x", TOKEN_MALFORMED },
		{ "{" USER VERSION TIMES ",}", TOKEN_MALFORMED },
		{ "[]", TOKEN_MALFORMED },
		{ "{}", TOKEN_MALFORMED },
		{ "\xff", TOKEN_MALFORMED },
	};
	struct buf out = { 0 };

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		print_message("%s\n", cases[i].claims);
		forge(SLICE(HEADER), slice_of(cases[i].claims), SECRET, &out);
		assert_int_equal(judge(buf_slice(&out)), cases[i].verdict);
	}
	buf_fini(&out);
}

static void a_token_is_valid_from_its_start_to_its_end_and_a_little_skew(void **state)
{
	static const struct {
		int64_t now_s;
		enum token_verdict verdict;
	} cases[] = {
		{ INT64_MIN, TOKEN_EARLY },
		{ -1, TOKEN_EARLY },
		{ NOW - TOKEN_SKEW_S - 1, TOKEN_EARLY },
		{ NOW - TOKEN_SKEW_S, TOKEN_VALID },
		{ NOW, TOKEN_VALID },
		{ NOW + TOKEN_ORG_S + TOKEN_SKEW_S - 1, TOKEN_VALID },
		{ NOW + TOKEN_ORG_S + TOKEN_SKEW_S, TOKEN_EXPIRED },
		{ NOW + 3600, TOKEN_EXPIRED },
		{ INT64_MAX, TOKEN_EXPIRED },
	};
	struct token later = member, t;
	struct buf out = { 0 };

	(void)state;
	make(&member, &out);
	for (size_t i = 0; i < COUNT(cases); i++)
		assert_int_equal(token_read(buf_slice(&out), SECRET, "test", cases[i].now_s, &t),
			cases[i].verdict);
	buf_reset(&out);
	later.not_before_s = NOW + 600;
	make(&later, &out);
	assert_int_equal(
		token_read(buf_slice(&out), SECRET, "test", NOW + 600 - TOKEN_SKEW_S - 1, &t),
		TOKEN_EARLY);
	assert_int_equal(token_read(buf_slice(&out), SECRET, "test", NOW + 600, &t), TOKEN_VALID);
	buf_fini(&out);
}

static void a_changed_pepper_ends_every_token_made_before(void **state)
{
	struct token t = member;

	(void)state;
	assert_true(token_has_pepper(&t, "p1"));
	assert_false(token_has_pepper(&t, "p2"));
	assert_false(token_has_pepper(&t, "p"));
	assert_false(token_has_pepper(&t, "p11"));
	assert_true(token_has_pepper(&t, "")); /* the account has none */
	t.pepper[0] = '\0';
	assert_false(token_has_pepper(&t, "p1"));
}

static void every_verdict_has_a_sentence_of_its_own(void **state)
{
	(void)state;
	for (int a = 0; a < TOKEN_VERDICTS; a++)
		for (int b = 0; b < a; b++)
			assert_string_not_equal(token_verdict_text((enum token_verdict)a),
				token_verdict_text((enum token_verdict)b));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_contracts_token_is_made_and_read),
		cmocka_unit_test(an_organisations_token_comes_back_as_it_was_made),
		cmocka_unit_test(the_longest_claims_fit_a_token),
		cmocka_unit_test(what_a_token_cannot_carry_is_not_made),
		cmocka_unit_test(only_the_secret_that_signed_opens),
		cmocka_unit_test(a_token_changed_anywhere_is_refused),
		cmocka_unit_test(the_outer_form_is_three_parts_of_base64url_without_padding),
		cmocka_unit_test(a_token_above_the_size_limit_is_not_looked_at),
		cmocka_unit_test(no_other_header_is_taken),
		cmocka_unit_test(an_unsigned_token_opens_nothing),
		cmocka_unit_test(claims_are_ours_or_nothing),
		cmocka_unit_test(a_token_is_valid_from_its_start_to_its_end_and_a_little_skew),
		cmocka_unit_test(a_changed_pepper_ends_every_token_made_before),
		cmocka_unit_test(every_verdict_has_a_sentence_of_its_own),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
