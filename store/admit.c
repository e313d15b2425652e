#include "store/admit.h"

#include "store/fault.h"

#include <inttypes.h>

static const struct kind {
	const char *what;
	int64_t max;
	bool is_money;
	uint64_t hold;
} kinds[LEDGER_LIMIT_KINDS] = {
	[LEDGER_BALANCE] = { "balance", INT64_MAX, true, LEASE_MONEY },
	[LEDGER_SPEND_DAY] = { "budget of the day", INT64_MAX, true, LEASE_MONEY },
	[LEDGER_SPEND_MONTH] = { "budget of the month", INT64_MAX, true, LEASE_MONEY },
	[LEDGER_SPEND_TOTAL] = { "budget", INT64_MAX, true, LEASE_MONEY },
	[LEDGER_REQUESTS_MINUTE] = { "requests per minute", METER_MAX, false, 0 },
	[LEDGER_TOKENS_MINUTE] = { "tokens per minute", METER_MAX, false, LEASE_TOKENS },
	[LEDGER_REQUESTS_HOUR] = { "requests per hour", METER_HOUR_MAX, false, 0 },
	[LEDGER_CONCURRENT] = { "requests at once", HOT_LEASES, false, LEASE_RUNNING },
};

enum err_code admit_check(const struct ledger_ask *ask, struct err *e)
{
	size_t subjects = 0;

	if (ask->microusd < 0 || ask->microusd > LEDGER_MICROUSD_MAX)
		return err_param(e, ERR_RANGE, "microusd", "an amount of 0..%" PRId64 " is asked",
			LEDGER_MICROUSD_MAX);
	if (ask->tokens < 0 || ask->tokens > LEDGER_TOKENS_MAX)
		return err_param(e, ERR_RANGE, "tokens", "0..%" PRId64 " tokens are asked",
			LEDGER_TOKENS_MAX);
	if (!ask->id.word[0])
		return err_param(e, ERR_RANGE, "id", "a request needs an id");
	if (ask->limits_n > LEDGER_LIMITS)
		return err_param(
			e, ERR_RANGE, "limits", "at most %d limits at once", LEDGER_LIMITS);
	for (size_t i = 0; i < ask->limits_n; i++) {
		const struct ledger_limit *limit = &ask->limits[i];
		size_t before = 0;

		while (before < i && ask->limits[before].subject != limit->subject)
			before++;
		if (before == i && ++subjects > LEDGER_SUBJECTS)
			return err_param(e, ERR_RANGE, "limits", "at most %d subjects at once",
				LEDGER_SUBJECTS);
		if ((unsigned)limit->kind >= LEDGER_LIMIT_KINDS || limit->ceiling < 0 ||
			limit->ceiling > kinds[limit->kind].max || !limit->subject ||
			(limit->subject & ~LEASE_SUBJECT))
			return err_param(e, ERR_RANGE, "limits",
				"limit %zu: its kind, subject or ceiling is out of range", i);
	}
	return ERR_OK;
}

static struct admit_subject *subject_of(struct admit *a, const struct hot *h, uint64_t id)
{
	struct admit_subject *s;
	const struct account *account;
	const struct meter *meter;

	for (size_t i = 0; i < a->n; i++)
		if (a->subjects[i].id == id)
			return &a->subjects[i];
	if (a->n == LEDGER_SUBJECTS)
		return NULL;
	s = &a->subjects[a->n++];
	account = hot_account(h, id);
	meter = hot_meter(h, id);
	*s = (struct admit_subject){ .id = id };
	if (account)
		s->account = *account;
	if (meter)
		s->meter = *meter;
	s->meter.subject = id;
	return s;
}

/* What the ceiling leaves when nothing is reserved: may be negative. */
static int64_t unspent(const struct account *a, const struct ledger_limit *limit, int64_t wall_ms)
{
	switch (limit->kind) {
	case LEDGER_BALANCE:
		return account_add(account_balance(a), limit->ceiling);
	case LEDGER_SPEND_DAY:
		return account_add(limit->ceiling, -account_spent_on_day(a, wall_ms));
	case LEDGER_SPEND_MONTH:
		return account_add(limit->ceiling, -account_spent_in_month(a, wall_ms));
	default:
		return account_add(limit->ceiling, -a->spent);
	}
}

