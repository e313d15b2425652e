#include "handlers/cli/models_show.h"

#include "base/clock.h"
#include "gateway/near.h"
#include "handlers/cli/cli.h"
#include "handlers/cli/json_out.h"
#include "handlers/cli/table.h"

#include <inttypes.h>
#include <stdio.h>

void models_day(int64_t wall_ms, char out[MODELS_DAY_SIZE])
{
	char iso[CLOCK_ISO_SIZE];

	clock_iso(wall_ms, iso);
	(void)!slice_copy(slice_first(slice_of(iso), MODELS_DAY_SIZE - 1), out, MODELS_DAY_SIZE);
}

static const struct price {
	const char *member, *name, *unit;
	int shift;
} prices[] = { { "price_prompt_usd_per_token", "prompt", "a million tokens", 6 },
	{ "price_completion_usd_per_token", "completion", "a million tokens", 6 },
	{ "price_cache_read", "cache-read", "a million tokens", 6 },
	{ "price_cache_write", "cache-write", "a million tokens", 6 },
	{ "price_cache_write_1h", "cache-write-hour", "a million tokens", 6 },
	{ "price_reasoning", "reasoning", "a million tokens", 6 },
	{ "price_request", "request", "a request", 0 }, { "price_image", "image", "an image", 0 } };

#define PRICES (sizeof(prices) / sizeof(prices[0]))

static const struct price *price_of(const char *member)
{
	for (size_t i = 0; i + 1 < PRICES; i++)
		if (strcmp(prices[i].member, member) == 0)
			return &prices[i];
	return &prices[PRICES - 1];
}

const char *models_price_name(const char *member)
{
	return price_of(member)->name;
}

int models_price_shift(const char *member)
{
	return price_of(member)->shift;
}

void models_price(struct json_object *row, const char *member, char out[MODELS_PRICE_SIZE])
{
	const char *text = json_member_str(row, member, NULL);
	struct buf usd = { 0 };
	cost_wide amount;
	int64_t picousd;

	str_copy_cut(out, MODELS_PRICE_SIZE, "-");
	if (!text || !cost_read_usd(slice_of(text), &picousd))
		return;
	amount = (cost_wide)picousd;
	for (int i = 0; i < models_price_shift(member); i++)
		amount *= 10;
	buf_char(&usd, '$');
	cost_write_usd(amount, &usd);
	if (!buf_ok(&usd) || !slice_copy(buf_slice(&usd), out, MODELS_PRICE_SIZE))
		str_copy_cut(out, MODELS_PRICE_SIZE, "?");
	buf_fini(&usd);
}

static const struct catalog_model_more *more_of(
	const struct catalog *c, const struct catalog_model *m)
{
	return &c->models_more[m - c->models];
}

const struct catalog_model *models_find(const struct catalog *c, const char *id)
{
	const struct catalog_model *m = catalog_model_find(c, slice_of(id));
	struct near near = { .written = slice_of(id) };
	char list[3 * MODEL_ID_MAX + 32] = "";
	struct err e;

	if (m)
		return m;
	for (size_t i = 0; i < catalog_model_count(c); i++)
		near_offer(&near, catalog_model_at(c, i)->id);
	near_write(&near, list, sizeof(list));
	(void)!err_set(
		&e, ERR_MODEL_NOT_FOUND, "the catalogue has no model \"%.100s\"%s", id, list);
	cli_fail(&e);
	return NULL;
}

static const char *state_of(const struct catalog *c, const struct catalog_model *m)
{
	return m->hidden                    ? "hidden"
	       : m->gone                    ? "gone"
	       : catalog_model_server(c, m) ? "served"
					    : "not configured";
}

static void write_json(const struct catalog *c, const struct catalog_model *m, struct buf *out)
{
	const struct catalog_model_more *more = more_of(c, m);
	const struct catalog_provider *server = catalog_model_server(c, m);
	struct json_object *row = prices_row(c, m);

	buf_str(out, "{\"id\":");
	buf_json_cstr(out, m->id);
	json_out_text(out, "name", m->name);
	json_out_text(out, "provider", m->provider->slug);
	json_out_text(out, "served_by", server ? server->slug : "");
	json_out_text(out, "native_id", m->native_id);
	json_out_text(out, "state", state_of(c, m));
	buf_printf(out, ",\"free\":%s", m->free ? "true" : "false");
	buf_printf(out, ",\"context_length\":%" PRId64, json_member_int(row, "context_length", 0));
	buf_printf(out, ",\"max_output\":%" PRId64, m->max_output);
	for (size_t i = 0; i < PRICES; i++)
		json_out_text(out, prices[i].member, json_member_str(row, prices[i].member, ""));
	json_out_text(out, "price_date", more->price_date);
	json_out_text(out, "price_source", more->source[0] ? more->source : "catalogue");
	if (m->prices)
		buf_printf(out, ",\"price_version\":\"%08x\"", m->prices->version);
	buf_char(out, '}');
	json_object_put(row);
}

