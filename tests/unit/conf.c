#include "base/conf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[] = "/tmp/tollgate-conf-XXXXXX";
static char file[64];

static int set_up(void **state)
{
	(void)state;
	assert_non_null(mkdtemp(folder));
	snprintf(file, sizeof(file), "%s/test.conf", folder);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	unlink(file);
	return rmdir(folder);
}

static int clean(void **state)
{
	(void)state;
	return clearenv();
}

static void write_file(const char *text, size_t n)
{
	FILE *f = fopen(file, "w");

	assert_non_null(f);
	assert_int_equal(fwrite(text, 1, n, f), n);
	assert_int_equal(fclose(f), 0);
	assert_int_equal(chmod(file, 0600), 0);
	setenv("GATEWAY_CONF", file, 1);
}

/* Loads with text as the file, and expects it to work. */
static struct conf *load(const char *text)
{
	struct conf *c;
	struct err e = { .code = ERR_OK };

	if (text)
		write_file(text, strlen(text));
	if (conf_load(&c, &e))
		fail_msg("%s", e.message);
	return c;
}

static void every_row_is_in_its_place_and_its_default_is_accepted(void **state)
{
	struct conf *c = load(NULL);
	const struct conf_row *rows = conf_rows();

	(void)state;
	for (int i = 0; i < CONF_COUNT; i++) {
		assert_int_equal((int)rows[i].id, i);
		assert_memory_equal(rows[i].name, "GATEWAY_", 8);
		assert_true(strlen(rows[i].help) > 10);
		assert_false(conf_is_set(c, (enum conf_id)i));
		assert_non_null(conf_str(c, (enum conf_id)i));
	}
	assert_int_equal(conf_int(c, CONF_THREADS), 1024);
	assert_int_equal(conf_int(c, CONF_MAX_BODY), 33554432);
	assert_int_equal(conf_int(c, CONF_DEMO), -1);
	assert_int_equal(conf_int(c, CONF_DEMO_PACE), 30);
	assert_int_equal(conf_int(c, CONF_HTTP2), 1);
	assert_int_equal(conf_int(c, CONF_HEARTBEAT_JSON), 0);
	assert_string_equal(conf_str(c, CONF_LOG), "");
	assert_null(conf_file(c));
	conf_fini(c);
}

static void the_environment_goes_before_the_file_and_the_file_before_the_default(void **state)
{
	struct conf *c;

	(void)state;
	setenv("GATEWAY_THREADS", "7", 1);
	setenv("GATEWAY_DEADLINE", "", 1); /* empty counts as none */
	c = load("GATEWAY_THREADS=8\nGATEWAY_DEADLINE=90s\n");
	assert_int_equal(conf_int(c, CONF_THREADS), 7);
	assert_int_equal(conf_origin(c, CONF_THREADS), CONF_FROM_ENVIRONMENT);
	assert_int_equal(conf_int(c, CONF_DEADLINE), 90000);
	assert_int_equal(conf_origin(c, CONF_DEADLINE), CONF_FROM_FILE);
	assert_int_equal(conf_file_line(c, "GATEWAY_DEADLINE"), 2);
	assert_int_equal(conf_origin(c, CONF_HOME), CONF_FROM_DEFAULT);
	assert_string_equal(conf_file(c), file);
	conf_fini(c);
}

static void the_file_may_have_comments_blanks_quotes_crlf_and_a_byte_order_mark(void **state)
{
	struct conf *c = load("\xef\xbb\xbf# first\r\n\r\n  GATEWAY_THREADS = 9 \r\n"
			      "GATEWAY_PROXY=\" spaced = # kept \"\n\tOPENAI_API_KEY=sk-x\n"
			      "GATEWAY_LOG=\nX_BASE_URL=http://h"); /* and no last newline */
	const char *value;

	(void)state;
	assert_int_equal(conf_int(c, CONF_THREADS), 9);
	assert_string_equal(conf_str(c, CONF_PROXY), " spaced = # kept ");
	assert_string_equal(conf_text(c, "OPENAI_API_KEY"), "sk-x");
	assert_int_equal(conf_text_origin(c, "OPENAI_API_KEY"), CONF_FROM_FILE);
	assert_int_equal(conf_file_line(c, "OPENAI_API_KEY"), 5);
	assert_false(conf_is_set(c, CONF_LOG));
	assert_string_equal(conf_file_extra(c, 0, &value), "OPENAI_API_KEY");
	assert_string_equal(conf_file_extra(c, 1, &value), "X_BASE_URL");
	assert_string_equal(value, "http://h");
	assert_null(conf_file_extra(c, 2, &value));
	conf_fini(c);
}

