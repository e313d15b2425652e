/* ledger_take_all: brings the sums of other hosts from Redis into this home.
 *
 * Redis has what all hosts did, the table what this one did: the difference is brought. For that
 * the two must be of one moment. Once Redis was told everything, the table is copied at a moment
 * when the journal ends where Redis knows it; then Redis is read. If a request of this host was
 * settled meanwhile and Redis knows it, Redis's figures may have it and the copy has not: then all
 * of it is done again. If Redis does not know it (GATEWAY_STORE is gdbm already), no harm is done.
 */
#include "store/outbox.h"

#include "store/fault.h"
#include "store/tally.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TRIES 50
#define LOCK  "intake.lock" /* of two that bring the same, both would count */

struct intake {
	struct ledger *l;
	struct ledger_place from; /* the journal's end when the table was copied */
	struct tally here;        /* subject -> struct account */
	struct record_sum *sums;
	size_t n, room;
	bool is_known; /* Redis knows a record that the copy does not have */
	struct record last[LEDGER_REDIS_BATCH];
	size_t last_n;
};

/* *fits: the journal ends where Redis knows it, and the table was copied. */
static enum err_code copy_table(struct intake *t, bool *fits, struct err *e)
{
	struct hot *h = &t->l->hot;
	enum err_code rc = ledger_redis_place(t->l, &t->from, e);

	*fits = false;
	if (!rc)
		rc = books_lock(t->l, LEDGER_WAIT_MS, e);
	if (rc)
		return rc;
	*fits = !h->head->closing && h->head->segment == t->from.segment &&
		h->head->applied == t->from.offset;
	for (uint32_t i = 0; *fits && !rc && i < h->head->accounts; i++) {
		struct account *a;
		bool fresh;

		if (!h->accounts[i].subject)
			continue;
		a = tally_at(&t->here, &h->accounts[i].subject, &fresh);
		if (a)
			*a = h->accounts[i];
		else
			rc = err_set(e, ERR_NO_MEMORY, "no memory to copy the accounts");
	}
	hot_unlock(h);
	return rc;
}

static enum err_code compare(struct intake *t, uint64_t subject, struct err *e)
{
	const struct account *have = tally_find(&t->here, &subject);
	const struct account nothing = { .subject = subject };
	struct record_sum sum, *grown;
	struct account want;
	enum err_code rc = ledger_redis_account(t->l, subject, &want, e);

	if (rc || !account_difference(have ? have : &nothing, &want, &sum))
		return rc;
	if (t->n == t->room) {
		t->room = t->room ? 2 * t->room : 256;
		grown = realloc(t->sums, t->room * sizeof(*grown));
		if (!grown)
			return err_set(e, ERR_NO_MEMORY, "no memory for the sums of other hosts");
		t->sums = grown;
	}
	t->sums[t->n++] = sum;
	return ERR_OK;
}

/* A key found: is it an account's? Then the digits behind its name are the subject. */
static enum err_code on_key(struct intake *t, struct slice key, struct err *e)
{
	struct slice digits = slice_from(key, strlen(t->l->keys) + strlen("account:"));
	char text[17];

	if (digits.len != 16 || !slice_copy(digits, text, sizeof(text)))
		return ERR_OK;
	return compare(t, strtoull(text, NULL, 16), e);
}

/* A scan may name a key twice, and both times the difference is the same: only one is kept. */
static int by_subject(const void *a, const void *b)
{
	uint64_t x = ((const struct record_sum *)a)->subject;
	uint64_t y = ((const struct record_sum *)b)->subject;

	return x < y ? -1 : x > y;
}

static void keep_one_of_each(struct intake *t)
{
	size_t n = 0;

	if (t->n)
		qsort(t->sums, t->n, sizeof(*t->sums), by_subject);
	for (size_t i = 0; i < t->n; i++)
		if (!n || t->sums[n - 1].subject != t->sums[i].subject)
			t->sums[n++] = t->sums[i];
	t->n = n;
}

static enum err_code scan_node(void *ctx, struct redis *r, size_t node, struct err *e)
{
	struct intake *t = ctx;
	char pattern[2 * BOOKS_KEYS_SIZE + 16], cursor[24] = "0";
	size_t at = 0;
	enum err_code rc;

