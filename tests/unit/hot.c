#include "tests/unit/ledger_home.h"

#include <pthread.h>
#include <sys/mman.h>

static void a_change_can_be_taken_back(void **state)
{
	struct ledger *l = open_ledger();
	struct account *a;

	(void)state;
	spend(l, NOON, 1, 5);
	assert_int_equal(hot_lock(&l->hot, 100, &err), ERR_OK);
	a = hot_account(&l->hot, USER);
	hot_begin(&l->hot);
	hot_set(&l->hot, &a->spent, 99);
	hot_set(&l->hot, &a->spent, 100);
	assert_non_null(hot_account_make(&l->hot, USER + 1));
	hot_abort(&l->hot);
	assert_int_equal(a->spent, 5);
	assert_null(hot_account(&l->hot, USER + 1));
	hot_unlock(&l->hot);
	assert_int_equal(differences(l), 0);
	ledger_close(l);
}

static const char *point;
static uint64_t next_id = 100;

static void die_in_a_settle(void)
{
	struct ledger *l = open_ledger();

	do_at(point, die);
	spend(l, NOON, next_id, 7);
}

/* Fails when repair() does not take back (tests/storm --control does the same at length). */
static void what_a_dead_owner_left_half_done_is_taken_back_and_done_again(void **state)
{
	static const char *const points[] = { "hot.locked", "ledger.claimed", "journal.written",
		"follow.half", "follow.applied" };
	int64_t spent = 0;

	(void)state;
	for (size_t i = 0; i < sizeof(points) / sizeof(points[0]); i++) {
		struct ledger *l;

		print_message("  %s\n", points[i]);
		point = points[i];
		next_id++;
		assert_true(WIFSIGNALED(in_child(die_in_a_settle)));
		l = open_ledger();
		/* Before the record is written nothing counts, afterwards all of it. */
		spent += i >= 2 ? 7 : 0;
		assert_int_equal(account_of(l, USER).spent, spent);
		assert_int_equal(differences(l), 0);
		ledger_close(l);
	}
}

static void die_in_the_repair(void)
{
	struct ledger *l = open_ledger();
	struct account a;

	do_at(point, die);
	(void)!ledger_account(l, USER, &a, &err);
}

static void a_repair_that_is_killed_is_repeated(void **state)
{
	static const char *const points[] = { "hot.undone", "hot.repaired" };
	struct ledger *l;

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		/* The owner dies while others are attached, or its repair falls to the opening. */
		l = open_ledger();
		point = "follow.half";
		next_id++;
		assert_true(WIFSIGNALED(in_child(die_in_a_settle)));
		point = points[i];
		assert_true(WIFSIGNALED(in_child(die_in_the_repair)));
		assert_int_equal(account_of(l, USER).spent, 7 * ((int64_t)i + 1));
		assert_int_equal(differences(l), 0);
		ledger_close(l);
	}
}

static void a_platform_without_robust_mutexes_is_refused(void **state)
{
	(void)state;
	fail_at("hot.self_test", 1);
	assert_int_equal(try_open(), ERR_STORE);
	assert_non_null(strstr(err.message, "robust mutexes"));
	no_fault();
	assert_int_equal(try_open(), ERR_OK);
}

static void a_spoilt_table_is_made_anew_from_the_books(void **state)
{
	static const char *const ways[] = { "removed", "truncated", "garbage", "another ABI",
		"another boot", "half built", "of another store" };
	struct ledger *l = open_ledger();
	char path[HOME_PATH_MAX], garbage[8192];
	struct account before;
	struct hot_head head;

	(void)state;
	credit(l, USER, USD, 1000);
	spend(l, NOON, 1, 5);
	fold(l, NOON);
	spend(l, NOON, 2, 6);
	before = account_of(l, USER);
	ledger_close(l);
	table_path(path);
	memset(garbage, 0x5A, sizeof(garbage));
	for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
		int fd = open(path, O_RDWR);
		struct account after;

		print_message("  %s\n", ways[i]);
		assert_int_equal(pread(fd, &head, sizeof(head), 0), sizeof(head));
		if (i == 0)
			unlink(path);
		if (i == 1)
			assert_int_equal(ftruncate(fd, 1 << 20), 0);
		if (i == 2)
			memcpy(&head, garbage, sizeof(head));
		head.abi += i == 3;
		head.boot[3] ^= i == 4;
		head.state = i == 5 ? HOT_BUILDING : head.state;
		head.store[0] ^= i == 6;
		assert_int_equal(pwrite(fd, &head, sizeof(head), 0), sizeof(head));
		close(fd);
		l = open_ledger();
		after = account_of(l, USER);
		assert_memory_equal(&after, &before, sizeof(before));
		assert_int_equal(atomic_load(&l->hot.head->rebuilds), 1);
		assert_int_equal(differences(l), 0);
		ledger_close(l);
	}
	l = open_ledger();
	assert_int_equal(atomic_load(&l->hot.head->rebuilds), 1); /* a good one is kept */
	ledger_close(l);
}

