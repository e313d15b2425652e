#include "store/byok_record.h"

#include "base/base64.h"
#include "base/json_scan.h"

#define MAGIC    "TB"
#define VERSION  1
#define WHAT     "a provider key"
#define DISABLED 1u
#define FALLBACK 2u
#define ID_BYTES (PEOPLE_ORG_ID_SIZE - 1)

/* ---- sealing ---- */

#define BOUND_MAX 256

static struct slice bytes_of(const void *p, size_t n)
{
	return (struct slice){ p, n };
}

/* What the secret belongs to, as one text. No part has a line's end in it. */
static void bind_to(const struct byok_info *i, struct buf *out)
{
	*out = (struct buf){ .max_bytes = BOUND_MAX };
	buf_printf(out, "tollgate byok 1\n%d\n%s\n%s\n%s\n%llu", (int)i->owner.kind, i->owner.id,
		i->provider, i->id, (unsigned long long)i->version);
}

void byok_record_seal(struct byok_record *r, const struct byok_ring_key *with, struct slice secret)
{
	struct buf bound;

	bind_to(&r->info, &bound);
	r->info.kid = with->kid;
	r->sealed_len = secret.len < BYOK_SECRET_MAX ? secret.len : BYOK_SECRET_MAX;
	crypto_seal(with->key, buf_slice(&bound), slice_first(secret, BYOK_SECRET_MAX), &r->seal,
		r->sealed);
	buf_fini(&bound);
}

enum err_code byok_record_open(const struct byok_record *r, const struct byok_ring_key *with,
	uint8_t secret[BYOK_SECRET_MAX], struct err *e)
{
	struct buf bound;
	bool opened;

	bind_to(&r->info, &bound);
	opened = crypto_open(
		with->key, buf_slice(&bound), bytes_of(r->sealed, r->sealed_len), &r->seal, secret);
	buf_fini(&bound);
	if (opened)
		return ERR_OK;
	return err_set(e, ERR_STORE,
		"the provider key %s is not as it was sealed: it was changed from outside; remove "
		"it and add it anew",
		r->info.id);
}

/* ---- bytes ---- */

struct slice byok_record_write(const struct byok_record *r, uint8_t out[BYOK_RECORD_BYTES])
{
	const struct byok_info *i = &r->info;
	struct frame_writer w;

	frame_begin(&w, out, MAGIC, VERSION,
		(i->disabled ? DISABLED : 0) | (i->allow_fallback ? FALLBACK : 0));
	frame_u64(&w, (uint64_t)i->created_ms);
	frame_u64(&w, (uint64_t)i->updated_ms);
	frame_u64(&w, i->version);
	frame_u64(&w, i->kid);
	frame_u32(&w, i->owner.kind);
	frame_field(&w, i->id, ID_BYTES);
	frame_field(&w, i->tail, BYOK_TAIL_SIZE - 1);
	frame_bytes(&w, r->seal.iv, sizeof(r->seal.iv));
	frame_bytes(&w, r->seal.tag, sizeof(r->seal.tag));
	frame_text(&w, i->owner.id);
	frame_text(&w, i->provider);
	frame_text(&w, i->created_by);
	frame_u32(&w, (uint32_t)r->sealed_len);
	frame_bytes(&w, r->sealed, r->sealed_len);
	return frame_end(&w);
}

enum err_code byok_record_read(struct slice bytes, struct byok_record *out, struct err *e)
{
	struct byok_info *i = &out->info;
	struct frame_reader r;
	enum err_code rc = frame_open(&r, bytes, MAGIC, WHAT, e);
	uint32_t kind, n;

	out->info = (struct byok_info){ .id = "" };
	out->sealed_len = 0;
	if (rc)
		return rc;
	if (r.version != VERSION || r.flags & ~(DISABLED | FALLBACK))
		return frame_refuse(&r, WHAT, e);
	i->disabled = r.flags & DISABLED;
	i->allow_fallback = r.flags & FALLBACK;
	i->created_ms = (int64_t)frame_get_u64(&r);
	i->updated_ms = (int64_t)frame_get_u64(&r);
	i->version = frame_get_u64(&r);
	i->kid = frame_get_u64(&r);
	kind = frame_get_u32(&r);
	frame_get_field(&r, i->id, ID_BYTES);
	frame_get_field(&r, i->tail, BYOK_TAIL_SIZE - 1);
	frame_get_bytes(&r, out->seal.iv, sizeof(out->seal.iv));
	frame_get_bytes(&r, out->seal.tag, sizeof(out->seal.tag));
	frame_get_text(&r, i->owner.id, sizeof(i->owner.id));
	frame_get_text(&r, i->provider, sizeof(i->provider));
	frame_get_text(&r, i->created_by, sizeof(i->created_by));
	n = frame_get_u32(&r);
	if (n > BYOK_SECRET_MAX || (kind != BYOK_USER && kind != BYOK_ORG))
		return err_set(e, ERR_IO, "%s's record is damaged", WHAT);
	i->owner.kind = (enum byok_owner_kind)kind;
	out->sealed_len = n;
	frame_get_bytes(&r, out->sealed, n);
	return frame_close(&r, WHAT, e);
}

/* ---- the form of other gateways ---- */

static bool read_part(struct json_value v, struct buf *out)
{
	struct buf text = { .max_bytes = (size_t)2 * BYOK_SECRET_MAX };
	bool worked = json_str_decode(v, &text) && base64_read(buf_slice(&text), out);

	buf_fini(&text);
	return worked;
}

static bool opens(const struct byok_ring *ring, const struct crypto_seal *seal, struct slice sealed,
	struct buf *secret)
{
	char *room = buf_room(secret, sealed.len + 1);

	for (size_t i = 0; room && i < ring->n; i++)
		if (crypto_open(ring->keys[i].key, SLICE(""), sealed, seal, room)) {
			buf_commit(secret, sealed.len);
			return true;
		}
	return false;
}

enum err_code byok_record_import(
	struct slice json, const struct byok_ring *ring, struct buf *secret, struct err *e)
{
	const struct json_limits limits = { .max_depth = 4, .max_keys = 16 };
	struct json_member m[] = { { .name = "iv" }, { .name = "data" }, { .name = "authTag" } };
	struct buf parts[3] = { { .max_bytes = BYOK_SECRET_MAX }, { .max_bytes = BYOK_SECRET_MAX },
		{ .max_bytes = BYOK_SECRET_MAX } };
	struct crypto_seal seal;
	bool is_form = json_scan(json, &limits, m, 3, NULL) == ERR_OK;
	enum err_code rc = ERR_OK;

	for (size_t i = 0; i < 3 && is_form; i++)
		is_form = read_part(m[i].value, &parts[i]);
	if (!is_form || parts[0].len != sizeof(seal.iv) || parts[2].len != sizeof(seal.tag) ||
		!parts[1].len) {
		rc = err_param(e, ERR_BAD_REQUEST, "api_key",
			"this is not an encrypted key: {\"iv\",\"data\",\"authTag\"}, each in "
			"base64, of 12, any and 16 bytes");
	} else {
		memcpy(seal.iv, parts[0].data, sizeof(seal.iv));
		memcpy(seal.tag, parts[2].data, sizeof(seal.tag));
		if (!opens(ring, &seal, buf_slice(&parts[1]), secret))
			rc = err_param(e, ERR_BAD_REQUEST, "api_key",
				"no master key opens this encrypted key: put the one it was "
				"encrypted with behind the first in " BYOK_RING_SETTING);
	}
	for (size_t i = 0; i < 3; i++)
		buf_fini(&parts[i]);
	return rc;
}