static void a_relative_path_is_below_the_file_or_else_the_current_folder(void **state)
{
	char cwd[PATH_MAX], wanted[PATH_MAX + 16];
	struct conf *c;

	(void)state;
	setenv("GATEWAY_LOG", "a.log", 1);
	c = load("GATEWAY_HOME=./data\nGATEWAY_CA_FILE=/etc/ca.pem\n");
	snprintf(wanted, sizeof(wanted), "%s/data", folder);
	assert_string_equal(conf_str(c, CONF_HOME), wanted);
	assert_string_equal(conf_str(c, CONF_CA_FILE), "/etc/ca.pem");
	assert_non_null(getcwd(cwd, sizeof(cwd)));
	snprintf(wanted, sizeof(wanted), "%s/a.log", cwd);
	assert_string_equal(conf_str(c, CONF_LOG), wanted);
	conf_fini(c);
}

static void a_home_that_nobody_names_is_below_the_file_or_else_the_current_folder(void **state)
{
	char cwd[PATH_MAX], wanted[PATH_MAX + 16];
	struct conf *c;

	(void)state;
	c = load("GATEWAY_THREADS=3\n");
	snprintf(wanted, sizeof(wanted), "%s/var", folder);
	assert_string_equal(conf_str(c, CONF_HOME), wanted);
	conf_fini(c);
	unsetenv("GATEWAY_CONF");
	c = load(NULL);
	assert_non_null(getcwd(cwd, sizeof(cwd)));
	snprintf(wanted, sizeof(wanted), "%s/var", cwd);
	assert_string_equal(conf_str(c, CONF_HOME), wanted);
	conf_fini(c);
}

