#include "store/cache.h"
#include "tests/unit/redis_played.h"

#include "base/crypto.h"

#define NOW     INT64_C(1795262400000) /* 2026-11-21 12:00 UTC */
#define MINUTES 60000

static struct redis_rig rig;
static struct redis *redis;
static struct cache *cache;

static void open_cache(int64_t max_entries, int64_t max_bytes)
{
	const struct cache_conf conf = { .engine = CACHE_REDIS,
		.redis = redis,
		.ttl_ms = 5 * MINUTES,
		.max_entries = max_entries,
		.max_bytes = max_bytes };

	assert_int_equal(cache_open(&cache, &conf, &err), ERR_OK);
}

static void set_up(const struct redis_rig *wishes, int64_t max_entries, int64_t max_bytes)
{
	rig = *wishes;
	assert_true(redis_rig_start(&rig));
	redis = redis_of(rig.url, LONG_MS);
	open_cache(max_entries, max_bytes);
}

static void tear_down(void)
{
	cache_close(cache);
	redis_close(redis);
	redis_rig_stop(&rig);
}

static struct cache_key key_of(unsigned n)
{
	struct cache_key key = { .length = n, .crc = n * 7 };

	crypto_sha256((struct slice){ (const char *)&n, sizeof(n) }, key.hash);
	return key;
}

static struct cache_entry entry_of(const char *model, struct slice body, int64_t made_ms)
{
	struct cache_entry entry = { .made_ms = made_ms,
		.expires_ms = made_ms + 5 * MINUTES,
		.saved_microusd = 42,
		.form = CACHE_WHOLE,
		.finish_reason = "stop",
		.provider = "fake",
		.usage = SLICE("{\"total_tokens\":3}"),
		.body = body };

	snprintf(entry.model, sizeof(entry.model), "%s", model);
	return entry;
}

static void put(unsigned n, const char *model, struct slice body, int64_t now_ms)
{
	const struct cache_key key = key_of(n);
	const struct cache_entry entry = entry_of(model, body, now_ms);

	err.message[0] = '\0';
	if (cache_put(cache, &key, now_ms, &entry, &err))
		fail_msg("%s", err.message);
}

/* The length of its body; -1 for a miss. */
static int64_t length_of(unsigned n, int64_t now_ms)
{
	const struct cache_key key = key_of(n);
	struct buf room = { .max_bytes = 0 };
	struct cache_entry entry;
	enum err_code rc = cache_get(cache, &key, now_ms, &room, &entry, &err);

	buf_fini(&room);
	assert_true(rc == ERR_OK || rc == ERR_NOT_FOUND);
	return rc ? -1 : (int64_t)entry.body.len;
}

static struct cache_stats stats_at(int64_t now_ms)
{
	struct cache_stats stats;

	assert_int_equal(cache_stats(cache, now_ms, &stats, &err), ERR_OK);
	return stats;
}

/* How often the server has read from a connection. Asking is one of them. */
static long reads(void)
{
	static const char name[] = "total_reads_processed:";
	struct redis_reply reply;
	const char *at;
	long n;

	assert_int_equal(call(redis, "INFO stats", &reply), ERR_OK);
	at = strstr(reply.value.text.ptr, name);
	assert_non_null(at);
	n = strtol(at + sizeof(name) - 1, NULL, 10);
	redis_reply_fini(&reply);
	return n;
}

static void what_was_put_is_found_until_it_expires(void **state)
{
	const struct cache_key key = key_of(1);
	struct buf room = { .max_bytes = 0 };
	struct cache_entry entry;

	(void)state;
	set_up(&(struct redis_rig){ .tcp = true }, 100, 1 << 20);
	assert_int_equal(length_of(1, NOW), -1);
	put(1, "m", SLICE("hello\0world"), NOW);
	assert_int_equal(cache_get(cache, &key, NOW + 1000, &room, &entry, &err), ERR_OK);
	assert_true(slice_eq(entry.body, SLICE("hello\0world")));
	assert_true(slice_is(entry.usage, "{\"total_tokens\":3}"));
	assert_string_equal(entry.model, "m");
	assert_string_equal(entry.finish_reason, "stop");
	assert_int_equal(entry.saved_microusd, 42);
	buf_fini(&room);
	assert_int_equal(length_of(1, NOW + 5 * MINUTES - 1), 11);
	assert_int_equal(length_of(1, NOW + 5 * MINUTES), -1);
	assert_int_equal(length_of(1, NOW - 1), -1); /* the clock was set back */
	put(1, "m", SLICE("newer"), NOW + 2000);
	assert_int_equal(length_of(1, NOW + 3000), 5);
	assert_int_equal(stats_at(NOW + 3000).entries, 1);
	tear_down();
}

