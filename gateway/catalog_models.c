/* The models of the shipped file, and the two files of GATEWAY_HOME that lie over it. */
#include "gateway/catalog_data.h"
#include "gateway/selftest.h"

#include "store/home.h"

#include <errno.h>

#define THINKING_MS 45000 /* to the first token of a model that reasons */

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

static const struct schema_row models_file[] = {
	{ "version", SCHEMA_COUNT, true, false },
	{ "date", SCHEMA_ID, true, false },
	{ "preferred", SCHEMA_IDS, true, false },
	{ "models", SCHEMA_LIST, true, false },
};

/* ---- one model ---- */

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
	M_PREFILL,
	M_FIRST_TOKEN,
	M_NOTE,
	M_PRICE_DATE,
	M_SOURCE,
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
	[M_PRICE_PROMPT] = { "price_prompt_usd_per_token", SCHEMA_PRICE, false, false },
	[M_PRICE_COMPLETION] = { "price_completion_usd_per_token", SCHEMA_PRICE, false, false },
	[M_PRICE_CACHE_READ] = { "price_cache_read", SCHEMA_PRICE, false, true },
	[M_PRICE_CACHE_WRITE] = { "price_cache_write", SCHEMA_PRICE, false, true },
	[M_PRICE_CACHE_WRITE_1H] = { "price_cache_write_1h", SCHEMA_PRICE, false, true },
	[M_PRICE_REASONING] = { "price_reasoning", SCHEMA_PRICE, false, true },
	[M_PRICE_REQUEST] = { "price_request", SCHEMA_PRICE, false, false },
	[M_PRICE_IMAGE] = { "price_image", SCHEMA_PRICE, false, false },
	[M_OVERRIDES] = { "overrides", SCHEMA_LIST, false, false },
	[M_FREE] = { "free", SCHEMA_SWITCH, false, false },
	[M_PREFILL] = { "prefill", SCHEMA_SWITCH, false, false },
	[M_FIRST_TOKEN] = { "first_token_ms", SCHEMA_COUNT, false, false },
	[M_NOTE] = { "note", SCHEMA_TEXT, false, false },
	[M_PRICE_DATE] = { "price_date", SCHEMA_ID, false, false },
	[M_SOURCE] = { "source", SCHEMA_ID, false, false },
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
	/* Known are both prices or none: half a bill would pass for a whole one. */
	if (!v[M_PRICE_PROMPT] != !v[M_PRICE_COMPLETION])
		return schema_fail(place,
			v[M_PRICE_PROMPT] ? "price_completion_usd_per_token"
					  : "price_prompt_usd_per_token",
			"is missing, but the other price is there", e);
	if (!v[M_PRICE_PROMPT])
		return ERR_OK;
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

/* Models that think are silent for a while before they speak, unless their row knows better. */
static int64_t first_token_ms(struct json_object *const *v)
{
	if (v[M_FIRST_TOKEN])
		return json_object_get_int64(v[M_FIRST_TOKEN]);
	return yes(v[M_REASONING]) ? THINKING_MS : 0;
}

/* Reads a row into the place of m, whatever was there. */
static enum err_code read_row(struct catalog *c, struct catalog_model *m, struct json_object *row,
	struct schema_place *place, struct err *e)
{
	struct catalog_model_more *more = &c->models_more[m - c->models];
	struct json_object *v[M_COUNT];
	enum err_code rc = schema_read(model_rows, M_COUNT, row, place, v, e);

	if (rc)
		return rc;
	*m = (struct catalog_model){ .id = text(v[M_ID]),
		.name = text(v[M_NAME]),
		.native_id = text(v[M_NATIVE_ID]),
		.provider = catalog_provider_find(c, slice_of(text(v[M_PROVIDER]))),
		.free = yes(v[M_FREE]) || slice_ends(slice_of(text(v[M_ID])), ":free"),
		.max_output = v[M_MAX_OUTPUT] ? json_object_get_int64(v[M_MAX_OUTPUT]) : 0,
		.prefill = yes(v[M_PREFILL]),
		.first_token_ms = first_token_ms(v),
		.embedding = lists(v[M_OUTPUT], "embeddings") };
	if (strlen(m->id) >= MODEL_ID_MAX)
		return schema_fail(place, "id", "is too long", e);
	if (strlen(m->native_id) >= MODEL_ID_MAX)
		return schema_fail(place, "native_id", "is too long", e);
	if (!m->provider)
		return schema_fail(place, "provider", "is not in providers.json", e);
	if (v[M_PRICE_DATE] && !catalog_is_date(text(v[M_PRICE_DATE])))
		return schema_fail(place, "price_date", "expected a day such as 2026-11-21", e);
	more->row = row;
	more->price_date = v[M_PRICE_DATE] ? text(v[M_PRICE_DATE]) : c->shipped_date;
	more->source = text(v[M_SOURCE]);
	return read_prices(c, m, v, place, e);
}

