/* handlers/cli/amount.h - how the operator writes money, limits and points in time, and how they
 * are shown. Money is exact: microdollars in, microdollars out, never a double.
 *
 * What is wrong is ERR_BAD_REQUEST naming the option and what is accepted. Pure: the present
 * comes in.
 */
#ifndef HANDLERS_CLI_AMOUNT_H
#define HANDLERS_CLI_AMOUNT_H

#include "base/clock.h"
#include "store/key_record.h"

/* "10usd", "2.50usd", "-1usd": at most 6 decimals; min..max in microdollars. */
MUST_CHECK enum err_code amount_read(const char *text, const char *what, int64_t min, int64_t max,
	int64_t *microusd, struct err *e);
/* "5usd", or the word none for a limit that is not set. */
MUST_CHECK enum err_code amount_read_limit(const char *text, const char *none, const char *what,
	struct people_limit *out, struct err *e);
/* "25usd/month", "/day", "/total", or "none". */
MUST_CHECK enum err_code amount_read_budget(const char *text, const char *what, int64_t *microusd,
	enum key_window *window, struct err *e);
/* "60", or "none" = 0. */
MUST_CHECK enum err_code amount_read_rate(
	const char *text, const char *what, int64_t *rate, struct err *e);
/* "90d" from now on, "2027-01-01" (midnight UTC), or "never" = 0. It lies in the future. */
MUST_CHECK enum err_code amount_read_end(
	const char *text, const char *what, int64_t now_ms, int64_t *end_ms, struct err *e);

#define AMOUNT_SIZE 32
/* "$25.00", "-$0.000001": two decimals, or as many as are needed. */
void amount_write(int64_t microusd, char out[AMOUNT_SIZE]);
/* The same, or "-" when there is no limit. */
void amount_write_limit(struct people_limit limit, char out[AMOUNT_SIZE]);
/* "2026-11-21 08:56", or what stands for no time. */
void amount_write_minute(int64_t ms, const char *none, char out[CLOCK_ISO_SIZE]);

#endif
