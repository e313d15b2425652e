#include "gateway/replay.h"
#include "gateway/tee.h"
#include "tests/unit/played_sink.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define ONE "data: {\"a\":1}\n\n"
#define TWO "data: {\"b\":2}\n\n"

/* ---- the flight, played ---- */

static struct {
	struct buf events;
	struct flight_who who;
	int begun;
	bool followed;
} flight;

/* Any address will do. */
#define FLIGHT ((struct flight *)&flight)

void flight_begin(struct flight *f, const struct flight_who *who)
{
	(void)f;
	flight.begun++;
	flight.who = *who;
}

void flight_write(struct flight *f, struct slice events)
{
	(void)f;
	buf_slice_append(&flight.events, events);
}

bool flight_is_followed(const struct flight *f)
{
	(void)f;
	return flight.followed;
}

static int reset(void **state)
{
	(void)state;
	buf_fini(&flight.events);
	flight.begun = 0;
	flight.followed = false;
	return 0;
}

static void begin(struct tee *t)
{
	const struct sink_head head = { .status = 200,
		.content_type = "text/event-stream",
		.extra = SLICE("X-Request-Id: x\r\n"),
		.streaming = true };

	assert_int_equal(sink_begin(&t->sink, &head), SINK_OK);
}

/* ---- tests ---- */

static void events_are_kept_and_comments_are_not(void **state)
{
	struct played_sink client = played_sink();
	struct tee t;

	(void)state;
	tee_init(&t, &client.sink, FLIGHT, 1000);
	begin(&t);
	assert_int_equal(sink_write(&t.sink, SLICE(": ok\n\n")), SINK_OK);
	assert_int_equal(flight.begun, 0);
	assert_int_equal(sink_write(&t.sink, SLICE(ONE)), SINK_OK);
	assert_int_equal(sink_write(&t.sink, SLICE("\n")), SINK_OK);
	assert_int_equal(sink_write(&t.sink, SLICE(": keep-alive\n\n")), SINK_OK);
	assert_int_equal(sink_write(&t.sink, SLICE(TWO)), SINK_OK);
	assert_true(slice_is(buf_slice(&t.events), ONE TWO));
	assert_true(slice_is(buf_slice(&flight.events), ONE TWO));
	assert_true(slice_is(buf_slice(&client.got), ": ok\n\n" ONE "\n: keep-alive\n\n" TWO));
	assert_int_equal(flight.begun, 1);
	assert_true(sink_has_begun(&t.sink));
	assert_false(tee_client_is_gone(&t));
	tee_fini(&t);
	buf_fini(&client.got);
}

/* As when a heartbeat had to go out before. */
static void who_answers_is_told_though_the_head_names_nobody(void **state)
{
	struct played_sink client = played_sink();
	struct tee t;

	(void)state;
	tee_init(&t, &client.sink, FLIGHT, 1000);
	begin(&t);
	assert_int_equal(sink_write(&t.sink, SLICE(": keep-alive\n\n")), SINK_OK);
	tee_set_who(&t, "openai", "openai/m");
	assert_int_equal(sink_write(&t.sink, SLICE(ONE)), SINK_OK);
	assert_string_equal(flight.who.provider, "openai");
	assert_string_equal(flight.who.model, "openai/m");
	tee_set_who(&t, "other", "other/m"); /* who goes on with it */
	assert_int_equal(sink_write(&t.sink, SLICE(TWO)), SINK_OK);
	assert_int_equal(flight.begun, 1);
	assert_string_equal(flight.who.provider, "openai");
	tee_fini(&t);
	buf_fini(&client.got);
}

static void who_nobody_follows_ends_with_its_client(void **state)
{
	struct played_sink client = played_sink();
	struct tee t;

	(void)state;
	tee_init(&t, &client.sink, FLIGHT, 1000);
	begin(&t);
	client.gone = true;
	assert_true(sink_is_gone(&t.sink));
	assert_int_equal(sink_write(&t.sink, SLICE(ONE)), SINK_GONE);
	assert_true(tee_client_is_gone(&t));
	tee_fini(&t);
	buf_fini(&client.got);
}

static void who_is_followed_goes_on_without_its_client(void **state)
{
	struct played_sink client = played_sink();
	struct tee t;

	(void)state;
	tee_init(&t, &client.sink, FLIGHT, 1000);
	begin(&t);
	flight.followed = true;
	client.gone = true;
	assert_false(sink_is_gone(&t.sink));
	assert_int_equal(sink_write(&t.sink, SLICE(ONE)), SINK_OK);
	assert_int_equal(sink_flush(&t.sink), SINK_OK);
	assert_true(tee_client_is_gone(&t));
	assert_true(slice_is(buf_slice(&flight.events), ONE));
	assert_int_equal(client.got.len, 0);
	/* … until the last of them leaves, too. */
	flight.followed = false;
	assert_true(sink_is_gone(&t.sink));
	assert_int_equal(sink_write(&t.sink, SLICE(TWO)), SINK_GONE);
	tee_fini(&t);
	buf_fini(&client.got);
}

