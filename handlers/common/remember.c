#include "base/clock.h"
#include "base/log_seldom.h"
#include "base/num.h"
#include "gateway/policy.h"
#include "handlers/common/remember_inside.h"

#include <stdlib.h>

#define TTL_MAX_MS (INT64_C(30) * 86400000) /* as GATEWAY_CACHE_TTL */

/* ---- what is wanted ---- */

static bool is_on(const struct conf *c)
{
	return conf_int(c, CONF_CACHE_TTL) > 0 || conf_int(c, CONF_COALESCE) == 1;
}

static enum err_code remove_wish(struct exchange *x, struct paid *p, struct err *e)
{
	struct json_limits limits = paid_json_limits(x->front->conf);
	struct buf body = { .max_bytes = p->req.body.len + 1 };

	cache_wish_remove(&p->req, &body);
	if (!buf_ok(&body)) {
		buf_fini(&body);
		return err_set(e, ERR_NO_MEMORY, "out of memory");
	}
	buf_fini(&p->body); /* which p->req pointed to, perhaps */
	p->body = body;
	return p->parse(buf_slice(&p->body), &limits, &p->req, e);
}

enum err_code remember_begin(struct exchange *x, struct paid *p, struct err *e)
{
	const char *control = request_header(x->rq, "Cache-Control");
	const char *own = request_header(x->rq, "x-gateway-cache");
	struct json_value field = p->req.field[CHAT_CACHE].value;
	bool has_field = field.kind != JSON_ABSENT;
	struct cache_wish wish;
	enum err_code rc;

	if (!control && !own && !has_field && !is_on(x->front->conf))
		return ERR_OK;
	rc = cache_wish_read(control, own, field, TTL_MAX_MS, &wish, e);
	if (!rc && has_field)
		rc = remove_wish(x, p, e);
	if (rc)
		return rc;
	p->remember = calloc(1, sizeof(*p->remember));
	if (!p->remember)
		return err_set(e, ERR_NO_MEMORY, "out of memory");
	p->remember->wish = wish;
	p->remember->room.max_bytes = p->remember->spoken.max_bytes =
		(size_t)conf_int(x->front->conf, CONF_CACHE_MAX_ANSWER) + REMEMBER_EXTRA;
	return ERR_OK;
}

static void set_tenant(struct exchange *x, const struct paid *p, struct cache_tenant *t)
{
	const struct conf *c = x->front->conf;
	const struct identity *who = &x->who;

	*t = (struct cache_tenant){ .scope = (enum conf_cache_scope)conf_int(c, CONF_CACHE_SCOPE),
		.key = who->key ? who->key->number : 0,
		.user = who->key ? who->user.number : 0,
		.org = who->org ? who->org->number : 0,
		.byok = p->byok.used };
	if (!who->key)
		t->address = limits_address_number(
			x->has_address ? &x->address : NULL, conf_int(c, CONF_IPV6_PREFIX));
}

static struct cache_ask cache_ask(const struct paid *p)
{
	return (struct cache_ask){ .tenant = &p->remember->tenant,
		.endpoint = p->kind,
		.model = paid_model(&p->plan.at[0].route),
		.req = &p->req };
}

/* ---- is there one? ---- */

/* May this caller have it, and is it young enough? */
static bool is_fine(const struct exchange *x, const struct paid *p, const struct cache_entry *entry)
{
	const struct cache_wish *w = &p->remember->wish;

	return policy_provider_is_allowed(&x->who, slice_of(entry->provider)) &&
	       (w->max_age_ms < 0 || clock_wall_ms() - entry->made_ms <= w->max_age_ms);
}

static bool get(
	struct exchange *x, struct paid *p, const struct cache_key *key, struct cache_entry *entry)
{
	struct remember *r = p->remember;
	struct err e;
	enum err_code rc;

	if (!r->cache || r->wish.refresh)
		return false;
	buf_reset(&r->room);
	rc = cache_get(r->cache, key, clock_wall_ms(), &r->room, entry, &e);
	if (rc && rc != ERR_NOT_FOUND)
		log_seldom(LOG_WARN, "cache", e.message, clock_mono_ms());
	return !rc && is_fine(x, p, entry);
}

/* The very same question. */
bool remember_look_up(struct exchange *x, struct paid *p)
{
	struct found f = { .state = "HIT", .event = CACHE_HIT };

	return get(x, p, &p->remember->key, &f.entry) && remember_give(x, p, &f) == ERR_OK;
}

/* May the question be shown to who makes its vector? Their collecting is not known: who denies that
 * is not asked about. */
static bool may_embed(const struct exchange *x, const char *model)
{
	struct slice rest = slice_of(model);

	return policy_provider_is_allowed(&x->who, slice_cut(&rest, '/')) &&
	       !policy_denies_collection(&x->who, false);
}

