#include "gateway/auto_models.h"

#include "gateway/catalog_data.h"
#include "gateway/chat.h"
#include "gateway/route.h"

/* ---- finding ---- */

const struct auto_model *auto_models_find(const struct catalog *c, struct slice id)
{
	id = slice_trim(id);
	if (slice_starts_nocase(id, "kilocode/"))
		id = slice_from(id, strlen("kilocode/"));
	for (size_t i = 0; i < c->auto_count; i++) {
		const struct auto_model *a = &c->autos[i];

		if (slice_is_nocase(id, a->id))
			return a;
		for (const char *const *name = a->aliases; name && *name; name++)
			if (slice_is_nocase(id, *name))
				return a;
	}
	return NULL;
}

bool auto_models_is_served(const struct auto_model *a)
{
	for (size_t i = 0; i < a->rule_count; i++)
		if (a->rules[i].served_count)
			return true;
	return false;
}

/* ---- the mode ---- */

static bool has_mode(const struct auto_rule *r, struct slice mode)
{
	for (size_t i = 0; i < r->mode_count; i++)
		if (slice_is_nocase(mode, r->modes[i]))
			return true;
	return false;
}

/* One that a group or any rule names. */
static bool is_known(const struct catalog *c, struct slice mode)
{
	for (size_t i = 0; i < c->auto_group_count; i++)
		for (const char *const *m = c->auto_groups[i].modes; *m; m++)
			if (slice_is_nocase(mode, *m))
				return true;
	for (size_t i = 0; i < c->auto_count; i++)
		for (size_t k = 0; k < c->autos[i].rule_count; k++)
			if (has_mode(&c->autos[i].rules[k], mode))
				return true;
	return false;
}

/* A mode that nobody knows is none; then the feature may stand for one. */
static struct slice mode_of(const struct catalog *c, const struct auto_ask *ask)
{
	struct slice mode = slice_trim(ask->mode), feature = slice_trim(ask->feature);

	if (mode.len && is_known(c, mode))
		return mode;
	for (size_t i = 0; i < c->auto_feature_count; i++)
		if (slice_is_nocase(feature, c->auto_features[i].name))
			return slice_of(c->auto_features[i].mode);
	return SLICE("");
}

/* ---- choosing ---- */

static enum err_code find_rule(const struct auto_model *a, struct slice mode,
	const struct auto_ask *ask, const struct auto_rule **out, struct err *e)
{
	bool is_asked = false, has_balance = false;
	const struct auto_rule *r = a->rules;
	enum err_code rc;

	/* The last one has no conditions. */
	for (; r < a->rules + a->rule_count - 1; r++) {
		if (r->mode_count && !has_mode(r, mode))
			continue;
		if (r->needs_balance && !is_asked) {
			rc = ask->has_balance(ask->ctx, &has_balance, e);
			if (rc)
				return rc;
			is_asked = true;
		}
		if (!r->needs_balance || has_balance)
			break;
	}
	*out = r;
	return ERR_OK;
}

/* Says what to set, for the first model that can be had by setting something. */
static enum err_code unavailable(const struct catalog *c, const struct auto_model *a,
	const struct auto_rule *r, struct err *e)
{
	struct err why = { 0 }, first = { 0 };
	struct route route;

	for (size_t i = 0; i < r->model_count && why.code != ERR_MODEL_UNAVAILABLE; i++) {
		(void)!route_find(c, r->models[i], &route, &why);
		if (!i)
			first = why;
	}
	return err_param(e, ERR_MODEL_UNAVAILABLE, "model",
		"none of the models that %s stands for is served here: %s", a->id,
		why.code == ERR_MODEL_UNAVAILABLE ? why.message : first.message);
}

