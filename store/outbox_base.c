/* The beginning of store/outbox.h: books that a home kept before there was a Redis, or that Redis
 * has lost altogether.
 *
 * They are sums without ids, so they can be added only once: the accounts are laid ready in Redis,
 * all of one state of the checkpoint (fold.lock keeps it), and then moved, some at a time, each
 * by one script that also removes it from what lies ready. With the last one the place of the
 * journal is set, after which this is never done again. Usage goes into rows of this store's own,
 * credits and names under their ids: those may be written as often as one likes.
 */
#include "store/outbox.h"

#include "store/fault.h"
#include "store/fold.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define STORE_DIGITS 16 /* of the store, enough to tell hosts apart */

struct base {
	struct ledger *l;
	uint64_t folded;
	uint64_t adding; /* the state that is being added already */
	struct account accounts[LEDGER_REDIS_SEND];
	size_t n;
	uint64_t rows;
	char store[33];
	char usage[40]; /* key of the day */
};

static enum err_code put_accounts(struct base *b, struct err *e)
{
	enum err_code rc = ledger_redis_base_put(b->l, b->folded, b->accounts, b->n, &b->adding, e);

	b->rows += b->n;
	b->n = 0;
	return rc;
}

static enum err_code put(
	struct base *b, const char *key, struct slice field, struct slice value, struct err *e)
{
	const struct slice words[] = { field, value };
	struct redis_reply reply = { 0 };
	enum err_code rc = ledger_redis_command(b->l, "HSET", key, words, 2, &reply, e);

	redis_reply_fini(&reply);
	return rc;
}

static enum err_code damaged(struct err *e)
{
	return err_set(e, ERR_STORE, CHECKPOINT_LEDGER ": a row is damaged");
}

static enum err_code put_credit(struct base *b, struct slice key, struct slice value, struct err *e)
{
	struct checkpoint_credit c;
	char text[64];
	int n;

	if (key.len != 1 + 2 * sizeof(uint64_t) || !checkpoint_unpack(key, value, &c, sizeof(c)))
		return damaged(e);
	n = snprintf(text, sizeof(text), "%016" PRIx64 " %" PRId64, c.subject, c.microusd);
	return put(b, "credits", slice_from(key, 1), (struct slice){ text, (size_t)n }, e);
}

static enum err_code put_name(struct base *b, struct slice key, struct slice value, struct err *e)
{
	struct checkpoint_name name;

	if (!checkpoint_unpack(key, value, &name, sizeof(name)) || name.length > RECORD_NAME_MAX)
		return damaged(e);
	return put(b, "names", slice_from(key, 1), (struct slice){ name.text, name.length }, e);
}

static enum err_code on_row(void *ctx, struct slice key, struct slice value, struct err *e)
{
	struct base *b = ctx;
	struct account *a = &b->accounts[b->n];

	switch (key.len ? key.ptr[0] : 0) {
	case 'a':
		if (!checkpoint_unpack(key, value, a, sizeof(*a)))
			return damaged(e);
		a->reserved = a->holds = 0;
		return ++b->n < LEDGER_REDIS_SEND ? ERR_OK : put_accounts(b, e);
	case 'i':
		return put_credit(b, key, value, e);
	case 'n':
		return put_name(b, key, value, e);
	default:
		return ERR_OK;
	}
}

static enum err_code on_usage(void *ctx, struct slice key, struct slice value, struct err *e)
{
	struct base *b = ctx;
	char field[sizeof(struct usage_key) + STORE_DIGITS];
	struct usage_row row;

	if (key.len != 1 + sizeof(struct usage_key) || key.ptr[0] != 'u')
		return ERR_OK;
	if (!checkpoint_unpack(key, value, &row, sizeof(row)))
		return err_set(e, ERR_STORE, "a row of the usage is damaged");
	memcpy(field, key.ptr + 1, sizeof(struct usage_key));
	memcpy(field + sizeof(struct usage_key), b->store, STORE_DIGITS);
	return put(b, b->usage, (struct slice){ field, sizeof(field) },
		(struct slice){ (const char *)&row, sizeof(row) }, e);
}

