/* tollgate backup and tollgate restore: everything that is kept, in one file and back. */
#include "store/backup.h"

#include "base/clock.h"
#include "gateway/books.h"
#include "handlers/cli/cli.h"
#include "handlers/cli/ledger_books.h"

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

static const char backup_usage[] =
	"Usage: tollgate backup FILE\n"
	"\n"
	"Saves keys, users, organisations, balances, usage and journal in FILE, a tar archive of\n"
	"mode 0600 that must not be there yet. The gateway may run meanwhile: every request that\n"
	"was settled before the command began is in it.\n"
	"\n"
	"FILE is a secret: with the hashes of all keys it holds the pepper they were made with.\n";

static const char restore_usage[] =
	"Usage: tollgate restore FILE [--check]\n"
	"\n"
	"Brings keys, users, organisations, balances and usage back to what FILE, made by\n"
	"`tollgate backup`, has. The gateway may run meanwhile; requests that are settled while\n"
	"the command runs count on top of that.\n"
	"\n"
	"Before anything is changed every checksum is compared and the books in FILE are proven.\n"
	"What is replaced stays in GATEWAY_HOME, in a folder whose name is printed.\n"
	"\n"
	"  --check  only compare the checksums of FILE\n";

/* ---- progress: one line that is written again and again ---- */

struct progress {
	int64_t shown_ms;
	bool shows;
};

static void on_file(void *ctx, const char *name, uint64_t done, uint64_t all)
{
	struct progress *p = ctx;
	int64_t now_ms = clock_mono_ms();

	if (!p->shows || now_ms - p->shown_ms < 100)
		return;
	p->shown_ms = now_ms;
	if (all)
		fprintf(stderr, "\r%3d %%  %-60.60s", (int)(done * 100 / all), name);
	else
		fprintf(stderr, "\r%5" PRIu64 " MB  %-60.60s", done >> 20, name);
}

static void end_progress(const struct progress *p)
{
	if (p->shows && p->shown_ms)
		fprintf(stderr, "\r%-72s\r", "");
}

static void print_bytes(const char *before, uint64_t bytes, size_t files, const char *behind)
{
	printf("%s%zu files, %.1f MB%s", before, files, (double)bytes / 1048576, behind);
}

/* ---- backup ---- */

static int make(const struct conf *c, const char *path)
{
	struct progress p = { .shows = isatty(STDERR_FILENO) == 1 };
	const struct backup_progress progress = { on_file, &p };
	struct ledger *ledger;
	struct backup made = { 0 };
	struct err e;
	enum err_code rc = books_open(c, &ledger, &e);

	if (rc)
		return cli_fail(&e);
	rc = backup_make(ledger, path, ledger_now(), &progress, &made, &e);
	end_progress(&p);
	if (!rc)
		print_bytes("Saved: ", made.bytes, made.n, ". The file is a secret.\n");
	backup_fini(&made);
	ledger_close(ledger);
	return rc ? cli_fail(&e) : CLI_OK;
}

int cli_backup(const struct conf *c, int argc, char **argv)
{
	static const struct cli_option none[] = { { 0 } };
	const char *path[1];
	int rc = cli_options(backup_usage, none, argc, argv, path, 1);

	if (rc != CLI_GO_ON)
		return rc;
	if (!path[0])
		return cli_misuse("backup", "name the FILE to write");
	return make(c, path[0]);
}

/* ---- restore ---- */

static int check(const char *path, const struct backup_progress *progress)
{
	struct backup b;
	struct err e;
	char made[CLOCK_ISO_SIZE];
	enum err_code rc = backup_verify(path, progress, &b, &e);

	end_progress(progress->ctx);
	if (rc)
		return cli_fail(&e);
	clock_iso(b.made_ms, made);
	printf("A whole backup of %s: ", made);
	print_bytes("", b.bytes, b.n, ".\n");
	backup_fini(&b);
	return CLI_OK;
}

/* Opens the live store; one that cannot be opened, and that nobody uses, is set aside first. */
static enum err_code open_store(
	const struct conf *c, struct ledger **out, char replaced[64], struct err *e)
{
	const char *home = conf_str(c, CONF_HOME);
	enum err_code rc = home_make(home, e);
	struct err why;

	replaced[0] = '\0';
	if (!rc)
		rc = books_open(c, out, e);
	if (rc != ERR_STORE)
		return rc;
	rc = backup_set_aside(home, ledger_now(), replaced, &why);
	if (rc == ERR_BUSY)
		return err_set(e, rc, "%s", why.message);
	/* The first reason is the one that helps. */
	return rc ? rc : books_open(c, out, e);
}

static int restore(const struct conf *c, const char *path, const struct backup_progress *progress)
{
	struct backup_restored done;
	struct backup whole;
	struct ledger *ledger = NULL;
	char aside[64];
	struct err e;
	enum err_code rc = backup_verify(path, progress, &whole, &e);

	if (rc) {
		end_progress(progress->ctx);
		return cli_fail(&e);
	}
	backup_fini(&whole);
	rc = open_store(c, &ledger, aside, &e);
	if (!rc)
		rc = backup_restore(
			ledger, path, ledger_now(), ledger_books_keep(c), progress, &done, &e);
	ledger_close(ledger);
	end_progress(progress->ctx);
	if (rc)
		return cli_fail(&e);
	printf("Restored: %" PRIu64 " requests, %" PRIu64 " credits, %" PRIu64
	       " accounts.\nWhat was replaced is in %s/%s.\n",
		done.requests, done.credits, done.accounts, conf_str(c, CONF_HOME),
		aside[0] ? aside : done.replaced);
	if (done.new_pepper)
		puts("The pepper is another one now: restart the gateway's programs, or they "
		     "recognise no key.");
	return CLI_OK;
}

int cli_restore(const struct conf *c, int argc, char **argv)
{
	bool only_check = false;
	const struct cli_option options[] = { { .name = "--check", .given = &only_check }, { 0 } };
	struct progress p = { .shows = isatty(STDERR_FILENO) == 1 };
	const struct backup_progress progress = { on_file, &p };
	const char *path[1];
	int rc = cli_options(restore_usage, options, argc, argv, path, 1);

	if (rc != CLI_GO_ON)
		return rc;
	if (!path[0])
		return cli_misuse("restore", "name the FILE to read");
	return only_check ? check(path[0], &progress) : restore(c, path[0], &progress);
}
