/* gateway/providers/bedrock.h - what the request side and the answer side of the dialect of Amazon
 * Bedrock's Converse API have in common (providers.md section 7).
 *
 * Claude keeps its own rules there (anthropic.md): how it thinks, what it samples by, what it may
 * be told to cache are decided where the dialect of Anthropic decides it.
 * Pure.
 */
#ifndef GATEWAY_PROVIDERS_BEDROCK_H
#define GATEWAY_PROVIDERS_BEDROCK_H

#include "gateway/providers/anthropic.h"

#define BEDROCK_NAME_MAX 64                    /* bytes of a tool's name, and of a call's id */
#define CLAUDE_THOUGHTS  "anthropic-claude-v1" /* format of its reasoning details */

extern const struct ask_rules bedrock_names;

/* How answers by a schema come: by the call of a tool that is made up for them, always. */
struct anthropic_json bedrock_json_of_request(const struct target *t, const struct chat_req *req);

MUST_CHECK enum err_code bedrock_encode(
	const struct chat_req *req, const struct target *t, struct http_req *out, struct err *e);

#endif
