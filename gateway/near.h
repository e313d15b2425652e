/* gateway/near.h - which of many ids somebody may have meant.
 *
 * Pure; threads: any. The work for one id is bounded by NEAR_BYTES squared.
 */
#ifndef GATEWAY_NEAR_H
#define GATEWAY_NEAR_H

#include "base/str.h"

#define NEAR_MAX   3  /* ids that are kept */
#define NEAR_BYTES 64 /* of an id that are compared */

struct near {
	struct slice written;
	const char *id[NEAR_MAX]; /* the nearest first; NULL behind the last; lent */
	unsigned far[NEAR_MAX];
};

/* How many bytes must be inserted, left out or replaced, or neighbours swapped, to make a of b;
 * without regard to case. */
unsigned near_distance(struct slice a, struct slice b);

/* Keeps id if it is among the nearest so far and not too far: a third of what was written. Its
 * author may be missing there, or its end. */
void near_offer(struct near *n, const char *id);

/* Appends what was kept: "; near it: a, b". Nothing when there is nothing. */
void near_write(const struct near *n, char *out, size_t size);

#endif
