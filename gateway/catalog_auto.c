/* The auto models of the shipped file, and those of the operator's own that lies over it. */
#include "gateway/catalog_data.h"

#include "gateway/auto_models.h"
#include "gateway/route.h"

#include <unistd.h>

#define ROWS(table) (sizeof(table) / sizeof((table)[0]))

static enum err_code no_memory(struct err *e)
{
	return err_set(e, ERR_NO_MEMORY, "no memory for the catalogue of models");
}

enum { F_VERSION, F_DATE, F_MODELS, F_GROUPS, F_FEATURES, F_COUNT };

static const struct schema_row file_rows[F_COUNT] = {
	[F_VERSION] = { "version", SCHEMA_COUNT, true, false },
	[F_DATE] = { "date", SCHEMA_ID, true, false },
	[F_MODELS] = { "models", SCHEMA_LIST, true, false },
	[F_GROUPS] = { "groups", SCHEMA_OBJECT, false, false },
	[F_FEATURES] = { "features", SCHEMA_OBJECT, false, false },
};

enum {
	A_ID,
	A_ALIASES,
	A_NAME,
	A_DESCRIPTION,
	A_CONTEXT_LENGTH,
	A_MAX_OUTPUT,
	A_INPUT,
	A_PRICE_PROMPT,
	A_PRICE_COMPLETION,
	A_HIDDEN,
	A_RULES,
	A_COUNT
};

static const struct schema_row model_rows[A_COUNT] = {
	[A_ID] = { "id", SCHEMA_ID, true, false },
	[A_ALIASES] = { "aliases", SCHEMA_IDS, false, false },
	[A_NAME] = { "name", SCHEMA_TEXT, false, false },
	[A_DESCRIPTION] = { "description", SCHEMA_TEXT, false, false },
	[A_CONTEXT_LENGTH] = { "context_length", SCHEMA_COUNT, false, false },
	[A_MAX_OUTPUT] = { "max_output", SCHEMA_COUNT, false, true },
	[A_INPUT] = { "input_modalities", SCHEMA_IDS, false, false },
	[A_PRICE_PROMPT] = { "price_prompt_usd_per_token", SCHEMA_PRICE, false, false },
	[A_PRICE_COMPLETION] = { "price_completion_usd_per_token", SCHEMA_PRICE, false, false },
	[A_HIDDEN] = { "hidden", SCHEMA_SWITCH, false, false },
	[A_RULES] = { "rules", SCHEMA_LIST, false, false },
};

enum { R_MODELS, R_MODES, R_BALANCE, R_REASONING, R_VERBOSITY, R_COUNT };

static const struct schema_row rule_rows[R_COUNT] = {
	[R_MODELS] = { "models", SCHEMA_IDS, true, false },
	[R_MODES] = { "modes", SCHEMA_IDS, false, false },
	[R_BALANCE] = { "balance", SCHEMA_SWITCH, false, false },
	[R_REASONING] = { "reasoning", SCHEMA_OBJECT, false, false },
	[R_VERBOSITY] = { "verbosity", SCHEMA_ID, false, false },
};

/* ---- both files as one ---- */

/* What both files say of a model, and where to look for what is wrong with it. */
struct entry {
	struct json_value v[A_COUNT];
	const char *file;
	size_t index;
};

struct reader {
	struct catalog *c;
	struct entry entries[AUTO_MODELS_MAX];
	size_t count;
};

static struct entry *entry_of(struct reader *r, struct json_value id)
{
	struct buf room = { 0 }, other = { 0 };
	struct slice name = json_str_text(id, &room);
	struct entry *found = NULL;

	for (size_t i = 0; !found && i < r->count; i++) {
		struct slice s = json_str_text(r->entries[i].v[A_ID], &other);

		if (s.len == name.len && strncasecmp(s.ptr, name.ptr, s.len) == 0)
			found = &r->entries[i];
	}
	buf_fini(&room);
	buf_fini(&other);
	return found;
}

