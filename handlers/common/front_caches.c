#include "base/clock.h"
#include "base/log.h"
#include "gateway/books.h"
#include "handlers/common/front.h"

#include <pthread.h>

#define AGAIN_MS 5000 /* after one could not be opened */

/* What is opened when a request first wants it. Trouble is told in the log, now and then: no
 * request fails for want of a cache. */
struct shelf {
	void *it;
	int64_t again_ms;
};

static struct {
	pthread_mutex_t lock;
	struct shelf cache, flights, vectors;
} shelves = { .lock = PTHREAD_MUTEX_INITIALIZER };

typedef enum err_code (*open_it)(const struct conf *conf, void **out, struct err *e);

static enum err_code open_cache(const struct conf *conf, void **out, struct err *e)
{
	struct cache *c;
	enum err_code rc = books_cache(conf, &c, e);

	*out = rc ? NULL : c;
	return rc;
}

static enum err_code open_flights(const struct conf *conf, void **out, struct err *e)
{
	struct flights *f;
	enum err_code rc = books_flights(conf, &f, e);

	*out = rc ? NULL : f;
	return rc;
}

static enum err_code open_vectors(const struct conf *conf, void **out, struct err *e)
{
	struct vectors *v;
	enum err_code rc = books_vectors(conf, &v, e);

	*out = rc ? NULL : v;
	return rc;
}

static void *take(const struct conf *conf, struct shelf *s, open_it open)
{
	struct err e;
	void *it;

	pthread_mutex_lock(&shelves.lock);
	if (!s->it && clock_mono_ms() >= s->again_ms && open(conf, &s->it, &e)) {
		log_line(LOG_WARN, "cache: %s", e.message);
		s->again_ms = clock_mono_ms() + AGAIN_MS;
	}
	it = s->it;
	pthread_mutex_unlock(&shelves.lock);
	return it;
}

struct cache *front_cache(const struct front *f)
{
	return take(f->conf, &shelves.cache, open_cache);
}

struct flights *front_flights(const struct front *f)
{
	return take(f->conf, &shelves.flights, open_flights);
}

struct vectors *front_vectors(const struct front *f)
{
	return take(f->conf, &shelves.vectors, open_vectors);
}

void front_close_caches(void)
{
	cache_close(shelves.cache.it);
	flights_close(shelves.flights.it);
	vectors_close(shelves.vectors.it);
}
