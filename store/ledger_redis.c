#include "store/ledger_redis.h"

#include "base/log.h"
#include "store/fault.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RETRY_MS    1000
#define TTL_MAX_MS  (INT64_C(30) * 86400000) /* of a reservation */
#define NUMBER_SIZE 24
#define NEVER       (-1) /* of the script's answers */

/* The scripts, as they stand in the tree; ledger.lua says which parts make one. */
extern const char ledger_lua_admit[] __attribute__((visibility("hidden")));
extern const char ledger_lua_count[] __attribute__((visibility("hidden")));
extern const char ledger_lua_house[] __attribute__((visibility("hidden")));
__asm__(".section .rodata\n"
	".hidden ledger_lua_admit\n"
	".global ledger_lua_admit\n"
	"ledger_lua_admit: .incbin \"store/ledger.lua\"\n"
	".incbin \"store/ledger_admit.lua\"\n"
	".byte 0\n"
	".hidden ledger_lua_count\n"
	".global ledger_lua_count\n"
	"ledger_lua_count: .incbin \"store/ledger.lua\"\n"
	".incbin \"store/ledger_ends.lua\"\n"
	".incbin \"store/ledger_count.lua\"\n"
	".byte 0\n"
	".hidden ledger_lua_house\n"
	".global ledger_lua_house\n"
	"ledger_lua_house: .incbin \"store/ledger.lua\"\n"
	".incbin \"store/ledger_ends.lua\"\n"
	".incbin \"store/ledger_house.lua\"\n"
	".byte 0\n"
	".previous\n");

static struct redis_script script_admit = { .text = ledger_lua_admit };
static struct redis_script script_count = { .text = ledger_lua_count };
static struct redis_script script_house = { .text = ledger_lua_house };

/* ---- asking ---- */

/* The words of a call, and the memory behind those that are numbers. */
struct words {
	struct slice *word;
	size_t n;
	char *text;
};

static void word(struct words *w, struct slice text)
{
	w->word[w->n++] = text;
}

static void word_bytes(struct words *w, const void *bytes, size_t n)
{
	word(w, (struct slice){ bytes, n });
}

static void word_int(struct words *w, int64_t number)
{
	int n = snprintf(w->text, NUMBER_SIZE, "%" PRId64, number);

	word_bytes(w, w->text, (size_t)n);
	w->text += NUMBER_SIZE;
}

/* A subject in 16 digits, "" for none. */
static void word_subject(struct words *w, uint64_t subject)
{
	int n = subject ? snprintf(w->text, NUMBER_SIZE, "%016" PRIx64, subject) : 0;

	word_bytes(w, w->text, (size_t)n);
	w->text += NUMBER_SIZE;
}

/* Redis's own clock is the one that all hosts share; a test brings another. text: 48 bytes. */
static struct slice given_time(struct ledger_now now, char text[48])
{
	int n = 0;

	if (fault_at("ledger_redis.time"))
		n = snprintf(text, 48, "%" PRId64 " %" PRId64, now.wall_ms, now.mono_ms);
	return (struct slice){ text, (size_t)n };
}

/* Away, or refusing: the same for who asks, and worth asking again soon. */
static enum err_code away(enum err_code rc, struct err *e)
{
	if (!rc)
		return ERR_OK;
	if (e) {
		e->code = ERR_STORE;
		e->retry_after_ms = RETRY_MS;
	}
	return ERR_STORE;
}

static enum err_code strange(struct err *e)
{
	return away(
		err_set(e, ERR_STORE, "Redis gave an answer that the ledger's script does not"), e);
}

static enum err_code ask_of(struct ledger *l, struct redis_script *script, const struct words *w,
	struct redis_reply *reply, struct err *e)
{
	enum err_code rc;

	(void)fault_at("ledger_redis.asking");
	rc = redis_eval(l->conf.redis, script, w->word, 1, w->n, reply, e);
	(void)fault_at("ledger_redis.asked");
	return away(rc, e);
}

static enum err_code ask(
	struct ledger *l, const struct words *w, struct redis_reply *reply, struct err *e)
{
	return ask_of(l, &script_house, w, reply, e);
}

enum err_code ledger_redis_init(struct ledger *l, struct err *e)
{
	const char *prefix = redis_prefix(l->conf.redis);
	int n = snprintf(l->keys, sizeof(l->keys), "%s:{%s}:", prefix, prefix);

	if (n < 0 || (size_t)n >= sizeof(l->keys))
		return err_set(e, ERR_CONF, "GATEWAY_STORE_PREFIX is too long");
	return ERR_OK;
}

/* ---- limits ---- */

static int64_t number_at(const struct redis_value *v, size_t i)
{
	return v->items[i].kind == REDIS_INTEGER ? v->items[i].integer : 0;
}

