/* store/ledger.h - who may spend what, and what was spent: reserve, settle, release.
 *
 * Before a request costs anything, its worst case is reserved against every limit that applies:
 * all or none. Afterwards the true figures are settled, which writes one line of the journal
 * and gives the rest back; or the reservation is released, which writes nothing. A reservation
 * whose process dies, or whose deadline passes, is given back by whoever next ticks.
 *
 * Subjects are made with account_subject() and account_member(). A request's own accounts (key,
 * user, organisation, member, provider) follow from the ids in struct record_settle; the
 * organisation's balance pays if there is one, else the user's. Addresses are only limited:
 * name them in limits, never in records.
 *
 * Ids: a request's id must be one that this gateway made (a client's own X-Request-Id may come
 * twice); ledger_id() shortens any text to 128 bits of its SHA-256.
 *
 * Time:   every call takes it. wall_ms decides days, months and what is written down; mono_ms
 *         decides rates and deadlines, so a clock that is set does neither harm nor good.
 * Units:  microdollars, tokens, milliseconds. Amounts of one request 0..LEDGER_MICROUSD_MAX.
 * Errors: ERR_NO_CREDIT and ERR_RATE_LIMITED are refusals; ERR_STORE and ERR_BUSY mean the books
 *         cannot be kept now: nothing was reserved, and the message says what to mend.
 * Threads: any, but for open and close. Never fork with a ledger open.
 * Blocking: reserve and release: up to LEDGER_WAIT_MS for the table. settle: one write, and a
 *         sync when one is due. tick and fold: a fold copies the checkpoints (1-100 ms).
 *
 * Several hosts: with a Redis, limits are decided and totals are kept there, by one call to
 * reserve and one to settle; its clock decides. This host's journal is still written first, and
 * whatever of it Redis does not know is sent later, once for each id (store/outbox.h). Reading
 * (account, usage, look) is from Redis, too, and ERR_STORE when it is away; then
 *   fail_open false: what has limits is refused: ERR_STORE, with retry_after_ms;
 *   fail_open true:  this host's own figures decide; balances, which it does not know, are not
 *                    asked; the record says RECORD_ALONE.
 * Sums stop at 2^53 - 1 microdollars there, which is 9,007,199,254 USD.
 */
#ifndef STORE_LEDGER_H
#define STORE_LEDGER_H

#include "base/buf.h"
#include "store/account.h"
#include "store/usage.h"

#define LEDGER_LIMITS       16
#define LEDGER_SUBJECTS     8 /* distinct ones in the limits of a request */
#define LEDGER_MICROUSD_MAX INT64_C(100000000000000)
#define LEDGER_TOKENS_MAX   INT64_C(1000000000)
#define LEDGER_WAIT_MS      1000
#define LEDGER_NEVER        INT64_MAX

struct ledger;
struct health;
struct redis;

struct ledger_now {
	int64_t wall_ms; /* since 1970 UTC */
	int64_t mono_ms;
};

struct ledger_now ledger_now(void); /* of the two clocks */

struct ledger_id {
	uint64_t word[2];
};

struct ledger_id ledger_id(struct slice text);

enum ledger_keep {
	LEDGER_DROP,     /* folded segments are removed */
	LEDGER_COMPRESS, /* and kept compressed in HOME/archive */
};

struct ledger_conf {
	const char *home;      /* GATEWAY_HOME; exists already */
	int64_t sync_ms;       /* at most so long unsynced; 0 = every settle waits for the disk */
	enum ledger_keep keep; /* GATEWAY_JOURNAL_KEEP */
	int64_t segment_bytes; /* a segment is folded at this size … */
	int64_t segment_ms;    /* … or this age; 0 = the defaults, 4 MB and 15 minutes */
	struct redis *redis; /* of several hosts, lent until ledger_close; NULL = this host alone */
	bool fail_open;      /* GATEWAY_STORE_FAIL=open */
};

/* Attaches to the store, or makes it; after a reboot or a loss of the table rebuilds it.
 * ERR_STORE, ERR_BUSY. */
MUST_CHECK enum err_code ledger_open(
	struct ledger **out, const struct ledger_conf *conf, struct ledger_now now, struct err *e);
void ledger_close(struct ledger *l);

/* How providers fare, for as long as the ledger is open; NULL without one. */
struct health *ledger_health(struct ledger *l);

/* ---- a request ---- */

