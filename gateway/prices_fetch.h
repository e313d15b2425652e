/* gateway/prices_fetch.h - fetches a provider's list of models.
 *
 * Blocking: at most PRICES_FETCH_MS. Threads: as pump_run.
 */
#ifndef GATEWAY_PRICES_FETCH_H
#define GATEWAY_PRICES_FETCH_H

#include "gateway/prices_list.h"
#include "gateway/upstream.h"

#define PRICES_FETCH_MS        30000
#define PRICES_FETCH_MAX_BYTES ((size_t)16 << 20)

/* Has p, which is configured, a list that can be fetched? *why says why not. */
bool prices_fetch_can(const struct catalog *c, const struct catalog_provider *p, const char **why);

/* Fetches and reads it. ERR_UPSTREAM_…; the message names neither key nor address. l is to be
 * ended in any case. */
MUST_CHECK enum err_code prices_fetch(struct pump *pump, const struct catalog *c,
	const struct catalog_provider *p, struct prices_list *l, struct err *e);

/* Asks for it without reading what it says: is the provider there? Waits ms at most. */
MUST_CHECK enum err_code prices_fetch_ask(struct pump *pump, const struct catalog *c,
	const struct catalog_provider *p, int64_t ms, struct err *e);

#endif
