/* store/share_inside.h - the inside of store/share.h: what is said to Redis (share_redis.c), and
 * what following, changing and moving have in common.
 */
#ifndef STORE_SHARE_INSIDE_H
#define STORE_SHARE_INSIDE_H

#include "store/share_move.h"

#include <pthread.h>
#include <stdatomic.h>

#define SHARE_MARK_KEY     SLICE("E")
#define SHARE_LEFT_KEY     SLICE("F") /* the mark it had when it became a file of its own */
#define SHARE_LOCK_WAIT_MS 10000
#define SHARE_KEY_MAX      160 /* of a name in Redis */

struct share {
	struct share_conf conf;
	char hash[SHARE_KEY_MAX], log[SHARE_KEY_MAX], lock[SHARE_KEY_MAX], fresh[SHARE_KEY_MAX];
	_Atomic int64_t due_ms;
	atomic_bool is_in_trouble; /* what is wrong was logged */
};

/* ---- marks ---- */

/* How many changes; 0 for none. */
uint64_t share_mark_changes(const char *mark);
/* The one behind it, with a word of its own; of "" the first of a history. */
void share_mark_next(const char *mark, char out[SHARE_MARK_SIZE]);
bool share_mark_is_of(const char *mark, const char *history_of);
/* The file's: *mark is "" when it has none; past (may be NULL) gets the whole record. */
MUST_CHECK enum err_code share_mark_read(
	struct gdbm_file *file, char mark[SHARE_MARK_SIZE], struct buf *past, struct err *e);
/* Puts newest and the lines of past behind it, SHARE_PAST at most. */
MUST_CHECK enum err_code share_mark_put(
	struct gdbm_change *file, const char *newest, struct slice past, struct err *e);

/* ---- the truth ---- */

/* Takes whatever is newer in Redis; the lock of the file is held. token: of the one in Redis, NULL
 * when that is not held. *mark is what both have then, "": nobody has anything. past as in
 * share_mark_read. */
MUST_CHECK enum err_code share_bring(struct share *s, const char *token, char mark[SHARE_MARK_SIZE],
	struct buf *past, struct err *e);
/* The whole of it, into a new file. */
MUST_CHECK enum err_code share_bring_whole(struct share *s, struct err *e);
/* Puts the whole file into Redis, if that has the mark before, which becomes after. is_joined:
 * beside what is there, which stays; else in its place. The lock in Redis is held. */
MUST_CHECK enum err_code share_send_whole(struct share *s, const char *before, const char *after,
	const char *token, bool is_joined, const struct share_progress *p, struct share_moved *out,
	struct err *e);
/* ---- what is said to Redis ---- */

/* ERR_STORE for all that is not an answer, with where. */
enum err_code share_redis_failed(const struct share *s, enum err_code rc, struct err *e);

/* The mark there, "" = none; records (may be NULL): without the mark. */
MUST_CHECK enum err_code share_redis_mark(
	struct share *s, char mark[SHARE_MARK_SIZE], uint64_t *records, struct err *e);

enum share_news_kind { NEWS_NOTHING_THERE, NEWS_SAME, NEWS_SOME, NEWS_WHOLE };
/* { 0 } to begin with; ended with redis_reply_fini(&n->reply), which owns all slices. */
struct share_news {
	enum share_news_kind kind;
	char mark[SHARE_MARK_SIZE];
	uint64_t fields;                 /* records there, and the mark */
	struct slice past;               /* marks, newest first, a line each */
	const struct redis_value *pairs; /* NEWS_SOME: key, value or nil, in turn */
	size_t n;                        /* pairs */
	struct redis_reply reply;
};
/* What changed since a mark. */
MUST_CHECK enum err_code share_redis_news(
	struct share *s, const char *since, struct share_news *out, struct err *e);

/* Every record, some twice; what changes meanwhile may be missing. Not the mark. */
MUST_CHECK enum err_code share_redis_each(
	struct share *s, gdbm_on_record on_record, void *ctx, struct err *e);

/* Takes the lock, waiting; ERR_BUSY. token is what opens it. */
MUST_CHECK enum err_code share_redis_lock(struct share *s, char token[20], struct err *e);
void share_redis_unlock(struct share *s, const char *token);

/* One change, c->words of it. *done false: the mark there is another one. */
MUST_CHECK enum err_code share_redis_write(const struct share_change *c, bool *done, struct err *e);

/* Begins to collect records aside: those that are there, or none. */
MUST_CHECK enum err_code share_redis_aside(
	struct share *s, bool with_present, uint64_t *present, struct err *e);
/* n pairs of key and value, which are added unless the key is there; counts. ERR_BUSY: the lock is
 * lost. */
MUST_CHECK enum err_code share_redis_add(struct share *s, const char *token,
	const struct slice *pairs, size_t n, struct share_moved *out, struct err *e);
/* Puts what was collected into place, if it is so many. *done as above. */
MUST_CHECK enum err_code share_redis_rename(struct share *s, const char *before, const char *after,
	uint64_t records, bool *done, struct err *e);

#endif
