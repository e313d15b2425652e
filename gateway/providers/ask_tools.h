/* gateway/providers/ask_tools.h - the tools of a request: tools.c's, for ask.c. Not for others. */
#ifndef GATEWAY_PROVIDERS_ASK_TOOLS_H
#define GATEWAY_PROVIDERS_ASK_TOOLS_H

#include "gateway/providers/arena.h"
#include "gateway/providers/ask.h"
#include "gateway/providers/names.h"

#define ASK_TOOLS_MAX 4096u /* of one request, those of its history included */

/* What ask.memory points to. */
struct ask_memory {
	struct arena arena;
	struct ask_rules rules;
	struct names clients; /* names as clients know them: one more than the index in tools */
	struct names knowns;  /* names as the provider knows them: the same */
	struct tool *tools;   /* all of them, in the arena */
	unsigned count, cap;
};

/* The members of a request that are about tools; JSON_ABSENT when they are not there. */
struct tool_members {
	struct json_value tools, functions, choice, function_call;
};

/* Fills a's tools and its choice. ERR_BAD_REQUEST with param, ERR_NO_MEMORY. */
MUST_CHECK enum err_code tools_read(const struct tool_members *from, const struct talk_call *calls,
	unsigned call_count, struct ask *a, struct err *e);

#endif
