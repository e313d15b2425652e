#include "store/byok.h"

#include "store/fault.h"
#include "store/gdbm_file.h"
#include "store/home.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define LOCK_NAME    "byok.lock"
#define LOCK_WAIT_MS 10000
#define KEY_MAX      (2 + PEOPLE_ID_SIZE + 1 + BYOK_PROVIDER_SIZE)

struct byok {
	char home[HOME_PATH_MAX];
	char *setting;
	struct gdbm_file *file;
	struct share *share;  /* NULL = this host's alone */
	pthread_mutex_t lock; /* over the ring */
	struct byok_ring ring;
};

struct record_key {
	char bytes[KEY_MAX];
};

static struct slice record_key(
	struct record_key *out, const struct byok_owner *owner, const char *provider)
{
	int n = snprintf(out->bytes, sizeof(out->bytes), "B%c%s\n%s",
		owner->kind == BYOK_ORG ? 'O' : 'U', owner->id, provider);

	return (struct slice){ out->bytes, (size_t)n < KEY_MAX ? (size_t)n : KEY_MAX - 1 };
}

/* A damaged record is, to who asks, a store that cannot be read. */
static enum err_code outward(enum err_code rc)
{
	return rc == ERR_IO ? ERR_STORE : rc;
}

static bool is_owner(const struct byok_owner *a, const struct byok_owner *b)
{
	return a->kind == b->kind && strcmp(a->id, b->id) == 0;
}

/* ---- opening ---- */

enum err_code byok_open(struct byok **out, const char *home, const char *setting, struct err *e)
{
	struct byok *b = calloc(1, sizeof(*b));
	struct err missing;
	enum err_code rc;

	*out = NULL;
	if (!b)
		return err_set(e, ERR_NO_MEMORY, "out of memory while opening the provider keys");
	pthread_mutex_init(&b->lock, NULL);
	b->setting = strdup(setting);
	rc = b->setting ? ERR_OK : err_set(e, ERR_NO_MEMORY, "out of memory");
	if (!rc && !slice_copy(slice_of(home), b->home, sizeof(b->home)))
		rc = err_set(e, ERR_STORE, "the path of GATEWAY_HOME is too long");
	if (!rc) {
		rc = home_check(home, &missing);
		if (rc == ERR_NOT_FOUND)
			rc = ERR_OK;
		else if (rc && e)
			*e = missing;
	}
	if (!rc)
		rc = byok_ring_read(&b->ring, home, setting, e);
	if (!rc)
		rc = gdbm_file_open(&b->file, home, BYOK_FILE_NAME, e);
	if (rc)
		byok_close(b);
	else
		*out = b;
	return rc;
}

void byok_close(struct byok *b)
{
	if (!b)
		return;
	share_close(b->share);
	gdbm_file_close(b->file);
	byok_ring_fini(&b->ring);
	if (b->setting)
		crypto_wipe(b->setting, strlen(b->setting));
	free(b->setting);
	pthread_mutex_destroy(&b->lock);
	free(b);
}

/* ---- in common with other hosts ---- */

static enum err_code check_record(void *ctx, struct slice key, struct slice value, struct err *e)
{
	struct byok_record r;

	(void)ctx;
	return share_is_mark(key) ? ERR_OK : byok_record_read(value, &r, e);
}

void byok_set_share(struct byok *b, struct share *share)
{
	b->share = share;
}

struct share *byok_share(const struct byok *b)
{
	return b->share;
}

struct share_conf byok_share_conf(struct byok *b)
{
	return (struct share_conf){ .file = b->file,
		.home = b->home,
		.name = BYOK_FILE_NAME,
		.lock_name = LOCK_NAME,
		.topic = "byok",
		.check = check_record };
}

/* ---- reading ---- */

static enum err_code fetch_bytes(struct byok *b, const struct byok_owner *owner,
	const char *provider, struct buf *value, struct err *e)
{
	struct record_key key = { .bytes = "" };

	buf_reset(value);
	return gdbm_file_fetch(b->file, record_key(&key, owner, provider), value, e);
}

/* The master key of a record; the file is read again when it is not among those we know. */
static bool find_key(struct byok *b, uint64_t kid, struct byok_ring_key *out)
{
	const struct byok_ring_key *found;
	struct byok_ring fresh;

	pthread_mutex_lock(&b->lock);
	found = byok_ring_find(&b->ring, kid);
	if (!found && byok_ring_read(&fresh, b->home, b->setting, NULL) == ERR_OK) {
		b->ring = fresh;
		byok_ring_fini(&fresh);
		found = byok_ring_find(&b->ring, kid);
	}
	if (found)
		*out = *found;
	pthread_mutex_unlock(&b->lock);
	return found;
}

static enum err_code no_master_key(const struct byok_info *i, struct err *e)
{
	return err_set(e, ERR_STORE,
		"the master key %016llx that the provider key %s was encrypted with is neither "
		"in " BYOK_RING_SETTING " nor in " BYOK_RING_FILE
		": restore it, or copy it from another host that shares these keys",
		(unsigned long long)i->kid, i->id);
}

static enum err_code open_into(const struct byok_record *r, const struct byok_ring_key *with,
	struct buf *secret, struct err *e)
{
	uint8_t text[BYOK_SECRET_MAX];
	enum err_code rc = byok_record_open(r, with, text, e);

	if (rc)
		return rc;
	/* All at once: a buffer that moves leaves a copy behind. */
	buf_append(secret, text, r->sealed_len);
	crypto_wipe(text, r->sealed_len);
	return buf_ok(secret) ? ERR_OK : err_set(e, ERR_NO_MEMORY, "no memory for a provider key");
}

