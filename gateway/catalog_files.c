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
	P_TEXT_PATH,
	P_EMBED_PATH,
	P_NOTES,
	P_LISTING,
	P_PLACES,
	P_NATIVE_IDS,
	P_LIST_PATH,
	P_LIST_URL,
	P_LIST_PRICES,
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
	[P_TEXT_PATH] = { "text_path", SCHEMA_TEXT, false, false },
	[P_EMBED_PATH] = { "embed_path", SCHEMA_TEXT, false, false },
	[P_NOTES] = { "notes", SCHEMA_TEXT, false, false },
	[P_LISTING] = { "listing", SCHEMA_OBJECT, true, false },
	[P_PLACES] = { "places", SCHEMA_OBJECT, false, false },
	[P_NATIVE_IDS] = { "native_ids", SCHEMA_OBJECT, false, false },
	[P_LIST_PATH] = { "list_path", SCHEMA_ID, false, false },
	[P_LIST_URL] = { "list_url", SCHEMA_ID, false, false },
	[P_LIST_PRICES] = { "list_prices", SCHEMA_ID, false, false },
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

/* {"z-ai/":"zai/"}: ids, or their beginnings, and what the provider says instead. */
static enum err_code check_native_ids(
	struct json_object *ids, const struct schema_place *place, struct err *e)
{
	bool good = true;

	if (!ids)
		return ERR_OK;
	json_object_object_foreach(ids, id, native)
	{
		struct slice from = slice_of(id),
			     to = slice_of(json_object_is_type(native, json_type_string)
						   ? json_object_get_string(native)
						   : "");

		good = good && from.len && to.len && to.len < MODEL_ID_MAX &&
		       slice_ends(from, "/") == slice_ends(to, "/");
	}
	return good ? ERR_OK
		    : schema_fail(place, "native_ids",
			      "expected a text for each id; both may end in a slash", e);
}

/* How providers write prices in their lists. */
static bool read_list_unit(const char *name, enum catalog_list_unit *unit)
{
	static const char *const names[] = { [CATALOG_LIST_NO_PRICES] = "",
		[CATALOG_LIST_PER_TOKEN] = "usd-per-token",
		[CATALOG_LIST_PER_MILLION] = "usd-per-million",
		[CATALOG_LIST_CENTS_PER_100M] = "cents-per-100-million",
		[CATALOG_LIST_FREE] = "free" };

	for (size_t i = 0; i < ROWS(names); i++)
		if (strcmp(names[i], name) == 0) {
			*unit = (enum catalog_list_unit)i;
			return true;
		}
	return false;
}

static enum err_code read_list_members(struct json_object *const *v,
	struct catalog_provider_more *more, const struct schema_place *place, struct err *e)
{
	more->list_path = text(v[P_LIST_PATH] ? v[P_LIST_PATH] : v[P_MODELS_PATH]);
	more->list_url = text(v[P_LIST_URL]);
	more->native_ids = v[P_NATIVE_IDS];
	if (more->list_path[0] && more->list_path[0] != '/')
		return schema_fail(place, "list_path", "must begin with a slash", e);
	if (more->list_url[0] && strncmp(more->list_url, "https://", 8) != 0)
		return schema_fail(place, "list_url", "must begin with https://", e);
	if (!read_list_unit(text(v[P_LIST_PRICES]), &more->list_unit))
		return schema_fail(place, "list_prices",
			"expected usd-per-token, usd-per-million, cents-per-100-million or free",
			e);
	return check_native_ids(more->native_ids, place, e);
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
	       strcmp(name, "api-key") == 0 || strcmp(name, "sigv4") == 0 ||
	       strcmp(name, "service-account") == 0;
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
			"expected bearer, x-api-key, x-goog-api-key, api-key, sigv4, "
			"service-account "
			"or none",
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
	p->fim_path = v[P_FIM_PATH] ? text(v[P_FIM_PATH]) : NULL;
	p->text_path = v[P_TEXT_PATH] ? text(v[P_TEXT_PATH]) : NULL;
	p->embed_path = v[P_EMBED_PATH] ? text(v[P_EMBED_PATH]) : NULL;
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
	rc = read_list_members(v, more, place, e);
	if (!rc)
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

/* ---- the outermost object, of any of the files ---- */

static const struct schema_row providers_file[] = {
	{ "version", SCHEMA_COUNT, true, false },
	{ "date", SCHEMA_ID, true, false },
	{ "router_suffixes", SCHEMA_IDS, true, false },
	{ "patterns", SCHEMA_LIST, true, false },
	{ "providers", SCHEMA_LIST, true, false },
};

bool catalog_is_date(const char *s)
{
	static const char shape[] = "0000-00-00";

	for (size_t i = 0; i < sizeof(shape) - 1; i++)
		if (shape[i] == '-' ? s[i] != '-' : s[i] < '0' || s[i] > '9')
			return false;
	return s[sizeof(shape) - 1] == '\0';
}

enum err_code catalog_open_file(const char *file, const struct schema_row *rows, size_t n,
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
	if (!catalog_is_date(text(v[1])))
		return schema_fail(&place, "date", "expected a day such as 2026-11-21", e);
	return ERR_OK;
}

static enum err_code list_routers(struct catalog *c, struct err *e)
{
	c->routers = catalog_keep(c, (c->provider_count + 1) * sizeof(struct catalog_provider *));
	if (!c->routers)
		return no_memory(e);
	for (size_t i = 0; i < c->provider_count; i++)
		if (c->providers[i].public_ids)
			c->routers[c->router_count++] = &c->providers[i];
	return ERR_OK;
}

enum err_code catalog_read_providers(struct catalog *c, const char *file, struct err *e)
{
	struct json_object *v[ROWS(providers_file)];
	enum err_code rc = catalog_open_file(
		file, providers_file, ROWS(providers_file), &c->providers_tree, v, e);
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
	rc = list_routers(c, e);
	return rc ? rc : read_patterns(c, v[3], file, e);
}
