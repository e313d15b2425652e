/* gateway/providers/gemini_contents.c - the turns of a conversation as Gemini's contents, and the
 * signatures of thoughts among them (gemini.md sections 3, 4 and 9). */
#include "gateway/providers/gemini_plan.h"
#include "gateway/providers/members.h"

/* Stands for the signature of a call that never had one. */
#define SENTINEL "\"skip_thought_signature_validator\""

static bool is_model(const struct turn *turn)
{
	return turn->who == SPEAKER_MODEL;
}

static bool has_signature(const struct gemini_plan *p, const struct part *part)
{
	return part->signature.kind == JSON_STRING && part->signature.raw.len > 2 &&
	       p->model.signs && !p->target->forgets_signatures;
}

/* A thought in words is worth its signature; a text that says nothing, too. */
static bool is_sent(const struct gemini_plan *p, const struct part *part)
{
	switch (part->kind) {
	case PART_THOUGHT:
		return has_signature(p, part) && part->value.kind == JSON_STRING;
	case PART_HIDDEN_THOUGHT:
		return false;
	case PART_TEXT:
		return has_signature(p, part) || !member_is_blank(part->value);
	default:
		return true;
	}
}

static bool is_said(const struct gemini_plan *p, const struct turn *turn)
{
	for (unsigned i = 0; i < turn->count; i++)
		if (is_sent(p, &p->talk.parts[turn->first + i]))
			return true;
	return false;
}

/* ---- parts, each without the brace at its end ---- */

static void write_signature(struct json_value signature, struct buf *out)
{
	buf_str(out, ",\"thoughtSignature\":");
	buf_slice_append(out, signature.raw);
}

static void write_text(struct json_value text, struct buf *out)
{
	buf_str(out, "{\"text\":");
	buf_slice_append(out, text.raw);
}

static const char *name_of(const struct gemini_plan *p, const struct part *part)
{
	return ask_known_name(&p->ask, p->talk.calls[part->call].name);
}

/* No ids: not all versions of the API know them, and the order says which result is whose. */
static void write_call(const struct gemini_plan *p, const struct part *part, struct buf *out)
{
	buf_str(out, "{\"functionCall\":{\"name\":");
	buf_json_cstr(out, name_of(p, part));
	buf_str(out, ",\"args\":");
	talk_write_arguments(part, out);
	buf_char(out, '}');
}

/* Appends what of a result is no text, with open before the first and commas between. *n: how many
 * there are. */
static enum err_code write_media_of(const struct gemini_plan *p, const struct part *result,
	const char *open, unsigned *n, struct buf *out, struct err *e)
{
	struct json_value element;
	struct json_iter it;
	struct slice none;
	struct part part;
	enum err_code rc = ERR_OK;

	*n = 0;
	if (result->value.kind != JSON_ARRAY)
		return ERR_OK;
	json_iter_init(&it, result->value);
	for (unsigned i = 0; !rc && json_iter_next(&it, &none, &element); i++) {
		rc = talk_result_part(result, element, i, &part, e);
		if (rc || part.kind == PART_TEXT)
			continue;
		if (part.kind == PART_NATIVE || part.kind == PART_UNKNOWN)
			return talk_refuse(&part, p->target, "content of this type", e);
		buf_str(out, (*n)++ ? "," : open);
		rc = gemini_write_media(p, &part, out, e);
		buf_char(out, '}');
	}
	return rc;
}

static enum err_code write_result(
	const struct gemini_plan *p, const struct part *part, struct buf *out, struct err *e)
{
	enum err_code rc = ERR_OK;
	unsigned shown = 0;

	buf_str(out, "{\"functionResponse\":{\"name\":");
	buf_json_cstr(out, name_of(p, part));
	buf_str(out, part->failed ? ",\"response\":{\"error\":" : ",\"response\":{\"output\":");
	talk_write_text(part->value, out);
	buf_char(out, '}');
	if (p->model.media_in_results)
		rc = write_media_of(p, part, ",\"parts\":[", &shown, out, e);
	buf_str(out, shown ? "]}" : "}");
	return rc;
}

static enum err_code write_part(
	const struct gemini_plan *p, const struct part *part, struct buf *out, struct err *e)
{
	switch (part->kind) {
	case PART_TEXT:
		write_text(part->value, out);
		return ERR_OK;
	case PART_THOUGHT:
		write_text(part->value, out);
		buf_str(out, ",\"thought\":true");
		return ERR_OK;
	case PART_IMAGE:
	case PART_AUDIO:
	case PART_VIDEO:
	case PART_FILE:
		return gemini_write_media(p, part, out, e);
	case PART_CALL:
		write_call(p, part, out);
		return ERR_OK;
	case PART_RESULT:
		return write_result(p, part, out, e);
	case PART_HIDDEN_THOUGHT: /* is_sent() leaves them out */
	case PART_NATIVE:
	case PART_UNKNOWN:
		break;
	}
	return talk_refuse(part, p->target, "content of this type", e);
}

/* ---- the system's words, for models that know no system ---- */

