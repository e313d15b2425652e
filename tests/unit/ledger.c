#include "tests/unit/ledger_asks.h"

#include <sys/resource.h>

/* A process id that is in use again, by a process of another birth; and one that is a zombie. */
static void an_owner_of_another_birth_and_a_zombie_are_gone(void **state)
{
	struct ledger *l = open_ledger();
	struct ledger_refusal refusal;
	struct ledger_lease lease;
	siginfo_t info;
	pid_t zombie;

	(void)state;
	assert_int_equal(reserve(l, NOON, 1, 0, 0, NULL, 0, &lease, &refusal), ERR_OK);
	assert_int_equal(ledger_reap(l, NOON), 0);
	l->hot.leases[lease.index].born++;
	assert_int_equal(ledger_reap(l, NOON), 1);
	zombie = fork();
	if (zombie == 0)
		_exit(0);
	assert_int_equal(waitid(P_PID, (id_t)zombie, &info, WEXITED | WNOWAIT), 0);
	assert_int_equal(lease_owner_born((uint64_t)zombie), 0);
	waitpid(zombie, NULL, 0);
	ledger_close(l);
}

/* The largest figures that are let in, at the ends of every sum. */
static void sums_stop_at_the_ends_of_their_range(void **state)
{
	struct ledger *l = open_ledger();
	struct ledger_limit limits[] = {
		{ .subject = USER, .kind = LEDGER_BALANCE, .ceiling = INT64_MAX },
		{ .subject = USER, .kind = LEDGER_SPEND_DAY, .ceiling = INT64_MAX },
		{ .subject = USER, .kind = LEDGER_SPEND_MONTH, .ceiling = INT64_MAX },
		{ .subject = USER, .kind = LEDGER_SPEND_TOTAL, .ceiling = INT64_MAX },
	};
	struct ledger_refusal refusal;
	struct ledger_lease lease;
	struct account *a;
	bool already;

	(void)state;
	credit(l, USER, LEDGER_MICROUSD_MAX, 1);
	assert_int_equal(
		reserve(l, NOON, 1, LEDGER_MICROUSD_MAX, 0, limits, 4, &lease, &refusal), ERR_OK);
	assert_int_equal(limits[0].remaining, INT64_MAX - LEDGER_MICROUSD_MAX);
	a = hot_account(&l->hot, USER);
	a->credited = INT64_MAX / 2 - 1;
	assert_int_equal(
		ledger_credit(l, NOON, USER, 2, id_of(2), 0, SLICE(""), &already, &err), ERR_RANGE);
	a->charged = INT64_MIN + 5;
	a->spent = a->day_spent = a->month_spent = INT64_MAX - 1;
	spend(l, NOON, 3, LEDGER_MICROUSD_MAX);
	assert_true(account_of(l, USER).spent == INT64_MAX);
	assert_true(account_balance(a) == INT64_MAX);
	assert_int_equal(reserve(l, NOON, 4, 1, 0, &limits[3], 1, &lease, &refusal), ERR_NO_CREDIT);
	ledger_close(l);
}

static void a_full_disk_refuses_new_requests_while_running_ones_settle(void **state)
{
	struct ledger *l = open_ledger();
	struct record_settle what = a_request(5, 0);
	struct ledger_lease running, lease;
	struct ledger_refusal refusal;
	enum ledger_settled how;

	(void)state;
	assert_int_equal(reserve(l, NOON, 1, 0, 0, NULL, 0, &running, &refusal), ERR_OK);
	fail_at("journal.room", EDQUOT);
	atomic_store(&l->hot.head->room, books_room_needed(&l->hot) - 1);
	assert_int_equal(reserve(l, NOON, 2, 0, 0, NULL, 0, &lease, &refusal), ERR_STORE);
	assert_non_null(strstr(err.message, "no room"));
	assert_int_equal(ledger_settle(l, NOON, &running, &what, &how, &err), ERR_OK);
	assert_int_equal(ledger_tick(l, NOON, &err), ERR_STORE);
	no_fault();
	assert_int_equal(ledger_tick(l, NOON, &err), ERR_OK);
	assert_int_equal(reserve(l, NOON, 3, 0, 0, NULL, 0, &lease, &refusal), ERR_OK);
	assert_int_equal(account_of(l, USER).spent, 5);
	ledger_close(l);
}

static void a_write_that_fails_leaves_the_reservation_and_may_be_repeated(void **state)
{
	static const int errors[] = { ENOSPC, EDQUOT, EIO };
	struct ledger *l = open_ledger();
	struct ledger_limit balance = { .subject = USER, .kind = LEDGER_BALANCE };
	struct record_settle what = a_request(5, 0);
	struct ledger_refusal refusal;
	struct ledger_lease lease;
	enum ledger_settled how;

	(void)state;
	credit(l, USER, USD, 1);
	for (size_t i = 0; i < 3; i++) {
		assert_int_equal(
			reserve(l, NOON, i + 1, 100, 0, &balance, 1, &lease, &refusal), ERR_OK);
		fail_at("journal.write", errors[i]);
		assert_int_equal(ledger_settle(l, NOON, &lease, &what, &how, &err), ERR_STORE);
		no_fault();
		assert_int_equal(account_of(l, USER).reserved, 100);
		assert_int_equal(ledger_settle(l, NOON, &lease, &what, &how, &err), ERR_OK);
		assert_int_equal(how, LEDGER_SETTLED);
		assert_int_equal(account_of(l, USER).reserved, 0);
	}
	assert_int_equal(account_of(l, USER).spent, 15);
	ledger_close(l);
}

