/* store/flights_inside.h - what an engine of flights.h does: for flights.c and the engines. Nobody
 * else. One engine shares over the processes of a host (flights_host.c), the other one over all
 * hosts of a Redis (flights_redis.c).
 */
#ifndef STORE_FLIGHTS_INSIDE_H
#define STORE_FLIGHTS_INSIDE_H

#include "store/flights.h"

/* As the functions of flights.h. */
struct flights_ops {
	void (*close)(struct flights *f);
	enum flight_role (*join)(
		struct flights *f, const struct cache_key *key, bool lead, struct flight **out);
	void (*begin)(struct flight *f, const struct flight_who *who);
	void (*write)(struct flight *f, struct slice events);
	bool (*is_followed)(const struct flight *f);
	enum flight_news (*read)(struct flight *f, struct buf *out, struct flight_who *who,
		struct cache_entry *entry, int64_t wait_ms);
	void (*end)(struct flight *f, const struct cache_entry *entry);
};

/* The engine's own state begins with one. */
struct flights {
	const struct flights_ops *ops;
};

/* And so does that of one flight. */
struct flight {
	const struct flights_ops *ops;
};

/* They set ops. */
MUST_CHECK enum err_code flights_host_open(
	struct flights **out, const struct flights_conf *conf, struct err *e);
MUST_CHECK enum err_code flights_redis_open(
	struct flights **out, const struct flights_conf *conf, struct err *e);

/* ---- an entry on its way from the leader to its followers ---- */

/* Appends it. */
void flight_entry_write(const struct cache_entry *entry, struct buf *out);
/* Slices of *entry stand in bytes. False: it is not what was written. */
MUST_CHECK bool flight_entry_read(struct slice bytes, struct cache_entry *entry);

#endif
