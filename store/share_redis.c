#include "store/share_inside.h"

#include "base/clock.h"
#include "base/crypto.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define PAGE          "500"    /* records of a page of HSCAN */
#define ASIDE_MS      "600000" /* how long an interrupted move lies about */
#define LOCK_STEP_MS  25
#define WRITE_STEP_MS 200
#define WRITE_TRIES   8

/* Nothing is written before everything that a write needs was looked at: a script that fails in
 * the middle is not undone. */
#define LOG_IS_FIT \
	"local t = redis.call('TYPE', KEYS[2]).ok\n" \
	"if t ~= 'list' and t ~= 'none' then\n" \
	"  return redis.error_reply('ERR ' .. KEYS[2] .. ' is no list') end\n"

/* Keeps change in the log. The first one begins a history. */
#define LOG_IT \
	"if ARGV[1] == '' then redis.call('DEL', KEYS[2]) else\n" \
	"  redis.call('LPUSH', KEYS[2], cmsgpack.pack(change))\n" \
	"  redis.call('LTRIM', KEYS[2], 0, tonumber(ARGV[3]) - 1)\n" \
	"end\n"

/* An entry of the log is { before, after, key, key … }, or false for keys when it was everything.
 *
 * KEYS: hash, log. ARGV: since. Returns the mark, how many fields, the marks before, "same", "some"
 * or "whole", and of some: key and value of each, which is false when it is gone. */
static struct redis_script news_script = {
	.text = "local mark = redis.call('HGET', KEYS[1], 'E')\n"
		"local n = redis.call('HLEN', KEYS[1])\n"
		"if not mark then return { '', n, '', 'nothing' } end\n"
		"local past, at, found = {}, mark, mark == ARGV[1]\n"
		"local keys, seen, big = {}, {}, false\n"
		"for i, packed in ipairs(redis.call('LRANGE', KEYS[2], 0, -1)) do\n"
		"  local fine, change = pcall(cmsgpack.unpack, packed)\n"
		"  if not fine or type(change) ~= 'table' or change[2] ~= at then break end\n"
		"  at = change[1]\n"
		"  past[#past + 1] = at\n"
		"  big = big or change[3] == false and not found\n"
		"  for k = 3, #change do\n"
		"    if change[k] and not found and not seen[change[k]] then\n"
		"      seen[change[k]] = true\n"
		"      keys[#keys + 1] = change[k]\n"
		"    end\n"
		"  end\n"
		"  if at == ARGV[1] then found = true end\n"
		"end\n"
		"local out = { mark, n, table.concat(past, '\\n'), 'whole' }\n"
		"if mark == ARGV[1] then out[4] = 'same' return out end\n"
		"if ARGV[1] == '' or not found or big or #keys > 1000 then return out end\n"
		"out[4] = 'some'\n"
		"for _, key in ipairs(keys) do\n"
		"  out[#out + 1] = key\n"
		"  out[#out + 1] = redis.call('HGET', KEYS[1], key)\n"
		"end\n"
		"return out\n",
};

/* KEYS: hash, log. ARGV: before, after, SHARE_PAST; then "+", key, value or "-", key. Returns 1
 * when it is done, also by the same call earlier; 0 when another change was faster. */
static struct redis_script write_script = {
	.text = "local mark = redis.call('HGET', KEYS[1], 'E') or ''\n"
		"if mark == ARGV[2] then return 1 end\n"
		"if mark ~= ARGV[1] then return 0 end\n" LOG_IS_FIT
		"local change, i = { ARGV[1], ARGV[2] }, 4\n"
		"while i <= #ARGV do\n"
		"  change[#change + 1] = ARGV[i + 1]\n"
		"  if ARGV[i] == '+' then\n"
		"    redis.call('HSET', KEYS[1], ARGV[i + 1], ARGV[i + 2])\n"
		"    i = i + 3\n"
		"  else\n"
		"    redis.call('HDEL', KEYS[1], ARGV[i + 1])\n"
		"    i = i + 2\n"
		"  end\n"
		"end\n"
		"redis.call('HSET', KEYS[1], 'E', ARGV[2])\n"
		"if #change > 256 then change = { ARGV[1], ARGV[2], false } end\n" LOG_IT
		"return 1\n",
};

