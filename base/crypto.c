#include "base/crypto.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/rand.h>

#include <pthread.h>
#include <stdlib.h>

/* Fetched once: OpenSSL's own look-up by name costs more than hashing a key. */
static struct {
	pthread_once_t once;
	EVP_MD *sha256;
	EVP_MAC_CTX *hmac; /* with its digest, without a key: copied for each use */
} algorithms = { .once = PTHREAD_ONCE_INIT };

static void must(bool worked)
{
	if (!worked)
		abort();
}

static void fetch(void)
{
	char name[] = "SHA256";
	const OSSL_PARAM params[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, name, 0),
		OSSL_PARAM_construct_end(),
	};
	EVP_MAC *hmac = EVP_MAC_fetch(NULL, "HMAC", NULL);

	must(hmac != NULL);
	algorithms.sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
	algorithms.hmac = EVP_MAC_CTX_new(hmac);
	must(algorithms.sha256 && algorithms.hmac);
	must(EVP_MAC_CTX_set_params(algorithms.hmac, params));
	EVP_MAC_free(hmac);
}

void crypto_sha256(struct slice text, uint8_t out[SHA256_BYTES])
{
	pthread_once(&algorithms.once, fetch);
	must(EVP_Digest(text.ptr ? text.ptr : "", text.len, out, NULL, algorithms.sha256, NULL));
}

void crypto_hmac_sha256(struct slice key, struct slice text, uint8_t out[SHA256_BYTES])
{
	EVP_MAC_CTX *ctx;
	size_t n = 0;

	pthread_once(&algorithms.once, fetch);
	ctx = EVP_MAC_CTX_dup(algorithms.hmac);
	must(ctx != NULL);
	/* A key of NULL would mean "the key from before", so an empty one is "". */
	must(EVP_MAC_init(ctx, (const unsigned char *)(key.len ? key.ptr : ""), key.len, NULL));
	must(!text.len || EVP_MAC_update(ctx, (const unsigned char *)text.ptr, text.len));
	must(EVP_MAC_final(ctx, out, &n, SHA256_BYTES) && n == SHA256_BYTES);
	EVP_MAC_CTX_free(ctx);
}

void crypto_random(void *out, size_t n)
{
	unsigned char *at = out;

	for (size_t part; n; at += part, n -= part) {
		part = n < 65536 ? n : 65536;
		must(RAND_bytes(at, (int)part) == 1);
	}
}

bool crypto_equal(const void *a, const void *b, size_t n)
{
	return CRYPTO_memcmp(a, b, n) == 0;
}

void crypto_wipe(void *p, size_t n)
{
	if (n)
		OPENSSL_cleanse(p, n);
}

void crypto_hex(const void *bytes, size_t n, char *out)
{
	static const char digits[] = "0123456789abcdef";
	const uint8_t *from = bytes;

	for (size_t i = 0; i < n; i++) {
		*out++ = digits[from[i] >> 4];
		*out++ = digits[from[i] & 15];
	}
	*out = '\0';
}

static int digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

bool crypto_unhex(struct slice text, void *out, size_t n)
{
	uint8_t *to = out;

	if (text.len / 2 != n || text.len % 2)
		return false;
	for (size_t i = 0; i < text.len; i++)
		if (digit(text.ptr[i]) < 0)
			return false;
	for (size_t i = 0; i < n; i++)
		to[i] = (uint8_t)(digit(text.ptr[2 * i]) << 4 | digit(text.ptr[2 * i + 1]));
	return true;
}

uint32_t crypto_crc32(struct slice text)
{
	uint32_t crc = UINT32_MAX;

	/* Half a byte at a time: a table of 16 words, for texts of some hundred bytes. */
	static const uint32_t table[16] = { 0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac,
		0x76dc4190, 0x6b6b51f4, 0x4db26158, 0x5005713c, 0xedb88320, 0xf00f9344, 0xd6d6a3e8,
		0xcb61b38c, 0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c };

	for (size_t i = 0; i < text.len; i++) {
		crc ^= (uint8_t)text.ptr[i];
		crc = crc >> 4 ^ table[crc & 15];
		crc = crc >> 4 ^ table[crc & 15];
	}
	return ~crc;
}
