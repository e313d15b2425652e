#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/json.h"
#include "gateway/demo.h"
#include "gateway/demo_answer.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* ---- the server, on a socket of its own for each test ---- */

struct served {
	struct sockaddr_un address;
	socklen_t size;
	struct demo_limits limits;
	int listen_fd, stop[2];
	pthread_t thread;
};

static void *run(void *arg)
{
	struct served *s = arg;
	struct err e;

	return (void *)(intptr_t)demo_serve_on(s->listen_fd, &s->limits, s->stop[0], &e);
}

static void begin(struct served *s, struct demo_limits limits)
{
	static int number;
	int n;

	*s = (struct served){ .limits = limits, .address = { .sun_family = AF_UNIX } };
	n = snprintf(s->address.sun_path + 1, sizeof(s->address.sun_path) - 1, "tg-demo-%d-%d",
		(int)getpid(), number++);
	s->size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)n);
	s->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
	assert_int_equal(bind(s->listen_fd, (struct sockaddr *)&s->address, s->size), 0);
	assert_int_equal(listen(s->listen_fd, 16), 0);
	assert_int_equal(pipe(s->stop), 0);
	assert_int_equal(pthread_create(&s->thread, NULL, run, s), 0);
}

static void end(struct served *s)
{
	void *rc;

	close(s->stop[1]);
	assert_int_equal(pthread_join(s->thread, &rc), 0);
	assert_int_equal((intptr_t)rc, ERR_OK);
	close(s->stop[0]);
	close(s->listen_fd);
}

static int dial(const struct served *s)
{
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	assert_int_equal(connect(fd, (const struct sockaddr *)&s->address, s->size), 0);
	return fd;
}

static void say(int fd, const void *bytes, size_t n)
{
	for (const char *p = bytes; n;) {
		ssize_t sent = send(fd, p, n, MSG_NOSIGNAL);

		assert_true(sent > 0);
		p += sent;
		n -= (size_t)sent;
	}
}

static void say_text(int fd, const char *text)
{
	say(fd, text, strlen(text));
}

/* One more piece of what the server says; false at the end. */
static bool hear(int fd, struct buf *got)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	char *room = buf_room(got, 65536);
	ssize_t n;

	assert_int_equal(poll(&p, 1, 20000), 1);
	n = recv(fd, room, 65536, 0);
	if (n <= 0)
		return false;
	buf_commit(got, (size_t)n);
	return true;
}

static bool has(const struct buf *got, const char *text)
{
	return got->len && memmem(got->data, got->len, text, strlen(text));
}

static void hear_until(int fd, struct buf *got, const char *text)
{
	while (!has(got, text))
		if (!hear(fd, got))
			fail_msg("closed before %s", text);
}

static void hear_all(int fd, struct buf *got)
{
	while (hear(fd, got))
		;
}

static void post(int fd, const char *body)
{
	char head[256];
	int n = snprintf(head, sizeof(head),
		"POST /v1/chat/completions HTTP/1.1\r\nHost: d\r\nContent-Type: "
		"application/json\r\nContent-Length: %zu\r\n\r\n",
		strlen(body));

	say(fd, head, (size_t)n);
	say_text(fd, body);
}

#define HELLO "{\"model\":\"echo\",\"messages\":[{\"role\":\"user\",\"content\":\"Hello there\"}]}"
#define STREAM \
	"{\"model\":\"echo\",\"stream\":true,\"stream_options\":{\"include_usage\":true}," \
	"\"messages\":[{\"role\":\"user\",\"content\":\"Hello there\"}]}"

/* ---- what is said ---- */

static void open_answer(struct demo_answer *a, const char *body)
{
	struct err e;

	if (demo_answer_open(a, slice_of(body), 1700000000, &e))
		fail_msg("%s", e.message);
}

/* The whole answer as a tree. */
static struct json_object *whole(const char *body)
{
	struct demo_answer a;
	struct buf text = { 0 };
	struct json_object *tree;
	struct err e;

