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

/* openai/gpt-5.6, as in the catalogue. */
static const struct cost_step_text long_steps[] = { { 272000,
	{ .prompt = "0.00001",
		.completion = "0.000045",
		.cache_read = "0.000001",
		.cache_write = "0.0000125" } } };
static const struct cost_offer long_context = { .base = { .prompt = "0.000005",
							.completion = "0.00003",
							.cache_read = "0.0000005",
							.cache_write = "0.00000625" },
	.steps = long_steps,
	.steps_n = 1 };

static struct cost priced(const struct cost_facts *f)
{
	struct cost c;
	struct err e;

	if (cost_of(f, &c, &e))
		fail_msg("%s", e.message);
	return c;
}

static struct cost by_table(const struct cost_table *t, struct usage u)
{
	struct cost_facts f = { .table = t, .usage = &u, .upstream_picousd = -1 };

	u.cost_picousd = -1;
	if (u.state == USAGE_NONE)
		u.state = USAGE_REPORTED;
	return priced(&f);
}

static cost_wide sum(const struct cost_parts *p)
{
	return p->prompt + p->cached + p->write + p->completion + p->reasoning + p->request +
	       p->image;
}

static void assert_usd(cost_wide picousd, const char *wanted)
{
	struct buf out = { 0 };

	cost_write_usd(picousd, &out);
	assert_string_equal(buf_cstr(&out), wanted);
	buf_fini(&out);
}

/* ---- costs ---- */

/* The vectors of kilo-contract.md section 37. */
static void a_cost_is_rounded_once_and_half_up(void **state)
{
	static const struct {
		const char *usd;
		int64_t microusd;
	} cases[] = { { "0.01413195", 14132 }, { "0.001425", 1425 }, { "0.0000004", 0 },
		{ "0.0000005", 1 }, { "1.2345678", 1234568 }, { "0.000000499999", 0 },
		{ "0.0000015", 2 }, { "0.0000025", 3 }, { "0", 0 }, { "1000", 1000000000 } };

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct usage u = { .state = USAGE_REPORTED };
		struct cost_facts f = { .usage = &u, .trusts_cost = true };

		print_message("%s\n", cases[i].usd);
		assert_true(cost_read_usd(slice_of(cases[i].usd), &u.cost_picousd));
		assert_int_equal(priced(&f).microusd, cases[i].microusd);
		assert_usd((cost_wide)u.cost_picousd, cases[i].usd);
	}
}

/* Three classes of 0.4 microdollars each: rounded one by one they would cost nothing. */
static void classes_are_summed_before_they_are_rounded(void **state)
{
	static const struct cost_offer offer = { .base = { .prompt = "0.0000004",
							 .completion = "0.0000004" } };
	struct cost_table t = table_of(&offer);
	struct usage u = { .prompt_tokens = 2, .cached_tokens = 1, .completion_tokens = 1 };

	(void)state;
	assert_int_equal(by_table(&t, u).microusd, 1); /* 1.2 */
	u.prompt_tokens = 3;
	assert_int_equal(by_table(&t, u).microusd, 2); /* 1.6 */
}

static void the_contracts_price_tables_give_the_contracts_costs(void **state)
{
	static const struct cost_offer mistral = { .base = { .prompt = "0.0000003",
							   .completion = "0.0000009" } };
	struct cost_table t = table_of(&claude);
	struct cost c = by_table(&t, (struct usage){ .prompt_tokens = 10000,
					     .cached_tokens = 8000,
					     .cache_write_tokens = 1000,
					     .completion_tokens = 500 });

	(void)state;
	assert_int_equal(c.microusd, 16650);
	assert_usd(c.parts.prompt, "0.003");
	assert_usd(c.parts.write, "0.00375");
	assert_usd(c.parts.cached, "0.0024");
	assert_usd(c.parts.completion, "0.0075");
	assert_int_equal(c.price_version, t.version);
	assert_int_equal(c.source, COST_TABLE);
	t = table_of(&mistral); /* the FIM vectors */
	assert_int_equal(
		by_table(&t, (struct usage){ .prompt_tokens = 100, .completion_tokens = 50 })
			.microusd,
		75);
	assert_int_equal(
		by_table(&t, (struct usage){ .prompt_tokens = 101, .completion_tokens = 51 })
			.microusd,
		76);
}

