/* gateway/providers/openai_rows.c - the rows of openai_like.h. */
#include "gateway/providers/openai_like.h"

#define NAMES(...) ((const char *const[]){ __VA_ARGS__, NULL })

/* ---- efforts, from none to max ---- */

#define EFFORT_WORDS static const struct effort_word

EFFORT_WORDS effort_unknown[7]; /* refuses reasoning_effort */
EFFORT_WORDS effort_all[] = { { "none", 0 }, { "minimal", 0 }, { "low", 0 }, { "medium", 0 },
	{ "high", 0 }, { "xhigh", 0 }, { "max", 0 } };
EFFORT_WORDS effort_gpt_5[] = { { "minimal", 0 }, { "minimal", 0 }, { "low", 0 }, { "medium", 0 },
	{ "high", 0 }, { "high", 0 }, { "high", 0 } };
EFFORT_WORDS effort_gpt_5_1[] = { { "none", 0 }, { "low", 0 }, { "low", 0 }, { "medium", 0 },
	{ "high", 0 }, { "high", 0 }, { "high", 0 } };
EFFORT_WORDS effort_gpt_5_2[] = { { "none", 0 }, { "low", 0 }, { "low", 0 }, { "medium", 0 },
	{ "high", 0 }, { "xhigh", 0 }, { "xhigh", 0 } };
EFFORT_WORDS effort_low_to_high[] = { { "low", 0 }, { "low", 0 }, { "low", 0 }, { "medium", 0 },
	{ "high", 0 }, { "high", 0 }, { "high", 0 } };
EFFORT_WORDS effort_low_or_high[] = { { "low", 0 }, { "low", 0 }, { "low", 0 }, { "high", 0 },
	{ "high", 0 }, { "high", 0 }, { "high", 0 } };
EFFORT_WORDS effort_none_to_high[] = { { "none", 0 }, { "low", 0 }, { "low", 0 }, { "medium", 0 },
	{ "high", 0 }, { "high", 0 }, { "high", 0 } };
EFFORT_WORDS effort_none_or_high[] = { { "none", 0 }, { "none", 0 }, { "high", 0 }, { "high", 0 },
	{ "high", 0 }, { "high", 0 }, { "high", 0 } };
EFFORT_WORDS effort_none_or_default[] = { { "none", 0 }, { "default", 0 }, { "default", 0 },
	{ "default", 0 }, { "default", 0 }, { "default", 0 }, { "default", 0 } };
EFFORT_WORDS effort_instant_to_high[] = { { "instant", 0 }, { "instant", 0 }, { "low", 0 },
	{ "medium", 0 }, { "high", 0 }, { "high", 0 }, { "high", 0 } };
EFFORT_WORDS effort_switch[] = { { NULL, -1 }, { NULL, 1 }, { NULL, 1 }, { NULL, 1 }, { NULL, 1 },
	{ NULL, 1 }, { NULL, 1 } };
EFFORT_WORDS effort_deepseek[] = { { NULL, -1 }, { "low", 1 }, { "low", 1 }, { "medium", 1 },
	{ "high", 1 }, { "max", 1 }, { "max", 1 } };
EFFORT_WORDS effort_glm_5_2[] = { { NULL, -1 }, { "high", 1 }, { "high", 1 }, { "high", 1 },
	{ "high", 1 }, { "max", 1 }, { "max", 1 } };
EFFORT_WORDS effort_kimi_k3[] = { { "low", 0 }, { "low", 0 }, { "low", 0 }, { "high", 0 },
	{ "high", 0 }, { "max", 0 }, { "max", 0 } };
EFFORT_WORDS effort_vllm[] = { { "none", -1 }, { "low", 0 }, { "low", 0 }, { "medium", 0 },
	{ "high", 0 }, { "high", 0 }, { "high", 0 } };

#define THINKING \
	{ \
		"thinking", "{\"type\":\"enabled\"}", "{\"type\":\"disabled\"}" \
	}
#define ENABLE_THINKING \
	{ \
		"enable_thinking", "true", "false" \
	}
#define TEMPLATE_THINKING \
	{ \
		"chat_template_kwargs", "{\"enable_thinking\":true}", \
			"{\"enable_thinking\":false}" \
	}