static void a_bad_file_is_refused_with_its_line_and_what_is_accepted(void **state)
{
	static const struct {
		const char *text, *line, *words;
	} cases[] = {
		{ "\nGATEWAY_THREADS=0\n", ":2: ", "a whole number from 1 to 16384, not \"0\"" },
		{ "GATEWAY_THREADS=many", ":1: ", "GATEWAY_THREADS: accepted is a whole number" },
		{ "GATEWAY_THREADS=99999999999999999999", ":1: ", "from 1 to 16384" },
		{ "GATEWAY_MAX_BODY=2g", ":1: ", "from 1k to 1g, not \"2g\"" },
		{ "GATEWAY_MAX_BODY=-1", ":1: ", "from 1k to 1g" },
		{ "GATEWAY_DEADLINE=5y", ":1: ", "from 50ms to 24h" },
		{ "GATEWAY_RESCUE=splice|continue", ":1: ", "off|splice|continue" },
		{ "GATEWAY_HOLD=1001", ":1: ", "0 to 1000" },
		{ "GATEWAY_HOLD=2m", ":1: ", "up to 1m" },
		{ "GATEWAY_SEMANTIC_THRESHOLD=0.4", ":1: ", "a number from 0.5 to 1, not" },
		{ "GATEWAY_SEMANTIC_THRESHOLD=1.", ":1: ", "a number" },
		{ "GATEWAY_SEMANTIC_THRESHOLD=.9", ":1: ", "a number" },
		{ "GATEWAY_SEMANTIC_THRESHOLD=0.1234567", ":1: ", "a number" },
		{ "GATEWAY_SEMANTIC_THRESHOLD=0.9x", ":1: ", "a number" },
		{ "GATEWAY_DEMO=maybe", ":1: ", "on, off or auto" },
		{ "GATEWAY_HTTP2=auto", ":1: ", "on or off" },
		{ "GATEWAY_TRUSTED_PROXIES=10.0.0.0/40", ":1: ", "networks such as 10.0.0.0/8" },
		{ "GATEWAY_FETCH_ALLOW=localhost", ":1: ", "addresses, networks" },
		{ "GATEWAY_LOG=a\tb", ":1: ", "without control characters" },
		{ "#\n#\nGATEWAY_THREAD=5", ":3: ", "GATEWAY_THREAD: no such setting" },
		{ "GATEWAY_CONF=x", ":1: ", "environment only" },
		{ "just words", ":1: ", "NAME=value" },
		{ "lower=1", ":1: ", "letters A-Z" },
		{ "=1", ":1: ", "letters A-Z" },
		{ "export A=1", ":1: ", "letters A-Z" },
		{ "A=\"open", ":1: ", "closing \"" },
		{ "A=\"", ":1: ", "closing \"" },
		{ "A=1\nA=2", ":2: ", "was set on line 1" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct conf *c;
		struct err e;

		print_message("%s\n", cases[i].text);
		write_file(cases[i].text, strlen(cases[i].text));
		assert_int_equal(conf_load(&c, &e), ERR_CONF);
		assert_null(c);
		assert_non_null(strstr(e.message, file));
		assert_non_null(strstr(e.message, cases[i].line));
		assert_non_null(strstr(e.message, cases[i].words));
	}
}

static void a_file_that_is_missing_binary_huge_or_a_folder_is_refused(void **state)
{
	char *huge = malloc((size_t)2 << 20);
	struct conf *c;
	struct err e;

	(void)state;
	write_file("A=x\0y\n", 6);
	assert_int_equal(conf_load(&c, &e), ERR_CONF);
	assert_non_null(strstr(e.message, "NUL"));
	assert_non_null(huge);
	memset(huge, '#', (size_t)2 << 20);
	write_file(huge, (size_t)2 << 20);
	free(huge);
	assert_int_equal(conf_load(&c, &e), ERR_CONF);
	assert_non_null(strstr(e.message, "larger than 1 MiB"));
	setenv("GATEWAY_CONF", folder, 1);
	assert_int_equal(conf_load(&c, &e), ERR_CONF);
	assert_non_null(strstr(e.message, "not a file"));
	setenv("GATEWAY_CONF", "/nonexistent/file", 1);
	assert_int_equal(conf_load(&c, &e), ERR_CONF);
	assert_non_null(strstr(e.message, "GATEWAY_CONF: /nonexistent/file: no such file"));
	unsetenv("GATEWAY_CONF");
	setenv("GATEWAY_THREADS", "x", 1);
	assert_int_equal(conf_load(&c, &e), ERR_CONF);
	assert_non_null(strstr(e.message, "environment: GATEWAY_THREADS"));
	assert_string_equal(e.param, "GATEWAY_THREADS");
}

static void a_file_that_others_may_write_is_refused_with_the_command_that_mends_it(void **state)
{
	struct conf *c;
	struct err e;

	(void)state;
	write_file("A=1\n", 4);
	assert_int_equal(chmod(file, 0620), 0);
	assert_int_equal(conf_load(&c, &e), ERR_CONF);
	assert_non_null(strstr(e.message, "chmod go-w"));
	assert_int_equal(chmod(file, 0602), 0);
	assert_int_equal(conf_load(&c, &e), ERR_CONF);
	assert_int_equal(chmod(file, 0644), 0);
	assert_int_equal(conf_load(&c, &e), ERR_OK);
	assert_null(conf_warning(c, 0)); /* no secret in it */
	conf_fini(c);
	write_file("OPENAI_API_KEY=1\n", 17);
	assert_int_equal(chmod(file, 0644), 0);
	assert_int_equal(conf_load(&c, &e), ERR_OK);
	assert_non_null(strstr(conf_warning(c, 0), "chmod o-r"));
	conf_fini(c);
}

static void no_message_holds_a_secret(void **state)
{
	struct conf *c;
	struct err e;

	(void)state;
	setenv("GATEWAY_API_KEYS", "a=very-secret\x01-key-here", 1);
	assert_int_equal(conf_load(&c, &e), ERR_CONF);
	assert_non_null(strstr(e.message, "GATEWAY_API_KEYS"));
	assert_null(strstr(e.message, "very-secret"));
	unsetenv("GATEWAY_API_KEYS");
	write_file("very-secret", 11);
	assert_int_equal(conf_load(&c, &e), ERR_CONF);
	assert_null(strstr(e.message, "very-secret"));
}

static void an_unknown_setting_in_the_environment_is_a_warning(void **state)
{
	struct conf *c;

	(void)state;
	setenv("GATEWAY_THRAEDS", "1", 1);
	setenv("GATEWAY_INTERFACE", "CGI/1.1", 1); /* every CGI program has it */
	c = load("");
	assert_non_null(strstr(conf_warning(c, 0), "GATEWAY_THRAEDS"));
	assert_null(conf_warning(c, 1));
	conf_fini(c);
}

/* A CGI program has the client's header "Api-Key: x" as HTTP_API_KEY. */
static void a_clients_header_is_never_a_setting(void **state)
{
	struct conf *c;

	(void)state;
	setenv("HTTP_PROXY", "http://evil", 1);
	setenv("HTTP_API_KEY", "evil", 1);
	setenv("REDIRECT_HTTP_BASE_URL", "evil", 1);
	setenv("OPENAI_API_KEY", "good", 1);
	c = load("");
	assert_null(conf_text(c, "HTTP_PROXY"));
	assert_null(conf_text(c, "HTTP_API_KEY"));
	assert_null(conf_text(c, "REDIRECT_HTTP_BASE_URL"));
	assert_int_equal(conf_text_origin(c, "HTTP_API_KEY"), CONF_FROM_DEFAULT);
	assert_string_equal(conf_text(c, "OPENAI_API_KEY"), "good");
	assert_int_equal(conf_text_origin(c, "OPENAI_API_KEY"), CONF_FROM_ENVIRONMENT);
	assert_null(conf_text(c, "ABSENT"));
	conf_fini(c);
}

static void a_choice_is_a_number_and_tokens_and_time_are_told_apart(void **state)
{
	struct conf *c = load("GATEWAY_RESCUE=splice\nGATEWAY_HOLD=300ms\n");

	(void)state;
	assert_int_equal(conf_int(c, CONF_RESCUE), RESCUE_SPLICE);
	assert_int_equal(conf_int(c, CONF_STRATEGY), STRATEGY_WEIGHTED);
	assert_int_equal(conf_int(c, CONF_HOLD), -300);
	conf_fini(c);
	c = load("GATEWAY_HOLD=16\n");
	assert_int_equal(conf_int(c, CONF_HOLD), 16);
	conf_fini(c);
}

static void a_number_with_decimals_is_exact(void **state)
{
	struct conf *c =
		load("GATEWAY_SEMANTIC_THRESHOLD=0.987654\nGATEWAY_CACHE_MAX_TEMPERATURE=1\n");

	(void)state;
	assert_int_equal(conf_int(c, CONF_SEMANTIC_THRESHOLD), 987654);
	assert_int_equal(conf_int(c, CONF_CACHE_MAX_TEMPERATURE), 1000000);
	conf_fini(c);
	c = load("GATEWAY_CACHE_MAX_TEMPERATURE=0.05\n");
	assert_int_equal(conf_int(c, CONF_CACHE_MAX_TEMPERATURE), 50000);
	assert_int_equal(conf_int(c, CONF_SEMANTIC_THRESHOLD), 950000);
	conf_fini(c);
}

static void the_home_folder_may_hold_the_file(void **state)
{
	char there[96];
	struct conf *c;

	(void)state;
	snprintf(there, sizeof(there), "%s/gateway.conf", folder);
	write_file("GATEWAY_THREADS=3\n", 18);
	unsetenv("GATEWAY_CONF");
	assert_int_equal(rename(file, there), 0);
	setenv("GATEWAY_HOME", folder, 1);
	c = load(NULL);
	assert_int_equal(conf_int(c, CONF_THREADS), 3);
	assert_string_equal(conf_file(c), there);
	assert_int_equal(conf_program_dir(c)[0], '/');
	conf_fini(c);
	unlink(there);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(
			every_row_is_in_its_place_and_its_default_is_accepted, clean),
		cmocka_unit_test_setup(
			the_environment_goes_before_the_file_and_the_file_before_the_default,
			clean),
		cmocka_unit_test_setup(
			the_file_may_have_comments_blanks_quotes_crlf_and_a_byte_order_mark, clean),
		cmocka_unit_test_setup(
			a_relative_path_is_below_the_file_or_else_the_current_folder, clean),
		cmocka_unit_test_setup(
			a_home_that_nobody_names_is_below_the_file_or_else_the_current_folder,
			clean),
		cmocka_unit_test_setup(
			a_choice_is_a_number_and_tokens_and_time_are_told_apart, clean),
		cmocka_unit_test_setup(
			a_bad_file_is_refused_with_its_line_and_what_is_accepted, clean),
		cmocka_unit_test_setup(
			a_file_that_is_missing_binary_huge_or_a_folder_is_refused, clean),
		cmocka_unit_test_setup(
			a_file_that_others_may_write_is_refused_with_the_command_that_mends_it,
			clean),
		cmocka_unit_test_setup(no_message_holds_a_secret, clean),
		cmocka_unit_test_setup(an_unknown_setting_in_the_environment_is_a_warning, clean),
		cmocka_unit_test_setup(a_clients_header_is_never_a_setting, clean),
		cmocka_unit_test(a_number_with_decimals_is_exact),
		cmocka_unit_test_setup(the_home_folder_may_hold_the_file, clean),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
