#include "gateway/route.h"

#include "gateway/catalog_data.h"
#include "gateway/model_name.h"
#include "gateway/near.h"
#include "gateway/selftest.h"

/* ---- filling the answer ---- */

/* Who serves it, under which name. */
struct found {
	const struct catalog_provider *p;
	const struct catalog_model *m; /* NULL = not in the catalogue */
	struct slice native;
	const struct catalog_same *same; /* p is neither its maker nor a router; else NULL */
};

/* Routers have many a model that was not looked up by its id. */
static bool takes_prefill(const struct catalog *c, const struct found *f)
{
	const struct catalog_model *m =
		f->m || !f->p->public_ids ? f->m : catalog_model_find(c, f->native);

	return m && m->prefill;
}

static enum err_code take(
	const struct catalog *c, struct route *r, const char *model, struct found f, struct err *e)
{
	const struct catalog_provider *p = f.p;
	bool fits = catalog_native_id(c, p, f.native, r->native_id);
	struct slice native = slice_of(r->native_id);

	r->provider = p;
	r->model = f.m;
	r->prices = f.same ? f.same->prices : f.m ? f.m->prices : NULL;
	/* Where ":free" is the provider's own word for it, it is free there, listed or not. */
	r->free = f.m ? f.m->free : p->public_ids && slice_ends(native, ":free");
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
		.max_output = f.m ? f.m->max_output : 0,
		.prefill = takes_prefill(c, &f),
		.native_id = r->native_id };
	if (!fits)
		return err_param(e, ERR_MODEL_NOT_FOUND, "model",
			"the model id is longer than %d bytes", MODEL_ID_MAX - 1);
	if (f.m && slice_is(native, f.m->native_id))
		r->target.native_id = f.m->native_id; /* lives longer than *r */
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

/* ---- what is not there ---- */

static enum err_code not_found(const struct catalog *c, struct slice written, struct err *e)
{
	struct near near = { .written = written };
	char list[NEAR_MAX * (MODEL_ID_MAX + 2) + 16] = "";

	for (size_t i = 0; i < c->model_count; i++) {
		const struct catalog_model *m = &c->models[i];

		if (!m->embedding && !m->hidden && catalog_model_server(c, m))
			near_offer(&near, m->id);
	}
	near_write(&near, list, sizeof(list));
	return err_param(e, ERR_MODEL_NOT_FOUND, "model",
		"there is no model \"%.*s\" here%s; GET /v1/models lists the models",
		(int)(written.len > 100 ? 100 : written.len), written.ptr, list);
}

/* A paid model must not stand in for the free one that was asked for. */
static enum err_code not_free(struct slice id, struct err *e)
{
	return err_param(e, ERR_MODEL_NOT_FOUND, "model",
		"there is no free \"%.*s\" here; leave :free away to pay for it",
		(int)(id.len > 100 ? 100 : id.len), id.ptr);
}

/* ---- names of a provider ---- */

/* "sonnet" of "anthropic/sonnet"; all of an id without an author. */
static struct slice without_author_of(struct slice id)
{
	const char *slash = memchr(id.ptr, '/', id.len);

	return slash ? slice_from(id, (size_t)(slash - id.ptr) + 1) : id;
}

static struct slice without_author(const char *id)
{
	return without_author_of(slice_of(id));
}

/* Is m called name by somebody? A name of the provider's own never leads to a free entry: the
 * paid one has the same. */
static bool is_called(const struct catalog_model *m, struct slice name)
{
	return slice_is_nocase(name, m->id) || slice_is_nocase(name, without_author(m->id).ptr) ||
	       (!m->free && slice_is_nocase(name, m->native_id));
}

/* The same but for a day at the end of one of the names. */
static bool is_called_but_for_a_day(const struct catalog_model *m, struct slice undated)
{
	struct slice native = model_name_undated(slice_of(m->native_id));
	struct slice id = model_name_undated(without_author(m->id));

	return !m->free &&
	       ((native.len == undated.len &&
			strncasecmp(native.ptr, undated.ptr, native.len) == 0) ||
		       (id.len == undated.len && strncasecmp(id.ptr, undated.ptr, id.len) == 0));
}

/* The catalogue's model of p that is called name there or here. */
static const struct catalog_model *model_of(
	const struct catalog *c, const struct catalog_provider *p, struct slice name)
{
	struct slice undated = model_name_undated(name);

	for (size_t i = 0; i < c->model_count; i++)
		if (c->models[i].provider == p && is_called(&c->models[i], name))
			return &c->models[i];
	for (size_t i = 0; i < c->model_count; i++)
		if (c->models[i].provider == p && is_called_but_for_a_day(&c->models[i], undated))
			return &c->models[i];
	return NULL;
}

