#include "store/health.h"

#include "store/fault.h"
#include "store/health_place.h"

#include <string.h>

/* Behind the tag of a piece: which one it is, outcomes, failures. */
#define EPOCH_SHIFT 28
#define EPOCH       UINT64_C(0xFFFFF)
#define COUNT_SHIFT 14
#define COUNT       UINT64_C(0x3FFF)

size_t health_bytes(void)
{
	return sizeof(struct health);
}

/* ---- words ---- */

static void add(uint64_t *word, uint64_t tag)
{
	uint64_t seen = word_load(word);

	while (!word_swap(word, &seen, tag | ((word_value(seen, tag) + 1) & WORD_VALUE)))
		continue;
}

static int64_t interval_of(const struct health_conf *conf)
{
	return conf->interval_ms > 0 ? conf->interval_ms : 1;
}

/* ---- names ---- */

static uint64_t mix(uint64_t x)
{
	x ^= x >> 33;
	x *= UINT64_C(0xFF51AFD7ED558CCD);
	x ^= x >> 33;
	x *= UINT64_C(0xC4CEB9FE1A85EC53);
	return x ^ x >> 33;
}

static uint64_t hash_on(uint64_t hash, struct slice text)
{
	for (size_t i = 0; i < text.len; i++)
		hash = (hash ^ (unsigned char)text.ptr[i]) * UINT64_C(0x100000001B3);
	return hash;
}

uint64_t health_name(struct slice slug, struct slice model)
{
	uint64_t hash = hash_on(UINT64_C(0xCBF29CE484222325), slug);

	hash = mix(hash_on(hash_on(hash, (struct slice){ "", 1 }), model));
	return hash ? hash : 1;
}

/* ---- outcomes over a sliding time ---- */

struct sums {
	uint64_t told, failed;
};

static uint64_t epoch_of(const struct health_conf *conf, int64_t now_ms)
{
	int64_t piece_ms = interval_of(conf) * 2 / PLACE_PIECES;

	return (uint64_t)(now_ms / (piece_ms > 0 ? piece_ms : 1)) & EPOCH;
}

static struct sums split(uint64_t piece)
{
	return (struct sums){ piece >> COUNT_SHIFT & COUNT, piece & COUNT };
}

static void count(struct place *r, uint64_t tag, uint64_t epoch, bool is_failure)
{
	uint64_t *word = &r->pieces[epoch % PLACE_PIECES], seen = word_load(word), to;

	do {
		uint64_t was = word_value(seen, tag);
		struct sums s = { 0 };

		if (was >> EPOCH_SHIFT == epoch)
			s = split(was);
		/* Full: the share of failures stays what it is. */
		if (s.told == COUNT) {
			s.told /= 2;
			s.failed /= 2;
		}
		s.told++;
		s.failed += is_failure;
		to = tag | epoch << EPOCH_SHIFT | s.told << COUNT_SHIFT | s.failed;
	} while (!word_swap(word, &seen, to));
}

static struct sums recent_of(const struct place *r, uint64_t tag, uint64_t epoch)
{
	struct sums sum = { 0 };

	for (size_t i = 0; i < PLACE_PIECES; i++) {
		uint64_t piece = word_value(word_load(&r->pieces[i]), tag);
		struct sums s = split(piece);

		if (((epoch - (piece >> EPOCH_SHIFT)) & EPOCH) >= PLACE_PIECES)
			continue;
		sum.told += s.told;
		sum.failed += s.failed;
	}
	return sum;
}

static bool is_too_much(
	const struct place *r, uint64_t tag, const struct health_conf *conf, int64_t now_ms)
{
	struct sums s = recent_of(r, tag, epoch_of(conf, now_ms));
	uint64_t min = conf->min > 0 ? (uint64_t)conf->min : 1;

	if ((uint64_t)word_get(&r->in_row, tag) >= min)
		return true;
	return s.told >= min && s.failed * 100 >= s.told * (uint64_t)conf->percent;
}

/* ---- looking ---- */

static struct health_look look_at(
	uint64_t state, uint64_t tag, const struct health_conf *conf, int64_t now_ms)
{
	struct health_look look = { .state = HEALTH_CLOSED };
	int64_t until = word_time(state, tag) + interval_of(conf);

	switch (word_kind(state, tag)) {
	case KIND_CLOSED:
		return look;
	case KIND_LIMITED:
		until = word_time(state, tag);
		if (now_ms < until)
			look = (struct health_look){ .state = HEALTH_LIMITED,
				.wait_ms = until - now_ms };
		return look;
	case KIND_DUE:
		until = now_ms;
		look.state = HEALTH_OPEN;
		break;
	case KIND_OPEN:
		look.state = HEALTH_OPEN;
		break;
	case KIND_HALF:
		look.state = HEALTH_HALF_OPEN;
		break;
	}
	look.wait_ms = now_ms < until ? until - now_ms : 0;
	look.probe_due = !look.wait_ms;
	return look;
}

