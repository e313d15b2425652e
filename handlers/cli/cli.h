/* handlers/cli/cli.h - the subcommands of the operator's command, and what they share.
 *
 * A subcommand gets its own name as argv[0]. c is NULL when only --help was asked for, or when
 * the command needs no settings. It returns the exit code: CLI_OK, CLI_FAILED, CLI_USAGE.
 */
#ifndef HANDLERS_CLI_CLI_H
#define HANDLERS_CLI_CLI_H

#include "base/conf.h"

enum { CLI_OK = 0, CLI_FAILED = 1, CLI_USAGE = 2 };

int cli_backup(const struct conf *c, int argc, char **argv);
int cli_byok(const struct conf *c, int argc, char **argv);
int cli_cache(const struct conf *c, int argc, char **argv);
int cli_config(const struct conf *c, int argc, char **argv);
int cli_credits(const struct conf *c, int argc, char **argv);
int cli_keys(const struct conf *c, int argc, char **argv);
int cli_ledger(const struct conf *c, int argc, char **argv);
int cli_logs(const struct conf *c, int argc, char **argv);
int cli_models(const struct conf *c, int argc, char **argv);
int cli_orgs(const struct conf *c, int argc, char **argv);
int cli_providers(const struct conf *c, int argc, char **argv);
int cli_restore(const struct conf *c, int argc, char **argv);
int cli_selftest(const struct conf *c, int argc, char **argv);
int cli_serve_demo(const struct conf *c, int argc, char **argv);
int cli_store(const struct conf *c, int argc, char **argv);
int cli_usage(const struct conf *c, int argc, char **argv);
int cli_users(const struct conf *c, int argc, char **argv);
int cli_version(const struct conf *c, int argc, char **argv);
int cli_why(const struct conf *c, int argc, char **argv);

/* ---- options ---- */

struct cli_option {
	const char *name;   /* "--name" */
	const char **value; /* takes a value ("--name N" or "--name=N"); or NULL: */
	bool *given;        /* takes none */
	unsigned verbs;     /* of a command with verbs: 1 << n for each verb it goes with */
};

#define CLI_GO_ON (-1)

/* Reads argv[1..]: options of the table, which ends with a NULL name; --help and -h print usage;
 * operands (at most max) go to operands, whose rest is NULL; "-1usd" is an operand. Returns
 * CLI_GO_ON, or the code to exit with; what was wrong is said on stderr, by name. */
MUST_CHECK int cli_options(const char *usage, const struct cli_option *options, int argc,
	char **argv, const char **operands, int max);

/* A command with verbs: "keys create", "orgs list". */
struct cli_verb {
	const char *name;
	int operands;      /* behind the verb: so many … */
	const char *needs; /* … and what they are, in words; NULL = none */
	int optional;      /* that may follow */
};

/* Which of the verbs, whose table ends with a NULL name, is operands[0]; are its operands there,
 * and does every option go with it? Returns its number, or -1 when that was complained of. */
MUST_CHECK int cli_verb(const char *command, const struct cli_verb *verbs,
	const struct cli_option *options, const char *const *operands);

/* Reads a list of store/people_text.h with read; the word all stands for the empty one. */
MUST_CHECK enum err_code cli_list(const char *text, const char *all,
	enum err_code (*read)(
		struct slice text, const char *param, char *out, size_t max, struct err *e),
	const char *option, char *out, size_t max, struct err *e);

/* Says on stderr how a command was used wrongly; returns CLI_USAGE. */
int cli_misuse(const char *command, const char *format, ...) PRINTF_LIKE(2, 3);

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
