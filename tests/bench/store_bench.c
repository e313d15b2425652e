/* What the ledger costs: a reservation and its settle, alone and with many processes, and from two
 * hosts with a Redis; making the table from a million lines; bytes on the disk for a million
 * requests.
 *
 *   store_bench [--quick]
 *
 * Prints lines of a Markdown table. Processor time is that of the processes themselves, so
 * neighbours disturb it little; latencies are another matter.
 */
#include "base/clock.h"
#include "base/crypto.h"
#include "store/archive.h"
#include "store/books.h"
#include "store/fold.h"
#include "store/health.h"
#include "store/keys.h"
#include "store/ledger_redis.h"
#include "tests/unit/redis_rig.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PROCESSES 64
#define CLASSES   200 /* of latency, each 10 % wider */
#define LIMITS    8

struct shared {
	_Atomic uint64_t done, cpu_us, busy;
	_Atomic uint32_t classes[CLASSES];
	volatile int64_t until_us;
};

static struct shared *shared;
static char home[64];
static char table[HOME_PATH_MAX];
static const char *redis_url; /* NULL = one host without */

static void die(const char *what, const struct err *e)
{
	fprintf(stderr, "%s: %s\n", what, e->message);
	exit(1);
}

static int64_t cpu_us(void)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	return (u.ru_utime.tv_sec + u.ru_stime.tv_sec) * INT64_C(1000000) + u.ru_utime.tv_usec +
	       u.ru_stime.tv_usec;
}

static struct ledger *open_ledger(void)
{
	struct ledger_conf conf = { .home = home, .sync_ms = 100, .keep = LEDGER_DROP };
	const struct redis_conf at = {
		.url = redis_url, .prefix = "bench", .ca_file = "", .timeout_ms = 5000
	};
	struct ledger *l;
	struct err e;

	if (redis_url && redis_open(&conf.redis, &at, &e))
		die("redis", &e);
	if (ledger_open(&l, &conf, ledger_now(), &e))
		die("open", &e);
	memcpy(table, l->hot.path, sizeof(table));
	return l;
}

static void make_home(void)
{
	strcpy(home, "/tmp/tollgate-bench-XXXXXX");
	if (!mkdtemp(home))
		exit(1);
}

static void empty(const char *folder)
{
	DIR *d = opendir(folder);
	struct dirent *entry;
	char path[HOME_PATH_MAX];

	while (d && (entry = readdir(d)))
		if (entry->d_name[0] != '.' &&
			home_path(folder, entry->d_name, path, NULL) == ERR_OK && unlink(path) != 0)
			empty(path);
	if (d)
		closedir(d);
	rmdir(folder);
}

static void drop_home(void)
{
	unlink(table);
	empty(home);
}

static uint64_t mix(uint64_t x)
{
	x ^= x >> 33;
	x *= UINT64_C(0xFF51AFD7ED558CCD);
	return x ^ x >> 29;
}

/* A request as it comes: key, user, organisation; figures that do not compress too well. */
static struct record_settle made_up(uint64_t n)
{
	uint64_t r = mix(n), key = 1 + r % 1000;

	return (struct record_settle){ .key = mix(key),
		.user = mix(1 + key / 2),
		.org = mix(1 + key / 10),
		.provider = mix(1 + r % 6),
		.model = mix(100 + r % 12),
		.asked_model = mix(100 + r % 12),
		.cost_microusd = (int64_t)(r >> 20) % 20000,
		.upstream_microusd = (int64_t)(r >> 20) % 20000,
		.tokens = { (uint32_t)(r >> 8) % 20000, (uint32_t)(r >> 30) % 8000, 0, 0,
			(uint32_t)(r >> 40) % 2000, 0 },
		.latency_ms = 300 + (uint32_t)(r >> 33) % 20000,
		.ttft_ms = 200 + (uint32_t)(r >> 13) % 1500,
		.generation_ms = (uint32_t)(r >> 23) % 15000,
		.price_version = 7,
		.status = 200,
		.usage_state = RECORD_USAGE_REPORTED,
		.attempts = 1 };
}

