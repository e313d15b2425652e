/* gateway/providers/json_schema.h - JSON Schema as clients write it, made into what providers take.
 *
 * Schemas come in raw, validated and with unique keys, and go out as JSON; properties keep their
 * order. Pure. What is nested too deep or becomes too large when its references are put in place is
 * refused: ERR_BAD_REQUEST without param, which the caller knows. Then out holds half of it.
 */
#ifndef GATEWAY_PROVIDERS_JSON_SCHEMA_H
#define GATEWAY_PROVIDERS_JSON_SCHEMA_H

#include "base/json_scan.h"

#define SCHEMA_DEPTH_MAX 40u               /* schemas in schemas; stacks are small */
#define SCHEMA_NODES_MAX 20000u            /* schemas in all */
#define SCHEMA_BYTES_MAX ((size_t)4 << 20) /* as written */

/* For Anthropic's structured output (anthropic.md section 9): objects are closed, oneOf is anyOf,
 * limits become words of the description. A schema that refers to itself is refused. */
MUST_CHECK enum err_code schema_write_for_claude(
	struct slice schema, struct buf *out, struct err *e);

/* For Google's older models: the subset of OpenAPI 3.0 (gemini.md section 5). A reference to what
 * it stands in becomes a plain object. */
MUST_CHECK enum err_code schema_write_openapi(struct slice schema, struct buf *out, struct err *e);

/* For Google's newer models, parametersJsonSchema and responseJsonSchema: still JSON Schema, with
 * the values of enums as texts, without required names that are no properties. */
MUST_CHECK enum err_code schema_write_json_google(
	struct slice schema, struct buf *out, struct err *e);

/* Does it describe an object, and nothing else? Without a type, it does when it has properties. */
bool schema_is_object(struct slice schema);
/* Has it properties of its own? Some providers refuse objects without. */
bool schema_has_properties(struct slice schema);

#endif
