/* handlers/cli/secret_in.h - reads a secret from standard input: never from an argument, which
 * every process of the machine could read.
 */
#ifndef HANDLERS_CLI_SECRET_IN_H
#define HANDLERS_CLI_SECRET_IN_H

#include "base/buf.h"

/* Appends what comes, without blanks and line ends around it; out is empty, its ceiling at least
 * max_bytes, and the caller wipes it. From a terminal it is one line, asked for with prompt on
 * standard error and not shown; else all there is. ERR_BAD_REQUEST: nothing came, more than
 * max_bytes, or it was interrupted. ERR_IO. */
MUST_CHECK enum err_code secret_in(
	const char *prompt, size_t max_bytes, struct buf *out, struct err *e);

#endif
