#include "gateway/policy.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

static struct people_org team;

/* A member of an organisation with these lists, the only one at a time. */
static struct identity member_with(
	struct key_info *key, const char *key_models, const char *org_models)
{
	struct identity who = { .key = key, .role = PEOPLE_MEMBER, .org = &team };

	team = (struct people_org){ .slug = "acme" };
	*key = (struct key_info){ .id = "key_0123456789ab" };
	assert_int_equal(people_models_read(slice_of(key_models), "models", key->models,
				 PEOPLE_LIST_MAX, NULL),
		ERR_OK);
	assert_int_equal(people_models_read(slice_of(org_models), "models", team.models,
				 PEOPLE_ORG_MODELS_MAX, NULL),
		ERR_OK);
	return who;
}

/* kilo-contract.md section 37, and the edges of 17.3. */
static void a_model_is_matched_whole_or_by_its_provider(void **state)
{
	static const char both[] = "anthropic/*,openai/gpt-5.2";
	static const struct {
		const char *list, *model;
		bool allowed;
	} rows[] = {
		{ both, "anthropic/claude-haiku-4.5", true },
		{ both, "openai/gpt-5.2:exacto", true },
		{ both, "openai/gpt-5.2-codex", false },
		{ both, "OpenAI/GPT-5.2", true },
		{ both, "anthropic", false },
		{ "", "anything/at-all", true },
		{ both, "ANTHROPIC/claude:optimized:free", true },
		{ both, " openai/gpt-5.2 ", true },
		{ both, "openai/gpt-5", false },
		{ both, "openai", false },
		{ both, "anthropicx/claude", false },
		{ both, "xanthropic/claude", false },
		{ both, "~anthropic/claude-latest", false },
		{ both, "evil/anthropic/claude", false },
		{ both, ",", false },
		{ both, "", false },
		{ both, ":free", false },
		{ both, "/", false },
		{ "corethink", "corethink:free", true },
		{ "corethink", "corethink/x", false },
		{ "A/B", "a/b", true },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct key_info key;
		struct identity who = member_with(&key, "", rows[i].list);
		enum err_code expected = rows[i].allowed ? ERR_OK : ERR_FORBIDDEN;

		print_message("%s: %s\n", rows[i].list, rows[i].model);
		assert_int_equal(policy_model(&who, slice_of(rows[i].model), NULL), expected);
		who = member_with(&key, rows[i].list, "");
		assert_int_equal(policy_model(&who, slice_of(rows[i].model), NULL), expected);
	}
}

static void key_and_organisation_must_both_allow_a_model(void **state)
{
	struct key_info key;
	struct identity who = member_with(&key, "openai/*,google/*", "openai/*,anthropic/*");
	struct identity nobody = { 0 };
	struct err e;

	(void)state;
	assert_int_equal(policy_model(&who, SLICE("openai/gpt-5.2"), &e), ERR_OK);
	assert_int_equal(policy_model(&who, SLICE("google/gemini"), &e), ERR_FORBIDDEN);
	assert_int_equal(err_status(&e), 403);
	assert_string_equal(err_type(&e), "model_not_allowed");
	assert_string_equal(e.param, "model");
	assert_non_null(strstr(e.message, "organisation acme"));
	assert_int_equal(policy_model(&who, SLICE("anthropic/claude"), &e), ERR_FORBIDDEN);
	assert_non_null(strstr(e.message, "API key"));
	assert_int_equal(policy_model(&nobody, SLICE("any/model"), &e), ERR_OK);
}

static void a_hostile_model_is_refused_and_its_name_cut(void **state)
{
	struct key_info key;
	struct identity who = member_with(&key, "openai/*", "");
	static char model[100000];
	struct err e;

	(void)state;
	memset(model, 'x', sizeof(model));
	assert_int_equal(
		policy_model(&who, (struct slice){ model, sizeof(model) }, &e), ERR_FORBIDDEN);
	assert_int_equal(policy_model(&who, (struct slice){ "openai\0/x", 9 }, &e), ERR_FORBIDDEN);
	assert_int_equal(policy_model(&who, SLICE("a\r\nSet-Cookie: x/b"), &e), ERR_FORBIDDEN);
	assert_null(strchr(e.message, '\n'));
}

