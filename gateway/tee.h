/* gateway/tee.h - a client's sink that keeps what goes through it: for remembering the answer, and
 * for those who follow the request.
 *
 * What is kept are the events of a stream, without comments; nothing of a client that reads a whole
 * answer, which does not come through a sink. When the client leaves while others follow, the
 * sink does not say so: the call goes on for them, and tee_client_is_gone() tells the caller. Nor
 * is it full for a client that is slow while others follow: what it does not take is kept for it.
 *
 * Threads: as a sink. Blocking: never. The tee's client outlives it.
 */
#ifndef GATEWAY_TEE_H
#define GATEWAY_TEE_H

#include "base/sink.h"
#include "store/flights.h"

struct tee {
	struct sink sink; /* what attempts write to */
	struct sink *client;
	struct flight *flight; /* NULL = nobody can follow */
	struct flight_who who; /* of the answer; all empty = not known */
	struct buf events;     /* failed: there was too much to keep */
	bool told;             /* the flight knows who */
	bool begun;            /* perhaps after the client had left */
	bool gone;             /* the client has left */
};

/* max_bytes of events. */
void tee_init(struct tee *t, struct sink *client, struct flight *flight, size_t max_bytes);
void tee_fini(struct tee *t);

/* Who answers, to be told to those who follow: before the first words, as the head may have gone
 * out before anybody spoke. Later it changes nothing. */
void tee_set_who(struct tee *t, const char *provider, const char *model);

bool tee_client_is_gone(const struct tee *t);

#endif
