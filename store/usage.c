#include "store/usage.h"

#include "store/account.h"

#include <stdio.h>
#include <time.h>

struct usage_key usage_key_of(const struct record_settle *s)
{
	return (struct usage_key){ .key = s->key,
		.user = s->user,
		.org = s->org,
		.model = s->model,
		.provider = s->provider };
}

/* Class 2k begins at 2^k, class 2k+1 at 2^k times the root of 2. */
static unsigned ttft_class(uint32_t ms)
{
	unsigned k = 31 - (unsigned)__builtin_clz(ms);
	unsigned class = 2 * k + ((uint64_t)ms * ms >= UINT64_C(1) << (2 * k + 1));

	return class < USAGE_TTFT ? class : USAGE_TTFT - 1;
}

void usage_apply(struct usage_row *u, const struct record *r)
{
	const struct record_settle *s = &r->settle;

	u->requests++;
	u->failed += s->status >= 400;
	u->estimated +=
		s->usage_state == RECORD_USAGE_ESTIMATED || s->usage_state == RECORD_USAGE_PARTIAL;
	u->cached += !!(s->flags & RECORD_CACHE_HIT);
	u->cost_microusd = account_add(u->cost_microusd, s->cost_microusd);
	u->upstream_microusd = account_add(u->upstream_microusd, s->upstream_microusd);
	for (unsigned i = 0; i < RECORD_TOKENS; i++)
		u->tokens[i] = account_add(u->tokens[i], s->tokens[i]);
	u->latency_ms = account_add(u->latency_ms, s->latency_ms);
	u->attempts += s->attempts;
	if (s->ttft_ms && u->ttft[ttft_class(s->ttft_ms)] < UINT32_MAX)
		u->ttft[ttft_class(s->ttft_ms)]++;
}

void usage_add(struct usage_row *sum, const struct usage_row *u)
{
	sum->requests += u->requests;
	sum->failed += u->failed;
	sum->estimated += u->estimated;
	sum->cached += u->cached;
	sum->cost_microusd = account_add(sum->cost_microusd, u->cost_microusd);
	sum->upstream_microusd = account_add(sum->upstream_microusd, u->upstream_microusd);
	for (unsigned i = 0; i < RECORD_TOKENS; i++)
		sum->tokens[i] = account_add(sum->tokens[i], u->tokens[i]);
	sum->latency_ms = account_add(sum->latency_ms, u->latency_ms);
	sum->attempts += u->attempts;
	for (unsigned i = 0; i < USAGE_TTFT; i++)
		sum->ttft[i] += u->ttft[i];
}

/* The last millisecond of a class: the whole root of 2^(class + 1), rounded up, less one. */
static int64_t class_end(unsigned class)
{
	uint64_t square = UINT64_C(1) << (class + 1);
	uint64_t root = UINT64_C(1) << (class + 1) / 2;

	while (root * root < square)
		root++;
	return (int64_t)root - 1;
}

int64_t usage_ttft_ms(const struct usage_row *u, int percent)
{
	uint64_t all = 0, seen = 0;

	for (unsigned i = 0; i < USAGE_TTFT; i++)
		all += u->ttft[i];
	for (unsigned i = 0; i < USAGE_TTFT && all; i++) {
		seen += u->ttft[i];
		if (seen * 100 >= all * (uint64_t)percent)
			return class_end(i);
	}
	return 0;
}

void usage_file(int64_t day, char out[USAGE_FILE_SIZE])
{
	time_t seconds = (time_t)(day * 86400);
	struct tm t;

	gmtime_r(&seconds, &t);
	strftime(out, USAGE_FILE_SIZE, "usage.%Y%m%d.gdbm", &t);
}
