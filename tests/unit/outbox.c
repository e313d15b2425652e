/* What Redis has not heard of a journal it is told, once; and no segment goes before that. */
#include "tests/unit/ledger_shared.h"

#include "store/outbox.h"

#include <sys/time.h>

static char said[16384];

static void tell(const char *command)
{
	if (!redis_rig_ask(&rig, command, said, sizeof(said)))
		fail_msg("%s: no answer", command);
}

/* Settles that Redis does not hear of: as if it were away just then. */
static void spend_unheard(struct ledger *l, uint64_t first, uint64_t n, int64_t cost)
{
	struct redis *redis = l->conf.redis;

	l->conf.redis = NULL;
	for (uint64_t i = 0; i < n; i++)
		spend(l, NOON, first + i, cost);
	l->conf.redis = redis;
}

static uint64_t ship(struct ledger *l, bool from_start)
{
	uint64_t sent;
	bool done;

	if (outbox_ship(l, from_start, 0, &sent, &done, &err))
		fail_msg("ship: %s", err.message);
	assert_true(done);
	return sent;
}

static void redis_is_told_what_it_did_not_hear_and_nothing_else(void **state)
{
	struct ledger *l = open_ledger();
	struct ledger_status status;

	(void)state;
	spend(l, NOON, 1, 5);
	spend_unheard(l, 100, 700, 3);
	spend(l, NOON, 2, 5);
	assert_int_equal(account_of(l, USER).spent, 10);
	assert_int_equal(ship(l, false), 700);
	assert_int_equal(account_of(l, USER).spent, 2110);
	assert_int_equal(account_of(l, USER).requests, 702);
	assert_int_equal(ship(l, false), 0);
	assert_int_equal(ship(l, true), 0);
	assert_int_equal(account_of(l, USER).spent, 2110);
	spend_unheard(l, 900, 4, 3);
	assert_int_equal(ledger_status(l, &status, &err), ERR_OK);
	assert_int_equal(status.unshipped_bytes, 4 * RECORD_BYTES);
	ledger_close(l);
}

static void a_tick_reads_so_much_and_the_next_goes_on(void **state)
{
	struct ledger *l = open_ledger();
	uint64_t sent, all = 0;
	bool done = false;
	int ticks = 0;

	(void)state;
	spend_unheard(l, 1, 1000, 1);
	for (; !done && ticks < 100; ticks++) {
		assert_int_equal(outbox_ship(l, false, 300, &sent, &done, &err), ERR_OK);
		all += sent;
	}
	assert_int_equal(all, 1000);
	assert_int_equal(ticks, 4);
	assert_int_equal(account_of(l, USER).spent, 1000);
	ledger_close(l);
}

static void segments_that_closed_meanwhile_are_read_to_their_end(void **state)
{
	struct ledger *l = open_ledger();

	(void)state;
	for (uint64_t i = 0; i < 5; i++) {
		spend_unheard(l, 1 + 10 * i, 7, 1);
		fold(l, NOON);
	}
	spend_unheard(l, 100, 7, 1);
	/* Nothing was removed: Redis knows of none. */
	assert_int_equal(journal_is_complete(&l->journal, 1, 6, &err), ERR_OK);
	assert_int_equal(ship(l, false), 42);
	assert_int_equal(account_of(l, USER).spent, 42);
	assert_int_equal(ship(l, true), 0);
	assert_int_equal(account_of(l, USER).spent, 42);
	for (uint64_t i = 0; i < 3; i++) {
		spend_unheard(l, 201 + 10 * i, 7, 1);
		fold(l, NOON);
	}
	assert_int_equal(ship(l, false), 21);
	assert_int_equal(account_of(l, USER).spent, 63);
	ledger_close(l);
}

static void age(const struct ledger *l, uint64_t segment, int64_t ms)
{
	char path[HOME_PATH_MAX];
	time_t then = (time_t)((clock_wall_ms() - ms) / 1000);
	struct timeval times[2] = { { .tv_sec = then }, { .tv_sec = then } };

	assert_int_equal(journal_path(&l->journal, segment, path, &err), ERR_OK);
	assert_int_equal(utimes(path, times), 0);
}

