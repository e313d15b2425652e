#include "store/share_inside.h"

#include "base/clock.h"
#include "base/crypto.h"
#include "base/log.h"
#include "store/fault.h"
#include "store/home.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define ROUNDS 3     /* of fetching the whole, while others change it */
#define SAY_MS 60000 /* what is wrong is logged so often */

/* ---- opening ---- */

static bool name_it(const struct share *s, const char *part, char out[SHARE_KEY_MAX])
{
	const char *prefix = s->conf.redis ? redis_prefix(s->conf.redis) : "";
	int n = snprintf(out, SHARE_KEY_MAX, "%s:{%s}:%s%s", prefix, prefix, s->conf.topic, part);

	return n > 0 && n < SHARE_KEY_MAX;
}

enum err_code share_open(struct share **out, const struct share_conf *conf, struct err *e)
{
	struct share *s = calloc(1, sizeof(*s));

	*out = NULL;
	if (!s)
		return err_set(e, ERR_NO_MEMORY, "no memory to share %s", conf->name);
	s->conf = *conf;
	if (!name_it(s, "", s->hash) || !name_it(s, ":log", s->log) ||
		!name_it(s, ":lock", s->lock) || !name_it(s, ":new", s->fresh)) {
		free(s);
		return err_set(e, ERR_CONF, "GATEWAY_STORE_PREFIX is too long");
	}
	*out = s;
	return ERR_OK;
}

void share_close(struct share *s)
{
	free(s);
}

/* ---- marks ---- */

uint64_t share_mark_changes(const char *mark)
{
	return strtoull(mark, NULL, 10);
}

/* The word behind the number. */
static struct slice history_of(const char *mark)
{
	struct slice rest = slice_of(mark);

	(void)slice_cut(&rest, '-');
	return slice_cut(&rest, '-');
}

bool share_mark_is_of(const char *mark, const char *other)
{
	return slice_eq(history_of(mark), history_of(other));
}

void share_mark_next(const char *mark, char out[SHARE_MARK_SIZE])
{
	uint8_t random[12];
	char history[9], word[17];

	crypto_random(random, sizeof(random));
	crypto_hex(random, 8, word);
	crypto_hex(random + 8, 4, history);
	if (mark[0] && !slice_copy(history_of(mark), history, sizeof(history)))
		history[0] = '\0';
	snprintf(out, SHARE_MARK_SIZE, "%" PRIu64 "-%s-%s", share_mark_changes(mark) + 1, history,
		word);
}

bool share_is_mark(struct slice key)
{
	return slice_eq(key, SHARE_MARK_KEY) || slice_eq(key, SHARE_LEFT_KEY);
}

enum err_code share_mark_read(
	struct gdbm_file *file, char mark[SHARE_MARK_SIZE], struct buf *past, struct err *e)
{
	struct buf value = { .max_bytes = SHARE_RECORD_MAX };
	struct slice rest;
	enum err_code rc = gdbm_file_fetch(file, SHARE_MARK_KEY, &value, e);

	rest = buf_slice(&value);
	mark[0] = '\0';
	if (!rc && !slice_copy(slice_cut(&rest, '\n'), mark, SHARE_MARK_SIZE))
		rc = err_set(e, ERR_STORE, "the mark of a shared file is damaged");
	if (past) {
		buf_reset(past);
		buf_slice_append(past, buf_slice(&value));
	}
	buf_fini(&value);
	return rc == ERR_NOT_FOUND ? ERR_OK : rc;
}

enum err_code share_mark_put(
	struct gdbm_change *file, const char *newest, struct slice past, struct err *e)
{
	struct buf value = { .max_bytes = SHARE_RECORD_MAX };
	enum err_code rc;

	buf_str(&value, newest);
	for (int i = 1; i < SHARE_PAST && past.len; i++) {
		struct slice line = slice_cut(&past, '\n');

		buf_char(&value, '\n');
		buf_slice_append(&value, line);
	}
	rc = buf_ok(&value) ? gdbm_change_put(file, SHARE_MARK_KEY, buf_slice(&value), e)
			    : err_set(e, ERR_NO_MEMORY, "no memory for a mark");
	buf_fini(&value);
	return rc;
}

static bool is_in_past(struct slice past, const char *mark)
{
	while (past.len)
		if (slice_is(slice_cut(&past, '\n'), mark))
			return true;
	return false;
}

static enum err_code count_one(void *ctx, struct slice key, struct slice value, struct err *e)
{
	(void)value;
	(void)e;
	*(uint64_t *)ctx += !share_is_mark(key);
	return ERR_OK;
}

