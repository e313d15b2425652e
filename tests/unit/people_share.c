#include "tests/unit/share_hosts.h"

#include "base/crypto.h"
#include "store/fault.h"
#include "store/home.h"

#include <pthread.h>

/* What a test wants done in the middle of a change. */
static void (*at_push)(void);

int store_fault_point(const char *name)
{
	void (*f)(void) = at_push;

	if (f && strcmp(name, "share.push") == 0) {
		at_push = NULL;
		f();
	}
	return 0;
}

static int start(void **state)
{
	at_push = NULL;
	return hosts_start(state);
}

/* ---- following ---- */

static void a_key_of_one_host_works_on_another_within_a_second(void **state)
{
	char text[KEY_TEXT_SIZE];

	(void)state;
	make_key(&hosts[0], "ci", text);
	assert_int_equal(judge(&hosts[0], text), KEYS_VALID);
	copy_pepper(&hosts[0], &hosts[1]);
	assert_int_equal(judge(&hosts[1], text), KEYS_UNKNOWN);
	host_tick(&hosts[1]);
	assert_int_equal(judge(&hosts[1], text), KEYS_VALID);
}

static void a_key_that_one_host_revokes_is_refused_on_another_within_a_second(void **state)
{
	char text[KEY_TEXT_SIZE];
	struct key_info made, gone;
	struct err e;

	(void)state;
	made = make_key(&hosts[0], "ci", text);
	copy_pepper(&hosts[0], &hosts[1]);
	host_tick(&hosts[1]);
	assert_int_equal(keys_revoke(hosts[0].keys, made.id, NOW, &gone, &e), ERR_OK);
	/* The clock of the other has not gone on: it does not ask again. */
	people_share_tick(hosts[1].people, hosts[1].clock_ms);
	assert_int_equal(judge(&hosts[1], text), KEYS_VALID);
	host_tick(&hosts[1]);
	assert_int_equal(judge(&hosts[1], text), KEYS_REVOKED);
}

static void who_learns_of_a_newer_state_has_it_at_once(void **state)
{
	struct err e;

	(void)state;
	assert_int_equal(add_user(&hosts[0], "ana", &e), ERR_OK);
	assert_int_equal(add_user(&hosts[0], "bob", &e), ERR_OK);
	copy_pepper(&hosts[0], &hosts[1]);
	assert_int_equal(people_share_expect(hosts[1].people, 2, &e), ERR_OK);
	assert_int_equal(users_of(&hosts[1]), 2);
	/* What it has seen it does not ask for: here nobody would answer. */
	redis_rig_kill(&rig);
	assert_int_equal(people_share_expect(hosts[1].people, 2, &e), ERR_OK);
	assert_int_equal(people_share_expect(hosts[1].people, 3, &e), ERR_STORE);
	assert_true(redis_rig_restart(&rig));
}

static void a_host_that_was_away_for_long_fetches_everything(void **state)
{
	struct share_status s;
	char id[32];
	struct err e;

	(void)state;
	assert_int_equal(add_user(&hosts[0], "ana", &e), ERR_OK);
	host_tick(&hosts[1]);
	assert_int_equal(users_of(&hosts[1]), 1);
	for (int i = 0; i < SHARE_PAST + 10; i++) {
		snprintf(id, sizeof(id), "user%d", i);
		assert_int_equal(add_user(&hosts[0], id, &e), ERR_OK);
	}
	host_tick(&hosts[1]);
	assert_int_equal(users_of(&hosts[1]), SHARE_PAST + 11);
	assert_int_equal(share_look(people_file_share(hosts[1].people), &s, &e), ERR_OK);
	assert_string_equal(s.here, s.there);
	assert_int_equal(s.records_here, s.records_there);
}

