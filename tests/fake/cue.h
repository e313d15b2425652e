/* tests/fake/cue.h - what a request asks of the fake provider: the OpenAI fields it honours,
 * and the cues in the text of the last user message.
 *
 *     @fake key=value key …        to the end of the line; times in ms, sizes with k or m
 *
 * several lines may have cues; a later one wins. A line counts only
 *     at=NAME             at this place: where the path begins with /NAME/
 *     times=N, every=N    for the first N requests there, for every Nth (since the last reset)
 * POST /_fake/rule/NAME sets a line for all requests at a place, until the next reset
 *
 * whole answers
 *     status=N            answer with this status; the body is an OpenAI error object
 *     body=json|html|garbage|empty|error200   another body (error200: error object, status 200)
 *     retry_after=TEXT    Retry-After header (Gemini: a retryDelay)
 *     badkey              with status: the key is not valid (Gemini)
 *     context             the conversation is too long (status 400)
 *     filter              the prompt is refused for what it says (status 400)
 *     gzip                claims Content-Encoding: gzip and sends a bomb of some 300 MB
 *     jsonstream          answers a streaming call with application/json
 * text
 *     tokens=N            N tokens "t0 t1 …" instead of the usual sentence
 *     word=W              the tokens are "W0 W1 …"
 *     echo                the text is the request body itself
 *     tools               two parallel tool calls (while the last message is the user's)
 *     noargs              with tools: one call, without arguments (dialects.h)
 *     blocked             the prompt is refused for what it says (Gemini)
 *     declined            the answer ends because of what it says
 *     noprefill           an assistant's message that comes last is refused; else the answer goes
 *                         on where it ends, if it begins as the answer does
 *     repeats             but not so: the answer begins anew
 *     usage=none|twice|every
 *     prompt=N, cached=N, written=N   tokens of the prompt, and further ones read from and
 *                         written to a cache (dialects.h; OpenAI's shape knows the first only)
 * time
 *     ttft=MS             nothing at all before this; with early: the head goes at once
 *     pace=MS             between events
 *     comments[=MS]       ": PROCESSING" this often while waiting for the first event
 * faults; N counts the data events already sent, the first of which carries the role
 *     reset               RST before the head
 *     reset_after=N       RST after N events
 *     silence             the head, then nothing
 *     stall=N             after N events nothing
 *     cut=N               ends in the middle of event N + 1; with clean: HTTP ends properly there
 *     cut_utf8            ends inside a character
 *     malformed=N         event N is not JSON
 *     noise=N             event N is a word
 *     error_event=N       an error object after N events, then the end; status=N says which
 *                         (dialects.h)
 *     bigline=SIZE        a line of this size without its end
 *     nothing             a stream without an event
 *     badcrc=N            event N + 1 has a wrong checksum (Bedrock)
 *     restart=N           event N + 1 begins another message (Anthropic)
 *     nothing             the head, then the end
 *     nofinish, nodone    leaves these out; nodone hold: and keeps the connection open
 * embeddings (besides status=N, silence, and cut=N: only N of them)
 *     vectors=words|nan|zeros|none   made of the words of four letters and more, whatever their
 *                         order (text.h); or no numbers; or all the same; or an empty list
 *     dims=N              of how many numbers (64)
 * framing
 *     bytewise, crlf, close (no chunks: the answer ends with the connection)
 *
 * Header-only: the Makefile makes a program of every .c of this folder.
 */
#ifndef FAKE_CUE_H
#define FAKE_CUE_H

#include "base/json_scan.h"

#include <stdlib.h>

#define CUE_NEVER UINT32_MAX

/* Which lines of cues count for the request that is being read. */
static struct scene {
	struct slice place; /* the first part of its path */
	uint32_t nth;       /* among the requests there, from 1 */
	struct slice rule;  /* more cues, set for the place */
} scene;

enum cue_body { BODY_ANSWER, BODY_JSON, BODY_HTML, BODY_GARBAGE, BODY_EMPTY, BODY_ERROR200 };
enum cue_vectors { VECTORS_USUAL, VECTORS_WORDS, VECTORS_NAN, VECTORS_ZEROS, VECTORS_NONE };
enum cue_usage { USAGE_ASKED, USAGE_NONE, USAGE_TWICE, USAGE_EVERY };

struct cue {
	unsigned status;
	enum cue_body body;
	enum cue_usage usage;
	enum cue_vectors vectors;
	uint32_t dims;
	char retry_after[32];
	char word[16];   /* of tokens; "" = "t" */
	uint32_t tokens; /* 0 = the usual sentence */
	uint32_t ttft_ms, pace_ms, comments_ms;
	uint32_t cut, reset_after, stall, malformed, noise, error_event; /* CUE_NEVER = not */
	uint32_t bigline;
	uint32_t prompt, cached, written; /* tokens */
	uint32_t badcrc, restart;         /* CUE_NEVER = not */
	bool early, gzip, jsonstream, echo, tools, reset, silence, clean, cut_utf8, nofinish,
		nodone, hold, bytewise, crlf, close, nothing, noargs, blocked, badkey, context,
		filter, declined, noprefill, repeats;
};

