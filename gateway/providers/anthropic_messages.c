/* gateway/providers/anthropic_messages.c - the turns of a conversation as messages made of blocks
 * (anthropic.md sections 4 to 7). */
#include "gateway/providers/anthropic_plan.h"

#include "base/base64.h"

/* Where Anthropic wants words and the client has none. */
#define PLACEHOLDER "{\"type\":\"text\",\"text\":\".\"}"

static bool says(struct json_value v)
{
	return v.kind == JSON_STRING && v.raw.len > 2;
}

bool anthropic_sends(const struct anthropic_plan *p, const struct part *part)
{
	bool thinks = p->model->thinking != ANTHROPIC_NEVER_THINKS && p->thinks != THINKS_NOT;

	if (part->kind == PART_THOUGHT)
		return thinks && says(part->signature);
	if (part->kind == PART_HIDDEN_THOUGHT)
		return thinks && says(part->value);
	return true;
}

/* ---- images and documents ---- */

static void write_source(const char *block, const char *type, const char *media_type,
	const char *member, struct slice value, struct buf *out)
{
	buf_str(out, "{\"type\":\"");
	buf_str(out, block);
	buf_str(out, "\",\"source\":{\"type\":\"");
	buf_str(out, type);
	if (media_type) {
		buf_str(out, "\",\"media_type\":\"");
		buf_str(out, media_type);
	}
	buf_str(out, "\",\"");
	buf_str(out, member);
	buf_str(out, "\":");
	buf_json_str(out, value);
	buf_char(out, '}');
}

static bool is_image(const char *type)
{
	return strcmp(type, "image/png") == 0 || strcmp(type, "image/jpeg") == 0 ||
	       strcmp(type, "image/gif") == 0 || strcmp(type, "image/webp") == 0;
}

static enum err_code refuse_type(const struct anthropic_plan *p, const struct part *part,
	const struct media *m, struct err *e)
{
	char what[160];

	if (!m->type[0])
		return talk_refuse(part, p->target, "files of an unknown type", e);
	str_copy_cut(what, sizeof(what), "files of type ");
	str_copy_cut(what + strlen(what), sizeof(what) - strlen(what), m->type);
	return talk_refuse(part, p->target, what, e);
}

static enum err_code write_inline(struct anthropic_plan *p, const struct part *part,
	const struct media *m, struct buf *out, struct err *e)
{
	struct buf text = { .max_bytes = m->data.len + 1 };

	if (is_image(m->type)) {
		write_source("image", "base64", m->type, "data", m->data, out);
		return ERR_OK;
	}
	if (strcmp(m->type, "application/pdf") == 0) {
		write_source("document", "base64", m->type, "data", m->data, out);
	} else if (strncmp(m->type, "text/", 5) == 0 || strcmp(m->type, "application/json") == 0) {
		if (!base64_read(m->data, &text)) {
			buf_fini(&text);
			return refuse_type(p, part, m, e);
		}
		write_source("document", "text", "text/plain", "data", buf_slice(&text), out);
		buf_fini(&text);
	} else {
		return refuse_type(p, part, m, e);
	}
	if (m->name.len) {
		buf_str(out, ",\"title\":");
		buf_json_str(out, m->name);
	}
	return ERR_OK;
}

static enum err_code write_url(struct anthropic_plan *p, const struct part *part,
	const struct media *m, struct buf *out, struct err *e)
{
	bool image = part->kind == PART_IMAGE || is_image(m->type);

	if (!slice_starts_nocase(m->url, "https://"))
		return talk_refuse(part, p->target,
			"addresses other than https:// (data: URLs always work)", e);
	write_source(image ? "image" : "document", "url", NULL, "url", m->url, out);
	return ERR_OK;
}

/* An image or document without the brace at its end. */
static enum err_code write_media(
	struct anthropic_plan *p, const struct part *part, struct buf *out, struct err *e)
{
	struct media m;
	enum err_code rc = media_read(part, &m, e);

	if (!rc && m.kind == MEDIA_URL) {
		rc = write_url(p, part, &m, out, e);
	} else if (!rc && m.kind == MEDIA_INLINE) {
		rc = write_inline(p, part, &m, out, e);
	} else if (!rc && !anthropic_is_own(p)) {
		rc = talk_refuse(part, p->target, "files by their id", e);
	} else if (!rc) {
		p->uses_files = true;
		write_source("document", "file", NULL, "file_id", m.url, out);
	}
	media_fini(&m);
	return rc;
}

