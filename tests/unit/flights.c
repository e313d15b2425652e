/* Flights over the processes of a host: threads and child processes that lead, follow and die. */
#include "store/flights.h"

#include "base/clock.h"
#include "store/fault.h"
#include "store/flights_file.h"
#include "store/flights_inside.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define MAX_BYTES ((size_t)4 << 20)
#define WAIT_MS   20000 /* more than anything takes that works */

static char home[64];
static struct flights *flights;
static struct flight_map inside; /* the same table, looked at */
static struct err err;
static const char *fault_name; /* the step that fails */

int store_fault_point(const char *name)
{
	return fault_name && strcmp(name, fault_name) == 0 ? EIO : 0;
}

static const struct flights_conf conf = { .home = home, .max_bytes = MAX_BYTES };

static int set_up(void **state)
{
	(void)state;
	fault_name = NULL;
	snprintf(home, sizeof(home), "/tmp/tollgate-flights-XXXXXX");
	assert_non_null(mkdtemp(home));
	assert_int_equal(flights_open(&flights, &conf, &err), ERR_OK);
	assert_int_equal(flight_map_open(&inside, home, &err), ERR_OK);
	return 0;
}

/* How many files of answers there are. */
static unsigned files(void)
{
	char folder[HOME_PATH_MAX], *base;
	struct dirent *entry;
	unsigned n = 0;
	DIR *d;

	snprintf(folder, sizeof(folder), "%s", inside.path);
	base = strrchr(folder, '/');
	*base++ = '\0';
	d = opendir(folder);
	assert_non_null(d);
	while ((entry = readdir(d)))
		n += strncmp(entry->d_name, base, strlen(base)) == 0 &&
		     entry->d_name[strlen(base)] == '.';
	closedir(d);
	return n;
}

static unsigned slots_in_use(void)
{
	unsigned n = 0;

	for (unsigned b = 0; b < FLIGHT_BUCKETS; b++)
		for (unsigned w = 0; w < FLIGHT_WAYS; w++)
			n += flight_state(inside.table->buckets[b].words[w]) != FLIGHT_FREE;
	return n;
}

static int tear_down(void **state)
{
	char path[HOME_PATH_MAX];

	(void)state;
	assert_int_equal(files(), 0);
	assert_int_equal(slots_in_use(), 0);
	flights_close(flights);
	unlink(inside.path);
	flight_map_close(&inside);
	snprintf(path, sizeof(path), "%s/flights.lock", home);
	unlink(path);
	rmdir(home);
	return 0;
}

static struct cache_key key_of(unsigned n)
{
	struct cache_key key = { .length = 100, .crc = n };

	key.hash[0] = 7; /* all in one bucket */
	key.hash[31] = (uint8_t)n;
	return key;
}

static struct flight *leads(unsigned n)
{
	struct cache_key key = key_of(n);
	struct flight *f;

	assert_int_equal(flight_join(flights, &key, true, &f), FLIGHT_LEADS);
	return f;
}

static struct flight *follows(unsigned n)
{
	struct cache_key key = key_of(n);
	struct flight *f;

	assert_int_equal(flight_join(flights, &key, true, &f), FLIGHT_FOLLOWS);
	return f;
}

static struct cache_entry entry_of(const char *body)
{
	struct cache_entry entry = { .made_ms = 1,
		.expires_ms = 2,
		.saved_microusd = 3,
		.form = CACHE_EVENTS,
		.prompt_tokens = 4,
		.completion_tokens = 5,
		.model = "lab/m",
		.provider = "lab",
		.finish_reason = "stop",
		.usage = SLICE("{\"total_tokens\":9}"),
		.body = slice_of(body) };

	return entry;
}

static const struct flight_who lab = { .model = "lab/m", .provider = "lab" };

/* What a follower has. */
struct heard {
	struct buf bytes;
	struct flight_who who;
	struct cache_entry entry;
};

static enum flight_news read_one(struct flight *f, struct heard *h, int64_t wait_ms)
{
	h->bytes.max_bytes = 3 * MAX_BYTES;
	return flight_read(f, &h->bytes, &h->who, &h->entry, wait_ms);
}

