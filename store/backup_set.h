/* store/backup_set.h - what backup.c and backup_restore.c have in common: the files of a home, and
 * the manifest. Not for others.
 */
#ifndef STORE_BACKUP_SET_H
#define STORE_BACKUP_SET_H

#include "store/backup.h"

#define BACKUP_KEYS_LOCK    "keys.lock"
#define BACKUP_LOCK_WAIT_MS 10000

/* Adds the files of home that a backup has, sorted by name; those of archive/ too. */
MUST_CHECK enum err_code backup_list(struct backup *b, const char *home, struct err *e);

/* Lends the entry called name, or NULL. */
const struct backup_file *backup_find(const struct backup *b, const char *name);

/* Adds an entry. */
MUST_CHECK enum err_code backup_add(
	struct backup *b, const struct backup_file *file, struct err *e);

void backup_manifest_write(const struct backup *b, struct buf *out);
/* ERR_STORE: not one, damaged, or of a newer program. */
MUST_CHECK enum err_code backup_manifest_read(
	struct backup *b, struct slice text, const char *path, struct err *e);

/* "replaced-20261121T085646.123Z", or what follows it if that is taken in home. */
MUST_CHECK enum err_code backup_replaced_name(
	const char *home, int64_t wall_ms, char out[64], struct err *e);

/* Opens a backup to read. */
MUST_CHECK enum err_code backup_open(const char *path, int *fd, struct err *e);

static inline bool backup_is_checkpoint(struct slice name)
{
	return slice_is(name, "ledger.gdbm") ||
	       (slice_starts(name, "usage.") && slice_ends(name, ".gdbm"));
}

static inline bool backup_is_segment(struct slice name)
{
	return slice_starts(name, "journal.");
}

#endif
