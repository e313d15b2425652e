/* Remembered answers in files: what becomes of space, of files that are damaged, and of processes
 * that die, stop or disagree about the time. */
#include "tests/unit/cache_promises.h"

#include "store/cache_slices.h"
#include "store/fault.h"
#include "tests/unit/cache_folder.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>

#define KIB 1024

/* At the point named here, fail with this errno, or do what fault_action does. */
static const char *fault_name;
static int fault_errno;
static void (*fault_action)(void);

int store_fault_point(const char *name)
{
	if (!fault_name || strcmp(name, fault_name) != 0)
		return 0;
	if (fault_action)
		fault_action();
	return fault_errno;
}

static struct cache_conf conf;

static struct cache *open_another(void)
{
	struct cache *c = NULL;

	if (cache_open(&c, &conf, &err))
		fail_msg("open: %s", err.message);
	return c;
}

static int start(void **state)
{
	(void)state;
	fault_name = NULL;
	now = clock_wall_ms();
	if (!make_home())
		return -1;
	conf = (struct cache_conf){ .engine = CACHE_GDBM,
		.home = home,
		.ttl_ms = TTL,
		.max_entries = 800,
		.max_bytes = 64 << 20 };
	the_cache = open_another();
	return 0;
}

static int stop(void **state)
{
	(void)state;
	fault_name = NULL;
	cache_close(the_cache);
	the_cache = NULL;
	drop_home();
	return 0;
}

static void reopen(void)
{
	cache_close(the_cache);
	the_cache = open_another();
}

/* Body n of version v; long enough to tell a mixture from a whole. */
static const char *body_of(uint64_t n, unsigned v, size_t bytes)
{
	static _Thread_local char text[64 * KIB];
	size_t at = 0;

	while (at < bytes)
		at += (size_t)snprintf(
			text + at, sizeof(text) - at, "%" PRIu64 "/%u/%zu ", n, v, at);
	text[bytes] = '\0';
	return text;
}

static bool is_there(uint64_t n)
{
	struct cache_key k = key_of(n);
	struct buf room = { 0 };
	struct cache_entry got;
	bool there = cache_get(the_cache, &k, now, &room, &got, &err) == ERR_OK;

	buf_fini(&room);
	return there;
}

/* Calls f for every file of a slice; returns how many there are. */
static int files(void (*f)(const char *path))
{
	char folder[HOME_PATH_MAX], path[HOME_PATH_MAX];
	struct dirent *entry;
	int n = 0;
	DIR *d;

	cache_folder(conf.engine, folder);
	d = opendir(folder);
	while (d && (entry = readdir(d))) {
		if (strncmp(entry->d_name, "slice.", 6) != 0)
			continue;
		n++;
		if (f && home_path(folder, entry->d_name, path, NULL) == ERR_OK)
			f(path);
	}
	if (d)
		closedir(d);
	return n;
}

static uint64_t summed;
static void sum_sizes(const char *path)
{
	struct stat st;

	if (stat(path, &st) == 0)
		summed += (uint64_t)st.st_size;
}

/* What the files take, as the file system has it. */
static uint64_t on_disk(void)
{
	summed = 0;
	(void)files(sum_sizes);
	return summed;
}

/* ---- processes ---- */

