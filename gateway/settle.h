/* gateway/settle.h - a request has ended: its line in the ledger, and the rest of its reservation
 * given back. Called on every path once a request was admitted, whatever became of it.
 *
 * Blocking: as ledger_settle; tried again for up to SETTLE_PATIENCE_MS when the books are busy.
 * Threads: any.
 */
#ifndef GATEWAY_SETTLE_H
#define GATEWAY_SETTLE_H

#include "gateway/cost.h"
#include "gateway/limits.h"

#define SETTLE_PATIENCE_MS 2000

struct settle_facts {
	const struct identity *identity; /* key NULL = anonymous */
	const char *provider;            /* slug */
	const char *model;               /* the public id that answered */
	const char *asked_model;         /* as the client wrote it */
	const struct usage *usage;
	const struct cost *cost;
	const char *finish_reason; /* "" = none */
	int status;                /* HTTP, towards the client */
	bool stream, free, client_gone;
	bool cache_hit;         /* the answer was there already */
	int64_t saved_microusd; /* of a hit: what it had cost */
	bool byok;              /* with the caller's own key */
	unsigned attempts;      /* upstream calls */
	int64_t latency_ms;     /* request received to its end */
	int64_t ttft_ms;        /* 0 = no token came */
};

/* Never fails for the caller: what cannot be written is logged in full, so that it can be entered
 * by hand. */
void settle_request(struct ledger *l, struct admission *a, const struct settle_facts *f);

/* The words behind record_settle.finish_reason: "", "stop", "length" …, "unknown". */
const char *settle_finish_reason(unsigned code);

#endif
