#include "gateway/prices_list.h"

#include "gateway/model_name.h"

#define LIST_DEPTH  32
#define NAME_BYTES  200
#define FIGURES_MAX 18 /* digits of a number that count */

#define ROWS(table) (sizeof(table) / sizeof((table)[0]))

/* ---- numbers ---- */

bool prices_list_scale(struct slice number, int shift, int64_t *out)
{
	struct slice exponent = number, digits = slice_cut(&exponent, 'e');
	int64_t n = 0, power = 0;
	bool point = false, any = false;
	int figures = 0, rounds = 0;

	if (!exponent.ptr) {
		exponent = number;
		digits = slice_cut(&exponent, 'E');
	}
	if (exponent.ptr && exponent.len && exponent.ptr[0] == '+')
		exponent = slice_from(exponent, 1);
	if (exponent.ptr && !str_int(exponent, -99, 99, &power))
		return false;
	power += shift;
	for (size_t i = 0; i < digits.len; i++) {
		char ch = digits.ptr[i];

		if (ch == '.' && !point && any) {
			point = true;
			continue;
		}
		if (ch < '0' || ch > '9')
			return false;
		any = true;
		if (figures == FIGURES_MAX) { /* too fine to count, or too large */
			power += !point;
			continue;
		}
		n = n * 10 + (ch - '0');
		figures += n != 0;
		power -= point;
	}
	if (!any || digits.ptr[digits.len - 1] == '.')
		return false;
	for (; power > 0 && n; power--) {
		if (n > COST_PRICE_MAX / 10)
			return false;
		n *= 10;
	}
	for (; power < 0 && n; power++) {
		rounds = n % 10 >= 5;
		n = n / 10 + (power == -1 ? rounds : 0);
	}
	if (n > COST_PRICE_MAX)
		return false;
	*out = n;
	return true;
}

/* ---- members ---- */

static struct json_object *member(struct json_object *o, const char *name)
{
	struct json_object *v = NULL;

	if (json_object_is_type(o, json_type_object))
		json_object_object_get_ex(o, name, &v);
	return v;
}

/* "top_provider.max_completion_tokens" */
static struct json_object *at_path(struct json_object *o, const char *path)
{
	struct slice rest = slice_of(path);
	char name[64];

	while (o && rest.ptr) {
		if (!slice_copy(slice_cut(&rest, '.'), name, sizeof(name)))
			return NULL;
		o = member(o, name);
	}
	return o;
}

static bool is_plain(struct slice s, char least)
{
	for (size_t i = 0; i < s.len; i++)
		if (s.ptr[i] < least || s.ptr[i] == 0x7f)
			return false;
	return s.len > 0;
}

static struct slice text_of(struct json_object *v)
{
	if (!json_object_is_type(v, json_type_string))
		return (struct slice){ "", 0 };
	return (struct slice){ json_object_get_string(v), (size_t)json_object_get_string_len(v) };
}

static void put_text(struct json_object *row, const char *name, struct slice text)
{
	json_object_object_add(row, name, json_object_new_string_len(text.ptr, (int)text.len));
}

static bool lists(struct json_object *list, const char *word)
{
	if (!json_object_is_type(list, json_type_array))
		return false;
	for (size_t i = 0; i < json_object_array_length(list); i++)
		if (slice_is_nocase(text_of(json_object_array_get_idx(list, i)), word))
			return true;
	return false;
}

/* ---- one entry, but for its prices ---- */

static void put_count(struct json_object *entry, const char *const *paths, struct json_object *row,
	const char *as)
{
	for (; *paths; paths++) {
		struct json_object *v = at_path(entry, *paths);

		if (json_object_is_type(v, json_type_int) && json_object_get_int64(v) > 0) {
			json_object_object_add(
				row, as, json_object_new_int64(json_object_get_int64(v)));
			return;
		}
	}
}

static void put_words(struct json_object *list, struct json_object *row, const char *as)
{
	struct json_object *words;

	if (!json_object_is_type(list, json_type_array) || !json_object_array_length(list))
		return;
	words = json_object_new_array();
	for (size_t i = 0; i < json_object_array_length(list); i++) {
		struct slice word = text_of(json_object_array_get_idx(list, i));

		if (is_plain(word, '!') && word.len < 32)
			json_object_array_add(
				words, json_object_new_string_len(word.ptr, (int)word.len));
	}
	json_object_object_add(row, as, words);
}

