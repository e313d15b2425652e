#include "tests/unit/share_hosts.h"

#include "store/fault.h"

#define KEYS_N 600 /* several pages, and several chunks */

static bool dies_at_rename;
static uint64_t told;

int store_fault_point(const char *name)
{
	if (dies_at_rename && strcmp(name, "share.rename") == 0)
		_exit(99);
	return 0;
}

static void on_records(void *ctx, const char *topic, uint64_t done, uint64_t of)
{
	(void)ctx;
	assert_true(done <= of);
	assert_true(strcmp(topic, "people") == 0 || strcmp(topic, "byok") == 0);
	told = done;
}

static const struct share_progress progress = { on_records, NULL };

static int start(void **state)
{
	dies_at_rename = false;
	told = 0;
	return hosts_start(state);
}

static struct share *people_of(const struct host *h)
{
	return people_file_share(h->people);
}

static struct share_moved give(struct host *h)
{
	struct share_moved m;
	struct err e;

	if (people_share_give(h->people, &progress, &m, &e))
		fail_msg("%s", e.message);
	return m;
}

static struct share_moved fetch(struct host *h)
{
	struct share_moved m;
	struct err e;

	if (share_fetch(people_of(h), &progress, &m, &e))
		fail_msg("%s", e.message);
	return m;
}

/* A host with a file of its own. */
static void begin_alone(struct host *h, const char *name, char text[KEY_TEXT_SIZE])
{
	host_reopen(h, false);
	make_key(h, name, text);
	host_reopen(h, true);
}

static void what_a_host_has_is_moved_and_serves_another(void **state)
{
	char text[KEY_TEXT_SIZE], id[32];
	struct share_moved m, again;
	struct err e;

	(void)state;
	host_reopen(&hosts[0], false);
	make_key(&hosts[0], "ci", text);
	{
		struct people_change c;

		assert_int_equal(people_change_begin(&c, hosts[0].people, &e), ERR_OK);
		for (int i = 0; i < KEYS_N; i++) {
			snprintf(id, sizeof(id), "slug%d", i);
			assert_int_equal(people_change_put(&c, 'G', slice_of(id), SLICE(""),
						 SLICE("00000000-0000-4000-8000-000000000000"), &e),
				ERR_OK);
		}
		assert_int_equal(people_change_end(&c, ERR_OK, &e), ERR_OK);
	}
	host_reopen(&hosts[0], true);
	m = give(&hosts[0]);
	/* Both records of the key, the schema, and the fingerprint. */
	assert_int_equal(m.sent, KEYS_N + 4);
	assert_int_equal(m.here.records, KEYS_N + 4);
	assert_int_equal(m.there.records, m.here.records);
	assert_int_equal(m.there.sum, m.here.sum);
	assert_int_equal(told, KEYS_N + 4);
	again = give(&hosts[0]);
	assert_int_equal(again.sent, 0);
	assert_int_equal(again.here.sum, m.here.sum);
	assert_int_equal(add_user(&hosts[0], "ana", &e), ERR_OK);
	copy_pepper(&hosts[0], &hosts[1]);
	host_tick(&hosts[1]);
	assert_int_equal(judge(&hosts[1], text), KEYS_VALID);
	assert_int_equal(users_of(&hosts[1]), 1);
}