static void what_is_removed_on_one_host_goes_on_all(void **state)
{
	struct people_org want = { .slug = "acme" }, org;
	struct people_membership *list;
	struct people_member member = { .role = PEOPLE_OWNER };
	size_t count;
	struct err e;

	(void)state;
	assert_int_equal(add_user(&hosts[0], "ana", &e), ERR_OK);
	assert_int_equal(people_org_create(hosts[0].people, &want, NOW, &org, &e), ERR_OK);
	assert_int_equal(
		people_member_add(hosts[0].people, "acme", "ana", 0, &member, NOW, &member, &e),
		ERR_OK);
	copy_pepper(&hosts[0], &hosts[1]);
	host_tick(&hosts[1]);
	assert_int_equal(people_member_list(hosts[1].people, "", &list, &count, &e), ERR_OK);
	assert_int_equal(count, 1);
	free(list);
	/* The other host removes, and the first follows. */
	assert_int_equal(people_member_remove(hosts[1].people, "acme", "ana", &e), ERR_OK);
	host_tick(&hosts[0]);
	assert_int_equal(people_member_list(hosts[0].people, "", &list, &count, &e), ERR_OK);
	assert_int_equal(count, 0);
	free(list);
}

static void a_damaged_copy_is_made_anew_from_redis(void **state)
{
	struct err e;

	(void)state;
	for (int i = 0; i < 2; i++) {
		assert_int_equal(add_user(&hosts[0], i ? "bob" : "ana", &e), ERR_OK);
		host_tick(&hosts[1]);
	}
	assert_true(rig_run("dd if=/dev/urandom of=%s/keys.gdbm bs=512 count=4 conv=notrunc "
			    "2>/dev/null",
		hosts[1].home));
	assert_int_equal(users_of(&hosts[1]), 1);
	assert_true(people_file_is_damaged(hosts[1].people));
	host_tick(&hosts[1]);
	assert_int_equal(users_of(&hosts[1]), 2);
	assert_false(people_file_is_damaged(hosts[1].people));
}

/* ---- Redis is gone ---- */

static void without_redis_changes_are_refused_and_requests_go_on(void **state)
{
	char text[KEY_TEXT_SIZE], id[KEY_ID_SIZE];
	struct key_info made, gone;
	struct err e;

	(void)state;
	made = make_key(&hosts[0], "ci", text);
	memcpy(id, made.id, sizeof(id));
	redis_rig_kill(&rig);
	assert_int_equal(keys_revoke(hosts[0].keys, id, NOW, &gone, &e), ERR_STORE);
	assert_int_equal(try_key(&hosts[0], "another", &e), ERR_STORE);
	assert_non_null(strstr(e.message, "people in Redis"));
	host_tick(&hosts[0]);
	assert_int_equal(judge(&hosts[0], text), KEYS_VALID);
	/* It comes back with nothing, and nothing is thrown away for that. */
	assert_true(redis_rig_restart(&rig));
	poll(NULL, 0, REDIS_PAUSE_MS + 50);
	host_tick(&hosts[0]);
	assert_int_equal(judge(&hosts[0], text), KEYS_VALID);
	assert_int_equal(try_key(&hosts[0], "another", &e), ERR_STORE);
	assert_non_null(strstr(e.message, "holds no people any more"));
}

static void *resume_soon(void *arg)
{
	poll(NULL, 0, 700);
	redis_rig_resume(&rig);
	return arg;
}

static pthread_t resumer;

static void pause_for_a_while(void)
{
	redis_rig_pause(&rig);
	assert_int_equal(pthread_create(&resumer, NULL, resume_soon, NULL), 0);
}

