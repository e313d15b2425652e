#include "gateway/demo_answer.h"

#include "base/json_scan.h"

#include <stdio.h>

#define TOKEN_BYTES    12 /* longest piece of a word */
#define SCHEMA_DEPTH   8
#define SCHEMA_MEMBERS 32

static const char story[] =
	"At the edge of the valley stood a toll gate, and beside it a keeper named Wren. Every "
	"cart that came along was asked for three things: a copper coin, the name of the town "
	"ahead, and one true sentence. Most travellers paid the coin gladly and stumbled over the "
	"sentence. One evening a girl arrived with empty pockets. \"I have no coin,\" she said, "
	"\"and I do not know the town. But your lantern is about to go out.\" Wren looked up, "
	"laughed, and lifted the bar. \"That,\" said the keeper, filling the lamp, \"is worth "
	"all three.\" And from that night on, a small light burned above the gate for everyone "
	"who still had a way to go.";

/* ---- reading the request ---- */

enum {
	MODEL,
	MESSAGES,
	STREAM,
	STREAM_OPTIONS,
	N,
	MAX_TOKENS,
	MAX_COMPLETION_TOKENS,
	TOOLS,
	TOOL_CHOICE,
	RESPONSE_FORMAT,
	MEMBERS
};

/* What the conversation holds. */
struct talk {
	struct json_value user; /* content of the last user message */
	struct json_value tool; /* content of a tool message after it */
	int64_t prompt_tokens;
};

static bool is(struct json_value v, const char *s)
{
	return v.kind == JSON_STRING && json_str_is(v.raw, s);
}

/* Appends the text of a content; counts what else is in it. */
static void read_content(struct json_value content, struct buf *out, size_t *others)
{
	struct json_iter it;
	struct json_value part;
	struct slice key;

	if (json_str_decode(content, out) || content.kind != JSON_ARRAY)
		return;
	json_iter_init(&it, content);
	while (json_iter_next(&it, &key, &part)) {
		struct json_value text = json_get(part, "text");

		if (text.kind != JSON_STRING) {
			++*others;
			continue;
		}
		if (out->len)
			buf_char(out, '\n');
		out->failed = !json_str_decode(text, out) || out->failed;
	}
}

static int64_t content_tokens(struct json_value content)
{
	struct json_iter it;
	struct json_value part;
	struct slice key;
	size_t bytes = json_str_bytes(content);

	json_iter_init(&it, content.kind == JSON_ARRAY ? content : (struct json_value){ 0 });
	while (json_iter_next(&it, &key, &part))
		bytes += json_str_bytes(json_get(part, "text"));
	return (int64_t)(bytes + 3) / 4 + 3;
}

static enum err_code read_talk(struct json_value messages, struct talk *t, struct err *e)
{
	struct json_iter it;
	struct json_value m;
	struct slice key;
	size_t count = 0;

	if (messages.kind == JSON_ARRAY) {
		json_iter_init(&it, messages);
		for (; json_iter_next(&it, &key, &m); count++) {
			struct json_value content = json_get(m, "content");
			struct json_value role = json_get(m, "role");

			if (role.kind != JSON_STRING)
				return err_param(e, ERR_BAD_REQUEST, "messages",
					"messages[%zu].role: expected a text", count);
			t->prompt_tokens += content_tokens(content);
			if (is(role, "user")) {
				t->user = content;
				t->tool = (struct json_value){ 0 };
			} else if (is(role, "tool")) {
				t->tool = content;
			}
		}
	}
	if (count == 0)
		return err_param(e, ERR_BAD_REQUEST, "messages",
			"messages: expected an array with at least one message");
	return ERR_OK;
}

static enum err_code read_count(
	const struct json_member *m, int64_t max, int64_t *out, struct err *e)
{
	int64_t n;

	if (m->value.kind == JSON_ABSENT || m->value.kind == JSON_NULL)
		return ERR_OK;
	if (!json_int(m->value, &n) || n < 1 || n > max)
		return err_param(e, ERR_BAD_REQUEST, m->name,
			"%s: expected a whole number from 1 to %lld", m->name, (long long)max);
	*out = n;
	return ERR_OK;
}

/* ---- tool calls and structured answers ---- */

