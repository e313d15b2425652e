/* tests/fake/put.h - puts answers into a connection's buffer, whole or event by event, with
 * whatever the cues want wrong about them. Nothing is sent here. Header-only, see cue.h.
 */
#ifndef FAKE_PUT_H
#define FAKE_PUT_H

#include "tests/fake/conn.h"
#include "tests/fake/dialects.h"

#include <stdio.h>

static void put_head(
	struct conn *c, unsigned status, const char *type, const char *extra, int64_t length)
{
	buf_printf(&c->out, "HTTP/1.1 %u %s\r\nContent-Type: %s\r\n%s", status,
		status < 300 ? "OK" : "Refused", type, extra);
	if (length >= 0)
		buf_printf(&c->out, "Content-Length: %lld\r\n", (long long)length);
	else if (c->chunked)
		buf_str(&c->out, "Transfer-Encoding: chunked\r\n");
	buf_printf(&c->out,
		"x-request-id: fake-%llu\r\nx-ratelimit-remaining-requests: 99\r\n%s\r\n",
		(unsigned long long)fake.answers, c->close_at_end ? "Connection: close\r\n" : "");
	c->head_sent = true;
}

static void put_json(struct conn *c, unsigned status, struct slice body)
{
	put_head(c, status, "application/json", "", (int64_t)body.len);
	buf_slice_append(&c->out, body);
	c->phase = ENDING;
}

static void put_refusal(struct conn *c, unsigned status, const char *message)
{
	struct buf b = { 0 };

	buf_str(&b, "{\"error\":{\"message\":");
	buf_json_cstr(&b, message);
	buf_str(&b, ",\"type\":\"fake_error\",\"param\":null,\"code\":\"fake_code\"}}");
	put_json(c, status, buf_slice(&b));
	buf_fini(&b);
}

#define BOMB_BYTES 2000000

/* A body that grows some 150-fold when unpacked: one literal, then matches of 258 bytes at
 * distance 1 in a block of fixed Huffman codes (RFC 1951 section 3.2.6). Eight such matches
 * are exactly 13 bytes, so the block is one pattern over and over. */
static void put_bomb(struct conn *c)
{
	static const unsigned char head[] = { 0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255 };
	struct buf b = { .max_bytes = (size_t)4 << 20 };
	uint32_t bits = 0;
	unsigned n = 0;

	buf_append(&b, head, sizeof(head));
#define PUT(bit) \
	do { \
		bits |= (uint32_t)(bit) << n; \
		if (++n == 8) { \
			buf_char(&b, (char)bits); \
			bits = 0; \
			n = 0; \
		} \
	} while (0)
	PUT(1); /* the last block */
	PUT(1); /* fixed codes: 01, low bit first */
	PUT(0);
	for (int i = 7; i >= 0; i--)
		PUT(((0x30 + 'x') >> i) & 1);
	for (unsigned k = 0; k < 16; k++) {
		for (int i = 7; i >= 0; i--)
			PUT((0xc5 >> i) & 1); /* length 258 */
		for (int i = 0; i < 5; i++)
			PUT(0); /* distance 1 */
	}
	while (b.len < BOMB_BYTES)
		buf_append(&b, (const char[]){ b.data[b.len - 13] }, 1);
#undef PUT
	buf_append(&b, "\0\0\0\0\0\0\0\0\0\0", 10);
	put_head(c, 200, "application/json", "Content-Encoding: gzip\r\n", (int64_t)b.len);
	c->out.max_bytes = (size_t)8 << 20;
	buf_slice_append(&c->out, buf_slice(&b));
	buf_fini(&b);
	c->phase = ENDING;
}

/* What a refusal says; its code in OpenAI's shape is *code. */
static void refusal_words(
	const struct cue *cue, unsigned status, struct buf *message, const char **code)
{
	if (cue->context)
		buf_str(message, "prompt is too long: 210000 tokens > 200000 maximum");
	else if (cue->filter)
		buf_str(message, "The prompt goes against the content management policy.");
	else
		buf_printf(message, "The fake provider refuses with %u.", status);
	*code = cue->context  ? "context_length_exceeded"
		: cue->filter ? "content_filter"
			      : "fake_code";
}