/* KEYS: lock. ARGV: token. */
static struct redis_script unlock_script = {
	.text = "if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end\n"
		"return 1\n",
};

/* KEYS: hash, new. ARGV: with what is there? Returns how many it begins with. */
static struct redis_script aside_script = {
	.text = "redis.call('DEL', KEYS[2])\n"
		"if ARGV[1] == '1' and redis.call('EXISTS', KEYS[1]) == 1 then\n"
		"  redis.call('COPY', KEYS[1], KEYS[2])\n"
		"  redis.call('HDEL', KEYS[2], 'E')\n"
		"end\n"
		"return redis.call('HLEN', KEYS[2])\n",
};

/* KEYS: new, lock. ARGV: token, how long the lock is held on, how long new lies about, key, value,
 * … Returns how many were new, and how many stay with another value; nil: the lock is lost. */
static struct redis_script add_script = {
	.text = "if redis.call('GET', KEYS[2]) ~= ARGV[1] then return false end\n"
		"local added, kept = 0, 0\n"
		"for i = 4, #ARGV, 2 do\n"
		"  if redis.call('HSETNX', KEYS[1], ARGV[i], ARGV[i + 1]) == 1 then\n"
		"    added = added + 1\n"
		"  elseif redis.call('HGET', KEYS[1], ARGV[i]) ~= ARGV[i + 1] then\n"
		"    kept = kept + 1\n"
		"  end\n"
		"end\n"
		"redis.call('PEXPIRE', KEYS[1], ARGV[3])\n"
		"redis.call('PEXPIRE', KEYS[2], ARGV[2])\n"
		"return { added, kept }\n",
};

/* KEYS: hash, log, new. ARGV: before, after, SHARE_PAST, how many records it is about. As write. */
static struct redis_script rename_script = {
	.text = "local mark = redis.call('HGET', KEYS[1], 'E') or ''\n"
		"if mark == ARGV[2] then return 1 end\n"
		"if mark ~= ARGV[1] or redis.call('HLEN', KEYS[3]) ~= tonumber(ARGV[4]) then\n"
		"  return 0 end\n" LOG_IS_FIT "redis.call('HSET', KEYS[3], 'E', ARGV[2])\n"
		"redis.call('PERSIST', KEYS[3])\n"
		"redis.call('RENAME', KEYS[3], KEYS[1])\n"
		"local change = { ARGV[1], ARGV[2], false }\n" LOG_IT "return 1\n",
};

static void sleep_ms(int64_t ms)
{
	struct timespec t = { ms / 1000, (long)(ms % 1000) * 1000000 };

	nanosleep(&t, NULL);
}

enum err_code share_redis_failed(const struct share *s, enum err_code rc, struct err *e)
{
	char why[400];

	if (!e || rc == ERR_OK)
		return rc == ERR_OK ? rc : ERR_STORE;
	str_copy_cut(why, sizeof(why), e->message);
	return err_set(e, ERR_STORE, "%s in Redis: %s", s->conf.topic, why);
}

static enum err_code odd(const struct share *s, struct err *e)
{
	return err_set(e, ERR_STORE,
		"%s at Redis %s is not what this version of Tollgate keeps there", s->hash,
		redis_where(s->conf.redis));
}

static enum err_code call(struct share *s, const struct slice *words, size_t n, size_t key,
	struct redis_reply *reply, struct err *e)
{
	return share_redis_failed(s, redis_call(s->conf.redis, words, n, key, reply, e), e);
}

static enum err_code eval(struct share *s, struct redis_script *script, const struct slice *words,
	size_t keys, size_t n, struct redis_reply *reply, struct err *e)
{
	return share_redis_failed(
		s, redis_eval(s->conf.redis, script, words, keys, n, reply, e), e);
}