enum err_code byok_secret(struct byok *b, const struct byok_owner *owner, const char *provider,
	struct byok_info *info, struct buf *secret, struct err *e)
{
	struct byok_ring_key with = { .kid = 0 };
	struct buf value = { .max_bytes = BYOK_RECORD_BYTES };
	/* Of its own, and only when there is one: most requests ask, and few have a key. */
	struct byok_record *r = NULL;
	bool has_key = false;
	enum err_code rc = ERR_OK;

	/* Between the record and its key the last one under an old key may have been changed, and
	 * that key dropped: then the record there is now has a key. */
	for (int round = 0; round < 2 && !rc && !has_key; round++) {
		rc = fetch_bytes(b, owner, provider, &value, e);
		if (!rc && !r && !(r = malloc(sizeof(*r))))
			rc = err_set(e, ERR_NO_MEMORY, "no memory for a provider key");
		if (!rc)
			rc = outward(byok_record_read(buf_slice(&value), r, e));
		if (!rc && r->info.disabled)
			rc = ERR_NOT_FOUND;
		has_key = !rc && find_key(b, r->info.kid, &with);
	}
	if (!rc && !is_owner(&r->info.owner, owner))
		rc = err_set(e, ERR_STORE, "the provider key %s lies in the place of another",
			r->info.id);
	if (!rc)
		rc = has_key ? open_into(r, &with, secret, e) : no_master_key(&r->info, e);
	if (!rc)
		*info = r->info;
	free(r);
	crypto_wipe(&with, sizeof(with));
	buf_fini(&value);
	return rc;
}

struct listing {
	const struct byok_owner *owner; /* NULL = everybody */
	struct byok_info *list;
	size_t count;
};

static enum err_code collect(void *ctx, struct slice key, struct slice value, struct err *e)
{
	struct listing *l = ctx;
	struct byok_record r;
	enum err_code rc;

	if (share_is_mark(key))
		return ERR_OK;
	rc = byok_record_read(value, &r, e);
	if (rc || (l->owner && !is_owner(&r.info.owner, l->owner)))
		return rc;
	/* Grown in powers of two, by the count alone. */
	if ((l->count & (l->count - 1)) == 0) {
		size_t room = l->count ? 2 * l->count : 1;
		struct byok_info *more = realloc(l->list, room * sizeof(*more));

		if (!more)
			return err_set(e, ERR_NO_MEMORY, "no memory for the list of provider keys");
		l->list = more;
	}
	l->list[l->count++] = r.info;
	return ERR_OK;
}

static int by_owner(const void *pa, const void *pb)
{
	const struct byok_info *a = pa, *b = pb;
	int order = (int)a->owner.kind - (int)b->owner.kind;

	if (!order)
		order = strcmp(a->owner.id, b->owner.id);
	return order ? order : strcmp(a->provider, b->provider);
}

enum err_code byok_list(struct byok *b, const struct byok_owner *owner, struct byok_info **list,
	size_t *count, struct err *e)
{
	struct listing l = { .owner = owner };
	enum err_code rc = gdbm_file_each(b->file, collect, &l, e);

	*list = NULL;
	*count = 0;
	if (rc) {
		free(l.list);
		return rc;
	}
	if (l.count)
		qsort(l.list, l.count, sizeof(*l.list), by_owner);
	*list = l.list;
	*count = l.count;
	return ERR_OK;
}

/* ---- changing ---- */

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
	struct listing l = { .list = c->all, .count = c->count };
	const struct byok_info *i;
	enum err_code rc = collect(&l, key, value, e);

	c->all = l.list;
	c->count = l.count;
	if (rc || share_is_mark(key))
		return rc;
	i = &c->all[c->count - 1];
	if (c->owner && is_owner(&i->owner, c->owner) &&
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
		rc = home_lock(b->home, LOCK_NAME, LOCK_WAIT_MS, &c->lock_fd, e);
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
	struct record_key text = { .bytes = "" };
	struct slice key = record_key(&text, &r->info.owner, r->info.provider);
	struct slice value = byok_record_write(r, room);

	share_change_note(&c->shared, key, &value);
	return gdbm_change_put(c->file, key, value, e);
}

static enum err_code get(struct change *c, const struct byok_owner *owner, const char *provider,
	struct byok_record *r, struct err *e)
{
	struct buf value = { .max_bytes = BYOK_RECORD_BYTES };
	struct record_key key = { .bytes = "" };
	enum err_code rc = gdbm_change_fetch(c->file, record_key(&key, owner, provider), &value, e);

	if (!rc)
		rc = outward(byok_record_read(buf_slice(&value), r, e));
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
		return no_master_key(&c->all[0], e);
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
		rc = c.ring.n ? ERR_OK : no_master_key(&r.info, e);
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
	struct record_key key = { .bytes = "" };
	struct change c;
	enum err_code rc = begin(&c, b, owner, id_or_provider, e);

	if (!rc && !c.found)
		rc = no_such_key(id_or_provider, e);
	if (!rc)
		rc = get(&c, owner, c.provider, &r, e);
	if (!rc) {
		struct slice text = record_key(&key, owner, c.provider);

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
	enum err_code rc = with ? get(c, &i->owner, i->provider, &r, e) : no_master_key(i, e);

	if (!rc)
		rc = open_into(&r, with, &secret, e);
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
	enum err_code rc = home_lock(b->home, LOCK_NAME, LOCK_WAIT_MS, &lock_fd, e);

	if (!rc)
		rc = gdbm_file_restore(b->home, BYOK_FILE_NAME, check_record, NULL, e);
	if (lock_fd >= 0)
		close(lock_fd);
	return rc;
}