	open_answer(&a, body);
	demo_answer_write(&a, &text);
	if (json_read(buf_slice(&text), 64, &tree, &e))
		fail_msg("%s in %.*s", e.message, (int)text.len, text.data);
	buf_fini(&text);
	demo_answer_fini(&a);
	return tree;
}

static struct json_object *down(struct json_object *o, const char *path)
{
	char copy[128], *rest = copy, *name;

	snprintf(copy, sizeof(copy), "%s", path);
	while ((name = strsep(&rest, "."))) {
		struct json_object *next = NULL;

		if (json_object_is_type(o, json_type_array))
			next = json_object_array_get_idx(o, (size_t)atoi(name));
		else
			json_object_object_get_ex(o, name, &next);
		o = next;
	}
	return o;
}

static void says(const char *body, const char *path, const char *expected)
{
	struct json_object *tree = whole(body);

	print_message("%s\n", body);
	assert_string_equal(json_object_get_string(down(tree, path)), expected);
	json_object_put(tree);
}

#define ECHO(more, messages) "{\"model\":\"echo\"," more "\"messages\":[" messages "]}"
#define USER(text)           "{\"role\":\"user\",\"content\":" text "}"
#define CONTENT              "choices.0.message.content"
#define ARGUMENTS            "choices.0.message.tool_calls.0.function.arguments"
#define TOOL \
	"\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"parameters\":{\"type\":" \
	"\"object\",\"properties\":{\"city\":{\"type\":\"string\"},\"n\":{\"type\":\"integer\"}," \
	"\"unit\":{\"enum\":[\"C\",\"F\"]},\"deep\":{\"type\":\"object\",\"properties\":{\"a\":" \
	"{\"type\":\"array\",\"items\":{\"type\":\"boolean\"}}}}}}}}],"

static void echo_says_the_last_user_message(void **state)
{
	(void)state;
	says(ECHO("", USER("\"one\"")), CONTENT, "one");
	says(ECHO("", USER("\"one\"") ",{\"role\":\"assistant\",\"content\":\"x\"}," USER(
			      "\"two\"")),
		CONTENT, "two");
	says(ECHO("", USER("\"\\u00e9\\n\\\"q\\\"\"")), CONTENT, "\xc3\xa9\n\"q\"");
	says(ECHO("", USER("[{\"type\":\"text\",\"text\":\"a\"},{\"type\":\"text\",\"text\":\"b\"}"
			   "]")),
		CONTENT, "a\nb");
	says(ECHO("", "{\"role\":\"system\",\"content\":\"s\"}"), CONTENT, "You said nothing.");
}

static void echo_mentions_images_and_tools(void **state)
{
	(void)state;
	says(ECHO("", USER("[{\"type\":\"text\",\"text\":\"a\"},{\"type\":\"image_url\","
			   "\"image_url\":{\"url\":\"data:image/png;base64,AA==\"}}]")),
		CONTENT, "a (and 1 part that is no text)");
	says(ECHO(TOOL, USER("\"a\"")), CONTENT,
		"a (tools were offered; the demonstration calls one when tool_choice is "
		"\"required\")");
}

static void a_required_tool_is_called_with_arguments_of_its_schema(void **state)
{
	static const char args[] =
		"{\"city\":\"Oslo\",\"n\":1,\"unit\":\"C\",\"deep\":{\"a\":[true]}}";

	(void)state;
	says(ECHO(TOOL "\"tool_choice\":\"required\",", USER("\"Oslo\"")), ARGUMENTS, args);
	says(ECHO(TOOL "\"tool_choice\":\"required\",", USER("\"Oslo\"")),
		"choices.0.finish_reason", "tool_calls");
	says(ECHO(TOOL "\"tool_choice\":{\"type\":\"function\",\"function\":{\"name\":\"f\"}},",
		     USER("\"Oslo\"")),
		ARGUMENTS, args);
	/* The result of the call is there: words, not another call. */
	says(ECHO(TOOL "\"tool_choice\":\"required\",",
		     USER("\"Oslo\"") ",{\"role\":\"tool\",\"content\":\"-3 C\"}"),
		CONTENT, "Your tool answered: -3 C");
}

