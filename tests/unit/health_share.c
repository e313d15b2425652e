#include "store/health_share.h"

#include "base/log.h"
#include "tests/unit/redis_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <sys/stat.h>

#define OPENAI SLICE("openai")
#define GPT    SLICE("gpt-5")
#define NAME   health_name(OPENAI, GPT)
#define HOSTS  3

static const struct health_conf conf = { .interval_ms = 60000, .percent = 50, .min = 3 };

/* Each with a clock of its own. */
struct host {
	char home[64];
	struct redis *redis;
	struct health *health;
	struct health_share *share;
	int64_t clock_ms;
};

static struct redis_rig rig;
static struct host hosts[HOSTS];
static char top[] = "/tmp/tollgate-health-XXXXXX";

static int set_up(void **state)
{
	char log[64];

	(void)state;
	assert_non_null(mkdtemp(top));
	snprintf(log, sizeof(log), "%s/log", top);
	for (int i = 0; i < HOSTS; i++) {
		snprintf(hosts[i].home, sizeof(hosts[i].home), "%s/%d", top, i);
		assert_int_equal(mkdir(hosts[i].home, 0700), 0);
	}
	return log_open(log, "test", NULL) || !redis_rig_start(&rig);
}

static int tear_down(void **state)
{
	(void)state;
	redis_rig_stop(&rig);
	return rig_run("rm -r %s", top) ? 0 : -1;
}

static void open_share(struct host *h)
{
	struct err e;

	if (health_share_open(&h->share, h->redis, h->home, &e))
		fail_msg("%s", e.message);
}

static void in_redis(const char *command)
{
	char out[256];

	assert_true(redis_rig_ask(&rig, command, out, sizeof(out)));
	assert_int_not_equal(out[0], '-');
}

static int start(void **state)
{
	const struct redis_conf to = {
		.url = rig.url, .prefix = "tg", .ca_file = "", .timeout_ms = 400
	};
	struct err e;

	(void)state;
	in_redis("FLUSHALL");
	for (int i = 0; i < HOSTS; i++) {
		hosts[i].clock_ms = INT64_C(1000000) * (1 + 7 * i);
		hosts[i].health = aligned_alloc(64, health_bytes());
		assert_non_null(hosts[i].health);
		memset(hosts[i].health, 0, health_bytes());
		assert_int_equal(redis_open(&hosts[i].redis, &to, &e), ERR_OK);
		open_share(&hosts[i]);
	}
	return 0;
}

static int end(void **state)
{
	(void)state;
	for (int i = 0; i < HOSTS; i++) {
		health_share_close(hosts[i].share);
		redis_close(hosts[i].redis);
		free(hosts[i].health);
	}
	return 0;
}

static void tick(struct host *h)
{
	h->clock_ms += HEALTH_SHARE_MS;
	health_share_tick(h->share, h->health, &conf, h->clock_ms);
}

/* Two seconds pass everywhere. */
static void tick_all(void)
{
	for (int round = 0; round < 2; round++)
		for (int i = 0; i < HOSTS; i++)
			tick(&hosts[i]);
}

static enum health_state tell(struct host *h, const struct health_report *report)
{
	return health_tell(h->health, OPENAI, GPT, &conf, h->clock_ms, report, NULL);
}

static void fail_often(struct host *h)
{
	for (int i = 0; i < 3; i++)
		(void)tell(h, &(struct health_report){ .outcome = HEALTH_FAILED });
}

static struct health_look look(const struct host *h)
{
	return health_look(h->health, NAME, &conf, h->clock_ms);
}

static enum health_gate enter(struct host *h)
{
	int64_t wait_ms;

	return health_enter(h->health, NAME, &conf, h->clock_ms, &wait_ms);
}

static void collect(void *ctx, const struct health_row *row)
{
	*(struct health_row *)ctx = *row;
}

/* ---- states ---- */

static void what_opens_on_one_host_is_open_on_all(void **state)
{
	struct health_row row;

	(void)state;
	tick_all();
	fail_often(&hosts[1]);
	assert_int_equal(look(&hosts[1]).state, HEALTH_OPEN);
	hosts[1].clock_ms += 20000; /* a third of its time is over */
	tick_all();
	for (int i = 0; i < HOSTS; i++) {
		print_message("  host %d\n", i);
		assert_int_equal(look(&hosts[i]).state, HEALTH_OPEN);
		assert_int_equal(enter(&hosts[i]), HEALTH_STOP);
		/* What is left of it, whatever the clock of the host says. */
		assert_true(look(&hosts[i]).wait_ms > 10000);
		assert_true(look(&hosts[i]).wait_ms <= 40000);
	}
	assert_int_equal(health_list(hosts[2].health, &conf, hosts[2].clock_ms, collect, &row), 1);
	assert_string_equal(row.slug, "openai");
	assert_string_equal(row.model, "gpt-5");
	assert_int_equal(row.state, HEALTH_OPEN);
}

