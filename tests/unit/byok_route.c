#include "tests/unit/catalog_env.h"

#include "gateway/byok.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static char home[] = "/tmp/tollgate-byok-route-XXXXXX";
static struct byok *keys;
static const struct key_info key = { .id = "key_1" };

static int set_up(void **state)
{
	struct err e;

	(void)state;
	assert_non_null(mkdtemp(home));
	return (int)byok_open(&keys, home, "", &e);
}

static int tear_down(void **state)
{
	char path[300];
	DIR *d = opendir(home);
	struct dirent *entry;

	(void)state;
	byok_close(keys);
	while (d && (entry = readdir(d)))
		if (entry->d_name[0] != '.') {
			snprintf(path, sizeof(path), "%s/%s", home, entry->d_name);
			unlink(path);
		}
	closedir(d);
	return rmdir(home);
}

static struct identity person(const char *user)
{
	struct identity who = { .key = &key };

	str_copy_cut(who.user.id, sizeof(who.user.id), user);
	return who;
}

static struct identity member(const char *user, struct people_org *org)
{
	struct identity who = person(user);

	who.org = org;
	return who;
}

static void add(const struct identity *who, const char *provider, const char *secret)
{
	struct byok_info want = { .id = "" }, made;
	struct err e = { .message = "" };

	assert_true(byok_owner_of(who, &want.owner));
	str_copy_cut(want.provider, sizeof(want.provider), provider);
	if (byok_add(keys, &want, slice_of(secret), 1, &made, &e))
		fail_msg("%s", e.message);
}

/* Where a model goes, as "provider native-id key"; "-" when no key of the caller's serves it. */
static const char *way(const struct env *env, const struct identity *who, const char *model)
{
	static char text[400];
	struct byok_use u;
	struct route r;
	struct err e = { .message = "" };

	if (byok_route(keys, env->catalog, conf_str(env->conf, CONF_PROVIDERS), who, model, &r, &u,
		    &e))
		snprintf(text, sizeof(text), "error %s %.300s", err_name(e.code), e.message);
	else if (!u.used)
		snprintf(text, sizeof(text), "-");
	else
		snprintf(text, sizeof(text), "%s %s %s", r.target.slug, r.target.native_id,
			r.target.api_key);
	byok_use_fini(&u);
	return text;
}

static void a_model_goes_to_its_provider_with_the_callers_key(void **state)
{
	static const char *const ids[] = { "openai", "xai", "mistral", "codestral", "zai-coding",
		"deepseek", "nvidia-byok" };
	static const struct {
		const char *model, *way;
	} rows[] = {
		{ "openai/gpt-4o-mini", "openai gpt-4o-mini secret-openai" },
		{ "kilocode/OpenAI/gpt-4o-mini", "openai gpt-4o-mini secret-openai" },
		{ "gpt-4o", "openai gpt-4o secret-openai" },
		{ "openai/gpt-oss-120b", "-" },
		{ "x-ai/grok-9", "xai grok-9 secret-xai" },
		{ "mistralai/codestral-9", "codestral codestral-9 secret-codestral" },
		{ "mistralai/mistral-9", "mistral mistral-9 secret-mistral" },
		{ "deepseek/deepseek-9", "deepseek deepseek-9 secret-deepseek" },
		{ "zai-coding/glm-9", "zai-coding glm-9 secret-zai-coding" },
		{ "z-ai/glm-9", "-" }, /* a plan serves by its own name alone */
		{ "nvidia-byok/moonshotai/kimi-9", "nvidia moonshotai/kimi-9 secret-nvidia-byok" },
		{ "anthropic/claude-9", "-" },
		{ "z-ai/glm-5:free", "-" },
		{ "openai/x:free", "-" },
		{ "", "-" },
	};
	const struct identity ana = person("ana");
	struct env env;

	(void)state;
	env_load(&env, ENV("OPENAI_API_KEY=of-the-operator"));
	for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
		char secret[64];

		snprintf(secret, sizeof(secret), "secret-%s", ids[i]);
		add(&ana, ids[i], secret);
	}
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		print_message("%s\n", rows[i].model);
		assert_string_equal(way(&env, &ana, rows[i].model), rows[i].way);
	}
	env_fini(&env);
}

