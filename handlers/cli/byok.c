/* tollgate byok: users' and organisations' own keys at providers. */
#include "handlers/cli/cli.h"

#include "gateway/books.h"
#include "base/clock.h"
#include "base/crypto.h"
#include "gateway/byok_api.h"
#include "handlers/cli/amount.h"
#include "handlers/cli/json_out.h"
#include "handlers/cli/secret_in.h"
#include "handlers/cli/table.h"

#include <stdio.h>
#include <stdlib.h>

static const char usage[] =
	"Usage: tollgate byok add PROVIDER (--user USER | --org ORG) [--allow-fallback]\n"
	"                         [--replace] [--import]\n"
	"       tollgate byok list [--user USER | --org ORG] [--json]\n"
	"       tollgate byok enable PROVIDER (--user USER | --org ORG)\n"
	"       tollgate byok disable PROVIDER (--user USER | --org ORG)\n"
	"       tollgate byok remove PROVIDER (--user USER | --org ORG)\n"
	"       tollgate byok rotate-master\n"
	"       tollgate byok restore\n"
	"       tollgate byok providers\n"
	"\n"
	"Requests of a user, or in the name of an organisation, go out with its own key at a\n"
	"provider and cost nothing here. Changes are in effect for the next request.\n"
	"\n"
	"add            reads the key from standard input, unseen when that is a terminal\n"
	"         --user USER, --org ORG  whose it is; ORG is a short name or an id\n"
	"         --allow-fallback        when the key fails, the operator's key may serve,\n"
	"                                 for the usual price; else it never does\n"
	"         --replace               takes the place of the key there is\n"
	"         --import                the key is one that another gateway encrypted:\n"
	"                                 {\"iv\",\"data\",\"authTag\"}, with a key that is in\n"
	"                                 GATEWAY_MASTER_KEY\n"
	"rotate-master  encrypts every key under another master key: the first of\n"
	"               GATEWAY_MASTER_KEY, else a new one in GATEWAY_HOME/byok.master; may run\n"
	"               while the gateway does, and again when it was interrupted\n"
	"restore        when byok.gdbm is damaged: goes back to the state before the last change\n"
	"providers      lists the names that PROVIDER may be\n";

enum { ADD, LIST, ENABLE, DISABLE, REMOVE, ROTATE, RESTORE, PROVIDERS };

static const struct cli_verb verbs[] = { [ADD] = { "add", 1, "a PROVIDER", 0 },
	[LIST] = { .name = "list" },
	[ENABLE] = { "enable", 1, "a PROVIDER", 0 },
	[DISABLE] = { "disable", 1, "a PROVIDER", 0 },
	[REMOVE] = { "remove", 1, "a PROVIDER", 0 },
	[ROTATE] = { .name = "rotate-master" },
	[RESTORE] = { .name = "restore" },
	[PROVIDERS] = { .name = "providers" },
	{ 0 } };

#define OWNED (1u << ADD | 1u << LIST | 1u << ENABLE | 1u << DISABLE | 1u << REMOVE)

struct words {
	const char *user, *org;
	bool allow_fallback, replace, import, json;
};

/* Whose keys are meant; both must exist. */
static enum err_code read_owner(
	const struct conf *c, const struct words *w, struct byok_owner *out, struct err *e)
{
	struct people_file *f;
	struct people_user user;
	struct people_org org;
	enum err_code rc = books_people(c, &f, e);

	*out = (struct byok_owner){ .kind = w->org ? BYOK_ORG : BYOK_USER };
	if (rc)
		return rc;
	if (w->org) {
		rc = people_org_get(f, w->org, &org, e);
		if (!rc)
			str_copy_cut(out->id, sizeof(out->id), org.id);
	} else {
		rc = people_user_get(f, w->user, &user, e);
		if (!rc)
			str_copy_cut(out->id, sizeof(out->id), user.id);
	}
	people_file_close(f);
	return rc;
}

/* ---- adding ---- */

/* The key as it was typed, or what came of opening it. */
static enum err_code read_key(struct byok *b, const struct byok_name *n, const struct words *w,
	struct buf *secret, struct err *e)
{
	char prompt[128];
	struct buf sealed = { .max_bytes = 4 * (size_t)BYOK_SECRET_MAX };
	enum err_code rc;

	snprintf(prompt, sizeof(prompt), "Key for %s (not shown): ", n->name);
	if (!w->import) {
		rc = secret_in(prompt, BYOK_SECRET_MAX, secret, e);
	} else {
		rc = secret_in(prompt, sealed.max_bytes, &sealed, e);
		if (!rc)
			rc = byok_import(b, buf_slice(&sealed), secret, e);
	}
	buf_fini(&sealed);
	return rc ? rc : byok_name_check(n, buf_slice(secret), e);
}

