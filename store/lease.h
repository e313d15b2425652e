/* store/lease.h - open reservations: what is held for a request until it is settled.
 *
 * A lease belongs to a process (its id and start time, so that a reused id is not mistaken) and
 * ends by being settled, released, or reaped: when its owner is gone, a zombie or another
 * process, or when its deadline has passed. Each use of a slot has another generation, so
 * whoever comes late ends nothing.
 *
 * All but lease_owner_born and lease_overdue are called with the mutex of the table held;
 * lease_open and lease_end inside a transaction.
 */
#ifndef STORE_LEASE_H
#define STORE_LEASE_H

#include "store/hot.h"

enum lease_state {
	LEASE_FREE = 0,
	LEASE_OPEN,
	LEASE_SETTLING, /* somebody is writing its record */
};

/* What is held for a subject, in the top bits of lease.holds[]. */
#define LEASE_MONEY   (UINT64_C(1) << 60)
#define LEASE_TOKENS  (UINT64_C(1) << 61)
#define LEASE_RUNNING (UINT64_C(1) << 62)
#define LEASE_SUBJECT (LEASE_MONEY - 1)

static inline enum lease_state lease_state(const struct lease *l)
{
	return (enum lease_state)(l->state & 0xFF);
}

static inline uint32_t lease_generation(const struct lease *l)
{
	return (uint32_t)(l->state >> 32);
}

/* Takes a free slot and fills it from what; holds the money, tokens and places that what->holds
 * names. False when all are taken or an account has no room: the caller then hot_aborts. */
bool lease_open(struct hot *h, const struct lease *what, uint32_t *index, uint32_t *generation);

/* The lease, or NULL when it has ended. */
struct lease *lease_find(const struct hot *h, uint32_t index, uint32_t generation);

void lease_mark(struct hot *h, struct lease *l, enum lease_state state);

/* Gives back what it holds; tokens is what was truly used. */
void lease_end(struct hot *h, struct lease *l, int64_t tokens);

/* The start time of a process, in clock ticks after boot; 0 when it is gone or a zombie. */
uint64_t lease_owner_born(uint64_t pid);

struct lease_ref {
	uint32_t index;
	uint32_t generation;
};

/* Which leases are to be reaped? Looks without the mutex (it asks /proc); who ends them looks
 * again with lease_find. Writes up to max, returns how many. */
size_t lease_overdue(const struct hot *h, int64_t mono_ms, struct lease_ref *out, size_t max);

#endif
