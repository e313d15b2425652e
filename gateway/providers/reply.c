#include "gateway/providers/reply_state.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- memory ---- */

static void call_fini(struct call *c)
{
	buf_fini(&c->head);
	buf_fini(&c->arguments);
}

void reply_free(struct dialect *d)
{
	struct reply *r = d->reply;

	if (!r)
		return;
	for (unsigned i = 0; i < r->count; i++) {
		struct choice *c = &r->choices[i];

		for (unsigned m = 0; m < MEMBERS; m++)
			buf_fini(&c->member[m]);
		for (unsigned k = 0; k < c->call_count; k++)
			call_fini(&c->calls[k]);
		free(c->calls);
	}
	free(r->choices);
	buf_fini(&r->head);
	free(r);
	d->reply = NULL;
}

static bool is_set(const uint64_t *bits, unsigned i)
{
	return bits[i >> 6] >> (i & 63) & 1;
}

static void set(uint64_t *bits, unsigned i)
{
	bits[i >> 6] |= UINT64_C(1) << (i & 63);
}

static struct choice *find(const struct reply *r, unsigned index)
{
	for (unsigned i = 0; r && i < r->count; i++)
		if (r->choices[i].index == index)
			return &r->choices[i];
	return NULL;
}

/* The choice with this index, begun if need be; NULL, noted as a failure, when it cannot be. */
static struct choice *choice_of(struct dialect *d, unsigned index)
{
	struct reply *r = d->reply;
	struct choice *c = find(r, index), *more;

	if (c || !r)
		return c;
	more = index < CHOICES_MAX ? realloc(r->choices, (r->count + 1) * sizeof(*more)) : NULL;
	if (!more) {
		r->failed = true;
		return NULL;
	}
	r->choices = more;
	c = &more[r->count++];
	*c = (struct choice){ .index = index, .begins = true };
	for (unsigned m = 0; m < MEMBERS; m++)
		c->member[m].max_bytes = REPLY_TEXT_MAX;
	set(d->seen, index);
	d->choices_seen++;
	return c;
}

void reply_open(struct dialect *d, enum reply_form form, int64_t now_s)
{
	if (!d->created) {
		d->created = now_s;
		snprintf(d->created_text, sizeof(d->created_text), "%" PRId64, now_s);
	}
	if (!d->reply)
		d->reply = calloc(1, sizeof(*d->reply));
	if (!d->reply)
		return;
	d->reply->form = form;
	d->reply->text_bytes = 0;
}

void reply_id(struct dialect *d, struct json_value id)
{
	if (!d->id[0] && !json_str_copy(id, d->id, sizeof(d->id)))
		d->id[0] = '\0';
}

void reply_begin(struct dialect *d, unsigned choice)
{
	(void)choice_of(d, choice);
}

/* ---- texts ---- */

/* What stands between the quotes of a string or the brackets around it. */
static struct slice inner(struct slice raw)
{
	return (struct slice){ raw.ptr + 1, raw.len - 2 };
}

static bool says(struct json_value text)
{
	return text.kind == JSON_STRING && text.raw.len > 2;
}

/* Appends the text to the member; false when it says nothing or cannot be. */
static bool add_text(struct dialect *d, unsigned choice, enum member m, struct json_value text)
{
	struct choice *c = says(text) ? choice_of(d, choice) : NULL;

	if (!c)
		return false;
	buf_slice_append(&c->member[m], inner(text.raw));
	d->reply->text_bytes += json_str_bytes(text);
	return true;
}

void reply_text(struct dialect *d, unsigned choice, struct json_value text)
{
	(void)add_text(d, choice, CONTENT, text);
}

void reply_refusal(struct dialect *d, unsigned choice, struct json_value text)
{
	(void)add_text(d, choice, REFUSAL, text);
}

/* Begins the next object of a list. */
static struct buf *next_object(struct choice *c, enum member m)
{
	if (c->member[m].len)
		buf_char(&c->member[m], ',');
	return &c->member[m];
}

void reply_image(struct dialect *d, unsigned choice, struct slice type, struct json_value data)
{
	struct choice *c = says(data) ? choice_of(d, choice) : NULL;
	struct buf *out;

	if (!c)
		return;
	out = next_object(c, IMAGES);
	buf_str(out, "{\"type\":\"image_url\",\"image_url\":{\"url\":\"data:");
	buf_slice_append(out, type.len > 2 ? inner(type) : SLICE("image/png"));
	buf_str(out, ";base64,");
	buf_slice_append(out, inner(data.raw));
	buf_str(out, "\"}}");
}