/* Reads up to the end; *events = how many bytes of events there are before it. */
static enum flight_news read_to_end(struct flight *f, struct heard *h, size_t *events)
{
	enum flight_news news;

	do {
		*events = h->bytes.len;
		news = read_one(f, h, WAIT_MS);
	} while (news == FLIGHT_MORE);
	return news;
}

static void assert_heard(const struct heard *h, const char *text)
{
	assert_int_equal(h->bytes.len, strlen(text));
	assert_memory_equal(h->bytes.data, text, strlen(text));
}

static void free_heard(struct heard *h)
{
	buf_fini(&h->bytes);
	*h = (struct heard){ .bytes = { .len = 0 } };
}

/* ---- leading and following ---- */

static void who_asks_first_leads_and_who_asks_meanwhile_follows(void **state)
{
	struct flight *leader = leads(1), *other = leads(2), *follower = follows(1);

	(void)state;
	assert_true(flight_is_followed(leader));
	assert_false(flight_is_followed(other));
	flight_end(follower, NULL);
	assert_false(flight_is_followed(leader));
	flight_end(leader, NULL);
	flight_end(other, NULL);
	leader = leads(1); /* it is over: the next one leads again */
	flight_end(leader, NULL);
}

static void keys_that_differ_in_anything_share_nothing(void **state)
{
	struct cache_key key = key_of(1);
	struct flight *first = leads(1), *second, *third;

	(void)state;
	key.crc++;
	assert_int_equal(flight_join(flights, &key, true, &second), FLIGHT_LEADS);
	key = key_of(1);
	key.length++;
	assert_int_equal(flight_join(flights, &key, true, &third), FLIGHT_LEADS);
	flight_end(first, NULL);
	flight_end(second, NULL);
	flight_end(third, NULL);
}

static void who_may_not_lead_follows_or_flies_alone(void **state)
{
	struct cache_key key = key_of(1);
	struct flight *f, *leader;

	(void)state;
	assert_int_equal(flight_join(flights, &key, false, &f), FLIGHT_ALONE);
	assert_null(f);
	leader = leads(1);
	assert_int_equal(flight_join(flights, &key, false, &f), FLIGHT_FOLLOWS);
	flight_end(leader, NULL);
	flight_end(f, NULL);
}

static void a_follower_hears_the_beginning_what_comes_and_the_entry(void **state)
{
	struct flight *leader = leads(1), *follower;
	struct heard h = { .bytes = { .len = 0 } };
	struct cache_entry entry = entry_of("data: 1\n\ndata: 2\n\ndata: 3\n\n");

	(void)state;
	flight_begin(leader, &lab);
	flight_write(leader, SLICE("data: 1\n\n"));
	follower = follows(1);
	assert_int_equal(read_one(follower, &h, 0), FLIGHT_QUIET);
	flight_write(leader, SLICE("data: 2\n\n"));
	assert_int_equal(read_one(follower, &h, WAIT_MS), FLIGHT_MORE);
	assert_heard(&h, "data: 1\n\ndata: 2\n\n");
	assert_string_equal(h.who.model, "lab/m");
	assert_string_equal(h.who.provider, "lab");
	assert_int_equal(read_one(follower, &h, 0), FLIGHT_QUIET);
	flight_write(leader, SLICE("data: 3\n\n"));
	flight_end(leader, &entry);
	assert_int_equal(read_one(follower, &h, 0), FLIGHT_MORE);
	assert_heard(&h, "data: 1\n\ndata: 2\n\ndata: 3\n\n");
	assert_int_equal(read_one(follower, &h, 0), FLIGHT_WHOLE);
	assert_int_equal(h.entry.saved_microusd, 3);
	assert_int_equal(h.entry.completion_tokens, 5);
	assert_true(slice_is(h.entry.usage, "{\"total_tokens\":9}"));
	assert_true(slice_eq(h.entry.body, entry.body));
	assert_string_equal(h.entry.finish_reason, "stop");
	flight_end(follower, NULL);
	free_heard(&h);
}

