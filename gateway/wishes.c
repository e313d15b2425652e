#include "gateway/wishes.h"

#include "gateway/chat.h"
#include "gateway/cost.h"

#include <stdio.h>

#define PICOUSD_PER_USD_A_MILLION 1000000 /* a dollar for a million tokens, in picodollars each */

static enum err_code wrong(const char *param, const char *expected, struct err *e)
{
	return err_param(e, ERR_BAD_REQUEST, param, "%s must be %s", param, expected);
}

/* ---- texts ---- */

/* The text of a string; false when it is none, is empty or does not fit. */
static bool read_text(struct wishes *w, struct json_value v, struct slice *out)
{
	if (v.kind != JSON_STRING)
		return false;
	*out = slice_first(slice_from(v.raw, 1), v.raw.len - 2);
	if (memchr(out->ptr, '\\', out->len)) {
		char *to = w->text + w->text_len;

		if (!json_str_copy(v, to, sizeof(w->text) - w->text_len))
			return false;
		*out = slice_of(to);
		w->text_len += out->len + 1;
	}
	*out = slice_trim(*out);
	return out->len > 0 && out->len < MODEL_ID_MAX;
}

static enum err_code read_models(
	struct wishes *w, const char *param, struct json_value list, struct err *e)
{
	struct json_value v;
	struct json_iter it;
	struct slice key;
	char at[64];

	if (chat_is_absent(list))
		return ERR_OK;
	if (list.kind != JSON_ARRAY)
		return wrong(param, "an array of model ids", e);
	json_iter_init(&it, list);
	for (size_t i = 0; json_iter_next(&it, &key, &v); i++) {
		if (w->model_count == WISHES_MODELS)
			return err_param(e, ERR_BAD_REQUEST, param,
				"%s: beside the model itself at most %d are tried", param,
				WISHES_MODELS);
		snprintf(at, sizeof(at), "%s[%zu]", param, i);
		if (!read_text(w, v, &w->models[w->model_count]))
			return wrong(at, "a model id", e);
		w->model_count++;
	}
	return ERR_OK;
}

static enum err_code read_slugs(struct wishes *w, struct wish_slugs *slugs, const char *param,
	struct json_value list, struct err *e)
{
	struct json_value v;
	struct json_iter it;
	struct slice key, name;
	char at[64];

	if (chat_is_absent(list))
		return ERR_OK;
	if (list.kind != JSON_ARRAY)
		return wrong(param, "an array of names of providers", e);
	if (slugs->count)
		return err_param(e, ERR_BAD_REQUEST, param,
			"provider and providerOptions.gateway both say it; say it once");
	json_iter_init(&it, list);
	for (size_t i = 0; json_iter_next(&it, &key, &v); i++) {
		if (i == WISHES_SLUGS)
			return err_param(e, ERR_BAD_REQUEST, param, "%s has more than %d entries",
				param, WISHES_SLUGS);
		snprintf(at, sizeof(at), "%s[%zu]", param, i);
		if (!read_text(w, v, &name))
			return wrong(at, "the name of a provider", e);
		slugs->slug[slugs->count++] = slice_cut(&name, '/');
	}
	return ERR_OK;
}

/* ---- words and figures ---- */

static enum err_code read_switch(bool *out, const char *param, struct json_value v, struct err *e)
{
	if (chat_is_absent(v))
		return ERR_OK;
	if (v.kind != JSON_BOOL)
		return wrong(param, "true or false", e);
	*out = json_is_true(v);
	return ERR_OK;
}

/* A word out of a list that ends with NULL: its number from 0. */
static enum err_code read_word(const char *const *words, int *out, const char *param,
	const char *expected, struct json_value v, struct err *e)
{
	for (int i = 0; words[i]; i++)
		if (v.kind == JSON_STRING && json_str_is(v.raw, words[i])) {
			*out = i;
			return ERR_OK;
		}
	return wrong(param, expected, e);
}