static void every_class_has_its_own_price(void **state)
{
	static const struct cost_offer offer = { .base = { .prompt = "0.000001",
							 .completion = "0.00001",
							 .cache_read = "0.0001",
							 .cache_write = "0.001",
							 .cache_write_1h = "0.01",
							 .reasoning = "0.1" },
		.request = "1",
		.image = "10" };
	struct cost_table t = table_of(&offer);
	struct usage u = { .state = USAGE_REPORTED,
		.prompt_tokens = 1 + 2 + 3 + 4,
		.cached_tokens = 2,
		.cache_write_tokens = 3 + 4,
		.cache_write_1h_tokens = 4,
		.completion_tokens = 5 + 6,
		.reasoning_tokens = 6,
		.cost_picousd = -1 };
	struct cost_facts f = { .table = &t, .usage = &u, .images = 7 };
	struct cost c = priced(&f);

	(void)state;
	assert_usd(c.parts.prompt, "0.000001");
	assert_usd(c.parts.cached, "0.0002");
	assert_usd(c.parts.write, "0.043");
	assert_usd(c.parts.completion, "0.00005");
	assert_usd(c.parts.reasoning, "0.6");
	assert_usd(c.parts.request, "1");
	assert_usd(c.parts.image, "70");
	assert_usd(c.total, "71.643251");
	assert_int_equal(c.microusd, 71643251);
}

static void parts_beyond_their_whole_count_beside_it(void **state)
{
	struct cost_table t = table_of(&claude);
	struct usage u = { .prompt_tokens = 5, .cached_tokens = 10, .reasoning_tokens = 3 };
	struct cost_facts f = { .table = &t, .usage = &u };
	struct cost c;

	(void)state;
	c = by_table(&t, u);
	assert_true(c.parts.prompt == 0 && c.parts.completion == 0);
	assert_usd(c.parts.cached, "0.000003");
	assert_usd(c.parts.reasoning, "0.000045");
	u = (struct usage){
		.state = USAGE_REPORTED, .cache_write_1h_tokens = 2, .cost_picousd = -1
	};
	assert_usd(priced(&f).total, "0.000012"); /* two tokens for an hour */
}

static void above_a_step_every_token_costs_the_steps_price(void **state)
{
	struct cost_table t = table_of(&long_context);
	struct usage u = { .prompt_tokens = 272000, .completion_tokens = 10 };

	(void)state;
	assert_int_equal(by_table(&t, u).microusd, 272000 * 5 + 300);
	u.prompt_tokens++;
	assert_int_equal(by_table(&t, u).microusd, 272001 * 10 + 450);
	u.cached_tokens = 200000;
	u.cache_write_tokens = 2000;
	assert_int_equal(by_table(&t, u).microusd, 70001 * 10 + 200000 + 25000 + 450);
	/* Figures that stand beside the prompt still make the prompt long. */
	u = (struct usage){ .prompt_tokens = 1, .cached_tokens = 272001 };
	assert_int_equal(by_table(&t, u).microusd, 272001);
}

static void a_trusted_routers_cost_replaces_the_table_and_others_do_not(void **state)
{
	struct cost_table t = table_of(&claude);
	struct usage u = {
		.state = USAGE_REPORTED, .prompt_tokens = 1000, .cost_picousd = 511000000
	};
	struct cost_facts f = { .table = &t, .usage = &u, .trusts_cost = true };
	struct cost c = priced(&f);

	(void)state;
	assert_int_equal(c.microusd, 511);
	assert_int_equal(c.source, COST_ROUTER);
	assert_int_equal(c.price_version, 0);
	u.cost_picousd = 0; /* said, and free */
	assert_int_equal(priced(&f).microusd, 0);
	u.cost_picousd = -1;
	assert_int_equal(priced(&f).microusd, 3000);
	u.cost_picousd = 511000000;
	f.trusts_cost = false;
	assert_int_equal(priced(&f).microusd, 3000);
	f.table = NULL;
	f.trusts_cost = true; /* a router needs no table */
	assert_int_equal(priced(&f).microusd, 511);
}

