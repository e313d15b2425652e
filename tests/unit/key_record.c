#include "tests/unit/key_home.h"

#include "base/crypto.h"
#include "store/gdbm_file.h"
#include "store/home.h"

/* ---- limits, owners, expiry ---- */

static struct key_info whole_wish(void)
{
	return (struct key_info){ .name = "whole",
		.requests_per_minute = 60,
		.tokens_per_minute = 100000,
		.concurrent = 4,
		.budget_microusd = 25000000,
		.budget_window = KEY_WINDOW_MONTH,
		.models = "anthropic/*,openai/gpt-5.2",
		.expires_ms = NOW + 1000 };
}

static enum keys_verdict verdict_at(
	struct keys *k, const char *text, int64_t now_ms, struct key_info *info)
{
	enum keys_verdict verdict;
	struct err e = { .code = ERR_OK };

	if (keys_check_at(k, slice_of(text), now_ms, &verdict, info, &e))
		fail_msg("%s", e.message);
	return verdict;
}

static void a_key_carries_its_limits_and_ends_when_it_expires(void **state)
{
	struct keys *k = open_keys("");
	struct key_info want = whole_wish(), info;
	char text[KEY_TEXT_SIZE];

	(void)state;
	assert_int_equal(keys_create(k, &want, NOW, text, &info, NULL), ERR_OK);
	assert_int_equal(verdict_at(k, text, NOW, &info), KEYS_VALID);
	assert_int_equal(info.requests_per_minute, 60);
	assert_int_equal(info.tokens_per_minute, 100000);
	assert_int_equal(info.concurrent, 4);
	assert_int_equal(info.budget_microusd, 25000000);
	assert_int_equal(info.budget_window, KEY_WINDOW_MONTH);
	assert_string_equal(info.models, want.models);
	assert_int_equal(info.number, people_number(slice_of(info.id)));
	assert_int_equal(verdict_at(k, text, NOW + 999, &info), KEYS_VALID);
	assert_int_equal(verdict_at(k, text, NOW + 1000, &info), KEYS_REVOKED);
	assert_string_equal(info.name, "whole"); /* whose it was is still known */
	keys_close(k);
}

static void an_edit_acts_on_the_next_check_of_every_process(void **state)
{
	struct keys *k = open_keys(""), *other = open_keys("");
	struct key_info want = whole_wish(), info;
	char text[KEY_TEXT_SIZE];
	struct err e;

	(void)state;
	assert_int_equal(keys_create(k, &want, NOW, text, &info, NULL), ERR_OK);
	assert_int_equal(verdict_at(other, text, NOW, &info), KEYS_VALID);
	want.requests_per_minute = 5;
	want.expires_ms = 0;
	want.budget_microusd = 1; /* not named in the edit: stays */
	assert_int_equal(
		keys_edit(k, info.id, KEYS_SET_REQUESTS | KEYS_SET_EXPIRES, &want, &info, NULL),
		ERR_OK);
	assert_int_equal(verdict_at(other, text, NOW + 1000, &info), KEYS_VALID);
	assert_int_equal(info.requests_per_minute, 5);
	assert_int_equal(info.budget_microusd, 25000000);
	want.requests_per_minute = -1;
	assert_int_equal(
		keys_edit(k, info.id, KEYS_SET_REQUESTS, &want, &info, &e), ERR_BAD_REQUEST);
	assert_string_equal(e.param, "rpm");
	want.budget_microusd = INT64_MAX;
	assert_int_equal(keys_edit(k, "whole", KEYS_SET_BUDGET, &want, &info, &e), ERR_BAD_REQUEST);
	assert_int_equal(keys_edit(k, "nobody", 0, &want, &info, &e), ERR_NOT_FOUND);
	assert_int_equal(verdict_at(other, text, NOW, &info), KEYS_VALID);
	assert_int_equal(info.requests_per_minute, 5); /* the refusals changed nothing */
	keys_close(other);
	keys_close(k);
}

