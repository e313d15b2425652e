#include "gateway/providers/ask_tools.h"
#include "gateway/providers/members.h"
#include "gateway/providers/talk.h"

#include <stdio.h>
#include <stdlib.h>

static enum err_code wrong(struct err *e, const char *what, const char *path, ...)
	PRINTF_LIKE(3, 4);

static enum err_code wrong(struct err *e, const char *what, const char *path, ...)
{
	char param[ERR_PARAM_SIZE];
	va_list args;

	va_start(args, path);
	vsnprintf(param, sizeof(param), path, args);
	va_end(args);
	return err_param(e, ERR_BAD_REQUEST, param, "%s %s", param, what);
}

static enum err_code no_memory(struct err *e)
{
	return err_set(e, ERR_NO_MEMORY, "no memory for the tools");
}

/* ---- names that fit ---- */

static bool is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_taken(const struct ask_rules *rules, char c)
{
	return is_letter(c) || (c >= '0' && c <= '9') || c == '_' || c == '-' ||
	       (c && strchr(rules->name_extra ? rules->name_extra : "", c));
}

static size_t name_max(const struct ask_rules *rules)
{
	return rules->name_max && rules->name_max < TOOL_NAME_MAX ? rules->name_max
								  : TOOL_NAME_MAX - 1;
}

static bool fits(const struct ask_rules *rules, const char *name)
{
	size_t len = strlen(name);

	if (!len || len > name_max(rules) ||
		(rules->name_starts_letter && !is_letter(*name) && *name != '_'))
		return false;
	for (size_t i = 0; i < len; i++)
		if (!is_taken(rules, name[i]))
			return false;
	return true;
}

/* A name that fits, made of one that does not. A letter of several bytes becomes one '_'. */
static void fit(const struct ask_rules *rules, const char *name, char fitted[TOOL_NAME_MAX])
{
	size_t len = 0, max = name_max(rules);

	if (rules->name_starts_letter && !is_letter(*name) && *name != '_')
		fitted[len++] = '_';
	for (; *name && len < max; name++) {
		if (((unsigned char)*name & 0xc0) == 0x80)
			continue;
		fitted[len++] = is_taken(rules, *name) ? *name : '_';
	}
	if (!len)
		fitted[len++] = '_';
	fitted[len] = '\0';
}

/* ---- the table ---- */

/* Adds a tool, unless one has its name already. */
static bool add(struct ask_memory *m, const struct tool *tool)
{
	struct tool *larger;
	struct name *name;
	bool fresh = true;

	if (tool->name) {
		name = names_put(&m->clients, slice_of(tool->name), &fresh);
		if (!name)
			return false;
		if (!fresh)
			return true;
		name->data[0] = m->count + 1;
	}
	if (m->count == m->cap) {
		m->cap = m->cap ? m->cap * 2 : 16;
		larger = arena_take(&m->arena, m->cap * sizeof(*larger));
		if (!larger)
			return false;
		if (m->count)
			memcpy(larger, m->tools, m->count * sizeof(*larger));
		m->tools = larger;
	}
	m->tools[m->count++] = *tool;
	return true;
}

/* Gives one tool the first name that is free. */
static bool name_fitted(struct ask_memory *m, unsigned index)
{
	char base[TOOL_NAME_MAX], fitted[TOOL_NAME_MAX], tail[16];
	size_t keep, max = name_max(&m->rules);
	struct name *known;
	const char *text;
	bool fresh;

	fit(&m->rules, m->tools[index].name, base);
	memcpy(fitted, base, sizeof(fitted));
	for (;;) {
		text = arena_text(&m->arena, slice_of(fitted));
		known = text ? names_put(&m->knowns, slice_of(text), &fresh) : NULL;
		if (!known)
			return false;
		if (fresh) {
			known->data[0] = index + 1;
			m->tools[index].known = text;
			return true;
		}
		known = names_get(&m->knowns, slice_of(base));
		snprintf(tail, sizeof(tail), "_%u", ++known->data[1] + 1);
		keep = strlen(base) + strlen(tail) > max ? max - strlen(tail) : strlen(base);
		memcpy(fitted, base, keep);
		memcpy(fitted + keep, tail, strlen(tail) + 1);
	}
}

/* Names that fit are kept, and the others made to fit around them. */
static bool name_all(struct ask_memory *m)
{
	struct name *known;
	bool fresh;

	for (unsigned i = 0; i < m->count; i++) {
		if (!m->tools[i].name || !fits(&m->rules, m->tools[i].name))
			continue;
		known = names_put(&m->knowns, slice_of(m->tools[i].name), &fresh);
		if (!known)
			return false;
		known->data[0] = i + 1;
		m->tools[i].known = m->tools[i].name;
	}
	for (unsigned i = 0; i < m->count; i++)
		if (m->tools[i].name && !m->tools[i].known && !name_fitted(m, i))
			return false;
	return true;
}

