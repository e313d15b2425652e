/* gateway/providers/bedrock_answer.c - what Amazon Bedrock's Converse API answers: whole messages,
 * events in frames, errors (providers.md sections 7.4 to 7.6). */
#include "gateway/providers/bedrock.h"
#include "gateway/providers/refusal.h"
#include "gateway/providers/reply.h"

#include <stdlib.h>

/* ---- errors ---- */

enum about_key {
	KEY_GOOD,
	KEY_BAD, /* Amazon's words quote what was signed, with the session token in it */
};

static const struct failure {
	const char *kind; /* without "Exception" */
	int status;       /* in a stream, where none else is told */
	int retry;        /* 1 may help, -1 will not, 0 as the status says */
	enum about_key key;
} failures[] = {
	{ "Throttling", 429, 1, KEY_GOOD },
	{ "ServiceQuotaExceeded", 400, -1, KEY_GOOD },
	{ "Validation", 400, -1, KEY_GOOD },
	{ "AccessDenied", 403, -1, KEY_GOOD },
	{ "ResourceNotFound", 404, -1, KEY_GOOD },
	{ "ModelTimeout", 408, 1, KEY_GOOD },
	{ "ModelError", 424, 1, KEY_GOOD },
	{ "ModelStreamError", 424, 1, KEY_GOOD },
	{ "ModelNotReady", 429, 1, KEY_GOOD },
	{ "InternalServer", 500, 1, KEY_GOOD },
	{ "ServiceUnavailable", 503, 1, KEY_GOOD },
	{ "UnrecognizedClient", 403, -1, KEY_BAD },
	{ "ExpiredToken", 403, -1, KEY_BAD },
	{ "InvalidSignature", 403, -1, KEY_BAD },
	{ "IncompleteSignature", 403, -1, KEY_BAD },
	{ "InvalidClientTokenId", 403, -1, KEY_BAD },
	{ "MissingAuthenticationToken", 403, -1, KEY_BAD },
};

/* "com.amazon#ThrottlingException:http://…" is a ThrottlingException. */
static struct slice kind_of(struct slice type)
{
	struct slice behind = type;

	slice_cut(&behind, '#');
	type = behind.ptr ? behind : type;
	return slice_trim(slice_cut(&type, ':'));
}

/* Frames write it with a small letter: "throttlingException". */
static const struct failure *failure_of(struct slice kind)
{
	if (slice_ends(kind, "Exception"))
		kind.len -= strlen("Exception");
	for (size_t i = 0; i < sizeof(failures) / sizeof(failures[0]); i++)
		if (slice_is_nocase(kind, failures[i].kind))
			return &failures[i];
	return NULL;
}

/* The words of a refusal, which may begin with a capital letter: there "message" is meant. */
static enum err_code refuse(const struct target *t, int status, struct slice body,
	struct json_value tree, struct err *e)
{
	struct json_value message = json_get(tree, "Message");
	struct buf text = { .max_bytes = body.len + 64 };
	enum err_code rc;

	if (message.kind != JSON_STRING)
		return refusal_of_body(t, status, body, e);
	buf_str(&text, "{\"message\":");
	buf_slice_append(&text, message.raw);
	buf_char(&text, '}');
	rc = refusal_of_body(t, status, buf_slice(&text), e);
	buf_fini(&text);
	return rc;
}

