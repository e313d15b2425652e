/* gateway/providers/talk_draft.h - a conversation while it is being read: what talk_message.c finds
 * in one message after the other, and talk.c puts in order. Not for others.
 *
 * Parts stand in the order they were read, by turn; results of tools stand with their calls. What
 * could not be had for lack of memory sets failed.
 */
#ifndef GATEWAY_PROVIDERS_TALK_DRAFT_H
#define GATEWAY_PROVIDERS_TALK_DRAFT_H

#include "gateway/providers/arena.h"
#include "gateway/providers/names.h"
#include "gateway/providers/talk.h"

#define TALK_PARTS_MAX 200000u /* parts, calls and system texts of one request */

struct draft_turn {
	enum speaker who;
	unsigned first, count;      /* of parts; calls included, results not */
	unsigned first_call, calls; /* of calls */
};

struct draft_call {
	struct part result; /* PART_RESULT, when it was answered */
	unsigned part;      /* its own */
	unsigned turn;
	unsigned next; /* one behind the next open call with the same id; 0 = none */
};

struct draft {
	const struct talk_rules *rules;
	struct arena *arena;
	struct part *parts, *system;
	struct draft_turn *turns;
	struct draft_call *notes;
	struct talk_call *calls;
	unsigned part_count, system_count, turn_count, call_count;
	size_t part_cap, system_cap, turn_cap, note_cap, call_cap;
	struct names open;    /* ids as clients know them: first and last open call, turn */
	struct names taken;   /* ids as providers will know them: how often they were wanted */
	unsigned message;     /* the one being read */
	unsigned first_image; /* of the list of images in the present message */
	bool user_seen, failed;
};

/* Adds a part to the turn of this speaker, which is opened if it must be. The part lives until the
 * next one; NULL without memory. */
struct part *draft_part(struct draft *d, enum speaker who, const struct part *p);
void draft_system(struct draft *d, const struct part *p);

/* Adds a call; key is its id as the client knows it. name lives as long as the arena. */
void draft_call(struct draft *d, struct slice key, const char *name, const struct part *p);
/* Gives the call with this id its result; false: nobody waits for it. */
bool draft_result(struct draft *d, struct slice key, const struct part *p);
/* Signs the call of the present turn with this id, if it has no signature; false: no such call. */
bool draft_sign(struct draft *d, struct slice key, struct json_value signature);

/* Reads one message. ERR_BAD_REQUEST. */
MUST_CHECK enum err_code draft_message(struct draft *d, struct json_value message, struct err *e);

/* "messages[3].member must be what" with the member's path, for the message being read. */
MUST_CHECK enum err_code draft_wrong(const struct draft *d, struct err *e, const char *what,
	const char *path, ...) PRINTF_LIKE(4, 5);

/* Parts an id from the signature in it, if there is one ("id__thought__signature"). */
struct slice draft_id(struct slice id, struct slice *signature);

/* Reads the thoughts of an assistant's message and the signatures among them: reasoning_details,
 * thinking_blocks, reasoning or reasoning_content, whichever is there. *text gets the signature
 * that belongs to the message's text, if there is one. ERR_BAD_REQUEST. */
struct thoughts {
	struct json_value details, blocks, plain;
	const char *plain_name;
};
MUST_CHECK enum err_code draft_thoughts(
	struct draft *d, const struct thoughts *from, struct json_value *text, struct err *e);
/* A thinking or redacted_thinking block; path is its own. */
MUST_CHECK enum err_code draft_thinking_block(
	struct draft *d, struct json_value block, const char *path, struct err *e);
/* Does the provider take thoughts of this format back? */
bool draft_takes(const struct draft *d, struct slice format);

#endif
