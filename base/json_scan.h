/* base/json_scan.h - read a JSON text once, without building a tree.
 *
 * json_scan() validates a whole text (RFC 8259, UTF-8 required) and at the same time notes
 * where the wanted top-level members stand, so that a request can be sent on by splicing the
 * client's own bytes. Once a text was validated, the json_* readers walk inside it without
 * checking again.
 *
 * Ownership: nothing is copied; every slice points into the caller's text.
 * Memory:    json_scan() allocates only for objects with many keys, bounded by max_keys.
 * Threads:   no shared state.
 */
#ifndef BASE_JSON_SCAN_H
#define BASE_JSON_SCAN_H

#include "base/buf.h"

enum json_kind {
	JSON_ABSENT = 0, /* the member is not there */
	JSON_NULL,
	JSON_BOOL,
	JSON_NUMBER,
	JSON_STRING,
	JSON_ARRAY,
	JSON_OBJECT,
};

struct json_limits {
	unsigned max_depth; /* 1..1000; the outermost value has depth 1 */
	unsigned max_keys;  /* keys of all objects open at one time, 1..1000000 */
	const char
		*depth_setting; /* setting named in the error, e.g. "GATEWAY_MAX_DEPTH"; or NULL */
	const char *keys_setting;
	bool allow_duplicates; /* providers' texts: the last one counts; clients' texts are refused
				*/
};

struct json_value {
	enum json_kind kind;
	struct slice raw; /* the value's own text: strings with their quotes, no blanks around */
};

struct json_member {
	const char *name;        /* set by the caller; plain ASCII without escapes */
	struct json_value value; /* kind JSON_ABSENT when the text does not have it */
	struct slice whole;      /* from the key's first quote to the end of the value */
};

/* Validates text, which must be one JSON object with blanks around it at most, and fills the
 * n wanted members (an escaped spelling of a name counts as the name). With n = 0 and want =
 * NULL it only validates.
 * ERR_BAD_REQUEST: malformed, not an object, bad UTF-8, a lone or unpaired \u surrogate, a
 * duplicate key at any depth (unless allowed), too deep or too many keys. The message says what and
 * the byte offset ("byte 17: …"), and names the limit and its setting where one was exceeded. All
 * members are then JSON_ABSENT.
 * NUL characters written as \u0000 inside strings are valid JSON and accepted. */
MUST_CHECK enum err_code json_scan(struct slice text, const struct json_limits *limits,
	struct json_member *want, size_t n, struct err *e);

/* As json_scan, for any JSON value; *kind (may be NULL) says which. */
MUST_CHECK enum err_code json_validate(
	struct slice text, const struct json_limits *limits, enum json_kind *kind, struct err *e);

/* ---- readers of validated text; on text that was not validated they may return nonsense
 * but never read outside it ---- */

/* Walks the members of an object or the elements of an array.
 *     struct json_iter it;
 *     json_iter_init(&it, value);
 *     while (json_iter_next(&it, &key, &value)) …
 * For an array key is the empty slice; for an object it is the raw key with its quotes. A
 * value of another kind has no members. */
struct json_iter {
	const char *p, *end;
	bool object;
};
void json_iter_init(struct json_iter *it, struct json_value v);
bool json_iter_next(struct json_iter *it, struct slice *key, struct json_value *v);

/* The member called name (the last one, if there are several), else JSON_ABSENT. */
struct json_value json_get(struct json_value object, const char *name);

/* The element at index, else JSON_ABSENT. */
struct json_value json_at(struct json_value array, size_t index);

/* Is it a string (or raw key) that spells s? Escapes are understood. */
bool json_str_is(struct slice raw_string, const char *s);

/* Appends the decoded text of a string value; false when v is no string. */
MUST_CHECK bool json_str_decode(struct json_value v, struct buf *out);

/* The decoded text in dst, with NUL; false when v is no string, does not fit or holds a NUL. */
MUST_CHECK bool json_str_copy(struct json_value v, char *dst, size_t size);

/* The decoded text of a string value: lent by v where it has no escapes, else by room, whose
 * content it becomes. Empty for other kinds, and when room fails. */
struct slice json_str_text(struct json_value v, struct buf *room);

/* Appends a value without blanks between its parts. */
void json_put_compact(struct json_value v, struct buf *out);

/* The length in bytes of the decoded text of a string value (0 for other kinds). */
size_t json_str_bytes(struct json_value v);

/* true only for the literal true. */
bool json_is_true(struct json_value v);

/* null, absent, false, 0, "" , {} and [] are not truthy. */
bool json_is_truthy(struct json_value v);

/* An integer in int64 range: 12, -3, also 12.0 and 1e3; false for anything else. */
MUST_CHECK bool json_int(struct json_value v, int64_t *out);

#endif
