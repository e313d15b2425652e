/* handlers/common/remember.h - the caches' part in a request that costs something (paid.h).
 *
 *     rc = remember_begin(x, p, &e)     what client and body want of the cache
 *     …                                 routed, admitted
 *     switch (remember_look(x, p, &e))  is there an answer, or one on its way?
 *     …                                 providers are asked through remember_sink()
 *     paid_settle(x, p)
 *     remember_keep(x, p, rc)           the answer is remembered, and given to who waits for it
 *     remember_fini(p)
 *
 * Without a cache or coalescing, and without a wish of the client, p->remember stays NULL and none
 * of this does anything. Trouble with a cache is a miss, and a line in the log.
 */
#ifndef HANDLERS_COMMON_REMEMBER_H
#define HANDLERS_COMMON_REMEMBER_H

#include "handlers/common/paid.h"

/* Takes `cache` out of the body. ERR_BAD_REQUEST, ERR_NO_MEMORY. */
MUST_CHECK enum err_code remember_begin(struct exchange *x, struct paid *p, struct err *e);

enum remember_end {
	REMEMBER_ASK,      /* providers are to be asked */
	REMEMBER_ANSWERED, /* the client has its answer, and the books know */
	REMEMBER_REFUSED,  /* nothing was used: *e is to be told */
};
/* Adds X-Cache and its kin to x->head. */
MUST_CHECK enum remember_end remember_look(struct exchange *x, struct paid *p, struct err *e);

/* Is it of use to anybody but the client, if it is whole? */
bool remember_is_for_others(const struct paid *p);

/* What providers' answers are written to, in place of client. */
struct sink *remember_sink(struct paid *p, struct sink *client);

/* This one answers: its first words go out. On the pump's thread. */
void remember_speaker(struct paid *p, const struct route *route);

/* Events that the client has already, from one who was followed and is lost; mostly empty. */
struct slice remember_spoken(const struct paid *p);

/* From now on this is another request, which has no part in any of it. */
void remember_stop(struct paid *p);

/* rc: how the answer ended. */
void remember_keep(struct exchange *x, struct paid *p, enum err_code rc);

/* Has the client left, while the call went on for others? */
bool remember_client_is_gone(const struct paid *p);

void remember_fini(struct paid *p);

#endif
