/* base/aws_frames.h - events in binary frames (application/vnd.amazon.eventstream), read from bytes
 * cut anywhere.
 *
 *     offset 0   total length N, 4 bytes, big endian like all numbers here
 *            4   length of the headers H, 4 bytes
 *            8   CRC-32 of bytes 0..7
 *           12   headers: name length (1 byte), name, type (1 byte), value
 *         12+H   payload
 *          N-4   CRC-32 of bytes 0..N-5
 *
 * Both checksums are verified before anything is believed. An event is called what its :event-type
 * says. An exception or error is called "!" and its :exception-type or :error-code; an error's
 * message becomes the data {"message":"…"}, since such frames have no payload.
 *
 * Ownership: the reader keeps at most one frame in its buffer; aws_frames_fini() frees it. A frame
 *            that arrives whole in one feed is lent straight from the caller's bytes.
 * Threads:   one at a time.
 */
#ifndef BASE_AWS_FRAMES_H
#define BASE_AWS_FRAMES_H

#include "base/sse.h"

struct aws_frames {
	struct buf frame;       /* of a frame that began in an earlier feed */
	size_t max_frame_bytes; /* ceiling on a whole frame */
	bool broken;            /* a frame was wrong: where the next begins is unknown */
};

/* max_frame_bytes 16..1 GiB. */
void aws_frames_init(struct aws_frames *f, size_t max_frame_bytes);
void aws_frames_fini(struct aws_frames *f);

/* Feeds n bytes; on_event gets each event, whose data may be empty here. ERR_UPSTREAM_TOO_LARGE
 * for a frame above the ceiling, before it is read; ERR_UPSTREAM_INVALID for a wrong checksum,
 * length or header; otherwise what on_event returned. Whatever is fed after an error is refused. */
MUST_CHECK enum err_code aws_frames_feed(struct aws_frames *f, const char *bytes, size_t n,
	sse_on_event on_event, void *ctx, struct err *e);

/* The stream has ended: was it in the middle of a frame? The reader is then ready for another
 * stream. */
bool aws_frames_end(struct aws_frames *f);

#endif