/* What somebody else has that p has, too. */
static void take_same(const struct catalog *c, struct found *f, struct slice name)
{
	f->same = catalog_same_named(c, f->p, name);
	if (!f->same)
		return;
	f->m = f->same->model;
	if (slice_is_nocase(name, f->m->id))
		f->native = slice_of(f->same->native_id);
}

/* What p calls its own model m. Who names a day wants the model of that day. */
static struct slice native_of(const struct catalog_model *m, struct slice name)
{
	return model_name_undated(name).len < name.len ? name : slice_of(m->native_id);
}

static bool is_local(const struct catalog *c, const struct catalog_provider *p)
{
	return c->providers_more[p - c->providers].keyless;
}

/* A model by the name that p knows, or that we have for it. Variants mean something to routers;
 * to others the name goes without them. */
static enum err_code at_provider(const struct catalog *c, const char *model,
	const struct catalog_provider *p, struct slice name, struct route *r, struct err *e)
{
	struct found f = { p, model_of(c, p, name), name, NULL };
	struct slice base = name, variant;

	if (f.m) {
		f.native = native_of(f.m, name);
		return take(c, r, model, f, e);
	}
	take_same(c, &f, name);
	if (f.m)
		return take(c, r, model, f, e);
	variant = model_name_variant(c, &base);
	/* On the operator's own machine whatever is behind the colon may be a tag. */
	if (variant.len == 0 || is_local(c, p))
		return take(c, r, model, f, e);
	if (!model_name_is_free(variant))
		f.m = model_of(c, p, base);
	if (!p->public_ids) {
		if (model_name_is_free(variant))
			return not_free(base, e);
		f.native = f.m ? native_of(f.m, base) : base;
	}
	return take(c, r, model, f, e);
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

/* Has the name a ":tag" as local servers use them? */
static bool has_tag(struct slice name)
{
	slice_cut(&name, ':');
	return name.len > 0;
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
			(pattern->tag && !has_tag(name)) || !matches(pattern->match, name))
			continue;
		for (size_t k = 0; pattern->providers[k]; k++) {
			const struct catalog_provider *p = pattern->providers[k];

			if (p->configured)
				return p;
			/* That anybody's model may be at a router is no hint what to set. */
			if (!*first && !has_author)
				*first = p;
		}
	}
	return NULL;
}

/* ---- models of the catalogue ---- */

/* The router for a model whose author is a provider that is not configured. */
static const struct catalog_provider *router_of(const struct catalog *c)
{
	for (size_t i = 0; i < c->router_count; i++)
		if (c->routers[i]->configured)
			return c->routers[i];
	return NULL;
}

/* The catalogue's model m, asked for as id: without variant that is base. */
static enum err_code at_server(const struct catalog *c, const char *model,
	const struct catalog_model *m, struct slice id, struct slice base, struct route *r,
	struct err *e)
{
	struct found f = { catalog_model_server(c, m), m, id, NULL };

	if (id.len > base.len && model_name_is_free(slice_from(id, base.len))) {
		f.p = m->provider->public_ids && m->provider->configured ? m->provider
									 : router_of(c);
		f.m = NULL;
		return f.p ? take(c, r, model, f, e) : not_free(base, e);
	}
	if (!f.p)
		return unavailable(id, m->provider, e);
	if (f.p != m->provider && model_name_wants_day(m, base)) {
		f.p = router_of(c);
		if (!f.p)
			return unavailable(id, m->provider, e);
	}
	if (f.p != m->provider && !f.p->public_ids)
		take_same(c, &f, slice_of(m->id));
	else if (f.p == m->provider && slice_is_nocase(f.p->public_ids ? id : base, m->id))
		f.native = slice_of(m->native_id);
	else if (f.p == m->provider && !f.p->public_ids)
		f.native = native_of(m, without_author_of(base));
	return take(c, r, model, f, e);
}

/* "~author/family-latest": a router knows itself what that is. */
static enum err_code latest(
	const struct catalog *c, const char *model, struct slice id, struct route *r, struct err *e)
{
	const struct catalog_model *m = model_name_latest(c, slice_from(id, 1));
	struct found f = { m ? catalog_model_server(c, m) : router_of(c), m, id, NULL };

	if (!f.p)
		return m ? unavailable(id, m->provider, e) : not_found(c, id, e);
	if (m && f.p == m->provider)
		f.native = slice_of(m->native_id);
	else if (!f.p->public_ids)
		take_same(c, &f, slice_of(m->id));
	return take(c, r, model, f, e);
}

