#include "base/clock.h"

#include <stdio.h>
#include <time.h>

static int64_t read_us(clockid_t which)
{
	struct timespec t;

	clock_gettime(which, &t);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

int64_t clock_wall_ms(void)
{
	return read_us(CLOCK_REALTIME) / 1000;
}

int64_t clock_mono_ms(void)
{
	return read_us(CLOCK_MONOTONIC) / 1000;
}

int64_t clock_mono_us(void)
{
	return read_us(CLOCK_MONOTONIC);
}

void clock_iso(int64_t wall_ms, char out[CLOCK_ISO_SIZE])
{
	const int64_t year_0 = INT64_C(-62167219200000), year_10000 = INT64_C(253402300800000);
	time_t seconds;
	int64_t ms;
	struct tm t;

	if (wall_ms < year_0)
		wall_ms = year_0;
	if (wall_ms >= year_10000)
		wall_ms = year_10000 - 1;
	ms = (wall_ms % 1000 + 1000) % 1000; /* before 1970 too, count up from the second */
	seconds = (time_t)((wall_ms - ms) / 1000);
	gmtime_r(&seconds, &t);
	/* strftime() would write the year 33 with two digits. The moduli only tell the compiler
	 * what is so anyway: that all fits. */
	snprintf(out, CLOCK_ISO_SIZE, "%04u-%02u-%02uT%02u:%02u:%02u.%03uZ",
		(unsigned)(t.tm_year + 1900) % 10000, (unsigned)(t.tm_mon + 1) % 100,
		(unsigned)t.tm_mday % 100, (unsigned)t.tm_hour % 100, (unsigned)t.tm_min % 100,
		(unsigned)t.tm_sec % 100, (unsigned)ms % 1000);
}