enum err_code share_count(struct share *s, uint64_t *out, struct err *e)
{
	*out = 0;
	return gdbm_file_each(s->conf.file, count_one, out, e);
}

enum err_code share_refuse_copy(struct gdbm_file *file, const char *name, struct err *e)
{
	char mark[SHARE_MARK_SIZE];
	enum err_code rc = share_mark_read(file, mark, NULL, e);

	if (!rc && mark[0])
		rc = err_set(e, ERR_STORE,
			"%s is this host's copy of what is in Redis: set GATEWAY_STORE to that "
			"Redis, or make it a file of its own: tollgate store migrate redis gdbm",
			name);
	return rc;
}

/* ---- taking over what Redis has ---- */

/* A record that came from Redis. */
struct taking {
	struct share *s;
	struct gdbm_change *file;
};

static enum err_code take_one(void *ctx, struct slice key, struct slice value, struct err *e)
{
	const struct taking *t = ctx;
	struct err why = { .code = ERR_OK };
	enum err_code rc = ERR_OK;

	if (!key.len || *key.ptr == '\1' || value.len > SHARE_RECORD_MAX)
		rc = err_set(&why, ERR_IO, "it is no record");
	if (!rc)
		rc = t->s->conf.check(t->s->conf.ctx, key, value, &why);
	if (rc == ERR_IO)
		return err_set(e, ERR_STORE, "a record of %s in Redis is damaged: %.300s",
			t->s->conf.topic, why.message);
	if (rc && e)
		*e = why;
	return rc ? rc : gdbm_change_put(t->file, key, value, e);
}

static enum err_code take_pairs(struct taking *t, const struct share_news *news, struct err *e)
{
	enum err_code rc = ERR_OK;

	for (size_t i = 0; !rc && i < news->n; i++) {
		const struct redis_value *key = &news->pairs[2 * i], *value = key + 1;

		if (share_is_mark(key->text))
			continue;
		if (value->kind == REDIS_STRING)
			rc = take_one(t, key->text, value->text, e);
		else if (gdbm_change_remove(t->file, key->text, e) == ERR_STORE)
			rc = ERR_STORE;
	}
	return rc;
}

/* Commits when it has come to what Redis has; *whole false, and nothing is done, when not. */
static enum err_code finish(
	struct taking *t, const struct share_news *news, bool *whole, struct err *e)
{
	enum err_code rc = share_mark_put(t->file, news->mark, news->past, e);

	*whole = !rc && gdbm_change_records(t->file) == news->fields;
	if (*whole)
		return gdbm_change_commit(t->file, e);
	gdbm_change_abort(t->file);
	return rc;
}

static enum err_code take_some(
	struct share *s, const struct share_news *news, bool *whole, struct err *e)
{
	struct taking t = { .s = s };
	enum err_code rc = gdbm_change_begin(
		&t.file, s->conf.home, s->conf.name, s->conf.check, s->conf.ctx, e);

	*whole = false;
	if (rc)
		return rc;
	rc = take_pairs(&t, news, e);
	if (!rc)
		return finish(&t, news, whole, e);
	gdbm_change_abort(t.file);
	return rc;
}

/* One attempt: what changes while the pages come is fetched behind them. */
static enum err_code take_whole(struct share *s, bool *whole, struct err *e)
{
	struct taking t = { .s = s };
	struct share_news news = { .kind = NEWS_WHOLE };
	char before[SHARE_MARK_SIZE];
	enum err_code rc = share_redis_mark(s, before, NULL, e);

	*whole = false;
	if (rc)
		return rc;
	rc = gdbm_change_anew(&t.file, s->conf.home, s->conf.name, e);
	if (rc)
		return rc;
	rc = share_redis_each(s, take_one, &t, e);
	if (!rc)
		rc = share_redis_news(s, before, &news, e);
	if (!rc && news.kind == NEWS_SOME)
		rc = take_pairs(&t, &news, e);
	if (!rc && (news.kind == NEWS_SOME || news.kind == NEWS_SAME))
		rc = finish(&t, &news, whole, e);
	else
		gdbm_change_abort(t.file);
	redis_reply_fini(&news.reply);
	return rc;
}

enum err_code share_bring_whole(struct share *s, struct err *e)
{
	bool whole = false;
	enum err_code rc = ERR_OK;

	for (int i = 0; !rc && !whole && i < ROUNDS; i++)
		rc = take_whole(s, &whole, e);
	if (!rc && !whole)
		rc = err_set(e, ERR_BUSY, "%s in Redis changes faster than it can be fetched",
			s->conf.topic);
	return rc;
}

