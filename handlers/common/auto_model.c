#include "handlers/common/auto_model.h"

#include "gateway/account_views.h"

/* What callers may spend is the least of all that limits them; who has no limit has enough. */
static enum err_code has_balance(void *ctx, bool *has, struct err *e)
{
	const struct limits_conf conf = { .buy_url = "" };
	struct exchange *x = ctx;
	const struct limits_who who = { .identity = &x->who };
	struct account accounts[LEDGER_LIMITS];
	struct admission limits = { 0 };
	int64_t microusd;
	struct ledger *l;
	enum err_code rc = ERR_OK;

	*has = false;
	if (x->caller.anonymous)
		return ERR_OK;
	l = front_ledger(e);
	if (!l)
		return e->code;
	limits_collect(&conf, &who, false, &limits);
	for (size_t i = 0; !rc && i < limits.limits_n; i++)
		rc = ledger_account(l, limits.limits[i].subject, &accounts[i], e);
	if (rc)
		return rc;
	*has = !account_view_spendable(&x->who, limits.limits, accounts, limits.limits_n,
		       ledger_now().wall_ms, &microusd) ||
	       microusd > 0;
	return ERR_OK;
}

static bool has_key(void *ctx, const char *model)
{
	struct exchange *x = ctx;
	const struct front *f = x->front;
	struct byok_use use = { 0 };
	struct route route;
	bool leads = f->byok && byok_route(f->byok, x->catalog, conf_str(f->conf, CONF_PROVIDERS),
					&x->who, model, &route, &use, NULL) == ERR_OK;

	leads = leads && use.used;
	byok_use_fini(&use);
	return leads;
}

static struct slice header(const struct exchange *x, const char *name)
{
	const char *value = request_header(x->rq, name);

	return slice_of(value ? value : "");
}

enum err_code auto_model_apply(struct exchange *x, struct paid *p, struct err *e)
{
	const struct auto_ask ask = { .mode = header(x, "X-KiloCode-Mode"),
		.feature = header(x, "X-KiloCode-Feature"),
		.has_balance = has_balance,
		.has_key = has_key,
		.ctx = x };
	struct chat_req fresh;
	enum err_code rc = auto_models_choose(x->catalog, p->req.model, &ask, &x->auto_model, e);

	if (rc || !x->auto_model.id)
		return rc;
	rc = auto_models_apply(&x->auto_model, &p->req, &p->body, &fresh, e);
	if (rc)
		return rc;
	p->req = fresh;
	paid_note(x, p);
	return ERR_OK;
}
