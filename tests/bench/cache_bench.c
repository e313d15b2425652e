/* What remembered answers cost: a miss with what it puts, a hit, and what the files take, after a
 * churn of many entries; beside it one file for each entry, as it could have been done instead.
 *
 *   cache_bench [--quick]
 *
 * Prints lines of a Markdown table. Processor time is this process's own.
 */
#include "base/clock.h"
#include "base/crypto.h"
#include "store/cache.h"
#include "store/home.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define TTL_MS INT64_C(300000)
#define LIVE   10000
#define BODY   ((size_t)1 << 20)

static char home[64];
static char *body;

static void die(const char *what, const struct err *e)
{
	fprintf(stderr, "%s: %s\n", what, e->message);
	exit(1);
}

static double cpu_us(void)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1e6 + (double)u.ru_utime.tv_usec +
	       (double)u.ru_stime.tv_usec;
}

static struct cache_key key_of(uint64_t n)
{
	struct cache_key k = { .length = 1, .crc = 1 };

	crypto_sha256((struct slice){ (const char *)&n, sizeof(n) }, k.hash);
	return k;
}

/* Around 4 KB, from 600 bytes to 100 KB; the same for the same n. */
static size_t size_of(uint64_t n)
{
	struct cache_key k = key_of(~n);
	double a = (k.hash[0] * 256.0 + k.hash[1] + 1) / 65537, b = k.hash[2] / 256.0;
	double bytes = 4000 * exp(sqrt(-2 * log(a)) * cos(6.2831853 * b));

	return bytes < 600 ? 600 : bytes > 100000 ? 100000 : (size_t)bytes;
}

static void drop_folder(const char *folder)
{
	DIR *d = opendir(folder);
	struct dirent *entry;
	char path[HOME_PATH_MAX];

	while (d && (entry = readdir(d)))
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0 &&
			home_path(folder, entry->d_name, path, NULL) == ERR_OK && unlink(path) != 0)
			drop_folder(path);
	if (d)
		closedir(d);
	rmdir(folder);
}

static struct cache *open_cache(enum cache_engine engine)
{
	struct cache_conf conf = { .engine = engine,
		.home = home,
		.ttl_ms = TTL_MS,
		.max_entries = 2 * LIVE,
		.max_bytes = (int64_t)1 << 30 };
	struct cache *c;
	struct err e;

	if (cache_open(&c, &conf, &e))
		die("open", &e);
	return c;
}

static bool look_up(struct cache *c, uint64_t n, int64_t now_ms, struct buf *room)
{
	struct cache_key k = key_of(n);
	struct cache_entry got;

	buf_reset(room);
	return cache_get(c, &k, now_ms, room, &got, NULL) == ERR_OK;
}

static void remember(struct cache *c, uint64_t n, int64_t now_ms)
{
	struct cache_key k = key_of(n);
	struct cache_entry entry = { .made_ms = now_ms,
		.expires_ms = now_ms + TTL_MS,
		.form = CACHE_WHOLE,
		.model = "openai/gpt-4o-mini",
		.provider = "openai",
		.finish_reason = "stop",
		.usage = SLICE("{\"prompt_tokens\":10,\"completion_tokens\":20}"),
		.body = { body + n % 1000, size_of(n) } };
	struct err e;

	if (cache_put(c, &k, now_ms, &entry, &e))
		die("put", &e);
}

/* Keys and sizes are hashes, too: what making them costs is taken off. */
static double overhead_us(uint64_t n)
{
	double from = cpu_us();
	size_t sum = 0;

	for (uint64_t i = 0; i < n; i++)
		sum += size_of(i) + key_of(i).hash[0];
	/* No size is 0; said so that nothing of this is left out. */
	return sum ? (cpu_us() - from) / (double)n : 0;
}

