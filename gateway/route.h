/* gateway/route.h - which provider serves a model id: the first of them; plan.h has the others.
 *
 * Order (providers.md section 3): one leading "kilocode/" is dropped; an exact id of the catalogue,
 * at its maker, at who else has it (equivalents.json), at a router; a configured provider's slug or
 * alias before the first "/" with whatever model behind it; the name patterns of bare ids among
 * configured providers; else 404.
 * Pure: no I/O. Threads: any.
 */
#ifndef GATEWAY_ROUTE_H
#define GATEWAY_ROUTE_H

#include "gateway/catalog.h"

struct route {
	struct target target;
	char native_id[MODEL_ID_MAX]; /* target.native_id points here when it is not the catalogue's
				       */
	const struct catalog_provider *provider;
	const struct catalog_model *model; /* NULL for a model the catalogue does not list */
	const struct cost_table *prices;   /* of this provider, which need not be the model's maker;
					    * NULL = not known */
	bool free;                         /* may be used without a key */
	bool named; /* the id is no model's of the catalogue, but names the provider: "bedrock/…" */
};

/* Fills *r for the model id a client wrote. model must live as long as *r (public_id is lent).
 * ERR_MODEL_NOT_FOUND (the message names up to three near ids), ERR_MODEL_UNAVAILABLE (the
 * message names the variable to set). */
MUST_CHECK enum err_code route_find(
	const struct catalog *c, const char *model, struct route *r, struct err *e);

/* The same at provider p, configured or not: for who brings a key of their own. name is the model
 * as the caller knows it or, is_native, as p itself does. ERR_MODEL_UNAVAILABLE when this build
 * does not speak its dialect, ERR_MODEL_NOT_FOUND. */
MUST_CHECK enum err_code route_at(const struct catalog *c, const char *model,
	const struct catalog_provider *p, struct slice name, bool is_native, struct route *r,
	struct err *e);

/* The same for one that is known to have it, as native there. m and prices may be NULL. */
struct route_way {
	const struct catalog_provider *provider;
	const struct catalog_model *model;
	struct slice native;
	const struct cost_table *prices;
};
MUST_CHECK enum err_code route_by(const struct catalog *c, const char *model, struct route_way w,
	struct route *r, struct err *e);

/* The catalogue's model that an id means, whoever serves it: by exact id, without its variant, or
 * but for a day. *base becomes the id without "kilocode/" and variant. NULL for a hidden one. */
const struct catalog_model *route_model(
	const struct catalog *c, struct slice id, struct slice *base);

/* Who serves a model by rights, configured or not, routers aside; NULL when nobody knows. */
const struct catalog_provider *route_maker(const struct catalog *c, struct slice id);

#endif
