/* store/journal.h - the truth: segments of 256-byte records, only ever appended to.
 *
 * HOME/journal.NNNNNNNN, numbered without gaps. When journal_append returns, the record
 * survives the death of any process; it survives a power cut after the next sync.
 *
 *  - Only the folder makes segments (journal_create); an appender never does, or one with a
 *    stale number would bring a dropped segment back, empty.
 *  - An appender holds the segment's flock shared during its write and looks again whether the
 *    segment is still the current one; who closes it asks for the lock alone, after the next
 *    one was named. Locks are only ever asked for, never waited for, so a stopped process
 *    stops nobody.
 *  - Room for a piece of the segment is asked from the disk beforehand (KEEP_SIZE), so that
 *    requests already admitted can be settled when the disk is full.
 *  - A bad record at the end of the current segment is "not there yet". In a closed one it is
 *    skipped, counted, and the search goes on byte by byte.
 *
 * Descriptors: a process keeps JOURNAL_PENS open ones, each used by one thread at a time (the
 * lock belongs to the descriptor).
 * Threads: journal_append any; the rest one at a time. Blocking: on the disk.
 * Source: store-lab.md sections 2.1, 3.3, 3.4.
 */
#ifndef STORE_JOURNAL_H
#define STORE_JOURNAL_H

#include "store/home.h"
#include "store/record.h"

#include <pthread.h>

#define JOURNAL_PENS        8
#define JOURNAL_ROOM        (UINT64_C(1) << 20) /* bytes asked from the disk at a time */
#define JOURNAL_FORMAT      1
#define JOURNAL_CLOSE_TRIES 1000

struct journal_pen {
	pthread_mutex_t lock;
	int fd;
	uint64_t segment;
};

struct journal {
	char home[HOME_PATH_MAX];
	uint8_t store[16]; /* identity, made with the store */
	struct journal_pen pens[JOURNAL_PENS];
};

/* Opens the journal of home: checks the folder and its file system, reads HOME/ledger.format
 * or makes it. ERR_STORE: a network file system, a newer format, foreign or open files. */
MUST_CHECK enum err_code journal_open(struct journal *j, const char *home, struct err *e);
void journal_close(struct journal *j);

/* Which segments there are: *n of them, from *first to *last; 0 when none. */
MUST_CHECK enum err_code journal_list(
	const struct journal *j, uint64_t *first, uint64_t *last, uint64_t *n, struct err *e);

/* The segments *first..last must all be there: else ERR_STORE naming the missing one. */
MUST_CHECK enum err_code journal_is_complete(
	const struct journal *j, uint64_t first, uint64_t last, struct err *e);

/* Makes segment n with its head record, durably, and asks for room (*room bytes in all). One
 * that is there already (its maker was killed before naming it) is taken as it is. */
MUST_CHECK enum err_code journal_create(
	const struct journal *j, uint64_t n, int64_t wall_ms, uint64_t *room, struct err *e);

/* Asks for room up to want bytes in all. ERR_STORE when the disk is full. */
MUST_CHECK enum err_code journal_ask_room(
	const struct journal *j, uint64_t n, uint64_t want, uint64_t *room, struct err *e);

/* Seals r and appends it to segment *current, a word that others may change meanwhile; with sync,
 * waits until it is on the disk (*sync_failed if it may not be: it is written all the same).
 * ERR_STORE: nothing was appended. ERR_BUSY: the segment kept changing. */
MUST_CHECK enum err_code journal_append(struct journal *j, const uint64_t *current,
	struct record *r, bool sync, bool *sync_failed, struct err *e);

/* Brings what was written to a segment to the disk. A segment that is gone was folded: fine. */
MUST_CHECK enum err_code journal_sync(const struct journal *j, uint64_t segment, struct err *e);

/* Opens a segment to read; the caller closes *fd. ERR_NOT_FOUND. */
MUST_CHECK enum err_code journal_read_open(
	const struct journal *j, uint64_t segment, int *fd, struct err *e);

/* Is an appender possibly still inside? Only for a segment that is no longer current. */
bool journal_is_closed(int fd);

/* Receives a record, its segment and its place; anything but ERR_OK stops the scan. */
typedef enum err_code (*journal_on_record)(
	void *ctx, const struct record *r, uint64_t segment, uint64_t offset, struct err *e);

struct journal_scan {
	uint64_t offset;      /* in: where to begin; out: behind the last byte looked at */
	uint64_t until;       /* read no further; 0 = to the end */
	bool closed;          /* skip what is bad (else stop there) */
	uint64_t records;     /* out: whole ones, the head not counted */
	uint64_t skipped;     /* out: bytes */
	bool bad_before_good; /* out: stopped at a bad record behind which there is a whole one */
};

/* Calls on_record for every whole record of the segment but its head. ERR_STORE: not of this
 * store, a newer format, or cannot be read. */
MUST_CHECK enum err_code journal_scan(const struct journal *j, int fd, uint64_t segment,
	struct journal_scan *s, journal_on_record on_record, void *ctx, struct err *e);

/* Reads the one record at offset. ERR_NOT_FOUND when it is not whole. */
MUST_CHECK enum err_code journal_read(const struct journal *j, uint64_t segment, uint64_t offset,
	struct record *r, struct err *e);

/* Removes a segment that nobody needs any more. */
MUST_CHECK enum err_code journal_remove(const struct journal *j, uint64_t segment, struct err *e);

MUST_CHECK enum err_code journal_path(
	const struct journal *j, uint64_t segment, char out[HOME_PATH_MAX], struct err *e);

#endif
