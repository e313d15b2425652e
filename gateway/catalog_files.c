#include "gateway/catalog_data.h"

#include "gateway/schema.h"

#define FILE_MAX_BYTES ((size_t)8 << 20)
#define FORMAT_VERSION 1

#define ROWS(table) (sizeof(table) / sizeof((table)[0]))

static enum err_code no_memory(struct err *e)
{
	return err_set(e, ERR_NO_MEMORY, "no memory for the catalogue of models");
}

static const char *text(struct json_object *o)
{
	return o ? json_object_get_string(o) : "";
}

static bool yes(struct json_object *o)
{
	return o && json_object_get_boolean(o);
}

/* ---- providers.json ---- */

enum {
	P_SLUG,
	P_NAME,
	P_BASE_URL,
	P_CHAT_PATH,
	P_MODELS_PATH,
	P_AUTH,
	P_DIALECT,
	P_KEY_NAMES,
	P_ALIASES,
	P_TAKES_WHOLE_ID,
	P_PUBLIC_IDS,
	P_DOUBLES_1H,
	P_HOST_VARIABLE,
	P_LOCAL,
	P_BYOK,
	P_FIM_PATH,
	P_NOTES,
	P_LISTING,
	P_PLACES,
	P_DEMO,
	P_COUNT
};

static const struct schema_row provider_rows[P_COUNT] = {
	[P_SLUG] = { "slug", SCHEMA_ID, true, false },
	[P_NAME] = { "name", SCHEMA_TEXT, true, false },
	[P_BASE_URL] = { "base_url", SCHEMA_ID, true, false },
	[P_CHAT_PATH] = { "chat_path", SCHEMA_ID, true, false },
	[P_MODELS_PATH] = { "models_path", SCHEMA_TEXT, true, false },
	[P_AUTH] = { "auth", SCHEMA_ID, true, false },
	[P_DIALECT] = { "dialect", SCHEMA_ID, true, false },
	[P_KEY_NAMES] = { "key_names", SCHEMA_IDS, true, false },
	[P_ALIASES] = { "aliases", SCHEMA_IDS, false, false },
	[P_TAKES_WHOLE_ID] = { "takes_whole_id", SCHEMA_SWITCH, false, false },
	[P_PUBLIC_IDS] = { "public_ids", SCHEMA_SWITCH, false, false },
	[P_DOUBLES_1H] = { "doubles_1h", SCHEMA_SWITCH, false, false },
	[P_HOST_VARIABLE] = { "host_variable", SCHEMA_ID, false, false },
	[P_LOCAL] = { "local", SCHEMA_SWITCH, false, false },
	[P_BYOK] = { "byok", SCHEMA_IDS, false, false },
	[P_FIM_PATH] = { "fim_path", SCHEMA_ID, false, false },
	[P_NOTES] = { "notes", SCHEMA_TEXT, false, false },
	[P_LISTING] = { "listing", SCHEMA_OBJECT, true, false },
	[P_PLACES] = { "places", SCHEMA_OBJECT, false, false },
	[P_DEMO] = { "demo", SCHEMA_SWITCH, false, false },
};

/* What is absent is not known, and listed as the worse case. */
static const struct schema_row listing_rows[] = {
	{ "headquarters", SCHEMA_TEXT, false, false },
	{ "datacenters", SCHEMA_IDS, false, false },
	{ "data_policy", SCHEMA_OBJECT, false, false },
	{ "has_completions", SCHEMA_SWITCH, false, false },
	{ "is_abortable", SCHEMA_SWITCH, false, false },
	{ "is_multipart_supported", SCHEMA_SWITCH, false, false },
	{ "moderation_required", SCHEMA_SWITCH, false, false },
	{ "status_page_url", SCHEMA_ID, false, true },
};

static const struct schema_row policy_rows[] = {
	{ "training", SCHEMA_SWITCH, false, false },
	{ "retains_prompts", SCHEMA_SWITCH, false, false },
	{ "can_publish", SCHEMA_SWITCH, false, false },
	{ "retention_days", SCHEMA_COUNT, false, false },
	{ "terms_of_service_url", SCHEMA_ID, false, false },
	{ "privacy_policy_url", SCHEMA_ID, false, false },
};

