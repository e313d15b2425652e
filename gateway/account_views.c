#include "gateway/account_views.h"

#include "base/clock.h"
#include "gateway/attempts_json.h"
#include "gateway/policy.h"
#include "gateway/settle.h"

#include <stdlib.h>

static void member(struct buf *out, const char *name)
{
	if (out->len && out->data[out->len - 1] != '{')
		buf_char(out, ',');
	buf_printf(out, "\"%s\":", name);
}

static void text(struct buf *out, const char *name, const char *value)
{
	member(out, name);
	buf_json_cstr(out, value && *value ? value : NULL);
}

static void integer(struct buf *out, const char *name, int64_t value)
{
	member(out, name);
	buf_int(out, value);
}

static void usd(struct buf *out, const char *name, int64_t microusd)
{
	member(out, name);
	usage_write_usd(microusd, out);
}

static void truth(struct buf *out, const char *name, bool value)
{
	member(out, name);
	buf_str(out, value ? "true" : "false");
}

static void null(struct buf *out, const char *name)
{
	member(out, name);
	buf_str(out, "null");
}

/* ---- OpenRouter's forms ---- */

void account_view_credits(const struct account *payer, struct buf *out)
{
	buf_str(out, "{\"data\":{");
	usd(out, "total_credits", payer->credited);
	usd(out, "total_usage", payer->charged);
	buf_str(out, "}}\n");
}

static int64_t spent_in(const struct account *a, enum key_window window, int64_t now_ms)
{
	switch (window) {
	case KEY_WINDOW_DAY:
		return account_spent_on_day(a, now_ms);
	case KEY_WINDOW_MONTH:
		return account_spent_in_month(a, now_ms);
	default:
		return a->spent;
	}
}

static void write_rate(const struct key_info *key, struct buf *out)
{
	member(out, "rate_limit");
	buf_char(out, '{');
	integer(out, "requests", key->requests_per_minute ? key->requests_per_minute : -1);
	integer(out, "tokens", key->tokens_per_minute ? key->tokens_per_minute : -1);
	text(out, "interval", "60s");
	buf_char(out, '}');
}

void account_view_key(const struct key_info *key, const struct account *a, int64_t week_microusd,
	int64_t now_ms, struct buf *out)
{
	static const char *const resets[KEY_WINDOWS] = {
		[KEY_WINDOW_DAY] = "daily", [KEY_WINDOW_MONTH] = "monthly"
	};
	bool limited = key->budget_window != KEY_WINDOW_NONE;
	int64_t left = key->budget_microusd - spent_in(a, key->budget_window, now_ms);
	char expires[CLOCK_ISO_SIZE] = "";

	if (key->expires_ms)
		clock_iso(key->expires_ms, expires);
	buf_str(out, "{\"data\":{");
	text(out, "id", key->id);
	text(out, "label", key->name);
	if (limited) {
		usd(out, "limit", key->budget_microusd);
		usd(out, "limit_remaining", left > 0 ? left : 0);
	} else {
		null(out, "limit");
		null(out, "limit_remaining");
	}
	text(out, "limit_reset", resets[key->budget_window]);
	usd(out, "usage", a->spent);
	usd(out, "usage_daily", account_spent_on_day(a, now_ms));
	usd(out, "usage_weekly", week_microusd);
	usd(out, "usage_monthly", account_spent_in_month(a, now_ms));
	integer(out, "requests", a->requests);
	truth(out, "is_free_tier", false);
	truth(out, "is_provisioning_key", false);
	text(out, "expires_at", expires);
	write_rate(key, out);
	buf_str(out, "}}\n");
}

static void named(struct buf *out, const char *name, const struct usage_names *names,
	enum usage_by by, uint64_t number)
{
	struct buf id = { 0 }, label = { 0 };

	names->find(names->ctx, by, number, &id, &label);
	text(out, name, id.len ? buf_cstr(&id) : NULL);
	buf_fini(&id);
	buf_fini(&label);
}

/* The only attempt, or the last one, as far as its line in the ledger goes: what the provider
 * answered when that failed is not in it. */
