#include "gateway/auth.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include <dirent.h>
#include <unistd.h>

#define NOW    INT64_C(1795262400000)
#define ENVKEY "env-key-0123456789abcdef"
#define OTHER  "env-key-fedcba9876543210"

static char home[] = "/tmp/tollgate-auth-XXXXXX";
static struct keys *keys;
static struct key_info made;
static char text[KEY_TEXT_SIZE], header[KEY_TEXT_SIZE + 16];
static struct err err;

static int set_up(void **state)
{
	const struct key_info want = { .name = "laptop", .expires_ms = NOW + 1000 };

	(void)state;
	assert_non_null(mkdtemp(home));
	assert_int_equal(keys_open(&keys, home, "one=" ENVKEY ",two=" OTHER, &err), ERR_OK);
	assert_int_equal(keys_create(keys, &want, NOW, text, &made, &err), ERR_OK);
	snprintf(header, sizeof(header), "Bearer %s", text);
	return 0;
}

static int tear_down(void **state)
{
	DIR *d = opendir(home);
	struct dirent *entry;
	char path[512];

	(void)state;
	keys_close(keys);
	while (d && (entry = readdir(d))) {
		snprintf(path, sizeof(path), "%s/%s", home, entry->d_name);
		if (entry->d_name[0] != '.')
			unlink(path);
	}
	if (d)
		closedir(d);
	return rmdir(home);
}

enum outcome { NOBODY, ONE, TWO, REFUSED };

static enum outcome check(const struct credentials *c)
{
	struct caller caller;
	enum err_code rc = auth_check(keys, c, NOW, &caller, &err);

	assert_int_equal(caller.anonymous, rc || !caller.key.id[0]);
	if (rc) {
		assert_int_equal(rc, ERR_UNAUTHENTICATED);
		assert_int_equal(err_status(&err), 401);
		assert_string_equal(err.reason, "INVALID_TOKEN");
		assert_null(strstr(err.message, "env-key"));
		return REFUSED;
	}
	return caller.anonymous ? NOBODY : strcmp(caller.key.id, "env:one") == 0 ? ONE : TWO;
}

