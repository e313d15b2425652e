#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "gateway/near.h"

#include <stdlib.h>

static void the_distance_counts_single_changes_and_swaps(void **state)
{
	static const struct {
		const char *a, *b;
		unsigned far;
	} cases[] = { { "", "", 0 }, { "", "abc", 3 }, { "abc", "", 3 }, { "abc", "abc", 0 },
		{ "ABC", "abc", 0 }, { "abc", "abd", 1 }, { "abc", "ab", 1 }, { "abc", "xabc", 1 },
		{ "abcd", "abdc", 1 }, { "kitten", "sitting", 3 }, { "gtp-4o", "gpt-4o", 1 },
		{ "claude-sonet-4.6", "claude-sonnet-4.6", 1 }, { "ca", "abc", 3 },
		{ "flaw", "lawn", 2 }, { "saturday", "sunday", 3 } };

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct slice a = slice_of(cases[i].a), b = slice_of(cases[i].b);

		print_message("%s, %s\n", cases[i].a, cases[i].b);
		assert_int_equal(near_distance(a, b), cases[i].far);
		assert_int_equal(near_distance(b, a), cases[i].far);
	}
}

/* The textbook's table, kept whole. */
static unsigned slow_distance(const char *a, const char *b)
{
	unsigned d[16][16];
	size_t n = strlen(a), m = strlen(b);

	for (size_t i = 0; i <= n; i++)
		for (size_t k = 0; k <= m; k++) {
			unsigned best = (unsigned)(i + k);

			if (i && k) {
				best = d[i - 1][k - 1] + (a[i - 1] != b[k - 1]);
				if (d[i - 1][k] + 1 < best)
					best = d[i - 1][k] + 1;
				if (d[i][k - 1] + 1 < best)
					best = d[i][k - 1] + 1;
				if (i > 1 && k > 1 && a[i - 1] == b[k - 2] &&
					a[i - 2] == b[k - 1] && d[i - 2][k - 2] + 1 < best)
					best = d[i - 2][k - 2] + 1;
			}
			d[i][k] = best;
		}
	return d[n][m];
}

static void random_words_are_as_far_as_by_the_textbook(void **state)
{
	unsigned seed = 7;

	(void)state;
	for (unsigned round = 0; round < 20000; round++) {
		char word[2][10] = { "", "" };

		for (int w = 0; w < 2; w++) {
			int n = rand_r(&seed) % 9;

			for (int i = 0; i < n; i++)
				word[w][i] = (char)('a' + rand_r(&seed) % 3);
		}
		if (near_distance(slice_of(word[0]), slice_of(word[1])) !=
			slow_distance(word[0], word[1]))
			fail_msg("%s, %s", word[0], word[1]);
	}
}

static void the_three_nearest_are_kept_the_nearest_first(void **state)
{
	static const char *const ids[] = { "a/far-away-from-it", "openai/gpt-5.1", "openai/gpt-4.1",
		"openai/gpt-5", "openai/gpt-5.2", "openai/gpt-4o", "openai/gpt-5.2-codex" };
	struct near n = { .written = SLICE("gpt-5.2") };
	char text[200] = "there is none";

	(void)state;
	for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++)
		near_offer(&n, ids[i]);
	near_write(&n, text, sizeof(text));
	assert_string_equal(text,
		"there is none; near it: openai/gpt-5.2, openai/gpt-5.1, openai/gpt-5.2-codex");
}

static void what_is_too_far_is_not_named(void **state)
{
	struct near n = { .written = SLICE("zzzzzzzz") };
	char text[64] = "";

	(void)state;
	near_offer(&n, "openai/gpt-5.2");
	near_offer(&n, "");
	near_write(&n, text, sizeof(text));
	assert_string_equal(text, "");
}

static void names_of_any_length_are_compared_within_bounds(void **state)
{
	char text[400], small[20] = "";
	struct near n = { .written = { text, sizeof(text) - 1 } };

	(void)state;
	memset(text, 'a', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	near_offer(&n, text);
	near_offer(&n, "aaaa");
	assert_ptr_equal(n.id[0], text);
	assert_null(n.id[1]);
	near_write(&n, small, sizeof(small));
	assert_int_equal(strlen(small), sizeof(small) - 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_distance_counts_single_changes_and_swaps),
		cmocka_unit_test(random_words_are_as_far_as_by_the_textbook),
		cmocka_unit_test(the_three_nearest_are_kept_the_nearest_first),
		cmocka_unit_test(what_is_too_far_is_not_named),
		cmocka_unit_test(names_of_any_length_are_compared_within_bounds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
