#include "gateway/providers/reply.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* What a message or delta holds of texts: what stands between the quotes or brackets. */
enum member {
	CONTENT,
	REASONING,
	REFUSAL,
	DETAILS, /* reasoning_details; the last object may be open, see detail_state */
	IMAGES,
	ANNOTATIONS,
	LOGPROBS, /* the whole object; of the choice, not of the message */
	MEMBERS
};

struct call {
	struct buf head;      /* raw: id, then name, then extra, as long as the next two say */
	size_t id_len, end;   /* of the id in head; of the name */
	struct buf arguments; /* of this event, or all; what stands between the quotes */
	bool begins;          /* id and name are due in this event */
	bool touched;         /* this event has something of it */
	bool has_arguments;
};

/* How far the last object in DETAILS is written. */
enum detail_state {
	DETAIL_NONE,    /* there is none, or it is closed */
	DETAIL_IN_TEXT, /* its text may go on */
	DETAIL_OPEN,    /* all but its brace */
};

struct choice {
	unsigned index;
	struct buf member[MEMBERS];
	struct call *calls;
	unsigned call_count;
	enum detail_state detail_state;
	unsigned detail; /* number of the detail being written */
	unsigned next_detail;
	unsigned hidden_from_client; /* 1 + the last thought whose text the client does not want */
	bool begins;                 /* the role is due */
	bool finishes;               /* the finish reason is due */
	char finish[24];
	char native[64];
};

struct reply {
	enum reply_form form;
	struct choice *choices;
	unsigned count;
	size_t text_bytes;
	bool failed;        /* something did not fit */
	bool exclude;       /* the client does not want to read thoughts … */
	bool exclude_known; /* … and was asked */
	struct buf head;    /* of every chunk: up to the choices */
};

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

static void close_detail(struct choice *c)
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

	close_detail(c);
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
	close_detail(c);
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
	close_detail(c);
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

