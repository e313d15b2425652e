/* base/sink.h - where an answer goes: the door between the stages of a request and the web
 * server's side, which otherwise never meet. fcgi/ has the real one, unit tests collect.
 *
 * An answer is: begin once, write any number of times, end once. Before begin nothing has
 * reached the client and the status can still be anything.
 *
 * Blocking:  never. What the client does not take yet is kept in the sink (a bounded amount:
 *            the caller stops writing while sink_is_full()).
 * Threads:   one thread at a time; the pump thread while a job runs, else the request thread.
 * Ownership: whoever made the sink ends it. Heads and slices are used during the call only.
 */
#ifndef BASE_SINK_H
#define BASE_SINK_H

#include "base/buf.h"

struct sink_head {
	int status; /* 100..599 */
	const char *content_type;
	struct slice
		extra;  /* whole header lines "Name: value\r\n", made by head_add(); may be empty */
	bool streaming; /* an event stream: flush the head with the first bytes, never buffer */
	int64_t length; /* bytes of the body when known, -1 when not */
};

enum sink_state {
	SINK_OK,   /* taken: sent, or kept while less than the ceiling is waiting */
	SINK_FULL, /* taken, but the client is slow: write no more until writable */
	SINK_GONE, /* the client has left; nothing more can be sent, ever */
};

struct sink {
	const struct sink_ops *ops;
};

struct sink_ops {
	enum sink_state (*begin)(struct sink *s, const struct sink_head *head);
	enum sink_state (*write)(struct sink *s, struct slice bytes);
	/* Tries again to send what waits. */
	enum sink_state (*flush)(struct sink *s);
	/* The descriptor to watch for EPOLLIN | EPOLLRDHUP (the client's leaving) and, while full,
	 * EPOLLOUT; -1 when there is none to watch. Watch it edge-triggered (EPOLLET): under
	 * Apache's mod_cgid its input has ended for good before the program starts, which
	 * says nothing about the client and would wake a level-triggered watcher for ever. */
	int (*fd)(const struct sink *s);
	/* Called when the descriptor is readable or hung up: has the client left? */
	bool (*is_gone)(struct sink *s);
	/* Has begin been called? */
	bool (*has_begun)(const struct sink *s);
};

static inline enum sink_state sink_begin(struct sink *s, const struct sink_head *head)
{
	return s->ops->begin(s, head);
}
static inline enum sink_state sink_write(struct sink *s, struct slice bytes)
{
	return s->ops->write(s, bytes);
}
static inline enum sink_state sink_flush(struct sink *s)
{
	return s->ops->flush(s);
}
static inline int sink_fd(const struct sink *s)
{
	return s->ops->fd(s);
}
static inline bool sink_is_gone(struct sink *s)
{
	return s->ops->is_gone(s);
}
static inline bool sink_has_begun(const struct sink *s)
{
	return s->ops->has_begun(s);
}

/* Appends "Name: value\r\n" to a header block. A name or value with CR, LF, NUL or another
 * control byte, or a name that is no token (RFC 9110 section 5.1), is refused: false, nothing
 * appended. */
bool head_add(struct buf *block, const char *name, const char *value);

#endif