/* Something of a provider that the catalogue does not list, or a bare name. */
static enum err_code unlisted(const struct catalog *c, const char *model, struct slice id,
	struct slice base, struct route *r, struct err *e)
{
	struct slice rest = id, author = slice_cut(&rest, '/');
	const struct catalog_provider *p, *first = NULL;

	if (rest.len) {
		first = catalog_provider_find(c, author);
		/* "openrouter/auto" is a name of the router's own, "openrouter/a/b" is a/b there.
		 */
		if (first && first->configured) {
			r->named = true;
			return at_provider(c, model, first,
				first->takes_whole_id && !memchr(rest.ptr, '/', rest.len) ? id
											  : rest,
				r, e);
		}
		if (first && (first->public_ids || first->demo || strcmp(first->auth, "none") == 0))
			return unavailable(id, first, e);
		p = first ? router_of(c) : NULL;
		if (p)
			return take(c, r, model, (struct found){ p, NULL, id, NULL }, e);
	}
	p = base.len ? by_pattern(c, base, &first) : NULL;
	if (p)
		return at_provider(c, model, p, is_local(c, p) ? base : id, r, e);
	return first ? unavailable(id, first, e) : not_found(c, id, e);
}

/* Without the name by which a client calls the gateway. */
static struct slice without_client(struct slice id)
{
	return slice_starts_nocase(id, "kilocode/") ? slice_from(id, strlen("kilocode/")) : id;
}

static const struct catalog_model *model_meant(
	const struct catalog *c, struct slice id, struct slice *base)
{
	const struct catalog_model *m = catalog_model_find(c, id);

	*base = id;
	if (!m) {
		(void)model_name_variant(c, base);
		m = catalog_model_find(c, *base);
	}
	if (!m)
		m = selftest_find(c, id);
	return m || !base->len ? m : model_name_dated(c, *base);
}

const struct catalog_model *route_model(
	const struct catalog *c, struct slice id, struct slice *base)
{
	const struct catalog_model *m;

	id = without_client(slice_trim(id));
	if (slice_starts(id, "~")) {
		*base = id;
		m = model_name_latest(c, slice_from(id, 1));
	} else {
		m = model_meant(c, id, base);
	}
	return m && m->hidden ? NULL : m;
}

enum err_code route_find(const struct catalog *c, const char *model, struct route *r, struct err *e)
{
	struct slice id = without_client(slice_trim(slice_of(model))), base;
	const struct catalog_model *m;

	*r = (struct route){ 0 };
	if (slice_starts(id, "~"))
		return latest(c, model, id, r, e);
	m = model_meant(c, id, &base);
	/* A process that does not know of a self-test yet must not ask a router. */
	if (m ? m->hidden : slice_starts_nocase(id, SELFTEST_AUTHOR))
		return not_found(c, id, e);
	return m ? at_server(c, model, m, id, base, r, e) : unlisted(c, model, id, base, r, e);
}

enum err_code route_at(const struct catalog *c, const char *model, const struct catalog_provider *p,
	struct slice name, bool is_native, struct route *r, struct err *e)
{
	const struct catalog_model *m = catalog_model_find(c, name);
	struct slice rest = name, author = slice_cut(&rest, '/');

	*r = (struct route){ 0 };
	if (!p->provider)
		return unavailable(name, p, e);
	if (m && m->provider == p)
		return take(c, r, model, (struct found){ p, m, slice_of(m->native_id), NULL }, e);
	if (m && p->public_ids)
		return take(c, r, model, (struct found){ p, m, slice_of(m->id), NULL }, e);
	m = is_native ? model_of(c, p, name) : NULL;
	if (is_native)
		return take(c, r, model,
			(struct found){ p, m, m ? native_of(m, name) : name, NULL }, e);
	/* Nobody but routers knows a model by its author. */
	return at_provider(
		c, model, p, rest.len && catalog_provider_find(c, author) ? rest : name, r, e);
}

enum err_code route_by(const struct catalog *c, const char *model, struct route_way w,
	struct route *r, struct err *e)
{
	enum err_code rc =
		take(c, r, model, (struct found){ w.provider, w.model, w.native, NULL }, e);

	r->prices = w.prices;
	r->named = false;
	return rc;
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
