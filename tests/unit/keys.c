#include "tests/unit/key_home.h"

#include "base/clock.h"
#include "base/crypto.h"
#include "store/gdbm_file.h"
#include "store/home.h"

#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

/* For a child process, where a failed assertion would go on with the parent's tests. */
static struct made make_key_or_exit(struct keys *k)
{
	struct made m;
	struct err e;

	if (create(k, "n", NOW, m.text, &m.info, &e)) {
		fprintf(stderr, "%s\n", e.message);
		_exit(9);
	}
	return m;
}

static enum keys_verdict verdict_of(struct keys *k, const char *text)
{
	enum keys_verdict verdict;
	struct key_info info;
	struct err e = { .code = ERR_OK };

	if (keys_check(k, slice_of(text), &verdict, &info, &e))
		fail_msg("%s", e.message);
	return verdict;
}

static bool log_has(const char *text)
{
	static char all[65536];
	FILE *f = fopen(log_path, "r");
	size_t n;

	assert_non_null(f);
	n = fread(all, 1, sizeof(all) - 1, f);
	all[n] = '\0';
	fclose(f);
	return strstr(all, text) != NULL;
}

static bool file_holds(const char *name, struct slice text)
{
	static char all[1 << 20];
	FILE *f = fopen(in_home(name), "r");
	size_t n;

	assert_non_null(f);
	n = fread(all, 1, sizeof(all), f);
	fclose(f);
	return memmem(all, n, text.ptr, text.len) != NULL;
}

/* ---- what a key is ---- */

static void a_key_works_until_it_is_revoked(void **state)
{
	struct keys *k = open_keys(""), *other = open_keys("");
	struct key_info info;
	enum keys_verdict verdict;
	struct made m = make_key(k, "laptop of Ann", NOW);

	(void)state;
	assert_int_equal(strlen(m.text), 44);
	assert_memory_equal(m.text, "sk-tg-", 6);
	assert_int_equal(strlen(m.info.id), 16);
	assert_memory_equal(m.info.id, "key_", 4);
	/* A reader that was open before the first key sees it, and its end. */
	assert_int_equal(keys_check(other, slice_of(m.text), &verdict, &info, NULL), ERR_OK);
	assert_int_equal(verdict, KEYS_VALID);
	assert_string_equal(info.id, m.info.id);
	assert_string_equal(info.name, "laptop of Ann");
	assert_int_equal(info.created_ms, NOW);
	assert_int_equal(keys_revoke(k, m.info.id, NOW + 5, &info, NULL), ERR_OK);
	assert_int_equal(info.revoked_ms, NOW + 5);
	assert_int_equal(verdict_of(other, m.text), KEYS_REVOKED);
	keys_close(other);
	keys_close(k);
}

static void a_typing_error_is_told_from_an_unknown_key(void **state)
{
	struct keys *k = open_keys("");
	struct made m = make_key(k, "a", NOW);
	char text[KEY_TEXT_SIZE + 1];
	static const struct slice bad[] = { { "", 0 }, { NULL, 0 }, { "sk-tg-", 6 },
		{ "anonymous", 9 }, { "sk-proj-0123456789012345678901234567890123456789", 48 } };

	(void)state;
	key_text_make(text);
	assert_int_equal(verdict_of(k, text), KEYS_UNKNOWN);
	for (size_t i = 0; i < KEY_TEXT_SIZE - 1; i++) {
		memcpy(text, m.text, KEY_TEXT_SIZE);
		text[i] = text[i] == 'x' ? 'y' : 'x';
		assert_int_equal(verdict_of(k, text), KEYS_MALFORMED);
		text[i] = '\0';
		assert_false(key_text_is_valid((struct slice){ text, KEY_TEXT_SIZE - 1 }));
	}
	memcpy(text, m.text, KEY_TEXT_SIZE);
	text[KEY_TEXT_SIZE - 1] = 'x';
	text[KEY_TEXT_SIZE] = '\0';
	assert_int_equal(verdict_of(k, text), KEYS_MALFORMED);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		enum keys_verdict verdict;
		struct key_info info;

		assert_int_equal(keys_check(k, bad[i], &verdict, &info, NULL), ERR_OK);
		assert_int_equal(verdict, KEYS_MALFORMED);
	}
	keys_close(k);
}

