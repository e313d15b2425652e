/* gateway/retry.h - what to do after an attempt has failed: one table (providers.md section 4.3).
 *
 * Whoever else can serve does so at once; with nobody else, the same is asked again where that may
 * help, after a wait that grows and is never two times alike. No wait is longer than
 * RETRY_WAIT_MS, or than what is left: the client is told then, and when to come back.
 *
 * Pure. Times in ms.
 */
#ifndef GATEWAY_RETRY_H
#define GATEWAY_RETRY_H

#include "store/health.h"

#define RETRY_WAIT_MS 5000

struct err;

enum retry_next {
	RETRY_BACK, /* straight back to the caller: nobody else would do better */
	RETRY_SAME, /* the same provider again, after wait_ms */
	RETRY_ELSE, /* the next candidate */
};

/* What is known when an attempt has failed. */
struct retry_facts {
	const struct err *e;   /* code, upstream_status, retry_after_ms */
	unsigned tried_here;   /* attempts at this very candidate so far, 1.. */
	unsigned tried;        /* attempts of the request so far, 1.. */
	unsigned most;         /* GATEWAY_RETRY_MAX + 1 */
	bool other_now;        /* there is another candidate that may be asked now */
	int64_t other_wait_ms; /* else: when the soonest may; INT64_MAX = there is none */
	bool same_model_only;  /* the other candidates are of the same model */
	bool byok;             /* with the caller's own key */
	int64_t left_ms;       /* until the request's deadline */
	uint64_t dice;         /* random, for jitter */
};

struct retry_plan {
	enum retry_next next;
	int64_t wait_ms; /* before it; with RETRY_ELSE until another may be asked, mostly 0 */
	bool skip_model; /* with RETRY_ELSE: candidates of the same model would say the same */
};

struct retry_plan retry_decide(const struct retry_facts *f);

/* What the outcome says about the provider. */
enum health_outcome retry_outcome(const struct err *e);

#endif
