/* gateway/providers_view.h - how the providers are: GET …/health/providers, `tollgate providers`.
 *
 *   unknown    nothing was heard of any of its models yet
 *   healthy    all its models are in rotation, and few requests fail
 *   degraded   a model is out of rotation or limited, or PROVIDERS_VIEW_PERCENT of the recent
 *              requests failed
 *   down       all models that were heard of are out of rotation
 *
 * Drained is beside that: the operator's word, not the provider's doing.
 *
 * Ownership: a view lends from the catalogue. Threads: any. Blocking: never.
 */
#ifndef GATEWAY_PROVIDERS_VIEW_H
#define GATEWAY_PROVIDERS_VIEW_H

#include "gateway/catalog.h"
#include "store/health.h"

#define PROVIDERS_VIEW_PERCENT 10

enum providers_view_state {
	PROVIDERS_VIEW_UNKNOWN,
	PROVIDERS_VIEW_HEALTHY,
	PROVIDERS_VIEW_DEGRADED,
	PROVIDERS_VIEW_DOWN
};

struct providers_view_row {
	const struct catalog_provider *provider;
	enum providers_view_state state;
	const struct health_row *models; /* by name */
	size_t model_count;
	size_t out;              /* of them, out of rotation or limited */
	int64_t wait_ms;         /* until the first of those is asked again */
	int64_t ttft_ms;         /* over all models; 0 = not known */
	uint64_t recent, failed; /* as in struct health_row */
	uint64_t total, total_failed;
	int64_t heard_ms; /* how long ago; -1 = never */
};

struct providers_view {
	struct providers_view_row *rows; /* in the catalogue's order */
	size_t count;
	struct health_row *models;
	size_t model_count;
};

/* The configured providers, or all. h NULL: of none anything is known. ERR_NO_MEMORY. *out is to
 * be ended in any case. */
MUST_CHECK enum err_code providers_view_make(const struct catalog *c, bool all,
	const struct health *h, const struct health_conf *conf, int64_t now_mono_ms,
	struct providers_view *out, struct err *e);
void providers_view_fini(struct providers_view *v);

const char *providers_view_state_name(enum providers_view_state state); /* "healthy" */
const char *providers_view_breaker_name(enum health_state state);       /* "half_open" */

/* {"object":"list","data":[…]}. For everybody those models are named that the catalogue lists (not
 * what a client made up, nor what is hidden), with the requests of the time that counts; for the
 * operator all of them, and the totals. */
void providers_view_json(const struct providers_view *v, const struct catalog *c, bool for_operator,
	struct buf *out);

#endif
