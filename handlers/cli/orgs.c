/* tollgate orgs: organisations, their policies and members. */
#include "handlers/cli/cli.h"

#include "gateway/books.h"
#include "handlers/cli/amount.h"
#include "handlers/cli/orgs_show.h"

#include <stdio.h>

static const char usage[] =
	"Usage: tollgate orgs create SHORT-NAME [--name NAME] [POLICIES]\n"
	"       tollgate orgs edit ORG [--slug SHORT-NAME] [--name NAME] [POLICIES]\n"
	"                          [--disable | --enable]\n"
	"       tollgate orgs list [--json]\n"
	"       tollgate orgs show ORG [--json]\n"
	"       tollgate orgs members ORG [--json]\n"
	"       tollgate orgs add-member ORG USER [--role ROLE] [--daily AMOUNT]\n"
	"       tollgate orgs remove-member ORG USER\n"
	"\n"
	"ORG is the short name of an organisation, or its id, a UUID, which clients send as\n"
	"X-KiloCode-OrganizationId. Changes are in effect for the next request.\n"
	"\n"
	"POLICIES:\n"
	"         --models LIST          'anthropic/*,openai/gpt-5.2': all that may be used; or "
	"all\n"
	"         --providers LIST       all providers that may be used; or all\n"
	"         --deny-providers LIST  those that may not, which wins; or none\n"
	"         --data-collection HOW  deny: never a provider that keeps prompts; allow; or "
	"unset:\n"
	"                                as the request says\n"
	"         --member-daily AMOUNT  what a member may spend in a UTC day: 5usd; or none\n"
	"\n"
	"add-member     makes a user a member, or changes a member\n"
	"         --role ROLE     owner, member (when nothing is said), or billing_manager, who\n"
	"                         may not spend\n"
	"         --daily AMOUNT  a limit of this member's own; or default\n"
	"--name NAME      1 to 64 printable characters; the short name when there is none\n"
	"--slug NAME      another short name: 1 to 40 of a-z, 0-9 and -\n"
	"--disable        refuse all requests in the organisation's name; --enable: take that "
	"back\n";

enum { CREATE, EDIT, LIST, SHOW, MEMBERS, ADD, REMOVE };

static const struct cli_verb verbs[] = { [CREATE] = { "create", 1, "a SHORT-NAME", 0 },
	[EDIT] = { "edit", 1, "an ORG", 0 },
	[LIST] = { .name = "list" },
	[SHOW] = { "show", 1, "an ORG", 0 },
	[MEMBERS] = { "members", 1, "an ORG", 0 },
	[ADD] = { "add-member", 2, "an ORG and a USER", 0 },
	[REMOVE] = { "remove-member", 2, "an ORG and a USER", 0 },
	{ 0 } };

#define CHANGE (1u << CREATE | 1u << EDIT)
#define LOOK   (1u << LIST | 1u << SHOW | 1u << MEMBERS)

struct words {
	const char *slug, *name, *models, *providers, *denied, *collection, *member_daily;
	const char *role, *daily;
	bool disable, enable, json;
};

static enum err_code read_collection(
	const char *text, enum people_data_collection *out, struct err *e)
{
	static const char *const words[PEOPLE_DATA_KINDS] = { "unset", "allow", "deny" };

	for (int i = 0; i < PEOPLE_DATA_KINDS; i++)
		if (strcmp(text, words[i]) == 0) {
			*out = (enum people_data_collection)i;
			return ERR_OK;
		}
	return err_param(e, ERR_BAD_REQUEST, "--data-collection",
		"--data-collection is allow, deny or unset, not \"%.64s\"", text);
}

static enum err_code copy(
	const char *text, const char *option, char *out, size_t size, struct err *e)
{
	if (slice_copy(slice_of(text), out, size))
		return ERR_OK;
	return err_param(
		e, ERR_BAD_REQUEST, option, "%s has at most %zu characters", option, size - 1);
}

static enum err_code read_policies(
	const struct words *w, struct people_org *to, unsigned *set, struct err *e)
{
	enum err_code rc = ERR_OK;

	if (w->models) {
		*set |= PEOPLE_SET_MODELS;
		rc = cli_list(w->models, "all", people_models_read, "--models", to->models,
			PEOPLE_ORG_MODELS_MAX, e);
	}
	if (!rc && w->providers) {
		*set |= PEOPLE_SET_PROVIDERS;
		rc = cli_list(w->providers, "all", people_providers_read, "--providers",
			to->providers, PEOPLE_LIST_MAX, e);
	}
	if (!rc && w->denied) {
		*set |= PEOPLE_SET_DENIED;
		rc = cli_list(w->denied, "none", people_providers_read, "--deny-providers",
			to->providers_denied, PEOPLE_LIST_MAX, e);
	}
	if (!rc && w->collection) {
		*set |= PEOPLE_SET_DATA;
		rc = read_collection(w->collection, &to->data_collection, e);
	}
	if (!rc && w->member_daily) {
		*set |= PEOPLE_SET_DAILY;
		rc = amount_read_limit(
			w->member_daily, "none", "--member-daily", &to->member_daily, e);
	}
	return rc;
}

