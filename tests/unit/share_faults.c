#include "tests/unit/share_hosts.h"

#define ROUNDS 25

static void open_with(struct host *h, const char *url)
{
	const struct redis_conf conf = {
		.url = url, .prefix = "tg", .ca_file = "", .timeout_ms = 2000
	};
	struct err e;

	redis_close(h->redis);
	if (redis_open(&h->redis, &conf, &e))
		fail_msg("%s", e.message);
	keys_close(h->keys);
	assert_int_equal(keys_open(&h->keys, h->home, "", &e), ERR_OK);
	h->people = keys_people(h->keys);
	assert_int_equal(people_share_on(h->people, h->redis, &e), ERR_OK);
	byok_close(h->byok);
	assert_int_equal(byok_open(&h->byok, h->home, SETTING, &e), ERR_OK);
	assert_int_equal(byok_share_on(h->byok, h->redis, &e), ERR_OK);
}

static void assert_same_everywhere(size_t users)
{
	for (int i = 0; i < HOSTS; i++) {
		struct share_moved m;
		struct err e;

		host_tick(&hosts[i]);
		assert_int_equal(users_of(&hosts[i]), users);
		/* Of what is shared already this only compares. */
		if (people_share_give(
			    hosts[i].people, &(struct share_progress){ NULL, NULL }, &m, &e))
			fail_msg("%s", e.message);
		assert_int_equal(m.sent, 0);
		assert_int_equal(m.here.sum, m.there.sum);
	}
}

/* A host's operator, who says what was done. */
static void work(int i, int round, int said)
{
	char id[48];
	struct err e;

	hosts[i].redis = NULL; /* the parent's */
	host_open(&hosts[i], true);
	for (int n = 0; n < 1000; n++) {
		snprintf(id, sizeof(id), "r%d-h%d-n%d", round, i, n);
		if (add_user(&hosts[i], id, &e) == ERR_OK &&
			write(said, id, sizeof(id)) != sizeof(id))
			_exit(1);
	}
	_exit(0);
}

static bool has_user(struct host *h, const char *id)
{
	struct people_user user;
	struct err e;

	return people_user_get(h->people, id, &user, &e) == ERR_OK;
}

static size_t said_and_missing(int said, size_t *count)
{
	size_t missing = 0;
	char id[48];

	while (read(said, id, sizeof(id)) == sizeof(id)) {
		(*count)++;
		for (int i = 0; i < HOSTS; i++)
			missing += !has_user(&hosts[i], id);
	}
	return missing;
}

/* Breaks (tried) when a change is acknowledged before Redis has it. */
static void what_was_acknowledged_is_on_all_hosts_whoever_was_killed(void **state)
{
	unsigned seed = 1;
	size_t count = 0, missing = 0;
	struct err e;

	(void)state;
	assert_int_equal(add_user(&hosts[0], "first", &e), ERR_OK);
	for (int i = 1; i < HOSTS; i++)
		copy_pepper(&hosts[0], &hosts[i]);
	for (int round = 0; round < ROUNDS; round++) {
		int said[2];
		pid_t pids[2];

		assert_int_equal(pipe(said), 0);
		for (int i = 0; i < 2; i++) {
			pids[i] = fork();
			if (pids[i] == 0)
				work(i, round, said[1]);
		}
		poll(NULL, 0, 20 + (int)(rand_r(&seed) % 60));
		for (int i = 0; i < 2; i++) {
			kill(pids[i], SIGKILL);
			waitpid(pids[i], NULL, 0);
		}
		close(said[1]);
		/* What a dead one held ends by itself; here sooner. */
		in_redis("DEL tg:{tg}:people:lock", ":");
		for (int i = 0; i < HOSTS; i++)
			assert_int_equal(people_share_take(hosts[i].people, &e), ERR_OK);
		missing += said_and_missing(said[0], &count);
		close(said[0]);
	}
	print_message("  %zu changes acknowledged, %d processes killed\n", count, 2 * ROUNDS);
	assert_int_equal(missing, 0);
	assert_true(count > 0);
	assert_same_everywhere(users_of(&hosts[2]));
}

static void a_redis_that_is_killed_while_keys_change_loses_none(void **state)
{
	size_t made = 0;
	char id[32];
	struct err e;

	(void)state;
	redis_rig_kill(&rig);
	assert_true(rig_run("sed -i 's/^appendonly .*/appendonly yes\\nappendfsync always/' "
			    "%s/redis.conf",
		rig.dir));
	assert_true(redis_rig_restart(&rig));
	poll(NULL, 0, REDIS_PAUSE_MS + 50);
	for (int round = 0; round < 5; round++) {
		for (int n = 0; n < 8; n++) {
			snprintf(id, sizeof(id), "r%d-n%d", round, n);
			assert_int_equal(add_user(&hosts[n % 2], id, &e), ERR_OK);
			if (!made++)
				copy_pepper(&hosts[0], &hosts[1]);
		}
		redis_rig_kill(&rig);
		assert_int_equal(add_user(&hosts[0], "lost", &e), ERR_STORE);
		assert_true(redis_rig_restart(&rig));
		poll(NULL, 0, REDIS_PAUSE_MS + 50);
		assert_same_everywhere(made);
	}
}

static void a_user_without_the_rights_of_an_administrator_is_enough(void **state)
{
	char url[160], text[KEY_TEXT_SIZE];
	struct share_moved m;
	struct err e;

	(void)state;
	in_redis("ACL SETUSER tollgate on >secret ~tg:* +@all -@admin -@dangerous", "+OK");
	snprintf(url, sizeof(url), "unix://tollgate:secret@%s", rig.path);
	for (int i = 0; i < 2; i++)
		open_with(&hosts[i], url);
	make_key(&hosts[0], "ci", text);
	copy_pepper(&hosts[0], &hosts[1]);
	host_tick(&hosts[1]);
	assert_int_equal(judge(&hosts[1], text), KEYS_VALID);
	in_redis("DEL tg:{tg}:people", ":1");
	assert_int_equal(
		people_share_give(hosts[1].people, &(struct share_progress){ NULL, NULL }, &m, &e),
		ERR_OK);
	assert_int_equal(m.sent, 4);
	in_redis("ACL DELUSER tollgate", ":1");
}

