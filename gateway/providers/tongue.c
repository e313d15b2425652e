#include "gateway/providers/tongue.h"

#include "base/json.h"
#include "gateway/providers/openai_like.h"
#include "gateway/providers/reply.h"

#include <stdio.h>
#include <stdlib.h>

const struct json_limits tongue_limits = {
	.max_depth = 200,
	.max_keys = 100000,
	.allow_duplicates = true,
};

static const struct provider *const dialects[] = { &provider_openai, &provider_anthropic,
	&provider_bedrock, &provider_gemini };

const struct provider *provider_named(const char *name)
{
	for (size_t i = 0; i < sizeof(dialects) / sizeof(dialects[0]); i++)
		if (strcmp(dialects[i]->name, name) == 0)
			return dialects[i];
	return NULL;
}

void http_req_fini(struct http_req *r)
{
	if (r->headers.data)
		explicit_bzero(r->headers.data, r->headers.len);
	buf_fini(&r->headers);
	buf_fini(&r->body);
}

void answer_fini(struct answer *a)
{
	buf_fini(&a->json);
}

void dialect_init(struct dialect *d, const struct target *t, const struct chat_req *req)
{
	*d = (struct dialect){ .target = t, .req = req };
	d->usage.cost_picousd = d->usage.upstream_picousd = -1;
}

void dialect_make_id(struct dialect *d, int64_t now_s)
{
	if (d->id[0])
		return;
	if (d->seed)
		snprintf(d->id, sizeof(d->id), "chatcmpl-%s", d->seed);
	else
		snprintf(d->id, sizeof(d->id), "chatcmpl-%llx", (unsigned long long)now_s);
}

void dialect_fini(struct dialect *d)
{
	buf_fini(&d->out);
	buf_fini(&d->usage_json);
	buf_fini(&d->held);
	splice_fini(&d->splice);
	tool_calls_free(d->calls);
	d->calls = NULL;
	reply_free(d);
	free(d->own);
	d->own = NULL;
}

bool dialect_is_finished(const struct dialect *d)
{
	return d->choices_finished > 0 && d->choices_finished >= (unsigned)d->req->n;
}

bool dialect_may_end(const struct dialect *d)
{
	return d->choices_finished > 0 && d->choices_finished == d->choices_seen;
}

