/* Who is asked for a model. */
#include "tests/unit/plan_bench.h"

/* ---- who serves it ---- */

static void the_only_provider_of_a_model_is_the_whole_plan(void **state)
{
	struct bench b;

	(void)state;
	bench_open(&b, ENV("OPENAI_API_KEY=k"));
	check(&b, "openai/gpt-5.2", "", "openai");
	assert_string_equal(b.plan.at[0].route.target.native_id, "gpt-5.2");
	assert_ptr_equal(b.plan.at[0].route.target.public_id, b.req.model);
	assert_int_equal(
		b.plan.at[0].health, health_name(SLICE("openai"), SLICE("openai/gpt-5.2")));
	bench_close(&b);
}

static void a_model_is_asked_for_at_everybody_who_has_it(void **state)
{
	struct bench b;

	(void)state;
	bench_open(&b, ENV("OPENAI_API_KEY=k", "AZURE_OPENAI_API_KEY=k", "AZURE_RESOURCE_NAME=r",
			       "OPENROUTER_API_KEY=k", "AI_GATEWAY_API_KEY=k", "GEMINI_API_KEY=k"));
	check(&b, "openai/gpt-5.2", "", "openai azure vercel openrouter");
	assert_string_equal(b.plan.at[1].route.target.native_id, "gpt-5.2");
	assert_string_equal(b.plan.at[3].route.target.native_id, "openai/gpt-5.2");
	check(&b, "gpt-5.2", "", "openai azure vercel openrouter");
	assert_string_equal(b.plan.at[3].route.target.native_id, "openai/gpt-5.2");
	assert_string_equal(b.plan.at[3].route.target.public_id, "gpt-5.2");
	check(&b, "kilocode/openai/gpt-5.2", "", "openai azure vercel openrouter");
	assert_string_equal(b.plan.at[3].route.target.native_id, "openai/gpt-5.2");
	/* whose maker has no key here */
	check(&b, "x-ai/grok-code-fast-1", "", "vercel openrouter");
	assert_string_equal(b.plan.at[0].route.target.native_id, "xai/grok-code-fast-1");
	/* nobody knows what this is but routers */
	check(&b, "somebody/something", "", "openrouter");
	check(&b, "x-ai/grok-99", "", "openrouter");
	check(&b, "google/gemini-2.5-flash", "", "google vercel openrouter");
	bench_close(&b);
}

static void an_equivalent_serves_when_the_maker_is_not_configured(void **state)
{
	struct bench b;

	(void)state;
	bench_open(&b, ENV(BEDROCK, "GROQ_API_KEY=k", "CEREBRAS_API_KEY=k"));
	check(&b, "anthropic/claude-sonnet-4.6", "", "bedrock");
	assert_string_equal(
		b.plan.at[0].route.target.native_id, "global.anthropic.claude-sonnet-4-6");
	assert_ptr_equal(b.plan.at[0].route.model,
		catalog_model_find(b.env.catalog, SLICE("anthropic/claude-sonnet-4.6")));
	assert_ptr_equal(b.plan.at[0].route.prices, b.plan.at[0].route.model->prices);
	check(&b, "meta-llama/llama-3.3-70b-instruct", "", "groq cerebras bedrock");
	assert_string_equal(b.plan.at[0].route.target.native_id, "llama-3.3-70b-versatile");
	assert_string_equal(b.plan.at[1].route.target.native_id, "llama-3.3-70b");
	bench_close(&b);
}

static void every_candidate_has_the_prices_of_who_is_asked(void **state)
{
	struct bench b;

	(void)state;
	bench_open(&b, ENV("GROQ_API_KEY=k", "OPENROUTER_API_KEY=k", "NVIDIA_API_KEY=k"));
	check(&b, "meta-llama/llama-3.3-70b-instruct", "", "openrouter groq nvidia");
	assert_ptr_equal(b.plan.at[0].route.prices, b.plan.at[0].route.model->prices);
	assert_int_equal(b.plan.at[1].route.prices->base.prompt, 590000);
	assert_int_equal(b.plan.at[1].route.prices->base.completion, 790000);
	assert_null(b.plan.at[2].route.prices); /* not known */
	for (size_t i = 0; i < 3; i++)
		assert_string_equal(
			b.plan.at[i].route.model->id, "meta-llama/llama-3.3-70b-instruct");
	bench_close(&b);
}

