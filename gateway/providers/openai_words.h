/* gateway/providers/openai_words.h - puts right what a message or delta of a provider that nearly
 * speaks OpenAI says: roles told once, calls of tools, content in parts, and thoughts, which the
 * client gets as reasoning and reasoning_content whatever the provider calls them, even within the
 * text (kilo-contract.md section 25; openai-chat.md section 17).
 *
 * Ownership: what is changed is noted in the dialect's splice; words_free() ends the state.
 */
#ifndef GATEWAY_PROVIDERS_OPENAI_WORDS_H
#define GATEWAY_PROVIDERS_OPENAI_WORDS_H

#include "gateway/providers/tongue.h"

/* A message or delta of a choice, on its way to being put right. */
struct words {
	unsigned index; /* of the choice */
	bool whole;     /* a message; else a delta */
	bool first;     /* nothing of this choice came before */
	bool finishes;  /* the choice ends with it: nothing may be held back */
	/* what was found */
	size_t text_bytes;
	bool empty; /* no member says anything */
};

/* Notes what a message or delta holds and puts it right where it must be. Without an object (it is
 * missing or null) it says what was held back, if anything. false: more calls than fit. */
MUST_CHECK bool words_take(
	struct dialect *d, struct words *w, struct json_value object, struct slice choice);

#endif
