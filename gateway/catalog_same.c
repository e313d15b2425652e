/* Who else has which model, and where families of models are best asked for: equivalents.json, and
 * the operator's own one in GATEWAY_HOME. */
#include "gateway/catalog_data.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>

#define SAME_MAX 8192 /* rows of both files */

#define ROWS(table) (sizeof(table) / sizeof((table)[0]))

static enum err_code no_memory(struct err *e)
{
	return err_set(e, ERR_NO_MEMORY, "no memory for the catalogue of models");
}

static const char *text(struct json_object *o)
{
	return o ? json_object_get_string(o) : "";
}

static size_t length(struct json_object *list)
{
	return list ? json_object_array_length(list) : 0;
}

static const struct schema_row same_file[] = {
	{ "version", SCHEMA_COUNT, true, false },
	{ "date", SCHEMA_ID, true, false },
	{ "families", SCHEMA_LIST, false, false },
	{ "models", SCHEMA_LIST, false, false },
};
enum { F_FAMILIES = 2, F_MODELS };

/* ---- families ---- */

static const struct schema_row family_rows[] = {
	{ "prefix", SCHEMA_ID, true, false },
	{ "order", SCHEMA_IDS, false, false },
	{ "routers", SCHEMA_IDS, false, false },
};

static enum err_code add_family(struct catalog *c, const char *prefix, struct json_object *order,
	struct json_object *routers, struct err *e)
{
	struct buf words = { .max_bytes = 4096 };
	const char *kept = NULL;

	if (routers) {
		json_write(routers, &words);
		kept = buf_ok(&words) ? catalog_keep_text(c, buf_slice(&words)) : NULL;
		buf_fini(&words);
		if (!kept)
			return no_memory(e);
	}
	c->families[c->family_count++] = (struct catalog_family){ prefix, order, kept };
	return ERR_OK;
}

static enum err_code read_families(
	struct catalog *c, struct json_object *list, const char *file, struct err *e)
{
	for (size_t i = 0; i < length(list); i++) {
		struct schema_place place = { file, "families", i, NULL };
		struct json_object *v[ROWS(family_rows)];
		enum err_code rc = schema_read(family_rows, ROWS(family_rows),
			json_object_array_get_idx(list, i), &place, v, e);

		if (rc)
			return rc;
		for (size_t k = 0; k < length(v[1]); k++)
			if (!catalog_provider_find(
				    c, slice_of(text(json_object_array_get_idx(v[1], k)))))
				return schema_fail(&place, "order", "names an unknown provider", e);
		rc = add_family(c, text(v[0]), v[1], v[2], e);
		if (rc)
			return rc;
	}
	return ERR_OK;
}

/* ---- models ---- */

static const struct schema_row model_rows[] = {
	{ "id", SCHEMA_ID, true, false },
	{ "at", SCHEMA_LIST, true, false },
};

enum { S_PROVIDER, S_NATIVE_ID, S_ALSO, S_SAME_PRICE, S_PROMPT, S_COMPLETION, S_CACHE_READ };

static const struct schema_row same_rows[] = {
	[S_PROVIDER] = { "provider", SCHEMA_ID, true, false },
	[S_NATIVE_ID] = { "native_id", SCHEMA_ID, true, false },
	[S_ALSO] = { "also", SCHEMA_IDS, false, false },
	[S_SAME_PRICE] = { "same_price", SCHEMA_SWITCH, false, false },
	[S_PROMPT] = { "price_prompt_usd_per_token", SCHEMA_PRICE, false, false },
	[S_COMPLETION] = { "price_completion_usd_per_token", SCHEMA_PRICE, false, false },
	[S_CACHE_READ] = { "price_cache_read", SCHEMA_PRICE, false, false },
};

