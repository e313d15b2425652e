#include "store/redis_url.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>

static struct err err;
static struct redis_target target;

static void assert_text(const char *is, const char *wanted)
{
	assert_string_equal(is, wanted);
}

static void every_form_of_url_is_read(void **state)
{
	static const struct row {
		const char *url;
		enum redis_mode mode;
		bool tls;
		const char *user, *password; /* NULL = none */
		const char *where;
		const char *master;
		int64_t db;
	} rows[] = {
		{ "redis://h", REDIS_SINGLE, false, NULL, NULL, "h:6379", "", 0 },
		{ "redis://h/", REDIS_SINGLE, false, NULL, NULL, "h:6379", "", 0 },
		{ "REDIS://h:1/3", REDIS_SINGLE, false, NULL, NULL, "h:1", "", 3 },
		{ "redis://u@h", REDIS_SINGLE, false, "u", NULL, "h:6379", "", 0 },
		{ "redis://:p@h", REDIS_SINGLE, false, NULL, "p", "h:6379", "", 0 },
		{ "redis://u:p@h:7", REDIS_SINGLE, false, "u", "p", "h:7", "", 0 },
		{ "redis://u%40:p%2f%3A%25@h", REDIS_SINGLE, false, "u@", "p/:%", "h:6379", "", 0 },
		{ "redis://:p@ss:w@h", REDIS_SINGLE, false, NULL, "p@ss:w", "h:6379", "", 0 },
		{ "rediss://10.0.0.1:6390/15", REDIS_SINGLE, true, NULL, NULL, "10.0.0.1:6390", "",
			15 },
		{ "redis://[::1]", REDIS_SINGLE, false, NULL, NULL, "[::1]:6379", "", 0 },
		{ "redis://:p@[fe80::1]:8/1", REDIS_SINGLE, false, NULL, "p", "[fe80::1]:8", "",
			1 },
		{ "unix:///run/redis.sock", REDIS_SINGLE, false, NULL, NULL, "/run/redis.sock", "",
			0 },
		{ "unix://:p@/run/r%20s?db=2", REDIS_SINGLE, false, NULL, "p", "/run/r s", "", 2 },
		{ "redis+sentinel://a,b:2/mine", REDIS_SENTINEL, false, NULL, NULL, "a:26379,b:2",
			"mine", 0 },
		{ "rediss+sentinel://u:p@a:1,[::2]:3/mine/4", REDIS_SENTINEL, true, "u", "p",
			"a:1,[::2]:3", "mine", 4 },
		{ "redis+cluster://a,b:2, c", REDIS_CLUSTER, false, NULL, NULL, "a:6379,b:2,c:6379",
			"", 0 },
		{ "rediss+cluster://:p@a", REDIS_CLUSTER, true, NULL, "p", "a:6379", "", 0 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		const struct row *r = &rows[i];

		print_message("%s\n", r->url);
		assert_int_equal(redis_url_read(r->url, &target, &err), ERR_OK);
		assert_int_equal(target.mode, r->mode);
		assert_int_equal(target.tls, r->tls);
		assert_int_equal(target.has_user, r->user != NULL);
		assert_int_equal(target.has_password, r->password != NULL);
		assert_text(target.user, r->user ? r->user : "");
		assert_text(target.password, r->password ? r->password : "");
		assert_text(target.where, r->where);
		assert_text(target.master, r->master);
		assert_int_equal(target.db, r->db);
	}
}

static void what_is_no_url_is_refused_without_repeating_it(void **state)
{
	static const char *const urls[] = { "", "redis", "redis:", "redis://", "http://SECRET@h",
		"redis://:SECRET@", "redis://:SECRET@h:0", "redis://:SECRET@h:65536",
		"redis://:SECRET@h:x", "redis://:SECRET@h/x", "redis://:SECRET@h/-1",
		"redis://:SECRET@h/1/2", "redis://:SECRET%@h", "redis://:SECRET%0@h",
		"redis://:SECRET%00@h", "redis://:SECRET%zz@h", "redis://:SECRET@h,i",
		"redis://:SECRET@h h", "redis://:SECRET@[::1", "redis://:SECRET@[::1]x",
		"redis://:SECRET@[host]", "unix://:SECRET@run", "unix://:SECRET@/p?db=x",
		"unix://:SECRET@/p?x=1", "redis+sentinel://:SECRET@a",
		"redis+sentinel://:SECRET@a/", "redis+cluster://:SECRET@a/1",
		"redis+cluster://:SECRET@a,,b",
		"redis+cluster://:SECRET@1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17" };

	(void)state;
	for (size_t i = 0; i < sizeof(urls) / sizeof(*urls); i++) {
		print_message("%s\n", urls[i]);
		assert_int_equal(redis_url_read(urls[i], &target, &err), ERR_CONF);
		assert_null(strstr(err.message, "SECRET"));
		assert_int_equal(target.password[0], 0);
	}
}

static void too_long_is_refused(void **state)
{
	char url[1400];

	(void)state;
	snprintf(url, sizeof(url), "redis://:%0600d@h", 1);
	assert_int_equal(redis_url_read(url, &target, &err), ERR_CONF);
	snprintf(url, sizeof(url), "redis://%0300d", 1);
	assert_int_equal(redis_url_read(url, &target, &err), ERR_CONF);
	snprintf(url, sizeof(url), "unix:///%0200d", 1);
	assert_int_equal(redis_url_read(url, &target, &err), ERR_CONF);
}

static void an_ended_target_holds_no_password(void **state)
{
	static const struct redis_target empty;

	(void)state;
	assert_int_equal(redis_url_read("redis://user:SECRET@h", &target, &err), ERR_OK);
	assert_null(strstr(target.where, "SECRET"));
	redis_target_fini(&target);
	assert_memory_equal(&target, &empty, sizeof(target));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_form_of_url_is_read),
		cmocka_unit_test(what_is_no_url_is_refused_without_repeating_it),
		cmocka_unit_test(too_long_is_refused),
		cmocka_unit_test(an_ended_target_holds_no_password),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