static void the_preferred_provider_of_a_family_is_first(void **state)
{
	struct bench b;

	(void)state;
	bench_open(&b, ENV(BEDROCK, "ANTHROPIC_API_KEY=k", "OPENROUTER_API_KEY=k"));
	check(&b, "anthropic/claude-sonnet-4.6", "", "bedrock anthropic openrouter");
	check(&b, "claude-sonnet-4.6", "", "bedrock anthropic openrouter");
	/* routers are told whom to prefer, unless the client says */
	assert_string_equal(b.plan.at[2].route.target.prefers, "[\"amazon-bedrock\"]");
	assert_null(b.plan.at[0].route.target.prefers);
	check(&b, "anthropic/claude-sonnet-4.6", ",\"provider\":{\"order\":[\"openrouter\"]}",
		"openrouter bedrock anthropic");
	assert_null(b.plan.at[0].route.target.prefers);
	bench_close(&b);
}

static void a_provider_named_by_the_id_is_first_and_its_equivalents_follow(void **state)
{
	struct bench b;

	(void)state;
	bench_open(&b, ENV(BEDROCK, "ANTHROPIC_API_KEY=k", "OPENROUTER_API_KEY=k",
			       "GATEWAY_PROVIDERS=bedrock,anthropic,openrouter",
			       "GATEWAY_WEIGHTS=10,10,0"));
	check(&b, "bedrock/us.anthropic.claude-sonnet-4-20250514-v1:0", "",
		"bedrock anthropic openrouter");
	assert_string_equal(
		b.plan.at[0].route.target.native_id, "us.anthropic.claude-sonnet-4-20250514-v1:0");
	assert_string_equal(b.plan.at[1].route.target.native_id, "claude-sonnet-4-20250514");
	assert_string_equal(b.plan.at[2].route.target.native_id, "anthropic/claude-sonnet-4");
	check(&b, "openrouter/anthropic/claude-sonnet-4.6", "", "openrouter bedrock anthropic");
	assert_string_equal(b.plan.at[0].route.target.native_id, "anthropic/claude-sonnet-4.6");
	check(&b, "openrouter/anthropic/claude-sonnet-4.6",
		",\"provider\":{\"allow_fallbacks\":false}", "openrouter");
	/* nobody knows what that is */
	check(&b, "bedrock/amazon.nova-9", "", "bedrock");
	bench_close(&b);
}

static void a_snapshot_of_a_day_is_not_exchanged_for_another(void **state)
{
	struct bench b;

	(void)state;
	bench_open(&b, ENV("OPENAI_API_KEY=k", "AZURE_OPENAI_API_KEY=k", "AZURE_RESOURCE_NAME=r",
			       "OPENROUTER_API_KEY=k"));
	check(&b, "openai/gpt-4o-2024-08-06", "", "openai openrouter");
	assert_string_equal(b.plan.at[0].route.target.native_id, "gpt-4o-2024-08-06");
	assert_string_equal(b.plan.at[1].route.target.native_id, "openai/gpt-4o-2024-08-06");
	check(&b, "gpt-4o-2024-08-06", "", "openai");
	bench_close(&b);
}

static void free_models_and_local_ones_stay_where_they_are(void **state)
{
	struct bench b;

	(void)state;
	bench_open(&b, ENV("MINIMAX_API_KEY=k", "OPENROUTER_API_KEY=k", "FIREWORKS_API_KEY=k",
			       "OLLAMA_BASE_URL=http://localhost:1/v1", "GROQ_API_KEY=k",
			       "GATEWAY_FALLBACKS=minimax/minimax-m2.5:free=openai/gpt-5.2"));
	check(&b, "minimax/minimax-m2.5:free", "", "minimax");
	/* what costs is tried only when the request itself says so */
	check(&b, "minimax/minimax-m2.5:free", ",\"models\":[\"openai/gpt-5.2\"]",
		"minimax | openrouter");
	check(&b, "minimax/minimax-m2.5", "", "minimax fireworks openrouter");
	check(&b, "ollama/llama3.3:70b", "", "ollama");
	check(&b, "ollama/llama3", "", "ollama");
	check(&b, "llama3.3:70b", "", "ollama");
	bench_close(&b);
}

