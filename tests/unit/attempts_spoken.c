/* Attempts that go on with what the client was told of somebody else's answer, against two
 * providers whose every byte is written by the test. */
#include "gateway/attempts.h"
#include "tests/unit/scripted.h"

static struct provider_script first, second;
static struct pump *pump;
static atomic_int asked_first, asked_second; /* requests */

static int set_up(void **state)
{
	(void)state;
	script_start(&first, NULL);
	script_start(&second, NULL);
	pump = new_pump("");
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	pump_stop(pump);
	script_stop(&first);
	script_stop(&second);
	return 0;
}

/* ---- what providers do ---- */

static bool play(struct peer *p, const char *events)
{
	atomic_fetch_add(p->server == &first ? &asked_first : &asked_second, 1);
	say_events_head(p);
	say_chunk(p, events);
	say_chunk(p, "");
	return true;
}

static bool says_hello(struct peer *p)
{
	return play(p, HELLO CHUNK("{\"content\":\"lo\"}", "null") STOP DONE);
}

static bool goes_on(struct peer *p)
{
	return play(p, CHUNK("{\"role\":\"assistant\",\"content\":\"lo\"}", "null") STOP DONE);
}

static bool says_something_else(struct peer *p)
{
	return play(
		p, CHUNK("{\"role\":\"assistant\",\"content\":\"Good day\"}", "null") STOP DONE);
}

/* ---- one request ---- */

/* What the client has: of provider one, under an id that no provider of the test gives. */
#define SAID_BY(slug) \
	"data: {\"provider\":\"" slug "\",\"id\":\"led\",\"object\":\"chat.completion.chunk\"," \
	"\"created\":1700000000,\"model\":\"lab/m\",\"choices\":[{\"index\":0,\"delta\":" \
	"{\"role\":\"assistant\",\"content\":\"H\"},\"finish_reason\":null}]}\n\n" \
	"data: {\"provider\":\"" slug "\",\"id\":\"led\",\"object\":\"chat.completion.chunk\"," \
	"\"created\":1700000000,\"model\":\"lab/m\",\"choices\":[{\"index\":0,\"delta\":" \
	"{\"content\":\"el\"},\"finish_reason\":null}]}\n\n"

struct asking {
	struct call c;
	const char *spoken;
	enum conf_rescue rescue;
	bool prefill; /* the second takes one */
	/* after */
	struct attempts tries;
	char words[256]; /* of the attempts */
};

static struct asking ask_of(const char *spoken)
{
	return (struct asking){ .c = call_of(true), .spoken = spoken, .rescue = RESCUE_CONTINUE };
}

static enum err_code prepare(
	void *ctx, const struct candidate *c, struct attempt_shape *shape, struct err *e)
{
	(void)ctx;
	(void)c;
	(void)e;
	shape->first_byte_ms = shape->idle_ms = 5000;
	shape->first_token_ms = 10000;
	return ERR_OK;
}

static void ask(struct asking *a)
{
	static const struct json_limits limits = { .max_depth = 20, .max_keys = 100 };
	static const struct sink_head head = { .status = 200, .streaming = true, .length = -1 };
	/* What is asked about afterwards points to them. */
	static char url[2][64];
	static struct candidate at[2];
	static struct plan plan = { at, 2 };
	struct chat_req req;
	struct out out;
	struct buf text = { 0 };
	const char *said;

	asked_first = asked_second = 0;
	for (int i = 0; i < 2; i++) {
		snprintf(url[i], sizeof(url[i]), "http://127.0.0.1:%u/v1",
			i ? second.port : first.port);
		at[i] = (struct candidate){ .route.target = { .provider = &provider_openai,
						    .quirks = quirks_of(
							    i && a->prefill ? "openrouter" : "lab"),
						    .slug = i ? "two" : "one",
						    .base_url = url[i],
						    .chat_path = "/chat/completions",
						    .auth = "bearer",
						    .api_key = "k",
						    .public_id = "lab/m",
						    .native_id = "m",
						    .prefill = i && a->prefill } };
	}
	assert_int_equal(chat_parse(SLICE("{\"model\":\"lab/m\",\"messages\":[{\"role\":\"user\","
					  "\"content\":\"Hi\"}],\"stream\":true}"),
				 &limits, &req, NULL),
		ERR_OK);
	open_client(&a->c);
	out_init(&out, a->c.client[1], false, 1);
	assert_int_equal(sink_begin(&out.sink, &head), SINK_OK);
	assert_int_equal(sink_write(&out.sink, slice_of(a->spoken)), SINK_OK);
	a->tries = (struct attempts){ .pump = pump,
		.plan = &plan,
		.conf = a->c.conf,
		.req = &req,
		.client = &out.sink,
		.request_id = "req_1",
		.begun_ms = clock_mono_ms(),
		.deadline_ms = clock_mono_ms() + 20000,
		.most = 4,
		.rescue = a->rescue,
		.limits = &limits,
		.spoken = slice_of(a->spoken),
		.prepare = prepare };
	a->c.rc = attempts_run(&a->tries, &a->c.e);
	(void)sink_write(&out.sink, buf_slice(&a->tries.res.ending));
	out_fini(&out);
	close(a->c.client[1]);
	read_all(&a->c);
	attempts_write(a->tries.list, a->tries.count, &text);
	said = buf_cstr(&text);
	str_copy_cut(a->words, sizeof(a->words), said ? said : "");
	buf_fini(&text);
}

