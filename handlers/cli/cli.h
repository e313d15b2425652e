/* handlers/cli/cli.h - the subcommands of the operator's command, and what they share.
 *
 * A subcommand gets its own name as argv[0]. c is NULL when only --help was asked for, or when
 * the command needs no settings. It returns the exit code: CLI_OK, CLI_FAILED, CLI_USAGE.
 */
#ifndef HANDLERS_CLI_CLI_H
#define HANDLERS_CLI_CLI_H

#include "base/conf.h"

enum { CLI_OK = 0, CLI_FAILED = 1, CLI_USAGE = 2 };

int cli_config(const struct conf *c, int argc, char **argv);
int cli_keys(const struct conf *c, int argc, char **argv);
int cli_logs(const struct conf *c, int argc, char **argv);
int cli_serve_demo(const struct conf *c, int argc, char **argv);
int cli_serve_demo(const struct conf *c, int argc, char **argv);
int cli_version(const struct conf *c, int argc, char **argv);

/* ---- options ---- */

struct cli_option {
	const char *name;   /* "--name" */
	const char **value; /* takes a value ("--name N" or "--name=N"); or NULL: */
	bool *given;        /* takes none */
};

#define CLI_GO_ON (-1)

/* Reads argv[1..]: options of the table, which ends with a NULL name; --help and -h print usage;
 * operands (at most max) go to operands, whose rest is NULL. Returns CLI_GO_ON, or the code to
 * exit with; what was wrong is said on stderr, by name. */
MUST_CHECK int cli_options(const char *usage, const struct cli_option *options, int argc,
	char **argv, const char **operands, int max);

/* Says what failed on stderr; returns CLI_FAILED. */
int cli_fail(const struct err *e);

/* ---- terminals ---- */

enum cli_style { CLI_PLAIN, CLI_BOLD, CLI_DIM, CLI_RED, CLI_YELLOW, CLI_GREEN };

/* Is standard output a terminal that wants colours (NO_COLOR unset)? */
bool cli_has_colours(void);

/* The sequence that begins a style; "" when there are no colours. CLI_PLAIN ends one. */
const char *cli_style(enum cli_style style);

/* Overwrites control characters, which a terminal would obey, with '?'. */
void cli_tame(char *text);

#endif
