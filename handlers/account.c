/* handlers/account.c - what belongs to the caller's own key: usage, credits, limits, single
 * requests (OpenRouter's forms), profile and organisations (Kilo's). */
#include "gateway/account_views.h"

#include "base/clock.h"
#include "base/crypto.h"
#include "base/log.h"
#include "gateway/byok_api.h"
#include "gateway/limits.h"
#include "gateway/org_token.h"
#include "handlers/common/front.h"
#include "handlers/common/path.h"
#include "store/attempts.h"

#include <stdlib.h>

#define ANSWER_MAX   ((size_t)64 << 20)
#define PROFILE_DAYS 90 /* of /api/profile/usage, unless since says otherwise */

/* One request with the ledger at hand. With an organisation token it is about what the key did
 * in that organisation's name. */
struct account_call {
	struct exchange *x;
	struct ledger *ledger;
	const struct key_info *key;
	int64_t now_ms;
	struct buf json;
};

typedef enum err_code (*account_handler)(struct account_call *a, struct err *e);

/* ---- names ---- */

/* Models and providers; the caller's own key; nothing else is shown. */
static void find_name(
	void *ctx, enum usage_by by, uint64_t number, struct buf *id, struct buf *label)
{
	const struct account_call *a = ctx;

	if (by == USAGE_BY_KEY && number == a->key->number) {
		buf_str(id, a->key->id);
		buf_str(label, a->key->name);
	} else if (by == USAGE_BY_USER && number == a->x->who.user.number) {
		buf_str(id, a->x->who.user.id);
	} else if (by == USAGE_BY_ORG && a->x->who.org && number == a->x->who.org->number) {
		buf_str(id, a->x->who.org->id);
	} else if (number && (by == USAGE_BY_MODEL || by == USAGE_BY_PROVIDER)) {
		(void)!ledger_name_text(a->ledger, number, id, NULL);
	}
}

/* ---- OpenRouter's forms ---- */

/* A query parameter, or what stands for it. */
static void query(const struct account_call *a, const char *name, const char *otherwise, char *out,
	size_t size)
{
	if (!request_query_get(a->x->rq, name, out, size))
		str_copy_cut(out, size, otherwise);
}

static enum err_code query_day(const struct account_call *a, const char *name,
	const char *otherwise, int64_t *day, struct err *e)
{
	char text[32];

	query(a, name, otherwise, text, sizeof(text));
	return usage_day_read(slice_of(text), name, a->now_ms, day, e);
}

static enum err_code gather(
	struct account_call *a, struct usage_report *r, int64_t first, int64_t last, struct err *e)
{
	enum err_code rc = ERR_OK;

	r->only.key = a->key->number;
	if (a->x->caller.org[0]) {
		if (r->only.org && r->only.org != a->x->who.org->number)
			return err_set(e, ERR_NOT_FOUND, "Organization not found");
		r->only.org = a->x->who.org->number;
	}
	if (last < first)
		rc = err_param(e, ERR_BAD_REQUEST, "until", "until is before since");
	if (!rc)
		rc = ledger_usage(a->ledger, first, last, usage_report_add, r, e);
	/* The days came from the client. */
	if (rc == ERR_RANGE)
		rc = err_param(e, ERR_BAD_REQUEST, "since", "at most 3,660 days can be asked for");
	return rc ? rc : usage_report_sort(r, e);
}

static enum err_code usage(struct account_call *a, struct err *e)
{
	const struct usage_names names = { find_name, a };
	struct usage_report r = { 0 };
	char by[256];
	int64_t first, last;
	enum err_code rc;

	query(a, "by", "model", by, sizeof(by));
	rc = query_day(a, "since", "30d", &first, e);
	if (!rc)
		rc = query_day(a, "until", "1d", &last, e);
	if (!rc)
		rc = usage_report_init(&r, slice_of(by), "by", e);
	if (!rc)
		rc = gather(a, &r, first, last, e);
	if (!rc)
		usage_report_json(&r, &names, first, last, &a->json);
	usage_report_fini(&r);
	return rc;
}