/* A value that fits a JSON schema as far as its types go: enough to show the shape. */
static void write_example(struct json_value schema, struct slice text, int depth, struct buf *out)
{
	struct json_value type = json_get(schema, "type"), list = json_get(schema, "enum");
	struct json_value constant = json_get(schema, "const");
	struct json_iter it;
	struct json_value v;
	struct slice key;
	int members = 0;

	if (type.kind == JSON_ARRAY)
		type = json_at(type, 0);
	if (constant.kind != JSON_ABSENT) {
		buf_slice_append(out, constant.raw);
	} else if (list.kind == JSON_ARRAY && json_at(list, 0).kind != JSON_ABSENT) {
		buf_slice_append(out, json_at(list, 0).raw);
	} else if (is(type, "string")) {
		buf_json_str(out, text);
	} else if (is(type, "integer") || is(type, "number")) {
		buf_char(out, '1');
	} else if (is(type, "boolean")) {
		buf_str(out, "true");
	} else if (is(type, "array")) {
		buf_char(out, '[');
		if (depth < SCHEMA_DEPTH && json_get(schema, "items").kind == JSON_OBJECT)
			write_example(json_get(schema, "items"), text, depth + 1, out);
		buf_char(out, ']');
	} else if (is(type, "null") || depth >= SCHEMA_DEPTH) {
		buf_str(out, "null");
	} else {
		buf_char(out, '{');
		json_iter_init(&it, json_get(schema, "properties"));
		while (members < SCHEMA_MEMBERS && json_iter_next(&it, &key, &v)) {
			buf_str(out, members++ ? "," : "");
			buf_slice_append(out, key);
			buf_char(out, ':');
			write_example(v, text, depth + 1, out);
		}
		buf_char(out, '}');
	}
}

/* The text as one short line, for examples. */
static struct slice first_words(const struct buf *text)
{
	struct slice s = buf_slice(text);

	s = slice_first(s, 80);
	s.len = utf8_whole(s);
	return s.len ? s : SLICE("demo");
}

/* Does the request force a call? Then *function is the one to call. */
static bool wants_call(
	const struct json_member *f, const struct talk *t, struct json_value *function)
{
	struct json_value choice = f[TOOL_CHOICE].value, tool;
	struct json_value wanted = json_get(json_get(choice, "function"), "name");
	struct json_iter it;
	struct slice key;

	/* The result of a call is there: answer with words, or a loop would never end. */
	if (t->tool.kind != JSON_ABSENT || f[TOOLS].value.kind != JSON_ARRAY)
		return false;
	if (!is(choice, "required") && wanted.kind != JSON_STRING)
		return false;
	json_iter_init(&it, f[TOOLS].value);
	while (json_iter_next(&it, &key, &tool)) {
		struct json_value name;
		char written[128], asked[128];

		*function = json_get(tool, "function");
		name = json_get(*function, "name");
		if (!json_str_copy(name, written, sizeof(written)))
			continue;
		if (wanted.kind != JSON_STRING || (json_str_copy(wanted, asked, sizeof(asked)) &&
							  strcmp(asked, written) == 0))
			return true;
	}
	return false;
}

/* ---- what is said ---- */

static void cut_text(struct buf *text)
{
	struct slice s = slice_first(buf_slice(text), DEMO_TEXT_MAX);

	if (text->len <= DEMO_TEXT_MAX)
		return;
	text->len = utf8_whole(s);
	buf_str(text, "… (the demonstration repeats no more than 256 KiB)");
}

static void compose_echo(
	struct demo_answer *a, const struct json_member *f, const struct talk *t, size_t body_bytes)
{
	struct buf said = { .max_bytes = body_bytes + 64 };
	struct json_value format = json_get(f[RESPONSE_FORMAT].value, "type");
	struct json_value function = { 0 };
	size_t others = 0;

	read_content(t->tool.kind != JSON_ABSENT ? t->tool : t->user, &said, &others);
	cut_text(&said);
	if (wants_call(f, t, &function) &&
		json_str_copy(json_get(function, "name"), a->tool, sizeof(a->tool))) {
		write_example(json_get(function, "parameters"), first_words(&said), 0, &a->text);
	} else if (is(format, "json_schema")) {
		write_example(json_get(json_get(f[RESPONSE_FORMAT].value, "json_schema"), "schema"),
			first_words(&said), 0, &a->text);
	} else if (is(format, "json_object")) {
		buf_str(&a->text, "{\"echo\":");
		buf_json_str(&a->text, buf_slice(&said));
		buf_char(&a->text, '}');
	} else {
		if (t->tool.kind != JSON_ABSENT)
			buf_str(&a->text, "Your tool answered: ");
		buf_slice_append(&a->text, buf_slice(&said));
		if (a->text.len == 0 && others == 0)
			buf_str(&a->text, "You said nothing.");
		if (others)
			buf_printf(&a->text, "%s(and %zu part%s that %s no text)",
				a->text.len ? " " : "", others, others == 1 ? "" : "s",
				others == 1 ? "is" : "are");
		if (t->tool.kind == JSON_ABSENT && json_at(f[TOOLS].value, 0).kind != JSON_ABSENT)
			buf_str(&a->text, " (tools were offered; the demonstration calls one when "
					  "tool_choice is \"required\")");
	}
	a->text.failed = a->text.failed || !buf_ok(&said);
	buf_fini(&said);
}

