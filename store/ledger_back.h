/* store/ledger_back.h - taking balances home from Redis, when a host leaves it.
 *
 * A home that shares its books keeps the journal of its own requests. What other hosts spent and
 * credited stands in Redis alone, and comes home as one credit for each balance. In Redis that
 * credit counts together with its opposite, by one call, so that it is known there by its id and
 * has changed nothing: a home that comes back to Redis later is not counted twice.
 */
#ifndef STORE_LEDGER_BACK_H
#define STORE_LEDGER_BACK_H

#include "store/ledger.h"

/* Makes the balance of subject (a user or an organisation) in alone, the ledger of a home opened
 * without Redis, what it is in shared, the same home opened with it, which was shipped. *there: the
 * balance in Redis; *credited: by how much the other differed, 0 = not at all. Interrupted anywhere
 * it may be called again. While requests are settled the two differ by those on their way: then
 * call it again until *credited is 0. ERR_STORE, ERR_BUSY, ERR_RANGE. Blocking: as ledger_credit.
 */
MUST_CHECK enum err_code ledger_back_balance(struct ledger *shared, struct ledger *alone,
	struct ledger_now now, uint64_t subject, int64_t *there, int64_t *credited, struct err *e);

#endif
