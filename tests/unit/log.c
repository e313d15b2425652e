#include "base/log_seldom.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <json-c/json.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <signal.h>
#include <unistd.h>

static char folder[] = "/tmp/tollgate-log-XXXXXX";
static char path[64], old[64];

static int set_up(void **state)
{
	(void)state;
	assert_non_null(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/log", folder);
	snprintf(old, sizeof(old), "%s/log.1", folder);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	unlink(path);
	unlink(old);
	return rmdir(folder);
}

static int start(void **state)
{
	(void)state;
	unlink(path);
	unlink(old);
	return (int)log_open(path, "test", NULL);
}

/* Parses every line of the file as JSON; returns how many there are, the last one in *last. */
static int read_lines(const char *name, struct json_object **last)
{
	static char line[100000];
	FILE *f = fopen(name, "r");
	int n = 0;

	assert_non_null(f);
	while (fgets(line, sizeof(line), f)) {
		struct json_object *o = json_tokener_parse(line);

		assert_int_equal(line[strlen(line) - 1], '\n');
		assert_non_null(o);
		assert_true(json_object_is_type(o, json_type_object));
		n++;
		if (last) {
			json_object_put(*last);
			*last = o;
		} else {
			json_object_put(o);
		}
	}
	fclose(f);
	return n;
}

static const char *member(struct json_object *o, const char *name)
{
	struct json_object *value = NULL;

	assert_true(json_object_object_get_ex(o, name, &value));
	return json_object_get_string(value);
}

static void a_line_is_json_with_time_level_program_and_pid(void **state)
{
	struct json_object *o = NULL;
	struct stat st;
	char pid[32];

	(void)state;
	log_line(LOG_WARN, "a \"quoted\"\n%s", "bad \xff byte");
	assert_int_equal(read_lines(path, &o), 1);
	snprintf(pid, sizeof(pid), "%ld", (long)getpid());
	assert_string_equal(member(o, "level"), "warn");
	assert_string_equal(member(o, "program"), "test");
	assert_string_equal(member(o, "pid"), pid);
	assert_string_equal(member(o, "msg"), "a \"quoted\"\nbad \xef\xbf\xbd byte");
	assert_int_equal(strlen(member(o, "time")), 24);
	json_object_put(o);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
}

static void members_of_the_caller_stand_behind_the_fixed_ones(void **state)
{
	struct json_object *o = NULL;

	(void)state;
	log_object(LOG_INFO, SLICE("\"status\":200,\"stream\":true"));
	log_object(LOG_ERROR, SLICE(""));
	assert_int_equal(read_lines(path, &o), 2);
	assert_string_equal(member(o, "level"), "error");
	json_object_put(o);
}

static void a_trouble_of_every_request_is_said_once_a_minute_with_a_count(void **state)
{
	struct json_object *o = NULL;

	(void)state;
	for (int64_t ms = 5; ms < 5 + LOG_SELDOM_MS; ms += 1000)
		log_seldom(LOG_WARN, ms == 5 ? "cache" : "later", "Redis is away", ms);
	assert_int_equal(read_lines(path, &o), 1);
	assert_string_equal(member(o, "level"), "warn");
	assert_string_equal(member(o, "msg"), "cache: Redis is away");
	log_seldom(LOG_WARN, "cache", "Redis is away", 5 + LOG_SELDOM_MS);
	log_seldom(LOG_WARN, "cache", "Redis is away", 6 + LOG_SELDOM_MS);
	assert_int_equal(read_lines(path, &o), 2);
	assert_string_equal(member(o, "msg"),
		"cache: Redis is away (and 59 more times since this was said last)");
	json_object_put(o);
}

static void each_trouble_is_said_beside_the_others(void **state)
{
	char what[32];

	(void)state;
	log_seldom(LOG_WARN, "cache", "one", 0);
	log_seldom(LOG_ERROR, "cache", "one", 0);
	log_seldom(LOG_WARN, "cache", "two", 1);
	log_seldom(LOG_WARN, "cache", "one", 2);
	log_seldom(LOG_ERROR, "cache", "one", 2);
	log_seldom(LOG_WARN, "cache", "two", 2);
	assert_int_equal(read_lines(path, NULL), 3);
	/* However many there are, the newest are known. */
	for (int i = 0; i < 1000; i++) {
		snprintf(what, sizeof(what), "trouble %d", i);
		log_seldom(LOG_WARN, "cache", what, 10 + i);
		log_seldom(LOG_WARN, "cache", what, 11 + i);
	}
	assert_int_equal(read_lines(path, NULL), 1003);
}

static void a_renamed_log_gets_a_successor(void **state)
{
	(void)state;
	log_line(LOG_INFO, "one");
	assert_int_equal(rename(path, old), 0);
	log_line(LOG_INFO, "two");
	log_line(LOG_INFO, "three");
	assert_int_equal(read_lines(old, NULL), 1);
	assert_int_equal(read_lines(path, NULL), 2);
}

static void an_oversized_message_costs_itself_only(void **state)
{
	struct buf big = { 0 };
	struct json_object *o = NULL;

	(void)state;
	for (int i = 0; i < 100000; i++)
		buf_char(&big, 'x');
	log_line(LOG_INFO, "%s", buf_cstr(&big));
	buf_reset(&big);
	buf_str(&big, "\"x\":\"");
	for (int i = 0; i < 100000; i++)
		buf_char(&big, 'x');
	buf_char(&big, '"');
	log_object(LOG_INFO, buf_slice(&big)); /* lost */
	log_line(LOG_INFO, "after");
	assert_int_equal(read_lines(path, &o), 2);
	assert_string_equal(member(o, "lines_lost"), "1");
	json_object_put(o);
	buf_fini(&big);
}

static void lines_that_could_not_be_written_are_counted_in_the_next(void **state)
{
	struct rlimit before, none;
	struct json_object *o = NULL;

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	signal(SIGXFSZ, SIG_IGN);
	none = before;
	none.rlim_cur = 0; /* a full disk, in effect */
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &none), 0);
	log_line(LOG_INFO, "lost");
	log_line(LOG_INFO, "lost");
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
	log_line(LOG_INFO, "kept");
	assert_int_equal(read_lines(path, &o), 1);
	assert_string_equal(member(o, "lines_lost"), "2");
	json_object_put(o);
}