int models_list(const struct catalog *c, const char *provider, bool all, bool json)
{
	struct table t = { .heads = { "ID", "PROVIDER", "CONTEXT", "PROMPT", "COMPLETION", "PRICED",
				   "STATE" },
		.right = 1u << 2 | 1u << 3 | 1u << 4 };
	const struct catalog_provider *only = NULL;
	struct buf out = { .max_bytes = (size_t)64 << 20 };
	bool any = false;

	if (provider) {
		only = catalog_provider_find(c, slice_of(provider));
		if (!only)
			return cli_misuse("models", "there is no provider %.64s", provider);
	}
	for (size_t i = 0; i < catalog_model_count(c); i++) {
		const struct catalog_model *m = catalog_model_at(c, i);
		const struct catalog_provider *server = catalog_model_server(c, m);
		struct json_object *row;
		char prompt[MODELS_PRICE_SIZE], completion[MODELS_PRICE_SIZE];

		if ((only && m->provider != only && server != only) ||
			(!all && !only && (!server || m->hidden || m->gone)))
			continue;
		if (json) {
			buf_str(&out, any ? ",\n" : "[");
			write_json(c, m, &out);
			any = true;
			continue;
		}
		row = prices_row(c, m);
		models_price(row, prices[0].member, prompt);
		models_price(row, prices[1].member, completion);
		table_cell(&t, server && !m->hidden && !m->gone ? CLI_PLAIN : CLI_DIM, "%s", m->id);
		table_cell(&t, CLI_PLAIN, "%s", (server ? server : m->provider)->slug);
		table_cell(&t, CLI_PLAIN, "%" PRId64, json_member_int(row, "context_length", 0));
		table_cell(&t, CLI_PLAIN, "%s", prompt);
		table_cell(&t, CLI_PLAIN, "%s", completion);
		table_cell(&t, CLI_PLAIN, "%s", more_of(c, m)->price_date);
		table_cell(&t, CLI_PLAIN, "%s", state_of(c, m));
		json_object_put(row);
	}
	if (json) {
		buf_str(&out, any ? "]\n" : "[]\n");
		json_out_print(&out);
	} else {
		table_print(&t, "No model is served: --all lists the whole catalogue");
	}
	return CLI_OK;
}

int models_show(const struct catalog *c, const char *id, bool json)
{
	const struct catalog_model *m = models_find(c, id);
	const struct catalog_model_more *more;
	const struct catalog_provider *server;
	struct json_object *row;
	struct buf out = { 0 };

	if (!m)
		return CLI_FAILED;
	if (json) {
		write_json(c, m, &out);
		buf_char(&out, '\n');
		json_out_print(&out);
		return CLI_OK;
	}
	more = more_of(c, m);
	row = prices_row(c, m);
	server = catalog_model_server(c, m);
	printf("%s%s%s\n", cli_style(CLI_BOLD), m->id, cli_style(CLI_PLAIN));
	table_line("name", "%s", m->name);
	table_line("made by", "%s, which calls it %s", m->provider->name, m->native_id);
	table_line("state", "%s", state_of(c, m));
	if (server)
		table_line("served by", "%s", server->name);
	table_line("context", "%" PRId64 " tokens", json_member_int(row, "context_length", 0));
	if (m->max_output)
		table_line("may write", "%" PRId64 " tokens", m->max_output);
	for (size_t i = 0; i < PRICES; i++) {
		char price[MODELS_PRICE_SIZE];

		models_price(row, prices[i].member, price);
		if (strcmp(price, "-") != 0)
			table_line(prices[i].name, "%s for %s", price, prices[i].unit);
	}
	json_object_put(row);
	if (m->prices)
		table_line("price version", "%08x, of %s, from %s", m->prices->version,
			more->price_date,
			strcmp(more->source, "operator") == 0 ? "the operator"
			: more->source[0]                     ? more->source
							      : "the catalogue");
	else
		table_line("price", "unknown: its requests are not billed");
	return CLI_OK;
}
