#include "store/health_share.h"

#include "base/crypto.h"
#include "base/log.h"
#include "store/health_place.h"
#include "store/home.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define LOCK_NAME  "health.lock"
#define KEY_MAX    160
#define TOLD_MAX   256 /* rows told at one time … */
#define HEARD_MAX  512 /* … and heard */
#define ROW_WORDS  7
#define ROW_ITEMS  8
#define AVERAGE_OF 8 /* outcomes that an average stands for, as in health.h */

/* KEYS: rows, when. ARGV: who tells, up to which telling it has heard, how many it takes; then, for
 * each row told: name, kind or "-" when that is as it was, ms left, average of first tokens in ms,
 * outcomes since it told last, slug, model. A row is { kind, when it ends by the clock here, the
 * number of the telling and who told its state, average, outcomes, slug, model, when it was told }.
 *
 * Returns { number of the last telling, of the last one here, row, row … }, a row being { name,
 * kind, ms left, number of the telling of its state, 1 if that was the caller, average, outcomes,
 * slug, model }, the last two in one text with a NUL between. */
static struct redis_script talk_script = {
	.text = "for i, is in ipairs({ 'hash', 'zset' }) do\n"
		"  local t = redis.call('TYPE', KEYS[i]).ok\n"
		"  if t ~= is and t ~= 'none' then\n"
		"    return redis.error_reply('ERR ' .. KEYS[i] .. ' is no ' .. is) end\n"
		"end\n"
		"local clock = redis.call('TIME')\n"
		"local now = clock[1] * 1000 + math.floor(clock[2] / 1000)\n"
		"local n = tonumber(redis.call('HGET', KEYS[1], '#') or '0')\n"
		"local heard = tonumber(ARGV[2])\n"
		"if heard > n then heard = 0 end\n"
		"local function read(name)\n"
		"  local packed = redis.call('HGET', KEYS[1], name)\n"
		"  if not packed then return nil end\n"
		"  local fine, row = pcall(cmsgpack.unpack, packed)\n"
		"  return fine and type(row) == 'table' and #row == 9 and row or nil\n"
		"end\n"
		"for i = 4, #ARGV - 6, 7 do\n"
		"  local name, kind = ARGV[i], ARGV[i + 1]\n"
		"  local row = read(name) or { 0, 0, 0, '', 0, 0, '', '', 0 }\n"
		"  local average, outcomes = tonumber(ARGV[i + 3]), tonumber(ARGV[i + 4])\n"
		"  n = n + 1\n"
		"  if kind ~= '-' then\n"
		"    row[1], row[2] = tonumber(kind), now + tonumber(ARGV[i + 2])\n"
		"    row[3], row[4] = n, ARGV[1]\n"
		"  end\n"
		"  if average > 0 and outcomes > 0 then\n"
		"    if row[5] > 0 then\n"
		"      average = row[5] + (average - row[5]) * outcomes / (outcomes + 8)\n"
		"    end\n"
		"    row[5], row[6] = average, row[6] + outcomes\n"
		"  end\n"
		"  row[7], row[8], row[9] = ARGV[i + 5], ARGV[i + 6], now\n"
		"  redis.call('HSET', KEYS[1], name, cmsgpack.pack(row), '#', n)\n"
		"  redis.call('ZADD', KEYS[2], n, name)\n"
		"end\n"
		"if #ARGV > 3 then\n"
		"  for _, name in ipairs(redis.call('ZRANGE', KEYS[2], 0, 7)) do\n"
		"    local row = read(name)\n"
		"    if not row or now - row[9] > 7200000 then\n"
		"      redis.call('HDEL', KEYS[1], name)\n"
		"      redis.call('ZREM', KEYS[2], name)\n"
		"    end\n"
		"  end\n"
		"  redis.call('PEXPIRE', KEYS[1], 7200000)\n"
		"  redis.call('PEXPIRE', KEYS[2], 7200000)\n"
		"end\n"
		"local function int(x) return string.format('%.0f', x) end\n"
		"local last, out = heard, { '', int(n) }\n"
		"local news = redis.call('ZRANGEBYSCORE', KEYS[2], '(' .. int(heard), '+inf',\n"
		"  'WITHSCORES', 'LIMIT', 0, tonumber(ARGV[3]))\n"
		"for i = 1, #news, 2 do\n"
		"  local row = read(news[i])\n"
		"  last = tonumber(news[i + 1])\n"
		"  if row then\n"
		"    out[#out + 1] = { news[i], int(row[1]), int(math.max(row[2] - now, 0)),\n"
		"      int(row[3]), row[4] == ARGV[1] and '1' or '0', int(row[5]), int(row[6]),\n"
		"      row[7] .. '\\0' .. row[8] }\n"
		"  end\n"
		"end\n"
		"out[1] = int(last)\n"
		"return out\n",
};