static void die_in_the_building(void)
{
	char path[HOME_PATH_MAX];

	table_path(path);
	unlink(path);
	do_at(point, die);
	(void)try_open();
}

static void a_builder_that_is_killed_is_followed_by_the_next(void **state)
{
	static const char *const points[] = { "hot.allocate", "books.replayed", "journal.create",
		"hot.publish" };
	struct ledger *l = open_ledger();

	(void)state;
	spend(l, NOON, 1, 5);
	ledger_close(l);
	for (size_t i = 0; i < 4; i++) {
		point = points[i];
		assert_true(WIFSIGNALED(in_child(die_in_the_building)));
		l = open_ledger();
		assert_int_equal(account_of(l, USER).spent, 5);
		assert_int_equal(differences(l), 0);
		ledger_close(l);
	}
}

static void of_many_that_come_first_one_builds(void **state)
{
	pid_t pids[16];
	int status, good = 0;

	(void)state;
	for (int round = 0; round < 3; round++) {
		char path[HOME_PATH_MAX];

		table_path(path);
		unlink(path);
		good = 0;
		fflush(NULL);
		for (int i = 0; i < 16; i++) {
			pids[i] = fork();
			if (pids[i] == 0) {
				struct ledger *l = open_ledger();

				spend(l, NOON, (uint64_t)getpid(), 1);
				_exit(0);
			}
		}
		for (int i = 0; i < 16; i++) {
			waitpid(pids[i], &status, 0);
			good += WIFEXITED(status) && WEXITSTATUS(status) == 0;
		}
		assert_int_equal(good, 16);
	}
	struct ledger *l = open_ledger();
	assert_int_equal(account_of(l, USER).spent, 48);
	assert_int_equal(differences(l), 0);
	ledger_close(l);
}

/* Two tables of one store would each admit the whole budget. */
static void a_table_removed_while_it_is_used_lets_nobody_else_in(void **state)
{
	struct ledger *l = open_ledger();
	char path[HOME_PATH_MAX];

	(void)state;
	table_path(path);
	unlink(path);
	assert_int_equal(try_open(), ERR_STORE);
	assert_non_null(strstr(err.message, "stop all of them"));
	ledger_close(l);
	assert_int_equal(try_open(), ERR_OK);
}

static void open_and_linked_tables_are_refused_with_the_remedy(void **state)
{
	char path[HOME_PATH_MAX];

	(void)state;
	assert_int_equal(try_open(), ERR_OK);
	table_path(path);
	chmod(path, 0644);
	assert_int_equal(try_open(), ERR_STORE);
	assert_non_null(strstr(err.message, "chmod 600"));
	chmod(path, 0600);
	unlink(path);
	assert_int_equal(symlink("/etc/passwd", path), 0);
	assert_int_equal(try_open(), ERR_STORE);
	unlink(path);
	if (geteuid() != 0)
		return;
	/* Root may read all, and so has to look at the owner. */
	assert_int_equal(try_open(), ERR_OK);
	assert_int_equal(chown(home, 1234, 1234), 0);
	table_path(path);
	assert_int_equal(try_open(), ERR_OK);
	table_path(path);
	assert_int_equal(chown(path, 4321, 4321), 0);
	assert_int_equal(try_open(), ERR_STORE);
	assert_non_null(strstr(err.message, "belongs to user 4321"));
	unlink(path);
}

