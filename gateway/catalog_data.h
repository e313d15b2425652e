/* gateway/catalog_data.h - the inside of a catalogue, for the files that make and read it:
 * catalog.c (lookups), catalog_files.c, catalog_settings.c, catalog_cloud.c, catalog_same.c,
 * listing.c, route.c, equivalents.c. Nobody else.
 */
#ifndef GATEWAY_CATALOG_DATA_H
#define GATEWAY_CATALOG_DATA_H

#include "base/json.h"
#include "gateway/catalog.h"
#include "gateway/schema.h"

#define CATALOG_PROVIDERS_MAX 256 /* those that GATEWAY_PROVIDERS adds included */
#define CATALOG_MODELS_MAX    4096
#define CATALOG_URL_MAX       512 /* bytes of a base URL */

/* A row of providers.json "patterns": which providers a bare model name points to. */
struct catalog_pattern {
	const char *match; /* '*' any text, '#' one or more digits */
	bool tag;          /* only names with ":tag", where the tag is no router's suffix */
	struct json_object *providers;
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
	const char *file_url;           /* base_url of the file: public, unlike the operator's */
	const char *host_variable;      /* e.g. "OLLAMA_HOST"; NULL = none */
	struct json_object *keys;       /* array; NULL = none */
	struct json_object *places;     /* of its URL: {"region":["AWS_REGION"]}; NULL = none */
	bool keyless;                   /* needs no key: the operator must say that it is there */
	struct json_object *listing;    /* NULL for providers that only the settings name */
	struct json_object *native_ids; /* {"z-ai/":"zai/"}; NULL = none */
	const char *drained_since;      /* lent by a tree; NULL = it is not drained */
	const char *list_path;          /* of its list of models; "" = has none */
	const char *list_url; /* the same somewhere else, when base_url is the file's; "" */
	enum catalog_list_unit list_unit;
};

/* A model that somebody has who did not make it and is no router: a row of equivalents.json. */
struct catalog_same {
	const struct catalog_model *model;
	const struct catalog_provider *provider;
	const char *native_id;           /* there */
	struct json_object *also;        /* an array of its other names there; NULL = none */
	const struct cost_table *prices; /* there; NULL = unknown */
};

/* Whose models are best asked for where. */
struct catalog_family {
	const char *prefix;        /* of ids: "anthropic/" */
	struct json_object *order; /* an array of slugs of ours; NULL = none */
	const char *routers;       /* JSON: the same in the words of routers; NULL = none */
};

struct catalog_model_more {
	struct json_object *row;
	uint16_t same_first, same_count; /* its rows in catalog.same */
	const char *price_date; /* the day from which its prices are known; lent by a tree */
	const char *source;     /* who named them: slug of a provider, "operator"; "" = the file */
	int preferred;          /* place in the preferred list from 1, 0 = not in it */
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
	size_t rule_count;       /* the last one fits any request */
	struct json_object *row; /* for listings, with members as those of models.json */
	bool free;
};

struct catalog_owned {
	struct catalog_owned *next;
};

struct catalog {
	struct json_object *models_tree, *providers_tree;
	struct json_object *drained_tree; /* what the operator has drained; NULL = no such file */
	struct json_object *found_tree; /* what providers were found to have; NULL = no such file */
	struct json_object *prices_tree; /* the operator's prices; NULL = no such file */
	struct json_object *made_rows;   /* an array of rows that were put together */
	const char *shipped_date;        /* of models.json, "2026-11-21" */
	const char *date; /* the latest of all files that say which models there are */
	struct catalog_provider *providers;
	struct catalog_provider_more *providers_more;
	size_t provider_count;
	struct catalog_model *models;
	struct catalog_model_more *models_more;
	size_t model_count;
	uint16_t *ids; /* hash table of models by id: index + 1, 0 = free */
	size_t ids_size;
	struct catalog_pattern *patterns;
	size_t pattern_count;
	struct json_object *router_suffixes;
	struct json_object *same_tree, *own_same_tree; /* NULL = no such file */
	struct catalog_same *same; /* those of a model stand together, in the files' order */
	size_t same_count;
	struct catalog_family *families; /* the first that fits counts */
	size_t family_count;
	const struct catalog_provider **routers; /* with public_ids, configured or not */
	size_t router_count;
	bool demo_on;
	struct json_object *auto_tree, *own_auto_tree; /* NULL = no such file */
	struct json_object *auto_rows;                 /* an array: both put together */
	struct json_object *auto_groups;               /* modes by the name of a group */
	struct json_object *auto_features;             /* modes by the name of a feature */
	struct auto_model *autos;
	size_t auto_count;
	/* Of a self-test (selftest.h): its models stand behind models[model_count - 1], its
	 * providers behind providers[provider_count - 1]. */
	size_t selftest_count;
	struct json_object *selftest_tree; /* NULL = no such file */
	struct catalog_owned *owned;       /* everything else that was allocated */
};

/* Zeroed memory that lives as long as the catalogue; NULL without memory. */
MUST_CHECK void *catalog_keep(struct catalog *c, size_t bytes);
MUST_CHECK char *catalog_keep_text(struct catalog *c, struct slice text);

/* The cell of an id in the hash table: the one that holds it, or the free one where it belongs. */
size_t catalog_cell(const struct catalog *c, struct slice id);

/* Reads a file whose outermost object has these members, the first two of them version and date.
 * ERR_CONF names file and member; *tree is to be freed in any case. */
MUST_CHECK enum err_code catalog_open_file(const char *file, const struct schema_row *rows,
	size_t n, struct json_object **tree, struct json_object **v, struct err *e);
bool catalog_is_date(const char *s); /* "2026-11-21" */

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

/* Opens a file of GATEWAY_HOME, which need not be there: then *tree stays NULL. */
MUST_CHECK enum err_code catalog_open_own(const char *file, const struct schema_row *rows, size_t n,
	struct json_object **tree, struct json_object **v, struct err *e);

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