/* ---- declarations ---- */

/* Reads a function's declaration; path is its own ("tools[0].function"). */
static enum err_code read_function(struct ask_memory *m, struct json_value function,
	struct json_value cache, const char *path, struct err *e)
{
	enum { NAME, DESCRIPTION, PARAMETERS, STRICT, CACHE, MEMBERS };
	static const char *const names[] = { "name", "description", "parameters", "strict",
		"cache_control" };
	struct json_value f[MEMBERS];
	struct tool tool = { .cache = cache };

	if (function.kind != JSON_OBJECT)
		return wrong(e, "must be an object", "%s", path);
	members_read(function, names, MEMBERS, f);
	if (f[NAME].kind != JSON_STRING || f[NAME].raw.len <= 2)
		return wrong(e, "must be a string that is not empty", "%s.name", path);
	if (f[DESCRIPTION].kind != JSON_ABSENT && f[DESCRIPTION].kind != JSON_STRING)
		return wrong(e, "must be a string", "%s.description", path);
	if (f[PARAMETERS].kind != JSON_ABSENT && f[PARAMETERS].kind != JSON_OBJECT)
		return wrong(e, "must be an object", "%s.parameters", path);
	if (f[STRICT].kind != JSON_ABSENT && f[STRICT].kind != JSON_BOOL)
		return wrong(e, "must be true or false", "%s.strict", path);
	if (cache.kind == JSON_ABSENT)
		tool.cache = f[CACHE];
	if (tool.cache.kind != JSON_ABSENT && tool.cache.kind != JSON_OBJECT)
		return wrong(e, "must be an object", "%s.cache_control", path);
	tool.name = arena_string(&m->arena, f[NAME]);
	if (!tool.name)
		return wrong(e, "must not hold a NUL", "%s.name", path);
	tool.description = f[DESCRIPTION];
	tool.parameters = f[PARAMETERS];
	tool.strict = f[STRICT];
	return add(m, &tool) ? ERR_OK : no_memory(e);
}

static enum err_code read_tool(
	struct ask_memory *m, struct json_value v, unsigned index, struct err *e)
{
	enum { TYPE, FUNCTION, CACHE, CUSTOM, MEMBERS };
	static const char *const names[] = { "type", "function", "cache_control", "custom" };
	struct json_value t[MEMBERS];
	struct tool native = { .native = v };
	char path[48];

	if (v.kind != JSON_OBJECT)
		return wrong(e, "must be an object", "tools[%u]", index);
	members_read(v, names, MEMBERS, t);
	if (t[TYPE].kind != JSON_STRING && (t[TYPE].kind != JSON_ABSENT || !t[FUNCTION].kind))
		return wrong(e, "must be a string", "tools[%u].type", index);
	if (t[TYPE].kind == JSON_ABSENT || json_str_is(t[TYPE].raw, "function")) {
		snprintf(path, sizeof(path), "tools[%u].function", index);
		return read_function(m, t[FUNCTION], t[CACHE], path, e);
	}
	if (t[CUSTOM].kind != JSON_ABSENT)
		return wrong(e, "must be \"function\" for this model's provider", "tools[%u].type",
			index);
	return add(m, &native) ? ERR_OK : no_memory(e);
}

static enum err_code read_list(struct ask_memory *m, struct json_value list, const char *member,
	bool of_functions, struct err *e)
{
	struct json_iter it;
	struct json_value v;
	struct slice none;
	enum err_code rc = ERR_OK;
	char path[48];

	if (list.kind != JSON_ABSENT && list.kind != JSON_ARRAY)
		return wrong(e, "must be an array", "%s", member);
	json_iter_init(&it, list);
	for (unsigned i = 0; !rc && json_iter_next(&it, &none, &v); i++) {
		if (m->count >= ASK_TOOLS_MAX)
			return err_param(e, ERR_BAD_REQUEST, member, "%s holds more than %u tools",
				member, ASK_TOOLS_MAX);
		snprintf(path, sizeof(path), "%s[%u]", member, i);
		rc = of_functions ? read_function(m, v, (struct json_value){ 0 }, path, e)
				  : read_tool(m, v, i, e);
	}
	return rc;
}

/* ---- the choice ---- */

/* The name in {"function":{"name":…}}, {"custom":…} or {"name":…}. */
static struct json_value name_in(struct json_value v)
{
	struct json_value function = member_read(v, "function");

	return member_read(function.kind == JSON_OBJECT ? function : v, "name");
}

