#include "gateway/providers/think_tags.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

static void check(
	const char *said, size_t first, size_t step, const char *text, const char *thought)
{
	struct think_tags t = { .state = THINK_BEFORE };
	struct buf texts = { 0 }, thoughts = { 0 };
	struct slice rest = slice_of(said);
	size_t n = first;

	while (rest.len) {
		think_tags_feed(&t, slice_first(rest, n), &texts, &thoughts);
		rest = slice_from(rest, n);
		n = step;
	}
	think_tags_end(&t, &texts, &thoughts);
	assert_int_equal(t.state, THINK_OVER);
	assert_string_equal(buf_cstr(&texts), text);
	assert_string_equal(buf_cstr(&thoughts), thought);
	buf_fini(&texts);
	buf_fini(&thoughts);
}

static void thoughts_are_parted_wherever_the_text_is_cut(void **state)
{
	static const struct {
		const char *said, *text, *thought;
	} cases[] = {
		{ "", "", "" },
		{ "plain", "plain", "" },
		{ " \n plain", " \n plain", "" },
		{ "<think>a</think>b", "b", "a" },
		{ "\n <think>\n a\n</think>\n\nb\n", "b\n", "a\n" },
		{ "<think></think>b", "b", "" },
		{ "<think>a", "", "a" },
		{ "<think>a</thin", "", "a</thin" },
		{ "<think>a</thi</think>b", "b", "a</thi" },
		{ "<think>a<</think>b", "b", "a<" },
		{ "<think>a</</think>b", "b", "a</" },
		{ "<thinking>a", "<thinking>a", "" },
		{ "<<think>a</think>", "<<think>a</think>", "" },
		{ "a<think>b</think>", "a<think>b</think>", "" },
		{ "<think>a</think><think>b</think>", "<think>b</think>", "a" },
		{ "                    <think>a", "                    <think>a", "" },
		{ "<thin", "<thin", "" },
		{ "  ", "  ", "" },
		{ "<think>\xc3\xa4</think>\xe2\x82\xac", "\xe2\x82\xac", "\xc3\xa4" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		size_t len = strlen(cases[i].said);

		print_message("%s\n", cases[i].said);
		check(cases[i].said, 1, 1, cases[i].text, cases[i].thought);
		for (size_t cut = 1; cut <= len; cut++)
			check(cases[i].said, cut, len, cases[i].text, cases[i].thought);
	}
}

static void behind_the_thoughts_nothing_is_held_back(void **state)
{
	struct think_tags t = { .state = THINK_BEFORE };
	struct buf text = { 0 }, thought = { 0 };

	(void)state;
	think_tags_feed(&t, SLICE("<think>a</think>b"), &text, &thought);
	assert_int_equal(t.state, THINK_OVER);
	think_tags_feed(&t, SLICE("<thi"), &text, &thought);
	assert_string_equal(buf_cstr(&text), "b<thi");
	assert_string_equal(buf_cstr(&thought), "a");
	buf_fini(&text);
	buf_fini(&thought);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(thoughts_are_parted_wherever_the_text_is_cut),
		cmocka_unit_test(behind_the_thoughts_nothing_is_held_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
