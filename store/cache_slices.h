/* store/cache_slices.h - remembered answers in GDBM files, each for a slice of time: what
 * cache_slices.c is made of. Nobody else.
 *
 * An entry lies in the slice in which it expires. A slice whose time is over is unlinked whole, and
 * so is the oldest when there is no room; nothing is ever deleted inside a file. The files stand in
 * the folder HOME/cache (or in one on /dev/shm), beside
 *
 *     cache.lock   shared by all who use the folder; who has it alone may make the head anew
 *     cache.head   mapped by all: which slices there are, which entry is where, figures
 *
 * The head has one robust mutex, over every access to slices. GDBM is changed in place, which a
 * killed process leaves half done: the head says in which slice, and the next owner of the mutex
 * drops that one. An entry that is not in the head's index is not there, whatever lies in the
 * files: so it is replaced, purged and moved by changing one word.
 *
 * Handles of GDBM know nothing of changes by others: each slice counts its changes, and a handle
 * that has missed one is opened anew. So that this is rare, processes that write at the same time
 * write into different slices.
 */
#ifndef STORE_CACHE_SLICES_H
#define STORE_CACHE_SLICES_H

#include "store/cache_inside.h"
#include "store/home.h"

#include <pthread.h>
#include <stdatomic.h>

#define SLICES_ROWS     128 /* of slices at once; a power of two */
#define SLICES_SHARE    8 /* a slice holds up to this part of what there may be, in time and room */
#define SLICES_WRITERS  4 /* of slices of the same time at once, before one is shared */
#define SLICES_WAYS     8 /* entries of a bucket of the index */
#define SLICES_KEY      32                /* bytes */
#define SLICES_GDBM     64                /* what GDBM itself takes for an entry, about */
#define SLICES_FILE     32768             /* what an almost empty file takes, about */
#define SLICES_HELD_MAX ((size_t)4 << 20) /* GDBM keeps the values it has read with a handle */

/* The row of slice n is rows[n % SLICES_ROWS]. Under the mutex, as all that is not _Atomic. */
struct slices_row {
	uint32_t number;     /* its file is slice.NUMBER; 0 = the row is free */
	uint32_t changes;    /* so many times it was changed, by whomever */
	int64_t until_ms;    /* everything in it has expired then */
	int64_t width_ms;    /* what it is a slice of */
	int64_t first_ms;    /* when it was made … */
	int64_t last_ms;     /* … and changed last */
	uint64_t entries;    /* that the index has of it, and … */
	uint64_t bytes;      /* … what they take */
	uint64_t dead_bytes; /* of entries in the file that are replaced or forgotten */
	uint64_t hits;       /* of its entries, that were found at least once */
	uint64_t file_bytes;
	uint64_t spare_bytes; /* about: free in one piece */
	uint64_t writer;      /* who wrote last */
};

/* An entry of the index. */
struct slices_slot {
	_Atomic uint64_t tag;   /* the first 8 bytes of its key; 0 = none */
	_Atomic uint64_t place; /* slice << 32 | was hit << 31 | bytes */
};

struct slices_head {
	uint64_t magic;
	uint32_t version, mutex_bytes;
	uint64_t buckets; /* a power of two */
	uint64_t check;   /* of the four before */
	int64_t since_ms;
	pthread_mutex_t mutex;
	uint32_t held;    /* the mutex is: 1 in the head of a process that was killed */
	uint32_t writing; /* the slice that is being changed; 0 = none */
	uint32_t last;    /* number given to a slice */
	uint64_t entries, bytes, file_bytes; /* sums of the rows */
	_Atomic uint64_t counted[CACHE_EVENTS_N];
	_Atomic int64_t saved_microusd;
	_Atomic uint64_t writers; /* numbers given to those who opened it */
	struct slices_row rows[SLICES_ROWS];
};

struct gdbm_file_info;

/* Of this process; under the mutex, too. */
struct slices_handle {
	uint32_t number, changes; /* what it was opened for */
	struct gdbm_file_info *dbf;
	size_t held; /* bytes it has fetched */
};

