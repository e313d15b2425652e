/* Any bytes from a web server: a request cut at every read gives the same parameters and body as
 * one that comes at once, or neither gives one. The first byte of the input says how much comes at
 * a time. */
#include "base/buf.h"
#include "base/clock.h"
#include "fcgi/input.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define PATIENCE_MS 60000

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* All that can be read, and how it ends. SOCK_SEQPACKET keeps the cuts. */
static void run(struct slice text, size_t step, struct buf *seen)
{
	struct slice piece;
	struct input *in;
	enum input_read rc;
	const char *name;
	int fd[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fd))
		abort();
	while (text.len) {
		piece = slice_first(text, step);
		text = slice_from(text, piece.len);
		if (send(fd[1], piece.ptr, piece.len, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
			break;
	}
	close(fd[1]);
	in = input_open(fd[0], clock_mono_ms() + PATIENCE_MS);
	buf_str(seen, in ? "yes " : "no ");
	if (!in)
		return;
	buf_printf(seen, "%u %d ", input_request_id(in), input_is_for_responder(in));
	buf_printf(seen, "%d ", (int)input_fault(in, &name));
	if (name)
		buf_str(seen, name);
	for (char **p = input_params(in); *p; p++) {
		if (!strchr(*p, '='))
			abort();
		buf_append(seen, *p, strlen(*p) + 1);
	}
	while ((rc = input_read(in, clock_mono_ms() + PATIENCE_MS, &piece)) == INPUT_BYTES)
		buf_slice_append(seen, piece);
	if (rc == INPUT_TIMEOUT) /* the connection has ended, so there is nothing to wait for */
		abort();
	buf_printf(seen, " %d", rc);
	input_close(in);
	close(fd[0]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf whole = { 0 }, cut = { 0 };
	struct slice text = { (const char *)data + 1, size - 1 };
	size_t step = size ? 1 + data[0] % 64u : 1;

	/* A packet takes some 700 bytes of a queue of 200 KB. */
	if (size < 2 || size > 8000 || text.len / step > 200)
		return 0;
	run(text, 8000, &whole);
	run(text, step, &cut);
	if (!slice_eq(buf_slice(&whole), buf_slice(&cut))) {
		fprintf(stderr, "pieces of %zu bytes give another request\n", step);
		abort();
	}
	buf_fini(&whole);
	buf_fini(&cut);
	return 0;
}
