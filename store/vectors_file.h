/* store/vectors_file.h - the file of vectors.c: how it is laid out, made, mapped and found again.
 * For vectors.c only.
 *
 * One sparse file, GATEWAY_HOME/cache/vectors, in four parts that begin on pages:
 *
 *     head | entries: 64 bytes a row | bytes: the vectors as int8 | records: the vectors as floats
 *
 * Entries and bytes are what a search goes through, and may be believed in nothing: they are
 * written without anybody waiting. The record says again whose row it is, under a checksum over
 * all of it, so whatever was half written, damaged or is being written right now is no row.
 *
 * The head and what is searched are mapped for reading only, and written with pwrite(): a disk that
 * is full is then an error and no signal. The file never shrinks and is never emptied in place;
 * another takes its name. Readers compare name and length before each search.
 */
#ifndef STORE_VECTORS_FILE_H
#define STORE_VECTORS_FILE_H

#include "store/home.h"
#include "store/vectors.h"

#include <stdatomic.h>

#define VECTORS_BLOCK 64 /* a row's bytes are a multiple: the loop over them has a fixed length */

struct vectors_head {
	uint64_t magic;
	uint32_t version;
	uint32_t dimensions;
	uint64_t capacity; /* rows */
	uint32_t reserved;
	uint32_t crc; /* of what stands before */
	uint8_t pad[32];
	uint64_t written; /* rows ever: the next one's number */
};

/* What a row is passed over by. All zero: never written. */
struct vectors_entry {
	uint8_t group[32];
	uint64_t guard;
	int64_t expires_ms;
	uint64_t key; /* the first bytes of the key's hash */
	float scale;  /* the vector is the bytes times this */
	uint32_t reserved;
};

struct vectors_record {
	uint32_t crc; /* of what follows, the vector included */
	uint32_t dimensions;
	uint64_t number; /* modulo capacity: the row's place */
	uint8_t group[32];
	uint64_t guard;
	uint8_t hash[32]; /* the key */
	uint32_t length;
	uint32_t key_crc;
	int64_t expires_ms;
	uint8_t pad[24];
	float vector[]; /* of length 1 */
};

/* A mapping; shared by the threads that search in it. */
struct vectors_map {
	atomic_uint users;
	int fd;
	dev_t dev;
	ino_t ino;
	off_t file_bytes;
	void *at;
	size_t bytes; /* mapped */
	size_t dimensions, capacity;
	size_t row_bytes;    /* of the int8 part */
	size_t record_bytes; /* one record with its vector */
	off_t entries_at, bytes_at, records_at;
};

static inline const struct vectors_head *vectors_head(const struct vectors_map *m)
{
	return m->at;
}

static inline const struct vectors_entry *vectors_entries(const struct vectors_map *m)
{
	const char *p = m->at;

	return (const void *)(p + m->entries_at);
}

static inline const int8_t *vectors_bytes(const struct vectors_map *m, size_t row)
{
	return (const int8_t *)m->at + m->bytes_at + row * m->row_bytes;
}

/* How many rows were written so far, the ones given way included. */
uint64_t vectors_written(const struct vectors_map *m);

/* The folder, made when it is missing. ERR_STORE. */
MUST_CHECK enum err_code vectors_file_folder(
	const struct vectors_conf *conf, char out[HOME_PATH_MAX], struct err *e);

/* Is this still the file of its name, and as long as it was? */
bool vectors_file_is_current(const struct vectors_map *m, const char *folder);

/* Maps what is there. ERR_NOT_FOUND, e untouched: no file, or none that can be used. */
MUST_CHECK enum err_code vectors_file_map(
	const char *folder, struct vectors_map **out, struct err *e);

/* Makes an empty one, which takes the other's name. The caller holds the lock. ERR_STORE. */
MUST_CHECK enum err_code vectors_file_make(
	const char *folder, size_t dimensions, size_t capacity, struct err *e);

/* ERR_STORE. The caller holds the lock. */
MUST_CHECK enum err_code vectors_file_remove(const char *folder, struct err *e);

/* One user less; the last one unmaps. NULL is fine. */
void vectors_map_leave(struct vectors_map *m);

#endif