/* A question that means the same. */
static bool look_for_meaning(struct exchange *x, struct paid *p)
{
	const struct conf *c = x->front->conf;
	const struct semantic_conf conf = { .model = conf_str(c, CONF_EMBEDDING_MODEL),
		.threshold = (double)conf_int(c, CONF_SEMANTIC_THRESHOLD) / 1e6,
		.timeout_ms = conf_int(c, CONF_SEMANTIC_TIMEOUT),
		.connect_ms = conf_int(c, CONF_CONNECT_TIMEOUT) };
	struct remember *r = p->remember;
	struct found f = { .state = "SEMANTIC", .event = CACHE_SEMANTIC };
	struct cache_ask ask = cache_ask(p);
	struct cache_key key;
	struct vectors *v;
	struct pump *pump;
	struct err e = { 0 };

	if (!conf_int(c, CONF_SEMANTIC_CACHE) || !conf.model[0] || !r->cache || p->turn ||
		r->wish.no_semantic || r->wish.refresh || !may_embed(x, conf.model))
		return false;
	v = front_vectors(x->front);
	pump = v ? front_pump(&e) : NULL;
	if (!pump)
		return false;
	if (!semantic_find(&r->semantic, v, pump, x->catalog, &conf, &ask, clock_wall_ms(), &key,
		    &f.similarity, &e)) {
		if (e.code)
			log_seldom(LOG_WARN, "semantic cache", e.message, clock_mono_ms());
		return false;
	}
	return get(x, p, &key, &f.entry) && semantic_answer_is_fine(&f.entry) &&
	       remember_give(x, p, &f) == ERR_OK;
}

/* ---- the way in ---- */

static enum remember_end not_there(
	struct exchange *x, struct paid *p, enum cache_event event, struct err *e)
{
	struct remember *r = p->remember;

	if (r->wish.only_if_cached) {
		(void)!err_set(e, ERR_NOT_CACHED,
			"no answer to this request is remembered, and only-if-cached asks for no "
			"other: send it without that");
		remember_tell(x, "MISS");
		remember_set_state(x, r, CACHE_MISS, 0);
		return REMEMBER_REFUSED;
	}
	remember_set_state(x, r, event, 0);
	/* A stream that follows nobody any more has its head already. */
	if (!sink_has_begun(request_sink(x->rq)))
		remember_tell(x, event == CACHE_MISS ? "MISS" : "BYPASS");
	return REMEMBER_ASK;
}

/* What generates nothing is not hot. */
static bool is_cool(const struct paid *p, const struct conf *c)
{
	return p->no_output ||
	       cache_temperature_is_fine(&p->req, conf_int(c, CONF_CACHE_MAX_TEMPERATURE));
}

enum remember_end remember_look(struct exchange *x, struct paid *p, struct err *e)
{
	const struct conf *c = x->front->conf;
	struct remember *r = p->remember;
	bool remembers = conf_int(c, CONF_CACHE_TTL) > 0,
	     coalesces = conf_int(c, CONF_COALESCE) == 1;
	enum remember_end end = REMEMBER_ASK;
	struct cache_ask ask;
	struct err why;

	if (!r)
		return REMEMBER_ASK;
	if (r->wish.skip || (!remembers && !coalesces) || !is_cool(p, c)) {
		if (remembers)
			r->cache = front_cache(x->front);
		return not_there(x, p, CACHE_BYPASS, e);
	}
	set_tenant(x, p, &r->tenant);
	ask = cache_ask(p);
	if (cache_key_make(&ask, &r->key, &why))
		return not_there(x, p, CACHE_BYPASS, e);
	r->cache = remembers ? front_cache(x->front) : NULL;
	r->keeps = r->cache && !r->wish.no_store;
	if (remember_look_up(x, p))
		return REMEMBER_ANSWERED;
	if (coalesces && !r->wish.refresh && !r->wish.no_store && !r->wish.only_if_cached)
		end = remember_join(x, p, e);
	if (end != REMEMBER_ASK || (!r->spoken.len && look_for_meaning(x, p)))
		return end == REMEMBER_ASK ? REMEMBER_ANSWERED : end;
	if (!sink_has_begun(request_sink(x->rq)))
		remember_tell_key(x, &r->key);
	return not_there(x, p, r->wish.refresh ? CACHE_BYPASS : CACHE_MISS, e);
}

/* ---- an answer that is being made ---- */

bool remember_is_for_others(const struct paid *p)
{
	const struct remember *r = p->remember;

	return r && (r->keeps || r->flight);
}

struct sink *remember_sink(struct paid *p, struct sink *client)
{
	struct remember *r = p->remember;

	if (!remember_is_for_others(p))
		return client;
	if (!r->teed)
		tee_init(&r->tee, client, r->flight, r->room.max_bytes);
	r->teed = true;
	return &r->tee.sink;
}

