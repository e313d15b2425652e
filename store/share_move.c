#include "store/share_inside.h"

#include "base/crypto.h"
#include "store/fault.h"
#include "store/home.h"

#include <stdlib.h>
#include <unistd.h>

#define CHUNK_RECORDS 200
#define CHUNK_BYTES   ((size_t)1 << 20)

/* ---- the whole file into Redis ---- */

/* Records on their way. */
struct sending {
	struct share *s;
	const char *token;
	const struct share_progress *progress;
	struct share_moved *out;
	uint64_t done, of;
	struct buf bytes;
	size_t ends[2 * CHUNK_RECORDS]; /* of each text in bytes */
	size_t n;                       /* of ends */
};

static enum err_code send_chunk(struct sending *t, struct err *e)
{
	struct slice pairs[2 * CHUNK_RECORDS];
	size_t from = 0;
	enum err_code rc;

	if (!buf_ok(&t->bytes))
		return err_set(e, ERR_NO_MEMORY, "no memory to move %s", t->s->conf.name);
	for (size_t i = 0; i < t->n; i++) {
		pairs[i] = (struct slice){ t->bytes.data + from, t->ends[i] - from };
		from = t->ends[i];
	}
	rc = share_redis_add(t->s, t->token, pairs, t->n / 2, t->out, e);
	t->done += t->n / 2;
	t->n = 0;
	buf_reset(&t->bytes);
	if (!rc && t->progress->on_records)
		t->progress->on_records(t->progress->ctx, t->s->conf.topic, t->done, t->of);
	return rc;
}

static enum err_code collect(void *ctx, struct slice key, struct slice value, struct err *e)
{
	struct sending *t = ctx;

	if (share_is_mark(key))
		return ERR_OK;
	buf_slice_append(&t->bytes, key);
	t->ends[t->n++] = t->bytes.len;
	buf_slice_append(&t->bytes, value);
	t->ends[t->n++] = t->bytes.len;
	if (t->n == 2 * CHUNK_RECORDS || t->bytes.len >= CHUNK_BYTES)
		return send_chunk(t, e);
	return ERR_OK;
}

enum err_code share_send_whole(struct share *s, const char *before, const char *after,
	const char *token, bool is_joined, const struct share_progress *p, struct share_moved *out,
	struct err *e)
{
	struct sending t = { .s = s, .token = token, .progress = p, .out = out };
	/* With a handle of its own: requests are not to wait for Redis. */
	struct gdbm_file *file = NULL;
	uint64_t present = 0;
	bool done = false;
	enum err_code rc = share_count(s, &t.of, e);

	*out = (struct share_moved){ .sent = 0 };
	if (!rc)
		rc = gdbm_file_open(&file, s->conf.home, s->conf.name, e);
	if (!rc)
		rc = share_redis_aside(s, is_joined, &present, e);
	if (!rc)
		rc = gdbm_file_each(file, collect, &t, e);
	if (!rc)
		rc = send_chunk(&t, e);
	(void)fault_at("share.rename");
	if (!rc)
		rc = share_redis_rename(s, before, after, present + out->sent, &done, e);
	if (!rc && !done)
		rc = err_set(e, ERR_BUSY, "%s was changed in Redis meanwhile: do it again",
			s->conf.topic);
	gdbm_file_close(file);
	buf_fini(&t.bytes);
	return rc;
}

/* ---- are both the same? ---- */

/* A word for each record. */
struct words {
	uint64_t *list;
	size_t n, room;
};

static enum err_code add_word(void *ctx, struct slice key, struct slice value, struct err *e)
{
	struct words *w = ctx;
	uint8_t hashes[2 * SHA256_BYTES], hash[SHA256_BYTES];

	if (share_is_mark(key))
		return ERR_OK;
	if (w->n == w->room) {
		size_t room = w->room ? 2 * w->room : 1024;
		uint64_t *more = realloc(w->list, room * sizeof(*more));

		if (!more)
			return err_set(e, ERR_NO_MEMORY, "no memory to compare");
		w->list = more;
		w->room = room;
	}
	crypto_sha256(key, hashes);
	crypto_sha256(value, hashes + SHA256_BYTES);
	crypto_sha256((struct slice){ (const char *)hashes, sizeof(hashes) }, hash);
	memcpy(&w->list[w->n++], hash, sizeof(*w->list));
	return ERR_OK;
}

