/* store/follow.h - brings the hot table up to the end of the journal.
 *
 * Called with the table's mutex held, before every decision and after every append: whoever
 * comes next applies what a killed one left. Each record is one transaction that also moves
 * the position, so none is applied twice.
 *
 * While a segment is being closed, an appender may still be inside (stopped, say). So both it
 * and the next one are followed; sums do not depend on the order.
 *
 * Threads: the mutex guards this too. Blocking: reads of the page cache.
 */
#ifndef STORE_FOLLOW_H
#define STORE_FOLLOW_H

#include "store/hot.h"
#include "store/journal.h"

#define FOLLOW_RECORDS 64

struct follow {
	const struct journal *journal;
	int fd[2]; /* of the closing segment and the current one; -1 = none */
	uint64_t segment[2];
	struct record records[FOLLOW_RECORDS];
};

void follow_init(struct follow *f, const struct journal *j);
void follow_fini(struct follow *f);

/* ERR_STORE when a segment is missing or cannot be read: the table is then behind. */
MUST_CHECK enum err_code follow_catch_up(struct follow *f, struct hot *h, struct err *e);

/* Applies one record; *position becomes its end. */
void follow_apply(struct hot *h, const struct record *r, uint64_t segment, uint64_t offset,
	uint64_t *position);

#endif
