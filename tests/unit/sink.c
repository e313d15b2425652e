#include "base/sink.h"

#include <setjmp.h>
#include <stdio.h>
#include <cmocka.h>

static void a_line_is_name_colon_value(void **state)
{
	struct buf b = { 0 };

	(void)state;
	assert_true(head_add(&b, "X-Request-Id", "a b;c"));
	assert_true(head_add(&b, "X-Empty", ""));
	assert_true(slice_is(buf_slice(&b), "X-Request-Id: a b;c\r\nX-Empty: \r\n"));
	buf_fini(&b);
}

static void what_would_break_the_block_is_refused_whole(void **state)
{
	static const struct {
		const char *name, *value;
	} rows[] = { { "", "v" }, { "A B", "v" }, { "A:", "v" }, { "A\r\nB", "v" },
		{ "A\xc3", "v" }, { "A", "v\r\nSet-Cookie: x" }, { "A", "v\n" }, { "A", "\r" },
		{ "A", "a\tb" }, { "A", "\x01" }, { "A", "\x7f" } };
	struct buf b = { 0 };

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		print_message("row %zu\n", i);
		assert_false(head_add(&b, rows[i].name, rows[i].value));
		assert_int_equal(b.len, 0);
	}
	assert_true(head_add(&b, "A", "\xc3\xa9")); /* bytes from 0x80 on are text */
	buf_fini(&b);
}

static void a_line_that_does_not_fit_leaves_nothing(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 10);
	assert_true(head_add(&b, "A", "bcd"));
	assert_false(head_add(&b, "E", "f"));
	assert_true(slice_is(buf_slice(&b), "A: bcd\r\n"));
	buf_fini(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_line_is_name_colon_value),
		cmocka_unit_test(what_would_break_the_block_is_refused_whole),
		cmocka_unit_test(a_line_that_does_not_fit_leaves_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
