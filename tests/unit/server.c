/* Each test forks a process that serves on a socket in a temporary folder, as a web server's
 * child would, and speaks FastCGI with it. */
#include "fcgi/server.h"
#include "base/clock.h"
#include "tests/unit/fcgi_client.h"

#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <cmocka.h>

#define PATIENCE_MS 20000 /* before a test gives up; never reached when all is well */

static char folder[] = "/tmp/fcgi-server-XXXXXX";
static struct sockaddr_un address = { .sun_family = AF_UNIX };

/* ---- the program that is tested ---- */

static int hold[2];    /* a held request reads one byte here and is then answered */
static int arrived[2]; /* and says here that it has begun */
static _Atomic int64_t drain_deadline_ms;

static void say_arrived(void)
{
	if (write(arrived[1], "a", 1) != 1)
		abort();
}

static void handle(struct request *rq, void *ctx)
{
	const char *path = request_path(rq);
	struct sink_head head = { .status = 200, .content_type = "text/plain", .length = -1 };
	struct slice body = SLICE("fine");
	struct err e;
	char byte;

	(void)ctx;
	if (!path)
		return;
	if (!strcmp(path, "/hold")) {
		say_arrived();
		if (read(hold[0], &byte, 1) != 1)
			abort();
	}
	if (!strcmp(path, "/until_drained")) {
		say_arrived();
		while (!server_is_draining() || clock_mono_ms() < atomic_load(&drain_deadline_ms))
			(void)poll(NULL, 0, 2);
	}
	if (!strcmp(path, "/body") &&
		request_read_body(rq, 1 << 20, "L", PATIENCE_MS, &body, &e) != ERR_OK)
		body = SLICE("bad body");
	if (!strcmp(path, "/unanswered"))
		return;
	if (request_finish(rq, &head, &body, PATIENCE_MS, &e) != ERR_OK)
		return;
}

static void on_drain(void *ctx, int64_t deadline_mono_ms)
{
	(void)ctx;
	atomic_store(&drain_deadline_ms, deadline_mono_ms);
}

static const struct server_app app = { .handle = handle, .drain = on_drain };

static int child_main(const struct server_conf *conf, unsigned descriptors)
{
	server_init();
	if (descriptors) {
		/* Two more for the pool: its event and the spare one. */
		int taken[16], last = 0;
		struct rlimit limit;

		for (unsigned i = 0; i < descriptors + 2; i++)
			taken[i] = last = dup(0);
		for (unsigned i = 0; i < descriptors + 2; i++)
			close(taken[i]);
		limit = (struct rlimit){ (rlim_t)last + 1, (rlim_t)last + 1 };
		if (setrlimit(RLIMIT_NOFILE, &limit))
			abort();
	}
	return server_run(conf, &app);
}

static pid_t fork_with(const struct server_conf *conf, unsigned descriptors, int in, int out)
{
	pid_t pid = fork();

	if (pid)
		return pid;
	(void)signal(SIGPIPE, SIG_DFL); /* as a web server may leave it */
	if (dup2(in, 0) < 0 || dup2(out, 1) < 0)
		abort();
	/* Nothing else of the test's, so that descriptors can be counted. */
	for (int fd = 3; fd < 64; fd++)
		if (fd != hold[0] && fd != arrived[1])
			close(fd);
	exit(child_main(conf, descriptors));
}

/* ---- the test's side ---- */

static const struct server_conf ordinary = {
	.threads_max = 8, .drain_ms = PATIENCE_MS, .read_timeout_ms = PATIENCE_MS
};

static pid_t start(const struct server_conf *conf, unsigned descriptors)
{
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	pid_t pid;

	(void)unlink(address.sun_path);
	assert_int_equal(pipe(hold), 0);
	assert_int_equal(pipe(arrived), 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(fd, 64), 0);
	pid = fork_with(conf, descriptors, fd, 1);
	assert_true(pid > 0);
	close(fd);
	return pid;
}