/* ---- models ---- */

/* openai-chat.md section 16. */
#define O_SAMPLING \
	"temperature", "top_p", "logprobs", "top_logprobs", "presence_penalty", \
		"frequency_penalty", "logit_bias"
static const struct model_quirks openai_models[] = {
	{ .match = "o[34]*", .drop = NAMES(O_SAMPLING, "stop"), .efforts = effort_low_to_high },
	{ .match = "o1*",
		.drop = NAMES(O_SAMPLING, "parallel_tool_calls"),
		.efforts = effort_low_to_high },
	{ .match = "gpt-5*-chat*", .efforts = effort_unknown },
	{ .match = "gpt-5.1*",
		.drop = NAMES("presence_penalty", "frequency_penalty", "logit_bias"),
		.drop_when_thinking = NAMES(O_SAMPLING),
		.efforts = effort_gpt_5_1 },
	{ .match = "gpt-5.[2-5]*",
		.drop = NAMES("presence_penalty", "frequency_penalty", "logit_bias"),
		.drop_when_thinking = NAMES(O_SAMPLING),
		.efforts = effort_gpt_5_2 },
	{ .match = "gpt-5.*",
		.drop = NAMES("presence_penalty", "frequency_penalty", "logit_bias"),
		.drop_when_thinking = NAMES(O_SAMPLING) },
	{ .match = "gpt-5*", .drop = NAMES(O_SAMPLING), .efforts = effort_gpt_5 },
	{ .match = "gpt-4o*-search-preview*",
		.drop = NAMES(O_SAMPLING, "tools", "tool_choice", "parallel_tool_calls"),
		.efforts = effort_unknown },
	{ .match = "gpt-[34]*", .efforts = effort_unknown },
	{ .match = "chatgpt-*", .efforts = effort_unknown },
	{ .match = NULL },
};

/* Ids behind Martian carry their author's prefix. */
#define GROK_REASONS NAMES("stop", "presence_penalty", "frequency_penalty")
static const struct model_quirks grok_models[] = {
	{ .match = "*grok*-non-reasoning*" },
	{ .match = "*grok-3-mini*", .drop = GROK_REASONS, .efforts = effort_low_or_high },
	{ .match = "*grok-4.3*", .drop = GROK_REASONS, .efforts = effort_none_to_high },
	{ .match = "*grok-4.20-multi-agent*", .drop = GROK_REASONS, .efforts = effort_low_to_high },
	{ .match = "*grok-4*", .drop = GROK_REASONS },
	{ .match = "*grok-code*", .drop = GROK_REASONS },
	{ .match = "*grok-build*", .drop = GROK_REASONS },
	{ .match = "*grok-[5-9]*", .drop = GROK_REASONS, .efforts = effort_low_to_high },
	{ .match = NULL },
};

/* The kimi models fix their sampling and answer 400 to any other value. */
#define KIMI_SAMPLING NAMES("temperature", "top_p", "frequency_penalty", "presence_penalty", "seed")
static const struct model_quirks moonshot_models[] = {
	{ .match = "moonshot-v1*", .efforts = effort_unknown, .thoughts = THOUGHTS_NONE },
	{ .match = "kimi-k2-thinking*",
		.drop = KIMI_SAMPLING,
		.efforts = effort_unknown,
		.needed = THOUGHTS_NEEDED_BY_CALLS,
		.thinks = THINKS_ALWAYS },
	/* Refuses to have its thinking switched off. */
	{ .match = "kimi-k2.7-code*",
		.drop = KIMI_SAMPLING,
		.efforts = effort_unknown,
		.needed = THOUGHTS_NEEDED_BY_CALLS,
		.thinks = THINKS_ALWAYS },
	{ .match = "kimi-k3*",
		.drop = KIMI_SAMPLING,
		.efforts = effort_kimi_k3,
		.needed = THOUGHTS_NEEDED_BY_CALLS,
		.thinks = THINKS_ALWAYS },
	{ .match = "kimi-*",
		.drop = KIMI_SAMPLING,
		.efforts = effort_switch,
		.needed = THOUGHTS_NEEDED_BY_CALLS,
		.thinks = THINKS_UNLESS_TOLD },
	{ .match = NULL },
};

