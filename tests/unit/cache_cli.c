/* tollgate cache: what the operator sees of remembered answers, and what he drops. */
#include "base/clock.h"
#include "base/crypto.h"
#include "tests/unit/cache_folder.h"
#include "tests/unit/cli_run.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>

static char lines[HOME_PATH_MAX];
static struct err err;

static int start(void **state)
{
	(void)state;
	if (clearenv() != 0 || !make_home())
		return -1;
	snprintf(lines, sizeof(lines), "%s/lines", home);
	return setenv("GATEWAY_HOME", home, 1);
}

static int stop(void **state)
{
	(void)state;
	drop_home();
	return 0;
}

#define RUN(...) run(cli_cache, WORDS("cache", __VA_ARGS__))

/* Three answers; the key of each begins with its digit twice. */
static void remember_three(void)
{
	int64_t now = clock_wall_ms();
	struct cache *c;
	struct conf *conf;

	assert_int_equal(conf_load(&conf, &err), ERR_OK);
	assert_int_equal(books_cache(conf, &c, &err), ERR_OK);
	for (int i = 1; i <= 3; i++) {
		struct cache_key k = { .length = 9, .crc = 8 };
		struct cache_entry e = { .made_ms = now - i * 3600000,
			.expires_ms = now + 7200000,
			.saved_microusd = 1500,
			.form = i == 2 ? CACHE_EVENTS : CACHE_WHOLE,
			.prompt_tokens = 40,
			.completion_tokens = 2,
			.provider = "openai",
			.finish_reason = "stop",
			.usage = SLICE("{\"total_tokens\":42}"),
			.body = SLICE("the answer") };

		snprintf(e.model, sizeof(e.model), "maker/model-%d", i);
		memset(k.hash, i * 0x11, sizeof(k.hash));
		assert_int_equal(cache_put(c, &k, now, &e, &err), ERR_OK);
	}
	cache_count(c, CACHE_HIT, 1500);
	cache_count(c, CACHE_HIT, 1500);
	cache_count(c, CACHE_HIT, 1500);
	cache_count(c, CACHE_MISS, 0);
	cache_close(c);
	conf_fini(conf);
}

static void an_empty_cache_is_shown_as_such(void **state)
{
	(void)state;
	assert_int_equal(RUN("list"), CLI_OK);
	has("No answer is remembered.");
	assert_int_equal(RUN("list", "--json"), CLI_OK);
	assert_string_equal(out, "[]\n");
	assert_int_equal(RUN("stats"), CLI_OK);
	assert_int_equal(RUN("show", "00"), CLI_FAILED);
	has("no answer is remembered under 00");
}

static void stats_tell_what_was_saved(void **state)
{
	(void)state;
	remember_three();
	assert_int_equal(RUN("stats"), CLI_OK);
	has("75.0");
	has("$0.0045");
	assert_int_equal(RUN("stats", "--json"), CLI_OK);
	has("\"hits\":3");
	has("\"misses\":1");
	has("\"hit_ratio\":0.750");
	has("\"saved_microusd\":4500");
	has("\"entries\":3");
}

static void the_list_has_the_newest_first(void **state)
{
	const char *one, *two, *three;

	(void)state;
	remember_three();
	assert_int_equal(RUN("list"), CLI_OK);
	one = strstr(out, "maker/model-1");
	two = strstr(out, "maker/model-2");
	three = strstr(out, "maker/model-3");
	assert_true(one && two && three && one < two && two < three);
	has("1111111111111111");
	has("events");
	has("60m");
	has("2h");
	assert_int_equal(RUN("list", "--json"), CLI_OK);
	has("\"form\":\"events\"");
	has("\"saved_microusd\":1500");
}

static void one_is_shown_by_the_beginning_of_its_key(void **state)
{
	(void)state;
	remember_three();
	assert_int_equal(RUN("show", "2222"), CLI_OK);
	has("maker/model-2");
	has("40 + 2");
	has_not("the answer");
	assert_int_equal(RUN("show", "22", "--body"), CLI_OK);
	has("\nthe answer\n");
	assert_int_equal(RUN("show", "33", "--json", "--body"), CLI_OK);
	has("\"usage\":{\"total_tokens\":42},\"body\":\"the answer\"}");
	assert_int_equal(RUN("show", "222"), CLI_USAGE);
	assert_int_equal(RUN("show", "xy"), CLI_USAGE);
	has("KEY is the beginning of a key");
}

static void a_purge_without_a_choice_asks_for_one(void **state)
{
	(void)state;
	remember_three();
	assert_int_equal(RUN("purge"), CLI_USAGE);
	has("--all");
	assert_int_equal(RUN("purge", "--all", "--model", "x"), CLI_USAGE);
	assert_int_equal(RUN("purge", "--older-than", "soon"), CLI_USAGE);
	assert_int_equal(RUN("purge", "--key", "1"), CLI_USAGE);
	assert_int_equal(RUN("list", "--all"), CLI_USAGE);
	assert_int_equal(RUN("list"), CLI_OK);
	has("maker/model-3");
}

static void a_purge_drops_what_is_asked_for(void **state)
{
	(void)state;
	remember_three();
	assert_int_equal(RUN("purge", "--model", "maker/model-1"), CLI_OK);
	has("Forgot 1 answer.");
	assert_int_equal(RUN("purge", "--older-than", "150m"), CLI_OK);
	has("Forgot 1 answer.");
	assert_int_equal(RUN("list"), CLI_OK);
	has("maker/model-2");
	has_not("maker/model-3");
	assert_int_equal(RUN("purge", "--key", "2222", "--model", "maker/model-3"), CLI_OK);
	has("Forgot 0 answers.");
	assert_int_equal(RUN("purge", "--all"), CLI_OK);
	has("Forgot 1 answer.");
	assert_int_equal(RUN("list"), CLI_OK);
	has("No answer");
}

