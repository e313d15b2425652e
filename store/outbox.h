/* store/outbox.h - tells Redis what it does not know of this host's journal.
 *
 * Every settle tells Redis at once. What did not arrive (Redis was away, the process died, a
 * replica took over that had not heard of it) is found here: the journal is read in order, Redis
 * is asked which of its records it knows, and receives the others. Each counts once by its id, so
 * asking again does no harm, and a journal may be sent as often as one likes.
 *
 * How far it was read is kept in Redis, by the store's identity, and changes together with what was
 * counted: a Redis that comes back from an old copy, or a replica that was behind, has the old
 * place, too, and is told again from there. A segment is therefore kept until it was known for
 * OUTBOX_KEEP_MS. HOME/shipped says so to whoever folds: all segments below its number are known.
 *
 * A home that Redis never heard of begins with its checkpoint: outbox_base.c.
 *
 * Threads: any; one process at a time, by ship.lock. Blocking: the journal and Redis.
 */
#ifndef STORE_OUTBOX_H
#define STORE_OUTBOX_H

#include "store/ledger_redis.h"

#define OUTBOX_LOCK       "ship.lock"
#define OUTBOX_FILE       "shipped"
#define OUTBOX_KEEP_MS    INT64_C(3600000)        /* longer than Redis waits between two copies */
#define OUTBOX_ABANDON_MS (INT64_C(7) * 86400000) /* without a Redis, nobody will come any more */

/* Reads up to records_max records further (0 = all). *sent: those that Redis did not know; *done:
 * the end was reached. ERR_BUSY: another process is at it; ERR_STORE. */
MUST_CHECK enum err_code outbox_ship(struct ledger *l, bool from_start, size_t records_max,
	uint64_t *sent, bool *done, struct err *e);

/* A part of it, for who ticks. That Redis is away is logged once a minute. */
enum err_code outbox_tick(struct ledger *l, struct ledger_now now, struct err *e);

/* Notes in HOME/shipped that all segments below this one are known. */
MUST_CHECK enum err_code outbox_note(struct ledger *l, uint64_t segment, struct err *e);

/* May this segment, which no checkpoint needs, be removed? */
bool outbox_may_remove(const struct ledger *l, uint64_t segment);

/* Bytes of the journal behind a place. */
uint64_t outbox_behind(const struct ledger *l, struct ledger_place place);

/* Adds the books folded so far to those in Redis, once for this store, and has its journal
 * begin behind them. The caller holds ship.lock. */
MUST_CHECK enum err_code outbox_send_base(
	struct ledger *l, struct ledger_place *out, struct err *e);

#endif
