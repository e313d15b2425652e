/* store/gdbm_file.h - GDBM files as checkpoints: files that are replaced whole.
 *
 * GDBM loses data when a process dies while it changes a file in place (store-lab.md section
 * 1.5). So no file is ever changed: a writer copies it, changes the copy, seals it (its size and
 * the number of its records are a record in it), links the old one to NAME.prev and renames the
 * copy over it. Whoever dies at any instant leaves the old file or the new one.
 *
 * Readers keep a handle, look at the file's identity before each use, and open it again when
 * another file has taken its place. A file that cannot be read, or is not what its seal says, is
 * answered from NAME.prev, with an alarm in the log; writing is then refused until
 * gdbm_file_restore() was asked for.
 *
 * Keys and values are any bytes; a key that begins with byte 1 is the door's own.
 * Blocking: file reads and writes; never waits for another process.
 */
#ifndef STORE_GDBM_FILE_H
#define STORE_GDBM_FILE_H

#include "base/buf.h"

/* Receives a record, lent during the call; anything but ERR_OK stops the walk. ERR_IO says that
 * the record is damaged. */
typedef enum err_code (*gdbm_on_record)(
	void *ctx, struct slice key, struct slice value, struct err *e);

/* ---- reading: any number of threads, locked inside ---- */

struct gdbm_file;

/* Opens home/name. A file that is not there yet is an empty one. ERR_STORE when the folder or
 * the file is open to others, or neither the file nor its .prev can be read. */
MUST_CHECK enum err_code gdbm_file_open(
	struct gdbm_file **out, const char *home, const char *name, struct err *e);
void gdbm_file_close(struct gdbm_file *f);

/* Appends the value of key to out. ERR_NOT_FOUND (e untouched), ERR_STORE. */
MUST_CHECK enum err_code gdbm_file_fetch(
	struct gdbm_file *f, struct slice key, struct buf *out, struct err *e);

/* The same without looking whether another file has taken the place: for the later of several
 * fetches that answer one question. */
MUST_CHECK enum err_code gdbm_file_fetch_next(
	struct gdbm_file *f, struct slice key, struct buf *out, struct err *e);

/* Calls on_record for every record, in no order; it must not use f. */
MUST_CHECK enum err_code gdbm_file_each(
	struct gdbm_file *f, gdbm_on_record on_record, void *ctx, struct err *e);

/* Are reads answered from .prev? As of the last fetch or walk. */
bool gdbm_file_is_damaged(struct gdbm_file *f);

/* ---- writing: one process at a time, whose caller holds the lock of the file; one thread ---- */

struct gdbm_change;

/* Verifies the whole file, each record with check (may be NULL), and makes the copy.
 * ERR_STORE when it is damaged: nothing is written on top of a loss. */
MUST_CHECK enum err_code gdbm_change_begin(struct gdbm_change **out, const char *home,
	const char *name, gdbm_on_record check, void *ctx, struct err *e);

/* The same beginning with an empty file, whatever there is: for what can be had from elsewhere. A
 * file that is whole becomes .prev. */
MUST_CHECK enum err_code gdbm_change_anew(
	struct gdbm_change **out, const char *home, const char *name, struct err *e);

/* How many records there are by now. */
uint64_t gdbm_change_records(const struct gdbm_change *c);

MUST_CHECK enum err_code gdbm_change_put(
	struct gdbm_change *c, struct slice key, struct slice value, struct err *e);
/* ERR_NOT_FOUND when there is no such key. */
MUST_CHECK enum err_code gdbm_change_remove(struct gdbm_change *c, struct slice key, struct err *e);
MUST_CHECK enum err_code gdbm_change_fetch(
	struct gdbm_change *c, struct slice key, struct buf *out, struct err *e);

/* Puts the copy in the file's place: all of it or, when it fails, nothing. On return ERR_OK it
 * survives a power cut. Ends c in any case. */
MUST_CHECK enum err_code gdbm_change_commit(struct gdbm_change *c, struct err *e);
void gdbm_change_abort(struct gdbm_change *c);

/* Makes .prev the file again; a damaged one is kept as NAME.damaged. The caller holds the lock.
 * ERR_STORE when the file is not damaged, or .prev is not good either. */
MUST_CHECK enum err_code gdbm_file_restore(
	const char *home, const char *name, gdbm_on_record check, void *ctx, struct err *e);

#endif
