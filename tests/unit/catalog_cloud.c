/* Providers behind a cloud's door: addresses with places, and credentials that are no simple key.
 */
#include "tests/unit/catalog_env.h"

#include "base/sigv4.h"
#include "gateway/route.h"

#define BEDROCK_URL "https://bedrock-runtime.eu-central-1.amazonaws.com"

static const struct catalog_provider *provider(const struct env *env, const char *slug)
{
	const struct catalog_provider *p = catalog_provider_find(env->catalog, slice_of(slug));

	assert_non_null(p);
	return p;
}

static void assert_fails(const char *const *settings, const char *param)
{
	struct env env;
	struct err e = { 0 };

	print_message("%s\n", settings[0]);
	assert_int_equal(env_try(&env, NULL, settings, &e), ERR_CONF);
	assert_string_equal(e.param, param);
	assert_non_null(strstr(e.message, param));
	assert_null(strstr(e.message, "hush"));
	env_fini(&env);
}

static void a_place_is_filled_and_another_is_left(void **state)
{
	static const struct {
		const char *url, *place, *value, *out;
	} rows[] = {
		{ "https://h.{region}.example", "region", "eu-west-1",
			"https://h.eu-west-1.example" },
		{ "https://{l-}h/{p}/{l}", "l", "us", "https://us-h/{p}/us" },
		{ "https://{l-}h/{p}/{l}", "l", "global", "https://h/{p}/global" },
		{ "https://{l-}h/{p}/{l}", "p", "my.org:proj_1",
			"https://{l-}h/my.org:proj_1/{l}" },
		{ "https://h/{", "p", "x", "https://h/{" },
		{ "https://h/{}/{p", "p", "x", "https://h/{}/{p" },
	};
	static const char *const bad[] = { "", "a/b", "a b", "a{b", "a@b", "a?b", "\xc3\xa9" };
	struct buf out = { 0 };

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		buf_reset(&out);
		assert_true(catalog_fill_url(
			rows[i].url, rows[i].place, slice_of(rows[i].value), &out));
		if (!slice_is(buf_slice(&out), rows[i].out))
			fail_msg("%s: %.*s", rows[i].out, SLICE_ARG(buf_slice(&out)));
	}
	buf_reset(&out);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(catalog_fill_url("https://{p}", "p", slice_of(bad[i]), &out));
	assert_int_equal(out.len, 0);
	buf_fini(&out);
}

static void amazons_key_and_region_configure_bedrock(void **state)
{
	struct env env;
	const struct catalog_provider *p;

	(void)state;
	env_load(&env, ENV("AWS_BEARER_TOKEN_BEDROCK=SECRET", "AWS_REGION=eu-central-1"));
	p = provider(&env, "amazon-bedrock");
	assert_true(p->configured);
	assert_string_equal(p->base_url, BEDROCK_URL);
	assert_string_equal(p->url_template, "https://bedrock-runtime.{region}.amazonaws.com");
	assert_string_equal(p->auth, "bearer");
	assert_string_equal(p->api_key, "SECRET");
	assert_null(p->sigv4);
	env_fini(&env);
}

static void amazons_access_keys_configure_bedrock_too(void **state)
{
	struct env env;
	const struct catalog_provider *p;
	struct route r;

	(void)state;
	env_load(&env, ENV("AWS_ACCESS_KEY_ID=AKID", "AWS_SECRET_ACCESS_KEY=SECRET",
			       "AWS_SESSION_TOKEN=token", "AWS_DEFAULT_REGION=eu-central-1"));
	p = provider(&env, "bedrock");
	assert_true(p->configured);
	assert_string_equal(p->base_url, BEDROCK_URL);
	assert_string_equal(p->auth, "sigv4");
	assert_string_equal(p->sigv4->id, "AKID");
	assert_string_equal(p->sigv4->secret, "SECRET");
	assert_string_equal(p->sigv4->session_token, "token");
	assert_string_equal(p->sigv4->region, "eu-central-1");
	assert_int_equal(route_find(env.catalog, "bedrock/us.amazon.nova-lite-v1:0", &r, NULL), 0);
	assert_ptr_equal(r.target.sigv4, p->sigv4);
	assert_string_equal(r.target.native_id, "us.amazon.nova-lite-v1:0");
	env_fini(&env);
	/* the address may be the operator's own; a signature needs the region all the same */
	env_load(&env, ENV("AWS_ACCESS_KEY_ID=AKID", "AWS_SECRET_ACCESS_KEY=SECRET",
			       "BEDROCK_BASE_URL=http://127.0.0.1:9", "AWS_REGION=us-east-1"));
	p = provider(&env, "bedrock");
	assert_true(p->configured);
	assert_string_equal(p->base_url, "http://127.0.0.1:9");
	assert_null(p->url_template);
	assert_string_equal(p->sigv4->session_token, "");
	env_fini(&env);
}

