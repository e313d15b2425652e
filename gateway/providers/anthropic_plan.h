/* gateway/providers/anthropic_plan.h - a request to Anthropic's Messages API on its way: what is
 * decided about it before a byte is written. Only for the files anthropic_*.c of the request side.
 *
 * Ownership: anthropic_plan_fini() frees; everything else is lent by the client's body and the
 * target.
 */
#ifndef GATEWAY_PROVIDERS_ANTHROPIC_PLAN_H
#define GATEWAY_PROVIDERS_ANTHROPIC_PLAN_H

#include "gateway/providers/anthropic.h"
#include "gateway/providers/talk.h"

/* How long what ends at a block is to be cached. */
enum keep {
	KEEP_NOT,
	KEEP_5M,
	KEEP_1H,
};

enum anthropic_thinks {
	THINKS_UNSAID, /* as the model does by itself */
	THINKS_NOT,    /* told so */
	THINKS_BUDGET,
	THINKS_FREELY,
};

struct anthropic_plan {
	const struct chat_req *req;
	const struct target *target;
	char model_id[MODEL_ID_MAX];
	const struct anthropic_model *model;
	struct talk talk;
	struct ask ask;
	const struct talk_rules *talk_rules; /* NULL = Anthropic's own */
	const struct ask_rules *names;       /* the same */
	struct anthropic_json json;
	enum anthropic_thinks thinks;
	const char *effort; /* of output_config; NULL = not said */
	int64_t budget;     /* of THINKS_BUDGET */
	int64_t max_tokens;
	bool forces_tool; /* the model may not answer in words */
	bool uses_files;  /* a file of Anthropic's own store is shown */
	/* The breakpoints of the cache, in the order of the prompt: of tools, system texts, parts.
	 */
	enum keep *keep;
	unsigned tools, system, parts;
};

/* Reads the request and decides (anthropic_plan.c). *p holds req, target and rules; it is to be
 * ended with anthropic_plan_fini() on every path. */
MUST_CHECK enum err_code anthropic_plan_read(struct anthropic_plan *p, struct err *e);
void anthropic_plan_fini(struct anthropic_plan *p);

/* Is it Anthropic itself, not somebody who only speaks like it? */
static inline bool anthropic_is_own(const struct anthropic_plan *p)
{
	return strcmp(p->target->slug, "anthropic") == 0;
}

static inline enum keep keep_of_tool(const struct anthropic_plan *p, unsigned i)
{
	return p->keep[i];
}
static inline enum keep keep_of_system(const struct anthropic_plan *p, unsigned i)
{
	return p->keep[p->tools + i];
}
static inline enum keep keep_of_part(const struct anthropic_plan *p, const struct part *part)
{
	return p->keep[p->tools + p->system + (unsigned)(part - p->talk.parts)];
}

/* Appends ,"cache_control":{…} unless nothing is kept. */
void anthropic_write_keep(enum keep keep, struct buf *out);

/* Decides where the breakpoints are (anthropic_cache.c). ERR_NO_MEMORY. */
MUST_CHECK enum err_code anthropic_place_breakpoints(struct anthropic_plan *p, struct err *e);

/* Is this part sent? Thoughts are not without their signature, nor to who must not think. */
bool anthropic_sends(const struct anthropic_plan *p, const struct part *part);

/* Appends ,"tools":[…] and ,"tool_choice":{…} where there are any (anthropic_tools.c). */
MUST_CHECK enum err_code anthropic_write_tools(
	const struct anthropic_plan *p, struct buf *out, struct err *e);
void anthropic_write_tool_choice(const struct anthropic_plan *p, struct buf *out);

/* Appends an object of Anthropic's own kind, as the client wrote it, without its brace and its mark
 * for the cache, which is set anew. */
void anthropic_write_native(struct json_value object, struct buf *out);

/* Appends the messages as an array (anthropic_messages.c). What the provider does not take is
 * refused by name. */
MUST_CHECK enum err_code anthropic_write_messages(
	struct anthropic_plan *p, struct buf *out, struct err *e);

#endif
