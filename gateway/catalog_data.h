/* gateway/catalog_data.h - the inside of a catalogue, for the files that make and read it:
 * catalog.c (lookups), catalog_files.c, catalog_settings.c, catalog_cloud.c, catalog_same.c,
 * listing.c, route.c, equivalents.c. Nobody else.
 */
#ifndef GATEWAY_CATALOG_DATA_H
#define GATEWAY_CATALOG_DATA_H

#include "gateway/catalog.h"
#include "gateway/schema.h"

#define CATALOG_PROVIDERS_MAX 256 /* those that GATEWAY_PROVIDERS adds included */
#define CATALOG_MODELS_MAX    4096
#define CATALOG_URL_MAX       512 /* bytes of a base URL */

/* A row of providers.json "patterns": which providers a bare model name points to. */
struct catalog_pattern {
	const char *match; /* '*' any text, '#' one or more digits */
	bool tag;          /* only names with ":tag", where the tag is no router's suffix */
	const struct catalog_provider *const *providers; /* NULL-ended */
};

/* A place of a provider's URL: "region", from AWS_REGION. */
struct catalog_place {
	const char *name;
	const char *const *variables; /* NULL-ended, at least one; the first that is set counts */
};

/* What a provider calls an id, or, where both end in a slash, its beginning: "zai/" for "z-ai/". */
struct catalog_native {
	const char *id, *native;
};

/* How the prices in a provider's own list of models are meant. */
enum catalog_list_unit {
	CATALOG_LIST_NO_PRICES,
	CATALOG_LIST_PER_TOKEN,      /* USD, decimal texts */
	CATALOG_LIST_PER_MILLION,    /* USD for a million tokens, numbers */
	CATALOG_LIST_CENTS_PER_100M, /* US cents for 100 million tokens, whole numbers */
	CATALOG_LIST_FREE,           /* a server of the operator's own: everything costs 0 */
};

/* What a provider's row says beyond struct catalog_provider. */
struct catalog_provider_more {
	const char *file_url;      /* base_url of the file: public, unlike the operator's */
	const char *host_variable; /* e.g. "OLLAMA_HOST"; NULL = none */
	const char *const *keys;   /* NULL-ended names of variables; NULL = none */
	const struct catalog_place *places;
	size_t place_count;
	const struct catalog_native *native_ids;
	size_t native_count;
	bool keyless;              /* needs no key: the operator must say that it is there */
	struct json_value listing; /* absent for providers that only the settings name */
	const char *drained_since; /* NULL = it is not drained */
	const char *list_path;     /* of its list of models; "" = has none */
	const char *list_url;      /* the same somewhere else, when base_url is the file's; "" */
	enum catalog_list_unit list_unit;
};

/* A model that somebody has who did not make it and is no router: a row of equivalents.json. */
struct catalog_same {
	const struct catalog_model *model;
	const struct catalog_provider *provider;
	const char *native_id;           /* there */
	const char *const *also;         /* its other names there, NULL-ended; NULL = none */
	const struct cost_table *prices; /* there; NULL = unknown */
};

/* Whose models are best asked for where. */
struct catalog_family {
	const char *prefix;                          /* of ids: "anthropic/" */
	const struct catalog_provider *const *order; /* NULL-ended; NULL = none */
	const char *routers; /* JSON: the same in the words of routers; NULL = none */
};

/* The members of a model's row in models.json. */
enum catalog_row_member {
	ROW_ID,
	ROW_PROVIDER,
	ROW_NATIVE_ID,
	ROW_NAME,
	ROW_DESCRIPTION,
	ROW_CREATED,
	ROW_CONTEXT_LENGTH,
	ROW_MAX_OUTPUT,
	ROW_INPUT,
	ROW_OUTPUT,
	ROW_TOOLS,
	ROW_REASONING,
	ROW_PRICE_PROMPT,
	ROW_PRICE_COMPLETION,
	ROW_PRICE_CACHE_READ,
	ROW_PRICE_CACHE_WRITE,
	ROW_PRICE_CACHE_WRITE_1H,
	ROW_PRICE_REASONING,
	ROW_PRICE_REQUEST,
	ROW_PRICE_IMAGE,
	ROW_OVERRIDES,
	ROW_FREE,
	ROW_PREFILL,
	ROW_FIRST_TOKEN,
	ROW_NOTE,
	ROW_PRICE_DATE,
	ROW_SOURCE,
	ROW_COUNT
};

