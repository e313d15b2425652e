/* store/admit.h - the decision: does a request fit into all of its limits?
 *
 * Works on copies of the accounts and meters that the limits name, so that a refusal changes
 * nothing; what was admitted is then taken in one transaction. Called with the table's mutex
 * held. No clock, no disk.
 */
#ifndef STORE_ADMIT_H
#define STORE_ADMIT_H

#include "store/hot.h"
#include "store/lease.h"
#include "store/ledger.h"

/* One subject of the limits. */
struct admit_subject {
	uint64_t id;
	struct account account; /* zeros when there is none yet */
	struct meter meter;
	uint64_t holds; /* LEASE_MONEY | … */
	bool has_meter; /* the meter changed */
};

struct admit {
	struct admit_subject subjects[LEDGER_SUBJECTS];
	size_t n;
};

/* Are the ask's figures and limits in range? ERR_RANGE naming the one that is not. */
MUST_CHECK enum err_code admit_check(const struct ledger_ask *ask, struct err *e);

/* Decides. ERR_NO_CREDIT or ERR_RATE_LIMITED with *refusal; fills remaining and reset_ms of
 * every limit. */
MUST_CHECK enum err_code admit_decide(struct admit *a, const struct hot *h, struct ledger_now now,
	struct ledger_ask *ask, struct ledger_refusal *refusal, struct err *e);

/* Says what a refusal means: ERR_NO_CREDIT or ERR_RATE_LIMITED. */
MUST_CHECK enum err_code admit_refuse(
	const struct ledger_limit *limit, const struct ledger_refusal *refusal, struct err *e);

/* Only fills remaining and reset_ms. */
MUST_CHECK enum err_code admit_look(
	const struct hot *h, struct ledger_now now, struct ledger_ask *ask, struct err *e);

/* Takes what was admitted, in one transaction. ERR_BUSY when there is no free lease or slot;
 * then nothing was changed. */
MUST_CHECK enum err_code admit_take(const struct admit *a, struct hot *h, struct ledger_now now,
	const struct lease *owner, const struct ledger_ask *ask, struct ledger_lease *out,
	struct err *e);

#endif
