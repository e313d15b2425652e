/* Any bytes: a stream fed whole and the same stream cut anywhere give the same events, the
 * same error and the same count of comments. The first byte of the input chooses the ceiling,
 * the second seeds the cuts. */
#include "base/sse.h"

#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static enum err_code collect(void *ctx, const struct sse_event *ev, struct err *e)
{
	struct buf *seen = ctx;

	(void)e;
	if (!ev->data.len)
		abort();
	buf_printf(seen, "%zu %zu ", ev->name.len, ev->data.len);
	buf_slice_append(seen, ev->name);
	buf_slice_append(seen, ev->data);
	return ERR_OK;
}

/* step 0 feeds all at once; else pieces of 1..step bytes, chosen by seed. */
static void run(struct slice text, size_t max, unsigned step, unsigned seed, struct buf *seen)
{
	enum err_code rc = ERR_OK;
	bool partial = false;
	struct sse s;

	sse_init(&s, max);
	while (text.len && !rc) {
		size_t n = text.len;
		char *piece;

		seed = seed * 1103515245 + 12345;
		if (step && n > 1 + (seed >> 16) % step)
			n = 1 + (seed >> 16) % step;
		piece = malloc(n); /* gone after the feed, so a slice kept too long is seen */
		if (!piece)
			abort();
		memcpy(piece, text.ptr, n);
		rc = sse_feed(&s, piece, n, collect, seen, NULL);
		free(piece);
		text = slice_from(text, n);
	}
	if (!rc)
		rc = sse_end(&s, collect, seen, &partial, NULL);
	/* A line cut by the ceiling is or is not a comment yet: not compared after an error. */
	buf_printf(seen, " %d %d %d", rc, partial, rc ? 0 : (int)s.comments);
	sse_fini(&s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf whole = { 0 }, cut = { 0 };
	struct slice text = { (const char *)data + 2, size - 2 };

	if (size < 2)
		return 0;
	run(text, 1 + (size_t)data[0] * 8, 0, 0, &whole);
	for (unsigned step = 1; step <= 16; step *= 4) {
		buf_reset(&cut);
		run(text, 1 + (size_t)data[0] * 8, step, data[1], &cut);
		if (!slice_eq(buf_slice(&whole), buf_slice(&cut))) {
			fprintf(stderr, "pieces of up to %u bytes give other events\n", step);
			abort();
		}
	}
	buf_fini(&whole);
	buf_fini(&cut);
	return 0;
}
