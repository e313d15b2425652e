/* gateway/org_token.h - organisation tokens of this gateway: a key lends its rights within one
 * organisation to a bearer for fifteen minutes (kilo-contract.md section 3.5, token.h).
 *
 * A token names the key it was made with, in the claim that elsewhere holds the account's pepper:
 * it opens nothing that the key does not, counts on the key's limits, and ends with the key. Its
 * secret and the name of the deployment are derived from GATEWAY_HOME/pepper, so a token of
 * another deployment is refused.
 *
 * Blocking: reads the pepper and the key file. Threads: any.
 */
#ifndef GATEWAY_ORG_TOKEN_H
#define GATEWAY_ORG_TOKEN_H

#include "gateway/token.h"
#include "store/keys.h"

/* Appends a token for the member that who is in who->org, which is not NULL; *expires_ms is its
 * end. ERR_STORE, ERR_RANGE. Membership is the caller's to check. */
MUST_CHECK enum err_code org_token_make(struct keys *keys, const struct identity *who,
	int64_t now_ms, struct buf *out, int64_t *expires_ms, struct err *e);

/* Reads a token: the key behind it, and the organisation (an id) it is good for.
 * ERR_UNAUTHENTICATED when it opens nothing; ERR_STORE. */
MUST_CHECK enum err_code org_token_check(struct keys *keys, struct slice text, int64_t now_ms,
	struct key_info *key, char org[PEOPLE_ORG_ID_SIZE], struct err *e);

#endif