/* What Redis and this host knew of a row when they last spoke of it. */
struct known {
	uint64_t name;
	uint64_t state; /* without the tag; 0 = closed */
	uint64_t total; /* outcomes here */
	uint64_t heard; /* the telling of the state */
	int64_t seen;   /* outcomes there */
};

struct health_share {
	struct redis *redis;
	char home[HOME_PATH_MAX];
	char rows[KEY_MAX], when[KEY_MAX];
	char origin[17];
	int lock_fd; /* -1 = another process does it */
	int64_t due_ms;
	uint64_t heard; /* tellings */
	bool is_begun;  /* has listened before it speaks */
	size_t next;    /* where to go on telling */
	struct known known[HEALTH_ROWS];
};

enum err_code health_share_open(
	struct health_share **out, struct redis *redis, const char *home, struct err *e)
{
	struct health_share *s = calloc(1, sizeof(*s));
	const char *prefix = redis_prefix(redis);
	uint8_t random[8];

	*out = NULL;
	if (!s)
		return err_set(e, ERR_NO_MEMORY, "no memory to share the providers' health");
	s->redis = redis;
	s->lock_fd = -1;
	snprintf(s->rows, sizeof(s->rows), "%s:{%s}:health", prefix, prefix);
	snprintf(s->when, sizeof(s->when), "%s:{%s}:health:when", prefix, prefix);
	crypto_random(random, sizeof(random));
	crypto_hex(random, sizeof(random), s->origin);
	if (!slice_copy(slice_of(home), s->home, sizeof(s->home))) {
		free(s);
		return err_set(e, ERR_STORE, "the path of GATEWAY_HOME is too long");
	}
	*out = s;
	return ERR_OK;
}

void health_share_close(struct health_share *s)
{
	if (!s)
		return;
	if (s->lock_fd >= 0)
		close(s->lock_fd);
	free(s);
}

/* ---- telling ---- */

/* One conversation. */
struct talk {
	struct health_share *s;
	struct health *h;
	int64_t interval_ms, now_ms;
	struct slice words[5 + ROW_WORDS * TOLD_MAX];
	size_t n;
	struct buf text;           /* what words lend */
	size_t rows[TOLD_MAX];     /* places told … */
	struct known as[TOLD_MAX]; /* … and how */
	size_t told;
};

static uint64_t plain(uint64_t state, uint64_t tag)
{
	return word_kind(state, tag) == KIND_CLOSED ? 0 : word_value(state, tag);
}

static int64_t left_of(const struct talk *t, uint64_t state, uint64_t tag)
{
	int64_t at = word_time(state, tag);

	switch (word_kind(state, tag)) {
	case KIND_OPEN:
	case KIND_HALF:
		at += t->interval_ms;
		break;
	case KIND_LIMITED:
		break;
	case KIND_CLOSED:
	case KIND_DUE:
		return 0;
	}
	return at > t->now_ms ? at - t->now_ms : 0;
}

/* What is known of the place's row: begins anew when the place has changed hands. */
static struct known *known_of(struct health_share *s, size_t i, uint64_t name)
{
	if (s->known[i].name != name)
		s->known[i] = (struct known){ .name = name };
	return &s->known[i];
}

/* Words are found when all of the text is there: it moves while it grows. */
static void add_word(struct talk *t, const char *text)
{
	t->words[t->n++].len = strlen(text);
	buf_str(&t->text, text);
}

static void add_int(struct talk *t, int64_t n)
{
	char text[24];

	snprintf(text, sizeof(text), "%" PRId64, n);
	add_word(t, text);
}