/* A text of them all, and of another behind them, which may be absent. */
static void write_lead(const struct gemini_plan *p, struct json_value text, struct buf *out)
{
	buf_str(out, "{\"text\":\"");
	for (unsigned i = 0; i < p->talk.system_count; i++) {
		if (i)
			buf_str(out, "\\n\\n");
		buf_slice_append(out, member_inner(p->talk.system[i].value));
	}
	if (text.kind == JSON_STRING) {
		buf_str(out, "\\n\\n");
		buf_slice_append(out, member_inner(text));
	}
	buf_char(out, '"');
}

static bool leads(const struct gemini_plan *p)
{
	return !p->model.takes_system && p->talk.system_count;
}

/* The text that they are put in front of; NULL when no user said anything. */
static const struct part *led_part(const struct gemini_plan *p)
{
	for (unsigned i = 0; leads(p) && i < p->talk.turn_count; i++) {
		const struct turn *turn = &p->talk.turns[i];

		for (unsigned k = 0; !is_model(turn) && k < turn->count; k++)
			if (p->talk.parts[turn->first + k].kind == PART_TEXT)
				return &p->talk.parts[turn->first + k];
	}
	return NULL;
}

/* ---- turns ---- */

struct writer {
	const struct gemini_plan *p;
	struct buf *out;
	const struct part *led;
	const char *role; /* of the turn that is open; NULL = none is yet */
	bool begun;       /* it has a part */
	bool called;      /* it has a call */
};

static void close_turn(struct writer *w)
{
	if (w->role)
		buf_str(w->out, "]}");
}

/* Where the turn between two of the same speaker said nothing, they are one. */
static void open_turn(struct writer *w, const char *role)
{
	if (w->role && strcmp(w->role, role) == 0)
		return;
	close_turn(w);
	buf_str(w->out, w->role ? ",{\"role\":\"" : "{\"role\":\"");
	buf_str(w->out, role);
	buf_str(w->out, "\",\"parts\":[");
	w->role = role;
	w->begun = w->called = false;
}

static void next_part(struct writer *w)
{
	if (w->begun)
		buf_char(w->out, ',');
	w->begun = true;
}

static void add_text(struct writer *w, const char *text)
{
	open_turn(w, "user");
	next_part(w);
	buf_printf(w->out, "{\"text\":\"%s\"}", text);
}

static enum err_code add_part(struct writer *w, const struct part *part, struct err *e)
{
	enum err_code rc = ERR_OK;

	next_part(w);
	if (part == w->led)
		write_lead(w->p, part->value, w->out);
	else
		rc = write_part(w->p, part, w->out, e);
	if (has_signature(w->p, part))
		write_signature(part->signature, w->out);
	else if (part->kind == PART_CALL && !w->called && w->p->model.wants_signatures)
		buf_str(w->out, ",\"thoughtSignature\":" SENTINEL);
	w->called |= part->kind == PART_CALL;
	buf_char(w->out, '}');
	return rc;
}

static void add_lead(struct writer *w)
{
	open_turn(w, "user");
	next_part(w);
	write_lead(w->p, (struct json_value){ .kind = JSON_ABSENT }, w->out);
	buf_char(w->out, '}');
}

/* Results come first, then the images in them where results take none, then what the user said. */
static enum err_code write_turn(struct writer *w, const struct turn *turn, struct err *e)
{
	const struct part *parts = &w->p->talk.parts[turn->first];
	enum err_code rc = ERR_OK;
	unsigned i = 0, shown;

	open_turn(w, is_model(turn) ? "model" : "user");
	for (; !rc && i < turn->count && parts[i].kind == PART_RESULT; i++)
		rc = add_part(w, &parts[i], e);
	for (unsigned k = 0; !rc && !w->p->model.media_in_results && k < i; k++)
		rc = write_media_of(w->p, &parts[k], ",", &shown, w->out, e);
	for (; !rc && i < turn->count; i++)
		if (is_sent(w->p, &parts[i]))
			rc = add_part(w, &parts[i], e);
	return rc;
}

enum err_code gemini_write_contents(struct gemini_plan *p, struct buf *out, struct err *e)
{
	struct writer w = { .p = p, .out = out, .led = led_part(p) };
	const struct turn *turns = p->talk.turns, *last = NULL;
	enum err_code rc = ERR_OK;

	buf_str(out, "\"contents\":[");
	if (leads(p) && !w.led)
		add_lead(&w);
	for (unsigned i = 0; !rc && i < p->talk.turn_count; i++) {
		if (!is_said(p, &turns[i]))
			continue;
		if (!w.role && is_model(&turns[i]))
			add_text(&w, "."); /* the first word is a user's */
		last = &turns[i];
		rc = write_turn(&w, last, e);
	}
	if (!last && !p->talk.system_count)
		return err_param(e, ERR_BAD_REQUEST, "messages",
			"messages has nothing to answer: add a message of role user with a text");
	/* With nothing else, what the system says is what is asked. */
	if (!last && !w.role)
		add_lead(&w);
	p->system_told = leads(p) || !last;
	/* A model does not go on with what it said itself. */
	if (last && is_model(last))
		add_text(&w, "Continue.");
	close_turn(&w);
	buf_char(out, ']');
	return rc;
}