/* The id of the answer is told by its first chunk at the latest. */
static void make_sure_of_id(struct dialect *d)
{
	if (!d->id[0])
		snprintf(d->id, sizeof(d->id), "chatcmpl-%" PRIx64, (uint64_t)d->created);
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
	make_sure_of_id(d);
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

/* ---- writing ---- */

static void write_call(const struct call *call, unsigned slot, bool whole, struct buf *out)
{
	struct slice head = buf_slice(&call->head);

	buf_char(out, '{');
	if (!whole) {
		buf_str(out, "\"index\":");
		buf_int(out, slot);
		buf_char(out, ',');
	}
	if (call->begins) {
		buf_str(out, "\"id\":");
		buf_slice_append(out, slice_first(head, call->id_len));
		buf_str(out, ",\"type\":\"function\",");
	}
	buf_str(out, "\"function\":{");
	if (call->begins) {
		buf_str(out, "\"name\":");
		buf_slice_append(out, slice_from(slice_first(head, call->end), call->id_len));
		buf_char(out, ',');
	}
	buf_str(out, "\"arguments\":\"");
	buf_slice_append(out, buf_slice(&call->arguments));
	buf_str(out, "\"}");
	if (call->begins && head.len > call->end) {
		buf_char(out, ',');
		buf_slice_append(out, slice_from(head, call->end));
	}
	buf_char(out, '}');
}

/* Writes the calls that this event says something of. true: there are some. */
static bool write_calls(struct reply *r, struct choice *c, struct buf *out)
{
	bool any = false;

	for (unsigned i = 0; i < c->call_count; i++) {
		struct call *call = &c->calls[i];

		if (!call->touched)
			continue;
		buf_str(out, any ? "," : ",\"tool_calls\":[");
		any = true;
		r->failed |= !buf_ok(&call->head) || !buf_ok(&call->arguments);
		write_call(call, i, r->form == REPLY_WHOLE, out);
		call->begins = call->touched = false;
		buf_reset(&call->arguments);
	}
	if (any)
		buf_char(out, ']');
	return any;
}

static void write_member(
	struct choice *c, enum member m, const char *before, char after, struct buf *out)
{
	if (!c->member[m].len)
		return;
	buf_str(out, before);
	buf_slice_append(out, buf_slice(&c->member[m]));
	buf_char(out, after);
}

/* Is there anything of the choice in this event? */
static bool has_news(const struct choice *c)
{
	if (c->begins || c->finishes)
		return true;
	for (unsigned m = 0; m < MEMBERS; m++)
		if (c->member[m].len || !buf_ok(&c->member[m]))
			return true;
	for (unsigned i = c->call_count; i--;)
		if (c->calls[i].touched)
			return true;
	return false;
}

static bool calls_anything(const struct choice *c)
{
	return c->call_count && c->calls[c->call_count - 1].touched;
}

/* Writes the message or delta, which begins with a comma that is then overwritten by its brace. */
static void write_words(struct reply *r, struct choice *c, struct buf *out)
{
	size_t begin = out->len;

	if (c->begins)
		buf_str(out, ",\"role\":\"assistant\"");
	if (c->member[CONTENT].len)
		write_member(c, CONTENT, ",\"content\":\"", '"', out);
	else if (c->begins)
		buf_str(out, calls_anything(c) || c->member[REFUSAL].len ? ",\"content\":null"
									 : ",\"content\":\"\"");
	write_member(c, REFUSAL, ",\"refusal\":\"", '"', out);
	if (r->form == REPLY_WHOLE && !c->member[REFUSAL].len)
		buf_str(out, ",\"refusal\":null");
	write_member(c, REASONING, ",\"reasoning\":\"", '"', out);
	write_member(c, REASONING, ",\"reasoning_content\":\"", '"', out);
	write_member(c, DETAILS, ",\"reasoning_details\":[", ']', out);
	(void)write_calls(r, c, out);
	write_member(c, IMAGES, ",\"images\":[", ']', out);
	write_member(c, ANNOTATIONS, ",\"annotations\":[", ']', out);
	if (out->len == begin)
		buf_char(out, '{');
	else if (buf_ok(out))
		out->data[begin] = '{';
	buf_char(out, '}');
}

static void write_choice(struct reply *r, struct choice *c, struct buf *out)
{
	close_detail(c);
	buf_str(out, "{\"index\":");
	buf_int(out, c->index);
	buf_str(out, r->form == REPLY_WHOLE ? ",\"message\":" : ",\"delta\":");
	write_words(r, c, out);
	buf_str(out, ",\"logprobs\":");
	buf_slice_append(
		out, c->member[LOGPROBS].len ? buf_slice(&c->member[LOGPROBS]) : SLICE("null"));
	buf_str(out, ",\"finish_reason\":");
	buf_json_cstr(out, c->finishes ? c->finish : NULL);
	if (c->finishes && c->native[0]) {
		buf_str(out, ",\"native_finish_reason\":");
		buf_json_cstr(out, c->native);
	}
	buf_char(out, '}');
	c->begins = c->finishes = false;
	for (unsigned m = 0; m < MEMBERS; m++) {
		r->failed |= !buf_ok(&c->member[m]);
		buf_reset(&c->member[m]);
	}
}

/* Writes the choices that have news, by their index. false: none has. */
static bool write_choices(struct reply *r, struct buf *out)
{
	bool any = false;
	unsigned from = 0;

	for (unsigned written = 0; written < r->count; written++) {
		struct choice *next = NULL;

		for (unsigned i = 0; i < r->count; i++) {
			struct choice *c = &r->choices[i];

			if (c->index >= from && (!next || c->index < next->index))
				next = c;
		}
		from = next->index + 1;
		if (!has_news(next))
			continue;
		if (any)
			buf_char(out, ',');
		any = true;
		write_choice(r, next, out);
	}
	return any;
}

static void write_head(struct dialect *d, const char *object, struct buf *out)
{
	make_sure_of_id(d);
	buf_str(out, "{\"id\":");
	buf_json_cstr(out, d->id);
	buf_str(out, ",\"object\":\"");
	buf_str(out, object);
	buf_str(out, "\",\"created\":");
	buf_str(out, d->created_text);
	buf_str(out, ",\"model\":");
	buf_json_cstr(out, d->target->public_id);
	buf_str(out, ",\"choices\":[");
}

static enum err_code no_fit(const struct dialect *d, struct err *e)
{
	if (!d->reply)
		return err_set(e, ERR_NO_MEMORY, "the answer does not fit into memory");
	return err_set(e, ERR_UPSTREAM_INVALID,
		"%s sent more text, choices or tool calls than fit into an answer",
		d->target->slug);
}

enum err_code reply_chunk(struct dialect *d, struct delta *out, struct err *e)
{
	struct reply *r = d->reply;
	bool any;

	*out = (struct delta){ .kind = DELTA_SKIP };
	if (!r)
		return no_fit(d, e);
	out->text_bytes = r->text_bytes;
	if (!r->head.len)
		write_head(d, "chat.completion.chunk", &r->head);
	buf_reset(&d->out);
	d->out.max_bytes = REPLY_ANSWER_MAX;
	buf_slice_append(&d->out, buf_slice(&r->head));
	any = write_choices(r, &d->out);
	buf_append(&d->out, "]}", 2);
	if (r->failed || !buf_ok(&r->head) || !buf_ok(&d->out)) {
		out->kind = DELTA_ERROR;
		return no_fit(d, e);
	}
	if (any) {
		out->kind = DELTA_CHUNK;
		out->json = buf_slice(&d->out);
	}
	return ERR_OK;
}

enum err_code reply_answer(struct dialect *d, struct answer *out, struct err *e)
{
	struct reply *r = d->reply;

	if (!r)
		return no_fit(d, e);
	if (!r->count)
		return err_set(e, ERR_UPSTREAM_INVALID, "%s sent an answer without choices",
			d->target->slug);
	if (d->choices_finished < d->choices_seen)
		return err_set(e, ERR_UPSTREAM_CLOSED, "%s sent an answer without a finish reason",
			d->target->slug);
	out->json.max_bytes = REPLY_ANSWER_MAX;
	write_head(d, "chat.completion", &out->json);
	(void)write_choices(r, &out->json);
	buf_str(&out->json, "],\"usage\":");
	dialect_write_usage_object(d, SLICE(""), &out->json);
	buf_char(&out->json, '}');
	if (r->failed || !buf_ok(&out->json))
		return no_fit(d, e);
	out->usage = d->usage;
	out->text_bytes = r->text_bytes;
	str_copy_cut(out->finish_reason, sizeof(out->finish_reason), d->finish_reason);
	return ERR_OK;
}
