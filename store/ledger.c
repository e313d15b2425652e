#include "store/ledger.h"

#include "base/clock.h"
#include "base/crypto.h"
#include "base/log.h"
#include "store/admit.h"
#include "store/books.h"
#include "store/fault.h"
#include "store/fold.h"
#include "store/outbox.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SEGMENT_BYTES (INT64_C(4) << 20)
#define SEGMENT_MS    (INT64_C(15) * 60000)
#define SETTLE_WAIT   50 /* ms; the record is safe, the table can wait */
#define REAP_MS       1000
#define ALARM_MS      60000
#define SHIP_MS       1000

struct ledger_now ledger_now(void)
{
	return (struct ledger_now){ clock_wall_ms(), clock_mono_ms() };
}

struct ledger_id ledger_id(struct slice text)
{
	uint8_t hash[SHA256_BYTES];
	struct ledger_id id;

	crypto_sha256(text, hash);
	memcpy(id.word, hash, sizeof(id.word));
	id.word[0] |= id.word[0] == 0;
	return id;
}

static bool is_nearly_full(const struct hot_head *head)
{
	return hot_peek(&head->accounts_used) >= head->accounts / 10 * 9;
}

/* May the table that was left be used? With nobody attached, the files may have been put back
 * from a backup: the journal has to be the one that the table has followed. And a table that is
 * nearly full is better made anew, larger. */
static bool is_fit(struct ledger *l)
{
	struct hot_head *head = l->hot.head;
	uint64_t first, last, n;
	struct record r;
	bool same;

	if (hot_lock(&l->hot, LEDGER_WAIT_MS, NULL) != ERR_OK)
		return false;
	same = journal_list(&l->journal, &first, &last, &n, NULL) == ERR_OK && n > 0 &&
	       last >= head->segment &&
	       journal_is_complete(&l->journal, head->segment, head->segment, NULL) == ERR_OK;
	if (same && head->applied >= RECORD_BYTES)
		same = journal_read(&l->journal, head->segment, head->applied - RECORD_BYTES, &r,
			       NULL) == ERR_OK &&
		       (r.crc == head->last_crc || head->closing);
	same = same && !is_nearly_full(head);
	hot_unlock(&l->hot);
	return same;
}

enum err_code ledger_open(
	struct ledger **out, const struct ledger_conf *conf, struct ledger_now now, struct err *e)
{
	struct ledger *l = calloc(1, sizeof(*l));
	enum err_code rc;

	*out = NULL;
	if (!l)
		return err_set(e, ERR_NO_MEMORY, "no memory for the ledger");
	l->conf = *conf;
	if (!l->conf.segment_bytes)
		l->conf.segment_bytes = SEGMENT_BYTES;
	if (!l->conf.segment_ms)
		l->conf.segment_ms = SEGMENT_MS;
	l->pid = (uint64_t)getpid();
	l->born = lease_owner_born(l->pid);
	l->hot.state_fd = -1;
	follow_init(&l->follow, &l->journal);
	rc = journal_open(&l->journal, conf->home, e);
	if (!rc && !slice_copy(slice_of(conf->home), l->home, sizeof(l->home)))
		rc = err_set(e, ERR_STORE, "the path of GATEWAY_HOME is too long");
	if (!rc && !l->born)
		rc = err_set(e, ERR_STORE, "/proc cannot be read: the store needs it");
	if (!rc && conf->redis)
		rc = ledger_redis_init(l, e);
	if (!rc)
		rc = hot_attach(&l->hot, l->home, l->journal.store, e);
	if (!rc && l->hot.is_first && (!l->hot.head || !is_fit(l)))
		rc = books_build(l, now, e);
	if (!rc && l->hot.is_first)
		rc = hot_publish(&l->hot, e);
	if (rc) {
		ledger_close(l);
		return rc;
	}
	/* Redis has to hear first what was kept here before it was asked. */
	if (conf->redis && !atomic_load(&l->hot.head->shipped_segment))
		(void)outbox_tick(l, now, NULL);
	*out = l;
	return ERR_OK;
}

void ledger_close(struct ledger *l)
{
	if (!l)
		return;
	follow_fini(&l->follow);
	hot_detach(&l->hot);
	journal_close(&l->journal);
	free(l);
}

