#include "gateway/providers/openai_tools.h"

#include "gateway/providers/patch.h"

#include <stdio.h>

static bool key_is(struct slice key, const char *name, size_t len)
{
	return key.len == len + 2 && memcmp(key.ptr + 1, name, len) == 0;
}
#define KEY_IS(key, name) key_is(key, name, sizeof(name) - 1)

static enum err_code no_custom(const struct target *t, const char *where, struct err *e)
{
	return err_param(e, ERR_UNSUPPORTED, where,
		"%s: %s knows no custom tools; declare a function instead", where, t->slug);
}

/* ---- choice ---- */

static const char *required(const struct quirks *q)
{
	return q->choice == CHOICE_ANY    ? "\"any\""
	       : q->choice == CHOICE_AUTO ? "\"auto\""
					  : "\"required\"";
}

enum err_code openai_tools_plan(const struct target *t, const struct quirks *q,
	struct json_value choice, struct tool_plan *plan, struct err *e)
{
	struct slice type = json_get(choice, "type").raw;

	*plan = (struct tool_plan){ .none = false };
	if (choice.kind == JSON_STRING) {
		if (json_str_is(choice.raw, "required"))
			plan->choice = required(q);
		plan->none = q->choice == CHOICE_AUTO && json_str_is(choice.raw, "none");
	} else if (json_str_is(type, "custom") && !q->takes_custom_tools) {
		return no_custom(t, "tool_choice", e);
	} else if (json_str_is(type, "function") && q->choice == CHOICE_AUTO) {
		plan->only = json_get(json_get(choice, "function"), "name");
		plan->choice = "\"auto\"";
	} else if (json_str_is(type, "allowed_tools") && !q->takes_custom_tools) {
		struct json_value allowed = json_get(choice, "allowed_tools");

		plan->allowed = json_get(allowed, "tools");
		plan->choice = json_str_is(json_get(allowed, "mode").raw, "required") ? required(q)
										      : "\"auto\"";
	}
	return ERR_OK;
}

/* Names are compared as they are written. */
static bool is_planned(const struct tool_plan *plan, struct json_value tool)
{
	struct json_value name = json_get(json_get(tool, "function"), "name"), one;
	struct json_iter it;
	struct slice none;

	if (plan->only.kind)
		return slice_eq(plan->only.raw, name.raw);
	if (plan->allowed.kind != JSON_ARRAY)
		return true;
	json_iter_init(&it, plan->allowed);
	while (json_iter_next(&it, &none, &one))
		if (slice_eq(json_get(json_get(one, "function"), "name").raw, name.raw))
			return true;
	return false;
}

/* ---- tools ---- */

#define NO_PARAMETERS "{\"type\":\"object\",\"properties\":{}}"

/* A schema must say that it is an object's. */
static void patch_parameters(struct patch *p, struct json_value v)
{
	struct patch_list list;

	if (v.kind != JSON_OBJECT || !json_is_truthy(v)) {
		patch_value(p, v, NO_PARAMETERS);
	} else if (json_get(v, "type").kind == JSON_ABSENT) {
		patch_list_begin(&list, v);
		patch_cut(p, list.end, list.end);
		buf_str(p->out, "\"type\":\"object\",");
	}
}

static void patch_function(const struct quirks *q, struct patch *p, struct json_value function)
{
	bool parameters = false;
	struct patch_list list;
	struct json_iter it;
	struct json_value v;
	struct slice key;

	patch_list_begin(&list, function);
	json_iter_init(&it, function);
	while (json_iter_next(&it, &key, &v)) {
		if ((!q->takes_marks && KEY_IS(key, "cache_control")) ||
			(q->no_strict_tools && KEY_IS(key, "strict")) ||
			(q->strict && v.kind == JSON_NULL && !KEY_IS(key, "parameters"))) {
			patch_list_drop(&list);
			continue;
		}
		patch_list_keep(p, &list, key, v);
		if (KEY_IS(key, "parameters") && q->wants_parameters) {
			patch_parameters(p, v);
			parameters = true;
		}
	}
	if (q->wants_parameters && !parameters && function.kind == JSON_OBJECT) {
		patch_list_add(p, &list);
		buf_str(p->out, "\"parameters\":" NO_PARAMETERS);
	}
	patch_list_end(p, &list);
}