static void an_answer_in_one_piece_says_who_made_it(void **state)
{
	struct flight *leader = leads(1), *first = follows(1), *second = follows(1);
	struct cache_entry entry = entry_of("{\"id\":\"1\"}");
	struct heard h = { .bytes = { .len = 0 } };

	(void)state;
	entry.form = CACHE_WHOLE;
	flight_end(leader, &entry);
	buf_str(&h.bytes, "before");
	assert_int_equal(read_one(first, &h, WAIT_MS), FLIGHT_WHOLE);
	assert_memory_equal(h.bytes.data, "before", 6);
	assert_string_equal(h.who.provider, "lab");
	assert_int_equal(h.entry.form, CACHE_WHOLE);
	flight_end(first, NULL);
	assert_int_equal(files(), 1); /* the second has not read it yet */
	free_heard(&h);
	assert_int_equal(read_one(second, &h, WAIT_MS), FLIGHT_WHOLE);
	assert_true(slice_is(h.entry.body, "{\"id\":\"1\"}"));
	flight_end(second, NULL);
	assert_int_equal(files(), 0);
	free_heard(&h);
}

static void a_leader_whom_nobody_follows_makes_no_file(void **state)
{
	struct flight *leader = leads(1);
	struct cache_entry entry = entry_of("data: 1\n\n");

	(void)state;
	flight_begin(leader, &lab);
	flight_write(leader, SLICE("data: 1\n\n"));
	assert_int_equal(files(), 0);
	flight_end(leader, &entry);
	assert_int_equal(files(), 0);
}

static void an_answer_that_is_over_is_not_followed_any_more(void **state)
{
	struct flight *leader = leads(1), *follower = follows(1), *next;
	struct cache_entry entry = entry_of("data: 1\n\n");

	(void)state;
	flight_write(leader, SLICE("data: 1\n\n"));
	flight_end(leader, &entry);
	next = leads(1); /* while the last one's follower still reads */
	flight_end(next, NULL);
	flight_end(follower, NULL);
}

static void followers_that_left_leave_nothing_behind(void **state)
{
	struct flight *leader = leads(1), *follower = follows(1);
	struct cache_entry entry = entry_of("data: 1\n\n");

	(void)state;
	flight_write(leader, SLICE("data: 1\n\n"));
	assert_int_equal(files(), 1);
	flight_end(follower, NULL);
	flight_write(leader, SLICE("data: 2\n\n"));
	flight_end(leader, &entry);
}

static void a_beginning_of_megabytes_is_parted_between_events(void **state)
{
	struct flight *leader = leads(1), *follower;
	struct buf said = { 0 };
	struct heard h = { .bytes = { .len = 0 } };
	struct cache_entry entry = entry_of("");
	unsigned reads = 0;

	(void)state;
	for (unsigned i = 0; said.len < MAX_BYTES - 400000; i++) {
		size_t begin = said.len;

		buf_printf(&said, "data: %u %*s\n\n", i, (int)(i % 7 ? i % 4000 : 300000), "x");
		flight_write(leader, slice_from(buf_slice(&said), begin));
	}
	follower = follows(1);
	flight_end(leader, &entry);
	while (read_one(follower, &h, 0) == FLIGHT_MORE) {
		assert_memory_equal(h.bytes.data + h.bytes.len - 2, "\n\n", 2);
		reads++;
	}
	assert_true(reads > 1);
	assert_true(h.bytes.len > said.len);
	assert_memory_equal(h.bytes.data, said.data, said.len);
	flight_end(follower, NULL);
	free_heard(&h);
	buf_fini(&said);
}

/* ---- when it does not go well ---- */

static void followers_of_one_who_fails_are_told_and_the_next_leads(void **state)
{
	struct flight *leader = leads(1), *follower = follows(1);
	struct heard h = { .bytes = { .len = 0 } };

	(void)state;
	flight_write(leader, SLICE("data: 1\n\n"));
	flight_end(leader, NULL);
	assert_int_equal(read_one(follower, &h, WAIT_MS), FLIGHT_LOST);
	assert_int_equal(read_one(follower, &h, WAIT_MS), FLIGHT_LOST);
	flight_end(follower, NULL);
	leader = leads(1);
	flight_end(leader, NULL);
	free_heard(&h);
}

