#include "gateway/said.h"

#include "gateway/providers/openai_like.h"

#include <stdlib.h>

/* Whose text begins with so many bytes of what was said, of so many different ones, repeats it and
 * does not go on with something that happens to be the same. */
#define ECHO_MIN       ((size_t)24)
#define ECHO_DIFFERENT 8

/* How far the text of a continuing attempt is. */
enum stage {
	STAGE_ECHO,   /* all of it was said before: does it repeat what it was to go on from? */
	STAGE_BLANKS, /* it may begin with the blanks that were not sent to it */
	STAGE_REST,
};

/* A call of which something was said. name and arguments have come again up to here. */
struct again {
	size_t name, arguments;
	size_t name_bytes, arguments_bytes; /* that were said */
};

/* What was said is kept on with while this attempt goes on: only what had been said at its
 * beginning is looked at, and that no longer once all of it has come again. */
struct rescue {
	const struct said *said;
	enum rescue_way way;
	enum stage stage;
	bool fresh; /* nothing was said */
	bool role;  /* the client has the role */
	bool quiet; /* thoughts are left out */
	bool differs;
	size_t text_bytes, trimmed_bytes; /* that were said */
	size_t text;                      /* has come again up to here */
	struct again *calls;
	size_t call_count;
	int64_t detail; /* what is added to the index of details */
	/* Of the chunk in hand. */
	bool new_calls; /* calls in it, or behind it, are new to the client */
	bool news;      /* something is for the client */
	bool held;      /* some text is not */
	bool cut;       /* some of a text is, some is not */
	struct buf decoded, rest;
	struct buf delta, choices, out;
};

/* ---- its life ---- */

static bool may_echo(struct slice said)
{
	bool seen[256] = { false };
	unsigned different = 0;

	if (said.len < ECHO_MIN)
		return false;
	for (size_t i = 0; i < said.len && different < ECHO_DIFFERENT; i++) {
		different += !seen[(unsigned char)said.ptr[i]];
		seen[(unsigned char)said.ptr[i]] = true;
	}
	return different == ECHO_DIFFERENT;
}

struct rescue *rescue_begin(const struct said *s, enum rescue_way way)
{
	struct rescue *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	r->said = s;
	r->way = way;
	r->fresh = !s;
	if (!s)
		return r;
	r->differs = s->lost;
	r->role = s->role;
	r->text_bytes = s->text.len;
	r->call_count = s->call_count;
	r->quiet = r->text_bytes || r->call_count;
	r->detail = s->detail;
	if (r->call_count) {
		r->calls = calloc(r->call_count, sizeof(*r->calls));
		if (!r->calls) {
			rescue_fini(r);
			return NULL;
		}
	}
	for (size_t i = 0; i < r->call_count; i++) {
		r->calls[i].name_bytes = s->calls[i].name.len;
		r->calls[i].arguments_bytes = s->calls[i].arguments.len;
	}
	if (way == RESCUE_BY_CONTINUE) {
		r->trimmed_bytes = said_trimmed(s);
		if (!may_echo(slice_first(buf_slice(&s->text), r->trimmed_bytes))) {
			r->stage = STAGE_BLANKS;
			r->text = r->trimmed_bytes;
		}
	}
	return r;
}

void rescue_tell(struct rescue *r, const struct target *t)
{
	if (r->way != RESCUE_BY_CONTINUE || !t->quirks->repeats_prefill || r->fresh || r->differs)
		return;
	r->stage = STAGE_ECHO;
	r->text = 0;
}

void rescue_fini(struct rescue *r)
{
	if (!r)
		return;
	buf_fini(&r->decoded);
	buf_fini(&r->rest);
	buf_fini(&r->delta);
	buf_fini(&r->choices);
	buf_fini(&r->out);
	free(r->calls);
	free(r);
}

bool rescue_is_whole(const struct rescue *r)
{
	if (r->way != RESCUE_BY_SPLICE)
		return true;
	if (r->differs || r->text < r->text_bytes)
		return false;
	for (size_t i = 0; i < r->call_count; i++)
		if (r->calls[i].name < r->calls[i].name_bytes ||
			r->calls[i].arguments < r->calls[i].arguments_bytes)
			return false;
	return true;
}

/* ---- texts ---- */

static size_t alike(struct slice a, struct slice b)
{
	size_t n = 0, most = a.len < b.len ? a.len : b.len;

	if (memcmp(a.ptr, b.ptr, most) == 0)
		return most;
	while (a.ptr[n] == b.ptr[n])
		n++;
	return n;
}

