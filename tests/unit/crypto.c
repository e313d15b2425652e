#include "base/crypto.h"
#include "tests/unit/rsa_key.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static void assert_hex(const void *bytes, size_t n, const char *wanted)
{
	char text[2 * SHA256_BYTES + 1];

	crypto_hex(bytes, n, text);
	assert_string_equal(text, wanted);
}

/* FIPS 180-4 examples. */
static void sha256_agrees_with_the_standard(void **state)
{
	uint8_t out[SHA256_BYTES];

	(void)state;
	crypto_sha256(SLICE("abc"), out);
	assert_hex(out, sizeof(out),
		"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	crypto_sha256((struct slice){ NULL, 0 }, out);
	assert_hex(out, sizeof(out),
		"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

/* FIPS 180-4: 448 bits, cut into two at every place. */
static void a_hash_of_pieces_is_that_of_the_whole(void **state)
{
	const struct slice text = SLICE("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq");
	struct crypto_hash h;
	uint8_t out[SHA256_BYTES];

	(void)state;
	for (size_t cut = 0; cut <= text.len; cut++) {
		crypto_hash_begin(&h);
		crypto_hash_add(&h, slice_first(text, cut));
		crypto_hash_add(&h, slice_from(text, cut));
		crypto_hash_end(&h, out);
		assert_hex(out, sizeof(out),
			"248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
	}
}

/* RFC 4231 cases 1, 2 and 6 (a key longer than a block), and the empty key. */
static void hmac_agrees_with_the_standard(void **state)
{
	uint8_t out[SHA256_BYTES];
	char key[131];

	(void)state;
	memset(key, 0x0b, 20);
	crypto_hmac_sha256((struct slice){ key, 20 }, SLICE("Hi There"), out);
	assert_hex(out, sizeof(out),
		"b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
	crypto_hmac_sha256(SLICE("Jefe"), SLICE("what do ya want for nothing?"), out);
	assert_hex(out, sizeof(out),
		"5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
	memset(key, 0xaa, sizeof(key));
	crypto_hmac_sha256((struct slice){ key, sizeof(key) },
		SLICE("Test Using Larger Than Block-Size Key - Hash Key First"), out);
	assert_hex(out, sizeof(out),
		"60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
	crypto_hmac_sha256((struct slice){ NULL, 0 }, (struct slice){ NULL, 0 }, out);
	assert_hex(out, sizeof(out),
		"b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad");
}

static void a_key_made_ready_once_serves_any_number_of_texts(void **state)
{
	uint8_t out[SHA256_BYTES], same[SHA256_BYTES];
	struct crypto_hmac ready;
	char text[200];

	(void)state;
	memset(text, 'x', sizeof(text));
	crypto_hmac_begin(&ready, SLICE("Jefe"));
	for (size_t n = 0; n <= sizeof(text); n++) {
		crypto_hmac_of(&ready, (struct slice){ text, n }, out);
		crypto_hmac_sha256(SLICE("Jefe"), (struct slice){ text, n }, same);
		assert_memory_equal(out, same, sizeof(out));
	}
	crypto_hmac_of(&ready, SLICE("what do ya want for nothing?"), out);
	assert_hex(out, sizeof(out),
		"5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
}

/* kilo-contract.md section 37: key 00..1f, IV 00..0b, no associated data. */
static void a_sealed_text_of_the_contract_is_opened(void **state)
{
	static const char data[] = "3469fb6fa096b636bc73a4";
	struct crypto_seal s;
	uint8_t key[CRYPTO_KEY_BYTES], sealed[11];
	char text[12] = "";

	(void)state;
	for (unsigned i = 0; i < sizeof(key); i++)
		key[i] = (uint8_t)i;
	memcpy(s.iv, key, sizeof(s.iv));
	assert_true(crypto_unhex(SLICE("a882b74fa5cc3c9f59631255caf0d45e"), s.tag, sizeof(s.tag)));
	assert_true(crypto_unhex(slice_of(data), sealed, sizeof(sealed)));
	assert_true(crypto_open(key, SLICE(""), (struct slice){ (char *)sealed, 11 }, &s, text));
	assert_string_equal(text, "sk-test-123");
}

/* Flipping any bit of key, text, tag, iv or what it was sealed with. */
static void a_sealed_text_that_was_touched_does_not_open(void **state)
{
	uint8_t key[CRYPTO_KEY_BYTES] = { 7 }, sealed[5], out[5];
	char with[] = "whose";
	struct crypto_seal s, other;
	struct slice bytes = { (char *)sealed, sizeof(sealed) };
	const struct {
		void *at;
		size_t n;
	} parts[] = { { key, sizeof(key) }, { sealed, sizeof(sealed) }, { &s, sizeof(s) },
		{ with, sizeof(with) - 1 } };

	(void)state;
	crypto_seal(key, slice_of(with), SLICE("hello"), &s, sealed);
	for (size_t p = 0; p < sizeof(parts) / sizeof(parts[0]); p++)
		for (size_t bit = 0; bit < 8 * parts[p].n; bit++) {
			uint8_t *at = (uint8_t *)parts[p].at + bit / 8;

			*at ^= (uint8_t)(1u << bit % 8);
			memset(out, 1, sizeof(out));
			assert_false(crypto_open(key, slice_of(with), bytes, &s, out));
			assert_int_equal(out[0] | out[4], 0); /* nothing of it is shown */
			*at ^= (uint8_t)(1u << bit % 8);
		}
	assert_true(crypto_open(key, slice_of(with), bytes, &s, out));
	assert_memory_equal(out, "hello", 5);
	assert_false(crypto_open(key, SLICE(""), bytes, &s, out));
	crypto_seal(key, slice_of(with), SLICE("hello"), &other, out);
	assert_memory_not_equal(out, sealed, 5);
	crypto_seal(key, SLICE(""), SLICE(""), &s, out);
	assert_true(crypto_open(key, SLICE(""), SLICE(""), &s, out));
}

static void crc32_agrees_with_zlib(void **state)
{
	(void)state;
	assert_int_equal(crypto_crc32((struct slice){ NULL, 0 }), 0);
	assert_int_equal(crypto_crc32(SLICE("123456789")), 0xcbf43926);
	assert_int_equal(
		crypto_crc32(SLICE("The quick brown fox jumps over the lazy dog")), 0x414fa339);
}

static void an_rs256_signature_is_verified_by_the_public_key(void **state)
{
	struct buf out = { 0 };
	struct rsa_key k;

	(void)state;
	rsa_key_of(&k, EVP_RSA_gen(2048), NULL);
	buf_str(&out, "before");
	assert_true(crypto_rs256(slice_of(k.pem), SLICE("head.claims"), &out));
	assert_true(slice_starts(buf_slice(&out), "before"));
	assert_int_equal(out.len, 6 + 256);
	assert_true(rsa_key_signed(&k, SLICE("head.claims"), slice_from(buf_slice(&out), 6)));
	assert_false(rsa_key_signed(&k, SLICE("head.claimS"), slice_from(buf_slice(&out), 6)));
	buf_fini(&out);
	rsa_key_fini(&k);
}

static void what_is_no_strong_rsa_key_signs_nothing(void **state)
{
	struct rsa_key keys[3];
	struct buf out = { 0 }, narrow = { .max_bytes = 255 };

	(void)state;
	rsa_key_of(&keys[0], EVP_RSA_gen(1024), NULL);
	rsa_key_of(&keys[1], EVP_EC_gen("P-256"), NULL);
	rsa_key_of(&keys[2], EVP_RSA_gen(2048), EVP_aes_128_cbc()); /* has a password */
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		assert_false(crypto_rs256(slice_of(keys[i].pem), SLICE("text"), &out));
	assert_false(crypto_rs256(SLICE(""), SLICE("text"), &out));
	assert_false(
		crypto_rs256(SLICE("-----BEGIN PRIVATE KEY-----\nAAAA\n"), SLICE("text"), &out));
	assert_int_equal(out.len, 0);
	assert_true(buf_ok(&out));
	rsa_key_fini(&keys[2]);
	rsa_key_of(&keys[2], EVP_RSA_gen(2048), NULL);
	assert_false(crypto_rs256(slice_of(keys[2].pem), SLICE("text"), &narrow));
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		rsa_key_fini(&keys[i]);
	buf_fini(&out);
	buf_fini(&narrow);
}

static void hexadecimal_is_read_back_and_nothing_else_is_read(void **state)
{
	static const struct slice bad[] = { { "", 0 }, { "0", 1 }, { "00f", 3 }, { "00fg", 4 },
		{ "00ff0", 5 }, { "00ff00", 6 }, { " 0ff", 4 }, { "00\0f", 4 } };
	uint8_t out[2] = { 1, 2 };

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(crypto_unhex(bad[i], out, 2));
	assert_int_equal(out[0], 1); /* a refusal writes nothing */
	assert_true(crypto_unhex(SLICE("aBfF"), out, 2));
	assert_hex(out, 2, "abff");
	assert_true(crypto_unhex(SLICE(""), out, 0));
}

static void random_bytes_fill_the_whole_and_differ(void **state)
{
	static uint8_t a[100000], b[100000];
	unsigned zeros = 0;

	(void)state;
	crypto_random(a, sizeof(a));
	crypto_random(b, sizeof(b));
	assert_false(crypto_equal(a, b, sizeof(a)));
	for (size_t i = sizeof(a) - 4096; i < sizeof(a); i++)
		zeros += a[i] == 0;
	assert_in_range(zeros, 0, 200); /* about 16; an unfilled tail would be 4,096 */
}

static void equal_compares_every_byte_and_wipe_leaves_none(void **state)
{
	char a[] = "same text", b[] = "same texT";

	(void)state;
	assert_true(crypto_equal(a, a, sizeof(a)));
	assert_false(crypto_equal(a, b, sizeof(a)));
	assert_true(crypto_equal(a, b, 8));
	assert_true(crypto_equal(a, b, 0));
	crypto_wipe(a, sizeof(a));
	for (size_t i = 0; i < sizeof(a); i++)
		assert_int_equal(a[i], 0);
	crypto_wipe(NULL, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sha256_agrees_with_the_standard),
		cmocka_unit_test(a_hash_of_pieces_is_that_of_the_whole),
		cmocka_unit_test(hmac_agrees_with_the_standard),
		cmocka_unit_test(a_key_made_ready_once_serves_any_number_of_texts),
		cmocka_unit_test(a_sealed_text_of_the_contract_is_opened),
		cmocka_unit_test(a_sealed_text_that_was_touched_does_not_open),
		cmocka_unit_test(crc32_agrees_with_zlib),
		cmocka_unit_test(an_rs256_signature_is_verified_by_the_public_key),
		cmocka_unit_test(what_is_no_strong_rsa_key_signs_nothing),
		cmocka_unit_test(hexadecimal_is_read_back_and_nothing_else_is_read),
		cmocka_unit_test(random_bytes_fill_the_whole_and_differ),
		cmocka_unit_test(equal_compares_every_byte_and_wipe_leaves_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