static enum err_code credits(struct account_call *a, struct err *e)
{
	const struct identity *who = &a->x->who;
	struct account payer;
	enum err_code rc = ledger_account(a->ledger,
		who->org ? account_subject(ACCOUNT_ORG, who->org->number)
			 : account_subject(ACCOUNT_USER, who->user.number),
		&payer, e);

	if (!rc)
		account_view_credits(&payer, &a->json);
	return rc;
}

static enum err_code key(struct account_call *a, struct err *e)
{
	int64_t today = account_day(a->now_ms);
	int64_t monday = today - (today + 3) % 7; /* 1970-01-01 was a Thursday */
	struct usage_report week = { 0 };
	struct account spent;
	enum err_code rc = usage_report_init(&week, SLICE(""), "by", e);

	if (!rc)
		rc = gather(a, &week, monday < 0 ? 0 : monday, today, e);
	if (!rc)
		rc = ledger_account(
			a->ledger, account_subject(ACCOUNT_KEY, a->key->number), &spent, e);
	if (!rc)
		account_view_key(a->key, &spent, week.total.cost_microusd, a->now_ms, &a->json);
	usage_report_fini(&week);
	return rc;
}

/* What another caller asked is not there, in the same words as what never was. */
static enum err_code generation(struct account_call *a, struct err *e)
{
	const struct usage_names names = { find_name, a };
	const char *home = conf_str(a->x->front->conf, CONF_HOME);
	struct buf attempts = { 0 };
	char id[129];
	struct record r;
	enum err_code rc;

	if (!request_query_get(a->x->rq, "id", id, sizeof(id)) || !id[0])
		return err_param(e, ERR_BAD_REQUEST, "id",
			"id is missing: it is the X-Generation-Id of an answer");
	rc = ledger_find(a->ledger, ledger_id(slice_of(id)), &r, e);
	if (!rc && (r.settle.key != a->key->number ||
			   (a->x->caller.org[0] && r.settle.org != a->x->who.org->number)))
		rc = ERR_NOT_FOUND;
	if (rc == ERR_NOT_FOUND)
		return err_param(
			e, rc, "id", "no recent request of this key has this id (X-Generation-Id)");
	if (rc)
		return rc;
	/* Without it the answer is shorter, and as true. */
	(void)!attempts_get(home, ledger_id(slice_of(id)), &attempts, NULL);
	account_view_generation(id, &r, &names, buf_slice(&attempts), &a->json);
	buf_fini(&attempts);
	return ERR_OK;
}

/* ---- Kilo's forms ---- */

/* The organisations of the caller's user; a key that is bound to one knows no other. */
static enum err_code memberships(struct account_call *a, struct people_org **orgs,
	struct account_membership **list, size_t *n, struct err *e)
{
	struct people_file *people = keys_people(a->x->front->keys);
	const char *bound = a->x->caller.org[0] ? a->x->caller.org : a->key->org;
	struct people_membership *all = NULL;
	size_t count = 0;
	enum err_code rc = people_member_list(people, bound, &all, &count, e);

	*orgs = calloc(count + 1, sizeof(**orgs));
	*list = calloc(count + 1, sizeof(**list));
	*n = 0;
	if (!rc && (!*orgs || !*list))
		rc = err_set(e, ERR_NO_MEMORY, "no memory for the organisations");
	for (size_t i = 0; i < count && !rc; i++) {
		if (strcmp(all[i].user, a->x->who.user.id) != 0 ||
			people_org_get(people, all[i].org, &(*orgs)[*n], NULL) != ERR_OK ||
			(*orgs)[*n].disabled)
			continue;
		(*list)[*n].org = &(*orgs)[*n];
		(*list)[*n].role = all[i].member.role;
		(*n)++;
	}
	free(all);
	return rc;
}

