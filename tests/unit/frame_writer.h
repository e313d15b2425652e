/* tests/unit/frame_writer.h - writes the binary frames that base/aws_frames.h reads. */
#ifndef TESTS_UNIT_FRAME_WRITER_H
#define TESTS_UNIT_FRAME_WRITER_H

#include "base/buf.h"
#include "base/crypto.h"

static inline void frame_put32(struct buf *out, uint32_t n)
{
	const char bytes[4] = { (char)(n >> 24), (char)(n >> 16), (char)(n >> 8), (char)n };

	buf_append(out, bytes, sizeof(bytes));
}

/* A header of the type string. */
static inline void frame_put_header(struct buf *out, const char *name, struct slice value)
{
	buf_char(out, (char)strlen(name));
	buf_str(out, name);
	buf_char(out, 7);
	buf_char(out, (char)(value.len >> 8));
	buf_char(out, (char)value.len);
	buf_slice_append(out, value);
}

/* Appends a frame around these headers, as they are. */
static inline void frame_put(struct buf *out, struct slice headers, struct slice payload)
{
	size_t from = out->len;

	frame_put32(out, (uint32_t)(headers.len + payload.len + 16));
	frame_put32(out, (uint32_t)headers.len);
	frame_put32(out, crypto_crc32(slice_from(buf_slice(out), from)));
	buf_slice_append(out, headers);
	buf_slice_append(out, payload);
	frame_put32(out, crypto_crc32(slice_from(buf_slice(out), from)));
}

/* Appends the frame of an event; of an exception when its name begins with "!". */
static inline void frame_put_event(struct buf *out, struct slice name, struct slice payload)
{
	bool failure = slice_starts(name, "!");
	struct buf headers = { 0 };

	frame_put_header(&headers, failure ? ":exception-type" : ":event-type",
		slice_from(name, failure ? 1 : 0));
	frame_put_header(&headers, ":content-type", SLICE("application/json"));
	frame_put_header(&headers, ":message-type", failure ? SLICE("exception") : SLICE("event"));
	frame_put(out, buf_slice(&headers), payload);
	buf_fini(&headers);
}

/* Appends a frame for each line "name {json}" or "!exception {json}" of text. */
static inline void frame_put_lines(struct buf *out, struct slice text)
{
	while (text.len) {
		struct slice line = slice_trim(slice_cut(&text, '\n')), name;

		if (!line.len)
			continue;
		name = slice_cut(&line, ' ');
		frame_put_event(out, name, line.ptr ? line : SLICE(""));
	}
}

#endif