/* The prices there: its own, or the maker's, or what the catalogue has of it under another id. */
static enum err_code read_prices(struct catalog *c, struct catalog_same *s,
	struct json_object *const *v, const struct schema_place *place, struct err *e)
{
	struct cost_offer offer = { .base = { .prompt = text(v[S_PROMPT]),
					    .completion = text(v[S_COMPLETION]),
					    .cache_read = v[S_CACHE_READ] ? text(v[S_CACHE_READ])
									  : NULL },
		.doubles_1h = s->provider->doubles_1h };
	struct cost_table *table;
	struct err inner;

	if (!v[S_PROMPT] != !v[S_COMPLETION])
		return schema_fail(place, s->provider->slug, "has only one of its prices", e);
	if (v[S_PROMPT]) {
		table = catalog_keep(c, sizeof(*table));
		if (!table)
			return no_memory(e);
		if (cost_table_init(table, &offer, &inner))
			return schema_fail(place, s->provider->slug, inner.message, e);
		s->prices = table;
		return ERR_OK;
	}
	if (v[S_SAME_PRICE] && json_object_get_boolean(v[S_SAME_PRICE]))
		s->prices = s->model->prices;
	for (size_t i = 0; !s->prices && i < c->model_count; i++)
		if (c->models[i].provider == s->provider && !c->models[i].free &&
			strcmp(c->models[i].native_id, s->native_id) == 0)
			s->prices = c->models[i].prices;
	return ERR_OK;
}

static bool is_there(const struct catalog_same *rows, size_t n, const struct catalog_model *m,
	const struct catalog_provider *p)
{
	for (size_t i = 0; i < n; i++)
		if (rows[i].model == m && rows[i].provider == p)
			return true;
	return false;
}

/* One model's rows; those that the operator's file had, too, are passed over. */
static enum err_code read_model(struct catalog *c, const struct catalog_model *m,
	struct json_object *list, struct catalog_same *rows, size_t own, size_t *n,
	const struct schema_place *place, struct err *e)
{
	enum err_code rc = ERR_OK;

	for (size_t i = 0; !rc && i < length(list); i++) {
		struct schema_place inner = *place;
		struct json_object *v[ROWS(same_rows)];
		struct catalog_same *s = &rows[*n];

		rc = schema_read(same_rows, ROWS(same_rows), json_object_array_get_idx(list, i),
			&inner, v, e);
		if (rc)
			return rc;
		*s = (struct catalog_same){ .model = m,
			.provider = catalog_provider_find(c, slice_of(text(v[S_PROVIDER]))),
			.native_id = text(v[S_NATIVE_ID]),
			.also = v[S_ALSO] };
		if (!s->provider)
			return schema_fail(place, text(v[S_PROVIDER]), "is no provider", e);
		if (s->provider->public_ids)
			return schema_fail(place, s->provider->slug,
				"is a router: it knows models by their ids", e);
		if (strlen(s->native_id) >= MODEL_ID_MAX)
			return schema_fail(place, "native_id", "is too long", e);
		if (s->provider == m->provider || is_there(rows, own, m, s->provider))
			continue;
		rc = read_prices(c, s, v, place, e);
		++*n;
	}
	return rc;
}

/* own: how many rows the operator's file had; 0 while it is read itself. */
static enum err_code read_models(struct catalog *c, struct json_object *list, const char *file,
	struct catalog_same *rows, size_t own, size_t *n, struct err *e)
{
	for (size_t i = 0; i < length(list); i++) {
		struct schema_place place = { file, "models", i, NULL };
		struct json_object *v[ROWS(model_rows)];
		const struct catalog_model *m;
		enum err_code rc = schema_read(model_rows, ROWS(model_rows),
			json_object_array_get_idx(list, i), &place, v, e);

		if (rc)
			return rc;
		m = catalog_model_find(c, slice_of(text(v[0])));
		/* What costs nothing is there at one place only. What is not in the catalogue now
		 * may come back. */
		if (m && m->free)
			return schema_fail(&place, "id", "is a free model", e);
		rc = m ? read_model(c, m, v[1], rows, own, n, &place, e) : ERR_OK;
		if (rc)
			return rc;
	}
	return ERR_OK;
}

