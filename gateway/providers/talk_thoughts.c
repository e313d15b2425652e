/* Thoughts that clients send back, and the signatures among them (kilo-contract.md section 25,
 * gemini.md section 9). */
#include "gateway/providers/members.h"
#include "gateway/providers/talk_draft.h"

#include <stdio.h>

#define GOOGLE "google-gemini-v1"
#define CLAUDE "anthropic-claude-v1" /* of a detail that does not say */

enum detail_member { TYPE, TEXT, SUMMARY, DATA, SIGNATURE, FORMAT, ID, INDEX, DETAIL_MEMBERS };

static const char *const detail_names[DETAIL_MEMBERS] = {
	[TYPE] = "type",
	[TEXT] = "text",
	[SUMMARY] = "summary",
	[DATA] = "data",
	[SIGNATURE] = "signature",
	[FORMAT] = "format",
	[ID] = "id",
	[INDEX] = "index",
};

bool draft_takes(const struct draft *d, struct slice format)
{
	return d->rules->takes_thought && d->rules->takes_thought(format);
}

static bool is_string_or_absent(struct json_value v)
{
	return v.kind == JSON_STRING || v.kind == JSON_ABSENT;
}

/* ---- details ---- */

/* A thought that a stream brought in pieces, each a detail of its own: some clients keep it so. */
struct pieces {
	struct part part;        /* the thought so far; its value is that of the first piece */
	struct json_value index; /* the pieces have it in common */
	struct json_iter rest;   /* the details behind the first piece that has a text */
	unsigned count;          /* of pieces with text */
	size_t bytes;            /* of their texts */
	bool open;
};

/* The texts of all pieces as one string. */
static struct json_value joined(struct draft *d, const struct pieces *p)
{
	struct json_iter it = p->rest;
	struct json_value v = p->part.value, detail;
	struct slice none, s;
	char *text = arena_take(d->arena, p->bytes + 2), *to = text;

	if (!text)
		return v;
	*to++ = '"';
	for (unsigned left = p->count; left;) {
		s = member_inner(v);
		if (v.kind == JSON_STRING) {
			memcpy(to, s.ptr, s.len);
			to += s.len;
			left--;
		}
		if (!json_iter_next(&it, &none, &detail))
			break;
		v = member_read(detail, "text");
	}
	*to++ = '"';
	return (struct json_value){ JSON_STRING, { text, (size_t)(to - text) } };
}

static void close_pieces(struct draft *d, struct pieces *p)
{
	if (!p->open)
		return;
	p->open = false;
	if (p->count > 1)
		p->part.value = joined(d, p);
	(void)draft_part(d, SPEAKER_MODEL, &p->part);
}

static bool continues(const struct pieces *p, const struct json_value *m)
{
	return p->open && p->part.signature.kind == JSON_ABSENT && p->index.kind == JSON_NUMBER &&
	       slice_eq(p->index.raw, m[INDEX].raw) && slice_eq(p->part.format.raw, m[FORMAT].raw);
}

static void add_piece(struct draft *d, struct pieces *p, const struct json_value *m,
	const struct part *where, const struct json_iter *rest)
{
	if (!continues(p, m)) {
		close_pieces(d, p);
		*p = (struct pieces){ .part = *where, .index = m[INDEX], .open = true };
		p->part.kind = PART_THOUGHT;
		p->part.format = m[FORMAT];
	}
	if (m[TEXT].kind == JSON_STRING) {
		if (!p->count) {
			p->part.value = m[TEXT];
			p->rest = *rest;
		}
		p->count++;
		p->bytes += m[TEXT].raw.len - 2;
	}
	if (m[SIGNATURE].kind == JSON_STRING && m[SIGNATURE].raw.len > 2)
		p->part.signature = m[SIGNATURE];
}

/* Signs an image that a model made: "image_1" is the second of its message. The signature of one
 * that was left out is nobody's. false: the id is not of an image. */
static bool sign_image(struct draft *d, const char *id, struct json_value signature)
{
	static const char name[] = "image_";
	int64_t n, last = (int64_t)d->part_count - d->first_image - 1;
	struct part *image;

	if (strncmp(id, name, sizeof(name) - 1) != 0 || !draft_takes(d, SLICE(GOOGLE)))
		return false;
	if (!str_int(slice_of(id + sizeof(name) - 1), 0, last, &n))
		return true;
	image = &d->parts[d->first_image + (unsigned)n];
	if (image->kind == PART_IMAGE && image->message == d->message)
		image->signature = signature;
	return true;
}

/* An encrypted detail of Google's is the signature of a call or an image, or else of the text; of
 * others, a thought that cannot be read. */
static enum err_code add_encrypted(struct draft *d, const struct json_value *m,
	const struct part *where, struct json_value *text, struct err *e)
{
	struct part p = *where;
	struct slice format = member_inner(m[FORMAT]), inside;
	const char *id;

	if (m[DATA].kind != JSON_STRING)
		return draft_wrong(
			d, e, "must be a string", "reasoning_details[%u].data", where->index);
	if (m[ID].kind == JSON_STRING) {
		id = arena_string(d->arena, m[ID]);
		if (id && draft_sign(d, draft_id(slice_of(id), &inside), m[DATA]))
			return ERR_OK;
		if (id && slice_is(format, GOOGLE) && sign_image(d, id, m[DATA]))
			return ERR_OK;
	}
	if (slice_is(format, GOOGLE)) {
		if (text->kind == JSON_ABSENT)
			*text = m[DATA];
		return ERR_OK;
	}
	if (!draft_takes(d, format))
		return ERR_OK;
	p.kind = PART_HIDDEN_THOUGHT;
	p.value = m[DATA];
	p.format = m[FORMAT];
	(void)draft_part(d, SPEAKER_MODEL, &p);
	return ERR_OK;
}

