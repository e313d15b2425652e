#include "gateway/providers/talk_draft.h"

#include "base/crypto.h"

#include <stdio.h>
#include <stdlib.h>

#define ID_MAX    256 /* bytes */
#define NO_RESULT "\"no result recorded\""

/* ---- lists that grow ---- */

/* The list with room for one more behind its count elements; as it was, and failed, without
 * memory. */
static void *room(struct draft *d, void *list, size_t *cap, unsigned count, size_t size)
{
	size_t larger = *cap ? *cap * 2 : 16;
	void *moved;

	if (count < *cap)
		return list;
	moved = realloc(list, larger * size);
	if (!moved) {
		d->failed = true;
		return list;
	}
	*cap = larger;
	return moved;
}

#define HAS_ROOM(d, list, cap, count) \
	((d)->list = room(d, (d)->list, &(d)->cap, (d)->count, sizeof(*(d)->list)), !(d)->failed)

/* The present turn, which is this speaker's; NULL without memory. */
static struct draft_turn *speak(struct draft *d, enum speaker who)
{
	if (d->turn_count && d->turns[d->turn_count - 1].who == who)
		return &d->turns[d->turn_count - 1];
	if (!HAS_ROOM(d, turns, turn_cap, turn_count))
		return NULL;
	d->turns[d->turn_count] = (struct draft_turn){
		.who = who, .first = d->part_count, .first_call = d->call_count
	};
	return &d->turns[d->turn_count++];
}

struct part *draft_part(struct draft *d, enum speaker who, const struct part *p)
{
	struct draft_turn *turn = speak(d, who);

	if (!turn || !HAS_ROOM(d, parts, part_cap, part_count))
		return NULL;
	turn->count++;
	d->parts[d->part_count] = *p;
	d->parts[d->part_count].message = d->message;
	return &d->parts[d->part_count++];
}

void draft_system(struct draft *d, const struct part *p)
{
	if (!HAS_ROOM(d, system, system_cap, system_count))
		return;
	d->system[d->system_count] = *p;
	d->system[d->system_count++].message = d->message;
}

/* ---- ids ---- */

struct slice draft_id(struct slice id, struct slice *signature)
{
	static const char mark[] = "__thought__";
	const char *at = memmem(id.ptr, id.len, mark, sizeof(mark) - 1);

	*signature = SLICE("");
	if (!at)
		return id;
	*signature = slice_from(id, (size_t)(at - id.ptr) + sizeof(mark) - 1);
	return slice_first(id, (size_t)(at - id.ptr));
}

static bool fits_id(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '_' || c == '-';
}

/* Of an id that is too long: a number that other long ids with the same beginning have not. */
static uint32_t digest(struct slice s)
{
	uint32_t h = UINT32_C(2166136261);

	for (size_t i = 0; i < s.len; i++)
		h = (h ^ (unsigned char)s.ptr[i]) * UINT32_C(16777619);
	return h;
}

#define OF_NINE 9

static bool is_of_nine(struct slice id)
{
	for (size_t i = 0; i < id.len; i++)
		if (!fits_id(id.ptr[i]) || id.ptr[i] == '_' || id.ptr[i] == '-')
			return false;
	return id.len == OF_NINE;
}

static bool is_hashed(const struct talk_rules *rules, struct slice id)
{
	if (rules->ids == TALK_IDS_WITHOUT_DOTS)
		return memchr(id.ptr, '.', id.len) != NULL;
	return rules->ids == TALK_IDS_OF_NINE && !is_of_nine(id);
}

/* Puts the id into text as characters that the provider takes; returns how many. */
static size_t put_id(
	const struct talk_rules *rules, struct slice id, size_t max, char text[ID_MAX + 1])
{
	char hex[2 * SHA256_BYTES + 1];
	uint8_t hash[SHA256_BYTES];
	size_t len = id.len > max ? max : id.len;

	if (is_hashed(rules, id)) {
		crypto_sha256(id, hash);
		crypto_hex(hash, sizeof(hash), hex);
		len = rules->ids == TALK_IDS_OF_NINE ? OF_NINE : 2 * SHA256_BYTES;
		len = len > max ? max : len;
		memcpy(text, hex, len);
		text[len] = '\0';
		return len;
	}
	memcpy(text, id.ptr, len);
	text[len] = '\0';
	if (id.len > max)
		snprintf(text + max - 8, 9, "%08x", digest(id));
	for (size_t i = 0; i < len; i++)
		if (!fits_id(text[i]))
			text[i] = '_';
	return len;
}

/* The id as the provider will know it. The first call with an id keeps it, so that an id does not
 * change when the conversation goes on. */
