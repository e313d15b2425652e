/* How reservations end that nobody settled or released: their process died, or it is not known
 * whether Redis has them. */
#include "store/admit.h"
#include "store/fault.h"
#include "store/ledger_redis.h"

#include <stdlib.h>

#define REAP_MAX LEDGER_REDIS_RELEASE /* ended in one go */

/* Once a second, and not on the stack of who answers a request. */
struct reaping {
	struct lease_ref due[REAP_MAX];
	size_t n;
	struct ledger_hold holds[REAP_MAX];
	size_t holds_n;
};

static bool holds_something(const struct lease *lease)
{
	for (unsigned i = 0; i < HOT_HOLDS; i++)
		if (lease->holds[i])
			return true;
	return false;
}

/* Ends what is overdue, or only what holds something here. r->holds: all that there is. */
static size_t end_overdue(struct ledger *l, struct reaping *r, bool all)
{
	size_t ended = 0;

	r->holds_n = 0;
	/* Catching up first: one that was settled and killed has ended by its record. */
	if (!r->n || books_lock(l, LEDGER_WAIT_MS, NULL) != ERR_OK)
		return 0;
	for (size_t i = 0; i < r->n; i++) {
		const struct lease_ref *due = &r->due[i];
		struct lease *lease = lease_find(&l->hot, due->index, due->generation);

		if (!lease)
			continue;
		r->holds[r->holds_n++] =
			(struct ledger_hold){ lease->id, due->index, due->generation };
		if (!all && !holds_something(lease))
			continue;
		hot_begin(&l->hot);
		lease_end(&l->hot, lease, 0);
		(void)fault_at("ledger.reaping");
		hot_commit(&l->hot);
		ended++;
	}
	hot_unlock(&l->hot);
	return ended;
}

/* With Redis, which has to hear of it: what it may hold is not forgotten here before. Unless there
 * is so much of it, because Redis is away, that nothing else would be found. */
static size_t end_shared(struct ledger *l, struct reaping *r)
{
	size_t ended = end_overdue(l, r, false);

	if (r->holds_n && (ledger_redis_release(l, r->holds, r->holds_n) || r->n == REAP_MAX))
		ended += end_overdue(l, r, true);
	return ended;
}

size_t ledger_reap(struct ledger *l, struct ledger_now now)
{
	struct reaping *r = malloc(sizeof(*r));
	size_t ended = 0;

	if (r) {
		r->n = lease_overdue(&l->hot, now.mono_ms, r->due, REAP_MAX);
		ended = l->conf.redis ? end_shared(l, r) : end_overdue(l, r, true);
	}
	free(r);
	/* Those of hosts that are gone. */
	if (l->conf.redis)
		ended += ledger_redis_reap(l, now);
	atomic_fetch_add(&l->hot.head->reaped, ended);
	return ended;
}