/* A row, member by member. */
struct catalog_row {
	struct json_value v[ROW_COUNT];
};

struct catalog_model_more {
	struct json_value row;
	uint16_t same_first, same_count; /* its rows in catalog.same */
	const char *price_date;          /* the day from which its prices are known */
	const char *source; /* who named them: slug of a provider, "operator"; "" = the file */
	int preferred;      /* place in the preferred list from 1, 0 = not in it */
};

/* A row of an auto model's table: for which requests, which models, with which parameters. */
struct auto_rule {
	const char *const *modes; /* one of these */
	size_t mode_count;        /* 0 = any, or none */
	bool needs_balance;       /* only callers with money to spend */
	const char *const *models;
	size_t model_count;        /* 1..AUTO_RULE_MODELS */
	const char *const *served; /* those of them that are served here, in the same order */
	size_t served_count;
	struct slice reasoning, verbosity; /* JSON; empty = as the client says */
};

#define AUTO_MODELS_MAX  64
#define AUTO_RULE_MODELS 16

struct auto_model {
	const char *id;
	const char *name;
	const char *const *aliases; /* NULL-ended; NULL = none */
	struct auto_rule *rules;
	size_t rule_count;      /* the last one fits any request */
	struct catalog_row row; /* for listings */
	bool free;
};

/* Modes by the name of their group: "planning". */
struct auto_group {
	const char *name;
	const char *const *modes; /* NULL-ended */
};

/* The mode that a feature stands for. */
struct auto_feature {
	const char *name, *mode;
};

struct catalog_block;

struct catalog {
	struct buf texts[CATALOG_FILES]; /* of the files that are there: values are lent by them */
	size_t text_count;
	const char *shipped_date; /* of models.json, "2026-11-21" */
	const char *date;         /* the latest of all files that say which models there are */
	struct catalog_provider *providers;
	struct catalog_provider_more *providers_more;
	size_t provider_count;
	struct catalog_model *models;
	struct catalog_model_more *models_more;
	size_t model_count, model_room;
	uint16_t *ids; /* hash table of models by id: index + 1, 0 = free */
	size_t ids_size;
	struct catalog_pattern *patterns;
	size_t pattern_count;
	const char *const *router_suffixes; /* NULL-ended */
	struct catalog_same *same; /* those of a model stand together, in the files' order */
	size_t same_count;
	struct catalog_family *families; /* the first that fits counts */
	size_t family_count;
	const struct catalog_provider **routers; /* with public_ids, configured or not */
	size_t router_count;
	bool demo_on;
	struct auto_group *auto_groups;
	size_t auto_group_count;
	struct auto_feature *auto_features;
	size_t auto_feature_count;
	struct auto_model *autos;
	size_t auto_count;
	/* Of a self-test (selftest.h): its models stand behind models[model_count - 1], its
	 * providers behind providers[provider_count - 1]. */
	size_t selftest_count;
	struct catalog_block *blocks; /* everything else that was allocated */
	bool no_memory;               /* for some of it */
};

/* Zeroed memory that lives as long as the catalogue; NULL without memory. */
MUST_CHECK void *catalog_keep(struct catalog *c, size_t bytes);
MUST_CHECK char *catalog_keep_text(struct catalog *c, struct slice text);

/* The text of a string; "" of what is none. Without memory "" too, and then the catalogue is not
 * used: no_memory is looked at when all is read. */
const char *catalog_keep_str(struct catalog *c, struct json_value v);
/* The texts of an array of strings, NULL-ended; NULL when it is no array, or without memory. */
const char *const *catalog_keep_strs(struct catalog *c, struct json_value list);
/* The providers of an array of slugs or aliases, NULL-ended; NULL when one is unknown, or without
 * memory. */
const struct catalog_provider *const *catalog_keep_providers(
	struct catalog *c, struct json_value slugs);
const char *catalog_keep_key(struct catalog *c, struct slice key); /* of an object */
size_t catalog_length(struct json_value v); /* elements or members; 0 of what has none */

/* What v spells: a slug or alias, an id; NULL when unknown. */
const struct catalog_provider *catalog_provider_spelled(
	const struct catalog *c, struct json_value v);
