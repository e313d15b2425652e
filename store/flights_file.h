/* store/flights_file.h - the inside of flights_host.c: the file through which a leader hands on its
 * answer. It is only ever appended to, in frames with a checksum: a reader takes what has come
 * whole, and what a dead writer left half written never is.
 *
 * Frames: who answers; events, whole ones; and at the end the entry, with the count of bytes that
 * all events have, so that an answer with a gap is none.
 *
 * Blocking: a write or a few reads of a file in memory.
 */
#ifndef STORE_FLIGHTS_FILE_H
#define STORE_FLIGHTS_FILE_H

#include "store/flights_table.h"

#define FLIGHT_PIECE_BYTES ((size_t)256 << 10) /* of a frame, if the events can be parted so */
#define FLIGHT_READ_BYTES  ((size_t)1 << 20)   /* of events that are read at once */

enum flight_frame { FLIGHT_WHO = 1, FLIGHT_EVENTS, FLIGHT_ENTRY };

struct flight_file {
	int fd;                /* -1 = none yet */
	uint64_t at;           /* the next frame */
	uint64_t events_bytes; /* in the frames before */
};

/* ---- the leader; false: it is of no use any more ---- */

MUST_CHECK bool flight_file_make(struct flight_file *f, const struct flight_map *m,
	struct flight_place p, const struct cache_key *key);
MUST_CHECK bool flight_file_put(
	struct flight_file *f, enum flight_frame frame, struct slice payload);
/* Events of any length. */
MUST_CHECK bool flight_file_put_events(struct flight_file *f, struct slice events);

/* ---- a follower ---- */

/* False: there is none, and never will be one for us; f->fd < 0 on true: not yet. */
MUST_CHECK bool flight_file_open(struct flight_file *f, const struct flight_map *m,
	struct flight_place p, const struct cache_key *key);
/* Appends the payload of the next frame; 0: it is not there yet, or not whole; -1: it does not fit
 * into out, or can be none. */
MUST_CHECK int flight_file_take(struct flight_file *f, enum flight_frame *frame, struct buf *out);

void flight_file_close(struct flight_file *f);

#endif
