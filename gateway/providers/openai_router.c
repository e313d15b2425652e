#include "gateway/providers/openai_router.h"

#include "gateway/providers/patch.h"

bool openai_router_must_honour(struct json_value tool_choice, struct json_value format)
{
	return tool_choice.kind == JSON_OBJECT || json_str_is(tool_choice.raw, "required") ||
	       json_str_is(json_get(format, "type").raw, "json_schema");
}

void openai_router_write_provider(
	const struct quirks *q, struct json_value provider, bool must_honour, struct buf *out)
{
	struct patch p = { .out = out, .done = provider.raw.ptr };
	struct patch_list list;
	struct json_iter it;
	struct json_value v;
	struct slice key;
	bool said = false;

	if (provider.kind != JSON_OBJECT) {
		buf_str(out, must_honour ? "{\"require_parameters\":true}" : "{}");
		return;
	}
	patch_list_begin(&list, provider);
	json_iter_init(&it, provider);
	while (json_iter_next(&it, &key, &v)) {
		struct slice name = { key.ptr + 1, key.len - 2 };

		if (!quirks_has(q->provider_members, name)) {
			patch_list_drop(&list);
			continue;
		}
		said |= slice_is(name, "require_parameters");
		patch_list_keep(&p, &list, key, v);
	}
	if (must_honour && !said) {
		patch_list_add(&p, &list);
		buf_str(out, "\"require_parameters\":true");
	}
	patch_list_end(&p, &list);
	patch_end(&p, provider.raw);
}

/* A member of Vercel's gateway options. */
static void add(struct buf *out, bool *first, const char *name, struct slice value)
{
	if (!value.len)
		return;
	buf_char(out, *first ? '{' : ',');
	*first = false;
	buf_json_cstr(out, name);
	buf_char(out, ':');
	buf_slice_append(out, value);
}

enum err_code openai_router_write_options(const struct target *t, struct json_value provider,
	struct json_value options, struct buf *out, struct err *e)
{
	bool private = json_str_is(json_get(provider, "data_collection").raw, "deny");
	bool zero = json_is_true(json_get(provider, "zdr")), first = true;
	struct json_value order = json_get(provider, "order"), only = json_get(provider, "only");

	if (options.kind && (private || zero))
		return err_param(e, ERR_UNSUPPORTED, "provider",
			"provider.%s: %s knows it as providerOptions.gateway.%s, and "
			"providerOptions "
			"is given; say it there",
			private ? "data_collection" : "zdr", t->slug,
			private ? "disallowPromptTraining" : "zeroDataRetention");
	if (options.kind) {
		buf_str(out, ",\"providerOptions\":");
		buf_slice_append(out, options.raw);
		return ERR_OK;
	}
	if (!private && !zero && !json_is_truthy(order) && !json_is_truthy(only))
		return ERR_OK;
	buf_str(out, ",\"providerOptions\":{\"gateway\":");
	add(out, &first, "order", json_is_truthy(order) ? order.raw : SLICE(""));
	add(out, &first, "only", json_is_truthy(only) ? only.raw : SLICE(""));
	add(out, &first, "disallowPromptTraining", private ? SLICE("true") : SLICE(""));
	add(out, &first, "zeroDataRetention", zero ? SLICE("true") : SLICE(""));
	buf_str(out, "}}");
	return ERR_OK;
}