static bool read_mark(const struct redis_value *v, char out[SHARE_MARK_SIZE])
{
	out[0] = '\0';
	if (v->kind == REDIS_NIL)
		return true;
	return v->kind == REDIS_STRING && slice_copy(v->text, out, SHARE_MARK_SIZE);
}

/* ---- reading ---- */

enum err_code share_redis_mark(
	struct share *s, char mark[SHARE_MARK_SIZE], uint64_t *records, struct err *e)
{
	const struct slice get[] = { SLICE("HGET"), slice_of(s->hash), SHARE_MARK_KEY };
	const struct slice len[] = { SLICE("HLEN"), slice_of(s->hash) };
	struct redis_reply reply = { 0 };
	enum err_code rc = call(s, get, 3, 1, &reply, e);

	mark[0] = '\0';
	if (!rc && !read_mark(&reply.value, mark))
		rc = odd(s, e);
	redis_reply_fini(&reply);
	if (rc || !records)
		return rc;
	*records = 0;
	rc = call(s, len, 2, 1, &reply, e);
	if (!rc && (reply.value.kind != REDIS_INTEGER || reply.value.integer < 0))
		rc = odd(s, e);
	if (!rc && reply.value.integer)
		*records = (uint64_t)reply.value.integer - (mark[0] ? 1 : 0);
	redis_reply_fini(&reply);
	return rc;
}

/* Is it what news_script returns? */
static bool read_news(struct share_news *out)
{
	const struct redis_value *v = &out->reply.value, *item = v->items;

	if (v->kind != REDIS_ARRAY || v->count < 4 || v->count % 2 ||
		!read_mark(&item[0], out->mark) || item[1].kind != REDIS_INTEGER ||
		item[1].integer < 0 || item[2].kind != REDIS_STRING || item[3].kind != REDIS_STRING)
		return false;
	out->fields = (uint64_t)item[1].integer;
	out->past = item[2].text;
	out->kind = slice_is(item[3].text, "nothing") ? NEWS_NOTHING_THERE
		    : slice_is(item[3].text, "same")  ? NEWS_SAME
		    : slice_is(item[3].text, "some")  ? NEWS_SOME
						      : NEWS_WHOLE;
	out->pairs = item + 4;
	out->n = (v->count - 4) / 2;
	for (size_t i = 0; i < out->n; i++) {
		enum redis_kind kind = out->pairs[2 * i + 1].kind;

		if (out->pairs[2 * i].kind != REDIS_STRING ||
			(kind != REDIS_STRING && kind != REDIS_NIL))
			return false;
	}
	return true;
}

enum err_code share_redis_news(
	struct share *s, const char *since, struct share_news *out, struct err *e)
{
	const struct slice words[] = { slice_of(s->hash), slice_of(s->log), slice_of(since) };
	enum err_code rc;

	*out = (struct share_news){ .kind = NEWS_NOTHING_THERE };
	rc = eval(s, &news_script, words, 2, 3, &out->reply, e);
	if (!rc && !read_news(out))
		rc = odd(s, e);
	/* Records without a mark are not ours. */
	if (!rc && out->kind == NEWS_NOTHING_THERE && out->fields)
		rc = odd(s, e);
	return rc;
}

static enum err_code pass_page(struct share *s, const struct redis_value *page,
	gdbm_on_record on_record, void *ctx, struct err *e)
{
	enum err_code rc = ERR_OK;

	if (page->kind != REDIS_ARRAY || page->count % 2)
		return odd(s, e);
	for (size_t i = 0; !rc && i < page->count; i += 2) {
		const struct redis_value *pair = page->items + i;

		if (pair[0].kind != REDIS_STRING || pair[1].kind != REDIS_STRING)
			rc = odd(s, e);
		else if (!share_is_mark(pair[0].text))
			rc = on_record(ctx, pair[0].text, pair[1].text, e);
	}
	return rc;
}

enum err_code share_redis_each(struct share *s, gdbm_on_record on_record, void *ctx, struct err *e)
{
	char cursor[24] = "0";
	enum err_code rc;

