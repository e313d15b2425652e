/* gateway/providers/anthropic.c - the dialect of Anthropic's Messages API: which models can what,
 * and what the two sides of it share. */
#include "gateway/providers/anthropic.h"
#include "gateway/providers/json_schema.h"

#include <ctype.h>
#include <stdio.h>

/* The first row that the id contains counts. */
static const struct anthropic_model models[] = {
	{ .contains = "opus-5",
		.max_output = 128000,
		.thinking = ANTHROPIC_ADAPTIVE,
		.schema = true,
		.xhigh = true,
		.calm_when_off = true },
	{ .contains = "fable",
		.max_output = 128000,
		.thinking = ANTHROPIC_ADAPTIVE,
		.schema = true,
		.xhigh = true,
		.thinks_unasked = true,
		.always_thinks = true },
	{ .contains = "mythos",
		.max_output = 128000,
		.thinking = ANTHROPIC_ADAPTIVE,
		.schema = true,
		.xhigh = true,
		.thinks_unasked = true,
		.always_thinks = true },
	{ .contains = "opus-4-8",
		.max_output = 128000,
		.thinking = ANTHROPIC_ADAPTIVE,
		.schema = true,
		.xhigh = true },
	{ .contains = "opus-4-7",
		.max_output = 128000,
		.thinking = ANTHROPIC_ADAPTIVE,
		.schema = true,
		.xhigh = true },
	{ .contains = "sonnet-5",
		.max_output = 128000,
		.thinking = ANTHROPIC_ADAPTIVE,
		.thinks_unasked = true,
		.schema = true,
		.xhigh = true },
	{ .contains = "opus-4-6",
		.max_output = 128000,
		.thinking = ANTHROPIC_EITHER,
		.samples = true,
		.schema = true },
	/* Lists disagree on 128,000: this is safe. */
	{ .contains = "sonnet-4-6",
		.max_output = 64000,
		.thinking = ANTHROPIC_EITHER,
		.samples = true,
		.schema = true },
	{ .contains = "opus-4-5",
		.max_output = 64000,
		.thinking = ANTHROPIC_BUDGET,
		.samples = true,
		.schema = true },
	{ .contains = "sonnet-4-5",
		.max_output = 64000,
		.thinking = ANTHROPIC_BUDGET,
		.samples = true,
		.schema = true },
	{ .contains = "haiku-4-5",
		.max_output = 64000,
		.thinking = ANTHROPIC_BUDGET,
		.samples = true,
		.schema = true },
	{ .contains = "opus-4-1",
		.max_output = 32000,
		.thinking = ANTHROPIC_BUDGET,
		.samples = true,
		.schema = true },
	{ .contains = "sonnet-4",
		.max_output = 64000,
		.thinking = ANTHROPIC_BUDGET,
		.samples = true },
	{ .contains = "opus-4",
		.max_output = 32000,
		.thinking = ANTHROPIC_BUDGET,
		.samples = true },
	{ .contains = "3-7-sonnet",
		.max_output = 64000,
		.thinking = ANTHROPIC_BUDGET,
		.samples = true },
	{ .contains = "3-5", .max_output = 8192, .samples = true },
	{ .contains = "3-haiku", .max_output = 4096, .samples = true },
	{ .contains = "3-opus", .max_output = 4096, .samples = true },
	{ .contains = "3-sonnet", .max_output = 4096, .samples = true },
	{ .contains = "claude-2", .max_output = 4096, .samples = true },
	{ .contains = "claude-instant", .max_output = 4096, .samples = true },
};

/* Somebody else's model behind the same API. */
static const struct anthropic_model stranger = {
	.contains = "", .thinking = ANTHROPIC_BUDGET, .samples = true
};

const struct anthropic_model *anthropic_model_of(const char *native_id)
{
	if (!strcasestr(native_id, "claude"))
		return &stranger;
	for (size_t i = 0; i < sizeof(models) / sizeof(models[0]); i++)
		if (strcasestr(native_id, models[i].contains))
			return &models[i];
	return &models[0];
}

bool anthropic_is_claude(const struct anthropic_model *m)
{
	return m != &stranger;
}

const char *anthropic_thoughts(const struct anthropic_model *m)
{
	return m == &stranger ? "unknown" : "anthropic-claude-v1";
}

void anthropic_native_id(const char *id, char out[MODEL_ID_MAX])
{
	static const char author[] = "anthropic/";
	bool prefixed = strncmp(id, author, sizeof(author) - 1) == 0;

	str_copy_cut(out, MODEL_ID_MAX, prefixed ? id + sizeof(author) - 1 : id);
	if (!strcasestr(out, "claude"))
		return;
	out[strcspn(out, ":")] = '\0';
	for (char *dot = out; (dot = strchr(dot, '.')); dot++)
		if (dot > out && isdigit((unsigned char)dot[-1]) && isdigit((unsigned char)dot[1]))
			*dot = '-';
}

const struct ask_rules anthropic_names = { .name_max = 128, .name_extra = "" };

static bool is_taken(const struct ask *a, const char *name)
{
	for (unsigned i = 0; i < a->tool_count; i++)
		if (a->tools[i].known && !a->tools[i].from_history &&
			strcmp(a->tools[i].known, name) == 0)
			return true;
	return false;
}

struct anthropic_json anthropic_json_of(
	const struct target *t, const struct ask *a, const struct anthropic_model *m)
{
	struct anthropic_json j = { .name = "json" };

	/* Whoever else speaks this dialect does not have this part of it. */
	j.by_tool = a->form == FORM_SCHEMA && !(m->schema && strcmp(t->slug, "anthropic") == 0);
	j.wrapped = j.by_tool && !schema_is_object(a->schema.raw);
	for (unsigned i = 2; j.by_tool && is_taken(a, j.name); i++)
		snprintf(j.name, sizeof(j.name), "json_%u", i);
	return j;
}

struct anthropic_json anthropic_json_of_request(const struct target *t, const struct chat_req *req)
{
	struct json_value body = { JSON_OBJECT, req->body };
	struct anthropic_json j = { .by_tool = false };
	char id[MODEL_ID_MAX];
	struct ask a;

	if (!json_str_is(json_get(json_get(body, "response_format"), "type").raw, "json_schema"))
		return j;
	anthropic_native_id(t->native_id, id);
	/* What cannot be read was never sent, so there is nothing it could have asked for. */
	if (!ask_read(req, &anthropic_names, NULL, 0, &a, NULL))
		j = anthropic_json_of(t, &a, anthropic_model_of(id));
	ask_fini(&a);
	return j;
}

/* Anthropic fetches over TLS only; other addresses are inlined. */
static bool takes_url(struct slice url)
{
	return slice_starts(url, "https://");
}

const struct provider provider_anthropic = {
	.name = "anthropic",
	.can = CAN_STREAM | CAN_TOOLS | CAN_IMAGES | CAN_IMAGE_URLS | ADDS_THOUGHTS | MARKS_END,
	.takes_url = takes_url,
	.encode = anthropic_encode,
	.decode = anthropic_decode,
	.decode_event = anthropic_decode_event,
	.decode_error = anthropic_decode_error,
};
