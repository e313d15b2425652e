#include "gateway/retry.h"

#include "gateway/providers/anthropic.h"
#include "gateway/providers/bedrock.h"
#include "gateway/providers/gemini.h"
#include "gateway/providers/openai_like.h"
#include "gateway/providers/refusal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static const struct quirks no_quirks;

/* What is known when the first of several has failed for the first time. */
static struct retry_facts facts_of(const struct err *e)
{
	return (struct retry_facts){ .e = e,
		.tried_here = 1,
		.tried = 1,
		.most = 5,
		.other_now = true,
		.other_wait_ms = 0,
		.left_ms = 600000,
		.dice = UINT64_C(0x123456789ABCDEF0) };
}

static struct retry_facts alone(struct retry_facts f)
{
	f.other_now = false;
	f.other_wait_ms = INT64_MAX;
	return f;
}

static struct retry_facts second(struct retry_facts f)
{
	f.tried_here = f.tried = 2;
	return f;
}

static char letter_of(const struct retry_plan *p)
{
	if (p->next != RETRY_SAME)
		assert_int_equal(p->wait_ms, 0);
	if (p->next != RETRY_ELSE)
		assert_false(p->skip_model);
	return p->next == RETRY_BACK   ? 'b'
	       : p->next == RETRY_SAME ? 's'
	       : p->skip_model         ? 'M'
				       : 'e';
}

enum { OTHERS, NOBODY, OTHERS_2, NOBODY_2, BYOK, LAST, NO_TIME, SAME_MODEL, CASES };

/* A letter for each case: b back, s the same again, e elsewhere, M elsewhere and another model. */
static void decide(const struct err *e, char out[CASES + 1])
{
	const struct retry_facts f = facts_of(e);
	struct retry_facts cases[CASES] = { [OTHERS] = f,
		[NOBODY] = alone(f),
		[OTHERS_2] = second(f),
		[NOBODY_2] = alone(second(f)),
		[BYOK] = f,
		[LAST] = f,
		[NO_TIME] = alone(f),
		[SAME_MODEL] = f };

	cases[BYOK].byok = true;
	cases[LAST].tried = cases[LAST].most;
	cases[NO_TIME].left_ms = 40;
	cases[SAME_MODEL].same_model_only = true;
	for (size_t i = 0; i < CASES; i++) {
		struct retry_plan p = retry_decide(&cases[i]);

		out[i] = letter_of(&p);
	}
	out[CASES] = '\0';
}

static void check(
	const char *name, const struct err *e, const char *plans, enum health_outcome outcome)
{
	char is[CASES + 1];

	print_message("  %s\n", name);
	decide(e, is);
	assert_string_equal(is, plans);
	assert_int_equal(retry_outcome(e), outcome);
}

#define NEVER   "bbbbbbbb"
#define AWAY    "ebebebbe" /* others may do better, and the same would not */
#define AWAY_OR "esebebbe" /* others may; else the same once */
#define OUR_KEY "ebebbbbe" /* as AWAY, but not with a key of the caller's own */

static void each_code_has_its_way(void **state)
{
	static const struct {
		enum err_code code;
		const char *plans; /* others, nobody; second time: others, nobody; own key; last;
				    * no time; others of the same model only */
		enum health_outcome outcome;
	} rows[] = {
		{ ERR_CLIENT_GONE, NEVER, HEALTH_NOTHING },
		{ ERR_OVERTAKEN, NEVER, HEALTH_NOTHING },
		{ ERR_BUSY, NEVER, HEALTH_NOTHING },
		{ ERR_NO_MEMORY, NEVER, HEALTH_NOTHING },
		{ ERR_INTERNAL, NEVER, HEALTH_NOTHING },
		{ ERR_STORE, NEVER, HEALTH_NOTHING },
		{ ERR_BAD_REQUEST, NEVER, HEALTH_NOTHING },
		{ ERR_TOO_LARGE, NEVER, HEALTH_NOTHING },
		{ ERR_RATE_LIMITED, NEVER, HEALTH_NOTHING },
		{ ERR_NO_CREDIT, NEVER, HEALTH_NOTHING },
		{ ERR_FORBIDDEN, NEVER, HEALTH_NOTHING },
		{ ERR_BYOK, NEVER, HEALTH_NOTHING },
		{ ERR_UNSUPPORTED, AWAY, HEALTH_NOTHING },
		{ ERR_MODEL_NOT_FOUND, AWAY, HEALTH_NOTHING },
		{ ERR_MODEL_UNAVAILABLE, AWAY, HEALTH_NOTHING },
		{ ERR_CONF, AWAY, HEALTH_NOTHING },
		{ ERR_CONTEXT_LENGTH, "MbMbMbbb", HEALTH_NOTHING },
		{ ERR_UPSTREAM_CONNECT, AWAY_OR, HEALTH_FAILED },
		{ ERR_UPSTREAM_TLS, AWAY_OR, HEALTH_FAILED },
		{ ERR_UPSTREAM_CLOSED, AWAY_OR, HEALTH_FAILED },
		{ ERR_UPSTREAM_INVALID, AWAY_OR, HEALTH_FAILED },
		{ ERR_UPSTREAM_TIMEOUT, AWAY, HEALTH_FAILED },
		{ ERR_UPSTREAM_TOO_LARGE, AWAY, HEALTH_FAILED },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct err e;

		(void)!err_set(&e, rows[i].code, "why");
		check(err_name(rows[i].code), &e, rows[i].plans, rows[i].outcome);
	}
}

