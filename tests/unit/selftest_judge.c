/* What passes a self-test, and what does not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "handlers/cli/selftest_judge.h"

#include <string.h>

/* An answer as rows describe one: so many words of the answer (other: of the other one), or so
 * many bytes of the call's arguments, and its end. */
struct said {
	const char *why;
	bool passes;
	unsigned words;
	bool other;
	unsigned finishes, dones, errors;
	int status;
	const char *attempts;
	int64_t retry_after_ms;
	int64_t took_ms;
	int64_t tokens; /* 0 = as many as there should be */
};

static const struct selftest_rules usual = { .rescues = true, .heartbeat_ms = 15000 };

static const struct selftest_fault *fault(const char *name)
{
	for (size_t i = 0; i < selftest_fault_count; i++)
		if (strcmp(selftest_faults[i].name, name) == 0)
			return &selftest_faults[i];
	fail_msg("there is no fault %s", name);
	return NULL;
}

static void check(const char *name, const struct selftest_rules *rules, const struct said *s)
{
	const struct selftest_fault *f = fault(name);
	struct selftest_answer a = { .status = s->status ? s->status : 200,
		.finishes = s->finishes,
		.dones = s->dones,
		.errors = s->errors,
		.retry_after_ms = s->retry_after_ms,
		.prompt_tokens = SELFTEST_PROMPT_TOKENS,
		.completion_tokens = s->tokens ? s->tokens : SELFTEST_WORDS,
		.took_ms = s->took_ms };
	char what[SELFTEST_WHAT_MAX] = "", word[8];

	for (unsigned i = 0; i < s->words && !f->calls; i++) {
		selftest_word(s->other, i, word);
		buf_str(&a.text, word);
	}
	if (f->calls)
		buf_append(&a.arguments, SELFTEST_ARGUMENTS, s->words);
	str_copy_cut(a.attempts, sizeof(a.attempts), s->attempts ? s->attempts : "");
	if (selftest_judge(f, rules, &a, what) != s->passes)
		fail_msg("%s: %s: %s", name, s->why, what);
	assert_true(what[0]);
	selftest_answer_fini(&a);
}

static void check_all(const char *name, const struct said *rows, size_t n)
{
	for (size_t i = 0; i < n; i++)
		check(name, &usual, &rows[i]);
}

#define CHECK(name, rows) check_all(name, rows, sizeof(rows) / sizeof((rows)[0]))
#define WHOLE             .words = SELFTEST_WORDS, .finishes = 1, .dones = 1

static void an_answer_is_whole_once_and_ended_as_it_should(void **state)
{
	static const char a[] = "selftest-a:503, selftest-b:ok";
	static const struct said rows[] = {
		{ "as it should be", true, WHOLE, .attempts = a },
		{ "other attempts", false, WHOLE, .attempts = "selftest-b:ok" },
		{ "no attempts", false, WHOLE },
		{ "a heartbeat sent the head", true, WHOLE, .took_ms = 15000 },
		{ "a word is missing", false, SELFTEST_WORDS - 1, false, 1, 1, .attempts = a },
		{ "nothing", false, 0, false, 1, 1, .attempts = a },
		{ "of the other answer", false, SELFTEST_WORDS, true, 1, 1, .attempts = a },
		{ "two finish reasons", false, SELFTEST_WORDS, false, 2, 1, .attempts = a },
		{ "no finish reason", false, SELFTEST_WORDS, false, 0, 1, .attempts = a },
		{ "no [DONE]", false, SELFTEST_WORDS, false, 1, 0, .attempts = a },
		{ "two [DONE]", false, SELFTEST_WORDS, false, 1, 2, .attempts = a },
		{ "an error event", false, SELFTEST_WORDS, false, 1, 1, 1, .attempts = a },
		{ "another status", false, WHOLE, .status = 503, .attempts = a },
		{ "two answers' usage", false, WHOLE, .tokens = 2 * SELFTEST_WORDS, .attempts = a },
	};

	(void)state;
	CHECK("503", rows);
}

static void words_in_another_order_are_no_answer(void **state)
{
	const struct selftest_fault *f = fault("healthy");
	struct selftest_answer a = { .status = 200,
		.finishes = 1,
		.dones = 1,
		.prompt_tokens = SELFTEST_PROMPT_TOKENS,
		.completion_tokens = SELFTEST_WORDS,
		.attempts = "selftest-a:ok" };
	char what[SELFTEST_WHAT_MAX], word[8];

	(void)state;
	for (unsigned i = 0; i < SELFTEST_WORDS; i++) {
		selftest_word(false, i == 7 ? 8 : i == 8 ? 7 : i, word);
		buf_str(&a.text, word);
	}
	assert_false(selftest_judge(f, &usual, &a, what));
	assert_non_null(strstr(what, "in order"));
	selftest_answer_fini(&a);
}

static void what_is_cut_says_so(void **state)
{
	static const struct said rows[] = {
		{ "as it should be", true, 20, true, .errors = 1 },
		{ "[DONE] behind it", false, 20, true, .errors = 1, .dones = 1 },
		{ "a finish reason", false, 20, true, .errors = 1, .finishes = 1 },
		{ "no error", false, 20, .other = true },
		{ "nothing came", false, 0, true, .errors = 1 },
		{ "as if it were whole", false, 20, true, .finishes = 1, .dones = 1 },
		{ "a status", false, 0, true, .errors = 1, .status = 502 },
	};
	static const struct said replaced = { "before it began", true, WHOLE };
	const struct selftest_rules holding = { .rescues = true, .holds = true };

	(void)state;
	CHECK("cut-then-different", rows);
	check("cut-then-different", &holding, &replaced);
}