static void one_request(struct ledger *l, uint64_t n, struct ledger_now now)
{
	struct record_settle what = made_up(n);
	uint64_t key = account_subject(ACCOUNT_KEY, what.key);
	uint64_t org = account_subject(ACCOUNT_ORG, what.org);
	struct ledger_limit limits[LIMITS] = {
		{ .subject = key, .kind = LEDGER_SPEND_MONTH, .ceiling = INT64_MAX },
		{ .subject = key, .kind = LEDGER_REQUESTS_MINUTE, .ceiling = METER_MAX },
		{ .subject = key, .kind = LEDGER_TOKENS_MINUTE, .ceiling = METER_MAX },
		{ .subject = key, .kind = LEDGER_CONCURRENT, .ceiling = 10000 },
		{ .subject = account_member(what.org, what.user),
			.kind = LEDGER_SPEND_DAY,
			.ceiling = INT64_MAX },
		{ .subject = org, .kind = LEDGER_BALANCE, .ceiling = INT64_MAX },
		{ .subject = org, .kind = LEDGER_REQUESTS_MINUTE, .ceiling = METER_MAX },
		{ .subject = org, .kind = LEDGER_CONCURRENT, .ceiling = 10000 },
	};
	struct ledger_ask ask = { .id = { { mix(n) | 1, mix(~n) } },
		.microusd = 50000,
		.tokens = 30000,
		.deadline_ms = now.mono_ms + 60000,
		.limits = limits,
		.limits_n = LIMITS };
	struct ledger_refusal refusal;
	struct ledger_lease lease;
	enum ledger_settled how;
	struct err e;

	enum err_code rc = ledger_reserve(l, now, &ask, &lease, &refusal, &e);

	while (rc == ERR_BUSY) {
		atomic_fetch_add(&shared->busy, 1);
		rc = ledger_reserve(l, ledger_now(), &ask, &lease, &refusal, &e);
	}
	if (rc)
		die("reserve", &e);
	if (ledger_settle(l, now, &lease, &what, &how, &e))
		die("settle", &e);
}

static void alone(uint64_t n)
{
	struct ledger *l = open_ledger();
	int64_t from, took;

	for (uint64_t i = 0; i < n / 10; i++)
		one_request(l, i, ledger_now());
	from = cpu_us();
	for (uint64_t i = n; i < 2 * n; i++)
		one_request(l, i, ledger_now());
	took = cpu_us() - from;
	printf("| reserve (%d limits) + settle, one process | %.2f us CPU |\n", LIMITS,
		(double)took / (double)n);
	from = cpu_us();
	for (uint64_t i = 2 * n; i < 3 * n; i++) {
		one_request(l, i, ledger_now());
		(void)ledger_tick(l, ledger_now(), NULL);
	}
	printf("| the same with sync, fold and tick | %.2f us CPU |\n",
		(double)(cpu_us() - from) / (double)n);
	ledger_close(l);
}

/* All that the store does for one request: who it is, the reservation, its settle, the upkeep. */
static void whole(uint64_t n)
{
	struct ledger *l = open_ledger();
	struct key_info want = { .requests_per_minute = KEY_RATE_MAX }, key;
	struct people_user user = { .id = "ana" }, made;
	char text[KEY_TEXT_SIZE];
	enum keys_verdict verdict;
	struct identity who;
	struct keys *keys;
	int64_t from;
	struct err e;

	memcpy(want.name, "bench", 6);
	memcpy(want.user, "ana", 4);
	if (keys_open(&keys, home, "", &e) ||
		people_user_create(keys_people(keys), &user, clock_wall_ms(), &made, &e) ||
		keys_create(keys, &want, clock_wall_ms(), text, &key, &e))
		die("key", &e);
	from = cpu_us();
	for (uint64_t i = 3 * n; i < 4 * n; i++) {
		if (keys_check(keys, slice_of(text), &verdict, &key, &e) || verdict != KEYS_VALID ||
			people_identify(keys_people(keys), &key, (struct slice){ "", 0 }, &who, &e))
			die("check", &e);
		identity_fini(&who);
		one_request(l, i, ledger_now());
		(void)ledger_tick(l, ledger_now(), NULL);
	}
	printf("| the same with authentication and identity: all of it for a request | %.2f us CPU "
	       "|\n",
		(double)(cpu_us() - from) / (double)n);
	keys_close(keys);
	ledger_close(l);
}

/* What asking one provider costs beyond that: is it in rotation, may it be asked now, what came. */
static void health(uint64_t n)
{
	static const struct health_conf conf = { .interval_ms = 30000, .percent = 50, .min = 5 };
	static const struct health_report good = { .outcome = HEALTH_OK, .ttft_ms = 300 };
	const struct slice slug = SLICE("anthropic"), model = SLICE("claude-sonnet-4-5");
	struct ledger *l = open_ledger();
	struct health *h = ledger_health(l);
	uint64_t name = health_name(slug, model);
	int64_t from = cpu_us(), now_ms = clock_mono_ms(), wait_ms;

	for (uint64_t i = 0; i < 10 * n; i++)
		if (health_look(h, name, &conf, now_ms).wait_ms ||
			health_enter(h, name, &conf, now_ms, &wait_ms) != HEALTH_GO ||
			health_tell(h, slug, model, &conf, now_ms, &good, NULL) != HEALTH_CLOSED)
			exit(1);
	printf("| a provider's health: look, enter, tell | %.2f us CPU |\n",
		(double)(cpu_us() - from) / (double)(10 * n));
	ledger_close(l);
}

