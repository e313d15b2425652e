#include "handlers/cli/store_migrate.h"

#include "base/clock.h"
#include "gateway/books.h"
#include "handlers/cli/cli.h"
#include "handlers/cli/ledger_books.h"
#include "handlers/cli/usage_table.h"
#include "store/ledger_back.h"
#include "store/people_share.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define ROUNDS 5 /* until nothing differs, while requests are settled */

enum store_way store_migrate_way(const char *a, const char *b)
{
	static const char *const between[] = { "-", "->", "\xE2\x86\x92", " ", "" };
	char both[64];

	for (size_t i = 0; i < sizeof(between) / sizeof(between[0]); i++) {
		/* In one word with something between, or in two. */
		if (!b != (between[i][0] != '\0'))
			continue;
		for (int to_redis = 0; to_redis < 2; to_redis++) {
			const char *from = to_redis ? "gdbm" : "redis";
			const char *to = to_redis ? "redis" : "gdbm";

			snprintf(both, sizeof(both), "%s%s%s", from, between[i], b ? "" : to);
			if (strcmp(a, both) == 0 && (!b || strcmp(b, to) == 0))
				return to_redis ? STORE_TO_REDIS : STORE_TO_GDBM;
		}
	}
	return STORE_WAY_NONE;
}

/* ---- progress: one line that is written again and again ---- */

struct progress {
	int64_t shown_ms;
	bool shows;
};

static void on_records(void *ctx, const char *topic, uint64_t done, uint64_t of)
{
	struct progress *p = ctx;
	int64_t now_ms = clock_mono_ms();

	if (!p->shows || now_ms - p->shown_ms < 100)
		return;
	p->shown_ms = now_ms;
	fprintf(stderr, "\r%-10.10s %" PRIu64 " of %" PRIu64, topic, done, of);
}

static void end_progress(const struct progress *p)
{
	if (p->shows && p->shown_ms)
		fprintf(stderr, "\r%-60s\r", "");
}

/* ---- what there is to be moved ---- */

struct move {
	const struct conf *c;
	struct redis *redis;
	struct people_file *people;
	struct byok *byok;
	struct keys *keys; /* for whose balances there are */
	struct ledger *shared, *alone;
	struct progress progress;
	struct share_progress tell;
};

static enum err_code no_redis(struct err *e)
{
	return err_set(e, ERR_CONF,
		"GATEWAY_STORE is gdbm: say which Redis, in the environment of this command alone: "
		"GATEWAY_STORE=redis://... tollgate store migrate ...");
}

static enum err_code open_files(struct move *m, bool needs_redis, struct err *e)
{
	const char *home = conf_str(m->c, CONF_HOME);
	enum err_code rc = books_redis(m->c, &m->redis, e);

	if (!rc && !m->redis && needs_redis)
		rc = no_redis(e);
	if (!rc)
		rc = people_file_open(&m->people, home, e);
	if (!rc)
		rc = people_share_on(m->people, m->redis, e);
	if (!rc)
		rc = byok_open(&m->byok, home, conf_str(m->c, CONF_MASTER_KEY), e);
	return rc ? rc : byok_share_on(m->byok, m->redis, e);
}

static void close_all(struct move *m)
{
	end_progress(&m->progress);
	ledger_close(m->alone);
	ledger_close(m->shared);
	keys_close(m->keys);
	byok_close(m->byok);
	people_file_close(m->people);
}

static void print_moved(const struct move *m, const char *what, const struct share_moved *moved)
{
	end_progress(&m->progress);
	printf("%-20s %" PRIu64 " records here, %" PRIu64 " in Redis, sums %016" PRIx64
	       " and %016" PRIx64 ": %s%s%s\n",
		what, moved->here.records, moved->there.records, moved->here.sum, moved->there.sum,
		cli_style(CLI_GREEN), "the same", cli_style(CLI_PLAIN));
	if (moved->kept)
		printf("%-20s %" PRIu64 " records stay as Redis has them\n", "", moved->kept);
}

