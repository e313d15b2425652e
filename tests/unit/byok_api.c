#include "gateway/byok_api.h"

#include "tests/unit/own_home.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>

#define NOW INT64_C(1760000000000)
#define KEY "sk-users-own-0123456789wxyz"
#define ADD "{\"provider_id\":\"OpenAI\",\"api_key\":\"" KEY "\"}"

static struct byok *keys;
static struct buf out;
static const struct key_info key = { .id = "key_1" };

static int start(void **state)
{
	struct err e;

	buf_reset(&out);
	return make_top_with_log(state) || byok_open(&keys, home, "", &e);
}

static int stop(void **state)
{
	byok_close(keys);
	buf_fini(&out);
	return drop_top(state);
}

static struct identity person(const char *user)
{
	struct identity who = { .key = &key };

	str_copy_cut(who.user.id, sizeof(who.user.id), user);
	return who;
}

static struct identity member(const char *user, enum people_role role)
{
	static struct people_org acme = { .id = "0d3f4c1e-6a51-4c07-9b0f-2f1f5c1f2a77",
		.slug = "acme" };
	struct identity who = person(user);

	who.role = role;
	who.org = &acme;
	return who;
}

static bool shows(const char *text)
{
	return memmem(out.data, out.len, text, strlen(text));
}

static bool log_has(const char *text)
{
	static char all[65536];
	int fd = open(log_path, O_RDONLY);
	ssize_t n = read(fd, all, sizeof(all) - 1);

	close(fd);
	all[n > 0 ? n : 0] = '\0';
	return strstr(all, text);
}

static enum err_code add(const struct identity *who, const char *body, struct err *e)
{
	buf_reset(&out);
	return byok_api_add(keys, who, slice_of(body), NOW, &out, e);
}

static enum err_code edit(
	const struct identity *who, const char *id, const char *body, struct err *e)
{
	buf_reset(&out);
	return byok_api_edit(keys, who, slice_of(id), slice_of(body), NOW + 1000, &out, e);
}

static enum err_code list(const struct identity *who, struct err *e)
{
	buf_reset(&out);
	return byok_api_list(keys, who, &out, e);
}

static void an_item_says_all_but_the_secret(void **state)
{
	const struct identity ana = person("ana");
	struct err e;

	(void)state;
	assert_int_equal(add(&ana, ADD, &e), ERR_OK);
	assert_true(shows("\"provider_id\":\"openai\",\"provider_name\":\"OpenAI\""));
	assert_true(shows("\"organization_id\":null"));
	assert_true(shows("\"created_by\":\"ana\",\"is_enabled\":true,\"allow_fallback\":false,"
			  "\"masked_key\":\"...wxyz\"}"));
	assert_false(shows(KEY));
	assert_int_equal(list(&ana, &e), ERR_OK);
	assert_memory_equal(out.data, "[{\"id\":\"", 8);
	assert_false(shows(KEY));
	assert_int_equal(
		edit(&ana, "openai", "{\"api_key\":\"sk-short-1\",\"is_enabled\":false}", &e),
		ERR_OK);
	assert_true(shows("\"is_enabled\":false"));
	assert_true(shows("\"masked_key\":null")); /* four of ten characters would tell too much */
	assert_true(shows("\"updated_at\":\"2025-10-09T08:53:21.000Z\""));
	assert_true(log_has("(openai) added, user ana"));
	assert_false(log_has("sk-"));
}

