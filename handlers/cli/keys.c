/* tollgate keys: make, list and revoke API keys. */
#include "handlers/cli/cli.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/crypto.h"
#include "store/home.h"
#include "store/keys.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static const char usage[] =
	"Usage: tollgate keys create --name NAME [--if-none FILE]\n"
	"       tollgate keys list [--format table|json]\n"
	"       tollgate keys revoke ID|NAME\n"
	"       tollgate keys restore\n"
	"\n"
	"create   makes a key and prints it: this one time, it cannot be shown again\n"
	"         --name NAME     who or what uses it: 1 to 64 printable characters\n"
	"         --if-none FILE  keep the key in FILE (mode 0600); when FILE holds a key that is\n"
	"                         still valid, print that one and make none\n"
	"list     shows all keys: id, name, times; never the keys themselves\n"
	"         --format table|json\n"
	"revoke   ends a key at once, by its id, or by its name when only one has it\n"
	"restore  when keys.gdbm is damaged: goes back to the state before the last change\n";

static enum err_code write_key_file(const char *path, const char *text, struct err *e)
{
	char tmp[HOME_PATH_MAX];
	size_t n = strlen(text);
	enum err_code rc = ERR_OK;
	int fd;

	if (snprintf(tmp, sizeof(tmp), "%s.tmp", path) >= (int)sizeof(tmp))
		return err_set(e, ERR_RANGE, "the path behind --if-none is too long");
	unlink(tmp);
	fd = open(tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_errno(e, errno, "%s", tmp);
	if (write(fd, text, n) != (ssize_t)n || write(fd, "\n", 1) != 1 || fsync(fd) != 0)
		rc = err_errno(e, errno, "%s", tmp);
	close(fd);
	if (!rc && rename(tmp, path) != 0)
		rc = err_errno(e, errno, "%s", path);
	if (rc)
		unlink(tmp);
	return rc;
}

/* The key that FILE holds, when it is still valid; "" when a new one is to be made. */
static enum err_code read_key_file(
	struct keys *keys, const char *path, char text[KEY_TEXT_SIZE], struct err *e)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	char content[KEY_TEXT_SIZE + 2];
	enum keys_verdict verdict = KEYS_UNKNOWN;
	struct key_info info;
	struct slice key;
	struct stat st;
	enum err_code rc;
	ssize_t n;

	text[0] = '\0';
	if (fd < 0)
		return errno == ENOENT ? ERR_OK : err_errno(e, errno, "%s", path);
	rc = fstat(fd, &st) == 0 ? home_check_file(path, &st, e) : err_errno(e, errno, "%s", path);
	if (!rc) {
		n = read(fd, content, sizeof(content));
		key = slice_trim((struct slice){ content, n > 0 ? (size_t)n : 0 });
		rc = keys_check(keys, key, &verdict, &info, e);
		if (!rc && verdict == KEYS_VALID && !slice_copy(key, text, KEY_TEXT_SIZE))
			text[0] = '\0';
		crypto_wipe(content, sizeof(content));
	}
	close(fd);
	return rc;
}

static int create(struct keys *keys, const char *name, const char *file)
{
	char text[KEY_TEXT_SIZE] = "";
	struct key_info info = { .id = "" };
	struct err e = { .code = ERR_OK };
	enum err_code rc = file ? read_key_file(keys, file, text, &e) : ERR_OK;

	if (!rc && !text[0]) {
		rc = keys_create(keys, name, clock_wall_ms(), text, &info, &e);
		if (!rc && file)
			rc = write_key_file(file, text, &e);
		if (!rc)
			fprintf(stderr, "Created %s (%s).%s\n", info.id, info.name,
				file ? "" : " The key is shown this one time:");
	}
	if (!rc && (printf("%s\n", text) < 0 || fflush(stdout) != 0))
		rc = err_errno(&e, errno, "the key could not be printed");
	crypto_wipe(text, sizeof(text));
	return rc ? cli_fail(&e) : CLI_OK;
}

static void write_time(struct buf *out, int64_t ms)
{
	char iso[CLOCK_ISO_SIZE];

	clock_iso(ms, iso);
	buf_printf(out, "\"%s\"", iso);
}

static void print_json(const struct key_info *list, size_t count)
{
	struct buf out = { 0 };

	buf_char(&out, '[');
	for (size_t i = 0; i < count; i++) {
		buf_printf(&out, "%s{\"id\":", i ? ",\n" : "");
		buf_json_cstr(&out, list[i].id);
		buf_str(&out, ",\"name\":");
		buf_json_cstr(&out, list[i].name);
		buf_str(&out, ",\"created\":");
		if (list[i].created_ms)
			write_time(&out, list[i].created_ms);
		else
			buf_str(&out, "null");
		buf_str(&out, ",\"revoked\":");
		if (list[i].revoked_ms)
			write_time(&out, list[i].revoked_ms);
		else
			buf_str(&out, "null");
		buf_char(&out, '}');
	}
	buf_str(&out, "]\n");
	if (buf_ok(&out))
		fwrite(out.data, 1, out.len, stdout);
	buf_fini(&out);
}

