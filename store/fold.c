#include "store/fold.h"

#include "base/clock.h"
#include "base/log.h"
#include "store/archive.h"
#include "store/fault.h"
#include "store/outbox.h"
#include "store/tally.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MIN_INTERVAL_MS 2000
#define SHARE           50 /* a fold takes at most 1/50 of the time */
#define CLOSE_TRIES     500
#define DAYS_MAX        4096

struct day {
	int64_t day;
	struct gdbm_change *change;
	struct checkpoint_meta meta;
	struct tally rows; /* struct usage_key -> struct usage_row */
};

struct fold {
	struct ledger *l;
	struct gdbm_change *change; /* of ledger.gdbm */
	struct checkpoint_meta meta;
	uint64_t to; /* last segment to fold */
	struct tally accounts;
	struct tally credits;
	struct tally names;
	struct day *days;
	size_t days_n;
	struct buf value; /* of the last fetch */
};

bool fold_is_due(struct ledger *l, struct ledger_now now)
{
	struct hot_head *head = l->hot.head;
	int64_t took = atomic_load(&head->fold_took_ms);
	int64_t pause = took * SHARE > MIN_INTERVAL_MS ? took * SHARE : MIN_INTERVAL_MS;
	uint64_t bytes = hot_peek(&head->applied);

	if (now.mono_ms - atomic_load(&head->last_fold_ms) < pause)
		return false;
	if (atomic_load(&head->trouble) & (HOT_BAD_JOURNAL | HOT_SYNC_FAILED))
		return true;
	return bytes > RECORD_BYTES &&
	       (bytes >= (uint64_t)l->conf.segment_bytes ||
		       now.mono_ms - atomic_load(&head->segment_since_ms) >= l->conf.segment_ms);
}

/* ---- closing the segment ---- */

/* Names the next segment, if there is anything in this one. */
static enum err_code rotate(struct ledger *l, struct ledger_now now, struct err *e)
{
	struct hot_head *head = l->hot.head;
	uint64_t next, room;
	enum err_code rc = books_lock(l, LEDGER_WAIT_MS, e);

	if (rc)
		return rc;
	next = head->segment + 1;
	/* With a bad record in the way, applied stands still before it. */
	if (head->closing ||
		(head->applied <= RECORD_BYTES && !(atomic_load(&head->trouble) & HOT_BAD_JOURNAL)))
		next = 0;
	hot_unlock(&l->hot);
	if (!next)
		return ERR_OK;
	rc = journal_create(&l->journal, next, now.wall_ms, &room, e);
	(void)fault_at("fold.created");
	if (!rc)
		rc = books_lock(l, LEDGER_WAIT_MS, e);
	if (rc)
		return rc;
	hot_begin(&l->hot);
	hot_set(&l->hot, &head->closing, head->segment);
	hot_set(&l->hot, &head->closing_applied, head->applied);
	hot_set(&l->hot, &head->applied, 0);
	hot_set(&l->hot, &head->segment, next);
	hot_commit(&l->hot);
	atomic_store(&head->room, room);
	atomic_store(&head->segment_since_ms, now.mono_ms);
	(void)fault_at("fold.published");
	hot_unlock(&l->hot);
	return books_ask_room(l, e);
}

/* Waits until nobody is inside the old segment, and the table knows all of it. */
static enum err_code finish(struct ledger *l, struct err *e)
{
	for (int i = 0; i < CLOSE_TRIES; i++) {
		bool closed;
		enum err_code rc = books_lock(l, LEDGER_WAIT_MS, e);

		if (rc)
			return rc;
		closed = !l->hot.head->closing;
		hot_unlock(&l->hot);
		if (closed)
			return ERR_OK;
		poll(NULL, 0, 1);
	}
	return err_set(e, ERR_BUSY,
		"a process is stopped in the middle of an append: the fold waits for it");
}

/* ---- adding up ---- */

static enum err_code open_change(struct ledger *l, const char *name, struct gdbm_change **change,
	struct checkpoint_meta *meta, struct err *e)
{
	struct checkpoint_check check = { .file = name };
	struct checkpoint_meta ignored;
	struct err why;
	bool from_prev;
	enum err_code rc = gdbm_change_begin(change, l->home, name, checkpoint_check, &check, e);

