/* tollgate why: why a key is at its limit, limit by limit and request by request. */
#include "gateway/attempts_json.h"
#include "gateway/limits.h"
#include "gateway/policy.h"
#include "gateway/settle.h"
#include "handlers/cli/amount.h"
#include "handlers/cli/cli.h"
#include "handlers/cli/ledger_books.h"
#include "handlers/cli/usage_table.h"
#include "store/attempts.h"
#include "store/verify.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define LINES_MAX    1000
#define SEGMENTS_MAX 256 /* looked through for the latest requests */

static const char usage[] =
	"Usage: tollgate why KEY [--org ORG] [--lines N]\n"
	"\n"
	"Explains why a key, given by its id or name, is at its limit: every limit that applies,\n"
	"what of it is used, what open requests hold, what remains and when it resets; the open\n"
	"requests; and the latest settled ones with their cost.\n"
	"\n"
	"  --org ORG  as for a request that names this organisation (id or short name)\n"
	"  --lines N  so many of the latest requests (default: 10)\n";

struct why {
	struct ledger_books *b;
	const char *home;
	struct key_info key;
	struct identity who;
	struct ledger_now now;
	struct admission limits; /* only its limits */
};

/* ---- the limits ---- */

static bool is_money(enum ledger_limit_kind kind)
{
	return kind == LEDGER_BALANCE || kind == LEDGER_SPEND_DAY || kind == LEDGER_SPEND_MONTH ||
	       kind == LEDGER_SPEND_TOTAL;
}

static const char *kind_name(enum ledger_limit_kind kind)
{
	static const char *const names[LEDGER_LIMIT_KINDS] = {
		[LEDGER_BALANCE] = "balance",
		[LEDGER_SPEND_DAY] = "spend per day",
		[LEDGER_SPEND_MONTH] = "spend per month",
		[LEDGER_SPEND_TOTAL] = "spend in all",
		[LEDGER_REQUESTS_MINUTE] = "requests per minute",
		[LEDGER_TOKENS_MINUTE] = "tokens per minute",
		[LEDGER_REQUESTS_HOUR] = "requests per hour",
		[LEDGER_CONCURRENT] = "requests at once",
	};

	return names[kind];
}

static void write_amount(enum ledger_limit_kind kind, int64_t n, struct buf *out)
{
	char text[AMOUNT_SIZE];

	if (is_money(kind)) {
		amount_write(n, text);
		buf_str(out, text);
	} else {
		usage_table_count(n, out);
	}
}

#define SOON_MS INT64_C(3600000) /* shown as a wait; what is later, as a time */

static void write_reset(const struct why *w, const struct ledger_limit *limit, struct buf *out)
{
	char wait[LIMITS_DURATION_SIZE], time[CLOCK_ISO_SIZE];

	if (limit->kind == LEDGER_CONCURRENT) {
		buf_str(out, "as requests end");
	} else if (limit->reset_ms == LEDGER_NEVER) {
		buf_str(out, limit->kind == LEDGER_BALANCE ? "when credit is added" : "never");
	} else if (limit->reset_ms <= 0) {
		buf_char(out, '-');
	} else if (limit->reset_ms < SOON_MS) {
		limits_duration(limit->reset_ms, wait);
		buf_printf(out, "in %s", wait);
	} else {
		amount_write_minute(w->now.wall_ms + limit->reset_ms, "-", time);
		buf_printf(out, "at %s UTC", time);
	}
}

/* What was spent in the window of a money limit; of others, what is not left. */
static int64_t used(const struct why *w, const struct ledger_limit *limit, const struct account *a)
{
	switch (limit->kind) {
	case LEDGER_BALANCE:
		return a->charged;
	case LEDGER_SPEND_DAY:
		return account_spent_on_day(a, w->now.wall_ms);
	case LEDGER_SPEND_MONTH:
		return account_spent_in_month(a, w->now.wall_ms);
	case LEDGER_SPEND_TOTAL:
		return a->spent;
	default:
		return limit->ceiling - limit->remaining;
	}
}

