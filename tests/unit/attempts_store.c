#include "store/attempts.h"

#include "base/json_scan.h"
#include "gateway/attempts_json.h"
#include "store/backup_set.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define NOW  INT64_C(1795262400000)
#define MOST 24 /* attempts of a request */

static char home[] = "/tmp/tollgate-attempts-XXXXXX";
static char ring[64];
static struct err err;

static int set_up(void **state)
{
	(void)state;
	if (!mkdtemp(home))
		return -1;
	snprintf(ring, sizeof(ring), "%s/%s", home, ATTEMPTS_FILE);
	return 0;
}

static int start(void **state)
{
	(void)state;
	unlink(ring);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	unlink(ring);
	return rmdir(home);
}

/* The id of request n; all in the row that a number names. */
static struct ledger_id id_in(uint64_t row, uint64_t n)
{
	return (struct ledger_id){ { row, n } };
}

static void put(struct ledger_id id, int64_t wall_ms, const char *text)
{
	if (attempts_put(home, id, wall_ms, slice_of(text), &err))
		fail_msg("%s", err.message);
}

static void assert_kept(struct ledger_id id, const char *text)
{
	struct buf out = { 0 };
	enum err_code rc = attempts_get(home, id, &out, &err);

	assert_int_equal(rc, text ? ERR_OK : ERR_NOT_FOUND);
	assert_true(slice_is(buf_slice(&out), text ? text : ""));
	buf_fini(&out);
}

static void what_was_put_is_found_by_its_id_alone(void **state)
{
	struct ledger_id a = ledger_id(SLICE("req_a")), b = ledger_id(SLICE("req_b"));
	struct stat st;

	(void)state;
	assert_kept(a, NULL);
	put(a, NOW, "[1]");
	assert_kept(a, "[1]");
	assert_kept(b, NULL);
	put(b, NOW, "[2]");
	put(a, NOW + 1, "[1,1]");
	assert_kept(a, "[1,1]");
	assert_kept(b, "[2]");
	assert_int_equal(stat(ring, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
}

static void the_oldest_of_a_row_gives_way(void **state)
{
	(void)state;
	/* The second is the oldest, whatever the order they came in. */
	put(id_in(5, 1), NOW + 10, "one");
	put(id_in(5, 2), NOW + 3, "two");
	put(id_in(5, 3), NOW + 20, "three");
	put(id_in(5, 4), NOW + 30, "four");
	put(id_in(6, 2), NOW, "another row's");
	put(id_in(5, 5), NOW + 40, "five");
	assert_kept(id_in(5, 1), "one");
	assert_kept(id_in(5, 2), NULL);
	assert_kept(id_in(5, 3), "three");
	assert_kept(id_in(5, 4), "four");
	assert_kept(id_in(5, 5), "five");
	assert_kept(id_in(6, 2), "another row's");
	/* What is put again for a request takes its own place. */
	put(id_in(5, 3), NOW + 50, "again");
	assert_kept(id_in(5, 1), "one");
	assert_kept(id_in(5, 3), "again");
}

static void the_file_is_bounded_and_takes_only_what_is_used(void **state)
{
	struct stat st;

	(void)state;
	put(id_in(UINT64_MAX, 1), NOW, "last row");
	for (uint64_t i = 0; i < 20; i++)
		put(id_in(ATTEMPTS_SLOTS / ATTEMPTS_WAYS - 1, i), NOW + (int64_t)i, "last row");
	assert_int_equal(stat(ring, &st), 0);
	assert_true(st.st_size <= (off_t)ATTEMPTS_SLOTS * ATTEMPTS_SLOT_BYTES);
	assert_true(st.st_blocks * 512 <= 4 * (off_t)ATTEMPTS_WAYS * ATTEMPTS_SLOT_BYTES);
}

static void a_text_of_any_length_up_to_the_limit_is_kept(void **state)
{
	static const size_t lengths[] = { 1, 100, ATTEMPTS_JSON_MAX - 1, ATTEMPTS_JSON_MAX };
	char text[ATTEMPTS_JSON_MAX + 2];

	(void)state;
	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		memset(text, 'a' + (int)i, lengths[i]);
		text[lengths[i]] = '\0';
		put(id_in(i, 1), NOW, text);
		assert_kept(id_in(i, 1), text);
	}
	memset(text, 'x', sizeof(text));
	assert_int_equal(attempts_put(home, id_in(3, 1), NOW,
				 (struct slice){ text, ATTEMPTS_JSON_MAX + 1 }, &err),
		ERR_RANGE);
	assert_int_equal(attempts_put(home, id_in(3, 1), NOW, SLICE(""), &err), ERR_RANGE);
	text[ATTEMPTS_JSON_MAX] = '\0';
	memset(text, 'd', ATTEMPTS_JSON_MAX);
	assert_kept(id_in(3, 1), text);
}

static void a_damaged_slot_is_none_and_is_used_again(void **state)
{
	const off_t places[] = { 0, 4, 8, 24, 32, 60 };

	(void)state;
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		int fd;
		char byte;

		unlink(ring);
		put(id_in(0, 7), NOW, "a text that is long enough");
		fd = open(ring, O_RDWR);
		assert_int_equal(pread(fd, &byte, 1, places[i]), 1);
		byte = (char)(byte ^ 0x40);
		assert_int_equal(pwrite(fd, &byte, 1, places[i]), 1);
		print_message("byte %lld\n", (long long)places[i]);
		assert_kept(id_in(0, 7), NULL);
		put(id_in(0, 8), NOW, "new");
		assert_kept(id_in(0, 8), "new");
		/* In the first place: it was not taken for an old one to be kept. */
		assert_true(lseek(fd, 0, SEEK_END) < ATTEMPTS_SLOT_BYTES);
		close(fd);
	}
	/* Cut in the middle, as a disk that was full may leave it. */
	unlink(ring);
	put(id_in(0, 7), NOW, "a text that is long enough");
	assert_int_equal(truncate(ring, 60), 0);
	assert_kept(id_in(0, 7), NULL);
}

