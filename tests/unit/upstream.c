/* The pump: many transfers at once, kept connections, drain. */
#include "tests/unit/scripted.h"

static struct provider_script server;

static bool plays_hello(struct peer *p)
{
	char text[2048];

	/* At once, the end included: then the connection is free before anybody knows the answer.
	 */
	snprintf(text, sizeof(text),
		"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
		"Transfer-Encoding: chunked\r\n\r\n%zx\r\n%s\r\n0\r\n\r\n",
		strlen(HELLO STOP DONE), HELLO STOP DONE);
	say(p, text);
	return true;
}

static void run_one(struct pump *pump, script play, struct call *c)
{
	server.play = play;
	place_call(pump, &server, c);
	read_all(c);
}

static void assert_hello(struct pump *pump)
{
	struct call c = call_of(true);

	run_one(pump, plays_hello, &c);
	assert_int_equal(c.rc, ERR_OK);
	assert_true(slice_ends(buf_slice(&c.seen), DONE));
	end_call(&c);
}

/* ---- connections ---- */

static void a_finished_stream_leaves_its_connection_to_the_next(void **state)
{
	struct pump *pump = new_pump("");

	(void)state;
	script_start(&server, NULL);
	for (int i = 0; i < 10; i++)
		assert_hello(pump);
	assert_int_equal(server.accepted, 1);
	pump_stop(pump);
	script_stop(&server);
}

static atomic_int asked[2];

static bool counts(struct peer *p)
{
	asked[p->server == &server]++;
	return plays_hello(p);
}

static void each_transfer_goes_to_its_own_url_whatever_went_before(void **state)
{
	struct pump *pump = new_pump("");
	struct provider_script other;

	(void)state;
	script_start(&server, counts);
	script_start(&other, counts);
	for (int i = 1; i < 10; i++) {
		struct call c = call_of(true);

		place_call(pump, i % 3 ? &server : &other, &c);
		read_all(&c);
		assert_int_equal(c.rc, ERR_OK);
		end_call(&c);
		assert_int_equal(asked[0], i / 3);
		assert_int_equal(asked[1], i - i / 3);
	}
	assert_int_equal(server.accepted, 1);
	assert_int_equal(other.accepted, 1);
	pump_stop(pump);
	script_stop(&other);
	script_stop(&server);
}

static bool ends_late(struct peer *p)
{
	say_events_head(p);
	say_chunk(p, HELLO STOP DONE);
	usleep(30000);
	say_chunk(p, "");
	return true;
}

static void a_connection_is_kept_although_the_body_ends_after_done(void **state)
{
	struct pump *pump = new_pump("");
	struct call c = call_of(true);

	(void)state;
	script_start(&server, NULL);
	run_one(pump, ends_late, &c);
	assert_int_equal(c.rc, ERR_OK);
	end_call(&c);
	usleep(150000);
	assert_hello(pump);
	assert_int_equal(server.accepted, 1);
	pump_stop(pump);
	script_stop(&server);
}

static bool answers_and_closes(struct peer *p)
{
	plays_hello(p);
	return false;
}

static void a_connection_that_the_provider_closed_is_no_error(void **state)
{
	struct pump *pump = new_pump("");

	(void)state;
	script_start(&server, NULL);
	for (int i = 0; i < 5; i++) {
		struct call c = call_of(true);

		run_one(pump, answers_and_closes, &c);
		assert_int_equal(c.rc, ERR_OK);
		end_call(&c);
	}
	pump_stop(pump);
	script_stop(&server);
}

static bool answers_before_the_body(struct peer *p)
{
	plays_hello(p);
	(void)leaves(p);
	return false;
}

static void an_answer_may_come_before_the_request_was_sent(void **state)
{
	struct pump *pump = new_pump("");
	struct call c = call_of(true);

	(void)state;
	script_start(&server, NULL);
	server.reads_body = false;
	c.body_bytes = 8 << 20; /* more than the sockets take */
	run_one(pump, answers_before_the_body, &c);
	assert_int_equal(c.rc, ERR_OK);
	assert_true(slice_ends(buf_slice(&c.seen), DONE));
	end_call(&c);
	server.reads_body = true;
	assert_hello(pump);
	assert_int_equal(server.accepted, 2);
	pump_stop(pump);
	script_stop(&server);
}

/* ---- many ---- */

#define MANY 200

static struct pump *many_pump;
static atomic_int waiting;

/* Answers nobody before all have asked: none may be held back for another's answer. */
static bool waits_for_all(struct peer *p)
{
	waiting++;
	for (int i = 0; waiting < MANY && i < 1000; i++)
		usleep(10000);
	return plays_hello(p);
}

static void *call_once(void *arg)
{
	struct call *c = arg;

	place_call(many_pump, &server, c);
	return NULL;
}

static void many_at_once_all_get_their_own_answer(void **state)
{
	struct call *calls = calloc(MANY, sizeof(*calls));
	pthread_t threads[MANY];
	pthread_attr_t small;

	(void)state;
	assert_non_null(calls);
	pthread_attr_init(&small);
	pthread_attr_setstacksize(&small, 512 << 10);
	many_pump = new_pump("");
	script_start(&server, waits_for_all);
	for (int i = 0; i < MANY; i++) {
		calls[i] = call_of(true);
		calls[i].conf.first_byte_ms = 15000;
		open_client(&calls[i]);
		assert_int_equal(pthread_create(&threads[i], &small, call_once, &calls[i]), 0);
	}
	for (int i = 0; i < MANY; i++) {
		pthread_join(threads[i], NULL);
		read_all(&calls[i]);
		assert_int_equal(calls[i].rc, ERR_OK);
		assert_true(slice_ends(buf_slice(&calls[i].seen), DONE));
		end_call(&calls[i]);
	}
	assert_int_equal(waiting, MANY);
	pthread_attr_destroy(&small);
	free(calls);
	pump_stop(many_pump);
	script_stop(&server);
}

