/* handlers/cli/ledger_export.h - lines of the journal as JSON or CSV, names resolved. */
#ifndef HANDLERS_CLI_LEDGER_EXPORT_H
#define HANDLERS_CLI_LEDGER_EXPORT_H

#include "handlers/cli/ledger_books.h"

enum ledger_export_format { LEDGER_EXPORT_JSONL, LEDGER_EXPORT_CSV };

/* Appends the header line, where the format has one. */
void ledger_export_head(enum ledger_export_format format, struct buf *out);

/* Appends the line of a settle or a credit; nothing for other records. Keys are shown by their
 * public ids; there is nothing secret in a record. */
void ledger_export_record(struct ledger_books *b, const struct record *r,
	enum ledger_export_format format, struct buf *out);

#endif
