/* gateway/providers/gemini_plan.h - what the files share that write a request to Gemini.
 *
 * Ownership: everything points into the request, the talk or the ask.
 */
#ifndef GATEWAY_PROVIDERS_GEMINI_PLAN_H
#define GATEWAY_PROVIDERS_GEMINI_PLAN_H

#include "gateway/providers/gemini.h"

struct gemini_plan {
	const struct chat_req *req;
	const struct target *target;
	struct gemini_model model;
	struct talk talk;
	struct ask ask;
	struct gemini_json json;
	bool declares;      /* functions go along */
	bool system_told;   /* by the contents: there is no other place, or nothing else to say */
	bool asks_for_json; /* for an object, in words, as functions forbid to say it otherwise */
};

/* Appends "contents":[…] and sets system_told (gemini_contents.c). What Google does not take is
 * refused by name. */
MUST_CHECK enum err_code gemini_write_contents(
	struct gemini_plan *p, struct buf *out, struct err *e);

/* Appends a media part: {"inlineData":…} or {"fileData":…} without its brace (gemini_media.c). */
MUST_CHECK enum err_code gemini_write_media(
	const struct gemini_plan *p, const struct part *part, struct buf *out, struct err *e);

/* Appends ,"tools":[…] and ,"toolConfig":{…} where there are any (gemini_tools.c). */
MUST_CHECK enum err_code gemini_write_tools(
	const struct gemini_plan *p, struct buf *out, struct err *e);

/* Appends ,"thinkingConfig":{…} unless the model is left to itself (gemini_config.c). */
void gemini_write_thinking(const struct gemini_plan *p, struct buf *out);

/* Appends ,"generationConfig":{…} unless there is nothing in it (gemini_config.c). */
MUST_CHECK enum err_code gemini_write_config(
	const struct gemini_plan *p, struct buf *out, struct err *e);

#endif
