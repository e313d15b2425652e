#include "gateway/replay.h"

#include "base/clock.h"

#include <errno.h>
#include <poll.h>
#include <time.h>

#define LOOK_MS 100 /* where there is nothing to poll */

/* Sleeps up to ms, less when the descriptor has news. */
static void watch(int fd, short events, int64_t ms)
{
	struct pollfd p = { .fd = fd, .events = events };

	if (fd < 0 && ms > LOOK_MS)
		ms = LOOK_MS;
	(void)poll(&p, fd < 0 ? 0 : 1, (int)ms);
}

/* Until the client takes more. SINK_OK; SINK_GONE: it left, or took nothing for stall_ms. */
static enum sink_state wait_for_room(struct sink *s, int64_t stall_ms)
{
	int64_t until_ms = clock_mono_ms() + stall_ms, left;
	enum sink_state state;

	while ((state = sink_flush(s)) == SINK_FULL) {
		left = until_ms - clock_mono_ms();
		if (left <= 0)
			return SINK_GONE;
		watch(sink_fd(s), POLLOUT, left);
	}
	return state;
}

/* Its leaving is news, but so is the end of an input that says nothing (base/sink.h): the pause is
 * made all the same. */
static enum sink_state pause_ms(struct sink *s, int64_t ms)
{
	struct timespec t = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 };

	while (nanosleep(&t, &t) && errno == EINTR)
		;
	return sink_is_gone(s) ? SINK_GONE : SINK_OK;
}

enum sink_state replay_events(struct sink *s, struct slice events, const struct replay *how)
{
	enum sink_state state = SINK_OK;
	int64_t pace_ms = how->pace_ms;

	while (events.len && state != SINK_GONE) {
		const char *end = pace_ms ? memmem(events.ptr, events.len, "\n\n", 2) : NULL;
		size_t n = end ? (size_t)(end + 2 - events.ptr) : events.len;

		state = sink_write(s, slice_first(events, n));
		events = slice_from(events, n);
		if (state == SINK_FULL && events.len)
			state = wait_for_room(s, how->stall_ms);
		if (pace_ms && how->must_hurry && how->must_hurry(how->ctx))
			pace_ms = 0;
		if (state != SINK_GONE && pace_ms && events.len)
			state = pause_ms(s, pace_ms);
	}
	return state;
}
