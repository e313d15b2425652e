#include "handlers/cli/cli.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int cli_misuse(const char *command, const char *format, ...)
{
	char text[512];
	va_list args;

	va_start(args, format);
	if (vsnprintf(text, sizeof(text), format, args) < 0)
		text[0] = '\0';
	va_end(args);
	cli_tame(text); /* an argument may have come from anywhere */
	fprintf(stderr, "tollgate %s: %s\nTry: tollgate %s --help\n", command, text, command);
	return CLI_USAGE;
}

static const struct cli_option *option_named(const struct cli_option *options, struct slice name)
{
	for (; options->name; options++)
		if (slice_is(name, options->name))
			return options;
	return NULL;
}

/* "-" stands for a file, and "-1usd" is an amount. */
static bool is_operand(const char *argument)
{
	return argument[0] != '-' || !argument[1] || (argument[1] >= '0' && argument[1] <= '9');
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

		if (only_operands || is_operand(argv[i])) {
			if (count == max)
				return cli_misuse(argv[0], "unexpected argument %s", argv[i]);
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
			return cli_misuse(argv[0], "unknown option %s", argv[i]);
		if (option->given) {
			if (value.ptr)
				return cli_misuse(argv[0], "no value goes with %s", option->name);
			*option->given = true;
		} else if (value.ptr) {
			*option->value = value.ptr;
		} else if (i + 1 < argc) {
			*option->value = argv[++i];
		} else {
			return cli_misuse(argv[0], "a value is missing behind %s", option->name);
		}
	}
	return CLI_GO_ON;
}

static bool is_given(const struct cli_option *option)
{
	return option->given ? *option->given : *option->value != NULL;
}

int cli_verb(const char *command, const struct cli_verb *verbs, const struct cli_option *options,
	const char *const *operands)
{
	int number = 0, count = 0;
	char all[256] = "";

	for (int i = 0; verbs[i].name; i++) {
		str_copy_cut(all + strlen(all), sizeof(all) - strlen(all), i ? ", " : "");
		str_copy_cut(all + strlen(all), sizeof(all) - strlen(all), verbs[i].name);
	}
	if (!operands[0]) {
		cli_misuse(command, "say what to do: one of %s", all);
		return -1;
	}
	while (verbs[number].name && strcmp(verbs[number].name, operands[0]) != 0)
		number++;
	if (!verbs[number].name) {
		cli_misuse(command, "there is no command %.64s: it is one of %s", operands[0], all);
		return -1;
	}
	while (operands[1 + count])
		count++;
	if (count < verbs[number].operands) {
		cli_misuse(command, "%s needs %s", verbs[number].name, verbs[number].needs);
		return -1;
	}
	if (count > verbs[number].operands + verbs[number].optional) {
		cli_misuse(command, "there is an argument too many: %.64s", operands[count]);
		return -1;
	}
	for (; options->name; options++)
		if (is_given(options) && !(options->verbs & 1u << number)) {
			cli_misuse(command, "%s does not go with %s", options->name,
				verbs[number].name);
			return -1;
		}
	return number;
}

enum err_code cli_list(const char *text, const char *all,
	enum err_code (*read)(
		struct slice text, const char *param, char *out, size_t max, struct err *e),
	const char *option, char *out, size_t max, struct err *e)
{
	enum err_code rc = ERR_OK;

	out[0] = '\0';
	if (strcmp(text, all) != 0)
		rc = read(slice_of(text), option, out, max, e);
	/* A variable that was empty must not open everything. */
	if (!rc && !out[0] && strcmp(text, all) != 0)
		rc = err_param(e, ERR_BAD_REQUEST, option, "%s is empty: say %s if that is meant",
			option, all);
	return rc;
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
