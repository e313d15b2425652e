/* tests/unit/rsa_key.h - a private key made for the moment, and what it has signed. */
#ifndef TESTS_UNIT_RSA_KEY_H
#define TESTS_UNIT_RSA_KEY_H

#include "base/buf.h"

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdlib.h>

struct rsa_key {
	EVP_PKEY *key;
	char pem[4096];
};

static inline void rsa_key_of(struct rsa_key *k, EVP_PKEY *key, const EVP_CIPHER *cipher)
{
	unsigned char password[] = "x";
	BIO *bio = BIO_new(BIO_s_mem());
	int n;

	k->key = key;
	if (!bio || !key ||
		PEM_write_bio_PrivateKey(
			bio, key, cipher, cipher ? password : NULL, 1, NULL, NULL) != 1)
		abort();
	n = BIO_read(bio, k->pem, sizeof(k->pem) - 1);
	if (n <= 0)
		abort();
	k->pem[n] = '\0';
	BIO_free(bio);
}

static inline void rsa_key_fini(struct rsa_key *k)
{
	EVP_PKEY_free(k->key);
	k->key = NULL;
}

/* Is signature RS256 of text? */
static inline bool rsa_key_signed(
	const struct rsa_key *k, struct slice text, struct slice signature)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	bool good = ctx && EVP_DigestVerifyInit(ctx, NULL, EVP_sha256(), NULL, k->key) == 1 &&
		    EVP_DigestVerify(ctx, (const unsigned char *)signature.ptr, signature.len,
			    (const unsigned char *)text.ptr, text.len) == 1;

	EVP_MD_CTX_free(ctx);
	return good;
}

#endif