/* Takes from *text what has been said behind byte *at, of which said counts up to end. */
static void take_again(const struct buf *said, size_t *at, size_t end, struct slice *text)
{
	size_t n = alike(slice_from(slice_first(buf_slice(said), end), *at), *text);

	*at += n;
	*text = slice_from(*text, n);
}

static void put_rest(struct rescue *r, struct slice text)
{
	if (r->stage == STAGE_BLANKS) {
		take_again(&r->said->text, &r->text, r->text_bytes, &text);
		if (!text.len)
			return;
		r->stage = STAGE_REST;
	}
	buf_slice_append(&r->rest, text);
}

/* It was no repetition: what looked like one goes out. */
static void put_echo(struct rescue *r)
{
	struct slice echo = slice_first(buf_slice(&r->said->text), r->text);

	r->stage = STAGE_BLANKS;
	r->text = r->trimmed_bytes;
	put_rest(r, echo);
}

/* A piece of a text that goes on: what of it is for the client is put into rest. */
static void go_on(struct rescue *r, struct slice text)
{
	if (r->stage == STAGE_ECHO) {
		take_again(&r->said->text, &r->text, r->trimmed_bytes, &text);
		if (r->text == r->trimmed_bytes)
			r->stage = STAGE_BLANKS;
		else if (text.len && r->text >= ECHO_MIN) /* it has begun anew */
			r->differs = true;
		else if (text.len)
			put_echo(r);
	}
	if (r->stage != STAGE_ECHO)
		put_rest(r, text);
}

/* A piece of a text that has to come again. */
static void compare(
	struct rescue *r, const struct buf *said, size_t *at, size_t end, struct slice text)
{
	take_again(said, at, end, &text);
	if (*at < end && text.len)
		r->differs = true;
	buf_slice_append(&r->rest, text);
}

static bool says(struct json_value v)
{
	return v.kind == JSON_STRING && v.raw.len > 2;
}

static struct slice decode(struct rescue *r, struct json_value v)
{
	buf_reset(&r->decoded);
	r->decoded.max_bytes = v.raw.len;
	(void)!json_str_decode(v, &r->decoded);
	r->differs |= !buf_ok(&r->decoded);
	buf_reset(&r->rest);
	r->rest.max_bytes = v.raw.len + SAID_MAX;
	return buf_slice(&r->decoded);
}

static void put_key(struct buf *out, const char *key)
{
	if (out->len && out->data[out->len - 1] != '{')
		buf_char(out, ',');
	buf_char(out, '"');
	buf_str(out, key);
	buf_str(out, "\":");
}

static void put_member(struct buf *out, struct slice key, struct json_value v)
{
	if (out->len && out->data[out->len - 1] != '{')
		buf_char(out, ',');
	buf_slice_append(out, key);
	buf_char(out, ':');
	buf_slice_append(out, v.raw);
}

/* The rest as a member, if there is any. */
static void put_text(struct rescue *r, const char *key)
{
	r->differs |= !buf_ok(&r->rest);
	if (!r->rest.len)
		return;
	put_key(&r->delta, key);
	buf_json_str(&r->delta, buf_slice(&r->rest));
}

static void put_content(struct rescue *r)
{
	r->news |= r->rest.len > 0;
	put_text(r, "content");
}

static void take_content(struct rescue *r, struct slice key, struct json_value v)
{
	bool live = r->way == RESCUE_BY_SPLICE ? r->text == r->text_bytes : r->stage == STAGE_REST;
	struct slice text;

	if (live || !says(v)) {
		r->news |= json_is_truthy(v);
		put_member(&r->delta, key, v);
		return;
	}
	text = decode(r, v);
	if (r->way == RESCUE_BY_SPLICE)
		compare(r, &r->said->text, &r->text, r->text_bytes, text);
	else
		go_on(r, text);
	r->held |= !r->rest.len;
	r->cut |= r->rest.len && r->rest.len != text.len;
	put_content(r);
}

/* ---- calls ---- */

static struct again *again_of(struct rescue *r, int64_t index)
{
	for (size_t i = 0; i < r->call_count; i++)
		if (r->said->calls[i].index == index)
			return &r->calls[i];
	return NULL;
}

static void put_element(struct rescue *r, struct slice raw)
{
	if (r->delta.len && r->delta.data[r->delta.len - 1] != '[')
		buf_char(&r->delta, ',');
	buf_slice_append(&r->delta, raw);
}