static void note(int64_t us)
{
	int class = us <= 1 ? 0 : (int)(log((double)us) / log(1.1));

	atomic_fetch_add(&shared->classes[class < CLASSES ? class : CLASSES - 1], 1);
}

static int64_t at_most(double share)
{
	uint64_t all = 0, seen = 0;

	for (int i = 0; i < CLASSES; i++)
		all += shared->classes[i];
	for (int i = 0; i < CLASSES; i++) {
		seen += shared->classes[i];
		if ((double)seen >= share * (double)all)
			return (int64_t)pow(1.1, i + 1);
	}
	return 0;
}

/* per_second 0: as fast as it goes; else so many in all, at random moments. */
static void worker(int w, int processes, double per_second)
{
	struct ledger *l = open_ledger();
	uint64_t n = (uint64_t)(w + 1) << 40, r = mix(n);
	int64_t next_us = clock_mono_us(), from = cpu_us();

	while (clock_mono_us() < shared->until_us) {
		int64_t began;

		if (per_second > 0) {
			r = mix(r + 1);
			next_us += (int64_t)(-log(((double)(r >> 11) + 1) / 9007199254740993.0) *
					     1e6 * processes / per_second);
			if (next_us > clock_mono_us())
				usleep((useconds_t)(next_us - clock_mono_us()));
		}
		began = clock_mono_us();
		one_request(l, n++, ledger_now());
		note(clock_mono_us() - began);
		(void)ledger_tick(l, ledger_now(), NULL);
		atomic_fetch_add(&shared->done, 1);
	}
	atomic_fetch_add(&shared->cpu_us, (uint64_t)(cpu_us() - from));
	_exit(0);
}

static void together(int processes, double per_second, int64_t ms)
{
	memset(shared, 0, sizeof(*shared));
	shared->until_us = clock_mono_us() + ms * 1000;
	fflush(NULL);
	for (int w = 0; w < processes; w++)
		if (fork() == 0)
			worker(w, processes, per_second);
	while (wait(NULL) > 0)
		continue;
	if (per_second > 0)
		printf("| %d processes, %.0f requests/s offered", processes, per_second);
	else
		printf("| %d processes, as fast as it goes", processes);
	printf(" | %.0f/s, p50 %" PRId64 " us, p99 %" PRId64 " us, %.1f us CPU each, %" PRIu64
	       " times busy |\n",
		(double)shared->done * 1000.0 / (double)ms, at_most(0.5), at_most(0.99),
		(double)shared->cpu_us / (double)shared->done, atomic_load(&shared->busy));
}

/* What INFO says behind name:, of one figure. */
static double told(const struct redis_rig *rig, const char *section, const char *name)
{
	char said[16384], *at;

	if (!redis_rig_ask(rig, section, said, sizeof(said)))
		return 0;
	at = strstr(said, name);
	return at ? strtod(at + strlen(name), NULL) : 0;
}

static double server_us(const struct redis_rig *rig)
{
	return 1e6 *
	       (told(rig, "INFO cpu", "used_cpu_user:") + told(rig, "INFO cpu", "used_cpu_sys:"));
}

/* Two hosts are two homes; the processes take turns. */
static void two_hosts(int processes, double per_second, int64_t ms)
{
	struct redis_rig rig = { .aof = "everysec" };
	char homes[2][64], tables[2][HOME_PATH_MAX];
	double from_us, calls;

	if (!redis_rig_start(&rig))
		return;
	redis_url = rig.url;
	for (int h = 0; h < 2; h++) {
		make_home();
		ledger_close(open_ledger());
		memcpy(homes[h], home, sizeof(home));
		memcpy(tables[h], table, sizeof(table));
	}
	memset(shared, 0, sizeof(*shared));
	from_us = server_us(&rig);
	shared->until_us = clock_mono_us() + ms * 1000;
	fflush(NULL);
	for (int w = 0; w < processes; w++)
		if (fork() == 0) {
			memcpy(home, homes[w % 2], sizeof(home));
			worker(w, processes, per_second);
		}
	for (int w = 0; w < processes; w++)
		wait(NULL);
	calls = told(&rig, "INFO commandstats", "cmdstat_evalsha:calls=");
	if (per_second > 0)
		printf("| two hosts with Redis, %d processes, %.0f requests/s offered", processes,
			per_second);
	else
		printf("| two hosts with Redis, %d processes, as fast as it goes", processes);
	printf(" | %.0f/s, p50 %" PRId64 " us, p99 %" PRId64
	       " us, %.1f us CPU here and %.1f us in Redis each, %.2f calls each |\n",
		(double)shared->done * 1000.0 / (double)ms, at_most(0.5), at_most(0.99),
		(double)shared->cpu_us / (double)shared->done,
		(server_us(&rig) - from_us) / (double)shared->done, calls / (double)shared->done);
	redis_url = NULL;
	for (int h = 0; h < 2; h++) {
		memcpy(home, homes[h], sizeof(home));
		memcpy(table, tables[h], sizeof(table));
		drop_home();
	}
	redis_rig_stop(&rig);
}

