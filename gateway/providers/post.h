/* gateway/providers/post.h - what every request to a provider has: the address, the headers, the
 * key. Pure.
 */
#ifndef GATEWAY_PROVIDERS_POST_H
#define GATEWAY_PROVIDERS_POST_H

#include "gateway/providers/tongue.h"

void post_header(struct http_req *out, const char *name, const char *value);

/* Sets the ceilings and writes the headers: what is sent, what is taken, and who we are, in one way
 * and never two; nothing of that for targets that are signed for or have no key. */
void post_headers(
	const struct target *t, const char *accept, size_t max_bytes, struct http_req *out);

/* Does a model's id, which a client wrote, leave the folder that it is put into? */
bool post_strays(const char *id);

/* Writes URL and headers of a POST with a JSON body of at most max_bytes. The path is the target's
 * chat_path, in which "{id}" stands for the model; "../" at its beginning takes the last part off
 * base_url. ERR_CONF, ERR_BAD_REQUEST for an id that strays. */
MUST_CHECK enum err_code post_begin(
	const struct target *t, bool stream, size_t max_bytes, struct http_req *out, struct err *e);

/* ERR_NO_MEMORY when the request did not fit. */
MUST_CHECK enum err_code post_end(const struct http_req *out, struct err *e);

#endif