void remember_speaker(struct paid *p, const struct route *route)
{
	if (p->remember && p->remember->teed)
		tee_set_who(&p->remember->tee, route->target.slug, paid_model(route));
}

struct slice remember_spoken(const struct paid *p)
{
	return p->remember ? buf_slice(&p->remember->spoken) : SLICE("");
}

bool remember_client_is_gone(const struct paid *p)
{
	return p->remember && p->remember->teed && tee_client_is_gone(&p->remember->tee);
}

void remember_stop(struct paid *p)
{
	struct remember *r = p->remember;

	if (!r)
		return;
	r->keeps = false;
	r->tee.flight = NULL;
	if (r->flight)
		flight_end(r->flight, NULL);
	r->flight = NULL;
}

/* false: it cannot be given again. */
static bool make_entry(
	struct exchange *x, struct paid *p, struct buf *whole, struct cache_entry *entry)
{
	const struct attempts *t = &p->tries;
	const struct relay_result *res = &t->res;
	struct remember *r = p->remember;
	int64_t now_ms = clock_wall_ms();
	int64_t ttl_ms =
		r->wish.ttl_ms >= 0 ? r->wish.ttl_ms : conf_int(x->front->conf, CONF_CACHE_TTL);

	if (!t->answered || r->spoken.len || !buf_ok(&res->hit_usage))
		return false;
	*entry = (struct cache_entry){ .made_ms = now_ms,
		.expires_ms = now_ms + ttl_ms,
		.saved_microusd = res->cost.microusd,
		.form = p->req.stream ? CACHE_EVENTS : CACHE_WHOLE,
		.prompt_tokens = num_u32(res->usage.prompt_tokens),
		.completion_tokens = num_u32(res->usage.completion_tokens),
		.usage = buf_slice(&res->hit_usage),
		.body = buf_slice(&r->tee.events) };
	str_copy_cut(entry->model, sizeof(entry->model), paid_model(&t->answered->route));
	str_copy_cut(entry->provider, sizeof(entry->provider), t->answered->route.target.slug);
	str_copy_cut(entry->finish_reason, sizeof(entry->finish_reason), res->finish_reason);
	if (p->req.stream)
		return buf_ok(&r->tee.events) && r->tee.events.len;
	if (!answer_write_with_usage(buf_slice(&res->answer.json), entry->usage, whole))
		return false;
	entry->body = buf_slice(whole);
	return true;
}

/* Only what the model that was meant has said, in one go, and of which nothing was passed over. */
static bool may_be_kept(struct exchange *x, const struct paid *p, const struct cache_entry *entry)
{
	const struct conf *c = x->front->conf;

	for (size_t i = 0; i < p->tries.count; i++)
		if (p->tries.list[i].rescue)
			return false;
	return p->remember->keeps && !p->tries.res.malformed &&
	       strcmp(entry->model, paid_model(&p->plan.at[0].route)) == 0 &&
	       entry->expires_ms > entry->made_ms &&
	       entry->body.len <= (size_t)conf_int(c, CONF_CACHE_MAX_ANSWER) &&
	       (p->no_output || cache_answer_is_fine(entry->form, entry->body, entry->finish_reason,
					conf_int(c, CONF_CACHE_TOOL_CALLS)));
}

/* The question's meaning leads to this entry from now on. */
static void learn(struct exchange *x, struct remember *r, const struct cache_entry *entry)
{
	struct vectors *v = r->semantic.dimensions ? front_vectors(x->front) : NULL;

	if (v)
		semantic_learn(&r->semantic, v, &r->key, entry->expires_ms, entry->made_ms);
}

void remember_keep(struct exchange *x, struct paid *p, enum err_code rc)
{
	struct remember *r = p->remember;
	struct buf whole = { .data = NULL };
	struct cache_entry entry;
	bool is_whole;
	struct err e;

	if (!remember_is_for_others(p))
		return;
	is_whole = !rc && make_entry(x, p, &whole, &entry);
	if (is_whole && may_be_kept(x, p, &entry)) {
		if (cache_put(r->cache, &r->key, entry.made_ms, &entry, &e))
			log_seldom(LOG_WARN, "cache", e.message, clock_mono_ms());
		else
			learn(x, r, &entry);
	}
	r->tee.flight = NULL;
	if (r->flight)
		flight_end(r->flight, is_whole ? &entry : NULL);
	r->flight = NULL;
	buf_fini(&whole);
}

void remember_fini(struct paid *p)
{
	struct remember *r = p->remember;

	if (!r)
		return;
	if (r->flight)
		flight_end(r->flight, NULL);
	if (r->teed)
		tee_fini(&r->tee);
	semantic_fini(&r->semantic);
	buf_fini(&r->room);
	buf_fini(&r->spoken);
	free(r);
	p->remember = NULL;
}
