/* gateway/relay.h - one attempt: sends a request to one target and brings its answer home.
 *
 * Streams tell the truth (DESIGN.md section 3): the client's status line is committed only when
 * the first event was understood (or a heartbeat had to go out); a stream ends either with a finish
 * reason, usage if asked and [DONE], or with one error event and no [DONE].
 *
 * Threads:  relay_chat blocks its request thread until the attempt has ended, bounded by the
 * limits.
 */
#ifndef GATEWAY_RELAY_H
#define GATEWAY_RELAY_H

#include "gateway/cost.h"
#include "gateway/upstream.h"

struct relay_conf {
	int64_t connect_ms, first_byte_ms, idle_ms, client_stall_ms; /* all > 0 */
	int64_t deadline_ms;                                         /* for the whole attempt */
	int64_t heartbeat_ms;                                        /* 0 = none */
	bool heartbeat_json; /* white space before whole answers too */
	size_t max_event_bytes;
	size_t max_answer_bytes;
};

struct relay_result {
	bool started;        /* something has reached the client: no other target may be tried */
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
};
void relay_result_fini(struct relay_result *r);

/* What is to be done. Everything is lent until relay_chat returns. */
struct relay_call {
	const struct target *target;
	const struct chat_req *req;
	struct sink *client;
	const struct sink_head *head;    /* what begins a good answer: status 200, headers */
	const char *request_id;          /* names the request in error events */
	const struct cost_facts *prices; /* usage is filled in here; the client is told the cost;
					  * byok: a refusal of the key is the client's affair */
	const char *seed; /* for ids that the provider does not give; NULL = the time */
};

/* After ERR_OK a stream was written up to res->ending; an answer stands in res->answer (when
 * res->started, its head has gone out already). On an error nothing has reached the client unless
 * res->started; then res->ending tells it. *res is set on every path; end it with
 * relay_result_fini. */
MUST_CHECK enum err_code relay_chat(struct pump *pump, const struct relay_conf *conf,
	const struct relay_call *call, struct relay_result *res, struct err *e);

#endif
