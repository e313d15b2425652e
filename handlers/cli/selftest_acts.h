/* handlers/cli/selftest_acts.h - what a provider of the self-test does with a request, well or
 * badly, on the connection it came by.
 *
 * Blocking: while who asked reads, or is kept waiting. Threads: one for each connection.
 */
#ifndef HANDLERS_CLI_SELFTEST_ACTS_H
#define HANDLERS_CLI_SELFTEST_ACTS_H

#include "handlers/cli/selftest_faults.h"

#include <stdatomic.h>

struct selftest_asked {
	int fd;
	const struct selftest_fault *fault; /* may be NULL for selftest_refuse() */
	bool stream;                        /* one is wanted */
	unsigned has;                       /* words of the answer that the request ends with */
	const atomic_bool *ends;            /* set when nobody is to be kept waiting any more */
};

/* Does it. Was who asked kept waiting, and has left? */
bool selftest_act(const struct selftest_asked *c, enum selftest_act act);

/* Answers with an error. more: header lines, each ended by CR LF. Is everything sent? */
bool selftest_refuse(const struct selftest_asked *c, int status, const char *more, const char *code,
	const char *message);

/* Waits until bytes, or their end, have come; false when it is time, or *ends. */
bool selftest_await(int socket, const atomic_bool *ends, int64_t until_ms);

#endif
