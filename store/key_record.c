#include "store/key_record.h"

#define MAGIC    "TK"
#define WHAT     "a key"
#define ID_BYTES 16
#define RESERVED 32

/* The reserved bytes: are they unused? */
static bool skip_reserved(struct frame_reader *r)
{
	uint8_t bytes[RESERVED], used = 0;

	frame_get_bytes(r, bytes, sizeof(bytes));
	for (size_t i = 0; i < sizeof(bytes); i++)
		used |= bytes[i];
	return !used;
}

struct slice key_record_write(const struct key_info *info, uint8_t out[KEY_RECORD_BYTES])
{
	static const uint8_t reserved[RESERVED];
	struct frame_writer w;

	frame_begin(&w, out, MAGIC, 2, info->flags);
	frame_u64(&w, (uint64_t)info->created_ms);
	frame_u64(&w, (uint64_t)info->revoked_ms);
	frame_u64(&w, (uint64_t)info->expires_ms);
	frame_u64(&w, (uint64_t)info->old_until_ms);
	frame_u64(&w, info->number);
	frame_u64(&w, (uint64_t)info->requests_per_minute);
	frame_u64(&w, (uint64_t)info->tokens_per_minute);
	frame_u64(&w, (uint64_t)info->concurrent);
	frame_u64(&w, (uint64_t)info->budget_microusd);
	frame_u32(&w, info->budget_window);
	frame_field(&w, info->id, ID_BYTES);
	frame_field(&w, info->name, KEY_NAME_MAX);
	frame_field(&w, info->org, PEOPLE_ORG_ID_SIZE - 1);
	frame_bytes(&w, info->old_hash, KEY_HASH_BYTES);
	frame_bytes(&w, reserved, sizeof(reserved));
	frame_text(&w, info->user);
	frame_text(&w, info->models);
	return frame_end(&w);
}

static bool read_v1(struct frame_reader *r, struct key_info *out)
{
	out->created_ms = (int64_t)frame_get_u64(r);
	out->revoked_ms = (int64_t)frame_get_u64(r);
	frame_get_field(r, out->id, ID_BYTES);
	frame_get_field(r, out->name, KEY_NAME_MAX);
	out->number = people_number(slice_of(out->id));
	return skip_reserved(r) && !r->flags;
}

static bool read_v2(struct frame_reader *r, struct key_info *out)
{
	uint32_t window;
	bool known;

	out->flags = r->flags;
	out->created_ms = (int64_t)frame_get_u64(r);
	out->revoked_ms = (int64_t)frame_get_u64(r);
	out->expires_ms = (int64_t)frame_get_u64(r);
	out->old_until_ms = (int64_t)frame_get_u64(r);
	out->number = frame_get_u64(r);
	out->requests_per_minute = (int64_t)frame_get_u64(r);
	out->tokens_per_minute = (int64_t)frame_get_u64(r);
	out->concurrent = (int64_t)frame_get_u64(r);
	out->budget_microusd = (int64_t)frame_get_u64(r);
	window = frame_get_u32(r);
	frame_get_field(r, out->id, ID_BYTES);
	frame_get_field(r, out->name, KEY_NAME_MAX);
	frame_get_field(r, out->org, PEOPLE_ORG_ID_SIZE - 1);
	frame_get_bytes(r, out->old_hash, KEY_HASH_BYTES);
	known = skip_reserved(r) && !(r->flags & ~KEY_OLD_TEXT) && window < KEY_WINDOWS;
	frame_get_text(r, out->user, sizeof(out->user));
	frame_get_text(r, out->models, sizeof(out->models));
	if (known)
		out->budget_window = (enum key_window)window;
	return known;
}

enum err_code key_record_read(struct slice bytes, struct key_info *out, struct err *e)
{
	struct frame_reader r;
	enum err_code rc = frame_open(&r, bytes, MAGIC, WHAT, e);

	*out = (struct key_info){ .id = "" };
	if (rc)
		return rc;
	if (r.version == 1 && bytes.len == KEY_BYTES_V1 && read_v1(&r, out))
		return ERR_OK;
	if (r.version == 2 && read_v2(&r, out))
		return frame_close(&r, WHAT, e);
	return frame_refuse(&r, WHAT, e);
}

bool key_name_is_valid(struct slice name)
{
	return people_name_is_valid(name);
}

const char *key_window_name(enum key_window window)
{
	static const char *const names[KEY_WINDOWS] = { "", "day", "month", "total" };

	return names[window];
}