static void a_segment_stays_until_redis_has_known_it_for_an_hour(void **state)
{
	struct ledger *l = open_ledger();
	uint64_t first, last, n;

	(void)state;
	assert_int_equal(ship(l, false), 0);
	for (uint64_t i = 0; i < 6; i++) {
		spend(l, NOON, 1 + i, 1);
		fold(l, NOON);
		age(l, i + 1, OUTBOX_KEEP_MS + 60000);
	}
	assert_int_equal(journal_list(&l->journal, &first, &last, &n, &err), ERR_OK);
	assert_int_equal(first, 1); /* old, but nobody has asked whether Redis knows it */
	assert_int_equal(ship(l, false), 0);
	spend(l, NOON, 20, 1);
	fold(l, NOON);
	assert_int_equal(journal_list(&l->journal, &first, &last, &n, &err), ERR_OK);
	assert_int_equal(first, 1); /* old, but Redis has known it for a moment only */
	for (uint64_t i = 0; i < 6; i++)
		age(l, i + 1, OUTBOX_KEEP_MS + (i == 2 ? -60000 : 60000));
	spend(l, NOON, 21, 1);
	fold(l, NOON);
	assert_int_equal(journal_list(&l->journal, &first, &last, &n, &err), ERR_OK);
	assert_int_equal(first, 3); /* known, but not for so long */
	age(l, 3, OUTBOX_KEEP_MS + 60000);
	spend(l, NOON, 22, 1);
	fold(l, NOON);
	assert_int_equal(journal_list(&l->journal, &first, &last, &n, &err), ERR_OK);
	assert_true(first > 3);
	assert_int_equal(account_of(l, USER).spent, 9);
	ledger_close(l);
}

static void run(const char *command)
{
	if (!rig_run("%s", command))
		fail_msg("%s", command);
}

static void put_back_from_an_old_copy_it_is_told_again_from_there(void **state)
{
	struct ledger *l = open_ledger();
	struct account a;
	char command[256];

	(void)state;
	credit(l, USER, 1000, 1);
	for (uint64_t i = 0; i < 10; i++)
		spend(l, NOON, 10 + i, 1);
	ship(l, false);
	tell("SAVE");
	snprintf(command, sizeof(command), "cp %s/dump.rdb %s/old.rdb", rig.dir, rig.dir);
	run(command);
	for (uint64_t i = 0; i < 10; i++)
		spend(l, NOON, 50 + i, 1);
	credit(l, USER, 500, 2);
	fold(l, NOON);
	ship(l, false);
	assert_int_equal(account_of(l, USER).spent, 20);
	redis_rig_kill(&rig);
	snprintf(command, sizeof(command), "mv %s/old.rdb %s/dump.rdb", rig.dir, rig.dir);
	run(command);
	assert_true(redis_rig_restart(&rig));
	for (int i = 0; i < 1000 && ledger_account(l, USER, &a, &err); i++)
		poll(NULL, 0, 20);
	assert_int_equal(account_of(l, USER).spent, 10);
	assert_int_equal(ship(l, false), 11);
	assert_int_equal(account_of(l, USER).spent, 20);
	assert_int_equal(account_of(l, USER).credited, 1500);
	ledger_close(l);
}

/* A home that was put back from a backup is behind what Redis knows of it. */
static void a_place_ahead_of_the_journal_is_not_believed(void **state)
{
	static const char *const places[] = { "99 0 1", "1 65536 1" };
	struct ledger *l = open_ledger();
	char store[33];

	(void)state;
	ship(l, false);
	ledger_redis_store(l, store);
	for (uint64_t i = 0; i < 2; i++) {
		const struct slice words[] = { slice_of(store), slice_of(places[i]) };
		struct redis_reply reply = { 0 };

		spend_unheard(l, 1 + 10 * i, 3, 1);
		assert_int_equal(
			ledger_redis_command(l, "HSET", "shipped", words, 2, &reply, &err), ERR_OK);
		redis_reply_fini(&reply);
		assert_int_equal(ship(l, false), 3);
		assert_int_equal(account_of(l, USER).spent, 3 + 3 * i);
	}
	ledger_close(l);
}

/* ---- a home that had books before ---- */

