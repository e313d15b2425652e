/* store/share.h - a GDBM file that several hosts have in common: the truth is in Redis, and the
 * file is each host's copy of it, which requests are answered from.
 *
 * In Redis, all names with one tag, so that a cluster keeps them in one slot:
 *     PREFIX:{PREFIX}:TOPIC         a hash: the records of the file, key → value, and 'E' → its
 * mark PREFIX:{PREFIX}:TOPIC:log     a list, newest first: which keys each of the last changes
 *                                   concerned, so that a host fetches those alone
 *     PREFIX:{PREFIX}:TOPIC:lock    whoever changes it, for SHARE_LOCK_MS at most
 *     PREFIX:{PREFIX}:TOPIC:new     what is being moved there; expires
 * A mark is the number of changes, a word for the history they are in, and a random one
 * ("57-5b0c11d2-09af…"), so that no two are one by chance. In the file the record 'E' holds it too,
 * newest first, and those before.
 *
 * A change is made under the lock of Redis and that of the file, on a copy that was brought up to
 * date, and is pushed by one script that compares marks. Redis has it before the file has.
 *
 * When Redis has lost changes (a crash before its file was synced, a replica that lagged), a host
 * that has them gives them back: then the mark in Redis is one of this host's past. Any other
 * difference within a history is settled in favour of Redis, unless that lacks SHARE_PAST changes.
 * A file without a mark is nobody's copy: it is never overwritten; and neither a Redis without a
 * mark nor one in which another history was begun empties a file (share_move.h).
 *
 * Errors: ERR_STORE: Redis cannot be reached or has something else, the message says what to do.
 * Blocking: share_tick() and all below it for a few calls of Redis, and while a file is replaced.
 * Threads: any; a change is one thread's.
 */
#ifndef STORE_SHARE_H
#define STORE_SHARE_H

#include "store/gdbm_file.h"
#include "store/redis.h"

#define SHARE_TICK_MS    1000
#define SHARE_LOCK_MS    15000
#define SHARE_MARK_SIZE  48 /* NUL included */
#define SHARE_PAST       64 /* marks that the file keeps */
#define SHARE_RECORD_MAX 65536

struct share;

struct share_conf {
	struct redis *redis;    /* as the next, outlives the share; NULL: share_leave() alone */
	struct gdbm_file *file; /* home/name */
	const char *home, *name, *lock_name;
	const char *topic; /* what it is called in Redis */
	/* Is a record fit to be taken over, or to be written on? It gets the mark, too. */
	gdbm_on_record check;
	void *ctx;
	const char *same; /* key of a record that two files to be joined agree on; NULL = none */
};

MUST_CHECK enum err_code share_open(
	struct share **out, const struct share_conf *conf, struct err *e);
void share_close(struct share *s); /* NULL is fine */

/* ---- following ---- */

/* Looks, once in SHARE_TICK_MS, whether Redis has something else, and takes it over, unless
 * another process of this host is at it. What fails is logged when it begins and when it ends. */
void share_tick(struct share *s, int64_t mono_ms);
/* The same now, waiting for that other process. ERR_STORE, ERR_BUSY. */
MUST_CHECK enum err_code share_take(struct share *s, struct err *e);
/* The same if the copy has seen fewer than so many changes. */
MUST_CHECK enum err_code share_expect(struct share *s, uint64_t changes, struct err *e);

/* ---- changing ---- */

/* { 0 } is one that never began. */
struct share_change {
	struct share *share;
	char token[20]; /* of the lock, while it is held */
	char before[SHARE_MARK_SIZE], after[SHARE_MARK_SIZE];
	struct buf past; /* the record 'E' as it was */
	struct buf words;
	size_t count;
};

/* The lock of the file is held. Takes the one in Redis, and brings the file up to date. On an
 * error c never began. ERR_BUSY: another host changes it; ERR_STORE. */
MUST_CHECK enum err_code share_change_begin(struct share_change *c, struct share *s, struct err *e);
/* value NULL: the record is gone. Nothing is done when c never began, here and below. */
void share_change_note(struct share_change *c, struct slice key, const struct slice *value);
/* Puts everything that was noted into Redis, and the mark into the file, which then is to be
 * committed. ERR_BUSY: another was faster. ERR_STORE: it is not there, or the message says that
 * this is not known. */
MUST_CHECK enum err_code share_change_push(
	struct share_change *c, struct gdbm_change *file, struct err *e);
void share_change_end(struct share_change *c);

/* ---- the file by itself ---- */

/* Is this the key of the mark, or of the one that a file of its own had once ('F')? They are no
 * records of the file's owner. */
bool share_is_mark(struct slice key);
/* How many records the file has, without the mark. */
MUST_CHECK enum err_code share_count(struct share *s, uint64_t *out, struct err *e);
/* For a change without a share. ERR_STORE: the file is a copy. */
MUST_CHECK enum err_code share_refuse_copy(struct gdbm_file *file, const char *name, struct err *e);

#endif