static int in_child(void (*body)(void))
{
	int status;
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		/* A cache is not carried over a fork. */
		the_cache = NULL;
		if (cache_open(&the_cache, &conf, &err))
			_exit(8);
		body();
		cache_close(the_cache);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static void die(void)
{
	kill(getpid(), SIGKILL);
}

static void entries_outlive_processes(void **state)
{
	(void)state;
	put(1, "one");
	put(2, "two");
	put(1, "one, again");
	reopen();
	expect(1, "one, again");
	expect(2, "two");
	assert_int_equal(stats().entries, 2);
}

static void put_seven(void)
{
	put(7, "by another process");
}

static void purge_all(void)
{
	(void)purge(&(struct cache_purge){ 0 });
}

static void what_another_process_does_is_seen_at_once(void **state)
{
	(void)state;
	put(7, "by this one");
	expect(7, "by this one");
	assert_int_equal(in_child(put_seven), 0);
	expect(7, "by another process");
	put(8, "beside it");
	assert_int_equal(in_child(purge_all), 0);
	expect(7, NULL);
	expect(8, NULL);
	put(7, "anew");
	expect(7, "anew");
}

/* Handles of one process are as strange to each other as those of several. */
static struct cache *strangers[SLICES_WRITERS + 2];
#define STRANGERS (sizeof(strangers) / sizeof(strangers[0]))

static void open_strangers(void)
{
	strangers[0] = the_cache;
	for (size_t i = 1; i < STRANGERS; i++)
		strangers[i] = open_another();
}

static void close_strangers(void)
{
	the_cache = strangers[0];
	for (size_t i = 1; i < STRANGERS; i++)
		cache_close(strangers[i]);
}

static void no_handle_is_stale(void **state)
{
	(void)state;
	open_strangers();
	for (unsigned i = 0; i < 600; i++) {
		the_cache = strangers[i % STRANGERS];
		put(i % 50, body_of(i % 50, i, 100 + i % 700));
		the_cache = strangers[(i + 1) % STRANGERS];
		expect(i % 50, body_of(i % 50, i, 100 + i % 700));
	}
	close_strangers();
}

static void who_writes_at_the_same_time_has_a_slice_of_its_own(void **state)
{
	struct cache_entry later = entry_of("later");

	(void)state;
	open_strangers();
	for (unsigned i = 0; i < 4 * STRANGERS; i++) {
		the_cache = strangers[i % 2];
		put(i, "of two");
	}
	assert_int_equal(files(NULL), 2);
	for (unsigned i = 0; i < 4 * STRANGERS; i++) {
		the_cache = strangers[i % STRANGERS];
		put(i, "of many");
	}
	assert_int_equal(files(NULL), SLICES_WRITERS);
	close_strangers();
	/* They have gone: who comes goes on with what they leave. */
	now += 2000;
	reopen();
	put_entry(100, &later);
	assert_int_equal(files(NULL), SLICES_WRITERS);
}

/* ---- threads ---- */

#define CROWD_KEYS  64
#define CROWD_TURNS 400

/* Whatever is found was put for this key, whole. */
static void *crowd_one(void *arg)
{
	unsigned seed = *(unsigned *)arg;
	struct buf room = { 0 };
	uintptr_t wrong = 0;

	for (int i = 0; i < CROWD_TURNS; i++) {
		uint64_t n = (uint64_t)rand_r(&seed) % CROWD_KEYS;
		unsigned v = (unsigned)rand_r(&seed) % 100;
		struct cache_key k = key_of(n);
		struct cache_entry got, entry = entry_of(body_of(n, v, 50 + v * 20));

		if (i % 3 == 0) {
			enum err_code rc = cache_put(the_cache, &k, now, &entry, NULL);

			wrong += rc != ERR_OK && rc != ERR_BUSY;
			continue;
		}
		buf_reset(&room);
		if (cache_get(the_cache, &k, now, &room, &got, NULL))
			continue;
		v = (unsigned)(got.body.len - 50) / 20;
		wrong += !slice_is(got.body, body_of(n, v, 50 + v * 20));
	}
	buf_fini(&room);
	return (void *)wrong;
}

static void crowd(void)
{
	unsigned seeds[8];
	pthread_t threads[8];
	void *wrong, *all = NULL;

	for (unsigned i = 0; i < 8; i++) {
		seeds[i] = (unsigned)getpid() * 8 + i;
		assert_int_equal(pthread_create(&threads[i], NULL, crowd_one, &seeds[i]), 0);
	}
	for (unsigned i = 0; i < 8; i++) {
		pthread_join(threads[i], &wrong);
		if (wrong)
			all = wrong;
	}
	if (all)
		_exit(9);
}

static void processes_and_threads_do_not_disturb_each_other(void **state)
{
	pid_t pids[2];
	int status;

	(void)state;
	fflush(NULL);
	for (int i = 0; i < 2; i++) {
		pids[i] = fork();
		if (pids[i] == 0)
			_exit(in_child(crowd) ? 1 : 0);
	}
	for (int i = 0; i < 2; i++) {
		assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
		assert_int_equal(status, 0);
	}
	assert_int_equal(stats().counted[CACHE_DAMAGED], 0);
	assert_in_range(stats().entries, 1, CROWD_KEYS);
}

/* ---- space ---- */

static void unlimited(void)
{
	cache_close(the_cache);
	conf.max_entries = 100000;
	the_cache = open_another();
}

static void what_has_expired_gives_its_space_back(void **state)
{
	int64_t begun = now;

	(void)state;
	unlimited();
	for (unsigned i = 0; i < 3000; i++) {
		now = begun + (int64_t)i * (TTL / 1000);
		put(i, body_of(i, 0, 2000));
	}
	assert_true(on_disk() < 1000 * 2000 * 3 / 2);
	assert_true(is_there(2001));
	assert_false(is_there(1999));
	now += 2 * TTL;
	put(3000, "x");
	assert_int_equal(files(NULL), 1);
}

/* GDBM gives each value whole blocks, and what is left of them to nobody. */
static void space_is_not_lost_between_entries(void **state)
{
	static const unsigned sizes[] = { 300, 1200, 2000, 4000, 8100, 17000, 40000 };

	(void)state;
	unlimited();
	for (unsigned k = 0; k < sizeof(sizes) / sizeof(*sizes); k++) {
		unsigned n = 1000000 / sizes[k];

		for (unsigned i = 0; i < n; i++)
			put(i, body_of(i, 0, sizes[k]));
		if (on_disk() > stats().bytes * 3 / 2)
			fail_msg("%u bytes each: %" PRIu64, sizes[k], on_disk());
		purge_all();
	}
}

static void the_oldest_go_when_there_are_too_many(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 2000; i++, now += 10) {
		put(i, "x");
		assert_true(stats().entries <= (uint64_t)conf.max_entries);
	}
	assert_false(is_there(0));
	assert_true(is_there(1999));
	assert_true(is_there(2000 - 600));
	assert_true(stats().counted[CACHE_EVICTED] >= 1200);
}

