/* gateway/fim.h - reads requests that complete a text: FIM (kilo-contract.md section 29) and the
 * completions that came before chats (openai-chat.md section 13).
 *
 * Pure; the chat_req points into body, as gateway/providers/text.h says.
 */
#ifndef GATEWAY_FIM_H
#define GATEWAY_FIM_H

#include "gateway/route.h"

#define FIM_TOKENS_MAX 1000 /* that a completion between two texts may have */

/* Validates body and fills *req. ERR_BAD_REQUEST with the field in param, ERR_MODEL_NOT_FOUND. */
MUST_CHECK enum err_code fim_parse(
	struct slice body, const struct json_limits *limits, struct chat_req *req, struct err *e);
MUST_CHECK enum err_code fim_parse_text(
	struct slice body, const struct json_limits *limits, struct chat_req *req, struct err *e);

/* Turns the route of a chat with the model into that of such a request, and checks and completes
 * its limit of tokens. ERR_UNSUPPORTED when the provider offers none (reason
 * "unsupported_fim_model"), ERR_BAD_REQUEST. */
MUST_CHECK enum err_code fim_route(struct chat_req *req, struct route *r, struct err *e);
MUST_CHECK enum err_code fim_route_text(struct chat_req *req, struct route *r, struct err *e);

#endif
