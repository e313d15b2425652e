/* handlers/cli/selftest_faults.h - the fault catalogue: what goes wrong at whom, and what the
 * client must see all the same.
 *
 * A fault has a model of its own, selftest/NAME, so that what one of them does to the health of its
 * model touches no other. Constant data. Threads: any.
 */
#ifndef HANDLERS_CLI_SELFTEST_FAULTS_H
#define HANDLERS_CLI_SELFTEST_FAULTS_H

#include "gateway/selftest.h"

/* What a provider does when it is asked. */
enum selftest_act {
	ACT_SAME,      /* as the time before; at first: it was not to be asked, and says 500 */
	ACT_ANSWER,    /* answers as it should */
	ACT_429,       /* … */
	ACT_429_SOON,  /* with Retry-After: 1 */
	ACT_429_LATER, /* with Retry-After: 60 */
	ACT_500,
	ACT_503,
	ACT_RESET,      /* resets the connection in place of a head */
	ACT_SILENT,     /* takes the request and says nothing */
	ACT_SLOW,       /* sends the head, and no token */
	ACT_CUT,        /* breaks off in the middle of a word's chunk */
	ACT_STALL,      /* stops in the middle and keeps the connection */
	ACT_NO_DONE,    /* ends without [DONE] */
	ACT_NO_FINISH,  /* ends in the middle as if that were all */
	ACT_GARBAGE,    /* sends an event that is no JSON */
	ACT_ERROR_200,  /* says 200, and an error */
	ACT_ERROR_LATE, /* sends an error event in the middle */
	ACT_HTML,       /* sends a page for people under 200 */
	ACT_EMPTY,      /* ends the stream before its first event */
	ACT_TOO_LONG,   /* 400: the conversation is too long */
	ACT_REFUSED,    /* 400: the content is refused */
	ACT_BAD_KEY,    /* 401 */
	ACT_CONTINUE,   /* goes on from what the request has of the answer; else, another one */
	ACT_OTHER_CUT,  /* as ACT_CUT, of another answer */
};

enum selftest_expect {
	EXPECT_WHOLE,   /* the answer: whole, once, in order, ended as it should */
	EXPECT_RESCUED, /* the same, from two attempts; an honest end where rescues are off */
	EXPECT_CUT,     /* what came, then an error event and no [DONE] */
	EXPECT_STATUS,  /* this status, and an error object */
	EXPECT_DOWN,    /* 503 with Retry-After */
};

/* Which setting says how long it takes. */
enum selftest_wait { WAIT_NONE, WAIT_FIRST_TOKEN, WAIT_IDLE };

#define SELFTEST_PLACES 3 /* providers that are asked for one fault, at most */
#define SELFTEST_ACTS   3
#define SELFTEST_ANY    255

struct selftest_fault {
	const char *name;
	const char *at; /* who has the model, in order: "ab"; x = the closed port */
	uint8_t acts[SELFTEST_PLACES]
		    [SELFTEST_ACTS]; /* of each, at its first request, its second … */
	bool cycles;                 /* after the last act comes the first */
	bool whole;                  /* no stream is asked for */
	bool calls;                  /* the answer calls a tool */
	bool stranger;               /* asks without a key */
	bool continues;       /* its model goes on from an assistant's message that comes last */
	bool outage;          /* asked so often that the first must be taken out of rotation */
	uint8_t times;        /* requests, one after the other; 0 = 1 */
	uint8_t expect;       /* enum selftest_expect */
	uint8_t wait;         /* enum selftest_wait; those that wait are slow */
	int status;           /* for EXPECT_STATUS */
	const char *attempts; /* X-Attempts, without "selftest-" before the names; NULL = any */
	/* how often each is asked, 0..; SELFTEST_ANY = no matter */
	uint8_t asked[SELFTEST_PLACES];
};

extern const struct selftest_fault selftest_faults[];
extern const size_t selftest_fault_count;

/* The words of the answer, and of the other one; the arguments of the call. Each word is a token.
 */
#define SELFTEST_WORDS         40
#define SELFTEST_PROMPT_TOKENS 10
#define SELFTEST_ARGUMENTS     "{\"city\":\"Oslo\",\"days\":[1,2,3],\"note\":\"a \\\"quoted\\\" word\"}"

void selftest_word(bool other, unsigned i, char out[8]);

/* The number of the place in selftest_slugs that a letter of .at stands for. */
uint8_t selftest_place(char letter);

#endif