/* Regression: slots computed before either was taken let two newcomers share one. */
static void two_new_subjects_of_one_record_never_share_a_slot(void **state)
{
	struct ledger *l = open_ledger();
	uint64_t used = l->hot.head->accounts_used;

	(void)state;
	for (uint64_t i = 1; i <= 3000; i++) {
		struct ledger_lease lease = { .id = id_of(i) };
		struct record_settle what = a_request(1, i);
		enum ledger_settled how;

		what.key = i * 7919;
		what.user = i * 104729;
		assert_int_equal(ledger_settle(l, NOON, &lease, &what, &how, &err), ERR_OK);
	}
	/* Key, user, organisation and member of each, and one provider. */
	assert_int_equal(l->hot.head->accounts_used - used, 4 * 3000 + 1);
	assert_int_equal(differences(l), 0);
	ledger_close(l);
}

/* Nothing is lost when the table is full: the books know it, and a new table is larger. */
static void a_full_table_loses_nothing(void **state)
{
	struct ledger *l = open_ledger();
	uint64_t most = l->hot.head->accounts / 16 * 15, id = 1;
	struct ledger_limit balance = { .subject = account_subject(ACCOUNT_USER, 0xABCDEF) };
	struct ledger_ask ask = { .id = id_of(1u << 30), .limits = &balance, .limits_n = 1 };
	struct ledger_refusal refusal;
	struct ledger_lease lease;

	(void)state;
	for (; l->hot.head->accounts_used < most; id++) {
		struct ledger_lease lost = { .id = id_of(id) };
		struct record_settle what = { .key = id * 7919, .cost_microusd = 1 };
		enum ledger_settled how;

		assert_int_equal(ledger_settle(l, NOON, &lost, &what, &how, &err), ERR_OK);
	}
	spend(l, NOON, id, 5);
	assert_int_equal(atomic_load(&l->hot.head->full), 3);
	assert_null(hot_account(&l->hot, USER));
	ask.deadline_ms = NOON.mono_ms + 1000;
	assert_int_equal(ledger_reserve(l, NOON, &ask, &lease, &refusal, &err), ERR_BUSY);
	/* Nothing is folded yet: the journal alone fills more than a table of the usual size. */
	ledger_close(l);
	l = open_ledger();
	assert_true(l->hot.head->accounts > HOT_ACCOUNTS);
	assert_int_equal(account_of(l, USER).spent, 5);
	assert_int_equal(differences(l), 0);
	ledger_close(l);
}

static void a_crowd_of_addresses_does_not_wash_out_who_is_at_a_limit(void **state)
{
	struct ledger *l = open_ledger();
	struct ledger_limit hour = { .subject = KEY, .kind = LEDGER_REQUESTS_HOUR, .ceiling = 50 };
	struct ledger_ask ask = { .limits = &hour, .limits_n = 1 };
	struct ledger_refusal refusal;
	struct ledger_lease lease;
	uint64_t id = 1;

	(void)state;
	ask.deadline_ms = NOON.mono_ms + 1000;
	for (int i = 0; i < 50; i++) {
		ask.id = id_of(id++);
		assert_int_equal(ledger_reserve(l, NOON, &ask, &lease, &refusal, &err), ERR_OK);
		ledger_release(l, &lease);
	}
	for (uint64_t i = 1; i <= 100000; i++) {
		hour.subject = account_subject(ACCOUNT_ADDRESS, i * 2654435761u);
		ask.id = id_of(id++);
		assert_int_equal(ledger_reserve(l, NOON, &ask, &lease, &refusal, &err), ERR_OK);
		ledger_release(l, &lease);
	}
	hour.subject = KEY;
	assert_int_equal(ledger_reserve(l, NOON, &ask, &lease, &refusal, &err), ERR_RATE_LIMITED);
	ledger_close(l);
}

static void a_lease_of_an_older_use_of_its_slot_is_not_found(void **state)
{
	struct ledger *l = open_ledger();
	struct ledger_ask ask = { .id = id_of(1), .deadline_ms = NOON.mono_ms + 1000 };
	struct ledger_refusal refusal;
	struct ledger_lease a, b;

	(void)state;
	assert_int_equal(ledger_reserve(l, NOON, &ask, &a, &refusal, &err), ERR_OK);
	assert_non_null(lease_find(&l->hot, a.index, a.generation));
	ledger_release(l, &a);
	assert_null(lease_find(&l->hot, a.index, a.generation));
	assert_int_equal(ledger_reserve(l, NOON, &ask, &b, &refusal, &err), ERR_OK);
	assert_int_equal(b.index, a.index);
	assert_int_not_equal(b.generation, a.generation);
	assert_null(lease_find(&l->hot, UINT32_MAX, 0));
	ledger_close(l);
}