	if (rc == ERR_STORE &&
		gdbm_file_restore(l->home, name, checkpoint_check, &check, &why) == ERR_OK) {
		log_line(LOG_ERROR,
			"%s/%s was damaged: the one before it is in its place and the journal "
			"since then is folded again",
			l->home, name);
		check = (struct checkpoint_check){ .file = name };
		rc = gdbm_change_begin(change, l->home, name, checkpoint_check, &check, e);
	} else if (rc == ERR_STORE && checkpoint_load(l->home, name, l->journal.store, &ignored,
					      &from_prev, NULL, NULL, &why) != ERR_OK) {
		rc = err_set(e, ERR_STORE,
			"%s/%s and the one before it are damaged: run: tollgate ledger replay "
			"(GATEWAY_JOURNAL_KEEP), or restore a backup",
			l->home, name);
	}
	if (!rc)
		rc = checkpoint_judge(&check, l->journal.store, e);
	if (rc)
		return rc;
	*meta = check.meta;
	meta->format = CHECKPOINT_FORMAT;
	memcpy(meta->store, l->journal.store, sizeof(meta->store));
	return ERR_OK;
}

/* The old content of a row, or zeros. */
static enum err_code fetch(struct fold *f, struct gdbm_change *change,
	const struct checkpoint_key *key, void *content, size_t n, bool *fresh, struct err *e)
{
	enum err_code rc;

	buf_reset(&f->value);
	rc = gdbm_change_fetch(change, checkpoint_slice(key), &f->value, e);
	*fresh = rc == ERR_NOT_FOUND;
	if (*fresh)
		return ERR_OK;
	if (!rc && !checkpoint_unpack(checkpoint_slice(key), buf_slice(&f->value), content, n))
		rc = err_set(e, ERR_STORE, "a row of the checkpoint is damaged");
	return rc;
}

static enum err_code put(struct fold *f, struct gdbm_change *change,
	const struct checkpoint_key *key, const void *content, size_t n, struct err *e)
{
	buf_reset(&f->value);
	checkpoint_pack(checkpoint_slice(key), content, n, &f->value);
	if (!buf_ok(&f->value))
		return err_set(e, ERR_NO_MEMORY, "no memory for a row");
	return gdbm_change_put(change, checkpoint_slice(key), buf_slice(&f->value), e);
}

static enum err_code no_memory(struct err *e)
{
	return err_set(e, ERR_NO_MEMORY, "no memory to fold the journal");
}

static enum err_code count_account(
	struct fold *f, uint64_t subject, const struct record *r, uint64_t payer, struct err *e)
{
	struct checkpoint_key key = checkpoint_key('a', &subject, sizeof(subject));
	bool fresh, unknown;
	struct account *a = tally_at(&f->accounts, &subject, &fresh);
	enum err_code rc;

	if (!a)
		return no_memory(e);
	if (fresh) {
		rc = fetch(f, f->change, &key, a, sizeof(*a), &unknown, e);
		if (rc)
			return rc;
		a->subject = subject;
		f->meta.accounts += unknown;
	}
	account_apply(a, r, payer);
	return ERR_OK;
}

static enum err_code day_of(struct fold *f, int64_t number, struct day **out, struct err *e)
{
	char name[USAGE_FILE_SIZE];
	struct day *grown, *d;
	enum err_code rc;

	for (size_t i = f->days_n; i-- > 0;)
		if (f->days[i].day == number) {
			*out = &f->days[i];
			return ERR_OK;
		}
	grown = f->days_n < DAYS_MAX ? realloc(f->days, (f->days_n + 1) * sizeof(*grown)) : NULL;
	if (!grown)
		return no_memory(e);
	f->days = grown;
	d = &f->days[f->days_n];
	*d = (struct day){ .day = number };
	usage_file(number, name);
	rc = open_change(f->l, name, &d->change, &d->meta, e);
	if (rc) {
		gdbm_change_abort(d->change);
		return rc;
	}
	tally_init(&d->rows, sizeof(struct usage_key), sizeof(struct usage_row));
	f->days_n++;
	*out = d;
	return ERR_OK;
}

