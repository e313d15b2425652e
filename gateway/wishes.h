/* gateway/wishes.h - what a request wishes about who serves it, in the forms of OpenRouter
 * (models, provider) and Vercel (providerOptions.gateway), and our own (fallbacks).
 *
 * Pure. Ownership: everything points into the request's body or into the struct itself, which is
 * therefore not copied.
 */
#ifndef GATEWAY_WISHES_H
#define GATEWAY_WISHES_H

#include "gateway/providers/tongue.h"

#define WISHES_MODELS 8 /* of a chain, beyond the model itself */
#define WISHES_SLUGS  16

/* Throughput is taken as latency: who begins soon is who is not busy. */
enum wish_sort { SORT_NONE, SORT_PRICE, SORT_LATENCY, SORT_THROUGHPUT };

struct wish_slugs {
	struct slice slug[WISHES_SLUGS]; /* what is behind a "/" ("minimax/fp8") left out */
	size_t count;
};

struct wishes {
	bool any;                           /* false: nothing is wished, all else is empty */
	struct slice models[WISHES_MODELS]; /* the chain behind req->model, in order */
	size_t model_count;
	struct wish_slugs order, only, ignore;
	bool no_fallbacks;  /* allow_fallbacks: false: who is named in order, else the first */
	bool no_collection; /* data_collection: "deny" */
	bool zdr;           /* zero data retention only */
	bool require_parameters;
	bool tools, schema, images; /* with require_parameters: what the request has of them */
	enum wish_sort sort;
	int64_t max_prompt_picousd;     /* per token; -1 = no limit */
	int64_t max_completion_picousd; /* the same */
	int64_t max_request_picousd;
	int64_t max_image_picousd;
	const char *for_routers; /* the wish that only routers can honour; NULL = none */

	char text[512]; /* names that were written with escapes */
	size_t text_len;
};

/* ERR_BAD_REQUEST with the param ("provider.order", "models[3]") for wrong types and more entries
 * than there is room for. A request without these fields costs next to nothing. */
MUST_CHECK enum err_code wishes_read(const struct chat_req *req, struct wishes *w, struct err *e);

#endif
