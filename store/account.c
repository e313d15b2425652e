#include "store/account.h"

#include <string.h>

#define DAY_MS  INT64_C(86400000)
#define ID_MASK UINT64_C(0x00FFFFFFFFFFFFFF)

_Static_assert(sizeof(struct account) == ACCOUNT_WORDS * 8, "an account is 16 words");

uint64_t account_subject(enum account_kind kind, uint64_t id)
{
	if (!id)
		return 0;
	id &= ID_MASK;
	return (uint64_t)kind << 56 | (id ? id : 1);
}

/* The finaliser of MurmurHash3: every bit of the input reaches every bit of the output. */
static uint64_t mix(uint64_t x)
{
	x ^= x >> 33;
	x *= UINT64_C(0xFF51AFD7ED558CCD);
	x ^= x >> 33;
	x *= UINT64_C(0xC4CEB9FE1A85EC53);
	return x ^ x >> 33;
}

uint64_t account_member(uint64_t org, uint64_t user)
{
	if (!org || !user)
		return 0;
	return account_subject(ACCOUNT_MEMBER, mix(mix(org) + user) | 1);
}

enum account_kind account_kind_of(uint64_t subject)
{
	return (enum account_kind)(subject >> 56);
}

const char *account_kind_name(uint64_t subject)
{
	static const char *const names[ACCOUNT_KINDS] = {
		[ACCOUNT_KEY] = "key",
		[ACCOUNT_USER] = "user",
		[ACCOUNT_ORG] = "organisation",
		[ACCOUNT_MEMBER] = "member",
		[ACCOUNT_PROVIDER] = "provider",
		[ACCOUNT_ADDRESS] = "address",
	};
	uint64_t kind = subject >> 56;

	return kind < ACCOUNT_KINDS && names[kind] ? names[kind] : "unknown";
}

unsigned account_targets(const struct record *r, uint64_t out[ACCOUNT_TARGETS], uint64_t *payer)
{
	unsigned n = 0;

	*payer = 0;
	if (r->type == RECORD_CREDIT) {
		if (r->credit.subject)
			out[n++] = r->credit.subject;
		return n;
	}
	if (r->type == RECORD_SUM && r->sum.subject)
		out[n++] = r->sum.subject;
	if (r->type != RECORD_SETTLE)
		return n;
	const struct record_settle *s = &r->settle;
	const uint64_t all[ACCOUNT_TARGETS] = {
		account_subject(ACCOUNT_KEY, s->key),
		account_subject(ACCOUNT_USER, s->user),
		account_subject(ACCOUNT_ORG, s->org),
		account_member(s->org, s->user),
		account_subject(ACCOUNT_PROVIDER, s->provider),
	};
	for (unsigned i = 0; i < ACCOUNT_TARGETS; i++)
		if (all[i])
			out[n++] = all[i];
	*payer = all[2] ? all[2] : all[1];
	return n;
}

int64_t account_add(int64_t a, int64_t b)
{
	int64_t sum;

	if (__builtin_add_overflow(a, b, &sum))
		return b > 0 ? INT64_MAX : INT64_MIN;
	return sum;
}

static void count_in_window(
	int64_t *latest, int64_t *spent, int64_t *before_spent, int64_t window, int64_t cost)
{
	if (window == *latest) {
		*spent = account_add(*spent, cost);
	} else if (window == *latest - 1) {
		*before_spent = account_add(*before_spent, cost);
	} else {
		*before_spent = window == *latest + 1 ? *spent : 0;
		*spent = cost;
		*latest = window;
	}
}

/* What was spent in one window, of which there may be a later one. */
static int64_t in_window(int64_t latest, int64_t spent, int64_t before_spent, int64_t window)
{
	if (window == latest)
		return spent;
	return window == latest - 1 ? before_spent : 0;
}

static int64_t later(int64_t a, int64_t b)
{
	return a > b ? a : b;
}

