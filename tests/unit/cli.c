#include "handlers/cli/amount.h"
#include "tests/unit/cli_run.h"
#include "tests/unit/own_home.h"

#include <fcntl.h>
#include <sys/stat.h>

static char key_file[64];

static int set_up(void **state)
{
	if (make_top(state))
		return -1;
	snprintf(key_file, sizeof(key_file), "%s/key", top);
	return 0;
}

static int tear_down(void **state)
{
	unlink(key_file);
	return drop_top(state);
}

static int clean(void **state)
{
	(void)state;
	if (clearenv() != 0)
		return -1;
	unlink(key_file);
	remove_home();
	return setenv("GATEWAY_HOME", home, 1);
}

#define RUN(command, ...) run(command, WORDS(__VA_ARGS__))

static void what_is_misused_is_named_and_ends_with_2(void **state)
{
	(void)state;
	assert_int_equal(RUN(cli_keys, "keys", "list", "--frmat", "json"), CLI_USAGE);
	assert_non_null(strstr(out, "--frmat"));
	assert_int_equal(RUN(cli_keys, "keys", "list", "--format"), CLI_USAGE);
	assert_non_null(strstr(out, "--format"));
	assert_int_equal(RUN(cli_keys, "keys", "list", "--format=xml"), CLI_USAGE);
	assert_non_null(strstr(out, "xml"));
	assert_int_equal(RUN(cli_keys, "keys", "destroy"), CLI_USAGE);
	assert_non_null(strstr(out, "destroy"));
	assert_int_equal(RUN(cli_keys, "keys", "create"), CLI_USAGE);
	assert_int_equal(RUN(cli_keys, "keys", "revoke"), CLI_USAGE);
	assert_int_equal(RUN(cli_keys, "keys", "list", "more"), CLI_USAGE);
	assert_int_equal(RUN(cli_config, "config", "--json=1"), CLI_USAGE);
	assert_int_equal(RUN(cli_version, "version", "x"), CLI_USAGE);
	assert_int_equal(RUN(cli_logs, "logs"), CLI_USAGE);
	assert_non_null(strstr(out, "GATEWAY_LOG"));
	assert_int_equal(RUN(cli_logs, "logs", log_path, "--lines", "-1"), CLI_USAGE);
	assert_int_equal(RUN(cli_keys, "keys", "-h"), CLI_OK);
	assert_memory_equal(out, "Usage: ", 7);
}

