#include "base/str.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

static const struct slice none = { NULL, 0 };

static void slices_compare_by_content(void **state)
{
	(void)state;
	assert_true(slice_eq(none, SLICE("")));
	assert_true(slice_eq(SLICE("a\0b"), SLICE("a\0b")));
	assert_false(slice_eq(SLICE("a\0b"), SLICE("a\0c")));
	assert_true(slice_is(SLICE("abc"), "abc") && !slice_is(SLICE("abc"), "ab"));
	assert_true(slice_is(SLICE(""), "") && slice_is((struct slice){ NULL, 0 }, NULL));
	assert_false(slice_is(SLICE("a"), NULL) || slice_is(SLICE("\0"), ""));
	assert_true(slice_is_nocase(SLICE("aBc"), "AbC"));
	assert_false(slice_is_nocase(SLICE("["), "{") || slice_is_nocase(SLICE(""), "a"));
	assert_true(slice_is_nocase(SLICE("Content-TYPE"), "content-type"));
	assert_false(slice_is_nocase(SLICE("a["), "a{")); /* a letter apart by 0x20, but none */
	assert_true(slice_starts(SLICE("abc"), "ab") && !slice_starts(SLICE("a"), "ab"));
	assert_true(slice_starts_nocase(SLICE("Bearer x"), "bearer "));
	assert_true(slice_ends(SLICE("abc"), "bc") && !slice_ends(SLICE("c"), "bc"));
	assert_true(slice_starts(none, "") && slice_ends(none, "") && !slice_starts(none, "a"));
}

static void slices_are_cut_within_their_bounds(void **state)
{
	struct slice rest = SLICE("a,,b");

	(void)state;
	assert_true(slice_is(slice_trim(SLICE(" \t\r\n a b \n")), "a b"));
	assert_int_equal(slice_trim(SLICE("  ")).len, 0);
	assert_true(slice_is(slice_from(SLICE("abc"), 1), "bc"));
	assert_int_equal(slice_from(SLICE("abc"), 9).len, 0);
	assert_true(slice_is(slice_first(SLICE("abc"), 2), "ab"));
	assert_true(slice_is(slice_first(SLICE("abc"), 9), "abc"));
	assert_true(slice_is(slice_cut(&rest, ','), "a"));
	assert_true(slice_is(slice_cut(&rest, ','), ""));
	assert_non_null(rest.ptr);
	assert_true(slice_is(slice_cut(&rest, ','), "b"));
	assert_null(rest.ptr);
	assert_int_equal(slice_cut(&rest, ',').len, 0);
}

static void copies_fit_or_say_so(void **state)
{
	char dst[5] = "####";

	(void)state;
	assert_true(slice_copy(SLICE("abcd"), dst, sizeof(dst)));
	assert_string_equal(dst, "abcd");
	assert_false(slice_copy(SLICE("abcde"), dst, sizeof(dst)));
	assert_string_equal(dst, "");
	assert_false(slice_copy(SLICE("a\0b"), dst, sizeof(dst)));
	assert_true(slice_copy(none, dst, 1));
	str_copy_cut(dst, sizeof(dst), "abcdef");
	assert_string_equal(dst, "abcd");
	str_copy_cut(dst, sizeof(dst), "abc\xc3\xa9");
	assert_string_equal(dst, "abc");
	str_copy_cut(dst, sizeof(dst), "ab\xc3\xa9");
	assert_string_equal(dst, "ab\xc3\xa9");
	str_copy_cut(dst, sizeof(dst), NULL);
	assert_string_equal(dst, "");
}

static void only_whole_numbers_in_range_are_read(void **state)
{
	static const char *const bad[] = { "", "-", "+1", " 1", "1 ", "1.0", "0x1", "1e3", "--1",
		"9223372036854775808", "-9223372036854775809", "99999999999999999999" };
	int64_t n = 5;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		print_message("%s\n", bad[i]);
		assert_false(str_int(slice_of(bad[i]), INT64_MIN, INT64_MAX, &n));
	}
	assert_false(str_int(SLICE("1\0"), 0, 9, &n));
	assert_false(str_int(SLICE("10"), 0, 9, &n));
	assert_false(str_int(SLICE("-1"), 0, 9, &n));
	assert_int_equal(n, 5);
	assert_true(str_int(SLICE("-9223372036854775808"), INT64_MIN, INT64_MAX, &n));
	assert_true(n == INT64_MIN);
	assert_true(str_int(SLICE("9223372036854775807"), INT64_MIN, INT64_MAX, &n));
	assert_true(n == INT64_MAX);
}

