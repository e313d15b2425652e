#include "store/books.h"

#include "base/log.h"
#include "store/fault.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

enum err_code books_lock(struct ledger *l, int64_t wait_ms, struct err *e)
{
	enum err_code rc = hot_lock(&l->hot, wait_ms, e);

	if (rc == ERR_STORE && l->hot.head->state == HOT_BUILDING) {
		rc = books_rebuild(l, e);
		if (!rc)
			rc = hot_lock(&l->hot, wait_ms, e);
	}
	if (rc)
		return rc;
	rc = follow_catch_up(&l->follow, &l->hot, e);
	if (rc)
		hot_unlock(&l->hot);
	return rc;
}

enum err_code books_load(struct ledger *l, const char *name, struct checkpoint_meta *meta,
	gdbm_on_record on_record, void *ctx, struct err *e)
{
	struct checkpoint_check check = { .file = name };
	struct err why;
	bool from_prev;
	enum err_code rc =
		checkpoint_load(l->home, name, l->journal.store, meta, &from_prev, NULL, NULL, e);

	if (rc || from_prev) {
		if (gdbm_file_restore(l->home, name, checkpoint_check, &check, &why) == ERR_OK)
			log_line(LOG_ERROR,
				"%s/%s was damaged: the one before it is in its place and the "
				"journal since then is counted again",
				l->home, name);
		else if (rc)
			return rc;
		rc = checkpoint_load(
			l->home, name, l->journal.store, meta, &from_prev, NULL, NULL, e);
	}
	if (!rc && on_record)
		rc = checkpoint_load(
			l->home, name, l->journal.store, meta, &from_prev, on_record, ctx, e);
	return rc;
}

/* ---- building ---- */

static enum err_code on_row(void *ctx, struct slice key, struct slice value, struct err *e)
{
	struct hot *h = ctx;
	struct account row, *a;

	if (key.len == 0 || key.ptr[0] != 'a')
		return ERR_OK;
	if (!checkpoint_unpack(key, value, &row, sizeof(row)))
		return err_set(e, ERR_STORE, CHECKPOINT_LEDGER ": a row is damaged");
	hot_begin(h);
	a = hot_account_make(h, row.subject);
	if (a)
		hot_copy(h, a, &row, ACCOUNT_WORDS);
	else
		atomic_fetch_add(&h->head->full, 1);
	hot_commit(h);
	return ERR_OK;
}

struct replay {
	struct hot *h;
	uint64_t *position; /* a word of the table */
	uint64_t folded;
};

static enum err_code on_replayed(
	void *ctx, const struct record *r, uint64_t segment, uint64_t offset, struct err *e)
{
	struct replay *p = ctx;

	(void)e;
	if (segment > p->folded) {
		follow_apply(p->h, r, segment, offset, p->position);
	} else if (r->id[0]) {
		hot_begin(p->h);
		hot_recent_put(p->h, r->id[0], segment, offset / RECORD_BYTES);
		hot_commit(p->h);
	}
	return ERR_OK;
}

static enum err_code replay_segment(
	struct ledger *l, uint64_t segment, bool closed, struct replay *p, struct err *e)
{
	struct journal_scan s = { .closed = closed };
	int fd;
	enum err_code rc = journal_read_open(&l->journal, segment, &fd, e);

	if (rc)
		return rc == ERR_NOT_FOUND ? ERR_STORE : rc;
	rc = journal_scan(&l->journal, fd, segment, &s, on_replayed, p, e);
	close(fd);
	if (!rc && s.skipped) {
		atomic_fetch_add(&l->hot.head->skipped_bytes, s.skipped);
		log_line(LOG_ERROR,
			"segment %" PRIu64 " of the journal: %" PRIu64
			" bytes are no whole record and were skipped",
			segment, s.skipped);
	}
	/* Follow goes on where this ended. */
	if (!rc && !closed)
		*p->position = s.offset;
	return rc;
}

/* One try, with room for twice as many accounts as rows. */
static enum err_code fill_new(struct ledger *l, uint64_t rows, uint64_t *last, struct err *e)
{
	struct checkpoint_meta meta = { 0 };
	struct replay p;
	uint64_t first, n;
	bool from_prev;
	enum err_code rc = hot_create(&l->hot, l->home, l->journal.store, rows, e);

	if (!rc)
		rc = checkpoint_load(l->home, CHECKPOINT_LEDGER, l->journal.store, &meta,
			&from_prev, on_row, &l->hot, e);
	if (!rc)
		rc = journal_list(&l->journal, &first, last, &n, e);
	if (!rc && (n || meta.folded))
		rc = journal_is_complete(&l->journal, meta.folded + 1,
			*last > meta.folded ? *last : meta.folded + 1, e);
	if (rc)
		return rc;
	p = (struct replay){ &l->hot, &l->hot.head->applied, meta.folded };
	for (uint64_t s = n ? first : 1; s <= *last && !rc; s++)
		if (s > meta.folded || journal_is_complete(&l->journal, s, s, NULL) == ERR_OK)
			rc = replay_segment(l, s, true, &p, e);
	return rc;
}

enum err_code books_build(struct ledger *l, struct ledger_now now, struct err *e)
{
	struct hot_head *head;
	struct checkpoint_meta meta;
	uint64_t rows, last, room;
	enum err_code rc = books_load(l, CHECKPOINT_LEDGER, &meta, NULL, NULL, e);