static void redis_itself_forgets_what_has_expired(void **state)
{
	const struct cache_key key = key_of(1);
	struct cache_entry entry = entry_of("m", SLICE("body"), NOW);

	(void)state;
	set_up(&(struct redis_rig){ 0 }, 100, 1 << 20);
	entry.expires_ms = NOW + 30;
	assert_int_equal(cache_put(cache, &key, NOW, &entry, &err), ERR_OK);
	assert_true(redis_rig_await(&rig, "KEYS test:cache:*", "*0\r\n"));
	assert_int_equal(length_of(1, NOW), -1);
	assert_int_equal(stats_at(NOW + 30).entries, 0);
	assert_int_equal(stats_at(NOW + 30).bytes, 0);
	tear_down();
}

static void the_oldest_goes_when_there_are_too_many(void **state)
{
	struct cache_stats stats;

	(void)state;
	set_up(&(struct redis_rig){ 0 }, 3, 1 << 20);
	for (unsigned i = 1; i <= 5; i++)
		put(i, "m", SLICE("body"), NOW + i);
	for (unsigned i = 1; i <= 5; i++)
		assert_int_equal(length_of(i, NOW + 10), i <= 2 ? -1 : 4);
	stats = stats_at(NOW + 10);
	assert_int_equal(stats.entries, 3);
	assert_int_equal(stats.counted[CACHE_EVICTED], 2);
	assert_int_equal(stats.counted[CACHE_STORED], 5);
	assert_int_equal(stats.oldest_ms, NOW + 3);
	assert_int_equal(stats.newest_ms, NOW + 5);
	/* One that is older than all others stays, too: it was wanted last. */
	put(6, "m", SLICE("body"), NOW);
	assert_int_equal(length_of(6, NOW + 10), 4);
	assert_int_equal(length_of(3, NOW + 10), -1);
	assert_int_equal(stats_at(NOW + 10).entries, 3);
	tear_down();
}

static void bytes_count_as_well_as_entries(void **state)
{
	static char big[4000];
	const struct slice body = { big, sizeof(big) };
	const struct cache_key key = key_of(9);
	struct cache_entry entry;
	static char huge[20000];

	(void)state;
	set_up(&(struct redis_rig){ 0 }, 100, 10000);
	for (unsigned i = 1; i <= 4; i++)
		put(i, "m", body, NOW + i);
	assert_true(stats_at(NOW + 10).bytes <= 10000);
	assert_int_equal(length_of(2, NOW + 10), -1);
	assert_int_equal(length_of(4, NOW + 10), sizeof(big));
	/* Larger than all there may be: nothing goes for it. */
	for (size_t i = 0; i < sizeof(huge); i += 8)
		crypto_random(huge + i, 8);
	entry = entry_of("m", (struct slice){ huge, sizeof(huge) }, NOW + 5);
	assert_int_equal(cache_put(cache, &key, NOW + 5, &entry, &err), ERR_RANGE);
	assert_int_equal(length_of(4, NOW + 10), sizeof(big));
	tear_down();
}

static void a_get_and_a_put_take_one_round_trip_each(void **state)
{
	long least_get = 100, least_put = 100;

	(void)state;
	set_up(&(struct redis_rig){ 0 }, 100, 1 << 20);
	put(1, "m", SLICE("body"), NOW); /* with the script, once */
	/* Figures may be sent in between: not always. */
	for (int i = 0; i < 5; i++) {
		long before = reads(), after;

		assert_int_equal(length_of(1, NOW), 4);
		after = reads();
		least_get = after - before < least_get ? after - before : least_get;
		before = reads();
		put(2, "m", SLICE("body"), NOW);
		after = reads();
		least_put = after - before < least_put ? after - before : least_put;
	}
	assert_int_equal(least_get, 2);
	assert_int_equal(least_put, 2);
	tear_down();
}

static void what_was_changed_is_a_miss_and_goes(void **state)
{
	struct redis_reply reply;
	char hex[65], command[160];
	struct cache_key key = key_of(1);

	(void)state;
	set_up(&(struct redis_rig){ 0 }, 100, 1 << 20);
	crypto_hex(key.hash, 32, hex);
	put(1, "m", SLICE("a body that is long enough"), NOW);
	snprintf(command, sizeof(command), "SETRANGE test:cache:{%s} 60 X", hex);
	assert_int_equal(call(redis, command, &reply), ERR_OK);
	redis_reply_fini(&reply);
	assert_int_equal(length_of(1, NOW), -1);
	snprintf(command, sizeof(command), "EXISTS test:cache:{%s}", hex);
	assert_string_equal(said(redis, command), "0");
	put(1, "m", SLICE("a body that is long enough"), NOW);
	snprintf(command, sizeof(command), "SET test:cache:{%s} x", hex);
	assert_string_equal(said(redis, command), "OK");
	assert_int_equal(length_of(1, NOW), -1);
	put(1, "m", SLICE("again"), NOW);
	/* Another request with the same hash. */
	key.crc++;
	{
		struct buf room = { .max_bytes = 0 };
		struct cache_entry entry;

		assert_int_equal(cache_get(cache, &key, NOW, &room, &entry, &err), ERR_NOT_FOUND);
		buf_fini(&room);
	}
	assert_int_equal(length_of(1, NOW), 5);
	assert_int_equal(stats_at(NOW).counted[CACHE_DAMAGED], 2);
	tear_down();
}