/* status 0: only the kind tells. */
static enum err_code decode_typed_error(
	const struct target *t, int status, struct slice type, struct slice body, struct err *e)
{
	struct json_value tree = { JSON_ABSENT, slice_trim(body) };
	const struct failure *f;
	char named[128], kind[sizeof(e->provider_code)];
	enum err_code rc;

	if (json_validate(tree.raw, &tongue_limits, &tree.kind, NULL) || tree.kind != JSON_OBJECT)
		tree.kind = JSON_ABSENT;
	if (!type.len && json_str_copy(json_get(tree, "__type"), named, sizeof(named)))
		type = slice_of(named);
	if (!slice_copy(kind_of(type), kind, sizeof(kind)))
		kind[0] = '\0';
	f = failure_of(slice_of(kind));
	if (!status)
		status = f ? f->status : 502;
	if (f && f->key == KEY_BAD) {
		rc = err_set(e, ERR_UPSTREAM_STATUS,
			"%s refused the gateway's own key or its signature (%s): the operator "
			"checks the AWS_ variables and the clock",
			t->slug, kind);
		e->upstream_status = e->status = status;
		str_copy_cut(e->provider, sizeof(e->provider), t->slug);
	} else {
		rc = refuse(t, status, body, tree, e);
		if (rc == ERR_UPSTREAM_STATUS && status == 500)
			e->status = 502; /* nothing of ours has failed */
	}
	if (f && f->retry && rc == ERR_UPSTREAM_STATUS)
		e->retry = f->retry;
	if (kind[0])
		str_copy_cut(e->provider_code, sizeof(e->provider_code), kind);
	return rc;
}

static enum err_code decode_error(
	const struct target *t, int status, struct slice body, struct err *e)
{
	return decode_typed_error(t, status, (struct slice){ "", 0 }, body, e);
}

static enum err_code invalid(const struct dialect *d, const char *what, struct err *e)
{
	return err_set(e, ERR_UPSTREAM_INVALID, "%s sent %s", d->target->slug, what);
}

/* ---- the state of an answer ---- */

#define BLOCKS_MAX 1024 /* of one answer that are tools or thoughts */

enum block {
	BLOCK_NEW,
	BLOCK_CALL,
	BLOCK_JSON, /* the call that is the answer */
	BLOCK_THOUGHT,
};

struct state {
	struct anthropic_json json;
	struct {
		uint8_t kind; /* enum block */
		uint16_t number;
	} block[BLOCKS_MAX]; /* number: slot of a call, detail of a thought */
	bool ended;          /* a messageStop has come */
};

static struct state *state_of(struct dialect *d)
{
	struct state *s = d->own;

	if (s)
		return s;
	d->own = s = calloc(1, sizeof(*s));
	if (s)
		s->json = bedrock_json_of_request(d->target, d->req);
	return s;
}

static bool index_of(struct json_value event, unsigned *index)
{
	int64_t n;

	if (!json_int(json_get(event, "contentBlockIndex"), &n) || n < 0 || n >= BLOCKS_MAX)
		return false;
	*index = (unsigned)n;
	return true;
}

/* ---- what blocks say ---- */

static const char *thought_format(const struct dialect *d)
{
	return strcasestr(d->target->native_id, "claude") ? CLAUDE_THOUGHTS : "unknown";
}

/* A text of ours, told as the provider's. */
static void tell(struct dialect *d, struct slice text)
{
	struct buf json = { .max_bytes = REPLY_TEXT_MAX };

	buf_json_str(&json, text);
	if (buf_ok(&json))
		reply_text(d, 0, (struct json_value){ JSON_STRING, buf_slice(&json) });
	buf_fini(&json);
}

/* The answer in the input of the tool made up for it. */
static void tell_input(struct dialect *d, const struct state *s, struct json_value input)
{
	struct json_value value = s->json.wrapped ? json_get(input, "value") : input;

	tell(d, value.kind ? value.raw : SLICE("null"));
}

/* Begins the call of a tool; what the call is of. */
static enum block begin_call(
	struct dialect *d, const struct state *s, struct json_value use, unsigned *slot)
{
	struct json_value name = json_get(use, "name"), id = json_get(use, "toolUseId");
	struct buf known = { .max_bytes = REPLY_TEXT_MAX };

	if (s->json.by_tool && json_str_is(name.raw, s->json.name))
		return BLOCK_JSON;
	ask_write_client_name(d->req, &bedrock_names,
		name.kind == JSON_STRING ? name.raw : SLICE("\"\""), &known);
	*slot = reply_call(
		d, 0, id.kind == JSON_STRING ? id.raw : SLICE(""), buf_slice(&known), SLICE(""));
	buf_fini(&known);
	return BLOCK_CALL;
}