/* The declared tool with this name, or NULL. */
static struct tool *declared(struct ask_memory *m, struct json_value name)
{
	const char *text = arena_string(&m->arena, name);
	struct name *found = text ? names_get(&m->clients, slice_of(text)) : NULL;

	return found && !m->tools[found->data[0] - 1].from_history ? &m->tools[found->data[0] - 1]
								   : NULL;
}

static enum err_code choose_word(struct ask *a, struct slice raw, const char *member, struct err *e)
{
	static const struct {
		const char *word;
		enum tool_choice choice;
	} words[] = {
		{ "auto", TOOLS_AUTO },
		{ "none", TOOLS_NONE },
		{ "required", TOOLS_REQUIRED },
		{ "any", TOOLS_REQUIRED },
	};

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (json_str_is(raw, words[i].word)) {
			a->choice = words[i].choice;
			return ERR_OK;
		}
	return wrong(e, "must be none, auto, required, or name a tool", "%s", member);
}

static enum err_code choose_name(
	struct ask *a, struct json_value name, const char *member, struct err *e)
{
	if (name.kind != JSON_STRING)
		return wrong(e, "must name a function", "%s", member);
	a->chosen = declared(a->memory, name);
	if (!a->chosen)
		return wrong(e, "names a function that is not among tools", "%s", member);
	a->choice = TOOLS_NAMED;
	return ERR_OK;
}

/* Leaves only the tools of the list. */
static enum err_code choose_some(struct ask *a, struct json_value allowed, struct err *e)
{
	struct ask_memory *m = a->memory;
	struct json_value mode = member_read(allowed, "mode"), list = member_read(allowed, "tools");
	struct json_iter it;
	struct json_value v;
	struct slice none;
	struct tool *tool;
	bool *kept = arena_take(&m->arena, m->count + 1);
	struct tool *left = arena_take(&m->arena, (m->count + 1) * sizeof(*left));
	enum err_code rc;

	if (!kept || !left)
		return no_memory(e);
	if (list.kind != JSON_ARRAY)
		return wrong(e, "must be an array of tools", "tool_choice.allowed_tools.tools");
	if (mode.kind != JSON_ABSENT) {
		rc = choose_word(a, mode.raw, "tool_choice.allowed_tools.mode", e);
		if (rc)
			return rc;
	}
	json_iter_init(&it, list);
	for (unsigned i = 0; json_iter_next(&it, &none, &v); i++) {
		tool = declared(m, name_in(v));
		if (!tool)
			return wrong(e, "names a function that is not among tools",
				"tool_choice.allowed_tools.tools[%u]", i);
		kept[tool - m->tools] = true;
	}
	a->tool_count = 0;
	for (unsigned i = 0; i < m->count; i++)
		if (kept[i])
			left[a->tool_count++] = m->tools[i];
	if (!a->tool_count)
		return wrong(e, "must name a tool", "tool_choice.allowed_tools.tools");
	a->tools = left;
	return ERR_OK;
}

static enum err_code read_choice(struct ask *a, struct json_value choice, struct err *e)
{
	struct json_value type = member_read(choice, "type"), allowed;

	if (choice.kind == JSON_STRING)
		return choose_word(a, choice.raw, "tool_choice", e);
	if (choice.kind != JSON_OBJECT)
		return wrong(e, "must be a string or an object", "tool_choice");
	if (type.kind != JSON_STRING)
		return wrong(e, "must be a string", "tool_choice.type");
	if (json_str_is(type.raw, "function") || json_str_is(type.raw, "tool"))
		return choose_name(a, name_in(choice), "tool_choice.function.name", e);
	if (json_str_is(type.raw, "allowed_tools")) {
		allowed = member_read(choice, "allowed_tools");
		return choose_some(a, allowed.kind == JSON_OBJECT ? allowed : choice, e);
	}
	return choose_word(a, type.raw, "tool_choice.type", e);
}

static enum err_code read_function_call(struct ask *a, struct json_value choice, struct err *e)
{
	if (choice.kind == JSON_STRING)
		return choose_word(a, choice.raw, "function_call", e);
	if (choice.kind != JSON_OBJECT)
		return wrong(e, "must be a string or an object", "function_call");
	return choose_name(a, member_read(choice, "name"), "function_call.name", e);
}

/* ---- all of it ---- */

static bool add_history(struct ask_memory *m, const struct talk_call *calls, unsigned count)
{
	struct tool tool = { .from_history = true };

	for (unsigned i = 0; i < count && m->count < ASK_TOOLS_MAX; i++) {
		tool.name = calls[i].name;
		if (!add(m, &tool))
			return false;
	}
	return true;
}

