#include "store/cache_slices.h"

#include <stdlib.h>

#define OPERATOR_MS 10000 /* an operator waits longer for the mutex */

static struct slices *slices_of(struct cache *c)
{
	return (struct slices *)c;
}

static void close_slices(struct cache *c)
{
	struct slices *s = slices_of(c);

	if (s->head)
		slices_close_handles(s);
	slices_detach(s);
	free(s);
}

static enum err_code get(struct cache *c, const uint8_t hash[SLICES_KEY], int64_t now_ms,
	struct buf *out, struct err *e)
{
	struct slices *s = slices_of(c);
	size_t before = out->len;
	struct slices_at at;
	enum err_code rc = ERR_NOT_FOUND;

	(void)e;
	if (!slices_seen(s, hash) || !slices_lock(s, CACHE_LOCK_MS))
		return ERR_NOT_FOUND;
	at = slices_find(s, hash);
	if (at.slot && at.row->until_ms > now_ms) {
		rc = slices_fetch(s, at.row, hash, out);
		if (rc == ERR_OK)
			slices_mark_hit(&at);
		else if (rc == ERR_NOT_FOUND)
			slices_forget(s, &at);
	}
	slices_unlock(s);
	if (rc == ERR_IO)
		cache_count(c, CACHE_DAMAGED, 0);
	if (rc)
		out->len = before;
	return rc ? ERR_NOT_FOUND : ERR_OK;
}

static enum err_code put(struct cache *c, const uint8_t hash[SLICES_KEY], int64_t now_ms,
	const struct cache_facts *facts, struct slice bytes, struct err *e)
{
	struct slices *s = slices_of(c);
	struct slices_row *row;
	enum err_code rc = ERR_IO;

	if (bytes.len + 2 * SLICES_FILE > (uint64_t)c->conf.max_bytes)
		return err_set(e, ERR_RANGE,
			"an answer of %zu bytes is too large for the cache "
			"(GATEWAY_CACHE_MAX_BYTES "
			"is %lld)",
			bytes.len, (long long)c->conf.max_bytes);
	if (!slices_lock(s, CACHE_LOCK_MS))
		return err_set(e, ERR_BUSY, "the cache is in use by others");
	slices_make_room(s, now_ms, bytes.len);
	/* A slice that turns out to be damaged is dropped: the next one is new. */
	for (int i = 0; rc == ERR_IO && i < 2; i++) {
		row = slices_row_for(s, now_ms, facts->expires_ms, bytes.len, 0);
		rc = row ? slices_store(s, row, now_ms, hash, bytes) : ERR_STORE;
	}
	slices_unlock(s);
	return rc ? err_set(e, ERR_STORE, "%s: an entry could not be written", s->folder) : ERR_OK;
}

static void drop(struct cache *c, const uint8_t hash[SLICES_KEY], int64_t now_ms)
{
	struct slices *s = slices_of(c);
	struct slices_at at;

	(void)now_ms;
	if (!slices_lock(s, CACHE_LOCK_MS))
		return;
	at = slices_find(s, hash);
	slices_forget(s, &at);
	slices_unlock(s);
}

static void count(struct cache *c, enum cache_event event, int64_t saved_microusd)
{
	struct slices_head *h = slices_of(c)->head;

	atomic_fetch_add_explicit(&h->counted[event], 1, memory_order_relaxed);
	if (saved_microusd)
		atomic_fetch_add_explicit(&h->saved_microusd, saved_microusd, memory_order_relaxed);
}

static enum err_code busy(const struct slices *s, struct err *e)
{
	return err_set(e, ERR_BUSY, "%s: another has used the cache for %d s; try again", s->folder,
		OPERATOR_MS / 1000);
}

static enum err_code stats(struct cache *c, int64_t now_ms, struct cache_stats *out, struct err *e)
{
	struct slices *s = slices_of(c);
	struct slices_head *h = s->head;

	if (!slices_lock(s, OPERATOR_MS))
		return busy(s, e);
	for (int i = 0; i < SLICES_ROWS; i++) {
		const struct slices_row *row = &h->rows[i];

		if (!row->number)
			continue;
		out->files++;
		out->file_bytes += row->file_bytes;
		if (row->until_ms <= now_ms || !row->entries)
			continue;
		out->entries += row->entries;
		out->bytes += row->bytes;
		if (!out->oldest_ms || row->first_ms < out->oldest_ms)
			out->oldest_ms = row->first_ms;
		if (row->last_ms > out->newest_ms)
			out->newest_ms = row->last_ms;
	}
	slices_unlock(s);
	for (int i = 0; i < CACHE_EVENTS_N; i++)
		out->counted[i] = h->counted[i];
	out->saved_microusd = h->saved_microusd;
	out->since_ms = h->since_ms;
	return ERR_OK;
}

/* ---- each: the keys of a slice are noted in one go, their entries read one by one, so that
 * others get at the cache in between ---- */

