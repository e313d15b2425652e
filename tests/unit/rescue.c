/* What a client reads of a stream that was rescued (gateway/rescue.h). */
#include "gateway/providers/openai_like.h"
#include "gateway/said.h"

#include <glob.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

/* ---- chunks ---- */

#define CHUNK_MAX 4096

struct chunk {
	char text[CHUNK_MAX];
};

/* A chunk of the attempt called id. */
static void make(struct chunk *c, const char *id, const char *delta, const char *finish)
{
	int n = snprintf(c->text, sizeof(c->text),
		"{\"id\":\"%s\",\"object\":\"chat.completion.chunk\",\"created\":%d,\"model\":"
		"\"lab/%s\",\"choices\":[{\"index\":0,\"delta\":{%s},\"logprobs\":null,"
		"\"finish_reason\":%s}]}",
		id, id[0], id, delta, finish);

	assert_true(n > 0 && n < CHUNK_MAX);
}

static struct slice text_of(const char *delta)
{
	static struct chunk c;

	make(&c, "new", delta, "null");
	return slice_of(c.text);
}

/* The same with a finish reason. */
static struct slice end_of(const char *delta)
{
	static struct chunk c;

	make(&c, "new", delta, "\"stop\"");
	return slice_of(c.text);
}

/* What a client has after these deltas, the last of them NULL. */
static struct said *told(const char *const *deltas)
{
	struct said *s = NULL;
	struct chunk c = { "" };

	for (; *deltas; deltas++) {
		make(&c, "old", *deltas, "null");
		said_note(&s, slice_of(c.text));
	}
	return s;
}
#define TOLD(...) told((const char *const[]){ __VA_ARGS__, NULL })

static void expect_take(
	struct rescue *r, const char *delta, enum rescue_take take, const char *want)
{
	struct slice out;
	struct chunk c = { "" };

	assert_int_equal(rescue_chunk(r, text_of(delta), &out), take);
	if (take != RESCUE_PASS)
		return;
	make(&c, "old", want, "null");
	assert_int_equal(out.len, strlen(c.text));
	assert_memory_equal(out.ptr, c.text, out.len);
}
#define HOLDS(r, delta)        expect_take(r, delta, RESCUE_HOLD, "")
#define DIFFERS(r, delta)      expect_take(r, delta, RESCUE_DIFFERS, "")
#define PASSES(r, delta, want) expect_take(r, delta, RESCUE_PASS, want)

/* ---- a client that adds up ---- */

/* All that the choice has come to, as one text. */
static void add_up(const struct said *s, struct buf *out)
{
	assert_non_null(s);
	buf_reset(out);
	buf_printf(out, "%s%s|", s->role ? "assistant" : "", s->finished ? " finished" : "");
	buf_slice_append(out, buf_slice(&s->text));
	for (size_t i = 0; i < s->call_count; i++) {
		buf_printf(out, "|%lld ", (long long)s->calls[i].index);
		buf_slice_append(out, buf_slice(&s->calls[i].name));
		buf_slice_append(out, buf_slice(&s->calls[i].arguments));
	}
	assert_true(buf_ok(out));
}

static void see(struct said **s, struct slice chunk)
{
	char *copy = malloc(chunk.len); /* gone at once: nothing may point into it */

	assert_non_null(copy);
	memcpy(copy, chunk.ptr, chunk.len);
	assert_int_equal(
		json_validate((struct slice){ copy, chunk.len }, &tongue_limits, NULL, NULL),
		ERR_OK);
	said_note(s, (struct slice){ copy, chunk.len });
	free(copy);
}

/* The rest of a stream that died is taken from these chunks. */
static void rescue_with(struct said **s, enum rescue_way way, const struct chunk *c, size_t n)
{
	struct rescue *r = rescue_begin(*s, way);
	struct slice out;

	assert_non_null(r);
	for (size_t i = 0; i < n; i++) {
		enum rescue_take take = rescue_chunk(r, slice_of(c[i].text), &out);

		assert_int_not_equal(take, RESCUE_DIFFERS);
		if (take == RESCUE_PASS)
			see(s, out);
	}
	assert_true(rescue_is_whole(r));
	rescue_fini(r);
}

