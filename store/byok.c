#include "store/byok_inside.h"

#include <stdlib.h>

struct slice byok_place(
	struct byok_place *out, const struct byok_owner *owner, const char *provider)
{
	struct buf b = buf_over(out->bytes, sizeof(out->bytes));

	buf_str(&b, owner->kind == BYOK_ORG ? "BO" : "BU");
	buf_str(&b, owner->id);
	buf_char(&b, '\n');
	buf_str(&b, provider);
	return buf_slice(&b);
}

enum err_code byok_outward(enum err_code rc)
{
	return rc == ERR_IO ? ERR_STORE : rc;
}

bool byok_is_owner(const struct byok_owner *a, const struct byok_owner *b)
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

enum err_code byok_check_record(void *ctx, struct slice key, struct slice value, struct err *e)
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
		.lock_name = BYOK_LOCK_NAME,
		.topic = "byok",
		.check = byok_check_record };
}

/* ---- reading ---- */

/* is_next: the file was looked at for this request. */
static enum err_code fetch_bytes(struct byok *b, bool is_next, const struct byok_owner *owner,
	const char *provider, struct buf *value, struct err *e)
{
	struct byok_place room;
	struct slice key = byok_place(&room, owner, provider);

	buf_reset(value);
	return is_next ? gdbm_file_fetch_next(b->file, key, value, e)
		       : gdbm_file_fetch(b->file, key, value, e);
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

enum err_code byok_no_master_key(const struct byok_info *i, struct err *e)
{
	return err_set(e, ERR_STORE,
		"the master key %016llx that the provider key %s was encrypted with is neither "
		"in " BYOK_RING_SETTING " nor in " BYOK_RING_FILE
		": restore it, or copy it from another host that shares these keys",
		(unsigned long long)i->kid, i->id);
}

enum err_code byok_unseal(const struct byok_record *r, const struct byok_ring_key *with,
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

static enum err_code fetch_secret(struct byok *b, bool is_next, const struct byok_owner *owner,
	const char *provider, struct byok_info *info, struct buf *secret, struct err *e)
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
		rc = fetch_bytes(b, is_next && !round, owner, provider, &value, e);
		if (!rc && !r && !(r = malloc(sizeof(*r))))
			rc = err_set(e, ERR_NO_MEMORY, "no memory for a provider key");
		if (!rc)
			rc = byok_outward(byok_record_read(buf_slice(&value), r, e));
		if (!rc && r->info.disabled)
			rc = ERR_NOT_FOUND;
		has_key = !rc && find_key(b, r->info.kid, &with);
	}
	if (!rc && !byok_is_owner(&r->info.owner, owner))
		rc = err_set(e, ERR_STORE, "the provider key %s lies in the place of another",
			r->info.id);
	if (!rc)
		rc = has_key ? byok_unseal(r, &with, secret, e) : byok_no_master_key(&r->info, e);
	if (!rc)
		*info = r->info;
	free(r);
	crypto_wipe(&with, sizeof(with));
	buf_fini(&value);
	return rc;
}

enum err_code byok_secret(struct byok *b, const struct byok_owner *owner,
	const char *const *providers, size_t n, size_t *which, struct byok_info *info,
	struct buf *secret, struct err *e)
{
	enum err_code rc = ERR_NOT_FOUND;

	*which = 0;
	for (size_t i = 0; i < n && rc == ERR_NOT_FOUND; i++) {
		*which = i;
		rc = fetch_secret(b, i > 0, owner, providers[i], info, secret, e);
	}
	return rc;
}

enum err_code byok_collect(void *ctx, struct slice key, struct slice value, struct err *e)
{
	struct byok_listing *l = ctx;
	struct byok_record r;
	enum err_code rc;

	if (share_is_mark(key))
		return ERR_OK;
	rc = byok_record_read(value, &r, e);
	if (rc || (l->owner && !byok_is_owner(&r.info.owner, l->owner)))
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
	struct byok_listing l = { .owner = owner };
	enum err_code rc = gdbm_file_each(b->file, byok_collect, &l, e);

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