struct health *ledger_health(struct ledger *l)
{
	return l ? l->hot.health : NULL;
}

/* ---- a request ---- */

/* Would what is admitted still fit on the disk? */
static enum err_code judge_trouble(struct ledger *l, struct err *e)
{
	uint64_t trouble = atomic_load(&l->hot.head->trouble);

	if (trouble & HOT_SYNC_FAILED)
		return err_set(e, ERR_STORE,
			"the disk of %s fails: no new requests until the books are saved", l->home);
	if (trouble & HOT_NO_SPACE)
		return err_set(e, ERR_STORE,
			"the disk of %s is full: no new requests until there is room", l->home);
	return ERR_OK;
}

static enum err_code lock_with_room(struct ledger *l, struct err *e)
{
	enum err_code rc = books_lock(l, LEDGER_WAIT_MS, e);

	if (rc)
		return rc;
	if (books_room_needed(&l->hot) > atomic_load(&l->hot.head->room)) {
		hot_unlock(&l->hot);
		rc = books_ask_room(l, e);
		if (!rc)
			rc = books_lock(l, LEDGER_WAIT_MS, e);
		if (rc)
			return rc;
	}
	rc = judge_trouble(l, e);
	if (rc)
		hot_unlock(&l->hot);
	return rc;
}

/* Ends an open reservation in the table; false when it was not open any more, or cannot be ended
 * now and will be reaped. */
static bool end_here(struct ledger *l, struct ledger_lease *lease)
{
	struct lease *open;
	bool ended;

	if (!lease->is_open || books_lock(l, LEDGER_WAIT_MS, NULL) != ERR_OK)
		return false;
	open = lease_find(&l->hot, lease->index, lease->generation);
	ended = open && lease_state(open) == LEASE_OPEN;
	if (ended) {
		hot_begin(&l->hot);
		lease_end(&l->hot, open, 0);
		(void)fault_at("ledger.releasing");
		hot_commit(&l->hot);
	}
	hot_unlock(&l->hot);
	lease->is_open = false;
	return ended;
}

/* By the table of this host. */
static enum err_code reserve_here(struct ledger *l, struct ledger_now now, struct ledger_ask *ask,
	struct ledger_lease *lease, struct ledger_refusal *refusal, struct err *e)
{
	const struct lease owner = { .pid = l->pid, .born = l->born };
	struct admit a;
	enum err_code rc = lock_with_room(l, e);

	if (rc)
		return rc;
	rc = admit_decide(&a, &l->hot, now, ask, refusal, e);
	if (!rc)
		rc = admit_take(&a, &l->hot, now, &owner, ask, lease, e);
	hot_unlock(&l->hot);
	(void)fault_at("ledger.reserved");
	return rc;
}

/* It is not known whether Redis holds it: whoever reaps next tells Redis to give it back. Not when
 * a quarter of all places wait for that, because Redis is away. */
static void abandon(struct ledger *l, struct ledger_now now, struct ledger_lease *lease)
{
	struct lease *open;

	if (hot_peek(&l->hot.head->leases_used) > l->hot.head->leases / 4) {
		(void)end_here(l, lease);
		return;
	}
	lease->is_open = false;
	if (books_lock(l, LEDGER_WAIT_MS, NULL) != ERR_OK)
		return;
	open = lease_find(&l->hot, lease->index, lease->generation);
	if (open) {
		hot_begin(&l->hot);
		hot_set(&l->hot, &open->deadline_ms, now.mono_ms - 1);
		hot_commit(&l->hot);
	}
	hot_unlock(&l->hot);
}

/* By Redis. A place of a lease is taken here first: it promises room in the journal, makes the
 * settle happen once, and whoever reaps it tells Redis. */
static enum err_code reserve_shared(struct ledger *l, struct ledger_now now, struct ledger_ask *ask,
	struct ledger_lease *lease, struct ledger_refusal *refusal, struct err *e)
{
	const struct lease owner = { .pid = l->pid, .born = l->born };
	const struct admit nothing = { .n = 0 };
	enum err_code rc = lock_with_room(l, e);