/* Dollars, times what a dollar is in picodollars of a single thing, by 10^-12. */
static enum err_code read_price(
	int64_t *out, int64_t divisor, const char *param, struct json_value v, struct err *e)
{
	struct slice text = v.raw;

	if (chat_is_absent(v))
		return ERR_OK;
	if (v.kind == JSON_STRING)
		text = slice_first(slice_from(text, 1), text.len - 2);
	if ((v.kind != JSON_STRING && v.kind != JSON_NUMBER) || !cost_read_usd(text, out))
		return wrong(param, "a decimal number of USD, 0 to 1000", e);
	*out /= divisor;
	return ERR_OK;
}

static enum err_code read_max_price(struct wishes *w, struct json_value prices, struct err *e)
{
	const struct {
		const char *name, *param;
		int64_t divisor;
		int64_t *out;
	} rows[] = {
		{ "prompt", "provider.max_price.prompt", PICOUSD_PER_USD_A_MILLION,
			&w->max_prompt_picousd },
		{ "completion", "provider.max_price.completion", PICOUSD_PER_USD_A_MILLION,
			&w->max_completion_picousd },
		{ "request", "provider.max_price.request", 1, &w->max_request_picousd },
		{ "image", "provider.max_price.image", 1, &w->max_image_picousd },
	};
	enum err_code rc = ERR_OK;

	if (chat_is_absent(prices))
		return ERR_OK;
	if (prices.kind != JSON_OBJECT)
		return wrong("provider.max_price", "an object", e);
	for (size_t i = 0; !rc && i < sizeof(rows) / sizeof(rows[0]); i++)
		rc = read_price(rows[i].out, rows[i].divisor, rows[i].param,
			json_get(prices, rows[i].name), e);
	if (!rc && !chat_is_absent(json_get(prices, "audio")))
		w->for_routers = "provider.max_price.audio";
	return rc;
}

static enum err_code read_sort(struct wishes *w, struct json_value sort, struct err *e)
{
	/* exacto is an order that only routers know. */
	static const char *const words[] = { "exacto", "price", "latency", "throughput", NULL };
	static const char expected[] = "price, latency or throughput";
	enum err_code rc;
	int word = SORT_NONE;

	if (chat_is_absent(sort))
		return ERR_OK;
	if (sort.kind == JSON_OBJECT)
		sort = json_get(sort, "by");
	rc = chat_is_absent(sort) ? ERR_OK
				  : read_word(words, &word, "provider.sort", expected, sort, e);
	w->sort = (enum wish_sort)word;
	return rc;
}

/* ---- the two forms ---- */

static enum err_code read_provider(struct wishes *w, struct json_value p, struct err *e)
{
	static const char *const collection[] = { "allow", "deny", NULL };
	struct json_value quantizations = json_get(p, "quantizations");
	bool fallbacks = true, distillable = false;
	int denies = 0;
	enum err_code rc;

	if (chat_is_absent(p))
		return ERR_OK;
	if (p.kind != JSON_OBJECT)
		return wrong("provider", "an object", e);
	rc = read_slugs(w, &w->order, "provider.order", json_get(p, "order"), e);
	if (!rc)
		rc = read_slugs(w, &w->only, "provider.only", json_get(p, "only"), e);
	if (!rc)
		rc = read_slugs(w, &w->ignore, "provider.ignore", json_get(p, "ignore"), e);
	if (!rc)
		rc = read_switch(
			&fallbacks, "provider.allow_fallbacks", json_get(p, "allow_fallbacks"), e);
	if (!rc)
		rc = read_switch(&w->zdr, "provider.zdr", json_get(p, "zdr"), e);
	if (!rc)
		rc = read_switch(&w->require_parameters, "provider.require_parameters",
			json_get(p, "require_parameters"), e);
	if (!rc)
		rc = read_switch(&distillable, "provider.enforce_distillable_text",
			json_get(p, "enforce_distillable_text"), e);
	if (!rc && !chat_is_absent(json_get(p, "data_collection")))
		rc = read_word(collection, &denies, "provider.data_collection",
			"\"allow\" or \"deny\"", json_get(p, "data_collection"), e);
	if (!rc)
		rc = read_sort(w, json_get(p, "sort"), e);
	if (!rc)
		rc = read_max_price(w, json_get(p, "max_price"), e);
	if (!rc && !chat_is_absent(quantizations) && quantizations.kind != JSON_ARRAY)
		rc = wrong("provider.quantizations", "an array", e);
	w->no_fallbacks = !fallbacks;
	w->no_collection = denies == 1;
	if (json_is_truthy(quantizations))
		w->for_routers = "provider.quantizations";
	if (distillable)
		w->for_routers = "provider.enforce_distillable_text";
	return rc;
}

