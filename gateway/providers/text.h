/* gateway/providers/text.h - completions of a text, as dialects of their own: what came before
 * FIM and chats, and FIM itself (openai-chat.md sections 13 and 14; kilo-contract.md section 29).
 *
 * A client's request reads "prompt" and "suffix" in place of messages and tools: they stand in
 * field[CHAT_MESSAGES] and field[CHAT_TOOLS], so that what counts tokens counts these.
 * The two differ in what the client reads: text_completion objects with "text", or fim.completion
 * objects with "text" and "message" whole and "delta" in streams. What a provider is sent depends
 * on its path alone: …/fim/completions knows few members, …/chat/completions gets the prompt as a
 * message, anything else the client's own members. Either shape of an answer is understood.
 * Pure, as tongue.h says.
 */
#ifndef GATEWAY_PROVIDERS_TEXT_H
#define GATEWAY_PROVIDERS_TEXT_H

#include "gateway/providers/tongue.h"

extern const struct provider provider_text;
extern const struct provider provider_fim;

#endif
