/* gateway/chat.h - reads a chat request once and says what the later stages need to know.
 * Rules: openai-chat.md section 2, kilo-contract.md section 5.4.
 * Pure; the chat_req points into body.
 */
#ifndef GATEWAY_CHAT_H
#define GATEWAY_CHAT_H

#include "gateway/providers/tongue.h"

/* Validates body and fills *req. ERR_BAD_REQUEST with the byte offset or the field in param;
 * ERR_MODEL_NOT_FOUND when model is missing, no string or blank. Fields it does not know pass
 * unread. */
MUST_CHECK enum err_code chat_parse(
	struct slice body, const struct json_limits *limits, struct chat_req *req, struct err *e);

/* A rough count of the prompt's tokens, for when the provider reports none. */
int64_t chat_estimate_prompt_tokens(const struct chat_req *req);

/* A count of the prompt's tokens that is not too low: a token is at least one byte of text. */
int64_t chat_most_prompt_tokens(const struct chat_req *req);

/* How many images the messages show, for models that charge for each. */
int64_t chat_images(const struct chat_req *req);

/* May it ask a provider to cache for an hour ("ttl":"1h")? Costs more than five minutes. */
bool chat_may_cache_1h(const struct chat_req *req);

#endif