static void what_a_probe_closes_on_one_host_is_closed_on_all(void **state)
{
	struct health_report report = { .outcome = HEALTH_OK, .probe = true };

	(void)state;
	tick_all();
	fail_often(&hosts[0]);
	tick_all();
	for (int i = 0; i < HOSTS; i++)
		hosts[i].clock_ms += conf.interval_ms;
	/* The others wait while one of them tries. */
	assert_int_equal(enter(&hosts[2]), HEALTH_PROBE);
	report.entered_ms = hosts[2].clock_ms;
	tick_all();
	assert_int_equal(look(&hosts[0]).state, HEALTH_HALF_OPEN);
	assert_int_equal(enter(&hosts[0]), HEALTH_STOP);
	assert_int_equal(tell(&hosts[2], &report), HEALTH_CLOSED);
	tick_all();
	for (int i = 0; i < HOSTS; i++) {
		print_message("  host %d\n", i);
		assert_int_equal(enter(&hosts[i]), HEALTH_GO);
	}
	/* And it begins anew: one failure does not open it. */
	(void)tell(&hosts[0], &(struct health_report){ .outcome = HEALTH_FAILED });
	assert_int_equal(look(&hosts[0]).state, HEALTH_CLOSED);
}

static void what_one_host_is_refused_no_host_asks_for(void **state)
{
	(void)state;
	tick_all();
	(void)tell(&hosts[0],
		&(struct health_report){ .outcome = HEALTH_REFUSED, .limited_ms = 90000 });
	tick_all();
	for (int i = 0; i < HOSTS; i++) {
		assert_int_equal(look(&hosts[i]).state, HEALTH_LIMITED);
		assert_true(look(&hosts[i]).wait_ms > 60000);
		assert_true(look(&hosts[i]).wait_ms <= 90000);
	}
}

static void what_an_operator_forgets_on_one_host_is_in_rotation_on_all(void **state)
{
	(void)state;
	tick_all();
	fail_often(&hosts[0]);
	tick_all();
	assert_int_equal(look(&hosts[1]).state, HEALTH_OPEN);
	health_forget(hosts[1].health, OPENAI);
	tick_all();
	for (int i = 0; i < HOSTS; i++)
		assert_int_equal(enter(&hosts[i]), HEALTH_GO);
}

static void what_was_told_is_not_told_again(void **state)
{
	char out[256], before[256];

	(void)state;
	tick_all();
	fail_often(&hosts[0]);
	tick_all();
	assert_true(redis_rig_ask(&rig, "HGET tg:{tg}:health #", before, sizeof(before)));
	tick_all();
	tick_all();
	assert_true(redis_rig_ask(&rig, "HGET tg:{tg}:health #", out, sizeof(out)));
	assert_string_equal(out, before);
}

/* ---- averages ---- */

static void answer(struct host *h, int64_t ttft_ms, int times)
{
	for (int i = 0; i < times; i++)
		(void)tell(h, &(struct health_report){ .outcome = HEALTH_OK, .ttft_ms = ttft_ms });
}

static void averages_of_first_tokens_are_mixed_by_what_each_has_seen(void **state)
{
	(void)state;
	tick_all();
	answer(&hosts[0], 800, 40);
	tick_all();
	/* Who has seen nothing takes it as it is. */
	assert_int_equal(look(&hosts[1]).ttft_ms, 800);
	answer(&hosts[2], 200, 1);
	tick_all();
	/* One quick answer is worth little … */
	assert_true(look(&hosts[0]).ttft_ms > 600);
	assert_true(look(&hosts[0]).ttft_ms < 800);
	/* … many are worth more. */
	answer(&hosts[2], 200, 100);
	tick_all();
	for (int i = 0; i < HOSTS; i++) {
		assert_true(look(&hosts[i]).ttft_ms < 450);
		assert_true(look(&hosts[i]).ttft_ms >= 200);
	}
}

/* ---- faults ---- */

static void without_redis_nothing_happens_and_it_is_told_later(void **state)
{
	(void)state;
	tick_all();
	redis_rig_kill(&rig);
	fail_often(&hosts[0]);
	tick_all();
	assert_int_equal(look(&hosts[0]).state, HEALTH_OPEN);
	assert_int_equal(look(&hosts[1]).state, HEALTH_CLOSED);
	assert_true(redis_rig_restart(&rig));
	poll(NULL, 0, REDIS_PAUSE_MS + 50);
	tick_all();
	assert_int_equal(look(&hosts[1]).state, HEALTH_OPEN);
}