/* ---- texts cut anywhere ---- */

/* The characters of an answer, each in the ways it may be spelled. */
static const struct {
	const char *raw, *escaped;
} letters[] = { { "H", "\\u0048" }, { "\u00e9", "\\u00e9" }, { "l", "l" },
	{ "\U0001f600", "\\ud83d\\uDE00" }, { "\\n", "\\u000A" }, { "\\\"", "\\u0022" },
	{ "\\\\", "\\u005c" }, { " ", "\\u0020" }, { "\u65e5", "\\u65E5" },
	{ "a\u0301", "a\\u0301" }, { "/", "\\/" },
	{ "\U0001f468\u200d\U0001f469", "\\ud83d\\udc68\u200d\\ud83d\\udc69" }, { "}", "}" },
	{ "\\t", "\t" }, { ".", "." } };
#define LETTERS (sizeof(letters) / sizeof(letters[0]))

/* The whole answer in chunks of so many letters: role, texts, finish. Returns how many. */
static size_t spell(struct chunk *c, const char *id, bool escaped, size_t step)
{
	size_t n = 0;

	make(&c[n++], id, "\"role\":\"assistant\",\"content\":\"\"", "null");
	for (size_t i = 0; i < LETTERS; i += step) {
		char delta[512] = "\"content\":\"";

		for (size_t k = i; k < i + step && k < LETTERS; k++)
			strcat(delta, escaped && letters[k].escaped[0] != '\t' ? letters[k].escaped
									       : letters[k].raw);
		strcat(delta, "\"");
		make(&c[n++], id, delta, "null");
	}
	make(&c[n++], id, "", "\"stop\"");
	return n;
}

static void a_splice_gives_the_whole_text_once_wherever_the_stream_was_cut(void **state)
{
	static struct chunk first[LETTERS + 2], again[LETTERS + 2];
	struct buf want = { 0 }, got = { 0 };
	struct said *s = NULL;

	(void)state;
	for (size_t i = 0, n = spell(first, "old", false, 1); i < n; i++)
		see(&s, slice_of(first[i].text));
	add_up(s, &want);
	said_fini(&s);
	for (unsigned way = 0; way < 4; way++)
		for (size_t step = 1; step < 6; step++)
			for (size_t cut = 0; cut < LETTERS + 1; cut++) {
				size_t n;

				spell(first, "old", way & 1, 1);
				n = spell(again, "new", way & 2, step);
				for (size_t i = 0; i < cut; i++)
					see(&s, slice_of(first[i].text));
				rescue_with(&s, RESCUE_BY_SPLICE, again, n);
				add_up(s, &got);
				if (!slice_eq(buf_slice(&want), buf_slice(&got)))
					fail_msg("cut at %zu, step %zu: %.*s", cut, step,
						SLICE_ARG(buf_slice(&got)));
				said_fini(&s);
			}
	buf_fini(&want);
	buf_fini(&got);
}

static void a_continuation_is_the_rest_and_nothing_else(void **state)
{
	static struct chunk all[LETTERS + 2];
	size_t n = spell(all, "old", false, 1);
	struct buf want = { 0 }, got = { 0 };
	struct said *s = NULL;

	(void)state;
	for (size_t i = 0; i < n; i++)
		see(&s, slice_of(all[i].text));
	add_up(s, &want);
	said_fini(&s);
	for (size_t cut = 2; cut < n; cut++) {
		struct chunk rest[LETTERS + 3];

		make(&rest[0], "new", "\"role\":\"assistant\",\"content\":\"\"", "null");
		memcpy(rest + 1, all + cut, (n - cut) * sizeof(*all));
		for (size_t i = 0; i < cut; i++)
			see(&s, slice_of(all[i].text));
		rescue_with(&s, RESCUE_BY_CONTINUE, rest, n - cut + 1);
		add_up(s, &got);
		if (!slice_eq(buf_slice(&want), buf_slice(&got)))
			fail_msg("cut at %zu: %.*s", cut, SLICE_ARG(buf_slice(&got)));
		said_fini(&s);
	}
	buf_fini(&want);
	buf_fini(&got);
}

