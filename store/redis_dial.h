/* store/redis_dial.h - a connected socket to an address or a path, within a deadline.
 *
 * Names are looked up on a thread of their own, because the system's resolver knows no deadline.
 * Blocking: up to deadline_mono_ms. Threads: any.
 */
#ifndef STORE_REDIS_DIAL_H
#define STORE_REDIS_DIAL_H

#include "store/redis_url.h"

/* Gives *fd: non-blocking, closed on exec, TCP_NODELAY. ERR_STORE with the cause alone ("connection
 * refused"). */
MUST_CHECK enum err_code redis_dial(
	const struct redis_address *a, int64_t deadline_mono_ms, int *fd, struct err *e);

#endif