static int64_t time_at(const struct redis_value *v, size_t i)
{
	int64_t ms = number_at(v, i);

	return ms == NEVER ? LEDGER_NEVER : ms;
}

static int64_t clipped(int64_t n, int64_t max)
{
	return n < max ? n : max;
}

/* hold: NULL only looks. */
static enum err_code decide(struct ledger *l, struct ledger_now now, struct ledger_ask *ask_for,
	const struct ledger_hold *hold, struct redis_reply *reply, struct err *e)
{
	struct slice word_of[6 + 3 * LEDGER_LIMITS];
	char text[(3 + 3 * LEDGER_LIMITS) * NUMBER_SIZE], time[48];
	struct words w = { .word = word_of, .text = text };
	int64_t ttl_ms = clipped(ask_for->deadline_ms - now.mono_ms, TTL_MAX_MS);
	enum err_code rc;

	word(&w, slice_of(l->keys));
	word(&w, given_time(now, time));
	word_bytes(&w, hold ? hold : (const void *)"", hold ? sizeof(*hold) : 0);
	word_int(&w, ttl_ms);
	word_int(&w, ask_for->microusd);
	word_int(&w, ask_for->tokens);
	for (size_t i = 0; i < ask_for->limits_n; i++) {
		const struct ledger_limit *limit = &ask_for->limits[i];

		word_subject(&w, limit->subject);
		word_int(&w, limit->kind);
		word_int(&w, clipped(limit->ceiling, LEDGER_REDIS_SUM_MAX));
	}
	rc = ask_of(l, &script_admit, &w, reply, e);
	if (!rc && (reply->value.kind != REDIS_ARRAY ||
			   reply->value.count != 3 + 2 * ask_for->limits_n))
		rc = strange(e);
	for (size_t i = 0; i < ask_for->limits_n && !rc; i++) {
		ask_for->limits[i].remaining = number_at(&reply->value, 3 + 2 * i);
		ask_for->limits[i].reset_ms = time_at(&reply->value, 4 + 2 * i);
	}
	return rc;
}

enum err_code ledger_redis_reserve(struct ledger *l, struct ledger_now now,
	struct ledger_ask *ask_for, const struct ledger_lease *lease,
	struct ledger_refusal *refusal, struct err *e)
{
	const struct ledger_hold hold = { lease->id.word[0], lease->index, lease->generation };
	struct redis_reply reply = { 0 };
	enum err_code rc = decide(l, now, ask_for, &hold, &reply, e);

	if (!rc && number_at(&reply.value, 0)) {
		refusal->limit = (size_t)number_at(&reply.value, 1);
		refusal->retry_after_ms = time_at(&reply.value, 2);
		rc = refusal->limit < ask_for->limits_n
			     ? admit_refuse(&ask_for->limits[refusal->limit], refusal, e)
			     : strange(e);
	}
	redis_reply_fini(&reply);
	return rc;
}

enum err_code ledger_redis_look(
	struct ledger *l, struct ledger_now now, struct ledger_ask *ask_for, struct err *e)
{
	struct redis_reply reply = { 0 };
	enum err_code rc = decide(l, now, ask_for, NULL, &reply, e);

	redis_reply_fini(&reply);
	return rc;
}

/* ---- records ---- */

#define RECORD_WORDS   9 /* of one in a call */
#define RECORD_NUMBERS 8

static void word_record(struct words *w, const struct record *r)
{
	uint64_t targets[ACCOUNT_TARGETS] = { 0 }, payer;
	struct usage_row row = { 0 };
	int64_t class = -1;

	(void)account_targets(r, targets, &payer);
	if (r->type == RECORD_SETTLE)
		usage_apply(&row, r);
	for (int i = 0; i < USAGE_TTFT; i++)
		if (row.ttft[i])
			class = i;
	word_bytes(w, r, sizeof(*r));
	for (unsigned i = 0; i < ACCOUNT_TARGETS; i++)
		word_subject(w, targets[i]);
	word_subject(w, payer);
	word_int(w, account_month(r->wall_ms));
	word_int(w, class);
}

/* Room for a call about n things, each of so many words and numbers; false = no memory. The caller
 * frees w->word. */
static bool words_new(struct words *w, size_t n, size_t words, size_t numbers)
{
	size_t slices = (5 + n * words) * sizeof(struct slice);

	*w = (struct words){ .word = malloc(slices + (1 + n * numbers) * NUMBER_SIZE) };
	w->text = (char *)w->word + slices;
	return w->word != NULL;
}

