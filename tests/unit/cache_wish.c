#include "gateway/cache_key.h"

#include "gateway/chat.h"

#include <setjmp.h>
#include <stdlib.h>
#include <cmocka.h>

#define TTL_MAX 3600000

static const struct json_limits limits = { .max_depth = 64, .max_keys = 1000 };

/* The value of {"cache":…}; absent when text is NULL. */
static struct json_value field_of(const char *text)
{
	struct json_value v = { .raw = SLICE("") };

	if (text) {
		v.raw = slice_of(text);
		assert_int_equal(json_validate(v.raw, &limits, &v.kind, NULL), ERR_OK);
	}
	return v;
}

struct wished {
	const char *control, *own, *cache;
	struct cache_wish want;
};

#define WISH(...) \
	{ \
		.max_age_ms = -1, .ttl_ms = -1, __VA_ARGS__ \
	}
#define PLAIN \
	{ \
		.max_age_ms = -1, .ttl_ms = -1 \
	}

static void what_is_asked_for_is_understood(void **state)
{
	static const struct wished rows[] = {
		{ NULL, NULL, NULL, PLAIN },
		{ "", "", "null", PLAIN },
		/* RFC 9111 section 5.2.1 */
		{ "no-cache", NULL, NULL, WISH(.refresh = true) },
		{ "No-Cache", NULL, NULL, WISH(.refresh = true) },
		{ "no-store", NULL, NULL, WISH(.no_store = true) },
		{ "only-if-cached", NULL, NULL, WISH(.only_if_cached = true) },
		{ "max-age=60", NULL, NULL, { .max_age_ms = 60000, .ttl_ms = -1 } },
		{ "max-age=\"60\"", NULL, NULL, { .max_age_ms = 60000, .ttl_ms = -1 } },
		{ "max-age=0", NULL, NULL, { .max_age_ms = 0, .ttl_ms = -1 } },
		{ "max-age=99999999999999999999999", NULL, NULL,
			{ .max_age_ms = INT64_C(2147483648000), .ttl_ms = -1 } },
		{ "max-age=60, max-age=30", NULL, NULL, { .max_age_ms = 30000, .ttl_ms = -1 } },
		{ "no-transform, max-stale=5, min-fresh=2, extension=\"no-store, no-cache\"", NULL,
			NULL, PLAIN },
		{ "x=\"\\\", no-store\"", NULL, NULL, PLAIN },
		{ " , no-store ,, only-if-cached ", NULL, NULL,
			WISH(.no_store = true, .only_if_cached = true) },
		/* ours */
		{ NULL, "skip", NULL, WISH(.skip = true) },
		{ NULL, "Refresh", NULL, WISH(.refresh = true) },
		{ NULL, "ttl=90", NULL, { .max_age_ms = -1, .ttl_ms = 90000 } },
		{ NULL, "ttl=2m", NULL, { .max_age_ms = -1, .ttl_ms = 120000 } },
		{ NULL, "ttl=1h", NULL, { .max_age_ms = -1, .ttl_ms = TTL_MAX } },
		{ NULL, "refresh, ttl=250ms", NULL,
			{ .refresh = true, .max_age_ms = -1, .ttl_ms = 250 } },
		{ NULL, "ttl=2m,ttl=1m", NULL, { .max_age_ms = -1, .ttl_ms = 60000 } },
		{ NULL, "ttl=0", NULL, { .no_store = true, .max_age_ms = -1, .ttl_ms = 0 } },
		/* peers */
		{ NULL, NULL, "true", PLAIN },
		{ NULL, NULL, "false", WISH(.skip = true) },
		{ NULL, NULL, "{}", PLAIN },
		{ NULL, NULL, "{\"no-cache\":true}", WISH(.refresh = true) },
		{ NULL, NULL, "{\"no-cache\":false,\"no-store\":false,\"use-cache\":true}", PLAIN },
		{ NULL, NULL, "{\"no-store\":true}", WISH(.no_store = true) },
		{ NULL, NULL, "{\"use-cache\":false}", WISH(.skip = true) },
		{ NULL, NULL, "{\"ttl\":60,\"s-maxage\":10}",
			{ .max_age_ms = 10000, .ttl_ms = 60000 } },
		{ NULL, NULL, "{\"ttl\":null,\"no-cache\":null}", PLAIN },
		{ NULL, NULL, "{\"mode\":\"simple\"}", WISH(.no_semantic = true) },
		{ NULL, NULL, "{\"mode\":\"semantic\",\"max_age\":86400}",
			{ .max_age_ms = 86400000, .ttl_ms = -1 } },
		{ NULL, NULL, "{\"max_age\":99999999999}",
			{ .max_age_ms = INT64_C(2147483648000), .ttl_ms = -1 } },
		/* all of them: the most cautious counts */
		{ "max-age=60,no-store", "ttl=5m",
			"{\"s-maxage\":90,\"ttl\":60,\"mode\":\"simple\"}",
			{ .no_store = true,
				.no_semantic = true,
				.max_age_ms = 60000,
				.ttl_ms = 60000 } },
		{ NULL, "refresh", "false", WISH(.refresh = true, .skip = true) },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct cache_wish *want = &rows[i].want;
		struct cache_wish got;
		struct err e = { 0 };
		enum err_code rc = cache_wish_read(
			rows[i].control, rows[i].own, field_of(rows[i].cache), TTL_MAX, &got, &e);

		if (rc)
			fail_msg("row %zu: %s", i, e.message);
		if (want->skip != got.skip || want->refresh != got.refresh ||
			want->no_store != got.no_store ||
			want->only_if_cached != got.only_if_cached ||
			want->no_semantic != got.no_semantic ||
			want->max_age_ms != got.max_age_ms || want->ttl_ms != got.ttl_ms)
			fail_msg("row %zu", i);
	}
}