/* ---- chains of models ---- */

static void the_requests_models_follow_in_its_order_each_once(void **state)
{
	struct bench b;

	(void)state;
	bench_open(&b, ENV("OPENAI_API_KEY=k", "ANTHROPIC_API_KEY=k", "GEMINI_API_KEY=k",
			       "GATEWAY_FALLBACKS=openai/gpt-5.2=google/gemini-2.5-pro"));
	check(&b, "openai/gpt-5.2", ",\"models\":[\"anthropic/claude-sonnet-4.6\"]",
		"openai | anthropic");
	assert_int_equal(b.plan.at[1].link, 1);
	assert_string_equal(b.plan.at[1].route.target.public_id, "anthropic/claude-sonnet-4.6");
	assert_ptr_equal(b.plan.at[1].route.target.public_id, b.plan.at[1].public_id);
	check(&b, "openai/gpt-5.2",
		",\"models\":[\"openai\\/gpt-5.2\",\"claude-sonnet-4.6\",\"gpt-5.2\"],"
		"\"fallbacks\":[\"no-such-model\",\"google/gemini-2.5-pro\"],"
		"\"providerOptions\":{\"gateway\":{\"models\":[\"openai/gpt-5\"]}}",
		"openai | anthropic | google | openai");
	assert_int_equal(b.plan.at[3].link, 6);
	bench_close(&b);
}

static void the_operators_chain_counts_when_the_request_has_none(void **state)
{
	struct bench b;

	(void)state;
	bench_open(&b, ENV("OPENAI_API_KEY=k", "ANTHROPIC_API_KEY=k", "GEMINI_API_KEY=k",
			       "GATEWAY_FALLBACKS= anthropic/claude-sonnet-4.6 = openai/gpt-5.2,"
			       "mistralai/devstral-2512, google/gemini-2.5-pro ;; "
			       "gpt-5.2=gpt-5.2,openai/gpt-5 "));
	check(&b, "anthropic/claude-sonnet-4.6", "", "anthropic | openai | google");
	check(&b, "claude-sonnet-4-6", "", "anthropic | openai | google");
	check(&b, "kilocode/Anthropic/Claude-Sonnet-4.6:nitro", "", "anthropic | openai | google");
	check(&b, "anthropic/claude-sonnet-4.6", ",\"models\":[\"openai/gpt-5\"]",
		"anthropic | openai");
	check(&b, "anthropic/claude-sonnet-4.6", ",\"provider\":{\"allow_fallbacks\":false}",
		"anthropic");
	check(&b, "anthropic/claude-opus-4.6", "", "anthropic");
	check(&b, "openai/gpt-5.2", "", "openai | openai");
	/* not served here, but its fallbacks are */
	check(&b, "mistralai/devstral-2512", ",\"fallbacks\":[\"openai/gpt-5\"]", "openai");
	bench_close(&b);
}

