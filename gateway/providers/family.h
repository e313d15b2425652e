/* gateway/providers/family.h - a conversation that models of one family began, as a router takes it
 * for a model of another: signatures and hidden thoughts are left to those who can read them, and
 * refused or misread by all others (providers.md section 9, kilo-contract.md sections 21.3,
 * 22, 24.3 and 25).
 *
 *   - details of thoughts go to the family that wrote them; what was said in them goes on in plain
 *     words where the family thinks in such;
 *   - blocks of thoughts that were kept in Anthropic's own shape become details for Claude;
 *   - signatures of Google's beside calls and messages are left to Gemini;
 *   - results of tools have no key "$ref" for Gemini, which takes it for a part of the request;
 *   - ids of calls become what the family takes (openai_ids.h).
 * What the family wrote itself is sent on byte by byte. Pure.
 */
#ifndef GATEWAY_PROVIDERS_FAMILY_H
#define GATEWAY_PROVIDERS_FAMILY_H

#include "gateway/providers/openai_like.h"
#include "gateway/providers/tongue.h"

/* Is there anything in the messages that may have to be changed? */
static inline bool family_looks(const struct quirks *q, const struct chat_req *req)
{
	return q->family && (req->uses_tools || req->has_thoughts);
}

/* Appends the messages, an array of objects, for the family of the row. */
void family_write_messages(const struct quirks *q, struct json_value messages, struct buf *out);

/* Is there a signature or a hidden thought among the details? */
bool family_is_bound(struct json_value details);

#endif