static enum err_code check_listing(
	struct json_object *listing, struct schema_place *place, struct err *e)
{
	struct json_object *v[SCHEMA_ROWS_MAX];
	enum err_code rc = schema_read(listing_rows, ROWS(listing_rows), listing, place, v, e);

	if (!rc && v[2])
		rc = schema_read(policy_rows, ROWS(policy_rows), v[2], place, v, e);
	return rc;
}

/* {"region":["AWS_REGION"]}: names of variables for each place of the URL. */
static enum err_code check_places(
	struct json_object *places, struct schema_place *place, struct err *e)
{
	bool good = true;

	if (!places)
		return ERR_OK;
	json_object_object_foreach(places, name, list)
	{
		good = good && *name && json_object_is_type(list, json_type_array) &&
		       json_object_array_length(list) > 0;
		for (size_t i = 0; good && i < json_object_array_length(list); i++)
			good = json_object_is_type(
				json_object_array_get_idx(list, i), json_type_string);
	}
	return good ? ERR_OK
		    : schema_fail(place, "places", "expected a list of variables for each", e);
}

/* Aliases as C wants them: an array ended by NULL. */
static enum err_code read_aliases(
	struct catalog *c, struct json_object *list, struct catalog_provider *p, struct err *e)
{
	size_t n = list ? json_object_array_length(list) : 0;
	const char **names;

	if (n == 0)
		return ERR_OK;
	names = catalog_keep(c, (n + 1) * sizeof(*names));
	if (!names)
		return no_memory(e);
	for (size_t i = 0; i < n; i++)
		names[i] = text(json_object_array_get_idx(list, i));
	p->aliases = names;
	return ERR_OK;
}

static bool is_auth(const char *name)
{
	return strcmp(name, "bearer") == 0 || strcmp(name, "none") == 0 ||
	       strcmp(name, "x-api-key") == 0 || strcmp(name, "x-goog-api-key") == 0 ||
	       strcmp(name, "sigv4") == 0 || strcmp(name, "service-account") == 0;
}

static enum err_code check_provider(const struct catalog *c, const struct catalog_provider *p,
	const struct schema_place *place, struct err *e)
{
	const char *why;

	if (strlen(p->slug) >= SLUG_MAX)
		return schema_fail(place, "slug", "is too long", e);
	if (catalog_provider_find(c, slice_of(p->slug)))
		return schema_fail(place, "slug", "is the slug or alias of another provider", e);
	for (const char *const *a = p->aliases; a && *a; a++)
		if (catalog_provider_find(c, slice_of(*a)))
			return schema_fail(place, "aliases",
				"one is the slug or alias of another provider", e);
	if (!catalog_url_is_good(slice_of(p->base_url), &why))
		return schema_fail(place, "base_url", why, e);
	if (p->chat_path[0] != '/')
		return schema_fail(place, "chat_path", "must begin with a slash", e);
	if (p->models_path[0] != '/' && p->models_path[0] != '\0')
		return schema_fail(place, "models_path", "must begin with a slash or be empty", e);
	if (!is_auth(p->auth))
		return schema_fail(place, "auth",
			"expected bearer, x-api-key, x-goog-api-key, sigv4, service-account or "
			"none",
			e);
	return ERR_OK;
}

static enum err_code read_provider(
	struct catalog *c, struct json_object *row, struct schema_place *place, struct err *e)
{
	struct catalog_provider *p = &c->providers[c->provider_count];
	struct catalog_provider_more *more = &c->providers_more[c->provider_count];
	struct json_object *v[P_COUNT];
	struct json_object *policy;
	enum err_code rc;

