#include "gateway/providers/tool_calls.h"

#include <inttypes.h>
#include <stdlib.h>

#define INDEX_MAX 9999

struct call {
	unsigned choice;
	int64_t given; /* index the provider uses, -1 = none */
	int64_t index; /* index the client knows */
	uint64_t id;   /* hash of the provider's id, 0 = none came */
	uint64_t name; /* hash of its name, 0 = none came */
};

struct tool_calls {
	unsigned n;
	struct call call[];
};

/* One element of the array. */
struct piece {
	int64_t given; /* -1 = none */
	struct json_value id, type, function, name, arguments;
	uint64_t id_hash, name_hash; /* 0 = none, or empty */
	bool custom;                 /* a custom tool's: only its index is looked after */
};

void tool_calls_free(struct tool_calls *calls)
{
	free(calls);
}

/* FNV-1a of a string's text; 0 for anything else and for the empty string. */
static uint64_t hash_of(struct json_value v)
{
	uint64_t h = UINT64_C(0xcbf29ce484222325);

	if (v.kind != JSON_STRING || v.raw.len <= 2)
		return 0;
	for (size_t i = 0; i < v.raw.len; i++)
		h = (h ^ (unsigned char)v.raw.ptr[i]) * UINT64_C(0x100000001b3);
	return h ? h : 1;
}

static bool key_is(struct slice key, const char *name, size_t len)
{
	return key.len == len + 2 && memcmp(key.ptr + 1, name, len) == 0;
}
#define KEY_IS(key, name) key_is(key, name, sizeof(name) - 1)

static struct piece read_piece(struct json_value element)
{
	struct piece p = { .given = -1 };
	struct json_iter it;
	struct json_value v;
	struct slice key;

	json_iter_init(&it, element);
	while (json_iter_next(&it, &key, &v)) {
		if (KEY_IS(key, "index")) {
			if (!json_int(v, &p.given) || p.given < 0 || p.given > INDEX_MAX)
				p.given = -1;
		} else if (KEY_IS(key, "id")) {
			p.id = v;
		} else if (KEY_IS(key, "type")) {
			p.type = v;
			p.custom |= json_str_is(v.raw, "custom");
		} else if (KEY_IS(key, "custom")) {
			p.custom = true;
		} else if (KEY_IS(key, "function")) {
			p.function = v;
		}
	}
	json_iter_init(&it, p.function);
	while (json_iter_next(&it, &key, &v)) {
		if (KEY_IS(key, "name"))
			p.name = v;
		else if (KEY_IS(key, "arguments"))
			p.arguments = v;
	}
	p.id_hash = hash_of(p.id);
	p.name_hash = hash_of(p.name);
	return p;
}

/* The call a piece goes on with, or NULL when it begins one. */
static struct call *find(struct tool_calls *calls, unsigned choice, const struct piece *p)
{
	struct call *same_index = NULL;

	for (unsigned i = calls ? calls->n : 0; i--;) {
		struct call *c = &calls->call[i];

		if (c->choice != choice)
			continue;
		if (p->given >= 0) {
			if (c->given != p->given)
				continue;
			if (!p->id_hash || !c->id || c->id == p->id_hash)
				return c;
			if (!same_index)
				same_index = c;
		} else if (p->id_hash) {
			if (c->id == p->id_hash)
				return c;
		} else {
			/* Neither index nor id: the last call goes on, unless another is named. */
			return p->name_hash && c->name && p->name_hash != c->name ? NULL : c;
		}
	}
	/* One index, another id: a new call when it has a name (some number all calls 0), else a
	 * provider that makes up an id for every piece. */
	return p->name_hash ? NULL : same_index;
}

static bool index_is_taken(const struct tool_calls *calls, unsigned choice, int64_t index)
{
	for (unsigned i = 0; calls && i < calls->n; i++)
		if (calls->call[i].choice == choice && calls->call[i].index == index)
			return true;
	return false;
}

static int64_t next_index(const struct tool_calls *calls, unsigned choice)
{
	int64_t next = 0;

	for (unsigned i = 0; calls && i < calls->n; i++)
		if (calls->call[i].choice == choice && calls->call[i].index >= next)
			next = calls->call[i].index + 1;
	return next;
}

/* Adds the call that a piece begins; NULL when there are too many. */
static struct call *add(struct tool_calls **calls, unsigned choice, const struct piece *p)
{
	unsigned n = *calls ? (*calls)->n : 0;
	bool usable = p->given >= 0 && !index_is_taken(*calls, choice, p->given);
	struct call call = {
		.choice = choice,
		.given = p->given,
		.index = usable ? p->given : next_index(*calls, choice),
		.id = p->id_hash,
		.name = p->name_hash,
	};

	if (n == CALLS_MAX)
		return NULL;
	if ((n & (n - 1)) == 0) { /* grows at powers of two */
		size_t room = n ? 2 * (size_t)n : 1;
		struct tool_calls *more =
			realloc(*calls, sizeof(**calls) + room * sizeof(struct call));

		if (!more)
			return NULL;
		*calls = more;
	}
	(*calls)->n = n + 1;
	(*calls)->call[n] = call;
	return &(*calls)->call[n];
}

static bool is_complete(const struct piece *p)
{
	return p->id_hash && p->name_hash && p->arguments.kind == JSON_STRING &&
	       json_str_is(p->type.raw, "function");
}

