/* Three hosts with a Redis, and everything that can happen to it: killed and started again,
 *hanging, all connections cut, a replica that takes over (in good order, or because the master
 *died), a host that cannot reach it, processes killed at any moment.
 *
 *	ledger_redis_storm [--rounds N] [--seed N] [--control]
 *
 * After each round the hosts tell what is left to tell, and then Redis must show what the journals
 * of all hosts sum up to, to the microdollar; every settle that was acknowledged is in a journal
 * once; and nothing is held any more. Each round begins with what the last one left.
 *
 * --control takes the ids of some requests out of Redis and has the journals told again, so that
 * these count twice: that must be noticed.
 */
#include "tests/unit/redis_rig.h"

#include "store/books.h"
#include "store/fault.h"
#include "store/fold.h"
#include "store/outbox.h"
#include "store/tally.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/mman.h>

#define HOSTS     3
#define WORKERS   6 /* two on each host */
#define KEYS      24
#define CREDIT    INT64_C(1000000000)
#define LEASE_MS  2500
#define ROUND_MS  6000
#define IDS       (1 << 20)      /* of one worker, in all rounds */
#define MARK      UINT64_C(0x57) /* second half of an id: its last byte */
#define FOLD_SIZE (UINT64_C(64) << 10)

enum fate { NOT_SETTLED, TRIED, ACKED };

struct shared {
	volatile uint64_t requests[WORKERS];
	volatile uint8_t fates[WORKERS][IDS];
	_Atomic uint64_t admitted, refused, away, settled, deferred, credits;
	_Atomic uint64_t complaints, killed_here, sent;
	volatile uint64_t is_over;
};

struct storm {
	struct redis_rig rigs[2];
	int master;
	bool has_replica;
	pid_t pids[WORKERS];
	uint64_t random, failures;
	uint64_t worker_kills, redis_kills, pauses, cuts, failovers, takeovers, partitions;
};

static struct shared *shared;
static char top[] = "/tmp/tollgate-redis-storm-XXXXXX";
static const char *const points[] = { "ledger.written", "ledger.claimed", "ledger.releasing",
	"ledger_redis.asking", "ledger_redis.asked", "outbox.asked", "outbox.sent",
	"credit.written", "journal.written", "fold.created", "fold.renamed" };
#define POINTS (sizeof(points) / sizeof(points[0]))
static const char *target; /* the point this process dies at */
static _Atomic int countdown;

