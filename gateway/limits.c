#include "gateway/limits.h"

#include "base/crypto.h"
#include "base/sink.h"

#include <stdio.h>

/* ---- which limits there are ---- */

static void add(struct admission *a, enum account_kind kind, uint64_t number,
	enum ledger_limit_kind limit, int64_t ceiling)
{
	/* There are fewer kinds than places. */
	if (a->limits_n < LEDGER_LIMITS)
		a->limits[a->limits_n++] = (struct ledger_limit){
			.subject = account_subject(kind, number), .kind = limit, .ceiling = ceiling
		};
}

static void add_money(struct admission *a, const struct identity *who)
{
	static const enum ledger_limit_kind windows[KEY_WINDOWS] = {
		[KEY_WINDOW_DAY] = LEDGER_SPEND_DAY,
		[KEY_WINDOW_MONTH] = LEDGER_SPEND_MONTH,
		[KEY_WINDOW_TOTAL] = LEDGER_SPEND_TOTAL,
	};
	const struct key_info *key = who->key;

	if (key->budget_window)
		add(a, ACCOUNT_KEY, key->number, windows[key->budget_window], key->budget_microusd);
	if (who->user.daily.is_set)
		add(a, ACCOUNT_USER, who->user.number, LEDGER_SPEND_DAY, who->user.daily.microusd);
	if (!who->org) {
		if (key->user[0])
			add(a, ACCOUNT_USER, who->user.number, LEDGER_BALANCE, 0);
		return;
	}
	add(a, ACCOUNT_ORG, who->org->number, LEDGER_BALANCE, 0);
	if (who->member_daily.is_set && a->limits_n < LEDGER_LIMITS)
		a->limits[a->limits_n++] = (struct ledger_limit){
			.subject = account_member(who->org->number, who->user.number),
			.kind = LEDGER_SPEND_DAY,
			.ceiling = who->member_daily.microusd
		};
}

uint64_t limits_address_number(const struct ip *ip, int64_t prefix_bits)
{
	static const uint8_t v4[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff };
	uint8_t hash[SHA256_BYTES];
	struct ip cut = { { 0 } };
	uint64_t n;

	if (ip) {
		cut = *ip;
		if (memcmp(cut.bytes, v4, sizeof(v4)) != 0)
			for (int64_t bit = prefix_bits; bit < 128; bit++)
				cut.bytes[bit / 8] &= (uint8_t) ~(0x80u >> bit % 8);
	}
	crypto_sha256((struct slice){ (const char *)cut.bytes, sizeof(cut.bytes) }, hash);
	memcpy(&n, hash, sizeof(n));
	return n ? n : 1;
}

void limits_collect(const struct limits_conf *conf, const struct limits_who *who, bool free,
	struct admission *a)
{
	const struct key_info *key = who->identity->key;

	if (!key) {
		add(a, ACCOUNT_ADDRESS, limits_address_number(who->address, conf->ipv6_prefix_bits),
			LEDGER_REQUESTS_HOUR, conf->free_per_hour);
		return;
	}
	if (key->requests_per_minute)
		add(a, ACCOUNT_KEY, key->number, LEDGER_REQUESTS_MINUTE, key->requests_per_minute);
	if (key->tokens_per_minute)
		add(a, ACCOUNT_KEY, key->number, LEDGER_TOKENS_MINUTE, key->tokens_per_minute);
	if (key->concurrent)
		add(a, ACCOUNT_KEY, key->number, LEDGER_CONCURRENT, key->concurrent);
	if (!free)
		add_money(a, who->identity);
}

static bool is_money(enum ledger_limit_kind kind)
{
	return kind == LEDGER_BALANCE || kind == LEDGER_SPEND_DAY || kind == LEDGER_SPEND_MONTH ||
	       kind == LEDGER_SPEND_TOTAL;
}

/* ---- refusals in words ---- */

static void usd(int64_t microusd, char *out, size_t size)
{
	uint64_t n = microusd < 0 ? 0 - (uint64_t)microusd : (uint64_t)microusd;

	snprintf(out, size, "%s$%llu.%06llu", microusd < 0 ? "-" : "",
		(unsigned long long)(n / 1000000), (unsigned long long)(n % 1000000));
}

static const char *whose(uint64_t subject)
{
	switch (account_kind_of(subject)) {
	case ACCOUNT_KEY:
		return "this key";
	case ACCOUNT_USER:
		return "this user";
	case ACCOUNT_ORG:
		return "this organisation";
	case ACCOUNT_MEMBER:
		return "this member of the organisation";
	default:
		return "this caller";
	}
}

static enum err_code no_credit(const struct limits_conf *conf, const struct ledger_limit *limit,
	int64_t asked, struct err *e)
{
	static const char *const what[LEDGER_LIMIT_KINDS] = {
		[LEDGER_BALANCE] = "balance",
		[LEDGER_SPEND_DAY] = "daily budget (until midnight UTC)",
		[LEDGER_SPEND_MONTH] = "monthly budget (until the month ends, UTC)",
		[LEDGER_SPEND_TOTAL] = "budget",
	};
	char cost[40], left[40];
	enum err_code rc;

	usd(asked, cost, sizeof(cost));
	usd(limit->remaining, left, sizeof(left));
	rc = err_set(e, ERR_NO_CREDIT,
		"the %s of %s has %s left and this request may cost up to %s: add credit, choose a "
		"free or cheaper model, or send a smaller max_tokens",
		what[limit->kind], whose(limit->subject), left, cost);
	e->has_balance = true;
	e->balance_microusd = limit->remaining;
	e->buy_url = conf->buy_url;
	return rc;
}

