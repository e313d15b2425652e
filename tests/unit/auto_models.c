#include "tests/unit/catalog_env.h"

#include "base/json.h"
#include "gateway/auto_models.h"
#include "gateway/catalog_live.h"
#include "gateway/chat.h"
#include "gateway/route.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- who asks ---- */

struct asker {
	bool has_balance, is_broken;
	const char *own_key; /* for this model; NULL = none */
	unsigned asked;
};

static enum err_code has_balance(void *ctx, bool *has, struct err *e)
{
	struct asker *a = ctx;

	a->asked++;
	*has = a->has_balance;
	return a->is_broken ? err_set(e, ERR_STORE, "no books") : ERR_OK;
}

static bool has_key(void *ctx, const char *model)
{
	const struct asker *a = ctx;

	return a->own_key && strcmp(a->own_key, model) == 0;
}

static enum err_code choose_as(const struct catalog *c, struct asker *a, const char *model,
	const char *mode, const char *feature, struct auto_choice *out, struct err *e)
{
	const struct auto_ask ask = { .mode = slice_of(mode),
		.feature = slice_of(feature),
		.has_balance = has_balance,
		.has_key = has_key,
		.ctx = a };

	return auto_models_choose(c, model, &ask, out, e);
}

static struct auto_choice choose(const struct catalog *c, const char *model, const char *mode)
{
	struct asker a = { .has_balance = true };
	struct auto_choice choice;
	struct err e;

	if (choose_as(c, &a, model, mode, "", &choice, &e))
		fail_msg("%s", e.message);
	return choice;
}

/* Whoever has all keys. */
#define ALL_KEYS \
	"ANTHROPIC_API_KEY=k", "OPENAI_API_KEY=k", "MOONSHOT_API_KEY=k", "MINIMAX_API_KEY=k", \
		"GEMINI_API_KEY=k", "XAI_API_KEY=k", "DEEPSEEK_API_KEY=k", "MISTRAL_API_KEY=k", \
		"ARCEE_API_KEY=k", "OPENROUTER_API_KEY=k", "ZAI_API_KEY=k"

/* ---- the shipped table ---- */

#define THINK "{\"enabled\":true}"

#define OPUS   "anthropic/claude-opus-4.6"
#define SONNET "anthropic/claude-sonnet-4.6"
#define KIMI   "moonshotai/kimi-k2.5"
#define M27    "minimax/minimax-m2.7"
#define FREE   "minimax/minimax-m2.5:free"
#define NANO   "openai/gpt-5-nano"

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

/* ---- the operator's own ---- */

static char home[] = "/tmp/tollgate-auto-XXXXXX";
static char home_setting[64];

static void write_own(const char *text)
{
	char path[128], aside[160];
	FILE *f;

	snprintf(path, sizeof(path), "%s/auto_models.json", home);
	snprintf(aside, sizeof(aside), "%s.new", path);
	if (!text) {
		unlink(path);
		return;
	}
	f = fopen(aside, "w");
	assert_non_null(f);
	assert_int_equal(chmod(aside, 0600), 0);
	fputs(text, f);
	assert_int_equal(fclose(f), 0);
	assert_int_equal(rename(aside, path), 0);
}

#define OWN(more, models) "{\"version\":1,\"date\":\"2026-12-24\"," more "\"models\":[" models "]}"
#define TEAM(rules)       "{\"id\":\"team/best\",\"aliases\":[\"best\"],\"rules\":[" rules "]}"