	if (rc)
		return rc;
	rows = meta.accounts;
	rc = fill_new(l, rows, &last, e);
	/* The journal since the checkpoint had more newcomers than there was room for. */
	while (!rc && atomic_load(&l->hot.head->full) && rows < HOT_ACCOUNTS_MAX) {
		rows = l->hot.head->accounts;
		rc = fill_new(l, rows, &last, e);
	}
	(void)fault_at("books.replayed");
	/* Never append to a segment from before a power cut: its end may be torn. */
	if (!rc)
		rc = journal_create(&l->journal, last + 1, now.wall_ms, &room, e);
	if (rc)
		return rc;
	head = l->hot.head;
	head->segment = last + 1;
	head->applied = 0;
	head->undo_valid = 0;
	atomic_store(&head->room, room);
	atomic_store(&head->segment_since_ms, now.mono_ms);
	atomic_store(&head->last_fold_ms, now.mono_ms);
	atomic_fetch_add(&head->rebuilds, 1);
	return ERR_OK;
}

/* What the reservations hold of money is in the accounts that were wiped. */
static void hold_again(struct hot *h)
{
	for (uint32_t i = 0; i < h->head->leases; i++) {
		const struct lease *lease = &h->leases[i];

		if (lease_state(lease) == LEASE_FREE)
			continue;
		for (unsigned k = 0; k < HOT_HOLDS; k++) {
			struct account *a = NULL;

			if (!(lease->holds[k] & LEASE_MONEY))
				continue;
			hot_begin(h);
			a = hot_account_make(h, lease->holds[k] & LEASE_SUBJECT);
			if (a) {
				hot_set(h, &a->reserved, a->reserved + lease->microusd);
				hot_set(h, &a->holds, a->holds + 1);
			}
			hot_commit(h);
		}
	}
}

static enum err_code rebuild_in_place(struct ledger *l, struct err *e)
{
	struct hot_head *head = l->hot.head;
	struct checkpoint_meta meta;
	struct replay p = { .h = &l->hot };
	enum err_code rc;

	hot_wipe(&l->hot);
	rc = books_load(l, CHECKPOINT_LEDGER, &meta, on_row, &l->hot, e);
	if (!rc)
		rc = journal_is_complete(&l->journal, meta.folded + 1, head->segment, e);
	if (rc)
		return rc;
	/* First, because a record of the journal may end one of them. */
	hold_again(&l->hot);
	head->applied = head->closing_applied = 0;
	p.folded = meta.folded;
	for (uint64_t s = meta.folded + 1; s <= head->segment && !rc; s++) {
		bool open = s == head->segment || s == head->closing;

		p.position = s == head->closing ? &head->closing_applied : &head->applied;
		rc = replay_segment(l, s, !open, &p, e);
	}
	(void)fault_at("books.replayed");
	/* The places of what is folded already: only so that nothing is settled twice. */
	for (uint64_t s = meta.folded; s > 0 && !rc; s--) {
		if (journal_is_complete(&l->journal, s, s, NULL) != ERR_OK)
			break;
		p.position = NULL;
		rc = replay_segment(l, s, true, &p, e);
	}
	if (rc)
		return rc;
	hot_barrier();
	head->state = HOT_VALID;
	atomic_fetch_add(&head->rebuilds, 1);
	return ERR_OK;
}

enum err_code books_rebuild_locked(struct ledger *l, struct err *e)
{
	enum err_code rc = hot_lock_any(&l->hot, BOOKS_BUILD_WAIT_MS, e);

	if (rc)
		return rc;
	rc = rebuild_in_place(l, e);
	hot_unlock(&l->hot);
	return rc;
}

enum err_code books_rebuild(struct ledger *l, struct err *e)
{
	struct err own;
	int fd;
	enum err_code rc;

	if (!e)
		e = &own;
	rc = home_lock(l->home, BOOKS_FOLD_LOCK, BOOKS_BUILD_WAIT_MS, &fd, e);
	if (rc)
		return rc;
	rc = books_rebuild_locked(l, e);
	close(fd);
	return rc;
}

/* ---- room on the disk ---- */

enum err_code books_ask_room(struct ledger *l, struct err *e)
{
	struct hot_head *head = l->hot.head;
	uint64_t segment = hot_peek(&head->segment), room;
	uint64_t want = books_room_needed(&l->hot) + JOURNAL_ROOM;
	enum err_code rc = journal_ask_room(&l->journal, segment, want, &room, e);

	if (rc == ERR_BUSY) /* of this process; another will ask */
		return rc;
	if (rc) {
		atomic_fetch_or(&head->trouble, HOT_NO_SPACE);
		return rc;
	}
	/* Of another segment by now? Then that one asks for itself. */
	if (hot_peek(&head->segment) == segment)
		atomic_store(&head->room, room);
	atomic_fetch_and(&head->trouble, ~(uint64_t)HOT_NO_SPACE);
	return ERR_OK;
}

void books_sync_failed(struct ledger *l)
{
	atomic_fetch_or(&l->hot.head->trouble, HOT_SYNC_FAILED);
	log_line(LOG_ERROR,
		"%s: the disk did not take the journal: no new requests until the books are folded",
		l->home);
}