enum err_code auto_models_choose(const struct catalog *c, const char *model,
	const struct auto_ask *ask, struct auto_choice *out, struct err *e)
{
	const struct auto_model *a = auto_models_find(c, slice_of(model));
	const struct auto_rule *r;
	enum err_code rc;

	*out = (struct auto_choice){ .id = a ? a->id : NULL };
	if (!a)
		return ERR_OK;
	rc = find_rule(a, mode_of(c, ask), ask, &r, e);
	if (rc)
		return rc;
	out->reasoning = r->reasoning;
	out->verbosity = r->verbosity;
	out->chain = r->served;
	out->chain_count = r->served_count;
	for (size_t i = 0; i < r->model_count && !out->model; i++) {
		if (r->served_count && r->models[i] == r->served[0]) {
			out->chain++;
			out->chain_count--;
			out->model = r->models[i];
		} else if (ask->has_key(ask->ctx, r->models[i])) {
			out->model = r->models[i];
		}
	}
	if (out->chain_count > AUTO_CHAIN_MAX)
		out->chain_count = AUTO_CHAIN_MAX;
	return out->model ? ERR_OK : unavailable(c, a, r, e);
}

/* ---- the request ---- */

#define ROOM_BYTES ((size_t)64 << 10) /* for what is put in: a data file's own values */

/* Where the members stand that give way, from the quote of the name to the end of the value. */
struct places {
	struct slice model, reasoning, verbosity;
	struct slice effort; /* with the comma that parts it from its neighbour */
};

static struct places find_places(struct slice body)
{
	struct places at = { .effort = { 0 } };
	struct slice key, before = { 0 };
	struct json_value v;
	struct json_iter it;

	json_iter_init(&it, (struct json_value){ JSON_OBJECT, body });
	while (json_iter_next(&it, &key, &v)) {
		const char *end = v.raw.ptr + v.raw.len;
		struct slice whole = { key.ptr, (size_t)(end - key.ptr) };

		/* The first of all members takes the comma behind it. */
		if (at.effort.ptr && at.effort.ptr == before.ptr)
			at.effort.len = (size_t)(key.ptr - before.ptr);
		if (json_str_is(key, "model"))
			at.model = whole;
		else if (json_str_is(key, "reasoning"))
			at.reasoning = whole;
		else if (json_str_is(key, "verbosity"))
			at.verbosity = whole;
		else if (json_str_is(key, "reasoning_effort") && !before.ptr)
			at.effort = whole;
		else if (json_str_is(key, "reasoning_effort"))
			at.effort = (struct slice){ before.ptr + before.len,
				(size_t)(end - before.ptr) - before.len };
		before = whole;
	}
	return at;
}

/* Replaces the member, or appends it to what is being put in place of another. */
static void put(struct splice *s, struct slice where, const char *name, struct slice value)
{
	size_t from = s->text.len;

	if (!value.len)
		return;
	if (!where.ptr)
		buf_char(&s->text, ',');
	buf_json_cstr(&s->text, name);
	buf_char(&s->text, ':');
	buf_slice_append(&s->text, value);
	if (where.ptr)
		splice_put(s, where, from);
}

static void put_model(struct splice *s, const struct places *at, const struct auto_choice *choice)
{
	size_t from = s->text.len;

	buf_str(&s->text, "\"model\":");
	buf_json_cstr(&s->text, choice->model);
	if (!at->reasoning.ptr)
		put(s, at->reasoning, "reasoning", choice->reasoning);
	if (!at->verbosity.ptr)
		put(s, at->verbosity, "verbosity", choice->verbosity);
	splice_put(s, at->model, from);
}

enum err_code auto_models_apply(const struct auto_choice *choice, const struct chat_req *req,
	struct buf *body, struct chat_req *fresh, struct err *e)
{
	/* The client has kept its limits; what is put in must not fail for them. */
	static const struct json_limits limits = { .max_depth = 1000, .max_keys = 1000000 };
	struct places at = find_places(req->body);
	struct splice edits = { 0 };

	splice_reset(&edits, ROOM_BYTES);
	put_model(&edits, &at, choice);
	if (at.reasoning.ptr)
		put(&edits, at.reasoning, "reasoning", choice->reasoning);
	if (at.verbosity.ptr)
		put(&edits, at.verbosity, "verbosity", choice->verbosity);
	if (at.effort.ptr && choice->reasoning.len)
		splice_str(&edits, at.effort, "");
	body->max_bytes = req->body.len + ROOM_BYTES;
	splice_write(&edits, req->body, body);
	splice_fini(&edits);
	if (!buf_ok(body))
		return err_set(e, ERR_NO_MEMORY, "no memory for the request");
	return chat_parse(buf_slice(body), &limits, fresh, e);
}
