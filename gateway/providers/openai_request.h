/* gateway/providers/openai_request.h - the request to a provider that speaks OpenAI, or nearly: the
 * client's own bytes, with the members replaced that the gateway answers for and without those the
 * provider would refuse (openai-chat.md section 2; gotchas 3, 4, 11, 13).
 * Pure.
 */
#ifndef GATEWAY_PROVIDERS_OPENAI_REQUEST_H
#define GATEWAY_PROVIDERS_OPENAI_REQUEST_H

#include "gateway/providers/tongue.h"

/* See struct provider in tongue.h. */
MUST_CHECK enum err_code openai_encode(
	const struct chat_req *req, const struct target *t, struct http_req *out, struct err *e);

#endif
