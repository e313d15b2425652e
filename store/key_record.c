#include "store/key_record.h"

#include "base/crypto.h"

#define VERSION     1
#define FLAGS_KNOWN 0u
#define ID_BYTES    16

enum { /* offsets */
	AT_MAGIC = 0,
	AT_VERSION = 2,
	AT_LENGTH = 4,
	AT_CRC = 8,
	AT_FLAGS = 12,
	AT_FIELDS = 16,
	AT_CREATED = AT_FIELDS,
	AT_REVOKED = AT_FIELDS + 8,
	AT_ID = AT_FIELDS + 16,
	AT_NAME = AT_FIELDS + 32,
	AT_RESERVED = AT_FIELDS + 96,
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

void key_record_write(const struct key_info *info, uint8_t out[KEY_RECORD_BYTES])
{
	memset(out, 0, KEY_RECORD_BYTES);
	memcpy(out + AT_MAGIC, "TK", 2);
	put(out + AT_VERSION, VERSION, 2);
	put(out + AT_LENGTH, KEY_RECORD_BYTES - AT_FIELDS, 4);
	put(out + AT_FLAGS, info->flags, 4);
	put(out + AT_CREATED, (uint64_t)info->created_ms, 8);
	put(out + AT_REVOKED, (uint64_t)info->revoked_ms, 8);
	memcpy(out + AT_ID, info->id, strnlen(info->id, ID_BYTES));
	memcpy(out + AT_NAME, info->name, strnlen(info->name, KEY_NAME_MAX));
	put(out + AT_CRC, crc_of(out, KEY_RECORD_BYTES), 4);
}

enum err_code key_record_read(struct slice bytes, struct key_info *out, struct err *e)
{
	const uint8_t *p = (const uint8_t *)bytes.ptr;
	unsigned used = 0;

	*out = (struct key_info){ .id = "" };
	if (bytes.len < AT_FIELDS || memcmp(p + AT_MAGIC, "TK", 2) != 0 ||
		get(p + AT_LENGTH, 4) != bytes.len - AT_FIELDS ||
		get(p + AT_CRC, 4) != crc_of(p, bytes.len))
		return err_set(e, ERR_IO, "a key's record is damaged");
	for (size_t i = AT_RESERVED; i < bytes.len; i++)
		used |= p[i];
	if (get(p + AT_VERSION, 2) != VERSION || bytes.len != KEY_RECORD_BYTES || used ||
		get(p + AT_FLAGS, 4) & ~FLAGS_KNOWN)
		return err_set(e, ERR_STORE,
			"a key's record was written by another version of Tollgate (version %u); "
			"run that version, or a newer one",
			(unsigned)get(p + AT_VERSION, 2));
	out->flags = (uint32_t)get(p + AT_FLAGS, 4);
	out->created_ms = (int64_t)get(p + AT_CREATED, 8);
	out->revoked_ms = (int64_t)get(p + AT_REVOKED, 8);
	memcpy(out->id, p + AT_ID, ID_BYTES);
	memcpy(out->name, p + AT_NAME, KEY_NAME_MAX);
	return ERR_OK;
}

bool key_name_is_valid(struct slice name)
{
	for (size_t i = 0; i < name.len; i++)
		if (name.ptr[i] < 0x20 || name.ptr[i] > 0x7e)
			return false;
	return name.len >= 1 && name.len <= KEY_NAME_MAX && slice_trim(name).len == name.len;
}
