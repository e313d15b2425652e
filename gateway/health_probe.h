/* gateway/health_probe.h - asks providers that are out of rotation whether they are back, without
 * waiting for a request to find out (GATEWAY_HEALTH_PROBE).
 *
 * What is asked for is the list of models, which costs nothing. A provider that has none, or whose
 * requests are signed, waits for a request as without this.
 *
 * Blocking: at most HEALTH_PROBE_MS. Threads: any; one process at a time asks (health_enter).
 */
#ifndef GATEWAY_HEALTH_PROBE_H
#define GATEWAY_HEALTH_PROBE_H

#include "gateway/catalog.h"
#include "gateway/upstream.h"
#include "store/health.h"

#define HEALTH_PROBE_MS 3000

/* Asks one provider for which a probe is due, if there is one, and tells its health. True: one was
 * asked. */
bool health_probe(struct pump *pump, const struct catalog *c, struct health *h,
	const struct health_conf *conf, int64_t now_ms);

#endif
