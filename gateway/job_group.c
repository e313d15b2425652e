#include "gateway/upstream.h"

#include <errno.h>
#include <stdatomic.h>
#include <time.h>

void job_group_init(struct job_group *g)
{
	*g = (struct job_group){ 0 };
	sem_init(&g->stirred, 0, 0);
}

bool job_has_ended(const struct job *j)
{
	return atomic_load_explicit(&j->phase, memory_order_acquire) == JOB_ENDED;
}

bool job_group_wait(struct job_group *g, int64_t until_mono_ms)
{
	const struct timespec until = { .tv_sec = (time_t)(until_mono_ms / 1000),
		.tv_nsec = (long)(until_mono_ms % 1000) * 1000000 };
	int rc;

	do
		rc = until_mono_ms == INT64_MAX
			     ? sem_wait(&g->stirred)
			     : sem_clockwait(&g->stirred, CLOCK_MONOTONIC, &until);
	while (rc && errno == EINTR);
	if (rc)
		return false;
	g->outstanding--;
	return true;
}

/* The pump marks a job as ended first and posts then: who saw only the mark could leave, and the
 * post would hit what stands in the group's place. So every post is taken before the semaphore
 * goes; sem_post() of glibc touches nothing behind the moment in which it can be taken. */
void job_group_fini(struct job_group *g)
{
	while (g->outstanding)
		(void)job_group_wait(g, INT64_MAX);
	sem_destroy(&g->stirred);
}
