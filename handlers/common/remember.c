#include "handlers/common/remember.h"

#include "base/clock.h"
#include "base/crypto.h"
#include "base/log.h"
#include "gateway/cache_key.h"
#include "gateway/follow_flight.h"
#include "gateway/policy.h"
#include "gateway/providers/gather.h"
#include "gateway/replay.h"
#include "gateway/semantic.h"
#include "gateway/settle.h"
#include "gateway/tee.h"

#include <stdio.h>
#include <stdlib.h>

#define TTL_MAX_MS   (INT64_C(30) * 86400000) /* as GATEWAY_CACHE_TTL */
#define KEY_SHOWN    16                       /* bytes of the hash */
#define ROUNDS_MAX   3 /* after so many leaders that failed, one asks for oneself */
#define FOLLOW_EXTRA 65536

struct remember {
	struct cache_wish wish;
	struct cache_tenant tenant;
	struct cache_key key;
	struct cache *cache; /* NULL: nothing is remembered */
	struct flight *flight;
	bool keeps;    /* the answer is to be remembered */
	bool hands_on; /* … or to be given to who follows */
	bool teed;
	struct tee tee;
	struct semantic semantic;
	struct buf room;   /* of the entry that was found */
	struct buf spoken; /* events that this client got of a leader who was lost */
};

/* How an answer came to be there. */
struct found {
	const char *state; /* "HIT" */
	enum cache_event event;
	double similarity; /* 0 = it is the very same question */
	struct cache_entry entry;
};

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
		(size_t)conf_int(x->front->conf, CONF_CACHE_MAX_ANSWER) + FOLLOW_EXTRA;
	return ERR_OK;
}

static void set_tenant(struct exchange *x, const struct paid *p, struct cache_tenant *t)
{
	const struct conf *c = x->front->conf;
	const struct identity *who = &x->who;
	struct ip address;

	*t = (struct cache_tenant){ .scope = (enum conf_cache_scope)conf_int(c, CONF_CACHE_SCOPE),
		.key = who->key ? who->key->number : 0,
		.user = who->key ? who->user.number : 0,
		.org = who->org ? who->org->number : 0,
		.byok = p->byok.used };
	if (!who->key)
		t->address = limits_address_number(exchange_address(x, &address) ? &address : NULL,
			conf_int(c, CONF_IPV6_PREFIX));
}

static struct cache_ask cache_ask(const struct paid *p)
{
	return (struct cache_ask){ .tenant = &p->remember->tenant,
		.endpoint = p->kind,
		.model = paid_model(&p->plan.at[0].route),
		.req = &p->req };
}

/* ---- what the client is told ---- */

static void tell(struct exchange *x, const char *state)
{
	head_add(&x->head, "X-Cache", state);
}

static void tell_key(struct exchange *x, const struct cache_key *key)
{
	char hex[2 * KEY_SHOWN + 1];

	crypto_hex(key->hash, KEY_SHOWN, hex);
	head_add(&x->head, "X-Cache-Key", hex);
}

static void tell_number(struct exchange *x, const char *name, int64_t n)
{
	char text[24];

	(void)snprintf(text, sizeof(text), "%lld", (long long)(n > 0 ? n : 0));
	head_add(&x->head, name, text);
}

static void tell_found(struct exchange *x, const struct paid *p, const struct found *f)
{
	int64_t now_ms = clock_wall_ms();
	char similarity[16];

	tell(x, f->state);
	tell_key(x, &p->remember->key);
	tell_number(x, "X-Cache-TTL", (f->entry.expires_ms - now_ms + 999) / 1000);
	tell_number(x, "Age", (now_ms - f->entry.made_ms) / 1000);
	if (f->similarity > 0) {
		(void)snprintf(similarity, sizeof(similarity), "%.4f", f->similarity);
		head_add(&x->head, "X-Cache-Similarity", similarity);
	}
	head_add(&x->head, "X-Provider", f->entry.provider);
	head_add(&x->head, "X-Model", f->entry.model);
}

static void set_state(
	struct exchange *x, struct remember *r, enum cache_event event, int64_t saved_microusd)
{
	static const char *const names[CACHE_EVENTS_N] = {
		[CACHE_HIT] = "hit",
		[CACHE_MISS] = "miss",
		[CACHE_BYPASS] = "bypass",
		[CACHE_COALESCED] = "coalesced",
		[CACHE_SEMANTIC] = "semantic",
	};