static void who_was_found_lately_stays_longer(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 3000; i++, now += 5) {
		put(i, "x");
		/* Two are asked for again and again. */
		if (i % 50 == 0 && i)
			assert_true(is_there(7) && is_there(8));
	}
	expect(7, "x");
	expect(8, "x");
	assert_false(is_there(9));
}

static void the_files_stay_below_their_limit(void **state)
{
	(void)state;
	cache_close(the_cache);
	conf.max_bytes = 2 << 20;
	conf.max_entries = 100000;
	the_cache = open_another();
	for (unsigned i = 0; i < 3000; i++, now += 10) {
		put(i, body_of(i, 0, 500 + i * 7 % 30000));
		if (i % 100 == 0)
			assert_true(on_disk() <= (uint64_t)conf.max_bytes);
	}
	assert_true(is_there(2999));
	assert_true(stats().bytes > (uint64_t)conf.max_bytes / 2);
	assert_int_equal(stats().file_bytes, on_disk());
}

static void churn_does_not_grow_the_files(void **state)
{
	int64_t begun = now;
	uint64_t live = 0;

	(void)state;
	unlimited();
	for (unsigned i = 0; i < 6000; i++) {
		size_t bytes = 500 + i * 31 % 6000;

		now = begun + (int64_t)i * TTL / 1000;
		put(i, body_of(i, 0, bytes));
		if (i >= 5000)
			live += bytes;
	}
	assert_true(on_disk() < live + live / 2);
}

