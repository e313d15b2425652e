/* tests/fake/record.h - what the fake provider remembers of the requests it saw: a ring of
 * RECORD_MAX, shown by GET /_fake/log. Header-only, see cue.h.
 *
 * {"now_ms":…,"connections":N,"open":N,"requests":[{"id","method","path","headers":{…},
 *   "body_bytes","body_sha256","body","at_ms","first_ms","events","event_ms":[…],"done_ms",
 *   "cancelled_ms","state":"open|done|cancelled"}]}
 *
 * Times are CLOCK_MONOTONIC in milliseconds, comparable with those of any process of this
 * machine. "body" is null above RECORD_BODY bytes, times that never came are null, and an
 * Authorization value shows its last four characters only.
 */
#ifndef FAKE_RECORD_H
#define FAKE_RECORD_H

#include "base/buf.h"
#include "base/clock.h"
#include "base/crypto.h"

#include <stdlib.h>

#define RECORD_MAX    4096
#define RECORD_BODY   ((size_t)64 << 10)
#define RECORD_EVENTS 1024 /* events whose time is kept */

struct record {
	uint64_t id;
	struct buf head; /* request line and header lines */
	struct buf body;
	size_t body_bytes;
	char sha[2 * SHA256_BYTES + 1];
	int64_t at_us, first_us, done_us, cancelled_us; /* 0 = not yet */
	uint32_t events;
	int64_t *event_us;
	bool in_use; /* a connection still points here */
};

struct records {
	struct record *ring[RECORD_MAX];
	uint64_t made;
	uint64_t connections;
	bool off;
};

static void record_free(struct record *r)
{
	if (!r)
		return;
	buf_fini(&r->head);
	buf_fini(&r->body);
	free(r->event_us);
	free(r);
}

/* Lends a new record, or NULL when recording is off. The connection lets go with
 * record_leave(). */
static struct record *record_new(struct records *rs, struct slice head, struct slice body)
{
	struct record **place = &rs->ring[rs->made % RECORD_MAX], *r;
	uint8_t hash[SHA256_BYTES];

	if (rs->off)
		return NULL;
	r = calloc(1, sizeof(*r));
	if (!r)
		abort();
	if (*place && (*place)->in_use)
		(*place)->id = 0; /* freed by record_leave() */
	else
		record_free(*place);
	*place = r;
	r->id = ++rs->made;
	r->in_use = true;
	r->at_us = clock_mono_us();
	r->body_bytes = body.len;
	buf_slice_append(&r->head, head);
	if (body.len <= RECORD_BODY)
		buf_slice_append(&r->body, body);
	crypto_sha256(body, hash);
	crypto_hex(hash, sizeof(hash), r->sha);
	return r;
}

static void record_leave(struct record *r)
{
	if (!r)
		return;
	r->in_use = false;
	if (!r->id)
		record_free(r);
}

static void record_event(struct record *r)
{
	if (!r)
		return;
	if (!r->event_us)
		r->event_us = calloc(RECORD_EVENTS, sizeof(*r->event_us));
	if (!r->event_us)
		abort();
	if (r->events < RECORD_EVENTS)
		r->event_us[r->events] = clock_mono_us();
	r->events++;
}

/* Forgets what was seen so far. */
static void records_reset(struct records *rs)
{
	for (size_t i = 0; i < RECORD_MAX; i++) {
		struct record *r = rs->ring[i];

		if (r && r->in_use)
			r->id = 0;
		else
			record_free(r);
		rs->ring[i] = NULL;
	}
	rs->connections = 0;
}

static void record_time(struct buf *out, const char *name, int64_t us)
{
	if (us)
		buf_printf(out, ",\"%s\":%.3f", name, (double)us / 1000);
	else
		buf_printf(out, ",\"%s\":null", name);
}

static void record_headers(struct slice lines, struct buf *out)
{
	struct slice line, name;
	bool first = true;

	buf_str(out, "{");
	while (lines.len) {
		line = slice_trim(slice_cut(&lines, '\n'));
		name = slice_cut(&line, ':');
		line = slice_trim(line);
		if (!name.len)
			continue;
		buf_str(out, first ? "" : ",");
		buf_json_str(out, name);
		buf_char(out, ':');
		if (slice_is_nocase(name, "authorization") && line.len > 4) {
			buf_str(out, "\"***");
			buf_append(out, line.ptr + line.len - 4, 4);
			buf_char(out, '"');
		} else {
			buf_json_str(out, line);
		}
		first = false;
	}
	buf_char(out, '}');
}

static void record_write(const struct record *r, struct buf *out)
{
	struct slice lines = buf_slice(&r->head), line = slice_cut(&lines, '\n');

	buf_printf(out, "{\"id\":%llu,\"method\":", (unsigned long long)r->id);
	buf_json_str(out, slice_cut(&line, ' '));
	buf_str(out, ",\"path\":");
	buf_json_str(out, slice_cut(&line, ' '));
	buf_str(out, ",\"headers\":");
	record_headers(lines, out);
	buf_printf(
		out, ",\"body_bytes\":%zu,\"body_sha256\":\"%s\",\"body\":", r->body_bytes, r->sha);
	if (r->body_bytes <= RECORD_BODY)
		buf_json_str(out, buf_slice(&r->body));
	else
		buf_str(out, "null");
	record_time(out, "at_ms", r->at_us);
	record_time(out, "first_ms", r->first_us);
	record_time(out, "done_ms", r->done_us);
	record_time(out, "cancelled_ms", r->cancelled_us);
	buf_printf(out, ",\"events\":%u,\"event_ms\":[", r->events);
	for (uint32_t i = 0; i < r->events && i < RECORD_EVENTS; i++)
		buf_printf(out, "%s%.3f", i ? "," : "", (double)r->event_us[i] / 1000);
	buf_printf(out, "],\"state\":\"%s\"}",
		r->cancelled_us ? "cancelled"
		: r->done_us    ? "done"
				: "open");
}

static void records_write(const struct records *rs, size_t open, struct buf *out)
{
	bool first = true;

	buf_printf(out, "{\"now_ms\":%.3f,\"connections\":%llu,\"open\":%zu,\"requests\":[",
		(double)clock_mono_us() / 1000, (unsigned long long)rs->connections, open);
	for (uint64_t i = 0; i < RECORD_MAX; i++) {
		const struct record *r = rs->ring[(rs->made + i) % RECORD_MAX];

		if (!r)
			continue;
		buf_str(out, first ? "" : ",");
		record_write(r, out);
		first = false;
	}
	buf_str(out, "]}");
}

#endif