static void a_rebuild_in_place_keeps_reservations_and_rates(void **state)
{
	struct ledger *l = open_ledger();
	struct ledger_limit limits[] = { { .subject = USER, .kind = LEDGER_BALANCE },
		{ .subject = KEY, .kind = LEDGER_CONCURRENT, .ceiling = 1 } };
	struct ledger_ask ask = { .id = id_of(5), .microusd = 70, .limits = limits, .limits_n = 2 };
	struct record_settle what = a_request(5, 0);
	struct ledger_refusal refusal;
	struct ledger_lease lease, other;
	enum ledger_settled how;

	(void)state;
	credit(l, USER, 100, 1000);
	ask.deadline_ms = NOON.mono_ms + 1000;
	assert_int_equal(ledger_reserve(l, NOON, &ask, &lease, &refusal, &err), ERR_OK);
	assert_int_equal(verify_rebuild(l, &err), ERR_OK);
	assert_int_equal(account_of(l, USER).reserved, 70);
	ask.id = id_of(6);
	assert_int_equal(ledger_reserve(l, NOON, &ask, &other, &refusal, &err), ERR_NO_CREDIT);
	assert_int_equal(ledger_settle(l, NOON, &lease, &what, &how, &err), ERR_OK);
	assert_int_equal(verify_rebuild(l, &err), ERR_OK);
	assert_int_equal(account_of(l, USER).reserved, 0);
	assert_int_equal(account_of(l, USER).charged, 5);
	assert_int_equal(differences(l), 0);
	ledger_close(l);
}

static void die_in_a_rebuild(void)
{
	struct ledger *l = open_ledger();

	do_at(point, die);
	(void)!verify_rebuild(l, &err);
}

static void a_rebuild_in_place_that_is_killed_is_done_by_the_next(void **state)
{
	static const char *const points[] = { "hot.wipe", "follow.half", "books.replayed" };
	struct ledger *l = open_ledger();

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		spend(l, NOON, i + 10, 5);
		point = points[i];
		assert_true(WIFSIGNALED(in_child(die_in_a_rebuild)));
		assert_int_equal(account_of(l, USER).spent, 5 * ((int64_t)i + 1));
		assert_int_equal(differences(l), 0);
	}
	ledger_close(l);
}

static void every_descriptor_closes_at_exec(void **state)
{
	struct ledger *l = open_ledger();

	(void)state;
	spend(l, NOON, 1, 5);
	fold(l, NOON);
	spend(l, NOON, 2, 5);
	for (int fd = 3; fd < 256; fd++) {
		int flags = fcntl(fd, F_GETFD);
		char link[64], path[HOME_PATH_MAX] = "";

		snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
		if (flags < 0 || readlink(link, path, sizeof(path) - 1) < 0)
			continue;
		if (strstr(path, "tollgate"))
			assert_true(flags & FD_CLOEXEC);
	}
	ledger_close(l);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, make_home, drop_home)
	const struct CMUnitTest tests[] = {
		T(a_change_can_be_taken_back),
		T(what_a_dead_owner_left_half_done_is_taken_back_and_done_again),
		T(a_repair_that_is_killed_is_repeated),
		T(a_platform_without_robust_mutexes_is_refused),
		T(a_spoilt_table_is_made_anew_from_the_books),
		T(a_builder_that_is_killed_is_followed_by_the_next),
		T(of_many_that_come_first_one_builds),
		T(a_table_removed_while_it_is_used_lets_nobody_else_in),
		T(open_and_linked_tables_are_refused_with_the_remedy),
		T(two_new_subjects_of_one_record_never_share_a_slot),
		T(a_full_table_loses_nothing),
		T(a_crowd_of_addresses_does_not_wash_out_who_is_at_a_limit),
		T(a_lease_of_an_older_use_of_its_slot_is_not_found),
		T(a_rebuild_in_place_keeps_reservations_and_rates),
		T(a_rebuild_in_place_that_is_killed_is_done_by_the_next),
		T(every_descriptor_closes_at_exec),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
