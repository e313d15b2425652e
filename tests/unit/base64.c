#include "base/base64.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static void the_common_form_has_other_letters_and_padding(void **state)
{
	static const struct {
		struct slice bytes;
		const char *text;
	} cases[] = {
		{ SLICE(""), "" },
		{ SLICE("f"), "Zg==" },
		{ SLICE("fo"), "Zm8=" },
		{ SLICE("foo"), "Zm9v" },
		{ SLICE("foobar"), "Zm9vYmFy" },
		{ SLICE("\xfb\xff\xfe\xff"), "+//+/w==" },
	};
	static const char *const wrong[] = { "Zg",
		"Zg=", "Zg===", "Z===", "====", "Zh==", "Zm9=", "-__-", "Zm9v\n", "Zm 9", "=Zm9" };
	struct buf out = { 0 };

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		buf_reset(&out);
		base64_write(cases[i].bytes, &out);
		assert_true(slice_is(buf_slice(&out), cases[i].text));
		buf_reset(&out);
		assert_true(base64_read(slice_of(cases[i].text), &out));
		assert_true(slice_eq(buf_slice(&out), cases[i].bytes));
	}
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		if (base64_read(slice_of(wrong[i]), &out))
			fail_msg("\"%s\" was read", wrong[i]);
	buf_fini(&out);
}

/* RFC 4648 section 10, without padding, and the two letters that base64url has for itself. */
static void bytes_are_written_and_read_as_the_standard_says(void **state)
{
	static const struct {
		struct slice bytes;
		const char *text;
	} cases[] = {
		{ SLICE(""), "" },
		{ SLICE("f"), "Zg" },
		{ SLICE("fo"), "Zm8" },
		{ SLICE("foo"), "Zm9v" },
		{ SLICE("foob"), "Zm9vYg" },
		{ SLICE("fooba"), "Zm9vYmE" },
		{ SLICE("foobar"), "Zm9vYmFy" },
		{ SLICE("\xfb\xff\xfe"), "-__-" },
		{ SLICE("\0\0"), "AAA" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct buf out = { 0 };

		print_message("%s\n", cases[i].text);
		base64_url_write(cases[i].bytes, &out);
		assert_true(slice_is(buf_slice(&out), cases[i].text));
		buf_reset(&out);
		assert_true(base64_url_read(slice_of(cases[i].text), &out));
		assert_true(slice_eq(buf_slice(&out), cases[i].bytes));
		buf_fini(&out);
	}
}

static void every_byte_and_length_comes_back(void **state)
{
	char bytes[300];

	(void)state;
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (char)(i * 167);
	for (size_t n = 0; n <= sizeof(bytes); n++) {
		struct slice all = { bytes, n };
		struct buf text = { 0 }, back = { 0 };

		base64_url_write(all, &text);
		assert_int_equal(text.len, (n * 8 + 5) / 6);
		assert_true(base64_url_read(buf_slice(&text), &back));
		assert_true(slice_eq(buf_slice(&back), all));
		buf_fini(&text);
		buf_fini(&back);
	}
}

static void a_second_spelling_or_a_foreign_letter_is_refused(void **state)
{
	static const struct slice bad[] = { SLICE("Z"), SLICE("Zg=="), SLICE("Zg="), SLICE("Zm8="),
		SLICE("Zm9vY"), SLICE("Zh"), SLICE("Zo"), SLICE("Zm9"), SLICE("Zm-v "),
		SLICE(" Zm9v"), SLICE("Zm9v\n"), SLICE("Zm+v"), SLICE("Zm/v"), SLICE("Zm9v\0"),
		SLICE("Zm\0v"), SLICE("Zm9v.Zm9v"), SLICE("Zm\xc3\xa4"), SLICE("====") };
	struct buf out = { 0 };

	(void)state;
	buf_str(&out, "kept");
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		print_message("%.*s\n", SLICE_ARG(bad[i]));
		assert_false(base64_url_read(bad[i], &out));
		assert_true(slice_is(buf_slice(&out), "kept"));
	}
	assert_true(buf_ok(&out));
	buf_fini(&out);
}

/* Of the 64 x 64 texts of two letters, exactly 256 are read, one for each byte. */
static void one_text_stands_for_one_byte(void **state)
{
	static const char letters[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
	bool seen[256] = { false };
	struct buf out = { 0 };
	unsigned n = 0;

	(void)state;
	for (size_t a = 0; a < 64; a++)
		for (size_t b = 0; b < 64; b++) {
			char text[] = { letters[a], letters[b] };

			buf_reset(&out);
			if (!base64_url_read((struct slice){ text, 2 }, &out))
				continue;
			assert_int_equal(out.len, 1);
			assert_false(seen[(unsigned char)out.data[0]]);
			seen[(unsigned char)out.data[0]] = true;
			n++;
		}
	assert_int_equal(n, 256);
	buf_fini(&out);
}

static void the_ceiling_of_the_buffer_counts(void **state)
{
	struct buf out = { .max_bytes = 8 };

	(void)state;
	assert_false(base64_url_read(SLICE("AAAAAAAAAAAAAAAA"), &out));
	assert_false(buf_ok(&out));
	assert_int_equal(out.len, 0);
	buf_fini(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_common_form_has_other_letters_and_padding),
		cmocka_unit_test(bytes_are_written_and_read_as_the_standard_says),
		cmocka_unit_test(every_byte_and_length_comes_back),
		cmocka_unit_test(a_second_spelling_or_a_foreign_letter_is_refused),
		cmocka_unit_test(one_text_stands_for_one_byte),
		cmocka_unit_test(the_ceiling_of_the_buffer_counts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