/* How many lines of the log hold these words. */
static int logged(const char *words)
{
	char path[64], line[1024];
	int n = 0;
	FILE *f;

	snprintf(path, sizeof(path), "%s/log", top);
	f = fopen(path, "r");
	assert_non_null(f);
	while (fgets(line, sizeof(line), f))
		n += strstr(line, words) != NULL;
	fclose(f);
	return n;
}

/* As CGI, each request is a process. Tried: fails when only the process knows what it said. */
static void that_redis_is_gone_is_not_logged_with_every_request(void **state)
{
	const char *words = "keys.gdbm does not follow Redis";
	int before = logged(words);
	struct err e;

	(void)state;
	assert_int_equal(add_user(&hosts[0], "ana", &e), ERR_OK);
	redis_rig_kill(&rig);
	for (int i = 0; i < 5; i++) {
		host_reopen(&hosts[0], true);
		host_tick(&hosts[0]);
	}
	assert_int_equal(logged(words), before + 1);
	assert_true(rig_run("touch -d '2 minutes ago' %s/*.lock", hosts[0].home));
	host_reopen(&hosts[0], true);
	host_tick(&hosts[0]);
	assert_int_equal(logged(words), before + 2);
	assert_true(redis_rig_restart(&rig));
}

/* More changes than marks are kept. Tried: fails when whatever Redis has is taken over. */
static void a_redis_put_back_to_long_ago_brings_no_revoked_key_back(void **state)
{
	char text[KEY_TEXT_SIZE], id[32];
	struct key_info made, gone;
	struct err e;

	(void)state;
	made = make_key(&hosts[0], "ci", text);
	in_redis("COPY tg:{tg}:people before", ":1");
	assert_int_equal(keys_revoke(hosts[0].keys, made.id, NOW, &gone, &e), ERR_OK);
	for (int i = 0; i < SHARE_PAST; i++) {
		snprintf(id, sizeof(id), "u%d", i);
		assert_int_equal(add_user(&hosts[0], id, &e), ERR_OK);
	}
	in_redis("RENAME before tg:{tg}:people", "+OK");
	in_redis("DEL tg:{tg}:people:log", ":1");
	host_tick(&hosts[0]);
	assert_int_equal(judge(&hosts[0], text), KEYS_REVOKED);
	assert_int_equal(add_user(&hosts[0], "more", &e), ERR_STORE);
	assert_non_null(strstr(e.message, "delete the key tg:{tg}:people there"));
	/* As it says. */
	in_redis("DEL tg:{tg}:people", ":1");
	assert_int_equal(people_share_give(hosts[0].people, &(struct share_progress){ NULL, NULL },
				 &(struct share_moved){ 0 }, &e),
		ERR_OK);
	host_tick(&hosts[0]);
	assert_int_equal(judge(&hosts[0], text), KEYS_REVOKED);
	assert_int_equal(add_user(&hosts[0], "more", &e), ERR_OK);
}

static void a_cluster_keeps_them_too(void **state)
{
	static struct redis_rig nodes[3];
	struct share_moved m;
	char url[256], text[KEY_TEXT_SIZE];
	struct err e;

	(void)state;
	assert_true(redis_rig_cluster(nodes, 3, url, sizeof(url)));
	for (int i = 0; i < 2; i++)
		open_with(&hosts[i], url);
	make_key(&hosts[0], "ci", text);
	copy_pepper(&hosts[0], &hosts[1]);
	host_tick(&hosts[1]);
	assert_int_equal(judge(&hosts[1], text), KEYS_VALID);
	assert_int_equal(add_user(&hosts[1], "ana", &e), ERR_OK);
	host_tick(&hosts[0]);
	assert_int_equal(users_of(&hosts[0]), 1);
	assert_int_equal(share_fetch(people_file_share(hosts[0].people),
				 &(struct share_progress){ NULL, NULL }, &m, &e),
		ERR_OK);
	assert_int_equal(
		people_share_give(hosts[0].people, &(struct share_progress){ NULL, NULL }, &m, &e),
		ERR_OK);
	assert_int_equal(m.here.sum, m.there.sum);
	for (int i = 0; i < 2; i++) {
		host_close(&hosts[i]);
		host_open(&hosts[i], true);
	}
	for (int i = 0; i < 3; i++)
		redis_rig_stop(&nodes[i]);
}

static void nothing_is_tested_without_redis(void **state)
{
	(void)state;
	assert_false(redis_is_built());
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, hosts_start, hosts_end)
	const struct CMUnitTest tests[] = {
		T(what_was_acknowledged_is_on_all_hosts_whoever_was_killed),
		T(a_user_without_the_rights_of_an_administrator_is_enough),
		T(a_redis_put_back_to_long_ago_brings_no_revoked_key_back),
		T(a_cluster_keeps_them_too),
		T(a_redis_that_is_killed_while_keys_change_loses_none),
		T(that_redis_is_gone_is_not_logged_with_every_request),
	};
	const struct CMUnitTest none[] = { cmocka_unit_test(nothing_is_tested_without_redis) };

	if (!redis_is_built())
		return cmocka_run_group_tests(none, NULL, NULL);
	return cmocka_run_group_tests(tests, hosts_set_up, hosts_tear_down);
}
