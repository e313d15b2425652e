#include "gateway/settle.h"

#include "base/clock.h"
#include "base/log_seldom.h"
#include "base/num.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#define PAUSE_MS 50

static const char *const finish_reasons[] = { "", "stop", "length", "tool_calls", "content_filter",
	"function_call" };

#define FINISH_REASONS (sizeof(finish_reasons) / sizeof(finish_reasons[0]))

const char *settle_finish_reason(unsigned code)
{
	return code < FINISH_REASONS ? finish_reasons[code] : "unknown";
}

static uint8_t finish_code(const char *reason)
{
	for (size_t i = 0; i < FINISH_REASONS; i++)
		if (strcmp(finish_reasons[i], reason) == 0)
			return (uint8_t)i;
	return FINISH_REASONS;
}

/* What no request uses is cut to what the books take: a provider that reports nonsense is billed
 * for as much as can be, not for nothing. */
static uint32_t tokens(int64_t n)
{
	return num_u32(n < LEDGER_TOKENS_MAX ? n : LEDGER_TOKENS_MAX);
}

static int64_t amount(int64_t microusd)
{
	return microusd < LEDGER_MICROUSD_MAX ? microusd : LEDGER_MICROUSD_MAX;
}

/* Numbers of texts that this process has asked for before. A cell is filled once and never
 * changes, so readers need no lock; what finds its cell taken is asked for each time. */
struct named {
	uint64_t number;
	char text[RECORD_NAME_MAX + 1];
};

#define NAMES_KEPT 512

static _Atomic(struct named *) names[NAMES_KEPT];

static _Atomic(struct named *) *cell_of(struct slice text)
{
	uint32_t hash = 2166136261u; /* FNV-1a */

	for (size_t i = 0; i < text.len; i++)
		hash = (hash ^ (uint8_t)text.ptr[i]) * 16777619u;
	return &names[hash % NAMES_KEPT];
}

static void keep_name(_Atomic(struct named *) *cell, struct slice text, uint64_t number)
{
	struct named *fresh = calloc(1, sizeof(*fresh)), *none = NULL;

	if (!fresh)
		return;
	fresh->number = number;
	memcpy(fresh->text, text.ptr, text.len);
	if (!atomic_compare_exchange_strong(cell, &none, fresh))
		free(fresh);
}

/* The number behind a text; 0 when it cannot be remembered now: money does not wait for a name. */
static uint64_t name(struct ledger *l, struct ledger_now now, const char *words)
{
	struct slice text = slice_first(slice_of(words), RECORD_NAME_MAX);
	_Atomic(struct named *) *cell = cell_of(text);
	const struct named *known = atomic_load(cell);
	uint64_t n = 0;
	struct err e;

	if (!text.len)
		return 0;
	if (known && slice_is(text, known->text))
		return known->number;
	if (ledger_name(l, now, text, &n, &e))
		log_seldom(LOG_WARN, "ledger", e.message, clock_mono_ms());
	else if (!known)
		keep_name(cell, text, n);
	return n;
}

static enum record_usage state_of(const struct usage *u)
{
	static const enum record_usage states[] = {
		[USAGE_NONE] = RECORD_USAGE_NONE,
		[USAGE_REPORTED] = RECORD_USAGE_REPORTED,
		[USAGE_ESTIMATED] = RECORD_USAGE_ESTIMATED,
		[USAGE_PARTIAL] = RECORD_USAGE_PARTIAL,
	};

	return states[u->state];
}

static void fill(struct ledger *l, struct ledger_now now, const struct settle_facts *f,
	struct record_settle *r)
{
	const struct identity *who = f->identity;
	const struct usage *u = f->usage;

	*r = (struct record_settle){
		.provider = name(l, now, f->provider),
		.model = name(l, now, f->model),
		.asked_model = name(l, now, f->asked_model),
		.cost_microusd = amount(f->cost->microusd),
		.upstream_microusd = amount(f->cost->market_microusd),
		.saved_microusd = amount(f->saved_microusd),
		.latency_ms = num_u32(f->latency_ms),
		.ttft_ms = num_u32(f->ttft_ms),
		.generation_ms = f->ttft_ms > 0 ? num_u32(f->latency_ms - f->ttft_ms) : 0,
		.price_version = f->cost->price_version,
		.status = (uint16_t)f->status,
		.flags = (uint16_t)((f->stream ? RECORD_STREAM : 0) | (f->free ? RECORD_FREE : 0) |
				    (f->byok ? RECORD_BYOK : 0) |
				    (f->cache_hit ? RECORD_CACHE_HIT : 0) |
				    (f->client_gone ? RECORD_CLIENT_GONE : 0)),
		.usage_state = (uint8_t)state_of(u),
		.attempts = (uint8_t)(f->attempts < 255 ? f->attempts : 255),
		.finish_reason = finish_code(f->finish_reason),
	};
	if (who->key) {
		r->key = who->key->number;
		r->user = who->user.number;
		r->org = who->org ? who->org->number : 0;
	}
	r->tokens[RECORD_PROMPT] = tokens(u->prompt_tokens);
	r->tokens[RECORD_CACHE_READ] = tokens(u->cached_tokens);
	r->tokens[RECORD_CACHE_WRITE_1H] = tokens(u->cache_write_1h_tokens);
	r->tokens[RECORD_CACHE_WRITE_5M] = tokens(u->cache_write_tokens - u->cache_write_1h_tokens);
	r->tokens[RECORD_COMPLETION] = tokens(u->completion_tokens);
	r->tokens[RECORD_REASONING] = tokens(u->reasoning_tokens);
}

void settle_request(struct ledger *l, struct admission *a, const struct settle_facts *f)
{
	const struct timespec pause = { .tv_nsec = PAUSE_MS * 1000000L };
	struct ledger_now now = ledger_now();
	int64_t give_up_ms = now.mono_ms + SETTLE_PATIENCE_MS;
	struct record_settle r;
	enum ledger_settled how;
	struct err e;

	fill(l, now, f, &r);
	while (ledger_settle(l, now, &a->lease, &r, &how, &e)) {
		if (e.code == ERR_RANGE || now.mono_ms >= give_up_ms) {
			log_line(LOG_ERROR,
				"ledger: NOT SETTLED: id %016llx%016llx key %016llx org %016llx "
				"cost %lld "
				"microdollars, tokens %u + %u: %s",
				(unsigned long long)a->lease.id.word[0],
				(unsigned long long)a->lease.id.word[1], (unsigned long long)r.key,
				(unsigned long long)r.org, (long long)r.cost_microusd,
				r.tokens[RECORD_PROMPT], r.tokens[RECORD_COMPLETION], e.message);
			ledger_release(l, &a->lease);
			return;
		}
		nanosleep(&pause, NULL);
		now = ledger_now();
	}
}
