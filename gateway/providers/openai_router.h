/* gateway/providers/openai_router.h - what a client says to routers about who is to serve it, as a
 * router takes it (providers.md sections 5.2, 5.6 and 6; kilo-contract.md sections 19.5 and 24.1).
 *
 * It may say so in OpenRouter's form ("provider"), in Vercel's ("providerOptions") or in both; each
 * router gets all of it in its own. A router's own name is left out: it is chosen already. Where
 * the client says nothing about the order, target.prefers does. Pure.
 */
#ifndef GATEWAY_PROVIDERS_OPENAI_ROUTER_H
#define GATEWAY_PROVIDERS_OPENAI_ROUTER_H

#include "gateway/providers/openai_like.h"
#include "gateway/providers/tongue.h"

struct router_wishes {
	const struct target *target;
	const struct quirks *quirks;
	struct json_value provider, options; /* the client's members; JSON_ABSENT = it has none */
	bool must_honour;                    /* what a router would drop silently */
};

/* Is there anything to say in "provider" to a router, when the client has no such object? */
bool openai_router_has_wishes(const struct router_wishes *w);

/* Appends the object "provider" without members that the router would refuse. */
void openai_router_write_provider(const struct router_wishes *w, struct buf *out);

/* Does the client depend on tools being forced, or on a schema? Routers drop these silently for
 * models that cannot, unless they are told to look for one that can. */
bool openai_router_must_honour(struct json_value tool_choice, struct json_value format);

/* Appends ",\"providerOptions\":{…}", or nothing. */
void openai_router_write_options(const struct router_wishes *w, struct buf *out);

#endif