static void no_file_holds_a_key(void **state)
{
	struct keys *k = open_keys("");
	struct made m = make_key(k, "findable name", NOW);
	uint8_t plain[SHA256_BYTES];
	struct slice random = slice_from(slice_of(m.text), 6);

	(void)state;
	crypto_sha256(slice_of(m.text), plain);
	assert_true(file_holds("keys.gdbm", SLICE("findable name"))); /* the search works */
	assert_false(file_holds("keys.gdbm", slice_first(random, 12)));
	assert_false(file_holds("keys.gdbm", (struct slice){ (char *)plain, 8 }));
	keys_close(k);
}

static void names_are_printable_and_hostile_ones_are_refused(void **state)
{
	static const char *const bad[] = { "", " ", " a", "a ", "a\nb", "a\x1b[31m", "\x7f",
		"caf\xc3\xa9" };
	struct keys *k = open_keys("");
	char text[KEY_TEXT_SIZE];
	struct key_info info;
	struct stat st;
	struct err e;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(create(k, bad[i], NOW, text, &info, &e), ERR_BAD_REQUEST);
		assert_string_equal(e.param, "name");
		assert_string_equal(text, "");
	}
	assert_int_equal(stat(home, &st), -1); /* a refusal makes nothing */
	make_key(k, "../../etc/passwd; rm -rf \"$HOME\" %s%n", NOW);
	make_key(k, "{\"json\":\"<b>\"}", NOW);
	keys_close(k);
}

static void revoking_by_an_ambiguous_name_is_refused(void **state)
{
	struct keys *k = open_keys("env1=0123456789abcdef");
	struct made a = make_key(k, "twin", NOW), b = make_key(k, "twin", NOW + 1);
	struct key_info info;
	struct err e;

	(void)state;
	assert_int_equal(keys_revoke(k, "twin", NOW, &info, &e), ERR_BAD_REQUEST);
	assert_non_null(strstr(e.message, "2 keys are called"));
	assert_int_equal(verdict_of(k, a.text), KEYS_VALID);
	assert_int_equal(keys_revoke(k, a.info.id, NOW, &info, &e), ERR_OK);
	assert_int_equal(keys_revoke(k, "twin", NOW, &info, &e), ERR_OK); /* one is left */
	assert_string_equal(info.id, b.info.id);
	assert_int_equal(keys_revoke(k, "twin", NOW, &info, &e), ERR_BAD_REQUEST);
	assert_non_null(strstr(e.message, "revoked already"));
	assert_int_equal(keys_revoke(k, b.info.id, NOW, &info, &e), ERR_BAD_REQUEST);
	assert_int_equal(keys_revoke(k, "nobody", NOW, &info, &e), ERR_NOT_FOUND);
	assert_int_equal(keys_revoke(k, "env:env1", NOW, &info, &e), ERR_BAD_REQUEST);
	assert_non_null(strstr(e.message, "GATEWAY_API_KEYS"));
	keys_close(k);
}

static void keys_of_the_environment_work_without_any_file(void **state)
{
	struct keys *k = open_keys(" ann = 0123456789abcdef , bob=key=with=equals=signs,");
	enum keys_verdict verdict;
	struct key_info info;
	struct stat st;

	(void)state;
	assert_int_equal(keys_check(k, SLICE("0123456789abcdef"), &verdict, &info, NULL), ERR_OK);
	assert_int_equal(verdict, KEYS_VALID);
	assert_string_equal(info.id, "env:ann");
	assert_int_equal(verdict_of(k, "key=with=equals=signs"), KEYS_VALID);
	assert_int_equal(verdict_of(k, "0123456789abcdeg"), KEYS_MALFORMED);
	assert_int_equal(verdict_of(k, "ann"), KEYS_MALFORMED);
	assert_int_equal(stat(home, &st), -1);
	keys_close(k);
}

