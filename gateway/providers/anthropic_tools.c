/* gateway/providers/anthropic_tools.c - the tools a model may call, and must (anthropic.md sections
 * 5 and 9). */
#include "gateway/providers/anthropic_plan.h"

#include <stdio.h>

/* A schema that describes an object, and says so. */
static void write_object_schema(struct json_value schema, struct buf *out)
{
	if (json_get(schema, "type").kind != JSON_ABSENT) {
		buf_slice_append(out, schema.raw);
		return;
	}
	buf_str(out, "{\"type\":\"object\",");
	buf_slice_append(out, slice_from(schema.raw, 1));
}

/* The schema of a tool's input, whose root must be an object that says so. */
static enum err_code write_parameters(
	const struct tool *tool, unsigned nth, struct buf *out, struct err *e)
{
	static const char *const unions[] = { "anyOf", "oneOf", "allOf" };
	struct json_value type = json_get(tool->parameters, "type");
	bool bad = tool->parameters.kind && tool->parameters.kind != JSON_OBJECT;
	char param[ERR_PARAM_SIZE];

	if (!json_is_truthy(tool->parameters) && !bad) {
		buf_str(out, "{\"type\":\"object\",\"properties\":{}}");
		return ERR_OK;
	}
	bad |= type.kind != JSON_ABSENT && !json_str_is(type.raw, "object");
	for (size_t i = 0; i < sizeof(unions) / sizeof(unions[0]); i++)
		bad |= json_get(tool->parameters, unions[i]).kind != JSON_ABSENT;
	if (bad) {
		snprintf(param, sizeof(param), "tools[%u].function.parameters", nth);
		return err_param(e, ERR_UNSUPPORTED, param,
			"%s: the schema of a tool must have the root type \"object\", without "
			"anyOf, oneOf or allOf beside it",
			param);
	}
	write_object_schema(tool->parameters, out);
	return ERR_OK;
}

/* A tool without the brace at its end. */
static enum err_code write_tool(
	const struct anthropic_plan *p, unsigned i, struct buf *out, struct err *e)
{
	const struct tool *tool = &p->ask.tools[i];
	enum err_code rc;

	if (tool->native.kind) {
		anthropic_write_native(tool->native, out);
		return ERR_OK;
	}
	buf_str(out, "{\"name\":");
	buf_json_cstr(out, tool->known);
	if (tool->description.kind == JSON_STRING) {
		buf_str(out, ",\"description\":");
		buf_slice_append(out, tool->description.raw);
	}
	buf_str(out, ",\"input_schema\":");
	rc = write_parameters(tool, i, out, e);
	if (json_is_true(tool->strict) && p->model->schema && anthropic_is_own(p))
		buf_str(out, ",\"strict\":true");
	return rc;
}

/* The tool whose input is the answer. */
static void write_json_tool(const struct anthropic_plan *p, bool first, struct buf *out)
{
	buf_str(out, first ? "{\"name\":" : ",{\"name\":");
	buf_json_cstr(out, p->json.name);
	buf_str(out, ",\"description\":\"Give the answer by calling this tool.\","
		     "\"input_schema\":");
	if (p->json.wrapped) {
		buf_str(out, "{\"type\":\"object\",\"properties\":{\"value\":");
		buf_slice_append(out, p->ask.schema.raw);
		buf_str(out, "},\"required\":[\"value\"]}");
	} else {
		write_object_schema(p->ask.schema, out);
	}
	buf_char(out, '}');
}

/* Tools that only the history knows are declared where there are no others: Anthropic wants some
 * when messages hold calls. */
static bool is_declared(const struct anthropic_plan *p, unsigned i)
{
	return !p->ask.tools[i].from_history || p->ask.tools[0].from_history;
}

enum err_code anthropic_write_tools(const struct anthropic_plan *p, struct buf *out, struct err *e)
{
	enum err_code rc = ERR_OK;
	bool first = true;

	if (!p->ask.tool_count && !p->json.by_tool)
		return ERR_OK;
	buf_str(out, ",\"tools\":[");
	for (unsigned i = 0; !rc && i < p->ask.tool_count; i++) {
		if (!is_declared(p, i))
			continue;
		if (!first)
			buf_char(out, ',');
		first = false;
		rc = write_tool(p, i, out, e);
		anthropic_write_keep(keep_of_tool(p, i), out);
		buf_char(out, '}');
	}
	if (p->json.by_tool)
		write_json_tool(p, first, out);
	buf_char(out, ']');
	return rc;
}

void anthropic_write_tool_choice(const struct anthropic_plan *p, struct buf *out)
{
	const struct ask *a = &p->ask;
	bool tools = a->tool_count && !a->tools[0].from_history;
	enum tool_choice choice = a->choice;
	const char *name = choice == TOOLS_NAMED ? a->chosen->known : NULL;
	bool one = a->parallel_off;

	if (p->json.by_tool && (!tools || choice == TOOLS_NONE)) {
		choice = TOOLS_NAMED;
		name = p->json.name;
		one = true;
	} else if (p->json.by_tool && choice == TOOLS_AUTO) {
		choice = TOOLS_REQUIRED;
	} else if (!a->tool_count) {
		return;
	}
	/* Who cannot stop thinking cannot be forced. */
	if (p->model->always_thinks && (choice == TOOLS_REQUIRED || choice == TOOLS_NAMED))
		choice = TOOLS_AUTO;
	if (choice == TOOLS_AUTO && !one)
		return;
	buf_str(out, ",\"tool_choice\":{\"type\":\"");
	buf_str(out, choice == TOOLS_NONE       ? "none\""
		     : choice == TOOLS_REQUIRED ? "any\""
		     : choice == TOOLS_NAMED    ? "tool\",\"name\":"
						: "auto\"");
	if (choice == TOOLS_NAMED)
		buf_json_cstr(out, name);
	if (one && choice != TOOLS_NONE)
		buf_str(out, ",\"disable_parallel_tool_use\":true");
	buf_char(out, '}');
}