static void structured_answers_have_the_asked_shape(void **state)
{
	(void)state;
	says(ECHO("\"response_format\":{\"type\":\"json_object\"},", USER("\"a\"")), CONTENT,
		"{\"echo\":\"a\"}");
	says(ECHO("\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{\"name\":\"x\","
		  "\"schema\":{\"type\":\"object\",\"properties\":{\"ok\":{\"type\":\"boolean\"}}}"
		  "}},",
		     USER("\"a\"")),
		CONTENT, "{\"ok\":true}");
}

static void a_limit_cuts_the_answer_and_says_so(void **state)
{
	(void)state;
	says(ECHO("\"max_tokens\":2,", USER("\"one two three\"")), CONTENT, "one two");
	says(ECHO("\"max_tokens\":2,", USER("\"one two three\"")), "choices.0.finish_reason",
		"length");
	says(ECHO("\"max_tokens\":3,", USER("\"one two three\"")), "choices.0.finish_reason",
		"stop");
	says(ECHO("\"max_completion_tokens\":1,", USER("\"one two three\"")),
		"usage.completion_tokens", "1");
}

static void every_choice_is_there_and_counted(void **state)
{
	(void)state;
	says(ECHO("\"n\":3,", USER("\"one two\"")), "choices.2.message.content", "one two");
	says(ECHO("\"n\":3,", USER("\"one two\"")), "usage.completion_tokens", "6");
}

static void bad_requests_are_refused_by_parameter(void **state)
{
	static const struct {
		const char *body, *param;
		enum err_code code;
	} cases[] = { { "", "", ERR_BAD_REQUEST }, { "[]", "", ERR_BAD_REQUEST },
		{ "{\"model\":\"echo\"", "", ERR_BAD_REQUEST },
		{ "{\"model\":\"gpt\",\"messages\":[]}", "model", ERR_MODEL_NOT_FOUND },
		{ "{\"messages\":[]}", "model", ERR_MODEL_NOT_FOUND },
		{ "{\"model\":\"echo\"}", "messages", ERR_BAD_REQUEST },
		{ ECHO("", ""), "messages", ERR_BAD_REQUEST },
		{ ECHO("", "7"), "messages", ERR_BAD_REQUEST },
		{ ECHO("\"n\":0,", USER("\"a\"")), "n", ERR_BAD_REQUEST },
		{ ECHO("\"n\":9,", USER("\"a\"")), "n", ERR_BAD_REQUEST },
		{ ECHO("\"max_tokens\":\"x\",", USER("\"a\"")), "max_tokens", ERR_BAD_REQUEST } };

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct demo_answer a;
		struct err e;

		print_message("%s\n", cases[i].body);
		assert_int_equal(
			demo_answer_open(&a, slice_of(cases[i].body), 0, &e), cases[i].code);
		assert_string_equal(e.param, cases[i].param);
	}
}

static void a_stream_spells_the_answer_and_ends_in_finish_usage_and_done(void **state)
{
	struct demo_answer a;
	struct buf text = { 0 };
	int tokens = 0;
	enum demo_next next;

	(void)state;
	open_answer(&a, STREAM);
	do {
		next = demo_answer_next(&a, &text);
		tokens += next == DEMO_TOKEN;
	} while (next != DEMO_END);
	assert_int_equal(tokens, 2);
	assert_true(has(&text, "\"delta\":{\"role\":\"assistant\",\"content\":\"\"}"));
	assert_true(has(&text, "{\"content\":\"Hello\"}"));
	assert_true(has(&text, "{\"content\":\" there\"}"));
	assert_true(has(&text, "\"finish_reason\":\"stop\"}]}\n\ndata: "));
	assert_true(has(&text, "\"choices\":[],\"usage\":{"));
	assert_true(slice_ends(buf_slice(&text), "}\n\ndata: [DONE]\n\n"));
	assert_int_equal(demo_answer_next(&a, &text), DEMO_END);
	demo_answer_fini(&a);
	buf_fini(&text);
}