	if (rc)
		return rc;
	rc = admit_take(&nothing, &l->hot, now, &owner, ask, lease, e);
	hot_unlock(&l->hot);
	if (rc)
		return rc;
	rc = ledger_redis_reserve(l, now, ask, lease, refusal, e);
	if (rc == ERR_STORE)
		abandon(l, now, lease);
	else if (rc)
		(void)end_here(l, lease);
	lease->is_shared = !rc;
	return rc;
}

/* While Redis is away, by what this host knows. The balances are not known: a credit may have
 * come in, and most was spent, elsewhere. */
static enum err_code reserve_alone(struct ledger *l, struct ledger_now now, struct ledger_ask *ask,
	struct ledger_lease *lease, struct ledger_refusal *refusal, struct err *e)
{
	struct ledger_limit known[LEDGER_LIMITS];
	size_t which[LEDGER_LIMITS] = { 0 };
	struct ledger_ask less = *ask;
	enum err_code rc;

	less.limits = known;
	less.limits_n = 0;
	for (size_t i = 0; i < ask->limits_n; i++) {
		if (ask->limits[i].kind == LEDGER_BALANCE) {
			ask->limits[i].remaining = 0;
			ask->limits[i].reset_ms = LEDGER_NEVER;
			continue;
		}
		which[less.limits_n] = i;
		known[less.limits_n++] = ask->limits[i];
	}
	rc = reserve_here(l, now, &less, lease, refusal, e);
	lease->is_alone = !rc;
	for (size_t i = 0; i < less.limits_n; i++)
		ask->limits[which[i]] = known[i];
	if (rc == ERR_NO_CREDIT || rc == ERR_RATE_LIMITED)
		refusal->limit = which[refusal->limit];
	return rc;
}

enum err_code ledger_reserve(struct ledger *l, struct ledger_now now, struct ledger_ask *ask,
	struct ledger_lease *lease, struct ledger_refusal *refusal, struct err *e)
{
	enum err_code rc = admit_check(ask, e);

	*lease = (struct ledger_lease){ .id = ask->id };
	*refusal = (struct ledger_refusal){ 0 };
	if (rc)
		return rc;
	if (!l->conf.redis || !ask->limits_n)
		return reserve_here(l, now, ask, lease, refusal, e);
	rc = reserve_shared(l, now, ask, lease, refusal, e);
	if (rc != ERR_STORE || !l->conf.fail_open)
		return rc;
	return reserve_alone(l, now, ask, lease, refusal, e);
}

enum err_code ledger_look(struct ledger *l, struct ledger_now now, struct ledger_limit *limits,
	size_t limits_n, struct err *e)
{
	struct ledger_ask ask = { .id = { { 1, 0 } }, .limits = limits, .limits_n = limits_n };
	enum err_code rc = admit_check(&ask, e);

	if (!rc && l->conf.redis)
		return ledger_redis_look(l, now, &ask, e);
	if (!rc)
		rc = books_lock(l, LEDGER_WAIT_MS, e);
	if (rc)
		return rc;
	rc = admit_look(&l->hot, now, &ask, e);
	hot_unlock(&l->hot);
	return rc;
}

/* Was a request of this id settled, as far as one remembers? What half an id says is looked up. */
static bool was_settled(struct ledger *l, struct ledger_id id)
{
	uint64_t segment, number;
	struct record r;

	if (!hot_recent_find(&l->hot, id.word[0], &segment, &number))
		return false;
	if (journal_read(&l->journal, segment, number * RECORD_BYTES, &r, NULL) != ERR_OK)
		return true;
	return r.type == RECORD_SETTLE && memcmp(r.id, id.word, sizeof(r.id)) == 0;
}

/* Claims the lease for writing its record, so that of two settles one writes. */
static enum err_code claim(struct ledger *l, const struct ledger_lease *lease,
	struct record_settle *what, enum ledger_settled *how, struct err *e)
{
	struct lease *open;
	enum err_code rc = books_lock(l, SETTLE_WAIT, e);

	if (rc)
		return rc;
	open = lease->is_open ? lease_find(&l->hot, lease->index, lease->generation) : NULL;
	if (was_settled(l, lease->id) || (open && lease_state(open) == LEASE_SETTLING)) {
		*how = LEDGER_ALREADY;
	} else if (open) {
		hot_begin(&l->hot);
		lease_mark(&l->hot, open, LEASE_SETTLING);
		hot_commit(&l->hot);
	} else {
		what->flags |= RECORD_LATE;
		atomic_fetch_add(&l->hot.head->late, 1);
	}
	hot_unlock(&l->hot);
	return ERR_OK;
}

