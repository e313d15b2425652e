/* Processes that remember and look up answers are killed at random instants: whatever is found is
 * what was put, nothing is damaged, the figures are those of the files, and no file is left over.
 *
 *   cache_storm [--kills N] [--seed N] [--control]
 *
 * --control keeps the slice that a killed process was changing: the storm must then notice.
 */
#include "base/clock.h"
#include "base/crypto.h"
#include "store/cache.h"
#include "store/fault.h"
#include "store/home.h"

#include <dirent.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define WORKERS  4
#define THREADS  2
#define KEYS     500
#define BODY_MAX 20000
#define TTL_MS   4000
#define STOP_AT  100 /* kills between looks at everything */

struct shared {
	_Atomic uint64_t gets, hits, puts, wrong;
};

static struct shared *shared;
static struct cache_conf conf;
static char home[64], folder[HOME_PATH_MAX];
static bool is_control;
static unsigned failures;

int store_fault_point(const char *name)
{
	return is_control && strcmp(name, "cache.keep_torn") == 0;
}

static void complain(const char *what, uint64_t is, uint64_t should)
{
	if (failures++ < 20 && !is_control)
		fprintf(stderr, "cache_storm: %s: %" PRIu64 " instead of %" PRIu64 "\n", what, is,
			should);
}

static struct cache *open_cache(void)
{
	struct cache *c;
	struct err e;

	if (cache_open(&c, &conf, &e)) {
		fprintf(stderr, "cache_storm: %s\n", e.message);
		exit(1);
	}
	return c;
}

static struct cache_key key_of(uint64_t n)
{
	struct cache_key k = { .length = 1, .crc = (uint32_t)n };

	crypto_sha256((struct slice){ (const char *)&n, sizeof(n) }, k.hash);
	return k;
}

/* Body v of key n; it says itself which one it is. */
static size_t write_body(uint64_t n, unsigned v, char out[BODY_MAX])
{
	size_t bytes = 64 + (n * 7919 + v * 104729) % (v % 8 ? 3000 : BODY_MAX - 64);
	size_t at = (size_t)snprintf(out, 64, "%" PRIu64 " %u ", n, v);

	for (; at < bytes; at++)
		out[at] = (char)('a' + (at * 31 + n + v) % 26);
	return bytes;
}

static bool is_right(uint64_t n, struct slice body, char room[BODY_MAX])
{
	char begin[65] = "";
	uint64_t of;
	unsigned v;

	memcpy(begin, body.ptr, body.len < 64 ? body.len : 64);
	if (sscanf(begin, "%" SCNu64 " %u ", &of, &v) != 2 || of != n)
		return false;
	return write_body(n, v, room) == body.len && memcmp(room, body.ptr, body.len) == 0;
}

static void look_up(struct cache *c, uint64_t n, struct buf *room, char *scratch)
{
	struct cache_key k = key_of(n);
	struct cache_entry got;

	buf_reset(room);
	atomic_fetch_add(&shared->gets, 1);
	if (cache_get(c, &k, clock_wall_ms(), room, &got, NULL))
		return;
	atomic_fetch_add(&shared->hits, 1);
	if (!is_right(n, got.body, scratch))
		atomic_fetch_add(&shared->wrong, 1);
}

static void remember(struct cache *c, uint64_t n, unsigned v, char *scratch)
{
	int64_t now_ms = clock_wall_ms();
	struct cache_key k = key_of(n);
	struct cache_entry e = { .made_ms = now_ms,
		.expires_ms = now_ms + (v % 5 ? TTL_MS : 10 * TTL_MS),
		.form = CACHE_EVENTS,
		.model = "storm" };

	e.body = (struct slice){ scratch, write_body(n, v, scratch) };
	if (cache_put(c, &k, now_ms, &e, NULL) == ERR_OK)
		atomic_fetch_add(&shared->puts, 1);
}

struct work {
	struct cache *cache;
	unsigned seed;
};

static void *work(void *arg)
{
	struct work *w = arg;
	struct buf room = { 0 };
	char *scratch = malloc(BODY_MAX);

	while (scratch) {
		uint64_t n = (uint64_t)rand_r(&w->seed) % KEYS;
		int dice = rand_r(&w->seed) % 2000;

		if (dice == 0)
			(void)!cache_purge(w->cache, clock_wall_ms(),
				&(struct cache_purge){ .older_than_ms = TTL_MS / 2 }, NULL, NULL);
		else if (dice < 1000)
			look_up(w->cache, n, &room, scratch);
		else
			remember(w->cache, n, (unsigned)rand_r(&w->seed) % 10000, scratch);
	}
	return NULL;
}

static pid_t start_worker(unsigned seed)
{
	pthread_t threads[THREADS];
	struct work works[THREADS];
	struct cache *c;
	pid_t pid = fork();

	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	c = open_cache();
	for (unsigned i = 0; i < THREADS; i++) {
		works[i] = (struct work){ c, seed * THREADS + i };
		if (pthread_create(&threads[i], NULL, work, &works[i]) != 0)
			_exit(1);
	}
	for (;;)
		pause();
}

static void end_worker(pid_t pid)
{
	kill(pid, SIGKILL);
	while (waitpid(pid, NULL, 0) < 0)
		continue;
}

/* ---- looking at everything, while nobody changes it ---- */

