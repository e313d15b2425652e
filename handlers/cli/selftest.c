#include "base/clock.h"
#include "base/crypto.h"
#include "gateway/books.h"
#include "gateway/catalog_live.h"
#include "handlers/cli/cli.h"
#include "handlers/cli/json_out.h"
#include "handlers/cli/selftest_run.h"
#include "store/health.h"
#include "store/home.h"
#include "store/keys.h"
#include "store/ledger.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

#define URL_DEFAULT  "http://127.0.0.1:8080/v1" /* where `make run` is */
#define SECRET_CHARS 40
#define SPARE_MS     240000 /* the test's key and models outlive it by no more than this */

static const char usage[] =
	"Usage: tollgate selftest --faults [--url URL] [--quick] [--json]\n"
	"\n"
	"Tries what becomes of a request when a provider misbehaves, at the gateway that runs here "
	"and\n"
	"through its web server. Providers that misbehave on cue are started on a loopback port, "
	"and the\n"
	"gateway of the same GATEWAY_HOME knows them for as long as the test runs; nobody else "
	"can use\n"
	"them, nothing is asked of any other provider, and nothing costs anything. Prints a score "
	"card.\n"
	"\n"
	"  --faults   try the fault catalogue\n"
	"  --url URL  base URL of the gateway (default " URL_DEFAULT ")\n"
	"  --quick    leave out what has to wait for GATEWAY_FIRST_TOKEN_TIMEOUT or "
	"GATEWAY_IDLE_TIMEOUT\n"
	"  --json     the score card for programs\n"
	"\n"
	"Exits with 0 when all have passed, else with 1.\n";

struct wishes {
	const char *url;
	bool faults, quick, json;
};

/* Everything that has to be undone, by whoever ends the test: its end or a signal. */
struct test {
	const struct conf *conf;
	const struct wishes *wishes;
	struct selftest_run run;
	char url[1024];
	char secret[SECRET_CHARS + 1];
	char key[KEY_TEXT_SIZE];
	int lock; /* of GATEWAY_HOME; -1 = not taken */
	struct keys *keys;
	struct key_info key_info; /* id "" = none was made */
	struct ledger *ledger;
	pthread_mutex_t ending;
	bool announced, undone;
	atomic_bool over;
	pthread_t watcher;
	struct selftest_result results[SELFTEST_MODELS_MAX];
};

/* ---- before and after ---- */

static const char *home_of(const struct test *t)
{
	return conf_str(t->conf, CONF_HOME);
}

static void forget_health(struct test *t)
{
	for (size_t i = 0; t->ledger && i < SELFTEST_PROVIDERS; i++)
		health_forget(ledger_health(t->ledger), slice_of(selftest_slugs[i]));
}

/* Takes away what others can see of the test; once. */
static void undo(struct test *t)
{
	struct key_info info;
	struct err e;

	pthread_mutex_lock(&t->ending);
	if (!t->undone) {
		if (t->announced && selftest_withdraw(home_of(t), &e))
			(void)cli_fail(&e);
		if (t->key_info.id[0] &&
			keys_revoke(t->keys, t->key_info.id, clock_wall_ms(), &info, &e))
			(void)cli_fail(&e);
		forget_health(t);
		t->undone = true;
	}
	pthread_mutex_unlock(&t->ending);
}

static void signals(sigset_t *set)
{
	sigemptyset(set);
	sigaddset(set, SIGINT);
	sigaddset(set, SIGTERM);
	sigaddset(set, SIGHUP);
}

static void *watch(void *ctx)
{
	struct test *t = ctx;
	const struct timespec step = { .tv_nsec = 100000000 };
	sigset_t set;
	int number = -1;

	signals(&set);
	while (number < 0 && !atomic_load(&t->over))
		number = sigtimedwait(&set, NULL, &step);
	if (number < 0)
		return NULL;
	undo(t);
	_exit(128 + number);
}

/* From here on a signal undoes what the test has done. */
static enum err_code start_watching(struct test *t, struct err *e)
{
	sigset_t set;
	int failed;

	signals(&set);
	/* Threads that are started later have the same mask. */
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	(void)signal(SIGPIPE, SIG_IGN);
	failed = pthread_create(&t->watcher, NULL, watch, t);
	return failed ? err_errno(e, failed, "no thread for signals") : ERR_OK;
}

static void stop_watching(struct test *t)
{
	atomic_store(&t->over, true);
	pthread_join(t->watcher, NULL);
}

static int64_t longest_ms(const struct conf *conf)
{
	int64_t longest = 0;

	for (size_t i = 0; i < selftest_fault_count; i++) {
		int64_t ms = selftest_limit_ms(conf, &selftest_faults[i]);

		longest = ms > longest ? ms : longest;
	}
	return longest;
}

static enum err_code make_key(struct test *t, int64_t until_ms, struct err *e)
{
	struct key_info want = {
		.name = "self-test", .models = SELFTEST_AUTHOR "*", .expires_ms = until_ms
	};
	enum err_code rc = books_keys(t->conf, &t->keys, e);

