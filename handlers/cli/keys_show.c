#include "handlers/cli/keys_show.h"

#include "handlers/cli/amount.h"
#include "handlers/cli/json_out.h"
#include "handlers/cli/table.h"

#include <stdio.h>

enum state { ACTIVE, EXPIRED, REVOKED };

static enum state state_of(const struct key_info *k, int64_t now_ms)
{
	if (k->revoked_ms && k->revoked_ms <= now_ms)
		return REVOKED;
	return k->expires_ms && k->expires_ms <= now_ms ? EXPIRED : ACTIVE;
}

/* "active", "until 2027-01-01", "revoked 2026-11-21", … */
static void write_state(const struct key_info *k, int64_t now_ms, char out[64])
{
	enum state state = state_of(k, now_ms);
	char day[CLOCK_ISO_SIZE];

	clock_iso(state == REVOKED ? k->revoked_ms : k->expires_ms, day);
	day[10] = '\0';
	if (state == ACTIVE && !k->expires_ms)
		str_copy_cut(out, 64, "active");
	else
		snprintf(out, 64, "%s %s",
			state == REVOKED   ? "revoked"
			: state == EXPIRED ? "expired"
					   : "until",
			day);
}

static enum cli_style style_of(const struct key_info *k, int64_t now_ms)
{
	return state_of(k, now_ms) == ACTIVE ? CLI_PLAIN : CLI_DIM;
}

/* "$25.00/month", or "-". */
static void write_budget(const struct key_info *k, char out[64])
{
	char amount[AMOUNT_SIZE];

	str_copy_cut(out, 64, "-");
	if (k->budget_window == KEY_WINDOW_NONE)
		return;
	amount_write(k->budget_microusd, amount);
	snprintf(out, 64, "%s/%s", amount, key_window_name(k->budget_window));
}

/* 60, 10k, 2m: round figures are short in a table. */
static void write_rate(int64_t rate, char out[32])
{
	if (!rate)
		str_copy_cut(out, 32, "-");
	else if (rate % 1000000 == 0)
		snprintf(out, 32, "%lldm", (long long)(rate / 1000000));
	else if (rate % 1000 == 0)
		snprintf(out, 32, "%lldk", (long long)(rate / 1000));
	else
		snprintf(out, 32, "%lld", (long long)rate);
}

/* The short name of a key's organisation, its id when that has no record. */
static void write_org(struct keys *keys, const struct key_info *k, const char *none, char out[64])
{
	struct people_org org;

	str_copy_cut(out, 64, k->org[0] ? k->org : none);
	if (k->org[0] && people_org_get(keys_people(keys), k->org, &org, NULL) == ERR_OK)
		str_copy_cut(out, 64, org.slug);
}

/* The first of a list, and how many more. */
static void write_models(const char *list, char out[64])
{
	struct slice rest = slice_of(list), first = slice_cut(&rest, ',');
	int more = 0;

	if (!first.len)
		first = SLICE("all");
	while (rest.len) {
		slice_cut(&rest, ',');
		more++;
	}
	snprintf(out, 64, "%.*s", (int)(first.len > 40 ? 40 : first.len), first.ptr);
	if (more)
		snprintf(out + strlen(out), 64 - strlen(out), " +%d", more);
}

void keys_show_table(struct keys *keys, const struct key_info *list, size_t count, int64_t now_ms)
{
	struct table t = { .heads = { "ID", "CREATED", "STATE", "USER", "ORG", "RPM", "TPM",
				   "BUDGET", "MODELS", "NAME" },
		.right = 1u << 5 | 1u << 6 | 1u << 7 };

	for (size_t i = 0; i < count; i++) {
		const struct key_info *k = &list[i];
		enum cli_style style = style_of(k, now_ms);
		char created[CLOCK_ISO_SIZE], state[64], org[64], budget[64], models[64];
		char requests[32], tokens[32];

		amount_write_minute(k->created_ms, "environment", created);
		if (k->created_ms)
			created[10] = '\0';
		write_state(k, now_ms, state);
		write_org(keys, k, "-", org);
		write_rate(k->requests_per_minute, requests);
		write_rate(k->tokens_per_minute, tokens);
		write_budget(k, budget);
		write_models(k->models, models);
		table_cell(&t, style, "%s", k->id);
		table_cell(&t, style, "%s", created);
		table_cell(&t, style, "%s", state);
		table_cell(&t, style, "%s", k->user[0] ? k->user : "-");
		table_cell(&t, style, "%s", org);
		table_cell(&t, style, "%s", requests);
		table_cell(&t, style, "%s", tokens);
		table_cell(&t, style, "%s", budget);
		table_cell(&t, style, "%s", models);
		table_cell(&t, style, "%s", k->name);
	}
	table_print(&t, "No key yet: tollgate keys create --name NAME");
}

