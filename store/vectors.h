/* store/vectors.h - the nearest of many vectors: a flat mapped file below GATEWAY_HOME/cache,
 * shared by all processes of the host (store-lab.md section 2.5).
 *
 * A row is written once: a key, the group it may be found in, an expiry, a guard, and the vector,
 * as int8 for scanning and as float for judging the best few. Rows are used in turn; the oldest
 * gives way. A row half written, of another number of dimensions, or damaged is not found.
 *
 * Disposable, like the cache. Time: wall clock, passed in.
 * Threads: any; processes: any. Blocking: file operations; a writer waits up to CACHE_LOCK_MS.
 */
#ifndef STORE_VECTORS_H
#define STORE_VECTORS_H

#include "store/cache.h"

#define VECTORS_DIMENSIONS_MAX 8192
#define VECTORS_ENTRIES_MAX    1000000

struct vectors;

struct vectors_conf {
	const char *home;
	bool in_memory;      /* as CACHE_MEMORY */
	int64_t max_entries; /* GATEWAY_SEMANTIC_MAX_SIZE */
};

MUST_CHECK enum err_code vectors_open(
	struct vectors **out, const struct vectors_conf *conf, struct err *e);
void vectors_close(struct vectors *v);

struct vectors_row {
	uint8_t group[32]; /* only rows of the same group are compared */
	uint64_t guard;    /* only rows with the same guard are found */
	struct cache_key key;
	int64_t expires_ms;
};

/* In the place of the row with the same group and key, if there is one. ERR_RANGE: it has expired
 * already, no dimensions, too many, or a vector that is not finite or has no length. ERR_BUSY,
 * ERR_STORE, ERR_NO_MEMORY. A row with another number of dimensions than the file's, or a file for
 * another number of rows: it begins anew, empty. */
MUST_CHECK enum err_code vectors_put(struct vectors *v, const struct vectors_row *row,
	const float *vector, size_t dimensions, int64_t now_ms, struct err *e);

/* The row with the greatest cosine similarity, at least so much (0..1). ERR_NOT_FOUND, e untouched;
 * ERR_RANGE as above. */
MUST_CHECK enum err_code vectors_find(struct vectors *v, const uint8_t group[32], uint64_t guard,
	const float *vector, size_t dimensions, int64_t now_ms, double at_least,
	struct cache_key *key, double *similarity, struct err *e);

/* Forgets all. */
MUST_CHECK enum err_code vectors_clear(struct vectors *v, struct err *e);

#endif
