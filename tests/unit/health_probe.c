/* Asking a provider that is out of rotation for its list of models. */
#include "gateway/health_probe.h"
#include "store/health_place.h"
#include "tests/unit/catalog_env.h"
#include "tests/unit/scripted.h"

static const struct health_conf conf = { .interval_ms = 1000, .percent = 50, .min = 2 };
static struct provider_script server;
static struct pump *pump;
static struct health *h;
static struct env env;
static char url[64];
static atomic_int asked;

static int set_up(void **state)
{
	(void)state;
	script_start(&server, NULL);
	pump = new_pump("");
	h = calloc(1, health_bytes());
	snprintf(url, sizeof(url), "OPENAI_BASE_URL=http://127.0.0.1:%u/v1", server.port);
	env_load(&env, ENV("OPENAI_API_KEY=k", url));
	return h ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	pump_stop(pump);
	script_stop(&server);
	env_fini(&env);
	free(h);
	return 0;
}

static bool lists(struct peer *p)
{
	asked++;
	say(p, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}");
	return true;
}

static bool fails(struct peer *p)
{
	asked++;
	say(p, "HTTP/1.1 503 No\r\nContent-Length: 2\r\n\r\n{}");
	return true;
}

static enum health_state state_of(int64_t now_ms)
{
	return health_look(h, health_name(SLICE("openai"), SLICE("openai/gpt-4o")), &conf, now_ms)
		.state;
}

/* Out of rotation since now_ms. */
static void open_it(int64_t now_ms)
{
	const struct health_report failed = { .outcome = HEALTH_FAILED };

	memset(h, 0, health_bytes());
	asked = 0;
	for (int i = 0; i < 2; i++)
		(void)health_tell(
			h, SLICE("openai"), SLICE("openai/gpt-4o"), &conf, now_ms, &failed, NULL);
	assert_int_equal(state_of(now_ms), HEALTH_OPEN);
}

static void nobody_is_asked_before_the_interval_is_over(void **state)
{
	int64_t now_ms = clock_mono_ms();

	(void)state;
	server.play = lists;
	open_it(now_ms);
	assert_false(health_probe(pump, env.catalog, h, &conf, now_ms + 900));
	assert_int_equal(asked, 0);
}

static void a_list_of_models_brings_it_back(void **state)
{
	int64_t now_ms = clock_mono_ms();

	(void)state;
	server.play = lists;
	open_it(now_ms - 1100);
	assert_true(health_probe(pump, env.catalog, h, &conf, now_ms));
	assert_int_equal(asked, 1);
	assert_int_equal(state_of(clock_mono_ms()), HEALTH_CLOSED);
	assert_false(health_probe(pump, env.catalog, h, &conf, clock_mono_ms()));
}

static void a_refusal_leaves_it_out_for_another_interval(void **state)
{
	int64_t now_ms = clock_mono_ms();

	(void)state;
	server.play = fails;
	open_it(now_ms - 1100);
	assert_true(health_probe(pump, env.catalog, h, &conf, now_ms));
	assert_int_equal(state_of(clock_mono_ms()), HEALTH_OPEN);
	assert_false(health_probe(pump, env.catalog, h, &conf, clock_mono_ms()));
	assert_int_equal(asked, 1);
}

static void who_is_not_configured_is_left_alone(void **state)
{
	const struct health_report failed = { .outcome = HEALTH_FAILED };
	int64_t now_ms = clock_mono_ms();

	(void)state;
	memset(h, 0, health_bytes());
	for (int i = 0; i < 2; i++)
		(void)health_tell(
			h, SLICE("mistral"), SLICE("m"), &conf, now_ms - 1100, &failed, NULL);
	assert_false(health_probe(pump, env.catalog, h, &conf, now_ms));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nobody_is_asked_before_the_interval_is_over),
		cmocka_unit_test(a_list_of_models_brings_it_back),
		cmocka_unit_test(a_refusal_leaves_it_out_for_another_interval),
		cmocka_unit_test(who_is_not_configured_is_left_alone),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
