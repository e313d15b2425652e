#include "base/buf.h"

#include <errno.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

static void failing_is_one_statement(void **state)
{
	struct err e = { .status = 418, .param = "old", .retry = 1 };

	(void)state;
	assert_int_equal(err_set(&e, ERR_BUSY, "%d of %d", 2, 2), ERR_BUSY);
	assert_int_equal(e.code, ERR_BUSY);
	assert_string_equal(e.message, "2 of 2");
	assert_string_equal(e.param, "");
	assert_int_equal(err_status(&e), 503);
	assert_int_equal(err_param(&e, ERR_BAD_REQUEST, "model", "no such"), ERR_BAD_REQUEST);
	assert_string_equal(e.param, "model");
	assert_int_equal(err_set(NULL, ERR_STORE, "x"), ERR_STORE);
	assert_int_equal(err_param(NULL, ERR_STORE, "x", "x"), ERR_STORE);
	assert_int_equal(err_errno(NULL, ENOENT, "x"), ERR_IO);
	assert_int_equal(err_errno(&e, ENOENT, "/a"), ERR_IO);
	assert_string_equal(e.message, "/a: No such file or directory");
	assert_int_equal(err_errno(&e, EMFILE, "/a"), ERR_BUSY);
	assert_int_equal(err_status(&e), 503);
}

static void an_error_can_be_wrapped_in_itself(void **state)
{
	struct err e = { 0 };

	(void)state;
	assert_int_equal(err_param(&e, ERR_CONF, "NAME", "inner"), ERR_CONF);
	assert_int_equal(err_param(&e, e.code, e.param, "outer: %s", e.message), ERR_CONF);
	assert_string_equal(e.message, "outer: inner");
	assert_string_equal(e.param, "NAME");
}

static void a_message_is_one_line_cut_at_a_character(void **state)
{
	char text[1200];
	struct err e;

	(void)state;
	assert_int_equal(err_set(&e, ERR_IO, "a\r\n\tb\x7f"), ERR_IO);
	assert_string_equal(e.message, "a   b ");
	for (size_t shift = 0; shift < 3; shift++) {
		memset(text, 'x', shift);
		for (size_t i = shift; i + 3 < sizeof(text); i += 3)
			memcpy(text + i, "\xe2\x82\xac", 4);
		assert_int_equal(err_set(&e, ERR_IO, "%s", text), ERR_IO);
		assert_true(strlen(e.message) >= sizeof(e.message) - 3);
		assert_true(utf8_is_valid(slice_of(e.message), NULL));
		assert_int_equal(err_errno(&e, ENOENT, "%s", text), ERR_IO);
		assert_true(utf8_is_valid(slice_of(e.message), NULL));
		assert_non_null(strstr(e.message, ": No such file"));
		assert_int_equal(err_param(&e, ERR_IO, text, "x"), ERR_IO);
		assert_true(utf8_is_valid(slice_of(e.param), NULL));
	}
}

static void every_code_has_a_row(void **state)
{
	(void)state;
	for (int code = ERR_OK + 1; code < ERR_COUNT; code++) {
		struct err e = { .code = (enum err_code)code };

		print_message("%d\n", code);
		assert_non_null(err_name(e.code));
		assert_true(err_status(&e) >= 400 && err_status(&e) <= 599);
		assert_true(strlen(err_type(&e)) > 0);
		for (int other = ERR_OK; other < code; other++)
			assert_string_not_equal(err_name(e.code), err_name((enum err_code)other));
	}
	assert_string_equal(err_name(ERR_COUNT), "unknown");
}

static void status_type_and_retry_can_be_overruled(void **state)
{
	struct err e = { .code = ERR_UPSTREAM_STATUS, .status = 429 };

	(void)state;
	assert_int_equal(err_status(&e), 429);
	assert_string_equal(err_type(&e), "rate_limit_exceeded");
	assert_false(err_may_retry(&e));
	e.retry = 1;
	assert_true(err_may_retry(&e));
	e = (struct err){ .code = ERR_BUSY, .retry = -1 };
	assert_false(err_may_retry(&e));
	e = (struct err){ 0 };
	assert_int_equal(err_status(&e), 500);
}

static void an_error_has_one_shape(void **state)
{
	struct err e = { 0 };
	struct buf b = { 0 };

	(void)state;
	assert_int_equal(err_param(&e, ERR_BAD_REQUEST, "model", "say \"which\""), ERR_BAD_REQUEST);
	err_write_json(&e, NULL, &b);
	assert_string_equal(buf_cstr(&b),
		"{\"error\":{\"message\":\"say \\\"which\\\"\",\"type\":\"invalid_request\","
		"\"code\":400,\"param\":\"model\",\"metadata\":{}},"
		"\"error_type\":\"invalid_request\"}");
	buf_reset(&b);
	e = (struct err){ .code = ERR_UPSTREAM_TIMEOUT,
		.upstream_status = 524,
		.message = "late",
		.provider = "acme",
		.provider_code = "t\"o" };
	err_write_object(&e, "req-1", &b);
	assert_string_equal(buf_cstr(&b),
		"{\"message\":\"late\",\"type\":\"timeout\",\"code\":504,\"param\":null,"
		"\"metadata\":{\"provider\":\"acme\",\"provider_code\":\"t\\\"o\","
		"\"request_id\":\"req-1\",\"provider_status\":524}}");
	buf_fini(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(failing_is_one_statement),
		cmocka_unit_test(an_error_can_be_wrapped_in_itself),
		cmocka_unit_test(a_message_is_one_line_cut_at_a_character),
		cmocka_unit_test(every_code_has_a_row),
		cmocka_unit_test(status_type_and_retry_can_be_overruled),
		cmocka_unit_test(an_error_has_one_shape),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
