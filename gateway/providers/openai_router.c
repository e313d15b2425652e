#include "gateway/providers/openai_router.h"

bool openai_router_must_honour(struct json_value tool_choice, struct json_value format)
{
	return tool_choice.kind == JSON_OBJECT || json_str_is(tool_choice.raw, "required") ||
	       json_str_is(json_get(format, "type").raw, "json_schema");
}

/* ---- objects ---- */

/* Begins the next member of an object of which out has what was written so far. */
static void begin(struct buf *out, size_t start, struct slice key)
{
	if (out->len > start + 1)
		buf_char(out, ',');
	buf_slice_append(out, key);
	buf_char(out, ':');
}

static void add(struct buf *out, size_t start, struct slice key, struct slice value)
{
	begin(out, start, key);
	buf_slice_append(out, value);
}

/* ---- names of providers ---- */

/* What OpenRouter calls a provider, and Vercel. */
enum { OPENROUTERS, VERCELS };
static const char *const called[][2] = { { "amazon-bedrock", "bedrock" },
	{ "google-ai-studio", "google" }, { "google-vertex", "vertex" }, { "z-ai", "zai" } };

static struct slice translate(struct slice name, int from, int to)
{
	for (size_t i = 0; i < sizeof(called) / sizeof(called[0]); i++)
		if (slice_is_nocase(name, called[i][from]))
			return slice_of(called[i][to]);
	return name;
}

/* Only OpenRouter's names may say more than who: "deepinfra/fp8". */
static void write_name(const struct router_wishes *w, const char *name, struct buf *out)
{
	struct slice rest = slice_of(name), whole = rest, slug = slice_cut(&rest, '/');

	buf_json_str(out, w->quirks->wants_options ? translate(slug, OPENROUTERS, VERCELS)
						   : translate(whole, VERCELS, OPENROUTERS));
}

/* Does the list name the router itself? */
static bool names_router(const struct router_wishes *w, struct json_value list)
{
	struct json_iter it;
	struct json_value v;
	struct slice key;
	char name[SLUG_MAX];

	json_iter_init(&it, list);
	while (json_iter_next(&it, &key, &v))
		if (json_str_copy(v, name, sizeof(name)) &&
			slice_is_nocase(slice_of(w->target->slug), name))
			return true;
	return false;
}

/* Adds a list of providers without the router; nothing when nothing is left. */
static void add_list(const struct router_wishes *w, struct buf *out, size_t start, struct slice key,
	struct json_value list)
{
	size_t member = out->len, first;
	struct json_iter it;
	struct json_value v;
	struct slice none;
	char name[MODEL_ID_MAX];

	begin(out, start, key);
	buf_char(out, '[');
	first = out->len;
	json_iter_init(&it, list);
	while (json_iter_next(&it, &none, &v)) {
		if (!json_str_copy(v, name, sizeof(name)) ||
			slice_is_nocase(slice_of(w->target->slug), name))
			continue;
		if (out->len > first)
			buf_char(out, ',');
		write_name(w, name, out);
	}
	if (out->len == first)
		out->len = member;
	else
		buf_char(out, ']');
}

/* ---- what is wished, in whichever form ---- */

struct wished {
	struct json_value order, only;
	const char *sort; /* in the words of the router; NULL = as the client's provider says */
	bool private, zdr;
};

static const char *const sorts[][2] = { { "price", "cost" }, { "latency", "ttft" },
	{ "throughput", "tps" } };

static const char *sort_of(struct json_value said, int from, int to)
{
	for (size_t i = 0; i < sizeof(sorts) / sizeof(sorts[0]); i++)
		if (json_str_is(said.raw, sorts[i][from]))
			return sorts[i][to];
	return NULL;
}

/* The client's list in either form; an empty one says nothing. */
static struct json_value list_of(const struct router_wishes *w, const char *name)
{
	struct json_value list = json_get(w->provider, name);

	if (!json_is_truthy(list))
		list = json_get(json_get(w->options, "gateway"), name);
	return json_is_truthy(list) ? list : (struct json_value){ .kind = JSON_ABSENT };
}

static struct wished read_wishes(const struct router_wishes *w)
{
	struct json_value gateway = json_get(w->options, "gateway");
	struct json_value sort = json_get(w->provider, "sort");
	struct wished s = { .order = list_of(w, "order"), .only = list_of(w, "only") };
	int theirs = w->quirks->wants_options;

