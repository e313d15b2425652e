/* tests/unit/key_home.h - the keys of a home of one's own: made, opened, damaged. */
#ifndef UNIT_KEY_HOME_H
#define UNIT_KEY_HOME_H

#include "store/keys.h"
#include "tests/unit/own_home.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>

#define NOW INT64_C(1760000000000)

static inline int start(void **state)
{
	(void)state;
	remove_home();
	return truncate(log_path, 0);
}

static inline struct keys *open_keys(const char *env)
{
	struct keys *k;
	struct err e = { .code = ERR_OK };

	if (keys_open(&k, home, env, &e))
		fail_msg("%s", e.message);
	return k;
}

struct made {
	char text[KEY_TEXT_SIZE];
	struct key_info info;
};

static inline enum err_code create(struct keys *k, const char *name, int64_t now_ms,
	char text[KEY_TEXT_SIZE], struct key_info *info, struct err *e)
{
	struct key_info want = { .id = "" };

	snprintf(want.name, sizeof(want.name), "%s", name);
	return keys_create(k, &want, now_ms, text, info, e);
}

static inline struct made make_key(struct keys *k, const char *name, int64_t now_ms)
{
	struct made m;
	struct err e = { .code = ERR_OK };

	if (create(k, name, now_ms, m.text, &m.info, &e))
		fail_msg("%s", e.message);
	return m;
}

static inline void overwrite(const char *name, const void *bytes, size_t n)
{
	int fd = open(in_home(name), O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes, n), n);
	close(fd);
}

#endif