int store_fault_point(const char *name)
{
	if (target && strcmp(name, target) == 0 && atomic_fetch_sub(&countdown, 1) == 1) {
		atomic_fetch_add(&shared->killed_here, 1);
		kill(getpid(), SIGKILL);
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

static void complain(const char *what, const struct err *e)
{
	fprintf(stderr, "\n%ld: %s: %s\n", (long)getpid(), what, e->message);
	atomic_fetch_add(&shared->complaints, 1);
}

/* ---- a host ---- */

/* A host finds Redis by a link of its own: where it points is where the master is, and without
 * it the host is cut off. */
static void link_path(int host, char out[128])
{
	snprintf(out, 128, "%s/redis%d", top, host);
}

static struct ledger *open_host(int host, struct redis **redis)
{
	char path[128], url[160], home[128];
	const struct redis_conf rc = {
		.url = url, .prefix = "storm", .ca_file = "", .timeout_ms = 300
	};
	struct ledger_conf lc = { .home = home, .sync_ms = 100 };
	struct ledger *l = NULL;
	struct err e;

	link_path(host, path);
	snprintf(url, sizeof(url), "unix://%s", path);
	snprintf(home, sizeof(home), "%s/home%d", top, host);
	if (redis_open(redis, &rc, &e)) {
		complain("redis", &e);
		return NULL;
	}
	lc.redis = *redis;
	if (ledger_open(&l, &lc, ledger_now(), &e))
		complain("open", &e);
	return l;
}

static struct record_settle made_up(uint64_t *s, int64_t most)
{
	uint64_t key = 1 + next(s) % KEYS;

	return (struct record_settle){ .key = key,
		.user = 1 + key % 5,
		.org = key % 3 == 0 ? 1 + key % 2 : 0,
		.provider = 1 + next(s) % 3,
		.model = 1 + next(s) % 4,
		.cost_microusd = (int64_t)(next(s) % (uint64_t)most),
		.tokens = { 100, 10, 0, 0, 50, 5 },
		.latency_ms = (uint32_t)(next(s) % 5000),
		.ttft_ms = (uint32_t)(1 + next(s) % 900),
		.status = next(s) % 20 ? 200 : 502,
		.usage_state = RECORD_USAGE_REPORTED,
		.attempts = 1 };
}

struct thread {
	struct ledger *l;
	int worker;
	uint64_t random;
};

static void settle(
	struct thread *t, uint64_t number, struct ledger_lease *lease, struct record_settle *what)
{
	enum ledger_settled how;
	struct err e;

	shared->fates[t->worker][number] = TRIED;
	if (ledger_settle(t->l, ledger_now(), lease, what, &how, &e)) {
		complain("settle", &e);
		return;
	}
	if (how == LEDGER_ALREADY)
		atomic_fetch_add(&shared->complaints, 1);
	shared->fates[t->worker][number] = ACKED;
	atomic_fetch_add(how == LEDGER_DEFERRED ? &shared->deferred : &shared->settled, 1);
}

static void request(struct thread *t)
{
	int64_t most = 1 + (int64_t)(next(&t->random) % 5000);
	struct record_settle what = made_up(&t->random, most);
	uint64_t payer = what.org ? account_subject(ACCOUNT_ORG, what.org)
				  : account_subject(ACCOUNT_USER, what.user);
	struct ledger_limit limits[] = {
		{ .subject = account_subject(ACCOUNT_KEY, what.key),
			.kind = LEDGER_SPEND_MONTH,
			.ceiling = CREDIT },
		{ .subject = account_subject(ACCOUNT_KEY, what.key),
			.kind = LEDGER_CONCURRENT,
			.ceiling = 1000 },
		{ .subject = account_subject(ACCOUNT_KEY, what.key),
			.kind = LEDGER_TOKENS_MINUTE,
			.ceiling = METER_MAX },
		{ .subject = payer, .kind = LEDGER_BALANCE },
	};
	struct ledger_now now = ledger_now();
	uint64_t number = shared->requests[t->worker] + 1;
	struct ledger_ask ask = { .id = { { (uint64_t)(t->worker + 1) << 48 | number, MARK } },
		.microusd = most,
		.tokens = 200,
		.deadline_ms = now.mono_ms + LEASE_MS,
		.limits = limits,
		.limits_n = sizeof(limits) / sizeof(limits[0]) };
	struct ledger_refusal refusal;
	struct ledger_lease lease;
	struct err e;
	enum err_code rc;

	if (number >= IDS)
		return;
	shared->requests[t->worker] = number;
	rc = ledger_reserve(t->l, now, &ask, &lease, &refusal, &e);
	if (rc == ERR_STORE || rc == ERR_BUSY) {
		/* Away; what was under way before goes on being settled. */
		atomic_fetch_add(&shared->away, 1);
		lease = (struct ledger_lease){ .id = ask.id };
		if (next(&t->random) % 4 == 0)
			settle(t, number, &lease, &what);
		usleep(3000);
		return;
	}
	if (rc == ERR_NO_CREDIT) {
		atomic_fetch_add(&shared->refused, 1);
		return;
	}
	if (rc) {
		complain("reserve", &e);
		return;
	}
	atomic_fetch_add(&shared->admitted, 1);
	if (next(&t->random) % 8 == 0)
		usleep((useconds_t)(next(&t->random) % 2000));
	if (next(&t->random) % 10 == 0)
		ledger_release(t->l, &lease);
	else if (next(&t->random) % 200 != 0) /* else it is left lying */
		settle(t, number, &lease, &what);
}

/* Ids that other hosts may be crediting just now. */
static void give_credit(struct thread *t)
{
	uint64_t id = 1 + next(&t->random) % 4096;
	struct ledger_id lid = { { UINT64_C(0xC0) << 56 | id, MARK } };
	bool already;
	struct err e;

	if (ledger_credit(t->l, ledger_now(), account_subject(ACCOUNT_USER, 1 + id % 5),
		    (int64_t)(100 + id), lid, 0, SLICE("storm"), &already, &e) == ERR_OK)
		atomic_fetch_add(&shared->credits, !already);
	else if (e.code != ERR_BUSY && e.code != ERR_STORE)
		complain("credit", &e);
}

static void worker(int w, uint64_t seed)
{
	struct thread t = { .worker = w, .random = seed | 1 };
	struct redis *redis = NULL;
	struct err e;

	if (next(&t.random) % 2 == 0) {
		target = points[next(&t.random) % POINTS];
		atomic_store(&countdown, (int)(1 + next(&t.random) % 40));
	}
	t.l = open_host(w % HOSTS, &redis);
	if (!t.l)
		_exit(3);
	while (!shared->is_over) {
		request(&t);
		if (next(&t.random) % 100 == 0)
			give_credit(&t);
		if (next(&t.random) % 16 == 0)
			(void)ledger_tick(t.l, ledger_now(), &e);
		if (hot_peek(&t.l->hot.head->applied) > FOLD_SIZE)
			(void)!fold_run(t.l, ledger_now(), 0, &e);
	}
	ledger_close(t.l);
	redis_close(redis);
	_exit(0);
}

/* ---- the faults ---- */

static void tell(struct storm *s, int rig, const char *command)
{
	char said[256];

	if (!redis_rig_ask(&s->rigs[rig], command, said, sizeof(said))) {
		fprintf(stderr, "\nredis: %s: no answer\n", command);
		s->failures++;
	}
}

static void point_host(struct storm *s, int host)
{
	char path[128], aside[160];

	link_path(host, path);
	snprintf(aside, sizeof(aside), "%s.new", path);
	unlink(aside);
	if (symlink(s->rigs[s->master].path, aside) != 0 || rename(aside, path) != 0)
		s->failures++;
}

static void point_all(struct storm *s)
{
	for (int h = 0; h < HOSTS; h++)
		point_host(s, h);
}

static void cut_connections(struct storm *s)
{
	tell(s, s->master, "CLIENT KILL TYPE normal");
}

static void start_worker(struct storm *s, int w)
{
	uint64_t seed = next(&s->random);

	fflush(NULL);
	s->pids[w] = fork();
	if (s->pids[w] == 0)
		worker(w, seed);
}

static void bury(struct storm *s, int w, bool by_force)
{
	int status;

	if (by_force)
		kill(s->pids[w], SIGKILL);
	waitpid(s->pids[w], &status, 0);
	if ((WIFEXITED(status) && WEXITSTATUS(status) != 0) ||
		(WIFSIGNALED(status) && WTERMSIG(status) != SIGKILL)) {
		fprintf(stderr, "\na worker ended with %d\n", status);
		s->failures++;
	}
	s->worker_kills += WIFSIGNALED(status);
}

static bool follow_master(struct storm *s)
{
	char command[128];
	int replica = 1 - s->master;

	snprintf(command, sizeof(command), "REPLICAOF 127.0.0.1 %u", s->rigs[s->master].port);
	tell(s, replica, command);
	s->has_replica =
		redis_rig_await(&s->rigs[replica], "INFO replication", "master_link_status:up");
	return s->has_replica;
}

/* The master hands over; nothing is lost on its side. */
static void fail_over(struct storm *s)
{
	if (!s->has_replica)
		return;
	tell(s, s->master, "FAILOVER TIMEOUT 10000");
	if (!redis_rig_await(&s->rigs[1 - s->master], "INFO replication", "role:master"))
		s->failures++;
	s->master = 1 - s->master;
	point_all(s);
	s->failovers++;
}

/* The master dies; the replica does not know all that was acknowledged. */
static void take_over(struct storm *s)
{
	int dead = s->master;

	if (!s->has_replica)
		return;
	redis_rig_kill(&s->rigs[dead]);
	s->master = 1 - dead;
	tell(s, s->master, "REPLICAOF NO ONE");
	point_all(s);
	s->takeovers++;
	s->failures += !redis_rig_restart(&s->rigs[dead]) || !follow_master(s);
}

static void kill_redis(struct storm *s)
{
	redis_rig_kill(&s->rigs[s->master]);
	usleep((useconds_t)(next(&s->random) % 400000));
	s->failures += !redis_rig_restart(&s->rigs[s->master]);
	s->redis_kills++;
}

static void partition(struct storm *s)
{
	int host = (int)(next(&s->random) % HOSTS);
	char path[128];

	link_path(host, path);
	unlink(path);
	cut_connections(s);
	usleep((useconds_t)(next(&s->random) % 900000));
	point_host(s, host);
	s->partitions++;
}

static void one_fault(struct storm *s)
{
	char command[64];

	switch (next(&s->random) % 10) {
	case 0:
		kill_redis(s);
		break;
	case 1:
		snprintf(command, sizeof(command), "CLIENT PAUSE %" PRIu64 " ALL",
			next(&s->random) % 700);
		tell(s, s->master, command);
		s->pauses++;
		break;
	case 2:
		cut_connections(s);
		s->cuts++;
		break;
	case 3:
		fail_over(s);
		break;
	case 4:
		take_over(s);
		break;
	case 5:
		partition(s);
		break;
	default:
		for (int w = 0; w < WORKERS; w++)
			if (next(&s->random) % 3 == 0) {
				bury(s, w, true);
				start_worker(s, w);
			}
		break;
	}
}

/* ---- the check, in a process of its own ---- */

struct sums {
	struct tally accounts; /* subject -> struct account */
	struct tally ids;      /* of requests and credits -> how often */
	uint64_t wrong;
};

static enum err_code on_record(
	void *ctx, const struct record *r, uint64_t segment, uint64_t offset, struct err *e)
{
	struct sums *s = ctx;
	uint64_t targets[ACCOUNT_TARGETS], payer, *times;
	unsigned n = account_targets(r, targets, &payer);
	bool fresh;

	(void)segment;
	(void)offset;
	if (r->type != RECORD_SETTLE && r->type != RECORD_CREDIT)
		return ERR_OK;
	times = tally_at(&s->ids, r->id, &fresh);
	if (!times)
		return err_set(e, ERR_NO_MEMORY, "no memory");
	/* Two hosts that credited one id at once both wrote it down; it counts once. A request
	 * has one host. */
	if ((*times)++) {
		s->wrong += r->type == RECORD_SETTLE;
		return ERR_OK;
	}
	for (unsigned i = 0; i < n; i++) {
		struct account *a = tally_at(&s->accounts, &targets[i], &fresh);

		if (!a)
			return err_set(e, ERR_NO_MEMORY, "no memory");
		a->subject = targets[i];
		account_apply(a, r, payer);
	}
	return ERR_OK;
}

static void add_journal(struct ledger *l, struct sums *s)
{
	uint64_t first, last, n;
	struct err e;

	if (journal_list(&l->journal, &first, &last, &n, &e) || first != 1) {
		fprintf(stderr, "\nsegments are missing\n");
		s->wrong++;
		return;
	}
	for (uint64_t segment = first; segment <= last; segment++) {
		struct journal_scan scan = { .closed = true };
		int fd;

		if (journal_read_open(&l->journal, segment, &fd, &e) ||
			journal_scan(&l->journal, fd, segment, &scan, on_record, s, &e)) {
			complain("journal", &e);
			return;
		}
		close(fd);
	}
}

static void check_fates(struct sums *s)
{
	for (int w = 0; w < WORKERS; w++)
		for (uint64_t n = 1; n <= shared->requests[w] && n < IDS; n++) {
			uint64_t id[2] = { (uint64_t)(w + 1) << 48 | n, MARK };
			const uint64_t *times = tally_find(&s->ids, id);
			uint8_t fate = shared->fates[w][n];

			if ((fate == ACKED && !times) || (fate == NOT_SETTLED && times) ||
				(times && *times > 1)) {
				fprintf(stderr, "\nrequest %d/%" PRIu64 ": fate %d, %s\n", w, n,
					(int)fate, times ? "in a journal" : "in no journal");
				s->wrong++;
			}
		}
}

/* All but the windows, whose order of days the storm does not cross. */
static void compare(struct ledger *l, struct sums *s, bool is_control)
{
	struct err e;

	for (size_t i = 0; i < s->accounts.n; i++) {
		const struct account *a = tally_value(&s->accounts, i);
		struct account b;

		if (ledger_redis_account(l, a->subject, &b, &e)) {
			complain("account", &e);
			continue;
		}
		if (memcmp(a, &b, sizeof(b)) == 0)
			continue;
		s->wrong++;
		if (!is_control)
			fprintf(stderr,
				"\n%s %016" PRIx64 ": journals: %" PRId64 " requests, %" PRId64
				" spent, %" PRId64 " credited; Redis: %" PRId64 ", %" PRId64
				", %" PRId64 ", %" PRId64 " held in %" PRId64 "\n",
				account_kind_name(a->subject), a->subject, a->requests, a->spent,
				a->credited, b.requests, b.spent, b.credited, b.reserved, b.holds);
	}
}

static void tell_rest(struct ledger *l, bool from_start)
{
	uint64_t sent;
	bool done = false;
	struct err e;

	for (int tries = 0; !done && tries < 500; tries++) {
		if (outbox_ship(l, from_start, 0, &sent, &done, &e) == ERR_OK)
			atomic_fetch_add(&shared->sent, sent);
		else
			usleep(20000);
	}
	if (!done)
		complain("the rest cannot be told", &e);
}

static int64_t held(struct ledger *l)
{
	struct redis_reply reply = { 0 };
	struct err e;
	int64_t n = -1;

	if (ledger_redis_command(l, "ZCARD", "deadlines", NULL, 0, &reply, &e) == ERR_OK)
		n = reply.value.integer;
	redis_reply_fini(&reply);
	return n;
}

static void check(bool is_control)
{
	struct sums s = { .wrong = 0 };
	struct redis *redis[HOSTS];
	struct ledger *l[HOSTS];
	int64_t until = clock_mono_ms() + LEASE_MS + RIG_WAIT_MS;

	tally_init(&s.accounts, sizeof(uint64_t), sizeof(struct account));
	tally_init(&s.ids, 2 * sizeof(uint64_t), sizeof(uint64_t));
	for (int h = 0; h < HOSTS; h++) {
		l[h] = open_host(h, &redis[h]);
		if (!l[h])
			_exit(1);
		while (ledger_reap(l[h], ledger_now()) > 0)
			continue;
		tell_rest(l[h], is_control);
		add_journal(l[h], &s);
	}
	/* What a lost answer left is given back at its deadline. */
	while (held(l[0]) != 0 && clock_mono_ms() < until) {
		(void)ledger_reap(l[0], ledger_now());
		usleep(50000);
	}
	if (held(l[0]) != 0) {
		fprintf(stderr, "\n%" PRId64 " reservations are left\n", held(l[0]));
		s.wrong++;
	}
	check_fates(&s);
	compare(l[0], &s, is_control);
	for (int h = 0; h < HOSTS; h++) {
		ledger_close(l[h]);
		redis_close(redis[h]);
	}
	tally_fini(&s.accounts);
	tally_fini(&s.ids);
	fflush(NULL);
	_exit(s.wrong ? 1 : 0);
}

static bool check_passes(bool is_control)
{
	int status;
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (pid == 0)
		check(is_control);
	waitpid(pid, &status, 0);
	return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* ---- */

static void round_of(struct storm *s)
{
	int64_t until = clock_mono_ms() + ROUND_MS;

	shared->is_over = 0;
	for (int w = 0; w < WORKERS; w++)
		start_worker(s, w);
	while (clock_mono_ms() < until) {
		usleep((useconds_t)(100000 + next(&s->random) % 1400000));
		one_fault(s);
	}
	shared->is_over = 1;
	for (int w = 0; w < WORKERS; w++)
		bury(s, w, next(&s->random) % 2 == 0);
	tell(s, s->master, "CLIENT UNPAUSE");
}

static bool begin(struct storm *s)
{
	char path[128];

	shared = mmap(
		NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED || !mkdtemp(top))
		return false;
	for (int i = 0; i < 2; i++) {
		s->rigs[i] = (struct redis_rig){ .tcp = true,
			.aof = next(&s->random) % 2 ? "always" : "everysec" };
		if (!redis_rig_start(&s->rigs[i]))
			return false;
	}
	point_all(s);
	for (int h = 0; h < HOSTS; h++) {
		snprintf(path, sizeof(path), "%s/home%d", top, h);
		if (mkdir(path, 0700) != 0)
			return false;
	}
	return follow_master(s);
}

/* The tables in shared memory are of the workers, which are gone. */
static void end(struct storm *s)
{
	char path[128];
	struct stat st;

	for (int h = 0; h < HOSTS; h++) {
		snprintf(path, sizeof(path), "%s/home%d", top, h);
		if (stat(path, &st) != 0)
			continue;
		snprintf(path, sizeof(path), "/dev/shm/tollgate-%u-%" PRIx64 "-%" PRIx64,
			(unsigned)st.st_uid, (uint64_t)st.st_dev, (uint64_t)st.st_ino);
		unlink(path);
	}
	for (int i = 0; i < 2; i++)
		redis_rig_stop(&s->rigs[i]);
	(void)rig_run("rm -rf -- %s", top);
}

static void report(const struct storm *s, uint64_t rounds)
{
	printf("redis storm: %" PRIu64 " rounds: %" PRIu64 " admitted, %" PRIu64
	       " settled, %" PRIu64 " deferred, %" PRIu64 " told later, %" PRIu64
	       " times away, %" PRIu64 " credits; killed: %" PRIu64 " processes (%" PRIu64
	       " at a named point), %" PRIu64 " Redis; %" PRIu64 " pauses, %" PRIu64
	       " cuts, %" PRIu64 " failovers, %" PRIu64 " takeovers, %" PRIu64
	       " partitions; %" PRIu64 " failures\n",
		rounds, shared->admitted, shared->settled, shared->deferred, shared->sent,
		shared->away, shared->credits, s->worker_kills, shared->killed_here, s->redis_kills,
		s->pauses, s->cuts, s->failovers, s->takeovers, s->partitions,
		s->failures + shared->complaints);
}

/* Some requests are forgotten, and all journals told again. */
static bool control_notices(struct storm *s)
{
	char command[128];

	snprintf(command, sizeof(command), "DEL storm:{storm}:ids:%" PRId64,
		account_day(clock_wall_ms()));
	tell(s, s->master, command);
	return !check_passes(true);
}

int main(int argc, char **argv)
{
	static struct storm s;
	uint64_t rounds = 4, done = 0;
	bool is_control = false, good;

	s.random = (uint64_t)getpid();
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--control") == 0)
			is_control = true;
		else if (strcmp(argv[i], "--rounds") == 0 && i + 1 < argc)
			rounds = strtoull(argv[++i], NULL, 10);
		else if (strcmp(argv[i], "--seed") == 0 && i + 1 < argc)
			s.random = strtoull(argv[++i], NULL, 10);
		else
			return 2;
	}
	s.random = s.random * UINT64_C(0x9E3779B97F4A7C15) | 1;
	good = begin(&s);
	while (good && done < rounds && !s.failures && !shared->complaints) {
		round_of(&s);
		done++;
		good = check_passes(false);
	}
	if (good && is_control)
		good = control_notices(&s);
	good = good && !s.failures && !shared->complaints && shared->settled > 100;
	if (shared && shared != MAP_FAILED)
		report(&s, done);
	end(&s);
	return good ? 0 : 1;
}
