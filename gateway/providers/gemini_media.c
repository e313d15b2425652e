/* gateway/providers/gemini_media.c - images, sound, film and documents (gemini.md section 6). */
#include "gateway/providers/gemini_plan.h"

#include <stdio.h>

/* Google's name for the type; NULL: it does not take such. */
static const char *type_taken(const struct part *part, const char *type)
{
	static const char *const images[] = { "image/png", "image/jpeg", "image/webp", "image/heic",
		"image/heif" };

	if (!type[0])
		return NULL;
	if (strcmp(type, "image/jpg") == 0)
		return "image/jpeg";
	if (strcmp(type, "audio/mpeg") == 0)
		return "audio/mp3";
	if (strcmp(type, "audio/x-wav") == 0 || strcmp(type, "audio/wave") == 0)
		return "audio/wav";
	if (part->kind != PART_IMAGE && strncmp(type, "image/", 6) != 0)
		return type;
	for (size_t i = 0; i < sizeof(images) / sizeof(images[0]); i++)
		if (strcmp(type, images[i]) == 0)
			return type;
	return NULL;
}

static enum err_code write_inline(const struct gemini_plan *p, const struct part *part,
	const struct media *m, struct buf *out, struct err *e)
{
	const char *type = type_taken(part, m->type);
	char what[160];

	if (!type) {
		snprintf(what, sizeof(what), "%s%s%s", m->type[0] ? "the type " : "media",
			m->type[0] ? m->type : " without a type",
			part->kind == PART_IMAGE
				? " (images are image/png, image/jpeg, image/webp, image/heic or "
				  "image/heif)"
				: "");
		return talk_refuse(part, p->target, what, e);
	}
	buf_str(out, "{\"inlineData\":{\"mimeType\":");
	buf_json_cstr(out, type);
	buf_str(out, ",\"data\":\"");
	buf_slice_append(out, m->data);
	buf_str(out, "\"}");
	return ERR_OK;
}

static bool is_film(struct slice url)
{
	static const char *const hosts[] = { "https://www.youtube.com/", "https://youtube.com/",
		"https://m.youtube.com/", "https://youtu.be/" };

	for (size_t i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++)
		if (slice_starts(url, hosts[i]))
			return true;
	return false;
}

/* The type that the end of an address speaks of; NULL: none. */
static const char *type_of_name(struct slice url)
{
	static const struct {
		const char *end, *type;
	} table[] = {
		{ ".png", "image/png" },
		{ ".jpg", "image/jpeg" },
		{ ".jpeg", "image/jpeg" },
		{ ".webp", "image/webp" },
		{ ".heic", "image/heic" },
		{ ".heif", "image/heif" },
		{ ".pdf", "application/pdf" },
		{ ".txt", "text/plain" },
		{ ".mp3", "audio/mp3" },
		{ ".wav", "audio/wav" },
		{ ".mp4", "video/mp4" },
		{ ".mov", "video/quicktime" },
		{ ".webm", "video/webm" },
	};
	struct slice path = slice_first(url, url.len);
	const char *mark = memchr(url.ptr, '?', url.len);

	if (mark)
		path.len = (size_t)(mark - url.ptr);
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		size_t n = strlen(table[i].end);

		if (path.len > n && slice_is_nocase(slice_from(path, path.len - n), table[i].end))
			return table[i].type;
	}
	return NULL;
}

static void write_file(const struct media *m, const char *before, struct buf *out)
{
	const char *type = m->type[0]        ? m->type
			   : is_film(m->url) ? "video/mp4"
					     : type_of_name(m->url);
	struct buf uri = { .max_bytes = out->max_bytes };

	buf_str(&uri, before);
	buf_slice_append(&uri, m->url);
	buf_str(out, "{\"fileData\":{");
	if (type) {
		buf_str(out, "\"mimeType\":");
		buf_json_cstr(out, type);
		buf_char(out, ',');
	}
	buf_str(out, "\"fileUri\":");
	buf_json_str(out, buf_slice(&uri));
	buf_char(out, '}');
	out->failed |= !buf_ok(&uri);
	buf_fini(&uri);
}

enum err_code gemini_write_media(
	const struct gemini_plan *p, const struct part *part, struct buf *out, struct err *e)
{
	struct media m;
	enum err_code rc = media_read(part, &m, e);

	if (rc)
		goto out;
	switch (m.kind) {
	case MEDIA_INLINE:
		rc = write_inline(p, part, &m, out, e);
		break;
	case MEDIA_URL:
		if (p->target->provider->takes_url(m.url) ||
			(gemini_is_vertex(p->target) && slice_starts(m.url, "https://")))
			write_file(&m, "", out);
		else
			rc = talk_refuse(part, p->target,
				"addresses other than gs://, YouTube's and those of its own Files "
				"API (data: URLs always work)",
				e);
		break;
	case MEDIA_FILE_ID:
		if (slice_starts(m.url, "files/"))
			write_file(&m, "https://generativelanguage.googleapis.com/v1beta/", out);
		else if (p->target->provider->takes_url(m.url))
			write_file(&m, "", out);
		else
			rc = talk_refuse(part, p->target,
				"ids of files other than \"files/…\" of its own Files API", e);
		break;
	}
out:
	media_fini(&m);
	return rc;
}
