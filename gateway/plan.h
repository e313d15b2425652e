/* gateway/plan.h - in which order who is asked: the providers of the model, then those of its
 * fallbacks.
 *
 * For each model of the chain (the one asked for; then the request's models and fallbacks; else
 * GATEWAY_FALLBACKS): every configured provider that serves it - who makes it, who has the same
 * model under another name (equivalents, data in conf/providers.json or conf/equivalents.json), and
 * routers that know it. A free model has its designated provider only. Then:
 *
 *   1. the request's wishes and `may` (policies; deny wins) take candidates away
 *   2. order: provider.order; else sticky; else sort or GATEWAY_STRATEGY; else the preferred
 *      provider of the family (kilo-contract.md section 24.1), maker, equivalents, routers
 *   3. what is out of rotation (open, limited) goes to the end, in order of when it may be asked
 *      again; where it is the only one it stays. Who is drained is no candidate
 *
 * Blocking: never. Threads: any. Ownership: plan_fini() frees; routes lend from the catalogue, and
 * public ids from the plan itself.
 */
#ifndef GATEWAY_PLAN_H
#define GATEWAY_PLAN_H

#include "gateway/route.h"
#include "gateway/wishes.h"
#include "store/health.h"

#define PLAN_MAX 24 /* candidates */

/* GATEWAY_PROVIDERS, _WEIGHTS, _STRATEGY, _STICKY, _FALLBACKS as they are set, read once at start;
 * lends from the settings. */
struct plan_conf;
/* ERR_CONF names the setting: as many weights as providers, whole numbers 0..1000000 with one > 0;
 * fallbacks without a model. */
MUST_CHECK enum err_code plan_conf_load(
	const struct conf *conf, struct plan_conf **out, struct err *e);
void plan_conf_fini(struct plan_conf *c);

struct candidate {
	struct route route; /* .prices are those of who is asked, which .model's need not be */
	char public_id[MODEL_ID_MAX]; /* route.target.public_id points here for models other than
				       * the one asked for */
	uint64_t health;              /* health_name() of the slug and candidate_model() */
	unsigned link;                /* 0 = the model asked for, 1 = its first fallback, … */
	int64_t wait_ms;              /* > 0: out of rotation for so long */
};

/* What its health is known by: the catalogue's id, else what the provider calls it. */
const char *candidate_model(const struct candidate *c);

struct plan {
	struct candidate *at; /* in order; NULL = none */
	size_t count;
};

struct plan_ask {
	const struct catalog *catalog;
	const struct plan_conf *conf;
	const struct wishes *wishes;
	const char *model;   /* as the client wrote it, lent for as long as the plan lives */
	struct slice sticky; /* names the conversation (task id, prompt_cache_key); empty = none */
	uint64_t dice;       /* random, for weights when nothing is sticky */
	const struct health *health; /* NULL: nobody's health is known */
	const struct health_conf *health_conf;
	int64_t now_ms; /* monotonic */
	/* May the caller have this? Returns why not. */
	enum err_code (*may)(void *ctx, const struct route *r, struct err *e);
	void *ctx;
};

/* ERR_OK: out->count > 0. Otherwise what route_find() says of the model asked for; or the first
 * refusal of `may`; ERR_BAD_REQUEST (ERR_DATA_COLLECTION) with the param when the request's wishes
 * leave nobody; ERR_MODEL_UNAVAILABLE when only drained providers are left. *out is
 * set on every path. With nothing wished, one provider and no fallbacks it costs no more than
 * route_find() and one look at the health. */
MUST_CHECK enum err_code plan_make(const struct plan_ask *ask, struct plan *out, struct err *e);
void plan_fini(struct plan *p);

/* Moves the candidate at from to the place to, which is not behind it; what stands there is lost.
 */
void plan_move(struct plan *p, size_t from, size_t to);

#endif
