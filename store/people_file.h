/* store/people_file.h - keys.gdbm: keys, users, organisations and members in one file, so that a
 * change that concerns several of them is one transaction (gdbm_file.h).
 *
 * A record's key is a letter and one or two texts:
 *     'K' hash of a key's text → key_record.h      'I' id of a key → that hash
 *     'U' id of a user         → people_record.h   'O' id of an organisation → people_record.h
 *     'G' slug                 → id                'M' id of an organisation, id of a user → a
 * member 'S'                      → the schema of the file, u32 A file without 'S' has schema 1:
 * keys of version 1 and nothing else. It is read as it is. The first change makes it schema 2 and
 * keeps the file as it was as keys.gdbm.v1. A newer schema is refused.
 *
 * Blocking: reading reads files; a change waits up to 10 s for another change.
 * Threads:  reading any number, locked inside; a change is one thread's.
 */
#ifndef STORE_PEOPLE_FILE_H
#define STORE_PEOPLE_FILE_H

#include "store/gdbm_file.h"

#define PEOPLE_FILE_NAME   "keys.gdbm"
#define PEOPLE_FILE_SCHEMA 2

struct people_file;

/* Opens the file of a GATEWAY_HOME; neither needs to exist. ERR_STORE. */
MUST_CHECK enum err_code people_file_open(
	struct people_file **out, const char *home, struct err *e);
void people_file_close(struct people_file *f);

const char *people_file_home(const struct people_file *f);
bool people_file_is_damaged(struct people_file *f);
/* As gdbm_file_restore. */
MUST_CHECK enum err_code people_file_restore(struct people_file *f, struct err *e);

/* ---- reading ---- */

/* Puts the value into out, in place of what it held. ERR_NOT_FOUND (e untouched), ERR_STORE. */
MUST_CHECK enum err_code people_file_fetch(struct people_file *f, char letter, struct slice a,
	struct slice b, struct buf *out, struct err *e);

/* Receives what is behind the letter of each record's key, and its value. */
typedef enum err_code (*people_on_record)(
	void *ctx, struct slice rest, struct slice value, struct err *e);

/* Every record with this letter, in no order; on_record must not use f. */
MUST_CHECK enum err_code people_file_each(
	struct people_file *f, char letter, people_on_record on_record, void *ctx, struct err *e);

/* ---- changing ---- */

/* { 0 } is a change that never began. */
struct people_change {
	struct gdbm_change *change;
	bool is_locked;
	int lock_fd; /* while is_locked */
};

/* The home folder exists. ERR_BUSY, ERR_STORE. */
MUST_CHECK enum err_code people_change_begin(
	struct people_change *c, struct people_file *f, struct err *e);
MUST_CHECK enum err_code people_change_put(struct people_change *c, char letter, struct slice a,
	struct slice b, struct slice value, struct err *e);
/* ERR_NOT_FOUND, e untouched, as in the next. */
MUST_CHECK enum err_code people_change_fetch(struct people_change *c, char letter, struct slice a,
	struct slice b, struct buf *out, struct err *e);
MUST_CHECK enum err_code people_change_remove(
	struct people_change *c, char letter, struct slice a, struct slice b, struct err *e);
/* Commits when rc is ERR_OK, else leaves everything as it was; returns what came of it. */
MUST_CHECK enum err_code people_change_end(
	struct people_change *c, enum err_code rc, struct err *e);

#endif