static void what_came_before_a_failure_is_the_followers_if_it_has_looked(void **state)
{
	struct flight *leader = leads(1), *follower = follows(1);
	struct heard h = { .bytes = { .len = 0 } };

	(void)state;
	flight_write(leader, SLICE("data: 1\n\n"));
	assert_int_equal(read_one(follower, &h, WAIT_MS), FLIGHT_MORE);
	flight_write(leader, SLICE("data: 2\n\n"));
	flight_end(leader, NULL);
	assert_int_equal(read_one(follower, &h, WAIT_MS), FLIGHT_MORE);
	assert_int_equal(read_one(follower, &h, WAIT_MS), FLIGHT_LOST);
	assert_heard(&h, "data: 1\n\ndata: 2\n\n");
	flight_end(follower, NULL);
	free_heard(&h);
}

static void an_answer_that_is_too_long_is_shared_no_longer(void **state)
{
	static char bytes[MAX_BYTES];
	struct cache_key key = key_of(1);
	struct flight *leader, *follower, *late;
	struct cache_entry entry = entry_of("data: 1\n\n");
	struct heard h = { .bytes = { .len = 0 } };

	(void)state;
	memset(bytes, 'x', sizeof(bytes));
	for (int with_file = 0; with_file < 2; with_file++) {
		leader = leads(1);
		follower = with_file ? follows(1) : NULL;
		flight_write(leader, (struct slice){ bytes, sizeof(bytes) }); /* just fits */
		if (!with_file)
			follower = follows(1);
		flight_write(leader, SLICE("x"));
		assert_int_equal(flight_join(flights, &key, true, &late), FLIGHT_ALONE);
		while (read_one(follower, &h, WAIT_MS) == FLIGHT_MORE)
			;
		assert_int_equal(read_one(follower, &h, WAIT_MS), FLIGHT_LOST);
		flight_end(leader, &entry);
		flight_end(follower, NULL);
		free_heard(&h);
	}
}

static void a_disk_that_takes_nothing_makes_followers_ask_themselves(void **state)
{
	static const char *const steps[] = { "flights.file", "flights.write" };
	struct heard h = { .bytes = { .len = 0 } };

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		struct flight *leader = leads(1), *follower = follows(1);
		struct cache_entry entry = entry_of("data: 1\n\n");

		fault_name = steps[i];
		flight_write(leader, SLICE("data: 1\n\n"));
		assert_int_equal(read_one(follower, &h, WAIT_MS), FLIGHT_LOST);
		flight_end(leader, &entry);
		flight_end(follower, NULL);
		fault_name = NULL;
	}
	free_heard(&h);
}

static void an_entry_that_cannot_be_written_is_no_whole_answer(void **state)
{
	struct flight *leader = leads(1), *follower = follows(1);
	struct cache_entry entry = entry_of("data: 1\n\n");
	struct heard h = { .bytes = { .len = 0 } };
	size_t events;

	(void)state;
	flight_write(leader, SLICE("data: 1\n\n"));
	fault_name = "flights.write";
	flight_end(leader, &entry);
	assert_int_equal(read_to_end(follower, &h, &events), FLIGHT_LOST);
	flight_end(follower, NULL);
	free_heard(&h);
}

/* The file of the only slot in use. */
static int open_file(void)
{
	char path[FLIGHT_PATH_MAX] = "";

	for (unsigned b = 0; b < FLIGHT_BUCKETS; b++)
		for (unsigned w = 0; w < FLIGHT_WAYS; w++) {
			uint64_t word = inside.table->buckets[b].words[w];

			if (flight_state(word) != FLIGHT_FREE)
				flight_file_path(&inside,
					(struct flight_place){ b, w, flight_generation(word) },
					path);
		}
	return open(path, O_RDWR | O_CLOEXEC);
}

