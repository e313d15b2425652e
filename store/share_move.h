/* store/share_move.h - moving a file of store/share.h to Redis and back, and looking at it.
 *
 * Every step may be interrupted anywhere and repeated: Redis gets all records at once, by a
 * rename, and the file is replaced whole.
 *
 * Errors: ERR_STORE, ERR_BUSY; the message says what to do. Blocking: yes. Threads: one.
 */
#ifndef STORE_SHARE_MOVE_H
#define STORE_SHARE_MOVE_H

#include "store/share.h"

/* May be told while it goes on: done of so many records. */
struct share_progress {
	void (*on_records)(void *ctx, const char *topic, uint64_t done, uint64_t of);
	void *ctx;
};

/* Records, and a sum over them that does not depend on their order. */
struct share_sum {
	uint64_t records;
	uint64_t sum;
};

struct share_moved {
	struct share_sum here, there; /* equal on ERR_OK */
	uint64_t sent;                /* records that Redis did not have; 0 = it was done before */
	uint64_t kept;                /* that Redis had with another value, and that stay so */
};

/* Puts the file's records into Redis, beside what another host has put there; from then on the
 * file is a copy. A file that once was one, of a Redis in which nothing has changed since, takes
 * the place of what is there: what was changed on this host alone counts. */
MUST_CHECK enum err_code share_give(
	struct share *s, const struct share_progress *p, struct share_moved *out, struct err *e);

/* Makes the file, brought up to date, one of its own. Redis is left as it is. */
MUST_CHECK enum err_code share_fetch(
	struct share *s, const struct share_progress *p, struct share_moved *out, struct err *e);

/* The same with the file as it is, without asking Redis. ERR_NOT_FOUND: it is no copy. */
MUST_CHECK enum err_code share_leave(struct share *s, struct err *e);

struct share_status {
	char here[SHARE_MARK_SIZE], there[SHARE_MARK_SIZE]; /* marks; "" = none */
	uint64_t records_here, records_there;               /* without the mark */
};
/* What is here is filled in any case. ERR_STORE: Redis was not reached. */
MUST_CHECK enum err_code share_look(struct share *s, struct share_status *out, struct err *e);

#endif