/* What the second file says of a model lies over what the first said. */
static enum err_code add_entry(
	struct reader *r, struct json_value row, const char *file, size_t i, struct err *e)
{
	struct schema_place place = { .file = file, .list = "models", .index = i };
	struct json_value v[A_COUNT];
	struct entry *entry;
	enum err_code rc = schema_read(model_rows, A_COUNT, row, &place, v, e);

	if (rc)
		return rc;
	entry = entry_of(r, v[A_ID]);
	if (entry && entry->file == file)
		return schema_fail(&place, "id", "stands in the file twice", e);
	if (!entry && r->count == AUTO_MODELS_MAX)
		return schema_fail(&place, "id", "is one too many", e);
	if (!entry)
		entry = &r->entries[r->count++];
	for (size_t k = 0; k < A_COUNT; k++)
		if (v[k].kind)
			entry->v[k] = v[k];
	entry->file = file;
	entry->index = i;
	return ERR_OK;
}

static bool is_mode(struct json_value v)
{
	return v.kind == JSON_STRING && json_str_bytes(v) > 0;
}

static bool are_modes(struct json_value list)
{
	struct json_iter it;
	struct json_value v;
	struct slice key;
	bool good = list.kind == JSON_ARRAY;

	json_iter_init(&it, list);
	while (good && json_iter_next(&it, &key, &v))
		good = is_mode(v);
	return good;
}

/* {"planning":["plan","ask"]} */
static bool take_groups(struct catalog *c, struct json_value groups)
{
	struct json_iter it;
	struct json_value modes;
	struct slice key;
	bool good = true;

	json_iter_init(&it, groups);
	while (good && json_iter_next(&it, &key, &modes)) {
		const char *name = catalog_keep_key(c, key);
		size_t at = 0;

		while (at < c->auto_group_count && strcmp(c->auto_groups[at].name, name) != 0)
			at++;
		c->auto_group_count += at == c->auto_group_count;
		c->auto_groups[at] = (struct auto_group){ name, catalog_keep_strs(c, modes) };
		good = are_modes(modes);
	}
	return good;
}

/* {"kiloclaw":"plan"} */
static bool take_features(struct catalog *c, struct json_value features)
{
	struct json_iter it;
	struct json_value mode;
	struct slice key;
	bool good = true;

	json_iter_init(&it, features);
	while (good && json_iter_next(&it, &key, &mode)) {
		const char *name = catalog_keep_key(c, key);
		size_t at = 0;

		while (at < c->auto_feature_count && strcmp(c->auto_features[at].name, name) != 0)
			at++;
		c->auto_feature_count += at == c->auto_feature_count;
		c->auto_features[at] = (struct auto_feature){ name, catalog_keep_str(c, mode) };
		good = is_mode(mode);
	}
	return good;
}

static enum err_code take_file(
	struct reader *r, const struct json_value *v, const char *file, struct err *e)
{
	struct schema_place place = { .file = file };
	struct json_iter it;
	struct json_value row;
	struct slice key;
	enum err_code rc = ERR_OK;

	if (!take_groups(r->c, v[F_GROUPS]))
		return schema_fail(&place, "groups", "expected a list of modes for each", e);
	if (!take_features(r->c, v[F_FEATURES]))
		return schema_fail(&place, "features", "expected a mode for each", e);
	json_iter_init(&it, v[F_MODELS]);
	for (size_t i = 0; !rc && json_iter_next(&it, &key, &row); i++)
		rc = add_entry(r, row, file, i, e);
	return rc;
}

/* ---- names ---- */

static struct schema_place place_of(const struct entry *entry, const char *id)
{
	return (struct schema_place){ entry->file, "models", entry->index, slice_of(id) };
}

