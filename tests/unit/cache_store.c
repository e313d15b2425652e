/* Every engine of the cache keeps the same promises. */
#include "tests/unit/cache_promises.h"

#include "store/redis.h"
#include "tests/unit/cache_folder.h"
#include "tests/unit/redis_rig.h"

static struct redis_rig rig;
static struct redis *redis;

static int open_on(enum cache_engine engine)
{
	struct cache_conf conf = { .engine = engine,
		.home = home,
		.redis = redis,
		.ttl_ms = TTL,
		.max_entries = 1000,
		.max_bytes = 256 << 20 };

	now = clock_wall_ms();
	if (!make_home() || cache_open(&the_cache, &conf, &err)) {
		print_error("%s\n", err.message);
		return -1;
	}
	return 0;
}

static int on_gdbm(void **state)
{
	(void)state;
	return open_on(CACHE_GDBM);
}

static int on_memory(void **state)
{
	char folder[HOME_PATH_MAX];

	(void)state;
	if (open_on(CACHE_MEMORY))
		return -1;
	cache_folder(CACHE_MEMORY, folder);
	return access(folder, F_OK);
}

static int on_redis(void **state)
{
	(void)state;
	if (!redis) {
		print_error("no Redis\n");
		return -1;
	}
	return open_on(CACHE_REDIS);
}

static int shut(void **state)
{
	(void)state;
	cache_close(the_cache);
	the_cache = NULL;
	drop_home();
	return 0;
}

/* What one test left in Redis is not there for the next. */
static int shut_redis(void **state)
{
	(void)purge(&(struct cache_purge){ 0 });
	return shut(state);
}

int main(void)
{
	size_t n;
	const struct CMUnitTest *tests = cache_promises("gdbm", &n, on_gdbm, shut);
	struct redis_conf conf = { .prefix = "unit", .timeout_ms = 5000 };
	int failed = _cmocka_run_group_tests("gdbm", tests, n, NULL, NULL);

	tests = cache_promises("memory", &n, on_memory, shut);
	failed += _cmocka_run_group_tests("memory", tests, n, NULL, NULL);
	if (!redis_is_built())
		return failed;
	if (!redis_rig_start(&rig))
		return failed + 1;
	conf.url = rig.url;
	if (redis_open(&redis, &conf, &err))
		print_error("%s\n", err.message);
	tests = cache_promises("redis", &n, on_redis, shut_redis);
	failed += _cmocka_run_group_tests("redis", tests, n, NULL, NULL);
	redis_close(redis);
	redis_rig_stop(&rig);
	return failed;
}