struct seen {
	unsigned n, stop_at;
	size_t bytes;
};

static bool sees(void *ctx, const struct cache_key *key, const struct cache_entry *entry)
{
	struct seen *seen = ctx;

	assert_true(key->length >= 1);
	seen->n++;
	seen->bytes += entry->body.len;
	return seen->n != seen->stop_at;
}

static unsigned seen_at(int64_t now_ms, unsigned stop_at)
{
	struct seen seen = { .stop_at = stop_at };

	assert_int_equal(cache_each(cache, now_ms, sees, &seen, &err), ERR_OK);
	return seen.n;
}

static void all_are_listed_and_purged_by_what_they_are(void **state)
{
	const struct cache_key key = key_of(7);
	uint64_t dropped;

	(void)state;
	set_up(&(struct redis_rig){ 0 }, 1000, 1 << 20);
	assert_string_equal(said(redis, "SET other:cache:x 1"), "OK");
	for (unsigned i = 1; i <= 50; i++)
		put(i, i % 5 ? "a" : "b", SLICE("body"), NOW + i * 1000);
	assert_int_equal(seen_at(NOW + MINUTES, 0), 50);
	assert_int_equal(seen_at(NOW + MINUTES, 3), 3);
	assert_int_equal(seen_at(NOW + 5 * MINUTES + 20000, 0), 30);
	assert_int_equal(cache_purge(cache, NOW + MINUTES, &(struct cache_purge){ .model = "b" },
				 &dropped, &err),
		ERR_OK);
	assert_int_equal(dropped, 10);
	assert_int_equal(length_of(5, NOW + MINUTES), -1);
	assert_int_equal(
		cache_purge(cache, NOW + MINUTES,
			&(struct cache_purge){ .hash = key.hash, .hash_bytes = 4 }, &dropped, &err),
		ERR_OK);
	assert_int_equal(dropped, 1);
	assert_int_equal(length_of(7, NOW + MINUTES), -1);
	assert_int_equal(cache_purge(cache, NOW + MINUTES,
				 &(struct cache_purge){ .older_than_ms = 30000 }, &dropped, &err),
		ERR_OK);
	assert_int_equal(dropped, 23); /* of 1 to 29 */
	assert_int_equal(stats_at(NOW + MINUTES).entries, 16);
	assert_int_equal(
		cache_purge(cache, NOW + MINUTES, &(struct cache_purge){ 0 }, NULL, &err), ERR_OK);
	assert_int_equal(seen_at(NOW + MINUTES, 0), 0);
	assert_int_equal(stats_at(NOW + MINUTES).entries, 0);
	assert_int_equal(stats_at(NOW + MINUTES).bytes, 0);
	assert_string_equal(said(redis, "GET other:cache:x"), "1");
	tear_down();
}

static void what_was_counted_arrives_by_itself_and_at_the_end(void **state)
{
	struct cache_stats stats;
	struct redis *second;

	(void)state;
	set_up(&(struct redis_rig){ 0 }, 100, 1 << 20);
	for (int i = 0; i < 5; i++)
		cache_count(cache, CACHE_HIT, 100);
	cache_count(cache, CACHE_MISS, 0);
	/* Nobody else does anything: it is sent all the same. */
	assert_true(says_at_last(redis, "HGET test:{cache}:figures hit", "5"));
	assert_string_equal(said(redis, "HGET test:{cache}:figures saved_microusd"), "500");
	cache_count(cache, CACHE_SEMANTIC, 7);
	cache_close(cache);
	second = redis_of(rig.url, LONG_MS);
	assert_string_equal(said(second, "HGET test:{cache}:figures semantic"), "1");
	redis_close(second);
	open_cache(100, 1 << 20);
	stats = stats_at(NOW);
	assert_int_equal(stats.counted[CACHE_HIT], 5);
	assert_int_equal(stats.counted[CACHE_MISS], 1);
	assert_int_equal(stats.saved_microusd, 507);
	assert_true(stats.since_ms > 0);
	tear_down();
}

