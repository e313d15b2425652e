/* base/conf.h - settings: from the environment first, then from the configuration file.
 *
 * One table (conf_rows.c) says name, type, default, range and help of every GATEWAY_* setting;
 * `tollgate config` and the manual page are made from it. Providers' variables
 * (OPENAI_API_KEY, <SLUG>_BASE_URL, …) have no row: conf_text() finds them by name in the
 * same two places.
 *
 * The file: GATEWAY_CONF, else gateway.conf in the parent of the program's folder, else in
 * GATEWAY_HOME. Lines NAME=value; '#' begins a comment line; blanks around name and value are
 * dropped; a value may stand in double quotes. A file that others may write is refused.
 * An empty value, in either place, counts as none. A relative path from the file is below the
 * file's folder, any other below the current folder.
 *
 * Ownership: strings are lent until conf_fini().
 * Threads:   read-only after conf_load().
 */
#ifndef BASE_CONF_H
#define BASE_CONF_H

#include "base/str.h"

enum conf_id {
	CONF_HOME,
	CONF_CATALOGUE,
	CONF_LOG,
	CONF_API_KEYS,
	CONF_MASTER_KEY,
	CONF_DEMO,
	CONF_DEMO_PACE,
	CONF_PROVIDERS,
	CONF_WEIGHTS,
	CONF_STRATEGY,
	CONF_STICKY,
	CONF_FALLBACKS,
	CONF_RETRY_MAX,
	CONF_HEALTH_CHECK_INTERVAL,
	CONF_HEALTH_PROBE,
	CONF_BREAKER_PERCENT,
	CONF_BREAKER_MIN,
	CONF_RESCUE,
	CONF_HOLD,
	CONF_THREADS,
	CONF_MAX_BODY,
	CONF_MAX_DEPTH,
	CONF_MAX_KEYS,
	CONF_MAX_EVENT,
	CONF_MAX_ANSWER,
	CONF_BODY_TIMEOUT,
	CONF_CONNECT_TIMEOUT,
	CONF_FIRST_TOKEN_TIMEOUT,
	CONF_FIRST_BYTE_TIMEOUT,
	CONF_IDLE_TIMEOUT,
	CONF_DEADLINE,
	CONF_HEARTBEAT,
	CONF_HEARTBEAT_JSON,
	CONF_CLIENT_STALL,
	CONF_DRAIN,
	CONF_CORS_ORIGINS,
	CONF_TRUSTED_PROXIES,
	CONF_HTTP2,
	CONF_PROXY,
	CONF_CA_FILE,
	CONF_SYNC,
	CONF_JOURNAL_KEEP,
	CONF_FREE_PER_HOUR,
	CONF_IPV6_PREFIX,
	CONF_FETCH_IMAGES,
	CONF_FETCH_ALLOW,
	CONF_FETCH_COUNT,
	CONF_FETCH_MAX,
	CONF_FETCH_TIMEOUT,
	CONF_BUY_CREDITS_URL,
	CONF_CACHE_TTL,
	CONF_CACHE_MAX_SIZE,
	CONF_CACHE_MAX_BYTES,
	CONF_CACHE_MAX_ANSWER,
	CONF_CACHE_BACKEND,
	CONF_CACHE_URL,
	CONF_CACHE_SCOPE,
	CONF_CACHE_REPLAY,
	CONF_CACHE_PACE,
	CONF_CACHE_TOOL_CALLS,
	CONF_CACHE_MAX_TEMPERATURE,
	CONF_COALESCE,
	CONF_COALESCE_BILL,
	CONF_SEMANTIC_CACHE,
	CONF_SEMANTIC_THRESHOLD,
	CONF_SEMANTIC_TIMEOUT,
	CONF_SEMANTIC_MAX_SIZE,
	CONF_EMBEDDING_MODEL,
	CONF_STORE,
	CONF_STORE_FAIL,
	CONF_STORE_TIMEOUT,
	CONF_STORE_PREFIX,
	CONF_COUNT
};

