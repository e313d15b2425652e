#include "base/clock.h"
#include "gateway/catalog_live.h"
#include "gateway/drains.h"
#include "gateway/health_log.h"
#include "store/attempts.h"
#include "store/people.h"
#include "tests/unit/cli_run.h"
#include "tests/unit/own_home.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

static const struct health_conf health_conf = { .interval_ms = 30000, .percent = 50, .min = 5 };

static struct err err;

static int start(void **state)
{
	(void)state;
	if (clearenv() != 0)
		return -1;
	remove_home();
	return setenv("GATEWAY_HOME", home, 1) || setenv("GATEWAY_CATALOGUE", "conf", 1) ||
	       setenv("OPENAI_API_KEY", "sk-1", 1) || setenv("ANTHROPIC_API_KEY", "sk-2", 1);
}

#define RUN(...) run(cli_providers, WORDS("providers", __VA_ARGS__))

/* ---- the command ---- */

static bool is_drained(const char *name)
{
	struct catalog *catalog;
	struct conf *c;
	bool drained;

	assert_int_equal(conf_load(&c, &err), ERR_OK);
	if (catalog_load(c, &catalog, &err))
		fail_msg("%s", err.message);
	drained = catalog_provider_find(catalog, slice_of(name))->drained;
	catalog_fini(catalog);
	conf_fini(c);
	return drained;
}

/* What requests would have told the store. */
static void tell_store(const char *slug, const char *model, enum health_outcome outcome, int times)
{
	const struct health_report report = { .outcome = outcome,
		.ttft_ms = outcome == HEALTH_OK ? 400 : 0 };
	struct conf *c;
	struct ledger *l;

	assert_int_equal(conf_load(&c, &err), ERR_OK);
	if (books_open(c, &l, &err))
		fail_msg("%s", err.message);
	for (int i = 0; i < times; i++)
		(void)health_tell(ledger_health(l), slice_of(slug), slice_of(model), &health_conf,
			clock_mono_ms(), &report, NULL);
	ledger_close(l);
	conf_fini(c);
}

static void status_shows_each_provider_and_what_is_out_of_rotation(void **state)
{
	(void)state;
	assert_int_equal(RUN("status"), CLI_OK);
	has("openai     unknown");
	has("never");
	has_not("mistral");
	tell_store("openai", "openai/gpt-5", HEALTH_FAILED, 5);
	tell_store("openai", "openai/gpt-5-mini", HEALTH_OK, 15);
	tell_store("anthropic", "anthropic/claude-sonnet-4.6", HEALTH_OK, 1);
	assert_int_equal(RUN("status"), CLI_OK);
	has("degraded");
	has("1 of 2 out");
	has("25.0%");
	has("\n  openai/gpt-5 ");
	has("open, again in ");
	has("healthy");
	has("400ms");
	has_not("gpt-5-mini");
	has_not("claude");
	assert_int_equal(RUN("status", "--models"), CLI_OK);
	has("openai/gpt-5-mini");
	has("claude-sonnet-4.6");
	assert_int_equal(RUN("status", "--all"), CLI_OK);
	has("mistral");
	has("not configured");
	assert_int_equal(RUN("status", "--json"), CLI_OK);
	has("\"model\":\"openai/gpt-5\",\"state\":\"open\",\"retry_in_ms\":");
	has("\"total_failed\":5");
}

static void a_provider_is_drained_by_any_of_its_names_and_stays_so(void **state)
{
	struct stat st;
	char path[128];

	(void)state;
	setenv("XAI_API_KEY", "sk-3", 1);
	assert_int_equal(RUN("drain", "X-AI"), CLI_OK);
	has("Drained xai");
	assert_int_equal(RUN("drain", "openai"), CLI_OK);
	assert_int_equal(RUN("drain", "openai"), CLI_OK);
	has("already");
	snprintf(path, sizeof(path), "%s/%s", home, DRAINS_FILE);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_true(is_drained("xai"));
	assert_true(is_drained("openai"));
	assert_false(is_drained("anthropic"));
	assert_int_equal(RUN("status"), CLI_OK);
	has("drained  since 20");
	assert_int_equal(RUN("drain", "anthropic"), CLI_OK);
	has("no provider is left");
	assert_int_equal(RUN("resume", "xai"), CLI_OK);
	has("Resumed xai");
	assert_false(is_drained("xai"));
	assert_true(is_drained("openai"));
}

