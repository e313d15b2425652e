#include "tests/unit/ledger_home.h"

#include "base/crypto.h"
#include "store/backup.h"
#include "store/keys.h"
#include "store/people.h"
#include "store/tar.h"

#include <sys/stat.h>

static char archive[128], copy[HOME_PATH_MAX];

static int set_up(void **state)
{
	int rc = make_home(state);

	snprintf(archive, sizeof(archive), "%s.backup", home);
	snprintf(copy, sizeof(copy), "%s.copy", home);
	return rc;
}

static int tear_down(void **state)
{
	unlink(archive);
	unlink(copy);
	return drop_home(state);
}

static void save(struct ledger *l)
{
	struct backup b;

	unlink(archive);
	if (backup_make(l, archive, NOON, NULL, &b, &err))
		fail_msg("backup: %s", err.message);
	backup_fini(&b);
}

static struct backup_restored restore(struct ledger *l)
{
	struct backup_restored done;

	if (backup_restore(l, archive, NOON, LEDGER_DROP, NULL, &done, &err))
		fail_msg("restore: %s", err.message);
	return done;
}

/* Another machine: nothing of the store is there. */
static void lose_everything(void)
{
	char table[HOME_PATH_MAX];

	table_path(table);
	unlink(table);
	empty_folder(home);
	assert_int_equal(mkdir(home, 0700), 0);
}

static struct slice contents(const char *path, struct buf *out)
{
	int fd = open(path, O_RDONLY);
	ssize_t n;

	assert_true(fd >= 0);
	buf_reset(out);
	while ((n = read(fd, buf_room(out, 65536), 65536)) > 0)
		buf_commit(out, (size_t)n);
	close(fd);
	return buf_slice(out);
}

static void write_copy(struct slice bytes)
{
	int fd = open(copy, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes.ptr, bytes.len), (ssize_t)bytes.len);
	close(fd);
}

static int64_t balance(struct ledger *l)
{
	struct account a = account_of(l, USER);

	return account_balance(&a);
}

static void what_came_after_a_backup_is_gone_after_its_restore(void **state)
{
	struct ledger *l = open_ledger();
	struct backup_restored done;
	char path[256];

	(void)state;
	credit(l, USER, 10 * USD, 1);
	spend(l, NOON, 11, USD);
	save(l);
	spend(l, NOON, 12, 3 * USD);
	credit(l, USER, USD, 2);
	assert_int_equal(balance(l), 7 * USD);
	done = restore(l);
	assert_int_equal(balance(l), 9 * USD);
	assert_int_equal(done.requests, 1);
	assert_int_equal(done.credits, 1);
	assert_int_equal(account_of(l, KEY).requests, 1);
	assert_int_equal(differences(l), 0);
	/* The credit of the backup was given, the later one was not. */
	credit(l, USER, 10 * USD, 1);
	assert_int_equal(balance(l), 9 * USD);
	credit(l, USER, USD, 2);
	assert_int_equal(balance(l), 10 * USD);
	spend(l, NOON, 13, USD);
	fold(l, NOON);
	assert_int_equal(differences(l), 0);
	ledger_close(l);
	snprintf(path, sizeof(path), "%s/restore.new", home);
	assert_int_equal(access(path, F_OK), -1);
}

static int64_t balance_of_process(void)
{
	struct ledger *l = open_ledger();
	int64_t n = balance(l);

	ledger_close(l);
	return n;
}

static void everybody_who_is_attached_sees_the_restored_books(void **state)
{
	struct ledger *l = open_ledger(), *other = open_ledger();
	struct record_settle what = a_request(USD, 0);
	struct ledger_limit limit = { .subject = USER, .kind = LEDGER_BALANCE };
	struct ledger_ask ask = { .id = id_of(20),
		.microusd = 2 * USD,
		.deadline_ms = NOON.mono_ms + 60000,
		.limits = &limit,
		.limits_n = 1 };
	struct ledger_refusal refusal;
	struct ledger_lease lease;
	enum ledger_settled how;
	char table[HOME_PATH_MAX];

	(void)state;
	credit(l, USER, 10 * USD, 1);
	save(l);
	spend(other, NOON, 11, 4 * USD);
	/* A request is under way while the restore happens: it counts on what was restored. */
	assert_int_equal(ledger_reserve(other, NOON, &ask, &lease, &refusal, &err), ERR_OK);
	restore(l);
	assert_int_equal(balance(other), 10 * USD);
	assert_int_equal(account_of(other, USER).reserved, 2 * USD);
	assert_int_equal(ledger_settle(other, NOON, &lease, &what, &how, &err), ERR_OK);
	assert_int_equal(how, LEDGER_SETTLED);
	assert_int_equal(balance(l), 9 * USD);
	assert_int_equal(account_of(l, USER).reserved, 0);
	assert_int_equal(differences(l), 0);
	ledger_close(other);
	ledger_close(l);
	/* Nor does it change when the table is lost and made again. */
	assert_int_equal(balance_of_process(), 9 * USD);
	table_path(table);
	assert_int_equal(unlink(table), 0);
	assert_int_equal(balance_of_process(), 9 * USD);
}