/* "2026-11-21 08:56", or what stands for no time. */
static void write_minute(int64_t ms, const char *none, char out[CLOCK_ISO_SIZE])
{
	if (!ms) {
		str_copy_cut(out, CLOCK_ISO_SIZE, none);
		return;
	}
	clock_iso(ms, out);
	out[10] = ' ';
	out[16] = '\0';
}

static void print_table(const struct key_info *list, size_t count)
{
	int widest = 4;

	for (size_t i = 0; i < count; i++)
		if ((int)strlen(list[i].id) > widest)
			widest = (int)strlen(list[i].id);
	printf("%s%-*s  %-16s  %-16s  NAME%s\n", cli_style(CLI_BOLD), widest, "ID", "CREATED (UTC)",
		"REVOKED (UTC)", cli_style(CLI_PLAIN));
	for (size_t i = 0; i < count; i++) {
		char created[CLOCK_ISO_SIZE], revoked[CLOCK_ISO_SIZE];

		write_minute(list[i].created_ms, "environment", created);
		write_minute(list[i].revoked_ms, "-", revoked);
		printf("%s%-*s  %-16s  %-16s  %s%s\n",
			cli_style(list[i].revoked_ms ? CLI_DIM : CLI_PLAIN), widest, list[i].id,
			created, revoked, list[i].name, cli_style(CLI_PLAIN));
	}
	if (!count)
		puts("No key yet: tollgate keys create --name NAME");
}

static int list_keys(struct keys *keys, const char *format)
{
	struct key_info *list;
	size_t count;
	struct err e;

	if (strcmp(format, "table") != 0 && strcmp(format, "json") != 0) {
		fprintf(stderr, "tollgate keys: --format is table or json, not %s\n", format);
		return CLI_USAGE;
	}
	if (keys_list(keys, &list, &count, &e))
		return cli_fail(&e);
	if (format[0] == 'j')
		print_json(list, count);
	else
		print_table(list, count);
	free(list);
	if (keys_is_damaged(keys)) {
		fputs("tollgate: keys.gdbm is damaged; this is the state before the last change. "
		      "`tollgate keys restore` makes it the current one.\n",
			stderr);
		return CLI_FAILED;
	}
	return CLI_OK;
}

static int revoke_key(struct keys *keys, const char *which)
{
	struct key_info info;
	struct err e;

	if (keys_revoke(keys, which, clock_wall_ms(), &info, &e))
		return cli_fail(&e);
	printf("Revoked %s (%s).\n", info.id, info.name);
	return CLI_OK;
}

static int restore(struct keys *keys)
{
	struct err e;

	if (keys_restore(keys, &e))
		return cli_fail(&e);
	puts("keys.gdbm is as it was before the last change; the damaged file, if there was one, "
	     "is "
	     "kept as keys.gdbm.damaged.");
	return CLI_OK;
}

static int misuse(const char *what)
{
	fprintf(stderr, "tollgate keys: %s\nTry: tollgate keys --help\n", what);
	return CLI_USAGE;
}

int cli_keys(const struct conf *c, int argc, char **argv)
{
	const char *name = NULL, *file = NULL, *format = NULL, *operands[2];
	const struct cli_option options[] = { { .name = "--name", .value = &name },
		{ .name = "--if-none", .value = &file }, { .name = "--format", .value = &format },
		{ 0 } };
	int rc = cli_options(usage, options, argc, argv, operands, 2);
	enum { CREATE, LIST, REVOKE, RESTORE, VERBS } verb;
	static const char *const verbs[] = { "create", "list", "revoke", "restore" };
	struct keys *keys;
	struct err e;

	if (rc != CLI_GO_ON)
		return rc;
	if (!operands[0])
		return misuse("say what to do: create, list, revoke or restore");
	for (verb = CREATE; verb < VERBS; verb++)
		if (strcmp(operands[0], verbs[verb]) == 0)
			break;
	if (verb == VERBS) {
		fprintf(stderr, "tollgate keys: unknown command %s\n", operands[0]);
		return misuse("it is one of create, list, revoke, restore");
	}
	if (verb == CREATE ? !name : name || file)
		return misuse(verb == CREATE ? "create needs --name NAME"
					     : "--name and --if-none go with create alone");
	if (format && verb != LIST)
		return misuse("--format goes with list alone");
	if ((verb == REVOKE) != (operands[1] != NULL))
		return misuse(verb == REVOKE ? "revoke needs the ID or NAME of a key"
					     : "there is an argument too many");
	if (keys_open(&keys, conf_str(c, CONF_HOME), conf_str(c, CONF_API_KEYS), &e))
		return cli_fail(&e);
	rc = verb == CREATE   ? create(keys, name, file)
	     : verb == LIST   ? list_keys(keys, format ? format : "table")
	     : verb == REVOKE ? revoke_key(keys, operands[1])
			      : restore(keys);
	keys_close(keys);
	return rc;
}
