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

static enum err_code read_family(struct catalog *c, struct json_value row,
	struct schema_place *place, struct catalog_family *out, struct err *e)
{
	struct json_value v[ROWS(family_rows)];
	enum err_code rc = schema_read(family_rows, ROWS(family_rows), row, place, v, e);
	struct buf words = { .max_bytes = 4096 };

	if (rc)
		return rc;
	out->prefix = catalog_keep_str(c, v[0]);
	if (schema_has(v[1])) {
		out->order = catalog_keep_providers(c, v[1]);
		if (!out->order)
			return schema_fail(place, "order", "names an unknown provider", e);
	}
	if (schema_has(v[2])) {
		json_put_compact(v[2], &words);
		out->routers = buf_ok(&words) ? catalog_keep_text(c, buf_slice(&words)) : NULL;
		if (!out->routers)
			rc = no_memory(e);
		buf_fini(&words);
	}
	return rc;
}

static enum err_code read_families(
	struct catalog *c, struct json_value list, const char *file, struct err *e)
{
	struct schema_place place = { .file = file, .list = "families" };
	struct json_iter it;
	struct json_value row;
	struct slice key;
	enum err_code rc = ERR_OK;

	json_iter_init(&it, list);
	for (size_t i = 0; !rc && json_iter_next(&it, &key, &row); i++) {
		place.index = i;
		place.id = SLICE("");
		rc = read_family(c, row, &place, &c->families[c->family_count++], e);
	}
	return rc;
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
	const struct json_value *v, const struct schema_place *place, struct err *e)
{
	struct cost_offer offer = { .doubles_1h = s->provider->doubles_1h };
	struct cost_table *table;
	struct err inner;

	if (schema_has(v[S_PROMPT]) != schema_has(v[S_COMPLETION]))
		return schema_fail(place, s->provider->slug, "has only one of its prices", e);
	if (schema_has(v[S_PROMPT])) {
		offer.base.prompt = catalog_keep_str(c, v[S_PROMPT]);
		offer.base.completion = catalog_keep_str(c, v[S_COMPLETION]);
		if (schema_has(v[S_CACHE_READ]))
			offer.base.cache_read = catalog_keep_str(c, v[S_CACHE_READ]);
		table = catalog_keep(c, sizeof(*table));
		if (!table)
			return no_memory(e);
		if (cost_table_init(table, &offer, &inner))
			return schema_fail(place, s->provider->slug, inner.message, e);
		s->prices = table;
		return ERR_OK;
	}
	if (json_is_true(v[S_SAME_PRICE]))
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

/* The rows of both files, those of the operator's file first. */
struct same_rows {
	struct catalog_same *at;
	size_t n, room;
	size_t own; /* how many the operator's file had; 0 while it is read itself */
};

static enum err_code make_room(
	struct same_rows *rows, const struct schema_place *place, struct err *e)
{
	size_t room = rows->room ? 2 * rows->room : 256;
	struct catalog_same *at;

	if (rows->n < rows->room)
		return ERR_OK;
	if (rows->n == SAME_MAX)
		return schema_fail(&(struct schema_place){ .file = place->file }, "models",
			"have too many equivalents", e);
	at = realloc(rows->at, room * sizeof(*at));
	if (!at)
		return no_memory(e);
	rows->at = at;
	rows->room = room;
	return ERR_OK;
}

/* One that the operator's file had, too, is passed over. */
static enum err_code read_same(struct catalog *c, const struct catalog_model *m,
	struct json_value row, struct same_rows *rows, const struct schema_place *place,
	struct err *e)
{
	struct catalog_same *s;
	struct schema_place inner = *place;
	struct json_value v[ROWS(same_rows)];
	enum err_code rc = schema_read(same_rows, ROWS(same_rows), row, &inner, v, e);

	if (!rc)
		rc = make_room(rows, place, e);
	if (rc)
		return rc;
	s = &rows->at[rows->n];
	*s = (struct catalog_same){ .model = m,
		.provider = catalog_provider_spelled(c, v[S_PROVIDER]),
		.native_id = catalog_keep_str(c, v[S_NATIVE_ID]),
		.also = catalog_keep_strs(c, v[S_ALSO]) };
	if (!s->provider)
		return schema_fail(place, catalog_keep_str(c, v[S_PROVIDER]), "is no provider", e);
	if (s->provider->public_ids)
		return schema_fail(
			place, s->provider->slug, "is a router: it knows models by their ids", e);
	if (strlen(s->native_id) >= MODEL_ID_MAX)
		return schema_fail(place, "native_id", "is too long", e);
	if (s->provider == m->provider || is_there(rows->at, rows->own, m, s->provider))
		return ERR_OK;
	rows->n++;
	return read_prices(c, s, v, place, e);
}

static enum err_code read_model(struct catalog *c, struct json_value row, struct same_rows *rows,
	struct schema_place *place, struct err *e)
{
	struct json_value same, v[ROWS(model_rows)];
	enum err_code rc = schema_read(model_rows, ROWS(model_rows), row, place, v, e);
	const struct catalog_model *m;
	struct json_iter it;
	struct slice key;

	if (rc)
		return rc;
	m = catalog_model_spelled(c, v[0]);
	/* What is not in the catalogue now may come back. */
	if (!m)
		return ERR_OK;
	/* What costs nothing is there at one place only. */
	if (m->free)
		return schema_fail(place, "id", "is a free model", e);
	json_iter_init(&it, v[1]);
	while (!rc && json_iter_next(&it, &key, &same))
		rc = read_same(c, m, same, rows, place, e);
	return rc;
}

static enum err_code read_models(struct catalog *c, struct json_value list, const char *file,
	struct same_rows *rows, struct err *e)
{
	struct schema_place place = { .file = file, .list = "models" };
	struct json_iter it;
	struct json_value row;
	struct slice key;
	enum err_code rc = ERR_OK;

	json_iter_init(&it, list);
	for (size_t i = 0; !rc && json_iter_next(&it, &key, &row); i++) {
		place.index = i;
		place.id = SLICE("");
		rc = read_model(c, row, rows, &place, e);
	}
	return rc;
}

/* Puts the rows of each model together. */
static enum err_code sort(
	struct catalog *c, const struct catalog_same *rows, size_t n, struct err *e)
{
	uint16_t at = 0;

	c->same = catalog_keep(c, (n + 1) * sizeof(*c->same));
	if (!c->same)
		return no_memory(e);

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
	return ERR_OK;
}

/* ---- both files ---- */

static bool is_missing(const char *file)
{
	struct stat st;

	return !file[0] || (stat(file, &st) != 0 && errno == ENOENT);
}

enum err_code catalog_read_same(struct catalog *c, const char *file, const char *own, struct err *e)
{
	struct json_value v[ROWS(same_file)], w[ROWS(same_file)];
	struct same_rows rows = { 0 };
	enum err_code rc = ERR_OK;
	size_t families;

	schema_take(same_file, ROWS(same_file), (struct json_value){ JSON_ABSENT, SLICE("") }, v);
	if (!is_missing(file))
		rc = catalog_open_file(c, file, same_file, ROWS(same_file), v, e);
	if (!rc)
		rc = catalog_open_own(c, own, same_file, ROWS(same_file), w, e);
	if (rc)
		return rc;
	families = catalog_length(v[F_FAMILIES]) + catalog_length(w[F_FAMILIES]);
	c->families = catalog_keep(c, (families + 1) * sizeof(*c->families));
	if (!c->families)
		return no_memory(e);
	rc = read_families(c, w[F_FAMILIES], own, e);
	if (!rc)
		rc = read_families(c, v[F_FAMILIES], file, e);
	if (!rc)
		rc = read_models(c, w[F_MODELS], own, &rows, e);
	rows.own = rows.n;
	if (!rc)
		rc = read_models(c, v[F_MODELS], file, &rows, e);
	if (!rc)
		rc = sort(c, rows.at, rows.n, e);
	free(rows.at);
	return rc;
}

/* ---- what others ask ---- */

static bool is_also(const struct catalog_same *s, struct slice name)
{
	for (const char *const *also = s->also; also && *also; also++)
		if (slice_is_nocase(name, *also))
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