/* The server carries out what it had received when it goes on, after the caller has given up. */
static void a_change_whose_answer_was_lost_is_made_once(void **state)
{
	char before[SHARE_MARK_SIZE];
	struct share_status s;
	struct err e;

	(void)state;
	assert_int_equal(add_user(&hosts[0], "ana", &e), ERR_OK);
	assert_int_equal(share_look(people_file_share(hosts[0].people), &s, &e), ERR_OK);
	memcpy(before, s.there, sizeof(before));
	at_push = pause_for_a_while;
	assert_int_equal(add_user(&hosts[0], "bob", &e), ERR_OK);
	pthread_join(resumer, NULL);
	assert_int_equal(users_of(&hosts[0]), 2);
	assert_int_equal(share_look(people_file_share(hosts[0].people), &s, &e), ERR_OK);
	assert_string_equal(s.here, s.there);
	assert_int_equal(atoi(s.there), atoi(before) + 1);
}

static void kill_it(void)
{
	redis_rig_kill(&rig);
}

static void a_change_that_redis_never_got_is_not_made(void **state)
{
	struct err e;

	(void)state;
	assert_int_equal(add_user(&hosts[0], "ana", &e), ERR_OK);
	at_push = kill_it;
	assert_int_equal(add_user(&hosts[0], "bob", &e), ERR_STORE);
	assert_non_null(strstr(e.message, "not known"));
	assert_int_equal(users_of(&hosts[0]), 1);
	assert_true(redis_rig_restart(&rig));
}

/* ---- several change at once ---- */

static void two_hosts_that_change_at_once_lose_nothing(void **state)
{
	pid_t pids[2];
	int status;
	struct err e;

	(void)state;
	assert_int_equal(add_user(&hosts[0], "first", &e), ERR_OK);
	copy_pepper(&hosts[0], &hosts[1]);
	for (int i = 0; i < 2; i++) {
		pids[i] = fork();
		if (pids[i] == 0) {
			char id[32];
			int failed = 0;

			hosts[i].redis = NULL; /* the parent's */
			host_open(&hosts[i], true);
			for (int n = 0; n < 15; n++) {
				snprintf(id, sizeof(id), "h%d-%d", i, n);
				failed += add_user(&hosts[i], id, &e) != ERR_OK;
			}
			_exit(failed);
		}
	}
	for (int i = 0; i < 2; i++) {
		assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
		assert_int_equal(status, 0);
	}
	for (int i = 0; i < HOSTS; i++) {
		host_tick(&hosts[i]);
		assert_int_equal(users_of(&hosts[i]), 31);
	}
}

/* As if another host had changed something, in the same history. */
static void plant_mark(int changes)
{
	char line[128], out[128], *history;

	assert_true(redis_rig_ask(&rig, "HGET tg:{tg}:people E", out, sizeof(out)));
	history = strchr(out + 1, '-');
	assert_non_null(history);
	snprintf(line, sizeof(line), "HSET tg:{tg}:people E %d%.10s0123456789abcdef", changes,
		history);
	in_redis(line, ":0");
}

/* What happens when a lock ended by itself under somebody slow. */
static void another_is_faster(void)
{
	in_redis("DEL tg:{tg}:people:lock", ":1");
	plant_mark(99);
}

static void a_slow_change_does_not_overwrite_a_fast_one(void **state)
{
	struct err e;

	(void)state;
	assert_int_equal(add_user(&hosts[0], "ana", &e), ERR_OK);
	at_push = another_is_faster;
	assert_int_equal(add_user(&hosts[0], "bob", &e), ERR_BUSY);
	assert_int_equal(users_of(&hosts[0]), 1);
	in_redis("HGET tg:{tg}:people Ubob", "$-1");
}

static void a_lock_of_a_host_that_died_ends_by_itself(void **state)
{
	struct err e;

	(void)state;
	in_redis("SET tg:{tg}:people:lock dead PX 200", "+OK");
	assert_int_equal(add_user(&hosts[0], "ana", &e), ERR_OK);
	in_redis("EXISTS tg:{tg}:people:lock", ":0");
}

/* ---- what else may stand in Redis ---- */