static void a_rescue_is_whole_unless_there_are_none(void **state)
{
	static const struct said rows[] = {
		{ "as it should be", true, WHOLE },
		{ "cut", false, 20, .errors = 1 },
		{ "half, as if it were whole", false, 20, .finishes = 1, .dones = 1 },
	};
	static const struct said honest = { "cut", true, 20, .errors = 1 },
				 dishonest = { "half", false, 20, .finishes = 1, .dones = 1 };
	const struct selftest_rules off = { .rescues = false }, splicing = { .rescues = true },
				    continuing = { .rescues = true, .continues = true };

	(void)state;
	CHECK("cut", rows);
	check("cut", &off, &honest);
	check("cut-then-continued", &splicing, &honest);
	check("cut-then-continued", &continuing, &rows[1]);
	check("cut", &off, &dishonest);
}

static void a_call_has_all_of_its_arguments(void **state)
{
	static const struct said rows[] = {
		{ "as it should be", true, sizeof(SELFTEST_ARGUMENTS) - 1, .finishes = 1,
			.dones = 1, .attempts = "selftest-a:ok" },
		{ "a byte is missing", false, sizeof(SELFTEST_ARGUMENTS) - 2, .finishes = 1,
			.dones = 1, .attempts = "selftest-a:ok" },
	};

	(void)state;
	CHECK("tool-call", rows);
}

static void a_refusal_has_its_status_and_an_error(void **state)
{
	static const struct said refused[] = {
		{ "as it should be", true, .status = 400, .errors = 1 },
		{ "no error object", false, .status = 400 },
		{ "another status", false, .status = 502, .errors = 1 },
		{ "an answer", false, WHOLE },
	};
	static const struct said down[] = {
		{ "as it should be", true, .status = 503, .errors = 1, .retry_after_ms = 1000 },
		{ "without Retry-After", false, .status = 503, .errors = 1, .retry_after_ms = -1 },
		{ "another status", false, .status = 502, .errors = 1, .retry_after_ms = 1000 },
	};

	(void)state;
	CHECK("content-refused", refused);
	CHECK("all-down", down);
}

static void who_breaks_off_or_sends_more_has_failed(void **state)
{
	const struct selftest_fault *f = fault("healthy-json");
	struct selftest_answer a = { .status = 200,
		.finishes = 1,
		.prompt_tokens = SELFTEST_PROMPT_TOKENS,
		.completion_tokens = SELFTEST_WORDS,
		.attempts = "selftest-a:ok" };
	char what[SELFTEST_WHAT_MAX], word[8];

	(void)state;
	for (unsigned i = 0; i < SELFTEST_WORDS; i++) {
		selftest_word(false, i, word);
		buf_str(&a.text, word);
	}
	assert_true(selftest_judge(f, &usual, &a, what));
	a.late = 1;
	assert_false(selftest_judge(f, &usual, &a, what));
	a.late = 0;
	a.broken = true;
	assert_false(selftest_judge(f, &usual, &a, what));
	a.broken = false;
	a.rc = err_set(&a.e, ERR_UPSTREAM_CLOSED, "the provider broke off");
	assert_false(selftest_judge(f, &usual, &a, what));
	assert_string_equal(what, "the gateway broke off");
	selftest_answer_fini(&a);
}

static void who_was_not_to_be_asked_again_is_counted(void **state)
{
	char what[SELFTEST_WHAT_MAX] = "";

	(void)state;
	assert_true(selftest_judge_asked(
		fault("content-refused"), (const unsigned[]){ 1, 0, 0 }, what));
	assert_string_equal(what, "");
	assert_false(selftest_judge_asked(
		fault("content-refused"), (const unsigned[]){ 2, 0, 0 }, what));
	assert_false(selftest_judge_asked(
		fault("content-refused"), (const unsigned[]){ 1, 1, 0 }, what));
	assert_true(selftest_judge_asked(fault("cut"), (const unsigned[]){ 2, 7, 0 }, what));
}

/* The file that makes them known has room for as many, and slow ones are last. */
static void the_table_is_as_its_users_need_it(void **state)
{
	bool slow = false;

	(void)state;
	assert_true(selftest_fault_count <= SELFTEST_MODELS_MAX);
	for (size_t i = 0; i < selftest_fault_count; i++) {
		const struct selftest_fault *f = &selftest_faults[i];

		print_message("%s\n", f->name);
		assert_ptr_equal(fault(f->name), f); /* the only one with its name */
		assert_in_range(strlen(f->at), 1, SELFTEST_PLACES);
		for (size_t k = 0; f->at[k]; k++)
			assert_in_range(selftest_place(f->at[k]), 0, SELFTEST_PROVIDERS - 1);
		assert_false(slow && f->wait == WAIT_NONE);
		slow = f->wait != WAIT_NONE;
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_answer_is_whole_once_and_ended_as_it_should),
		cmocka_unit_test(words_in_another_order_are_no_answer),
		cmocka_unit_test(what_is_cut_says_so),
		cmocka_unit_test(a_rescue_is_whole_unless_there_are_none),
		cmocka_unit_test(a_call_has_all_of_its_arguments),
		cmocka_unit_test(a_refusal_has_its_status_and_an_error),
		cmocka_unit_test(who_breaks_off_or_sends_more_has_failed),
		cmocka_unit_test(who_was_not_to_be_asked_again_is_counted),
		cmocka_unit_test(the_table_is_as_its_users_need_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
