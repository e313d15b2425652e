/* Following: a leader in the same process, and a client that the test plays. */
#include "gateway/follow_flight.h"

#include "base/clock.h"
#include "store/flights_table.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "tests/unit/played_sink.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define MAX_BYTES ((size_t)1 << 20)

static char home[64];
static struct flights *flights;
static struct flight *leader, *follower;
static const struct flight_who lab = { .model = "lab/m", .provider = "lab" };

/* One request that follows, and what came of it. */
static struct asking {
	struct follow_call call;
	struct played_sink client;
	struct flight_who began; /* what the head was made of */
	struct buf spoken, room;
	struct cache_entry entry;
	struct flight_who who;
	struct err e;
} a;

static enum sink_state begin(void *ctx, const struct flight_who *who)
{
	const struct sink_head head = { .status = 200, .streaming = true, .length = -1 };

	assert_ptr_equal(ctx, &a);
	a.began = *who;
	return sink_begin(&a.client.sink, &head);
}

static int set_up(void **state)
{
	const struct flights_conf conf = { .home = home, .max_bytes = MAX_BYTES };
	struct cache_key key = { .length = 1 };

	(void)state;
	snprintf(home, sizeof(home), "/tmp/tollgate-follow-XXXXXX");
	assert_non_null(mkdtemp(home));
	assert_int_equal(flights_open(&flights, &conf, NULL), ERR_OK);
	assert_int_equal(flight_join(flights, &key, true, &leader), FLIGHT_LEADS);
	assert_int_equal(flight_join(flights, &key, true, &follower), FLIGHT_FOLLOWS);
	a = (struct asking){ .client = played_sink(),
		.call = { .stream = true,
			.begin = begin,
			.ctx = &a,
			.client_stall_ms = 10000,
			.deadline_mono_ms = clock_mono_ms() + 20000 },
		.spoken = { .max_bytes = MAX_BYTES },
		.room = { .max_bytes = 2 * MAX_BYTES } };
	a.call.client = &a.client.sink;
	return 0;
}

static int tear_down(void **state)
{
	struct flight_map m;
	char path[128];

	(void)state;
	flight_end(follower, NULL);
	flights_close(flights);
	assert_int_equal(flight_map_open(&m, home, NULL), ERR_OK);
	unlink(m.path);
	flight_map_close(&m);
	snprintf(path, sizeof(path), "%s/flights.lock", home);
	unlink(path);
	rmdir(home);
	buf_fini(&a.client.got);
	buf_fini(&a.spoken);
	buf_fini(&a.room);
	return 0;
}

static enum follow_end follow(void)
{
	return follow_flight(follower, &a.call, &a.spoken, &a.room, &a.entry, &a.who, &a.e);
}

static const struct cache_entry entry = { .form = CACHE_EVENTS,
	.model = "lab/m",
	.provider = "lab",
	.usage = { "{}", 2 },
	.body = { "data: 1\n\ndata: 2\n\n", 18 } };

static void say_both(void)
{
	flight_begin(leader, &lab);
	flight_write(leader, SLICE("data: 1\n\n"));
	flight_write(leader, SLICE("data: 2\n\n"));
}

static void assert_text(const struct buf *b, const char *text)
{
	assert_int_equal(b->len, strlen(text));
	assert_memory_equal(b->data ? b->data : "", text, strlen(text));
}

/* ---- what goes well ---- */

static void the_client_gets_the_leaders_events_once_and_the_caller_its_entry(void **state)
{
	(void)state;
	say_both();
	flight_end(leader, &entry);
	assert_int_equal(follow(), FOLLOW_WHOLE);
	assert_text(&a.client.got, "data: 1\n\ndata: 2\n\n");
	assert_text(&a.spoken, "data: 1\n\ndata: 2\n\n");
	assert_int_equal(a.client.heads, 1);
	assert_string_equal(a.began.provider, "lab");
	assert_string_equal(a.who.model, "lab/m");
	assert_true(slice_eq(a.entry.body, entry.body));
}

static void a_client_that_reads_a_whole_answer_is_told_nothing_before(void **state)
{
	(void)state;
	a.call.stream = false;
	a.call.heartbeat_ms = 1;
	say_both();
	flight_end(leader, &entry);
	assert_int_equal(follow(), FOLLOW_WHOLE);
	assert_int_equal(a.client.heads, 0);
	assert_int_equal(a.client.got.len, 0);
	assert_int_equal(a.spoken.len, 0);
	assert_true(slice_eq(a.entry.body, entry.body));
}

static bool only_other(void *ctx, const struct flight_who *who)
{
	(void)ctx;
	return strcmp(who->provider, "other") == 0;
}

static void whose_answer_is_not_accepted_is_not_heard(void **state)
{
	(void)state;
	a.call.accepts = only_other;
	say_both();
	assert_int_equal(follow(), FOLLOW_LOST_SILENT);
	assert_int_equal(a.client.heads, 0);
	assert_int_equal(a.spoken.len, 0);
	flight_end(leader, &entry);
}

static void nor_is_it_when_it_comes_in_one_piece(void **state)
{
	struct cache_entry whole = entry;

	(void)state;
	a.call.accepts = only_other;
	whole.form = CACHE_WHOLE;
	flight_end(leader, &whole);
	assert_int_equal(follow(), FOLLOW_LOST_SILENT);
	assert_int_equal(a.client.heads, 0);
}

