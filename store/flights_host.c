/* store/flights_host.c - flights over the processes of one host (contract: flights.h): a slot of
 * the table says who leads (flights_table.h), and a file hands on what is said (flights_file.h).
 *
 * The leader keeps in its memory what it wrote until somebody follows; then it makes the file, with
 * all of that in it, the next time it is called. A follower that comes while the leader is silent
 * gets the beginning with the next words.
 */
#include "store/flights_file.h"
#include "store/flights_inside.h"

#include "base/clock.h"
#include "store/fault.h"

#include <stdlib.h>
#include <unistd.h>

#define SWEEP_MS   5000
#define TRIES      8    /* at a key whose leader is found dead */
#define ENTRY_ROOM 4096 /* of an entry but for its body and usage */

struct host {
	struct flights f;
	struct flight_map map;
	size_t max_bytes;
	_Atomic int64_t sweep_ms; /* monotonic: when somebody looks around next */
	char home[HOME_PATH_MAX];
};

struct flown {
	struct flight f;
	struct host *host;
	struct flight_place place;
	struct cache_key key;
	bool leads;
	bool lost; /* nothing is handed on, or taken, any more */
	bool has_who;
	struct flight_who who;
	struct flight_file file;
	struct buf held; /* the leader's, while there is no file */
};

static struct host *host_of(struct flights *f)
{
	return (struct host *)(void *)f;
}

static struct flown *flown_of(struct flight *f)
{
	return (struct flown *)(void *)f;
}

static struct flight_slot *slot_of(const struct flown *f)
{
	return flight_slot(&f->host->map, f->place);
}

static _Atomic uint64_t *word_of(const struct flown *f)
{
	return flight_word_of(&f->host->map, f->place);
}

static bool is_life(const struct flown *f, uint64_t word, enum flight_state state)
{
	return flight_generation(word) == f->place.generation && flight_state(word) == state;
}

/* ---- joining ---- */

/* Adds a follower to the slot, unless its flight has just ended. */
static bool add_follower(_Atomic uint64_t *at, uint64_t word)
{
	uint32_t generation = flight_generation(word);

	while (flight_generation(word) == generation && flight_state(word) == FLIGHT_FLYING &&
		flight_followers(word) < FLIGHT_MOST)
		if (atomic_compare_exchange_weak(at, &word, word + 1))
			return true;
	return false;
}

static bool claim(const struct host *h, struct flown *f, uint64_t word, int64_t now_ms)
{
	struct flight_slot *s;

	f->place.generation = flight_generation(word) + 1;
	s = slot_of(f);
	s->key = f->key;
	atomic_store(&s->owner, h->map.me);
	atomic_store(&s->seen_ms, now_ms);
	(void)fault_at("flights.claimed");
	f->leads = atomic_compare_exchange_strong(
		word_of(f), &word, flight_word(f->place.generation, FLIGHT_FLYING, 0));
	return f->leads;
}

/* Under the lock. A key has at most one slot that is FLYING or CLOSED. */
static enum flight_role look(
	const struct host *h, struct flown *f, bool lead, int64_t now_ms, bool *is_full)
{
	struct flight_bucket *b = &h->map.table->buckets[f->place.bucket];
	unsigned free_way = FLIGHT_WAYS;

	for (unsigned w = 0; w < FLIGHT_WAYS; w++) {
		uint64_t word = atomic_load(&b->words[w]);
		enum flight_state state = flight_state(word);

		f->place.way = w;
		f->place.generation = flight_generation(word);
		if (state == FLIGHT_FREE && free_way == FLIGHT_WAYS)
			free_way = w;
		if (state == FLIGHT_FREE || state == FLIGHT_DONE ||
			memcmp(&b->slots[w].key, &f->key, sizeof(f->key)) != 0)
			continue;
		if (add_follower(&b->words[w], word))
			return FLIGHT_FOLLOWS;
		/* Whose answer is too long, or too many follow. */
		word = atomic_load(&b->words[w]);
		if (flight_state(word) == FLIGHT_FLYING || flight_state(word) == FLIGHT_CLOSED)
			return FLIGHT_ALONE;
		if (flight_state(word) == FLIGHT_FREE && free_way == FLIGHT_WAYS)
			free_way = w;
	}
	*is_full = lead && free_way == FLIGHT_WAYS;
	if (!lead || *is_full)
		return FLIGHT_ALONE;
	f->place.way = free_way;
	return claim(h, f, atomic_load(&b->words[free_way]), now_ms) ? FLIGHT_LEADS : FLIGHT_ALONE;
}

static void leave(struct flown *f);