static void pieces_never_cut_a_character(void **state)
{
	struct demo_answer a;
	struct buf text = { 0 };

	(void)state;
	open_answer(
		&a, ECHO("\"stream\":true,",
			    USER("\"\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e\xe6\x97\xa5\xe6\x9c\xac"
				 "\xe8\xaa\x9e\xf0\x9f\x98\x80\xf0\x9f\x98\x80\"")));
	while (demo_answer_next(&a, &text) != DEMO_END)
		;
	/* A cut character would have become U+FFFD on its way into JSON. */
	assert_false(has(&text, "\xef\xbf\xbd"));
	assert_true(has(&text, "\xf0\x9f\x98\x80"));
	demo_answer_fini(&a);
	buf_fini(&text);
}

static void the_story_has_about_120_tokens(void **state)
{
	struct demo_answer a;

	(void)state;
	open_answer(
		&a, "{\"model\":\"story\",\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]}");
	assert_in_range(a.tokens, 100, 160);
	assert_false(a.cut);
	demo_answer_fini(&a);
}

/* ---- over a socket ---- */

static void requests_follow_each_other_on_one_connection(void **state)
{
	struct served s;
	struct buf got = { 0 };
	int fd;

	(void)state;
	begin(&s, (struct demo_limits){ 0 });
	fd = dial(&s);
	for (int i = 0; i < 3; i++) {
		buf_reset(&got);
		post(fd, HELLO);
		hear_until(fd, &got, "\"cost\":0}}");
		assert_true(has(&got, "HTTP/1.1 200 OK\r\n"));
		assert_true(has(&got, "\"content\":\"Hello there\""));
	}
	buf_reset(&got);
	post(fd, STREAM); /* two in one go: the second waits its turn */
	say_text(fd, "GET /v1/models HTTP/1.1\r\nConnection: close\r\n\r\n");
	hear_all(fd, &got);
	assert_true(has(&got, "data: [DONE]\n\n\r\n0\r\n\r\nHTTP/1.1 200 OK"));
	assert_true(has(&got, "\"id\":\"story\""));
	close(fd);
	buf_fini(&got);
	end(&s);
}

static void a_request_may_come_byte_by_byte(void **state)
{
	static const char request[] =
		"POST /v1/chat/completions?x=1 HTTP/1.1\r\ncontent-length: 69\r\n"
		"Connection: close\r\n\r\n" HELLO;
	struct served s;
	struct buf got = { 0 };
	int fd;

	(void)state;
	assert_int_equal(strlen(HELLO), 69);
	begin(&s, (struct demo_limits){ 0 });
	fd = dial(&s);
	for (size_t i = 0; i < sizeof(request) - 1; i++)
		say(fd, request + i, 1);
	hear_all(fd, &got);
	assert_true(has(&got, "\"content\":\"Hello there\""));
	close(fd);
	buf_fini(&got);
	end(&s);
}

static void a_body_is_waited_for_with_100_continue(void **state)
{
	struct served s;
	struct buf got = { 0 };
	int fd;

	(void)state;
	begin(&s, (struct demo_limits){ 0 });
	fd = dial(&s);
	say_text(fd, "POST /chat/completions HTTP/1.1\r\nContent-Length: 69\r\n"
		     "Expect: 100-continue\r\n\r\n");
	hear_until(fd, &got, "HTTP/1.1 100 Continue\r\n\r\n");
	say_text(fd, HELLO);
	hear_until(fd, &got, "\"cost\":0}}");
	close(fd);
	buf_fini(&got);
	end(&s);
}

