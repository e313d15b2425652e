/* The listings of a catalogue: kilo-contract.md sections 13 to 15. No clock, so that a text and
 * its hash only change with the files and settings. */
#include "gateway/catalog_data.h"

#include "base/clock.h"
#include "gateway/auto_models.h"
#include "gateway/listing_row.h"

#include <stdlib.h>

#define TEXT_MAX ((size_t)64 << 20)

static void comma(struct buf *out, bool *first)
{
	if (!*first)
		buf_char(out, ',');
	*first = false;
}

/* ---- what a listing holds, in which order ---- */

static size_t index_of(const struct catalog *c, const struct catalog_model *m)
{
	return (size_t)(m - c->models);
}

static bool is_shown(const struct catalog *c, const struct catalog_model *m, bool all)
{
	return !m->hidden && (all || (!m->embedding && !m->gone && catalog_model_server(c, m)));
}

/* Who serves it; the maker for what nobody serves now. */
static const struct catalog_provider *server_of(
	const struct catalog *c, const struct catalog_model *m)
{
	const struct catalog_provider *p = catalog_model_server(c, m);

	return p ? p : m->provider;
}

/* Preferred models first, by their place; the others as they stand in the file. */
static int by_preference(const void *a, const void *b, void *catalog)
{
	const struct catalog *c = catalog;
	size_t i = index_of(c, *(const struct catalog_model *const *)a);
	size_t k = index_of(c, *(const struct catalog_model *const *)b);
	int p = c->models_more[i].preferred, q = c->models_more[k].preferred;

	if ((p == 0) != (q == 0))
		return p ? -1 : 1;
	if (p != q)
		return p < q ? -1 : 1;
	return i < k ? -1 : 1;
}

static int by_name(const void *a, const void *b, void *unused)
{
	const struct catalog_model *m = *(const struct catalog_model *const *)a;
	const struct catalog_model *o = *(const struct catalog_model *const *)b;
	int d = strcasecmp(m->name, o->name);

	(void)unused;
	return d ? d : strcmp(m->id, o->id);
}

static int by_provider_name(const void *a, const void *b, void *unused)
{
	const struct catalog_provider *p = *(const struct catalog_provider *const *)a;
	const struct catalog_provider *q = *(const struct catalog_provider *const *)b;
	int d = strcasecmp(p->name, q->name);

	(void)unused;
	return d ? d : strcmp(p->slug, q->slug);
}

/* The shown models, of one server or (NULL) of all. Gives *out; free() it. */
static size_t shown_models(const struct catalog *c, bool all, const struct catalog_provider *server,
	const struct catalog_model ***out)
{
	size_t n = 0;

	*out = calloc(c->model_count + 1, sizeof(**out));
	for (size_t i = 0; *out && i < c->model_count; i++) {
		const struct catalog_model *m = &c->models[i];

		if (is_shown(c, m, all) && (!server || server_of(c, m) == server))
			(*out)[n++] = m;
	}
	return n;
}

/* ---- pieces of a model ---- */

static void put_modality(struct buf *out, const struct catalog_row *row)
{
	static const enum catalog_row_member sides[] = { ROW_INPUT, ROW_OUTPUT };
	struct buf text = { .max_bytes = 4096 };
	struct json_iter it;
	struct json_value v;
	struct slice key;

	for (size_t s = 0; s < 2; s++) {
		buf_str(&text, s ? "->" : "");
		json_iter_init(&it, row->v[sides[s]]);
		for (size_t i = 0; json_iter_next(&it, &key, &v); i++) {
			buf_str(&text, i ? "+" : "");
			if (!json_str_decode(v, &text))
				text.failed = true;
		}
	}
	buf_str(out, "\"modality\":");
	buf_json_str(out, buf_slice(&text));
	buf_fini(&text);
}

static void put_price(struct buf *out, const char *key, struct json_value price)
{
	if (!schema_has(price))
		return;
	buf_char(out, ',');
	listing_put(out, key, price);
}

/* Nothing is charged for what has no price. */
static void put_price_or_zero(struct buf *out, const char *key, struct json_value price)
{
	if (schema_has(price))
		listing_put(out, key, price);
	else
		listing_put_text(out, key, "0");
}

static void put_override(struct buf *out, struct json_value step)
{
	listing_put(out, "min_prompt_tokens", json_get(step, "min_prompt_tokens"));
	put_price(out, "prompt", json_get(step, "price_prompt_usd_per_token"));
	put_price(out, "completion", json_get(step, "price_completion_usd_per_token"));
	put_price(out, "input_cache_read", json_get(step, "price_cache_read"));
	put_price(out, "input_cache_write", json_get(step, "price_cache_write"));
}

