#include "gateway/providers/openai_ids.h"

#include "base/crypto.h"

#include <ctype.h>

/* Keys are compared as they are written: nobody escapes them. */
static bool key_is(struct slice key, const char *name, size_t len)
{
	return key.len == len + 2 && memcmp(key.ptr + 1, name, len) == 0;
}
#define KEY_IS(key, name) key_is(key, name, sizeof(name) - 1)

static struct slice bare(struct slice key)
{
	return (struct slice){ key.ptr + 1, key.len - 2 };
}

static bool is_alnum(struct slice s)
{
	for (size_t i = 0; i < s.len; i++)
		if (!isalnum((unsigned char)s.ptr[i]))
			return false;
	return true;
}

static const char id_mark[] = "__thought__";

bool openai_ids_are_marked(struct json_value messages)
{
	return memmem(messages.raw.ptr, messages.raw.len, id_mark, sizeof(id_mark) - 1) != NULL;
}

static struct slice without_mark(struct slice id)
{
	const char *at = memmem(id.ptr, id.len, id_mark, sizeof(id_mark) - 1);

	return at && at > id.ptr ? slice_first(id, (size_t)(at - id.ptr)) : id;
}

bool openai_id_fits(const struct quirks *q, struct slice id)
{
	if (without_mark(id).len != id.len)
		return false;
	return q->id_exact ? id.len == q->id_exact && is_alnum(id)
			   : !q->id_max || id.len <= q->id_max;
}

bool openai_id_write(const struct quirks *q, struct slice id, struct buf *out)
{
	struct slice base = without_mark(bare(id));
	uint8_t hash[SHA256_BYTES];
	char hex[2 * SHA256_BYTES + 1];

	if (openai_id_fits(q, bare(id)))
		return false;
	buf_char(out, '"');
	if (openai_id_fits(q, base)) {
		buf_slice_append(out, base);
	} else {
		crypto_sha256(base, hash);
		crypto_hex(hash, sizeof(hash), hex);
		if (!q->id_exact)
			buf_str(out, "call_");
		buf_append(out, hex, q->id_exact ? q->id_exact : 24);
	}
	buf_char(out, '"');
	return true;
}

void openai_id_patch(const struct quirks *q, struct patch *p, struct json_value id)
{
	struct buf text = { .max_bytes = 1 << 20 };

	if (id.kind == JSON_STRING && openai_id_write(q, id.raw, &text)) {
		patch_cut(p, id.raw.ptr, id.raw.ptr + id.raw.len);
		buf_slice_append(p->out, buf_slice(&text));
	}
	buf_fini(&text);
}

void openai_ids_shorten(const struct quirks *q, struct json_value messages, struct buf *out)
{
	struct patch p = { .out = out, .done = messages.raw.ptr };
	struct json_iter it, members, calls;
	struct json_value message, v, call;
	struct slice key, none;

	json_iter_init(&it, messages);
	while (json_iter_next(&it, &none, &message)) {
		json_iter_init(&members, message);
		while (json_iter_next(&members, &key, &v)) {
			if (KEY_IS(key, "tool_call_id"))
				openai_id_patch(q, &p, v);
			if (!KEY_IS(key, "tool_calls"))
				continue;
			json_iter_init(&calls, v);
			while (json_iter_next(&calls, &none, &call))
				openai_id_patch(q, &p, json_get(call, "id"));
		}
	}
	patch_end(&p, messages.raw);
}