static void a_redis_that_was_emptied_is_told_everything_again(void **state)
{
	(void)state;
	tick_all();
	fail_often(&hosts[0]);
	for (int i = 0; i < 2; i++) /* the third host hears nothing of it */
		for (int k = 0; k < 2; k++)
			tick(&hosts[i]);
	in_redis("FLUSHALL");
	tick_all();
	tick_all();
	assert_int_equal(look(&hosts[2]).state, HEALTH_OPEN);
	assert_int_equal(look(&hosts[0]).state, HEALTH_OPEN);
}

static void one_process_of_a_host_does_it_and_another_when_it_is_gone(void **state)
{
	struct health_share *second;
	struct err e;

	(void)state;
	tick_all();
	fail_often(&hosts[0]);
	assert_int_equal(health_share_open(&second, hosts[0].redis, hosts[0].home, &e), ERR_OK);
	for (int i = 1; i < 4; i++)
		health_share_tick(
			second, hosts[0].health, &conf, hosts[0].clock_ms + i * HEALTH_SHARE_MS);
	tick(&hosts[1]);
	assert_int_equal(look(&hosts[1]).state, HEALTH_CLOSED);
	health_share_close(hosts[0].share);
	hosts[0].share = NULL;
	for (int i = 4; i < 7; i++)
		health_share_tick(
			second, hosts[0].health, &conf, hosts[0].clock_ms + i * HEALTH_SHARE_MS);
	tick(&hosts[1]);
	assert_int_equal(look(&hosts[1]).state, HEALTH_OPEN);
	health_share_close(second);
}

static void garbage_in_redis_is_left_alone(void **state)
{
	char out[64];

	(void)state;
	tick_all();
	fail_often(&hosts[0]);
	in_redis("ZADD tg:{tg}:health:when 5 nonsense 6 00000000000000aa");
	in_redis("HSET tg:{tg}:health # 7 nonsense abc 00000000000000aa \\x81");
	tick_all();
	assert_int_equal(look(&hosts[1]).state, HEALTH_OPEN);
	assert_int_equal(health_list(hosts[2].health, &conf, hosts[2].clock_ms, collect,
				 &(struct health_row){ .slug = "" }),
		1);
	/* What is of another type is not touched. */
	in_redis("DEL tg:{tg}:health:when");
	in_redis("SET tg:{tg}:health:when text");
	health_forget(hosts[0].health, OPENAI);
	tick_all();
	assert_true(redis_rig_ask(&rig, "GET tg:{tg}:health:when", out, sizeof(out)));
	assert_non_null(strstr(out, "text"));
	assert_int_equal(look(&hosts[1]).state, HEALTH_OPEN);
}

static void many_rows_go_in_several_tellings(void **state)
{
	struct health_report report = { .outcome = HEALTH_REFUSED, .limited_ms = 600000 };
	struct health_row row;
	char model[16];
	size_t here;

	(void)state;
	tick_all();
	for (int i = 0; i < 700; i++) {
		snprintf(model, sizeof(model), "m%d", i);
		(void)health_tell(hosts[0].health, OPENAI, slice_of(model), &conf,
			hosts[0].clock_ms, &report, NULL);
	}
	here = health_list(hosts[0].health, &conf, hosts[0].clock_ms, collect, &row);
	tick_all();
	tick_all();
	assert_int_equal(
		health_list(hosts[2].health, &conf, hosts[2].clock_ms, collect, &row), here);
	assert_int_equal(row.state, HEALTH_LIMITED);
}

static void nothing_is_tested_without_redis(void **state)
{
	(void)state;
	assert_false(redis_is_built());
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, start, end)
	const struct CMUnitTest tests[] = {
		T(what_opens_on_one_host_is_open_on_all),
		T(what_a_probe_closes_on_one_host_is_closed_on_all),
		T(what_one_host_is_refused_no_host_asks_for),
		T(what_an_operator_forgets_on_one_host_is_in_rotation_on_all),
		T(what_was_told_is_not_told_again),
		T(averages_of_first_tokens_are_mixed_by_what_each_has_seen),
		T(without_redis_nothing_happens_and_it_is_told_later),
		T(a_redis_that_was_emptied_is_told_everything_again),
		T(one_process_of_a_host_does_it_and_another_when_it_is_gone),
		T(garbage_in_redis_is_left_alone),
		T(many_rows_go_in_several_tellings),
	};
	const struct CMUnitTest none[] = { cmocka_unit_test(nothing_is_tested_without_redis) };

	if (!redis_is_built())
		return cmocka_run_group_tests(none, NULL, NULL);
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
