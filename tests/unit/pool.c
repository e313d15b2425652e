/* fcgi/pool.c: what the process may rely on once the pool has ended. */
#include "fcgi/pool.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#define THREADS 4

static pthread_key_t key;
static pthread_barrier_t all_serve;
static atomic_int cleaned;

/* As a library's per-thread state that takes its time to go. */
static void clean(void *unused)
{
	(void)unused;
	nanosleep(&(struct timespec){ .tv_nsec = 20 * 1000 * 1000 }, NULL);
	atomic_fetch_add(&cleaned, 1);
}

static void serve(int fd, void *ctx)
{
	assert_int_equal(pthread_setspecific(key, ctx), 0);
	close(fd);
	pthread_barrier_wait(&all_serve);
}

static int next(void *ctx)
{
	(void)ctx;
	return -1;
}

static void refuse(int fd, void *ctx)
{
	(void)ctx;
	close(fd);
}

/* Broken on purpose (threads detached, as they once were), the count is short. */
static void no_thread_outlives_the_pool(void **state)
{
	int notify = eventfd(0, EFD_CLOEXEC), something;
	const struct pool_conf conf = { .threads_max = THREADS,
		.idle_ms = 60000,
		.serve = serve,
		.next = next,
		.refuse = refuse,
		.ctx = &something,
		.notify_fd = notify };
	struct pool *p = pool_new(&conf);

	(void)state;
	assert_non_null(p);
	assert_int_equal(pthread_key_create(&key, clean), 0);
	assert_int_equal(pthread_barrier_init(&all_serve, NULL, THREADS + 1), 0);
	for (int i = 0; i < THREADS; i++)
		assert_true(pool_give(p, dup(notify)));
	pthread_barrier_wait(&all_serve);
	pool_drain(p);
	while (pool_running(p)) {
		uint64_t n;

		assert_int_equal(read(notify, &n, sizeof(n)), sizeof(n));
	}
	pool_free(p);
	assert_int_equal(atomic_load(&cleaned), THREADS);
	pthread_barrier_destroy(&all_serve);
	close(notify);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_thread_outlives_the_pool),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
