/* handlers/common/listing.h - a text made from the catalogue once and kept as long as that. */
#ifndef HANDLERS_COMMON_LISTING_H
#define HANDLERS_COMMON_LISTING_H

#include "handlers/common/front.h"

/* Answers with what the writer makes: for "?all=1" the whole catalogue, else what is configured.
 * One writer per process. */
void listing_answer(struct exchange *x, catalog_writer writer);

/* Does the query say "all=1"? */
bool listing_wants_all(const struct exchange *x);

#endif