void reply_citation(struct dialect *d, unsigned choice, struct slice object)
{
	struct choice *c = choice_of(d, choice);
	struct buf *out;

	if (!c)
		return;
	out = next_object(c, ANNOTATIONS);
	buf_str(out, "{\"type\":\"url_citation\",\"url_citation\":");
	buf_slice_append(out, object);
	buf_char(out, '}');
}

void reply_logprobs(struct dialect *d, unsigned choice, struct slice json)
{
	struct choice *c = choice_of(d, choice);

	if (!c)
		return;
	buf_reset(&c->member[LOGPROBS]);
	buf_slice_append(&c->member[LOGPROBS], json);
}

/* ---- thoughts ---- */

unsigned reply_next_detail(struct dialect *d, unsigned choice)
{
	struct choice *c = choice_of(d, choice);

	return c ? c->next_detail++ : 0;
}

void reply_close_detail(struct choice *c)
{
	if (c->detail_state == DETAIL_IN_TEXT)
		buf_char(&c->member[DETAILS], '"');
	if (c->detail_state != DETAIL_NONE)
		buf_char(&c->member[DETAILS], '}');
	c->detail_state = DETAIL_NONE;
}

static struct buf *open_detail(
	struct choice *c, const char *type, unsigned detail, const char *format)
{
	struct buf *out;

	reply_close_detail(c);
	out = next_object(c, DETAILS);
	buf_str(out, "{\"type\":\"");
	buf_str(out, type);
	buf_str(out, "\",\"index\":");
	buf_int(out, detail);
	buf_str(out, ",\"format\":\"");
	buf_str(out, format);
	buf_char(out, '"');
	c->detail = detail;
	c->detail_state = DETAIL_OPEN;
	return out;
}

/* reasoning.exclude, and include_reasoning by its older name. */
static bool wants_no_thoughts(struct dialect *d)
{
	struct json_value body = { JSON_OBJECT, d->req->body };

	if (!d->reply->exclude_known) {
		d->reply->exclude_known = true;
		d->reply->exclude =
			json_is_true(json_get(json_get(body, "reasoning"), "exclude")) ||
			slice_is(json_get(body, "include_reasoning").raw, "false");
	}
	return d->reply->exclude;
}

void reply_thought(struct dialect *d, unsigned choice, unsigned detail, const char *format,
	struct json_value text, struct json_value signature)
{
	struct choice *c = says(text) || says(signature) ? choice_of(d, choice) : NULL;
	struct buf *out;

	if (!c)
		return;
	out = &c->member[DETAILS];
	if (says(text)) {
		if (wants_no_thoughts(d)) {
			d->reply->text_bytes += json_str_bytes(text);
			c->hidden_from_client = detail + 1;
		} else {
			(void)add_text(d, choice, REASONING, text);
			if (c->detail_state != DETAIL_IN_TEXT || c->detail != detail) {
				buf_str(open_detail(c, "reasoning.text", detail, format),
					",\"text\":\"");
				c->detail_state = DETAIL_IN_TEXT;
			}
			buf_slice_append(out, inner(text.raw));
		}
	}
	/* A signature is worth nothing without its text. */
	if (!says(signature) || c->hidden_from_client == detail + 1)
		return;
	if (c->detail_state == DETAIL_IN_TEXT && c->detail == detail)
		buf_char(out, '"');
	else
		open_detail(c, "reasoning.text", detail, format);
	c->detail_state = DETAIL_OPEN;
	buf_str(out, ",\"signature\":");
	buf_slice_append(out, signature.raw);
	reply_close_detail(c);
}

void reply_hidden_thought(struct dialect *d, unsigned choice, unsigned detail, const char *format,
	struct json_value data, struct slice id)
{
	struct choice *c = says(data) ? choice_of(d, choice) : NULL;
	struct buf *out;

	if (!c)
		return;
	out = open_detail(c, "reasoning.encrypted", detail, format);
	if (id.len) {
		buf_str(out, ",\"id\":");
		buf_slice_append(out, id);
	}
	buf_str(out, ",\"data\":");
	buf_slice_append(out, data.raw);
	reply_close_detail(c);
}

/* ---- calls ---- */

static struct call *call_at(const struct dialect *d, unsigned choice, unsigned slot)
{
	struct choice *c = find(d->reply, choice);

	return c && slot < c->call_count ? &c->calls[slot] : NULL;
}

