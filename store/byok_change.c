#include "store/byok_inside.h"

#include "store/fault.h"

#include <stdlib.h>
#include <unistd.h>

#define LOCK_WAIT_MS 10000

/* One change, from the lock to its end; and what the walk over the file found on the way. */
struct change {
	struct byok *b;
	int lock_fd; /* -1 = not locked */
	struct byok_ring ring;
	struct gdbm_change *file;
	struct share_change shared;
	/* wanted, or owner NULL */
	const struct byok_owner *owner;
	const char *id_or_provider;
	bool found;
	char provider[BYOK_PROVIDER_SIZE]; /* of the one that was found */
	struct byok_info *all;             /* of every record */
	size_t count;
};

static enum err_code look(void *ctx, struct slice key, struct slice value, struct err *e)
{
	struct change *c = ctx;
	struct byok_listing l = { .list = c->all, .count = c->count };
	const struct byok_info *i;
	enum err_code rc = byok_collect(&l, key, value, e);

	c->all = l.list;
	c->count = l.count;
	if (rc || share_is_mark(key))
		return rc;
	i = &c->all[c->count - 1];
	if (c->owner && byok_is_owner(&i->owner, c->owner) &&
		(strcmp(i->id, c->id_or_provider) == 0 ||
			strcmp(i->provider, c->id_or_provider) == 0)) {
		c->found = true;
		memcpy(c->provider, i->provider, sizeof(c->provider));
	}
	return ERR_OK;
}

/* Opens the file, whose lock is held, to be changed. */
static enum err_code open_file(struct change *c, struct err *e)
{
	free(c->all);
	c->all = NULL;
	c->count = 0;
	return gdbm_change_begin(&c->file, c->b->home, BYOK_FILE_NAME, look, c, e);
}

static enum err_code begin(struct change *c, struct byok *b, const struct byok_owner *owner,
	const char *id_or_provider, struct err *e)
{
	enum err_code rc = home_make(b->home, e);

	*c = (struct change){
		.b = b, .lock_fd = -1, .owner = owner, .id_or_provider = id_or_provider
	};
	if (!rc)
		rc = home_lock(b->home, BYOK_LOCK_NAME, LOCK_WAIT_MS, &c->lock_fd, e);
	if (!rc)
		rc = byok_ring_read(&c->ring, b->home, b->setting, e);
	if (!rc && b->share)
		rc = share_change_begin(&c->shared, b->share, e);
	else if (!rc)
		rc = share_refuse_copy(b->file, BYOK_FILE_NAME, e);
	return rc ? rc : open_file(c, e);
}

/* Commits when rc is ERR_OK, else leaves everything as it was; returns what came of it. */
static enum err_code end(struct change *c, enum err_code rc, struct err *e)
{
	if (c->file && !rc)
		rc = share_change_push(&c->shared, c->file, e);
	if (c->file && !rc)
		rc = gdbm_change_commit(c->file, e);
	else
		gdbm_change_abort(c->file);
	share_change_end(&c->shared);
	if (c->lock_fd >= 0)
		close(c->lock_fd);
	byok_ring_fini(&c->ring);
	free(c->all);
	return rc;
}

static enum err_code put(struct change *c, const struct byok_record *r, struct err *e)
{
	uint8_t room[BYOK_RECORD_BYTES];
	struct byok_place text = { .bytes = "" };
	struct slice key = byok_place(&text, &r->info.owner, r->info.provider);
	struct slice value = byok_record_write(r, room);

	share_change_note(&c->shared, key, &value);
	return gdbm_change_put(c->file, key, value, e);
}

static enum err_code get(struct change *c, const struct byok_owner *owner, const char *provider,
	struct byok_record *r, struct err *e)
{
	struct buf value = { .max_bytes = BYOK_RECORD_BYTES };
	struct byok_place key = { .bytes = "" };
	enum err_code rc = gdbm_change_fetch(c->file, byok_place(&key, owner, provider), &value, e);

	if (!rc)
		rc = byok_outward(byok_record_read(buf_slice(&value), r, e));
	buf_fini(&value);
	return rc;
}

