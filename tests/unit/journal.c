#include "tests/unit/ledger_home.h"

#include "store/archive.h"
#include "store/crc32c.h"

#include <sys/mount.h>

static struct journal journal;
static uint64_t current;

static int make_journal(void **state)
{
	uint64_t room;

	if (make_home(state) != 0 || journal_open(&journal, home, &err) != ERR_OK)
		return -1;
	current = 1;
	return journal_create(&journal, 1, NOON.wall_ms, &room, &err) == ERR_OK ? 0 : -1;
}

static int drop_journal(void **state)
{
	journal_close(&journal);
	return drop_home(state);
}

static enum err_code append(uint64_t id)
{
	struct record r = { .type = RECORD_SETTLE, .id = { id, 0 } };
	bool unsynced;

	return journal_append(&journal, &current, &r, false, &unsynced, &err);
}

struct heard {
	uint64_t ids[64];
	size_t n;
};

static enum err_code on_record(
	void *ctx, const struct record *r, uint64_t segment, uint64_t offset, struct err *e)
{
	struct heard *h = ctx;

	(void)segment;
	(void)offset;
	(void)e;
	h->ids[h->n++] = r->id[0];
	return ERR_OK;
}

static struct journal_scan scan(uint64_t segment, bool closed, struct heard *h)
{
	struct journal_scan s = { .closed = closed };
	int fd;

	h->n = 0;
	assert_int_equal(journal_read_open(&journal, segment, &fd, &err), ERR_OK);
	if (journal_scan(&journal, fd, segment, &s, on_record, h, &err) != ERR_OK)
		fail_msg("scan: %s", err.message);
	close(fd);
	return s;
}

static void both_ways_to_the_checksum_agree_with_the_standard(void **state)
{
	static const struct {
		const char *text;
		uint32_t crc;
	} rows[] = { { "", 0 }, { "123456789", 0xE3069283 } };
	uint8_t bytes[64] = { 0 };

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		assert_int_equal(crc32c(rows[i].text, strlen(rows[i].text)), rows[i].crc);
		assert_int_equal(crc32c_portable(rows[i].text, strlen(rows[i].text)), rows[i].crc);
	}
	assert_int_equal(crc32c(bytes, 32), 0x8A9136AA); /* RFC 3720, B.4: 32 zeros */
	for (size_t n = 0; n < sizeof(bytes); n++) {
		bytes[n] = (uint8_t)(n * 37 + 1);
		assert_int_equal(crc32c(bytes, n), crc32c_portable(bytes, n));
	}
}