/* So fast that LIVE entries are alive at any time. */
static void churn(enum cache_engine engine, const char *name, uint64_t n)
{
	struct cache *c = open_cache(engine);
	int64_t begun = clock_wall_ms(), now = begun;
	double from, live = 0, overhead = overhead_us(n);
	struct buf room = { 0 };
	struct cache_stats s;
	struct err e;

	from = cpu_us();
	for (uint64_t i = 0; i < n; i++)
		if (look_up(c, i, now, &room))
			exit(1);
	printf("| %s: a miss | %.2f us CPU |\n", name,
		(cpu_us() - from) / (double)n - overhead / 2);
	from = cpu_us();
	for (uint64_t i = 0; i < n; i++) {
		now = begun + (int64_t)i * TTL_MS / LIVE;
		remember(c, i, now);
	}
	printf("| %s: to remember an answer of about 4 KB, with all that it drops | %.2f us CPU "
	       "|\n",
		name, (cpu_us() - from) / (double)n - overhead);
	from = cpu_us();
	for (uint64_t i = 0; i < n; i++)
		if (!look_up(c, n - 1 - i % (LIVE / 2), now, &room))
			exit(1);
	printf("| %s: a hit | %.2f us CPU |\n", name, (cpu_us() - from) / (double)n - overhead / 2);
	if (cache_stats(c, now, &s, &e))
		die("stats", &e);
	for (uint64_t i = n - LIVE + 1; i < n; i++)
		live += (double)size_of(i);
	printf("| %s: the files, against the bodies of what lives | %.2f : 1 |\n", name,
		(double)s.file_bytes / live);
	buf_fini(&room);
	if (cache_purge(c, now, &(struct cache_purge){ 0 }, NULL, &e))
		die("purge", &e);
	cache_close(c);
}

/* ---- one file for each ---- */

static void path_of(uint64_t n, char out[HOME_PATH_MAX])
{
	struct cache_key k = key_of(n);
	char hex[65];

	crypto_hex(k.hash, 32, hex);
	snprintf(out, HOME_PATH_MAX, "%s/%.2s/%s", home, hex, hex + 2);
}

static void put_file(uint64_t n)
{
	char path[HOME_PATH_MAX], aside[HOME_PATH_MAX];
	size_t bytes = size_of(n);
	int fd;

	path_of(n, path);
	snprintf(aside, sizeof(aside), "%s/tmp", home);
	fd = open(aside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0 || write(fd, body + n % 1000, bytes) != (ssize_t)bytes || close(fd) != 0 ||
		rename(aside, path) != 0)
		exit(1);
}

static bool get_file(uint64_t n, char *room)
{
	char path[HOME_PATH_MAX];
	ssize_t bytes = -1;
	int fd;

	path_of(n, path);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	bytes = read(fd, room, BODY);
	close(fd);
	return bytes > 0;
}

static void one_file_each(uint64_t n)
{
	char path[HOME_PATH_MAX], *room = malloc(BODY);
	double from, overhead = overhead_us(n);

	if (!room)
		exit(1);
	for (unsigned i = 0; i < 256; i++) {
		snprintf(path, sizeof(path), "%s/%02x", home, i);
		if (mkdir(path, 0700) != 0)
			exit(1);
	}
	from = cpu_us();
	for (uint64_t i = 0; i < n; i++) {
		put_file(i);
		if (i < LIVE)
			continue;
		path_of(i - LIVE, path);
		unlink(path);
	}
	printf("| one file for each: to remember, and to unlink the one that expired | %.2f us CPU "
	       "|\n",
		(cpu_us() - from) / (double)n - overhead);
	from = cpu_us();
	for (uint64_t i = 0; i < n; i++)
		if (!get_file(n - 1 - i % (LIVE / 2), room))
			exit(1);
	printf("| one file for each: a hit | %.2f us CPU |\n",
		(cpu_us() - from) / (double)n - overhead / 2);
	free(room);
}

/* The folder in memory goes by the home's name on the disk (store/cache_slices_head.c). */
static void drop_all(void)
{
	char path[HOME_PATH_MAX];
	struct stat st;

	if (stat(home, &st) == 0) {
		snprintf(path, sizeof(path), "/dev/shm/tollgate-%u-%" PRIx64 "-%" PRIx64 ".cache",
			(unsigned)st.st_uid, (uint64_t)st.st_dev, (uint64_t)st.st_ino);
		drop_folder(path);
	}
	drop_folder(home);
}

int main(int argc, char **argv)
{
	uint64_t n = argc > 1 && strcmp(argv[1], "--quick") == 0 ? 30000 : 100000;

	body = malloc(BODY);
	strcpy(home, "/tmp/tollgate-bench-XXXXXX");
	if (!body || !mkdtemp(home))
		return 1;
	for (size_t i = 0; i < BODY; i++)
		body[i] = (char)('a' + i * 31 % 26);
	printf("| remembered answers (%llu in turn, %d at a time) | |\n|---|---|\n",
		(unsigned long long)n, LIVE);
	churn(CACHE_GDBM, "GDBM files", n);
	churn(CACHE_MEMORY, "the same in memory", n);
	one_file_each(n);
	drop_all();
	free(body);
	return 0;
}
