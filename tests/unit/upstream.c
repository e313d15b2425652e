/* The pump: many transfers at once, kept connections, drain. */
#include "tests/unit/scripted.h"

static struct provider_script server;

static bool plays_hello(struct peer *p)
{
	say_events_head(p);
	say_chunk(p, HELLO STOP DONE);
	say_chunk(p, "");
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
		cmocka_unit_test(no_stream_outlives_the_drain_and_each_is_told),
		cmocka_unit_test(a_drain_lets_streams_finish_before_its_deadline),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
