/* tests/unit/attempts_two.h - a request that is tried with two providers, "one" and "two", whose
 * every byte is written by the test. */
#ifndef TESTS_UNIT_ATTEMPTS_TWO_H
#define TESTS_UNIT_ATTEMPTS_TWO_H

#include "gateway/attempts.h"
#include "tests/unit/scripted.h"

static struct provider_script first, second;
static struct pump *pump;
static atomic_int asked_first, asked_second; /* requests */

static inline int set_up(void **state)
{
	(void)state;
	script_start(&first, NULL);
	script_start(&second, NULL);
	pump = new_pump("");
	return 0;
}

static inline int tear_down(void **state)
{
	(void)state;
	pump_stop(pump);
	script_stop(&first);
	script_stop(&second);
	return 0;
}

/* ---- what providers do ---- */

static inline int count(struct peer *p)
{
	return p->server == &first ? ++asked_first : ++asked_second;
}

static inline bool play(struct peer *p, const char *events)
{
	count(p);
	say_events_head(p);
	say_chunk(p, events);
	say_chunk(p, "");
	return true;
}

static inline bool goes_on(struct peer *p)
{
	return play(p, CHUNK("{\"role\":\"assistant\",\"content\":\"lo\"}", "null") STOP DONE);
}

static inline bool says_something_else(struct peer *p)
{
	return play(
		p, CHUNK("{\"role\":\"assistant\",\"content\":\"Good day\"}", "null") STOP DONE);
}

static inline bool streams(struct peer *p)
{
	return play(p, HELLO CHUNK("{\"content\":\"lo\"}", "null") STOP DONE);
}

/* ---- one request ---- */

struct asking {
	struct call c;
	const char *spoken; /* what the client has already of somebody else's; NULL = nothing */
	unsigned most;
	enum conf_rescue rescue;
	int64_t first_token_ms, deadline_ms;
	bool prefill; /* the second takes one */
	unsigned providers;
	/* after */
	struct attempts tries;
	char words[256]; /* of the attempts */
};

static inline struct asking ask_of(bool stream)
{
	return (struct asking){ .c = call_of(stream),
		.most = 4,
		.rescue = RESCUE_CONTINUE,
		.first_token_ms = 10000,
		.deadline_ms = 20000,
		.providers = 2 };
}

static inline enum err_code prepare(
	void *ctx, const struct candidate *c, struct attempt_shape *shape, struct err *e)
{
	const struct asking *a = ctx;

	(void)c;
	(void)e;
	shape->first_byte_ms = 5000;
	shape->idle_ms = 5000;
	shape->first_token_ms = a->first_token_ms;
	return ERR_OK;
}

static inline void ask(struct asking *a)
{
	static const struct json_limits limits = { .max_depth = 20, .max_keys = 100 };
	static const struct sink_head head = { .status = 200, .streaming = true, .length = -1 };
	static const char stream[] = "{\"model\":\"lab/m\",\"messages\":[{\"role\":\"user\","
				     "\"content\":\"Hi\"}],\"stream\":true}",
			  whole[] = "{\"model\":\"lab/m\",\"messages\":[{\"role\":\"user\","
				    "\"content\":\"Hi\"}]}";
	/* What is asked about afterwards points to them. */
	static char url[2][64];
	static struct candidate at[2];
	static struct plan plan;
	struct chat_req req;
	struct out out;
	struct buf text = { 0 };
	const char *said;

	plan = (struct plan){ at, a->providers };
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
	assert_int_equal(
		chat_parse(a->c.stream ? slice_of(stream) : slice_of(whole), &limits, &req, NULL),
		ERR_OK);
	if (a->c.client[0] < 0)
		open_client(&a->c);
	out_init(&out, a->c.client[1], false, 1);
	if (a->spoken) {
		assert_int_equal(sink_begin(&out.sink, &head), SINK_OK);
		assert_int_equal(sink_write(&out.sink, slice_of(a->spoken)), SINK_OK);
	}
	a->tries = (struct attempts){ .pump = pump,
		.plan = &plan,
		.conf = a->c.conf,
		.req = &req,
		.client = &out.sink,
		.head = SLICE("X-Request-Id: req_1\r\n"),
		.request_id = "req_1",
		.begun_ms = clock_mono_ms(),
		.deadline_ms = clock_mono_ms() + a->deadline_ms,
		.most = a->most,
		.rescue = a->rescue,
		.limits = &limits,
		.spoken = a->spoken ? slice_of(a->spoken) : SLICE(""),
		.prepare = prepare,
		.ctx = a };
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

static inline void end_ask(struct asking *a)
{
	attempts_fini(&a->tries);
	end_call(&a->c);
}

#endif