enum err_code tools_read(const struct tool_members *from, const struct talk_call *calls,
	unsigned call_count, struct ask *a, struct err *e)
{
	struct ask_memory *m = a->memory;
	enum err_code rc;

	rc = read_list(m, from->tools, "tools", false, e);
	if (!rc)
		rc = read_list(m, from->functions, "functions", true, e);
	if (rc)
		return rc;
	if (!add_history(m, calls, call_count) || !name_all(m))
		return no_memory(e);
	a->tools = m->tools;
	a->tool_count = m->count;
	if (from->choice.kind != JSON_ABSENT)
		rc = read_choice(a, from->choice, e);
	else if (from->function_call.kind != JSON_ABSENT)
		rc = read_function_call(a, from->function_call, e);
	if (rc)
		return rc;
	if (a->choice == TOOLS_REQUIRED && !a->tool_count)
		return wrong(e, "asks for a call, but there are no tools", "%s",
			from->choice.kind != JSON_ABSENT ? "tool_choice" : "function_call");
	for (unsigned i = 0; i < a->tool_count; i++)
		a->any_strict |= json_is_true(a->tools[i].strict);
	return m->arena.failed ? no_memory(e) : ERR_OK;
}

const char *ask_known_name(const struct ask *a, const char *name)
{
	struct ask_memory *m = a->memory;
	struct name *found = m ? names_get(&m->clients, slice_of(name)) : NULL;
	char fitted[TOOL_NAME_MAX];
	const char *known;

	if (found)
		return m->tools[found->data[0] - 1].known;
	if (!m || fits(&m->rules, name))
		return name;
	fit(&m->rules, name, fitted);
	known = arena_text(&m->arena, slice_of(fitted));
	return known ? known : "_";
}

/* ---- the way back ---- */

/* Is the name that the provider says one that the client declared? */
static bool is_declared(struct json_value list, const char *known, bool of_functions)
{
	struct json_iter it;
	struct json_value v;
	struct slice none;

	json_iter_init(&it, list);
	while (json_iter_next(&it, &none, &v)) {
		if (!of_functions)
			v = member_read(v, "function");
		if (json_str_is(member_read(v, "name").raw, known))
			return true;
	}
	return false;
}

/* The tools that a message of the history calls. */
static bool add_called(struct ask_memory *m, struct json_value message)
{
	enum { TOOL_CALLS, FUNCTION_CALL, MEMBERS };
	static const char *const names[] = { "tool_calls", "function_call" };
	struct json_value found[MEMBERS], v;
	struct tool tool = { .from_history = true };
	struct json_iter it;
	struct slice none;

	members_read(message, names, MEMBERS, found);
	json_iter_init(&it, found[TOOL_CALLS]);
	while (json_iter_next(&it, &none, &v)) {
		tool.name =
			arena_string(&m->arena, member_read(member_read(v, "function"), "name"));
		if (tool.name && m->count < ASK_TOOLS_MAX && !add(m, &tool))
			return false;
	}
	tool.name = arena_string(&m->arena, member_read(found[FUNCTION_CALL], "name"));
	return !tool.name || m->count >= ASK_TOOLS_MAX || add(m, &tool);
}

/* Makes the table that tools_read() made, from a request it has accepted. */
static bool make_table(
	struct ask_memory *m, const struct chat_req *req, struct json_value functions)
{
	struct json_iter it;
	struct json_value v;
	struct slice none;

	if (read_list(m, req->field[CHAT_TOOLS].value, "tools", false, NULL) ||
		read_list(m, functions, "functions", true, NULL))
		return false;
	json_iter_init(&it, req->field[CHAT_MESSAGES].value);
	while (json_iter_next(&it, &none, &v))
		if (!add_called(m, v))
			return false;
	return name_all(m);
}

void ask_write_client_name(const struct chat_req *req, const struct ask_rules *rules,
	struct slice known, struct buf *out)
{
	struct ask_memory m = { .rules = *rules };
	struct json_value functions;
	struct name *found = NULL;
	char name[TOOL_NAME_MAX];

	if (!json_str_copy((struct json_value){ JSON_STRING, known }, name, sizeof(name)) ||
		is_declared(req->field[CHAT_TOOLS].value, name, false)) {
		buf_slice_append(out, known);
		return;
	}
	functions =
		member_read((struct json_value){ JSON_OBJECT, slice_trim(req->body) }, "functions");
	if (!is_declared(functions, name, true) && make_table(&m, req, functions))
		found = names_get(&m.knowns, slice_of(name));
	if (found)
		buf_json_cstr(out, m.tools[found->data[0] - 1].name);
	else
		buf_slice_append(out, known);
	names_fini(&m.clients);
	names_fini(&m.knowns);
	arena_fini(&m.arena);
}
