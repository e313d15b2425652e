#include "gateway/upstream_inside.h"

#include <sys/epoll.h>

static void watch(struct pump *p, struct transfer *t, uint32_t bits)
{
	struct epoll_event ev = { .events = bits, .data.ptr = t };

	if (t->client_fd < 0 || bits == t->watching)
		return;
	if (!bits)
		epoll_ctl(p->epoll, EPOLL_CTL_DEL, t->client_fd, NULL);
	else
		epoll_ctl(p->epoll, t->watching ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, t->client_fd, &ev);
	t->watching = bits;
}

void pump_watch(struct pump *p, struct transfer *t)
{
	/* By edges: mod_cgid half-closes its socket behind the body, which stays a hang-up for
	 * ever. */
	watch(p, t, (uint32_t)EPOLLET | EPOLLIN | EPOLLRDHUP | (t->full ? (uint32_t)EPOLLOUT : 0u));
}

/* ---- whose client it is ---- */

void pump_take_client(struct pump *p, struct transfer *t, struct sink *client)
{
	struct job *j = t->job;
	const struct job_group *g = j->group;

	j->client = client;
	t->client_fd = client ? sink_fd(client) : -1;
	if (!client)
		return;
	/* Its last heartbeat may have been another job's, and so may be what it has not taken yet:
	 * without the flush nobody would send that until there is more. */
	if (g->last_write_ms) {
		t->last_write_ms = g->last_write_ms;
		if (j->heartbeat_ms > 0)
			pump_look_by(p, t->last_write_ms + j->heartbeat_ms);
	}
	t->full = sink_has_begun(client) && sink_flush(client) == SINK_FULL;
	if (!t->full)
		return;
	t->full_since_ms = g->full_since_ms ? g->full_since_ms : p->now_ms;
	t->room_due_ms = p->now_ms + ROOM_MS;
	pump_look_by(p, t->room_due_ms);
	pump_look_by(p, t->full_since_ms + j->client_stall_ms);
	pump_watch(p, t);
}

void pump_leave_client(struct pump *p, struct transfer *t)
{
	struct job_group *g = t->job->group;

	if (!t->job->client)
		return;
	watch(p, t, 0);
	t->client_fd = -1;
	g->last_write_ms = t->last_write_ms;
	g->full_since_ms = t->full ? t->full_since_ms : 0;
}

void job_overtake(struct job *j, struct job *other)
{
	bool runs = !job_has_ended(other);
	struct transfer *t = j->transfer;
	struct pump *p = t->pump;
	struct sink *client = other->client;

	if (runs) {
		struct job_order order = pump_take_order(p, other);
		struct transfer *loser = other->transfer;

		if (order.client)
			client = order.client;
		if (loser) {
			/* An operation of j may be a callback of curl's, which forbids to end
			 * another transfer there. */
			pump_leave_client(p, loser);
			if (!loser->overtaken) {
				loser->overtaken = true;
				loser->next_overtaken = p->overtaken;
				p->overtaken = loser;
			}
		} else {
			other->called_off = true;
		}
		other->client = NULL;
	}
	if (!client || client == j->client)
		return;
	pump_take_client(p, t, client);
	pump_watch(p, t);
}

/* ---- what it does ---- */

static void gone(struct pump *p, struct transfer *t)
{
	pump_end(p, t, err_set(&t->job->err, ERR_CLIENT_GONE, "the client has left"));
}

void pump_on_client(struct pump *p, struct transfer *t, uint32_t bits)
{
	struct job *j = t->job;
	enum sink_state state;

	/* Events of this round may be older than what the round has changed. */
	if (t->dead || !j || !j->client)
		return;
	if (bits & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR) && sink_is_gone(j->client)) {
		gone(p, t);
		return;
	}
	if (!(bits & EPOLLOUT) || !t->full)
		return;
	state = sink_flush(j->client);
	if (state == SINK_GONE) {
		gone(p, t);
		return;
	}
	if (state == SINK_FULL)
		return;
	t->full = false;
	t->last_byte_ms = t->last_write_ms = p->now_ms;
	pump_watch(p, t);
	pump_look_by(p, p->now_ms + SCAN_MS); /* the other limits count again */
	if (t->paused) {
		t->paused = false;
		/* What was held back is delivered in this call; its failure ends the transfer. */
		int failure = wire_resume(t);

		if (failure)
			pump_ended(p, t, failure);
	}
}
