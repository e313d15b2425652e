/* tests/unit/health_told.h - rows of providers' health in memory, and telling them outcomes. */
#ifndef UNIT_HEALTH_TOLD_H
#define UNIT_HEALTH_TOLD_H

#include "tests/unit/ledger_home.h"

#include "store/health_place.h"

#define OPENAI SLICE("openai")
#define GPT    SLICE("gpt-5")
#define NAME   health_name(OPENAI, GPT)
#define T0     INT64_C(1000000)

static const struct health_conf conf = { .interval_ms = 30000, .percent = 50, .min = 5 };
static struct health *h;

static inline int make_rows(void **state)
{
	(void)state;
	h = calloc(1, health_bytes());
	return h ? 0 : -1;
}

static inline int drop_rows(void **state)
{
	(void)state;
	free(h);
	return 0;
}

static inline enum health_state tell_of(
	const char *model, enum health_outcome outcome, int64_t now_ms, bool *changed)
{
	struct health_report report = { .outcome = outcome };

	return health_tell(h, OPENAI, slice_of(model), &conf, now_ms, &report, changed);
}

static inline enum health_state tell(enum health_outcome outcome, int64_t now_ms)
{
	return tell_of("gpt-5", outcome, now_ms, NULL);
}

static inline enum health_state tell_probe(
	enum health_outcome outcome, int64_t now_ms, int64_t entered_ms)
{
	struct health_report report = {
		.outcome = outcome, .probe = true, .entered_ms = entered_ms
	};

	return health_tell(h, OPENAI, GPT, &conf, now_ms, &report, NULL);
}

static inline enum health_state limit(int64_t ms, int64_t now_ms)
{
	struct health_report report = { .outcome = HEALTH_REFUSED, .limited_ms = ms };

	return health_tell(h, OPENAI, GPT, &conf, now_ms, &report, NULL);
}

static inline enum health_gate enter(int64_t now_ms)
{
	int64_t wait_ms;

	return health_enter(h, NAME, &conf, now_ms, &wait_ms);
}

static inline int64_t wait_of(int64_t now_ms)
{
	int64_t wait_ms = -1;

	assert_int_equal(health_enter(h, NAME, &conf, now_ms, &wait_ms), HEALTH_STOP);
	assert_int_equal(health_look(h, NAME, &conf, now_ms).wait_ms, wait_ms);
	return wait_ms;
}

static inline enum health_state state_at(int64_t now_ms)
{
	return health_look(h, NAME, &conf, now_ms).state;
}

/* Opens it at now_ms. */
static inline void open_it(int64_t now_ms)
{
	for (int i = 0; i < 5; i++)
		(void)tell(HEALTH_FAILED, now_ms);
	assert_int_equal(state_at(now_ms), HEALTH_OPEN);
}

static struct health_row listed[64];
static size_t listed_n;

static inline void take_row(void *ctx, const struct health_row *row)
{
	(void)ctx;
	if (listed_n < 64)
		listed[listed_n] = *row;
	listed_n++;
}

static inline size_t list(int64_t now_ms)
{
	size_t n;

	listed_n = 0;
	n = health_list(h, &conf, now_ms, take_row, NULL);
	assert_int_equal(n, listed_n);
	return n;
}

#endif