static enum err_code add_detail(struct draft *d, struct json_value detail, unsigned index,
	struct pieces *pieces, const struct json_iter *rest, struct json_value *text, struct err *e)
{
	struct part where = { .object = detail, .member = "reasoning_details", .index = index };
	struct json_value m[DETAIL_MEMBERS];

	if (detail.kind != JSON_OBJECT)
		return draft_wrong(d, e, "must be an object", "reasoning_details[%u]", index);
	members_read(detail, detail_names, DETAIL_MEMBERS, m);
	if (m[TYPE].kind != JSON_STRING)
		return draft_wrong(d, e, "must be a string", "reasoning_details[%u].type", index);
	for (unsigned i = TEXT; i <= FORMAT; i++)
		if (!is_string_or_absent(m[i]))
			return draft_wrong(d, e, "must be a string", "reasoning_details[%u].%s",
				index, detail_names[i]);
	if (m[FORMAT].kind == JSON_ABSENT)
		m[FORMAT] = (struct json_value){ JSON_STRING, SLICE("\"" CLAUDE "\"") };
	if (json_str_is(m[TYPE].raw, "reasoning.text")) {
		if (draft_takes(d, member_inner(m[FORMAT])))
			add_piece(d, pieces, m, &where, rest);
		else
			close_pieces(d, pieces);
		return ERR_OK;
	}
	close_pieces(d, pieces);
	if (json_str_is(m[TYPE].raw, "reasoning.encrypted"))
		return add_encrypted(d, m, &where, text, e);
	/* Kinds of details that nobody knows are left out (kilo-contract.md section 25.2). */
	if (json_str_is(m[TYPE].raw, "reasoning.summary") &&
		draft_takes(d, member_inner(m[FORMAT]))) {
		where.kind = PART_THOUGHT;
		where.value = m[SUMMARY];
		where.format = m[FORMAT];
		(void)draft_part(d, SPEAKER_MODEL, &where);
	}
	return ERR_OK;
}

static enum err_code read_details(
	struct draft *d, struct json_value details, struct json_value *text, struct err *e)
{
	struct pieces pieces = { .open = false };
	struct json_iter it;
	struct json_value v;
	struct slice none;
	enum err_code rc;

	json_iter_init(&it, details);
	for (unsigned i = 0; json_iter_next(&it, &none, &v); i++) {
		rc = add_detail(d, v, i, &pieces, &it, text, e);
		if (rc)
			return rc;
	}
	close_pieces(d, &pieces);
	return ERR_OK;
}

/* ---- other spellings ---- */

enum err_code draft_thinking_block(
	struct draft *d, struct json_value block, const char *path, struct err *e)
{
	enum { B_TYPE, B_THINKING, B_SIGNATURE, B_DATA, B_MEMBERS };
	static const char *const names[] = { "type", "thinking", "signature", "data" };
	struct json_value b[B_MEMBERS];
	struct part p = { .kind = PART_THOUGHT, .member = "content" };

	if (block.kind != JSON_OBJECT)
		return draft_wrong(d, e, "must be an object", "%s", path);
	members_read(block, names, B_MEMBERS, b);
	for (unsigned i = B_TYPE; i < B_MEMBERS; i++)
		if (!is_string_or_absent(b[i]))
			return draft_wrong(d, e, "must be a string", "%s.%s", path, names[i]);
	if (!draft_takes(d, SLICE("")))
		return ERR_OK;
	if (json_str_is(b[B_TYPE].raw, "thinking")) {
		p.value = b[B_THINKING];
		if (b[B_SIGNATURE].raw.len > 2)
			p.signature = b[B_SIGNATURE];
		(void)draft_part(d, SPEAKER_MODEL, &p);
	} else if (json_str_is(b[B_TYPE].raw, "redacted_thinking")) {
		p.kind = PART_HIDDEN_THOUGHT;
		p.value = b[B_DATA];
		if (p.value.kind != JSON_STRING)
			return draft_wrong(d, e, "must be a string", "%s.data", path);
		(void)draft_part(d, SPEAKER_MODEL, &p);
	}
	return ERR_OK;
}

static enum err_code read_blocks(struct draft *d, struct json_value blocks, struct err *e)
{
	struct json_iter it;
	struct json_value v;
	struct slice none;
	enum err_code rc = ERR_OK;
	char path[40];

	json_iter_init(&it, blocks);
	for (unsigned i = 0; !rc && json_iter_next(&it, &none, &v); i++) {
		snprintf(path, sizeof(path), "thinking_blocks[%u]", i);
		rc = draft_thinking_block(d, v, path, e);
	}
	return rc;
}

enum err_code draft_thoughts(
	struct draft *d, const struct thoughts *from, struct json_value *text, struct err *e)
{
	struct part plain = {
		.kind = PART_THOUGHT, .value = from->plain, .member = from->plain_name
	};

	if (from->details.kind != JSON_ABSENT && from->details.kind != JSON_ARRAY)
		return draft_wrong(d, e, "must be an array", "reasoning_details");
	if (from->blocks.kind != JSON_ABSENT && from->blocks.kind != JSON_ARRAY)
		return draft_wrong(d, e, "must be an array", "thinking_blocks");
	if (!is_string_or_absent(from->plain))
		return draft_wrong(d, e, "must be a string", "%s", from->plain_name);
	if (json_is_truthy(from->details))
		return read_details(d, from->details, text, e);
	if (json_is_truthy(from->blocks))
		return read_blocks(d, from->blocks, e);
	if (json_is_truthy(from->plain) && draft_takes(d, SLICE("")))
		(void)draft_part(d, SPEAKER_MODEL, &plain);
	return ERR_OK;
}