	rc = schema_read(provider_rows, P_COUNT, row, place, v, e);
	if (!rc)
		rc = check_listing(v[P_LISTING], place, e);
	if (!rc)
		rc = check_places(v[P_PLACES], place, e);
	if (!rc)
		rc = read_aliases(c, v[P_ALIASES], p, e);
	if (rc)
		return rc;
	p->slug = text(v[P_SLUG]);
	p->name = text(v[P_NAME]);
	p->base_url = text(v[P_BASE_URL]);
	p->chat_path = text(v[P_CHAT_PATH]);
	p->models_path = text(v[P_MODELS_PATH]);
	p->auth = text(v[P_AUTH]);
	p->dialect = text(v[P_DIALECT]);
	p->api_key = "";
	p->takes_whole_id = yes(v[P_TAKES_WHOLE_ID]);
	p->public_ids = yes(v[P_PUBLIC_IDS]);
	p->doubles_1h = yes(v[P_DOUBLES_1H]);
	/* What is not known counts as the worse. */
	p->collects = !json_object_object_get_ex(v[P_LISTING], "data_policy", &policy) ||
		      json_member_bool(policy, "training", true);
	p->demo = yes(v[P_DEMO]);
	*more = (struct catalog_provider_more){ .file_url = p->base_url,
		.host_variable = v[P_HOST_VARIABLE] ? text(v[P_HOST_VARIABLE]) : NULL,
		.keys = v[P_KEY_NAMES],
		.listing = v[P_LISTING],
		.places = v[P_PLACES],
		.keyless = strcmp(p->auth, "none") == 0 };
	rc = check_provider(c, p, place, e);
	if (!rc)
		c->provider_count++;
	return rc;
}

static const struct schema_row pattern_rows[] = {
	{ "match", SCHEMA_ID, true, false },
	{ "tag", SCHEMA_SWITCH, false, false },
	{ "providers", SCHEMA_IDS, true, false },
};

static enum err_code read_patterns(
	struct catalog *c, struct json_object *list, const char *file, struct err *e)
{
	size_t n = json_object_array_length(list);
	struct json_object *v[ROWS(pattern_rows)];
	enum err_code rc;

	c->patterns = catalog_keep(c, n * sizeof(*c->patterns));
	if (!c->patterns)
		return no_memory(e);
	for (size_t i = 0; i < n; i++) {
		struct schema_place place = { file, "patterns", i, NULL };

		rc = schema_read(pattern_rows, ROWS(pattern_rows),
			json_object_array_get_idx(list, i), &place, v, e);
		if (rc)
			return rc;
		for (size_t k = 0; k < json_object_array_length(v[2]); k++)
			if (!catalog_provider_find(
				    c, slice_of(text(json_object_array_get_idx(v[2], k)))))
				return schema_fail(
					&place, "providers", "names an unknown provider", e);
		c->patterns[i] = (struct catalog_pattern){ text(v[0]), yes(v[1]), v[2] };
	}
	c->pattern_count = n;
	return ERR_OK;
}

/* ---- both files ---- */

static const struct schema_row providers_file[] = {
	{ "version", SCHEMA_COUNT, true, false },
	{ "date", SCHEMA_ID, true, false },
	{ "router_suffixes", SCHEMA_IDS, true, false },
	{ "patterns", SCHEMA_LIST, true, false },
	{ "providers", SCHEMA_LIST, true, false },
};

static const struct schema_row models_file[] = {
	{ "version", SCHEMA_COUNT, true, false },
	{ "date", SCHEMA_ID, true, false },
	{ "preferred", SCHEMA_IDS, true, false },
	{ "models", SCHEMA_LIST, true, false },
};

static bool is_date(const char *s)
{
	static const char shape[] = "0000-00-00";

	for (size_t i = 0; i < sizeof(shape) - 1; i++)
		if (shape[i] == '-' ? s[i] != '-' : s[i] < '0' || s[i] > '9')
			return false;
	return s[sizeof(shape) - 1] == '\0';
}

static enum err_code open_file(const char *file, const struct schema_row *rows, size_t n,
	struct json_object **tree, struct json_object **v, struct err *e)
{
	struct schema_place place = { .file = file };
	struct err inner;
	enum err_code rc = json_read_file(file, FILE_MAX_BYTES, tree, &inner);

