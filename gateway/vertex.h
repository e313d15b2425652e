/* gateway/vertex.h - access tokens of a Google service account, for Vertex AI (gemini.md section
 * 16): a signed claim (RFC 7523) is exchanged at the account's token_uri for a token that holds
 * about an hour.
 *
 * The key file is read whenever a token is fetched, so that a new one counts without a restart,
 * and forgotten right behind that. A file that others may write is refused; one that they may read
 * is used, with a warning in the log.
 *
 * Threads:  any; one fetches, the others wait for it, or go on with a token that still holds.
 * Blocking: vertex_token blocks while a token is fetched, at most VERTEX_WAIT_MS.
 */
#ifndef GATEWAY_VERTEX_H
#define GATEWAY_VERTEX_H

#include "gateway/upstream.h"

#define VERTEX_VARIABLE   "GOOGLE_APPLICATION_CREDENTIALS" /* the setting that names the file */
#define VERTEX_TOKEN_SIZE 4096                             /* bytes of a token with its NUL */
#define VERTEX_WAIT_MS    15000                            /* for a token */
#define VERTEX_EARLY_MS   INT64_C(300000) /* a token is renewed this long before its end */

struct vertex;

/* file: the account's JSON file, copied. NULL without memory. */
MUST_CHECK struct vertex *vertex_new(const char *file);
/* The same for an account of a caller's own, in memory: json is its file's text, lent until
 * vertex_free(). NULL without memory. */
MUST_CHECK struct vertex *vertex_new_of_text(struct slice json);
void vertex_free(struct vertex *v);

/* The one of this process for a file that the settings name; lent for ever, so that tokens outlive
 * a change of the catalogue. NULL without memory. */
MUST_CHECK struct vertex *vertex_of(const char *file);

/* Copies a token that holds to out. ERR_CONF with the setting when the file cannot serve;
 * ERR_UPSTREAM_STATUS when the account is refused; what else pump_run can say. */
MUST_CHECK enum err_code vertex_token(
	struct vertex *v, struct pump *pump, char out[VERTEX_TOKEN_SIZE], struct err *e);

/* The provider answered 401 to this token: unless it is very young, the next call fetches another.
 */
void vertex_refused(struct vertex *v, const char *token);

#endif