const char *finish_reason_of(struct slice said)
{
	static const struct {
		const char *said, *means;
	} table[] = {
		{ "stop", "stop" },
		{ "length", "length" },
		{ "tool_calls", "tool_calls" },
		{ "content_filter", "content_filter" },
		{ "function_call", "function_call" },
		{ "end_turn", "stop" },
		{ "stop_sequence", "stop" },
		{ "completed", "stop" },
		{ "complete", "stop" },
		{ "eos", "stop" },
		{ "eos_token", "stop" },
		{ "stop_token", "stop" },
		{ "pause_turn", "stop" },
		{ "max_tokens", "length" },
		{ "max_output_tokens", "length" },
		{ "model_length", "length" },
		{ "model_context_window_exceeded", "length" },
		{ "incomplete", "length" },
		{ "tool-calls", "tool_calls" },
		{ "tool_use", "tool_calls" },
		{ "tool_call", "tool_calls" },
		{ "content-filter", "content_filter" },
		{ "content_filtered", "content_filter" },
		{ "guardrail_intervened", "content_filter" },
		{ "refusal", "content_filter" },
		{ "safety", "content_filter" },
		{ "sensitive", "content_filter" },
		{ "error", "error" },
		{ "failed", "error" },
		{ "network_error", "error" },
		{ "engine_overloaded", "error" },
		{ "insufficient_system_resource", "error" },
		{ "abort", "error" },
		{ "cancelled", "error" },
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		if (slice_is_nocase(said, table[i].said))
			return table[i].means;
	return NULL;
}

/* ---- usage ---- */

/* A count where there is one; what is negative or no number counts as none. */
static void take_count(struct json_value v, int64_t *out)
{
	int64_t n;

	if (json_int(v, &n) && n > 0)
		*out = n < INT32_MAX ? n : INT32_MAX;
}

/* Where a member of a usage object, or of an object in it, is counted. */
struct place {
	const char *inside; /* "" = at the top */
	const char *name;
	int64_t *out;
};

/* Counts what places (ended by an empty row) name, in one walk. inside is the raw key under which
 * object stands; at the top it is empty. */
static void take_counts(struct json_value object, struct slice inside, const struct place *places)
{
	struct json_iter it;
	struct json_value v;
	struct slice key;

	json_iter_init(&it, object);
	while (json_iter_next(&it, &key, &v)) {
		if (v.kind == JSON_OBJECT && !inside.len)
			take_counts(v, key, places);
		if (v.kind != JSON_NUMBER)
			continue;
		for (const struct place *p = places; p->name; p++)
			if (json_str_is(key, p->name) &&
				(inside.len ? json_str_is(inside, p->inside) : !p->inside[0]))
				take_count(v, p->out);
	}
}

/* A JSON number of US dollars in picodollars, or -1. Only routers' figures come this way: they are
 * JSON numbers, so the text is read as one, with room for an exponent. */
static int64_t picousd(struct json_value v)
{
	char text[64];
	double usd;
	char *end;

	if (v.kind != JSON_NUMBER || !slice_copy(v.raw, text, sizeof(text)))
		return -1;
	usd = strtod(text, &end);
	if (*end || usd < 0 || usd > 1e6)
		return -1;
	return (int64_t)(usd * 1e12 + 0.5);
}

void usage_read(struct json_value usage, const struct quirks *q, struct usage *u)
{
	int64_t total = 0, cached = 0, hits = 0, created = 0;
	static const char in[] = "prompt_tokens_details", out[] = "completion_tokens_details";
	const struct place places[] = { { "", "prompt_tokens", &u->prompt_tokens },
		{ "", "completion_tokens", &u->completion_tokens }, { "", "total_tokens", &total },
		{ "", "cached_tokens", &cached }, { "", "prompt_cache_hit_tokens", &hits },
		{ "", "num_cached_tokens", &cached }, { in, "cached_tokens", &u->cached_tokens },
		{ in, "cache_write_tokens", &u->cache_write_tokens },
		{ in, "cache_creation_input_tokens", &created },
		{ out, "reasoning_tokens", &u->reasoning_tokens }, { NULL, NULL, NULL } };

	*u = (struct usage){
		.state = USAGE_REPORTED,
		.cost_picousd = -1,
		.upstream_picousd = -1,
	};
	take_counts(usage, (struct slice){ "", 0 }, places);
	if (!u->cached_tokens)
		u->cached_tokens = cached ? cached : hits;
	if (!u->cache_write_tokens)
		u->cache_write_tokens = created;
	/* Some count reasoning beside the completion, some cached tokens beside the prompt. */
	if (u->reasoning_tokens > u->completion_tokens ||
		(q->completion_excludes_reasoning &&
			total == u->prompt_tokens + u->completion_tokens + u->reasoning_tokens))
		u->completion_tokens += u->reasoning_tokens;
	if (u->cached_tokens + u->cache_write_tokens > u->prompt_tokens)
		u->prompt_tokens += u->cached_tokens + u->cache_write_tokens;
	if (!q->trusts_cost)
		return;
	u->cost_picousd = picousd(json_get(usage, "cost"));
	u->router_byok = json_is_true(json_get(usage, "is_byok"));
	u->upstream_picousd =
		picousd(json_get(json_get(usage, "cost_details"), "upstream_inference_cost"));
}

void dialect_write_usage_object(const struct dialect *d, struct slice extra, struct buf *out)
{
	static const char *const money[] = { "cost", "cost_details", "is_byok", "market_cost",
		"cost_in_usd_ticks" };
	const struct usage *u = &d->usage;
	struct json_iter it;
	struct json_value v;
	struct slice key;
	bool first = true;

	if (!d->usage_json.len) {
		buf_printf(out,
			"{\"prompt_tokens\":%lld,\"completion_tokens\":%lld,\"total_tokens\":%lld,"
			"\"prompt_tokens_details\":{\"cached_tokens\":%lld",
			(long long)u->prompt_tokens, (long long)u->completion_tokens,
			(long long)u->prompt_tokens + (long long)u->completion_tokens,
			(long long)u->cached_tokens);
		if (u->cache_write_tokens)
			buf_printf(out, ",\"cache_write_tokens\":%lld",
				(long long)u->cache_write_tokens);
		buf_printf(out, "},\"completion_tokens_details\":{\"reasoning_tokens\":%lld}%s",
			(long long)u->reasoning_tokens, extra.len ? "," : "");
		buf_slice_append(out, extra);
		buf_char(out, '}');
		return;
	}
	json_iter_init(&it, (struct json_value){ JSON_OBJECT, buf_slice(&d->usage_json) });
	while (json_iter_next(&it, &key, &v)) {
		bool about_money = false;

		for (size_t i = 0; i < sizeof(money) / sizeof(money[0]); i++)
			about_money |= json_str_is(key, money[i]);
		if (about_money)
			continue;
		buf_char(out, first ? '{' : ',');
		first = false;
		buf_slice_append(out, key);
		buf_char(out, ':');
		buf_slice_append(out, v.raw);
	}
	if (first)
		buf_char(out, '{');
	else if (extra.len)
		buf_char(out, ',');
	buf_slice_append(out, extra);
	buf_char(out, '}');
}

const char *provider_chunk_object(const struct provider *p)
{
	return p && p->chunk_object ? p->chunk_object : "chat.completion.chunk";
}

void dialect_write_usage(const struct dialect *d, struct slice extra, struct buf *out)
{
	buf_str(out, "{\"id\":");
	buf_json_cstr(out, d->id);
	buf_str(out, ",\"object\":");
	buf_json_cstr(out, provider_chunk_object(d->target->provider));
	buf_str(out, ",\"created\":");
	buf_int(out, d->created);
	buf_str(out, ",\"model\":");
	buf_json_cstr(out, d->target->public_id);
	buf_str(out, ",\"choices\":[],\"usage\":");
	dialect_write_usage_object(d, extra, out);
	buf_char(out, '}');
}

bool answer_write_with_usage(struct slice json, struct slice usage, struct buf *out)
{
	struct json_value old = json_get((struct json_value){ JSON_OBJECT, json }, "usage");
	bool is_there = old.kind != JSON_ABSENT;
	/* With no usage of its own, the answer gets one before its last brace. */
	size_t cut = is_there ? (size_t)(old.raw.ptr - json.ptr) : json.len - 1;

	out->max_bytes = json.len + usage.len + 16;
	(void)!buf_room(out, out->max_bytes);
	buf_slice_append(out, slice_first(json, cut));
	if (!is_there)
		buf_str(out, ",\"usage\":");
	buf_slice_append(out, usage);
	buf_slice_append(out, slice_from(json, cut + old.raw.len));
	return buf_ok(out);
}

bool answer_put_usage(const struct dialect *d, struct slice extra, struct answer *a)
{
	struct buf usage = { .max_bytes = d->usage_json.len + extra.len + 512 };
	struct buf out = { .data = NULL };
	bool fits;

	(void)!buf_room(&usage, usage.max_bytes);
	dialect_write_usage_object(d, extra, &usage);
	fits = buf_ok(&usage) &&
	       answer_write_with_usage(buf_slice(&a->json), buf_slice(&usage), &out);
	buf_fini(&usage);
	if (!fits) {
		buf_fini(&out);
		return false;
	}
	buf_fini(&a->json);
	a->json = out;
	return true;
}

/* ---- a whole answer as a stream ---- */

static void write_event(struct json_object *head, struct json_object *choice, struct buf *out)
{
	struct json_object *choices = json_object_new_array();

	json_object_array_add(choices, choice);
	json_object_object_add(head, "choices", choices);
	buf_str(out, "data: ");
	json_write(head, out);
	buf_str(out, "\n\n");
}

static struct json_object *choice_of(int64_t index, struct json_object *delta, const char *finish)
{
	struct json_object *c = json_object_new_object();

	json_object_object_add(c, "index", json_object_new_int64(index));
	json_object_object_add(c, "delta", delta);
	json_object_object_add(c, "finish_reason", finish ? json_object_new_string(finish) : NULL);
	return c;
}

/* A member that chunks have as well as answers. */
static void pass_on(struct json_object *from, const char *name, struct json_object *to)
{
	struct json_object *value;

	if (json_object_object_get_ex(from, name, &value) && value)
		json_object_object_add(to, name, json_object_get(value));
}

enum err_code answer_write_events(const struct answer *a, struct buf *out, struct err *e)
{
	struct json_object *tree = NULL, *choices, *head = NULL;
	enum err_code rc = json_read(buf_slice(&a->json), tongue_limits.max_depth, &tree, e);

	if (rc)
		return rc;
	if (!json_object_object_get_ex(tree, "choices", &choices) ||
		!json_object_is_type(choices, json_type_array)) {
		rc = err_set(e, ERR_UPSTREAM_INVALID, "the provider's answer has no choices");
		goto out;
	}
	head = json_object_new_object();
	json_object_object_add(head, "id", json_object_new_string(json_member_str(tree, "id", "")));
	json_object_object_add(head, "object", json_object_new_string("chat.completion.chunk"));
	json_object_object_add(
		head, "created", json_object_new_int64(json_member_int(tree, "created", 0)));
	json_object_object_add(
		head, "model", json_object_new_string(json_member_str(tree, "model", "")));
	pass_on(tree, "provider", head);
	pass_on(tree, "system_fingerprint", head);
	for (size_t i = 0; i < json_object_array_length(choices); i++) {
		struct json_object *c = json_object_array_get_idx(choices, i), *message, *calls,
				   *words;
		int64_t index = json_member_int(c, "index", (int64_t)i);

		if (!json_object_object_get_ex(c, "message", &message) ||
			!json_object_is_type(message, json_type_object)) {
			rc = err_set(e, ERR_UPSTREAM_INVALID,
				"a choice of the provider's answer has no message");
			goto out;
		}
		if (json_object_object_get_ex(message, "tool_calls", &calls) &&
			json_object_is_type(calls, json_type_array))
			for (size_t k = 0; k < json_object_array_length(calls); k++) {
				struct json_object *call = json_object_array_get_idx(calls, k);

				if (json_object_is_type(call, json_type_object))
					json_object_object_add(
						call, "index", json_object_new_int64((int64_t)k));
			}
		words = choice_of(index, json_object_get(message), NULL);
		pass_on(c, "logprobs", words);
		write_event(head, words, out);
		write_event(head,
			choice_of(index, json_object_new_object(),
				json_member_str(c, "finish_reason", "stop")),
			out);
	}
	if (!buf_ok(out))
		rc = err_set(e, ERR_NO_MEMORY, "the answer does not fit");
out:
	json_object_put(head);
	json_object_put(tree);
	return rc;
}