static enum err_code read_options(struct wishes *w, struct json_value options, struct err *e)
{
	static const char *const words[] = { "", "cost", "ttft", "tps", NULL };
	struct json_value gateway = json_get(options, "gateway"), sort = json_get(gateway, "sort");
	bool zdr = false, private = false;
	enum err_code rc;
	int word = 0;

	if (chat_is_absent(options))
		return ERR_OK;
	if (options.kind != JSON_OBJECT)
		return wrong("providerOptions", "an object", e);
	if (chat_is_absent(gateway))
		return ERR_OK;
	if (gateway.kind != JSON_OBJECT)
		return wrong("providerOptions.gateway", "an object", e);
	rc = read_slugs(
		w, &w->order, "providerOptions.gateway.order", json_get(gateway, "order"), e);
	if (!rc)
		rc = read_slugs(
			w, &w->only, "providerOptions.gateway.only", json_get(gateway, "only"), e);
	if (!rc)
		rc = read_models(
			w, "providerOptions.gateway.models", json_get(gateway, "models"), e);
	if (!rc)
		rc = read_switch(&zdr, "providerOptions.gateway.zeroDataRetention",
			json_get(gateway, "zeroDataRetention"), e);
	if (!rc)
		rc = read_switch(&private, "providerOptions.gateway.disallowPromptTraining",
			json_get(gateway, "disallowPromptTraining"), e);
	if (!rc && !chat_is_absent(sort)) {
		rc = read_word(
			words, &word, "providerOptions.gateway.sort", "cost, ttft or tps", sort, e);
		if (!rc)
			w->sort = (enum wish_sort)word;
	}
	w->zdr = w->zdr || zdr;
	w->no_collection = w->no_collection || private;
	return rc;
}

static void look_at_parameters(const struct chat_req *req, struct wishes *w)
{
	struct json_value body = { JSON_OBJECT, req->body };

	w->tools = json_is_truthy(req->field[CHAT_TOOLS].value);
	w->schema =
		json_str_is(json_get(json_get(body, "response_format"), "type").raw, "json_schema");
	w->images = chat_images(req) > 0;
}

enum err_code wishes_read(const struct chat_req *req, struct wishes *w, struct err *e)
{
	const struct json_member *field = req->field;
	enum err_code rc;

	memset(w, 0, offsetof(struct wishes, text));
	w->text_len = 0;
	w->any = !chat_is_absent(field[CHAT_MODELS].value) ||
		 !chat_is_absent(field[CHAT_FALLBACKS].value) ||
		 !chat_is_absent(field[CHAT_PROVIDER].value) ||
		 !chat_is_absent(field[CHAT_PROVIDER_OPTIONS].value);
	w->max_prompt_picousd = w->max_completion_picousd = w->max_request_picousd =
		w->max_image_picousd = -1;
	if (!w->any)
		return ERR_OK;
	rc = read_models(w, "models", field[CHAT_MODELS].value, e);
	if (!rc)
		rc = read_models(w, "fallbacks", field[CHAT_FALLBACKS].value, e);
	if (!rc)
		rc = read_provider(w, field[CHAT_PROVIDER].value, e);
	if (!rc)
		rc = read_options(w, field[CHAT_PROVIDER_OPTIONS].value, e);
	if (!rc && w->require_parameters)
		look_at_parameters(req, w);
	return rc;
}