/* A piece of a call that the client knows: what is new of it. */
static void take_known_call(
	struct rescue *r, struct again *a, const struct said_piece *p, struct slice raw)
{
	const struct said_call *call = &r->said->calls[a - r->calls];
	bool known = a->name < a->name_bytes;
	size_t begin = r->delta.len;

	if (p->other) { /* nothing of the kind was said: it is new */
		put_element(r, raw);
		return;
	}
	put_element(r, SLICE("{"));
	buf_printf(&r->delta, "\"index\":%lld,\"function\":{", (long long)p->index);
	if (says(p->name)) {
		compare(r, &call->name, &a->name, a->name_bytes, decode(r, p->name));
		/* A name goes out whole: this is another one. */
		r->differs |= known && r->rest.len;
		put_text(r, "name");
	}
	if (says(p->arguments)) {
		compare(r, &call->arguments, &a->arguments, a->arguments_bytes,
			decode(r, p->arguments));
		put_text(r, "arguments");
	}
	if (!buf_ok(&r->delta))
		return;
	if (r->delta.data[r->delta.len - 1] == '{')
		r->delta.len = begin;
	else
		buf_str(&r->delta, "}}");
}

/* Begins an array as the value of a member; close_array takes it away again if it stays empty. */
static size_t open_array(struct rescue *r, struct slice key)
{
	size_t begin = r->delta.len;

	put_member(&r->delta, key, (struct json_value){ JSON_ARRAY, SLICE("[") });
	return begin;
}

static void close_array(struct rescue *r, size_t begin)
{
	if (buf_ok(&r->delta) && r->delta.data[r->delta.len - 1] == '[') {
		r->delta.len = begin;
		return;
	}
	buf_char(&r->delta, ']');
	r->news = true;
}

static void take_calls(struct rescue *r, struct slice key, struct json_value array)
{
	size_t begin = open_array(r, key);
	struct json_iter it;
	struct json_value v;
	struct slice none;

	json_iter_init(&it, array);
	while (json_iter_next(&it, &none, &v)) {
		struct said_piece p = said_read_piece(v);
		struct again *a = again_of(r, p.index);

		if (a)
			take_known_call(r, a, &p, v.raw);
		else
			put_element(r, v.raw);
	}
	close_array(r, begin);
}

/* ---- thoughts ---- */

/* The client adds up details by their index: those of this attempt are others than the first's,
 * whose signature they would spoil. */
static void put_detail(struct rescue *r, struct json_value detail)
{
	struct json_iter it;
	struct json_value v;
	struct slice key;
	int64_t n;

	if (!r->detail || detail.kind != JSON_OBJECT) {
		put_element(r, detail.raw);
		return;
	}
	put_element(r, SLICE("{"));
	json_iter_init(&it, detail);
	while (json_iter_next(&it, &key, &v)) {
		if (said_key_is(key, "index") && json_int(v, &n) && n >= 0 && n < INT32_MAX) {
			put_key(&r->delta, "index");
			buf_int(&r->delta, n + r->detail);
		} else {
			put_member(&r->delta, key, v);
		}
	}
	buf_char(&r->delta, '}');
}

/* Without what a provider hides beside a call, it does not take the call back. */
static bool belongs_to_call(struct json_value detail)
{
	return json_str_is(json_get(detail, "type").raw, "reasoning.encrypted") &&
	       says(json_get(detail, "id"));
}

static void take_details(struct rescue *r, struct slice key, struct json_value array)
{
	size_t begin = open_array(r, key);
	struct json_iter it;
	struct json_value v;
	struct slice none;

	json_iter_init(&it, array);
	while (json_iter_next(&it, &none, &v))
		if (!r->quiet || (r->new_calls && belongs_to_call(v)))
			put_detail(r, v);
	close_array(r, begin);
}

/* ---- chunks ---- */

