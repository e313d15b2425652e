/* The two engines side by side: thousands of random calls at random times, each made to a ledger of
 * one host and to one with Redis. Every answer, figure, wait and account must be the same.
 *
 * Tried with errors in the script: >= instead of > in take_bucket's refusal, a month that ends a
 * day late, tokens not corrected at settle; each was noticed within the first run of calls.
 */
#include "tests/unit/ledger_shared.h"

#define CALLS    4000 /* of one run */
#define RUNS     3
#define LEASES   24
#define SUBJECTS 7

struct pair {
	struct ledger *l[2]; /* gdbm, redis */
	struct ledger_now now;
	struct ledger_lease leases[2][LEASES]; /* open ones; is_open false = a free place */
	uint64_t random;
	uint64_t ids;
	uint64_t reserved, refused, settled;
	char homes[2][64];
};

static uint64_t next(struct pair *p)
{
	p->random ^= p->random << 13;
	p->random ^= p->random >> 7;
	p->random ^= p->random << 17;
	return p->random;
}

static uint64_t below(struct pair *p, uint64_t n)
{
	return next(p) % n;
}

static uint64_t subject(uint64_t n)
{
	const uint64_t all[SUBJECTS] = { account_subject(ACCOUNT_KEY, 1),
		account_subject(ACCOUNT_KEY, 2), account_subject(ACCOUNT_USER, 2),
		account_subject(ACCOUNT_USER, 4), account_subject(ACCOUNT_ORG, 3),
		account_member(3, 2), account_subject(ACCOUNT_ADDRESS, 77) };

	return all[n % SUBJECTS];
}

static int64_t ceiling(struct pair *p, enum ledger_limit_kind kind)
{
	static const int64_t usual[LEDGER_LIMIT_KINDS] = { 300, 3000, 40000, 90000, 12, 900, 25,
		5 };

	switch (below(p, 12)) {
	case 0:
		return 0;
	case 1:
		return 1;
	case 2:
		return kind == LEDGER_CONCURRENT      ? 9
		       : kind == LEDGER_REQUESTS_HOUR ? METER_HOUR_MAX
						      : METER_MAX;
	default:
		return usual[kind] + (int64_t)below(p, 5);
	}
}

static size_t random_limits(struct pair *p, struct ledger_limit *limits)
{
	size_t n = 1 + below(p, 6);

	for (size_t i = 0; i < n; i++) {
		enum ledger_limit_kind kind = (enum ledger_limit_kind)below(p, LEDGER_LIMIT_KINDS);

		limits[i] = (struct ledger_limit){
			.subject = subject(next(p)), .kind = kind, .ceiling = ceiling(p, kind)
		};
	}
	return n;
}

static void assert_same_limits(const struct ledger_limit *a, const struct ledger_limit *b, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (a[i].remaining != b[i].remaining || a[i].reset_ms != b[i].reset_ms)
			fail_msg("limit %zu (kind %d of %" PRId64 "): %" PRId64 " in %" PRId64
				 " ms with gdbm, %" PRId64 " in %" PRId64 " ms with Redis",
				i, (int)a[i].kind, a[i].ceiling, a[i].remaining, a[i].reset_ms,
				b[i].remaining, b[i].reset_ms);
}

static void try_reserve(struct pair *p)
{
	struct ledger_limit limits[2][LEDGER_LIMITS];
	size_t n = random_limits(p, limits[0]), place = below(p, LEASES);
	struct ledger_ask ask = { .id = id_of(++p->ids),
		.microusd = (int64_t)below(p, 400),
		.tokens = (int64_t)below(p, 500),
		.deadline_ms = p->now.mono_ms + 1000 + (int64_t)below(p, 600000),
		.limits_n = n };
	struct ledger_refusal refusal[2];
	struct err e[2] = { { 0 }, { 0 } };
	enum err_code rc[2];

	if (p->leases[0][place].is_open)
		return;
	memcpy(limits[1], limits[0], sizeof(limits[0]));
	for (int i = 0; i < 2; i++) {
		ask.limits = limits[i];
		rc[i] = ledger_reserve(
			p->l[i], p->now, &ask, &p->leases[i][place], &refusal[i], &e[i]);
	}
	if (rc[0] != rc[1])
		fail_msg("reserve: %s with gdbm, %s with Redis (%s)", err_name(rc[0]),
			err_name(rc[1]), e[1].message);
	assert_same_limits(limits[0], limits[1], n);
	assert_int_equal(refusal[0].limit, refusal[1].limit);
	assert_int_equal(refusal[0].retry_after_ms, refusal[1].retry_after_ms);
	assert_int_equal(p->leases[0][place].is_open, p->leases[1][place].is_open);
	assert_string_equal(e[0].message, e[1].message);
	assert_int_equal(e[0].retry_after_ms, e[1].retry_after_ms);
	p->reserved += rc[0] == ERR_OK;
	p->refused += rc[0] != ERR_OK;
}

