/* gateway/equivalents.h - who else has the model of a route, and what is known of them.
 *
 * A free model is nobody else's, what runs on the operator's own machine stays there, and who wants
 * the snapshot of a day gets no other. Ids that the catalogue does not know are nobody else's
 * either, but for routers among themselves.
 * Pure: no I/O. Threads: any. Ownership: everything is lent by the catalogue and the model's id.
 */
#ifndef GATEWAY_EQUIVALENTS_H
#define GATEWAY_EQUIVALENTS_H

#include "gateway/route.h"

/* Fills out with the configured providers of what model means, in the order in which they are
 * asked when nobody wishes otherwise: the one that the id names; the preferred ones of its family;
 * its maker; equivalents in the file's order; routers. r is what route_find() made of model, and
 * among them. Returns how many. */
size_t equivalents_of(const struct catalog *c, const char *model, const struct route *r,
	struct route_way *out, size_t most);

/* In which order routers should ask for a model of this id, as a JSON array in their own words;
 * NULL = as they like. */
const char *equivalents_hint(const struct catalog *c, struct slice id);

/* Does it run on the operator's own machines? */
bool equivalents_are_local(const struct catalog *c, const struct catalog_provider *p);

/* Can the model of a route do this (CAN_TOOLS, CAN_IMAGES), as far as is known? */
bool equivalents_can(const struct route *r, unsigned can);

#endif