static void a_rotated_key_keeps_its_id_and_both_texts_work_for_a_while(void **state)
{
	struct keys *k = open_keys(""), *other = open_keys("");
	struct key_info want = whole_wish(), info, listed, *list;
	char first[KEY_TEXT_SIZE], second[KEY_TEXT_SIZE], third[KEY_TEXT_SIZE];
	size_t count;
	struct err e;

	(void)state;
	want.expires_ms = 0;
	assert_int_equal(keys_create(k, &want, NOW, first, &info, NULL), ERR_OK);
	listed = info;
	assert_int_equal(keys_rotate(k, "whole", 5000, NOW, second, &info, NULL), ERR_OK);
	assert_string_equal(info.id, listed.id);
	assert_int_equal(info.old_until_ms, NOW + 5000);
	assert_string_not_equal(first, second);
	assert_int_equal(verdict_at(other, second, NOW, &info), KEYS_VALID);
	assert_int_equal(verdict_at(other, first, NOW + 4999, &info), KEYS_VALID);
	assert_string_equal(info.id, listed.id);
	assert_int_equal(info.requests_per_minute, 60); /* the old text has the limits too */
	assert_int_equal(verdict_at(other, first, NOW + 5000, &info), KEYS_REVOKED);
	assert_int_equal(verdict_at(other, second, NOW + 5000, &info), KEYS_VALID);
	/* An edit is for both. */
	want.requests_per_minute = 7;
	assert_int_equal(keys_edit(k, "whole", KEYS_SET_REQUESTS, &want, &info, NULL), ERR_OK);
	assert_int_equal(verdict_at(other, first, NOW, &info), KEYS_VALID);
	assert_int_equal(info.requests_per_minute, 7);
	assert_int_equal(keys_list(k, &list, &count, NULL), ERR_OK);
	assert_int_equal(count, 1); /* one key, whatever its texts */
	free(list);
	/* The next rotation leaves only the text before it. */
	assert_int_equal(keys_rotate(k, "whole", 0, NOW + 100, third, &info, NULL), ERR_OK);
	assert_int_equal(verdict_at(other, first, NOW + 100, &info), KEYS_REVOKED);
	assert_int_equal(verdict_at(other, second, NOW + 100, &info), KEYS_REVOKED);
	assert_int_equal(verdict_at(other, third, NOW + 100, &info), KEYS_VALID);
	assert_int_equal(keys_rotate(k, "whole", KEYS_OVERLAP_MAX_MS + 1, NOW, third, &info, &e),
		ERR_BAD_REQUEST);
	assert_int_equal(keys_rotate(k, "whole", -1, NOW, third, &info, &e), ERR_BAD_REQUEST);
	assert_string_equal(third, "");
	keys_close(other);
	keys_close(k);
}

static void revoking_ends_the_text_before_as_well(void **state)
{
	struct keys *k = open_keys("");
	struct made m = make_key(k, "a", NOW);
	char second[KEY_TEXT_SIZE];
	struct key_info info;
	struct err e;

	(void)state;
	assert_int_equal(keys_rotate(k, "a", 5000, NOW, second, &info, NULL), ERR_OK);
	assert_int_equal(keys_revoke(k, "a", NOW + 10, &info, NULL), ERR_OK);
	assert_int_equal(verdict_at(k, m.text, NOW + 10, &info), KEYS_REVOKED);
	assert_int_equal(verdict_at(k, second, NOW + 10, &info), KEYS_REVOKED);
	assert_int_equal(keys_rotate(k, m.info.id, 0, NOW, second, &info, &e), ERR_BAD_REQUEST);
	assert_non_null(strstr(e.message, "revoked already"));
	keys_close(k);
}

static void a_key_belongs_to_people_that_exist_and_belong_together(void **state)
{
	struct keys *k = open_keys("");
	struct people_file *f = keys_people(k);
	struct people_user ana = { .id = "ana" };
	struct people_org acme = { .slug = "acme" };
	struct people_member member = { .role = PEOPLE_MEMBER };
	struct key_info want = { .name = "n", .user = "ana" }, info;
	char text[KEY_TEXT_SIZE];
	struct err e;

	(void)state;
	assert_int_equal(keys_create(k, &want, NOW, text, &info, &e), ERR_NOT_FOUND);
	assert_string_equal(e.param, "user");
	assert_int_equal(people_user_create(f, &ana, NOW, &ana, &e), ERR_OK);
	assert_int_equal(keys_create(k, &want, NOW, text, &info, &e), ERR_OK);
	assert_string_equal(info.user, "ana");
	strcpy(want.org, "acme");
	assert_int_equal(keys_create(k, &want, NOW, text, &info, &e), ERR_NOT_FOUND);
	assert_string_equal(e.param, "org");
	assert_int_equal(people_org_create(f, &acme, NOW, &acme, &e), ERR_OK);
	assert_int_equal(keys_create(k, &want, NOW, text, &info, &e), ERR_NOT_FOUND);
	assert_non_null(strstr(e.message, "tollgate orgs add-member acme ana"));
	assert_int_equal(people_member_add(f, "acme", "ana", 0, &member, NOW, &member, &e), ERR_OK);
	assert_int_equal(keys_create(k, &want, NOW, text, &info, &e), ERR_OK);
	assert_string_equal(info.org, acme.id);
	keys_close(k);
}

