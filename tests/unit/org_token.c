#include "gateway/org_token.h"

#include "base/base64.h"
#include "base/crypto.h"
#include "gateway/auth.h"
#include "store/pepper.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include <dirent.h>
#include <unistd.h>

#define NOW     INT64_C(1795262400000)
#define MINUTES INT64_C(60000)
#define ENVKEY  "one=env-key-0123456789abcdef"

static char home[64];
static struct keys *keys;
static struct key_info key;
static struct people_org acme;
static struct identity who;
static struct buf token;
static struct err err;

static void open_keys(const char *env)
{
	if (keys_open(&keys, home, env, &err))
		fail_msg("%s", err.message);
}

static void drop(const char *folder)
{
	DIR *d = opendir(folder);
	struct dirent *entry;
	char path[512];

	while (d && (entry = readdir(d))) {
		snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name);
		if (entry->d_name[0] != '.')
			unlink(path);
	}
	if (d)
		closedir(d);
	rmdir(folder);
}

/* Ann with a key, a member of acme, and her token for it. */
static int start(void **state)
{
	const struct people_user ann = { .id = "ann" };
	const struct people_org org = { .slug = "acme" };
	const struct people_member plain = { .role = PEOPLE_MEMBER };
	const struct key_info want = { .name = "laptop", .user = "ann" };
	struct people_user user;
	struct people_member member;
	char text[KEY_TEXT_SIZE];
	int64_t expires_ms;

	(void)state;
	strcpy(home, "/tmp/tollgate-token-XXXXXX");
	assert_non_null(mkdtemp(home));
	open_keys(ENVKEY);
	assert_int_equal(people_user_create(keys_people(keys), &ann, NOW, &user, &err), ERR_OK);
	assert_int_equal(people_org_create(keys_people(keys), &org, NOW, &acme, &err), ERR_OK);
	assert_int_equal(people_member_add(keys_people(keys), "acme", "ann", PEOPLE_SET_ROLE,
				 &plain, NOW, &member, &err),
		ERR_OK);
	assert_int_equal(keys_create(keys, &want, NOW, text, &key, &err), ERR_OK);
	assert_int_equal(
		people_identify(keys_people(keys), &key, SLICE("acme"), &who, &err), ERR_OK);
	buf_reset(&token);
	assert_int_equal(org_token_make(keys, &who, NOW, &token, &expires_ms, &err), ERR_OK);
	assert_int_equal(expires_ms, NOW + 15 * MINUTES);
	return 0;
}

static int finish(void **state)
{
	(void)state;
	identity_fini(&who);
	keys_close(keys);
	drop(home);
	buf_fini(&token);
	return 0;
}

static enum err_code check(struct slice text, int64_t now_ms)
{
	struct key_info found = { .id = "" };
	char org[PEOPLE_ORG_ID_SIZE] = "";
	enum err_code rc = org_token_check(keys, text, now_ms, &found, org, &err);

	if (rc) {
		assert_int_equal(err_status(&err), 401);
		assert_string_equal(err.reason, "INVALID_TOKEN");
	} else {
		assert_string_equal(found.id, key.id);
		assert_string_equal(org, acme.id);
	}
	return rc;
}

/* A token of these claims under the secret of this deployment's pepper. */
static void forge(const char *header, const char *claims, struct buf *out)
{
	uint8_t pepper[PEPPER_BYTES], secret[SHA256_BYTES], mac[SHA256_BYTES];

	assert_int_equal(pepper_read(home, pepper, &err), ERR_OK);
	crypto_hmac_sha256((struct slice){ (const char *)pepper, sizeof(pepper) },
		SLICE("tollgate organisation token 1"), secret);
	buf_reset(out);
	base64_url_write(slice_of(header), out);
	buf_char(out, '.');
	base64_url_write(slice_of(claims), out);
	crypto_hmac_sha256(
		(struct slice){ (const char *)secret, sizeof(secret) }, buf_slice(out), mac);
	buf_char(out, '.');
	base64_url_write((struct slice){ (const char *)mac, sizeof(mac) }, out);
}

static void a_token_opens_its_organisation_for_fifteen_minutes(void **state)
{
	(void)state;
	assert_true(token_is_likely(buf_slice(&token)));
	assert_int_equal(check(buf_slice(&token), NOW), ERR_OK);
	assert_int_equal(check(buf_slice(&token), NOW + 15 * MINUTES - 1), ERR_OK);
	assert_int_equal(check(buf_slice(&token), NOW + 16 * MINUTES), ERR_UNAUTHENTICATED);
	assert_non_null(strstr(err.message, "expired"));
	assert_int_equal(check(buf_slice(&token), NOW - 2 * MINUTES), ERR_UNAUTHENTICATED);
}

static void a_token_stands_in_the_place_of_a_key(void **state)
{
	struct credentials c = { .repeated = false };
	struct caller caller;
	struct identity found;

	(void)state;
	buf_char(&token, '\0');
	c.x_api_key = token.data;
	assert_int_equal(auth_check(keys, &c, NOW, &caller, &err), ERR_OK);
	assert_false(caller.anonymous);
	assert_string_equal(caller.key.id, key.id);
	assert_int_equal(auth_identify(keys, &caller, SLICE(""), &found, &err), ERR_OK);
	assert_string_equal(found.org->id, acme.id);
	identity_fini(&found);
	assert_int_equal(
		auth_check(keys, &c, NOW + 60 * MINUTES, &caller, &err), ERR_UNAUTHENTICATED);
	assert_true(caller.anonymous);
}

