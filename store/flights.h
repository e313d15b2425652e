/* store/flights.h - identical requests in flight share one upstream call, over all processes of
 * this host (and, with Redis, over all hosts).
 *
 * The first to ask leads: it makes the call and hands on what it gets. Whoever asks the same
 * meanwhile follows: it gets everything from the beginning at once, then what comes as it comes,
 * and at the end the entry, which says what the answer cost. A table in shared memory says who
 * leads; a leader nobody follows writes nothing but its own place in that table and its own memory.
 *
 * When the leader's process dies, or it fails, followers are told, and ask again: one of them leads
 * then. Leading and following both end with flight_end(); nothing is waited for that is dead.
 *
 * A table that is full, damaged or of another program means that everybody flies alone: never an
 * error of the request.
 * Blocking: join, write, end: a few file operations, never another process. read: as told.
 * Threads:  a flight belongs to one thread at a time; flight_write() may come from the pump's.
 */
#ifndef STORE_FLIGHTS_H
#define STORE_FLIGHTS_H

#include "store/cache.h"

struct flights;
struct flight;

struct flights_conf {
	const char *home;    /* exists already */
	struct redis *redis; /* NULL = this host alone; lent */
	size_t max_bytes; /* of one answer; a longer one has no followers: those there are told */
};

MUST_CHECK enum err_code flights_open(
	struct flights **out, const struct flights_conf *conf, struct err *e);
void flights_close(struct flights *f); /* no flight of it may be open; NULL is fine */

enum flight_role {
	FLIGHT_ALONE, /* nothing is shared: *out is NULL */
	FLIGHT_LEADS,
	FLIGHT_FOLLOWS,
};
/* lead: may lead; else follows or flies alone. */
MUST_CHECK enum flight_role flight_join(
	struct flights *f, const struct cache_key *key, bool lead, struct flight **out);

/* ---- the leader ---- */

/* Who answers: known when the first words go out; before flight_write(). */
struct flight_who {
	char model[CACHE_MODEL_MAX];
	char provider[CACHE_SLUG_MAX];
};
void flight_begin(struct flight *f, const struct flight_who *who);
/* Events of a stream, whole ones ("data: {…}\n\n"), in order. Copies them. */
void flight_write(struct flight *f, struct slice events);
/* Does anybody follow now? */
bool flight_is_followed(const struct flight *f);

/* ---- a follower ---- */

enum flight_news {
	FLIGHT_QUIET, /* nothing new until the time was up */
	FLIGHT_MORE,  /* events were appended to out */
	FLIGHT_WHOLE, /* the answer is complete: *entry is its entry; slices in it stand in out,
		       * behind what was there */
	FLIGHT_LOST,  /* the leader failed, died or gave up sharing: ask for oneself */
};
/* Waits up to wait_ms (0..60000) for news. who is filled at the first FLIGHT_MORE or at
 * FLIGHT_WHOLE. Events may come in the same FLIGHT_MORE as much as there is, up to 1 MiB. */
MUST_CHECK enum flight_news flight_read(struct flight *f, struct buf *out, struct flight_who *who,
	struct cache_entry *entry, int64_t wait_ms);

/* ---- both ---- */

/* Ends it, and frees f. entry: the leader's, of a complete answer, which its followers get (also
 * one that may not be remembered); NULL: there is none, or this is a follower. */
void flight_end(struct flight *f, const struct cache_entry *entry);

#endif
