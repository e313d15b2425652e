#include "gateway/follow_flight.h"
#include "gateway/policy.h"
#include "handlers/common/remember_inside.h"

#define ROUNDS_MAX 3 /* after so many leaders that failed, one asks for oneself */

/* Who follows. */
struct follower {
	struct exchange *x;
	struct paid *p;
};

/* The head of a stream that follows, when it is known who answers. */
static enum sink_state begin_following(void *ctx, const struct flight_who *who)
{
	struct exchange *x = ((struct follower *)ctx)->x;

	if (who->provider[0])
		head_add(&x->head, "X-Provider", who->provider);
	if (who->model[0])
		head_add(&x->head, "X-Model", who->model);
	return remember_begin_stream(x);
}

/* Would this caller, too, have been answered by them? The leader may have others stand in, and be
 * allowed more: its chain of models and who pays are no part of the key. */
static bool accepts(void *ctx, const struct flight_who *who)
{
	const struct follower *f = ctx;
	const struct plan *plan = &f->p->plan;

	for (size_t i = 0; i < plan->count; i++)
		if (strcmp(paid_model(&plan->at[i].route), who->model) == 0)
			return policy_provider_is_allowed(&f->x->who, slice_of(who->provider));
	return false;
}

static bool must_end(void *ctx)
{
	(void)ctx;
	return front_must_end();
}

/* The leader's answer is whole. What was not delivered yet is. */
static bool take_over(struct exchange *x, struct paid *p, struct cache_entry *entry)
{
	struct found f = { .state = "COALESCED", .event = CACHE_COALESCED, .entry = *entry };

	if (!p->remember->spoken.len)
		return remember_give(x, p, &f) == ERR_OK;
	remember_give_ending(x, p, &f, buf_slice(&p->remember->spoken));
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
	struct follower self = { x, p };
	const struct follow_call call = { .client = request_sink(x->rq),
		.stream = p->req.stream,
		.begin = begin_following,
		.must_end = must_end,
		.accepts = accepts,
		.ctx = &self,
		.heartbeat_ms = conf_int(c, CONF_HEARTBEAT),
		.client_stall_ms = conf_int(c, CONF_CLIENT_STALL),
		.deadline_mono_ms = x->started_us / 1000 + conf_int(c, CONF_DEADLINE) };
	struct cache_entry entry;
	struct flight_who who;
	enum follow_end end;
	size_t head_bytes = x->head.len;

	if (p->req.stream) {
		remember_tell(x, "COALESCED");
		remember_tell_key(x, &r->key);
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

/* A stream that has begun ends as one that failed. */
static void end_in_vain(struct exchange *x, struct paid *p, const struct err *e)
{
	struct sink *sink = request_sink(x->rq);
	struct relay_client client = { .sink = sink };
	const struct relay_call call = {
		.target = &p->plan.at[0].route.target, .req = &p->req, .client = &client
	};
	struct buf ending = { .data = NULL };

	relay_write_failure(&call, e, x->request_id, &ending);
	remember_end_stream(x, SINK_OK, buf_slice(&ending));
	exchange_note(x, 200, e->code);
	buf_fini(&ending);
}

/* The client cannot, or need not, be answered any more; what it had cost nothing. */
static enum remember_end give_up(struct exchange *x, struct paid *p, struct err *e)
{
	const struct found f = {
		.state = "COALESCED", .event = CACHE_COALESCED, .entry = { .model = "" }
	};

	remember_set_state(x, p->remember, CACHE_COALESCED, 0);
	if (e->code != ERR_CLIENT_GONE && !sink_has_begun(request_sink(x->rq)))
		return REMEMBER_REFUSED;
	exchange_note(x, 200, e->code);
	remember_settle(x, p, &f);
	if (e->code != ERR_CLIENT_GONE)
		end_in_vain(x, p, e);
	return REMEMBER_ANSWERED;
}

/* Follows who asked the same before, or leads. */
enum remember_end remember_join(struct exchange *x, struct paid *p, struct err *e)
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
			return remember_look_up(x, p) ? REMEMBER_ANSWERED : REMEMBER_ASK;
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
