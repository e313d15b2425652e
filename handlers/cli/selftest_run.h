/* handlers/cli/selftest_run.h - runs faults against a gateway that knows the test's models.
 *
 * Blocking: until all of a fault's answers have come, each bounded. Threads: several faults may run
 * at once.
 */
#ifndef HANDLERS_CLI_SELFTEST_RUN_H
#define HANDLERS_CLI_SELFTEST_RUN_H

#include "base/conf.h"
#include "handlers/cli/selftest_judge.h"
#include "handlers/cli/selftest_provider.h"

struct selftest_run {
	const struct conf *conf; /* as the gateway has it */
	struct selftest_client client;
	struct selftest_provider *provider;
};

struct selftest_result {
	bool passed;
	int status; /* of the last answer; 0 = none came */
	int64_t ms; /* for all of its answers */
	char what[SELFTEST_WHAT_MAX];
};

/* Does it have to wait for a limit of the gateway's? */
bool selftest_is_slow(const struct selftest_fault *f);
/* How long it may take at most. */
int64_t selftest_limit_ms(const struct conf *conf, const struct selftest_fault *f);

void selftest_run(const struct selftest_run *run, size_t fault, struct selftest_result *out);

#endif
