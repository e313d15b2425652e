/* gateway/cost.h - what a request costs, exactly.
 *
 * Prices are whole picodollars (10^-12 USD) for one token, request or image. A cost is summed in
 * picodollars, 128 bits wide, and rounded once, half up, to the microdollars that balances hold.
 * No double takes part.
 *
 * What is billed depends on the state of the usage:
 *   USAGE_NONE       nothing was generated: nothing, not even the price per request.
 *   USAGE_REPORTED   the provider's token figures by the price table; or, of a router whose word
 *                    is trusted (trusts_cost), the cost that it names, 0 included. When the router
 *                    used a key of the operator's own at the provider (router_byok), its cost is
 *                    only a fee: what the provider took counts instead, and the table when the
 *                    router does not say it (never 0).
 *   USAGE_ESTIMATED  the provider reported nothing: the estimated prompt and completion tokens by
 *                    the price table. A cost in the usage is not looked at.
 *   USAGE_PARTIAL    the answer was cut: as REPORTED when a trusted cost arrived before the cut;
 *                    else the table, over what the provider had reported of tokens by then, with
 *                    the relayed text estimated where it had not. The caller fills that in.
 * Free models and requests with the caller's own key (BYOK) are billed 0; market_microusd then
 * says what they would have cost.
 * Sources: kilo-contract.md section 28, openai-chat.md section 7, providers.md section 10.
 *
 * Pure: no I/O, no clock, no allocation but in the buffers that are written. Threads: any.
 */
#ifndef GATEWAY_COST_H
#define GATEWAY_COST_H

#include "gateway/providers/tongue.h"

#define COST_DECIMALS  12                        /* of a price in USD */
#define COST_PRICE_MAX INT64_C(1000000000000000) /* picodollars: 1,000 USD */
#define COST_STEPS     6                         /* long-context steps of a table */

typedef unsigned __int128 cost_wide; /* picodollars of a whole request */

/* Reads a price: a decimal number of USD, such as "0.0000025", 0..1000. False for a sign, an
 * exponent, blanks, a point without digits on both sides, a thirteenth decimal that is not 0, or
 * a price above COST_PRICE_MAX. */
MUST_CHECK bool cost_read_usd(struct slice text, int64_t *picousd);

/* ---- a table: what one model costs at its provider ---- */

/* Prices as texts; NULL = has none of its own. */
struct cost_texts {
	const char *prompt;      /* required in the base */
	const char *completion;  /* required in the base */
	const char *cache_read;  /* else the prompt price */
	const char *cache_write; /* for 5 minutes; else the prompt price */
	const char
		*cache_write_1h; /* else 2 x the prompt price, or as cache_write: see doubles_1h */
	const char *reasoning;   /* else the completion price */
};

/* Above so many prompt tokens every token of the request costs this; what a step does not name
 * is as in the base. */
struct cost_step_text {
	int64_t above_tokens;
	struct cost_texts prices;
};

struct cost_offer {
	struct cost_texts base;
	const char *request, *image; /* NULL = 0 */
	bool doubles_1h; /* the provider charges 2 x the prompt price to cache for an hour */
	const struct cost_step_text *steps; /* above_tokens ascends */
	size_t steps_n;
};

/* Picodollars for a token. */
struct cost_rates {
	int64_t prompt, cache_read, cache_write, cache_write_1h, completion, reasoning;
};

struct cost_step {
	int64_t above_tokens;
	struct cost_rates rates;
};

struct cost_table {
	struct cost_rates base;
	struct cost_step steps[COST_STEPS];
	uint32_t steps_n;
	uint32_t version; /* names these prices in the ledger: a CRC of them all, never 0 */
	int64_t request, image;
};

/* Makes a table. The same prices, however they are spelt, have the same version on every machine.
 * ERR_RANGE with param "prompt", "steps", … when a price cannot be read or is missing, steps do
 * not ascend from at least 1, or are more than COST_STEPS. *t is then { 0 }. */
MUST_CHECK enum err_code cost_table_init(
	struct cost_table *t, const struct cost_offer *offer, struct err *e);

/* ---- the cost of a request ---- */

enum cost_source {
	COST_NOTHING, /* nothing was generated */
	COST_TABLE,
	COST_ROUTER,  /* what the router says */
	COST_UNKNOWN, /* there is no table, and nobody said: only free and BYOK requests may be so
		       */
};

struct cost_facts {
	const struct cost_table *table; /* NULL = prices unknown */
	const struct usage *usage;
	int64_t images;           /* that the model was shown, where they have a price */
	bool trusts_cost;         /* quirks.trusts_cost of the provider */
	bool router_byok;         /* usage.is_byok of a router */
	int64_t upstream_picousd; /* its cost_details.upstream_inference_cost; -1 = not said */
	bool free;                /* a free model */
	bool byok;                /* the caller's own key was used */
};

/* What each class of tokens costs. Their sum is the total. */
struct cost_parts {
	cost_wide prompt; /* neither cached nor written */
	cost_wide cached;
	cost_wide write;
	cost_wide completion; /* without reasoning */
	cost_wide reasoning;
	cost_wide request;
	cost_wide image;
};

struct cost {
	int64_t microusd;        /* to bill */
	int64_t market_microusd; /* what it is worth, billed or not */
	cost_wide total;         /* the same before rounding */
	struct cost_parts parts; /* all 0 unless the source is COST_TABLE */
	enum cost_source source;
	uint32_t price_version; /* of the table, 0 when none was used */
	bool waived;            /* free or BYOK: microusd is 0 whatever the total */
};

/* ERR_OK. ERR_NOT_FOUND: COST_UNKNOWN, and somebody should pay: microusd is 0 and must not be
 * taken for the price. ERR_RANGE: a negative figure (*out is { 0 }), or more than int64 holds:
 * microusd and market_microusd stop at INT64_MAX. Parts of usage that exceed their whole count
 * whole, as tokens beside it. */
MUST_CHECK enum err_code cost_of(const struct cost_facts *f, struct cost *out, struct err *e);

/* Adds what the completion of a cut attempt cost to the attempt that goes on with it: the two are
 * one answer, rounded once. */
void cost_add_completion(struct cost *to, const struct cost *cut);

/* What a request may cost at most, to be reserved before it is sent. */
struct cost_ask {
	int64_t prompt_tokens;     /* an estimate that is not too low */
	int64_t max_output_tokens; /* of all choices together */
	int64_t images;
	bool writes_1h; /* it asks the provider to cache for an hour */
};

/* The microdollars that no usage within ask exceeds by this table, whatever it reads from or
 * writes to a cache. ERR_NOT_FOUND without a table, ERR_RANGE as cost_of. */
MUST_CHECK enum err_code cost_worst(
	const struct cost_table *t, const struct cost_ask *ask, int64_t *microusd, struct err *e);

/* ---- writing ---- */

/* Appends picodollars as USD: an exact decimal number, such as 0.00001234, without exponent and
 * without zeros at its end. */
void cost_write_usd(cost_wide picousd, struct buf *out);

/* Appends the members of a usage object: "cost":USD,"cost_details":{…}, without a comma around
 * them. cost is the exact total, 0 when waived. cost_details has OpenRouter's three figures
 * (upstream_inference_cost is null unless the request was waived or priced by a router), and each
 * part when the table priced it. Nothing is appended of a cost that is unknown. */
void cost_write_json(const struct cost *c, struct buf *out);

#endif
