#include "store/people.h"

#include "base/clock.h"
#include "base/crypto.h"
#include "store/home.h"
#include "store/keys.h"
#include "tests/unit/own_home.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

#define NOW INT64_C(1760000000000)

static int start(void **state)
{
	(void)state;
	remove_home();
	return 0;
}

static struct keys *open_keys(void)
{
	struct keys *k;
	struct err e = { .code = ERR_OK };

	if (keys_open(&k, home, "", &e))
		fail_msg("%s", e.message);
	return k;
}

static struct people_user add_user(struct people_file *f, const char *id)
{
	struct people_user want = { .id = "" }, made;
	struct err e = { .code = ERR_OK };

	snprintf(want.id, sizeof(want.id), "%s", id);
	if (people_user_create(f, &want, NOW, &made, &e))
		fail_msg("%s", e.message);
	return made;
}

static struct people_org add_org(struct people_file *f, const char *slug)
{
	struct people_org want = { .id = "" }, made;
	struct err e = { .code = ERR_OK };

	snprintf(want.slug, sizeof(want.slug), "%s", slug);
	if (people_org_create(f, &want, NOW, &made, &e))
		fail_msg("%s", e.message);
	return made;
}

static void add_member(struct people_file *f, const char *org, const char *user, unsigned set,
	struct people_member to)
{
	struct people_member made;
	struct err e = { .code = ERR_OK };

	if (people_member_add(f, org, user, set, &to, NOW, &made, &e))
		fail_msg("%s", e.message);
}

static struct key_info add_key(struct keys *k, const char *user, const char *org)
{
	struct key_info want = { .name = "n" }, made;
	char text[KEY_TEXT_SIZE];
	struct err e = { .code = ERR_OK };

	snprintf(want.user, sizeof(want.user), "%s", user);
	snprintf(want.org, sizeof(want.org), "%.36s", org);
	if (keys_create(k, &want, NOW, text, &made, &e))
		fail_msg("%s", e.message);
	return made;
}

/* who starts as { 0 }. */
static enum err_code identify(struct keys *k, const struct key_info *key, const char *org,
	struct identity *who, struct err *e)
{
	enum err_code rc;

	identity_fini(who);
	rc = people_identify(keys_people(k), key, slice_of(org), who, e);
	if (rc)
		assert_null(who->org);
	return rc;
}

/* ---- who a caller is ---- */

static void a_key_without_a_user_is_its_own_user(void **state)
{
	struct keys *k = open_keys();
	struct key_info key = add_key(k, "", "");
	struct identity who = { 0 };
	struct err e;

	(void)state;
	assert_int_equal(identify(k, &key, "", &who, &e), ERR_OK);
	assert_ptr_equal(who.key, &key);
	assert_string_equal(who.user.id, key.id);
	assert_int_equal(who.user.number, people_number(slice_of(key.id)));
	assert_null(who.org);
	assert_false(who.user.daily.is_set);
	identity_fini(&who);
	keys_close(k);
}