static void take_thought(struct dialect *d, unsigned detail, struct json_value thought)
{
	struct json_value text = json_get(thought, "text"),
			  signature = json_get(thought, "signature"),
			  hidden = json_get(thought, "redactedContent");

	if (hidden.kind == JSON_STRING)
		reply_hidden_thought(d, 0, detail, thought_format(d), hidden, SLICE(""));
	else if (text.kind == JSON_STRING || signature.kind == JSON_STRING)
		reply_thought(d, 0, detail, thought_format(d), text, signature);
}

static void take_image(struct dialect *d, struct json_value image)
{
	struct json_value bytes = json_get(json_get(image, "source"), "bytes"),
			  format = json_get(image, "format");
	struct buf type = { .max_bytes = 64 };

	if (bytes.kind != JSON_STRING || format.kind != JSON_STRING)
		return;
	buf_str(&type, "\"image/");
	buf_slice_append(&type, slice_from(format.raw, 1));
	if (buf_ok(&type))
		reply_image(d, 0, buf_slice(&type), bytes);
	buf_fini(&type);
}

/* Quoted text comes in blocks of its own. */
static void take_cited(struct dialect *d, struct json_value content)
{
	struct json_iter it;
	struct json_value piece;
	struct slice none;

	if (content.kind != JSON_ARRAY)
		return;
	json_iter_init(&it, content);
	while (json_iter_next(&it, &none, &piece))
		reply_text(d, 0, json_get(piece, "text"));
}

static void take_block(struct dialect *d, const struct state *s, struct json_value block)
{
	struct json_value use = json_get(block, "toolUse"), thought, input;
	unsigned slot = 0;

	if (use.kind == JSON_OBJECT) {
		input = json_get(use, "input");
		if (begin_call(d, s, use, &slot) == BLOCK_JSON)
			tell_input(d, s, input);
		else if (input.kind == JSON_OBJECT)
			reply_arguments_object(d, 0, slot, input);
		return;
	}
	thought = json_get(block, "reasoningContent");
	if (thought.kind == JSON_OBJECT) {
		struct json_value words = json_get(thought, "reasoningText");

		take_thought(d, reply_next_detail(d, 0), words.kind ? words : thought);
		return;
	}
	reply_text(d, 0, json_get(block, "text"));
	take_image(d, json_get(block, "image"));
	take_cited(d, json_get(json_get(block, "citationsContent"), "content"));
}

/* ---- usage ---- */

static int64_t count_of(struct json_value usage, const char *name)
{
	int64_t n;

	if (!json_int(json_get(usage, name), &n) || n < 0)
		return 0;
	return n < INT32_MAX ? n : INT32_MAX;
}

/* What is kept for an hour costs more than what is kept for less. */
static int64_t written_for_an_hour(struct json_value details)
{
	struct json_iter it;
	struct json_value detail;
	struct slice none;
	int64_t sum = 0;

	if (details.kind != JSON_ARRAY)
		return 0;
	json_iter_init(&it, details);
	while (json_iter_next(&it, &none, &detail))
		if (json_str_is(json_get(detail, "ttl").raw, "1h"))
			sum += count_of(detail, "inputTokens");
	return sum;
}

static bool take_usage(struct dialect *d, struct json_value usage)
{
	int64_t in = count_of(usage, "inputTokens"), out = count_of(usage, "outputTokens"),
		read = count_of(usage, "cacheReadInputTokens"),
		written = count_of(usage, "cacheWriteInputTokens"),
		total = count_of(usage, "totalTokens"), hour;

	if (usage.kind != JSON_OBJECT)
		return false;
	/* Streams of models that think have told about twice what was written (section 7.6, 3):
	 * where the total counts what is cached, it says how much there can be. */
	if (total > in + out && total - in - out - read < written)
		written = total - in - out > read ? total - in - out - read : 0;
	hour = written_for_an_hour(json_get(usage, "cacheDetails"));
	d->usage.state = USAGE_REPORTED;
	d->usage.prompt_tokens = in + read + written;
	d->usage.completion_tokens = out;
	d->usage.cached_tokens = read;
	d->usage.cache_write_tokens = written;
	d->usage.cache_write_1h_tokens = hour < written ? hour : written;
	return true;
}

/* ---- the end ---- */