static void a_router_of_the_callers_own_serves_what_no_other_key_does(void **state)
{
	const struct identity bob = person("bob");
	struct env env;

	(void)state;
	env_load(&env, NULL);
	add(&bob, "openrouter-byok", "secret-router");
	assert_string_equal(way(&env, &bob, "anthropic/claude-9"),
		"openrouter anthropic/claude-9 secret-router");
	assert_string_equal(way(&env, &bob, "openrouter-byok/a/b"), "openrouter a/b secret-router");
	assert_string_equal(way(&env, &bob, "gpt-4o"), "-");
	assert_string_equal(way(&env, &bob, "z-ai/glm-5:free"), "-");
	add(&bob, "anthropic", "secret-anthropic");
	assert_string_equal(
		way(&env, &bob, "anthropic/claude-9"), "anthropic claude-9 secret-anthropic");
	env_fini(&env);
}

/* Fails when byok_owner_of() falls back from one to the other (tried). */
static void neither_tenants_nor_contexts_are_mixed(void **state)
{
	struct people_org acme = { .id = "acme" }, other = { .id = "other" };
	const struct identity cleo = person("cleo"), in_org = member("cleo", &acme),
			      elsewhere = member("cleo", &other), dan = person("dan"),
			      nobody = { .key = NULL };
	struct env env;

	(void)state;
	env_load(&env, NULL);
	add(&cleo, "openai", "secret-of-cleo");
	assert_string_equal(way(&env, &in_org, "openai/gpt-9"), "-");
	add(&in_org, "xai", "secret-of-acme");
	assert_string_equal(way(&env, &in_org, "x-ai/grok-9"), "xai grok-9 secret-of-acme");
	assert_string_equal(way(&env, &cleo, "x-ai/grok-9"), "-");
	assert_string_equal(way(&env, &elsewhere, "x-ai/grok-9"), "-");
	assert_string_equal(way(&env, &dan, "openai/gpt-9"), "-");
	assert_string_equal(way(&env, &nobody, "openai/gpt-9"), "-");
	env_fini(&env);
}

static void what_cannot_be_used_is_refused_with_the_reason(void **state)
{
	const struct identity eve = person("eve");
	struct env env;

	(void)state;
	env_load(&env, ENV("GATEWAY_PROVIDERS=openai", "OPENAI_API_KEY=k"));
	add(&eve, "xai", "secret-xai");
	add(&eve, "novita", "secret-novita");
	add(&eve, "vertex",
		"{\"project\":\"p\",\"location\":\"global\",\"googleCredentials\":{"
		"\"privateKey\":\"k\",\"clientEmail\":\"a@b\"}}");
	assert_non_null(strstr(way(&env, &eve, "x-ai/grok-9"), "leaves this provider out"));
	assert_non_null(strstr(way(&env, &eve, "novita/x"), "has not set up"));
	assert_non_null(strstr(way(&env, &eve, "vertex/gemini-9"), "leaves this provider out"));
	env_fini(&env);
}

#define AWS_KEY(region) \
	"{\"accessKeyId\":\"AKIA1\",\"secretAccessKey\":\"s/e+c\",\"region\":\"" region "\"}"

/* The region is the key's, also where the operator has another and keys of its own. */
static void a_key_that_signs_goes_to_its_own_region(void **state)
{
	const struct {
		const char *const *settings;
		const char *url;
	} rows[] = {
		{ NULL, "https://bedrock-runtime.eu-west-1.amazonaws.com" },
		{ ENV("AWS_REGION=us-east-2", "AWS_ACCESS_KEY_ID=operator",
			  "AWS_SECRET_ACCESS_KEY=operators"),
			"https://bedrock-runtime.eu-west-1.amazonaws.com" },
		{ ENV("AWS_REGION=us-east-2", "AWS_BEARER_TOKEN_BEDROCK=operators"),
			"https://bedrock-runtime.eu-west-1.amazonaws.com" },
		{ ENV("BEDROCK_BASE_URL=http://127.0.0.1:7/x"), "http://127.0.0.1:7/x" },
	};
	const struct identity fay = person("fay");

	(void)state;
	add(&fay, "bedrock", AWS_KEY("eu-west-1"));
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct byok_use u;
		struct route r;
		struct err e = { .message = "" };
		struct env env;

		print_message("%zu\n", i);
		env_load(&env, rows[i].settings);
		if (byok_route(keys, env.catalog, "", &fay, "bedrock/anthropic.claude-9-v1:0", &r,
			    &u, &e))
			fail_msg("%s", e.message);
		assert_true(u.used);
		assert_string_equal(r.target.base_url, rows[i].url);
		assert_string_equal(r.target.native_id, "anthropic.claude-9-v1:0");
		assert_string_equal(r.target.sigv4->id, "AKIA1");
		assert_string_equal(r.target.sigv4->secret, "s/e+c");
		assert_string_equal(r.target.sigv4->region, "eu-west-1");
		assert_string_equal(r.target.sigv4->session_token, "");
		assert_string_equal(r.target.api_key, "");
		byok_use_fini(&u);
		env_fini(&env);
	}
}