static enum flight_role find_role(struct host *h, struct flown *f, bool lead, int64_t now_ms)
{
	for (unsigned tries = 0; tries < TRIES; tries++) {
		enum flight_role role;
		bool is_full = false;

		if (!flight_lock(&h->map, f->place.bucket))
			return FLIGHT_ALONE;
		(void)fault_at("flights.locked");
		role = look(h, f, lead, now_ms, &is_full);
		flight_unlock(&h->map, f->place.bucket);
		if (role == FLIGHT_FOLLOWS && flight_bury(&h->map, f->place, now_ms)) {
			leave(f);
			continue;
		}
		if (is_full && tries == 0 && flight_sweep(&h->map, now_ms))
			continue;
		return role;
	}
	return FLIGHT_ALONE;
}

static void look_around(struct host *h, int64_t now_ms)
{
	int64_t due_ms = atomic_load(&h->sweep_ms);

	if (now_ms >= due_ms &&
		atomic_compare_exchange_strong(&h->sweep_ms, &due_ms, now_ms + SWEEP_MS))
		(void)flight_sweep(&h->map, now_ms);
}

static unsigned bucket_of(const struct cache_key *key)
{
	uint64_t n;

	memcpy(&n, key->hash, sizeof(n));
	return (unsigned)(n % FLIGHT_BUCKETS);
}

static enum flight_role join(
	struct flights *flights, const struct cache_key *key, bool lead, struct flight **out)
{
	struct host *h = host_of(flights);
	struct flown *f = calloc(1, sizeof(*f));
	int64_t now_ms = clock_mono_ms();
	enum flight_role role;

	if (!f)
		return FLIGHT_ALONE;
	look_around(h, now_ms);
	f->f.ops = flights->ops;
	f->host = h;
	f->place.bucket = bucket_of(key);
	f->key = *key;
	f->file.fd = -1;
	f->held.max_bytes = h->max_bytes;
	role = find_role(h, f, lead, now_ms);
	if (role == FLIGHT_ALONE)
		free(f);
	else
		*out = &f->f;
	return role;
}

/* ---- the leader ---- */

static void remove_file(struct flown *f)
{
	char path[FLIGHT_PATH_MAX];

	if (f->file.fd < 0)
		return;
	flight_file_path(&f->host->map, f->place, path);
	unlink(path);
	flight_file_close(&f->file);
}

/* Nobody can have this answer but its own client. */
static void give_up(struct flown *f)
{
	_Atomic uint64_t *at = word_of(f);
	uint64_t word = atomic_load(at);

	f->lost = true;
	buf_fini(&f->held);
	while (is_life(f, word, FLIGHT_FLYING) &&
		!atomic_compare_exchange_weak(at, &word,
			flight_word(f->place.generation, FLIGHT_CLOSED, flight_followers(word))))
		;
	remove_file(f);
	flight_wake(slot_of(f));
}

static bool put_who(struct flown *f)
{
	return !f->has_who || flight_file_put(&f->file, FLIGHT_WHO,
				      (struct slice){ (const char *)&f->who, sizeof(f->who) });
}

static bool is_followed(const struct flight *flight)
{
	const struct flown *f = (const void *)flight;
	uint64_t word = atomic_load(word_of(f));

	return !f->lost && is_life(f, word, FLIGHT_FLYING) && flight_followers(word) > 0;
}

/* Is there a file, if one is needed? It begins with all that was said so far. */
static void hand_on(struct flown *f)
{
	if (f->lost || f->file.fd >= 0 || !is_followed(&f->f))
		return;
	if (!flight_file_make(&f->file, &f->host->map, f->place, &f->key) || !put_who(f) ||
		!flight_file_put_events(&f->file, buf_slice(&f->held))) {
		give_up(f);
		return;
	}
	buf_fini(&f->held);
	flight_wake(slot_of(f));
}

static void begin(struct flight *flight, const struct flight_who *who)
{
	struct flown *f = flown_of(flight);

	f->who = *who;
	f->has_who = true;
	if (f->lost)
		return;
	if (f->file.fd >= 0 && !put_who(f))
		give_up(f);
	hand_on(f);
}

static void write_events(struct flight *flight, struct slice events)
{
	struct flown *f = flown_of(flight);

	if (f->lost)
		return;
	hand_on(f);
	if (f->file.fd < 0) {
		buf_slice_append(&f->held, events);
		if (!buf_ok(&f->held))
			give_up(f);
		return;
	}
	if (events.len > f->host->max_bytes - f->file.events_bytes ||
		!flight_file_put_events(&f->file, events)) {
		give_up(f);
		return;
	}
	flight_wake(slot_of(f));
}

