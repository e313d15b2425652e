#include "gateway/route.h"

#include "gateway/catalog_data.h"

#include <stdio.h>

#define NEAR_MAX   3  /* ids in a message */
#define NEAR_BYTES 64 /* of an id that are compared: bounds the work per model */

/* ---- filling the answer ---- */

static enum err_code take(struct route *r, const char *model, const struct catalog_provider *p,
	const struct catalog_model *m, struct slice native, struct err *e)
{
	r->provider = p;
	r->model = m;
	/* Where ":free" is the provider's own word for it, it is free there, listed or not. */
	r->free = m ? m->free : p->public_ids && slice_ends(native, ":free");
	r->target = (struct target){ .provider = p->provider,
		.quirks = p->quirks,
		.slug = p->slug,
		.base_url = p->base_url,
		.chat_path = p->chat_path,
		.auth = p->auth,
		.api_key = p->api_key,
		.sigv4 = p->sigv4,
		.account_file = p->account_file,
		.public_id = model,
		.native_id = r->native_id };
	if (m && m->provider == p) {
		r->target.native_id = m->native_id;
		return ERR_OK;
	}
	if (!slice_copy(native, r->native_id, sizeof(r->native_id)))
		return err_param(e, ERR_MODEL_NOT_FOUND, "model",
			"the model id is longer than %d bytes", MODEL_ID_MAX - 1);
	return ERR_OK;
}

static enum err_code unavailable(struct slice id, const struct catalog_provider *p, struct err *e)
{
	char variable[CATALOG_VARIABLE_MAX];

	if (p->demo)
		return err_param(e, ERR_MODEL_UNAVAILABLE, "model",
			"the demonstration is switched off, and %.*s with it; set GATEWAY_DEMO=1 "
			"to "
			"use it",
			SLICE_ARG(id));
	if (!p->provider)
		return err_param(e, ERR_MODEL_UNAVAILABLE, "model",
			"%.*s belongs to %s, whose dialect \"%s\" this gateway does not speak",
			SLICE_ARG(id), p->slug, p->dialect);
	catalog_variable(p->slug, "_BASE_URL", variable);
	return err_param(e, ERR_MODEL_UNAVAILABLE, "model",
		"%.*s is served by %s, which is not configured here; the operator sets %s",
		SLICE_ARG(id), p->name, strcmp(p->auth, "none") == 0 ? variable : p->key_names);
}

/* ---- names of a provider ---- */

/* "sonnet" of "anthropic/sonnet"; all of an id without an author. */
static struct slice without_author(const char *id)
{
	const char *slash = strchr(id, '/');

	return slice_of(slash ? slash + 1 : id);
}

/* The catalogue's model of p that is called name there or here. A name of the provider's own
 * never leads to a free entry: the paid one has the same. */
static const struct catalog_model *model_of(
	const struct catalog *c, const struct catalog_provider *p, struct slice name)
{
	for (size_t i = 0; i < c->model_count; i++) {
		const struct catalog_model *m = &c->models[i];

		if (m->provider == p && (slice_is_nocase(name, m->id) ||
						slice_is_nocase(name, without_author(m->id).ptr) ||
						(!m->free && slice_is_nocase(name, m->native_id))))
			return m;
	}
	return NULL;
}

static enum err_code at_provider(const struct catalog *c, const char *model,
	const struct catalog_provider *p, struct slice name, struct route *r, struct err *e)
{
	return take(r, model, p, model_of(c, p, name), name, e);
}

/* ---- patterns ---- */

static char lower(char ch)
{
	return ch >= 'A' && ch <= 'Z' ? (char)(ch - 'A' + 'a') : ch;
}

static bool is_digit(char ch)
{
	return ch >= '0' && ch <= '9';
}

