/* gateway/attempts_inside.h - the inside of attempts.h, for its parts: attempts.c, which decides
 * who is asked after whom, attempt_one.c, which makes one attempt (perhaps with another beside it),
 * attempts_spoken.c, which takes up what another request was told, and attempts_words.c, which
 * tells of them. Nobody else.
 */
#ifndef GATEWAY_ATTEMPTS_INSIDE_H
#define GATEWAY_ATTEMPTS_INSIDE_H

#include "gateway/attempts.h"

/* One attempt that runs, or has just ended. */
struct slot {
	const struct candidate *c;
	struct attempt_shape shape;
	struct relay_conf conf;
	struct relay_before before;
	struct buf head;
	struct sink_head sink_head;
	struct relay *relay; /* NULL: it never ran */
	struct said *said;   /* what of it may have gone out */
	size_t note;         /* its place in the list */
	int64_t begun_ms;
	int64_t entered_ms; /* when the health was asked */
	struct run *run;
	bool probe, hedge, over;
	bool told;               /* its health, when it began to speak */
	struct relay_result res; /* when over */
	struct err e;
};

/* A request on its way. */
struct run {
	struct attempts *a;
	struct job_group group;
	struct relay_client client;
	struct sink_head early;
	struct slot *slots[2]; /* the attempt, and the one beside it */
	struct slot *decided;  /* whose end was the request's */
	bool tried[PLAN_MAX];
	const struct candidate *c; /* whose turn it is */
	bool probe;                /* it is one */
	unsigned here;             /* attempts at it */
	int64_t entered_ms;        /* when the health was asked about who was picked last */
	int64_t wait_ms;           /* until the soonest of those who may not be asked may be */
	bool hedged;               /* somebody was asked beside it, or nobody can be */
	bool failed;               /* a provider has */
	int64_t retry_after_ms;    /* the soonest that one of them named; 0 = none did */
	bool spoken;               /* content has gone out, of whomever */
	struct said *said;         /* that content */
	struct target target;      /* of the last attempt */
};

/* The first candidate from this link of the chain on that was not tried and may be asked; NULL:
 * r->wait_ms says when one may. Whether one that nobody else can stand in for is in rotation does
 * not matter. */
const struct candidate *attempt_pick(struct run *r, unsigned min_link, bool *probe);

/* Is there another that may be asked now? Else *wait_ms says when; INT64_MAX: there is none.
 * Changes nothing. */
bool attempt_has_other(const struct run *r, unsigned min_link, int64_t *wait_ms, bool *same_model);

/* One attempt from beginning to end, perhaps with another beside it. */
enum err_code attempt_make(
	struct run *r, const struct candidate *c, bool probe, enum rescue_way way, struct err *e);

/* Takes what the client has of somebody else for what a provider said that died after it: *e. */
void attempts_take_spoken(struct run *r, struct err *e);

/* Add header lines: who answers, and who was asked. */
void attempts_add_who(const struct candidate *c, struct buf *head);
void attempts_add_list(const struct attempt *list, size_t n, struct buf *head);

#endif
