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

/* The same for members that other requests have too. They are absent when they are null. */
bool chat_is_absent(struct json_value v);
/* out has MODEL_ID_MAX bytes. */
MUST_CHECK enum err_code chat_read_model(struct json_value v, char *out, struct err *e);
/* Leaves *out alone when the member is absent. */
MUST_CHECK enum err_code chat_read_integer(
	const struct json_member *m, int64_t min, int64_t max, int64_t *out, struct err *e);
/* stream and stream_options. */
MUST_CHECK enum err_code chat_read_stream(struct chat_req *req, struct err *e);

#define CHAT_MAX_TOKENS_MAX INT64_C(99999999999) /* kilo-contract.md section 5.1 */

/* A rough count of the prompt's tokens, for when the provider reports none. */
int64_t chat_estimate_prompt_tokens(const struct chat_req *req);

/* A count of the prompt's tokens that is not too low: a token is at least one byte of text. */
int64_t chat_most_prompt_tokens(const struct chat_req *req);

/* How many tokens all answers to it may have at most. otherwise: how many one may have when the
 * request names no limit, or names one beside which the provider lets the model think. */
int64_t chat_most_output_tokens(
	const struct chat_req *req, const struct provider *p, int64_t otherwise);

/* How many images the messages show, for models that charge for each. */
int64_t chat_images(const struct chat_req *req);

/* May it ask a provider to cache for an hour ("ttl":"1h")? Costs more than five minutes. */
bool chat_may_cache_1h(const struct chat_req *req);

#endif
