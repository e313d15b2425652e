/* handlers/cli/store_status.h - tollgate store status: where things are kept, and whether what is
 * kept in two places is the same there.
 */
#ifndef HANDLERS_CLI_STORE_STATUS_H
#define HANDLERS_CLI_STORE_STATUS_H

#include "base/conf.h"

/* Prints it; returns the exit code: CLI_FAILED when something is away, or behind. */
int store_status(const struct conf *c);

#endif
