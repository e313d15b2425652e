/* gateway/providers/openai_ids.h - ids of tool calls in a history, as a provider takes them:
 * without the thought signature that some clients keep in them ("call_1__thought__QUJD"), which
 * only Google reads, and by a hash where length or characters do not fit (kilo-contract.md section
 * 22).
 *
 * The same id always becomes the same, so that a call and its result stay together.
 * Pure.
 */
#ifndef GATEWAY_PROVIDERS_OPENAI_IDS_H
#define GATEWAY_PROVIDERS_OPENAI_IDS_H

#include "gateway/providers/openai_like.h"
#include "gateway/providers/patch.h"

/* Is the id (without quotes) fit as it stands? */
bool openai_id_fits(const struct quirks *q, struct slice id);

/* Appends the id, a JSON string, as it must be; false, and nothing is appended, where it is fit. */
bool openai_id_write(const struct quirks *q, struct slice id, struct buf *out);
void openai_id_patch(const struct quirks *q, struct patch *p, struct json_value id);

/* For rows that are not walked: is there a thought signature in an id, perhaps? And the messages
 * without it, otherwise as they are. */
bool openai_ids_are_marked(struct json_value messages);
void openai_ids_shorten(const struct quirks *q, struct json_value messages, struct buf *out);

#endif