static void with_the_operators_own_key_at_a_router_the_providers_price_counts(void **state)
{
	struct cost_table t = table_of(&claude);
	struct usage u = {
		.state = USAGE_REPORTED, .prompt_tokens = 1000, .cost_picousd = 150000000
	};
	struct cost_facts f = { .table = &t,
		.usage = &u,
		.trusts_cost = true,
		.router_byok = true,
		.upstream_picousd = INT64_C(2999000000) };

	(void)state;
	assert_int_equal(priced(&f).microusd, 2999);
	f.upstream_picousd = -1; /* the fee alone is not the price */
	assert_int_equal(priced(&f).microusd, 3000);
	assert_int_equal(priced(&f).source, COST_TABLE);
}

static void the_state_of_the_usage_decides_what_counts(void **state)
{
	static const struct {
		enum usage_state state;
		int64_t said;
		int64_t microusd;
		enum cost_source source;
	} cases[] = {
		{ USAGE_NONE, 7000000, 0, COST_NOTHING },
		{ USAGE_NONE, -1, 0, COST_NOTHING },
		{ USAGE_REPORTED, 7000000, 7, COST_ROUTER },
		{ USAGE_REPORTED, -1, 1500300, COST_TABLE },
		{ USAGE_ESTIMATED, 7000000, 1500300, COST_TABLE },
		{ USAGE_ESTIMATED, 0, 1500300, COST_TABLE },
		{ USAGE_PARTIAL, 7000000, 7, COST_ROUTER },
		{ USAGE_PARTIAL, -1, 1500300, COST_TABLE },
	};
	struct cost_offer offer = claude;
	struct cost_table t;

	(void)state;
	offer.request = "1.5";
	t = table_of(&offer);
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct usage u = {
			.state = cases[i].state, .prompt_tokens = 100, .cost_picousd = cases[i].said
		};
		struct cost_facts f = { .table = &t, .usage = &u, .trusts_cost = true };
		struct cost c = priced(&f);

		print_message("%zu\n", i);
		assert_int_equal(c.microusd, cases[i].microusd);
		assert_int_equal(c.source, cases[i].source);
	}
}

static void free_models_and_own_keys_cost_nothing_but_keep_what_they_are_worth(void **state)
{
	struct cost_table t = table_of(&claude);
	struct usage u = { .state = USAGE_REPORTED, .prompt_tokens = 1000, .cost_picousd = -1 };

	(void)state;
	for (int free_model = 0; free_model < 2; free_model++) {
		struct cost_facts f = {
			.table = &t, .usage = &u, .free = free_model, .byok = !free_model
		};
		struct cost c = priced(&f);

		assert_int_equal(c.microusd, 0);
		assert_int_equal(c.market_microusd, 3000);
		assert_true(c.waived);
		f.table = NULL; /* nobody has to pay: not to know the price is no error */
		c = priced(&f);
		assert_int_equal(c.microusd, 0);
		assert_int_equal(c.source, COST_UNKNOWN);
	}
}

static void an_unknown_price_is_an_error_and_never_zero(void **state)
{
	struct usage u = { .state = USAGE_REPORTED, .prompt_tokens = 1, .cost_picousd = -1 };
	struct cost_facts f = { .usage = &u, .trusts_cost = true };
	struct cost_ask ask = { .prompt_tokens = 1 };
	struct buf out = { 0 };
	struct cost c;
	struct err e;
	int64_t worst = 7;

	(void)state;
	assert_int_equal(cost_of(&f, &c, &e), ERR_NOT_FOUND);
	assert_int_equal(c.source, COST_UNKNOWN);
	cost_write_json(&c, &out);
	assert_int_equal(out.len, 0);
	assert_int_equal(cost_worst(NULL, &ask, &worst, &e), ERR_NOT_FOUND);
	assert_int_equal(worst, 0);
}

