#include "handlers/cli/table.h"

#include "store/people_text.h"

#include <stdarg.h>
#include <stdio.h>

void table_cell(struct table *t, enum cli_style style, const char *format, ...)
{
	char text[1024];
	va_list args;

	va_start(args, format);
	if (vsnprintf(text, sizeof(text), format, args) < 0)
		text[0] = '\0';
	va_end(args);
	cli_tame(text);
	buf_char(&t->cells, (char)style);
	buf_append(&t->cells, text, strlen(text) + 1);
	t->count++;
}

/* Characters of UTF-8, which is near enough to columns. */
static int width_of(const char *text)
{
	int n = 0;

	for (; *text; text++)
		n += ((unsigned char)*text & 0xc0) != 0x80;
	return n;
}

static void print_cell(const char *text, int width, bool at_right, bool is_last)
{
	int blanks = width - width_of(text);

	if (at_right)
		printf("%*s%s", blanks, "", text);
	else if (is_last)
		fputs(text, stdout);
	else
		printf("%s%*s", text, blanks, "");
	if (!is_last)
		fputs("  ", stdout);
}

static void print_row(const struct table *t, const char *const *texts, const int *widths,
	size_t columns, enum cli_style style)
{
	fputs(cli_style(style), stdout);
	for (size_t i = 0; i < columns; i++)
		print_cell(texts[i], widths[i], t->right >> i & 1, i == columns - 1);
	puts(cli_style(CLI_PLAIN));
}

void table_print(struct table *t, const char *none)
{
	const char *texts[TABLE_COLUMNS], *at = t->cells.data;
	int widths[TABLE_COLUMNS] = { 0 };
	size_t columns = 0;

	while (columns < TABLE_COLUMNS && t->heads[columns]) {
		widths[columns] = width_of(t->heads[columns]);
		columns++;
	}
	for (size_t i = 0; columns && buf_ok(&t->cells) && i < t->count; i++) {
		int width = width_of(at + 1);

		if (width > widths[i % columns])
			widths[i % columns] = width;
		at += strlen(at + 1) + 2;
	}
	if (!buf_ok(&t->cells))
		fputs("tollgate: the list is too long for a table; try --json\n", stderr);
	else if (!t->count)
		puts(none);
	else
		print_row(t, t->heads, widths, columns, CLI_BOLD);
	at = t->cells.data;
	for (size_t i = 0; buf_ok(&t->cells) && i + columns <= t->count; i += columns) {
		enum cli_style style = (enum cli_style) * at;

		for (size_t k = 0; k < columns; k++) {
			texts[k] = at + 1;
			at += strlen(at + 1) + 2;
		}
		print_row(t, texts, widths, columns, style);
	}
	buf_fini(&t->cells);
	t->count = 0;
}

void table_line(const char *label, const char *format, ...)
{
	char text[PEOPLE_ORG_MODELS_MAX + 256];
	va_list args;

	va_start(args, format);
	if (vsnprintf(text, sizeof(text), format, args) < 0)
		text[0] = '\0';
	va_end(args);
	cli_tame(text);
	printf("  %s%-20s%s %s\n", cli_style(CLI_DIM), label, cli_style(CLI_PLAIN), text);
}