static void a_key_file_is_used_again_while_its_key_is_valid(void **state)
{
	char first[64];
	struct stat st;

	(void)state;
	assert_int_equal(
		RUN(cli_keys, "keys", "create", "--name=boot", "--if-none", key_file), CLI_OK);
	assert_int_equal(stat(key_file, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	snprintf(first, sizeof(first), "%.44s", strstr(out, "sk-tg-"));
	assert_int_equal(
		RUN(cli_keys, "keys", "create", "--name=boot", "--if-none", key_file), CLI_OK);
	assert_memory_equal(out, first, 44); /* nothing else: none was made */
	assert_int_equal(RUN(cli_keys, "keys", "revoke", "boot"), CLI_OK);
	assert_int_equal(
		RUN(cli_keys, "keys", "create", "--name=boot", "--if-none", key_file), CLI_OK);
	assert_null(strstr(out, first));
	assert_non_null(strstr(out, "sk-tg-"));
	assert_int_equal(chmod(key_file, 0644), 0);
	assert_int_equal(
		RUN(cli_keys, "keys", "create", "--name=boot", "--if-none", key_file), CLI_FAILED);
	assert_non_null(strstr(out, "chmod 600"));
	assert_int_equal(RUN(cli_keys, "keys", "list", "--format", "json"), CLI_OK);
	assert_null(strstr(out, "sk-tg-"));
}

static void money_is_read_exactly_or_not_at_all(void **state)
{
	static const struct {
		const char *text;
		int64_t microusd; /* -7 = refused */
	} rows[] = {
		{ "10usd", 10000000 },
		{ "2.50usd", 2500000 },
		{ "2.5USD", 2500000 },
		{ "-1usd", -1000000 },
		{ "0.000001usd", 1 },
		{ "-0.05usd", -50000 },
		{ "0usd", 0 },
		{ "0.1usd", 100000 },
		{ "100000000usd", PEOPLE_MICROUSD_MAX },
		{ "100000000.000001usd", -7 },
		{ "100000001usd", -7 },
		{ "9223372036854775808usd", -7 },
		{ "99999999999999999999999usd", -7 },
		{ "1.0000001usd", -7 },
		{ "1.-5usd", -7 },
		{ "--1usd", -7 },
		{ "+1usd", -7 },
		{ "1,5usd", -7 },
		{ "1.5.5usd", -7 },
		{ ".5usd", -7 },
		{ "5.usd", -7 },
		{ "1e3usd", -7 },
		{ "0x10usd", -7 },
		{ " 1usd", -7 },
		{ "1usd ", -7 },
		{ "1", -7 },
		{ "usd", -7 },
		{ "", -7 },
		{ "1eur", -7 },
		{ "nanusd", -7 },
	};
	static const struct {
		int64_t microusd;
		const char *text;
	} shown[] = {
		{ 0, "$0.00" },
		{ 25000000, "$25.00" },
		{ 2500000, "$2.50" },
		{ 1, "$0.000001" },
		{ -1, "-$0.000001" },
		{ 1230000, "$1.23" },
		{ 1234000, "$1.234" },
		{ INT64_MAX, "$9223372036854.775807" },
		{ INT64_MIN, "-$9223372036854.775808" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		int64_t n = -7;
		struct err e;

		print_message("%s\n", rows[i].text);
		assert_int_equal(amount_read(rows[i].text, "AMOUNT", -PEOPLE_MICROUSD_MAX,
					 PEOPLE_MICROUSD_MAX, &n, &e),
			rows[i].microusd == -7 ? ERR_BAD_REQUEST : ERR_OK);
		if (rows[i].microusd != -7)
			assert_int_equal(n, rows[i].microusd);
	}
	for (size_t i = 0; i < sizeof(shown) / sizeof(shown[0]); i++) {
		char text[AMOUNT_SIZE];

		amount_write(shown[i].microusd, text);
		assert_string_equal(text, shown[i].text);
	}
}

static void an_end_lies_in_the_future(void **state)
{
	const int64_t now = INT64_C(1795000000000); /* 18 November 2026 */
	static const struct {
		const char *text;
		int64_t end; /* -7 = refused */
	} rows[] = {
		{ "never", 0 },
		{ "90d", INT64_C(1795000000000) + INT64_C(90) * 86400000 },
		{ "12h", INT64_C(1795000000000) + INT64_C(12) * 3600000 },
		{ "2027-01-01", INT64_C(1798761600000) },
		{ "2028-02-29", INT64_C(1835395200000) },
		{ "2027-02-29", -7 },
		{ "2027-13-01", -7 },
		{ "2027-00-10", -7 },
		{ "2026-11-17", -7 },
		{ "2027-1-1", -7 },
		{ "2027-01-01x", -7 },
		{ "0d", -7 },
		{ "-1d", -7 },
		{ "99999999999999d", -7 },
		{ "", -7 },
		{ "tomorrow", -7 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		int64_t end;
		struct err e;

		print_message("%s\n", rows[i].text);
		assert_int_equal(amount_read_end(rows[i].text, "--expires", now, &end, &e),
			rows[i].end == -7 ? ERR_BAD_REQUEST : ERR_OK);
		assert_int_equal(end, rows[i].end == -7 ? 0 : rows[i].end);
	}
}

static void the_commands_of_the_manual_work_in_their_order(void **state)
{
	char text[64], second[64];

	(void)state;
	assert_int_equal(RUN(cli_orgs, "orgs", "create", "acme", "--models",
				 "Anthropic/*,openai/gpt-5.2", "--member-daily", "5usd"),
		CLI_OK);
	assert_int_equal(RUN(cli_users, "users", "create", "ana"), CLI_OK);
	assert_int_equal(RUN(cli_keys, "keys", "create", "--name", "laptop", "--user", "ana",
				 "--org", "acme"),
		CLI_FAILED); /* not a member yet */
	assert_non_null(strstr(out, "tollgate orgs add-member acme ana"));
	assert_int_equal(RUN(cli_orgs, "orgs", "add-member", "acme", "ana"), CLI_OK);
	assert_int_equal(RUN(cli_orgs, "orgs", "members", "acme"), CLI_OK);
	assert_non_null(strstr(out, "default $5.00"));
	assert_int_equal(
		RUN(cli_credits, "credits", "add", "100usd", "--org", "acme", "--id", "1"), CLI_OK);
	assert_int_equal(RUN(cli_credits, "credits", "add", "100usd", "--org", "acme", "--id", "1"),
		CLI_OK); /* sent twice, added once */
	assert_int_equal(RUN(cli_credits, "credits", "add", "-0.5usd", "--org", "acme"), CLI_OK);
	assert_int_equal(RUN(cli_credits, "credits", "show", "--org", "acme", "--json"), CLI_OK);
	assert_non_null(strstr(out, "\"balance_microdollars\":99500000,"));
	assert_int_equal(RUN(cli_credits, "credits", "set", "7.25usd", "--org", "acme"), CLI_OK);
	assert_non_null(strstr(out, "$7.25"));
	assert_int_equal(RUN(cli_keys, "keys", "create", "--name", "laptop", "--user", "ana",
				 "--org", "acme", "--rpm", "60", "--tpm=100000", "--budget",
				 "25usd/month", "--models", "anthropic/*", "--expires", "90d"),
		CLI_OK);
	snprintf(text, sizeof(text), "%.44s", strstr(out, "sk-tg-"));
	assert_int_equal(RUN(cli_keys, "keys", "rotate", "laptop", "--overlap", "24h"), CLI_OK);
	snprintf(second, sizeof(second), "%.44s", strstr(out, "sk-tg-"));
	assert_string_not_equal(text, second);
	assert_int_equal(RUN(cli_keys, "keys", "edit", "laptop", "--rpm", "none"), CLI_OK);
	assert_int_equal(RUN(cli_keys, "keys", "show", "laptop", "--json"), CLI_OK);
	assert_non_null(strstr(out, "\"requests_per_minute\":null,\"tokens_per_minute\":100000,"));
	assert_non_null(
		strstr(out, "\"budget_microdollars\":25000000,\"budget_window\":\"month\""));
	assert_non_null(strstr(out, "\"models\":[\"anthropic/*\"]"));
	assert_null(strstr(out, "sk-tg-"));
	assert_int_equal(RUN(cli_keys, "keys", "list"), CLI_OK);
	assert_non_null(strstr(out, "$25.00/month"));
	assert_null(strstr(out, "sk-tg-"));
	assert_int_equal(RUN(cli_orgs, "orgs", "remove-member", "acme", "ana"), CLI_OK);
	assert_int_equal(RUN(cli_users, "users", "show", "ana"), CLI_OK);
}

static void hostile_arguments_are_refused_and_cannot_command_the_terminal(void **state)
{
	static const char evil[] = "a\x1b[2J";

	(void)state;
	assert_int_equal(RUN(cli_users, "users", "create", evil), CLI_FAILED);
	assert_int_equal(RUN(cli_users, "users", "create", ""), CLI_FAILED);
	assert_int_equal(RUN(cli_users, "users", "show", evil), CLI_FAILED);
	assert_null(strchr(out, '\033'));
	assert_int_equal(RUN(cli_orgs, "orgs", "create", evil), CLI_FAILED);
	assert_int_equal(RUN(cli_orgs, "orgs", evil), CLI_USAGE);
	assert_null(strchr(out, '\033'));
	assert_int_equal(RUN(cli_orgs, "orgs", "show", "acme", evil), CLI_USAGE);
	assert_null(strchr(out, '\033'));
	assert_int_equal(RUN(cli_keys, "keys", "create", "--name", evil), CLI_FAILED);
	assert_int_equal(
		RUN(cli_keys, "keys", "create", "--name", "n", "--models", ""), CLI_FAILED);
	assert_int_equal(
		RUN(cli_keys, "keys", "create", "--name", "n", "--models", evil), CLI_FAILED);
	assert_null(strchr(out, '\033'));
	assert_int_equal(RUN(cli_keys, "keys", "create", "--name", "n", "--rpm", "0"), CLI_FAILED);
	assert_int_equal(
		RUN(cli_keys, "keys", "create", "--name", "n", "--budget", "5usd"), CLI_FAILED);
	assert_non_null(strstr(out, "/month"));
	assert_int_equal(RUN(cli_keys, "keys", "list", "--rpm", "5"), CLI_USAGE);
	assert_non_null(strstr(out, "--rpm does not go with list"));
	assert_int_equal(RUN(cli_credits, "credits", "add", "1usd"), CLI_USAGE);
	assert_int_equal(
		RUN(cli_credits, "credits", "add", "1usd", "--user", "x", "--org", "y"), CLI_USAGE);
	assert_int_equal(RUN(cli_credits, "credits", "add", "1usd", "--user", "x", "--note", evil),
		CLI_USAGE);
	assert_int_equal(access(home, F_OK), -1); /* nothing was made */
}

static void no_secret_is_shown_with_the_settings(void **state)
{
	(void)state;
	setenv("GATEWAY_API_KEYS", "ann=hidden-hidden-hidden", 1);
	setenv("OPENAI_API_KEY", "hidden", 1);
	setenv("GATEWAY_PROXY", "http://user:hidden@proxy:3128", 1);
	setenv("X_BASE_URL", "https://hidden@h/v1", 1);
	setenv("AWS_ACCESS_KEY_ID", "hidden", 1);
	setenv("AWS_SECRET_ACCESS_KEY", "hidden", 1);
	setenv("AWS_SESSION_TOKEN", "hidden", 1);
	setenv("AWS_BEARER_TOKEN_BEDROCK", "hidden", 1);
	setenv("AWS_REGION", "eu-north-1", 1);
	setenv("VERTEX_ACCESS_TOKEN", "hidden", 1);
	setenv("GOOGLE_APPLICATION_CREDENTIALS", "/etc/account.json", 1);
	assert_int_equal(RUN(cli_config, "config"), CLI_OK);
	assert_null(strstr(out, "hidden"));
	assert_non_null(strstr(out, "OPENAI_API_KEY"));
	assert_non_null(strstr(out, "@proxy:3128"));
	assert_non_null(strstr(out, "AWS_SECRET_ACCESS_KEY"));
	assert_non_null(strstr(out, "AWS_BEARER_TOKEN_BEDROCK"));
	assert_non_null(strstr(out, "VERTEX_ACCESS_TOKEN"));
	assert_non_null(strstr(out, "eu-north-1"));
	assert_non_null(strstr(out, "/etc/account.json"));
	assert_int_equal(RUN(cli_config, "config", "--json"), CLI_OK);
	assert_null(strstr(out, "hidden"));
	setenv("GATEWAY_API_KEYS", "ann=hidden", 1);
	assert_int_equal(RUN(cli_config, "config"), CLI_FAILED);
	assert_null(strstr(out, "=hidden"));
}

static void where_things_are_kept_is_shown_without_the_password(void **state)
{
	const char *from, *longest;

	(void)state;
	assert_int_equal(RUN(cli_config, "config"), CLI_OK);
	assert_non_null(strstr(out, "  gdbm\n"));
	assert_non_null(strstr(out, "  redis://127.0.0.1:6379/0\n"));
	assert_null(strstr(out, "*"));
	/* The values stand in one column, below their heading. */
	from = strstr(out, "FROM");
	assert_non_null(from);
	longest = strstr(out, "\nGATEWAY_HEALTH_CHECK_INTERVAL ");
	assert_non_null(longest);
	assert_int_equal(from - strstr(out, "SETTING"), strstr(longest, "default") - longest - 1);
	setenv("GATEWAY_CACHE_URL", "redis://me:hidden@cache.example:6379/1", 1);
	assert_int_equal(RUN(cli_config, "config"), CLI_OK);
	assert_null(strstr(out, "hidden"));
	assert_non_null(strstr(out, "@cache.example:6379/1"));
	setenv("GATEWAY_CACHE_URL", "me:hidden@cache.example", 1);
	assert_int_equal(RUN(cli_config, "config"), CLI_OK);
	assert_null(strstr(out, "hidden"));
}

static void write_log(const char *text)
{
	FILE *f = fopen(log_path, "w");

	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static void log_lines_are_readable_and_cannot_command_the_terminal(void **state)
{
	(void)state;
	write_log("{\"time\":\"2026-11-21T08:56:46.123Z\",\"level\":\"info\",\"model\":\"a/b"
		  "\\u001b[2J\",\"status\":200,\"latency_ms\":12345,\"ttft_ms\":310,"
		  "\"prompt_tokens\":8,\"completion_tokens\":15,\"stream\":true}\n"
		  "{\"time\":\"2026-11-21T08:56:47.123Z\",\"level\":\"info\",\"program\":"
		  "\"models.fcgi\",\"model\":null,\"status\":200,\"latency_ms\":1}\n"
		  "{\"time\":\"2026-11-21T08:56:46.123Z\",\"level\":\"error\",\"msg\":\"x\\ny\"}\n"
		  "not \033[31m JSON\n"
		  "{\"broken\n"
		  "the last line has no end");
	assert_int_equal(RUN(cli_logs, "logs", log_path), CLI_OK);
	assert_null(strchr(out, '\033'));
	assert_non_null(strstr(out, "2026-11-21 08:56:46.123  200  a/b?[2J"));
	assert_non_null(strstr(out, "12.3s  ttft   310ms  8 > 15 tokens"));
	assert_non_null(strstr(out, "anonymous         stream\n"));
	assert_non_null(strstr(out, "  200  (models.fcgi)  "));
	assert_non_null(strstr(out, "x?y\nnot ?[31m JSON\n{\"broken\nthe last line has no end\n"));
	assert_int_equal(RUN(cli_logs, "logs", "--lines=2", log_path), CLI_OK);
	assert_string_equal(out, "{\"broken\nthe last line has no end\n");
	assert_int_equal(RUN(cli_logs, "logs", "--lines=0", log_path), CLI_OK);
	assert_string_equal(out, "");
	assert_int_equal(RUN(cli_logs, "logs", "/nonexistent"), CLI_FAILED);
	assert_non_null(strstr(out, "/nonexistent"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(what_is_misused_is_named_and_ends_with_2, clean),
		cmocka_unit_test_setup(a_key_file_is_used_again_while_its_key_is_valid, clean),
		cmocka_unit_test_setup(money_is_read_exactly_or_not_at_all, clean),
		cmocka_unit_test_setup(an_end_lies_in_the_future, clean),
		cmocka_unit_test_setup(the_commands_of_the_manual_work_in_their_order, clean),
		cmocka_unit_test_setup(
			hostile_arguments_are_refused_and_cannot_command_the_terminal, clean),
		cmocka_unit_test_setup(no_secret_is_shown_with_the_settings, clean),
		cmocka_unit_test_setup(where_things_are_kept_is_shown_without_the_password, clean),
		cmocka_unit_test_setup(
			log_lines_are_readable_and_cannot_command_the_terminal, clean),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
