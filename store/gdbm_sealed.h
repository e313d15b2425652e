/* store/gdbm_sealed.h - one GDBM file with its seal: what gdbm_file.c, which reads, and
 * gdbm_change.c, which writes, share. Nobody else.
 */
#ifndef STORE_GDBM_SEALED_H
#define STORE_GDBM_SEALED_H

#include "store/gdbm_file.h"
#include "store/home.h"

#include <sys/types.h>
#include <time.h>

struct gdbm_file_info; /* GDBM's handle */

/* What a file says of itself, under a key of its own. */
struct gdbm_seal {
	uint64_t file_bytes;
	uint64_t records; /* without the seal */
	uint64_t commits;
};

/* Which file a handle stands for. The change time is in it, so that a file altered in place, or
 * given other rights, is looked at again. */
struct gdbm_identity {
	dev_t dev;
	ino_t ino; /* 0 = there is none */
	off_t bytes;
	struct timespec changed;
};

/* home/name and home/name.prev. */
MUST_CHECK enum err_code gdbm_sealed_paths(const char *home, const char *name,
	char path[HOME_PATH_MAX], char prev[HOME_PATH_MAX], struct err *e);

bool gdbm_sealed_exists(const char *path);

/* Opens a finished file for reading. ERR_NOT_FOUND: there is none. ERR_IO: it is damaged.
 * ERR_STORE: it must not be used, or cannot be used now (no descriptors, no memory). */
MUST_CHECK enum err_code gdbm_sealed_open(const char *path, struct gdbm_file_info **dbf,
	struct gdbm_seal *seal, struct gdbm_identity *identity, struct err *e);
bool gdbm_sealed_close(struct gdbm_file_info *dbf);

/* Appends the value of key. ERR_NOT_FOUND, ERR_IO, ERR_NO_MEMORY. */
MUST_CHECK enum err_code gdbm_sealed_fetch(
	struct gdbm_file_info *dbf, struct slice key, struct buf *out);

/* ERR_IO when the file is damaged, else what on_record (may be NULL) says. */
MUST_CHECK enum err_code gdbm_sealed_walk(struct gdbm_file_info *dbf, const struct gdbm_seal *seal,
	gdbm_on_record on_record, void *ctx, struct err *e);

/* For a handle that may write; false: gdbm_call_text() says why. */
bool gdbm_sealed_store(struct gdbm_file_info *dbf, struct slice key, struct slice value);
bool gdbm_sealed_seal(struct gdbm_file_info *dbf, const struct gdbm_seal *seal);

#endif
