/* gateway/providers/gemini_answer.h - what the files share that read Gemini's answers.
 *
 * Ownership: as in tongue.h.
 */
#ifndef GATEWAY_PROVIDERS_GEMINI_ANSWER_H
#define GATEWAY_PROVIDERS_GEMINI_ANSWER_H

#include "gateway/providers/gemini.h"

/* An error found under status 200: error is the member of text (validated) that says so. Always
 * returns a code. */
enum err_code gemini_refusal(
	const struct dialect *d, struct json_value error, struct slice text, struct err *e);

/* The logprobs object of a choice, from logprobsResult; appends nothing when that says nothing. */
void gemini_write_logprobs(struct json_value result, struct buf *out);

#endif