/* ---- records ---- */

/* Seals a record anew after a change, so that only its meaning is wrong. */
static void seal(uint8_t *record, size_t n)
{
	uint32_t crc = crypto_crc32((struct slice){ (char *)record + 12, n - 12 });

	for (int b = 0; b < 4; b++)
		record[8 + b] = (uint8_t)(crc >> 8 * b);
}

static void a_record_of_another_version_is_refused_and_a_damaged_one_noticed(void **state)
{
	struct key_info in = whole_wish(), out;
	/* version, flags, window, reserved */
	static const size_t sealed[] = { 2, 3, 12, 15, 88, 91, 240, 271 };
	uint8_t record[KEY_RECORD_BYTES], changed[KEY_RECORD_BYTES];
	struct slice bytes, whole;
	struct err e;

	(void)state;
	strcpy(in.id, "key_0123456789ab");
	strcpy(in.user, "ana");
	whole = key_record_write(&in, record);
	bytes = (struct slice){ (char *)changed, whole.len };
	assert_int_equal(key_record_read(whole, &out, &e), ERR_OK);
	assert_memory_equal(&in, &out, sizeof(in));
	for (size_t i = 0; i < sizeof(sealed) / sizeof(sealed[0]); i++) {
		print_message("%zu\n", sealed[i]);
		memcpy(changed, record, whole.len);
		changed[sealed[i]] |= 0x40;
		seal(changed, whole.len);
		assert_int_equal(key_record_read(bytes, &out, &e), ERR_STORE);
		assert_non_null(strstr(e.message, "another version"));
	}
	for (size_t i = 0; i < whole.len; i++) {
		memcpy(changed, record, whole.len);
		changed[i] ^= 0x10;
		assert_int_not_equal(key_record_read(bytes, &out, &e), ERR_OK);
		assert_int_equal(key_record_read(slice_first(bytes, i), &out, &e), ERR_IO);
	}
}

static void the_longest_record_fits(void **state)
{
	struct key_info in = { .id = "key_0123456789ab" }, out;
	uint8_t record[KEY_RECORD_BYTES];

	(void)state;
	memset(in.name, 'n', KEY_NAME_MAX);
	memset(in.user, 'u', sizeof(in.user) - 1);
	memset(in.models, 'm', sizeof(in.models) - 1);
	assert_int_equal(key_record_write(&in, record).len, KEY_RECORD_BYTES);
	assert_int_equal(
		key_record_read((struct slice){ (char *)record, sizeof(record) }, &out, NULL),
		ERR_OK);
	assert_memory_equal(&in, &out, sizeof(in));
}

/* A record as version 1 of the format had it. */
static void write_v1(uint8_t record[KEY_BYTES_V1], const char *id, const char *name)
{
	memset(record, 0, KEY_BYTES_V1);
	memcpy(record, "TK\1\0\x80", 5);
	for (int b = 0; b < 8; b++)
		record[16 + b] = (uint8_t)(NOW >> 8 * b);
	memcpy(record + 32, id, 16);
	memcpy(record + 48, name, strlen(name));
	seal(record, KEY_BYTES_V1);
}

/* Makes keys.gdbm with one key, as the first version of this program did. */
static void make_v1_file(const char *text)
{
	static const char id[] = "key_0123456789ab";
	uint8_t record[KEY_BYTES_V1], pepper[32], key[33] = { 'K' };
	struct gdbm_change *change;
	struct err e = { .code = ERR_OK };

	assert_int_equal(home_make(home, &e), ERR_OK);
	crypto_random(pepper, sizeof(pepper));
	overwrite("pepper", pepper, sizeof(pepper));
	crypto_hmac_sha256((struct slice){ (char *)pepper, 32 }, slice_of(text), key + 1);
	write_v1(record, id, "old hand");
	assert_int_equal(gdbm_change_begin(&change, home, "keys.gdbm", NULL, NULL, &e), ERR_OK);
	assert_int_equal(gdbm_change_put(change, (struct slice){ (char *)key, sizeof(key) },
				 (struct slice){ (char *)record, sizeof(record) }, &e),
		ERR_OK);
	assert_int_equal(gdbm_change_put(change, SLICE("Ikey_0123456789ab"),
				 (struct slice){ (char *)key + 1, 32 }, &e),
		ERR_OK);
	assert_int_equal(gdbm_change_commit(change, &e), ERR_OK);
}

