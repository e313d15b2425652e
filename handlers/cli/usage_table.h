/* handlers/cli/usage_table.h - a usage report as a table for a terminal. */
#ifndef HANDLERS_CLI_USAGE_TABLE_H
#define HANDLERS_CLI_USAGE_TABLE_H

#include "gateway/usage_report.h"

#define USAGE_TABLE_WIDTH 100 /* columns that every terminal is taken to have */

/* Appends the table: a header, a line for each group, the total. To fit into width columns names
 * are cut, and with several groups the columns that matter least are left out; 0 = everything is
 * shown whole. Control characters in names become '?'. */
void usage_table(const struct usage_report *r, const struct usage_names *names, unsigned width,
	struct buf *out);

/* Appends a count: "9,999", "12.3k", "1.23M". */
void usage_table_count(int64_t n, struct buf *out);

/* Appends microdollars: "$1,234.56", "$0.0123", "$0.000042". */
void usage_table_money(int64_t microusd, struct buf *out);

#endif