static void put_facts(struct json_object *entry, struct json_object *row)
{
	static const char *const context[] = { "context_length", "context_window", "max_model_len",
		"max_context_length", "inputTokenLimit", "max_input_tokens", NULL };
	static const char *const output[] = { "top_provider.max_completion_tokens", "max_tokens",
		"max_completion_tokens", "outputTokenLimit", "max_output_tokens", NULL };
	static const char *const created[] = { "created", NULL };
	static const char *const names[] = { "display_name", "displayName", "name" };
	struct json_object *in = at_path(entry, "architecture.input_modalities");
	struct json_object *out = at_path(entry, "architecture.output_modalities");
	struct json_object *can = member(entry, "supported_parameters");
	struct json_object *tags = member(entry, "tags");

	for (size_t i = 0; i < ROWS(names); i++) {
		struct slice name = text_of(member(entry, names[i]));

		if (!utf8_is_valid(name, NULL) || name.len > NAME_BYTES || !name.len)
			continue;
		for (size_t k = 0; k < name.len; k++)
			if ((unsigned char)name.ptr[k] < 0x20 || name.ptr[k] == 0x7f)
				name.len = 0;
		if (name.len) {
			put_text(row, "name", name);
			break;
		}
	}
	put_count(entry, created, row, "created");
	put_count(entry, context, row, "context_length");
	put_count(entry, output, row, "max_output");
	put_words(in ? in : member(entry, "input_modalities"), row, "input_modalities");
	put_words(out ? out : member(entry, "output_modalities"), row, "output_modalities");
	if (lists(can, "tools") || lists(tags, "tool-use"))
		json_object_object_add(row, "supports_tools", json_object_new_boolean(true));
	if (lists(can, "reasoning") || lists(tags, "reasoning"))
		json_object_object_add(row, "supports_reasoning", json_object_new_boolean(true));
}

/* Does it write texts, or embed them? Lists that say nothing of it list such models only, or
 * nobody can tell. */
static bool is_for_us(struct json_object *entry, struct json_object *row)
{
	static const char *const text_types[] = { "language", "chat", "code", "model" };
	struct json_object *methods = member(entry, "supportedGenerationMethods");
	struct slice type = text_of(member(entry, "type"));
	bool embeds = slice_is(type, "embedding") || (methods && lists(methods, "embedContent") &&
							     !lists(methods, "generateContent"));

	if (embeds) {
		struct json_object *out = json_object_new_array();

		json_object_array_add(out, json_object_new_string("embeddings"));
		json_object_object_add(row, "output_modalities", out);
		return true;
	}
	if (methods)
		return lists(methods, "generateContent");
	if (!type.len)
		return !member(row, "output_modalities") ||
		       lists(member(row, "output_modalities"), "text") ||
		       lists(member(row, "output_modalities"), "embeddings");
	for (size_t i = 0; i < ROWS(text_types); i++)
		if (slice_is(type, text_types[i]))
			return true;
	return false;
}

/* ---- prices ---- */

struct price_name {
	const char *theirs, *ours;
	bool zero_is_none; /* 0 means that nothing is charged beside the other prices */
};

static const struct price_name price_names[] = {
	{ "prompt", "price_prompt_usd_per_token", false },
	{ "input", "price_prompt_usd_per_token", false },
	{ "completion", "price_completion_usd_per_token", false },
	{ "output", "price_completion_usd_per_token", false },
	{ "input_cache_read", "price_cache_read", true },
	{ "cached_input", "price_cache_read", true },
	{ "input_cache_write", "price_cache_write", true },
	{ "internal_reasoning", "price_reasoning", true },
	{ "request", "price_request", true },
	{ "image", "price_image", true },
};

static void put_price(struct json_object *row, const char *name, int64_t picousd)
{
	struct buf text = { 0 };

	cost_write_usd((cost_wide)picousd, &text);
	if (buf_ok(&text))
		put_text(row, name, buf_slice(&text));
	buf_fini(&text);
}

/* A number of JSON or a text of digits, as picodollars; json-c keeps the digits of a number as
 * they came. */