	if (rc)
		return err_param(e, rc == ERR_NO_MEMORY ? rc : ERR_CONF, "GATEWAY_CATALOGUE", "%s",
			inner.message);
	rc = schema_read(rows, n, *tree, &place, v, e);
	if (rc)
		return rc;
	if (json_object_get_int64(v[0]) != FORMAT_VERSION)
		return schema_fail(&place, "version", "only version 1 is understood", e);
	if (!is_date(text(v[1])))
		return schema_fail(&place, "date", "expected a day such as 2026-11-21", e);
	return ERR_OK;
}

enum err_code catalog_read_providers(struct catalog *c, const char *file, struct err *e)
{
	struct json_object *v[ROWS(providers_file)];
	enum err_code rc =
		open_file(file, providers_file, ROWS(providers_file), &c->providers_tree, v, e);
	size_t n;

	if (rc)
		return rc;
	n = json_object_array_length(v[4]);
	if (n >= CATALOG_PROVIDERS_MAX)
		return schema_fail(
			&(struct schema_place){ .file = file }, "providers", "are too many", e);
	c->providers = catalog_keep(c, CATALOG_PROVIDERS_MAX * sizeof(*c->providers));
	c->providers_more = catalog_keep(c, CATALOG_PROVIDERS_MAX * sizeof(*c->providers_more));
	if (!c->providers || !c->providers_more)
		return no_memory(e);
	for (size_t i = 0; i < n; i++) {
		struct schema_place place = { file, "providers", i, NULL };

		rc = read_provider(c, json_object_array_get_idx(v[4], i), &place, e);
		if (rc)
			return rc;
	}
	c->router_suffixes = v[2];
	return read_patterns(c, v[3], file, e);
}

enum {
	M_ID,
	M_PROVIDER,
	M_NATIVE_ID,
	M_NAME,
	M_DESCRIPTION,
	M_CREATED,
	M_CONTEXT_LENGTH,
	M_MAX_OUTPUT,
	M_INPUT,
	M_OUTPUT,
	M_TOOLS,
	M_REASONING,
	M_PRICE_PROMPT,
	M_PRICE_COMPLETION,
	M_PRICE_CACHE_READ,
	M_PRICE_CACHE_WRITE,
	M_PRICE_CACHE_WRITE_1H,
	M_PRICE_REASONING,
	M_PRICE_REQUEST,
	M_PRICE_IMAGE,
	M_OVERRIDES,
	M_FREE,
	M_NOTE,
	M_COUNT
};

static const struct schema_row model_rows[M_COUNT] = {
	[M_ID] = { "id", SCHEMA_ID, true, false },
	[M_PROVIDER] = { "provider", SCHEMA_ID, true, false },
	[M_NATIVE_ID] = { "native_id", SCHEMA_ID, true, false },
	[M_NAME] = { "name", SCHEMA_TEXT, true, false },
	[M_DESCRIPTION] = { "description", SCHEMA_TEXT, true, false },
	[M_CREATED] = { "created", SCHEMA_COUNT, true, false },
	[M_CONTEXT_LENGTH] = { "context_length", SCHEMA_COUNT, true, false },
	[M_MAX_OUTPUT] = { "max_output", SCHEMA_COUNT, true, true },
	[M_INPUT] = { "input_modalities", SCHEMA_IDS, true, false },
	[M_OUTPUT] = { "output_modalities", SCHEMA_IDS, true, false },
	[M_TOOLS] = { "supports_tools", SCHEMA_SWITCH, true, false },
	[M_REASONING] = { "supports_reasoning", SCHEMA_SWITCH, true, false },
	[M_PRICE_PROMPT] = { "price_prompt_usd_per_token", SCHEMA_PRICE, true, false },
	[M_PRICE_COMPLETION] = { "price_completion_usd_per_token", SCHEMA_PRICE, true, false },
	[M_PRICE_CACHE_READ] = { "price_cache_read", SCHEMA_PRICE, false, true },
	[M_PRICE_CACHE_WRITE] = { "price_cache_write", SCHEMA_PRICE, false, true },
	[M_PRICE_CACHE_WRITE_1H] = { "price_cache_write_1h", SCHEMA_PRICE, false, true },
	[M_PRICE_REASONING] = { "price_reasoning", SCHEMA_PRICE, false, true },
	[M_PRICE_REQUEST] = { "price_request", SCHEMA_PRICE, false, false },
	[M_PRICE_IMAGE] = { "price_image", SCHEMA_PRICE, false, false },
	[M_OVERRIDES] = { "overrides", SCHEMA_LIST, false, false },
	[M_FREE] = { "free", SCHEMA_SWITCH, false, false },
	[M_NOTE] = { "note", SCHEMA_TEXT, false, false },
};

