/* Crowds ask the same at once from many processes while leaders and followers are killed: at random
 * instants, and at every named point of the protocol.
 *
 *   flights_storm [--rounds N] [--seed N] [--control]
 *
 * In every round some of 512 threads in 16 processes ask. Where nobody is killed, one of them makes
 * the call and all others have exactly its bytes. Where somebody is, everybody who lives has an
 * answer that is whole, of one call from its first to its last byte. Nobody hangs, and in the end
 * neither slots nor files are left. --control takes a lost leader's beginning for the answer: the
 * storm must then notice.
 *
 * It was also tried with a lock that is nobody's, with followers that are not counted or not kept
 * for, with slots whose generation stays the same, with keys that are not compared, and with dead
 * leaders that nobody notices: each was noticed within 300 rounds.
 */
#include "base/clock.h"
#include "store/fault.h"
#include "store/flights.h"
#include "store/flights_table.h"

#include <dirent.h>
#include <inttypes.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PROCESSES  16
#define THREADS    32
#define EVENTS     6
#define HANG_MS    20000
#define MAX_BYTES  ((size_t)8 << 20)
#define ASKS_MAX   100 /* of one thread in one round */
#define QUESTIONS  3   /* different ones in a round, at most */
#define BENCH      200000
#define ROUND_OVER UINT32_MAX /* there are no more */

static const char *const points[] = { "flights.claimed", "flights.ended", "flights.ending",
	"flights.file", "flights.freed", "flights.locked", "flights.write" };
#define POINTS (sizeof(points) / sizeof(points[0]))

enum round_kind {
	ROUND_CALM,     /* nobody dies */
	ROUND_POINT,    /* who comes to a point dies there */
	ROUND_LEADER,   /* the leader's process is killed some time */
	ROUND_SOMEBODY, /* any process is */
	ROUND_FAILS,    /* the leader's call fails, and its next one, too */
	ROUND_KINDS
};

struct lane {
	_Atomic uint32_t begun[THREADS]; /* futex: the round that this thread has to begin */
	_Atomic uint32_t ended[THREADS]; /* the last one that it has ended */
};

/* What the processes tell, in memory that survives them. */
struct shared {
	_Atomic uint32_t round;
	_Atomic uint32_t kind, active, big;
	_Atomic uint32_t questions; /* 1..QUESTIONS */
	_Atomic int point, countdown;
	_Atomic int64_t killed_ms; /* monotonic; 0 = nobody yet */
	_Atomic uint32_t leader;   /* process + 1 */
	_Atomic uint32_t calls, joined, fails;
	_Atomic uint64_t complaints, led, followed, alone, lost, whole, killed_at[POINTS];
	_Atomic int64_t slowest_ms; /* from a kill to the notice of a follower */
	struct lane lanes[PROCESSES];
};

static struct shared *shared;
static char home[] = "/tmp/tollgate-flights-XXXXXX";
static bool is_control;
static const struct flights_conf conf = { .home = home, .max_bytes = MAX_BYTES };
static struct flights *flights; /* of this process */
static unsigned process;

static void die(void)
{
	atomic_store(&shared->killed_ms, clock_mono_ms());
	kill(getpid(), SIGKILL);
}

/* Dawdles where others could come in between. */
static void dawdle(void)
{
	static _Thread_local uint32_t turn;

	if (++turn % 8 == 0)
		usleep(turn * 7 % 300);
}

int store_fault_point(const char *name)
{
	int point = shared ? atomic_load(&shared->point) : -1;

	if (shared && atomic_load(&shared->round) && strcmp(name, "flights.claimed") == 0)
		dawdle();
	if (point >= 0 && strcmp(name, points[point]) == 0 &&
		atomic_fetch_sub(&shared->countdown, 1) == 1) {
		atomic_fetch_add(&shared->killed_at[point], 1);
		die();
	}
	return 0;
}

static uint64_t next(uint64_t *s)
{
	*s ^= *s << 13;
	*s ^= *s >> 7;
	*s ^= *s << 17;
	return *s;
}

static void complain(uint32_t round, const char *what)
{
	if (atomic_fetch_add(&shared->complaints, 1) < 20 && !is_control)
		fprintf(stderr, "\nround %" PRIu32 ", process %u: %s\n", round, process, what);
}

