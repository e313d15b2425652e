/* tests/storm/redis_hosts.h - the hosts of the storm with Redis, and what must be true of them when
 * it is over.
 */
#ifndef STORM_REDIS_HOSTS_H
#define STORM_REDIS_HOSTS_H

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

static struct shared *shared;
static char top[] = "/tmp/tollgate-redis-storm-XXXXXX";

static void complain(const char *what, const struct err *e)
{
	fprintf(stderr, "\n%ld: %s: %s\n", (long)getpid(), what, e->message);
	atomic_fetch_add(&shared->complaints, 1);
}

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

#endif