static void what_is_replaced_does_not_stay(void **state)
{
	int64_t begun = now;

	(void)state;
	for (unsigned i = 0; i < 5000; i++) {
		now = begun + (int64_t)i * 10;
		put(i % 50, body_of(i % 50, i, 3000 + i % 999));
	}
	for (unsigned i = 4950; i < 5000; i++)
		expect(i % 50, body_of(i % 50, i, 3000 + i % 999));
	assert_true(on_disk() < 4 << 20);
	assert_int_equal(stats().entries, 50);
}

static void long_lives_do_not_need_many_files(void **state)
{
	static const int64_t lives[] = { 1000, 60000, TTL, 3600000, 86400000,
		INT64_C(86400000) * 30, INT64_C(86400000) * 36500 };
	int64_t begun = now;

	(void)state;
	for (unsigned i = 0; i < 3500; i++) {
		struct cache_entry entry = entry_of("x");

		now = begun + (int64_t)i * 4000;
		entry.made_ms = now;
		entry.expires_ms = now + lives[i % 7];
		put_entry(i, &entry);
		expect(i, "x");
	}
	assert_true(files(NULL) < SLICES_ROWS);
}

static void what_is_larger_than_all_is_refused(void **state)
{
	size_t n = (size_t)conf.max_bytes;
	struct cache_entry entry = entry_of("");
	struct cache_key k = key_of(1);
	char *body = calloc(1, n);

	(void)state;
	assert_non_null(body);
	entry.body = (struct slice){ body, n };
	assert_int_equal(cache_put(the_cache, &k, now, &entry, &err), ERR_RANGE);
	assert_int_equal(files(NULL), 0);
	free(body);
}

/* ---- clocks ---- */

static void a_clock_that_jumps_costs_entries_only(void **state)
{
	static const int64_t jumps[] = { 0, 3650, -3650, -3650, 10950, 0 };

	(void)state;
	for (int j = 0; j < 6; j++) {
		now += jumps[j] * 86400000;
		for (unsigned i = 0; i < 900; i++, now += 20)
			put(i, body_of(i, 0, 1000));
		expect(899, body_of(899, 0, 1000));
		assert_true(on_disk() < 3 << 20);
		assert_true(stats().entries <= (uint64_t)conf.max_entries);
	}
}

/* ---- damage ---- */

static unsigned dice = 1;

static void flip_bits(const char *path)
{
	struct stat st;
	char byte;
	off_t at;
	int fd = open(path, O_RDWR);

	assert_true(fd >= 0);
	for (int i = 0; i < 8 && fstat(fd, &st) == 0 && st.st_size; i++) {
		at = rand_r(&dice) % (int)st.st_size;
		/* The tables of GDBM are at the beginning. */
		if (i % 2)
			at %= 12288;
		if (pread(fd, &byte, 1, at) == 1) {
			byte = (char)(byte ^ 1 << rand_r(&dice) % 8);
			assert_int_equal(pwrite(fd, &byte, 1, at), 1);
		}
	}
	close(fd);
}

static void cut(const char *path)
{
	struct stat st;

	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(truncate(path, rand_r(&dice) % (int)(st.st_size + 1)), 0);
}

static void zero(const char *path)
{
	struct stat st;
	char nothing[4096] = { 0 };
	int fd = open(path, O_RDWR);

	assert_true(fd >= 0);
	assert_int_equal(fstat(fd, &st), 0);
	for (off_t at = 0; at < st.st_size; at += 4096)
		assert_int_equal(pwrite(fd, nothing, 4096, at), 4096);
	close(fd);
}

static bool count_one(void *ctx, const struct cache_key *key, const struct cache_entry *entry)
{
	(void)key, (void)entry;
	++*(int *)ctx;
	return true;
}

