/* base/json_keys.h - has an object this key already? The memory of json_scan.c. Not for others.
 *
 * A stack of the keys of all open objects, innermost object last. Few keys are compared one by
 * one; an object with many has its keys in a hash table too. A new object begins at the
 * present count; closing one drops its keys.
 *
 * Ownership: keys point into the text. The first JSON_KEYS_HERE need no heap.
 * Memory:    at most max_keys x 32..40 bytes for the keys and 4 slots of 4 bytes per key.
 */
#ifndef BASE_JSON_KEYS_H
#define BASE_JSON_KEYS_H

#include "base/json_scan.h"

#define JSON_KEYS_HERE 64

struct json_key {
	struct slice text; /* without its quotes */
	uint64_t seen;     /* a bit for it and each before it in its object: see json_keys.c */
	uint32_t hash;
	bool escaped; /* has a backslash */
	bool hashed;  /* stands in the table */
};

struct json_keys {
	struct json_key *list;
	size_t count, cap, max;
	/* Linear probing; a slot holds index + 1, or 0. Entries leave in the reverse of the order
	 * they came, so emptying a slot never breaks a chain. At most half full. */
	uint32_t *slots;
	size_t nslots, used;
	struct json_key here[JSON_KEYS_HERE];
};

void json_keys_init(struct json_keys *k, size_t max); /* leaves here[] as it is: speed */
void json_keys_fini(struct json_keys *k);

/* Adds a key (fewer than max are there) to the object whose first key has index first. When an
 * equal one, however spelled, is there already, *same lends that one (else NULL) and nothing
 * is added. ERR_NO_MEMORY, without a message. */
MUST_CHECK enum err_code json_keys_add(struct json_keys *k, size_t first, struct slice text,
	bool escaped, const struct json_key **same);

/* Closes the innermost object, whose first key has index first. */
void json_keys_drop(struct json_keys *k, size_t first);

#endif