static void keep_books(int accounts)
{
	struct ledger *l;

	home_redis = NULL;
	l = open_ledger();
	for (int i = 0; i < accounts; i++) {
		struct ledger_lease lease = { .id = id_of(1000 + (uint64_t)i) };
		struct record_settle what = a_request(i, 0);
		enum ledger_settled how;
		uint64_t name;

		what.key = 100 + (uint64_t)i;
		assert_int_equal(ledger_settle(l, NOON, &lease, &what, &how, &err), ERR_OK);
		assert_int_equal(ledger_name(l, NOON, SLICE("a/model"), &name, &err), ERR_OK);
	}
	credit(l, USER, 5 * USD, 1);
	fold(l, NOON);
	spend(l, later(NOON, DAY), 5, 1000);
	ledger_close(l);
	home_redis = redis_of_this_process;
}

static enum err_code count_usage(void *ctx, int64_t day, const struct usage_key *key,
	const struct usage_row *row, struct err *e)
{
	int64_t *cost = ctx;

	(void)day;
	(void)key;
	(void)e;
	*cost += row->cost_microusd;
	return ERR_OK;
}

#define BOOKS 300
#define SUM   (BOOKS * (BOOKS - 1) / 2)

static void assert_books(struct ledger *l, int64_t more)
{
	int64_t cost = 0, today = account_day(NOON.wall_ms);
	struct buf text = { 0 };
	bool already;

	assert_int_equal(account_of(l, USER).spent, SUM + 1000 + more);
	assert_int_equal(account_of(l, USER).credited, 5 * USD);
	assert_int_equal(account_of(l, account_subject(ACCOUNT_KEY, 399)).spent, 299);
	assert_int_equal(ledger_usage(l, today, today + 1, count_usage, &cost, &err), ERR_OK);
	assert_int_equal(cost, SUM + 1000 + more);
	assert_int_equal(
		ledger_redis_name_text(l, ledger_id(SLICE("a/model")).word[0], &text, &err),
		ERR_OK);
	buf_fini(&text);
	assert_int_equal(
		ledger_redis_may_credit(l, id_of(1), USER, 5 * USD, &already, &err), ERR_OK);
	assert_true(already);
}

static void books_of_before_are_brought_along_once(void **state)
{
	struct ledger_lease lease = { .id = id_of(7) };
	struct record_settle what = a_request(11, 0);
	enum ledger_settled how;
	struct ledger *l;

	(void)state;
	keep_books(BOOKS);
	l = open_ledger(); /* brings them */
	assert_books(l, 0);
	spend(l, NOON, 6, 7);
	assert_books(l, 7);
	assert_int_equal(ship(l, false), 0);
	fold(l, NOON);
	assert_int_equal(ship(l, true), 0);
	assert_books(l, 7);
	/* All of it lost: told again, from a later state of the books. What is settled before that
	 * is not counted by its id, because it may be in a sum by then. */
	tell("FLUSHALL");
	assert_int_equal(ledger_settle(l, NOON, &lease, &what, &how, &err), ERR_OK);
	assert_int_equal(how, LEDGER_DEFERRED);
	fold(l, NOON);
	assert_int_equal(ship(l, false), 0);
	assert_books(l, 7 + 11);
	assert_int_equal(differences(l), 0);
	ledger_close(l);
}

static const char *cut_at;

static void open_and_die(void)
{
	do_at(cut_at, die);
	(void)open_ledger();
}

static void bringing_books_may_be_cut_off_anywhere(void **state)
{
	static const char *const points[] = { "ledger_redis.asked", "outbox.laid",
		"ledger_redis.adding", "ledger_redis.adding", "outbox.asked" };
	struct ledger *l;

	(void)state;
	keep_books(BOOKS);
	for (size_t i = 0; i < sizeof(points) / sizeof(points[0]); i++) {
		cut_at = points[i];
		print_message("  %s\n", cut_at);
		assert_true(WIFSIGNALED(in_child(open_and_die)));
		/* Meanwhile the books go on, and are folded. */
		home_redis = NULL;
		l = open_ledger();
		spend(l, NOON, 20 + i, 2);
		fold(l, NOON);
		ledger_close(l);
		home_redis = redis_of_this_process;
	}
	l = open_ledger();
	ship(l, false);
	assert_books(l, 10);
	ledger_close(l);
}

static void lose_one_that_lies_ready(void)
{
	char command[256], *key;

	no_fault();
	tell("KEYS *:base:*");
	key = strstr(said, "unit:");
	assert_non_null(key);
	snprintf(command, sizeof(command), "HDEL %.*s %016" PRIx64, (int)strcspn(key, "\r"), key,
		USER);
	tell(command);
	assert_true(strncmp(said, ":1", 2) == 0);
}