static enum err_code profile(struct account_call *a, struct err *e)
{
	struct account_membership *list = NULL;
	struct people_org *orgs = NULL;
	size_t n = 0;
	enum err_code rc = memberships(a, &orgs, &list, &n, e);

	if (!rc)
		account_view_profile(&a->x->who.user, list, n, &a->json);
	free(list);
	free(orgs);
	return rc;
}

static enum err_code balance(struct account_call *a, struct err *e)
{
	const struct limits_conf conf = { .buy_url = "" };
	const struct limits_who who = { .identity = &a->x->who };
	struct account accounts[LEDGER_LIMITS];
	struct admission limits = { 0 };
	int64_t microusd;
	bool limited;
	enum err_code rc = ERR_OK;

	limits_collect(&conf, &who, false, &limits);
	for (size_t i = 0; i < limits.limits_n && !rc; i++)
		rc = ledger_account(a->ledger, limits.limits[i].subject, &accounts[i], e);
	if (rc)
		return rc;
	limited = account_view_spendable(
		&a->x->who, limits.limits, accounts, limits.limits_n, a->now_ms, &microusd);
	account_view_balance(limited, microusd, &a->json);
	return ERR_OK;
}

/* "personal" (the default), "all", or the id of an organisation. */
static enum err_code read_view(const struct account_call *a, struct usage_filter *f, struct err *e)
{
	char view[256], org[PEOPLE_ORG_ID_SIZE];

	query(a, "viewType", "personal", view, sizeof(view));
	if (strcmp(view, "personal") == 0)
		f->personal = true;
	else if (people_uuid_read(slice_of(view), org))
		f->org = people_number(slice_of(org));
	else if (strcmp(view, "all") != 0)
		return err_param(e, ERR_BAD_REQUEST, "viewType",
			"viewType is personal, all, or the id of an organisation");
	return ERR_OK;
}

static enum err_code profile_usage(struct account_call *a, struct err *e)
{
	const struct usage_names names = { find_name, a };
	int64_t today = account_day(a->now_ms), first;
	struct usage_report r = { 0 };
	char grouped[8];
	bool by_model;
	enum err_code rc;

	query(a, "groupByModel", "false", grouped, sizeof(grouped));
	by_model = str_bool(slice_of(grouped), &by_model) && by_model;
	rc = usage_report_init(&r, by_model ? SLICE("day,model") : SLICE("day"), "by", e);
	if (!rc)
		rc = read_view(a, &r.only, e);
	first = today >= PROFILE_DAYS ? today - PROFILE_DAYS + 1 : 0;
	if (!rc)
		rc = gather(a, &r, first, today, e);
	if (!rc)
		rc = account_view_usage(&r, &names, &a->json, e);
	usage_report_fini(&r);
	return rc;
}

/* ---- organisations ---- */

/* Whoever is no member learns nothing, not even that there is such an organisation. */
static enum err_code enter_org(struct account_call *a, struct slice name, struct err *e)
{
	char id[PEOPLE_ORG_ID_SIZE];
	enum err_code rc;

	if (!people_uuid_read(name, id))
		return err_param(e, ERR_BAD_REQUEST, "organizationId",
			"the id of the organisation in the path is not a UUID");
	identity_fini(&a->x->who);
	rc = auth_identify(a->x->front->keys, &a->x->caller, slice_of(id), &a->x->who, e);
	if (rc == ERR_ACCESS_DENIED || (!rc && strcmp(a->x->who.org->id, id) != 0))
		rc = err_set(e, ERR_NOT_FOUND, "Organization not found");
	return rc;
}

static enum err_code make_token(struct account_call *a, struct err *e)
{
	struct buf token = { .max_bytes = TOKEN_MAX };
	int64_t expires_ms;
	enum err_code rc;