struct slices {
	struct cache base;
	uint64_t me; /* a writer's number */
	char folder[HOME_PATH_MAX];
	int lock_fd;
	struct slices_head *head;
	size_t mapped_bytes;
	struct slices_slot *slots;
	char blank[SLICES_FILE]; /* a file without entries, */
	size_t blank_bytes;      /* once it was needed */
	struct slices_handle handles[SLICES_ROWS];
	uint32_t doomed[SLICES_ROWS]; /* files to be unlinked once the mutex is free */
	unsigned doomed_n;
	_Atomic int64_t stuck_until_ms; /* monotonic: somebody kept the mutex for too long */
};

/* ---- cache_slices_head.c: the folder, the head, its mutex ---- */

MUST_CHECK enum err_code slices_attach(struct slices *s, struct err *e);
void slices_detach(struct slices *s);

/* False when another held it for so long. Mends what one left who died with it. */
MUST_CHECK bool slices_lock(struct slices *s, int64_t wait_ms);
/* Unlinks what is doomed, too. */
void slices_unlock(struct slices *s);

void slices_path(const struct slices *s, uint32_t number, char out[HOME_PATH_MAX]);

/* Dooms every file of the folder that belongs to no slice. */
void slices_sweep(struct slices *s);

/* ---- cache_slices_index.c: which entry is where ---- */

static inline struct slices_row *slices_row(const struct slices *s, uint32_t number)
{
	struct slices_row *row = &s->head->rows[number % SLICES_ROWS];

	return number && row->number == number ? row : NULL;
}

/* May it be there? Without the mutex. */
bool slices_seen(const struct slices *s, const uint8_t hash[SLICES_KEY]);

struct slices_at {
	struct slices_slot *slot; /* NULL = it is not there */
	struct slices_row *row;
	uint32_t bytes;
	bool hit;
};
struct slices_at slices_find(const struct slices *s, const uint8_t hash[SLICES_KEY]);

void slices_mark_hit(const struct slices_at *at);
void slices_forget(struct slices *s, const struct slices_at *at);

/* Says that it lies in row, in the place of where it was; bytes: the value's. */
void slices_place(
	struct slices *s, const uint8_t hash[SLICES_KEY], struct slices_row *row, size_t bytes);

/* Makes the counts of entries and bytes from the index. */
void slices_recount(struct slices *s);

/* ---- cache_slices_file.c: the slices themselves ---- */

/* A slice in which an entry that expires then has its place and room for its bytes; not the one
 * numbered besides; best one that no other process writes into. NULL: there is none and none can
 * be made. */
struct slices_row *slices_row_for(
	struct slices *s, int64_t now_ms, int64_t expires_ms, size_t bytes, uint32_t besides);

/* The slice ends here; its file is unlinked with the mutex's release. */
void slices_drop(struct slices *s, struct slices_row *row);

/* Appends to out. ERR_NOT_FOUND: it is not there. ERR_IO: the slice is damaged, and was dropped.
 * ERR_NO_MEMORY. */
MUST_CHECK enum err_code slices_fetch(
	struct slices *s, struct slices_row *row, const uint8_t hash[SLICES_KEY], struct buf *out);

/* Writes into the file and the index. ERR_IO: could not be written, and the slice was dropped. */
MUST_CHECK enum err_code slices_store(struct slices *s, struct slices_row *row, int64_t now_ms,
	const uint8_t hash[SLICES_KEY], struct slice bytes);

/* Lends each key of the slice until f returns false; f may change other slices, and drop this one.
 * ERR_IO: the slice is damaged, and was dropped. */
typedef bool (*slices_on_key)(void *ctx, const uint8_t hash[SLICES_KEY]);
MUST_CHECK enum err_code slices_walk(
	struct slices *s, struct slices_row *row, slices_on_key f, void *ctx);

void slices_close_handles(struct slices *s);

/* ---- cache_slices_room.c: making room ---- */

/* Which entries are carried into other slices before their slice is dropped. */
typedef bool (*slices_is_kept)(void *ctx, const uint8_t hash[SLICES_KEY], struct slice bytes);

/* What is kept (and has not expired) is moved, then the slice is dropped. */
void slices_rewrite(struct slices *s, struct slices_row *row, int64_t now_ms, bool only_hits,
	slices_is_kept is_kept, void *ctx);

/* Drops what has expired, then what is oldest, until an entry of bytes has room. */
void slices_make_room(struct slices *s, int64_t now_ms, size_t bytes);

#endif