static void a_damaged_record_in_redis_is_not_taken_over(void **state)
{
	char text[KEY_TEXT_SIZE], log[4096];
	FILE *f;
	size_t n;

	(void)state;
	make_key(&hosts[0], "ci", text);
	in_redis("HSET tg:{tg}:people Uana garbage", ":1");
	plant_mark(7);
	host_tick(&hosts[0]);
	assert_int_equal(judge(&hosts[0], text), KEYS_VALID);
	snprintf(log, sizeof(log), "%s/log", top);
	f = fopen(log, "re");
	assert_non_null(f);
	fseek(f, -1000, SEEK_END);
	n = fread(log, 1, sizeof(log) - 1, f);
	log[n] = '\0';
	fclose(f);
	assert_non_null(strstr(log, "a record of people in Redis is damaged"));
}

static void plant(void)
{
	in_redis("DEL tg:{tg}:people:log", ":0");
	in_redis("SET tg:{tg}:people:log planted", "+OK");
}

static void a_list_of_a_wrong_type_stops_a_change_before_it_begins(void **state)
{
	struct err e;

	(void)state;
	assert_int_equal(add_user(&hosts[0], "ana", &e), ERR_OK);
	at_push = plant;
	assert_int_equal(add_user(&hosts[0], "bob", &e), ERR_STORE);
	assert_non_null(strstr(e.message, "is no list"));
	assert_int_equal(users_of(&hosts[0]), 1);
	in_redis("HGET tg:{tg}:people Ubob", "$-1");
}

static void changes_that_redis_forgot_are_given_back(void **state)
{
	char text[KEY_TEXT_SIZE];
	struct key_info made, gone;
	struct err e;

	(void)state;
	made = make_key(&hosts[0], "ci", text);
	copy_pepper(&hosts[0], &hosts[1]);
	host_tick(&hosts[1]);
	/* A snapshot, which Redis goes back to after it was told that the key is revoked. */
	in_redis("COPY tg:{tg}:people before", ":1");
	assert_int_equal(keys_revoke(hosts[0].keys, made.id, NOW, &gone, &e), ERR_OK);
	in_redis("RENAME before tg:{tg}:people", "+OK");
	in_redis("DEL tg:{tg}:people:log", ":1");
	host_tick(&hosts[1]);
	assert_int_equal(judge(&hosts[1], text), KEYS_VALID);
	host_tick(&hosts[0]);
	assert_int_equal(judge(&hosts[0], text), KEYS_REVOKED);
	host_tick(&hosts[1]);
	assert_int_equal(judge(&hosts[1], text), KEYS_REVOKED);
}

/* A large change is not told key by key, and is as much a part of history. */
static void large_changes_are_followed_and_given_back(void **state)
{
	struct people_change c;
	struct share_status s;
	char id[32];
	struct err e;

	(void)state;
	assert_int_equal(add_user(&hosts[0], "ana", &e), ERR_OK);
	copy_pepper(&hosts[0], &hosts[1]);
	host_tick(&hosts[1]);
	in_redis("COPY tg:{tg}:people before", ":1");
	assert_int_equal(people_change_begin(&c, hosts[0].people, &e), ERR_OK);
	for (int i = 0; i < 400; i++) {
		snprintf(id, sizeof(id), "slug%d", i);
		assert_int_equal(people_change_put(&c, 'G', slice_of(id), SLICE(""),
					 SLICE("00000000-0000-4000-8000-000000000000"), &e),
			ERR_OK);
	}
	assert_int_equal(people_change_end(&c, ERR_OK, &e), ERR_OK);
	assert_int_equal(add_user(&hosts[0], "bob", &e), ERR_OK);
	host_tick(&hosts[1]);
	assert_int_equal(share_look(people_file_share(hosts[1].people), &s, &e), ERR_OK);
	assert_int_equal(s.records_here, 404);
	assert_string_equal(s.here, s.there);
	in_redis("RENAME before tg:{tg}:people", "+OK");
	in_redis("DEL tg:{tg}:people:log", ":1");
	host_tick(&hosts[1]);
	assert_int_equal(share_look(people_file_share(hosts[0].people), &s, &e), ERR_OK);
	assert_int_equal(s.records_there, 404);
	assert_string_equal(s.here, s.there);
}