/* ---- what is said ---- */

/* Event i of a call: nobody else's is like it. */
static void write_event(uint32_t call, unsigned i, struct buf *out)
{
	size_t filling = (call * 7919u + i * 104729u) % 300;

	if (atomic_load(&shared->big))
		filling *= 1000;
	buf_printf(out, "data: {\"call\":%" PRIu32 ",\"event\":%u,\"of\":%d,\"x\":\"", call, i,
		EVENTS);
	for (size_t n = 0; n < filling; n += 16)
		buf_printf(out, "%08" PRIx32 "%08x", call, i);
	buf_str(out, "\"}\n\n");
}

/* Those of one round are in one bucket. */
static struct cache_key key_of(uint32_t round, unsigned question)
{
	struct cache_key key = { .length = 1000, .crc = round };

	memcpy(key.hash, &round, sizeof(round));
	key.hash[20] = (uint8_t)question;
	return key;
}

/* ---- one who asks ---- */

struct asker {
	uint32_t round;
	unsigned question;
	uint64_t random;
	struct buf heard, expected;
};

static void lead(struct asker *a, struct flight *f)
{
	struct flight_who who = { .model = "lab/m", .provider = "lab" };
	enum round_kind kind = (enum round_kind)atomic_load(&shared->kind);
	uint32_t nth = atomic_fetch_add(&shared->calls, 1);
	uint32_t call = a->round << 8 | (nth & 0x3F) << 2 | a->question;
	struct cache_entry entry = { .form = CACHE_EVENTS, .completion_tokens = call };
	int64_t until_ms = clock_mono_ms() + HANG_MS;

	atomic_fetch_add(&shared->led, 1);
	atomic_store(&shared->leader, process + 1);
	buf_reset(&a->expected);
	flight_begin(f, &who);
	for (unsigned i = 0; i < EVENTS; i++) {
		size_t begin = a->expected.len;

		write_event(call, i, &a->expected);
		flight_write(f, slice_from(buf_slice(&a->expected), begin));
		if (next(&a->random) % 4 == 0)
			usleep((useconds_t)(next(&a->random) % 800));
		if (kind == ROUND_FAILS && i == EVENTS / 2 &&
			atomic_fetch_add(&shared->fails, 1) < 2) {
			flight_end(f, NULL);
			return;
		}
	}
	while (kind == ROUND_CALM && clock_mono_ms() < until_ms &&
		atomic_load(&shared->joined) + atomic_load(&shared->questions) <
			atomic_load(&shared->active))
		usleep(200);
	entry.body = buf_slice(&a->expected);
	flight_end(f, &entry);
	atomic_fetch_add(&shared->whole, 1);
}

/* Has it all of one call, in order? */
static void check_whole(struct asker *a, size_t events, const struct cache_entry *entry)
{
	buf_reset(&a->expected);
	for (unsigned i = 0; i < EVENTS; i++)
		write_event(entry->completion_tokens, i, &a->expected);
	if (entry->completion_tokens >> 8 != a->round ||
		(entry->completion_tokens & 3) != a->question)
		complain(a->round, "an answer to another question");
	else if (!slice_eq(slice_first(buf_slice(&a->heard), events), buf_slice(&a->expected)))
		complain(a->round, "the events are not the leader's");
	else if (!slice_eq(entry->body, buf_slice(&a->expected)))
		complain(a->round, "the entry is not the leader's");
}

