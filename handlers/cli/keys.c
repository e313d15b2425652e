/* tollgate keys: make, show, change, replace and end API keys. */
#include "handlers/cli/cli.h"

#include "gateway/books.h"
#include "handlers/cli/amount.h"
#include "handlers/cli/keys_show.h"

#include "base/crypto.h"
#include "store/home.h"
#include "store/keys.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static const char usage[] =
	"Usage: tollgate keys create --name NAME [--user ID] [--org ORG] [LIMITS] [--if-none "
	"FILE]\n"
	"       tollgate keys list [--json]\n"
	"       tollgate keys show KEY [--json]\n"
	"       tollgate keys edit KEY [--name NAME] [LIMITS]\n"
	"       tollgate keys rotate KEY [--overlap TIME]\n"
	"       tollgate keys revoke KEY\n"
	"       tollgate keys restore\n"
	"\n"
	"KEY is the id of a key, or its name when only one has it.\n"
	"\n"
	"create   makes a key and prints it: this one time, it cannot be shown again\n"
	"         --name NAME     who or what uses it: 1 to 64 printable characters\n"
	"         --user ID       whose it is; without, it stands for itself\n"
	"         --org ORG       the organisation that pays, by its short name or id\n"
	"         --if-none FILE  keep the key in FILE (mode 0600); when FILE holds a key that is\n"
	"                         still valid, print that one and make none\n"
	"list     shows all keys: owners, limits, states; never the keys themselves\n"
	"         --json          as JSON; --format table|json is the same\n"
	"show     shows everything about one key\n"
	"edit     changes its name or limits, for the next request of every process\n"
	"rotate   gives it another text, printed this one time; its id, usage and limits stay\n"
	"         --overlap TIME  so long the text before works too (24h, 7d; default: not at "
	"all)\n"
	"revoke   ends a key at once\n"
	"restore  when keys.gdbm is damaged: goes back to the state before the last change\n"
	"\n"
	"LIMITS, each of which \"none\" (or \"all\", \"never\") takes away again:\n"
	"         --rpm N             requests per minute\n"
	"         --tpm N             tokens per minute\n"
	"         --concurrent N      requests at once\n"
	"         --budget AMOUNT     25usd/month, 1.50usd/day or 100usd/total; UTC\n"
	"         --models LIST       'anthropic/*,openai/gpt-5.2': what it may use, or all\n"
	"         --expires TIME      90d from now, 2027-01-01, or never\n";

enum { CREATE, LIST, SHOW, EDIT, ROTATE, REVOKE, RESTORE };

static const struct cli_verb verbs[] = { [CREATE] = { .name = "create" },
	[LIST] = { .name = "list" },
	[SHOW] = { "show", 1, "the id or name of a key", 0 },
	[EDIT] = { "edit", 1, "the id or name of a key", 0 },
	[ROTATE] = { "rotate", 1, "the id or name of a key", 0 },
	[REVOKE] = { "revoke", 1, "the id or name of a key", 0 },
	[RESTORE] = { .name = "restore" },
	{ 0 } };

#define LIMITS (1u << CREATE | 1u << EDIT)

struct words {
	const char *name, *user, *org, *if_none, *format, *overlap;
	const char *requests, *tokens, *concurrent, *budget, *models, *expires;
	bool json;
};

/* ---- --if-none ---- */

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

/* ---- the commands ---- */

