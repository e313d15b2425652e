/* Flights over hosts: two tables of flights in two folders are two hosts with one Redis. */
#include "store/flights_redis.h"
#include "tests/unit/redis_played.h"

#define MAX_BYTES ((size_t)2 << 20)
#define HOSTS     2

struct test_host {
	char home[40];
	struct redis *redis;
	struct flights *flights;
};

static struct redis_rig rig;
static struct test_host hosts[HOSTS];

static void open_host(struct test_host *h, const char *url)
{
	snprintf(h->home, sizeof(h->home), "/tmp/tollgate-far-XXXXXX");
	assert_non_null(mkdtemp(h->home));
	h->redis = redis_of(url, LONG_MS);
	assert_int_equal(
		flights_open(&h->flights,
			&(struct flights_conf){
				.home = h->home, .redis = h->redis, .max_bytes = MAX_BYTES },
			&err),
		ERR_OK);
}

static int set_up(void **state)
{
	(void)state;
	rig = (struct redis_rig){ .tcp = true };
	assert_true(redis_rig_start(&rig));
	for (size_t i = 0; i < HOSTS; i++)
		open_host(&hosts[i], rig.url);
	return 0;
}

static void close_host(struct test_host *h)
{
	flights_close(h->flights);
	redis_close(h->redis);
	(void)rig_run("rm -rf -- %s", h->home);
	h->flights = NULL;
}

static int tear_down(void **state)
{
	(void)state;
	for (size_t i = 0; i < HOSTS; i++)
		close_host(&hosts[i]);
	redis_rig_stop(&rig);
	return 0;
}

static const struct cache_key key = { .hash = { 1, 2, 3 }, .length = 9, .crc = 10 };

static struct flight *joins(size_t host, enum flight_role role)
{
	struct flight *f;

	assert_int_equal(flight_join(hosts[host].flights, &key, true, &f), role);
	return f;
}

static void begins(struct flight *f)
{
	flight_begin(f, &(struct flight_who){ "lab/m", "lab" });
}

static void ends_whole(struct flight *f, const char *body)
{
	const struct cache_entry entry = { .form = CACHE_EVENTS,
		.made_ms = 1,
		.expires_ms = 2,
		.saved_microusd = 77,
		.model = "lab/m",
		.provider = "lab",
		.finish_reason = "stop",
		.usage = SLICE("{}"),
		.body = slice_of(body) };

	flight_end(f, &entry);
}

/* Reads until there is this news. What is told before is added to text. */
static bool hears(struct flight *f, enum flight_news wanted, struct buf *text)
{
	int64_t until = clock_mono_ms() + RIG_WAIT_MS;
	struct cache_entry entry = { .saved_microusd = 0 };
	struct flight_who who = { .model = "" };
	enum flight_news news;

	do {
		size_t before = text->len;

		news = flight_read(f, text, &who, &entry, 500);
		if (news == FLIGHT_MORE || news == FLIGHT_WHOLE) {
			assert_string_equal(who.model, "lab/m");
			assert_string_equal(who.provider, "lab");
		}
		if (news == FLIGHT_WHOLE) {
			assert_int_equal(entry.saved_microusd, 77);
			assert_true(slice_is(entry.usage, "{}"));
			assert_true(slice_starts(entry.body, "whole"));
			text->len = before;
		}
	} while (news != wanted && (news == FLIGHT_QUIET || news == FLIGHT_MORE) &&
		 clock_mono_ms() < until);
	if (news != wanted)
		print_message("news: %d\n", (int)news);
	return news == wanted;
}

static bool hears_text(struct flight *f, const char *wanted, struct buf *text)
{
	int64_t until = clock_mono_ms() + RIG_WAIT_MS;

	while (!slice_is(buf_slice(text), wanted) && clock_mono_ms() < until) {
		struct cache_entry entry;
		struct flight_who who;
		enum flight_news news = flight_read(f, text, &who, &entry, 500);

		if (news == FLIGHT_WHOLE || news == FLIGHT_LOST)
			return false;
	}
	return slice_is(buf_slice(text), wanted);
}

static void says(struct flight *f, const char *events)
{
	flight_write(f, slice_of(events));
}

/* A leader hands on when it says something: until then there must be somebody to hear it. */
static void is_joined(const struct flight *leader)
{
	for (int i = 0; i < 1000 && !flight_is_followed(leader); i++)
		poll(NULL, 0, 10);
	assert_true(flight_is_followed(leader));
}

