/* The pump's jobs: several for one client, of which one overtakes another; orders; pauses. */
#include "tests/unit/runner.h"

static struct provider_script server, other_server;

static void assert_ends(struct job_group *g, struct runner *r, enum err_code rc)
{
	while (!job_has_ended(&r->job))
		assert_true(job_group_wait(g, clock_mono_ms() + 30000));
	assert_int_equal(r->job.rc, rc);
	assert_int_equal(r->job.err.code, rc);
}

/* Nothing but the deadline of the whole test ends this: what is awaited has to come. */
#define AWAIT(what) \
	do { \
		for (int i_ = 0; !(what) && i_ < 3000; i_++) \
			usleep(5000); \
		assert_true(what); \
	} while (0)

/* What each test has. */
static struct {
	struct pump *pump;
	struct job_group group;
	struct out out;
	struct call call; /* the client's ends */
	struct runner *first, *second;
} race;

static int set_up(void **state)
{
	(void)state;
	script_start(&server, NULL);
	script_start(&other_server, NULL);
	race.pump = new_pump("");
	race.call = call_of(true);
	open_client(&race.call);
	out_init(&race.out, race.call.client[1], false, 1);
	job_group_init(&race.group);
	race.first = new_runner(&server, &race.out.sink);
	race.second = new_runner(&other_server, NULL);
	race.second->rival = race.first;
	return 0;
}

/* Whatever went wrong before, the next request is served (promise 8). */
static void assert_healthy(void)
{
	struct call c = call_of(true);

	server.play = plays_hello;
	place_call(race.pump, &server, &c);
	read_all(&c);
	assert_int_equal(c.rc, ERR_OK);
	assert_true(slice_ends(buf_slice(&c.seen), DONE));
	end_call(&c);
}

static void client_leaves(void)
{
	close(race.call.client[0]);
	race.call.client[0] = -1;
}

static int tear_down(void **state)
{
	(void)state;
	job_group_fini(&race.group);
	free_runner(race.first);
	free_runner(race.second);
	out_fini(&race.out);
	close(race.call.client[1]);
	end_call(&race.call);
	pump_stop(race.pump);
	script_stop(&server);
	script_stop(&other_server);
	return 0;
}

static void submit(struct runner *r)
{
	pump_submit(race.pump, &r->job, &race.group);
}

/* ---- overtaking ---- */

/* Talks for as long as somebody listens. */
static bool talks_on(struct peer *p)
{
	say_events_head(p);
	for (int i = 0; i < 3000; i++) {
		struct pollfd f = { .fd = p->fd, .events = POLLIN };

		say_chunk(p, HELLO);
		if (poll(&f, 1, 5) > 0)
			break;
	}
	return says_nothing(p);
}

static bool hello_when_first_talks(struct peer *p)
{
	AWAIT(race.first->pieces > 2);
	return plays_hello(p);
}

static void who_speaks_first_answers_and_the_other_is_hung_up_on(void **state)
{
	(void)state;
	server.play = says_nothing;
	other_server.play = plays_hello;
	submit(race.first);
	AWAIT(server.accepted == 1);
	submit(race.second);
	assert_ends(&race.group, race.second, ERR_OK);
	assert_ends(&race.group, race.first, ERR_OVERTAKEN);
	AWAIT(server.left == 1);
	assert_int_equal(race.first->calls, 0);
	assert_null(race.first->job.client);
	shutdown(race.call.client[1], SHUT_WR);
	read_all(&race.call);
	assert_true(slice_ends(buf_slice(&race.call.seen), HELLO STOP DONE));
	assert_healthy();
}

static void operations_of_an_overtaken_job_stay_silent(void **state)
{
	(void)state;
	server.play = talks_on;
	other_server.play = hello_when_first_talks;
	submit(race.first);
	submit(race.second);
	assert_ends(&race.group, race.second, ERR_OK);
	assert_ends(&race.group, race.first, ERR_OVERTAKEN);
	AWAIT(server.left == 1);
	assert_true(race.first->calls > 2);
	assert_int_equal(race.first->calls, race.second->rival_calls);
}

static void the_winner_has_the_heartbeats_and_sees_the_client_leave(void **state)
{
	(void)state;
	server.play = says_nothing;
	other_server.play = stalls;
	race.first->job.heartbeat_ms = race.second->job.heartbeat_ms = 100;
	submit(race.first);
	AWAIT(race.first->beats > 0);
	assert_int_equal(race.second->beats, 0);
	submit(race.second);
	AWAIT(race.second->beats > 1);
	assert_ends(&race.group, race.first, ERR_OVERTAKEN);
	assert_int_equal(race.first->calls, race.second->rival_calls);
	client_leaves();
	assert_ends(&race.group, race.second, ERR_CLIENT_GONE);
	assert_healthy();
}

static bool hello_when_first_is_full(struct peer *p)
{
	AWAIT(race.first->full);
	return talks_on(p);
}

