#include "gateway/providers/tool_repair.h"

#include "gateway/providers/arena.h"
#include "gateway/providers/members.h"
#include "gateway/providers/names.h"
#include "gateway/providers/patch.h"

#include <ctype.h>

#define GROWTH_BYTES ((size_t)1 << 20) /* of notices, beyond the size of the body once more */

/* What is known of an id: the data of its name. */
enum {
	GROUP, /* in which it was called last */
	STATE,
	READS, /* by a tool named "read" */
};
enum {
	WAITS,    /* nobody has answered the call */
	ANSWERED, /* somebody has */
	WRITTEN,  /* and the answer is in what is written */
};

struct repair {
	struct names ids;
	struct arena arena; /* of ids that had to be decoded */
	unsigned group;     /* the present one's number, never 0 */
	struct patch patch; /* of the body */
	struct patch_list list;
	struct buf notices; /* results for the calls of one message */
	bool mended;
};

/* ---- messages ---- */

enum role {
	OTHERS,
	ASSISTANT,
	TOOL,
};

struct message {
	enum role role;
	struct json_value object, calls, id, content;
};

static const char *behind_blanks(const char *p, const char *end)
{
	while (p < end && isspace((unsigned char)*p))
		p++;
	return p;
}

/* Reads the next of a list of objects. Its end is where the walk over its members ends, so that it
 * need not be skipped first. */
static bool next_message(struct json_iter *it, struct message *m)
{
	const char *p = behind_blanks(it->p, it->end);
	struct json_iter members;
	struct json_value v;
	struct slice key;

	if (p < it->end && *p == ',')
		p = behind_blanks(p + 1, it->end);
	if (p >= it->end || *p != '{')
		return false;
	*m = (struct message){ .object = { JSON_OBJECT, { p, 0 } } };
	p++;
	members = (struct json_iter){ .p = p, .end = it->end, .object = true };
	for (; json_iter_next(&members, &key, &v); p = v.raw.ptr + v.raw.len) {
		if (json_str_is(key, "role"))
			m->role = json_str_is(v.raw, "assistant") ? ASSISTANT
				  : json_str_is(v.raw, "tool")    ? TOOL
								  : OTHERS;
		else if (json_str_is(key, "content"))
			m->content = v;
		else if (json_str_is(key, "tool_calls"))
			m->calls = v;
		else if (json_str_is(key, "tool_call_id"))
			m->id = v;
	}
	p = behind_blanks(p, it->end);
	m->object.raw.len = (size_t)(p - m->object.raw.ptr) + (p < it->end);
	it->p = m->object.raw.ptr + m->object.raw.len;
	return true;
}

/* ---- ids ---- */

/* The id as it reads; lent by the body or the arena. */
static struct slice id_of(struct repair *r, struct json_value v)
{
	struct slice id = member_inner(v);
	struct buf text = { .max_bytes = v.raw.len };

	if (!memchr(id.ptr, '\\', id.len))
		return id;
	if (!json_str_decode(v, &text) || !buf_ok(&text)) {
		r->arena.failed = true;
	} else {
		id.len = text.len;
		id.ptr = arena_text(&r->arena, buf_slice(&text));
	}
	buf_fini(&text);
	return r->arena.failed ? SLICE("") : id;
}

/* The name of the call with this id in the present group, or NULL. */
static struct name *called(struct repair *r, struct json_value id)
{
	struct name *name = names_get(&r->ids, id_of(r, id));

	return name && name->data[GROUP] == r->group ? name : NULL;
}

/* ---- what a "read" gave ---- */

/* A NUL can only be written as an escape. */
static bool has_nul(struct json_value text)
{
	struct slice rest = member_inner(text);
	const char *at;

	for (; (at = memchr(rest.ptr, '\\', rest.len)) != NULL;
		rest = slice_from(rest, (size_t)(at - rest.ptr) + 2))
		if (slice_starts(slice_from(rest, (size_t)(at - rest.ptr)), "\\u0000"))
			return true;
	return false;
}

/* Finds texts with a NUL in a content; p (may be NULL) puts the notice in their place. */
static bool find_binary(struct json_value content, struct patch *p)
{
	struct json_iter it;
	struct json_value part, text;
	struct slice none;
	bool found = has_nul(content);

	if (found && p)
		patch_value(p, content, "\"" TOOL_REPAIR_BINARY "\"");
	json_iter_init(&it, content);
	while (content.kind == JSON_ARRAY && json_iter_next(&it, &none, &part)) {
		text = member_read(part, "text");
		if (!has_nul(text))
			continue;
		found = true;
		if (p)
			patch_value(p, text, "\"" TOOL_REPAIR_BINARY "\"");
	}
	return found;
}

/* ---- the first walk over a group: is it well? ---- */

/* Notes the calls of a message; returns how many wait for a result. *well: no id came twice. */
static size_t note_calls(struct repair *r, struct json_value calls, bool *well)
{
	struct json_iter it;
	static const char *const names[] = { "id", "function" };
	struct json_value call, m[2];
	struct slice none;
	struct name *name;
	size_t waiting = 0;
	bool fresh;

	json_iter_init(&it, calls);
	while (calls.kind == JSON_ARRAY && json_iter_next(&it, &none, &call)) {
		members_read(call, names, 2, m);
		if (m[0].kind != JSON_STRING)
			continue;
		name = names_put(&r->ids, id_of(r, m[0]), &fresh);
		if (!name) {
			r->arena.failed = true;
			return 0;
		}
		if (name->data[GROUP] == r->group) {
			*well = false;
			continue;
		}
		name->data[GROUP] = r->group;
		name->data[STATE] = WAITS;
		name->data[READS] =
			json_str_is(member_read(member_read(call, "function"), "name").raw, "read");
		waiting++;
	}
	return waiting;
}

