/* gateway/follow_flight.h - what the thread of a request does that follows another, identical one:
 * the events of a stream go to its client as they come, with heartbeats in between; a client that
 * reads a whole answer is kept waiting until there is one.
 *
 * A client that does not take more is not read for: what it has not got stays where the leader put
 * it. What it got is kept, so that the answer can be gone on with when the leader is lost
 * (attempts.h: spoken).
 *
 * Blocking: until the end, at most to the deadline. The client's leaving is noticed within
 *           FOLLOW_SLICE_MS. Threads: the request's own.
 */
#ifndef GATEWAY_FOLLOW_FLIGHT_H
#define GATEWAY_FOLLOW_FLIGHT_H

#include "base/sink.h"
#include "store/flights.h"

#define FOLLOW_SLICE_MS 100

struct follow_call {
	struct sink *client;
	bool stream; /* it reads one */
	/* Begins the answer of a stream, with the first events or the first heartbeat, which may
	 * come before it is known who answers: who is all empty then. */
	enum sink_state (*begin)(void *ctx, const struct flight_who *who);
	/* May the client have an answer of these? Asked before any of it goes out; NULL = of all.
	 */
	bool (*accepts)(void *ctx, const struct flight_who *who);
	void *ctx;
	int64_t heartbeat_ms;     /* 0 = none */
	int64_t client_stall_ms;  /* > 0: so long a client may take nothing */
	int64_t deadline_mono_ms; /* monotonic */
	/* Has this process to end now? Asked every FOLLOW_SLICE_MS; NULL = it never has. */
	bool (*must_end)(void *ctx);
};

enum follow_end {
	FOLLOW_WHOLE,       /* *entry is the answer; of a stream all events were delivered */
	FOLLOW_LOST_SILENT, /* the leader is lost, or who answers it is not accepted; nothing but
			     * heartbeats was delivered */
	FOLLOW_LOST_SPOKEN, /* the same after the events that stand in spoken */
	FOLLOW_CLIENT_GONE, /* *e says why */
	FOLLOW_TIMEOUT,     /* the deadline has passed, or the process must end: *e */
};

/* spoken: the events that were delivered are appended; more than it takes are not delivered, and
 * count as the leader's loss. Of FOLLOW_WHOLE without any the caller gives the client entry->body.
 * The slices of *entry stand in room, which is reset. *who is set to who answered, as far as that
 * is known. The flight is not ended here. */
MUST_CHECK enum follow_end follow_flight(struct flight *f, const struct follow_call *call,
	struct buf *spoken, struct buf *room, struct cache_entry *entry, struct flight_who *who,
	struct err *e);

#endif
