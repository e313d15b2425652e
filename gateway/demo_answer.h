/* gateway/demo_answer.h - what the demonstration says: from a request's JSON to an answer or to
 * the events of a stream. Pure but for memory: no I/O, no clock.
 *
 * Ownership: demo_answer_open() copies what it needs from the body; demo_answer_fini() frees.
 */
#ifndef GATEWAY_DEMO_ANSWER_H
#define GATEWAY_DEMO_ANSWER_H

#include "base/buf.h"

#define DEMO_TEXT_MAX    ((size_t)256 << 10) /* bytes of an echo */
#define DEMO_CHOICES_MAX 8

struct demo_answer {
	struct buf text; /* what is said, or a tool call's arguments */
	char tool[128];  /* name of the function to call; "" = say the text */
	bool story;
	bool stream, include_usage;
	bool cut; /* the limit ended it */
	int64_t n;
	int64_t created;
	uint64_t serial;               /* makes the id its own; set by the server */
	int64_t prompt_tokens, tokens; /* tokens per choice */
	size_t end;                    /* bytes of text that are said */
	/* where a stream stands */
	size_t at;
	int64_t choice;
	int step;
};

/* Reads a chat completion request. ERR_BAD_REQUEST with param, ERR_MODEL_NOT_FOUND. */
MUST_CHECK enum err_code demo_answer_open(
	struct demo_answer *a, struct slice body, int64_t now_s, struct err *e);
void demo_answer_fini(struct demo_answer *a);

/* Appends the whole answer, a chat.completion object. */
void demo_answer_write(const struct demo_answer *a, struct buf *out);

enum demo_next {
	DEMO_TOKEN, /* an event with a piece of the text: pace here */
	DEMO_EVENT, /* another event */
	DEMO_END,   /* nothing appended, the stream is complete */
};
/* Appends the next event of the stream, as "data: …" with its empty line. */
enum demo_next demo_answer_next(struct demo_answer *a, struct buf *out);

/* The answer to GET models. */
void demo_answer_models(struct buf *out);

#endif
