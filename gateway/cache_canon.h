/* gateway/cache_canon.h - JSON in the one spelling of all that mean the same, hashed as it is made:
 * for cache_key.c. Nobody else.
 *
 * Members stand in the order of their decoded names, at every depth; strings are decoded; a number
 * is its digits and exponent without zeros that say nothing, exact however long; elements of
 * arrays keep their order. The text is no JSON but a code in which no two values are written
 * alike: what has no length of its own ends with a byte that UTF-8 does not have.
 *
 * The body is walked twice, whatever its depth: once to note where its members are, once to write
 * them in order.
 * Memory:  16 bytes for each object and member; of small bodies, on the stack.
 * Threads: no shared state.
 */
#ifndef GATEWAY_CACHE_CANON_H
#define GATEWAY_CACHE_CANON_H

#include "base/crypto.h"
#include "base/json_scan.h"
#include "store/cache.h"

#define CACHE_CANON_BLOCK 1024

/* A text on its way into a key. cache_canon_begin() fills it. */
struct cache_canon {
	struct crypto_hash hash;
	uint64_t sum, length;
	size_t n; /* bytes in block */
	unsigned char block[CACHE_CANON_BLOCK];
};

void cache_canon_begin(struct cache_canon *c);
void cache_canon_text(struct cache_canon *c, struct slice text); /* UTF-8 */
void cache_canon_char(struct cache_canon *c, char letter);
void cache_canon_count(struct cache_canon *c, uint64_t n);
void cache_canon_end(struct cache_canon *c, struct cache_key *out);

struct cache_canon_body {
	struct slice text; /* a JSON object, validated, its names different from each other */

	/* Is this member of the outermost object left out? Those that are null are not asked for:
	 * they are left out, here and in messages. key: raw, with its quotes. */
	bool (*omits)(const void *ctx, struct slice key, struct json_value value);
	const void *ctx;

	/* The content of a message, whose words are appended to words, parted by line feeds, and
	 * not hashed: a string, or an array of parts in which each has a string called text.
	 * JSON_ABSENT: none is. */
	struct json_value asked;
	struct buf *words;
};

/* ERR_NO_MEMORY: none, or the body has more members than are sorted for this; ERR_BAD_REQUEST: it
 * is no JSON. c must then not be used. */
MUST_CHECK enum err_code cache_canon_object(
	struct cache_canon *c, const struct cache_canon_body *body, struct err *e);

#endif