static void tell_row(struct talk *t, size_t i)
{
	const struct place *p = &t->h->places[i];
	uint64_t name = word_load(&t->h->names[i]), tag = word_tag(name);
	uint64_t state = word_load(&p->state), total = (uint64_t)word_get(&p->total, tag);
	char slug[HEALTH_SLUG_MAX], model[HEALTH_MODEL_MAX], hex[17], kind[8] = "-";
	int64_t ttft_ms = (word_get(&p->ttft_x8, tag) + 4) / 8, more;
	struct known *k;

	if (!name)
		return;
	k = known_of(t->s, i, name);
	/* Fewer than before: they were forgotten. */
	more = total > k->total ? (int64_t)(total - k->total) : 0;
	if (plain(state, tag) == k->state && !(more && ttft_ms))
		return;
	if (place_find(t->h, name) != i || !place_read_texts(p, name, slug, model))
		return;
	if (plain(state, tag) != k->state)
		snprintf(kind, sizeof(kind), "%d", (int)word_kind(state, tag));
	snprintf(hex, sizeof(hex), "%016" PRIx64, name);
	add_word(t, hex);
	add_word(t, kind);
	add_int(t, left_of(t, state, tag));
	add_int(t, ttft_ms);
	add_int(t, more);
	add_word(t, slug);
	add_word(t, model);
	t->rows[t->told] = i;
	t->as[t->told] = *k;
	t->as[t->told].state = plain(state, tag);
	t->as[t->told].total = total;
	t->as[t->told++].seen += ttft_ms ? more : 0;
}

static void tell(struct talk *t)
{
	size_t i, from = t->s->next;

	for (i = 0; i < HEALTH_ROWS && t->told < TOLD_MAX; i++)
		tell_row(t, (from + i) % HEALTH_ROWS);
	t->s->next = (from + i) % HEALTH_ROWS;
}

/* ---- hearing ---- */

struct heard {
	uint64_t name;
	enum place_kind kind;
	int64_t left_ms;
	uint64_t told; /* number of the telling of its state */
	bool is_own;
	int64_t ttft_ms, seen;
	struct slice slug, model;
};

static bool read_int(const struct redis_value *v, int64_t max, int64_t *out)
{
	return v->kind == REDIS_STRING && str_int(v->text, 0, max, out);
}

static bool read_row(const struct redis_value *v, struct heard *out)
{
	const int64_t most = INT64_C(1) << 53;
	uint8_t bytes[8];
	int64_t kind, told, own;
	struct slice texts;

	if (v->kind != REDIS_ARRAY || v->count != ROW_ITEMS || v->items[0].kind != REDIS_STRING ||
		!crypto_unhex(v->items[0].text, bytes, sizeof(bytes)) ||
		!read_int(&v->items[1], KIND_LIMITED, &kind) ||
		!read_int(&v->items[2], INT64_C(1) << 40, &out->left_ms) ||
		!read_int(&v->items[3], most, &told) || !read_int(&v->items[4], 1, &own) ||
		!read_int(&v->items[5], INT64_C(1) << 40, &out->ttft_ms) ||
		!read_int(&v->items[6], most, &out->seen) || v->items[7].kind != REDIS_STRING)
		return false;
	out->name = 0;
	for (size_t i = 0; i < sizeof(bytes); i++)
		out->name = out->name << 8 | bytes[i];
	out->kind = (enum place_kind)kind;
	out->told = (uint64_t)told;
	out->is_own = own == 1;
	texts = v->items[7].text;
	out->slug = slice_cut(&texts, '\0');
	out->model = texts.ptr ? texts : SLICE("");
	return out->name != 0;
}

/* The state as it is to stand here. */
static uint64_t state_of(const struct talk *t, const struct heard *r, uint64_t tag)
{
	switch (r->kind) {
	case KIND_OPEN:
	case KIND_HALF:
		/* Their interval may be a longer one: ours holds. */
		return word_state(tag, r->kind,
			t->now_ms - t->interval_ms +
				(r->left_ms < t->interval_ms ? r->left_ms : t->interval_ms));
	case KIND_LIMITED:
		return word_state(tag, r->kind,
			t->now_ms + (r->left_ms < HEALTH_LIMITED_MAX_MS ? r->left_ms
									: HEALTH_LIMITED_MAX_MS));
	case KIND_CLOSED:
	case KIND_DUE:
		break;
	}
	return word_state(tag, r->kind, t->now_ms);
}

static void log_state(const struct heard *r)
{
	static const char *const words[] = { "in rotation again", "out of rotation",
		"out of rotation, to be tried", "being tried", "limited" };

	log_line(LOG_INFO, "health: %.*s, model %.*s: %s, says another host", SLICE_ARG(r->slug),
		SLICE_ARG(r->model), words[r->kind]);
}