static int stop(pid_t pid)
{
	int status;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	for (int i = 0; i < 2; i++) {
		close(hold[i]);
		close(arrived[i]);
	}
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static int term_and_stop(pid_t pid)
{
	assert_int_equal(kill(pid, SIGTERM), 0);
	return stop(pid);
}

static int dial(void)
{
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
		return fd;
	close(fd);
	return -1;
}

static int ask(const char *path)
{
	const char *params[] = { "REQUEST_METHOD", "GET", "REQUEST_URI", path, NULL };
	struct buf b = { 0 };
	int fd = dial();

	assert_true(fd >= 0);
	client_request(&b, params, SLICE(""), 65535, 0);
	client_send(fd, buf_slice(&b));
	buf_fini(&b);
	return fd;
}

static void wait_arrived(void)
{
	char byte;

	assert_int_equal(read(arrived[0], &byte, 1), 1);
}

static void release(void)
{
	assert_int_equal(write(hold[1], "h", 1), 1);
}

/* The answer's status; 0 when it is not whole. */
static int status_of(int fd, bool *retry_after)
{
	struct buf b = { 0 };
	struct client_answer a;
	int64_t status = 0;

	(void)client_receive(fd, &b);
	close(fd);
	a = client_parse(buf_slice(&b));
	if (a.ended && a.text.len > 11)
		assert_true(str_int((struct slice){ a.text.data + 8, 3 }, 100, 599, &status));
	if (retry_after)
		*retry_after = client_has(&a, "Retry-After: ");
	buf_fini(&a.text);
	buf_fini(&b);
	return (int)status;
}

static int get(const char *path)
{
	return status_of(ask(path), NULL);
}

static void requests_are_answered_one_after_the_other(void **state)
{
	pid_t pid = start(&ordinary, 0);

	(void)state;
	for (int i = 0; i < 200; i++)
		assert_int_equal(get("/"), 200);
	assert_int_equal(get("/unanswered"), 500);
	assert_int_equal(term_and_stop(pid), 0);
}

static void a_request_that_finds_no_thread_gets_503_and_the_next_one_is_served(void **state)
{
	struct server_conf conf = ordinary;
	pid_t pid;

	(void)state;
	conf.threads_max = 2;
	pid = start(&conf, 0);
	for (int round = 0; round < 3; round++) {
		/* A thread is free a moment after its answer; a request that comes earlier is
		 * refused, rightly, and would never arrive at its hold. */
		if (round)
			usleep(200000);
		int a = ask("/hold"), b = ask("/hold");
		bool retry_after;

		wait_arrived();
		wait_arrived();
		for (int i = 0; i < 5; i++) {
			assert_int_equal(status_of(ask("/"), &retry_after), 503);
			assert_true(retry_after);
		}
		release();
		release();
		assert_int_equal(status_of(a, NULL), 200);
		assert_int_equal(status_of(b, NULL), 200);
		/* Threads are free a moment after their answers. */
		while (get("/") != 200)
			;
	}
	assert_int_equal(term_and_stop(pid), 0);
}

static void without_descriptors_a_request_gets_503_and_later_ones_are_served(void **state)
{
	pid_t pid = start(&ordinary, 2);

	(void)state;
	for (int round = 0; round < 3; round++) {
		int a = ask("/hold"), b = ask("/hold");
		bool retry_after;

		wait_arrived();
		wait_arrived();
		for (int i = 0; i < 3; i++) {
			assert_int_equal(status_of(ask("/"), &retry_after), 503);
			assert_true(retry_after);
		}
		release();
		release();
		assert_int_equal(status_of(a, NULL), 200);
		assert_int_equal(status_of(b, NULL), 200);
		while (get("/") != 200)
			;
	}
	assert_int_equal(term_and_stop(pid), 0);
}

static void silent_and_vanishing_clients_harm_nobody(void **state)
{
	struct server_conf conf = ordinary;
	int silent[3];
	pid_t pid;

	(void)state;
	conf.read_timeout_ms = 50;
	conf.threads_max = 3;
	pid = start(&conf, 0);
	for (int i = 0; i < 3; i++) {
		silent[i] = dial();
		assert_true(silent[i] >= 0);
	}
	client_send(silent[0], SLICE("\1\1\1\2\0"));
	for (int i = 0; i < 20; i++)
		close(ask("/")); /* the answer meets a closed socket */
	while (get("/") != 200)
		; /* 503 as long as the silent ones hold their threads */
	for (int i = 0; i < 3; i++)
		close(silent[i]);
	assert_int_equal(term_and_stop(pid), 0);
}

static unsigned threads_of(pid_t pid)
{
	char path[64];
	struct stat st;

	(void)snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	assert_int_equal(stat(path, &st), 0);
	return (unsigned)st.st_nlink - 2;
}

static void idle_threads_leave_and_new_ones_come(void **state)
{
	struct server_conf conf = ordinary;
	unsigned quiet;
	pid_t pid;
	int fd[5];

	(void)state;
	conf.idle_thread_ms = 5;
	pid = start(&conf, 0);
	assert_int_equal(get("/"), 200);
	for (int round = 0; round < 2; round++) {
		for (int i = 0; i < 5; i++)
			fd[i] = ask("/hold");
		for (int i = 0; i < 5; i++)
			wait_arrived();
		quiet = threads_of(pid) - 5;
		for (int i = 0; i < 5; i++)
			release();
		for (int i = 0; i < 5; i++)
			assert_int_equal(status_of(fd[i], NULL), 200);
		while (threads_of(pid) > quiet)
			(void)poll(NULL, 0, 2);
	}
	assert_int_equal(get("/"), 200);
	assert_int_equal(term_and_stop(pid), 0);
}

static void a_signal_stops_listening_and_lets_requests_finish(void **state)
{
	static const int signals[] = { SIGTERM, SIGUSR1, SIGINT, SIGHUP };

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		pid_t pid = start(&ordinary, 0);
		int held = ask("/hold"), fd;

		print_message("signal %d\n", signals[i]);
		wait_arrived();
		assert_int_equal(kill(pid, signals[i]), 0);
		while ((fd = dial()) >= 0)
			close(fd);
		release();
		assert_int_equal(status_of(held, NULL), 200);
		assert_int_equal(stop(pid), 0);
	}
}