static const struct model_quirks zai_models[] = {
	{ .match = "glm-4-*", .efforts = effort_unknown },
	{ .match = "glm-5.[2-9]*", .efforts = effort_glm_5_2 },
	{ .match = NULL },
};

/* The first reasoner refused its thoughts when they came back, and called no tools; later ones must
 * have them back with their calls. */
static const struct model_quirks deepseek_models[] = {
	{ .match = "deepseek-r1*", .thoughts = THOUGHTS_NONE, .thinks = THINKS_ALWAYS },
	{ .match = "deepseek-reasoner*",
		.needed = THOUGHTS_NEEDED_BY_CALLS,
		.thinks = THINKS_ALWAYS },
	{ .match = "deepseek-v[4-9]*",
		.thoughts = THOUGHTS_CONTENT,
		.needed = THOUGHTS_NEEDED,
		.thinks = THINKS_UNLESS_TOLD },
	{ .match = NULL },
};

/* Behind routers (kilo-contract.md sections 22 and 24.3). */
#define MISTRAL_BY_ROUTER \
	.family = FAMILY_OPEN, .id_exact = 9, .no_strict_tools = true, \
	.add = NAMES("temperature", "0.2")
static const struct model_quirks router_models[] = {
	{ .match = "anthropic/*", .family = FAMILY_CLAUDE, .id_no_dots = true },
	{ .match = "google/gemini*", .family = FAMILY_GEMINI },
	{ .match = "openai/gpt-oss*", .family = FAMILY_OPEN },
	{ .match = "openai/*", .family = FAMILY_GPT },
	{ .match = "x-ai/*", .family = FAMILY_GROK },
	{ .match = "xai/*", .family = FAMILY_GROK },
	{ .match = "mistralai/*", MISTRAL_BY_ROUTER },
	{ .match = "mistral/*", MISTRAL_BY_ROUTER },
	{ .match = "moonshotai/kimi*",
		.family = FAMILY_OPEN,
		.drop = NAMES("temperature", "top_p") },
	/* What the router chooses may be of any family. */
	{ .match = "openrouter/*" },
	{ .match = "kilo*/*" },
	{ .match = "*/*", .family = FAMILY_OPEN },
	{ .match = NULL },
};

/* Only models that reason know thoughts and efforts. */
static const struct model_quirks groq_models[] = {
	{ .match = "*gpt-oss*",
		.efforts = effort_low_to_high,
		.thoughts = THOUGHTS_REASONING,
		.formats = FORMATS_ALL },
	{ .match = "*qwen3*",
		.efforts = effort_none_or_default,
		.thoughts = THOUGHTS_REASONING,
		.formats = FORMATS_OBJECT },
	{ .match = "*kimi-k2*" },
	{ .match = "*llama-4*" },
	{ .match = "*", .formats = FORMATS_OBJECT },
	{ .match = NULL },
};

/* ---- refusals ---- */

static const struct saying zai_says[] = {
	{ "1000", NULL, MEANS_KEY },
	{ "1001", NULL, MEANS_KEY },
	{ "1002", NULL, MEANS_KEY },
	{ "1003", NULL, MEANS_KEY },
	{ "1004", NULL, MEANS_KEY },
	{ "1110", NULL, MEANS_MONEY },
	{ "1111", NULL, MEANS_MONEY },
	{ "1112", NULL, MEANS_MONEY },
	{ "1113", NULL, MEANS_MONEY },
	{ "1120", NULL, MEANS_MONEY },
	{ "1121", NULL, MEANS_MONEY },
	{ "1210", NULL, MEANS_REQUEST },
	{ "1211", NULL, MEANS_NOT_FOUND },
	{ "1212", NULL, MEANS_REQUEST },
	{ "1213", NULL, MEANS_REQUEST },
	{ "1214", NULL, MEANS_REQUEST },
	{ "1215", NULL, MEANS_REQUEST },
	{ "1220", NULL, MEANS_KEY },
	{ "1221", NULL, MEANS_KEY },
	{ "1222", NULL, MEANS_KEY },
	{ "1234", NULL, MEANS_FAILURE },
	{ "1261", NULL, MEANS_TOO_LONG },
	{ "1301", NULL, MEANS_REQUEST },
	{ "1302", NULL, MEANS_RATE },
	{ "1303", NULL, MEANS_RATE },
	{ "1304", NULL, MEANS_MONEY },
	{ "1305", NULL, MEANS_RATE },
	{ "1308", NULL, MEANS_MONEY },
	{ "1309", NULL, MEANS_MONEY },
	{ "1310", NULL, MEANS_MONEY },
	{ "1311", NULL, MEANS_NOT_FOUND },
	{ "1312", NULL, MEANS_OVERLOAD },
	{ "1313", NULL, MEANS_MONEY },
	{ NULL, NULL, MEANS_KEY },
};

