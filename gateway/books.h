/* gateway/books.h - opens the ledger as the settings say. */
#ifndef GATEWAY_BOOKS_H
#define GATEWAY_BOOKS_H

#include "base/conf.h"
#include "store/ledger.h"

/* GATEWAY_HOME is made when it is missing (0700). As ledger_open. */
MUST_CHECK enum err_code books_open(const struct conf *conf, struct ledger **out, struct err *e);

#endif