static void the_operators_file_adds_changes_and_hides(void **state)
{
	struct auto_choice choice;
	struct env env;

	(void)state;
	write_own(OWN("\"groups\":{\"writing\":[\"prose\",\"verse\"]},"
		      "\"features\":{\"poet\":\"verse\"},",
		TEAM("{\"modes\":[\"writing\",\"plan\"],\"models\":[\"" OPUS "\"],"
		     "\"verbosity\":\"max\",\"reasoning\":{\"effort\":\"high\"}},"
		     "{\"models\":[\"" KIMI "\",\"" M27
		     "\"]}") ","
			     "{\"id\":\"kilo-auto/balanced\",\"rules\":[{\"models\":[\"" SONNET
			     "\"]}]},"
			     "{\"id\":\"KILO-AUTO/frontier\",\"name\":\"Ours\"},"
			     "{\"id\":\"kilo-auto/free\",\"hidden\":true}"));
	env_load(&env, ENV(ALL_KEYS, home_setting));
	choice = choose(env.catalog, "kilocode/Team/Best", "prose");
	assert_string_equal(choice.id, "team/best");
	assert_string_equal(choice.model, OPUS);
	assert_int_equal(choice.chain_count, 0);
	assert_true(slice_is(choice.reasoning, "{\"effort\":\"high\"}"));
	assert_true(slice_is(choice.verbosity, "\"max\""));
	choice = choose(env.catalog, "best", "");
	assert_string_equal(choice.model, KIMI);
	assert_string_equal(choice.chain[0], M27);
	assert_string_equal(choose(env.catalog, "best", "plan").model, OPUS);
	assert_string_equal(choose(env.catalog, "best", "planning").model, KIMI);
	/* A table is replaced whole; what is not said stays as it was shipped. */
	assert_string_equal(choose(env.catalog, "kilo-auto/balanced", "plan").model, SONNET);
	assert_string_equal(choose(env.catalog, "kilo/auto", "plan").model, OPUS);
	assert_null(choose(env.catalog, "kilo-auto/free", "").id);
	assert_null(choose(env.catalog, "kilo/auto-free", "").id);
	assert_string_equal(choose(env.catalog, "kilo/auto-small", "").id, "kilo-auto/small");
	env_fini(&env);
	write_own(NULL);
}

static void a_bad_file_of_the_operator_is_refused_with_file_and_member(void **state)
{
	static const struct {
		const char *text;
		const char *in_message[3];
	} rows[] = {
		{ "{", { "auto_models.json" } },
		{ "{\"version\":1,\"date\":\"2026-12-24\"}", { "models", "missing" } },
		{ "{\"version\":2,\"date\":\"2026-12-24\",\"models\":[]}", { "version" } },
		{ OWN("\"groups\":{\"a\":\"plan\"},", ""), { "groups" } },
		{ OWN("\"groups\":{\"a\":[7]},", ""), { "groups" } },
		{ OWN("\"groups\":{\"a\":[\"\"]},", ""), { "groups" } },
		{ OWN("\"features\":{\"a\":[]},", ""), { "features" } },
		{ OWN("", "7"), { "models[0]", "object" } },
		{ OWN("", "{\"name\":\"x\"}"), { "models[0]", "id", "missing" } },
		{ OWN("", "{\"id\":\"a/b\"}"), { "(a/b)", "rules", "missing" } },
		{ OWN("", "{\"id\":\"a/b\",\"rules\":[]}"), { "(a/b)", "rules" } },
		{ OWN("", "{\"id\":\"a/b\",\"rule\":[]}"), { "(a/b)", "rule:" } },
		{ OWN("", "{\"id\":\"kilocode/b\",\"hidden\":false}"), { "id", "kilocode/" } },
		{ OWN("", TEAM("{\"models\":[\"" KIMI "\"]}") "," TEAM("7")),
			{ "models[1] (team/best)", "id", "twice" } },
		{ OWN("", "{\"id\":\"a/b\",\"aliases\":[\"kilo/AUTO\"]}"),
			{ "(a/b)", "aliases", "another" } },
		{ OWN("", "{\"id\":\"kilo/auto\",\"rules\":[]}"), { "id", "another" } },
		{ OWN("", TEAM("7")), { "rules[0] (team/best)", "object" } },
		{ OWN("", TEAM("{}")), { "rules[0]", "models", "missing" } },
		{ OWN("", TEAM("{\"models\":[]}")), { "models", "1 to 16" } },
		{ OWN("", TEAM("{\"models\":[\"kilo/auto\"]}")), { "models", "auto model" } },
		{ OWN("", TEAM("{\"models\":[\"a b\"]}")), { "models", "names" } },
		{ OWN("", TEAM("{\"models\":[\"a\"],\"reasoning\":true}")), { "reasoning" } },
		{ OWN("", TEAM("{\"models\":[\"a\"],\"verbosity\":1}")), { "verbosity" } },
		{ OWN("", TEAM("{\"models\":[\"a\"],\"modes\":[\"plan\"]}")),
			{ "rules[0]", "modes", "last" } },
		{ OWN("", TEAM("{\"models\":[\"a\"],\"balance\":true}")), { "balance", "last" } },
		{ OWN("", TEAM("{\"models\":[\"a\"]},{\"models\":[\"b\"]}")),
			{ "rules[0]", "modes", "last" } },
		{ OWN("", TEAM("{\"models\":[\"a\"],\"modes\":[]},{\"models\":[\"b\"]}")),
			{ "rules[0]", "modes", "empty" } },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct err e = { .message = "" };
		struct env env;

		print_message("%s\n", rows[i].text);
		write_own(rows[i].text);
		assert_int_equal(env_try(&env, NULL, ENV(home_setting), &e), ERR_CONF);
		print_message("  %s\n", e.message);
		assert_non_null(strstr(e.message, home));
		for (size_t k = 0; k < 3 && rows[i].in_message[k]; k++)
			assert_non_null(strstr(e.message, rows[i].in_message[k]));
		env_fini(&env);
	}
	write_own(NULL);
}

