/* Any bytes, read as a list of messages: what is repaired is a request, needs no repair, and every
 * call has exactly one result in its group. */
#include "gateway/chat.h"
#include "gateway/providers/tool_repair.h"

#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(claim) \
	do { \
		if (!(claim)) { \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #claim); \
			abort(); \
		} \
	} while (0)

static const struct json_limits limits = { .max_depth = 64, .max_keys = 1000 };

static bool is_same(struct json_value a, struct json_value b)
{
	struct buf x = { 0 }, y = { 0 };
	bool same = json_str_decode(a, &x) && json_str_decode(b, &y) &&
		    slice_eq(buf_slice(&x), buf_slice(&y));

	buf_fini(&x);
	buf_fini(&y);
	return same;
}

/* How many of these calls, or results up to the next assistant's message, have this id. */
static unsigned count_calls(struct json_value calls, struct json_value id)
{
	struct json_value call;
	struct json_iter it;
	struct slice none;
	unsigned n = 0;

	json_iter_init(&it, calls);
	while (calls.kind == JSON_ARRAY && json_iter_next(&it, &none, &call))
		n += is_same(json_get(call, "id"), id);
	return n;
}

static unsigned count_results(struct json_iter it, struct json_value id)
{
	struct json_value message, role;
	struct slice none;
	unsigned n = 0;

	while (json_iter_next(&it, &none, &message)) {
		role = json_get(message, "role");
		if (json_str_is(role.raw, "assistant"))
			break;
		if (json_str_is(role.raw, "tool"))
			n += is_same(json_get(message, "tool_call_id"), id);
	}
	return n;
}

static void demand_pairs(struct json_value messages)
{
	struct json_value message, role, call, calls = { JSON_ABSENT, { "", 0 } };
	struct json_iter it, each;
	struct slice none;

	json_iter_init(&it, messages);
	while (json_iter_next(&it, &none, &message)) {
		role = json_get(message, "role");
		if (json_str_is(role.raw, "tool") &&
			json_get(message, "tool_call_id").kind == JSON_STRING)
			CHECK(count_calls(calls, json_get(message, "tool_call_id")) == 1);
		if (!json_str_is(role.raw, "assistant"))
			continue;
		calls = json_get(message, "tool_calls");
		json_iter_init(&each, calls);
		while (calls.kind == JSON_ARRAY && json_iter_next(&each, &none, &call)) {
			if (json_get(call, "id").kind != JSON_STRING)
				continue;
			CHECK(count_calls(calls, json_get(call, "id")) == 1);
			CHECK(count_results(it, json_get(call, "id")) == 1);
		}
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf body = { 0 }, once = { 0 }, twice = { 0 };
	struct chat_req req;
	struct err e = { 0 };

	buf_str(&body, "{\"model\":\"m\",\"messages\":[");
	buf_append(&body, data, size);
	buf_str(&body, "]}");
	if (chat_parse(buf_slice(&body), &limits, &req, &e))
		goto out;
	if (tool_repair(&req, &once, &e)) {
		CHECK(e.code == ERR_BAD_REQUEST && strcmp(e.param, "messages") == 0);
		goto out;
	}
	if (once.len) {
		CHECK(chat_parse(buf_slice(&once), &limits, &req, &e) == ERR_OK);
		CHECK(tool_repair(&req, &twice, &e) == ERR_OK);
		CHECK(!twice.len);
	}
	demand_pairs(req.field[CHAT_MESSAGES].value);
out:
	buf_fini(&body);
	buf_fini(&once);
	buf_fini(&twice);
	return 0;
}
