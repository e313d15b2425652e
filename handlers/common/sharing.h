/* handlers/common/sharing.h - what a process does, beside requests, when several hosts share a
 * Redis: it follows the keys, and tells and hears how providers fare. Without one, nothing.
 *
 * Blocking: a few calls of Redis. Threads: begin and end are the first thread's, the rest one's at
 * a time.
 */
#ifndef HANDLERS_COMMON_SHARING_H
#define HANDLERS_COMMON_SHARING_H

#include "handlers/common/front.h"

/* Redis need not be there: requests are then answered from this host's copies. ERR_CONF:
 * GATEWAY_STORE is malformed. */
MUST_CHECK enum err_code sharing_begin(const struct front *f, struct err *e);

/* Once a second; health NULL = there is none yet. */
void sharing_tick(const struct front *f, struct health *health);

void sharing_end(void);

#endif