/* Its codes stand in base_resp, or at the end of the message. */
static const struct saying minimax_says[] = {
	{ "1000", NULL, MEANS_FAILURE },
	{ "1002", NULL, MEANS_RATE },
	{ "1004", NULL, MEANS_KEY },
	{ "1008", NULL, MEANS_MONEY },
	{ "1027", NULL, MEANS_REQUEST },
	{ "1039", NULL, MEANS_RATE },
	{ "2013", NULL, MEANS_REQUEST },
	{ "2049", NULL, MEANS_KEY },
	{ NULL, "(1002)", MEANS_RATE },
	{ NULL, "(1004)", MEANS_KEY },
	{ NULL, "(1008)", MEANS_MONEY },
	{ NULL, "(1027)", MEANS_REQUEST },
	{ NULL, "(1039)", MEANS_RATE },
	{ NULL, "(2013)", MEANS_REQUEST },
	{ NULL, "(2049)", MEANS_KEY },
	{ NULL, NULL, MEANS_KEY },
};

static const struct saying groq_says[] = {
	{ "rate_limit_exceeded", NULL, MEANS_RATE }, /* also as 413 */
	{ "tool_use_failed", NULL, MEANS_AGAIN },    /* the model wrote a broken call */
	{ "capacity_exceeded", NULL, MEANS_OVERLOAD },
	{ NULL, NULL, MEANS_KEY },
};

static const struct saying moonshot_says[] = {
	{ "engine_overloaded_error", NULL, MEANS_OVERLOAD },
	{ "exceeded_current_quota_error", NULL, MEANS_MONEY },
	{ NULL, NULL, MEANS_KEY },
};

static const struct saying huggingface_says[] = {
	{ NULL, "not supported by any provider you have enabled", MEANS_NOT_FOUND },
	{ NULL, NULL, MEANS_KEY },
};

/* ---- rows ---- */

#define MISTRAL_DROPS \
	NAMES("user", "logit_bias", "logprobs", "top_logprobs", "store", "metadata", \
		"service_tier", "reasoning_effort", "functions", "function_call", "verbosity", \
		"modalities", "audio", "safety_identifier", "prompt_cache_key", \
		"prompt_cache_options", "prompt_cache_retention", "web_search_options", \
		"moderation")
#define MISTRAL \
	.limit = LIMIT_MAX_TOKENS, .no_stream_options = true, .strict = true, \
	.drop = MISTRAL_DROPS, \
	.rename = NAMES("seed", "random_seed", "dimensions", "output_dimension"), \
	.add = NAMES("temperature", "0.2"), .affinity = "x-affinity", .walks = true, \
	.no_developer = true, .no_name = true, .bridges = true, .reads_arguments = true, \
	.wants_parameters = true, .no_strict_tools = true, .message_members = NAMES("prefix"), \
	.system = SYSTEM_IN_FRONT, .thoughts = THOUGHTS_NONE, .prefill = "prefix", \
	.repeats_prefill = true, .id_exact = 9, .choice = CHOICE_ANY, .efforts = effort_unknown

#define SAMPLING_EXTRAS "top_k", "top_a", "min_p", "repetition_penalty"

/* Its endpoint in OpenAI's shape answers 400 to a name it does not know. */
#define GOOGLE_DROPS \
	NAMES("logit_bias", "parallel_tool_calls", "seed", "store", "metadata", "user", \
		"safety_identifier", "prompt_cache_key", "prompt_cache_options", \
		"prompt_cache_retention", "verbosity", "prediction", "web_search_options", \
		"moderation")