static void negative_figures_are_refused(void **state)
{
	struct cost_table t = table_of(&claude);

	(void)state;
	for (int i = 0; i < 7; i++) {
		struct usage u = { .state = USAGE_REPORTED, .cost_picousd = -1 };
		struct cost_facts f = { .table = &t, .usage = &u };
		int64_t *const figures[] = { &u.prompt_tokens, &u.completion_tokens,
			&u.cached_tokens, &u.cache_write_tokens, &u.reasoning_tokens, &f.images,
			&u.cache_write_1h_tokens };
		struct cost c;

		*figures[i] = i % 2 ? -1 : INT64_MIN;
		assert_int_equal(cost_of(&f, &c, NULL), ERR_RANGE);
		assert_true(c.microusd == 0 && c.total == 0);
	}
	for (int i = 0; i < 3; i++) {
		struct cost_ask ask = { 0 };
		int64_t *const figures[] = { &ask.prompt_tokens, &ask.max_output_tokens,
			&ask.images };
		int64_t worst;

		*figures[i] = -1;
		assert_int_equal(cost_worst(&t, &ask, &worst, NULL), ERR_RANGE);
	}
}

/* ---- extremes ---- */

static const struct cost_offer dearest = { .base = { "1000", "1000", "1000", "1000", NULL, "1000" },
	.doubles_1h = true,
	.request = "1000",
	.image = "1000" };

static void the_largest_count_of_tokens_at_the_largest_price_is_exact(void **state)
{
	struct cost_table t = table_of(&dearest);
	struct usage u = { .prompt_tokens = INT32_MAX, .completion_tokens = INT32_MAX };
	struct cost c = by_table(&t, u);

	(void)state;
	assert_true(c.microusd == 2 * (int64_t)INT32_MAX * 1000000000 + 1000000000);
	assert_usd(c.total, "4294967295000");
}

static void beyond_int64_a_cost_stops_and_says_so(void **state)
{
	struct cost_table t = table_of(&dearest);
	struct usage u = { .state = USAGE_REPORTED,
		.prompt_tokens = INT64_MAX,
		.completion_tokens = INT64_MAX,
		.cached_tokens = INT64_MAX,
		.cache_write_tokens = INT64_MAX,
		.cache_write_1h_tokens = INT64_MAX,
		.reasoning_tokens = INT64_MAX,
		.cost_picousd = -1 };
	struct cost_facts f = { .table = &t, .usage = &u, .images = INT64_MAX };
	struct cost_ask ask = { INT64_MAX, INT64_MAX, INT64_MAX, true };
	int64_t edge = INT64_MAX / 1000000000, worst;
	struct cost c;
	struct err e;

	(void)state;
	assert_int_equal(cost_of(&f, &c, &e), ERR_RANGE);
	assert_true(c.microusd == INT64_MAX && c.market_microusd == INT64_MAX);
	/* INT64_MAX tokens each of cached, 1 h at twice the price, reasoning, and images */
	assert_true(c.total == (cost_wide)INT64_MAX * 5 * COST_PRICE_MAX + COST_PRICE_MAX);
	assert_true(c.total == sum(&c.parts));
	f.byok = true;
	assert_int_equal(cost_of(&f, &c, &e), ERR_RANGE);
	assert_true(c.microusd == 0 && c.market_microusd == INT64_MAX);
	assert_int_equal(cost_worst(&t, &ask, &worst, &e), ERR_RANGE);
	assert_true(worst == INT64_MAX);
	/* The last cost that fits, with the price per request, and the first that does not. */
	ask = (struct cost_ask){ .prompt_tokens = edge - 1 };
	assert_int_equal(cost_worst(&t, &ask, &worst, &e), ERR_OK);
	assert_true(worst == edge * 1000000000);
	ask.prompt_tokens++;
	assert_int_equal(cost_worst(&t, &ask, &worst, &e), ERR_RANGE);
}

/* ---- properties ---- */

static uint64_t seed = 1;

static uint64_t any(uint64_t below)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed % below;
}

/* Small figures, large ones and those around a step. */
static int64_t any_tokens(void)
{
	static const uint64_t below[] = { 2, 1000, 300000, INT32_MAX };
	uint64_t kind = any(5);

	return (int64_t)(kind < 4 ? any(below[kind]) : 271990 + any(20));
}

