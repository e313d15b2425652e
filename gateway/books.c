#include "gateway/books.h"

#include "base/clock.h"
#include "store/home.h"
#include "store/people_share.h"

#include <pthread.h>

#define USUAL_TTL_MS INT64_C(300000) /* for looking into a cache that is switched off */

/* ---- Redis ---- */

/* One for GATEWAY_STORE, and one for GATEWAY_CACHE_URL when only the cache is there. */
enum which { OF_STORE, OF_CACHE, WHICH };

static struct {
	pthread_mutex_t lock;
	struct redis *of[WHICH];
} redises = { .lock = PTHREAD_MUTEX_INITIALIZER };

static enum err_code redis_once(
	const struct conf *conf, enum which which, struct redis **out, struct err *e)
{
	const struct redis_conf settings = {
		.url = conf_str(conf, which == OF_STORE ? CONF_STORE : CONF_CACHE_URL),
		.prefix = conf_str(conf, CONF_STORE_PREFIX),
		.ca_file = conf_str(conf, CONF_CA_FILE),
		.timeout_ms = conf_int(conf, CONF_STORE_TIMEOUT),
	};
	enum err_code rc = ERR_OK;

	pthread_mutex_lock(&redises.lock);
	if (!redises.of[which])
		rc = redis_open(&redises.of[which], &settings, e);
	*out = rc ? NULL : redises.of[which];
	pthread_mutex_unlock(&redises.lock);
	return rc;
}

static bool store_is_redis(const struct conf *conf)
{
	return strcmp(conf_str(conf, CONF_STORE), "gdbm") != 0;
}

enum err_code books_redis(const struct conf *conf, struct redis **out, struct err *e)
{
	*out = NULL;
	return store_is_redis(conf) ? redis_once(conf, OF_STORE, out, e) : ERR_OK;
}

void books_close_redis(void)
{
	pthread_mutex_lock(&redises.lock);
	for (int i = 0; i < WHICH; i++) {
		redis_close(redises.of[i]);
		redises.of[i] = NULL;
	}
	pthread_mutex_unlock(&redises.lock);
}

/* ---- the ledger ---- */

enum err_code books_open(const struct conf *conf, struct ledger **out, struct err *e)
{
	struct ledger_conf settings = {
		.home = conf_str(conf, CONF_HOME),
		.sync_ms = conf_int(conf, CONF_SYNC),
		.keep = conf_int(conf, CONF_JOURNAL_KEEP) == 1 ? LEDGER_COMPRESS : LEDGER_DROP,
		.fail_open = conf_int(conf, CONF_STORE_FAIL) == STORE_FAIL_OPEN,
	};
	enum err_code rc = home_make(settings.home, e);

	*out = NULL;
	if (!rc)
		rc = books_redis(conf, &settings.redis, e);
	return rc ? rc : ledger_open(out, &settings, ledger_now(), e);
}

/* ---- keys ---- */

/* With a Redis, follows it from now on. */
static enum err_code share_people(const struct conf *conf, struct people_file *f, struct err *e)
{
	struct redis *redis;
	enum err_code rc = books_redis(conf, &redis, e);

	if (!rc && redis)
		rc = people_share_on(f, redis, e);
	if (!rc && redis)
		people_share_tick(f, clock_mono_ms());
	return rc;
}

enum err_code books_keys(const struct conf *conf, struct keys **out, struct err *e)
{
	enum err_code rc =
		keys_open(out, conf_str(conf, CONF_HOME), conf_str(conf, CONF_API_KEYS), e);

	if (rc)
		return rc;
	rc = share_people(conf, keys_people(*out), e);
	if (rc) {
		keys_close(*out);
		*out = NULL;
	}
	return rc;
}

enum err_code books_people(const struct conf *conf, struct people_file **out, struct err *e)
{
	enum err_code rc = people_file_open(out, conf_str(conf, CONF_HOME), e);

	if (rc)
		return rc;
	rc = share_people(conf, *out, e);
	if (rc) {
		people_file_close(*out);
		*out = NULL;
	}
	return rc;
}

enum err_code books_byok(const struct conf *conf, struct byok **out, struct err *e)
{
	struct redis *redis;
	enum err_code rc =
		byok_open(out, conf_str(conf, CONF_HOME), conf_str(conf, CONF_MASTER_KEY), e);

	if (rc)
		return rc;
	rc = books_redis(conf, &redis, e);
	if (!rc && redis)
		rc = byok_share_on(*out, redis, e);
	if (!rc && redis)
		byok_share_tick(*out, clock_mono_ms());
	if (rc) {
		byok_close(*out);
		*out = NULL;
	}
	return rc;
}

/* ---- the caches ---- */

static enum cache_engine engine_of(const struct conf *conf)
{
	switch ((enum conf_cache_backend)conf_int(conf, CONF_CACHE_BACKEND)) {
	case BACKEND_GDBM:
		return CACHE_GDBM;
	case BACKEND_MEMORY:
		return CACHE_MEMORY;
	case BACKEND_REDIS:
		return CACHE_REDIS;
	default:
		return store_is_redis(conf) ? CACHE_REDIS : CACHE_GDBM;
	}
}

enum err_code books_cache(const struct conf *conf, struct cache **out, struct err *e)
{
	int64_t ttl_ms = conf_int(conf, CONF_CACHE_TTL);
	struct cache_conf settings = { .engine = engine_of(conf),
		.home = conf_str(conf, CONF_HOME),
		.ttl_ms = ttl_ms ? ttl_ms : USUAL_TTL_MS,
		.max_entries = conf_int(conf, CONF_CACHE_MAX_SIZE),
		.max_bytes = conf_int(conf, CONF_CACHE_MAX_BYTES) };
	enum err_code rc = home_make(settings.home, e);

	*out = NULL;
	if (!rc && settings.engine == CACHE_REDIS)
		rc = redis_once(
			conf, store_is_redis(conf) ? OF_STORE : OF_CACHE, &settings.redis, e);
	return rc ? rc : cache_open(out, &settings, e);
}

enum err_code books_flights(const struct conf *conf, struct flights **out, struct err *e)
{
	struct flights_conf settings = { .home = conf_str(conf, CONF_HOME),
		.max_bytes = (size_t)conf_int(conf, CONF_CACHE_MAX_ANSWER) };
	enum err_code rc = home_make(settings.home, e);

	*out = NULL;
	if (!rc)
		rc = books_redis(conf, &settings.redis, e);
	return rc ? rc : flights_open(out, &settings, e);
}

enum err_code books_vectors(const struct conf *conf, struct vectors **out, struct err *e)
{
	const struct vectors_conf settings = { .home = conf_str(conf, CONF_HOME),
		.in_memory = engine_of(conf) == CACHE_MEMORY,
		.max_entries = conf_int(conf, CONF_SEMANTIC_MAX_SIZE) };
	enum err_code rc = home_make(settings.home, e);

	*out = NULL;
	return rc ? rc : vectors_open(out, &settings, e);
}