static enum err_code take_stop(
	struct dialect *d, const struct state *s, struct json_value reason, struct err *e)
{
	char said[64];
	const char *word;

	if (!json_str_copy(reason, said, sizeof(said)) || !said[0])
		str_copy_cut(said, sizeof(said), "unknown");
	if (slice_starts(slice_of(said), "malformed_"))
		return err_set(e, ERR_UPSTREAM_CLOSED, "%s ended the answer with \"%s\"",
			d->target->slug, said);
	word = finish_reason_of(slice_of(said));
	if (!word)
		word = "stop";
	/* The tool was ours: the client has an answer in words. */
	if (strcmp(word, "tool_calls") == 0 && s->json.by_tool && !(d->called[0] & 1))
		word = "stop";
	reply_finish(d, 0, word, slice_of(said));
	return ERR_OK;
}

/* ---- a whole answer ---- */

static enum err_code decode(struct dialect *d, struct slice content_type, struct slice body,
	int64_t now_s, struct answer *out, struct err *e)
{
	struct json_value tree = { JSON_OBJECT, slice_trim(body) }, message, block;
	struct state *s = state_of(d);
	struct json_iter it;
	struct slice none;
	enum err_code rc;

	(void)content_type;
	if (!s)
		return err_set(e, ERR_NO_MEMORY, "no memory for an answer");
	if (json_validate(tree.raw, &tongue_limits, &tree.kind, NULL) || tree.kind != JSON_OBJECT)
		return invalid(d, "an answer that is no JSON object", e);
	message = json_get(json_get(tree, "output"), "message");
	if (message.kind != JSON_OBJECT &&
		(json_get(tree, "__type").kind || json_get(tree, "message").kind))
		return decode_typed_error(d->target, 0, (struct slice){ "", 0 }, body, e);
	if (message.kind != JSON_OBJECT || json_get(tree, "stopReason").kind != JSON_STRING)
		return invalid(d, "an answer without a message or the reason of its end", e);
	reply_open(d, REPLY_WHOLE, now_s);
	reply_id(d, (struct json_value){ .kind = JSON_ABSENT });
	reply_begin(d, 0);
	json_iter_init(&it, json_get(message, "content"));
	while (json_iter_next(&it, &none, &block))
		take_block(d, s, block);
	(void)take_usage(d, json_get(tree, "usage"));
	rc = take_stop(d, s, json_get(tree, "stopReason"), e);
	return rc ? rc : reply_answer(d, out, e);
}

/* ---- a stream ---- */

static void on_block_start(struct dialect *d, struct state *s, struct json_value event)
{
	struct json_value use = json_get(json_get(event, "start"), "toolUse");
	unsigned index, slot = 0;

	if (use.kind != JSON_OBJECT || !index_of(event, &index))
		return;
	s->block[index].kind = (uint8_t)begin_call(d, s, use, &slot);
	s->block[index].number = (uint16_t)slot;
	buf_reset(&d->held);
}

/* A piece of a call's input. */
static void on_input(struct dialect *d, struct state *s, unsigned index, struct json_value piece)
{
	if (s->block[index].kind == BLOCK_CALL)
		reply_arguments(d, 0, s->block[index].number, piece);
	else if (s->block[index].kind == BLOCK_JSON && !s->json.wrapped)
		reply_text(d, 0, piece);
	else if (s->block[index].kind == BLOCK_JSON) /* nothing can be told before its end */
		(void)!json_str_decode(piece, &d->held);
	else
		d->malformed++; /* of a call that never began */
}

static enum err_code on_block_delta(
	struct dialect *d, struct state *s, struct json_value event, struct err *e)
{
	struct json_value delta = json_get(event, "delta"), text = json_get(delta, "text"), use,
			  thought;
	unsigned index;