/* A key to encrypt with. One made anew beside records would hide that theirs is lost. */
static enum err_code secure_ring(struct change *c, struct err *e)
{
	/* Shared: another host's would be put beside those that this one cannot open. */
	if (c->ring.n && !(c->b->share && c->count && !byok_ring_find(&c->ring, c->all[0].kid)))
		return ERR_OK;
	if (c->count)
		return byok_no_master_key(&c->all[0], e);
	byok_ring_renew(&c->ring);
	return byok_ring_write(&c->ring, BYOK_RING_MAX, c->b->home, e);
}

static enum err_code check_secret(struct slice secret, struct err *e)
{
	if (secret.len && secret.len <= BYOK_SECRET_MAX)
		return ERR_OK;
	return err_param(e, ERR_BAD_REQUEST, "api_key",
		"a provider key has 1 to %d bytes, this one has %zu", BYOK_SECRET_MAX, secret.len);
}

static enum err_code exists(const char *provider, struct err *e)
{
	enum err_code rc = err_param(e, ERR_BAD_REQUEST, "provider_id",
		"there is a key for %s already: change that one, or remove it first", provider);

	if (e)
		e->status = 409;
	return rc;
}

enum err_code byok_add(struct byok *b, const struct byok_info *want, struct slice secret,
	int64_t now_ms, struct byok_info *out, struct err *e)
{
	struct byok_record r = { .info = *want };
	struct change c = { .lock_fd = -1 };
	enum err_code rc = check_secret(secret, e);

	if (rc)
		return rc;
	rc = begin(&c, b, &want->owner, want->provider, e);
	if (!rc && c.found)
		rc = exists(want->provider, e);
	if (!rc)
		rc = secure_ring(&c, e);
	if (!rc) {
		people_uuid_make(r.info.id);
		r.info.created_ms = r.info.updated_ms = now_ms;
		r.info.version = 1;
		byok_record_seal(&r, &c.ring.keys[0], secret);
		rc = put(&c, &r, e);
	}
	rc = end(&c, rc, e);
	if (!rc)
		*out = r.info;
	return rc;
}

static enum err_code no_such_key(const char *id_or_provider, struct err *e)
{
	return err_param(
		e, ERR_NOT_FOUND, "id", "there is no provider key \"%.64s\" here", id_or_provider);
}

static void set_secret(
	struct change *c, struct byok_record *r, const struct byok_info *to, struct slice secret)
{
	memcpy(r->info.tail, to->tail, sizeof(r->info.tail));
	r->info.version++;
	byok_record_seal(r, &c->ring.keys[0], secret);
}

enum err_code byok_edit(struct byok *b, const struct byok_owner *owner, const char *id_or_provider,
	unsigned set, const struct byok_info *to, struct slice secret, int64_t now_ms,
	struct byok_info *out, struct err *e)
{
	struct byok_record r = { .sealed_len = 0 };
	struct change c = { .lock_fd = -1 };
	enum err_code rc = set & BYOK_SET_SECRET ? check_secret(secret, e) : ERR_OK;

	if (rc)
		return rc;
	rc = begin(&c, b, owner, id_or_provider, e);
	if (!rc && !c.found)
		rc = no_such_key(id_or_provider, e);
	if (!rc)
		rc = get(&c, owner, c.provider, &r, e);
	if (!rc && set & BYOK_SET_SECRET)
		rc = c.ring.n ? ERR_OK : byok_no_master_key(&r.info, e);
	if (!rc) {
		if (set & BYOK_SET_SECRET)
			set_secret(&c, &r, to, secret);
		if (set & BYOK_SET_DISABLED)
			r.info.disabled = to->disabled;
		if (set & BYOK_SET_FALLBACK)
			r.info.allow_fallback = to->allow_fallback;
		r.info.updated_ms = now_ms;
		rc = put(&c, &r, e);
	}
	rc = end(&c, rc, e);
	if (!rc)
		*out = r.info;
	return rc;
}

enum err_code byok_remove(struct byok *b, const struct byok_owner *owner,
	const char *id_or_provider, struct byok_info *out, struct err *e)
{
	struct byok_record r = { .sealed_len = 0 };
	struct byok_place key = { .bytes = "" };
	struct change c;
	enum err_code rc = begin(&c, b, owner, id_or_provider, e);

	if (!rc && !c.found)
		rc = no_such_key(id_or_provider, e);
	if (!rc)
		rc = get(&c, owner, c.provider, &r, e);
	if (!rc) {
		struct slice text = byok_place(&key, owner, c.provider);

		share_change_note(&c.shared, text, NULL);
		rc = gdbm_change_remove(c.file, text, e);
	}
	rc = end(&c, rc, e);
	if (!rc)
		*out = r.info;
	return rc;
}

