#include "gateway/cost.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

static struct cost_table table_of(const struct cost_offer *offer)
{
	struct cost_table t;
	struct err e;

	if (cost_table_init(&t, offer, &e))
		fail_msg("%s", e.message);
	return t;
}

/* kilo-contract.md section 37: USD 3, 15, 0.3 and 3.75 for a million tokens. */
static const struct cost_offer claude = { .base = { .prompt = "0.000003",
						  .completion = "0.000015",
						  .cache_read = "0.0000003",
						  .cache_write = "0.00000375" },
	.doubles_1h = true };

/* ---- prices ---- */

static void prices_are_read_exactly_or_not_at_all(void **state)
{
	static const struct {
		struct slice text;
		int64_t picousd; /* -1 = refused */
	} cases[] = {
		{ SLICE("0"), 0 },
		{ SLICE("0.0"), 0 },
		{ SLICE("0.000000000001"), 1 },
		{ SLICE("0.0000025"), 2500000 },
		{ SLICE("0.00000003"), 30000 },
		{ SLICE("000.5"), INT64_C(500000000000) },
		{ SLICE("1000"), COST_PRICE_MAX },
		{ SLICE("1000.000000000000000000000"), COST_PRICE_MAX },
		{ SLICE("999.999999999999"), COST_PRICE_MAX - 1 },
		{ SLICE("0.00000000000100000"), 1 },
		{ SLICE("1000.000000000001"), -1 },
		{ SLICE("1001"), -1 },
		{ SLICE("99999999999999999999999999"), -1 },
		{ SLICE("18446744073709551617"), -1 }, /* 1 after a wrap */
		{ SLICE("0.0000000000001"), -1 },
		{ SLICE("0.0000000000010000001"), -1 },
		{ SLICE("1e-6"), -1 },
		{ SLICE("2.5E-06"), -1 },
		{ SLICE("-1"), -1 }, /* "varies", says OpenRouter */
		{ SLICE("-0"), -1 },
		{ SLICE("+1"), -1 },
		{ SLICE(""), -1 },
		{ SLICE("."), -1 },
		{ SLICE(".5"), -1 },
		{ SLICE("5."), -1 },
		{ SLICE("1.2.3"), -1 },
		{ SLICE("1,5"), -1 },
		{ SLICE(" 1"), -1 },
		{ SLICE("1 "), -1 },
		{ SLICE("0x1"), -1 },
		{ SLICE("1\0"), -1 },
		{ SLICE("NaN"), -1 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		int64_t got = 77;

		print_message("%.*s\n", SLICE_ARG(cases[i].text));
		assert_int_equal(cost_read_usd(cases[i].text, &got), cases[i].picousd >= 0);
		assert_true(got == (cases[i].picousd >= 0 ? cases[i].picousd : 77));
	}
}

static void a_missing_price_falls_back_within_its_step(void **state)
{
	static const struct cost_step_text steps[] = { { 100, { .prompt = "0.2" } },
		{ 200, { .completion = "0.9", .cache_read = "0.05" } } };
	static const struct cost_offer offer = {
		.base = { .prompt = "0.1", .completion = "0.4" }, .steps = steps, .steps_n = 2
	};
	struct cost_table t = table_of(&offer);
	const int64_t tenth = INT64_C(100000000000);

	(void)state;
	assert_int_equal(t.base.cache_read, tenth);
	assert_int_equal(t.base.cache_write, tenth);
	assert_int_equal(t.base.cache_write_1h, tenth);
	assert_int_equal(t.base.reasoning, 4 * tenth);
	assert_int_equal(t.steps[0].rates.prompt, 2 * tenth);
	assert_int_equal(t.steps[0].rates.cache_read, 2 * tenth);
	assert_int_equal(t.steps[0].rates.completion, 4 * tenth);
	/* a step builds on the base, not on the step below it */
	assert_int_equal(t.steps[1].rates.prompt, tenth);
	assert_int_equal(t.steps[1].rates.completion, 9 * tenth);
	assert_int_equal(t.steps[1].rates.reasoning, 9 * tenth);
	assert_int_equal(t.steps[1].rates.cache_read, tenth / 2);
}

static void an_hour_of_cache_costs_twice_the_prompt_only_where_that_is_the_rule(void **state)
{
	struct cost_offer offer = claude;

	(void)state;
	assert_int_equal(table_of(&offer).base.cache_write_1h, 6000000);
	offer.doubles_1h = false;
	assert_int_equal(table_of(&offer).base.cache_write_1h, 3750000);
	offer.base.cache_write_1h = "0.000005";
	assert_int_equal(table_of(&offer).base.cache_write_1h, 5000000);
	offer.doubles_1h = true;
	assert_int_equal(table_of(&offer).base.cache_write_1h, 5000000);
}

static void a_bad_table_is_refused_by_name_and_leaves_nothing(void **state)
{
	static const struct cost_step_text falling[] = { { 20, { 0 } }, { 20, { 0 } } };
	static const struct cost_step_text zero[] = { { 0, { 0 } } };
	static const struct cost_step_text bad[] = { { 5, { .cache_write = "x" } } };
	static const struct cost_step_text many[] = { { 1, { 0 } }, { 2, { 0 } }, { 3, { 0 } },
		{ 4, { 0 } }, { 5, { 0 } }, { 6, { 0 } }, { 7, { 0 } } };
	static const struct cost_table nothing;
	const struct {
		const char *param;
		struct cost_offer offer;
	} cases[] = {
		{ "prompt", { .base = { .completion = "1" } } },
		{ "completion", { .base = { .prompt = "1" } } },
		{ "prompt", { .base = { .prompt = "1e3", .completion = "1" } } },
		{ "completion", { .base = { .prompt = "1", .completion = "" } } },
		{ "cache_read",
			{ .base = { .prompt = "1", .completion = "1", .cache_read = "-1" } } },
		{ "cache_write",
			{ .base = { .prompt = "1", .completion = "1", .cache_write = "1001" } } },
		{ "cache_write_1h",
			{ .base = { .prompt = "1", .completion = "1", .cache_write_1h = "?" } } },
		{ "reasoning",
			{ .base = { .prompt = "1", .completion = "1", .reasoning = "1." } } },
		{ "request", { .base = { .prompt = "1", .completion = "1" }, .request = "a" } },
		{ "image", { .base = { .prompt = "1", .completion = "1" },
				   .image = "0.0000000000001" } },
		{ "steps", { .base = { .prompt = "1", .completion = "1" },
				   .steps = falling,
				   .steps_n = 2 } },
		{ "steps", { .base = { .prompt = "1", .completion = "1" },
				   .steps = zero,
				   .steps_n = 1 } },
		{ "steps", { .base = { .prompt = "1", .completion = "1" },
				   .steps = many,
				   .steps_n = 7 } },
		{ "cache_write", { .base = { .prompt = "1", .completion = "1" },
					 .steps = bad,
					 .steps_n = 1 } },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct cost_table t;
		struct err e;

		print_message("%zu: %s\n", i, cases[i].param);
		assert_int_equal(cost_table_init(&t, &cases[i].offer, &e), ERR_RANGE);
		assert_string_equal(e.param, cases[i].param);
		assert_memory_equal(&t, &nothing, sizeof(t));
	}
}

static void a_version_names_the_prices_and_not_their_spelling(void **state)
{
	struct cost_offer offer = claude;
	struct cost_step_text step = { 272000, { .prompt = "0.00001" } };
	uint32_t version = table_of(&offer).version, seen[12];
	size_t n = 0;

	(void)state;
	/* CRC-32 of the eight numbers as zlib has it. The ledger keeps it: a value that changes
	 * would orphan every line written so far. */
	assert_int_equal(version, 0xedf72e3d);
	offer.base.prompt = "00.0000030";
	offer.base.reasoning = "0.000015";
	offer.base.cache_write_1h = "0.000006";
	assert_int_equal(table_of(&offer).version, version);
	seen[n++] = version;
#define DIFFERS(change) \
	do { \
		offer = claude; \
		change; \
		seen[n] = table_of(&offer).version; \
		assert_int_not_equal(seen[n], 0); \
		n++; \
	} while (0)
	DIFFERS(offer.base.prompt = "0.000003000001");
	DIFFERS(offer.base.completion = "0.000016");
	DIFFERS(offer.base.cache_read = "0");
	DIFFERS(offer.base.cache_write = NULL);
	DIFFERS(offer.base.cache_write_1h = "0.1");
	DIFFERS(offer.base.reasoning = "0.1");
	DIFFERS(offer.request = "0.1");
	DIFFERS(offer.image = "0.1");
	DIFFERS((offer.steps = &step, offer.steps_n = 1));
	step.above_tokens++;
	DIFFERS((offer.steps = &step, offer.steps_n = 1));
#undef DIFFERS
	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < i; k++)
			assert_int_not_equal(seen[i], seen[k]);
}

static void assert_usd(cost_wide picousd, const char *wanted)
{
	struct buf out = { 0 };

	cost_write_usd(picousd, &out);
	assert_string_equal(buf_cstr(&out), wanted);
	buf_fini(&out);
}

static void amounts_are_written_as_exact_decimals(void **state)
{
	(void)state;
	assert_usd(0, "0");
	assert_usd(1, "0.000000000001");
	assert_usd(12340000, "0.00001234");
	assert_usd(100000000000, "0.1");
	assert_usd(1000000000000, "1");
	assert_usd(10000000000000, "10");
	assert_usd(1000000000001, "1.000000000001");
	assert_usd(~(cost_wide)0, "340282366920938463463374607.431768211455");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(prices_are_read_exactly_or_not_at_all),
		cmocka_unit_test(a_missing_price_falls_back_within_its_step),
		cmocka_unit_test(
			an_hour_of_cache_costs_twice_the_prompt_only_where_that_is_the_rule),
		cmocka_unit_test(a_bad_table_is_refused_by_name_and_leaves_nothing),
		cmocka_unit_test(a_version_names_the_prices_and_not_their_spelling),
		cmocka_unit_test(amounts_are_written_as_exact_decimals),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