static enum err_code add_row(
	struct catalog *c, struct json_object *row, struct schema_place *place, struct err *e)
{
	struct catalog_model *m = &c->models[c->model_count];
	enum err_code rc = read_row(c, m, row, place, e);
	size_t at;

	if (rc)
		return rc;
	at = catalog_cell(c, slice_of(m->id));
	if (c->ids[at])
		return schema_fail(place, "id", "stands in the file twice", e);
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

/* ---- what providers were found to have ---- */

static const struct schema_row found_file[] = {
	{ "version", SCHEMA_COUNT, true, false },
	{ "date", SCHEMA_ID, true, false },
	{ "gone", SCHEMA_IDS, true, false },
	{ "models", SCHEMA_LIST, true, false },
};

enum err_code catalog_open_own(const char *file, const struct schema_row *rows, size_t n,
	struct json_object **tree, struct json_object **v, struct err *e)
{
	struct stat st;
	enum err_code rc;

	if (!file[0] || (stat(file, &st) != 0 && (errno == ENOENT || errno == ENOTDIR)))
		return ERR_OK;
	if (stat(file, &st) != 0)
		return err_errno(e, errno, "%s", file);
	/* It decides what is paid: nobody else may write it. */
	rc = home_check_file(file, &st, e);
	return rc ? rc : catalog_open_file(file, rows, n, tree, v, e);
}

static const char *later(const char *day, const char *other)
{
	return strcmp(day, other) > 0 ? day : other;
}

/* A row that was found before the shipped file was made gives way to it, and one whose provider a
 * newer release no longer knows is passed over. */
static bool is_outdated(const struct catalog *c, struct json_object *row, bool is_shipped)
{
	const char *slug = json_member_str(row, "provider", "");

	return !catalog_provider_find(c, slice_of(slug)) ||
	       (is_shipped &&
		       strcmp(json_member_str(row, "price_date", "9999"), c->shipped_date) < 0);
}

static enum err_code lay_found(struct catalog *c, struct json_object *const *v, const char *file,
	size_t shipped, struct err *e)
{
	for (size_t i = 0; i < json_object_array_length(v[3]); i++) {
		struct json_object *row = json_object_array_get_idx(v[3], i);
		struct schema_place place = { file, "models", i, NULL };
		const char *id = json_member_str(row, "id", "");
		const struct catalog_model *m = catalog_model_find(c, slice_of(id));
		enum err_code rc = ERR_OK;

		if (is_outdated(c, row, m && (size_t)(m - c->models) < shipped))
			continue;
		rc = m ? read_row(c, &c->models[m - c->models], row, &place, e)
		       : add_row(c, row, &place, e);
		if (rc)
			return rc;
	}
	for (size_t i = 0; i < json_object_array_length(v[2]); i++) {
		const char *id = text(json_object_array_get_idx(v[2], i));
		const struct catalog_model *m = catalog_model_find(c, slice_of(id));

		if (m)
			c->models[m - c->models].gone = true;
	}
	return ERR_OK;
}

/* ---- the operator's prices ---- */

static const struct schema_row prices_file[] = {
	{ "version", SCHEMA_COUNT, true, false },
	{ "date", SCHEMA_ID, true, false },
	{ "models", SCHEMA_LIST, true, false },
};

enum { W_ID, W_DATE, W_HIDDEN, W_PRICES };

static const struct schema_row word_rows[] = {
	[W_ID] = { "id", SCHEMA_ID, true, false },
	[W_DATE] = { "date", SCHEMA_ID, true, false },
	[W_HIDDEN] = { "hidden", SCHEMA_SWITCH, false, false },
	[W_PRICES] = { "prices", SCHEMA_OBJECT, false, false },
};

/* The row with these prices instead of all it had. */
static struct json_object *with_prices(
	struct json_object *row, struct json_object *prices, const char *date)
{
	static const char *const others[] = { "overrides", "price_prompt_usd_per_token",
		"price_completion_usd_per_token", "price_cache_read", "price_cache_write",
		"price_cache_write_1h", "price_reasoning", "price_request", "price_image" };
	struct json_object *made = NULL;

