/* Names in Redis, P being the prefix:
 *
 *     P:cache:{HASH}      the entry, with its own expiry
 *     P:{cache}:made      its hash by when it was made: what is oldest goes first
 *     P:{cache}:expiry    and by when it expires
 *     P:{cache}:sizes     its bytes
 *     P:{cache}:figures   what was counted, and the sum of sizes
 *
 * The entries are the truth, spread over the nodes of a cluster; the lists serve limits and
 * figures only. A list that lacks an entry lets it live until it expires; one too many in a list
 * is dropped with its time. Where Redis drops keys by itself (maxmemory), it is an entry that was
 * not there.
 */
#include "store/cache_figures.h"
#include "store/cache_inside.h"

#include "base/crypto.h"

#include <stdio.h>
#include <stdlib.h>

#define HEX       64
#define NAME_SIZE 160
#define BATCH     8 /* entries that are read at once by who reads them all */
#define SCAN_KEYS "500"

struct cache_redis {
	struct cache common; /* first */
	struct redis *redis;
	char made[NAME_SIZE], expiry[NAME_SIZE], sizes[NAME_SIZE];
	char entry[NAME_SIZE]; /* in front of {HASH} */
	struct cache_figures figures;
};

#define FORGET \
	"local function forget(h)\n" \
	" local n = redis.call('HGET', KEYS[3], h)\n" \
	" if n then\n" \
	"  redis.call('HDEL', KEYS[3], h)\n" \
	"  redis.call('HINCRBY', KEYS[4], 'bytes', '-' .. n)\n" \
	" end\n" \
	" redis.call('ZREM', KEYS[1], h)\n" \
	" redis.call('ZREM', KEYS[2], h)\n" \
	"end\n" \
	"local function expire(now)\n" \
	" for _, h in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now, 'LIMIT', 0, 200)) " \
	"do\n" \
	"  forget(h)\n" \
	" end\n" \
	"end\n"

/* ARGV: now, hash, made, expiry, bytes, most entries, most bytes, the name in front of entries or
 * "" in a cluster, where a script may not touch other slots. Returns what has to go. */
static struct redis_script note_script = {
	.text = FORGET
	"expire(ARGV[1])\n"
	"forget(ARGV[2])\n"
	"redis.call('ZADD', KEYS[1], ARGV[3], ARGV[2])\n"
	"redis.call('ZADD', KEYS[2], ARGV[4], ARGV[2])\n"
	"redis.call('HSET', KEYS[3], ARGV[2], ARGV[5])\n"
	"local bytes = redis.call('HINCRBY', KEYS[4], 'bytes', ARGV[5])\n"
	"local n = redis.call('ZCARD', KEYS[1])\n"
	"local gone = {}\n"
	"while n > 1 and #gone < 200 and (n > tonumber(ARGV[6]) or bytes > tonumber(ARGV[7])) do\n"
	" local oldest = redis.call('ZRANGE', KEYS[1], 0, 1)\n"
	" local h = oldest[1] ~= ARGV[2] and oldest[1] or oldest[2]\n"
	" forget(h)\n"
	" if ARGV[8] ~= '' then redis.call('UNLINK', ARGV[8] .. '{' .. h .. '}') end\n"
	" gone[#gone + 1] = h\n"
	" n = redis.call('ZCARD', KEYS[1])\n"
	" bytes = tonumber(redis.call('HGET', KEYS[4], 'bytes'))\n"
	"end\n"
	"return gone\n"
};

/* ARGV: now, then hashes that are no more. Returns how many there are, and their bytes. */
static struct redis_script forget_script = {
	.text = FORGET "expire(ARGV[1])\n"
		       "for i = 2, #ARGV do forget(ARGV[i]) end\n"
		       "local n = redis.call('ZCARD', KEYS[1])\n"
		       "if n == 0 then redis.call('HSET', KEYS[4], 'bytes', 0) end\n"
		       "return { n, tonumber(redis.call('HGET', KEYS[4], 'bytes')) }\n"
};

