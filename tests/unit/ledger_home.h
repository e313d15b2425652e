/* tests/unit/ledger_home.h - a store in a temporary folder, and failures on demand. */
#ifndef UNIT_LEDGER_HOME_H
#define UNIT_LEDGER_HOME_H

#include "store/books.h"
#include "store/fault.h"
#include "store/fold.h"
#include "store/verify.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define USD INT64_C(1000000)
#define DAY INT64_C(86400000)
/* 2026-11-21 12:00 UTC, and any moment of the other clock. */
#define NOON ((struct ledger_now){ INT64_C(1795262400000), INT64_C(50000000) })

static char home[64];
static pid_t home_owner;
static _Thread_local struct err err;

/* At the point named here, fail with this errno, or do what fault_action does. */
static const char *fault_name;
static int fault_errno;
static void (*fault_action)(void);

/* The Redis of a ledger that is opened; NULL = this host alone. */
static struct redis *(*home_redis)(void);

int store_fault_point(const char *name)
{
	if (strcmp(name, "ledger_redis.time") == 0)
		return 1; /* a test says what time it is */
	if (!fault_name || strcmp(name, fault_name) != 0)
		return 0;
	if (fault_action)
		fault_action();
	return fault_errno;
}

static inline void fail_at(const char *name, int errno_value)
{
	fault_name = name;
	fault_errno = errno_value;
	fault_action = NULL;
}

static inline void do_at(const char *name, void (*action)(void))
{
	fault_name = name;
	fault_errno = 0;
	fault_action = action;
}

static inline void no_fault(void)
{
	fault_name = NULL;
}

static inline void die(void)
{
	kill(getpid(), SIGKILL);
}

static inline void freeze(void)
{
	fault_name = NULL;
	raise(SIGSTOP);
}

static inline void empty_folder(const char *folder)
{
	DIR *d = opendir(folder);
	struct dirent *entry;
	char path[HOME_PATH_MAX];

	while (d && (entry = readdir(d))) {
		if (entry->d_name[0] != '.' &&
			home_path(folder, entry->d_name, path, &err) == ERR_OK && unlink(path) != 0)
			empty_folder(path);
	}
	if (d)
		closedir(d);
	rmdir(folder);
}

static inline void table_path(char out[HOME_PATH_MAX])
{
	struct stat st;

	assert_int_equal(stat(home, &st), 0);
	snprintf(out, HOME_PATH_MAX, "/dev/shm/tollgate-%u-%" PRIx64 "-%" PRIx64,
		(unsigned)st.st_uid, (uint64_t)st.st_dev, (uint64_t)st.st_ino);
	if (access(out, F_OK) != 0)
		snprintf(out, HOME_PATH_MAX, "%s/hot.shm", home);
}

static inline int make_home(void **state)
{
	(void)state;
	strcpy(home, "/tmp/tollgate-unit-XXXXXX");
	home_owner = getpid();
	no_fault();
	return mkdtemp(home) ? 0 : -1;
}

static inline int drop_home(void **state)
{
	char path[HOME_PATH_MAX];

	(void)state;
	/* A child whose assertion failed: the parent sees it by the status. */
	if (getpid() != home_owner)
		_exit(9);
	table_path(path);
	unlink(path);
	empty_folder(home);
	return 0;
}

static inline struct ledger *open_kept(enum ledger_keep keep)
{
	struct ledger_conf conf = { .home = home,
		.sync_ms = 100,
		.keep = keep,
		.redis = home_redis ? home_redis() : NULL };
	struct ledger *l = NULL;

	if (ledger_open(&l, &conf, NOON, &err) != ERR_OK)
		fail_msg("open: %s", err.message);
	return l;
}

static inline struct ledger *open_ledger(void)
{
	return open_kept(LEDGER_DROP);
}

static inline enum err_code try_open(void)
{
	struct ledger_conf conf = { .home = home, .sync_ms = 100 };
	struct ledger *l = NULL;
	enum err_code rc = ledger_open(&l, &conf, NOON, &err);

	ledger_close(l);
	return rc;
}

static inline struct ledger_id id_of(uint64_t n)
{
	return (struct ledger_id){ { n, ~n } };
}

static inline void credit(struct ledger *l, uint64_t subject, int64_t microusd, uint64_t id)
{
	bool already;

	if (ledger_credit(l, NOON, subject, microusd, id_of(id), 0, SLICE("test"), &already, &err))
		fail_msg("credit: %s", err.message);
}

/* Key 1 of user 2; in organisation 3 if asked. */
static inline struct record_settle a_request(int64_t cost, uint64_t org)
{
	return (struct record_settle){ .key = 1,
		.user = 2,
		.org = org,
		.provider = 9,
		.model = 77,
		.cost_microusd = cost,
		.tokens = { 100, 0, 0, 0, 50, 0 },
		.ttft_ms = 300,
		.latency_ms = 900,
		.status = 200,
		.attempts = 1,
		.usage_state = RECORD_USAGE_REPORTED };
}

#define KEY  account_subject(ACCOUNT_KEY, 1)
#define USER account_subject(ACCOUNT_USER, 2)
#define ORG  account_subject(ACCOUNT_ORG, 3)

/* Settles a request that had reserved nothing. */
static inline void spend(struct ledger *l, struct ledger_now now, uint64_t id, int64_t cost)
{
	struct ledger_lease lease = { .id = id_of(id) };
	struct record_settle what = a_request(cost, 0);
	enum ledger_settled how;

	if (ledger_settle(l, now, &lease, &what, &how, &err))
		fail_msg("settle: %s", err.message);
	assert_int_equal(how, LEDGER_SETTLED);
}

static inline struct account account_of(struct ledger *l, uint64_t subject)
{
	struct account a;

	if (ledger_account(l, subject, &a, &err))
		fail_msg("account: %s", err.message);
	return a;
}

static inline void print_difference(void *ctx, const char *text)
{
	(void)ctx;
	print_message("  %s\n", text);
}

static inline uint64_t differences(struct ledger *l)
{
	struct verify_report report;

	if (verify_run(l, NOON, print_difference, NULL, &report, &err))
		fail_msg("verify: %s", err.message);
	return report.differences;
}

static inline void fold(struct ledger *l, struct ledger_now now)
{
	if (fold_run(l, now, 1000, &err))
		fail_msg("fold: %s", err.message);
}

/* Runs body in a child; returns how it ended, as waitpid says. */
static inline int in_child(void (*body)(void))
{
	int status;
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		body();
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

/* Copies the files of one folder into another, which is made. */
static inline void copy_folder(const char *from, const char *to)
{
	pid_t pid;
	int status;

	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		execlp("cp", "cp", "-aT", from, to, (char *)NULL);
		_exit(127);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static inline void overwrite(const char *name, off_t at, const char *bytes, size_t n)
{
	char path[512];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", home, name);
	fd = open(path, O_WRONLY | O_CREAT, 0600);
	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, bytes, n, at), (ssize_t)n);
	close(fd);
}

#endif