/* ---- results of tools ---- */

void anthropic_write_native(struct json_value object, struct buf *out)
{
	struct json_iter it;
	struct json_value v;
	struct slice key;
	bool first = true;

	buf_char(out, '{');
	json_iter_init(&it, object);
	while (json_iter_next(&it, &key, &v)) {
		if (json_str_is(key, "cache_control"))
			continue;
		if (!first)
			buf_char(out, ',');
		first = false;
		buf_slice_append(out, key);
		buf_char(out, ':');
		buf_slice_append(out, v.raw);
	}
}

/* A block without the brace at its end. */
static enum err_code write_block(
	struct anthropic_plan *p, const struct part *part, struct buf *out, struct err *e);

static enum err_code write_content(
	struct anthropic_plan *p, const struct part *result, struct buf *out, struct err *e)
{
	struct json_value element;
	struct json_iter it;
	struct slice none;
	struct part part;
	enum err_code rc = ERR_OK;
	unsigned index = 0;
	bool first = true;

	if (result->value.kind != JSON_ARRAY) {
		buf_slice_append(
			out, result->value.kind == JSON_STRING ? result->value.raw : SLICE("\"\""));
		return ERR_OK;
	}
	buf_char(out, '[');
	json_iter_init(&it, result->value);
	while (!rc && json_iter_next(&it, &none, &element)) {
		rc = talk_result_part(result, element, index++, &part, e);
		if (rc || (part.kind == PART_TEXT && !says(part.value)))
			continue;
		if (!first)
			buf_char(out, ',');
		first = false;
		rc = write_block(p, &part, out, e);
		buf_char(out, '}');
	}
	buf_char(out, ']');
	return rc;
}

/* ---- blocks ---- */

static void write_call(const struct anthropic_plan *p, const struct part *part, struct buf *out)
{
	const struct talk_call *call = &p->talk.calls[part->call];

	buf_str(out, "{\"type\":\"tool_use\",\"id\":");
	buf_json_cstr(out, call->id);
	buf_str(out, ",\"name\":");
	buf_json_cstr(out, ask_known_name(&p->ask, call->name));
	buf_str(out, ",\"input\":");
	talk_write_arguments(part, out);
}

static enum err_code write_block(
	struct anthropic_plan *p, const struct part *part, struct buf *out, struct err *e)
{
	switch (part->kind) {
	case PART_TEXT:
		buf_str(out, "{\"type\":\"text\",\"text\":");
		buf_slice_append(out, part->value.raw);
		return ERR_OK;
	case PART_IMAGE:
	case PART_FILE:
		return write_media(p, part, out, e);
	case PART_AUDIO:
		return talk_refuse(part, p->target, "sound", e);
	case PART_VIDEO:
		return talk_refuse(part, p->target, "video", e);
	case PART_CALL:
		write_call(p, part, out);
		return ERR_OK;
	case PART_RESULT:
		buf_str(out, "{\"type\":\"tool_result\",\"tool_use_id\":");
		buf_json_cstr(out, p->talk.calls[part->call].id);
		buf_str(out, ",\"content\":");
		return write_content(p, part, out, e);
	case PART_THOUGHT:
		buf_str(out, "{\"type\":\"thinking\",\"thinking\":");
		buf_slice_append(
			out, part->value.kind == JSON_STRING ? part->value.raw : SLICE("\"\""));
		buf_str(out, ",\"signature\":");
		buf_slice_append(out, part->signature.raw);
		return ERR_OK;
	case PART_HIDDEN_THOUGHT:
		buf_str(out, "{\"type\":\"redacted_thinking\",\"data\":");
		buf_slice_append(out, part->value.raw);
		return ERR_OK;
	case PART_NATIVE:
		anthropic_write_native(part->object, out);
		return ERR_OK;
	case PART_UNKNOWN:
		break;
	}
	return talk_refuse(part, p->target, "content of this type", e);
}

/* ---- messages ---- */

/* The text without blanks at its end, and without its last quote. Blanks that are escaped as \n and
 * the like count as such. */
static struct slice trimmed_end(struct slice raw)
{
	static const char *const blanks[] = { " ", "\\n", "\\r", "\\t" };
	struct slice text = slice_first(raw, raw.len - 1);
	bool again = true;