static void put_whole(struct conn *c)
{
	const struct cue *cue = &c->answer->ask.cue;
	unsigned status = cue->status ? cue->status : 200;
	struct buf b = { .max_bytes = BODY_MAX }, why = { 0 };
	const char *type = "application/json", *code;
	char extra[64] = "";

	refusal_words(cue, status, &why, &code);
	c->out.max_bytes = 2 * BODY_MAX;
	if (c->answer->wire == &wire_bedrock && cue->status)
		snprintf(extra, sizeof(extra), "x-amzn-ErrorType: %s:\r\n",
			bedrock_error_type(cue->status));
	else if (cue->retry_after[0] && c->answer->wire != &wire_gemini)
		snprintf(extra, sizeof(extra), "Retry-After: %s\r\n", cue->retry_after);
	if (cue->body == BODY_ANSWER && c->answer->wire) {
		c->answer->wire->whole(c->answer, &b);
	} else if (cue->body == BODY_ANSWER) {
		c->answer->shape->write(c->answer, &b);
	} else if (cue->body == BODY_HTML) {
		type = "text/html";
		buf_str(&b, "<html><head><title>Oops</title></head><body><h1>It broke</h1></body>"
			    "</html>\n");
	} else if (cue->body == BODY_GARBAGE) {
		buf_append(&b, "\x80\x01{\"id\":,,]\0\xff not json", 22);
	} else if (cue->body != BODY_EMPTY && c->answer->wire) {
		c->answer->wire->error(cue, status, buf_cstr(&why), &b);
	} else if (cue->body != BODY_EMPTY) {
		buf_str(&b, "{\"error\":{\"message\":");
		buf_json_str(&b, buf_slice(&why));
		buf_printf(&b, ",\"type\":\"fake_error\",\"param\":null,\"code\":\"%s\"}}", code);
	}
	buf_fini(&why);
	put_head(c, status, type, extra, (int64_t)b.len + cue->bigline);
	c->phase = ENDING;
	if (cue->silence || cue->stall != CUE_NEVER)
		c->phase = PARKED;
	if (cue->cut != CUE_NEVER || cue->reset_after != CUE_NEVER)
		c->close_at_end = true;
	c->reset_at_end = cue->reset_after != CUE_NEVER;
	if (c->phase == PARKED || c->close_at_end)
		b.len = cue->silence ? 0 : b.len / 2;
	if (cue->bigline) { /* blanks follow the text */
		c->bigline_left = cue->bigline;
		c->close_at_end = true;
	}
	buf_slice_append(&c->out, buf_slice(&b));
	buf_fini(&b);
}

static void put_stream_head(struct conn *c)
{
	const struct wire *wire = c->answer->wire;

	put_head(c, 200, wire ? wire->stream_type : "text/event-stream; charset=utf-8",
		"Cache-Control: no-cache\r\n", -1);
}

/* Bytes of the stream, in a chunk of their own where there are chunks. */
static void put_stream(struct conn *c, struct slice bytes)
{
	if (c->chunked)
		buf_printf(&c->out, "%zx\r\n", bytes.len);
	buf_slice_append(&c->out, bytes);
	if (c->chunked)
		buf_str(&c->out, "\r\n");
}

static void end_stream(struct conn *c, bool properly)
{
	if (c->chunked && properly)
		buf_str(&c->out, "0\r\n\r\n");
	if (!properly)
		c->close_at_end = true;
	c->phase = ENDING;
}

/* Makes the next event; false when the stream rests or ends. */
static bool put_event(struct conn *c)
{
	const struct cue *cue = &c->answer->ask.cue;
	struct buf b = { .max_bytes = BODY_MAX };
	bool more = true, properly = true;
	char *last;

	if (c->next == cue->stall || cue->silence) {
		c->phase = PARKED;
		return false;
	}
	if (c->next == cue->reset_after) {
		c->reset_at_end = c->close_at_end = true;
		c->phase = ENDING;
		return false;
	}
	buf_str(&b, "data: ");
	if (cue->bigline && c->next == 1) {
		buf_str(&b, "{\"filler\":\"");
		put_stream(c, buf_slice(&b));
		buf_fini(&b);
		c->bigline_left = cue->bigline;
		c->phase = ENDING;
		c->close_at_end = true;
		return false;
	}
	if (cue->nothing) {
		b.len = 0;
		more = false;
	} else if (c->answer->wire) {
		b.len = 0;
		more = wire_event(c->answer, c->next, &b);
	} else if (c->next == cue->error_event) {
		buf_str(&b, "{\"error\":{\"message\":\"The fake provider gave up.\",\"type\":"
			    "\"server_error\",\"param\":null,\"code\":\"fake_code\"}}");
		more = false;
	} else {
		more = c->answer->shape->event(c->answer, c->next, &b);
		if (!more)
			b.len = 0;
	}
	if (b.len && !c->answer->wire)
		buf_str(&b, cue->crlf ? "\r\n\r\n" : "\n\n");
	if (c->next == cue->cut) {
		b.len /= 2;
		more = false;
		properly = cue->clean;
	}
	last = b.len ? memmem(b.data, b.len, "\xf0\x9f\x98\x80", 4) : NULL;
	if (cue->cut_utf8 && last) {
		b.len = (size_t)(last - b.data) + 2;
		more = false;
		properly = cue->clean;
	}
	if (b.len) {
		put_stream(c, buf_slice(&b));
		record_event(c->record);
		c->next++;
	}
	buf_fini(&b);
	if (!more && properly && cue->nodone && cue->hold)
		c->phase = PARKED;
	else if (!more)
		end_stream(c, properly);
	return more;
}

static void put_filler(struct conn *c)
{
	static char filler[16384];
	size_t n = c->bigline_left < sizeof(filler) ? c->bigline_left : sizeof(filler);

	memset(filler, c->chunked ? 'x' : ' ', sizeof(filler));
	put_stream(c, (struct slice){ filler, n });
	c->bigline_left -= n;
}

static void first_token(struct conn *c)
{
	const struct ask *ask = &c->answer->ask;

	if (ask->cue.gzip) {
		put_bomb(c);
		return;
	}
	if (!ask->stream || ask->cue.jsonstream || ask->cue.body != BODY_ANSWER) {
		c->chunked = false;
		put_whole(c);
		return;
	}
	if (!c->head_sent)
		put_stream_head(c);
	c->phase = EVENTS;
}

#endif