static void a_body_that_is_wrong_is_refused_by_its_member(void **state)
{
	static const struct {
		const char *body, *param;
	} rows[] = {
		{ "", "" },
		{ "[]", "" },
		{ "{}", "provider_id" },
		{ "{\"provider_id\":\"nobody\",\"api_key\":\"" KEY "\"}", "provider_id" },
		{ "{\"provider_id\":7,\"api_key\":\"" KEY "\"}", "provider_id" },
		{ "{\"provider_id\":\"openai\"}", "api_key" },
		{ "{\"provider_id\":\"openai\",\"api_key\":7}", "api_key" },
		{ "{\"provider_id\":\"openai\",\"api_key\":\"sk-a\\r\\nX: " KEY "\"}", "api_key" },
		{ "{\"provider_id\":\"openai\",\"api_key\":\"" KEY "\",\"is_enabled\":1}",
			"is_enabled" },
		{ "{\"provider_id\":\"openai\",\"api_key\":\"" KEY "\",\"allow_fallback\":\"no\"}",
			"allow_fallback" },
		{ "{\"provider_id\":\"bedrock\",\"api_key\":{\"accessKeyId\":\"" KEY "\"}}",
			"api_key" },
	};
	const struct identity ana = person("ana");
	struct err e;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		print_message("%s\n", rows[i].body);
		assert_int_equal(add(&ana, rows[i].body, &e), ERR_BAD_REQUEST);
		assert_string_equal(e.param, rows[i].param);
		assert_null(strstr(e.message, KEY));
		assert_int_equal(out.len, 0);
	}
	assert_int_equal(add(&ana, ADD, &e), ERR_OK);
	assert_int_equal(add(&ana, ADD, &e), ERR_BAD_REQUEST);
	assert_int_equal(err_status(&e), 409);
	assert_int_equal(edit(&ana, "openai", "{}", &e), ERR_BAD_REQUEST);
	assert_int_equal(edit(&ana, "xai", "{\"is_enabled\":true}", &e), ERR_NOT_FOUND);
}

static void a_secret_of_several_parts_is_taken_as_an_object_or_a_text(void **state)
{
	const struct identity ana = person("ana");
	struct err e;

	(void)state;
	assert_int_equal(add(&ana,
				 "{\"provider_id\":\"bedrock\",\"api_key\":{\"accessKeyId\":\"A\","
				 "\"secretAccessKey\":\"" KEY "\",\"region\":\"us-east-1\"}}",
				 &e),
		ERR_OK);
	assert_true(shows("\"masked_key\":null"));
	assert_int_equal(
		edit(&ana, "bedrock",
			"{\"api_key\":\"{\\\"accessKeyId\\\":\\\"A\\\","
			"\\\"secretAccessKey\\\":\\\"s\\\",\\\"region\\\":\\\"us-east-1\\\"}"
			"\"}",
			&e),
		ERR_OK);
}

/* Fails for the member when owner_of() does not look at the role (tried). */
static void in_an_organisation_the_role_decides(void **state)
{
	const struct identity owner = member("ana", PEOPLE_OWNER),
			      mate = member("ben", PEOPLE_MEMBER),
			      manager = member("cleo", PEOPLE_BILLING_MANAGER), ana = person("ana"),
			      nobody = { .key = NULL };
	struct err e;

	(void)state;
	assert_int_equal(add(&mate, ADD, &e), ERR_ACCESS_DENIED);
	assert_int_equal(add(&owner, ADD, &e), ERR_OK);
	assert_true(shows("\"organization_id\":\"0d3f4c1e-"));
	assert_true(log_has("organization.settings.change"));
	assert_int_equal(list(&mate, &e), ERR_OK);
	assert_true(shows("openai"));
	assert_int_equal(edit(&mate, "openai", "{\"is_enabled\":false}", &e), ERR_ACCESS_DENIED);
	assert_int_equal(
		byok_api_remove(keys, &mate, SLICE("openai"), &out, &e), ERR_ACCESS_DENIED);
	assert_int_equal(edit(&manager, "openai", "{\"is_enabled\":false}", &e), ERR_OK);
	/* An owner's own keys are another matter. */
	assert_int_equal(list(&ana, &e), ERR_OK);
	assert_true(slice_is(buf_slice(&out), "[]\n"));
	assert_int_equal(byok_api_remove(keys, &ana, SLICE("openai"), &out, &e), ERR_NOT_FOUND);
	assert_int_equal(list(&nobody, &e), ERR_UNAUTHENTICATED);
	buf_reset(&out);
	assert_int_equal(byok_api_remove(keys, &manager, SLICE("openai"), &out, &e), ERR_OK);
	assert_true(slice_is(buf_slice(&out), "{\"success\":true}\n"));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, start, stop)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(an_item_says_all_but_the_secret),
		TEST(a_body_that_is_wrong_is_refused_by_its_member),
		TEST(a_secret_of_several_parts_is_taken_as_an_object_or_a_text),
		TEST(in_an_organisation_the_role_decides),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
