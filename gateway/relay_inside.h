/* gateway/relay_inside.h - the inside of an attempt, for its two halves: relay.c, which the request
 * thread runs before and after the transfer, and relay_stream.c, which the pump runs meanwhile.
 * Nobody else.
 */
#ifndef GATEWAY_RELAY_INSIDE_H
#define GATEWAY_RELAY_INSIDE_H

#include "base/aws_frames.h"
#include "gateway/relay.h"
#include "gateway/sign.h"

#include <stdatomic.h>

#define RELAY_OUT_EXTRA (1 << 20) /* bytes that one read of many small events may grow to */

/* What the body of the answer is being read as. */
enum body {
	BODY_UNKNOWN, /* no head yet */
	BODY_EVENTS,  /* a stream of events */
	BODY_WHOLE,   /* one JSON text, collected */
	BODY_REFUSAL, /* status >= 400, collected up to ERROR_BODY_MAX */
};

struct relay {
	struct relay_call call;
	const struct relay_conf *conf;
	struct pump *pump;
	struct job_group *group;
	struct dialect dialect;
	struct sse sse;
	struct aws_frames frames; /* instead of sse, for those who part events so */
	struct buf body;          /* what is collected */
	struct buf out;           /* events on their way to the client */
	struct sign sign;
	struct http_req http;
	struct job job;
	enum body kind;
	bool begun;       /* a first byte of the body has come */
	bool worded;      /* something was said: text, or a finish reason */
	bool ended;       /* nothing more is to come */
	bool spoke;       /* its content has gone out */
	bool whole_ready; /* out holds a whole stream that nobody has sent */
	int64_t deadline_mono_ms;
	bool mended;
	int64_t ttft_us;
	uint64_t tokens; /* events with text */
	uint64_t bytes_in;
	size_t text_bytes;
	int status; /* what the provider said, in the end */
	_Atomic bool heard;
};

extern const struct job_ops relay_ops;

/* Sends what stands in out: all events of one read at once. ERR_OVERTAKEN: another has spoken. */
enum job_next relay_send_out(struct relay *r, struct err *e);

/* Appends an answer or a chunk, a JSON object, with the name of its provider in it. A router's own
 * word, who served it there, stays. */
void relay_put_named(const struct relay *r, struct slice json, struct buf *out);

/* Ends the event that began at byte begin of out. A provider may lay its JSON out in lines; here a
 * line's end would be the end of the data. Inside JSON it is never more than a blank. */
void relay_end_event(struct buf *out, size_t begin);

#endif
