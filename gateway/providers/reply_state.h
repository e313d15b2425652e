/* gateway/providers/reply_state.h - an answer on its way to the client: what reply.c collects and
 * reply_write.c writes. Not for others. */
#ifndef GATEWAY_PROVIDERS_REPLY_STATE_H
#define GATEWAY_PROVIDERS_REPLY_STATE_H

#include "gateway/providers/reply.h"

/* What a message or delta holds of texts: what stands between the quotes or brackets. */
enum member {
	CONTENT,
	REASONING,
	REFUSAL,
	DETAILS, /* reasoning_details; the last object may be open, see detail_state */
	IMAGES,
	ANNOTATIONS,
	LOGPROBS, /* the whole object; of the choice, not of the message */
	MEMBERS
};

struct call {
	struct buf head;      /* raw: id, then name, then extra, as long as the next two say */
	size_t id_len, end;   /* of the id in head; of the name */
	struct buf arguments; /* of this event, or all; what stands between the quotes */
	bool begins;          /* id and name are due in this event */
	bool touched;         /* this event has something of it */
	bool has_arguments;
};

/* How far the last object in DETAILS is written. */
enum detail_state {
	DETAIL_NONE,    /* there is none, or it is closed */
	DETAIL_IN_TEXT, /* its text may go on */
	DETAIL_OPEN,    /* all but its brace */
};

struct choice {
	unsigned index;
	struct buf member[MEMBERS];
	struct call *calls;
	unsigned call_count;
	enum detail_state detail_state;
	unsigned detail; /* number of the detail being written */
	unsigned next_detail;
	unsigned hidden_from_client; /* 1 + the last thought whose text the client does not want */
	bool begins;                 /* the role is due */
	bool finishes;               /* the finish reason is due */
	char finish[24];
	char native[64];
};

struct reply {
	enum reply_form form;
	struct choice *choices;
	unsigned count;
	size_t text_bytes;
	bool failed;        /* something did not fit */
	bool exclude;       /* the client does not want to read thoughts … */
	bool exclude_known; /* … and was asked */
	struct buf head;    /* of every chunk: up to the choices */
};

/* Ends the detail that is being written, if there is one. */
void reply_close_detail(struct choice *c);

#endif
