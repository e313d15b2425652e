/* gateway/byok.h - a request that goes out with a key of the caller's own (kilo-contract.md
 * section 16.5).
 *
 * In the name of an organisation only the organisation's keys count, else only the user's own;
 * nobody anonymous has any. The request goes straight to the key's provider, costs nothing here,
 * and never falls back to the operator's key unless the key's owner allowed that.
 *
 * Blocking: reads byok.gdbm. Threads: any.
 */
#ifndef GATEWAY_BYOK_H
#define GATEWAY_BYOK_H

#include "base/sigv4.h"
#include "gateway/byok_names.h"
#include "store/byok.h"
#include "store/people.h"

/* Whose keys count for a request. False for nobody. */
MUST_CHECK bool byok_owner_of(const struct identity *who, struct byok_owner *out);

/* A key in use; { 0 } is none. Its route points into it. */
struct byok_use {
	bool used;
	struct byok_info info;
	struct buf secret;
	struct buf parts;    /* of a secret that is more than a key */
	struct buf base_url; /* empty = the provider's, as the operator wrote it */
	struct sigv4_keys sigv4;
};

/* Looks for an enabled key for the model. With one, u->used is true, and *r leads to its provider,
 * operator's key there or not. Without any *r is untouched. providers is the value of
 * GATEWAY_PROVIDERS: what it leaves out is not used. u is to be ended in any case.
 * ERR_MODEL_UNAVAILABLE: there is a key, but it cannot be used here. ERR_STORE, and what route_at
 * says. */
MUST_CHECK enum err_code byok_route(struct byok *keys, const struct catalog *c,
	const char *providers, const struct identity *who, const char *model, struct route *r,
	struct byok_use *u, struct err *e);
/* Wipes the secret and frees. */
void byok_use_fini(struct byok_use *u);

/* What the provider says of the caller's own account and key is for the caller: with these statuses
 * (401, 402, 403, 429) e becomes ERR_BYOK with the same status and "[BYOK]" in front. */
void byok_explain(int upstream_status, struct err *e);

#endif