static void try_settle(struct pair *p)
{
	size_t place = below(p, LEASES);
	struct record_settle what = { .key = 1 + below(p, 2),
		.user = below(p, 3) ? 2 : 4,
		.org = below(p, 2) ? 3 : 0,
		.provider = below(p, 3),
		.model = 1 + below(p, 2),
		.cost_microusd = (int64_t)below(p, 500),
		.upstream_microusd = (int64_t)below(p, 500),
		.tokens = { (uint32_t)below(p, 300), 3, 0, 0, (uint32_t)below(p, 300), 1 },
		.latency_ms = (uint32_t)below(p, 90000),
		.ttft_ms = (uint32_t)below(p, 3) ? (uint32_t)below(p, 60000) : 0,
		.status = below(p, 5) ? 200 : 502,
		.flags = (uint16_t)(below(p, 4) ? 0 : RECORD_CACHE_HIT),
		.usage_state = (uint8_t)below(p, 4),
		.attempts = (uint8_t)below(p, 4) };
	/* The clock of a host goes over midnight, and back. */
	struct ledger_now at = { p->now.wall_ms + (int64_t)below(p, 3) * 3600000 - 3600000,
		p->now.mono_ms };

	if (!p->leases[0][place].is_open)
		return;
	for (int i = 0; i < 2; i++) {
		enum ledger_settled how;

		if (ledger_settle(p->l[i], at, &p->leases[i][place], &what, &how, &err))
			fail_msg("settle: %s", err.message);
		assert_int_equal(how, LEDGER_SETTLED);
	}
	p->settled++;
}

static void try_credit(struct pair *p)
{
	uint64_t whose = below(p, 2) ? USER : ORG;
	int64_t amount = (int64_t)below(p, 4000) - 500;
	struct ledger_id id = id_of(UINT64_C(1) << 40 | below(p, 300));
	bool already[2];
	enum err_code rc[2];

	for (int i = 0; i < 2; i++)
		rc[i] = ledger_credit(
			p->l[i], p->now, whose, amount, id, 0, SLICE("credit"), &already[i], &err);
	assert_int_equal(rc[0], rc[1]);
	assert_int_equal(already[0], already[1]);
}

static void one_call(struct pair *p)
{
	struct ledger_limit limits[2][LEDGER_LIMITS];
	size_t n, place = below(p, LEASES);

	switch (below(p, 16)) {
	case 0:
		try_credit(p);
		break;
	case 1:
		for (int i = 0; i < 2; i++)
			ledger_release(p->l[i], &p->leases[i][place]);
		break;
	case 2:
		n = random_limits(p, limits[0]);
		memcpy(limits[1], limits[0], sizeof(limits[0]));
		for (int i = 0; i < 2; i++)
			assert_int_equal(ledger_look(p->l[i], p->now, limits[i], n, &err), ERR_OK);
		assert_same_limits(limits[0], limits[1], n);
		break;
	case 3:
		assert_int_equal(ledger_reap(p->l[0], p->now), ledger_reap(p->l[1], p->now));
		break;
	case 4:
	case 5:
	case 6:
	case 7:
		try_settle(p);
		break;
	default:
		try_reserve(p);
		break;
	}
}

/* Mostly moments, at times minutes, seldom hours or days. */
static void pass_time(struct pair *p)
{
	static const int64_t steps[] = { 0, 1, 50, 700, 5000, 61000, 241000, 3700000, 90000000 };
	uint64_t luck = below(p, 400);
	size_t step = luck < 1 ? 8 : luck < 4 ? 7 : luck < 12 ? 6 : luck < 40 ? 5 : below(p, 5);
	int64_t ms = (int64_t)below(p, (uint64_t)steps[step] + 1);

	p->now.wall_ms += ms;
	p->now.mono_ms += ms;
}

