/* handlers/common/front.h - what all handlers do alike: start, find their endpoint, answer in one
 * shape, log one line per request.
 *
 * A handler program is a struct front_spec and a main that calls front_main().
 *
 * Threads: handle() runs on many request threads at once; an exchange belongs to one of them.
 */
#ifndef HANDLERS_COMMON_FRONT_H
#define HANDLERS_COMMON_FRONT_H

#include "base/conf.h"
#include "base/ip.h"
#include "fcgi/server.h"
#include "gateway/auth.h"
#include "gateway/auto_models.h"
#include "gateway/catalog_live.h"
#include "gateway/plan.h"
#include "store/byok.h"
#include "store/flights.h"
#include "store/ledger.h"
#include "store/vectors.h"
#include "gateway/upstream.h"

struct exchange;

enum front_needs {
	FRONT_CATALOG = 1 << 0,
	FRONT_KEYS = 1 << 1,
	FRONT_LEDGER = 1 << 2, /* kept in order between requests; see front_ledger() */
	FRONT_BYOK = 1 << 3,
	FRONT_PLAN = 1 << 4, /* how requests are spread over providers */
};

struct front_spec {
	const char *program;  /* "models.fcgi" */
	const char *summary;  /* one line for --help */
	const char *endpoint; /* below each base path: "/models"; NULL = whatever comes */
	const char *methods;  /* for Allow: "GET, HEAD, OPTIONS" */
	bool no_store;        /* answers are the caller's alone: Cache-Control: no-store */
	bool takes_rest;      /* "/models/…" is this endpoint's too */
	unsigned needs;
	void (*handle)(struct exchange *x);
};

/* What a process has; set up once, read-only afterwards. */
struct front {
	const struct front_spec *spec;
	struct conf *conf;
	struct catalog_live *catalogs; /* NULL unless needed; see exchange.catalog */
	struct keys *keys;             /* NULL unless needed */
	struct byok *byok;             /* NULL unless needed */
	struct plan_conf *plans;       /* NULL unless FRONT_PLAN */
	enum server_kind kind;
};

/* One request on its way. */
struct exchange {
	const struct front *front;
	struct request *rq;
	struct catalog_copy *copy;     /* the exchange's own hold on it */
	const struct catalog *catalog; /* as it is for this request; NULL unless needed */
	char request_id[129];
	struct slice rest;  /* of the path behind the endpoint, without its slash */
	struct ip address;  /* the client's, seen through trusted proxies */
	bool has_address;   /* there is one */
	struct buf head;    /* further header lines of the answer */
	int64_t started_us; /* monotonic */
	struct caller caller;
	struct identity who; /* key lent by caller; ended with the exchange */
	char ledger_id[40];  /* what the ledger knows the request by: never a client's own id */
	/* for the log */
	char model[MODEL_ID_MAX];
	struct auto_choice auto_model; /* what model was chosen by; lent by the catalogue */
	const char *provider;          /* lent by the catalogue */
	int status;
	enum err_code error;
	struct buf attempts; /* "openai:503, anthropic:ok"; empty = one at most; freed at the end */
	int64_t ttft_us;     /* monotonic; 0 = none */
	struct usage usage;
	int64_t cost_microusd;
	const char *cache; /* "hit" …; NULL = it had no part in it */
	uint64_t bytes_in; /* of the request's body */
	bool stream;
};

/* The whole life of a handler process. */
int front_main(int argc, char **argv, const struct front_spec *spec);

/* The pump of this process, started at the first call. NULL with *e when it cannot be. */
struct pump *front_pump(struct err *e);

/* The ledger of this process, opened at the first call that succeeds. NULL with *e (ERR_STORE,
 * ERR_BUSY). */
struct ledger *front_ledger(struct err *e);

/* The caches of this process, each opened at the first call; NULL: it cannot be had now. */
struct cache *front_cache(const struct front *f);
struct flights *front_flights(const struct front *f);
struct vectors *front_vectors(const struct front *f);
void front_close_caches(void);

/* The process has to end, and the time for its requests is over. */
bool front_must_end(void);

/* Finds out who is calling: x->caller and, for FRONT_KEYS with an organisation named, for whom. */
MUST_CHECK enum err_code exchange_auth(struct exchange *x, struct err *e);

/* What to tell an operator whose web server hides Authorization; "" when it does not. */
const char *exchange_server_hint(const struct exchange *x);

/* Answers with a whole JSON text. */
void exchange_json(struct exchange *x, int status, struct slice json);

/* Answers with another content type. */
void exchange_text(struct exchange *x, int status, const char *content_type, struct slice text);

/* Answers with the error, in the one shape, with the headers that belong to it. */
void exchange_error(struct exchange *x, const struct err *e);

/* Notes how an answer that went through the sink ended. */
void exchange_note(struct exchange *x, int status, enum err_code error);

/* How long a client may take for its answer, in ms. */
int64_t exchange_patience_ms(const struct exchange *x);

/* A GET answer that rarely changes: ETag, If-None-Match, Cache-Control. */
void exchange_listing(struct exchange *x, struct slice json);

#endif