enum ledger_limit_kind {
	LEDGER_BALANCE,         /* money: balance + ceiling (an overdraft, mostly 0) */
	LEDGER_SPEND_DAY,       /* money in this UTC day */
	LEDGER_SPEND_MONTH,     /* money in this UTC month */
	LEDGER_SPEND_TOTAL,     /* money ever */
	LEDGER_REQUESTS_MINUTE, /* a bucket of one minute's worth, filling steadily */
	LEDGER_TOKENS_MINUTE,   /* the same in tokens; corrected at settle */
	LEDGER_REQUESTS_HOUR,   /* strict: at most so many in any 60 minutes; ..65535 */
	LEDGER_CONCURRENT,      /* requests at once */
	LEDGER_LIMIT_KINDS
};

struct ledger_limit {
	uint64_t subject;
	enum ledger_limit_kind kind;
	int64_t ceiling;   /* in the kind's unit, 0 = nothing is admitted */
	int64_t remaining; /* out: left now (after the reservation, if it was admitted), >= 0 */
	int64_t reset_ms;  /* out: until everything is left again, if nobody takes; LEDGER_NEVER */
};

struct ledger_ask {
	struct ledger_id id;
	int64_t microusd;    /* worst case */
	int64_t tokens;      /* worst case */
	int64_t deadline_ms; /* on the monotonic clock: the request's own, and some seconds */
	struct ledger_limit *limits;
	size_t limits_n; /* 0..LEDGER_LIMITS; 0 reserves only the place of a lease */
};

/* What an admitted request holds. By value, the caller's; { 0 } holds nothing. One thread at a
 * time; a copy of it is not another reservation. */
struct ledger_lease {
	struct ledger_id id;
	uint32_t index;
	uint32_t generation;
	int64_t microusd;
	bool is_open;
	bool is_shared; /* the limits hold it in Redis */
	bool is_alone;  /* admitted while Redis was away */
};

struct ledger_refusal {
	size_t limit; /* which of the limits: of those that refuse, the one that refuses longest */
	/* After so many ms the same call succeeds if nobody else takes. 0 = as soon as an open
	 * request of this subject ends. LEDGER_NEVER = not before credit is added or a ceiling
	 * is raised. */
	int64_t retry_after_ms;
};

/* Reserves microusd on every subject with a money limit, tokens on those with a token limit,
 * one request and one place on those with such limits: on all or on none. ERR_NO_CREDIT (the
 * money kinds) or ERR_RATE_LIMITED, *refusal then says which and until when. A limit admits
 * what fits exactly, never more, over all processes. */
MUST_CHECK enum err_code ledger_reserve(struct ledger *l, struct ledger_now now,
	struct ledger_ask *ask, struct ledger_lease *lease, struct ledger_refusal *refusal,
	struct err *e);

/* Fills remaining and reset_ms without reserving anything. */
MUST_CHECK enum err_code ledger_look(struct ledger *l, struct ledger_now now,
	struct ledger_limit *limits, size_t limits_n, struct err *e);

enum ledger_settled {
	LEDGER_SETTLED,
	LEDGER_DEFERRED, /* written and safe; the table (or Redis) follows when it is free */
	LEDGER_ALREADY,  /* this request was settled before: nothing was done */
};

/* Writes what the request truly was and ends its lease. When this returns ERR_OK, a kill cannot
 * undo it. Once for each id: again is LEDGER_ALREADY. A lease reaped meanwhile is fine: the cost
 * counts, nothing is released twice. what: lease fields and reserved_microusd are filled here.
 * ERR_RANGE: a figure out of range, ERR_STORE / ERR_BUSY: nothing was written, lease is as
 * before, the same call may be tried again. */
MUST_CHECK enum err_code ledger_settle(struct ledger *l, struct ledger_now now,
	struct ledger_lease *lease, struct record_settle *what, enum ledger_settled *how,
	struct err *e);

/* Ends a reservation of which nothing was used: money, tokens and place are given back, the
 * request stays counted in the rates. Nothing is written. Fails never for the caller: what cannot
 * be released now is reaped at its deadline. */
void ledger_release(struct ledger *l, struct ledger_lease *lease);

/* ---- money in and out ---- */

/* Adds microusd (may be negative) to a subject's balance, durably; once for each id, ever: again
 * sets *already and does nothing. note: up to 191 bytes. Waits up to 10 s for a fold.
 * ERR_RANGE: the amount, or the sum, is out of range. */