/* Redis has forgotten what this host has. */
static enum err_code give_back(
	struct share *s, const char *there, const char *here, const char *token, struct err *e)
{
	struct share_moved moved = { .sent = 0 };
	char own[20] = "";
	enum err_code rc = token ? ERR_OK : share_redis_lock(s, own, e);

	if (!rc)
		rc = share_send_whole(s, there, here, token ? token : own, false,
			&(struct share_progress){ .on_records = NULL }, &moved, e);
	share_redis_unlock(s, own);
	if (!rc)
		log_line(LOG_WARN, "%s: Redis at %s had lost changes (%s) and got back %s",
			s->conf.name, redis_where(s->conf.redis), there, here);
	return rc;
}

static enum err_code refuse_empty(const struct share *s, struct err *e)
{
	return err_set(e, ERR_STORE,
		"Redis at %s holds no %s any more: if it was emptied by mistake, restore it, or "
		"put this host's copy there: tollgate store migrate gdbm redis",
		redis_where(s->conf.redis), s->conf.topic);
}

/* Somebody began anew in a Redis that was emptied. */
static enum err_code refuse_history(
	const struct share *s, const char *here, const char *there, struct err *e)
{
	return err_set(e, ERR_STORE,
		"Redis at %s has other %s (%" PRIu64 " changes) than this host's copy (%" PRIu64
		"): if this host is right, delete the key %s there, then tollgate store migrate "
		"gdbm redis; if Redis is right, move %s and its "
		".prev of this host away",
		redis_where(s->conf.redis), s->conf.topic, share_mark_changes(there),
		share_mark_changes(here), s->hash, s->conf.name);
}

/* A file with records and without a mark would be lost under those of Redis. */
static enum err_code refuse_own(struct share *s, struct err *e)
{
	uint64_t own;
	enum err_code rc = share_count(s, &own, e);

	if (!rc && own)
		rc = err_set(e, ERR_STORE,
			"%s of this host was never moved to Redis at %s: tollgate store migrate "
			"gdbm redis does, beside what is there",
			s->conf.name, redis_where(s->conf.redis));
	return rc;
}

static enum err_code bring_news(struct share *s, const char *mark, struct slice past,
	const char *token, const struct share_news *news, struct err *e)
{
	struct err ignored;
	bool whole = false;
	enum err_code rc = ERR_OK;

	if (news->kind == NEWS_NOTHING_THERE && mark[0])
		return refuse_empty(s, e);
	/* So many are not lost in a crash: somebody put back what it was long ago. */
	if (mark[0] &&
		(!share_mark_is_of(news->mark, mark) ||
			share_mark_changes(mark) >= share_mark_changes(news->mark) + SHARE_PAST))
		return refuse_history(s, mark, news->mark, e);
	if (!mark[0])
		rc = refuse_own(s, e);
	if (rc || news->kind == NEWS_NOTHING_THERE || news->kind == NEWS_SAME)
		return rc;
	if (is_in_past(past, news->mark))
		return give_back(s, news->mark, mark, token, e);
	/* A copy that cannot be changed is replaced. */
	if (news->kind == NEWS_SOME && take_some(s, news, &whole, &ignored) == ERR_OK && whole)
		return ERR_OK;
	return share_bring_whole(s, e);
}

enum err_code share_bring(struct share *s, const char *token, char mark[SHARE_MARK_SIZE],
	struct buf *past, struct err *e)
{
	struct share_news news = { .kind = NEWS_WHOLE };
	enum err_code rc = share_mark_read(s->conf.file, mark, past, e);

	if (!rc)
		rc = share_redis_news(s, mark, &news, e);
	if (!rc)
		rc = bring_news(s, mark, buf_slice(past), token, &news, e);
	redis_reply_fini(&news.reply);
	return rc ? rc : share_mark_read(s->conf.file, mark, past, e);
}

/* ---- following ---- */

static enum err_code take(struct share *s, int64_t wait_ms, struct err *e)
{
	char mark[SHARE_MARK_SIZE];
	struct buf past = { .max_bytes = SHARE_RECORD_MAX };
	int lock_fd = -1;
	enum err_code rc = home_make(s->conf.home, e);

	if (!rc)
		rc = home_lock(s->conf.home, s->conf.lock_name, wait_ms, &lock_fd, e);
	if (!rc)
		rc = share_bring(s, NULL, mark, &past, e);
	if (lock_fd >= 0)
		close(lock_fd);
	buf_fini(&past);
	return rc;
}

