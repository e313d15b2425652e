#include "handlers/cli/usage_table.h"

#include "handlers/cli/cli.h"
#include "store/account.h"

#include <stdio.h>
#include <stdlib.h>

#define NAME_MIN 16 /* columns that a cut name keeps at least */
#define CELL     24
#define GROUPS   USAGE_BY_KINDS

enum figure {
	REQS,
	PROMPT,
	CACHED,
	WRITE,
	OUTPUT,
	REASON,
	COST,
	TTFT50,
	TTFT99,
	ERRORS,
	EST,
	FIGURES
};

/* ---- figures ---- */

static void write_grouped(uint64_t n, struct buf *out)
{
	char digits[24];
	size_t len = (size_t)snprintf(digits, sizeof(digits), "%llu", (unsigned long long)n);

	for (size_t i = 0; i < len; i++) {
		if (i && (len - i) % 3 == 0)
			buf_char(out, ',');
		buf_char(out, digits[i]);
	}
}

void usage_table_count(int64_t n, struct buf *out)
{
	static const char units[] = "kMGTPE";
	uint64_t scale = 1000;
	size_t unit = 0;

	if (n < 10000) {
		write_grouped(n < 0 ? 0 : (uint64_t)n, out);
		return;
	}
	/* Rounded down, so that 999,999 does not become 1000k. */
	while ((uint64_t)n / scale >= 1000) {
		scale *= 1000;
		unit++;
	}
	uint64_t whole = (uint64_t)n / scale, rest = (uint64_t)n % scale / (scale / 1000);

	if (whole < 10)
		buf_printf(out, "%u.%02u%c", (unsigned)whole, (unsigned)rest / 10, units[unit]);
	else if (whole < 100)
		buf_printf(out, "%u.%01u%c", (unsigned)whole, (unsigned)rest / 100, units[unit]);
	else
		buf_printf(out, "%u%c", (unsigned)whole, units[unit]);
}

void usage_table_money(int64_t microusd, struct buf *out)
{
	uint64_t n = microusd < 0 ? -(uint64_t)microusd : (uint64_t)microusd;

	buf_str(out, microusd < 0 ? "-$" : "$");
	if (n == 0) {
		buf_char(out, '0');
	} else if (n < 10000) {
		buf_printf(out, "0.%06u", (unsigned)n);
	} else if (n < 1000000 - 50) {
		buf_printf(out, "0.%04u", (unsigned)((n + 50) / 100));
	} else {
		n = n / 10000 + (n % 10000 >= 5000);
		write_grouped(n / 100, out);
		buf_printf(out, ".%02u", (unsigned)(n % 100));
	}
}

static void write_ms(int64_t ms, struct buf *out)
{
	if (!ms)
		buf_char(out, '-');
	else if (ms < 1000)
		buf_printf(out, "%dms", (int)ms);
	else if (ms < 100000)
		buf_printf(out, "%d.%ds", (int)(ms / 1000), (int)(ms % 1000 / 100));
	else
		buf_printf(out, "%llds", (long long)(ms / 1000));
}

static void write_percent(int64_t part, int64_t all, struct buf *out)
{
	int64_t tenths =
		all > 0 ? (int64_t)(((__int128)part * 2000 + all) / ((__int128)all * 2)) : 0;

	if (!part)
		buf_char(out, '-');
	else if (tenths >= 1000)
		buf_str(out, "100%");
	else
		buf_printf(out, "%d.%d%%", (int)(tenths / 10), (int)(tenths % 10));
}

static const char *const heads[FIGURES] = { "REQS", "PROMPT", "CACHED", "WRITE", "OUTPUT", "REASON",
	"COST", "TTFT50", "TTFT99", "ERR", "EST" };

struct cells {
	char text[FIGURES][CELL];
};