static void print_cell(const struct buf *text, int width)
{
	printf("  %*.*s", width, SLICE_ARG(buf_slice(text)));
}

static enum err_code print_limit(
	const struct why *w, const struct ledger_limit *limit, struct err *e)
{
	struct buf name = { 0 }, cell = { 0 };
	struct account a;
	enum err_code rc = ledger_account(w->b->ledger, limit->subject, &a, e);

	if (rc)
		return rc;
	buf_printf(
		&name, "%s of the %s", kind_name(limit->kind), account_kind_name(limit->subject));
	printf("%s%-36.*s", cli_style(limit->remaining ? CLI_PLAIN : CLI_RED),
		SLICE_ARG(buf_slice(&name)));
	write_amount(limit->kind,
		limit->kind == LEDGER_BALANCE ? account_add(a.credited, limit->ceiling)
					      : limit->ceiling,
		&cell);
	print_cell(&cell, 12);
	buf_reset(&cell);
	write_amount(limit->kind, used(w, limit, &a), &cell);
	print_cell(&cell, 12);
	buf_reset(&cell);
	if (is_money(limit->kind))
		write_amount(limit->kind, a.reserved, &cell);
	else
		buf_char(&cell, '-');
	print_cell(&cell, 12);
	buf_reset(&cell);
	write_amount(limit->kind, limit->remaining, &cell);
	print_cell(&cell, 12);
	buf_reset(&cell);
	write_reset(w, limit, &cell);
	printf("  %.*s%s\n", SLICE_ARG(buf_slice(&cell)), cli_style(CLI_PLAIN));
	buf_fini(&name);
	buf_fini(&cell);
	return ERR_OK;
}

static enum err_code print_limits(struct why *w, struct err *e)
{
	enum err_code rc =
		ledger_look(w->b->ledger, w->now, w->limits.limits, w->limits.limits_n, e);

	if (rc || !w->limits.limits_n)
		return rc;
	printf("\n%s%-36s  %12s  %12s  %12s  %12s  %s%s\n", cli_style(CLI_DIM), "LIMIT", "CEILING",
		"USED", "RESERVED", "REMAINING", "RESETS", cli_style(CLI_PLAIN));
	for (size_t i = 0; i < w->limits.limits_n && !rc; i++)
		rc = print_limit(w, &w->limits.limits[i], e);
	return rc;
}

/* ---- the answer in words ---- */

static bool say_ended(const struct why *w)
{
	const struct key_info *key = &w->key;
	char time[CLOCK_ISO_SIZE];

	if (key->revoked_ms) {
		amount_write_minute(key->revoked_ms, "-", time);
		printf("The key was revoked at %s UTC: it opens nothing.\n", time);
	} else if (key->expires_ms && key->expires_ms <= w->now.wall_ms) {
		amount_write_minute(key->expires_ms, "-", time);
		printf("The key expired at %s UTC: it opens nothing.\n", time);
	} else {
		return false;
	}
	return true;
}

static void say_verdict(const struct why *w)
{
	size_t reached = 0;
	struct err denied;

	if (say_ended(w))
		return;
	if (policy_may_spend(&w->who, &denied)) {
		printf("Paid models are refused: %s\n", denied.message);
		reached++;
	}
	for (size_t i = 0; i < w->limits.limits_n; i++) {
		const struct ledger_limit *limit = &w->limits.limits[i];
		struct buf reset = { 0 };

		if (limit->remaining)
			continue;
		write_reset(w, limit, &reset);
		printf("%sUsed up: %s of the %s. Resets: %.*s.%s\n", cli_style(CLI_RED),
			kind_name(limit->kind), account_kind_name(limit->subject),
			SLICE_ARG(buf_slice(&reset)), cli_style(CLI_PLAIN));
		buf_fini(&reset);
		reached++;
	}
	if (!w->limits.limits_n)
		puts("No limit applies to this key.");
	else if (!reached)
		puts("No limit is used up. A request is still refused when its worst case does not "
		     "fit into what remains.");
}

