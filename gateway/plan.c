#include "gateway/equivalents.h"
#include "gateway/plan_inside.h"

#include <stdlib.h>

/* A plan that is being made. */
struct making {
	const struct plan_ask *ask;
	struct candidate *at;
	size_t count, room;
	struct plan_mark marks[PLAN_MAX];
	bool is_free; /* the model asked for is: others cost nothing either, unless they were asked
		       * for, too */
};

static enum err_code no_memory(struct err *e)
{
	return err_set(e, ERR_NO_MEMORY, "no memory for the providers of the model");
}

const char *candidate_model(const struct candidate *c)
{
	return c->route.model ? c->route.model->id : c->route.target.native_id;
}

/* ---- candidates ---- */

/* What points into a candidate must point into its copy. */
static void copy(struct candidate *to, const struct candidate *from)
{
	*to = *from;
	if (from->route.target.native_id == from->route.native_id)
		to->route.target.native_id = to->route.native_id;
	if (from->route.target.public_id == from->public_id)
		to->route.target.public_id = to->public_id;
}

/* Makes room for n more; those beyond PLAN_MAX are cut off *n. The old place stays until it is
 * freed, since ids may be lent from it. */
static enum err_code make_room(struct making *m, size_t *n, struct candidate **old, struct err *e)
{
	struct candidate *at;

	*old = NULL;
	if (*n > PLAN_MAX - m->count)
		*n = PLAN_MAX - m->count;
	if (m->count + *n <= m->room)
		return ERR_OK;
	at = malloc((m->count + *n) * sizeof(*at));
	if (!at)
		return no_memory(e);
	for (size_t i = 0; i < m->count; i++)
		copy(&at[i], &m->at[i]);
	m->room = m->count + *n;
	*old = m->at;
	m->at = at;
	return ERR_OK;
}

static bool is_there(const struct making *m, const struct route *r)
{
	for (size_t i = 0; i < m->count; i++)
		if (m->at[i].route.provider == r->provider &&
			strcmp(m->at[i].route.target.native_id, r->target.native_id) == 0)
			return true;
	return false;
}

static void take(struct making *m, unsigned link, const char *model)
{
	struct candidate *c = &m->at[m->count];

	c->link = link;
	c->wait_ms = 0;
	c->public_id[0] = '\0';
	if (link) {
		str_copy_cut(c->public_id, sizeof(c->public_id), model);
		c->route.target.public_id = c->public_id;
	}
	c->health = health_name(slice_of(c->route.target.slug), slice_of(candidate_model(c)));
	if (c->route.target.quirks->is_router && !(m->ask->wishes && m->ask->wishes->order.count))
		c->route.target.prefers = equivalents_hint(
			m->ask->catalog, slice_of(c->route.model ? c->route.model->id : model));
	m->count++;
}

static void take_route(struct candidate *c, const struct route *r)
{
	if (&c->route == r)
		return;
	c->route = *r;
	if (r->target.native_id == r->native_id)
		c->route.target.native_id = c->route.native_id;
}

/* Adds all who serve a model. What cannot be written to a provider is passed over. */
static enum err_code add_model(struct making *m, const struct route *first, unsigned link,
	const char *model, struct err *e)
{
	struct route_way ways[PLAN_MAX];
	struct candidate *old;
	size_t n = equivalents_of(m->ask->catalog, model, first, ways, PLAN_MAX);
	enum err_code rc = make_room(m, &n, &old, e);

	for (size_t i = 0; !rc && i < n; i++) {
		struct candidate *c = &m->at[m->count];

		if (ways[i].provider == first->provider)
			take_route(c, first);
		else if (route_by(m->ask->catalog, model, ways[i], &c->route, NULL))
			continue;
		if (!is_there(m, &c->route))
			take(m, link, model);
	}
	free(old);
	return rc;
}

/* A fallback; one that is not there is passed over. */
static enum err_code add_link(
	struct making *m, unsigned link, struct slice id, bool is_asked_for, struct err *e)
{
	char model[MODEL_ID_MAX];
	struct route first;

	if (!slice_copy(id, model, sizeof(model)) ||
		route_find(m->ask->catalog, model, &first, NULL) ||
		(m->is_free && !first.free && !is_asked_for))
		return ERR_OK;
	return add_model(m, &first, link, model, e);
}

static enum err_code add_links(struct making *m, const struct catalog_model *asked, struct err *e)
{
	const struct wishes *w = m->ask->wishes;
	const struct plan_chain *chain = NULL;
	enum err_code rc = ERR_OK;

	if (w && w->any && w->model_count) {
		for (size_t i = 0; !rc && i < w->model_count; i++)
			rc = add_link(m, (unsigned)i + 1, w->models[i], true, e);
		return rc;
	}
	/* Who wants no other provider wants no other model. */
	if (m->ask->conf->chain_count && !(w && w->any && w->no_fallbacks))
		chain = plan_conf_chain(m->ask->conf, slice_of(m->ask->model), asked);
	for (size_t i = 0; !rc && chain && i < chain->count; i++)
		rc = add_link(m, (unsigned)i + 1, chain->models[i], false, e);
	return rc;
}