static bool read_number(struct json_object *v, int shift, int64_t *picousd)
{
	if (!json_object_is_type(v, json_type_string) &&
		!json_object_is_type(v, json_type_double) && !json_object_is_type(v, json_type_int))
		return false;
	return prices_list_scale(slice_of(json_object_get_string(v)), shift, picousd);
}

/* False when a price is there that is no price, such as OpenRouter's "-1": it varies. */
static bool put_members(struct json_object *pricing, int shift, struct json_object *row)
{
	for (size_t i = 0; i < ROWS(price_names); i++) {
		const struct price_name *n = &price_names[i];
		struct json_object *v = member(pricing, n->theirs);
		int64_t picousd;

		if (!v)
			continue;
		if (!read_number(v, shift, &picousd))
			return false;
		if (picousd > 0 || !n->zero_is_none)
			put_price(row, n->ours, picousd);
	}
	return true;
}

static void drop_prices(struct json_object *row)
{
	for (size_t i = 0; i < ROWS(price_names); i++)
		json_object_object_del(row, price_names[i].ours);
	json_object_object_del(row, "overrides");
}

static bool has_both(struct json_object *row)
{
	return member(row, "price_prompt_usd_per_token") &&
	       member(row, "price_completion_usd_per_token");
}

/* Dearer prices for long prompts. */
static bool put_overrides(struct json_object *pricing, int shift, struct json_object *row)
{
	struct json_object *list = member(pricing, "overrides"), *steps;

	if (!json_object_is_type(list, json_type_array) || !json_object_array_length(list))
		return true;
	steps = json_object_new_array();
	json_object_object_add(row, "overrides", steps);
	for (size_t i = 0; i < json_object_array_length(list); i++) {
		struct json_object *theirs = json_object_array_get_idx(list, i);
		struct json_object *step = json_object_new_object();
		int64_t above = json_member_int(theirs, "min_prompt_tokens", -1);

		json_object_array_add(steps, step);
		if (above < 1 || !put_members(theirs, shift, step))
			return false;
		json_object_object_del(step, "price_request");
		json_object_object_del(step, "price_image");
		json_object_object_add(step, "min_prompt_tokens", json_object_new_int64(above));
	}
	return json_object_array_length(steps) <= COST_STEPS;
}

/* Of several providers behind a router the dearest counts: the bill must not be too low. */
static void put_dearest(struct json_object *providers, int shift, struct json_object *row)
{
	int64_t most[2] = { -1, -1 };
	static const char *const sides[] = { "input", "output" };

	for (size_t i = 0; i < json_object_array_length(providers); i++) {
		struct json_object *pricing =
			member(json_object_array_get_idx(providers, i), "pricing");
		int64_t picousd[2];

		if (!read_number(member(pricing, sides[0]), shift, &picousd[0]) ||
			!read_number(member(pricing, sides[1]), shift, &picousd[1]))
			continue;
		for (int k = 0; k < 2; k++)
			if (picousd[k] > most[k])
				most[k] = picousd[k];
	}
	if (most[0] < 0)
		return;
	put_price(row, "price_prompt_usd_per_token", most[0]);
	put_price(row, "price_completion_usd_per_token", most[1]);
}

static void put_prices(
	struct json_object *entry, enum catalog_list_unit unit, struct json_object *row)
{
	static const char *const cents[][2] = { { "prompt_text_token_price",
							"price_prompt_usd_per_token" },
		{ "completion_text_token_price", "price_completion_usd_per_token" },
		{ "cached_prompt_text_token_price", "price_cache_read" } };
	struct json_object *pricing = member(entry, "pricing");
	struct json_object *providers = member(entry, "providers");
	int shift = unit == CATALOG_LIST_PER_MILLION ? 6 : 12;
	int64_t picousd;
	bool good = true;

	switch (unit) {
	case CATALOG_LIST_NO_PRICES:
		return;
	case CATALOG_LIST_FREE:
		put_price(row, "price_prompt_usd_per_token", 0);
		put_price(row, "price_completion_usd_per_token", 0);
		return;
	case CATALOG_LIST_CENTS_PER_100M:
		for (size_t i = 0; i < ROWS(cents); i++)
			if (read_number(member(entry, cents[i][0]), 2, &picousd) &&
				(picousd > 0 || i < 2))
				put_price(row, cents[i][1], picousd);
		break;
	case CATALOG_LIST_PER_TOKEN:
	case CATALOG_LIST_PER_MILLION:
		if (pricing)
			good = put_members(pricing, shift, row) &&
			       put_overrides(pricing, shift, row);
		else if (json_object_is_type(providers, json_type_array))
			put_dearest(providers, shift, row);
		/* Embeddings have no completion, and some lists no price for it. */
		if (lists(member(row, "output_modalities"), "embeddings") &&
			member(row, "price_prompt_usd_per_token") &&
			!member(row, "price_completion_usd_per_token"))
			put_price(row, "price_completion_usd_per_token", 0);
	}
	if (!good || !has_both(row))
		drop_prices(row);
}

