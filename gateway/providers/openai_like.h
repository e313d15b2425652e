/* gateway/providers/openai_like.h - one table for all that nearly speak OpenAI.
 *
 * A provider that differs in a field's name, refuses fields or forgets to report is a row here,
 * not a file. Source of the rows: providers.md sections 2 and 8.
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

struct quirks {
	const char *slug; /* of the provider; "" = everybody else */
	enum limit_field limit;
	bool no_stream_options; /* refuses or does not need stream_options */
	bool is_router;   /* takes the fields meant for routers (provider, models, reasoning …) */
	bool strict;      /* refuses unknown members: only OpenAI's own are sent */
	bool trusts_cost; /* usage.cost is what we will be charged */
	bool no_image_urls; /* takes images inline only */
	bool completion_excludes_reasoning; /* completion_tokens must have reasoning added */
	const char *const *drop; /* NULL-ended names of further members it refuses; may be NULL */
	const char *const
		*allow; /* strict ones: NULL-ended names it takes beyond OpenAI's; may be NULL */
	const char *const *rename; /* NULL-ended pairs: OpenAI's name, its own name; may be NULL */
};

/* The row of a provider; the row for everybody else when it has none. Never NULL. */
const struct quirks *quirks_of(const char *slug);

/* Must this top-level member be left out for the provider? */
bool quirks_drops(const struct quirks *q, struct slice member);

/* The name under which the provider knows this member; the same slice when it has no other. */
struct slice quirks_name(const struct quirks *q, struct slice member);

#endif
