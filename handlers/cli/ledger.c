/* tollgate ledger: prove the books, rebuild them, write them out. */
#include "base/clock.h"
#include "handlers/cli/cli.h"
#include "handlers/cli/ledger_export.h"
#include "handlers/cli/usage_table.h"
#include "store/fold.h"
#include "store/verify.h"

#include <inttypes.h>
#include <stdio.h>

static const char usage[] =
	"Usage: tollgate ledger status\n"
	"       tollgate ledger verify\n"
	"       tollgate ledger replay\n"
	"       tollgate ledger export [--since WHEN] [--format jsonl|csv]\n"
	"\n"
	"status   what the store holds, and whether something is wrong with it\n"
	"verify   proves that journal, checkpoints and the table in memory agree, and shows every\n"
	"         open reservation; fails when they do not agree\n"
	"replay   makes checkpoints and table anew from the journal, all of which must be kept\n"
	"         (GATEWAY_JOURNAL_KEEP); the old files stay beside as NAME.replaced\n"
	"export   one line for each request and each credit that the journal still has\n"
	"         --since WHEN  only from this day (UTC) on: 2026-11-01, or 7d\n"
	"         --format      jsonl (default) or csv\n";

static int misuse(const char *what)
{
	fprintf(stderr, "tollgate ledger: %s\nTry: tollgate ledger --help\n", what);
	return CLI_USAGE;
}

static void print_row(const char *name, struct buf *value)
{
	printf("%-24s %.*s\n", name, SLICE_ARG(buf_slice(value)));
	buf_reset(value);
}

static void print_count(const char *name, uint64_t n)
{
	printf("%-24s %" PRIu64 "\n", name, n);
}

static void print_money(const char *name, int64_t microusd)
{
	struct buf text = { 0 };

	usage_table_money(microusd, &text);
	print_row(name, &text);
	buf_fini(&text);
}

/* ---- status ---- */

static void print_troubles(uint64_t trouble)
{
	static const struct {
		uint64_t bit;
		const char *text;
	} troubles[] = {
		{ HOT_NO_SPACE, "the disk is full: no new requests are admitted" },
		{ HOT_SYNC_FAILED, "the disk did not take what was written: no new requests are "
				   "admitted until the books are folded" },
		{ HOT_BAD_JOURNAL, "a damaged line stands in the journal; the next fold skips it" },
	};

	for (size_t i = 0; i < sizeof(troubles) / sizeof(troubles[0]); i++)
		if (trouble & troubles[i].bit)
			printf("%-24s %s%s%s\n", "TROUBLE", cli_style(CLI_RED), troubles[i].text,
				cli_style(CLI_PLAIN));
}

static int status(struct ledger_books *b)
{
	struct ledger_status s;
	struct err e;
	int64_t since_ms;

	if (ledger_status(b->ledger, &s, &e))
		return cli_fail(&e);
	print_count("current segment", s.segment);
	print_count("  bytes in it", s.segment_bytes);
	print_count("  bytes it may grow to", s.room_bytes);
	print_count("folded up to segment", s.folded_segment);
	printf("%-24s %" PRIu64 " of %" PRIu64 "\n", "accounts", s.accounts, s.accounts_max);
	printf("%-24s %" PRIu64 " of %" PRIu64 "\n", "open reservations", s.leases, s.leases_max);
	since_ms = ledger_now().mono_ms - s.last_fold_ms;
	printf("%-24s %" PRId64 " s ago, took %" PRId64 " ms\n", "last fold",
		since_ms > 0 ? since_ms / 1000 : 0, s.fold_took_ms);
	print_count("folds", s.folds);
	print_count("tables rebuilt", s.rebuilds);
	print_count("processes that died", s.owners_died);
	print_count("  half changes undone", s.undone);
	print_count("reservations reaped", s.reaped);
	print_count("requests settled late", s.late);
	print_count("refused for full tables", s.full);
	print_count("damaged bytes skipped", s.skipped_bytes);
	print_troubles(s.trouble);
	return s.trouble ? CLI_FAILED : CLI_OK;
}

/* ---- verify ---- */

static void on_difference(void *ctx, const char *text)
{
	(void)ctx;
	printf("%sDIFFERS%s  %s\n", cli_style(CLI_RED), cli_style(CLI_PLAIN), text);
}

static enum err_code on_lease(void *ctx, const struct verify_lease *lease, struct err *e)
{
	struct ledger_books *b = ctx;
	struct buf line = { .max_bytes = 4096 };

	(void)e;
	buf_printf(&line, "%sreservation %016" PRIx64 "%s  ", cli_style(CLI_DIM), lease->id,
		cli_style(CLI_PLAIN));
	usage_table_money(lease->microusd, &line);
	buf_str(&line, ", ");
	usage_table_count(lease->tokens, &line);
	buf_printf(&line, " tokens, process %" PRIu64 " (%s), ", lease->pid,
		lease->owner_is_alive ? "alive" : "gone");
	if (lease->is_settling)
		buf_str(&line, "being settled");
	else if (lease->left_ms < 0)
		buf_str(&line, "overdue");
	else
		buf_printf(&line, "%" PRId64 " s left", lease->left_ms / 1000);
	for (size_t i = 0; i < LEDGER_SUBJECTS; i++)
		if (lease->subjects[i]) {
			buf_str(&line, ", ");
			ledger_books_subject(b, lease->subjects[i], &line);
		}
	printf("%.*s\n", SLICE_ARG(buf_slice(&line)));
	buf_fini(&line);
	return ERR_OK;
}

