#include "store/flights_redis.h"

#include "base/clock.h"

#include <stdio.h>
#include <stdlib.h>

#define RECORDS   "4"     /* of one reading: 1 MiB at most */
#define FIRST     "0-0"   /* before the first record */
#define WANTED_MS "10000" /* of what a process wants that is gone */
#define LOOK_MS   200     /* how often one without a client looks whether the program ends */

struct relay {
	struct flight f;
	struct far *far;
	struct flight *local; /* NULL: ended, with all that there was */
	struct far_claim claim;
	char last[48]; /* id of the last record that was taken */
	int64_t began_ms;
	bool has_hello, has_who, lost;
	struct flight_who who;
};

static struct relay *relay_of(struct flight *f)
{
	return (struct relay *)(void *)f;
}

/* ---- records ---- */

static enum flight_news take_who(struct relay *r, struct slice bytes)
{
	if (bytes.len != sizeof(r->who))
		return FLIGHT_LOST;
	memcpy(&r->who, bytes.ptr, sizeof(r->who));
	if (!memchr(r->who.model, '\0', sizeof(r->who.model)) ||
		!memchr(r->who.provider, '\0', sizeof(r->who.provider)))
		return FLIGHT_LOST;
	r->has_who = true;
	flight_begin(r->local, &r->who);
	return FLIGHT_QUIET;
}

static enum flight_news take_entry(
	struct relay *r, struct slice bytes, struct buf *out, struct cache_entry *entry)
{
	size_t at = out->len;

	buf_slice_append(out, bytes);
	if (!buf_ok(out) || !flight_entry_read(slice_from(buf_slice(out), at), entry))
		return FLIGHT_LOST;
	flight_end(r->local, entry);
	r->local = NULL;
	return FLIGHT_WHOLE;
}

static enum flight_news take_record(struct relay *r, struct slice name, struct slice bytes,
	struct buf *out, struct cache_entry *entry)
{
	r->has_hello = true;
	if (slice_is(name, "h"))
		return FLIGHT_QUIET;
	if (slice_is(name, "w"))
		return r->has_who ? FLIGHT_QUIET : take_who(r, bytes);
	if (slice_is(name, "e") && r->has_who)
		return take_entry(r, bytes, out, entry);
	if (!slice_is(name, "d") || !r->has_who)
		return FLIGHT_LOST;
	buf_slice_append(out, bytes);
	flight_write(r->local, bytes);
	return buf_ok(out) ? FLIGHT_MORE : FLIGHT_LOST;
}

/* [[stream, [[id, [name, bytes]], …]]] */
static enum flight_news take_records(
	struct relay *r, const struct redis_value *v, struct buf *out, struct cache_entry *entry)
{
	enum flight_news news = FLIGHT_QUIET;
	const struct redis_value *records;

	if (v->kind == REDIS_NIL)
		return FLIGHT_QUIET;
	if (v->kind != REDIS_ARRAY || v->count != 1 || v->items[0].count != 2)
		return FLIGHT_LOST;
	records = &v->items[0].items[1];
	for (size_t i = 0; i < records->count; i++) {
		const struct redis_value *record = &records->items[i];
		const struct redis_value *field = record->count == 2 ? &record->items[1] : NULL;
		enum flight_news one;

		if (!field || field->count != 2)
			return FLIGHT_LOST;
		/* Events are told first; the end, the next time. */
		if (news == FLIGHT_MORE && !slice_is(field->items[0].text, "d"))
			return news;
		one = take_record(r, field->items[0].text, field->items[1].text, out, entry);
		if (one == FLIGHT_LOST || one == FLIGHT_WHOLE)
			return one;
		if (one == FLIGHT_MORE)
			news = one;
		if (!slice_copy(record->items[0].text, r->last, sizeof(r->last)))
			return FLIGHT_LOST;
	}
	return news;
}

/* ---- reading ---- */

struct number {
	char text[24];
};

static struct number number_of(int64_t n)
{
	struct number out;

	snprintf(out.text, sizeof(out.text), "%lld", (long long)n);
	return out;
}

/* What is new within block_ms (0: now); *claimed: its leader still has it. */
static enum flight_news fetch(struct relay *r, int64_t block_ms, struct buf *out,
	struct cache_entry *entry, bool *claimed)
{
	struct redis_reply replies[2] = { { .own = NULL } };
	struct number ms = number_of(block_ms);
	const struct slice stream = slice_of(r->claim.stream),
			   get[] = { SLICE("GET"), slice_of(r->claim.name) },
			   waits[] = { SLICE("XREAD"), SLICE("COUNT"), SLICE(RECORDS),
				   SLICE("BLOCK"), slice_of(ms.text), SLICE("STREAMS"), stream,
				   slice_of(r->last) },
			   looks[] = { SLICE("XREAD"), SLICE("COUNT"), SLICE(RECORDS),
				   SLICE("STREAMS"), stream, slice_of(r->last) };
	enum flight_news news = FLIGHT_LOST;
	struct redis_command commands[] = { { looks, 6, 4 }, { get, 2, 1 } };

