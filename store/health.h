/* store/health.h - how each model fares at each provider, shared by all processes of a store: is it
 * in rotation (a circuit breaker), how fast are its first tokens, how often does it fail.
 *
 * A row stands in the hot table for each (provider, model) that was asked. It is changed by
 * compare-and-swap only, never under the table's mutex, and a process that dies in the middle
 * of anything leaves a row that others can use: an owner's death costs at most one interval.
 *
 *   closed     everybody may ask. Outcomes are counted over a sliding time; with at least `min` of
 *              them and `percent` of them failures, or as many failures in a row as `min`, it opens
 *   open       nobody may, until interval_ms after it opened (or was limited until)
 *   half open  one single caller over all processes may ask (the probe); success closes it,
 *              failure opens it for another interval; a probe of which nothing is heard for an
 *              interval is given to another. A success that comes from a request that was sent
 *              earlier closes it too, however late
 *
 * Being limited (429) is a state of its own: not asked until a time, then as if nothing had been.
 * Failures in the meantime are counted, and open it only with one that comes afterwards.
 *
 * Time:   monotonic ms, given by the caller. Units: ms, tokens none.
 * Errors: none: a table without room for a row lets everybody go (HEALTH_GO), and so does a
 *         struct health that is NULL.
 * Blocking: never. Threads: any. Source: providers.md section 9 rules 5 and 9.
 */
#ifndef STORE_HEALTH_H
#define STORE_HEALTH_H

#include "base/str.h"

#define HEALTH_ROWS      2048 /* (provider, model) pairs at one time */
#define HEALTH_SLUG_MAX  32   /* bytes, NUL included; longer names are cut in listings only */
#define HEALTH_MODEL_MAX 128
/* Longer is nobody kept out by a provider's word. */
#define HEALTH_LIMITED_MAX_MS INT64_C(3600000)

struct health; /* see ledger_health() in store/ledger.h */

struct health_conf {
	int64_t interval_ms; /* GATEWAY_HEALTH_CHECK_INTERVAL */
	int64_t percent;     /* GATEWAY_BREAKER_PERCENT, 1..100 */
	int64_t min;         /* GATEWAY_BREAKER_MIN, 1..10000 */
};

/* What a row is known by: a hash of slug and model, never 0. Make it once for each candidate. */
uint64_t health_name(struct slice slug, struct slice model);

enum health_state { HEALTH_CLOSED, HEALTH_OPEN, HEALTH_HALF_OPEN, HEALTH_LIMITED };

/* May it be asked now? Changes nothing: for putting candidates in order. */
struct health_look {
	enum health_state state;
	int64_t wait_ms; /* until it may be asked; 0 = now (closed, or a probe is due) */
	int64_t ttft_ms; /* moving average of first tokens; 0 = not known */
	bool probe_due;  /* whoever asks now is the probe */
};
struct health_look health_look(
	const struct health *h, uint64_t name, const struct health_conf *conf, int64_t now_ms);

enum health_gate {
	HEALTH_GO,    /* ask */
	HEALTH_PROBE, /* ask: the caller is the one probe, and must tell what came of it */
	HEALTH_STOP,  /* leave it alone for *wait_ms */
};
/* Called right before a request goes out. */
enum health_gate health_enter(struct health *h, uint64_t name, const struct health_conf *conf,
	int64_t now_ms, int64_t *wait_ms);

enum health_outcome {
	HEALTH_OK,      /* an answer came, or a stream began with content */
	HEALTH_FAILED,  /* the provider's doing: refused, reset, silent, 5xx, cut, garbage, bad key
			 */
	HEALTH_REFUSED, /* 429: limited until now + limited_ms (0: interval_ms; at most
			 * HEALTH_LIMITED_MAX_MS); no failure, and no mending of what is open */
	HEALTH_NOTHING, /* says nothing about it (the client left, 400, overtaken): a probe is given
			 * back */
};
struct health_report {
	enum health_outcome outcome;
	bool probe;         /* health_enter() said HEALTH_PROBE … */
	int64_t entered_ms; /* … at this now_ms: a probe is given back only by whose it still is */
	int64_t ttft_ms;    /* > 0: sent to first token, goes into the average (weight 1/8) */
	int64_t limited_ms;
};
/* slug and model name the row for listings. *changed (may be NULL): the state is another one than
 * before, for a line in the log. Returns the state it is in now. */
enum health_state health_tell(struct health *h, struct slice slug, struct slice model,
	const struct health_conf *conf, int64_t now_ms, const struct health_report *report,
	bool *changed);

/* A row for people. */
struct health_row {
	char slug[HEALTH_SLUG_MAX];
	char model[HEALTH_MODEL_MAX];
	enum health_state state;
	int64_t wait_ms;         /* until it is asked again */
	int64_t since_ms;        /* how long it has been in this state */
	int64_t ttft_ms;         /* 0 = not known */
	uint64_t recent, failed; /* outcomes in the time that counts */
	uint64_t total, total_failed;
	int64_t heard_ms; /* how long ago an outcome was told */
};
/* Calls f for every row of which something was told, in no order; returns how many. A row whose
 * names were half written by one that died is left out until its next outcome mends it. */
size_t health_list(const struct health *h, const struct health_conf *conf, int64_t now_ms,
	void (*f)(void *ctx, const struct health_row *row), void *ctx);

/* Forgets what is known of a provider ("" = all): an operator's word after mending it. */
void health_forget(struct health *h, struct slice slug);

/* What the rows take in the hot table: zeros, at an address divisible by 64, are an empty one. */
size_t health_bytes(void);

#endif