/* Resource and deployment are the key's, whatever the operator has. */
static void a_key_of_azure_goes_to_its_own_resource(void **state)
{
	const struct identity gus = person("gus");
	const struct {
		const char *const *settings;
		const char *model, *url, *native;
	} rows[] = {
		{ NULL, "azure/gpt-9", "https://res-1.openai.azure.com/openai/v1", "gpt-9" },
		{ NULL, "azure/gpt-5", "https://res-1.openai.azure.com/openai/v1", "my-gpt" },
		{ ENV("AZURE_RESOURCE_NAME=operators", "AZURE_OPENAI_API_KEY=operators"),
			"azure/gpt-9", "https://res-1.openai.azure.com/openai/v1", "gpt-9" },
	};

	(void)state;
	add(&gus, "azure",
		"{\"apiKey\":\"azure-key\",\"resourceName\":\"res-1\",\"modelMappings\":{"
		"\"gpt-5\":\"my-gpt\"}}");
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct byok_use u;
		struct route r;
		struct err e = { .message = "" };
		struct env env;

		env_load(&env, rows[i].settings);
		if (byok_route(keys, env.catalog, "", &gus, rows[i].model, &r, &u, &e))
			fail_msg("%s", e.message);
		assert_true(u.used);
		assert_string_equal(r.target.base_url, rows[i].url);
		assert_string_equal(r.target.native_id, rows[i].native);
		assert_string_equal(r.target.api_key, "azure-key");
		assert_string_equal(r.target.auth, "api-key");
		byok_use_fini(&u);
		env_fini(&env);
	}
}

