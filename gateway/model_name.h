/* gateway/model_name.h - what stands in a model's name beside the name itself: a variant behind a
 * colon (":nitro"), a day at its end ("-2024-08-06", "-20250514"), or the wish for the newest of a
 * family ("~anthropic/claude-sonnet-latest").
 *
 * Pure: no I/O. Slices point into what came in. Threads: any.
 */
#ifndef GATEWAY_MODEL_NAME_H
#define GATEWAY_MODEL_NAME_H

#include "gateway/catalog.h"

/* Cuts the variants that routers know (router_suffixes of providers.json) off the end of *name and
 * returns them with their colons: ":nitro" of "a/b:nitro". Any other tag stays: it may be one of
 * a local server's. */
struct slice model_name_variant(const struct catalog *c, struct slice *name);

/* Is this a variant that must cost nothing? */
bool model_name_is_free(struct slice variant);

/* The name without the day at its end; the same when it has none. */
struct slice model_name_undated(struct slice name);

/* Does this name of m have a day that m's maker does not mean by its own name of it? Then it is one
 * snapshot of the model that is wanted. */
bool model_name_wants_day(const struct catalog_model *m, struct slice name);

/* The catalogue's model whose id is this but for a day at the end of either; of several the one
 * with the latest day. Hidden ones are passed over. NULL when there is none. */
const struct catalog_model *model_name_dated(const struct catalog *c, struct slice id);

/* The newest model of a family: name is "author/family-latest". Numbers, days and "preview" are no
 * part of a family's name: claude-3.5-sonnet and claude-sonnet-5 are both claude-sonnet. NULL when
 * there is none. */
const struct catalog_model *model_name_latest(const struct catalog *c, struct slice name);

#endif