static const char *default_of(const struct catalog_copy *copy)
{
	return choose(copy->catalog, "kilo-auto/balanced", "").model;
}

static void a_change_is_used_a_second_later_and_a_broken_one_never(void **state)
{
	struct catalog_copy *copies[4];
	struct catalog_live *live;
	struct conf *conf;
	struct err e;

	(void)state;
	clearenv();
	putenv(home_setting);
	setenv("GATEWAY_CATALOGUE", "conf", 1);
	setenv("MINIMAX_API_KEY", "k", 1);
	setenv("MOONSHOT_API_KEY", "k", 1);
	assert_int_equal(conf_load(&conf, &e), ERR_OK);
	assert_int_equal(catalog_live_open(conf, 0, &live, &e), ERR_OK);
	copies[0] = catalog_live_take(live, 0);
	write_own(
		OWN("", "{\"id\":\"kilo-auto/balanced\",\"rules\":[{\"models\":[\"" KIMI "\"]}]}"));
	copies[1] = catalog_live_take(live, CATALOG_LIVE_LOOK_MS);
	write_own(OWN("", "{\"id\":\"kilo-auto/balanced\",\"rules\":[]}"));
	copies[2] = catalog_live_take(live, 2 * CATALOG_LIVE_LOOK_MS);
	write_own(NULL);
	copies[3] = catalog_live_take(live, 3 * CATALOG_LIVE_LOOK_MS);
	assert_string_equal(default_of(copies[0]), M27);
	assert_string_equal(default_of(copies[1]), KIMI);
	assert_string_equal(default_of(copies[2]), KIMI);
	assert_string_equal(default_of(copies[3]), M27);
	for (size_t i = 0; i < 4; i++)
		catalog_live_drop(live, copies[i]);
	catalog_live_close(live);
	conf_fini(conf);
}

static int set_up(void **state)
{
	(void)state;
	if (!mkdtemp(home))
		return -1;
	snprintf(home_setting, sizeof(home_setting), "GATEWAY_HOME=%s", home);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	return rmdir(home);
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
		cmocka_unit_test(a_request_at_its_limits_stays_within_them),
		cmocka_unit_test(the_operators_file_adds_changes_and_hides),
		cmocka_unit_test(a_bad_file_of_the_operator_is_refused_with_file_and_member),
		cmocka_unit_test(a_change_is_used_a_second_later_and_a_broken_one_never),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