static void one_letter_that_differs_is_found_before_anything_goes_out(void **state)
{
	static struct chunk first[LETTERS + 2], again[LETTERS + 2];
	size_t n = spell(first, "old", false, 1);
	struct slice out;

	(void)state;
	for (size_t cut = 2; cut < n - 1; cut++)
		for (size_t wrong = 1; wrong < cut; wrong++) {
			struct said *s = NULL;
			struct rescue *r;

			spell(again, "new", true, 1);
			make(&again[wrong], "new", "\"content\":\"x\"", "null");
			for (size_t i = 0; i < cut; i++)
				see(&s, slice_of(first[i].text));
			r = rescue_begin(s, RESCUE_BY_SPLICE);
			assert_non_null(r);
			for (size_t i = 0; i < wrong; i++)
				assert_int_equal(rescue_chunk(r, slice_of(again[i].text), &out),
					RESCUE_HOLD);
			/* And that is how it stays. */
			for (size_t i = wrong; i < n; i++)
				assert_int_equal(rescue_chunk(r, slice_of(again[i].text), &out),
					RESCUE_DIFFERS);
			assert_false(rescue_is_whole(r));
			rescue_fini(r);
			said_fini(&s);
		}
}

/* ---- recorded streams ---- */

#define CHUNKS 256

/* The chunks of the data lines of a file. Error events are none of a dialect's. */
static size_t read_stream(const char *path, struct chunk *c)
{
	FILE *f = fopen(path, "rb");
	char line[CHUNK_MAX];
	size_t n = 0;

	assert_non_null(f);
	while (fgets(line, sizeof(line), f)) {
		line[strcspn(line, "\n")] = '\0';
		if (strncmp(line, "data: {", 7) != 0 || strstr(line, "\"finish_reason\":\"error\""))
			continue;
		assert_true(n < CHUNKS);
		snprintf(c[n++].text, CHUNK_MAX, "%s", line + 6);
	}
	fclose(f);
	return n;
}

static void recorded_streams_said_again_are_read_once_wherever_they_were_cut(void **state)
{
	static const struct chat_req req = { .n = 1 };
	static struct chunk c[CHUNKS];
	struct buf want = { 0 }, got = { 0 };
	unsigned tried = 0, with_calls = 0;
	glob_t found;

	(void)state;
	assert_int_equal(glob("tests/fixtures/*/*.stream.chat.sse", 0, NULL, &found), 0);
	for (size_t i = 0; i < found.gl_pathc; i++) {
		size_t n = read_stream(found.gl_pathv[i], c);

		struct said *whole = NULL, *s = NULL;

		for (size_t k = 0; k < n; k++)
			see(&whole, slice_of(c[k].text));
		if (!whole || whole->other) /* more than words and calls */
			n = 0;
		else
			add_up(whole, &want);
		for (size_t cut = 1; cut < n; cut++) {
			for (size_t k = 0; k < cut; k++)
				see(&s, slice_of(c[k].text));
			if (rescue_can(s, &req, RESCUE_BY_SPLICE)) {
				rescue_with(&s, RESCUE_BY_SPLICE, c, n);
				add_up(s, &got);
				if (!slice_eq(buf_slice(&want), buf_slice(&got)))
					fail_msg("%s cut at %zu: %.*s", found.gl_pathv[i], cut,
						SLICE_ARG(buf_slice(&got)));
				tried++;
				with_calls += s->call_count > 0;
			}
			said_fini(&s);
		}
		said_fini(&whole);
	}
	assert_true(tried > 100 && with_calls > 20);
	globfree(&found);
	buf_fini(&want);
	buf_fini(&got);
}

/* ---- one rule each ---- */

