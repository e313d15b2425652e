/* store/health_place.h - the inside of store/health.h: the places that rows have in the hot table,
 * and whose they are.
 *
 * Every word of a row but its texts begins with a tag, 16 bits of the row's name, and counts as
 * empty to all that have another. So a place changes hands by one single compare-and-swap of its
 * name, and whoever is stopped or killed anywhere leaves nothing that others would have to finish:
 * at worst an outcome is lost.
 *
 * Blocking: never. Threads and processes: any.
 */
#ifndef STORE_HEALTH_PLACE_H
#define STORE_HEALTH_PLACE_H

#include "store/health.h"

#define PLACE_WAYS   16 /* places that a name can have, one behind the other */
#define PLACE_NONE   SIZE_MAX
#define PLACE_PIECES 8 /* of the time that counts */
#define PLACE_TEXTS  ((HEALTH_SLUG_MAX + HEALTH_MODEL_MAX) / 8)

#define PLACE_IDLE_MS   INT64_C(600000)  /* a closed row not heard of for so long may go */
#define PLACE_FORGET_MS INT64_C(3600000) /* any row */

struct place {
	uint64_t pieces[PLACE_PIECES]; /* tag, which piece of time it is, outcomes, failures */

	uint64_t state;      /* tag, kind, time */
	uint64_t in_row;     /* failures since the last success */
	uint64_t heard;      /* when an outcome was told */
	uint64_t since;      /* when the state became what it is */
	uint64_t ttft_x8;    /* eight times the moving average */
	uint64_t total;      /* outcomes */
	uint64_t failed;     /* those that were failures */
	uint64_t text_check; /* of the name and the texts, without a tag */

	uint64_t texts[PLACE_TEXTS]; /* slug and model, each filled up with zeros */
	uint64_t spare[4];
};
_Static_assert(sizeof(struct place) % 64 == 0, "a row has its own cache lines");

struct health {
	uint64_t names[HEALTH_ROWS]; /* 0 = nobody's; side by side, so that looking is quick */
	struct place places[HEALTH_ROWS];
};

/* The state: which kind, and the time that the kind is about. */
enum place_kind {
	KIND_CLOSED,  /* since */
	KIND_OPEN,    /* since */
	KIND_DUE,     /* open, and a probe was given back: since */
	KIND_HALF,    /* the probe went out */
	KIND_LIMITED, /* until */
};

/* ---- words ---- */

#define WORD_TAG_SHIFT  48
#define WORD_VALUE      ((UINT64_C(1) << WORD_TAG_SHIFT) - 1)
#define WORD_KIND_SHIFT 45
#define WORD_TIME       ((UINT64_C(1) << WORD_KIND_SHIFT) - 1)

static inline uint64_t word_load(const uint64_t *word)
{
	return __atomic_load_n(word, __ATOMIC_SEQ_CST);
}

static inline void word_store(uint64_t *word, uint64_t to)
{
	__atomic_store_n(word, to, __ATOMIC_RELEASE);
}

/* On false *seen is what stands there. */
static inline bool word_swap(uint64_t *word, uint64_t *seen, uint64_t to)
{
	return __atomic_compare_exchange_n(
		word, seen, to, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}

static inline uint64_t word_tag(uint64_t name)
{
	uint64_t tag = name >> WORD_TAG_SHIFT;

	return (tag ? tag : 1) << WORD_TAG_SHIFT;
}

/* 0 when the word is another's. */
static inline uint64_t word_value(uint64_t word, uint64_t tag)
{
	return (word & ~WORD_VALUE) == tag ? word & WORD_VALUE : 0;
}

static inline int64_t word_get(const uint64_t *word, uint64_t tag)
{
	return (int64_t)word_value(word_load(word), tag);
}

static inline void word_set(uint64_t *word, uint64_t tag, int64_t value)
{
	word_store(word, tag | ((uint64_t)value & WORD_VALUE));
}

static inline uint64_t word_state(uint64_t tag, enum place_kind kind, int64_t ms)
{
	return tag | (uint64_t)kind << WORD_KIND_SHIFT | (ms > 0 ? (uint64_t)ms & WORD_TIME : 0);
}

static inline enum place_kind word_kind(uint64_t word, uint64_t tag)
{
	return (enum place_kind)(word_value(word, tag) >> WORD_KIND_SHIFT);
}

static inline int64_t word_time(uint64_t word, uint64_t tag)
{
	return (int64_t)(word_value(word, tag) & WORD_TIME);
}

/* ---- places ---- */

/* Which place has the name; PLACE_NONE. */
size_t place_find(const struct health *h, uint64_t name);

/* The same, giving it an empty place or that of the row least worth keeping. PLACE_NONE when all
 * it could have are in use. */
size_t place_make(struct health *h, uint64_t name, int64_t now_ms);

void place_write_texts(struct place *p, uint64_t name, struct slice slug, struct slice model);
/* False: they are not whole, or another's. */
bool place_read_texts(const struct place *p, uint64_t name, char slug[HEALTH_SLUG_MAX],
	char model[HEALTH_MODEL_MAX]);
/* As it stands in a place: cut to fit, filled up with zeros. */
void place_slug(struct slice slug, char out[HEALTH_SLUG_MAX]);

#endif
