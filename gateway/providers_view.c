#include "gateway/providers_view.h"

#include <stdlib.h>

/* ---- collecting ---- */

struct collection {
	struct providers_view *view;
	bool is_short; /* of memory */
};

static void collect(void *ctx, const struct health_row *row)
{
	struct collection *c = ctx;
	struct providers_view *v = c->view;

	/* Grown in powers of two, by the count alone. */
	if ((v->model_count & (v->model_count - 1)) == 0) {
		size_t room = v->model_count ? 2 * v->model_count : 1;
		struct health_row *more = realloc(v->models, room * sizeof(*more));

		if (!more) {
			c->is_short = true;
			return;
		}
		v->models = more;
	}
	v->models[v->model_count++] = *row;
}

static int by_name(const void *pa, const void *pb)
{
	const struct health_row *a = pa, *b = pb;
	int order = strcmp(a->slug, b->slug);

	return order ? order : strcmp(a->model, b->model);
}

/* ---- adding up ---- */

static enum providers_view_state state_of(const struct providers_view_row *r)
{
	size_t limited = 0;

	for (size_t i = 0; i < r->model_count; i++)
		limited += r->models[i].state == HEALTH_LIMITED;
	if (!r->model_count)
		return PROVIDERS_VIEW_UNKNOWN;
	/* Who says when to come again is there. */
	if (r->out == r->model_count && !limited)
		return PROVIDERS_VIEW_DOWN;
	if (r->out || (r->recent && r->failed * 100 >= r->recent * PROVIDERS_VIEW_PERCENT))
		return PROVIDERS_VIEW_DEGRADED;
	return PROVIDERS_VIEW_HEALTHY;
}

static void add_up(const struct catalog_provider *p, const struct health_row *models, size_t n,
	struct providers_view_row *r)
{
	int64_t ttft_sum = 0, ttft_weight = 0;

	*r = (struct providers_view_row){
		.provider = p, .models = models, .model_count = n, .heard_ms = -1
	};
	for (size_t i = 0; i < n; i++) {
		const struct health_row *m = &models[i];

		if (m->state != HEALTH_CLOSED) {
			if (!r->out++ || m->wait_ms < r->wait_ms)
				r->wait_ms = m->wait_ms;
		}
		/* By what they are used: a model that was tried once says little. */
		if (m->ttft_ms) {
			ttft_sum += m->ttft_ms * (int64_t)(m->recent + 1);
			ttft_weight += (int64_t)m->recent + 1;
		}
		r->recent += m->recent;
		r->failed += m->failed;
		r->total += m->total;
		r->total_failed += m->total_failed;
		if (r->heard_ms < 0 || m->heard_ms < r->heard_ms)
			r->heard_ms = m->heard_ms;
	}
	if (ttft_weight)
		r->ttft_ms = ttft_sum / ttft_weight;
	r->state = state_of(r);
}

enum err_code providers_view_make(const struct catalog *c, bool all, const struct health *h,
	const struct health_conf *conf, int64_t now_mono_ms, struct providers_view *out,
	struct err *e)
{
	size_t n = catalog_provider_count(c);
	struct collection collection = { .view = out };

	*out = (struct providers_view){ .rows = calloc(n + 1, sizeof(*out->rows)) };
	if (h)
		(void)health_list(h, conf, now_mono_ms, collect, &collection);
	if (!out->rows || collection.is_short)
		return err_set(e, ERR_NO_MEMORY, "no memory for the list of providers");
	if (out->model_count)
		qsort(out->models, out->model_count, sizeof(*out->models), by_name);
	for (size_t i = 0; i < n; i++) {
		const struct catalog_provider *p = catalog_provider_at(c, i);
		size_t first = 0, end;

		if (!p->configured && !all)
			continue;
		while (first < out->model_count && strcmp(out->models[first].slug, p->slug) < 0)
			first++;
		end = first;
		while (end < out->model_count && strcmp(out->models[end].slug, p->slug) == 0)
			end++;
		add_up(p, out->models ? out->models + first : NULL, end - first,
			&out->rows[out->count++]);
	}
	return ERR_OK;
}

void providers_view_fini(struct providers_view *v)
{
	free(v->rows);
	free(v->models);
	*v = (struct providers_view){ .count = 0 };
}

/* ---- telling ---- */

