#include "store/verify.h"

#include "store/archive.h"
#include "store/books.h"
#include "store/fold.h"
#include "store/tally.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The table as it was at one moment, and where in the journal that was. */
struct moment {
	struct account *accounts;
	uint32_t accounts_n;
	struct lease *leases;
	uint32_t leases_n;
	uint64_t segment, applied, closing, closing_applied;
};

struct verify {
	struct ledger *l;
	struct verify_report *report;
	verify_on_difference on_difference;
	void *ctx;
	struct tally expected;        /* subject -> struct account */
	struct checkpoint_meta usage; /* sums of the files of days */
};

static void differ(struct verify *v, const char *format, ...) PRINTF_LIKE(2, 3);
static void differ(struct verify *v, const char *format, ...)
{
	char text[512];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	v->report->differences++;
	v->on_difference(v->ctx, text);
}

static enum err_code no_memory(struct err *e)
{
	return err_set(e, ERR_NO_MEMORY, "no memory to verify the books");
}

/* ---- what the table says ---- */

static enum err_code copy_table(struct ledger *l, struct moment *m, struct err *e)
{
	const struct hot_head *head = l->hot.head;
	enum err_code rc;

	m->accounts_n = head->accounts;
	m->leases_n = head->leases;
	m->accounts = calloc(m->accounts_n, sizeof(*m->accounts));
	m->leases = calloc(m->leases_n, sizeof(*m->leases));
	if (!m->accounts || !m->leases)
		return no_memory(e);
	rc = books_lock(l, LEDGER_WAIT_MS, e);
	if (rc)
		return rc;
	memcpy(m->accounts, l->hot.accounts, sizeof(*m->accounts) * m->accounts_n);
	memcpy(m->leases, l->hot.leases, sizeof(*m->leases) * m->leases_n);
	m->segment = head->segment;
	m->applied = head->applied;
	m->closing = head->closing;
	m->closing_applied = head->closing_applied;
	hot_unlock(&l->hot);
	return ERR_OK;
}

/* ---- what checkpoint and journal say ---- */

static enum err_code on_row(void *ctx, struct slice key, struct slice value, struct err *e)
{
	struct verify *v = ctx;
	struct account row, *a;
	bool fresh;

	if (key.len == 0 || key.ptr[0] != 'a')
		return ERR_OK;
	if (!checkpoint_unpack(key, value, &row, sizeof(row)))
		return err_set(e, ERR_STORE, CHECKPOINT_LEDGER ": a row is damaged");
	a = tally_at(&v->expected, &row.subject, &fresh);
	if (!a)
		return no_memory(e);
	*a = row;
	v->report->accounts++;
	return ERR_OK;
}

static enum err_code on_record(
	void *ctx, const struct record *r, uint64_t segment, uint64_t offset, struct err *e)
{
	struct verify *v = ctx;
	uint64_t targets[ACCOUNT_TARGETS], payer;
	unsigned n = account_targets(r, targets, &payer);

	(void)segment;
	(void)offset;
	for (unsigned i = 0; i < n; i++) {
		bool fresh;
		struct account *a = tally_at(&v->expected, &targets[i], &fresh);

		if (!a)
			return no_memory(e);
		a->subject = targets[i];
		v->report->accounts += fresh;
		account_apply(a, r, payer);
	}
	if (r->type == RECORD_SETTLE) {
		v->report->settles++;
		v->report->cost_microusd =
			account_add(v->report->cost_microusd, r->settle.cost_microusd);
	}
	if (r->type == RECORD_CREDIT) {
		v->report->credits++;
		v->report->credited_microusd =
			account_add(v->report->credited_microusd, r->credit.microusd);
	}
	if (r->type == RECORD_SUM)
		v->report->credited_microusd =
			account_add(v->report->credited_microusd, r->sum.credited);
	v->report->unfolded++;
	return ERR_OK;
}