static int change(struct people_file *f, int verb, const char *which, const struct words *w)
{
	const char *slug = verb == CREATE ? which : w->slug;
	struct people_org to = { .id = "" }, out;
	unsigned set = 0;
	struct err e;
	enum err_code rc = read_policies(w, &to, &set, &e);

	if (!rc && slug) {
		set |= PEOPLE_SET_SLUG;
		rc = copy(slug, "a short name", to.slug, sizeof(to.slug), &e);
	}
	if (!rc && w->name) {
		set |= PEOPLE_SET_NAME;
		rc = copy(w->name, "--name", to.name, sizeof(to.name), &e);
	}
	if (w->disable || w->enable) {
		set |= PEOPLE_SET_DISABLED;
		to.disabled = w->disable;
	}
	if (!rc && !set)
		return cli_misuse("orgs", "say what to change");
	if (!rc)
		rc = verb == CREATE ? people_org_create(f, &to, clock_wall_ms(), &out, &e)
				    : people_org_edit(f, which, set, &to, &out, &e);
	if (rc)
		return cli_fail(&e);
	printf("%s the organisation %s (%s), id %s.\n", verb == CREATE ? "Created" : "Changed",
		out.slug, out.name, out.id);
	return CLI_OK;
}

static int add(struct people_file *f, const char *org, const char *user, const struct words *w)
{
	struct people_member to = { .role = PEOPLE_NO_MEMBER }, out;
	unsigned set = 0;
	struct err e;

	if (w->role) {
		set |= PEOPLE_SET_ROLE;
		if (!people_role_read(slice_of(w->role), &to.role))
			return cli_misuse("orgs",
				"--role is owner, member or billing_manager, not %s", w->role);
	}
	if (w->daily) {
		set |= PEOPLE_SET_DAILY;
		if (amount_read_limit(w->daily, "default", "--daily", &to.daily, &e))
			return cli_fail(&e);
	}
	if (people_member_add(f, org, user, set, &to, clock_wall_ms(), &out, &e))
		return cli_fail(&e);
	printf("%s is a member of %s: %s.\n", user, org, people_role_name(out.role));
	return CLI_OK;
}

static int take_out(struct people_file *f, const char *org, const char *user)
{
	struct err e;

	if (people_member_remove(f, org, user, &e))
		return cli_fail(&e);
	printf("%s is not a member of %s any more.\n", user, org);
	return CLI_OK;
}

static int run(struct people_file *f, int verb, const char *const *operands, const struct words *w)
{
	switch (verb) {
	case LIST:
		return orgs_show_list(f, w->json);
	case SHOW:
		return orgs_show_one(f, operands[1], w->json);
	case MEMBERS:
		return orgs_show_members(f, operands[1], w->json);
	case ADD:
		return add(f, operands[1], operands[2], w);
	case REMOVE:
		return take_out(f, operands[1], operands[2]);
	default:
		return change(f, verb, operands[1], w);
	}
}

int cli_orgs(const struct conf *c, int argc, char **argv)
{
	struct words w = { .slug = NULL };
	const char *operands[5];
	const struct cli_option options[] = {
		{ "--slug", &w.slug, NULL, 1u << EDIT },
		{ "--name", &w.name, NULL, CHANGE },
		{ "--models", &w.models, NULL, CHANGE },
		{ "--providers", &w.providers, NULL, CHANGE },
		{ "--deny-providers", &w.denied, NULL, CHANGE },
		{ "--data-collection", &w.collection, NULL, CHANGE },
		{ "--member-daily", &w.member_daily, NULL, CHANGE },
		{ "--disable", NULL, &w.disable, 1u << EDIT },
		{ "--enable", NULL, &w.enable, 1u << EDIT },
		{ "--role", &w.role, NULL, 1u << ADD },
		{ "--daily", &w.daily, NULL, 1u << ADD },
		{ "--json", NULL, &w.json, LOOK },
		{ 0 },
	};
	int rc = cli_options(usage, options, argc, argv, operands, 4), verb;
	struct people_file *f;
	struct err e;

	operands[4] = NULL;
	if (rc != CLI_GO_ON)
		return rc;
	verb = cli_verb("orgs", verbs, options, operands);
	if (verb < 0)
		return CLI_USAGE;
	if (w.disable && w.enable)
		return cli_misuse("orgs", "--disable and --enable exclude each other");
	if (books_people(c, &f, &e))
		return cli_fail(&e);
	rc = run(f, verb, operands, &w);
	people_file_close(f);
	return rc;
}
