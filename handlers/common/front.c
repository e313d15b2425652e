#include "handlers/common/front.h"

#include "base/clock.h"
#include "base/crypto.h"
#include "base/log.h"
#include "gateway/books.h"
#include "gateway/health_log.h"
#include "gateway/health_probe.h"
#include "handlers/common/exchange.h"
#include "handlers/common/path.h"
#include "handlers/common/sharing.h"

#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

#define KEEP_EVERY_S 1

static struct front front;

static struct {
	pthread_mutex_t lock;
	struct pump *pump;
	int64_t drain_ms; /* 0 = not draining */
} pumping = { .lock = PTHREAD_MUTEX_INITIALIZER };

struct pump *front_pump(struct err *e)
{
	struct pump_conf conf = {
		.ca_file = conf_str(front.conf, CONF_CA_FILE),
		.proxy = conf_str(front.conf, CONF_PROXY),
		.http2 = conf_int(front.conf, CONF_HTTP2) == 1,
	};
	struct pump *p;

	pthread_mutex_lock(&pumping.lock);
	if (!pumping.pump && pump_start(&conf, &pumping.pump, e))
		pumping.pump = NULL;
	else if (pumping.drain_ms)
		pump_drain(pumping.pump, pumping.drain_ms);
	p = pumping.pump;
	pthread_mutex_unlock(&pumping.lock);
	return p;
}

static void drain(void *ctx, int64_t deadline_mono_ms)
{
	(void)ctx;
	pthread_mutex_lock(&pumping.lock);
	pumping.drain_ms = deadline_mono_ms;
	if (pumping.pump)
		pump_drain(pumping.pump, deadline_mono_ms);
	pthread_mutex_unlock(&pumping.lock);
}

bool front_must_end(void)
{
	bool over;

	pthread_mutex_lock(&pumping.lock);
	over = pumping.drain_ms && clock_mono_ms() >= pumping.drain_ms;
	pthread_mutex_unlock(&pumping.lock);
	return over;
}

/* ---- the ledger ---- */

static struct {
	pthread_mutex_t lock;
	pthread_cond_t wake;
	struct ledger *ledger;
	pthread_t keeper;
	bool has_keeper, stop;
} books = { .lock = PTHREAD_MUTEX_INITIALIZER, .wake = PTHREAD_COND_INITIALIZER };

struct ledger *front_ledger(struct err *e)
{
	struct ledger *l;

	pthread_mutex_lock(&books.lock);
	if (!books.ledger && books_open(front.conf, &books.ledger, e))
		books.ledger = NULL;
	l = books.ledger;
	pthread_mutex_unlock(&books.lock);
	return l;
}

/* Asks a provider that is out of rotation whether it is back. */
static void ask_the_broken(struct ledger *l)
{
	struct health_conf conf = health_log_conf(front.conf);
	int64_t now_ms = clock_mono_ms();
	struct catalog_copy *copy;
	struct pump *pump;
	struct err e;

	if (!front.plans || !conf_int(front.conf, CONF_HEALTH_PROBE))
		return;
	pump = front_pump(&e);
	copy = catalog_live_take(front.catalogs, now_ms);
	if (pump)
		(void)health_probe(pump, copy->catalog, ledger_health(l), &conf, now_ms);
	catalog_live_drop(front.catalogs, copy);
}

/* Syncs, folds and reaps what is due even when no request comes. */
static void *keep_books(void *arg)
{
	struct timespec until;

	(void)arg;
	pthread_mutex_lock(&books.lock);
	while (!books.stop) {
		struct ledger *l = books.ledger;

		pthread_mutex_unlock(&books.lock);
		if (l) {
			(void)ledger_tick(l, ledger_now(), NULL);
			ask_the_broken(l);
		}
		sharing_tick(&front, ledger_health(l));
		pthread_mutex_lock(&books.lock);
		clock_gettime(CLOCK_REALTIME, &until);
		until.tv_sec += KEEP_EVERY_S;
		if (!books.stop)
			pthread_cond_timedwait(&books.wake, &books.lock, &until);
	}
	pthread_mutex_unlock(&books.lock);
	return NULL;
}

static void start_keeper(void)
{
	if (front.spec->needs & FRONT_LEDGER && front.kind != SERVER_CGI)
		books.has_keeper = pthread_create(&books.keeper, NULL, keep_books, NULL) == 0;
}

/* Before what the keeper uses goes. */
static void stop_keeper(void)
{
	pthread_mutex_lock(&books.lock);
	books.stop = true;
	pthread_cond_signal(&books.wake);
	pthread_mutex_unlock(&books.lock);
	if (books.has_keeper)
		pthread_join(books.keeper, NULL);
}

static void close_books(void)
{
	struct err e;

	if (books.ledger && ledger_sync(books.ledger, &e))
		log_line(LOG_ERROR, "ledger: %s", e.message);
	ledger_close(books.ledger);
}

/* ---- one request ---- */