	if (block_ms > 0)
		commands[0] = (struct redis_command){ waits, 8, 6 };
	*claimed = false;
	if (!redis_calls(r->far->redis, commands, 2, replies, NULL)) {
		*claimed = slice_is(replies[1].value.text, r->claim.token);
		news = take_records(r, &replies[0].value, out, entry);
	}
	redis_reply_fini(&replies[0]);
	redis_reply_fini(&replies[1]);
	return news;
}

/* One look; FLIGHT_LOST when nobody is there who could say more. */
static enum flight_news look(
	struct relay *r, int64_t block_ms, struct buf *out, struct cache_entry *entry)
{
	bool claimed, still;
	enum flight_news news = fetch(r, block_ms, out, entry, &claimed);

	if (news != FLIGHT_QUIET)
		return news;
	if (!claimed) {
		/* The last words come before the claim goes, and so may have been missed. */
		news = fetch(r, 0, out, entry, &still);
		return news == FLIGHT_QUIET ? FLIGHT_LOST : news;
	}
	if (!r->has_hello && clock_mono_ms() - r->began_ms > FAR_HELLO_MS) {
		/* A claim that nobody stands behind would be found again at once. */
		far_unclaim(r->far, &r->claim);
		return FLIGHT_LOST;
	}
	return FLIGHT_QUIET;
}

static enum flight_news read_news(struct flight *f, struct buf *out, struct flight_who *who,
	struct cache_entry *entry, int64_t wait_ms)
{
	struct relay *r = relay_of(f);
	int64_t until_ms = clock_mono_ms() + wait_ms;
	enum flight_news news = r->lost || !r->local ? FLIGHT_LOST : FLIGHT_QUIET;

	while (news == FLIGHT_QUIET) {
		int64_t left_ms = until_ms - clock_mono_ms();
		int64_t most_ms = r->far->block_ms > 0 ? r->far->block_ms : 1;

		if (left_ms < 0)
			left_ms = 0;
		news = look(r, left_ms < most_ms ? left_ms : most_ms, out, entry);
		if (!left_ms)
			break;
	}
	if (news == FLIGHT_LOST)
		r->lost = true;
	else if (news != FLIGHT_QUIET)
		*who = r->who;
	return news;
}

/* ---- the end ---- */

static void finish(struct relay *r)
{
	if (r->local)
		flight_end(r->local, NULL);
	free(r);
}

/* Its client has left, and others of this host follow. */
static void *relays_on(void *arg)
{
	struct relay *r = arg;
	struct far *far = r->far;
	struct buf bytes = { .max_bytes = 8 * far->max_bytes };
	enum flight_news news = FLIGHT_QUIET;

	while ((news == FLIGHT_QUIET || news == FLIGHT_MORE) && !far_is_closing(far)) {
		struct cache_entry entry;
		struct flight_who who;

		buf_reset(&bytes);
		news = read_news(&r->f, &bytes, &who, &entry, LOOK_MS);
		if (news == FLIGHT_QUIET && !flight_is_followed(r->local))
			break;
	}
	buf_fini(&bytes);
	finish(r);
	far_thread_end(far);
	return NULL;
}

static void end(struct flight *f, const struct cache_entry *entry)
{
	struct relay *r = relay_of(f);

	(void)entry;
	if (r->local && !r->lost && flight_is_followed(r->local) &&
		far_thread(r->far, relays_on, r))
		return;
	finish(r);
}

/* ---- what only a leader is asked ---- */

static void begin(struct flight *f, const struct flight_who *who)
{
	(void)f;
	(void)who;
}

static void write_events(struct flight *f, struct slice events)
{
	(void)f;
	(void)events;
}

static bool is_followed(const struct flight *f)
{
	const struct relay *r = (const void *)f;

	return r->local && flight_is_followed(r->local);
}

static const struct flights_ops relay_ops = { .begin = begin,
	.write = write_events,
	.is_followed = is_followed,
	.read = read_news,
	.end = end };

bool far_want(struct far *far, const char *token)
{
	struct slice process = slice_of(token);
	struct redis_reply replies[2] = { { .own = NULL } };
	char name[FAR_NAME_SIZE];
	enum err_code rc;

	process = slice_cut(&process, '.');
	snprintf(name, sizeof(name), "%s:flights:%.*s", redis_prefix(far->redis),
		SLICE_ARG(process));
	rc = redis_calls(far->redis,
		(struct redis_command[]){
			{ (struct slice[]){ SLICE("RPUSH"), slice_of(name), slice_of(token) }, 3,
				1 },
			{ (struct slice[]){ SLICE("PEXPIRE"), slice_of(name), SLICE(WANTED_MS) }, 3,
				1 } },
		2, replies, NULL);
	if (!rc && replies[0].value.kind != REDIS_INTEGER)
		rc = ERR_STORE;
	redis_reply_fini(&replies[0]);
	redis_reply_fini(&replies[1]);
	return !rc;
}

struct flight *far_relay(struct far *far, struct flight *local, const struct far_claim *claim)
{
	struct relay *r = calloc(1, sizeof(*r));

	if (!r || !far_want(far, claim->token)) {
		free(r);
		return NULL;
	}
	r->f.ops = &relay_ops;
	r->far = far;
	r->local = local;
	r->claim = *claim;
	r->began_ms = clock_mono_ms();
	snprintf(r->last, sizeof(r->last), FIRST);
	return &r->f;
}