static bool no_claim_is_left(void)
{
	return redis_rig_await(&rig, "KEYS test:flight:*.9.a}", "*0\r\n");
}

static void another_host_gets_it_from_the_beginning_to_the_end(void **state)
{
	struct flight *leader = joins(0, FLIGHT_LEADS), *far, *near;
	struct buf text = { .max_bytes = 0 }, near_text = { .max_bytes = 0 };

	(void)state;
	begins(leader);
	says(leader, "one ");
	far = joins(1, FLIGHT_FOLLOWS);
	near = joins(1, FLIGHT_FOLLOWS); /* of the same host: from the first */
	/* The leader speaks on, as leaders do: then it hands on what it has. */
	is_joined(leader);
	says(leader, "two ");
	assert_true(hears_text(far, "one two ", &text));
	says(leader, "three");
	assert_true(hears_text(far, "one two three", &text));
	ends_whole(leader, "whole one two three");
	assert_true(hears(far, FLIGHT_WHOLE, &text));
	assert_true(hears(near, FLIGHT_WHOLE, &near_text));
	assert_true(slice_is(buf_slice(&near_text), "one two three"));
	flight_end(far, NULL);
	flight_end(near, NULL);
	assert_true(no_claim_is_left());
	buf_fini(&text);
	buf_fini(&near_text);
}

static void a_whole_answer_without_events_arrives(void **state)
{
	struct flight *leader = joins(0, FLIGHT_LEADS), *far = joins(1, FLIGHT_FOLLOWS);
	struct buf text = { .max_bytes = 0 };
	char *body = malloc(1200001);

	(void)state;
	assert_non_null(body);
	memset(body, 'x', 1200000);
	memcpy(body, "whole", 5);
	body[1200000] = '\0';
	is_joined(leader);
	ends_whole(leader, body);
	assert_true(hears(far, FLIGHT_WHOLE, &text));
	flight_end(far, NULL);
	assert_true(no_claim_is_left());
	buf_fini(&text);
	free(body);
}

static void long_answers_keep_their_order(void **state)
{
	struct flight *leader = joins(0, FLIGHT_LEADS), *far = joins(1, FLIGHT_FOLLOWS);
	struct buf text = { .max_bytes = 0 }, said_text = { .max_bytes = 0 };
	char piece[1024];

	(void)state;
	begins(leader);
	is_joined(leader);
	for (int i = 0; i < 1500; i++) {
		snprintf(piece, sizeof(piece), "data: %01000d\n\n", i);
		buf_str(&said_text, piece);
		says(leader, piece);
	}
	ends_whole(leader, "whole");
	assert_true(hears(far, FLIGHT_WHOLE, &text));
	assert_true(slice_eq(buf_slice(&text), buf_slice(&said_text)));
	flight_end(far, NULL);
	buf_fini(&text);
	buf_fini(&said_text);
}

static void a_leader_that_fails_is_told_and_another_leads(void **state)
{
	struct flight *leader = joins(0, FLIGHT_LEADS), *far = joins(1, FLIGHT_FOLLOWS);
	struct buf text = { .max_bytes = 0 };

	(void)state;
	is_joined(leader);
	begins(leader);
	says(leader, "one ");
	assert_true(hears_text(far, "one ", &text));
	flight_end(leader, NULL);
	assert_true(hears(far, FLIGHT_LOST, &text));
	flight_end(far, NULL);
	assert_true(no_claim_is_left());
	far = joins(1, FLIGHT_LEADS);
	flight_end(far, NULL);
	buf_fini(&text);
}

static void who_is_never_followed_leaves_nothing(void **state)
{
	(void)state;
	for (int i = 0; i < 50; i++) {
		struct flight *leader = joins(0, FLIGHT_LEADS);

		begins(leader);
		says(leader, "one");
		ends_whole(leader, "whole");
		assert_true(no_claim_is_left());
	}
	assert_true(redis_rig_await(&rig, "DBSIZE", ":0\r\n"));
}

