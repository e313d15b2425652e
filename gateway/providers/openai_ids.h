/* gateway/providers/openai_ids.h - ids of tool calls in a history, as a provider takes them:
 * without the thought signature that some clients keep in them ("call_1__thought__QUJD"), which
 * only Google reads, and by a hash where length or characters do not fit (kilo-contract.md section
 * 22).
 *
 * The same id always becomes the same, so that a call and its result stay together; two that
 * differ never do. Where only nine characters of a hash are left, that takes a memory of who has
 * which: one struct for each history, whose ids come in their order.
 * Pure. { .q = row } is a valid empty one; openai_ids_fini() frees.
 */
#ifndef GATEWAY_PROVIDERS_OPENAI_IDS_H
#define GATEWAY_PROVIDERS_OPENAI_IDS_H

#include "gateway/providers/arena.h"
#include "gateway/providers/names.h"
#include "gateway/providers/openai_like.h"
#include "gateway/providers/patch.h"

struct openai_ids {
	const struct quirks *q;
	struct names owners;  /* by id as it is sent */
	struct buf originals; /* of struct slice: whose they are */
	struct arena arena;
};

/* Is the id (without quotes) sent as it is written, whatever others there are? */
bool openai_id_fits(const struct quirks *q, struct slice id);

/* Puts the id, if it is a string, as it must be. */
void openai_ids_patch(struct openai_ids *ids, struct patch *p, struct json_value id);

/* out fails when there was no memory for one of them. */
void openai_ids_fini(struct openai_ids *ids, struct buf *out);

/* For rows that are not walked: is there a thought signature in an id, perhaps? And the messages
 * with their ids as they must be, otherwise as they are. */
bool openai_ids_are_marked(struct json_value messages);
void openai_ids_rewrite(const struct quirks *q, struct json_value messages, struct buf *out);

#endif
