/* gateway/providers/arena.h - memory that is taken in many small pieces and given back at once.
 *
 * { 0 } is a valid empty arena. A piece that could not be had is remembered: failed stays true, so
 * a reader may check once, at the end.
 * Ownership: the struct is the caller's; arena_fini() frees all pieces. Not locked.
 */
#ifndef GATEWAY_PROVIDERS_ARENA_H
#define GATEWAY_PROVIDERS_ARENA_H

#include "base/json_scan.h"

struct arena_block;

struct arena {
	struct arena_block *blocks; /* the newest first */
	size_t used;                /* bytes of the newest */
	bool failed;
};

void arena_fini(struct arena *a);

/* n bytes, all zero, fit for any type; NULL and failed without memory. */
MUST_CHECK void *arena_take(struct arena *a, size_t n);

/* A copy that ends in NUL, or NULL. */
MUST_CHECK char *arena_text(struct arena *a, struct slice s);

/* The decoded text of a string, ending in NUL; NULL when v is no string, holds a NUL, or (then
 * failed is set) there is no memory. */
MUST_CHECK char *arena_string(struct arena *a, struct json_value v);

/* s as a JSON string; JSON_ABSENT without memory. */
struct json_value arena_quoted(struct arena *a, struct slice s);

#endif
