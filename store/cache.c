#include "store/cache_inside.h"

#include "store/cache_entry.h"

#include <stdlib.h>

enum err_code cache_open(struct cache **out, const struct cache_conf *conf, struct err *e)
{
	return conf->engine == CACHE_REDIS ? cache_redis_open(out, conf, e)
					   : cache_slices_open(out, conf, e);
}

void cache_close(struct cache *c)
{
	if (c)
		c->ops->close(c);
}

static bool lives(const struct cache_entry *entry, int64_t now_ms)
{
	return entry->made_ms <= now_ms && entry->expires_ms > now_ms;
}

enum err_code cache_get(struct cache *c, const struct cache_key *key, int64_t now_ms,
	struct buf *room, struct cache_entry *out, struct err *e)
{
	size_t at = room->len;
	struct cache_key wanted = *key;
	enum err_code rc = c->ops->get(c, key->hash, now_ms, room, e);

	*out = (struct cache_entry){ .made_ms = 0 };
	if (rc)
		return rc;
	switch (cache_entry_read(slice_from(buf_slice(room), at), &wanted, out)) {
	case CACHE_IS_GOOD:
		return lives(out, now_ms) ? ERR_OK : ERR_NOT_FOUND;
	case CACHE_IS_OTHERS:
		return ERR_NOT_FOUND;
	case CACHE_IS_DAMAGED:
		c->ops->drop(c, key->hash, now_ms);
		cache_count(c, CACHE_DAMAGED, 0);
		return ERR_NOT_FOUND;
	}
	return ERR_NOT_FOUND;
}

enum err_code cache_put(struct cache *c, const struct cache_key *key, int64_t now_ms,
	const struct cache_entry *entry, struct err *e)
{
	struct cache_facts facts = { entry->made_ms, entry->expires_ms, entry->model };
	struct buf bytes = { .max_bytes = INT32_MAX };
	enum err_code rc;

	if (entry->expires_ms <= now_ms)
		return err_set(e, ERR_RANGE, "an answer that has expired is not remembered");
	rc = cache_entry_write(key, entry, &bytes, e);
	if (!rc)
		rc = c->ops->put(c, key->hash, now_ms, &facts, buf_slice(&bytes), e);
	if (!rc)
		cache_count(c, CACHE_STORED, 0);
	buf_fini(&bytes);
	return rc;
}

void cache_count(struct cache *c, enum cache_event event, int64_t saved_microusd)
{
	c->ops->count(c, event, saved_microusd);
}

enum err_code cache_stats(struct cache *c, int64_t now_ms, struct cache_stats *out, struct err *e)
{
	*out = (struct cache_stats){ .entries = 0 };
	return c->ops->stats(c, now_ms, out, e);
}

/* ---- for the operator ---- */

struct each {
	cache_on_entry f;
	void *ctx;
	int64_t now_ms;
};

static bool on_bytes(void *ctx, const uint8_t hash[32], struct slice bytes)
{
	struct each *each = ctx;
	struct cache_key key = { .length = 0 };
	struct cache_entry entry;

	memcpy(key.hash, hash, sizeof(key.hash));
	if (cache_entry_read(bytes, &key, &entry) != CACHE_IS_GOOD || !lives(&entry, each->now_ms))
		return true;
	return each->f(each->ctx, &key, &entry);
}

enum err_code cache_each(
	struct cache *c, int64_t now_ms, cache_on_entry f, void *ctx, struct err *e)
{
	struct each each = { f, ctx, now_ms };

	return c->ops->each(c, now_ms, on_bytes, &each, e);
}

struct purge {
	const struct cache_purge *what;
	int64_t now_ms;
};

/* What cannot be read is good for nothing, so it goes, too. */
static bool is_meant(void *ctx, const uint8_t hash[32], struct slice bytes)
{
	const struct purge *p = ctx;
	const struct cache_purge *what = p->what;
	struct cache_key key = { .length = 0 };
	struct cache_entry entry;

	memcpy(key.hash, hash, sizeof(key.hash));
	if (cache_entry_read(bytes, &key, &entry) == CACHE_IS_DAMAGED)
		return true;
	return (!what->model || strcmp(what->model, entry.model) == 0) &&
	       (!what->hash || memcmp(what->hash, hash, what->hash_bytes) == 0) &&
	       (!what->older_than_ms || p->now_ms - entry.made_ms > what->older_than_ms);
}

enum err_code cache_purge(struct cache *c, int64_t now_ms, const struct cache_purge *what,
	uint64_t *dropped, struct err *e)
{
	struct purge p = { what, now_ms };
	uint64_t ignored;

	if (!dropped)
		dropped = &ignored;
	*dropped = 0;
	if (what->hash && what->hash_bytes > 32)
		return err_set(e, ERR_RANGE, "a key has 32 bytes");
	return c->ops->purge(c, now_ms, is_meant, &p, dropped, e);
}
