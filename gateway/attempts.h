/* gateway/attempts.h - brings an answer home whatever providers do: attempts, failover, a second
 * one beside a slow first, rescue in mid-stream (DESIGN.md section 2: a failover loop is the
 * request thread submitting another job).
 *
 * Candidates are asked in the plan's order, as retry.h has it, until one answers or none is left.
 * Who has said nothing for first_token_ms gets company by the next one; whoever speaks first
 * answers. A stream that dies after content is gone on with by rescue.h.
 *
 * Threads: attempts_run blocks its request thread, bounded by the request's deadline.
 */
#ifndef GATEWAY_ATTEMPTS_H
#define GATEWAY_ATTEMPTS_H

#include "base/conf.h"
#include "gateway/plan.h"
#include "gateway/relay.h"

enum attempt_end {
	ATTEMPT_RUNNING,
	ATTEMPT_OK,
	ATTEMPT_FAILED,
	ATTEMPT_OVERTAKEN, /* another one spoke first */
	ATTEMPT_CUT,       /* died after content had gone out */
};

/* One upstream call, for log, header and generation. */
struct attempt {
	const char *slug;  /* lent by the catalogue */
	const char *model; /* lent by the plan */
	enum attempt_end end;
	enum err_code error; /* ERR_OK = none */
	int status;          /* of the provider; 0 = none came */
	int64_t begun_ms;    /* after the request began */
	int64_t took_ms;
	int64_t ttft_ms; /* 0 = no token */
	bool hedge;      /* begun beside another */
	bool rescue;     /* goes on with what another began */
};

/* Appends "openai:503, anthropic:ok". A failure without status is named by its error: "timeout",
 * "connect", "closed", "invalid", "error" (under status 200); who was still silent when another was
 * asked, "slow". */
void attempts_write(const struct attempt *at, size_t n, struct buf *out);

/* What one candidate is sent, made ready by prepare(). */
struct attempt_shape {
	bool beside;          /* another runs: the client is not to be watched meanwhile */
	struct target target; /* of the candidate; may be changed */
	struct chat_req *req; /* malloc'ed, in place of the request; NULL = the request itself */
	struct buf body;      /* what req points to */
	struct cost_facts prices;
	int64_t first_byte_ms;  /* > 0, limits of this one */
	int64_t idle_ms;        /* > 0 */
	int64_t first_token_ms; /* > 0 */
};

struct attempts {
	/* before; everything is lent until attempts_fini */
	struct pump *pump;
	const struct plan *plan;
	struct relay_conf conf; /* first_byte_ms, idle_ms and deadline_ms are filled in here */
	const struct chat_req *req;
	struct sink *client;
	struct slice head;      /* header lines of a good answer; X-Provider, X-Model and
				 * X-Attempts are added here */
	const char *request_id; /* names the request in error events */
	const char *seed;       /* for ids that providers do not give */
	struct health *health;  /* NULL = nobody's is known */
	struct health_conf health_conf;
	int64_t begun_ms;    /* monotonic */
	int64_t deadline_ms; /* monotonic */
	unsigned most;       /* attempts, those in list already included */
	enum conf_rescue rescue;
	const struct json_limits *limits; /* of bodies made here */
	bool byok;
	struct slice spoken; /* events that the client has of another, who is lost: gone on with as
			      * if a provider had died after them; mostly empty */
	bool keeps;          /* the answer may be given again: see relay_result.hit_usage */
	/* Makes *shape, which starts as { 0 }, for a candidate; it is ended here in any case. */
	enum err_code (*prepare)(
		void *ctx, const struct candidate *c, struct attempt_shape *shape, struct err *e);
	/* Told who answers when its first words go out, before them, from the pump's thread: must
	 * not block. NULL = nobody. */
	void (*on_speech)(void *ctx, const struct candidate *c);
	void *ctx;

	/* after; more attempts are added to those that are there */
	struct attempt *list;
	size_t count;
	const struct candidate *answered; /* whose answer it is; else who was asked last; NULL:
					   * nobody was */
	struct relay_result res;
};

/* After ERR_OK a stream was written up to res.ending, or an answer stands in res.answer. On an
 * error nothing but a status and heartbeats has reached the client, or res.ending tells it. When
 * everybody fails, or nobody may be asked, of more than one: ERR_ALL_DOWN, with retry_after_ms. */
MUST_CHECK enum err_code attempts_run(struct attempts *a, struct err *e);
void attempts_fini(struct attempts *a);

/* Adds X-Provider, X-Model and X-Attempts as they stand now. */
void attempts_add_head(const struct attempts *a, struct buf *head);

#endif
