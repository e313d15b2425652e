/* gateway/providers/bedrock_messages.c - the turns of a conversation as messages made of blocks
 * (providers.md sections 7.4 and 7.6). */
#include "gateway/providers/bedrock_plan.h"

/* Where Amazon wants words and the client has none: blank ones are refused. */
#define PLACEHOLDER "{\"text\":\".\"}"

/* ---- calls and results ---- */

static void write_id(const struct bedrock_plan *p, const struct part *part, struct buf *out)
{
	buf_str(out, "\"toolUseId\":");
	buf_json_cstr(out, p->plan.talk.calls[part->call].id);
}

static void write_call(const struct bedrock_plan *p, const struct part *part, struct buf *out)
{
	const struct talk_call *call = &p->plan.talk.calls[part->call];

	buf_str(out, "{\"toolUse\":{");
	write_id(p, part, out);
	buf_str(out, ",\"name\":");
	buf_json_cstr(out, ask_known_name(&p->plan.ask, call->name));
	buf_str(out, ",\"input\":");
	talk_write_arguments(part, out);
	buf_str(out, "}}");
}

static bool says(struct json_value v)
{
	return v.kind == JSON_STRING && v.raw.len > 2;
}

static void write_text(struct json_value text, struct buf *out)
{
	buf_str(out, "{\"text\":");
	buf_slice_append(out, text.raw);
	buf_char(out, '}');
}

static enum err_code write_element(struct bedrock_plan *p, const struct part *result,
	struct json_value element, unsigned index, bool *first, struct buf *out, struct err *e)
{
	struct part part;
	enum err_code rc = talk_result_part(result, element, index, &part, e);

	if (rc || (part.kind == PART_TEXT && !says(part.value)))
		return rc;
	if (!*first)
		buf_char(out, ',');
	*first = false;
	if (part.kind == PART_TEXT) {
		write_text(part.value, out);
		return ERR_OK;
	}
	if (part.kind == PART_IMAGE || part.kind == PART_FILE || part.kind == PART_VIDEO)
		return bedrock_write_media(p, &part, out, e);
	return talk_refuse(&part, p->plan.target, "content of this type in a tool's result", e);
}

static enum err_code write_result(
	struct bedrock_plan *p, const struct part *part, struct buf *out, struct err *e)
{
	struct json_value element;
	struct json_iter it;
	struct slice none;
	enum err_code rc = ERR_OK;
	unsigned index = 0;
	bool first = true;

	buf_str(out, "{\"toolResult\":{");
	write_id(p, part, out);
	buf_str(out, ",\"content\":[");
	if (says(part->value)) {
		write_text(part->value, out);
		first = false;
	} else if (part->value.kind == JSON_ARRAY) {
		json_iter_init(&it, part->value);
		while (!rc && json_iter_next(&it, &none, &element))
			rc = write_element(p, part, element, index++, &first, out, e);
	}
	if (first) /* a result may be blank, but not empty */
		buf_str(out, "{\"text\":\" \"}");
	buf_char(out, ']');
	/* The others do not know the member. */
	if (part->failed && (p->family == BEDROCK_CLAUDE || p->family == BEDROCK_NOVA))
		buf_str(out, ",\"status\":\"error\"");
	buf_str(out, "}}");
	return rc;
}

/* ---- blocks ---- */

static void write_thought(const struct part *part, struct buf *out)
{
	buf_str(out, "{\"reasoningContent\":{\"reasoningText\":{\"text\":");
	buf_slice_append(out, part->value.kind == JSON_STRING ? part->value.raw : SLICE("\"\""));
	buf_str(out, ",\"signature\":");
	buf_slice_append(out, part->signature.raw);
	buf_str(out, "}}}");
}

