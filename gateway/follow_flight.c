#include "gateway/follow_flight.h"

#include "base/clock.h"

#include <poll.h>

struct following {
	const struct follow_call *call;
	const struct flight_who *who;
	struct buf *spoken;
	int64_t written_ms; /* monotonic: when the client was last told something */
	int64_t looked_ms;  /* monotonic: when that was last looked at which ends it */
};

static enum follow_end gone(struct err *e)
{
	(void)!err_set(e, ERR_CLIENT_GONE, "the client has left");
	return FOLLOW_CLIENT_GONE;
}

static enum follow_end late(struct err *e)
{
	(void)!err_set(
		e, ERR_UPSTREAM_TIMEOUT, "the answer took longer than allowed (GATEWAY_DEADLINE)");
	return FOLLOW_TIMEOUT;
}

/* Is it over, whatever comes? FOLLOW_WHOLE: no. */
static enum follow_end look(const struct follow_call *call, int64_t now_ms, struct err *e)
{
	if (sink_is_gone(call->client))
		return gone(e);
	if (now_ms >= call->deadline_mono_ms)
		return late(e);
	if (!call->must_end || !call->must_end(call->ctx))
		return FOLLOW_WHOLE;
	(void)!err_set(e, ERR_BUSY, "the gateway is being restarted: send the request again");
	return FOLLOW_TIMEOUT;
}

/* Waits until the client has taken what it was sent. FOLLOW_WHOLE: it has. */
static enum follow_end make_room(const struct following *f, struct err *e)
{
	const struct follow_call *call = f->call;
	int64_t since_ms = clock_mono_ms();
	struct pollfd fd = { .fd = sink_fd(call->client), .events = POLLOUT };
	enum sink_state state;

	while ((state = sink_flush(call->client)) == SINK_FULL) {
		int64_t now_ms = clock_mono_ms();
		enum follow_end end = look(call, now_ms, e);

		if (end != FOLLOW_WHOLE)
			return end;
		if (now_ms - since_ms >= call->client_stall_ms) {
			(void)!err_set(e, ERR_CLIENT_GONE,
				"the client took nothing for too long (GATEWAY_CLIENT_STALL)");
			return FOLLOW_CLIENT_GONE;
		}
		(void)poll(&fd, 1, FOLLOW_SLICE_MS);
	}
	return state == SINK_GONE ? gone(e) : FOLLOW_WHOLE;
}

/* FOLLOW_WHOLE: the client has it. */
static enum follow_end tell(struct following *f, struct slice bytes, struct err *e)
{
	const struct follow_call *call = f->call;
	enum sink_state state = SINK_OK;
	enum follow_end end = FOLLOW_WHOLE;

	if (!sink_has_begun(call->client))
		state = call->begin(call->ctx, f->who);
	if (state != SINK_GONE)
		state = sink_write(call->client, bytes);
	if (state == SINK_GONE)
		return gone(e);
	if (state == SINK_FULL)
		end = make_room(f, e);
	f->written_ms = clock_mono_ms();
	return end;
}

static enum follow_end lost(const struct following *f)
{
	return f->spoken->len ? FOLLOW_LOST_SPOKEN : FOLLOW_LOST_SILENT;
}

static bool accepts(const struct following *f, const struct flight_who *who)
{
	return !f->call->accepts || f->call->accepts(f->call->ctx, who);
}

static enum follow_end take_events(struct following *f, struct slice events, struct err *e)
{
	if (!f->spoken->len && !accepts(f, f->who))
		return FOLLOW_LOST_SILENT;
	if (!f->call->stream)
		return FOLLOW_WHOLE;
	buf_slice_append(f->spoken, events);
	if (!buf_ok(f->spoken))
		return lost(f);
	return tell(f, events, e);
}

/* What else is due. FOLLOW_WHOLE: it goes on. */
static enum follow_end beat(struct following *f, int64_t now_ms, struct err *e)
{
	const struct follow_call *call = f->call;

	if (now_ms - f->looked_ms >= FOLLOW_SLICE_MS / 2 || now_ms >= call->deadline_mono_ms) {
		enum follow_end end = look(call, now_ms, e);

		f->looked_ms = now_ms;
		if (end != FOLLOW_WHOLE)
			return end;
	}
	if (!call->stream || !call->heartbeat_ms || now_ms - f->written_ms < call->heartbeat_ms)
		return FOLLOW_WHOLE;
	return tell(f, SLICE(": keep-alive\n\n"), e);
}

/* Until the next thing that has to be looked at. */
static int64_t slice_ms(const struct following *f, int64_t now_ms)
{
	const struct follow_call *call = f->call;
	int64_t ms = FOLLOW_SLICE_MS;

	if (call->deadline_mono_ms - now_ms < ms)
		ms = call->deadline_mono_ms - now_ms;
	if (call->stream && call->heartbeat_ms && f->written_ms + call->heartbeat_ms - now_ms < ms)
		ms = f->written_ms + call->heartbeat_ms - now_ms;
	return ms > 0 ? ms : 0;
}

/* The leader's answer is complete. */
static enum follow_end take_entry(const struct following *f, const struct cache_entry *entry)
{
	struct flight_who who = { .model = "" };

	memcpy(who.model, entry->model, sizeof(who.model));
	memcpy(who.provider, entry->provider, sizeof(who.provider));
	return f->spoken->len || accepts(f, &who) ? FOLLOW_WHOLE : FOLLOW_LOST_SILENT;
}

enum follow_end follow_flight(struct flight *flight, const struct follow_call *call,
	struct buf *spoken, struct buf *room, struct cache_entry *entry, struct flight_who *who,
	struct err *e)
{
	int64_t now_ms = clock_mono_ms();
	struct following f = { .call = call, .who = who, .spoken = spoken, .written_ms = now_ms };
	enum follow_end end = FOLLOW_WHOLE;

	*who = (struct flight_who){ .model = "" };
	while (end == FOLLOW_WHOLE) {
		buf_reset(room);
		switch (flight_read(flight, room, who, entry, slice_ms(&f, now_ms))) {
		case FLIGHT_WHOLE:
			return take_entry(&f, entry);
		case FLIGHT_LOST:
			return lost(&f);
		case FLIGHT_MORE:
			end = take_events(&f, buf_slice(room), e);
			break;
		case FLIGHT_QUIET:
			break;
		}
		now_ms = clock_mono_ms();
		if (end == FOLLOW_WHOLE)
			end = beat(&f, now_ms, e);
	}
	return end;
}
