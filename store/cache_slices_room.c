#include "store/cache_slices.h"

#include "store/cache_entry.h"

#define DEAD_MIN (UINT64_C(1) << 20) /* bytes that are not worth the trouble */
#define TURNS    (2 * SLICES_ROWS)
/* Whole slices from the future are of no use; the clock is set back by less every day. */
#define FUTURE_MS 60000

struct rewriting {
	struct slices *s;
	struct slices_row *row;
	uint32_t number; /* row's */
	int64_t now_ms;
	bool only_hits;
	slices_is_kept is_kept;
	void *ctx;
	struct buf room;
};

static bool move_key(void *ctx, const uint8_t hash[SLICES_KEY])
{
	struct rewriting *r = ctx;
	struct slices_at at = slices_find(r->s, hash);
	int64_t made_ms, expires_ms, usual_ms;
	struct slices_row *to;
	struct slice bytes;
	enum err_code rc;

	if (at.row != r->row || (r->only_hits && !at.hit))
		return true;
	buf_reset(&r->room);
	rc = slices_fetch(r->s, at.row, hash, &r->room);
	if (rc == ERR_IO)
		return false;
	bytes = buf_slice(&r->room);
	if (rc || !r->is_kept(r->ctx, hash, bytes) ||
		!cache_entry_life(bytes, &made_ms, &expires_ms) || expires_ms <= r->now_ms)
		return true;
	/* Who is to stay longer must not come into the slice that is the next to go. */
	usual_ms = r->now_ms + r->s->base.conf.ttl_ms;
	if (r->only_hits && expires_ms < usual_ms)
		expires_ms = usual_ms;
	to = slices_row_for(r->s, r->now_ms, expires_ms, bytes.len, r->number);
	/* What finds no place is lost with its slice. */
	return !to || slices_store(r->s, to, r->now_ms, hash, bytes) == ERR_OK ||
	       slices_row(r->s, r->number);
}

void slices_rewrite(struct slices *s, struct slices_row *row, int64_t now_ms, bool only_hits,
	slices_is_kept is_kept, void *ctx)
{
	struct rewriting r = { .s = s,
		.row = row,
		.number = row->number,
		.now_ms = now_ms,
		.only_hits = only_hits,
		.is_kept = is_kept,
		.ctx = ctx,
		.room = { .max_bytes = INT32_MAX } };

	if (slices_walk(s, row, move_key, &r) == ERR_OK && slices_row(s, r.number))
		slices_drop(s, row);
	buf_fini(&r.room);
}

/* ---- what is carried when there is too much ---- */

struct carrying {
	uint64_t entries, bytes; /* that may still be carried: the rest makes room */
};

static bool has_place(void *ctx, const uint8_t hash[SLICES_KEY], struct slice bytes)
{
	struct carrying *left = ctx;

	(void)hash;
	if (!left->entries || bytes.len > left->bytes)
		return false;
	left->entries--;
	left->bytes -= bytes.len;
	return true;
}

static void evict(struct slices *s, struct slices_row *row, int64_t now_ms)
{
	struct carrying left = { row->entries / 2, row->file_bytes / 2 };
	uint64_t before = s->head->entries;

	if (row->hits)
		slices_rewrite(s, row, now_ms, true, has_place, &left);
	else
		slices_drop(s, row);
	if (before > s->head->entries)
		atomic_fetch_add(&s->head->counted[CACHE_EVICTED], before - s->head->entries);
}

static struct slices_row *oldest(struct slices *s)
{
	struct slices_row *rows = s->head->rows, *first = NULL;

	for (int i = 0; i < SLICES_ROWS; i++)
		if (rows[i].number && (!first || rows[i].until_ms < first->until_ms ||
					      (rows[i].until_ms == first->until_ms &&
						      rows[i].number < first->number)))
			first = &rows[i];
	return first;
}

/* ---- waste: entries that were replaced stay in their files ---- */

static bool any(void *ctx, const uint8_t hash[SLICES_KEY], struct slice bytes)
{
	(void)ctx, (void)hash, (void)bytes;
	return true;
}

/* When much of everything is dead, the slice with most of it is written anew. */
static void compact(struct slices *s, int64_t now_ms)
{
	struct slices_row *rows = s->head->rows, *worst = &rows[0];
	uint64_t dead = 0;

	if (s->head->file_bytes < s->head->bytes + DEAD_MIN)
		return;
	for (int i = 0; i < SLICES_ROWS; i++) {
		dead += rows[i].dead_bytes;
		if (rows[i].dead_bytes > worst->dead_bytes)
			worst = &rows[i];
	}
	if (dead > s->head->bytes / 4 + DEAD_MIN)
		slices_rewrite(s, worst, now_ms, false, any, NULL);
}

/* ---- room ---- */

static bool is_full(const struct slices *s, size_t bytes)
{
	return s->head->entries >= (uint64_t)s->base.conf.max_entries ||
	       s->head->file_bytes + bytes + SLICES_FILE > (uint64_t)s->base.conf.max_bytes;
}

static unsigned drop_useless(struct slices *s, int64_t now_ms)
{
	struct slices_row *rows = s->head->rows;
	unsigned n = 0;

	for (int i = 0; i < SLICES_ROWS; i++) {
		if (!rows[i].number)
			continue;
		if (rows[i].until_ms <= now_ms || rows[i].first_ms > now_ms + FUTURE_MS)
			slices_drop(s, &rows[i]);
		else
			n++;
	}
	return n;
}

void slices_make_room(struct slices *s, int64_t now_ms, size_t bytes)
{
	unsigned n = drop_useless(s, now_ms);
	struct slices_row *row;

	compact(s, now_ms);
	/* Without a free row no slice can be made. */
	for (int i = 0; i < TURNS && (n > SLICES_ROWS - 8 || is_full(s, bytes)); i++) {
		row = oldest(s);
		if (!row)
			return;
		evict(s, row, now_ms);
		n = drop_useless(s, now_ms);
	}
}
