/* store/redis_inside.h - what redis.c, redis_nodes.c and redis_cluster.c share. Nobody else.
 *
 * A node is one address; it is kept until the end, so that its number stays good. All that stands
 * in struct redis behind lock is read and written with the lock held, which nobody does while it
 * waits for a network.
 */
#ifndef STORE_REDIS_INSIDE_H
#define STORE_REDIS_INSIDE_H

#include "store/redis_link.h"

#include <pthread.h>

#define REDIS_NODES_MAX 256
#define REDIS_IDLE_MAX  32    /* connections kept for each node */
#define REDIS_IDLE_MS   60000 /* not used any more afterwards */
#define REDIS_LATE_MAX  3     /* answers out of time, one after the other */
#define REDIS_SLOTS     16384
#define REDIS_NO_NODE   SIZE_MAX

/* Until when nobody tries, and why (code 0: there is none). Then one tries, and the others wait
 * for what becomes of it. */
struct redis_pause {
	int64_t until_ms;
	struct err why;
};

struct redis_node {
	struct redis_address at;
	struct redis_link *idle;
	size_t idle_n;
	struct redis_pause pause;
	unsigned late;     /* answers out of time since the last one in time */
	bool has_answered; /* ever: to who begins while it hangs, one answer out of time is enough
			    */
};

struct redis {
	struct redis_target target;
	struct tls_context *tls;
	char prefix[65];
	int64_t timeout_ms;

	pthread_mutex_t lock;
	struct redis_node *nodes[REDIS_NODES_MAX];
	size_t nodes_n;
	size_t master;           /* of SINGLE and SENTINEL; REDIS_NO_NODE = to be asked for */
	size_t sentinel;         /* which of target.at answered last */
	struct redis_pause lost; /* nobody knows the master, or the slots */
	uint16_t *slots;         /* of a cluster: number of a node + 1; 0 = not known */
	bool slots_are_old;
	int64_t slots_ms; /* monotonic: when they were asked for */
};

/* ---- redis_nodes.c ---- */

/* The number of the node there, which is made if it is new. ERR_STORE: too many. */
MUST_CHECK enum err_code redis_node_at(
	struct redis *r, const struct redis_address *a, size_t *node, struct err *e);

/* A connection to it, kept or new. */
MUST_CHECK enum err_code redis_node_take(struct redis *r, size_t node, int64_t deadline_mono_ms,
	struct redis_link **out, struct err *e);
/* rc: how the last use ended; what is not clean is closed. */
void redis_node_give(struct redis *r, size_t node, struct redis_link *l, bool answered);
void redis_nodes_fini(struct redis *r);

/* Called with the lock held. Does a pause last? Then check fails with its reason. */
MUST_CHECK enum err_code redis_pause_check(struct redis_pause *p, struct err *e);
void redis_pause_begin(struct redis_pause *p, const struct err *why);
void redis_pause_end(struct redis_pause *p);

/* "Redis at WHERE: " in front of the message of e, with code ERR_STORE. */
enum err_code redis_say(const struct redis_address *a, struct err *e);

/* Which node has the master now, asking the Sentinels if need be. */
MUST_CHECK enum err_code redis_master(
	struct redis *r, int64_t deadline_mono_ms, size_t *node, struct err *e);

/* ---- redis_cluster.c ---- */

/* CRC16 of the key, or of what stands in its first braces, modulo REDIS_SLOTS. */
unsigned redis_slot(struct slice key);
/* Which node has the slot, asking the cluster if need be. */
MUST_CHECK enum err_code redis_slot_node(
	struct redis *r, unsigned slot, int64_t deadline_mono_ms, size_t *node, struct err *e);
/* "MOVED 3999 127.0.0.1:6381", or ASK: the node it names; from: who said so. */
MUST_CHECK enum err_code redis_moved(
	struct redis *r, struct slice text, size_t from, size_t *node, struct err *e);
/* All that have slots: *n of them, into nodes. */
MUST_CHECK enum err_code redis_masters(struct redis *r, int64_t deadline_mono_ms,
	size_t nodes[REDIS_NODES_MAX], size_t *n, struct err *e);

/* Something is wrong with a node: who has what is asked anew before the next use. */
void redis_suspect(struct redis *r, size_t node);

#endif
