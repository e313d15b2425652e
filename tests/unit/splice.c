#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "gateway/providers/splice.h"

/* The first piece of text that reads so. */
static struct slice piece(struct slice text, const char *reads)
{
	const char *at = strstr(text.ptr, reads);

	assert_non_null(at);
	return (struct slice){ at, strlen(reads) };
}

static void check(const struct splice *s, struct slice text, const char *want)
{
	struct buf out = { 0 };

	buf_str(&out, "<");
	splice_write(s, text, &out);
	assert_string_equal(buf_cstr(&out), want);
	buf_fini(&out);
}

static void pieces_are_replaced_in_whatever_order_they_are_named(void **state)
{
	struct slice text = SLICE("one two three");
	struct splice s = { 0 };

	(void)state;
	splice_reset(&s, 100);
	assert_true(splice_is_empty(&s));
	check(&s, text, "<one two three");
	splice_str(&s, piece(text, "three"), "3");
	splice_str(&s, piece(text, "one"), "1");
	splice_str(&s, slice_first(piece(text, "two"), 0), "and ");
	assert_false(splice_is_empty(&s));
	check(&s, text, "<1 and two 3");
	splice_fini(&s);
}

/* Nothing is put in, so there is no text to put in either. */
static void a_piece_that_only_goes_leaves_the_rest(void **state)
{
	struct slice text = SLICE("one two three");
	struct splice s = { 0 };

	(void)state;
	splice_reset(&s, 100);
	splice_str(&s, piece(text, " two"), "");
	check(&s, text, "<one three");
	splice_fini(&s);
}

static void what_does_not_fit_fails_the_output(void **state)
{
	struct slice text = SLICE("one two three");
	struct splice s = { 0 };
	struct buf out = { 0 };

	(void)state;
	splice_reset(&s, 4);
	splice_str(&s, piece(text, "two"), "much too long");
	splice_write(&s, text, &out);
	assert_false(buf_ok(&out));
	buf_fini(&out);
	splice_fini(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pieces_are_replaced_in_whatever_order_they_are_named),
		cmocka_unit_test(a_piece_that_only_goes_leaves_the_rest),
		cmocka_unit_test(what_does_not_fit_fails_the_output),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
