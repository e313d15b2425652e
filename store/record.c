#include "store/record.h"

#include "store/crc32c.h"

#define COVERED offsetof(struct record, id)

_Static_assert(sizeof(struct record) == RECORD_BYTES, "a record is 256 bytes");
_Static_assert(4096 % RECORD_BYTES == 0, "a record never crosses a page");

static uint32_t checksum(const struct record *r)
{
	return crc32c((const uint8_t *)r + COVERED, RECORD_BYTES - COVERED);
}

void record_seal(struct record *r)
{
	r->magic = RECORD_MAGIC;
	r->format = RECORD_FORMAT;
	r->crc = checksum(r);
}

bool record_is_whole(const struct record *r)
{
	return r->magic == RECORD_MAGIC && r->crc == checksum(r);
}
