/* What a refresh would change: see prices.h. */
#include "gateway/prices.h"

#include "gateway/model_name.h"

#include <stdio.h>
#include <stdlib.h>

static enum err_code no_memory(struct err *e)
{
	return err_set(e, ERR_NO_MEMORY, "no memory for the lists of models");
}

static bool fold(const char *id, char out[MODEL_ID_MAX])
{
	if (!slice_copy(slice_of(id), out, MODEL_ID_MAX))
		return false;
	for (char *ch = out; *ch; ch++)
		if (*ch >= 'A' && *ch <= 'Z')
			*ch = (char)(*ch - 'A' + 'a');
	return true;
}

static struct json_object *kept(struct json_object *by_id, const char *id)
{
	struct json_object *v = NULL;
	char key[MODEL_ID_MAX];

	if (fold(id, key))
		json_object_object_get_ex(by_id, key, &v);
	return v;
}

/* Takes the value. */
static void keep(struct json_object *by_id, const char *id, struct json_object *value)
{
	char key[MODEL_ID_MAX];

	if (fold(id, key))
		json_object_object_add(by_id, key, value);
	else
		json_object_put(value);
}

static void forget(struct json_object *by_id, const char *id)
{
	char key[MODEL_ID_MAX];

	if (fold(id, key))
		json_object_object_del(by_id, key);
}

static const char *source_of(const struct prices_plan *plan, const struct catalog_model *m)
{
	return plan->base->models_more[m - plan->base->models].source;
}

enum err_code prices_plan_init(
	struct prices_plan *plan, const struct catalog *base, const char *day, struct err *e)
{
	*plan = (struct prices_plan){ .base = base,
		.day = day,
		.models = json_object_new_object(),
		.gone = json_object_new_object(),
		.was = json_object_new_array() };
	if (!plan->models || !plan->gone || !plan->was)
		return no_memory(e);
	for (size_t i = 0; i < base->model_count; i++) {
		const struct catalog_model *m = &base->models[i];

		if (source_of(plan, m)[0]) {
			struct json_object *row = prices_row(base, m);

			if (!row)
				return no_memory(e);
			keep(plan->models, m->id, row);
		}
		if (m->gone)
			keep(plan->gone, m->id, json_object_new_string(m->id));
	}
	return ERR_OK;
}

void prices_plan_fini(struct prices_plan *plan)
{
	json_object_put(plan->models);
	json_object_put(plan->gone);
	json_object_put(plan->was);
	free(plan->changes);
	*plan = (struct prices_plan){ 0 };
}

static enum err_code note(struct prices_plan *plan, struct prices_change change, struct err *e)
{
	if (plan->count == plan->room) {
		size_t room = plan->room ? 2 * plan->room : 64;
		struct prices_change *more = realloc(plan->changes, room * sizeof(*more));

		if (!more)
			return no_memory(e);
		plan->changes = more;
		plan->room = room;
	}
	/* A row that leaves the plan is still shown. */
	if (change.was)
		json_object_array_add(plan->was, json_object_get(change.was));
	plan->changes[plan->count++] = change;
	return ERR_OK;
}

/* ---- a model that is known ---- */

static const char *const facts[] = { "context_length", "max_output", NULL };

/* The row with the prices of the list, and of its own provider the facts too. */
static struct json_object *updated(const struct prices_plan *plan, struct json_object *row,
	struct json_object *offer, const struct catalog_provider *p, bool is_own)
{
	struct json_object *made = NULL, *v;

	if (json_object_deep_copy(row, &made, NULL) != 0)
		return NULL;
	for (const char *const *name = prices_members; *name; name++) {
		/* What a list leaves out it does not say: caching for an hour, for one. */
		if (json_object_object_get_ex(offer, *name, &v))
			json_object_object_add(made, *name, json_object_get(v));
	}
	if (json_object_object_get_ex(offer, "overrides", &v))
		json_object_object_add(made, "overrides", json_object_get(v));
	for (const char *const *name = facts; is_own && *name; name++)
		if (json_object_object_get_ex(offer, *name, &v))
			json_object_object_add(made, *name, json_object_get(v));
	json_object_object_add(made, "price_date", json_object_new_string(plan->day));
	json_object_object_add(made, "source", json_object_new_string(p->slug));
	return made;
}

static enum err_code update(struct prices_plan *plan, const struct catalog_provider *p,
	const struct catalog_model *m, struct json_object *offer, struct err *e)
{
	struct json_object *now = kept(plan->models, m->id), *row, *made;
	const char *said = json_member_str(now, "source", "");
	enum err_code rc;

	/* What its own provider says of it counts more than what a router says. */
	if (m->free || !json_object_object_get_ex(offer, prices_members[0], NULL) ||
		(m->provider != p && strcmp(said, m->provider->slug) == 0))
		return ERR_OK;
	row = now ? json_object_get(now) : prices_row(plan->base, m);
	made = row ? updated(plan, row, offer, p, m->provider == p) : NULL;
	if (!made) {
		rc = no_memory(e);
	} else if (prices_are_same(row, made)) {
		json_object_put(made);
		rc = ERR_OK;
	} else {
		rc = note(plan, (struct prices_change){ PRICES_CHANGED, m->id, p->slug, row, made },
			e);
		keep(plan->models, m->id, made);
	}
	json_object_put(row);
	return rc;
}

/* ---- a new one ---- */

/* "x-ai" of xai, whose models are known as "x-ai/…"; else its slug. */
static struct slice author_of(const struct prices_plan *plan, const struct catalog_provider *p)
{
	for (size_t i = 0; i < plan->base->model_count; i++) {
		const struct catalog_model *m = &plan->base->models[i];
		struct slice rest = slice_of(m->id), author = slice_cut(&rest, '/');

		if (m->provider == p && rest.ptr && catalog_provider_find(plan->base, author) == p)
			return author;
	}
	return slice_of(p->slug);
}

