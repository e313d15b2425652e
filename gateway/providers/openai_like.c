#include "gateway/providers/openai_like.h"

#define NAMES(...) ((const char *const[]){ __VA_ARGS__, NULL })

/* Members of OpenAI's own request: openai-chat.md section 2. */
static const char *const openai_own[] = {
	"model",
	"messages",
	"stream",
	"stream_options",
	"max_tokens",
	"max_completion_tokens",
	"temperature",
	"top_p",
	"tools",
	"tool_choice",
	"parallel_tool_calls",
	"response_format",
	"reasoning_effort",
	"n",
	"stop",
	"seed",
	"user",
	"frequency_penalty",
	"presence_penalty",
	"logit_bias",
	"logprobs",
	"top_logprobs",
	"functions",
	"function_call",
	"verbosity",
	"modalities",
	"audio",
	"prediction",
	"metadata",
	"store",
	"safety_identifier",
	"prompt_cache_key",
	"prompt_cache_options",
	"prompt_cache_retention",
	"service_tier",
	"web_search_options",
	"moderation",
	NULL,
};

/* Meant for a gateway or router, never for a model's own API. */
static const char *const for_routers[] = {
	"provider",
	"providerOptions",
	"models",
	"route",
	"transforms",
	"plugins",
	"usage",
	"session_id",
	"include_reasoning",
	"reasoning",
	"debug",
	"preset",
	NULL,
};

#define MISTRAL_DROPS \
	NAMES("user", "logit_bias", "logprobs", "top_logprobs", "store", "metadata", \
		"service_tier", "reasoning_effort", "functions", "function_call", "verbosity", \
		"modalities", "audio", "safety_identifier", "prompt_cache_key", \
		"prompt_cache_options", "prompt_cache_retention", "web_search_options", \
		"moderation")

/* Its endpoint in OpenAI's shape answers 400 to a name it does not know. */
#define GOOGLE_DROPS \
	NAMES("logit_bias", "parallel_tool_calls", "seed", "store", "metadata", "user", \
		"safety_identifier", "prompt_cache_key", "prompt_cache_options", \
		"prompt_cache_retention", "verbosity", "prediction", "web_search_options", \
		"moderation")

/* The kimi models fix their sampling and answer 400 to any other value. */
#define MOONSHOT_DROPS \
	NAMES("temperature", "top_p", "frequency_penalty", "presence_penalty", "seed")

static const struct quirks everybody_else = { .slug = "" };

