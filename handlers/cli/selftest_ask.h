/* handlers/cli/selftest_ask.h - one request of the self-test, and what a client sees of its answer.
 *
 * Ownership: selftest_answer_fini() ends an answer. Blocking: until the answer has ended, or for
 * limit_ms. Threads: any.
 */
#ifndef HANDLERS_CLI_SELFTEST_ASK_H
#define HANDLERS_CLI_SELFTEST_ASK_H

#include "gateway/upstream.h"
#include "handlers/cli/selftest_faults.h"

/* Whom to ask, and how. */
struct selftest_client {
	struct pump *pump;
	const char
		*url; /* of the gateway: "http://127.0.0.1:8080/v1", without a slash at its end */
	const char *key;
};

struct selftest_answer {
	int status;                               /* 0 = none came */
	int64_t retry_after_ms;                   /* -1 = not said */
	char attempts[256];                       /* X-Attempts; "" = not said */
	struct buf text;                          /* all pieces, in order */
	struct buf arguments;                     /* of tool calls */
	unsigned finishes;                        /* finish reasons but "error" */
	unsigned dones;                           /* [DONE] */
	unsigned errors;                          /* error objects or events */
	int64_t prompt_tokens, completion_tokens; /* as told last; 0 = not told */
	unsigned late;                            /* events behind [DONE] */
	bool broken;                              /* something of it could not be read */
	char error[160];                          /* the first error's message */
	int64_t took_ms;
	enum err_code rc; /* of the transfer */
	struct err e;
};

/* Asks the model of a fault; *out is set in any case. */
void selftest_ask(const struct selftest_client *client, const struct selftest_fault *f,
	int64_t limit_ms, struct selftest_answer *out);
void selftest_answer_fini(struct selftest_answer *a);

#endif