static void write_attempt(const struct record *r, const struct usage_names *names, struct buf *out)
{
	const struct record_settle *s = &r->settle;
	struct buf provider = { 0 }, model = { 0 }, label = { 0 };
	struct attempt a = { .end = s->status < 400 ? ATTEMPT_OK : ATTEMPT_FAILED,
		.status = s->status < 400 ? s->status : 0,
		.took_ms = s->latency_ms,
		.ttft_ms = s->ttft_ms };

	if (s->flags & RECORD_CLIENT_GONE) {
		a.end = ATTEMPT_CUT;
		a.error = ERR_CLIENT_GONE;
	}
	names->find(names->ctx, USAGE_BY_PROVIDER, s->provider, &provider, &label);
	names->find(names->ctx, USAGE_BY_MODEL, s->model, &model, &label);
	a.slug = provider.len ? buf_cstr(&provider) : NULL;
	a.model = model.len ? buf_cstr(&model) : NULL;
	attempts_json_write(&a, s->attempts ? 1 : 0, BUF_MAX_DEFAULT, out);
	buf_fini(&provider);
	buf_fini(&model);
	buf_fini(&label);
}

void account_view_generation(const char *id, const struct record *r,
	const struct usage_names *names, struct slice attempts, struct buf *out)
{
	static const char *const states[] = { "none", "reported", "estimated", "partial" };
	const struct record_settle *s = &r->settle;
	char created[CLOCK_ISO_SIZE];

	/* The line was written at the end; the request came in latency_ms before. */
	clock_iso(r->wall_ms - s->latency_ms, created);
	buf_str(out, "{\"data\":{");
	text(out, "id", id);
	null(out, "upstream_id");
	text(out, "created_at", created);
	named(out, "model", names, USAGE_BY_MODEL, s->model);
	named(out, "requested_model", names, USAGE_BY_MODEL, s->asked_model);
	named(out, "provider_name", names, USAGE_BY_PROVIDER, s->provider);
	integer(out, "status", s->status);
	truth(out, "streamed", s->flags & RECORD_STREAM);
	truth(out, "cancelled", s->flags & RECORD_CLIENT_GONE);
	truth(out, "is_byok", s->flags & RECORD_BYOK);
	truth(out, "cache_hit", s->flags & RECORD_CACHE_HIT);
	usd(out, "total_cost", s->cost_microusd);
	usd(out, "usage", s->cost_microusd);
	usd(out, "upstream_inference_cost", s->upstream_microusd);
	if (s->flags & RECORD_CACHE_HIT)
		usd(out, "cache_discount", s->saved_microusd);
	else
		null(out, "cache_discount");
	integer(out, "tokens_prompt", s->tokens[RECORD_PROMPT]);
	integer(out, "tokens_completion", s->tokens[RECORD_COMPLETION]);
	integer(out, "native_tokens_prompt", s->tokens[RECORD_PROMPT]);
	integer(out, "native_tokens_completion", s->tokens[RECORD_COMPLETION]);
	integer(out, "native_tokens_reasoning", s->tokens[RECORD_REASONING]);
	integer(out, "native_tokens_cached", s->tokens[RECORD_CACHE_READ]);
	integer(out, "cache_write_tokens",
		(int64_t)s->tokens[RECORD_CACHE_WRITE_5M] + s->tokens[RECORD_CACHE_WRITE_1H]);
	text(out, "usage_state",
		s->usage_state <= RECORD_USAGE_PARTIAL ? states[s->usage_state] : NULL);
	text(out, "finish_reason", settle_finish_reason(s->finish_reason));
	null(out, "native_finish_reason");
	integer(out, "latency", s->latency_ms);
	if (s->ttft_ms)
		integer(out, "time_to_first_token", s->ttft_ms);
	else
		null(out, "time_to_first_token");
	integer(out, "generation_time", s->generation_ms);
	null(out, "moderation_latency");
	integer(out, "attempt_count", s->attempts);
	member(out, "attempts");
	if (attempts.len)
		buf_slice_append(out, attempts);
	else
		write_attempt(r, names, out);
	buf_str(out, "}}\n");
}

/* ---- Kilo's forms ---- */