#define THREADS   8
#define PER_CHILD 500

static void *write_many(void *name)
{
	for (int i = 0; i < PER_CHILD; i++)
		log_line(LOG_INFO, "%s %d %0200d", (const char *)name, i, i);
	return NULL;
}

static void lines_of_many_processes_and_threads_do_not_mix_during_rotation(void **state)
{
	static char names[THREADS][16];
	pthread_t threads[THREADS];
	pid_t child = fork();
	int status;

	(void)state;
	for (int i = 0; i < THREADS; i++) {
		snprintf(names[i], sizeof(names[i]), "%d", i);
		assert_int_equal(pthread_create(&threads[i], NULL, write_many, names[i]), 0);
	}
	if (child)
		assert_int_equal(rename(path, old), 0);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	if (!child)
		_exit(0);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	assert_int_equal(read_lines(path, NULL) + read_lines(old, NULL), 2 * THREADS * PER_CHILD);
}

static void a_log_that_cannot_be_opened_is_refused_by_name(void **state)
{
	char pipe_name[80];
	struct err e;

	(void)state;
	assert_int_equal(log_open("/nonexistent/log", "test", &e), ERR_IO);
	assert_non_null(strstr(e.message, "/nonexistent/log"));
	assert_non_null(strstr(e.message, "GATEWAY_LOG"));
	assert_int_equal(log_open(folder, "test", &e), ERR_IO);
	snprintf(pipe_name, sizeof(pipe_name), "%s/pipe", folder);
	assert_int_equal(mkfifo(pipe_name, 0600), 0);
	assert_int_equal(log_open(pipe_name, "test", &e), ERR_IO); /* and does not hang */
	unlink(pipe_name);
	log_line(LOG_INFO, "still the old one");
	assert_int_equal(read_lines(path, NULL), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(a_line_is_json_with_time_level_program_and_pid, start),
		cmocka_unit_test_setup(members_of_the_caller_stand_behind_the_fixed_ones, start),
		cmocka_unit_test_setup(
			a_trouble_of_every_request_is_said_once_a_minute_with_a_count, start),
		cmocka_unit_test_setup(each_trouble_is_said_beside_the_others, start),
		cmocka_unit_test_setup(a_renamed_log_gets_a_successor, start),
		cmocka_unit_test_setup(an_oversized_message_costs_itself_only, start),
		cmocka_unit_test_setup(
			lines_that_could_not_be_written_are_counted_in_the_next, start),
		cmocka_unit_test_setup(
			lines_of_many_processes_and_threads_do_not_mix_during_rotation, start),
		cmocka_unit_test_setup(a_log_that_cannot_be_opened_is_refused_by_name, start),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
