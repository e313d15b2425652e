/* gateway/providers/ask.h - what a chat request asks for beside its messages, read once for the
 * dialects that translate: sampling, limits, tools, structured output, reasoning.
 *
 * Members follow openai-chat.md section 2 and kilo-contract.md section 25 (reasoning).
 * Pure. Ownership: everything points into the client's body or the ask; ask_fini() frees.
 */
#ifndef GATEWAY_PROVIDERS_ASK_H
#define GATEWAY_PROVIDERS_ASK_H

#include "gateway/providers/tongue.h"

#define TOOL_NAME_MAX 129 /* bytes of a tool's name as a provider knows it, with its NUL */

enum effort {
	EFFORT_UNSET, /* the client did not say: send nothing */
	EFFORT_NONE,
	EFFORT_MINIMAL,
	EFFORT_LOW,
	EFFORT_MEDIUM,
	EFFORT_HIGH,
	EFFORT_XHIGH,
	EFFORT_MAX,
};

/* reasoning_effort, reasoning {effort, max_tokens, enabled, exclude}, include_reasoning. */
struct reasoning {
	enum effort effort;
	int64_t max_tokens; /* a budget in tokens; 0 = not given */
	bool exclude;       /* the client does not want to read thoughts */
};

/* How many tokens of all that a model may write an effort stands for: 0, 2, 10, 30, 60, 90, 90 %
 * (anthropic.md section 7, gemini.md section 8). EFFORT_UNSET and EFFORT_NONE: 0. */
int64_t effort_tokens(enum effort effort, int64_t max_output);
/* And backwards: the effort whose share is nearest. */
enum effort effort_of_tokens(int64_t budget, int64_t max_output);

enum tool_choice {
	TOOLS_AUTO, /* also when nothing was said */
	TOOLS_NONE,
	TOOLS_REQUIRED,
	TOOLS_NAMED, /* choice_name */
};

struct tool {
	const char *name; /* the client's, decoded; ends in NUL */
	const char
		*known; /* what the provider calls it: fits the rules, different from all others */
	struct json_value description, parameters, strict, cache;
	struct json_value native; /* a tool of the provider's own ("type" other than function), sent
				   * on untouched; then everything above is absent */
	bool from_history;        /* no tool of the request: a name that its history calls */
};

enum answer_form {
	FORM_TEXT,
	FORM_JSON,   /* json_object */
	FORM_SCHEMA, /* json_schema: schema, schema_name, schema_strict */
};

/* What names a provider takes: letters, digits, '_' and '-' always. */
struct ask_rules {
	unsigned name_max;       /* 64 or 128 */
	const char *name_extra;  /* further characters, e.g. ".:"; may be "" */
	bool name_starts_letter; /* the first must be a letter or '_' */
};

struct ask {
	/* As the client wrote them; JSON_ABSENT when absent or null. Types are checked. */
	struct json_value temperature, top_p, top_k, seed, frequency_penalty, presence_penalty,
		logprobs, top_logprobs, logit_bias, user, service_tier, verbosity, modalities,
		metadata, cache_control, thinking, safety_settings;
	int64_t max_tokens;     /* 0 = not given */
	struct json_value stop; /* array of strings or one string; blank strings are skipped by
				 * ask_write_stop() */
	struct reasoning reasoning;
	enum answer_form form;
	struct json_value schema; /* of FORM_SCHEMA: an object */
	const char *schema_name;  /* decoded; ends in NUL; never NULL with FORM_SCHEMA */
	bool schema_strict;
	const struct tool *tools;
	unsigned tool_count; /* those that allowed_tools leaves, without duplicates */
	enum tool_choice choice;
	const struct tool *chosen; /* of TOOLS_NAMED */
	bool parallel_off;         /* parallel_tool_calls: false */
	bool any_strict;           /* a tool has strict: true */
	void *memory;
};

/* Reads req. calls: names of tools that the history calls (talk.calls), so that a provider which
 * wants every called tool declared gets those too, marked from_history; may be NULL with 0.
 * ERR_BAD_REQUEST with param, ERR_NO_MEMORY. *a is set on every path; end it with ask_fini(). */
struct talk_call;
MUST_CHECK enum err_code ask_read(const struct chat_req *req, const struct ask_rules *rules,
	const struct talk_call *calls, unsigned call_count, struct ask *a, struct err *e);
void ask_fini(struct ask *a);

/* What the provider calls the tool that the client calls so; the same fitted name also for tools
 * that nobody declared. */
const char *ask_known_name(const struct ask *a, const char *name);

/* For decoders: the client's name of the tool that the provider calls known (a raw JSON string);
 * appends it as a JSON string. The same table is made again from the same request, so nothing has
 * to be carried from encode to decode; requests whose names all fit cost one look. */
void ask_write_client_name(const struct chat_req *req, const struct ask_rules *rules,
	struct slice known, struct buf *out);

/* Appends "name":["…"] from stop, when there is one that is not blank; max: how many are taken. */
bool ask_write_stop(const struct ask *a, const char *name, unsigned max, struct buf *out);

/* ERR_UNSUPPORTED naming provider and member: for what cannot be done. */
enum err_code ask_refuse(
	const struct target *t, const char *member, const char *why, struct err *e);

#endif