const char *providers_view_state_name(enum providers_view_state state)
{
	static const char *const names[] = { [PROVIDERS_VIEW_UNKNOWN] = "unknown",
		[PROVIDERS_VIEW_HEALTHY] = "healthy",
		[PROVIDERS_VIEW_DEGRADED] = "degraded",
		[PROVIDERS_VIEW_DOWN] = "down" };

	return names[state];
}

const char *providers_view_breaker_name(enum health_state state)
{
	static const char *const names[] = { [HEALTH_CLOSED] = "closed",
		[HEALTH_OPEN] = "open",
		[HEALTH_HALF_OPEN] = "half_open",
		[HEALTH_LIMITED] = "limited" };

	return names[state];
}

static void number(struct buf *out, const char *name, int64_t n, bool is_known)
{
	buf_printf(out, ",\"%s\":", name);
	if (is_known)
		buf_int(out, n);
	else
		buf_str(out, "null");
}

/* Four decimals, exact: a share of whole numbers needs no floating point. */
static void rate(struct buf *out, uint64_t failed, uint64_t of)
{
	uint64_t share = of ? (failed * 10000 + of / 2) / of : 0;

	buf_str(out, ",\"error_rate\":");
	if (of)
		buf_printf(out, "%llu.%04llu", (unsigned long long)(share / 10000),
			(unsigned long long)(share % 10000));
	else
		buf_str(out, "null");
}

/* What happened long ago, and how much is asked, is the operator's own affair. */
static void write_figures(struct buf *out, int64_t ttft_ms, uint64_t recent, uint64_t failed,
	uint64_t total, uint64_t total_failed, bool for_operator)
{
	number(out, "ttft_ms", ttft_ms, ttft_ms > 0);
	rate(out, failed, recent);
	number(out, "requests", (int64_t)recent, true);
	if (!for_operator)
		return;
	number(out, "total_requests", (int64_t)total, true);
	number(out, "total_failed", (int64_t)total_failed, true);
}

static void write_model(const struct health_row *m, bool for_operator, struct buf *out)
{
	buf_str(out, "{\"model\":");
	buf_json_cstr(out, m->model);
	buf_printf(out, ",\"state\":\"%s\"", providers_view_breaker_name(m->state));
	number(out, "retry_in_ms", m->wait_ms, m->state != HEALTH_CLOSED);
	number(out, "since_ms", m->since_ms, true);
	write_figures(
		out, m->ttft_ms, m->recent, m->failed, m->total, m->total_failed, for_operator);
	number(out, "heard_ms", m->heard_ms, true);
	buf_char(out, '}');
}

static bool is_listed(const struct catalog *c, const char *model)
{
	const struct catalog_model *m = catalog_model_find(c, slice_of(model));

	return m && !m->hidden;
}

static void write_provider(const struct providers_view_row *r, const struct catalog *c,
	bool for_operator, struct buf *out)
{
	const struct catalog_provider *p = r->provider;
	bool any = false;

	buf_str(out, "{\"provider\":");
	buf_json_cstr(out, p->slug);
	buf_str(out, ",\"name\":");
	buf_json_cstr(out, p->name);
	buf_printf(out, ",\"configured\":%s,\"drained\":%s,\"state\":\"%s\"",
		p->configured ? "true" : "false", p->drained ? "true" : "false",
		providers_view_state_name(r->state));
	write_figures(
		out, r->ttft_ms, r->recent, r->failed, r->total, r->total_failed, for_operator);
	number(out, "heard_ms", r->heard_ms, r->heard_ms >= 0);
	buf_str(out, ",\"models\":[");
	for (size_t i = 0; i < r->model_count; i++) {
		if (!for_operator && !is_listed(c, r->models[i].model))
			continue;
		buf_str(out, any ? "," : "");
		write_model(&r->models[i], for_operator, out);
		any = true;
	}
	buf_str(out, "]}");
}

void providers_view_json(
	const struct providers_view *v, const struct catalog *c, bool for_operator, struct buf *out)
{
	buf_str(out, "{\"object\":\"list\",\"data\":[");
	for (size_t i = 0; i < v->count; i++) {
		buf_str(out, i ? "," : "");
		write_provider(&v->rows[i], c, for_operator, out);
	}
	buf_str(out, "]}\n");
}
