#include "store/flights_redis.h"

#include "base/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define PIECE   ((size_t)256 << 10) /* bytes of one record */
#define PIECES  8                   /* records of one call */
#define TROUBLE 200                 /* milliseconds to leave a Redis alone that fails */
#define LOOK_MS 200                 /* how often a silent flight looks whether the program ends */
#define NAME_X  SLICE("x")

/* Adds records of one kind, whose contents are all, and keeps the stream a while. */
static bool add(struct far *far, const char *stream, struct slice name, struct slice all)
{
	struct redis_command commands[PIECES + 1];
	struct slice words[PIECES + 1][5];
	struct redis_reply replies[PIECES + 1] = { { .own = NULL } };
	enum err_code rc = ERR_OK;
	char ms[16];

	snprintf(ms, sizeof(ms), "%d", FAR_STREAM_MS);
	do {
		size_t n = 0;

		do {
			struct slice piece = slice_is(name, "d") ? slice_first(all, PIECE) : all;

			all = slice_from(all, piece.len);
			words[n][0] = SLICE("XADD");
			words[n][1] = slice_of(stream);
			words[n][2] = SLICE("*");
			words[n][3] = name;
			words[n][4] = piece;
			commands[n] = (struct redis_command){ words[n], 5, 1 };
			n++;
		} while (all.len && n < PIECES);
		words[n][0] = SLICE("PEXPIRE");
		words[n][1] = slice_of(stream);
		words[n][2] = slice_of(ms);
		commands[n] = (struct redis_command){ words[n], 3, 1 };
		n++;
		rc = redis_calls(far->redis, commands, n, replies, NULL);
		for (size_t i = 0; i < n; i++) {
			if (replies[i].value.kind == REDIS_ERROR)
				rc = ERR_STORE;
			redis_reply_fini(&replies[i]);
		}
	} while (!rc && all.len);
	return !rc;
}

struct shipment {
	struct far_led *led;
	struct flight *follower;
	struct buf bytes;
	bool has_who;
};

static bool ship_who(struct shipment *s, const struct flight_who *who)
{
	const struct far_led *led = s->led;

	if (!s->has_who)
		s->has_who = add(led->far, led->claim.stream, SLICE("w"),
			(struct slice){ (const char *)who, sizeof(*who) });
	return s->has_who;
}

static bool ship_entry(struct shipment *s, const struct cache_entry *entry)
{
	const struct far_led *led = s->led;
	struct buf bytes = { .max_bytes = 4 * led->far->max_bytes + PIECE };
	bool added;

	flight_entry_write(entry, &bytes);
	added = buf_ok(&bytes) && add(led->far, led->claim.stream, SLICE("e"), buf_slice(&bytes));
	buf_fini(&bytes);
	return added;
}

/* Until the flight ends. False: the others are to be told that it is lost to them. */
static bool ship_all(struct shipment *s)
{
	const struct far_led *led = s->led;
	struct far *far = led->far;
	struct flight_who who = { .model = "" };
	int64_t kept_ms = clock_mono_ms();

	while (!far_is_closing(far)) {
		struct cache_entry entry;

		buf_reset(&s->bytes);
		switch (flight_read(s->follower, &s->bytes, &who, &entry, LOOK_MS)) {
		case FLIGHT_QUIET:
			if (clock_mono_ms() - kept_ms < FAR_STREAM_MS / 3)
				continue;
			kept_ms = clock_mono_ms();
			if (!add(far, led->claim.stream, SLICE("h"), SLICE("")))
				return false;
			break;
		case FLIGHT_MORE:
			if (!ship_who(s, &who) ||
				!add(far, led->claim.stream, SLICE("d"), buf_slice(&s->bytes)))
				return false;
			break;
		case FLIGHT_WHOLE:
			return ship_who(s, &who) && ship_entry(s, &entry);
		case FLIGHT_LOST:
			return false;
		}
	}
	return false;
}

static void *ships(void *arg)
{
	struct far_led *led = arg;
	struct far *far = led->far;
	struct shipment s = { .led = led, .bytes = { .max_bytes = 4 * far->max_bytes + PIECE } };
	bool good = add(far, led->claim.stream, SLICE("h"), SLICE("")) &&
		    flight_join(far->host, &led->key, false, &s.follower) == FLIGHT_FOLLOWS &&
		    ship_all(&s);

	if (s.follower)
		flight_end(s.follower, NULL);
	buf_fini(&s.bytes);
	/* Without a claim they find out by themselves. */
	if (!good && !add(far, led->claim.stream, NAME_X, SLICE("")))
		far_unclaim(far, &led->claim);
	pthread_mutex_lock(&far->lock);
	led->shipping = false;
	if (led->ended)
		far_land(led);
	pthread_mutex_unlock(&far->lock);
	far_thread_end(far);
	return NULL;
}

/* Another host wants the flight of this token. */
static void ship(struct far *far, struct slice token)
{
	struct far_claim claim = { .name = "" };
	struct far_led *led;
	bool again = false;

	pthread_mutex_lock(&far->lock);
	for (led = far->flying; led && !slice_is(token, led->claim.token);)
		led = led->next;
	if (led && led->shipping) {
		again = true; /* for another host already: there is one stream for all */
	} else if (led) {
		claim = led->claim;
		led->shipping = true;
	}
	pthread_mutex_unlock(&far->lock);
	/* One that has ended has no claim, by which they notice. */
	if (!led || again || far_thread(far, ships, led))
		return;
	(void)add(far, claim.stream, NAME_X, SLICE(""));
	pthread_mutex_lock(&far->lock);
	led->shipping = false;
	if (led->ended)
		far_land(led);
	pthread_mutex_unlock(&far->lock);
}

/* Waits until something flies; false: no more will. */
static bool wait_for_flights(struct far *far, bool in_trouble)
{
	int64_t until_ms = clock_mono_ms() + TROUBLE;
	struct timespec until = { until_ms / 1000, until_ms % 1000 * 1000000 };
	bool closing;

	pthread_mutex_lock(&far->lock);
	while (!far->closing && (!far->flying || (in_trouble && clock_mono_ms() < until_ms)))
		if (in_trouble && clock_mono_ms() < until_ms)
			(void)pthread_cond_timedwait(&far->news, &far->lock, &until);
		else
			(void)pthread_cond_wait(&far->news, &far->lock);
	closing = far->closing;
	pthread_mutex_unlock(&far->lock);
	return !closing;
}

void *far_listens(void *arg)
{
	struct far *far = arg;
	bool in_trouble = false;
	char seconds[24];

	snprintf(seconds, sizeof(seconds), "%lld.%03lld", (long long)far->block_ms / 1000,
		(long long)(far->block_ms < 1 ? 1 : far->block_ms) % 1000);
	while (wait_for_flights(far, in_trouble)) {
		const struct slice words[] = { SLICE("BLPOP"), slice_of(far->wanted),
			slice_of(seconds) };
		struct redis_reply reply = { .own = NULL };

		in_trouble = redis_call(far->redis, words, 3, 1, &reply, NULL) != ERR_OK;
		if (!in_trouble && reply.value.count == 2)
			ship(far, reply.value.items[1].text);
		redis_reply_fini(&reply);
	}
	return NULL;
}