static enum err_code count_usage(
	struct fold *f, const struct record *r, uint64_t segment, struct err *e)
{
	struct usage_key uk = usage_key_of(&r->settle);
	struct checkpoint_key key = checkpoint_key('u', &uk, sizeof(uk));
	struct usage_row *row;
	struct day *d = NULL;
	bool fresh, unknown;
	enum err_code rc = day_of(f, account_day(r->wall_ms), &d, e);

	/* A fold killed between two files had this day done already. */
	if (rc || segment <= d->meta.folded)
		return rc;
	row = tally_at(&d->rows, &uk, &fresh);
	if (!row)
		return no_memory(e);
	if (fresh)
		rc = fetch(f, d->change, &key, row, sizeof(*row), &unknown, e);
	if (rc)
		return rc;
	usage_apply(row, r);
	d->meta.settles++;
	d->meta.cost_microusd = account_add(d->meta.cost_microusd, r->settle.cost_microusd);
	return ERR_OK;
}

static enum err_code count_settle(
	struct fold *f, const struct record *r, uint64_t segment, struct err *e)
{
	f->meta.settles++;
	f->meta.cost_microusd = account_add(f->meta.cost_microusd, r->settle.cost_microusd);
	return count_usage(f, r, segment, e);
}

static enum err_code count_credit(struct fold *f, const struct record *r, struct err *e)
{
	bool fresh;
	struct checkpoint_credit *c = tally_at(&f->credits, r->id, &fresh);

	if (!c)
		return no_memory(e);
	*c = (struct checkpoint_credit){ r->credit.subject, r->credit.microusd, r->wall_ms };
	f->meta.credits++;
	f->meta.credited_microusd = account_add(f->meta.credited_microusd, r->credit.microusd);
	return ERR_OK;
}

static enum err_code count_name(struct fold *f, const struct record *r, struct err *e)
{
	bool fresh;
	struct checkpoint_name *n = tally_at(&f->names, &r->name.name, &fresh);

	if (!n)
		return no_memory(e);
	n->length = r->name.length <= RECORD_NAME_MAX ? r->name.length : RECORD_NAME_MAX;
	memcpy(n->text, r->name.text, n->length);
	return ERR_OK;
}

static enum err_code on_record(
	void *ctx, const struct record *r, uint64_t segment, uint64_t offset, struct err *e)
{
	struct fold *f = ctx;
	uint64_t targets[ACCOUNT_TARGETS], payer;
	unsigned n = account_targets(r, targets, &payer);
	enum err_code rc = ERR_OK;

	(void)offset;
	for (unsigned i = 0; i < n && !rc; i++)
		rc = count_account(f, targets[i], r, payer, e);
	if (!rc && r->type == RECORD_SETTLE)
		rc = count_settle(f, r, segment, e);
	else if (!rc && r->type == RECORD_CREDIT)
		rc = count_credit(f, r, e);
	else if (!rc && r->type == RECORD_NAME)
		rc = count_name(f, r, e);
	else if (!rc && r->type == RECORD_SUM)
		f->meta.credited_microusd = account_add(f->meta.credited_microusd, r->sum.credited);
	return rc;
}

/* A segment that was dropped may be in the archive: then its books are being made anew. */
static enum err_code add_segment(struct fold *f, uint64_t segment, struct err *e)
{
	struct journal_scan scan = { .closed = true };
	int fd;
	enum err_code rc = journal_read_open(&f->l->journal, segment, &fd, e);

	if (rc == ERR_NOT_FOUND) {
		rc = archive_each(&f->l->journal, segment, on_record, f, e);
		return rc == ERR_NOT_FOUND
			       ? journal_is_complete(&f->l->journal, segment, segment, e)
			       : rc;
	}
	if (rc)
		return rc;
	rc = journal_scan(&f->l->journal, fd, segment, &scan, on_record, f, e);
	close(fd);
	f->meta.skipped_bytes += scan.skipped;
	return rc;
}

static enum err_code add_up(struct fold *f, struct err *e)
{
	enum err_code rc = ERR_OK;

	for (uint64_t s = f->meta.folded + 1; s <= f->to && !rc; s++)
		rc = add_segment(f, s, e);
	return rc;
}

/* ---- the new files ---- */

