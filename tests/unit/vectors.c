/* The nearest of many vectors: what is found, by whom, and that what is doubtful is not. */
#include "tests/unit/vectors_home.h"

#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <sys/resource.h>

/* ---- what is found ---- */

static void nothing_is_found_where_nothing_is(void **state)
{
	(void)state;
	assert_int_equal(find(1, 1, 1), ERR_NOT_FOUND);
	assert_int_equal(access(file, F_OK), -1); /* looking makes no file */
}

static void the_same_vector_is_found_whatever_its_length(void **state)
{
	float longer[DIMS];

	(void)state;
	for (unsigned n = 1; n <= 50; n++)
		assert_int_equal(put(n, 1, 1), ERR_OK);
	for (unsigned n = 1; n <= 50; n++) {
		memcpy(longer, vector_of(n, DIMS), sizeof(longer));
		for (size_t i = 0; i < DIMS; i++)
			longer[i] *= 1e6F;
		assert_int_equal(find_at(longer, 1, 1, 1, NOW), ERR_OK);
		assert_int_equal(found_n(), n);
		assert_true(similarity > 0.999999 && similarity <= 1);
	}
	assert_int_equal(find(51, 1, 1), ERR_NOT_FOUND);
}

static void the_nearest_is_found_and_how_near_it_is(void **state)
{
	float a[DIMS], b[DIMS], mixed[DIMS];
	double dot = 0, aa = 0, mm = 0;

	(void)state;
	assert_int_equal(put(1, 1, 1), ERR_OK);
	assert_int_equal(put(2, 1, 1), ERR_OK);
	memcpy(a, vector_of(1, DIMS), sizeof(a));
	memcpy(b, vector_of(2, DIMS), sizeof(b));
	for (size_t i = 0; i < DIMS; i++) {
		mixed[i] = a[i] + 0.5F * b[i];
		dot += (double)a[i] * (double)mixed[i];
		aa += (double)a[i] * (double)a[i];
		mm += (double)mixed[i] * (double)mixed[i];
	}
	assert_int_equal(find_at(mixed, 1, 1, 0.5, NOW), ERR_OK);
	assert_int_equal(found_n(), 1);
	assert_true(fabs(similarity - dot / sqrt(aa * mm)) < 1e-5);
	assert_int_equal(find_at(mixed, 1, 1, similarity + 1e-4, NOW), ERR_NOT_FOUND);
	assert_int_equal(find_at(mixed, 1, 1, similarity - 1e-4, NOW), ERR_OK);
	for (size_t i = 0; i < DIMS; i++)
		mixed[i] = -a[i];
	assert_int_equal(find_at(mixed, 1, 1, 0.5, NOW), ERR_NOT_FOUND);
}

/* Bytes are coarse: who is nearest among many that are near is judged by floats. */
static void the_nearest_of_near_ones_is_judged_by_floats(void **state)
{
	float base[DIMS], near[DIMS];

	(void)state;
	memcpy(base, vector_of(1, DIMS), sizeof(base));
	for (unsigned n = 1; n <= 8; n++) {
		struct vectors_row row = row_of(n, 1, 1);

		memcpy(near, base, sizeof(near));
		near[n] += 0.001F * (float)n; /* less than one step of the bytes */
		assert_int_equal(vectors_put(v, &row, near, DIMS, NOW, &err), ERR_OK);
	}
	for (unsigned n = 1; n <= 8; n++) {
		memcpy(near, base, sizeof(near));
		near[n] += 0.001F * (float)n;
		assert_int_equal(find_at(near, 1, 1, 0.95, NOW), ERR_OK);
		assert_int_equal(found_n(), n);
	}
}

static void groups_and_guards_are_apart(void **state)
{
	(void)state;
	assert_int_equal(put(1, 1, 1), ERR_OK);
	assert_int_equal(find(1, 2, 1), ERR_NOT_FOUND);
	assert_int_equal(find(1, 1, 2), ERR_NOT_FOUND);
	assert_int_equal(find(1, 1, 1), ERR_OK);
}

static void who_has_expired_is_not_found(void **state)
{
	struct vectors_row row = row_of(2, 1, 1);

	(void)state;
	assert_int_equal(put(1, 1, 1), ERR_OK);
	assert_int_equal(find_at(vector_of(1, DIMS), 1, 1, 0.9, NOW + 59999), ERR_OK);
	assert_int_equal(find_at(vector_of(1, DIMS), 1, 1, 0.9, NOW + 60000), ERR_NOT_FOUND);
	row.expires_ms = NOW;
	assert_int_equal(vectors_put(v, &row, vector_of(2, DIMS), DIMS, NOW, &err), ERR_RANGE);
}