/* With discount when the schema of section 15 wants it. */
static void put_pricing(struct buf *out, const struct catalog_row *row, bool discount)
{
	struct json_value overrides = row->v[ROW_OVERRIDES], step;
	struct json_iter it;
	struct slice key;

	buf_str(out, "\"pricing\":{");
	put_price_or_zero(out, "request", row->v[ROW_PRICE_REQUEST]);
	buf_char(out, ',');
	put_price_or_zero(out, "image", row->v[ROW_PRICE_IMAGE]);
	buf_str(out, ",\"web_search\":\"0\",");
	put_price_or_zero(out, "internal_reasoning", row->v[ROW_PRICE_REASONING]);
	if (discount)
		buf_str(out, ",\"discount\":0");
	put_price(out, "prompt", row->v[ROW_PRICE_PROMPT]);
	put_price(out, "completion", row->v[ROW_PRICE_COMPLETION]);
	put_price(out, "input_cache_read", row->v[ROW_PRICE_CACHE_READ]);
	put_price(out, "input_cache_write", row->v[ROW_PRICE_CACHE_WRITE]);
	if (schema_has(overrides)) {
		buf_str(out, ",\"overrides\":[");
		json_iter_init(&it, overrides);
		for (size_t i = 0; json_iter_next(&it, &key, &step); i++) {
			buf_str(out, i ? ",{" : "{");
			put_override(out, step);
			buf_char(out, '}');
		}
		buf_char(out, ']');
	}
	buf_char(out, '}');
}

static void put_parameters(
	struct buf *out, const struct catalog_model *m, const struct catalog_row *row)
{
	buf_str(out, "\"supported_parameters\":[");
	if (!m->embedding)
		buf_str(out, "\"max_tokens\",\"temperature\"");
	if (json_is_true(row->v[ROW_TOOLS]))
		buf_str(out, ",\"tools\",\"tool_choice\"");
	if (json_is_true(row->v[ROW_REASONING]))
		buf_str(out, ",\"reasoning\",\"include_reasoning\"");
	buf_char(out, ']');
}

/* Section 13.4: free models say so in their name, unless it ends in a bracket already. The
 * suffix " (new)" is left out: it would make the text depend on the day. */
static void put_name(struct buf *out, const char *key, const struct catalog_model *m)
{
	struct buf name = { .max_bytes = 4096 };

	buf_str(&name, m->name);
	if (m->free && !slice_ends(slice_of(m->name), ")"))
		buf_str(&name, " (free)");
	buf_json_cstr(out, key);
	buf_char(out, ':');
	buf_json_str(out, buf_slice(&name));
	buf_fini(&name);
}

/* "anthropic" of "anthropic/claude"; without an author, the provider. */
static struct slice author_of(const struct catalog_model *m)
{
	struct slice rest = slice_of(m->id), author = slice_cut(&rest, '/');

	return rest.ptr ? author : slice_of(m->provider->slug);
}

/* ---- GET /models ---- */

static void write_row(const struct catalog_model *m, const struct catalog_row *row, bool is_free,
	int preferred, struct buf *out)
{
	buf_char(out, '{');
	listing_put_text(out, "id", m->id);
	buf_str(out, ",\"object\":\"model\",\"owned_by\":");
	buf_json_str(out, author_of(m));
	buf_char(out, ',');
	listing_put_text(out, "canonical_slug", m->id);
	buf_char(out, ',');
	put_name(out, "name", m);
	buf_char(out, ',');
	listing_put(out, "created", row->v[ROW_CREATED]);
	buf_char(out, ',');
	listing_put(out, "description", row->v[ROW_DESCRIPTION]);
	buf_char(out, ',');
	listing_put(out, "context_length", row->v[ROW_CONTEXT_LENGTH]);
	buf_str(out, ",\"architecture\":{");
	put_modality(out, row);
	buf_char(out, ',');
	listing_put(out, "input_modalities", row->v[ROW_INPUT]);
	buf_char(out, ',');
	listing_put(out, "output_modalities", row->v[ROW_OUTPUT]);
	buf_str(out, ",\"tokenizer\":\"Other\",\"instruct_type\":null},");
	put_pricing(out, row, false);
	buf_str(out, ",\"top_provider\":{");
	listing_put(out, "context_length", row->v[ROW_CONTEXT_LENGTH]);
	buf_char(out, ',');
	listing_put(out, "max_completion_tokens", row->v[ROW_MAX_OUTPUT]);
	buf_str(out, ",\"is_moderated\":false},\"per_request_limits\":null,");
	put_parameters(out, m, row);
	buf_str(out, ",\"default_parameters\":{},");
	listing_put_switch(out, "isFree", is_free);
	if (preferred) {
		buf_str(out, ",\"preferredIndex\":");
		buf_int(out, preferred);
	}
	buf_char(out, '}');
}