static bool floods(struct peer *p)
{
	char text[8192];

	memset(text, '.', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	say_events_head(p);
	for (int i = 0; i < 1000 && !race.first->full; i++)
		say_chunk(p, text);
	return says_nothing(p);
}

static void a_full_client_is_full_for_the_winner_too(void **state)
{
	(void)state;
	server.play = floods;
	other_server.play = hello_when_first_is_full;
	race.second->mute = true; /* so that it does not hear of it from a write */
	submit(race.first);
	submit(race.second);
	assert_ends(&race.group, race.first, ERR_OVERTAKEN);
	usleep(50000); /* if it could get more it would */
	assert_int_equal(race.second->pieces, 1);
	for (int i = 0; i < 3000 && !saw(&race.call, "data: "); i++) {
		char bytes[65536];
		ssize_t n = recv(race.call.client[0], bytes, sizeof(bytes), 0);

		assert_true(n > 0);
		buf_append(&race.call.seen, bytes, (size_t)n);
	}
	assert_true(race.second->pieces > 1);
	client_leaves();
	assert_ends(&race.group, race.second, ERR_CLIENT_GONE);
	assert_healthy();
}

static void the_stall_limit_goes_on_for_the_winner(void **state)
{
	(void)state;
	server.play = floods;
	other_server.play = hello_when_first_is_full;
	race.second->mute = true;
	race.second->job.client_stall_ms = 200;
	submit(race.first);
	submit(race.second);
	assert_ends(&race.group, race.first, ERR_OVERTAKEN);
	assert_ends(&race.group, race.second, ERR_CLIENT_GONE);
	assert_int_equal(race.second->pieces, 1);
}

static bool hangs_up(struct peer *p)
{
	(void)p;
	return false;
}

static bool hello_when_first_has_ended(struct peer *p)
{
	AWAIT(job_has_ended(&race.first->job));
	return stalls(p);
}

static void the_client_of_a_job_that_has_ended_can_be_taken_over(void **state)
{
	(void)state;
	server.play = hangs_up;
	other_server.play = hello_when_first_has_ended;
	submit(race.first);
	submit(race.second);
	assert_ends(&race.group, race.first, ERR_UPSTREAM_CONNECT);
	AWAIT(race.second->pieces == 1);
	client_leaves();
	assert_ends(&race.group, race.second, ERR_CLIENT_GONE);
}

/* ---- what a request thread orders ---- */

/* Lets the pump sleep in an operation of first until the semaphore is posted. */
static void block_pump(sem_t *until)
{
	server.play = plays_hello;
	sem_init(until, 0, 0);
	race.first->blocks = until;
	submit(race.first);
	AWAIT(race.first->pieces == 1);
}

static void a_job_called_off_before_its_begin_is_never_begun(void **state)
{
	struct runner *pause = new_runner(NULL, NULL);
	sem_t until;

	(void)state;
	block_pump(&until);
	submit(race.second);
	submit(pause);
	pump_cancel(race.pump, &pause->job);
	pump_cancel(race.pump, &race.second->job);
	pump_cancel(race.pump, &race.second->job); /* twice is once */
	assert_false(job_has_ended(&race.second->job));
	sem_post(&until);
	assert_ends(&race.group, race.second, ERR_OVERTAKEN);
	assert_ends(&race.group, pause, ERR_OVERTAKEN);
	assert_ends(&race.group, race.first, ERR_OK);
	assert_int_equal(other_server.accepted, 0);
	free_runner(pause);
	sem_destroy(&until);
	assert_healthy();
}

static void a_job_called_off_in_the_middle_is_hung_up_on(void **state)
{
	(void)state;
	server.play = stalls;
	submit(race.first);
	AWAIT(race.first->pieces == 1);
	pump_cancel(race.pump, &race.first->job);
	assert_ends(&race.group, race.first, ERR_OVERTAKEN);
	AWAIT(server.left == 1);
	assert_healthy();
}

static void a_job_that_ends_when_it_is_called_off_ends_once(void **state)
{
	sem_t until;
	int posts;

	(void)state;
	block_pump(&until);
	pump_cancel(race.pump, &race.first->job); /* it is about to end well */
	sem_post(&until);
	assert_true(job_group_wait(&race.group, INT64_MAX));
	assert_ends(&race.group, race.first, ERR_OK);
	pump_cancel(race.pump, &race.first->job);
	pump_give_client(race.pump, &race.first->job, &race.out.sink);
	other_server.play = plays_hello;
	race.second->rival = NULL;
	submit(race.second); /* when it has ended the pump has obeyed */
	assert_true(job_group_wait(&race.group, INT64_MAX));
	assert_int_equal(sem_getvalue(&race.group.stirred, &posts), 0);
	assert_int_equal(posts, 0);
	sem_destroy(&until);
}

static void a_job_without_a_client_can_be_given_one(void **state)
{
	(void)state;
	race.second->rival = NULL;
	race.second->job.heartbeat_ms = 100;
	other_server.play = stalls;
	submit(race.second);
	AWAIT(race.second->pieces == 1);
	usleep(250000); /* nobody is there for heartbeats */
	assert_int_equal(race.second->beats, 0);
	pump_give_client(race.pump, &race.second->job, &race.out.sink);
	AWAIT(race.second->beats > 1);
	client_leaves();
	assert_ends(&race.group, race.second, ERR_CLIENT_GONE);
}

static void a_client_on_its_way_to_a_job_goes_on_to_who_overtakes_it(void **state)
{
	struct runner *given = new_runner(&other_server, NULL);
	sem_t until;

	(void)state;
	race.first->job.client = NULL;
	race.first->rival = given;
	other_server.play = says_nothing;
	submit(given);
	AWAIT(other_server.accepted == 1);
	block_pump(&until);
	pump_give_client(race.pump, &given->job, &race.out.sink);
	sem_post(&until);
	assert_ends(&race.group, race.first, ERR_OK);
	assert_ends(&race.group, given, ERR_OVERTAKEN);
	shutdown(race.call.client[1], SHUT_WR);
	read_all(&race.call);
	assert_true(slice_ends(buf_slice(&race.call.seen), HELLO STOP DONE));
	free_runner(given);
	sem_destroy(&until);
}

/* ---- pauses ---- */

static void a_pause_has_heartbeats_and_ends_well(void **state)
{
	struct runner *pause = new_runner(NULL, &race.out.sink);
	struct err e;

	(void)state;
	pause->job.pause_ms = 350;
	pause->job.heartbeat_ms = 100;
	assert_int_equal(pump_run(race.pump, &pause->job, &e), ERR_OK);
	assert_true(pause->beats > 0);
	shutdown(race.call.client[1], SHUT_WR);
	read_all(&race.call);
	assert_true(saw(&race.call, ": beat\n\n"));
	pause->job.client = NULL;
	pause->job.pause_ms = 0;
	pause->beats = 0;
	assert_int_equal(pump_run(race.pump, &pause->job, &e), ERR_OK);
	assert_int_equal(pause->beats, 0);
	free_runner(pause);
}

static void a_pause_ends_when_the_client_leaves(void **state)
{
	struct runner *pause = new_runner(NULL, &race.out.sink);

	(void)state;
	pause->job.pause_ms = pause->job.client_stall_ms;
	submit(pause);
	client_leaves();
	assert_ends(&race.group, pause, ERR_CLIENT_GONE);
	free_runner(pause);
	assert_healthy();
}

static void heartbeats_go_on_over_several_jobs(void **state)
{
	struct runner *pause = new_runner(NULL, &race.out.sink);

	(void)state;
	pause->job.pause_ms = 60;
	pause->job.heartbeat_ms = 200;
	/* None lasts for a heartbeat, all together do. */
	for (int i = 0; i < 100 && !pause->beats; i++) {
		submit(pause);
		assert_ends(&race.group, pause, ERR_OK);
	}
	assert_true(pause->beats > 0);
	free_runner(pause);
}

static void a_drain_ends_all_jobs_of_a_group(void **state)
{
	struct runner *pause = new_runner(NULL, NULL);

	(void)state;
	server.play = other_server.play = says_nothing;
	submit(race.first);
	submit(race.second);
	submit(pause);
	AWAIT(server.accepted == 1 && other_server.accepted == 1);
	pump_drain(race.pump, clock_mono_ms());
	assert_ends(&race.group, race.first, ERR_BUSY);
	assert_ends(&race.group, race.second, ERR_BUSY);
	assert_ends(&race.group, pause, ERR_BUSY);
	free_runner(pause);
}

#define RACE(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
int main(void)
{
	const struct CMUnitTest tests[] = {
		RACE(who_speaks_first_answers_and_the_other_is_hung_up_on),
		RACE(operations_of_an_overtaken_job_stay_silent),
		RACE(the_winner_has_the_heartbeats_and_sees_the_client_leave),
		RACE(a_full_client_is_full_for_the_winner_too),
		RACE(the_stall_limit_goes_on_for_the_winner),
		RACE(the_client_of_a_job_that_has_ended_can_be_taken_over),
		RACE(a_job_called_off_before_its_begin_is_never_begun),
		RACE(a_job_called_off_in_the_middle_is_hung_up_on),
		RACE(a_job_that_ends_when_it_is_called_off_ends_once),
		RACE(a_job_without_a_client_can_be_given_one),
		RACE(a_client_on_its_way_to_a_job_goes_on_to_who_overtakes_it),
		RACE(a_pause_has_heartbeats_and_ends_well),
		RACE(a_pause_ends_when_the_client_leaves),
		RACE(heartbeats_go_on_over_several_jobs),
		RACE(a_drain_ends_all_jobs_of_a_group),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
