/* OpenSSL's one-step digests, deprecated in favour of EVP, which looks an algorithm up in a
 * provider: that costs 2 ms at the start of every CGI request, and allocates for each hash where
 * a request needs six. The functions are the same assembly underneath. */
#define OPENSSL_SUPPRESS_DEPRECATED

#include "base/crypto.h"

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/sha.h>

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

static void must(bool worked)
{
	if (!worked)
		abort();
}

void crypto_sha256(struct slice text, uint8_t out[SHA256_BYTES])
{
	SHA256_CTX ctx;

	must(SHA256_Init(&ctx) && SHA256_Update(&ctx, text.len ? text.ptr : "", text.len) &&
		SHA256_Final(out, &ctx));
	OPENSSL_cleanse(&ctx, sizeof(ctx));
}

_Static_assert(sizeof(SHA256_CTX) <= sizeof(struct crypto_hash), "OpenSSL's state fits into ours");

static SHA256_CTX *state_of(struct crypto_hash *h)
{
	return (SHA256_CTX *)(void *)h->opaque;
}

void crypto_hash_begin(struct crypto_hash *h)
{
	must(SHA256_Init(state_of(h)));
}

void crypto_hash_add(struct crypto_hash *h, struct slice piece)
{
	must(SHA256_Update(state_of(h), piece.len ? piece.ptr : "", piece.len));
}

void crypto_hash_end(struct crypto_hash *h, uint8_t out[SHA256_BYTES])
{
	must(SHA256_Final(out, state_of(h)));
	OPENSSL_cleanse(h, sizeof(*h));
}

void crypto_sha1(struct slice text, uint8_t out[SHA1_BYTES])
{
	must(SHA1((const unsigned char *)(text.len ? text.ptr : ""), text.len, out) != NULL);
}

/* RFC 2104: the hashes that the padded key has begun. */
void crypto_hmac_begin(struct crypto_hmac *h, struct slice key)
{
	uint8_t inner[SHA256_CBLOCK], outer[SHA256_CBLOCK], short_key[SHA256_BYTES];

	if (key.len > sizeof(inner)) {
		crypto_sha256(key, short_key);
		key = (struct slice){ (const char *)short_key, sizeof(short_key) };
	}
	memset(inner, 0x36, sizeof(inner));
	memset(outer, 0x5c, sizeof(outer));
	for (size_t i = 0; i < key.len; i++) {
		inner[i] ^= (uint8_t)key.ptr[i];
		outer[i] ^= (uint8_t)key.ptr[i];
	}
	crypto_hash_begin(&h->inner);
	crypto_hash_add(&h->inner, (struct slice){ (const char *)inner, sizeof(inner) });
	crypto_hash_begin(&h->outer);
	crypto_hash_add(&h->outer, (struct slice){ (const char *)outer, sizeof(outer) });
	OPENSSL_cleanse(inner, sizeof(inner));
	OPENSSL_cleanse(outer, sizeof(outer));
	OPENSSL_cleanse(short_key, sizeof(short_key));
}

void crypto_hmac_of(const struct crypto_hmac *h, struct slice text, uint8_t out[SHA256_BYTES])
{
	struct crypto_hash hash = h->inner;
	uint8_t inner[SHA256_BYTES];

	crypto_hash_add(&hash, text);
	crypto_hash_end(&hash, inner);
	hash = h->outer;
	crypto_hash_add(&hash, (struct slice){ (const char *)inner, sizeof(inner) });
	crypto_hash_end(&hash, out);
	OPENSSL_cleanse(inner, sizeof(inner));
}

void crypto_hmac_sha256(struct slice key, struct slice text, uint8_t out[SHA256_BYTES])
{
	struct crypto_hmac h;

	crypto_hmac_begin(&h, key);
	crypto_hmac_of(&h, text, out);
	OPENSSL_cleanse(&h, sizeof(h));
}

/* The kernel's generator: OpenSSL's own costs 3 ms to set up, which every CGI request would pay. */
void crypto_random(void *out, size_t n)
{
	uint8_t *at = out;

	while (n) {
		ssize_t got = getrandom(at, n, 0);

		must(got > 0 || errno == EINTR);
		if (got > 0) {
			at += got;
			n -= (size_t)got;
		}
	}
}