/* ---- to Redis ---- */

/* Asked about every record of the journal, Redis knows each. */
static enum err_code ship(struct move *m, struct err *e)
{
	uint64_t sent = 0, all = 0;
	enum err_code rc = books_open(m->c, &m->shared, e);

	if (!rc)
		rc = ledger_ship_all(m->shared, ledger_now(), false, &all, e);
	for (int i = 0; !rc && i < ROUNDS; i++) {
		rc = ledger_ship_all(m->shared, ledger_now(), true, &sent, e);
		all += sent;
		if (!rc && !sent)
			break;
	}
	if (!rc && sent)
		rc = err_set(e, ERR_BUSY,
			"requests are settled faster than they are moved: do it again");
	if (!rc)
		printf("%-20s %" PRIu64 " records sent, none is missing in Redis: %sthe same%s\n",
			"books", all, cli_style(CLI_GREEN), cli_style(CLI_PLAIN));
	return rc;
}

static enum err_code to_redis(struct move *m, struct err *e)
{
	struct share_moved people, byok;
	enum err_code rc = people_share_give(m->people, &m->tell, &people, e);

	if (!rc) {
		print_moved(m, "keys and people", &people);
		rc = share_give(byok_share(m->byok), &m->tell, &byok, e);
	}
	if (!rc) {
		print_moved(m, "provider keys", &byok);
		rc = ship(m, e);
	}
	if (!rc)
		puts("Now set GATEWAY_STORE and restart the gateway's programs. Until then keys "
		     "and "
		     "people cannot be changed on this host; requests are served as before.");
	return rc;
}

/* ---- to files ---- */

struct balances {
	uint64_t *subjects;
	size_t n, room;
};

static enum err_code add_subject(
	struct balances *b, enum account_kind kind, uint64_t number, struct err *e)
{
	if (b->n == b->room) {
		size_t room = b->room ? 2 * b->room : 64;
		uint64_t *more = realloc(b->subjects, room * sizeof(*more));

		if (!more)
			return err_set(e, ERR_NO_MEMORY, "no memory for the balances");
		b->subjects = more;
		b->room = room;
	}
	b->subjects[b->n++] = account_subject(kind, number);
	return ERR_OK;
}

/* A key without a user of its own spends as the user of its id. */
static enum err_code list_keys(struct move *m, struct balances *b, struct err *e)
{
	struct key_info *list = NULL;
	size_t count = 0;
	enum err_code rc = keys_list(m->keys, &list, &count, e);

	for (size_t i = 0; i < count && !rc; i++)
		if (!list[i].user[0])
			rc = add_subject(b, ACCOUNT_USER, people_number(slice_of(list[i].id)), e);
	free(list);
	return rc;
}

static enum err_code list_people(struct move *m, struct balances *b, struct err *e)
{
	struct people_user *users = NULL;
	struct people_org *orgs = NULL;
	size_t count = 0;
	enum err_code rc = people_user_list(m->people, &users, &count, e);

	for (size_t i = 0; i < count && !rc; i++)
		rc = add_subject(b, ACCOUNT_USER, users[i].number, e);
	if (!rc)
		rc = people_org_list(m->people, &orgs, &count, e);
	for (size_t i = 0; orgs && i < count && !rc; i++)
		rc = add_subject(b, ACCOUNT_ORG, orgs[i].number, e);
	free(users);
	free(orgs);
	return rc;
}

static enum err_code open_books(struct move *m, struct err *e)
{
	const struct ledger_conf alone = {
		.home = conf_str(m->c, CONF_HOME),
		.sync_ms = conf_int(m->c, CONF_SYNC),
		.keep = ledger_books_keep(m->c),
	};
	uint64_t sent;
	enum err_code rc =
		keys_open(&m->keys, conf_str(m->c, CONF_HOME), conf_str(m->c, CONF_API_KEYS), e);

