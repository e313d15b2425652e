/* What vectors do not tell apart: questions that differ in a number, a negation or a quoted text
 * never count as the same, and what is asked about now is never answered from memory. */
#include "base/crypto.h"
#include "gateway/semantic.h"
#include "gateway/semantic_words.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

struct pair {
	const char *a, *b;
};

static bool agree(const struct pair *p)
{
	print_message("%s | %s\n", p->a, p->b);
	return semantic_guard(slice_of(p->a)) == semantic_guard(slice_of(p->b));
}

static void what_differs_in_meaning_differs(void **state)
{
	static const struct pair pairs[] = {
		{ "What is 2+2?", "What is 2+3?" },
		{ "What is 2+2?", "What is 2-2?" },
		{ "What is 2 * 3?", "What is 2 / 3?" },
		{ "2 plus 2", "2 minus 2" },
		{ "Convert 5 km to miles", "Convert -5 km to miles" },
		{ "What is 12 and 3?", "What is 1 and 23?" },
		{ "What is 1 and 2?", "What is 2 and 1?" },
		{ "Give me two examples", "Give me three examples" },
		{ "Explain IPv4", "Explain IPv6" },
		{ "Round .5 to an integer", "Round 5 to an integer" },
		{ "Add 1.5 to it", "Add 15 to it" },
		{ "Use port 80", "Use port 8080" },
		{ "Pay 1,000 dollars", "Pay 1,000,000 dollars" },
		{ "Pay 1.000 Euro", "Pay 1 Euro" },
		{ "It costs $5", "It costs \u20ac5" },
		{ "twenty-one days", "twenty days" },
		{ "zero five", "five" },
		{ "two hundred", "two thousand" },
		{ "five hundred and six", "five hundred" },
		{ "the first war", "the second war" },
		{ "\uff12+\uff12", "\uff12+\uff13" },
		{ "x\u00b2", "x\u00b3" },
		{ "This is true", "This is not true" },
		{ "It is safe", "It isn't safe" },
		{ "It is safe", "It isn\u2019t safe" },
		{ "Can I drink it?", "Can I never drink it?" },
		{ "tea with sugar", "tea without sugar" },
		{ "Ist das gut?", "Ist das nicht gut?" },
		{ "Ich habe Geld", "Ich habe kein Geld" },
		{ "Il est l\u00e0", "Il n'est pas l\u00e0" },
		{ "caf\u00e9 avec sucre", "caf\u00e9 sans sucre" },
		{ "\u00bfEs seguro?", "\u00bfNo es seguro?" },
		{ "Siempre llueve", "Nunca llueve" },
		{ "\u042d\u0442\u043e \u0434\u0430", "\u042d\u0442\u043e \u043d\u0435\u0442" },
		{ "\u4e09\u70b9", "\u56db\u70b9" },
		{ "Translate 'cat' into it", "Translate 'dog' into it" },
		{ "Translate \"cat\"", "Translate \"dog\"" },
		{ "Translate \u201ccat\u201d", "Translate \u201cdog\u201d" },
		{ "Translate \u2018cat\u2019", "Translate \u2018dog\u2019" },
		{ "Translate \u00abcat\u00bb", "Translate \u00abdog\u00bb" },
		{ "What does `ls -l` do?", "What does `ls -a` do?" },
		{ "Fix ```a(b)``` now", "Fix ```a(c)``` now" },
		{ "say 'it\u2019s' to me", "say 'its' to me" },
		{ "Translate it into French", "Translate it into German" },
		{ "more salt", "less salt" },
		{ "before the war", "after the war" },
		{ "How do I increase it?", "How do I decrease it?" },
		{ "the minimum age", "the maximum age" },
		{ "Turn left", "Turn right" },
		{ "How to enable it?", "How to disable it?" },
		{ "pros of it", "cons of it" },
		{ "open on Monday", "open on Tuesday" },
		{ "if a < b", "if a > b" },
		{ "a == b", "a != b" },
		{ "Learn C++", "Learn C" },
		{ "Learn C#", "Learn C" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++)
		assert_false(agree(&pairs[i]));
}

static void what_means_the_same_agrees(void **state)
{
	static const struct pair pairs[] = {
		{ "What is the capital of France?", "Tell me what France's capital is." },
		{ "how do i boil an egg", "How should I go about boiling an egg?" },
		{ "What is 2+2?", "what's 2 + 2" },
		{ "What is 2+2?", "Tell me: two plus two" },
		{ "1,000 metres", "1000 metres" },
		{ "1 000 000 x", "1 000 000 X" },
		{ "1,234,567.5", "1234567,5" },
		{ "two hundred and five", "205" },
		{ "twenty-one", "21" },
		{ "three thousand four hundred", "3400" },
		{ "the 2nd of them", "the second of them" },
		{ "at 07:30", "at 7:30" },
		{ "\uff12+\uff12", "2+2" },
		{ "5\u22123", "5 - 3" },
		{ "0.5", ".5" },
		{ "It is not good", "It isn't good" },
		{ "It cannot be", "It can't be" },
		{ "I don\u2019t know", "I don't know" },
		{ "Translate 'cat'", "Please translate \"Cat\"" },
		{ "Translate \u201ccat\u201d", "translate \u00ab cat \u00bb" },
		{ "the dogs' bowl is theirs", "bowl of the dogs" },
		{ "'tis so", "tis so" },
		{ "a 5\" pipe", "A 5\" PIPE" },
		{ "What is the greatest city?", "What's the biggest city?" },
		{ "\u00c9COLE DE MUSIQUE", "\u00e9cole de musique" },
		{ "", "  ?!" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++)
		assert_true(agree(&pairs[i]));
}

static void case_does_not_count(void **state)
{
	static const char *const texts[] = {
		"Is NOT the Second 'Cat' MORE than 2KM?",
		"N'EST-CE PAS \u00c9GAL \u00c0 L'\u00c9T\u00c9 3?",
	};

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct buf lower = { 0 };

		for (const char *p = texts[i]; *p; p++)
			buf_char(&lower, *p >= 'A' && *p <= 'Z' ? (char)(*p + 32) : *p);
		assert_int_equal(
			semantic_guard(slice_of(texts[i])), semantic_guard(buf_slice(&lower)));
		buf_fini(&lower);
	}
}

static void what_is_asked_about_now_is_known(void **state)
{
	static const char *const now[] = {
		"What day is it today?",
		"WHAT IS TODAY'S SPECIAL",
		"What time is it?",
		"what is the\nlatest version of curl",
		"Who is currently in charge?",
		"What's the weather in Oslo?",
		"price of gold",
		"what is the date",
		"News about Mars",
		"Was there rain this   week?",
		"Wie wird das Wetter?",
		"Was ist heute los",
		"Quelle heure est-il ?",
		"Qu'est-ce qu'on mange aujourd\u2019hui ?",
		"l'actualit\u00e9",
		"\u00bfQu\u00e9 hora es?",
		"\u00bfQU\u00c9 HORA ES?",
		"noticias de ma\u00f1ana",
	};
	static const char *const always[] = {
		"What is the capital of France?",
		"Explain snowflakes",        /* "now" within a word */
		"Write an update statement", /* "date" within a word */
		"Who was the first president?",
		"",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(now) / sizeof(now[0]); i++) {
		print_message("%s\n", now[i]);
		assert_true(semantic_is_about_now(slice_of(now[i])));
	}
	for (size_t i = 0; i < sizeof(always) / sizeof(always[0]); i++) {
		print_message("%s\n", always[i]);
		assert_false(semantic_is_about_now(slice_of(always[i])));
	}
}

/* Every text there can be, cut anywhere: nothing is read outside of it. */
static void any_bytes_have_a_guard(void **state)
{
	static const char alphabet[] = "a1'\"`.,-+ \n\xc3\xa9\xe2\x80\x99\xff\x80\xd9\xa0Z#$0";

	(void)state;
	srand(7);
	for (int round = 0; round < 20000; round++) {
		size_t n = (size_t)rand() % 24;
		char *text = malloc(n ? n : 1); /* ends where the text ends */

		assert_non_null(text);
		for (size_t i = 0; i < n; i++)
			text[i] = alphabet[(size_t)rand() % (sizeof(alphabet) - 1)];
		assert_int_equal(semantic_guard((struct slice){ text, n }),
			semantic_guard((struct slice){ text, n }));
		(void)semantic_is_about_now((struct slice){ text, n });
		free(text);
	}
}

static void each_word_means_one_thing(void **state)
{
	(void)state;
	assert_int_equal(semantic_word(SLICE("not")).kind, SEMANTIC_NOT);
	assert_int_equal(semantic_word(SLICE("mustn't")).kind, SEMANTIC_NOT);
	assert_int_equal(semantic_word(SLICE("forty")).value, 40);
	assert_int_equal(semantic_word(SLICE("")).kind, SEMANTIC_OTHER);
	assert_int_equal(semantic_word(SLICE("egg")).kind, SEMANTIC_OTHER);
	assert_true(slice_is(semantic_word(SLICE("fewest")).text, "less"));
	assert_true(slice_is(semantic_word(SLICE("zwei")).text, "zwei"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_differs_in_meaning_differs),
		cmocka_unit_test(what_means_the_same_agrees),
		cmocka_unit_test(case_does_not_count),
		cmocka_unit_test(what_is_asked_about_now_is_known),
		cmocka_unit_test(any_bytes_have_a_guard),
		cmocka_unit_test(each_word_means_one_thing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
