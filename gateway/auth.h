/* gateway/auth.h - who is calling: a key, or nobody.
 *
 * Credentials are looked for in the order of DESIGN.md section 8; the first that is there counts.
 * "Bearer anonymous" and an empty key are the same as none (kilo-contract.md section 33).
 * Blocking: reads the key file. Threads: any.
 */
#ifndef GATEWAY_AUTH_H
#define GATEWAY_AUTH_H

#include "base/str.h"
#include "store/keys.h"

/* What the web server handed over; NULL where there is nothing. */
struct credentials {
	const char *authorization;          /* HTTP_AUTHORIZATION */
	const char *redirect_authorization; /* REDIRECT_HTTP_AUTHORIZATION */
	const char *x_api_key;
	const char *api_key;
	bool repeated; /* one of them came more than once */
};

struct caller {
	bool anonymous;
	struct key_info key;          /* when not anonymous */
	char org[PEOPLE_ORG_ID_SIZE]; /* the organisation of a token; "" = the request may name one
				       */
};

/* ERR_UNAUTHENTICATED: there is a credential, but it opens nothing; a typing error is told apart,
 * unknown and revoked are not. ERR_STORE. An organisation token (org_token.h) is taken in the
 * place of a key. */
MUST_CHECK enum err_code auth_check(struct keys *keys, const struct credentials *c, int64_t now_ms,
	struct caller *out, struct err *e);

/* Who the caller is: user, organisation (named, an id or slug, unless a token says), limits. key is
 * lent from caller; out as with people_identify, to be ended with identity_fini. */
MUST_CHECK enum err_code auth_identify(struct keys *keys, const struct caller *c,
	struct slice named_org, struct identity *out, struct err *e);

/* May this caller use a model? ERR_PAID_AUTH when it costs and nobody is there to pay. server_hint
 * (may be "") is added to the message: what a web server has to be told to pass the header on. */
MUST_CHECK enum err_code auth_may_use(
	const struct caller *c, bool model_is_free, const char *server_hint, struct err *e);

#endif
