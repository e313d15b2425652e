/* tests/unit/cache_promises.h - what every engine of the cache promises.
 *
 * Whoever includes it opens the_cache before each test, with nothing in it. Times are near the
 * true ones, because Redis has a clock of its own.
 */
#ifndef UNIT_CACHE_PROMISES_H
#define UNIT_CACHE_PROMISES_H

#include "base/clock.h"
#include "base/crypto.h"
#include "store/cache.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TTL INT64_C(300000)

static struct cache *the_cache;
static _Thread_local struct err err;
static int64_t now; /* the test's */

static inline struct cache_key key_of(uint64_t n)
{
	struct cache_key k = { .length = (uint32_t)(n + 1), .crc = (uint32_t)(n * 77 + 5) };

	crypto_sha256((struct slice){ (const char *)&n, sizeof(n) }, k.hash);
	return k;
}

static inline struct cache_entry entry_of(const char *body)
{
	return (struct cache_entry){ .made_ms = now,
		.expires_ms = now + TTL,
		.saved_microusd = 1234,
		.form = CACHE_WHOLE,
		.prompt_tokens = 11,
		.completion_tokens = 22,
		.model = "anthropic/claude-sonnet-4.5",
		.provider = "anthropic",
		.finish_reason = "stop",
		.usage = SLICE("{\"total_tokens\":33}"),
		.body = slice_of(body) };
}

static inline void put_entry(uint64_t n, const struct cache_entry *entry)
{
	struct cache_key k = key_of(n);

	if (cache_put(the_cache, &k, now, entry, &err))
		fail_msg("put: %s", err.message);
}

static inline void put(uint64_t n, const char *body)
{
	struct cache_entry entry = entry_of(body);

	put_entry(n, &entry);
}

/* Is it there at that time, with this body? NULL = it is not there. */
static inline void expect_at(int64_t at_ms, uint64_t n, const char *body)
{
	struct buf room = { .max_bytes = (size_t)64 << 20 };
	struct cache_key k = key_of(n);
	struct cache_entry got;
	enum err_code rc = cache_get(the_cache, &k, at_ms, &room, &got, &err);

	if (!body && rc != ERR_NOT_FOUND)
		fail_msg("%" PRIu64 " is there (%d)", n, (int)rc);
	if (body && rc)
		fail_msg("%" PRIu64 " is not there (%d)", n, (int)rc);
	if (body && !slice_is(got.body, body))
		fail_msg("%" PRIu64 ": %.*s instead of %s", n, SLICE_ARG(got.body), body);
	buf_fini(&room);
}

static inline void expect(uint64_t n, const char *body)
{
	expect_at(now, n, body);
}

static inline struct cache_stats stats(void)
{
	struct cache_stats s;

	if (cache_stats(the_cache, now, &s, &err))
		fail_msg("stats: %s", err.message);
	return s;
}

static inline uint64_t purge(const struct cache_purge *what)
{
	uint64_t dropped = 99;

	if (cache_purge(the_cache, now, what, &dropped, &err))
		fail_msg("purge: %s", err.message);
	return dropped;
}

/* ---- the promises ---- */

static void an_entry_comes_back_as_it_was(void **state)
{
	struct buf room = { 0 };
	struct cache_key k = key_of(1);
	struct cache_entry got, entry = entry_of("{\"choices\":[]}");

	(void)state;
	entry.form = CACHE_EVENTS;
	expect(1, NULL);
	put_entry(1, &entry);
	buf_str(&room, "before");
	assert_int_equal(cache_get(the_cache, &k, now, &room, &got, &err), ERR_OK);
	assert_memory_equal(room.data, "before", 6);
	assert_int_equal(got.made_ms, entry.made_ms);
	assert_int_equal(got.expires_ms, entry.expires_ms);
	assert_int_equal(got.saved_microusd, 1234);
	assert_int_equal(got.form, CACHE_EVENTS);
	assert_int_equal(got.prompt_tokens, 11);
	assert_int_equal(got.completion_tokens, 22);
	assert_string_equal(got.model, entry.model);
	assert_string_equal(got.provider, "anthropic");
	assert_string_equal(got.finish_reason, "stop");
	assert_true(slice_eq(got.usage, entry.usage));
	assert_true(slice_eq(got.body, entry.body));
	buf_fini(&room);
}