	do {
		const struct slice words[] = { SLICE("HSCAN"), slice_of(s->hash), slice_of(cursor),
			SLICE("COUNT"), SLICE(PAGE) };
		struct redis_reply reply = { 0 };
		const struct redis_value *v = &reply.value;

		rc = call(s, words, 5, 1, &reply, e);
		if (!rc && (v->kind != REDIS_ARRAY || v->count != 2 ||
				   v->items[0].kind != REDIS_STRING ||
				   !slice_copy(v->items[0].text, cursor, sizeof(cursor))))
			rc = odd(s, e);
		if (!rc)
			rc = pass_page(s, &v->items[1], on_record, ctx, e);
		redis_reply_fini(&reply);
	} while (!rc && strcmp(cursor, "0") != 0);
	return rc;
}

/* ---- the lock ---- */

enum err_code share_redis_lock(struct share *s, char token[20], struct err *e)
{
	uint8_t random[8];
	char ms[24], word[20];
	const struct slice words[] = { SLICE("SET"), slice_of(s->lock), { word, 16 }, SLICE("NX"),
		SLICE("PX"), { ms, (size_t)snprintf(ms, sizeof(ms), "%d", SHARE_LOCK_MS) } };
	int64_t until = clock_mono_ms() + SHARE_LOCK_WAIT_MS;
	enum err_code rc;

	crypto_random(random, sizeof(random));
	crypto_hex(random, sizeof(random), word);
	token[0] = '\0';
	for (;;) {
		struct redis_reply reply = { 0 };
		bool is_ours;

		rc = call(s, words, 6, 1, &reply, e);
		is_ours = !rc && reply.value.kind == REDIS_STRING;
		redis_reply_fini(&reply);
		if (rc || is_ours)
			break;
		if (clock_mono_ms() >= until)
			return err_set(e, ERR_BUSY,
				"%s: another host has been changing it for %d s: try again",
				s->conf.name, SHARE_LOCK_WAIT_MS / 1000);
		sleep_ms(LOCK_STEP_MS);
	}
	if (!rc)
		memcpy(token, word, sizeof(word));
	return rc;
}

void share_redis_unlock(struct share *s, const char *token)
{
	const struct slice words[] = { slice_of(s->lock), slice_of(token) };
	struct redis_reply reply = { 0 };
	struct err ignored;

	/* Else it ends by itself. */
	if (token[0])
		(void)(eval(s, &unlock_script, words, 1, 2, &reply, &ignored) == ERR_OK);
	redis_reply_fini(&reply);
}

/* ---- writing ---- */

/* Says it again while it is not known whether it was heard: the script does it once. */
static enum err_code insist(struct share *s, struct redis_script *script, const struct slice *words,
	size_t keys, size_t n, bool *done, struct err *e)
{
	enum err_code rc = ERR_OK;

	*done = false;
	for (int i = 0; i < WRITE_TRIES; i++) {
		struct redis_reply reply = { 0 };
		bool is_answered;

		rc = redis_eval(s->conf.redis, script, words, keys, n, &reply, e);
		is_answered = rc != ERR_STORE;
		if (!rc && reply.value.kind != REDIS_INTEGER)
			rc = odd(s, e);
		*done = !rc && reply.value.integer == 1;
		redis_reply_fini(&reply);
		if (is_answered)
			return share_redis_failed(s, rc, e);
		sleep_ms(WRITE_STEP_MS);
	}
	if (e) {
		char why[300];

		str_copy_cut(why, sizeof(why), e->message);
		rc = err_set(e, ERR_STORE,
			"Redis was lost while %s was changed, and whether it has the change is "
			"not known (%s): look again when it is back",
			s->conf.name, why);
	}
	return rc;
}

