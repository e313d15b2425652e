#include "tests/unit/catalog_env.h"

#include "gateway/providers_view.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define NOW INT64_C(50000000)

static const struct health_conf health_conf = { .interval_ms = 30000, .percent = 50, .min = 5 };
static char home[] = "/tmp/tollgate-view-XXXXXX";
static struct err err;

struct setting {
	struct env env;
	const struct catalog *catalog;
	struct health *health;
};

static struct health *new_health(void)
{
	size_t bytes = (health_bytes() + 63) / 64 * 64;
	struct health *h = aligned_alloc(64, bytes);

	assert_non_null(h);
	memset(h, 0, bytes);
	return h;
}

static void open_setting(struct setting *s)
{
	env_load(&s->env, ENV("OPENAI_API_KEY=sk-1", "ANTHROPIC_API_KEY=sk-2"));
	s->catalog = s->env.catalog;
	s->health = new_health();
}

static void close_setting(struct setting *s)
{
	free(s->health);
	env_fini(&s->env);
}

static void tell_times(struct health *h, const char *slug, const char *model,
	enum health_outcome outcome, int times)
{
	const struct health_report report = {
		.outcome = outcome, .ttft_ms = outcome == HEALTH_OK ? 400 : 0, .limited_ms = 2000
	};

	for (int i = 0; i < times; i++)
		(void)health_tell(
			h, slice_of(slug), slice_of(model), &health_conf, NOW, &report, NULL);
}

static const struct providers_view_row *row_of(const struct providers_view *v, const char *slug)
{
	for (size_t i = 0; i < v->count; i++)
		if (strcmp(v->rows[i].provider->slug, slug) == 0)
			return &v->rows[i];
	return NULL;
}

static void a_provider_is_as_well_as_its_models(void **state)
{
	static const struct {
		const char *name;
		int good[2], failed[2], limited[2]; /* outcomes of two models */
		enum providers_view_state is;
		size_t out;
	} rows[] = {
		{ "nothing was heard", { 0 }, { 0 }, { 0 }, PROVIDERS_VIEW_UNKNOWN, 0 },
		{ "all is well", { 5, 1 }, { 0 }, { 0 }, PROVIDERS_VIEW_HEALTHY, 0 },
		{ "one in ten fails", { 6, 3 }, { 0, 1 }, { 0 }, PROVIDERS_VIEW_DEGRADED, 0 },
		{ "less than that", { 10, 1 }, { 0, 1 }, { 0 }, PROVIDERS_VIEW_HEALTHY, 0 },
		{ "one model is out", { 90, 0 }, { 0, 5 }, { 0 }, PROVIDERS_VIEW_DEGRADED, 1 },
		{ "both are out", { 0 }, { 5, 5 }, { 0 }, PROVIDERS_VIEW_DOWN, 2 },
		{ "the only one is out", { 0 }, { 5, 0 }, { 0 }, PROVIDERS_VIEW_DOWN, 1 },
		{ "one is limited", { 9, 1 }, { 0 }, { 1, 0 }, PROVIDERS_VIEW_DEGRADED, 1 },
		{ "both are limited", { 0 }, { 0 }, { 1, 1 }, PROVIDERS_VIEW_DEGRADED, 2 },
		{ "one is out, one limited", { 0 }, { 5, 0 }, { 0, 1 }, PROVIDERS_VIEW_DEGRADED,
			2 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct providers_view_row *r;
		struct providers_view v;
		struct setting s;

		print_message("%s\n", rows[i].name);
		open_setting(&s);
		for (int m = 0; m < 2; m++) {
			const char *model = m ? "openai/gpt-5" : "openai/gpt-5-mini";

			tell_times(s.health, "openai", model, HEALTH_OK, rows[i].good[m]);
			tell_times(s.health, "openai", model, HEALTH_FAILED, rows[i].failed[m]);
			tell_times(s.health, "openai", model, HEALTH_REFUSED, rows[i].limited[m]);
		}
		/* Others are nothing to it. */
		tell_times(s.health, "anthropic", "anthropic/claude-x", HEALTH_FAILED, 9);
		tell_times(s.health, "openaix", "openai/gpt-5", HEALTH_FAILED, 9);
		assert_int_equal(providers_view_make(s.catalog, false, s.health, &health_conf,
					 NOW + 1000, &v, &err),
			ERR_OK);
		r = row_of(&v, "openai");
		assert_int_equal(r->state, rows[i].is);
		assert_int_equal(r->out, rows[i].out);
		assert_int_equal(r->heard_ms, rows[i].is == PROVIDERS_VIEW_UNKNOWN ? -1 : 1000);
		assert_int_equal(r->failed, rows[i].failed[0] + rows[i].failed[1]);
		providers_view_fini(&v);
		close_setting(&s);
	}
}

static void configured_ones_are_listed_and_all_on_demand_with_or_without_a_store(void **state)
{
	struct providers_view v;
	struct setting s;

	(void)state;
	open_setting(&s);
	assert_int_equal(
		providers_view_make(s.catalog, false, NULL, &health_conf, NOW, &v, &err), ERR_OK);
	assert_int_equal(v.count, 2);
	assert_int_equal(row_of(&v, "openai")->state, PROVIDERS_VIEW_UNKNOWN);
	assert_null(row_of(&v, "mistral"));
	providers_view_fini(&v);
	assert_int_equal(
		providers_view_make(s.catalog, true, NULL, &health_conf, NOW, &v, &err), ERR_OK);
	assert_int_equal(v.count, catalog_provider_count(s.catalog));
	assert_non_null(row_of(&v, "mistral"));
	providers_view_fini(&v);
	close_setting(&s);
}

/* Writes, as `tollgate models hide` does, or removes the operator's word. */
static void hide(const char *model)
{
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "%s/prices.json", home);
	unlink(path);
	if (!model)
		return;
	fd = open(path, O_WRONLY | O_CREAT, 0600);
	dprintf(fd,
		"{\"version\":1,\"date\":\"2026-11-21\",\"models\":[{\"id\":\"%s\","
		"\"date\":\"2026-11-21\",\"hidden\":true}]}",
		model);
	close(fd);
}