static void a_file_of_the_first_version_works_and_is_kept_when_it_is_changed(void **state)
{
	struct key_info want = { .requests_per_minute = 3 }, info;
	char text[KEY_TEXT_SIZE], second[KEY_TEXT_SIZE];
	struct keys *k;

	(void)state;
	key_text_make(text);
	make_v1_file(text);
	k = open_keys("");
	assert_int_equal(verdict_at(k, text, NOW, &info), KEYS_VALID);
	assert_string_equal(info.name, "old hand");
	assert_int_equal(info.created_ms, NOW);
	assert_int_equal(info.number, people_number(SLICE("key_0123456789ab")));
	assert_int_equal(info.requests_per_minute, 0);
	assert_int_equal(info.budget_window, KEY_WINDOW_NONE);
	assert_int_equal(access(in_home("keys.gdbm.v1"), F_OK), -1); /* reading upgrades nothing */
	assert_int_equal(keys_edit(k, "old hand", KEYS_SET_REQUESTS, &want, &info, NULL), ERR_OK);
	assert_int_equal(access(in_home("keys.gdbm.v1"), F_OK), 0);
	assert_int_equal(keys_rotate(k, "old hand", 1000, NOW, second, &info, NULL), ERR_OK);
	assert_int_equal(verdict_at(k, text, NOW, &info), KEYS_VALID);
	assert_int_equal(verdict_at(k, second, NOW, &info), KEYS_VALID);
	assert_int_equal(info.requests_per_minute, 3);
	keys_close(k);
	/* The way back. */
	assert_int_equal(rename(in_home("keys.gdbm.v1"), in_home("keys.gdbm")), 0);
	k = open_keys("");
	assert_int_equal(verdict_at(k, text, NOW, &info), KEYS_VALID);
	assert_int_equal(info.requests_per_minute, 0);
	assert_int_equal(verdict_at(k, second, NOW, &info), KEYS_UNKNOWN);
	keys_close(k);
}

static void a_file_of_a_newer_schema_is_refused_and_not_called_damaged(void **state)
{
	struct keys *k = open_keys(""), *fresh;
	struct made m = make_key(k, "a", NOW);
	struct gdbm_change *change;
	struct key_info info, *list;
	size_t count;
	struct err e;

	(void)state;
	assert_int_equal(gdbm_change_begin(&change, home, "keys.gdbm", NULL, NULL, &e), ERR_OK);
	assert_int_equal(gdbm_change_put(change, SLICE("S"), SLICE("\3\0\0\0"), &e), ERR_OK);
	assert_int_equal(gdbm_change_put(change, SLICE("Znew"), SLICE("thing"), &e), ERR_OK);
	assert_int_equal(gdbm_change_commit(change, &e), ERR_OK);
	assert_int_equal(keys_open(&fresh, home, "", &e), ERR_STORE);
	assert_non_null(strstr(e.message, "schema 3"));
	assert_int_equal(create(k, "b", NOW, m.text, &info, &e), ERR_STORE);
	assert_non_null(strstr(e.message, "schema 3"));
	assert_int_equal(keys_list(k, &list, &count, &e), ERR_STORE);
	assert_non_null(strstr(e.message, "schema 3"));
	keys_close(k);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(a_key_carries_its_limits_and_ends_when_it_expires, start),
		cmocka_unit_test_setup(an_edit_acts_on_the_next_check_of_every_process, start),
		cmocka_unit_test_setup(
			a_rotated_key_keeps_its_id_and_both_texts_work_for_a_while, start),
		cmocka_unit_test_setup(revoking_ends_the_text_before_as_well, start),
		cmocka_unit_test_setup(
			a_key_belongs_to_people_that_exist_and_belong_together, start),
		cmocka_unit_test_setup(
			a_record_of_another_version_is_refused_and_a_damaged_one_noticed, start),
		cmocka_unit_test_setup(the_longest_record_fits, start),
		cmocka_unit_test_setup(
			a_file_of_the_first_version_works_and_is_kept_when_it_is_changed, start),
		cmocka_unit_test_setup(
			a_file_of_a_newer_schema_is_refused_and_not_called_damaged, start),
	};

	return cmocka_run_group_tests(tests, make_top_with_log, drop_top);
}
