/* gateway/images.h - fetches the images that a chat request names by URL and puts them into it, for
 * providers that take images only inline.
 *
 * The URLs are the client's, so this is off unless the operator allows it (GATEWAY_FETCH_IMAGES),
 * and then DESIGN.md section 7 rules: only http and https, no redirects, the address that is
 * dialled must be public unicast (or in GATEWAY_FETCH_ALLOW), a limit on count, bytes and time.
 *
 * Blocking: up to images_conf.timeout_ms in all. Threads: request threads.
 */
#ifndef GATEWAY_IMAGES_H
#define GATEWAY_IMAGES_H

#include "gateway/upstream.h"

struct images_conf {
	bool fetch;         /* GATEWAY_FETCH_IMAGES */
	const char *allow;  /* GATEWAY_FETCH_ALLOW: blocks that may be dialled though not public */
	size_t max_bytes;   /* of one image: GATEWAY_FETCH_MAX */
	unsigned max_count; /* of one request: GATEWAY_FETCH_COUNT */
	int64_t timeout_ms; /* for all of them: GATEWAY_FETCH_TIMEOUT */
	size_t max_body;    /* of the request with its images: GATEWAY_MAX_BODY */
	int64_t connect_ms;
};

/* Is there anything to do for this request at this provider? Costs one walk over the messages, and
 * nothing where the provider takes URLs. */
bool images_are_needed(const struct chat_req *req, const struct target *t);

/* Appends to *body the client's request with every image URL that the provider cannot take replaced
 * by a data: URL. ERR_BAD_REQUEST names the image (param) and the limit or setting;
 * ERR_CLIENT_GONE. client: watched for leaving. */
MUST_CHECK enum err_code images_inline(struct pump *pump, const struct images_conf *conf,
	const struct chat_req *req, const struct target *t, struct sink *client, struct buf *body,
	struct err *e);

#endif