static void a_host_whose_client_leaves_relays_on_for_its_others(void **state)
{
	struct flight *leader = joins(0, FLIGHT_LEADS), *far = joins(1, FLIGHT_FOLLOWS),
		      *near = joins(1, FLIGHT_FOLLOWS);
	struct buf text = { .max_bytes = 0 };

	(void)state;
	is_joined(leader);
	begins(leader);
	says(leader, "one ");
	assert_true(hears_text(far, "one ", &text));
	flight_end(far, NULL);
	buf_reset(&text);
	assert_true(hears_text(near, "one ", &text));
	says(leader, "two ");
	assert_true(hears_text(near, "one two ", &text));
	ends_whole(leader, "whole one two");
	assert_true(hears(near, FLIGHT_WHOLE, &text));
	flight_end(near, NULL);
	buf_fini(&text);
}

static void a_claim_that_nobody_stands_behind_is_taken_away(void **state)
{
	struct buf text = { .max_bytes = 0 };
	struct flight *far;
	char command[256], hex[65] = "";

	(void)state;
	for (size_t i = 0; i < 32; i++)
		snprintf(hex + 2 * i, 3, "%02x", key.hash[i]);
	snprintf(command, sizeof(command), "SET test:flight:{%s.9.a} dead.1", hex);
	assert_string_equal(said(hosts[0].redis, command), "OK");
	far = joins(1, FLIGHT_FOLLOWS);
	assert_true(hears(far, FLIGHT_LOST, &text));
	flight_end(far, NULL);
	far = joins(1, FLIGHT_LEADS);
	flight_end(far, NULL);
	buf_fini(&text);
}

/* A process of a third host leads, says something and dies. */
static pid_t leader_that_dies(const char *url, int *told)
{
	int ends[2];
	pid_t pid;

	assert_int_equal(pipe(ends), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		struct test_host own = { .home = "" };
		struct flight *f;
		char c;

		open_host(&own, url);
		if (flight_join(own.flights, &key, true, &f) != FLIGHT_LEADS)
			_exit(1);
		begins(f);
		says(f, "one ");
		if (write(ends[1], own.home, sizeof(own.home)) < 0)
			_exit(1);
		for (;;) {
			poll(NULL, 0, 10);
			flight_write(f, SLICE(" "));
			if (read(-1, &c, 1) >= 0)
				break;
		}
		_exit(0);
	}
	close(ends[1]);
	*told = ends[0];
	return pid;
}

static void a_leader_that_is_killed_is_lost_and_another_leads(void **state)
{
	struct buf text = { .max_bytes = 0 };
	struct cache_entry entry;
	struct flight_who who;
	struct flight *far;
	char home[40];
	int told;
	pid_t pid = leader_that_dies(rig.url, &told);

	(void)state;
	assert_int_equal(read(told, home, sizeof(home)), sizeof(home));
	close(told);
	far = joins(1, FLIGHT_FOLLOWS);
	for (int i = 0; i < 100 && text.len < 4; i++)
		assert_int_not_equal(flight_read(far, &text, &who, &entry, 500), FLIGHT_LOST);
	assert_true(slice_starts(buf_slice(&text), "one "));
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	assert_true(hears(far, FLIGHT_LOST, &text));
	flight_end(far, NULL);
	far = joins(1, FLIGHT_LEADS);
	flight_end(far, NULL);
	(void)rig_run("rm -rf -- %s", home);
	buf_fini(&text);
}

static void without_redis_each_host_leads_for_itself(void **state)
{
	struct flight *leader, *other, *near;
	struct buf text = { .max_bytes = 0 };

	(void)state;
	redis_rig_kill(&rig);
	leader = joins(0, FLIGHT_LEADS);
	other = joins(1, FLIGHT_LEADS);
	near = joins(0, FLIGHT_FOLLOWS);
	begins(leader);
	says(leader, "one ");
	ends_whole(leader, "whole");
	assert_true(hears(near, FLIGHT_WHOLE, &text));
	flight_end(near, NULL);
	flight_end(other, NULL);
	buf_fini(&text);
}

static void a_redis_that_dies_loses_those_of_other_hosts_only(void **state)
{
	struct flight *leader = joins(0, FLIGHT_LEADS), *far = joins(1, FLIGHT_FOLLOWS),
		      *near = joins(0, FLIGHT_FOLLOWS);
	struct buf text = { .max_bytes = 0 };

	(void)state;
	is_joined(leader);
	begins(leader);
	says(leader, "one ");
	assert_true(hears_text(far, "one ", &text));
	redis_rig_kill(&rig);
	says(leader, "two ");
	assert_true(hears(far, FLIGHT_LOST, &text));
	flight_end(far, NULL);
	buf_reset(&text);
	assert_true(hears_text(near, "one two ", &text));
	ends_whole(leader, "whole");
	assert_true(hears(near, FLIGHT_WHOLE, &text));
	flight_end(near, NULL);
	buf_fini(&text);
}