static void a_malformed_list_of_the_environment_is_refused_without_showing_it(void **state)
{
	static const char *const bad[] = { "secretsecretsecret", "=secretsecretsecret",
		"a=secretshort", "a=", "a\x01=secretsecretsecret",
		"a=secretsecretsecret,a=othersecretsecret",
		"a=secretsecretsecret,b=secretsecretsecret" };

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct keys *k;
		struct err e;

		print_message("%s\n", bad[i]);
		assert_int_equal(keys_open(&k, home, bad[i], &e), ERR_CONF);
		assert_null(k);
		assert_non_null(strstr(e.message, "GATEWAY_API_KEYS"));
		assert_null(strstr(e.message, "secret"));
	}
}

static void the_list_is_in_order_of_age(void **state)
{
	struct keys *k = open_keys("ann=0123456789abcdef");
	struct key_info *list;
	size_t count;

	(void)state;
	make_key(k, "third", NOW + 3);
	make_key(k, "first", NOW + 1);
	make_key(k, "second", NOW + 2);
	assert_int_equal(keys_list(k, &list, &count, NULL), ERR_OK);
	assert_int_equal(count, 4);
	assert_string_equal(list[0].id, "env:ann");
	assert_string_equal(list[1].name, "first");
	assert_string_equal(list[3].name, "third");
	free(list);
	keys_close(k);
}

/* ---- files that must not be trusted ---- */

static void a_file_open_to_others_is_refused_with_the_command_that_mends_it(void **state)
{
	static const char *const names[] = { "keys.gdbm", "pepper" };
	static const mode_t modes[] = { 0644, 0660, 0604, 0602 };
	struct keys *k = open_keys(""), *fresh;
	struct made m = make_key(k, "a", NOW);
	enum keys_verdict verdict;
	struct key_info info;
	struct err e;

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		assert_int_equal(chmod(in_home("keys.gdbm"), modes[i]), 0);
		assert_int_equal(keys_check(k, slice_of(m.text), &verdict, &info, &e), ERR_STORE);
		assert_non_null(strstr(e.message, "chmod 600"));
		assert_non_null(strstr(e.message, names[0]));
		assert_int_equal(keys_open(&fresh, home, "", &e), ERR_STORE);
	}
	assert_int_equal(chmod(in_home("keys.gdbm"), 0600), 0);
	assert_int_equal(verdict_of(k, m.text), KEYS_VALID); /* mended without a restart */
	assert_int_equal(chmod(in_home("pepper"), 0640), 0);
	fresh = open_keys("");
	assert_int_equal(keys_check(fresh, slice_of(m.text), &verdict, &info, &e), ERR_STORE);
	assert_non_null(strstr(e.message, "chmod 600"));
	assert_non_null(strstr(e.message, names[1]));
	assert_int_equal(chmod(in_home("pepper"), 0600), 0);
	assert_int_equal(chmod(home, 0770), 0);
	assert_int_equal(create(fresh, "b", NOW, m.text, &info, &e), ERR_STORE);
	assert_non_null(strstr(e.message, "chmod 700"));
	assert_int_equal(chmod(home, 0700), 0);
	keys_close(fresh);
	keys_close(k);
}

