/* base/json.h - the door to json-c: trees, for translation and for files to be changed. A request
 * that is only passed on is read with json_scan.h instead.
 *
 * Ownership: json_read gives a tree (free it with json_object_put).
 */
#ifndef BASE_JSON_H
#define BASE_JSON_H

#include "base/buf.h"

#include <json-c/json.h>

/* Parses a whole text, strictly, to max_depth (1..1000). Gives the tree in *out, or
 * ERR_BAD_REQUEST with the byte offset in the message and *out NULL. Of duplicate keys the last
 * counts. Refused beyond the grammar, because json-c would change them: integers beyond 64
 * bits, and keys with \u0000. The text "null" gives the tree NULL. */
MUST_CHECK enum err_code json_read(
	struct slice text, unsigned max_depth, struct json_object **out, struct err *e);

/* Reads and parses a regular file of at most max_bytes, nested up to 64 deep; duplicate keys are
 * refused. ERR_IO, ERR_TOO_LARGE or ERR_BAD_REQUEST; the message names the file. */
MUST_CHECK enum err_code json_read_file(
	const char *path, size_t max_bytes, struct json_object **out, struct err *e);

/* Appends the tree as compact JSON without escaped slashes. */
void json_write(struct json_object *tree, struct buf *out);

/* Members with a default; a member of another type counts as absent, and so do a string with a
 * NUL inside and an integer beyond int64. o may be NULL. Strings are lent. */
const char *json_member_str(struct json_object *o, const char *name, const char *otherwise);
int64_t json_member_int(struct json_object *o, const char *name, int64_t otherwise);
bool json_member_bool(struct json_object *o, const char *name, bool otherwise);

#endif
