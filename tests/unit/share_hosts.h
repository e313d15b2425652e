/* tests/unit/share_hosts.h - hosts that share keys by way of one real Redis: each has a folder and
 * a connection of its own, and is followed by the clock of the test. */
#ifndef UNIT_SHARE_HOSTS_H
#define UNIT_SHARE_HOSTS_H

#include "base/log.h"
#include "store/keys.h"
#include "store/people_share.h"
#include "store/pepper.h"
#include "tests/unit/redis_rig.h"

#include <setjmp.h>
#include <stddef.h>
#include <cmocka.h>

#include <dirent.h>

#define NOW     INT64_C(1760000000000)
#define HOSTS   3
#define SETTING "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="

struct host {
	char home[64];
	struct redis *redis;
	struct keys *keys;
	struct people_file *people; /* lent by keys */
	struct byok *byok;
	int64_t clock_ms;
};

static struct redis_rig rig;
static struct host hosts[HOSTS];
static char top[] = "/tmp/tollgate-share-XXXXXX";

static inline void remove_folder(const char *path)
{
	DIR *d = opendir(path);
	struct dirent *entry;
	char name[384];

	while (d && (entry = readdir(d))) {
		snprintf(name, sizeof(name), "%s/%s", path, entry->d_name);
		if (entry->d_name[0] != '.')
			unlink(name);
	}
	if (d)
		closedir(d);
	rmdir(path);
}

static inline struct redis *dial(void)
{
	const struct redis_conf conf = {
		.url = rig.url, .prefix = "tg", .ca_file = "", .timeout_ms = 400
	};
	struct redis *r;
	struct err e;

	if (redis_open(&r, &conf, &e))
		fail_msg("%s", e.message);
	return r;
}

static inline void host_open(struct host *h, bool is_shared)
{
	struct err e;

	if (keys_open(&h->keys, h->home, "", &e) || byok_open(&h->byok, h->home, SETTING, &e))
		fail_msg("%s", e.message);
	h->people = keys_people(h->keys);
	h->redis = dial();
	if (is_shared &&
		(people_share_on(h->people, h->redis, &e) || byok_share_on(h->byok, h->redis, &e)))
		fail_msg("%s", e.message);
}

static inline void host_close(struct host *h)
{
	keys_close(h->keys);
	byok_close(h->byok);
	redis_close(h->redis);
	h->keys = NULL;
	h->byok = NULL;
	h->redis = NULL;
}

static inline void host_reopen(struct host *h, bool is_shared)
{
	host_close(h);
	host_open(h, is_shared);
}

/* A second passes. */
static inline void host_tick(struct host *h)
{
	h->clock_ms += 1000;
	people_share_tick(h->people, h->clock_ms);
	byok_share_tick(h->byok, h->clock_ms);
}

/* What an operator does when a host joins. */
static inline void copy_pepper(const struct host *from, const struct host *to)
{
	assert_true(rig_run(
		"mkdir -p -m 700 %s && cp -p %s/pepper %s/pepper", to->home, from->home, to->home));
}

static inline int hosts_set_up(void **state)
{
	char log[64];

	(void)state;
	assert_non_null(mkdtemp(top));
	snprintf(log, sizeof(log), "%s/log", top);
	if (log_open(log, "test", NULL))
		return -1;
	for (int i = 0; i < HOSTS; i++)
		snprintf(hosts[i].home, sizeof(hosts[i].home), "%s/%d", top, i);
	return redis_rig_start(&rig) ? 0 : -1;
}

static inline int hosts_tear_down(void **state)
{
	char log[64];

	(void)state;
	redis_rig_stop(&rig);
	snprintf(log, sizeof(log), "%s/log", top);
	unlink(log);
	return rmdir(top);
}

/* Runs a command in Redis, whose answer begins with words. */
static inline void in_redis(const char *command, const char *words)
{
	char out[4096];

	assert_true(redis_rig_ask(&rig, command, out, sizeof(out)));
	if (strncmp(out, words, strlen(words)) != 0)
		fail_msg("%s: %s", command, out);
}

static inline int hosts_start(void **state)
{
	(void)state;
	in_redis("FLUSHALL", "+OK");
	for (int i = 0; i < HOSTS; i++) {
		remove_folder(hosts[i].home);
		host_open(&hosts[i], true);
	}
	return 0;
}

static inline int hosts_end(void **state)
{
	(void)state;
	for (int i = 0; i < HOSTS; i++) {
		host_close(&hosts[i]);
		remove_folder(hosts[i].home);
	}
	return 0;
}

/* ---- what is tried ---- */

static inline struct key_info make_key(struct host *h, const char *name, char text[KEY_TEXT_SIZE])
{
	struct key_info want = { .name = "" }, made;
	struct err e = { .code = ERR_OK };

	str_copy_cut(want.name, sizeof(want.name), name);
	if (keys_create(h->keys, &want, NOW, text, &made, &e))
		fail_msg("%s", e.message);
	return made;
}

static inline enum err_code try_key(struct host *h, const char *name, struct err *e)
{
	struct key_info want = { .name = "" }, made;
	char text[KEY_TEXT_SIZE];

	str_copy_cut(want.name, sizeof(want.name), name);
	return keys_create(h->keys, &want, NOW, text, &made, e);
}

static inline enum keys_verdict judge(struct host *h, const char *text)
{
	enum keys_verdict verdict = KEYS_MALFORMED;
	struct key_info info;
	struct err e = { .code = ERR_OK };

	if (keys_check_at(h->keys, slice_of(text), NOW + 1, &verdict, &info, &e))
		fail_msg("%s", e.message);
	return verdict;
}

static inline enum err_code add_user(struct host *h, const char *id, struct err *e)
{
	struct people_user want = { .id = "" }, made;

	str_copy_cut(want.id, sizeof(want.id), id);
	return people_user_create(h->people, &want, NOW, &made, e);
}

static inline size_t users_of(struct host *h)
{
	struct people_user *list;
	size_t count;
	struct err e = { .code = ERR_OK };

	if (people_user_list(h->people, &list, &count, &e))
		fail_msg("%s", e.message);
	free(list);
	return count;
}

#endif