	/* Else a token could be renewed for ever by who holds one. */
	if (a->x->caller.org[0])
		return err_set(e, ERR_ACCESS_DENIED,
			"a token cannot make another one: use the key that it was made with");
	rc = org_token_make(a->x->front->keys, &a->x->who, a->now_ms, &token, &expires_ms, e);
	if (!rc) {
		account_view_token(buf_slice(&token), expires_ms, a->x->who.org->id, &a->json);
		log_line(LOG_INFO, "organization.token.generate: organisation %s, key %s",
			a->x->who.org->id, a->key->id);
	}
	buf_fini(&token);
	return rc;
}

static bool is_post(const struct account_call *a)
{
	return strcmp(request_method(a->x->rq), "POST") == 0;
}

static bool is_look(const struct account_call *a)
{
	const char *method = request_method(a->x->rq);

	return strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0;
}

static enum err_code wrong_method(struct account_call *a, const char *methods, struct err *e)
{
	head_add(&a->x->head, "Allow", methods);
	return err_set(e, ERR_METHOD, "this endpoint takes %s", methods);
}

static enum err_code organization(struct account_call *a, struct err *e)
{
	struct slice rest = a->x->rest, name = slice_cut(&rest, '/');
	bool is_tokens = slice_is(rest, "user-tokens");
	enum err_code rc = enter_org(a, name, e);

	if (rc)
		return rc;
	if (is_tokens ? !is_post(a) : !is_look(a))
		return wrong_method(a, is_tokens ? "POST, OPTIONS" : "GET, HEAD, OPTIONS", e);
	if (is_tokens)
		return make_token(a, e);
	if (!rest.len)
		account_view_org(a->x->who.org, &a->json);
	else if (slice_is(rest, "models"))
		account_view_models(a->x->catalog, &a->x->who, &a->json);
	else if (slice_is(rest, "defaults"))
		rc = account_view_defaults(a->x->catalog, &a->x->who, &a->json, e);
	else
		rc = err_set(e, ERR_BAD_PATH, "Invalid path: no endpoint has this name");
	return rc;
}

/* ---- provider keys of the caller's own ---- */

static enum err_code change_byok(struct account_call *a, bool is_new, struct err *e)
{
	const struct conf *c = a->x->front->conf;
	struct slice body = { "", 0 };
	enum err_code rc = request_read_body(a->x->rq, BYOK_BODY_MAX, "the endpoint's limit",
		conf_int(c, CONF_BODY_TIMEOUT), &body, e);

	if (rc)
		return rc;
	a->x->bytes_in = body.len;
	rc = is_new ? byok_api_add(a->x->front->byok, &a->x->who, body, a->now_ms, &a->json, e)
		    : byok_api_edit(a->x->front->byok, &a->x->who, a->x->rest, body, a->now_ms,
			      &a->json, e);
	/* It is ours alone, and holds the key. */
	crypto_wipe((char *)(uintptr_t)body.ptr, body.len);
	return rc;
}

/* One that is too long to be read must not lead to the caller's own keys instead. */
static enum err_code enter_named_org(struct account_call *a, struct err *e)
{
	struct slice all = request_query(a->x->rq);
	char org[PEOPLE_SLUG_SIZE];

	if (request_query_get(a->x->rq, "organizationId", org, sizeof(org)))
		return org[0] ? enter_org(a, slice_of(org), e) : ERR_OK;
	if (!memmem(all.ptr, all.len, "organizationId=", strlen("organizationId=")))
		return ERR_OK;
	return err_param(e, ERR_BAD_REQUEST, "organizationId",
		"organizationId is the id of an organisation, a UUID");
}

static enum err_code byok(struct account_call *a, struct err *e)
{
	const char *method = request_method(a->x->rq);
	bool is_one = a->x->rest.len > 0;
	enum err_code rc = enter_named_org(a, e);

