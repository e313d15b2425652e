/* handlers/common/listing.h - a text made from the catalogue once per process and kept. */
#ifndef HANDLERS_COMMON_LISTING_H
#define HANDLERS_COMMON_LISTING_H

#include "handlers/common/front.h"

typedef void (*listing_writer)(const struct catalog *c, bool all, struct buf *out);

/* Answers with what the writer makes: for "?all=1" the whole catalogue, else what is configured.
 * One writer per process. */
void listing_answer(struct exchange *x, listing_writer writer);

#endif
