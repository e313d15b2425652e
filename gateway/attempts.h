/* gateway/attempts.h - brings an answer home whatever providers do: attempts, failover, a second
 * one beside a slow first, rescue in mid-stream (DESIGN.md section 2: a failover loop is the
 * request thread submitting another job).
 *
 * Threads: attempts_run blocks its request thread, bounded by the request's deadline.
 */
#ifndef GATEWAY_ATTEMPTS_H
#define GATEWAY_ATTEMPTS_H

#include "gateway/plan.h"
#include "gateway/relay.h"

#define ATTEMPTS_MAX 24 /* noted; GATEWAY_RETRY_MAX is at most 20 */

enum attempt_end {
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
 * "connect", "closed", "invalid". */
void attempts_write(const struct attempt *at, size_t n, struct buf *out);

#endif