static void the_simple_key_goes_before_the_others(void **state)
{
	struct env env;

	(void)state;
	env_load(&env, ENV("AWS_BEARER_TOKEN_BEDROCK=k", "AWS_ACCESS_KEY_ID=AKID",
			       "AWS_SECRET_ACCESS_KEY=s", "AWS_REGION=eu-central-1",
			       "VERTEX_ACCESS_TOKEN=t", "GOOGLE_APPLICATION_CREDENTIALS=/f",
			       "VERTEX_PROJECT=p", "VERTEX_LOCATION=us-east5"));
	assert_null(provider(&env, "bedrock")->sigv4);
	assert_string_equal(provider(&env, "bedrock")->auth, "bearer");
	assert_null(provider(&env, "vertex")->account_file);
	assert_string_equal(provider(&env, "vertex")->api_key, "t");
	env_fini(&env);
}

static void vertex_wants_project_location_and_an_account(void **state)
{
	struct env env;
	const struct catalog_provider *p;

	(void)state;
	env_load(&env, ENV("GOOGLE_APPLICATION_CREDENTIALS=/etc/account.json",
			       "VERTEX_PROJECT=my-proj", "VERTEX_LOCATION=us-east5"));
	p = provider(&env, "google-vertex");
	assert_string_equal(p->base_url, "https://us-east5-aiplatform.googleapis.com/v1/projects/"
					 "my-proj/locations/us-east5/publishers/google");
	assert_string_equal(p->account_file, "/etc/account.json");
	assert_string_equal(p->auth, "bearer");
	assert_int_equal(p->configured, p->provider != NULL);
	env_fini(&env);
	env_load(&env, ENV("VERTEX_ACCESS_TOKEN=t", "GOOGLE_CLOUD_PROJECT=p",
			       "GOOGLE_CLOUD_LOCATION=global"));
	assert_string_equal(provider(&env, "vertex")->base_url,
		"https://aiplatform.googleapis.com/v1/projects/p/locations/global/publishers/"
		"google");
	env_fini(&env);
}

static void what_is_missing_is_named(void **state)
{
	static const struct {
		const char *settings[3], *slug, *names;
	} rows[] = {
		{ { "X=y" }, "bedrock",
			"AWS_REGION and AWS_BEARER_TOKEN_BEDROCK (or AWS_ACCESS_KEY_ID and "
			"AWS_SECRET_ACCESS_KEY)" },
		{ { "AWS_BEARER_TOKEN_BEDROCK=k" }, "bedrock", "AWS_REGION" },
		{ { "AWS_REGION=us-east-1" }, "bedrock",
			"AWS_BEARER_TOKEN_BEDROCK (or AWS_ACCESS_KEY_ID and "
			"AWS_SECRET_ACCESS_KEY)" },
		{ { "AWS_ACCESS_KEY_ID=a", "AWS_REGION=us-east-1" }, "bedrock",
			"AWS_SECRET_ACCESS_KEY" },
		{ { "AWS_SECRET_ACCESS_KEY=a" }, "bedrock", "AWS_REGION and AWS_ACCESS_KEY_ID" },
		{ { "AWS_ACCESS_KEY_ID=a", "AWS_SECRET_ACCESS_KEY=b", "BEDROCK_BASE_URL=http://h" },
			"bedrock", "AWS_REGION" },
		{ { "X=y" }, "vertex",
			"VERTEX_PROJECT and VERTEX_LOCATION and GOOGLE_APPLICATION_CREDENTIALS (or "
			"VERTEX_ACCESS_TOKEN)" },
		{ { "VERTEX_ACCESS_TOKEN=t", "VERTEX_PROJECT=p" }, "vertex", "VERTEX_LOCATION" },
	};
	struct env env;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const char *const s[] = { rows[i].settings[0], rows[i].settings[1],
			rows[i].settings[2], NULL };

		print_message("%s\n", s[0]);
		env_load(&env, s);
		assert_false(provider(&env, rows[i].slug)->configured);
		assert_string_equal(provider(&env, rows[i].slug)->key_names, rows[i].names);
		env_fini(&env);
	}
}

static void a_wrong_value_is_named_and_never_quoted(void **state)
{
	(void)state;
	assert_fails(ENV("AWS_REGION=evil.example/hush"), "AWS_REGION");
	assert_fails(ENV("VERTEX_PROJECT=a b hush"), "VERTEX_PROJECT");
	assert_fails(
		ENV("AWS_SECRET_ACCESS_KEY=hush\r\nX: y", "AWS_ACCESS_KEY_ID=a", "AWS_REGION=r"),
		"AWS_SECRET_ACCESS_KEY");
	assert_fails(ENV("AWS_SESSION_TOKEN=hush x", "AWS_ACCESS_KEY_ID=a", "AWS_REGION=r"),
		"AWS_SESSION_TOKEN");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_place_is_filled_and_another_is_left),
		cmocka_unit_test(amazons_key_and_region_configure_bedrock),
		cmocka_unit_test(amazons_access_keys_configure_bedrock_too),
		cmocka_unit_test(the_simple_key_goes_before_the_others),
		cmocka_unit_test(vertex_wants_project_location_and_an_account),
		cmocka_unit_test(what_is_missing_is_named),
		cmocka_unit_test(a_wrong_value_is_named_and_never_quoted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
