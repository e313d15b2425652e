#include "base/buf.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

static void a_failed_append_is_remembered_and_changes_nothing(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 10);
	buf_str(&b, "12345678");
	buf_str(&b, "90x");
	assert_false(buf_ok(&b));
	buf_char(&b, '9');
	assert_true(slice_is(buf_slice(&b), "12345678"));
	assert_null(buf_cstr(&b));
	assert_null(buf_room(&b, 1));
	buf_reset(&b);
	assert_true(buf_ok(&b));
	buf_str(&b, "1234567890");
	assert_true(buf_ok(&b));
	buf_fini(&b);
	assert_int_equal(b.max_bytes, 10);
	buf_fini(&b);
}

static void the_ceiling_is_reached_exactly_by_every_writer(void **state)
{
	char text[1002];
	struct buf b;

	(void)state;
	memset(text, 'x', 1001);
	text[1001] = '\0';
	for (size_t n = 1; n <= 1000; n += 37) {
		buf_init(&b, n);
		buf_printf(&b, "%.*s", (int)n, text);
		assert_true(buf_ok(&b));
		assert_int_equal(strlen(buf_cstr(&b)), n);
		assert_int_equal(b.len, n);
		buf_reset(&b);
		buf_printf(&b, "%.*s", (int)n + 1, text);
		assert_false(buf_ok(&b));
		assert_int_equal(b.len, 0);
		buf_fini(&b);
	}
}

static void room_of_the_callers_is_filled_up_to_a_nul_and_never_left(void **state)
{
	char room[8];
	struct buf b = buf_over(room, sizeof(room));
	const char *text;

	(void)state;
	buf_append(&b, "1234567", 7);
	text = buf_cstr(&b);
	assert_ptr_equal(text, room);
	assert_string_equal(room, "1234567");
	buf_char(&b, '8');
	assert_false(buf_ok(&b));
	assert_ptr_equal(b.data, room);
	b = buf_over(room, sizeof(room));
	buf_append(&b, "12345678", 8);
	assert_false(buf_ok(&b));
	assert_int_equal(b.len, 0);
}

static void an_empty_buffer_is_valid(void **state)
{
	struct buf b = { 0 };

	(void)state;
	assert_int_equal(buf_slice(&b).len, 0);
	assert_non_null(buf_slice(&b).ptr);
	buf_append(&b, "", 0);
	buf_drop(&b, 5);
	assert_string_equal(buf_cstr(&b), "");
	buf_fini(&b);
	assert_non_null(buf_room(&b, 0));
	buf_fini(&b);
}

static void the_standard_ceiling_is_sixteen_mebibytes(void **state)
{
	struct buf b = { 0 };

	(void)state;
	assert_non_null(buf_room(&b, BUF_MAX_DEFAULT));
	assert_null(buf_room(&b, BUF_MAX_DEFAULT + 1));
	assert_false(buf_ok(&b));
	buf_fini(&b);
}

static void writers_append_in_order(void **state)
{
	struct buf b = { 0 };
	char *room;

	(void)state;
	buf_int(&b, INT64_MIN);
	buf_char(&b, ' ');
	buf_int(&b, INT64_MAX);
	buf_int(&b, 0);
	buf_printf(&b, " %d-%s ", 7, "x");
	room = buf_room(&b, 100);
	assert_non_null(room);
	memcpy(room, "abc", 3);
	buf_commit(&b, 3);
	buf_slice_append(&b, SLICE("d\0e"));
	assert_true(slice_eq(
		buf_slice(&b), SLICE("-9223372036854775808 92233720368547758070 7-x abcd\0e")));
	buf_drop(&b, 49);
	assert_true(slice_eq(buf_slice(&b), SLICE("d\0e")));
	buf_drop(&b, 99);
	assert_int_equal(b.len, 0);
	buf_fini(&b);
}

static void a_json_string_is_always_valid_json(void **state)
{
	static const struct {
		struct slice text;
		const char *json;
	} rows[] = { { SLICE(""), "\"\"" }, { SLICE("a/b\xc3\xa9"), "\"a/b\xc3\xa9\"" },
		{ SLICE("\"\\\n\t\r\b\0\x1f\x7f"),
			"\"\\\"\\\\\\n\\t\\r\\u0008\\u0000\\u001f\\u007f\"" },
		{ SLICE("\xff"), "\"\xef\xbf\xbd\"" },
		{ SLICE("a\xe2\x82"), "\"a\xef\xbf\xbd\xef\xbf\xbd\"" },
		{ SLICE("\xed\xa0\x80!"), "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd!\"" } };
	struct buf b = { 0 };

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		print_message("%s\n", rows[i].json);
		buf_reset(&b);
		buf_json_str(&b, rows[i].text);
		assert_string_equal(buf_cstr(&b), rows[i].json);
	}
	buf_reset(&b);
	buf_json_cstr(&b, NULL);
	buf_json_cstr(&b, "x");
	assert_string_equal(buf_cstr(&b), "null\"x\"");
	buf_fini(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_failed_append_is_remembered_and_changes_nothing),
		cmocka_unit_test(the_ceiling_is_reached_exactly_by_every_writer),
		cmocka_unit_test(room_of_the_callers_is_filled_up_to_a_nul_and_never_left),
		cmocka_unit_test(an_empty_buffer_is_valid),
		cmocka_unit_test(the_standard_ceiling_is_sixteen_mebibytes),
		cmocka_unit_test(writers_append_in_order),
		cmocka_unit_test(a_json_string_is_always_valid_json),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
