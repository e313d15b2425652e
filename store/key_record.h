/* store/key_record.h - what keys.gdbm says of one key: bytes on disk and the struct.
 *
 * The frame is that of people_frame.h with the magic "TK". Version 1, still read, has the fields
 * { created_ms i64, revoked_ms i64, id 16, name 64, 32 zero bytes }. Version 2, the only one
 * written, has { created_ms, revoked_ms, expires_ms, old_until_ms i64; number u64;
 * requests_per_minute, tokens_per_minute, concurrent, budget_microusd i64; budget_window u32;
 * id 16, name 64, org 36, old_hash 32, 32 zero bytes }, then the texts user and models. A newer
 * version, an unknown flag, an unknown window or a used reserved byte is refused: a program that
 * does not understand a limit must not let the key pass without it.
 *
 * Units:   microdollars, wall-clock milliseconds.
 * Threads: no shared state.
 */
#ifndef STORE_KEY_RECORD_H
#define STORE_KEY_RECORD_H

#include "store/people_record.h"

#define KEY_NAME_MAX     64 /* printable bytes */
#define KEY_ID_SIZE      72 /* NUL included: "key_…", or "env:" and a name */
#define KEY_HASH_BYTES   32
#define KEY_RATE_MAX     INT64_C(1000000000) /* requests or tokens a minute, requests at once */
#define KEY_BYTES_V1     144
#define KEY_RECORD_BYTES (FRAME_HEADER + 72 + 4 + 16 + 64 + 36 + 64 + 2 + 71 + 2 + PEOPLE_LIST_MAX)

enum key_window {
	KEY_WINDOW_NONE, /* no budget */
	KEY_WINDOW_DAY,  /* UTC days and months */
	KEY_WINDOW_MONTH,
	KEY_WINDOW_TOTAL,
	KEY_WINDOWS
};

/* This record belongs to a text that was replaced: everything but id and revoked_ms, which is
 * when it ends, stands in the record of the text that replaced it. */
#define KEY_OLD_TEXT 1u

struct key_info {
	char id[KEY_ID_SIZE]; /* public */
	char name[KEY_NAME_MAX + 1];
	int64_t created_ms;           /* wall clock; 0 = unknown */
	int64_t revoked_ms;           /* 0 = not revoked */
	int64_t expires_ms;           /* 0 = never */
	uint32_t flags;               /* KEY_OLD_TEXT; never set in what keys.h gives */
	uint64_t number;              /* people_number() of the id */
	char user[PEOPLE_ID_SIZE];    /* "" = the implicit user of this key */
	char org[PEOPLE_ORG_ID_SIZE]; /* "" = none */
	int64_t requests_per_minute;  /* 0 = no limit, as in the next two */
	int64_t tokens_per_minute;
	int64_t concurrent;
	int64_t budget_microusd; /* when there is a window; 0 = nothing may be spent */
	enum key_window budget_window;
	char models[PEOPLE_LIST_MAX + 1]; /* people_list.h; "" = all */
	int64_t old_until_ms;             /* > 0: the text before this one works until then */
	uint8_t old_hash[KEY_HASH_BYTES]; /* and this is its hash */
};

/* id must have 16 characters, as keys_create makes them. Lends what lies in out. */
struct slice key_record_write(const struct key_info *info, uint8_t out[KEY_RECORD_BYTES]);

/* ERR_IO: damaged. ERR_STORE: written by a newer version of this program. */
MUST_CHECK enum err_code key_record_read(struct slice bytes, struct key_info *out, struct err *e);

/* 1..64 printable ASCII characters, no blank at either end. */
bool key_name_is_valid(struct slice name);

/* "", "day", "month", "total". */
const char *key_window_name(enum key_window window);

#endif
