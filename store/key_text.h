/* store/key_text.h - what an API key looks like: "sk-tg-", 32 random characters of [0-9A-Za-z],
 * and 6 that are a checksum of all before, so that a typing error is told from an unknown key.
 *
 * A key text is a secret: whoever holds one wipes it (crypto_wipe) when done.
 * Threads: no shared state.
 */
#ifndef STORE_KEY_TEXT_H
#define STORE_KEY_TEXT_H

#include "base/str.h"

#define KEY_TEXT_SIZE 45 /* NUL included */

/* Makes a new key. */
void key_text_make(char out[KEY_TEXT_SIZE]);

/* Has it the form of a key, with the right checksum? */
bool key_text_is_valid(struct slice text);

/* Writes n random characters of [0-9A-Za-z], each equally likely, and a NUL. */
void key_text_random(char *out, size_t n);

#endif
