#include "base/conf.h"

#include "base/str.h"

#define SECOND INT64_C(1000)
#define MINUTE (60 * SECOND)
#define HOUR   (60 * MINUTE)
#define KIB    INT64_C(1024)
#define MIB    (1024 * KIB)
#define GIB    (1024 * MIB)

#define MILLION INT64_C(1000000) /* of CONF_DECIMAL: 1 */

/* The shortest limit of a wait: what a test needs, and long enough for a loopback answer. */
#define WAIT_MIN 50

#define CHOICE(id, standard, words, help) \
	[CONF_##id] = { CONF_##id, "GATEWAY_" #id, CONF_CHOICE, standard, 0, 0, false, help, words }
#define ROW(id, type, standard, min, max, secret, help) \
	[CONF_##id] = { CONF_##id, "GATEWAY_" #id, CONF_##type, standard, min, max, secret, help, \
		NULL }

static const struct conf_row rows[CONF_COUNT] = {
	ROW(HOME, PATH, "./var", 0, 0, false,
		"Folder for everything that is kept: keys, ledger and state."),
	ROW(CATALOGUE, PATH, "", 0, 0, false,
		"Folder with models.json and providers.json. Empty: found beside the programs."),
	ROW(LOG, PATH, "", 0, 0, false, "File for the log. Empty: standard error."),
	ROW(API_KEYS, LIST, "", 0, 0, true,
		"Keys of callers, name=key,name2=key2; each key has at least 16 characters."),
	ROW(MASTER_KEY, LIST, "", 0, 0, true,
		"What users' own provider keys are encrypted with: 32 bytes in base64."),
	ROW(DEMO, SWITCH_AUTO, "auto", 0, 0, false,
		"Offer the demonstration models. auto: while no other provider is configured."),
	ROW(DEMO_PACE, DURATION, "30ms", 0, 10 * SECOND, false,
		"Pause between two tokens of the demonstration models."),
	ROW(PROVIDERS, LIST, "", 0, 0, false,
		"Providers to use, by their short names. Empty: every one that has a key."),
	ROW(WEIGHTS, LIST, "", 0, 0, false,
		"Shares of requests, a number for each name in GATEWAY_PROVIDERS. Empty: in "
		"order."),
	CHOICE(STRATEGY, "weighted", "weighted|cost|latency",
		"Which of the providers of a model comes first."),
	ROW(STICKY, SWITCH, "on", 0, 0, false,
		"Keep a conversation at one provider while it is healthy, for its prompt cache."),
	ROW(FALLBACKS, STRING, "", 0, 0, false,
		"Models to try in place of another: model=model2,model3; several parted by ;"),
	ROW(RETRY_MAX, INTEGER, "3", 0, 20, false,
		"Attempts after the first one, at the same provider or elsewhere. 0: none."),
	ROW(HEALTH_CHECK_INTERVAL, DURATION, "30s", SECOND, HOUR, false,
		"How long a failing provider is left alone before one request asks it again."),
	ROW(HEALTH_PROBE, SWITCH, "off", 0, 0, false,
		"Ask such a provider for its list of models, instead of waiting for a request."),
	ROW(BREAKER_PERCENT, INTEGER, "50", 1, 100, false,
		"Share of failures at which a provider's model is taken out of rotation."),
	ROW(BREAKER_MIN, INTEGER, "5", 1, 10000, false,
		"Fewest recent requests to a provider's model by which it is judged."),
	CHOICE(RESCUE, "continue", "off|splice|continue",
		"What is done when a stream dies after text has gone out."),
	ROW(HOLD, HOLD_BACK, "0", 0, MINUTE, false,
		"Hold the beginning of a stream back, for so many tokens or so long. 0: not at "
		"all."),
	ROW(THREADS, INTEGER, "1024", 1, 16384, false,
		"Requests one process handles at once; more are answered 503."),
	ROW(MAX_BODY, BYTES, "32m", KIB, GIB, false, "Largest request body; a larger one is 413."),
	ROW(MAX_DEPTH, INTEGER, "100", 8, 1000, false, "Deepest nesting of a JSON request."),
	ROW(MAX_KEYS, INTEGER, "65536", 16, 1000000, false,
		"Most keys in the objects of a JSON request that are open at one time."),
	ROW(MAX_EVENT, BYTES, "16m", 4 * KIB, GIB, false,
		"Largest single event in a provider's stream."),
	ROW(MAX_ANSWER, BYTES, "64m", 4 * KIB, GIB, false,
		"Largest answer of a provider that is not a stream."),
	ROW(BODY_TIMEOUT, DURATION, "60s", WAIT_MIN, HOUR, false,
		"Longest wait for a request body to arrive."),
	ROW(CONNECT_TIMEOUT, DURATION, "5s", WAIT_MIN, 5 * MINUTE, false,
		"Longest wait for a connection to a provider, TLS included."),
	ROW(FIRST_TOKEN_TIMEOUT, DURATION, "10s", WAIT_MIN, 24 * HOUR, false,
		"Wait for a first token after which a fallback is asked beside the provider."),
	ROW(FIRST_BYTE_TIMEOUT, DURATION, "120s", WAIT_MIN, 24 * HOUR, false,
		"Longest wait for the first byte of a provider's answer."),
	ROW(IDLE_TIMEOUT, DURATION, "30s", WAIT_MIN, 24 * HOUR, false,
		"Longest silence of a provider between two parts of its answer."),
	ROW(DEADLINE, DURATION, "600s", WAIT_MIN, 24 * HOUR, false,
		"Longest time one request may take in all."),
	ROW(HEARTBEAT, DURATION, "10s", 0, 10 * MINUTE, false,
		"Comment sent to a streaming client while the provider is silent. 0: none."),
	ROW(HEARTBEAT_JSON, SWITCH, "off", 0, 0, false,
		"Send white space to a waiting client that did not ask for a stream."),
	ROW(CLIENT_STALL, DURATION, "120s", WAIT_MIN, 24 * HOUR, false,
		"How long a client may take nothing before its request is ended."),
	ROW(DRAIN, DURATION, "30s", 0, HOUR, false,
		"Time for running requests to finish at shutdown; 6s under mod_fcgid unless set."),
	ROW(CORS_ORIGINS, LIST, "", 0, 0, false,
		"Web origins whose pages may call the gateway, or *. Empty: none."),
	ROW(TRUSTED_PROXIES, NETWORKS, "", 0, 0, false,
		"Addresses or networks whose X-Forwarded-For is believed. Empty: none."),
	ROW(HTTP2, SWITCH, "on", 0, 0, false, "Use HTTP/2 with providers that offer it."),
	ROW(PROXY, STRING, "", 0, 0, false,
		"Proxy for all calls to providers: http://, https:// or socks5://host:port."),
	ROW(CA_FILE, PATH, "", 0, 0, false,
		"Certificates trusted for providers, PEM. Empty: the system's."),
	ROW(SYNC, DURATION, "100ms", 0, MINUTE, false,
		"Longest time a written ledger line may stay out of the disk. 0: each waits for "
		"it."),
	ROW(JOURNAL_KEEP, SWITCH, "off", 0, 0, false,
		"Keep folded journal segments, compressed, in GATEWAY_HOME/archive."),
	ROW(FREE_PER_HOUR, INTEGER, "200", 0, 65535, false,
		"Requests to free models in any hour from one address without a key. 0: none."),
	ROW(IPV6_PREFIX, INTEGER, "64", 16, 128, false,
		"Bits of an IPv6 address by which a caller without a key is known."),
	ROW(FETCH_IMAGES, SWITCH, "off", 0, 0, false,
		"Fetch images that requests name by URL, for providers that take none."),
	ROW(FETCH_ALLOW, NETWORKS, "", 0, 0, false,
		"Addresses or networks that may be fetched from although they are not public."),
	ROW(FETCH_COUNT, INTEGER, "16", 1, 1000, false, "Most images fetched for one request."),
	ROW(FETCH_MAX, BYTES, "10m", KIB, GIB, false, "Largest image that is fetched."),
	ROW(FETCH_TIMEOUT, DURATION, "15s", WAIT_MIN, 10 * MINUTE, false,
		"Longest time to fetch all images of one request."),
	ROW(BUY_CREDITS_URL, STRING, "", 0, 0, false,
		"Where callers can buy credit; told to who has none left. Empty: nowhere."),
	ROW(CACHE_TTL, DURATION, "300", 0, 30 * 24 * HOUR, false,
		"How long an answer is remembered for identical requests. 0: not at all."),
	ROW(CACHE_MAX_SIZE, INTEGER, "10000", 1, 10000000, false, "Most answers remembered."),
	ROW(CACHE_MAX_BYTES, BYTES, "256m", MIB, 1024 * GIB, false,
		"Most room that remembered answers take."),
	ROW(CACHE_MAX_ANSWER, BYTES, "8m", KIB, 256 * MIB, false,
		"Largest answer that is remembered."),
	CHOICE(CACHE_BACKEND, "auto", "auto|gdbm|memory|redis",
		"Where answers are remembered. auto: where GATEWAY_STORE is."),
	ROW(CACHE_URL, STRING, "redis://127.0.0.1:6379/0", 0, 0, true,
		"The Redis of GATEWAY_CACHE_BACKEND=redis, when GATEWAY_STORE is none."),
	CHOICE(CACHE_SCOPE, "org", "key|user|org|global",
		"Who shares remembered answers. org: an organisation, or else a user."),
	CHOICE(CACHE_REPLAY, "instant", "instant|paced",
		"How a remembered answer is streamed: at once, or event by event."),
	ROW(CACHE_PACE, DURATION, "20ms", 1, 10 * SECOND, false,
		"Pause between two events of a paced replay."),
	ROW(CACHE_TOOL_CALLS, SWITCH, "off", 0, 0, false, "Remember answers that call tools, too."),
	ROW(CACHE_MAX_TEMPERATURE, DECIMAL, "2", 0, 2 * MILLION, false,
		"Requests with a higher temperature and no seed are not remembered."),
	ROW(COALESCE, SWITCH, "on", 0, 0, false,
		"Let identical requests in flight share one call of the provider."),
	CHOICE(COALESCE_BILL, "leader", "leader|each",
		"Who pays for a shared call: its first caller, or each in full."),
	ROW(SEMANTIC_CACHE, SWITCH, "off", 0, 0, false,
		"Answer a question that means the same as a remembered one, too."),
	ROW(SEMANTIC_THRESHOLD, DECIMAL, "0.95", MILLION / 2, MILLION, false,
		"Least cosine similarity of two questions that count as the same."),
	ROW(SEMANTIC_TIMEOUT, DURATION, "500ms", WAIT_MIN, MINUTE, false,
		"Longest wait for the vector of a question."),
	ROW(SEMANTIC_MAX_SIZE, INTEGER, "10000", 1, 1000000, false,
		"Most questions whose vectors are kept."),
	ROW(EMBEDDING_MODEL, STRING, "", 0, 0, false,
		"Model that makes those vectors, such as openai/text-embedding-3-small."),
	ROW(STORE, STRING, "gdbm", 0, 0, true,
		"Where keys, counters and balances are: gdbm, or redis://[user:pass@]host:port/db, "
		"rediss://…, unix:///path, redis+sentinel://…, redis+cluster://…"),
	CHOICE(STORE_FAIL, "closed", "closed|open",
		"Whether requests that cost are let through while Redis cannot be reached."),
	ROW(STORE_TIMEOUT, DURATION, "500ms", WAIT_MIN, MINUTE, false,
		"Longest wait for an answer of Redis."),
	ROW(STORE_PREFIX, STRING, "tollgate", 0, 0, false,
		"What the names of all keys in Redis begin with."),
};

const struct conf_row *conf_rows(void)
{
	return rows;
}