static void everything_made_is_closed_to_others(void **state)
{
	mode_t before = umask(0);
	struct keys *k = open_keys("");
	struct dirent *entry;
	struct stat st;
	int files = 0;
	DIR *d;

	(void)state;
	make_key(k, "a", NOW);
	make_key(k, "b", NOW);
	umask(before);
	assert_int_equal(stat(home, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0700);
	d = opendir(home);
	assert_non_null(d);
	while ((entry = readdir(d))) {
		if (entry->d_name[0] == '.')
			continue;
		assert_int_equal(stat(in_home(entry->d_name), &st), 0);
		assert_int_equal(st.st_mode & 0777, 0600);
		assert_null(strstr(entry->d_name, "tmp")); /* nothing is left over */
		files++;
	}
	closedir(d);
	assert_int_equal(files, 4); /* keys.gdbm, .prev, keys.lock, pepper */
	keys_close(k);
}

static void keys_without_their_pepper_are_an_error_and_no_new_pepper_is_made(void **state)
{
	struct keys *k = open_keys("");
	struct made m = make_key(k, "a", NOW);
	enum keys_verdict verdict;
	struct key_info info;
	struct err e;

	(void)state;
	keys_close(k);
	assert_int_equal(unlink(in_home("pepper")), 0);
	k = open_keys("");
	assert_int_equal(keys_check(k, slice_of(m.text), &verdict, &info, &e), ERR_STORE);
	assert_non_null(strstr(e.message, "pepper"));
	assert_int_equal(create(k, "b", NOW, m.text, &info, &e), ERR_STORE);
	assert_int_equal(access(in_home("pepper"), F_OK), -1);
	overwrite("pepper", "short", 5);
	assert_int_equal(create(k, "b", NOW, m.text, &info, &e), ERR_STORE);
	assert_non_null(strstr(e.message, "32 bytes"));
	keys_close(k);
}

/* ---- damage ---- */

static void a_damaged_file_is_answered_from_the_one_before_until_restored(void **state)
{
	enum { EMPTY, CUT, GARBAGE, LONGER, MISSING, KINDS };
	static const char *const kinds[] = { "empty", "cut", "garbage", "longer", "missing" };

	(void)state;
	for (int kind = 0; kind < KINDS; kind++) {
		struct keys *k, *fresh;
		struct made first, second;
		char garbage[20000], text[KEY_TEXT_SIZE];
		struct key_info info;
		struct stat st;
		struct err e;

		print_message("%s\n", kinds[kind]);
		start(NULL);
		k = open_keys("");
		first = make_key(k, "first", NOW);
		second = make_key(k, "second", NOW + 1);
		assert_int_equal(verdict_of(k, second.text), KEYS_VALID);
		assert_int_equal(stat(in_home("keys.gdbm"), &st), 0);
		crypto_random(garbage, sizeof(garbage));
		if (kind == EMPTY)
			overwrite("keys.gdbm", "", 0);
		else if (kind == CUT)
			assert_int_equal(truncate(in_home("keys.gdbm"), st.st_size / 2), 0);
		else if (kind == GARBAGE)
			overwrite("keys.gdbm", garbage, sizeof(garbage));
		else if (kind == LONGER)
			assert_int_equal(truncate(in_home("keys.gdbm"), st.st_size + 4096), 0);
		else
			assert_int_equal(unlink(in_home("keys.gdbm")), 0);
		fresh = open_keys("");
		for (int i = 0; i < 2; i++) { /* a handle that was open, and a new one */
			struct keys *one = i ? fresh : k;

			assert_int_equal(verdict_of(one, first.text), KEYS_VALID);
			assert_int_equal(verdict_of(one, second.text), KEYS_UNKNOWN);
			assert_true(keys_is_damaged(one));
			assert_int_equal(create(one, "third", NOW, text, &info, &e), ERR_STORE);
			assert_non_null(strstr(e.message, "tollgate keys restore"));
			assert_int_equal(keys_revoke(one, "first", NOW, &info, &e), ERR_STORE);
		}
		assert_true(log_has("ALARM"));
		assert_int_equal(keys_restore(k, &e), ERR_OK);
		assert_int_equal(
			access(in_home("keys.gdbm.damaged"), F_OK), kind == MISSING ? -1 : 0);
		assert_int_equal(keys_restore(k, &e), ERR_STORE); /* in order now */
		second = make_key(k, "second again", NOW);
		make_key(k, "third", NOW); /* .prev is made again as well */
		assert_int_equal(verdict_of(fresh, first.text), KEYS_VALID);
		assert_int_equal(verdict_of(fresh, second.text), KEYS_VALID);
		assert_false(keys_is_damaged(fresh));
		keys_close(fresh);
		keys_close(k);
	}
}

static void when_both_files_are_damaged_nothing_is_pretended(void **state)
{
	struct keys *k = open_keys(""), *fresh;
	struct made m = make_key(k, "first", NOW);
	enum keys_verdict verdict;
	struct key_info info;
	struct err e;

	(void)state;
	overwrite("keys.gdbm", "xx", 2);
	assert_int_equal(keys_check(k, slice_of(m.text), &verdict, &info, &e), ERR_STORE);
	assert_int_equal(keys_restore(k, &e), ERR_STORE);
	assert_int_equal(keys_open(&fresh, home, "", &e), ERR_STORE);
	keys_close(k);
}

/* A flipped bit anywhere is never a crash, never another key's rights: the verdict is right, or
 * it is an error, or the key is not found; and no change is written on top of a lost record. */
static void flipped_bits_never_crash_and_never_let_a_stranger_in(void **state)
{
	struct keys *k = open_keys("");
	struct made m = make_key(k, "a", NOW), gone;
	static uint8_t whole[1 << 20];
	char stranger[KEY_TEXT_SIZE];
	struct key_info info;
	size_t n;
	FILE *f;

	(void)state;
	gone = make_key(k, "revoked", NOW);
	assert_int_equal(keys_revoke(k, gone.info.id, NOW, &info, NULL), ERR_OK);
	keys_close(k);
	key_text_make(stranger);
	f = fopen(in_home("keys.gdbm"), "r");
	assert_non_null(f);
	n = fread(whole, 1, sizeof(whole), f);
	fclose(f);
	assert_in_range(n, 1000, sizeof(whole) - 1);
	unlink(in_home("keys.gdbm.prev"));
	for (int round = 0; round < 3000; round++) {
		enum keys_verdict verdict;
		size_t at;

		crypto_random(&at, sizeof(at));
		at = round < 600 ? (size_t)round : at % n; /* the header whole */
		whole[at] ^= 0x21;
		overwrite("keys.gdbm", whole, n);
		whole[at] ^= 0x21;
		if (keys_open(&k, home, "", NULL))
			continue;
		if (!keys_check(k, slice_of(m.text), &verdict, &info, NULL) &&
			verdict == KEYS_VALID)
			assert_string_equal(info.id, m.info.id);
		if (!keys_check(k, slice_of(gone.text), &verdict, &info, NULL))
			assert_int_not_equal(verdict, KEYS_VALID);
		if (!keys_check(k, slice_of(stranger), &verdict, &info, NULL))
			assert_int_equal(verdict, KEYS_UNKNOWN);
		keys_close(k);
	}
}

/* ---- many at one time ---- */

#define WRITERS    6
#define PER_WRITER 8

static void writers_at_one_time_lose_nothing(void **state)
{
	struct made *all = mmap(NULL, sizeof(*all) * WRITERS * PER_WRITER, PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct key_info *list;
	struct keys *k;
	size_t count;
	int status;

	(void)state;
	assert_true(all != MAP_FAILED);
	for (int w = 0; w < WRITERS; w++) {
		if (fork())
			continue;
		/* The home folder and the pepper are a race as well. */
		k = open_keys("");
		for (int i = 0; i < PER_WRITER; i++)
			all[w * PER_WRITER + i] = make_key_or_exit(k);
		keys_close(k);
		_exit(0);
	}
	for (int w = 0; w < WRITERS; w++) {
		assert_true(wait(&status) > 0);
		assert_int_equal(status, 0);
	}
	k = open_keys("");
	assert_int_equal(keys_list(k, &list, &count, NULL), ERR_OK);
	assert_int_equal(count, WRITERS * PER_WRITER);
	free(list);
	for (int i = 0; i < WRITERS * PER_WRITER; i++)
		assert_int_equal(verdict_of(k, all[i].text), KEYS_VALID);
	keys_close(k);
	munmap(all, sizeof(*all) * WRITERS * PER_WRITER);
}

struct reading {
	struct keys *keys;
	const char *text;
	bool *stop;
	int checks, wrong;
};

static void *check_all_the_time(void *arg)
{
	struct reading *r = arg;

	while (!__atomic_load_n(r->stop, __ATOMIC_RELAXED)) {
		enum keys_verdict verdict;
		struct key_info info;

		r->wrong += keys_check(r->keys, slice_of(r->text), &verdict, &info, NULL) ||
			    verdict != KEYS_VALID;
		r->checks++;
	}
	return NULL;
}

static void threads_may_check_while_keys_change(void **state)
{
	struct keys *k = open_keys("");
	struct made m = make_key(k, "a", NOW);
	struct reading r[4];
	pthread_t threads[4];
	bool stop = false;
	int before = 0, after = 0;

	(void)state;
	assert_int_equal(verdict_of(k, m.text), KEYS_VALID); /* the handle is open now */
	for (int fd = 3; fd < 256; fd++)
		before += fcntl(fd, F_GETFD) >= 0;
	for (int i = 0; i < 4; i++) {
		r[i] = (struct reading){ k, m.text, &stop, 0, 0 };
		assert_int_equal(pthread_create(&threads[i], NULL, check_all_the_time, &r[i]), 0);
	}
	for (int i = 0; i < 60; i++)
		make_key(k, "more", NOW);
	__atomic_store_n(&stop, true, __ATOMIC_RELAXED);
	for (int i = 0; i < 4; i++) {
		pthread_join(threads[i], NULL);
		assert_true(r[i].checks > 0);
		assert_int_equal(r[i].wrong, 0);
	}
	for (int fd = 3; fd < 256; fd++)
		after += fcntl(fd, F_GETFD) >= 0;
	assert_int_equal(after, before); /* no descriptor leaks */
	keys_close(k);
}

static void a_change_waits_for_the_lock_only_so_long(void **state)
{
	int held = -1, again = -1;
	struct err e;

	(void)state;
	assert_int_equal(home_make(home, &e), ERR_OK);
	assert_int_equal(home_lock(home, "keys.lock", 0, &held, &e), ERR_OK);
	assert_int_equal(home_lock(home, "keys.lock", 20, &again, &e), ERR_BUSY);
	assert_int_equal(again, -1);
	close(held);
	assert_int_equal(home_lock(home, "keys.lock", 0, &again, &e), ERR_OK);
	close(again);
}

/* ---- SIGKILL ---- */

#define KILLS       300
#define ACKNOWLEDGE 4096

struct shared {
	int count; /* keys whose creation returned */
	struct made keys[ACKNOWLEDGE];
};

static void write_until_killed(struct shared *s)
{
	struct keys *k = open_keys("");
	struct key_info info;

	while (s->count < ACKNOWLEDGE) {
		s->keys[s->count] = make_key_or_exit(k);
		__atomic_add_fetch(&s->count, 1, __ATOMIC_SEQ_CST);
		if (s->count % 4 == 0 &&
			keys_revoke(k, s->keys[s->count - 1].info.id, NOW, &info, NULL) != ERR_OK)
			_exit(9);
	}
	_exit(0);
}

static bool is_known(struct keys *k, const char *text)
{
	enum keys_verdict verdict = verdict_of(k, text);

	return verdict == KEYS_VALID || verdict == KEYS_REVOKED;
}

/* Tried with the rename done before the seal, and with changes made in place: both fail here. */
static void a_killed_writer_loses_nothing_it_acknowledged(void **state)
{
	struct shared *s =
		mmap(NULL, sizeof(*s), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct keys *reader = open_keys("");
	int status, unfinished = 0, looked = 0;
	unsigned random;

	(void)state;
	assert_true(s != MAP_FAILED);
	for (int round = 0; round < KILLS && s->count < ACKNOWLEDGE; round++) {
		int64_t end;
		pid_t writer = fork();

		if (!writer)
			write_until_killed(s);
		assert_true(writer > 0);
		crypto_random(&random, sizeof(random));
		end = clock_mono_us() + 500 + random % 12000;
		do { /* the reader is at it while the writer dies */
			int count = __atomic_load_n(&s->count, __ATOMIC_SEQ_CST);

			if (count) {
				assert_true(is_known(reader, s->keys[count - 1].text));
				assert_true(
					is_known(reader, s->keys[random % (unsigned)count].text));
			}
		} while (clock_mono_us() < end);
		assert_int_equal(kill(writer, SIGKILL), 0);
		assert_int_equal(waitpid(writer, &status, 0), writer);
		assert_true(WIFSIGNALED(status));
		unfinished += access(in_home("keys.gdbm.tmp"), F_OK) == 0;
		looked++;
		/* The file is whole: a full walk agrees with its seal. */
		if (s->count) {
			struct key_info *list;
			size_t count;

			assert_int_equal(keys_list(reader, &list, &count, NULL), ERR_OK);
			assert_true(count >= (size_t)s->count);
			free(list);
		}
	}
	assert_false(keys_is_damaged(reader));
	assert_false(log_has("ALARM"));
	for (int i = 0; i < s->count; i++)
		assert_true(is_known(reader, s->keys[i].text));
	print_message("%d kills, %d in the middle of a change, %d keys acknowledged\n", looked,
		unfinished, s->count);
	assert_true(unfinished > 0); /* else the test proves nothing */
	make_key(reader, "after", NOW);
	keys_close(reader);
	munmap(s, sizeof(*s));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(a_key_works_until_it_is_revoked, start),
		cmocka_unit_test_setup(a_typing_error_is_told_from_an_unknown_key, start),
		cmocka_unit_test_setup(no_file_holds_a_key, start),
		cmocka_unit_test_setup(names_are_printable_and_hostile_ones_are_refused, start),
		cmocka_unit_test_setup(revoking_by_an_ambiguous_name_is_refused, start),
		cmocka_unit_test_setup(keys_of_the_environment_work_without_any_file, start),
		cmocka_unit_test_setup(
			a_malformed_list_of_the_environment_is_refused_without_showing_it, start),
		cmocka_unit_test_setup(the_list_is_in_order_of_age, start),
		cmocka_unit_test_setup(
			a_file_open_to_others_is_refused_with_the_command_that_mends_it, start),
		cmocka_unit_test_setup(everything_made_is_closed_to_others, start),
		cmocka_unit_test_setup(
			keys_without_their_pepper_are_an_error_and_no_new_pepper_is_made, start),
		cmocka_unit_test_setup(
			a_damaged_file_is_answered_from_the_one_before_until_restored, start),
		cmocka_unit_test_setup(when_both_files_are_damaged_nothing_is_pretended, start),
		cmocka_unit_test_setup(flipped_bits_never_crash_and_never_let_a_stranger_in, start),
		cmocka_unit_test_setup(writers_at_one_time_lose_nothing, start),
		cmocka_unit_test_setup(threads_may_check_while_keys_change, start),
		cmocka_unit_test_setup(a_change_waits_for_the_lock_only_so_long, start),
		cmocka_unit_test_setup(a_killed_writer_loses_nothing_it_acknowledged, start),
	};

	return cmocka_run_group_tests(tests, make_top_with_log, drop_top);
}
