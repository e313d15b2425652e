#include "gateway/images.h"

#include "base/base64.h"
#include "base/clock.h"
#include "gateway/providers/openai_like.h"
#include "gateway/providers/splice.h"

#include <stdio.h>

/* ---- which images ---- */

static bool is_fetchable(struct slice url)
{
	return slice_starts_nocase(url, "http://") || slice_starts_nocase(url, "https://");
}

static bool provider_takes(const struct target *t, struct slice url)
{
	if (t->provider->takes_url)
		return t->provider->takes_url(url);
	return t->provider->can & CAN_IMAGE_URLS && !t->quirks->no_image_urls;
}

/* One image of the request. */
struct image {
	unsigned message, part;
	struct json_value value; /* the string that holds the URL */
	char url[URL_MAX_SIZE];
};

/* Walks the image parts of all messages. */
struct walk {
	const struct target *target;
	struct json_iter messages, parts;
	unsigned message, part; /* of the next ones */
	bool in_parts;
};

static struct json_value url_of(struct json_value part)
{
	struct json_value v;

	if (!json_str_is(json_get(part, "type").raw, "image_url"))
		return (struct json_value){ JSON_ABSENT, { "", 0 } };
	v = json_get(part, "image_url");
	return v.kind == JSON_OBJECT ? json_get(v, "url") : v;
}

/* The next image that has to be fetched. *too_long: its URL does not fit. */
static bool next_image(struct walk *w, struct image *image, bool *too_long)
{
	struct json_value message, content, part;
	struct slice none;

	for (;;) {
		while (w->in_parts && json_iter_next(&w->parts, &none, &part)) {
			image->value = url_of(part);
			image->message = w->message - 1;
			image->part = w->part++;
			*too_long = false;
			/* A long one is no http URL but a data: URL, most likely. */
			if (image->value.kind != JSON_STRING ||
				!is_fetchable(slice_from(image->value.raw, 1)))
				continue;
			*too_long = !json_str_copy(image->value, image->url, sizeof(image->url));
			if (*too_long || !provider_takes(w->target, slice_of(image->url)))
				return true;
		}
		if (!json_iter_next(&w->messages, &none, &message))
			return false;
		content = json_get(message, "content");
		w->in_parts = content.kind == JSON_ARRAY;
		w->part = 0;
		w->message++;
		json_iter_init(&w->parts, content);
	}
}

static struct walk walk_of(const struct chat_req *req, const struct target *t)
{
	struct walk w = { .target = t };

	json_iter_init(&w.messages, req->field[CHAT_MESSAGES].value);
	return w;
}

bool images_are_needed(const struct chat_req *req, const struct target *t)
{
	struct walk w;
	struct image image;
	bool too_long;

	if (!t->provider->takes_url && provider_takes(t, SLICE("https://")))
		return false;
	w = walk_of(req, t);
	return next_image(&w, &image, &too_long);
}

/* ---- fetching ---- */

struct fetch {
	const struct image *image;
	size_t max_bytes;
	struct buf bytes;
};

static enum err_code fails(const struct image *image, struct err *e, const char *what)
{
	char param[64], why[400];

	str_copy_cut(why, sizeof(why), what);
	snprintf(param, sizeof(param), "messages[%u].content[%u].image_url", image->message,
		image->part);
	return err_param(e, ERR_BAD_REQUEST, param, "%s: the image cannot be used: %s", param, why);
}

static enum job_next on_head(struct job *j, struct err *e)
{
	struct fetch *f = j->ctx;
	char what[96];

	if (j->status == 200)
		return JOB_MORE;
	snprintf(what, sizeof(what), "its host answered HTTP %d%s", j->status,
		j->status >= 300 && j->status < 400 ? " (redirects are not followed)" : "");
	(void)!fails(f->image, e, what);
	return JOB_FAIL;
}

static enum job_next on_bytes(struct job *j, struct slice bytes, struct err *e)
{
	struct fetch *f = j->ctx;
	char what[96];

	buf_slice_append(&f->bytes, bytes);
	if (buf_ok(&f->bytes))
		return JOB_MORE;
	snprintf(what, sizeof(what), "it is larger than %zu bytes (GATEWAY_FETCH_MAX)",
		f->max_bytes);
	(void)!fails(f->image, e, what);
	return JOB_FAIL;
}

