#include "gateway/equivalents.h"

#include "gateway/catalog_data.h"
#include "gateway/model_name.h"
#include "gateway/selftest.h"

/* ---- who has it ---- */

struct list {
	struct route_way *at;
	size_t n, most;
};

static void add(struct list *l, struct route_way w)
{
	for (size_t i = 0; i < l->n; i++)
		if (l->at[i].provider == w.provider)
			return;
	if (l->n < l->most)
		l->at[l->n++] = w;
}

/* What was found of the provider that is asked first is what was asked for. */
static void put(struct list *l, struct route_way w)
{
	for (size_t i = 0; i < l->n; i++)
		if (l->at[i].provider == w.provider)
			l->at[i] = w;
	add(l, w);
}

static struct route_way way_of(const struct route *r)
{
	return (struct route_way){ r->provider, r->model, slice_of(r->target.native_id),
		r->prices };
}

static struct slice without_client(struct slice id)
{
	id = slice_trim(id);
	return slice_starts_nocase(id, "kilocode/") ? slice_from(id, strlen("kilocode/")) : id;
}

static struct slice behind_author(struct slice id)
{
	const char *slash = memrchr(id.ptr, '/', id.len);

	return slash ? slice_from(id, (size_t)(slash - id.ptr) + 1) : id;
}

static void add_all(
	struct list *l, const struct catalog *c, const char *model, const struct catalog_model *m)
{
	const struct catalog_model_more *more = &c->models_more[m - c->models];
	struct slice id = without_client(slice_of(model)), base = id, name;
	/* To look up a name costs more than all the rest. */
	bool is_id = slice_is_nocase(id, m->id) ||
		     (memchr(id.ptr, '/', id.len) && route_model(c, id, &base) == m);
	bool one_day;

	name = behind_author(base);
	one_day = model_name_wants_day(m, name);
	if (m->provider->configured)
		add(l, (struct route_way){ m->provider, m, one_day ? name : slice_of(m->native_id),
			       m->prices });
	for (size_t i = 0; !one_day && i < more->same_count; i++) {
		const struct catalog_same *s = &c->same[more->same_first + i];

		if (s->provider->configured)
			add(l, (struct route_way){
				       s->provider, m, slice_of(s->native_id), s->prices });
	}
	/* A router knows variants, days and "latest" itself, behind the author's name. */
	for (size_t i = 0; (is_id || !one_day) && !selftest_has(c, m) && i < c->router_count; i++)
		if (c->routers[i]->configured)
			add(l, (struct route_way){
				       c->routers[i], m, is_id ? id : slice_of(m->id), m->prices });
}

/* Might there be anybody else? Most often there is not, and nothing has to be looked up. */
static bool is_alone(
	const struct catalog *c, const struct catalog_model *m, const struct catalog_provider *p)
{
	const struct catalog_model_more *more = &c->models_more[m - c->models];

	if (m->provider != p && m->provider->configured)
		return false;
	for (size_t i = 0; i < more->same_count; i++)
		if (c->same[more->same_first + i].provider != p &&
			c->same[more->same_first + i].provider->configured)
			return false;
	for (size_t i = 0; !selftest_has(c, m) && i < c->router_count; i++)
		if (c->routers[i] != p && c->routers[i]->configured)
			return false;
	return true;
}

/* ---- in which order ---- */

static const struct catalog_family *family_of(const struct catalog *c, struct slice id)
{
	for (size_t i = 0; i < c->family_count; i++)
		if (slice_starts_nocase(id, c->families[i].prefix))
			return &c->families[i];
	return NULL;
}

static void to_front(struct list *l, const struct catalog_provider *p)
{
	for (size_t i = 1; i < l->n; i++)
		if (l->at[i].provider == p) {
			struct route_way w = l->at[i];

			memmove(&l->at[1], &l->at[0], i * sizeof(w));
			l->at[0] = w;
		}
}

static void prefer(struct list *l, const struct catalog *c, const struct catalog_model *m)
{
	const struct catalog_family *f = family_of(c, slice_of(m->id));
	size_t n = 0;

	while (f && f->order && f->order[n])
		n++;
	/* From the last to the first: the first one ends up in front of all. */
	while (n-- > 0)
		to_front(l, f->order[n]);
}

size_t equivalents_of(const struct catalog *c, const char *model, const struct route *r,
	struct route_way *out, size_t most)
{
	struct list l = { out, 0, most };
	const struct catalog_model *m = r->model;
	struct slice base;

	/* What is behind the name of a router is an id of the catalogue, or its own. */
	if (!m && r->named && r->provider->public_ids) {
		model = r->target.native_id;
		m = route_model(c, slice_of(model), &base);
	}
	if (r->free || (m && (m->free || m->embedding)) ||
		equivalents_are_local(c, m ? m->provider : r->provider) ||
		(r->named && equivalents_are_local(c, r->provider))) {
		add(&l, way_of(r));
	} else if (m && !is_alone(c, m, r->provider)) {
		add_all(&l, c, model, m);
		put(&l, way_of(r));
		prefer(&l, c, m);
	} else {
		add(&l, way_of(r));
		for (size_t i = 0;
			!m && !r->named && r->provider->public_ids && i < c->router_count; i++)
			if (c->routers[i]->configured)
				add(&l, (struct route_way){ c->routers[i], NULL,
						slice_trim(slice_of(model)), NULL });
	}
	if (r->named)
		to_front(&l, r->provider);
	return l.n;
}

/* ---- what is known ---- */

const char *equivalents_hint(const struct catalog *c, struct slice id)
{
	const struct catalog_family *f = family_of(c, without_client(id));

	return f ? f->routers : NULL;
}

bool equivalents_are_local(const struct catalog *c, const struct catalog_provider *p)
{
	return c->providers_more[p - c->providers].keyless;
}

bool equivalents_can(const struct route *r, unsigned can)
{
	if ((r->target.provider->can & can) != can)
		return false;
	return !r->model || ((!(can & CAN_TOOLS) || r->model->takes_tools) &&
				    (!(can & CAN_IMAGES) || r->model->takes_images));
}