static void write_model(const struct catalog *c, const struct catalog_model *m, struct buf *out)
{
	struct catalog_row row;

	catalog_row_of(c, m, &row);
	write_row(m, &row, m->free, c->models_more[index_of(c, m)].preferred, out);
}

/* Before all others, and without a word on its price in its name (section 13.4). */
static void write_auto(const struct auto_model *a, struct buf *out)
{
	const struct catalog_model m = { .id = a->id, .name = a->name };

	write_row(&m, &a->row, a->free, -1, out);
}

/* A listing is bounded by the catalogue, not by a peer: let it be as large as it must. */
static void begin(struct buf *out)
{
	if (out->max_bytes < TEXT_MAX)
		out->max_bytes = TEXT_MAX;
}

void catalog_write_models(const struct catalog *c, bool all, struct buf *out)
{
	const struct catalog_model **models;
	size_t n = shown_models(c, all, NULL, &models);
	bool first = true;

	begin(out);
	out->failed = out->failed || !models;
	if (models)
		qsort_r(models, n, sizeof(models[0]), by_preference, (void *)(uintptr_t)c);
	buf_str(out, "{\"object\":\"list\",\"data\":[");
	for (size_t i = 0; i < c->auto_count; i++) {
		if (!all && !auto_models_is_served(&c->autos[i]))
			continue;
		comma(out, &first);
		write_auto(&c->autos[i], out);
	}
	for (size_t i = 0; i < n; i++) {
		/* The auto model of the same name is what a request would get. */
		if (auto_models_find(c, slice_of(models[i]->id)))
			continue;
		comma(out, &first);
		write_model(c, models[i], out);
	}
	buf_str(out, "]}");
	free(models);
}

enum err_code catalog_write_model(
	const struct catalog *c, struct slice id, struct buf *out, struct err *e)
{
	const struct catalog_model *m = catalog_model_find(c, id);
	const struct auto_model *a = auto_models_find(c, id);

	if (a) {
		write_auto(a, out);
		return ERR_OK;
	}
	if (!m || m->hidden)
		return err_param(e, ERR_MODEL_NOT_FOUND, "model",
			"there is no model \"%.*s\" here; GET /v1/models lists the models",
			(int)(id.len > 100 ? 100 : id.len), id.ptr);
	write_model(c, m, out);
	return ERR_OK;
}

/* ---- GET /providers ---- */

static const struct catalog_provider_more *more_of(
	const struct catalog *c, const struct catalog_provider *p)
{
	return &c->providers_more[p - c->providers];
}

static void put_provider_names(struct buf *out, const struct catalog_provider *p)
{
	listing_put_text(out, "name", p->name);
	buf_char(out, ',');
	listing_put_text(out, "displayName", p->name);
	buf_char(out, ',');
	listing_put_text(out, "slug", p->slug);
}

static void write_provider(
	const struct catalog *c, const struct catalog_provider *p, struct buf *out)
{
	static const char *const switches[][2] = { { "hasCompletions", "has_completions" },
		{ "isAbortable", "is_abortable" }, { "moderationRequired", "moderation_required" },
		{ "isMultipartSupported", "is_multipart_supported" } };
	struct json_value listing = more_of(c, p)->listing;

	buf_char(out, '{');
	put_provider_names(out, p);
	/* The address of the file: where the operator really sends requests is nobody's business.
	 */
	buf_char(out, ',');
	listing_put_text(out, "baseUrl", more_of(c, p)->file_url);
	buf_char(out, ',');
	listing_put_policy(out, "dataPolicy", listing);
	buf_char(out, ',');
	listing_put_place(out, listing);
	buf_char(out, ',');
	listing_put_switch(out, "hasChatCompletions", p->provider != NULL);
	for (size_t i = 0; i < sizeof(switches) / sizeof(switches[0]); i++) {
		buf_char(out, ',');
		listing_put_switch(
			out, switches[i][0], listing_is_on(listing, switches[i][1], false));
	}
	/* False until callers can store keys of their own. */
	buf_str(out, ",\"byokEnabled\":false,\"editors\":[],\"owners\":[],"
		     "\"ignoredProviderModels\":[],");
	listing_put_text(out, "adapterName", p->dialect);
	buf_char(out, ',');
	listing_put(out, "statusPageUrl", json_get(listing, "status_page_url"));
	buf_char(out, '}');
}

