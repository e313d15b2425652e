/* gateway/providers/bedrock_media.c - images, documents and video as blocks of the Converse API
 * (providers.md sections 7.4 and 7.6). */
#include "gateway/providers/bedrock_plan.h"

#define NAME_BYTES 100 /* of a document's name: the limit is 200 characters */

/* "png" is both the format and the ending of a file's name. */
static const struct format {
	const char *type;   /* of the media */
	const char *ending; /* of a file's name */
	const char *block, *format;
} formats[] = {
	{ "image/png", ".png", "image", "png" },
	{ "image/jpeg", ".jpeg", "image", "jpeg" },
	{ "image/jpeg", ".jpg", "image", "jpeg" },
	{ "image/gif", ".gif", "image", "gif" },
	{ "image/webp", ".webp", "image", "webp" },
	{ "application/pdf", ".pdf", "document", "pdf" },
	{ "text/csv", ".csv", "document", "csv" },
	{ "application/msword", ".doc", "document", "doc" },
	{ "application/vnd.openxmlformats-officedocument.wordprocessingml.document", ".docx",
		"document", "docx" },
	{ "application/vnd.ms-excel", ".xls", "document", "xls" },
	{ "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", ".xlsx", "document",
		"xlsx" },
	{ "text/html", ".html", "document", "html" },
	{ "text/markdown", ".md", "document", "md" },
	{ "text/plain", ".txt", "document", "txt" },
	{ "application/json", ".json", "document", "txt" },
	{ "video/mp4", ".mp4", "video", "mp4" },
	{ "video/quicktime", ".mov", "video", "mov" },
	{ "video/x-matroska", ".mkv", "video", "mkv" },
	{ "video/webm", ".webm", "video", "webm" },
	{ "video/x-flv", ".flv", "video", "flv" },
	{ "video/mpeg", ".mpeg", "video", "mpeg" },
	{ "video/mpeg", ".mpg", "video", "mpg" },
	{ "video/x-ms-wmv", ".wmv", "video", "wmv" },
	{ "video/3gpp", ".3gp", "video", "three_gp" },
};

#define FORMATS (sizeof(formats) / sizeof(formats[0]))

static bool ends_nocase(struct slice name, const char *ending)
{
	size_t n = strlen(ending);

	return name.len > n && slice_is_nocase(slice_from(name, name.len - n), ending);
}

/* A type is cut at 63 bytes in struct media; nothing here is alike up to there but different. */
static const struct format *format_of(const struct media *m)
{
	struct slice name = m->name.len ? m->name : m->url;

	for (size_t i = 0; m->type[0] && i < FORMATS; i++)
		if (strncmp(m->type, formats[i].type, sizeof(m->type) - 1) == 0)
			return &formats[i];
	for (size_t i = 0; i < FORMATS; i++)
		if (ends_nocase(name, formats[i].ending))
			return &formats[i];
	if (strncmp(m->type, "text/", 5) != 0)
		return NULL;
	for (size_t i = 0;; i++)
		if (strcmp(formats[i].format, "txt") == 0)
			return &formats[i];
}

/* ---- names of documents: letters, digits, single blanks and -()[], each but once ---- */

static bool is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       (c && strchr("-()[]", c));
}

static void fit_name(struct slice name, const struct format *f, struct buf *out)
{
	if (ends_nocase(name, f->ending))
		name.len -= strlen(f->ending);
	for (size_t i = 0; i < name.len && out->len < NAME_BYTES; i++) {
		bool fits = is_letter(name.ptr[i]);
		char last = out->len ? out->data[out->len - 1] : ' ';

		if (fits || last != ' ')
			buf_char(out, fits ? name.ptr[i] : ' ');
	}
	while (out->len && out->data[out->len - 1] == ' ')
		out->len--;
	if (!out->len)
		buf_str(out, "document");
}

/* Was this name given before? Else it is from now on. */
static bool is_given(struct bedrock_plan *p, struct slice name)
{
	struct buf line = { 0 };
	bool given;

	buf_char(&line, '\n');
	buf_slice_append(&line, name);
	buf_char(&line, '\n');
	given = buf_ok(&line) && p->document_names.len &&
		memmem(p->document_names.data, p->document_names.len, line.data, line.len);
	if (!given)
		buf_slice_append(&p->document_names, buf_slice(&line));
	buf_fini(&line);
	return given;
}

/* Which name a document gets depends on those before it alone: what is cached stays the same. */
static void write_name(
	struct bedrock_plan *p, struct slice name, const struct format *f, struct buf *out)
{
	struct buf text = { 0 };
	size_t len;

	fit_name(name, f, &text);
	len = text.len;
	for (unsigned n = 2; buf_ok(&text) && is_given(p, buf_slice(&text)); n++) {
		text.len = len;
		buf_printf(&text, " (%u)", n);
	}
	buf_str(out, "\"name\":");
	buf_json_str(out, buf_slice(&text));
	buf_char(out, ',');
	buf_fini(&text);
}

/* ---- blocks ---- */

static enum err_code refuse_type(
	const struct bedrock_plan *p, const struct part *part, const struct media *m, struct err *e)
{
	char what[160] = "files of an unknown type";

	if (m->type[0]) {
		str_copy_cut(what, sizeof(what), "files of type ");
		str_copy_cut(what + strlen(what), sizeof(what) - strlen(what), m->type);
	}
	return talk_refuse(part, p->plan.target, what, e);
}

static enum err_code write(struct bedrock_plan *p, const struct part *part, const struct media *m,
	struct buf *out, struct err *e)
{
	bool in_s3 = m->kind == MEDIA_URL && slice_starts(m->url, "s3://");
	const struct format *f = format_of(m);

	if (m->kind == MEDIA_FILE_ID)
		return talk_refuse(part, p->plan.target, "files by their id", e);
	if (m->kind == MEDIA_URL && !in_s3)
		return talk_refuse(part, p->plan.target,
			"addresses other than s3:// (data: URLs always work; images can be "
			"fetched by the gateway: GATEWAY_FETCH_IMAGES)",
			e);
	if (!f)
		return refuse_type(p, part, m, e);
	buf_str(out, "{\"");
	buf_str(out, f->block);
	buf_str(out, "\":{\"format\":\"");
	buf_str(out, f->format);
	buf_str(out, "\",");
	if (strcmp(f->block, "document") == 0)
		write_name(p, m->name, f, out);
	buf_str(out, in_s3 ? "\"source\":{\"s3Location\":{\"uri\":" : "\"source\":{\"bytes\":");
	buf_json_str(out, in_s3 ? m->url : m->data);
	buf_str(out, in_s3 ? "}}}}" : "}}}");
	return ERR_OK;
}

enum err_code bedrock_write_media(
	struct bedrock_plan *p, const struct part *part, struct buf *out, struct err *e)
{
	struct media m;
	enum err_code rc = media_read(part, &m, e);

	if (!rc)
		rc = write(p, part, &m, out, e);
	media_fini(&m);
	return rc;
}