static void settings_that_make_no_sense_are_refused_by_name(void **state)
{
	const struct {
		const char *const *settings;
		const char *param, *words;
	} cases[] = {
		{ ENV("GATEWAY_PROVIDERS=openai,google", "GATEWAY_WEIGHTS=1"), "GATEWAY_WEIGHTS",
			"for each name" },
		{ ENV("GATEWAY_PROVIDERS=openai", "GATEWAY_WEIGHTS=1,2"), "GATEWAY_WEIGHTS",
			"for each name" },
		{ ENV("GATEWAY_WEIGHTS=1"), "GATEWAY_WEIGHTS", "for each name" },
		{ ENV("GATEWAY_PROVIDERS=openai,google", "GATEWAY_WEIGHTS=0,0"), "GATEWAY_WEIGHTS",
			"above 0" },
		{ ENV("GATEWAY_PROVIDERS=openai", "GATEWAY_WEIGHTS=-1"), "GATEWAY_WEIGHTS",
			"whole number" },
		{ ENV("GATEWAY_PROVIDERS=openai", "GATEWAY_WEIGHTS=1000001"), "GATEWAY_WEIGHTS",
			"1000000" },
		{ ENV("GATEWAY_PROVIDERS=openai", "GATEWAY_WEIGHTS=a"), "GATEWAY_WEIGHTS",
			"whole number" },
		{ ENV("GATEWAY_FALLBACKS=a"), "GATEWAY_FALLBACKS",
			"names no model that it is for" },
		{ ENV("GATEWAY_FALLBACKS==b"), "GATEWAY_FALLBACKS",
			"names no model that it is for" },
		{ ENV("GATEWAY_FALLBACKS=a=b;c="), "GATEWAY_FALLBACKS", "names no model to try" },
		{ ENV("GATEWAY_FALLBACKS=a=1,2,3,4,5,6,7,8,9"), "GATEWAY_FALLBACKS",
			"more than 8" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct plan_conf *conf;
		struct env env;
		struct err e;

		print_message("%s\n", cases[i].settings[0]);
		env_load(&env, cases[i].settings);
		assert_int_equal(plan_conf_load(env.conf, &conf, &e), ERR_CONF);
		assert_null(conf);
		assert_string_equal(e.param, cases[i].param);
		assert_non_null(strstr(e.message, cases[i].words));
		env_fini(&env);
	}
}

/* ---- what the request wishes ---- */

#define THREE  ENV("ANTHROPIC_API_KEY=k", BEDROCK, "OPENROUTER_API_KEY=k", "MISTRAL_API_KEY=k")
#define SONNET "anthropic/claude-sonnet-4.6"

static void order_puts_providers_in_front_and_only_and_ignore_take_them_away(void **state)
{
	static const struct {
		const char *members, *expected;
	} cases[] = {
		{ ",\"provider\":{\"order\":[\"anthropic\"]}", "anthropic bedrock openrouter" },
		{ ",\"provider\":{\"order\":[\"openrouter\",\"Anthropic\"]}",
			"openrouter anthropic bedrock" },
		{ ",\"provider\":{\"order\":[\"anthropic/fast\",\"amazon-bedrock\"]}",
			"anthropic bedrock openrouter" },
		/* a provider behind the router */
		{ ",\"provider\":{\"order\":[\"deepinfra\",\"anthropic\"]}",
			"openrouter anthropic bedrock" },
		{ ",\"provider\":{\"order\":[\"anthropic\"],\"allow_fallbacks\":false}",
			"anthropic" },
		{ ",\"provider\":{\"order\":[\"anthropic\",\"openrouter\"],\"allow_fallbacks\":"
		  "false}",
			"anthropic openrouter" },
		{ ",\"provider\":{\"allow_fallbacks\":false}", "bedrock" },
		{ ",\"provider\":{\"only\":[\"anthropic\",\"amazon-bedrock\"]}",
			"bedrock anthropic" },
		{ ",\"provider\":{\"only\":[\"deepinfra\",\"anthropic\"]}",
			"anthropic openrouter" },
		{ ",\"provider\":{\"only\":[\"openrouter\"]}", "openrouter" },
		{ ",\"provider\":{\"ignore\":[\"bedrock\"]}", "anthropic openrouter" },
		{ ",\"provider\":{\"ignore\":[\"deepinfra\"]}", "bedrock anthropic openrouter" },
		{ ",\"providerOptions\":{\"gateway\":{\"only\":[\"anthropic\",\"bedrock\"],"
		  "\"order\":[\"anthropic\"]}}",
			"anthropic bedrock" },
		{ ",\"provider\":null", "bedrock anthropic openrouter" },
	};
	struct bench b;

	(void)state;
	bench_open(&b, THREE);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		check(&b, SONNET, cases[i].members, cases[i].expected);
	bench_close(&b);
}

static void who_cannot_keep_a_promise_about_data_is_not_asked(void **state)
{
	struct bench b;

	(void)state;
	bench_open(&b, ENV("DEEPSEEK_API_KEY=k", "OPENROUTER_API_KEY=k", "AI_GATEWAY_API_KEY=k",
			       "KILO_API_KEY=k"));
	check(&b, "deepseek/deepseek-v4-pro", "", "deepseek vercel openrouter kilo");
	check(&b, "deepseek/deepseek-v4-pro", ",\"provider\":{\"data_collection\":\"deny\"}",
		"vercel openrouter kilo");
	check(&b, "deepseek/deepseek-v4-pro", ",\"provider\":{\"zdr\":true}",
		"vercel openrouter kilo");
	check(&b, "deepseek/deepseek-v4-pro",
		",\"providerOptions\":{\"gateway\":{\"zeroDataRetention\":true}}",
		"vercel openrouter kilo");
	/* Vercel has no such wish */
	check(&b, "deepseek/deepseek-v4-pro", ",\"provider\":{\"quantizations\":[\"fp8\"]}",
		"openrouter kilo");
	check(&b, "deepseek/deepseek-v4-pro", ",\"provider\":{\"max_price\":{\"audio\":1}}",
		"openrouter kilo");
	bench_close(&b);
}

static void who_lacks_what_the_request_needs_is_not_asked_when_it_is_required(void **state)
{
	static const char schema[] =
		",\"response_format\":{\"type\":\"json_schema\"},\"provider\":{\"require_"
		"parameters\":true}";
	struct bench b;

	(void)state;
	bench_open(&b, ENV("MINIMAX_API_KEY=k", "FIREWORKS_API_KEY=k", "CORETHINK_API_KEY=k",
			       "OPENAI_API_KEY=k"));
	check(&b, "minimax/minimax-m2.5", ",\"provider\":{\"require_parameters\":true}",
		"minimax fireworks");
	check(&b, "minimax/minimax-m2.5", schema, "fireworks");
	check(&b, "minimax/minimax-m2.5",
		",\"models\":[\"openai/gpt-5.2\"],\"provider\":{\"require_parameters\":true}",
		"minimax fireworks | openai");
	bench_close(&b);
}

static void a_limit_on_prices_is_kept_by_what_is_known(void **state)
{
	struct bench b;

	(void)state;
	bench_open(&b, ENV("GROQ_API_KEY=k", "CEREBRAS_API_KEY=k", "NVIDIA_API_KEY=k"));
	check(&b, "meta-llama/llama-3.3-70b-instruct", "", "groq cerebras nvidia");
	check(&b, "meta-llama/llama-3.3-70b-instruct",
		",\"provider\":{\"max_price\":{\"prompt\":0.59,\"completion\":\"0.79\"}}", "groq");
	check(&b, "meta-llama/llama-3.3-70b-instruct",
		",\"provider\":{\"max_price\":{\"prompt\":\"1\"}}", "groq cerebras");
	check_refused(&b, "meta-llama/llama-3.3-70b-instruct",
		",\"provider\":{\"max_price\":{\"completion\":0.78}}", ERR_BAD_REQUEST,
		"provider.max_price", "it is served by groq, cerebras, nvidia");
	bench_close(&b);
}

static void a_refusal_names_the_wish_that_left_nobody(void **state)
{
	struct bench b;

	(void)state;
	bench_open(&b, ENV("ANTHROPIC_API_KEY=k", "DEEPSEEK_API_KEY=k", BEDROCK));
	check_refused(&b, SONNET, ",\"provider\":{\"only\":[\"mistral\"]}", ERR_BAD_REQUEST,
		"provider.only",
		"provider.only leaves no provider for anthropic/claude-sonnet-4.6: it is served "
		"by bedrock, anthropic");
	check_refused(&b, SONNET,
		",\"provider\":{\"order\":[\"mistral\"],\"allow_fallbacks\":false}",
		ERR_BAD_REQUEST, "provider.order", "names nobody");
	check_refused(&b, "deepseek/deepseek-v4-pro",
		",\"provider\":{\"order\":[\"mistral\"],\"allow_fallbacks\":false}",
		ERR_BAD_REQUEST, "provider.order", "names nobody");
	check_refused(&b, SONNET,
		",\"provider\":{\"only\":[\"bedrock\"],\"ignore\":[\"amazon-bedrock\"]}",
		ERR_BAD_REQUEST, "provider.ignore", "served by bedrock");
	check_refused(&b, SONNET, ",\"provider\":{\"quantizations\":[\"fp8\"]}", ERR_BAD_REQUEST,
		"provider.quantizations", "served by");
	check_refused(&b, "deepseek/deepseek-v4-pro",
		",\"provider\":{\"data_collection\":\"deny\"}", ERR_DATA_COLLECTION,
		"provider.data_collection", "served by deepseek");
	check_refused(&b, SONNET, ",\"provider\":{\"zdr\":true}", ERR_BAD_REQUEST, "provider.zdr",
		"served by");
	check_refused(&b, "openai/gpt-5.2", "", ERR_MODEL_UNAVAILABLE, "model", "OPENAI_API_KEY");
	check_refused(&b, "no-such-model", ",\"models\":[\"neither\"]", ERR_MODEL_NOT_FOUND,
		"model", "no model");
	bench_close(&b);
}

/* ---- what the caller may ---- */

/* Not from the provider that ctx names. */
static enum err_code not_from(void *ctx, const struct route *r, struct err *e)
{
	const char *const *slugs = ctx;

	for (; *slugs; slugs++)
		if (strcmp(r->target.slug, *slugs) == 0)
			return err_set(e, ERR_PROVIDER_DENIED, "not from %s", *slugs);
	return ERR_OK;
}

static void policies_take_candidates_away_and_win_over_wishes(void **state)
{
	const char *one[] = { "bedrock", NULL },
		   *all[] = { "anthropic", "bedrock", "openrouter", NULL };
	struct bench b;

	(void)state;
	bench_open(&b, THREE);
	b.ask.may = not_from;
	b.ask.ctx = one;
	check(&b, SONNET, "", "anthropic openrouter");
	check(&b, SONNET, ",\"provider\":{\"order\":[\"bedrock\"]}", "anthropic openrouter");
	check_refused(&b, SONNET, ",\"provider\":{\"only\":[\"bedrock\"]}", ERR_PROVIDER_DENIED,
		NULL, "not from bedrock");
	b.ask.ctx = all;
	check_refused(&b, SONNET, "", ERR_PROVIDER_DENIED, NULL, "not from bedrock");
	check(&b, SONNET, ",\"models\":[\"mistralai/devstral-2512\"]", "mistral");
	bench_close(&b);
}

static void drained_providers_are_asked_by_nobody(void **state)
{
	struct catalog_provider *p;
	struct bench b;

	(void)state;
	bench_open(&b, THREE);
	p = (struct catalog_provider *)(uintptr_t)catalog_provider_find(
		b.env.catalog, SLICE("bedrock"));
	p->drained = true;
	check(&b, SONNET, "", "anthropic openrouter");
	check_refused(&b, SONNET, ",\"provider\":{\"only\":[\"bedrock\"]}", ERR_MODEL_UNAVAILABLE,
		"model", "tollgate providers resume bedrock");
	bench_close(&b);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(the_only_provider_of_a_model_is_the_whole_plan),
	cmocka_unit_test(a_model_is_asked_for_at_everybody_who_has_it),
	cmocka_unit_test(an_equivalent_serves_when_the_maker_is_not_configured),
	cmocka_unit_test(every_candidate_has_the_prices_of_who_is_asked),
	cmocka_unit_test(the_preferred_provider_of_a_family_is_first),
	cmocka_unit_test(a_provider_named_by_the_id_is_first_and_its_equivalents_follow),
	cmocka_unit_test(a_snapshot_of_a_day_is_not_exchanged_for_another),
	cmocka_unit_test(free_models_and_local_ones_stay_where_they_are),
	cmocka_unit_test(the_requests_models_follow_in_its_order_each_once),
	cmocka_unit_test(the_operators_chain_counts_when_the_request_has_none),
	cmocka_unit_test(settings_that_make_no_sense_are_refused_by_name),
	cmocka_unit_test(order_puts_providers_in_front_and_only_and_ignore_take_them_away),
	cmocka_unit_test(who_cannot_keep_a_promise_about_data_is_not_asked),
	cmocka_unit_test(who_lacks_what_the_request_needs_is_not_asked_when_it_is_required),
	cmocka_unit_test(a_limit_on_prices_is_kept_by_what_is_known),
	cmocka_unit_test(a_refusal_names_the_wish_that_left_nobody),
	cmocka_unit_test(policies_take_candidates_away_and_win_over_wishes),
	cmocka_unit_test(drained_providers_are_asked_by_nobody),
};

int main(void)
{
	return cmocka_run_group_tests(tests, NULL, NULL);
}