	while (again) {
		again = false;
		for (size_t i = 0; i < sizeof(blanks) / sizeof(blanks[0]); i++) {
			size_t n = strlen(blanks[i]), slashes = 0;

			if (!slice_ends(text, blanks[i]) || text.len <= n)
				continue;
			/* An escaped backslash in front of a letter is no escape of that letter. */
			while (n == 2 && text.len >= n + slashes &&
				text.ptr[text.len - n - slashes] == '\\')
				slashes++;
			if (n == 2 && slashes % 2 == 0)
				continue;
			text.len -= n;
			again = true;
		}
	}
	return text;
}

/* A model made its images for somebody else: Anthropic takes none back. */
static bool is_sent(
	const struct anthropic_plan *p, const struct turn *turn, const struct part *part)
{
	return anthropic_sends(p, part) &&
	       !(turn->who == SPEAKER_MODEL && part->kind == PART_IMAGE);
}

/* What is written of a turn. */
struct extent {
	unsigned blocks;
	const struct part *last;
	bool words; /* something else than documents */
};

static struct extent measure(const struct anthropic_plan *p, const struct turn *turn)
{
	struct extent x = { 0 };

	for (unsigned i = 0; i < turn->count; i++) {
		const struct part *part = &p->talk.parts[turn->first + i];

		if (!is_sent(p, turn, part))
			continue;
		x.blocks++;
		x.last = part;
		x.words |= part->kind != PART_FILE;
	}
	return x;
}

static void open_message(const char *role, bool *first, struct buf *out)
{
	buf_str(out, *first ? "{\"role\":\"" : ",{\"role\":\"");
	buf_str(out, role);
	buf_str(out, "\",\"content\":");
	*first = false;
}

static enum err_code write_turn(struct anthropic_plan *p, const struct turn *turn, bool prefill,
	bool *first, struct buf *out, struct err *e)
{
	struct extent x = measure(p, turn);
	enum err_code rc = ERR_OK;
	bool begun = false;

	if (!x.blocks)
		return ERR_OK;
	open_message(turn->who == SPEAKER_USER ? "user" : "assistant", first, out);
	if (x.blocks == 1 && x.last->kind == PART_TEXT && !x.last->object.kind &&
		!keep_of_part(p, x.last) && !prefill) {
		buf_slice_append(out, x.last->value.raw);
		buf_char(out, '}');
		return ERR_OK;
	}
	buf_char(out, '[');
	for (unsigned i = 0; !rc && i < turn->count; i++) {
		const struct part *part = &p->talk.parts[turn->first + i];
		struct part cut;

		if (!is_sent(p, turn, part))
			continue;
		if (begun)
			buf_char(out, ',');
		begun = true;
		if (prefill && part == x.last && part->kind == PART_TEXT) {
			cut = *part;
			cut.value.raw = trimmed_end(part->value.raw);
			rc = write_block(p, &cut, out, e);
			buf_char(out, '"');
		} else {
			rc = write_block(p, part, out, e);
		}
		anthropic_write_keep(keep_of_part(p, part), out);
		buf_char(out, '}');
	}
	if (!x.words)
		buf_str(out, "," PLACEHOLDER);
	buf_str(out, "]}");
	return rc;
}

static bool is_said(const struct anthropic_plan *p, unsigned turn)
{
	return measure(p, &p->talk.turns[turn]).blocks > 0;
}

enum err_code anthropic_write_messages(struct anthropic_plan *p, struct buf *out, struct err *e)
{
	const struct talk *talk = &p->talk;
	unsigned begin = 0, end = talk->turn_count;
	enum err_code rc = ERR_OK;
	bool first = true, prefilled;

	while (begin < end && !is_said(p, begin))
		begin++;
	while (end > begin && !is_said(p, end - 1))
		end--;
	if (begin == end)
		return err_param(e, ERR_BAD_REQUEST, "messages",
			"messages has nothing to answer: add a message of role user with a text");
	prefilled = talk->turns[end - 1].who == SPEAKER_MODEL;
	buf_char(out, '[');
	if (talk->turns[begin].who == SPEAKER_MODEL) {
		open_message("user", &first, out);
		buf_str(out, "[" PLACEHOLDER "]}");
	}
	for (unsigned i = begin; !rc && i < end; i++)
		rc = write_turn(p, &talk->turns[i], prefilled && i == end - 1, &first, out, e);
	/* Who thinks does not go on with a text that somebody began. */
	if (prefilled && (p->model->thinking >= ANTHROPIC_EITHER || p->thinks == THINKS_BUDGET)) {
		open_message("user", &first, out);
		buf_str(out, "\"Continue.\"}");
	}
	buf_char(out, ']');
	return rc;
}
