/* tests/unit/ledger_shared.h - hosts that share a Redis: each is a folder, in one machine. */
#ifndef UNIT_LEDGER_SHARED_H
#define UNIT_LEDGER_SHARED_H

#include "tests/unit/ledger_asks.h"
#include "tests/unit/redis_rig.h"

#include "store/ledger_redis.h"

#define SHARED_TIMEOUT_MS 5000 /* for what a machine may take under load */

static struct redis_rig rig = { .more = "enable-debug-command yes\n" };
static const char *shared_url; /* of others than the rig */
static struct redis *shared_redis;
static pid_t shared_by; /* a connection is not taken over a fork */

static inline struct redis *redis_of_this_process(void)
{
	const struct redis_conf conf = { .url = shared_url ? shared_url : rig.url,
		.prefix = "unit",
		.ca_file = "",
		.timeout_ms = SHARED_TIMEOUT_MS };

	if (shared_by == getpid())
		return shared_redis;
	shared_by = getpid();
	if (redis_open(&shared_redis, &conf, &err) != ERR_OK)
		fail_msg("redis: %s", err.message);
	return shared_redis;
}

static inline int start_redis(void **state)
{
	(void)state;
	return redis_rig_start(&rig) ? 0 : -1;
}

static inline int stop_redis(void **state)
{
	(void)state;
	if (shared_by == getpid())
		redis_close(shared_redis);
	redis_rig_stop(&rig);
	return 0;
}

static inline int make_shared_home(void **state)
{
	char said[64];

	home_redis = redis_of_this_process;
	if (!redis_rig_ask(&rig, "FLUSHALL", said, sizeof(said)))
		return -1;
	return make_home(state);
}

static inline int drop_shared_home(void **state)
{
	home_redis = NULL;
	return drop_home(state);
}

#endif
