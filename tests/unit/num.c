#include "base/num.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <cmocka.h>

static void what_does_not_fit_becomes_the_nearest_that_does(void **state)
{
	static const struct {
		int64_t n;
		uint32_t is;
	} rows[] = {
		{ INT64_MIN, 0 },
		{ -1, 0 },
		{ 0, 0 },
		{ 1, 1 },
		{ UINT32_MAX - INT64_C(1), UINT32_MAX - 1 },
		{ UINT32_MAX, UINT32_MAX },
		{ UINT32_MAX + INT64_C(1), UINT32_MAX },
		{ UINT32_MAX + INT64_C(6), UINT32_MAX },
		{ INT64_MAX, UINT32_MAX },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		printf("%lld\n", (long long)rows[i].n);
		assert_int_equal(num_u32(rows[i].n), rows[i].is);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_does_not_fit_becomes_the_nearest_that_does),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