static void unclaim(struct ledger *l, const struct ledger_lease *lease)
{
	struct lease *open;

	if (!lease->is_open || books_lock(l, LEDGER_WAIT_MS, NULL) != ERR_OK)
		return;
	open = lease_find(&l->hot, lease->index, lease->generation);
	if (open) {
		hot_begin(&l->hot);
		lease_mark(&l->hot, open, LEASE_OPEN);
		hot_commit(&l->hot);
	}
	hot_unlock(&l->hot);
}

static enum err_code check_settle(const struct record_settle *s, struct err *e)
{
	if (s->cost_microusd < 0 || s->cost_microusd > LEDGER_MICROUSD_MAX)
		return err_param(e, ERR_RANGE, "cost_microusd", "a cost of 0..%" PRId64 " is asked",
			LEDGER_MICROUSD_MAX);
	if (s->upstream_microusd < 0 || s->upstream_microusd > LEDGER_MICROUSD_MAX)
		return err_param(e, ERR_RANGE, "upstream_microusd",
			"a cost of 0..%" PRId64 " is asked", LEDGER_MICROUSD_MAX);
	for (unsigned i = 0; i < RECORD_TOKENS; i++)
		if (s->tokens[i] > LEDGER_TOKENS_MAX)
			return err_param(e, ERR_RANGE, "tokens", "0..%" PRId64 " tokens are asked",
				LEDGER_TOKENS_MAX);
	return ERR_OK;
}

static bool sync_is_due(struct ledger *l, int64_t mono_ms)
{
	return books_is_due(&l->hot.head->last_sync_ms, l->conf.sync_ms, mono_ms);
}

/* The record is written. The table follows now or when it is free. */
static enum ledger_settled follow_up(struct ledger *l, struct ledger_now now)
{
	enum ledger_settled how = LEDGER_DEFERRED;

	if (books_lock(l, SETTLE_WAIT, NULL) == ERR_OK) {
		hot_unlock(&l->hot);
		how = LEDGER_SETTLED;
	}
	if (l->conf.sync_ms > 0 && sync_is_due(l, now.mono_ms) && ledger_sync(l, NULL) != ERR_OK)
		how = LEDGER_DEFERRED;
	return how;
}

enum err_code ledger_settle(struct ledger *l, struct ledger_now now, struct ledger_lease *lease,
	struct record_settle *what, enum ledger_settled *how, struct err *e)
{
	struct record r = { .type = RECORD_SETTLE, .wall_ms = now.wall_ms };
	uint64_t segment;
	bool unsynced;
	enum err_code rc = check_settle(what, e);

	*how = LEDGER_SETTLED;
	if (!rc && !lease->id.word[0])
		rc = err_param(e, ERR_RANGE, "id", "a request needs an id");
	if (rc)
		return rc;
	what->lease_index = lease->index;
	what->lease_generation = lease->generation;
	what->reserved_microusd = lease->microusd;
	what->flags &= (uint16_t) ~(RECORD_LATE | RECORD_ALONE);
	if (lease->is_alone)
		what->flags |= RECORD_ALONE;
	/* Whoever sits on the table must not keep money from being written down. */
	rc = claim(l, lease, what, how, e);
	if (rc && rc != ERR_BUSY && rc != ERR_STORE)
		return rc;
	if (*how == LEDGER_ALREADY) {
		lease->is_open = false;
		return ERR_OK;
	}
	(void)fault_at("ledger.claimed");
	memcpy(r.id, lease->id.word, sizeof(r.id));
	r.settle = *what;
	segment = hot_peek(&l->hot.head->segment);
	rc = journal_append(
		&l->journal, &l->hot.head->segment, &r, l->conf.sync_ms == 0, &unsynced, e);
	if (rc) {
		unclaim(l, lease);
		return rc;
	}
	if (unsynced)
		books_sync_failed(l);
	lease->is_open = false;
	(void)fault_at("ledger.written");
	*how = follow_up(l, now);
	if (l->conf.redis && ledger_redis_tell(l, &r, segment, NULL) != ERR_OK)
		*how = LEDGER_DEFERRED;
	return ERR_OK;
}