enum err_code byok_import(struct byok *b, struct slice json, struct buf *secret, struct err *e)
{
	struct byok_ring ring;
	enum err_code rc = byok_ring_read(&ring, b->home, b->setting, e);

	if (!rc)
		rc = byok_record_import(json, &ring, secret, e);
	byok_ring_fini(&ring);
	return rc;
}

/* ---- another master key ---- */

/* Brings one record under the first key of the ring. */
static enum err_code reseal(struct change *c, const struct byok_info *i, struct err *e)
{
	const struct byok_ring_key *with = byok_ring_find(&c->ring, i->kid);
	struct buf secret = { .max_bytes = BYOK_SECRET_MAX };
	struct byok_record r;
	enum err_code rc = with ? get(c, &i->owner, i->provider, &r, e) : byok_no_master_key(i, e);

	if (!rc)
		rc = byok_unseal(&r, with, &secret, e);
	if (!rc) {
		byok_record_seal(&r, &c->ring.keys[0], buf_slice(&secret));
		rc = put(c, &r, e);
	}
	crypto_wipe(secret.data, secret.len);
	buf_fini(&secret);
	return rc;
}

static enum err_code at_fault_point(const char *name, struct err *e)
{
	int why = fault_at(name);

	return why ? err_set(e, ERR_STORE, BYOK_FILE_NAME ": %s", strerror(why)) : ERR_OK;
}

/* The new key is in the file before a record needs it. */
static enum err_code renew_ring(struct change *c, struct err *e)
{
	if (!c->ring.n)
		return err_set(e, ERR_NOT_FOUND,
			"there is no master key yet: the first provider key makes one");
	/* Another host would have none of the keys until it got the file. */
	if (c->b->share && !c->ring.from_setting)
		return err_param(e, ERR_BAD_REQUEST, BYOK_RING_SETTING,
			"the provider keys are shared with other hosts, and their master key is in "
			"the file " BYOK_RING_FILE ": set " BYOK_RING_SETTING
			" on every host, the new key before the old, and then rotate");
	/* A second key in the file is what a rotation left that did not come to its end. */
	if (c->ring.from_setting || c->ring.n > 1)
		return ERR_OK;
	byok_ring_renew(&c->ring);
	return byok_ring_write(&c->ring, BYOK_RING_MAX, c->b->home, e);
}

/* Commits, and takes the file up again under the same lock. */
static enum err_code commit_and_go_on(struct change *c, struct err *e)
{
	enum err_code rc = share_change_push(&c->shared, c->file, e);

	if (rc)
		return rc;
	rc = gdbm_change_commit(c->file, e);
	c->file = NULL;
	return rc ? rc : open_file(c, e);
}

enum err_code byok_rotate(struct byok *b, size_t *count, struct err *e)
{
	struct change c;
	enum err_code rc = begin(&c, b, NULL, NULL, e);

	*count = c.count;
	if (!rc)
		rc = renew_ring(&c, e);
	if (!rc)
		rc = at_fault_point("byok_renewed", e);
	for (size_t i = 0; i < c.count && !rc; i++)
		rc = reseal(&c, &c.all[i], e);
	if (!rc)
		rc = commit_and_go_on(&c, e);
	if (!rc)
		rc = at_fault_point("byok_resealed", e);
	/* Once more, so that the .prev that is read when the file is damaged has the new key too.
	 */
	if (!rc)
		rc = commit_and_go_on(&c, e);
	if (!rc)
		rc = at_fault_point("byok_resealed_twice", e);
	if (!rc)
		rc = byok_ring_write(&c.ring, c.ring.from_setting ? 0 : 1, b->home, e);
	gdbm_change_abort(c.file);
	c.file = NULL;
	return end(&c, rc, e);
}

enum err_code byok_restore(struct byok *b, struct err *e)
{
	int lock_fd = -1;
	enum err_code rc = home_lock(b->home, BYOK_LOCK_NAME, LOCK_WAIT_MS, &lock_fd, e);

	if (!rc)
		rc = gdbm_file_restore(b->home, BYOK_FILE_NAME, byok_check_record, NULL, e);
	if (lock_fd >= 0)
		close(lock_fd);
	return rc;
}