static int verify(struct ledger_books *b)
{
	struct verify_report report;
	struct err e;

	if (verify_run(b->ledger, ledger_now(), on_difference, NULL, &report, &e) ||
		verify_leases(b->ledger, ledger_now(), on_lease, b, &e))
		return cli_fail(&e);
	print_count("requests", report.settles);
	print_money("  their cost", report.cost_microusd);
	print_count("credits", report.credits);
	print_money("  their sum", report.credited_microusd);
	print_count("accounts", report.accounts);
	print_count("lines not yet folded", report.unfolded);
	print_count("open reservations", report.leases);
	if (report.skipped_bytes)
		print_count("damaged bytes skipped", report.skipped_bytes);
	if (report.differences) {
		printf("%sThe books do not agree: %" PRIu64 " differences.%s\n", cli_style(CLI_RED),
			report.differences, cli_style(CLI_PLAIN));
		return CLI_FAILED;
	}
	printf("%sThe books agree.%s\n", cli_style(CLI_GREEN), cli_style(CLI_PLAIN));
	return CLI_OK;
}

/* ---- replay ---- */

static int replay(struct ledger_books *b)
{
	struct verify_report report;
	struct err e;

	if (fold_replay(b->ledger, ledger_now(), &e) ||
		verify_run(b->ledger, ledger_now(), on_difference, NULL, &report, &e))
		return cli_fail(&e);
	printf("The books were made anew from the journal: %" PRIu64 " requests, %" PRIu64
	       " credits, %" PRIu64 " accounts. The old files end in .replaced.\n",
		report.settles, report.credits, report.accounts);
	return report.differences ? CLI_FAILED : CLI_OK;
}

/* ---- export ---- */

struct exporter {
	struct ledger_books *books;
	enum ledger_export_format format;
	int64_t since_ms;
	struct buf line;
};

static enum err_code print_line(struct exporter *x, struct err *e)
{
	enum err_code rc = ERR_OK;

	if (!buf_ok(&x->line) ||
		(x->line.len && fwrite(x->line.data, 1, x->line.len, stdout) != x->line.len))
		rc = err_set(e, ERR_IO, "the export could not be written");
	buf_reset(&x->line);
	return rc;
}

static enum err_code on_record(void *ctx, const struct record *r, struct err *e)
{
	struct exporter *x = ctx;

	if (r->wall_ms < x->since_ms)
		return ERR_OK;
	ledger_export_record(x->books, r, x->format, &x->line);
	return print_line(x, e);
}

static int export(struct ledger_books *b, const char *format, int64_t since_day)
{
	struct exporter x = { .books = b,
		.format = format[0] == 'c' ? LEDGER_EXPORT_CSV : LEDGER_EXPORT_JSONL,
		.since_ms = since_day * INT64_C(86400000),
		.line = { .max_bytes = 65536 } };
	struct err e;
	enum err_code rc;

	ledger_export_head(x.format, &x.line);
	rc = print_line(&x, &e);
	if (!rc)
		rc = verify_export(b->ledger, on_record, &x, &e);
	buf_fini(&x.line);
	return rc ? cli_fail(&e) : CLI_OK;
}

int cli_ledger(const struct conf *c, int argc, char **argv)
{
	const char *since = NULL, *format = NULL, *operands[1];
	const struct cli_option options[] = { { .name = "--since", .value = &since },
		{ .name = "--format", .value = &format }, { 0 } };
	int rc = cli_options(usage, options, argc, argv, operands, 1);
	enum { STATUS, VERIFY, REPLAY, EXPORT, VERBS } verb;
	static const char *const verbs[] = { "status", "verify", "replay", "export" };
	struct ledger_books b;
	int64_t since_day = 0;
	struct err e;

	if (rc != CLI_GO_ON)
		return rc;
	if (!operands[0])
		return misuse("say what to do: status, verify, replay or export");
	for (verb = STATUS; verb < VERBS; verb++)
		if (strcmp(operands[0], verbs[verb]) == 0)
			break;
	if (verb == VERBS) {
		fprintf(stderr, "tollgate ledger: unknown command %s\n", operands[0]);
		return misuse("it is one of status, verify, replay, export");
	}
	if (verb != EXPORT && (since || format))
		return misuse("--since and --format go with export alone");
	if (format && strcmp(format, "jsonl") != 0 && strcmp(format, "csv") != 0)
		return misuse("--format is jsonl or csv");
	if (since && usage_day_read(slice_of(since), "--since", clock_wall_ms(), &since_day, &e))
		return misuse(e.message);
	if (ledger_books_open(&b, c, &e))
		return cli_fail(&e);
	rc = verb == STATUS   ? status(&b)
	     : verb == VERIFY ? verify(&b)
	     : verb == REPLAY ? replay(&b)
			      : export(&b, format ? format : "jsonl", since_day);
	ledger_books_close(&b);
	return rc;
}