static void what_is_empty_or_has_nuls_comes_back_too(void **state)
{
	struct cache_entry entry = {
		.made_ms = now, .expires_ms = now + 1000, .form = CACHE_WHOLE
	};
	struct cache_key k = key_of(1);
	struct buf room = { 0 };
	struct cache_entry got;

	(void)state;
	entry.body = (struct slice){ "a\0b", 3 };
	put_entry(1, &entry);
	assert_int_equal(cache_get(the_cache, &k, now, &room, &got, &err), ERR_OK);
	assert_true(slice_eq(got.body, entry.body));
	assert_string_equal(got.model, "");
	assert_int_equal(got.usage.len, 0);
	buf_fini(&room);
}

static void the_last_one_put_is_found(void **state)
{
	(void)state;
	put(1, "one");
	put(1, "another, which is longer");
	expect(1, "another, which is longer");
	put(1, "");
	expect(1, "");
	assert_int_equal(stats().entries, 1);
}

static void an_entry_ends_when_it_expires(void **state)
{
	(void)state;
	put(1, "x");
	expect_at(now + TTL - 1, 1, "x");
	expect_at(now + TTL, 1, NULL);
}

static void what_has_expired_is_not_taken(void **state)
{
	struct cache_entry entry = entry_of("x");
	struct cache_key k = key_of(1);

	(void)state;
	entry.expires_ms = now;
	assert_int_equal(cache_put(the_cache, &k, now, &entry, &err), ERR_RANGE);
	expect(1, NULL);
}

/* The clock was set back: nobody knows how old it is. */
static void what_was_made_in_the_future_is_not_believed(void **state)
{
	(void)state;
	put(1, "x");
	expect_at(now - 1, 1, NULL);
	expect(1, "x");
}

/* SHA-256 gives the same for both, say: length and checksum of the texts differ still. */
static void who_collides_gets_nothing(void **state)
{
	struct cache_key k = key_of(1);
	struct buf room = { 0 };
	struct cache_entry got;

	(void)state;
	put(1, "somebody's");
	k.length++;
	assert_int_equal(cache_get(the_cache, &k, now, &room, &got, &err), ERR_NOT_FOUND);
	k = key_of(1);
	k.crc ^= 1;
	assert_int_equal(cache_get(the_cache, &k, now, &room, &got, &err), ERR_NOT_FOUND);
	expect(1, "somebody's");
	buf_fini(&room);
}

static void ten_mebibytes_are_no_trouble(void **state)
{
	size_t n = (size_t)10 << 20;
	char *body = malloc(n + 1);

	(void)state;
	assert_non_null(body);
	for (size_t i = 0; i < n; i++)
		body[i] = (char)('a' + i % 23 + i / 1000 % 3);
	body[n] = '\0';
	put(1, "small");
	put(2, body);
	put(3, "small, too");
	expect(2, body);
	expect(2, body);
	expect(1, "small");
	expect(3, "small, too");
	free(body);
}

static bool sum_up(void *ctx, const struct cache_key *key, const struct cache_entry *entry)
{
	int *seen = ctx;
	struct cache_key k;

	for (int i = 0; i < 10; i++) {
		k = key_of((uint64_t)i);
		if (memcmp(k.hash, key->hash, sizeof(k.hash)) == 0) {
			assert_int_equal(key->length, k.length);
			assert_int_equal(key->crc, k.crc);
			assert_int_equal(entry->prompt_tokens, 11);
			assert_int_equal(entry->body.ptr[0], '0' + i);
			seen[i]++;
		}
	}
	return true;
}

static bool one_is_enough(void *ctx, const struct cache_key *key, const struct cache_entry *entry)
{
	(void)key, (void)entry;
	++*(int *)ctx;
	return false;
}

static void each_sees_every_entry_once(void **state)
{
	int seen[10] = { 0 }, calls = 0;
	struct cache_entry brief;
	char body[2] = "";

	(void)state;
	for (uint64_t i = 0; i < 9; i++) {
		body[0] = 'x';
		put(i, body);
		body[0] = (char)('0' + i);
		put(i, body);
	}
	brief = entry_of("9");
	brief.expires_ms = now + 1000;
	put_entry(9, &brief);
	assert_int_equal(cache_each(the_cache, now + 2000, sum_up, seen, &err), ERR_OK);
	for (int i = 0; i < 9; i++)
		assert_int_equal(seen[i], 1);
	assert_int_equal(seen[9], 0);
	assert_int_equal(cache_each(the_cache, now, one_is_enough, &calls, &err), ERR_OK);
	assert_int_equal(calls, 1);
}