static enum err_code write_block(
	struct bedrock_plan *p, const struct part *part, struct buf *out, struct err *e)
{
	switch (part->kind) {
	case PART_TEXT:
		write_text(part->value, out);
		return ERR_OK;
	case PART_IMAGE:
	case PART_FILE:
	case PART_VIDEO:
		return bedrock_write_media(p, part, out, e);
	case PART_AUDIO:
		return talk_refuse(part, p->plan.target, "sound", e);
	case PART_CALL:
		write_call(p, part, out);
		return ERR_OK;
	case PART_RESULT:
		return write_result(p, part, out, e);
	case PART_THOUGHT:
		write_thought(part, out);
		return ERR_OK;
	case PART_HIDDEN_THOUGHT:
		buf_str(out, "{\"reasoningContent\":{\"redactedContent\":");
		buf_slice_append(out, part->value.raw);
		buf_str(out, "}}");
		return ERR_OK;
	case PART_NATIVE:
	case PART_UNKNOWN:
		break;
	}
	return talk_refuse(part, p->plan.target, "content of this type", e);
}

/* A model takes no image back that it made, and but Claude no thoughts. */
static bool is_sent(const struct bedrock_plan *p, const struct turn *turn, const struct part *part)
{
	if (part->kind == PART_THOUGHT || part->kind == PART_HIDDEN_THOUGHT)
		return p->family == BEDROCK_CLAUDE && anthropic_sends(&p->plan, part);
	return !(turn->who == SPEAKER_MODEL && part->kind == PART_IMAGE);
}

/* ---- messages ---- */

/* The message being written. */
struct message {
	bool open, any; /* any: one was opened before */
	enum speaker who;
	bool documents, words; /* what it holds */
	bool first;            /* no block yet */
};

static void close_message(struct message *m, struct buf *out)
{
	if (!m->open)
		return;
	if (m->documents && !m->words)
		buf_str(out, "," PLACEHOLDER);
	buf_str(out, "]}");
	m->open = false;
}

/* Turns that lost a neighbour between them become one message: speakers alternate. */
static void open_message(struct message *m, enum speaker who, struct buf *out)
{
	if (m->open && m->who == who)
		return;
	close_message(m, out);
	if (m->any)
		buf_char(out, ',');
	buf_str(out, who == SPEAKER_USER ? "{\"role\":\"user\",\"content\":["
					 : "{\"role\":\"assistant\",\"content\":[");
	*m = (struct message){ .open = true, .any = true, .who = who, .first = true };
}

static void add_placeholder(struct message *m, const char *block, struct buf *out)
{
	open_message(m, SPEAKER_USER, out);
	if (!m->first)
		buf_char(out, ',');
	buf_str(out, block);
	m->first = false;
	m->words = true;
}

static enum err_code write_turn(struct bedrock_plan *p, const struct turn *turn, struct message *m,
	struct buf *out, struct err *e)
{
	enum err_code rc = ERR_OK;

	for (unsigned i = 0; !rc && i < turn->count; i++) {
		const struct part *part = &p->plan.talk.parts[turn->first + i];

		if (!is_sent(p, turn, part))
			continue;
		/* A conversation begins with the user. */
		if (!m->any && turn->who == SPEAKER_MODEL)
			add_placeholder(m, PLACEHOLDER, out);
		open_message(m, turn->who, out);
		if (!m->first)
			buf_char(out, ',');
		m->first = false;
		m->documents |= part->kind == PART_FILE;
		m->words |= part->kind == PART_TEXT;
		rc = write_block(p, part, out, e);
		bedrock_write_cache_point(p, keep_of_part(&p->plan, part), out);
	}
	return rc;
}

enum err_code bedrock_write_messages(struct bedrock_plan *p, struct buf *out, struct err *e)
{
	struct message m = { .open = false };
	enum err_code rc = ERR_OK;

	buf_char(out, '[');
	for (unsigned i = 0; !rc && i < p->plan.talk.turn_count; i++)
		rc = write_turn(p, &p->plan.talk.turns[i], &m, out, e);
	if (rc)
		return rc;
	if (!m.any)
		return err_param(e, ERR_BAD_REQUEST, "messages",
			"messages has nothing to answer: add a message of role user with a text");
	/* Most models want the user's word last, and so does Claude when it thinks. */
	if (m.who == SPEAKER_MODEL)
		add_placeholder(&m, "{\"text\":\"Continue.\"}", out);
	close_message(&m, out);
	buf_char(out, ']');
	return ERR_OK;
}
