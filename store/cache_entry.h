/* store/cache_entry.h - how a remembered answer is written, and what of it is believed.
 *
 * A head of fixed size, then model, provider, finish reason, usage and body. Head and rest stand
 * under one CRC32C, together with the key's hash: bytes that were cut, changed or filed under
 * another key are not read. Numbers are little endian, as everywhere in the store.
 * Pure: nothing here knows where the bytes are kept. Threads: no shared state.
 */
#ifndef STORE_CACHE_ENTRY_H
#define STORE_CACHE_ENTRY_H

#include "store/cache.h"

/* Appends the entry to out; what went wrong is remembered there. ERR_RANGE: a text is too long to
 * be written, or one may not hold a NUL. */
MUST_CHECK enum err_code cache_entry_write(const struct cache_key *key,
	const struct cache_entry *entry, struct buf *out, struct err *e);

enum cache_verdict {
	CACHE_IS_GOOD,
	CACHE_IS_DAMAGED,
	CACHE_IS_OTHERS, /* whole, but its text differs from the key's: the hashes collide */
};

/* Reads what was written under key->hash. Unless it is damaged, *key gets the length and checksum
 * of the text it was written for when they are 0, and *out is filled; its slices point into bytes.
 */
enum cache_verdict cache_entry_read(
	struct slice bytes, struct cache_key *key, struct cache_entry *out);

/* Only from when to when it lives, unchecked; false when it is no entry at all. */
bool cache_entry_life(struct slice bytes, int64_t *made_ms, int64_t *expires_ms);

#endif
