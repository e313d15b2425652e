#include "base/sse.h"

#define KEEP_BYTES ((size_t)64 << 10) /* a buffer larger than this is not kept between events */

/* What one call of sse_feed or sse_end works with. */
struct feed {
	struct sse *s;
	sse_on_event on_event;
	void *ctx;
	struct err *e;
	struct slice lent; /* the only data line so far, where it stands; ptr NULL = none, or all
			    * data is in s->data */
};

void sse_init(struct sse *s, size_t max_event_bytes)
{
	*s = (struct sse){ .max_event_bytes = max_event_bytes };
	buf_init(&s->line, max_event_bytes);
	buf_init(&s->data, max_event_bytes);
}

void sse_fini(struct sse *s)
{
	buf_fini(&s->line);
	buf_fini(&s->data);
}

static void forget(struct buf *b)
{
	if (b->cap > KEEP_BYTES)
		buf_fini(b);
	else
		buf_reset(b);
}

static void forget_event(struct sse *s)
{
	forget(&s->data);
	s->has_data = false;
	s->name[0] = '\0';
}

static enum err_code too_large(const struct feed *f, const char *what)
{
	return err_set(f->e, ERR_UPSTREAM_TOO_LARGE, "%s of the event stream exceeds %zu bytes",
		what, f->s->max_event_bytes);
}

static enum err_code append(const struct feed *f, struct buf *b, struct slice bytes)
{
	buf_slice_append(b, bytes);
	return buf_ok(b) ? ERR_OK
			 : err_set(f->e, ERR_NO_MEMORY, "no memory for a line of an event stream");
}

/* Moves a lent line into the buffer: its bytes are about to go, or another follows. */
static enum err_code keep(struct feed *f)
{
	struct slice lent = f->lent;

	f->lent = (struct slice){ NULL, 0 };
	return append(f, &f->s->data, lent);
}

static enum err_code on_data(struct feed *f, struct slice value)
{
	struct sse *s = f->s;
	size_t before = f->lent.ptr ? f->lent.len : s->data.len;
	enum err_code rc;

	if (!s->has_data) {
		s->has_data = true;
		f->lent = value;
		return ERR_OK; /* no longer than its line, whose length was checked */
	}
	if (before + 1 + value.len > s->max_event_bytes)
		return too_large(f, "an event");
	rc = keep(f);
	if (!rc)
		rc = append(f, &s->data, SLICE("\n"));
	if (!rc)
		rc = append(f, &s->data, value);
	return rc;
}

static enum err_code dispatch(struct feed *f)
{
	struct sse *s = f->s;
	struct sse_event ev = { .name = slice_of(s->name),
		.data = f->lent.ptr ? f->lent : buf_slice(&s->data) };
	enum err_code rc = ERR_OK;

	if (ev.data.len)
		rc = f->on_event(f->ctx, &ev, f->e);
	f->lent = (struct slice){ NULL, 0 };
	forget_event(s);
	return rc;
}

static enum err_code on_line(struct feed *f, struct slice line)
{
	struct slice value = line, field;

	if (!line.len)
		return dispatch(f);
	if (line.ptr[0] == ':') {
		f->s->comments++;
		return ERR_OK;
	}
	field = slice_cut(&value, ':');
	if (value.len && value.ptr[0] == ' ')
		value = slice_from(value, 1);
	if (slice_is(field, "data"))
		return on_data(f, value.ptr ? value : SLICE(""));
	if (slice_is(field, "event")) {
		/* A NUL would end the name early for us alone; no server sends one. */
		value = slice_first(value, sizeof(f->s->name) - 1);
		value.len = utf8_whole(value);
		if (value.len)
			memcpy(f->s->name, value.ptr, value.len);
		f->s->name[value.len] = '\0';
	}
	return ERR_OK;
}

/* Steps over a BOM at the very start, which may itself be cut. */
static enum err_code skip_bom(struct feed *f, struct slice *bytes)
{
	static const char bom[] = "\xef\xbb\xbf";
	struct sse *s = f->s;

	while (s->bom < SSE_PAST_BOM && bytes->len) {
		if (bytes->ptr[0] != bom[s->bom]) { /* what looked like one is the first line */
			struct slice seen = { bom, s->bom };

			s->bom = SSE_PAST_BOM;
			return seen.len > s->max_event_bytes ? too_large(f, "a line")
							     : append(f, &s->line, seen);
		}
		*bytes = slice_from(*bytes, 1);
		if (++s->bom == sizeof(bom) - 1)
			s->bom = SSE_PAST_BOM;
	}
	return ERR_OK;
}

/* One line, or the rest that has no end yet. */
static enum err_code on_piece(struct feed *f, struct slice piece, bool ended)
{
	struct sse *s = f->s;
	enum err_code rc;

	if (piece.len > s->max_event_bytes - s->line.len)
		return too_large(f, "a line");
	if (s->line.len || !ended) {
		/* A lent line may stand in s->line, emptied but not yet overwritten. */
		rc = f->lent.ptr && !ended ? keep(f) : ERR_OK;
		if (!rc)
			rc = append(f, &s->line, piece);
		if (rc || !ended)
			return rc;
		piece = buf_slice(&s->line);
		buf_reset(&s->line);
	}
	return on_line(f, piece);
}

static enum err_code feed_lines(struct feed *f, struct slice rest)
{
	const char *end = rest.ptr + rest.len, *lf = NULL, *cr;
	const char *p = rest.ptr;
	enum err_code rc = ERR_OK;

	while (!rc && p < end) {
		const char *stop;

		if (f->s->skip_lf) {
			f->s->skip_lf = false;
			if (*p == '\n') {
				p++;
				continue;
			}
		}
		/* The next LF is looked for once, however many CRs stand before it. */
		if (!lf || lf < p) {
			lf = memchr(p, '\n', (size_t)(end - p));
			if (!lf)
				lf = end;
		}
		cr = memchr(p, '\r', (size_t)(lf - p));
		stop = cr ? cr : lf;
		rc = on_piece(f, (struct slice){ p, (size_t)(stop - p) }, stop < end);
		f->s->skip_lf = cr != NULL;
		p = stop < end ? stop + 1 : end;
	}
	return rc;
}

enum err_code sse_feed(
	struct sse *s, const char *bytes, size_t n, sse_on_event on_event, void *ctx, struct err *e)
{
	struct feed f = { .s = s, .on_event = on_event, .ctx = ctx, .e = e };
	struct slice rest = { bytes, n };
	enum err_code rc;

	if (!n)
		return ERR_OK;
	rc = skip_bom(&f, &rest);
	if (!rc)
		rc = feed_lines(&f, rest);
	if (!rc && f.lent.ptr)
		rc = keep(&f);
	if (rc) { /* half an event must not become a whole one later */
		forget(&s->line);
		forget_event(s);
	} else if (!s->line.len) {
		forget(&s->line);
	}
	return rc;
}

enum err_code sse_end(struct sse *s, sse_on_event on_event, void *ctx, bool *partial, struct err *e)
{
	struct feed f = { .s = s, .on_event = on_event, .ctx = ctx, .e = e };
	enum err_code rc = ERR_OK;
	unsigned bom = s->bom;

	*partial = s->line.len || s->has_data || s->name[0] || (bom > 0 && bom < SSE_PAST_BOM);
	if (s->line.len)
		rc = on_piece(&f, SLICE(""), true);
	if (!rc)
		rc = dispatch(&f);
	forget(&s->line);
	forget_event(s);
	s->bom = 0;
	s->skip_lf = false;
	return rc;
}