static void the_new_attempt_has_the_head_and_role_of_the_first(void **state)
{
	struct said *s = TOLD("\"role\":\"assistant\",\"content\":\"a\"");
	struct rescue *r = rescue_begin(s, RESCUE_BY_SPLICE);

	(void)state;
	HOLDS(r, "\"role\":\"assistant\",\"content\":\"\"");
	HOLDS(r, "\"role\":\"assistant\",\"content\":\"a\"");
	PASSES(r, "\"content\":\"b\"", "\"content\":\"b\"");
	PASSES(r, "\"role\":\"assistant\",\"content\":\"c\"", "\"content\":\"c\"");
	HOLDS(r, "\"content\":\"\"");
	HOLDS(r, "\"content\":null");
	rescue_fini(r);
	said_fini(&s);
}

static void a_head_that_comes_in_pieces_is_kept(void **state)
{
	struct said *s = NULL;
	struct rescue *r;
	struct slice out;

	(void)state;
	said_note(&s, SLICE("{\"model\":\"m\",\"choices\":[]}"));
	said_note(&s, SLICE("{\"id\":\"old\",\"model\":\"n\",\"choices\":[]}"));
	r = rescue_begin(s, RESCUE_BY_SPLICE);
	assert_int_equal(rescue_chunk(r,
				 SLICE("{\"id\":\"new\",\"model\":\"x\",\"choices\":[{\"index\":0,"
				       "\"delta\":{\"content\":\"a\"}}]}"),
				 &out),
		RESCUE_PASS);
	assert_true(slice_is(out, "{\"id\":\"old\",\"model\":\"m\",\"choices\":[{\"index\":0,"
				  "\"delta\":{\"content\":\"a\"}}]}"));
	rescue_fini(r);
	said_fini(&s);
}

static void where_nothing_was_said_all_passes_as_it_is(void **state)
{
	struct rescue *r = rescue_begin(NULL, RESCUE_BY_SPLICE);
	struct slice chunk = text_of("\"role\":\"assistant\",\"content\":\"a\""), out;

	(void)state;
	assert_int_equal(rescue_chunk(r, chunk, &out), RESCUE_PASS);
	assert_ptr_equal(out.ptr, chunk.ptr);
	assert_int_equal(out.len, chunk.len);
	assert_true(rescue_is_whole(r));
	rescue_fini(r);
}

static void what_ends_too_early_or_says_something_else_differs(void **state)
{
	static const char *const instead[] = { "\"content\":\"ab\",\"refusal\":\"no\"",
		"\"tool_calls\":[{\"index\":0,\"id\":\"c\",\"function\":{\"name\":\"f\"}}]",
		"\"content\":\"ac\"", "\"audio\":{\"id\":\"x\"}" };
	struct said *s = TOLD("\"role\":\"assistant\",\"content\":\"abc\"");
	struct rescue *r;
	struct slice out;

	(void)state;
	for (size_t i = 0; i < sizeof(instead) / sizeof(instead[0]); i++) {
		r = rescue_begin(s, RESCUE_BY_SPLICE);
		DIFFERS(r, instead[i]);
		rescue_fini(r);
	}
	r = rescue_begin(s, RESCUE_BY_SPLICE);
	HOLDS(r, "\"content\":\"ab\"");
	assert_false(rescue_is_whole(r));
	assert_int_equal(rescue_chunk(r, end_of(""), &out), RESCUE_DIFFERS);
	rescue_fini(r);
	/* The same finish is well when the text is whole, even in the same chunk. */
	r = rescue_begin(s, RESCUE_BY_SPLICE);
	assert_int_equal(rescue_chunk(r, end_of("\"content\":\"abc\""), &out), RESCUE_PASS);
	assert_true(rescue_is_whole(r));
	assert_non_null(memmem(out.ptr, out.len, "\"delta\":{}", 10));
	rescue_fini(r);
	said_fini(&s);
}