static const struct model_quirks google_models[] = {
	{ .match = "gemini-[3-9]*", .wants_signatures = true },
	{ .match = NULL },
};
#define GOOGLE \
	.limit = LIMIT_EITHER, .strict = true, .reads_marked_ids = true, .drop = GOOGLE_DROPS, \
	.allow = NAMES("extra_body"), .walks = true, .message_members = NAMES("extra_content"), \
	.thoughts = THOUGHTS_NONE, .models = google_models

/* Not strict: a member that OpenAI does not know is named in its own 400, and one that is new must
 * not wait for us. What others are told by is left out: a request for their model may come here
 * when they fail. */
#define OPENAI \
	.limit = LIMIT_MAX_COMPLETION_TOKENS, .drop = NAMES(SAMPLING_EXTRAS), .walks = true, \
	.takes_breakpoints = true, .takes_custom_tools = true, \
	.message_members = NAMES("refusal", "audio"), .thoughts = THOUGHTS_NONE, .id_max = 40, \
	.efforts = effort_all, .models = openai_models

#define OLLAMA \
	.limit = LIMIT_MAX_TOKENS, .no_image_urls = true, .walks = true, .reads_arguments = true, \
	.thoughts = THOUGHTS_REASONING, .choice = CHOICE_AUTO, .efforts = effort_all

#define MOONSHOT \
	.limit = LIMIT_EITHER, .no_image_urls = true, .drop = NAMES("seed"), \
	.allow = NAMES("prompt_cache_key", "safety_identifier"), .walks = true, \
	.no_developer = true, .flat_texts = true, .reads_arguments = true, \
	.wants_parameters = true, .message_members = NAMES("partial"), \
	.thoughts = THOUGHTS_CONTENT, .prefill = "partial", .thinking = THINKING, \
	.thinking_or_effort = true, .free_thinkers = true, .efforts = effort_kimi_k3, \
	.models = moonshot_models, .says = moonshot_says

#define ZAI \
	.limit = LIMIT_MAX_TOKENS, .rename = NAMES("user", "user_id"), .user_min = 6, \
	.add_with_tools = NAMES("tool_stream", "true"), .walks = true, .no_developer = true, \
	.flat_texts = true, .reads_arguments = true, .thoughts = THOUGHTS_CONTENT, \
	.choice = CHOICE_AUTO, .formats = FORMATS_OBJECT, .thinking = THINKING, \
	.efforts = effort_switch, .models = zai_models, .says = zai_says, \
	.drop = NAMES("seed", "frequency_penalty", "presence_penalty")

/* What routers know of "provider" (providers.md section 5.2); others are 400 there. */
#define PROVIDER_MEMBERS \
	NAMES("order", "only", "ignore", "allow_fallbacks", "require_parameters", \
		"data_collection", "zdr", "enforce_distillable_text", "quantizations", "sort", \
		"max_price", "preferred_min_throughput", "preferred_max_latency")

#define ROUTER .takes_marks = true, .takes_custom_tools = true, .models = router_models

static const struct quirks everybody_else = { .slug = "" };