static struct usage any_usage(void)
{
	struct usage u = { .state = USAGE_REPORTED,
		.prompt_tokens = any_tokens(),
		.completion_tokens = any_tokens(),
		.cost_picousd = -1 };

	u.cached_tokens = (int64_t)any((uint64_t)u.prompt_tokens + 1);
	u.cache_write_tokens = (int64_t)any((uint64_t)(u.prompt_tokens - u.cached_tokens) + 1);
	u.reasoning_tokens = (int64_t)any((uint64_t)u.completion_tokens + 1);
	return u;
}

static void parts_sum_up_to_the_total_and_the_worst_case_bounds_it(void **state)
{
	static const struct cost_step_text cheaper[] = { { 1000, { .prompt = "0.000001" } },
		{ 272000, { .prompt = "0.000009", .completion = "0.00001" } } };
	static const struct cost_offer odd = { .base = { .prompt = "0.000002",
						       .completion = "0.000011",
						       .cache_write = "0.0000025",
						       .reasoning = "0.000013" },
		.request = "0.000000333333",
		.image = "0.001445",
		.steps = cheaper,
		.steps_n = 2 };
	const struct cost_table tables[] = { table_of(&claude), table_of(&long_context),
		table_of(&odd), table_of(&dearest) };

	(void)state;
	for (int i = 0; i < 40000; i++) {
		struct usage u = any_usage();
		struct cost_facts f = {
			.table = &tables[i % 4], .usage = &u, .images = (int64_t)any(9)
		};
		struct cost_ask ask = { .images = f.images, .writes_1h = any(2) };
		int64_t worst;
		struct cost c;

		if (ask.writes_1h)
			u.cache_write_1h_tokens = (int64_t)any((uint64_t)u.cache_write_tokens + 1);
		c = priced(&f);
		assert_true(sum(&c.parts) == c.total);
		/* half up, in whole numbers: 2 x total lies in [2m - 1, 2m + 1) microdollars */
		assert_true(2 * c.total + 1000000 >= (cost_wide)c.microusd * 2000000);
		assert_true(2 * c.total < (cost_wide)c.microusd * 2000000 + 1000000);
		ask.prompt_tokens = u.prompt_tokens + (int64_t)any(3) * 150000;
		ask.max_output_tokens = u.completion_tokens + (int64_t)any(3);
		assert_int_equal(cost_worst(f.table, &ask, &worst, NULL), ERR_OK);
		assert_true(worst >= c.microusd);
	}
}

static void one_more_token_of_any_class_never_costs_less(void **state)
{
	const struct cost_table tables[] = { table_of(&claude), table_of(&long_context) };

	(void)state;
	for (int i = 0; i < 40000; i++) {
		struct usage u = any_usage();
		struct cost_facts f = { .table = &tables[i % 2], .usage = &u };
		cost_wide before = priced(&f).total;
		int more = i / 2 % 6;

		f.images = more == 5;
		u.prompt_tokens += more < 3;
		u.cached_tokens += more == 1;
		u.cache_write_tokens += more == 2;
		u.completion_tokens += more == 3 || more == 4;
		u.reasoning_tokens += more == 4;
		assert_true(priced(&f).total >= before + (more < 5));
	}
}

static void a_short_prompt_reserves_at_the_base_price_and_a_long_one_at_the_steps(void **state)
{
	struct cost_table t = table_of(&long_context);
	struct cost_ask ask = { .prompt_tokens = 1000, .max_output_tokens = 100 };
	int64_t worst;

	(void)state;
	assert_int_equal(cost_worst(&t, &ask, &worst, NULL), ERR_OK);
	assert_int_equal(worst, 1000 * 6.25 + 100 * 30); /* all of it may be written to the cache */
	ask.prompt_tokens = 272001;
	assert_int_equal(cost_worst(&t, &ask, &worst, NULL), ERR_OK);
	assert_int_equal(worst, 272001 * 25 / 2 + 1 + 100 * 45); /* …12.5, half up */
	t = table_of(&claude);
	ask = (struct cost_ask){ .prompt_tokens = 1000 };
	assert_int_equal(cost_worst(&t, &ask, &worst, NULL), ERR_OK);
	assert_int_equal(worst, 3750);
	ask.writes_1h = true;
	assert_int_equal(cost_worst(&t, &ask, &worst, NULL), ERR_OK);
	assert_int_equal(worst, 6000);
}

