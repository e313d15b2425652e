/* Kills processes that reserve, settle, release, credit, fold and rebuild: at random instants,
 * at every named point of the protocol, all at once, with the table deleted or spoilt between.
 * Every acknowledged request must be in the journal exactly once, every book must agree, and
 * nothing may stay reserved.
 *
 *   ledger_storm [--kills N] [--seed N] [--control]
 *
 * --control disables the repair of half-done changes: the storm must then notice. It was also
 * tried with a fold that does not write how far it went (doubled money), and with appenders that
 * take no lock on their segment (lost records); both were noticed within 1,500 kills.
 */
#include "tests/storm/witness.h"

#include "base/clock.h"
#include "base/crypto.h"
#include "store/books.h"
#include "store/fault.h"
#include "store/fold.h"
#include "store/verify.h"

#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define WORKERS    4
#define THREADS    2
#define LANES      (WORKERS * THREADS)
#define SUBJECTS   40 /* keys; users and organisations are fewer */
#define CREDIT     INT64_C(1000000000000)
#define POOR       INT64_C(2000000) /* what the poor user has: it runs out */
#define FOLD_BYTES (UINT64_C(512) << 10)

/* Every point a kill can be placed at. */
static const char *const points[] = { "admit.meter", "admit.taken", "books.replayed",
	"credit.written", "fold.added", "fold.commit", "fold.created", "fold.days", "fold.half",
	"fold.published", "fold.renamed", "fold.stored", "fold.unlink", "follow.applied",
	"follow.half", "hot.allocate", "hot.locked", "hot.publish", "hot.repaired", "hot.undone",
	"hot.unlock", "hot.wipe", "journal.closing", "journal.create", "journal.inside",
	"journal.opened", "journal.room", "journal.sync", "journal.write", "journal.written",
	"ledger.claimed", "ledger.reaping", "ledger.releasing", "ledger.reserved" };
#define POINTS (sizeof(points) / sizeof(points[0]))

/* What the workers tell, in memory that survives them. */
struct shared {
	volatile uint64_t requests[LANES]; /* numbers given so far */
	_Atomic uint64_t credits_tried;    /* ids 1.. */
	volatile uint8_t credit_acked[1 << 20];
	_Atomic uint64_t killed_at[POINTS];
	_Atomic uint64_t complaints;
	_Atomic uint64_t refused, late, again, reserved;
	volatile uint64_t is_over;
};

enum fate { NOT_SETTLED, TRIED, ACKED };

static struct shared *shared;
static volatile uint8_t *fates[LANES]; /* enum fate of each request, shared too */
static char home[] = "/tmp/tollgate-storm-XXXXXX";
static char witness_folder[64];
static bool is_control;
static int target = -1; /* the point this process dies at */
static _Atomic int countdown;

/* Dawdles at times where a record is about to be written, so that segments change meanwhile. */
static void dawdle(void)
{
	static _Thread_local uint32_t turn;

	if (++turn % 512 == 0)
		usleep(2000);
}