static void a_large_body_is_taken_and_its_echo_is_cut(void **state)
{
	static const char head[] = "{\"model\":\"echo\",\"stream\":true,\"messages\":[{\"role\":"
				   "\"user\",\"content\":\"";
	size_t size = (size_t)8 << 20;
	struct served s;
	struct buf got = { .max_bytes = (size_t)64 << 20 };
	char line[128], *body = malloc(size);
	int fd, n;

	(void)state;
	assert_non_null(body);
	memset(body, 'x', size);
	memcpy(body, head, sizeof(head) - 1);
	memcpy(body + size - 4, "\"}]}", 4);
	begin(&s, (struct demo_limits){ 0 });
	fd = dial(&s);
	n = snprintf(line, sizeof(line),
		"POST /v1/chat/completions HTTP/1.1\r\nContent-Length: %zu\r\n\r\n", size);
	say(fd, line, (size_t)n);
	say(fd, body, size);
	hear_until(fd, &got, "data: [DONE]");
	assert_true(has(&got, "\"finish_reason\":\"stop\""));
	close(fd);
	free(body);
	buf_fini(&got);
	end(&s);
}

static void bad_http_is_answered_and_closed(void **state)
{
	static const struct {
		const char *request, *status;
	} cases[] = { { "GET /v1/models HTTP/1.0\r\n\r\n", " 505 " },
		{ "nonsense\r\n\r\n", " 505 " },
		{ "POST /chat/completions HTTP/1.1\r\n\r\n", " 411 " },
		{ "POST /chat/completions HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
			" 411 " },
		{ "POST /chat/completions HTTP/1.1\r\nContent-Length: x\r\n\r\n", " 400 " },
		{ "POST /chat/completions HTTP/1.1\r\nContent-Length: -1\r\n\r\n", " 400 " },
		{ "POST /x HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n", " 400 " },
		{ "POST /x HTTP/1.1\r\nContent-Length: 34603009\r\n\r\n", " 413 " },
		{ "GET /x HTTP/1.1\r\nConnection: close\r\n\r\n", " 404 " },
		{ "GET /chat/completions HTTP/1.1\r\nConnection: close\r\n\r\n", " 405 " },
		{ "POST /chat/completions HTTP/1.1\r\nConnection: close\r\nContent-Length: "
		  "2\r\n\r\n{}",
			" 404 " } };
	struct served s;

	(void)state;
	begin(&s, (struct demo_limits){ 0 });
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct buf got = { 0 };
		int fd = dial(&s);

		print_message("%s\n", cases[i].request);
		say_text(fd, cases[i].request);
		hear_all(fd, &got);
		assert_true(has(&got, cases[i].status));
		assert_true(has(&got, "{\"error\":{\"message\":"));
		close(fd);
		buf_fini(&got);
	}
	end(&s);
}

static void an_endless_header_is_refused(void **state)
{
	struct served s;
	struct buf got = { 0 };
	char junk[20000];
	int fd;

	(void)state;
	memset(junk, 'a', sizeof(junk));
	begin(&s, (struct demo_limits){ 0 });
	fd = dial(&s);
	say_text(fd, "GET /v1/models HTTP/1.1\r\nX: ");
	say(fd, junk, sizeof(junk));
	hear_all(fd, &got);
	assert_true(has(&got, " 431 "));
	close(fd);
	buf_fini(&got);
	end(&s);
}

