/* gateway/drains.h - providers that the operator has taken out of rotation: drained.json of
 * GATEWAY_HOME. Requests that run go on; new ones are sent to others.
 *
 * The file is 0600, written aside and renamed, so a reader sees the one before or the one after.
 * Handlers pick it up by themselves (catalog_live.h).
 * Threads: no shared state; writers of all processes take turns.
 */
#ifndef GATEWAY_DRAINS_H
#define GATEWAY_DRAINS_H

#include "gateway/catalog.h"

#define DRAINS_FILE "drained.json"

/* Takes the provider, by its own slug, out of rotation or puts it back. *changed: it was not so
 * already. ERR_STORE, ERR_BUSY, ERR_CONF when the file is not valid: nothing is changed. */
MUST_CHECK enum err_code drains_say(const struct conf *conf, const char *slug, bool drained,
	int64_t wall_ms, bool *changed, struct err *e);

/* Since when, as drained.json has it: "2026-11-21T12:00:00.000Z"; NULL when it is not drained. */
const char *drains_since(const struct catalog *c, const struct catalog_provider *p);

#endif
