#include "tests/unit/auto_ask.h"

#include "gateway/chat.h"
#include "gateway/route.h"

/* ---- the shipped table ---- */

#define THINK "{\"enabled\":true}"

#define FREE "minimax/minimax-m2.5:free"
#define NANO "openai/gpt-5-nano"

static void the_table_is_that_of_the_contract(void **state)
{
	static const struct {
		const char *id, *mode, *model, *reasoning, *verbosity;
	} rows[] = {
		{ "kilo-auto/frontier", "plan", OPUS, THINK, "\"high\"" },
		{ "kilo-auto/frontier", "general", OPUS, THINK, "\"medium\"" },
		{ "kilo-auto/frontier", "architect", OPUS, THINK, "\"high\"" },
		{ "kilo-auto/frontier", "orchestrator", OPUS, THINK, "\"high\"" },
		{ "kilo-auto/frontier", "ask", OPUS, THINK, "\"high\"" },
		{ "kilo-auto/frontier", "debug", OPUS, THINK, "\"high\"" },
		{ "kilo-auto/frontier", "build", SONNET, THINK, "\"medium\"" },
		{ "kilo-auto/frontier", "explore", SONNET, THINK, "\"medium\"" },
		{ "kilo-auto/frontier", "code", SONNET, THINK, "\"low\"" },
		{ "kilo-auto/frontier", "", SONNET, THINK, "\"low\"" },
		{ "kilo-auto/frontier", "dance", SONNET, THINK, "\"low\"" },
		{ "kilo-auto/frontier", "planning", SONNET, THINK, "\"low\"" },
		{ "kilo-auto/balanced", "plan", KIMI, THINK, "" },
		{ "kilo-auto/balanced", "general", KIMI, THINK, "" },
		{ "kilo-auto/balanced", "architect", KIMI, THINK, "" },
		{ "kilo-auto/balanced", "orchestrator", KIMI, THINK, "" },
		{ "kilo-auto/balanced", "ask", KIMI, THINK, "" },
		{ "kilo-auto/balanced", "debug", KIMI, THINK, "" },
		{ "kilo-auto/balanced", "build", M27, "", "" },
		{ "kilo-auto/balanced", "explore", M27, "", "" },
		{ "kilo-auto/balanced", "code", M27, "", "" },
		{ "kilo-auto/balanced", "", M27, "", "" },
		{ "kilo-auto/balanced", "dance", M27, "", "" },
		{ "kilo-auto/free", "plan", FREE, "", "" },
		{ "kilo-auto/free", "code", FREE, "", "" },
		{ "kilo-auto/free", "", FREE, "", "" },
		{ "kilo-auto/small", "plan", NANO, "", "" },
		{ "kilo-auto/small", "", NANO, "", "" },
	};
	struct env env;

	(void)state;
	env_load(&env, ENV(ALL_KEYS));
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct auto_choice choice = choose(env.catalog, rows[i].id, rows[i].mode);

		print_message("%s %s\n", rows[i].id, rows[i].mode);
		assert_string_equal(choice.id, rows[i].id);
		assert_string_equal(choice.model, rows[i].model);
		assert_true(slice_is(choice.reasoning, rows[i].reasoning));
		assert_true(slice_is(choice.verbosity, rows[i].verbosity));
	}
	env_fini(&env);
}

static void a_mode_counts_in_any_case_and_with_blanks(void **state)
{
	static const char *const modes[] = { "PLAN", " plan ", "\tPlan\r\n" };
	struct env env;

	(void)state;
	env_load(&env, ENV(ALL_KEYS));
	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++)
		assert_string_equal(
			choose(env.catalog, "kilo-auto/frontier", modes[i]).model, OPUS);
	assert_string_equal(choose(env.catalog, "kilo-auto/frontier", "plan b").model, SONNET);
	env_fini(&env);
}