enum {
	O_ABOVE,
	O_PROMPT,
	O_COMPLETION,
	O_CACHE_READ,
	O_CACHE_WRITE,
	O_CACHE_WRITE_1H,
	O_REASONING,
	O_COUNT
};

static const struct schema_row override_rows[O_COUNT] = {
	[O_ABOVE] = { "min_prompt_tokens", SCHEMA_COUNT, true, false },
	[O_PROMPT] = { "price_prompt_usd_per_token", SCHEMA_PRICE, false, false },
	[O_COMPLETION] = { "price_completion_usd_per_token", SCHEMA_PRICE, false, false },
	[O_CACHE_READ] = { "price_cache_read", SCHEMA_PRICE, false, false },
	[O_CACHE_WRITE] = { "price_cache_write", SCHEMA_PRICE, false, false },
	[O_CACHE_WRITE_1H] = { "price_cache_write_1h", SCHEMA_PRICE, false, false },
	[O_REASONING] = { "price_reasoning", SCHEMA_PRICE, false, false },
};

static const char *text_or_null(struct json_object *o)
{
	return o ? json_object_get_string(o) : NULL;
}

static enum err_code read_overrides(struct json_object *list, struct schema_place *place,
	struct cost_step_text *steps, size_t *n, struct err *e)
{
	struct json_object *v[O_COUNT];
	enum err_code rc;

	*n = list ? json_object_array_length(list) : 0;
	if (*n > COST_STEPS)
		return schema_fail(place, "overrides", "are too many", e);
	for (size_t i = 0; i < *n; i++) {
		rc = schema_read(
			override_rows, O_COUNT, json_object_array_get_idx(list, i), place, v, e);
		if (rc)
			return rc;
		steps[i].above_tokens = json_object_get_int64(v[O_ABOVE]);
		steps[i].prices = (struct cost_texts){
			.prompt = text_or_null(v[O_PROMPT]),
			.completion = text_or_null(v[O_COMPLETION]),
			.cache_read = text_or_null(v[O_CACHE_READ]),
			.cache_write = text_or_null(v[O_CACHE_WRITE]),
			.cache_write_1h = text_or_null(v[O_CACHE_WRITE_1H]),
			.reasoning = text_or_null(v[O_REASONING]),
		};
	}
	return ERR_OK;
}

static enum err_code read_prices(struct catalog *c, struct catalog_model *m,
	struct json_object *const *v, struct schema_place *place, struct err *e)
{
	struct cost_step_text steps[COST_STEPS];
	struct cost_offer offer = { .base = { .prompt = text(v[M_PRICE_PROMPT]),
					    .completion = text(v[M_PRICE_COMPLETION]),
					    .cache_read = text_or_null(v[M_PRICE_CACHE_READ]),
					    .cache_write = text_or_null(v[M_PRICE_CACHE_WRITE]),
					    .cache_write_1h =
						    text_or_null(v[M_PRICE_CACHE_WRITE_1H]),
					    .reasoning = text_or_null(v[M_PRICE_REASONING]) },
		.request = text_or_null(v[M_PRICE_REQUEST]),
		.image = text_or_null(v[M_PRICE_IMAGE]),
		.doubles_1h = m->provider->doubles_1h,
		.steps = steps };
	struct cost_table *table;
	struct err inner;
	enum err_code rc = read_overrides(v[M_OVERRIDES], place, steps, &offer.steps_n, e);