static void a_member_acts_for_the_organisation_it_names(void **state)
{
	struct keys *k = open_keys();
	struct people_file *f = keys_people(k);
	struct people_user ana = add_user(f, "ana");
	struct people_org acme = add_org(f, "acme"), other = add_org(f, "other");
	struct key_info key = add_key(k, "ana", "");
	struct identity who = { 0 };
	char upper[PEOPLE_ORG_ID_SIZE];
	struct err e;

	(void)state;
	add_member(f, "acme", "ana", PEOPLE_SET_ROLE,
		(struct people_member){ .role = PEOPLE_BILLING_MANAGER });
	assert_int_equal(identify(k, &key, "", &who, &e), ERR_OK);
	assert_null(who.org);
	assert_int_equal(who.user.number, ana.number);
	assert_int_equal(identify(k, &key, "acme", &who, &e), ERR_OK);
	assert_non_null(who.org);
	assert_string_equal(who.org->id, acme.id);
	assert_int_equal(who.org->number, people_number(slice_of(acme.id)));
	assert_int_equal(who.role, PEOPLE_BILLING_MANAGER);
	for (size_t i = 0; i < sizeof(upper); i++)
		upper[i] = (char)(acme.id[i] >= 'a' && acme.id[i] <= 'f' ? acme.id[i] - 32
									 : acme.id[i]);
	assert_int_equal(identify(k, &key, upper, &who, &e), ERR_OK);
	assert_string_equal(who.org->id, acme.id);
	/* Of others it learns nothing, not even whether they exist. */
	assert_int_equal(identify(k, &key, other.id, &who, &e), ERR_ACCESS_DENIED);
	assert_int_equal(err_status(&e), 403);
	assert_string_equal(e.reason, "NOT_A_MEMBER");
	assert_int_equal(identify(k, &key, "00000000-0000-4000-8000-000000000000", &who, &e),
		ERR_ACCESS_DENIED);
	assert_string_equal(e.reason, "NOT_A_MEMBER");
	assert_int_equal(identify(k, &key, "nosuch", &who, &e), ERR_ACCESS_DENIED);
	assert_int_equal(identify(k, &key, "../acme", &who, &e), ERR_BAD_REQUEST);
	assert_int_equal(identify(k, &key, "a\nb", &who, &e), ERR_BAD_REQUEST);
	assert_string_equal(e.param, "X-KiloCode-OrganizationId");
	identity_fini(&who);
	keys_close(k);
}

static void a_bound_key_acts_for_its_organisation_alone(void **state)
{
	struct keys *k = open_keys();
	struct people_file *f = keys_people(k);
	struct people_org acme = add_org(f, "acme");
	struct key_info bound, own;
	struct identity who = { 0 };
	struct err e;

	(void)state;
	add_org(f, "other");
	add_user(f, "ana");
	add_member(f, "acme", "ana", 0, (struct people_member){ .role = PEOPLE_MEMBER });
	add_member(f, "other", "ana", 0, (struct people_member){ .role = PEOPLE_MEMBER });
	bound = add_key(k, "ana", "acme");
	assert_int_equal(identify(k, &bound, "", &who, &e), ERR_OK);
	assert_string_equal(who.org->id, acme.id);
	assert_int_equal(who.role, PEOPLE_MEMBER);
	assert_int_equal(identify(k, &bound, "acme", &who, &e), ERR_OK);
	assert_int_equal(identify(k, &bound, "other", &who, &e), ERR_ACCESS_DENIED);
	own = add_key(k, "", "acme");
	assert_int_equal(identify(k, &own, "", &who, &e), ERR_OK);
	assert_non_null(who.org);
	assert_int_equal(who.role, PEOPLE_MEMBER);
	assert_string_equal(who.user.id, own.id);
	assert_int_equal(identify(k, &own, "other", &who, &e), ERR_ACCESS_DENIED);
	identity_fini(&who);
	keys_close(k);
}

static void the_members_own_limit_goes_before_the_organisations(void **state)
{
	struct keys *k = open_keys();
	struct people_file *f = keys_people(k);
	struct people_org to = { .member_daily = { true, 5000000 } }, acme = add_org(f, "acme");
	struct key_info key;
	struct identity who = { 0 };
	struct err e;

	(void)state;
	add_user(f, "ana");
	add_member(f, "acme", "ana", 0, (struct people_member){ .role = PEOPLE_MEMBER });
	key = add_key(k, "ana", "acme");
	assert_int_equal(identify(k, &key, "", &who, &e), ERR_OK);
	assert_false(who.member_daily.is_set);
	assert_int_equal(people_org_edit(f, "acme", PEOPLE_SET_DAILY, &to, &acme, &e), ERR_OK);
	assert_int_equal(identify(k, &key, "", &who, &e), ERR_OK);
	assert_true(who.member_daily.is_set);
	assert_int_equal(who.member_daily.microusd, 5000000);
	/* 0 is a limit: nothing may be spent. */
	add_member(f, "acme", "ana", PEOPLE_SET_DAILY,
		(struct people_member){ .daily = { .is_set = true } });
	assert_int_equal(identify(k, &key, "", &who, &e), ERR_OK);
	assert_true(who.member_daily.is_set);
	assert_int_equal(who.member_daily.microusd, 0);
	assert_int_equal(who.role, PEOPLE_MEMBER); /* what was not named stayed */
	identity_fini(&who);
	keys_close(k);
}

