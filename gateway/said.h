/* gateway/said.h - what a client has of a stream, inside: for said.c, rescue.c and rescue_body.c.
 * Nobody else; contract: rescue.h.
 */
#ifndef GATEWAY_SAID_H
#define GATEWAY_SAID_H

#include "gateway/rescue.h"

/* A tool call of choice 0, as far as it went. */
struct said_call {
	int64_t index;
	struct buf name, arguments; /* decoded */
};

struct said {
	bool lost;      /* too much, or no memory: nothing else counts */
	bool other;     /* something went out that can neither be compared nor continued */
	bool finished;  /* a finish reason went out */
	bool role;      /* the role went out */
	bool thought;   /* thoughts went out */
	int64_t detail; /* the first index that no detail of them has */
	struct buf id, created, model; /* JSON, of the first chunk */
	struct buf text;               /* decoded */
	struct said_call *calls;
	size_t call_count;
	size_t kept; /* bytes of all texts */
	/* A chunk that begins and ends (up to the end of its choices) like this one differs from
	 * the last one in nothing but a string, which goes into the text (0) or the arguments of
	 * call into - 1. */
	struct buf before, behind;
	size_t into;
};

/* The bytes of the text without blanks at its end. */
size_t said_trimmed(const struct said *s);

/* ---- how chunks are read ---- */

/* Keys are compared as they are written: dialects make chunks, and do not escape them. */
bool said_key_is(struct slice key, const char *name);

struct said_head {
	struct json_value id, created, model, choices;
};
struct said_head said_read_head(struct slice chunk);

struct said_choice {
	int64_t index;
	struct json_value delta, finish, logprobs;
};
struct said_choice said_read_choice(struct json_value object);
bool said_finishes(const struct said_choice *c);

enum said_member {
	SAID_OTHER,
	SAID_ROLE,
	SAID_CONTENT,
	SAID_THOUGHT, /* in words, or what a provider hides beside a text */
	SAID_DETAILS, /* the same, as an array */
	SAID_CALLS,
};
enum said_member said_member_of(struct slice key);

/* A piece of a call. */
struct said_piece {
	int64_t index;
	struct json_value name, arguments;
	bool other; /* it says something else */
};
struct said_piece said_read_piece(struct json_value object);

#endif
