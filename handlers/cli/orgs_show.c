#include "handlers/cli/orgs_show.h"

#include "handlers/cli/amount.h"
#include "handlers/cli/json_out.h"
#include "handlers/cli/table.h"

#include <stdio.h>
#include <stdlib.h>

static const char *const collection[PEOPLE_DATA_KINDS] = { "", "allow", "deny" };

static void write_json(struct buf *out, const struct people_org *o)
{
	buf_str(out, "{\"id\":");
	buf_json_cstr(out, o->id);
	json_out_text(out, "slug", o->slug);
	json_out_text(out, "name", o->name);
	json_out_time(out, "created", o->created_ms);
	json_out_list(out, "model_allow_list", o->models);
	json_out_list(out, "provider_allow_list", o->providers);
	json_out_list(out, "provider_deny_list", o->providers_denied);
	json_out_text(out, "data_collection", collection[o->data_collection]);
	json_out_limit(out, "member_daily_microdollars", o->member_daily);
	buf_printf(out, ",\"disabled\":%s}", o->disabled ? "true" : "false");
}

static int entries(const char *list)
{
	struct slice rest = slice_of(list);
	int n = 0;

	while (rest.len) {
		slice_cut(&rest, ',');
		n++;
	}
	return n;
}

/* "all", or how many. */
static void write_count(const char *list, const char *none, char out[32])
{
	if (list[0])
		snprintf(out, 32, "%d", entries(list));
	else
		str_copy_cut(out, 32, none);
}

int orgs_show_list(struct people_file *f, bool json)
{
	struct table t = { .heads = { "ORG", "ID", "MEMBER DAILY", "MODELS", "PROVIDERS", "DENIED",
				   "DATA", "STATE", "NAME" },
		.right = 1u << 2 };
	struct buf out = { 0 };
	struct people_org *all;
	size_t count;
	struct err e;

	if (people_org_list(f, &all, &count, &e))
		return cli_fail(&e);
	for (size_t i = 0; i < count; i++) {
		const struct people_org *o = &all[i];
		enum cli_style style = o->disabled ? CLI_DIM : CLI_PLAIN;
		char daily[AMOUNT_SIZE], models[32], providers[32], denied[32];

		if (json) {
			buf_str(&out, i ? ",\n" : "[");
			write_json(&out, o);
			continue;
		}
		amount_write_limit(o->member_daily, daily);
		write_count(o->models, "all", models);
		write_count(o->providers, "all", providers);
		write_count(o->providers_denied, "none", denied);
		table_cell(&t, style, "%s", o->slug);
		table_cell(&t, style, "%s", o->id);
		table_cell(&t, style, "%s", daily);
		table_cell(&t, style, "%s", models);
		table_cell(&t, style, "%s", providers);
		table_cell(&t, style, "%s", denied);
		table_cell(
			&t, style, "%s", o->data_collection ? collection[o->data_collection] : "-");
		table_cell(&t, style, "%s", o->disabled ? "disabled" : "active");
		table_cell(&t, style, "%s", o->name);
	}
	free(all);
	if (json) {
		buf_str(&out, count ? "]\n" : "[]\n");
		json_out_print(&out);
	} else {
		table_print(&t, "No organisation yet: tollgate orgs create SHORT-NAME");
	}
	return CLI_OK;
}

int orgs_show_one(struct people_file *f, const char *which, bool json)
{
	char minute[CLOCK_ISO_SIZE], daily[AMOUNT_SIZE];
	struct buf out = { 0 };
	struct people_org o;
	struct err e;

	if (people_org_get(f, which, &o, &e))
		return cli_fail(&e);
	if (json) {
		write_json(&out, &o);
		buf_char(&out, '\n');
		json_out_print(&out);
		return CLI_OK;
	}
	amount_write_minute(o.created_ms, "-", minute);
	amount_write_limit(o.member_daily, daily);
	printf("%s%s%s\n", cli_style(CLI_BOLD), o.slug, cli_style(CLI_PLAIN));
	table_line("id", "%s", o.id);
	table_line("name", "%s", o.name);
	table_line("created", "%s UTC", minute);
	table_line("state", "%s", o.disabled ? "disabled" : "active");
	table_line("member's daily limit", "%s", o.member_daily.is_set ? daily : "none");
	table_line("models", "%s", o.models[0] ? o.models : "all");
	table_line("providers", "%s", o.providers[0] ? o.providers : "all");
	table_line("providers denied", "%s", o.providers_denied[0] ? o.providers_denied : "none");
	table_line("data collection", "%s",
		o.data_collection ? collection[o.data_collection] : "as the request says");
	return CLI_OK;
}

static void write_member(struct buf *out, const struct people_membership *m)
{
	buf_str(out, "{\"user\":");
	buf_json_cstr(out, m->user);
	json_out_text(out, "role", people_role_name(m->member.role));
	json_out_time(out, "added", m->member.added_ms);
	json_out_limit(out, "daily_microdollars", m->member.daily);
	buf_char(out, '}');
}

int orgs_show_members(struct people_file *f, const char *which, bool json)
{
	struct table t = { .heads = { "USER", "ROLE", "DAILY LIMIT", "ADDED (UTC)", "NAME" },
		.right = 1u << 2 };
	struct people_membership *all = NULL;
	struct people_user user;
	struct people_org org;
	struct buf out = { 0 };
	size_t count;
	struct err e;

	if (people_org_get(f, which, &org, &e) || people_member_list(f, org.id, &all, &count, &e))
		return cli_fail(&e);
	for (size_t i = 0; i < count; i++) {
		const struct people_membership *m = &all[i];
		bool is_own = m->member.daily.is_set;
		char daily[AMOUNT_SIZE], added[CLOCK_ISO_SIZE];

		if (json) {
			buf_str(&out, i ? ",\n" : "[");
			write_member(&out, m);
			continue;
		}
		amount_write_limit(is_own ? m->member.daily : org.member_daily, daily);
		amount_write_minute(m->member.added_ms, "-", added);
		if (people_user_get(f, m->user, &user, NULL))
			user.name[0] = '\0';
		table_cell(&t, CLI_PLAIN, "%s", m->user);
		table_cell(&t, CLI_PLAIN, "%s", people_role_name(m->member.role));
		table_cell(&t, CLI_PLAIN, "%s%s", is_own ? "" : "default ", daily);
		table_cell(&t, CLI_PLAIN, "%s", added);
		table_cell(&t, CLI_PLAIN, "%s", user.name);
	}
	free(all);
	if (json) {
		buf_str(&out, count ? "]\n" : "[]\n");
		json_out_print(&out);
	} else {
		table_print(&t, "No member yet: tollgate orgs add-member ORG USER");
	}
	return CLI_OK;
}
