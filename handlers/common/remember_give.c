#include "base/clock.h"
#include "base/crypto.h"
#include "base/log.h"
#include "gateway/providers/gather.h"
#include "gateway/replay.h"
#include "gateway/settle.h"
#include "handlers/common/remember_inside.h"

#include <stdio.h>

#define KEY_SHOWN 16 /* bytes of the hash */

/* ---- what the client is told ---- */

void remember_tell(struct exchange *x, const char *state)
{
	head_add(&x->head, "X-Cache", state);
}

void remember_tell_key(struct exchange *x, const struct cache_key *key)
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

	remember_tell(x, f->state);
	remember_tell_key(x, &p->remember->key);
	tell_number(x, "X-Cache-TTL", (f->entry.expires_ms - now_ms + 999) / 1000);
	tell_number(x, "Age", (now_ms - f->entry.made_ms) / 1000);
	if (f->similarity > 0) {
		(void)snprintf(similarity, sizeof(similarity), "%.4f", f->similarity);
		head_add(&x->head, "X-Cache-Similarity", similarity);
	}
	head_add(&x->head, "X-Provider", f->entry.provider);
	head_add(&x->head, "X-Model", f->entry.model);
}

void remember_set_state(
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

/* What it costs the caller: nothing, or all of it where each is to pay for a shared call; but no
 * more than was reserved, which a leader may have been allowed. */
static int64_t price(const struct exchange *x, const struct paid *p, const struct found *f)
{
	int64_t cost = f->entry.saved_microusd, most = p->admission.microusd;

	if (f->event != CACHE_COALESCED ||
		conf_int(x->front->conf, CONF_COALESCE_BILL) != BILL_EACH)
		return 0;
	return most && cost > most ? most : cost;
}

/* An answer that says what its caller pays for it, where that is not nothing. */
struct priced {
	struct found found;
	struct buf usage, body;
};

/* Without memory it stays as it is. */
static void put_price(
	const struct exchange *x, const struct paid *p, const struct found *f, struct priced *out)
{
	static const char free_end[] = "\"cost\":0}"; /* of the usage of a hit */
	int64_t microusd = price(x, p, f);
	struct cache_entry *entry = &out->found.entry;
	struct slice usage = f->entry.usage;

	*out = (struct priced){ .found = *f, .usage = { .max_bytes = usage.len + 64 } };
	if (!microusd || !slice_ends(usage, free_end))
		return;
	buf_slice_append(&out->usage, slice_first(usage, usage.len - 2));
	cost_write_usd((cost_wide)microusd * 1000000, &out->usage);
	buf_char(&out->usage, '}');
	if (!buf_ok(&out->usage))
		return;
	entry->usage = buf_slice(&out->usage);
	if (entry->form == CACHE_WHOLE &&
		answer_write_with_usage(f->entry.body, entry->usage, &out->body))
		entry->body = buf_slice(&out->body);
}

static void priced_fini(struct priced *p)
{
	buf_fini(&p->usage);
	buf_fini(&p->body);
}

void remember_settle(struct exchange *x, struct paid *p, const struct found *f)
{
	static const struct usage none = { .state = USAGE_NONE };
	struct cost cost = { .microusd = price(x, p, f) };
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
	made->max_bytes = 2 * entry->body.len + REMEMBER_EXTRA;
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

enum sink_state remember_begin_stream(struct exchange *x)
{
	struct sink *client = request_sink(x->rq);
	const struct sink_head head = { .status = 200,
		.content_type = "text/event-stream; charset=utf-8",
		.extra = buf_slice(&x->head),
		.streaming = true,
		.length = -1 };

	x->ttft_us = clock_mono_us();
	if (sink_has_begun(client))
		return SINK_OK;
	return sink_begin(client, &head) == SINK_GONE ? SINK_GONE
						      : sink_write(client, SLICE(": ok\n\n"));
}

/* Ends a stream that has its events. */
void remember_end_stream(struct exchange *x, enum sink_state state, struct slice ending)
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

/* A remembered answer takes no longer than one that is made. */
static bool must_hurry(void *ctx)
{
	const struct exchange *x = ctx;

	return front_must_end() ||
	       clock_mono_ms() >= x->started_us / 1000 + conf_int(x->front->conf, CONF_DEADLINE);
}

static enum err_code give_stream(
	struct exchange *x, struct paid *p, const struct found *f, struct err *e)
{
	const struct conf *c = x->front->conf;
	bool paced = conf_int(c, CONF_CACHE_REPLAY) == REPLAY_PACED && f->event != CACHE_COALESCED;
	const struct replay how = { .pace_ms = paced ? conf_int(c, CONF_CACHE_PACE) : 0,
		.stall_ms = exchange_patience_ms(x),
		.must_hurry = must_hurry,
		.ctx = x };
	struct buf made = { .data = NULL },
		   ending = { .max_bytes = f->entry.usage.len + REMEMBER_EXTRA };
	struct slice events;
	enum sink_state state;
	enum err_code rc = events_of(p, &f->entry, &made, &events, e);

	if (!rc) {
		exchange_note(x, 200, ERR_OK);
		remember_settle(x, p, f);
		write_ending(p, &f->entry, events, &ending);
		state = remember_begin_stream(x);
		if (state != SINK_GONE)
			state = replay_events(request_sink(x->rq), events, &how);
		remember_end_stream(x, state, buf_slice(&ending));
	}
	buf_fini(&made);
	buf_fini(&ending);
	return rc;
}

static enum err_code give_whole(
	struct exchange *x, struct paid *p, const struct found *f, struct err *e)
{
	struct buf made = { .max_bytes = 2 * f->entry.body.len + REMEMBER_EXTRA };
	struct slice json = f->entry.body;
	enum err_code rc = ERR_OK;

	if (f->entry.form == CACHE_EVENTS) {
		rc = gather_events(f->entry.body, f->entry.usage, &made, e);
		json = buf_slice(&made);
	}
	if (!rc) {
		exchange_note(x, 200, ERR_OK);
		remember_settle(x, p, f);
		exchange_json(x, 200, json);
	}
	buf_fini(&made);
	return rc;
}

/* Gives the client an answer that is there. Not ERR_OK: it is of no use, and nothing was done. */
enum err_code remember_give(struct exchange *x, struct paid *p, const struct found *f)
{
	size_t head_bytes = x->head.len;
	struct priced priced;
	struct err e;
	enum err_code rc;

	tell_found(x, p, f);
	put_price(x, p, f, &priced);
	rc = p->req.stream ? give_stream(x, p, &priced.found, &e)
			   : give_whole(x, p, &priced.found, &e);
	priced_fini(&priced);
	if (rc) {
		log_line(LOG_WARN, "%s: a remembered answer is of no use: %s", x->request_id,
			e.message);
		x->head.len = head_bytes;
		return rc;
	}
	x->provider = NULL; /* nobody was asked */
	remember_set_state(x, p->remember, f->event, f->entry.saved_microusd - x->cost_microusd);
	return ERR_OK;
}

void remember_give_ending(
	struct exchange *x, struct paid *p, const struct found *f, struct slice events)
{
	struct buf ending = { .max_bytes = f->entry.usage.len + REMEMBER_EXTRA };
	struct priced priced;

	put_price(x, p, f, &priced);
	exchange_note(x, 200, ERR_OK);
	remember_settle(x, p, f);
	write_ending(p, &priced.found.entry, events, &ending);
	remember_end_stream(x, SINK_OK, buf_slice(&ending));
	buf_fini(&ending);
	priced_fini(&priced);
	x->provider = NULL;
	remember_set_state(x, p->remember, f->event, f->entry.saved_microusd - x->cost_microusd);
}
