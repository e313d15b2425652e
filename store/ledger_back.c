#include "store/ledger_back.h"

#include "base/crypto.h"
#include "store/fault.h"
#include "store/ledger_redis.h"

#define NOTE "tollgate store migrate redis gdbm"

static struct ledger_id new_id(void)
{
	struct ledger_id id;

	crypto_random(&id, sizeof(id));
	id.word[0] |= 1; /* never 0 */
	return id;
}

static struct record credit_of(
	struct ledger_now now, uint64_t subject, int64_t microusd, struct ledger_id id)
{
	struct record r = { .type = RECORD_CREDIT, .wall_ms = now.wall_ms };

	memcpy(r.id, id.word, sizeof(r.id));
	r.credit.subject = subject;
	r.credit.microusd = microusd;
	str_copy_cut(r.credit.note, sizeof(r.credit.note), NOTE);
	record_seal(&r);
	return r;
}

enum err_code ledger_back_balance(struct ledger *shared, struct ledger *alone,
	struct ledger_now now, uint64_t subject, int64_t *there, int64_t *credited, struct err *e)
{
	struct ledger_id id = new_id();
	struct record both[2];
	struct account far, near;
	bool already;
	size_t fresh;
	enum err_code rc = ledger_account(shared, subject, &far, e);

	*there = *credited = 0;
	if (!rc)
		rc = ledger_account(alone, subject, &near, e);
	if (rc)
		return rc;
	*there = account_balance(&far);
	*credited = account_add(*there, -account_balance(&near));
	if (!*credited)
		return ERR_OK;
	both[0] = credit_of(now, subject, *credited, id);
	both[1] = credit_of(now, subject, -*credited, new_id());
	rc = ledger_redis_apply(shared, both, 2, NULL, &fresh, e);
	(void)fault_at("back.applied");
	return rc ? rc
		  : ledger_credit(alone, now, subject, *credited, id, 0, SLICE(NOTE), &already, e);
}