/* Is it usage.YYYYMMDD.gdbm? The file says which day since 1970 that is by having its name. */
static bool day_of(const char *name, int64_t *day)
{
	char again[USAGE_FILE_SIZE];
	struct slice date = slice_first(slice_from(slice_of(name), strlen("usage.")), 8);
	int64_t number, y, m;

	if (!slice_starts(slice_of(name), "usage.") || !str_int(date, 19700101, 99991231, &number))
		return false;
	y = number / 10000;
	m = number / 100 % 100;
	/* Nearly right, then looked for: months differ in length. */
	*day = (y - 1970) * 36525 / 100 + (m - 1) * 30 + number % 100 - 3;
	for (int tries = 0; tries < 12; tries++, (*day)++) {
		usage_file(*day < 0 ? 0 : *day, again);
		if (strcmp(again, name) == 0)
			return true;
	}
	return false;
}

static enum err_code put_usage(struct base *b, const char *name, int64_t day, struct err *e)
{
	struct checkpoint_meta meta;
	bool from_prev;
	enum err_code rc;

	snprintf(b->usage, sizeof(b->usage), "usage:%" PRId64, day);
	rc = checkpoint_load(
		b->l->home, name, b->l->journal.store, &meta, &from_prev, NULL, NULL, e);
	if (!rc && meta.folded > b->folded)
		return err_set(e, ERR_BUSY,
			"a fold was cut off: the books go to Redis when the next one has ended");
	return rc ? rc
		  : checkpoint_load(b->l->home, name, b->l->journal.store, &meta, &from_prev,
			    on_usage, b, e);
}

static enum err_code put_all_usage(struct base *b, struct err *e)
{
	DIR *d = opendir(b->l->home);
	const struct dirent *entry;
	int64_t day;
	enum err_code rc = ERR_OK;

	if (!d)
		return err_set(e, ERR_STORE, "%s: %s", b->l->home, strerror(errno));
	while (!rc && (entry = readdir(d)))
		if (day_of(entry->d_name, &day))
			rc = put_usage(b, entry->d_name, day, e);
	closedir(d);
	return rc;
}

/* Under fold.lock: the checkpoint stays what it is. */
static enum err_code send(struct base *b, struct err *e)
{
	struct checkpoint_meta meta;
	enum err_code rc = books_load(b->l, CHECKPOINT_LEDGER, &meta, NULL, NULL, e);

	b->folded = meta.folded;
	if (!rc)
		rc = put_accounts(b, e);
	/* From now on what is folded has to stay, until the journal is known from here. */
	if (!rc)
		rc = outbox_note(b->l, (b->adding ? b->adding : b->folded) + 1, e);
	if (rc || b->adding)
		return rc;
	rc = books_load(b->l, CHECKPOINT_LEDGER, &meta, on_row, b, e);
	if (!rc && b->n)
		rc = put_accounts(b, e);
	(void)fault_at("outbox.laid");
	return rc ? rc : put_all_usage(b, e);
}

enum err_code outbox_send_base(struct ledger *l, struct ledger_place *out, struct err *e)
{
	struct base *b = calloc(1, sizeof(*b));
	int fd = -1;
	enum err_code rc;

	if (!b)
		return err_set(e, ERR_NO_MEMORY, "no memory to send the books to Redis");
	b->l = l;
	ledger_redis_store(l, b->store);
	rc = home_lock(l->home, BOOKS_FOLD_LOCK, BOOKS_FOLD_WAIT_MS, &fd, e);
	if (!rc)
		rc = send(b, e);
	if (!rc)
		rc = ledger_redis_base_add(l, b->adding ? b->adding : b->folded, b->rows, e);
	if (fd >= 0)
		close(fd);
	free(b);
	return rc ? rc : ledger_redis_place(l, out, e);
}
