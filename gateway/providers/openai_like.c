#include "gateway/providers/openai_like.h"

#include <fnmatch.h>

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

/* What the gateway does itself. */
static const char *const for_gateway[] = {
	"models",
	"fallbacks",
	NULL,
};

/* OpenAI's own that tell others nothing, and are refused by some (kilo-contract.md section 24.4).
 */
static const char *const for_openai[] = {
	"verbosity",
	"store",
	"safety_identifier",
	"prompt_cache_key",
	"prompt_cache_options",
	"prompt_cache_retention",
	"moderation",
	NULL,
};

/* Words of one vendor's own API, which others refuse or do not understand; who knows one of them
 * has it as its switch of thinking, or allows it. */
static const char *const of_vendors[] = {
	"thinking",
	"output_config",
	"context_management",
	"cache_control",
	"betas",
	"anthropic_beta",
	"safety_settings",
	"google",
	"enable_thinking",
	"thinking_budget",
	"chat_template_kwargs",
	"reasoning_split",
	"reasoning_format",
	"random_seed",
	"safe_prompt",
	"prompt_mode",
	NULL,
};

/* Members of messages that everybody takes, and those that only OpenAI and routers know
 * (providers.md section 2, at the end). */
static const char *const message_own[] = {
	"role",
	"content",
	"tool_calls",
	"tool_call_id",
	"name",
	"function_call",
	NULL,
};
static const char *const message_extras[] = {
	"annotations",
	"images",
	"provider_specific_fields",
	"extra_content",
	"thoughtSignature",
	"thought_signature",
	"refusal",
	"audio",
	NULL,
};

bool quirks_has(const char *const *names, struct slice text)
{
	for (; names && *names; names++)
		if (slice_is(text, *names))
			return true;
	return false;
}

bool quirks_drops(const struct quirks *q, struct slice member)
{
	/* SDKs should have unfolded it before sending; Google alone reads it. */
	if (slice_is(member, "extra_body"))
		return !quirks_has(q->allow, member);
	if (q->no_stream_options && slice_is(member, "stream_options"))
		return true;
	if (quirks_has(for_gateway, member) || quirks_has(q->drop, member) ||
		quirks_has(q->model_drop, member))
		return true;
	if (quirks_has(for_routers, member))
		return !q->is_router;
	if (q->walks && quirks_has(of_vendors, member))
		return !quirks_has(q->allow, member) &&
		       !(q->thinking.member && slice_is(member, q->thinking.member));
	if (q->walks && !q->takes_breakpoints && quirks_has(for_openai, member))
		return !quirks_has(q->allow, member);
	return q->strict && !quirks_has(openai_own, member) && !quirks_has(q->allow, member);
}

bool quirks_drops_of_message(const struct quirks *q, struct slice member)
{
	if (q->no_name && slice_is(member, "name"))
		return true;
	if (slice_is(member, "cache_control"))
		return !q->takes_marks;
	if (quirks_has(q->message_members, member))
		return false;
	return q->strict ? !quirks_has(message_own, member) : quirks_has(message_extras, member);
}

struct slice quirks_name(const struct quirks *q, struct slice member)
{
	for (const char *const *pair = q->rename; pair && *pair; pair += 2)
		if (slice_is(member, pair[0]))
			return slice_of(pair[1]);
	return member;
}

void quirks_for_model(const struct quirks *row, const char *native_id, struct quirks *out)
{
	const struct model_quirks *m = row->models;

	*out = *row;
	if (strncmp(native_id, "ft:", 3) == 0) /* a fine-tuned model is of its base's family */
		native_id += 3;
	while (m && m->match && fnmatch(m->match, native_id, FNM_CASEFOLD))
		m++;
	if (!m || !m->match)
		return;
	out->model_drop = m->drop;
	if (m->drop_when_thinking)
		out->drop_when_thinking = m->drop_when_thinking;
	if (m->efforts)
		out->efforts = m->efforts;
	if (m->thoughts)
		out->thoughts = m->thoughts;
	if (m->needed)
		out->needed = m->needed;
	if (m->thinks)
		out->thinks = m->thinks;
	if (m->formats)
		out->formats = m->formats;
	out->model_add = m->add;
	out->family = m->family;
	if (m->id_exact)
		out->id_exact = m->id_exact;
	out->id_no_dots |= m->id_no_dots;
	out->no_strict_tools |= m->no_strict_tools;
	out->wants_signatures |= m->wants_signatures;
}