struct ask {
	struct cue cue;
	struct slice model;              /* lent by the body: raw string with quotes, or empty */
	struct json_value tools, schema; /* lent by the body */
	bool stream, include_usage, logprobs, json_object;
	bool after_tool;           /* the last message is a tool's result */
	struct json_value prefill; /* the last message's text, when it is the assistant's */
	uint32_t n, max_tokens;
	uint32_t prompt_tokens;
};

static uint32_t cue_number(struct slice v, uint32_t otherwise)
{
	int64_t n;

	return str_size(v, &n) && n >= 0 && n < CUE_NEVER ? (uint32_t)n : otherwise;
}

static unsigned cue_choice(struct slice v, const char *const *names, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		if (slice_is(v, names[i]))
			return i;
	return 0;
}

static bool cue_flag(struct cue *c, struct slice key)
{
	const struct {
		const char *name;
		bool *flag;
	} flags[] = {
		{ "early", &c->early },
		{ "gzip", &c->gzip },
		{ "jsonstream", &c->jsonstream },
		{ "echo", &c->echo },
		{ "tools", &c->tools },
		{ "reset", &c->reset },
		{ "silence", &c->silence },
		{ "clean", &c->clean },
		{ "cut_utf8", &c->cut_utf8 },
		{ "nofinish", &c->nofinish },
		{ "nodone", &c->nodone },
		{ "hold", &c->hold },
		{ "bytewise", &c->bytewise },
		{ "crlf", &c->crlf },
		{ "close", &c->close },
		{ "nothing", &c->nothing },
		{ "noargs", &c->noargs },
		{ "blocked", &c->blocked },
		{ "badkey", &c->badkey },
		{ "context", &c->context },
		{ "filter", &c->filter },
		{ "declined", &c->declined },
		{ "noprefill", &c->noprefill },
		{ "repeats", &c->repeats },
	};

	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++)
		if (slice_is(key, flags[i].name)) {
			*flags[i].flag = true;
			return true;
		}
	return false;
}

static void cue_value(struct cue *c, struct slice key, struct slice v)
{
	static const char *const bodies[] = { "", "json", "html", "garbage", "empty", "error200" };
	static const char *const usages[] = { "", "none", "twice", "every" };
	static const char *const vectors[] = { "", "words", "nan", "zeros", "none" };
	const struct {
		const char *name;
		uint32_t *number;
	} numbers[] = {
		{ "status", &c->status },
		{ "tokens", &c->tokens },
		{ "ttft", &c->ttft_ms },
		{ "pace", &c->pace_ms },
		{ "comments", &c->comments_ms },
		{ "cut", &c->cut },
		{ "reset_after", &c->reset_after },
		{ "stall", &c->stall },
		{ "malformed", &c->malformed },
		{ "noise", &c->noise },
		{ "error_event", &c->error_event },
		{ "bigline", &c->bigline },
		{ "prompt", &c->prompt },
		{ "cached", &c->cached },
		{ "written", &c->written },
		{ "badcrc", &c->badcrc },
		{ "restart", &c->restart },
		{ "dims", &c->dims },
	};

	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		if (slice_is(key, numbers[i].name))
			*numbers[i].number = cue_number(v, *numbers[i].number);
	if (slice_is(key, "retry_after") && !slice_copy(v, c->retry_after, sizeof(c->retry_after)))
		c->retry_after[0] = 0;
	if (slice_is(key, "word") && !slice_copy(v, c->word, sizeof(c->word)))
		c->word[0] = 0;
	if (slice_is(key, "body"))
		c->body = (enum cue_body)cue_choice(v, bodies, 6);
	if (slice_is(key, "usage"))
		c->usage = (enum cue_usage)cue_choice(v, usages, 4);
	if (slice_is(key, "vectors"))
		c->vectors = (enum cue_vectors)cue_choice(v, vectors, 5);
}

/* Does a line with this word count here? */
static bool cue_counts(struct slice key, struct slice v)
{
	uint32_t n = cue_number(v, 1);

	if (slice_is(key, "at"))
		return slice_eq(v, scene.place);
	if (slice_is(key, "times"))
		return scene.nth <= n;
	return !slice_is(key, "every") || !n || scene.nth % n == 0;
}

