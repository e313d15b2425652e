/* tollgate providers: how the providers are, and taking one out of rotation and back. */
#include "handlers/cli/cli.h"

#include "base/clock.h"
#include "gateway/books.h"
#include "gateway/drains.h"
#include "gateway/near.h"
#include "handlers/cli/providers_show.h"

#include <poll.h>
#include <stdio.h>
#include <unistd.h>

#define WATCH_MS 1000

static const char usage[] =
	"Usage: tollgate providers status [--all] [--models] [--json | --watch]\n"
	"       tollgate providers drain NAME\n"
	"       tollgate providers resume NAME\n"
	"\n"
	"status  shows the configured providers: their state, the circuit breakers of their "
	"models,\n"
	"        the time to the first token, the share of recent requests that failed, and when\n"
	"        something was last heard of them; below each, its models that are out of "
	"rotation\n"
	"        --all     providers that are not configured, too\n"
	"        --models  every model that was asked for lately\n"
	"        --json    as JSON\n"
	"        --watch   again every second, until interrupted\n"
	"drain   takes a provider out of rotation: requests that run go on, new ones go to others\n"
	"resume  puts it back, and forgets how it fared before\n"
	"\n"
	"The gateway takes up what is changed within a second, in every process; a drained "
	"provider\n"
	"stays so through restarts.\n";

enum { STATUS, DRAIN, RESUME };

static const struct cli_verb verbs[] = { [STATUS] = { .name = "status" },
	[DRAIN] = { "drain", 1, "the NAME of a provider", 0 },
	[RESUME] = { "resume", 1, "the NAME of a provider", 0 },
	{ 0 } };

struct wishes {
	bool all, models, json, watch;
};

/* ---- status ---- */

static enum err_code show(
	const struct conf *conf, struct ledger *l, const struct wishes *w, struct err *e)
{
	const struct health_conf health_conf = health_log_conf(conf);
	struct providers_view view = { .count = 0 };
	struct catalog *c;
	enum err_code rc = catalog_load(conf, &c, e);

	if (!rc)
		rc = providers_view_make(
			c, w->all, ledger_health(l), &health_conf, clock_mono_ms(), &view, e);
	if (!rc && w->json)
		providers_show_json(&view, c);
	else if (!rc)
		providers_show_table(&view, c, w->models);
	providers_view_fini(&view);
	catalog_fini(c);
	return rc;
}

/* Ends when nobody reads any more, or by a signal. */
static enum err_code watch(
	const struct conf *conf, struct ledger *l, const struct wishes *w, struct err *e)
{
	bool at_terminal = isatty(STDOUT_FILENO);
	enum err_code rc = ERR_OK;

	while (!rc) {
		/* From the top left corner, and nothing below: a terminal shows the latest only. */
		if (at_terminal)
			fputs("\033[H\033[J", stdout);
		rc = show(conf, l, w, e);
		if (!at_terminal)
			putchar('\n');
		if (fflush(stdout) != 0)
			break;
		poll(NULL, 0, WATCH_MS);
	}
	return rc;
}

static int status(const struct conf *conf, const struct wishes *w)
{
	struct ledger *l;
	struct err e;
	enum err_code rc;

	if (w->json && w->watch)
		return cli_misuse("providers", "--json and --watch exclude each other");
	rc = books_open(conf, &l, &e);
	if (!rc)
		rc = w->watch ? watch(conf, l, w, &e) : show(conf, l, w, &e);
	ledger_close(l);
	return rc ? cli_fail(&e) : CLI_OK;
}

/* ---- drain and resume ---- */

static const struct catalog_provider *find(const struct catalog *c, const char *name, struct err *e)
{
	const struct catalog_provider *p = catalog_provider_find(c, slice_of(name));
	struct near near = { .written = slice_of(name) };
	char list[NEAR_MAX * SLUG_MAX + 32] = "";

	if (p)
		return p;
	for (size_t i = 0; i < catalog_provider_count(c); i++)
		near_offer(&near, catalog_provider_at(c, i)->slug);
	near_write(&near, list, sizeof(list));
	(void)!err_set(e, ERR_NOT_FOUND, "there is no provider \"%.64s\"%s", name, list);
	return NULL;
}

/* What is left when p is drained? */
static bool any_left(const struct catalog *c, const struct catalog_provider *p)
{
	for (size_t i = 0; i < catalog_provider_count(c); i++) {
		const struct catalog_provider *other = catalog_provider_at(c, i);

		if (other != p && other->configured && !other->drained)
			return true;
	}
	return false;
}

static enum err_code drain(const struct conf *conf, const struct catalog *c,
	const struct catalog_provider *p, struct err *e)
{
	bool changed;
	enum err_code rc = drains_say(conf, p->slug, true, clock_wall_ms(), &changed, e);

	if (rc)
		return rc;
	if (changed)
		printf("Drained %s: requests that run go on, new ones go to others.\n", p->slug);
	else
		printf("%s is drained already, since %s.\n", p->slug, drains_since(c, p));
	if (p->configured && !any_left(c, p))
		fprintf(stderr, "tollgate: no provider is left that new requests could go to\n");
	return ERR_OK;
}

/* Its health goes after the drain, so that a failure leaves it as it was. */
static enum err_code resume(
	const struct conf *conf, const struct catalog_provider *p, struct err *e)
{
	struct ledger *l = NULL;
	bool changed;
	enum err_code rc = books_open(conf, &l, e);

	if (!rc)
		rc = drains_say(conf, p->slug, false, clock_wall_ms(), &changed, e);
	if (!rc) {
		health_forget(ledger_health(l), slice_of(p->slug));
		printf(changed ? "Resumed %s: it is in rotation again.\n"
			       : "%s was not drained; how it fared before is forgotten.\n",
			p->slug);
	}
	ledger_close(l);
	return rc;
}

static int change(const struct conf *conf, int verb, const char *name)
{
	const struct catalog_provider *p;
	struct catalog *c;
	struct err e;
	enum err_code rc = catalog_load(conf, &c, &e);

	if (!rc) {
		p = find(c, name, &e);
		rc = !p ? e.code : verb == DRAIN ? drain(conf, c, p, &e) : resume(conf, p, &e);
	}
	catalog_fini(c);
	return rc ? cli_fail(&e) : CLI_OK;
}

int cli_providers(const struct conf *c, int argc, char **argv)
{
	struct wishes w = { .all = false };
	const char *operands[4];
	const struct cli_option options[] = {
		{ "--all", NULL, &w.all, 1u << STATUS },
		{ "--models", NULL, &w.models, 1u << STATUS },
		{ "--json", NULL, &w.json, 1u << STATUS },
		{ "--watch", NULL, &w.watch, 1u << STATUS },
		{ 0 },
	};
	int rc = cli_options(usage, options, argc, argv, operands, 3), verb;

	operands[3] = NULL;
	if (rc != CLI_GO_ON)
		return rc;
	verb = cli_verb("providers", verbs, options, operands);
	if (verb < 0)
		return CLI_USAGE;
	return verb == STATUS ? status(c, &w) : change(c, verb, operands[1]);
}