static void a_move_that_was_interrupted_is_repeated(void **state)
{
	char text[KEY_TEXT_SIZE];
	struct share_moved m;
	int status;
	pid_t pid;

	(void)state;
	begin_alone(&hosts[0], "ci", text);
	pid = fork();
	if (pid == 0) {
		struct err e;

		dies_at_rename = true;
		hosts[0].redis = NULL;
		host_open(&hosts[0], true);
		_exit(people_share_give(hosts[0].people, &progress, &m, &e) ? 1 : 0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(WEXITSTATUS(status), 99);
	/* Nobody sees half of it; and its lock ends by itself. */
	in_redis("EXISTS tg:{tg}:people", ":0");
	in_redis("PEXPIRE tg:{tg}:people:lock 100", ":1");
	m = give(&hosts[0]);
	assert_int_equal(m.there.records, 4);
	in_redis("EXISTS tg:{tg}:people:new", ":0");
	in_redis("PERSIST tg:{tg}:people", ":0");
	assert_int_equal(judge(&hosts[0], text), KEYS_VALID);
}

static void two_hosts_with_one_pepper_become_one(void **state)
{
	char first[KEY_TEXT_SIZE], second[KEY_TEXT_SIZE];
	struct share_moved m;

	(void)state;
	begin_alone(&hosts[0], "first", first);
	copy_pepper(&hosts[0], &hosts[1]);
	begin_alone(&hosts[1], "second", second);
	give(&hosts[0]);
	m = give(&hosts[1]);
	assert_int_equal(m.sent, 2); /* schema and fingerprint are there */
	assert_int_equal(m.kept, 0);
	assert_int_equal(judge(&hosts[1], first), KEYS_VALID);
	host_tick(&hosts[0]);
	assert_int_equal(judge(&hosts[0], second), KEYS_VALID);
}

static void what_redis_has_stays_when_another_host_joins(void **state)
{
	char text[KEY_TEXT_SIZE];
	struct key_info made, gone;
	struct share_moved m;
	struct err e;

	(void)state;
	host_reopen(&hosts[0], false);
	made = make_key(&hosts[0], "ci", text);
	assert_true(rig_run("cp -pr %s %s", hosts[0].home, hosts[1].home));
	host_reopen(&hosts[0], true);
	give(&hosts[0]);
	assert_int_equal(keys_revoke(hosts[0].keys, made.id, NOW, &gone, &e), ERR_OK);
	/* Its key is not revoked yet; it must not come back by this. */
	host_reopen(&hosts[1], true);
	m = give(&hosts[1]);
	assert_int_equal(m.kept, 1);
	assert_int_equal(judge(&hosts[1], text), KEYS_REVOKED);
	host_tick(&hosts[0]);
	assert_int_equal(judge(&hosts[0], text), KEYS_REVOKED);
}

static void two_hosts_with_two_peppers_do_not_become_one(void **state)
{
	char first[KEY_TEXT_SIZE], second[KEY_TEXT_SIZE];
	struct share_moved m;
	struct err e;

	(void)state;
	begin_alone(&hosts[0], "first", first);
	begin_alone(&hosts[1], "second", second);
	give(&hosts[0]);
	assert_int_equal(people_share_give(hosts[1].people, &progress, &m, &e), ERR_STORE);
	assert_non_null(strstr(e.message, "another one than that of the hosts it shares"));
	assert_int_equal(judge(&hosts[1], second), KEYS_VALID);
	host_tick(&hosts[0]);
	assert_int_equal(judge(&hosts[0], second), KEYS_UNKNOWN);
}

static void a_redis_that_was_emptied_gets_the_copy_back(void **state)
{
	char text[KEY_TEXT_SIZE];
	struct share_moved m;
	struct err e;

	(void)state;
	make_key(&hosts[0], "ci", text);
	copy_pepper(&hosts[0], &hosts[1]);
	host_tick(&hosts[1]);
	in_redis("FLUSHALL", "+OK");
	m = give(&hosts[1]);
	assert_int_equal(m.sent, 4);
	assert_int_equal(add_user(&hosts[0], "ana", &e), ERR_OK);
	host_tick(&hosts[1]);
	assert_int_equal(users_of(&hosts[1]), 1);
	assert_int_equal(judge(&hosts[1], text), KEYS_VALID);
}

static void a_host_goes_back_to_a_file_of_its_own(void **state)
{
	char text[KEY_TEXT_SIZE];
	struct share_moved m;
	struct err e;

	(void)state;
	make_key(&hosts[0], "ci", text);
	copy_pepper(&hosts[0], &hosts[1]);
	/* One that never followed gets all. */
	m = fetch(&hosts[1]);
	assert_int_equal(m.sent, 4);
	assert_int_equal(m.here.sum, m.there.sum);
	m = fetch(&hosts[1]);
	host_reopen(&hosts[1], false);
	assert_int_equal(add_user(&hosts[1], "ana", &e), ERR_OK);
	assert_int_equal(judge(&hosts[1], text), KEYS_VALID);
	/* From now on it is another one: a second time would lose that. */
	host_reopen(&hosts[1], true);
	assert_int_equal(share_fetch(people_of(&hosts[1]), &progress, &m, &e), ERR_STORE);
	assert_non_null(strstr(e.message, "nothing was done"));
	assert_int_equal(users_of(&hosts[1]), 1);
	/* One that followed takes the newest with it. */
	assert_int_equal(add_user(&hosts[0], "bob", &e), ERR_OK);
	m = fetch(&hosts[0]);
	assert_int_equal(m.here.records, m.there.records);
	host_reopen(&hosts[0], false);
	assert_int_equal(add_user(&hosts[0], "cid", &e), ERR_OK);
	assert_int_equal(users_of(&hosts[0]), 2);
}

static void a_host_leaves_a_redis_that_is_lost_with_what_it_has(void **state)
{
	char text[KEY_TEXT_SIZE];
	struct share_moved m;
	struct err e;

	(void)state;
	make_key(&hosts[0], "ci", text);
	redis_rig_kill(&rig);
	assert_int_equal(share_fetch(people_of(&hosts[0]), &progress, &m, &e), ERR_STORE);
	assert_int_equal(share_leave(people_of(&hosts[0]), &e), ERR_OK);
	assert_int_equal(share_leave(people_of(&hosts[0]), &e), ERR_NOT_FOUND);
	host_reopen(&hosts[0], false);
	assert_int_equal(add_user(&hosts[0], "ana", &e), ERR_OK);
	assert_int_equal(judge(&hosts[0], text), KEYS_VALID);
	assert_true(redis_rig_restart(&rig));
}

static void what_was_changed_alone_counts_when_a_host_comes_back(void **state)
{
	char text[KEY_TEXT_SIZE];
	struct key_info made, gone;
	struct share_moved m;
	struct err e;

	(void)state;
	made = make_key(&hosts[0], "ci", text);
	copy_pepper(&hosts[0], &hosts[1]);
	host_tick(&hosts[1]);
	assert_int_equal(share_leave(people_of(&hosts[0]), &e), ERR_OK);
	host_reopen(&hosts[0], false);
	assert_int_equal(keys_revoke(hosts[0].keys, made.id, NOW, &gone, &e), ERR_OK);
	host_reopen(&hosts[0], true);
	m = give(&hosts[0]);
	assert_int_equal(m.kept, 0);
	assert_int_equal(judge(&hosts[0], text), KEYS_REVOKED);
	host_tick(&hosts[1]);
	assert_int_equal(judge(&hosts[1], text), KEYS_REVOKED);
}

/* Whoever asks while it goes on. */
static void check_on(const char *text, int stop)
{
	struct pollfd p = { .fd = stop, .events = POLLIN }; /* its end hangs up */
	int wrong = 0, n = 0;

	hosts[0].redis = NULL; /* the parent's */
	host_open(&hosts[0], true);
	do {
		wrong += judge(&hosts[0], text) != KEYS_VALID;
		n++;
	} while (poll(&p, 1, 0) == 0);
	_exit(wrong || n < 10 ? 1 : 0);
}

static void keys_are_recognised_while_they_are_moved_to_and_fro(void **state)
{
	char text[KEY_TEXT_SIZE];
	int stop[2], status;
	pid_t pid;

	(void)state;
	begin_alone(&hosts[0], "ci", text);
	assert_int_equal(pipe(stop), 0);
	pid = fork();
	if (pid == 0) {
		close(stop[1]);
		check_on(text, stop[0]);
	}
	close(stop[0]);
	for (int i = 0; i < 10; i++) {
		give(&hosts[0]);
		fetch(&hosts[0]);
	}
	close(stop[1]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static void a_host_that_has_nothing_and_finds_nothing_moves_nothing(void **state)
{
	struct share_moved m;

	(void)state;
	m = give(&hosts[0]);
	assert_int_equal(m.sent, 0);
	m = fetch(&hosts[0]);
	assert_int_equal(m.here.records, 0);
	in_redis("DBSIZE", ":0");
}

static void nothing_is_tested_without_redis(void **state)
{
	(void)state;
	assert_false(redis_is_built());
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, start, hosts_end)
	const struct CMUnitTest tests[] = {
		T(what_a_host_has_is_moved_and_serves_another),
		T(a_move_that_was_interrupted_is_repeated),
		T(two_hosts_with_one_pepper_become_one),
		T(what_redis_has_stays_when_another_host_joins),
		T(two_hosts_with_two_peppers_do_not_become_one),
		T(a_redis_that_was_emptied_gets_the_copy_back),
		T(a_host_goes_back_to_a_file_of_its_own),
		T(a_host_leaves_a_redis_that_is_lost_with_what_it_has),
		T(what_was_changed_alone_counts_when_a_host_comes_back),
		T(keys_are_recognised_while_they_are_moved_to_and_fro),
		T(a_host_that_has_nothing_and_finds_nothing_moves_nothing),
	};
	const struct CMUnitTest none[] = { cmocka_unit_test(nothing_is_tested_without_redis) };

	if (!redis_is_built())
		return cmocka_run_group_tests(none, NULL, NULL);
	return cmocka_run_group_tests(tests, hosts_set_up, hosts_tear_down);
}
