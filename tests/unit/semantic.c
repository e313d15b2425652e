/* A question that means the same as a remembered one: who is asked for its vector, what is found
 * by it, and that an embedder that fails, lies or sleeps is no more than a miss. */
#include "base/log.h"
#include "gateway/semantic.h"
#include "tests/unit/catalog_env.h"
#include "tests/unit/scripted.h"

#include <ftw.h>

#define DIMS 16

static struct provider_script server;
static struct pump *pump;
static struct env env;
static struct vectors *v;
static struct semantic_conf conf;
static struct err err;
static struct cache_key key;
static double similarity;
static char home[64], url[64], log_path[96];
static atomic_int asked;
static int64_t now_ms; /* goes on by itself where the embedder must not be at rest */

/* ---- the embedder ---- */

static pthread_mutex_t saying = PTHREAD_MUTEX_INITIALIZER;
static char said[8192]; /* its answer's body */
static atomic_int status;

static bool answers(struct peer *p)
{
	char head[128];

	asked++;
	pthread_mutex_lock(&saying);
	snprintf(head, sizeof(head), "HTTP/1.1 %d X\r\nContent-Length: %zu\r\n\r\n", (int)status,
		strlen(said));
	say(p, head);
	say(p, said);
	pthread_mutex_unlock(&saying);
	return true;
}

static bool sleeps(struct peer *p)
{
	asked++;
	(void)leaves(p);
	return false;
}

static bool breaks_off(struct peer *p)
{
	asked++;
	say(p, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"data\":[");
	return false;
}

static void will_send(const char *body)
{
	pthread_mutex_lock(&saying);
	str_copy_cut(said, sizeof(said), body);
	pthread_mutex_unlock(&saying);
}

/* A vector in its direction: two of them are as near as 0.9 to each other, or the same. */
static void will_say(unsigned direction)
{
	char body[sizeof(said)];
	size_t n = (size_t)snprintf(body, sizeof(body), "{\"data\":[{\"embedding\":[");

	status = 200;
	server.play = answers;
	for (unsigned i = 0; i < DIMS; i++)
		n += (size_t)snprintf(body + n, sizeof(body) - n, "%s%s", i ? "," : "",
			i == direction ? "1" : "0.25");
	snprintf(body + n, sizeof(body) - n, "]}]}");
	will_send(body);
}

/* ---- questions ---- */

static const struct cache_tenant tenant = { .scope = SCOPE_ORG, .org = 7, .user = 1 };
static const struct cache_tenant stranger = { .scope = SCOPE_ORG, .org = 8, .user = 2 };

struct question {
	struct buf body;
	struct chat_req req;
	struct cache_ask ask;
};

static void question_make(struct question *q, const struct cache_tenant *who, const char *rest)
{
	static const struct json_limits limits = { .max_depth = 20, .max_keys = 100 };

	*q = (struct question){
		.ask = { .tenant = who, .endpoint = "/chat/completions", .model = "openai/gpt-4o" }
	};
	buf_printf(&q->body, "{\"model\":\"openai/gpt-4o\",%s}", rest);
	assert_int_equal(chat_parse(buf_slice(&q->body), &limits, &q->req, &err), ERR_OK);
	q->ask.req = &q->req;
}

static bool look(struct semantic *s, const struct cache_tenant *who, const char *rest)
{
	struct question q;
	bool found;

	question_make(&q, who, rest);
	*s = (struct semantic){ .dimensions = 0 };
	found = semantic_find(
		s, v, pump, env.catalog, &conf, &q.ask, now_ms, &key, &similarity, &err);
	buf_fini(&q.body);
	return found;
}

#define SYSTEM(words)    "{\"role\":\"system\",\"content\":\"" words "\"}"
#define USER(words)      "{\"role\":\"user\",\"content\":\"" words "\"}"
#define ASSISTANT(words) "{\"role\":\"assistant\",\"content\":\"" words "\"}"
#define ASK(words)       "\"messages\":[" USER(words) "]"
#define TOOL             "{\"type\":\"function\",\"function\":{\"name\":\"f\"}}"

static bool find(const char *rest)
{
	struct semantic s;
	bool found = look(&s, &tenant, rest);

	semantic_fini(&s);
	return found;
}

static void learn(const char *rest, uint8_t name)
{
	struct semantic s;
	const struct cache_key k = { .hash = { name }, .length = name, .crc = name };

	assert_false(look(&s, &tenant, rest));
	assert_int_equal(err.code, ERR_OK);
	semantic_learn(&s, v, &k, now_ms + 60000, now_ms);
	semantic_fini(&s);
}

