/* fcgi/request.c: what the web server says of a request: variables, headers, path and query. */
#include "tests/unit/request_client.h"

#include <stdio.h>

static void parameters_are_found_by_name_and_counted(void **state)
{
	struct client c = open_request(request_post, SLICE("hello world"));
	const char *key = request_header(c.rq, "X-Api-Key");
	char longest[200];

	(void)state;
	assert_string_equal(key, "one"); /* the first of two */
	assert_int_equal(request_param_count(c.rq, "HTTP_X_API_KEY"), 2);
	assert_int_equal(request_param_count(c.rq, "REQUEST_METHOD"), 1);
	assert_int_equal(request_param_count(c.rq, "HTTP_X_API"), 0);
	assert_int_equal(request_param_count(c.rq, "FCGI_ROLE"), 0);
	assert_string_equal(request_header(c.rq, "x-request-id"), "r-1");
	assert_string_equal(request_header(c.rq, "Content-Type"), "application/json");
	assert_null(request_header(c.rq, "X-Request"));
	assert_null(request_param(c.rq, "X_REQUEST_ID"));
	memset(longest, 'a', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	assert_null(request_header(c.rq, longest));
	request_done_reading(c.rq);
	assert_ptr_equal(key, request_header(c.rq, "X-Api-Key")); /* lent to the end */
	assert_string_equal(key, "one");
	drop(&c);
}

static void each_of_many_parameters_is_found(void **state)
{
	char names[150][24], values[150][16];
	const char *params[301] = { NULL };
	struct client c;

	(void)state;
	/* Many with the same length and the same last letter; the last ten are there twice. */
	for (int i = 0; i < 150; i++) {
		snprintf(names[i], sizeof(names[i]), "HTTP_%03d_A", i < 140 ? i : i - 10);
		snprintf(values[i], sizeof(values[i]), "%d", i);
		params[2 * i] = names[i];
		params[2 * i + 1] = values[i];
	}
	c = open_request(params, SLICE(""));
	for (int i = 0; i < 140; i++) {
		assert_string_equal(request_param(c.rq, names[i]), values[i]);
		assert_int_equal(request_param_count(c.rq, names[i]), i < 130 ? 1 : 2);
	}
	assert_null(request_param(c.rq, "HTTP_140_A"));
	assert_null(request_param(c.rq, "HTTP_000_"));
	assert_null(request_param(c.rq, ""));
	drop(&c);
}

static void long_parameters_arrive_whole(void **state)
{
	char *value = malloc(100001);
	const char *params[] = { "REQUEST_METHOD", "GET", "LONG", value, NULL };
	struct client c;

	(void)state;
	assert_non_null(value);
	memset(value, 'v', 100000);
	value[100000] = '\0';
	c = open_request(params, SLICE(""));
	assert_string_equal(request_param(c.rq, "LONG"), value);
	drop(&c);
	free(value);
}

static struct client open_params(struct slice text)
{
	struct buf b = { 0 };
	struct client c;

	client_begin(&b, FCGI_RESPONDER);
	client_stream(&b, FCGI_PARAMS, text, 65535, 0);
	client_stream(&b, FCGI_STDIN, SLICE(""), 1, 0);
	c = open_with(SOCK_STREAM, buf_slice(&b), b.len);
	assert_non_null(c.rq);
	buf_fini(&b);
	return c;
}

static void a_nul_in_a_parameter_is_refused_and_makes_no_other(void **state)
{
	struct buf text = { 0 };
	struct client c;
	struct err e;

	(void)state;
	client_param(&text, SLICE("REQUEST_METHOD"), SLICE("GET"));
	client_param(&text, SLICE("HTTP_E"), SLICE("a\r\nHTTP_F=b"));
	c = open_params(buf_slice(&text));
	assert_int_equal(request_check(c.rq, &e), ERR_OK);
	assert_string_equal(request_param(c.rq, "HTTP_E"), "a\r\nHTTP_F=b");
	assert_null(request_param(c.rq, "HTTP_F"));
	drop(&c);
	client_param(&text, SLICE("HTTP_A"), SLICE("x\0HTTP_B=y"));
	client_param(&text, SLICE("HTTP_C\0HTTP_D"), SLICE("z"));
	c = open_params(buf_slice(&text));
	assert_int_equal(request_check(c.rq, &e), ERR_BAD_REQUEST);
	assert_non_null(strstr(e.message, " HTTP_A holds a NUL"));
	assert_string_equal(request_method(c.rq), "GET");
	assert_null(request_param(c.rq, "HTTP_A"));
	assert_null(request_param(c.rq, "HTTP_B"));
	assert_null(request_param(c.rq, "HTTP_C"));
	assert_null(request_param(c.rq, "HTTP_D"));
	drop(&c);
	buf_reset(&text);
	client_param(&text, SLICE("\0"), SLICE("z"));
	c = open_params(buf_slice(&text));
	assert_int_equal(request_check(c.rq, &e), ERR_BAD_REQUEST);
	assert_non_null(strstr(e.message, " without a name holds a NUL"));
	drop(&c);
	buf_fini(&text);
}

static void the_path_is_decoded_and_cleaned(void **state)
{
	static const struct {
		const char *uri, *path; /* path NULL = refused */
	} rows[] = {
		{ "/", "/" },
		{ "/v1/models/a%2Fb%20c", "/v1/models/a/b c" },
		{ "/v1//chat/../chat/./completions?x=/../", "/v1/chat/completions" },
		{ "//a", "/a" },
		{ "/a/", "/a/" },
		{ "/a//", "/a/" },
		{ "/a/.", "/a/" },
		{ "/a/b/..", "/a/" },
		{ "/a/..", "/" },
		{ "/a/%2e%2e/b", "/b" },
		{ "/...", "/..." },
		{ "/.a/..b", "/.a/..b" },
		{ "/a+b", "/a+b" },
		{ "/\xc3\xa9%C3%A9", "/\xc3\xa9\xc3\xa9" },
		{ "http://host/a?b", "/a" },
		{ "HTTPS://host:1/a", "/a" },
		{ "http://host", "/" },
		{ "http://host?x", "/" },
		{ "/a%3Fb?c", "/a?b" },
		{ "/..", NULL },
		{ "/a/../../b", NULL },
		{ "/a/%2e%2e/%2E%2e", NULL },
		{ "/a%00b", NULL },
		{ "/a%0ab", NULL },
		{ "/a\x7f", NULL },
		{ "/a%", NULL },
		{ "/a%4", NULL },
		{ "/a%g0", NULL },
		{ "/%ff", NULL },
		{ "/%c0%af", NULL },
		{ "a", NULL },
		{ "*", NULL },
		{ "?a", NULL },
		{ "ftp://host/a", NULL },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		const char *params[] = { "REQUEST_URI", rows[i].uri, "SCRIPT_NAME", "/no", NULL };
		struct client c = open_request(params, SLICE(""));

		print_message("%s\n", rows[i].uri);
		if (rows[i].path)
			assert_string_equal(request_path(c.rq), rows[i].path);
		else
			assert_null(request_path(c.rq));
		drop(&c);
	}
}

static void the_path_has_a_ceiling(void **state)
{
	char uri[REQUEST_PATH_MAX + 2];
	const char *params[] = { "REQUEST_URI", uri, NULL };
	struct client c;

	(void)state;
	memset(uri, 'a', sizeof(uri));
	uri[0] = '/';
	uri[REQUEST_PATH_MAX] = '\0';
	c = open_request(params, SLICE(""));
	assert_string_equal(request_path(c.rq), uri);
	drop(&c);
	uri[REQUEST_PATH_MAX] = 'a';
	uri[REQUEST_PATH_MAX + 1] = '\0';
	c = open_request(params, SLICE(""));
	assert_null(request_path(c.rq));
	drop(&c);
}

static void without_a_uri_the_script_and_its_path_info_are_the_path(void **state)
{
	static const char *const params[] = { "SCRIPT_NAME", "/v1/models", "PATH_INFO",
		"/org//na%20me", NULL };
	struct client c = open_request(params, SLICE(""));

	(void)state;
	assert_string_equal(request_path(c.rq), "/v1/models/org/na%20me");
	assert_string_equal(request_method(c.rq), "");
	assert_int_equal(request_query(c.rq).len, 0);
	drop(&c);
}

static void query_parameters_are_decoded(void **state)
{
	static const char *const params[] = { "REQUEST_URI", "/p?no", "QUERY_STRING",
		"a=1&b=x+%2By&a=2&c&%64=4&bad=%zz&nul=%00&=e", NULL };
	static const struct {
		const char *name, *value; /* value NULL = absent */
	} rows[] = { { "a", "1" }, { "b", "x +y" }, { "c", "" }, { "d", "4" }, { "bad", NULL },
		{ "nul", NULL }, { "no", NULL }, { "A", NULL } };
	struct client c = open_request(params, SLICE(""));
	char value[5];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		print_message("%s\n", rows[i].name);
		assert_int_equal(request_query_get(c.rq, rows[i].name, value, sizeof(value)),
			rows[i].value != NULL);
		assert_string_equal(value, rows[i].value ? rows[i].value : "");
	}
	assert_false(request_query_get(c.rq, "b", value, 4)); /* no room for the NUL */
	drop(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parameters_are_found_by_name_and_counted),
		cmocka_unit_test(each_of_many_parameters_is_found),
		cmocka_unit_test(long_parameters_arrive_whole),
		cmocka_unit_test(a_nul_in_a_parameter_is_refused_and_makes_no_other),
		cmocka_unit_test(the_path_is_decoded_and_cleaned),
		cmocka_unit_test(the_path_has_a_ceiling),
		cmocka_unit_test(without_a_uri_the_script_and_its_path_info_are_the_path),
		cmocka_unit_test(query_parameters_are_decoded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