static int64_t window_end_ms(enum ledger_limit_kind kind, int64_t wall_ms)
{
	if (kind == LEDGER_SPEND_DAY)
		return account_day_end_ms(wall_ms) - wall_ms;
	if (kind == LEDGER_SPEND_MONTH)
		return account_month_end_ms(wall_ms) - wall_ms;
	return LEDGER_NEVER;
}

/* -1 when it fits, else when it will (as in struct ledger_refusal). */
static int64_t money_wait(const struct account *a, const struct ledger_limit *limit,
	int64_t microusd, int64_t wall_ms)
{
	int64_t left = unspent(a, limit, wall_ms);

	if (microusd <= account_add(left, -a->reserved))
		return -1;
	if (microusd <= left)
		return 0;
	return limit->kind != LEDGER_BALANCE && microusd > limit->ceiling
		       ? LEDGER_NEVER
		       : window_end_ms(limit->kind, wall_ms);
}

static int64_t take(struct admit_subject *s, const struct ledger_limit *limit,
	const struct ledger_ask *ask, struct ledger_now now)
{
	int64_t wait;

	switch (limit->kind) {
	case LEDGER_REQUESTS_MINUTE:
		wait = meter_take_requests(&s->meter, limit->ceiling, 1, now.mono_ms);
		break;
	case LEDGER_TOKENS_MINUTE:
		wait = meter_take_tokens(&s->meter, limit->ceiling, ask->tokens, now.mono_ms);
		break;
	case LEDGER_REQUESTS_HOUR:
		wait = meter_take_hour(&s->meter, limit->ceiling, now.mono_ms);
		break;
	case LEDGER_CONCURRENT:
		if (s->meter.running >= limit->ceiling)
			return limit->ceiling ? 0 : LEDGER_NEVER;
		/* Counted once, however many limits there are on it. */
		s->meter.running += !(s->holds & LEASE_RUNNING);
		s->holds |= LEASE_RUNNING;
		s->has_meter = true;
		return -1;
	default:
		wait = money_wait(&s->account, limit, ask->microusd, now.wall_ms);
		if (wait < 0)
			s->holds |= LEASE_MONEY;
		return wait;
	}
	if (wait)
		return wait;
	s->has_meter = true;
	s->holds |= kinds[limit->kind].hold;
	return -1;
}

static void look(const struct admit_subject *s, struct ledger_limit *limit, struct ledger_now now,
	int64_t reserved_now)
{
	const struct account *a = &s->account;
	int64_t left;

	switch (limit->kind) {
	case LEDGER_REQUESTS_MINUTE:
		limit->remaining = meter_requests_left(
			&s->meter, limit->ceiling, now.mono_ms, &limit->reset_ms);
		return;
	case LEDGER_TOKENS_MINUTE:
		limit->remaining =
			meter_tokens_left(&s->meter, limit->ceiling, now.mono_ms, &limit->reset_ms);
		return;
	case LEDGER_REQUESTS_HOUR:
		limit->remaining =
			meter_hour_left(&s->meter, limit->ceiling, now.mono_ms, &limit->reset_ms);
		return;
	case LEDGER_CONCURRENT:
		left = limit->ceiling - s->meter.running;
		limit->reset_ms = 0;
		break;
	default:
		left = account_add(
			unspent(a, limit, now.wall_ms), -account_add(a->reserved, reserved_now));
		limit->reset_ms = window_end_ms(limit->kind, now.wall_ms);
		break;
	}
	limit->remaining = left > 0 ? left : 0;
}

enum err_code admit_refuse(
	const struct ledger_limit *limit, const struct ledger_refusal *refusal, struct err *e)
{
	const struct kind *k = &kinds[limit->kind];
	int64_t ms = refusal->retry_after_ms;
	const char *whose = account_kind_name(limit->subject);
	enum err_code rc = k->is_money ? ERR_NO_CREDIT : ERR_RATE_LIMITED;

	if (ms == LEDGER_NEVER)
		rc = err_set(e, rc, "the %s's %s does not allow this request: %s", whose, k->what,
			limit->kind == LEDGER_BALANCE
				? "add credit"
				: "ask for less (fewer tokens), or have the limit raised");
	else if (ms == 0)
		rc = err_set(e, rc,
			"the %s's %s is taken by requests that are running: try again when one "
			"of them has ended",
			whose, k->what);
	else
		rc = err_set(e, rc,
			"the %s's limit of %" PRId64 " (%s) is used up: try again in %" PRId64
			".%03d s",
			whose, limit->ceiling, k->what, ms / 1000, (int)(ms % 1000));
	if (e && ms != LEDGER_NEVER)
		e->retry_after_ms = ms ? ms : 1000;
	if (e && ms == LEDGER_NEVER)
		e->retry = -1;
	return rc;
}

