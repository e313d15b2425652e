#include "gateway/sign.h"

#include "base/clock.h"
#include "base/crypto.h"
#include "base/sigv4.h"

#include <stdlib.h>

enum err_code sign_begin(struct sign *s, const struct target *t, struct pump *pump, struct err *e)
{
	enum err_code rc;

	s->target = *t;
	s->token = NULL;
	s->vertex = s->own = NULL;
	if (!t->account_file && !t->account_json)
		return ERR_OK;
	s->token = calloc(1, VERTEX_TOKEN_SIZE);
	if (!s->token)
		return err_set(e, ERR_NO_MEMORY, "no memory for an access token");
	s->target.api_key = s->token;
	if (t->account_json) /* no token of a caller's account outlives the request */
		s->vertex = s->own = vertex_new_of_text(slice_of(t->account_json));
	else
		s->vertex = vertex_of(t->account_file);
	if (!s->vertex)
		return err_set(e, ERR_NO_MEMORY, "no memory for an access token");
	rc = vertex_token(s->vertex, pump, s->token, e);
	if (rc && e)
		str_copy_cut(e->provider, sizeof(e->provider), t->slug);
	return rc;
}

static struct slice header_of(const struct http_req *http, const char *name)
{
	const char *end = http->headers.data + http->headers.len;

	for (const char *h = http->headers.data; h && h < end; h += strlen(h) + 1)
		if (slice_starts_nocase(slice_of(h), name))
			return slice_trim(slice_of(h + strlen(name)));
	return SLICE("");
}

enum err_code sign_request(const struct target *t, struct http_req *http, struct err *e)
{
	const struct sigv4_request r = { .service = t->provider->sigv4_service,
		.url = slice_of(http->url),
		.content_type = header_of(http, "Content-Type:"),
		.body = buf_slice(&http->body) };

	if (!t->sigv4)
		return ERR_OK;
	if (!r.service)
		return err_set(e, ERR_CONF, "requests in the dialect \"%s\" cannot be signed",
			t->provider->name);
	sigv4_sign(t->sigv4, &r, clock_wall_ms(), &http->headers);
	return buf_ok(&http->headers)
		       ? ERR_OK
		       : err_set(e, ERR_NO_MEMORY, "the signature does not fit into memory");
}

void sign_end(struct sign *s, int upstream_status)
{
	if (s->vertex && s->token[0] && upstream_status == 401)
		vertex_refused(s->vertex, s->token);
	if (s->token)
		crypto_wipe(s->token, VERTEX_TOKEN_SIZE);
	free(s->token);
	vertex_free(s->own);
}
