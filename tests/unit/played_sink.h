/* tests/unit/played_sink.h - a client that a test plays: it collects, is full or gone as it is
 * told. */
#ifndef TESTS_UNIT_PLAYED_SINK_H
#define TESTS_UNIT_PLAYED_SINK_H

#include "base/sink.h"

struct played_sink {
	struct sink sink;
	struct buf got;
	int heads;
	int writes;
	int full_for; /* so many flushes say that it is full; < 0: all of them */
	int gone_at;  /* it is gone from this write on; 0 = it stays */
	bool gone;
};

static struct played_sink *played(const struct sink *s)
{
	return (struct played_sink *)(uintptr_t)s;
}

static enum sink_state played_begin(struct sink *s, const struct sink_head *head)
{
	(void)head;
	played(s)->heads++;
	return played(s)->gone ? SINK_GONE : SINK_OK;
}

static enum sink_state played_write(struct sink *s, struct slice bytes)
{
	struct played_sink *p = played(s);

	p->writes++;
	p->gone |= p->gone_at && p->writes >= p->gone_at;
	if (p->gone)
		return SINK_GONE;
	buf_slice_append(&p->got, bytes);
	return p->full_for ? SINK_FULL : SINK_OK;
}

static enum sink_state played_flush(struct sink *s)
{
	struct played_sink *p = played(s);

	if (p->gone)
		return SINK_GONE;
	if (p->full_for > 0)
		p->full_for--;
	return p->full_for ? SINK_FULL : SINK_OK;
}

static int played_fd(const struct sink *s)
{
	(void)s;
	return -1;
}

static bool played_is_gone(struct sink *s)
{
	return played(s)->gone;
}

static bool played_has_begun(const struct sink *s)
{
	return played(s)->heads > 0;
}

static struct played_sink played_sink(void)
{
	static const struct sink_ops ops = { played_begin, played_write, played_flush, played_fd,
		played_is_gone, played_has_begun };

	return (struct played_sink){ .sink = { &ops } };
}

#endif