	if (!rc)
		rc = books_open(m->c, &m->shared, e);
	/* Redis has to know all that this host did, before it is asked what others did. */
	if (!rc)
		rc = ledger_ship_all(m->shared, ledger_now(), false, &sent, e);
	return rc ? rc : ledger_open(&m->alone, &alone, ledger_now(), e);
}

/* One pass over all; *differed: how many were not the same. */
static enum err_code take_balances(
	struct move *m, const struct balances *b, size_t *differed, int64_t *sum, struct err *e)
{
	enum err_code rc = ERR_OK;

	*differed = 0;
	*sum = 0;
	for (size_t i = 0; i < b->n && !rc; i++) {
		int64_t there, credited;

		rc = ledger_back_balance(
			m->shared, m->alone, ledger_now(), b->subjects[i], &there, &credited, e);
		*differed += credited != 0;
		*sum = account_add(*sum, there);
		on_records(&m->progress, "balances", i + 1, b->n);
	}
	end_progress(&m->progress);
	return rc;
}

static enum err_code take_books(struct move *m, struct err *e)
{
	struct balances b = { .n = 0 };
	struct buf money = { 0 };
	size_t differed = 0, first = 0;
	int64_t sum = 0;
	enum err_code rc = open_books(m, e);

	if (!rc)
		rc = list_keys(m, &b, e);
	if (!rc)
		rc = list_people(m, &b, e);
	for (int i = 0; !rc && i < ROUNDS; i++) {
		rc = take_balances(m, &b, &differed, &sum, e);
		first = i ? first : differed;
		if (!rc && !differed)
			break;
	}
	free(b.subjects);
	if (rc)
		return rc;
	if (differed)
		return err_set(e, ERR_BUSY,
			"balances change while they are moved, since requests are running: do it "
			"again");
	usage_table_money(sum, &money);
	printf("%-20s %zu, %zu of them brought up to date, sum %.*s: %sthe same%s\n", "balances",
		b.n, first, SLICE_ARG(buf_slice(&money)), cli_style(CLI_GREEN),
		cli_style(CLI_PLAIN));
	buf_fini(&money);
	return ERR_OK;
}

static enum err_code to_files(struct move *m, struct err *e)
{
	struct share_moved people, byok;
	enum err_code rc = share_fetch(people_file_share(m->people), &m->tell, &people, e);

	if (!rc) {
		print_moved(m, "keys and people", &people);
		rc = share_fetch(byok_share(m->byok), &m->tell, &byok, e);
	}
	if (!rc) {
		print_moved(m, "provider keys", &byok);
		rc = take_books(m, e);
	}
	if (!rc)
		puts("Now set GATEWAY_STORE=gdbm and restart the gateway's programs. Limits by day "
		     "and month count from here on what this host has seen.");
	return rc;
}

static enum err_code leave(struct move *m, struct err *e)
{
	enum err_code rc = share_leave(people_file_share(m->people), e), other;

	if (rc && rc != ERR_NOT_FOUND)
		return rc;
	other = share_leave(byok_share(m->byok), e);
	if (other && other != ERR_NOT_FOUND)
		return other;
	puts(rc && other ? "Neither keys.gdbm nor byok.gdbm is a copy of what is in Redis: nothing "
			   "was done."
			 : "keys.gdbm and byok.gdbm are this host's own now, as they are. Balances "
			   "are what this host has seen; credit what other hosts knew.");
	return ERR_OK;
}

int store_migrate(const struct conf *c, enum store_way way, bool from_copy)
{
	struct move m = { .c = c, .progress.shows = isatty(STDERR_FILENO) == 1 };
	struct err e;
	enum err_code rc;

	m.tell = (struct share_progress){ on_records, &m.progress };
	rc = open_files(&m, !from_copy, &e);
	if (!rc && way == STORE_TO_REDIS)
		rc = to_redis(&m, &e);
	else if (!rc)
		rc = from_copy ? leave(&m, &e) : to_files(&m, &e);
	close_all(&m);
	return rc ? cli_fail(&e) : CLI_OK;
}