static enum err_code check_name(const struct catalog *c, const char *name,
	const struct schema_place *place, const char *member, struct err *e)
{
	if (strlen(name) >= MODEL_ID_MAX)
		return schema_fail(place, member, "is too long", e);
	if (slice_starts_nocase(slice_of(name), "kilocode/"))
		return schema_fail(place, member, "begins with kilocode/, which is dropped", e);
	if (auto_models_find(c, slice_of(name)))
		return schema_fail(place, member, "is the name of another auto model", e);
	return ERR_OK;
}

static enum err_code read_aliases(struct catalog *c, struct json_value list, struct auto_model *a,
	const struct schema_place *place, struct err *e)
{
	const char *const *names = catalog_keep_strs(c, list);

	for (size_t i = 0; names && names[i]; i++) {
		enum err_code rc = check_name(c, names[i], place, "aliases", e);

		if (rc)
			return rc;
	}
	a->aliases = names;
	return ERR_OK;
}

/* Those that are hidden leave the reader, so that entries and auto models agree. */
static enum err_code read_names(struct reader *r, struct err *e)
{
	struct catalog *c = r->c;
	size_t kept = 0;

	c->autos = catalog_keep(c, (r->count + 1) * sizeof(*c->autos));
	if (!c->autos)
		return no_memory(e);
	for (size_t i = 0; i < r->count; i++) {
		const struct json_value *v = r->entries[i].v;
		struct auto_model *a = &c->autos[c->auto_count];
		struct schema_place place;
		enum err_code rc;

		if (json_is_true(v[A_HIDDEN]))
			continue;
		a->id = catalog_keep_str(c, v[A_ID]);
		a->name = schema_has(v[A_NAME]) ? catalog_keep_str(c, v[A_NAME]) : a->id;
		place = place_of(&r->entries[i], a->id);
		rc = check_name(c, a->id, &place, "id", e);
		if (!rc)
			rc = read_aliases(c, v[A_ALIASES], a, &place, e);
		if (rc)
			return rc;
		c->auto_count++;
		r->entries[kept++] = r->entries[i];
	}
	r->count = kept;
	return ERR_OK;
}

/* ---- the table ---- */

/* The modes of a group; NULL when there is no such group. */
static const char *const *group_called(const struct catalog *c, const char *name)
{
	for (size_t i = 0; i < c->auto_group_count; i++)
		if (strcmp(c->auto_groups[i].name, name) == 0)
			return c->auto_groups[i].modes;
	return NULL;
}

/* Names of modes, and of groups of them, as one array of modes. */
static enum err_code read_modes(struct catalog *c, struct json_value list, struct auto_rule *rule,
	const struct schema_place *place, struct err *e)
{
	const char *const *names = catalog_keep_strs(c, list);
	const char **modes;
	size_t room = 0;

	if (list.kind && !catalog_length(list))
		return schema_fail(place, "modes", "is empty; leave it out for any mode", e);
	for (size_t i = 0; names && names[i]; i++) {
		const char *const *mode = group_called(c, names[i]);

		for (room += !mode; mode && *mode; mode++)
			room++;
	}
	modes = catalog_keep(c, (room + 1) * sizeof(*modes));
	if (!modes)
		return no_memory(e);
	rule->modes = modes;
	for (size_t i = 0; names && names[i]; i++) {
		const char *const *mode = group_called(c, names[i]);

		if (!mode)
			modes[rule->mode_count++] = names[i];
		for (; mode && *mode; mode++)
			modes[rule->mode_count++] = *mode;
	}
	return ERR_OK;
}

