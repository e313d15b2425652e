/* store/flights_table.h - the inside of flights_host.c: the table of who leads what, in memory that
 * all processes of a store share.
 *
 * A slot's word says its state, its generation and how many follow; it changes by
 * compare-and-swap, and everything else hangs on it:
 *
 *     FREE ── claim ──> FLYING ── end, followed ──> DONE ── the last follower ends ──> FREE
 *                       FLYING ── end, not followed, or failed; its leader is dead ──> FREE
 *                       FLYING ── too long to share ──> CLOSED ── end ──> FREE
 *
 * A claim makes the next generation. Whoever is told a slot keeps its generation with it, and what
 * has another is no affair of theirs. Key and owner of a slot are written before the word says
 * FLYING; a claim and a look at keys happen under the lock of the bucket, so that a key has one
 * leader. Who dies within the lock leaves nothing half done: the slot is still FREE.
 *
 * An owner is a process, by its id and start time, in one word; so a lock is taken from a dead one
 * in one step. From a living one it is never taken: who waits too long goes without.
 */
#ifndef STORE_FLIGHTS_TABLE_H
#define STORE_FLIGHTS_TABLE_H

#include "store/cache.h"
#include "store/home.h"

#include <stdatomic.h>

#define FLIGHT_BUCKETS  128
#define FLIGHT_WAYS     8
#define FLIGHT_KEEP_MS  30000 /* after its end an answer waits so long for who does not read it */
#define FLIGHT_LOOK_MS  100   /* between two looks whether a leader lives */
#define FLIGHT_MOST     60000 /* who follow one leader */
#define FLIGHT_PATH_MAX (HOME_PATH_MAX + 64)

enum flight_state { FLIGHT_FREE, FLIGHT_FLYING, FLIGHT_CLOSED, FLIGHT_DONE };

struct flight_slot {
	_Atomic uint64_t owner;   /* of the leader */
	struct cache_key key;     /* under the lock */
	_Atomic uint32_t news;    /* counts what came; waited for with futex() */
	_Atomic int64_t seen_ms;  /* monotonic: when the leader was last known to live */
	_Atomic int64_t ended_ms; /* monotonic: DONE since */
	uint8_t spare[56];
};
_Static_assert(sizeof(struct flight_slot) == 128, "a slot has its own cache lines");

struct flight_bucket {
	_Atomic uint64_t lock; /* owner; 0 = nobody's */
	uint64_t spare[7];
	_Atomic uint64_t words[FLIGHT_WAYS]; /* side by side, so that looking is quick */
	struct flight_slot slots[FLIGHT_WAYS];
};

struct flight_table_head {
	uint64_t magic;
	uint32_t abi;
	uint32_t bytes;
	uint64_t id; /* of this table: files of another one are not its */
	uint64_t pid_namespace;
	uint64_t home[2]; /* device and inode */
	char boot[40];
	uint8_t spare[40];
};

struct flight_table {
	struct flight_table_head head;
	struct flight_bucket buckets[FLIGHT_BUCKETS];
};

/* Where a slot is, and which of its lives. */
struct flight_place {
	unsigned bucket, way;
	uint32_t generation;
};

/* What a file of an answer begins with. */
struct flight_file_head {
	uint64_t magic;
	uint64_t owner;
	struct cache_key key;
	uint32_t generation;
	uint32_t spare;
};

/* ---- words ---- */

static inline uint64_t flight_word(uint32_t generation, enum flight_state state, uint32_t followers)
{
	return (uint64_t)generation << 32 | (uint64_t)state << 24 | followers;
}

static inline uint32_t flight_generation(uint64_t word)
{
	return (uint32_t)(word >> 32);
}

static inline enum flight_state flight_state(uint64_t word)
{
	return (enum flight_state)(word >> 24 & 0xFF);
}

static inline uint32_t flight_followers(uint64_t word)
{
	return (uint32_t)(word & 0xFFFFFF);
}

/* ---- the table of a process ---- */

struct flight_map {
	struct flight_table *table;
	uint64_t me;      /* owner */
	const char *home; /* lent */
	char path[HOME_PATH_MAX];
};

/* Maps the table of home; one that is not of this boot, program, store or PID namespace is made
 * anew under the same name, and who uses the old one goes on with it. Ends what dead processes
 * left. ERR_STORE, ERR_BUSY. */
MUST_CHECK enum err_code flight_map_open(struct flight_map *m, const char *home, struct err *e);
void flight_map_close(struct flight_map *m);

bool flight_owner_lives(const struct flight_map *m, uint64_t owner);

static inline struct flight_slot *flight_slot(const struct flight_map *m, struct flight_place p)
{
	return &m->table->buckets[p.bucket].slots[p.way];
}

static inline _Atomic uint64_t *flight_word_of(const struct flight_map *m, struct flight_place p)
{
	return &m->table->buckets[p.bucket].words[p.way];
}

/* The file of an answer that is followed: which process and generation it is of is in its name. */
void flight_file_path(const struct flight_map *m, struct flight_place p, char out[FLIGHT_PATH_MAX]);

/* False: another held it too long. */
MUST_CHECK bool flight_lock(const struct flight_map *m, unsigned bucket);
void flight_unlock(const struct flight_map *m, unsigned bucket);

/* Tells who waits that there is something new. */
void flight_wake(struct flight_slot *s);
/* Waits up to ms until news is not what was seen. */
void flight_wait(struct flight_slot *s, uint32_t seen, int64_t ms);

/* If its leader is dead: frees the slot, removes the file, tells followers. Asks /proc at most
 * every FLIGHT_LOOK_MS. True: that life of the slot is over. */
bool flight_bury(const struct flight_map *m, struct flight_place p, int64_t mono_ms);

/* The same for all slots, and for answers that nobody reads to their end. True: something was. */
bool flight_sweep(const struct flight_map *m, int64_t mono_ms);

/* Frees the slot, whoever follows; removes its file. False: that life was over already. */
bool flight_free_slot(const struct flight_map *m, struct flight_place p);

#endif