/* The last word in the file. */
static void put_entry(struct flown *f, const struct cache_entry *entry)
{
	struct buf bytes = { .max_bytes = 2 * f->host->max_bytes + ENTRY_ROOM };

	buf_append(&bytes, &f->file.events_bytes, sizeof(f->file.events_bytes));
	flight_entry_write(entry, &bytes);
	(void)fault_at("flights.ending");
	if (!buf_ok(&bytes) || !flight_file_put(&f->file, FLIGHT_ENTRY, buf_slice(&bytes)))
		give_up(f);
	buf_fini(&bytes);
}

/* Leaves the answer to its followers; false: there are none, or it cannot. */
static bool bequeath(struct flown *f, const struct cache_entry *entry)
{
	_Atomic uint64_t *at = word_of(f);
	uint64_t word;

	hand_on(f);
	if (!f->lost && f->file.fd >= 0)
		put_entry(f, entry);
	if (f->lost || f->file.fd < 0)
		return false;
	(void)fault_at("flights.ended");
	atomic_store(&slot_of(f)->ended_ms, clock_mono_ms());
	word = atomic_load(at);
	while (is_life(f, word, FLIGHT_FLYING) && flight_followers(word) > 0)
		if (atomic_compare_exchange_weak(at, &word,
			    flight_word(
				    f->place.generation, FLIGHT_DONE, flight_followers(word)))) {
			flight_wake(slot_of(f));
			return true;
		}
	return false;
}

static void end_lead(struct flown *f, const struct cache_entry *entry)
{
	_Atomic uint64_t *at = word_of(f);
	uint64_t alone = flight_word(f->place.generation, FLIGHT_FLYING, 0), word = alone;

	/* Mostly nobody follows, and nothing is left behind. Somebody may come between a look and
	 * the end, and who came may have gone again. */
	while (f->file.fd >= 0 || !atomic_compare_exchange_strong(at, &word,
					  flight_word(f->place.generation, FLIGHT_FREE, 0))) {
		if (entry && bequeath(f, entry))
			return;
		if (entry && !f->lost && f->file.fd < 0 && is_life(f, word, FLIGHT_FLYING)) {
			word = alone;
			continue;
		}
		if (!flight_free_slot(&f->host->map, f->place))
			remove_file(f); /* it was taken for dead */
		return;
	}
}

/* ---- a follower ---- */

/* Follows no longer; the last one of an answer that is whole takes it away. */
static void leave(struct flown *f)
{
	_Atomic uint64_t *at = word_of(f);
	uint64_t word = atomic_load(at);

	for (;;) {
		if (flight_generation(word) != f->place.generation ||
			flight_state(word) == FLIGHT_FREE || !flight_followers(word))
			return;
		if (flight_state(word) == FLIGHT_DONE && flight_followers(word) == 1) {
			(void)flight_free_slot(&f->host->map, f->place);
			return;
		}
		if (atomic_compare_exchange_weak(at, &word, word - 1))
			return;
	}
}

static enum flight_news take_who(struct flown *f, const struct buf *out, size_t begin_at)
{
	struct flight_who who;

	if (out->len - begin_at != sizeof(who))
		return FLIGHT_LOST;
	memcpy(&who, out->data + begin_at, sizeof(who));
	if (!memchr(who.model, '\0', sizeof(who.model)) ||
		!memchr(who.provider, '\0', sizeof(who.provider)))
		return FLIGHT_LOST;
	f->who = who;
	f->has_who = true;
	return FLIGHT_QUIET;
}

static enum flight_news take_entry(
	struct flown *f, struct buf *out, size_t begin_at, struct cache_entry *entry)
{
	struct slice bytes = slice_from(buf_slice(out), begin_at);
	uint64_t events_bytes;

	if (bytes.len < sizeof(events_bytes))
		return FLIGHT_LOST;
	memcpy(&events_bytes, bytes.ptr, sizeof(events_bytes));
	if (events_bytes != f->file.events_bytes ||
		!flight_entry_read(slice_from(bytes, sizeof(events_bytes)), entry))
		return FLIGHT_LOST;
	if (!f->has_who) {
		memcpy(f->who.model, entry->model, sizeof(f->who.model));
		memcpy(f->who.provider, entry->provider, sizeof(f->who.provider));
		f->has_who = true;
	}
	return FLIGHT_WHOLE;
}

