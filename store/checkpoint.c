#include "store/checkpoint.h"

#include "store/crc32c.h"

#include <string.h>

_Static_assert(sizeof(struct usage_key) < sizeof(((struct checkpoint_key *)0)->bytes), "fits");

struct checkpoint_key checkpoint_key(char kind, const void *id, size_t n)
{
	struct checkpoint_key k = { .len = 1 + n };

	k.bytes[0] = kind;
	if (n)
		memcpy(k.bytes + 1, id, n);
	return k;
}

static uint32_t checksum(struct slice key, const void *content, size_t n)
{
	return crc32c(key.ptr, key.len) ^ crc32c(content, n);
}

void checkpoint_pack(struct slice key, const void *content, size_t n, struct buf *out)
{
	uint32_t crc = checksum(key, content, n);

	buf_append(out, &crc, sizeof(crc));
	buf_append(out, content, n);
}

bool checkpoint_unpack(struct slice key, struct slice value, void *content, size_t n)
{
	uint32_t crc;

	if (value.len != sizeof(crc) + n)
		return false;
	memcpy(&crc, value.ptr, sizeof(crc));
	if (crc != checksum(key, value.ptr + sizeof(crc), n))
		return false;
	memcpy(content, value.ptr + sizeof(crc), n);
	return true;
}

enum err_code checkpoint_check(void *ctx, struct slice key, struct slice value, struct err *e)
{
	struct checkpoint_check *c = ctx;
	uint32_t crc = 0;
	bool good = key.len > 0 && value.len > sizeof(crc);

	if (good) {
		memcpy(&crc, value.ptr, sizeof(crc));
		good = crc == checksum(key, value.ptr + sizeof(crc), value.len - sizeof(crc));
	}
	if (good && key.ptr[0] == 'a')
		c->accounts++;
	if (good && key.ptr[0] == 'm') {
		c->has_meta = true;
		good = checkpoint_unpack(key, value, &c->meta, sizeof(c->meta));
		/* A later format may have another size, but begins with its number. */
		if (!good && value.len >= 2 * sizeof(crc)) {
			memcpy(&c->meta.format, value.ptr + sizeof(crc), sizeof(c->meta.format));
			good = c->meta.format > CHECKPOINT_FORMAT;
		}
	}
	return good ? ERR_OK : err_set(e, ERR_STORE, "%s: a row is damaged", c->file);
}

enum err_code checkpoint_judge(
	const struct checkpoint_check *c, const uint8_t store[16], struct err *e)
{
	static const uint8_t none[16];
	const char *wrong = NULL;

	if (!c->has_meta)
		return c->accounts ? err_set(e, ERR_STORE, "%s: its head is missing", c->file)
				   : ERR_OK;
	if (c->meta.format > CHECKPOINT_FORMAT)
		return err_set(e, ERR_STORE,
			"%s has format %u, this program knows up to %d: use the newer program",
			c->file, c->meta.format, CHECKPOINT_FORMAT);
	if (memcmp(c->meta.store, store, sizeof(none)) != 0)
		wrong = "belongs to another store";
	else if (c->meta.accounts != c->accounts)
		wrong = "lacks rows";
	return wrong ? err_set(e, ERR_STORE, "%s %s: put the right one back from a backup", c->file,
			       wrong)
		     : ERR_OK;
}

struct load {
	struct checkpoint_check check;
	gdbm_on_record on_record;
	void *ctx;
};

static enum err_code on_loaded(void *ctx, struct slice key, struct slice value, struct err *e)
{
	struct load *l = ctx;
	enum err_code rc = checkpoint_check(&l->check, key, value, e);

	if (!rc && l->on_record)
		rc = l->on_record(l->ctx, key, value, e);
	return rc;
}

enum err_code checkpoint_load(const char *home, const char *name, const uint8_t store[16],
	struct checkpoint_meta *meta, bool *from_prev, gdbm_on_record on_record, void *ctx,
	struct err *e)
{
	struct load l = { .check = { .file = name }, .on_record = on_record, .ctx = ctx };
	struct gdbm_file *f = NULL;
	enum err_code rc = gdbm_file_open(&f, home, name, e);

	memset(meta, 0, sizeof(*meta));
	*from_prev = false;
	if (!rc)
		rc = gdbm_file_each(f, on_loaded, &l, e);
	if (!rc)
		rc = checkpoint_judge(&l.check, store, e);
	if (!rc) {
		*meta = l.check.meta;
		*from_prev = gdbm_file_is_damaged(f);
	}
	gdbm_file_close(f);
	return rc;
}

enum err_code checkpoint_fetch(const char *home, const struct checkpoint_key *key, void *content,
	size_t n, bool *found, struct err *e)
{
	struct gdbm_file *f = NULL;
	struct buf value = { 0 };
	enum err_code rc = gdbm_file_open(&f, home, CHECKPOINT_LEDGER, e);

	*found = false;
	if (!rc) {
		rc = gdbm_file_fetch(f, checkpoint_slice(key), &value, e);
		*found = rc == ERR_OK;
		if (rc == ERR_NOT_FOUND)
			rc = ERR_OK;
		else if (!rc &&
			 !checkpoint_unpack(checkpoint_slice(key), buf_slice(&value), content, n))
			rc = err_set(e, ERR_STORE, CHECKPOINT_LEDGER ": a row is damaged");
	}
	gdbm_file_close(f);
	buf_fini(&value);
	return rc;
}
