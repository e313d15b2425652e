#include "handlers/cli/cli.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static int misuse(const char *command, const char *what, const char *argument)
{
	fprintf(stderr, "tollgate %s: %s %s\nTry: tollgate %s --help\n", command, what, argument,
		command);
	return CLI_USAGE;
}

static const struct cli_option *option_named(const struct cli_option *options, struct slice name)
{
	for (; options->name; options++)
		if (slice_is(name, options->name))
			return options;
	return NULL;
}

int cli_options(const char *usage, const struct cli_option *options, int argc, char **argv,
	const char **operands, int max)
{
	bool only_operands = false;
	int count = 0;

	for (int i = 0; i < max; i++)
		operands[i] = NULL;
	for (int i = 1; i < argc; i++) {
		struct slice value = slice_of(argv[i]), name = slice_cut(&value, '=');
		const struct cli_option *option;

		if (only_operands || argv[i][0] != '-' || !argv[i][1]) {
			if (count == max)
				return misuse(argv[0], "unexpected argument", argv[i]);
			operands[count++] = argv[i];
			continue;
		}
		if (strcmp(argv[i], "--") == 0) {
			only_operands = true;
			continue;
		}
		if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
			fputs(usage, stdout);
			return CLI_OK;
		}
		option = option_named(options, name);
		if (!option)
			return misuse(argv[0], "unknown option", argv[i]);
		if (option->given) {
			if (value.ptr)
				return misuse(argv[0], "no value goes with", option->name);
			*option->given = true;
		} else if (value.ptr) {
			*option->value = value.ptr;
		} else if (i + 1 < argc) {
			*option->value = argv[++i];
		} else {
			return misuse(argv[0], "a value is missing behind", option->name);
		}
	}
	return CLI_GO_ON;
}

int cli_fail(const struct err *e)
{
	fprintf(stderr, "tollgate: %s\n", e->message);
	return CLI_FAILED;
}

bool cli_has_colours(void)
{
	const char *no = getenv("NO_COLOR"), *term = getenv("TERM");

	return isatty(STDOUT_FILENO) && (!no || !*no) && term && strcmp(term, "dumb") != 0;
}

const char *cli_style(enum cli_style style)
{
	static const char *const sequences[] = { "\033[0m", "\033[1m", "\033[2m", "\033[31m",
		"\033[33m", "\033[32m" };

	return cli_has_colours() ? sequences[style] : "";
}

void cli_tame(char *text)
{
	for (; *text; text++)
		/* C1 controls, U+0080 to U+009F, are the bytes C2 80 to C2 9F. */
		if ((unsigned char)*text < 0x20 || *text == 0x7f ||
			((unsigned char)*text == 0xc2 && (unsigned char)text[1] >= 0x80 &&
				(unsigned char)text[1] < 0xa0))
			*text = '?';
}