/* Reads what was given into *to; *set says what that was. */
static enum err_code read_limits(
	const struct words *w, int64_t now_ms, struct key_info *to, unsigned *set, struct err *e)
{
	enum err_code rc = ERR_OK;

	*set = 0;
	if (w->name) {
		*set |= KEYS_SET_NAME;
		if (!slice_copy(slice_of(w->name), to->name, sizeof(to->name)))
			rc = err_param(e, ERR_BAD_REQUEST, "--name",
				"--name has 1 to %d characters", KEY_NAME_MAX);
	}
	if (!rc && w->requests) {
		*set |= KEYS_SET_REQUESTS;
		rc = amount_read_rate(w->requests, "--rpm", &to->requests_per_minute, e);
	}
	if (!rc && w->tokens) {
		*set |= KEYS_SET_TOKENS;
		rc = amount_read_rate(w->tokens, "--tpm", &to->tokens_per_minute, e);
	}
	if (!rc && w->concurrent) {
		*set |= KEYS_SET_CONCURRENT;
		rc = amount_read_rate(w->concurrent, "--concurrent", &to->concurrent, e);
	}
	if (!rc && w->budget) {
		*set |= KEYS_SET_BUDGET;
		rc = amount_read_budget(
			w->budget, "--budget", &to->budget_microusd, &to->budget_window, e);
	}
	if (!rc && w->models) {
		*set |= KEYS_SET_MODELS;
		rc = cli_list(w->models, "all", people_models_read, "--models", to->models,
			PEOPLE_LIST_MAX, e);
	}
	if (!rc && w->expires) {
		*set |= KEYS_SET_EXPIRES;
		rc = amount_read_end(w->expires, "--expires", now_ms, &to->expires_ms, e);
	}
	return rc;
}

static enum err_code print_text(const char *text, struct err *e)
{
	if (printf("%s\n", text) < 0 || fflush(stdout) != 0)
		return err_errno(e, errno, "the key could not be printed");
	return ERR_OK;
}

static enum err_code make(
	struct keys *keys, const struct words *w, char text[KEY_TEXT_SIZE], struct err *e)
{
	struct key_info want = { .id = "" }, info;
	unsigned set;
	enum err_code rc = read_limits(w, clock_wall_ms(), &want, &set, e);

	if (!rc && ((w->user && !slice_copy(slice_of(w->user), want.user, sizeof(want.user))) ||
			   (w->org && !slice_copy(slice_of(w->org), want.org, sizeof(want.org)))))
		rc = err_set(e, ERR_NOT_FOUND, "there is no %s with a name so long",
			want.user[0] || !w->user ? "organisation" : "user");
	if (!rc)
		rc = keys_create(keys, &want, clock_wall_ms(), text, &info, e);
	if (!rc && w->if_none)
		rc = write_key_file(w->if_none, text, e);
	if (!rc)
		fprintf(stderr, "Created %s (%s).%s\n", info.id, info.name,
			w->if_none ? "" : " The key is shown this one time:");
	return rc;
}

static int create(struct keys *keys, const struct words *w)
{
	char text[KEY_TEXT_SIZE] = "";
	struct err e = { .code = ERR_OK };
	enum err_code rc = w->if_none ? read_key_file(keys, w->if_none, text, &e) : ERR_OK;

	if (!rc && !text[0])
		rc = make(keys, w, text, &e);
	if (!rc)
		rc = print_text(text, &e);
	crypto_wipe(text, sizeof(text));
	return rc ? cli_fail(&e) : CLI_OK;
}

static int list(struct keys *keys, bool json)
{
	struct key_info *all;
	size_t count;
	struct err e;

	if (keys_list(keys, &all, &count, &e))
		return cli_fail(&e);
	if (json)
		keys_show_json(all, count, clock_wall_ms());
	else
		keys_show_table(keys, all, count, clock_wall_ms());
	free(all);
	if (keys_is_damaged(keys)) {
		fputs("tollgate: keys.gdbm is damaged; this is the state before the last change. "
		      "`tollgate keys restore` makes it the current one.\n",
			stderr);
		return CLI_FAILED;
	}
	return CLI_OK;
}

static int show(struct keys *keys, const char *which, bool json)
{
	struct key_info info;
	struct err e;

	if (keys_get(keys, which, &info, &e))
		return cli_fail(&e);
	if (json)
		keys_show_json_one(&info, clock_wall_ms());
	else
		keys_show_one(keys, &info, clock_wall_ms());
	return CLI_OK;
}