static void what_the_operator_takes_away_is_gone_for_the_next_request(void **state)
{
	struct keys *k = open_keys(), *handler = open_keys();
	struct people_file *f = keys_people(k);
	struct people_user user = { .disabled = true }, u;
	struct people_org org = { .disabled = true }, o;
	struct key_info key;
	struct identity who = { 0 };
	struct err e;

	(void)state;
	add_user(f, "ana");
	add_org(f, "acme");
	add_member(f, "acme", "ana", 0, (struct people_member){ .role = PEOPLE_MEMBER });
	key = add_key(k, "ana", "acme");
	assert_int_equal(identify(handler, &key, "", &who, &e), ERR_OK);
	assert_int_equal(people_user_edit(f, "ana", PEOPLE_SET_DISABLED, &user, &u, &e), ERR_OK);
	assert_int_equal(identify(handler, &key, "", &who, &e), ERR_ACCESS_DENIED);
	assert_string_equal(e.reason, "USER_DISABLED");
	user.disabled = false;
	assert_int_equal(people_user_edit(f, "ana", PEOPLE_SET_DISABLED, &user, &u, &e), ERR_OK);
	assert_int_equal(people_org_edit(f, "acme", PEOPLE_SET_DISABLED, &org, &o, &e), ERR_OK);
	assert_int_equal(identify(handler, &key, "", &who, &e), ERR_ACCESS_DENIED);
	assert_string_equal(e.reason, "ORGANIZATION_DISABLED");
	org.disabled = false;
	assert_int_equal(people_org_edit(f, "acme", PEOPLE_SET_DISABLED, &org, &o, &e), ERR_OK);
	assert_int_equal(identify(handler, &key, "", &who, &e), ERR_OK);
	assert_int_equal(people_member_remove(f, "acme", "ana", &e), ERR_OK);
	assert_int_equal(identify(handler, &key, "", &who, &e), ERR_ACCESS_DENIED);
	assert_string_equal(e.reason, "NOT_A_MEMBER");
	assert_int_equal(people_member_remove(f, "acme", "ana", &e), ERR_NOT_FOUND);
	identity_fini(&who);
	keys_close(handler);
	keys_close(k);
}

/* ---- names ---- */

static void hostile_names_are_refused_and_change_nothing(void **state)
{
	static const char *const users[] = { " ", "a b", "-a", ".", "../x", "a/b", "key_123", "a\n",
		"a\x1b[2J", "caf\xc3\xa9", "env:x", "a'b", "a;b", "%n$",
		"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" };
	static const char *const slugs[] = { "", "-a", "a-", "A", "a b", "a_b", "../a", "a.b",
		"a\n", "00000000-0000-4000-8000-000000000000",
		"aaaaaaaaaabbbbbbbbbbccccccccccdddddddddd" };
	struct people_file *f;
	struct people_user u;
	struct people_org o;
	struct err e;

	(void)state;
	assert_int_equal(people_file_open(&f, home, &e), ERR_OK);
	for (size_t i = 0; i < sizeof(users) / sizeof(users[0]); i++) {
		u = (struct people_user){ .id = "" };
		snprintf(u.id, sizeof(u.id), "%s", users[i]);
		print_message("user %zu\n", i);
		assert_int_equal(people_user_create(f, &u, NOW, &u, &e), ERR_BAD_REQUEST);
		assert_string_equal(e.param, "id");
	}
	for (size_t i = 0; i < sizeof(slugs) / sizeof(slugs[0]) - 1; i++) {
		o = (struct people_org){ .id = "" };
		snprintf(o.slug, sizeof(o.slug), "%s", slugs[i]);
		print_message("slug %zu\n", i);
		assert_int_equal(people_org_create(f, &o, NOW, &o, &e), ERR_BAD_REQUEST);
		assert_string_equal(e.param, "slug");
	}
	o = (struct people_org){ .name = " x", .slug = "ok" };
	assert_int_equal(people_org_create(f, &o, NOW, &o, &e), ERR_BAD_REQUEST);
	assert_string_equal(e.param, "name");
	u = (struct people_user){ .daily = { true, -1 } };
	assert_int_equal(people_user_create(f, &u, NOW, &u, &e), ERR_BAD_REQUEST);
	u = (struct people_user){ .daily = { true, INT64_MAX } };
	assert_int_equal(people_user_create(f, &u, NOW, &u, &e), ERR_BAD_REQUEST);
	assert_string_equal(e.param, "daily");
	assert_int_equal(access(home, F_OK), -1); /* nothing was made */
	people_file_close(f);
}