/* ---- who it is ---- */

static void print_who(const struct why *w)
{
	char created[CLOCK_ISO_SIZE], expires[CLOCK_ISO_SIZE];

	amount_write_minute(w->key.created_ms, "-", created);
	amount_write_minute(w->key.expires_ms, "never", expires);
	printf("%s%s%s (%s), made %s, expires %s\n", cli_style(CLI_BOLD), w->key.id,
		cli_style(CLI_PLAIN), w->key.name, created, expires);
	if (w->key.user[0])
		printf("user %s\n", w->key.user);
	if (w->who.org)
		printf("organisation %s, as %s\n", w->who.org->slug, people_role_name(w->who.role));
}

/* ---- open reservations ---- */

struct open_list {
	const struct why *w;
	size_t n;
};

static bool concerns(const struct why *w, uint64_t subject)
{
	for (size_t i = 0; i < w->limits.limits_n; i++)
		if (subject && w->limits.limits[i].subject == subject)
			return true;
	return false;
}

static enum err_code on_lease(void *ctx, const struct verify_lease *lease, struct err *e)
{
	struct open_list *list = ctx;
	char held[AMOUNT_SIZE];
	bool ours = false;

	(void)e;
	for (size_t i = 0; i < LEDGER_SUBJECTS; i++)
		ours |= concerns(list->w, lease->subjects[i]);
	if (!ours)
		return ERR_OK;
	if (!list->n++)
		printf("\n%sOPEN REQUESTS%s\n", cli_style(CLI_DIM), cli_style(CLI_PLAIN));
	amount_write(lease->microusd, held);
	printf("%016" PRIx64 "  holds %s and %" PRId64 " tokens, process %" PRIu64
	       "%s, given back in %" PRId64 " s at the latest\n",
		lease->id, held, lease->tokens, lease->pid, lease->owner_is_alive ? "" : " (gone)",
		lease->left_ms > 0 ? lease->left_ms / 1000 : 0);
	return ERR_OK;
}

/* ---- the latest requests ---- */

struct latest {
	const struct why *w;
	struct record *records; /* newest first */
	size_t n, max;
};

/* Is it one that counted on a limit of this key? */
static bool counts(const struct why *w, const struct record_settle *s)
{
	return s->key == w->key.number || (w->key.user[0] && s->user == w->who.user.number) ||
	       (w->who.org && s->org == w->who.org->number);
}

static enum err_code on_record(void *ctx, const struct record *r, struct err *e)
{
	struct latest *l = ctx;
	size_t at = l->n;

	(void)e;
	if (r->type != RECORD_SETTLE || !counts(l->w, &r->settle))
		return ERR_OK;
	while (at > 0 && l->records[at - 1].wall_ms <= r->wall_ms)
		at--;
	if (at == l->max)
		return ERR_OK;
	if (l->n < l->max)
		l->n++;
	memmove(&l->records[at + 1], &l->records[at], (l->n - at - 1) * sizeof(*l->records));
	l->records[at] = *r;
	return ERR_OK;
}

/* "  (openai:503, anthropic:ok)", when that was kept. */
static void write_attempts(const struct why *w, const struct record *r, struct buf *out)
{
	const struct ledger_id id = { { r->id[0], r->id[1] } };
	struct buf json = { 0 }, words = { 0 };

	if (attempts_get(w->home, id, &json, NULL) == ERR_OK)
		attempts_json_words(buf_slice(&json), &words);
	if (words.len)
		buf_printf(out, "  (%.*s)", SLICE_ARG(buf_slice(&words)));
	buf_fini(&json);
	buf_fini(&words);
}