static void a_denied_provider_stays_denied_when_it_is_allowed_too(void **state)
{
	static const struct {
		const char *allowed, *denied, *provider;
		bool ok;
	} rows[] = {
		{ "", "", "openai", true },
		{ "openai,anthropic", "", "openai", true },
		{ "openai,anthropic", "", "OpenAI", true },
		{ "openai,anthropic", "", "google", false },
		{ "openai,anthropic", "", "open", false },
		{ "", "deepseek", "deepseek", false },
		{ "", "deepseek", "openai", true },
		{ "openai", "openai", "openai", false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct key_info key;
		struct identity who = member_with(&key, "", "");
		struct err e;

		snprintf(team.providers, sizeof(team.providers), "%s", rows[i].allowed);
		snprintf(
			team.providers_denied, sizeof(team.providers_denied), "%s", rows[i].denied);
		print_message(
			"%s, not %s: %s\n", rows[i].allowed, rows[i].denied, rows[i].provider);
		assert_int_equal(policy_provider(&who, slice_of(rows[i].provider), &e),
			rows[i].ok ? ERR_OK : ERR_PROVIDER_DENIED);
		if (!rows[i].ok) {
			assert_int_equal(err_status(&e), 403);
			assert_string_equal(err_type(&e), "provider_not_allowed");
		}
		who.org = NULL;
		assert_true(policy_provider_is_allowed(&who, slice_of(rows[i].provider)));
	}
}

static void a_billing_manager_may_not_spend(void **state)
{
	struct key_info key;
	struct identity who = member_with(&key, "", ""), nobody = { 0 };
	struct err e;

	(void)state;
	assert_int_equal(policy_may_spend(&who, &e), ERR_OK);
	who.role = PEOPLE_OWNER;
	assert_int_equal(policy_may_spend(&who, &e), ERR_OK);
	who.role = PEOPLE_BILLING_MANAGER;
	assert_int_equal(policy_may_spend(&who, &e), ERR_ACCESS_DENIED);
	assert_int_equal(err_status(&e), 403);
	assert_string_equal(e.reason, "ROLE_MAY_NOT_SPEND");
	who.role = PEOPLE_NO_MEMBER; /* a picture that was never completed */
	assert_int_equal(policy_may_spend(&who, &e), ERR_ACCESS_DENIED);
	assert_int_equal(policy_may_spend(&nobody, &e), ERR_OK);
}

static void who_denies_data_collection_wins(void **state)
{
	static const struct {
		enum people_data_collection org;
		bool request_denies, denied;
	} rows[] = {
		{ PEOPLE_DATA_UNSET, false, false },
		{ PEOPLE_DATA_UNSET, true, true },
		{ PEOPLE_DATA_ALLOW, false, false },
		{ PEOPLE_DATA_ALLOW, true, true },
		{ PEOPLE_DATA_DENY, false, true },
		{ PEOPLE_DATA_DENY, true, true },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct key_info key;
		struct identity who = member_with(&key, "", "");
		struct err e;

		print_message("%d %d\n", rows[i].org, rows[i].request_denies);
		team.data_collection = rows[i].org;
		assert_int_equal(
			policy_collection(&who, rows[i].request_denies, false, &e), ERR_OK);
		assert_int_equal(policy_collection(&who, rows[i].request_denies, true, &e),
			rows[i].denied ? ERR_DATA_COLLECTION : ERR_OK);
		if (rows[i].denied)
			assert_string_equal(err_type(&e), "data_collection_required");
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_model_is_matched_whole_or_by_its_provider),
		cmocka_unit_test(key_and_organisation_must_both_allow_a_model),
		cmocka_unit_test(a_hostile_model_is_refused_and_its_name_cut),
		cmocka_unit_test(a_denied_provider_stays_denied_when_it_is_allowed_too),
		cmocka_unit_test(a_billing_manager_may_not_spend),
		cmocka_unit_test(who_denies_data_collection_wins),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
