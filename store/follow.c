#include "store/follow.h"

#include "base/log.h"
#include "store/fault.h"
#include "store/lease.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

enum { CLOSING, CURRENT };

void follow_init(struct follow *f, const struct journal *j)
{
	memset(f, 0, sizeof(*f));
	f->journal = j;
	f->fd[CLOSING] = f->fd[CURRENT] = -1;
}

void follow_fini(struct follow *f)
{
	for (int i = 0; i < 2; i++) {
		if (f->journal && f->fd[i] >= 0)
			close(f->fd[i]);
		f->fd[i] = -1;
	}
}

static void settle_lease(struct hot *h, const struct record_settle *s)
{
	struct lease *l = lease_find(h, s->lease_index, s->lease_generation);

	if (l && !(s->flags & RECORD_LATE))
		lease_end(h, l, (int64_t)s->tokens[RECORD_PROMPT] + s->tokens[RECORD_COMPLETION]);
}

void follow_apply(struct hot *h, const struct record *r, uint64_t segment, uint64_t offset,
	uint64_t *position)
{
	uint64_t targets[ACCOUNT_TARGETS], payer;
	unsigned n = account_targets(r, targets, &payer);

	hot_begin(h);
	for (unsigned i = 0; i < n; i++) {
		/* One after the other: two new subjects may want the same empty slot. */
		struct account *a = hot_account_make(h, targets[i]);
		struct account changed;

		if (!a) {
			atomic_fetch_add(&h->head->full, 1);
			continue;
		}
		changed = *a;
		account_apply(&changed, r, payer);
		hot_copy(h, a, &changed, ACCOUNT_WORDS);
		(void)fault_at("follow.half");
	}
	if (r->type == RECORD_SETTLE)
		settle_lease(h, &r->settle);
	if (r->id[0])
		hot_recent_put(h, r->id[0], segment, offset / RECORD_BYTES);
	hot_set(h, position, offset + RECORD_BYTES);
	hot_set(h, &h->head->last_crc, r->crc);
	(void)fault_at("follow.applied");
	hot_commit(h);
}

static enum err_code open_segment(struct follow *f, int which, uint64_t segment, struct err *e)
{
	enum err_code rc;

	if (f->fd[which] >= 0 && f->segment[which] == segment)
		return ERR_OK;
	if (f->fd[which] >= 0)
		close(f->fd[which]);
	f->fd[which] = -1;
	rc = journal_read_open(f->journal, segment, &f->fd[which], e);
	f->segment[which] = segment;
	return rc == ERR_NOT_FOUND ? err_set(e, ERR_STORE,
					     "segment %" PRIu64 " of the journal is missing: put "
					     "it back from a backup",
					     segment)
				   : rc;
}

/* Applies whole records from *position on and stops at the first that is not (yet). */
static enum err_code apply_live(struct follow *f, struct hot *h, int which, uint64_t segment,
	uint64_t *position, struct err *e)
{
	enum err_code rc = open_segment(f, which, segment, e);
	ssize_t n = 0;

	while (!rc) {
		size_t i = 0, count;

		n = pread(f->fd[which], f->records, sizeof(f->records), (off_t)*position);
		if (n < 0)
			return err_set(e, ERR_STORE, "segment %" PRIu64 " of the journal: %s",
				segment, strerror(errno));
		count = (size_t)n / RECORD_BYTES;
		for (; i < count && record_is_whole(&f->records[i]); i++)
			follow_apply(h, &f->records[i], segment, *position, position);
		if (i < count) {
			/* Not there yet, unless something whole stands behind it. */
			if (i + 1 < count && record_is_whole(&f->records[i + 1]))
				atomic_fetch_or(&h->head->trouble, HOT_BAD_JOURNAL);
			break;
		}
		if (count < FOLLOW_RECORDS)
			break;
	}
	return rc;
}

struct closing {
	struct hot *h;
};

static enum err_code on_last(
	void *ctx, const struct record *r, uint64_t segment, uint64_t offset, struct err *e)
{
	struct closing *c = ctx;

	(void)e;
	follow_apply(c->h, r, segment, offset, &c->h->head->closing_applied);
	return ERR_OK;
}

/* Nobody can append any more: what is bad is skipped. */
static enum err_code finish_closing(struct follow *f, struct hot *h, struct err *e)
{
	struct journal_scan s = { .offset = h->head->closing_applied, .closed = true };
	struct closing c = { h };
	enum err_code rc =
		journal_scan(f->journal, f->fd[CLOSING], h->head->closing, &s, on_last, &c, e);

	if (rc)
		return rc;
	if (s.skipped) {
		atomic_fetch_add(&h->head->skipped_bytes, s.skipped);
		log_line(LOG_ERROR,
			"segment %" PRIu64 " of the journal: %" PRIu64
			" bytes are no whole record and were skipped; run: tollgate ledger verify",
			h->head->closing, s.skipped);
	}
	hot_begin(h);
	hot_set(h, &h->head->closing, 0);
	hot_set(h, &h->head->closing_applied, 0);
	hot_commit(h);
	return ERR_OK;
}

enum err_code follow_catch_up(struct follow *f, struct hot *h, struct err *e)
{
	struct hot_head *head = h->head;
	enum err_code rc = ERR_OK;

	if (head->closing) {
		rc = apply_live(f, h, CLOSING, head->closing, &head->closing_applied, e);
		if (!rc && journal_is_closed(f->fd[CLOSING]))
			rc = finish_closing(f, h, e);
	}
	if (!rc)
		rc = apply_live(f, h, CURRENT, head->segment, &head->applied, e);
	return rc;
}