static void a_record_with_any_bit_changed_is_not_whole(void **state)
{
	struct record r = { .type = RECORD_SETTLE, .id = { 5, 6 } };

	(void)state;
	record_seal(&r);
	assert_true(record_is_whole(&r));
	for (size_t bit = 0; bit < RECORD_BYTES * 8; bit++) {
		((uint8_t *)&r)[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_false(record_is_whole(&r));
		((uint8_t *)&r)[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
}

static void what_was_appended_is_read_in_order(void **state)
{
	struct heard h;
	struct journal_scan s;

	(void)state;
	for (uint64_t i = 1; i <= 20; i++)
		assert_int_equal(append(i), ERR_OK);
	s = scan(1, false, &h);
	assert_int_equal(h.n, 20);
	for (uint64_t i = 0; i < 20; i++)
		assert_int_equal(h.ids[i], i + 1);
	assert_int_equal(s.offset, 21 * RECORD_BYTES);
	assert_int_equal(s.skipped, 0);
}

/* An end that is torn, zeroed or garbage: not there yet while the segment is open, skipped and
 * counted when it is closed; what comes after it (misaligned too) is found. */
static void bad_ends_and_middles_cost_only_themselves(void **state)
{
	static const struct {
		const char *name;
		off_t at; /* from the start of record 3 of 5 */
		size_t bytes;
		char fill;
		bool cut;              /* the segment ends behind it */
		uint64_t open, closed; /* records heard */
		uint64_t skipped;
	} rows[] = {
		{ "torn", 100, 0, 0, true, 2, 2, 100 },
		{ "zeroed tail", 0, 700, 0, true, 2, 2, 700 },
		{ "garbage tail", 0, 700, 0x5A, true, 2, 2, 700 },
		{ "one byte in the middle", 77, 1, 0x5A, false, 2, 4, 256 },
		{ "zeros in the middle", 0, 300, 0, false, 2, 3, 512 },
	};
	struct heard h;
	struct journal_scan s;
	char fill[700], path[HOME_PATH_MAX];
	uint64_t room;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char name[64];
		off_t third = 3 * RECORD_BYTES;

		print_message("  %s\n", rows[i].name);
		current = 10 + i;
		assert_int_equal(
			journal_create(&journal, current, NOON.wall_ms, &room, &err), ERR_OK);
		for (uint64_t k = 1; k <= 5; k++)
			assert_int_equal(append(k), ERR_OK);
		snprintf(name, sizeof(name), "journal.%08" PRIu64, current);
		assert_int_equal(journal_path(&journal, current, path, &err), ERR_OK);
		memset(fill, rows[i].fill, sizeof(fill));
		if (rows[i].cut)
			assert_int_equal(truncate(path, third + rows[i].at), 0);
		overwrite(name, third + rows[i].at, fill, rows[i].bytes);
		s = scan(current, false, &h);
		assert_int_equal(h.n, rows[i].open);
		assert_int_equal(s.bad_before_good, i == 3);
		s = scan(current, true, &h);
		assert_int_equal(h.n, rows[i].closed);
		assert_int_equal(s.skipped, rows[i].skipped);
	}
}

static void a_length_that_is_no_multiple_of_a_record_is_survived(void **state)
{
	struct heard h;
	struct journal_scan s;

	(void)state;
	assert_int_equal(append(1), ERR_OK);
	overwrite("journal.00000001", 2 * RECORD_BYTES, "stump", 5);
	assert_int_equal(append(2), ERR_OK); /* behind the stump */
	(void)scan(1, false, &h);
	assert_int_equal(h.n, 1);
	s = scan(1, true, &h);
	assert_int_equal(h.n, 2);
	assert_int_equal(s.skipped, 5);
}

/* The whole store comes over it: it changes the segment, skips the stump, and goes on. */
static void a_bad_record_before_good_ones_makes_the_store_change_the_segment(void **state)
{
	struct ledger *l;

	(void)state;
	journal_close(&journal);
	l = open_ledger();
	spend(l, NOON, 1, 5);
	char name[64], junk[RECORD_BYTES] = { 1 };
	snprintf(name, sizeof(name), "journal.%08" PRIu64, l->hot.head->segment);
	overwrite(name, 2 * RECORD_BYTES, junk, sizeof(junk));
	for (uint64_t i = 2; i < 5; i++)
		spend(l, NOON, i, 5);
	assert_int_equal(account_of(l, USER).spent, 5);
	assert_true(fold_is_due(l, (struct ledger_now){ NOON.wall_ms, NOON.mono_ms + 3000 }));
	fold(l, NOON);
	assert_int_equal(account_of(l, USER).spent, 20);
	assert_int_equal(atomic_load(&l->hot.head->skipped_bytes), RECORD_BYTES);
	assert_int_equal(differences(l), 0);
	ledger_close(l);
	assert_int_equal(journal_open(&journal, home, &err), ERR_OK);
}

static bool segment_is_there(uint64_t n)
{
	char path[HOME_PATH_MAX];

	assert_int_equal(journal_path(&journal, n, path, &err), ERR_OK);
	return access(path, F_OK) == 0;
}

/* Regression: an appender with the number of a dropped segment brought it back, empty. */
static void an_appender_with_a_stale_number_makes_no_segment(void **state)
{
	uint64_t room;

	(void)state;
	assert_int_equal(append(1), ERR_OK);
	for (uint64_t n = 2; n <= 3; n++)
		assert_int_equal(journal_create(&journal, n, NOON.wall_ms, &room, &err), ERR_OK);
	assert_int_equal(journal_remove(&journal, 1, &err), ERR_OK);
	assert_int_equal(journal_remove(&journal, 2, &err), ERR_OK);
	current = 2;
	for (int i = 0; i < JOURNAL_PENS; i++)
		assert_int_equal(append(2), ERR_STORE);
	assert_false(segment_is_there(1));
	assert_false(segment_is_there(2));
	current = 3;
	assert_int_equal(append(3), ERR_OK);
}

static void move_on(void)
{
	current = 2;
}

static void an_appender_that_meets_the_change_of_segments_writes_into_the_new_one(void **state)
{
	struct heard h;
	uint64_t room;

	(void)state;
	assert_int_equal(append(1), ERR_OK);
	assert_int_equal(journal_create(&journal, 2, NOON.wall_ms, &room, &err), ERR_OK);
	do_at("journal.inside", move_on);
	assert_int_equal(append(2), ERR_OK);
	no_fault();
	(void)scan(1, true, &h);
	assert_int_equal(h.n, 1);
	(void)scan(2, false, &h);
	assert_int_equal(h.n, 1);
	assert_int_equal(h.ids[0], 2);
}

static void a_missing_segment_is_named(void **state)
{
	uint64_t room, first, last, n;

	(void)state;
	for (uint64_t s = 2; s <= 4; s++)
		assert_int_equal(journal_create(&journal, s, NOON.wall_ms, &room, &err), ERR_OK);
	assert_int_equal(journal_remove(&journal, 3, &err), ERR_OK);
	assert_int_equal(journal_list(&journal, &first, &last, &n, &err), ERR_OK);
	assert_int_equal(n, 3);
	assert_int_equal(journal_is_complete(&journal, first, last, &err), ERR_STORE);
	assert_non_null(strstr(err.message, "journal.00000003 is missing"));
}

static void a_folder_on_a_network_file_system_is_refused(void **state)
{
	(void)state;
	fail_at("journal.remote", 1);
	assert_int_equal(try_open(), ERR_STORE);
	assert_non_null(strstr(err.message, "NFS"));
}

static void files_open_to_others_are_refused_with_the_command_that_mends_them(void **state)
{
	static const char *const names[] = { "ledger.format", "journal.00000001" };
	char path[HOME_PATH_MAX];

	(void)state;
	assert_int_equal(append(1), ERR_OK);
	for (size_t i = 0; i < 2; i++) {
		assert_int_equal(home_path(home, names[i], path, &err), ERR_OK);
		assert_int_equal(chmod(path, 0660), 0);
		assert_int_equal(try_open(), ERR_STORE);
		assert_non_null(strstr(err.message, "chmod 600"));
		assert_int_equal(chmod(path, 0600), 0);
	}
	assert_int_equal(chmod(home, 0777), 0);
	assert_int_equal(try_open(), ERR_STORE);
	assert_non_null(strstr(err.message, "chmod 700"));
	assert_int_equal(chmod(home, 0700), 0);
	assert_int_equal(try_open(), ERR_OK);
}

static void a_newer_format_is_refused_and_a_lost_one_is_found_again(void **state)
{
	uint8_t store[16];
	char path[HOME_PATH_MAX];
	struct record r = { .type = RECORD_SETTLE };

	(void)state;
	memcpy(store, journal.store, sizeof(store));
	assert_int_equal(home_path(home, "ledger.format", path, &err), ERR_OK);
	overwrite("ledger.format", 0, "tollgate ledger format 9", 24);
	assert_int_equal(try_open(), ERR_STORE);
	assert_non_null(strstr(err.message, "use the newer program"));
	unlink(path);
	journal_close(&journal);
	assert_int_equal(journal_open(&journal, home, &err), ERR_OK);
	assert_memory_equal(journal.store, store, sizeof(store));
	/* A record of a later format inside. */
	record_seal(&r);
	r.format++;
	r.crc = crc32c((const char *)&r + 8, RECORD_BYTES - 8);
	overwrite("journal.00000001", RECORD_BYTES, (const char *)&r, sizeof(r));
	assert_int_equal(try_open(), ERR_STORE);
	assert_non_null(strstr(err.message, "format 2"));
}

static void a_segment_under_a_wrong_name_is_not_believed(void **state)
{
	char from[HOME_PATH_MAX], to[HOME_PATH_MAX];
	struct journal_scan s = { .closed = true };
	struct heard h = { .n = 0 };
	int fd;

	(void)state;
	assert_int_equal(append(1), ERR_OK);
	assert_int_equal(journal_path(&journal, 1, from, &err), ERR_OK);
	assert_int_equal(journal_path(&journal, 2, to, &err), ERR_OK);
	assert_int_equal(rename(from, to), 0);
	assert_int_equal(journal_read_open(&journal, 2, &fd, &err), ERR_OK);
	assert_int_equal(journal_scan(&journal, fd, 2, &s, on_record, &h, &err), ERR_STORE);
	close(fd);
	assert_int_equal(h.n, 0);
}

static void an_archive_that_is_damaged_is_named_not_believed(void **state)
{
	struct heard h = { .n = 0 };

	(void)state;
	for (uint64_t i = 1; i <= 9; i++)
		assert_int_equal(append(i), ERR_OK);
	assert_int_equal(archive_put(&journal, 1, &err), ERR_OK);
	assert_int_equal(archive_put(&journal, 1, &err), ERR_OK); /* there already */
	assert_int_equal(archive_each(&journal, 1, on_record, &h, &err), ERR_OK);
	assert_int_equal(h.n, 9);
	assert_int_equal(h.ids[8], 9);
	assert_int_equal(archive_each(&journal, 2, on_record, &h, &err), ERR_NOT_FOUND);
	overwrite("archive/journal.00000001.z", 40, "XXXX", 4);
	assert_int_equal(archive_each(&journal, 1, on_record, &h, &err), ERR_STORE);
	assert_non_null(strstr(err.message, "journal.00000001.z is damaged"));
}

/* On a full disk, for which a small memory file system stands. Root only: it mounts one. */
static void a_reserved_record_goes_in_when_the_disk_is_full(void **state)
{
	char fill[4096] = { 0 }, path[HOME_PATH_MAX];
	uint64_t room;
	int fd;

	(void)state;
	journal_close(&journal);
	if (mount("tmpfs", home, "tmpfs", 0, "size=3m,mode=700") != 0) {
		assert_int_equal(journal_open(&journal, home, &err), ERR_OK);
		skip();
	}
	assert_int_equal(journal_open(&journal, home, &err), ERR_OK);
	assert_int_equal(journal_create(&journal, 1, NOON.wall_ms, &room, &err), ERR_OK);
	assert_int_equal(room, JOURNAL_ROOM);
	assert_int_equal(home_path(home, "fill", path, &err), ERR_OK);
	fd = open(path, O_WRONLY | O_CREAT, 0600);
	while (write(fd, fill, sizeof(fill)) == (ssize_t)sizeof(fill))
		continue;
	for (uint64_t i = 1; i < JOURNAL_ROOM / RECORD_BYTES; i++)
		assert_int_equal(append(i), ERR_OK);
	assert_int_equal(journal_ask_room(&journal, 1, 2 * JOURNAL_ROOM, &room, &err), ERR_STORE);
	assert_int_equal(append(1), ERR_STORE);
	assert_non_null(strstr(err.message, "no room"));
	assert_int_equal(ftruncate(fd, 0), 0);
	assert_int_equal(append(1), ERR_OK);
	close(fd);
	journal_close(&journal);
	assert_int_equal(umount(home), 0);
	assert_int_equal(journal_open(&journal, home, &err), ERR_OK);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, make_journal, drop_journal)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(both_ways_to_the_checksum_agree_with_the_standard),
		cmocka_unit_test(a_record_with_any_bit_changed_is_not_whole),
		T(what_was_appended_is_read_in_order),
		T(bad_ends_and_middles_cost_only_themselves),
		T(a_length_that_is_no_multiple_of_a_record_is_survived),
		T(a_bad_record_before_good_ones_makes_the_store_change_the_segment),
		T(an_appender_with_a_stale_number_makes_no_segment),
		T(an_appender_that_meets_the_change_of_segments_writes_into_the_new_one),
		T(a_missing_segment_is_named),
		T(a_folder_on_a_network_file_system_is_refused),
		T(files_open_to_others_are_refused_with_the_command_that_mends_them),
		T(a_newer_format_is_refused_and_a_lost_one_is_found_again),
		T(a_segment_under_a_wrong_name_is_not_believed),
		T(an_archive_that_is_damaged_is_named_not_believed),
		T(a_reserved_record_goes_in_when_the_disk_is_full),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
