/* store/backup.h - everything that is kept in one file, and back.
 *
 * A backup is a tar archive (tar.h) of the files of GATEWAY_HOME: ledger.format, pepper,
 * keys.gdbm, ledger.gdbm, usage.DAY.gdbm, the segments of the journal behind them, and what is in
 * archive/. Last comes MANIFEST: size and SHA-256 of each file, and of the manifest itself. It
 * holds the pepper and the hashes of all keys, so it is a secret: mode 0600.
 *
 * Both work while the gateway runs. A backup has every request that was settled before it began.
 * A restore brings accounts, usage, keys, users and organisations back to what the backup has;
 * requests that are settled while it runs count on top of that. What it replaces stays in
 * HOME/replaced-TIME. One that was cut off is simply run again.
 *
 * Blocking: reads and writes all files. Threads: one.
 */
#ifndef STORE_BACKUP_H
#define STORE_BACKUP_H

#include "store/home.h"
#include "store/ledger.h"

#define BACKUP_FORMAT   1
#define BACKUP_MANIFEST "MANIFEST"
#define BACKUP_HASH     32

struct backup_file {
	char name[100];
	uint64_t bytes;
	uint8_t hash[BACKUP_HASH];
};

struct backup {
	struct backup_file *files;
	size_t n;
	uint64_t bytes;  /* of all files */
	int64_t made_ms; /* wall clock */
	char store[33];  /* hexadecimal */
};

void backup_fini(struct backup *b);

/* Told after each file; all may be 0 while that is not known. */
struct backup_progress {
	void (*on_file)(void *ctx, const char *name, uint64_t done_bytes, uint64_t all_bytes);
	void *ctx;
};

/* Is it the name of a file that a backup has? */
bool backup_has(const char *name);

/* Writes the backup of l's home to path, which must not be there yet. ERR_STORE: a file is
 * damaged (with what mends it), the disk is full, path exists; path is then not there. */
MUST_CHECK enum err_code backup_make(struct ledger *l, const char *path, struct ledger_now now,
	const struct backup_progress *progress, struct backup *out, struct err *e);

/* Reads a backup from its beginning to its end and compares every checksum. ERR_STORE, with what
 * is wrong. */
MUST_CHECK enum err_code backup_verify(const char *path, const struct backup_progress *progress,
	struct backup *out, struct err *e);

struct backup_restored {
	char replaced[64]; /* the folder below the home that has what was replaced */
	bool new_pepper;   /* running processes know the old one: they have to be started anew */
	uint64_t requests, credits, accounts;
};

/* Restores path into l's home. Before anything is changed, checksums are compared and the books
 * in the backup are proven like those of a running gateway. keep: what to do with the journal
 * inside. ERR_STORE, ERR_BUSY. */
MUST_CHECK enum err_code backup_restore(struct ledger *l, const char *path, struct ledger_now now,
	enum ledger_keep keep, const struct backup_progress *progress, struct backup_restored *out,
	struct err *e);

/* For books that cannot even be opened: moves everything that a backup would have to
 * HOME/replaced-TIME, if no process uses the store (else ERR_BUSY). */
MUST_CHECK enum err_code backup_set_aside(
	const char *home, struct ledger_now now, char replaced[64], struct err *e);

#endif
