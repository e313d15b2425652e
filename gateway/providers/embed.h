/* gateway/providers/embed.h - embeddings, as a dialect of its own (openai-chat.md section 12).
 *
 * A client's request reads "input" in place of messages: it stands in field[CHAT_MESSAGES], and n
 * is the number of its texts. The answer is OpenAI's list, in the order of the input, each vector
 * in the form that the client asked for (encoding_format), whatever the provider knows. What a
 * provider is sent depends on its path alone; any of the shapes of an answer is understood.
 * Pure, as tongue.h says.
 */
#ifndef GATEWAY_PROVIDERS_EMBED_H
#define GATEWAY_PROVIDERS_EMBED_H

#include "gateway/providers/tongue.h"

#define EMBED_INPUTS_MAX 2048 /* texts of one request */

extern const struct provider provider_embed;

#endif