/* True: it has an answer. */
static bool follow(struct asker *a, struct flight *f)
{
	struct cache_entry entry = { .completion_tokens = 0 };
	int64_t until_ms = clock_mono_ms() + HANG_MS, killed_ms, now_ms;
	struct flight_who who;
	size_t events;

	buf_reset(&a->heard);
	for (;;) {
		events = a->heard.len;
		switch (flight_read(f, &a->heard, &who, &entry, 1000)) {
		case FLIGHT_MORE:
			break;
		case FLIGHT_WHOLE:
			if (strcmp(who.model, "lab/m") != 0)
				complain(a->round, "it is not known who answered");
			check_whole(a, events, &entry);
			return true;
		case FLIGHT_LOST:
			killed_ms = atomic_load(&shared->killed_ms);
			now_ms = clock_mono_ms();
			if (killed_ms && now_ms - killed_ms > atomic_load(&shared->slowest_ms))
				atomic_store(&shared->slowest_ms, now_ms - killed_ms);
			atomic_fetch_add(&shared->lost, 1);
			if (atomic_load(&shared->kind) == ROUND_CALM)
				complain(a->round, "a leader that lives is lost");
			if (is_control && events)
				check_whole(a, events, &entry);
			return is_control;
		case FLIGHT_QUIET:
			if (clock_mono_ms() > until_ms) {
				complain(a->round, "a follower hangs");
				return true;
			}
		}
	}
}

static void ask(struct asker *a)
{
	struct cache_key key = key_of(a->round, a->question);

	for (unsigned asks = 0; asks < ASKS_MAX; asks++) {
		struct flight *f;
		bool done = true;

		switch (flight_join(flights, &key, true, &f)) {
		case FLIGHT_ALONE:
			atomic_fetch_add(&shared->alone, 1);
			atomic_fetch_add(&shared->joined, 1);
			if (atomic_load(&shared->kind) == ROUND_CALM)
				complain(a->round, "who could follow flies alone");
			return;
		case FLIGHT_LEADS:
			lead(a, f);
			return;
		case FLIGHT_FOLLOWS:
			atomic_fetch_add(&shared->followed, 1);
			atomic_fetch_add(&shared->joined, 1);
			done = follow(a, f);
			flight_end(f, NULL);
		}
		if (done) {
			atomic_fetch_add(&shared->whole, 1);
			return;
		}
	}
	complain(a->round, "nobody answers");
}

static void *ask_rounds(void *ctx)
{
	unsigned thread = (unsigned)(uintptr_t)ctx;
	_Atomic uint32_t *begun = &shared->lanes[process].begun[thread];
	_Atomic uint32_t *ended = &shared->lanes[process].ended[thread];
	struct asker a = { .heard = { .max_bytes = 4 * MAX_BYTES },
		.expected = { .max_bytes = 4 * MAX_BYTES } };

	for (;;) {
		uint32_t round = atomic_load(begun);

		if (atomic_load(ended) == round) {
			syscall(SYS_futex, begun, FUTEX_WAIT, round, NULL, NULL, 0);
			continue;
		}
		if (round == ROUND_OVER)
			break;
		a.round = round;
		a.question = (thread + process) % atomic_load(&shared->questions);
		a.random = (uint64_t)round << 20 | (uint64_t)process << 8 | (thread + 1);
		ask(&a);
		atomic_store(ended, round);
	}
	buf_fini(&a.heard);
	buf_fini(&a.expected);
	return NULL;
}

/* ---- processes ---- */

static pid_t pids[PROCESSES];

static void start(unsigned which)
{
	pthread_t threads[THREADS];
	struct err e;

	for (unsigned t = 0; t < THREADS; t++)
		atomic_store(&shared->lanes[which].ended[t],
			atomic_load(&shared->lanes[which].begun[t]));
	pids[which] = fork();
	if (pids[which])
		return;
	process = which;
	if (flights_open(&flights, &conf, &e)) {
		complain(0, e.message);
		_exit(1);
	}
	for (uintptr_t t = 0; t < THREADS; t++)
		if (pthread_create(&threads[t], NULL, ask_rounds, (void *)t))
			_exit(1);
	for (unsigned t = 0; t < THREADS; t++)
		pthread_join(threads[t], NULL);
	flights_close(flights);
	_exit(0);
}

static bool has_ended(unsigned which)
{
	struct lane *l = &shared->lanes[which];

	for (unsigned t = 0; t < THREADS; t++)
		if (atomic_load(&l->ended[t]) != atomic_load(&l->begun[t]))
			return false;
	return true;
}

/* Lets so many threads begin the round, spread over all processes. */
static void begin_round(uint32_t round, unsigned threads)
{
	atomic_store(&shared->round, round);
	for (unsigned i = 0; i < threads; i++)
		atomic_store(&shared->lanes[i % PROCESSES].begun[i / PROCESSES], round);
	for (unsigned i = 0; i < threads; i++)
		syscall(SYS_futex, &shared->lanes[i % PROCESSES].begun[i / PROCESSES], FUTEX_WAKE,
			1, NULL, NULL, 0);
}