	/* Braces and dots mean themselves; the settings allow no other signs. */
	for (const char *p = t->l->keys; *p; p++)
		pattern[at++] = *p;
	memcpy(pattern + at, "account:*", sizeof("account:*"));
	do {
		const struct slice words[] = { SLICE("SCAN"), slice_of(cursor), SLICE("MATCH"),
			slice_of(pattern), SLICE("COUNT"), SLICE("1000") };
		struct redis_reply reply = { 0 };
		const struct redis_value *v = &reply.value;

		rc = redis_call_node(r, node, words, 6, &reply, e);
		if (!rc && (v->kind != REDIS_ARRAY || v->count != 2 ||
				   !slice_copy(v->items[0].text, cursor, sizeof(cursor))))
			rc = err_set(e, ERR_STORE, "Redis gave no answer to SCAN");
		for (size_t i = 0; !rc && i < v->items[1].count; i++)
			rc = on_key(t, v->items[1].items[i].text, e);
		redis_reply_fini(&reply);
	} while (!rc && strcmp(cursor, "0") != 0);
	return rc;
}

static enum err_code ask_of_last(struct intake *t, struct err *e)
{
	uint16_t missing[LEDGER_REDIS_BATCH];
	size_t n = t->last_n;
	enum err_code rc = ledger_redis_missing(t->l, t->last, t->last_n, NULL, missing, &n, e);

	t->is_known |= n < t->last_n;
	t->last_n = 0;
	return rc;
}

static enum err_code on_later(
	void *ctx, const struct record *r, uint64_t segment, uint64_t offset, struct err *e)
{
	struct intake *t = ctx;

	(void)segment;
	(void)offset;
	if (r->type == RECORD_SETTLE || r->type == RECORD_CREDIT)
		t->last[t->last_n++] = *r;
	return t->last_n < LEDGER_REDIS_BATCH ? ERR_OK : ask_of_last(t, e);
}

/* Does Redis know any record that was written since the table was copied? */
static enum err_code look_behind(struct intake *t, struct err *e)
{
	const struct hot_head *head = t->l->hot.head;
	uint64_t to = hot_peek(&head->segment);
	enum err_code rc = ERR_OK;

	for (uint64_t s = t->from.segment; s <= to && !rc; s++) {
		struct journal_scan scan = { .offset = s == t->from.segment ? t->from.offset : 0,
			.closed = s != to && s != hot_peek(&head->closing) };
		int fd;

		rc = journal_read_open(&t->l->journal, s, &fd, e);
		if (rc)
			break;
		rc = journal_scan(&t->l->journal, fd, s, &scan, on_later, t, e);
		close(fd);
	}
	return rc || !t->last_n ? rc : ask_of_last(t, e);
}

static enum err_code write_sums(struct intake *t, struct ledger_now now, struct err *e)
{
	enum err_code rc = ERR_OK;
	bool unsynced;

	for (size_t i = 0; i < t->n && !rc; i++) {
		struct record r = { .type = RECORD_SUM, .wall_ms = now.wall_ms };

		r.sum = t->sums[i];
		rc = journal_append(
			&t->l->journal, &t->l->hot.head->segment, &r, false, &unsynced, e);
		(void)fault_at("intake.written");
	}
	return rc ? rc : ledger_sync(t->l, e);
}

static enum err_code try_take(struct intake *t, bool *fits, struct err *e)
{
	uint64_t sent;
	bool done;
	enum err_code rc = outbox_ship(t->l, false, 0, &sent, &done, e);

	t->n = t->last_n = 0;
	t->is_known = false;
	tally_fini(&t->here);
	if (!rc)
		rc = copy_table(t, fits, e);
	if (rc || !*fits)
		return rc;
	(void)fault_at("intake.copied");
	rc = redis_each_node(t->l->conf.redis, scan_node, t, e);
	if (!rc)
		rc = look_behind(t, e);
	*fits = !t->is_known;
	return rc;
}

enum err_code ledger_take_all(
	struct ledger *l, struct ledger_now now, uint64_t *taken, struct err *e)
{
	struct intake *t;
	bool fits = false;
	int fd;
	enum err_code rc;

	*taken = 0;
	if (!l->conf.redis)
		return err_param(
			e, ERR_RANGE, "GATEWAY_STORE", "there is no Redis to take the books from");
	rc = home_lock(l->home, LOCK, LEDGER_WAIT_MS, &fd, e);
	if (rc)
		return rc;
	t = calloc(1, sizeof(*t));
	if (!t) {
		close(fd);
		return err_set(e, ERR_NO_MEMORY, "no memory to take the books from Redis");
	}
	t->l = l;
	tally_init(&t->here, sizeof(uint64_t), sizeof(struct account));
	for (int i = 0; i < TRIES && !fits && !rc; i++)
		rc = try_take(t, &fits, e);
	if (!rc && !fits)
		rc = err_set(e, ERR_BUSY,
			"requests of this host are being settled with Redis all the time: stop its "
			"handlers, or set GATEWAY_STORE=gdbm for them first");
	keep_one_of_each(t);
	if (!rc)
		rc = write_sums(t, now, e);
	if (!rc)
		*taken = t->n;
	tally_fini(&t->here);
	free(t->sums);
	free(t);
	close(fd);
	return rc;
}
