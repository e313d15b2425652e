#include "base/json_scan.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

static struct json_value value_of(const char *text)
{
	static const struct json_limits lenient = {
		.max_depth = 64, .max_keys = 1000, .allow_duplicates = true
	};
	struct json_value v = { .raw = slice_of(text) };

	assert_int_equal(json_validate(v.raw, &lenient, &v.kind, NULL), ERR_OK);
	return v;
}

static void members_and_elements_are_walked_in_order(void **state)
{
	struct json_value v;
	struct json_iter it;
	struct slice key;

	(void)state;
	json_iter_init(&it, value_of("{ \"a\" : 1 , \"b}\\\"\":[ \"]\" , {} ],\"c\":\"\"}"));
	assert_true(json_iter_next(&it, &key, &v));
	assert_true(slice_is(key, "\"a\"") && v.kind == JSON_NUMBER && slice_is(v.raw, "1"));
	assert_true(json_iter_next(&it, &key, &v));
	assert_true(slice_is(key, "\"b}\\\"\"") && slice_is(v.raw, "[ \"]\" , {} ]"));
	assert_int_equal(v.kind, JSON_ARRAY);
	assert_true(json_iter_next(&it, &key, &v));
	assert_true(slice_is(v.raw, "\"\""));
	assert_false(json_iter_next(&it, &key, &v));
	assert_false(json_iter_next(&it, &key, &v));

	json_iter_init(&it, value_of("[ true,null , -1.5e3\n]"));
	for (int i = 0; i < 3; i++) {
		assert_true(json_iter_next(&it, &key, &v));
		assert_int_equal(key.len, 0);
	}
	assert_true(slice_is(v.raw, "-1.5e3"));
	assert_false(json_iter_next(&it, &key, &v));
}

/* Appends a string of up to 40 pieces, among them all that a walk could mistake for its end. */
static void put_string(struct buf *b)
{
	static const char *const pieces[] = { "\\\\", "\\\"", "\\\\\\\"", "{", "}", "[", "]", ":",
		",", "\\n", "x", "0123456789abcdef", "\\u005c", "\xc3\xa9" };

	buf_char(b, '"');
	for (int n = rand() % 40; n > 0; n--)
		buf_str(b, pieces[(size_t)rand() % (sizeof(pieces) / sizeof(pieces[0]))]);
	buf_char(b, '"');
}

static void put_value(struct buf *b, int depth)
{
	int n = rand() % 5;

	if (depth == 0 || n == 0) {
		put_string(b);
		return;
	}
	buf_char(b, depth % 2 ? '[' : '{');
	for (int i = 0; i < n; i++) {
		buf_str(b, i ? "," : "");
		if (depth % 2 == 0) {
			put_string(b);
			buf_char(b, ':');
		}
		put_value(b, depth - 1);
	}
	buf_char(b, depth % 2 ? ']' : '}');
}

static void a_container_ends_at_its_bracket_whatever_it_holds(void **state)
{
	struct buf b = { 0 };

	(void)state;
	srand(7);
	for (int round = 0; round < 3000; round++) {
		struct json_value v;
		struct json_iter it;
		struct slice key;
		size_t from;

		buf_reset(&b);
		buf_char(&b, '[');
		for (int blanks = rand() % 17; blanks > 0; blanks--)
			buf_char(&b, ' ');
		from = b.len;
		put_value(&b, 1 + rand() % 4);
		buf_str(&b, rand() % 2 ? ",7]" : ",\"a rather long text behind it\",7]");
		assert_true(buf_ok(&b));
		v = (struct json_value){ JSON_ARRAY, buf_slice(&b) };
		assert_int_equal(
			json_validate(v.raw,
				&(struct json_limits){
					.max_depth = 9, .max_keys = 99, .allow_duplicates = true },
				NULL, NULL),
			ERR_OK);
		json_iter_init(&it, v);
		assert_true(json_iter_next(&it, &key, &v));
		assert_ptr_equal(v.raw.ptr, b.data + from);
		assert_int_equal(v.raw.ptr[v.raw.len], ',');
		/* It is a whole value: not cut at another bracket, and nothing behind it. */
		assert_int_equal(
			json_validate(v.raw,
				&(struct json_limits){
					.max_depth = 9, .max_keys = 99, .allow_duplicates = true },
				NULL, NULL),
			ERR_OK);
	}
	buf_fini(&b);
}

static void a_text_is_lent_unless_it_has_escapes(void **state)
{
	struct json_value plain = value_of("\"caf\xc3\xa9\""), odd = value_of("\"a\\u0041\\n\"");
	struct buf room = { 0 };

	(void)state;
	assert_ptr_equal(json_str_text(plain, &room).ptr, plain.raw.ptr + 1);
	assert_true(slice_is(json_str_text(plain, &room), "caf\xc3\xa9"));
	for (int i = 0; i < 2; i++)
		assert_true(slice_is(json_str_text(odd, &room), "aA\n"));
	assert_int_equal(json_str_text(value_of("17"), &room).len, 0);
	assert_int_equal(json_str_text((struct json_value){ 0 }, &room).len, 0);
	buf_fini(&room);
}

