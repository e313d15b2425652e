/* store/meter.h - how fast one subject goes: requests and tokens a minute, requests an hour,
 * requests at once.
 *
 * Plain arithmetic on one struct, like account.h. Times are of the monotonic clock, so a
 * wall clock that jumps fills nothing and locks nobody out. A struct of zeros is a subject that
 * has done nothing: what is kept is what was used, not what is left, so a changed ceiling
 * counts at once.
 *
 * A minute's limit is a token bucket that holds one minute's worth and fills steadily. The
 * hour's is strict: no 60 minutes ever see more than the ceiling; requests are counted in 16
 * pieces of 4 minutes, so one is forgotten after 60 to 64 minutes.
 *
 * Units: a bucket counts in 1/60000 of a unit: per minute x elapsed ms is then exact.
 */
#ifndef STORE_METER_H
#define STORE_METER_H

#include "base/err.h"

#define METER_WORDS    16
#define METER_MAX      INT64_C(1000000000) /* largest ceiling and amount of a bucket */
#define METER_HOUR_MAX 65535               /* largest ceiling of an hour */
#define METER_NEVER    INT64_MAX           /* no wait is long enough */

struct meter {
	uint64_t subject; /* 0 = an empty slot */
	int64_t requests_used;
	int64_t requests_at_ms;
	int64_t tokens_used;
	int64_t tokens_at_ms;
	int64_t hour_piece; /* number of the piece written last */
	uint16_t hour[16];
	int64_t running;
	int64_t spare[5];
};

/* Takes n (0..METER_MAX) of per_minute (1..METER_MAX), all or none. 0 if taken; else the wait
 * in ms after which the same call succeeds if nobody else takes, or METER_NEVER. A ceiling of 0
 * admits only n = 0. */
int64_t meter_take_requests(struct meter *m, int64_t per_minute, int64_t n, int64_t mono_ms);
int64_t meter_take_tokens(struct meter *m, int64_t per_minute, int64_t n, int64_t mono_ms);

/* Corrects tokens taken earlier by the difference to what was true; may go into debt. */
void meter_adjust_tokens(struct meter *m, int64_t difference);

/* Takes one request of per_hour (0..METER_HOUR_MAX). As above. */
int64_t meter_take_hour(struct meter *m, int64_t per_hour, int64_t mono_ms);

/* What is left, and after how many ms everything is. */
int64_t meter_requests_left(
	const struct meter *m, int64_t per_minute, int64_t mono_ms, int64_t *full_ms);
int64_t meter_tokens_left(
	const struct meter *m, int64_t per_minute, int64_t mono_ms, int64_t *full_ms);
int64_t meter_hour_left(const struct meter *m, int64_t per_hour, int64_t mono_ms, int64_t *full_ms);

/* How much would be forgotten with this meter: 0 = nothing, it may be given to another. */
int64_t meter_worth(const struct meter *m, int64_t mono_ms);

#endif
