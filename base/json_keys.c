#include "base/json_keys.h"

#include "base/json_text.h"

#include <stdlib.h>
#include <sys/auxv.h>

#define LINEAR_MAX 32 /* an object with more keys has them in the table */

static bool same_key(const struct json_key *a, const struct json_key *b)
{
	struct json_spelling x, y;
	int c;

	if (!a->escaped && !b->escaped)
		return slice_eq(a->text, b->text);
	x = (struct json_spelling){ .p = a->text.ptr, .end = a->text.ptr + a->text.len };
	y = (struct json_spelling){ .p = b->text.ptr, .end = b->text.ptr + b->text.len };
	do {
		c = json_text_next(&x);
		if (c != json_text_next(&y))
			return false;
	} while (c >= 0);
	return true;
}

static inline void sip_round(uint64_t v[4])
{
#define ROTATE(x, by) ((x) << (by) | (x) >> (64 - (by)))
	v[0] += v[1];
	v[1] = ROTATE(v[1], 13) ^ v[0];
	v[0] = ROTATE(v[0], 32);
	v[2] += v[3];
	v[3] = ROTATE(v[3], 16) ^ v[2];
	v[0] += v[3];
	v[3] = ROTATE(v[3], 21) ^ v[0];
	v[2] += v[1];
	v[1] = ROTATE(v[1], 17) ^ v[2];
	v[2] = ROTATE(v[2], 32);
#undef ROTATE
}

/* SipHash-1-3 of what the key spells, under a secret of the process: a hash that a client can
 * compute would let it choose keys that all collide. */
static uint32_t key_hash(const struct json_key *k)
{
	struct json_spelling s = { .p = k->text.ptr, .end = k->text.ptr + k->text.len };
	const void *random = (const void *)getauxval(AT_RANDOM);
	uint64_t secret[2] = { 0, 0 }, word;
	unsigned char block[8];
	size_t total = 0, n;
	uint64_t v[4];

	if (random)
		memcpy(secret, random, sizeof(secret));
	v[0] = secret[0] ^ UINT64_C(0x736f6d6570736575);
	v[1] = secret[1] ^ UINT64_C(0x646f72616e646f6d);
	v[2] = secret[0] ^ UINT64_C(0x6c7967656e657261);
	v[3] = secret[1] ^ UINT64_C(0x7465646279746573);
	do {
		memset(block, 0, sizeof(block));
		if (!k->escaped) {
			n = (size_t)(s.end - s.p) < 8 ? (size_t)(s.end - s.p) : 8;
			memcpy(block, s.p, n);
			s.p += n;
		} else {
			int c;

			for (n = 0; n < 8 && (c = json_text_next(&s)) >= 0; n++)
				block[n] = (unsigned char)c;
		}
		total += n;
		memcpy(&word, block, sizeof(word));
		if (n < 8) /* the last block carries the length */
			word ^= (uint64_t)total << 56;
		v[3] ^= word;
		sip_round(v);
		v[0] ^= word;
	} while (n == 8);
	v[2] ^= 0xff;
	for (int i = 0; i < 3; i++)
		sip_round(v);
	return (uint32_t)(v[0] ^ v[1] ^ v[2] ^ v[3]);
}

static size_t home(const struct json_keys *k, size_t i)
{
	return k->list[i].hash & (k->nslots - 1);
}

static void slot_fill(struct json_keys *k, size_t i)
{
	size_t at = home(k, i);

	while (k->slots[at])
		at = (at + 1) & (k->nslots - 1);
	k->slots[at] = (uint32_t)i + 1;
}

static void slot_empty(struct json_keys *k, size_t i)
{
	size_t at = home(k, i);

	while (k->slots[at] != i + 1)
		at = (at + 1) & (k->nslots - 1);
	k->slots[at] = 0;
}

static bool slots_reserve(struct json_keys *k, size_t entries)
{
	size_t n = k->nslots ? k->nslots : 256;
	uint32_t *slots;

	while (n < entries * 2)
		n *= 2;
	if (n == k->nslots)
		return true;
	slots = calloc(n, sizeof(*slots));
	if (!slots)
		return false;
	free(k->slots);
	k->slots = slots;
	k->nslots = n;
	/* In order of index, which is the order they came in. */
	for (size_t i = 0; i < k->count; i++)
		if (k->list[i].hashed)
			slot_fill(k, i);
	return true;
}

