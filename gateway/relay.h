/* gateway/relay.h - one attempt: sends a request to one target and brings its answer home.
 *
 * Streams tell the truth (DESIGN.md section 3): the client's status line is committed only when
 * a first piece of content was understood (or a heartbeat had to go out); a stream ends either with
 * a finish reason, usage if asked and [DONE], or with one error event and no [DONE].
 *
 *     rc = relay_start(pump, &group, &conf, &call, &r, e);    on its way
 *     … job_group_wait …
 *     if (relay_is_over(r, true)) {
 *             rc = relay_end(r, &res, e);                     what came of it
 *             if (!rc)
 *                     rc = relay_deliver(r, &res, e);         what the client has not got yet
 *             relay_free(r);
 *     }
 *
 * Several attempts may run for one client at a time. The first one with content speaks: it takes
 * the client over, and the others end with ERR_OVERTAKEN.
 *
 * Threads: a relay is one request thread's; while its job runs, the pump's. relay_start blocks as
 *          long as sign_begin() does, nothing else blocks.
 */
#ifndef GATEWAY_RELAY_H
#define GATEWAY_RELAY_H

#include "gateway/cost.h"
#include "gateway/rescue.h"
#include "gateway/upstream.h"

struct relay;

struct relay_conf {
	int64_t connect_ms, first_byte_ms, idle_ms, client_stall_ms; /* all > 0 */
	int64_t deadline_ms;                                         /* for the whole attempt */
	int64_t heartbeat_ms;                                        /* 0 = none */
	bool heartbeat_json; /* white space before whole answers too */
	int64_t hold;        /* GATEWAY_HOLD: > 0 tokens, < 0 milliseconds that the beginning of a
			      * stream is held back */
	size_t max_event_bytes;
	size_t max_answer_bytes;
};

/* The client of a request: what its attempts share. { .sink = …, .early = … } to begin with. */
struct relay_client {
	struct sink *sink;
	const struct sink_head *early;   /* begins the answer when a heartbeat goes out before
					  * anybody has spoken */
	_Atomic(struct relay *) speaker; /* whose content it gets; NULL = nobody's */
	_Atomic(struct relay *) watcher; /* whose job looks after it; not to be freed while
					  * another runs */
	char id[64];                     /* of the answer that it reads; "" = none yet */
	int64_t created;                 /* unix seconds */
};

struct relay_result {
	bool spoke;          /* content has reached the client */
	bool complete;       /* the client has, or can be given, the whole answer */
	int upstream_status; /* 0 = no answer */
	int64_t ttft_us;     /* monotonic time of the first event with content; 0 = none */
	uint64_t malformed;  /* events skipped */
	uint64_t bytes_in;   /* from the provider */
	struct usage usage;
	struct cost cost; /* of what was used, complete or not */
	char finish_reason[24];
	char upstream_id[64];
	struct answer answer; /* of a request that does not stream, when complete */
	/* What is to follow what the client has: usage and [DONE], or the error. It is the
	 * caller's to send, once the request is in the books. */
	struct buf ending;
	struct buf hit_usage; /* the usage object of this answer when it is given again, for
			       * nothing; when the call keeps it */
};
void relay_result_fini(struct relay_result *r);

/* What another attempt began, and this one goes on with. */
struct relay_before {
	struct rescue *rescue;
	int64_t completion_tokens; /* of the answer, that this attempt does not make again */
	struct cost cost;          /* of them */
};

/* What is to be done. Everything is lent until relay_free. */
struct relay_call {
	const struct target *target;
	const struct chat_req *req;
	struct relay_client *client;
	const struct sink_head *head;    /* what begins a good answer: status 200, headers */
	const struct cost_facts *prices; /* usage is filled in here; the client is told the cost;
					  * byok: a refusal of the key is the client's affair */
	const char *seed;    /* for ids that the provider does not give; NULL = the time */
	bool names_provider; /* answers and chunks say "provider", unless they do already */
	bool keeps;          /* the answer may be given again: hit_usage is wanted */
	bool is_hedge;       /* begun beside another, who looks after the client */
	/* Told when its first words go out, from the pump's thread: must not block. NULL = nobody.
	 */
	void (*on_speech)(void *ctx, int64_t ttft_us);
	void *ctx;
	struct said **said;                /* notes what goes out; NULL = nobody does */
	const struct relay_before *before; /* NULL = nothing */
};

/* ERR_OK: it runs. Otherwise nothing was sent: ERR_UNSUPPORTED, ERR_BAD_REQUEST of the dialect,
 * ERR_NO_MEMORY, or what sign_begin() says. */
MUST_CHECK enum err_code relay_start(struct pump *pump, struct job_group *group,
	const struct relay_conf *conf, const struct relay_call *call, struct relay **out,
	struct err *e);

/* Has it ended? A refusal that the dialect knows how to mend is sent once more, which takes until
 * another wait, when nothing else runs for the client (alone). */
MUST_CHECK bool relay_is_over(struct relay *r, bool alone);

/* Makes this one the speaker, for an answer that has come whole; false when another has spoken.
 * From here on no other can. */
MUST_CHECK bool relay_claim(struct relay *r);

/* Has anything been heard from the provider? May be asked while it runs. */
bool relay_is_silent(const struct relay *r);

/* After it is over: what came of it. Nothing is written to the client. *res is set on every path;
 * end it with relay_result_fini. */
MUST_CHECK enum err_code relay_end(struct relay *r, struct relay_result *res, struct err *e);

/* After relay_end() said ERR_OK, and with no other attempt running: a stream whose provider
 * answered it in one piece is written. After ERR_OK a stream was written up to res->ending; an
 * answer stands in res->answer. */
MUST_CHECK enum err_code relay_deliver(struct relay *r, struct relay_result *res, struct err *e);

void relay_free(struct relay *r);

/* The job's end, for who gives a client from one to another. */
struct job *relay_job(struct relay *r);

/* Appends what tells a client that its answer, whose status is out already, ends with this error,
 * in the shape that it is reading. Nothing for one that has left. */
void relay_write_failure(const struct relay_call *call, const struct err *e, const char *request_id,
	struct buf *out);

/* Has the status of the answer gone out? */
static inline bool relay_has_begun(const struct relay_client *c)
{
	return sink_has_begun(c->sink);
}

#endif
