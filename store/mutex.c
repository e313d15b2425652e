#include "store/mutex.h"

#include "base/clock.h"

#include <errno.h>
#include <sched.h>
#include <time.h>

int mutex_init_shared(pthread_mutex_t *m)
{
	pthread_mutexattr_t attr;
	int rc;

	pthread_mutexattr_init(&attr);
	pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
	pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
	rc = pthread_mutex_init(m, &attr);
	pthread_mutexattr_destroy(&attr);
	return rc;
}

static int wait_until(pthread_mutex_t *m, int64_t wait_ms)
{
#ifdef __SANITIZE_THREAD__
	/* GCC 12's ThreadSanitizer does not know pthread_mutex_clocklock. */
	int64_t deadline = clock_mono_ms() + wait_ms;
	int rc = EBUSY;

	while (rc == EBUSY && clock_mono_ms() < deadline) {
		sched_yield();
		rc = pthread_mutex_trylock(m);
	}
	return rc == EBUSY ? ETIMEDOUT : rc;
#else
	int64_t us = clock_mono_us() + wait_ms * 1000;
	struct timespec until = { .tv_sec = (time_t)(us / 1000000),
		.tv_nsec = (long)(us % 1000000) * 1000 };

	return pthread_mutex_clocklock(m, CLOCK_MONOTONIC, &until);
#endif
}

int mutex_lock_for(pthread_mutex_t *m, int64_t wait_ms)
{
	int rc = pthread_mutex_trylock(m);

	return rc == EBUSY ? wait_until(m, wait_ms) : rc;
}