static void a_file_that_is_damaged_anywhere_never_looks_whole(void **state)
{
	struct cache_entry entry = entry_of("data: 1\n\ndata: 2\n\n");

	(void)state;
	for (off_t at = 0;; at++) {
		struct flight *leader = leads(1), *follower = follows(1);
		struct heard h = { .bytes = { .len = 0 } };
		enum flight_news news;
		size_t events;
		char byte;
		int fd;

		flight_begin(leader, &lab);
		flight_write(leader, SLICE("data: 1\n\n"));
		flight_write(leader, SLICE("data: 2\n\n"));
		flight_end(leader, &entry);
		fd = open_file();
		assert_true(fd >= 0);
		if (pread(fd, &byte, 1, at) != 1) {
			close(fd);
			flight_end(follower, NULL);
			break;
		}
		/* Bit by bit in turn; and cut off there. */
		byte = (char)(byte ^ 1 << at % 8);
		if (at % 3 == 0)
			assert_int_equal(ftruncate(fd, at), 0);
		else
			assert_int_equal(pwrite(fd, &byte, 1, at), 1);
		close(fd);
		news = read_to_end(follower, &h, &events);
		/* The head of the file says more than is looked at: whose it was. */
		assert_true(news == FLIGHT_LOST || (at % 3 && at < 64));
		assert_true(events <= 18);
		assert_memory_equal(
			h.bytes.data ? h.bytes.data : "", "data: 1\n\ndata: 2\n\n", events);
		flight_end(follower, NULL);
		free_heard(&h);
	}
}

static void an_entry_cut_anywhere_is_none(void **state)
{
	struct cache_entry entry = entry_of("data: 1\n\n"), read;
	struct buf bytes = { 0 };

	(void)state;
	flight_entry_write(&entry, &bytes);
	assert_true(flight_entry_read(buf_slice(&bytes), &read));
	for (size_t n = 0; n < bytes.len; n++)
		assert_false(flight_entry_read(slice_first(buf_slice(&bytes), n), &read));
	memset(bytes.data + offsetof(struct cache_entry, model), 'x', 1);
	buf_char(&bytes, 'x');
	assert_false(flight_entry_read(buf_slice(&bytes), &read));
	buf_fini(&bytes);
}

static void a_bucket_that_is_full_lets_everybody_fly_alone(void **state)
{
	struct flight *all[FLIGHT_WAYS], *f;
	struct cache_key key = key_of(100);

	(void)state;
	for (unsigned i = 0; i < FLIGHT_WAYS; i++)
		all[i] = leads(i);
	assert_int_equal(flight_join(flights, &key, true, &f), FLIGHT_ALONE);
	f = follows(3);
	flight_end(f, NULL);
	flight_end(all[0], NULL);
	all[0] = leads(100);
	for (unsigned i = 0; i < FLIGHT_WAYS; i++)
		flight_end(all[i], NULL);
}

/* ---- processes that die ---- */

/* Runs f in another process, which says a byte when it is ready, and waits to be killed. */
static pid_t start(void (*f)(struct flights *))
{
	int ready[2];
	char byte;
	pid_t pid;

	assert_int_equal(pipe(ready), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		struct flights *own;

		if (flights_open(&own, &conf, NULL))
			_exit(1);
		f(own);
		(void)!write(ready[1], "x", 1);
		for (;;)
			pause();
	}
	assert_int_equal(read(ready[0], &byte, 1), 1);
	close(ready[0]);
	close(ready[1]);
	return pid;
}

static void end_process(pid_t pid)
{
	int status;

	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, &status, 0), pid);
}

static void lead_one(struct flights *own)
{
	struct cache_key key = key_of(1);
	struct flight *f;

	if (flight_join(own, &key, true, &f) != FLIGHT_LEADS)
		_exit(1);
	flight_write(f, SLICE("data: 1\n\n"));
}

static void follow_one(struct flights *own)
{
	struct cache_key key = key_of(1);
	struct flight *f;

	if (flight_join(own, &key, true, &f) != FLIGHT_FOLLOWS)
		_exit(1);
}

static void a_leaders_death_is_told_to_its_followers_at_once(void **state)
{
	pid_t pid = start(lead_one);
	struct flight *follower = follows(1), *leader;
	struct heard h = { .bytes = { .len = 0 } };

	(void)state;
	assert_int_equal(read_one(follower, &h, 0), FLIGHT_QUIET);
	end_process(pid);
	assert_int_equal(read_one(follower, &h, WAIT_MS), FLIGHT_LOST);
	flight_end(follower, NULL);
	leader = leads(1);
	flight_end(leader, NULL);
	free_heard(&h);
}

