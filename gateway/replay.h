/* gateway/replay.h - writes a remembered stream to a client, with back-pressure.
 *
 * Blocking: until all is written, or the sink holds it; up to stall_ms while the client takes
 * nothing, and pace_ms between two events while there is time. Threads: the request thread, which
 * has the sink.
 */
#ifndef GATEWAY_REPLAY_H
#define GATEWAY_REPLAY_H

#include "base/sink.h"

struct replay {
	int64_t pace_ms; /* 0 = at once */
	int64_t stall_ms;
	/* Is there no time for pauses any more? Asked before each; NULL = there always is. */
	bool (*must_hurry)(void *ctx);
	void *ctx;
};

/* events: whole ones. */
MUST_CHECK enum sink_state replay_events(
	struct sink *s, struct slice events, const struct replay *how);

#endif