static const char *fit_id(struct draft *d, struct slice id)
{
	size_t max = d->rules->id_max < OF_NINE  ? OF_NINE
		     : d->rules->id_max > ID_MAX ? ID_MAX
						 : d->rules->id_max;
	char base[ID_MAX + 1], fitted[ID_MAX + 1], tail[16];
	size_t len, keep;
	struct name *taken;
	const char *key;
	bool fresh;

	if (!id.len)
		id = SLICE("call");
	len = put_id(d->rules, id, max, base);
	memcpy(fitted, base, len + 1);
	for (;;) {
		key = arena_text(d->arena, slice_of(fitted));
		taken = key ? names_put(&d->taken, slice_of(key), &fresh) : NULL;
		if (!taken) {
			d->failed = true;
			return "";
		}
		if (fresh)
			return key;
		/* Counted with the id itself, so that one that comes often is not tried from the
		 * beginning each time. */
		taken = names_get(&d->taken, slice_of(base));
		snprintf(tail, sizeof(tail), "_%u", ++taken->data[0] + 1);
		keep = len + strlen(tail) > max ? max - strlen(tail) : len;
		memcpy(fitted, base, keep);
		memcpy(fitted + keep, tail, strlen(tail) + 1);
		if (d->rules->ids == TALK_IDS_OF_NINE) {
			char longer[ID_MAX + 1];

			memcpy(longer, fitted, keep + strlen(tail) + 1);
			(void)put_id(d->rules, slice_of(longer), max, fitted);
		}
	}
}

/* ---- calls and results ---- */

/* What an entry of draft.open says, each one more than the index, so that 0 is none. */
enum {
	OPEN_FIRST,
	OPEN_LAST,
	OPEN_TURN,
};

static void sign(struct draft *d, unsigned number, struct json_value signature)
{
	const char *text = arena_string(d->arena, signature);

	if (!text || !*text)
		return;
	d->calls[number].signature = slice_of(text);
	d->parts[d->notes[number].part].signature = signature;
}

void draft_call(struct draft *d, struct slice key, const char *name, const struct part *p)
{
	struct part *own = draft_part(d, SPEAKER_MODEL, p);
	unsigned number = d->call_count;
	struct name *open;
	const char *lasting;
	bool fresh;

	if (!own || !HAS_ROOM(d, notes, note_cap, call_count) ||
		!HAS_ROOM(d, calls, call_cap, call_count))
		return;
	own->call = number;
	own->signature.kind = JSON_ABSENT;
	lasting = arena_text(d->arena, key);
	open = lasting ? names_put(&d->open, (struct slice){ lasting, key.len }, &fresh) : NULL;
	if (!open) {
		d->failed = true;
		return;
	}
	d->calls[number] =
		(struct talk_call){ .id = fit_id(d, key), .name = name, .signature = SLICE("") };
	d->notes[number] =
		(struct draft_call){ .part = d->part_count - 1, .turn = d->turn_count - 1 };
	sign(d, number, p->signature);
	/* Clients that count from 0 in each answer have the same ids again and again: what stays
	 * open of an older turn is left to it. */
	if (open->data[OPEN_FIRST] && open->data[OPEN_TURN] == d->turn_count)
		d->notes[open->data[OPEN_LAST] - 1].next = number + 1;
	else
		open->data[OPEN_FIRST] = number + 1;
	open->data[OPEN_LAST] = number + 1;
	open->data[OPEN_TURN] = d->turn_count;
	d->turns[d->turn_count - 1].calls++;
	d->call_count++;
}

bool draft_result(struct draft *d, struct slice key, const struct part *p)
{
	struct name *open = names_get(&d->open, key);
	struct draft_call *note;
	unsigned number;

	if (!open || !open->data[OPEN_FIRST])
		return false;
	number = open->data[OPEN_FIRST] - 1;
	note = &d->notes[number];
	note->result = *p;
	note->result.kind = PART_RESULT;
	note->result.call = number;
	note->result.message = d->message;
	d->calls[number].answered = true;
	open->data[OPEN_FIRST] = note->next;
	if (note->turn == d->turn_count - 1)
		(void)speak(d, SPEAKER_USER);
	return true;
}

bool draft_sign(struct draft *d, struct slice key, struct json_value signature)
{
	struct name *open = names_get(&d->open, key);
	unsigned number;

	if (!open || !open->data[OPEN_FIRST] || open->data[OPEN_TURN] != d->turn_count)
		return false;
	number = open->data[OPEN_FIRST] - 1;
	if (d->parts[d->notes[number].part].message != d->message)
		return false;
	if (!d->calls[number].signature.len)
		sign(d, number, signature);
	return true;
}

/* ---- the order ---- */

static bool is_thought(const struct part *p)
{
	return p->kind == PART_THOUGHT || p->kind == PART_HIDDEN_THOUGHT;
}

/* The turn of a model: thoughts, what it said, calls. */
static struct part *write_model(
	const struct draft *d, const struct draft_turn *from, struct part *to)
{
	enum { THOUGHTS, SAID, CALLS, STEPS };
	const struct part *p = d->parts + from->first, *end = p + from->count;
	int own;

	for (int step = THOUGHTS; step < STEPS; step++)
		for (const struct part *q = p; q < end; q++) {
			own = is_thought(q) ? THOUGHTS : q->kind == PART_CALL ? CALLS : SAID;
			if (step == own)
				*to++ = *q;
		}
	return to;
}