/* ---- warming: a gateway that plays its part ---- */

struct gateway {
	int fd;
	unsigned port;
	pthread_t thread;
	char heads[8][2048]; /* of the requests, and of their bodies what fits */
	atomic_int n;
};

static void reply(int fd, int nth)
{
	static const char bad[] = "HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\n"
				  "Connection: close\r\n\r\n"
				  "{\"error\":{\"message\":\"no such model\"}}";
	char text[256];
	int n = snprintf(text, sizeof(text),
		"HTTP/1.1 200 OK\r\nX-Cache: %s\r\nConnection: close\r\n\r\n{}",
		nth == 2 ? "HIT" : "MISS");

	if (nth == 1)
		n = snprintf(text, sizeof(text), "%s", bad);
	(void)!send(fd, text, (size_t)n, MSG_NOSIGNAL);
}

/* Requests are small and have come whole when their last brace has. */
static void *play(void *arg)
{
	struct gateway *g = arg;
	int fd;

	while (g->n < 8 && (fd = accept(g->fd, NULL, NULL)) >= 0) {
		char *head = g->heads[g->n];
		size_t len = 0;
		ssize_t got;

		while (!(len > 1 && strchr(head, '{') && head[len - 1] == '}') &&
			(got = recv(fd, head + len, sizeof(g->heads[0]) - 1 - len, 0)) > 0)
			len += (size_t)got;
		reply(fd, g->n++);
		shutdown(fd, SHUT_WR);
		while (recv(fd, &(char){ 0 }, 1, 0) > 0)
			continue;
		close(fd);
	}
	return NULL;
}

static void start_gateway(struct gateway *g, char url[64])
{
	struct sockaddr_in at = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t size = sizeof(at);

	memset(g, 0, sizeof(*g));
	g->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(g->fd, (struct sockaddr *)&at, size), 0);
	assert_int_equal(listen(g->fd, 8), 0);
	assert_int_equal(getsockname(g->fd, (struct sockaddr *)&at, &size), 0);
	snprintf(url, 64, "http://127.0.0.1:%u/v1/", (unsigned)ntohs(at.sin_port));
	assert_int_equal(pthread_create(&g->thread, NULL, play, g), 0);
}

static void stop_gateway(struct gateway *g)
{
	shutdown(g->fd, SHUT_RDWR);
	pthread_join(g->thread, NULL);
	close(g->fd);
}

static void write_file(const char *path, const char *text)
{
	FILE *f = fopen(path, "we");

	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	fclose(f);
}

static struct gateway gateway;

static void warming_asks_for_every_line(void **state)
{
	char url[64], key[HOME_PATH_MAX + 8];

	(void)state;
	snprintf(key, sizeof(key), "%s.key", lines);
	write_file(lines, "{\"model\":\"a\"}\n\n{\"model\":\"b\"}\n{\"model\":\"c\"}\n");
	write_file(key, " sk-tg-something\n");
	start_gateway(&gateway, url);
	assert_int_equal(RUN("warm", lines, "--url", url, "--key-file", key), CLI_FAILED);
	stop_gateway(&gateway);
	assert_int_equal(gateway.n, 3);
	has("line 3: 400: no such model");
	has("Asked 3 times: 1 answered anew, 1 remembered already, 1 failed.");
	assert_non_null(strstr(gateway.heads[0], "POST /v1/chat/completions HTTP/1.1\r\n"));
	assert_non_null(strstr(gateway.heads[0], "x-gateway-cache: refresh\r\n"));
	assert_non_null(strstr(gateway.heads[0], "Authorization: Bearer sk-tg-something\r\n"));
	assert_non_null(strstr(gateway.heads[0], "\r\n\r\n{\"model\":\"a\"}"));
	assert_non_null(strstr(gateway.heads[2], "{\"model\":\"c\"}"));
}

static void warming_what_is_missing_refreshes_nothing(void **state)
{
	char url[64];

	(void)state;
	write_file(lines, "{\"model\":\"a\"}");
	start_gateway(&gateway, url);
	assert_int_equal(RUN("warm", lines, "--missing", "--url", url), CLI_OK);
	stop_gateway(&gateway);
	assert_null(strstr(gateway.heads[0], "x-gateway-cache"));
	assert_null(strstr(gateway.heads[0], "Authorization"));
	has("Asked 1 time: 1 answered anew, 0 remembered already, 0 failed.");
}

static void warming_without_what_it_needs_says_what(void **state)
{
	(void)state;
	assert_int_equal(RUN("warm"), CLI_USAGE);
	has("needs a FILE");
	assert_int_equal(RUN("warm", "/nowhere/lines"), CLI_FAILED);
	has("/nowhere/lines");
	write_file(lines, "");
	assert_int_equal(RUN("warm", lines, "--url", "ftp://x"), CLI_USAGE);
	assert_int_equal(RUN("warm", lines, "--key-file", lines), CLI_FAILED);
	has("does not hold one API key");
	write_file(lines, "{}\n");
	assert_int_equal(RUN("warm", lines, "--url", "http://127.0.0.1:1/v1"), CLI_FAILED);
	has("line 1: ");
}

#define T(f) cmocka_unit_test_setup_teardown(f, start, stop)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		T(an_empty_cache_is_shown_as_such),
		T(stats_tell_what_was_saved),
		T(the_list_has_the_newest_first),
		T(one_is_shown_by_the_beginning_of_its_key),
		T(a_purge_without_a_choice_asks_for_one),
		T(a_purge_drops_what_is_asked_for),
		T(warming_asks_for_every_line),
		T(warming_what_is_missing_refreshes_nothing),
		T(warming_without_what_it_needs_says_what),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
