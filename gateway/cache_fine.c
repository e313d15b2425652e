/* gateway/cache_fine.c - what may be remembered (contract: cache_key.h). */
#include "gateway/cache_key.h"

#include <stdlib.h>

/* ---- the request ---- */

/* A JSON number; false when there is none, or it is longer than anybody writes it. */
static bool read_number(struct json_value v, double *out)
{
	char text[64], *end;

	if (v.kind != JSON_NUMBER || !slice_copy(v.raw, text, sizeof(text)))
		return false;
	*out = strtod(text, &end);
	return !*end;
}

bool cache_temperature_is_fine(const struct chat_req *req, int64_t max_millionths)
{
	struct json_value temperature = { .raw = SLICE("") }, v;
	struct json_iter it;
	struct slice key;
	double said = 1;

	json_iter_init(&it, (struct json_value){ JSON_OBJECT, req->body });
	while (json_iter_next(&it, &key, &v)) {
		if (json_str_is(key, "temperature"))
			temperature = v;
		/* random_seed: openai-chat.md section 14.1 */
		else if (v.kind == JSON_NUMBER &&
			 (json_str_is(key, "seed") || json_str_is(key, "random_seed")))
			return true;
	}
	if (temperature.kind != JSON_ABSENT && temperature.kind != JSON_NULL &&
		!read_number(temperature, &said))
		return false;
	/* Both are the double that is nearest to the same decimal, when they say the same. */
	return said <= (double)max_millionths / 1e6;
}

/* ---- the answer ---- */

static bool finish_is_fine(struct slice reason, bool tool_calls)
{
	return slice_is(reason, "stop") || slice_is(reason, "length") ||
	       (tool_calls &&
		       (slice_is(reason, "tool_calls") || slice_is(reason, "function_call")));
}

static bool refuses(struct json_value parts)
{
	struct json_iter it;
	struct json_value part;
	struct slice none;

	if (parts.kind != JSON_ARRAY)
		return false;
	json_iter_init(&it, parts);
	while (json_iter_next(&it, &none, &part))
		if (json_str_is(json_get(part, "type").raw, "refusal"))
			return true;
	return false;
}

static bool words_are_fine(struct json_value message, bool tool_calls)
{
	struct json_iter it;
	struct json_value v;
	struct slice key;

	if (message.kind != JSON_OBJECT)
		return true;
	json_iter_init(&it, message);
	while (json_iter_next(&it, &key, &v)) {
		if (json_str_is(key, "refusal") && json_is_truthy(v))
			return false;
		if (json_str_is(key, "content") && refuses(v))
			return false;
		if (!tool_calls && json_is_truthy(v) &&
			(json_str_is(key, "tool_calls") || json_str_is(key, "function_call")))
			return false;
	}
	return true;
}

/* whole: all of the choice, which has then finished. */
static bool choice_is_fine(struct json_value choice, bool whole, bool tool_calls)
{
	struct json_iter it;
	struct json_value v;
	struct slice key;
	char reason[32];
	bool finished = false;

	json_iter_init(&it, choice);
	while (json_iter_next(&it, &key, &v)) {
		if ((json_str_is(key, "message") || json_str_is(key, "delta")) &&
			!words_are_fine(v, tool_calls))
			return false;
		if (json_str_is(key, "finish_reason") && json_is_truthy(v)) {
			finished = true;
			if (!json_str_copy(v, reason, sizeof(reason)) ||
				!finish_is_fine(slice_of(reason), tool_calls))
				return false;
		}
		if (json_str_is(key, "error") && json_is_truthy(v))
			return false;
	}
	return finished || !whole;
}

static bool object_is_fine(struct slice text, bool whole, bool tool_calls)
{
	struct json_iter it, choices;
	struct json_value v, choice;
	struct slice key;

	json_iter_init(&it, (struct json_value){ JSON_OBJECT, slice_trim(text) });
	while (json_iter_next(&it, &key, &v)) {
		if (json_str_is(key, "error") && json_is_truthy(v))
			return false;
		if (!json_str_is(key, "choices") || v.kind != JSON_ARRAY)
			continue;
		json_iter_init(&choices, v);
		while (json_iter_next(&choices, &key, &choice))
			if (!choice_is_fine(choice, whole, tool_calls))
				return false;
	}
	return true;
}

bool cache_answer_is_fine(
	enum cache_form form, struct slice body, const char *finish_reason, bool tool_calls)
{
	static const char data[] = "data: ";

	if (!finish_is_fine(slice_of(finish_reason), tool_calls))
		return false;
	if (form == CACHE_WHOLE)
		return object_is_fine(body, true, tool_calls);
	while (body.len) {
		struct slice line = slice_cut(&body, '\n');

		if (slice_starts(line, data) &&
			!object_is_fine(slice_from(line, strlen(data)), false, tool_calls))
			return false;
	}
	return true;
}
