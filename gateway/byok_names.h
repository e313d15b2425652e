/* gateway/byok_names.h - the ids under which callers keep their own provider keys
 * (kilo-contract.md section 16.1), which models they serve (16.2, 16.6), and what the secrets look
 * like (16.3).
 *
 * Pure: no I/O. Threads: any.
 */
#ifndef GATEWAY_BYOK_NAMES_H
#define GATEWAY_BYOK_NAMES_H

#include "gateway/route.h"

enum byok_kind {
	BYOK_NATIVE, /* a provider; its models go by their usual ids */
	BYOK_PLAN,   /* a plan of the caller's: "<id>/<model>" */
	BYOK_ROUTER, /* the caller's own account at a router, for any model that it knows */
};

enum byok_shape {
	BYOK_TEXT,    /* a key as it is sent */
	BYOK_BEDROCK, /* {"accessKeyId","secretAccessKey","region"} */
	BYOK_AZURE,   /* {"apiKey","resourceName","modelMappings"?} */
	BYOK_VERTEX,  /* {"project","location","googleCredentials":{"privateKey","clientEmail"}} */
};

struct byok_name {
	const char *id;
	const char *name; /* for people */
	const char *slug; /* of the catalogue, which may lack it */
	enum byok_kind kind;
	enum byok_shape shape;
};

/* By id, without regard to case; NULL when unknown. */
const struct byok_name *byok_name_find(struct slice id);
/* The same, or ERR_BAD_REQUEST that names all there are. */
MUST_CHECK enum err_code byok_name_read(
	struct slice id, const struct byok_name **out, struct err *e);
/* Walks all of them; NULL at the end. */
const struct byok_name *byok_name_at(size_t i);

/* Is it what a secret for this provider looks like? ERR_BAD_REQUEST with the member at fault, never
 * with the secret. */
MUST_CHECK enum err_code byok_name_check(
	const struct byok_name *n, struct slice secret, struct err *e);

/* A model's candidates in the order in which they are tried. */
#define BYOK_CANDIDATES 4

struct byok_candidate {
	const struct byok_name *name;
	const char *model; /* within the model id that was asked for */
	bool is_native;    /* and this is what the provider itself calls it */
};

/* Whose keys serve a model; none for a free one, unless it was asked for by the name of a plan or
 * router. Points into model. */
size_t byok_name_candidates(
	const struct catalog *c, const char *model, struct byok_candidate out[BYOK_CANDIDATES]);

#endif