static void whoever_joins_next_leads_in_the_place_of_a_dead_one(void **state)
{
	pid_t pid = start(lead_one);
	struct flight *follower = follows(1), *leader;

	(void)state;
	end_process(pid);
	usleep((FLIGHT_LOOK_MS + 20) * 1000); /* until somebody looks again */
	leader = leads(1);
	flight_end(follower, NULL);
	assert_int_equal(slots_in_use(), 1);
	flight_end(leader, NULL);
}

static void lead_and_be_followed(struct flights *own)
{
	struct cache_key key = key_of(1);
	struct flight *leader, *follower;

	if (flight_join(own, &key, true, &leader) != FLIGHT_LEADS ||
		flight_join(own, &key, true, &follower) != FLIGHT_FOLLOWS)
		_exit(1);
	flight_write(leader, SLICE("data: 1\n\n"));
}

static void what_dead_processes_left_is_removed_by_who_opens(void **state)
{
	pid_t pid = start(lead_and_be_followed);
	struct flights *own;

	(void)state;
	assert_int_equal(files(), 1);
	end_process(pid);
	assert_int_equal(flights_open(&own, &conf, &err), ERR_OK);
	assert_int_equal(files(), 0);
	assert_int_equal(slots_in_use(), 0);
	flights_close(own);
}

static void an_answer_that_a_dead_follower_does_not_read_goes_after_a_time(void **state)
{
	struct flight *leader = leads(1);
	struct cache_entry entry = entry_of("data: 1\n\n");
	pid_t pid = start(follow_one);

	(void)state;
	flight_write(leader, SLICE("data: 1\n\n"));
	end_process(pid);
	flight_end(leader, &entry);
	assert_int_equal(files(), 1);
	assert_false(flight_sweep(&inside, clock_mono_ms() + FLIGHT_KEEP_MS - 5000));
	assert_int_equal(files(), 1);
	assert_true(flight_sweep(&inside, clock_mono_ms() + FLIGHT_KEEP_MS + 1));
	assert_int_equal(files(), 0);
}

static uint64_t dead_owner(void)
{
	pid_t pid = start(lead_one);
	uint64_t owner = 0;

	for (unsigned w = 0; w < FLIGHT_WAYS; w++)
		if (flight_state(inside.table->buckets[7].words[w]) == FLIGHT_FLYING)
			owner = inside.table->buckets[7].slots[w].owner;
	assert_true(flight_owner_lives(&inside, owner));
	end_process(pid);
	assert_false(flight_owner_lives(&inside, owner));
	assert_true(flight_sweep(&inside, clock_mono_ms()));
	return owner;
}

static void write_file(uint64_t table, unsigned slot, uint32_t generation, uint64_t owner)
{
	const struct flight_file_head head = { .owner = owner };
	char path[FLIGHT_PATH_MAX];
	int fd;

	snprintf(path, sizeof(path), "%s.%016" PRIx64 ".%u-%" PRIu32, inside.path, table, slot,
		generation);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	assert_int_equal(write(fd, &head, sizeof(head)), sizeof(head));
	close(fd);
}

static void files_that_nobody_knows_any_more_go_when_somebody_opens(void **state)
{
	uint64_t id = inside.table->head.id, dead = dead_owner();
	struct flight *leader = leads(1), *follower = follows(1);
	char path[FLIGHT_PATH_MAX];
	struct flights *own;

	(void)state;
	flight_write(leader, SLICE("data: 1\n\n"));
	write_file(id, 5, 999, inside.me); /* of a slot that is free */
	write_file(id + 2, 5, 7, dead);    /* of another table */
	write_file(id + 2, 5, 8, inside.me);
	assert_int_equal(files(), 4);
	assert_int_equal(flights_open(&own, &conf, &err), ERR_OK);
	assert_int_equal(files(), 2); /* what is in use, and what its living owner may use */
	flights_close(own);
	snprintf(path, sizeof(path), "%s.%016" PRIx64 ".5-8", inside.path, id + 2);
	assert_int_equal(unlink(path), 0);
	flight_end(leader, NULL);
	flight_end(follower, NULL);
}

