/* handlers/cli/table.h - lists for people: columns as wide as what is in them.
 *
 * Cells are made one after the other, row by row; control characters in them become '?'.
 * Ownership: the struct is the caller's, table_print() ends it.
 */
#ifndef HANDLERS_CLI_TABLE_H
#define HANDLERS_CLI_TABLE_H

#include "base/buf.h"
#include "handlers/cli/cli.h"

#define TABLE_COLUMNS 12

struct table {
	const char *heads[TABLE_COLUMNS + 1]; /* NULL behind the last */
	unsigned right;                       /* 1 << n: column n is aligned at the right */
	struct buf cells;                     /* a style byte and a text with NUL for each */
	size_t count;
};

/* style is that of the whole row, as its first cell has it. */
void table_cell(struct table *t, enum cli_style style, const char *format, ...) PRINTF_LIKE(3, 4);

/* Prints head and rows, or none when there is no row, and ends the table. */
void table_print(struct table *t, const char *none);

/* Prints a label and what belongs to it, for who looks at one thing alone. */
void table_line(const char *label, const char *format, ...) PRINTF_LIKE(2, 3);

#endif