static void the_oldest_gives_way(void **state)
{
	(void)state;
	for (unsigned n = 1; n <= ROWS + 3; n++)
		assert_int_equal(put(n, 1, 1), ERR_OK);
	for (unsigned n = 1; n <= ROWS + 3; n++)
		assert_int_equal(find(n, 1, 1), n <= 3 ? ERR_NOT_FOUND : ERR_OK);
}

static void a_key_has_one_row_in_its_group(void **state)
{
	struct vectors_row row = row_of(1, 1, 9);

	(void)state;
	for (unsigned n = 1; n <= ROWS; n++)
		assert_int_equal(put(n, 1, 1), ERR_OK);
	for (int i = 0; i < 10; i++)
		assert_int_equal(
			vectors_put(v, &row, vector_of(500, DIMS), DIMS, NOW, &err), ERR_OK);
	assert_int_equal(find(1, 1, 1), ERR_NOT_FOUND);
	assert_int_equal(find(500, 1, 9), ERR_OK);
	for (unsigned n = 2; n <= ROWS; n++)
		assert_int_equal(find(n, 1, 1), ERR_OK);
	assert_int_equal(put(1, 2, 1), ERR_OK); /* in another group it is another row's */
	assert_int_equal(find(500, 1, 9), ERR_NOT_FOUND);
}

static void what_is_no_vector_is_refused(void **state)
{
	static const float bad[] = { NAN, INFINITY, -INFINITY };
	struct vectors_row row = row_of(1, 1, 1);
	float vector[DIMS];

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		memcpy(vector, vector_of(1, DIMS), sizeof(vector));
		vector[DIMS - 1] = bad[i];
		assert_int_equal(vectors_put(v, &row, vector, DIMS, NOW, &err), ERR_RANGE);
		assert_int_equal(find_at(vector, 1, 1, 0.5, NOW), ERR_RANGE);
	}
	memset(vector, 0, sizeof(vector));
	assert_int_equal(vectors_put(v, &row, vector, DIMS, NOW, &err), ERR_RANGE);
	assert_int_equal(find_at(vector, 1, 1, 0.5, NOW), ERR_RANGE);
	assert_int_equal(vectors_put(v, &row, vector, 0, NOW, &err), ERR_RANGE);
	assert_int_equal(
		vectors_put(v, &row, vector_of(1, 8), VECTORS_DIMENSIONS_MAX + 1, NOW, &err),
		ERR_RANGE);
	assert_int_equal(access(file, F_OK), -1);
	/* What floats can hold is no trouble. */
	for (size_t i = 0; i < DIMS; i++)
		vector[i] = i % 2 ? 3e38F : -3e38F;
	assert_int_equal(vectors_put(v, &row, vector, DIMS, NOW, &err), ERR_OK);
	assert_int_equal(find_at(vector, 1, 1, 0.999, NOW), ERR_OK);
	for (size_t i = 0; i < DIMS; i++)
		vector[i] = i ? 0 : 1e-44F;
	assert_int_equal(vectors_put(v, &row, vector, DIMS, NOW, &err), ERR_OK);
	assert_int_equal(find_at(vector, 1, 1, 0.999, NOW), ERR_OK);
}

static void any_number_of_dimensions_has_its_own_file(void **state)
{
	static const size_t dims[] = { 1, 3, 64, 1536, VECTORS_DIMENSIONS_MAX };
	const uint8_t group[32] = { 0 };
	struct vectors_row row = row_of(1, 0, 1);

	(void)state;
	for (size_t i = 0; i < sizeof(dims) / sizeof(dims[0]); i++) {
		const float *vector = vector_of(1, dims[i]);

		assert_int_equal(vectors_find(v, group, 1, vector, dims[i], NOW, 0.9, &found,
					 &similarity, &err),
			ERR_NOT_FOUND);
		assert_int_equal(vectors_put(v, &row, vector, dims[i], NOW, &err), ERR_OK);
		assert_int_equal(vectors_find(v, group, 1, vector, dims[i], NOW, 0.999, &found,
					 &similarity, &err),
			ERR_OK);
	}
}

static void another_number_of_rows_has_its_own_file(void **state)
{
	struct vectors *first = v;

	(void)state;
	assert_int_equal(put(1, 1, 1), ERR_OK);
	v = open_rows(ROWS + 1);
	assert_int_equal(find(1, 1, 1), ERR_OK); /* until somebody writes */
	assert_int_equal(put(2, 1, 1), ERR_OK);
	assert_int_equal(find(1, 1, 1), ERR_NOT_FOUND);
	vectors_close(v);
	v = first;
	assert_int_equal(find(2, 1, 1), ERR_OK);
}