/* ---- the house ---- */

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *f)
{
	(void)st, (void)flag, (void)f;
	return remove(path);
}

static int set_up(void **state)
{
	(void)state;
	snprintf(home, sizeof(home), "/tmp/tollgate-semantic-XXXXXX");
	if (!mkdtemp(home))
		return -1;
	snprintf(log_path, sizeof(log_path), "%s/log", home);
	if (log_open(log_path, "test", &err))
		return -1;
	script_start(&server, answers);
	pump = new_pump("");
	snprintf(url, sizeof(url), "OPENAI_BASE_URL=http://127.0.0.1:%u/v1", server.port);
	env_load(&env, ENV("OPENAI_API_KEY=k", "DEEPSEEK_API_KEY=k", url));
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	pump_stop(pump);
	script_stop(&server);
	env_fini(&env);
	return nftw(home, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

/* Each test begins with nothing remembered and long after the one before. */
static int begin(void **state)
{
	static int64_t days;
	const struct vectors_conf settings = { .home = home, .max_entries = 100 };

	(void)state;
	now_ms = clock_wall_ms() + ++days * INT64_C(86400000);
	conf = (struct semantic_conf){ .model = "openai/text-embedding-3-small",
		.threshold = 0.95,
		.timeout_ms = 5000,
		.connect_ms = 5000 };
	if (vectors_open(&v, &settings, &err) || vectors_clear(v, &err))
		return -1;
	will_say(0);
	(void)!find(ASK("a good answer ends a row of failures"));
	asked = 0;
	return 0;
}

static int end(void **state)
{
	(void)state;
	vectors_close(v);
	return 0;
}

static bool log_says(const char *text)
{
	struct buf all = { 0 };
	FILE *f = fopen(log_path, "r");
	char *room = buf_room(&all, 1 << 20);
	bool says;

	assert_non_null(f);
	assert_non_null(room);
	buf_commit(&all, fread(room, 1, 1 << 20, f));
	fclose(f);
	says = all.len && memmem(all.data, all.len, text, strlen(text));
	buf_fini(&all);
	return says;
}

/* ---- what is found ---- */

static void a_question_that_means_the_same_is_found(void **state)
{
	(void)state;
	learn(ASK("What is the capital of France?"), 1);
	assert_true(find(ASK("Tell me the capital of France")));
	assert_int_equal(key.hash[0], 1);
	assert_int_equal(key.length, 1);
	assert_true(similarity > 0.999);
	will_say(1);
	assert_false(find(ASK("What is the capital of Norway?")));
	assert_int_equal(err.code, ERR_OK); /* a miss like any other */
}

static void the_threshold_counts(void **state)
{
	(void)state;
	learn(ASK("a"), 1);
	will_say(1); /* 0.71 of the other */
	conf.threshold = 0.72;
	assert_false(find(ASK("b")));
	conf.threshold = 0.70;
	assert_true(find(ASK("b")));
	assert_true(similarity > 0.70 && similarity < 0.72);
}

static void all_but_the_question_must_be_the_same(void **state)
{
	static const char *const others[] = {
		ASK("Hi") ",\"temperature\":0.5",
		ASK("Hi") ",\"max_tokens\":5",
		ASK("Hi") ",\"tools\":[" TOOL "]",
		"\"messages\":[" SYSTEM("be brief") "," USER("Hi") "]",
		"\"messages\":[" USER("Yo") "," ASSISTANT("Yo") "," USER("Hi") "]",
	};
	struct semantic s;

	(void)state;
	learn(ASK("Hello"), 1);
	assert_true(find(ASK("Hi")));
	assert_true(find("\"stream\":true," ASK("Hi"))); /* how it is sent changes no word */
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		print_message("%s\n", others[i]);
		assert_false(find(others[i]));
	}
	assert_false(look(&s, &stranger, ASK("Hi"))); /* nor is it anybody else's */
	semantic_fini(&s);
}

static void guards_keep_near_misses_apart(void **state)
{
	(void)state;
	learn(ASK("What is 2+2?"), 1);
	learn(ASK("Is it safe?"), 2);
	learn(ASK("Translate 'cat'"), 3);
	assert_false(find(ASK("What is 2+3?")));
	assert_false(find(ASK("Is it not safe?")));
	assert_false(find(ASK("Translate 'dog'")));
	assert_true(find(ASK("what's 2 + 2")));
	assert_int_equal(key.hash[0], 1);
	assert_true(find(ASK("Would you say it is safe?")));
	assert_int_equal(key.hash[0], 2);
}

static void vectors_of_different_models_are_not_compared(void **state)
{
	(void)state;
	learn(ASK("Hello"), 1);
	conf.model = "openai/text-embedding-3-large";
	assert_false(find(ASK("Hi")));
	conf.model = "openai/text-embedding-3-small";
	assert_true(find(ASK("Hi")));
}

/* ---- what is not embedded at all ---- */

#define PICTURE "{\"type\":\"image_url\",\"image_url\":{\"url\":\"https://x/y.png\"}}"

static void what_cannot_be_answered_so_is_not_embedded(void **state)
{
	static const char *const others[] = {
		ASK("What is the weather like?"),
		ASK("  "),
		"\"messages\":[" SYSTEM("hi") "]",
		"\"messages\":[{\"role\":\"user\",\"content\":[" PICTURE "]}]",
		"\"messages\":[" USER("f") "," ASSISTANT("g") "]",
	};
	struct buf longer = { 0 };

	(void)state;
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		print_message("%s\n", others[i]);
		assert_false(find(others[i]));
		assert_int_equal(err.code, ERR_OK);
	}
	for (int i = 8191; i <= 8193; i++) {
		buf_reset(&longer);
		buf_str(&longer, "\"messages\":[{\"role\":\"user\",\"content\":\"");
		for (int k = 0; k < i; k++)
			buf_char(&longer, 'x');
		buf_str(&longer, "\"}]");
		assert_false(find(buf_cstr(&longer)));
		assert_int_equal(asked, i <= 8192 ? i - 8190 : 2);
	}
	buf_fini(&longer);
}

