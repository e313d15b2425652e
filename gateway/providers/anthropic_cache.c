/* gateway/providers/anthropic_cache.c - which blocks of a request end what is cached: those the
 * client marked, as many and in the order that Anthropic takes them; else two of our own
 * (anthropic.md section 8, kilo-contract.md section 23). */
#include "gateway/providers/anthropic_plan.h"

#include <stdlib.h>

#define BREAKPOINTS_MAX 4

void anthropic_write_keep(enum keep keep, struct buf *out)
{
	if (keep == KEEP_NOT)
		return;
	buf_str(out, keep == KEEP_1H ? ",\"cache_control\":{\"type\":\"ephemeral\",\"ttl\":\"1h\"}"
				     : ",\"cache_control\":{\"type\":\"ephemeral\"}");
}

static enum keep keep_of(struct json_value cache)
{
	if (cache.kind != JSON_OBJECT || !json_str_is(json_get(cache, "type").raw, "ephemeral"))
		return KEEP_NOT;
	return json_str_is(json_get(cache, "ttl").raw, "1h") ? KEEP_1H : KEEP_5M;
}

/* Inside of a result there must be no breakpoints: one there counts for the result. */
static enum keep keep_of_content(struct json_value content)
{
	enum keep keep, most = KEEP_NOT;
	struct json_value element;
	struct json_iter it;
	struct slice none;

	if (content.kind != JSON_ARRAY)
		return most;
	json_iter_init(&it, content);
	while (json_iter_next(&it, &none, &element)) {
		keep = keep_of(json_get(element, "cache_control"));
		if (keep > most)
			most = keep;
	}
	return most;
}

static bool can_keep(const struct anthropic_plan *p, const struct part *part)
{
	return part->kind != PART_THOUGHT && part->kind != PART_HIDDEN_THOUGHT &&
	       anthropic_sends(p, part);
}

/* What the client marked. */
static bool take_marks(struct anthropic_plan *p)
{
	enum keep *keep = p->keep;
	bool any = false;

	for (unsigned i = 0; i < p->tools; i++) {
		const struct tool *t = &p->ask.tools[i];

		*keep = keep_of(t->native.kind ? json_get(t->native, "cache_control") : t->cache);
		any |= *keep++ != KEEP_NOT;
	}
	for (unsigned i = 0; i < p->system; i++) {
		*keep = keep_of(p->talk.system[i].cache);
		any |= *keep++ != KEEP_NOT;
	}
	for (unsigned i = 0; i < p->parts; i++) {
		const struct part *part = &p->talk.parts[i];

		*keep = can_keep(p, part) ? keep_of(part->cache) : KEEP_NOT;
		if (!*keep && part->kind == PART_RESULT)
			*keep = keep_of_content(part->value);
		any |= *keep++ != KEEP_NOT;
	}
	return any;
}

/* Is it a key somewhere in text? Inside of a string its quotes would be escaped. */
static bool has_key(struct slice text, const char *quoted)
{
	size_t n = strlen(quoted);
	const char *at;

	while (text.len && (at = memmem(text.ptr, text.len, quoted, n))) {
		text = slice_from(text, (size_t)(at - text.ptr) + n);
		if (slice_starts(slice_trim(slice_first(text, 16)), ":"))
			return true;
	}
	return false;
}

/* The last part of the message that came from the client at this place. */
static const struct part *last_of_message(const struct anthropic_plan *p, unsigned message)
{
	const struct part *last = NULL;

	for (unsigned i = 0; i < p->parts; i++)
		if (p->talk.parts[i].message == message && can_keep(p, &p->talk.parts[i]))
			last = &p->talk.parts[i];
	return last;
}

/* Clients append what changes from turn to turn: it stays outside of what is cached. */
static const struct part *before_details(const struct anthropic_plan *p, const struct part *last)
{
	static const char mark[] = "\"<environment_details>";
	const struct part *found = last;

	for (const struct part *part = last; part > p->talk.parts; part--) {
		if (part[-1].message != last->message)
			break;
		if (part->kind == PART_TEXT && slice_starts(part->value.raw, mark) &&
			can_keep(p, part - 1))
			found = part - 1;
	}
	return found;
}

/* The last message of the user's or of a tool. */
static const struct part *last_said(const struct anthropic_plan *p)
{
	const struct talk *talk = &p->talk;
	unsigned message = 0;
	bool any = false;

	for (unsigned i = talk->turn_count; i-- && !any;) {
		const struct turn *turn = &talk->turns[i];

		for (unsigned k = 0; turn->who == SPEAKER_USER && k < turn->count; k++) {
			const struct part *part = &talk->parts[turn->first + k];

			if (part->failed || (any && part->message < message))
				continue;
			message = part->message;
			any = true;
		}
	}
	return any ? last_of_message(p, message) : NULL;
}

/* Two of our own: behind the first system message, and behind what was said last. */
static void place_own(struct anthropic_plan *p, enum keep keep)
{
	const struct part *said = last_said(p);
	unsigned last = 0;

	while (last + 1 < p->system &&
		p->talk.system[last + 1].message == p->talk.system[0].message)
		last++;
	if (p->system)
		p->keep[p->tools + last] = keep;
	if (said) {
		said = before_details(p, said);
		p->keep[p->tools + p->system + (unsigned)(said - p->talk.parts)] = keep;
	}
}

static unsigned count(const enum keep *keep, unsigned n)
{
	unsigned marks = 0;

	for (unsigned i = 0; i < n; i++)
		marks += keep[i] != KEEP_NOT;
	return marks;
}

/* Drops the earliest marks of a section until it has no more than most, or there is no need. */
static void thin_out(enum keep *keep, unsigned n, unsigned most, unsigned *total)
{
	unsigned here = count(keep, n);

	for (unsigned i = 0; i < n && here > most && *total > BREAKPOINTS_MAX; i++)
		if (keep[i] != KEEP_NOT) {
			keep[i] = KEEP_NOT;
			here--;
			(*total)--;
		}
}

enum err_code anthropic_place_breakpoints(struct anthropic_plan *p, struct err *e)
{
	const struct turn *last =
		p->talk.turn_count ? &p->talk.turns[p->talk.turn_count - 1] : NULL;
	struct slice messages = p->req->field[CHAT_MESSAGES].value.raw;
	enum keep asked = keep_of(p->ask.cache_control);
	unsigned all, total;
	bool hour = true;

	p->tools = p->ask.tool_count;
	p->system = p->talk.system_count;
	p->parts = last ? last->first + last->count : 0;
	all = p->tools + p->system + p->parts;
	p->keep = calloc(all + 1, sizeof(*p->keep));
	if (!p->keep)
		return err_set(e, ERR_NO_MEMORY, "the request does not fit into memory");
	if (!take_marks(p) && !has_key(messages, "\"cache_control\"") &&
		!has_key(messages, "\"prompt_cache_breakpoint\"") &&
		(asked || (p->system && anthropic_is_claude(p->model))))
		place_own(p, asked ? asked : KEEP_5M);
	total = count(p->keep, all);
	thin_out(p->keep + p->tools + p->system, p->parts, 2, &total);
	thin_out(p->keep, p->tools, 1, &total);
	thin_out(p->keep + p->tools, p->system, 1, &total);
	/* What is kept for an hour has to come before what is kept for less. */
	for (unsigned i = 0; i < all; i++) {
		hour &= p->keep[i] != KEEP_5M;
		if (p->keep[i] == KEEP_1H && !hour)
			p->keep[i] = KEEP_5M;
	}
	return ERR_OK;
}