static void resume_forgets_how_the_provider_fared_and_no_other(void **state)
{
	(void)state;
	tell_store("openai", "openai/gpt-5", HEALTH_FAILED, 5);
	tell_store("anthropic", "anthropic/claude-sonnet-4.6", HEALTH_FAILED, 5);
	assert_int_equal(RUN("status"), CLI_OK);
	has("openai/gpt-5 ");
	assert_int_equal(RUN("resume", "openai"), CLI_OK);
	has("was not drained");
	assert_int_equal(RUN("status"), CLI_OK);
	has_not("openai/gpt-5 ");
	has("claude-sonnet-4.6");
}

static void what_is_wrong_is_named_and_changes_nothing(void **state)
{
	char path[128];

	(void)state;
	snprintf(path, sizeof(path), "%s/%s", home, DRAINS_FILE);
	assert_int_equal(RUN("drain", "antropic"), CLI_FAILED);
	has("near it: anthropic");
	assert_int_equal(RUN("resume", "nobody-at-all"), CLI_FAILED);
	has("there is no provider");
	assert_int_equal(RUN("drain"), CLI_USAGE);
	assert_int_equal(RUN("drain", "openai", "anthropic"), CLI_USAGE);
	assert_int_equal(RUN("drain", "openai", "--json"), CLI_USAGE);
	assert_int_equal(RUN("status", "openai"), CLI_USAGE);
	assert_int_equal(RUN("status", "--json", "--watch"), CLI_USAGE);
	assert_int_equal(RUN("stop"), CLI_USAGE);
	has("status, drain, resume");
	assert_int_equal(access(path, F_OK), -1);
	assert_int_equal(RUN("--help"), CLI_OK);
	has("resume");
}

