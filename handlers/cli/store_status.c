#include "handlers/cli/store_status.h"

#include "base/clock.h"
#include "gateway/books.h"
#include "handlers/cli/cli.h"
#include "store/people_share.h"

#include <inttypes.h>
#include <stdio.h>

static void row(const char *name, enum cli_style style, const char *text)
{
	printf("%-16s %s%s%s\n", name, cli_style(style), text, cli_style(CLI_PLAIN));
}

/* ---- files that are shared ---- */

/* Returns whether it is as it should be. */
static bool show_share(const char *name, struct share *s)
{
	struct share_status now;
	struct err e;
	char text[400];
	enum err_code rc = share_look(s, &now, &e);
	bool is_own = !now.here[0] && now.records_here;
	bool is_same = !is_own && strcmp(now.here, now.there) == 0;

	if (rc)
		snprintf(text, sizeof(text), "%" PRIu64 " records here; Redis: %.200s",
			now.records_here, e.message);
	else if (is_own)
		snprintf(text, sizeof(text),
			"%" PRIu64 " records here, %" PRIu64
			" in Redis: never moved (tollgate store migrate gdbm redis)",
			now.records_here, now.records_there);
	else if (now.here[0] && !now.there[0])
		snprintf(text, sizeof(text),
			"%" PRIu64 " records here; Redis has lost them (tollgate store migrate "
			"gdbm redis)",
			now.records_here);
	else
		snprintf(text, sizeof(text),
			"%" PRIu64 " records here, %" PRIu64 " in Redis, change %.24s of %.24s: %s",
			now.records_here, now.records_there, now.here[0] ? now.here : "none",
			now.there[0] ? now.there : "none",
			is_same ? "the same" : "behind, for a second or so");
	row(name, rc || !is_same ? CLI_RED : CLI_PLAIN, text);
	return !rc && is_same;
}

static bool show_shares(const struct conf *c, struct redis *redis)
{
	struct people_file *people = NULL;
	struct byok *byok = NULL;
	struct err e;
	bool is_good = false;
	enum err_code rc = people_file_open(&people, conf_str(c, CONF_HOME), &e);

	if (!rc)
		rc = people_share_on(people, redis, &e);
	if (!rc)
		rc = byok_open(&byok, conf_str(c, CONF_HOME), conf_str(c, CONF_MASTER_KEY), &e);
	if (!rc)
		rc = byok_share_on(byok, redis, &e);
	if (rc) {
		row("keys", CLI_RED, e.message);
	} else {
		is_good = show_share("keys, people", people_file_share(people));
		is_good &= show_share("provider keys", byok_share(byok));
	}
	byok_close(byok);
	people_file_close(people);
	return is_good;
}

/* ---- the rest ---- */

static bool show_ledger(const struct conf *c, bool is_shared)
{
	struct ledger *l;
	struct ledger_status s;
	struct err e;
	char text[200];
	enum err_code rc = books_open(c, &l, &e);

	if (!rc)
		rc = ledger_status(l, &s, &e);
	ledger_close(l);
	if (rc) {
		row("books", CLI_RED, e.message);
		return false;
	}
	snprintf(text, sizeof(text), "%" PRIu64 " accounts, %" PRIu64 " open reservations here",
		s.accounts, s.leases);
	row("books", CLI_PLAIN, text);
	if (!is_shared)
		return true;
	snprintf(text, sizeof(text), "%" PRIu64 " bytes that Redis does not have yet",
		s.unshipped_bytes);
	row("journal", s.unshipped_bytes ? CLI_YELLOW : CLI_PLAIN, text);
	return true;
}

static bool show_redis(struct redis *redis)
{
	const struct slice words[] = { SLICE("PING") };
	struct redis_reply reply = { 0 };
	int64_t start_us = clock_mono_us();
	char text[600];
	struct err e;
	enum err_code rc = redis_call(redis, words, 1, 0, &reply, &e);

	redis_reply_fini(&reply);
	row("engine", CLI_PLAIN, redis_is_cluster(redis) ? "redis, a cluster" : "redis");
	row("at", CLI_PLAIN, redis_where(redis));
	row("prefix", CLI_PLAIN, redis_prefix(redis));
	if (rc)
		snprintf(text, sizeof(text), "no: %s", e.message);
	else
		snprintf(text, sizeof(text), "yes, within %" PRId64 " us",
			clock_mono_us() - start_us);
	row("answers", rc ? CLI_RED : CLI_GREEN, text);
	return !rc;
}

/* A copy whose Redis was taken out of the settings refuses changes. */
static bool show_files(const struct conf *c)
{
	struct people_file *people = NULL;
	struct err e;
	bool is_good = false;

	row("engine", CLI_PLAIN, "gdbm");
	row("at", CLI_PLAIN, conf_str(c, CONF_HOME));
	if (people_file_open(&people, conf_str(c, CONF_HOME), &e) ||
		people_file_refuse_copy(people, &e)) {
		row("keys, people", CLI_RED, e.message);
	} else {
		row("keys, people", CLI_PLAIN,
			people_file_is_damaged(people) ? "damaged: tollgate keys restore"
						       : "of this host alone");
		is_good = !people_file_is_damaged(people);
	}
	people_file_close(people);
	return is_good;
}

int store_status(const struct conf *c)
{
	struct redis *redis;
	struct err e;
	bool is_good;

	if (books_redis(c, &redis, &e))
		return cli_fail(&e);
	if (!redis) {
		is_good = show_files(c);
	} else {
		is_good = show_redis(redis);
		is_good &= show_shares(c, redis);
	}
	is_good &= show_ledger(c, redis != NULL);
	return is_good ? CLI_OK : CLI_FAILED;
}
