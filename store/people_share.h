/* store/people_share.h - keys, people and users' provider keys in common with other hosts.
 *
 * keys.gdbm and byok.gdbm become copies of what is in Redis (share.h). The two secrets beside them
 * never go there: each host has the same file `pepper` and the same master key, brought there by
 * the operator. Redis has a fingerprint of the pepper ('P'), and a host with another one says so
 * instead of recognising no key.
 *
 * A change goes to Redis first and is in effect on every host within SHARE_TICK_MS or so. While
 * Redis is gone, changes are refused (ERR_STORE) and requests are answered from the copies.
 */
#ifndef STORE_PEOPLE_SHARE_H
#define STORE_PEOPLE_SHARE_H

#include "store/byok.h"
#include "store/people_file.h"
#include "store/share_move.h"

/* From now on; nothing is asked yet. redis outlives f; NULL as in share.h. Call before another
 * thread uses f. */
MUST_CHECK enum err_code people_share_on(struct people_file *f, struct redis *redis, struct err *e);
MUST_CHECK enum err_code byok_share_on(struct byok *b, struct redis *redis, struct err *e);

/* As share_tick, share_take and share_expect; nothing when it is not shared. */
void people_share_tick(struct people_file *f, int64_t mono_ms);
void byok_share_tick(struct byok *b, int64_t mono_ms);
MUST_CHECK enum err_code people_share_take(struct people_file *f, struct err *e);
MUST_CHECK enum err_code byok_share_take(struct byok *b, struct err *e);
MUST_CHECK enum err_code people_share_expect(
	struct people_file *f, uint64_t changes, struct err *e);

/* As share_give; leaves the fingerprint of the pepper in the file first. It is shared already. */
MUST_CHECK enum err_code people_share_give(struct people_file *f, const struct share_progress *p,
	struct share_moved *out, struct err *e);

#endif
