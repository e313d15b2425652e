/* store/cache.h - answers that are remembered, so that the same request need not be made twice.
 *
 * The cache is disposable: whatever is doubtful (cut, damaged, of another request, expired) is a
 * miss, and trouble with it never fails a request. Engines: GDBM files in time slices below
 * GATEWAY_HOME/cache, the same files on a memory file system, or Redis; callers cannot tell them
 * apart.
 *
 * Keys are made by gateway/cache_key.h; nothing here knows what a request is.
 * Time:    wall clock, passed in. An entry whose time of making lies in the future is a miss: the
 *          clock was set back, and nobody knows how old it is.
 * Units:   milliseconds, bytes, microdollars.
 * Blocking: get and put: file reads and writes, or one round trip to Redis; a lock that another
 *          holds is waited for up to CACHE_LOCK_MS, then get is a miss and put does nothing.
 * Threads: any number; locked inside.
 */
#ifndef STORE_CACHE_H
#define STORE_CACHE_H

#include "base/buf.h"

#define CACHE_LOCK_MS    20
#define CACHE_MODEL_MAX  192 /* bytes with NUL */
#define CACHE_SLUG_MAX   32
#define CACHE_FINISH_MAX 24

struct cache;
struct redis;

enum cache_engine { CACHE_GDBM, CACHE_MEMORY, CACHE_REDIS };

struct cache_conf {
	enum cache_engine engine;
	const char *home;    /* exists already */
	struct redis *redis; /* of CACHE_REDIS; lent */
	int64_t ttl_ms;      /* the usual life of an entry (GATEWAY_CACHE_TTL), > 0 */
	int64_t max_entries; /* GATEWAY_CACHE_MAX_SIZE */
	int64_t max_bytes;   /* GATEWAY_CACHE_MAX_BYTES, as they lie on the disk */
};

/* Two requests that hash alike still differ in length or checksum of their canonical text. */
struct cache_key {
	uint8_t hash[32]; /* SHA-256 */
	uint32_t length;
	uint32_t crc;
};

enum cache_form {
	CACHE_WHOLE = 1,  /* body is one JSON answer */
	CACHE_EVENTS = 2, /* body is the stream's events ("data: {…}\n\n" …), without usage and
			   * [DONE] */
};

struct cache_entry {
	int64_t made_ms;
	int64_t expires_ms;
	int64_t saved_microusd; /* what the answer cost, and each hit saves */
	enum cache_form form;
	uint32_t prompt_tokens, completion_tokens; /* for listings */
	char model[CACHE_MODEL_MAX];               /* of the catalogue, that answered */
	char provider[CACHE_SLUG_MAX];
	char finish_reason[CACHE_FINISH_MAX];
	struct slice usage; /* the usage object that a hit is answered with */
	struct slice body;
};

/* Opens the cache, making its folder. ERR_STORE, ERR_NO_MEMORY. */
MUST_CHECK enum err_code cache_open(
	struct cache **out, const struct cache_conf *conf, struct err *e);
void cache_close(struct cache *c); /* NULL is fine */

/* Finds an entry that has not expired. Its slices stand in room, which is the caller's. On
 * ERR_NOT_FOUND (nothing, or nothing that can be believed) e is untouched; ERR_STORE: Redis cannot
 * be reached. Counts nothing. */
MUST_CHECK enum err_code cache_get(struct cache *c, const struct cache_key *key, int64_t now_ms,
	struct buf *room, struct cache_entry *out, struct err *e);

/* Remembers it, in the place of what was there; drops what is oldest when there is too much.
 * ERR_RANGE: it has expired already, or is larger than the whole cache. ERR_STORE, ERR_BUSY. */
MUST_CHECK enum err_code cache_put(struct cache *c, const struct cache_key *key, int64_t now_ms,
	const struct cache_entry *entry, struct err *e);

/* ---- figures, over all processes that share the cache ---- */

enum cache_event {
	CACHE_HIT,
	CACHE_MISS,
	CACHE_BYPASS,
	CACHE_COALESCED,
	CACHE_SEMANTIC,
	CACHE_STORED,
	CACHE_EVICTED, /* before their time, for want of room */
	CACHE_DAMAGED, /* not believed */
	CACHE_EVENTS_N
};
/* Never blocks; for Redis they are sent on later. saved_microusd is added to the sum. */
void cache_count(struct cache *c, enum cache_event event, int64_t saved_microusd);

struct cache_stats {
	uint64_t entries, bytes, files; /* bytes: of entries; file_bytes: what they take */
	uint64_t file_bytes;
	uint64_t counted[CACHE_EVENTS_N];
	int64_t saved_microusd;
	int64_t since_ms; /* wall clock: when counting began */
	int64_t oldest_ms, newest_ms;
};
MUST_CHECK enum err_code cache_stats(
	struct cache *c, int64_t now_ms, struct cache_stats *out, struct err *e);

/* ---- for the operator ---- */

/* Calls f for every entry that has not expired, in no order, until it returns false; the entry is
 * lent during the call, and f must not use the cache. */
typedef bool (*cache_on_entry)(
	void *ctx, const struct cache_key *key, const struct cache_entry *entry);
MUST_CHECK enum err_code cache_each(
	struct cache *c, int64_t now_ms, cache_on_entry f, void *ctx, struct err *e);

/* What to drop; what is not set does not count. { 0 } drops everything. */
struct cache_purge {
	const char *model;   /* NULL = any */
	const uint8_t *hash; /* the first hash_bytes of it; NULL = any */
	size_t hash_bytes;
	int64_t older_than_ms; /* age; 0 = any */
};
/* *dropped (may be NULL): how many. What was there before is not found by anybody afterwards. */
MUST_CHECK enum err_code cache_purge(struct cache *c, int64_t now_ms,
	const struct cache_purge *what, uint64_t *dropped, struct err *e);

#endif
