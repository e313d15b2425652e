/* gateway/providers/openai_messages.h - the messages of a request as a provider that nearly speaks
 * OpenAI takes them: what quirks.walks and the fields below it say.
 *
 * One walk; messages that need no change are copied in long runs.
 * Pure.
 */
#ifndef GATEWAY_PROVIDERS_OPENAI_MESSAGES_H
#define GATEWAY_PROVIDERS_OPENAI_MESSAGES_H

#include "base/json_scan.h"
#include "gateway/providers/openai_like.h"

/* Appends the messages. front: the text of a system message to put in front of all, a JSON string
 * without its quotes; empty = none. */
void openai_messages_write(
	const struct quirks *q, struct json_value messages, struct slice front, struct buf *out);

/* For rows that are not walked: members of messages that are null, which strict servers refuse, are
 * left out, but for content. */
void openai_messages_without_nulls(struct json_value messages, struct buf *out);

/* For rows that are not walked: only ids with a thought signature are changed. */
void openai_messages_shorten_ids(
	const struct quirks *q, struct json_value messages, struct buf *out);
bool openai_messages_have_marked_ids(struct json_value messages);

/* Appends a call's id, a JSON string, as the provider takes it: without the thought signature that
 * some clients keep in it, which only Google reads, and by a hash of it where its length or
 * characters do not fit. The same id always becomes the same. false: it is fit as it stands, and
 * nothing is appended. */
bool openai_id_write(const struct quirks *q, struct slice id, struct buf *out);

#endif