static void aliases_and_spellings_lead_to_the_same_model(void **state)
{
	static const struct {
		const char *written, *id;
	} rows[] = { { "kilo/auto", "kilo-auto/frontier" }, { "kilo/auto-free", "kilo-auto/free" },
		{ "kilo/auto-small", "kilo-auto/small" },
		{ "kilocode/kilo/auto", "kilo-auto/frontier" },
		{ "kilocode/kilo/auto-free", "kilo-auto/free" },
		{ "kilocode/kilo/auto-small", "kilo-auto/small" },
		{ "kilocode/kilo-auto/frontier", "kilo-auto/frontier" },
		{ "kilocode/kilo-auto/balanced", "kilo-auto/balanced" },
		{ "kilocode/kilo-auto/free", "kilo-auto/free" },
		{ "kilocode/kilo-auto/small", "kilo-auto/small" },
		{ "Kilo-Auto/Frontier", "kilo-auto/frontier" },
		{ "KiloCode/KILO/auto", "kilo-auto/frontier" },
		{ " kilo/auto ", "kilo-auto/frontier" } };
	static const char *const others[] = { "kilo/auto-", "kilo/auto-balanced", "kilo-auto/",
		"kilo-auto", "kilo/", "auto", "kilocode/kilocode/kilo/auto", SONNET, "", "kilo",
		"kilocode/", "openrouter/auto" };
	struct env env;

	(void)state;
	env_load(&env, ENV(ALL_KEYS));
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		print_message("%s\n", rows[i].written);
		assert_string_equal(choose(env.catalog, rows[i].written, "").id, rows[i].id);
	}
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		struct auto_choice choice = choose(env.catalog, others[i], "plan");

		print_message("%s\n", others[i]);
		assert_null(choice.id);
		assert_null(choice.model);
	}
	env_fini(&env);
}

static void a_feature_stands_for_a_mode_only_where_no_known_mode_is_named(void **state)
{
	static const struct {
		const char *mode, *feature, *model;
	} rows[] = { { "", "kiloclaw", OPUS }, { "", " KiloClaw ", OPUS },
		{ "dance", "kiloclaw", OPUS }, { "code", "kiloclaw", SONNET },
		{ "build", "kiloclaw", SONNET }, { "", "cli", SONNET }, { "", "plan", SONNET },
		{ "plan", "cli", OPUS } };
	struct asker a = { .has_balance = true };
	struct auto_choice choice;
	struct env env;
	struct err e;

	(void)state;
	env_load(&env, ENV(ALL_KEYS));
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		print_message("%s %s\n", rows[i].mode, rows[i].feature);
		assert_int_equal(choose_as(env.catalog, &a, "kilo/auto", rows[i].mode,
					 rows[i].feature, &choice, &e),
			ERR_OK);
		assert_string_equal(choice.model, rows[i].model);
	}
	env_fini(&env);
}

static void the_small_one_is_free_for_who_has_no_balance(void **state)
{
	struct asker rich = { .has_balance = true }, poor = { .has_balance = false };
	struct asker broken = { .is_broken = true };
	struct auto_choice choice;
	struct route r;
	struct env env;
	struct err e;

	(void)state;
	env_load(&env, ENV("OPENAI_API_KEY=k", "OPENROUTER_API_KEY=k"));
	assert_int_equal(
		choose_as(env.catalog, &rich, "kilo/auto-small", "plan", "", &choice, &e), ERR_OK);
	assert_string_equal(choice.model, NANO);
	assert_int_equal(rich.asked, 1);
	assert_int_equal(
		choose_as(env.catalog, &poor, "kilo/auto-small", "plan", "", &choice, &e), ERR_OK);
	assert_int_equal(route_find(env.catalog, choice.model, &r, &e), ERR_OK);
	assert_true(r.free);
	assert_string_equal(choice.model, "openai/gpt-oss-20b:free");
	assert_int_equal(
		choose_as(env.catalog, &broken, "kilo/auto-small", "", "", &choice, &e), ERR_STORE);
	assert_string_equal(choice.id, "kilo-auto/small");
	/* Nobody else's balance is looked at. */
	assert_int_equal(
		choose_as(env.catalog, &broken, "kilo-auto/frontier", "", "", &choice, &e), ERR_OK);
	assert_int_equal(broken.asked, 1);
	env_fini(&env);
}

/* ---- what is not served ---- */

