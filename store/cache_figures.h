/* store/cache_figures.h - what a cache on Redis counts: kept in the process, sent at most every
 * second by a thread of its own, and at the end. For cache_redis.c.
 *
 * What could not be sent is sent later; what was sent and not confirmed may be counted twice.
 * Blocking: count never; the others one round trip. Threads: any; the struct may not move.
 */
#ifndef STORE_CACHE_FIGURES_H
#define STORE_CACHE_FIGURES_H

#include "store/cache.h"
#include "store/redis.h"

#include <pthread.h>
#include <stdatomic.h>

struct cache_figures {
	struct redis *redis; /* lent */
	char name[160];      /* of the hash they stand in */
	_Atomic int64_t counted[CACHE_EVENTS_N];
	_Atomic int64_t saved_microusd;
	atomic_bool is_due;   /* something was counted */
	pthread_mutex_t lock; /* over all below */
	pthread_cond_t news;
	bool has_flusher, closing;
	pthread_t flusher;
};

void cache_figures_init(struct cache_figures *f, struct redis *redis);
/* Sends the rest. */
void cache_figures_fini(struct cache_figures *f);

void cache_figures_count(struct cache_figures *f, enum cache_event event, int64_t saved_microusd);
void cache_figures_flush(struct cache_figures *f);

/* Fills in what stands in the answer to HGETALL. */
void cache_figures_read(const struct redis_value *v, struct cache_stats *out);

#endif
