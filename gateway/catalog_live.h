/* gateway/catalog_live.h - the catalogue of a process that lives long: read anew, as a whole, when
 * one of its files has changed.
 *
 *     copy = catalog_live_take(live, now);
 *     … copy->catalog …
 *     catalog_live_drop(live, copy);
 *
 * Ownership: a copy stays as it is from its taking to its dropping, whatever comes after it.
 * Threads:   any. Blocking: at most once a second a take looks at the files, and reads them if they
 *            have changed; others meanwhile go on with the copy before, unless nobody has looked
 * for seconds.
 */
#ifndef GATEWAY_CATALOG_LIVE_H
#define GATEWAY_CATALOG_LIVE_H

#include "gateway/catalog.h"

#define CATALOG_LIVE_LOOK_MS 1000

struct catalog_live;

struct catalog_copy {
	const struct catalog *catalog;
};

typedef void (*catalog_writer)(const struct catalog *c, bool all, struct buf *out);

/* Reads the files a first time. conf must outlive it. ERR_CONF as catalog_load. */
MUST_CHECK enum err_code catalog_live_open(
	const struct conf *conf, int64_t now_mono_ms, struct catalog_live **out, struct err *e);
/* No copy may be taken any more. */
void catalog_live_close(struct catalog_live *l);

/* The catalogue as its files are now. What is wrong with changed ones is logged once, and the copy
 * from before stays. */
struct catalog_copy *catalog_live_take(struct catalog_live *l, int64_t now_mono_ms);
void catalog_live_drop(struct catalog_live *l, struct catalog_copy *copy);

/* A listing, made at the first call and kept with the copy; one writer for all calls. Check
 * buf_ok(). */
const struct buf *catalog_live_listing(
	struct catalog_live *l, struct catalog_copy *copy, catalog_writer writer, bool all);

#endif
