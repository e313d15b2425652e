/* store/people_file.h - keys.gdbm: keys, users, organisations and members in one file, so that a
 * change that concerns several of them is one transaction (gdbm_file.h).
 *
 * A record's key is a letter and one or two texts:
 *
 * - 'K' and the hash of a key's text: key_record.h
 * - 'I' and the id of a key: that hash
 * - 'U' and the id of a user, 'O' and the id of an organisation: people_record.h
 * - 'G' and a slug: the id of the organisation
 * - 'M' and the ids of organisation and user: the member
 * - 'S': the schema of the file, u32
 * - 'P': the fingerprint of the pepper, once hosts share the file
 * - 'E', 'F': the marks of share.h
 *
 * A file without 'S' has schema 1: keys of version 1 and nothing else. It is read as it is. The
 * first change makes it schema 2 and keeps the file as it was as keys.gdbm.v1. A newer schema is
 * refused.
 *
 * Blocking: reading reads files; a change waits up to 10 s for another change.
 * Threads:  reading any number, locked inside; a change is one thread's.
 */
#ifndef STORE_PEOPLE_FILE_H
#define STORE_PEOPLE_FILE_H

#include "store/gdbm_file.h"
#include "store/share.h"

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

/* The file is a copy of what is in Redis from now on (people_share.h). Takes share, which it was
 * opened for. */
void people_file_set_share(struct people_file *f, struct share *share);
struct share *people_file_share(const struct people_file *f); /* lent, or NULL */
/* What a share of it is opened with. */
struct share_conf people_file_share_conf(struct people_file *f);

/* ERR_STORE: it is a copy, and nothing was said of the Redis it is one of. */
MUST_CHECK enum err_code people_file_refuse_copy(struct people_file *f, struct err *e);

/* Puts the fingerprint of the pepper into a file that is to be shared and has records. */
MUST_CHECK enum err_code people_file_mark_pepper(struct people_file *f, struct err *e);

/* ERR_STORE: it is not the pepper that the hashes of the file were made with. */
MUST_CHECK enum err_code people_file_check_pepper(
	struct people_file *f, const uint8_t *pepper, struct err *e);

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
	struct people_file *file;
	struct gdbm_change *change;
	struct share_change shared;
	bool is_locked;
	int lock_fd; /* while is_locked */
};

/* The home folder exists. ERR_BUSY, ERR_STORE. Of a file that is shared: when Redis cannot be
 * reached, too; and the change is there before it is here. */
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
