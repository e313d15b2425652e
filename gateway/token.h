/* gateway/token.h - signed tokens: a user, perhaps within an organisation, for a while.
 *
 * JSON Web Tokens with HMAC-SHA256 (RFC 7519, 7515; kilo-contract.md sections 3.2 to 3.5). Only
 * what we make ourselves is taken: alg HS256 and typ JWT, nothing else in the header (so no
 * "none", no other algorithm, no crit, no key that the token brings along), version 3, the claims
 * below and no others, each once, this deployment's env, and the signature of its secret. The
 * claims are not looked at before the signature is right.
 *
 * A token proves who it was made for, not that this still holds: membership, role, and whether the
 * account exists are looked up by whoever reads it, and token_has_pepper() says whether it
 * was made before the account's tokens were revoked.
 *
 * The secret is TOKEN_SECRET_MIN random bytes or more that never leave the deployment; the caller
 * keeps them in a file that only its owner can read. A token is a secret too: never log it.
 *
 * Units: seconds since 1970 UTC. Pure: no I/O, no clock. Threads: any.
 */
#ifndef GATEWAY_TOKEN_H
#define GATEWAY_TOKEN_H

#include "base/buf.h"

#define TOKEN_MAX        1536 /* bytes of a token */
#define TOKEN_SECRET_MIN 32   /* bytes */
#define TOKEN_VERSION    3
#define TOKEN_SKEW_S     30 /* clocks may differ by so much */

/* How long a token may live at most; what was made for longer is not ours. */
#define TOKEN_ORG_S  (INT64_C(15) * 60)
#define TOKEN_USER_S (INT64_C(5) * 365 * 86400)

/* Texts are printable ASCII without blanks. */
struct token {
	char env[65];    /* the deployment */
	char user[72];   /* the account's id */
	char pepper[65]; /* the account's when the token was made; "" = it had none */
	char org[64];    /* "" = none */
	char role[24];   /* in the organisation, when it was made; "" exactly without org */
	int64_t issued_s;
	int64_t not_before_s; /* 0 = from issued_s on */
	int64_t expires_s;
};

/* Appends the token of these claims. ERR_RANGE with param: a text that is empty, too long or holds
 * other characters, a role without an org or the reverse, a lifetime that is not 1..TOKEN_ORG_S
 * (with org) or TOKEN_USER_S, a short secret. Nothing is appended then. */
MUST_CHECK enum err_code token_make(
	const struct token *t, struct slice secret, struct buf *out, struct err *e);

enum token_verdict {
	TOKEN_VALID,
	TOKEN_MALFORMED, /* not one of ours, whoever signed it */
	TOKEN_FORGED,    /* the signature is not that of our secret */
	TOKEN_OUTDATED,  /* another version */
	TOKEN_FOREIGN,   /* of another deployment */
	TOKEN_EARLY,     /* not valid yet */
	TOKEN_EXPIRED,
	TOKEN_VERDICTS
};

/* Judges a token. *out is { 0 } unless it is valid. env is this deployment's. Under a secret that
 * is too short nothing is valid. */
enum token_verdict token_read(
	struct slice text, struct slice secret, const char *env, int64_t now_s, struct token *out);

/* What to tell a client: a sentence that names what to do next. */
const char *token_verdict_text(enum token_verdict verdict);

/* Does the token carry the account's current pepper? An account without one ("") takes every
 * token. The time depends on lengths alone. */
bool token_has_pepper(const struct token *t, const char *current);

/* Has it the outer form of a token, three parts between two dots? API keys have not. */
bool token_is_likely(struct slice text);

#endif
