#include "store/cache_figures.h"

#include "base/clock.h"

#include <signal.h>
#include <stdio.h>
#include <time.h>

#define FLUSH_MS 1000                /* at least, from one sending to the next */
#define FLUSHER  ((size_t)128 << 10) /* bytes of its stack */

static const char *const figure_names[CACHE_EVENTS_N] = {
	[CACHE_HIT] = "hit",
	[CACHE_MISS] = "miss",
	[CACHE_BYPASS] = "bypass",
	[CACHE_COALESCED] = "coalesced",
	[CACHE_SEMANTIC] = "semantic",
	[CACHE_STORED] = "stored",
	[CACHE_EVICTED] = "evicted",
	[CACHE_DAMAGED] = "damaged",
};

struct number {
	char text[24];
};

static struct slice number_of(int64_t n, struct number *out)
{
	snprintf(out->text, sizeof(out->text), "%lld", (long long)n);
	return slice_of(out->text);
}

/* Sends what was counted. What did not arrive is counted again later. */
void cache_figures_flush(struct cache_figures *f)
{
	struct redis_reply replies[CACHE_EVENTS_N + 2] = { { .own = NULL } };
	struct redis_command commands[CACHE_EVENTS_N + 2];
	struct slice words[CACHE_EVENTS_N + 2][4];
	struct number numbers[CACHE_EVENTS_N + 2];
	int64_t taken[CACHE_EVENTS_N + 1];
	size_t n = 0;
	enum err_code rc;

	atomic_store(&f->is_due, false);
	for (size_t i = 0; i <= CACHE_EVENTS_N; i++) {
		bool money = i == CACHE_EVENTS_N;

		taken[i] = atomic_exchange(money ? &f->saved_microusd : &f->counted[i], 0);
		if (!taken[i])
			continue;
		words[n][0] = SLICE("HINCRBY");
		words[n][1] = slice_of(f->name);
		words[n][2] = slice_of(money ? "saved_microusd" : figure_names[i]);
		words[n][3] = number_of(taken[i], &numbers[n]);
		n++;
	}
	if (!n)
		return;
	words[n][0] = SLICE("HSETNX");
	words[n][1] = slice_of(f->name);
	words[n][2] = SLICE("since_ms");
	words[n][3] = number_of(clock_wall_ms(), &numbers[n]);
	n++;
	for (size_t i = 0; i < n; i++)
		commands[i] = (struct redis_command){ words[i], 4, 1 };
	rc = redis_calls(f->redis, commands, n, replies, NULL);
	for (size_t i = 0; i < n; i++)
		redis_reply_fini(&replies[i]);
	if (!rc)
		return;
	for (size_t i = 0; i < CACHE_EVENTS_N; i++)
		atomic_fetch_add(&f->counted[i], taken[i]);
	atomic_fetch_add(&f->saved_microusd, taken[CACHE_EVENTS_N]);
	atomic_store(&f->is_due, true);
}

/* Sends them FLUSH_MS after the first of them was counted. */
static void *flushes(void *arg)
{
	struct cache_figures *f = arg;
	struct timespec until;

	pthread_mutex_lock(&f->lock);
	while (!f->closing) {
		int64_t due_ms = clock_mono_ms() + FLUSH_MS;

		if (!atomic_load(&f->is_due)) {
			pthread_cond_wait(&f->news, &f->lock);
			continue;
		}
		until = (struct timespec){ due_ms / 1000, due_ms % 1000 * 1000000 };
		while (!f->closing && clock_mono_ms() < due_ms)
			(void)pthread_cond_timedwait(&f->news, &f->lock, &until);
		pthread_mutex_unlock(&f->lock);
		cache_figures_flush(f);
		pthread_mutex_lock(&f->lock);
	}
	pthread_mutex_unlock(&f->lock);
	return NULL;
}

static bool start_flusher(struct cache_figures *f)
{
	pthread_attr_t attr;
	sigset_t all, before;
	bool started;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, FLUSHER);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	started = pthread_create(&f->flusher, &attr, flushes, f) == 0;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attr);
	return started;
}

void cache_figures_count(struct cache_figures *f, enum cache_event event, int64_t saved_microusd)
{
	atomic_fetch_add(&f->counted[event], 1);
	if (saved_microusd)
		atomic_fetch_add(&f->saved_microusd, saved_microusd);
	if (atomic_exchange(&f->is_due, true))
		return;
	pthread_mutex_lock(&f->lock);
	if (!f->has_flusher)
		f->has_flusher = start_flusher(f);
	pthread_cond_signal(&f->news);
	pthread_mutex_unlock(&f->lock);
}

void cache_figures_read(const struct redis_value *v, struct cache_stats *out)
{
	for (size_t i = 0; i + 1 < v->count; i += 2) {
		struct slice name = v->items[i].text;
		int64_t n = 0;

		if (!str_int(v->items[i + 1].text, INT64_MIN, INT64_MAX, &n))
			continue;
		if (slice_is(name, "saved_microusd"))
			out->saved_microusd = n;
		else if (slice_is(name, "since_ms"))
			out->since_ms = n;
		for (size_t k = 0; k < CACHE_EVENTS_N; k++)
			if (slice_is(name, figure_names[k]))
				out->counted[k] = n > 0 ? (uint64_t)n : 0;
	}
}

void cache_figures_init(struct cache_figures *f, struct redis *redis)
{
	pthread_condattr_t attr;

	*f = (struct cache_figures){ .redis = redis };
	snprintf(f->name, sizeof(f->name), "%s:{cache}:figures", redis_prefix(redis));
	pthread_mutex_init(&f->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&f->news, &attr);
	pthread_condattr_destroy(&attr);
}

void cache_figures_fini(struct cache_figures *f)
{
	bool has_flusher;

	pthread_mutex_lock(&f->lock);
	f->closing = true;
	has_flusher = f->has_flusher;
	pthread_cond_signal(&f->news);
	pthread_mutex_unlock(&f->lock);
	if (has_flusher)
		pthread_join(f->flusher, NULL);
	cache_figures_flush(f);
	pthread_cond_destroy(&f->news);
	pthread_mutex_destroy(&f->lock);
}