static void connections_that_were_accepted_by_the_kernel_are_served_first(void **state)
{
	pid_t pid = start(&ordinary, 0);
	int fd[6];

	(void)state;
	assert_int_equal(get("/"), 200);
	assert_int_equal(kill(pid, SIGSTOP), 0);
	for (int i = 0; i < 6; i++)
		fd[i] = ask("/");
	assert_int_equal(kill(pid, SIGTERM), 0);
	assert_int_equal(kill(pid, SIGCONT), 0);
	for (int i = 0; i < 6; i++)
		assert_int_equal(status_of(fd[i], NULL), 200);
	assert_int_equal(stop(pid), 0);
}

static void what_never_ends_does_not_keep_the_process(void **state)
{
	struct server_conf conf = ordinary;
	pid_t pid;
	int held;

	(void)state;
	conf.drain_ms = 10;
	pid = start(&conf, 0);
	held = ask("/hold");
	wait_arrived();
	assert_int_equal(term_and_stop(pid), 1);
	assert_int_equal(status_of(held, NULL), 0);
}

static void a_second_signal_is_in_a_hurry(void **state)
{
	struct server_conf conf = ordinary;
	pid_t pid;
	int held, fd;

	(void)state;
	conf.drain_ms = 3600000;
	pid = start(&conf, 0);
	held = ask("/until_drained");
	wait_arrived();
	assert_int_equal(kill(pid, SIGTERM), 0);
	while ((fd = dial()) >= 0)
		close(fd);
	assert_int_equal(kill(pid, SIGTERM), 0);
	assert_int_equal(status_of(held, NULL), 200);
	assert_int_equal(stop(pid), 0);
}

/* ---- CGI ---- */