static void a_new_beginning_in_an_emptied_redis_empties_nobody(void **state)
{
	char text[KEY_TEXT_SIZE], other[KEY_TEXT_SIZE];
	struct err e;

	(void)state;
	make_key(&hosts[0], "ci", text);
	copy_pepper(&hosts[0], &hosts[1]);
	in_redis("FLUSHALL", "+OK");
	/* A host that never followed has nothing to lose, and begins. */
	make_key(&hosts[1], "new", other);
	host_tick(&hosts[0]);
	assert_int_equal(judge(&hosts[0], text), KEYS_VALID);
	assert_int_equal(try_key(&hosts[0], "more", &e), ERR_STORE);
	assert_non_null(strstr(e.message, "delete the key tg:{tg}:people there"));
}

/* ---- secrets ---- */

static void a_host_without_the_pepper_says_what_is_missing(void **state)
{
	char text[KEY_TEXT_SIZE];
	enum keys_verdict verdict;
	struct key_info info;
	struct err e;

	(void)state;
	make_key(&hosts[0], "ci", text);
	host_tick(&hosts[1]);
	assert_int_equal(
		keys_check_at(hosts[1].keys, slice_of(text), NOW, &verdict, &info, &e), ERR_STORE);
	assert_non_null(strstr(e.message, "from another host that shares these keys"));
	assert_int_equal(try_key(&hosts[1], "mine", &e), ERR_STORE);
	copy_pepper(&hosts[0], &hosts[1]);
	assert_int_equal(judge(&hosts[1], text), KEYS_VALID);
}

static void a_host_with_another_pepper_says_so_and_changes_nothing(void **state)
{
	char text[KEY_TEXT_SIZE];
	uint8_t pepper[PEPPER_BYTES];
	enum keys_verdict verdict;
	struct key_info info;
	struct share_status s;
	struct err e;

	(void)state;
	make_key(&hosts[0], "ci", text);
	host_tick(&hosts[1]);
	assert_int_equal(home_make(hosts[1].home, &e), ERR_OK);
	assert_int_equal(pepper_make(hosts[1].home, pepper, &e), ERR_OK);
	assert_int_equal(
		keys_check_at(hosts[1].keys, slice_of(text), NOW, &verdict, &info, &e), ERR_STORE);
	assert_non_null(strstr(e.message, "another one than that of the hosts it shares"));
	assert_int_equal(try_key(&hosts[1], "mine", &e), ERR_STORE);
	assert_non_null(strstr(e.message, "another one than that of the hosts it shares"));
	assert_int_equal(share_look(people_file_share(hosts[0].people), &s, &e), ERR_OK);
	assert_string_equal(s.here, s.there);
}

static void neither_pepper_nor_master_key_nor_key_goes_to_redis(void **state)
{
	struct byok_info want = { .owner = { BYOK_USER, "ana" }, .provider = "openai" }, made;
	char text[KEY_TEXT_SIZE], all[16384], hex[2 * PEPPER_BYTES + 1];
	uint8_t pepper[PEPPER_BYTES];
	struct err e;

	(void)state;
	make_key(&hosts[0], "ci", text);
	assert_int_equal(
		byok_add(hosts[0].byok, &want, SLICE("sk-a-users-own-secret"), NOW, &made, &e),
		ERR_OK);
	assert_int_equal(pepper_read(hosts[0].home, pepper, &e), ERR_OK);
	/* redis-cli shows bytes as they are when its output is no terminal. */
	assert_true(rig_run("for k in people byok; do redis-cli -s %s HGETALL \"tg:{tg}:$k\"; done "
			    ">%s/all",
		rig.path, rig.dir));
	snprintf(all, sizeof(all), "%s/all", rig.dir);
	{
		FILE *f = fopen(all, "re");
		size_t n = f ? fread(all, 1, sizeof(all), f) : 0;
		struct slice rest = { all, n };

		assert_true(n > 100);
		fclose(f);
		crypto_hex(pepper, sizeof(pepper), hex);
		assert_null(memmem(rest.ptr, rest.len, pepper, sizeof(pepper)));
		assert_null(memmem(rest.ptr, rest.len, hex, strlen(hex)));
		assert_null(memmem(rest.ptr, rest.len, text, strlen(text)));
		assert_null(memmem(rest.ptr, rest.len, "users-own-secret", 16));
		assert_null(memmem(rest.ptr, rest.len, SETTING, strlen(SETTING)));
		assert_non_null(memmem(rest.ptr, rest.len, "openai", 6));
	}
}