/* The results of a turn's calls, in their order. */
static struct part *write_results(
	const struct draft *d, const struct draft_turn *asked, struct part *to)
{
	for (unsigned i = asked->first_call; i < asked->first_call + asked->calls; i++) {
		if (d->calls[i].answered)
			*to = d->notes[i].result;
		else
			*to = (struct part){ .kind = PART_RESULT,
				.value = { JSON_STRING, SLICE(NO_RESULT) },
				.call = i,
				.failed = true,
				.member = "tool_calls",
				.message = d->parts[d->notes[i].part].message };
		to++;
	}
	return to;
}

/* Puts all turns in order into the arena, and t's lists on them. */
static bool write_turns(struct draft *d, struct talk *t)
{
	const struct draft_turn *asked = NULL, *from;
	struct part *parts, *to;
	struct turn *turns;

	/* Calls at the end are answered in a turn of their own. */
	if (d->turn_count && d->turns[d->turn_count - 1].calls)
		(void)speak(d, SPEAKER_USER);
	parts = arena_take(d->arena, ((size_t)d->part_count + d->call_count) * sizeof(*parts));
	turns = arena_take(d->arena, d->turn_count * sizeof(*turns));
	if (!parts || !turns || d->failed)
		return false;
	to = parts;
	for (unsigned i = 0; i < d->turn_count; i++) {
		from = &d->turns[i];
		turns[i] = (struct turn){ .who = from->who, .first = (unsigned)(to - parts) };
		if (from->who == SPEAKER_MODEL) {
			to = write_model(d, from, to);
			turns[i].has_calls = from->calls > 0;
		} else {
			if (asked && asked->calls) {
				to = write_results(d, asked, to);
				turns[i].has_results = true;
			}
			if (from->count)
				memcpy(to, d->parts + from->first, from->count * sizeof(*to));
			to += from->count;
		}
		turns[i].count = (unsigned)(to - parts) - turns[i].first;
		asked = from;
	}
	t->parts = parts;
	t->turns = turns;
	t->turn_count = d->turn_count;
	return true;
}

/* A copy of a list of the draft in the arena. */
static const void *kept(struct draft *d, const void *list, size_t bytes)
{
	void *copy = arena_take(d->arena, bytes);

	if (copy && bytes)
		memcpy(copy, list, bytes);
	return copy;
}

static enum err_code read_all(struct draft *d, struct json_value messages, struct err *e)
{
	struct json_iter it;
	struct json_value v;
	struct slice none;
	enum err_code rc;

	if (messages.kind != JSON_ARRAY)
		return err_param(
			e, ERR_BAD_REQUEST, "messages", "messages must be an array of messages");
	json_iter_init(&it, messages);
	for (; json_iter_next(&it, &none, &v); d->message++) {
		rc = draft_message(d, v, e);
		if (rc)
			return rc;
		if (d->part_count + d->system_count + d->call_count > TALK_PARTS_MAX)
			return err_param(e, ERR_BAD_REQUEST, "messages",
				"messages hold more than %u parts and calls", TALK_PARTS_MAX);
		if (d->failed || d->arena->failed)
			return err_set(e, ERR_NO_MEMORY, "no memory for the messages");
	}
	return ERR_OK;
}

enum err_code talk_read(
	const struct chat_req *req, const struct talk_rules *rules, struct talk *t, struct err *e)
{
	struct draft d = { .rules = rules };
	enum err_code rc;

	*t = (struct talk){ .memory = calloc(1, sizeof(struct arena)) };
	if (!t->memory)
		return err_set(e, ERR_NO_MEMORY, "no memory for the messages");
	d.arena = t->memory;
	rc = read_all(&d, req->field[CHAT_MESSAGES].value, e);
	if (rc)
		goto out;
	t->calls = kept(&d, d.calls, d.call_count * sizeof(*d.calls));
	t->call_count = d.call_count;
	t->system = kept(&d, d.system, d.system_count * sizeof(*d.system));
	t->system_count = d.system_count;
	if (!write_turns(&d, t) || d.arena->failed)
		rc = err_set(e, ERR_NO_MEMORY, "no memory for the messages");
out:
	free(d.parts);
	free(d.system);
	free(d.turns);
	free(d.notes);
	free(d.calls);
	names_fini(&d.open);
	names_fini(&d.taken);
	if (rc)
		talk_fini(t);
	return rc;
}

void talk_fini(struct talk *t)
{
	if (t->memory)
		arena_fini(t->memory);
	free(t->memory);
	*t = (struct talk){ 0 };
}

void talk_param(const struct part *p, char param[ERR_PARAM_SIZE])
{
	if (p->object.kind == JSON_ABSENT)
		snprintf(param, ERR_PARAM_SIZE, "messages[%u].%s", p->message, p->member);
	else
		snprintf(param, ERR_PARAM_SIZE, "messages[%u].%s[%u]", p->message, p->member,
			p->index);
}

enum err_code talk_refuse(
	const struct part *p, const struct target *t, const char *what, struct err *e)
{
	char param[ERR_PARAM_SIZE];

	talk_param(p, param);
	return err_param(e, ERR_UNSUPPORTED, param, "%s: provider %s does not take %s", param,
		t->slug, what);
}