static struct cache_redis *of(struct cache *c)
{
	return (struct cache_redis *)c;
}

struct name {
	char text[NAME_SIZE + HEX + 3];
};

static struct slice name_of(const struct cache_redis *c, const char hex[HEX + 1], struct name *out)
{
	int n = snprintf(out->text, sizeof(out->text), "%s{%s}", c->entry, hex);

	return (struct slice){ out->text, (size_t)n };
}

static struct slice name_of_hash(
	const struct cache_redis *c, const uint8_t hash[32], struct name *out)
{
	char hex[HEX + 1];

	crypto_hex(hash, 32, hex);
	return name_of(c, hex, out);
}

static void list_keys(const struct cache_redis *c, struct slice words[4])
{
	words[0] = slice_of(c->made);
	words[1] = slice_of(c->expiry);
	words[2] = slice_of(c->sizes);
	words[3] = slice_of(c->figures.name);
}

struct number {
	char text[24];
};

static struct slice number_of(int64_t n, struct number *out)
{
	snprintf(out->text, sizeof(out->text), "%lld", (long long)n);
	return slice_of(out->text);
}

/* ---- one entry ---- */

static enum err_code redis_get(
	struct cache *cache, const uint8_t hash[32], int64_t now_ms, struct buf *out, struct err *e)
{
	struct cache_redis *c = of(cache);
	struct redis_reply reply = { 0 };
	struct name name = { "" };
	enum err_code rc;

	(void)now_ms;
	rc = redis_call(c->redis, (struct slice[]){ SLICE("GET"), name_of_hash(c, hash, &name) }, 2,
		1, &reply, e);
	if (rc)
		rc = ERR_STORE;
	else if (reply.value.kind != REDIS_STRING)
		rc = ERR_NOT_FOUND;
	else
		buf_slice_append(out, reply.value.text);
	redis_reply_fini(&reply);
	if (!rc && !buf_ok(out))
		return ERR_NOT_FOUND; /* more than the caller wants to have */
	return rc;
}

/* In a cluster the script cannot drop them. */
static void drop_evicted(struct cache_redis *c, const struct redis_value *gone)
{
	for (size_t i = 0; i < gone->count; i++) {
		struct redis_reply reply = { 0 };
		struct name name = { "" };
		char hex[HEX + 1];

		if (!slice_copy(gone->items[i].text, hex, sizeof(hex)))
			continue;
		/* What is not dropped lives until it expires. */
		if (redis_is_cluster(c->redis) &&
			redis_call(c->redis,
				(struct slice[]){ SLICE("UNLINK"), name_of(c, hex, &name) }, 2, 1,
				&reply, NULL))
			break;
		redis_reply_fini(&reply);
	}
}