static void each_refusal_as_dialects_read_it_has_its_way(void **state)
{
	static const char o_500[] = "{\"error\":{\"message\":\"oops\"}}";
	static const struct {
		const char *name;
		const struct provider *dialect; /* NULL: the usual reading */
		int status;
		const char *body;
		int64_t retry_after_ms;
		const char *plans;
		enum health_outcome outcome;
	} rows[] = {
		{ "400", NULL, 400, "{\"error\":{\"message\":\"messages[0] lacks a role\"}}", 0,
			NEVER, HEALTH_NOTHING },
		{ "413", NULL, 413, "", 0, NEVER, HEALTH_NOTHING },
		{ "422", NULL, 422, "{\"detail\":[{\"msg\":\"field required\"}]}", 0, NEVER,
			HEALTH_NOTHING },
		{ "413 by too many tokens", NULL, 413,
			"{\"error\":{\"message\":\"Request too large for model\"}}", 0, "MbMbMbbb",
			HEALTH_NOTHING },
		{ "400 context length", NULL, 400,
			"{\"error\":{\"code\":\"context_length_exceeded\",\"message\":\"x\"}}", 0,
			"MbMbMbbb", HEALTH_NOTHING },
		{ "400 unknown parameter", NULL, 400,
			"{\"error\":{\"code\":\"unsupported_parameter\",\"message\":\"x\"}}", 0,
			"ebbbebbe", HEALTH_NOTHING },
		{ "400 unknown name", &provider_gemini, 400,
			"{\"error\":{\"code\":400,\"status\":\"INVALID_ARGUMENT\",\"message\":"
			"\"Unknown name \\\"seed\\\"\"}}",
			0, "ebbbebbe", HEALTH_NOTHING },
		{ "400 content filter", NULL, 400,
			"{\"error\":{\"code\":\"content_filter\",\"message\":\"x\"}}", 0, NEVER,
			HEALTH_NOTHING },
		{ "403 moderation", NULL, 403,
			"{\"error\":{\"code\":403,\"message\":\"Your input was flagged\"}}", 0,
			NEVER, HEALTH_NOTHING },
		{ "401", NULL, 401, "", 0, OUR_KEY, HEALTH_FAILED },
		{ "403", NULL, 403, "", 0, OUR_KEY, HEALTH_FAILED },
		{ "400 for a bad key", &provider_gemini, 400,
			"{\"error\":{\"code\":400,\"message\":\"x\",\"details\":[{\"reason\":"
			"\"API_KEY_INVALID\"}]}}",
			0, OUR_KEY, HEALTH_FAILED },
		{ "400 for the place", &provider_gemini, 400,
			"{\"error\":{\"code\":400,\"status\":\"FAILED_PRECONDITION\",\"message\":"
			"\"User location is not supported\"}}",
			0, OUR_KEY, HEALTH_FAILED },
		{ "402", NULL, 402, "", 0, OUR_KEY, HEALTH_FAILED },
		{ "429 for money", NULL, 429,
			"{\"error\":{\"code\":\"insufficient_quota\",\"message\":\"x\"}}", 0,
			OUR_KEY, HEALTH_FAILED },
		{ "400 for money", NULL, 400, "{\"error\":{\"message\":\"NOT_ENOUGH_BALANCE\"}}", 0,
			OUR_KEY, HEALTH_FAILED },
		{ "400 for money", &provider_anthropic, 400,
			"{\"error\":{\"message\":\"Your credit balance is too low\"}}", 0, OUR_KEY,
			HEALTH_FAILED },
		{ "404", NULL, 404, "", 0, AWAY, HEALTH_NOTHING },
		{ "429", NULL, 429, "", 0, "esesbbbe", HEALTH_REFUSED },
		{ "429, 2 s", NULL, 429, "", 2000, "esesbbbe", HEALTH_REFUSED },
		{ "429, 5 s", NULL, 429, "", 5000, "esesbbbe", HEALTH_REFUSED },
		{ "429, 6 s", NULL, 429, "", 6000, OUR_KEY, HEALTH_REFUSED },
		{ "429 for today", &provider_gemini, 429,
			"{\"error\":{\"code\":429,\"message\":\"x\",\"details\":[{\"@type\":"
			"\"type.googleapis.com/google.rpc.QuotaFailure\",\"violations\":[{"
			"\"quotaId\":\"GenerateRequestsPerDayPerProject\"}]}]}}",
			0, OUR_KEY, HEALTH_REFUSED },
		{ "400 for a quota", &provider_bedrock, 400,
			"{\"__type\":\"ServiceQuotaExceededException\",\"message\":\"x\"}", 0,
			OUR_KEY, HEALTH_REFUSED },
		{ "500", NULL, 500, o_500, 0, "ssebsbbs", HEALTH_FAILED },
		{ "500, come back in 2 s", NULL, 500, o_500, 2000, AWAY_OR, HEALTH_FAILED },
		{ "500 shown as 502", &provider_anthropic, 500, o_500, 0, "ssebsbbs",
			HEALTH_FAILED },
		{ "502", NULL, 502, "<html>bad gateway</html>", 0, AWAY_OR, HEALTH_FAILED },
		{ "503", NULL, 503, "", 0, AWAY_OR, HEALTH_FAILED },
		{ "503, 6 s", NULL, 503, "", 6000, AWAY, HEALTH_FAILED },
		{ "504", NULL, 504, "", 0, AWAY_OR, HEALTH_FAILED },
		{ "529", &provider_anthropic, 529,
			"{\"error\":{\"type\":\"overloaded_error\",\"message\":\"Overloaded\"}}", 0,
			AWAY_OR, HEALTH_FAILED },
		{ "408", NULL, 408, "", 0, AWAY_OR, HEALTH_FAILED },
		{ "424 of a model", &provider_bedrock, 424,
			"{\"__type\":\"ModelErrorException\",\"message\":\"x\"}", 0, AWAY_OR,
			HEALTH_FAILED },
		{ "418", NULL, 418, "", 0, NEVER, HEALTH_NOTHING },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct target t = { .slug = "acme",
			.api_key = "secret",
			.quirks = &no_quirks,
			.provider = rows[i].dialect };
		struct slice body = slice_of(rows[i].body);
		struct err e = { 0 };

		if (rows[i].dialect)
			(void)!rows[i].dialect->decode_error(&t, rows[i].status, body, &e);
		else
			(void)!refusal_of_body(&t, rows[i].status, body, &e);
		if (rows[i].retry_after_ms)
			e.retry_after_ms = rows[i].retry_after_ms;
		check(rows[i].name, &e, rows[i].plans, rows[i].outcome);
	}
}

