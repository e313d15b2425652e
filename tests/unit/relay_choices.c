/* Streams of several choices: which of them must have come for an answer to be whole. */
#include "tests/unit/scripted.h"

#define OTHER \
	"data: {\"id\":\"a\",\"choices\":[{\"index\":1,\"delta\":{\"content\":\"Hey\"}," \
	"\"finish_reason\":\"stop\"}]}\n\n"

/* The connection is the answer's end. */
static bool say_until_close(struct peer *p, const char *events)
{
	say(p, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n");
	say(p, events);
	return false;
}
static bool ends_between_choices(struct peer *p)
{
	return say_until_close(p, HELLO STOP);
}
static bool ends_within_the_second_choice(struct peer *p)
{
	return say_until_close(p, HELLO STOP "data: {\"choices\":[{\"index\":1,");
}
static bool knows_one_choice_only(struct peer *p)
{
	return say_until_close(p, HELLO STOP DONE);
}
static bool ends_behind_both(struct peer *p)
{
	return say_until_close(p, HELLO STOP OTHER);
}

/* Fails when a choice that has finished is enough (tried). */
static void choices_that_never_began_are_missing_unless_an_end_mark_says_so(void **state)
{
	static const struct {
		script play;
		enum err_code rc;
	} rows[] = {
		{ ends_between_choices, ERR_UPSTREAM_CLOSED },
		{ ends_within_the_second_choice, ERR_UPSTREAM_CLOSED },
		{ knows_one_choice_only, ERR_OK },
		{ ends_behind_both, ERR_OK },
	};
	struct provider_script server;
	struct pump *pump = new_pump("");

	(void)state;
	script_start(&server, NULL);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct call c = call_of(true);

		print_message("row %zu\n", i);
		c.n = 2;
		server.play = rows[i].play;
		place_call(pump, &server, &c);
		read_all(&c);
		assert_int_equal(c.rc, rows[i].rc);
		assert_int_equal(c.res.complete, !rows[i].rc);
		assert_true(saw(&c, "\"content\":\"Hel\""));
		assert_int_equal(saw(&c, "\"error\":{"), rows[i].rc != ERR_OK);
		assert_int_equal(slice_ends(buf_slice(&c.seen), DONE), !rows[i].rc);
		end_call(&c);
	}
	pump_stop(pump);
	script_stop(&server);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(choices_that_never_began_are_missing_unless_an_end_mark_says_so),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
