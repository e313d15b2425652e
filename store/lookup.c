/* The looking half of store/ledger.h: accounts, recent records, usage, names. */
#include "store/ledger_redis.h"

#include "base/crypto.h"
#include "store/tally.h"

#include <string.h>
#include <unistd.h>

#define DAYS_MAX     3660
#define GATHER_TRIES 5

enum err_code ledger_account(struct ledger *l, uint64_t subject, struct account *out, struct err *e)
{
	const struct account *a;
	enum err_code rc;

	if (l->conf.redis)
		return ledger_redis_account(l, subject, out, e);
	*out = (struct account){ .subject = subject };
	rc = books_lock(l, LEDGER_WAIT_MS, e);
	if (rc)
		return rc;
	a = hot_account(&l->hot, subject);
	if (a)
		*out = *a;
	hot_unlock(&l->hot);
	return ERR_OK;
}

/* ---- walking the segments that are there ---- */

static enum err_code scan(struct ledger *l, uint64_t segment, journal_on_record on_record,
	void *ctx, uint64_t *records, struct err *e)
{
	struct journal_scan s = { .closed = false };
	const struct hot_head *head = l->hot.head;
	int fd;
	enum err_code rc = journal_read_open(&l->journal, segment, &fd, e);

	if (rc)
		return rc;
	s.closed = segment != hot_peek(&head->segment) && segment != hot_peek(&head->closing);
	rc = journal_scan(&l->journal, fd, segment, &s, on_record, ctx, e);
	close(fd);
	if (records)
		*records += s.records;
	return rc;
}

struct find {
	struct ledger_id id;
	struct record *out;
	bool found;
};

static enum err_code on_find(
	void *ctx, const struct record *r, uint64_t segment, uint64_t offset, struct err *e)
{
	struct find *f = ctx;

	(void)segment;
	(void)offset;
	(void)e;
	if (r->type != RECORD_SETTLE || memcmp(r->id, f->id.word, sizeof(r->id)) != 0)
		return ERR_OK;
	*f->out = *r;
	f->found = true;
	return ERR_OK;
}

enum err_code ledger_find(struct ledger *l, struct ledger_id id, struct record *out, struct err *e)
{
	struct find f = { .id = id, .out = out };
	uint64_t segment = 0, number = 0, first, last, n, records = 0;
	bool is_recent;
	enum err_code rc = books_lock(l, LEDGER_WAIT_MS, e);

	if (rc)
		return rc;
	is_recent = hot_recent_find(&l->hot, id.word[0], &segment, &number);
	hot_unlock(&l->hot);
	if (is_recent &&
		journal_read(&l->journal, segment, number * RECORD_BYTES, out, NULL) == ERR_OK &&
		out->type == RECORD_SETTLE && memcmp(out->id, id.word, sizeof(out->id)) == 0)
		return ERR_OK;
	/* Of another host, or not so recent. What only this host knows is in its journal. */
	if (l->conf.redis && ledger_redis_find(l, id, out, NULL) == ERR_OK)
		return ERR_OK;
	rc = journal_list(&l->journal, &first, &last, &n, e);
	for (uint64_t s = last; n && s >= first && !rc && !f.found; s--) {
		rc = scan(l, s, on_find, &f, &records, e);
		/* Folded and gone since the list was made. */
		if (rc == ERR_NOT_FOUND || records >= LEDGER_FIND_RECORDS)
			break;
	}
	if (f.found)
		return ERR_OK;
	return rc && rc != ERR_NOT_FOUND
		       ? rc
		       : err_set(e, ERR_NOT_FOUND, "no recent request has this id");
}

/* ---- usage ---- */

struct tail_key {
	int64_t day;
	uint64_t segment;
	struct usage_key usage;
};

static enum err_code on_tail(
	void *ctx, const struct record *r, uint64_t segment, uint64_t offset, struct err *e)
{
	struct tally *tail = ctx;
	struct tail_key key = { .segment = segment };
	struct usage_row *row;
	bool fresh;

	(void)offset;
	if (r->type != RECORD_SETTLE)
		return ERR_OK;
	key.day = account_day(r->wall_ms);
	key.usage = usage_key_of(&r->settle);
	row = tally_at(tail, &key, &fresh);
	if (!row)
		return err_set(e, ERR_NO_MEMORY, "no memory to add up the usage");
	usage_apply(row, r);
	return ERR_OK;
}

/* Adds up what ledger.gdbm does not know yet. A fold may take segments away meanwhile. */
static enum err_code gather(struct ledger *l, struct tally *tail, uint64_t *folded, struct err *e)
{
	struct checkpoint_meta meta;
	uint64_t segment;
	bool from_prev;
	enum err_code rc = ERR_NOT_FOUND;

	for (int tries = 0; tries < GATHER_TRIES && rc == ERR_NOT_FOUND; tries++) {
		tally_fini(tail);
		rc = checkpoint_load(l->home, CHECKPOINT_LEDGER, l->journal.store, &meta,
			&from_prev, NULL, NULL, e);
		segment = hot_peek(&l->hot.head->segment);
		for (uint64_t s = meta.folded + 1; s <= segment && !rc; s++)
			rc = scan(l, s, on_tail, tail, NULL, e);
	}
	*folded = meta.folded;
	return rc == ERR_NOT_FOUND ? err_set(e, ERR_BUSY, "the journal is being folded; try again")
				   : rc;
}

static enum err_code on_usage_row(void *ctx, struct slice key, struct slice value, struct err *e)
{
	struct tally *rows = ctx;
	struct usage_key uk;
	struct usage_row *row;
	bool fresh;

