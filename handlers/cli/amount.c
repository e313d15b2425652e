#include "handlers/cli/amount.h"

#include <stdio.h>
#include <time.h>

#define MICRO     1000000
#define DECIMALS  6
#define DAY_MS    INT64_C(86400000)
#define END_MAX   (DAY_MS * 366 * 100) /* from now: what is longer is a typing error */
#define AMOUNT_OF "an amount like 10usd or 2.50usd, up to 100000000usd, with at most 6 decimals"

static enum err_code refuse(struct err *e, const char *what, const char *text, const char *accepted)
{
	return err_param(e, ERR_BAD_REQUEST, what, "%s is %s, not \"%.64s\"", what, accepted, text);
}

/* Digits and up to 6 decimals, in millionths; false when it is not that, or does not fit. */
static bool read_decimal(struct slice text, int64_t max, int64_t *out)
{
	struct slice fraction = text, whole = slice_cut(&fraction, '.');
	int64_t units, parts = 0;

	if (!str_int(whole, 0, max / MICRO, &units) || whole.ptr[0] == '-')
		return false;
	if (fraction.ptr) {
		if (fraction.len > DECIMALS || fraction.ptr[0] == '-' ||
			!str_int(fraction, 0, MICRO - 1, &parts))
			return false;
		for (size_t i = fraction.len; i < DECIMALS; i++)
			parts *= 10;
	}
	*out = units * MICRO + parts;
	return *out <= max;
}

/* The part before "usd". */
static bool read_usd(struct slice text, int64_t min, int64_t max, int64_t *out)
{
	bool negative = slice_starts(text, "-");
	struct slice number = slice_from(text, negative);
	int64_t most = negative ? (min < 0 ? -min : 0) : max, n;

	if (number.len < 3 || !slice_is_nocase(slice_from(number, number.len - 3), "usd") ||
		!read_decimal(slice_first(number, number.len - 3), most, &n))
		return false;
	*out = negative ? -n : n;
	return *out >= min && *out <= max;
}

enum err_code amount_read(const char *text, const char *what, int64_t min, int64_t max,
	int64_t *microusd, struct err *e)
{
	return read_usd(slice_of(text), min, max, microusd) ? ERR_OK
							    : refuse(e, what, text, AMOUNT_OF);
}

enum err_code amount_read_limit(const char *text, const char *none, const char *what,
	struct people_limit *out, struct err *e)
{
	*out = (struct people_limit){ .is_set = false };
	if (strcmp(text, none) == 0)
		return ERR_OK;
	out->is_set = true;
	if (read_usd(slice_of(text), 0, PEOPLE_MICROUSD_MAX, &out->microusd))
		return ERR_OK;
	return err_param(e, ERR_BAD_REQUEST, what, "%s is " AMOUNT_OF ", or %s, not \"%.64s\"",
		what, none, text);
}

enum err_code amount_read_budget(const char *text, const char *what, int64_t *microusd,
	enum key_window *window, struct err *e)
{
	struct slice name = slice_of(text), usd = slice_cut(&name, '/');

	*microusd = 0;
	*window = KEY_WINDOW_NONE;
	if (strcmp(text, "none") == 0)
		return ERR_OK;
	for (int i = KEY_WINDOW_DAY; i < KEY_WINDOWS; i++)
		if (slice_is(name, key_window_name((enum key_window)i)))
			*window = (enum key_window)i;
	if (*window && read_usd(usd, 0, PEOPLE_MICROUSD_MAX, microusd))
		return ERR_OK;
	*window = KEY_WINDOW_NONE;
	return refuse(
		e, what, text, AMOUNT_OF " and a window (25usd/month, /day or /total), or none");
}

enum err_code amount_read_rate(const char *text, const char *what, int64_t *rate, struct err *e)
{
	*rate = 0;
	if (strcmp(text, "none") == 0 || str_int(slice_of(text), 1, KEY_RATE_MAX, rate))
		return ERR_OK;
	return refuse(e, what, text, "a whole number from 1 to 1000000000, or none");
}

static bool read_date(struct slice text, int64_t *ms)
{
	int64_t year, month, day;
	struct tm tm = { .tm_sec = 0 }, same;
	time_t t;

	if (text.len != 10 || text.ptr[4] != '-' || text.ptr[7] != '-' ||
		!str_int(slice_first(text, 4), 1970, 9999, &year) ||
		!str_int(slice_first(slice_from(text, 5), 2), 1, 12, &month) ||
		!str_int(slice_from(text, 8), 1, 31, &day))
		return false;
	tm.tm_year = (int)year - 1900;
	tm.tm_mon = (int)month - 1;
	tm.tm_mday = (int)day;
	same = tm;
	t = timegm(&tm);
	*ms = (int64_t)t * 1000;
	return same.tm_mon == tm.tm_mon && same.tm_mday == tm.tm_mday; /* no 30 February */
}

enum err_code amount_read_end(
	const char *text, const char *what, int64_t now_ms, int64_t *end_ms, struct err *e)
{
	int64_t from_now;

	*end_ms = 0;
	if (strcmp(text, "never") == 0)
		return ERR_OK;
	if (str_duration(slice_of(text), &from_now) && from_now > 0 && from_now <= END_MAX) {
		*end_ms = now_ms + from_now;
		return ERR_OK;
	}
	if (read_date(slice_of(text), end_ms) && *end_ms > now_ms)
		return ERR_OK;
	*end_ms = 0;
	return refuse(e, what, text,
		"a time from now on (90d, 12h), a future date (2027-01-01, UTC), or never");
}

void amount_write(int64_t microusd, char out[AMOUNT_SIZE])
{
	uint64_t n = microusd < 0 ? 0 - (uint64_t)microusd : (uint64_t)microusd;
	int size = snprintf(out, AMOUNT_SIZE, "%s$%llu.%06llu", microusd < 0 ? "-" : "",
		(unsigned long long)(n / MICRO), (unsigned long long)(n % MICRO));

	while (size > 0 && out[size - 1] == '0' && out[size - 3] != '.')
		out[--size] = '\0';
}

void amount_write_limit(struct people_limit limit, char out[AMOUNT_SIZE])
{
	if (limit.is_set)
		amount_write(limit.microusd, out);
	else
		str_copy_cut(out, AMOUNT_SIZE, "-");
}

void amount_write_minute(int64_t ms, const char *none, char out[CLOCK_ISO_SIZE])
{
	if (!ms) {
		str_copy_cut(out, CLOCK_ISO_SIZE, none);
		return;
	}
	clock_iso(ms, out);
	out[10] = ' ';
	out[16] = '\0';
}