/* ---- writing ---- */

static void assert_json(const struct cost *c, const char *wanted)
{
	struct buf out = { 0 }, object = { 0 };
	struct err e;

	cost_write_json(c, &out);
	assert_string_equal(buf_cstr(&out), wanted);
	buf_printf(&object, "{%s}", wanted);
	assert_int_equal(json_validate(buf_slice(&object),
				 &(struct json_limits){ .max_depth = 4, .max_keys = 32 }, NULL, &e),
		ERR_OK);
	buf_fini(&out);
	buf_fini(&object);
}

static void the_usage_of_an_answer_names_cost_and_parts(void **state)
{
	struct cost_table t = table_of(&claude);
	struct usage u = { .state = USAGE_REPORTED,
		.prompt_tokens = 4,
		.cached_tokens = 1,
		.completion_tokens = 1,
		.cost_picousd = -1 };
	struct cost_facts f = { .table = &t, .usage = &u };
	struct cost c = priced(&f);

	(void)state;
	assert_json(&c,
		"\"cost\":0.0000243,\"cost_details\":{\"upstream_inference_cost\":null,"
		"\"upstream_inference_prompt_cost\":0.0000093,"
		"\"upstream_inference_completions_cost\":0.000015,\"prompt_cost\":0.000009,"
		"\"cached_cost\":0.0000003,\"cache_write_cost\":0,\"completion_cost\":0.000015,"
		"\"reasoning_cost\":0,\"request_cost\":0,\"image_cost\":0}");
	f.byok = true;
	c = priced(&f);
	assert_json(&c,
		"\"cost\":0,\"cost_details\":{\"upstream_inference_cost\":0.0000243,"
		"\"upstream_inference_prompt_cost\":0.0000093,"
		"\"upstream_inference_completions_cost\":0.000015,\"prompt_cost\":0.000009,"
		"\"cached_cost\":0.0000003,\"cache_write_cost\":0,\"completion_cost\":0.000015,"
		"\"reasoning_cost\":0,\"request_cost\":0,\"image_cost\":0}");
	f.byok = false;
	f.trusts_cost = true;
	u.cost_picousd = 12340000;
	c = priced(&f);
	assert_json(&c, "\"cost\":0.00001234,\"cost_details\":{\"upstream_inference_cost\":"
			"0.00001234}");
	u.state = USAGE_NONE;
	c = priced(&f);
	assert_json(&c, "\"cost\":0,\"cost_details\":{\"upstream_inference_cost\":null}");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_cost_is_rounded_once_and_half_up),
		cmocka_unit_test(classes_are_summed_before_they_are_rounded),
		cmocka_unit_test(the_contracts_price_tables_give_the_contracts_costs),
		cmocka_unit_test(every_class_has_its_own_price),
		cmocka_unit_test(parts_beyond_their_whole_count_beside_it),
		cmocka_unit_test(above_a_step_every_token_costs_the_steps_price),
		cmocka_unit_test(a_trusted_routers_cost_replaces_the_table_and_others_do_not),
		cmocka_unit_test(with_the_operators_own_key_at_a_router_the_providers_price_counts),
		cmocka_unit_test(the_state_of_the_usage_decides_what_counts),
		cmocka_unit_test(
			free_models_and_own_keys_cost_nothing_but_keep_what_they_are_worth),
		cmocka_unit_test(an_unknown_price_is_an_error_and_never_zero),
		cmocka_unit_test(negative_figures_are_refused),
		cmocka_unit_test(the_largest_count_of_tokens_at_the_largest_price_is_exact),
		cmocka_unit_test(beyond_int64_a_cost_stops_and_says_so),
		cmocka_unit_test(parts_sum_up_to_the_total_and_the_worst_case_bounds_it),
		cmocka_unit_test(one_more_token_of_any_class_never_costs_less),
		cmocka_unit_test(
			a_short_prompt_reserves_at_the_base_price_and_a_long_one_at_the_steps),
		cmocka_unit_test(the_usage_of_an_answer_names_cost_and_parts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