static void recovery(uint64_t lines)
{
	struct ledger *l = open_ledger();
	int64_t wall_ms = clock_wall_ms(), from;
	struct account a;
	struct err e;
	bool unsynced;

	for (uint64_t i = 0; i < lines; i++) {
		struct record r = {
			.type = RECORD_SETTLE, .id = { mix(i) | 1, mix(~i) }, .wall_ms = wall_ms
		};

		r.settle = made_up(i);
		if (journal_append(&l->journal, &l->hot.head->segment, &r, false, &unsynced, &e))
			die("append", &e);
	}
	ledger_close(l);
	unlink(table);
	from = clock_mono_us();
	l = open_ledger();
	if (ledger_account(l, account_subject(ACCOUNT_PROVIDER, made_up(0).provider), &a, &e) ||
		a.requests == 0)
		die("recovery", &e);
	printf("| table from %" PRIu64 " lines | %.2f s |\n", lines,
		(double)(clock_mono_us() - from) / 1e6);
	from = clock_mono_us();
	if (fold_run(l, ledger_now(), 0, &e))
		die("fold", &e);
	printf("| fold of %" PRIu64 " lines | %.2f s |\n", lines,
		(double)(clock_mono_us() - from) / 1e6);
	from = clock_mono_us();
	if (archive_put(&l->journal, 1, &e))
		die("archive", &e);
	printf("| compressing them | %.2f s |\n", (double)(clock_mono_us() - from) / 1e6);
	ledger_close(l);
}

static int64_t size_of(const char *name)
{
	char path[HOME_PATH_MAX];
	struct stat st;

	snprintf(path, sizeof(path), "%s/%s", home, name);
	return stat(path, &st) == 0 ? st.st_size : 0;
}

static void sizes(uint64_t lines)
{
	char name[USAGE_FILE_SIZE];
	double million = 1e6 / (double)lines;

	usage_file(account_day(clock_wall_ms()), name);
	printf("| a million requests in the journal | %.1f MB |\n", 1e6 * RECORD_BYTES / 1e6);
	printf("| a million requests compressed | %.1f MB (%.0f bytes each) |\n",
		(double)size_of("archive/journal.00000001.z") * million / 1e6,
		(double)size_of("archive/journal.00000001.z") / (double)lines);
	printf("| ledger.gdbm, 1,000 keys | %.2f MB |\n", (double)size_of(CHECKPOINT_LEDGER) / 1e6);
	printf("| a day's usage, %s | %.2f MB |\n", "every key with up to 12 models of 6 providers",
		(double)size_of(name) / 1e6);
}

/* Why a record has 256 bytes and not 128: what the other half costs. */
static void record_sizes(uint64_t n)
{
	static const size_t bytes[] = { 128, 256 };
	struct record r[2] = { { 0 } };
	char path[128];

	for (size_t k = 0; k < 2; k++) {
		int64_t from;
		int fd;

		snprintf(path, sizeof(path), "%s/size", home);
		fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND, 0600);
		from = cpu_us();
		for (uint64_t i = 0; i < n; i++) {
			record_seal(&r[0]);
			if (k == 1)
				record_seal(&r[1]);
			if (write(fd, r, bytes[k]) < 0)
				exit(1);
		}
		printf("| append of %zu bytes | %.2f us CPU |\n", bytes[k],
			(double)(cpu_us() - from) / (double)n);
		close(fd);
		unlink(path);
	}
}

int main(int argc, char **argv)
{
	static const int processes[] = { 1, 4, 16, 64 };
	bool quick = argc > 1 && strcmp(argv[1], "--quick") == 0;
	uint64_t n = quick ? 20000 : 200000, lines = quick ? 50000 : 1000000;
	int64_t ms = quick ? 300 : 3000;

	shared = mmap(
		NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED)
		return 1;
	printf("| the ledger | |\n|---|---|\n");
	make_home();
	alone(n);
	whole(n);
	health(n);
	for (int i = 0; i < 4; i++)
		together(processes[i], 0, ms);
	for (int i = 0; i < 4; i++)
		together(processes[i], 2000, ms);
	drop_home();
	two_hosts(2, 0, ms);
	two_hosts(8, 0, ms);
	two_hosts(8, 1000, ms);
	make_home();
	recovery(lines);
	sizes(lines);
	record_sizes(n);
	drop_home();
	return 0;
}
