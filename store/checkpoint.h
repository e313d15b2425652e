/* store/checkpoint.h - what the files that the fold makes contain.
 *
 * HOME/ledger.gdbm: 'm' -> struct checkpoint_meta; 'a' + subject -> an account; 'i' + id -> a
 * credit that was counted; 'n' + name -> its text. HOME/usage.YYYYMMDD.gdbm: 'm' -> meta,
 * 'u' + struct usage_key -> a row. Keys hold numbers as they are in memory; every value has a
 * checksum of key and content in front. Values of one kind all have one size.
 *
 * meta.folded is the last segment that is inside: whoever repeats a fold skips up to it.
 *
 * Threads: a checkpoint belongs to one thread. Blocking: file reads.
 */
#ifndef STORE_CHECKPOINT_H
#define STORE_CHECKPOINT_H

#include "store/account.h"
#include "store/gdbm_file.h"
#include "store/usage.h"

#define CHECKPOINT_FORMAT 1
#define CHECKPOINT_LEDGER "ledger.gdbm"

struct checkpoint_meta {
	uint32_t format;
	uint32_t spare;
	uint8_t store[16];
	uint64_t folded;  /* segment */
	uint64_t settles; /* lines folded, ever */
	uint64_t credits;
	int64_t cost_microusd;
	int64_t credited_microusd;
	uint64_t accounts; /* rows */
	int64_t wall_ms;   /* when it was made */
	uint64_t skipped_bytes;
};

struct checkpoint_credit {
	uint64_t subject;
	int64_t microusd;
	int64_t wall_ms;
};

/* A key of up to 48 bytes, and its slice. */
struct checkpoint_key {
	char bytes[48];
	size_t len;
};

struct checkpoint_key checkpoint_key(char kind, const void *id, size_t n);

static inline struct slice checkpoint_slice(const struct checkpoint_key *k)
{
	return (struct slice){ k->bytes, k->len };
}

/* Writes checksum and content to out. */
void checkpoint_pack(struct slice key, const void *content, size_t n, struct buf *out);
/* False when value is not n bytes of content with the right checksum in front. */
MUST_CHECK bool checkpoint_unpack(struct slice key, struct slice value, void *content, size_t n);

/* Checks one record of either file; for the door's walks. ctx: struct checkpoint_check, which
 * counts. ERR_STORE when its checksum is wrong. */
struct checkpoint_check {
	const char *file;
	uint64_t accounts;
	struct checkpoint_meta meta;
	bool has_meta;
};
MUST_CHECK enum err_code checkpoint_check(
	void *ctx, struct slice key, struct slice value, struct err *e);

/* Is the meta one of this store that this program understands? A file without one is empty. */
MUST_CHECK enum err_code checkpoint_judge(
	const struct checkpoint_check *c, const uint8_t store[16], struct err *e);

/* Reads a whole file: every record is checked; on_record (may be NULL) receives each. A file
 * that is not there has a meta of zeros. *from_prev: it was damaged, this is the one before. */
MUST_CHECK enum err_code checkpoint_load(const char *home, const char *name,
	const uint8_t store[16], struct checkpoint_meta *meta, bool *from_prev,
	gdbm_on_record on_record, void *ctx, struct err *e);

struct checkpoint_name {
	uint32_t length;
	char text[RECORD_NAME_MAX];
	uint32_t spare;
};

/* Reads one row of ledger.gdbm. ERR_STORE when its checksum or size is wrong. */
MUST_CHECK enum err_code checkpoint_fetch(const char *home, const struct checkpoint_key *key,
	void *content, size_t n, bool *found, struct err *e);

#endif