/* Notes who has died; a process that should not have is a complaint. */
static void reap(bool alive[PROCESSES])
{
	int status;

	for (unsigned i = 0; i < PROCESSES; i++)
		if (alive[i] && waitpid(pids[i], &status, WNOHANG) == pids[i]) {
			alive[i] = false;
			if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL)
				complain(atomic_load(&shared->round), "a process ended by itself");
		}
}

static void kill_somebody(enum round_kind kind, uint64_t *random, int64_t since_ms)
{
	uint32_t leader = atomic_load(&shared->leader);
	unsigned victim = kind == ROUND_LEADER ? leader - 1 : (unsigned)(next(random) % PROCESSES);

	if (atomic_load(&shared->killed_ms) || clock_mono_ms() < since_ms ||
		(kind == ROUND_LEADER && !leader))
		return;
	usleep((useconds_t)(next(random) % 3000));
	atomic_store(&shared->killed_ms, clock_mono_ms());
	kill(pids[victim], SIGKILL);
}

static void run_round(uint32_t round, uint64_t *random)
{
	enum round_kind kind = (enum round_kind)(round % ROUND_KINDS);
	int64_t begun_ms = clock_mono_ms();
	int64_t kill_ms = begun_ms + (int64_t)(next(random) % 6);
	bool alive[PROCESSES], ended = false;

	atomic_store(&shared->kind, kind);
	atomic_store(&shared->big, round % 37 == 0);
	atomic_store(&shared->active,
		round % 50 < 2 ? PROCESSES * THREADS : (uint32_t)(PROCESSES + next(random) % 100));
	atomic_store(&shared->questions, 1 + (uint32_t)(next(random) % QUESTIONS));
	atomic_store(&shared->countdown, 1 + (int)(next(random) % 3));
	atomic_store(&shared->point, kind == ROUND_POINT ? (int)(next(random) % POINTS) : -1);
	atomic_store(&shared->killed_ms, 0);
	atomic_store(&shared->leader, 0);
	atomic_store(&shared->calls, 0);
	atomic_store(&shared->joined, 0);
	atomic_store(&shared->fails, 0);
	memset(alive, true, sizeof(alive));
	begin_round(round, atomic_load(&shared->active));
	while (!ended) {
		usleep(100);
		if (kind == ROUND_LEADER || kind == ROUND_SOMEBODY)
			kill_somebody(kind, random, kill_ms);
		reap(alive);
		ended = true;
		for (unsigned i = 0; i < PROCESSES; i++)
			ended &= !alive[i] || has_ended(i);
		if (!ended && clock_mono_ms() > begun_ms + 2 * HANG_MS) {
			complain(round, "the round hangs");
			exit(1);
		}
	}
	atomic_store(&shared->point, -1);
	/* It may have been killed when it had ended the round. */
	if (atomic_load(&shared->killed_ms))
		usleep(1000);
	reap(alive);
	if (kind == ROUND_CALM && atomic_load(&shared->calls) != atomic_load(&shared->questions))
		complain(round, "not one call for each question");
	for (unsigned i = 0; i < PROCESSES; i++)
		if (!alive[i])
			start(i);
}

/* ---- the end ---- */

static unsigned left(const struct flight_map *m)
{
	unsigned n = 0;
	const char *base = strrchr(m->path, '/') + 1;
	char folder[HOME_PATH_MAX];
	struct dirent *entry;
	DIR *d;

	for (unsigned b = 0; b < FLIGHT_BUCKETS; b++)
		for (unsigned w = 0; w < FLIGHT_WAYS; w++)
			n += flight_state(m->table->buckets[b].words[w]) != FLIGHT_FREE;
	snprintf(folder, sizeof(folder), "%.*s", (int)(base - m->path), m->path);
	d = opendir(folder);
	while (d && (entry = readdir(d)))
		n += strncmp(entry->d_name, base, strlen(base)) == 0 &&
		     entry->d_name[strlen(base)] == '.';
	if (d)
		closedir(d);
	return n;
}