static void a_cleared_file_is_forgotten_by_all(void **state)
{
	struct vectors *other = open_rows(ROWS);

	(void)state;
	assert_int_equal(put(1, 1, 1), ERR_OK);
	assert_int_equal(find(1, 1, 1), ERR_OK);
	assert_int_equal(vectors_clear(other, &err), ERR_OK);
	assert_int_equal(vectors_clear(other, &err), ERR_OK);
	assert_int_equal(find(1, 1, 1), ERR_NOT_FOUND);
	assert_int_equal(put(1, 1, 1), ERR_OK);
	assert_int_equal(find(1, 1, 1), ERR_OK);
	vectors_close(other);
}

/* ---- damage ---- */

static void write_bytes(off_t at, const void *bytes, size_t n)
{
	int fd = open(file, O_WRONLY);

	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, bytes, n, at), n);
	close(fd);
}

static struct vectors_map *map_it(void)
{
	struct vectors_map *m;
	char folder[128];

	snprintf(folder, sizeof(folder), "%s/cache", home);
	assert_int_equal(vectors_file_map(folder, &m, &err), ERR_OK);
	return m;
}

/* A killed writer, a bad disk: any byte of a record that is not what was written. */
static void a_row_that_is_not_whole_is_not_found(void **state)
{
	const char wrong = 0x5a;
	char is;
	struct vectors_map *m;

	(void)state;
	assert_int_equal(put(1, 1, 1), ERR_OK);
	m = map_it();
	for (size_t at = 0; at < m->record_bytes; at++) {
		assert_int_equal(pread(m->fd, &is, 1, m->records_at + (off_t)at), 1);
		write_bytes(m->records_at + (off_t)at, is == wrong ? "\x5b" : &wrong, 1);
		assert_int_equal(find_at(vector_of(1, DIMS), 1, 1, 0, NOW), ERR_NOT_FOUND);
		write_bytes(m->records_at + (off_t)at, &is, 1);
	}
	assert_int_equal(find(1, 1, 1), ERR_OK);
	vectors_map_leave(m);
}

/* What is searched says one thing, the record another: the record is right. */
static void an_entry_of_another_row_leads_nowhere(void **state)
{
	struct vectors_entry first;
	struct vectors_map *m;

	(void)state;
	assert_int_equal(put(1, 1, 1), ERR_OK);
	assert_int_equal(put(2, 2, 1), ERR_OK);
	m = map_it();
	first = vectors_entries(m)[0];
	write_bytes(m->entries_at + (off_t)sizeof(first), &first, sizeof(first));
	write_bytes(m->bytes_at + (off_t)m->row_bytes, vectors_bytes(m, 0), m->row_bytes);
	assert_int_equal(find(2, 1, 1), ERR_NOT_FOUND);
	assert_int_equal(find(1, 1, 1), ERR_OK);
	assert_int_equal(found_n(), 1);
	vectors_map_leave(m);
}

static void a_count_beyond_the_capacity_reads_nothing_outside(void **state)
{
	const uint64_t much = UINT64_MAX;

	(void)state;
	assert_int_equal(put(1, 1, 1), ERR_OK);
	write_bytes(offsetof(struct vectors_head, written), &much, sizeof(much));
	assert_int_equal(find(1, 1, 1), ERR_OK);
	assert_int_equal(find(2, 1, 1), ERR_NOT_FOUND);
	assert_int_equal(put(2, 1, 1), ERR_OK);
}

/* Another file in its place while it is mapped, or the same one shorter, is no crash but a miss;
 * the next row makes a good file. */
