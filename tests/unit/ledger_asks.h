/* tests/unit/ledger_asks.h - reservations as tests ask for them. */
#ifndef UNIT_LEDGER_ASKS_H
#define UNIT_LEDGER_ASKS_H

#include "tests/unit/ledger_home.h"

static inline enum err_code reserve(struct ledger *l, struct ledger_now now, uint64_t id,
	int64_t microusd, int64_t tokens, struct ledger_limit *limits, size_t n,
	struct ledger_lease *lease, struct ledger_refusal *refusal)
{
	struct ledger_ask ask = { .id = id_of(id),
		.microusd = microusd,
		.tokens = tokens,
		.deadline_ms = now.mono_ms + 60000,
		.limits = limits,
		.limits_n = n };

	return ledger_reserve(l, now, &ask, lease, refusal, &err);
}

static inline struct ledger_now later(struct ledger_now t, int64_t ms)
{
	return (struct ledger_now){ t.wall_ms + ms, t.mono_ms + ms };
}

#endif