static void everybody_sees_listed_models_and_no_totals_and_the_operator_all(void **state)
{
	struct buf json = { 0 };
	struct providers_view v;
	struct setting s;

	char home_setting[128];

	(void)state;

	hide("openai/gpt-5");
	snprintf(home_setting, sizeof(home_setting), "GATEWAY_HOME=%s", home);
	env_load(&s.env, ENV("OPENAI_API_KEY=sk-1", home_setting));
	s.catalog = s.env.catalog;
	s.health = new_health();
	tell_times(s.health, "openai", "openai/gpt-5-mini", HEALTH_OK, 3);
	tell_times(s.health, "openai", "openai/gpt-5", HEALTH_OK, 1);
	tell_times(s.health, "openai", "ft:gpt:acme-secret", HEALTH_FAILED, 1);
	assert_int_equal(
		providers_view_make(s.catalog, false, s.health, &health_conf, NOW + 7, &v, &err),
		ERR_OK);
	providers_view_json(&v, s.catalog, false, &json);
	assert_true(slice_starts(buf_slice(&json),
		"{\"object\":\"list\",\"data\":[{\"provider\":\"openai\",\"name\":\"OpenAI\","
		"\"configured\":true,\"drained\":false,\"state\":\"degraded\",\"ttft_ms\":400,"
		"\"error_rate\":0.2000,\"requests\":5,\"heard_ms\":7,\"models\":["
		"{\"model\":\"openai/gpt-5-mini\",\"state\":\"closed\",\"retry_in_ms\":null,"));
	assert_true(slice_ends(buf_slice(&json), "]}]}\n"));
	assert_null(strstr(buf_cstr(&json), "acme-secret"));
	assert_null(strstr(json.data, "\"openai/gpt-5\""));
	assert_null(strstr(json.data, "total"));
	buf_reset(&json);
	providers_view_json(&v, s.catalog, true, &json);
	assert_non_null(strstr(buf_cstr(&json), "acme-secret"));
	assert_non_null(strstr(json.data, "\"openai/gpt-5\""));
	assert_non_null(strstr(json.data, "\"total_requests\":5,\"total_failed\":1"));
	buf_fini(&json);
	providers_view_fini(&v);
	close_setting(&s);
	hide(NULL);
}

static int set_up(void **state)
{
	(void)state;
	return mkdtemp(home) ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	return rmdir(home);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_provider_is_as_well_as_its_models),
		cmocka_unit_test(
			configured_ones_are_listed_and_all_on_demand_with_or_without_a_store),
		cmocka_unit_test(everybody_sees_listed_models_and_no_totals_and_the_operator_all),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