static void a_lock_that_a_dead_process_holds_is_taken_from_it(void **state)
{
	struct flight *leader;

	(void)state;
	inside.table->buckets[7].lock = dead_owner();
	leader = leads(1);
	assert_int_equal(inside.table->buckets[7].lock, 0);
	flight_end(leader, NULL);
}

/* ---- the table ---- */

static void a_damaged_table_is_made_anew_and_who_uses_the_old_one_goes_on(void **state)
{
	struct flight *leader = leads(1), *follower = follows(1), *f;
	struct cache_entry entry = entry_of("data: 1\n\n");
	struct heard h = { .bytes = { .len = 0 } };
	struct cache_key key = key_of(1);
	struct flights *own;
	size_t events;

	(void)state;
	inside.table->head.abi++;
	assert_int_equal(flights_open(&own, &conf, &err), ERR_OK);
	assert_int_equal(flight_join(own, &key, true, &f), FLIGHT_LEADS);
	flight_end(f, NULL);
	flight_write(leader, SLICE("data: 1\n\n"));
	flights_close(own);
	/* Who opens sees the file of the old table, and lets it be: its leader lives. */
	assert_int_equal(flights_open(&own, &conf, &err), ERR_OK);
	flights_close(own);
	flight_end(leader, &entry);
	assert_int_equal(read_to_end(follower, &h, &events), FLIGHT_WHOLE);
	flight_end(follower, NULL);
	free_heard(&h);
}

static void a_table_that_cannot_be_made_is_an_error_that_says_why(void **state)
{
	struct flights *own;

	(void)state;
	inside.table->head.magic = 0;
	fault_name = "flights.allocate";
	assert_int_equal(flights_open(&own, &conf, &err), ERR_STORE);
	assert_non_null(strstr(err.message, "no room"));
	assert_null(own);
}

/* Whatever stands in it, nobody hangs, and nobody follows what is not there. */
static void a_table_full_of_garbage_is_mended(void **state)
{
	struct flight *leader;
	struct flights *own;

	(void)state;
	memset(inside.table->buckets, 0xA5, sizeof(inside.table->buckets));
	assert_int_equal(flights_open(&own, &conf, &err), ERR_OK);
	assert_int_equal(slots_in_use(), 0);
	flights_close(own);
	leader = leads(1);
	flight_end(leader, NULL);
}

/* ---- many at once ---- */

#define THREADS 16
#define ROUNDS  40

static struct together {
	pthread_barrier_t barrier;
	_Atomic unsigned led, followed, whole;
	_Atomic unsigned wrong;
} together;

static void fly(unsigned round)
{
	struct cache_key key = key_of(round);
	struct cache_entry entry = entry_of("data: 1\n\ndata: 2\n\n");
	struct heard h = { .bytes = { .len = 0 } };
	struct flight *f;
	size_t events;

	switch (flight_join(flights, &key, true, &f)) {
	case FLIGHT_ALONE:
		together.wrong++;
		return;
	case FLIGHT_LEADS:
		together.led++;
		pthread_barrier_wait(&together.barrier);
		flight_begin(f, &lab);
		flight_write(f, SLICE("data: 1\n\n"));
		flight_write(f, SLICE("data: 2\n\n"));
		break;
	case FLIGHT_FOLLOWS:
		together.followed++;
		pthread_barrier_wait(&together.barrier);
		if (read_to_end(f, &h, &events) != FLIGHT_WHOLE || events != 18 ||
			memcmp(h.bytes.data, "data: 1\n\ndata: 2\n\n", 18) != 0)
			together.wrong++;
		break;
	}
	flight_end(f, &entry);
	free_heard(&h);
}

static void *fly_rounds(void *ctx)
{
	(void)ctx;
	for (unsigned round = 0; round < ROUNDS; round++) {
		fly(round);
		pthread_barrier_wait(&together.barrier);
	}
	return NULL;
}