static enum err_code put_all(
	struct fold *f, struct gdbm_change *change, char kind, const struct tally *t, struct err *e)
{
	enum err_code rc = ERR_OK;

	for (size_t i = 0; i < t->n && !rc; i++) {
		struct checkpoint_key key = checkpoint_key(kind, tally_key(t, i), t->key_bytes);

		rc = put(f, change, &key, tally_value(t, i), t->value_bytes, e);
		if (i == t->n / 2)
			(void)fault_at("fold.half");
	}
	return rc;
}

static enum err_code commit(struct fold *f, struct gdbm_change **change,
	struct checkpoint_meta *meta, struct ledger_now now, struct err *e)
{
	struct checkpoint_key key = checkpoint_key('m', NULL, 0);
	struct gdbm_change *c = *change;
	int wrong = fault_at("fold.commit");
	enum err_code rc;

	meta->folded = f->to;
	meta->wall_ms = now.wall_ms;
	rc = put(f, c, &key, meta, sizeof(*meta), e);
	if (!rc && wrong)
		rc = err_set(e, ERR_STORE, "%s: %s", f->l->home, strerror(wrong));
	(void)fault_at("fold.stored");
	*change = NULL;
	if (rc) {
		gdbm_change_abort(c);
		return rc;
	}
	rc = gdbm_change_commit(c, e);
	(void)fault_at("fold.renamed");
	return rc;
}

static enum err_code save(struct fold *f, struct ledger_now now, struct err *e)
{
	enum err_code rc = ERR_OK;

	for (size_t i = 0; i < f->days_n && !rc; i++) {
		struct day *d = &f->days[i];

		if (!d->rows.n)
			continue;
		rc = put_all(f, d->change, 'u', &d->rows, e);
		if (!rc)
			rc = commit(f, &d->change, &d->meta, now, e);
	}
	(void)fault_at("fold.days");
	if (!rc)
		rc = put_all(f, f->change, 'a', &f->accounts, e);
	if (!rc)
		rc = put_all(f, f->change, 'i', &f->credits, e);
	if (!rc)
		rc = put_all(f, f->change, 'n', &f->names, e);
	return rc ? rc : commit(f, &f->change, &f->meta, now, e);
}

/* What neither the checkpoint nor the one before it needs. */
static enum err_code clear(struct ledger *l, uint64_t upto, struct err *e)
{
	uint64_t first, last, n;
	enum err_code rc = journal_list(&l->journal, &first, &last, &n, e);

	for (uint64_t s = first; n && s <= upto && !rc && outbox_may_remove(l, s); s++) {
		if (l->conf.keep == LEDGER_COMPRESS) {
			rc = archive_put(&l->journal, s, e);
			if (rc == ERR_NOT_FOUND)
				rc = ERR_OK;
		}
		(void)fault_at("fold.unlink");
		if (!rc)
			rc = journal_remove(&l->journal, s, e);
	}
	return rc;
}

static void drop(struct fold *f)
{
	gdbm_change_abort(f->change);
	for (size_t i = 0; i < f->days_n; i++) {
		gdbm_change_abort(f->days[i].change);
		tally_fini(&f->days[i].rows);
	}
	free(f->days);
	tally_fini(&f->accounts);
	tally_fini(&f->credits);
	tally_fini(&f->names);
	buf_fini(&f->value);
}

static enum err_code fold_closed(struct ledger *l, struct ledger_now now, struct err *e)
{
	struct fold f = { .l = l };
	uint64_t before;
	enum err_code rc;

	tally_init(&f.accounts, sizeof(uint64_t), sizeof(struct account));
	tally_init(&f.credits, 2 * sizeof(uint64_t), sizeof(struct checkpoint_credit));
	tally_init(&f.names, sizeof(uint64_t), sizeof(struct checkpoint_name));
	f.to = hot_peek(&l->hot.head->segment) - 1;
	rc = open_change(l, CHECKPOINT_LEDGER, &f.change, &f.meta, e);
	before = f.meta.folded;
	if (!rc && before < f.to) {
		/* A segment that the disk did not take is still in memory, and the checkpoint
		 * made of it now is what saves it. */
		for (uint64_t s = before + 1; s <= f.to; s++)
			(void)!journal_sync(&l->journal, s, NULL);
		rc = add_up(&f, e);
		(void)fault_at("fold.added");
		if (!rc)
			rc = save(&f, now, e);
		if (!rc) {
			atomic_fetch_add(&l->hot.head->folds, 1);
			rc = clear(l, before, e);
		}
	}
	/* All that was written is in a checkpoint on the disk. */
	if (!rc)
		atomic_fetch_and(
			&l->hot.head->trouble, ~(uint64_t)(HOT_SYNC_FAILED | HOT_BAD_JOURNAL));
	drop(&f);
	return rc;
}

