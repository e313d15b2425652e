/* gateway/schema.h - check an object of a data file against a table of its members.
 *
 * Every member must have a row and the right kind; every row marked required must be there.
 * So a misspelt member is an error at start, not a price of nothing.
 *
 * Ownership: values are lent by the tree. Pure; threads: any.
 */
#ifndef GATEWAY_SCHEMA_H
#define GATEWAY_SCHEMA_H

#include "base/json.h"

#define SCHEMA_ROWS_MAX 32

enum schema_kind {
	SCHEMA_TEXT,   /* a string without control characters */
	SCHEMA_ID,     /* the same, not empty, printable ASCII without blanks */
	SCHEMA_PRICE,  /* a decimal string that cost_read_usd() takes */
	SCHEMA_COUNT,  /* a whole number from 0 */
	SCHEMA_SWITCH, /* true or false */
	SCHEMA_IDS,    /* an array of SCHEMA_ID */
	SCHEMA_LIST,   /* any array */
	SCHEMA_OBJECT, /* any object */
};

struct schema_row {
	const char *name;
	enum schema_kind kind;
	bool required;
	bool may_be_null;
};

/* Where an object stands, for messages: "FILE: models[3] (openai/gpt-5): MEMBER: …". */
struct schema_place {
	const char *file;
	const char *list; /* NULL = the file's outermost object */
	size_t index;
	const char *id; /* NULL while unknown */
};

/* Fills values[i] for rows[i]; NULL when absent or null. At most SCHEMA_ROWS_MAX rows. While place
 * has no id, the first row's text becomes it. ERR_CONF. */
MUST_CHECK enum err_code schema_read(const struct schema_row *rows, size_t n, struct json_object *o,
	struct schema_place *place, struct json_object **values, struct err *e);

/* Fails with ERR_CONF about a member of the object at place. */
MUST_CHECK enum err_code schema_fail(
	const struct schema_place *place, const char *member, const char *what, struct err *e);

#endif
