/* store/key_record.h - what keys.gdbm says of one key: bytes on disk and the struct.
 *
 * Layout, little endian: a header of 16 bytes { magic "TK", version u16, length u32 of what
 * follows the header, crc32 u32 of flags and fields, flags u32 }, then the fields of version 1:
 * { created_ms i64, revoked_ms i64, id 16, name 64, reserved 32 zero bytes }. A newer version,
 * an unknown flag or a used reserved byte is refused: a program that does not understand a
 * limit must not let the key pass without it.
 *
 * Threads: no shared state.
 */
#ifndef STORE_KEY_RECORD_H
#define STORE_KEY_RECORD_H

#include "base/str.h"

#define KEY_NAME_MAX     64  /* printable bytes */
#define KEY_ID_SIZE      72  /* NUL included: "key_…", or "env:" and a name */
#define KEY_RECORD_BYTES 144 /* version 1 */

struct key_info {
	char id[KEY_ID_SIZE]; /* public */
	char name[KEY_NAME_MAX + 1];
	int64_t created_ms; /* wall clock; 0 = unknown */
	int64_t revoked_ms; /* 0 = not revoked */
	uint32_t flags;     /* none is defined yet */
};

/* id must have 16 characters, as keys_create makes them. */
void key_record_write(const struct key_info *info, uint8_t out[KEY_RECORD_BYTES]);

/* ERR_IO: damaged. ERR_STORE: written by a newer version of this program. */
MUST_CHECK enum err_code key_record_read(struct slice bytes, struct key_info *out, struct err *e);

/* 1..64 printable ASCII characters, no blank at either end. */
bool key_name_is_valid(struct slice name);

#endif