static void a_call_is_spliced_when_name_and_arguments_begin_alike(void **state)
{
#define CALL(id, name, arguments) \
	"\"tool_calls\":[{\"index\":0,\"id\":\"" id "\",\"type\":\"function\",\"function\":{" \
	"\"name\":\"" name "\",\"arguments\":\"" arguments "\"}}]"
#define MORE(arguments) \
	"\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":\"" arguments "\"}}]"
	struct said *s = TOLD("\"role\":\"assistant\",\"content\":\"I look.\"",
		CALL("one", "look", ""), MORE("{\\\"a\\\":"), MORE("12"));
	struct rescue *r = rescue_begin(s, RESCUE_BY_SPLICE);

	(void)state;
	HOLDS(r, "\"content\":\"I look.\"");
	HOLDS(r, CALL("two", "look", "{\\\"a\\\""));
	assert_false(rescue_is_whole(r));
	PASSES(r, MORE(":1234"), MORE("34"));
	PASSES(r, MORE("5}"), MORE("5}"));
	/* A call that the client does not know passes as it is. */
	PASSES(r, "\"tool_calls\":[{\"index\":1,\"id\":\"x\",\"function\":{\"name\":\"g\"}}]",
		"\"tool_calls\":[{\"index\":1,\"id\":\"x\",\"function\":{\"name\":\"g\"}}]");
	rescue_fini(r);

	r = rescue_begin(s, RESCUE_BY_SPLICE);
	DIFFERS(r, "\"content\":\"I look.\"," CALL("one", "book", ""));
	rescue_fini(r);
	r = rescue_begin(s, RESCUE_BY_SPLICE);
	DIFFERS(r, "\"content\":\"I look.\"," CALL("one", "looks", ""));
	rescue_fini(r);
	r = rescue_begin(s, RESCUE_BY_SPLICE);
	DIFFERS(r, "\"content\":\"I look.\"," CALL("one", "look", "{\\\"b\\\""));
	rescue_fini(r);
	/* Another call before the said one is whole. */
	r = rescue_begin(s, RESCUE_BY_SPLICE);
	HOLDS(r, "\"content\":\"I look.\"," CALL("one", "look", "{"));
	DIFFERS(r, "\"tool_calls\":[{\"index\":1,\"id\":\"x\",\"function\":{\"name\":\"g\"}}]");
	rescue_fini(r);
	said_fini(&s);
}

static void thoughts_are_left_out_once_text_went_out(void **state)
{
#define HIDDEN "{\"type\":\"reasoning.encrypted\",\"id\":\"c1\",\"data\":\"x\"}"
	struct said *s = TOLD("\"role\":\"assistant\",\"content\":\"\"",
		"\"reasoning\":\"Hm\",\"reasoning_content\":\"Hm\"", "\"content\":\"Ye\"");
	struct rescue *r = rescue_begin(s, RESCUE_BY_SPLICE);

	(void)state;
	HOLDS(r, "\"content\":\"Y\",\"reasoning_details\":[" HIDDEN "]");
	HOLDS(r, "\"reasoning\":\"Another\",\"reasoning_content\":\"Another\","
		 "\"reasoning_details\":[{\"type\":\"reasoning.text\",\"text\":\"Another\"}]");
	PASSES(r, "\"reasoning\":\"So\",\"content\":\"es\"", "\"content\":\"s\"");
	HOLDS(r, "\"reasoning\":\"And\"");
	/* But a call that is new keeps what its provider hid beside it. */
	PASSES(r,
		"\"reasoning_details\":[{\"type\":\"reasoning.text\",\"text\":\"t\"}," HIDDEN "],"
		"\"tool_calls\":[{\"index\":0,\"id\":\"c1\",\"function\":{\"name\":\"f\"}}]",
		"\"reasoning_details\":[" HIDDEN "],"
		"\"tool_calls\":[{\"index\":0,\"id\":\"c1\",\"function\":{\"name\":\"f\"}}]");
	rescue_fini(r);
	said_fini(&s);
}