static void add_sum(struct account *a, const struct record_sum *s)
{
	int64_t day = later(a->day, s->day), month = later(a->month, s->month);
	const struct account was = *a;

#define IN(x, unit, window) \
	in_window((x)->unit, (x)->unit##_spent, (x)->unit##_before_spent, window)
	a->day = day;
	a->day_spent = account_add(IN(&was, day, day), IN(s, day, day));
	a->day_before_spent = account_add(IN(&was, day, day - 1), IN(s, day, day - 1));
	a->month = month;
	a->month_spent = account_add(IN(&was, month, month), IN(s, month, month));
	a->month_before_spent = account_add(IN(&was, month, month - 1), IN(s, month, month - 1));
	a->credited = account_add(a->credited, s->credited);
	a->charged = account_add(a->charged, s->charged);
	a->spent = account_add(a->spent, s->spent);
	a->requests = account_add(a->requests, s->requests);
	a->failed = account_add(a->failed, s->failed);
	a->prompt_tokens = account_add(a->prompt_tokens, s->prompt_tokens);
	a->completion_tokens = account_add(a->completion_tokens, s->completion_tokens);
}

bool account_difference(
	const struct account *have, const struct account *want, struct record_sum *out)
{
	int64_t day = later(have->day, want->day), month = later(have->month, want->month);

	*out = (struct record_sum){ .subject = want->subject,
		.credited = want->credited - have->credited,
		.charged = want->charged - have->charged,
		.spent = want->spent - have->spent,
		.day = day,
		.day_spent = IN(want, day, day) - IN(have, day, day),
		.day_before_spent = IN(want, day, day - 1) - IN(have, day, day - 1),
		.month = month,
		.month_spent = IN(want, month, month) - IN(have, month, month),
		.month_before_spent = IN(want, month, month - 1) - IN(have, month, month - 1),
		.requests = want->requests - have->requests,
		.failed = want->failed - have->failed,
		.prompt_tokens = want->prompt_tokens - have->prompt_tokens,
		.completion_tokens = want->completion_tokens - have->completion_tokens };
#undef IN
	return out->credited || out->charged || out->spent || out->day_spent ||
	       out->day_before_spent || out->month_spent || out->month_before_spent ||
	       out->requests || out->failed || out->prompt_tokens || out->completion_tokens;
}

void account_apply(struct account *a, const struct record *r, uint64_t payer)
{
	const struct record_settle *s = &r->settle;

	if (r->type == RECORD_SUM) {
		add_sum(a, &r->sum);
		return;
	}
	if (r->type == RECORD_CREDIT) {
		a->credited = account_add(a->credited, r->credit.microusd);
		return;
	}
	if (a->subject == payer)
		a->charged = account_add(a->charged, s->cost_microusd);
	a->spent = account_add(a->spent, s->cost_microusd);
	count_in_window(&a->day, &a->day_spent, &a->day_before_spent, account_day(r->wall_ms),
		s->cost_microusd);
	count_in_window(&a->month, &a->month_spent, &a->month_before_spent,
		account_month(r->wall_ms), s->cost_microusd);
	a->requests = account_add(a->requests, 1);
	a->failed = account_add(a->failed, s->status >= 400);
	a->prompt_tokens = account_add(a->prompt_tokens, s->tokens[RECORD_PROMPT]);
	a->completion_tokens = account_add(a->completion_tokens, s->tokens[RECORD_COMPLETION]);
}

int64_t account_balance(const struct account *a)
{
	int64_t balance;

	if (__builtin_sub_overflow(a->credited, a->charged, &balance))
		return a->credited < 0 ? INT64_MIN : INT64_MAX;
	return balance;
}

/* A clock more than a window behind the latest record cannot be placed: the larger figure is
 * the safe one. */
static int64_t spent_in(int64_t latest, int64_t spent, int64_t before_spent, int64_t window)
{
	if (window == latest)
		return spent;
	if (window == latest - 1)
		return before_spent;
	if (window > latest)
		return 0;
	return spent > before_spent ? spent : before_spent;
}

int64_t account_spent_on_day(const struct account *a, int64_t wall_ms)
{
	return spent_in(a->day, a->day_spent, a->day_before_spent, account_day(wall_ms));
}

int64_t account_spent_in_month(const struct account *a, int64_t wall_ms)
{
	return spent_in(a->month, a->month_spent, a->month_before_spent, account_month(wall_ms));
}

int64_t account_day(int64_t wall_ms)
{
	return wall_ms / DAY_MS;
}

int64_t account_day_end_ms(int64_t wall_ms)
{
	return (account_day(wall_ms) + 1) * DAY_MS;
}

/* Days to a civil month and back, for days of 1970 and later: the year begins in March, so
 * that the leap day is its last. */
int64_t account_month(int64_t wall_ms)
{
	int64_t days = account_day(wall_ms) + 719468;
	int64_t era = days / 146097;
	int64_t of_era = days % 146097;
	int64_t year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
	int64_t of_year = of_era - (365 * year + year / 4 - year / 100);
	int64_t march_month = (5 * of_year + 2) / 153;

	return (era * 400 + year) * 12 + march_month + 2; /* month 0 is January of year 0 */
}

int64_t account_month_end_ms(int64_t wall_ms)
{
	int64_t month = account_month(wall_ms) + 1;
	int64_t march_month = (month + 10) % 12;
	int64_t year = (month - 2 - march_month) / 12;
	int64_t of_era = year % 400;
	int64_t of_year = (153 * march_month + 2) / 5;
	int64_t days = year / 400 * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year;

	return (days - 719468) * DAY_MS;
}
