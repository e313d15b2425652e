/* gateway/providers/json_schema_writer.h - what json_schema.c and json_schema_openapi.c have in
 * common. Not for others. */
#ifndef GATEWAY_PROVIDERS_JSON_SCHEMA_WRITER_H
#define GATEWAY_PROVIDERS_JSON_SCHEMA_WRITER_H

#include "gateway/providers/json_schema.h"

struct schema_writer {
	struct buf *out;
	struct json_value root;
	size_t start; /* of out */
	unsigned nodes;
	bool too_large;
};

/* Begins a schema at this depth; false: it is too much, and {} was written. */
bool schema_begin(struct schema_writer *w, unsigned depth);

/* "name": with a comma in front when it is not the first member of its object. */
void schema_member(struct schema_writer *w, const char *name);
void schema_comma(struct schema_writer *w);

/* What a $ref points to inside the root ("#/$defs/x"), else JSON_ABSENT. */
struct json_value schema_target(struct json_value root, struct json_value ref);

/* A value of an enum as a text: false, and nothing is written, for what has none. */
bool schema_enum_value(struct schema_writer *w, struct json_value v);

/* Appends "required": with the names that are members of one of the n properties objects, if there
 * are any. */
void schema_required(struct schema_writer *w, struct json_value required,
	const struct json_value *properties, unsigned n);

MUST_CHECK enum err_code schema_end(const struct schema_writer *w, struct err *e);

#endif