static void durations_and_sizes_have_units(void **state)
{
	static const struct {
		const char *text;
		int64_t ms, bytes; /* -1 = refused */
	} rows[] = { { "0", 0, 0 }, { "250ms", 250, -1 }, { "10s", 10000, -1 },
		{ "5m", 300000, 5 << 20 }, { "2h", 7200000, -1 }, { "7d", 604800000, -1 },
		{ "30", 30000, 30 }, { "64k", -1, 64 << 10 }, { "64KiB", -1, 64 << 10 },
		{ "32MB", -1, 32 << 20 }, { "1g", -1, 1 << 30 }, { "", -1, -1 }, { "k", -1, -1 },
		{ "s", -1, -1 }, { "-5s", -1, -1 }, { "1.5h", -1, -1 }, { "1 m", -1, -1 },
		{ "5x", -1, -1 }, { "9223372036854775807d", -1, -1 },
		{ "9223372036854775807g", -1, -1 } };

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		int64_t ms = -1, bytes = -1;

		print_message("%s\n", rows[i].text);
		assert_int_equal(str_duration(slice_of(rows[i].text), &ms), rows[i].ms >= 0);
		assert_true(ms == rows[i].ms);
		assert_int_equal(str_size(slice_of(rows[i].text), &bytes), rows[i].bytes >= 0);
		assert_true(bytes == rows[i].bytes);
	}
}

static void switches_are_words_in_any_case(void **state)
{
	bool on = false;

	(void)state;
	assert_true(str_bool(SLICE("On"), &on) && on);
	assert_true(str_bool(SLICE("NO"), &on) && !on);
	assert_true(str_bool(SLICE("1"), &on) && on);
	assert_false(str_bool(SLICE("2"), &on));
	assert_false(str_bool(SLICE(""), &on));
	assert_true(on);
}

static void every_code_point_and_nothing_else_is_valid_utf8(void **state)
{
	char text[16];
	size_t bad;

	(void)state;
	/* Behind eight plain bytes, so that the fast path is left in the middle. */
	memcpy(text, "12345678", 8);
	for (unsigned first = 0x80; first < 0x100; first++) {
		for (unsigned second = 0; second < 0x100; second++) {
			bool two =
				first >= 0xc2 && first <= 0xdf && second >= 0x80 && second <= 0xbf;
			bool three = first >= 0xe0 && first <= 0xef && second >= 0x80 &&
				     second <= 0xbf && !(first == 0xe0 && second < 0xa0) &&
				     !(first == 0xed && second >= 0xa0);
			bool four = first >= 0xf0 && first <= 0xf4 && second >= 0x80 &&
				    second <= 0xbf && !(first == 0xf0 && second < 0x90) &&
				    !(first == 0xf4 && second >= 0x90);

			text[8] = (char)first;
			text[9] = (char)second;
			text[10] = text[11] = '\x80';
			assert_int_equal(utf8_is_valid((struct slice){ text, 10 }, &bad), two);
			assert_int_equal(utf8_is_valid((struct slice){ text, 11 }, &bad), three);
			assert_int_equal(utf8_is_valid((struct slice){ text, 12 }, &bad), four);
		}
	}
	assert_false(utf8_is_valid(SLICE("1234567890\xc3\xa9\xff"), &bad));
	assert_int_equal(bad, 12);
	assert_true(utf8_is_valid(none, NULL));
}

static void an_incomplete_end_is_left_out(void **state)
{
	static const struct {
		const char *text;
		size_t whole;
	} rows[] = { { "", 0 }, { "a", 1 }, { "a\xc3", 1 }, { "a\xc3\xa9", 3 }, { "a\xe2\x82", 1 },
		{ "a\xe2\x82\xac", 4 }, { "a\xf0\x9f\x98", 1 }, { "a\xf0\x9f\x98\x80", 5 },
		{ "\x80\x80\x80\x80", 4 }, { "\xc3", 0 } };

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_int_equal(utf8_whole(slice_of(rows[i].text)), rows[i].whole);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(slices_compare_by_content),
		cmocka_unit_test(slices_are_cut_within_their_bounds),
		cmocka_unit_test(copies_fit_or_say_so),
		cmocka_unit_test(only_whole_numbers_in_range_are_read),
		cmocka_unit_test(durations_and_sizes_have_units),
		cmocka_unit_test(switches_are_words_in_any_case),
		cmocka_unit_test(every_code_point_and_nothing_else_is_valid_utf8),
		cmocka_unit_test(an_incomplete_end_is_left_out),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