static void a_value_is_written_without_blanks(void **state)
{
	static const char *const rows[][2] = {
		{ "{ \"a b\" : [ 1 ,\n\t2 ] , \"c\\\" d\" : { } }",
			"{\"a b\":[1,2],\"c\\\" d\":{}}" },
		{ "\" x \"", "\" x \"" },
		{ "-1.50e3", "-1.50e3" },
	};
	struct buf b = { 0 };

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		print_message("%s\n", rows[i][0]);
		buf_reset(&b);
		json_put_compact(value_of(rows[i][0]), &b);
		assert_true(slice_is(buf_slice(&b), rows[i][1]));
	}
	buf_fini(&b);
}

static void scalars_and_empty_containers_have_no_members(void **state)
{
	static const char *const texts[] = { "{}", "[ ]", "1", "\"[1]\"", "null", "true" };
	struct json_value v;
	struct json_iter it;
	struct slice key;

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		json_iter_init(&it, value_of(texts[i]));
		assert_false(json_iter_next(&it, &key, &v));
	}
	json_iter_init(&it, (struct json_value){ 0 });
	assert_false(json_iter_next(&it, &key, &v));
}

static void a_member_is_got_by_name_and_the_last_one_counts(void **state)
{
	struct json_value o = value_of("{\"a\":1,\"b\":{\"a\":9},\"\\u0061\":2,\"A\":3}");

	(void)state;
	assert_true(slice_is(json_get(o, "a").raw, "2"));
	assert_true(slice_is(json_get(json_get(o, "b"), "a").raw, "9"));
	assert_int_equal(json_get(o, "x").kind, JSON_ABSENT);
	assert_int_equal(json_get(value_of("[\"a\",1]"), "a").kind, JSON_ABSENT);
	assert_int_equal(json_get((struct json_value){ 0 }, "a").kind, JSON_ABSENT);
}

static void an_element_is_got_by_index(void **state)
{
	struct json_value a = value_of("[10,[20],30]");

	(void)state;
	assert_true(slice_is(json_at(a, 0).raw, "10"));
	assert_true(slice_is(json_at(json_at(a, 1), 0).raw, "20"));
	assert_true(slice_is(json_at(a, 2).raw, "30"));
	assert_int_equal(json_at(a, 3).kind, JSON_ABSENT);
	assert_int_equal(json_at(value_of("{\"0\":1}"), 0).kind, JSON_ABSENT);
}

static void a_string_is_compared_by_what_it_spells(void **state)
{
	(void)state;
	assert_true(json_str_is(SLICE("\"abc\""), "abc"));
	assert_true(json_str_is(SLICE("\"\\u0061b\\u0063\""), "abc"));
	assert_true(json_str_is(SLICE("\"\\ud83d\\ude00\""), "\xf0\x9f\x98\x80"));
	assert_true(json_str_is(SLICE("\"\""), ""));
	assert_false(json_str_is(SLICE("\"abc\""), "ab"));
	assert_false(json_str_is(SLICE("\"ab\""), "abc"));
	assert_false(json_str_is(SLICE("\"a\\u0000\""), "a"));
	assert_false(json_str_is(SLICE("\"a\\nb\""), "a\\nb"));
	assert_true(json_str_is(SLICE("\"a\\\\nb\""), "a\\nb"));
	assert_false(json_str_is(SLICE("abc"), "abc"));
}

static void a_string_is_decoded(void **state)
{
	struct json_value v = value_of(
		"\"x\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0041\\u00e9\\u20AC\\ud83d\\ude00\\u0000y\"");
	static const char want[] = "x\"\\/\b\f\n\r\tA\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\0y";
	struct buf b = { 0 };
	char small[8];

	(void)state;
	assert_true(json_str_decode(v, &b));
	assert_true(slice_eq(buf_slice(&b), (struct slice){ want, sizeof(want) - 1 }));
	assert_int_equal(json_str_bytes(v), sizeof(want) - 1);
	assert_false(json_str_decode(value_of("1"), &b));
	assert_int_equal(json_str_bytes(value_of("1")), 0);
	buf_fini(&b);

	assert_true(json_str_copy(value_of("\"abc\\u0064ef\""), small, 7));
	assert_string_equal(small, "abcdef");
	assert_false(json_str_copy(value_of("\"abcdef\""), small, 6));
	assert_string_equal(small, "");
	assert_false(json_str_copy(value_of("\"a\\u0000\""), small, sizeof(small)));
	assert_false(json_str_copy(value_of("7"), small, sizeof(small)));
	assert_true(json_str_copy(value_of("\"\""), small, 1));
}