	if (text.kind == JSON_STRING) {
		reply_text(d, 0, text);
		return ERR_OK;
	}
	if (!index_of(event, &index))
		return invalid(d, "a block with an index out of range", e);
	use = json_get(delta, "toolUse");
	if (use.kind == JSON_OBJECT)
		on_input(d, s, index, json_get(use, "input"));
	thought = json_get(delta, "reasoningContent");
	if (thought.kind == JSON_OBJECT) {
		if (s->block[index].kind != BLOCK_THOUGHT) {
			s->block[index].kind = BLOCK_THOUGHT;
			s->block[index].number = (uint16_t)reply_next_detail(d, 0);
		}
		take_thought(d, s->block[index].number, thought);
	}
	return ERR_OK;
}

static enum err_code on_block_stop(
	struct dialect *d, struct state *s, struct json_value event, struct err *e)
{
	struct json_value input = { JSON_OBJECT, buf_slice(&d->held) };
	struct slice rest = input.raw;
	unsigned index;

	if (!s->json.wrapped || !index_of(event, &index) || s->block[index].kind != BLOCK_JSON)
		return ERR_OK;
	s->block[index].kind = BLOCK_NEW;
	if (!buf_ok(&d->held))
		return invalid(d, "an answer larger than fits", e);
	if (!json_validate(input.raw, &tongue_limits, &input.kind, NULL)) {
		tell_input(d, s, input);
	} else { /* cut by its limit: what there is of the value */
		slice_cut(&rest, ':');
		tell(d, slice_trim(rest.ptr ? rest : SLICE("")));
	}
	buf_reset(&d->held);
	return ERR_OK;
}

static enum err_code on_event(struct dialect *d, struct state *s, struct slice name,
	struct json_value event, struct delta *out, struct err *e)
{
	/* messageStart says nothing: until something is told, others can still answer. */
	if (slice_is(name, "contentBlockStart")) {
		on_block_start(d, s, event);
		return ERR_OK;
	}
	if (slice_is(name, "contentBlockDelta"))
		return on_block_delta(d, s, event, e);
	if (slice_is(name, "contentBlockStop"))
		return on_block_stop(d, s, event, e);
	if (slice_is(name, "messageStop")) {
		s->ended = true;
		return take_stop(d, s, json_get(event, "stopReason"), e);
	}
	if (slice_is(name, "metadata") && take_usage(d, json_get(event, "usage")))
		/* The last event, behind the stop. */
		out->kind = s->ended ? DELTA_DONE : DELTA_USAGE;
	return ERR_OK;
}

static enum err_code decode_event(struct dialect *d, const struct sse_event *ev, int64_t now_s,
	struct delta *out, struct err *e)
{
	struct json_value event = { JSON_OBJECT, slice_trim(ev->data) };
	struct state *s = state_of(d);
	enum err_code rc;

	*out = (struct delta){ .kind = DELTA_SKIP };
	if (!s)
		return err_set(e, ERR_NO_MEMORY, "no memory for an answer");
	if (slice_starts(ev->name, "!")) {
		out->kind = DELTA_ERROR;
		return decode_typed_error(d->target, 0, slice_from(ev->name, 1), ev->data, e);
	}
	if (event.raw.len && (json_validate(event.raw, &tongue_limits, &event.kind, NULL) ||
				     event.kind != JSON_OBJECT)) {
		d->malformed++;
		return invalid(d, "an event that is no JSON object", e);
	}
	reply_open(d, REPLY_CHUNK, now_s);
	if (!d->id[0])
		reply_id(d, (struct json_value){ .kind = JSON_ABSENT });
	rc = on_event(d, s, ev->name, event, out, e);
	if (rc) {
		out->kind = DELTA_ERROR;
		return rc;
	}
	return out->kind == DELTA_SKIP ? reply_chunk(d, out, e) : ERR_OK;
}

static bool takes_url(struct slice url)
{
	return slice_starts(url, "s3://");
}

const struct provider provider_bedrock = {
	.name = "bedrock",
	.can = CAN_STREAM | CAN_TOOLS | CAN_IMAGES | ADDS_THOUGHTS | MARKS_END,
	.framing = FRAMES_AWS,
	.patience_ms = 300000,
	.sigv4_service = "bedrock",
	.takes_url = takes_url,
	.encode = bedrock_encode,
	.decode = decode,
	.decode_event = decode_event,
	.decode_error = decode_error,
	.decode_typed_error = decode_typed_error,
};
