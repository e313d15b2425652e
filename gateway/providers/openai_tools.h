/* gateway/providers/openai_tools.h - tools, tool_choice and response_format as a provider that
 * nearly speaks OpenAI takes them. Only for rows that are walked; others get them as they are.
 * Pure.
 */
#ifndef GATEWAY_PROVIDERS_OPENAI_TOOLS_H
#define GATEWAY_PROVIDERS_OPENAI_TOOLS_H

#include "gateway/providers/openai_like.h"
#include "gateway/providers/tongue.h"

/* What a tool_choice comes to. */
struct tool_plan {
	bool none;                 /* no tool and no choice is sent */
	struct json_value only;    /* JSON string: the one tool that is sent; JSON_ABSENT = all */
	struct json_value allowed; /* or an array of them, as in allowed_tools */
	const char *choice;        /* what is sent; NULL = what the client wrote */
};

/* ERR_UNSUPPORTED for a custom tool where the provider knows none. */
MUST_CHECK enum err_code openai_tools_plan(const struct target *t, const struct quirks *q,
	struct json_value choice, struct tool_plan *plan, struct err *e);

/* Appends the tools that the plan leaves. ERR_UNSUPPORTED as above. */
MUST_CHECK enum err_code openai_tools_write(const struct target *t, const struct quirks *q,
	const struct tool_plan *plan, struct json_value tools, struct buf *out, struct err *e);

/* What response_format comes to: value, and told, a text for the model as a JSON string without
 * its quotes. Empty: none is sent, nothing is said. Ownership: format_plan_fini() frees. */
struct format_plan {
	struct buf value, told;
};
void openai_format_plan(const struct quirks *q, struct json_value format, struct format_plan *plan);
void format_plan_fini(struct format_plan *plan);

#endif