static const struct quirks rows[] = {
	{ .slug = "openai", OPENAI },
	{ .slug = "azure", OPENAI },
	{ .slug = "azure-deployments", OPENAI },
	{ .slug = "anthropic", .limit = LIMIT_EITHER },
	{ .slug = "google", GOOGLE },
	{ .slug = "google-openai", GOOGLE },
	{ .slug = "ollama", OLLAMA },
	{ .slug = "ollama-cloud", OLLAMA },
	{ .slug = "vllm",
		.limit = LIMIT_EITHER,
		.walks = true,
		.reads_arguments = true,
		.thoughts = THOUGHTS_BOTH,
		.thinking = TEMPLATE_THINKING,
		.efforts = effort_vllm,
		.think_tags = true },
	{ .slug = "huggingface",
		.limit = LIMIT_MAX_TOKENS,
		.walks = true,
		.no_developer = true,
		.flat_texts = true,
		.reads_arguments = true,
		.thoughts = THOUGHTS_NONE,
		.efforts = effort_low_to_high,
		.think_tags = true,
		.says = huggingface_says },
	{ .slug = "openrouter",
		.limit = LIMIT_EITHER,
		.is_router = true,
		.trusts_cost = true,
		.provider_members = PROVIDER_MEMBERS,
		ROUTER },
	{ .slug = "kilo", .limit = LIMIT_EITHER, .is_router = true, .trusts_cost = true, ROUTER },
	{ .slug = "vercel",
		.limit = LIMIT_MAX_TOKENS,
		.is_router = true,
		.trusts_cost = true,
		.wants_options = true,
		.drop = NAMES("route", "transforms", "plugins", "usage", "session_id",
			"include_reasoning", "debug", "preset"),
		ROUTER },
	{ .slug = "mistral",
		MISTRAL,
		.allow = NAMES("random_seed", "safe_prompt", "prompt_mode", "guardrails") },
	{ .slug = "codestral", MISTRAL, .allow = NAMES("random_seed", "safe_prompt") },
	{ .slug = "xai",
		.limit = LIMIT_EITHER,
		.completion_excludes_reasoning = true,
		.affinity = "x-grok-conv-id",
		.walks = true,
		.thoughts = THOUGHTS_CONTENT,
		.efforts = effort_unknown,
		.models = grok_models,
		.repeats = true },
	{ .slug = "minimax",
		.limit = LIMIT_MAX_TOKENS,
		.drop = NAMES("frequency_penalty", "presence_penalty", "logit_bias", "seed",
			"function_call", "functions"),
		.allow = NAMES("thinking", "reasoning_split"),
		.add = NAMES("reasoning_split", "true"),
		.no_zero_temperature = true,
		.walks = true,
		.no_developer = true,
		.flat_texts = true,
		.reads_arguments = true,
		.wants_parameters = true,
		.message_members = NAMES("name"),
		.system = SYSTEM_ONE,
		.thoughts = THOUGHTS_DETAILS,
		.formats = FORMATS_NONE,
		.efforts = effort_unknown,
		.think_tags = true,
		.says = minimax_says },
	{ .slug = "moonshot", MOONSHOT },
	{ .slug = "kimi-coding", MOONSHOT },
	{ .slug = "zai", ZAI },
	{ .slug = "zai-coding", ZAI },
	{ .slug = "deepseek",
		.limit = LIMIT_MAX_TOKENS,
		.walks = true,
		.no_developer = true,
		.flat_texts = true,
		.reads_arguments = true,
		.thoughts = THOUGHTS_CONTENT_OF_CALLS,
		.formats = FORMATS_OBJECT,
		.thinking = THINKING,
		.efforts = effort_deepseek,
		.free_thinkers = true,
		.models = deepseek_models },
	{ .slug = "groq",
		.limit = LIMIT_MAX_COMPLETION_TOKENS,
		.strict = true,
		.drop = NAMES("store", "metadata", "logprobs", "top_logprobs", "logit_bias",
			"verbosity", "modalities", "audio", "prediction", "safety_identifier",
			"prompt_cache_key", "prompt_cache_options", "prompt_cache_retention",
			"web_search_options", "moderation"),
		.allow = NAMES("reasoning_format"),
		.walks = true,
		.no_name = true,
		.flat_texts = true,
		.reads_arguments = true,
		.thoughts = THOUGHTS_NONE,
		.efforts = effort_unknown,
		.models = groq_models,
		.says = groq_says },
	{ .slug = "together",
		.limit = LIMIT_MAX_TOKENS,
		.walks = true,
		.no_developer = true,
		.flat_texts = true,
		.reads_arguments = true,
		.thoughts = THOUGHTS_REASONING,
		.efforts = effort_low_to_high,
		.think_tags = true },
	/* Without a limit an answer ends early; without a stream a larger one is refused. */
	{ .slug = "fireworks",
		.limit = LIMIT_MAX_TOKENS,
		.drop = NAMES("store", "metadata", "service_tier", "safety_identifier",
			"prompt_cache_key", "prompt_cache_options", "prompt_cache_retention",
			"web_search_options", "moderation"),
		.affinity = "x-session-affinity",
		.limit_default = 4096,
		.walks = true,
		.no_developer = true,
		.flat_texts = true,
		.reads_arguments = true,
		.thoughts = THOUGHTS_CONTENT,
		.efforts = effort_none_to_high,
		.think_tags = true },
	{ .slug = "cohere",
		.limit = LIMIT_MAX_TOKENS,
		.drop = NAMES("logit_bias", "top_logprobs", "parallel_tool_calls", "store",
			"metadata", "modalities", "audio", "prediction", "service_tier",
			SAMPLING_EXTRAS),
		.walks = true,
		.flat_texts = true,
		.reads_arguments = true,
		.thoughts = THOUGHTS_NONE,
		.formats = FORMATS_OBJECT_SCHEMA,
		.efforts = effort_none_or_high },
	/* "diffusing" makes the stream repeat the whole text in every chunk. */
	{ .slug = "inception",
		.limit = LIMIT_MAX_TOKENS,
		.drop = NAMES("diffusing"),
		.walks = true,
		.no_developer = true,
		.flat_texts = true,
		.thoughts = THOUGHTS_NONE,
		.efforts = effort_instant_to_high },
	{ .slug = "corethink",
		.limit = LIMIT_MAX_TOKENS,
		.drop = NAMES("description", "thinking"),
		.walks = true,
		.no_developer = true,
		.flat_texts = true,
		.thoughts = THOUGHTS_NONE,
		.formats = FORMATS_NONE,
		.efforts = effort_unknown,
		.think_tags = true },
	{ .slug = "streamlake",
		.limit = LIMIT_MAX_TOKENS,
		.walks = true,
		.no_developer = true,
		.flat_texts = true,
		.thoughts = THOUGHTS_NONE,
		.efforts = effort_unknown,
		.think_tags = true },
	{ .slug = "arcee",
		.limit = LIMIT_MAX_TOKENS,
		.walks = true,
		.no_developer = true,
		.reads_arguments = true,
		.thoughts = THOUGHTS_CONTENT,
		.efforts = effort_unknown,
		.think_tags = true },
	/* A front of many others. */
	{ .slug = "martian",
		.limit = LIMIT_EITHER,
		.allow = NAMES("verbosity", "store", "safety_identifier", "prompt_cache_key",
			"prompt_cache_options", "prompt_cache_retention", "moderation"),
		.completion_excludes_reasoning = true,
		.walks = true,
		.thoughts = THOUGHTS_CONTENT,
		.models = grok_models,
		.repeats = true },
	{ .slug = "cerebras",
		.limit = LIMIT_MAX_COMPLETION_TOKENS,
		.drop = NAMES("frequency_penalty", "presence_penalty", "logit_bias", "store",
			"metadata", "modalities", "audio", SAMPLING_EXTRAS),
		.walks = true,
		.no_developer = true,
		.flat_texts = true,
		.thoughts = THOUGHTS_NONE,
		.efforts = effort_low_to_high,
		.think_tags = true },
	{ .slug = "perplexity",
		.limit = LIMIT_MAX_TOKENS,
		.walks = true,
		.no_developer = true,
		.flat_texts = true,
		.system = SYSTEM_IN_FRONT,
		.thoughts = THOUGHTS_NONE,
		.efforts = effort_gpt_5,
		.think_tags = true },
	{ .slug = "alibaba",
		.limit = LIMIT_MAX_TOKENS,
		.walks = true,
		.takes_marks = true,
		.no_developer = true,
		.thoughts = THOUGHTS_CONTENT,
		.thinking = ENABLE_THINKING,
		.efforts = effort_switch },
	{ .slug = "nvidia", .limit = LIMIT_MAX_TOKENS, .think_tags = true },
	{ .slug = "chutes", .limit = LIMIT_MAX_TOKENS, .think_tags = true },
	{ .slug = "lmstudio", .limit = LIMIT_MAX_TOKENS, .think_tags = true },
	{ .slug = "demo", .limit = LIMIT_EITHER, .trusts_cost = true },
};

const struct quirks *quirks_of(const char *slug)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (strcmp(rows[i].slug, slug) == 0)
			return &rows[i];
	return &everybody_else;
}
