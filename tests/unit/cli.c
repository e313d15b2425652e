#include "handlers/cli/cli.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static char top[] = "/tmp/tollgate-cli-XXXXXX";
static char home[64], key_file[64], log_file[64], captured[64];
static char out[65536]; /* what the last command printed, both streams */

static int set_up(void **state)
{
	(void)state;
	assert_non_null(mkdtemp(top));
	snprintf(home, sizeof(home), "%s/home", top);
	snprintf(key_file, sizeof(key_file), "%s/key", top);
	snprintf(log_file, sizeof(log_file), "%s/log", top);
	snprintf(captured, sizeof(captured), "%s/out", top);
	return 0;
}

static int tear_down(void **state)
{
	static const char *const names[] = { "home/keys.gdbm", "home/keys.gdbm.prev",
		"home/keys.lock", "home/pepper", "home", "key", "log", "out" };
	char path[128];

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", top, names[i]);
		remove(path);
	}
	return rmdir(top);
}

static int clean(void **state)
{
	(void)state;
	if (clearenv() != 0)
		return -1;
	unlink(key_file);
	return setenv("GATEWAY_HOME", home, 1);
}

/* Runs a command with its words, the last one NULL; returns its exit code. */
static int run(int (*command)(const struct conf *, int, char **), const char *const *words)
{
	int saved[2] = { dup(1), dup(2) }, code, argc = 0;
	int fd = open(captured, O_RDWR | O_CREAT | O_TRUNC, 0600);
	struct conf *c;
	struct err e;
	ssize_t n;

	while (words[argc])
		argc++;
	assert_int_equal(conf_load(&c, &e), ERR_OK);
	fflush(NULL);
	dup2(fd, 1);
	dup2(fd, 2);
	code = command(c, argc, (char **)(uintptr_t)words);
	fflush(NULL);
	dup2(saved[0], 1);
	dup2(saved[1], 2);
	close(saved[0]);
	close(saved[1]);
	n = pread(fd, out, sizeof(out) - 1, 0);
	out[n > 0 ? n : 0] = '\0';
	close(fd);
	conf_fini(c);
	return code;
}

#define RUN(command, ...) run(command, (const char *const[]){ __VA_ARGS__, NULL })

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
	assert_int_equal(RUN(cli_logs, "logs", log_file, "--lines", "-1"), CLI_USAGE);
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

static void no_secret_is_shown_with_the_settings(void **state)
{
	(void)state;
	setenv("GATEWAY_API_KEYS", "ann=hidden-hidden-hidden", 1);
	setenv("OPENAI_API_KEY", "hidden", 1);
	setenv("GATEWAY_PROXY", "http://user:hidden@proxy:3128", 1);
	setenv("X_BASE_URL", "https://hidden@h/v1", 1);
	assert_int_equal(RUN(cli_config, "config"), CLI_OK);
	assert_null(strstr(out, "hidden"));
	assert_non_null(strstr(out, "OPENAI_API_KEY"));
	assert_non_null(strstr(out, "@proxy:3128"));
	assert_int_equal(RUN(cli_config, "config", "--json"), CLI_OK);
	assert_null(strstr(out, "hidden"));
	setenv("GATEWAY_API_KEYS", "ann=hidden", 1);
	assert_int_equal(RUN(cli_config, "config"), CLI_FAILED);
	assert_null(strstr(out, "=hidden"));
}

static void write_log(const char *text)
{
	FILE *f = fopen(log_file, "w");

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
		  "{\"time\":\"2026-11-21T08:56:46.123Z\",\"level\":\"error\",\"msg\":\"x\\ny\"}\n"
		  "not \033[31m JSON\n"
		  "{\"broken\n"
		  "the last line has no end");
	assert_int_equal(RUN(cli_logs, "logs", log_file), CLI_OK);
	assert_null(strchr(out, '\033'));
	assert_non_null(strstr(out, "2026-11-21 08:56:46.123  200  a/b?[2J"));
	assert_non_null(strstr(out, "12.3s  ttft   310ms  8 > 15 tokens"));
	assert_non_null(strstr(out, "anonymous         stream\n"));
	assert_non_null(strstr(out, "x?y\nnot ?[31m JSON\n{\"broken\nthe last line has no end\n"));
	assert_int_equal(RUN(cli_logs, "logs", "--lines=2", log_file), CLI_OK);
	assert_string_equal(out, "{\"broken\nthe last line has no end\n");
	assert_int_equal(RUN(cli_logs, "logs", "--lines=0", log_file), CLI_OK);
	assert_string_equal(out, "");
	assert_int_equal(RUN(cli_logs, "logs", "/nonexistent"), CLI_FAILED);
	assert_non_null(strstr(out, "/nonexistent"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(what_is_misused_is_named_and_ends_with_2, clean),
		cmocka_unit_test_setup(a_key_file_is_used_again_while_its_key_is_valid, clean),
		cmocka_unit_test_setup(no_secret_is_shown_with_the_settings, clean),
		cmocka_unit_test_setup(
			log_lines_are_readable_and_cannot_command_the_terminal, clean),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