/* Takes a result. false: it is not well. */
static bool note_result(struct repair *r, const struct message *m)
{
	struct name *name = called(r, m->id);

	if (!name || name->data[STATE] != WAITS)
		return false;
	name->data[STATE] = ANSWERED;
	return !name->data[READS] || !find_binary(m->content, NULL);
}

/* ---- the second walk: it is made well ---- */

static void add_notice(struct repair *r, struct json_value id)
{
	buf_str(&r->notices, ",{\"role\":\"tool\",\"tool_call_id\":");
	buf_slice_append(&r->notices, id.raw);
	buf_str(&r->notices, ",\"content\":\"" TOOL_REPAIR_NOTICE "\"}");
}

/* Calls that are kept get the number of the group plus one: who has it and comes again, goes. */
static void mend_calls(struct repair *r, struct json_value calls)
{
	struct patch_list list;
	struct json_iter it;
	struct json_value call, id;
	struct slice none;
	struct name *name;

	if (calls.kind != JSON_ARRAY)
		return;
	patch_list_begin(&list, calls);
	json_iter_init(&it, calls);
	while (json_iter_next(&it, &none, &call)) {
		id = member_read(call, "id");
		name = id.kind == JSON_STRING ? names_get(&r->ids, id_of(r, id)) : NULL;
		if (name && name->data[GROUP] != r->group) {
			patch_list_drop(&list);
			continue;
		}
		patch_list_keep(&r->patch, &list, none, call);
		if (!name)
			continue;
		name->data[GROUP] = r->group + 1;
		if (name->data[STATE] == WAITS)
			add_notice(r, id);
	}
	patch_list_end(&r->patch, &list);
}

static void mend_message(struct repair *r, const struct message *m)
{
	const char *end = m->object.raw.ptr + m->object.raw.len;
	const struct slice no_key = { "", 0 };
	struct name *name = NULL;

	if (m->role == TOOL && m->id.kind == JSON_STRING) {
		name = called(r, m->id);
		if (!name || name->data[STATE] != ANSWERED) {
			patch_list_drop(&r->list);
			return;
		}
		name->data[STATE] = WRITTEN;
	}
	patch_list_keep(&r->patch, &r->list, no_key, m->object);
	if (name && name->data[READS])
		(void)find_binary(m->content, &r->patch);
	if (m->role != ASSISTANT)
		return;
	mend_calls(r, m->calls);
	r->group++;
	if (!r->notices.len)
		return;
	patch_cut(&r->patch, end, end);
	buf_slice_append(r->patch.out, buf_slice(&r->notices));
	r->patch.out->failed |= !buf_ok(&r->notices);
	buf_reset(&r->notices);
}

/* ---- groups ---- */

/* Messages from one assistant's up to the next. */
struct group {
	struct json_iter from;         /* before the first */
	struct json_value first, last; /* JSON_ABSENT: it has none */
	size_t count, waiting;
	bool well;
};

static void end_group(struct repair *r, struct group *g)
{
	const struct slice no_key = { "", 0 };
	struct message m;

	if (g->well && !g->waiting && g->count) {
		patch_list_keep(&r->patch, &r->list, no_key, g->first);
		r->list.end = g->last.raw.ptr + g->last.raw.len;
	} else if (g->count) {
		r->mended = true;
		for (; g->count && next_message(&g->from, &m); g->count--)
			mend_message(r, &m);
	}
	r->group += 2;
}

static void mend_groups(struct repair *r, struct json_value messages)
{
	struct message m;
	struct json_iter it, before;
	struct group g = { .well = true };

	json_iter_init(&it, messages);
	g.from = it;
	for (before = it; !r->arena.failed && next_message(&it, &m); before = it) {
		if (m.role == ASSISTANT) {
			end_group(r, &g);
			g = (struct group){ .from = before, .well = true };
			g.waiting = note_calls(r, m.calls, &g.well);
		} else if (m.role == TOOL && m.id.kind == JSON_STRING) {
			if (note_result(r, &m))
				g.waiting--;
			else
				g.well = false;
		}
		if (!g.count++)
			g.first = m.object;
		g.last = m.object;
	}
	end_group(r, &g);
}

enum err_code tool_repair(const struct chat_req *req, struct buf *out, struct err *e)
{
	struct json_value messages = req->field[CHAT_MESSAGES].value;
	struct repair r = { .group = 1, .patch = { .out = out, .done = req->body.ptr } };
	enum err_code rc = ERR_OK;

	if (!req->uses_tools)
		return ERR_OK;
	out->max_bytes = 2 * req->body.len + GROWTH_BYTES;
	r.notices.max_bytes = out->max_bytes;
	patch_list_begin(&r.list, messages);
	mend_groups(&r, messages);
	if (r.mended) {
		patch_list_end(&r.patch, &r.list);
		patch_end(&r.patch, req->body);
	}
	if (r.arena.failed)
		rc = err_set(e, ERR_NO_MEMORY, "no memory for the calls of tools in messages");
	else if (!buf_ok(out))
		rc = err_param(e, ERR_BAD_REQUEST, "messages",
			"messages hold too many calls of tools that have no result");
	else if (r.mended && !r.list.any)
		rc = err_param(e, ERR_BAD_REQUEST, "messages",
			"messages hold nothing but results of tools that nobody called");
	names_fini(&r.ids);
	arena_fini(&r.arena);
	buf_fini(&r.notices);
	if (rc)
		buf_reset(out);
	return rc;
}
