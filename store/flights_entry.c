#include "store/flights_inside.h"

/* It never leaves the processes of one version of this program on one host or, with Redis, of one
 * version on several: the abi says which. */
#define ENTRY_ABI UINT32_C(1)

struct wire {
	uint32_t abi;
	uint32_t form;
	int64_t made_ms, expires_ms, saved_microusd;
	uint32_t prompt_tokens, completion_tokens;
	uint32_t usage_bytes, body_bytes;
	char model[CACHE_MODEL_MAX];
	char provider[CACHE_SLUG_MAX];
	char finish_reason[CACHE_FINISH_MAX];
};

void flight_entry_write(const struct cache_entry *entry, struct buf *out)
{
	struct wire w = { .abi = ENTRY_ABI,
		.form = (uint32_t)entry->form,
		.made_ms = entry->made_ms,
		.expires_ms = entry->expires_ms,
		.saved_microusd = entry->saved_microusd,
		.prompt_tokens = entry->prompt_tokens,
		.completion_tokens = entry->completion_tokens,
		.usage_bytes = (uint32_t)entry->usage.len,
		.body_bytes = (uint32_t)entry->body.len };

	/* What does not fit cannot be read back, and so nobody takes it. */
	if (entry->usage.len > UINT32_MAX || entry->body.len > UINT32_MAX)
		w.abi = 0;
	str_copy_cut(w.model, sizeof(w.model), entry->model);
	str_copy_cut(w.provider, sizeof(w.provider), entry->provider);
	str_copy_cut(w.finish_reason, sizeof(w.finish_reason), entry->finish_reason);
	buf_append(out, &w, sizeof(w));
	buf_slice_append(out, entry->usage);
	buf_slice_append(out, entry->body);
}

static bool ends(const char *text, size_t size)
{
	return memchr(text, '\0', size) != NULL;
}

bool flight_entry_read(struct slice bytes, struct cache_entry *entry)
{
	struct wire w;

	if (bytes.len < sizeof(w))
		return false;
	memcpy(&w, bytes.ptr, sizeof(w));
	bytes = slice_from(bytes, sizeof(w));
	if (w.abi != ENTRY_ABI || bytes.len != (size_t)w.usage_bytes + w.body_bytes ||
		(w.form != CACHE_WHOLE && w.form != CACHE_EVENTS) ||
		!ends(w.model, sizeof(w.model)) || !ends(w.provider, sizeof(w.provider)) ||
		!ends(w.finish_reason, sizeof(w.finish_reason)))
		return false;
	*entry = (struct cache_entry){ .made_ms = w.made_ms,
		.expires_ms = w.expires_ms,
		.saved_microusd = w.saved_microusd,
		.form = (enum cache_form)w.form,
		.prompt_tokens = w.prompt_tokens,
		.completion_tokens = w.completion_tokens,
		.usage = slice_first(bytes, w.usage_bytes),
		.body = slice_from(bytes, w.usage_bytes) };
	memcpy(entry->model, w.model, sizeof(w.model));
	memcpy(entry->provider, w.provider, sizeof(w.provider));
	memcpy(entry->finish_reason, w.finish_reason, sizeof(w.finish_reason));
	return true;
}
