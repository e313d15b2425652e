/* Images, documents and sound: what clients write, as bytes in base64 or an address. */
#include "gateway/providers/members.h"
#include "gateway/providers/talk.h"

#include "base/base64.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- what the bytes say ---- */

/* The value of a letter of base64 (RFC 4648 section 4), or -1. */
static int letter(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* The first bytes of what the text stands for; returns how many. */
static size_t first_bytes(struct slice base64, char bytes[12])
{
	size_t n = 0;
	unsigned bits = 0, held = 0;
	int value;

	for (size_t i = 0; i < base64.len && i < 16; i++) {
		value = letter(base64.ptr[i]);
		if (value < 0)
			break;
		held = held << 6 | (unsigned)value;
		bits += 6;
		if (bits >= 8) {
			bits -= 8;
			bytes[n++] = (char)(held >> bits & 0xff);
		}
	}
	return n;
}

static void sniff(struct media *m)
{
	static const struct {
		struct slice magic;
		const char *type;
	} kinds[] = {
		{ { "\x89PNG\r\n\x1a\n", 8 }, "image/png" },
		{ { "\xff\xd8\xff", 3 }, "image/jpeg" },
		{ { "GIF87a", 6 }, "image/gif" },
		{ { "GIF89a", 6 }, "image/gif" },
		{ { "%PDF-", 5 }, "application/pdf" },
	};
	char bytes[12];
	struct slice head = { bytes, first_bytes(m->data, bytes) };
	const char *type = NULL;

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (slice_eq(slice_first(head, kinds[i].magic.len), kinds[i].magic))
			type = kinds[i].type;
	if (slice_starts(head, "RIFF") && slice_starts(slice_from(head, 8), "WEBP"))
		type = "image/webp";
	if (type && (!m->type[0] || slice_starts(slice_of(type), "image/")))
		snprintf(m->type, sizeof(m->type), "%s", type);
}

/* ---- what the label says ---- */

static bool set_type(struct media *m, struct slice label)
{
	size_t i;

	if (label.len >= sizeof(m->type))
		return false;
	for (i = 0; i < label.len; i++) {
		char c = label.ptr[i];

		if (c >= 'A' && c <= 'Z')
			c = (char)(c | 0x20);
		if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') &&
			!(c && strchr("/.+-_", c)))
			return false;
		m->type[i] = c;
	}
	m->type[i] = '\0';
	if (!strcmp(m->type, "image/jpg"))
		snprintf(m->type, sizeof(m->type), "image/jpeg");
	return true;
}

/* A file without a label is what its name says. */
static void type_by_name(struct media *m)
{
	static const struct {
		const char *ending, *type;
	} endings[] = {
		{ ".pdf", "application/pdf" },
		{ ".txt", "text/plain" },
		{ ".md", "text/markdown" },
		{ ".csv", "text/csv" },
		{ ".html", "text/html" },
		{ ".json", "application/json" },
		{ ".xml", "application/xml" },
		{ ".doc", "application/msword" },
		{ ".docx",
			"application/vnd.openxmlformats-officedocument.wordprocessingml.document" },
		{ ".xls", "application/vnd.ms-excel" },
		{ ".xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet" },
	};

	for (size_t i = 0; !m->type[0] && i < sizeof(endings) / sizeof(endings[0]); i++) {
		size_t len = strlen(endings[i].ending);

		if (m->name.len > len &&
			slice_is_nocase(slice_from(m->name, m->name.len - len), endings[i].ending))
			snprintf(m->type, sizeof(m->type), "%s", endings[i].type);
	}
}

/* ---- base64 ---- */

/* No letter of base64? Written for the compiler to do sixteen at once. */
static inline unsigned char is_stranger(char c)
{
	unsigned char u = (unsigned char)c, lower = u | 0x20;

	return !(((unsigned char)(lower - 'a') < 26) | ((unsigned char)(u - '0') < 10) |
		 (u == '+') | (u == '/'));
}

/* Is it base64 as providers want it: letters, and the padding that belongs there? */
static bool is_clean(struct slice s)
{
	unsigned char strange = 0;
	size_t i = 0;

	if (!s.len || s.len % 4)
		return false;
	for (int pad = 0; pad < 2 && s.ptr[s.len - 1] == '='; pad++)
		s.len--;
	for (; s.len - i >= 16; i += 16)
		for (size_t k = 0; k < 16; k++)
			strange |= is_stranger(s.ptr[i + k]);
	for (; i < s.len; i++)
		strange |= is_stranger(s.ptr[i]);
	return !strange;
}

/* ---- reading ---- */

struct reading {
	struct media *m;
	const struct part *part;
	struct err *e;
	bool reserved; /* own has room for all that may come, so that it never moves */
};

static enum err_code wrong(const struct reading *r, const char *member, const char *what)
{
	char place[ERR_PARAM_SIZE], param[ERR_PARAM_SIZE * 2];

