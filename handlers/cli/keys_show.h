/* handlers/cli/keys_show.h - keys as tables, as lines and as JSON, for `tollgate keys`. */
#ifndef HANDLERS_CLI_KEYS_SHOW_H
#define HANDLERS_CLI_KEYS_SHOW_H

#include "store/keys.h"

/* keys is asked for the names of organisations. */
void keys_show_table(struct keys *keys, const struct key_info *list, size_t count, int64_t now_ms);
void keys_show_one(struct keys *keys, const struct key_info *info, int64_t now_ms);
void keys_show_json(const struct key_info *list, size_t count, int64_t now_ms); /* an array */
void keys_show_json_one(const struct key_info *info, int64_t now_ms);           /* an object */

#endif