/* A token is blanks and then a piece of a word; never half a character. */
static struct slice next_token(struct slice rest)
{
	size_t n = 0, word = 0;

	while (n < rest.len && (rest.ptr[n] == ' ' || rest.ptr[n] == '\n') && n < TOKEN_BYTES)
		n++;
	for (; n < rest.len && word < TOKEN_BYTES; n++, word++)
		if (word && (rest.ptr[n] == ' ' || rest.ptr[n] == '\n'))
			break;
	while (n < rest.len && ((unsigned char)rest.ptr[n] & 0xc0) == 0x80)
		n++;
	return slice_first(rest, n);
}

static void count_tokens(struct demo_answer *a, int64_t max)
{
	struct slice rest = buf_slice(&a->text);

	while (rest.len && (max == 0 || a->tokens < max)) {
		rest = slice_from(rest, next_token(rest).len);
		a->tokens++;
	}
	a->cut = rest.len > 0;
	a->end = a->text.len - rest.len;
}

enum err_code demo_answer_open(
	struct demo_answer *a, struct slice body, int64_t now_s, struct err *e)
{
	static const struct json_limits limits = { .max_depth = 1000, .max_keys = 1000000 };
	struct json_member f[MEMBERS] = { [MODEL] = { .name = "model" },
		[MESSAGES] = { .name = "messages" },
		[STREAM] = { .name = "stream" },
		[STREAM_OPTIONS] = { .name = "stream_options" },
		[N] = { .name = "n" },
		[MAX_TOKENS] = { .name = "max_tokens" },
		[MAX_COMPLETION_TOKENS] = { .name = "max_completion_tokens" },
		[TOOLS] = { .name = "tools" },
		[TOOL_CHOICE] = { .name = "tool_choice" },
		[RESPONSE_FORMAT] = { .name = "response_format" } };
	struct talk talk = { 0 };
	int64_t max = 0;
	enum err_code rc;

	*a = (struct demo_answer){ .n = 1, .created = now_s };
	rc = json_scan(body, &limits, f, MEMBERS, e);
	if (rc)
		return rc;
	a->story = is(f[MODEL].value, "story");
	if (!a->story && !is(f[MODEL].value, "echo"))
		return err_param(e, ERR_MODEL_NOT_FOUND, "model",
			"the demonstration has the models echo and story only");
	rc = read_talk(f[MESSAGES].value, &talk, e);
	if (!rc)
		rc = read_count(&f[N], DEMO_CHOICES_MAX, &a->n, e);
	if (!rc)
		rc = read_count(&f[MAX_TOKENS], INT64_MAX, &max, e);
	if (!rc)
		rc = read_count(&f[MAX_COMPLETION_TOKENS], INT64_MAX, &max, e);
	if (rc)
		return rc;
	a->stream = json_is_true(f[STREAM].value);
	a->include_usage = json_is_true(json_get(f[STREAM_OPTIONS].value, "include_usage"));
	a->prompt_tokens = talk.prompt_tokens;
	buf_init(&a->text, 8 * DEMO_TEXT_MAX);
	if (a->story)
		buf_str(&a->text, story);
	else
		compose_echo(a, f, &talk, body.len);
	if (!buf_ok(&a->text)) {
		demo_answer_fini(a);
		return err_set(e, ERR_NO_MEMORY, "the demonstration has no room for this answer");
	}
	count_tokens(a, max);
	return ERR_OK;
}

void demo_answer_fini(struct demo_answer *a)
{
	buf_fini(&a->text);
}

/* ---- writing ---- */

static const char *finish_reason(const struct demo_answer *a)
{
	if (a->cut)
		return "length";
	return a->tool[0] ? "tool_calls" : "stop";
}

static void put_usage(const struct demo_answer *a, struct buf *out)
{
	long long prompt = a->prompt_tokens, completion = a->tokens * a->n;

	buf_printf(out,
		"\"usage\":{\"prompt_tokens\":%lld,\"completion_tokens\":%lld,\"total_tokens\":%"
		"lld,"
		"\"prompt_tokens_details\":{\"cached_tokens\":0},"
		"\"completion_tokens_details\":{\"reasoning_tokens\":0},\"cost\":0}",
		prompt, completion, prompt + completion);
}

static void put_head(const struct demo_answer *a, const char *object, struct buf *out)
{
	buf_printf(out,
		"{\"id\":\"chatcmpl-demo-%llx-%llx\",\"object\":\"%s\",\"created\":%lld,\"model\":"
		"\"%"
		"s\",",
		(unsigned long long)a->created, (unsigned long long)a->serial, object,
		(long long)a->created, a->story ? "story" : "echo");
}