/* ---- provider keys ---- */

static enum err_code secret_of(struct host *h, char out[64], struct err *e)
{
	const struct byok_owner ana = { BYOK_USER, "ana" };
	struct buf secret = { .max_bytes = BYOK_SECRET_MAX };
	const char *provider = "openai";
	struct byok_info info;
	size_t which;
	enum err_code rc = byok_secret(h->byok, &ana, &provider, 1, &which, &info, &secret, e);

	out[0] = '\0';
	if (!rc)
		assert_true(slice_copy(buf_slice(&secret), out, 64));
	buf_fini(&secret);
	return rc;
}

static void a_provider_key_of_one_host_serves_on_another(void **state)
{
	struct byok_info want = { .owner = { BYOK_USER, "ana" }, .provider = "openai" }, made;
	char text[64];
	size_t count;
	struct err e;

	(void)state;
	assert_int_equal(byok_add(hosts[0].byok, &want, SLICE("sk-own"), NOW, &made, &e), ERR_OK);
	host_tick(&hosts[1]);
	assert_int_equal(secret_of(&hosts[1], text, &e), ERR_OK);
	assert_string_equal(text, "sk-own");
	assert_int_equal(byok_rotate(hosts[1].byok, &count, &e), ERR_OK);
	assert_int_equal(count, 1);
	host_tick(&hosts[0]);
	assert_int_equal(secret_of(&hosts[0], text, &e), ERR_OK);
	assert_int_equal(byok_remove(hosts[0].byok, &want.owner, "openai", &made, &e), ERR_OK);
	host_tick(&hosts[1]);
	assert_int_equal(secret_of(&hosts[1], text, &e), ERR_NOT_FOUND);
}

static void a_master_key_that_only_one_host_has_is_not_rotated_nor_mixed(void **state)
{
	struct byok_info want = { .owner = { BYOK_USER, "ana" }, .provider = "openai" }, made;
	size_t count;
	char text[64];
	struct err e;

	(void)state;
	for (int i = 0; i < 2; i++) {
		byok_close(hosts[i].byok);
		assert_int_equal(byok_open(&hosts[i].byok, hosts[i].home, "", &e), ERR_OK);
		assert_int_equal(byok_share_on(hosts[i].byok, hosts[i].redis, &e), ERR_OK);
	}
	assert_int_equal(byok_add(hosts[0].byok, &want, SLICE("sk-own"), NOW, &made, &e), ERR_OK);
	assert_int_equal(byok_rotate(hosts[0].byok, &count, &e), ERR_BAD_REQUEST);
	assert_string_equal(e.param, "GATEWAY_MASTER_KEY");
	host_tick(&hosts[1]);
	assert_int_equal(secret_of(&hosts[1], text, &e), ERR_STORE);
	assert_non_null(strstr(e.message, "copy it from another host"));
	str_copy_cut(want.provider, sizeof(want.provider), "groq");
	assert_int_equal(
		byok_add(hosts[1].byok, &want, SLICE("sk-own"), NOW, &made, &e), ERR_STORE);
	assert_true(rig_run("cp -p %s/byok.master %s/", hosts[0].home, hosts[1].home));
	assert_int_equal(secret_of(&hosts[1], text, &e), ERR_OK);
	assert_int_equal(byok_add(hosts[1].byok, &want, SLICE("sk-own"), NOW, &made, &e), ERR_OK);
}