static void peers_that_are_silent_or_never_read_are_dropped_and_others_served(void **state)
{
	static const char endless[] =
		"{\"model\":\"echo\",\"n\":8,\"stream\":true,\"messages\":[{\"role\":\"user\","
		"\"content\":\"%s\"}]}";
	static char text[60001], body[61000];
	struct served s;
	struct buf got = { 0 };
	int silent, deaf, half, busy;

	(void)state;
	memset(text, 'y', sizeof(text) - 1);
	snprintf(body, sizeof(body), endless, text);
	begin(&s, (struct demo_limits){ .silence_ms = 300, .connections = 4 });
	silent = dial(&s);
	deaf = dial(&s);
	post(deaf, body); /* 8 choices of 60 KB in events: far more than a socket holds */
	half = dial(&s);
	say_text(half, "POST /v1/chat/completions HTTP/1.1\r\nContent-Length: 100\r\n\r\n{");
	busy = dial(&s);
	post(busy, HELLO);
	hear_until(busy, &got, "\"cost\":0}}");
	assert_false(hear(silent, &got));
	assert_false(hear(half, &got));
	/* The table was full; their places are free again. */
	for (int i = 0; i < 4; i++) {
		int fd = dial(&s);

		buf_reset(&got);
		post(fd, HELLO);
		hear_until(fd, &got, "\"cost\":0}}");
		close(fd);
	}
	assert_int_equal(poll(&(struct pollfd){ .fd = deaf, .events = POLLRDHUP }, 1, 20000), 1);
	buf_reset(&got);
	hear_all(deaf, &got);
	assert_false(has(&got, "[DONE]")); /* it was cut off, not waited for */
	close(silent);
	close(deaf);
	close(half);
	close(busy);
	buf_fini(&got);
	end(&s);
}

static void a_story_is_paced_and_a_waiting_reader_is_not_silent(void **state)
{
	struct served s;
	struct buf got = { 0 };
	int64_t before_ms;
	int fd;

	(void)state;
	/* Two tokens further apart than the silence that is allowed: the pause is ours. */
	begin(&s, (struct demo_limits){ .pace_ms = 300, .silence_ms = 200 });
	fd = dial(&s);
	before_ms = clock_mono_ms();
	post(fd, "{\"model\":\"story\",\"stream\":true,\"max_tokens\":2,\"messages\":[{\"role\":"
		 "\"user\",\"content\":\"x\"}]}");
	hear_until(fd, &got, "data: [DONE]\n\n\r\n0\r\n\r\n");
	assert_true(clock_mono_ms() - before_ms >= 300);
	assert_true(has(&got, "\"finish_reason\":\"length\""));
	close(fd);
	buf_fini(&got);
	end(&s);
}

static void inside_a_program_it_starts_once(void **state)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct buf got = { 0 };
	struct err e;
	const char *name = demo_start(0, &e);
	size_t n;
	int fd;

	(void)state;
	assert_non_null(name);
	assert_ptr_equal(demo_start(0, &e), name);
	n = strlen(name);
	memcpy(address.sun_path + 1, name, n);
	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&address,
				 (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + n)),
		0);
	post(fd, HELLO);
	hear_until(fd, &got, "\"cost\":0}}");
	close(fd);
	buf_fini(&got);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(echo_says_the_last_user_message),
		cmocka_unit_test(echo_mentions_images_and_tools),
		cmocka_unit_test(a_required_tool_is_called_with_arguments_of_its_schema),
		cmocka_unit_test(structured_answers_have_the_asked_shape),
		cmocka_unit_test(a_limit_cuts_the_answer_and_says_so),
		cmocka_unit_test(every_choice_is_there_and_counted),
		cmocka_unit_test(bad_requests_are_refused_by_parameter),
		cmocka_unit_test(a_stream_spells_the_answer_and_ends_in_finish_usage_and_done),
		cmocka_unit_test(pieces_never_cut_a_character),
		cmocka_unit_test(the_story_has_about_120_tokens),
		cmocka_unit_test(requests_follow_each_other_on_one_connection),
		cmocka_unit_test(a_request_may_come_byte_by_byte),
		cmocka_unit_test(a_body_is_waited_for_with_100_continue),
		cmocka_unit_test(a_large_body_is_taken_and_its_echo_is_cut),
		cmocka_unit_test(bad_http_is_answered_and_closed),
		cmocka_unit_test(an_endless_header_is_refused),
		cmocka_unit_test(peers_that_are_silent_or_never_read_are_dropped_and_others_served),
		cmocka_unit_test(a_story_is_paced_and_a_waiting_reader_is_not_silent),
		cmocka_unit_test(inside_a_program_it_starts_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
