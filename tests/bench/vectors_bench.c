/* What it costs to find the nearest of many vectors, and to remember one.
 *
 *   vectors_bench
 *
 * Prints lines of a Markdown table: entries x dimensions. All rows are of one group, so that every
 * one is compared; those of others cost the last line. Processor time of this process.
 */
#include "store/vectors_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#define NOW      INT64_C(1795262400000)
#define DIMS_MAX 3072

static char home[64];
static struct err err;
static float vector[DIMS_MAX];

static void die(const char *what)
{
	fprintf(stderr, "%s: %s\n", what, err.message);
	exit(1);
}

static double cpu_us(void)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1e6 +
	       (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
}

static void make_vector(uint64_t n)
{
	uint64_t x = n * UINT64_C(0x9e3779b97f4a7c15) + 1;

	for (size_t i = 0; i < DIMS_MAX; i++) {
		x = x * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
		vector[i] = (float)(int32_t)(x >> 32);
	}
}

static void fill(struct vectors *v, unsigned rows, size_t dims, uint8_t group)
{
	for (unsigned n = 0; n < rows; n++) {
		struct vectors_row row = { .guard = 1, .expires_ms = NOW + 1 };
		uint64_t name = n + 1;

		memset(row.group, group, sizeof(row.group));
		memcpy(row.key.hash, &name, sizeof(name));
		make_vector(n);
		if (vectors_put(v, &row, vector, dims, NOW, &err))
			die("vectors_put");
	}
}

/* Microseconds of a search in the group. */
static double search(struct vectors *v, size_t dims, uint8_t group, unsigned rows)
{
	uint8_t groups[32];
	struct cache_key key;
	double similarity, began, took, best = 1e12;

	memset(groups, group, sizeof(groups));
	for (unsigned round = 0; round < 20; round++) {
		enum err_code rc;

		make_vector(round * 7 % rows);
		began = cpu_us();
		rc = vectors_find(v, groups, 1, vector, dims, NOW, 0.95, &key, &similarity, &err);
		took = cpu_us() - began;
		if (rc && rc != ERR_NOT_FOUND)
			die("vectors_find");
		best = took < best ? took : best;
	}
	return best;
}

static void measure(unsigned rows, size_t dims)
{
	const struct vectors_conf conf = { .home = home, .max_entries = rows };
	size_t row_bytes = (dims + VECTORS_BLOCK - 1) / VECTORS_BLOCK * VECTORS_BLOCK;
	struct vectors *v;
	double began, put;

	if (vectors_open(&v, &conf, &err) || vectors_clear(v, &err))
		die("vectors_open");
	began = cpu_us();
	fill(v, rows, dims, 1);
	put = (cpu_us() - began) / rows;
	printf("| %u | %zu | %.2f | %.3f | %.0f | %.1f |\n", rows, dims,
		search(v, dims, 1, rows) / 1000, search(v, dims, 2, rows) / 1000, put,
		(double)(rows * row_bytes) / 1048576);
	fflush(stdout);
	vectors_close(v);
}

int main(void)
{
	static const unsigned rows[] = { 1000, 10000, 50000 };
	static const size_t dims[] = { 384, 768, 1536, DIMS_MAX };
	char name[128];

	snprintf(home, sizeof(home), "/tmp/tollgate-vectors-bench-XXXXXX");
	if (!mkdtemp(home))
		return 1;
	printf("| entries | dimensions | search, ms | among others' rows only, ms | remember one, "
	       "us "
	       "| searched MiB |\n|--:|--:|--:|--:|--:|--:|\n");
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		for (size_t k = 0; k < sizeof(dims) / sizeof(dims[0]); k++)
			if (rows[i] * dims[k] <= 50000 * 1536)
				measure(rows[i], dims[k]);
	for (size_t i = 0; i < 3; i++) {
		static const char *const names[] = { "/cache/vectors", "/cache/vectors.lock",
			"/cache" };

		snprintf(name, sizeof(name), "%s%s", home, names[i]);
		(void)remove(name);
	}
	return rmdir(home);
}
