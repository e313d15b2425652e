#include "gateway/cache_key.h"

#include "gateway/cache_canon.h"

/* What the canonical text begins with. Single letters: a block of SHA-256 is 64 bytes and takes
 * longer than most of what is done here. */
#define FORM    '1' /* whoever changes the text makes a new one: no old entry is found */
#define WHOLE   'w'
#define CONTEXT 'c'

/* ---- whose it is ---- */

/* Who has not what the scope says is known by the next narrower thing that he has. */
static void write_tenant(struct cache_canon *c, const struct cache_tenant *t)
{
	enum conf_cache_scope scope = t->scope;
	char kind = 'a';
	uint64_t number = t->address;

	if (t->byok && scope != SCOPE_KEY)
		scope = SCOPE_USER;
	if (scope == SCOPE_GLOBAL) {
		kind = 'g';
		number = 0;
	} else if (scope == SCOPE_ORG && t->org) {
		kind = 'o';
		number = t->org;
	} else if (t->user && (scope != SCOPE_KEY || !t->key)) {
		kind = 'u';
		number = t->user;
	} else if (t->key) {
		kind = 'k';
		number = t->key;
	}
	cache_canon_char(c, t->byok ? 'b' : 'p');
	cache_canon_char(c, kind);
	cache_canon_count(c, number);
}

/* ---- what changes nothing ---- */

/* Members that change nothing in the words of the answer, or are said elsewhere in the text. */
static const struct slice silent[] = {
	{ "model", 5 },
	{ "stream", 6 },
	{ "stream_options", 14 },
	{ "user", 4 },
	{ "metadata", 8 },
	{ "store", 5 },
	{ "safety_identifier", 17 },
	{ "prompt_cache_key", 16 },
	{ "prompt_cache_retention", 22 },
	{ "service_tier", 12 },
	{ "models", 6 },
	{ "fallbacks", 9 },
	{ "cache", 5 },
};

/* A chat's limit has two names, of which the newer one counts: it stands in front of the body. */
static const struct slice limits[] = { { "max_tokens", 10 }, { "max_completion_tokens", 21 } };

static bool is_one_of(struct slice name, const struct slice *names, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (name.len == names[i].len && memcmp(name.ptr, names[i].ptr, name.len) == 0)
			return true;
	return false;
}
#define IS_ONE_OF(name, names) is_one_of(name, names, sizeof(names) / sizeof((names)[0]))

static bool is_number(struct json_value v, int64_t n)
{
	int64_t said;

	return json_int(v, &said) && said == n;
}

/* {"type":"text"} */
static bool is_plain_text(struct json_value v)
{
	struct json_iter it;
	struct json_value type, more;
	struct slice key;

	json_iter_init(&it, v);
	return v.kind == JSON_OBJECT && json_iter_next(&it, &key, &type) &&
	       json_str_is(key, "type") && json_str_is(type.raw, "text") &&
	       !json_iter_next(&it, &key, &more);
}

/* Does a member of a chat say what it means when it is not there (openai-chat.md section 2)? */
static bool says_default(const struct chat_req *req, struct slice name, struct json_value v)
{
	struct json_value tools = req->field[CHAT_TOOLS].value;

	if (slice_is(name, "temperature") || slice_is(name, "top_p") || slice_is(name, "n"))
		return is_number(v, 1);
	if (slice_is(name, "frequency_penalty") || slice_is(name, "presence_penalty"))
		return is_number(v, 0);
	if (slice_is(name, "logprobs"))
		return v.kind == JSON_BOOL && !json_is_true(v);
	if (slice_is(name, "logit_bias"))
		return v.kind == JSON_OBJECT && !json_is_truthy(v);
	if (slice_is(name, "response_format"))
		return is_plain_text(v);
	if (slice_is(name, "parallel_tool_calls"))
		return json_is_true(v);
	if (slice_is(name, "tools"))
		return !json_is_truthy(tools);
	return slice_is(name, "tool_choice") &&
	       json_str_is(v.raw, json_is_truthy(tools) ? "auto" : "none");
}