enum conf_type {
	CONF_STRING,
	CONF_PATH,
	CONF_INTEGER,
	CONF_BYTES,       /* a size; value in bytes */
	CONF_DURATION,    /* value in milliseconds */
	CONF_SWITCH,      /* value 0 or 1 */
	CONF_SWITCH_AUTO, /* value 0, 1, or -1 for "auto" */
	CONF_LIST,        /* comma-separated */
	CONF_NETWORKS,    /* the same, of addresses, blocks and "unix" (base/ip.h) */
	CONF_CHOICE,      /* one of the words of the row; value is its number */
	CONF_DECIMAL,     /* a number with up to six decimals; value in millionths */
	CONF_HOLD_BACK,   /* a number of tokens, > 0, or a duration: its milliseconds, < 0 */
};

/* The words of settings that are a choice, in their order. */
enum conf_strategy { STRATEGY_WEIGHTED, STRATEGY_COST, STRATEGY_LATENCY };
enum conf_rescue { RESCUE_OFF, RESCUE_SPLICE, RESCUE_CONTINUE };
enum conf_cache_backend { BACKEND_AUTO, BACKEND_GDBM, BACKEND_MEMORY, BACKEND_REDIS };
enum conf_cache_scope { SCOPE_KEY, SCOPE_USER, SCOPE_ORG, SCOPE_GLOBAL };
enum conf_replay { REPLAY_INSTANT, REPLAY_PACED };
enum conf_bill { BILL_LEADER, BILL_EACH };
enum conf_store_fail { STORE_FAIL_CLOSED, STORE_FAIL_OPEN };

enum conf_origin {
	CONF_FROM_DEFAULT,
	CONF_FROM_ENVIRONMENT,
	CONF_FROM_FILE,
};

struct conf_row {
	enum conf_id id;
	const char *name;
	enum conf_type type;
	const char *standard; /* default, as one would write it; "" = none */
	int64_t min, max;     /* of the number, in its unit; both 0 for text */
	bool secret;          /* masked wherever it is shown */
	const char *help;     /* one line */
	const char *words;    /* of a choice: "off|splice|continue"; else NULL */
};

struct conf;

/* Reads everything and checks every row and every line: ERR_CONF with "file:line: NAME: what
 * is accepted" (or "environment: NAME: …"). An unknown GATEWAY_* name in the file is an
 * error; in the environment it is kept as a warning. Names of other shape than [A-Z0-9_]+ are
 * errors. Gives *out; conf_fini() frees it. */
MUST_CHECK enum err_code conf_load(struct conf **out, struct err *e);
void conf_fini(struct conf *c);

int64_t conf_int(const struct conf *c, enum conf_id id);     /* any type but the texts */
const char *conf_str(const struct conf *c, enum conf_id id); /* any type, as written; paths are
								 absolute; "" when empty */
bool conf_is_set(const struct conf *c, enum conf_id id);     /* not from the default */
enum conf_origin conf_origin(const struct conf *c, enum conf_id id);

/* Any other variable by name, environment first; NULL when absent or empty. HTTP_* and
 * REDIRECT_* are never read from the environment: under CGI a client writes them. */
const char *conf_text(const struct conf *c, const char *name);
/* Where conf_text found it (CONF_FROM_DEFAULT = nowhere). */
enum conf_origin conf_text_origin(const struct conf *c, const char *name);

const struct conf_row *conf_rows(void); /* CONF_COUNT of them, in order of enum conf_id */

/* The file that was read, or NULL; the line a name stood on, or 0. */
const char *conf_file(const struct conf *c);
int conf_file_line(const struct conf *c, const char *name);

/* Walks the names in the file that have no row, in order; NULL at the end. */
const char *conf_file_extra(const struct conf *c, size_t i, const char **value);

/* A warning of the load (unknown GATEWAY_* in the environment, secrets in a file that others may
 * read), or NULL at the end. */
const char *conf_warning(const struct conf *c, size_t i);

/* The folder of the running program, without a slash at its end. */
const char *conf_program_dir(const struct conf *c);

#endif