/* Whatever happened to the files: what is found is right, and the next one put is found. */
static void damage_is_a_miss(void (*damage)(const char *path))
{
	int missed = 0;

	for (unsigned turn = 0; turn < 60; turn++) {
		int seen = 0;

		for (unsigned i = 0; i < 40; i++)
			put(i, body_of(i, turn, 10 + i * 97));
		(void)files(damage);
		if (turn % 3 == 1)
			reopen();
		if (turn % 5 == 1)
			assert_int_equal(
				cache_each(the_cache, now, count_one, &seen, &err), ERR_OK);
		if (turn % 7 == 1)
			(void)purge(&(struct cache_purge){ .model = "none" });
		for (unsigned i = 0; i < 40; i++) {
			if (is_there(i))
				expect(i, body_of(i, turn, 10 + i * 97));
			else
				missed++;
		}
		put(999, "x");
		expect(999, "x");
	}
	assert_true(missed > 60);
	assert_true(stats().entries <= 41);
}

static void flipped_bits_are_a_miss(void **state)
{
	(void)state;
	damage_is_a_miss(flip_bits);
	assert_true(stats().counted[CACHE_DAMAGED] > 0);
}

static void a_cut_file_is_a_miss(void **state)
{
	(void)state;
	damage_is_a_miss(cut);
}

static void a_file_of_zeros_is_a_miss(void **state)
{
	(void)state;
	damage_is_a_miss(zero);
}

static void remove_file(const char *path)
{
	assert_int_equal(unlink(path), 0);
}

static void a_file_that_is_gone_is_a_miss(void **state)
{
	(void)state;
	damage_is_a_miss(remove_file);
}

static void a_link_in_the_place_of_a_file_is_not_followed(void **state)
{
	char other[HOME_PATH_MAX], path[HOME_PATH_MAX];
	int fd;

	(void)state;
	snprintf(other, sizeof(other), "%s/other", home);
	fd = open(other, O_CREAT | O_RDWR, 0600);
	assert_true(fd >= 0);
	close(fd);
	put(1, "x");
	slices_path((struct slices *)the_cache, 1, path);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(symlink(other, path), 0);
	reopen();
	expect(1, NULL);
	put(1, "x");
	expect(1, "x");
	assert_int_equal(access(other, F_OK), 0);
}

/* ---- the head ---- */

static void head_path(char out[HOME_PATH_MAX])
{
	snprintf(out, HOME_PATH_MAX, "%s/cache/cache.head", home);
}

static void a_damaged_head_is_made_anew(void **state)
{
	char path[HOME_PATH_MAX];
	struct stat st;
	int fd;

	(void)state;
	head_path(path);
	assert_int_equal(stat(path, &st), 0);
	for (int i = 0; i < 6; i++) {
		put(1, "x");
		cache_close(the_cache);
		fd = open(path, O_RDWR);
		assert_true(fd >= 0);
		switch (i) {
		case 0: /* another version */
			assert_int_equal(pwrite(fd, "\xff", 1, 8), 1);
			break;
		case 1:
			assert_int_equal(ftruncate(fd, 0), 0);
			break;
		case 2:
			assert_int_equal(ftruncate(fd, st.st_size / 2), 0);
			break;
		case 3:
			assert_int_equal(ftruncate(fd, st.st_size * 2), 0);
			break;
		case 4:
			assert_int_equal(pwrite(fd, "garbage garbage garbage garbage!", 32, 0), 32);
			break;
		default:
			assert_int_equal(unlink(path), 0);
		}
		close(fd);
		the_cache = open_another();
		expect(1, NULL);
		/* The files of the old one are gone. */
		assert_int_equal(files(NULL), 0);
	}
}