	talk_param(r->part, place);
	snprintf(param, sizeof(param), "%s.%s", place, member);
	return err_param(r->e, ERR_BAD_REQUEST, param, "%s %s", param, what);
}

/* The buffer for what cannot stay in the body. Decoding, undoing of percent signs and base64 make
 * at most 1 + 1 + 4/3 of what was written. */
static struct buf *own(struct reading *r)
{
	size_t most = r->part->value.raw.len * 4 + 64;

	if (!r->reserved) {
		r->reserved = true;
		buf_init(&r->m->own, most);
		if (buf_room(&r->m->own, most - 1))
			buf_commit(&r->m->own, 0);
	}
	return &r->m->own;
}

/* What is behind the first start bytes of own. */
static struct slice own_from(struct reading *r, size_t start)
{
	return buf_ok(own(r)) ? slice_from(buf_slice(own(r)), start) : SLICE("");
}

/* The text of a string: where it is when nothing in it is escaped. */
static struct slice text_of(struct reading *r, struct json_value v)
{
	struct slice inner = member_inner(v);
	size_t start = r->m->own.len;

	if (!memchr(inner.ptr, '\\', inner.len))
		return inner;
	return json_str_decode(v, own(r)) ? own_from(r, start) : SLICE("");
}

/* Takes base64, without blanks and with its padding. */
static enum err_code take_base64(struct reading *r, struct slice s, const char *member)
{
	size_t start = r->m->own.len, run, n;

	if (is_clean(s)) {
		r->m->data = s;
		return ERR_OK;
	}
	while (s.len) {
		for (run = 0; run < s.len && !is_stranger(s.ptr[run]);)
			run++;
		buf_append(own(r), s.ptr, run);
		s = slice_from(s, run);
		if (!s.len || s.ptr[0] == '=')
			break;
		if (!strchr(" \t\r\n", s.ptr[0]) || !s.ptr[0])
			return wrong(r, member, "is not base64");
		s = slice_from(s, 1);
	}
	while (s.len && s.ptr[0] && strchr("= \t\r\n", s.ptr[0]))
		s = slice_from(s, 1);
	n = own(r)->len - start;
	if (s.len || !n || n % 4 == 1)
		return wrong(r, member, "is not base64");
	for (; n % 4; n++)
		buf_char(own(r), '=');
	r->m->data = own_from(r, start);
	return ERR_OK;
}

/* Takes bytes that are written as they are, but for percent signs. */
static enum err_code take_percent(struct reading *r, struct slice s, const char *member)
{
	size_t start = own(r)->len, encoded;
	char hex[3] = { 0 };
	char *end;

	for (size_t i = 0; i < s.len; i++) {
		if (s.ptr[i] == '%' && s.len - i > 2) {
			memcpy(hex, s.ptr + i + 1, 2);
			char byte = (char)strtoul(hex, &end, 16);

			if (end == hex + 2 && hex[0] != '+' && hex[0] != '-' && hex[0] != ' ') {
				buf_char(own(r), byte);
				i += 2;
				continue;
			}
		}
		buf_char(own(r), s.ptr[i]);
	}
	encoded = own(r)->len;
	if (encoded == start)
		return wrong(r, member, "holds no data");
	base64_write(own_from(r, start), own(r));
	r->m->data = own_from(r, encoded);
	return ERR_OK;
}

/* data:[type]*(;param)[;base64],data */
static enum err_code take_data_url(struct reading *r, struct slice url, const char *member)
{
	struct slice rest = slice_from(url, 5), head, label, param = SLICE("");
	const char *comma = memchr(rest.ptr, ',', rest.len);

	if (!comma)
		return wrong(r, member, "is a data URL without a comma");
	head = slice_first(rest, (size_t)(comma - rest.ptr));
	rest = slice_from(rest, head.len + 1);
	label = slice_trim(slice_cut(&head, ';'));
	while (head.len)
		param = slice_trim(slice_cut(&head, ';'));
	if (!set_type(r->m, label))
		return wrong(r, member, "has a media type that is none");
	if (slice_is_nocase(param, "base64"))
		return take_base64(r, rest, member);
	if (!label.len && !set_type(r->m, SLICE("text/plain")))
		return ERR_INTERNAL;
	return take_percent(r, rest, member);
}

static bool has_scheme(struct slice s)
{
	size_t i = 0;

	while (i < s.len &&
		((s.ptr[i] >= 'a' && s.ptr[i] <= 'z') || (s.ptr[i] >= 'A' && s.ptr[i] <= 'Z') ||
			(i && s.ptr[i] >= '0' && s.ptr[i] <= '9') ||
			(i && s.ptr[i] && strchr("+-.", s.ptr[i]))))
		i++;
	return i && i + 1 < s.len && s.ptr[i] == ':';
}

