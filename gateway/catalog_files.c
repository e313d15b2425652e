#include "base/json_file.h"
#include "gateway/catalog_data.h"

#define FILE_MAX_BYTES ((size_t)8 << 20)
#define FORMAT_VERSION 1

#define ROWS(table) (sizeof(table) / sizeof((table)[0]))

static enum err_code no_memory(struct err *e)
{
	return err_set(e, ERR_NO_MEMORY, "no memory for the catalogue of models");
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
	struct json_value listing, struct schema_place *place, bool *trains, struct err *e)
{
	struct json_value v[SCHEMA_ROWS_MAX];
	enum err_code rc = schema_read(listing_rows, ROWS(listing_rows), listing, place, v, e);

	/* What is not known counts as the worse. */
	*trains = true;
	if (!rc && schema_has(v[2])) {
		rc = schema_read(policy_rows, ROWS(policy_rows), v[2], place, v, e);
		*trains = !schema_has(v[0]) || json_is_true(v[0]);
	}
	return rc;
}

static bool is_list_of_texts(struct json_value list)
{
	struct json_iter it;
	struct json_value v;
	struct slice key;
	bool good = list.kind == JSON_ARRAY && catalog_length(list) > 0;

	json_iter_init(&it, list);
	while (good && json_iter_next(&it, &key, &v))
		good = v.kind == JSON_STRING;
	return good;
}

/* {"region":["AWS_REGION"]}: names of variables for each place of the URL. */
static enum err_code read_places(struct catalog *c, struct json_value places,
	struct catalog_provider_more *more, const struct schema_place *place, struct err *e)
{
	struct catalog_place *kept = catalog_keep(c, catalog_length(places) * sizeof(*kept));
	struct json_iter it;
	struct json_value list;
	struct slice name;

	if (!kept)
		return no_memory(e);
	more->places = kept;
	json_iter_init(&it, places);
	while (json_iter_next(&it, &name, &list)) {
		struct catalog_place *p = &kept[more->place_count++];

		*p = (struct catalog_place){ catalog_keep_key(c, name),
			catalog_keep_strs(c, list) };
		if (!p->name[0] || !is_list_of_texts(list))
			return schema_fail(
				place, "places", "expected a list of variables for each", e);
	}
	return ERR_OK;
}

/* {"z-ai/":"zai/"}: ids, or their beginnings, and what the provider says instead. */
static enum err_code read_native_ids(struct catalog *c, struct json_value ids,
	struct catalog_provider_more *more, const struct schema_place *place, struct err *e)
{
	struct catalog_native *kept = catalog_keep(c, catalog_length(ids) * sizeof(*kept));
	struct json_iter it;
	struct json_value said;
	struct slice id, from, to;

	if (!kept)
		return no_memory(e);
	more->native_ids = kept;
	json_iter_init(&it, ids);
	while (json_iter_next(&it, &id, &said)) {
		struct catalog_native *n = &kept[more->native_count++];

		*n = (struct catalog_native){ catalog_keep_key(c, id), catalog_keep_str(c, said) };
		from = slice_of(n->id);
		to = slice_of(n->native);
		if (!from.len || !to.len || to.len >= MODEL_ID_MAX ||
			slice_ends(from, "/") != slice_ends(to, "/"))
			return schema_fail(place, "native_ids",
				"expected a text for each id; both may end in a slash", e);
	}
	return ERR_OK;
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

static enum err_code read_list_members(struct catalog *c, const struct json_value *v,
	struct catalog_provider_more *more, const struct schema_place *place, struct err *e)
{
	more->list_path =
		catalog_keep_str(c, schema_has(v[P_LIST_PATH]) ? v[P_LIST_PATH] : v[P_MODELS_PATH]);
	more->list_url = catalog_keep_str(c, v[P_LIST_URL]);
	if (more->list_path[0] && more->list_path[0] != '/')
		return schema_fail(place, "list_path", "must begin with a slash", e);
	if (more->list_url[0] && strncmp(more->list_url, "https://", 8) != 0)
		return schema_fail(place, "list_url", "must begin with https://", e);
	if (!read_list_unit(catalog_keep_str(c, v[P_LIST_PRICES]), &more->list_unit))
		return schema_fail(place, "list_prices",
			"expected usd-per-token, usd-per-million, cents-per-100-million or free",
			e);
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

static const char *text_or_null(struct catalog *c, struct json_value v)
{
	return schema_has(v) ? catalog_keep_str(c, v) : NULL;
}

static enum err_code read_provider(
	struct catalog *c, struct json_value row, struct schema_place *place, struct err *e)
{
	struct catalog_provider *p = &c->providers[c->provider_count];
	struct catalog_provider_more *more = &c->providers_more[c->provider_count];
	struct json_value v[P_COUNT];
	enum err_code rc;
	bool trains;