static enum err_code add_all(struct making *m, struct err *e)
{
	const struct plan_ask *ask = m->ask;
	const struct catalog_model *model;
	struct route *first;
	struct slice base;
	enum err_code found, rc = ERR_OK;

	/* Most often it is the only one, and stays where it is found. */
	m->at = malloc(sizeof(*m->at));
	if (!m->at)
		return no_memory(e);
	m->room = 1;
	first = &m->at->route;
	found = route_find(ask->catalog, ask->model, first, e);
	if (!found) {
		m->is_free = first->free;
		model = first->model;
		rc = add_model(m, first, 0, ask->model, e);
	} else {
		model = route_model(ask->catalog, slice_of(ask->model), &base);
		m->is_free = (model && model->free) || slice_ends(slice_of(ask->model), ":free");
	}
	if (!rc)
		rc = add_links(m, model, e);
	return rc || m->count ? rc : found;
}

/* ---- who is left of them ---- */

static enum err_code drop_drained(struct making *m, struct err *e)
{
	const char *slug = NULL;
	size_t left = 0;

	for (size_t i = 0; i < m->count; i++) {
		if (m->marks[i].dropped)
			continue;
		m->marks[i].dropped = m->at[i].route.provider->drained;
		left += !m->marks[i].dropped;
		if (!slug && m->marks[i].dropped)
			slug = m->at[i].route.provider->slug;
	}
	if (left)
		return ERR_OK;
	return err_param(e, ERR_MODEL_UNAVAILABLE, "model",
		"%.100s is served by %s, which the operator has taken out of rotation; `tollgate "
		"providers resume %s` brings it back",
		m->ask->model, slug, slug);
}

/* The first refusal counts when all are refused. */
static enum err_code drop_refused(struct making *m, struct err *e)
{
	enum err_code first = ERR_OK;
	size_t left = 0;
	struct err why;

	for (size_t i = 0; m->ask->may && i < m->count; i++) {
		enum err_code rc;

		if (m->marks[i].dropped)
			continue;
		rc = m->ask->may(m->ask->ctx, &m->at[i].route, &why);
		m->marks[i].dropped = rc != ERR_OK;
		left += !rc;
		if (rc && !first) {
			first = rc;
			if (e)
				*e = why;
		}
	}
	return left || !m->ask->may ? ERR_OK : first;
}

static void look(struct making *m)
{
	const struct plan_ask *ask = m->ask;

	for (size_t i = 0; i < m->count; i++) {
		m->marks[i].look = ask->health ? health_look(ask->health, m->at[i].health,
							 ask->health_conf, ask->now_ms)
					       : (struct health_look){ .wait_ms = 0 };
		m->at[i].wait_ms = m->marks[i].look.wait_ms;
	}
}

/* ---- the plan ---- */

static enum err_code put_in_order(struct making *m, struct plan *out, struct err *e)
{
	uint8_t order[PLAN_MAX];
	bool one = m->count == 1 && !(m->ask->wishes && m->ask->wishes->no_fallbacks);
	size_t n = one ? 1 : plan_order(m->ask, m->at, m->marks, m->count, order);
	struct candidate *at;

	if (one) {
		*out = (struct plan){ m->at, 1 };
		m->at = NULL;
		return ERR_OK;
	}
	if (!n)
		return err_param(e, ERR_BAD_REQUEST, "provider.order",
			"provider.order names nobody who serves %s, and allow_fallbacks is false",
			m->ask->model);
	at = malloc(n * sizeof(*at));
	if (!at)
		return no_memory(e);
	for (size_t i = 0; i < n; i++)
		copy(&at[i], &m->at[order[i]]);
	*out = (struct plan){ at, n };
	return ERR_OK;
}

enum err_code plan_make(const struct plan_ask *ask, struct plan *out, struct err *e)
{
	struct making m;
	enum err_code rc;

	*out = (struct plan){ NULL, 0 };
	m.ask = ask;
	m.at = NULL;
	m.count = m.room = 0;
	m.is_free = false;
	rc = add_all(&m, e);
	for (size_t i = 0; i < m.count; i++)
		m.marks[i].dropped = false;
	if (!rc && ask->wishes && ask->wishes->any)
		rc = plan_drop_unwished(ask, m.at, m.marks, m.count, e);
	if (!rc)
		rc = drop_drained(&m, e);
	if (!rc)
		rc = drop_refused(&m, e);
	if (!rc) {
		look(&m);
		rc = put_in_order(&m, out, e);
	}
	free(m.at);
	return rc;
}

void plan_fini(struct plan *p)
{
	free(p->at);
	*p = (struct plan){ NULL, 0 };
}

void plan_move(struct plan *p, size_t from, size_t to)
{
	if (from != to)
		copy(&p->at[to], &p->at[from]);
}