void account_view_profile(const struct people_user *user, const struct account_membership *list,
	size_t n, struct buf *out)
{
	buf_str(out, "{\"user\":{");
	text(out, "id", user->id);
	null(out, "email");
	text(out, "name", user->name[0] ? user->name : user->id);
	null(out, "image");
	buf_char(out, '}');
	for (size_t i = 0; i < n; i++) {
		buf_str(out, i ? ",{" : ",\"organizations\":[{");
		text(out, "id", list[i].org->id);
		text(out, "name", list[i].org->name[0] ? list[i].org->name : list[i].org->slug);
		text(out, "role", people_role_name(list[i].role));
		buf_char(out, '}');
	}
	buf_str(out, n ? "]}\n" : "}\n");
}

bool account_view_spendable(const struct identity *who, const struct ledger_limit *limits,
	const struct account *accounts, size_t n, int64_t now_ms, int64_t *microusd)
{
	bool limited = false;

	*microusd = 0;
	if (policy_may_spend(who, NULL))
		return true;
	for (size_t i = 0; i < n; i++) {
		const struct account *a = &accounts[i];
		int64_t left;

		switch (limits[i].kind) {
		case LEDGER_BALANCE:
			left = account_add(account_balance(a), limits[i].ceiling);
			break;
		case LEDGER_SPEND_DAY:
			left = limits[i].ceiling - account_spent_on_day(a, now_ms);
			break;
		case LEDGER_SPEND_MONTH:
			left = limits[i].ceiling - account_spent_in_month(a, now_ms);
			break;
		case LEDGER_SPEND_TOTAL:
			left = limits[i].ceiling - a->spent;
			break;
		default:
			continue;
		}
		if (!limited || left < *microusd)
			*microusd = left;
		limited = true;
	}
	return limited;
}

void account_view_balance(bool is_limited, int64_t microusd, struct buf *out)
{
	buf_char(out, '{');
	if (is_limited)
		usd(out, "balance", microusd);
	else
		null(out, "balance");
	truth(out, "isDepleted", is_limited && microusd <= 0);
	buf_str(out, "}\n");
}

/* A line of the usage, with the name that it is sorted by. */
struct dated {
	const struct usage_group *group;
	char *model; /* "" = not by model */
};

static int newest_first(const void *pa, const void *pb)
{
	const struct dated *a = pa, *b = pb;

	if (a->group->day != b->group->day)
		return a->group->day > b->group->day ? -1 : 1;
	return strcmp(a->model, b->model);
}

static bool is_by_model(const struct usage_report *r)
{
	for (size_t i = 0; i < r->by_n; i++)
		if (r->by[i] == USAGE_BY_MODEL)
			return true;
	return false;
}

static char *model_of(
	const struct usage_report *r, const struct usage_names *names, const struct usage_group *g)
{
	struct buf id = { 0 }, label = { 0 };
	char *model;

	if (is_by_model(r))
		usage_name_of(names, g, USAGE_BY_MODEL, &id, &label);
	model = strdup(id.len ? buf_cstr(&id) : "");
	buf_fini(&id);
	buf_fini(&label);
	return model;
}

static void write_dated(const struct usage_report *r, const struct dated *d, struct buf *out)
{
	const struct usage_row *u = tally_find(&r->groups, d->group);
	char day[USAGE_DAY_SIZE];

	usage_day_write(d->group->day, day);
	buf_char(out, '{');
	text(out, "date", day);
	if (d->model[0])
		text(out, "model", d->model);
	integer(out, "total_cost", u->cost_microusd);
	integer(out, "request_count", u->requests);
	integer(out, "total_input_tokens", u->tokens[RECORD_PROMPT]);
	integer(out, "total_output_tokens", u->tokens[RECORD_COMPLETION]);
	integer(out, "total_cache_write_tokens",
		account_add(u->tokens[RECORD_CACHE_WRITE_5M], u->tokens[RECORD_CACHE_WRITE_1H]));
	integer(out, "total_cache_hit_tokens", u->tokens[RECORD_CACHE_READ]);
	buf_char(out, '}');
}

enum err_code account_view_usage(const struct usage_report *r, const struct usage_names *names,
	struct buf *out, struct err *e)
{
	size_t n = r->groups.n;
	struct dated *list = calloc(n + 1, sizeof(*list));
	bool good = list != NULL;

