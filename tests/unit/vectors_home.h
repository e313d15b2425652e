/* tests/unit/vectors_home.h - vectors in a temporary folder: each number has its own vector, and a
 * row whose key tells it. */
#ifndef TESTS_UNIT_VECTORS_HOME_H
#define TESTS_UNIT_VECTORS_HOME_H

#include "store/vectors_file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define NOW  INT64_C(1795262400000)
#define ROWS 100
#define DIMS 100 /* no multiple of a block */

static char home[64], file[128];
static struct vectors *v;
static _Thread_local struct err err;
static struct cache_key found;
static double similarity;

static void wipe(void)
{
	static const char *const names[] = { "vectors", "vectors.new", "vectors.lock" };
	char path[128];

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		snprintf(path, sizeof(path), "%s/cache/%s", home, names[i]);
		unlink(path);
	}
}

static struct vectors *open_rows(int64_t rows)
{
	const struct vectors_conf conf = { .home = home, .max_entries = rows };
	struct vectors *out;

	assert_int_equal(vectors_open(&out, &conf, &err), ERR_OK);
	return out;
}

static int set_up(void **state)
{
	(void)state;
	snprintf(home, sizeof(home), "/tmp/tollgate-vectors-XXXXXX");
	assert_non_null(mkdtemp(home));
	snprintf(file, sizeof(file), "%s/cache/vectors", home);
	v = open_rows(ROWS);
	return 0;
}

static int tear_down(void **state)
{
	char path[128];

	(void)state;
	vectors_close(v);
	wipe();
	snprintf(path, sizeof(path), "%s/cache", home);
	rmdir(path);
	return rmdir(home);
}

/* Each number has its own vector; two of them are not alike. */
static const float *vector_of(unsigned n, size_t dimensions)
{
	static _Thread_local float out[VECTORS_DIMENSIONS_MAX];
	uint64_t x = n * UINT64_C(0x9e3779b97f4a7c15) + 1;

	for (size_t i = 0; i < dimensions; i++) {
		x = x * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
		out[i] = (float)(int32_t)(x >> 32) / 2147483648.0F;
	}
	return out;
}

static struct vectors_row row_of(unsigned n, uint8_t group, uint64_t guard)
{
	struct vectors_row row = { .guard = guard, .expires_ms = NOW + 60000 };

	memset(row.group, group, sizeof(row.group));
	memcpy(row.key.hash, &n, sizeof(n));
	row.key.length = n + 7;
	row.key.crc = ~n;
	return row;
}

static inline enum err_code put(unsigned n, uint8_t group, uint64_t guard)
{
	struct vectors_row row = row_of(n, group, guard);

	return vectors_put(v, &row, vector_of(n, DIMS), DIMS, NOW, &err);
}

static inline enum err_code find_at(
	const float *vector, uint8_t group, uint64_t guard, double at_least, int64_t now_ms)
{
	uint8_t groups[32];

	memset(groups, group, sizeof(groups));
	return vectors_find(
		v, groups, guard, vector, DIMS, now_ms, at_least, &found, &similarity, &err);
}

static inline enum err_code find(unsigned n, uint8_t group, uint64_t guard)
{
	return find_at(vector_of(n, DIMS), group, guard, 0.95, NOW);
}

static inline unsigned found_n(void)
{
	unsigned n;

	memcpy(&n, found.hash, sizeof(n));
	assert_int_equal(found.length, n + 7);
	assert_int_equal(found.crc, ~n);
	return n;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

#endif
