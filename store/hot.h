/* store/hot.h - the hot table: the memory that all processes of one store share.
 *
 * It holds what admission needs at once: accounts (they follow the journal), meters (how fast),
 * leases (open reservations), the places of recent records, and how providers fare. All of it
 * can be lost: accounts and recent places are made again from checkpoint and journal, and with
 * nobody attached there are no reservations. One robust mutex guards all but the last and is
 * held over memory and page-cache reads only, never over a write, a sync or GDBM.
 *
 * A change is a transaction of words: hot_begin, hot_set…, hot_commit. The old value of a word
 * is noted before the word changes, so the next owner of the mutex takes a dead owner's half
 * change back. On x86-64 and on ARM alike only the compiler must keep the order: a kill stops a
 * thread between two instructions, and the kernel's handing on of the mutex is a full barrier.
 *
 * Where: /dev/shm/tollgate-UID-HASH if that is a memory file system (UID: owner of the home;
 * HASH: its device and inode), else HOME/hot.shm. The first attacher writes the file's identity
 * into HOME/state.lock, which everybody holds shared; who finds another file there is refused,
 * so two tables of one store cannot exist. It also has to be the same boot, ABI and PID
 * namespace. Foreign, linked or open files are refused.
 *
 * Blocking: attaching waits up to HOT_ATTACH_MS for another who is rebuilding; hot_lock as told.
 * Threads:  any; fork only before attaching. Source: store-lab.md section 3.
 */
#ifndef STORE_HOT_H
#define STORE_HOT_H

#include "store/account.h"
#include "store/home.h"
#include "store/meter.h"

#include <pthread.h>
#include <stdatomic.h>

#define HOT_ABI          3
#define HOT_ATTACH_MS    10000
#define HOT_UNDO         320   /* words that one transaction may change */
#define HOT_ACCOUNTS     32768 /* slots, at least; more when the checkpoint has more rows */
#define HOT_ACCOUNTS_MAX (UINT64_C(1) << 24)
#define HOT_METERS       32768
#define HOT_LEASES       16384
#define HOT_RECENT       65536
#define HOT_LEASE_WORDS  16
#define HOT_HOLDS        8 /* distinct subjects one reservation can hold */

enum hot_state {
	HOT_EMPTY = 0,
	HOT_BUILDING, /* whoever finds this builds it anew */
	HOT_VALID,
};

/* Why new reservations are refused, in hot_head.trouble. */
enum hot_trouble {
	HOT_NO_SPACE = 1 << 0,    /* no room can be reserved for the journal */
	HOT_SYNC_FAILED = 1 << 1, /* the disk did not take what was written */
	HOT_BAD_JOURNAL = 1 << 2, /* a bad record stands before good ones: rotate and skip it */
};

struct hot_undo {
	uint64_t offset; /* of a word, from the start of the mapping */
	uint64_t old;
};

struct hot_head {
	uint64_t magic;
	uint32_t abi;
	uint32_t mutex_bytes;
	uint32_t accounts, meters, leases, recent; /* slots; powers of two */
	uint64_t pid_namespace;
	uint8_t store[16];
	char boot[40];
	volatile uint64_t state; /* enum hot_state */
	pthread_mutex_t mutex;

	/* Words, changed by transactions. */
	uint64_t segment;         /* appends go here */
	uint64_t applied;         /* bytes of it that the accounts know */
	uint64_t closing;         /* an older segment that an appender may still be in; 0 = none */
	uint64_t closing_applied; /* bytes of it */
	uint64_t accounts_used;
	uint64_t leases_used;
	uint64_t lease_free; /* index + 1 of the first free one; 0 = none */
	uint64_t last_crc;   /* of the record applied last, to recognise a replaced journal */

	volatile uint64_t undo_valid;
	volatile uint64_t undo_count;
	struct hot_undo undo[HOT_UNDO];

	/* Single words that anybody may change at any time. */
	_Atomic uint64_t room; /* bytes of the segment that the disk has promised */
	_Atomic uint64_t trouble;
	_Atomic int64_t segment_since_ms; /* monotonic; when the segment became current */
	_Atomic int64_t last_sync_ms;
	_Atomic int64_t last_reap_ms;
	_Atomic int64_t last_fold_ms;
	_Atomic int64_t last_alarm_ms;
	_Atomic int64_t fold_took_ms;
	_Atomic int64_t last_ship_ms, last_away_ms;
	_Atomic uint64_t shipped_segment, shipped_offset; /* store/outbox.h; for operators */

	/* Counters for operators. */
	_Atomic uint64_t owners_died, undone, folds, rebuilds, reaped, late, full, skipped_bytes;
};