static int by_value(const void *pa, const void *pb)
{
	const uint64_t *a = pa, *b = pb;

	return (*a > *b) - (*a < *b);
}

/* A page of Redis may hold a record that an earlier one had. */
static struct share_sum sum_up(struct words *w)
{
	struct share_sum out = { .records = 0 };

	if (w->n)
		qsort(w->list, w->n, sizeof(*w->list), by_value);
	for (size_t i = 0; i < w->n; i++) {
		if (i && w->list[i] == w->list[i - 1])
			continue;
		out.records++;
		out.sum += w->list[i];
	}
	free(w->list);
	return out;
}

static bool is_same(const struct share_moved *m)
{
	return m->here.records == m->there.records && m->here.sum == m->there.sum;
}

static enum err_code compare(struct share *s, struct share_moved *out, struct err *e)
{
	struct words here = { .n = 0 }, there = { .n = 0 };
	enum err_code rc = gdbm_file_each(s->conf.file, add_word, &here, e);

	if (!rc)
		rc = share_redis_each(s, add_word, &there, e);
	out->here = sum_up(&here);
	out->there = sum_up(&there);
	return rc;
}

static enum err_code prove(struct share *s, struct share_moved *out, struct err *e)
{
	enum err_code rc = compare(s, out, e);

	if (!rc && !is_same(out))
		rc = err_set(e, ERR_STORE,
			"%s has %llu records and Redis %llu, and they are not the same: do it "
			"again",
			s->conf.name, (unsigned long long)out->here.records,
			(unsigned long long)out->there.records);
	return rc;
}

/* ---- both locks ---- */

struct hold {
	struct share *s;
	int lock_fd;
	char token[20];
	char here[SHARE_MARK_SIZE], there[SHARE_MARK_SIZE];
	struct buf past;
};

static enum err_code hold_begin(struct hold *h, struct share *s, struct err *e)
{
	enum err_code rc = home_make(s->conf.home, e);

	*h = (struct hold){ .s = s, .lock_fd = -1, .past.max_bytes = SHARE_RECORD_MAX };
	if (!rc)
		rc = home_lock(s->conf.home, s->conf.lock_name, SHARE_LOCK_WAIT_MS, &h->lock_fd, e);
	if (!rc)
		rc = share_redis_lock(s, h->token, e);
	if (!rc)
		rc = share_mark_read(s->conf.file, h->here, &h->past, e);
	if (!rc)
		rc = share_redis_mark(s, h->there, NULL, e);
	return rc;
}

static void hold_end(struct hold *h)
{
	share_redis_unlock(h->s, h->token);
	if (h->lock_fd >= 0)
		close(h->lock_fd);
	buf_fini(&h->past);
}

/* ---- there ---- */

/* What must be the same in two files that become one. */
static enum err_code check_same(struct share *s, struct err *e)
{
	const struct slice words[] = { SLICE("HGET"), slice_of(s->hash), slice_of(s->conf.same) };
	struct redis_reply reply = { 0 };
	enum err_code rc;

	if (!s->conf.same)
		return ERR_OK;
	rc = share_redis_failed(s, redis_call(s->conf.redis, words, 3, 1, &reply, e), e);
	if (!rc && reply.value.kind == REDIS_STRING)
		rc = s->conf.check(s->conf.ctx, words[2], reply.value.text, e);
	redis_reply_fini(&reply);
	return rc;
}

/* Has the file grown out of what is there? */
static enum err_code has_grown(struct hold *h, bool *yes, struct err *e)
{
	struct buf left = { .max_bytes = SHARE_RECORD_MAX };
	enum err_code rc = gdbm_file_fetch(h->s->conf.file, SHARE_LEFT_KEY, &left, e);

	*yes = !rc && slice_is(buf_slice(&left), h->there);
	buf_fini(&left);
	return rc == ERR_NOT_FOUND ? ERR_OK : rc;
}

static enum err_code join(
	struct hold *h, const struct share_progress *p, struct share_moved *out, struct err *e)
{
	char after[SHARE_MARK_SIZE];
	bool is_grown = false;
	uint64_t records;
	enum err_code rc = share_count(h->s, &records, e);