static void nobody_waits_for_a_slow_client_but_the_provider(void **state)
{
	struct played_sink client = played_sink();
	struct tee t;

	(void)state;
	tee_init(&t, &client.sink, FLIGHT, 1000);
	begin(&t);
	client.full_for = -1;
	assert_int_equal(sink_write(&t.sink, SLICE(ONE)), SINK_FULL);
	flight.followed = true;
	assert_int_equal(sink_write(&t.sink, SLICE(TWO)), SINK_OK);
	assert_false(tee_client_is_gone(&t));
	assert_true(slice_is(buf_slice(&client.got), ONE TWO));
	tee_fini(&t);
	buf_fini(&client.got);
}

static void too_much_is_not_kept_but_goes_out(void **state)
{
	struct played_sink client = played_sink();
	struct tee t;

	(void)state;
	tee_init(&t, &client.sink, NULL, sizeof(ONE));
	begin(&t);
	assert_int_equal(sink_write(&t.sink, SLICE(ONE)), SINK_OK);
	assert_int_equal(sink_write(&t.sink, SLICE(TWO)), SINK_OK);
	assert_false(buf_ok(&t.events));
	assert_true(slice_is(buf_slice(&client.got), ONE TWO));
	tee_fini(&t);
	buf_fini(&client.got);
}

static enum sink_state replay(struct played_sink *client, int64_t pace_ms, int64_t stall_ms)
{
	const struct replay how = { .pace_ms = pace_ms, .stall_ms = stall_ms };

	return replay_events(&client->sink, SLICE(ONE TWO), &how);
}

static bool after_the_first(void *ctx)
{
	return ((const struct played_sink *)ctx)->writes >= 1;
}

static void a_replay_without_time_makes_no_pauses(void **state)
{
	struct played_sink client = played_sink();
	/* Longer than any test may take. */
	const struct replay how = {
		.pace_ms = 3600000, .stall_ms = 1, .must_hurry = after_the_first, .ctx = &client
	};

	(void)state;
	assert_int_equal(replay_events(&client.sink, SLICE(ONE TWO TWO), &how), SINK_OK);
	assert_int_equal(client.writes, 2);
	assert_true(slice_is(buf_slice(&client.got), ONE TWO TWO));
	buf_fini(&client.got);
}

static void a_replay_writes_all_at_once_or_event_by_event(void **state)
{
	struct played_sink client = played_sink();

	(void)state;
	assert_int_equal(replay(&client, 0, 1000), SINK_OK);
	assert_int_equal(client.writes, 1);
	client.writes = 0;
	assert_int_equal(replay(&client, 1, 1000), SINK_OK);
	assert_int_equal(client.writes, 2);
	assert_true(slice_is(buf_slice(&client.got), ONE TWO ONE TWO));
	buf_fini(&client.got);
}

static void a_replay_waits_for_a_slow_client_and_not_for_one_that_left(void **state)
{
	struct played_sink client = played_sink();

	(void)state;
	client.full_for = 2;
	assert_int_equal(replay(&client, 1, 5000), SINK_OK);
	assert_int_equal(client.full_for, 0);
	client.full_for = -1;
	assert_int_equal(replay(&client, 1, 20), SINK_GONE);
	client.full_for = 0;
	client.gone_at = 1;
	assert_int_equal(replay(&client, 1, 5000), SINK_GONE);
	buf_fini(&client.got);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(events_are_kept_and_comments_are_not, reset),
		cmocka_unit_test_setup(who_answers_is_told_though_the_head_names_nobody, reset),
		cmocka_unit_test_setup(who_nobody_follows_ends_with_its_client, reset),
		cmocka_unit_test_setup(who_is_followed_goes_on_without_its_client, reset),
		cmocka_unit_test_setup(nobody_waits_for_a_slow_client_but_the_provider, reset),
		cmocka_unit_test_setup(too_much_is_not_kept_but_goes_out, reset),
		cmocka_unit_test(a_replay_writes_all_at_once_or_event_by_event),
		cmocka_unit_test(a_replay_without_time_makes_no_pauses),
		cmocka_unit_test_teardown(
			a_replay_waits_for_a_slow_client_and_not_for_one_that_left, reset),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
