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

static const struct schema_row models_file[] = {
	{ "version", SCHEMA_COUNT, true, false },
	{ "date", SCHEMA_ID, true, false },
	{ "preferred", SCHEMA_IDS, true, false },
	{ "models", SCHEMA_LIST, true, false },
};

/* ---- one model ---- */

static const struct schema_row model_rows[ROW_COUNT] = {
	[ROW_ID] = { "id", SCHEMA_ID, true, false },
	[ROW_PROVIDER] = { "provider", SCHEMA_ID, true, false },
	[ROW_NATIVE_ID] = { "native_id", SCHEMA_ID, true, false },
	[ROW_NAME] = { "name", SCHEMA_TEXT, true, false },
	[ROW_DESCRIPTION] = { "description", SCHEMA_TEXT, true, false },
	[ROW_CREATED] = { "created", SCHEMA_COUNT, true, false },
	[ROW_CONTEXT_LENGTH] = { "context_length", SCHEMA_COUNT, true, false },
	[ROW_MAX_OUTPUT] = { "max_output", SCHEMA_COUNT, true, true },
	[ROW_INPUT] = { "input_modalities", SCHEMA_IDS, true, false },
	[ROW_OUTPUT] = { "output_modalities", SCHEMA_IDS, true, false },
	[ROW_TOOLS] = { "supports_tools", SCHEMA_SWITCH, true, false },
	[ROW_REASONING] = { "supports_reasoning", SCHEMA_SWITCH, true, false },
	[ROW_PRICE_PROMPT] = { "price_prompt_usd_per_token", SCHEMA_PRICE, false, false },
	[ROW_PRICE_COMPLETION] = { "price_completion_usd_per_token", SCHEMA_PRICE, false, false },
	[ROW_PRICE_CACHE_READ] = { "price_cache_read", SCHEMA_PRICE, false, true },
	[ROW_PRICE_CACHE_WRITE] = { "price_cache_write", SCHEMA_PRICE, false, true },
	[ROW_PRICE_CACHE_WRITE_1H] = { "price_cache_write_1h", SCHEMA_PRICE, false, true },
	[ROW_PRICE_REASONING] = { "price_reasoning", SCHEMA_PRICE, false, true },
	[ROW_PRICE_REQUEST] = { "price_request", SCHEMA_PRICE, false, false },
	[ROW_PRICE_IMAGE] = { "price_image", SCHEMA_PRICE, false, false },
	[ROW_OVERRIDES] = { "overrides", SCHEMA_LIST, false, false },
	[ROW_FREE] = { "free", SCHEMA_SWITCH, false, false },
	[ROW_PREFILL] = { "prefill", SCHEMA_SWITCH, false, false },
	[ROW_FIRST_TOKEN] = { "first_token_ms", SCHEMA_COUNT, false, false },
	[ROW_NOTE] = { "note", SCHEMA_TEXT, false, false },
	[ROW_PRICE_DATE] = { "price_date", SCHEMA_ID, false, false },
	[ROW_SOURCE] = { "source", SCHEMA_ID, false, false },
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

void catalog_row_of(const struct catalog *c, const struct catalog_model *m, struct catalog_row *out)
{
	schema_take(model_rows, ROW_COUNT, c->models_more[m - c->models].row, out->v);
}

static const char *text_or_null(struct catalog *c, struct json_value v)
{
	return schema_has(v) ? catalog_keep_str(c, v) : NULL;
}

static enum err_code read_overrides(struct catalog *c, struct json_value list,
	struct schema_place *place, struct cost_step_text *steps, size_t *n, struct err *e)
{
	struct json_value row, v[O_COUNT];
	struct json_iter it;
	struct slice key;

	*n = 0;
	if (catalog_length(list) > COST_STEPS)
		return schema_fail(place, "overrides", "are too many", e);
	json_iter_init(&it, list);
	while (json_iter_next(&it, &key, &row)) {
		enum err_code rc = schema_read(override_rows, O_COUNT, row, place, v, e);

		if (rc)
			return rc;
		steps[(*n)++] = (struct cost_step_text){ .above_tokens = schema_count(v[O_ABOVE]),
			.prices = {
				.prompt = text_or_null(c, v[O_PROMPT]),
				.completion = text_or_null(c, v[O_COMPLETION]),
				.cache_read = text_or_null(c, v[O_CACHE_READ]),
				.cache_write = text_or_null(c, v[O_CACHE_WRITE]),
				.cache_write_1h = text_or_null(c, v[O_CACHE_WRITE_1H]),
				.reasoning = text_or_null(c, v[O_REASONING]),
			} };
	}
	return ERR_OK;
}

static enum err_code read_prices(struct catalog *c, struct catalog_model *m,
	const struct json_value *v, struct schema_place *place, struct err *e)
{
	bool has_prompt = schema_has(v[ROW_PRICE_PROMPT]),
	     has_completion = schema_has(v[ROW_PRICE_COMPLETION]);
	struct cost_step_text steps[COST_STEPS];
	struct cost_offer offer = { .doubles_1h = m->provider->doubles_1h, .steps = steps };
	struct cost_table *table;
	struct err inner;
	enum err_code rc = read_overrides(c, v[ROW_OVERRIDES], place, steps, &offer.steps_n, e);

	if (rc)
		return rc;
	/* Known are both prices or none: half a bill would pass for a whole one. */
	if (has_prompt != has_completion)
		return schema_fail(place,
			has_prompt ? "price_completion_usd_per_token"
				   : "price_prompt_usd_per_token",
			"is missing, but the other price is there", e);
	if (!has_prompt)
		return ERR_OK;
	offer.base = (struct cost_texts){ .prompt = text_or_null(c, v[ROW_PRICE_PROMPT]),
		.completion = text_or_null(c, v[ROW_PRICE_COMPLETION]),
		.cache_read = text_or_null(c, v[ROW_PRICE_CACHE_READ]),
		.cache_write = text_or_null(c, v[ROW_PRICE_CACHE_WRITE]),
		.cache_write_1h = text_or_null(c, v[ROW_PRICE_CACHE_WRITE_1H]),
		.reasoning = text_or_null(c, v[ROW_PRICE_REASONING]) };
	offer.request = text_or_null(c, v[ROW_PRICE_REQUEST]);
	offer.image = text_or_null(c, v[ROW_PRICE_IMAGE]);
	table = catalog_keep(c, sizeof(*table));
	if (!table)
		return no_memory(e);
	/* Each price was read once, by its row: what is left to fail is the order of the steps. */
	if (cost_table_init(table, &offer, &inner))
		return schema_fail(place, "overrides", inner.message, e);
	m->prices = table;
	return ERR_OK;
}

static bool lists(struct json_value list, const char *word)
{
	struct json_iter it;
	struct json_value v;
	struct slice key;

	json_iter_init(&it, list);
	while (json_iter_next(&it, &key, &v))
		if (json_str_is(v.raw, word))
			return true;
	return false;
}

/* Models that think are silent for a while before they speak, unless their row knows better. */
static int64_t first_token_ms(const struct json_value *v)
{
	if (schema_has(v[ROW_FIRST_TOKEN]))
		return schema_count(v[ROW_FIRST_TOKEN]);
	return json_is_true(v[ROW_REASONING]) ? THINKING_MS : 0;
}

/* Reads a row into the place of m, whatever was there. */
static enum err_code read_row(struct catalog *c, struct catalog_model *m, struct json_value row,
	struct schema_place *place, struct err *e)
{
	struct catalog_model_more *more = &c->models_more[m - c->models];
	struct json_value v[ROW_COUNT];
	enum err_code rc = schema_read(model_rows, ROW_COUNT, row, place, v, e);

	if (rc)
		return rc;
	*m = (struct catalog_model){ .id = catalog_keep_str(c, v[ROW_ID]),
		.name = catalog_keep_str(c, v[ROW_NAME]),
		.native_id = catalog_keep_str(c, v[ROW_NATIVE_ID]),
		.provider = catalog_provider_spelled(c, v[ROW_PROVIDER]),
		.max_output = schema_count(v[ROW_MAX_OUTPUT]),
		.prefill = json_is_true(v[ROW_PREFILL]),
		.first_token_ms = first_token_ms(v),
		.takes_tools = json_is_true(v[ROW_TOOLS]),
		.takes_images = lists(v[ROW_INPUT], "image"),
		.embedding = lists(v[ROW_OUTPUT], "embeddings") };
	m->free = json_is_true(v[ROW_FREE]) || slice_ends(slice_of(m->id), ":free");
	if (strlen(m->id) >= MODEL_ID_MAX)
		return schema_fail(place, "id", "is too long", e);
	if (strlen(m->native_id) >= MODEL_ID_MAX)
		return schema_fail(place, "native_id", "is too long", e);
	if (!m->provider)
		return schema_fail(place, "provider", "is not in providers.json", e);
	if (schema_has(v[ROW_PRICE_DATE]) && !catalog_is_date(v[ROW_PRICE_DATE]))
		return schema_fail(place, "price_date", "expected a day such as 2026-11-21", e);
	more->row = row;
	more->price_date = schema_has(v[ROW_PRICE_DATE]) ? catalog_keep_str(c, v[ROW_PRICE_DATE])
							 : c->shipped_date;
	more->source = catalog_keep_str(c, v[ROW_SOURCE]);
	return read_prices(c, m, v, place, e);
}

static enum err_code add_row(
	struct catalog *c, struct json_value row, struct schema_place *place, struct err *e)
{
	struct catalog_model *m = &c->models[c->model_count];
	enum err_code rc;
	size_t at;

	if (c->model_count == c->model_room)
		return schema_fail(
			&(struct schema_place){ .file = place->file }, "models", "are too many", e);
	rc = read_row(c, m, row, place, e);
	if (rc)
		return rc;
	at = catalog_cell(c, slice_of(m->id));
	if (c->ids[at])
		return schema_fail(place, "id", "stands in the file twice", e);
	c->ids[at] = (uint16_t)++c->model_count;
	return ERR_OK;
}

/* What v spells, to be changed. */
static struct catalog_model *model_spelled(struct catalog *c, struct json_value v)
{
	const struct catalog_model *m = catalog_model_spelled(c, v);

	return m ? &c->models[m - c->models] : NULL;
}

static enum err_code read_preferred(
	struct catalog *c, struct json_value list, const char *file, struct err *e)
{
	struct json_iter it;
	struct json_value id;
	struct slice key;
	int place = 0;

	json_iter_init(&it, list);
	while (json_iter_next(&it, &key, &id)) {
		const struct catalog_model *m = model_spelled(c, id);

		if (!m)
			return schema_fail(
				&(struct schema_place){ file, "preferred", (size_t)place,
					slice_from(slice_first(id.raw, id.raw.len - 1), 1) },
				"value", "is not among the models", e);
		c->models_more[m - c->models].preferred = ++place;
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

enum err_code catalog_open_own(struct catalog *c, const char *file, const struct schema_row *rows,
	size_t n, struct json_value *v, struct err *e)
{
	struct stat st;
	enum err_code rc;

	schema_take(rows, n, (struct json_value){ JSON_ABSENT, SLICE("") }, v);
	if (!file[0])
		return ERR_OK;
	if (stat(file, &st) != 0)
		return errno == ENOENT || errno == ENOTDIR ? ERR_OK
							   : err_errno(e, errno, "%s", file);
	/* It decides what is paid: nobody else may write it. */
	rc = home_check_file(file, &st, e);
	return rc ? rc : catalog_open_file(c, file, rows, n, v, e);
}

static const char *later(const char *day, const char *other)
{
	return strcmp(day, other) > 0 ? day : other;
}

/* A row that was found before the shipped file was made gives way to it, and one whose provider a
 * newer release no longer knows is passed over. */
static bool is_outdated(const struct catalog *c, struct json_value row, bool is_shipped)
{
	char day[16];

	return !catalog_provider_spelled(c, json_get(row, "provider")) ||
	       (is_shipped && json_str_copy(json_get(row, "price_date"), day, sizeof(day)) &&
		       strcmp(day, c->shipped_date) < 0);
}

static enum err_code lay_found(struct catalog *c, const struct json_value *v, const char *file,
	size_t shipped, struct err *e)
{
	struct schema_place place = { .file = file, .list = "models" };
	struct json_value row, id;
	struct json_iter it;
	struct slice key;
	size_t i = 0;

	for (json_iter_init(&it, v[3]); json_iter_next(&it, &key, &row); i++) {
		struct catalog_model *m = model_spelled(c, json_get(row, "id"));
		enum err_code rc = ERR_OK;

		if (is_outdated(c, row, m && (size_t)(m - c->models) < shipped))
			continue;
		place.index = i;
		place.id = SLICE("");
		rc = m ? read_row(c, m, row, &place, e) : add_row(c, row, &place, e);
		if (rc)
			return rc;
	}
	for (json_iter_init(&it, v[2]); json_iter_next(&it, &key, &id);) {
		struct catalog_model *m = model_spelled(c, id);

		if (m)
			m->gone = true;
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

static void put_member(struct buf *out, const char *name, struct slice value)
{
	buf_char(out, out->len ? ',' : '{');
	buf_json_cstr(out, name);
	buf_char(out, ':');
	buf_slice_append(out, value);
}

static bool is_price(size_t member)
{
	return member >= ROW_PRICE_PROMPT && member <= ROW_OVERRIDES;
}

/* The row with these prices instead of all it had; absent without memory. */
static struct json_value with_prices(struct catalog *c, const struct catalog_model *m,
	struct json_value prices, struct slice date)
{
	struct json_value price, made = { JSON_ABSENT, SLICE("") };
	struct buf text = { 0 };
	struct catalog_row row;
	struct json_iter it;
	struct slice key;
	const char *kept;

	catalog_row_of(c, m, &row);
	for (size_t i = 0; i < ROW_COUNT; i++)
		if (!is_price(i) && i != ROW_PRICE_DATE && i != ROW_SOURCE && row.v[i].kind)
			put_member(&text, model_rows[i].name, row.v[i].raw);
	for (json_iter_init(&it, prices); json_iter_next(&it, &key, &price);) {
		buf_char(&text, ',');
		buf_slice_append(&text, key);
		buf_char(&text, ':');
		buf_slice_append(&text, price.raw);
	}
	put_member(&text, "price_date", date);
	put_member(&text, "source", SLICE("\"operator\""));
	buf_char(&text, '}');
	kept = buf_ok(&text) ? catalog_keep_text(c, buf_slice(&text)) : NULL;
	if (kept)
		made = (struct json_value){ JSON_OBJECT, { kept, text.len } };
	buf_fini(&text);
	return made;
}

static enum err_code check_price_names(
	struct json_value prices, const struct schema_place *place, struct err *e)
{
	struct json_iter it;
	struct json_value price;
	struct slice key;

	json_iter_init(&it, prices);
	while (json_iter_next(&it, &key, &price))
		if (!slice_starts(key, "\"price_") || json_str_is(key, "price_date"))
			return schema_fail_key(place, key, "is no price", e);
	return ERR_OK;
}

/* One word of the operator's. Models that are not there now keep their prices for when they come
 * back. */
static enum err_code lay_word(
	struct catalog *c, struct json_value word, struct schema_place *place, struct err *e)
{
	struct json_value row, v[ROWS(word_rows)];
	enum err_code rc = schema_read(word_rows, ROWS(word_rows), word, place, v, e);
	struct catalog_model *m;
	bool gone;

	if (!rc && !catalog_is_date(v[W_DATE]))
		rc = schema_fail(place, "date", "expected a day such as 2026-11-21", e);
	if (!rc)
		rc = check_price_names(v[W_PRICES], place, e);
	m = rc ? NULL : model_spelled(c, v[W_ID]);
	if (!m)
		return rc;
	gone = m->gone;
	if (schema_has(v[W_PRICES])) {
		row = with_prices(c, m, v[W_PRICES], v[W_DATE].raw);
		rc = row.kind ? read_row(c, m, row, place, e) : no_memory(e);
	}
	m->gone = gone;
	m->hidden = json_is_true(v[W_HIDDEN]);
	return rc;
}

static enum err_code lay_prices(
	struct catalog *c, struct json_value list, const char *file, struct err *e)
{
	struct schema_place place = { .file = file, .list = "models" };
	struct json_iter it;
	struct json_value word;
	struct slice key;
	enum err_code rc = ERR_OK;

	json_iter_init(&it, list);
	for (size_t i = 0; !rc && json_iter_next(&it, &key, &word); i++) {
		place.index = i;
		place.id = SLICE("");
		rc = lay_word(c, word, &place, e);
	}
	return rc;
}

/* ---- all of it ---- */

#define ROW_BYTES 180 /* that a row has at least, for the names of all it must have */

/* Behind the most models that texts of so many bytes can have is room for those of a self-test. */
static enum err_code make_room(struct catalog *c, size_t bytes, struct err *e)
{
	size_t most = bytes / ROW_BYTES + 1;

	c->model_room = most < CATALOG_MODELS_MAX ? most : CATALOG_MODELS_MAX;
	for (c->ids_size = 16; c->ids_size < 2 * c->model_room;)
		c->ids_size *= 2;
	most = c->model_room + SELFTEST_MODELS_MAX;
	c->models = catalog_keep(c, most * sizeof(*c->models));
	c->models_more = catalog_keep(c, most * sizeof(*c->models_more));
	c->ids = catalog_keep(c, c->ids_size * sizeof(*c->ids));
	return c->models && c->models_more && c->ids ? ERR_OK : no_memory(e);
}

static enum err_code read_shipped(
	struct catalog *c, const struct json_value *v, const char *file, struct err *e)
{
	struct json_iter it;
	struct json_value row;
	struct slice key;

	json_iter_init(&it, v[3]);
	while (json_iter_next(&it, &key, &row)) {
		struct schema_place place = {
			.file = file, .list = "models", .index = c->model_count
		};
		enum err_code rc = add_row(c, row, &place, e);

		if (rc)
			return rc;
	}
	return read_preferred(c, v[2], file, e);
}

enum err_code catalog_read_models(
	struct catalog *c, const char *file, const char *found, const char *prices, struct err *e)
{
	struct json_value v[ROWS(models_file)], w[ROWS(found_file)], x[ROWS(prices_file)];
	enum err_code rc = catalog_open_file(c, file, models_file, ROWS(models_file), v, e);
	bool has_found, has_prices;

	if (!rc)
		rc = catalog_open_own(c, found, found_file, ROWS(found_file), w, e);
	if (!rc)
		rc = catalog_open_own(c, prices, prices_file, ROWS(prices_file), x, e);
	if (rc)
		return rc;
	has_found = schema_has(w[0]);
	has_prices = schema_has(x[0]);
	c->date = c->shipped_date = catalog_keep_str(c, v[1]);
	if (has_found)
		c->date = later(c->date, catalog_keep_str(c, w[1]));
	if (has_prices)
		c->date = later(c->date, catalog_keep_str(c, x[1]));
	rc = make_room(c, v[3].raw.len + w[3].raw.len, e);
	if (!rc)
		rc = read_shipped(c, v, file, e);
	if (!rc && has_found)
		rc = lay_found(c, w, found, c->model_count, e);
	if (!rc && has_prices)
		rc = lay_prices(c, x[2], prices, e);
	return rc;
}