/* '*' stands for any text and is tried once more for each byte; patterns have at most two. */
static bool matches(const char *pattern, struct slice s)
{
	for (; *pattern; pattern++) {
		if (*pattern == '*') {
			if (!pattern[1])
				return true;
			for (; s.len; s = slice_from(s, 1))
				if (matches(pattern + 1, s))
					return true;
			return false;
		}
		if (s.len == 0)
			return false;
		if (*pattern == '#') {
			if (!is_digit(s.ptr[0]))
				return false;
			while (s.len && is_digit(s.ptr[0]))
				s = slice_from(s, 1);
			continue;
		}
		if (lower(*pattern) != lower(s.ptr[0]))
			return false;
		s = slice_from(s, 1);
	}
	return s.len == 0;
}

/* Has the name a ":tag" as local servers use them, not a suffix that belongs to a router? */
static bool has_tag(const struct catalog *c, struct slice name)
{
	struct slice tag = name;

	slice_cut(&tag, ':');
	if (tag.len == 0)
		return false;
	for (size_t i = 0; i < json_object_array_length(c->router_suffixes); i++)
		if (slice_is_nocase(tag, json_object_get_string(
						 json_object_array_get_idx(c->router_suffixes, i))))
			return false;
	return true;
}

/* The first configured provider of the first pattern that fits. A name with an author is only
 * compared with patterns that have one. *first becomes the provider to name in an error. */
static const struct catalog_provider *by_pattern(
	const struct catalog *c, struct slice name, const struct catalog_provider **first)
{
	bool has_author = memchr(name.ptr, '/', name.len);

	for (size_t i = 0; i < c->pattern_count; i++) {
		const struct catalog_pattern *pattern = &c->patterns[i];

		if (has_author != (strchr(pattern->match, '/') != NULL) ||
			(pattern->tag && !has_tag(c, name)) || !matches(pattern->match, name))
			continue;
		for (size_t k = 0; k < json_object_array_length(pattern->providers); k++) {
			const char *slug = json_object_get_string(
				json_object_array_get_idx(pattern->providers, k));
			const struct catalog_provider *p = catalog_provider_find(c, slice_of(slug));

			if (p->configured)
				return p;
			/* That anybody's model may be at a router is no hint what to set. */
			if (!*first && !has_author)
				*first = p;
		}
	}
	return NULL;
}

/* ---- near ids ---- */

/* Levenshtein's distance over the first NEAR_BYTES of both, without regard to case. */
static unsigned distance(struct slice a, struct slice b)
{
	unsigned row[NEAR_BYTES + 1];

	a = slice_first(a, NEAR_BYTES);
	b = slice_first(b, NEAR_BYTES);
	for (unsigned k = 0; k <= b.len; k++)
		row[k] = k;
	for (unsigned i = 0; i < a.len; i++) {
		unsigned diagonal = row[0];

		row[0] = i + 1;
		for (unsigned k = 0; k < b.len; k++) {
			unsigned same = diagonal + (lower(a.ptr[i]) != lower(b.ptr[k]));

			diagonal = row[k + 1];
			if (row[k] < row[k + 1])
				row[k + 1] = row[k];
			row[k + 1]++;
			if (same < row[k + 1])
				row[k + 1] = same;
		}
	}
	return row[b.len];
}

/* How far an id of the catalogue is from what was written: with or without its author, and
 * very near when what was written is its beginning. */
static unsigned farness(struct slice written, const char *id)
{
	struct slice bare = without_author(id);
	unsigned far = distance(written, slice_of(id)), other = distance(written, bare);

	if (written.len >= 3 && bare.len > written.len &&
		distance(written, slice_first(bare, written.len)) == 0)
		return 1;
	return other < far ? other : far;
}

static enum err_code not_found(const struct catalog *c, struct slice written, struct err *e)
{
	const char *near[NEAR_MAX] = { NULL };
	unsigned far[NEAR_MAX] = { 0 };
	unsigned limit = (unsigned)(written.len < 96 ? written.len / 3 + 1 : 32);
	char list[NEAR_MAX * (MODEL_ID_MAX + 2) + 1] = "";
	size_t used = 0;