/* ---- the way there ---- */

static void only_the_configured_proxy_is_asked(void **state)
{
	static const char *const variables[] = { "http_proxy", "HTTP_PROXY", "https_proxy",
		"HTTPS_PROXY", "all_proxy", "ALL_PROXY" };
	const size_t n = sizeof(variables) / sizeof(variables[0]);
	struct provider_script proxy;
	char url[64];
	struct pump_conf conf = { .ca_file = "", .proxy = url };
	struct call c = call_of(true);
	struct pump *pump;

	(void)state;
	script_start(&server, plays_hello);
	script_start(&proxy, plays_hello);
	snprintf(url, sizeof(url), "http://127.0.0.1:%u", proxy.port);
	for (size_t i = 0; i < n; i++)
		setenv(variables[i], url, 1);
	pump = new_pump("");
	assert_hello(pump);
	assert_int_equal(server.accepted, 1);
	assert_int_equal(proxy.accepted, 0);
	for (size_t i = 0; i < n; i++)
		unsetenv(variables[i]);
	pump_stop(pump);

	assert_int_equal(pump_start(&conf, &pump, NULL), ERR_OK);
	c.url = "http://provider.invalid/v1"; /* the proxy would look the name up */
	place_call(pump, NULL, &c);
	read_all(&c);
	assert_int_equal(c.rc, ERR_OK);
	assert_int_equal(proxy.accepted, 1);
	end_call(&c);
	pump_stop(pump);
	script_stop(&proxy);
	script_stop(&server);
}

/* A listener whose queue is full lets the kernel drop what comes: nobody answers. */
static void a_host_that_does_not_answer_is_given_up(void **state)
{
	struct sockaddr_in a = { .sin_family = AF_INET };
	socklen_t n = sizeof(a);
	struct pump *pump = new_pump("");
	struct call c = call_of(true);
	int fd = socket(AF_INET, SOCK_STREAM, 0), waiting_fds[16];
	char url[64];

	(void)state;
	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(listen(fd, 0), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &n), 0);
	for (size_t i = 0; i < 16; i++) {
		waiting_fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
		(void)connect(waiting_fds[i], (struct sockaddr *)&a, sizeof(a));
	}
	snprintf(url, sizeof(url), "http://127.0.0.1:%u/v1", ntohs(a.sin_port));
	c.url = url;
	c.conf.connect_ms = 100; /* far below all other limits */
	place_call(pump, NULL, &c);
	read_all(&c);
	assert_int_equal(c.rc, ERR_UPSTREAM_TIMEOUT);
	assert_int_equal(err_status(&c.e), 504);
	assert_non_null(strstr(c.e.message, "GATEWAY_CONNECT_TIMEOUT"));
	assert_int_equal(c.seen.len, 0);
	end_call(&c);
	for (size_t i = 0; i < 16; i++)
		close(waiting_fds[i]);
	close(fd);
	pump_stop(pump);
}

/* ---- drain ---- */

static bool stalls(struct peer *p)
{
	say_events_head(p);
	say_chunk(p, HELLO);
	(void)leaves(p);
	return false;
}

static void no_stream_outlives_the_drain_and_each_is_told(void **state)
{
	struct pump *pump = new_pump("");
	struct call c = call_of(true);

	(void)state;
	script_start(&server, stalls);
	pump_drain(pump, clock_mono_ms() + 150);
	run_one(pump, stalls, &c);
	assert_int_equal(c.rc, ERR_BUSY);
	assert_true(saw(&c, "\"content\":\"Hel\""));
	assert_true(saw(&c, "being restarted"));
	assert_true(slice_ends(buf_slice(&c.seen), "\"finish_reason\":\"error\"}]}\n\n"));
	end_call(&c);
	pump_stop(pump);
	script_stop(&server);
}

static void a_drain_lets_streams_finish_before_its_deadline(void **state)
{
	struct pump *pump = new_pump("");

	(void)state;
	script_start(&server, NULL);
	pump_drain(pump, clock_mono_ms() + 60000);
	assert_hello(pump);
	pump_stop(pump);
	script_stop(&server);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_finished_stream_leaves_its_connection_to_the_next),
		cmocka_unit_test(each_transfer_goes_to_its_own_url_whatever_went_before),
		cmocka_unit_test(a_connection_is_kept_although_the_body_ends_after_done),
		cmocka_unit_test(a_connection_that_the_provider_closed_is_no_error),
		cmocka_unit_test(an_answer_may_come_before_the_request_was_sent),
		cmocka_unit_test(many_at_once_all_get_their_own_answer),
		cmocka_unit_test(only_the_configured_proxy_is_asked),
		cmocka_unit_test(a_host_that_does_not_answer_is_given_up),
		cmocka_unit_test(no_stream_outlives_the_drain_and_each_is_told),
		cmocka_unit_test(a_drain_lets_streams_finish_before_its_deadline),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
