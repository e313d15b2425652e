#include "handlers/cli/secret_in.h"
#include "store/byok.h"
#include "tests/unit/cli_run.h"
#include "tests/unit/own_home.h"

#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <sys/wait.h>
#include <termios.h>

#define KEY      "sk-users-own-0123456789wxyz"
#define CONTRACT "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="

#define RUN(input, ...) run_with(cli_byok, input, WORDS("byok", __VA_ARGS__))

static int start(void **state)
{
	(void)state;
	if (clearenv() != 0)
		return -1;
	remove_home();
	return setenv("GATEWAY_HOME", home, 1) || run(cli_users, WORDS("users", "create", "ana")) ||
	       run(cli_orgs, WORDS("orgs", "create", "acme"));
}

static void assert_kept(const char *setting, enum byok_owner_kind kind, const char *id,
	const char *provider, const char *secret)
{
	struct byok_owner owner = { .kind = kind };
	struct buf text = { .max_bytes = BYOK_SECRET_MAX };
	struct byok_info info;
	size_t which;
	struct byok *b;
	struct err e;

	str_copy_cut(owner.id, sizeof(owner.id), id);
	assert_int_equal(byok_open(&b, home, setting, &e), ERR_OK);
	assert_int_equal(byok_secret(b, &owner, &provider, 1, &which, &info, &text, &e), ERR_OK);
	assert_true(slice_is(buf_slice(&text), secret));
	buf_fini(&text);
	byok_close(b);
}

static void a_key_comes_from_standard_input_and_is_never_shown(void **state)
{
	(void)state;
	assert_int_equal(RUN("  " KEY " \r\n", "add", "OpenAI", "--user", "ana"), CLI_OK);
	has_not(KEY);
	assert_kept("", BYOK_USER, "ana", "openai", KEY);
	assert_int_equal(RUN("", "list"), CLI_OK);
	has("...wxyz");
	has("never");
	has_not(KEY);
	assert_int_equal(RUN("", "list", "--json", "--user=ana"), CLI_OK);
	has("\"ends_with\":\"wxyz\"");
	has_not(KEY);
	assert_int_equal(RUN("", "list", "--org=acme"), CLI_OK);
	has_not("wxyz");
}

static void what_is_wrong_is_named_and_changes_nothing(void **state)
{
	char long_key[BYOK_SECRET_MAX + 200];

	(void)state;
	memset(long_key, 'x', sizeof(long_key) - 1);
	long_key[sizeof(long_key) - 1] = '\0';
	assert_int_equal(RUN(KEY, "add", "openai"), CLI_USAGE);
	has("--user");
	assert_int_equal(RUN(KEY, "add", "openai", "--user=ana", "--org=acme"), CLI_USAGE);
	assert_int_equal(RUN(KEY, "add", "openai", KEY, "--user=ana"), CLI_USAGE);
	assert_int_equal(RUN(KEY, "add", "openai", "--user=ben"), CLI_FAILED);
	has("ben");
	assert_int_equal(RUN(KEY, "add", "nobody", "--user=ana"), CLI_FAILED);
	has("zai-coding");
	assert_int_equal(RUN(" \n", "add", "openai", "--user=ana"), CLI_FAILED);
	has("standard input");
	assert_int_equal(RUN(long_key, "add", "openai", "--user=ana"), CLI_FAILED);
	has("8192");
	assert_int_equal(
		RUN("{\"accessKeyId\":\"AKIA0\"}", "add", "bedrock", "--user=ana"), CLI_FAILED);
	has("secretAccessKey");
	has_not("AKIA0");
	assert_int_equal(RUN("", "remove", "openai", "--user=ana"), CLI_FAILED);
	assert_int_equal(RUN("", "disable", "openai", "--org=acme"), CLI_FAILED);
	assert_int_equal(RUN("", "rotate-master"), CLI_FAILED);
	assert_int_equal(RUN("", "restore"), CLI_FAILED);
	assert_int_equal(RUN("", "list"), CLI_OK);
	has("No provider key yet");
}

