#include "store/people_frame.h"

#include "base/crypto.h"

enum { /* offsets in the header */
	AT_MAGIC = 0,
	AT_VERSION = 2,
	AT_LENGTH = 4,
	AT_CRC = 8,
	AT_FLAGS = 12,
};

static void put(uint8_t *p, uint64_t n, unsigned bytes)
{
	for (unsigned i = 0; i < bytes; i++, n >>= 8)
		p[i] = (uint8_t)n;
}

static uint64_t get(const uint8_t *p, unsigned bytes)
{
	uint64_t n = 0;

	while (bytes--)
		n = n << 8 | p[bytes];
	return n;
}

static uint32_t crc_of(const uint8_t *record, size_t n)
{
	return crypto_crc32((struct slice){ (const char *)record + AT_FLAGS, n - AT_FLAGS });
}

void frame_begin(struct frame_writer *w, uint8_t *room, const char magic[2], unsigned version,
	uint32_t flags)
{
	memcpy(room + AT_MAGIC, magic, 2);
	put(room + AT_VERSION, version, 2);
	put(room + AT_FLAGS, flags, 4);
	*w = (struct frame_writer){ room, room + FRAME_HEADER };
}

void frame_u64(struct frame_writer *w, uint64_t n)
{
	put(w->at, n, 8);
	w->at += 8;
}

void frame_u32(struct frame_writer *w, uint32_t n)
{
	put(w->at, n, 4);
	w->at += 4;
}

void frame_bytes(struct frame_writer *w, const void *bytes, size_t n)
{
	memcpy(w->at, bytes, n);
	w->at += n;
}

void frame_field(struct frame_writer *w, const char *text, size_t n)
{
	memset(w->at, 0, n);
	memcpy(w->at, text, strnlen(text, n));
	w->at += n;
}

void frame_text(struct frame_writer *w, const char *text)
{
	size_t n = strlen(text);

	put(w->at, n, 2);
	memcpy(w->at + 2, text, n);
	w->at += 2 + n;
}

struct slice frame_end(struct frame_writer *w)
{
	size_t n = (size_t)(w->at - w->start);

	put(w->start + AT_LENGTH, n - FRAME_HEADER, 4);
	put(w->start + AT_CRC, crc_of(w->start, n), 4);
	return (struct slice){ (const char *)w->start, n };
}

enum err_code frame_open(struct frame_reader *r, struct slice record, const char magic[2],
	const char *what, struct err *e)
{
	const uint8_t *p = (const uint8_t *)record.ptr;

	*r = (struct frame_reader){ .at = p, .end = p };
	if (record.len < FRAME_HEADER || memcmp(p + AT_MAGIC, magic, 2) != 0 ||
		get(p + AT_LENGTH, 4) != record.len - FRAME_HEADER ||
		get(p + AT_CRC, 4) != crc_of(p, record.len))
		return err_set(e, ERR_IO, "%s's record is damaged", what);
	r->at = p + FRAME_HEADER;
	r->end = p + record.len;
	r->version = (unsigned)get(p + AT_VERSION, 2);
	r->flags = (uint32_t)get(p + AT_FLAGS, 4);
	return ERR_OK;
}

static const uint8_t *take(struct frame_reader *r, size_t n)
{
	const uint8_t *p = r->at;

	if ((size_t)(r->end - r->at) < n) {
		r->is_short = true;
		return NULL;
	}
	r->at += n;
	return p;
}

uint64_t frame_get_u64(struct frame_reader *r)
{
	const uint8_t *p = take(r, 8);

	return p ? get(p, 8) : 0;
}

uint32_t frame_get_u32(struct frame_reader *r)
{
	const uint8_t *p = take(r, 4);

	return p ? (uint32_t)get(p, 4) : 0;
}

void frame_get_bytes(struct frame_reader *r, void *out, size_t n)
{
	const uint8_t *p = take(r, n);

	if (p)
		memcpy(out, p, n);
	else
		memset(out, 0, n);
}

void frame_get_field(struct frame_reader *r, char *out, size_t n)
{
	frame_get_bytes(r, out, n);
	out[n] = '\0';
}

void frame_get_text(struct frame_reader *r, char *out, size_t size)
{
	const uint8_t *length = take(r, 2), *p;
	size_t n = length ? (size_t)get(length, 2) : 0;

	out[0] = '\0';
	if (n >= size) {
		r->is_short = true;
		return;
	}
	p = take(r, n);
	if (!p)
		return;
	memcpy(out, p, n);
	out[n] = '\0';
}

enum err_code frame_close(const struct frame_reader *r, const char *what, struct err *e)
{
	if (r->is_short || r->at != r->end)
		return err_set(e, ERR_IO, "%s's record has the wrong length", what);
	return ERR_OK;
}

enum err_code frame_refuse(const struct frame_reader *r, const char *what, struct err *e)
{
	return err_set(e, ERR_STORE,
		"%s's record was written by another version of Tollgate (version %u); "
		"run that version, or a newer one",
		what, r->version);
}