static void a_redis_that_hangs_does_not_hold_the_leader(void **state)
{
	struct flight *leader = joins(0, FLIGHT_LEADS), *far = joins(1, FLIGHT_FOLLOWS);
	struct buf text = { .max_bytes = 0 };
	int64_t began_ms;

	(void)state;
	is_joined(leader);
	begins(leader);
	says(leader, "one ");
	assert_true(hears_text(far, "one ", &text));
	redis_rig_pause(&rig);
	began_ms = clock_mono_ms();
	for (int i = 0; i < 1000; i++)
		says(leader, "more ");
	ends_whole(leader, "whole");
	/* One call to Redis would have waited for its time limit. */
	assert_true(clock_mono_ms() - began_ms < LONG_MS);
	redis_rig_resume(&rig);
	assert_true(hears(far, FLIGHT_WHOLE, &text));
	assert_int_equal(text.len, 4 + 1000 * 5);
	flight_end(far, NULL);
	buf_fini(&text);
}

static void a_cluster_does_as_well(void **state)
{
	struct redis_rig nodes[2] = { { .password = "SECRET" }, { .password = "SECRET" } };
	struct buf text = { .max_bytes = 0 };
	struct flight *leader, *far;
	char url[300];

	(void)state;
	assert_true(redis_rig_cluster(nodes, 2, url, sizeof(url)));
	for (size_t i = 0; i < HOSTS; i++) {
		close_host(&hosts[i]);
		open_host(&hosts[i], url);
	}
	leader = joins(0, FLIGHT_LEADS);
	far = joins(1, FLIGHT_FOLLOWS);
	is_joined(leader);
	begins(leader);
	says(leader, "one ");
	assert_true(hears_text(far, "one ", &text));
	ends_whole(leader, "whole");
	assert_true(hears(far, FLIGHT_WHOLE, &text));
	flight_end(far, NULL);
	buf_fini(&text);
	for (size_t i = 0; i < HOSTS; i++) {
		close_host(&hosts[i]);
		open_host(&hosts[i], rig.url);
	}
	redis_rig_stop(&nodes[0]);
	redis_rig_stop(&nodes[1]);
}

static void what_is_too_long_is_lost_to_other_hosts(void **state)
{
	struct flight *leader = joins(0, FLIGHT_LEADS), *far = joins(1, FLIGHT_FOLLOWS);
	struct buf text = { .max_bytes = 0 };
	char *piece = malloc(100001);

	(void)state;
	assert_non_null(piece);
	memset(piece, 'x', 100000);
	piece[100000] = '\0';
	is_joined(leader);
	begins(leader);
	for (size_t i = 0; i <= MAX_BYTES / 100000 + 1; i++)
		says(leader, piece);
	assert_true(hears(far, FLIGHT_LOST, &text));
	flight_end(far, NULL);
	flight_end(leader, NULL);
	buf_fini(&text);
	free(piece);
}

static void nothing_is_tested_without_redis(void **state)
{
	(void)state;
	assert_false(redis_is_built());
}

#define WITH(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH(another_host_gets_it_from_the_beginning_to_the_end),
		WITH(a_whole_answer_without_events_arrives),
		WITH(long_answers_keep_their_order),
		WITH(a_leader_that_fails_is_told_and_another_leads),
		WITH(who_is_never_followed_leaves_nothing),
		WITH(a_host_whose_client_leaves_relays_on_for_its_others),
		WITH(a_claim_that_nobody_stands_behind_is_taken_away),
		WITH(a_leader_that_is_killed_is_lost_and_another_leads),
		WITH(without_redis_each_host_leads_for_itself),
		WITH(a_redis_that_dies_loses_those_of_other_hosts_only),
		WITH(a_redis_that_hangs_does_not_hold_the_leader),
		WITH(a_cluster_does_as_well),
		WITH(what_is_too_long_is_lost_to_other_hosts),
	};
	const struct CMUnitTest none[] = { cmocka_unit_test(nothing_is_tested_without_redis) };

	if (!redis_is_built())
		return cmocka_run_group_tests(none, NULL, NULL);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