static void a_key_is_found_in_each_place_where_a_server_leaves_it(void **state)
{
	static const struct {
		const char *name;
		struct credentials c;
		enum outcome outcome;
	} rows[] = {
		{ "nothing", { 0 }, NOBODY },
		{ "authorization", { .authorization = "Bearer " ENVKEY }, ONE },
		{ "redirected", { .redirect_authorization = "Bearer " ENVKEY }, ONE },
		{ "x-api-key", { .x_api_key = ENVKEY }, ONE },
		{ "api-key", { .api_key = ENVKEY }, ONE },
		{ "blanks around", { .x_api_key = "  " ENVKEY "\t" }, ONE },
		{ "scheme in any case", { .authorization = "bEARER   " ENVKEY " " }, ONE },
		{ "the first counts", { .authorization = "Bearer " ENVKEY, .x_api_key = OTHER },
			ONE },
		{ "redirected before x-api-key",
			{ .redirect_authorization = "Bearer " OTHER, .x_api_key = ENVKEY }, TWO },
		{ "x-api-key before api-key", { .x_api_key = OTHER, .api_key = ENVKEY }, TWO },
		{ "a wrong one is not made good by the next",
			{ .authorization = "Bearer sk-tg-wrong", .x_api_key = ENVKEY }, REFUSED },
		{ "both authorizations",
			{ .authorization = "Bearer " OTHER,
				.redirect_authorization = "Bearer " ENVKEY },
			TWO },
		{ "empty", { .authorization = "" }, NOBODY },
		{ "a scheme alone", { .authorization = "Bearer" }, NOBODY },
		{ "an empty key", { .authorization = "Bearer   " }, NOBODY },
		{ "an empty x-api-key", { .x_api_key = "" }, NOBODY },
		{ "empty before a key", { .authorization = "Bearer ", .api_key = OTHER }, TWO },
		{ "anonymous", { .authorization = "Bearer anonymous" }, NOBODY },
		{ "anonymous as x-api-key", { .x_api_key = "Anonymous" }, NOBODY },
		{ "anonymous before a key",
			{ .authorization = "Bearer anonymous", .x_api_key = ENVKEY }, ONE },
		{ "basic alone", { .authorization = "Basic dXNlcjpwYXNz" }, REFUSED },
		{ "basic and an empty key",
			{ .authorization = "Basic dXNlcjpwYXNz", .x_api_key = " " }, REFUSED },
		{ "basic beside x-api-key",
			{ .authorization = "Basic dXNlcjpwYXNz", .x_api_key = ENVKEY }, ONE },
		{ "basic beside a redirected key",
			{ .authorization = "Basic dXNlcjpwYXNz",
				.redirect_authorization = "Bearer " OTHER },
			TWO },
		{ "no scheme", { .authorization = ENVKEY }, REFUSED },
		{ "a tab for the blank", { .authorization = "Bearer\t" ENVKEY }, REFUSED },
		{ "joined by a comma", { .authorization = "Bearer " ENVKEY ", Bearer " OTHER },
			REFUSED },
		{ "joined without blanks", { .x_api_key = ENVKEY "," OTHER }, REFUSED },
		{ "a comma at the end", { .x_api_key = ENVKEY "," }, REFUSED },
		{ "repeated", { .authorization = "Bearer " ENVKEY, .repeated = true }, REFUSED },
		{ "part of a key", { .x_api_key = "env-key-0123456789abcde" }, REFUSED },
		{ "a key and more", { .x_api_key = ENVKEY "0" }, REFUSED },
		{ "another case", { .x_api_key = "ENV-KEY-0123456789ABCDEF" }, REFUSED },
		{ "two words", { .authorization = "Bearer " ENVKEY " x" }, REFUSED },
		{ "bytes beyond ASCII", { .x_api_key = "\xff\xfe\x01" }, REFUSED },
		{ "the form of a token", { .x_api_key = "a.b.c" }, REFUSED },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		print_message("%s\n", rows[i].name);
		assert_int_equal(check(&rows[i].c), rows[i].outcome);
	}
}

static void an_endless_credential_is_refused(void **state)
{
	static char long_text[200000];
	const struct credentials c = { .authorization = long_text };

	(void)state;
	memset(long_text, 'x', sizeof(long_text) - 1);
	memcpy(long_text, "Bearer ", 7);
	assert_int_equal(check(&c), REFUSED);
}

static void unknown_expired_and_revoked_look_the_same(void **state)
{
	const struct credentials c = { .authorization = header };
	struct key_info gone;
	char unknown[KEY_TEXT_SIZE], first[sizeof(err.message)];
	struct caller caller;

	(void)state;
	assert_int_equal(auth_check(keys, &c, NOW + 999, &caller, &err), ERR_OK);
	assert_string_equal(caller.key.id, made.id);
	assert_int_equal(auth_check(keys, &c, NOW + 1000, &caller, &err), ERR_UNAUTHENTICATED);
	assert_true(caller.anonymous);
	strcpy(first, err.message);
	key_text_make(unknown);
	assert_int_equal(
		auth_check(keys, &(struct credentials){ .x_api_key = unknown }, NOW, &caller, &err),
		ERR_UNAUTHENTICATED);
	assert_string_equal(err.message, first);
	assert_int_equal(keys_revoke(keys, made.id, NOW, &gone, &err), ERR_OK);
	assert_int_equal(auth_check(keys, &c, NOW, &caller, &err), ERR_UNAUTHENTICATED);
	assert_string_equal(err.message, first);
}