static int64_t cpu_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* Processor time, in nanoseconds, of a request that nobody else makes. */
static int64_t measure(bool writes)
{
	struct flight_who who = { .model = "lab/m", .provider = "lab" };
	static char event[202];
	int64_t begun_ns = cpu_ns();

	memset(event, 'x', sizeof(event));
	for (uint32_t i = 0; i < BENCH; i++) {
		struct cache_key key = key_of(i, 0);
		struct flight *f;

		if (flight_join(flights, &key, true, &f) != FLIGHT_LEADS)
			return -1;
		if (writes) {
			flight_begin(f, &who);
			flight_write(f, (struct slice){ event, sizeof(event) });
		}
		flight_end(f, NULL);
	}
	return (cpu_ns() - begun_ns) / BENCH;
}

static void end_all(void)
{
	struct flight_map m;
	char path[HOME_PATH_MAX];

	begin_round(ROUND_OVER, PROCESSES * THREADS);
	for (unsigned i = 0; i < PROCESSES; i++)
		waitpid(pids[i], NULL, 0);
	if (flight_map_open(&m, home, NULL)) {
		complain(0, "the table cannot be opened in the end");
		return;
	}
	/* What dead followers did not read goes after a time. */
	(void)flight_sweep(&m, clock_mono_ms() + FLIGHT_KEEP_MS + 1);
	if (left(&m))
		complain(0, "slots or files are left");
	unlink(m.path);
	flight_map_close(&m);
	snprintf(path, sizeof(path), "%s/flights.lock", home);
	unlink(path);
	rmdir(home);
}

static int64_t number(const char *text)
{
	int64_t n;

	if (!text || !str_int(slice_of(text), 1, INT64_MAX, &n)) {
		fprintf(stderr, "usage: flights_storm [--rounds N] [--seed N] [--control]\n");
		exit(2);
	}
	return n;
}

int main(int argc, char **argv)
{
	uint64_t random = 88172645463325252ull, rounds = 1000, complaints;
	int64_t begun_ms = clock_mono_ms(), ns, ns_writing;
	struct err e;

	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--control") == 0)
			is_control = true;
		else if (strcmp(argv[i], "--rounds") == 0)
			rounds = (uint64_t)number(argv[++i]);
		else if (strcmp(argv[i], "--seed") == 0)
			random ^= (uint64_t)number(argv[++i]) * 0x9E3779B97F4A7C15ull;
		else
			(void)number(NULL);
	}
	shared = mmap(
		NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED || !mkdtemp(home)) {
		perror("flights_storm");
		return 1;
	}
	atomic_store(&shared->point, -1);
	if (flights_open(&flights, &conf, &e)) {
		fprintf(stderr, "%s\n", e.message);
		return 1;
	}
	ns = measure(false);
	ns_writing = measure(true);
	flights_close(flights);
	for (unsigned i = 0; i < PROCESSES; i++)
		start(i);
	for (uint32_t round = 1; round <= rounds; round++)
		run_round(round, &random);
	end_all();
	complaints = atomic_load(&shared->complaints);
	printf("%s%" PRIu64 " rounds in %.1f s: %" PRIu64 " calls, %" PRIu64 " followed, %" PRIu64
	       " lost, %" PRIu64 " alone, %" PRIu64 " answers whole; a death was noticed after at "
	       "most %" PRId64 " ms\n",
		is_control ? "control: " : "", rounds, (double)(clock_mono_ms() - begun_ms) / 1000,
		atomic_load(&shared->led), atomic_load(&shared->followed),
		atomic_load(&shared->lost), atomic_load(&shared->alone),
		atomic_load(&shared->whole), atomic_load(&shared->slowest_ms));
	printf("a request that nobody else makes: %" PRId64 " ns, with one event %" PRId64 " ns\n",
		ns, ns_writing);
	for (unsigned i = 0; i < POINTS; i++)
		printf("  %-16s %" PRIu64 " died\n", points[i], atomic_load(&shared->killed_at[i]));
	printf("%" PRIu64 " complaints\n", complaints);
	return is_control ? complaints == 0 : complaints != 0;
}