/* What it says of slices and entries may be anything. */
static void garbage_in_the_head_is_survived(void **state)
{
	size_t from = offsetof(struct slices_head, mutex);
	char path[HOME_PATH_MAX], garbage[64];
	struct stat st;
	int fd;

	(void)state;
	head_path(path);
	assert_int_equal(stat(path, &st), 0);
	for (int turn = 0; turn < 30; turn++) {
		for (unsigned i = 0; i < 40; i++)
			put(i, body_of(i, 0, 10 + i * 97));
		cache_close(the_cache);
		fd = open(path, O_RDWR);
		assert_true(fd >= 0);
		for (int i = 0; i < 40; i++) {
			size_t span = i % 2 ? sizeof(struct slices_head) - from
					    : (size_t)st.st_size - from - sizeof(garbage);
			off_t at = (off_t)(from + (size_t)rand_r(&dice) % span);

			for (size_t k = 0; k < sizeof(garbage); k++)
				garbage[k] = (char)rand_r(&dice);
			assert_int_equal(
				pwrite(fd, garbage, sizeof(garbage) >> turn % 4, at) > 0, 1);
		}
		close(fd);
		the_cache = open_another();
		for (unsigned i = 0; i < 40; i++)
			if (is_there(i))
				expect(i, body_of(i, 0, 10 + i * 97));
		put(1, "x");
		expect(1, "x");
	}
}

static void a_head_of_another_version_is_left_to_who_uses_it(void **state)
{
	char path[HOME_PATH_MAX], version;
	struct cache *c;
	int fd;

	(void)state;
	put(1, "x");
	head_path(path);
	fd = open(path, O_RDWR);
	assert_true(fd >= 0);
	assert_int_equal(pread(fd, &version, 1, 8), 1);
	assert_int_equal(pwrite(fd, "\xff", 1, 8), 1);
	assert_int_equal(cache_open(&c, &conf, &err), ERR_STORE);
	assert_null(c);
	assert_int_equal(pwrite(fd, &version, 1, 8), 1);
	close(fd);
	expect(1, "x");
}

static void a_larger_limit_makes_a_larger_index(void **state)
{
	(void)state;
	cache_close(the_cache);
	conf.max_entries = 20000;
	the_cache = open_another();
	for (unsigned i = 0; i < 5000; i++)
		put(i, "x");
	for (unsigned i = 0; i < 5000; i++)
		assert_true(is_there(i));
	/* A smaller one keeps what it may. */
	cache_close(the_cache);
	conf.max_entries = 1000;
	the_cache = open_another();
	assert_int_equal(stats().entries, 5000);
	put(5000, "x");
	assert_true(stats().entries <= 1000);
}

/* ---- who dies or stops ---- */

static void put_many(void)
{
	for (unsigned i = 0; i < 20; i++)
		put(100 + i, body_of(i, 0, 5000));
}

static void whoever_dies_while_writing_costs_one_slice(void **state)
{
	static const char *const points[] = { "cache.store", "cache.made", "cache.placed" };
	struct cache_entry other = entry_of("in another slice");

	(void)state;
	for (int p = 0; p < 3; p++) {
		int status;

		other.expires_ms = now + 100 * TTL;
		put_entry(1, &other);
		fault_name = points[p];
		fault_action = die;
		status = in_child(put_many);
		fault_name = NULL;
		assert_true(WIFSIGNALED(status));
		expect(1, "in another slice");
		for (unsigned i = 0; i < 20; i++)
			expect(100 + i, NULL);
		put(100, "x");
		expect(100, "x");
		assert_int_equal(stats().entries, 2);
		assert_int_equal(stats().files, (uint64_t)files(NULL));
		assert_int_equal(stats().file_bytes, on_disk());
		purge_all();
	}
}

static void stop_here(void)
{
	fault_name = NULL;
	raise(SIGSTOP);
}

/* Somebody is stopped while he has the mutex: others go on without a cache. */
static void whoever_stops_holds_nobody_up(void **state)
{
	struct cache_entry entry = entry_of("x");
	struct cache_key k = key_of(2);
	int status;
	pid_t pid;

	(void)state;
	put(1, "x");
	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		if (cache_open(&the_cache, &conf, &err))
			_exit(8);
		fault_name = "cache.store";
		fault_action = stop_here;
		put_many();
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, WUNTRACED), pid);
	assert_true(WIFSTOPPED(status));
	expect(1, NULL);
	assert_int_equal(cache_put(the_cache, &k, now, &entry, &err), ERR_BUSY);
	kill(pid, SIGCONT);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	((struct slices *)the_cache)->stuck_until_ms = 0;
	expect(1, "x");
	expect(100, body_of(0, 0, 5000));
}

