/* gateway/providers/bedrock_plan.h - a request to Amazon Bedrock's Converse API on its way. Only
 * for the files bedrock_*.c of the request side.
 *
 * Ownership: the plan inside is to be ended with anthropic_plan_fini(), document_names with
 *            buf_fini().
 */
#ifndef GATEWAY_PROVIDERS_BEDROCK_PLAN_H
#define GATEWAY_PROVIDERS_BEDROCK_PLAN_H

#include "gateway/providers/anthropic_plan.h"
#include "gateway/providers/bedrock.h"

/* Whose model it is: the rules differ. */
enum bedrock_family {
	BEDROCK_OTHER,
	BEDROCK_CLAUDE,
	BEDROCK_NOVA,
	BEDROCK_MISTRAL,
};

struct bedrock_plan {
	struct anthropic_plan plan; /* what Claude's rules say counts for Claude alone */
	enum bedrock_family family;
	struct buf document_names; /* those given so far, with a line's end before and behind */
};

/* Appends ,{"cachePoint":…} behind a block that ends what is to be cached, where the model can
 * cache. */
void bedrock_write_cache_point(const struct bedrock_plan *p, enum keep keep, struct buf *out);

/* Appends the messages as an array (bedrock_messages.c). What the provider does not take is refused
 * by name. */
MUST_CHECK enum err_code bedrock_write_messages(
	struct bedrock_plan *p, struct buf *out, struct err *e);

/* Appends {"image":…}, {"document":…} or {"video":…} (bedrock_media.c). */
MUST_CHECK enum err_code bedrock_write_media(
	struct bedrock_plan *p, const struct part *part, struct buf *out, struct err *e);

#endif