static void what_was_replaced_can_be_used_as_a_home(void **state)
{
	struct ledger *l = open_ledger();
	struct backup_restored done;
	char first[64], path[HOME_PATH_MAX];

	(void)state;
	save(l);
	credit(l, USER, 10 * USD, 1);
	spend(l, NOON, 11, USD);
	done = restore(l);
	assert_int_equal(balance(l), 0);
	ledger_close(l);
	strcpy(first, home);
	assert_true(snprintf(path, sizeof(path), "%s/%s", first, done.replaced) < 64);
	strcpy(home, path);
	l = open_ledger();
	assert_int_equal(balance(l), 9 * USD);
	assert_int_equal(differences(l), 0);
	ledger_close(l);
	table_path(path);
	unlink(path);
	strcpy(home, first);
}

static void keys_come_back_with_the_pepper_they_were_hashed_with(void **state)
{
	struct ledger *l = open_ledger();
	struct keys *keys;
	struct key_info want = { .name = "ana" }, info;
	enum keys_verdict verdict;
	char text[KEY_TEXT_SIZE];
	struct backup_restored done;

	(void)state;
	assert_int_equal(keys_open(&keys, home, "", &err), ERR_OK);
	assert_int_equal(keys_create(keys, &want, NOON.wall_ms, text, &info, &err), ERR_OK);
	save(l);
	assert_int_equal(keys_revoke(keys, "ana", NOON.wall_ms, &info, &err), ERR_OK);
	done = restore(l);
	assert_false(done.new_pepper);
	assert_int_equal(
		keys_check_at(keys, slice_of(text), NOON.wall_ms, &verdict, &info, &err), ERR_OK);
	assert_int_equal(verdict, KEYS_VALID);
	keys_close(keys);
	ledger_close(l);
	/* Elsewhere there is another pepper first. */
	lose_everything();
	l = open_ledger();
	assert_int_equal(keys_open(&keys, home, "", &err), ERR_OK);
	want = (struct key_info){ .name = "ben" };
	assert_int_equal(keys_create(keys, &want, NOON.wall_ms, text, &info, &err), ERR_OK);
	keys_close(keys);
	done = restore(l);
	assert_true(done.new_pepper);
	ledger_close(l);
}

static void a_backup_of_another_store_is_adopted(void **state)
{
	struct ledger *l = open_ledger();

	(void)state;
	credit(l, USER, 10 * USD, 1);
	for (uint64_t i = 0; i < 5; i++) {
		spend(l, NOON, 10 + i, USD);
		fold(l, NOON);
	}
	save(l);
	ledger_close(l);
	lose_everything();
	l = open_ledger();
	spend(l, NOON, 99, USD);
	restore(l);
	assert_int_equal(balance(l), 5 * USD);
	assert_int_equal(differences(l), 0);
	/* The new store's segments have lower numbers than the old one's had. */
	spend(l, NOON, 20, USD);
	fold(l, NOON);
	spend(l, NOON, 21, USD);
	assert_int_equal(balance(l), 3 * USD);
	assert_int_equal(differences(l), 0);
	ledger_close(l);
}

static void a_day_that_the_backup_does_not_know_is_gone(void **state)
{
	struct ledger_now tomorrow = { NOON.wall_ms + DAY, NOON.mono_ms + DAY };
	struct ledger *l = open_ledger();
	char path[256], file[USAGE_FILE_SIZE];

	(void)state;
	spend(l, NOON, 11, USD);
	save(l);
	spend(l, tomorrow, 12, USD);
	fold(l, tomorrow);
	usage_file(account_day(tomorrow.wall_ms), file);
	snprintf(path, sizeof(path), "%s/%s", home, file);
	assert_int_equal(access(path, F_OK), 0);
	restore(l);
	assert_int_equal(access(path, F_OK), -1);
	assert_int_equal(differences(l), 0);
	ledger_close(l);
}

