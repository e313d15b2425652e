/* gateway/plan_inside.h - what the files of plan.h have among themselves: plan_conf.c (settings),
 * plan_wishes.c (who is left), plan_order.c (who is first), plan.c. Nobody else.
 */
#ifndef GATEWAY_PLAN_INSIDE_H
#define GATEWAY_PLAN_INSIDE_H

#include "gateway/plan.h"

#define PLAN_WEIGHT_MAX 1000000

struct plan_share {
	struct slice slug; /* or alias */
	int64_t weight;
};

struct plan_chain {
	struct slice of; /* a model, as somebody writes it */
	struct slice models[WISHES_MODELS];
	size_t count;
};

struct plan_conf {
	struct plan_share *shares;
	size_t share_count; /* 0 = no weights */
	struct plan_chain *chains;
	size_t chain_count;
	enum conf_strategy strategy;
	bool sticky;
};

/* The chain for a model that the client calls id, and the catalogue m (NULL = does not know);
 * NULL when there is none. */
const struct plan_chain *plan_conf_chain(
	const struct plan_conf *c, struct slice id, const struct catalog_model *m);

/* Is p called so? */
bool plan_is_called(const struct catalog_provider *p, struct slice slug);

/* What puts a candidate in its place. */
struct plan_mark {
	struct health_look look;
	double place;  /* by weights, cost or latency; the least comes first */
	size_t wished; /* by provider.order; as large as can be: not named there */
	bool reserve;  /* of weight 0: when all others fail */
	bool dropped;
};

/* Marks as dropped who does not do what the request wishes. ERR_BAD_REQUEST or ERR_DATA_COLLECTION
 * with the param when nobody is left. */
MUST_CHECK enum err_code plan_drop_unwished(const struct plan_ask *ask, const struct candidate *at,
	struct plan_mark *marks, size_t n, struct err *e);

/* Writes into order the indices of those that are not dropped, in the order in which they are
 * asked; candidates of a model stand together, the one to be asked by default first. Returns how
 * many. */
size_t plan_order(const struct plan_ask *ask, const struct candidate *at, struct plan_mark *marks,
	size_t n, uint8_t order[PLAN_MAX]);

#endif
