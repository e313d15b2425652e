/* gateway/providers/openai_like.h - one table for all that nearly speak OpenAI.
 *
 * A provider that differs in a field's name, refuses fields or forgets to report is a row here,
 * not a file. Source of the rows: providers.md sections 2, 5, 6 and 8, openai-chat.md section 16.
 * What a field makes of a request stands in openai_request.c (members), openai_messages.c
 * (messages) and openai_tools.c (tools, choice, format); of an answer, in openai.c; of a refusal,
 * in refusal.c.
 * In every enumeration 0 is OpenAI's own way: send what the client wrote.
 * The table is constant; rows are lent for ever.
 */
#ifndef GATEWAY_PROVIDERS_OPENAI_LIKE_H
#define GATEWAY_PROVIDERS_OPENAI_LIKE_H

#include "base/str.h"

enum limit_field {
	LIMIT_EITHER,                /* send what the client wrote */
	LIMIT_MAX_TOKENS,            /* only max_tokens is understood */
	LIMIT_MAX_COMPLETION_TOKENS, /* only max_completion_tokens is understood */
};

/* Where system messages may stand. */
enum system_place {
	SYSTEM_ANYWHERE,
	SYSTEM_IN_FRONT, /* several, but before all others; else they are merged there */
	SYSTEM_ONE,      /* one, in front */
};

/* What becomes of an assistant's thoughts in the history: reasoning, reasoning_content,
 * reasoning_details, thinking_blocks, in whichever of them the client kept them. */
enum thoughts {
	THOUGHTS_AS_SENT,
	THOUGHTS_NONE,             /* refused or useless: left out */
	THOUGHTS_CONTENT,          /* as one reasoning_content */
	THOUGHTS_CONTENT_OF_CALLS, /* the same, on messages that call tools only */
	THOUGHTS_REASONING,        /* as one reasoning */
	THOUGHTS_BOTH,             /* as both: servers of either age are in the field */
	THOUGHTS_DETAILS,          /* as reasoning_details */
};

/* Which messages of an assistant must have thoughts; an empty text where they are unknown. */
enum thoughts_needed {
	THOUGHTS_NOT_NEEDED,
	THOUGHTS_NEEDED_BY_CALLS,
	THOUGHTS_NEEDED,
};

enum choice_words {
	CHOICE_AS_SENT,
	CHOICE_ANY,  /* says "any" for "required" */
	CHOICE_AUTO, /* knows "auto" only: "none" takes the tools away, a named one is left alone */
};

enum thinks {
	THINKS_IF_ASKED,
	THINKS_UNLESS_TOLD,
	THINKS_ALWAYS,
};

/* What it knows of response_format. What it does not know it is told in words. */
enum answer_formats {
	FORMATS_ALL,
	FORMATS_OBJECT,        /* json_object only */
	FORMATS_OBJECT_SCHEMA, /* the schema stands beside "type": "json_object" */
	FORMATS_NONE,
};

/* Who made a model that stands behind a router: nobody else's can read the signatures and hidden
 * thoughts of its answers. */
enum family {
	FAMILY_UNSAID, /* nothing is looked at */
	FAMILY_CLAUDE,
	FAMILY_GEMINI,
	FAMILY_GPT,
	FAMILY_GROK,
	FAMILY_OPEN, /* all that think in plain words */
};

/* What to send for one of the seven efforts, none to max; { NULL, 0 } = nothing. */
struct effort_word {
	const char *word; /* of reasoning_effort; NULL = not sent */
	int thinking;     /* 1 switch it on, -1 off, 0 say nothing */
};

/* The member that switches thinking on and off. */
struct thinking_switch {
	const char *member; /* NULL = has none */
	const char *on, *off;
};

/* What a code or word in a refusal means, where its status does not tell. */
enum saying_means {
	MEANS_KEY,       /* 401: the gateway's key */
	MEANS_MONEY,     /* the gateway's account */
	MEANS_RATE,      /* 429 */
	MEANS_OVERLOAD,  /* 503, worth another try */
	MEANS_FAILURE,   /* 502, worth another try */
	MEANS_AGAIN,     /* the status it has, but worth another try */
	MEANS_REQUEST,   /* 400 */
	MEANS_NOT_FOUND, /* 404 */
	MEANS_TOO_LONG,  /* the conversation does not fit */
};
struct saying {
	const char *code;  /* the provider's, exactly; NULL = any */
	const char *words; /* in its message, without regard to case; NULL = any */
	enum saying_means means;
};