static void a_file_of_another_kind_is_left_alone(void **state)
{
	char other[80];
	struct buf out = { 0 };
	struct ledger_id id = id_in(1, 1);
	int fd;

	(void)state;
	snprintf(other, sizeof(other), "%s/other", home);
	fd = open(other, O_RDWR | O_CREAT, 0600);
	assert_true(fd >= 0);
	/* A link, another name of a file, one that others can read, a folder, a pipe. */
	assert_int_equal(symlink(other, ring), 0);
	assert_int_equal(attempts_put(home, id, NOW, SLICE("[]"), &err), ERR_STORE);
	assert_int_equal(attempts_get(home, id, &out, &err), ERR_STORE);
	unlink(ring);
	assert_int_equal(link(other, ring), 0);
	assert_int_equal(attempts_put(home, id, NOW, SLICE("[]"), &err), ERR_STORE);
	unlink(ring);
	assert_int_equal(lseek(fd, 0, SEEK_END), 0);
	put(id, NOW, "[]");
	assert_int_equal(chmod(ring, 0640), 0);
	assert_int_equal(attempts_put(home, id, NOW, SLICE("[]"), &err), ERR_STORE);
	assert_non_null(strstr(err.message, "chmod 600"));
	assert_int_equal(attempts_get(home, id, &out, &err), ERR_STORE);
	unlink(ring);
	assert_int_equal(mkdir(ring, 0700), 0);
	assert_int_equal(attempts_put(home, id, NOW, SLICE("[]"), &err), ERR_STORE);
	rmdir(ring);
	assert_int_equal(mkfifo(ring, 0600), 0);
	assert_int_equal(attempts_get(home, id, &out, &err), ERR_STORE);
	unlink(ring);
	assert_int_equal(attempts_put("/nonexistent", id, NOW, SLICE("[]"), &err), ERR_STORE);
	assert_int_equal(attempts_get("/nonexistent", id, &out, &err), ERR_NOT_FOUND);
	assert_int_equal(out.len, 0);
	close(fd);
	unlink(other);
}

/* Texts of different lengths whose every byte follows from their first. */
static size_t make_text(unsigned n, char *text)
{
	size_t len = 1 + n * 37 % ATTEMPTS_JSON_MAX;

	memset(text, 'a' + (int)(n % 26), len);
	return len;
}