static void take_delta(struct rescue *r, const struct said_choice *c)
{
	struct json_iter it;
	struct json_value v;
	struct slice key;

	r->new_calls = !r->call_count &&
		       (rescue_is_whole(r) || json_is_truthy(json_get(c->delta, "tool_calls")));
	buf_reset(&r->delta);
	buf_char(&r->delta, '{');
	json_iter_init(&it, c->delta);
	while (json_iter_next(&it, &key, &v)) {
		switch (said_member_of(key)) {
		case SAID_CONTENT:
			take_content(r, key, v);
			break;
		case SAID_CALLS:
			if (v.kind == JSON_ARRAY)
				take_calls(r, key, v);
			break;
		case SAID_DETAILS:
			if (v.kind == JSON_ARRAY)
				take_details(r, key, v);
			break;
		case SAID_THOUGHT:
			if (r->quiet)
				break;
			r->news |= json_is_truthy(v);
			put_member(&r->delta, key, v);
			break;
		case SAID_ROLE:
			if (r->role)
				break;
			r->news |= rescue_is_whole(r);
			put_member(&r->delta, key, v);
			break;
		case SAID_OTHER:
			r->news |= json_is_truthy(v);
			put_member(&r->delta, key, v);
			break;
		}
	}
	r->news |= said_finishes(c);
	/* Whatever comes now, the text was no repetition. */
	if (r->news && r->stage == STAGE_ECHO && r->way == RESCUE_BY_CONTINUE) {
		r->differs |= r->text >= ECHO_MIN;
		buf_reset(&r->rest);
		put_echo(r);
		put_content(r);
	}
	buf_char(&r->delta, '}');
}

/* Writes the choice if there is news in it. */
static void take_choice(struct rescue *r, struct json_value object)
{
	struct said_choice c = said_read_choice(object);
	bool news_before = r->news;
	struct json_iter it;
	struct json_value v;
	struct slice key;

	if (c.index != 0) /* one was asked for */
		return;
	r->news = r->held = r->cut = false;
	take_delta(r, &c);
	/* Whose probabilities go with which half cannot be told. */
	if (r->cut && c.logprobs.kind == JSON_OBJECT)
		r->differs = true;
	if (r->news) {
		if (r->choices.len)
			buf_char(&r->choices, ',');
		buf_char(&r->choices, '{');
		json_iter_init(&it, object);
		while (json_iter_next(&it, &key, &v)) {
			if (said_key_is(key, "delta"))
				v.raw = buf_slice(&r->delta);
			else if (r->held && said_key_is(key, "logprobs"))
				v.raw = SLICE("null");
			put_member(&r->choices, key, v);
		}
		buf_char(&r->choices, '}');
	}
	r->news |= news_before;
}

/* The value of a member of the chunk for the client. */
static struct slice for_client(const struct rescue *r, struct slice key, struct slice raw)
{
	const struct buf *first = said_key_is(key, "id")        ? &r->said->id
				  : said_key_is(key, "created") ? &r->said->created
				  : said_key_is(key, "model")   ? &r->said->model
								: NULL;

	return first && first->len ? buf_slice(first) : raw;
}

static void write_chunk(struct rescue *r, struct slice chunk)
{
	struct json_iter it;
	struct json_value v;
	struct slice key;

	buf_reset(&r->out);
	buf_char(&r->out, '{');
	json_iter_init(&it, (struct json_value){ JSON_OBJECT, slice_trim(chunk) });
	while (json_iter_next(&it, &key, &v)) {
		if (!said_key_is(key, "choices")) {
			v.raw = for_client(r, key, v.raw);
			put_member(&r->out, key, v);
			continue;
		}
		put_key(&r->out, "choices");
		buf_char(&r->out, '[');
		buf_slice_append(&r->out, buf_slice(&r->choices));
		buf_char(&r->out, ']');
	}
	buf_char(&r->out, '}');
}

enum rescue_take rescue_chunk(struct rescue *r, struct slice chunk, struct slice *out)
{
	struct said_head head;
	struct json_iter it;
	struct json_value v;
	struct slice none;

	*out = chunk;
	if (r->fresh)
		return RESCUE_PASS;
	/* The longest spelling of a byte has six. */
	r->delta.max_bytes = r->choices.max_bytes = r->out.max_bytes =
		6 * (chunk.len + SAID_MAX) + 4096;
	r->news = false;
	buf_reset(&r->choices);
	head = said_read_head(chunk);
	json_iter_init(&it, head.choices);
	while (!r->differs && json_iter_next(&it, &none, &v)) {
		take_choice(r, v);
		r->differs |= !buf_ok(&r->delta) || (r->news && !rescue_is_whole(r));
	}
	if (r->differs)
		return RESCUE_DIFFERS;
	if (!r->news)
		return RESCUE_HOLD;
	write_chunk(r, chunk);
	if (!buf_ok(&r->choices) || !buf_ok(&r->out)) {
		r->differs = true;
		return RESCUE_DIFFERS;
	}
	*out = buf_slice(&r->out);
	return RESCUE_PASS;
}
