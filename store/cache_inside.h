/* store/cache_inside.h - what an engine of the cache does: for cache.c and the engines. Nobody
 * else.
 *
 * cache.c writes and judges entries (checksum, key, expiry); an engine keeps bytes by key for a
 * time and drops them when there are too many.
 */
#ifndef STORE_CACHE_INSIDE_H
#define STORE_CACHE_INSIDE_H

#include "store/cache.h"

/* What an engine may know of the bytes it keeps. */
struct cache_facts {
	int64_t made_ms, expires_ms;
	const char *model;
};

typedef bool (*cache_on_bytes)(void *ctx, const uint8_t hash[32], struct slice bytes);
/* Is this one to be dropped? For engines that have to look at each. */
typedef bool (*cache_is_meant)(void *ctx, const uint8_t hash[32], struct slice bytes);

struct cache_ops {
	void (*close)(struct cache *c);
	/* Appends the bytes to out. As cache_get. */
	enum err_code (*get)(struct cache *c, const uint8_t hash[32], int64_t now_ms,
		struct buf *out, struct err *e);
	enum err_code (*put)(struct cache *c, const uint8_t hash[32], int64_t now_ms,
		const struct cache_facts *facts, struct slice bytes, struct err *e);
	/* These bytes are not what was put: forget them. */
	void (*drop)(struct cache *c, const uint8_t hash[32], int64_t now_ms);
	void (*count)(struct cache *c, enum cache_event event, int64_t saved_microusd);
	enum err_code (*stats)(
		struct cache *c, int64_t now_ms, struct cache_stats *out, struct err *e);
	enum err_code (*each)(
		struct cache *c, int64_t now_ms, cache_on_bytes f, void *ctx, struct err *e);
	enum err_code (*purge)(struct cache *c, int64_t now_ms, cache_is_meant is_meant, void *ctx,
		uint64_t *dropped, struct err *e);
};

/* The engine's own state begins with one. */
struct cache {
	const struct cache_ops *ops;
	struct cache_conf conf;
};

/* cache_slices.c and cache_redis.c: *out with ops set; cache.c fills conf before. */
MUST_CHECK enum err_code cache_slices_open(
	struct cache **out, const struct cache_conf *conf, struct err *e);
MUST_CHECK enum err_code cache_redis_open(
	struct cache **out, const struct cache_conf *conf, struct err *e);

#endif
