#include "base/aws_frames.h"

#include "base/crypto.h"

#include <stdio.h>

#define PRELUDE_BYTES 12
#define FRAME_MIN     (PRELUDE_BYTES + 4)
#define KEEP_BYTES    ((size_t)64 << 10) /* a larger buffer is not kept between frames */
#define NAME_SIZE     128                /* of an exception, with its "!"; longer ones are cut */

/* The types of a header's value. */
enum {
	TYPE_TRUE,
	TYPE_FALSE,
	TYPE_INT8,
	TYPE_INT16,
	TYPE_INT32,
	TYPE_INT64,
	TYPE_BYTES,
	TYPE_STRING,
	TYPE_TIME,
	TYPE_UUID,
	TYPE_COUNT
};

/* The headers that say what a frame is; the others are stepped over. */
struct headers {
	struct slice message_type, event_type, exception_type, error_code, error_message;
};

void aws_frames_init(struct aws_frames *f, size_t max_frame_bytes)
{
	*f = (struct aws_frames){ .max_frame_bytes = max_frame_bytes };
	buf_init(&f->frame, max_frame_bytes);
}

void aws_frames_fini(struct aws_frames *f)
{
	buf_fini(&f->frame);
}

static void forget(struct aws_frames *f)
{
	if (f->frame.cap > KEEP_BYTES)
		buf_fini(&f->frame);
	else
		buf_reset(&f->frame);
}

static enum err_code invalid(struct err *e, const char *what)
{
	return err_set(e, ERR_UPSTREAM_INVALID, "a frame of the event stream %s", what);
}

static uint32_t number(const char *at)
{
	const unsigned char *b = (const unsigned char *)at;

	return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}

/* ---- headers ---- */

/* Takes n bytes from the front of *rest. */
static bool take(struct slice *rest, size_t n, struct slice *out)
{
	if (n > rest->len)
		return false;
	*out = slice_first(*rest, n);
	*rest = slice_from(*rest, n);
	return true;
}

static bool take_value(struct slice *rest, unsigned type, struct slice *value)
{
	static const unsigned char bytes[TYPE_COUNT] = { [TYPE_INT8] = 1,
		[TYPE_INT16] = 2,
		[TYPE_INT32] = 4,
		[TYPE_INT64] = 8,
		[TYPE_TIME] = 8,
		[TYPE_UUID] = 16 };
	struct slice size;

	if (type >= TYPE_COUNT)
		return false;
	if (type != TYPE_STRING && type != TYPE_BYTES)
		return take(rest, bytes[type], value);
	return take(rest, 2, &size) &&
	       take(rest, (size_t)(unsigned char)size.ptr[0] << 8 | (unsigned char)size.ptr[1],
		       value);
}

static bool read_headers(struct slice rest, struct headers *h)
{
	const struct {
		const char *name;
		struct slice *out;
	} wanted[] = { { ":message-type", &h->message_type }, { ":event-type", &h->event_type },
		{ ":exception-type", &h->exception_type }, { ":error-code", &h->error_code },
		{ ":error-message", &h->error_message } };
	struct slice size, name, type, value;

	*h = (struct headers){ .message_type = { "", 0 } };
	while (rest.len) {
		if (!take(&rest, 1, &size) || !take(&rest, (unsigned char)size.ptr[0], &name) ||
			!take(&rest, 1, &type) ||
			!take_value(&rest, (unsigned char)type.ptr[0], &value))
			return false;
		for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++)
			if (type.ptr[0] == TYPE_STRING && slice_is(name, wanted[i].name))
				*wanted[i].out = value;
	}
	return true;
}

/* ---- frames ---- */

/* Reads the first 12 bytes: nothing behind them is waited for before they are known to be right. */
static enum err_code read_prelude(
	const struct aws_frames *f, const char *at, size_t *frame_bytes, struct err *e)
{
	size_t n = number(at), headers = number(at + 4);

	if (crypto_crc32((struct slice){ at, 8 }) != number(at + 8))
		return invalid(e, "has a wrong checksum in its first bytes");
	if (n > f->max_frame_bytes)
		return err_set(e, ERR_UPSTREAM_TOO_LARGE,
			"a frame of the event stream exceeds %zu bytes", f->max_frame_bytes);
	if (n < FRAME_MIN || headers > n - FRAME_MIN)
		return invalid(e, "has lengths that cannot be");
	*frame_bytes = n;
	return ERR_OK;
}