static void a_bit_that_flipped_anywhere_is_found_and_nothing_changes(void **state)
{
	struct ledger *l = open_ledger();
	struct buf bytes = { 0 };
	struct backup b;
	struct backup_restored done;
	size_t tried = 0;

	(void)state;
	credit(l, USER, 10 * USD, 1);
	save(l);
	spend(l, NOON, 11, USD);
	contents(archive, &bytes);
	assert_int_equal(backup_verify(archive, NULL, &b, &err), ERR_OK);
	backup_fini(&b);
	for (size_t i = 0; i < bytes.len; i += bytes.len / 211 + 1) {
		bytes.data[i] ^= 4;
		write_copy(buf_slice(&bytes));
		bytes.data[i] ^= 4;
		tried++;
		if (backup_verify(copy, NULL, &b, &err) == ERR_OK)
			fail_msg("byte %zu is not guarded", i);
	}
	assert_true(tried > 100);
	bytes.data[TAR_BLOCK + 3] ^= 4;
	write_copy(buf_slice(&bytes));
	assert_int_equal(backup_restore(l, copy, NOON, LEDGER_DROP, NULL, &done, &err), ERR_STORE);
	assert_non_null(strstr(err.message, "damaged"));
	assert_int_equal(balance(l), 9 * USD);
	buf_fini(&bytes);
	ledger_close(l);
}

static void a_backup_that_was_cut_is_refused_wherever_it_was(void **state)
{
	struct ledger *l = open_ledger();
	struct buf bytes = { 0 };
	struct backup b;

	(void)state;
	save(l);
	contents(archive, &bytes);
	for (size_t n = 0; n < bytes.len; n += 509) {
		write_copy(slice_first(buf_slice(&bytes), n));
		assert_int_equal(backup_verify(copy, NULL, &b, &err), ERR_STORE);
		assert_null(b.files);
	}
	buf_fini(&bytes);
	ledger_close(l);
}