static void a_purge_drops_what_is_meant_and_no_more(void **state)
{
	struct cache_entry other = entry_of("other model");
	struct cache_entry old = entry_of("old");
	struct cache_key k = key_of(1);

	(void)state;
	memcpy(other.model, "openai/gpt-4o", sizeof("openai/gpt-4o"));
	old.made_ms = now - 60000;
	put(1, "1");
	put(2, "2");
	put_entry(3, &other);
	put_entry(4, &old);
	assert_int_equal(purge(&(struct cache_purge){ .model = "no/such" }), 0);
	assert_int_equal(purge(&(struct cache_purge){ .model = "openai/gpt-4o" }), 1);
	expect(3, NULL);
	expect(1, "1");
	assert_int_equal(purge(&(struct cache_purge){ .older_than_ms = 30000 }), 1);
	expect(4, NULL);
	expect(1, "1");
	assert_int_equal(purge(&(struct cache_purge){ .hash = k.hash, .hash_bytes = 6 }), 1);
	expect(1, NULL);
	expect(2, "2");
	assert_int_equal(purge(&(struct cache_purge){
				 .model = other.model, .hash = key_of(2).hash, .hash_bytes = 32 }),
		0);
	assert_int_equal(purge(&(struct cache_purge){ 0 }), 1);
	expect(2, NULL);
	assert_int_equal(stats().entries, 0);
	put(2, "again");
	expect(2, "again");
}

static void figures_are_counted(void **state)
{
	struct cache_stats before = stats(), s;

	(void)state;
	cache_count(the_cache, CACHE_HIT, 700);
	cache_count(the_cache, CACHE_HIT, 800);
	cache_count(the_cache, CACHE_MISS, 0);
	cache_count(the_cache, CACHE_SEMANTIC, 5);
	put(1, "x");
	s = stats();
	assert_int_equal(s.counted[CACHE_HIT] - before.counted[CACHE_HIT], 2);
	assert_int_equal(s.counted[CACHE_MISS] - before.counted[CACHE_MISS], 1);
	assert_int_equal(s.counted[CACHE_SEMANTIC] - before.counted[CACHE_SEMANTIC], 1);
	assert_int_equal(s.counted[CACHE_STORED] - before.counted[CACHE_STORED], 1);
	assert_int_equal(s.saved_microusd - before.saved_microusd, 1505);
	assert_int_equal(s.entries, 1);
	assert_true(s.bytes > 0);
	assert_true(s.since_ms > 0 && s.since_ms <= clock_wall_ms());
}

static inline const struct CMUnitTest *cache_promises(
	const char *engine, size_t *n, CMFixtureFunction set_up, CMFixtureFunction tear_down)
{

#define PROMISE(f) \
	{ \
#f, f, NULL, NULL, NULL \
	}
	static struct CMUnitTest tests[] = {
		PROMISE(an_entry_comes_back_as_it_was),
		PROMISE(what_is_empty_or_has_nuls_comes_back_too),
		PROMISE(the_last_one_put_is_found),
		PROMISE(an_entry_ends_when_it_expires),
		PROMISE(what_has_expired_is_not_taken),
		PROMISE(what_was_made_in_the_future_is_not_believed),
		PROMISE(who_collides_gets_nothing),
		PROMISE(ten_mebibytes_are_no_trouble),
		PROMISE(each_sees_every_entry_once),
		PROMISE(a_purge_drops_what_is_meant_and_no_more),
		PROMISE(figures_are_counted),
	};
#undef PROMISE

	/* A promise of two engines is two tests, and tests are counted by their names. */
	static char names[sizeof(tests) / sizeof(*tests)][96];
	static const char *plain[sizeof(tests) / sizeof(*tests)];

	*n = sizeof(tests) / sizeof(*tests);
	for (size_t i = 0; i < *n; i++) {
		if (!plain[i])
			plain[i] = tests[i].name;
		(void)snprintf(names[i], sizeof(names[i]), "on_%s_%s", engine, plain[i]);
		tests[i].name = names[i];
		tests[i].setup_func = set_up;
		tests[i].teardown_func = tear_down;
	}
	return tests;
}

#endif
