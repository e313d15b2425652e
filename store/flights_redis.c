#include "store/flights_redis.h"

#include "base/clock.h"
#include "base/crypto.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define TRIES 3 /* at a claim that comes and goes */

/* KEYS: the claim. ARGV: token. */
static struct redis_script unclaim_script = {
	.text = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) "
		"end return 0"
};
/* ARGV: token, milliseconds. */
static struct redis_script renew_script = {
	.text = "if redis.call('GET', KEYS[1]) == ARGV[1] then "
		"return redis.call('PEXPIRE', KEYS[1], ARGV[2]) end return 0"
};

static struct far *far_of(struct flights *f)
{
	return (struct far *)(void *)f;
}

static struct far_led *led_of(struct flight *f)
{
	return (struct far_led *)(void *)f;
}

/* ---- threads ---- */

static bool start(pthread_t *thread, bool detached, void *(*run)(void *), void *arg)
{
	pthread_attr_t attr;
	sigset_t all, before;
	bool started;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, FAR_STACK);
	if (detached)
		pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	started = pthread_create(thread, &attr, run, arg) == 0;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attr);
	return started;
}

bool far_thread(struct far *far, void *(*run)(void *), void *arg)
{
	pthread_t thread;
	bool may;

	pthread_mutex_lock(&far->lock);
	may = !far->closing && far->threads < FAR_THREADS;
	far->threads += may;
	pthread_mutex_unlock(&far->lock);
	if (may && !start(&thread, true, run, arg)) {
		far_thread_end(far);
		may = false;
	}
	return may;
}

void far_thread_end(struct far *far)
{
	pthread_mutex_lock(&far->lock);
	far->threads--;
	pthread_cond_broadcast(&far->news);
	pthread_mutex_unlock(&far->lock);
}

bool far_is_closing(struct far *far)
{
	bool closing;

	pthread_mutex_lock(&far->lock);
	closing = far->closing;
	pthread_mutex_unlock(&far->lock);
	return closing;
}

/* ---- claims ---- */

void far_unclaim(struct far *far, const struct far_claim *claim)
{
	const struct slice words[] = { slice_of(claim->name), slice_of(claim->token) };
	struct redis_reply reply = { .own = NULL };

	/* What cannot be given back expires. */
	if (redis_eval(far->redis, &unclaim_script, words, 1, 2, &reply, NULL))
		(void)0;
	redis_reply_fini(&reply);
}

static void renew(struct far *far, const struct far_claim *claim)
{
	struct redis_reply reply = { .own = NULL };
	char ms[16];

	snprintf(ms, sizeof(ms), "%d", FAR_CLAIM_MS);
	/* A claim that is lost is another's: this flight goes on for its own host. */
	if (redis_eval(far->redis, &renew_script,
		    (struct slice[]){ slice_of(claim->name), slice_of(claim->token), slice_of(ms) },
		    1, 3, &reply, NULL))
		(void)0;
	redis_reply_fini(&reply);
}

void far_land(struct far_led *led)
{
	struct far *far = led->far;
	struct far_led **at = &far->flying;

	while (*at != led)
		at = &(*at)->next;
	*at = led->next;
	led->next = far->landed;
	far->landed = led;
	pthread_cond_broadcast(&far->news);
}

/* The flying one that is to be renewed first; *due_ms: when. */
static struct far_led *next_due(struct far *far, int64_t *due_ms)
{
	struct far_led *first = far->flying;

	for (struct far_led *led = first; led; led = led->next)
		if (led->renew_ms < first->renew_ms)
			first = led;
	if (first)
		*due_ms = first->renew_ms;
	return first;
}

/* Gives back and renews. Nobody else frees a flight, so that one is good without the lock. */
static void *keeps(void *arg)
{
	struct far *far = arg;

	pthread_mutex_lock(&far->lock);
	for (;;) {
		struct far_led *led = far->landed;
		int64_t due_ms = 0, now_ms = clock_mono_ms();

		if (led) {
			far->landed = led->next;
			pthread_mutex_unlock(&far->lock);
			far_unclaim(far, &led->claim);
			free(led);
			pthread_mutex_lock(&far->lock);
			continue;
		}
		led = next_due(far, &due_ms);
		if (!led) {
			if (far->closing)
				break;
			pthread_cond_wait(&far->news, &far->lock);
		} else if (due_ms > now_ms) {
			struct timespec until = { due_ms / 1000, due_ms % 1000 * 1000000 };

			(void)pthread_cond_timedwait(&far->news, &far->lock, &until);
		} else {
			led->renew_ms = now_ms + FAR_RENEW_MS;
			pthread_mutex_unlock(&far->lock);
			renew(far, &led->claim);
			pthread_mutex_lock(&far->lock);
		}
	}
	pthread_mutex_unlock(&far->lock);
	return NULL;
}

