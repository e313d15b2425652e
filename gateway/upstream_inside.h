/* gateway/upstream_inside.h - what the parts of the pump share: pump.c, which knows transfers and
 * deadlines, pump_jobs.c, which passes jobs between the threads, pump_client.c, which knows the
 * clients, and upstream.c, the door to libcurl, which knows the wire. Nobody else.
 *
 * Threads: everything here is the pump thread's, but for what pump.lock guards and what
 *            pump_jobs.c offers to request threads.
 */
#ifndef GATEWAY_UPSTREAM_INSIDE_H
#define GATEWAY_UPSTREAM_INSIDE_H

#include "gateway/upstream.h"

#include <pthread.h>

/* What an epoll event belongs to stands in its data word: 0 is the wake descriptor, an odd word is
 * a descriptor of curl's (fd << 2 | 1), anything else points to a transfer, whose client stirred.
 */
#define EVENT_WAKE     UINT64_C(0)
#define EVENT_CURL(fd) ((uint64_t)(fd) << 2 | 1)
#define EVENT_FD(what) ((int)((what) >> 2))

#define SCAN_MS 100 /* deadlines are looked at this often at most */
#define ROOM_MS 250 /* a sink that was full is asked this often, whatever its descriptor says */
#define LINGER_MS \
	1000 /* how long the end of a finished answer is awaited, to keep the connection */
#define LINGER_BYTES    (64 << 10)
#define HANDLES_KEPT    128
#define WIRE_ERROR_SIZE 256 /* CURL_ERROR_SIZE */

/* What curl keeps of a transfer, for the next one; most go where one went before. */
struct handle {
	void *easy; /* a CURL */
	void *url;  /* a CURLU */
	char *url_text;
};

/* One transfer: an easy handle and, until its job has ended, the job. A transfer whose job is
 * done lingers until the provider ends the body, so that the connection can be used again. A job
 * that only pauses has one without a handle. */
struct transfer {
	struct pump *pump;
	struct handle *handle;        /* NULL = nothing goes over the wire */
	struct job *job;              /* NULL while lingering */
	struct curl_slist *headers;   /* one block; what they say is the job's */
	struct transfer *prev, *next; /* all transfers of the pump; next also links dead ones */
	struct transfer *next_overtaken;
	int64_t linger_until_ms;
	uint64_t linger_bytes;
	int64_t started_ms, last_byte_ms, last_write_ms, full_since_ms, room_due_ms;
	uint32_t watching; /* epoll bits set on the client's descriptor, 0 = not in epoll */
	int client_fd;
	bool head_done, body_begun, full, paused;
	bool verdict;   /* an operation has decided: JOB_FAIL is in job->err */
	bool overtaken; /* no operation is called any more; ends with the round */
	bool dead;
	bool refused_address; /* dial_only forbade one */
	bool unusual;         /* its handle has options that the next one must not have */
	char curl_error[WIRE_ERROR_SIZE];
	int socket_errno; /* why there was no socket; 0 = there was */
};

struct pump {
	void *multi; /* a CURLM */
	void *share; /* a CURLSH: TLS sessions, which curl otherwise keeps with each handle */
	int epoll, wake;
	pthread_t thread;
	int64_t now_ms;
	int64_t curl_due_ms; /* -1 = curl wants no timer */
	int64_t scan_due_ms; /* when the next deadline may pass; INT64_MAX without transfers */
	struct transfer all; /* head of the ring */
	struct transfer *dead, *overtaken;
	struct handle *handles[HANDLES_KEPT];
	size_t handles_n;
	const char *ca_file, *proxy;
	bool http2;
	pthread_mutex_t lock; /* guards what is below, and the orders in the jobs */
	struct job *queue, **queue_end;
	struct job *orders, **orders_end;
	int64_t drain_ms; /* INT64_MAX = not draining */
	bool stop;
};

/* ---- upstream.c ---- */

/* Sets up what all transfers share. ERR_INTERNAL, ERR_NO_MEMORY. */
MUST_CHECK enum err_code wire_open(struct pump *p, struct err *e);
void wire_close(struct pump *p);

/* Begins the transfer of t's job; false without memory. */
MUST_CHECK bool wire_begin(struct pump *p, struct transfer *t);
/* Takes t off the wire. */
void wire_end(struct pump *p, struct transfer *t);
/* Goes on with a transfer that was paused: what was held back is delivered in this call. Returns
 * the transfer's failure, or 0. */
MUST_CHECK int wire_resume(struct transfer *t);

/* A descriptor of curl's is ready; curl's timer is due; some transfers may have ended. */
void wire_event(struct pump *p, int fd, uint32_t bits);
void wire_timer(struct pump *p);
void wire_reap(struct pump *p);

/* Makes an error of a failure of wire_resume() or pump_ended(). */
enum err_code wire_failure(const struct transfer *t, int failure, struct err *e);

/* ---- pump_client.c ---- */

/* Watches the client, if there is one, as t needs it now. */
void pump_watch(struct pump *p, struct transfer *t);
/* From now on t's job answers this client, which nobody else watches; NULL = none. */
void pump_take_client(struct pump *p, struct transfer *t, struct sink *client);
/* Somebody else has it from here on. */
void pump_leave_client(struct pump *p, struct transfer *t);
/* The client's descriptor has stirred. */
void pump_on_client(struct pump *p, struct transfer *t, uint32_t bits);

/* ---- pump_jobs.c: what crosses between the threads ---- */

void pump_wake(struct pump *p);
/* Marks the job as ended and tells its request thread: from here on it is not the pump's. */
void pump_give_back(struct pump *p, struct job *j, enum err_code rc);
/* A job of which something was ordered, NULL = none. It stays the first until that is taken. */
struct job *pump_first_order(struct pump *p);
/* Takes what was ordered of a job that has not ended; all zero = nothing. */
struct job_order pump_take_order(struct pump *p, struct job *j);

/* ---- pump.c ---- */

/* A limit may pass at this time: the next scan comes no later. */
void pump_look_by(struct pump *p, int64_t time_ms);
/* Takes note of an operation's word. Returns true when the job goes on. */
MUST_CHECK bool pump_goes_on(struct pump *p, struct transfer *t, enum job_next next);
/* Gives the job back to its request thread, which may free its request at once. The transfer stays
 * until it has ended. */
void pump_finish(struct pump *p, struct transfer *t, enum err_code rc);
/* Ends the transfer, then gives its job back. Not inside a callback of curl's. */
void pump_end(struct pump *p, struct transfer *t, enum err_code rc);
/* The transfer has ended; failure 0 = as HTTP wants it. */
void pump_ended(struct pump *p, struct transfer *t, int failure);
/* Makes the error of a job that is not wanted any more. */
enum err_code pump_overtaken(struct job *j);

#endif
