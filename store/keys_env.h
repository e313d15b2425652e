/* store/keys_env.h - the keys of GATEWAY_API_KEYS: name=key,name2=key2. They are kept in memory,
 * hashed with a secret of this process, and have the ids "env:NAME".
 *
 * Ownership: the struct is the caller's; { 0 } is empty. Threads: read-only once read.
 */
#ifndef STORE_KEYS_ENV_H
#define STORE_KEYS_ENV_H

#include "base/crypto.h"
#include "store/key_record.h"

#define KEYS_ENV_SETTING "GATEWAY_API_KEYS"
#define KEYS_ENV_PREFIX  "env:"
#define KEYS_ENV_MIN     16 /* characters of a key */

struct keys_env_key {
	uint8_t hash[KEY_HASH_BYTES];
	struct key_info info;
};

struct keys_env {
	struct keys_env_key *keys;
	size_t count;
	struct crypto_hmac pepper; /* of this process alone */
};

/* ERR_CONF with the entry at fault, never its key. k is to be ended in any case. */
MUST_CHECK enum err_code keys_env_read(struct keys_env *k, const char *text, struct err *e);
void keys_env_fini(struct keys_env *k);

/* The key with this text, lent, or NULL. */
const struct key_info *keys_env_find(const struct keys_env *k, struct slice text);

#endif