/* ---- a leader for all hosts ---- */

static void begin(struct flight *f, const struct flight_who *who)
{
	flight_begin(led_of(f)->local, who);
}

static void write_events(struct flight *f, struct slice events)
{
	flight_write(led_of(f)->local, events);
}

static bool is_followed(const struct flight *f)
{
	return flight_is_followed(((const struct far_led *)(const void *)f)->local);
}

static enum flight_news read_news(struct flight *f, struct buf *out, struct flight_who *who,
	struct cache_entry *entry, int64_t wait_ms)
{
	return flight_read(led_of(f)->local, out, who, entry, wait_ms);
}

static void end(struct flight *f, const struct cache_entry *entry)
{
	struct far_led *led = led_of(f);
	struct far *far = led->far;

	flight_end(led->local, entry);
	pthread_mutex_lock(&far->lock);
	led->ended = true;
	if (!led->shipping)
		far_land(led);
	pthread_mutex_unlock(&far->lock);
}

static const struct flights_ops led_ops = { .begin = begin,
	.write = write_events,
	.is_followed = is_followed,
	.read = read_news,
	.end = end };

/* Adds it to what is kept up, with the threads that do so; false: they cannot be had. */
static bool take_off(struct far *far, struct far_led *led)
{
	bool flies;

	pthread_mutex_lock(&far->lock);
	if (!far->has_keeper)
		far->has_keeper = start(&far->keeper, false, keeps, far);
	if (!far->has_listener)
		far->has_listener = start(&far->listener, false, far_listens, far);
	flies = far->has_keeper && far->has_listener;
	if (flies) {
		led->renew_ms = clock_mono_ms() + FAR_RENEW_MS;
		led->next = far->flying;
		far->flying = led;
		pthread_cond_broadcast(&far->news);
	}
	pthread_mutex_unlock(&far->lock);
	return flies;
}

static struct flight *lead(struct far *far, struct flight *local, const struct cache_key *key,
	const struct far_claim *claim)
{
	struct far_led *led = calloc(1, sizeof(*led));

	if (!led)
		return NULL;
	led->f.ops = &led_ops;
	led->far = far;
	led->local = local;
	led->key = *key;
	led->claim = *claim;
	if (take_off(far, led))
		return &led->f;
	free(led);
	return NULL;
}

/* ---- joining ---- */

static void name_claim(struct far *far, const struct cache_key *key, struct far_claim *out)
{
	char hex[65];
	uint64_t n;

	pthread_mutex_lock(&far->lock);
	n = ++far->flights_n;
	pthread_mutex_unlock(&far->lock);
	crypto_hex(key->hash, sizeof(key->hash), hex);
	snprintf(out->name, sizeof(out->name), "%s:flight:{%s.%x.%x}", redis_prefix(far->redis),
		hex, (unsigned)key->length, (unsigned)key->crc);
	snprintf(out->token, sizeof(out->token), "%s.%llx", far->process, (unsigned long long)n);
}

static void name_stream(struct far_claim *claim)
{
	size_t n = strlen(claim->name);

	memcpy(claim->stream, claim->name, n);
	snprintf(claim->stream + n, sizeof(claim->stream) - n, ":%s", claim->token);
}

enum claimed { CLAIM_OURS, CLAIM_THEIRS, CLAIM_NONE };

/* CLAIM_THEIRS: claim->token is theirs then. CLAIM_NONE: Redis cannot say. */
static enum claimed try_claim(struct far *far, struct far_claim *claim)
{
	struct slice set[] = { SLICE("SET"), slice_of(claim->name), slice_of(claim->token),
		SLICE("NX"), SLICE("PX"), { NULL, 0 } };
	const struct slice get[] = { SLICE("GET"), slice_of(claim->name) };
	enum claimed found = CLAIM_NONE;
	char ms[16];

