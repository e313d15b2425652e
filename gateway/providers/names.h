/* gateway/providers/names.h - a table from texts to a few numbers: which call has this id, which
 * name is taken.
 *
 * { 0 } is a valid empty table. Looking up and adding cost the same however many there are, and
 * whatever texts a client chooses (the hash has a secret of the process).
 * Ownership: keys are lent for as long as the table lives; names_fini() frees the rest. Not locked.
 */
#ifndef GATEWAY_PROVIDERS_NAMES_H
#define GATEWAY_PROVIDERS_NAMES_H

#include "base/str.h"

struct name {
	struct slice key; /* ptr NULL: an empty slot */
	uint64_t hash;
	unsigned data[3]; /* the caller's; all zero in a new one */
};

struct names {
	struct name *slots;
	size_t count, size; /* size is 0 or a power of two */
};

void names_fini(struct names *n);

/* The entry of this key, or NULL. Valid until the next names_put(). */
struct name *names_get(const struct names *n, struct slice key);

/* The same; a missing one is added, and *fresh says so. NULL: no memory. */
MUST_CHECK struct name *names_put(struct names *n, struct slice key, bool *fresh);

#endif
