/* Vectors with many at once: threads, processes, and writers that are killed. */
#include "base/clock.h"
#include "tests/unit/vectors_home.h"

#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>

#define ROUNDS 300

/* Writes and finds; whatever is found must be right. Returns how many were not. */
static unsigned be_busy(struct vectors *mine, unsigned seed)
{
	unsigned wrong = 0;
	struct err e;

	for (unsigned i = 0; i < ROUNDS; i++) {
		unsigned n = (seed * 7919 + i * 31) % 150, got;
		struct vectors_row row = row_of(n, (uint8_t)(n % 3), n % 2);
		struct cache_key key;
		double near;
		enum err_code rc;

		if (i % 3 == 0) {
			rc = vectors_put(mine, &row, vector_of(n, DIMS), DIMS, NOW, &e);
			wrong += rc != ERR_OK && rc != ERR_BUSY;
			if (seed == 1 && i % 60 == 0)
				wrong += vectors_clear(mine, &e) == ERR_STORE;
			continue;
		}
		rc = vectors_find(mine, row.group, row.guard, vector_of(n, DIMS), DIMS, NOW, 0.99,
			&key, &near, &e);
		memcpy(&got, key.hash, sizeof(got));
		if (rc != ERR_NOT_FOUND)
			wrong += rc != ERR_OK || got != n || key.length != n + 7;
	}
	return wrong;
}

static void *be_busy_in_thread(void *seed)
{
	return (void *)(uintptr_t)be_busy(v, *(unsigned *)seed);
}

static void threads_and_processes_find_only_what_is_right(void **state)
{
	unsigned seeds[8];
	pthread_t threads[8];
	void *wrong;
	int status;
	pid_t child = fork();

	(void)state;
	if (child == 0) {
		struct vectors *mine = open_rows(ROWS);
		unsigned bad = be_busy(mine, 50) + be_busy(mine, 51);

		vectors_close(mine);
		_exit(bad ? 1 : 0);
	}
	for (unsigned i = 0; i < 8; i++) {
		seeds[i] = i + 1;
		assert_int_equal(
			pthread_create(&threads[i], NULL, be_busy_in_thread, &seeds[i]), 0);
	}
	for (unsigned i = 0; i < 8; i++) {
		pthread_join(threads[i], &wrong);
		assert_null(wrong);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* A writer killed at any moment leaves a file that others go on with. */
static void a_killed_writer_leaves_nothing_wrong(void **state)
{
	(void)state;
	for (unsigned round = 0; round < 20; round++) {
		pid_t child = fork();
		int64_t end = clock_mono_us() + 500 + round * 300;

		if (child == 0) {
			struct vectors *mine = open_rows(ROWS);

			for (unsigned i = 0;; i++)
				(void)be_busy(mine, i + 2);
		}
		while (clock_mono_us() < end)
			assert_int_equal(be_busy(v, round + 100), 0);
		kill(child, SIGKILL);
		assert_int_equal(waitpid(child, NULL, 0), child);
		assert_int_equal(be_busy(v, round + 200), 0);
		assert_int_equal(put(round, 1, 1), ERR_OK);
		assert_int_equal(find(round, 1, 1), ERR_OK);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(threads_and_processes_find_only_what_is_right),
		TEST(a_killed_writer_leaves_nothing_wrong),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
