/* tollgate users: who the keys belong to. */
#include "handlers/cli/cli.h"

#include "gateway/books.h"
#include "handlers/cli/amount.h"
#include "handlers/cli/json_out.h"
#include "handlers/cli/table.h"
#include "store/people.h"

#include <stdio.h>
#include <stdlib.h>

static const char usage[] =
	"Usage: tollgate users create [ID] [--name NAME] [--daily AMOUNT]\n"
	"       tollgate users edit ID [--name NAME] [--daily AMOUNT] [--disable | --enable]\n"
	"       tollgate users list [--json]\n"
	"       tollgate users show ID [--json]\n"
	"\n"
	"create   makes a user; without an ID one is made up and printed\n"
	"         --name NAME     1 to 64 printable characters; the ID when there is none\n"
	"         --daily AMOUNT  what all keys of the user may spend in a UTC day: 5usd, or none\n"
	"edit     changes what is given, for the next request of every process\n"
	"         --disable       refuse all requests of the user's keys\n"
	"         --enable        take that back\n"
	"list     shows all users; --json: as JSON\n"
	"show     shows one user and the organisations it is a member of\n"
	"\n"
	"Money is put on a balance by `tollgate credits`, keys are made by `tollgate keys "
	"create`.\n";

enum { CREATE, EDIT, LIST, SHOW };

static const struct cli_verb verbs[] = { [CREATE] = { "create", 0, NULL, 1 },
	[EDIT] = { "edit", 1, "the ID of a user", 0 },
	[LIST] = { .name = "list" },
	[SHOW] = { "show", 1, "the ID of a user", 0 },
	{ 0 } };

struct words {
	const char *name, *daily;
	bool disable, enable, json;
};

static enum err_code read_words(
	const struct words *w, struct people_user *to, unsigned *set, struct err *e)
{
	*set = 0;
	if (w->name) {
		*set |= PEOPLE_SET_NAME;
		if (!slice_copy(slice_of(w->name), to->name, sizeof(to->name)))
			return err_param(e, ERR_BAD_REQUEST, "--name",
				"--name has 1 to %d characters", PEOPLE_NAME_MAX);
	}
	if (w->disable || w->enable) {
		*set |= PEOPLE_SET_DISABLED;
		to->disabled = w->disable;
	}
	if (!w->daily)
		return ERR_OK;
	*set |= PEOPLE_SET_DAILY;
	return amount_read_limit(w->daily, "none", "--daily", &to->daily, e);
}

static void write_json(struct buf *out, const struct people_user *u)
{
	buf_str(out, "{\"id\":");
	buf_json_cstr(out, u->id);
	json_out_text(out, "name", u->name);
	json_out_time(out, "created", u->created_ms);
	json_out_limit(out, "daily_microdollars", u->daily);
	buf_printf(out, ",\"disabled\":%s", u->disabled ? "true" : "false");
}

static int list(struct people_file *f, bool json)
{
	struct table t = { .heads = { "ID", "CREATED (UTC)", "DAILY LIMIT", "STATE", "NAME" },
		.right = 1u << 2 };
	struct buf out = { 0 };
	struct people_user *all;
	size_t count;
	struct err e;

	if (people_user_list(f, &all, &count, &e))
		return cli_fail(&e);
	for (size_t i = 0; i < count; i++) {
		const struct people_user *u = &all[i];
		enum cli_style style = u->disabled ? CLI_DIM : CLI_PLAIN;
		char created[CLOCK_ISO_SIZE], daily[AMOUNT_SIZE];

		if (json) {
			buf_str(&out, i ? ",\n" : "[");
			write_json(&out, u);
			buf_char(&out, '}');
			continue;
		}
		amount_write_minute(u->created_ms, "-", created);
		amount_write_limit(u->daily, daily);
		table_cell(&t, style, "%s", u->id);
		table_cell(&t, style, "%s", created);
		table_cell(&t, style, "%s", daily);
		table_cell(&t, style, "%s", u->disabled ? "disabled" : "active");
		table_cell(&t, style, "%s", u->name);
	}
	free(all);
	if (json) {
		buf_str(&out, count ? "]\n" : "[]\n");
		json_out_print(&out);
	} else {
		table_print(&t, "No user yet: tollgate users create ID");
	}
	return CLI_OK;
}