static void a_redis_that_is_gone_is_told_and_figures_wait_for_it(void **state)
{
	const struct cache_key key = key_of(1);
	const struct cache_entry entry = entry_of("m", SLICE("body"), NOW);
	struct buf room = { .max_bytes = 0 };
	struct cache_entry out;

	(void)state;
	set_up(&(struct redis_rig){ .aof = "always" }, 100, 1 << 20);
	put(1, "m", SLICE("body"), NOW);
	redis_rig_kill(&rig);
	assert_int_equal(cache_get(cache, &key, NOW, &room, &out, &err), ERR_STORE);
	assert_int_equal(cache_put(cache, &key, NOW, &entry, &err), ERR_STORE);
	cache_count(cache, CACHE_BYPASS, 0);
	assert_true(redis_rig_restart(&rig));
	assert_true(says_at_last(redis, "HGET test:{cache}:figures bypass", "1"));
	assert_int_equal(length_of(1, NOW), 4);
	buf_fini(&room);
	tear_down();
}

static void lists_that_were_lost_harm_nobody(void **state)
{
	(void)state;
	set_up(&(struct redis_rig){ 0 }, 3, 1 << 20);
	for (unsigned i = 1; i <= 3; i++)
		put(i, "m", SLICE("body"), NOW + i);
	assert_string_equal(said(redis, "DEL test:{cache}:made test:{cache}:sizes"), "2");
	put(4, "m", SLICE("body"), NOW + 4);
	for (unsigned i = 1; i <= 4; i++)
		assert_int_equal(length_of(i, NOW + 10), 4);
	assert_int_equal(
		cache_purge(cache, NOW + MINUTES, &(struct cache_purge){ 0 }, NULL, &err), ERR_OK);
	assert_int_equal(stats_at(NOW + 10).entries, 0);
	assert_int_equal(stats_at(NOW + 10).bytes, 0);
	put(5, "m", SLICE("body"), NOW + 11);
	assert_int_equal(stats_at(NOW + 12).entries, 1);
	tear_down();
}

static void a_cluster_keeps_entries_on_all_nodes_and_limits_them(void **state)
{
	struct redis_rig nodes[3] = { { 0 }, { 0 }, { 0 } };
	unsigned found = 0;
	char url[300];
	uint64_t dropped;

	(void)state;
	assert_true(redis_rig_cluster(nodes, 3, url, sizeof(url)));
	redis = redis_of(url, LONG_MS);
	open_cache(20, 1 << 20);
	for (unsigned i = 1; i <= 30; i++)
		put(i, "m", SLICE("body"), NOW + i);
	for (unsigned i = 1; i <= 30; i++)
		found += length_of(i, NOW + 100) == 4;
	assert_int_equal(found, 20);
	assert_int_equal(length_of(10, NOW + 100), -1);
	assert_int_equal(seen_at(NOW + 100, 0), 20);
	for (size_t i = 0; i < 3; i++) {
		char out[4096];

		assert_true(redis_rig_ask(&nodes[i], "KEYS test:cache:*", out, sizeof(out)));
		assert_true(out[0] == '*' && out[1] != '0');
	}
	assert_int_equal(
		cache_purge(cache, NOW + 100, &(struct cache_purge){ 0 }, &dropped, &err), ERR_OK);
	assert_int_equal(dropped, 20);
	assert_int_equal(stats_at(NOW + 100).entries, 0);
	cache_close(cache);
	redis_close(redis);
	for (size_t i = 0; i < 3; i++)
		redis_rig_stop(&nodes[i]);
}

static void nothing_is_tested_without_redis(void **state)
{
	(void)state;
	assert_false(redis_is_built());
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_put_is_found_until_it_expires),
		cmocka_unit_test(redis_itself_forgets_what_has_expired),
		cmocka_unit_test(the_oldest_goes_when_there_are_too_many),
		cmocka_unit_test(bytes_count_as_well_as_entries),
		cmocka_unit_test(a_get_and_a_put_take_one_round_trip_each),
		cmocka_unit_test(what_was_changed_is_a_miss_and_goes),
		cmocka_unit_test(all_are_listed_and_purged_by_what_they_are),
		cmocka_unit_test(what_was_counted_arrives_by_itself_and_at_the_end),
		cmocka_unit_test(a_redis_that_is_gone_is_told_and_figures_wait_for_it),
		cmocka_unit_test(lists_that_were_lost_harm_nobody),
		cmocka_unit_test(a_cluster_keeps_entries_on_all_nodes_and_limits_them),
	};
	const struct CMUnitTest none[] = { cmocka_unit_test(nothing_is_tested_without_redis) };

	if (!redis_is_built())
		return cmocka_run_group_tests(none, NULL, NULL);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
