/* gateway/embeddings.h - reads a request for embeddings (openai-chat.md section 12,
 * kilo-contract.md section 31.1).
 *
 * Pure; the chat_req points into body, as gateway/providers/embed.h says.
 */
#ifndef GATEWAY_EMBEDDINGS_H
#define GATEWAY_EMBEDDINGS_H

#include "gateway/route.h"

/* Validates body and fills *req. ERR_BAD_REQUEST with the field in param, ERR_MODEL_NOT_FOUND. */
MUST_CHECK enum err_code embeddings_parse(
	struct slice body, const struct json_limits *limits, struct chat_req *req, struct err *e);

/* Turns the route of a chat with the model into that of its embeddings. ERR_UNSUPPORTED when the
 * provider makes none. */
MUST_CHECK enum err_code embeddings_route(struct chat_req *req, struct route *r, struct err *e);

#endif