struct health_look health_look(
	const struct health *h, uint64_t name, const struct health_conf *conf, int64_t now_ms)
{
	size_t i = h ? place_find(h, name) : PLACE_NONE;
	uint64_t tag = word_tag(name);
	struct health_look look;

	if (i == PLACE_NONE)
		return (struct health_look){ .state = HEALTH_CLOSED };
	look = look_at(word_load(&h->places[i].state), tag, conf, now_ms);
	look.ttft_ms = (word_get(&h->places[i].ttft_x8, tag) + 4) / 8;
	return look;
}

enum health_gate health_enter(struct health *h, uint64_t name, const struct health_conf *conf,
	int64_t now_ms, int64_t *wait_ms)
{
	size_t i = h ? place_find(h, name) : PLACE_NONE;
	uint64_t tag = word_tag(name), seen;
	struct place *r;

	*wait_ms = 0;
	if (i == PLACE_NONE)
		return HEALTH_GO;
	r = &h->places[i];
	seen = word_load(&r->state);
	for (;;) {
		struct health_look look = look_at(seen, tag, conf, now_ms);

		if (look.wait_ms) {
			*wait_ms = look.wait_ms;
			return HEALTH_STOP;
		}
		if (!look.probe_due)
			return HEALTH_GO;
		(void)fault_at("health.probe_due");
		/* The one step that makes a probe: of all who saw it due, one succeeds. */
		if (word_swap(&r->state, &seen, word_state(tag, KIND_HALF, now_ms))) {
			word_set(&r->since, tag, now_ms);
			return HEALTH_PROBE;
		}
	}
}

/* ---- telling ---- */

struct told {
	struct place *row;
	uint64_t name, tag;
	const struct health_conf *conf;
	int64_t now_ms;
	const struct health_report *report;
};

static int64_t limited_until(const struct told *t)
{
	int64_t ms = t->report->limited_ms > 0 ? t->report->limited_ms : interval_of(t->conf);

	return t->now_ms + (ms < HEALTH_LIMITED_MAX_MS ? ms : HEALTH_LIMITED_MAX_MS);
}

/* Whether people would call it another state: one that was given back is still open; and being
 * limited anew after its time was up is news, as is the first success after that. */
static bool is_news(const struct told *t, uint64_t from, uint64_t to)
{
	enum place_kind was = word_kind(from, t->tag), is = word_kind(to, t->tag);

	if (was == is)
		return was == KIND_LIMITED && word_time(from, t->tag) <= t->now_ms;
	return !(was == KIND_DUE && is == KIND_OPEN);
}

/* What the outcome makes of a state: the same, or another. */
static uint64_t after(const struct told *t, uint64_t state)
{
	const struct health_report *rep = t->report;
	enum place_kind kind = word_kind(state, t->tag);
	int64_t at = word_time(state, t->tag), until;
	bool is_limited = kind == KIND_LIMITED && t->now_ms < at;
	bool is_closed = kind == KIND_CLOSED || (kind == KIND_LIMITED && !is_limited);
	bool is_probed = rep->probe && (kind == KIND_HALF || kind == KIND_DUE);

	switch (rep->outcome) {
	case HEALTH_OK:
		if (kind == KIND_CLOSED || is_limited)
			return state;
		return word_state(t->tag, KIND_CLOSED, t->now_ms);
	case HEALTH_FAILED:
		/* Of those that went out before it opened, none makes it last longer. */
		if (is_closed ? is_too_much(t->row, t->tag, t->conf, t->now_ms) : is_probed)
			return word_state(t->tag, KIND_OPEN, t->now_ms);
		return state;
	case HEALTH_REFUSED:
		until = limited_until(t);
		if (is_closed || is_probed || (is_limited && until > at))
			return word_state(t->tag, KIND_LIMITED, until);
		return state;
	case HEALTH_NOTHING:
		if (rep->probe && kind == KIND_HALF && at == rep->entered_ms)
			return word_state(t->tag, KIND_DUE, t->now_ms);
		return state;
	}
	return state;
}

static void note_ttft(struct place *r, uint64_t tag, int64_t ttft_ms)
{
	uint64_t seen = word_load(&r->ttft_x8), x = (uint64_t)ttft_ms, to;

	if (x > WORD_VALUE / 16)
		return;
	do {
		uint64_t was = word_value(seen, tag);

		to = tag | (was ? was - was / 8 + x : x * 8);
	} while (!word_swap(&r->ttft_x8, &seen, to));
}

/* Before the state changes: one who dies in between has opened nothing that the next failure
 * would not open, and closed nothing. */
static void note(const struct told *t)
{
	struct place *r = t->row;
	bool is_failure = t->report->outcome == HEALTH_FAILED;
	uint64_t epoch = epoch_of(t->conf, t->now_ms);
	enum place_kind kind = word_kind(word_load(&r->state), t->tag);

	word_set(&r->heard, t->tag, t->now_ms);
	if (t->report->ttft_ms > 0)
		note_ttft(r, t->tag, t->report->ttft_ms);
	if (t->report->outcome == HEALTH_REFUSED)
		return;
	/* A fresh start for what is about to close. */
	if (!is_failure && kind != KIND_CLOSED && kind != KIND_LIMITED)
		for (size_t i = 0; i < PLACE_PIECES; i++)
			word_store(&r->pieces[i], 0);
	if (is_failure) {
		add(&r->in_row, t->tag);
		add(&r->failed, t->tag);
	} else if (word_get(&r->in_row, t->tag)) {
		word_store(&r->in_row, 0);
	}
	add(&r->total, t->tag);
	count(r, t->tag, epoch, is_failure);
	(void)fault_at("health.counted");
}