/* The words that were noted: a sign, lengths, bytes. */
static size_t unpack(const struct share_change *c, struct slice *words)
{
	struct slice rest = buf_slice(&c->words);
	size_t n = 0;

	while (rest.len) {
		bool is_put = *rest.ptr == '+';
		uint32_t len[2];

		words[n++] = slice_first(rest, 1);
		memcpy(len, rest.ptr + 1, sizeof(len));
		rest = slice_from(rest, 1 + sizeof(len));
		words[n++] = slice_first(rest, len[0]);
		rest = slice_from(rest, len[0]);
		if (is_put)
			words[n++] = slice_first(rest, len[1]);
		rest = slice_from(rest, len[1]);
	}
	return n;
}

enum err_code share_redis_write(const struct share_change *c, bool *done, struct err *e)
{
	struct share *s = c->share;
	struct slice *words = calloc(5 + 3 * c->count, sizeof(*words));
	char past[12];
	enum err_code rc;

	*done = false;
	if (!words)
		return err_set(e, ERR_NO_MEMORY, "no memory to change %s", s->conf.name);
	snprintf(past, sizeof(past), "%d", SHARE_PAST);
	words[0] = slice_of(s->hash);
	words[1] = slice_of(s->log);
	words[2] = slice_of(c->before);
	words[3] = slice_of(c->after);
	words[4] = slice_of(past);
	rc = insist(s, &write_script, words, 2, 5 + unpack(c, words + 5), done, e);
	free(words);
	return rc;
}

enum err_code share_redis_aside(
	struct share *s, bool with_present, uint64_t *present, struct err *e)
{
	const struct slice words[] = { slice_of(s->hash), slice_of(s->fresh),
		with_present ? SLICE("1") : SLICE("0") };
	struct redis_reply reply = { 0 };
	enum err_code rc = eval(s, &aside_script, words, 2, 3, &reply, e);

	if (!rc && (reply.value.kind != REDIS_INTEGER || reply.value.integer < 0))
		rc = odd(s, e);
	*present = rc ? 0 : (uint64_t)reply.value.integer;
	redis_reply_fini(&reply);
	return rc;
}

enum err_code share_redis_add(struct share *s, const char *token, const struct slice *pairs,
	size_t n, struct share_moved *out, struct err *e)
{
	char hold[12];
	struct slice *words = calloc(5 + 2 * n, sizeof(*words));
	struct redis_reply reply = { 0 };
	const struct redis_value *v = &reply.value;
	enum err_code rc;

	if (!words)
		return err_set(e, ERR_NO_MEMORY, "no memory to move %s", s->conf.name);
	snprintf(hold, sizeof(hold), "%d", SHARE_LOCK_MS);
	words[0] = slice_of(s->fresh);
	words[1] = slice_of(s->lock);
	words[2] = slice_of(token);
	words[3] = slice_of(hold);
	words[4] = SLICE(ASIDE_MS);
	if (n)
		memcpy(words + 5, pairs, 2 * n * sizeof(*words));
	rc = eval(s, &add_script, words, 2, 5 + 2 * n, &reply, e);
	free(words);
	if (!rc && v->kind == REDIS_NIL)
		rc = err_set(e, ERR_BUSY, "%s: another host began to change it: do it again",
			s->conf.name);
	else if (!rc && (v->kind != REDIS_ARRAY || v->count != 2 || v->items[0].integer < 0 ||
				v->items[1].integer < 0))
		rc = odd(s, e);
	if (!rc) {
		out->sent += (uint64_t)v->items[0].integer;
		out->kept += (uint64_t)v->items[1].integer;
	}
	redis_reply_fini(&reply);
	return rc;
}

enum err_code share_redis_rename(struct share *s, const char *before, const char *after,
	uint64_t records, bool *done, struct err *e)
{
	char count[24], past[12];
	const struct slice words[] = { slice_of(s->hash), slice_of(s->log), slice_of(s->fresh),
		slice_of(before), slice_of(after),
		{ past, (size_t)snprintf(past, sizeof(past), "%d", SHARE_PAST) },
		{ count, (size_t)snprintf(count, sizeof(count), "%" PRIu64, records) } };

	return insist(s, &rename_script, words, 3, 7, done, e);
}