static int edit(struct keys *keys, const char *which, const struct words *w)
{
	struct key_info to = { .id = "" }, info;
	unsigned set;
	struct err e;

	if (read_limits(w, clock_wall_ms(), &to, &set, &e))
		return cli_fail(&e);
	if (!set)
		return cli_misuse("keys", "say what to change: --name or one of the limits");
	if (keys_edit(keys, which, set, &to, &info, &e))
		return cli_fail(&e);
	printf("Changed %s (%s).\n", info.id, info.name);
	keys_show_one(keys, &info, clock_wall_ms());
	return CLI_OK;
}

static int rotate(struct keys *keys, const char *which, const char *overlap)
{
	char text[KEY_TEXT_SIZE], until[CLOCK_ISO_SIZE];
	int64_t overlap_ms = 0;
	struct key_info info;
	struct err e;
	enum err_code rc;

	if (overlap && !str_duration(slice_of(overlap), &overlap_ms))
		return cli_misuse("keys", "--overlap is a time like 24h or 7d, not %s", overlap);
	rc = keys_rotate(keys, which, overlap_ms, clock_wall_ms(), text, &info, &e);
	if (!rc) {
		amount_write_minute(info.old_until_ms, "", until);
		fprintf(stderr,
			"Rotated %s (%s). The text before %s%s%s. The new one is shown "
			"this one time:\n",
			info.id, info.name, overlap_ms ? "works until " : "has ended",
			overlap_ms ? until : "", overlap_ms ? " UTC" : "");
		rc = print_text(text, &e);
	}
	crypto_wipe(text, sizeof(text));
	return rc ? cli_fail(&e) : CLI_OK;
}

static int end(struct keys *keys, const char *which)
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
	     "is kept as keys.gdbm.damaged.");
	return CLI_OK;
}

static int run(struct keys *keys, int verb, const char *which, const struct words *w)
{
	switch (verb) {
	case CREATE:
		return create(keys, w);
	case LIST:
		return list(keys, w->json);
	case SHOW:
		return show(keys, which, w->json);
	case EDIT:
		return edit(keys, which, w);
	case ROTATE:
		return rotate(keys, which, w->overlap);
	case REVOKE:
		return end(keys, which);
	default:
		return restore(keys);
	}
}

int cli_keys(const struct conf *c, int argc, char **argv)
{
	struct words w = { .name = NULL };
	const char *operands[4]; /* one more than any verb takes, and a NULL */
	const struct cli_option options[] = {
		{ "--name", &w.name, NULL, LIMITS },
		{ "--user", &w.user, NULL, 1u << CREATE },
		{ "--org", &w.org, NULL, 1u << CREATE },
		{ "--if-none", &w.if_none, NULL, 1u << CREATE },
		{ "--rpm", &w.requests, NULL, LIMITS },
		{ "--tpm", &w.tokens, NULL, LIMITS },
		{ "--concurrent", &w.concurrent, NULL, LIMITS },
		{ "--budget", &w.budget, NULL, LIMITS },
		{ "--models", &w.models, NULL, LIMITS },
		{ "--expires", &w.expires, NULL, LIMITS },
		{ "--overlap", &w.overlap, NULL, 1u << ROTATE },
		{ "--format", &w.format, NULL, 1u << LIST },
		{ "--json", NULL, &w.json, 1u << LIST | 1u << SHOW },
		{ 0 },
	};
	int rc = cli_options(usage, options, argc, argv, operands, 3), verb;
	struct keys *keys;
	struct err e;

	operands[3] = NULL;
	if (rc != CLI_GO_ON)
		return rc;
	verb = cli_verb("keys", verbs, options, operands);
	if (verb < 0)
		return CLI_USAGE;
	if (verb == CREATE && !w.name)
		return cli_misuse("keys", "create needs --name NAME");
	if (w.format && strcmp(w.format, "table") != 0 && strcmp(w.format, "json") != 0)
		return cli_misuse("keys", "--format is table or json, not %s", w.format);
	w.json |= w.format && w.format[0] == 'j';
	if (books_keys(c, &keys, &e))
		return cli_fail(&e);
	rc = run(keys, verb, operands[1], &w);
	keys_close(keys);
	return rc;
}
