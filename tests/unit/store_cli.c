#include "handlers/cli/store_migrate.h"
#include "store/fault.h"
#include "tests/unit/redis_rig.h"
#include "tests/unit/cli_run.h"

#include <sys/stat.h>

#define STORE(...)   run(cli_store, WORDS("store", __VA_ARGS__))
#define CREDITS(...) run(cli_credits, WORDS("credits", __VA_ARGS__))
#define PASSWORD     "s3cret-of-redis"

static struct redis_rig rig = { .password = PASSWORD };
static char top[] = "/tmp/tollgate-store-cli-XXXXXX";

static int dies_after;

int store_fault_point(const char *name)
{
	if (dies_after && strcmp(name, "back.applied") == 0 && --dies_after == 0)
		_exit(99);
	return 0;
}

static int set_up(void **state)
{
	(void)state;
	assert_non_null(mkdtemp(top));
	return redis_rig_start(&rig) ? 0 : -1;
}

/* With the table in memory that a ledger makes for it. */
static void remove_host(const char *host)
{
	char home[64];
	struct stat st;

	snprintf(home, sizeof(home), "%s/%s", top, host);
	if (stat(home, &st) == 0)
		assert_true(rig_run("rm -rf -- %s /dev/shm/tollgate-%u-%jx-%jx*", home, st.st_uid,
			(uintmax_t)st.st_dev, (uintmax_t)st.st_ino));
}

static int tear_down(void **state)
{
	(void)state;
	remove_host("one");
	remove_host("two");
	redis_rig_stop(&rig);
	return rig_run("rm -rf -- %s", top) ? 0 : -1;
}

/* The commands that follow are given on this host, with this GATEWAY_STORE. */
static void on(const char *host, const char *store)
{
	char home[64];

	snprintf(home, sizeof(home), "%s/%s", top, host);
	assert_int_equal(setenv("GATEWAY_HOME", home, 1), 0);
	assert_int_equal(setenv("GATEWAY_STORE", store, 1), 0);
}

static int start(void **state)
{
	char reply[64];

	(void)state;
	if (clearenv() != 0)
		return -1;
	dies_after = 0;
	remove_host("one");
	remove_host("two");
	assert_true(redis_rig_ask(&rig, "FLUSHALL", reply, sizeof(reply)));
	on("one", "gdbm");
	assert_int_equal(run(cli_users, WORDS("users", "create", "ana")), CLI_OK);
	assert_int_equal(run(cli_orgs, WORDS("orgs", "create", "acme")), CLI_OK);
	assert_int_equal(CREDITS("add", "7usd", "--user", "ana"), CLI_OK);
	return 0;
}

static void bring_second(void)
{
	assert_true(rig_run("mkdir -m 700 %s/two && cp -p %s/one/pepper %s/two/", top, top, top));
}

static void ways_are_read_as_people_write_them(void **state)
{
	static const struct {
		const char *a, *b;
		enum store_way way;
	} rows[] = { { "gdbm", "redis", STORE_TO_REDIS }, { "redis", "gdbm", STORE_TO_GDBM },
		{ "gdbm-redis", NULL, STORE_TO_REDIS }, { "gdbm->redis", NULL, STORE_TO_REDIS },
		{ "redis\xE2\x86\x92gdbm", NULL, STORE_TO_GDBM },
		{ "gdbm redis", NULL, STORE_TO_REDIS }, { "gdbm", NULL, STORE_WAY_NONE },
		{ "gdbm", "gdbm", STORE_WAY_NONE }, { "gdbmredis", NULL, STORE_WAY_NONE },
		{ "gdbm-redis", "redis", STORE_WAY_NONE }, { "", NULL, STORE_WAY_NONE } };

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		print_message("  %s %s\n", rows[i].a, rows[i].b ? rows[i].b : "");
		assert_int_equal(store_migrate_way(rows[i].a, rows[i].b), rows[i].way);
	}
}

static void what_is_used_wrongly_is_named(void **state)
{
	(void)state;
	assert_int_equal(STORE("migrate", "gdbm", "mysql"), CLI_USAGE);
	has("gdbm redis, or redis gdbm");
	assert_int_equal(STORE("migrate"), CLI_USAGE);
	assert_int_equal(STORE("migrate", "gdbm", "redis", "--from-copy"), CLI_USAGE);
	has("--from-copy goes with redis gdbm");
	assert_int_equal(STORE("migrate", "gdbm", "redis"), CLI_FAILED);
	has("GATEWAY_STORE is gdbm");
	assert_int_equal(STORE("status", "--from-copy"), CLI_USAGE);
}

static void a_host_of_its_own_says_so(void **state)
{
	(void)state;
	assert_int_equal(STORE("status"), CLI_OK);
	has("gdbm");
	has("of this host alone");
	on("one", rig.url);
	assert_int_equal(STORE("status"), CLI_FAILED);
	has("never moved (tollgate store migrate gdbm redis)");
	has_not(PASSWORD);
}

