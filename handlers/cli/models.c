/* tollgate models: what can be asked for, and what it costs. */
#include "handlers/cli/cli.h"

#include "base/clock.h"
#include "handlers/cli/models_refresh.h"
#include "handlers/cli/models_show.h"

#include <stdio.h>

static const char usage[] =
	"Usage: tollgate models list [--all | --provider SLUG] [--json]\n"
	"       tollgate models show ID [--json]\n"
	"       tollgate models set-price ID --prompt USD --completion USD [PRICES] | --reset\n"
	"       tollgate models hide ID\n"
	"       tollgate models unhide ID\n"
	"       tollgate models refresh [--provider SLUG] [--yes | --dry-run]\n"
	"\n"
	"list       shows the models that are served; prices are in USD for a million tokens\n"
	"           --all            the whole catalogue\n"
	"           --provider SLUG  all of one provider\n"
	"           --json           as JSON, prices in USD for one token\n"
	"show       shows one model, and since when and from whom its prices are known\n"
	"set-price  sets all prices of a model, instead of those of the catalogue\n"
	"           --prompt USD, --completion USD  for a million tokens, such as 2.50\n"
	"           --cache-read USD, --cache-write USD, --cache-write-hour USD, --reasoning USD\n"
	"                            the same; else they cost what prompt or completion does\n"
	"           --request USD, --image USD      for one\n"
	"           --reset          the catalogue's prices count again\n"
	"hide       takes a model away: it is not listed, and asking for it answers 404\n"
	"unhide     takes that back\n"
	"refresh    asks the configured providers for their lists, shows what is new, gone or has\n"
	"           another price, and asks whether to change the catalogue\n"
	"           --provider SLUG  only this one\n"
	"           --yes            change it without asking\n"
	"           --dry-run        change nothing\n"
	"\n"
	"The gateway takes up what is changed within a second. The operator's prices and what is\n"
	"hidden stay through every refresh.\n";

enum { LIST, SHOW, SET_PRICE, HIDE, UNHIDE, REFRESH };

static const struct cli_verb verbs[] = { [LIST] = { .name = "list" },
	[SHOW] = { "show", 1, "the ID of a model", 0 },
	[SET_PRICE] = { "set-price", 1, "the ID of a model", 0 },
	[HIDE] = { "hide", 1, "the ID of a model", 0 },
	[UNHIDE] = { "unhide", 1, "the ID of a model", 0 },
	[REFRESH] = { .name = "refresh" },
	{ 0 } };

#define PRICES 8 /* of prices_members */

struct words {
	const char *provider, *price[PRICES];
	bool all, json, yes, dry_run, reset;
};

/* The prices that were given, as members of models.json. */
static enum err_code read_prices(const struct words *w, struct json_object *prices, struct err *e)
{
	for (int i = 0; i < PRICES; i++) {
		const char *member = prices_members[i];
		struct buf text = { 0 };
		int64_t picousd;

		if (!w->price[i])
			continue;
		if (!prices_list_scale(
			    slice_of(w->price[i]), 12 - models_price_shift(member), &picousd))
			return err_param(e, ERR_BAD_REQUEST, models_price_name(member),
				"--%s: \"%.40s\" is no price: expected USD such as 2.50",
				models_price_name(member), w->price[i]);
		cost_write_usd((cost_wide)picousd, &text);
		if (buf_ok(&text))
			json_object_object_add(prices, member,
				json_object_new_string_len(text.data, (int)text.len));
		buf_fini(&text);
	}
	return ERR_OK;
}

static bool any_price(const struct words *w)
{
	for (int i = 0; i < PRICES; i++)
		if (w->price[i])
			return true;
	return false;
}

static int say(const struct conf *conf, const struct catalog *c, int verb, const char *id,
	const struct words *w)
{
	const struct catalog_model *m = models_find(c, id);
	struct json_object *prices = json_object_new_object();
	char day[MODELS_DAY_SIZE];
	struct prices_word word = { .day = day,
		.prices = verb == SET_PRICE && !w->reset ? prices : NULL,
		.forgets_prices = w->reset,
		.hidden = verb == HIDE     ? 1
			  : verb == UNHIDE ? -1
					   : 0 };
	struct err e;
	enum err_code rc;

	models_day(clock_wall_ms(), day);
	rc = m ? read_prices(w, prices, &e) : ERR_OK;
	if (m && !rc) {
		word.id = m->id;
		rc = prices_say(conf, &word, &e);
	}
	json_object_put(prices);
	if (rc)
		cli_fail(&e);
	else if (m)
		printf("%s %s.\n",
			verb == HIDE     ? "Hid"
			: verb == UNHIDE ? "Showed"
			: w->reset       ? "Reset the prices of"
					 : "Set the prices of",
			m->id);
	return m && !rc ? CLI_OK : CLI_FAILED;
}

static int check(int verb, const struct words *w)
{
	if (w->all && w->provider)
		return cli_misuse("models", "--all and --provider exclude each other");
	if (w->yes && w->dry_run)
		return cli_misuse("models", "--yes and --dry-run exclude each other");
	if (verb != SET_PRICE)
		return CLI_GO_ON;
	if (w->reset && any_price(w))
		return cli_misuse("models", "no price goes with --reset");
	if (!w->reset && (!w->price[0] || !w->price[1]))
		return cli_misuse(
			"models", "set-price needs --prompt and --completion, or --reset");
	return CLI_GO_ON;
}

int cli_models(const struct conf *c, int argc, char **argv)
{
	struct words w = { .provider = NULL };
	const char *operands[4];
	const struct cli_option options[] = {
		{ "--provider", &w.provider, NULL, 1u << LIST | 1u << REFRESH },
		{ "--all", NULL, &w.all, 1u << LIST },
		{ "--json", NULL, &w.json, 1u << LIST | 1u << SHOW },
		{ "--prompt", &w.price[0], NULL, 1u << SET_PRICE },
		{ "--completion", &w.price[1], NULL, 1u << SET_PRICE },
		{ "--cache-read", &w.price[2], NULL, 1u << SET_PRICE },
		{ "--cache-write", &w.price[3], NULL, 1u << SET_PRICE },
		{ "--cache-write-hour", &w.price[4], NULL, 1u << SET_PRICE },
		{ "--reasoning", &w.price[5], NULL, 1u << SET_PRICE },
		{ "--request", &w.price[6], NULL, 1u << SET_PRICE },
		{ "--image", &w.price[7], NULL, 1u << SET_PRICE },
		{ "--reset", NULL, &w.reset, 1u << SET_PRICE },
		{ "--yes", NULL, &w.yes, 1u << REFRESH },
		{ "--dry-run", NULL, &w.dry_run, 1u << REFRESH },
		{ 0 },
	};
	int rc = cli_options(usage, options, argc, argv, operands, 3), verb;
	struct catalog *catalog;
	struct err e;

	operands[3] = NULL;
	if (rc != CLI_GO_ON)
		return rc;
	verb = cli_verb("models", verbs, options, operands);
	if (verb < 0)
		return CLI_USAGE;
	rc = check(verb, &w);
	if (rc != CLI_GO_ON)
		return rc;
	if (verb == REFRESH)
		return models_refresh(c, w.provider, w.yes, w.dry_run);
	if (catalog_load(c, &catalog, &e))
		return cli_fail(&e);
	rc = verb == LIST   ? models_list(catalog, w.provider, w.all, w.json)
	     : verb == SHOW ? models_show(catalog, operands[1], w.json)
			    : say(c, catalog, verb, operands[1], &w);
	catalog_fini(catalog);
	return rc;
}