static enum err_code rate_limited(
	const struct ledger_limit *limit, int64_t retry_after_ms, struct err *e)
{
	static const char *const what[LEDGER_LIMIT_KINDS] = {
		[LEDGER_REQUESTS_MINUTE] = "requests per minute",
		[LEDGER_TOKENS_MINUTE] = "tokens per minute",
		[LEDGER_REQUESTS_HOUR] = "free requests per hour without a key",
		[LEDGER_CONCURRENT] = "requests at the same time",
	};
	char wait[LIMITS_DURATION_SIZE];
	enum err_code rc;

	if (retry_after_ms == LEDGER_NEVER) {
		rc = err_set(e, ERR_RATE_LIMITED,
			"this request alone is more than the limit of %lld %s: send less at once",
			(long long)limit->ceiling, what[limit->kind]);
		e->retry = -1;
		return rc;
	}
	/* A place among those at once becomes free when a request ends, nobody knows when. */
	if (!retry_after_ms)
		retry_after_ms = 1000;
	limits_duration(retry_after_ms, wait);
	rc = err_set(e, ERR_RATE_LIMITED, "the limit of %lld %s is reached: try again in %s",
		(long long)limit->ceiling, what[limit->kind], wait);
	e->retry_after_ms = retry_after_ms;
	return rc;
}

/* ---- admission ---- */

enum err_code limits_admit(struct ledger *l, struct ledger_now now, const struct limits_conf *conf,
	const struct limits_who *who, const struct limits_what *what, struct admission *a,
	struct err *e)
{
	struct ledger_ask ask = { .id = what->id,
		.tokens = what->likely_tokens < LEDGER_TOKENS_MAX ? what->likely_tokens
								  : LEDGER_TOKENS_MAX,
		.deadline_ms = what->deadline_mono_ms };
	struct ledger_refusal refusal = { 0 };
	bool money = false;
	enum err_code rc;

	*a = (struct admission){ .limits_n = 0 };
	limits_collect(conf, who, what->free, a);
	for (size_t i = 0; i < a->limits_n; i++)
		money |= is_money(a->limits[i].kind);
	if (money && !what->prices)
		return err_param(e, ERR_FORBIDDEN, "model",
			"no price is known for this model, and this key may only spend what can be "
			"counted");
	if (money && (cost_worst(what->prices, &what->worst, &ask.microusd, e) ||
			     ask.microusd > LEDGER_MICROUSD_MAX))
		return err_param(e, ERR_BAD_REQUEST, "max_tokens",
			"the request is too large to be priced: send a smaller max_tokens or n");
	ask.limits = a->limits;
	ask.limits_n = a->limits_n;
	rc = ledger_reserve(l, now, &ask, &a->lease, &refusal, e);
	a->microusd = ask.microusd;
	if (rc == ERR_NO_CREDIT)
		return no_credit(conf, &a->limits[refusal.limit], ask.microusd, e);
	if (rc == ERR_RATE_LIMITED)
		return rate_limited(&a->limits[refusal.limit], refusal.retry_after_ms, e);
	return rc;
}

/* ---- headers ---- */

void limits_duration(int64_t ms, char out[LIMITS_DURATION_SIZE])
{
	int64_t minutes = ms / 60000;

	if (ms < 1000)
		snprintf(out, LIMITS_DURATION_SIZE, "%lldms", (long long)(ms < 0 ? 0 : ms));
	else if (ms < 60000 && ms % 1000)
		snprintf(out, LIMITS_DURATION_SIZE, "%lld.%03llds", (long long)(ms / 1000),
			(long long)(ms % 1000));
	else if (ms < 60000)
		snprintf(out, LIMITS_DURATION_SIZE, "%llds", (long long)(ms / 1000));
	else if (minutes < 60)
		snprintf(out, LIMITS_DURATION_SIZE, "%lldm%llds", (long long)minutes,
			(long long)(ms / 1000 % 60));
	else
		snprintf(out, LIMITS_DURATION_SIZE, "%lldh%lldm%llds", (long long)(minutes / 60),
			(long long)(minutes % 60), (long long)(ms / 1000 % 60));
}

static void write_limit(const struct ledger_limit *limit, const char *unit, struct buf *head)
{
	char name[48], value[LIMITS_DURATION_SIZE];

	snprintf(name, sizeof(name), "x-ratelimit-limit-%s", unit);
	snprintf(value, sizeof(value), "%lld", (long long)limit->ceiling);
	head_add(head, name, value);
	snprintf(name, sizeof(name), "x-ratelimit-remaining-%s", unit);
	snprintf(value, sizeof(value), "%lld", (long long)limit->remaining);
	head_add(head, name, value);
	if (limit->reset_ms == LEDGER_NEVER)
		return;
	snprintf(name, sizeof(name), "x-ratelimit-reset-%s", unit);
	limits_duration(limit->reset_ms, value);
	head_add(head, name, value);
}

void limits_write_head(const struct admission *a, struct buf *head)
{
	for (size_t i = 0; i < a->limits_n; i++) {
		enum ledger_limit_kind kind = a->limits[i].kind;

		if (kind == LEDGER_REQUESTS_MINUTE || kind == LEDGER_REQUESTS_HOUR)
			write_limit(&a->limits[i], "requests", head);
		else if (kind == LEDGER_TOKENS_MINUTE)
			write_limit(&a->limits[i], "tokens", head);
	}
}