static enum err_code replay(
	struct verify *v, const struct moment *m, uint64_t folded, struct err *e)
{
	enum err_code rc = journal_is_complete(&v->l->journal, folded + 1, m->segment, e);

	for (uint64_t s = folded + 1; s <= m->segment && !rc; s++) {
		struct journal_scan scan = { .closed = true };
		int fd;

		if (s == m->segment)
			scan.until = m->applied;
		else if (s == m->closing)
			scan.until = m->closing_applied;
		if ((s == m->segment && !m->applied) || (s == m->closing && !m->closing_applied))
			continue;
		rc = journal_read_open(&v->l->journal, s, &fd, e);
		if (rc)
			break;
		rc = journal_scan(&v->l->journal, fd, s, &scan, on_record, v, e);
		close(fd);
		v->report->skipped_bytes += scan.skipped;
		if (scan.skipped)
			differ(v,
				"segment %" PRIu64 " of the journal: %" PRIu64
				" bytes are no whole record",
				s, scan.skipped);
	}
	return rc;
}

/* ---- the files of days ---- */

static enum err_code on_usage_row(void *ctx, struct slice key, struct slice value, struct err *e)
{
	struct checkpoint_meta *sum = ctx;
	struct usage_row row;

	if (key.len == 0 || key.ptr[0] != 'u')
		return ERR_OK;
	if (!checkpoint_unpack(key, value, &row, sizeof(row)))
		return err_set(e, ERR_STORE, "a row of the usage is damaged");
	sum->settles += (uint64_t)row.requests;
	sum->cost_microusd = account_add(sum->cost_microusd, row.cost_microusd);
	return ERR_OK;
}

static enum err_code one_day(struct verify *v, const char *name)
{
	struct checkpoint_meta meta, sum = { 0 };
	struct err why;
	bool from_prev;
	enum err_code rc = checkpoint_load(
		v->l->home, name, v->l->journal.store, &meta, &from_prev, on_usage_row, &sum, &why);

	if (rc) {
		differ(v, "%s: %s", name, why.message);
		return ERR_OK;
	}
	if (from_prev)
		differ(v, "%s is damaged and the one before it answers", name);
	if (sum.settles != meta.settles || sum.cost_microusd != meta.cost_microusd)
		differ(v,
			"%s: its rows have %" PRIu64 " requests and %" PRId64
			" microdollars, its head says %" PRIu64 " and %" PRId64,
			name, sum.settles, sum.cost_microusd, meta.settles, meta.cost_microusd);
	v->usage.settles += sum.settles;
	v->usage.cost_microusd = account_add(v->usage.cost_microusd, sum.cost_microusd);
	return ERR_OK;
}

static enum err_code all_days(struct verify *v, struct err *e)
{
	DIR *d = opendir(v->l->home);
	struct dirent *entry;
	enum err_code rc = ERR_OK;

	if (!d)
		return err_set(e, ERR_STORE, "%s: %s", v->l->home, strerror(errno));
	while (!rc && (entry = readdir(d))) {
		struct slice name = slice_of(entry->d_name);

		if (name.len == 19 && slice_starts(name, "usage.") && slice_ends(name, ".gdbm"))
			rc = one_day(v, entry->d_name);
	}
	closedir(d);
	return rc;
}

/* ---- comparing ---- */

static void compare_account(
	struct verify *v, const struct account *is, const struct account *should)
{
	static const struct {
		const char *name;
		size_t at;
	} fields[] = {
		{ "credited", offsetof(struct account, credited) },
		{ "charged", offsetof(struct account, charged) },
		{ "spent", offsetof(struct account, spent) },
		{ "day", offsetof(struct account, day) },
		{ "spent on the day", offsetof(struct account, day_spent) },
		{ "spent on the day before", offsetof(struct account, day_before_spent) },
		{ "month", offsetof(struct account, month) },
		{ "spent in the month", offsetof(struct account, month_spent) },
		{ "spent in the month before", offsetof(struct account, month_before_spent) },
		{ "requests", offsetof(struct account, requests) },
		{ "failed", offsetof(struct account, failed) },
		{ "prompt tokens", offsetof(struct account, prompt_tokens) },
		{ "completion tokens", offsetof(struct account, completion_tokens) },
		{ "reserved", offsetof(struct account, reserved) },
		{ "reservations", offsetof(struct account, holds) },
	};

	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
		int64_t a, b;

