/* gateway/sign.h - how a request proves who sends it, where a fixed key in a header is not enough:
 * an access token is fetched before it is encoded
 * (target.account_file, account_json), or the encoded request is signed
 * (target.sigv4).
 *
 *     rc = sign_begin(&s, t, pump, e);
 *     if (!rc)
 *             rc = s.target.provider->encode(req, &s.target, &http, e);
 *     if (!rc)
 *             rc = sign_request(&s.target, &http, e);
 *     …
 *     sign_end(&s, status);
 *
 * Blocking: sign_begin as long as vertex_token does.
 */
#ifndef GATEWAY_SIGN_H
#define GATEWAY_SIGN_H

#include "gateway/vertex.h"

struct sign {
	struct vertex *vertex; /* whose token it is; NULL = nobody's */
	struct vertex *own;    /* the same, when it is a caller's */
	struct target target;  /* what to encode for: api_key may be token */
	char *token;           /* of VERTEX_TOKEN_SIZE bytes, where one is needed: streams wait on
				* this stack */
};

/* Fills s->target from t, with a fresh key where it needs one. *s is set on every path. */
MUST_CHECK enum err_code sign_begin(
	struct sign *s, const struct target *t, struct pump *pump, struct err *e);

/* Adds the headers that sign the encoded request, which must hold a Content-Type and no
 * Authorization. Without target.sigv4 there is nothing to do. ERR_NO_MEMORY, ERR_CONF. */
MUST_CHECK enum err_code sign_request(const struct target *t, struct http_req *http, struct err *e);

/* Wipes the token. upstream_status: what the provider answered; 0 = nothing. */
void sign_end(struct sign *s, int upstream_status);

#endif
