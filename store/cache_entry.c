#include "store/cache_entry.h"

#include "store/crc32c.h"

#define MAGIC UINT32_C(0x31434754) /* "TGC1": the last character is the version */

struct head {
	uint32_t magic;
	uint32_t crc; /* of the key's hash and everything behind this member */
	uint32_t key_length, key_crc;
	int64_t made_ms, expires_ms, saved_microusd;
	uint32_t prompt_tokens, completion_tokens;
	uint32_t usage_bytes, body_bytes;
	uint8_t form, model_bytes, provider_bytes, finish_bytes;
	uint32_t spare;
};

_Static_assert(sizeof(struct head) == 64, "no gaps");

static uint32_t checksum(const uint8_t hash[32], struct slice bytes)
{
	size_t from = offsetof(struct head, key_length);

	return crc32c(bytes.ptr + from, bytes.len - from) ^ crc32c(hash, 32);
}

enum err_code cache_entry_write(const struct cache_key *key, const struct cache_entry *entry,
	struct buf *out, struct err *e)
{
	struct head h = { .magic = MAGIC,
		.key_length = key->length,
		.key_crc = key->crc,
		.made_ms = entry->made_ms,
		.expires_ms = entry->expires_ms,
		.saved_microusd = entry->saved_microusd,
		.prompt_tokens = entry->prompt_tokens,
		.completion_tokens = entry->completion_tokens,
		.usage_bytes = (uint32_t)entry->usage.len,
		.body_bytes = (uint32_t)entry->body.len,
		.form = (uint8_t)entry->form,
		.model_bytes = (uint8_t)strnlen(entry->model, CACHE_MODEL_MAX - 1),
		.provider_bytes = (uint8_t)strnlen(entry->provider, CACHE_SLUG_MAX - 1),
		.finish_bytes = (uint8_t)strnlen(entry->finish_reason, CACHE_FINISH_MAX - 1) };
	size_t at = out->len;

	if (entry->usage.len > INT32_MAX || entry->body.len > INT32_MAX)
		return err_set(e, ERR_RANGE, "an answer of %zu bytes is too large to be remembered",
			entry->body.len);
	(void)!buf_room(out, sizeof(h) + h.model_bytes + h.provider_bytes + h.finish_bytes +
				     entry->usage.len + entry->body.len);
	buf_append(out, &h, sizeof(h));
	buf_append(out, entry->model, h.model_bytes);
	buf_append(out, entry->provider, h.provider_bytes);
	buf_append(out, entry->finish_reason, h.finish_bytes);
	buf_slice_append(out, entry->usage);
	buf_slice_append(out, entry->body);
	if (!buf_ok(out))
		return err_set(e, ERR_NO_MEMORY, "no memory to remember an answer");
	h.crc = checksum(key->hash, slice_from(buf_slice(out), at));
	memcpy(out->data + at, &h, sizeof(h));
	return ERR_OK;
}

static bool read_head(struct slice bytes, struct head *h)
{
	if (bytes.len < sizeof(*h))
		return false;
	memcpy(h, bytes.ptr, sizeof(*h));
	return h->magic == MAGIC;
}

bool cache_entry_life(struct slice bytes, int64_t *made_ms, int64_t *expires_ms)
{
	struct head h;

	if (!read_head(bytes, &h))
		return false;
	*made_ms = h.made_ms;
	*expires_ms = h.expires_ms;
	return true;
}

static struct slice take(struct slice *rest, size_t n)
{
	struct slice taken = slice_first(*rest, n);

	*rest = slice_from(*rest, n);
	return taken;
}

/* Texts have a NUL in no case: the checksum says that they are as they were written. */
static bool take_text(struct slice *rest, size_t n, char *out, size_t size)
{
	return slice_copy(take(rest, n), out, size);
}

static bool is_whole(const struct head *h, const uint8_t hash[32], struct slice bytes)
{
	uint64_t rest = (uint64_t)h->model_bytes + h->provider_bytes + h->finish_bytes +
			h->usage_bytes + h->body_bytes;

	return bytes.len == sizeof(*h) + rest &&
	       (h->form == CACHE_WHOLE || h->form == CACHE_EVENTS) &&
	       h->crc == checksum(hash, bytes);
}

enum cache_verdict cache_entry_read(
	struct slice bytes, struct cache_key *key, struct cache_entry *out)
{
	struct slice rest = slice_from(bytes, sizeof(struct head));
	struct head h;

	*out = (struct cache_entry){ .made_ms = 0 };
	if (!read_head(bytes, &h) || !is_whole(&h, key->hash, bytes) ||
		!take_text(&rest, h.model_bytes, out->model, sizeof(out->model)) ||
		!take_text(&rest, h.provider_bytes, out->provider, sizeof(out->provider)) ||
		!take_text(&rest, h.finish_bytes, out->finish_reason, sizeof(out->finish_reason)))
		return CACHE_IS_DAMAGED;
	out->usage = take(&rest, h.usage_bytes);
	out->body = rest;
	out->made_ms = h.made_ms;
	out->expires_ms = h.expires_ms;
	out->saved_microusd = h.saved_microusd;
	out->prompt_tokens = h.prompt_tokens;
	out->completion_tokens = h.completion_tokens;
	out->form = (enum cache_form)h.form;
	if (!key->length && !key->crc) {
		key->length = h.key_length;
		key->crc = h.key_crc;
	}
	return key->length == h.key_length && key->crc == h.key_crc ? CACHE_IS_GOOD
								    : CACHE_IS_OTHERS;
}