enum err_code share_take(struct share *s, struct err *e)
{
	return take(s, SHARE_LOCK_WAIT_MS, e);
}

/* Has no process of this host said so for a while? As CGI, each request is one. When it was is told
 * by the time of the lock's file, which nobody else writes to. */
static bool is_time_to_say(const struct share *s)
{
	struct err ignored;
	struct stat st;
	int64_t age_ms;
	bool is_time;
	int fd;

	if (home_lock(s->conf.home, s->conf.lock_name, 0, &fd, &ignored))
		return false;
	is_time = fstat(fd, &st) == 0;
	age_ms = is_time && st.st_size ? clock_wall_ms() - (int64_t)st.st_mtime * 1000 : SAY_MS;
	/* A clock that was set back does not silence it. */
	is_time = is_time && (age_ms >= SAY_MS || age_ms < -SAY_MS) && pwrite(fd, "\n", 1, 0) == 1;
	close(fd);
	return is_time;
}

static void note_trouble(struct share *s, enum err_code rc, const struct err *e)
{
	bool was = atomic_load(&s->is_in_trouble);

	if (rc && !was && is_time_to_say(s)) {
		atomic_store(&s->is_in_trouble, true);
		log_line(LOG_ERROR, "%s does not follow Redis, this host's copy is used: %s",
			s->conf.name, e->message);
	} else if (!rc && was) {
		atomic_store(&s->is_in_trouble, false);
		log_line(LOG_INFO, "%s follows Redis again", s->conf.name);
	}
}

void share_tick(struct share *s, int64_t mono_ms)
{
	char here[SHARE_MARK_SIZE], there[SHARE_MARK_SIZE];
	int64_t due = atomic_load(&s->due_ms);
	struct err e = { .code = ERR_OK };
	enum err_code rc;

	if (mono_ms < due ||
		!atomic_compare_exchange_strong(&s->due_ms, &due, mono_ms + SHARE_TICK_MS))
		return;
	rc = share_redis_mark(s, there, NULL, &e);
	if (!rc)
		rc = share_mark_read(s->conf.file, here, NULL, &e);
	if (!rc && strcmp(here, there) != 0) {
		rc = take(s, 0, &e);
		if (rc == ERR_BUSY)
			return;
	}
	note_trouble(s, rc, &e);
}

enum err_code share_expect(struct share *s, uint64_t changes, struct err *e)
{
	char mark[SHARE_MARK_SIZE];
	enum err_code rc = share_mark_read(s->conf.file, mark, NULL, e);

	if (rc || share_mark_changes(mark) >= changes)
		return rc;
	return share_take(s, e);
}

/* ---- changing ---- */

enum err_code share_change_begin(struct share_change *c, struct share *s, struct err *e)
{
	enum err_code rc;

	*c = (struct share_change){ .past.max_bytes = SHARE_RECORD_MAX };
	rc = share_redis_lock(s, c->token, e);
	c->share = rc ? NULL : s;
	if (!rc)
		rc = share_bring(s, c->token, c->before, &c->past, e);
	if (!rc)
		share_mark_next(c->before, c->after);
	else
		share_change_end(c);
	return rc;
}

/* A sign, both lengths, both texts. */
void share_change_note(struct share_change *c, struct slice key, const struct slice *value)
{
	uint32_t len[2] = { (uint32_t)key.len, value ? (uint32_t)value->len : 0 };

	if (!c->share)
		return;
	buf_char(&c->words, value ? '+' : '-');
	buf_append(&c->words, len, sizeof(len));
	buf_slice_append(&c->words, key);
	if (value)
		buf_slice_append(&c->words, *value);
	c->count++;
}

enum err_code share_change_push(struct share_change *c, struct gdbm_change *file, struct err *e)
{
	bool done = false;
	enum err_code rc;

	if (!c->share || !c->count)
		return ERR_OK;
	if (!buf_ok(&c->words))
		return err_set(e, ERR_NO_MEMORY, "no memory to change %s", c->share->conf.name);
	rc = share_mark_put(file, c->after, buf_slice(&c->past), e);
	(void)fault_at("share.push");
	if (!rc)
		rc = share_redis_write(c, &done, e);
	if (!rc && !done)
		rc = err_set(e, ERR_BUSY, "%s was changed on another host meanwhile: try again",
			c->share->conf.name);
	return rc;
}

void share_change_end(struct share_change *c)
{
	if (c->share)
		share_redis_unlock(c->share, c->token);
	buf_fini(&c->past);
	buf_fini(&c->words);
	*c = (struct share_change){ .share = NULL };
}