static enum err_code keep(struct byok *b, const struct byok_info *want, struct slice secret,
	const struct words *w, struct byok_info *made, struct err *e)
{
	enum err_code rc = byok_add(b, want, secret, clock_wall_ms(), made, e);

	if (rc != ERR_BAD_REQUEST || err_status(e) != 409)
		return rc;
	if (!w->replace)
		return err_set(e, ERR_BAD_REQUEST,
			"there is a key for %s already: say --replace to put this one in its place",
			want->provider);
	return byok_edit(b, &want->owner, want->provider, BYOK_SET_SECRET | BYOK_SET_FALLBACK, want,
		secret, clock_wall_ms(), made, e);
}

static int add(
	struct byok *b, const struct byok_owner *owner, const char *provider, const struct words *w)
{
	struct byok_info want = { .owner = *owner, .allow_fallback = w->allow_fallback }, made;
	struct buf secret = { .max_bytes = BYOK_SECRET_MAX };
	const struct byok_name *n;
	struct err e;
	enum err_code rc = byok_name_read(slice_of(provider), &n, &e);

	if (!rc)
		rc = read_key(b, n, w, &secret, &e);
	if (!rc) {
		str_copy_cut(want.provider, sizeof(want.provider), n->id);
		byok_api_tail(n, buf_slice(&secret), want.tail);
		rc = keep(b, &want, buf_slice(&secret), w, &made, &e);
	}
	crypto_wipe(secret.data, secret.cap);
	buf_fini(&secret);
	if (rc)
		return cli_fail(&e);
	printf("Kept a key for %s (%s) of %s, id %s.\n", n->name, n->id, w->org ? w->org : w->user,
		made.id);
	return CLI_OK;
}

/* ---- changing ---- */

static int switch_it(
	struct byok *b, const struct byok_owner *owner, const char *provider, bool disabled)
{
	const struct byok_info to = { .disabled = disabled };
	struct byok_info made;
	const struct byok_name *n;
	struct err e;

	if (byok_name_read(slice_of(provider), &n, &e) ||
		byok_edit(b, owner, n->id, BYOK_SET_DISABLED, &to, SLICE(""), clock_wall_ms(),
			&made, &e))
		return cli_fail(&e);
	printf("The key for %s is %s.\n", n->name, disabled ? "switched off" : "in use");
	return CLI_OK;
}

static int take_away(struct byok *b, const struct byok_owner *owner, const char *provider)
{
	const struct byok_name *n;
	struct byok_info gone;
	struct err e;

	if (byok_name_read(slice_of(provider), &n, &e) || byok_remove(b, owner, n->id, &gone, &e))
		return cli_fail(&e);
	printf("Removed the key for %s, id %s.\n", n->name, gone.id);
	return CLI_OK;
}

static int rotate(struct byok *b, const struct conf *c)
{
	struct err e;
	size_t count;

	if (byok_rotate(b, &count, &e))
		return cli_fail(&e);
	printf("%zu provider key%s now under %s.\n", count, count == 1 ? " is" : "s are",
		conf_str(c, CONF_MASTER_KEY)[0]
			? "the first key of GATEWAY_MASTER_KEY; the others can be taken out of it"
			: "a new master key; the old one is gone");
	return CLI_OK;
}

static int restore(struct byok *b)
{
	struct err e;

	if (byok_restore(b, &e))
		return cli_fail(&e);
	puts("byok.gdbm is as it was before the last change; the damaged file, if there was one, "
	     "is kept as byok.gdbm.damaged.");
	return CLI_OK;
}

/* ---- showing ---- */

static void write_json(struct buf *out, const struct byok_info *i)
{
	char kid[24];

	snprintf(kid, sizeof(kid), "%016llx", (unsigned long long)i->kid);
	buf_str(out, "{\"id\":");
	buf_json_cstr(out, i->id);
	json_out_text(out, "provider", i->provider);
	json_out_text(out, "user", i->owner.kind == BYOK_USER ? i->owner.id : "");
	json_out_text(out, "org", i->owner.kind == BYOK_ORG ? i->owner.id : "");
	json_out_time(out, "created", i->created_ms);
	json_out_time(out, "updated", i->updated_ms);
	json_out_text(out, "created_by", i->created_by);
	json_out_text(out, "ends_with", i->tail);
	json_out_text(out, "master_key", kid);
	buf_printf(out, ",\"enabled\":%s,\"allow_fallback\":%s}", i->disabled ? "false" : "true",
		i->allow_fallback ? "true" : "false");
}