static const struct quirks rows[] = {
	/* Not strict: a member that OpenAI does not know is named in its own 400, and one that is
	 * new must not wait for us. */
	{ .slug = "openai", .limit = LIMIT_MAX_COMPLETION_TOKENS },
	{ .slug = "anthropic", .limit = LIMIT_EITHER },
	{ .slug = "google",
		.limit = LIMIT_EITHER,
		.strict = true,
		.drop = GOOGLE_DROPS,
		.allow = NAMES("extra_body") },
	{ .slug = "google-openai",
		.limit = LIMIT_EITHER,
		.strict = true,
		.drop = GOOGLE_DROPS,
		.allow = NAMES("extra_body") },
	{ .slug = "ollama", .limit = LIMIT_MAX_TOKENS, .no_image_urls = true },
	{ .slug = "ollama-cloud", .limit = LIMIT_MAX_TOKENS, .no_image_urls = true },
	{ .slug = "vllm", .limit = LIMIT_EITHER },
	{ .slug = "huggingface", .limit = LIMIT_MAX_TOKENS },
	{ .slug = "openrouter", .limit = LIMIT_EITHER, .is_router = true, .trusts_cost = true },
	{ .slug = "kilo", .limit = LIMIT_EITHER, .is_router = true, .trusts_cost = true },
	{ .slug = "vercel", .limit = LIMIT_MAX_TOKENS, .is_router = true, .trusts_cost = true },
	{ .slug = "mistral",
		.limit = LIMIT_MAX_TOKENS,
		.no_stream_options = true,
		.strict = true,
		.drop = MISTRAL_DROPS,
		.allow = NAMES("random_seed", "safe_prompt", "prompt_mode", "guardrails"),
		.rename = NAMES("seed", "random_seed") },
	{ .slug = "codestral",
		.limit = LIMIT_MAX_TOKENS,
		.no_stream_options = true,
		.strict = true,
		.drop = MISTRAL_DROPS,
		.allow = NAMES("random_seed", "safe_prompt"),
		.rename = NAMES("seed", "random_seed") },
	{ .slug = "xai", .limit = LIMIT_EITHER, .completion_excludes_reasoning = true },
	{ .slug = "minimax",
		.limit = LIMIT_MAX_TOKENS,
		.drop = NAMES("frequency_penalty", "presence_penalty", "logit_bias", "seed",
			"function_call", "functions") },
	{ .slug = "moonshot",
		.limit = LIMIT_EITHER,
		.no_image_urls = true,
		.drop = MOONSHOT_DROPS },
	{ .slug = "kimi-coding",
		.limit = LIMIT_EITHER,
		.no_image_urls = true,
		.drop = MOONSHOT_DROPS },
	{ .slug = "zai", .limit = LIMIT_MAX_TOKENS },
	{ .slug = "zai-coding", .limit = LIMIT_MAX_TOKENS },
	{ .slug = "deepseek", .limit = LIMIT_MAX_TOKENS },
	{ .slug = "groq",
		.limit = LIMIT_MAX_COMPLETION_TOKENS,
		.strict = true,
		.drop = NAMES("store", "metadata", "logprobs", "top_logprobs", "logit_bias",
			"verbosity", "modalities", "audio", "prediction", "safety_identifier",
			"prompt_cache_key", "prompt_cache_options", "prompt_cache_retention",
			"web_search_options", "moderation"),
		.allow = NAMES("reasoning_format") },
	{ .slug = "together", .limit = LIMIT_MAX_TOKENS },
	{ .slug = "fireworks", .limit = LIMIT_MAX_TOKENS },
	{ .slug = "cohere",
		.limit = LIMIT_MAX_TOKENS,
		.drop = NAMES("logit_bias", "top_logprobs", "parallel_tool_calls", "store",
			"metadata", "modalities", "audio", "prediction", "service_tier") },
	/* "diffusing" makes the stream repeat the whole text in every chunk. */
	{ .slug = "inception", .limit = LIMIT_MAX_TOKENS, .drop = NAMES("diffusing") },
	{ .slug = "corethink",
		.limit = LIMIT_MAX_TOKENS,
		.drop = NAMES("prompt_cache_key", "safety_identifier", "description",
			"reasoning_effort", "thinking") },
	{ .slug = "streamlake", .limit = LIMIT_MAX_TOKENS },
	{ .slug = "arcee", .limit = LIMIT_MAX_TOKENS },
	{ .slug = "martian", .limit = LIMIT_EITHER },
	{ .slug = "demo", .limit = LIMIT_EITHER, .trusts_cost = true },
};

const struct quirks *quirks_of(const char *slug)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (strcmp(rows[i].slug, slug) == 0)
			return &rows[i];
	return &everybody_else;
}

static bool has(const char *const *names, struct slice member)
{
	for (; names && *names; names++)
		if (slice_is(member, *names))
			return true;
	return false;
}

bool quirks_drops(const struct quirks *q, struct slice member)
{
	/* SDKs should have unfolded it before sending; Google alone reads it. */
	if (slice_is(member, "extra_body"))
		return !has(q->allow, member);
	if (q->no_stream_options && slice_is(member, "stream_options"))
		return true;
	if (has(q->drop, member))
		return true;
	if (has(for_routers, member))
		return !q->is_router;
	return q->strict && !has(openai_own, member) && !has(q->allow, member);
}

struct slice quirks_name(const struct quirks *q, struct slice member)
{
	for (const char *const *pair = q->rename; pair && *pair; pair += 2)
		if (slice_is(member, pair[0]))
			return slice_of(pair[1]);
	return member;
}
