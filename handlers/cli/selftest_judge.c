#include "handlers/cli/selftest_judge.h"

#include <stdio.h>

static bool say(char *what, bool good, const char *format, ...) PRINTF_LIKE(3, 4);

static bool say(char *what, bool good, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	if (vsnprintf(what, SELFTEST_WHAT_MAX, format, args) < 0)
		what[0] = '\0';
	va_end(args);
	return good;
}

/* "selftest-a:503, selftest-b:ok" as people read it: "a:503, b:ok". */
static void shorten(const char *attempts, char out[SELFTEST_WHAT_MAX])
{
	size_t n = 0;

	for (; *attempts && n + 1 < SELFTEST_WHAT_MAX; attempts++) {
		if (strncmp(attempts, "selftest-", 9) == 0)
			attempts += 9;
		out[n++] = *attempts;
	}
	out[n] = '\0';
}

/* So many bytes of text are the beginning of the answer, or of the other one. */
static bool is_beginning(const struct buf *text, bool other)
{
	char word[8], whole[8 * SELFTEST_WORDS + 1] = "";

	for (unsigned i = 0; i < SELFTEST_WORDS; i++) {
		selftest_word(other, i, word);
		str_copy_cut(whole + strlen(whole), sizeof(whole) - strlen(whole), word);
	}
	return text->len <= strlen(whole) && memcmp(whole, buf_slice(text).ptr, text->len) == 0;
}

static bool is_all(const struct selftest_fault *f, const struct selftest_answer *a)
{
	if (f->calls)
		return slice_is(buf_slice(&a->arguments), SELFTEST_ARGUMENTS) && !a->text.len;
	/* " w40" is longer than the first word. */
	return is_beginning(&a->text, false) && a->text.len == 4 * SELFTEST_WORDS - 1;
}

static bool is_part(const struct selftest_fault *f, const struct selftest_answer *a)
{
	if (f->calls)
		return a->arguments.len < sizeof(SELFTEST_ARGUMENTS) - 1 &&
		       memcmp(SELFTEST_ARGUMENTS, buf_slice(&a->arguments).ptr, a->arguments.len) ==
			       0;
	return a->text.len && (is_beginning(&a->text, true) || is_beginning(&a->text, false));
}

static bool judge_whole(const struct selftest_fault *f, const struct selftest_answer *a, char *what)
{
	if (a->status != 200)
		return say(what, false, "HTTP %d: %s", a->status, a->error);
	if (a->errors)
		return say(what, false, "%zu bytes, then an error: %s",
			a->text.len + a->arguments.len, a->error);
	if (!is_all(f, a))
		return say(what, false, "the answer is not whole, once and in order (%zu bytes)",
			a->text.len + a->arguments.len);
	if (a->finishes != 1)
		return say(what, false, "%u finish reasons", a->finishes);
	if (!f->whole && a->dones != 1)
		return say(what, false, "[DONE] came %u times", a->dones);
	return true;
}

static bool judge_cut(const struct selftest_fault *f, const struct selftest_answer *a, char *what)
{
	if (a->status != 200)
		return say(what, false, "HTTP %d: %s", a->status, a->error);
	if (a->dones)
		return say(what, false, "[DONE] stands behind an answer that was cut");
	if (a->finishes)
		return say(what, false, "a finish reason stands behind an answer that was cut");
	if (!a->errors)
		return say(what, false, "no error event says that the answer was cut");
	if (!is_part(f, a))
		return say(what, false, "what came is not the beginning of an answer");
	return say(what, true, "ended with an error event, without [DONE]");
}

static bool judge_error(const struct selftest_fault *f, const struct selftest_answer *a, char *what)
{
	int expected = f->expect == EXPECT_DOWN ? 503 : f->status;

	if (a->status != expected)
		return say(what, false, "HTTP %d instead of %d%s%s", a->status, expected,
			a->error[0] ? ": " : "", a->error);
	if (!a->errors)
		return say(what, false, "HTTP %d without an error object", a->status);
	if (f->expect == EXPECT_DOWN && a->retry_after_ms < 0)
		return say(what, false, "503 without Retry-After");
	if (f->expect == EXPECT_DOWN)
		return say(what, true, "503, Retry-After: %lld",
			(long long)(a->retry_after_ms / 1000));
	return say(what, true, "%d, at once", a->status);
}

/* A head that went out with a heartbeat came before it was known who would answer. */
static bool judge_attempts(const struct selftest_fault *f, const struct selftest_rules *rules,
	const struct selftest_answer *a, char *what)
{
	char seen[SELFTEST_WHAT_MAX];

	if (!a->attempts[0] && rules->heartbeat_ms && a->took_ms >= rules->heartbeat_ms)
		return say(what, true, "whole");
	shorten(a->attempts, seen);
	if (f->attempts && strcmp(seen, f->attempts) != 0)
		return say(
			what, false, "X-Attempts is \"%s\" instead of \"%s\"", seen, f->attempts);
	if (!a->attempts[0])
		return say(what, false, "X-Attempts is missing");
	return say(what, true, "%s", seen);
}

/* The pump speaks of whom it asks as of a provider. */
static bool no_answer(const struct selftest_answer *a, char *what)
{
	static const char who[] = "the provider ";
	const char *why = a->e.message;

	if (strncmp(why, who, sizeof(who) - 1) == 0)
		return say(what, false, "the gateway %s", why + sizeof(who) - 1);
	return say(what, false, "%s", why);
}

bool selftest_judge(const struct selftest_fault *f, const struct selftest_rules *rules,
	const struct selftest_answer *a, char *what)
{
	if (a->rc)
		return no_answer(a, what);
	if (a->broken || a->late)
		return say(what, false, "%s",
			a->broken ? "something of the answer is not as it should be"
				  : "something came behind [DONE]");
	switch ((enum selftest_expect)f->expect) {
	case EXPECT_STATUS:
	case EXPECT_DOWN:
		return judge_error(f, a, what);
	case EXPECT_CUT:
		if (!rules->holds || a->errors)
			return judge_cut(f, a, what);
		break;
	case EXPECT_RESCUED:
		if ((!rules->rescues || (f->continues && !rules->continues)) && a->errors)
			return judge_cut(f, a, what);
		break;
	case EXPECT_WHOLE:
		break;
	}
	if (!judge_whole(f, a, what))
		return false;
	if (f->expect == EXPECT_WHOLE && (a->prompt_tokens != SELFTEST_PROMPT_TOKENS ||
						 a->completion_tokens != SELFTEST_WORDS))
		return say(what, false, "the usage is %lld and %lld tokens instead of %d and %d",
			(long long)a->prompt_tokens, (long long)a->completion_tokens,
			SELFTEST_PROMPT_TOKENS, SELFTEST_WORDS);
	if (f->expect == EXPECT_WHOLE)
		return judge_attempts(f, rules, a, what);
	return say(what, true, "whole, once and in order");
}

bool selftest_judge_asked(const struct selftest_fault *f, const unsigned *asked, char *what)
{
	for (size_t i = 0; f->at[i]; i++)
		if (f->asked[i] != SELFTEST_ANY && asked[i] != f->asked[i])
			return say(what, false, "%c was asked %u times instead of %u", f->at[i],
				asked[i], f->asked[i]);
	return true;
}