static pid_t start_cgi(const char *path, const char *body, int *out)
{
	int in[2], back[2];
	pid_t pid;

	assert_int_equal(pipe(hold), 0);
	assert_int_equal(pipe(arrived), 0);
	assert_int_equal(pipe(in), 0);
	assert_int_equal(pipe(back), 0);
	assert_int_equal(write(in[1], body, strlen(body)), strlen(body));
	close(in[1]);
	assert_int_equal(setenv("REQUEST_METHOD", "POST", 1), 0);
	assert_int_equal(setenv("REQUEST_URI", path, 1), 0);
	pid = fork_with(&(struct server_conf){ .threads_max = 1 }, 0, in[0], back[1]);
	assert_true(pid > 0);
	unsetenv("REQUEST_METHOD");
	unsetenv("REQUEST_URI");
	close(in[0]);
	close(back[1]);
	*out = back[0];
	return pid;
}

static size_t read_pipe(int fd, char *got, size_t size)
{
	size_t len = 0;
	ssize_t n;

	while ((n = read(fd, got + len, size - len)) > 0)
		len += (size_t)n;
	close(fd);
	return len;
}

static void a_cgi_serves_the_one_request_of_its_environment(void **state)
{
	char got[1000];
	struct slice answer = { got, 0 };
	int out;
	pid_t pid = start_cgi("/body", "the body", &out);

	(void)state;
	answer.len = read_pipe(out, got, sizeof(got));
	assert_true(slice_starts(answer, "Status: 200 OK\r\n"));
	assert_true(slice_ends(answer, "\r\n\r\nthe body"));
	assert_int_equal(stop(pid), 0);
}

static void a_cgi_is_told_of_a_signal(void **state)
{
	char got[1000];
	int out;
	pid_t pid = start_cgi("/until_drained", "", &out);

	(void)state;
	wait_arrived();
	assert_int_equal(kill(pid, SIGTERM), 0);
	assert_int_equal(kill(pid, SIGINT), 0); /* the second one: no 2 s for this test */
	assert_true(read_pipe(out, got, sizeof(got)) > 0);
	assert_memory_equal(got, "Status: 200", 11);
	assert_int_equal(stop(pid), 0);
}

/* Fails without the line that ignores the signal (tried). */
static void a_pipe_that_nobody_reads_kills_no_cgi(void **state)
{
	int out;
	pid_t pid = start_cgi("/hold", "", &out);

	(void)state;
	wait_arrived();
	close(out);
	release();
	assert_int_equal(stop(pid), 0);
}

static void started_from_a_shell_it_does_not_serve(void **state)
{
	int null_fd = open("/dev/null", O_RDWR);
	pid_t pid;

	(void)state;
	assert_int_equal(pipe(hold), 0);
	assert_int_equal(pipe(arrived), 0);
	pid = fork_with(&ordinary, 0, null_fd, null_fd);
	close(null_fd);
	assert_int_equal(stop(pid), 1);
}

static int make_folder(void **state)
{
	(void)state;
	if (!mkdtemp(folder))
		return -1;
	(void)snprintf(address.sun_path, sizeof(address.sun_path), "%s/s", folder);
	return 0;
}

static int remove_folder(void **state)
{
	(void)state;
	(void)unlink(address.sun_path);
	return rmdir(folder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(requests_are_answered_one_after_the_other),
		cmocka_unit_test(
			a_request_that_finds_no_thread_gets_503_and_the_next_one_is_served),
		cmocka_unit_test(without_descriptors_a_request_gets_503_and_later_ones_are_served),
		cmocka_unit_test(silent_and_vanishing_clients_harm_nobody),
		cmocka_unit_test(idle_threads_leave_and_new_ones_come),
		cmocka_unit_test(a_signal_stops_listening_and_lets_requests_finish),
		cmocka_unit_test(connections_that_were_accepted_by_the_kernel_are_served_first),
		cmocka_unit_test(what_never_ends_does_not_keep_the_process),
		cmocka_unit_test(a_second_signal_is_in_a_hurry),
		cmocka_unit_test(a_cgi_serves_the_one_request_of_its_environment),
		cmocka_unit_test(a_cgi_is_told_of_a_signal),
		cmocka_unit_test(a_pipe_that_nobody_reads_kills_no_cgi),
		cmocka_unit_test(started_from_a_shell_it_does_not_serve),
	};

	/* A test that hangs dies of this, and what it started of its own accord or by the drain. */
	alarm(60);
	(void)signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