/* The first words: whose journal, and up to where. store: 33 bytes, text: 72. */
static void word_place(struct words *w, const struct ledger *l, const struct ledger_place *to,
	char store[33], char text[72])
{
	int n = 0;

	ledger_redis_store(l, store);
	if (to)
		n = snprintf(text, 72, "%" PRIu64 " %" PRIu64 " %" PRIu64, to->segment, to->offset,
			to->base);
	word_bytes(w, store, 32);
	word_bytes(w, text, (size_t)n);
}

/* segment: 0 = none. */
static enum err_code count(struct ledger *l, const struct record *records, size_t n,
	const struct ledger_place *to, uint64_t segment, size_t *fresh, struct err *e)
{
	struct redis_reply reply = { 0 };
	char store[33], text[72], from[NUMBER_SIZE];
	struct words w;
	enum err_code rc;
	int len = segment ? snprintf(from, sizeof(from), "%" PRIu64, segment) : 0;

	*fresh = 0;
	if (!words_new(&w, n, RECORD_WORDS, RECORD_NUMBERS))
		return err_set(e, ERR_NO_MEMORY, "no memory to tell Redis of %zu requests", n);
	word(&w, slice_of(l->keys));
	word_place(&w, l, to, store, text);
	word_bytes(&w, from, (size_t)len);
	for (size_t i = 0; i < n; i++)
		word_record(&w, &records[i]);
	rc = ask_of(l, &script_count, &w, &reply, e);
	if (!rc && (reply.value.kind != REDIS_ARRAY || reply.value.count != n))
		rc = strange(e);
	for (size_t i = 0; i < n && !rc; i++) {
		if (number_at(&reply.value, i) == 2)
			rc = err_set(
				e, ERR_BUSY, "the books of %s are on their way to Redis", l->home);
		*fresh += number_at(&reply.value, i) == 0;
	}
	redis_reply_fini(&reply);
	free(w.word);
	return rc;
}

enum err_code ledger_redis_apply(struct ledger *l, const struct record *records, size_t n,
	const struct ledger_place *to, size_t *fresh, struct err *e)
{
	return count(l, records, n, to, 0, fresh, e);
}

enum err_code ledger_redis_tell(
	struct ledger *l, const struct record *r, uint64_t segment, struct err *e)
{
	size_t fresh;

	return count(l, r, 1, NULL, segment, &fresh, e);
}

/* Where a record would be noted, and as what. */
static void word_mark(struct words *w, const struct record *r)
{
	if (r->type == RECORD_SETTLE) {
		int n = snprintf(w->text, NUMBER_SIZE, "ids:%" PRId64, account_day(r->wall_ms));

		word_bytes(w, w->text, (size_t)n);
		w->text += NUMBER_SIZE;
		word_bytes(w, r->id, sizeof(r->id));
	} else if (r->type == RECORD_CREDIT) {
		word(w, SLICE("credits"));
		word_bytes(w, r->id, sizeof(r->id));
	} else {
		word(w, SLICE("names"));
		word_bytes(w, &r->name.name, sizeof(r->name.name));
	}
}

enum err_code ledger_redis_missing(struct ledger *l, const struct record *records, size_t n,
	const struct ledger_place *to, uint16_t out[LEDGER_REDIS_BATCH], size_t *out_n,
	struct err *e)
{
	struct redis_reply reply = { 0 };
	char store[33], text[72];
	struct words w;
	enum err_code rc;

	*out_n = 0;
	if (!words_new(&w, n, 2, 1))
		return err_set(e, ERR_NO_MEMORY, "no memory to ask Redis of %zu requests", n);
	word(&w, slice_of(l->keys));
	word(&w, SLICE("missing"));
	word_place(&w, l, to, store, text);
	for (size_t i = 0; i < n; i++)
		word_mark(&w, &records[i]);
	rc = ask(l, &w, &reply, e);
	if (!rc && (reply.value.kind != REDIS_ARRAY || reply.value.count > n))
		rc = strange(e);
	for (size_t i = 0; !rc && i < reply.value.count; i++) {
		int64_t number = number_at(&reply.value, i);

		if (number < 0 || number >= (int64_t)n)
			rc = strange(e);
		else
			out[(*out_n)++] = (uint16_t)number;
	}
	redis_reply_fini(&reply);
	free(w.word);
	return rc;
}

/* ---- ends ---- */

bool ledger_redis_release(struct ledger *l, const struct ledger_hold *holds, size_t n)
{
	struct redis_reply reply = { 0 };
	struct words w;
	bool told;

	if (!n || n > LEDGER_REDIS_RELEASE || !words_new(&w, n, 1, 0))
		return false;
	word(&w, slice_of(l->keys));
	word(&w, SLICE("release"));
	for (size_t i = 0; i < n; i++)
		word_bytes(&w, &holds[i], sizeof(holds[i]));
	told = ask(l, &w, &reply, NULL) == ERR_OK;
	redis_reply_fini(&reply);
	free(w.word);
	return told;
}