void demo_answer_write(const struct demo_answer *a, struct buf *out)
{
	struct slice text = slice_first(buf_slice(&a->text), a->end);

	put_head(a, "chat.completion", out);
	buf_str(out, "\"choices\":[");
	for (int64_t i = 0; i < a->n; i++) {
		buf_printf(out,
			"%s{\"index\":%lld,\"message\":{\"role\":\"assistant\",\"content\":",
			i ? "," : "", (long long)i);
		if (a->tool[0]) {
			buf_printf(out,
				"null,\"tool_calls\":[{\"id\":\"call_demo%lld\",\"type\":"
				"\"function\",\"function\":{\"name\":",
				(long long)i);
			buf_json_cstr(out, a->tool);
			buf_str(out, ",\"arguments\":");
			buf_json_str(out, text);
			buf_str(out, "}}]");
		} else {
			buf_json_str(out, text);
		}
		buf_printf(out, ",\"refusal\":null},\"logprobs\":null,\"finish_reason\":\"%s\"}",
			finish_reason(a));
	}
	buf_str(out, "],");
	put_usage(a, out);
	buf_char(out, '}');
}

static void begin_chunk(const struct demo_answer *a, struct buf *out)
{
	buf_str(out, "data: ");
	put_head(a, "chat.completion.chunk", out);
	buf_printf(out, "\"choices\":[{\"index\":%lld,\"delta\":", (long long)a->choice);
}

static void put_piece(const struct demo_answer *a, struct slice piece, struct buf *out)
{
	begin_chunk(a, out);
	buf_str(out, a->tool[0] ? "{\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":"
				: "{\"content\":");
	buf_json_str(out, piece);
	buf_str(out, a->tool[0] ? "}}]}" : "}");
	buf_str(out, ",\"logprobs\":null,\"finish_reason\":null}]}\n\n");
}

static void put_role(const struct demo_answer *a, struct buf *out)
{
	begin_chunk(a, out);
	buf_str(out, "{\"role\":\"assistant\",\"content\":");
	if (a->tool[0]) {
		buf_printf(out,
			"null,\"tool_calls\":[{\"index\":0,\"id\":\"call_demo%lld\",\"type\":"
			"\"function\",\"function\":{\"name\":",
			(long long)a->choice);
		buf_json_cstr(out, a->tool);
		buf_str(out, ",\"arguments\":\"\"}}]}");
	} else {
		buf_str(out, "\"\"}");
	}
	buf_str(out, ",\"logprobs\":null,\"finish_reason\":null}]}\n\n");
}

enum { STEP_ROLE, STEP_TEXT, STEP_FINISH, STEP_USAGE, STEP_DONE, STEP_END };

/* Every choice gets its part of a step before the next step begins: true after the last. */
static bool was_last_choice(struct demo_answer *a)
{
	if (++a->choice < a->n)
		return false;
	a->choice = 0;
	return true;
}

enum demo_next demo_answer_next(struct demo_answer *a, struct buf *out)
{
	struct slice rest = slice_from(slice_first(buf_slice(&a->text), a->end), a->at), token;

	if (a->step == STEP_TEXT && rest.len == 0)
		a->step = STEP_FINISH;
	switch (a->step) {
	case STEP_ROLE:
		put_role(a, out);
		if (was_last_choice(a))
			a->step = STEP_TEXT;
		return DEMO_EVENT;
	case STEP_TEXT:
		token = next_token(rest);
		put_piece(a, token, out);
		if (was_last_choice(a))
			a->at += token.len;
		return DEMO_TOKEN;
	case STEP_FINISH:
		begin_chunk(a, out);
		buf_printf(out, "{},\"logprobs\":null,\"finish_reason\":\"%s\"}]}\n\n",
			finish_reason(a));
		if (was_last_choice(a))
			a->step = a->include_usage ? STEP_USAGE : STEP_DONE;
		return DEMO_EVENT;
	case STEP_USAGE:
		buf_str(out, "data: ");
		put_head(a, "chat.completion.chunk", out);
		buf_str(out, "\"choices\":[],");
		put_usage(a, out);
		buf_str(out, "}\n\n");
		a->step = STEP_DONE;
		return DEMO_EVENT;
	case STEP_DONE:
		buf_str(out, "data: [DONE]\n\n");
		a->step = STEP_END;
		return DEMO_EVENT;
	default:
		return DEMO_END;
	}
}

void demo_answer_models(struct buf *out)
{
	buf_str(out,
		"{\"object\":\"list\",\"data\":["
		"{\"id\":\"echo\",\"object\":\"model\",\"created\":0,\"owned_by\":\"demo\"},"
		"{\"id\":\"story\",\"object\":\"model\",\"created\":0,\"owned_by\":\"demo\"}]}");
}