static void write_drains(const char *text)
{
	char path[128], aside[160];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", home, DRAINS_FILE);
	snprintf(aside, sizeof(aside), "%s.aside", path);
	mkdir(home, 0700);
	fd = open(aside, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
	assert_int_equal(rename(aside, path), 0);
}

#define DRAINED(providers) "{\"version\":1,\"date\":\"2026-11-21\",\"providers\":[" providers "]}\n"
#define SINCE              "\"since\":\"2026-11-21T12:00:00.000Z\""

static void a_broken_list_is_refused_and_left_as_it_is(void **state)
{
	static const char *const broken[] = { "{", "[]", "{\"version\":1,\"date\":\"2026-11-21\"}",
		DRAINED("\"openai\""), DRAINED("{\"slug\":\"openai\"}"),
		DRAINED("{\"slug\":\"openai\"," SINCE ",\"extra\":1}") };

	(void)state;
	for (size_t i = 0; i < sizeof(broken) / sizeof(broken[0]); i++) {
		print_message("%s\n", broken[i]);
		write_drains(broken[i]);
		assert_int_equal(RUN("drain", "anthropic"), CLI_FAILED);
		has(DRAINS_FILE);
		assert_int_equal(RUN("status"), CLI_FAILED);
	}
}

/* A provider that this catalogue does not know may be known to the next. */
static void who_is_not_known_now_stays_drained(void **state)
{
	char path[128], text[512] = "";
	int fd;

	(void)state;
	write_drains(DRAINED("{\"slug\":\"formerly\"," SINCE "}"));
	assert_int_equal(RUN("drain", "openai"), CLI_OK);
	assert_int_equal(RUN("resume", "openai"), CLI_OK);
	snprintf(path, sizeof(path), "%s/%s", home, DRAINS_FILE);
	fd = open(path, O_RDONLY);
	assert_true(read(fd, text, sizeof(text) - 1) > 0);
	close(fd);
	assert_non_null(strstr(text, "\"formerly\""));
	assert_null(strstr(text, "openai"));
}

static void a_running_process_takes_it_up_within_a_second(void **state)
{
	struct catalog_live *live;
	struct catalog_copy *copy;
	struct conf *c;
	int64_t now = 5000;
	char path[128];

	(void)state;
	snprintf(path, sizeof(path), "%s/log", top);
	assert_int_equal(log_open(path, "test", &err), ERR_OK);
	assert_int_equal(conf_load(&c, &err), ERR_OK);
	assert_int_equal(catalog_live_open(c, now, &live, &err), ERR_OK);
	for (int round = 0; round < 3; round++) {
		bool drained = round != 1;

		if (round < 2)
			assert_int_equal(RUN(drained ? "drain" : "resume", "openai"), CLI_OK);
		else
			write_drains(DRAINED("{\"slug\":\"openai\"," SINCE "}"));
		now += CATALOG_LIVE_LOOK_MS;
		copy = catalog_live_take(live, now);
		assert_int_equal(
			catalog_provider_find(copy->catalog, SLICE("openai"))->drained, drained);
		catalog_live_drop(live, copy);
	}
	/* What is broken changes nothing. */
	write_drains("{");
	copy = catalog_live_take(live, now + CATALOG_LIVE_LOOK_MS);
	assert_true(catalog_provider_find(copy->catalog, SLICE("openai"))->drained);
	catalog_live_drop(live, copy);
	catalog_live_close(live);
	conf_fini(c);
	assert_int_equal(log_open("", "test", &err), ERR_OK);
	assert_int_equal(run(cli_logs, WORDS("logs", path)), CLI_OK);
	has("provider=openai status=drained\n");
	has("provider=openai status=resumed\n");
	has_not("anthropic");
	unlink(path);
}

/* Reads until the text has come n times, or 10 s have passed. */
static int count_in(int fd, const char *text, int n)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	size_t len = 0;
	int seen = 0;

	while (seen < n && len < sizeof(out) - 1 && poll(&p, 1, 10000) == 1) {
		ssize_t got = read(fd, out + len, sizeof(out) - 1 - len);

		if (got <= 0)
			break;
		len += (size_t)got;
		out[len] = '\0';
		seen = 0;
		for (const char *at = out; (at = strstr(at, text)); at++)
			seen++;
	}
	return seen;
}

