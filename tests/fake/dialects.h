/* tests/fake/dialects.h - the dialects that the fake provider speaks besides OpenAI's, and what it
 * serves besides answers. Header-only, see cue.h.
 *
 * The cues are those of cue.h; events are counted as the dialect has them. Thoughts come when the
 * request asks for them, signed; a signature that comes back must be the thought's own.
 */
#ifndef FAKE_DIALECTS_H
#define FAKE_DIALECTS_H

#include "tests/fake/dialect_anthropic.h"
#include "tests/fake/dialect_bedrock.h"
#include "tests/fake/dialect_gemini.h"

struct wire {
	const char *stream_type; /* Content-Type of a stream */

	/* Checks a request and notes what there is to answer. */
	bool (*read)(struct native *n, struct json_value body);

	void (*whole)(const struct answer *a, struct buf *out);

	/* Appends the data of an event and gives its name; NULL when there is none left. */
	const char *(*event)(const struct answer *a, uint32_t i, struct buf *out);

	/* Appends a refusal, and gives the name it has as an event. cue may be NULL. */
	const char *(*error)(
		const struct cue *cue, unsigned status, const char *message, struct buf *out);

	/* Puts an event into its frame; bad: with a wrong checksum, where there is one. */
	void (*frame)(const char *name, struct slice data, bool bad, struct buf *out);
};

static const struct wire wire_anthropic = { "text/event-stream; charset=utf-8", anthropic_read,
	anthropic_whole, anthropic_event, anthropic_error, anthropic_frame };
static const struct wire wire_gemini = { "text/event-stream", gemini_read, gemini_whole,
	gemini_event, gemini_error, gemini_frame };
static const struct wire wire_bedrock = { "application/vnd.amazon.eventstream", bedrock_read,
	bedrock_whole, bedrock_event, bedrock_error, bedrock_frame };

/* The dialect that is spoken at this path (without its query), or NULL. */
static const struct wire *wire_of(struct slice path)
{
	if (slice_ends(path, "/messages"))
		return &wire_anthropic;
	if (slice_ends(path, ":generateContent") || slice_ends(path, ":streamGenerateContent"))
		return &wire_gemini;
	if (memmem(path.ptr, path.len, "/model/", 7) &&
		(slice_ends(path, "/converse") || slice_ends(path, "/converse-stream")))
		return &wire_bedrock;
	return NULL;
}

/* Reads a request into *n, whose head, query (the whole target) and body are set, and appends it to
 * *words as OpenAI's. 0, or the status of a refusal, which is in *words then. */
static unsigned wire_read(const struct wire *w, struct native *n, struct buf *words)
{
	const struct json_limits limits = { .max_depth = 200, .max_keys = 100000 };
	enum json_kind kind;
	struct err e;

	n->path = slice_cut(&n->query, '?');
	if (json_validate(n->body, &limits, &kind, &e))
		refuse(n, 400, "%s", e.message);
	else
		w->read(n, (struct json_value){ kind, slice_trim(n->body) });
	if (!n->why.len) {
		native_write(n, words);
		return 0;
	}
	buf_char(&n->why, '\0');
	w->error(NULL, n->status, n->why.data, words);
	return n->status;
}

/* Makes an answer to what n asked one in its dialect. */
static void wire_begin(const struct wire *w, const struct native *n, struct answer *a)
{
	a->wire = w;
	a->thinks = n->thinks;
	a->forced = json_str_decode(n->forced, &a->names[0]);
	a->calls |= a->forced;
}

/* Appends event i in its frame. False when the stream ends there. */
static bool wire_event(const struct answer *a, uint32_t i, struct buf *out)
{
	const struct cue *cue = &a->ask.cue;
	struct buf data = { .max_bytes = (size_t)128 << 20 };
	const char *name = NULL;
	bool more = true;

	if (i == cue->error_event) {
		name = a->wire->error(
			cue, cue->status ? cue->status : 500, "The fake provider gave up.", &data);
		more = false;
	} else {
		name = a->wire->event(a, i, &data);
		more = name != NULL;
	}
	if (more && i + 1 == cue->malformed)
		data.len /= 2;
	if (name)
		a->wire->frame(name, buf_slice(&data), i == cue->badcrc, out);
	buf_fini(&data);
	return more;
}

/* ---- pictures: the smallest there is, and one that is larger than a small limit ---- */

#define BIG_PICTURE 100000

static void picture_write(bool big, struct buf *out)
{
	static const unsigned char pixel[] = { 0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n', 0, 0, 0,
		13, 'I', 'H', 'D', 'R', 0, 0, 0, 1, 0, 0, 0, 1, 8, 6, 0, 0, 0, 0x1f, 0x15, 0xc4,
		0x89, 0, 0, 0, 13, 'I', 'D', 'A', 'T', 0x78, 0xda, 0x63, 0x64, 0x60, 0xf8, 0x5f,
		0x0f, 0, 2, 0x87, 1, 0x80, 0xeb, 0x47, 0xba, 0x92, 0, 0, 0, 0, 'I', 'E', 'N', 'D',
		0xae, 0x42, 0x60, 0x82 };

	buf_append(out, pixel, sizeof(pixel));
	while (big && out->len < BIG_PICTURE)
		buf_char(out, '\0');
}

#endif