static void a_full_disk_costs_the_slice_and_no_more(void **state)
{
	struct cache_entry entry = entry_of("x");
	struct cache_key k = key_of(2);
	char folder[HOME_PATH_MAX];
	struct cache *c;

	(void)state;
	put(1, "x");
	fault_name = "cache.store";
	fault_action = NULL;
	fault_errno = ENOSPC;
	assert_int_equal(cache_put(the_cache, &k, now, &entry, &err), ERR_STORE);
	fault_name = NULL;
	assert_int_equal(files(NULL), 0);
	put(2, "x");
	expect(2, "x");
	cache_close(the_cache);
	cache_folder(conf.engine, folder);
	empty_folder(folder);
	fault_name = "cache.allocate";
	assert_int_equal(cache_open(&c, &conf, &err), ERR_STORE);
	fault_name = NULL;
	fault_errno = 0;
	the_cache = open_another();
	put(2, "x");
	expect(2, "x");
}

static void nothing_of_it_is_open_to_others(void **state)
{
	char folder[HOME_PATH_MAX], path[HOME_PATH_MAX];
	struct dirent *entry;
	struct stat st;
	DIR *d;

	(void)state;
	put(1, "x");
	cache_folder(conf.engine, folder);
	assert_int_equal(stat(folder, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0700);
	d = opendir(folder);
	assert_non_null(d);
	while ((entry = readdir(d)))
		if (entry->d_name[0] != '.') {
			assert_int_equal(home_path(folder, entry->d_name, path, NULL), ERR_OK);
			assert_int_equal(stat(path, &st), 0);
			assert_int_equal(st.st_mode & 0777, 0600);
		}
	closedir(d);
}

static void files_of_nobody_are_swept(void **state)
{
	char path[HOME_PATH_MAX];
	int fd;

	(void)state;
	slices_path((struct slices *)the_cache, 77777, path);
	fd = open(path, O_RDWR | O_CREAT, 0600);
	assert_true(fd >= 0);
	close(fd);
	put(1, "x");
	assert_int_equal(files(NULL), 1);
	expect(1, "x");
}

#define T(f) cmocka_unit_test_setup_teardown(f, start, stop)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		T(entries_outlive_processes),
		T(what_another_process_does_is_seen_at_once),
		T(no_handle_is_stale),
		T(who_writes_at_the_same_time_has_a_slice_of_its_own),
		T(processes_and_threads_do_not_disturb_each_other),
		T(what_has_expired_gives_its_space_back),
		T(space_is_not_lost_between_entries),
		T(the_oldest_go_when_there_are_too_many),
		T(who_was_found_lately_stays_longer),
		T(the_files_stay_below_their_limit),
		T(churn_does_not_grow_the_files),
		T(what_is_replaced_does_not_stay),
		T(long_lives_do_not_need_many_files),
		T(what_is_larger_than_all_is_refused),
		T(a_clock_that_jumps_costs_entries_only),
		T(flipped_bits_are_a_miss),
		T(a_cut_file_is_a_miss),
		T(a_file_of_zeros_is_a_miss),
		T(a_file_that_is_gone_is_a_miss),
		T(a_link_in_the_place_of_a_file_is_not_followed),
		T(a_damaged_head_is_made_anew),
		T(garbage_in_the_head_is_survived),
		T(a_head_of_another_version_is_left_to_who_uses_it),
		T(a_larger_limit_makes_a_larger_index),
		T(whoever_dies_while_writing_costs_one_slice),
		T(whoever_stops_holds_nobody_up),
		T(a_full_disk_costs_the_slice_and_no_more),
		T(nothing_of_it_is_open_to_others),
		T(files_of_nobody_are_swept),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