static void write_figure(const struct usage_row *u, unsigned which, struct buf *out)
{
	switch (which) {
	case REQS:
		usage_table_count(u->requests, out);
		break;
	case PROMPT:
		usage_table_count(u->tokens[RECORD_PROMPT], out);
		break;
	case CACHED:
		usage_table_count(u->tokens[RECORD_CACHE_READ], out);
		break;
	case WRITE:
		usage_table_count(account_add(u->tokens[RECORD_CACHE_WRITE_5M],
					  u->tokens[RECORD_CACHE_WRITE_1H]),
			out);
		break;
	case OUTPUT:
		usage_table_count(u->tokens[RECORD_COMPLETION], out);
		break;
	case REASON:
		usage_table_count(u->tokens[RECORD_REASONING], out);
		break;
	case COST:
		usage_table_money(u->cost_microusd, out);
		break;
	case TTFT50:
		write_ms(usage_ttft_ms(u, 50), out);
		break;
	case TTFT99:
		write_ms(usage_ttft_ms(u, 99), out);
		break;
	case ERRORS:
		write_percent(u->failed, u->requests, out);
		break;
	default:
		write_percent(u->estimated, u->requests, out);
		break;
	}
}

static void write_cells(const struct usage_row *u, struct cells *c)
{
	for (unsigned i = 0; i < FIGURES; i++) {
		struct buf text = { .max_bytes = CELL - 1 };

		write_figure(u, i, &text);
		snprintf(c->text[i], CELL, "%.*s", SLICE_ARG(buf_slice(&text)));
		buf_fini(&text);
	}
}

/* ---- names ---- */

static size_t columns_of(const char *text)
{
	size_t n = 0;

	for (; *text; text++)
		n += ((unsigned char)*text & 0xc0) != 0x80;
	return n;
}

/* What a person wants to read: of keys id and name, of organisations the short name. Gives. */
static char *shown(const struct usage_names *names, const struct usage_group *g, enum usage_by by)
{
	struct buf id = { 0 }, label = { 0 };
	char *text = NULL;

	usage_name_of(names, g, by, &id, &label);
	if (by == USAGE_BY_KEY && label.len && id.len) {
		buf_char(&id, ' ');
		buf_slice_append(&id, buf_slice(&label));
	}
	if (!id.len)
		buf_char(&id, '-');
	text = strdup(by != USAGE_BY_KEY && label.len ? buf_cstr(&label) : buf_cstr(&id));
	if (text)
		cli_tame(text);
	buf_fini(&id);
	buf_fini(&label);
	return text;
}

/* Appends text in so many columns, cut with an ellipsis. */
static void write_name(const char *text, size_t width, struct buf *out)
{
	size_t n = columns_of(text), used = 0;

	if (n <= width) {
		buf_str(out, text);
		for (; n < width; n++)
			buf_char(out, ' ');
		return;
	}
	for (; *text; text++) {
		used += ((unsigned char)*text & 0xc0) != 0x80;
		if (used == width)
			break;
		buf_char(out, *text);
	}
	buf_str(out, "\xe2\x80\xa6");
}

/* ---- the table ---- */

struct table {
	const struct usage_report *r;
	size_t lines;
	char **names;        /* lines x by_n */
	struct cells *cells; /* lines, and the total */
	size_t name_width[GROUPS];
	size_t figure_width[FIGURES]; /* 0 = not shown */
	size_t gap;
};

/* Columns that give way to readable names, the first one first. */
static const unsigned hides[] = { REASON, WRITE, EST, CACHED, TTFT50 };

static size_t figures_width(const struct table *t)
{
	size_t n = 0;

	for (unsigned f = 0; f < FIGURES; f++)
		n += t->figure_width[f] ? t->figure_width[f] + t->gap : 0;
	return n;
}

/* The columns that names take; with cut, when as much is cut of them as may be. */
static size_t names_width(const struct table *t, bool cut)
{
	size_t n = t->r->by_n ? (t->r->by_n - 1) * t->gap : strlen("TOTAL");

	for (size_t k = 0; k < t->r->by_n; k++)
		n += cut && t->r->by[k] != USAGE_BY_DAY && t->name_width[k] > NAME_MIN
			     ? NAME_MIN
			     : t->name_width[k];
	return n;
}