	/* Who names the router has no wish about those behind it. */
	if (names_router(w, s.only))
		s.only.kind = JSON_ABSENT;
	if (!json_is_truthy(sort))
		s.sort = sort_of(json_get(gateway, "sort"), 1, theirs);
	else if (theirs)
		s.sort = sort_of(sort.kind == JSON_OBJECT ? json_get(sort, "by") : sort, 0, theirs);
	/* An order would undo what the client wants it to be sorted by. */
	if (!s.order.kind && w->target->prefers && !json_is_truthy(sort) && !s.sort)
		s.order = (struct json_value){ JSON_ARRAY, slice_of(w->target->prefers) };
	s.private = json_str_is(json_get(w->provider, "data_collection").raw, "deny") ||
		    json_is_true(json_get(gateway, "disallowPromptTraining"));
	s.zdr = json_is_true(json_get(w->provider, "zdr")) ||
		json_is_true(json_get(gateway, "zeroDataRetention"));
	return s;
}

static void add_lists(
	const struct router_wishes *w, const struct wished *s, size_t start, struct buf *out)
{
	if (s->order.kind)
		add_list(w, out, start, SLICE("\"order\""), s->order);
	if (s->only.kind)
		add_list(w, out, start, SLICE("\"only\""), s->only);
}

static void add_sort(const struct wished *s, size_t start, struct buf *out)
{
	if (!s->sort)
		return;
	begin(out, start, SLICE("\"sort\""));
	buf_json_cstr(out, s->sort);
}

/* Is this a member that is said anew? */
static bool is_one_of(const char *const *names, struct slice key)
{
	return quirks_has(names, slice_first(slice_from(key, 1), key.len - 2));
}

/* ---- "provider" ---- */

bool openai_router_has_wishes(const struct router_wishes *w)
{
	struct wished s = read_wishes(w);

	return w->must_honour || s.order.kind || s.only.kind || s.sort || s.private || s.zdr;
}

void openai_router_write_provider(const struct router_wishes *w, struct buf *out)
{
	static const char *const anew[] = { "order", "only", "data_collection", "zdr", NULL };
	const char *const *known = w->quirks->provider_members;
	struct wished s = read_wishes(w);
	size_t start = out->len;
	struct json_iter it;
	struct json_value v;
	struct slice key;
	bool said = false;

	buf_char(out, '{');
	json_iter_init(&it, w->provider);
	while (json_iter_next(&it, &key, &v)) {
		if ((known && !is_one_of(known, key)) || is_one_of(anew, key))
			continue;
		said |= json_str_is(key, "require_parameters");
		if (json_str_is(key, "ignore") && v.kind == JSON_ARRAY)
			add_list(w, out, start, key, v);
		else if (!json_str_is(key, "sort") || !s.sort)
			add(out, start, key, v.raw);
	}
	add_lists(w, &s, start, out);
	add_sort(&s, start, out);
	if (s.private)
		add(out, start, SLICE("\"data_collection\""), SLICE("\"deny\""));
	if (s.zdr)
		add(out, start, SLICE("\"zdr\""), SLICE("true"));
	if (w->must_honour && !said)
		add(out, start, SLICE("\"require_parameters\""), SLICE("true"));
	buf_char(out, '}');
}

/* ---- "providerOptions" ---- */

/* Its "gateway"; nothing when it would say nothing. */
static void add_gateway(const struct router_wishes *w, size_t start, struct buf *out)
{
	/* The chain of models is the gateway's own affair. */
	static const char *const anew[] = { "models", "order", "only", "sort",
		"disallowPromptTraining", "zeroDataRetention", NULL };
	struct wished s = read_wishes(w);
	size_t member = out->len, inner;
	struct json_iter it;
	struct json_value v;
	struct slice key;

	begin(out, start, SLICE("\"gateway\""));
	inner = out->len;
	buf_char(out, '{');
	json_iter_init(&it, json_get(w->options, "gateway"));
	while (json_iter_next(&it, &key, &v))
		if (!is_one_of(anew, key))
			add(out, inner, key, v.raw);
	add_lists(w, &s, inner, out);
	add_sort(&s, inner, out);
	if (s.private)
		add(out, inner, SLICE("\"disallowPromptTraining\""), SLICE("true"));
	if (s.zdr)
		add(out, inner, SLICE("\"zeroDataRetention\""), SLICE("true"));
	if (out->len == inner + 1)
		out->len = member;
	else
		buf_char(out, '}');
}

void openai_router_write_options(const struct router_wishes *w, struct buf *out)
{
	size_t before = out->len, start;
	struct json_iter it;
	struct json_value v;
	struct slice key;

	buf_str(out, ",\"providerOptions\":");
	start = out->len;
	buf_char(out, '{');
	json_iter_init(&it, w->options);
	while (json_iter_next(&it, &key, &v))
		if (!json_str_is(key, "gateway"))
			add(out, start, key, v.raw);
	add_gateway(w, start, out);
	if (out->len == start + 1)
		out->len = before;
	else
		buf_char(out, '}');
}
