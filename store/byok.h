/* store/byok.h - users' and organisations' own keys at providers ("bring your own key").
 *
 * They live encrypted in GATEWAY_HOME/byok.gdbm, a file that is replaced whole (gdbm_file.h), one
 * for each owner and provider; byok_record.h has their form, byok_ring.h the master keys. Which
 * names of providers there are, and what their secrets look like, is for the caller to know.
 *
 * Every change is one transaction and is in effect for the next request of every process. A change
 * of the master key is no interruption: until every record is under the new one, both open.
 *
 * Units:    wall-clock milliseconds.
 * Blocking: reading reads files; a change waits up to 10 s for another change.
 * Threads:  any number; locked inside.
 */
#ifndef STORE_BYOK_H
#define STORE_BYOK_H

#include "store/byok_record.h"
#include "store/share.h"

#define BYOK_FILE_NAME "byok.gdbm"

struct byok;

/* Opens the keys of a GATEWAY_HOME, which need not exist yet; setting is the value of
 * GATEWAY_MASTER_KEY. Nothing is created. ERR_CONF, ERR_STORE as byok_ring_read. */
MUST_CHECK enum err_code byok_open(
	struct byok **out, const char *home, const char *setting, struct err *e);
void byok_close(struct byok *b);

/* As those of people_file.h. */
void byok_set_share(struct byok *b, struct share *share);
struct share *byok_share(const struct byok *b);
struct share_conf byok_share_conf(struct byok *b);

/* ---- for a request ---- */

/* Appends the secret of an enabled key to secret, which the caller wipes: that for the first of n
 * providers for which there is one, *which. The buffer does not move for a NUL behind it.
 * ERR_NOT_FOUND (e untouched): none, or all are disabled. ERR_STORE: it cannot be read or opened
 * now. */
MUST_CHECK enum err_code byok_secret(struct byok *b, const struct byok_owner *owner,
	const char *const *providers, size_t n, size_t *which, struct byok_info *info,
	struct buf *secret, struct err *e);

/* ---- for its owner and for the operator ---- */

/* Gives the keys of an owner, or of everybody (owner NULL), by owner and provider; free(*list). */
MUST_CHECK enum err_code byok_list(struct byok *b, const struct byok_owner *owner,
	struct byok_info **list, size_t *count, struct err *e);

/* Keeps a secret of 1..BYOK_SECRET_MAX bytes. Owner, provider, created_by, tail and the two
 * switches are those of want; the rest is made here. The home folder and the master key are made
 * when they are missing. On ERR_OK the key is durable. ERR_BAD_REQUEST with status 409: the owner
 * has one for this provider. ERR_BUSY, ERR_STORE. */
MUST_CHECK enum err_code byok_add(struct byok *b, const struct byok_info *want, struct slice secret,
	int64_t now_ms, struct byok_info *out, struct err *e);

/* Which members of a struct byok_info byok_edit() sets. */
enum byok_set {
	BYOK_SET_SECRET = 1 << 0, /* the secret, and its tail */
	BYOK_SET_DISABLED = 1 << 1,
	BYOK_SET_FALLBACK = 1 << 2,
};

/* Sets what set (BYOK_SET_…) names to the values in to. The key is named by its id or its
 * provider. ERR_NOT_FOUND: owner has no such key, whoever else has. ERR_BUSY, ERR_STORE. */
MUST_CHECK enum err_code byok_edit(struct byok *b, const struct byok_owner *owner,
	const char *id_or_provider, unsigned set, const struct byok_info *to, struct slice secret,
	int64_t now_ms, struct byok_info *out, struct err *e);

/* Forgets a key; named as for byok_edit(). */
MUST_CHECK enum err_code byok_remove(struct byok *b, const struct byok_owner *owner,
	const char *id_or_provider, struct byok_info *out, struct err *e);

/* Opens an encrypted key in the form of other gateways, as byok_record_import(). */
MUST_CHECK enum err_code byok_import(
	struct byok *b, struct slice json, struct buf *secret, struct err *e);

/* Encrypts every key anew under another master key: the first of GATEWAY_MASTER_KEY, or a new one
 * in byok.master, whose old ones are then dropped. Whoever dies in between leaves every key
 * readable, and the next call ends what was begun. *count is how many there are. ERR_NOT_FOUND:
 * there is no master key yet. ERR_STORE: nothing was dropped. ERR_BUSY. */
MUST_CHECK enum err_code byok_rotate(struct byok *b, size_t *count, struct err *e);

/* While byok.gdbm is damaged keys come from the state before the last change, and changes are
 * refused. This makes that state the current one. ERR_STORE when nothing is damaged, or nothing
 * good is left. ERR_BUSY. */
MUST_CHECK enum err_code byok_restore(struct byok *b, struct err *e);

#endif
