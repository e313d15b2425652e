/* handlers/common/exchange.h - the life of one exchange, for front.c. */
#ifndef HANDLERS_COMMON_EXCHANGE_H
#define HANDLERS_COMMON_EXCHANGE_H

#include "handlers/common/front.h"

void exchange_init(struct exchange *x, const struct front *front, struct request *rq);

/* Writes the log line and frees what the exchange holds. */
void exchange_fini(struct exchange *x);

/* Adds the CORS headers when they apply; true when it was a preflight and has been answered. */
bool exchange_cors(struct exchange *x);

/* Is the method one of this list ("GET, HEAD, OPTIONS")? */
bool exchange_method_is(const struct exchange *x, const char *methods);

#endif