/* Takes the next frame. FLIGHT_QUIET: there is none yet, or it says nothing to the client. */
static enum flight_news take_frame(
	struct flown *f, struct buf *out, struct cache_entry *entry, bool *is_last)
{
	size_t begin_at = out->len;
	enum flight_news news = FLIGHT_LOST;
	enum flight_frame frame;
	int got = flight_file_take(&f->file, &frame, out);

	*is_last = got <= 0;
	if (got == 0)
		return FLIGHT_QUIET;
	if (got > 0 && frame == FLIGHT_EVENTS)
		return FLIGHT_MORE;
	if (got > 0 && frame == FLIGHT_WHO)
		news = take_who(f, out, begin_at);
	else if (got > 0 && frame == FLIGHT_ENTRY)
		news = take_entry(f, out, begin_at, entry);
	*is_last |= news != FLIGHT_QUIET;
	if (news != FLIGHT_WHOLE)
		out->len = begin_at;
	return news;
}

/* What is in the file by now. FLIGHT_QUIET: nothing new. */
static enum flight_news take_frames(struct flown *f, struct buf *out, struct cache_entry *entry)
{
	size_t before = out->len;
	bool is_last = false;

	if (f->file.fd < 0 && !flight_file_open(&f->file, &f->host->map, f->place, &f->key))
		return FLIGHT_LOST;
	while (f->file.fd >= 0 && !is_last && out->len - before < FLIGHT_READ_BYTES) {
		struct flight_file here = f->file;
		size_t begin_at = out->len;
		enum flight_news news = take_frame(f, out, entry, &is_last);

		if ((news == FLIGHT_WHOLE || news == FLIGHT_LOST) && begin_at == before)
			return news;
		if (news == FLIGHT_WHOLE || news == FLIGHT_LOST) {
			/* Events are told first; this, the next time. */
			out->len = begin_at;
			f->file = here;
		}
	}
	return out->len > before ? FLIGHT_MORE : FLIGHT_QUIET;
}

static enum flight_news read_news(struct flight *flight, struct buf *out, struct flight_who *who,
	struct cache_entry *entry, int64_t wait_ms)
{
	struct flown *f = flown_of(flight);
	int64_t now_ms = clock_mono_ms(), until_ms = now_ms + wait_ms, left_ms;
	enum flight_news news = f->lost ? FLIGHT_LOST : FLIGHT_QUIET;

	while (news == FLIGHT_QUIET) {
		/* In this order: what is told behind is noticed by the wait, and what is in the
		 * file was put there before the flight ended. */
		uint32_t seen = atomic_load(&slot_of(f)->news);
		bool flies = is_life(f, atomic_load(word_of(f)), FLIGHT_FLYING);

		news = take_frames(f, out, entry);
		if (news != FLIGHT_QUIET)
			break;
		now_ms = clock_mono_ms();
		if (!flies)
			news = FLIGHT_LOST;
		else if (now_ms >= until_ms)
			return FLIGHT_QUIET;
		else if (!flight_bury(&f->host->map, f->place, now_ms)) {
			left_ms = until_ms - now_ms;
			flight_wait(slot_of(f), seen,
				left_ms < FLIGHT_LOOK_MS ? left_ms : FLIGHT_LOOK_MS);
		}
	}
	if (news == FLIGHT_LOST)
		f->lost = true;
	else if (f->has_who)
		*who = f->who;
	return news;
}

/* ---- both ---- */

static void end(struct flight *flight, const struct cache_entry *entry)
{
	struct flown *f = flown_of(flight);

	if (f->leads)
		end_lead(f, entry);
	else
		leave(f);
	flight_file_close(&f->file);
	buf_fini(&f->held);
	free(f);
}

static void close_host(struct flights *flights)
{
	struct host *h = host_of(flights);

	flight_map_close(&h->map);
	free(h);
}

enum err_code flights_host_open(
	struct flights **out, const struct flights_conf *conf, struct err *e)
{
	static const struct flights_ops ops = { .close = close_host,
		.join = join,
		.begin = begin,
		.write = write_events,
		.is_followed = is_followed,
		.read = read_news,
		.end = end };
	struct host *h = calloc(1, sizeof(*h));
	enum err_code rc;

	if (!h)
		return err_set(e, ERR_NO_MEMORY, "out of memory");
	h->f.ops = &ops;
	h->max_bytes = conf->max_bytes;
	atomic_init(&h->sweep_ms, clock_mono_ms() + SWEEP_MS);
	rc = slice_copy(slice_of(conf->home), h->home, sizeof(h->home))
		     ? flight_map_open(&h->map, h->home, e)
		     : err_set(e, ERR_STORE, "the path of GATEWAY_HOME is too long");
	if (rc)
		free(h);
	else
		*out = &h->f;
	return rc;
}