/* An open reservation. Sixteen words. */
struct lease {
	uint64_t state;      /* enum lease_state | generation << 32 */
	uint64_t next;       /* while free: index + 1 of the next free one; 0 = last */
	uint64_t pid;        /* of the owner */
	uint64_t born;       /* its start time, in clock ticks after boot */
	int64_t deadline_ms; /* monotonic */
	int64_t microusd;
	int64_t tokens;
	uint64_t id; /* first half of the request's */
	uint64_t holds[HOT_HOLDS];
};

struct hot_recent {
	uint64_t id;    /* first half of the request's; 0 = empty */
	uint64_t place; /* segment << 24 | number of the record in it */
};

struct hot {
	struct hot_head *head;
	struct account *accounts;
	struct meter *meters;
	struct lease *leases;
	struct hot_recent *recent;
	struct health *health; /* changed without the mutex: store/health.h */
	size_t bytes;
	int state_fd; /* HOME/state.lock, held shared while attached */
	bool is_first;
	char path[HOME_PATH_MAX];
};

/* Attaches. When h->is_first, nobody else is: then h->head is the table that was left, or NULL
 * when there is none of this store, boot and program; the caller may hot_create a new one, fills
 * it, and calls hot_publish, for which all others wait. When not first, the table is ready.
 * ERR_STORE with what is wrong and what mends it; ERR_BUSY when a rebuild takes too long.
 * h is empty on failure; hot_detach ends it. */
MUST_CHECK enum err_code hot_attach(
	struct hot *h, const char *home, const uint8_t store[16], struct err *e);

/* Makes an empty table with room for twice as many accounts as there are rows, after the
 * self-test. */
MUST_CHECK enum err_code hot_create(
	struct hot *h, const char *home, const uint8_t store[16], uint64_t rows, struct err *e);

/* Lets the others in. */
MUST_CHECK enum err_code hot_publish(struct hot *h, struct err *e);
void hot_detach(struct hot *h);

/* Does a robust mutex tell of its owner's death here? Forks, kills the child, and looks.
 * ERR_STORE when it does not: the store cannot be used on this C library or kernel. */
MUST_CHECK enum err_code hot_self_test(struct err *e);

/* Takes the mutex, after repairing what a dead owner left half done. ERR_BUSY after wait_ms;
 * ERR_STORE when the table must be built anew (state is then not HOT_VALID) or is beyond use. */
MUST_CHECK enum err_code hot_lock(struct hot *h, int64_t wait_ms, struct err *e);
void hot_unlock(struct hot *h);

/* The same for who rebuilds: takes it whatever the state is. */
MUST_CHECK enum err_code hot_lock_any(struct hot *h, int64_t wait_ms, struct err *e);

/* Empties accounts and recent places for a rebuild in place, keeping meters and leases. The
 * caller holds the mutex; state is HOT_BUILDING until it sets HOT_VALID. */
void hot_wipe(struct hot *h);

/* ---- under the mutex, or alone before hot_publish ---- */

typedef uint64_t hot_word __attribute__((may_alias));

/* Reads a word without the mutex: as it was at some moment just now. */
static inline uint64_t hot_peek(const uint64_t *word)
{
	return __atomic_load_n(word, __ATOMIC_ACQUIRE);
}

static inline void hot_barrier(void)
{
	atomic_signal_fence(memory_order_seq_cst);
}

static inline void hot_begin(struct hot *h)
{
	h->head->undo_count = 0;
	hot_barrier();
	h->head->undo_valid = 1;
	hot_barrier();
}

void hot_set_word(struct hot *h, hot_word *word, uint64_t value);

#define hot_set(h, word, value) hot_set_word((h), (hot_word *)(word), (uint64_t)(value))

/* Sets those of n words that differ. */
void hot_copy(struct hot *h, void *to, const void *from, size_t n);

static inline void hot_commit(struct hot *h)
{
	hot_barrier();
	h->head->undo_valid = 0;
	hot_barrier();
}

/* Takes the transaction back. */
void hot_abort(struct hot *h);

/* The slot of a subject, or NULL. */
struct account *hot_account(const struct hot *h, uint64_t subject);
/* The same, taking an empty slot inside the transaction; NULL when the table is 15/16 full. */
struct account *hot_account_make(struct hot *h, uint64_t subject);

struct meter *hot_meter(const struct hot *h, uint64_t subject);
/* The slot to use for subject: its own, else an empty one, else the one least worth keeping
 * (whose content the caller overwrites); NULL when all that it could have are in use. */
struct meter *hot_meter_place(const struct hot *h, uint64_t subject, int64_t mono_ms);

/* Where the record of a request stands; false = not among the recent ones. */
bool hot_recent_find(const struct hot *h, uint64_t id, uint64_t *segment, uint64_t *number);
void hot_recent_put(struct hot *h, uint64_t id, uint64_t segment, uint64_t number);

#endif
