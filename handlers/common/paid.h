/* handlers/common/paid.h - what handlers do alike with a request that is sent to a provider and
 * costs something: read it, find who serves it, reserve, relay, write it into the books, deliver.
 *
 *     rc = exchange_auth(x, &e)            who is calling
 *     rc = …                               the handler reads p->req and p->ask
 *     rc = paid_route(x, &p, &e)           who serves it, and may the caller have that
 *     rc = paid_admit(x, &p, &e)           what it may cost is reserved
 *     rc = paid_relay(x, &p, &e)           the provider answers; a stream reaches the client
 *     paid_settle(x, &p)                   from here on it is in the books
 *     paid_deliver(x, &p, rc, &e)          the client gets the rest
 *     paid_fini(&p)
 *
 * Once admitted, a request must be settled whatever became of it.
 */
#ifndef HANDLERS_COMMON_PAID_H
#define HANDLERS_COMMON_PAID_H

#include "gateway/attempts.h"
#include "gateway/byok.h"
#include "gateway/limits.h"
#include "handlers/common/front.h"

/* One such request; starts as { 0 }. */
struct paid {
	struct chat_req req;
	struct buf body; /* what req points to, when it is not what the client sent */
	/* What it may use: prompt_tokens, images and writes_1h are the handler's to fill in. */
	struct cost_ask ask;
	int64_t prompt_tokens; /* that it has more likely */
	bool no_output;        /* it is answered without generating anything */
	/* Turns the route of a chat into that of what is asked for; NULL: it is a chat. */
	enum err_code (*turn)(struct chat_req *req, struct route *r, struct err *e);
	struct byok_use byok; /* the caller's own key, when there is one */
	struct plan plan;     /* who is asked, in order */
	struct plan own;      /* that of the caller's own key, which failed */
	size_t head_bytes;    /* of x->head before the attempts are told there */
	struct admission admission;
	struct attempts tries;
};

/* Reads the body; it is lent until the request ends. */
MUST_CHECK enum err_code paid_read_body(struct exchange *x, struct slice *body, struct err *e);

/* The limits of JSON that clients send. */
struct json_limits paid_json_limits(const struct conf *c);

/* Notes for the log what was asked for. */
void paid_note(struct exchange *x, const struct paid *p);

/* Finds who serves p->req.model, with the caller's own key when there is one (FRONT_BYOK), and what
 * may stand in; the caller may have all of them. */
MUST_CHECK enum err_code paid_route(struct exchange *x, struct paid *p, struct err *e);

/* Reserves what the request may cost at the dearest of them, which with a key of the caller's own
 * is no money, and tells the client where its limits stand. */
MUST_CHECK enum err_code paid_admit(struct exchange *x, struct paid *p, struct err *e);

/* Asks one after the other for the answer; a stream reaches the client meanwhile, but for its end.
 */
MUST_CHECK enum err_code paid_relay(struct exchange *x, struct paid *p, struct err *e);

/* Writes the request into the ledger, whatever became of it. To be called before the answer ends: a
 * process that is killed here has not answered, and one that has answered has written what it cost.
 */
void paid_settle(struct exchange *x, struct paid *p);

/* Gives the client what it has not got yet: the end of a stream, or everything. rc, e: of
 * paid_relay. */
void paid_deliver(struct exchange *x, struct paid *p, enum err_code rc, struct err *e);

/* All three of them, for a request that was admitted. When the caller's own key fails, and its
 * owner allows that, the operator's is tried before. */
void paid_answer(struct exchange *x, struct paid *p);

void paid_fini(struct paid *p);

#endif
