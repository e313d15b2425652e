#include "gateway/providers/post.h"

#define HEADERS_MAX 16384 /* bytes */

static void add_header(struct http_req *r, const char *name, const char *value)
{
	buf_str(&r->headers, name);
	buf_str(&r->headers, ": ");
	buf_str(&r->headers, value);
	buf_char(&r->headers, '\0');
}

/* Model ids are printable ASCII; what is more than a name in a path is escaped. */
static void write_id(const char *id, struct buf *out)
{
	for (; *id; id++)
		if (strchr("%?# ", *id))
			buf_printf(out, "%%%02X", (unsigned)(unsigned char)*id);
		else
			buf_char(out, *id);
}

static bool write_url(const struct target *t, char *url, size_t size)
{
	static const char place[] = "{id}";
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
	while ((at = strstr(path, place))) {
		buf_append(&text, path, (size_t)(at - path));
		write_id(t->native_id, &text);
		path = at + strlen(place);
	}
	buf_str(&text, path);
	fits = buf_ok(&text) && slice_copy(buf_slice(&text), url, size);
	buf_fini(&text);
	return fits;
}

enum err_code post_begin(
	const struct target *t, bool stream, size_t max_bytes, struct http_req *out, struct err *e)
{
	if (!write_url(t, out->url, sizeof(out->url)))
		return err_set(e, ERR_CONF, "the provider's URL is longer than %zu bytes",
			sizeof(out->url) - 1);
	out->headers.max_bytes = HEADERS_MAX;
	out->body.max_bytes = max_bytes;
	add_header(out, "Content-Type", "application/json");
	add_header(out, "Accept", stream ? "text/event-stream" : "application/json");
	add_header(out, "Accept-Encoding", "identity"); /* else any coding is allowed */
	add_header(out, "Expect", "");                  /* no 100-continue round trip */
	if (!t->api_key[0])
		return ERR_OK;
	if (strcmp(t->auth, "bearer") != 0 && strcmp(t->auth, "none") != 0) {
		add_header(out, t->auth, t->api_key);
		return ERR_OK;
	}
	buf_str(&out->headers, "Authorization: Bearer ");
	buf_str(&out->headers, t->api_key);
	buf_char(&out->headers, '\0');
	return ERR_OK;
}

enum err_code post_end(const struct http_req *out, struct err *e)
{
	return buf_ok(&out->body) && buf_ok(&out->headers)
		       ? ERR_OK
		       : err_set(e, ERR_NO_MEMORY,
				 "the request to the provider does not fit into memory");
}
