/* store/keys.h - API keys: who may call the gateway.
 *
 * Keys made by keys_create() live in GATEWAY_HOME/keys.gdbm, a file that is replaced whole
 * (gdbm_file.h). Only HMAC-SHA256(pepper, key) is kept, with the pepper in a file of its own, so
 * that neither file alone, nor a copy of keys.gdbm, tells anything about a key. Keys of
 * GATEWAY_API_KEYS are kept in memory, hashed as well.
 *
 * In keys.gdbm: 'K' + hash → key_record.h; 'I' + id → hash.
 *
 * Blocking: a check reads files; a change waits up to 10 s for another change.
 * Threads:  any number; locked inside.
 */
#ifndef STORE_KEYS_H
#define STORE_KEYS_H

#include "store/key_record.h"
#include "store/key_text.h"

#define KEYS_ENV_MIN 16 /* characters of a key in GATEWAY_API_KEYS */

enum keys_verdict {
	KEYS_VALID,
	KEYS_MALFORMED, /* cannot be a key of ours: most likely a typing error */
	KEYS_UNKNOWN,   /* to a client, this and the next look the same */
	KEYS_REVOKED,
};

struct keys;

/* Opens the keys of a GATEWAY_HOME, which need not exist yet, and those in env_keys (the value
 * of GATEWAY_API_KEYS; may be ""). Nothing is created. ERR_CONF when env_keys is malformed,
 * ERR_STORE when the files are open to others or cannot be read. */
MUST_CHECK enum err_code keys_open(
	struct keys **out, const char *home, const char *env_keys, struct err *e);
void keys_close(struct keys *k);

/* Judges a key. *info is filled when it is valid or revoked. The same work is done whatever the
 * verdict. ERR_STORE when that cannot be known now. */
MUST_CHECK enum err_code keys_check(struct keys *k, struct slice text, enum keys_verdict *verdict,
	struct key_info *info, struct err *e);

/* Makes a key called name and writes its text, which is not kept: wipe it after use. The home
 * folder and the pepper are made when they are missing. On ERR_OK the key is durable.
 * ERR_BAD_REQUEST (name), ERR_BUSY, ERR_STORE. */
MUST_CHECK enum err_code keys_create(struct keys *k, const char *name, int64_t now_ms,
	char text[KEY_TEXT_SIZE], struct key_info *info, struct err *e);

/* Revokes the key with this id, or else the only unrevoked one with this name. *info shows it.
 * ERR_NOT_FOUND, ERR_BAD_REQUEST (the name is ambiguous, the key is one of GATEWAY_API_KEYS, or
 * was revoked already), ERR_BUSY, ERR_STORE. */
MUST_CHECK enum err_code keys_revoke(struct keys *k, const char *id_or_name, int64_t now_ms,
	struct key_info *info, struct err *e);

/* Gives all keys, oldest first, those of GATEWAY_API_KEYS before; free(*list). */
MUST_CHECK enum err_code keys_list(
	struct keys *k, struct key_info **list, size_t *count, struct err *e);

/* Is keys.gdbm damaged, so that checks are answered from the state before the last change? */
bool keys_is_damaged(struct keys *k);

/* Makes that state the current one, so that changes are possible again. ERR_STORE when nothing
 * is damaged, or nothing good is left. */
MUST_CHECK enum err_code keys_restore(struct keys *k, struct err *e);

#endif