static void a_name_is_taken_once(void **state)
{
	struct keys *k = open_keys();
	struct people_file *f = keys_people(k);
	struct people_user u = { .id = "ana" };
	struct people_org o = { .slug = "acme" }, to = { .slug = "other" };
	struct err e;

	(void)state;
	add_user(f, "ana");
	add_org(f, "acme");
	add_org(f, "other");
	assert_int_equal(people_user_create(f, &u, NOW, &u, &e), ERR_BAD_REQUEST);
	assert_non_null(strstr(e.message, "taken"));
	assert_int_equal(people_org_create(f, &o, NOW, &o, &e), ERR_BAD_REQUEST);
	assert_int_equal(people_org_edit(f, "acme", PEOPLE_SET_SLUG, &to, &o, &e), ERR_BAD_REQUEST);
	assert_int_equal(people_org_get(f, "acme", &o, &e), ERR_OK); /* all of it or nothing */
	strcpy(to.slug, "renamed");
	assert_int_equal(people_org_edit(f, "acme", PEOPLE_SET_SLUG, &to, &o, &e), ERR_OK);
	assert_int_equal(people_org_get(f, "acme", &o, &e), ERR_NOT_FOUND);
	assert_int_equal(people_org_get(f, "renamed", &o, &e), ERR_OK);
	strcpy(to.slug, "acme");
	assert_int_equal(people_org_create(f, &to, NOW, &to, &e), ERR_OK); /* it is free again */
	keys_close(k);
}

static void lists_are_normalised_and_bad_entries_named(void **state)
{
	static const struct {
		const char *text, *list; /* NULL = refused */
	} rows[] = {
		{ "", "" },
		{ " , ,", "" },
		{ " Anthropic/* ,openai/GPT-5.2, anthropic/*", "anthropic/*,openai/gpt-5.2" },
		{ "giga-potato,~a/b", "giga-potato,~a/b" },
		{ "a/b:free", NULL },
		{ "*", NULL },
		{ "a/b*", NULL },
		{ "a/b/*", NULL },
		{ "/*", NULL },
		{ "a/", NULL },
		{ "a b", NULL },
		{ "a\"b", NULL },
	};
	char out[PEOPLE_LIST_MAX + 1], text[PEOPLE_LIST_MAX + 2];
	struct err e;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		print_message("%s\n", rows[i].text);
		assert_int_equal(people_models_read(slice_of(rows[i].text), "--models", out,
					 PEOPLE_LIST_MAX, &e),
			rows[i].list ? ERR_OK : ERR_BAD_REQUEST);
		assert_string_equal(out, rows[i].list ? rows[i].list : "");
		if (!rows[i].list)
			assert_string_equal(e.param, "--models");
	}
	memset(text, 'a', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	assert_int_equal(
		people_models_read(slice_of(text), "m", out, PEOPLE_LIST_MAX, &e), ERR_BAD_REQUEST);
	text[PEOPLE_LIST_MAX] = '\0';
	assert_int_equal(people_models_read(slice_of(text), "m", out, PEOPLE_LIST_MAX, &e), ERR_OK);
	assert_int_equal(strlen(out), PEOPLE_LIST_MAX);
	assert_int_equal(people_providers_read(SLICE("open/ai"), "p", out, PEOPLE_LIST_MAX, &e),
		ERR_BAD_REQUEST);
	assert_int_equal(
		people_providers_read(SLICE("OpenAI,x-ai"), "p", out, PEOPLE_LIST_MAX, &e), ERR_OK);
	assert_string_equal(out, "openai,x-ai");
}

/* ---- records ---- */

