#include "gateway/providers/names.h"

#include <stdlib.h>
#include <sys/auxv.h>

static uint64_t hash_of(struct slice key)
{
	const void *random = (const void *)getauxval(AT_RANDOM);
	uint64_t secret[2] = { 0, 0 }, h;

	if (random)
		memcpy(secret, random, sizeof(secret));
	h = secret[0];
	for (size_t i = 0; i < key.len; i++) {
		h = (h ^ (unsigned char)key.ptr[i]) * UINT64_C(0x9e3779b97f4a7c15);
		h = (h ^ h >> 32) + secret[1];
	}
	h *= UINT64_C(0xd6e8feb86659fd93);
	return h ^ h >> 32;
}

void names_fini(struct names *n)
{
	free(n->slots);
	*n = (struct names){ 0 };
}

/* The slot of this key, or the empty one where it belongs. At least one slot is empty. */
static struct name *slot_of(const struct names *n, struct slice key, uint64_t hash)
{
	size_t at = (size_t)hash & (n->size - 1);

	while (n->slots[at].key.ptr &&
		(n->slots[at].hash != hash || !slice_eq(n->slots[at].key, key)))
		at = (at + 1) & (n->size - 1);
	return &n->slots[at];
}

struct name *names_get(const struct names *n, struct slice key)
{
	struct name *found;

	if (!n->size)
		return NULL;
	found = slot_of(n, key, hash_of(key));
	return found->key.ptr ? found : NULL;
}

static bool grow(struct names *n)
{
	struct names larger = { .count = n->count, .size = n->size ? n->size * 2 : 32 };

	larger.slots = calloc(larger.size, sizeof(*larger.slots));
	if (!larger.slots)
		return false;
	for (size_t i = 0; i < n->size; i++)
		if (n->slots[i].key.ptr)
			*slot_of(&larger, n->slots[i].key, n->slots[i].hash) = n->slots[i];
	free(n->slots);
	*n = larger;
	return true;
}

struct name *names_put(struct names *n, struct slice key, bool *fresh)
{
	uint64_t hash = hash_of(key);
	struct name *slot;

	*fresh = false;
	if (n->count * 2 >= n->size && !grow(n))
		return NULL;
	slot = slot_of(n, key, hash);
	if (slot->key.ptr)
		return slot;
	*slot = (struct name){ .key = key, .hash = hash };
	n->count++;
	*fresh = true;
	return slot;
}
