/* base/sigv4.h - signs a POST with AWS Signature Version 4 (providers.md section 7.2).
 *
 * libcurl's own signer does not encode the path a second time before it signs, so a path with
 * "%3A" in it is refused; hence this one.
 * Pure: the time comes in as an argument. The signature holds for about five minutes.
 */
#ifndef BASE_SIGV4_H
#define BASE_SIGV4_H

#include "base/buf.h"

/* What an operator was given. Texts are lent; none is NULL. */
struct sigv4_keys {
	const char *id;
	const char *secret;
	const char *session_token; /* of temporary credentials; "" = none */
	const char *region;        /* "us-east-1" */
};

struct sigv4_request {
	const char *service; /* "bedrock" */
	struct slice url;    /* as it goes over the wire, without a query */
	struct slice content_type;
	struct slice body;
};

/* Appends the headers that sign r: X-Amz-Date, X-Amz-Security-Token where there is a session
 * token, Authorization, each a text ended by NUL. now_ms is wall-clock time. Without room or
 * memory headers has failed. */
void sigv4_sign(const struct sigv4_keys *keys, const struct sigv4_request *r, int64_t now_ms,
	struct buf *headers);

#endif