static void take_state(struct talk *t, struct place *p, struct known *k, const struct heard *r)
{
	uint64_t tag = word_tag(r->name), seen = word_load(&p->state), to;

	/* What happened here since is the last word, and is told next. */
	if (r->is_own || r->told <= k->heard || plain(seen, tag) != k->state)
		return;
	if (r->kind == KIND_CLOSED && !k->state) {
		k->heard = r->told;
		return;
	}
	if (r->kind == KIND_CLOSED) {
		for (size_t i = 0; i < PLACE_PIECES; i++)
			word_store(&p->pieces[i], 0);
		word_store(&p->in_row, 0);
	}
	to = state_of(t, r, tag);
	if (!word_swap(&p->state, &seen, to))
		return;
	k->heard = r->told;
	k->state = plain(to, tag);
	word_set(&p->since, tag, t->now_ms);
	log_state(r);
}

/* Towards theirs, by how much of it this host had no part in. */
static void take_average(struct place *p, struct known *k, const struct heard *r)
{
	uint64_t tag = word_tag(r->name), seen = word_load(&p->ttft_x8);
	int64_t others = r->seen - k->seen, is = (int64_t)word_value(seen, tag), to;

	k->seen = r->seen;
	if (others <= 0 || r->ttft_ms <= 0)
		return;
	if (others > 1000)
		others = 1000;
	to = is ? is + (r->ttft_ms * 8 - is) * others / (others + AVERAGE_OF) : r->ttft_ms * 8;
	(void)word_swap(&p->ttft_x8, &seen, tag | ((uint64_t)to & WORD_VALUE));
}

static void hear_row(struct talk *t, const struct heard *r)
{
	size_t i = place_find(t->h, r->name);
	struct place *p;
	struct known *k;

	if (i == PLACE_NONE && r->kind == KIND_CLOSED && !r->ttft_ms)
		return;
	if (i == PLACE_NONE)
		i = place_make(t->h, r->name, t->now_ms);
	if (i == PLACE_NONE)
		return;
	p = &t->h->places[i];
	k = known_of(t->s, i, r->name);
	place_write_texts(p, r->name, r->slug, r->model);
	word_set(&p->heard, word_tag(r->name), t->now_ms);
	take_state(t, p, k, r);
	take_average(p, k, r);
}

static void hear(struct talk *t, const struct redis_value *v)
{
	int64_t last, all;
	struct heard row;

	if (v->kind != REDIS_ARRAY || v->count < 2 || !read_int(&v->items[0], INT64_MAX, &last) ||
		!read_int(&v->items[1], INT64_MAX, &all))
		return;
	for (size_t i = 0; i < t->told; i++)
		if (t->s->known[t->rows[i]].name == t->as[i].name)
			t->s->known[t->rows[i]] = t->as[i];
	/* It has forgotten: everything is told again. */
	if ((uint64_t)all < t->s->heard) {
		memset(t->s->known, 0, sizeof(t->s->known));
		t->s->heard = 0;
	}
	for (size_t i = 2; i < v->count; i++)
		if (read_row(&v->items[i], &row))
			hear_row(t, &row);
	t->s->heard = (uint64_t)last;
	t->s->is_begun = true;
}

/* ---- together ---- */

static void talk(struct talk *t)
{
	struct health_share *s = t->s;
	struct redis_reply reply = { 0 };
	struct err ignored;
	size_t at = 0;

	add_word(t, s->rows);
	add_word(t, s->when);
	add_word(t, s->origin);
	add_int(t, (int64_t)s->heard);
	add_int(t, HEARD_MAX);
	if (s->is_begun)
		tell(t);
	for (size_t i = 0; i < t->n; i++) {
		t->words[i].ptr = buf_slice(&t->text).ptr + at;
		at += t->words[i].len;
	}
	/* What failed is told the next time. */
	if (buf_ok(&t->text) &&
		redis_eval(s->redis, &talk_script, t->words, 2, t->n, &reply, &ignored) == ERR_OK)
		hear(t, &reply.value);
	redis_reply_fini(&reply);
}

void health_share_tick(
	struct health_share *s, struct health *h, const struct health_conf *conf, int64_t mono_ms)
{
	struct talk *t;
	struct err ignored;

	if (!h || mono_ms < s->due_ms)
		return;
	s->due_ms = mono_ms + HEALTH_SHARE_MS;
	if (s->lock_fd < 0 && home_lock(s->home, LOCK_NAME, 0, &s->lock_fd, &ignored)) {
		s->lock_fd = -1;
		return;
	}
	t = calloc(1, sizeof(*t));
	if (!t)
		return;
	t->s = s;
	t->h = h;
	t->interval_ms = conf->interval_ms > 0 ? conf->interval_ms : 1;
	t->now_ms = mono_ms > 0 ? mono_ms : 1;
	talk(t);
	buf_fini(&t->text);
	free(t);
}
