/* store/flights_redis.h - flights over several hosts: what flights_redis.c (who leads),
 * flights_ship.c (a leader's bytes on their way to Redis) and flights_relay.c (those of another
 * host on their way to this one) share. Nobody else.
 *
 * On each host one process leads, as flights_host.c has it; the hosts' leaders agree in Redis:
 *
 *     P:flight:{KEY}          the claim: whose token stands there leads; it expires unless renewed
 *     P:flight:{KEY}:TOKEN    a stream of what the leader said, once another host wants it
 *     P:flights:PROCESS       tokens of this process's flights that are wanted
 *
 * Who finds a claim leads its own host's followers only, with what it reads from the stream. The
 * leader itself and the pump never talk to Redis: a thread of the process follows the flight as
 * any other follower does, and writes what it gets into the stream.
 *
 * A record of the stream has one field, whose name says what it is:
 *     h   somebody is on it        w   struct flight_who        d   events
 *     e   the entry: the end       x   lost: the end
 */
#ifndef STORE_FLIGHTS_REDIS_H
#define STORE_FLIGHTS_REDIS_H

#include "store/flights_inside.h"
#include "store/redis.h"

#include <pthread.h>

#define FAR_CLAIM_MS   5000 /* a claim that nobody renews */
#define FAR_RENEW_MS   1500
#define FAR_HELLO_MS   2000  /* for a leader to be found alive */
#define FAR_STREAM_MS  30000 /* a stream that nobody adds to */
#define FAR_THREADS    64    /* that ship and relay at once, in one process */
#define FAR_STACK      ((size_t)192 << 10)
#define FAR_NAME_SIZE  288
#define FAR_TOKEN_SIZE 40

/* A claim: names in Redis, and the token that stands there. */
struct far_claim {
	char name[FAR_NAME_SIZE];
	char stream[FAR_NAME_SIZE];
	char token[FAR_TOKEN_SIZE]; /* PROCESS.N */
};

struct far_led;

struct far {
	struct flights f;
	struct flights *host;
	struct redis *redis;
	size_t max_bytes;
	int64_t block_ms; /* how long one call to Redis may wait for news */
	char process[24];
	char wanted[FAR_NAME_SIZE];

	pthread_mutex_t lock; /* over all below */
	pthread_cond_t news;
	uint64_t flights_n;
	struct far_led *flying; /* claims that are kept up */
	struct far_led *landed; /* claims to be given back */
	size_t threads;         /* that ship and relay */
	bool has_keeper, has_listener, closing;
	pthread_t keeper, listener;
};

/* A flight that this process leads for all hosts. */
struct far_led {
	struct flight f;
	struct far *far;
	struct flight *local;
	struct cache_key key;
	struct far_claim claim;
	/* under far->lock */
	struct far_led *next;
	int64_t renew_ms; /* monotonic: due */
	bool ended;       /* by its leader, who has no pointer to it any more */
	bool shipping;    /* a thread follows it */
};

/* ---- flights_redis.c ---- */

/* Starts a thread that ends by itself, if there may be one more; it calls far_thread_end(). */
bool far_thread(struct far *far, void *(*run)(void *), void *arg);
void far_thread_end(struct far *far);
bool far_is_closing(struct far *far);
/* Gives a claim back, if it is (still) this one. */
void far_unclaim(struct far *far, const struct far_claim *claim);

/* ---- flights_ship.c ---- */

/* A thread that waits for what other hosts want, while anything flies. arg: the struct far. */
void *far_listens(void *arg);
/* Its flight has ended and is not followed: called with the lock held. */
void far_land(struct far_led *led);

/* ---- flights_relay.c ---- */

/* Tells the process of a token that it is wanted. False: Redis is gone. */
bool far_want(struct far *far, const char *token);
/* Follows another host's flight for this host, whose leader local is. Takes local, unless it
 * returns NULL. */
struct flight *far_relay(struct far *far, struct flight *local, const struct far_claim *claim);

#endif
