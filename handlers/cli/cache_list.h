/* handlers/cli/cache_list.h - remembered answers, shown: all in a list, one in full.
 *
 * KEY and PREFIX are the first hexadecimal digits, an even number of them, of X-Cache-Key.
 */
#ifndef HANDLERS_CLI_CACHE_LIST_H
#define HANDLERS_CLI_CACHE_LIST_H

#include "store/cache.h"

struct cache_prefix {
	uint8_t hash[32];
	size_t bytes;
};

/* ERR_BAD_REQUEST naming what. */
MUST_CHECK enum err_code cache_prefix_read(
	const char *text, const char *what, struct cache_prefix *out, struct err *e);

/* Both return the code to exit with. */
int cache_list(struct cache *c, bool json);
int cache_show(struct cache *c, const char *key, bool body, bool json);

#endif