struct noting {
	struct slices *s;
	struct slices_row *row;
	struct buf *keys;
};

static bool note_key(void *ctx, const uint8_t hash[SLICES_KEY])
{
	struct noting *n = ctx;

	if (slices_find(n->s, hash).row == n->row)
		buf_append(n->keys, hash, SLICES_KEY);
	return true;
}

static enum err_code each_key(struct slices *s, int64_t now_ms, struct slice keys, cache_on_bytes f,
	void *ctx, bool *more, struct err *e)
{
	struct buf room = { .max_bytes = INT32_MAX };
	enum err_code rc = ERR_OK;

	for (; !rc && *more && keys.len; keys = slice_from(keys, SLICES_KEY)) {
		const uint8_t *hash = (const uint8_t *)keys.ptr;
		enum err_code found = ERR_NOT_FOUND;
		struct slices_at at;

		if (!slices_lock(s, OPERATOR_MS)) {
			rc = busy(s, e);
			break;
		}
		buf_reset(&room);
		at = slices_find(s, hash);
		if (at.slot && at.row->until_ms > now_ms)
			found = slices_fetch(s, at.row, hash, &room);
		slices_unlock(s);
		if (found == ERR_OK)
			*more = f(ctx, hash, buf_slice(&room));
	}
	buf_fini(&room);
	return rc;
}

static enum err_code each(
	struct cache *c, int64_t now_ms, cache_on_bytes f, void *ctx, struct err *e)
{
	struct slices *s = slices_of(c);
	struct buf keys = { .max_bytes = INT32_MAX };
	enum err_code rc = ERR_OK;
	bool more = true;

	for (int i = 0; !rc && more && i < SLICES_ROWS; i++) {
		struct noting noting = { s, &s->head->rows[i], &keys };

		if (!slices_lock(s, OPERATOR_MS)) {
			rc = busy(s, e);
			break;
		}
		buf_reset(&keys);
		if (noting.row->number && slices_walk(s, noting.row, note_key, &noting))
			buf_reset(&keys);
		slices_unlock(s);
		rc = each_key(s, now_ms, buf_slice(&keys), f, ctx, &more, e);
	}
	buf_fini(&keys);
	return rc;
}

/* ---- purge: under the mutex from end to end, or an entry could be moved past it ---- */

struct purging {
	cache_is_meant is_meant;
	void *ctx;
	bool found;
	struct slices *s;
	struct slices_row *row;
	struct buf room;
};

static bool is_kept(void *ctx, const uint8_t hash[SLICES_KEY], struct slice bytes)
{
	struct purging *p = ctx;

	return !p->is_meant(p->ctx, hash, bytes);
}

static bool look(void *ctx, const uint8_t hash[SLICES_KEY])
{
	struct purging *p = ctx;

	buf_reset(&p->room);
	/* A replaced answer is still in the file, and may be what is to go. */
	if (slices_fetch(p->s, p->row, hash, &p->room) == ERR_OK)
		p->found = p->is_meant(p->ctx, hash, buf_slice(&p->room));
	return !p->found && p->row->number;
}

static enum err_code purge(struct cache *c, int64_t now_ms, cache_is_meant is_meant, void *ctx,
	uint64_t *dropped, struct err *e)
{
	struct slices *s = slices_of(c);
	struct purging p = {
		.is_meant = is_meant, .ctx = ctx, .s = s, .room = { .max_bytes = INT32_MAX }
	};
	uint32_t numbers[SLICES_ROWS];
	uint64_t before;

	if (!slices_lock(s, OPERATOR_MS))
		return busy(s, e);
	before = s->head->entries;
	for (int i = 0; i < SLICES_ROWS; i++)
		numbers[i] = s->head->rows[i].number;
	for (int i = 0; i < SLICES_ROWS; i++) {
		p.row = slices_row(s, numbers[i]);
		p.found = false;
		if (p.row && slices_walk(s, p.row, look, &p) == ERR_OK && p.found)
			slices_rewrite(s, p.row, now_ms, false, is_kept, &p);
	}
	*dropped = before > s->head->entries ? before - s->head->entries : 0;
	slices_unlock(s);
	buf_fini(&p.room);
	return ERR_OK;
}

static const struct cache_ops ops = { .close = close_slices,
	.get = get,
	.put = put,
	.drop = drop,
	.count = count,
	.stats = stats,
	.each = each,
	.purge = purge };

enum err_code cache_slices_open(struct cache **out, const struct cache_conf *conf, struct err *e)
{
	struct slices *s = calloc(1, sizeof(*s));
	enum err_code rc;

	*out = NULL;
	if (!s)
		return err_set(e, ERR_NO_MEMORY, "no memory for the cache");
	s->base = (struct cache){ &ops, *conf };
	s->lock_fd = -1;
	rc = slices_attach(s, e);
	if (rc)
		close_slices(&s->base);
	else
		*out = &s->base;
	return rc;
}