static enum err_code redis_put(struct cache *cache, const uint8_t hash[32], int64_t now_ms,
	const struct cache_facts *facts, struct slice bytes, struct err *e)
{
	struct cache_redis *c = of(cache);
	const struct cache_conf *conf = &cache->conf;
	struct number now = { "" }, made = now, expires = now, size = now, life = now, most = now,
		      most_bytes = now;
	struct redis_reply replies[2] = { { .own = NULL }, { .own = NULL } };
	struct slice set[5], note[15];
	char hex[HEX + 1];
	struct name name = { "" };
	enum err_code rc;

	if (conf->max_bytes > 0 && (int64_t)bytes.len > conf->max_bytes)
		return err_set(e, ERR_RANGE, "an answer larger than the whole cache");
	crypto_hex(hash, 32, hex);
	set[0] = SLICE("SET");
	set[1] = name_of(c, hex, &name);
	set[2] = bytes;
	set[3] = SLICE("PX");
	set[4] = number_of(facts->expires_ms - now_ms, &life);
	note[0] = SLICE("EVALSHA");
	note[1] = slice_of(redis_script_sha1(&note_script));
	note[2] = SLICE("4");
	list_keys(c, note + 3);
	note[7] = number_of(now_ms, &now);
	note[8] = slice_of(hex);
	note[9] = number_of(facts->made_ms, &made);
	note[10] = number_of(facts->expires_ms, &expires);
	note[11] = number_of((int64_t)bytes.len, &size);
	note[12] = number_of(conf->max_entries > 0 ? conf->max_entries : INT64_MAX, &most);
	note[13] = number_of(conf->max_bytes > 0 ? conf->max_bytes : INT64_MAX, &most_bytes);
	note[14] = slice_of(redis_is_cluster(c->redis) ? "" : c->entry);
	rc = redis_calls(c->redis, (struct redis_command[]){ { set, 5, 1 }, { note, 15, 3 } }, 2,
		replies, e);
	if (!rc && replies[1].value.kind == REDIS_ERROR) {
		redis_reply_fini(&replies[1]);
		rc = redis_eval(c->redis, &note_script, note + 3, 4, 12, &replies[1], e);
	}
	if (!rc && replies[0].value.kind == REDIS_ERROR)
		rc = err_set(e, ERR_STORE, "Redis keeps no answer: %.*s",
			SLICE_ARG(slice_first(replies[0].value.text, 80)));
	if (!rc && replies[1].value.kind == REDIS_ARRAY) {
		drop_evicted(c, &replies[1].value);
		for (size_t i = 0; i < replies[1].value.count; i++)
			cache_count(cache, CACHE_EVICTED, 0);
	}
	redis_reply_fini(&replies[0]);
	redis_reply_fini(&replies[1]);
	return rc == ERR_IO ? ERR_STORE : rc;
}

/* Takes hashes off the lists; *out (may be NULL) gets what is left. */
static enum err_code forget(struct cache_redis *c, const char (*hex)[HEX + 1], size_t n,
	int64_t now_ms, struct cache_stats *out, struct err *e)
{
	struct redis_reply reply = { 0 };
	struct slice words[5 + BATCH];
	struct number now = { "" };
	enum err_code rc;

	list_keys(c, words);
	words[4] = number_of(now_ms, &now);
	for (size_t i = 0; i < n; i++)
		words[5 + i] = slice_of(hex[i]);
	rc = redis_eval(c->redis, &forget_script, words, 4, 5 + n, &reply, e);
	if (!rc && out && reply.value.count == 2) {
		int64_t bytes = reply.value.items[1].integer;

		out->entries = (uint64_t)reply.value.items[0].integer;
		out->bytes = bytes > 0 ? (uint64_t)bytes : 0;
	}
	redis_reply_fini(&reply);
	return rc;
}

/* Drops entries, *dropped of which there were. */
static enum err_code unlink_some(struct cache_redis *c, const char (*hex)[HEX + 1], size_t n,
	int64_t now_ms, uint64_t *dropped, struct err *e)
{
	struct redis_reply replies[BATCH] = { { .own = NULL } };
	struct redis_command commands[BATCH] = { { .n = 0 } };
	struct slice words[BATCH][2];
	struct name names[BATCH] = { { "" } };
	enum err_code rc;

	for (size_t i = 0; i < n; i++) {
		words[i][0] = SLICE("UNLINK");
		words[i][1] = name_of(c, hex[i], &names[i]);
		commands[i] = (struct redis_command){ words[i], 2, 1 };
	}
	rc = redis_calls(c->redis, commands, n, replies, e);
	for (size_t i = 0; i < n; i++) {
		if (!rc && replies[i].value.kind == REDIS_INTEGER)
			*dropped += (uint64_t)replies[i].value.integer;
		redis_reply_fini(&replies[i]);
	}
	return rc ? rc : forget(c, hex, n, now_ms, NULL, e);
}

static void redis_drop(struct cache *cache, const uint8_t hash[32], int64_t now_ms)
{
	char hex[1][HEX + 1];
	uint64_t dropped = 0;

	crypto_hex(hash, 32, hex[0]);
	/* Who cannot drop it misses it again, until it expires. */
	if (unlink_some(of(cache), (const char(*)[HEX + 1]) hex, 1, now_ms, &dropped, NULL))
		return;
}

/* ---- all entries ---- */