static enum err_code take_url(struct reading *r, struct json_value v, const char *member)
{
	struct slice url = slice_trim(text_of(r, v));

	if (slice_starts_nocase(url, "data:"))
		return take_data_url(r, url, member);
	if (!has_scheme(url))
		return wrong(r, member, "must be a URL: data:, https: …");
	for (size_t i = 0; i < url.len; i++)
		if ((unsigned char)url.ptr[i] <= ' ' || url.ptr[i] == 0x7f)
			return wrong(r, member, "must be a URL without blanks");
	r->m->kind = MEDIA_URL;
	r->m->url = url;
	return ERR_OK;
}

/* Base64, with or without a data URL around it; or where it is. */
static enum err_code take_data(struct reading *r, struct json_value v, const char *member)
{
	struct slice text = member_inner(v);

	if (memchr(text.ptr, ':', text.len > 32 ? 32 : text.len))
		return take_url(r, v, member);
	return take_base64(r, text_of(r, v), member);
}

static enum err_code read_url(struct reading *r, const char *member)
{
	struct json_value v = r->part->value;
	char path[24];

	if (v.kind == JSON_STRING)
		return take_url(r, v, member);
	snprintf(path, sizeof(path), "%s.url", member);
	v = member_read(v, "url");
	if (v.kind != JSON_STRING)
		return wrong(r, path, "must be a string");
	return take_url(r, v, path);
}

static enum err_code read_audio(struct reading *r)
{
	struct json_value data = member_read(r->part->value, "data");
	struct json_value format = member_read(r->part->value, "format");
	char type[64] = "audio/";
	struct slice name;

	if (data.kind != JSON_STRING)
		return wrong(r, "input_audio.data", "must be a string");
	if (format.kind != JSON_ABSENT) {
		name = member_inner(format);
		if (!name.len || name.len > 32)
			return wrong(r, "input_audio.format", "must be wav, mp3 or the like");
		memcpy(type + 6, name.ptr, name.len);
		if (!set_type(r->m, (struct slice){ type, name.len + 6 }))
			return wrong(r, "input_audio.format", "must be wav, mp3 or the like");
	}
	return take_data(r, data, "input_audio.data");
}

static enum err_code read_file(struct reading *r)
{
	enum { DATA, ID, FILENAME, URL, FILE_URL, FORMAT, MEMBERS };
	static const char *const names[] = { "file_data", "file_id", "filename", "url", "file_url",
		"format" };
	struct json_value f[MEMBERS];
	char path[24];

	members_read(r->part->value, names, MEMBERS, f);
	for (unsigned i = 0; i < MEMBERS; i++)
		if (f[i].kind != JSON_ABSENT && f[i].kind != JSON_STRING) {
			snprintf(path, sizeof(path), "file.%s", names[i]);
			return wrong(r, path, "must be a string");
		}
	r->m->name = text_of(r, f[FILENAME]);
	if (memchr(member_inner(f[FORMAT]).ptr, '/', member_inner(f[FORMAT]).len) &&
		!set_type(r->m, member_inner(f[FORMAT])))
		return wrong(r, "file.format", "is a media type that is none");
	if (f[DATA].kind == JSON_STRING)
		return take_data(r, f[DATA], "file.file_data");
	if (f[URL].kind == JSON_STRING)
		return take_url(r, f[URL], "file.url");
	if (f[FILE_URL].kind == JSON_STRING)
		return take_url(r, f[FILE_URL], "file.file_url");
	if (f[ID].raw.len <= 2)
		return wrong(r, "file", "must have file_data, file_id or url");
	r->m->kind = MEDIA_FILE_ID;
	r->m->url = text_of(r, f[ID]);
	return ERR_OK;
}

enum err_code media_read(const struct part *p, struct media *m, struct err *e)
{
	struct reading r = { .m = m, .part = p, .e = e };
	enum err_code rc;

	*m = (struct media){ .data = SLICE(""), .url = SLICE(""), .name = SLICE("") };
	switch (p->kind) {
	case PART_IMAGE:
		rc = read_url(&r, "image_url");
		break;
	case PART_VIDEO:
		rc = read_url(&r, "video_url");
		break;
	case PART_AUDIO:
		rc = read_audio(&r);
		break;
	case PART_FILE:
		rc = read_file(&r);
		break;
	default:
		rc = wrong(&r, "type", "must be image_url, input_audio, file or video_url");
	}
	if (!rc && !buf_ok(&m->own))
		rc = err_set(e, ERR_NO_MEMORY, "no memory for a part of the messages");
	if (rc)
		return rc;
	if (m->kind == MEDIA_INLINE)
		sniff(m);
	type_by_name(m);
	return ERR_OK;
}

void media_fini(struct media *m)
{
	buf_fini(&m->own);
	*m = (struct media){ .data = SLICE(""), .url = SLICE(""), .name = SLICE("") };
}
