#include "store/outbox.h"

#include "base/clock.h"
#include "base/log.h"
#include "store/fault.h"
#include "store/fold.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TICK_RECORDS 8192  /* looked at in one tick */
#define ALARM_MS     60000 /* that Redis is away is said so often */

struct outbox {
	struct ledger *l;
	struct ledger_place known; /* Redis has it all up to here */
	struct ledger_place at;    /* behind the records that are waiting */
	size_t left;               /* records that may still be read */
	uint64_t sent;
	size_t n;
	struct record records[LEDGER_REDIS_BATCH];
	struct record chosen[LEDGER_REDIS_SEND];
};

/* ---- HOME/shipped ---- */

/* The first segment that may not be known; 0 = there is no such file, and no Redis ever was. */
static uint64_t first_unknown(const struct ledger *l)
{
	char path[HOME_PATH_MAX], text[32];
	int64_t n = 0;
	ssize_t len;
	int fd;

	if (home_path(l->home, OUTBOX_FILE, path, NULL) != ERR_OK)
		return 0;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	len = read(fd, text, sizeof(text));
	close(fd);
	/* One that cannot be read keeps everything. */
	if (len <= 0 || !str_int(slice_trim((struct slice){ text, (size_t)len }), 1, INT64_MAX, &n))
		return 1;
	return (uint64_t)n;
}

enum err_code outbox_note(struct ledger *l, uint64_t segment, struct err *e)
{
	char text[32];
	int n = snprintf(text, sizeof(text), "%" PRIu64 "\n", segment);

	if (first_unknown(l) == segment)
		return ERR_OK;
	return home_replace(l->home, OUTBOX_FILE, (struct slice){ text, (size_t)n }, e);
}

/* The segment's size and age; false when it is not there. */
static bool look_at(const struct ledger *l, uint64_t segment, uint64_t *bytes, int64_t *age_ms)
{
	char path[HOME_PATH_MAX];
	struct stat st;

	if (journal_path(&l->journal, segment, path, NULL) != ERR_OK || stat(path, &st) != 0)
		return false;
	*bytes = (uint64_t)st.st_size;
	*age_ms = clock_wall_ms() - (int64_t)st.st_mtime * 1000;
	return true;
}

/* Its hour begins now, not when it was written: Redis may have been away since. */
static void note_known(const struct ledger *l, uint64_t segment)
{
	char path[HOME_PATH_MAX];

	if (journal_path(&l->journal, segment, path, NULL) == ERR_OK)
		(void)utimensat(AT_FDCWD, path, NULL, 0);
}

bool outbox_may_remove(const struct ledger *l, uint64_t segment)
{
	uint64_t unknown = first_unknown(l), bytes;
	int64_t age_ms = 0;

	if (!unknown)
		return !l->conf.redis;
	if (!look_at(l, segment, &bytes, &age_ms))
		return true;
	if (!l->conf.redis)
		return segment < unknown || age_ms > OUTBOX_ABANDON_MS;
	return segment < unknown && age_ms > OUTBOX_KEEP_MS;
}

uint64_t outbox_behind(const struct ledger *l, struct ledger_place place)
{
	uint64_t last = hot_peek(&l->hot.head->segment), sum = 0, bytes;
	int64_t age_ms;

	for (uint64_t s = place.segment; s <= last; s++) {
		uint64_t from = s == place.segment ? place.offset : 0;

		/* The head of a segment is nothing to tell. */
		if (from < RECORD_BYTES)
			from = RECORD_BYTES;
		if (look_at(l, s, &bytes, &age_ms) && bytes > from)
			sum += bytes - from;
	}
	return sum;
}

/* ---- sending ---- */

static enum err_code send_missing(
	struct outbox *o, const uint16_t *missing, size_t n, struct err *e)
{
	enum err_code rc = ERR_OK;

	for (size_t i = 0; i < n && !rc;) {
		size_t m = 0, fresh;

		while (m < LEDGER_REDIS_SEND && i < n)
			o->chosen[m++] = o->records[missing[i++]];
		rc = ledger_redis_apply(o->l, o->chosen, m, i == n ? &o->at : NULL, &fresh, e);
		if (!rc)
			o->sent += fresh;
		(void)fault_at("outbox.sent");
	}
	return rc;
}

/* Everything up to o->at is known afterwards. */
static enum err_code flush(struct outbox *o, struct err *e)
{
	uint16_t missing[LEDGER_REDIS_BATCH];
	size_t n;
	enum err_code rc;

	if (!o->n && o->at.segment == o->known.segment && o->at.offset == o->known.offset)
		return ERR_OK;
	rc = ledger_redis_missing(o->l, o->records, o->n, &o->at, missing, &n, e);
	(void)fault_at("outbox.asked");
	if (!rc)
		rc = send_missing(o, missing, n, e);
	if (rc)
		return rc;
	o->known = o->at;
	o->n = 0;
	return ERR_OK;
}

/* ERR_OVERTAKEN: enough for this time. */
static enum err_code on_record(
	void *ctx, const struct record *r, uint64_t segment, uint64_t offset, struct err *e)
{
	struct outbox *o = ctx;
	enum err_code rc;

	/* Sums came from there. */
	if (r->type != RECORD_SUM)
		o->records[o->n++] = *r;
	o->at = (struct ledger_place){ segment, offset + RECORD_BYTES, o->at.base };
	o->left--;
	if (o->n < LEDGER_REDIS_BATCH && o->left)
		return ERR_OK;
	rc = flush(o, e);
	return rc || o->left ? rc : ERR_OVERTAKEN;
}

