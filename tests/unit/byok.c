#include "store/byok.h"

#include "store/fault.h"
#include "store/gdbm_file.h"
#include "store/home.h"
#include "tests/unit/own_home.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>

#define NOW    INT64_C(1760000000000)
#define SECRET "sk-users-own-0123456789"
/* The contract's key: bytes 00 to 1f. */
#define CONTRACT_KEY "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
#define OTHER_KEY    "ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8="

static const struct byok_owner ana = { BYOK_USER, "ana" }, ben = { BYOK_USER, "ben" },
			       acme = { BYOK_ORG, "ana" }; /* an id of another kind */

static int start(void **state)
{
	(void)state;
	remove_home();
	return 0;
}

static struct byok *open_byok(const char *setting)
{
	struct byok *b;
	struct err e = { .code = ERR_OK };

	if (byok_open(&b, home, setting, &e))
		fail_msg("%s", e.message);
	return b;
}

static struct byok_info wanted(const struct byok_owner *owner, const char *provider)
{
	struct byok_info want = { .owner = *owner, .created_by = "ana", .tail = "6789" };

	str_copy_cut(want.provider, sizeof(want.provider), provider);
	return want;
}

static struct byok_info add(
	struct byok *b, const struct byok_owner *owner, const char *provider, const char *secret)
{
	struct byok_info want = wanted(owner, provider), made = { .id = "" };
	struct err e = { .code = ERR_OK };

	if (byok_add(b, &want, slice_of(secret), NOW, &made, &e))
		fail_msg("%s", e.message);
	return made;
}

static enum err_code try_secret(struct byok *b, const struct byok_owner *owner,
	const char *provider, char out[64], struct err *e)
{
	struct buf secret = { .max_bytes = BYOK_SECRET_MAX };
	struct byok_info info;
	size_t which;
	enum err_code rc = byok_secret(b, owner, &provider, 1, &which, &info, &secret, e);

	out[0] = '\0';
	if (!rc)
		assert_true(slice_copy(buf_slice(&secret), out, 64));
	else
		assert_int_equal(secret.len, 0);
	buf_fini(&secret);
	return rc;
}

static void assert_secret(
	struct byok *b, const struct byok_owner *owner, const char *provider, const char *secret)
{
	char text[64];
	struct err e = { .code = ERR_OK };

	if (try_secret(b, owner, provider, text, &e))
		fail_msg("%s", e.message);
	assert_string_equal(text, secret);
}

static void assert_none(struct byok *b, const struct byok_owner *owner, const char *provider)
{
	char text[64];

	assert_int_equal(try_secret(b, owner, provider, text, NULL), ERR_NOT_FOUND);
}

/* Does any file of the home hold these bytes? */
static bool home_has(const char *text)
{
	static char all[1 << 20];
	DIR *d = opendir(home);
	struct dirent *entry;
	bool found = false;

	assert_non_null(d);
	while ((entry = readdir(d))) {
		int fd = open(in_home(entry->d_name), O_RDONLY);
		ssize_t n = fd >= 0 && entry->d_name[0] != '.' ? read(fd, all, sizeof(all)) : 0;

		found |= n > 0 && memmem(all, (size_t)n, text, strlen(text));
		if (fd >= 0)
			close(fd);
	}
	closedir(d);
	return found;
}

/* ---- keeping ---- */