static void assert_same_accounts(struct pair *p)
{
	for (uint64_t i = 0; i < SUBJECTS; i++) {
		struct account a = account_of(p->l[0], subject(i)),
			       b = account_of(p->l[1], subject(i));

		if (memcmp(&a, &b, sizeof(a)) != 0)
			fail_msg("the %s's account: spent %" PRId64 " and %" PRId64
				 ", reserved %" PRId64 " and %" PRId64 ", day %" PRId64
				 " and %" PRId64,
				account_kind_name(subject(i)), a.spent, b.spent, a.reserved,
				b.reserved, a.day, b.day);
	}
}

struct usages {
	size_t n;
	struct usage_key keys[4096];
	struct usage_row rows[4096];
	int64_t days[4096];
};

static enum err_code on_usage(void *ctx, int64_t day, const struct usage_key *key,
	const struct usage_row *row, struct err *e)
{
	struct usages *u = ctx;

	(void)e;
	assert_true(u->n < 4096);
	u->days[u->n] = day;
	u->keys[u->n] = *key;
	u->rows[u->n++] = *row;
	return ERR_OK;
}

static void assert_same_usage(struct pair *p)
{
	int64_t first = account_day(NOON.wall_ms) - 2, last = account_day(p->now.wall_ms) + 2;
	struct usages *u[2];

	for (int i = 0; i < 2; i++) {
		u[i] = calloc(1, sizeof(*u[i]));
		assert_non_null(u[i]);
		assert_int_equal(ledger_usage(p->l[i], first, last, on_usage, u[i], &err), ERR_OK);
	}
	assert_int_equal(u[0]->n, u[1]->n);
	for (size_t a = 0; a < u[0]->n; a++) {
		size_t b = 0;

		while (b < u[1]->n &&
			(u[0]->days[a] != u[1]->days[b] || memcmp(&u[0]->keys[a], &u[1]->keys[b],
								   sizeof(struct usage_key)) != 0))
			b++;
		assert_true(b < u[1]->n);
		assert_memory_equal(&u[0]->rows[a], &u[1]->rows[b], sizeof(struct usage_row));
	}
	assert_true(u[0]->n > 0);
	free(u[0]);
	free(u[1]);
}

static struct ledger *open_in(struct pair *p, int i)
{
	if (!p->homes[i][0])
		make_home(NULL);
	else
		memcpy(home, p->homes[i], sizeof(home));
	memcpy(p->homes[i], home, sizeof(home));
	home_redis = i ? redis_of_this_process : NULL;
	return open_ledger();
}

static void the_engines_answer_alike_whatever_is_asked(void **state)
{
	struct pair p = { 0 };
	char said[64];

	(void)state;
	for (uint64_t run = 0; run < RUNS; run++) {
		memset(&p, 0, sizeof(p));
		assert_true(redis_rig_ask(&rig, "FLUSHALL", said, sizeof(said)));
		p.random = UINT64_C(0x9E3779B97F4A7C15) * (run + 1) + (uint64_t)getpid();
		print_message("  run %" PRIu64 ", seed %" PRIu64 "\n", run, p.random);
		p.now = NOON;
		for (int i = 0; i < 2; i++)
			p.l[i] = open_in(&p, i);
		for (int i = 0; i < CALLS; i++) {
			one_call(&p);
			pass_time(&p);
			if (i % 50 == 0)
				assert_same_accounts(&p);
		}
		assert_same_accounts(&p);
		assert_same_usage(&p);
		print_message("  %" PRIu64 " admitted, %" PRIu64 " refused, %" PRIu64 " settled\n",
			p.reserved, p.refused, p.settled);
		assert_true(p.reserved > 100 && p.refused > 100 && p.settled > 100);
		for (int i = 0; i < 2; i++) {
			ledger_close(p.l[i]);
			memcpy(home, p.homes[i], sizeof(home));
			drop_home(NULL);
		}
	}
	home_redis = NULL;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_engines_answer_alike_whatever_is_asked),
	};

	return cmocka_run_group_tests(tests, start_redis, stop_redis);
}