static void what_is_not_understood_is_refused_by_its_name(void **state)
{
	static const struct {
		const char *control, *own, *cache, *param, *says;
	} rows[] = {
		{ "max-age", NULL, NULL, "Cache-Control", "max-age=60" },
		{ "no-store, max-age=1.5", NULL, NULL, "Cache-Control", "seconds" },
		{ "max-age=-1", NULL, NULL, "Cache-Control", "seconds" },
		{ NULL, "off", NULL, "x-gateway-cache", "skip, refresh and ttl=" },
		{ NULL, "skip, whatever", NULL, "x-gateway-cache", "skip, refresh" },
		{ NULL, "skip=1", NULL, "x-gateway-cache", "skip, refresh" },
		{ NULL, "ttl", NULL, "x-gateway-cache", "ttl=90s" },
		{ NULL, "ttl=soon", NULL, "x-gateway-cache", "ttl=90s" },
		{ NULL, "ttl=3601", NULL, "x-gateway-cache", "3600 seconds" },
		{ NULL, "ttl=2h", NULL, "x-gateway-cache", "GATEWAY_CACHE_TTL" },
		{ NULL, NULL, "\"skip\"", "cache", "true, false, or an object" },
		{ NULL, NULL, "[]", "cache", "object" },
		{ NULL, NULL, "1", "cache", "object" },
		{ NULL, NULL, "{\"ttl\":3601}", "cache.ttl", "GATEWAY_CACHE_TTL" },
		{ NULL, NULL, "{\"ttl\":-1}", "cache.ttl", "seconds" },
		{ NULL, NULL, "{\"ttl\":\"60\"}", "cache.ttl", "seconds" },
		{ NULL, NULL, "{\"max_age\":0.5}", "cache.max_age", "seconds" },
		{ NULL, NULL, "{\"no-cache\":1}", "cache.no-cache", "true or false" },
		{ NULL, NULL, "{\"mode\":\"exact\"}", "cache.mode", "simple" },
		{ NULL, NULL, "{\"mode\":true}", "cache.mode", "simple" },
		{ NULL, NULL, "{\"namespace\":\"a\"}", "cache.namespace", "no-cache" },
		{ NULL, NULL, "{\"\":1}", "cache", "no-cache" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct cache_wish got;
		struct err e = { 0 };

		assert_int_equal(cache_wish_read(rows[i].control, rows[i].own,
					 field_of(rows[i].cache), TTL_MAX, &got, &e),
			ERR_BAD_REQUEST);
		assert_string_equal(e.param, rows[i].param);
		if (!strstr(e.message, rows[i].says))
			fail_msg("row %zu: %s", i, e.message);
		assert_false(got.skip || got.refresh || got.no_store); /* nothing by halves */
	}
}

static void the_member_is_taken_out_and_the_rest_stays_as_it_was(void **state)
{
	static const struct {
		const char *body, *without;
	} rows[] = {
		{ "{\"a\":1}", "{\"a\":1}" },
		{ "{\"cache\":true}", "{}" },
		{ "{ \"cache\" : {\"ttl\":1} , \"a\" : 1.0 }", "{\"a\" : 1.0 }" },
		{ "{\"a\":1,\"c\\u0061che\":[],\"b\":\"\\u0041\"}", "{\"a\":1,\"b\":\"\\u0041\"}" },
		{ "{\"a\":{\"cache\":1},\"cache\":1}", "{\"a\":{\"cache\":1}}" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct chat_req req = { .body = slice_of(rows[i].body) };
		struct buf out = { 0 };

		cache_wish_remove(&req, &out);
		assert_int_equal(json_validate(buf_slice(&out), &limits, NULL, NULL), ERR_OK);
		if (!slice_is(buf_slice(&out), rows[i].without))
			fail_msg("row %zu: %.*s", i, SLICE_ARG(buf_slice(&out)));
		buf_fini(&out);
	}
}

static void a_hot_request_without_a_seed_is_not_remembered(void **state)
{
	static const struct {
		const char *body;
		int64_t max;
		bool fine;
	} rows[] = {
		{ "{}", 1000000, true },
		{ "{}", 999999, false },
		{ "{\"temperature\":null}", 999999, false },
		{ "{\"temperature\":0}", 0, true },
		{ "{\"temperature\":0.7}", 700000, true },
		{ "{\"temperature\":7e-1}", 700000, true },
		{ "{\"temperature\":0.1}", 100000, true },
		{ "{\"temperature\":0.700001}", 700000, false },
		{ "{\"temperature\":1.9}", 2000000, true },
		{ "{\"temperature\":2.1}", 2000000, false },
		{ "{\"temperature\":\"0\"}", 2000000, false },
		{ "{\"temperature\":1.9,\"seed\":4}", 0, true },
		{ "{\"seed\":0}", 0, true },
		{ "{\"random_seed\":4}", 0, true },
		{ "{\"seed\":null}", 0, false },
		{ "{\"x\":{\"seed\":4}}", 0, false },
		{ "{\"x\":{\"temperature\":4}}", 1000000, true },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct chat_req req = { .body = slice_of(rows[i].body) };

		if (cache_temperature_is_fine(&req, rows[i].max) != rows[i].fine)
			fail_msg("%s at %lld", rows[i].body, (long long)rows[i].max);
	}
}

#define WHOLE(message, finish) \
	"{\"choices\":[{\"index\":0,\"message\":" message ",\"finish_reason\":" finish "}]}"
#define EVENT(delta, finish) \
	"data: {\"choices\":[{\"index\":0,\"delta\":" delta ",\"finish_reason\":" finish "}]}\n\n"
#define CALLS "{\"content\":null,\"tool_calls\":[{\"id\":\"a\"}]}"

static void only_answers_that_are_whole_and_willing_are_remembered(void **state)
{
	static const struct {
		const char *body, *finish;
		enum cache_form form;
		bool tool_calls, fine;
	} rows[] = {
		{ WHOLE("{\"content\":\"a\",\"refusal\":null}", "\"stop\""), "stop", CACHE_WHOLE,
			false, true },
		{ WHOLE("{\"content\":\"a\"}", "\"length\""), "length", CACHE_WHOLE, false, true },
		{ WHOLE("{\"content\":\"a\"}", "null"), "stop", CACHE_WHOLE, false, false },
		{ WHOLE("{\"content\":\"a\"}", "\"content_filter\""), "content_filter", CACHE_WHOLE,
			false, false },
		{ WHOLE("{\"content\":\"a\"}", "\"content_filter\""), "stop", CACHE_WHOLE, false,
			false },
		{ WHOLE("{\"content\":\"a\"}", "\"stop\""), "", CACHE_WHOLE, false, false },
		{ WHOLE("{\"content\":\"a\"}", "\"stop\""), "error", CACHE_WHOLE, true, false },
		{ WHOLE("{\"content\":null,\"refusal\":\"No.\"}", "\"stop\""), "stop", CACHE_WHOLE,
			true, false },
		{ WHOLE("{\"content\":[{\"type\":\"refusal\",\"refusal\":\"No.\"}]}", "\"stop\""),
			"stop", CACHE_WHOLE, true, false },
		{ WHOLE("{\"content\":[{\"type\":\"text\",\"text\":\"a\"}]}", "\"stop\""), "stop",
			CACHE_WHOLE, true, true },
		{ WHOLE(CALLS, "\"tool_calls\""), "tool_calls", CACHE_WHOLE, false, false },
		{ WHOLE(CALLS, "\"tool_calls\""), "tool_calls", CACHE_WHOLE, true, true },
		{ WHOLE(CALLS, "\"stop\""), "stop", CACHE_WHOLE, false, false },
		{ WHOLE("{\"content\":\"a\",\"tool_calls\":[]}", "\"stop\""), "stop", CACHE_WHOLE,
			false, true },
		{ WHOLE("{\"function_call\":{\"name\":\"a\"}}", "\"stop\""), "stop", CACHE_WHOLE,
			false, false },
		{ "{\"error\":{\"message\":\"m\"},\"choices\":[]}", "stop", CACHE_WHOLE, false,
			false },
		{ "{\"choices\":[{\"index\":0,\"text\":\"a\",\"finish_reason\":\"stop\"}]}", "stop",
			CACHE_WHOLE, false, true },
		/* the second of two choices */
		{ "{\"choices\":[{\"message\":{},\"finish_reason\":\"stop\"},{\"message\":{"
		  "\"refusal\":"
		  "\"No.\"},\"finish_reason\":\"stop\"}]}",
			"stop", CACHE_WHOLE, false, false },
		{ EVENT("{\"content\":\"a\"}", "null") EVENT("{}", "\"stop\""), "stop",
			CACHE_EVENTS, false, true },
		{ ": hello\n\n" EVENT("{\"content\":\"a\"}", "\"length\""), "length", CACHE_EVENTS,
			false, true },
		{ EVENT("{\"refusal\":\"No\"}", "null") EVENT("{}", "\"stop\""), "stop",
			CACHE_EVENTS, false, false },
		{ EVENT(CALLS, "null") EVENT("{}", "\"stop\""), "stop", CACHE_EVENTS, false,
			false },
		{ EVENT(CALLS, "null") EVENT("{}", "\"tool_calls\""), "tool_calls", CACHE_EVENTS,
			true, true },
		{ EVENT("{\"content\":\"a\"}", "null") EVENT("{}", "\"error\""), "stop",
			CACHE_EVENTS, false, false },
		{ EVENT("{}",
			  "\"stop\"") "data: {\"error\":{\"message\":\"m\"},\"choices\":[]}\n\n",
			"stop", CACHE_EVENTS, false, false },
		{ "data: {\"choices\":[{\"error\":{\"message\":\"m\"}}]}\n\n", "stop", CACHE_EVENTS,
			false, false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (cache_answer_is_fine(rows[i].form, slice_of(rows[i].body), rows[i].finish,
			    rows[i].tool_calls) != rows[i].fine)
			fail_msg("%s", rows[i].body);
	assert_false(cache_answer_is_fine(CACHE_WHOLE, SLICE("{}"), NULL, true));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_asked_for_is_understood),
		cmocka_unit_test(what_is_not_understood_is_refused_by_its_name),
		cmocka_unit_test(the_member_is_taken_out_and_the_rest_stays_as_it_was),
		cmocka_unit_test(a_hot_request_without_a_seed_is_not_remembered),
		cmocka_unit_test(only_answers_that_are_whole_and_willing_are_remembered),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
