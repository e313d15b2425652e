/* gateway/upstream.h - the pump: one thread that carries every upstream transfer of the process.
 *
 * A request thread fills a job and calls pump_run(), which sleeps until the job has ended; or it
 * submits several and waits for the first of them. In between the pump calls the job's operations
 * as bytes arrive, watches the client's descriptor for its leaving and for room to write, and keeps
 * every deadline. HTTP/2 where the provider offers it, kept connections, TLS always verified, no
 * redirects, http and https only, no proxy but the configured one (DESIGN.md section 2).
 *
 * Ownership: a job is the request thread's until submitted, the pump's until it has ended.
 * Blocking:  pump_run blocks up to the job's deadline; operations must never block.
 * Threads:   operations run on the pump thread, and job_overtake() with them; pump_drain may be
 *            called by any other. What concerns a job or its group is called by the request
 *            thread it belongs to.
 */
#ifndef GATEWAY_UPSTREAM_H
#define GATEWAY_UPSTREAM_H

#include "base/sink.h"
#include "gateway/providers/tongue.h"

#include <semaphore.h>

struct pump;
struct transfer;
struct job;

struct pump_conf {
	const char *ca_file; /* PEM bundle instead of the system's; "" = the system's */
	const char *proxy;   /* "" = none */
	bool http2;
};

/* Starts the thread. All signals are blocked in it. */
MUST_CHECK enum err_code pump_start(const struct pump_conf *conf, struct pump **out, struct err *e);

/* Ends the thread; no job may be running. */
void pump_stop(struct pump *p);

/* From now on no job outlives deadline_mono_ms: those that reach it fail with ERR_BUSY. */
void pump_drain(struct pump *p, int64_t deadline_mono_ms);

enum job_next {
	JOB_MORE, /* go on */
	JOB_FULL, /* go on when the client takes more */
	JOB_DONE, /* all that matters has come: success */
	JOB_FAIL, /* stop: the error is set */
};

struct job_ops {
	/* The final head has come: job->status, content_type, retry_after_ms are set. */
	enum job_next (*on_head)(struct job *j, struct err *e);
	/* A piece of the body, valid during the call. */
	enum job_next (*on_bytes)(struct job *j, struct slice bytes, struct err *e);
	/* The body has ended as HTTP wants it, or (cut) the connection broke off behind the head.
	 * JOB_DONE = that was a good end; JOB_FAIL; JOB_MORE = the pump's own error for a cut. */
	enum job_next (*on_end)(struct job *j, bool cut, struct err *e);
	/* Nothing has been written to the client for heartbeat_ms. */
	enum job_next (*on_beat)(struct job *j, struct err *e);
	/* No byte came for idle_ms. JOB_DONE = a good end all the same; JOB_MORE = a timeout. */
	enum job_next (*on_idle)(struct job *j, struct err *e);
};

struct job {
	/* before */
	const struct http_req *req; /* body and headers lent until the job has ended; NULL: no
				     * transfer at all: the client is watched and gets heartbeats
				     * for pause_ms, then the job ends with ERR_OK */
	int64_t pause_ms;           /* of a job without a transfer */
	const char *unix_socket;    /* abstract socket to dial; NULL = the URL's host */
	bool get;                   /* GET without a body instead of POST */
	const char *wanted;         /* a header of the answer to keep, besides those below; NULL =
				     * none */
	const char *dial_only;      /* for URLs that come from clients: nothing but public unicast
				     * addresses and these blocks ("10.0.0.0/8, ::1"; may be "") is
				     * dialled, on a connection of its own, never through the proxy.
				     * NULL = an address that the operator wrote */
	const struct job_ops *ops;
	void *ctx;
	struct sink *client;      /* watched for leaving and room; NULL = nobody */
	int64_t connect_ms;       /* limits, all > 0 */
	int64_t first_byte_ms;    /* until the first byte of the body */
	int64_t idle_ms;          /* between bytes; an operation may change it */
	int64_t deadline_mono_ms; /* for everything */
	int64_t heartbeat_ms;     /* 0 = no heartbeats */
	int64_t client_stall_ms;  /* a client that is full this long is given up; > 0 */

	/* set by operations */
	bool wrote; /* something was written to the client in this call */

	/* after, and inside operations */
	int status;             /* HTTP status, 0 = no head came */
	char content_type[96];  /* lower case, without parameters; "" = none */
	int64_t retry_after_ms; /* from Retry-After or retry-after-ms; -1 = none */
	char kept[256];         /* the wanted header's value; "" = there was none, or too long */
	char error_type[64];    /* x-amzn-ErrorType as it came; "" = none */
	uint64_t bytes_in;      /* of the body */
	struct err err;         /* when pump_run returned an error */

	/* the pump's; rc is for all once the job has ended */
	enum err_code rc;
	_Atomic int phase; /* enum job_phase */
	struct job_group *group;
	struct transfer *transfer; /* NULL = not begun yet */
	struct job *next;          /* in the queue */
	bool called_off;           /* before it was begun */
	struct job_order {         /* what its request thread wants of it; pump.lock guards it */
		bool cancel;
		struct sink *client; /* NULL = keeps the one it has */
		struct job *next, **at;
	} order;
};

/* Only the pump ends a job, only its request thread gives orders. */
enum job_phase {
	JOB_RUNS,
	JOB_ORDERED, /* runs, and is in the pump's list of orders */
	JOB_ENDED,
};

/* Jobs that one request thread waits for together, and that answer the same client. */
struct job_group {
	sem_t stirred;        /* posted once by each job that ends */
	unsigned outstanding; /* posts that were not taken yet: the request thread's */
	/* how the client was left, for the next job that gets it: the pump's */
	int64_t last_write_ms; /* 0 = it had no job yet */
	int64_t full_since_ms; /* 0 = not full */
};
void job_group_init(struct job_group *g);
void job_group_fini(struct job_group *g); /* none of its jobs may be running */

/* Hands a job to the pump and returns at once. From here to its end it is the pump's, which is
 * when job_has_ended(); then j->rc and j->err tell how, and it may be freed or submitted anew. */
void pump_submit(struct pump *p, struct job *j, struct job_group *g);
MUST_CHECK bool job_has_ended(const struct job *j);
/* Sleeps until a job of the group has ended, or until_mono_ms (INT64_MAX: for ever; jobs have
 * deadlines). Each end makes one call return true, be it that the caller has seen it before. False:
 * it was the time. */
bool job_group_wait(struct job_group *g, int64_t until_mono_ms);
/* Ends a job early, with ERR_OVERTAKEN; the caller waits for its end as for any other, and it may
 * end of itself meanwhile. A job that has ended is left alone. */
void pump_cancel(struct pump *p, struct job *j);

/* j runs without a client; from the pump's next round on it has this one, which no running job
 * has: it is watched and gets heartbeats. A job that has ended is left alone. */
void pump_give_client(struct pump *p, struct job *j, struct sink *client);

/* From an operation of j only: j answers the client. The client of `other` (a job of the same
 * group, running or ended, not freed) becomes j's, to be watched and written to by j alone from now
 * on; when it still runs, other ends with ERR_OVERTAKEN before the pump's round is over, and none
 * of its operations is called again. */
void job_overtake(struct job *j, struct job *other);

/* Submits a job and waits for its end. ERR_OK after JOB_DONE (or a good end of the body);
 * ERR_CLIENT_GONE when the client left or stalled; otherwise job->err says what happened, also
 * copied to *e. */
MUST_CHECK enum err_code pump_run(struct pump *p, struct job *j, struct err *e);

#endif