static size_t sorted_providers(const struct catalog *c, const struct catalog_provider ***out)
{
	*out = calloc(c->provider_count + 1, sizeof(**out));
	for (size_t i = 0; *out && i < c->provider_count; i++)
		(*out)[i] = &c->providers[i];
	if (*out)
		qsort_r(*out, c->provider_count, sizeof(**out), by_provider_name, NULL);
	return *out ? c->provider_count : 0;
}

void catalog_write_providers(const struct catalog *c, bool all, struct buf *out)
{
	const struct catalog_provider **list;
	size_t n = sorted_providers(c, &list);
	bool first = true;

	begin(out);
	out->failed = out->failed || !list;
	buf_str(out, "{\"object\":\"list\",\"data\":[");
	for (size_t i = 0; i < n; i++) {
		if (!all && !list[i]->configured)
			continue;
		comma(out, &first);
		write_provider(c, list[i], out);
	}
	buf_str(out, "]}");
	free(list);
}

/* ---- GET /models-by-provider ---- */

static void put_iso(struct buf *out, const char *key, const struct catalog *c, int64_t unix_s)
{
	char iso[CLOCK_ISO_SIZE];

	clock_iso(unix_s * 1000, iso);
	buf_json_cstr(out, key);
	if (unix_s)
		buf_printf(out, ":\"%s\"", iso);
	else
		buf_printf(out, ":\"%sT00:00:00.000Z\"", c->date);
}

static const char *short_name(const char *name)
{
	const char *colon = strstr(name, ": ");

	return colon && colon[2] ? colon + 2 : name;
}

/* The members that a model and the model inside its endpoint share. */
static void put_base(struct buf *out, const struct catalog *c, const struct catalog_model *m,
	const struct catalog_row *row)
{
	listing_put_text(out, "slug", m->id);
	buf_str(out, ",\"hf_slug\":null,");
	put_iso(out, "updated_at", c, 0);
	buf_char(out, ',');
	put_iso(out, "created_at", c, schema_count(row->v[ROW_CREATED]));
	buf_str(out, ",\"hf_updated_at\":null,");
	put_name(out, "name", m);
	buf_char(out, ',');
	listing_put_text(out, "short_name", short_name(m->name));
	buf_str(out, ",\"author\":");
	buf_json_str(out, author_of(m));
	buf_char(out, ',');
	listing_put(out, "description", row->v[ROW_DESCRIPTION]);
	buf_str(out, ",\"model_version_group_id\":null,");
	listing_put(out, "context_length", row->v[ROW_CONTEXT_LENGTH]);
	buf_char(out, ',');
	listing_put(out, "input_modalities", row->v[ROW_INPUT]);
	buf_char(out, ',');
	listing_put(out, "output_modalities", row->v[ROW_OUTPUT]);
	buf_char(out, ',');
	listing_put_switch(out, "has_text_output", !m->embedding);
	buf_str(out, ",\"group\":\"Other\",\"instruct_type\":null,\"default_system\":null,"
		     "\"default_stops\":[],\"hidden\":false,\"router\":null,"
		     "\"warning_message\":null,");
	listing_put_text(out, "permaslug", m->id);
	buf_str(out, ",\"reasoning_config\":null,\"features\":null,\"default_parameters\":{}");
}