/* Adds what every row must have and the list did not say. */
static void complete(struct json_object *row)
{
	static const char *const counts[] = { "created", "context_length" };
	static const char *const switches[] = { "supports_tools", "supports_reasoning" };
	static const char *const sides[] = { "input_modalities", "output_modalities" };

	for (int i = 0; i < 2; i++) {
		struct json_object *text = json_object_new_array();

		if (!json_object_object_get_ex(row, counts[i], NULL))
			json_object_object_add(row, counts[i], json_object_new_int(0));
		if (!json_object_object_get_ex(row, switches[i], NULL))
			json_object_object_add(row, switches[i], json_object_new_boolean(false));
		json_object_array_add(text, json_object_new_string("text"));
		if (json_object_object_get_ex(row, sides[i], NULL))
			json_object_put(text);
		else
			json_object_object_add(row, sides[i], text);
	}
	if (!json_object_object_get_ex(row, "max_output", NULL))
		json_object_object_add(row, "max_output", NULL);
	if (!json_object_object_get_ex(row, "name", NULL))
		json_object_object_add(
			row, "name", json_object_new_string(json_member_str(row, "id", "")));
}

static enum err_code add_new(struct prices_plan *plan, const struct catalog_provider *p,
	struct json_object *offer, struct err *e)
{
	const char *native = json_member_str(offer, "native_id", "");
	struct slice author = author_of(plan, p);
	struct json_object *row = NULL;
	char id[MODEL_ID_MAX];
	int n;

	if (!json_object_object_get_ex(offer, prices_members[0], NULL))
		return ERR_OK;
	n = p->public_ids ? snprintf(id, sizeof(id), "%s", native)
			  : snprintf(id, sizeof(id), "%.*s/%s", SLICE_ARG(author), native);
	if (n < 0 || n >= (int)sizeof(id) || kept(plan->models, id) ||
		catalog_model_find(plan->base, slice_of(id)))
		return ERR_OK;
	if ((size_t)json_object_object_length(plan->models) + plan->base->model_count >=
		CATALOG_MODELS_MAX)
		return err_set(e, ERR_RANGE, "there are more than %d models", CATALOG_MODELS_MAX);
	if (json_object_deep_copy(offer, &row, NULL) != 0)
		return no_memory(e);
	json_object_object_add(row, "id", json_object_new_string(id));
	json_object_object_add(row, "provider", json_object_new_string(p->slug));
	json_object_object_add(row, "description", json_object_new_string(""));
	json_object_object_add(row, "price_date", json_object_new_string(plan->day));
	json_object_object_add(row, "source", json_object_new_string(p->slug));
	complete(row);
	keep(plan->models, id, row);
	return note(plan,
		(struct prices_change){
			PRICES_NEW, json_member_str(row, "id", ""), p->slug, NULL, row },
		e);
}

/* ---- all of a list ---- */

/* But for a day at the end of either, or the tag that local servers add. */
static bool is_named(const struct catalog_model *m, struct slice name)
{
	if (slice_ends(name, ":latest"))
		name = slice_first(name, name.len - strlen(":latest"));
	struct slice native = slice_of(m->native_id), undated = model_name_undated(name);

	native = model_name_undated(native);
	return native.len == undated.len && strncasecmp(native.ptr, undated.ptr, undated.len) == 0;
}

static enum err_code offer_model(struct prices_plan *plan, const struct catalog_provider *p,
	struct json_object *offer, struct err *e)
{
	struct slice native = slice_of(json_member_str(offer, "native_id", ""));
	const struct catalog_model *other =
		p->public_ids ? catalog_model_find(plan->base, native) : NULL;
	enum err_code rc = ERR_OK;
	bool known = false;

	for (size_t i = 0; !rc && i < plan->base->model_count; i++) {
		const struct catalog_model *m = &plan->base->models[i];

		if (m->provider != p || !is_named(m, native))
			continue;
		known = true;
		/* Of several days of a model, the price is that of the name in the catalogue. */
		if (slice_is_nocase(native, m->native_id))
			rc = update(plan, p, m, offer, e);
	}
	if (!rc && !known && other)
		return update(plan, p, other, offer, e);
	return rc || known ? rc : add_new(plan, p, offer, e);
}

/* Is m there as far as the list tells? */
static enum err_code check_presence(struct prices_plan *plan, const struct catalog_model *m,
	const struct prices_list *l, struct err *e)
{
	bool listed = prices_list_has(l, slice_of(m->native_id));
	bool was_gone = kept(plan->gone, m->id) != NULL;
	struct prices_change change = { listed ? PRICES_BACK : PRICES_GONE, m->id,
		m->provider->slug, NULL, NULL };

	if (listed != was_gone || (!listed && l->is_partial))
		return ERR_OK;
	if (listed)
		forget(plan->gone, m->id);
	else
		keep(plan->gone, m->id, json_object_new_string(m->id));
	return note(plan, change, e);
}

enum err_code prices_plan_add(struct prices_plan *plan, const struct catalog_provider *p,
	const struct prices_list *l, struct err *e)
{
	enum err_code rc = ERR_OK;

	for (size_t i = 0; !rc && i < json_object_array_length(l->models); i++)
		rc = offer_model(plan, p, json_object_array_get_idx(l->models, i), e);
	for (size_t i = 0; !rc && i < plan->base->model_count; i++)
		if (plan->base->models[i].provider == p)
			rc = check_presence(plan, &plan->base->models[i], l, e);
	return rc;
}
