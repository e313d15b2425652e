/* Any bytes: frames fed whole and the same frames cut anywhere give the same events and the same
 * error. The first byte of the input chooses the ceiling, the second seeds the cuts and says
 * whether checksums are put right first, without which nothing gets behind them. */
#include "base/aws_frames.h"
#include "base/crypto.h"

#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static enum err_code collect(void *ctx, const struct sse_event *ev, struct err *e)
{
	struct buf *seen = ctx;

	(void)e;
	buf_printf(seen, "%zu %zu ", ev->name.len, ev->data.len);
	buf_slice_append(seen, ev->name);
	buf_slice_append(seen, ev->data);
	return ERR_OK;
}

static uint32_t number(const uint8_t *at)
{
	return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static void put_checksum(uint8_t *frame, size_t at)
{
	uint32_t crc = crypto_crc32((struct slice){ (const char *)frame, at });

	for (int i = 0; i < 4; i++)
		frame[at + (size_t)i] = (uint8_t)(crc >> (24 - 8 * i));
}

static void put_right(uint8_t *at, size_t left)
{
	while (left >= 16) {
		size_t n = number(at);

		put_checksum(at, 8);
		if (n < 16 || n > left)
			return;
		put_checksum(at, n - 4);
		at += n;
		left -= n;
	}
}

/* step 0 feeds all at once; else pieces of 1..step bytes, chosen by seed. */
static void run(struct slice text, size_t max, unsigned step, unsigned seed, struct buf *seen)
{
	enum err_code rc = ERR_OK;
	struct aws_frames f;
	bool partial;

	aws_frames_init(&f, max);
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
		rc = aws_frames_feed(&f, piece, n, collect, seen, NULL);
		free(piece);
		text = slice_from(text, n);
	}
	partial = aws_frames_end(&f);
	buf_printf(seen, " %d %d", rc, partial);
	aws_frames_fini(&f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf whole = { 0 }, cut = { 0 }, text = { 0 };
	size_t max;

	if (size < 2)
		return 0;
	max = 16 + (size_t)data[0] * 8;
	buf_append(&text, data + 2, size - 2);
	if (text.data && data[1] & 1)
		put_right((uint8_t *)text.data, text.len);
	run(buf_slice(&text), max, 0, 0, &whole);
	for (unsigned step = 1; step <= 16; step *= 4) {
		buf_reset(&cut);
		run(buf_slice(&text), max, step, data[1], &cut);
		if (!slice_eq(buf_slice(&whole), buf_slice(&cut))) {
			fprintf(stderr, "pieces of up to %u bytes give other events\n", step);
			abort();
		}
	}
	buf_fini(&whole);
	buf_fini(&cut);
	buf_fini(&text);
	return 0;
}
