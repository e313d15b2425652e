/* store/mutex.h - mutexes in shared memory that survive the death of who holds them.
 *
 * Whoever gets EOWNERDEAD mends what the dead one left and calls pthread_mutex_consistent().
 */
#ifndef STORE_MUTEX_H
#define STORE_MUTEX_H

#include "base/err.h"

#include <pthread.h>

/* 0 or an errno. */
MUST_CHECK int mutex_init_shared(pthread_mutex_t *m);

/* Waits up to wait_ms, by the clock that never jumps: 0, EOWNERDEAD, ETIMEDOUT or another errno. */
MUST_CHECK int mutex_lock_for(pthread_mutex_t *m, int64_t wait_ms);

#endif
