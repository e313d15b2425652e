/* tests/fake/conn.h - a connection of the fake provider, and the timers of them all.
 * Header-only, see cue.h.
 */
#ifndef FAKE_CONN_H
#define FAKE_CONN_H

#include "tests/fake/answer.h"
#include "tests/fake/place.h"
#include "tests/fake/record.h"

#define HEAD_MAX ((size_t)64 << 10)
#define BODY_MAX ((size_t)128 << 20)
#define OUT_FULL ((size_t)64 << 10) /* no more is made while this much waits to be sent */

enum phase {
	READING, /* the next request */
	FIRST,   /* time to first token */
	EVENTS,
	ENDING, /* the last bytes wait to be sent */
	PARKED, /* silent until the peer leaves */
};

struct conn {
	int fd;
	enum phase phase;
	bool head_sent, chunked, close_at_end, reset_at_end, wants_write, told_continue;
	struct buf in, out;
	size_t out_at;
	struct answer *answer;
	struct record *record;
	uint32_t next; /* event */
	size_t bigline_left;
	int64_t first_ms; /* when FIRST ends */
	int64_t due_ms;   /* when to wake up */
	size_t heap_at;   /* 1-based place in the heap, 0 = no timer */
};

static struct {
	int epoll;
	size_t open;
	uint64_t answers;
	struct records records;
	struct places places;
	struct conn **heap; /* [1..n], the earliest first */
	size_t heap_n, heap_cap;
} fake;

/* Timers: a binary heap that knows where each connection stands. */

static void heap_put(size_t at, struct conn *c)
{
	fake.heap[at] = c;
	c->heap_at = at;
}

static void heap_settle(size_t at)
{
	struct conn *c = fake.heap[at];
	size_t child;

	while (at > 1 && fake.heap[at / 2]->due_ms > c->due_ms) {
		heap_put(at, fake.heap[at / 2]);
		at /= 2;
	}
	while ((child = 2 * at) <= fake.heap_n) {
		if (child < fake.heap_n && fake.heap[child + 1]->due_ms < fake.heap[child]->due_ms)
			child++;
		if (fake.heap[child]->due_ms >= c->due_ms)
			break;
		heap_put(at, fake.heap[child]);
		at = child;
	}
	heap_put(at, c);
}

static void timer_stop(struct conn *c)
{
	size_t at = c->heap_at;
	struct conn *last;

	if (!at)
		return;
	c->heap_at = 0;
	last = fake.heap[fake.heap_n--];
	if (last == c)
		return;
	heap_put(at, last);
	heap_settle(at);
}

static void timer_start(struct conn *c, int64_t due_ms)
{
	timer_stop(c);
	c->due_ms = due_ms;
	if (fake.heap_n + 2 > fake.heap_cap) {
		fake.heap_cap = fake.heap_cap ? 2 * fake.heap_cap : 1024;
		fake.heap = realloc(fake.heap, fake.heap_cap * sizeof(struct conn *));
		if (!fake.heap)
			abort();
	}
	heap_put(++fake.heap_n, c);
	heap_settle(fake.heap_n);
}

#endif