/* ---- waits ---- */

static struct err rate_limit(int64_t retry_after_ms)
{
	struct err e;

	(void)!err_set(&e, ERR_UPSTREAM_STATUS, "slow down");
	e.status = e.upstream_status = 429;
	e.retry_after_ms = retry_after_ms;
	return e;
}

static void waits_grow_and_no_two_are_alike(void **state)
{
	static const struct {
		enum err_code code;
		int status;
		unsigned tried_here;
		int64_t least, most;
	} rows[] = {
		{ ERR_UPSTREAM_STATUS, 429, 1, 250, 750 },
		{ ERR_UPSTREAM_STATUS, 429, 2, 500, 1500 },
		{ ERR_UPSTREAM_STATUS, 429, 3, 1000, 3000 },
		{ ERR_UPSTREAM_STATUS, 500, 1, 100, 300 },
		{ ERR_UPSTREAM_STATUS, 503, 1, 250, 750 },
		{ ERR_UPSTREAM_CONNECT, 0, 1, 50, 150 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		int64_t least = INT64_MAX, most = 0;
		struct retry_facts f;
		struct err e;

		print_message("  %s %d, %u\n", err_name(rows[i].code), rows[i].status,
			rows[i].tried_here);
		(void)!err_set(&e, rows[i].code, "x");
		e.status = e.upstream_status = rows[i].status;
		f = alone(facts_of(&e));
		f.tried = f.tried_here = rows[i].tried_here;
		for (uint64_t dice = 0; dice < 5000; dice++) {
			struct retry_plan p;

			f.dice = dice;
			p = retry_decide(&f);
			assert_int_equal(p.next, RETRY_SAME);
			least = p.wait_ms < least ? p.wait_ms : least;
			most = p.wait_ms > most ? p.wait_ms : most;
		}
		assert_int_equal(least, rows[i].least);
		assert_int_equal(most, rows[i].most);
	}
}

static void a_limit_is_waited_out_three_times_at_most(void **state)
{
	struct err e = rate_limit(0);
	struct retry_facts f = alone(facts_of(&e));

	(void)state;
	f.most = 10;
	f.tried = f.tried_here = 3;
	assert_int_equal(retry_decide(&f).next, RETRY_SAME);
	f.tried = f.tried_here = 4;
	assert_int_equal(retry_decide(&f).next, RETRY_BACK);
}

static void a_short_retry_after_is_kept_to(void **state)
{
	struct err e = rate_limit(2000);
	struct retry_facts f = alone(facts_of(&e));

	(void)state;
	for (f.dice = 0; f.dice < 1000; f.dice++)
		assert_in_range(retry_decide(&f).wait_ms, 2000, 2050);
}

static void who_may_be_asked_sooner_is_asked(void **state)
{
	struct err e = rate_limit(2000);
	struct retry_facts f = alone(facts_of(&e));
	struct retry_plan p;

	(void)state;
	f.other_wait_ms = 700;
	p = retry_decide(&f);
	assert_int_equal(p.next, RETRY_ELSE);
	assert_int_equal(p.wait_ms, 700);
	f.other_wait_ms = 3000;
	assert_int_equal(retry_decide(&f).next, RETRY_SAME);
	(void)!err_set(&e, ERR_UPSTREAM_TIMEOUT, "silent"); /* never the same again */
	p = retry_decide(&f);
	assert_int_equal(p.next, RETRY_ELSE);
	assert_int_equal(p.wait_ms, 3000);
	f.other_wait_ms = RETRY_WAIT_MS + 1;
	assert_int_equal(retry_decide(&f).next, RETRY_BACK);
}

static void no_wait_is_begun_that_would_not_end_before_the_deadline(void **state)
{
	struct err e = rate_limit(2000);
	struct retry_facts f = alone(facts_of(&e));

	(void)state;
	f.dice = 0;
	f.left_ms = 2001;
	assert_int_equal(retry_decide(&f).next, RETRY_SAME);
	f.left_ms = 2000;
	assert_int_equal(retry_decide(&f).next, RETRY_BACK);
	f.other_wait_ms = 1999;
	assert_int_equal(retry_decide(&f).next, RETRY_ELSE);
	f.left_ms = 1999;
	assert_int_equal(retry_decide(&f).next, RETRY_BACK);
	f.other_now = true;
	f.left_ms = 1;
	assert_int_equal(retry_decide(&f).next, RETRY_ELSE);
	f.left_ms = 0;
	assert_int_equal(retry_decide(&f).next, RETRY_BACK);
}

static void attempts_have_an_end(void **state)
{
	struct err e = rate_limit(1);
	struct retry_facts f = facts_of(&e);

	(void)state;
	f.tried = f.most = 1; /* GATEWAY_RETRY_MAX=0 */
	assert_int_equal(retry_decide(&f).next, RETRY_BACK);
	f.most = 2;
	assert_int_equal(retry_decide(&f).next, RETRY_ELSE);
	f.tried = 3;
	assert_int_equal(retry_decide(&f).next, RETRY_BACK);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_code_has_its_way),
		cmocka_unit_test(each_refusal_as_dialects_read_it_has_its_way),
		cmocka_unit_test(waits_grow_and_no_two_are_alike),
		cmocka_unit_test(a_limit_is_waited_out_three_times_at_most),
		cmocka_unit_test(a_short_retry_after_is_kept_to),
		cmocka_unit_test(who_may_be_asked_sooner_is_asked),
		cmocka_unit_test(no_wait_is_begun_that_would_not_end_before_the_deadline),
		cmocka_unit_test(attempts_have_an_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