	x->cache = names[event];
	if (r->cache)
		cache_count(r->cache, event, saved_microusd);
}

/* ---- an answer that is there ---- */

/* What it costs the caller: nothing, or all of it where each is to pay for a shared call. */
static int64_t price(const struct exchange *x, const struct found *f)
{
	return f->event == CACHE_COALESCED &&
			       conf_int(x->front->conf, CONF_COALESCE_BILL) == BILL_EACH
		       ? f->entry.saved_microusd
		       : 0;
}

static void settle_found(struct exchange *x, struct paid *p, const struct found *f)
{
	static const struct usage none = { .state = USAGE_NONE };
	struct cost cost = { .microusd = price(x, f) };
	struct err e;
	const struct settle_facts facts = { .identity = &x->who,
		.provider = f->entry.provider,
		.model = f->entry.model,
		.asked_model = x->model,
		.usage = &none,
		.cost = &cost,
		.finish_reason = f->entry.finish_reason,
		.status = x->status,
		.stream = x->stream,
		.free = p->plan.at[0].route.free,
		.byok = p->byok.used,
		.client_gone = x->error == ERR_CLIENT_GONE,
		.cache_hit = true,
		.saved_microusd = f->entry.saved_microusd - cost.microusd,
		.latency_ms = (clock_mono_us() - x->started_us) / 1000,
		.ttft_ms = x->ttft_us ? (x->ttft_us - x->started_us) / 1000 + 1 : 0 };

	x->cost_microusd = cost.microusd;
	settle_request(front_ledger(&e), &p->admission, &facts);
}

static const struct provider *dialect_of(const struct paid *p)
{
	struct route turned = p->plan.at[0].route;
	struct chat_req req = p->req;

	if (p->turn && p->turn(&req, &turned, NULL))
		return NULL;
	return turned.target.provider;
}

/* The entry's events, made of the whole answer when it is one. */
static enum err_code events_of(const struct paid *p, const struct cache_entry *entry,
	struct buf *made, struct slice *out, struct err *e)
{
	const struct provider *dialect = dialect_of(p);
	struct answer a = { .json = { .data = (char *)(uintptr_t)entry->body.ptr,
				    .len = entry->body.len } };
	enum err_code rc;

	*out = entry->body;
	if (entry->form == CACHE_EVENTS)
		return ERR_OK;
	made->max_bytes = 2 * entry->body.len + FOLLOW_EXTRA;
	rc = dialect && dialect->write_events ? dialect->write_events(&a, made, e)
					      : answer_write_events(&a, made, e);
	*out = buf_slice(made);
	return rc;
}

/* Usage for those who asked, and the mark of a whole answer. */
static void write_ending(
	const struct paid *p, const struct cache_entry *entry, struct slice events, struct buf *out)
{
	if (p->req.include_usage) {
		buf_str(out, "data: ");
		gather_usage_chunk(events, entry->usage, out);
		buf_str(out, "\n\n");
	}
	buf_str(out, "data: [DONE]\n\n");
}

static enum sink_state begin_stream(struct exchange *x)
{
	struct sink *client = request_sink(x->rq);
	const struct sink_head head = { .status = 200,
		.content_type = "text/event-stream; charset=utf-8",
		.extra = buf_slice(&x->head),
		.streaming = true,
		.length = -1 };

	x->ttft_us = clock_mono_us();
	return sink_has_begun(client) ? SINK_OK : sink_begin(client, &head);
}

/* Ends a stream that has its events. */
static void end_stream(struct exchange *x, enum sink_state state, struct slice ending)
{
	struct err e;
	enum err_code rc = ERR_OK;

	if (state != SINK_GONE)
		state = sink_write(request_sink(x->rq), ending);
	if (state == SINK_GONE)
		rc = ERR_CLIENT_GONE;
	else
		rc = request_finish(x->rq, NULL, NULL, exchange_patience_ms(x), &e);
	exchange_note(x, 200, rc);
}

static enum err_code give_stream(
	struct exchange *x, struct paid *p, const struct found *f, struct err *e)
{
	const struct conf *c = x->front->conf;
	int64_t pace_ms =
		conf_int(c, CONF_CACHE_REPLAY) == REPLAY_PACED && f->event != CACHE_COALESCED
			? conf_int(c, CONF_CACHE_PACE)
			: 0;
	struct buf made = { .data = NULL },
		   ending = { .max_bytes = f->entry.usage.len + FOLLOW_EXTRA };
	struct slice events;
	enum sink_state state;
	enum err_code rc = events_of(p, &f->entry, &made, &events, e);

