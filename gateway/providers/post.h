/* gateway/providers/post.h - begins a request to a provider: the address, and the headers that
 * every one has.
 * Pure.
 */
#ifndef GATEWAY_PROVIDERS_POST_H
#define GATEWAY_PROVIDERS_POST_H

#include "gateway/providers/tongue.h"

/* Writes URL and headers of a POST with a JSON body of at most max_bytes. The path is the target's
 * chat_path, in which "{id}" stands for the model; "../" at its beginning takes the last part off
 * base_url. ERR_CONF. */
MUST_CHECK enum err_code post_begin(
	const struct target *t, bool stream, size_t max_bytes, struct http_req *out, struct err *e);

/* ERR_NO_MEMORY when the request did not fit. */
MUST_CHECK enum err_code post_end(const struct http_req *out, struct err *e);

#endif
