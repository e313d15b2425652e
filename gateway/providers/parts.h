/* gateway/providers/parts.h - JSON objects that come in pieces, put together by rules: for
 * gather.c.
 *
 * A table says how the members of an object are merged, by their names; what it does not name keeps
 * the last value that said something. Names are compared as they are written.
 *
 * Ownership: nothing is copied but what is appended to: the pieces must live as long as the parts.
 * Memory:    bounded by PARTS_* and by max_bytes.
 * Pure. Threads: no shared state.
 */
#ifndef GATEWAY_PROVIDERS_PARTS_H
#define GATEWAY_PROVIDERS_PARTS_H

#include "base/json_scan.h"

#define PARTS_MEMBERS_MAX  256  /* of one object */
#define PARTS_ELEMENTS_MAX 1024 /* of an array whose elements are merged */

enum parts_how {
	PARTS_LAST,     /* the last value that says something */
	PARTS_DROP,     /* not a member of whole answers, or written otherwise */
	PARTS_APPEND,   /* strings and arrays grow, other values as PARTS_LAST */
	PARTS_OBJECT,   /* merged by the rules inside */
	PARTS_BY_INDEX, /* an array of objects, each merged with the one of its index, in their
			   order */
	PARTS_THOUGHTS, /* the same, but only where it says more of the same text; in the order they
			 * came
			 */
};

struct parts_rule {
	const char *name; /* raw, with its quotes; NULL = every other one */
	enum parts_how how;
	const struct parts_rule *inside;
};

/* What is known of one value so far. */
struct part {
	struct slice name;             /* raw; of elements empty */
	const struct parts_rule *rule; /* of a member */
	int64_t index;                 /* of elements; -1 = it has none */
	size_t piece;                  /* the last one it came from */
	enum json_kind kind;           /* JSON_ABSENT: a merged one */
	struct json_value last;        /* what it says, where nothing was appended */
	struct buf inner;              /* appended: what stands between the quotes or brackets */
	struct part *parts;            /* members or elements */
	size_t count;
};

/* { 0 } and max_bytes to begin with. */
struct parts {
	struct part top;
	size_t pieces;    /* merged so far */
	size_t max_bytes; /* of a text that is appended to */
	/* Of the last piece: how many strings and arrays were appended to; where, and by what
	 * string (as it is written, without its quotes), if it was one. */
	unsigned grown;
	struct part *grown_part;
	struct slice grown_by;
};

/* Merges one more object into p->top. ERR_UPSTREAM_INVALID: elements that are no objects, an index
 * below 0, or more than there may be; ERR_NO_MEMORY. */
MUST_CHECK enum err_code parts_merge(
	struct parts *p, const struct parts_rule *rules, struct json_value object, struct err *e);
/* One more object that differs from the last one in nothing but grown_by, where grown is 1. */
MUST_CHECK enum err_code parts_grow(struct parts *p, struct slice by, struct err *e);
void parts_fini(struct parts *p);

/* The member of this (raw) name, or NULL. */
const struct part *part_member(const struct part *of, const char *name);
/* The same, if it says anything: is not null, "" or empty. */
const struct part *part_that_says(const struct part *of, const char *name);

/* Is it a member of what is written? Not where merged elements are none: an empty list of calls is
 * refused by some clients (openai-chat.md section 6). */
bool part_is_written(const struct part *p);
void part_write(const struct part *p, struct buf *out);

#endif