void ledger_release(struct ledger *l, struct ledger_lease *lease)
{
	const struct ledger_hold hold = { lease->id.word[0], lease->index, lease->generation };

	if (end_here(l, lease) && lease->is_shared)
		(void)ledger_redis_release(l, &hold, 1);
}

/* ---- keeping house ---- */

enum err_code ledger_sync(struct ledger *l, struct err *e)
{
	const struct hot_head *head = l->hot.head;
	uint64_t closing = hot_peek(&head->closing), segment = hot_peek(&head->segment);
	enum err_code rc = closing ? journal_sync(&l->journal, closing, e) : ERR_OK;

	if (!rc)
		rc = journal_sync(&l->journal, segment, e);
	if (rc && rc != ERR_BUSY)
		books_sync_failed(l);
	return rc;
}

static void warn_when_nearly_full(struct ledger *l, int64_t mono_ms)
{
	struct hot_head *head = l->hot.head;

	if (is_nearly_full(head) && books_is_due(&head->last_alarm_ms, ALARM_MS, mono_ms))
		log_line(LOG_ERROR,
			"the store's table has %" PRIu64
			" of %u accounts: restart all processes to make it larger",
			hot_peek(&head->accounts_used), head->accounts);
}

enum err_code ledger_tick(struct ledger *l, struct ledger_now now, struct err *e)
{
	struct hot_head *head = l->hot.head;
	enum err_code rc = ERR_OK;

	if (l->conf.sync_ms > 0 && sync_is_due(l, now.mono_ms))
		rc = ledger_sync(l, e);
	if (books_is_due(&head->last_reap_ms, REAP_MS, now.mono_ms)) {
		ledger_reap(l, now);
		warn_when_nearly_full(l, now.mono_ms);
	}
	if (!rc && (books_room_needed(&l->hot) + JOURNAL_ROOM / 2 > atomic_load(&head->room) ||
			   atomic_load(&head->trouble) & HOT_NO_SPACE))
		rc = books_ask_room(l, e);
	if (fold_is_due(l, now)) {
		enum err_code folded = fold_run(l, now, 0, e);

		/* Another is at it: fine. */
		if (folded && folded != ERR_BUSY)
			rc = folded;
	}
	if (!rc && l->conf.redis && books_is_due(&head->last_ship_ms, SHIP_MS, now.mono_ms))
		rc = outbox_tick(l, now, e);
	return rc;
}

enum err_code ledger_status(struct ledger *l, struct ledger_status *out, struct err *e)
{
	struct hot_head *head = l->hot.head;
	struct checkpoint_meta meta;
	bool from_prev;
	enum err_code rc = checkpoint_load(
		l->home, CHECKPOINT_LEDGER, l->journal.store, &meta, &from_prev, NULL, NULL, e);

	if (!rc)
		rc = books_lock(l, LEDGER_WAIT_MS, e);
	if (rc)
		return rc;
	*out = (struct ledger_status){
		.segment = head->segment,
		.folded_segment = meta.folded,
		.closing_segment = head->closing,
		.segment_bytes = head->applied,
		.room_bytes = atomic_load(&head->room),
		.accounts = head->accounts_used,
		.accounts_max = head->accounts,
		.leases = head->leases_used,
		.leases_max = head->leases,
		.trouble = atomic_load(&head->trouble),
		.owners_died = atomic_load(&head->owners_died),
		.undone = atomic_load(&head->undone),
		.folds = atomic_load(&head->folds),
		.rebuilds = atomic_load(&head->rebuilds),
		.reaped = atomic_load(&head->reaped),
		.late = atomic_load(&head->late),
		.full = atomic_load(&head->full),
		.skipped_bytes = atomic_load(&head->skipped_bytes),
		.last_fold_ms = atomic_load(&head->last_fold_ms),
		.fold_took_ms = atomic_load(&head->fold_took_ms),
		.shipped_segment = atomic_load(&head->shipped_segment),
		.shipped_offset = atomic_load(&head->shipped_offset),
	};
	hot_unlock(&l->hot);
	if (l->conf.redis)
		out->unshipped_bytes =
			outbox_behind(l, (struct ledger_place){ .segment = out->shipped_segment,
						 .offset = out->shipped_offset });
	return ERR_OK;
}