	if (!rc) {
		exchange_note(x, 200, ERR_OK);
		settle_found(x, p, f);
		write_ending(p, &f->entry, events, &ending);
		state = begin_stream(x);
		if (state != SINK_GONE)
			state = replay_events(
				request_sink(x->rq), events, pace_ms, exchange_patience_ms(x));
		end_stream(x, state, buf_slice(&ending));
	}
	buf_fini(&made);
	buf_fini(&ending);
	return rc;
}

static enum err_code give_whole(
	struct exchange *x, struct paid *p, const struct found *f, struct err *e)
{
	struct buf made = { .max_bytes = 2 * f->entry.body.len + FOLLOW_EXTRA };
	struct slice json = f->entry.body;
	enum err_code rc = ERR_OK;

	if (f->entry.form == CACHE_EVENTS) {
		rc = gather_events(f->entry.body, f->entry.usage, &made, e);
		json = buf_slice(&made);
	}
	if (!rc) {
		exchange_note(x, 200, ERR_OK);
		settle_found(x, p, f);
		exchange_json(x, 200, json);
	}
	buf_fini(&made);
	return rc;
}

/* Gives the client an answer that is there. Not ERR_OK: it is of no use, and nothing was done. */
static enum err_code give(struct exchange *x, struct paid *p, const struct found *f)
{
	size_t head_bytes = x->head.len;
	struct err e;
	enum err_code rc;

	tell_found(x, p, f);
	rc = p->req.stream ? give_stream(x, p, f, &e) : give_whole(x, p, f, &e);
	if (rc) {
		log_line(LOG_WARN, "%s: a remembered answer is of no use: %s", x->request_id,
			e.message);
		x->head.len = head_bytes;
		return rc;
	}
	x->provider = NULL; /* nobody was asked */
	set_state(x, p->remember, f->event, f->entry.saved_microusd);
	return ERR_OK;
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
		log_line(LOG_WARN, "cache: %s", e.message);
	return !rc && is_fine(x, p, entry);
}

/* The very same question. */
static bool look_up(struct exchange *x, struct paid *p)
{
	struct found f = { .state = "HIT", .event = CACHE_HIT };

	return get(x, p, &p->remember->key, &f.entry) && give(x, p, &f) == ERR_OK;
}

/* A question that means the same. */
static bool look_for_meaning(struct exchange *x, struct paid *p)
{
	const struct conf *c = x->front->conf;
	const struct semantic_conf conf = { .model = conf_str(c, CONF_EMBEDDING_MODEL),
		.threshold = (double)conf_int(c, CONF_SEMANTIC_THRESHOLD) / 1e6,
		.timeout_ms = conf_int(c, CONF_SEMANTIC_TIMEOUT),
		.connect_ms = conf_int(c, CONF_CONNECT_TIMEOUT),
		.providers = conf_str(c, CONF_PROVIDERS) };
	struct remember *r = p->remember;
	struct found f = { .state = "SEMANTIC", .event = CACHE_SEMANTIC };
	struct cache_ask ask = cache_ask(p);
	struct cache_key key;
	struct vectors *v;
	struct pump *pump;
	struct err e = { 0 };

	if (!conf_int(c, CONF_SEMANTIC_CACHE) || !conf.model[0] || !r->cache || p->turn ||
		r->wish.no_semantic || r->wish.refresh)
		return false;
	v = front_vectors(x->front);
	pump = v ? front_pump(&e) : NULL;
	if (!pump)
		return false;
	if (!semantic_find(&r->semantic, v, pump, x->catalog, &conf, &ask, clock_wall_ms(), &key,
		    &f.similarity, &e)) {
		if (e.code)
			log_line(LOG_WARN, "semantic cache: %s", e.message);
		return false;
	}
	return get(x, p, &key, &f.entry) && semantic_answer_is_fine(&f.entry) &&
	       give(x, p, &f) == ERR_OK;
}

/* ---- one on its way ---- */

/* The head of a stream that follows, when it is known who answers. */
static enum sink_state begin_following(void *ctx, const struct flight_who *who)
{
	struct exchange *x = ctx;