static void a_key_is_kept_encrypted_and_every_process_sees_it_at_once(void **state)
{
	struct byok *b = open_byok(""), *other = open_byok("");
	struct byok_info made;
	struct stat st;

	(void)state;
	assert_none(other, &ana, "openai");
	made = add(b, &ana, "openai", SECRET);
	assert_secret(b, &ana, "openai", SECRET);
	assert_secret(other, &ana, "openai", SECRET);
	assert_int_equal(made.version, 1);
	assert_int_equal(made.created_ms, NOW);
	assert_false(home_has(SECRET));
	assert_int_equal(stat(in_home("byok.master"), &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(stat(in_home("byok.gdbm"), &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	byok_close(b);
	byok_close(other);
}

/* A user and an organisation may have the same id; neither gets the other's key. */
static void nobody_gets_the_key_of_another(void **state)
{
	struct byok *b = open_byok("");
	struct byok_info made = add(b, &ana, "openai", SECRET), out;
	const struct byok_info to = { .disabled = true };
	struct err e;

	(void)state;
	assert_none(b, &ben, "openai");
	assert_none(b, &acme, "openai");
	assert_none(b, &ana, "openai-x");
	assert_int_equal(byok_remove(b, &ben, made.id, &out, &e), ERR_NOT_FOUND);
	assert_int_equal(byok_remove(b, &acme, "openai", &out, &e), ERR_NOT_FOUND);
	assert_int_equal(
		byok_edit(b, &acme, made.id, BYOK_SET_DISABLED, &to, SLICE(""), NOW, &out, &e),
		ERR_NOT_FOUND);
	assert_secret(b, &ana, "openai", SECRET);
	add(b, &acme, "openai", "sk-of-acme");
	assert_secret(b, &ana, "openai", SECRET);
	assert_secret(b, &acme, "openai", "sk-of-acme");
	byok_close(b);
}

static void a_key_is_changed_switched_off_and_forgotten(void **state)
{
	struct byok *b = open_byok("");
	struct byok_info made = add(b, &ana, "openai", SECRET), out, want = wanted(&ana, "openai");
	struct byok_info to = { .tail = "9999", .disabled = true, .allow_fallback = true };
	struct err e;

	(void)state;
	assert_int_equal(byok_add(b, &want, SLICE("again"), NOW, &out, &e), ERR_BAD_REQUEST);
	assert_int_equal(err_status(&e), 409);
	assert_int_equal(byok_add(b, &want, SLICE(""), NOW, &out, &e), ERR_BAD_REQUEST);
	assert_int_equal(
		byok_edit(b, &ana, made.id, BYOK_SET_SECRET, &to, SLICE("new"), NOW + 5, &out, &e),
		ERR_OK);
	assert_int_equal(out.version, 2);
	assert_int_equal(out.updated_ms, NOW + 5);
	assert_int_equal(out.created_ms, NOW);
	assert_string_equal(out.tail, "9999");
	assert_false(out.disabled || out.allow_fallback);
	assert_secret(b, &ana, "openai", "new");
	assert_int_equal(byok_edit(b, &ana, "openai", BYOK_SET_DISABLED | BYOK_SET_FALLBACK, &to,
				 SLICE(""), NOW, &out, &e),
		ERR_OK);
	assert_true(out.disabled && out.allow_fallback);
	assert_none(b, &ana, "openai");
	to.disabled = false;
	assert_int_equal(
		byok_edit(b, &ana, "openai", BYOK_SET_DISABLED, &to, SLICE(""), NOW, &out, &e),
		ERR_OK);
	assert_secret(b, &ana, "openai", "new");
	assert_int_equal(byok_remove(b, &ana, made.id, &out, &e), ERR_OK);
	assert_string_equal(out.id, made.id);
	assert_none(b, &ana, "openai");
	assert_int_equal(byok_remove(b, &ana, made.id, &out, &e), ERR_NOT_FOUND);
	byok_close(b);
}

static void of_several_providers_the_first_with_an_enabled_key_answers(void **state)
{
	static const char *const providers[] = { "openai", "openrouter", "xai" };
	const struct byok_info off = { .disabled = true };
	struct byok *b = open_byok(""), *other = open_byok("");
	struct buf secret = { .max_bytes = BYOK_SECRET_MAX };
	struct byok_info info;
	size_t which;
	struct err e;

	(void)state;
	assert_int_equal(
		byok_secret(b, &ana, providers, 3, &which, &info, &secret, &e), ERR_NOT_FOUND);
	add(other, &ana, "xai", "last");
	add(other, &ana, "openai", "first");
	assert_int_equal(byok_secret(b, &ana, providers, 3, &which, &info, &secret, &e), ERR_OK);
	assert_int_equal(which, 0);
	assert_string_equal(info.provider, "openai");
	assert_int_equal(byok_edit(other, &ana, "openai", BYOK_SET_DISABLED, &off, SLICE(""), NOW,
				 &info, &e),
		ERR_OK);
	buf_reset(&secret);
	assert_int_equal(byok_secret(b, &ana, providers, 3, &which, &info, &secret, &e), ERR_OK);
	assert_int_equal(which, 2);
	assert_true(slice_is(buf_slice(&secret), "last"));
	assert_int_equal(
		byok_secret(b, &ana, providers, 2, &which, &info, &secret, &e), ERR_NOT_FOUND);
	buf_fini(&secret);
	byok_close(other);
	byok_close(b);
}

static void a_list_has_what_belongs_to_its_owner(void **state)
{
	struct byok *b = open_byok("");
	struct byok_info *list;
	size_t count;
	struct err e;

	(void)state;
	assert_int_equal(byok_list(b, NULL, &list, &count, &e), ERR_OK);
	assert_int_equal(count, 0);
	free(list);
	add(b, &ben, "xai", "1");
	add(b, &ana, "xai", "2");
	add(b, &acme, "openai", "3");
	add(b, &ana, "openai", "4");
	assert_int_equal(byok_list(b, &ana, &list, &count, &e), ERR_OK);
	assert_int_equal(count, 2);
	assert_string_equal(list[0].provider, "openai");
	assert_string_equal(list[1].provider, "xai");
	free(list);
	assert_int_equal(byok_list(b, NULL, &list, &count, &e), ERR_OK);
	assert_int_equal(count, 4);
	assert_string_equal(list[2].owner.id, "ben");
	assert_int_equal(list[3].owner.kind, BYOK_ORG);
	free(list);
	byok_close(b);
}

/* ---- the record ---- */

static struct byok_ring ring_of(const char *setting)
{
	struct byok_ring ring;

	assert_int_equal(byok_ring_read(&ring, home, setting, NULL), ERR_OK);
	return ring;
}

static void a_record_is_read_as_it_was_written_and_no_other_is_read(void **state)
{
	static uint8_t room[BYOK_RECORD_BYTES], secret[BYOK_SECRET_MAX];
	static char longest[BYOK_SECRET_MAX];
	struct byok_ring ring = ring_of(CONTRACT_KEY);
	struct byok_record r = { .info = wanted(&acme, "openai") }, back;
	struct slice bytes;
	struct err e;

	(void)state;
	memset(longest, 'x', sizeof(longest));
	people_uuid_make(r.info.id);
	r.info.version = 7;
	r.info.disabled = true;
	byok_record_seal(&r, &ring.keys[0], (struct slice){ longest, sizeof(longest) });
	bytes = byok_record_write(&r, room);
	assert_int_equal(byok_record_read(bytes, &back, &e), ERR_OK);
	assert_memory_equal(&back.info, &r.info, sizeof(r.info));
	assert_int_equal(byok_record_open(&back, &ring.keys[0], secret, &e), ERR_OK);
	assert_memory_equal(secret, longest, sizeof(longest));
	for (size_t n = 0; n < bytes.len; n += n < 300 ? 1 : 97)
		assert_int_equal(byok_record_read(slice_first(bytes, n), &back, &e), ERR_IO);
	for (size_t i = 0; i < bytes.len; i += i < 300 ? 1 : 97) {
		room[i] ^= 0x20;
		assert_int_not_equal(byok_record_read(bytes, &back, &e), ERR_OK);
		room[i] ^= 0x20;
	}
}

/* Who can write the file makes the checksum fit: only the seal is left. Fails for each member when
 * bind_to() leaves it out (tried for owner.id and version). */
static void a_secret_opens_only_for_whom_and_what_it_was_sealed(void **state)
{
	static uint8_t secret[BYOK_SECRET_MAX];
	struct byok_ring ring = ring_of(CONTRACT_KEY "," OTHER_KEY);
	struct byok_record r = { .info = wanted(&ana, "openai") }, t;
	struct err e;

	(void)state;
	people_uuid_make(r.info.id);
	r.info.version = 2;
	byok_record_seal(&r, &ring.keys[0], SLICE(SECRET));
	assert_int_equal(byok_record_open(&r, &ring.keys[0], secret, &e), ERR_OK);
	assert_memory_equal(secret, SECRET, strlen(SECRET));
	t = r;
	t.info.owner = ben;
	assert_int_equal(byok_record_open(&t, &ring.keys[0], secret, &e), ERR_STORE);
	t = r;
	t.info.owner.kind = BYOK_ORG;
	assert_int_equal(byok_record_open(&t, &ring.keys[0], secret, &e), ERR_STORE);
	t = r;
	str_copy_cut(t.info.provider, sizeof(t.info.provider), "xai");
	assert_int_equal(byok_record_open(&t, &ring.keys[0], secret, &e), ERR_STORE);
	t = r;
	t.info.version = 1;
	assert_int_equal(byok_record_open(&t, &ring.keys[0], secret, &e), ERR_STORE);
	t = r;
	t.info.id[0] ^= 1;
	assert_int_equal(byok_record_open(&t, &ring.keys[0], secret, &e), ERR_STORE);
	t = r;
	t.sealed[3] ^= 1;
	assert_int_equal(byok_record_open(&t, &ring.keys[0], secret, &e), ERR_STORE);
	t = r;
	t.sealed_len--;
	assert_int_equal(byok_record_open(&t, &ring.keys[0], secret, &e), ERR_STORE);
	assert_int_equal(byok_record_open(&r, &ring.keys[1], secret, &e), ERR_STORE);
	assert_null(strstr(e.message, SECRET));
}

struct copy {
	struct buf value;
	const char *owner;
};

static enum err_code copy_of(void *ctx, struct slice key, struct slice value, struct err *e)
{
	struct copy *c = ctx;
	struct byok_record r;
	enum err_code rc = byok_record_read(value, &r, e);

	(void)key;
	if (!rc && strcmp(r.info.owner.id, c->owner) == 0) {
		buf_reset(&c->value);
		buf_slice_append(&c->value, value);
	}
	return rc;
}

/* The whole record of ana is put in ben's place, as who can write the file might. */
static void a_record_in_the_place_of_another_is_refused(void **state)
{
	struct byok *b = open_byok("");
	struct copy copy = { .owner = "ana" };
	struct gdbm_change *change;
	char text[64];
	struct err e;

	(void)state;
	add(b, &ana, "openai", SECRET);
	add(b, &ben, "openai", "sk-of-ben");
	assert_int_equal(
		gdbm_change_begin(&change, home, BYOK_FILE_NAME, copy_of, &copy, &e), ERR_OK);
	assert_int_equal(
		gdbm_change_put(change, SLICE("BUben\nopenai"), buf_slice(&copy.value), &e),
		ERR_OK);
	assert_int_equal(gdbm_change_commit(change, &e), ERR_OK);
	buf_fini(&copy.value);
	assert_int_equal(try_secret(b, &ben, "openai", text, &e), ERR_STORE);
	assert_secret(b, &ana, "openai", SECRET);
	byok_close(b);
}

static void an_encrypted_key_of_the_contract_is_imported(void **state)
{
	static const char good[] = "{\"iv\":\"AAECAwQFBgcICQoL\",\"data\":\"NGn7b6CWtja8c6Q=\","
				   "\"authTag\":\"qIK3T6XMPJ9ZYxJVyvDUXg==\",\"kid\":\"1\"}";
	static const char *const bad[] = { "", "sk-test", "{}",
		"{\"iv\":\"AAECAwQFBgcICQoL\",\"data\":\"NGn7b6CWtja8c6Q=\"}",
		"{\"iv\":\"AAECAwQFBgcICQo=\",\"data\":\"NGn7b6CWtja8c6Q=\",\"authTag\":"
		"\"qIK3T6XMPJ9ZYxJVyvDUXg==\"}",
		"{\"iv\":\"AAECAwQFBgcICQoL\",\"data\":\"NGn7b6CWtja8c6U=\",\"authTag\":"
		"\"qIK3T6XMPJ9ZYxJVyvDUXg==\"}" };
	struct byok *b = open_byok(OTHER_KEY "," CONTRACT_KEY), *lacks = open_byok(OTHER_KEY);
	struct buf secret = { 0 };
	struct err e;

	(void)state;
	assert_int_equal(byok_import(b, slice_of(good), &secret, &e), ERR_OK);
	assert_true(slice_is(buf_slice(&secret), "sk-test-123"));
	buf_reset(&secret);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(byok_import(b, slice_of(bad[i]), &secret, &e), ERR_BAD_REQUEST);
		assert_int_equal(secret.len, 0);
	}
	assert_int_equal(byok_import(lacks, slice_of(good), &secret, &e), ERR_BAD_REQUEST);
	assert_non_null(strstr(e.message, "GATEWAY_MASTER_KEY"));
	buf_fini(&secret);
	byok_close(b);
	byok_close(lacks);
}

/* ---- master keys ---- */

static void a_master_key_of_another_length_is_refused_with_the_reason(void **state)
{
	static const struct {
		const char *setting, *why;
	} rows[] = {
		{ "AAECAwQFBgcICQoLDA0ODw==", "it has 16 bytes, and a key has 32" },
		{ CONTRACT_KEY ",AAEC", "key 2: it has 3 bytes" },
		{ "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gIQ==", "it has 34 bytes" },
		{ "not base64!", "it is not base64 of 32 bytes" },
		{ "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8", "it is not base64" },
	};
	struct byok *b;
	struct err e;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		print_message("%s\n", rows[i].why);
		assert_int_equal(byok_open(&b, home, rows[i].setting, &e), ERR_CONF);
		assert_non_null(strstr(e.message, rows[i].why));
		assert_null(strstr(e.message, "AAEC"));
		assert_string_equal(e.param, "GATEWAY_MASTER_KEY");
	}
}

static void a_lost_master_key_is_told_and_not_made_anew(void **state)
{
	struct byok *b = open_byok("");
	struct byok_info want = wanted(&ben, "openai"), out;
	struct err e;
	char text[64];

	(void)state;
	add(b, &ana, "openai", SECRET);
	byok_close(b);
	assert_int_equal(unlink(in_home("byok.master")), 0);
	b = open_byok("");
	assert_int_equal(try_secret(b, &ana, "openai", text, &e), ERR_STORE);
	assert_non_null(strstr(e.message, "byok.master"));
	assert_int_equal(byok_add(b, &want, SLICE("x"), NOW, &out, &e), ERR_STORE);
	assert_int_not_equal(access(in_home("byok.master"), F_OK), 0);
	/* What cannot be read can be removed, and then it begins anew. */
	assert_int_equal(byok_remove(b, &ana, "openai", &out, &e), ERR_OK);
	add(b, &ben, "openai", "x");
	assert_secret(b, &ben, "openai", "x");
	byok_close(b);
}

static void a_master_key_that_others_can_read_is_refused(void **state)
{
	struct byok *b = open_byok("");
	struct err e;

	(void)state;
	add(b, &ana, "openai", SECRET);
	byok_close(b);
	assert_int_equal(chmod(in_home("byok.master"), 0640), 0);
	assert_int_equal(byok_open(&b, home, "", &e), ERR_STORE);
	assert_non_null(strstr(e.message, "chmod 600"));
}

/* ---- rotation ---- */

static const char *fault; /* where to die; NULL = nowhere */

int store_fault_point(const char *name)
{
	if (fault && strcmp(fault, name) == 0)
		raise(SIGKILL);
	return 0;
}

/* In a child, which may be killed. */
static pid_t rotate_in_child(unsigned times)
{
	pid_t pid = fork();
	struct byok *b;
	struct err e;
	size_t n;

	if (pid)
		return pid;
	if (byok_open(&b, home, "", &e))
		_exit(9);
	for (unsigned i = 0; i < times; i++)
		if (byok_rotate(b, &n, &e))
			_exit(9);
	_exit(0);
}

static int status_of(pid_t pid)
{
	int status;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static void fill(struct byok *b)
{
	add(b, &ana, "openai", SECRET);
	add(b, &ana, "xai", "sk-xai");
	add(b, &acme, "openai", "sk-of-acme");
}

static void assert_filled(struct byok *b)
{
	assert_secret(b, &ana, "openai", SECRET);
	assert_secret(b, &ana, "xai", "sk-xai");
	assert_secret(b, &acme, "openai", "sk-of-acme");
}

static size_t master_keys(void)
{
	struct byok_ring ring = ring_of("");

	return ring.n;
}

static void a_rotation_drops_the_old_key_everywhere_under_running_readers(void **state)
{
	struct byok *reader = open_byok(""), *b = open_byok("");
	struct byok_ring before;
	size_t n;
	struct err e;

	(void)state;
	assert_int_equal(byok_rotate(b, &n, &e), ERR_NOT_FOUND); /* nothing to rotate */
	fill(b);
	before = ring_of("");
	for (int i = 0; i < 3; i++) {
		assert_int_equal(byok_rotate(b, &n, &e), ERR_OK);
		assert_int_equal(n, 3);
		assert_filled(reader);
	}
	assert_int_equal(master_keys(), 1);
	assert_null(byok_ring_find(&before, ring_of("").keys[0].kid));
	/* Damage leads to .prev, which needs no older key. */
	assert_int_equal(byok_restore(b, &e), ERR_STORE); /* nothing to mend */
	assert_int_equal(truncate(in_home("byok.gdbm"), 100), 0);
	assert_filled(reader);
	assert_int_equal(byok_rotate(b, &n, &e), ERR_STORE);
	assert_int_equal(byok_restore(b, &e), ERR_OK);
	assert_filled(reader);
	assert_int_equal(byok_rotate(b, &n, &e), ERR_OK);
	assert_filled(reader);
	byok_close(reader);
	byok_close(b);
}

static void the_master_key_moves_into_the_setting_and_on_to_another(void **state)
{
	struct byok *b = open_byok("");
	size_t n;
	struct err e;

	(void)state;
	fill(b);
	byok_close(b);
	b = open_byok(CONTRACT_KEY);
	assert_filled(b); /* by the file */
	add(b, &ben, "openai", "under the setting's");
	assert_int_equal(byok_rotate(b, &n, &e), ERR_OK);
	assert_int_not_equal(access(in_home("byok.master"), F_OK), 0);
	assert_filled(b);
	byok_close(b);
	b = open_byok(OTHER_KEY "," CONTRACT_KEY);
	assert_filled(b);
	assert_int_equal(byok_rotate(b, &n, &e), ERR_OK);
	byok_close(b);
	b = open_byok(OTHER_KEY);
	assert_filled(b);
	assert_secret(b, &ben, "openai", "under the setting's");
	byok_close(b);
}

/* Between any two steps: every key stays readable, and the next rotation ends the first. Fails
 * when the records are written before the new key is (tried). */
static void a_rotation_that_is_killed_between_its_steps_loses_nothing(void **state)
{
	static const char *const points[] = { "byok_renewed", "byok_resealed",
		"byok_resealed_twice" };
	struct byok *b = open_byok(""), *fresh;
	size_t n;
	struct err e;

	(void)state;
	fill(b);
	for (size_t i = 0; i < 3; i++) {
		print_message("%s\n", points[i]);
		fault = points[i];
		assert_true(WIFSIGNALED(status_of(rotate_in_child(1))));
		fault = NULL;
		assert_int_equal(master_keys(), 2);
		assert_filled(b);
		fresh = open_byok("");
		assert_filled(fresh);
		assert_int_equal(byok_rotate(fresh, &n, &e), ERR_OK);
		assert_int_equal(master_keys(), 1);
		assert_filled(fresh);
		assert_filled(b);
		byok_close(fresh);
	}
	byok_close(b);
}

/* At any instant. */
static void rotations_killed_at_any_time_leave_every_key_readable(void **state)
{
	struct byok *b = open_byok(""), *fresh;
	unsigned killed = 0;

	(void)state;
	fill(b);
	for (unsigned i = 0; i < 60; i++) {
		const struct timespec pause = { .tv_nsec = (long)(i * 7919 % 60) * 250000 };
		pid_t pid = rotate_in_child(1000);

		nanosleep(&pause, NULL);
		assert_filled(b); /* while it goes on */
		kill(pid, SIGKILL);
		killed += WIFSIGNALED(status_of(pid)) != 0;
		assert_filled(b);
		fresh = open_byok("");
		assert_filled(fresh);
		byok_close(fresh);
		assert_in_range(master_keys(), 1, 2);
	}
	assert_int_equal(killed, 60);
	assert_false(home_has(SECRET));
	byok_close(b);
}

/* A key that cannot be opened must not lose its master key. */
static void a_rotation_stops_at_a_key_that_does_not_open(void **state)
{
	struct byok *b = open_byok(CONTRACT_KEY);
	size_t n;
	struct err e;

	(void)state;
	add(b, &ana, "openai", SECRET);
	byok_close(b);
	b = open_byok("");
	assert_int_equal(byok_rotate(b, &n, &e), ERR_NOT_FOUND);
	byok_close(b);
	b = open_byok(OTHER_KEY);
	assert_int_equal(byok_rotate(b, &n, &e), ERR_STORE);
	assert_non_null(strstr(e.message, "GATEWAY_MASTER_KEY"));
	byok_close(b);
	b = open_byok(CONTRACT_KEY);
	assert_secret(b, &ana, "openai", SECRET);
	byok_close(b);
}

#define TEST(f) cmocka_unit_test_setup(f, start)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_key_is_kept_encrypted_and_every_process_sees_it_at_once),
		TEST(nobody_gets_the_key_of_another),
		TEST(a_key_is_changed_switched_off_and_forgotten),
		TEST(of_several_providers_the_first_with_an_enabled_key_answers),
		TEST(a_list_has_what_belongs_to_its_owner),
		TEST(a_record_is_read_as_it_was_written_and_no_other_is_read),
		TEST(a_secret_opens_only_for_whom_and_what_it_was_sealed),
		TEST(a_record_in_the_place_of_another_is_refused),
		TEST(an_encrypted_key_of_the_contract_is_imported),
		TEST(a_master_key_of_another_length_is_refused_with_the_reason),
		TEST(a_lost_master_key_is_told_and_not_made_anew),
		TEST(a_master_key_that_others_can_read_is_refused),
		TEST(a_rotation_drops_the_old_key_everywhere_under_running_readers),
		TEST(the_master_key_moves_into_the_setting_and_on_to_another),
		TEST(a_rotation_that_is_killed_between_its_steps_loses_nothing),
		TEST(rotations_killed_at_any_time_leave_every_key_readable),
		TEST(a_rotation_stops_at_a_key_that_does_not_open),
	};

	return cmocka_run_group_tests(tests, make_top_with_log, drop_top);
}