static void dispatch(struct exchange *x)
{
	const struct front_spec *spec = front.spec;
	const char *path = request_path(x->rq);
	const char *method = request_method(x->rq);
	const char *script = request_param(x->rq, "SCRIPT_NAME");
	struct err e = { 0 };

	if (exchange_cors(x))
		return;
	if (request_check(x->rq, &e)) {
		exchange_error(x, &e);
		return;
	}
	if (!path) {
		(void)!err_set(&e, ERR_BAD_REQUEST, "the path of the request cannot be read");
	} else if (spec->endpoint &&
		   !path_is_endpoint(path, spec->endpoint, spec->takes_rest, &x->rest) &&
		   !(script && strcmp(path, script) == 0)) {
		(void)!path_refuse(path, &e);
	} else if (!exchange_method_is(x, spec->methods)) {
		head_add(&x->head, "Allow", spec->methods);
		(void)!err_set(&e, ERR_METHOD, "this endpoint takes %s", spec->methods);
	} else if (strcmp(method, "OPTIONS") == 0) {
		head_add(&x->head, "Allow", spec->methods);
		exchange_text(x, 204, NULL, SLICE(""));
		return;
	} else {
		spec->handle(x);
		return;
	}
	exchange_error(x, &e);
}

static void handle(struct request *rq, void *ctx)
{
	struct exchange x;

	(void)ctx;
	exchange_init(&x, &front, rq);
	dispatch(&x);
	exchange_fini(&x);
}

static void refuse(struct request *rq, void *ctx)
{
	struct exchange x;
	struct err e;

	(void)ctx;
	exchange_init(&x, &front, rq);
	(void)!err_set(
		&e, ERR_BUSY, "too many requests at once for this process: try again in a moment");
	e.retry_after_ms = 1000;
	exchange_error(&x, &e);
	exchange_fini(&x);
}

/* ---- one process ---- */

static int usage(FILE *out, int status)
{
	fprintf(out,
		"%s: %s\n\n"
		"A FastCGI and CGI program: it is started by a web server (see the files in "
		"conf/),\n"
		"not from a shell.%s%s%s\n\n"
		"  --help     this text\n"
		"  --version  the version\n\n"
		"Settings come from the environment and gateway.conf; `tollgate config` shows "
		"them.\n",
		front.spec->program, front.spec->summary, front.spec->endpoint ? " Endpoint: " : "",
		front.spec->endpoint ? front.spec->endpoint : "",
		front.spec->endpoint ? " below /v1, /api/gateway, /api/openrouter and /api/v1."
				     : "");
	return status;
}

/* A web server that gets no answer shows a page of its own: say what is wrong in ours. */
static int broken(const struct err *e)
{
	fprintf(stderr, "%s: %s\n", front.spec->program, e->message);
	if (front.kind == SERVER_CGI)
		printf("Status: 503 Service Unavailable\r\nContent-Type: application/json\r\n"
		       "X-Content-Type-Options: nosniff\r\n\r\n"
		       "{\"error\":{\"message\":\"the gateway's configuration is not valid; its "
		       "log says more\","
		       "\"type\":\"temporarily_unavailable\",\"code\":503,\"param\":null,"
		       "\"metadata\":{}},"
		       "\"error_type\":\"temporarily_unavailable\"}\n");
	return 1;
}

static enum err_code set_up(struct err *e)
{
	enum err_code rc = conf_load(&front.conf, e);
	const char *warning;

	if (rc)
		return rc;
	rc = log_open(conf_str(front.conf, CONF_LOG), front.spec->program, e);
	if (rc)
		return rc;
	for (size_t i = 0; (warning = conf_warning(front.conf, i)); i++)
		log_line(LOG_WARN, "%s", warning);
	if (front.spec->needs & FRONT_CATALOG)
		rc = catalog_live_open(front.conf, clock_mono_ms(), &front.catalogs, e);
	if (!rc && front.spec->needs & FRONT_KEYS)
		rc = books_keys(front.conf, &front.keys, e);
	if (!rc && front.spec->needs & FRONT_BYOK)
		rc = books_byok(front.conf, &front.byok, e);
	if (!rc && front.spec->needs & FRONT_PLAN)
		rc = plan_conf_load(front.conf, &front.plans, e);
	if (!rc && front.spec->needs & (FRONT_KEYS | FRONT_LEDGER))
		rc = sharing_begin(&front, e);
	return rc;
}

int front_main(int argc, char **argv, const struct front_spec *spec)
{
	struct server_conf conf;
	struct server_app app = { .handle = handle, .refuse = refuse, .drain = drain };
	struct err e = { 0 };
	int status;

	front.spec = spec;
	front.kind = server_kind();
	if (argc > 1 && strcmp(argv[1], "--version") == 0) {
		printf("%s %s\n", spec->program, TOLLGATE_VERSION);
		return 0;
	}
	if (argc > 1 && strcmp(argv[1], "--help") == 0)
		return usage(stdout, 0);
	if (front.kind == SERVER_NONE)
		return usage(stderr, 2);
	server_init();
	if (set_up(&e))
		return broken(&e);
	conf = (struct server_conf){
		.threads_max = (unsigned)conf_int(front.conf, CONF_THREADS),
		.drain_ms = conf_int(front.conf, CONF_DRAIN),
		.drain_is_set = conf_is_set(front.conf, CONF_DRAIN),
		.read_timeout_ms = conf_int(front.conf, CONF_BODY_TIMEOUT),
	};
	start_keeper();
	status = server_run(&conf, &app);
	if (!status)
		front_close_caches(); /* others are told that this one shares nothing any more */
	/* Something still runs, and what it uses must stay; or the one request was served, and the
	 * kernel frees faster. */
	if (status || front.kind == SERVER_CGI)
		_exit(status);
	stop_keeper();
	pump_stop(pumping.pump);
	close_books();
	sharing_end();
	plan_conf_fini(front.plans);
	byok_close(front.byok);
	keys_close(front.keys);
	books_close_redis();
	catalog_live_close(front.catalogs);
	conf_fini(front.conf);
	return 0;
}
