/* gateway/cache_key.h - by what an answer is remembered: a hash of all that can change it.
 *
 * The canonical text of a request is its tenant, endpoint and model, then every member of its body
 * but those that change nothing in the answer's words (stream, stream_options, user, metadata,
 * store, safety_identifier, prompt_cache_key and -retention, service_tier, model, models,
 * fallbacks, cache), names sorted at every depth, strings decoded, numbers in one spelling. Left
 * out are members of the body and of its messages that are null, and those of a chat's body that
 * say the default (openai-chat.md section 2); elsewhere null is a value, as in a schema. A chat's
 * limit counts under whichever of its two names; of both the newer one. Unknown members count. What
 * stands in an array keeps its order, and words in a string are other than the same words in a
 * part.
 *
 * The text is hashed as it is made, never kept. Pure; threads: any.
 */
#ifndef GATEWAY_CACHE_KEY_H
#define GATEWAY_CACHE_KEY_H

#include "base/conf.h"
#include "gateway/providers/tongue.h"
#include "store/cache.h"

/* Whose answers these are. */
struct cache_tenant {
	enum conf_cache_scope scope;
	uint64_t key; /* numbers as the keys have them; 0 = none */
	uint64_t user;
	uint64_t org;
	uint64_t address; /* of somebody anonymous */
	bool byok;        /* answered with the caller's own provider key: never shared beyond one
			   * user, and never with answers of the operator's keys */
};

struct cache_ask {
	const struct cache_tenant *tenant;
	const char *endpoint; /* "chat" */
	const char *model;    /* as resolved: the catalogue's id */
	const struct chat_req *req;
};

/* The key of the whole request. ERR_NO_MEMORY: also when it has more members than are sorted for
 * this (two million). */
MUST_CHECK enum err_code cache_key_make(
	const struct cache_ask *ask, struct cache_key *out, struct err *e);

/* The same without the text of the last message, which must be a user's in words (a string, or
 * text parts only): that text is appended, decoded, to question; of several parts with line feeds
 * between. Never equal to a key of cache_key_make(). ERR_UNSUPPORTED: the last message is another
 * one, or the request is no chat. */
MUST_CHECK enum err_code cache_key_context(
	const struct cache_ask *ask, struct cache_key *out, struct buf *question, struct err *e);

/* ---- what client and operator want ---- */

struct cache_wish {
	bool skip;           /* neither look nor remember: BYPASS */
	bool refresh;        /* do not look, but remember (no-cache) */
	bool no_store;       /* look, but do not remember */
	bool only_if_cached; /* a miss is an error */
	bool no_semantic;    /* nothing but the very same question */
	int64_t max_age_ms;  /* -1 = any */
	int64_t ttl_ms;      /* -1 = as configured; of what is remembered now */
};

/* Reads `Cache-Control` (RFC 9111 section 5.2.1: no-cache, no-store, max-age, only-if-cached;
 * others are passed over), `x-gateway-cache` (skip | refresh | ttl=DURATION, several by commas) and
 * the body's member `cache` of peers (LiteLLM:
 * {"no-cache","no-store","ttl","s-maxage","use-cache"}; Portkey:
 * {"mode":"simple"|"semantic","max_age"}; true, false); headers are NULL when absent. What is asked
 * for most cautiously counts. max_ttl_ms bounds a ttl; one of 0 is as no_store. ERR_BAD_REQUEST
 * with what is accepted; *out then wishes nothing. */
MUST_CHECK enum err_code cache_wish_read(const char *cache_control, const char *x_gateway_cache,
	struct json_value cache, int64_t max_ttl_ms, struct cache_wish *out, struct err *e);

/* Appends the body without its member `cache`. */
void cache_wish_remove(const struct chat_req *req, struct buf *out);

/* May such a request be remembered: is its temperature at most this (millionths), or has it a
 * seed? Without a temperature it counts as 1. */
bool cache_temperature_is_fine(const struct chat_req *req, int64_t max_millionths);

/* May such an answer be: no refusal, finished by stop, length or (with tool_calls) tool_calls? body
 * in the given form. */
bool cache_answer_is_fine(
	enum cache_form form, struct slice body, const char *finish_reason, bool tool_calls);

#endif