static void thoughts_alone_are_followed_by_new_ones_behind_them(void **state)
{
	struct said *s = TOLD("\"role\":\"assistant\",\"content\":\"\"",
		"\"reasoning\":\"Hm\",\"reasoning_details\":[{\"index\":0,\"text\":\"Hm\"}]",
		"\"reasoning_details\":[{\"index\":1,\"text\":\"Hm\"}]");
	struct rescue *r = rescue_begin(s, RESCUE_BY_SPLICE);

	(void)state;
	PASSES(r, "\"reasoning\":\"A\",\"reasoning_details\":[{\"index\":0,\"text\":\"A\"}]",
		"\"reasoning\":\"A\",\"reasoning_details\":[{\"index\":2,\"text\":\"A\"}]");
	PASSES(r, "\"content\":\"Yes\"", "\"content\":\"Yes\"");
	rescue_fini(r);
	said_fini(&s);
}

static void probabilities_go_with_whole_chunks_only(void **state)
{
#define WITH(text) \
	"{\"choices\":[{\"index\":0,\"logprobs\":{\"content\":[]},\"delta\":{\"content\":\"" text \
	"\"}}]}"
	struct said *s = TOLD("\"role\":\"assistant\",\"content\":\"abc\"");
	struct rescue *r = rescue_begin(s, RESCUE_BY_SPLICE);
	struct slice out;

	(void)state;
	assert_int_equal(rescue_chunk(r, SLICE(WITH("ab")), &out), RESCUE_HOLD);
	assert_int_equal(rescue_chunk(r, SLICE(WITH("c")), &out), RESCUE_HOLD);
	assert_int_equal(rescue_chunk(r, SLICE(WITH("d")), &out), RESCUE_PASS);
	assert_true(slice_is(out, WITH("d")));
	rescue_fini(r);
	r = rescue_begin(s, RESCUE_BY_SPLICE);
	assert_int_equal(rescue_chunk(r, SLICE(WITH("abcd")), &out), RESCUE_DIFFERS);
	rescue_fini(r);
	said_fini(&s);
}