	if (rc)
		return rc;
	table = catalog_keep(c, sizeof(*table));
	if (!table)
		return no_memory(e);
	/* Each price was read once, by its row: what is left to fail is the order of the steps. */
	if (cost_table_init(table, &offer, &inner))
		return schema_fail(place, "overrides", inner.message, e);
	m->prices = table;
	return ERR_OK;
}

static bool lists(struct json_object *list, const char *word)
{
	for (size_t i = 0; i < json_object_array_length(list); i++)
		if (strcmp(text(json_object_array_get_idx(list, i)), word) == 0)
			return true;
	return false;
}

static enum err_code read_model(
	struct catalog *c, struct json_object *row, struct schema_place *place, struct err *e)
{
	struct catalog_model *m = &c->models[c->model_count];
	struct json_object *v[M_COUNT];
	enum err_code rc = schema_read(model_rows, M_COUNT, row, place, v, e);
	size_t at;

	if (rc)
		return rc;
	m->id = text(v[M_ID]);
	m->name = text(v[M_NAME]);
	m->native_id = text(v[M_NATIVE_ID]);
	m->provider = catalog_provider_find(c, slice_of(text(v[M_PROVIDER])));
	m->free = yes(v[M_FREE]) || slice_ends(slice_of(m->id), ":free");
	m->max_output = v[M_MAX_OUTPUT] ? json_object_get_int64(v[M_MAX_OUTPUT]) : 0;
	m->embedding = lists(v[M_OUTPUT], "embeddings");
	if (strlen(m->id) >= MODEL_ID_MAX)
		return schema_fail(place, "id", "is too long", e);
	if (strlen(m->native_id) >= MODEL_ID_MAX)
		return schema_fail(place, "native_id", "is too long", e);
	if (!m->provider)
		return schema_fail(place, "provider", "is not in providers.json", e);
	rc = read_prices(c, m, v, place, e);
	if (rc)
		return rc;
	at = catalog_cell(c, slice_of(m->id));
	if (c->ids[at])
		return schema_fail(place, "id", "stands in the file twice", e);
	c->models_more[c->model_count].row = row;
	c->ids[at] = (uint16_t)++c->model_count;
	return ERR_OK;
}

static enum err_code read_preferred(
	struct catalog *c, struct json_object *list, const char *file, struct err *e)
{
	for (size_t i = 0; i < json_object_array_length(list); i++) {
		const char *id = text(json_object_array_get_idx(list, i));
		const struct catalog_model *m = catalog_model_find(c, slice_of(id));

		if (!m)
			return schema_fail(&(struct schema_place){ file, "preferred", i, id },
				"value", "is not among the models", e);
		c->models_more[m - c->models].preferred = (int)i + 1;
	}
	return ERR_OK;
}

enum err_code catalog_read_models(struct catalog *c, const char *file, struct err *e)
{
	struct json_object *v[ROWS(models_file)];
	enum err_code rc = open_file(file, models_file, ROWS(models_file), &c->models_tree, v, e);
	size_t n;

	if (rc)
		return rc;
	n = json_object_array_length(v[3]);
	if (n > CATALOG_MODELS_MAX)
		return schema_fail(
			&(struct schema_place){ .file = file }, "models", "are too many", e);
	for (c->ids_size = 16; c->ids_size < 2 * n;)
		c->ids_size *= 2;
	c->date = text(v[1]);
	c->models = catalog_keep(c, n * sizeof(*c->models));
	c->models_more = catalog_keep(c, n * sizeof(*c->models_more));
	c->ids = catalog_keep(c, c->ids_size * sizeof(*c->ids));
	if (!c->models || !c->models_more || !c->ids)
		return no_memory(e);
	for (size_t i = 0; i < n; i++) {
		struct schema_place place = { file, "models", i, NULL };

		rc = read_model(c, json_object_array_get_idx(v[3], i), &place, e);
		if (rc)
			return rc;
	}
	return read_preferred(c, v[2], file, e);
}
