/* gateway/catalog.h - the models and providers we know of, read from data files.
 *
 * models.json and providers.json of GATEWAY_CATALOGUE say what exists, equivalents.json who else
 * has the same models; over them lie models.json, prices.json (prices.h) and equivalents.json of
 * GATEWAY_HOME: what providers were found to have, and the operator's word. The settings say what
 * is configured (a key, or a base URL for providers that need none). Models in the list come from
 * pricing-seed.json; schemas of the listings: kilo-contract.md sections 13 to 15.
 *
 * Ownership: a catalogue is read once and never changes; all it lends lives until
 *            catalog_fini(). It borrows texts of the settings, which must outlive it.
 * Threads:   any, after catalog_load(). Blocking: file reads in load only.
 */
#ifndef GATEWAY_CATALOG_H
#define GATEWAY_CATALOG_H

#include "base/conf.h"
#include "gateway/cost.h"
#include "gateway/providers/openai_like.h"
#include "gateway/providers/tongue.h"

struct catalog_provider {
	const char *slug;
	const char *name; /* for people */
	const char
		*base_url; /* the setting <SLUG>_BASE_URL, else the file's; no slash at its end */
	const char *url_template; /* base_url as it was before its places ("{region}") were filled;
				   * NULL = it has none */
	const char *chat_path;
	const char *models_path; /* "" = has none */
	const char *fim_path;    /* of completions between two texts; NULL = has none */
	const char *text_path;   /* of completions of a text, and of embeddings; NULL = where its */
	const char *embed_path;  /* dialect has them, "" = has none */
	const char *auth;    /* "bearer", "x-api-key", "x-goog-api-key", "none"; "sigv4" = signed
			      * with the keys below */
	const char *dialect; /* "openai"; NULL provider below when this build does not speak it */
	const char *api_key; /* "" = none; a secret */
	const struct sigv4_keys *sigv4; /* NULL = none */
	const char *account_file;       /* of a service account; NULL = none */
	const char *key_names; /* variables that may hold the key, comma-separated, for messages */
	const struct provider *provider;
	const struct quirks *quirks;
	const char *const *aliases; /* NULL-ended other slugs, e.g. "x-ai" */
	bool takes_whole_id;        /* routers: the model id keeps its author prefix */
	bool public_ids;            /* routers that know models by the ids of models.json */
	bool doubles_1h;            /* charges 2 x the prompt price to cache for an hour */
	bool collects;              /* may train on prompts, as far as is known */
	bool configured;
	bool drained; /* by the operator: not to be asked (drains.h) */
	bool demo;    /* the built-in demonstration */
};

struct catalog_model {
	const char *id;
	const char *name;
	const char *native_id;
	const struct catalog_provider *provider; /* who makes it and serves it first; never NULL */
	int64_t max_output;                      /* tokens; 0 = unknown */
	int64_t first_token_ms;          /* it may be silent so long before it speaks; 0 = as any */
	const struct cost_table *prices; /* of that provider; NULL = unknown */
	bool free;                       /* costs the caller nothing: may be used anonymously */
	bool embedding;
	bool takes_tools, takes_images;
	bool prefill; /* goes on with an assistant's message that comes last */
	bool hidden;  /* by the operator: as if it did not exist */
	bool gone;    /* its provider no longer lists it: not listed here either, but asked for */
};

struct catalog;

enum catalog_file {
	CATALOG_FILE_PROVIDERS,
	CATALOG_FILE_MODELS,
	CATALOG_FILE_FOUND,
	CATALOG_FILE_PRICES,
	CATALOG_FILE_DRAINED,
	CATALOG_FILE_SAME,
	CATALOG_FILE_OWN_SAME,
	CATALOG_FILE_AUTO,
	CATALOG_FILE_OWN_AUTO,
	CATALOG_FILE_SELFTEST,
	CATALOG_FILES
};

#define CATALOG_PATH_MAX 4160

/* Where they are; "" for those of GATEWAY_HOME when that is not set. */
struct catalog_files {
	char path[CATALOG_FILES][CATALOG_PATH_MAX];
};
MUST_CHECK enum err_code catalog_find_files(
	const struct conf *conf, struct catalog_files *f, struct err *e);

/* Appends an address with "{place}" filled in. "{place-}" is the value and a hyphen, or nothing for
 * "global", which is no part of a host's name. False, and nothing is appended, for a value with
 * other characters than A-Z a-z 0-9 . _ : - */
MUST_CHECK bool catalog_fill_url(
	const char *url, const char *place, struct slice value, struct buf *out);

/* Reads the files and applies the settings. ERR_CONF with file and member at fault. */
MUST_CHECK enum err_code catalog_load(const struct conf *conf, struct catalog **out, struct err *e);
void catalog_fini(struct catalog *c);

size_t catalog_provider_count(const struct catalog *c);
const struct catalog_provider *catalog_provider_at(const struct catalog *c, size_t i);
/* By slug or alias, without regard to case; NULL when unknown. */
const struct catalog_provider *catalog_provider_find(const struct catalog *c, struct slice slug);

size_t catalog_model_count(const struct catalog *c);
const struct catalog_model *catalog_model_at(const struct catalog *c, size_t i);
/* By exact id, without regard to case; NULL when unknown. */
const struct catalog_model *catalog_model_find(const struct catalog *c, struct slice id);

/* Who serves the model now: its provider, or, for a paid model whose provider is not configured,
 * the first configured one that has the same, else the first configured router that knows it by
 * its id. NULL when there is none. */
const struct catalog_provider *catalog_model_server(
	const struct catalog *c, const struct catalog_model *m);

/* Writes what p calls a model that others know as id: Vercel says zai/glm-5 for z-ai/glm-5. False
 * when that is too long. */
MUST_CHECK bool catalog_native_id(const struct catalog *c, const struct catalog_provider *p,
	struct slice id, char out[MODEL_ID_MAX]);

/* Is the demonstration on: GATEWAY_DEMO=1, or "auto" and no real provider configured? */
bool catalog_demo_is_on(const struct catalog *c);

/* The listings (listing.c) as whole JSON texts: the same catalogue and settings give the same
 * bytes. all: also what is not configured. */
void catalog_write_models(const struct catalog *c, bool all, struct buf *out);
/* One entry, configured or not; ERR_MODEL_NOT_FOUND. */
MUST_CHECK enum err_code catalog_write_model(
	const struct catalog *c, struct slice id, struct buf *out, struct err *e);
void catalog_write_providers(const struct catalog *c, bool all, struct buf *out);
/* generated_at is the date of models.json. */
void catalog_write_models_by_provider(const struct catalog *c, bool all, struct buf *out);

#endif