/* ---- a copy, and a file of its own ---- */

static void a_copy_is_not_changed_behind_the_back_of_redis(void **state)
{
	struct byok_info want = { .owner = { BYOK_USER, "ana" }, .provider = "openai" }, made;
	struct err e;

	(void)state;
	assert_int_equal(add_user(&hosts[0], "ana", &e), ERR_OK);
	assert_int_equal(byok_add(hosts[0].byok, &want, SLICE("sk-own"), NOW, &made, &e), ERR_OK);
	host_reopen(&hosts[0], false);
	assert_int_equal(add_user(&hosts[0], "bob", &e), ERR_STORE);
	assert_non_null(strstr(e.message, "copy of what is in Redis"));
	assert_int_equal(byok_remove(hosts[0].byok, &want.owner, "openai", &made, &e), ERR_STORE);
	assert_int_equal(users_of(&hosts[0]), 1);
}

static void a_file_that_was_never_moved_is_not_overwritten(void **state)
{
	char text[KEY_TEXT_SIZE];
	struct err e;

	(void)state;
	assert_int_equal(add_user(&hosts[0], "ana", &e), ERR_OK);
	host_reopen(&hosts[1], false);
	make_key(&hosts[1], "own", text);
	host_reopen(&hosts[1], true);
	host_tick(&hosts[1]);
	assert_int_equal(judge(&hosts[1], text), KEYS_VALID);
	assert_int_equal(users_of(&hosts[1]), 0);
	assert_int_equal(add_user(&hosts[1], "bob", &e), ERR_STORE);
	assert_non_null(strstr(e.message, "tollgate store migrate gdbm redis"));
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
		T(a_key_of_one_host_works_on_another_within_a_second),
		T(a_key_that_one_host_revokes_is_refused_on_another_within_a_second),
		T(who_learns_of_a_newer_state_has_it_at_once),
		T(a_host_that_was_away_for_long_fetches_everything),
		T(what_is_removed_on_one_host_goes_on_all),
		T(a_damaged_copy_is_made_anew_from_redis),
		T(without_redis_changes_are_refused_and_requests_go_on),
		T(a_change_whose_answer_was_lost_is_made_once),
		T(a_change_that_redis_never_got_is_not_made),
		T(two_hosts_that_change_at_once_lose_nothing),
		T(a_slow_change_does_not_overwrite_a_fast_one),
		T(a_lock_of_a_host_that_died_ends_by_itself),
		T(a_damaged_record_in_redis_is_not_taken_over),
		T(a_list_of_a_wrong_type_stops_a_change_before_it_begins),
		T(changes_that_redis_forgot_are_given_back),
		T(large_changes_are_followed_and_given_back),
		T(a_new_beginning_in_an_emptied_redis_empties_nobody),
		T(a_host_without_the_pepper_says_what_is_missing),
		T(a_host_with_another_pepper_says_so_and_changes_nothing),
		T(neither_pepper_nor_master_key_nor_key_goes_to_redis),
		T(a_provider_key_of_one_host_serves_on_another),
		T(a_master_key_that_only_one_host_has_is_not_rotated_nor_mixed),
		T(a_copy_is_not_changed_behind_the_back_of_redis),
		T(a_file_that_was_never_moved_is_not_overwritten),
	};
	const struct CMUnitTest none[] = { cmocka_unit_test(nothing_is_tested_without_redis) };

	if (!redis_is_built())
		return cmocka_run_group_tests(none, NULL, NULL);
	return cmocka_run_group_tests(tests, hosts_set_up, hosts_tear_down);
}
