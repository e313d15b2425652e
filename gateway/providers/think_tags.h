/* gateway/providers/think_tags.h - parts the thoughts from a text that begins with
 * "<think>…</think>", however the text is cut (providers.md section 8, MiniMax 1; openai-chat.md
 * section 17).
 *
 * Only a text whose first word is the tag is parted; a tag later in it is the author's own word.
 * Blanks around the tags are dropped. { 0 } is a valid state in front of a text.
 * Ownership: plain memory, nothing to free. Pure.
 */
#ifndef GATEWAY_PROVIDERS_THINK_TAGS_H
#define GATEWAY_PROVIDERS_THINK_TAGS_H

#include "base/buf.h"

#define THINK_HELD_MAX 24 /* bytes that are held back until more has come */

enum think_state {
	THINK_BEFORE, /* nothing but blanks, or the beginning of the tag, has come */
	THINK_OPENED, /* behind the tag, nothing but blanks */
	THINK_WITHIN,
	THINK_BEHIND, /* behind the end tag, nothing but blanks */
	THINK_OVER,   /* plain text from here on: no need to ask any more */
};

struct think_tags {
	enum think_state state;
	unsigned held_bytes;
	char held[THINK_HELD_MAX];
};

/* Appends what is known of the next piece of decoded text to text or thought. */
void think_tags_feed(
	struct think_tags *t, struct slice piece, struct buf *text, struct buf *thought);

/* The text has ended: appends what was held back. */
void think_tags_end(struct think_tags *t, struct buf *text, struct buf *thought);

#endif
