/* handlers/cli/ledger_books.h - what the commands that read the books share: opening them, and the
 * texts behind the numbers in them.
 *
 * Ownership: ledger_books_fini() ends everything. Threads: one.
 */
#ifndef HANDLERS_CLI_LEDGER_BOOKS_H
#define HANDLERS_CLI_LEDGER_BOOKS_H

#include "base/conf.h"
#include "gateway/usage_report.h"
#include "store/keys.h"
#include "store/ledger.h"
#include "store/people.h"
#include "store/tally.h"

struct ledger_books {
	struct ledger *ledger;
	struct keys *keys;
	struct people_file *people;
	struct tally texts; /* of what was looked up already */
};

/* Opens the store of GATEWAY_HOME and reads who is who. ERR_STORE, ERR_BUSY, ERR_CONF. */
MUST_CHECK enum err_code ledger_books_open(
	struct ledger_books *b, const struct conf *c, struct err *e);
void ledger_books_close(struct ledger_books *b);

/* What GATEWAY_JOURNAL_KEEP says. */
enum ledger_keep ledger_books_keep(const struct conf *c);

/* The key with this id, or else the only one with this name that is not revoked. ERR_NOT_FOUND,
 * ERR_BAD_REQUEST (several have the name), ERR_STORE. */
MUST_CHECK enum err_code ledger_books_key(
	struct ledger_books *b, const char *which, struct key_info *out, struct err *e);

/* The names for a report; lent while b is open. */
struct usage_names ledger_books_names(struct ledger_books *b);

/* Appends the id behind a number: "key_…", a model's name, "anonymous"; nothing for 0 elsewhere;
 * "#" and hexadecimal digits for what is not known (any more). */
void ledger_books_text(struct ledger_books *b, enum usage_by by, uint64_t number, struct buf *out);

/* Appends "key key_…", "user ana", "organisation acme", … of a subject of the ledger. */
void ledger_books_subject(struct ledger_books *b, uint64_t subject, struct buf *out);

#endif
