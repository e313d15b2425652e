/* gateway/account_views.h - what a caller is told about the account: the answers of account.fcgi.
 *
 * Two families of forms: those of OpenRouter (credits, key, generation) and those of Kilo (profile,
 * balance, usage, organisations; kilo-contract.md sections 3.5 and 32). Money is in USD and exact,
 * but for total_cost of the Kilo usage, which is in microdollars.
 *
 * Everything comes in: the caller looked it up, and made sure that it belongs to who asks. Pure
 * but for what the names ask for. All append to out.
 */
#ifndef GATEWAY_ACCOUNT_VIEWS_H
#define GATEWAY_ACCOUNT_VIEWS_H

#include "gateway/catalog.h"
#include "gateway/usage_report.h"
#include "store/ledger.h"
#include "store/people.h"

/* {"data":{"total_credits","total_usage"}} of the balance that pays. */
void account_view_credits(const struct account *payer, struct buf *out);

/* {"data":{"label","limit","limit_remaining","limit_reset","usage",…,"rate_limit"}} */
void account_view_key(const struct key_info *key, const struct account *a, int64_t week_microusd,
	int64_t now_ms, struct buf *out);

/* {"data":{"id","model","total_cost","tokens_prompt",…,"attempts":[…]}}; id as it was asked for.
 * attempts: the list that was kept (attempts_json.h), or empty: then the one attempt that r tells
 * of is listed. */
void account_view_generation(const char *id, const struct record *r,
	const struct usage_names *names, struct slice attempts, struct buf *out);

struct account_membership {
	const struct people_org *org;
	enum people_role role;
};

/* {"user":{…},"organizations":[…]}, which is left out when there are none. */
void account_view_profile(const struct people_user *user, const struct account_membership *list,
	size_t n, struct buf *out);

/* What may still be spent by the money limits of limits, whose accounts stand in accounts, at the
 * same places: the least of them, and nothing in a role that does not spend. False when no limit
 * is on money. A balance may be negative. */
bool account_view_spendable(const struct identity *who, const struct ledger_limit *limits,
	const struct account *accounts, size_t n, int64_t now_ms, int64_t *microusd);

/* {"balance":USD,"isDepleted":…}; without a limit balance is null and nothing is depleted. */
void account_view_balance(bool is_limited, int64_t microusd, struct buf *out);

/* {"usage":[…]} of a report by day, or by day and model: the newest day first, then by model.
 * ERR_NO_MEMORY. */
MUST_CHECK enum err_code account_view_usage(const struct usage_report *r,
	const struct usage_names *names, struct buf *out, struct err *e);

/* {"id","name","settings":{…}} */
void account_view_org(const struct people_org *org, struct buf *out);

/* The listing of models that key and organisation allow and that are configured. */
void account_view_models(const struct catalog *c, const struct identity *who, struct buf *out);

/* {"defaultModel","defaultFreeModel"}: of what is allowed and configured, the first that costs,
 * else the first free one; anonymous callers get a free one for both. ERR_NOT_FOUND (status 409)
 * when there is none. */
MUST_CHECK enum err_code account_view_defaults(
	const struct catalog *c, const struct identity *who, struct buf *out, struct err *e);

/* {"token","expiresAt","organizationId"} */
void account_view_token(struct slice token, int64_t expires_ms, const char *org, struct buf *out);

#endif