/* What a continuing attempt says, in pieces, and what of it is for the client. */
static void blanks_and_repetitions_are_neither_doubled_nor_lost(void **state)
{
#define LONG "The quick brown fox jumps over"
	static const struct {
		const char *name, *said, *slug, *pieces[4], *rest;
	} cases[] = {
		{ "no blanks", "The end", "lab", { " is", " near" }, " is near" },
		{ "sent again", "The end \\n", "lab", { " ", "\\nis" }, "is" },
		{ "left out by the model", "The end \\n", "lab", { "is" }, "is" },
		{ "some of them", "The end\\n\\n", "lab", { "\\nis" }, "is" },
		{ "more of them", "The end\\n", "lab", { "\\n\\nis" }, "\\nis" },
		{ "others", "The end ", "lab", { "\\nis" }, "\\nis" },
		{ "wide ones", "\u7d42\u308f\u308a\u3000", "lab", { "\u3000\u306f" }, "\u306f" },
		{ "none, but such bytes", "\u3000\u7d42\\u0100", "lab", { "\u3000x" }, "\u3000x" },
		{ "repeated whole", LONG, "lab", { LONG, " it" }, " it" },
		{ "repeated in pieces", LONG " ", "lab",
			{ "The quick brown ", "fox jumps over it" }, "it" },
		{ "hardly alike", LONG, "lab", { "The", " q", "ueen" }, "The queen" },
		{ "too short to tell", "ha", "lab", { "haha" }, "haha" },
		{ "of too few letters", "==============================", "lab",
			{ "==============================\\n" },
			"==============================\\n" },
		{ "who repeats always", "ha", "mistral", { "h", "aha" }, "ha" },
		{ "who should but does not", "ha", "mistral", { "h", "o" }, "ho" },
		{ "who stops at once", "ha ", "mistral", { "h" }, "h" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct target t = { .quirks = quirks_of(cases[i].slug) };
		char delta[256];
		struct said *s;
		struct rescue *r;
		struct buf got = { 0 }, want = { 0 };
		struct slice out;

		print_message("%s\n", cases[i].name);
		snprintf(delta, sizeof(delta), "\"content\":\"%s\"", cases[i].said);
		s = TOLD(delta);
		r = rescue_begin(s, RESCUE_BY_CONTINUE);
		assert_non_null(r);
		rescue_tell(r, &t);
		for (size_t k = 0; k < 4 && cases[i].pieces[k]; k++) {
			snprintf(delta, sizeof(delta), "\"content\":\"%s\"", cases[i].pieces[k]);
			if (rescue_chunk(r, text_of(delta), &out) == RESCUE_PASS)
				see(&s, out);
		}
		assert_int_equal(rescue_chunk(r, end_of(""), &out), RESCUE_PASS);
		see(&s, out);
		snprintf(delta, sizeof(delta), "\"%s%s\"", cases[i].said, cases[i].rest);
		assert_true(json_str_decode(
			(struct json_value){ JSON_STRING, slice_of(delta) }, &want));
		buf_slice_append(&got, buf_slice(&s->text));
		assert_string_equal(buf_cstr(&got), buf_cstr(&want));
		rescue_fini(r);
		said_fini(&s);
		buf_fini(&got);
		buf_fini(&want);
	}
}

static void an_answer_begun_anew_is_not_gone_on_with(void **state)
{
	struct said *s = TOLD("\"content\":\"" LONG "\"");
	struct rescue *r = rescue_begin(s, RESCUE_BY_CONTINUE);
	struct slice out;

	(void)state;
	HOLDS(r, "\"content\":\"The quick brown fox\"");
	DIFFERS(r, "\"content\":\" jumps under\"");
	rescue_fini(r);
	r = rescue_begin(s, RESCUE_BY_CONTINUE);
	HOLDS(r, "\"content\":\"The quick brown fox jumps\"");
	assert_int_equal(rescue_chunk(r, end_of(""), &out), RESCUE_DIFFERS);
	rescue_fini(r);
	said_fini(&s);
}

static void only_the_one_choice_is_rescued(void **state)
{
	struct said *s = TOLD("\"content\":\"a\"");
	struct rescue *r = rescue_begin(s, RESCUE_BY_CONTINUE);
	struct slice out;

	(void)state;
	assert_int_equal(rescue_chunk(r, SLICE("{\"choices\":[]}"), &out), RESCUE_HOLD);
	assert_int_equal(rescue_chunk(r, SLICE("{}"), &out), RESCUE_HOLD);
	assert_int_equal(rescue_chunk(r,
				 SLICE("{\"choices\":[{\"index\":1,\"delta\":{\"content\":\"x\"}},"
				       "{\"index\":0,\"delta\":{\"content\":\"b\"}}]}"),
				 &out),
		RESCUE_PASS);
	assert_true(slice_is(out, "{\"choices\":[{\"index\":0,\"delta\":{\"content\":\"b\"}}]}"));
	rescue_fini(r);
	said_fini(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_splice_gives_the_whole_text_once_wherever_the_stream_was_cut),
		cmocka_unit_test(a_continuation_is_the_rest_and_nothing_else),
		cmocka_unit_test(one_letter_that_differs_is_found_before_anything_goes_out),
		cmocka_unit_test(recorded_streams_said_again_are_read_once_wherever_they_were_cut),
		cmocka_unit_test(the_new_attempt_has_the_head_and_role_of_the_first),
		cmocka_unit_test(a_head_that_comes_in_pieces_is_kept),
		cmocka_unit_test(where_nothing_was_said_all_passes_as_it_is),
		cmocka_unit_test(what_ends_too_early_or_says_something_else_differs),
		cmocka_unit_test(a_call_is_spliced_when_name_and_arguments_begin_alike),
		cmocka_unit_test(thoughts_are_left_out_once_text_went_out),
		cmocka_unit_test(thoughts_alone_are_followed_by_new_ones_behind_them),
		cmocka_unit_test(probabilities_go_with_whole_chunks_only),
		cmocka_unit_test(blanks_and_repetitions_are_neither_doubled_nor_lost),
		cmocka_unit_test(an_answer_begun_anew_is_not_gone_on_with),
		cmocka_unit_test(only_the_one_choice_is_rescued),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