static void the_largest_records_fit_and_come_back_whole(void **state)
{
	struct people_org o = { .disabled = true, .data_collection = PEOPLE_DATA_DENY }, o2;
	struct people_user u = { .daily = { true, 7 } }, u2;
	uint8_t org[PEOPLE_ORG_BYTES], user[PEOPLE_USER_BYTES];
	struct slice bytes;

	(void)state;
	memset(o.id, 'i', sizeof(o.id) - 1);
	memset(o.slug, 's', sizeof(o.slug) - 1);
	memset(o.name, 'n', sizeof(o.name) - 1);
	memset(o.models, 'm', sizeof(o.models) - 1);
	memset(o.providers, 'p', sizeof(o.providers) - 1);
	memset(o.providers_denied, 'd', sizeof(o.providers_denied) - 1);
	bytes = people_org_write(&o, org);
	assert_true(bytes.len <= sizeof(org));
	assert_int_equal(people_org_read(bytes, &o2, NULL), ERR_OK);
	assert_string_equal(o2.models, o.models);
	assert_string_equal(o2.providers_denied, o.providers_denied);
	assert_true(o2.disabled && o2.data_collection == PEOPLE_DATA_DENY);
	memset(u.id, 'u', sizeof(u.id) - 1);
	memset(u.name, 'n', sizeof(u.name) - 1);
	bytes = people_user_write(&u, user);
	assert_true(bytes.len <= sizeof(user));
	assert_int_equal(people_user_read(bytes, &u2, NULL), ERR_OK);
	assert_string_equal(u2.id, u.id);
	assert_true(u2.daily.is_set && u2.daily.microusd == 7);
}

static void records_of_a_newer_version_are_refused_and_damage_is_noticed(void **state)
{
	struct people_member m = { .role = PEOPLE_OWNER, .daily = { true, 5 } }, out;
	static const size_t sealed[] = { 2, 3, 12, 15, 32, 35 }; /* version, flags, role */
	uint8_t record[PEOPLE_MEMBER_BYTES], changed[PEOPLE_MEMBER_BYTES];
	struct slice bytes = people_member_write(&m, record);
	struct err e;

	(void)state;
	assert_int_equal(bytes.len, sizeof(record));
	assert_int_equal(people_member_read(bytes, &out, &e), ERR_OK);
	assert_memory_equal(&out, &m, sizeof(m));
	bytes.ptr = (char *)changed;
	for (size_t i = 0; i < sizeof(sealed) / sizeof(sealed[0]); i++) {
		uint32_t crc;

		memcpy(changed, record, sizeof(record));
		changed[sealed[i]] |= 0x40;
		crc = crypto_crc32((struct slice){ (char *)changed + 12, sizeof(changed) - 12 });
		for (int b = 0; b < 4; b++)
			changed[8 + b] = (uint8_t)(crc >> 8 * b);
		assert_int_equal(people_member_read(bytes, &out, &e), ERR_STORE);
		assert_non_null(strstr(e.message, "another version"));
	}
	for (size_t i = 0; i < sizeof(record); i++) {
		memcpy(changed, record, sizeof(record));
		changed[i] ^= 0x10;
		assert_int_not_equal(people_member_read(bytes, &out, &e), ERR_OK);
		assert_int_equal(people_member_read(slice_first(bytes, i), &out, &e), ERR_IO);
	}
}

static void lists_show_everybody_in_order(void **state)
{
	struct keys *k = open_keys();
	struct people_file *f = keys_people(k);
	struct people_membership *members;
	struct people_user *users;
	struct people_org *orgs, a, b;
	size_t count;

	(void)state;
	assert_int_equal(people_user_list(f, &users, &count, NULL), ERR_OK);
	assert_int_equal(count, 0); /* no file yet */
	free(users);
	b = add_org(f, "beta");
	a = add_org(f, "alpha");
	add_user(f, "zoe");
	add_user(f, "ana");
	add_member(f, "alpha", "zoe", 0, (struct people_member){ .role = PEOPLE_MEMBER });
	add_member(f, "beta", "zoe", 0, (struct people_member){ .role = PEOPLE_MEMBER });
	add_member(f, "beta", "ana", 0, (struct people_member){ .role = PEOPLE_MEMBER });
	assert_int_equal(people_user_list(f, &users, &count, NULL), ERR_OK);
	assert_int_equal(count, 2);
	assert_string_equal(users[0].id, "ana");
	assert_string_equal(users[1].name, "zoe");
	free(users);
	assert_int_equal(people_org_list(f, &orgs, &count, NULL), ERR_OK);
	assert_int_equal(count, 2);
	assert_string_equal(orgs[0].id, a.id);
	free(orgs);
	assert_int_equal(people_member_list(f, b.id, &members, &count, NULL), ERR_OK);
	assert_int_equal(count, 2);
	assert_string_equal(members[0].user, "ana");
	assert_string_equal(members[1].user, "zoe");
	free(members);
	assert_int_equal(people_member_list(f, "", &members, &count, NULL), ERR_OK);
	assert_int_equal(count, 3);
	free(members);
	keys_close(k);
}