static void truth_is_what_javascript_calls_it(void **state)
{
	static const char *const yes[] = { "true", "1", "-0.01", "1e-400", "\"0\"", "[0]",
		"{\"a\":null}" };
	static const char *const no[] = { "false", "null", "0", "-0", "0.000", "0e5", "\"\"", "[ ]",
		"{}" };

	(void)state;
	for (size_t i = 0; i < sizeof(yes) / sizeof(yes[0]); i++)
		assert_true(json_is_truthy(value_of(yes[i])));
	for (size_t i = 0; i < sizeof(no) / sizeof(no[0]); i++)
		assert_false(json_is_truthy(value_of(no[i])));
	assert_false(json_is_truthy((struct json_value){ 0 }));
	assert_true(json_is_true(value_of("true")));
	assert_false(json_is_true(value_of("\"true\"")));
	assert_false(json_is_true(value_of("1")));
}

static void integers_are_read_exactly_in_every_spelling(void **state)
{
	static const struct {
		const char *text;
		int64_t value;
	} good[] = { { "12", 12 }, { "-3", -3 }, { "12.0", 12 }, { "1e3", 1000 }, { "-0", 0 },
		{ "1.5e1", 15 }, { "1200E-2", 12 }, { "0.001e+3", 1 }, { "0e400", 0 },
		{ "0.00", 0 }, { "9223372036854775807", INT64_MAX },
		{ "-9223372036854775808", INT64_MIN }, { "-9223372036854775.808e3", INT64_MIN },
		{ "10000000000000000000000e-22", 1 }, { "1e18", 1000000000000000000 } };
	static const char *const bad[] = { "1.5", "1e-1", "1e400", "9223372036854775808", "1e19",
		"-9223372036854775809", "1e99999999999999999999", "\"1\"", "true", "null", "[1]",
		"1e-99999999999999999999" };
	int64_t n;

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		print_message("%s\n", good[i].text);
		assert_true(json_int(value_of(good[i].text), &n));
		assert_true(n == good[i].value);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		print_message("%s\n", bad[i]);
		n = 77;
		assert_false(json_int(value_of(bad[i]), &n));
		assert_int_equal(n, 77);
	}
}

/* Whatever the bytes are, the readers end and stay inside (the sanitizer watches the ends). */
static void readers_stay_inside_text_that_was_not_validated(void **state)
{
	static const char *const texts[] = { "{\"a", "{\"a\\", "[\"\\u12", "{\"a\":[", "[[[[",
		"{{}", "[1 2 3]", "{,}", "[,,]", "\"\\", "\"\\\"", "\"\\ud83d\\u\"", "[\"]",
		"{\"a\":}", "{1}", "-", "1e", "[\"a\"\"b\"]", "]", "[}]" };

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		for (int kind = JSON_ABSENT; kind <= JSON_OBJECT; kind++) {
			size_t n = strlen(texts[i]), steps = 0;
			char *copy = malloc(n), dst[4];
			struct json_value v = { (enum json_kind)kind, { copy, n } }, inner;
			struct buf out = { 0 };
			struct json_iter it;
			struct slice key;
			int64_t number;
			bool read;

			assert_non_null(copy);
			memcpy(copy, texts[i], n);
			json_iter_init(&it, v);
			while (json_iter_next(&it, &key, &inner)) {
				assert_true(++steps <= n);
				assert_true(inner.raw.ptr >= copy &&
					    inner.raw.ptr + inner.raw.len <= copy + n);
			}
			(void)json_get(v, "a");
			(void)json_str_is(v.raw, "a");
			(void)json_is_truthy(v);
			(void)!json_int(v, &number);
			read = json_str_decode(v, &out);
			assert_true(out.len == 0 || read);
			assert_int_equal(json_str_bytes(v), out.len);
			read = json_str_copy(v, dst, sizeof(dst));
			assert_true(read || !dst[0]);
			buf_fini(&out);
			free(copy);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(members_and_elements_are_walked_in_order),
		cmocka_unit_test(a_container_ends_at_its_bracket_whatever_it_holds),
		cmocka_unit_test(a_text_is_lent_unless_it_has_escapes),
		cmocka_unit_test(a_value_is_written_without_blanks),
		cmocka_unit_test(scalars_and_empty_containers_have_no_members),
		cmocka_unit_test(a_member_is_got_by_name_and_the_last_one_counts),
		cmocka_unit_test(an_element_is_got_by_index),
		cmocka_unit_test(a_string_is_compared_by_what_it_spells),
		cmocka_unit_test(a_string_is_decoded),
		cmocka_unit_test(truth_is_what_javascript_calls_it),
		cmocka_unit_test(integers_are_read_exactly_in_every_spelling),
		cmocka_unit_test(readers_stay_inside_text_that_was_not_validated),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
