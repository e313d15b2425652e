/* gateway/schema.h - check an object of a data file against a table of its members.
 *
 * Every member must have a row and the right kind; every row marked required must be there.
 * So a misspelt member is an error at start, not a price of nothing.
 *
 * Ownership: values are lent by the text, which was validated (json_file.h). Pure; threads: any.
 */
#ifndef GATEWAY_SCHEMA_H
#define GATEWAY_SCHEMA_H

#include "base/json_scan.h"

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
	struct slice id; /* empty while unknown */
};

/* Fills values[i] for rows[i]; JSON_NULL only where a row may be null. At most SCHEMA_ROWS_MAX
 * rows. While place has no id, the first row's text becomes it. ERR_CONF. */
MUST_CHECK enum err_code schema_read(const struct schema_row *rows, size_t n, struct json_value o,
	struct schema_place *place, struct json_value *values, struct err *e);

/* The same of an object that was checked before. */
void schema_take(
	const struct schema_row *rows, size_t n, struct json_value o, struct json_value *values);

/* Does it say something: is it neither absent nor null? */
static inline bool schema_has(struct json_value v)
{
	return v.kind > JSON_NULL;
}

/* The figure of a SCHEMA_COUNT; 0 when it says nothing. */
int64_t schema_count(struct json_value v);

/* Fails with ERR_CONF about a member of the object at place. */
MUST_CHECK enum err_code schema_fail(
	const struct schema_place *place, const char *member, const char *what, struct err *e);
/* The same about a member by its key, as it is written. */
MUST_CHECK enum err_code schema_fail_key(
	const struct schema_place *place, struct slice key, const char *what, struct err *e);

#endif
