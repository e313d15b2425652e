/* handlers/cli/selftest_provider.h - the providers of the self-test: an OpenAI-shaped server on a
 * loopback port that misbehaves as selftest_faults.h has it.
 *
 * The path begins with the number of the provider, the model names the fault. Whoever does not
 * bring the secret gets 401 and is not counted.
 * Threads: one for each connection; asking how often is for any.
 */
#ifndef HANDLERS_CLI_SELFTEST_PROVIDER_H
#define HANDLERS_CLI_SELFTEST_PROVIDER_H

#include "handlers/cli/selftest_faults.h"

struct selftest_provider;

/* secret is lent until the stop. ERR_IO. */
MUST_CHECK enum err_code selftest_provider_start(
	const char *secret, struct selftest_provider **out, struct err *e);
/* Ends all connections, and waits until that is done. */
void selftest_provider_stop(struct selftest_provider *p);

/* The port that answers, and one that refuses connections for as long as this runs. */
uint16_t selftest_provider_port(const struct selftest_provider *p);
uint16_t selftest_provider_closed_port(const struct selftest_provider *p);

/* How often the provider at this place of the fault's list was asked, and how many of those
 * requests that it kept waiting were given up by who asked. */
unsigned selftest_provider_asked(const struct selftest_provider *p, size_t fault, size_t place);
unsigned selftest_provider_left(const struct selftest_provider *p, size_t fault, size_t place);

#endif
