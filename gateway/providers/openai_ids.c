#include "gateway/providers/openai_ids.h"

#include "base/crypto.h"

#include <ctype.h>

#define TRIES 8 /* for an id that nobody has; the second is never needed but by design */

/* Keys are compared as they are written: nobody escapes them. */
static bool key_is(struct slice key, const char *name, size_t len)
{
	return key.len == len + 2 && memcmp(key.ptr + 1, name, len) == 0;
}
#define KEY_IS(key, name) key_is(key, name, sizeof(name) - 1)

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

static struct slice without_mark(const struct quirks *q, struct slice id)
{
	const char *at = memmem(id.ptr, id.len, id_mark, sizeof(id_mark) - 1);

	return at && at > id.ptr && !q->reads_marked_ids ? slice_first(id, (size_t)(at - id.ptr))
							 : id;
}

/* Of an id without mark and escapes. */
static bool has_form(const struct quirks *q, struct slice id)
{
	if (q->id_no_dots && memchr(id.ptr, '.', id.len))
		return false;
	return q->id_exact ? id.len == q->id_exact && is_alnum(id)
			   : !q->id_max || id.len <= q->id_max;
}

bool openai_id_fits(const struct quirks *q, struct slice id)
{
	return !q->id_exact && !memchr(id.ptr, '\\', id.len) && without_mark(q, id).len == id.len &&
	       has_form(q, id);
}

/* What the id may become: itself, or a hash of it; with tries, a hash of that. */
static struct slice proposed(
	const struct quirks *q, struct slice id, unsigned tries, char text[2 * SHA256_BYTES + 1])
{
	uint8_t hash[SHA256_BYTES];

	for (tries += !has_form(q, id); tries; tries--) {
		crypto_sha256(id, hash);
		crypto_hex(hash, sizeof(hash), text);
		id = (struct slice){ text, 2 * SHA256_BYTES };
	}
	if (id.ptr != text || q->id_no_dots)
		return id;
	if (q->id_exact)
		return slice_first(id, q->id_exact);
	memmove(text + 5, text, 24);
	memcpy(text, "call_", 5);
	return slice_first(id, 29);
}

/* What the id becomes; it may stand in text. */
static struct slice sent(struct openai_ids *ids, struct slice id, char text[2 * SHA256_BYTES + 1])
{
	struct slice proposal = { "", 0 }, owner;
	struct name *name;
	char *key;
	bool fresh;

	for (unsigned tries = 0; tries < TRIES; tries++) {
		proposal = proposed(ids->q, id, tries, text);
		if (!ids->q->id_exact)
			break; /* long hashes are nobody else's */
		name = names_get(&ids->owners, proposal);
		if (!name) {
			key = arena_text(&ids->arena, proposal);
			name = key ? names_put(&ids->owners, (struct slice){ key, proposal.len },
					     &fresh)
				   : NULL;
			if (!name) {
				ids->arena.failed = true;
				break;
			}
			name->data[0] = (unsigned)(ids->originals.len / sizeof(id));
			buf_append(&ids->originals, &id, sizeof(id));
			break;
		}
		if (!buf_ok(&ids->originals))
			break;
		memcpy(&owner, ids->originals.data + name->data[0] * sizeof(owner), sizeof(owner));
		if (slice_eq(owner, id))
			break;
	}
	return proposal;
}

void openai_ids_patch(struct openai_ids *ids, struct patch *p, struct json_value id)
{
	struct slice written, read, base, proposal;
	char text[2 * SHA256_BYTES + 1], *decoded;

	if (id.kind != JSON_STRING)
		return;
	read = written = (struct slice){ id.raw.ptr + 1, id.raw.len - 2 };
	if (openai_id_fits(ids->q, written))
		return;
	if (memchr(written.ptr, '\\', written.len)) {
		decoded = arena_string(&ids->arena, id);
		if (!decoded) /* a NUL in it: nothing that a provider would take */
			return;
		read = slice_of(decoded);
	}
	base = without_mark(ids->q, read);
	proposal = sent(ids, base, text);
	if (slice_eq(proposal, read))
		return;
	patch_cut(p, id.raw.ptr, id.raw.ptr + id.raw.len);
	buf_json_str(p->out, proposal);
}

void openai_ids_fini(struct openai_ids *ids, struct buf *out)
{
	out->failed |= ids->arena.failed || !buf_ok(&ids->originals);
	names_fini(&ids->owners);
	buf_fini(&ids->originals);
	arena_fini(&ids->arena);
}

void openai_ids_rewrite(const struct quirks *q, struct json_value messages, struct buf *out)
{
	struct patch p = { .out = out, .done = messages.raw.ptr };
	struct openai_ids ids = { .q = q };
	struct json_iter it, members, calls;
	struct json_value message, v, call;
	struct slice key, none;

	json_iter_init(&it, messages);
	while (json_iter_next(&it, &none, &message)) {
		json_iter_init(&members, message);
		while (json_iter_next(&members, &key, &v)) {
			if (KEY_IS(key, "tool_call_id"))
				openai_ids_patch(&ids, &p, v);
			if (!KEY_IS(key, "tool_calls"))
				continue;
			json_iter_init(&calls, v);
			while (json_iter_next(&calls, &none, &call))
				openai_ids_patch(&ids, &p, json_get(call, "id"));
		}
	}
	patch_end(&p, messages.raw);
	openai_ids_fini(&ids, out);
}