static void show_memberships(struct people_file *f, const struct people_membership *all,
	size_t count, const char *user, struct buf *json)
{
	struct people_org org;
	bool first = true;

	for (size_t i = 0; i < count; i++) {
		if (strcmp(all[i].user, user) != 0)
			continue;
		if (json) {
			buf_printf(json, "%s{\"id\":\"%s\"", first ? "" : ",", all[i].org);
			json_out_text(json, "role", people_role_name(all[i].member.role));
			buf_char(json, '}');
		} else {
			bool known = people_org_get(f, all[i].org, &org, NULL) == ERR_OK;

			table_line(first ? "organisations" : "", "%s (%s)",
				known ? org.slug : all[i].org,
				people_role_name(all[i].member.role));
		}
		first = false;
	}
	if (first && !json)
		table_line("organisations", "none");
}

static int show(struct people_file *f, const char *id, bool json)
{
	struct people_membership *all = NULL;
	char minute[CLOCK_ISO_SIZE], daily[AMOUNT_SIZE];
	struct buf out = { 0 };
	struct people_user u;
	size_t count;
	struct err e;

	if (people_user_get(f, id, &u, &e) || people_member_list(f, "", &all, &count, &e))
		return cli_fail(&e);
	if (json) {
		write_json(&out, &u);
		buf_str(&out, ",\"organizations\":[");
		show_memberships(f, all, count, u.id, &out);
		buf_str(&out, "]}\n");
		json_out_print(&out);
	} else {
		amount_write_minute(u.created_ms, "-", minute);
		amount_write_limit(u.daily, daily);
		printf("%s%s%s\n", cli_style(CLI_BOLD), u.id, cli_style(CLI_PLAIN));
		table_line("name", "%s", u.name);
		table_line("created", "%s UTC", minute);
		table_line("state", "%s", u.disabled ? "disabled" : "active");
		table_line("daily limit", "%s", u.daily.is_set ? daily : "none");
		show_memberships(f, all, count, u.id, NULL);
	}
	free(all);
	return CLI_OK;
}

static int change(struct people_file *f, int verb, const char *id, const struct words *w)
{
	struct people_user to = { .id = "" }, out;
	unsigned set;
	struct err e;
	enum err_code rc = read_words(w, &to, &set, &e);

	if (!rc && verb == EDIT && !set)
		return cli_misuse("users", "say what to change");
	if (!rc && verb == CREATE && id && !slice_copy(slice_of(id), to.id, sizeof(to.id)))
		rc = err_set(&e, ERR_BAD_REQUEST, "a user's id has at most %d characters",
			PEOPLE_ID_MAX);
	if (!rc && verb == CREATE && id && !id[0])
		rc = err_set(&e, ERR_BAD_REQUEST, "the id of the user is empty");
	if (!rc)
		rc = verb == CREATE ? people_user_create(f, &to, clock_wall_ms(), &out, &e)
				    : people_user_edit(f, id, set, &to, &out, &e);
	if (rc)
		return cli_fail(&e);
	printf("%s the user %s (%s).\n", verb == CREATE ? "Created" : "Changed", out.id, out.name);
	return CLI_OK;
}

int cli_users(const struct conf *c, int argc, char **argv)
{
	struct words w = { .name = NULL };
	const char *operands[5];
	const struct cli_option options[] = {
		{ "--name", &w.name, NULL, 1u << CREATE | 1u << EDIT },
		{ "--daily", &w.daily, NULL, 1u << CREATE | 1u << EDIT },
		{ "--disable", NULL, &w.disable, 1u << EDIT },
		{ "--enable", NULL, &w.enable, 1u << EDIT },
		{ "--json", NULL, &w.json, 1u << LIST | 1u << SHOW },
		{ 0 },
	};
	int rc = cli_options(usage, options, argc, argv, operands, 4), verb;
	struct people_file *f;
	struct err e;

	operands[4] = NULL;
	if (rc != CLI_GO_ON)
		return rc;
	verb = cli_verb("users", verbs, options, operands);
	if (verb < 0)
		return CLI_USAGE;
	if (w.disable && w.enable)
		return cli_misuse("users", "--disable and --enable exclude each other");
	if (books_people(c, &f, &e))
		return cli_fail(&e);
	rc = verb == LIST   ? list(f, w.json)
	     : verb == SHOW ? show(f, operands[1], w.json)
			    : change(f, verb, operands[1], &w);
	people_file_close(f);
	return rc;
}