/* An id made of the answer's, so that the same answer always gets the same. */
static void make_up_id(const struct dialect *d, unsigned choice, unsigned slot, struct buf *out)
{
	uint64_t h = UINT64_C(0xcbf29ce484222325);

	for (const char *c = d->id; *c; c++)
		h = (h ^ (unsigned char)*c) * UINT64_C(0x100000001b3);
	buf_printf(out, "\"call_%016" PRIx64 "_%u_%u\"", h, choice, slot);
}

static struct call *add_call(struct choice *c)
{
	struct call *more;

	if (c->call_count == CALLS_MAX)
		return NULL;
	if ((c->call_count & (c->call_count - 1)) == 0) { /* grows at powers of two */
		size_t room = c->call_count ? 2 * (size_t)c->call_count : 1;

		more = realloc(c->calls, room * sizeof(*more));
		if (!more)
			return NULL;
		c->calls = more;
	}
	c->calls[c->call_count] = (struct call){
		.head.max_bytes = REPLY_TEXT_MAX,
		.arguments.max_bytes = REPLY_TEXT_MAX,
		.begins = true,
		.touched = true,
	};
	return &c->calls[c->call_count++];
}

unsigned reply_call(
	struct dialect *d, unsigned choice, struct slice id, struct slice name, struct slice extra)
{
	struct choice *c = choice_of(d, choice);
	struct call *call = c ? add_call(c) : NULL;
	unsigned slot;

	if (!call) {
		if (d->reply)
			d->reply->failed = true;
		return 0;
	}
	slot = c->call_count - 1;
	set(d->called, choice);
	dialect_make_id(d, d->created);
	if (id.len > 2)
		buf_slice_append(&call->head, id);
	else
		make_up_id(d, choice, slot, &call->head);
	call->id_len = call->head.len;
	buf_slice_append(&call->head, name.len > 2 ? name : SLICE("\"\""));
	call->end = call->head.len;
	buf_slice_append(&call->head, extra);
	d->reply->text_bytes += json_str_bytes((struct json_value){ JSON_STRING, name });
	return slot;
}

struct slice reply_call_id(const struct dialect *d, unsigned choice, unsigned slot)
{
	const struct call *call = call_at(d, choice, slot);

	return call ? slice_first(buf_slice(&call->head), call->id_len) : SLICE("\"\"");
}

void reply_arguments(struct dialect *d, unsigned choice, unsigned slot, struct json_value piece)
{
	struct call *call = says(piece) ? call_at(d, choice, slot) : NULL;

	if (!call)
		return;
	buf_slice_append(&call->arguments, inner(piece.raw));
	call->touched = call->has_arguments = true;
	d->reply->text_bytes += json_str_bytes(piece);
}

void reply_arguments_object(
	struct dialect *d, unsigned choice, unsigned slot, struct json_value object)
{
	struct call *call = object.raw.len ? call_at(d, choice, slot) : NULL;
	struct buf *out;
	size_t from;

	if (!call)
		return;
	out = &call->arguments;
	from = out->len;
	buf_json_str(out, object.raw);
	if (buf_ok(out)) { /* without the quotes */
		memmove(out->data + from, out->data + from + 1, out->len - from - 2);
		out->len -= 2;
	}
	call->touched = call->has_arguments = true;
	d->reply->text_bytes += object.raw.len;
}

bool reply_has_arguments(const struct dialect *d, unsigned choice, unsigned slot)
{
	const struct call *call = call_at(d, choice, slot);

	return call && call->has_arguments;
}

/* ---- the end of a choice ---- */

void reply_finish(struct dialect *d, unsigned choice, const char *finish, struct slice native)
{
	struct choice *c = choice_of(d, choice);

	if (!c || is_set(d->finished, choice))
		return;
	set(d->finished, choice);
	d->choices_finished++;
	if (c->call_count && strcmp(finish, "stop") == 0)
		finish = "tool_calls";
	/* Clients parse the arguments of every call, and "" is no JSON. */
	for (unsigned i = 0; i < c->call_count; i++)
		if (!c->calls[i].has_arguments)
			reply_arguments_object(
				d, choice, i, (struct json_value){ JSON_OBJECT, SLICE("{}") });
	c->finishes = true;
	str_copy_cut(c->finish, sizeof(c->finish), finish);
	if (!slice_copy(native, c->native, sizeof(c->native)))
		str_copy_cut(c->native, sizeof(c->native), "unknown");
	if (choice == 0)
		str_copy_cut(d->finish_reason, sizeof(d->finish_reason), finish);
}
