/* store/books.h - the inside of a ledger: one process's grip on table, journal and checkpoint.
 * Only store/ includes it.
 *
 * Order of locks: state.lock (shared, for life) > fold.lock > a segment's flock > the mutex.
 */
#ifndef STORE_BOOKS_H
#define STORE_BOOKS_H

#include "store/checkpoint.h"
#include "store/follow.h"
#include "store/hot.h"
#include "store/lease.h"
#include "store/ledger.h"

#define BOOKS_FOLD_LOCK     "fold.lock"
#define BOOKS_FOLD_WAIT_MS  10000
#define BOOKS_BUILD_WAIT_MS 10000
#define BOOKS_SPARE_RECORDS 256 /* room kept beyond one record for each open reservation */
#define BOOKS_KEYS_SIZE     160

struct ledger {
	struct ledger_conf conf;
	struct hot hot;
	struct journal journal;
	struct follow follow;
	uint64_t pid;
	uint64_t born;
	char home[HOME_PATH_MAX];
	char keys[BOOKS_KEYS_SIZE]; /* what all keys in Redis begin with */
};

/* Takes the mutex and brings the table up to date, rebuilding it first when it has to be.
 * ERR_BUSY after wait_ms, ERR_STORE. On ERR_OK the caller ends with hot_unlock. */
MUST_CHECK enum err_code books_lock(struct ledger *l, int64_t wait_ms, struct err *e);

/* Loads a checkpoint; a damaged one is replaced by the one before it (the segments since are
 * kept for that), with an alarm. The caller holds fold.lock or is alone. */
MUST_CHECK enum err_code books_load(struct ledger *l, const char *name,
	struct checkpoint_meta *meta, gdbm_on_record on_record, void *ctx, struct err *e);

/* Fills a new table, its maker being alone: accounts, recent places, and a new segment. */
MUST_CHECK enum err_code books_build(struct ledger *l, struct ledger_now now, struct err *e);

/* Builds accounts and recent places anew from checkpoint and journal, under the mutex, with
 * everybody attached. Reservations and rates stay. Takes fold.lock. */
MUST_CHECK enum err_code books_rebuild(struct ledger *l, struct err *e);
/* The same for who holds fold.lock. */
MUST_CHECK enum err_code books_rebuild_locked(struct ledger *l, struct err *e);

/* Makes sure that every open reservation can be settled on a full disk. Without the mutex. */
MUST_CHECK enum err_code books_ask_room(struct ledger *l, struct err *e);

/* Refuses new reservations until a fold has saved what the disk did not take. */
void books_sync_failed(struct ledger *l);

/* Is it interval_ms since *last_ms? Of all who ask, one is told yes. */
static inline bool books_is_due(_Atomic int64_t *last_ms, int64_t interval_ms, int64_t mono_ms)
{
	int64_t last = atomic_load(last_ms);

	return mono_ms - last >= interval_ms &&
	       atomic_compare_exchange_strong(last_ms, &last, mono_ms);
}

static inline uint64_t books_room_needed(const struct hot *h)
{
	return hot_peek(&h->head->applied) +
	       (hot_peek(&h->head->leases_used) + BOOKS_SPARE_RECORDS) * RECORD_BYTES;
}

#endif