static bool list_reserve(struct json_keys *k)
{
	size_t cap = k->cap * 2 < k->max ? k->cap * 2 : k->max;
	struct json_key *list;

	if (k->count < k->cap)
		return true;
	list = realloc(k->list == k->here ? NULL : k->list, cap * sizeof(*list));
	if (!list)
		return false;
	if (k->list == k->here)
		memcpy(list, k->here, sizeof(k->here));
	k->list = list;
	k->cap = cap;
	return true;
}

static void enter(struct json_keys *k, size_t i, size_t first)
{
	/* The same keys at many depths should not share one chain. */
	k->list[i].hash = key_hash(&k->list[i]) ^ (uint32_t)first * UINT32_C(2654435761);
	k->list[i].hashed = true;
}

static const struct json_key *find_in_table(
	const struct json_keys *k, const struct json_key *key, size_t first)
{
	size_t at = key->hash & (k->nslots - 1);

	for (; k->slots[at]; at = (at + 1) & (k->nslots - 1)) {
		const struct json_key *other = &k->list[k->slots[at] - 1];

		if (k->slots[at] > first && other->hash == key->hash && same_key(other, key))
			return other;
	}
	return NULL;
}

/* The bit of a key. Equal keys have the same, so a bit that was not seen is a new key; one with
 * escapes may be any. */
static uint64_t bit_of(struct slice text, bool escaped)
{
	unsigned first, last;

	if (escaped)
		return UINT64_MAX;
	first = text.len ? (unsigned char)text.ptr[0] : 0;
	last = text.len ? (unsigned char)text.ptr[text.len - 1] : 0;
	return UINT64_C(1) << ((first * 5 + last * 11 + (unsigned)text.len) & 63);
}

static const struct json_key *find_in_list(
	const struct json_keys *k, const struct json_key *key, size_t first)
{
	for (size_t i = first; i < k->count; i++)
		if (same_key(&k->list[i], key))
			return &k->list[i];
	return NULL;
}

void json_keys_init(struct json_keys *k, size_t max)
{
	k->list = k->here;
	k->count = k->nslots = k->used = 0;
	k->cap = JSON_KEYS_HERE;
	k->max = max;
	k->slots = NULL;
}

void json_keys_fini(struct json_keys *k)
{
	if (k->list != k->here)
		free(k->list);
	free(k->slots);
	json_keys_init(k, k->max);
}

enum err_code json_keys_add(struct json_keys *k, size_t first, struct slice text, bool escaped,
	const struct json_key **same)
{
	size_t here = k->count - first;
	uint64_t seen = here ? k->list[k->count - 1].seen : 0, bit = bit_of(text, escaped);
	struct json_key *key;

	*same = NULL;
	if (!list_reserve(k))
		return ERR_NO_MEMORY;
	key = &k->list[k->count];
	*key = (struct json_key){ .text = text, .seen = seen | bit, .escaped = escaped };
	if (here < LINEAR_MAX) {
		if (seen & bit)
			*same = find_in_list(k, key, first);
		k->count += !*same;
		return ERR_OK;
	}
	if (!slots_reserve(k, k->used + LINEAR_MAX + 1))
		return ERR_NO_MEMORY;
	if (here == LINEAR_MAX && !k->list[first].hashed) {
		for (size_t i = first; i < k->count; i++) {
			enter(k, i, first);
			slot_fill(k, i);
		}
		k->used += LINEAR_MAX;
	}
	enter(k, k->count, first);
	*same = find_in_table(k, key, first);
	if (!*same) {
		slot_fill(k, k->count++);
		k->used++;
	}
	return ERR_OK;
}

void json_keys_drop(struct json_keys *k, size_t first)
{
	while (k->count > first) {
		k->count--;
		if (k->list[k->count].hashed) {
			slot_empty(k, k->count);
			k->used--;
		}
	}
}
