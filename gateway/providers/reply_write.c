/* gateway/providers/reply_write.c - what was collected of an answer, as chunks or whole. */
#include "gateway/providers/reply_state.h"

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
	reply_close_detail(c);
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
		if (!next)
			break;
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
	dialect_make_id(d, d->created);
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
