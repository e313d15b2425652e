#include "store/tally.h"

#include <stdlib.h>
#include <string.h>

#define FIRST_SLOTS 1024

void tally_init(struct tally *t, size_t key_bytes, size_t value_bytes)
{
	*t = (struct tally){ .key_bytes = key_bytes, .value_bytes = value_bytes };
}

void tally_fini(struct tally *t)
{
	free(t->index);
	free(t->entries);
	tally_init(t, t->key_bytes, t->value_bytes);
}

const void *tally_key(const struct tally *t, size_t i)
{
	return t->entries + i * (t->key_bytes + t->value_bytes);
}

void *tally_value(const struct tally *t, size_t i)
{
	return t->entries + i * (t->key_bytes + t->value_bytes) + t->key_bytes;
}

static size_t slot_of(const struct tally *t, const void *key)
{
	uint64_t h = 0, word;
	size_t i;

	for (i = 0; i < t->key_bytes; i += sizeof(word)) {
		memcpy(&word, (const char *)key + i, sizeof(word));
		h = (h ^ word) * UINT64_C(0x9E3779B97F4A7C15);
		h ^= h >> 32;
	}
	i = (size_t)h & (t->slots - 1);
	while (t->index[i] && memcmp(tally_key(t, t->index[i] - 1), key, t->key_bytes) != 0)
		i = (i + 1) & (t->slots - 1);
	return i;
}

static bool grow(struct tally *t)
{
	size_t slots = t->slots ? t->slots * 2 : FIRST_SLOTS;
	uint32_t *index = calloc(slots, sizeof(*index));
	char *entries = realloc(t->entries, slots / 2 * (t->key_bytes + t->value_bytes));

	if (entries)
		t->entries = entries;
	if (!index || !entries) {
		free(index);
		return false;
	}
	free(t->index);
	t->index = index;
	t->slots = slots;
	t->room = slots / 2;
	for (size_t i = 0; i < t->n; i++)
		t->index[slot_of(t, tally_key(t, i))] = (uint32_t)(i + 1);
	return true;
}

void *tally_find(const struct tally *t, const void *key)
{
	size_t i;

	if (!t->slots)
		return NULL;
	i = slot_of(t, key);
	return t->index[i] ? tally_value(t, t->index[i] - 1) : NULL;
}

void *tally_at(struct tally *t, const void *key, bool *fresh)
{
	void *value = tally_find(t, key);
	char *entry;

	*fresh = !value;
	if (value)
		return value;
	if (t->n == t->room && !grow(t))
		return NULL;
	t->index[slot_of(t, key)] = (uint32_t)(t->n + 1);
	entry = t->entries + t->n * (t->key_bytes + t->value_bytes);
	memcpy(entry, key, t->key_bytes);
	memset(entry + t->key_bytes, 0, t->value_bytes);
	return tally_value(t, t->n++);
}