	rc = schema_read(provider_rows, P_COUNT, row, place, v, e);
	if (!rc)
		rc = check_listing(v[P_LISTING], place, &trains, e);
	if (rc)
		return rc;
	*p = (struct catalog_provider){ .slug = catalog_keep_str(c, v[P_SLUG]),
		.name = catalog_keep_str(c, v[P_NAME]),
		.base_url = catalog_keep_str(c, v[P_BASE_URL]),
		.chat_path = catalog_keep_str(c, v[P_CHAT_PATH]),
		.models_path = catalog_keep_str(c, v[P_MODELS_PATH]),
		.fim_path = text_or_null(c, v[P_FIM_PATH]),
		.text_path = text_or_null(c, v[P_TEXT_PATH]),
		.embed_path = text_or_null(c, v[P_EMBED_PATH]),
		.auth = catalog_keep_str(c, v[P_AUTH]),
		.dialect = catalog_keep_str(c, v[P_DIALECT]),
		.api_key = "",
		.aliases = catalog_keep_strs(c, v[P_ALIASES]),
		.takes_whole_id = json_is_true(v[P_TAKES_WHOLE_ID]),
		.public_ids = json_is_true(v[P_PUBLIC_IDS]),
		.doubles_1h = json_is_true(v[P_DOUBLES_1H]),
		.collects = trains,
		.demo = json_is_true(v[P_DEMO]) };
	*more = (struct catalog_provider_more){ .file_url = p->base_url,
		.host_variable = text_or_null(c, v[P_HOST_VARIABLE]),
		.keys = catalog_keep_strs(c, v[P_KEY_NAMES]),
		.listing = v[P_LISTING],
		.keyless = strcmp(p->auth, "none") == 0 };
	rc = read_places(c, v[P_PLACES], more, place, e);
	if (!rc)
		rc = read_list_members(c, v, more, place, e);
	if (!rc)
		rc = read_native_ids(c, v[P_NATIVE_IDS], more, place, e);
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
	struct catalog *c, struct json_value list, const char *file, struct err *e)
{
	struct json_value row, v[ROWS(pattern_rows)];
	struct json_iter it;
	struct slice key;

	c->patterns = catalog_keep(c, catalog_length(list) * sizeof(*c->patterns));
	if (!c->patterns)
		return no_memory(e);
	json_iter_init(&it, list);
	while (json_iter_next(&it, &key, &row)) {
		struct schema_place place = {
			.file = file, .list = "patterns", .index = c->pattern_count
		};
		struct catalog_pattern *p = &c->patterns[c->pattern_count];
		enum err_code rc = schema_read(pattern_rows, ROWS(pattern_rows), row, &place, v, e);

		if (rc)
			return rc;
		*p = (struct catalog_pattern){ catalog_keep_str(c, v[0]), json_is_true(v[1]),
			catalog_keep_providers(c, v[2]) };
		if (!p->providers)
			return schema_fail(&place, "providers", "names an unknown provider", e);
		c->pattern_count++;
	}
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

bool catalog_is_date(struct json_value v)
{
	static const char shape[] = "\"0000-00-00\"";
	struct slice s = v.raw;

	for (size_t i = 0; i < s.len && i < sizeof(shape) - 1; i++)
		if (shape[i] != '0' ? s.ptr[i] != shape[i] : s.ptr[i] < '0' || s.ptr[i] > '9')
			return false;
	return s.len == sizeof(shape) - 1;
}

enum err_code catalog_open_file(struct catalog *c, const char *file, const struct schema_row *rows,
	size_t n, struct json_value *v, struct err *e)
{
	struct schema_place place = { .file = file };
	struct json_value all;
	struct err inner;
	enum err_code rc =
		json_file_read(file, FILE_MAX_BYTES, &c->texts[c->text_count++], &all, &inner);

	if (rc)
		return err_param(e, rc == ERR_NO_MEMORY ? rc : ERR_CONF, "GATEWAY_CATALOGUE", "%s",
			inner.message);
	rc = schema_read(rows, n, all, &place, v, e);
	if (rc)
		return rc;
	if (schema_count(v[0]) != FORMAT_VERSION)
		return schema_fail(&place, "version", "only version 1 is understood", e);
	if (!catalog_is_date(v[1]))
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
	struct json_value row, v[ROWS(providers_file)];
	enum err_code rc = catalog_open_file(c, file, providers_file, ROWS(providers_file), v, e);
	struct json_iter it;
	struct slice key;

	if (rc)
		return rc;
	c->providers = catalog_keep(c, CATALOG_PROVIDERS_MAX * sizeof(*c->providers));
	c->providers_more = catalog_keep(c, CATALOG_PROVIDERS_MAX * sizeof(*c->providers_more));
	if (!c->providers || !c->providers_more)
		return no_memory(e);
	json_iter_init(&it, v[4]);
	while (json_iter_next(&it, &key, &row)) {
		struct schema_place place = {
			.file = file, .list = "providers", .index = c->provider_count
		};

		/* Room is left for one that the settings name. */
		if (c->provider_count == CATALOG_PROVIDERS_MAX - 1)
			return schema_fail(&(struct schema_place){ .file = file }, "providers",
				"are too many", e);
		rc = read_provider(c, row, &place, e);
		if (rc)
			return rc;
	}
	c->router_suffixes = catalog_keep_strs(c, v[2]);
	rc = c->router_suffixes ? list_routers(c, e) : no_memory(e);
	return rc ? rc : read_patterns(c, v[3], file, e);
}