static void an_answer_in_one_piece_is_the_callers_to_give(void **state)
{
	struct cache_entry whole = entry;

	(void)state;
	whole.form = CACHE_WHOLE;
	flight_end(leader, &whole);
	assert_int_equal(follow(), FOLLOW_WHOLE);
	assert_int_equal(a.client.heads, 0);
	assert_string_equal(a.who.provider, "lab");
}

static void *fail_later(void *ctx)
{
	(void)ctx;
	usleep(150000);
	flight_end(leader, NULL);
	return NULL;
}

static void a_silent_leaders_follower_sends_heartbeats_that_name_nobody(void **state)
{
	pthread_t thread;

	(void)state;
	a.call.heartbeat_ms = 20;
	assert_int_equal(pthread_create(&thread, NULL, fail_later, NULL), 0);
	assert_int_equal(follow(), FOLLOW_LOST_SILENT);
	pthread_join(thread, NULL);
	assert_int_equal(a.client.heads, 1);
	assert_string_equal(a.began.provider, "");
	assert_true(a.client.got.len >= 2 * strlen(": keep-alive\n\n"));
	assert_memory_equal(a.client.got.data, ": keep-alive\n\n: keep", 20);
	assert_int_equal(a.spoken.len, 0);
}

static void a_client_that_is_slow_gets_everything(void **state)
{
	(void)state;
	a.client.full_for = 3;
	say_both();
	flight_end(leader, &entry);
	assert_int_equal(follow(), FOLLOW_WHOLE);
	assert_text(&a.client.got, "data: 1\n\ndata: 2\n\n");
	assert_int_equal(a.client.full_for, 0);
}

/* ---- what does not ---- */

static void a_leader_lost_in_silence_is_told_and_no_head_went_out(void **state)
{
	(void)state;
	flight_end(leader, NULL);
	assert_int_equal(follow(), FOLLOW_LOST_SILENT);
	assert_int_equal(a.client.heads, 0);
}

static void what_was_delivered_of_a_lost_leader_is_known(void **state)
{
	pthread_t thread;

	(void)state;
	say_both();
	assert_int_equal(pthread_create(&thread, NULL, fail_later, NULL), 0);
	assert_int_equal(follow(), FOLLOW_LOST_SPOKEN);
	pthread_join(thread, NULL);
	assert_text(&a.client.got, "data: 1\n\ndata: 2\n\n");
	assert_text(&a.spoken, "data: 1\n\ndata: 2\n\n");
}

static void nothing_is_delivered_that_is_not_known(void **state)
{
	(void)state;
	a.spoken.max_bytes = 17;
	say_both();
	assert_int_equal(follow(), FOLLOW_LOST_SILENT);
	assert_int_equal(a.client.got.len, 0);
	assert_int_equal(a.spoken.len, 0);
	flight_end(leader, NULL);
}

static void a_client_that_leaves_ends_the_wait(void **state)
{
	(void)state;
	a.client.gone = true;
	assert_int_equal(follow(), FOLLOW_CLIENT_GONE);
	assert_int_equal(a.e.code, ERR_CLIENT_GONE);
	flight_end(leader, NULL);
}

static void a_client_that_leaves_while_it_is_written_to_ends_it(void **state)
{
	(void)state;
	a.client.gone_at = 1;
	say_both();
	assert_int_equal(follow(), FOLLOW_CLIENT_GONE);
	assert_int_equal(a.client.got.len, 0);
	flight_end(leader, NULL);
}

static void a_client_that_takes_nothing_is_given_up(void **state)
{
	(void)state;
	a.client.full_for = -1;
	a.call.client_stall_ms = 1;
	say_both();
	flight_end(leader, &entry);
	assert_int_equal(follow(), FOLLOW_CLIENT_GONE);
	assert_int_equal(a.e.code, ERR_CLIENT_GONE);
	assert_non_null(strstr(a.e.message, "GATEWAY_CLIENT_STALL"));
}

static void the_deadline_ends_the_wait(void **state)
{
	(void)state;
	a.call.deadline_mono_ms = clock_mono_ms() + 10;
	assert_int_equal(follow(), FOLLOW_TIMEOUT);
	assert_int_equal(a.e.code, ERR_UPSTREAM_TIMEOUT);
	flight_end(leader, NULL);
}

static bool it_must(void *ctx)
{
	assert_ptr_equal(ctx, &a);
	return true;
}

static void a_process_that_has_to_end_follows_no_longer(void **state)
{
	(void)state;
	a.call.must_end = it_must;
	say_both();
	assert_int_equal(follow(), FOLLOW_TIMEOUT);
	assert_int_equal(a.e.code, ERR_BUSY);
	flight_end(leader, NULL);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(the_client_gets_the_leaders_events_once_and_the_caller_its_entry),
		TEST(a_client_that_reads_a_whole_answer_is_told_nothing_before),
		TEST(whose_answer_is_not_accepted_is_not_heard),
		TEST(nor_is_it_when_it_comes_in_one_piece),
		TEST(an_answer_in_one_piece_is_the_callers_to_give),
		TEST(a_silent_leaders_follower_sends_heartbeats_that_name_nobody),
		TEST(a_client_that_is_slow_gets_everything),
		TEST(a_leader_lost_in_silence_is_told_and_no_head_went_out),
		TEST(what_was_delivered_of_a_lost_leader_is_known),
		TEST(nothing_is_delivered_that_is_not_known),
		TEST(a_client_that_leaves_ends_the_wait),
		TEST(a_client_that_leaves_while_it_is_written_to_ends_it),
		TEST(a_client_that_takes_nothing_is_given_up),
		TEST(the_deadline_ends_the_wait),
		TEST(a_process_that_has_to_end_follows_no_longer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
