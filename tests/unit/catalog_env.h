/* tests/unit/catalog_env.h - a catalogue from conf/ under settings that a test chooses. */
#ifndef TESTS_UNIT_CATALOG_ENV_H
#define TESTS_UNIT_CATALOG_ENV_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "gateway/catalog.h"

#include <stdlib.h>

struct env {
	struct conf *conf;
	struct catalog *catalog;
};

/* settings: "NAME=value" texts with NULL at the end, or NULL. Nothing else is set but the folder
 * of the data files (folder, or NULL for those of the source tree). */
static inline enum err_code env_try(
	struct env *env, const char *folder, const char *const *settings, struct err *e)
{
	enum err_code rc;

	*env = (struct env){ 0 };
	clearenv();
	setenv("GATEWAY_HOME", "/nonexistent", 1); /* no file with settings */
	setenv("GATEWAY_CATALOGUE", folder ? folder : "conf", 1);
	for (; settings && *settings; settings++)
		putenv((char *)(uintptr_t)*settings);
	rc = conf_load(&env->conf, e);
	if (!rc)
		rc = catalog_load(env->conf, &env->catalog, e);
	return rc;
}

static inline void env_fini(struct env *env)
{
	catalog_fini(env->catalog);
	conf_fini(env->conf);
}

static inline void env_load(struct env *env, const char *const *settings)
{
	struct err e;

	if (env_try(env, NULL, settings, &e))
		fail_msg("%s", e.message);
}

#define ENV(...) ((const char *const[]){ __VA_ARGS__, NULL })

#endif
