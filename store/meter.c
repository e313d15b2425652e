#include "store/meter.h"

#define UNIT     INT64_C(60000)
#define PIECE_MS INT64_C(240000)
#define PIECES   16
#define FORGET_MS \
	INT64_C(600000) /* a bucket untouched so long is full, debts of 10 minutes too \
			 */
#define DEBT_LIMIT (INT64_MAX / 4)

_Static_assert(sizeof(struct meter) == METER_WORDS * 8, "a meter is 16 words");

/* What is still used at mono_ms. Compared by division: the product overflows after a long
 * idle time. */
static int64_t used_now(int64_t used, int64_t at_ms, int64_t per_minute, int64_t mono_ms)
{
	int64_t elapsed = mono_ms > at_ms ? mono_ms - at_ms : 0;

	if (elapsed > used / per_minute)
		return 0;
	return used - elapsed * per_minute;
}

static int64_t take(int64_t *used, int64_t *at_ms, int64_t per_minute, int64_t n, int64_t mono_ms)
{
	int64_t now, over;

	if (n == 0)
		return 0;
	if (n < 0 || n > per_minute)
		return METER_NEVER;
	now = used_now(*used, *at_ms, per_minute, mono_ms);
	over = now - (per_minute - n) * UNIT;
	if (over > 0)
		return (over - 1) / per_minute + 1 + (*at_ms > mono_ms ? *at_ms - mono_ms : 0);
	*used = now + n * UNIT;
	/* A reader of an older time (it waited for the lock) must not fill the bucket twice. */
	if (mono_ms > *at_ms)
		*at_ms = mono_ms;
	return 0;
}

static int64_t left(
	int64_t used, int64_t at_ms, int64_t per_minute, int64_t mono_ms, int64_t *full_ms)
{
	int64_t now;

	*full_ms = 0;
	if (per_minute <= 0)
		return 0;
	now = used_now(used, at_ms, per_minute, mono_ms);
	*full_ms = (now + per_minute - 1) / per_minute;
	return now > per_minute * UNIT ? 0 : (per_minute * UNIT - now) / UNIT;
}

int64_t meter_take_requests(struct meter *m, int64_t per_minute, int64_t n, int64_t mono_ms)
{
	return take(&m->requests_used, &m->requests_at_ms, per_minute, n, mono_ms);
}

int64_t meter_take_tokens(struct meter *m, int64_t per_minute, int64_t n, int64_t mono_ms)
{
	return take(&m->tokens_used, &m->tokens_at_ms, per_minute, n, mono_ms);
}

void meter_adjust_tokens(struct meter *m, int64_t difference)
{
	int64_t units;

	if (__builtin_mul_overflow(difference, UNIT, &units))
		units = difference < 0 ? -DEBT_LIMIT : DEBT_LIMIT;
	if (__builtin_add_overflow(m->tokens_used, units, &units) || units > DEBT_LIMIT)
		units = units < 0 ? 0 : DEBT_LIMIT;
	m->tokens_used = units < 0 ? 0 : units;
}

/* Forgets the pieces that are 64 minutes old. */
static void roll(struct meter *m, int64_t mono_ms)
{
	int64_t piece = mono_ms / PIECE_MS;

	if (piece - m->hour_piece > PIECES)
		m->hour_piece = piece - PIECES;
	while (m->hour_piece < piece)
		m->hour[++m->hour_piece % PIECES] = 0;
}

static int64_t hour_sum(const struct meter *m)
{
	int64_t sum = 0;

	for (unsigned i = 0; i < PIECES; i++)
		sum += m->hour[i];
	return sum;
}

/* When so many requests have been forgotten that the sum is at most target. */
static int64_t hour_wait(const struct meter *m, int64_t target, int64_t mono_ms)
{
	int64_t sum = hour_sum(m);

	for (int64_t piece = m->hour_piece - PIECES + 1; piece <= m->hour_piece; piece++) {
		if (piece < 0)
			continue;
		sum -= m->hour[piece % PIECES];
		if (sum <= target)
			return (piece + PIECES) * PIECE_MS - mono_ms;
	}
	return METER_NEVER;
}

int64_t meter_take_hour(struct meter *m, int64_t per_hour, int64_t mono_ms)
{
	uint16_t *piece;

	if (per_hour <= 0)
		return METER_NEVER;
	roll(m, mono_ms);
	if (hour_sum(m) >= per_hour)
		return hour_wait(m, per_hour - 1, mono_ms);
	piece = &m->hour[m->hour_piece % PIECES];
	*piece = (uint16_t)(*piece + 1);
	return 0;
}

int64_t meter_requests_left(
	const struct meter *m, int64_t per_minute, int64_t mono_ms, int64_t *full_ms)
{
	return left(m->requests_used, m->requests_at_ms, per_minute, mono_ms, full_ms);
}

int64_t meter_tokens_left(
	const struct meter *m, int64_t per_minute, int64_t mono_ms, int64_t *full_ms)
{
	return left(m->tokens_used, m->tokens_at_ms, per_minute, mono_ms, full_ms);
}

int64_t meter_hour_left(const struct meter *m, int64_t per_hour, int64_t mono_ms, int64_t *full_ms)
{
	struct meter now = *m;
	int64_t sum;

	roll(&now, mono_ms);
	sum = hour_sum(&now);
	*full_ms = sum ? hour_wait(&now, 0, mono_ms) : 0;
	return sum >= per_hour ? 0 : per_hour - sum;
}

int64_t meter_worth(const struct meter *m, int64_t mono_ms)
{
	struct meter now = *m;
	int64_t worth;

	if (m->running > 0)
		return INT64_MAX;
	roll(&now, mono_ms);
	worth = hour_sum(&now);
	if (m->requests_used && mono_ms - m->requests_at_ms < FORGET_MS)
		worth += 1 + m->requests_used / UNIT;
	if (m->tokens_used && mono_ms - m->tokens_at_ms < FORGET_MS)
		worth += 1 + m->tokens_used / UNIT / 1000;
	return worth;
}