static void a_single_key_is_enough_for_every_paid_auto_model(void **state)
{
	static const char *const keys[] = { "OPENAI_API_KEY=k", "ANTHROPIC_API_KEY=k",
		"GEMINI_API_KEY=k", "MOONSHOT_API_KEY=k", "MINIMAX_API_KEY=k", "MISTRAL_API_KEY=k",
		"DEEPSEEK_API_KEY=k", "XAI_API_KEY=k", "ZAI_API_KEY=k", "OPENROUTER_API_KEY=k",
		"KILO_API_KEY=k" };
	static const char *const ids[] = { "kilo-auto/frontier", "kilo-auto/balanced",
		"kilo-auto/small" };
	static const char *const modes[] = { "", "plan", "general", "build" };

	(void)state;
	for (size_t k = 0; k < sizeof(keys) / sizeof(keys[0]); k++) {
		struct env env;

		print_message("%s\n", keys[k]);
		env_load(&env, ENV(keys[k]));
		for (size_t i = 0; i < 12; i++) {
			struct auto_choice choice = choose(env.catalog, ids[i % 3], modes[i / 3]);
			struct route r;
			struct err e;

			assert_int_equal(route_find(env.catalog, choice.model, &r, &e), ERR_OK);
			assert_true(r.provider->configured);
			assert_false(r.free);
		}
		env_fini(&env);
	}
}

static void the_chain_is_what_else_is_served_in_order(void **state)
{
	struct asker owner = { .own_key = OPUS };
	struct auto_choice choice;
	struct env env;
	struct err e;

	(void)state;
	env_load(&env, ENV("OPENAI_API_KEY=k", "GEMINI_API_KEY=k", "DEEPSEEK_API_KEY=k"));
	choice = choose(env.catalog, "kilo-auto/frontier", "plan");
	assert_string_equal(choice.model, "openai/gpt-5.2");
	assert_int_equal(choice.chain_count, 2);
	assert_string_equal(choice.chain[0], "google/gemini-3.1-pro-preview");
	assert_string_equal(choice.chain[1], "deepseek/deepseek-v4-pro");
	/* A key of the caller's own counts as much, and leaves the others to fall back to. */
	assert_int_equal(
		choose_as(env.catalog, &owner, "kilo/auto", "plan", "", &choice, &e), ERR_OK);
	assert_string_equal(choice.model, OPUS);
	assert_int_equal(choice.chain_count, 3);
	assert_string_equal(choice.chain[0], "openai/gpt-5.2");
	env_fini(&env);
	env_load(&env, ENV(ALL_KEYS));
	choice = choose(env.catalog, "kilo-auto/frontier", "plan");
	assert_int_equal(choice.chain_count, AUTO_CHAIN_MAX);
	assert_string_equal(choice.chain[0], "openai/gpt-5.2");
	env_fini(&env);
}

static void a_free_one_never_falls_back_to_what_costs(void **state)
{
	struct asker poor = { .has_balance = false };
	static const char *const ids[] = { "kilo-auto/free", "kilo-auto/small" };
	struct env env;

	(void)state;
	env_load(&env, ENV(ALL_KEYS, "KILO_API_KEY=k", "CORETHINK_API_KEY=k"));
	for (size_t i = 0; i < 2; i++) {
		struct auto_choice choice;
		struct route r;
		struct err e;

		assert_int_equal(
			choose_as(env.catalog, &poor, ids[i], "", "", &choice, &e), ERR_OK);
		assert_true(choice.chain_count > 2);
		for (size_t k = 0; k <= choice.chain_count; k++) {
			const char *id = k ? choice.chain[k - 1] : choice.model;

			print_message("%s\n", id);
			assert_int_equal(route_find(env.catalog, id, &r, &e), ERR_OK);
			assert_true(r.free);
		}
	}
	env_fini(&env);
}

static void what_nobody_serves_names_the_key_to_set(void **state)
{
	static const struct {
		const char *id, *key;
	} rows[] = { { "kilo-auto/frontier", "ANTHROPIC_API_KEY" },
		{ "kilo-auto/balanced", "MINIMAX_API_KEY" },
		{ "kilo-auto/free", "MINIMAX_API_KEY" },
		{ "kilo-auto/small", "OPENROUTER_API_KEY" } };
	struct asker poor = { .has_balance = false };
	struct auto_choice choice;
	struct env env;
	struct err e;

	(void)state;
	env_load(&env, ENV("COHERE_API_KEY=k"));
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		print_message("%s\n", rows[i].id);
		assert_int_equal(choose_as(env.catalog, &poor, rows[i].id, "", "", &choice, &e),
			ERR_MODEL_UNAVAILABLE);
		assert_string_equal(choice.id, rows[i].id);
		assert_string_equal(e.param, "model");
		assert_non_null(strstr(e.message, rows[i].id));
		assert_non_null(strstr(e.message, rows[i].key));
	}
	env_fini(&env);
}

/* ---- the request ---- */