const struct catalog_model *catalog_model_spelled(const struct catalog *c, struct json_value v);

/* The row of a model of the files. */
void catalog_row_of(
	const struct catalog *c, const struct catalog_model *m, struct catalog_row *out);

/* The cell of an id in the hash table: the one that holds it, or the free one where it belongs. */
size_t catalog_cell(const struct catalog *c, struct slice id);

/* Reads a file whose outermost object has these members, the first two of them version and date;
 * the catalogue keeps its text. ERR_CONF names file and member. */
MUST_CHECK enum err_code catalog_open_file(struct catalog *c, const char *file,
	const struct schema_row *rows, size_t n, struct json_value *v, struct err *e);
bool catalog_is_date(struct json_value v); /* "2026-11-21" */

/* Read a file into the empty catalogue, providers first. ERR_CONF names file and member. found and
 * prices are files of GATEWAY_HOME that lie over it (prices.h); they may be missing. */
MUST_CHECK enum err_code catalog_read_providers(struct catalog *c, const char *file, struct err *e);
MUST_CHECK enum err_code catalog_read_models(
	struct catalog *c, const char *file, const char *found, const char *prices, struct err *e);

/* Reads who else has which model, once all models and providers are known. Either file may be
 * missing; what own, of GATEWAY_HOME, says comes before the other. ERR_CONF names file and member.
 */
MUST_CHECK enum err_code catalog_read_same(
	struct catalog *c, const char *file, const char *own, struct err *e);

/* The row of what p calls name, or of the model with this id there; NULL when there is none. */
const struct catalog_same *catalog_same_named(
	const struct catalog *c, const struct catalog_provider *p, struct slice name);

/* The first of a model's rows whose provider is configured; NULL when there is none. */
const struct catalog_same *catalog_same_server(
	const struct catalog *c, const struct catalog_model *m);

/* Opens a file of GATEWAY_HOME, which need not be there: then all n values stay absent. */
MUST_CHECK enum err_code catalog_open_own(struct catalog *c, const char *file,
	const struct schema_row *rows, size_t n, struct json_value *v, struct err *e);

/* Reads the auto models, behind everything else. Either file may be missing; what own, of
 * GATEWAY_HOME, says lies over the other. ERR_CONF names file and member. */
MUST_CHECK enum err_code catalog_read_auto(
	struct catalog *c, const char *file, const char *own, struct err *e);

/* Reads these files and applies the settings. */
MUST_CHECK enum err_code catalog_load_files(const struct conf *conf, const struct catalog_files *f,
	struct catalog **out, struct err *e);

/* Reads which providers are drained (drains.h), once all are known; the file may be missing. */
MUST_CHECK enum err_code catalog_read_drained(struct catalog *c, const char *file, struct err *e);

/* Reads what a self-test adds (selftest.h), behind everything else; the file may be missing. What
 * is wrong with it is logged, and it counts as missing. */
void catalog_read_selftest(struct catalog *c, const char *file, int64_t wall_ms);

/* The name of a setting of a provider, such as "Z_AI_API_KEY" of "z-ai" and "_API_KEY". */
#define CATALOG_VARIABLE_MAX (SLUG_MAX + 16)
void catalog_variable(const char *slug, const char *ending, char out[CATALOG_VARIABLE_MAX]);

/* Is url an address that may be dialled: http or https, a host, perhaps a port and a path,
 * nothing else? Says in *why what is wrong. */
bool catalog_url_is_good(struct slice url, const char **why);

/* Is it fit to stand in a header? ERR_CONF names the variable. */
MUST_CHECK enum err_code catalog_check_key(const char *variable, const char *key, struct err *e);

/* For providers behind a cloud's door: fills the places of the URL and finds the credentials that
 * are no simple key. When something is missing, key_names says what. *complete: nothing is.
 * ERR_CONF names the setting. */
MUST_CHECK enum err_code catalog_apply_cloud(
	struct catalog *c, const struct conf *conf, size_t i, bool *complete, struct err *e);

/* Lays the settings over the providers of the file, adds those that only GATEWAY_PROVIDERS
 * names, and decides who is configured. ERR_CONF names the setting. */
MUST_CHECK enum err_code catalog_apply_settings(
	struct catalog *c, const struct conf *conf, struct err *e);

#endif