/* A server that was put back from an old copy just then. */
static void what_redis_lost_before_it_was_added_is_laid_ready_again(void **state)
{
	struct account nothing = { .subject = USER }, a;
	struct ledger *l;

	(void)state;
	keep_books(BOOKS);
	do_at("outbox.laid", lose_one_that_lies_ready);
	l = open_ledger();
	a = account_of(l, USER);
	assert_memory_equal(&a, &nothing, sizeof(a));
	assert_int_equal(ship(l, false), 1);
	assert_books(l, 0);
	ledger_close(l);
}

static void all_is_sent_for_a_migration(void **state)
{
	struct ledger *l;
	uint64_t sent;

	(void)state;
	keep_books(BOOKS);
	home_redis = NULL;
	l = open_ledger();
	assert_int_equal(ledger_ship_all(l, NOON, false, &sent, &err), ERR_RANGE);
	ledger_close(l);
	home_redis = redis_of_this_process;
	l = open_ledger();
	assert_int_equal(ledger_ship_all(l, NOON, false, &sent, &err), ERR_OK);
	assert_int_equal(sent, 0); /* folded first: all are sums */
	assert_books(l, 0);
	assert_int_equal(ledger_ship_all(l, NOON, true, &sent, &err), ERR_OK);
	assert_books(l, 0);
	ledger_close(l);
}

/* ---- and back ---- */

static void what_other_hosts_did_is_brought_here_once(void **state)
{
	char here[sizeof(home)], there[sizeof(home)];
	struct ledger *a = open_ledger(), *b;
	struct account shared;
	uint64_t taken;

	(void)state;
	memcpy(here, home, sizeof(home));
	make_home(NULL);
	memcpy(there, home, sizeof(home));
	b = open_ledger();
	credit(a, USER, 1000, 1);
	credit(b, USER, 500, 2);
	for (uint64_t i = 0; i < 40; i++) {
		spend(a, NOON, 100 + i, 3);
		spend(b, later(NOON, -DAY), 200 + i, 5);
	}
	shared = account_of(a, USER);
	assert_int_equal(ledger_take_all(a, NOON, &taken, &err), ERR_OK);
	assert_int_equal(taken, 3); /* key, user, provider */
	assert_int_equal(ledger_take_all(a, NOON, &taken, &err), ERR_OK);
	assert_int_equal(taken, 0);
	spend(b, NOON, 300, 11);
	assert_int_equal(ledger_take_all(a, NOON, &taken, &err), ERR_OK);
	assert_int_equal(taken, 3);
	assert_int_equal(account_of(a, USER).spent, shared.spent + 11);
	shared = account_of(a, USER);
	/* From now on without Redis: before and after a fold, and from the journal alone. */
	home_redis = NULL;
	ledger_close(a);
	memcpy(home, here, sizeof(home));
	a = open_ledger();
	for (int i = 0; i < 2; i++) {
		struct account now = account_of(a, USER);

		assert_memory_equal(&now, &shared, sizeof(now));
		assert_int_equal(account_spent_on_day(&now, NOON.wall_ms), 131);
		assert_int_equal(account_spent_on_day(&now, NOON.wall_ms - DAY), 200);
		assert_int_equal(differences(a), 0);
		fold(a, NOON);
		assert_int_equal(verify_rebuild(a, &err), ERR_OK);
	}
	ledger_close(a);
	ledger_close(b);
	memcpy(home, there, sizeof(home));
	drop_home(NULL);
	memcpy(home, here, sizeof(home));
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, make_shared_home, drop_shared_home)
	const struct CMUnitTest tests[] = {
		T(redis_is_told_what_it_did_not_hear_and_nothing_else),
		T(a_tick_reads_so_much_and_the_next_goes_on),
		T(segments_that_closed_meanwhile_are_read_to_their_end),
		T(a_segment_stays_until_redis_has_known_it_for_an_hour),
		T(put_back_from_an_old_copy_it_is_told_again_from_there),
		T(a_place_ahead_of_the_journal_is_not_believed),
		T(books_of_before_are_brought_along_once),
		T(bringing_books_may_be_cut_off_anywhere),
		T(what_redis_lost_before_it_was_added_is_laid_ready_again),
		T(all_is_sent_for_a_migration),
		T(what_other_hosts_did_is_brought_here_once),
	};

	return cmocka_run_group_tests(tests, start_redis, stop_redis);
}