MUST_CHECK enum err_code ledger_credit(struct ledger *l, struct ledger_now now, uint64_t subject,
	int64_t microusd, struct ledger_id id, uint64_t actor, struct slice note, bool *already,
	struct err *e);

/* ---- looking ---- */

/* The subject's figures, up to the last settle. One of zeros when there is nothing. */
MUST_CHECK enum err_code ledger_account(
	struct ledger *l, uint64_t subject, struct account *out, struct err *e);

/* The record of a request that was settled not too long ago (in the segments still there, the
 * newest LEDGER_FIND_RECORDS lines at most). ERR_NOT_FOUND. */
#define LEDGER_FIND_RECORDS 1000000
MUST_CHECK enum err_code ledger_find(
	struct ledger *l, struct ledger_id id, struct record *out, struct err *e);

/* Receives a row; anything but ERR_OK stops. */
typedef enum err_code (*ledger_on_usage)(void *ctx, int64_t day, const struct usage_key *key,
	const struct usage_row *row, struct err *e);

/* Every row of the days first..last (days since 1970, at most 3,660), day by day, the lines not
 * yet folded included. */
MUST_CHECK enum err_code ledger_usage(struct ledger *l, int64_t first_day, int64_t last_day,
	ledger_on_usage on_usage, void *ctx, struct err *e);

/* Remembers the text (1..RECORD_NAME_MAX bytes) behind a 64-bit name, and gives the name: the
 * first 64 bits of its SHA-256, never 0. Writes at most once for each name and table. */
MUST_CHECK enum err_code ledger_name(
	struct ledger *l, struct ledger_now now, struct slice text, uint64_t *name, struct err *e);
/* Appends the text. ERR_NOT_FOUND. */
MUST_CHECK enum err_code ledger_name_text(
	struct ledger *l, uint64_t name, struct buf *out, struct err *e);

/* ---- keeping house ---- */

/* After each answer, and every second while idle: sync, reap, ask for room, fold, each when it is
 * due. Troubles are logged, and put into *e for who wants to know. */
enum err_code ledger_tick(struct ledger *l, struct ledger_now now, struct err *e);

/* Brings everything written to the disk, now. */
MUST_CHECK enum err_code ledger_sync(struct ledger *l, struct err *e);

/* Gives back what dead owners and missed deadlines hold; returns how many reservations. */
size_t ledger_reap(struct ledger *l, struct ledger_now now);

struct ledger_status {
	uint64_t segment, folded_segment, closing_segment;
	uint64_t segment_bytes, room_bytes;
	uint64_t accounts, accounts_max, leases, leases_max;
	uint64_t trouble; /* HOT_NO_SPACE | … */
	uint64_t owners_died, undone, folds, rebuilds, reaped, late, full, skipped_bytes;
	int64_t last_fold_ms, fold_took_ms; /* monotonic; ms */
	/* With a Redis: up to where the journal is known there (0 = not found out yet), and the
	 * bytes behind that. */
	uint64_t shipped_segment, shipped_offset, unshipped_bytes;
};

MUST_CHECK enum err_code ledger_status(struct ledger *l, struct ledger_status *out, struct err *e);

/* Sends everything to Redis that it does not know: the books folded so far, when this home was
 * never there, and the journal since; from_start: asks for each record that is still here, however
 * far it was confirmed (a Redis that was put back from an old copy). May be cut off and repeated
 * at any time, and the ledger be in use meanwhile; ends when nothing is left. *sent: records that
 * were missing. ERR_RANGE without a Redis; ERR_BUSY: another process is at it; ERR_STORE. */
MUST_CHECK enum err_code ledger_ship_all(
	struct ledger *l, struct ledger_now now, bool from_start, uint64_t *sent, struct err *e);

/* The way back, before GATEWAY_STORE becomes gdbm on this host, the only one that goes on: first
 * sends everything as above, then brings here what other hosts were credited and have spent, as
 * one line of the journal for each subject (*taken of them), so that balances and budgets are the
 * same. Usage of past days and the ids of credits of other hosts stay where they are. May be
 * repeated; what others do meanwhile, the next time brings. ERR_BUSY: this host's own requests
 * are being told to Redis just now: stop it, or try when it is quiet. Others as above. */
MUST_CHECK enum err_code ledger_take_all(
	struct ledger *l, struct ledger_now now, uint64_t *taken, struct err *e);

#endif