	for (size_t i = 0; i < n && good; i++) {
		list[i].group = tally_key(&r->groups, i);
		list[i].model = model_of(r, names, list[i].group);
		good = list[i].model != NULL;
	}
	if (good) {
		qsort(list, n, sizeof(*list), newest_first);
		buf_str(out, "{\"usage\":[");
		for (size_t i = 0; i < n; i++) {
			buf_str(out, i ? "," : "");
			write_dated(r, &list[i], out);
		}
		buf_str(out, "]}\n");
	}
	for (size_t i = 0; list && i < n; i++)
		free(list[i].model);
	free(list);
	return good ? ERR_OK : err_set(e, ERR_NO_MEMORY, "no memory for the usage");
}

/* ---- organisations ---- */

static void list_of(struct buf *out, const char *name, const char *list)
{
	struct slice rest = slice_of(list);

	member(out, name);
	buf_char(out, '[');
	while (rest.len) {
		buf_json_str(out, slice_cut(&rest, ','));
		buf_str(out, rest.len ? "," : "");
	}
	buf_char(out, ']');
}

void account_view_org(const struct people_org *org, struct buf *out)
{
	static const char *const collection[PEOPLE_DATA_KINDS] = {
		[PEOPLE_DATA_ALLOW] = "allow", [PEOPLE_DATA_DENY] = "deny"
	};

	buf_char(out, '{');
	text(out, "id", org->id);
	text(out, "name", org->name[0] ? org->name : org->slug);
	member(out, "settings");
	buf_char(out, '{');
	list_of(out, "model_allow_list", org->models);
	list_of(out, "provider_allow_list", org->providers);
	list_of(out, "provider_deny_list", org->providers_denied);
	null(out, "default_model");
	text(out, "data_collection", collection[org->data_collection]);
	truth(out, "enable_usage_limits", org->member_daily.is_set);
	truth(out, "code_indexing_enabled", false);
	buf_str(out, "}}\n");
}

/* Is it configured, and would a request for it be let through? */
static bool is_offered(
	const struct catalog *c, const struct identity *who, const struct catalog_model *m)
{
	const struct catalog_provider *p = catalog_model_server(c, m);

	return p && policy_model(who, slice_of(m->id), NULL) == ERR_OK &&
	       policy_provider_is_allowed(who, slice_of(p->slug)) &&
	       policy_collection(who, false, p->collects, NULL) == ERR_OK;
}

void account_view_models(const struct catalog *c, const struct identity *who, struct buf *out)
{
	bool first = true;

	buf_str(out, "{\"object\":\"list\",\"data\":[");
	for (size_t i = 0; i < catalog_model_count(c); i++) {
		const struct catalog_model *m = catalog_model_at(c, i);

		if (!is_offered(c, who, m))
			continue;
		buf_str(out, first ? "" : ",");
		if (catalog_write_model(c, slice_of(m->id), out, NULL))
			out->failed = true;
		first = false;
	}
	buf_str(out, "]}\n");
}

enum err_code account_view_defaults(
	const struct catalog *c, const struct identity *who, struct buf *out, struct err *e)
{
	const char *paid = NULL, *free_one = NULL;
	enum err_code rc;

	for (size_t i = 0; i < catalog_model_count(c); i++) {
		const struct catalog_model *m = catalog_model_at(c, i);
		const char **place = m->free ? &free_one : &paid;

		if (!*place && !m->embedding && is_offered(c, who, m))
			*place = m->id;
	}
	if (!who->key)
		paid = NULL;
	if (!paid && !free_one) {
		rc = err_set(e, ERR_NOT_FOUND, "no model is both allowed here and configured");
		if (e)
			e->status = 409;
		return rc;
	}
	buf_char(out, '{');
	text(out, "defaultModel", paid ? paid : free_one);
	text(out, "defaultFreeModel", free_one);
	buf_str(out, "}\n");
	return ERR_OK;
}

void account_view_token(struct slice token, int64_t expires_ms, const char *org, struct buf *out)
{
	char expires[CLOCK_ISO_SIZE];

	clock_iso(expires_ms, expires);
	buf_str(out, "{\"token\":");
	buf_json_str(out, token);
	text(out, "expiresAt", expires);
	text(out, "organizationId", org);
	buf_str(out, "}\n");
}