static void a_key_is_replaced_switched_and_removed(void **state)
{
	(void)state;
	assert_int_equal(RUN(KEY, "add", "openai", "--org", "acme"), CLI_OK);
	assert_int_equal(RUN("sk-another-key", "add", "openai", "--org", "acme"), CLI_FAILED);
	has("--replace");
	assert_int_equal(RUN("sk-another-key", "add", "openai", "--org=acme", "--replace",
				 "--allow-fallback"),
		CLI_OK);
	assert_int_equal(RUN("", "rotate-master"), CLI_OK);
	has("1 provider key is now");
	assert_int_equal(RUN("", "list"), CLI_OK);
	has("allowed");
	has("enabled");
	assert_int_equal(RUN("", "disable", "openai", "--org", "acme"), CLI_OK);
	assert_int_equal(RUN("", "list"), CLI_OK);
	has("disabled");
	assert_int_equal(RUN("", "enable", "openai", "--org", "acme"), CLI_OK);
	assert_int_equal(RUN("", "list"), CLI_OK);
	has("enabled");
	assert_int_equal(RUN("", "remove", "openai", "--org", "acme"), CLI_OK);
	assert_int_equal(RUN("", "list", "--json"), CLI_OK);
	assert_string_equal(out, "[]\n");
}

static void a_key_of_another_gateway_is_imported(void **state)
{
	(void)state;
	setenv("GATEWAY_MASTER_KEY", CONTRACT, 1);
	assert_int_equal(RUN("{\"iv\":\"AAECAwQFBgcICQoL\",\"data\":\"NGn7b6CWtja8c6Q=\","
			     "\"authTag\":\"qIK3T6XMPJ9ZYxJVyvDUXg==\"}",
				 "add", "openai", "--user=ana", "--import"),
		CLI_OK);
	assert_kept(CONTRACT, BYOK_USER, "ana", "openai", "sk-test-123");
	assert_int_equal(RUN("{}", "add", "xai", "--user=ana", "--import"), CLI_FAILED);
	setenv("GATEWAY_MASTER_KEY", "c2hvcnQ=", 1);
	assert_int_equal(RUN("", "list"), CLI_FAILED);
	has("5 bytes");
	has_not("c2hvcnQ");
}

/* All that the terminal shows until the other side closes it. */
static void watch(int fd, char *shown, size_t size)
{
	size_t at = 0;
	ssize_t n;

	while (at + 1 < size && (n = read(fd, shown + at, size - 1 - at)) > 0)
		at += (size_t)n;
	shown[at] = '\0';
}

/* Types at a terminal when it asks; what it showed goes to out. The child's exit code says what
 * came of it, and is 9 when the terminal was left dumb. */
static int type(const char *keys, const char *want)
{
	struct pollfd p = { .events = POLLIN };
	int fd, status;
	pid_t pid = forkpty(&fd, NULL, NULL, NULL);

	if (pid == 0) {
		struct buf secret = { .max_bytes = 64 };
		struct termios t;
		enum err_code rc = secret_in("Key: ", 64, &secret, NULL);
		bool same = slice_is(buf_slice(&secret), want ? want : "");

		buf_fini(&secret);
		if (tcgetattr(0, &t) != 0 || !(t.c_lflag & ECHO) || !(t.c_lflag & ISIG))
			_exit(9);
		_exit(!same ? 8 : rc ? 1 : 0);
	}
	assert_true(pid > 0);
	p.fd = fd;
	assert_int_equal(poll(&p, 1, 10000), 1); /* the prompt: now it is dumb */
	assert_int_equal(write(fd, keys, strlen(keys)), strlen(keys));
	watch(fd, out, sizeof(out));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	close(fd);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 99;
}

static void a_terminal_does_not_show_what_is_typed(void **state)
{
	(void)state;
	assert_int_equal(type("sk-wrong\025" KEY "?\177\n", KEY), 0);
	has("Key: ");
	has_not("sk-");
	assert_int_equal(type(KEY "\003", NULL), 1);
	has_not("sk-");
}

#define TEST(f) cmocka_unit_test_setup(f, start)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_key_comes_from_standard_input_and_is_never_shown),
		TEST(what_is_wrong_is_named_and_changes_nothing),
		TEST(a_key_is_replaced_switched_and_removed),
		TEST(a_key_of_another_gateway_is_imported),
		TEST(a_terminal_does_not_show_what_is_typed),
	};

	return cmocka_run_group_tests(tests, make_top, drop_top);
}