#define HI "\"messages\":[{\"role\":\"user\",\"content\":\"model\"}]"
#define M  "\"model\":\"a/b\""
#define R  "\"reasoning\":" THINK
#define V  "\"verbosity\":\"high\""

static void the_request_is_the_clients_but_for_what_the_table_says(void **state)
{
	static const struct {
		const char *had, *reasoning, *verbosity, *becomes;
	} rows[] = {
		{ "{\"model\":\"kilo/auto\"," HI "}", "", "", "{" M "," HI "}" },
		{ "{\"model\":\"kilo/auto\"," HI "}", THINK, "\"high\"",
			"{" M "," R "," V "," HI "}" },
		{ "{" HI ", \"model\" : \"kilo/auto\" , \"x\":1e1}", THINK, "",
			"{" HI ", " M "," R " , \"x\":1e1}" },
		{ "{\"reasoning\":{\"effort\":\"low\"},\"model\":\"kilo/auto\"," HI
		  ",\"verbosity\":null}",
			THINK, "\"high\"", "{" R "," M "," HI "," V "}" },
		/* Where the table says nothing the client's word stays. */
		{ "{\"reasoning\":7,\"model\":\"kilo/auto\"," HI
		  ",\"reasoning_effort\":\"low\",\"verbosity\":\"low\"}",
			"", "",
			"{\"reasoning\":7," M "," HI
			",\"reasoning_effort\":\"low\",\"verbosity\":\"low\"}" },
		/* reasoning_effort goes, wherever it stands. */
		{ "{\"reasoning_effort\":\"low\",\"model\":\"kilo/auto\"," HI "}", THINK, "",
			"{" M "," R "," HI "}" },
		{ "{ \"reasoning_effort\" : \"low\" , \"reasoning\":1,\"model\":\"kilo/auto\"," HI
		  "}",
			THINK, "", "{ " R "," M "," HI "}" },
		{ "{\"model\":\"kilo/auto\" , \"reasoning_effort\":\"low\"," HI "}", THINK, "",
			"{" M "," R "," HI "}" },
		{ "{\"model\":\"kilo/auto\"," HI ",\"reasoning_effort\":\"low\"}", THINK, "",
			"{" M "," R "," HI "}" },
		{ "{\"verbosity\":\"low\",\"reasoning_effort\":\"low\",\"reasoning\":{}," HI
		  ",\"model\":\"kilo/auto\"}",
			THINK, "\"high\"", "{" V "," R "," HI "," M "}" },
		/* Names written with escapes are the same names. */
		{ "{\"\\u006dodel\":\"kilo/auto\",\"reasonin\\u0067\":{\"effort\":\"low\"},"
		  "\"\\u0076erbosity\":\"low\",\"reasoning\\u005feffort\":\"low\"," HI "}",
			THINK, "\"high\"", "{" M "," R "," V "," HI "}" },
		/* The same names deeper down are others. */
		{ "{\"model\":\"kilo/auto\",\"metadata\":{\"reasoning\":1,\"model\":2,"
		  "\"reasoning_effort\":3}," HI "}",
			THINK, "",
			"{" M "," R ",\"metadata\":{\"reasoning\":1,\"model\":2,"
			"\"reasoning_effort\":3}," HI "}" },
	};
	static const struct json_limits limits = { .max_depth = 64, .max_keys = 100 };

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct auto_choice choice = { .id = "kilo-auto/frontier",
			.model = "a/b",
			.reasoning = slice_of(rows[i].reasoning),
			.verbosity = slice_of(rows[i].verbosity) };
		struct chat_req req, fresh;
		struct buf body = { 0 };
		struct err e;

		print_message("%s\n", rows[i].had);
		assert_int_equal(chat_parse(slice_of(rows[i].had), &limits, &req, &e), ERR_OK);
		assert_int_equal(auto_models_apply(&choice, &req, &body, &fresh, &e), ERR_OK);
		print_message("%.*s\n", (int)body.len, body.data);
		assert_true(slice_is(buf_slice(&body), rows[i].becomes));
		assert_string_equal(fresh.model, "a/b");
		assert_ptr_equal(fresh.body.ptr, body.data);
		if (rows[i].reasoning[0]) {
			assert_true(slice_is(fresh.field[CHAT_REASONING].value.raw, THINK));
			assert_int_equal(
				fresh.field[CHAT_REASONING_EFFORT].value.kind, JSON_ABSENT);
		}
		buf_fini(&body);
	}
}