	for (size_t i = 0; i < c->model_count; i++) {
		const struct catalog_model *m = &c->models[i];
		unsigned d = m->embedding ? limit + 1 : farness(written, m->id);

		if (d > limit || !catalog_model_server(c, m))
			continue;
		for (size_t k = 0; k < NEAR_MAX; k++) {
			if (near[k] && far[k] <= d)
				continue;
			memmove(&near[k + 1], &near[k], (NEAR_MAX - 1 - k) * sizeof(near[0]));
			memmove(&far[k + 1], &far[k], (NEAR_MAX - 1 - k) * sizeof(far[0]));
			near[k] = m->id;
			far[k] = d;
			break;
		}
	}
	for (size_t k = 0; k < NEAR_MAX && near[k]; k++)
		used += (size_t)snprintf(
			list + used, sizeof(list) - used, "%s%s", k ? ", " : "", near[k]);
	return err_param(e, ERR_MODEL_NOT_FOUND, "model",
		"there is no model \"%.*s\" here%s%s; GET /v1/models lists the models",
		(int)(written.len > 100 ? 100 : written.len), written.ptr,
		near[0] ? "; near it: " : "", list);
}

/* ---- */

/* The router for a model whose author is a provider that is not configured. */
static const struct catalog_provider *router_of(const struct catalog *c)
{
	for (size_t i = 0; i < c->provider_count; i++)
		if (c->providers[i].public_ids && c->providers[i].configured)
			return &c->providers[i];
	return NULL;
}

enum err_code route_find(const struct catalog *c, const char *model, struct route *r, struct err *e)
{
	struct slice id = slice_trim(slice_of(model)), rest, author;
	const struct catalog_provider *p, *first = NULL;
	const struct catalog_model *m;

	*r = (struct route){ 0 };
	if (slice_starts_nocase(id, "kilocode/"))
		id = slice_from(id, strlen("kilocode/"));
	m = catalog_model_find(c, id);
	if (m) {
		p = catalog_model_server(c, m);
		return p ? take(r, model, p, m, slice_of(m->id), e)
			 : unavailable(id, m->provider, e);
	}
	rest = id;
	author = slice_cut(&rest, '/');
	if (rest.len) {
		first = catalog_provider_find(c, author);
		/* "openrouter/auto" is a name of the router's own, "openrouter/a/b" is a/b there.
		 */
		if (first && first->configured)
			return at_provider(c, model, first,
				first->takes_whole_id && !memchr(rest.ptr, '/', rest.len) ? id
											  : rest,
				r, e);
		if (first && (first->public_ids || first->demo || strcmp(first->auth, "none") == 0))
			return unavailable(id, first, e);
		p = first ? router_of(c) : NULL;
		if (p)
			return take(r, model, p, NULL, id, e);
	}
	p = id.len ? by_pattern(c, id, &first) : NULL;
	if (p)
		return at_provider(c, model, p, id, r, e);
	return first ? unavailable(id, first, e) : not_found(c, id, e);
}

enum err_code route_at(const struct catalog *c, const char *model, const struct catalog_provider *p,
	struct slice name, bool is_native, struct route *r, struct err *e)
{
	const struct catalog_model *m = catalog_model_find(c, name);
	struct slice rest = name, author = slice_cut(&rest, '/');

	*r = (struct route){ 0 };
	if (!p->provider)
		return unavailable(name, p, e);
	if (m && (m->provider == p || p->public_ids))
		return take(r, model, p, m, slice_of(m->id), e);
	if (is_native)
		return take(r, model, p, model_of(c, p, name), name, e);
	/* Nobody but routers knows a model by its author. */
	return at_provider(
		c, model, p, rest.len && catalog_provider_find(c, author) ? rest : name, r, e);
}

const struct catalog_provider *route_maker(const struct catalog *c, struct slice id)
{
	const struct catalog_model *m = catalog_model_find(c, id);
	struct slice rest = id, author = slice_cut(&rest, '/');
	const struct catalog_provider *p, *first = NULL;

	if (m)
		return m->provider;
	if (rest.len)
		return catalog_provider_find(c, author);
	p = by_pattern(c, id, &first);
	return p ? p : first;
}