struct walk {
	struct cache_redis *c;
	bool (*on_entry)(struct walk *w, const uint8_t hash[32], struct slice bytes);
	bool stopped;
	int64_t now_ms;

	cache_on_bytes f; /* of each */
	cache_is_meant is_meant;
	void *ctx;
	char meant[BATCH][HEX + 1];
	size_t meant_n;
	uint64_t *dropped;
};

/* Is it the name of an entry? Then its hash. */
static bool read_name(
	const struct cache_redis *c, struct slice name, char hex[HEX + 1], uint8_t hash[32])
{
	struct slice text = slice_from(name, strlen(c->entry));

	if (text.len != HEX + 2 || !slice_starts(name, c->entry) || *text.ptr != '{' ||
		text.ptr[HEX + 1] != '}')
		return false;
	text = (struct slice){ text.ptr + 1, HEX };
	return crypto_unhex(text, hash, 32) && slice_copy(text, hex, HEX + 1);
}

/* Reads up to BATCH of them and shows each. */
static enum err_code show(struct walk *w, const struct redis_value *names, size_t n, struct err *e)
{
	struct redis_reply replies[BATCH] = { { .own = NULL } };
	struct redis_command commands[BATCH] = { { .n = 0 } };
	struct slice words[BATCH][2];
	uint8_t hashes[BATCH][32];
	size_t used = 0;
	enum err_code rc;

	for (size_t i = 0; i < n; i++) {
		char hex[HEX + 1];

		if (!read_name(w->c, names[i].text, hex, hashes[used]))
			continue;
		words[used][0] = SLICE("GET");
		words[used][1] = names[i].text;
		commands[used] = (struct redis_command){ words[used], 2, 1 };
		used++;
	}
	rc = used ? redis_calls(w->c->redis, commands, used, replies, e) : ERR_OK;
	w->meant_n = 0;
	for (size_t i = 0; i < used; i++) {
		const struct redis_value *v = &replies[i].value;

		if (!rc && !w->stopped && v->kind == REDIS_STRING)
			w->stopped = !w->on_entry(w, hashes[i], v->text);
		redis_reply_fini(&replies[i]);
	}
	if (!rc && w->meant_n)
		rc = unlink_some(w->c, (const char(*)[HEX + 1]) w->meant, w->meant_n, w->now_ms,
			w->dropped, e);
	return rc;
}

/* An entry may be shown twice while others come and go: so SCAN is. */
static enum err_code walk_node(void *ctx, struct redis *r, size_t node, struct err *e)
{
	struct walk *w = ctx;
	char pattern[NAME_SIZE + 4], cursor[24] = "0";
	enum err_code rc = ERR_OK;

	snprintf(pattern, sizeof(pattern), "%s{*", w->c->entry);
	do {
		struct redis_reply reply = { 0 };
		const struct redis_value *v = &reply.value;

		rc = redis_call_node(r, node,
			(struct slice[]){ SLICE("SCAN"), slice_of(cursor), SLICE("MATCH"),
				slice_of(pattern), SLICE("COUNT"), SLICE(SCAN_KEYS) },
			6, &reply, e);
		if (!rc && (v->kind != REDIS_ARRAY || v->count != 2 ||
				   !slice_copy(v->items[0].text, cursor, sizeof(cursor))))
			rc = err_set(e, ERR_STORE, "Redis answers unlike SCAN");
		for (size_t i = 0; !rc && !w->stopped && i < v->items[1].count; i += BATCH) {
			size_t left = v->items[1].count - i;

			rc = show(w, v->items[1].items + i, left < BATCH ? left : BATCH, e);
		}
		redis_reply_fini(&reply);
	} while (!rc && !w->stopped && strcmp(cursor, "0") != 0);
	return rc;
}

static bool on_each(struct walk *w, const uint8_t hash[32], struct slice bytes)
{
	return w->f(w->ctx, hash, bytes);
}

static enum err_code redis_each(
	struct cache *cache, int64_t now_ms, cache_on_bytes f, void *ctx, struct err *e)
{
	struct walk w = {
		.c = of(cache), .on_entry = on_each, .now_ms = now_ms, .f = f, .ctx = ctx
	};

