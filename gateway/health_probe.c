#include "gateway/health_probe.h"

#include "base/clock.h"
#include "gateway/health_log.h"
#include "gateway/prices_fetch.h"

/* The first row for which a probe is due and can be made. */
struct due {
	const struct catalog *catalog;
	const struct catalog_provider *provider; /* NULL = none yet */
	char model[HEALTH_MODEL_MAX];
};

static void look(void *ctx, const struct health_row *row)
{
	struct due *d = ctx;
	const struct catalog_provider *p;
	const char *why;

	/* A model's name that was cut would name another row. */
	if (d->provider || row->wait_ms > 0 || strlen(row->model) + 1 == HEALTH_MODEL_MAX ||
		(row->state != HEALTH_OPEN && row->state != HEALTH_HALF_OPEN))
		return;
	p = catalog_provider_find(d->catalog, slice_of(row->slug));
	if (!p || !p->configured || p->drained || !prices_fetch_can(d->catalog, p, &why))
		return;
	d->provider = p;
	str_copy_cut(d->model, sizeof(d->model), row->model);
}

bool health_probe(struct pump *pump, const struct catalog *c, struct health *h,
	const struct health_conf *conf, int64_t now_ms)
{
	struct due d = { .catalog = c };
	struct health_report report = { .probe = true, .entered_ms = now_ms };
	struct slice slug, model;
	enum health_state state;
	int64_t wait_ms;
	struct err e;
	bool changed;

	(void)health_list(h, conf, now_ms, look, &d);
	if (!d.provider)
		return false;
	slug = slice_of(d.provider->slug);
	model = slice_of(d.model);
	if (health_enter(h, health_name(slug, model), conf, now_ms, &wait_ms) != HEALTH_PROBE)
		return false;
	report.outcome = prices_fetch_ask(pump, c, d.provider, HEALTH_PROBE_MS, &e) ? HEALTH_FAILED
										    : HEALTH_OK;
	state = health_tell(h, slug, model, conf, clock_mono_ms(), &report, &changed);
	if (changed)
		health_log(d.provider->slug, d.model, state);
	return true;
}
