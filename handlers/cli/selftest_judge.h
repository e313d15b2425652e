/* handlers/cli/selftest_judge.h - was an answer what a fault lets a client expect? Pure. */
#ifndef HANDLERS_CLI_SELFTEST_JUDGE_H
#define HANDLERS_CLI_SELFTEST_JUDGE_H

#include "handlers/cli/selftest_ask.h"

#define SELFTEST_WHAT_MAX 200

/* How the gateway is set, as far as that changes what is right. */
struct selftest_rules {
	bool rescues;         /* GATEWAY_RESCUE is not off */
	bool continues;       /* GATEWAY_RESCUE is continue */
	bool holds;           /* GATEWAY_HOLD: what breaks early was never begun */
	int64_t heartbeat_ms; /* after which a head goes out that cannot tell attempts; 0 = never */
};

/* Judges one answer. what (SELFTEST_WHAT_MAX) says in a few words what happened, or what is wrong.
 */
bool selftest_judge(const struct selftest_fault *f, const struct selftest_rules *rules,
	const struct selftest_answer *a, char *what);

/* Was each provider asked as often as it should be? asked has SELFTEST_PLACES numbers. what is left
 * alone when they were. */
bool selftest_judge_asked(const struct selftest_fault *f, const unsigned *asked, char *what);

#endif