size_t ledger_redis_reap(struct ledger *l, struct ledger_now now)
{
	struct slice word_of[3];
	struct words w = { .word = word_of };
	struct redis_reply reply = { 0 };
	char time[48];
	size_t n = 0;

	word(&w, slice_of(l->keys));
	word(&w, SLICE("reap"));
	word(&w, given_time(now, time));
	if (ask(l, &w, &reply, NULL) == ERR_OK && reply.value.kind == REDIS_INTEGER)
		n = (size_t)reply.value.integer;
	redis_reply_fini(&reply);
	return n;
}

enum err_code ledger_redis_may_credit(struct ledger *l, struct ledger_id id, uint64_t subject,
	int64_t microusd, bool *already, struct err *e)
{
	struct slice word_of[5];
	char text[2 * NUMBER_SIZE];
	struct words w = { .word = word_of, .text = text };
	struct redis_reply reply = { 0 };
	enum err_code rc;

	word(&w, slice_of(l->keys));
	word(&w, SLICE("may_credit"));
	word_bytes(&w, id.word, sizeof(id.word));
	word_subject(&w, subject);
	word_int(&w, microusd);
	rc = ask(l, &w, &reply, e);
	if (!rc && reply.value.kind != REDIS_INTEGER)
		rc = strange(e);
	*already = !rc && reply.value.integer == 1;
	if (!rc && reply.value.integer == 2)
		rc = err_param(e, ERR_RANGE, "microusd",
			"the credits of this %s would be too large a sum",
			account_kind_name(subject));
	redis_reply_fini(&reply);
	return rc;
}

enum err_code ledger_redis_find(
	struct ledger *l, struct ledger_id id, struct record *out, struct err *e)
{
	struct slice word_of[4];
	struct words w = { .word = word_of };
	struct redis_reply reply = { 0 };
	char time[48];
	enum err_code rc;

	word(&w, slice_of(l->keys));
	word(&w, SLICE("find"));
	word(&w, given_time(ledger_now(), time));
	word_bytes(&w, id.word, sizeof(id.word));
	rc = ask(l, &w, &reply, e);
	if (!rc && reply.value.kind == REDIS_NIL)
		rc = err_set(e, ERR_NOT_FOUND, "no recent request has this id");
	else if (!rc && (reply.value.kind != REDIS_STRING || reply.value.text.len != sizeof(*out)))
		rc = strange(e);
	if (!rc) {
		memcpy(out, reply.value.text.ptr, sizeof(*out));
		if (!record_is_whole(out))
			rc = strange(e);
	}
	redis_reply_fini(&reply);
	return rc;
}

/* ---- books of before ---- */

enum err_code ledger_redis_base_put(struct ledger *l, uint64_t folded,
	const struct account *accounts, size_t n, uint64_t *adding, struct err *e)
{
	struct redis_reply reply = { 0 };
	char store[33];
	struct words w;
	enum err_code rc;

	*adding = 0;
	if (!words_new(&w, n, 2, 1))
		return err_set(e, ERR_NO_MEMORY, "no memory to tell Redis of %zu accounts", n);
	ledger_redis_store(l, store);
	word(&w, slice_of(l->keys));
	word(&w, SLICE("base_put"));
	word(&w, slice_of(store));
	word_int(&w, (int64_t)folded);
	for (size_t i = 0; i < n; i++) {
		word_subject(&w, accounts[i].subject);
		word_bytes(&w, &accounts[i].credited, sizeof(accounts[i]) - sizeof(uint64_t));
	}
	rc = ask(l, &w, &reply, e);
	if (!rc && reply.value.kind != REDIS_INTEGER)
		rc = strange(e);
	if (!rc)
		*adding = (uint64_t)reply.value.integer;
	redis_reply_fini(&reply);
	free(w.word);
	return rc;
}

enum err_code ledger_redis_base_add(struct ledger *l, uint64_t folded, uint64_t n, struct err *e)
{
	struct slice word_of[5];
	char store[33], text[2 * NUMBER_SIZE];
	int64_t left = 1;
	enum err_code rc = ERR_OK;

	ledger_redis_store(l, store);
	while (left > 0 && !rc) {
		struct words w = { .word = word_of, .text = text };
		struct redis_reply reply = { 0 };

		word(&w, slice_of(l->keys));
		word(&w, SLICE("base_add"));
		word(&w, slice_of(store));
		word_int(&w, (int64_t)folded);
		word_int(&w, (int64_t)n);
		rc = ask(l, &w, &reply, e);
		(void)fault_at("ledger_redis.adding");
		if (!rc && (reply.value.kind != REDIS_INTEGER || reply.value.integer < 0))
			rc = strange(e);
		left = reply.value.integer;
		redis_reply_fini(&reply);
	}
	return rc;
}
