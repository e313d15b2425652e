#include "gateway/curl_late.h"

#include <curl/curl.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define FILE_NAME "libcurl.so.4"

/* Does this process have the library in its memory? */
static bool is_there(void)
{
	FILE *maps = fopen("/proc/self/maps", "re");
	char line[512];
	bool found = false;

	assert_non_null(maps);
	while (fgets(line, sizeof(line), maps))
		found = found || strstr(line, "/libcurl");
	fclose(maps);
	return found;
}

/* ---- a process of its own, which finds a file that is no library first ---- */

#define CHILD "--with-a-broken-library"

static int with_a_broken_library(const char *path)
{
	struct err e = { 0 };

	if (curl_late_load(&e) != ERR_INTERNAL ||
		!strstr(e.message, "install the package libcurl4"))
		return 1;
	if (is_there())
		return 2;
	if (unlink(path))
		return 3;
	return curl_late_load(&e) == ERR_OK && is_there() ? 0 : 4;
}

static void what_is_missing_is_named_and_tried_anew(void **state)
{
	char folder[] = "/tmp/tollgate-curl-XXXXXX", path[64];
	int fd, status = 0;
	pid_t child;

	(void)state;
	assert_non_null(mkdtemp(folder));
	(void)snprintf(path, sizeof(path), "%s/" FILE_NAME, folder);
	fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	close(fd);
	child = fork();
	assert_true(child >= 0);
	if (!child) {
		setenv("LD_LIBRARY_PATH", folder, 1);
		execl("/proc/self/exe", "curl_late", CHILD, path, (char *)NULL);
		_exit(127);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	(void)unlink(path);
	assert_int_equal(rmdir(folder), 0);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

/* ---- in this process ---- */

static void *load_and_use(void *arg)
{
	CURL *c;

	if (curl_late_load(NULL) || curl_global_init(CURL_GLOBAL_DEFAULT))
		return NULL;
	c = curl_easy_init();
	if (!c)
		return NULL;
	curl_easy_cleanup(c);
	return arg;
}

static void it_is_loaded_when_asked_for_by_whoever_is_first(void **state)
{
	pthread_t threads[8];
	int mark;
	void *said;

	(void)state;
	assert_false(is_there());
	for (size_t i = 0; i < 8; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, load_and_use, &mark), 0);
	for (size_t i = 0; i < 8; i++) {
		assert_int_equal(pthread_join(threads[i], &said), 0);
		assert_ptr_equal(said, &mark);
	}
	assert_true(is_there());
}

static void arguments_of_each_type_arrive_whole(void **state)
{
	CURL *c;
	CURLM *m;
	void *got = NULL;
	long number = 1;
	int here;

	(void)state;
	assert_int_equal(curl_late_load(NULL), ERR_OK);
	c = curl_easy_init();
	m = curl_multi_init();
	assert_non_null(c);
	assert_non_null(m);
	assert_int_equal(curl_easy_setopt(c, CURLOPT_PRIVATE, &here), CURLE_OK);
	assert_int_equal(curl_easy_getinfo(c, CURLINFO_PRIVATE, &got), CURLE_OK);
	assert_ptr_equal(got, &here);
	assert_int_equal(curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, &number), CURLE_OK);
	assert_int_equal(number, 0);
	/* Both ends of what is allowed, and one beyond. */
	assert_int_equal(curl_easy_setopt(c, CURLOPT_MAXREDIRS, -1L), CURLE_OK);
	assert_int_equal(curl_easy_setopt(c, CURLOPT_MAXREDIRS, -2L), CURLE_BAD_FUNCTION_ARGUMENT);
	assert_int_equal(
		curl_easy_setopt(c, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)INT64_MAX), CURLE_OK);
	assert_int_equal(curl_easy_setopt(c, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)-2),
		CURLE_BAD_FUNCTION_ARGUMENT);
	assert_int_equal(
		curl_multi_setopt(m, CURLMOPT_PIPELINING, (long)CURLPIPE_MULTIPLEX), CURLM_OK);
	assert_int_equal(curl_multi_setopt(m, CURLMOPT_TIMERDATA, &here), CURLM_OK);
	assert_int_equal(curl_multi_setopt(m, CURLMOPT_MAX_CONCURRENT_STREAMS, 10L), CURLM_OK);
	curl_easy_cleanup(c);
	assert_int_equal(curl_multi_cleanup(m), CURLM_OK);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_missing_is_named_and_tried_anew),
		cmocka_unit_test(it_is_loaded_when_asked_for_by_whoever_is_first),
		cmocka_unit_test(arguments_of_each_type_arrive_whole),
	};

	if (argc == 3 && !strcmp(argv[1], CHILD))
		return with_a_broken_library(argv[2]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