static void a_typing_error_is_told_from_an_unknown_key(void **state)
{
	struct credentials c = { .x_api_key = text };
	struct caller caller;

	(void)state;
	text[20] = text[20] == 'a' ? 'b' : 'a';
	assert_int_equal(auth_check(keys, &c, NOW, &caller, &err), ERR_UNAUTHENTICATED);
	assert_non_null(strstr(err.message, "typing errors"));
}

static void nobody_may_use_what_is_free_alone(void **state)
{
	struct caller nobody = { .anonymous = true }, somebody = { .anonymous = false };

	(void)state;
	assert_int_equal(auth_may_use(&nobody, true, "", &err), ERR_OK);
	assert_int_equal(auth_may_use(&somebody, false, "", &err), ERR_OK);
	assert_int_equal(auth_may_use(&nobody, false, "", NULL), ERR_PAID_AUTH);
	assert_int_equal(auth_may_use(&nobody, false, "tell Apache", &err), ERR_PAID_AUTH);
	assert_int_equal(err_status(&err), 401);
	assert_string_equal(err.reason, "PAID_MODEL_AUTH_REQUIRED");
	assert_non_null(strstr(err.message, "; tell Apache"));
}

static void nobody_is_nobody_whatever_organisation_is_named(void **state)
{
	const struct caller nobody = { .anonymous = true };
	struct people_org before = { .slug = "acme" };
	struct identity who = { .org = &before };

	(void)state;
	assert_int_equal(auth_identify(keys, &nobody, SLICE("acme"), &who, &err), ERR_OK);
	assert_null(who.key);
	assert_null(who.org);
}

static void an_organisation_needs_its_members_and_a_tokens_word_comes_first(void **state)
{
	const struct people_user ann = { .id = "ann" };
	struct people_org acme = { .slug = "acme" }, evil = { .slug = "evil" };
	struct people_member member;
	struct people_user user;
	struct caller caller = { .anonymous = false };
	struct identity who;
	struct people_file *f = keys_people(keys);

	(void)state;
	assert_int_equal(people_user_create(f, &ann, NOW, &user, &err), ERR_OK);
	assert_int_equal(people_org_create(f, &acme, NOW, &acme, &err), ERR_OK);
	assert_int_equal(people_org_create(f, &evil, NOW, &evil, &err), ERR_OK);
	assert_int_equal(people_member_add(f, "acme", "ann", 0,
				 &(struct people_member){ .role = 0 }, NOW, &member, &err),
		ERR_OK);
	caller.key = (struct key_info){ .id = "key_0123456789ab", .user = "ann" };
	assert_int_equal(auth_identify(keys, &caller, SLICE("acme"), &who, &err), ERR_OK);
	assert_string_equal(who.org->id, acme.id);
	assert_int_equal(who.role, PEOPLE_MEMBER);
	assert_ptr_equal(who.key, &caller.key);
	identity_fini(&who);
	assert_int_equal(
		auth_identify(keys, &caller, SLICE("evil"), &who, &err), ERR_ACCESS_DENIED);
	assert_int_equal(
		auth_identify(keys, &caller, SLICE("no/org"), &who, &err), ERR_BAD_REQUEST);
	assert_int_equal(auth_identify(keys, &caller, SLICE(""), &who, &err), ERR_OK);
	assert_null(who.org);
	strcpy(caller.org, acme.id);
	assert_int_equal(auth_identify(keys, &caller, SLICE("evil"), &who, &err), ERR_OK);
	assert_string_equal(who.org->id, acme.id);
	identity_fini(&who);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_key_is_found_in_each_place_where_a_server_leaves_it),
		cmocka_unit_test(an_endless_credential_is_refused),
		cmocka_unit_test(unknown_expired_and_revoked_look_the_same),
		cmocka_unit_test(a_typing_error_is_told_from_an_unknown_key),
		cmocka_unit_test(nobody_may_use_what_is_free_alone),
		cmocka_unit_test(nobody_is_nobody_whatever_organisation_is_named),
		cmocka_unit_test(an_organisation_needs_its_members_and_a_tokens_word_comes_first),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