static void membership_is_asked_again_at_each_request(void **state)
{
	struct caller caller = { .anonymous = false };
	struct identity found;

	(void)state;
	assert_int_equal(
		org_token_check(keys, buf_slice(&token), NOW, &caller.key, caller.org, &err),
		ERR_OK);
	assert_int_equal(people_member_remove(keys_people(keys), "acme", "ann", &err), ERR_OK);
	assert_int_equal(auth_identify(keys, &caller, SLICE(""), &found, &err), ERR_ACCESS_DENIED);
}

static void every_changed_byte_is_noticed(void **state)
{
	(void)state;
	for (size_t i = 0; i < token.len; i++) {
		char was = token.data[i];

		token.data[i] = was == 'A' ? 'B' : 'A';
		assert_int_equal(check(buf_slice(&token), NOW), ERR_UNAUTHENTICATED);
		token.data[i] = was;
	}
	for (size_t n = 0; n < token.len; n++)
		assert_int_equal(
			check(slice_first(buf_slice(&token), n), NOW), ERR_UNAUTHENTICATED);
	assert_int_equal(check(buf_slice(&token), NOW), ERR_OK);
}

static void other_algorithms_and_claims_are_refused_though_signed(void **state)
{
	static const struct {
		const char *header, *claims;
	} rows[] = {
		{ "{\"alg\":\"none\",\"typ\":\"JWT\"}", NULL },
		{ "{\"alg\":\"HS512\",\"typ\":\"JWT\"}", NULL },
		{ "{\"alg\":\"hs256\",\"typ\":\"JWT\"}", NULL },
		{ "{\"alg\":\"HS256\",\"typ\":\"JWT\",\"kid\":\"../../dev/null\"}", NULL },
		{ "{}", NULL },
		{ "", NULL },
		{ "{\"alg\":\"HS256\",\"typ\":\"JWT\"}", "{}" },
		{ "{\"alg\":\"HS256\",\"typ\":\"JWT\"}", "" },
		{ "{\"alg\":\"HS256\",\"typ\":\"JWT\"}", "[]" },
	};
	struct buf claims = { 0 }, forged = { 0 };
	struct slice rest = buf_slice(&token);

	(void)state;
	(void)slice_cut(&rest, '.');
	assert_true(base64_url_read(slice_cut(&rest, '.'), &claims));
	buf_char(&claims, '\0');
	forge("{\"alg\":\"HS256\",\"typ\":\"JWT\"}", claims.data, &forged);
	assert_int_equal(check(buf_slice(&forged), NOW), ERR_OK); /* the forgery itself is good */
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		print_message("%s %s\n", rows[i].header, rows[i].claims ? rows[i].claims : "");
		forge(rows[i].header, rows[i].claims ? rows[i].claims : claims.data, &forged);
		assert_int_equal(check(buf_slice(&forged), NOW), ERR_UNAUTHENTICATED);
	}
	buf_fini(&claims);
	buf_fini(&forged);
}

static void another_deployments_token_opens_nothing(void **state)
{
	struct keys *theirs = keys;
	struct key_info made;
	const struct key_info want = { .name = "laptop" };
	char there[sizeof(home)], text[KEY_TEXT_SIZE];

	(void)state;
	strcpy(there, home);
	strcpy(home, "/tmp/tollgate-token-XXXXXX");
	assert_non_null(mkdtemp(home));
	open_keys("");
	assert_int_equal(check(buf_slice(&token), NOW), ERR_UNAUTHENTICATED); /* no pepper yet */
	assert_int_equal(keys_create(keys, &want, NOW, text, &made, &err), ERR_OK);
	assert_int_equal(check(buf_slice(&token), NOW), ERR_UNAUTHENTICATED);
	keys_close(theirs);
	drop(there);
}

static void a_token_ends_with_its_key(void **state)
{
	struct key_info to = { .expires_ms = NOW + MINUTES }, info;

	(void)state;
	assert_int_equal(keys_edit(keys, key.id, KEYS_SET_EXPIRES, &to, &info, &err), ERR_OK);
	assert_int_equal(check(buf_slice(&token), NOW + MINUTES - 1), ERR_OK);
	assert_int_equal(check(buf_slice(&token), NOW + MINUTES), ERR_UNAUTHENTICATED);
	assert_int_equal(keys_revoke(keys, key.id, NOW, &info, &err), ERR_OK);
	assert_int_equal(check(buf_slice(&token), NOW), ERR_UNAUTHENTICATED);
	assert_non_null(strstr(err.message, "revoked"));
}

/* The name of a key may be the id of one that has gone from GATEWAY_API_KEYS. */
static void a_token_is_not_taken_over_by_a_key_of_that_name(void **state)
{
	const struct key_info want = { .name = "env:one" };
	struct identity env = who;
	struct key_info old = { .id = "env:one" }, made;
	char text[KEY_TEXT_SIZE];
	int64_t expires_ms;

	(void)state;
	env.key = &old;
	buf_reset(&token);
	assert_int_equal(org_token_make(keys, &env, NOW, &token, &expires_ms, &err), ERR_OK);
	keys_close(keys);
	open_keys("");
	assert_int_equal(check(buf_slice(&token), NOW), ERR_UNAUTHENTICATED);
	assert_int_equal(keys_create(keys, &want, NOW, text, &made, &err), ERR_OK);
	assert_int_equal(check(buf_slice(&token), NOW), ERR_UNAUTHENTICATED);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, start, finish)
	const struct CMUnitTest tests[] = {
		T(a_token_opens_its_organisation_for_fifteen_minutes),
		T(a_token_stands_in_the_place_of_a_key),
		T(membership_is_asked_again_at_each_request),
		T(every_changed_byte_is_noticed),
		T(other_algorithms_and_claims_are_refused_though_signed),
		T(another_deployments_token_opens_nothing),
		T(a_token_ends_with_its_key),
		T(a_token_is_not_taken_over_by_a_key_of_that_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