static void a_host_moves_to_redis_and_another_sees_it_all(void **state)
{
	(void)state;
	on("one", rig.url);
	assert_int_equal(STORE("migrate", "gdbm", "redis"), CLI_OK);
	has("keys and people      5 records here, 5 in Redis");
	has("none is missing in Redis");
	has("Now set GATEWAY_STORE");
	assert_int_equal(STORE("status"), CLI_OK);
	has("change 1-");
	has("0 bytes that Redis does not have yet");
	has_not(PASSWORD);
	/* Once is enough. */
	assert_int_equal(STORE("migrate", "gdbm-redis"), CLI_OK);
	bring_second();
	on("two", rig.url);
	assert_int_equal(CREDITS("show", "--user", "ana"), CLI_OK);
	has("7.00");
	assert_int_equal(run(cli_users, WORDS("users", "create", "bob")), CLI_OK);
	on("one", rig.url);
	assert_int_equal(run(cli_users, WORDS("users", "list")), CLI_OK);
	has("bob");
	/* Behind the back of Redis nothing is changed. */
	on("one", "gdbm");
	assert_int_equal(run(cli_users, WORDS("users", "create", "cid")), CLI_FAILED);
	has("this host's copy of what is in Redis");
	assert_int_equal(STORE("status"), CLI_FAILED);
	has("this host's copy of what is in Redis");
}

static void a_host_goes_home_with_what_others_did(void **state)
{
	(void)state;
	on("one", rig.url);
	assert_int_equal(STORE("migrate", "gdbm", "redis"), CLI_OK);
	bring_second();
	on("two", rig.url);
	assert_int_equal(CREDITS("add", "5usd", "--user", "ana"), CLI_OK);
	assert_int_equal(CREDITS("add", "3usd", "--org", "acme"), CLI_OK);
	on("one", rig.url);
	assert_int_equal(STORE("migrate", "redis", "gdbm"), CLI_OK);
	has("2 of them brought up to date, sum $15.00");
	on("one", "gdbm");
	assert_int_equal(CREDITS("show", "--user", "ana"), CLI_OK);
	has("12.00");
	assert_int_equal(CREDITS("show", "--org", "acme"), CLI_OK);
	has("3.00");
	/* In Redis nothing has changed, also when the host comes back with its journal. */
	on("one", rig.url);
	assert_int_equal(STORE("migrate", "redis", "gdbm"), CLI_OK);
	has("0 of them brought up to date");
	assert_int_equal(STORE("migrate", "gdbm", "redis"), CLI_OK);
	on("two", rig.url);
	assert_int_equal(CREDITS("show", "--user", "ana"), CLI_OK);
	has("12.00");
	assert_int_equal(CREDITS("show", "--org", "acme"), CLI_OK);
	has("3.00");
}

static void a_way_home_that_was_cut_off_is_gone_again(void **state)
{
	int status;
	pid_t pid;

	(void)state;
	on("one", rig.url);
	assert_int_equal(STORE("migrate", "gdbm", "redis"), CLI_OK);
	bring_second();
	on("two", rig.url);
	assert_int_equal(CREDITS("add", "5usd", "--user", "ana"), CLI_OK);
	assert_int_equal(CREDITS("add", "3usd", "--org", "acme"), CLI_OK);
	on("one", rig.url);
	for (int i = 1; i <= 2; i++) {
		fflush(NULL);
		pid = fork();
		if (pid == 0) {
			dies_after = i;
			_exit(STORE("migrate", "redis", "gdbm"));
		}
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_int_equal(WEXITSTATUS(status), 99);
	}
	assert_int_equal(STORE("migrate", "redis", "gdbm"), CLI_OK);
	on("one", "gdbm");
	assert_int_equal(CREDITS("show", "--user", "ana"), CLI_OK);
	has("12.00");
	on("two", rig.url);
	assert_int_equal(CREDITS("show", "--user", "ana"), CLI_OK);
	has("12.00");
	assert_int_equal(CREDITS("show", "--org", "acme"), CLI_OK);
	has("3.00");
}

static void a_redis_that_is_lost_is_left_with_what_there_is(void **state)
{
	(void)state;
	on("one", rig.url);
	assert_int_equal(STORE("migrate", "gdbm", "redis"), CLI_OK);
	redis_rig_kill(&rig);
	assert_int_equal(STORE("status"), CLI_FAILED);
	has("no: ");
	has_not(PASSWORD);
	assert_int_equal(STORE("migrate", "redis", "gdbm"), CLI_FAILED);
	has_not(PASSWORD);
	on("one", "gdbm");
	assert_int_equal(STORE("migrate", "redis", "gdbm", "--from-copy"), CLI_OK);
	has("this host's own now");
	assert_int_equal(STORE("status"), CLI_OK);
	assert_int_equal(run(cli_users, WORDS("users", "create", "cid")), CLI_OK);
	assert_int_equal(STORE("migrate", "redis", "gdbm", "--from-copy"), CLI_OK);
	has("nothing was done");
	assert_true(redis_rig_restart(&rig));
}

static void nothing_is_tested_without_redis(void **state)
{
	(void)state;
	assert_false(redis_is_built());
}

int main(void)
{
#define T(f) cmocka_unit_test_setup(f, start)
	const struct CMUnitTest tests[] = {
		T(ways_are_read_as_people_write_them),
		T(what_is_used_wrongly_is_named),
		T(a_host_of_its_own_says_so),
		T(a_host_moves_to_redis_and_another_sees_it_all),
		T(a_host_goes_home_with_what_others_did),
		T(a_way_home_that_was_cut_off_is_gone_again),
		T(a_redis_that_is_lost_is_left_with_what_there_is),
	};
	const struct CMUnitTest none[] = { cmocka_unit_test(nothing_is_tested_without_redis) };

	if (!redis_is_built())
		return cmocka_run_group_tests(none, NULL, NULL);
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