static void watch_shows_it_again_until_nobody_reads(void **state)
{
	int ends[2], status;
	pid_t pid;

	(void)state;
	assert_int_equal(pipe(ends), 0);
	pid = fork();
	if (!pid) {
		struct conf *c;

		dup2(ends[1], 1);
		close(ends[0]);
		close(ends[1]);
		if (conf_load(&c, &err))
			_exit(9);
		_exit(cli_providers(
			c, 3, (char **)(uintptr_t)WORDS("providers", "status", "--watch")));
	}
	close(ends[1]);
	assert_int_equal(count_in(ends[0], "PROVIDER ", 2), 2);
	close(ends[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true((WIFEXITED(status) && WEXITSTATUS(status) == CLI_OK) ||
		    (WIFSIGNALED(status) && WTERMSIG(status) == SIGPIPE));
}

/* ---- the log ---- */

static void changes_of_health_are_log_lines_in_plain_words(void **state)
{
	char path[128];

	(void)state;
	snprintf(path, sizeof(path), "%s/log", top);
	assert_int_equal(log_open(path, "chat_completions.fcgi", &err), ERR_OK);
	health_log("openai", "openai/gpt-5", HEALTH_OPEN);
	health_log_failover("anthropic", "anthropic/claude-sonnet-4.6", 12);
	health_log("openai", "openai/gpt-5", HEALTH_CLOSED);
	health_log("openai", "a \"quoted\" \x1b[2J name", HEALTH_LIMITED);
	assert_int_equal(log_open("", "test", &err), ERR_OK);
	assert_int_equal(run(cli_logs, WORDS("logs", path)), CLI_OK);
	has("warn  chat_completions.fcgi  provider=openai status=unhealthy model=openai/gpt-5\n");
	has("info  chat_completions.fcgi  failover to=anthropic latency=12ms "
	    "model=anthropic/claude-sonnet-4.6\n");
	has("provider=openai status=recovered model=openai/gpt-5\n");
	has("status=limited model=a \"quoted\" ?[2J name\n");
	unlink(path);
}

static void logs_show_what_was_tried_for_a_request(void **state)
{
	static const char line[] =
		"{\"time\":\"2026-11-21T12:00:00.000Z\",\"level\":\"info\",\"status\":200,"
		"\"model\":\"m\",\"attempts\":\"openai:503, anthropic:ok\"}\n";
	char path[128];
	int fd;

	(void)state;
	snprintf(path, sizeof(path), "%s/log", top);
	fd = open(path, O_WRONLY | O_CREAT, 0600);
	assert_int_equal(write(fd, line, sizeof(line) - 1), sizeof(line) - 1);
	close(fd);
	assert_int_equal(run(cli_logs, WORDS("logs", path)), CLI_OK);
	has("(openai:503, anthropic:ok)\n");
	unlink(path);
}

/* ---- why ---- */

static void why_shows_what_was_tried_for_a_request(void **state)
{
	static const char kept[] =
		"[{\"provider\":\"openai\",\"status\":503,\"outcome\":"
		"\"failed\",\"error\":\"upstream_status\"},"
		"{\"provider\":\"anthropic\",\"status\":200,\"outcome\":\"ok\"}]";
	struct ledger_id id = ledger_id(SLICE("req_why"));
	struct record_settle what = { .status = 200, .attempts = 2 };
	struct ledger_lease lease;
	struct ledger_refusal refusal;
	struct ledger_ask ask = { .id = id, .deadline_ms = INT64_MAX };
	enum ledger_settled how;
	struct ledger *l;
	struct conf *c;

	(void)state;
	assert_int_equal(run(cli_keys, WORDS("keys", "create", "--name", "ann")), CLI_OK);
	assert_int_equal(conf_load(&c, &err), ERR_OK);
	assert_int_equal(books_open(c, &l, &err), ERR_OK);
	assert_int_equal(run(cli_keys, WORDS("keys", "list", "--json")), CLI_OK);
	{
		char *from = strstr(out, "\"id\":\"") + strlen("\"id\":\""),
		     *to = strchr(from, '"');

		what.key = people_number((struct slice){ from, (size_t)(to - from) });
	}
	assert_int_equal(ledger_reserve(l, ledger_now(), &ask, &lease, &refusal, &err), ERR_OK);
	assert_int_equal(ledger_settle(l, ledger_now(), &lease, &what, &how, &err), ERR_OK);
	ledger_close(l);
	conf_fini(c);
	assert_int_equal(run(cli_why, WORDS("why", "ann")), CLI_OK);
	has_not("openai:503");
	assert_int_equal(attempts_put(home, id, clock_wall_ms(), slice_of(kept), &err), ERR_OK);
	assert_int_equal(run(cli_why, WORDS("why", "ann")), CLI_OK);
	has("  (openai:503, anthropic:ok)\n");
}

#define TEST(name) cmocka_unit_test_setup(name, start)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(status_shows_each_provider_and_what_is_out_of_rotation),
		TEST(a_provider_is_drained_by_any_of_its_names_and_stays_so),
		TEST(resume_forgets_how_the_provider_fared_and_no_other),
		TEST(what_is_wrong_is_named_and_changes_nothing),
		TEST(a_broken_list_is_refused_and_left_as_it_is),
		TEST(who_is_not_known_now_stays_drained),
		TEST(a_running_process_takes_it_up_within_a_second),
		TEST(watch_shows_it_again_until_nobody_reads),
		TEST(changes_of_health_are_log_lines_in_plain_words),
		TEST(logs_show_what_was_tried_for_a_request),
		TEST(why_shows_what_was_tried_for_a_request),
	};

	return cmocka_run_group_tests(tests, make_top, drop_top);
}
