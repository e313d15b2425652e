/* base/crypto.h - the door to OpenSSL: hashes, keyed hashes, randomness, encodings.
 * Failures of the library itself (no entropy, no memory) abort the process: there is no safe
 * way on. Nothing here blocks or logs. Threads: any.
 */
#ifndef BASE_CRYPTO_H
#define BASE_CRYPTO_H

#include "base/buf.h"

#define SHA1_BYTES       20
#define SHA256_BYTES     32
#define CRYPTO_KEY_BYTES 32 /* of AES-256 */
#define CRYPTO_IV_BYTES  12
#define CRYPTO_TAG_BYTES 16

void crypto_sha256(struct slice text, uint8_t out[SHA256_BYTES]);
/* Redis names scripts by it: it proves nothing. */
void crypto_sha1(struct slice text, uint8_t out[SHA1_BYTES]);

/* The same of a text that comes in pieces. Needs no end but crypto_hash_end(). */
struct crypto_hash {
	uint64_t opaque[14];
};
void crypto_hash_begin(struct crypto_hash *h);
void crypto_hash_add(struct crypto_hash *h, struct slice piece);
void crypto_hash_end(struct crypto_hash *h, uint8_t out[SHA256_BYTES]); /* wipes h */

void crypto_hmac_sha256(struct slice key, struct slice text, uint8_t out[SHA256_BYTES]);

/* The same with a key that is used for each request, made ready once: half the work. It is as
 * secret as the key. */
struct crypto_hmac {
	struct crypto_hash inner, outer;
};
void crypto_hmac_begin(struct crypto_hmac *h, struct slice key);
void crypto_hmac_of(const struct crypto_hmac *h, struct slice text, uint8_t out[SHA256_BYTES]);

void crypto_random(void *out, size_t n);

/* Made by crypto_seal() and kept beside what it sealed. No secret. */
struct crypto_seal {
	uint8_t iv[CRYPTO_IV_BYTES];
	uint8_t tag[CRYPTO_TAG_BYTES];
};

/* AES-256-GCM: writes text.len bytes and s->tag. with is not in the bytes, but they open with the
 * same one only. */
void crypto_seal(const uint8_t key[CRYPTO_KEY_BYTES], struct slice with, struct slice text,
	struct crypto_seal *s, void *out);
/* Writes sealed.len bytes. False, and out is wiped, when anything is not as it was sealed. */
MUST_CHECK bool crypto_open(const uint8_t key[CRYPTO_KEY_BYTES], struct slice with,
	struct slice sealed, const struct crypto_seal *s, void *out);

/* Equal in time that depends on n alone. */
bool crypto_equal(const void *a, const void *b, size_t n);

/* Overwrites in a way the compiler keeps. */
void crypto_wipe(void *p, size_t n);

/* Lower-case hexadecimal: writes 2n characters and a NUL. */
void crypto_hex(const void *bytes, size_t n, char *out);
/* Reads exactly 2n hexadecimal digits, any case; false for anything else. */
MUST_CHECK bool crypto_unhex(struct slice text, void *out, size_t n);

/* Appends the RS256 signature of text (RSASSA-PKCS1-v1_5 with SHA-256) made with a private RSA key
 * in PEM, not encrypted. False, and nothing is appended, when pem holds none, one of less than
 * 2,048 bits, or out has no room. */
MUST_CHECK bool crypto_rs256(struct slice pem, struct slice text, struct buf *out);

uint32_t crypto_crc32(struct slice text); /* IEEE 802.3, as zlib's crc32() */

#endif
