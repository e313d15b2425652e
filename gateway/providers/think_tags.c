#include "gateway/providers/think_tags.h"

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* What is held back comes out again. */
static void release(struct think_tags *t, struct buf *out)
{
	buf_append(out, t->held, t->held_bytes);
	t->held_bytes = 0;
}

/* Blanks, then the tag or its beginning? true: c is held back, or the tag is complete. */
static bool take_before(struct think_tags *t, char c)
{
	static const char tag[] = "<think>";
	unsigned at = 0;

	while (at < t->held_bytes && is_blank(t->held[at]))
		at++;
	at = t->held_bytes - at; /* bytes of the tag so far */
	if (at == 0 && is_blank(c) && t->held_bytes < THINK_HELD_MAX - sizeof(tag)) {
		t->held[t->held_bytes++] = c;
		return true;
	}
	if (c != tag[at])
		return false;
	t->held[t->held_bytes++] = c;
	if (tag[at + 1] == '\0') {
		t->held_bytes = 0;
		t->state = THINK_OPENED;
	}
	return true;
}

static void take_within(struct think_tags *t, char c, struct buf *thought)
{
	static const char tag[] = "</think>";

	if (c != tag[t->held_bytes]) {
		release(t, thought);
		if (c != tag[0]) {
			buf_char(thought, c);
			return;
		}
	}
	t->held[t->held_bytes++] = c;
	if (tag[t->held_bytes] == '\0') {
		t->held_bytes = 0;
		t->state = THINK_BEHIND;
	}
}

void think_tags_feed(
	struct think_tags *t, struct slice piece, struct buf *text, struct buf *thought)
{
	for (size_t i = 0; i < piece.len; i++) {
		char c = piece.ptr[i];

		if ((t->state == THINK_OPENED || t->state == THINK_BEHIND) && !is_blank(c))
			t->state++;
		if (t->state == THINK_BEFORE && !take_before(t, c)) {
			release(t, text);
			t->state = THINK_OVER;
		}
		if (t->state == THINK_WITHIN) {
			take_within(t, c, thought);
		} else if (t->state == THINK_OVER) {
			buf_append(text, piece.ptr + i, piece.len - i);
			return;
		}
	}
}

void think_tags_end(struct think_tags *t, struct buf *text, struct buf *thought)
{
	/* A text of blanks alone is as it is; an end tag that is not whole belongs to the thought.
	 */
	release(t, t->state == THINK_WITHIN ? thought : text);
	t->state = THINK_OVER;
}