enum err_code fold_run(struct ledger *l, struct ledger_now now, int64_t wait_ms, struct err *e)
{
	int64_t from_ms = clock_mono_ms();
	struct err own;
	int fd;
	enum err_code rc;

	if (!e)
		e = &own;
	rc = home_lock(l->home, BOOKS_FOLD_LOCK, wait_ms, &fd, e);
	if (rc)
		return rc;
	rc = rotate(l, now, e);
	if (!rc)
		rc = finish(l, e);
	if (!rc)
		rc = fold_closed(l, now, e);
	close(fd);
	atomic_store(&l->hot.head->last_fold_ms, now.mono_ms);
	atomic_store(&l->hot.head->fold_took_ms, clock_mono_ms() - from_ms);
	if (rc && rc != ERR_BUSY)
		log_line(LOG_ERROR, "the journal could not be folded: %s", e->message);
	return rc;
}

/* ---- the books anew ---- */

static enum err_code set_aside(const struct ledger *l, const char *name, struct err *e)
{
	char longer[NAME_MAX + 16], path[HOME_PATH_MAX], aside[HOME_PATH_MAX];
	enum err_code rc = home_path(l->home, name, path, e);

	snprintf(longer, sizeof(longer), "%s.replaced", name);
	if (!rc)
		rc = home_path(l->home, longer, aside, e);
	if (!rc && rename(path, aside) != 0 && errno != ENOENT)
		rc = err_set(e, ERR_STORE, "%s: %s", path, strerror(errno));
	return rc;
}

static bool is_checkpoint(struct slice name)
{
	return (slice_starts(name, CHECKPOINT_LEDGER) || slice_starts(name, "usage.2")) &&
	       (slice_ends(name, ".gdbm") || slice_ends(name, ".prev"));
}

static enum err_code set_all_aside(const struct ledger *l, struct err *e)
{
	DIR *d = opendir(l->home);
	struct dirent *entry;
	enum err_code rc = ERR_OK;

	if (!d)
		return err_set(e, ERR_STORE, "%s: %s", l->home, strerror(errno));
	while (!rc && (entry = readdir(d)))
		if (is_checkpoint(slice_of(entry->d_name)))
			rc = set_aside(l, entry->d_name, e);
	closedir(d);
	return rc;
}

/* Is every segment since the first there, as it was or compressed? */
static enum err_code is_whole_story(const struct ledger *l, struct err *e)
{
	uint64_t last = hot_peek(&l->hot.head->segment);
	char name[64], path[HOME_PATH_MAX];
	enum err_code rc = ERR_OK;

	for (uint64_t s = 1; s <= last && !rc; s++) {
		snprintf(name, sizeof(name), ARCHIVE_FOLDER "/journal.%08" PRIu64 ".z", s);
		rc = home_path(l->home, name, path, e);
		if (!rc && access(path, F_OK) != 0)
			rc = journal_is_complete(&l->journal, s, s, e);
	}
	return rc;
}

enum err_code fold_replay(struct ledger *l, struct ledger_now now, struct err *e)
{
	int fd;
	enum err_code rc = home_lock(l->home, BOOKS_FOLD_LOCK, BOOKS_FOLD_WAIT_MS, &fd, e);

	if (rc)
		return rc;
	rc = rotate(l, now, e);
	if (!rc)
		rc = finish(l, e);
	if (!rc)
		rc = is_whole_story(l, e);
	if (!rc)
		rc = set_all_aside(l, e);
	if (!rc)
		rc = fold_closed(l, now, e);
	if (!rc)
		rc = books_rebuild_locked(l, e);
	close(fd);
	return rc;
}
