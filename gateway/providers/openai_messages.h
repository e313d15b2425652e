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

#endif
