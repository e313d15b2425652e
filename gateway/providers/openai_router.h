/* gateway/providers/openai_router.h - what a client says to routers about who is to serve it, as a
 * router takes it (providers.md sections 5.2, 5.6 and 6).
 * Pure.
 */
#ifndef GATEWAY_PROVIDERS_OPENAI_ROUTER_H
#define GATEWAY_PROVIDERS_OPENAI_ROUTER_H

#include "gateway/providers/openai_like.h"
#include "gateway/providers/tongue.h"

/* Appends the object "provider" without members that the router would refuse. */
void openai_router_write_provider(
	const struct quirks *q, struct json_value provider, bool must_honour, struct buf *out);

/* Does the client depend on tools being forced, or on a schema? Routers drop these silently for
 * models that cannot, unless they are told to look for one that can. */
bool openai_router_must_honour(struct json_value tool_choice, struct json_value format);

/* Appends "providerOptions": the client's own, or else what it said in "provider" in those words.
 * ERR_UNSUPPORTED when both are there and "provider" restricts who may see the data. */
MUST_CHECK enum err_code openai_router_write_options(const struct target *t,
	struct json_value provider, struct json_value options, struct buf *out, struct err *e);

#endif