static void a_model_that_cannot_is_told_once(void **state)
{
	struct semantic s;

	(void)state;
	conf.model = "deepseek/deepseek-chat";
	assert_false(look(&s, &tenant, ASK("Hello")));
	assert_int_equal(err.code, ERR_OK); /* nothing for another line */
	assert_int_equal(s.dimensions, 0);
	semantic_fini(&s);
	assert_true(log_says("GATEWAY_EMBEDDING_MODEL"));
	assert_int_equal(truncate(log_path, 0), 0);
	assert_false(find(ASK("Hello")));
	conf.model = "no such model";
	assert_false(find(ASK("Hello")));
	assert_false(log_says("GATEWAY_EMBEDDING_MODEL"));
	assert_int_equal(asked, 0);
	conf.model = "openai/text-embedding-3-small";
	assert_false(find(ASK("Hello")));
	conf.model = "no such model";
	assert_false(find(ASK("Hello")));
	assert_true(log_says("GATEWAY_EMBEDDING_MODEL")); /* it is another trouble */
}

/* ---- embedders that misbehave ---- */

static void nonsense_is_a_miss_and_nothing_is_learnt(void **state)
{
	static const char *const bad[] = {
		"",
		"not json",
		"{}",
		"{\"data\":[]}",
		"{\"data\":[{\"embedding\":[]}]}",
		"{\"data\":[{\"embedding\":null}]}",
		"{\"data\":[{\"embedding\":[NaN,1]}]}",
		"{\"data\":[{\"embedding\":[1e999,1]}]}",
		"{\"data\":[{\"embedding\":[0,0,0]}]}",
		"{\"data\":[{\"embedding\":[\"SECRETWORD\"]}]}",
		"{\"data\":[{\"embedding\":[1,[2]]}]}",
		"{\"data\":[{\"embedding\":[1]},{\"embedding\":[2]}]}",
		"{\"error\":{\"message\":\"SECRETWORD is not allowed\"}}",
	};
	struct semantic s;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		print_message("%s\n", bad[i]);
		now_ms += 60000; /* it may have been left alone */
		will_send(bad[i]);
		assert_false(look(&s, &tenant, ASK("SECRETWORD")));
		assert_int_equal(asked, i + 1);
		assert_int_not_equal(err.code, ERR_OK);
		assert_null(strstr(err.message, "SECRETWORD"));
		assert_int_equal(s.dimensions, 0);
		semantic_learn(&s, v, &key, now_ms + 1000, now_ms);
		semantic_fini(&s);
	}
	will_say(0);
	now_ms += 60000;
	assert_false(find(ASK("SECRETWORD")));
	assert_int_equal(err.code, ERR_OK);
}

static void vectors_may_come_as_bytes(void **state)
{
	(void)state;
	will_send("{\"data\":[{\"embedding\":\"AACAPwAAAEA=\"}]}");
	learn(ASK("Hello"), 1);
	will_send("{\"data\":[{\"embedding\":[1,2]}]}");
	assert_true(find(ASK("Hi")));
}

