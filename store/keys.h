/* store/keys.h - API keys: who may call the gateway.
 *
 * Keys made by keys_create() live in GATEWAY_HOME/keys.gdbm, a file that is replaced whole
 * (people_file.h). Only HMAC-SHA256(pepper, key) is kept, with the pepper in a file of its own, so
 * that neither file alone, nor a copy of keys.gdbm, tells anything about a key. Keys of
 * GATEWAY_API_KEYS are kept in memory, hashed as well.
 *
 * A key is its id: its text can be replaced (keys_rotate) while usage, limits and budget go on
 * under the same id. For a while both texts may work; at most two do.
 *
 * Blocking: a check reads files; a change waits up to 10 s for another change.
 * Threads:  any number; locked inside.
 */
#ifndef STORE_KEYS_H
#define STORE_KEYS_H

#include "store/key_text.h"
#include "store/people.h"

enum keys_verdict {
	KEYS_VALID,
	KEYS_MALFORMED, /* cannot be a key of ours: most likely a typing error */
	KEYS_UNKNOWN,   /* to a client, this and the next look the same */
	KEYS_REVOKED,   /* or expired, or a text that was replaced and has ended */
};

struct keys;

/* Opens the keys of a GATEWAY_HOME, which need not exist yet, and those in env_keys (the value
 * of GATEWAY_API_KEYS; may be ""). Nothing is created. ERR_CONF when env_keys is malformed,
 * ERR_STORE when the files are open to others or cannot be read. */
MUST_CHECK enum err_code keys_open(
	struct keys **out, const char *home, const char *env_keys, struct err *e);
void keys_close(struct keys *k);

/* The file of the keys, which also holds users and organisations; lent until keys_close(). */
struct people_file *keys_people(struct keys *k);

/* Judges a key at a time. *info is filled when it is valid or revoked. The same work is done
 * whatever the verdict. ERR_STORE when that cannot be known now. */
MUST_CHECK enum err_code keys_check_at(struct keys *k, struct slice text, int64_t now_ms,
	enum keys_verdict *verdict, struct key_info *info, struct err *e);
/* The same now. */
MUST_CHECK enum err_code keys_check(struct keys *k, struct slice text, enum keys_verdict *verdict,
	struct key_info *info, struct err *e);

/* Which members of a struct key_info keys_edit() sets. */
enum keys_set {
	KEYS_SET_NAME = 1 << 0,
	KEYS_SET_REQUESTS = 1 << 1, /* requests_per_minute */
	KEYS_SET_TOKENS = 1 << 2,   /* tokens_per_minute */
	KEYS_SET_CONCURRENT = 1 << 3,
	KEYS_SET_BUDGET = 1 << 4, /* budget_microusd and budget_window */
	KEYS_SET_MODELS = 1 << 5,
	KEYS_SET_EXPIRES = 1 << 6,
	KEYS_SET_ALL = (1 << 7) - 1,
};

/* Makes a key and writes its text, which is not kept: wipe it after use. Name, user, organisation
 * (id or slug in want->org), limits, models and expiry are those of want; everything else in it
 * is made here. User and organisation exist, and are member and organisation when both are
 * there. The home folder and the pepper are made when they are missing. On ERR_OK the key is
 * durable. ERR_BAD_REQUEST (what is wrong), ERR_NOT_FOUND (who is missing), ERR_BUSY, ERR_STORE. */
MUST_CHECK enum err_code keys_create(struct keys *k, const struct key_info *want, int64_t now_ms,
	char text[KEY_TEXT_SIZE], struct key_info *info, struct err *e);

/* What follows takes the id of a key, or else the name of the only unrevoked one that has it.
 * ERR_NOT_FOUND, ERR_BAD_REQUEST (the name is ambiguous), and for changes ERR_BAD_REQUEST (the
 * key is one of GATEWAY_API_KEYS, or is revoked), ERR_BUSY, ERR_STORE. *info shows the key. */

MUST_CHECK enum err_code keys_get(
	struct keys *k, const char *id_or_name, struct key_info *info, struct err *e);

/* Sets what set (KEYS_SET_…) names to the values in to. Whose key it is cannot be changed: its
 * usage is on their account. */
MUST_CHECK enum err_code keys_edit(struct keys *k, const char *id_or_name, unsigned set,
	const struct key_info *to, struct key_info *info, struct err *e);

/* Gives the key another text, written as by keys_create(). The one before works for overlap_ms
 * more (0..KEYS_OVERLAP_MAX_MS); one from before that ends at once. */
#define KEYS_OVERLAP_MAX_MS (INT64_C(90) * 86400000)
MUST_CHECK enum err_code keys_rotate(struct keys *k, const char *id_or_name, int64_t overlap_ms,
	int64_t now_ms, char text[KEY_TEXT_SIZE], struct key_info *info, struct err *e);

/* Ends the key, with all texts it has. */
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