/* An exception or error: its name begins with "!". */
static enum err_code on_failure(const struct headers *h, struct slice payload,
	sse_on_event on_event, void *ctx, struct err *e)
{
	char name[NAME_SIZE] = "!", kind[NAME_SIZE - 1];
	struct buf data = { 0 };
	struct sse_event ev;
	enum err_code rc;

	/* Text, cut where it is too long; a NUL inside ends it. */
	snprintf(kind, sizeof(kind), "%.*s",
		SLICE_ARG(h->exception_type.len ? h->exception_type : h->error_code));
	str_copy_cut(name + 1, sizeof(name) - 1, kind);
	if (!payload.len) {
		buf_str(&data, "{\"message\":");
		buf_json_str(&data, h->error_message);
		buf_char(&data, '}');
		payload = buf_slice(&data);
	}
	ev = (struct sse_event){ slice_of(name), payload };
	rc = buf_ok(&data) ? on_event(ctx, &ev, e)
			   : err_set(e, ERR_NO_MEMORY, "no memory for an error of an event stream");
	buf_fini(&data);
	return rc;
}

static enum err_code on_frame(struct slice frame, sse_on_event on_event, void *ctx, struct err *e)
{
	size_t headers = number(frame.ptr + 4), end = frame.len - 4;
	struct slice payload = slice_from(slice_first(frame, end), PRELUDE_BYTES + headers);
	struct sse_event ev;
	struct headers h;

	if (crypto_crc32(slice_first(frame, end)) != number(frame.ptr + end))
		return invalid(e, "has a wrong checksum");
	if (!read_headers(slice_first(slice_from(frame, PRELUDE_BYTES), headers), &h))
		return invalid(e, "has a header that cannot be read");
	if (slice_is(h.message_type, "exception") || slice_is(h.message_type, "error"))
		return on_failure(&h, payload, on_event, ctx, e);
	ev = (struct sse_event){ h.event_type, payload };
	return on_event(ctx, &ev, e);
}

/* Fills the buffer up to want bytes; true when they are there. */
static bool fill(struct aws_frames *f, size_t want, struct slice *rest)
{
	struct slice piece = slice_first(*rest, want - f->frame.len);

	buf_slice_append(&f->frame, piece);
	*rest = slice_from(*rest, piece.len);
	return f->frame.len == want;
}

/* One frame, or as much of it as there is. */
static enum err_code step(
	struct aws_frames *f, struct slice *rest, sse_on_event on_event, void *ctx, struct err *e)
{
	size_t n;
	enum err_code rc;

	if (!f->frame.len && rest->len >= PRELUDE_BYTES) {
		rc = read_prelude(f, rest->ptr, &n, e);
		if (!rc && rest->len >= n) {
			struct slice frame = slice_first(*rest, n);

			*rest = slice_from(*rest, n);
			return on_frame(frame, on_event, ctx, e);
		}
		if (rc)
			return rc;
	}
	if (f->frame.len < PRELUDE_BYTES && !fill(f, PRELUDE_BYTES, rest))
		goto out;
	rc = read_prelude(f, f->frame.data, &n, e);
	if (rc)
		return rc;
	if (fill(f, n, rest)) {
		rc = on_frame(buf_slice(&f->frame), on_event, ctx, e);
		forget(f);
		return rc;
	}
out:
	return buf_ok(&f->frame)
		       ? ERR_OK
		       : err_set(e, ERR_NO_MEMORY, "no memory for a frame of an event stream");
}

enum err_code aws_frames_feed(struct aws_frames *f, const char *bytes, size_t n,
	sse_on_event on_event, void *ctx, struct err *e)
{
	struct slice rest = { bytes, n };
	enum err_code rc = ERR_OK;

	if (f->broken)
		return invalid(e, "followed one that was wrong");
	while (!rc && rest.len)
		rc = step(f, &rest, on_event, ctx, e);
	if (rc) {
		f->broken = true;
		forget(f);
	}
	return rc;
}

bool aws_frames_end(struct aws_frames *f)
{
	bool partial = f->frame.len > 0;

	forget(f);
	f->broken = false;
	return partial;
}
