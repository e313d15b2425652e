/* store/ledger_redis.h - what the ledger asks of Redis; store/ledger.lua answers.
 *
 * Each is one round trip, and may be repeated when it is not known whether it was carried out:
 * reservations and records count once for each id.
 *
 * Errors: ERR_STORE, with retry_after_ms, when Redis is away or refuses (no memory, a replica, a
 * key that is not the ledger's): nothing was changed, or all of it was. Else as said. Threads: any.
 * Blocking: as store/redis.h. Only store/ includes it.
 */
#ifndef STORE_LEDGER_REDIS_H
#define STORE_LEDGER_REDIS_H

#include "store/admit.h"
#include "store/books.h"
#include "store/redis.h"

#define LEDGER_REDIS_SUM_MAX ((INT64_C(1) << 53) - 1) /* where sums stop, microdollars */
#define LEDGER_REDIS_BATCH   256                      /* records of one question */
#define LEDGER_REDIS_SEND    64                       /* records that one call adds */
#define LEDGER_REDIS_RELEASE 512                      /* reservations that one call ends */

/* The place in a journal up to which Redis knows it. */
struct ledger_place {
	uint64_t segment; /* 0 = nothing is known */
	uint64_t offset;
	uint64_t base; /* records of segments before this one were added as sums, without ids */
};

/* Writes l->keys. */
MUST_CHECK enum err_code ledger_redis_init(struct ledger *l, struct err *e);

/* What a reservation is called there: its request and its place in the table of its host. */
struct ledger_hold {
	uint64_t id; /* first half of the request's */
	uint32_t index;
	uint32_t generation;
};

/* As admit_decide and admit_take, on all hosts. lease: the place it was given in the table. */
MUST_CHECK enum err_code ledger_redis_reserve(struct ledger *l, struct ledger_now now,
	struct ledger_ask *ask, const struct ledger_lease *lease, struct ledger_refusal *refusal,
	struct err *e);
MUST_CHECK enum err_code ledger_redis_look(
	struct ledger *l, struct ledger_now now, struct ledger_ask *ask, struct err *e);

/* Counts n (1..LEDGER_REDIS_SEND) records that it does not know, and ends what was held for them;
 * to (may be NULL): then this journal is known up to there. *fresh: how many were counted. */
MUST_CHECK enum err_code ledger_redis_apply(struct ledger *l, const struct record *records,
	size_t n, const struct ledger_place *to, size_t *fresh, struct err *e);

/* Counts one record that was just written to this segment or a later one, as above. ERR_BUSY: the
 * books of this home are not in Redis yet, and may go there as sums that have it already; the
 * outbox tells it, or them. */
MUST_CHECK enum err_code ledger_redis_tell(
	struct ledger *l, const struct record *r, uint64_t segment, struct err *e);

/* Which of n (0..LEDGER_REDIS_BATCH) records does it not know? Their numbers, in order; when there
 * are none, this journal is known up to to (NULL: it is not noted). */
MUST_CHECK enum err_code ledger_redis_missing(struct ledger *l, const struct record *records,
	size_t n, const struct ledger_place *to, uint16_t missing[LEDGER_REDIS_BATCH],
	size_t *missing_n, struct err *e);

MUST_CHECK enum err_code ledger_redis_place(
	struct ledger *l, struct ledger_place *out, struct err *e);

/* Lays n (0..LEDGER_REDIS_SEND) accounts of the books folded so far ready to be added. *adding:
 * another state, that a call of before has begun to add; 0 = none. */
MUST_CHECK enum err_code ledger_redis_base_put(struct ledger *l, uint64_t folded,
	const struct account *accounts, size_t n, uint64_t *adding, struct err *e);
/* Adds all n accounts that lie ready, once for this store, and has its journal begin behind them.
 * n counts only before the first of them is added. */
MUST_CHECK enum err_code ledger_redis_base_add(
	struct ledger *l, uint64_t folded, uint64_t n, struct err *e);

/* Appends this store's identity in 32 digits. */
void ledger_redis_store(const struct ledger *l, char out[33]);
/* One command about a key of the ledger, name, which goes in front of the n (..2 *
 * LEDGER_REDIS_SEND) words that follow. */
MUST_CHECK enum err_code ledger_redis_command(struct ledger *l, const char *verb, const char *name,
	const struct slice *more, size_t n, struct redis_reply *reply, struct err *e);

/* Ends n (..LEDGER_REDIS_RELEASE) reservations; false: perhaps not. What cannot be ended ends at
 * its deadline. */
bool ledger_redis_release(struct ledger *l, const struct ledger_hold *holds, size_t n);

/* Ends what is overdue, of whichever host; returns how many. */
size_t ledger_redis_reap(struct ledger *l, struct ledger_now now);

/* May this be credited? ERR_RANGE when the sum would be too large. */
MUST_CHECK enum err_code ledger_redis_may_credit(struct ledger *l, struct ledger_id id,
	uint64_t subject, int64_t microusd, bool *already, struct err *e);

MUST_CHECK enum err_code ledger_redis_account(
	struct ledger *l, uint64_t subject, struct account *out, struct err *e);
/* ERR_NOT_FOUND: not among the latest 200,000 or so. */
MUST_CHECK enum err_code ledger_redis_find(
	struct ledger *l, struct ledger_id id, struct record *out, struct err *e);
MUST_CHECK enum err_code ledger_redis_usage(
	struct ledger *l, int64_t day, ledger_on_usage on_usage, void *ctx, struct err *e);
/* ERR_NOT_FOUND. */
MUST_CHECK enum err_code ledger_redis_name_text(
	struct ledger *l, uint64_t name, struct buf *out, struct err *e);

#endif
