/* gateway/selftest.h - what a self-test adds to the catalogue of a running gateway for a while:
 * providers that misbehave on purpose, on a loopback port, and models that only they have.
 *
 * `tollgate selftest` writes selftest.json of GATEWAY_HOME and takes it away; handlers pick it up
 * by themselves (catalog_live.h). Its providers and models stand behind those of the catalogue:
 * nobody lists or finds them but route_find() by their whole id, "selftest/…"; they stand in for
 * nobody, nobody (no router either) stands in for them, and only keys whose list of models names
 * them may ask for them (policy.h). They cost nothing.
 *
 * A file whose time has come, or that is not as it should be, counts as none.
 * Threads: no shared state. One self-test at a time: whoever writes holds SELFTEST_LOCK.
 */
#ifndef GATEWAY_SELFTEST_H
#define GATEWAY_SELFTEST_H

#include "gateway/catalog.h"

#define SELFTEST_FILE       "selftest.json"
#define SELFTEST_LOCK       "selftest.lock"
#define SELFTEST_AUTHOR     "selftest/" /* its models' ids begin so */
#define SELFTEST_PROVIDERS  4
#define SELFTEST_MODELS_MAX 64

/* "selftest-a" … */
extern const char *const selftest_slugs[SELFTEST_PROVIDERS];

struct selftest_model {
	const char *name;               /* the id without its author, and what providers call it */
	uint8_t at[SELFTEST_PROVIDERS]; /* who has it: numbers of providers, in order … */
	size_t at_count;                /* … so many, at least one */
	bool prefill;                   /* it goes on from an assistant's message that comes last */
};

struct selftest_site {
	uint16_t ports[SELFTEST_PROVIDERS]; /* of 127.0.0.1 */
	const char *secret;                 /* the key that the gateway sends them */
	int64_t until_ms;                   /* wall clock */
	const struct selftest_model *models;
	size_t model_count;
};

/* Makes it known. ERR_STORE. */
MUST_CHECK enum err_code selftest_announce(
	const char *home, const struct selftest_site *site, int64_t wall_ms, struct err *e);
/* Ends it; without a file there is nothing to end. ERR_STORE. */
MUST_CHECK enum err_code selftest_withdraw(const char *home, struct err *e);

/* The model with this id; NULL when no self-test has it. */
const struct catalog_model *selftest_find(const struct catalog *c, struct slice id);
/* Is it a model of a self-test? */
bool selftest_has(const struct catalog *c, const struct catalog_model *m);

#endif