static bool count_one(void *ctx, const struct cache_key *key, const struct cache_entry *entry)
{
	uint64_t *n = ctx;

	(void)key, (void)entry;
	++*n;
	return true;
}

static uint64_t files_on_disk(uint64_t *bytes)
{
	DIR *d = opendir(folder);
	struct dirent *entry;
	char path[HOME_PATH_MAX];
	struct stat st;
	uint64_t n = 0;

	*bytes = 0;
	while (d && (entry = readdir(d)))
		if (strncmp(entry->d_name, "slice.", 6) == 0 &&
			home_path(folder, entry->d_name, path, NULL) == ERR_OK &&
			stat(path, &st) == 0) {
			n++;
			*bytes += (uint64_t)st.st_size;
		}
	if (d)
		closedir(d);
	return n;
}

static void look_at_everything(struct cache *c)
{
	char *scratch = malloc(BODY_MAX);
	int64_t now_ms = clock_wall_ms();
	struct buf room = { 0 };
	struct cache_stats s;
	uint64_t seen = 0, files, bytes, hits;
	struct err e;

	if (!scratch)
		exit(1);
	remember(c, KEYS + 1, 1, scratch); /* sweeps when it makes a slice */
	hits = shared->hits;
	look_up(c, KEYS + 1, &room, scratch);
	if (shared->hits != hits + 1)
		complain("what was just put is found", shared->hits - hits, 1);
	/* At time 0 nothing has expired, and nothing is of then. */
	if (cache_stats(c, 0, &s, &e) || cache_each(c, now_ms, count_one, &seen, &e))
		complain(e.message, 1, 0);
	if (seen > s.entries)
		complain("entries seen", seen, s.entries);
	if (s.counted[CACHE_DAMAGED])
		complain("damaged entries", s.counted[CACHE_DAMAGED], 0);
	if (s.entries > (uint64_t)conf.max_entries)
		complain("entries", s.entries, (uint64_t)conf.max_entries);
	if (shared->wrong)
		complain("wrong answers", shared->wrong, 0);
	files = files_on_disk(&bytes);
	if (cache_stats(c, 0, &s, &e) == ERR_OK && s.file_bytes != bytes && files == s.files)
		complain("bytes of files", s.file_bytes, bytes);
	if (files > s.files + WORKERS * 8)
		complain("files left over", files, s.files);
	buf_fini(&room);
	free(scratch);
}

static void storm(unsigned kills, unsigned seed)
{
	struct cache *c = open_cache();
	pid_t workers[WORKERS];
	unsigned births = seed * 1000003;

	for (int i = 0; i < WORKERS; i++)
		workers[i] = start_worker(births++);
	for (unsigned k = 1; k <= kills && !(is_control && failures); k++) {
		int i = rand_r(&seed) % WORKERS;

		poll(NULL, 0, rand_r(&seed) % 4);
		end_worker(workers[i]);
		if (k % STOP_AT == 0) {
			for (int w = 0; w < WORKERS; w++)
				if (w != i)
					end_worker(workers[w]);
			look_at_everything(c);
			/* Sometimes nobody is left, and who comes next finds what there is. */
			if (k % (3 * STOP_AT) == 0 && !is_control) {
				cache_close(c);
				c = open_cache();
				look_at_everything(c);
			}
			for (int w = 0; w < WORKERS; w++)
				if (w != i)
					workers[w] = start_worker(births++);
		}
		workers[i] = start_worker(births++);
	}
	for (int i = 0; i < WORKERS; i++)
		end_worker(workers[i]);
	look_at_everything(c);
	cache_close(c);
}

static void empty(const char *path)
{
	DIR *d = opendir(path);
	struct dirent *entry;
	char name[HOME_PATH_MAX];

	while (d && (entry = readdir(d)))
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0 &&
			home_path(path, entry->d_name, name, NULL) == ERR_OK && unlink(name) != 0)
			empty(name);
	if (d)
		closedir(d);
	rmdir(path);
}

int main(int argc, char **argv)
{
	unsigned kills = 2000, seed = 1;
	int64_t begun_ms = clock_mono_ms();

	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--control") == 0)
			is_control = true;
		else if (strcmp(argv[i], "--kills") == 0 && i + 1 < argc)
			kills = (unsigned)strtoul(argv[++i], NULL, 10);
		else if (strcmp(argv[i], "--seed") == 0 && i + 1 < argc)
			seed = (unsigned)strtoul(argv[++i], NULL, 10);
		else
			return 2;
	}
	shared = mmap(
		NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	strcpy(home, "/tmp/tollgate-storm-XXXXXX");
	if (shared == MAP_FAILED || !mkdtemp(home))
		return 1;
	snprintf(folder, sizeof(folder), "%s/cache", home);
	conf = (struct cache_conf){ .engine = CACHE_GDBM,
		.home = home,
		.ttl_ms = TTL_MS,
		.max_entries = 400,
		.max_bytes = 1 << 20 };
	storm(kills, seed);
	empty(home);
	printf("%s: %u kills, %" PRIu64 " puts, %" PRIu64 " of %" PRIu64 " found, %" PRIu64
	       " wrong, %u complaints, %lld s\n",
		is_control ? "control of the cache" : "cache", kills, shared->puts, shared->hits,
		shared->gets, shared->wrong, failures,
		(long long)(clock_mono_ms() - begun_ms) / 1000);
	if (is_control)
		return !(failures && !shared->wrong);
	return failures || !shared->hits ? 1 : 0;
}
