#include "handlers/cli/selftest_run.h"

#include "base/clock.h"

#include <poll.h>
#include <stdio.h>

#define PATIENCE_MS 20000 /* of a request beyond what it has to wait for */
#define KNOWN_MS    6000  /* until every process knows the test's models */
#define LEAVE_MS    5000  /* until who has lost is given up */
#define STEP_MS     100
#define OUTAGE_MORE 10 /* requests after the first should be out of rotation */
#define OUTAGE_MAX  60

bool selftest_is_slow(const struct selftest_fault *f)
{
	return f->wait != WAIT_NONE;
}

int64_t selftest_limit_ms(const struct conf *conf, const struct selftest_fault *f)
{
	switch ((enum selftest_wait)f->wait) {
	case WAIT_FIRST_TOKEN:
		return PATIENCE_MS + conf_int(conf, CONF_FIRST_TOKEN_TIMEOUT);
	case WAIT_IDLE:
		return PATIENCE_MS + conf_int(conf, CONF_IDLE_TIMEOUT);
	case WAIT_NONE:
		break;
	}
	return PATIENCE_MS;
}

static int64_t outage_requests(const struct conf *conf)
{
	int64_t n = conf_int(conf, CONF_BREAKER_MIN) + OUTAGE_MORE;

	return n < OUTAGE_MAX ? n : OUTAGE_MAX;
}

/* A process that has not looked at its files yet knows no such model, and says so at no cost. */
static void ask(
	const struct selftest_run *run, const struct selftest_fault *f, struct selftest_answer *a)
{
	int64_t until_ms = clock_mono_ms() + KNOWN_MS;

	for (;;) {
		selftest_ask(&run->client, f, selftest_limit_ms(run->conf, f), a);
		if (a->status != 404 || clock_mono_ms() >= until_ms)
			return;
		selftest_answer_fini(a);
		poll(NULL, 0, STEP_MS);
	}
}

/* Whoever keeps a request waiting that another one has answered must be told to stop. */
static bool is_given_up(const struct selftest_run *run, size_t fault)
{
	int64_t until_ms = clock_mono_ms() + LEAVE_MS;

	while (!selftest_provider_left(run->provider, fault, 0)) {
		if (clock_mono_ms() >= until_ms)
			return false;
		poll(NULL, 0, STEP_MS);
	}
	return true;
}

/* The first is asked until it is out of rotation, and then once in an interval. */
static void judge_outage(const struct selftest_run *run, size_t fault, struct selftest_result *out)
{
	unsigned asked = selftest_provider_asked(run->provider, fault, 0);
	int64_t interval_ms = conf_int(run->conf, CONF_HEALTH_CHECK_INTERVAL);
	int64_t requests = outage_requests(run->conf);
	int64_t most = conf_int(run->conf, CONF_BREAKER_MIN) + 1 +
		       (interval_ms ? out->ms / interval_ms : requests);

	out->passed = most >= requests || asked <= (unsigned)most;
	(void)snprintf(out->what, sizeof(out->what),
		"%lld of %lld whole; the one that is down was asked %u times", (long long)requests,
		(long long)requests, asked);
}

static void tell_rescue(
	const struct selftest_fault *f, const unsigned *asked, struct selftest_result *out)
{
	size_t n = strlen(out->what);

	(void)snprintf(out->what + n, sizeof(out->what) - n, "; asked: %c %u, %c %u", f->at[0],
		asked[0], f->at[1], asked[1]);
}

static void judge_all(const struct selftest_run *run, size_t fault, struct selftest_result *out)
{
	const struct selftest_fault *f = &selftest_faults[fault];
	unsigned asked[SELFTEST_PLACES];

	for (size_t i = 0; i < SELFTEST_PLACES; i++)
		asked[i] = selftest_provider_asked(run->provider, fault, i);
	out->passed = selftest_judge_asked(f, asked, out->what);
	if (!out->passed)
		return;
	if (f->expect == EXPECT_RESCUED)
		tell_rescue(f, asked, out);
	if (f->outage) {
		judge_outage(run, fault, out);
	} else if (f->times > 1) {
		(void)snprintf(out->what, sizeof(out->what), "%u of %u whole", f->times, f->times);
	} else if (selftest_is_slow(f) && !is_given_up(run, fault)) {
		out->passed = false;
		(void)snprintf(
			out->what, sizeof(out->what), "the provider that lost is still waited for");
	}
}

void selftest_run(const struct selftest_run *run, size_t fault, struct selftest_result *out)
{
	const struct selftest_fault *f = &selftest_faults[fault];
	const struct selftest_rules rules = { .rescues = conf_int(run->conf, CONF_RESCUE) !=
							 RESCUE_OFF,
		.continues = conf_int(run->conf, CONF_RESCUE) == RESCUE_CONTINUE,
		.holds = conf_int(run->conf, CONF_HOLD) != 0,
		.heartbeat_ms = conf_int(run->conf, CONF_HEARTBEAT) };
	int64_t times = f->outage ? outage_requests(run->conf) : f->times ? f->times : 1;

	*out = (struct selftest_result){ .passed = true };
	for (int64_t i = 0; i < times && out->passed; i++) {
		struct selftest_answer a;
		char what[SELFTEST_WHAT_MAX];

		ask(run, f, &a);
		out->passed = selftest_judge(f, &rules, &a, what);
		out->status = a.status;
		out->ms += a.took_ms;
		if (times > 1 && !out->passed)
			(void)snprintf(out->what, sizeof(out->what), "request %lld: %.150s",
				(long long)i + 1, what);
		else
			str_copy_cut(out->what, sizeof(out->what), what);
		selftest_answer_fini(&a);
	}
	if (out->passed)
		judge_all(run, fault, out);
}