static void a_file_that_is_not_ours_is_replaced(void **state)
{
	enum { SHORT, EMPTY, GARBAGE, OTHER_VERSION, GONE, LINK, OPEN_TO_ALL, FOLDER, WAYS };

	(void)state;
	for (int way = 0; way < WAYS; way++) {
		char garbage[8192], *at = garbage;

		print_message("way %d\n", way);
		memset(garbage, 0x77, sizeof(garbage));
		assert_int_equal(put(1, 1, 1), ERR_OK);
		assert_int_equal(find(1, 1, 1), ERR_OK);
		if (way == SHORT || way == EMPTY)
			assert_int_equal(truncate(file, way == SHORT ? 5000 : 0), 0);
		else if (way == GARBAGE)
			write_bytes(0, at, sizeof(garbage));
		else if (way == OTHER_VERSION)
			write_bytes(offsetof(struct vectors_head, version), at, 4);
		else if (way == OPEN_TO_ALL)
			assert_int_equal(chmod(file, 0666), 0);
		else
			assert_int_equal(unlink(file), 0);
		if (way == LINK)
			assert_int_equal(symlink("/etc/passwd", file), 0);
		if (way == FOLDER)
			assert_int_equal(mkdir(file, 0700), 0);
		if (way == FOLDER) {
			assert_int_equal(find(1, 1, 1), ERR_NOT_FOUND);
			assert_int_equal(put(2, 1, 1), ERR_STORE);
			assert_int_equal(rmdir(file), 0);
			continue;
		}
		vectors_close(v);
		v = open_rows(ROWS);
		assert_int_equal(find(1, 1, 1), ERR_NOT_FOUND);
		assert_int_equal(put(2, 1, 1), ERR_OK);
		assert_int_equal(find(2, 1, 1), ERR_OK);
	}
}

static void a_mapped_file_that_shrinks_is_a_miss(void **state)
{
	(void)state;
	assert_int_equal(put(1, 1, 1), ERR_OK);
	assert_int_equal(find(1, 1, 1), ERR_OK);
	assert_int_equal(truncate(file, 0), 0);
	assert_int_equal(find(1, 1, 1), ERR_NOT_FOUND);
	assert_int_equal(put(1, 1, 1), ERR_OK);
	assert_int_equal(find(1, 1, 1), ERR_OK);
}

static void a_full_disk_is_an_error_and_changes_nothing(void **state)
{
	struct rlimit before, small;

	(void)state;
	signal(SIGXFSZ, SIG_IGN);
	for (unsigned n = 1; n <= 5; n++)
		assert_int_equal(put(n, 1, 1), ERR_OK);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	small = (struct rlimit){ 6000, before.rlim_max };
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	assert_int_equal(put(6, 1, 1), ERR_STORE);
	assert_int_equal(find(5, 1, 1), ERR_OK);
	assert_int_equal(unlink(file), 0);
	assert_int_equal(put(6, 1, 1), ERR_STORE); /* no new one either */
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
	assert_int_equal(access(file, F_OK), -1);
	assert_int_equal(put(6, 1, 1), ERR_OK);
	signal(SIGXFSZ, SIG_DFL);
}

static void files_are_ours_alone(void **state)
{
	char folder[128];
	struct stat st;

	(void)state;
	assert_int_equal(put(1, 1, 1), ERR_OK);
	assert_int_equal(stat(file, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	snprintf(folder, sizeof(folder), "%s/cache", home);
	assert_int_equal(stat(folder, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0700);
}

static void who_holds_the_lock_makes_others_give_up_writing_only(void **state)
{
	char folder[128];
	int fd;

	(void)state;
	assert_int_equal(put(1, 1, 1), ERR_OK);
	snprintf(folder, sizeof(folder), "%s/cache", home);
	assert_int_equal(home_lock(folder, "vectors.lock", 0, &fd, &err), ERR_OK);
	assert_int_equal(put(2, 1, 1), ERR_BUSY);
	assert_int_equal(vectors_clear(v, &err), ERR_BUSY);
	assert_int_equal(find(1, 1, 1), ERR_OK);
	close(fd);
	assert_int_equal(put(2, 1, 1), ERR_OK);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(nothing_is_found_where_nothing_is),
		TEST(the_same_vector_is_found_whatever_its_length),
		TEST(the_nearest_is_found_and_how_near_it_is),
		TEST(the_nearest_of_near_ones_is_judged_by_floats),
		TEST(groups_and_guards_are_apart),
		TEST(who_has_expired_is_not_found),
		TEST(the_oldest_gives_way),
		TEST(a_key_has_one_row_in_its_group),
		TEST(what_is_no_vector_is_refused),
		TEST(any_number_of_dimensions_has_its_own_file),
		TEST(another_number_of_rows_has_its_own_file),
		TEST(a_cleared_file_is_forgotten_by_all),
		TEST(a_row_that_is_not_whole_is_not_found),
		TEST(an_entry_of_another_row_leads_nowhere),
		TEST(a_count_beyond_the_capacity_reads_nothing_outside),
		TEST(a_file_that_is_not_ours_is_replaced),
		TEST(a_mapped_file_that_shrinks_is_a_miss),
		TEST(a_full_disk_is_an_error_and_changes_nothing),
		TEST(files_are_ours_alone),
		TEST(who_holds_the_lock_makes_others_give_up_writing_only),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
