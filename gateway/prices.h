/* gateway/prices.h - the two files of GATEWAY_HOME that lie over the shipped catalogue.
 *
 * models.json   what providers were found to have (`tollgate models refresh`): whole rows, each
 *               with the day of its prices and its source, and the ids of models that are gone.
 * prices.json   the operator's word, which nothing else changes: prices, and what is hidden.
 *
 * Both are 0600, written aside and renamed, so a reader sees the one before or the one after.
 * Handlers pick them up by themselves (catalog_live.h).
 * Threads: no shared state; writers of all processes take turns.
 */
#ifndef GATEWAY_PRICES_H
#define GATEWAY_PRICES_H

#include "gateway/catalog_data.h"
#include "gateway/prices_list.h"

/* ---- the operator's word ---- */

struct prices_word {
	const char *id;             /* as the catalogue spells it */
	struct json_object *prices; /* members of models.json, lent; NULL = leave as they are */
	bool forgets_prices;        /* the catalogue's count again */
	int hidden;                 /* 1 hide it, -1 show it, 0 leave it */
	const char *day;            /* today, "2026-11-21" */
};

/* ERR_STORE, ERR_BUSY, ERR_CONF when the file or the prices are not valid: nothing is changed. */
MUST_CHECK enum err_code prices_say(
	const struct conf *conf, const struct prices_word *w, struct err *e);

/* ---- what was found ---- */

enum prices_kind {
	PRICES_NEW,
	PRICES_CHANGED,
	PRICES_GONE, /* the provider no longer lists it */
	PRICES_BACK, /* it lists it again */
};

struct prices_change {
	enum prices_kind kind;
	const char *id, *slug;        /* lent by the plan and the catalogue */
	struct json_object *was, *is; /* rows of models.json; NULL = none; lent by the plan */
};

/* What a refresh would make of the catalogue. */
struct prices_plan {
	const struct catalog *base; /* without the operator's word */
	const char *day;
	struct json_object *models; /* rows to come, by id in lower case */
	struct json_object *gone;   /* ids, the same way */
	struct json_object *was;    /* rows of which something changes, kept alive */
	struct prices_change *changes;
	size_t count, room;
};

/* Begins with what was found before. base and day must outlive the plan. */
MUST_CHECK enum err_code prices_plan_init(
	struct prices_plan *plan, const struct catalog *base, const char *day, struct err *e);
void prices_plan_fini(struct prices_plan *plan);

/* Puts what provider p lists now in the place of what it listed before. A model of p that is not
 * listed is gone, unless the list has more pages. Routers that know models by our ids also say
 * what those of others cost, unless their own list did. New models are taken with a price only. */
MUST_CHECK enum err_code prices_plan_add(struct prices_plan *plan, const struct catalog_provider *p,
	const struct prices_list *l, struct err *e);

/* Writes it to GATEWAY_HOME. ERR_STORE, ERR_BUSY. */
MUST_CHECK enum err_code prices_plan_apply(
	const struct prices_plan *plan, const struct conf *conf, struct err *e);

/* ---- both ---- */

/* The catalogue without prices.json. */
MUST_CHECK enum err_code prices_load_base(
	const struct conf *conf, struct catalog **out, struct err *e);

/* The members of a row that are prices, in the order to show them; ends with NULL. */
extern const char *const prices_members[];

/* The row of a model as a tree; free it with json_object_put(). NULL without memory. */
struct json_object *prices_row(const struct catalog *c, const struct catalog_model *m);

/* Do two rows have the same prices, however they are written? */
bool prices_are_same(struct json_object *a, struct json_object *b);

#endif