/* Puts the rows of each model together. */
static void sort(struct catalog *c, const struct catalog_same *rows, size_t n)
{
	uint16_t at = 0;

	for (size_t i = 0; i < n; i++)
		c->models_more[rows[i].model - c->models].same_count++;
	for (size_t i = 0; i < c->model_count; i++) {
		c->models_more[i].same_first = at;
		at = (uint16_t)(at + c->models_more[i].same_count);
		c->models_more[i].same_count = 0;
	}
	for (size_t i = 0; i < n; i++) {
		struct catalog_model_more *more = &c->models_more[rows[i].model - c->models];

		c->same[more->same_first + more->same_count++] = rows[i];
	}
	c->same_count = n;
}

/* ---- both files ---- */

static size_t rows_in(struct json_object *models)
{
	size_t n = 0;

	for (size_t i = 0; i < length(models); i++) {
		struct json_object *at;

		if (json_object_object_get_ex(json_object_array_get_idx(models, i), "at", &at) &&
			json_object_is_type(at, json_type_array))
			n += json_object_array_length(at);
	}
	return n;
}

static bool is_missing(const char *file)
{
	struct stat st;

	return !file[0] || (stat(file, &st) != 0 && errno == ENOENT);
}

enum err_code catalog_read_same(struct catalog *c, const char *file, const char *own, struct err *e)
{
	struct json_object *v[ROWS(same_file)] = { NULL }, *w[ROWS(same_file)] = { NULL };
	struct catalog_same *rows;
	enum err_code rc = ERR_OK;
	size_t most, families, n = 0, own_n;

	if (!is_missing(file))
		rc = catalog_open_file(file, same_file, ROWS(same_file), &c->same_tree, v, e);
	if (!rc)
		rc = catalog_open_own(own, same_file, ROWS(same_file), &c->own_same_tree, w, e);
	if (rc)
		return rc;
	most = rows_in(v[F_MODELS]) + rows_in(w[F_MODELS]);
	families = length(v[F_FAMILIES]) + length(w[F_FAMILIES]);
	if (most > SAME_MAX)
		return schema_fail(&(struct schema_place){ .file = c->own_same_tree ? own : file },
			"models", "have too many equivalents", e);
	c->same = catalog_keep(c, (most + 1) * sizeof(*c->same));
	c->families = catalog_keep(c, (families + 1) * sizeof(*c->families));
	rows = calloc(most + 1, sizeof(*rows));
	if (!c->same || !c->families || !rows)
		rc = no_memory(e);
	if (!rc)
		rc = read_families(c, w[F_FAMILIES], own, e);
	if (!rc)
		rc = read_families(c, v[F_FAMILIES], file, e);
	if (!rc)
		rc = read_models(c, w[F_MODELS], own, rows, 0, &n, e);
	own_n = n;
	if (!rc)
		rc = read_models(c, v[F_MODELS], file, rows, own_n, &n, e);
	if (!rc)
		sort(c, rows, n);
	free(rows);
	return rc;
}

/* ---- what others ask ---- */

static bool is_also(const struct catalog_same *s, struct slice name)
{
	for (size_t i = 0; i < length(s->also); i++)
		if (slice_is_nocase(name, text(json_object_array_get_idx(s->also, i))))
			return true;
	return false;
}

const struct catalog_same *catalog_same_named(
	const struct catalog *c, const struct catalog_provider *p, struct slice name)
{
	for (size_t i = 0; i < c->same_count; i++) {
		const struct catalog_same *s = &c->same[i];

		if (s->provider == p &&
			(slice_is_nocase(name, s->native_id) ||
				slice_is_nocase(name, s->model->id) || is_also(s, name)))
			return s;
	}
	return NULL;
}

const struct catalog_same *catalog_same_server(
	const struct catalog *c, const struct catalog_model *m)
{
	const struct catalog_model_more *more = &c->models_more[m - c->models];

	for (size_t i = 0; i < more->same_count; i++)
		if (c->same[more->same_first + i].provider->configured)
			return &c->same[more->same_first + i];
	return NULL;
}