static enum err_code read_models(struct catalog *c, struct json_value list, struct auto_rule *rule,
	const struct schema_place *place, struct err *e)
{
	size_t n = catalog_length(list);
	const char *const *models;
	const char **served;
	struct route route;

	if (n == 0 || n > AUTO_RULE_MODELS)
		return schema_fail(place, "models", "expected 1 to 16 models", e);
	models = catalog_keep_strs(c, list);
	served = catalog_keep(c, n * sizeof(*served));
	if (!models || !served)
		return no_memory(e);
	for (size_t i = 0; i < n; i++) {
		if (strlen(models[i]) >= MODEL_ID_MAX)
			return schema_fail(place, "models", "one is too long", e);
		/* One that a provider of this name has is a model like any other. */
		if (auto_models_find(c, slice_of(models[i])) &&
			!catalog_model_find(c, slice_of(models[i])))
			return schema_fail(place, "models",
				"one is an auto model; name those it stands for", e);
		if (route_find(c, models[i], &route, NULL) == ERR_OK)
			served[rule->served_count++] = models[i];
	}
	rule->models = models;
	rule->model_count = n;
	rule->served = served;
	return ERR_OK;
}

/* A value of the file as JSON text. */
static enum err_code keep_json(
	struct catalog *c, struct json_value value, struct slice *out, struct err *e)
{
	struct buf json = { 0 };
	char *kept = NULL;

	*out = SLICE("");
	if (!schema_has(value))
		return ERR_OK;
	json_put_compact(value, &json);
	if (buf_ok(&json))
		kept = catalog_keep_text(c, buf_slice(&json));
	if (kept)
		*out = (struct slice){ kept, json.len };
	buf_fini(&json);
	return kept ? ERR_OK : no_memory(e);
}

static enum err_code read_rule(struct catalog *c, struct json_value row, struct auto_rule *rule,
	bool is_last, struct schema_place *place, struct err *e)
{
	struct json_value v[R_COUNT];
	enum err_code rc = schema_read(rule_rows, R_COUNT, row, place, v, e);
	bool has_modes;

	if (rc)
		return rc;
	has_modes = schema_has(v[R_MODES]);
	rule->needs_balance = json_is_true(v[R_BALANCE]);
	if (is_last && (has_modes || rule->needs_balance))
		return schema_fail(place, has_modes ? "modes" : "balance",
			"the last rule is for every other request: it has no conditions", e);
	if (!is_last && !has_modes && !rule->needs_balance)
		return schema_fail(
			place, "modes", "is missing: a rule for every request must be the last", e);
	rc = read_modes(c, v[R_MODES], rule, place, e);
	if (!rc)
		rc = read_models(c, v[R_MODELS], rule, place, e);
	if (!rc)
		rc = keep_json(c, v[R_REASONING], &rule->reasoning, e);
	if (!rc)
		rc = keep_json(c, v[R_VERBOSITY], &rule->verbosity, e);
	return rc;
}

static enum err_code read_rules(
	struct catalog *c, const struct entry *entry, struct auto_model *a, struct err *e)
{
	struct schema_place place = place_of(entry, a->id);
	size_t n = catalog_length(entry->v[A_RULES]);
	struct json_iter it;
	struct json_value row;
	struct slice key;

	if (!n)
		return schema_fail(&place, "rules", "is missing or empty", e);
	a->rules = catalog_keep(c, n * sizeof(*a->rules));
	if (!a->rules)
		return no_memory(e);
	a->rule_count = n;
	json_iter_init(&it, entry->v[A_RULES]);
	for (size_t i = 0; json_iter_next(&it, &key, &row); i++) {
		struct schema_place at = { entry->file, "rules", i, slice_of(a->id) };
		enum err_code rc = read_rule(c, row, &a->rules[i], i + 1 == n, &at, e);

		if (rc)
			return rc;
	}
	return ERR_OK;
}

/* ---- what listings say ---- */

static bool costs_nothing(struct json_value price)
{
	struct buf room = { 0 };
	int64_t picousd;
	bool good = cost_read_usd(json_str_text(price, &room), &picousd) && !picousd;

	buf_fini(&room);
	return good;
}

/* Has the members of a row of models.json that listings look at (kilo-contract.md section 13.4):
 * those of the entry; else those of the model that it becomes most often; else as given here. A
 * price of -1 is one that nobody knows. */