/* Project and place are the key's; where tokens come from is Google's word alone. */
static void a_key_of_vertex_is_an_account_of_its_own(void **state)
{
	static const struct {
		const char *location, *url;
	} rows[] = {
		{ "europe-west4",
			"https://europe-west4-aiplatform.googleapis.com/v1/projects/proj-1/"
			"locations/europe-west4/publishers/google" },
		{ "global", "https://aiplatform.googleapis.com/v1/projects/proj-1/locations/global/"
			    "publishers/google" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct identity who = person(i ? "hal" : "ida");
		char secret[400];
		struct byok_use u;
		struct route r;
		struct err e = { .message = "" };
		struct env env;

		snprintf(secret, sizeof(secret),
			"{\"project\":\"proj-1\",\"location\":\"%s\",\"googleCredentials\":{"
			"\"privateKey\":\"PEM\\n1\",\"clientEmail\":\"a@b.c\",\"tokenUri\":"
			"\"https://evil.example/\"}}",
			rows[i].location);
		add(&who, "vertex", secret);
		env_load(&env, NULL);
		if (byok_route(keys, env.catalog, "", &who, "vertex/gemini-9", &r, &u, &e))
			fail_msg("%s", e.message);
		assert_true(u.used);
		assert_string_equal(r.target.base_url, rows[i].url);
		assert_string_equal(r.target.account_json,
			"{\"type\":\"service_account\",\"token_uri\":"
			"\"https://oauth2.googleapis.com/token\",\"client_email\":\"a@b.c\","
			"\"private_key\":\"PEM\\n1\"}");
		assert_null(r.target.account_file);
		byok_use_fini(&u);
		env_fini(&env);
	}
}

/* ---- names and secrets ---- */

static void an_unknown_name_is_answered_with_all_names(void **state)
{
	const struct byok_name *n;
	struct err e;

	(void)state;
	assert_int_equal(byok_name_read(SLICE("OpenAI"), &n, &e), ERR_OK);
	assert_string_equal(n->id, "openai");
	assert_int_equal(
		byok_name_read(SLICE("a-name-that-is-longer-than-any"), &n, &e), ERR_BAD_REQUEST);
	assert_null(n);
	for (size_t i = 0; byok_name_at(i); i++)
		assert_non_null(strstr(e.message, byok_name_at(i)->id));
}

static void a_secret_has_the_shape_of_its_provider(void **state)
{
	static const struct {
		const char *id, *secret, *why; /* NULL = it is good */
	} rows[] = {
		{ "openai", "sk-0123456789", NULL },
		{ "openai", "short", "8 to 4096" },
		{ "openai", "sk-with a blank", "printable" },
		{ "openai", "sk-line\r\nX-Other: 1", "printable" },
		{ "bedrock", "AKIA0123456789", "is JSON" },
		{ "bedrock",
			"{\"accessKeyId\":\"A\",\"secretAccessKey\":\"s/+\",\"region\":"
			"\"eu-west-1\"}",
			NULL },
		{ "bedrock", "{\"accessKeyId\":\"A\",\"region\":\"eu-west-1\"}",
			"secretAccessKey" },
		{ "bedrock",
			"{\"accessKeyId\":\"A\",\"secretAccessKey\":\"s\",\"region\":"
			"\"evil.example/\"}",
			"region" },
		{ "azure", "{\"apiKey\":\"k\",\"resourceName\":\"res-1\"}", NULL },
		{ "azure", "{\"apiKey\":\"k\",\"resourceName\":\"res.evil\"}", "resourceName" },
		{ "azure", "{\"apiKey\":\"k\",\"resourceName\":\"r\",\"modelMappings\":1}",
			"modelMappings" },
		{ "vertex",
			"{\"project\":\"p\",\"location\":\"global\",\"googleCredentials\":{"
			"\"privateKey\":\"-----\\n\",\"clientEmail\":\"a@b\"}}",
			NULL },
		{ "vertex", "{\"project\":\"p\",\"location\":\"global\"}", "privateKey" },
	};
	struct err e;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		enum err_code rc;

		print_message("%s\n", rows[i].secret);
		rc = byok_name_check(
			byok_name_find(slice_of(rows[i].id)), slice_of(rows[i].secret), &e);
		assert_int_equal(rc, rows[i].why ? ERR_BAD_REQUEST : ERR_OK);
		if (!rows[i].why)
			continue;
		assert_non_null(strstr(e.message, rows[i].why));
		assert_null(strstr(e.message, "sk-"));
		assert_null(strstr(e.message, "AKIA"));
	}
}

static void a_refusal_of_the_callers_key_is_marked_and_keeps_its_status(void **state)
{
	static const int statuses[] = { 401, 402, 403, 429 };

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		struct err e = { .code = ERR_UPSTREAM_STATUS,
			.status = 503,
			.provider = "openai",
			.retry_after_ms = 7 };

		byok_explain(statuses[i], &e);
		assert_true(slice_starts(slice_of(e.message), "[BYOK] openai: "));
		assert_int_equal(err_status(&e), statuses[i]);
		assert_string_equal(err_type(&e), "byok_error");
		assert_int_equal(e.retry_after_ms, 7);
		assert_int_equal(err_may_retry(&e), statuses[i] == 429);
	}
	struct err other = { .code = ERR_UPSTREAM_STATUS, .status = 500, .message = "as it was" };

	byok_explain(500, &other);
	assert_string_equal(other.message, "as it was");
	assert_int_equal(other.code, ERR_UPSTREAM_STATUS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_model_goes_to_its_provider_with_the_callers_key),
		cmocka_unit_test(a_router_of_the_callers_own_serves_what_no_other_key_does),
		cmocka_unit_test(neither_tenants_nor_contexts_are_mixed),
		cmocka_unit_test(what_cannot_be_used_is_refused_with_the_reason),
		cmocka_unit_test(a_key_of_azure_goes_to_its_own_resource),
		cmocka_unit_test(a_key_of_vertex_is_an_account_of_its_own),
		cmocka_unit_test(a_key_that_signs_goes_to_its_own_region),
		cmocka_unit_test(an_unknown_name_is_answered_with_all_names),
		cmocka_unit_test(a_secret_has_the_shape_of_its_provider),
		cmocka_unit_test(a_refusal_of_the_callers_key_is_marked_and_keeps_its_status),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