int store_fault_point(const char *name)
{
	if (is_control && strcmp(name, "hot.skip_undo") == 0)
		return 1;
	if (strcmp(name, "journal.write") == 0)
		dawdle();
	if (strcmp(name, "fold.unlink") == 0)
		witness_link(home, witness_folder);
	if (target >= 0 && strcmp(name, points[target]) == 0 &&
		atomic_fetch_sub(&countdown, 1) == 1) {
		atomic_fetch_add(&shared->killed_at[target], 1);
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

static struct ledger_conf conf(void)
{
	return (struct ledger_conf){ .home = home, .sync_ms = 100 };
}

static void complain(const char *what, const struct err *e)
{
	fprintf(stderr, "\nworker %ld: %s: %s\n", (long)getpid(), what, e->message);
	atomic_fetch_add(&shared->complaints, 1);
}

/* ---- a worker ---- */

struct thread {
	struct ledger *l;
	int lane;
	uint64_t random;
};

static struct record_settle made_up(uint64_t *s, int64_t most)
{
	uint64_t key = 1 + next(s) % SUBJECTS;

	return (struct record_settle){ .key = key,
		.user = 1 + key % 7,
		.org = key % 3 == 0 ? 1 + key % 4 : 0,
		.provider = 1 + next(s) % 5,
		.model = 1 + next(s) % 4,
		.cost_microusd = most ? (int64_t)(next(s) % (uint64_t)most) : 0,
		.tokens = { 100, 10, 0, 0, 50, 5 },
		.latency_ms = (uint32_t)(next(s) % 5000),
		.ttft_ms = (uint32_t)(1 + next(s) % 900),
		.status = next(s) % 20 ? 200 : 502,
		.usage_state = RECORD_USAGE_REPORTED,
		.attempts = 1 };
}

static void settle(
	struct thread *t, uint64_t number, struct ledger_lease *lease, struct record_settle *what)
{
	struct ledger_lease again = *lease;
	enum ledger_settled how;
	struct err e;

	fates[t->lane][number] = TRIED;
	if (ledger_settle(t->l, ledger_now(), lease, what, &how, &e) != ERR_OK) {
		complain("settle", &e);
		return;
	}
	if (how == LEDGER_ALREADY) {
		fprintf(stderr, "\na first settle was taken for a second\n");
		atomic_fetch_add(&shared->complaints, 1);
	}
	fates[t->lane][number] = ACKED;
	if (next(&t->random) % 16 == 0 && how == LEDGER_SETTLED) {
		if (ledger_settle(t->l, ledger_now(), &again, what, &how, &e) != ERR_OK ||
			how != LEDGER_ALREADY) {
			fprintf(stderr, "\na second settle was not noticed\n");
			atomic_fetch_add(&shared->complaints, 1);
		}
		atomic_fetch_add(&shared->again, 1);
	}
}

static void request(struct thread *t)
{
	int64_t most = 1 + (int64_t)(next(&t->random) % 5000);
	struct record_settle what = made_up(&t->random, most);
	struct ledger_now now = ledger_now();
	bool is_late = next(&t->random) % 64 == 0;
	uint64_t payer = what.org ? account_subject(ACCOUNT_ORG, what.org)
				  : account_subject(ACCOUNT_USER, what.user);
	struct ledger_limit limits[] = {
		{ .subject = account_subject(ACCOUNT_KEY, what.key),
			.kind = LEDGER_SPEND_MONTH,
			.ceiling = CREDIT },
		{ .subject = account_subject(ACCOUNT_KEY, what.key),
			.kind = LEDGER_REQUESTS_MINUTE,
			.ceiling = METER_MAX },
		{ .subject = account_subject(ACCOUNT_KEY, what.key),
			.kind = LEDGER_CONCURRENT,
			.ceiling = 1000 },
		{ .subject = payer, .kind = LEDGER_BALANCE },
		{ .subject = payer, .kind = LEDGER_TOKENS_MINUTE, .ceiling = METER_MAX },
	};
	struct ledger_ask ask = { .microusd = most,
		.tokens = 1000,
		.deadline_ms = is_late ? now.mono_ms - 1 : now.mono_ms + 600000,
		.limits = limits,
		.limits_n = sizeof(limits) / sizeof(limits[0]) };
	struct ledger_refusal refusal;
	struct ledger_lease lease;
	uint64_t number = ++shared->requests[t->lane];
	struct err e;
	enum err_code rc;

	ask.id.word[0] = (uint64_t)(t->lane + 1) << 48 | number;
	ask.id.word[1] = WITNESS_SETTLE;
	rc = ledger_reserve(t->l, now, &ask, &lease, &refusal, &e);
	if (rc == ERR_NO_CREDIT) {
		atomic_fetch_add(&shared->refused, 1);
		return;
	}
	if (rc) {
		if (rc != ERR_BUSY)
			complain("reserve", &e);
		return;
	}
	atomic_fetch_add(&shared->reserved, 1);
	if (is_late && ledger_reap(t->l, now) > 0)
		atomic_fetch_add(&shared->late, 1);
	if (next(&t->random) % 8 == 0)
		usleep((useconds_t)(next(&t->random) % 200));
	if (next(&t->random) % 10 == 0)
		ledger_release(t->l, &lease);
	else if (next(&t->random) % 500 != 0) /* else it is left lying */
		settle(t, number, &lease, &what);
}

static void give_credit(struct thread *t)
{
	/* Mostly a new id, at times one that another may be crediting just now. */
	uint64_t id = next(&t->random) % 4 ? atomic_fetch_add(&shared->credits_tried, 1) + 1
					   : atomic_load(&shared->credits_tried);
	struct ledger_id lid = { { UINT64_C(0xC0) << 56 | id, WITNESS_CREDIT } };
	bool already;
	struct err e;

	if (!id || id >= sizeof(shared->credit_acked))
		return;
	if (ledger_credit(t->l, ledger_now(), account_subject(ACCOUNT_USER, 1 + id % 7), 7, lid, 0,
		    SLICE("storm"), &already, &e) == ERR_OK)
		shared->credit_acked[id] = 1;
	else if (e.code != ERR_BUSY)
		complain("credit", &e);
}

static void *thread(void *arg)
{
	struct thread *t = arg;
	const volatile struct hot_head *head = t->l->hot.head;
	struct err e;

	while (!shared->is_over) {
		request(t);
		if (next(&t->random) % 2000 == 0)
			give_credit(t);
		if (head->applied > FOLD_BYTES || next(&t->random) % 20000 == 0) {
			enum err_code rc = fold_run(t->l, ledger_now(), 0, &e);

			if (rc && rc != ERR_BUSY)
				complain("fold", &e);
		}
		if (next(&t->random) % 256 == 0)
			(void)ledger_tick(t->l, ledger_now(), &e);
		if (!is_control && next(&t->random) % 30000 == 0 &&
			verify_rebuild(t->l, &e) != ERR_OK && e.code != ERR_BUSY)
			complain("rebuild", &e);
		/* What belongs to the paths that are walked rarely must not wait for chance. */
		if (target >= 0 && !is_control &&
			(strcmp(points[target], "hot.wipe") == 0 ||
				strcmp(points[target], "books.replayed") == 0))
			(void)!verify_rebuild(t->l, NULL);
		if (target >= 0 && strncmp(points[target], "fold.", 5) == 0 &&
			next(&t->random) % 32 == 0)
			(void)!fold_run(t->l, ledger_now(), 0, NULL);
		if (target >= 0 && strncmp(points[target], "credit.", 7) == 0)
			give_credit(t);
		if (target >= 0 && strncmp(points[target], "ledger.reap", 11) == 0)
			(void)ledger_reap(t->l, ledger_now());
	}
	return NULL;
}

/* Points that every request passes are passed a few times first. */
static bool is_common(const char *point)
{
	return strncmp(point, "admit.", 6) == 0 || strncmp(point, "follow.", 7) == 0 ||
	       strncmp(point, "ledger.", 7) == 0 || strcmp(point, "hot.locked") == 0 ||
	       strcmp(point, "hot.unlock") == 0 || strncmp(point, "journal.w", 9) == 0 ||
	       strcmp(point, "journal.inside") == 0 || strcmp(point, "journal.opened") == 0;
}

static int point(const char *name)
{
	for (size_t i = 0; i < POINTS; i++)
		if (strcmp(points[i], name) == 0)
			return (int)i;
	return -1;
}

static void choose_target(bool is_builder, uint64_t *seed)
{
	static const char *const building[] = { "hot.allocate", "books.replayed", "journal.create",
		"hot.publish" };

	if (is_builder)
		target = point(building[next(seed) % 4]);
	else if (next(seed) % 2 == 0)
		target = (int)(next(seed) % POINTS);
	if (target >= 0)
		atomic_store(
			&countdown, is_common(points[target]) ? (int)(1 + next(seed) % 12) : 1);
}

static void worker(int w, bool is_builder, uint64_t seed)
{
	static struct thread threads[THREADS];
	pthread_t ids[THREADS];
	struct ledger_conf c = conf();
	struct ledger *l;
	struct err e;

	choose_target(is_builder, &seed);
	if (ledger_open(&l, &c, ledger_now(), &e) != ERR_OK) {
		complain("open", &e);
		_exit(3);
	}
	for (int i = 0; i < THREADS; i++)
		threads[i] = (struct thread){ l, w * THREADS + i, next(&seed) | 1 };
	for (int i = 1; i < THREADS; i++)
		pthread_create(&ids[i], NULL, thread, &threads[i]);
	thread(&threads[0]);
	for (int i = 1; i < THREADS; i++)
		pthread_join(ids[i], NULL);
	ledger_close(l);
	_exit(0);
}

/* ---- the storm ---- */

struct storm {
	pid_t pids[WORKERS];
	struct witness witness;
	uint64_t random, kills, stops, wiped, checks, failures, unsure, unsure_written;
	int64_t slowest_ms; /* from the last kill to the next request that was served */
	char table[HOME_PATH_MAX];
};

static void start(struct storm *s, int w, bool is_builder)
{
	uint64_t seed = next(&s->random);

	fflush(NULL);
	s->pids[w] = fork();
	if (s->pids[w] == 0)
		worker(w, is_builder, seed);
}

static void bury(struct storm *s, int w)
{
	int status;

	kill(s->pids[w], SIGKILL);
	waitpid(s->pids[w], &status, 0);
	if (WIFEXITED(status) && WEXITSTATUS(status) != 0)
		s->failures++;
	if (WIFSIGNALED(status) && WTERMSIG(status) != SIGKILL) {
		fprintf(stderr, "\na worker died of signal %d\n", WTERMSIG(status));
		s->failures++;
	}
	s->kills++;
}

static void spoil_table(struct storm *s)
{
	/* All of the head, the version of the program, the boot. */
	static const size_t lengths[] = { 0, 0, 8192, 4, 7 };
	static const off_t offsets[] = { 0, 0, 0, offsetof(struct hot_head, abi),
		offsetof(struct hot_head, boot) };
	char garbage[8192];
	uint64_t way = next(&s->random) % 6;
	int fd = open(s->table, O_RDWR | O_CLOEXEC);

	if (fd < 0)
		return;
	crypto_random(garbage, sizeof(garbage));
	if (way == 0)
		unlink(s->table);
	else if (way == 1)
		s->failures += ftruncate(fd, (off_t)HOT_ACCOUNTS * 64) != 0;
	else if (way < 5)
		s->failures += pwrite(fd, garbage, lengths[way], offsets[way]) < 0;
	close(fd);
	s->wiped += way < 5;
}

static void on_difference(void *ctx, const char *text)
{
	struct storm *s = ctx;

	if (s->failures++ < 20 && !is_control)
		fprintf(stderr, "\n%s\n", text);
}

/* With nobody else alive: the next request is served, everything is given back, all agrees. */
static void check(struct storm *s)
{
	struct ledger_conf c = conf();
	struct ledger_ask ask = { .id = { { UINT64_C(0xAA) << 48 | ++s->checks, WITNESS_CHECK } } };
	struct ledger_refusal refusal;
	struct ledger_lease lease;
	struct record_settle what = { 0 };
	enum ledger_settled how;
	struct verify_report report;
	struct ledger_now now = ledger_now();
	int64_t began_ms = clock_mono_ms();
	struct ledger *l = NULL;
	struct err e = { 0 };

	ask.deadline_ms = now.mono_ms + 1000;
	if (ledger_open(&l, &c, now, &e) != ERR_OK ||
		ledger_reserve(l, now, &ask, &lease, &refusal, &e) != ERR_OK ||
		ledger_settle(l, now, &lease, &what, &how, &e) != ERR_OK)
		goto failed;
	if (clock_mono_ms() - began_ms > s->slowest_ms)
		s->slowest_ms = clock_mono_ms() - began_ms;
	while (ledger_reap(l, now) > 0)
		continue;
	if (verify_run(l, now, on_difference, s, &report, &e) != ERR_OK)
		goto failed;
	if (report.leases) {
		fprintf(stderr, "\n%" PRIu64 " reservations are left\n", report.leases);
		s->failures++;
	}
	if (report.skipped_bytes) {
		fprintf(stderr, "\n%" PRIu64 " bytes of the journal are torn\n",
			report.skipped_bytes);
		s->failures++;
	}
	witness_link(home, witness_folder);
	ledger_close(l);
	return;
failed:
	fprintf(stderr, "\ncheck: %s\n", e.message);
	s->failures++;
	ledger_close(l);
}

static void stop_all(struct storm *s, bool spoil)
{
	for (int w = 0; w < WORKERS; w++)
		kill(s->pids[w], SIGKILL);
	for (int w = 0; w < WORKERS; w++)
		bury(s, w);
	s->stops++;
	if (spoil && !is_control)
		spoil_table(s);
}

static void storm(struct storm *s, uint64_t kills)
{
	int64_t told_ms = clock_mono_ms(), began_ms = told_ms;
	uint64_t checked = 0;

	for (int w = 0; w < WORKERS; w++)
		start(s, w, false);
	while (s->kills < kills && !(is_control && s->failures)) {
		int w = (int)(next(&s->random) % WORKERS);

		usleep((useconds_t)(next(&s->random) % 3000));
		if (next(&s->random) % 100 == 0) {
			stop_all(s, next(&s->random) % 2);
			if (s->kills - checked > kills / 20) {
				check(s);
				witness_read(&s->witness, home, witness_folder, false);
				checked = s->kills;
			}
			/* Whoever comes first builds the table, and one of them dies of it. */
			for (w = 0; w < WORKERS; w++)
				start(s, w, w == 0);
		} else {
			bury(s, w);
			start(s, w, false);
		}
		if (clock_mono_ms() - told_ms > 1000) {
			told_ms = clock_mono_ms();
			witness_read(&s->witness, home, witness_folder, false);
			fprintf(stderr,
				"\r%" PRIu64 " of %" PRIu64 " kills, %" PRIu64 " settled, %" PRId64
				" s ",
				s->kills, kills, s->witness.settles, (told_ms - began_ms) / 1000);
		}
	}
	stop_all(s, false);
}

static void first_credits(struct storm *s)
{
	struct ledger_conf c = conf();
	struct ledger *l = NULL;
	bool already;
	struct err e;

	if (ledger_open(&l, &c, ledger_now(), &e) != ERR_OK) {
		fprintf(stderr, "%s\n", e.message);
		exit(1);
	}
	str_copy_cut(s->table, sizeof(s->table), l->hot.path);
	for (uint64_t i = 1; i <= 11; i++) {
		uint64_t subject = i <= 7 ? account_subject(ACCOUNT_USER, i)
					  : account_subject(ACCOUNT_ORG, i - 7);
		struct ledger_id id = { { UINT64_C(0xB0) << 56 | i, WITNESS_CHECK } };

		if (ledger_credit(l, ledger_now(), subject, i == 3 ? POOR : CREDIT, id, 0,
			    SLICE("begin"), &already, &e) != ERR_OK)
			s->failures++;
	}
	ledger_close(l);
}

/* Every acknowledged settle once, every one in the air at most once, nothing else. */
static void judge_lane(struct storm *s, int lane)
{
	for (uint64_t i = 1; i <= shared->requests[lane]; i++) {
		unsigned seen = s->witness.seen[lane][i];
		enum fate fate = (enum fate)fates[lane][i];

		s->unsure += fate == TRIED;
		s->unsure_written += fate == TRIED && seen;
		if (fate == ACKED ? seen == 1 : fate == TRIED ? seen <= 1 : seen == 0)
			continue;
		if (s->failures++ < 20)
			fprintf(stderr,
				"\nrequest %d/%" PRIu64 " (%s) stands %u times in the journal\n",
				lane, i, fate == ACKED ? "acknowledged" : "not acknowledged", seen);
	}
}

/* The journal's own story against what was acknowledged and what the table says. */
static void settle_accounts(struct storm *s)
{
	struct ledger_conf c = conf();
	struct ledger *l;
	struct account a;
	struct err e;

	witness_read(&s->witness, home, witness_folder, true);
	for (int lane = 0; lane < LANES; lane++)
		judge_lane(s, lane);
	if (s->witness.torn) {
		fprintf(stderr, "\n%" PRIu64 " torn records\n", s->witness.torn);
		s->failures++;
	}
	for (uint64_t id = 1; id < sizeof(shared->credit_acked); id++)
		if (s->witness.credits[id] != shared->credit_acked[id] &&
			!(s->witness.credits[id] == 1 && !shared->credit_acked[id])) {
			fprintf(stderr, "\ncredit %" PRIu64 " stands %d times in the journal\n", id,
				s->witness.credits[id]);
			s->failures++;
		}
	if (ledger_open(&l, &c, ledger_now(), &e) != ERR_OK) {
		s->failures++;
		return;
	}
	for (size_t i = 0; i < s->witness.sums.n; i++) {
		const uint64_t *subject = tally_key(&s->witness.sums, i);
		const struct witness_sum *sum = tally_value(&s->witness.sums, i);

		if (ledger_account(l, *subject, &a, &e) != ERR_OK || a.spent != sum->cost ||
			a.requests != sum->requests || a.credited != sum->credited || a.reserved ||
			a.holds) {
			fprintf(stderr, "\n%s %" PRIx64 ": the table disagrees with the journal\n",
				account_kind_name(*subject), *subject);
			s->failures++;
		}
		if (account_balance(&a) < 0) {
			fprintf(stderr, "\n%s %" PRIx64 " is overspent\n",
				account_kind_name(*subject), *subject);
			s->failures++;
		}
	}
	ledger_close(l);
}

static void report(const struct storm *s, int64_t took_ms)
{
	unsigned untouched = 0;

	for (size_t i = 0; i < POINTS; i++)
		untouched += atomic_load(&shared->killed_at[i]) == 0;
	printf("\n%" PRIu64 " kills in %" PRId64 " s: %" PRIu64 " full stops, %" PRIu64
	       " tables spoilt, %" PRIu64 " checks; %" PRIu64 " settled, %" PRIu64
	       " refused, %" PRIu64 " late, %" PRIu64 " settled twice, %" PRIu64
	       " credits; at the time of a kill %" PRIu64 " were unsure, %" PRIu64
	       " of them written; %u of %zu points never died at; next request within %" PRId64
	       " ms\n",
		s->kills, took_ms / 1000, s->stops, s->wiped, s->checks, s->witness.settles,
		atomic_load(&shared->refused), atomic_load(&shared->late),
		atomic_load(&shared->again), s->witness.credits_n, s->unsure, s->unsure_written,
		untouched, POINTS, s->slowest_ms);
	for (size_t i = 0; i < POINTS && untouched; i++)
		if (atomic_load(&shared->killed_at[i]) == 0)
			printf("  never died at %s\n", points[i]);
}

int main(int argc, char **argv)
{
	struct storm s = { .random = 88172645463325252 };
	uint64_t kills = 10000;
	int64_t began_ms = clock_mono_ms();
	bool failed;

	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--control") == 0)
			is_control = true;
		else if (strcmp(argv[i], "--kills") == 0 && i + 1 < argc)
			kills = strtoull(argv[++i], NULL, 10);
		else if (strcmp(argv[i], "--seed") == 0 && i + 1 < argc)
			s.random = strtoull(argv[++i], NULL, 10) * 2654435761u | 1;
		else
			return fprintf(stderr, "usage: %s [--kills N] [--seed N] [--control]\n",
				       argv[0]),
			       2;
	}
	shared = witness_bytes(sizeof(*shared), MAP_SHARED);
	if (!mkdtemp(home))
		return perror("storm"), 1;
	snprintf(witness_folder, sizeof(witness_folder), "%s.witness", home);
	for (int i = 0; i < LANES; i++)
		fates[i] = witness_bytes(WITNESS_PER_LANE, MAP_SHARED);
	witness_init(&s.witness, witness_folder);
	first_credits(&s);
	storm(&s, kills);
	check(&s);
	settle_accounts(&s);
	s.failures += atomic_load(&shared->complaints);
	report(&s, clock_mono_ms() - began_ms);
	/* The control must notice that something is wrong; everything else must not. */
	failed = is_control ? s.failures == 0 : s.failures != 0;
	printf("%d passed, %d failed\n", !failed, failed);
	if (!failed || is_control) {
		witness_fini(&s.witness, home, witness_folder);
		unlink(s.table);
	} else {
		printf("the store is kept in %s\n", home);
	}
	return failed;
}
