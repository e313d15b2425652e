/* fcgi/out.h - the way out of one request: head, body and end, framed for FastCGI or plain for
 * CGI, on a descriptor that is never waited for except in out_finish().
 *
 * A whole answer leaves in one sendmsg() where the descriptor takes it. What it does not take is
 * kept, and from then on the sink says SINK_FULL until all of that has gone: the descriptor's own
 * buffer (about 200 KB) is the cushion, and nothing can lie here without somebody waiting for
 * the descriptor to become writable.
 *
 * The head leaves together with the first bytes of the body, since several web servers hold a
 * lone head back and take the program for silent (hosting-lab.md section 1). A head above
 * OUT_HEAD_MAX, which nginx would refuse, becomes a plain 500.
 *
 * Ownership: the struct is the owner's, out_fini() frees what waits; the descriptor is only used.
 * Threads:   one at a time.
 */
#ifndef FCGI_OUT_H
#define FCGI_OUT_H

#include "base/sink.h"

#define OUT_HEAD_MAX ((size_t)4 << 10)  /* bytes of a header block */
#define OUT_WAIT_MAX ((size_t)32 << 20) /* bytes kept; a caller that goes on beyond is cut off */

struct out {
	struct sink sink; /* first: the sink's functions find the rest behind it */
	int fd;
	uint16_t request_id;
	bool framed;     /* FastCGI records on a socket; else plain bytes on a pipe (CGI) */
	bool is_head;    /* the method is HEAD: bodies are left out */
	bool input_over; /* the web server's input was read to its end: more is no body */
	bool begun;
	bool gone;   /* the client has left, or was given up */
	bool broken; /* the head was refused and a 500 took its place */
	bool is_full;
	uint64_t bytes; /* of bodies that were taken */
	struct buf wait;
	size_t sent; /* bytes of wait that have gone out */
	/* The record that is being read while the client is watched. */
	uint8_t record[8];
	unsigned record_len;
	unsigned skip;
};

void out_init(struct out *o, int fd, bool framed, uint16_t request_id);
void out_fini(struct out *o);

/* Sends body (lent, may be empty) and the end of the answer, after out's sink_begin(); waits
 * until deadline_mono_ms at most. ERR_CLIENT_GONE, or ERR_INTERNAL when a 500 was sent. */
MUST_CHECK enum err_code out_finish(
	struct out *o, struct slice body, int64_t deadline_mono_ms, struct err *e);

/* The web server wants a role that this program does not have. */
void out_refuse_role(struct out *o);

#endif
