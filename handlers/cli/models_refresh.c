#include "handlers/cli/models_refresh.h"

#include "base/clock.h"
#include "gateway/prices_fetch.h"
#include "handlers/cli/cli.h"
#include "handlers/cli/models_show.h"

#include <stdio.h>
#include <unistd.h>

struct refresh {
	const struct catalog *base;
	struct pump *pump;
	struct prices_plan plan;
	size_t done, failed;
};

/* ---- the providers ---- */

static void tell(const char *slug, const char *format, ...) PRINTF_LIKE(2, 3);

static void tell(const char *slug, const char *format, ...)
{
	char text[600];
	va_list args;

	va_start(args, format);
	if (vsnprintf(text, sizeof(text), format, args) < 0)
		text[0] = '\0';
	va_end(args);
	cli_tame(text);
	fprintf(stderr, "%-14s %s\n", slug, text);
}

static enum err_code ask(struct refresh *r, const struct catalog_provider *p, struct err *e)
{
	struct prices_list l = { 0 };
	struct err why = { 0 };
	enum err_code rc = ERR_OK;

	if (prices_fetch(r->pump, r->base, p, &l, &why)) {
		tell(p->slug, "failed: %s", why.message);
		r->failed++;
	} else {
		size_t n = json_object_array_length(l.models);

		rc = prices_plan_add(&r->plan, p, &l, e);
		tell(p->slug, "%zu model%s%s%s", n, n == 1 ? "" : "s",
			l.unpriced ? ", some without a price" : "",
			l.is_partial ? ", and there are more pages" : "");
		r->done++;
	}
	prices_list_fini(&l);
	return rc;
}

/* Those that make models first: what they say of their own counts more than what routers say. */
static enum err_code ask_all(struct refresh *r, const struct catalog_provider *only, struct err *e)
{
	enum err_code rc = ERR_OK;

	for (int routers = 0; routers < 2; routers++)
		for (size_t i = 0; !rc && i < catalog_provider_count(r->base); i++) {
			const struct catalog_provider *p = catalog_provider_at(r->base, i);
			const char *why;

			if (!p->configured || p->public_ids != routers || (only && p != only))
				continue;
			if (prices_fetch_can(r->base, p, &why))
				rc = ask(r, p, e);
			else if (!p->demo)
				tell(p->slug, "left out: %s", why);
		}
	return rc;
}

/* ---- what would change ---- */

static void print_prices(struct json_object *row)
{
	for (int i = 0; i < 2; i++) {
		char price[MODELS_PRICE_SIZE];

		models_price(row, prices_members[i], price);
		printf("%s%s %s", i ? ", " : "  ", models_price_name(prices_members[i]), price);
	}
}

static void print_differences(struct json_object *was, struct json_object *is)
{
	const char *between = "  ";

	for (const char *const *name = prices_members; *name; name++) {
		char before[MODELS_PRICE_SIZE], after[MODELS_PRICE_SIZE];

		models_price(was, *name, before);
		models_price(is, *name, after);
		if (strcmp(before, after) == 0)
			continue;
		printf("%s%s %s -> %s", between, models_price_name(*name), before, after);
		between = ", ";
	}
	if (between[0] == ' ')
		printf("  other prices for long prompts");
}

static void print_change(const struct prices_change *change)
{
	static const struct {
		const char *word;
		enum cli_style style;
	} kinds[] = { [PRICES_NEW] = { "+ new", CLI_GREEN },
		[PRICES_CHANGED] = { "~ price", CLI_YELLOW },
		[PRICES_GONE] = { "- gone", CLI_RED },
		[PRICES_BACK] = { "+ back", CLI_GREEN } };

	printf("%s%-8s%s %s", cli_style(kinds[change->kind].style), kinds[change->kind].word,
		cli_style(CLI_PLAIN), change->id);
	if (change->kind == PRICES_NEW)
		print_prices(change->is);
	else if (change->kind == PRICES_CHANGED)
		print_differences(change->was, change->is);
	printf("  (%s)\n", change->slug);
}

static void print_plan(const struct prices_plan *plan)
{
	size_t counts[PRICES_BACK + 1] = { 0 };

	/* By kind, so that what is looked for stands together. */
	for (enum prices_kind kind = PRICES_NEW; kind <= PRICES_BACK; kind++)
		for (size_t i = 0; i < plan->count; i++)
			if (plan->changes[i].kind == kind) {
				print_change(&plan->changes[i]);
				counts[kind]++;
			}
	printf("%zu new, %zu with other prices, %zu gone, %zu back. Prices are in USD for a "
	       "million "
	       "tokens.\n",
		counts[PRICES_NEW], counts[PRICES_CHANGED], counts[PRICES_GONE],
		counts[PRICES_BACK]);
}

static bool agrees(void)
{
	char answer[16];

	printf("Change the catalogue? [y/N] ");
	fflush(stdout);
	return fgets(answer, sizeof(answer), stdin) && (answer[0] == 'y' || answer[0] == 'Y');
}

static int decide(const struct refresh *r, const struct conf *conf, bool yes, bool dry_run)
{
	struct err e;

	if (!r->plan.count) {
		puts("Nothing has changed.");
		return CLI_OK;
	}
	print_plan(&r->plan);
	if (!yes && !dry_run && isatty(STDIN_FILENO) && isatty(STDOUT_FILENO))
		yes = agrees();
	if (dry_run || !yes) {
		puts("Nothing was changed; --yes changes the catalogue.");
		return CLI_OK;
	}
	if (prices_plan_apply(&r->plan, conf, &e))
		return cli_fail(&e);
	puts("The catalogue is changed; the gateway takes it up within a second.");
	return CLI_OK;
}

static int run(
	struct refresh *r, const struct conf *conf, const char *provider, bool yes, bool dry_run)
{
	const struct catalog_provider *only = NULL;
	char day[MODELS_DAY_SIZE];
	struct err e;
	int rc;

	if (provider) {
		only = catalog_provider_find(r->base, slice_of(provider));
		if (!only || !only->configured)
			return cli_misuse("models", "%.64s is no configured provider", provider);
	}
	models_day(clock_wall_ms(), day);
	if (prices_plan_init(&r->plan, r->base, day, &e) || ask_all(r, only, &e))
		return cli_fail(&e);
	if (!r->done && !r->failed) {
		puts("No configured provider has a list of models: the catalogue stays as it is.");
		return CLI_OK;
	}
	rc = r->done ? decide(r, conf, yes, dry_run) : CLI_FAILED;
	if (!r->done)
		fprintf(stderr, "tollgate: no list came; the catalogue stays as it is\n");
	return rc == CLI_OK && r->failed ? CLI_FAILED : rc;
}

int models_refresh(const struct conf *conf, const char *provider, bool yes, bool dry_run)
{
	struct pump_conf pump = { .ca_file = conf_str(conf, CONF_CA_FILE),
		.proxy = conf_str(conf, CONF_PROXY),
		.http2 = conf_int(conf, CONF_HTTP2) == 1 };
	struct refresh r = { 0 };
	struct catalog *base;
	struct err e;
	int rc;

	if (prices_load_base(conf, &base, &e))
		return cli_fail(&e);
	r.base = base;
	if (pump_start(&pump, &r.pump, &e)) {
		rc = cli_fail(&e);
	} else {
		rc = run(&r, conf, provider, yes, dry_run);
		pump_stop(r.pump);
	}
	prices_plan_fini(&r.plan);
	catalog_fini(base);
	return rc;
}