		memcpy(&a, (const char *)is + fields[i].at, sizeof(a));
		memcpy(&b, (const char *)should + fields[i].at, sizeof(b));
		if (a != b)
			differ(v,
				"%s %014" PRIx64 ": %s is %" PRId64 " in the table and %" PRId64
				" in the books",
				account_kind_name(should->subject),
				should->subject & UINT64_C(0x00FFFFFFFFFFFFFF), fields[i].name, a,
				b);
	}
}

/* What open reservations hold belongs to the table alone: it is added to what should be. */
static enum err_code add_leases(struct verify *v, const struct moment *m, struct err *e)
{
	for (uint32_t i = 0; i < m->leases_n; i++) {
		const struct lease *lease = &m->leases[i];

		if (lease_state(lease) == LEASE_FREE)
			continue;
		v->report->leases++;
		for (unsigned k = 0; k < HOT_HOLDS; k++) {
			uint64_t subject = lease->holds[k] & LEASE_SUBJECT;
			struct account *a;
			bool fresh;

			if (!(lease->holds[k] & LEASE_MONEY))
				continue;
			a = tally_at(&v->expected, &subject, &fresh);
			if (!a)
				return no_memory(e);
			a->subject = subject;
			a->reserved += lease->microusd;
			a->holds++;
		}
	}
	return ERR_OK;
}

static void compare_table(struct verify *v, const struct moment *m)
{
	static const struct account none;
	size_t seen = 0;

	for (uint32_t i = 0; i < m->accounts_n; i++) {
		const struct account *is = &m->accounts[i], *should;
		struct account empty = none;

		if (!is->subject)
			continue;
		should = tally_find(&v->expected, &is->subject);
		seen += should != NULL;
		/* One that only ever was reserved on has nothing in the books. */
		empty.subject = is->subject;
		compare_account(v, is, should ? should : &empty);
	}
	if (seen != v->expected.n)
		differ(v, "the table has %zu of the %zu accounts in the books", seen,
			v->expected.n);
}

static void compare_sums(struct verify *v, const struct checkpoint_meta *meta)
{
	int64_t credited = 0;

	for (size_t i = 0; i < v->expected.n; i++) {
		const struct account *a = tally_value(&v->expected, i);

		credited = account_add(credited, a->credited);
	}
	if (credited != v->report->credited_microusd)
		differ(v,
			"the accounts were credited %" PRId64
			" microdollars, the credits sum up to "
			"%" PRId64,
			credited, v->report->credited_microusd);
	if (v->usage.settles != meta->settles || v->usage.cost_microusd != meta->cost_microusd)
		differ(v,
			"the days have %" PRIu64 " requests and %" PRId64
			" microdollars, " CHECKPOINT_LEDGER " has %" PRIu64 " and %" PRId64,
			v->usage.settles, v->usage.cost_microusd, meta->settles,
			meta->cost_microusd);
}

static enum err_code verify_locked(struct verify *v, struct err *e)
{
	struct moment m = { 0 };
	struct checkpoint_meta meta;
	bool from_prev = false;
	enum err_code rc = copy_table(v->l, &m, e);

	if (!rc)
		rc = checkpoint_load(v->l->home, CHECKPOINT_LEDGER, v->l->journal.store, &meta,
			&from_prev, on_row, v, e);
	if (!rc && from_prev)
		differ(v, CHECKPOINT_LEDGER " is damaged and the one before it answers");
	if (!rc) {
		v->report->settles = meta.settles;
		v->report->credits = meta.credits;
		v->report->cost_microusd = meta.cost_microusd;
		v->report->credited_microusd = meta.credited_microusd;
		rc = replay(v, &m, meta.folded, e);
	}
	if (!rc)
		rc = all_days(v, e);
	if (!rc) {
		compare_sums(v, &meta);
		rc = add_leases(v, &m, e);
	}
	if (!rc)
		compare_table(v, &m);
	free(m.accounts);
	free(m.leases);
	return rc;
}