static bool is_chat(const struct chat_req *req)
{
	return strcmp(req->field[CHAT_MESSAGES].name, "messages") == 0;
}

static bool omits(const void *ctx, struct slice key, struct json_value v)
{
	const struct chat_req *req = ctx;
	struct slice name = { key.ptr + 1, key.len - 2 };
	char decoded[64]; /* longer than any name that is looked for */

	if (memchr(name.ptr, '\\', name.len)) {
		if (!json_str_copy(
			    (struct json_value){ JSON_STRING, key }, decoded, sizeof(decoded)))
			return false;
		name = slice_of(decoded);
	}
	if (IS_ONE_OF(name, silent))
		return true;
	return is_chat(req) && (IS_ONE_OF(name, limits) || says_default(req, name, v));
}

/* ---- the keys ---- */

static void begin(struct cache_canon *c, const struct cache_ask *ask, char kind)
{
	const struct json_value *limit = &ask->req->field[CHAT_MAX_COMPLETION_TOKENS].value;
	int64_t most = 0;

	cache_canon_begin(c);
	cache_canon_char(c, FORM);
	cache_canon_char(c, kind);
	write_tenant(c, ask->tenant);
	cache_canon_text(c, slice_of(ask->endpoint));
	cache_canon_text(c, slice_of(ask->model));
	if (limit->kind != JSON_NUMBER)
		limit = &ask->req->field[CHAT_MAX_TOKENS].value;
	if (is_chat(ask->req) && !json_int(*limit, &most))
		most = 0; /* there is none: no limit is 0 */
	cache_canon_count(c, (uint64_t)most);
}

enum err_code cache_key_make(const struct cache_ask *ask, struct cache_key *out, struct err *e)
{
	const struct cache_canon_body body = {
		.text = ask->req->body, .omits = omits, .ctx = ask->req
	};
	struct cache_canon c;
	enum err_code rc;

	begin(&c, ask, WHOLE);
	rc = cache_canon_object(&c, &body, e);
	if (rc) {
		*out = (struct cache_key){ 0 };
		return rc;
	}
	cache_canon_end(&c, out);
	return ERR_OK;
}

/* Are these parts texts, and nothing else? */
static bool are_texts(struct json_value parts)
{
	struct json_iter it;
	struct json_value part;
	struct slice none;
	size_t n = 0;

	json_iter_init(&it, parts);
	for (; json_iter_next(&it, &none, &part); n++)
		if (!json_str_is(json_get(part, "type").raw, "text") ||
			json_get(part, "text").kind != JSON_STRING)
			return false;
	return n > 0;
}

/* The content of the last message, when it is a user's in words. */
static struct json_value last_words(const struct chat_req *req)
{
	struct json_value last = { .raw = SLICE("") }, message, content;
	struct json_iter it;
	struct slice none;

	json_iter_init(&it, req->field[CHAT_MESSAGES].value);
	while (is_chat(req) && json_iter_next(&it, &none, &message))
		last = message;
	content = json_get(last, "content");
	if (!json_str_is(json_get(last, "role").raw, "user") ||
		(content.kind != JSON_STRING &&
			!(content.kind == JSON_ARRAY && are_texts(content))))
		content = (struct json_value){ .raw = SLICE("") };
	return content;
}

enum err_code cache_key_context(
	const struct cache_ask *ask, struct cache_key *out, struct buf *question, struct err *e)
{
	const struct cache_canon_body body = {
		.text = ask->req->body,
		.omits = omits,
		.ctx = ask->req,
		.asked = last_words(ask->req),
		.words = question,
	};
	size_t had = question->len;
	struct cache_canon c;
	enum err_code rc;

	*out = (struct cache_key){ 0 };
	if (body.asked.kind == JSON_ABSENT)
		return err_set(e, ERR_UNSUPPORTED, "the last message is no user's in words alone");
	begin(&c, ask, CONTEXT);
	rc = cache_canon_object(&c, &body, e);
	if (rc) {
		question->len = had;
		return rc;
	}
	cache_canon_end(&c, out);
	return ERR_OK;
}
