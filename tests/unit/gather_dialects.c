/* Streams and answers as the dialects make them: what was gathered says the same. */
#include "tests/unit/gather_trees.h"

#include "gateway/providers/text.h"

#include <glob.h>

#define FIXTURES "tests/fixtures/*/"

static struct buf read_file(const char *path)
{
	struct buf b = { 0 };
	FILE *f = fopen(path, "rb");
	char bytes[4096];
	size_t n;

	assert_non_null(f);
	while ((n = fread(bytes, 1, sizeof(bytes), f)))
		buf_append(&b, bytes, n);
	fclose(f);
	return b;
}

/* What is said in a choice, added up from trees: the texts, and each call. */
static void add_text(struct json_object *from, const char *name, struct buf *to)
{
	struct json_object *v;

	if (json_object_object_get_ex(from, name, &v) && json_object_is_type(v, json_type_string))
		buf_append(to, json_object_get_string(v), (size_t)json_object_get_string_len(v));
}

enum { TEXT, THOUGHT, CALLS = 2, SUMS = 10 };

static void add_message(struct json_object *message, bool whole, struct buf *sums)
{
	struct json_object *calls;

	add_text(message, "content", &sums[TEXT]);
	add_text(message, "reasoning", &sums[THOUGHT]);
	if (!json_object_object_get_ex(message, "tool_calls", &calls) ||
		!json_object_is_type(calls, json_type_array))
		return;
	for (size_t i = 0; i < json_object_array_length(calls); i++) {
		struct json_object *call = json_object_array_get_idx(calls, i), *function;
		int64_t index = whole ? (int64_t)i : json_member_int(call, "index", -1);

		assert_in_range(index, 0, SUMS - CALLS - 1);
		add_text(call, "id", &sums[CALLS + index]);
		if (json_object_object_get_ex(call, "function", &function))
			add_text(function, "arguments", &sums[CALLS + index]);
	}
}

static void add_choices(struct json_object *tree, bool whole, int64_t index, struct buf *sums)
{
	struct json_object *choices, *message;

	if (!json_object_object_get_ex(tree, "choices", &choices))
		return;
	for (size_t i = 0; i < json_object_array_length(choices); i++) {
		struct json_object *c = json_object_array_get_idx(choices, i);

		if (json_member_int(c, "index", -1) != index)
			continue;
		if (json_object_object_get_ex(c, whole ? "message" : "delta", &message))
			add_message(message, whole, sums);
	}
}

static void compare_sums(const char *path, struct slice events, struct slice answer)
{
	struct json_object *whole = tree_of(answer);

	for (int64_t choice = 0; choice < 3; choice++) {
		struct buf want[SUMS] = { 0 }, got[SUMS] = { 0 };
		struct slice rest = events;

		while (rest.len) {
			struct slice line = slice_cut(&rest, '\n');
			struct json_object *chunk;

			if (!slice_starts(line, "data: {"))
				continue;
			chunk = tree_of(slice_from(line, 6));
			add_choices(chunk, false, choice, want);
			json_object_put(chunk);
		}
		add_choices(whole, true, choice, got);
		for (size_t i = 0; i < SUMS; i++) {
			if (!slice_eq(buf_slice(&want[i]), buf_slice(&got[i])))
				fail_msg("%s: sum %zu: %.*s, not %.*s", path, i,
					SLICE_ARG(buf_slice(&got[i])),
					SLICE_ARG(buf_slice(&want[i])));
			buf_fini(&want[i]);
			buf_fini(&got[i]);
		}
	}
	json_object_put(whole);
}

static void every_stream_of_a_dialect_says_the_same_as_a_whole(void **state)
{
	glob_t found = { 0 };
	size_t whole = 0, failed = 0;

	(void)state;
	assert_int_equal(glob(FIXTURES "*.stream.chat.sse", 0, NULL, &found), 0);
	assert_int_equal(glob(FIXTURES "*.stream.usage.sse", GLOB_APPEND, NULL, &found), 0);
	assert_int_equal(glob(FIXTURES "*.answer.chat.sse", GLOB_APPEND, NULL, &found), 0);
	for (size_t i = 0; i < found.gl_pathc; i++) {
		struct buf events = read_file(found.gl_pathv[i]), out = { 0 };
		struct err e = { 0 };
		enum err_code rc = gather_events(buf_slice(&events), SLICE(""), &out, &e);
		bool complete = slice_ends(buf_slice(&events), "data: [DONE]\n\n");

		if (complete && rc)
			fail_msg("%s: %s", found.gl_pathv[i], e.message);
		if (!complete && !rc)
			fail_msg("%s became a whole answer", found.gl_pathv[i]);
		if (complete)
			compare_sums(found.gl_pathv[i], buf_slice(&events), buf_slice(&out));
		whole += complete;
		failed += !complete;
		buf_fini(&events);
		buf_fini(&out);
	}
	globfree(&found);
	assert_true(whole > 100 && failed > 20); /* they were found */
}