/* Writes an archive of one file and no, or a foreign, manifest. */
static void write_tar(const char *name, const char *manifest)
{
	int fd = open(copy, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_int_equal(tar_write(fd, copy, name, SLICE("x"), 0, &err), ERR_OK);
	if (manifest)
		assert_int_equal(
			tar_write(fd, copy, BACKUP_MANIFEST, slice_of(manifest), 0, &err), ERR_OK);
	assert_int_equal(tar_end(fd, copy, &err), ERR_OK);
	close(fd);
}

static void what_is_no_backup_is_refused_with_a_reason(void **state)
{
	struct backup b;

	(void)state;
	write_tar("pepper", NULL);
	assert_int_equal(backup_verify(copy, NULL, &b, &err), ERR_STORE);
	assert_non_null(strstr(err.message, BACKUP_MANIFEST));
	write_tar("etc/passwd", "x");
	assert_int_equal(backup_verify(copy, NULL, &b, &err), ERR_STORE);
	assert_non_null(strstr(err.message, "etc/passwd"));
	write_tar("pepper", "tollgate-backup 1\n");
	assert_int_equal(backup_verify(copy, NULL, &b, &err), ERR_STORE);
	write_copy(SLICE("no archive at all"));
	assert_int_equal(backup_verify(copy, NULL, &b, &err), ERR_STORE);
	assert_int_equal(backup_verify("/nonexistent", NULL, &b, &err), ERR_STORE);
}

static void names_in_an_archive_stay_below_its_folder(void **state)
{
	static const struct {
		const char *name;
		bool safe, ours;
	} rows[] = {
		{ "pepper", true, true },
		{ "journal.00000012", true, true },
		{ "usage.20261121.gdbm", true, true },
		{ "archive/journal.00000001.z", true, true },
		{ "archive/../pepper", false, false },
		{ "/etc/passwd", false, false },
		{ "..", false, false },
		{ "a//b", false, false },
		{ "a/", false, false },
		{ "", false, false },
		{ "a b", false, false },
		{ "journal.1", true, false },
		{ "journal.0000001x", true, false },
		{ "usage.20261121.gdbm.prev", true, false },
		{ "state.lock", true, false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		print_message("  %s\n", rows[i].name);
		assert_int_equal(tar_name_is_safe(rows[i].name), rows[i].safe);
		assert_int_equal(backup_has(rows[i].name), rows[i].ours);
	}
}

static void a_backup_is_a_secret_and_never_written_over(void **state)
{
	struct ledger *l = open_ledger();
	struct backup b;
	struct stat st;

	(void)state;
	save(l);
	assert_int_equal(stat(archive, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(backup_make(l, archive, NOON, NULL, &b, &err), ERR_STORE);
	assert_non_null(strstr(err.message, "there already"));
	assert_int_equal(backup_make(l, "/nonexistent/x", NOON, NULL, &b, &err), ERR_STORE);
	ledger_close(l);
}

/* Other tools read it, and its files are a home: the way back without this program. */
static void tar_unpacks_a_backup_into_a_home(void **state)
{
	struct ledger *l = open_ledger();
	char command[512];

	(void)state;
	credit(l, USER, 10 * USD, 1);
	spend(l, NOON, 11, USD);
	save(l);
	ledger_close(l);
	lose_everything();
	snprintf(command, sizeof(command), "tar --warning=no-timestamp -xpf %s -C %s", archive,
		home);
	assert_int_equal(system(command), 0);
	l = open_ledger();
	assert_int_equal(balance(l), 9 * USD);
	assert_int_equal(differences(l), 0);
	ledger_close(l);
}

static void books_that_cannot_be_opened_are_set_aside_when_nobody_uses_them(void **state)
{
	struct ledger *l = open_ledger();
	char replaced[64], path[HOME_PATH_MAX];

	(void)state;
	credit(l, USER, 10 * USD, 1);
	save(l);
	assert_int_equal(backup_set_aside(home, NOON, replaced, &err), ERR_BUSY);
	ledger_close(l);
	table_path(path);
	assert_int_equal(unlink(path), 0);
	overwrite("ledger.format", 0, "rubbish", 7);
	assert_int_equal(try_open(), ERR_STORE);
	assert_int_equal(backup_set_aside(home, NOON, replaced, &err), ERR_OK);
	l = open_ledger();
	restore(l);
	assert_int_equal(balance(l), 10 * USD);
	assert_int_equal(differences(l), 0);
	ledger_close(l);
	snprintf(path, sizeof(path), "%s/%s/ledger.format", home, replaced);
	assert_int_equal(access(path, F_OK), 0);
}

static enum err_code count_requests(void *ctx, const struct record *r, struct err *e)
{
	uint64_t *n = ctx;

	(void)e;
	*n += r->type == RECORD_SETTLE;
	return ERR_OK;
}

static uint64_t exported(struct ledger *l)
{
	uint64_t n = 0;

	assert_int_equal(verify_export(l, count_requests, &n, &err), ERR_OK);
	return n;
}

static struct backup_restored restore_kept(struct ledger *l)
{
	struct backup_restored done;

	if (backup_restore(l, archive, NOON, LEDGER_COMPRESS, NULL, &done, &err))
		fail_msg("restore: %s", err.message);
	return done;
}

/* Twice, because after the first one the store has not folded anything yet. */
static void the_journal_that_is_kept_goes_on_behind_a_restore(void **state)
{
	struct ledger *l = open_kept(LEDGER_COMPRESS);

	(void)state;
	for (uint64_t id = 11; id < 14; id++) {
		spend(l, NOON, id, 1);
		fold(l, NOON);
	}
	save(l);
	restore_kept(l);
	assert_int_equal(exported(l), 3);
	restore_kept(l);
	for (uint64_t id = 14; id < 19; id++) {
		spend(l, NOON, id, 1);
		fold(l, NOON);
	}
	assert_int_equal(exported(l), 8);
	restore_kept(l);
	assert_int_equal(exported(l), 3);
	assert_int_equal(account_of(l, KEY).requests, 3);
	assert_int_equal(differences(l), 0);
	ledger_close(l);
	/* Elsewhere the numbers are other ones, and the old lines stay in the backup alone. */
	lose_everything();
	l = open_kept(LEDGER_COMPRESS);
	for (uint64_t id = 20; id < 24; id++) {
		spend(l, NOON, id, 1);
		fold(l, NOON);
	}
	restore_kept(l);
	assert_int_equal(exported(l), 0);
	assert_int_equal(account_of(l, KEY).requests, 3);
	for (uint64_t id = 30; id < 36; id++) {
		spend(l, NOON, id, 1);
		fold(l, NOON);
	}
	assert_int_equal(exported(l), 6);
	assert_int_equal(account_of(l, KEY).requests, 9);
	assert_int_equal(differences(l), 0);
	ledger_close(l);
}

static void restore_and_die(void)
{
	struct ledger *l = open_ledger();
	struct backup_restored done;

	(void)!backup_restore(l, archive, NOON, LEDGER_DROP, NULL, &done, &err);
	ledger_close(l);
}

/* With the gateway attached all the time, and the restore killed at each of its points: run again
 * it ends as if nothing had happened. */
static void a_restore_that_was_killed_is_run_again(void **state)
{
	static const char *const points[] = { "restore.saved", "restore.prev", "restore.renamed",
		"restore.moved", "restore.replaced" };
	struct ledger *l = open_ledger();

	(void)state;
	credit(l, USER, 10 * USD, 1);
	spend(l, NOON, 11, USD);
	save(l);
	for (size_t i = 0; i < sizeof(points) / sizeof(points[0]); i++) {
		int status;

		print_message("  %s\n", points[i]);
		spend(l, NOON, 100 + i, USD);
		fold(l, NOON);
		do_at(points[i], die);
		status = in_child(restore_and_die);
		no_fault();
		assert_true(WIFSIGNALED(status));
		restore(l);
		assert_int_equal(balance(l), 9 * USD);
		assert_int_equal(differences(l), 0);
	}
	ledger_close(l);
}

/* Ends with 1 when a request is not settled once. */
static void spend_for_ever(void)
{
	struct ledger *l = open_ledger();

	for (uint64_t id = 1000;; id++) {
		struct ledger_lease lease = { .id = id_of(id) };
		struct record_settle what = a_request(1, 0);
		enum ledger_settled how;

		if (ledger_settle(l, NOON, &lease, &what, &how, &err) || how == LEDGER_ALREADY)
			_exit(1);
		(void)ledger_tick(l, ledger_now(), NULL);
		usleep(100); /* leave the other processor time to the sanitizer */
	}
}

/* Each line of a backup is whole, and what is settled while a restore runs counts once. */
static void books_agree_when_requests_never_stop(void **state)
{
	struct ledger *l = open_ledger();
	int status;
	pid_t pid;

	(void)state;
	credit(l, USER, 10 * USD, 1);
	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		spend_for_ever();
		_exit(1);
	}
	for (int i = 0; i < 2; i++) {
		struct backup_restored done;
		struct account before, after;

		while (account_of(l, USER).requests < 50)
			usleep(1000);
		save(l);
		before = account_of(l, USER);
		done = restore(l);
		after = account_of(l, USER);
		assert_true((int64_t)done.requests >= 50);
		assert_true(after.requests >= (int64_t)done.requests);
		assert_int_equal(after.charged, after.requests);
		assert_int_equal(after.credited, before.credited);
		assert_int_equal(differences(l), 0);
	}
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	assert_int_equal(differences(l), 0);
	ledger_close(l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			what_came_after_a_backup_is_gone_after_its_restore, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			everybody_who_is_attached_sees_the_restored_books, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			what_was_replaced_can_be_used_as_a_home, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			keys_come_back_with_the_pepper_they_were_hashed_with, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			a_backup_of_another_store_is_adopted, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			a_day_that_the_backup_does_not_know_is_gone, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			a_bit_that_flipped_anywhere_is_found_and_nothing_changes, set_up,
			tear_down),
		cmocka_unit_test_setup_teardown(
			a_backup_that_was_cut_is_refused_wherever_it_was, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			what_is_no_backup_is_refused_with_a_reason, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			names_in_an_archive_stay_below_its_folder, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			a_backup_is_a_secret_and_never_written_over, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			tar_unpacks_a_backup_into_a_home, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			books_that_cannot_be_opened_are_set_aside_when_nobody_uses_them, set_up,
			tear_down),
		cmocka_unit_test_setup_teardown(
			the_journal_that_is_kept_goes_on_behind_a_restore, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			a_restore_that_was_killed_is_run_again, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			books_agree_when_requests_never_stop, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