static _Noreturn void write_for_ever(unsigned worker)
{
	char text[ATTEMPTS_JSON_MAX];

	for (unsigned n = worker;; n += 7) {
		size_t len = make_text(n, text);
		struct slice json = { text, len };

		if (attempts_put(home, id_in(n % 8, n % 64), NOW + n, json, &err))
			_exit(1);
	}
}

/* Fails when head and text are written one after the other and no checksum is compared (tried). */
static void what_killed_writers_leave_is_whole_or_nothing(void **state)
{
	pid_t workers[4];
	unsigned found = 0;

	(void)state;
	put(id_in(0, 0), NOW, "a");
	for (unsigned i = 0; i < 4; i++) {
		workers[i] = fork();
		if (!workers[i])
			write_for_ever(i);
	}
	for (unsigned round = 0; round < 400; round++) {
		unsigned i = round % 4;
		int status;

		for (uint64_t n = 0; n < 64; n++) {
			struct buf out = { 0 };

			if (attempts_get(home, id_in(n % 8, n), &out, &err) == ERR_OK) {
				found++;
				for (size_t k = 1; k < out.len; k++)
					assert_int_equal(out.data[k], out.data[0]);
			}
			buf_fini(&out);
		}
		if (round % 20)
			continue;
		kill(workers[i], SIGKILL);
		assert_int_equal(waitpid(workers[i], &status, 0), workers[i]);
		assert_true(WIFSIGNALED(status)); /* none of them failed */
		workers[i] = fork();
		if (!workers[i])
			write_for_ever(i);
	}
	for (unsigned i = 0; i < 4; i++) {
		kill(workers[i], SIGKILL);
		waitpid(workers[i], NULL, 0);
	}
	assert_true(found > 0);
}

static void a_backup_leaves_it_out(void **state)
{
	(void)state;
	assert_true(backup_has("ledger.gdbm"));
	assert_false(backup_has(ATTEMPTS_FILE));
}

/* ---- the text ---- */

static void the_list_says_what_each_attempt_was(void **state)
{
	const struct attempt at[] = {
		{ .slug = "openai",
			.model = "openai/gpt-5.2",
			.end = ATTEMPT_FAILED,
			.error = ERR_UPSTREAM_STATUS,
			.status = 503,
			.took_ms = 31 },
		{ .slug = "azure",
			.model = "openai/gpt-5.2",
			.end = ATTEMPT_FAILED,
			.error = ERR_UPSTREAM_TIMEOUT,
			.begun_ms = 40,
			.took_ms = 10000 },
		{ .slug = "anthropic",
			.model = "anthropic/claude-sonnet-4.6",
			.end = ATTEMPT_OK,
			.status = 200,
			.begun_ms = 10040,
			.took_ms = 900,
			.ttft_ms = 400,
			.hedge = true },
	};
	struct buf out = { 0 }, words = { 0 };

	(void)state;
	attempts_json_write(at, 3, ATTEMPTS_JSON_MAX, &out);
	assert_string_equal(buf_cstr(&out),
		"[{\"provider\":\"openai\",\"model\":\"openai/gpt-5.2\",\"status\":503,"
		"\"outcome\":\"failed\",\"error\":\"upstream_status\",\"begun_ms\":0,"
		"\"took_ms\":31,\"ttft_ms\":null,\"hedge\":false,\"rescue\":false},"
		"{\"provider\":\"azure\",\"model\":\"openai/gpt-5.2\",\"status\":null,"
		"\"outcome\":\"failed\",\"error\":\"upstream_timeout\",\"begun_ms\":40,"
		"\"took_ms\":10000,\"ttft_ms\":null,\"hedge\":false,\"rescue\":false},"
		"{\"provider\":\"anthropic\",\"model\":\"anthropic/claude-sonnet-4.6\","
		"\"status\":200,\"outcome\":\"ok\",\"error\":null,\"begun_ms\":10040,"
		"\"took_ms\":900,\"ttft_ms\":400,\"hedge\":true,\"rescue\":false}]");
	attempts_json_words(buf_slice(&out), &words);
	assert_string_equal(buf_cstr(&words), "openai:503, azure:timeout, anthropic:ok");
	buf_fini(&out);
	buf_fini(&words);
}