/* Where a call stands says its place in the list; some providers say it again. */
static void drop_indexes(struct json_object *message)
{
	struct json_object *calls;

	if (!json_object_object_get_ex(message, "tool_calls", &calls) ||
		!json_object_is_type(calls, json_type_array))
		return;
	for (size_t i = 0; i < json_object_array_length(calls); i++)
		json_object_object_del(json_object_array_get_idx(calls, i), "index");
}

/* What answer_write_events() says of an answer: all but what is in no message. */
static struct json_object *as_told(struct json_object *answer)
{
	static const char *const head[] = { "id", "object", "created", "model", "provider",
		"system_fingerprint" };
	struct json_object *told = json_object_new_object(), *choices, *list, *v;

	for (size_t i = 0; i < sizeof(head) / sizeof(head[0]); i++)
		if (json_object_object_get_ex(answer, head[i], &v))
			json_object_object_add(told, head[i], json_object_get(v));
	assert_true(json_object_object_get_ex(answer, "choices", &choices));
	list = json_object_new_array();
	for (size_t i = 0; i < json_object_array_length(choices); i++) {
		struct json_object *c = json_object_array_get_idx(choices, i),
				   *to = json_object_new_object();

		assert_true(json_object_object_get_ex(c, "message", &v));
		drop_indexes(v);
		if (!json_object_object_get_ex(v, "refusal", NULL))
			json_object_object_add(v, "refusal", NULL);
		json_object_object_add(to, "message", json_object_get(v));
		json_object_object_add(
			to, "index", json_object_new_int64(json_member_int(c, "index", -1)));
		if (!json_object_object_get_ex(c, "logprobs", &v))
			v = NULL;
		json_object_object_add(to, "logprobs", v ? json_object_get(v) : NULL);
		json_object_object_add(to, "finish_reason",
			json_object_new_string(json_member_str(c, "finish_reason", "")));
		json_object_array_add(list, to);
	}
	json_object_object_add(told, "choices", list);
	return told;
}

static void an_answer_that_was_told_as_events_is_the_same_again(void **state)
{
	glob_t found = { 0 };
	size_t tried = 0;

	(void)state;
	assert_int_equal(glob(FIXTURES "*.answer.chat.json", 0, NULL, &found), 0);
	for (size_t i = 0; i < found.gl_pathc; i++) {
		struct answer a = { .json = read_file(found.gl_pathv[i]) };
		struct buf events = { 0 }, again = { 0 };
		struct json_object *want, *got, *whole;

		if (slice_starts(buf_slice(&a.json), "{")) {
			assert_int_equal(answer_write_events(&a, &events, NULL), ERR_OK);
			again = gathered(found.gl_pathv[i], buf_slice(&events), SLICE(""));
			whole = tree_of(buf_slice(&a.json));
			want = as_told(whole);
			got = tree_of(buf_slice(&again));
			assert_same_json(found.gl_pathv[i], got, want);
			json_object_put(want);
			json_object_put(got);
			json_object_put(whole);
			tried++;
		}
		buf_fini(&events);
		buf_fini(&again);
		answer_fini(&a);
	}
	globfree(&found);
	assert_true(tried > 10);
}

static void a_completion_that_was_told_as_events_is_the_same_again(void **state)
{
	static const struct {
		const struct provider *dialect;
		const char *answer;
	} whole[] = {
		{ &provider_text, "{\"id\":\"c\",\"object\":\"text_completion\",\"created\":7,"
				  "\"model\":\"m\",\"choices\":["
				  "{\"index\":0,\"text\":\"a\\n\",\"logprobs\":null,\"finish_"
				  "reason\":\"stop\"}],"
				  "\"usage\":{\"total_tokens\":2}}" },
		{ &provider_fim, "{\"id\":\"c\",\"object\":\"fim.completion\",\"created\":7,"
				 "\"model\":\"m\",\"choices\":[{"
				 "\"index\":0,\"text\":\"a\\n\",\"message\":{\"role\":"
				 "\"assistant\",\"content\":"
				 "\"a\\n\"},\"finish_reason\":\"length\"}]}" },
	};

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct answer a = { .finish_reason = "" };
		struct buf events = { 0 }, again;
		struct json_object *got, *want = tree_of(slice_of(whole[i].answer));

		buf_str(&a.json, whole[i].answer);
		assert_int_equal(whole[i].dialect->write_events(&a, &events, NULL), ERR_OK);
		again = gathered(whole[i].dialect->name, buf_slice(&events), SLICE(""));
		got = tree_of(buf_slice(&again));
		assert_same_json(whole[i].dialect->name, got, want);
		json_object_put(got);
		json_object_put(want);
		buf_fini(&events);
		buf_fini(&again);
		answer_fini(&a);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_stream_of_a_dialect_says_the_same_as_a_whole),
		cmocka_unit_test(an_answer_that_was_told_as_events_is_the_same_again),
		cmocka_unit_test(a_completion_that_was_told_as_events_is_the_same_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
