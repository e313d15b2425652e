#include "base/json.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

static void a_tree_is_written_as_it_was_read(void **state)
{
	static const char *const texts[] = { "{\"a\":[1,-2,true,null,\"x/y\",{}],\"b\":\"\"}", "[]",
		"\"\xc3\xa9\xf0\x9f\x98\x80\"", "12", "-9223372036854775808",
		"18446744073709551615", "1.10", "1e400", "null", "true", "{\"a\":\"x\\u0000y\"}" };
	struct json_object *tree;
	struct buf out = { 0 };
	struct err e = { 0 };

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		size_t n = strlen(texts[i]);
		char *copy = malloc(n); /* without a NUL behind it */

		print_message("%s\n", texts[i]);
		assert_non_null(copy);
		memcpy(copy, texts[i], n);
		assert_int_equal(json_read((struct slice){ copy, n }, 4, &tree, &e), ERR_OK);
		buf_reset(&out);
		json_write(tree, &out);
		assert_string_equal(buf_cstr(&out), texts[i]);
		json_object_put(tree);
		free(copy);
	}
	buf_fini(&out);
}

static void what_is_no_json_is_refused_with_its_offset(void **state)
{
	static const struct {
		const char *text, *message;
	} rows[] = { { "{\"a\":NaN}", "byte 5: " }, { "[1,]", "byte 3: " }, { "", "byte 0: " },
		{ "{'a':1}", "byte 1: " }, { "\"\\ud800\"", "byte 1: " }, { "\"\t\"", "byte 1: " },
		{ "{} x", "byte 3: " }, { "[01]", "byte 2: " }, { "\"\xff\"", "byte 1: " },
		{ "18446744073709551616", "byte 0: an integer" },
		{ "[-9223372036854775809]", "byte 1: an integer" },
		{ "{\"s\":\"\\u0000\",\"a\\u0000b\" :1}", "byte 14: \\u0000 in a key" } };
	struct json_object *tree;
	struct err e;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		tree = (struct json_object *)1;
		assert_int_equal(json_read(slice_of(rows[i].text), 9, &tree, &e), ERR_BAD_REQUEST);
		print_message("%s -> %s\n", rows[i].text, e.message);
		assert_null(tree);
		assert_true(slice_starts(slice_of(e.message), rows[i].message));
	}
}

static void depth_is_counted_as_the_caller_says(void **state)
{
	static const unsigned depths[] = { 1, 2, 32, 33, 200, 1000 };
	struct json_object *tree;
	char text[2002];
	struct err e;

	(void)state;
	for (size_t i = 0; i < sizeof(depths) / sizeof(depths[0]); i++) {
		size_t d = depths[i];

		memset(text, '[', d);
		memset(text + d, ']', d);
		assert_int_equal(
			json_read((struct slice){ text, 2 * d }, depths[i], &tree, &e), ERR_OK);
		json_object_put(tree);
		memset(text, '[', d + 1);
		memset(text + d + 1, ']', d + 1);
		assert_int_equal(json_read((struct slice){ text, 2 * d + 2 }, depths[i], &tree, &e),
			ERR_BAD_REQUEST);
	}
}

static void the_last_of_duplicate_keys_counts(void **state)
{
	struct json_object *tree;

	(void)state;
	assert_int_equal(json_read(SLICE("{\"a\":1,\"a\":2}"), 4, &tree, NULL), ERR_OK);
	assert_int_equal(json_member_int(tree, "a", 0), 2);
	json_object_put(tree);
}

static void members_of_another_type_count_as_absent(void **state)
{
	struct json_object *o;

	(void)state;
	assert_int_equal(json_read(SLICE("{\"s\":\"text\",\"i\":-7,\"b\":true,\"n\":null,\"d\":1.5,"
					 "\"z\":\"a\\u0000b\",\"big\":9223372036854775808,"
					 "\"max\":9223372036854775807}"),
				 4, &o, NULL),
		ERR_OK);
	assert_string_equal(json_member_str(o, "s", "no"), "text");
	assert_int_equal(json_member_int(o, "i", 1), -7);
	assert_true(json_member_bool(o, "b", false));
	assert_true(json_member_int(o, "max", 1) == INT64_MAX);
	assert_string_equal(json_member_str(o, "i", "no"), "no");
	assert_string_equal(json_member_str(o, "z", "no"), "no");
	assert_string_equal(json_member_str(o, "n", "no"), "no");
	assert_null(json_member_str(o, "absent", NULL));
	assert_int_equal(json_member_int(o, "s", 1), 1);
	assert_int_equal(json_member_int(o, "d", 1), 1);
	assert_int_equal(json_member_int(o, "big", 1), 1);
	assert_true(json_member_bool(o, "i", true));
	assert_int_equal(json_member_int(NULL, "i", 1), 1);
	assert_int_equal(json_member_int(json_object_object_get(o, "s"), "i", 1), 1);
	json_object_put(o);
}

static void write_file(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
}

static void a_file_is_read_whole_or_refused_by_name(void **state)
{
	char folder[] = "/tmp/json.XXXXXX", path[64];
	struct json_object *tree;
	struct err e;

	(void)state;
	assert_non_null(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/a.json", folder);
	assert_int_equal(json_read_file(path, 100, &tree, &e), ERR_IO);
	assert_non_null(strstr(e.message, path));
	assert_null(tree);

	write_file(path, "{\"a\":1}\n");
	assert_int_equal(json_read_file(path, 8, &tree, &e), ERR_OK);
	assert_int_equal(json_member_int(tree, "a", 0), 1);
	json_object_put(tree);
	assert_int_equal(json_read_file(path, 7, &tree, &e), ERR_TOO_LARGE);
	assert_non_null(strstr(e.message, path));

	write_file(path, "{\"a\":1,\"a\":2}");
	assert_int_equal(json_read_file(path, 100, &tree, &e), ERR_BAD_REQUEST);
	assert_non_null(strstr(e.message, path));
	assert_non_null(strstr(e.message, "byte 7: duplicate key"));

	assert_int_equal(unlink(path), 0);
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_int_equal(json_read_file(path, 100, &tree, &e), ERR_IO);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(json_read_file(folder, 100, &tree, &e), ERR_IO);
	assert_int_equal(rmdir(folder), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_tree_is_written_as_it_was_read),
		cmocka_unit_test(what_is_no_json_is_refused_with_its_offset),
		cmocka_unit_test(depth_is_counted_as_the_caller_says),
		cmocka_unit_test(the_last_of_duplicate_keys_counts),
		cmocka_unit_test(members_of_another_type_count_as_absent),
		cmocka_unit_test(a_file_is_read_whole_or_refused_by_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