/* After EIO the pages count as clean: only a checkpoint made of what is in memory saves them. */
static void a_disk_that_fails_to_sync_stops_admission_until_the_books_are_folded(void **state)
{
	struct ledger *l = open_ledger();
	struct ledger_refusal refusal;
	struct ledger_lease lease;

	(void)state;
	spend(l, NOON, 1, 5);
	fail_at("journal.sync", EIO);
	assert_int_equal(ledger_sync(l, &err), ERR_STORE);
	assert_int_equal(reserve(l, NOON, 2, 0, 0, NULL, 0, &lease, &refusal), ERR_STORE);
	no_fault();
	assert_true(fold_is_due(l, later(NOON, 3000)));
	assert_int_equal(ledger_tick(l, later(NOON, 3000), &err), ERR_OK);
	assert_int_equal(reserve(l, NOON, 3, 0, 0, NULL, 0, &lease, &refusal), ERR_OK);
	ledger_close(l);
}

static void frozen_in_the_mutex(void)
{
	struct ledger *l = open_ledger();
	struct account a;

	do_at("hot.locked", freeze);
	(void)!ledger_account(l, USER, &a, &err);
}

static pid_t frozen(void (*body)(void))
{
	int status;
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		body();
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, WUNTRACED), pid);
	assert_true(WIFSTOPPED(status));
	return pid;
}

static void an_owner_stopped_in_the_mutex_keeps_no_money_from_being_written(void **state)
{
	struct ledger *l;
	pid_t pid = frozen(frozen_in_the_mutex);

	(void)state;
	l = open_ledger();
	for (uint64_t i = 1; i <= 3; i++) {
		struct ledger_lease lease = { .id = id_of(i) };
		struct record_settle what = a_request(5, 0);
		enum ledger_settled how;

		assert_int_equal(ledger_settle(l, NOON, &lease, &what, &how, &err), ERR_OK);
		assert_int_equal(how, LEDGER_DEFERRED);
	}
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	assert_int_equal(account_of(l, USER).spent, 15);
	assert_int_equal(differences(l), 0);
	ledger_close(l);
}

static void frozen_in_an_append(void)
{
	struct ledger *l = open_ledger();

	do_at("journal.inside", freeze);
	spend(l, NOON, 50, 7);
}

static void an_appender_stopped_in_its_segment_holds_up_the_fold_alone(void **state)
{
	struct ledger *l = open_ledger();
	pid_t pid;

	(void)state;
	spend(l, NOON, 1, 5);
	ledger_close(l);
	pid = frozen(frozen_in_an_append);
	l = open_ledger();
	assert_int_equal(fold_run(l, NOON, 0, &err), ERR_BUSY);
	for (uint64_t i = 2; i < 20; i++)
		spend(l, NOON, i, 5);
	assert_int_equal(account_of(l, USER).spent, 19 * 5);
	assert_int_equal(differences(l), 0);
	kill(pid, SIGCONT);
	waitpid(pid, NULL, 0);
	fold(l, NOON);
	assert_int_equal(account_of(l, USER).spent, 19 * 5 + 7);
	assert_int_equal(differences(l), 0);
	ledger_close(l);
}

static void a_process_without_descriptors_does_not_stop_the_others(void **state)
{
	struct ledger *l = open_ledger();
	struct rlimit before, none = { 0, 0 };

	(void)state;
	spend(l, NOON, 1, 5);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	none.rlim_max = before.rlim_max;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	assert_int_equal(ledger_sync(l, &err), ERR_BUSY);
	assert_int_equal(books_ask_room(l, &err), ERR_BUSY);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	assert_int_equal(l->hot.head->trouble, 0);
	spend(l, NOON, 2, 5);
	ledger_close(l);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, make_home, drop_home)
	const struct CMUnitTest tests[] = {
		T(an_owner_of_another_birth_and_a_zombie_are_gone),
		T(sums_stop_at_the_ends_of_their_range),
		T(a_full_disk_refuses_new_requests_while_running_ones_settle),
		T(a_write_that_fails_leaves_the_reservation_and_may_be_repeated),
		T(a_disk_that_fails_to_sync_stops_admission_until_the_books_are_folded),
		T(an_owner_stopped_in_the_mutex_keeps_no_money_from_being_written),
		T(an_appender_stopped_in_its_segment_holds_up_the_fold_alone),
		T(a_process_without_descriptors_does_not_stop_the_others),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