static bool is_right(
	struct tool_calls *calls, const struct tool_pieces *ps, const struct piece *p, bool *begins)
{
	const struct call *c = ps->whole ? NULL : find(calls, ps->choice, p);

	*begins = !c && !ps->whole;
	if (p->custom)
		return ps->whole || p->given >= 0;
	if (ps->whole)
		return is_complete(p);
	if (!c)
		return is_complete(p) && p->given >= 0 &&
		       !index_is_taken(calls, ps->choice, p->given);
	return p->given == c->index && !p->id.kind && !p->type.kind && !p->name.kind &&
	       (p->arguments.kind == JSON_STRING ||
		       (!p->arguments.kind && p->function.kind != JSON_NULL));
}

bool tool_calls_take(struct tool_calls **calls, const struct tool_pieces *ps, size_t *text_bytes)
{
	struct json_iter it;
	struct json_value element;
	struct slice none;
	bool right = true, begins = false, any = false;
	size_t n = 0;

	json_iter_init(&it, ps->array);
	for (; json_iter_next(&it, &none, &element); n++) {
		struct piece p = read_piece(element);

		right = right && element.kind == JSON_OBJECT && is_right(*calls, ps, &p, &begins);
		any |= begins;
		*text_bytes += json_str_bytes(p.name) + json_str_bytes(p.arguments);
	}
	/* Several at once that begin may be one another's continuation. */
	if (!right || (any && n > 1 && !ps->whole))
		return false;
	if (any) {
		struct piece p = read_piece(json_at(ps->array, 0));

		return add(calls, ps->choice, &p) != NULL;
	}
	return true;
}

/* ---- writing ---- */

static void write_id(
	const struct tool_pieces *ps, const struct piece *p, int64_t n, struct buf *out)
{
	uint64_t h = UINT64_C(0xcbf29ce484222325);

	if (p->id_hash) {
		buf_slice_append(out, p->id.raw);
		return;
	}
	for (const char *c = ps->id; *c; c++)
		h = (h ^ (unsigned char)*c) * UINT64_C(0x100000001b3);
	buf_printf(out, "\"call_%016" PRIx64 "_%u_%" PRId64 "\"", h, ps->choice, n);
}

static void write_function(const struct piece *p, bool name, struct buf *out)
{
	struct json_iter it;
	struct json_value v;
	struct slice key;

	buf_str(out, ",\"function\":{");
	if (name) {
		buf_str(out, "\"name\":");
		buf_slice_append(out, p->name_hash ? p->name.raw : SLICE("\"\""));
		buf_char(out, ',');
	}
	json_iter_init(&it, p->function);
	while (json_iter_next(&it, &key, &v)) {
		if (KEY_IS(key, "name") || KEY_IS(key, "arguments"))
			continue;
		buf_slice_append(out, key);
		buf_char(out, ':');
		buf_slice_append(out, v.raw);
		buf_char(out, ',');
	}
	buf_str(out, "\"arguments\":");
	if (p->arguments.kind == JSON_STRING)
		buf_slice_append(out, p->arguments.raw);
	else if (p->arguments.kind <= JSON_NULL)
		buf_str(out, "\"\"");
	else
		buf_json_str(out, p->arguments.raw);
	buf_char(out, '}');
}

/* Members that are neither index, id, type nor function: Google's signatures and the like. */
static void write_others(struct json_value element, bool custom, struct buf *out)
{
	struct json_iter it;
	struct json_value v;
	struct slice key;

	json_iter_init(&it, element);
	while (json_iter_next(&it, &key, &v)) {
		if (KEY_IS(key, "index") || (!custom && (KEY_IS(key, "id") || KEY_IS(key, "type") ||
								KEY_IS(key, "function"))))
			continue;
		buf_char(out, ',');
		buf_slice_append(out, key);
		buf_char(out, ':');
		buf_slice_append(out, v.raw);
	}
}

static bool write_piece(struct tool_calls **calls, const struct tool_pieces *ps,
	struct json_value element, int64_t at, struct buf *out)
{
	struct piece p = read_piece(element);
	struct call *c = ps->whole ? NULL : find(*calls, ps->choice, &p);
	bool begins = !c, name = begins;

	if (!ps->whole) {
		if (begins)
			c = add(calls, ps->choice, &p);
		if (!c)
			return false;
		at = c->index;
		name |= !c->name && p.name_hash;
		if (p.name_hash)
			c->name = p.name_hash;
		if (!c->id)
			c->id = p.id_hash;
	}
	buf_printf(out, "{\"index\":%" PRId64, at);
	if (p.custom) {
		write_others(element, true, out);
		buf_char(out, '}');
		return true;
	}
	if (begins) {
		buf_str(out, ",\"id\":");
		write_id(ps, &p, at, out);
		buf_str(out, ",\"type\":\"function\"");
	}
	if (begins || p.function.kind == JSON_OBJECT)
		write_function(&p, name, out);
	write_others(element, false, out);
	buf_char(out, '}');
	return true;
}

bool tool_calls_write(struct tool_calls **calls, const struct tool_pieces *ps, struct buf *out)
{
	struct json_iter it;
	struct json_value element;
	struct slice none;
	int64_t n = 0;

	buf_char(out, '[');
	json_iter_init(&it, ps->array);
	while (json_iter_next(&it, &none, &element)) {
		if (element.kind != JSON_OBJECT)
			continue;
		if (n)
			buf_char(out, ',');
		if (!write_piece(calls, ps, element, n++, out))
			return false;
	}
	buf_char(out, ']');
	return true;
}