static void measure(struct table *t)
{
	for (unsigned f = 0; f < FIGURES; f++) {
		t->figure_width[f] = strlen(heads[f]);
		for (size_t i = 0; i <= t->lines; i++)
			if (strlen(t->cells[i].text[f]) > t->figure_width[f])
				t->figure_width[f] = strlen(t->cells[i].text[f]);
	}
	for (size_t k = 0; k < t->r->by_n; k++) {
		t->name_width[k] = strlen("TOTAL");
		for (size_t i = 0; i < t->lines; i++) {
			size_t n = columns_of(t->names[i * t->r->by_n + k]);

			if (n > t->name_width[k])
				t->name_width[k] = n;
		}
	}
}

static void fit(struct table *t, size_t width)
{
	t->gap = 2;
	if (!width || names_width(t, false) + figures_width(t) <= width)
		return;
	t->gap = 1;
	for (size_t i = 0; i < sizeof(hides) / sizeof(hides[0]); i++)
		if (names_width(t, true) + figures_width(t) > width)
			t->figure_width[hides[i]] = 0;
	/* The widest name gives way first. */
	while (names_width(t, false) + figures_width(t) > width) {
		size_t widest = t->r->by_n;

		for (size_t k = 0; k < t->r->by_n; k++)
			if (t->r->by[k] != USAGE_BY_DAY && t->name_width[k] > NAME_MIN &&
				(widest == t->r->by_n || t->name_width[k] > t->name_width[widest]))
				widest = k;
		if (widest == t->r->by_n)
			break;
		t->name_width[widest]--;
	}
}

static void write_figures(const struct table *t, const struct cells *c, struct buf *out)
{
	for (unsigned f = 0; f < FIGURES; f++)
		if (t->figure_width[f])
			buf_printf(out, "%*s%*s", (int)t->gap, "", (int)t->figure_width[f],
				c ? c->text[f] : heads[f]);
	buf_char(out, '\n');
}

/* The names of a line; without a line those of the columns, or "TOTAL". */
static void write_names(const struct table *t, char **names, const char *total, struct buf *out)
{
	if (!t->r->by_n)
		write_name(total ? total : "", strlen("TOTAL"), out);
	for (size_t k = 0; k < t->r->by_n; k++) {
		char head[16];
		size_t n = 0;

		for (const char *s = usage_by_name(t->r->by[k]); *s; s++)
			head[n++] = (char)(*s - 'a' + 'A');
		head[n] = '\0';
		if (k)
			buf_printf(out, "%*s", (int)t->gap, "");
		write_name(names    ? names[k]
			   : !total ? head
			   : k      ? ""
				    : total,
			t->name_width[k], out);
	}
}

static void write_table(const struct table *t, struct buf *out)
{
	buf_str(out, cli_style(CLI_DIM));
	write_names(t, NULL, NULL, out);
	write_figures(t, NULL, out);
	buf_str(out, cli_style(CLI_PLAIN));
	for (size_t i = 0; i < t->lines; i++) {
		write_names(t, t->names + i * t->r->by_n, NULL, out);
		write_figures(t, &t->cells[i], out);
	}
	buf_str(out, cli_style(CLI_BOLD));
	write_names(t, NULL, "TOTAL", out);
	write_figures(t, &t->cells[t->lines], out);
	buf_str(out, cli_style(CLI_PLAIN));
}

void usage_table(const struct usage_report *r, const struct usage_names *names, unsigned width,
	struct buf *out)
{
	struct table t = { .r = r, .lines = r->groups.n };
	bool good;

	t.names = calloc(t.lines * r->by_n + 1, sizeof(*t.names));
	t.cells = calloc(t.lines + 1, sizeof(*t.cells));
	good = t.names && t.cells;
	for (size_t i = 0; i < t.lines && good; i++) {
		for (size_t k = 0; k < r->by_n && good; k++) {
			char *name = shown(names, r->sorted[i], r->by[k]);

			t.names[i * r->by_n + k] = name;
			good = name != NULL;
		}
		write_cells(tally_find(&r->groups, r->sorted[i]), &t.cells[i]);
	}
	if (good) {
		write_cells(&r->total, &t.cells[t.lines]);
		measure(&t);
		fit(&t, width);
		write_table(&t, out);
	} else {
		out->failed = true;
	}
	for (size_t i = 0; t.names && i < t.lines * r->by_n; i++)
		free(t.names[i]);
	free(t.names);
	free(t.cells);
}