static void of_many_that_ask_at_once_one_leads(void **state)
{
	pthread_t threads[THREADS];

	(void)state;
	together = (struct together){ .led = 0 };
	pthread_barrier_init(&together.barrier, NULL, THREADS);
	for (unsigned i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, fly_rounds, NULL), 0);
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	pthread_barrier_destroy(&together.barrier);
	assert_int_equal(together.wrong, 0);
	assert_int_equal(together.led, ROUNDS);
	assert_int_equal(together.followed, ROUNDS * (THREADS - 1));
}

/* They come and go at any time: who follows hears all or is told, and nothing stays. */
static void *come_and_go(void *ctx)
{
	uint32_t random = (uint32_t)(uintptr_t)ctx * 2654435761u + 1;

	for (unsigned i = 0; i < 300; i++) {
		struct cache_key key = key_of(i % 3);
		struct cache_entry entry = entry_of("data: 1\n\ndata: 2\n\n");
		struct heard h = { .bytes = { .len = 0 } };
		enum flight_news news;
		enum flight_role role;
		struct flight *f;
		size_t events;

		random = random * 1664525u + 1013904223u;
		role = flight_join(flights, &key, random >> 28 != 0, &f);
		if (role == FLIGHT_LEADS) {
			flight_write(f, SLICE("data: 1\n\n"));
			if (random >> 27 & 1)
				usleep(200);
			flight_write(f, SLICE("data: 2\n\n"));
		} else if (role == FLIGHT_FOLLOWS && random >> 24 & 3) {
			news = read_to_end(f, &h, &events);
			together.wrong += news == FLIGHT_WHOLE && events != 18;
			together.whole += news == FLIGHT_WHOLE;
		}
		if (role != FLIGHT_ALONE)
			flight_end(f, role == FLIGHT_LEADS && random >> 20 & 7 ? &entry : NULL);
		free_heard(&h);
	}
	return NULL;
}

static void who_comes_and_goes_at_any_time_leaves_nothing(void **state)
{
	pthread_t threads[THREADS];

	(void)state;
	together = (struct together){ .led = 0 };
	for (uintptr_t i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, come_and_go, (void *)i), 0);
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(together.wrong, 0);
	assert_true(together.whole > 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(who_asks_first_leads_and_who_asks_meanwhile_follows),
		TEST(keys_that_differ_in_anything_share_nothing),
		TEST(who_may_not_lead_follows_or_flies_alone),
		TEST(a_follower_hears_the_beginning_what_comes_and_the_entry),
		TEST(an_answer_in_one_piece_says_who_made_it),
		TEST(a_leader_whom_nobody_follows_makes_no_file),
		TEST(an_answer_that_is_over_is_not_followed_any_more),
		TEST(followers_that_left_leave_nothing_behind),
		TEST(a_beginning_of_megabytes_is_parted_between_events),
		TEST(followers_of_one_who_fails_are_told_and_the_next_leads),
		TEST(what_came_before_a_failure_is_the_followers_if_it_has_looked),
		TEST(an_answer_that_is_too_long_is_shared_no_longer),
		TEST(a_disk_that_takes_nothing_makes_followers_ask_themselves),
		TEST(an_entry_that_cannot_be_written_is_no_whole_answer),
		TEST(a_file_that_is_damaged_anywhere_never_looks_whole),
		TEST(an_entry_cut_anywhere_is_none),
		TEST(a_bucket_that_is_full_lets_everybody_fly_alone),
		TEST(a_leaders_death_is_told_to_its_followers_at_once),
		TEST(whoever_joins_next_leads_in_the_place_of_a_dead_one),
		TEST(what_dead_processes_left_is_removed_by_who_opens),
		TEST(an_answer_that_a_dead_follower_does_not_read_goes_after_a_time),
		TEST(files_that_nobody_knows_any_more_go_when_somebody_opens),
		TEST(a_lock_that_a_dead_process_holds_is_taken_from_it),
		TEST(a_damaged_table_is_made_anew_and_who_uses_the_old_one_goes_on),
		TEST(a_table_that_cannot_be_made_is_an_error_that_says_why),
		TEST(a_table_full_of_garbage_is_mended),
		TEST(of_many_that_ask_at_once_one_leads),
		TEST(who_comes_and_goes_at_any_time_leaves_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