static void end_ask(struct asking *a)
{
	attempts_fini(&a->tries);
	end_call(&a->c);
}

/* The client has "Hello" once, under one id, and the answer's end. */
static void assert_hello(struct asking *a, const char *words)
{
	const char *rest;

	assert_int_equal(a->c.rc, ERR_OK);
	assert_string_equal(a->words, words);
	assert_true(a->tries.list[0].rescue);
	rest = memmem(a->c.seen.data, a->c.seen.len, "\"content\":\"lo\"", 14);
	assert_non_null(rest);
	assert_null(memmem(rest + 1, (size_t)(a->c.seen.data + a->c.seen.len - rest - 1),
		"\"content\":\"lo\"", 14));
	assert_false(saw(&a->c, "\"content\":\"Hel\""));
	assert_false(saw(&a->c, "\"id\":\"a\""));
	assert_false(saw(&a->c, "\"created\":1767225600"));
	assert_false(saw(&a->c, "\"error\""));
	assert_true(slice_ends(buf_slice(&a->c.seen), DONE));
}

/* The client is told that what it has is not all. */
static void assert_told(struct asking *a)
{
	assert_int_not_equal(a->c.rc, ERR_OK);
	assert_false(saw(&a->c, "[DONE]"));
	assert_true(saw(&a->c, "{\"id\":\"led\",\"object\":\"chat.completion.chunk\","
			       "\"created\":1700000000,\"model\":\"lab/m\",\"error\":"));
	assert_true(saw(&a->c, "The answer ends here: about 1 completion tokens came\""));
	assert_true(slice_ends(buf_slice(&a->c.seen), "\"finish_reason\":\"error\"}]}\n\n"));
}

/* ---- what goes on ---- */

static void who_takes_a_prefill_goes_on_with_it(void **state)
{
	struct asking a = ask_of(SAID_BY("one"));

	(void)state;
	a.prefill = true;
	first.play = says_something_else;
	second.play = goes_on;
	ask(&a);
	assert_hello(&a, "two:ok");
	assert_int_equal(asked_first, 0);
	assert_string_equal(a.tries.answered->route.target.slug, "two");
	/* Three bytes that another request paid for, and two of this one. */
	assert_int_equal(a.tries.res.usage.completion_tokens, 1 + 1);
	end_ask(&a);
}

static void its_own_provider_comes_first(void **state)
{
	struct asking a = ask_of(SAID_BY("two"));

	(void)state;
	first.play = says_hello;
	second.play = says_hello;
	ask(&a);
	assert_hello(&a, "two:ok");
	assert_int_equal(asked_first, 0);
	end_ask(&a);
}

static void who_said_it_need_not_be_known(void **state)
{
	struct asking a = ask_of(SAID_BY("gone"));

	(void)state;
	first.play = says_hello;
	second.play = says_hello;
	ask(&a);
	assert_hello(&a, "one:ok");
	end_ask(&a);
}

static void the_next_is_asked_when_one_says_something_else(void **state)
{
	struct asking a = ask_of(SAID_BY("one"));

	(void)state;
	first.play = says_something_else;
	second.play = says_hello;
	ask(&a);
	assert_hello(&a, "one:invalid, two:ok");
	end_ask(&a);
}

/* ---- what does not ---- */

static void another_answer_is_never_appended(void **state)
{
	struct asking a = ask_of(SAID_BY("one"));

	(void)state;
	first.play = says_something_else;
	second.play = says_something_else;
	ask(&a);
	assert_told(&a);
	assert_false(saw(&a.c, "Good"));
	end_ask(&a);
}

static void without_rescue_nobody_is_asked(void **state)
{
	struct asking a = ask_of(SAID_BY("one"));

	(void)state;
	a.rescue = RESCUE_OFF;
	first.play = says_hello;
	second.play = says_hello;
	ask(&a);
	assert_told(&a);
	assert_int_equal(asked_first + asked_second, 0);
	assert_int_equal(a.tries.count, 0);
	assert_int_equal(a.tries.res.cost.microusd, 0);
	end_ask(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(who_takes_a_prefill_goes_on_with_it),
		cmocka_unit_test(its_own_provider_comes_first),
		cmocka_unit_test(who_said_it_need_not_be_known),
		cmocka_unit_test(the_next_is_asked_when_one_says_something_else),
		cmocka_unit_test(another_answer_is_never_appended),
		cmocka_unit_test(without_rescue_nobody_is_asked),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