	if (key.len != 1 + sizeof(uk) || key.ptr[0] != 'u')
		return ERR_OK;
	memcpy(&uk, key.ptr + 1, sizeof(uk));
	row = tally_at(rows, &uk, &fresh);
	if (!row)
		return err_set(e, ERR_NO_MEMORY, "no memory to add up the usage");
	if (!checkpoint_unpack(key, value, row, sizeof(*row)))
		return err_set(e, ERR_STORE, "a row of the usage is damaged");
	return ERR_OK;
}

static enum err_code one_day(struct ledger *l, int64_t day, const struct tally *tail,
	uint64_t folded, struct tally *rows, struct err *e)
{
	char name[USAGE_FILE_SIZE];
	struct checkpoint_meta meta;
	bool from_prev, fresh;
	enum err_code rc;

	usage_file(day, name);
	rc = checkpoint_load(
		l->home, name, l->journal.store, &meta, &from_prev, on_usage_row, rows, e);
	if (meta.folded > folded)
		folded = meta.folded;
	for (size_t i = 0; i < tail->n && !rc; i++) {
		const struct tail_key *key = tally_key(tail, i);
		struct usage_row *row;

		if (key->day != day || key->segment <= folded)
			continue;
		row = tally_at(rows, &key->usage, &fresh);
		if (!row)
			rc = err_set(e, ERR_NO_MEMORY, "no memory to add up the usage");
		else
			usage_add(row, tally_value(tail, i));
	}
	return rc;
}

/* Of all hosts. */
static enum err_code usage_of_all(struct ledger *l, int64_t first_day, int64_t last_day,
	ledger_on_usage on_usage, void *ctx, struct err *e)
{
	enum err_code rc = ERR_OK;

	for (int64_t day = first_day; day <= last_day && !rc; day++)
		rc = ledger_redis_usage(l, day, on_usage, ctx, e);
	return rc;
}

enum err_code ledger_usage(struct ledger *l, int64_t first_day, int64_t last_day,
	ledger_on_usage on_usage, void *ctx, struct err *e)
{
	struct tally tail, rows;
	uint64_t folded;
	enum err_code rc;

	if (first_day < 0 || last_day < first_day || last_day - first_day >= DAYS_MAX)
		return err_param(e, ERR_RANGE, "days", "1 to %d days at once", DAYS_MAX);
	if (l->conf.redis)
		return usage_of_all(l, first_day, last_day, on_usage, ctx, e);
	tally_init(&tail, sizeof(struct tail_key), sizeof(struct usage_row));
	tally_init(&rows, sizeof(struct usage_key), sizeof(struct usage_row));
	rc = gather(l, &tail, &folded, e);
	for (int64_t day = first_day; day <= last_day && !rc; day++) {
		tally_fini(&rows);
		rc = one_day(l, day, &tail, folded, &rows, e);
		for (size_t i = 0; i < rows.n && !rc; i++)
			rc = on_usage(ctx, day, tally_key(&rows, i), tally_value(&rows, i), e);
	}
	tally_fini(&tail);
	tally_fini(&rows);
	return rc;
}

/* ---- names ---- */

enum err_code ledger_name(
	struct ledger *l, struct ledger_now now, struct slice text, uint64_t *name, struct err *e)
{
	struct record r = { .type = RECORD_NAME, .wall_ms = now.wall_ms };
	uint64_t segment, number;
	bool is_known, unsynced;
	enum err_code rc;

	*name = 0;
	if (text.len == 0 || text.len > RECORD_NAME_MAX)
		return err_param(e, ERR_RANGE, "name", "a name has 1 to %d bytes", RECORD_NAME_MAX);
	r.name.name = r.id[0] = ledger_id(text).word[0];
	r.name.length = (uint32_t)text.len;
	memcpy(r.name.text, text.ptr, text.len);
	*name = r.name.name;
	rc = books_lock(l, LEDGER_WAIT_MS, e);
	if (rc)
		return rc;
	is_known = hot_recent_find(&l->hot, *name, &segment, &number);
	hot_unlock(&l->hot);
	return is_known ? ERR_OK
			: journal_append(
				  &l->journal, &l->hot.head->segment, &r, false, &unsynced, e);
}

struct name_search {
	uint64_t name;
	struct buf *out;
	bool found;
};

static enum err_code on_name(
	void *ctx, const struct record *r, uint64_t segment, uint64_t offset, struct err *e)
{
	struct name_search *s = ctx;

	(void)segment;
	(void)offset;
	(void)e;
	if (r->type != RECORD_NAME || r->name.name != s->name || s->found ||
		r->name.length > RECORD_NAME_MAX)
		return ERR_OK;
	buf_append(s->out, r->name.text, r->name.length);
	s->found = true;
	return ERR_OK;
}

enum err_code ledger_name_text(struct ledger *l, uint64_t name, struct buf *out, struct err *e)
{
	struct checkpoint_key key = checkpoint_key('n', &name, sizeof(name));
	struct name_search s = { .name = name, .out = out };
	struct checkpoint_name text;
	uint64_t first, last, n;
	bool found;
	enum err_code rc = checkpoint_fetch(l->home, &key, &text, sizeof(text), &found, e);

	if (!rc && found && text.length <= RECORD_NAME_MAX) {
		buf_append(out, text.text, text.length);
		return ERR_OK;
	}
	if (!rc)
		rc = journal_list(&l->journal, &first, &last, &n, e);
	for (uint64_t segment = rc ? 1 : first; !rc && n && segment <= last && !s.found;
		segment++) {
		rc = scan(l, segment, on_name, &s, NULL, e);
		if (rc == ERR_NOT_FOUND)
			rc = ERR_OK;
	}
	if (rc || s.found)
		return rc;
	if (l->conf.redis) /* noted on another host */
		return ledger_redis_name_text(l, name, out, e);
	return err_set(e, ERR_NOT_FOUND, "this name was never noted");
}