/* ---- SIGKILL ---- */

#define KILLS 60

/* A slug and its organisation are two records of one transaction: whoever dies between them leaves
 * neither. Tried with the slug put in a change of its own: fails. */
static void a_killed_writer_leaves_no_half_of_an_organisation(void **state)
{
	int *made = mmap(
		NULL, sizeof(*made), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct keys *reader = open_keys();
	struct people_org *orgs, same;
	size_t count;
	int status;

	(void)state;
	assert_true(made != MAP_FAILED);
	for (int round = 0; round < KILLS; round++) {
		unsigned random;
		pid_t writer = fork();

		if (!writer) {
			struct people_org want = { .id = "" }, out;
			struct people_file *f;

			if (people_file_open(&f, home, NULL))
				_exit(9);
			for (int i = 0;; i++) {
				snprintf(want.slug, sizeof(want.slug), "o%d-%d", round, i);
				if (people_org_create(f, &want, NOW, &out, NULL))
					_exit(9);
				__atomic_add_fetch(made, 1, __ATOMIC_SEQ_CST);
			}
		}
		assert_true(writer > 0);
		crypto_random(&random, sizeof(random));
		usleep(500 + random % 12000);
		/* A busy machine may not get so far in any round. */
		while (round == KILLS - 1 && !__atomic_load_n(made, __ATOMIC_SEQ_CST) &&
			waitpid(writer, &status, WNOHANG) == 0)
			usleep(1000);
		kill(writer, SIGKILL);
		assert_int_equal(waitpid(writer, &status, 0), writer);
		assert_true(WIFSIGNALED(status));
	}
	assert_int_equal(people_org_list(keys_people(reader), &orgs, &count, NULL), ERR_OK);
	assert_true(*made > 0);
	assert_in_range(count, *made, *made + KILLS);
	for (size_t i = 0; i < count; i++) {
		assert_int_equal(
			people_org_get(keys_people(reader), orgs[i].slug, &same, NULL), ERR_OK);
		assert_string_equal(same.id, orgs[i].id);
	}
	free(orgs);
	keys_close(reader);
	munmap(made, sizeof(*made));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(a_key_without_a_user_is_its_own_user, start),
		cmocka_unit_test_setup(a_member_acts_for_the_organisation_it_names, start),
		cmocka_unit_test_setup(a_bound_key_acts_for_its_organisation_alone, start),
		cmocka_unit_test_setup(the_members_own_limit_goes_before_the_organisations, start),
		cmocka_unit_test_setup(
			what_the_operator_takes_away_is_gone_for_the_next_request, start),
		cmocka_unit_test_setup(hostile_names_are_refused_and_change_nothing, start),
		cmocka_unit_test_setup(a_name_is_taken_once, start),
		cmocka_unit_test_setup(lists_are_normalised_and_bad_entries_named, start),
		cmocka_unit_test_setup(the_largest_records_fit_and_come_back_whole, start),
		cmocka_unit_test_setup(
			records_of_a_newer_version_are_refused_and_damage_is_noticed, start),
		cmocka_unit_test_setup(lists_show_everybody_in_order, start),
		cmocka_unit_test_setup(a_killed_writer_leaves_no_half_of_an_organisation, start),
	};

	return cmocka_run_group_tests(tests, make_top_with_log, drop_top);
}