static void patch_tool(const struct quirks *q, struct patch *p, struct json_value tool)
{
	struct patch_list list;
	struct json_iter it;
	struct json_value v;
	struct slice key;

	patch_list_begin(&list, tool);
	json_iter_init(&it, tool);
	while (json_iter_next(&it, &key, &v)) {
		if (!q->takes_marks && KEY_IS(key, "cache_control")) {
			patch_list_drop(&list);
			continue;
		}
		patch_list_keep(p, &list, key, v);
		if (KEY_IS(key, "function") && v.kind == JSON_OBJECT)
			patch_function(q, p, v);
	}
	patch_list_end(p, &list);
}

enum err_code openai_tools_write(const struct target *t, const struct quirks *q,
	const struct tool_plan *plan, struct json_value tools, struct buf *out, struct err *e)
{
	struct patch p = { .out = out, .done = tools.raw.ptr };
	struct patch_list list;
	struct json_iter it;
	struct json_value tool;
	struct slice none;
	char where[48];

	patch_list_begin(&list, tools);
	json_iter_init(&it, tools);
	for (size_t n = 0; json_iter_next(&it, &none, &tool); n++) {
		if (!q->takes_custom_tools && json_str_is(json_get(tool, "type").raw, "custom")) {
			snprintf(where, sizeof(where), "tools[%zu].type", n);
			return no_custom(t, where, e);
		}
		if (!is_planned(plan, tool)) {
			patch_list_drop(&list);
			continue;
		}
		patch_list_keep(&p, &list, none, tool);
		if (tool.kind == JSON_OBJECT)
			patch_tool(q, &p, tool);
	}
	patch_list_end(&p, &list);
	patch_end(&p, tools.raw);
	return ERR_OK;
}

/* ---- form of the answer ---- */

static void tell(struct slice schema, struct buf *out)
{
	struct buf text = { .max_bytes = 16 << 20 }, quoted = { .max_bytes = 32 << 20 };

	buf_str(&text, "Answer with one JSON object and nothing else.");
	if (schema.len) {
		buf_str(&text, " It must fit this JSON Schema: ");
		buf_slice_append(&text, schema);
	}
	buf_json_str(&quoted, buf_slice(&text));
	if (buf_ok(&text) && buf_ok(&quoted))
		buf_append(out, quoted.data + 1, quoted.len - 2);
	else
		out->failed = true;
	buf_fini(&text);
	buf_fini(&quoted);
}

void openai_format_plan(const struct quirks *q, struct json_value format, struct format_plan *plan)
{
	struct slice type = json_get(format, "type").raw;
	struct json_value schema = json_get(json_get(format, "json_schema"), "schema");
	bool by_schema = json_str_is(type, "json_schema");

	*plan = (struct format_plan){ .value = { .max_bytes = 16 << 20 },
		.told = { .max_bytes = 16 << 20 } };
	if (q->formats == FORMATS_ALL || (!by_schema && q->formats != FORMATS_NONE)) {
		buf_slice_append(&plan->value, format.raw);
		return;
	}
	if (q->formats == FORMATS_OBJECT_SCHEMA) {
		buf_str(&plan->value, "{\"type\":\"json_object\"");
		if (schema.kind == JSON_OBJECT) {
			buf_str(&plan->value, ",\"schema\":");
			buf_slice_append(&plan->value, schema.raw);
		}
		buf_char(&plan->value, '}');
		return;
	}
	if (q->formats == FORMATS_OBJECT)
		buf_str(&plan->value, "{\"type\":\"json_object\"}");
	if (by_schema || json_str_is(type, "json_object"))
		tell(schema.raw, &plan->told);
}

void format_plan_fini(struct format_plan *plan)
{
	buf_fini(&plan->value);
	buf_fini(&plan->told);
}
