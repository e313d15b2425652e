#include "handlers/cli/providers_show.h"

#include "gateway/drains.h"
#include "handlers/cli/json_out.h"
#include "handlers/cli/table.h"

#include <inttypes.h>
#include <stdio.h>

#define TEXT_SIZE 48

/* "250ms", "12s", "5m", "3h", "2d": in whole units, rounded down. */
static const char *age(int64_t ms, char out[TEXT_SIZE])
{
	static const struct {
		int64_t ms;
		const char *unit;
	} units[] = { { 86400000, "d" }, { 3600000, "h" }, { 60000, "m" }, { 1000, "s" } };

	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
		/* Two of a unit say more than one of the next. */
		if (ms >= 2 * units[i].ms) {
			snprintf(out, TEXT_SIZE, "%" PRId64 "%s", ms / units[i].ms, units[i].unit);
			return out;
		}
	snprintf(out, TEXT_SIZE, "%" PRId64 "ms", ms);
	return out;
}

static const char *ttft(int64_t ms, char out[TEXT_SIZE])
{
	if (ms <= 0)
		return "-";
	snprintf(out, TEXT_SIZE, "%" PRId64 "ms", ms);
	return out;
}

static const char *share(uint64_t failed, uint64_t of, char out[TEXT_SIZE])
{
	uint64_t tenths = of ? (failed * 1000 + of / 2) / of : 0;

	if (!of)
		return "-";
	snprintf(out, TEXT_SIZE, "%" PRIu64 ".%" PRIu64 "%%", tenths / 10, tenths % 10);
	return out;
}

/* "open, asked again in 12s" */
static const char *breaker(enum health_state state, int64_t wait_ms, char out[TEXT_SIZE])
{
	char wait[TEXT_SIZE];

	if (state == HEALTH_CLOSED)
		return "closed";
	if (state == HEALTH_HALF_OPEN)
		return "half open, being probed";
	snprintf(out, TEXT_SIZE, "%s, again %s%.20s", providers_view_breaker_name(state),
		wait_ms > 0 ? "in " : "at the next request", wait_ms > 0 ? age(wait_ms, wait) : "");
	return out;
}

static void figures(struct table *t, int64_t ttft_ms, uint64_t failed, uint64_t recent,
	uint64_t total, int64_t heard_ms)
{
	char text[TEXT_SIZE];

	table_cell(t, CLI_PLAIN, "%s", ttft(ttft_ms, text));
	table_cell(t, CLI_PLAIN, "%s", share(failed, recent, text));
	table_cell(t, CLI_PLAIN, "%" PRIu64, total);
	table_cell(t, CLI_PLAIN, "%s%s", heard_ms < 0 ? "never" : age(heard_ms, text),
		heard_ms < 0 ? "" : " ago");
}

static enum cli_style style_of(const struct providers_view_row *r)
{
	if (r->provider->drained)
		return CLI_DIM;
	switch (r->state) {
	case PROVIDERS_VIEW_DOWN:
		return CLI_RED;
	case PROVIDERS_VIEW_DEGRADED:
		return CLI_YELLOW;
	case PROVIDERS_VIEW_HEALTHY:
		return CLI_GREEN;
	default:
		return r->provider->configured ? CLI_PLAIN : CLI_DIM;
	}
}

static void provider(struct table *t, const struct providers_view_row *r, const struct catalog *c)
{
	const char *since = r->provider->drained ? drains_since(c, r->provider) : NULL;
	const char *note = since                     ? "drained"
			   : r->provider->configured ? providers_view_state_name(r->state)
						     : "not configured";

	table_cell(t, style_of(r), "%s", r->provider->slug);
	table_cell(t, CLI_PLAIN, "%s", note);
	if (since)
		table_cell(t, CLI_PLAIN, "since %.10s %.5s UTC", since,
			strlen(since) > 11 ? since + 11 : "");
	else if (r->out)
		table_cell(t, CLI_PLAIN, "%zu of %zu out", r->out, r->model_count);
	else
		table_cell(t, CLI_PLAIN, "%s", r->model_count ? "closed" : "-");
	figures(t, r->ttft_ms, r->failed, r->recent, r->total, r->heard_ms);
}

static void model(struct table *t, const struct health_row *m)
{
	char text[TEXT_SIZE];

	table_cell(t, m->state == HEALTH_CLOSED ? CLI_PLAIN : CLI_YELLOW, "  %s", m->model);
	table_cell(t, CLI_PLAIN, "%s", "");
	table_cell(t, CLI_PLAIN, "%s", breaker(m->state, m->wait_ms, text));
	figures(t, m->ttft_ms, m->failed, m->recent, m->total, m->heard_ms);
}

void providers_show_table(const struct providers_view *v, const struct catalog *c, bool every_model)
{
	struct table t = { .heads = { "PROVIDER", "STATE", "BREAKER", "TTFT", "ERRORS", "REQUESTS",
				   "HEARD" },
		.right = 1u << 3 | 1u << 4 | 1u << 5 };

	for (size_t i = 0; i < v->count; i++) {
		const struct providers_view_row *r = &v->rows[i];

		provider(&t, r, c);
		for (size_t k = 0; k < r->model_count; k++)
			if (every_model || r->models[k].state != HEALTH_CLOSED)
				model(&t, &r->models[k]);
	}
	table_print(&t, "No provider is configured: `tollgate config` says how");
}

void providers_show_json(const struct providers_view *v, const struct catalog *c)
{
	struct buf out = { .max_bytes = (size_t)64 << 20 };

	providers_view_json(v, c, true, &out);
	json_out_print(&out);
}
