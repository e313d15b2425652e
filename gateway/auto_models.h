/* gateway/auto_models.h - models that stand for others: kilo-auto/frontier and its like
 * (kilo-contract.md section 11), and those of the operator.
 *
 * Which model it is depends on the mode that the request names, on what may be spent, and on what
 * is served here; all of it is data: auto_models.json of the catalogue's folder, and over it the
 * one of GATEWAY_HOME (docs/catalogue.md). What the data says first counts; what stands behind it
 * takes its place where it is not served, and when it fails.
 *
 * After that nothing is left of the auto model but its name in the log: policies, money, keys of
 * the caller's own and the answer know the model it became.
 *
 * Pure. Ownership: what is lent lives as long as the catalogue. Threads: any.
 */
#ifndef GATEWAY_AUTO_MODELS_H
#define GATEWAY_AUTO_MODELS_H

#include "gateway/catalog.h"

#define AUTO_CHAIN_MAX 8 /* models to fall back to */

/* Who asks, and how. */
struct auto_ask {
	struct slice mode;    /* x-kilocode-mode, as it came; empty = none */
	struct slice feature; /* x-kilocode-feature */
	/* Has the caller money to spend? Asked once at most, and only by models for which it
	 * matters. */
	enum err_code (*has_balance)(void *ctx, bool *has, struct err *e);
	/* Does a key of the caller's own lead to this model? Asked only of models that are not
	 * served otherwise. */
	bool (*has_key)(void *ctx, const char *model);
	void *ctx;
};

/* What an auto model is for one request. */
struct auto_choice {
	const char *id;    /* the auto model, as the data spells it; NULL: it is none, and nothing
			    * else is set */
	const char *model; /* the model to take */
	const char *const *chain;          /* served models to fall back to, in order */
	size_t chain_count;                /* ..AUTO_CHAIN_MAX */
	struct slice reasoning, verbosity; /* JSON values to ask it with; empty = the client's */
};

/* ERR_OK with out->id NULL for any other model. ERR_MODEL_UNAVAILABLE when none of its models is
 * served here: the message names what to set; id is set then too. What has_balance says. */
MUST_CHECK enum err_code auto_models_choose(const struct catalog *c, const char *model,
	const struct auto_ask *ask, struct auto_choice *out, struct err *e);

/* Writes into the empty *body the request for the chosen model: the client's own, but for model,
 * reasoning, verbosity and, where reasoning is given, reasoning_effort; and reads it into *fresh,
 * which points into body. ERR_NO_MEMORY. */
MUST_CHECK enum err_code auto_models_apply(const struct auto_choice *choice,
	const struct chat_req *req, struct buf *body, struct chat_req *fresh, struct err *e);

/* ---- for whoever lists and reads them ---- */

struct auto_model;

/* By id or alias, without regard to case, a "kilocode/" in front left out; NULL = there is none. */
const struct auto_model *auto_models_find(const struct catalog *c, struct slice id);

/* Can it become any model at all, without keys of a caller's own? */
bool auto_models_is_served(const struct auto_model *a);

#endif