static int list(struct byok *b, const struct byok_owner *owner, bool json)
{
	struct table t = { .heads = { "PROVIDER", "OWNER", "KEY", "STATE", "FALLBACK",
				   "CHANGED (UTC)", "ID" } };
	struct buf out = { 0 };
	struct byok_info *all;
	size_t count;
	struct err e;

	if (byok_list(b, owner, &all, &count, &e))
		return cli_fail(&e);
	for (size_t i = 0; i < count; i++) {
		const struct byok_info *k = &all[i];
		enum cli_style style = k->disabled ? CLI_DIM : CLI_PLAIN;
		char changed[CLOCK_ISO_SIZE];

		if (json) {
			buf_str(&out, i ? ",\n" : "[");
			write_json(&out, k);
			continue;
		}
		amount_write_minute(k->updated_ms, "-", changed);
		table_cell(&t, style, "%s", k->provider);
		table_cell(&t, style, "%s %s", k->owner.kind == BYOK_ORG ? "org" : "user",
			k->owner.id);
		table_cell(&t, style, "%s%s", k->tail[0] ? "..." : "-", k->tail);
		table_cell(&t, style, "%s", k->disabled ? "disabled" : "enabled");
		table_cell(&t, style, "%s", k->allow_fallback ? "allowed" : "never");
		table_cell(&t, style, "%s", changed);
		table_cell(&t, style, "%s", k->id);
	}
	free(all);
	if (json) {
		buf_str(&out, count ? "]\n" : "[]\n");
		json_out_print(&out);
	} else {
		table_print(&t, "No provider key yet: tollgate byok add PROVIDER --user USER");
	}
	return CLI_OK;
}

static int list_providers(void)
{
	struct table t = { .heads = { "PROVIDER", "NAME", "MODELS" } };
	const struct byok_name *n;

	for (size_t i = 0; (n = byok_name_at(i)); i++) {
		table_cell(&t, CLI_PLAIN, "%s", n->id);
		table_cell(&t, CLI_PLAIN, "%s", n->name);
		if (n->kind == BYOK_PLAN)
			table_cell(&t, CLI_PLAIN, "%s/MODEL", n->id);
		else
			table_cell(&t, CLI_PLAIN, "%s",
				n->kind == BYOK_ROUTER ? "what no other key serves" : "its own");
	}
	table_print(&t, "");
	return CLI_OK;
}

static int run(const struct conf *c, struct byok *b, int verb, const char *const *operands,
	const struct words *w)
{
	struct byok_owner owner = { .kind = BYOK_USER };
	bool has_owner = w->user || w->org;
	struct err e;

	if (has_owner && read_owner(c, w, &owner, &e))
		return cli_fail(&e);
	switch (verb) {
	case ADD:
		return add(b, &owner, operands[1], w);
	case LIST:
		return list(b, has_owner ? &owner : NULL, w->json);
	case REMOVE:
		return take_away(b, &owner, operands[1]);
	case ROTATE:
		return rotate(b, c);
	case RESTORE:
		return restore(b);
	default:
		return switch_it(b, &owner, operands[1], verb == DISABLE);
	}
}

int cli_byok(const struct conf *c, int argc, char **argv)
{
	struct words w = { .user = NULL };
	const char *operands[4];
	const struct cli_option options[] = {
		{ "--user", &w.user, NULL, OWNED },
		{ "--org", &w.org, NULL, OWNED },
		{ "--allow-fallback", NULL, &w.allow_fallback, 1u << ADD },
		{ "--replace", NULL, &w.replace, 1u << ADD },
		{ "--import", NULL, &w.import, 1u << ADD },
		{ "--json", NULL, &w.json, 1u << LIST },
		{ 0 },
	};
	int rc = cli_options(usage, options, argc, argv, operands, 3), verb;
	struct byok *b;
	struct err e;

	operands[3] = NULL;
	if (rc != CLI_GO_ON)
		return rc;
	verb = cli_verb("byok", verbs, options, operands);
	if (verb < 0)
		return CLI_USAGE;
	if (verb == PROVIDERS)
		return list_providers();
	if (w.user && w.org)
		return cli_misuse("byok", "--user and --org exclude each other");
	if (verb != LIST && verb != ROTATE && verb != RESTORE && !w.user && !w.org)
		return cli_misuse("byok", "say whose key it is: --user USER or --org ORG");
	if (books_byok(c, &b, &e))
		return cli_fail(&e);
	rc = run(c, b, verb, operands, &w);
	byok_close(b);
	return rc;
}