/* ---- the list ---- */

static struct slice id_of(struct json_object *entry)
{
	static const char *const names[] = { "id", "model", "name" };

	for (size_t i = 0; i < ROWS(names); i++) {
		struct slice id = text_of(member(entry, names[i]));

		if (slice_starts(id, "models/"))
			id = slice_from(id, strlen("models/"));
		if (id.len)
			return id;
	}
	return (struct slice){ "", 0 };
}

/* What a name is compared by: in lower case, without a day at its end, and without the tag that
 * local servers add when there is none. */
static bool fold(struct slice name, char out[MODEL_ID_MAX])
{
	if (slice_ends(name, ":latest"))
		name = slice_first(name, name.len - strlen(":latest"));
	if (!slice_copy(model_name_undated(name), out, MODEL_ID_MAX))
		return false;
	for (char *ch = out; *ch; ch++)
		if (*ch >= 'A' && *ch <= 'Z')
			*ch = (char)(*ch - 'A' + 'a');
	return true;
}

static void add_name(struct prices_list *l, struct slice name)
{
	char folded[MODEL_ID_MAX];

	if (fold(name, folded))
		json_object_object_add(l->names, folded, json_object_new_boolean(true));
}

bool prices_list_has(const struct prices_list *l, struct slice name)
{
	char folded[MODEL_ID_MAX];

	return fold(name, folded) && json_object_object_get_ex(l->names, folded, NULL);
}

static void add_entry(struct prices_list *l, struct json_object *entry, enum catalog_list_unit unit)
{
	struct slice id = id_of(entry);
	struct json_object *aliases = member(entry, "aliases"), *row;

	if (!is_plain(id, '!') || id.len >= MODEL_ID_MAX - SLUG_MAX)
		return;
	add_name(l, id);
	for (size_t i = 0; json_object_is_type(aliases, json_type_array) &&
			   i < json_object_array_length(aliases);
		i++)
		add_name(l, text_of(json_object_array_get_idx(aliases, i)));
	row = json_object_new_object();
	put_text(row, "native_id", id);
	put_facts(entry, row);
	if (!is_for_us(entry, row)) {
		json_object_put(row);
		return;
	}
	put_prices(entry, unit, row);
	l->unpriced += unit != CATALOG_LIST_NO_PRICES && !has_both(row);
	json_object_array_add(l->models, row);
}

enum err_code prices_list_read(
	struct slice text, enum catalog_list_unit unit, struct prices_list *l, struct err *e)
{
	struct json_object *tree = NULL, *list;
	enum err_code rc = json_read(text, LIST_DEPTH, &tree, e);

	*l = (struct prices_list){ .models = json_object_new_array(),
		.names = json_object_new_object() };
	if (rc)
		return err_set(e, ERR_UPSTREAM_INVALID, "its list of models is not JSON");
	list = json_object_is_type(tree, json_type_array) ? tree : member(tree, "data");
	if (!list)
		list = member(tree, "models");
	l->is_partial = json_member_bool(tree, "has_more", false) ||
			json_member_str(tree, "nextPageToken", "")[0] ||
			json_member_str(tree, "next_page_token", "")[0];
	for (size_t i = 0;
		json_object_is_type(list, json_type_array) && i < json_object_array_length(list);
		i++)
		add_entry(l, json_object_array_get_idx(list, i), unit);
	json_object_put(tree);
	return json_object_array_length(l->models)
		       ? ERR_OK
		       : err_set(e, ERR_UPSTREAM_INVALID, "it lists no model");
}

void prices_list_fini(struct prices_list *l)
{
	json_object_put(l->models);
	json_object_put(l->names);
	*l = (struct prices_list){ 0 };
}