	if (rc || !records)
		return rc ? rc : share_bring(h->s, h->token, h->here, &h->past, e);
	share_mark_next(h->there, after);
	rc = check_same(h->s, e);
	if (!rc)
		rc = has_grown(h, &is_grown, e);
	if (!rc)
		rc = share_send_whole(h->s, h->there, after, h->token, !is_grown, p, out, e);
	return rc ? rc : share_bring_whole(h->s, e);
}

enum err_code share_give(
	struct share *s, const struct share_progress *p, struct share_moved *out, struct err *e)
{
	struct hold h;
	enum err_code rc = hold_begin(&h, s, e);

	*out = (struct share_moved){ .sent = 0 };
	if (!rc && !h.here[0])
		rc = join(&h, p, out, e);
	else if (!rc && !h.there[0])
		rc = share_send_whole(s, "", h.here, h.token, false, p, out, e);
	else if (!rc)
		rc = share_bring(s, h.token, h.here, &h.past, e);
	if (!rc)
		rc = prove(s, out, e);
	hold_end(&h);
	return rc;
}

/* ---- and back ---- */

/* The copy becomes a file of its own, which remembers what it was a copy of. */
static enum err_code drop_mark(struct share *s, struct err *e)
{
	char mark[SHARE_MARK_SIZE];
	struct gdbm_change *c = NULL;
	enum err_code rc = share_mark_read(s->conf.file, mark, NULL, e);

	if (!rc)
		rc = gdbm_change_begin(
			&c, s->conf.home, s->conf.name, s->conf.check, s->conf.ctx, e);
	if (rc)
		return rc;
	if (mark[0]) {
		rc = gdbm_change_put(c, SHARE_LEFT_KEY, slice_of(mark), e);
		if (!rc)
			rc = gdbm_change_remove(c, SHARE_MARK_KEY, e);
	}
	if (!rc)
		return gdbm_change_commit(c, e);
	gdbm_change_abort(c);
	return rc;
}

/* A file without a mark, and Redis: what became a file of its own before, or never was one. */
static enum err_code fetch_anew(struct hold *h, struct share_moved *out, struct err *e)
{
	struct share *s = h->s;
	enum err_code rc = compare(s, out, e);

	if (rc || is_same(out))
		return rc;
	if (out->here.records)
		return err_set(e, ERR_STORE,
			"%s of this host is no copy of what is in Redis, it was changed by "
			"itself: nothing was done",
			s->conf.name);
	rc = share_bring_whole(s, e);
	if (!rc)
		rc = prove(s, out, e);
	out->sent = out->here.records;
	return rc ? rc : drop_mark(s, e);
}

enum err_code share_fetch(
	struct share *s, const struct share_progress *p, struct share_moved *out, struct err *e)
{
	struct hold h;
	enum err_code rc = hold_begin(&h, s, e);

	*out = (struct share_moved){ .sent = 0 };
	if (!rc && !h.here[0]) {
		rc = fetch_anew(&h, out, e);
	} else if (!rc) {
		rc = share_bring(s, h.token, h.here, &h.past, e);
		if (!rc)
			rc = prove(s, out, e);
		if (!rc)
			rc = drop_mark(s, e);
		out->sent = out->here.records;
	}
	hold_end(&h);
	if (!rc && p->on_records)
		p->on_records(p->ctx, s->conf.topic, out->here.records, out->here.records);
	return rc;
}

enum err_code share_leave(struct share *s, struct err *e)
{
	char mark[SHARE_MARK_SIZE];
	int lock_fd = -1;
	enum err_code rc = home_check(s->conf.home, e);

	if (!rc)
		rc = home_lock(s->conf.home, s->conf.lock_name, SHARE_LOCK_WAIT_MS, &lock_fd, e);
	if (!rc)
		rc = share_mark_read(s->conf.file, mark, NULL, e);
	if (!rc)
		rc = mark[0] ? drop_mark(s, e) : ERR_NOT_FOUND;
	if (lock_fd >= 0)
		close(lock_fd);
	return rc;
}

enum err_code share_look(struct share *s, struct share_status *out, struct err *e)
{
	enum err_code rc;

	*out = (struct share_status){ .here = "" };
	rc = share_mark_read(s->conf.file, out->here, NULL, e);
	if (!rc)
		rc = share_count(s, &out->records_here, e);
	return rc ? rc : share_redis_mark(s, out->there, &out->records_there, e);
}