/* The rest of the segment o->at is in. *ended: nobody can append to it any more, and o->at is at
 * the beginning of the next. */
static enum err_code ship_segment(struct outbox *o, bool *ended, struct err *e)
{
	const struct hot_head *head = o->l->hot.head;
	uint64_t segment = o->at.segment;
	struct journal_scan s = { .offset = o->at.offset };
	int fd;
	enum err_code rc = journal_read_open(&o->l->journal, segment, &fd, e);

	*ended = false;
	if (rc)
		return rc == ERR_NOT_FOUND
			       ? journal_is_complete(&o->l->journal, segment, segment, e)
			       : rc;
	s.closed = segment != hot_peek(&head->segment) && segment != hot_peek(&head->closing);
	rc = journal_scan(&o->l->journal, fd, segment, &s, on_record, o, e);
	close(fd);
	if (rc)
		return rc;
	*ended = s.closed;
	o->at.segment = s.closed ? segment + 1 : segment;
	o->at.offset = s.closed ? 0 : s.offset;
	rc = flush(o, e);
	if (!rc && s.closed)
		note_known(o->l, segment);
	return rc;
}

/* ---- from where ---- */

/* Is the place one of this journal? After a home was put back from a backup it may lie ahead. */
static bool is_ahead(const struct outbox *o)
{
	uint64_t bytes;
	int64_t age_ms;

	if (o->known.segment > hot_peek(&o->l->hot.head->segment))
		return true;
	return look_at(o->l, o->known.segment, &bytes, &age_ms) && o->known.offset > bytes;
}

static enum err_code find_place(struct outbox *o, bool from_start, struct err *e)
{
	uint64_t first, last, n;
	enum err_code rc = ledger_redis_place(o->l, &o->known, e);

	if (!rc && !o->known.segment)
		rc = outbox_send_base(o->l, &o->known, e);
	if (!rc)
		rc = journal_list(&o->l->journal, &first, &last, &n, e);
	if (rc)
		return rc;
	/* What was added as sums is not told again. */
	if (first < o->known.base)
		first = o->known.base;
	if (n && !from_start && o->known.segment < first)
		log_line(LOG_ERROR,
			"Redis knows the journal of %s up to segment %" PRIu64
			", and the segments before %" PRIu64
			" are gone: what Redis has lost of them cannot be told again",
			o->l->home, o->known.segment, first);
	if (n && (from_start || o->known.segment < first || is_ahead(o)))
		o->known = (struct ledger_place){ first, 0, o->known.base };
	o->at = o->known;
	return outbox_note(o->l, o->known.segment, e);
}

static enum err_code ship(struct outbox *o, bool from_start, bool *done, struct err *e)
{
	struct hot_head *head = o->l->hot.head;
	bool ended = true;
	enum err_code rc = find_place(o, from_start, e);

	while (!rc && ended && o->at.segment <= hot_peek(&head->segment))
		rc = ship_segment(o, &ended, e);
	*done = !rc;
	if (rc == ERR_OVERTAKEN)
		rc = ERR_OK;
	if (!o->known.segment)
		return rc;
	atomic_store(&head->shipped_segment, o->known.segment);
	atomic_store(&head->shipped_offset, o->known.offset);
	return rc ? rc : outbox_note(o->l, o->known.segment, e);
}

enum err_code outbox_ship(struct ledger *l, bool from_start, size_t records_max, uint64_t *sent,
	bool *done, struct err *e)
{
	struct outbox *o;
	int fd;
	enum err_code rc;

	*sent = 0;
	*done = false;
	rc = home_lock(l->home, OUTBOX_LOCK, 0, &fd, e);
	if (rc)
		return rc;
	o = malloc(sizeof(*o));
	if (o) {
		o->l = l;
		o->n = 0;
		o->sent = 0;
		o->left = records_max ? records_max : SIZE_MAX;
		rc = ship(o, from_start, done, e);
		*sent = o->sent;
	} else {
		rc = err_set(e, ERR_NO_MEMORY, "no memory to read the journal for Redis");
	}
	free(o);
	close(fd);
	return rc;
}

enum err_code outbox_tick(struct ledger *l, struct ledger_now now, struct err *e)
{
	struct err own;
	uint64_t sent;
	bool done;
	enum err_code rc = outbox_ship(l, false, TICK_RECORDS, &sent, &done, e ? e : &own);

	if (!rc && !done) /* more is waiting: go on at the next tick */
		atomic_store(&l->hot.head->last_ship_ms, 0);
	if (rc && rc != ERR_BUSY && books_is_due(&l->hot.head->last_away_ms, ALARM_MS, now.mono_ms))
		log_line(LOG_ERROR, "the journal cannot be sent to Redis: %s",
			e ? e->message : own.message);
	return rc == ERR_BUSY ? ERR_OK : rc;
}

enum err_code ledger_ship_all(
	struct ledger *l, struct ledger_now now, bool from_start, uint64_t *sent, struct err *e)
{
	bool done = false;
	enum err_code rc;

	*sent = 0;
	if (!l->conf.redis)
		return err_param(
			e, ERR_RANGE, "GATEWAY_STORE", "there is no Redis to send the books to");
	/* What is folded now need not be told one by one. */
	rc = fold_run(l, now, BOOKS_FOLD_WAIT_MS, e);
	return rc ? rc : outbox_ship(l, from_start, 0, sent, &done, e);
}
