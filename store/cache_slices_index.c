#include "store/cache_slices.h"

#define HIT       (UINT64_C(1) << 31)
#define BYTES_MAX (HIT - 1)

/* An entry has its place in either of two buckets, and goes to the emptier: so hardly any bucket
 * is full before three quarters of all are. The key is a hash already. */
struct buckets {
	uint64_t tag;
	struct slices_slot *at[2];
};

static uint64_t word(const uint8_t *p)
{
	uint64_t n;

	memcpy(&n, p, sizeof(n));
	return n;
}

static struct buckets buckets_of(const struct slices *s, const uint8_t hash[SLICES_KEY])
{
	uint64_t tag = word(hash), mask = s->head->buckets - 1;

	return (struct buckets){ tag ? tag : 1,
		{ s->slots + (word(hash + 8) & mask) * SLICES_WAYS,
			s->slots + (word(hash + 16) & mask) * SLICES_WAYS } };
}

static uint64_t get(const _Atomic uint64_t *p)
{
	return atomic_load_explicit(p, memory_order_relaxed);
}

static void set(_Atomic uint64_t *p, uint64_t n)
{
	atomic_store_explicit(p, n, memory_order_relaxed);
}

static struct slices_row *row_of(const struct slices *s, const struct slices_slot *slot)
{
	return get(&slot->tag) ? slices_row(s, (uint32_t)(get(&slot->place) >> 32)) : NULL;
}

bool slices_seen(const struct slices *s, const uint8_t hash[SLICES_KEY])
{
	struct buckets b = buckets_of(s, hash);

	for (int k = 0; k < 2; k++)
		for (int i = 0; i < SLICES_WAYS; i++)
			if (get(&b.at[k][i].tag) == b.tag)
				return true;
	return false;
}

static struct slices_at at_slot(const struct slices *s, struct slices_slot *slot)
{
	uint64_t place = get(&slot->place);

	return (struct slices_at){ slot, row_of(s, slot), (uint32_t)(place & BYTES_MAX),
		(place & HIT) != 0 };
}

struct slices_at slices_find(const struct slices *s, const uint8_t hash[SLICES_KEY])
{
	struct buckets b = buckets_of(s, hash);

	for (int k = 0; k < 2; k++)
		for (int i = 0; i < SLICES_WAYS; i++)
			if (get(&b.at[k][i].tag) == b.tag && row_of(s, &b.at[k][i]))
				return at_slot(s, &b.at[k][i]);
	return (struct slices_at){ .slot = NULL };
}

void slices_mark_hit(const struct slices_at *at)
{
	if (at->hit)
		return;
	set(&at->slot->place, get(&at->slot->place) | HIT);
	at->row->hits++;
}

static void subtract(uint64_t *from, uint64_t n)
{
	*from -= n < *from ? n : *from;
}

void slices_forget(struct slices *s, const struct slices_at *at)
{
	if (!at->slot)
		return;
	set(&at->slot->tag, 0);
	subtract(&at->row->entries, 1);
	subtract(&at->row->hits, at->hit);
	subtract(&at->row->bytes, at->bytes);
	at->row->dead_bytes += at->bytes;
	subtract(&s->head->entries, 1);
	subtract(&s->head->bytes, at->bytes);
}

/* The first free one of a bucket, and how many there are. */
static struct slices_slot *free_slot(
	const struct slices *s, struct slices_slot *bucket, unsigned *n)
{
	struct slices_slot *first = NULL;

	*n = 0;
	for (int i = SLICES_WAYS - 1; i >= 0; i--)
		if (!row_of(s, &bucket[i])) {
			first = &bucket[i];
			(*n)++;
		}
	return first;
}

/* The one that expires first of two full buckets makes room. */
static struct slices_slot *evict(struct slices *s, const struct buckets *b)
{
	struct slices_at worst = at_slot(s, b->at[0]), at;

	for (int k = 0; k < 2; k++)
		for (int i = 0; i < SLICES_WAYS; i++) {
			at = at_slot(s, &b->at[k][i]);
			if (at.row->until_ms < worst.row->until_ms)
				worst = at;
		}
	slices_forget(s, &worst);
	atomic_fetch_add(&s->head->counted[CACHE_EVICTED], 1);
	return worst.slot;
}

void slices_place(
	struct slices *s, const uint8_t hash[SLICES_KEY], struct slices_row *row, size_t bytes)
{
	struct buckets b = buckets_of(s, hash);
	struct slices_at before = slices_find(s, hash);
	uint64_t weight = bytes + SLICES_GDBM;
	struct slices_slot *slots[2], *slot;
	unsigned n[2];

	slices_forget(s, &before);
	slots[0] = free_slot(s, b.at[0], &n[0]);
	slots[1] = free_slot(s, b.at[1], &n[1]);
	slot = n[1] > n[0] ? slots[1] : slots[0];
	if (!slot)
		slot = evict(s, &b);
	/* The tag last: who is killed in between leaves no entry. */
	set(&slot->tag, 0);
	set(&slot->place, (uint64_t)row->number << 32 | (weight < BYTES_MAX ? weight : BYTES_MAX));
	atomic_store_explicit(&slot->tag, b.tag, memory_order_release);
	row->entries++;
	row->bytes += weight;
	s->head->entries++;
	s->head->bytes += weight;
}

void slices_recount(struct slices *s)
{
	struct slices_head *h = s->head;
	struct slices_row *rows = h->rows;

	for (int i = 0; i < SLICES_ROWS; i++)
		rows[i].entries = rows[i].bytes = rows[i].hits = 0;
	for (uint64_t i = 0; i < h->buckets * SLICES_WAYS; i++) {
		struct slices_at at;

		if (!get(&s->slots[i].tag))
			continue;
		at = at_slot(s, &s->slots[i]);
		if (at.row) {
			at.row->entries++;
			at.row->bytes += at.bytes;
			at.row->hits += at.hit;
		}
	}
	h->entries = h->bytes = h->file_bytes = 0;
	for (int i = 0; i < SLICES_ROWS; i++) {
		h->entries += rows[i].entries;
		h->bytes += rows[i].bytes;
		h->file_bytes += rows[i].number ? rows[i].file_bytes : 0;
	}
}