enum health_state health_tell(struct health *h, struct slice slug, struct slice model,
	const struct health_conf *conf, int64_t now_ms, const struct health_report *report,
	bool *changed)
{
	struct told t = { .name = health_name(slug, model),
		.conf = conf,
		.now_ms = now_ms > 0 ? now_ms : 1,
		.report = report };
	size_t i = PLACE_NONE;
	uint64_t seen, to;

	if (h)
		i = report->outcome == HEALTH_NOTHING ? place_find(h, t.name)
						      : place_make(h, t.name, t.now_ms);
	if (changed)
		*changed = false;
	if (i == PLACE_NONE)
		return HEALTH_CLOSED;
	t.tag = word_tag(t.name);
	t.row = &h->places[i];
	if (report->outcome != HEALTH_NOTHING) {
		place_write_texts(t.row, t.name, slug, model);
		note(&t);
	}
	seen = word_load(&t.row->state);
	do {
		to = after(&t, seen);
		/* Unchanged, or another has got the place since. */
		if (to == seen || word_load(&h->names[i]) != t.name)
			return look_at(seen, t.tag, conf, t.now_ms).state;
	} while (!word_swap(&t.row->state, &seen, to));
	if (is_news(&t, seen, to)) {
		word_set(&t.row->since, t.tag, t.now_ms);
		if (changed)
			*changed = true;
	}
	return look_at(to, t.tag, conf, t.now_ms).state;
}

/* ---- for people ---- */

static int64_t since_of(const struct place *r, uint64_t state, uint64_t tag, int64_t now_ms)
{
	int64_t since = word_get(&r->since, tag);

	/* Nobody was there when the time was up. */
	if (word_kind(state, tag) == KIND_LIMITED && word_time(state, tag) <= now_ms)
		since = word_time(state, tag);
	return since && since < now_ms ? now_ms - since : 0;
}

static bool read_row(const struct health *h, size_t i, const struct health_conf *conf,
	int64_t now_ms, struct health_row *out)
{
	const struct place *r = &h->places[i];
	uint64_t name = word_load(&h->names[i]), tag = word_tag(name), state = word_load(&r->state);
	struct health_look look = look_at(state, tag, conf, now_ms);
	struct sums recent = recent_of(r, tag, epoch_of(conf, now_ms));
	int64_t heard = word_get(&r->heard, tag);

	*out = (struct health_row){
		.state = look.state,
		.wait_ms = look.wait_ms,
		.since_ms = since_of(r, state, tag, now_ms),
		.ttft_ms = (word_get(&r->ttft_x8, tag) + 4) / 8,
		.recent = recent.told,
		.failed = recent.failed,
		.total = (uint64_t)word_get(&r->total, tag),
		.total_failed = (uint64_t)word_get(&r->failed, tag),
		.heard_ms = heard < now_ms ? now_ms - heard : 0,
	};
	/* Of two rows of one name, the first is the one in use. */
	return name && heard && place_find(h, name) == i &&
	       place_read_texts(r, name, out->slug, out->model);
}

size_t health_list(const struct health *h, const struct health_conf *conf, int64_t now_ms,
	void (*f)(void *ctx, const struct health_row *row), void *ctx)
{
	struct health_row row;
	size_t n = 0;

	for (size_t i = 0; h && i < HEALTH_ROWS; i++) {
		if (!read_row(h, i, conf, now_ms, &row))
			continue;
		f(ctx, &row);
		n++;
	}
	return n;
}

/* The name stays where it is, so no other ever finds the place empty and then not. */
static void forget(struct place *r)
{
	for (size_t i = 0; i < PLACE_PIECES; i++)
		word_store(&r->pieces[i], 0);
	word_store(&r->in_row, 0);
	word_store(&r->ttft_x8, 0);
	word_store(&r->total, 0);
	word_store(&r->failed, 0);
	word_store(&r->state, 0);
	word_store(&r->since, 0);
	word_store(&r->heard, 0);
}

void health_forget(struct health *h, struct slice slug)
{
	char wanted[HEALTH_SLUG_MAX], is[HEALTH_SLUG_MAX], model[HEALTH_MODEL_MAX];

	place_slug(slug, wanted);
	for (size_t i = 0; h && i < HEALTH_ROWS; i++) {
		uint64_t name = word_load(&h->names[i]);

		if (name && (!slug.len || (place_read_texts(&h->places[i], name, is, model) &&
						  memcmp(is, wanted, sizeof(is)) == 0)))
			forget(&h->places[i]);
	}
}
