/* tollgate usage: what was used, by whom, and what it cost. */
#include "handlers/cli/ledger_books.h"

#include "base/clock.h"
#include "handlers/cli/cli.h"
#include "handlers/cli/usage_table.h"

#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define OUTPUT_MAX ((size_t)256 << 20)

static const char usage[] =
	"Usage: tollgate usage [--by GROUPS] [--since WHEN] [--until WHEN]\n"
	"                      [--key ID|NAME] [--format table|csv|json]\n"
	"\n"
	"Sums up what was used. Days are UTC.\n"
	"\n"
	"  --by GROUPS    one or more of model, key, day, provider, user, org,\n"
	"                 separated by commas (default: model)\n"
	"  --since WHEN   the first day: 2026-11-01, or 7d for the 7 days that end with today\n"
	"                 (default: 30d)\n"
	"  --until WHEN   the last day, in the same forms (default: today)\n"
	"  --key ID|NAME  only what this key used\n"
	"  --format       table (default), csv or json; csv and json have exact figures\n"
	"\n"
	"The columns of the table: requests; tokens of the prompt, of it read from and written to\n"
	"the provider's cache; tokens of the output, of it reasoning; cost; time to the first "
	"token\n"
	"that half and 99 of 100 requests stayed below; share of failed requests; share of "
	"requests\n"
	"whose figures are estimated in part or whole, because the provider did not report them.\n"
	"With several groups a narrow terminal leaves some of them out; csv and json have all.\n";

static int misuse(const struct err *e)
{
	fprintf(stderr, "tollgate usage: %s\nTry: tollgate usage --help\n", e->message);
	return CLI_USAGE;
}

static unsigned width(void)
{
	struct winsize size;

	if (!isatty(STDOUT_FILENO))
		return 0;
	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > USAGE_TABLE_WIDTH)
		return size.ws_col;
	return USAGE_TABLE_WIDTH;
}

static int print(const struct usage_report *r, struct ledger_books *b, const char *format,
	int64_t first, int64_t last)
{
	struct usage_names names = ledger_books_names(b);
	struct buf out = { .max_bytes = OUTPUT_MAX };
	bool good;

	if (format[0] == 'j')
		usage_report_json(r, &names, first, last, &out);
	else if (format[0] == 'c')
		usage_report_csv(r, &names, &out);
	else if (!r->total.requests)
		buf_str(&out, "Nothing was used in these days.\n");
	else
		usage_table(r, &names, width(), &out);
	good = buf_ok(&out) && fwrite(out.data, 1, out.len, stdout) == out.len;
	if (!good)
		fputs("tollgate usage: the report could not be written\n", stderr);
	buf_fini(&out);
	return good ? CLI_OK : CLI_FAILED;
}

/* The number of the key with this id, or else the only one with this name. */
static enum err_code find_key(
	struct ledger_books *b, const char *which, uint64_t *number, struct err *e)
{
	struct key_info info;
	enum err_code rc = ledger_books_key(b, which, &info, e);

	if (!rc)
		*number = people_number(slice_of(info.id));
	return rc;
}

static int report(const struct conf *c, struct usage_report *r, const char *key, const char *format,
	int64_t first, int64_t last)
{
	struct ledger_books b;
	struct err e;
	int code = CLI_FAILED;

	if (ledger_books_open(&b, c, &e))
		return cli_fail(&e);
	if ((key && find_key(&b, key, &r->only.key, &e)) ||
		ledger_usage(b.ledger, first, last, usage_report_add, r, &e) ||
		usage_report_sort(r, &e))
		cli_fail(&e);
	else
		code = print(r, &b, format, first, last);
	ledger_books_close(&b);
	return code;
}

int cli_usage(const struct conf *c, int argc, char **argv)
{
	const char *by = "model", *since = "30d", *until = "1d", *key = NULL, *format = "table";
	const char *operands[1];
	const struct cli_option options[] = { { .name = "--by", .value = &by },
		{ .name = "--since", .value = &since }, { .name = "--until", .value = &until },
		{ .name = "--key", .value = &key }, { .name = "--format", .value = &format },
		{ 0 } };
	int rc = cli_options(usage, options, argc, argv, operands, 0);
	int64_t now_ms = clock_wall_ms(), first, last;
	struct usage_report r;
	struct err e;

	if (rc != CLI_GO_ON)
		return rc;
	if (strcmp(format, "table") != 0 && strcmp(format, "csv") != 0 &&
		strcmp(format, "json") != 0) {
		(void)!err_set(
			&e, ERR_BAD_REQUEST, "--format is table, csv or json, not %s", format);
		return misuse(&e);
	}
	if (usage_day_read(slice_of(since), "--since", now_ms, &first, &e) ||
		usage_day_read(slice_of(until), "--until", now_ms, &last, &e))
		return misuse(&e);
	if (last < first) {
		(void)!err_set(&e, ERR_BAD_REQUEST, "--until is before --since");
		return misuse(&e);
	}
	rc = CLI_USAGE;
	if (usage_report_init(&r, slice_of(by), "--by", &e))
		misuse(&e);
	else
		rc = report(c, &r, key, format, first, last);
	usage_report_fini(&r);
	return rc;
}
