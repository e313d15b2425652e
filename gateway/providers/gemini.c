/* gateway/providers/gemini.c - the dialect of Google's Gemini API: which models can what, and what
 * the two sides of it share. */
#include "gateway/providers/gemini.h"

#include <stdio.h>

#define VERSION(major, minor) (100 * (major) + (minor))

/* "gemini-3.1-flash-lite" → 301; 0 when the id names no version, as aliases do. */
static unsigned version_of(const char *id)
{
	static const char family[] = "gemini-";
	const char *at = strcasestr(id, family);
	unsigned major = 0, minor = 0;

	if (!at)
		return 0;
	at += sizeof(family) - 1;
	if (at[0] < '0' || at[0] > '9')
		return 0;
	for (; at[0] >= '0' && at[0] <= '9' && major < 100; at++)
		major = 10 * major + (unsigned)(at[0] - '0');
	if (at[0] == '.')
		for (at++; at[0] >= '0' && at[0] <= '9' && minor < 10; at++)
			minor = 10 * minor + (unsigned)(at[0] - '0');
	return VERSION(major, minor);
}

/* Section 8's table for models that take a level. */
static void set_level(struct gemini_model *m, const char *id, unsigned version)
{
	bool small = strcasestr(id, "flash");

	m->thinking = GEMINI_LEVEL;
	m->lowest = "LOW";
	if (small && version && version < VERSION(3, 7))
		m->lowest = "MINIMAL";
	m->has_no_medium = version == VERSION(3, 0) && !small;
}

static void set_budget(struct gemini_model *m, const char *id)
{
	bool lite = strcasestr(id, "flash-lite");

	m->thinking = GEMINI_BUDGET;
	m->budget_min = lite ? 512 : 0;
	m->budget_max = 24576;
	m->can_rest = true;
	m->rests_unasked = lite;
	if (strcasestr(id, "-pro")) {
		m->budget_min = 128;
		m->budget_max = 32768;
		m->can_rest = false;
	}
}

struct gemini_model gemini_model_of(const char *id)
{
	/* Made for pictures, voices or vectors: what they think nobody may say. */
	static const char *const silent[] = { "-image", "-tts", "-live", "-audio", "embedding",
		"computer-use", "robotics" };
	bool gemini = strcasestr(id, "gemini"), thinks = gemini;
	unsigned version = version_of(id);
	struct gemini_model m = { .takes_system = !strcasestr(id, "gemma") };

	/* Aliases such as gemini-flash-latest stand for the newest; a model that was tuned says
	 * nothing of what it was made from, but others than Google's own are not of this family. */
	if (gemini && !version)
		version = strcasestr(id, "latest") ? VERSION(99, 0) : VERSION(1, 0);
	for (size_t i = 0; i < sizeof(silent) / sizeof(silent[0]); i++)
		thinks &= !strcasestr(id, silent[i]);
	m.json_schema = m.signs = version >= VERSION(2, 5);
	m.form_with_tools = m.media_in_results = m.wants_signatures = version >= VERSION(3, 0);
	if (thinks && version >= VERSION(3, 0))
		set_level(&m, id, version == VERSION(99, 0) ? 0 : version);
	else if (thinks && version >= VERSION(2, 5))
		set_budget(&m, id);
	return m;
}

bool gemini_is_vertex(const struct target *t)
{
	return strstr(t->base_url, "/publishers/google") != NULL;
}

const struct ask_rules gemini_names = {
	.name_max = 64, .name_extra = ".:", .name_starts_letter = true
};

/* ---- the form of an answer, by a tool ---- */

bool gemini_declares(const struct ask *a)
{
	for (unsigned i = 0; i < a->tool_count; i++)
		if (!a->tools[i].native.kind && !a->tools[i].from_history)
			return true;
	return false;
}

static bool is_taken(const struct ask *a, const char *name)
{
	for (unsigned i = 0; i < a->tool_count; i++)
		if (a->tools[i].known && strcmp(a->tools[i].known, name) == 0)
			return true;
	return false;
}

struct gemini_json gemini_json_of(const struct ask *a, const struct gemini_model *m)
{
	struct gemini_json j = { .name = "json" };

	j.by_tool = a->form == FORM_SCHEMA && !m->form_with_tools && a->choice != TOOLS_NONE &&
		    gemini_declares(a);
	j.wrapped = j.by_tool && !json_str_is(json_get(a->schema, "type").raw, "object");
	for (unsigned i = 2; j.by_tool && is_taken(a, j.name); i++)
		snprintf(j.name, sizeof(j.name), "json_%u", i);
	return j;
}

struct gemini_json gemini_json_of_request(const struct target *t, const struct chat_req *req)
{
	struct json_value body = { JSON_OBJECT, req->body };
	struct gemini_model m = gemini_model_of(t->native_id);
	struct gemini_json j = { .by_tool = false };
	struct ask a;

	if (m.form_with_tools ||
		!json_str_is(
			json_get(json_get(body, "response_format"), "type").raw, "json_schema"))
		return j;
	/* What cannot be read was never sent, so there is nothing it could have asked for. */
	if (!ask_read(req, &gemini_names, NULL, 0, &a, NULL))
		j = gemini_json_of(&a, &m);
	ask_fini(&a);
	return j;
}

/* ---- the dialect ---- */

/* Addresses that Google reads by itself; others are inlined. */
static bool takes_url(struct slice url)
{
	static const char *const known[] = { "gs://", "https://generativelanguage.googleapis.com/",
		"https://www.youtube.com/", "https://youtube.com/", "https://m.youtube.com/",
		"https://youtu.be/" };

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (slice_starts(url, known[i]))
			return true;
	return false;
}

const struct provider provider_gemini = {
	.name = "gemini",
	.can = CAN_STREAM | CAN_TOOLS | CAN_IMAGES,
	.takes_url = takes_url,
	.encode = gemini_encode,
	.decode = gemini_decode,
	.decode_event = gemini_decode_event,
	.decode_error = gemini_decode_error,
	.mend = gemini_mend,
	.embed_path = "/models/{id}:batchEmbedContents",
};
