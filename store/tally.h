/* store/tally.h - a table in memory of things that are being summed up.
 *
 * Keys are of one size (a multiple of 8, up to 64 bytes), values of another; both are kept by
 * value. { 0 } is not valid: tally_init first. Not locked.
 */
#ifndef STORE_TALLY_H
#define STORE_TALLY_H

#include "base/err.h"

#include <stddef.h>

struct tally {
	size_t key_bytes;
	size_t value_bytes;
	size_t n; /* entries */
	size_t slots;
	size_t room;     /* entries that fit before growing */
	uint32_t *index; /* entry + 1, or 0 */
	char *entries;
};

void tally_init(struct tally *t, size_t key_bytes, size_t value_bytes);
void tally_fini(struct tally *t);

/* The value of key, made of zeros when it is new (*fresh); lent until the next call. NULL: no
 * memory. */
void *tally_at(struct tally *t, const void *key, bool *fresh);

/* The value of key, or NULL. */
void *tally_find(const struct tally *t, const void *key);

/* Entry i of n, in the order they came. */
const void *tally_key(const struct tally *t, size_t i);
void *tally_value(const struct tally *t, size_t i);

#endif
