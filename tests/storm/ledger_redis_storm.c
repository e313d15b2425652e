/* Three hosts with a Redis, and everything that can happen to it: killed and started again,
 * hanging, all connections cut, a replica that takes over (in good order, or because the master
 * died), a host that cannot reach it, processes killed at any moment.
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
#include "tests/storm/redis_hosts.h"

struct storm {
	struct redis_rig rigs[2];
	int master;
	bool has_replica;
	pid_t pids[WORKERS];
	uint64_t random, failures;
	uint64_t worker_kills, redis_kills, pauses, cuts, failovers, takeovers, partitions;
};

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

/* ---- a host ---- */

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