	return redis_each_node(w.c->redis, walk_node, &w, e);
}

static bool on_purge(struct walk *w, const uint8_t hash[32], struct slice bytes)
{
	if (w->is_meant(w->ctx, hash, bytes))
		crypto_hex(hash, 32, w->meant[w->meant_n++]);
	return true;
}

static enum err_code redis_purge(struct cache *cache, int64_t now_ms, cache_is_meant is_meant,
	void *ctx, uint64_t *dropped, struct err *e)
{
	struct walk w = { .c = of(cache),
		.on_entry = on_purge,
		.now_ms = now_ms,
		.is_meant = is_meant,
		.ctx = ctx,
		.dropped = dropped };

	return redis_each_node(w.c->redis, walk_node, &w, e);
}

/* ---- figures ---- */

static void redis_count(struct cache *cache, enum cache_event event, int64_t saved_microusd)
{
	cache_figures_count(&of(cache)->figures, event, saved_microusd);
}

/* The time of the one entry of an answer to ZRANGE … WITHSCORES. */
static int64_t read_time(const struct redis_value *v)
{
	int64_t n = 0;

	if (v->count == 2 && !str_int(v->items[1].text, 0, INT64_MAX, &n))
		n = 0;
	return n;
}

static enum err_code redis_stats(
	struct cache *cache, int64_t now_ms, struct cache_stats *out, struct err *e)
{
	struct cache_redis *c = of(cache);
	const struct slice made = slice_of(c->made), zero = SLICE("0"),
			   figures[] = { SLICE("HGETALL"), slice_of(c->figures.name) },
			   oldest[] = { SLICE("ZRANGE"), made, zero, zero, SLICE("WITHSCORES") },
			   newest[] = { SLICE("ZREVRANGE"), made, zero, zero, SLICE("WITHSCORES") };
	const struct redis_command commands[] = { { figures, 2, 1 }, { oldest, 5, 1 },
		{ newest, 5, 1 } };
	struct redis_reply replies[3] = { { .own = NULL } };
	enum err_code rc;

	cache_figures_flush(&c->figures);
	rc = forget(c, NULL, 0, now_ms, out, e);
	if (!rc)
		rc = redis_calls(c->redis, commands, 3, replies, e);
	if (!rc) {
		cache_figures_read(&replies[0].value, out);
		out->oldest_ms = read_time(&replies[1].value);
		out->newest_ms = read_time(&replies[2].value);
		out->file_bytes = out->bytes;
	}
	for (size_t i = 0; i < 3; i++)
		redis_reply_fini(&replies[i]);
	return rc;
}

/* ---- opening and closing ---- */

static void redis_close_cache(struct cache *cache)
{
	struct cache_redis *c = of(cache);

	cache_figures_fini(&c->figures);
	free(c);
}

static const struct cache_ops ops = {
	.close = redis_close_cache,
	.get = redis_get,
	.put = redis_put,
	.drop = redis_drop,
	.count = redis_count,
	.stats = redis_stats,
	.each = redis_each,
	.purge = redis_purge,
};

enum err_code cache_redis_open(struct cache **out, const struct cache_conf *conf, struct err *e)
{
	struct cache_redis *c = calloc(1, sizeof(*c));
	const char *prefix = redis_prefix(conf->redis);

	*out = NULL;
	if (!c)
		return err_set(e, ERR_NO_MEMORY, "no memory for the cache");
	c->common = (struct cache){ &ops, *conf };
	c->redis = conf->redis;
	snprintf(c->entry, sizeof(c->entry), "%s:cache:", prefix);
	snprintf(c->made, sizeof(c->made), "%s:{cache}:made", prefix);
	snprintf(c->expiry, sizeof(c->expiry), "%s:{cache}:expiry", prefix);
	snprintf(c->sizes, sizeof(c->sizes), "%s:{cache}:sizes", prefix);
	cache_figures_init(&c->figures, c->redis);
	*out = &c->common;
	return ERR_OK;
}