	if (json_object_deep_copy(row, &made, NULL) != 0)
		return NULL;
	for (size_t i = 0; i < ROWS(others); i++)
		json_object_object_del(made, others[i]);
	json_object_object_foreach(prices, name, price)
	{
		json_object_object_add(made, name, json_object_get(price));
	}
	json_object_object_add(made, "price_date", json_object_new_string(date));
	json_object_object_add(made, "source", json_object_new_string("operator"));
	return made;
}

static enum err_code check_price_names(
	struct json_object *prices, const struct schema_place *place, struct err *e)
{
	json_object_object_foreach(prices, name, price)
	{
		(void)price;
		if (strncmp(name, "price_", 6) != 0 || strcmp(name, "price_date") == 0)
			return schema_fail(place, name, "is no price", e);
	}
	return ERR_OK;
}

/* Models that are not there now keep their prices for when they come back. */
static enum err_code lay_prices(
	struct catalog *c, struct json_object *list, const char *file, struct err *e)
{
	struct json_object *v[ROWS(word_rows)];

	c->made_rows = json_object_new_array();
	for (size_t i = 0; i < json_object_array_length(list); i++) {
		struct schema_place place = { file, "models", i, NULL };
		enum err_code rc = schema_read(word_rows, ROWS(word_rows),
			json_object_array_get_idx(list, i), &place, v, e);
		const struct catalog_model *found;
		struct catalog_model *m;
		struct json_object *row;
		bool gone;

		if (!rc && !catalog_is_date(text(v[W_DATE])))
			rc = schema_fail(&place, "date", "expected a day such as 2026-11-21", e);
		if (!rc && v[W_PRICES])
			rc = check_price_names(v[W_PRICES], &place, e);
		if (rc)
			return rc;
		found = catalog_model_find(c, slice_of(text(v[W_ID])));
		if (!found)
			continue;
		m = &c->models[found - c->models];
		gone = m->gone;
		if (v[W_PRICES]) {
			row = with_prices(c->models_more[found - c->models].row, v[W_PRICES],
				text(v[W_DATE]));
			if (!row || json_object_array_add(c->made_rows, row) != 0)
				return no_memory(e);
			rc = read_row(c, m, row, &place, e);
			if (rc)
				return rc;
		}
		m->gone = gone;
		m->hidden = yes(v[W_HIDDEN]);
	}
	return ERR_OK;
}

/* ---- all of it ---- */

/* Behind the n of the files is room for those of a self-test. */
static enum err_code make_room(struct catalog *c, size_t n, struct err *e)
{
	size_t room = n + 1 + SELFTEST_MODELS_MAX;

	for (c->ids_size = 16; c->ids_size < 2 * n;)
		c->ids_size *= 2;
	c->models = catalog_keep(c, room * sizeof(*c->models));
	c->models_more = catalog_keep(c, room * sizeof(*c->models_more));
	c->ids = catalog_keep(c, c->ids_size * sizeof(*c->ids));
	return c->models && c->models_more && c->ids ? ERR_OK : no_memory(e);
}

static enum err_code read_shipped(
	struct catalog *c, struct json_object *const *v, const char *file, struct err *e)
{
	for (size_t i = 0; i < json_object_array_length(v[3]); i++) {
		struct schema_place place = { file, "models", i, NULL };
		enum err_code rc = add_row(c, json_object_array_get_idx(v[3], i), &place, e);

		if (rc)
			return rc;
	}
	return read_preferred(c, v[2], file, e);
}

enum err_code catalog_read_models(
	struct catalog *c, const char *file, const char *found, const char *prices, struct err *e)
{
	struct json_object *v[ROWS(models_file)], *w[ROWS(found_file)], *x[ROWS(prices_file)];
	enum err_code rc =
		catalog_open_file(file, models_file, ROWS(models_file), &c->models_tree, v, e);
	size_t n;

	if (!rc)
		rc = catalog_open_own(found, found_file, ROWS(found_file), &c->found_tree, w, e);
	if (!rc)
		rc = catalog_open_own(
			prices, prices_file, ROWS(prices_file), &c->prices_tree, x, e);
	if (rc)
		return rc;
	n = json_object_array_length(v[3]) + (c->found_tree ? json_object_array_length(w[3]) : 0);
	if (n > CATALOG_MODELS_MAX)
		return schema_fail(&(struct schema_place){ .file = c->found_tree ? found : file },
			"models", "are too many", e);
	c->date = c->shipped_date = text(v[1]);
	if (c->found_tree)
		c->date = later(c->date, text(w[1]));
	if (c->prices_tree)
		c->date = later(c->date, text(x[1]));
	rc = make_room(c, n, e);
	if (!rc)
		rc = read_shipped(c, v, file, e);
	if (!rc && c->found_tree)
		rc = lay_found(c, w, found, c->model_count, e);
	if (!rc && c->prices_tree)
		rc = lay_prices(c, x[2], prices, e);
	return rc;
}