enum err_code admit_decide(struct admit *a, const struct hot *h, struct ledger_now now,
	struct ledger_ask *ask, struct ledger_refusal *refusal, struct err *e)
{
	struct admit_subject *of[LEDGER_LIMITS];
	bool refused = false;

	a->n = 0;
	*refusal = (struct ledger_refusal){ 0 };
	for (size_t i = 0; i < ask->limits_n; i++) {
		int64_t wait;

		of[i] = subject_of(a, h, ask->limits[i].subject);
		if (!of[i])
			return err_param(e, ERR_RANGE, "limits", "at most %d subjects at once",
				LEDGER_SUBJECTS);
		wait = take(of[i], &ask->limits[i], ask, now);
		if (wait < 0 || (refused && wait <= refusal->retry_after_ms))
			continue;
		refused = true;
		refusal->limit = i;
		refusal->retry_after_ms = wait;
	}
	/* A refusal took nothing, so what is left is told from the table, not from the copies. */
	if (refused)
		a->n = 0;
	for (size_t i = 0; i < ask->limits_n; i++) {
		struct admit_subject *s = subject_of(a, h, ask->limits[i].subject);

		look(s, &ask->limits[i], now, refused ? 0 : ask->microusd);
	}
	return refused ? admit_refuse(&ask->limits[refusal->limit], refusal, e) : ERR_OK;
}

enum err_code admit_look(
	const struct hot *h, struct ledger_now now, struct ledger_ask *ask, struct err *e)
{
	struct admit a = { .n = 0 };

	for (size_t i = 0; i < ask->limits_n; i++) {
		struct admit_subject *s = subject_of(&a, h, ask->limits[i].subject);

		if (!s)
			return err_param(e, ERR_RANGE, "limits", "at most %d subjects at once",
				LEDGER_SUBJECTS);
		look(s, &ask->limits[i], now, 0);
	}
	return ERR_OK;
}

static bool write_meters(const struct admit *a, struct hot *h, int64_t mono_ms)
{
	for (size_t i = 0; i < a->n; i++) {
		struct meter *m;

		if (!a->subjects[i].has_meter)
			continue;
		m = hot_meter_place(h, a->subjects[i].id, mono_ms);
		if (!m)
			return false;
		hot_copy(h, m, &a->subjects[i].meter, METER_WORDS);
		(void)fault_at("admit.meter");
	}
	return true;
}

enum err_code admit_take(const struct admit *a, struct hot *h, struct ledger_now now,
	const struct lease *owner, const struct ledger_ask *ask, struct ledger_lease *out,
	struct err *e)
{
	struct lease what = *owner;
	uint32_t index, generation;

	what.deadline_ms = ask->deadline_ms;
	what.microusd = ask->microusd;
	what.tokens = ask->tokens;
	what.id = ask->id.word[0];
	for (size_t i = 0; i < a->n; i++)
		if (a->subjects[i].holds)
			what.holds[i] = a->subjects[i].holds | a->subjects[i].id;
	hot_begin(h);
	if (!lease_open(h, &what, &index, &generation) || !write_meters(a, h, now.mono_ms)) {
		hot_abort(h);
		return err_set(e, ERR_BUSY,
			"the store holds %" PRIu64 " open requests and %" PRIu64
			" accounts and has no place for another; try again",
			h->head->leases_used, h->head->accounts_used);
	}
	(void)fault_at("admit.taken");
	hot_commit(h);
	*out = (struct ledger_lease){ .id = ask->id,
		.index = index,
		.generation = generation,
		.microusd = ask->microusd,
		.is_open = true };
	return ERR_OK;
}
