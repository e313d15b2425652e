/* gateway/providers/gemini_tools.c - the functions a model may call, and must; tools of Google's
 * own (gemini.md sections 4 and 5). */
#include "gateway/providers/gemini_plan.h"
#include "gateway/providers/json_schema.h"

#include <stdio.h>

/* Is there anything to say of a function's arguments? The older dialect refuses an object without
 * properties, and to the newer one it says nothing either. */
static bool has_parameters(struct json_value schema)
{
	static const char *const others[] = { "$ref", "anyOf", "oneOf", "allOf",
		"additionalProperties" };

	if (json_is_truthy(json_get(schema, "properties")))
		return true;
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		if (json_is_truthy(json_get(schema, others[i])))
			return true;
	return false;
}

static enum err_code write_schema(
	const struct gemini_plan *p, struct json_value schema, struct buf *out, struct err *e)
{
	if (!has_parameters(schema))
		return ERR_OK;
	if (p->model.json_schema) {
		buf_str(out, ",\"parametersJsonSchema\":");
		return schema_write_json_google(schema.raw, out, e);
	}
	buf_str(out, ",\"parameters\":");
	return schema_write_openapi(schema.raw, out, e);
}

static enum err_code write_function(const struct gemini_plan *p, const struct tool *tool,
	unsigned nth, struct buf *out, struct err *e)
{
	char param[ERR_PARAM_SIZE];
	enum err_code rc;

	snprintf(param, sizeof(param), "tools[%u].function.parameters", nth);
	if (tool->parameters.kind != JSON_ABSENT && tool->parameters.kind != JSON_OBJECT)
		return err_param(e, ERR_BAD_REQUEST, param, "%s must be an object", param);
	buf_str(out, "{\"name\":");
	buf_json_cstr(out, tool->known);
	if (tool->description.kind == JSON_STRING && tool->description.raw.len > 2) {
		buf_str(out, ",\"description\":");
		buf_slice_append(out, tool->description.raw);
	} else if (!p->model.json_schema) { /* older models want one */
		buf_str(out, ",\"description\":");
		buf_json_cstr(out, tool->name);
	}
	rc = write_schema(p, tool->parameters, out, e);
	if (rc == ERR_BAD_REQUEST && e)
		str_copy_cut(e->param, sizeof(e->param), param);
	buf_char(out, '}');
	return rc;
}

/* The function whose arguments are the answer. */
static enum err_code write_json_function(
	const struct gemini_plan *p, struct buf *out, struct err *e)
{
	struct buf wrapped = { .max_bytes = out->max_bytes };
	struct json_value schema = p->ask.schema;
	enum err_code rc;

	if (p->json.wrapped) {
		buf_str(&wrapped, "{\"type\":\"object\",\"properties\":{\"value\":");
		buf_slice_append(&wrapped, schema.raw);
		buf_str(&wrapped, "},\"required\":[\"value\"]}");
		schema.raw = buf_slice(&wrapped);
	}
	buf_str(out, ",{\"name\":");
	buf_json_cstr(out, p->json.name);
	buf_str(out, ",\"description\":\"Give the answer by calling this function.\"");
	rc = write_schema(p, schema, out, e);
	buf_char(out, '}');
	buf_fini(&wrapped);
	return rc;
}

static enum err_code write_functions(const struct gemini_plan *p, struct buf *out, struct err *e)
{
	enum err_code rc = ERR_OK;
	bool first = true;

	buf_str(out, "{\"functionDeclarations\":[");
	for (unsigned i = 0; !rc && i < p->ask.tool_count; i++) {
		const struct tool *tool = &p->ask.tools[i];

		if (tool->native.kind || tool->from_history)
			continue;
		if (!first)
			buf_char(out, ',');
		first = false;
		rc = write_function(p, tool, i, out, e);
	}
	if (!rc && p->json.by_tool)
		rc = write_json_function(p, out, e);
	buf_str(out, "]}");
	return rc;
}

/* What Google does by itself; NULL: it does not know the tool. */
static const char *native_of(struct json_value tool)
{
	static const struct {
		const char *type, *is;
	} table[] = {
		{ "google_search", "{\"googleSearch\":{}}" },
		{ "googleSearch", "{\"googleSearch\":{}}" },
		{ "web_search", "{\"googleSearch\":{}}" },
		{ "code_execution", "{\"codeExecution\":{}}" },
		{ "codeExecution", "{\"codeExecution\":{}}" },
		{ "url_context", "{\"urlContext\":{}}" },
		{ "urlContext", "{\"urlContext\":{}}" },
	};
	struct slice type = json_get(tool, "type").raw;

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		if (json_str_is(type, table[i].type))
			return table[i].is;
	return NULL;
}

static void write_choice(const struct gemini_plan *p, struct buf *out)
{
	const struct ask *a = &p->ask;
	enum tool_choice choice = a->choice;

	if (p->json.by_tool && choice == TOOLS_AUTO)
		choice = TOOLS_REQUIRED;
	if (choice == TOOLS_AUTO)
		return;
	buf_str(out, ",\"toolConfig\":{\"functionCallingConfig\":{\"mode\":\"");
	buf_str(out, choice == TOOLS_NONE ? "NONE\"" : "ANY\"");
	if (choice == TOOLS_NAMED) {
		buf_str(out, ",\"allowedFunctionNames\":[");
		buf_json_cstr(out, a->chosen->known);
		buf_char(out, ']');
	}
	buf_str(out, "}}");
}

enum err_code gemini_write_tools(const struct gemini_plan *p, struct buf *out, struct err *e)
{
	const char *separator = ",\"tools\":[";
	enum err_code rc = ERR_OK;

	if (p->declares) {
		buf_str(out, separator);
		separator = ",";
		rc = write_functions(p, out, e);
	}
	for (unsigned i = 0; !rc && i < p->ask.tool_count; i++) {
		struct json_value native = p->ask.tools[i].native;
		const char *known = native.kind ? native_of(native) : NULL;

		if (native.kind && !known)
			return ask_refuse(p->target, "tools",
				"has, beside functions, only google_search, code_execution and "
				"url_context",
				e);
		if (!known)
			continue;
		buf_str(out, separator);
		separator = ",";
		buf_str(out, known);
	}
	if (separator[1] == '\0')
		buf_char(out, ']');
	if (!rc && p->declares)
		write_choice(p, out);
	return rc;
}