	if (who->provider[0])
		head_add(&x->head, "X-Provider", who->provider);
	if (who->model[0])
		head_add(&x->head, "X-Model", who->model);
	return begin_stream(x);
}

/* The leader's answer is whole. What was not delivered yet is. */
static bool take_over(struct exchange *x, struct paid *p, struct cache_entry *entry)
{
	struct found f = { .state = "COALESCED", .event = CACHE_COALESCED, .entry = *entry };
	struct buf ending = { .max_bytes = entry->usage.len + FOLLOW_EXTRA };

	if (!p->remember->spoken.len)
		return give(x, p, &f) == ERR_OK;
	exchange_note(x, 200, ERR_OK);
	settle_found(x, p, &f);
	write_ending(p, entry, buf_slice(&p->remember->spoken), &ending);
	end_stream(x, SINK_OK, buf_slice(&ending));
	buf_fini(&ending);
	x->provider = NULL;
	set_state(x, p->remember, CACHE_COALESCED, entry->saved_microusd);
	return true;
}

enum followed {
	FOLLOWED_TO_THE_END, /* answered */
	FOLLOWED_LOST,       /* it has to be asked again; perhaps with spoken */
	FOLLOWED_IN_VAIN,    /* the client has left, or it took too long: *e */
};

static enum followed follow(
	struct exchange *x, struct paid *p, struct flight *flight, struct err *e)
{
	const struct conf *c = x->front->conf;
	struct remember *r = p->remember;
	const struct follow_call call = { .client = request_sink(x->rq),
		.stream = p->req.stream,
		.begin = begin_following,
		.ctx = x,
		.heartbeat_ms = conf_int(c, CONF_HEARTBEAT),
		.client_stall_ms = conf_int(c, CONF_CLIENT_STALL),
		.deadline_mono_ms = x->started_us / 1000 + conf_int(c, CONF_DEADLINE) };
	struct cache_entry entry;
	struct flight_who who;
	enum follow_end end;
	size_t head_bytes = x->head.len;

	if (p->req.stream) {
		tell(x, "COALESCED");
		tell_key(x, &r->key);
	}
	buf_reset(&r->room);
	end = follow_flight(flight, &call, &r->spoken, &r->room, &entry, &who, e);
	if (!sink_has_begun(request_sink(x->rq)))
		x->head.len = head_bytes;
	switch (end) {
	case FOLLOW_WHOLE:
		return take_over(x, p, &entry) ? FOLLOWED_TO_THE_END : FOLLOWED_LOST;
	case FOLLOW_LOST_SILENT:
	case FOLLOW_LOST_SPOKEN:
		return FOLLOWED_LOST;
	default:
		return FOLLOWED_IN_VAIN;
	}
}

/* The client cannot, or need not, be answered any more; what it had cost nothing. */
static enum remember_end give_up(struct exchange *x, struct paid *p, struct err *e)
{
	const struct found f = {
		.state = "COALESCED", .event = CACHE_COALESCED, .entry = { .model = "" }
	};

	set_state(x, p->remember, CACHE_COALESCED, 0);
	if (e->code != ERR_CLIENT_GONE && !sink_has_begun(request_sink(x->rq)))
		return REMEMBER_REFUSED;
	exchange_note(x, 200, e->code);
	settle_found(x, p, &f);
	return REMEMBER_ANSWERED;
}

/* Follows who asked the same before, or leads. */
static enum remember_end join(struct exchange *x, struct paid *p, struct err *e)
{
	struct remember *r = p->remember;
	struct flights *flights = front_flights(x->front);

