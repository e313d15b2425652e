/* handlers/cli/cache_warm.h - asks the gateway that runs, so that it remembers the answers. */
#ifndef HANDLERS_CLI_CACHE_WARM_H
#define HANDLERS_CLI_CACHE_WARM_H

#include "base/conf.h"

#define CACHE_WARM_URL "http://127.0.0.1:8080/v1"

struct cache_warm {
	const char *file;     /* a request's body in each line; "-" = standard input */
	const char *url;      /* base URL of the gateway */
	const char *key_file; /* its text is the key to ask with; NULL = none */
	bool missing;         /* only what is not remembered yet is asked for */
};

/* Returns the code to exit with. */
int cache_warm(const struct conf *c, const struct cache_warm *w);

#endif