	if (!rc)
		rc = keys_create(t->keys, &want, clock_wall_ms(), t->key, &t->key_info, e);
	t->run.client.key = t->key;
	return rc;
}

static enum err_code announce(struct test *t, int64_t until_ms, struct err *e)
{
	struct selftest_model models[SELFTEST_MODELS_MAX];
	struct selftest_site site = { .secret = t->secret,
		.until_ms = until_ms,
		.models = models,
		.model_count = selftest_fault_count };

	for (size_t i = 0; i < SELFTEST_PROVIDERS; i++)
		site.ports[i] = selftest_provider_port(t->run.provider);
	site.ports[selftest_place('x')] = selftest_provider_closed_port(t->run.provider);
	for (size_t i = 0; i < selftest_fault_count; i++) {
		const struct selftest_fault *f = &selftest_faults[i];

		models[i] = (struct selftest_model){ .name = f->name, .prefill = f->continues };
		while (f->at[models[i].at_count]) {
			models[i].at[models[i].at_count] =
				selftest_place(f->at[models[i].at_count]);
			models[i].at_count++;
		}
	}
	t->announced = true;
	return selftest_announce(home_of(t), &site, clock_wall_ms(), e);
}

static enum err_code check(struct test *t, struct err *e)
{
	enum err_code rc;

	if (!home_of(t)[0])
		return err_param(e, ERR_CONF, "GATEWAY_HOME",
			"GATEWAY_HOME is not set: name the folder of the gateway that is to be "
			"tested");
	if (conf_str(t->conf, CONF_PROXY)[0])
		return err_param(e, ERR_CONF, "GATEWAY_PROXY",
			"GATEWAY_PROXY is set: the gateway cannot reach the test's providers on "
			"127.0.0.1 through it");
	rc = home_check(home_of(t), e);
	if (!rc)
		rc = home_lock(home_of(t), SELFTEST_LOCK, 0, &t->lock, e);
	return rc == ERR_BUSY ? err_set(e, rc, "another self-test runs in %s", home_of(t)) : rc;
}

static enum err_code start(struct test *t, struct err *e)
{
	const struct pump_conf pump = { .ca_file = conf_str(t->conf, CONF_CA_FILE),
		.proxy = "",
		.http2 = conf_int(t->conf, CONF_HTTP2) == 1 };
	int64_t until_ms = clock_wall_ms() + longest_ms(t->conf) + SPARE_MS;
	enum err_code rc;

	key_text_random(t->secret, SECRET_CHARS);
	rc = selftest_provider_start(t->secret, &t->run.provider, e);
	if (!rc)
		rc = pump_start(&pump, &t->run.client.pump, e);
	if (!rc)
		rc = books_open(t->conf, &t->ledger, e);
	/* What is being made is not undone in the middle. */
	pthread_mutex_lock(&t->ending);
	if (!rc)
		rc = make_key(t, until_ms, e);
	if (!rc) {
		forget_health(t); /* of a test that was killed */
		rc = announce(t, until_ms, e);
	}
	pthread_mutex_unlock(&t->ending);
	return rc;
}

static void finish(struct test *t)
{
	undo(t);
	/* Whoever is still asked lets the answers of a test that was given up end. */
	selftest_provider_stop(t->run.provider);
	if (t->run.client.pump)
		pump_stop(t->run.client.pump);
	keys_close(t->keys);
	ledger_close(t->ledger);
	if (t->lock >= 0)
		close(t->lock);
	crypto_wipe(t->key, sizeof(t->key));
	crypto_wipe(t->secret, sizeof(t->secret));
}

/* ---- the score card ---- */

static void print_line(const struct test *t, size_t i)
{
	const struct selftest_result *r = &t->results[i];
	char what[SELFTEST_WHAT_MAX];

	if (t->wishes->json)
		return;
	str_copy_cut(what, sizeof(what), r->what);
	cli_tame(what);
	printf("%s%s%s  %-22s %6lld ms  %s\n", cli_style(r->passed ? CLI_GREEN : CLI_RED),
		r->passed ? "PASS" : "FAIL", cli_style(CLI_PLAIN), selftest_faults[i].name,
		(long long)r->ms, what);
	fflush(stdout);
}

static void print_json(const struct test *t, size_t passed, size_t tried)
{
	struct buf out = { .max_bytes = 0 };

	buf_printf(&out, "{\"passed\":%zu,\"of\":%zu,\"faults\":[", passed, tried);
	for (size_t i = 0; i < tried; i++) {
		buf_printf(&out,
			"%s\n{\"name\":\"%s\",\"passed\":%s,\"ms\":%lld,\"what\":", i ? "," : "",
			selftest_faults[i].name, t->results[i].passed ? "true" : "false",
			(long long)t->results[i].ms);
		buf_json_cstr(&out, t->results[i].what);
		buf_char(&out, '}');
	}
	buf_str(&out, "]}\n");
	json_out_print(&out);
}

/* ---- the test ---- */

