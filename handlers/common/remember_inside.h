/* handlers/common/remember_inside.h - the inside of remember.h, for its parts: remember.c, which
 * looks for answers and keeps them, remember_give.c, which gives the client one that is there, and
 * remember_follow.c, which waits for one that is on its way. Nobody else.
 */
#ifndef HANDLERS_COMMON_REMEMBER_INSIDE_H
#define HANDLERS_COMMON_REMEMBER_INSIDE_H

#include "gateway/cache_key.h"
#include "gateway/semantic.h"
#include "gateway/tee.h"
#include "handlers/common/remember.h"

#define REMEMBER_EXTRA 65536 /* bytes beside an answer: its head, its usage, what is put in */

struct remember {
	struct cache_wish wish;
	struct cache_tenant tenant;
	struct cache_key key;
	struct cache *cache; /* NULL: nothing is remembered */
	struct flight *flight;
	bool keeps; /* the answer is to be remembered */
	bool teed;
	struct tee tee;
	struct semantic semantic;
	struct buf room;   /* of the entry that was found */
	struct buf spoken; /* events that this client got of a leader who was lost */
};

/* How an answer came to be there. */
struct found {
	const char *state; /* "HIT" */
	enum cache_event event;
	double similarity; /* 0 = it is the very same question */
	struct cache_entry entry;
};

/* ---- remember_give.c ---- */

/* Adds to the head. */
void remember_tell(struct exchange *x, const char *state);
void remember_tell_key(struct exchange *x, const struct cache_key *key);

/* For the log and the cache's figures. */
void remember_set_state(
	struct exchange *x, struct remember *r, enum cache_event event, int64_t saved_microusd);

/* Settles, and gives the client an answer that is there, from its beginning. Not ERR_OK: it is of
 * no use, and nothing was done. */
MUST_CHECK enum err_code remember_give(struct exchange *x, struct paid *p, const struct found *f);

/* Settles, and gives the end of a stream that has these events already. */
void remember_give_ending(
	struct exchange *x, struct paid *p, const struct found *f, struct slice events);

/* A request that gets no answer, but was admitted. */
void remember_settle(struct exchange *x, struct paid *p, const struct found *f);

MUST_CHECK enum sink_state remember_begin_stream(struct exchange *x);
void remember_end_stream(struct exchange *x, enum sink_state state, struct slice ending);

/* ---- remember.c ---- */

/* Gives the answer to the very same question, if it is remembered. */
MUST_CHECK bool remember_look_up(struct exchange *x, struct paid *p);

/* ---- remember_follow.c ---- */

/* Follows who asked the same before, or leads: then r->flight is set. */
MUST_CHECK enum remember_end remember_join(struct exchange *x, struct paid *p, struct err *e);

#endif
