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

static const char *text(struct json_object *o)
{
	return o ? json_object_get_string(o) : "";
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

/* An entry, and where to look for what is wrong with it. */
struct entry {
	struct json_object *row;
	const char *file;
	size_t index;
};

struct reader {
	struct catalog *c;
	struct entry entries[AUTO_MODELS_MAX];
	size_t count;
};

/* The members of from take the place of those of to. */
static bool lay(struct json_object *to, struct json_object *from)
{
	if (!to || !from)
		return to;
	json_object_object_foreach(from, name, value)
	{
		if (json_object_object_add(to, name, json_object_get(value)) != 0)
			return false;
	}
	return true;
}

static struct entry *entry_of(struct reader *r, const char *id)
{
	for (size_t i = 0; i < r->count; i++)
		if (slice_is_nocase(slice_of(id), json_member_str(r->entries[i].row, "id", "")))
			return &r->entries[i];
	return NULL;
}

static enum err_code add_entry(
	struct reader *r, struct json_object *row, const char *file, size_t i, struct err *e)
{
	struct schema_place place = { file, "models", i, NULL };
	struct json_object *v[A_COUNT], *made;
	struct entry *entry;
	enum err_code rc = schema_read(model_rows, A_COUNT, row, &place, v, e);

	if (rc)
		return rc;
	entry = entry_of(r, text(v[A_ID]));
	if (entry && entry->file == file)
		return schema_fail(&place, "id", "stands in the file twice", e);
	if (!entry && r->count == AUTO_MODELS_MAX)
		return schema_fail(&place, "id", "is one too many", e);
	made = json_object_new_object();
	if (!lay(made, entry ? entry->row : NULL) || !lay(made, row) ||
		json_object_array_add(r->c->auto_rows, made) != 0) {
		json_object_put(made);
		return no_memory(e);
	}
	*(entry ? entry : &r->entries[r->count++]) = (struct entry){ made, file, i };
	return ERR_OK;
}

static bool is_mode(struct json_object *o)
{
	return json_object_is_type(o, json_type_string) && json_object_get_string_len(o) > 0;
}

/* {"planning":["plan","ask"]} */
static bool groups_are_good(struct json_object *groups)
{
	if (!groups)
		return true;
	json_object_object_foreach(groups, name, modes)
	{
		(void)name;
		if (!json_object_is_type(modes, json_type_array))
			return false;
		for (size_t i = 0; i < json_object_array_length(modes); i++)
			if (!is_mode(json_object_array_get_idx(modes, i)))
				return false;
	}
	return true;
}

/* {"kiloclaw":"plan"} */
static bool features_are_good(struct json_object *features)
{
	if (!features)
		return true;
	json_object_object_foreach(features, name, mode)
	{
		(void)name;
		if (!is_mode(mode))
			return false;
	}
	return true;
}

static enum err_code take_file(
	struct reader *r, struct json_object *const *v, const char *file, struct err *e)
{
	struct schema_place place = { .file = file };
	enum err_code rc = ERR_OK;

	if (!groups_are_good(v[F_GROUPS]))
		return schema_fail(&place, "groups", "expected a list of modes for each", e);
	if (!features_are_good(v[F_FEATURES]))
		return schema_fail(&place, "features", "expected a mode for each", e);
	if (!lay(r->c->auto_groups, v[F_GROUPS]) || !lay(r->c->auto_features, v[F_FEATURES]))
		return no_memory(e);
	for (size_t i = 0; !rc && i < json_object_array_length(v[F_MODELS]); i++)
		rc = add_entry(r, json_object_array_get_idx(v[F_MODELS], i), file, i, e);
	return rc;
}

/* ---- names ---- */

static struct schema_place place_of(const struct entry *entry, const char *id)
{
	return (struct schema_place){ entry->file, "models", entry->index, id };
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

static enum err_code read_aliases(struct catalog *c, struct json_object *list, struct auto_model *a,
	const struct schema_place *place, struct err *e)
{
	size_t n = list ? json_object_array_length(list) : 0;
	const char **names = catalog_keep(c, (n + 1) * sizeof(*names));

	if (!names)
		return no_memory(e);
	for (size_t i = 0; i < n; i++) {
		enum err_code rc;

		names[i] = text(json_object_array_get_idx(list, i));
		rc = check_name(c, names[i], place, "aliases", e);
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
		struct json_object *row = r->entries[i].row, *aliases;
		struct auto_model *a = &c->autos[c->auto_count];
		const char *id = json_member_str(row, "id", "");
		struct schema_place place = place_of(&r->entries[i], id);
		enum err_code rc;

		if (json_member_bool(row, "hidden", false))
			continue;
		rc = check_name(c, id, &place, "id", e);
		if (!rc)
			rc = read_aliases(c,
				json_object_object_get_ex(row, "aliases", &aliases) ? aliases
										    : NULL,
				a, &place, e);
		if (rc)
			return rc;
		a->id = id;
		a->name = json_member_str(row, "name", id);
		c->auto_count++;
		r->entries[kept++] = r->entries[i];
	}
	r->count = kept;
	return ERR_OK;
}

/* ---- the table ---- */

/* Names of modes, and of groups of them, as one array of modes. */
static enum err_code read_modes(struct catalog *c, struct json_object *list, struct auto_rule *rule,
	const struct schema_place *place, struct err *e)
{
	size_t n = list ? json_object_array_length(list) : 0, room = 0;
	struct json_object *group;
	const char **modes;

	if (list && !n)
		return schema_fail(place, "modes", "is empty; leave it out for any mode", e);
	for (size_t i = 0; i < n; i++)
		room += json_object_object_get_ex(
				c->auto_groups, text(json_object_array_get_idx(list, i)), &group)
				? json_object_array_length(group)
				: 1;
	modes = catalog_keep(c, (room + 1) * sizeof(*modes));
	if (!modes)
		return no_memory(e);
	rule->modes = modes;
	for (size_t i = 0; i < n; i++) {
		const char *name = text(json_object_array_get_idx(list, i));

		if (!json_object_object_get_ex(c->auto_groups, name, &group)) {
			modes[rule->mode_count++] = name;
			continue;
		}
		for (size_t k = 0; k < json_object_array_length(group); k++)
			modes[rule->mode_count++] = text(json_object_array_get_idx(group, k));
	}
	return ERR_OK;
}

static enum err_code read_models(struct catalog *c, struct json_object *list,
	struct auto_rule *rule, const struct schema_place *place, struct err *e)
{
	size_t n = json_object_array_length(list);
	const char **models, **served;
	struct route route;

	if (n == 0 || n > AUTO_RULE_MODELS)
		return schema_fail(place, "models", "expected 1 to 16 models", e);
	models = catalog_keep(c, 2 * n * sizeof(*models));
	if (!models)
		return no_memory(e);
	served = models + n;
	for (size_t i = 0; i < n; i++) {
		models[i] = text(json_object_array_get_idx(list, i));
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
	struct catalog *c, struct json_object *value, struct slice *out, struct err *e)
{
	struct buf json = { 0 };
	char *kept = NULL;

	*out = (struct slice){ "", 0 };
	if (!value)
		return ERR_OK;
	json_write(value, &json);
	if (buf_ok(&json))
		kept = catalog_keep_text(c, buf_slice(&json));
	*out = (struct slice){ kept, kept ? json.len : 0 };
	buf_fini(&json);
	return kept ? ERR_OK : no_memory(e);
}

static enum err_code read_rule(struct catalog *c, struct json_object *row, struct auto_rule *rule,
	bool is_last, struct schema_place *place, struct err *e)
{
	struct json_object *v[R_COUNT];
	enum err_code rc = schema_read(rule_rows, R_COUNT, row, place, v, e);

	if (rc)
		return rc;
	rule->needs_balance = v[R_BALANCE] && json_object_get_boolean(v[R_BALANCE]);
	if (is_last && (v[R_MODES] || rule->needs_balance))
		return schema_fail(place, v[R_MODES] ? "modes" : "balance",
			"the last rule is for every other request: it has no conditions", e);
	if (!is_last && !v[R_MODES] && !rule->needs_balance)
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
	struct json_object *list = NULL;
	size_t n;

	(void)json_object_object_get_ex(entry->row, "rules", &list);
	n = list ? json_object_array_length(list) : 0;
	if (!n)
		return schema_fail(&place, "rules", "is missing or empty", e);
	a->rules = catalog_keep(c, n * sizeof(*a->rules));
	if (!a->rules)
		return no_memory(e);
	a->rule_count = n;
	for (size_t i = 0; i < n; i++) {
		struct schema_place at = { entry->file, "rules", i, a->id };
		enum err_code rc = read_rule(
			c, json_object_array_get_idx(list, i), &a->rules[i], i + 1 == n, &at, e);

		if (rc)
			return rc;
	}
	return ERR_OK;
}

/* ---- what listings say ---- */

/* The member of the entry; else that of the model it becomes most often; else as given. Takes
 * otherwise. */
static bool put(struct json_object *to, const char *name, struct json_object *own,
	struct json_object *model, struct json_object *otherwise)
{
	struct json_object *v = NULL;

	if (json_object_object_get_ex(own, name, &v) ||
		(model && json_object_object_get_ex(model, name, &v))) {
		json_object_put(otherwise);
		return json_object_object_add(to, name, json_object_get(v)) == 0;
	}
	return json_object_object_add(to, name, otherwise) == 0;
}

static struct json_object *words(const char *word)
{
	struct json_object *list = json_object_new_array();

	if (list)
		json_object_array_add(list, json_object_new_string(word));
	return list;
}

static bool costs_nothing(struct json_object *row, const char *member)
{
	int64_t picousd;

	return cost_read_usd(slice_of(json_member_str(row, member, "")), &picousd) && !picousd;
}

/* Has the members of a row of models.json that listings look at (kilo-contract.md section 13.4).
 * A price of -1 is one that nobody knows. */
static enum err_code make_row(
	struct catalog *c, struct json_object *own, struct auto_model *a, struct err *e)
{
	static const char *const prices[] = { "price_prompt_usd_per_token",
		"price_completion_usd_per_token" };
	const struct catalog_model *m =
		catalog_model_find(c, slice_of(a->rules[a->rule_count - 1].models[0]));
	struct json_object *known = m ? c->models_more[m - c->models].row : NULL;
	struct json_object *row = json_object_new_object();
	bool good;

	good = row && json_object_array_add(c->auto_rows, row) == 0 &&
	       put(row, "description", own, NULL, json_object_new_string("")) &&
	       put(row, "context_length", own, known, json_object_new_int64(0)) &&
	       put(row, "max_output", own, known, NULL) &&
	       put(row, "input_modalities", own, known, words("text")) &&
	       json_object_object_add(row, "output_modalities", words("text")) == 0 &&
	       json_object_object_add(row, "created", json_object_new_int64(0)) == 0 &&
	       json_object_object_add(row, "supports_tools", json_object_new_boolean(true)) == 0 &&
	       json_object_object_add(row, "supports_reasoning", json_object_new_boolean(true)) ==
		       0;
	for (size_t i = 0; good && i < ROWS(prices); i++)
		good = put(row, prices[i], own, known, json_object_new_string("-1"));
	if (!good)
		return no_memory(e);
	a->row = row;
	a->free = costs_nothing(row, prices[0]) && costs_nothing(row, prices[1]);
	return ERR_OK;
}

/* ---- all of it ---- */

enum err_code catalog_read_auto(struct catalog *c, const char *file, const char *own, struct err *e)
{
	struct reader r = { .c = c };
	struct json_object *v[F_COUNT], *w[F_COUNT];
	enum err_code rc = ERR_OK;

	c->auto_rows = json_object_new_array();
	c->auto_groups = json_object_new_object();
	c->auto_features = json_object_new_object();
	if (!c->auto_rows || !c->auto_groups || !c->auto_features)
		return no_memory(e);
	/* A folder that was put together for an older release has no such file. */
	if (access(file, F_OK) == 0)
		rc = catalog_open_file(file, file_rows, F_COUNT, &c->auto_tree, v, e);
	if (!rc)
		rc = catalog_open_own(own, file_rows, F_COUNT, &c->own_auto_tree, w, e);
	if (!rc && c->auto_tree)
		rc = take_file(&r, v, file, e);
	if (!rc && c->own_auto_tree)
		rc = take_file(&r, w, own, e);
	if (!rc)
		rc = read_names(&r, e);
	for (size_t i = 0; !rc && i < r.count; i++) {
		rc = read_rules(c, &r.entries[i], &c->autos[i], e);
		if (!rc)
			rc = make_row(c, r.entries[i].row, &c->autos[i], e);
	}
	return rc;
}
