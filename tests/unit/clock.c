#include "base/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static void a_time_is_written_in_utc(void **state)
{
	static const struct {
		int64_t ms;
		const char *text;
	} rows[] = { { 0, "1970-01-01T00:00:00.000Z" },
		{ INT64_C(1795251406123), "2026-11-21T08:56:46.123Z" },
		{ INT64_C(951782400007), "2000-02-29T00:00:00.007Z" },
		{ -1, "1969-12-31T23:59:59.999Z" }, { -1000, "1969-12-31T23:59:59.000Z" },
		{ INT64_C(253402300799999), "9999-12-31T23:59:59.999Z" },
		{ INT64_MAX, "9999-12-31T23:59:59.999Z" },
		{ INT64_MIN, "0000-01-01T00:00:00.000Z" },
		{ INT64_C(-61125753600000), "0033-01-01T00:00:00.000Z" } };
	char out[CLOCK_ISO_SIZE];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		clock_iso(rows[i].ms, out);
		assert_string_equal(out, rows[i].text);
	}
}

static void the_clocks_agree_on_their_units(void **state)
{
	int64_t ms = clock_mono_ms(), us = clock_mono_us(), later = clock_mono_ms();

	(void)state;
	assert_true(ms <= us / 1000 && us / 1000 <= later);
	assert_true(clock_wall_ms() > INT64_C(1700000000000)); /* 2023: milliseconds, not seconds */
	assert_true(clock_wall_ms() < INT64_C(253402300800000));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_time_is_written_in_utc),
		cmocka_unit_test(the_clocks_agree_on_their_units),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
