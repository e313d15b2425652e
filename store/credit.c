#include "store/ledger_redis.h"

#include "store/fault.h"

#include <string.h>
#include <unistd.h>

#define SUM_MAX (INT64_MAX / 2) /* of the credits of one subject */

struct search {
	struct ledger_id id;
	bool found;
};

static enum err_code on_record(
	void *ctx, const struct record *r, uint64_t segment, uint64_t offset, struct err *e)
{
	struct search *s = ctx;

	(void)segment;
	(void)offset;
	(void)e;
	s->found |= r->type == RECORD_CREDIT && memcmp(r->id, s->id.word, sizeof(r->id)) == 0;
	return ERR_OK;
}

/* Was the credit counted before: in the checkpoint, or in a segment that is still there? */
static enum err_code was_counted(struct ledger *l, struct ledger_id id, bool *yes, struct err *e)
{
	struct search s = { .id = id };
	uint64_t first, last, n;
	struct checkpoint_key key = checkpoint_key('i', id.word, sizeof(id.word));
	struct checkpoint_credit old;
	enum err_code rc = checkpoint_fetch(l->home, &key, &old, sizeof(old), yes, e);

	if (rc || *yes)
		return rc;
	rc = journal_list(&l->journal, &first, &last, &n, e);
	for (uint64_t segment = first; n && segment <= last && !rc && !s.found; segment++) {
		struct journal_scan scan = { .closed = segment != last };
		int fd;

		rc = journal_read_open(&l->journal, segment, &fd, e);
		if (rc)
			return rc == ERR_NOT_FOUND ? ERR_STORE : rc;
		rc = journal_scan(&l->journal, fd, segment, &scan, on_record, &s, e);
		close(fd);
	}
	*yes = s.found;
	return rc;
}

static enum err_code check_sum(struct ledger *l, uint64_t subject, int64_t microusd, struct err *e)
{
	struct account a;
	int64_t sum;
	enum err_code rc = ledger_account(l, subject, &a, e);

	if (rc)
		return rc;
	sum = account_add(a.credited, microusd);
	if (sum > SUM_MAX || sum < -SUM_MAX)
		return err_param(e, ERR_RANGE, "microusd",
			"the credits of this %s would be too large a sum",
			account_kind_name(subject));
	return ERR_OK;
}

/* Under fold.lock: nobody else credits, and no fold moves what is searched. */
static enum err_code credit(struct ledger *l, struct record *r, bool *already, struct err *e)
{
	const struct ledger_id id = { { r->id[0], r->id[1] } };
	uint64_t segment;
	bool unsynced;
	enum err_code rc = was_counted(l, id, already, e);

	if (rc || *already)
		return rc;
	rc = l->conf.redis ? ledger_redis_may_credit(
				     l, id, r->credit.subject, r->credit.microusd, already, e)
			   : check_sum(l, r->credit.subject, r->credit.microusd, e);
	if (*already)
		return rc;
	segment = hot_peek(&l->hot.head->segment);
	if (!rc)
		rc = journal_append(&l->journal, &l->hot.head->segment, r, true, &unsynced, e);
	if (rc)
		return rc;
	(void)fault_at("credit.written");
	if (unsynced)
		books_sync_failed(l);
	/* The money is there; the table follows when it is free. */
	if (books_lock(l, LEDGER_WAIT_MS, NULL) == ERR_OK)
		hot_unlock(&l->hot);
	/* What Redis does not hear now, the outbox tells it. */
	if (l->conf.redis)
		(void)!ledger_redis_tell(l, r, segment, NULL);
	return ERR_OK;
}

enum err_code ledger_credit(struct ledger *l, struct ledger_now now, uint64_t subject,
	int64_t microusd, struct ledger_id id, uint64_t actor, struct slice note, bool *already,
	struct err *e)
{
	struct record r = { .type = RECORD_CREDIT, .wall_ms = now.wall_ms };
	enum account_kind kind = account_kind_of(subject);
	int fd;
	enum err_code rc;

	*already = false;
	if (microusd == 0 || microusd > LEDGER_MICROUSD_MAX || microusd < -LEDGER_MICROUSD_MAX)
		return err_param(e, ERR_RANGE, "microusd",
			"an amount of at most 100,000,000 USD, and not 0, is asked");
	if (kind != ACCOUNT_USER && kind != ACCOUNT_ORG)
		return err_param(
			e, ERR_RANGE, "subject", "only users and organisations have balances");
	if (!id.word[0])
		return err_param(e, ERR_RANGE, "id", "a credit needs an id");
	if (!slice_copy(note, r.credit.note, sizeof(r.credit.note)))
		return err_param(e, ERR_RANGE, "note", "a note has at most %zu bytes",
			sizeof(r.credit.note) - 1);
	memcpy(r.id, id.word, sizeof(r.id));
	r.credit.subject = subject;
	r.credit.microusd = microusd;
	r.credit.actor = actor;
	rc = home_lock(l->home, BOOKS_FOLD_LOCK, BOOKS_FOLD_WAIT_MS, &fd, e);
	if (rc)
		return rc;
	rc = credit(l, &r, already, e);
	close(fd);
	return rc;
}