static enum job_next on_end(struct job *j, bool cut, struct err *e)
{
	(void)j, (void)cut, (void)e;
	return JOB_MORE;
}

static enum job_next on_nothing(struct job *j, struct err *e)
{
	(void)j, (void)e;
	return JOB_MORE;
}

/* The type for the data: URL. What the bytes say counts more, and the dialects look at them. */
static const char *type_of(const char *said)
{
	if (strncmp(said, "image/", 6) == 0 &&
		said[strspn(said, "abcdefghijklmnopqrstuvwxyz0123456789/.+-")] == '\0')
		return said;
	return "application/octet-stream";
}

/* Appends the image as a data: URL in quotes. */
static enum err_code fetch(struct pump *pump, const struct images_conf *conf,
	const struct image *image, int64_t deadline_ms, struct sink *client, struct buf *out,
	struct err *e)
{
	static const struct job_ops ops = { on_head, on_bytes, on_end, on_nothing, on_nothing };
	struct fetch f = { .image = image,
		.max_bytes = conf->max_bytes,
		.bytes = { .max_bytes = conf->max_bytes } };
	struct http_req http = { .url = "" };
	struct job job = { .req = &http,
		.get = true,
		.dial_only = conf->allow,
		.ops = &ops,
		.ctx = &f,
		.client = client,
		.connect_ms = conf->connect_ms,
		.first_byte_ms = conf->timeout_ms,
		.idle_ms = conf->timeout_ms,
		.client_stall_ms = conf->timeout_ms,
		.deadline_mono_ms = deadline_ms };
	struct err why = { 0 };
	enum err_code rc;

	str_copy_cut(http.url, sizeof(http.url), image->url);
	rc = pump_run(pump, &job, &why);
	if (!rc) {
		if (!f.bytes.len)
			rc = fails(image, e, "it is empty");
		buf_printf(out, "\"data:%s;base64,", type_of(job.content_type));
		base64_write(buf_slice(&f.bytes), out);
		buf_char(out, '"');
	} else if (rc == ERR_UPSTREAM_TIMEOUT) {
		rc = fails(image, e, "it did not come in time (GATEWAY_FETCH_TIMEOUT)");
	} else if (rc == ERR_CLIENT_GONE || rc == ERR_BUSY || rc == ERR_NO_MEMORY || why.param[0]) {
		*e = why; /* not about this image, or said already */
	} else {
		rc = fails(image, e, why.message);
	}
	buf_fini(&f.bytes);
	return rc;
}

static enum err_code refuse(const struct image *image, const struct target *t, struct err *e)
{
	char what[200];

	snprintf(what, sizeof(what),
		"%s takes images only as data: URLs, and this gateway does not fetch them "
		"(GATEWAY_FETCH_IMAGES)",
		t->slug);
	return fails(image, e, what);
}

enum err_code images_inline(struct pump *pump, const struct images_conf *conf,
	const struct chat_req *req, const struct target *t, struct sink *client, struct buf *body,
	struct err *e)
{
	int64_t deadline_ms = clock_mono_ms() + conf->timeout_ms;
	struct walk w = walk_of(req, t);
	struct splice edits = { 0 };
	struct image image = { 0 };
	unsigned count = 0;
	bool too_long;
	enum err_code rc = ERR_OK;

	splice_reset(&edits, conf->max_body);
	while (!rc && next_image(&w, &image, &too_long)) {
		size_t from = edits.text.len;
		char what[96];

		if (!conf->fetch) {
			rc = refuse(&image, t, e);
		} else if (too_long) {
			rc = fails(&image, e, "its URL is too long");
		} else if (++count > conf->max_count) {
			snprintf(what, sizeof(what),
				"more than %u are fetched (GATEWAY_FETCH_COUNT)", conf->max_count);
			rc = fails(&image, e, what);
		} else {
			rc = fetch(pump, conf, &image, deadline_ms, client, &edits.text, e);
			splice_put(&edits, image.value.raw, from);
		}
	}
	if (!rc) {
		body->max_bytes = conf->max_body;
		splice_write(&edits, req->body, body);
		if (!buf_ok(body))
			rc = fails(&image, e,
				"the request with its images is larger than allowed "
				"(GATEWAY_MAX_BODY)");
	}
	splice_fini(&edits);
	return rc;
}
