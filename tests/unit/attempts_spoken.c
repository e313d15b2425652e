/* Attempts that go on with what the client was told of somebody else's answer, against two
 * providers whose every byte is written by the test. */
#include "tests/unit/attempts_two.h"

/* What the client has: of provider one, under an id that no provider of the test gives. */
#define SAID_BY(slug) \
	"data: {\"provider\":\"" slug "\",\"id\":\"led\",\"object\":\"chat.completion.chunk\"," \
	"\"created\":1700000000,\"model\":\"lab/m\",\"choices\":[{\"index\":0,\"delta\":" \
	"{\"role\":\"assistant\",\"content\":\"H\"},\"finish_reason\":null}]}\n\n" \
	"data: {\"provider\":\"" slug "\",\"id\":\"led\",\"object\":\"chat.completion.chunk\"," \
	"\"created\":1700000000,\"model\":\"lab/m\",\"choices\":[{\"index\":0,\"delta\":" \
	"{\"content\":\"el\"},\"finish_reason\":null}]}\n\n"

static struct asking ask_after(const char *spoken)
{
	struct asking a = ask_of(true);

	a.spoken = spoken;
	return a;
}

/* The client has "Hello" once, under one id, and the answer's end. */
static void assert_hello(struct asking *a, const char *words)
{
	const char *rest;

	assert_int_equal(a->c.rc, ERR_OK);
	assert_string_equal(a->words, words);
	assert_true(a->tries.list[0].rescue);
	rest = memmem(a->c.seen.data, a->c.seen.len, "\"content\":\"lo\"", 14);
	assert_non_null(rest);
	assert_null(memmem(rest + 1, (size_t)(a->c.seen.data + a->c.seen.len - rest - 1),
		"\"content\":\"lo\"", 14));
	assert_false(saw(&a->c, "\"content\":\"Hel\""));
	assert_false(saw(&a->c, "\"id\":\"a\""));
	assert_false(saw(&a->c, "\"created\":1767225600"));
	assert_false(saw(&a->c, "\"error\""));
	assert_true(slice_ends(buf_slice(&a->c.seen), DONE));
}

/* The client is told that what it has is not all. */
static void assert_told(struct asking *a)
{
	assert_int_not_equal(a->c.rc, ERR_OK);
	assert_false(saw(&a->c, "[DONE]"));
	assert_true(saw(&a->c, "{\"id\":\"led\",\"object\":\"chat.completion.chunk\","
			       "\"created\":1700000000,\"model\":\"lab/m\",\"error\":"));
	assert_true(saw(&a->c, "The answer ends here: about 1 completion tokens came\""));
	assert_true(slice_ends(buf_slice(&a->c.seen), "\"finish_reason\":\"error\"}]}\n\n"));
}

/* ---- what goes on ---- */

static void who_takes_a_prefill_goes_on_with_it(void **state)
{
	struct asking a = ask_after(SAID_BY("one"));

	(void)state;
	a.prefill = true;
	first.play = says_something_else;
	second.play = goes_on;
	ask(&a);
	assert_hello(&a, "two:ok");
	assert_int_equal(asked_first, 0);
	assert_string_equal(a.tries.answered->route.target.slug, "two");
	/* Three bytes that another request paid for, and two of this one. */
	assert_int_equal(a.tries.res.usage.completion_tokens, 1 + 1);
	end_ask(&a);
}

static void its_own_provider_comes_first(void **state)
{
	struct asking a = ask_after(SAID_BY("two"));

	(void)state;
	first.play = streams;
	second.play = streams;
	ask(&a);
	assert_hello(&a, "two:ok");
	assert_int_equal(asked_first, 0);
	end_ask(&a);
}

static void who_said_it_need_not_be_known(void **state)
{
	struct asking a = ask_after(SAID_BY("gone"));

	(void)state;
	first.play = streams;
	second.play = streams;
	ask(&a);
	assert_hello(&a, "one:ok");
	end_ask(&a);
}

static void the_next_is_asked_when_one_says_something_else(void **state)
{
	struct asking a = ask_after(SAID_BY("one"));

	(void)state;
	first.play = says_something_else;
	second.play = streams;
	ask(&a);
	assert_hello(&a, "one:invalid, two:ok");
	end_ask(&a);
}

/* ---- what does not ---- */

static void another_answer_is_never_appended(void **state)
{
	struct asking a = ask_after(SAID_BY("one"));

	(void)state;
	first.play = says_something_else;
	second.play = says_something_else;
	ask(&a);
	assert_told(&a);
	assert_false(saw(&a.c, "Good"));
	end_ask(&a);
}

static void without_rescue_nobody_is_asked(void **state)
{
	struct asking a = ask_after(SAID_BY("one"));

	(void)state;
	a.rescue = RESCUE_OFF;
	first.play = streams;
	second.play = streams;
	ask(&a);
	assert_told(&a);
	assert_int_equal(asked_first + asked_second, 0);
	assert_int_equal(a.tries.count, 0);
	assert_int_equal(a.tries.res.cost.microusd, 0);
	end_ask(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(who_takes_a_prefill_goes_on_with_it),
		cmocka_unit_test(its_own_provider_comes_first),
		cmocka_unit_test(who_said_it_need_not_be_known),
		cmocka_unit_test(the_next_is_asked_when_one_says_something_else),
		cmocka_unit_test(another_answer_is_never_appended),
		cmocka_unit_test(without_rescue_nobody_is_asked),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
