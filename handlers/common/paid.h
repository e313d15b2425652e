/* handlers/common/paid.h - what handlers do alike with a request that is sent to a provider and
 * costs something: read it, find who serves it, reserve, relay, write it into the books, deliver.
 *
 *     static void handle(struct exchange *x)
 *     {
 *             struct paid p = { .kind = "chat", .parse = chat_parse };
 *
 *             paid_serve(x, &p, read_request);
 *     }
 *
 * Who is calling is found out by the handler's read(), which also fills p->req and p->ask. Then it
 * is routed, what it may cost is reserved, and it is answered: by a cache (remember.h), or by a
 * provider through the attempts. Once admitted it is settled, whatever became of it.
 */
#ifndef HANDLERS_COMMON_PAID_H
#define HANDLERS_COMMON_PAID_H

#include "gateway/attempts.h"
#include "gateway/byok.h"
#include "gateway/limits.h"
#include "handlers/common/front.h"

struct remember;

/* One such request; starts as { 0 } with the first three. */
struct paid {
	/* What it is called where answers are remembered: "chat". */
	const char *kind;
	/* Reads its body. */
	enum err_code (*parse)(struct slice body, const struct json_limits *limits,
		struct chat_req *req, struct err *e);
	/* Turns the route of a chat into that of what is asked for; NULL: it is a chat. */
	enum err_code (*turn)(struct chat_req *req, struct route *r, struct err *e);
	struct chat_req req;
	struct buf body; /* what req points to, when it is not what the client sent */
	/* What it may use: prompt_tokens, images and writes_1h are the handler's to fill in. */
	struct cost_ask ask;
	int64_t prompt_tokens; /* that it has more likely */
	bool no_output;        /* it is answered without generating anything */
	struct byok_use byok;  /* the caller's own key, when there is one */
	struct plan plan;      /* who is asked, in order */
	struct plan own;       /* that of the caller's own key, which failed */
	size_t head_bytes;     /* of x->head before the attempts are told there */
	struct admission admission;
	struct attempts tries;
	struct remember *remember; /* the caches' part in it; NULL = none */
};

/* Reads the body; it is lent until the request ends. */
MUST_CHECK enum err_code paid_read_body(struct exchange *x, struct slice *body, struct err *e);

/* The limits of JSON that clients send. */
struct json_limits paid_json_limits(const struct conf *c);

/* Notes for the log what was asked for. */
void paid_note(struct exchange *x, const struct paid *p);

/* The model's id in the catalogue, however the client wrote it, so that policies, reports and
 * caches know it by one name. */
const char *paid_model(const struct route *route);

/* The whole request, to its answer; ends p. read: says who is calling, and reads what they ask. */
void paid_serve(struct exchange *x, struct paid *p,
	enum err_code (*read)(struct exchange *x, struct paid *p, struct err *e));

#endif