/* Writes the members in the order that number n of all orders is; skip leaves some of them out. */
static void write_members(unsigned n, unsigned skip, struct buf *out)
{
	const char *left[] = { "\"model\":\"kilo/auto\"", HI, "\"x\" : [1, 2]",
		"\"reasoning_effort\" : \"low\"", "\"reasoning\":{}", "\"verbosity\":7" };

	buf_char(out, '{');
	for (unsigned count = 6; count; count--) {
		unsigned at = n % count;
		const char *member = left[at];

		n /= count;
		memmove(&left[at], &left[at + 1], (count - at - 1) * sizeof(left[0]));
		if ((skip & 1 && member[1] == 'x') ||
			(skip & 2 && strstr(member, "reasoning_effort")) ||
			(skip & 4 && strstr(member, "reasoning\"")) ||
			(skip & 8 && strstr(member, "verbosity")))
			continue;
		buf_str(out, out->len > 1 ? " , " : " ");
		buf_str(out, member);
	}
	buf_str(out, " }");
}

static void members_may_come_in_any_order(void **state)
{
	static const struct json_limits limits = { .max_depth = 64, .max_keys = 100 };
	const struct auto_choice choice = { .id = "kilo-auto/frontier",
		.model = "a/b",
		.reasoning = SLICE(THINK),
		.verbosity = SLICE("\"high\"") };

	(void)state;
	for (unsigned i = 0; i < 720 * 16; i++) {
		struct json_member members[] = { { .name = "model" }, { .name = "messages" },
			{ .name = "reasoning" }, { .name = "verbosity" }, { .name = "x" },
			{ .name = "reasoning_effort" } };
		struct buf had = { 0 }, body = { 0 };
		struct chat_req req, fresh;
		struct err e;

		write_members(i / 16, i % 16, &had);
		assert_int_equal(chat_parse(buf_slice(&had), &limits, &req, &e), ERR_OK);
		if (auto_models_apply(&choice, &req, &body, &fresh, &e) ||
			json_scan(buf_slice(&body), &limits, members, 6, &e))
			fail_msg("%.*s: %s", (int)had.len, had.data, e.message);
		assert_true(slice_is(members[0].value.raw, "\"a/b\""));
		assert_int_equal(members[1].value.kind, JSON_ARRAY);
		assert_true(slice_is(members[2].value.raw, THINK));
		assert_true(slice_is(members[3].value.raw, "\"high\""));
		assert_int_equal(members[4].value.kind, i & 1 ? JSON_ABSENT : JSON_ARRAY);
		assert_int_equal(members[5].value.kind, JSON_ABSENT);
		buf_fini(&had);
		buf_fini(&body);
	}
}

static void a_request_at_its_limits_stays_within_them(void **state)
{
	static const struct json_limits limits = { .max_depth = 3, .max_keys = 4 };
	const struct auto_choice choice = {
		.id = "mine", .model = "a/b", .reasoning = SLICE("{\"a\":{\"b\":{\"c\":{}}}}")
	};
	struct chat_req req, fresh;
	struct buf body = { 0 };
	struct err e;

	(void)state;
	assert_int_equal(
		chat_parse(SLICE("{\"model\":\"kilo/auto\"," HI "}"), &limits, &req, &e), ERR_OK);
	assert_int_equal(auto_models_apply(&choice, &req, &body, &fresh, &e), ERR_OK);
	buf_fini(&body);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_table_is_that_of_the_contract),
		cmocka_unit_test(a_mode_counts_in_any_case_and_with_blanks),
		cmocka_unit_test(aliases_and_spellings_lead_to_the_same_model),
		cmocka_unit_test(a_feature_stands_for_a_mode_only_where_no_known_mode_is_named),
		cmocka_unit_test(the_small_one_is_free_for_who_has_no_balance),
		cmocka_unit_test(a_single_key_is_enough_for_every_paid_auto_model),
		cmocka_unit_test(the_chain_is_what_else_is_served_in_order),
		cmocka_unit_test(a_free_one_never_falls_back_to_what_costs),
		cmocka_unit_test(what_nobody_serves_names_the_key_to_set),
		cmocka_unit_test(the_request_is_the_clients_but_for_what_the_table_says),
		cmocka_unit_test(members_may_come_in_any_order),
		cmocka_unit_test(a_request_at_its_limits_stays_within_them),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