	for (int round = 0; flights && round < ROUNDS_MAX; round++) {
		struct flight *flight;

		switch (flight_join(flights, &r->key, true, &flight)) {
		case FLIGHT_ALONE:
			return REMEMBER_ASK;
		case FLIGHT_LEADS:
			r->flight = flight;
			/* Another may have led, and ended, since it was looked for. */
			return look_up(x, p) ? REMEMBER_ANSWERED : REMEMBER_ASK;
		case FLIGHT_FOLLOWS:
			switch (follow(x, p, flight, e)) {
			case FOLLOWED_TO_THE_END:
				flight_end(flight, NULL);
				return REMEMBER_ANSWERED;
			case FOLLOWED_IN_VAIN:
				flight_end(flight, NULL);
				return give_up(x, p, e);
			case FOLLOWED_LOST:
				flight_end(flight, NULL);
				if (r->spoken.len)
					return REMEMBER_ASK;
			}
		}
	}
	return REMEMBER_ASK;
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
		tell(x, "MISS");
		set_state(x, r, CACHE_MISS, 0);
		return REMEMBER_REFUSED;
	}
	set_state(x, r, event, 0);
	/* A stream that follows nobody any more has its head already. */
	if (!sink_has_begun(request_sink(x->rq)))
		tell(x, event == CACHE_MISS ? "MISS" : "BYPASS");
	return REMEMBER_ASK;
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
	if (r->wish.skip || (!remembers && !coalesces) ||
		!cache_temperature_is_fine(&p->req, conf_int(c, CONF_CACHE_MAX_TEMPERATURE))) {
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
	if (look_up(x, p))
		return REMEMBER_ANSWERED;
	if (coalesces && !r->wish.refresh && !r->wish.no_store && !r->wish.only_if_cached)
		end = join(x, p, e);
	if (end != REMEMBER_ASK || (!r->spoken.len && look_for_meaning(x, p)))
		return end == REMEMBER_ASK ? REMEMBER_ANSWERED : end;
	if (!sink_has_begun(request_sink(x->rq)))
		tell_key(x, &r->key);
	return not_there(x, p, r->wish.refresh ? CACHE_BYPASS : CACHE_MISS, e);
}

/* ---- an answer that is being made ---- */

struct sink *remember_sink(struct paid *p, struct sink *client)
{
	struct remember *r = p->remember;

	if (!r || !(r->keeps || r->flight))
		return client;
	if (!r->teed)
		tee_init(&r->tee, client, r->flight, true, r->room.max_bytes);
	r->teed = true;
	return &r->tee.sink;
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

/* The whole answer with the usage that a hit has. */
static bool put_hit_usage(struct slice json, struct slice usage, struct buf *out)
{
	struct json_value old = json_get((struct json_value){ JSON_OBJECT, json }, "usage");
	size_t cut = old.kind == JSON_ABSENT ? 0 : (size_t)(old.raw.ptr - json.ptr);

	out->max_bytes = json.len + usage.len + 16;
	if (!cut) {
		buf_slice_append(out, json);
		return buf_ok(out);
	}
	buf_slice_append(out, slice_first(json, cut));
	buf_slice_append(out, usage);
	buf_slice_append(out, slice_from(json, cut + old.raw.len));
	return buf_ok(out);
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

	if (!t->answered || r->spoken.len)
		return false;
	*entry = (struct cache_entry){ .made_ms = now_ms,
		.expires_ms = now_ms + ttl_ms,
		.saved_microusd = res->cost.microusd,
		.form = p->req.stream ? CACHE_EVENTS : CACHE_WHOLE,
		.prompt_tokens = (uint32_t)res->usage.prompt_tokens,
		.completion_tokens = (uint32_t)res->usage.completion_tokens,
		.usage = buf_slice(&res->hit_usage),
		.body = buf_slice(&r->tee.events) };
	str_copy_cut(entry->model, sizeof(entry->model), paid_model(&t->answered->route));
	str_copy_cut(entry->provider, sizeof(entry->provider), t->answered->route.target.slug);
	str_copy_cut(entry->finish_reason, sizeof(entry->finish_reason), res->finish_reason);
	if (p->req.stream)
		return buf_ok(&r->tee.events) && r->tee.events.len;
	if (!put_hit_usage(buf_slice(&res->answer.json), entry->usage, whole))
		return false;
	entry->body = buf_slice(whole);
	return true;
}

/* Only what the model that was meant has said, in one go. */
static bool may_be_kept(struct exchange *x, const struct paid *p, const struct cache_entry *entry)
{
	const struct conf *c = x->front->conf;

	for (size_t i = 0; i < p->tries.count; i++)
		if (p->tries.list[i].rescue)
			return false;
	return p->remember->keeps && strcmp(entry->model, paid_model(&p->plan.at[0].route)) == 0 &&
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

	if (!r || !(r->keeps || r->flight))
		return;
	is_whole = !rc && make_entry(x, p, &whole, &entry);
	if (is_whole && may_be_kept(x, p, &entry)) {
		if (cache_put(r->cache, &r->key, entry.made_ms, &entry, &e)) {
			log_line(LOG_WARN, "cache: %s", e.message);
		} else {
			cache_count(r->cache, CACHE_STORED, 0);
			learn(x, r, &entry);
		}
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