	snprintf(ms, sizeof(ms), "%d", FAR_CLAIM_MS);
	set[5] = slice_of(ms);
	for (int i = 0; i < TRIES && found == CLAIM_NONE; i++) {
		struct redis_reply reply = { .own = NULL };
		enum err_code rc = redis_call(far->redis, set, 6, 1, &reply, NULL);

		if (!rc && reply.value.kind == REDIS_STRING)
			found = CLAIM_OURS;
		redis_reply_fini(&reply);
		if (!rc && found == CLAIM_NONE)
			rc = redis_call(far->redis, get, 2, 1, &reply, NULL);
		if (!rc && found == CLAIM_NONE && reply.value.kind == REDIS_STRING &&
			slice_copy(reply.value.text, claim->token, sizeof(claim->token)))
			found = CLAIM_THEIRS;
		redis_reply_fini(&reply);
		if (rc)
			break;
	}
	return found;
}

static enum flight_role join(
	struct flights *flights, const struct cache_key *key, bool may_lead, struct flight **out)
{
	struct far *far = far_of(flights);
	enum flight_role role = flight_join(far->host, key, may_lead, out);
	struct far_claim claim = { .name = "" };
	struct flight *f;

	/* Who follows, or flies alone, has no part in it. */
	if (role != FLIGHT_LEADS)
		return role;
	name_claim(far, key, &claim);
	switch (try_claim(far, &claim)) {
	case CLAIM_OURS:
		name_stream(&claim);
		f = lead(far, *out, key, &claim);
		if (f)
			*out = f;
		else
			far_unclaim(far, &claim);
		return FLIGHT_LEADS;
	case CLAIM_THEIRS:
		name_stream(&claim);
		f = far_relay(far, *out, &claim);
		if (f)
			*out = f;
		return f ? FLIGHT_FOLLOWS : FLIGHT_LEADS;
	case CLAIM_NONE: /* for this host only */
		break;
	}
	return FLIGHT_LEADS;
}

/* ---- opening and closing ---- */

static void close_far(struct flights *flights)
{
	struct far *far = far_of(flights);

	pthread_mutex_lock(&far->lock);
	far->closing = true;
	pthread_cond_broadcast(&far->news);
	while (far->threads)
		pthread_cond_wait(&far->news, &far->lock);
	pthread_mutex_unlock(&far->lock);
	if (far->has_listener) {
		char nobody[FAR_TOKEN_SIZE];

		/* It may be waiting: nothing of this name is wanted, but it looks up. */
		snprintf(nobody, sizeof(nobody), "%s.0", far->process);
		(void)far_want(far, nobody);
		pthread_join(far->listener, NULL);
	}
	if (far->has_keeper)
		pthread_join(far->keeper, NULL);
	flights_close(far->host);
	pthread_cond_destroy(&far->news);
	pthread_mutex_destroy(&far->lock);
	free(far);
}

enum err_code flights_redis_open(
	struct flights **out, const struct flights_conf *conf, struct err *e)
{
	static const struct flights_ops ops = { .close = close_far, .join = join };
	struct far *far = calloc(1, sizeof(*far));
	pthread_condattr_t attr;
	enum err_code rc;
	uint8_t random[8];

	if (!far)
		return err_set(e, ERR_NO_MEMORY, "out of memory");
	rc = flights_host_open(&far->host, conf, e);
	if (rc) {
		free(far);
		return rc;
	}
	far->f.ops = &ops;
	far->redis = conf->redis;
	far->max_bytes = conf->max_bytes;
	far->block_ms = redis_timeout_ms(conf->redis) / 3;
	if (far->block_ms > 200)
		far->block_ms = 200;
	crypto_random(random, sizeof(random));
	crypto_hex(random, sizeof(random), far->process);
	snprintf(far->wanted, sizeof(far->wanted), "%s:flights:%s", redis_prefix(conf->redis),
		far->process);
	pthread_mutex_init(&far->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&far->news, &attr);
	pthread_condattr_destroy(&attr);
	*out = &far->f;
	return ERR_OK;
}
