#include "handlers/common/path.h"

#include <setjmp.h>
#include <stdint.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

static void an_endpoint_is_found_below_every_base_path_and_nowhere_else(void **state)
{
	static const struct {
		const char *path;
		bool takes_rest;
		const char *rest; /* NULL = another endpoint */
	} rows[] = {
		{ "/v1/models", false, "" },
		{ "/api/gateway/models", false, "" },
		{ "/api/gateway/v1/models", false, "" },
		{ "/api/openrouter/models", false, "" },
		{ "/api/openrouter/v1/models", false, "" },
		{ "/api/v1/models", false, "" },
		{ "/~ana/gw/v1/models", false, "" },
		{ "/v1/gw/v1/models", false, "" },
		{ "/v1/models/openai/gpt-4o", true, "openai/gpt-4o" },
		{ "/v1/models/a/v1/models/b", true, "a/v1/models/b" },
		{ "/v1/models/a/api/v1/models/b", true, "a/api/v1/models/b" },
		{ "/v1/models/", true, "" },
		{ "/v1/models/x", false, NULL },
		{ "/v1/modelsx", true, NULL },
		{ "/v1x/models", true, NULL },
		{ "/xv1/models", true, NULL },
		{ "/models", true, NULL },
		{ "/v1", true, NULL },
		{ "/", true, NULL },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct slice rest = { "", 0 };
		bool found = path_is_endpoint(rows[i].path, "/models", rows[i].takes_rest, &rest);

		print_message("%s\n", rows[i].path);
		assert_int_equal(found, rows[i].rest != NULL);
		if (found)
			assert_true(slice_is(rest, rows[i].rest));
	}
}

static void a_base_path_ends_at_a_slash(void **state)
{
	(void)state;
	assert_true(path_has_base("/v1"));
	assert_true(path_has_base("/x/api/v1/nothing"));
	assert_false(path_has_base("/v11/models"));
	assert_false(path_has_base("/"));
}

static void who_is_lost_below_a_base_path_is_told_the_way(void **state)
{
	struct err e = { 0 };

	(void)state;
	assert_int_equal(path_refuse("/v1/v1/chat", &e), ERR_BAD_PATH);
	assert_non_null(strstr(e.message, "Invalid path"));
	assert_non_null(strstr(e.message, "/chat/completions"));
	assert_int_equal(path_refuse("/chat", &e), ERR_NOT_FOUND);
	assert_non_null(strstr(e.message, "/v1"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_endpoint_is_found_below_every_base_path_and_nowhere_else),
		cmocka_unit_test(a_base_path_ends_at_a_slash),
		cmocka_unit_test(who_is_lost_below_a_base_path_is_told_the_way),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