static void make_row(struct catalog *c, const struct json_value *own, struct auto_model *a)
{
	static const struct {
		enum catalog_row_member member;
		int own; /* -1 = its entry does not say it */
		bool of_model;
		struct json_value otherwise;
	} rows[] = {
		{ ROW_DESCRIPTION, A_DESCRIPTION, false, { JSON_STRING, { "\"\"", 2 } } },
		{ ROW_CONTEXT_LENGTH, A_CONTEXT_LENGTH, true, { JSON_NUMBER, { "0", 1 } } },
		{ ROW_MAX_OUTPUT, A_MAX_OUTPUT, true, { JSON_NULL, { "null", 4 } } },
		{ ROW_INPUT, A_INPUT, true, { JSON_ARRAY, { "[\"text\"]", 8 } } },
		{ ROW_OUTPUT, -1, false, { JSON_ARRAY, { "[\"text\"]", 8 } } },
		{ ROW_CREATED, -1, false, { JSON_NUMBER, { "0", 1 } } },
		{ ROW_TOOLS, -1, false, { JSON_BOOL, { "true", 4 } } },
		{ ROW_REASONING, -1, false, { JSON_BOOL, { "true", 4 } } },
		{ ROW_PRICE_PROMPT, A_PRICE_PROMPT, true, { JSON_STRING, { "\"-1\"", 4 } } },
		{ ROW_PRICE_COMPLETION, A_PRICE_COMPLETION, true,
			{ JSON_STRING, { "\"-1\"", 4 } } },
	};
	const struct catalog_model *m =
		catalog_model_find(c, slice_of(a->rules[a->rule_count - 1].models[0]));
	struct catalog_row known = { 0 };

	if (m)
		catalog_row_of(c, m, &known);
	for (size_t i = 0; i < ROWS(rows); i++) {
		struct json_value *v = &a->row.v[rows[i].member];

		if (rows[i].own >= 0 && own[rows[i].own].kind)
			*v = own[rows[i].own];
		else if (rows[i].of_model && known.v[rows[i].member].kind)
			*v = known.v[rows[i].member];
		else
			*v = rows[i].otherwise;
	}
	a->free = costs_nothing(a->row.v[ROW_PRICE_PROMPT]) &&
		  costs_nothing(a->row.v[ROW_PRICE_COMPLETION]);
}

/* ---- all of it ---- */

enum err_code catalog_read_auto(struct catalog *c, const char *file, const char *own, struct err *e)
{
	struct reader r = { .c = c };
	struct json_value v[F_COUNT], w[F_COUNT];
	enum err_code rc = ERR_OK;

	schema_take(file_rows, F_COUNT, (struct json_value){ JSON_ABSENT, SLICE("") }, v);
	/* A folder that was put together for an older release has no such file. */
	if (access(file, F_OK) == 0)
		rc = catalog_open_file(c, file, file_rows, F_COUNT, v, e);
	if (!rc)
		rc = catalog_open_own(c, own, file_rows, F_COUNT, w, e);
	if (rc)
		return rc;
	c->auto_groups =
		catalog_keep(c, (catalog_length(v[F_GROUPS]) + catalog_length(w[F_GROUPS])) *
					sizeof(*c->auto_groups));
	c->auto_features =
		catalog_keep(c, (catalog_length(v[F_FEATURES]) + catalog_length(w[F_FEATURES])) *
					sizeof(*c->auto_features));
	if (!c->auto_groups || !c->auto_features)
		return no_memory(e);
	rc = take_file(&r, v, file, e);
	if (!rc)
		rc = take_file(&r, w, own, e);
	if (!rc)
		rc = read_names(&r, e);
	for (size_t i = 0; !rc && i < r.count; i++) {
		rc = read_rules(c, &r.entries[i], &c->autos[i], e);
		if (!rc)
			make_row(c, r.entries[i].v, &c->autos[i]);
	}
	return rc;
}
