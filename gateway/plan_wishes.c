#include "gateway/equivalents.h"
#include "gateway/plan_inside.h"

struct pick {
	const struct plan_ask *ask;
	const struct wishes *w;
	const struct candidate *c;
};

/* ---- what routers promise for themselves ---- */

/* Does it look for somebody who honours this wish? param: "provider.max_price.audio". */
static bool passes_on(const struct catalog_provider *p, const char *param)
{
	const struct quirks *q = p->quirks;
	struct slice rest = slice_of(param), member;

	slice_cut(&rest, '.');
	member = slice_cut(&rest, '.');
	if (!q->is_router)
		return false;
	if (q->wants_options)
		return slice_is(member, "data_collection") || slice_is(member, "zdr") ||
		       slice_is(member, "order") || slice_is(member, "only");
	return !q->provider_members || quirks_has(q->provider_members, member);
}

/* ---- one wish, one candidate ---- */

static bool is_listed(const struct wish_slugs *list, const struct catalog_provider *p)
{
	for (size_t i = 0; i < list->count; i++)
		if (plan_is_called(p, list->slug[i]))
			return true;
	return false;
}

/* Routers are told the list, unless all it names are configured here. */
static bool in_only(const struct pick *k)
{
	const struct catalog_provider *p = k->c->route.provider, *named;

	if (!k->w->only.count || is_listed(&k->w->only, p))
		return true;
	for (size_t i = 0; p->quirks->is_router && i < k->w->only.count; i++) {
		named = catalog_provider_find(k->ask->catalog, k->w->only.slug[i]);
		if (!named || !named->configured)
			return true;
	}
	return false;
}

/* Whom a router ignores has to be told to it. */
static bool not_ignored(const struct pick *k)
{
	const struct catalog_provider *p = k->c->route.provider;

	return !is_listed(&k->w->ignore, p) &&
	       (!k->w->ignore.count || !p->quirks->is_router || passes_on(p, "provider.ignore"));
}

static bool not_collecting(const struct pick *k)
{
	const struct catalog_provider *p = k->c->route.provider;

	return !k->w->no_collection || !p->collects || passes_on(p, "provider.data_collection");
}

static bool keeping_nothing(const struct pick *k)
{
	const struct catalog_provider *p = k->c->route.provider;

	return !k->w->zdr || passes_on(p, "provider.zdr") ||
	       equivalents_are_local(k->ask->catalog, p);
}

static bool routing(const struct pick *k)
{
	return !k->w->for_routers || passes_on(k->c->route.provider, k->w->for_routers);
}

static bool able(const struct pick *k)
{
	const struct route *r = &k->c->route;
	struct quirks q;
	unsigned can = (k->w->tools ? CAN_TOOLS : 0u) | (k->w->images ? CAN_IMAGES : 0u);

	if (!k->w->require_parameters || passes_on(r->provider, "provider.require_parameters"))
		return true;
	quirks_for_model(r->target.quirks, r->target.native_id, &q);
	if (k->w->schema && q.formats != FORMATS_ALL && q.formats != FORMATS_OBJECT_SCHEMA)
		return false;
	return equivalents_can(r, can);
}

static bool exceeds(int64_t price, int64_t most)
{
	return most >= 0 && price > most;
}

/* A price that is not known may be too high. */
static bool affordable(const struct pick *k)
{
	const struct wishes *w = k->w;
	const struct cost_table *t = k->c->route.prices;

	if ((w->max_prompt_picousd < 0 && w->max_completion_picousd < 0 &&
		    w->max_request_picousd < 0 && w->max_image_picousd < 0) ||
		k->c->route.free || passes_on(k->c->route.provider, "provider.max_price"))
		return true;
	return t && !exceeds(t->base.prompt, w->max_prompt_picousd) &&
	       !exceeds(t->base.completion, w->max_completion_picousd) &&
	       !exceeds(t->request, w->max_request_picousd) &&
	       !exceeds(t->image, w->max_image_picousd);
}

/* ---- all of them ---- */

static void write_names(
	const struct candidate *at, const struct plan_mark *marks, size_t n, struct buf *out)
{
	const char *last = "";

	for (size_t i = 0; i < n; i++) {
		if (marks[i].dropped || strcmp(last, at[i].route.provider->slug) == 0)
			continue;
		buf_str(out, *last ? ", " : "");
		buf_str(out, at[i].route.provider->slug);
		last = at[i].route.provider->slug;
	}
}

static enum err_code nobody(const struct plan_ask *ask, const char *param, bool collects,
	struct slice names, struct err *e)
{
	return err_param(e, collects ? ERR_DATA_COLLECTION : ERR_BAD_REQUEST, param,
		"%s leaves no provider for %.100s: it is served by %.*s", param, ask->model,
		SLICE_ARG(names));
}

enum err_code plan_drop_unwished(const struct plan_ask *ask, const struct candidate *at,
	struct plan_mark *marks, size_t n, struct err *e)
{
	const struct wishes *w = ask->wishes;
	const struct {
		const char *param;
		bool (*holds)(const struct pick *k);
	} rows[] = { { "provider.only", in_only }, { "provider.ignore", not_ignored },
		{ "provider.data_collection", not_collecting }, { "provider.zdr", keeping_nothing },
		{ w->for_routers, routing }, { "provider.require_parameters", able },
		{ "provider.max_price", affordable } };
	struct buf names = { .max_bytes = 256 };
	enum err_code rc = ERR_OK;

	for (size_t row = 0; !rc && row < sizeof(rows) / sizeof(rows[0]); row++) {
		size_t left = 0;

		buf_reset(&names);
		write_names(at, marks, n, &names);
		for (size_t i = 0; i < n; i++) {
			const struct pick k = { ask, w, &at[i] };

			marks[i].dropped = marks[i].dropped || !rows[row].holds(&k);
			left += !marks[i].dropped;
		}
		if (!left)
			rc = nobody(ask, rows[row].param, rows[row].holds == not_collecting,
				buf_slice(&names), e);
	}
	buf_fini(&names);
	return rc;
}
