/* store/people_frame.h - the form that all records of keys.gdbm have: a header, fixed fields, and
 * texts of variable length behind them.
 *
 * The header, little endian like everything: { magic of 2 letters, version u16, length u32 of what
 * follows the header, crc32 u32 of flags and all that follows, flags u32 }. The caller writes or
 * reads the fields one after the other; nothing is aligned and nothing lies between them.
 *
 * Ownership: bytes are the caller's. Nothing allocates. Threads: no shared state.
 */
#ifndef STORE_PEOPLE_FRAME_H
#define STORE_PEOPLE_FRAME_H

#include "base/str.h"

#define FRAME_HEADER 16

/* ---- writing: the caller's room is large enough for the largest record, which it knows ---- */

struct frame_writer {
	uint8_t *start, *at;
};

void frame_begin(struct frame_writer *w, uint8_t *room, const char magic[2], unsigned version,
	uint32_t flags);
void frame_u64(struct frame_writer *w, uint64_t n);
void frame_u32(struct frame_writer *w, uint32_t n);
void frame_bytes(struct frame_writer *w, const void *bytes, size_t n);
/* A text, at most n bytes of it, and zeros up to n. */
void frame_field(struct frame_writer *w, const char *text, size_t n);
/* A length of two bytes and the text. */
void frame_text(struct frame_writer *w, const char *text);
/* Seals the record and lends it. */
struct slice frame_end(struct frame_writer *w);

/* ---- reading: what is missing reads as zero, and is then an error at the end ---- */

struct frame_reader {
	const uint8_t *at, *end;
	unsigned version;
	uint32_t flags;
	bool is_short; /* more was read than there is, or than fits the reader's room */
};

/* Opens a record. ERR_IO: it is damaged, or not what. */
MUST_CHECK enum err_code frame_open(struct frame_reader *r, struct slice record,
	const char magic[2], const char *what, struct err *e);
uint64_t frame_get_u64(struct frame_reader *r);
uint32_t frame_get_u32(struct frame_reader *r);
void frame_get_bytes(struct frame_reader *r, void *out, size_t n);
/* A field of n bytes into out, which has room for n + 1. */
void frame_get_field(struct frame_reader *r, char *out, size_t n);
/* A text into out, whose size counts the NUL. */
void frame_get_text(struct frame_reader *r, char *out, size_t size);
/* Was everything there, and nothing else? ERR_IO. */
MUST_CHECK enum err_code frame_close(const struct frame_reader *r, const char *what, struct err *e);

/* ERR_STORE: a newer version of this program wrote it. */
MUST_CHECK enum err_code frame_refuse(
	const struct frame_reader *r, const char *what, struct err *e);

#endif