/* What holds for some of a provider's models only; 0 and NULL: as the row says. */
struct model_quirks {
	const char *match; /* a shell pattern for the provider's id; the first that fits counts */
	const char *const *drop;               /* members refused beyond those of the row */
	const char *const *drop_when_thinking; /* the same, when an effort other than none is asked
						* for */
	const struct effort_word *efforts;
	enum thoughts thoughts;
	enum thoughts_needed needed;
	enum answer_formats formats;
	enum thinks thinks;
	const char *const *add; /* NULL-ended pairs, as quirks.add */
	enum family family;
	unsigned id_exact;
	bool id_no_dots;
	bool no_strict_tools;
	bool wants_signatures;
};

struct quirks {
	const char *slug; /* of the provider; "" = everybody else */
	enum limit_field limit;
	bool no_stream_options; /* refuses or does not need stream_options */
	bool is_router;         /* takes the fields meant for routers (provider, reasoning …) */
	bool strict;            /* refuses unknown members: only OpenAI's own are sent */
	bool trusts_cost;       /* usage.cost is what we will be charged */
	bool no_image_urls;     /* takes images inline only */
	bool completion_excludes_reasoning; /* completion_tokens must have reasoning added */
	const char *const *drop;            /* NULL-ended names of further members it refuses */
	const char *const *allow;           /* NULL-ended names it takes though its like do not */
	const char *const *rename;          /* NULL-ended pairs: OpenAI's name, its own name */
	const char *const *add; /* NULL-ended pairs: a member and its JSON, unless the client has
				 * it */
	const char *const *add_with_tools; /* the same, on streams with tools */
	const char *affinity;              /* header that takes prompt_cache_key */
	bool no_zero_temperature;
	bool reads_marked_ids; /* ids of calls keep the thought signature that is in them, and
				* extra_content the one beside them */
	bool wants_signatures; /* refuses calls in the history whose first has none of Google's */
	unsigned user_min;     /* bytes of the user's name; a shorter one is left out */
	int64_t limit_default; /* tokens to ask for where the client names no limit; 0 = none */

	/* Of routers. */
	const char *const *provider_members; /* all it knows of "provider"; NULL = any */
	bool wants_options;                  /* takes Vercel's providerOptions, and no "provider" */

	/* Messages and tools. Without walks none of them is looked at. */
	bool walks;
	bool takes_marks;       /* cache_control on messages, parts and tools */
	bool takes_breakpoints; /* prompt_cache_breakpoint on parts */
	bool takes_custom_tools;
	bool no_developer;     /* knows that role as system only */
	bool no_name;          /* refuses name in messages */
	bool flat_texts;       /* refuses arrays of texts but from users: they are joined */
	bool reads_arguments;  /* refuses calls in the history whose arguments are no JSON object */
	bool bridges;          /* refuses a user right behind a tool, and empty assistants */
	bool wants_parameters; /* refuses a tool without parameters, or whose root is no object */
	bool no_strict_tools;  /* refuses strict in tools */
	const char *const *message_members; /* strict ones: NULL-ended, beyond the usual */
	enum system_place system;
	enum thoughts thoughts;
	enum thoughts_needed needed;
	const char *prefill;  /* marks an assistant's message that comes last */
	bool repeats_prefill; /* the answer begins with that message */
	unsigned id_exact;    /* ids of calls have exactly so many letters and digits; 0 = any */
	unsigned id_max;      /* and at most so many bytes; 0 = any */
	bool id_no_dots;      /* and no dot */
	enum family family;   /* whose thoughts it understands; routers' models only */
	enum choice_words choice;
	enum answer_formats formats;

	/* Reasoning asked for. */
	const struct effort_word *efforts; /* seven; NULL = reasoning_effort as it was sent */
	struct thinking_switch thinking;
	bool thinking_or_effort; /* refuses both at once */
	bool free_thinkers;      /* refuses to be forced to a tool while it thinks */
	enum thinks thinks;
	const char *const *drop_when_thinking;

	const struct model_quirks *models; /* ends with an empty one; may be NULL */
	const char *const *model_drop;     /* of the model: see quirks_for_model() */
	const char *const *model_add;      /* the same */

	/* Answers. */
	bool think_tags;           /* may write thoughts into the text, as <think>…</think> */
	bool repeats;              /* may send all of a text once more */
	const struct saying *says; /* ends with an empty one; may be NULL */
};

/* The row of a provider; the row for everybody else when it has none. Never NULL. */
const struct quirks *quirks_of(const char *slug);

/* Fills *out with the row as it holds for one model. */
void quirks_for_model(const struct quirks *row, const char *native_id, struct quirks *out);

/* Is text one of the NULL-ended names? names may be NULL. */
bool quirks_has(const char *const *names, struct slice text);

/* Must this top-level member be left out for the provider? */
bool quirks_drops(const struct quirks *q, struct slice member);

/* Must this member of a message be left out? Thoughts are not asked for here. */
bool quirks_drops_of_message(const struct quirks *q, struct slice member);

/* The name under which the provider knows this member; the same slice when it has no other. */
struct slice quirks_name(const struct quirks *q, struct slice member);

#endif
