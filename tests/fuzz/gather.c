/* Any text as the events of a stream: what it becomes is valid JSON, and told as events that
 * becomes a whole again; of a stream that became a whole, no piece that ends inside of its last
 * event does. With every chunk taken apart anew, because blanks stand in it, it becomes the same.
 */
#include "gateway/providers/gather.h"

#include "base/json.h"

#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(claim) \
	do { \
		if (!(claim)) { \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #claim); \
			abort(); \
		} \
	} while (0)

static void tell_again(struct slice json)
{
	struct answer a = { .text_bytes = 0 };
	struct buf events = { 0 }, again = { 0 };

	buf_slice_append(&a.json, json);
	/* json-c reads no numbers beyond 64 bits, and no NUL in names. */
	if (!answer_write_events(&a, &events, NULL))
		CHECK(!gather_events(buf_slice(&events), SLICE(""), &again, NULL));
	buf_fini(&events);
	buf_fini(&again);
	answer_fini(&a);
}

/* With more and more blanks in front of the chunks, none is like the one before. */
static void take_all_apart(struct slice events, struct slice want)
{
	struct buf apart = { .max_bytes = 4 << 20 }, out = { 0 };
	struct slice rest = events;
	size_t n = 0;

	while (rest.len) {
		struct slice line = slice_cut(&rest, '\n');

		if (slice_starts(line, "data:{") || slice_starts(line, "data: {")) {
			(void)slice_cut(&line, '{');
			buf_str(&apart, "data: {");
			for (size_t i = 0; i < n % 50; i++)
				buf_char(&apart, ' ');
			n++;
		}
		buf_slice_append(&apart, line);
		buf_char(&apart, '\n');
	}
	if (buf_ok(&apart)) {
		CHECK(!gather_events(buf_slice(&apart), SLICE(""), &out, NULL));
		CHECK(slice_eq(buf_slice(&out), want));
	}
	buf_fini(&apart);
	buf_fini(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice events = { (const char *)data, size };
	struct buf out = { 0 }, cut = { 0 };
	struct err e = { 0 };
	enum err_code rc = gather_events(events, SLICE(""), &out, &e);

	gather_usage_chunk(events, SLICE("{}"), &cut);
	buf_reset(&cut);
	if (rc) {
		CHECK(rc == ERR_UPSTREAM_INVALID && e.message[0] && !out.len);
	} else {
		CHECK(!json_validate(buf_slice(&out), &tongue_limits, NULL, NULL));
		take_all_apart(events, buf_slice(&out));
		tell_again(buf_slice(&out));
		for (size_t n = size - 1; n && n + 40 > size && events.ptr[n - 1] != '\n'; n--)
			CHECK(gather_events(slice_first(events, n), SLICE(""), &cut, NULL));
	}
	buf_fini(&out);
	buf_fini(&cut);
	return 0;
}