static void cue_line(struct cue *c, struct slice line)
{
	struct cue read = *c;
	struct slice word, key;
	bool counts = true;

	while (line.len) {
		word = slice_trim(slice_cut(&line, ' '));
		key = slice_cut(&word, '=');
		counts &= cue_counts(key, word);
		if (word.ptr)
			cue_value(&read, key, word);
		else if (slice_is(key, "comments"))
			read.comments_ms = 200;
		else
			cue_flag(&read, key);
	}
	if (counts)
		*c = read;
}

/* Reads the cues behind each "@fake" in text, to the end of its line, and those of the place. */
static void cue_read(struct cue *c, struct slice text)
{
	const char *at;

	while (text.len && (at = memmem(text.ptr, text.len, "@fake", 5))) {
		text = slice_from(text, (size_t)(at - text.ptr) + 5);
		cue_line(c, slice_cut(&text, '\n'));
	}
	cue_line(c, scene.rule);
	if (c->comments_ms)
		c->early = true;
	if ((c->context || c->filter) && !c->status)
		c->status = 400;
	if (c->status && c->body == BODY_ANSWER && c->error_event == CUE_NEVER)
		c->body = BODY_JSON;
}

static void ask_message(struct ask *a, struct json_value content)
{
	struct buf text = { 0 };
	struct json_iter it;
	struct slice key;
	struct json_value part;

	if (content.kind == JSON_STRING) {
		if (json_str_decode(content, &text))
			cue_read(&a->cue, buf_slice(&text));
	} else {
		json_iter_init(&it, content);
		while (json_iter_next(&it, &key, &part)) {
			buf_reset(&text);
			if (json_str_decode(json_get(part, "text"), &text))
				cue_read(&a->cue, buf_slice(&text));
		}
	}
	buf_fini(&text);
}

static uint32_t ask_int(struct json_value v, uint32_t otherwise)
{
	int64_t n;

	return json_int(v, &n) && n > 0 && n < 1000000 ? (uint32_t)n : otherwise;
}

/* Reads a chat completion request. Slices stay valid as long as body. */
MUST_CHECK static enum err_code ask_read(struct ask *a, struct slice body, struct err *e)
{
	enum { MODEL, MESSAGES, STREAM, OPTIONS, TOOLS, N, LOGPROBS, FORMAT, MAX, MAX2, COUNT };
	struct json_member m[COUNT] = { { .name = "model" }, { .name = "messages" },
		{ .name = "stream" }, { .name = "stream_options" }, { .name = "tools" },
		{ .name = "n" }, { .name = "logprobs" }, { .name = "response_format" },
		{ .name = "max_tokens" }, { .name = "max_completion_tokens" } };
	const struct json_limits limits = { .max_depth = 200, .max_keys = 100000 };
	struct json_value message, role = { 0 }, last = { 0 }, user = { 0 };
	struct json_iter it;
	struct slice key;
	enum err_code rc;

	*a = (struct ask){ .cue = { .cut = CUE_NEVER,
				   .reset_after = CUE_NEVER,
				   .stall = CUE_NEVER,
				   .malformed = CUE_NEVER,
				   .noise = CUE_NEVER,
				   .error_event = CUE_NEVER,
				   .badcrc = CUE_NEVER,
				   .restart = CUE_NEVER } };
	rc = json_scan(body, &limits, m, COUNT, e);
	if (rc)
		return rc;
	json_iter_init(&it, m[MESSAGES].value);
	while (json_iter_next(&it, &key, &message)) {
		role = json_get(message, "role");
		last = json_get(message, "content");
		if (json_str_is(role.raw, "user"))
			user = last;
	}
	a->after_tool = role.kind == JSON_STRING && json_str_is(role.raw, "tool");
	if (role.kind == JSON_STRING && json_str_is(role.raw, "assistant"))
		a->prefill = last.kind == JSON_ARRAY ? json_get(json_at(last, 0), "text") : last;
	ask_message(a, user);
	if (a->prefill.kind == JSON_STRING && a->cue.noprefill)
		a->cue.status = 400;
	cue_read(&a->cue, SLICE(""));
	a->model = m[MODEL].value.raw;
	a->stream = json_is_true(m[STREAM].value);
	a->include_usage = json_is_true(json_get(m[OPTIONS].value, "include_usage"));
	a->tools = m[TOOLS].value;
	a->n = ask_int(m[N].value, 1);
	a->logprobs = json_is_true(m[LOGPROBS].value);
	a->schema = json_get(json_get(m[FORMAT].value, "json_schema"), "schema");
	a->json_object = json_str_is(json_get(m[FORMAT].value, "type").raw, "json_object");
	a->max_tokens = ask_int(m[MAX].value, ask_int(m[MAX2].value, CUE_NEVER));
	a->prompt_tokens = (uint32_t)(m[MESSAGES].value.raw.len / 4 + 1);
	if (a->cue.prompt)
		a->prompt_tokens = a->cue.prompt;
	return ERR_OK;
}

#endif