static void another_number_of_dimensions_is_a_miss(void **state)
{
	(void)state;
	learn(ASK("Hello"), 1);
	will_send("{\"data\":[{\"embedding\":[1,2,3]}]}");
	assert_false(find(ASK("Hi")));
	assert_int_equal(err.code, ERR_OK);
}

static void a_refusal_tells_no_more_than_its_status(void **state)
{
	(void)state;
	will_send("{\"error\":{\"message\":\"SECRETWORD\"}}");
	status = 500;
	assert_false(find(ASK("SECRETWORD")));
	assert_non_null(strstr(err.message, "HTTP 500"));
	assert_null(strstr(err.message, "SECRETWORD"));
}

static void who_sleeps_is_waited_for_as_long_as_the_setting_says(void **state)
{
	int64_t begun_ms = clock_mono_ms();

	(void)state;
	server.play = sleeps;
	conf.timeout_ms = 100;
	assert_false(find(ASK("Hello")));
	assert_int_equal(err.code, ERR_UPSTREAM_TIMEOUT);
	assert_true(clock_mono_ms() - begun_ms >= 100);
}

static void who_breaks_off_is_a_miss(void **state)
{
	(void)state;
	server.play = breaks_off;
	assert_false(find(ASK("Hello")));
	assert_int_not_equal(err.code, ERR_OK);
}

static void who_fails_again_and_again_is_left_alone_for_a_while(void **state)
{
	(void)state;
	status = 503;
	for (int i = 0; i < 10; i++) {
		assert_false(find(ASK("Hello")));
		assert_int_equal(err.code != ERR_OK, i < 3); /* no line for those not asked */
	}
	assert_int_equal(asked, 3);
	now_ms += 10001;
	assert_false(find(ASK("Hello")));
	assert_false(find(ASK("Hello")));
	assert_int_equal(asked, 4); /* one try */
	now_ms -= 3600000;          /* the clock is set back */
	assert_false(find(ASK("Hello")));
	assert_int_equal(asked, 5);
	now_ms += 20000;
	will_say(0);
	learn(ASK("Hello"), 1);
	assert_true(find(ASK("Hi")));
	assert_int_equal(asked, 7);
}

/* ---- answers ---- */

static void answers_that_call_tools_are_nobody_elses(void **state)
{
	static const struct {
		const char *body, *reason;
		bool fine;
	} cases[] = {
		{ "{\"choices\":[{\"message\":{\"content\":\"Hi\"}}]}", "stop", true },
		{ "{\"message\":{\"content\":\"Hi\",\"tool_calls\":null}}", "stop", true },
		{ "{\"message\":{\"content\":\"Hi\",\"tool_calls\" : [ ] }}", "stop", false },
		{ "{\"message\":{\"content\":\"Hi\",\"tool_calls\" : []}}", "stop", true },
		{ "{\"content\":\"say \\\"tool_calls\\\":[1]\"}", "stop", true },
		{ "{\"a\":\"tool_calls\",\"content\":\"Hi\"}", "stop", true },
		{ "{\"message\":{\"tool_calls\":[{\"id\":\"a\"}]}}", "stop", false },
		{ "{\"message\":{\"tool_calls\":null}}{\"tool_calls\":[{}]}", "stop", false },
		{ "{\"message\":{\"function_call\":{\"name\":\"f\"}}}", "stop", false },
		{ "{}", "tool_calls", false },
		{ "{}", "function_call", false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct cache_entry entry = { .body = slice_of(cases[i].body) };

		print_message("%s\n", cases[i].body);
		str_copy_cut(entry.finish_reason, sizeof(entry.finish_reason), cases[i].reason);
		assert_int_equal(semantic_answer_is_fine(&entry), cases[i].fine);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_question_that_means_the_same_is_found),
		TEST(the_threshold_counts),
		TEST(all_but_the_question_must_be_the_same),
		TEST(guards_keep_near_misses_apart),
		TEST(vectors_of_different_models_are_not_compared),
		TEST(what_cannot_be_answered_so_is_not_embedded),
		TEST(a_model_that_cannot_is_told_once),
		TEST(nonsense_is_a_miss_and_nothing_is_learnt),
		TEST(vectors_may_come_as_bytes),
		TEST(another_number_of_dimensions_is_a_miss),
		TEST(a_refusal_tells_no_more_than_its_status),
		TEST(who_sleeps_is_waited_for_as_long_as_the_setting_says),
		TEST(who_breaks_off_is_a_miss),
		TEST(who_fails_again_and_again_is_left_alone_for_a_while),
		TEST(answers_that_call_tools_are_nobody_elses),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