struct slow {
	struct test *t;
	size_t fault;
	pthread_t thread;
	bool runs;
};

static void *run_slow(void *ctx)
{
	struct slow *s = ctx;

	selftest_run(&s->t->run, s->fault, &s->t->results[s->fault]);
	return NULL;
}

/* Those behind the first count; they wait side by side, and beside the others. */
static void start_slow(struct test *t, struct slow *slow, size_t count)
{
	for (size_t i = count; i < selftest_fault_count; i++) {
		slow[i].t = t;
		slow[i].fault = i;
		slow[i].runs = pthread_create(&slow[i].thread, NULL, run_slow, &slow[i]) == 0;
	}
}

static size_t quick_count(void)
{
	size_t n = 0;

	while (n < selftest_fault_count && !selftest_is_slow(&selftest_faults[n]))
		n++;
	return n;
}

/* Is there a gateway that knows the test? The first fault, which is none, has told. */
static enum err_code is_there(const struct test *t, struct err *e)
{
	const struct selftest_result *r = &t->results[0];

	if (r->status == 0)
		return err_set(e, ERR_UPSTREAM_CONNECT,
			"no gateway answers at %s (%.200s): start it (make run), or name its "
			"address with --url",
			t->url, r->what);
	if (r->status == 401 || r->status == 404 || r->status == 405)
		return err_set(e, ERR_UPSTREAM_STATUS,
			"what answers at %s does not know the test (%.200s): is it a gateway with "
			"the same GATEWAY_HOME (%.200s), and does the address end as it should "
			"(/v1)?",
			t->url, r->what, home_of(t));
	return ERR_OK;
}

static size_t run_all(struct test *t, size_t quick)
{
	size_t tried = t->wishes->quick ? quick : selftest_fault_count;
	struct slow slow[SELFTEST_MODELS_MAX] = { { .t = NULL } };

	if (tried > quick) {
		fprintf(stderr, "%zu slow ones run beside the others, for up to %lld s.\n",
			tried - quick, (long long)(longest_ms(t->conf) / 1000));
		start_slow(t, slow, quick);
	}
	print_line(t, 0);
	for (size_t i = 1; i < quick; i++) {
		selftest_run(&t->run, i, &t->results[i]);
		print_line(t, i);
	}
	for (size_t i = quick; i < tried; i++) {
		if (slow[i].runs)
			pthread_join(slow[i].thread, NULL);
		else
			run_slow(&slow[i]);
		print_line(t, i);
	}
	return tried;
}

static enum err_code try_faults(struct test *t, bool *all, struct err *e)
{
	size_t passed = 0, tried, quick = quick_count();
	enum err_code rc;

	/* By then every process looks at its files before it serves another request. */
	poll(NULL, 0, CATALOG_LIVE_LOOK_MS + 100);
	selftest_run(&t->run, 0, &t->results[0]);
	rc = is_there(t, e);
	if (rc)
		return rc;
	tried = run_all(t, quick);
	for (size_t i = 0; i < tried; i++)
		passed += t->results[i].passed;
	*all = passed == tried;
	if (t->wishes->json)
		print_json(t, passed, tried);
	else
		printf("%zu of %zu passed\n", passed, tried);
	return ERR_OK;
}

static enum err_code test(struct test *t, bool *all, struct err *e)
{
	enum err_code rc = check(t, e);

	if (!rc) {
		rc = start_watching(t, e);
		if (!rc) {
			rc = start(t, e);
			if (!rc)
				rc = try_faults(t, all, e);
			undo(t);
			stop_watching(t);
		}
	}
	finish(t);
	return rc;
}

int cli_selftest(const struct conf *c, int argc, char **argv)
{
	struct wishes w = { .url = URL_DEFAULT };
	struct test t = { .conf = c, .wishes = &w, .lock = -1 };
	const struct cli_option options[] = {
		{ "--faults", NULL, &w.faults, 0 },
		{ "--url", &w.url, NULL, 0 },
		{ "--quick", NULL, &w.quick, 0 },
		{ "--json", NULL, &w.json, 0 },
		{ 0 },
	};
	int rc = cli_options(usage, options, argc, argv, NULL, 0);
	struct slice url = slice_of(w.url);
	bool all = false;
	struct err e;

	if (rc != CLI_GO_ON)
		return rc;
	if (!w.faults)
		return cli_misuse("selftest", "say what to try: --faults");
	while (slice_ends(url, "/"))
		url.len--;
	if ((!slice_starts(url, "http://") && !slice_starts(url, "https://")) ||
		!slice_copy(url, t.url, sizeof(t.url)))
		return cli_misuse("selftest", "--url is an address like " URL_DEFAULT);
	t.run.conf = c;
	t.run.client.url = t.url;
	pthread_mutex_init(&t.ending, NULL);
	if (test(&t, &all, &e))
		rc = cli_fail(&e);
	else
		rc = all ? CLI_OK : CLI_FAILED;
	pthread_mutex_destroy(&t.ending);
	return rc;
}
