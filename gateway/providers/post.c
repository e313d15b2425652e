#include "gateway/providers/post.h"

#include <ctype.h>

#define HEADERS_MAX 16384 /* bytes */
#define PLACE       "{id}"

void post_header(struct http_req *out, const char *name, const char *value)
{
	buf_str(&out->headers, name);
	buf_str(&out->headers, ": ");
	buf_str(&out->headers, value);
	buf_char(&out->headers, '\0');
}

static void write_key(const struct target *t, struct http_req *out)
{
	static const char *const bearers[] = { "bearer", "service-account", "none" };

	if (t->sigv4 || !t->api_key[0])
		return;
	for (size_t i = 0; i < sizeof(bearers) / sizeof(bearers[0]); i++)
		if (strcmp(t->auth, bearers[i]) == 0) {
			buf_str(&out->headers, "Authorization: Bearer ");
			buf_str(&out->headers, t->api_key);
			buf_char(&out->headers, '\0');
			return;
		}
	post_header(out, t->auth, t->api_key);
}

void post_headers(
	const struct target *t, const char *accept, size_t max_bytes, struct http_req *out)
{
	out->headers.max_bytes = HEADERS_MAX;
	out->body.max_bytes = max_bytes;
	post_header(out, "Content-Type", "application/json");
	post_header(out, "Accept", accept);
	post_header(out, "Accept-Encoding", "identity"); /* else any coding is allowed */
	post_header(out, "Expect", "");                  /* no 100-continue round trip */
	write_key(t, out);
}

bool post_strays(const char *id)
{
	struct slice rest = slice_of(id), step;

	while (rest.len) {
		step = slice_cut(&rest, '/');
		if (!step.len || slice_is(step, ".") || slice_is(step, ".."))
			return true;
	}
	return !id[0];
}

/* Nothing of an id ends the path that it stands in. */
static void write_id(const char *id, struct buf *out)
{
	for (; *id; id++)
		if (isalnum((unsigned char)*id) || strchr("-._~/@:", *id))
			buf_char(out, *id);
		else
			buf_printf(out, "%%%02X", (unsigned)(unsigned char)*id);
}

static bool write_url(const struct target *t, char *url, size_t size)
{
	struct buf text = { .max_bytes = size - 1 };
	struct slice base = slice_of(t->base_url);
	const char *path = t->chat_path, *at;
	bool fits;

	while (strncmp(path, "../", 3) == 0) {
		while (base.len && base.ptr[base.len - 1] != '/')
			base.len--;
		base.len -= base.len > 0;
		path += 3;
	}
	buf_slice_append(&text, base);
	if (*path != '/')
		buf_char(&text, '/');
	while ((at = strstr(path, PLACE))) {
		buf_append(&text, path, (size_t)(at - path));
		write_id(t->native_id, &text);
		path = at + strlen(PLACE);
	}
	buf_str(&text, path);
	fits = buf_ok(&text) && slice_copy(buf_slice(&text), url, size);
	buf_fini(&text);
	return fits;
}

enum err_code post_begin(
	const struct target *t, bool stream, size_t max_bytes, struct http_req *out, struct err *e)
{
	if (strstr(t->chat_path, PLACE) && post_strays(t->native_id))
		return err_param(
			e, ERR_BAD_REQUEST, "model", "model: no model of %s is called so", t->slug);
	if (!write_url(t, out->url, sizeof(out->url)))
		return err_set(e, ERR_CONF, "the provider's URL is longer than %zu bytes",
			sizeof(out->url) - 1);
	post_headers(t, stream ? "text/event-stream" : "application/json", max_bytes, out);
	return ERR_OK;
}

enum err_code post_end(const struct http_req *out, struct err *e)
{
	return buf_ok(&out->body) && buf_ok(&out->headers)
		       ? ERR_OK
		       : err_set(e, ERR_NO_MEMORY,
				 "the request to the provider does not fit into memory");
}