static void put_endpoint(struct buf *out, const struct catalog *c, const struct catalog_model *m,
	const struct catalog_row *row, const struct catalog_provider *p)
{
	struct json_value listing = more_of(c, p)->listing;
	const char *native = p == m->provider ? m->native_id : m->id;

	buf_str(out, "{\"id\":");
	buf_json_cstr(out, m->id);
	buf_char(out, ',');
	listing_put_text(out, "name", m->name);
	buf_char(out, ',');
	listing_put(out, "context_length", row->v[ROW_CONTEXT_LENGTH]);
	buf_str(out, ",\"model\":{");
	put_base(out, c, m, row);
	buf_str(out, "},");
	listing_put_text(out, "model_variant_slug", m->id);
	buf_char(out, ',');
	listing_put_text(out, "model_variant_permaslug", m->id);
	buf_char(out, ',');
	listing_put_text(out, "adapter_name", p->dialect);
	buf_char(out, ',');
	listing_put_text(out, "provider_name", p->name);
	buf_str(out, ",\"provider_info\":");
	write_provider(c, p, out);
	buf_char(out, ',');
	listing_put_text(out, "provider_display_name", p->name);
	buf_char(out, ',');
	listing_put_text(out, "provider_slug", p->slug);
	buf_char(out, ',');
	listing_put_text(out, "provider_model_id", native);
	buf_str(out, ",\"quantization\":null,");
	listing_put_text(out, "variant", m->free ? "free" : "standard");
	buf_char(out, ',');
	listing_put_switch(out, "is_free", m->free);
	buf_char(out, ',');
	listing_put_switch(out, "can_abort", listing_is_on(listing, "is_abortable", false));
	buf_str(out, ",\"max_prompt_tokens\":null,");
	listing_put(out, "max_completion_tokens", row->v[ROW_MAX_OUTPUT]);
	buf_str(out, ",\"max_prompt_images\":null,\"max_tokens_per_image\":null,");
	put_parameters(out, m, row);
	buf_str(out, ",\"is_byok\":false,");
	listing_put_switch(
		out, "moderation_required", listing_is_on(listing, "moderation_required", false));
	buf_char(out, ',');
	listing_put_policy(out, "data_policy", listing);
	buf_char(out, ',');
	put_pricing(out, row, true);
	buf_str(out, ",\"variable_pricings\":[],\"is_hidden\":false,\"is_deranked\":false,");
	listing_put_switch(out, "is_disabled", !catalog_model_server(c, m));
	buf_char(out, ',');
	listing_put(out, "supports_tool_parameters", row->v[ROW_TOOLS]);
	buf_char(out, ',');
	listing_put(out, "supports_reasoning", row->v[ROW_REASONING]);
	buf_char(out, ',');
	listing_put_switch(
		out, "supports_multipart", listing_is_on(listing, "is_multipart_supported", false));
	buf_str(out, ",\"limit_rpm\":null,\"limit_rpd\":null,\"limit_rpm_cf\":null,");
	listing_put_switch(
		out, "has_completions", listing_is_on(listing, "has_completions", false));
	buf_char(out, ',');
	listing_put_switch(out, "has_chat_completions", p->provider && !m->embedding);
	buf_str(out, ",\"features\":{},\"provider_region\":null}");
}

/* Two entries with one slug but for ":free" both stay: the free one must not hide the other. */
static size_t write_group(
	const struct catalog *c, const struct catalog_provider *p, bool all, struct buf *out)
{
	const struct catalog_model **models;
	size_t n = shown_models(c, all, p, &models);

	out->failed = out->failed || !models;
	if (n)
		qsort_r(models, n, sizeof(models[0]), by_name, NULL);
	for (size_t i = 0; i < n; i++) {
		struct catalog_row row;

		catalog_row_of(c, models[i], &row);
		buf_str(out, i ? ",{" : "{");
		put_base(out, c, models[i], &row);
		buf_str(out, ",\"endpoint\":");
		put_endpoint(out, c, models[i], &row, p);
		buf_char(out, '}');
	}
	free(models);
	return n;
}

void catalog_write_models_by_provider(const struct catalog *c, bool all, struct buf *out)
{
	const struct catalog_provider **list;
	size_t n = sorted_providers(c, &list), providers = 0, models = 0;

	begin(out);
	out->failed = out->failed || !list;
	buf_str(out, "{\"object\":\"list\",\"providers\":[");
	for (size_t i = 0; i < n; i++) {
		struct buf group = { .max_bytes = TEXT_MAX };
		size_t served = write_group(c, list[i], all, &group);
		struct json_value listing = more_of(c, list[i])->listing;

		out->failed = out->failed || !buf_ok(&group);
		if (served) {
			buf_str(out, providers ? ",{" : "{");
			put_provider_names(out, list[i]);
			buf_char(out, ',');
			listing_put_policy(out, "dataPolicy", listing);
			buf_char(out, ',');
			listing_put_place(out, listing);
			buf_str(out, ",\"models\":[");
			buf_slice_append(out, buf_slice(&group));
			buf_str(out, "]}");
			providers++;
			models += served;
		}
		buf_fini(&group);
	}
	buf_printf(out, "],\"total_providers\":%zu,\"total_models\":%zu,", providers, models);
	put_iso(out, "generated_at", c, 0);
	buf_char(out, '}');
	free(list);
}