static void what_did_not_fail_alone_is_named_by_its_end(void **state)
{
	const struct attempt at[] = { { .slug = "a",
					      .model = "m",
					      .end = ATTEMPT_CUT,
					      .status = 200,
					      .error = ERR_UPSTREAM_CLOSED },
		{ .slug = "b", .model = "m", .end = ATTEMPT_OVERTAKEN, .error = ERR_OVERTAKEN },
		{ .slug = "c", .model = "m", .end = ATTEMPT_FAILED, .error = ERR_UPSTREAM_CONNECT },
		{ .slug = "d",
			.model = "m",
			.end = ATTEMPT_FAILED,
			.status = 200,
			.error = ERR_UPSTREAM_INVALID },
		{ .slug = "e", .model = "m", .end = ATTEMPT_OK, .rescue = true },
		{ .slug = "f",
			.model = "m",
			.end = ATTEMPT_FAILED,
			.error = ERR_UPSTREAM_TOO_LARGE },
		{ .slug = "g", .model = "m", .end = ATTEMPT_FAILED } };
	struct buf out = { 0 }, words = { 0 };

	(void)state;
	attempts_json_write(at, 7, ATTEMPTS_JSON_MAX, &out);
	attempts_json_words(buf_slice(&out), &words);
	assert_string_equal(
		buf_cstr(&words), "a:cut, b:slow, c:connect, d:invalid, e:ok, f:invalid, g:failed");
	buf_reset(&words);
	attempts_json_words(SLICE("[{\"provider\":3},7,{}]"), &words);
	attempts_json_words(SLICE("{\"provider\":\"a\"}"), &words);
	attempts_json_words(SLICE("[{\"provider\""), &words);
	attempts_json_words(SLICE(""), &words);
	assert_int_equal(words.len, 0);
	buf_fini(&out);
	buf_fini(&words);
}

static void a_long_list_is_cut_before_its_last_attempt_and_stays_json(void **state)
{
	const struct json_limits limits = { .max_depth = 4, .max_keys = 1000 };
	struct attempt at[MOST] = { 0 };
	char model[MODEL_ID_MAX];

	(void)state;
	memset(model, '"', sizeof(model) - 1); /* each needs two bytes */
	model[sizeof(model) - 1] = '\0';
	for (size_t i = 0; i < MOST; i++)
		at[i] = (struct attempt){ .slug = "somebody", .model = model, .end = ATTEMPT_CUT };
	at[MOST - 1].slug = "the-last";
	for (size_t n = 0; n <= MOST; n++) {
		struct buf out = { 0 };
		enum json_kind kind;

		attempts_json_write(at + MOST - n, n, ATTEMPTS_JSON_MAX, &out);
		assert_true(buf_ok(&out) && out.len <= ATTEMPTS_JSON_MAX);
		assert_int_equal(json_validate(buf_slice(&out), &limits, &kind, &err), ERR_OK);
		assert_int_equal(kind, JSON_ARRAY);
		if (n)
			assert_non_null(strstr(buf_cstr(&out), "the-last"));
		buf_fini(&out);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(what_was_put_is_found_by_its_id_alone, start),
		cmocka_unit_test_setup(the_oldest_of_a_row_gives_way, start),
		cmocka_unit_test_setup(the_file_is_bounded_and_takes_only_what_is_used, start),
		cmocka_unit_test_setup(a_text_of_any_length_up_to_the_limit_is_kept, start),
		cmocka_unit_test_setup(a_damaged_slot_is_none_and_is_used_again, start),
		cmocka_unit_test_setup(a_file_of_another_kind_is_left_alone, start),
		cmocka_unit_test_setup(what_killed_writers_leave_is_whole_or_nothing, start),
		cmocka_unit_test(a_backup_leaves_it_out),
		cmocka_unit_test(the_list_says_what_each_attempt_was),
		cmocka_unit_test(what_did_not_fail_alone_is_named_by_its_end),
		cmocka_unit_test(a_long_list_is_cut_before_its_last_attempt_and_stays_json),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
