#include "store/health_place.h"

#include "store/fault.h"

#include <string.h>

#define TRIES 4 /* at a place that others take too */
#define READS 4 /* of a text that changes while it is read */

/* ---- names ---- */

size_t place_find(const struct health *h, uint64_t name)
{
	for (size_t k = 0; k < PLACE_WAYS; k++)
		if (word_load(&h->names[(name + k) % HEALTH_ROWS]) == name)
			return (size_t)(name + k) % HEALTH_ROWS;
	return PLACE_NONE;
}

/* How long the row at i has been of no use; negative: it is to be kept. */
static int64_t idle_of(const struct health *h, size_t i, uint64_t name, int64_t now_ms)
{
	const struct place *p = &h->places[i];
	uint64_t tag = word_tag(name), state = word_load(&p->state);
	int64_t heard = word_get(&p->heard, tag), idle = now_ms - heard;
	enum place_kind kind = word_kind(state, tag);
	bool keeps_out =
		kind != KIND_CLOSED && (kind != KIND_LIMITED || word_time(state, tag) > now_ms);

	if (!heard)
		return INT64_MAX;
	return idle >= (keeps_out ? PLACE_FORGET_MS : PLACE_IDLE_MS) ? idle : -1;
}

/* The place for a new row: an empty one, else the one least worth keeping; *was is its name. */
static size_t choose(const struct health *h, uint64_t name, int64_t now_ms, uint64_t *was)
{
	size_t best = PLACE_NONE;
	int64_t most = -1;

	for (size_t k = 0; k < PLACE_WAYS; k++) {
		size_t i = (size_t)(name + k) % HEALTH_ROWS;
		uint64_t there = word_load(&h->names[i]);
		int64_t idle;

		if (!there) {
			*was = 0;
			return i;
		}
		idle = idle_of(h, i, there, now_ms);
		if (idle > most) {
			most = idle;
			best = i;
			*was = there;
		}
	}
	return best;
}

/* Two may have put the same name into two places at once. Each looks after it has put its own, so
 * one of them at least sees both: the first place stays. */
static size_t make_single(struct health *h, uint64_t name)
{
	size_t first = PLACE_NONE;

	for (size_t k = 0; k < PLACE_WAYS; k++) {
		size_t i = (size_t)(name + k) % HEALTH_ROWS;
		uint64_t seen = name;

		if (word_load(&h->names[i]) != name)
			continue;
		if (first == PLACE_NONE)
			first = i;
		else
			(void)word_swap(&h->names[i], &seen, 0);
	}
	return first;
}

size_t place_make(struct health *h, uint64_t name, int64_t now_ms)
{
	size_t i = place_find(h, name);

	for (unsigned tries = 0; i == PLACE_NONE && tries < TRIES; tries++) {
		uint64_t was = 0;
		size_t at = choose(h, name, now_ms, &was);

		if (at == PLACE_NONE)
			return PLACE_NONE;
		if (word_swap(&h->names[at], &was, name)) {
			(void)fault_at("health.named");
			word_set(&h->places[at].since, word_tag(name), now_ms);
			i = make_single(h, name);
		} else {
			i = place_find(h, name);
		}
	}
	return i;
}

/* ---- texts ---- */

static void put_text(char *out, size_t size, struct slice text)
{
	size_t n = text.len < size ? text.len : utf8_whole(slice_first(text, size - 1));

	memset(out, 0, size);
	if (n)
		memcpy(out, text.ptr, n);
}

static uint64_t check_of(uint64_t name, const uint64_t texts[PLACE_TEXTS])
{
	uint64_t hash = name;

	for (size_t i = 0; i < PLACE_TEXTS; i++)
		hash = (hash ^ texts[i]) * UINT64_C(0x9E3779B97F4A7C15);
	return hash ^ hash >> 32;
}

/* All who know the name write the same; a mixture with what another name's late writer puts
 * down fails the check, and the next outcome mends it. */
void place_write_texts(struct place *p, uint64_t name, struct slice slug, struct slice model)
{
	uint64_t texts[PLACE_TEXTS], check;

	put_text((char *)texts, HEALTH_SLUG_MAX, slug);
	put_text((char *)texts + HEALTH_SLUG_MAX, HEALTH_MODEL_MAX, model);
	check = check_of(name, texts);
	for (size_t i = 0; i < PLACE_TEXTS; i++) {
		if (word_load(&p->texts[i]) != texts[i])
			word_store(&p->texts[i], texts[i]);
		if (i == 0)
			(void)fault_at("health.half_text");
	}
	if (word_load(&p->text_check) != check)
		word_store(&p->text_check, check);
}

bool place_read_texts(const struct place *p, uint64_t name, char slug[HEALTH_SLUG_MAX],
	char model[HEALTH_MODEL_MAX])
{
	uint64_t texts[PLACE_TEXTS];

	for (unsigned reads = 0; reads < READS; reads++) {
		for (size_t i = 0; i < PLACE_TEXTS; i++)
			texts[i] = word_load(&p->texts[i]);
		if (word_load(&p->text_check) != check_of(name, texts))
			continue;
		memcpy(slug, texts, HEALTH_SLUG_MAX);
		memcpy(model, (const char *)texts + HEALTH_SLUG_MAX, HEALTH_MODEL_MAX);
		return true;
	}
	return false;
}

void place_slug(struct slice slug, char out[HEALTH_SLUG_MAX])
{
	put_text(out, HEALTH_SLUG_MAX, slug);
}