/* Feeds with and text to a cipher that has its key, and takes what becomes of text. */
static bool run_cipher(
	EVP_CIPHER_CTX *ctx, struct slice with, struct slice text, unsigned char *out)
{
	int n;

	return with.len <= INT32_MAX && text.len <= INT32_MAX &&
	       (!with.len || EVP_CipherUpdate(ctx, NULL, &n, (const unsigned char *)with.ptr,
				     (int)with.len) == 1) &&
	       (!text.len || EVP_CipherUpdate(ctx, out, &n, (const unsigned char *)text.ptr,
				     (int)text.len) == 1);
}

void crypto_seal(const uint8_t key[CRYPTO_KEY_BYTES], struct slice with, struct slice text,
	struct crypto_seal *s, void *out)
{
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	unsigned char none[CRYPTO_TAG_BYTES];
	int n;

	crypto_random(s->iv, sizeof(s->iv));
	must(ctx && EVP_EncryptInit_ex(ctx, EVP_aes_256_gcm(), NULL, key, s->iv) == 1 &&
		run_cipher(ctx, with, text, out) && EVP_CipherFinal_ex(ctx, none, &n) == 1 &&
		EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_GCM_GET_TAG, CRYPTO_TAG_BYTES, s->tag) == 1);
	EVP_CIPHER_CTX_free(ctx);
}

bool crypto_open(const uint8_t key[CRYPTO_KEY_BYTES], struct slice with, struct slice sealed,
	const struct crypto_seal *s, void *out)
{
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	unsigned char none[CRYPTO_TAG_BYTES], tag[CRYPTO_TAG_BYTES];
	bool is_whole;
	int n;

	memcpy(tag, s->tag, sizeof(tag));
	must(ctx && EVP_DecryptInit_ex(ctx, EVP_aes_256_gcm(), NULL, key, s->iv) == 1 &&
		run_cipher(ctx, with, sealed, out) &&
		EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_GCM_SET_TAG, CRYPTO_TAG_BYTES, tag) == 1);
	is_whole = EVP_CipherFinal_ex(ctx, none, &n) == 1;
	EVP_CIPHER_CTX_free(ctx);
	if (!is_whole)
		crypto_wipe(out, sealed.len);
	return is_whole;
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

#define RSA_BITS_MIN 2048

/* Asked for the password of an encrypted key: without this OpenSSL asks on the terminal. */
static int no_password(char *out, int size, int writing, void *ctx)
{
	(void)out;
	(void)size;
	(void)writing;
	(void)ctx;
	return -1;
}

static EVP_PKEY *read_private_key(struct slice pem)
{
	BIO *bio = pem.len && pem.len < INT32_MAX ? BIO_new_mem_buf(pem.ptr, (int)pem.len) : NULL;
	EVP_PKEY *key = bio ? PEM_read_bio_PrivateKey(bio, NULL, no_password, NULL) : NULL;

	BIO_free(bio);
	if (key && (EVP_PKEY_base_id(key) != EVP_PKEY_RSA || EVP_PKEY_bits(key) < RSA_BITS_MIN)) {
		EVP_PKEY_free(key);
		key = NULL;
	}
	return key;
}

bool crypto_rs256(struct slice pem, struct slice text, struct buf *out)
{
	EVP_PKEY *key = read_private_key(pem);
	EVP_MD_CTX *ctx = key ? EVP_MD_CTX_new() : NULL;
	size_t n = key ? (size_t)EVP_PKEY_size(key) : 0;
	unsigned char *room = n ? (unsigned char *)buf_room(out, n) : NULL;
	bool worked = ctx && room && EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, key) == 1 &&
		      EVP_DigestSign(ctx, room, &n, (const unsigned char *)text.ptr, text.len) == 1;

	if (worked)
		buf_commit(out, n);
	EVP_MD_CTX_free(ctx);
	EVP_PKEY_free(key);
	ERR_clear_error(); /* else the next user of OpenSSL in this thread, curl, finds ours */
	return worked;
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
