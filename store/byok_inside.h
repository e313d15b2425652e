/* store/byok_inside.h - what byok.c, which reads, and byok_change.c share. Nobody else.
 */
#ifndef STORE_BYOK_INSIDE_H
#define STORE_BYOK_INSIDE_H

#include "store/byok.h"
#include "store/gdbm_file.h"
#include "store/home.h"

#include <pthread.h>

#define BYOK_LOCK_NAME "byok.lock"
#define BYOK_PLACE_MAX (2 + PEOPLE_ID_SIZE + 1 + BYOK_PROVIDER_SIZE)

struct byok {
	char home[HOME_PATH_MAX];
	char *setting;
	struct gdbm_file *file;
	struct share *share;  /* NULL = this host's alone */
	pthread_mutex_t lock; /* over the ring */
	struct byok_ring ring;
};

/* The key of a record in the file: whose it is, and for which provider. Lent from out. */
struct byok_place {
	char bytes[BYOK_PLACE_MAX];
};
struct slice byok_place(
	struct byok_place *out, const struct byok_owner *owner, const char *provider);

/* A damaged record is, to who asks, a store that cannot be read. */
enum err_code byok_outward(enum err_code rc);

bool byok_is_owner(const struct byok_owner *a, const struct byok_owner *b);

/* ERR_STORE: says which master key is missing, and for which record. */
enum err_code byok_no_master_key(const struct byok_info *i, struct err *e);

/* Appends the secret of a record. */
MUST_CHECK enum err_code byok_unseal(const struct byok_record *r, const struct byok_ring_key *with,
	struct buf *secret, struct err *e);

/* ---- for walks over the file: gdbm_on_record ---- */

/* ctx: nothing. Is the record whole? */
MUST_CHECK enum err_code byok_check_record(
	void *ctx, struct slice key, struct slice value, struct err *e);

/* ctx: a listing, which grows; whoever began it frees the list. */
struct byok_listing {
	const struct byok_owner *owner; /* NULL = everybody */
	struct byok_info *list;
	size_t count;
};
MUST_CHECK enum err_code byok_collect(
	void *ctx, struct slice key, struct slice value, struct err *e);

#endif
