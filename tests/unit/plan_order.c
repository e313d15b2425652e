/* Who is asked first: by weights, conversation, health, cost and latency. */
#include "tests/unit/plan_bench.h"

/* ---- shares ---- */

#define SHARES \
	ENV("GATEWAY_PROVIDERS=groq,cerebras,together,fireworks", "GATEWAY_WEIGHTS=50,30,20,0", \
		"GROQ_API_KEY=k", "CEREBRAS_API_KEY=k", "TOGETHER_API_KEY=k", \
		"FIREWORKS_API_KEY=k")
#define LLAMA "meta-llama/llama-3.3-70b-instruct"

static uint64_t random64(uint64_t *seed)
{
	uint64_t z = *seed += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

static void weights_share_requests_out_to_within_two_points(void **state)
{
	static const struct {
		const char *slug;
		int percent;
	} shares[] = { { "groq", 50 }, { "cerebras", 30 }, { "together", 20 }, { "fireworks", 0 } };
	int count[4] = { 0 };
	uint64_t seed = 1;
	struct bench b;

	(void)state;
	bench_open(&b, SHARES);
	for (int n = 0; n < 10000; n++) {
		b.ask.dice = random64(&seed);
		assert_int_equal(make(&b, LLAMA, ""), ERR_OK);
		assert_int_equal(b.plan.count, 4);
		for (size_t i = 0; i < 4; i++)
			count[i] += strcmp(b.plan.at[0].route.target.slug, shares[i].slug) == 0;
		/* the others in order of their weights */
		assert_string_equal(b.plan.at[3].route.target.slug, "fireworks");
		if (strcmp(b.plan.at[0].route.target.slug, "groq") != 0)
			assert_string_equal(b.plan.at[1].route.target.slug, "groq");
	}
	for (size_t i = 0; i < 4; i++) {
		print_message("%s %d\n", shares[i].slug, count[i]);
		assert_in_range(
			count[i] + 200, shares[i].percent * 100, shares[i].percent * 100 + 400);
	}
	bench_close(&b);
}

/* ---- conversations ---- */

#define CONVERSATIONS 1000

/* Who is first for each conversation, as an index into the slugs of SHARES. */
static void first_of_each(struct bench *b, size_t out[CONVERSATIONS])
{
	static const char *const slugs[] = { "groq", "cerebras", "together", "fireworks" };
	uint64_t seed = 7;
	char name[32];

	for (size_t n = 0; n < CONVERSATIONS; n++) {
		snprintf(name, sizeof(name), "task-%zu", n);
		b->ask.sticky = slice_of(name);
		b->ask.dice = random64(&seed);
		assert_int_equal(make(b, LLAMA, ""), ERR_OK);
		for (out[n] = 0; strcmp(b->plan.at[0].route.target.slug, slugs[out[n]]) != 0;)
			assert_true(++out[n] < 4);
	}
	b->ask.sticky = SLICE("");
}

/* Enough failures of a provider's LLAMA to take it out of rotation. */
static void open_breaker(struct bench *b, const char *slug)
{
	const struct health_report failed = { .outcome = HEALTH_FAILED };

	assert_int_equal(make(b, LLAMA, ""), ERR_OK);
	for (size_t i = 0; i < b->plan.count; i++) {
		const struct target *t = &b->plan.at[i].route.target;

		for (int n = 0; n < 10 && strcmp(t->slug, slug) == 0; n++)
			(void)health_tell((struct health *)(uintptr_t)b->ask.health,
				slice_of(t->slug), SLICE(LLAMA), b->ask.health_conf, b->ask.now_ms,
				&failed, NULL);
	}
}

static const struct health_conf half_a_minute = { .interval_ms = 30000, .percent = 50, .min = 5 };

static void give_health(struct bench *b)
{
	b->ask.health = calloc(1, health_bytes());
	assert_non_null(b->ask.health);
	b->ask.health_conf = &half_a_minute;
	b->ask.now_ms = 1000000;
}

static void take_health(struct bench *b)
{
	free((struct health *)(uintptr_t)b->ask.health);
	b->ask.health = NULL;
}

static void a_conversation_stays_and_only_the_failed_share_moves(void **state)
{
	size_t before[CONVERSATIONS], again[CONVERSATIONS], after[CONVERSATIONS];
	int count[4] = { 0 }, moved[4] = { 0 };
	struct bench b;

	(void)state;
	bench_open(&b, SHARES);
	give_health(&b);
	first_of_each(&b, before);
	first_of_each(&b, again);
	assert_memory_equal(before, again, sizeof(before));
	open_breaker(&b, "groq");
	first_of_each(&b, after);
	for (size_t n = 0; n < CONVERSATIONS; n++) {
		count[before[n]]++;
		if (before[n] != 0)
			assert_int_equal(after[n], before[n]);
		else
			moved[after[n]]++;
	}
	/* by weight, and those that had to move by the weights of the others: 3 to 2 */
	assert_in_range(count[0], 450, 550);
	assert_in_range(count[1], 250, 350);
	assert_in_range(count[2], 150, 250);
	assert_int_equal(count[3], 0);
	assert_int_equal(moved[0] + moved[3], 0);
	assert_in_range(moved[1], moved[2] + 1, 2 * moved[2]);
	/* and back again */
	b.ask.now_ms += 30001;
	first_of_each(&b, after);
	assert_memory_equal(before, after, sizeof(before));
	take_health(&b);
	bench_close(&b);
}

static void nothing_sticks_when_the_operator_does_not_want_it(void **state)
{
	size_t first[CONVERSATIONS];
	struct bench b;
	int same = 0;

	(void)state;
	bench_open(&b, ENV("GATEWAY_PROVIDERS=groq,cerebras", "GATEWAY_WEIGHTS=1,1",
			       "GATEWAY_STICKY=off", "GROQ_API_KEY=k", "CEREBRAS_API_KEY=k"));
	b.ask.sticky = SLICE("task");
	for (size_t n = 0; n < CONVERSATIONS; n++) {
		b.ask.dice = n;
		assert_int_equal(make(&b, LLAMA, ""), ERR_OK);
		first[n] = strcmp(b.plan.at[0].route.target.slug, "groq") == 0;
		same += first[n] == first[0];
	}
	assert_int_equal(same, CONVERSATIONS / 2);
	bench_close(&b);
}

/* ---- rotation ---- */

static void who_is_out_of_rotation_comes_last_and_says_for_how_long(void **state)
{
	const struct health_report limited = { .outcome = HEALTH_REFUSED, .limited_ms = 2000 };
	struct bench b;

	(void)state;
	bench_open(&b, SHARES);
	give_health(&b);
	check(&b, LLAMA, "", "groq cerebras together fireworks");
	assert_int_equal(b.plan.at[0].wait_ms, 0);
	open_breaker(&b, "groq");
	check(&b, LLAMA, "", "cerebras together fireworks groq");
	assert_in_range(b.plan.at[3].wait_ms, 1, 30000);
	/* who may be asked again sooner stands before it */
	(void)health_tell((struct health *)(uintptr_t)b.ask.health, SLICE("cerebras"), SLICE(LLAMA),
		&half_a_minute, b.ask.now_ms, &limited, NULL);
	check(&b, LLAMA, "", "together fireworks cerebras groq");
	/* even the one that the request wants first, and behind other models */
	check(&b, LLAMA, ",\"provider\":{\"order\":[\"groq\"]}",
		"together fireworks cerebras groq");
	check(&b, LLAMA, ",\"models\":[\"openai/gpt-oss-120b\"]",
		"together fireworks | groq cerebras together fireworks | cerebras groq");
	check(&b, LLAMA, ",\"provider\":{\"only\":[\"groq\"]}", "groq");
	assert_in_range(b.plan.at[0].wait_ms, 1, 30000);
	/* a reserve is there for this */
	open_breaker(&b, "together");
	check(&b, LLAMA, "", "fireworks cerebras groq together");
	take_health(&b);
	bench_close(&b);
}

static void an_outage_shares_out_by_the_weights_of_the_others(void **state)
{
	int cerebras = 0;
	uint64_t seed = 3;
	struct bench b;

	(void)state;
	bench_open(&b, SHARES);
	give_health(&b);
	open_breaker(&b, "groq");
	for (int n = 0; n < 10000; n++) {
		b.ask.dice = random64(&seed);
		assert_int_equal(make(&b, LLAMA, ""), ERR_OK);
		cerebras += strcmp(b.plan.at[0].route.target.slug, "cerebras") == 0;
	}
	assert_in_range(cerebras, 5800, 6200);
	take_health(&b);
	bench_close(&b);
}

/* ---- cost and latency ---- */

static void the_cheapest_is_first_when_cost_counts(void **state)
{
	struct bench b;

	(void)state;
	bench_open(&b, ENV("GATEWAY_STRATEGY=cost", "CEREBRAS_API_KEY=k", "GROQ_API_KEY=k",
			       "TOGETHER_API_KEY=k", "NVIDIA_API_KEY=k"));
	check(&b, LLAMA, "", "groq together cerebras nvidia");
	bench_close(&b);
	bench_open(&b, ENV("CEREBRAS_API_KEY=k", "FIREWORKS_API_KEY=k", "NVIDIA_API_KEY=k",
			       "TOGETHER_API_KEY=k"));
	check(&b, LLAMA, "", "cerebras together fireworks nvidia");
	check(&b, LLAMA, ",\"provider\":{\"sort\":\"price\"}",
		"together fireworks cerebras nvidia");
	check(&b, LLAMA, ",\"provider\":{\"sort\":{\"by\":\"price\"}}",
		"together fireworks cerebras nvidia");
	check(&b, LLAMA, ",\"providerOptions\":{\"gateway\":{\"sort\":\"cost\"}}",
		"together fireworks cerebras nvidia");
	/* each model of a chain for itself */
	check(&b, LLAMA, ",\"models\":[\"openai/gpt-oss-120b\"],\"provider\":{\"sort\":\"price\"}",
		"together fireworks cerebras nvidia | together fireworks cerebras nvidia");
	bench_close(&b);
}

static void note_speed(struct bench *b, const char *slug, int64_t ttft_ms)
{
	const struct health_report ok = { .outcome = HEALTH_OK, .ttft_ms = ttft_ms };

	(void)health_tell((struct health *)(uintptr_t)b->ask.health, slice_of(slug), SLICE(LLAMA),
		&half_a_minute, b->ask.now_ms, &ok, NULL);
}

/* How often each is first, with a thousand throws of the dice. */
static int times_first(struct bench *b, const char *slug, const char *members)
{
	int count = 0;

	for (uint64_t n = 0; n < 1000; n++) {
		b->ask.dice = 1000 * n + n; /* each of the thousand rests once */
		assert_int_equal(make(b, LLAMA, members), ERR_OK);
		count += strcmp(b->plan.at[0].route.target.slug, slug) == 0;
	}
	return count;
}

static void the_fastest_is_first_when_latency_counts_and_others_get_a_chance(void **state)
{
	static const char *const ways[] = { ",\"provider\":{\"sort\":\"latency\"}",
		",\"provider\":{\"sort\":\"throughput\"}",
		",\"providerOptions\":{\"gateway\":{\"sort\":\"ttft\"}}" };
	struct bench b;

	(void)state;
	bench_open(&b, ENV("CEREBRAS_API_KEY=k", "GROQ_API_KEY=k", "TOGETHER_API_KEY=k"));
	give_health(&b);
	for (size_t i = 0; i < 3; i++)
		check(&b, LLAMA, ways[i], "groq cerebras together"); /* nothing is known */
	note_speed(&b, "together", 300);
	note_speed(&b, "groq", 900);
	b.ask.dice = 999;
	for (size_t i = 0; i < 3; i++)
		check(&b, LLAMA, ways[i], "together groq cerebras");
	check(&b, LLAMA, "", "groq cerebras together"); /* does not count */
	/* five of a hundred try the one of whom nothing is known */
	assert_int_equal(times_first(&b, "cerebras", ways[0]), 50);
	assert_int_equal(times_first(&b, "together", ways[0]), 950);
	note_speed(&b, "cerebras", 2000);
	/* one of a hundred anybody: who was slow may have become fast */
	assert_in_range(times_first(&b, "together", ways[0]), 991, 997);
	assert_in_range(times_first(&b, "cerebras", ways[0]), 2, 5);
	take_health(&b);
	bench_close(&b);
}

static void a_conversation_stays_with_one_of_those_that_are_about_as_fast(void **state)
{
	int count[3] = { 0 };
	char name[32];
	struct bench b;

	(void)state;
	bench_open(&b, ENV("GATEWAY_STRATEGY=latency", "CEREBRAS_API_KEY=k", "GROQ_API_KEY=k",
			       "TOGETHER_API_KEY=k"));
	give_health(&b);
	note_speed(&b, "groq", 1000);
	note_speed(&b, "cerebras", 1200);
	note_speed(&b, "together", 1300);
	for (int n = 0; n < CONVERSATIONS; n++) {
		const char *first;

		snprintf(name, sizeof(name), "task-%d", n);
		b.ask.sticky = slice_of(name);
		for (b.ask.dice = 0; b.ask.dice < 3; b.ask.dice++) {
			assert_int_equal(make(&b, LLAMA, ""), ERR_OK);
			first = b.plan.at[0].route.target.slug;
			count[*first == 'g' ? 0 : *first == 'c' ? 1 : 2]++;
		}
	}
	assert_in_range(count[0], 1350, 1650);
	assert_in_range(count[1], 1350, 1650);
	assert_in_range(count[2], 0, 30);
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(count[i] % 3, 0); /* the same one each time */
	take_health(&b);
	bench_close(&b);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(weights_share_requests_out_to_within_two_points),
	cmocka_unit_test(a_conversation_stays_and_only_the_failed_share_moves),
	cmocka_unit_test(nothing_sticks_when_the_operator_does_not_want_it),
	cmocka_unit_test(who_is_out_of_rotation_comes_last_and_says_for_how_long),
	cmocka_unit_test(an_outage_shares_out_by_the_weights_of_the_others),
	cmocka_unit_test(the_cheapest_is_first_when_cost_counts),
	cmocka_unit_test(the_fastest_is_first_when_latency_counts_and_others_get_a_chance),
	cmocka_unit_test(a_conversation_stays_with_one_of_those_that_are_about_as_fast),
};

int main(void)
{
	return cmocka_run_group_tests(tests, NULL, NULL);
}