enum err_code verify_run(struct ledger *l, struct ledger_now now,
	verify_on_difference on_difference, void *ctx, struct verify_report *report, struct err *e)
{
	struct verify v = { .l = l, .report = report, .on_difference = on_difference, .ctx = ctx };
	int fd;
	enum err_code rc = fold_run(l, now, BOOKS_FOLD_WAIT_MS, e);

	*report = (struct verify_report){ 0 };
	/* A process stopped inside the closing segment keeps the fold waiting, not us. */
	if (rc && rc != ERR_BUSY)
		return rc;
	rc = home_lock(l->home, BOOKS_FOLD_LOCK, BOOKS_FOLD_WAIT_MS, &fd, e);
	if (rc)
		return rc;
	tally_init(&v.expected, sizeof(uint64_t), sizeof(struct account));
	rc = verify_locked(&v, e);
	tally_fini(&v.expected);
	close(fd);
	return rc;
}

enum err_code verify_rebuild(struct ledger *l, struct err *e)
{
	return books_rebuild(l, e);
}

enum err_code verify_leases(
	struct ledger *l, struct ledger_now now, verify_on_lease on_lease, void *ctx, struct err *e)
{
	struct moment m = { 0 };
	enum err_code rc = copy_table(l, &m, e);

	for (uint32_t i = 0; i < m.leases_n && !rc; i++) {
		const struct lease *lease = &m.leases[i];
		struct verify_lease out = { .id = lease->id,
			.pid = lease->pid,
			.is_settling = lease_state(lease) == LEASE_SETTLING,
			.left_ms = lease->deadline_ms - now.mono_ms,
			.microusd = lease->microusd,
			.tokens = lease->tokens };

		if (lease_state(lease) == LEASE_FREE)
			continue;
		out.owner_is_alive = lease_owner_born(lease->pid) == lease->born;
		for (unsigned k = 0; k < HOT_HOLDS && k < LEDGER_SUBJECTS; k++)
			out.subjects[k] = lease->holds[k] & LEASE_SUBJECT;
		rc = on_lease(ctx, &out, e);
	}
	free(m.accounts);
	free(m.leases);
	return rc;
}

/* ---- export ---- */

struct export
{
	verify_on_record receive;
	void *ctx;
};

static enum err_code on_export(
	void *ctx, const struct record *r, uint64_t segment, uint64_t offset, struct err *e)
{
	struct export *x = ctx;

	(void)segment;
	(void)offset;
	return x->receive(x->ctx, r, e);
}

enum err_code verify_segment(
	struct ledger *l, uint64_t segment, verify_on_record receive, void *ctx, struct err *e)
{
	struct export x = { receive, ctx };
	struct journal_scan scan = { .closed = segment < hot_peek(&l->hot.head->segment) };
	int fd;
	enum err_code rc = journal_read_open(&l->journal, segment, &fd, e);

	if (rc == ERR_NOT_FOUND)
		return archive_each(&l->journal, segment, on_export, &x, e);
	if (rc)
		return rc;
	rc = journal_scan(&l->journal, fd, segment, &scan, on_export, &x, e);
	close(fd);
	return rc;
}

enum err_code verify_export(struct ledger *l, verify_on_record receive, void *ctx, struct err *e)
{
	uint64_t last = hot_peek(&l->hot.head->segment);
	enum err_code rc = ERR_OK;

	for (uint64_t s = 1; s <= last && !rc; s++) {
		rc = verify_segment(l, s, receive, ctx, e);
		/* Dropped. */
		if (rc == ERR_NOT_FOUND)
			rc = ERR_OK;
	}
	return rc;
}