	if (rc)
		return rc;
	if (is_post(a) && !is_one)
		return change_byok(a, true, e);
	if (strcmp(method, "PUT") == 0 && is_one)
		return change_byok(a, false, e);
	if (strcmp(method, "DELETE") == 0 && is_one)
		return byok_api_remove(a->x->front->byok, &a->x->who, a->x->rest, &a->json, e);
	if (is_one || !is_look(a))
		return wrong_method(
			a, is_one ? "PUT, DELETE, OPTIONS" : "GET, HEAD, POST, OPTIONS", e);
	return byok_api_list(a->x->front->byok, &a->x->who, &a->json, e);
}

/* ---- finding the endpoint ---- */

static const struct endpoint {
	const char *path;
	bool is_own; /* not below the base paths, but where it says */
	bool takes_rest;
	bool has_methods; /* more than to look */
	account_handler handle;
} endpoints[] = {
	{ "/usage", false, false, false, usage },
	{ "/credits", false, false, false, credits },
	{ "/key", false, false, false, key },
	{ "/generation", false, false, false, generation },
	{ "/byok", false, true, true, byok },
	{ "/api/profile", true, false, false, profile },
	{ "/api/profile/balance", true, false, false, balance },
	{ "/api/profile/usage", true, false, false, profile_usage },
	{ "/api/organizations", true, true, true, organization },
	{ "/api/byok", true, true, true, byok },
};

static const struct endpoint *endpoint_of(struct exchange *x, const char *path)
{
	for (size_t i = 0; i < sizeof(endpoints) / sizeof(endpoints[0]); i++) {
		const struct endpoint *r = &endpoints[i];

		if (r->is_own ? path_is_own(path, r->path, r->takes_rest, &x->rest)
			      : path_is_endpoint(path, r->path, r->takes_rest, &x->rest))
			return r;
	}
	return NULL;
}

static enum err_code enter(struct account_call *a, struct err *e)
{
	const char *hint = exchange_server_hint(a->x);
	enum err_code rc = exchange_auth(a->x, e);

	if (rc)
		return rc;
	if (a->x->caller.anonymous)
		return err_set(e, ERR_UNAUTHENTICATED,
			"an account has only who sends a key: Authorization: Bearer sk-tg-…%s%s",
			*hint ? "; " : "", hint);
	a->key = &a->x->caller.key;
	a->ledger = front_ledger(e);
	return a->ledger ? ERR_OK : e->code;
}

static enum err_code answer(struct account_call *a, struct err *e)
{
	const struct endpoint *r = endpoint_of(a->x, request_path(a->x->rq));
	enum err_code rc;

	if (!r)
		return err_set(e, ERR_BAD_PATH, "Invalid path: no endpoint has this name");
	if (!r->has_methods && !is_look(a))
		return wrong_method(a, "GET, HEAD, OPTIONS", e);
	rc = enter(a, e);
	if (!rc)
		rc = r->handle(a, e);
	if (!rc && !buf_ok(&a->json))
		rc = err_set(e, ERR_NO_MEMORY, "the answer does not fit into memory");
	return rc;
}

static void handle(struct exchange *x)
{
	struct account_call a = {
		.x = x, .now_ms = clock_wall_ms(), .json = { .max_bytes = ANSWER_MAX }
	};
	struct err e = { 0 };

	if (answer(&a, &e))
		exchange_error(x, &e);
	else
		exchange_json(x, 200, buf_slice(&a.json));
	buf_fini(&a.json);
}

int main(int argc, char **argv)
{
	static const struct front_spec spec = {
		.program = "account.fcgi",
		.summary = "usage, credits, limits, organisations and provider keys of the caller",
		.methods = "GET, HEAD, POST, PUT, DELETE, OPTIONS",
		.no_store = true,
		.needs = FRONT_CATALOG | FRONT_KEYS | FRONT_LEDGER | FRONT_BYOK,
		.handle = handle,
	};

	return front_main(argc, argv, &spec);
}