static void rate_line(const char *label, int64_t rate)
{
	if (rate)
		table_line(label, "%lld", (long long)rate);
	else
		table_line(label, "no limit");
}

static void time_line(const char *label, int64_t ms, const char *none)
{
	char minute[CLOCK_ISO_SIZE];

	amount_write_minute(ms, none, minute);
	table_line(label, "%s%s", minute, ms ? " UTC" : "");
}

void keys_show_one(struct keys *keys, const struct key_info *k, int64_t now_ms)
{
	char org[64], budget[64];

	write_org(keys, k, "none", org);
	write_budget(k, budget);
	printf("%s%s%s\n", cli_style(CLI_BOLD), k->id, cli_style(CLI_PLAIN));
	table_line("name", "%s", k->name);
	time_line("created", k->created_ms, "in GATEWAY_API_KEYS");
	if (state_of(k, now_ms) == REVOKED)
		time_line("revoked", k->revoked_ms, "");
	time_line(state_of(k, now_ms) == EXPIRED ? "expired" : "expires", k->expires_ms, "never");
	if (k->old_until_ms > now_ms && state_of(k, now_ms) == ACTIVE)
		time_line("text before until", k->old_until_ms, "");
	table_line("user", "%s", k->user[0] ? k->user : "its own");
	table_line("organisation", "%s", org);
	rate_line("requests per minute", k->requests_per_minute);
	rate_line("tokens per minute", k->tokens_per_minute);
	rate_line("requests at once", k->concurrent);
	table_line("budget", "%s", k->budget_window ? budget : "no limit");
	table_line("models", "%s", k->models[0] ? k->models : "all");
}

static void write_json(struct buf *out, const struct key_info *k, int64_t now_ms)
{
	static const char *const states[] = { "active", "expired", "revoked" };

	buf_str(out, "{\"id\":");
	buf_json_cstr(out, k->id);
	json_out_text(out, "name", k->name);
	json_out_text(out, "state", states[state_of(k, now_ms)]);
	json_out_time(out, "created", k->created_ms);
	json_out_time(out, "revoked", k->revoked_ms);
	json_out_time(out, "expires", k->expires_ms);
	json_out_time(out, "old_text_until", k->old_until_ms > now_ms ? k->old_until_ms : 0);
	json_out_text(out, "user", k->user);
	json_out_text(out, "organization", k->org);
	json_out_rate(out, "requests_per_minute", k->requests_per_minute);
	json_out_rate(out, "tokens_per_minute", k->tokens_per_minute);
	json_out_rate(out, "concurrent", k->concurrent);
	json_out_limit(out, "budget_microdollars",
		(struct people_limit){ k->budget_window != KEY_WINDOW_NONE, k->budget_microusd });
	json_out_text(out, "budget_window", key_window_name(k->budget_window));
	json_out_list(out, "models", k->models);
	buf_char(out, '}');
}

void keys_show_json(const struct key_info *list, size_t count, int64_t now_ms)
{
	struct buf out = { 0 };

	buf_char(&out, '[');
	for (size_t i = 0; i < count; i++) {
		buf_str(&out, i ? ",\n" : "");
		write_json(&out, &list[i], now_ms);
	}
	buf_str(&out, "]\n");
	json_out_print(&out);
}

void keys_show_json_one(const struct key_info *info, int64_t now_ms)
{
	struct buf out = { 0 };

	write_json(&out, info, now_ms);
	buf_char(&out, '\n');
	json_out_print(&out);
}