static void print_request(const struct why *w, const struct record *r)
{
	const struct record_settle *s = &r->settle;
	char time[CLOCK_ISO_SIZE], cost[AMOUNT_SIZE], held[AMOUNT_SIZE], model[44];
	struct buf name = { 0 }, attempts = { 0 };
	char *tried;

	clock_iso(r->wall_ms, time);
	time[10] = ' ';
	time[19] = '\0';
	amount_write(s->cost_microusd, cost);
	amount_write(s->reserved_microusd, held);
	ledger_books_text(w->b, USAGE_BY_MODEL, s->model, &name);
	str_copy_cut(model, sizeof(model), buf_ok(&name) && name.len ? buf_cstr(&name) : "-");
	cli_tame(model);
	write_attempts(w, r, &attempts);
	tried = buf_cstr(&attempts);
	if (tried)
		cli_tame(tried);
	printf("%s  %3u  %12s of %12s held  %8u > %-8u  %s%s%s\n", time, s->status, cost, held,
		s->tokens[RECORD_PROMPT], s->tokens[RECORD_COMPLETION], model,
		s->key == w->key.number ? "" : "  (another key)", tried ? tried : "");
	buf_fini(&name);
	buf_fini(&attempts);
}

static enum err_code print_latest(struct why *w, size_t lines, struct err *e)
{
	struct latest l = { .w = w, .max = lines };
	struct ledger_status s;
	enum err_code rc = ledger_status(w->b->ledger, &s, e);

	l.records = calloc(lines + 1, sizeof(*l.records));
	if (!rc && !l.records)
		rc = err_set(e, ERR_NO_MEMORY, "no memory for the latest requests");
	for (uint64_t k = 0; !rc && k < s.segment && k < SEGMENTS_MAX && l.n < lines; k++)
		rc = verify_segment(w->b->ledger, s.segment - k, on_record, &l, e);
	/* What is older was dropped. */
	if (rc == ERR_NOT_FOUND)
		rc = ERR_OK;
	if (!rc && l.n)
		printf("\n%sLATEST REQUESTS%s\n", cli_style(CLI_DIM), cli_style(CLI_PLAIN));
	for (size_t i = 0; i < l.n && !rc; i++)
		print_request(w, &l.records[i]);
	free(l.records);
	return rc;
}

/* ---- all of it ---- */

static enum err_code explain(struct why *w, const char *org, size_t lines, struct err *e)
{
	const struct limits_conf conf = { .buy_url = "" };
	const struct limits_who who = { .identity = &w->who };
	struct open_list list = { .w = w };
	enum err_code rc = people_identify(w->b->people, &w->key, slice_of(org), &w->who, e);

	if (rc)
		return rc;
	limits_collect(&conf, &who, false, &w->limits);
	print_who(w);
	rc = print_limits(w, e);
	if (!rc) {
		putchar('\n');
		say_verdict(w);
		rc = verify_leases(w->b->ledger, w->now, on_lease, &list, e);
	}
	return rc ? rc : print_latest(w, lines, e);
}

int cli_why(const struct conf *c, int argc, char **argv)
{
	const char *org = "", *lines = "10", *which[1];
	const struct cli_option options[] = { { .name = "--org", .value = &org },
		{ .name = "--lines", .value = &lines }, { 0 } };
	int rc = cli_options(usage, options, argc, argv, which, 1);
	struct ledger_books b;
	struct why w = { .b = &b, .now = ledger_now() };
	int64_t n;
	struct err e;
	enum err_code failed;

	if (rc != CLI_GO_ON)
		return rc;
	if (!which[0])
		return cli_misuse("why", "name a KEY by its id or name");
	if (!str_int(slice_of(lines), 0, LINES_MAX, &n))
		return cli_misuse(
			"why", "--lines is a number from 0 to %d, not %s", LINES_MAX, lines);
	if (ledger_books_open(&b, c, &e))
		return cli_fail(&e);
	w.home = conf_str(c, CONF_HOME);
	failed = ledger_books_key(&b, which[0], &w.key, &e);
	if (!failed)
		failed = explain(&w, org, (size_t)n, &e);
	identity_fini(&w.who);
	ledger_books_close(&b);
	return failed ? cli_fail(&e) : CLI_OK;
}
