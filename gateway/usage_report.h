/* gateway/usage_report.h - rows of usage, grouped and summed up, for people and for programs.
 *
 * Rows come from ledger_usage(); what is not grouped by is summed. Lines are sorted by day, then
 * the dearest first. Pure but for what the names ask for.
 *
 * Memory: one line for each group, in a tally. usage_report_fini() frees.
 * Threads: one at a time.
 */
#ifndef GATEWAY_USAGE_REPORT_H
#define GATEWAY_USAGE_REPORT_H

#include "base/buf.h"
#include "store/tally.h"
#include "store/usage.h"

enum usage_by {
	USAGE_BY_MODEL,
	USAGE_BY_KEY,
	USAGE_BY_DAY,
	USAGE_BY_PROVIDER,
	USAGE_BY_USER,
	USAGE_BY_ORG,
	USAGE_BY_KINDS
};

struct usage_group {
	int64_t day;
	struct usage_key key; /* members that are not grouped by are 0 */
};

struct usage_filter {
	uint64_t key, user, org; /* 0 = any */
	bool personal;           /* only what belongs to no organisation */
};

struct usage_report {
	enum usage_by by[USAGE_BY_KINDS];
	size_t by_n; /* may be 0: then there is the total alone */
	struct usage_filter only;
	struct tally groups; /* struct usage_group -> struct usage_row */
	const struct usage_group **sorted;
	struct usage_row total;
};

/* by: names of groups separated by commas ("model,key,day"), each once; may be empty.
 * ERR_BAD_REQUEST naming param and the wrong word. */
MUST_CHECK enum err_code usage_report_init(
	struct usage_report *r, struct slice by, const char *param, struct err *e);
void usage_report_fini(struct usage_report *r);

/* Adds a row; the form of ledger_on_usage, ctx being the report. ERR_NO_MEMORY. */
MUST_CHECK enum err_code usage_report_add(void *ctx, int64_t day, const struct usage_key *key,
	const struct usage_row *row, struct err *e);

/* Sorts, after the last row. ERR_NO_MEMORY. */
MUST_CHECK enum err_code usage_report_sort(struct usage_report *r, struct err *e);

/* "model", "key", … */
const char *usage_by_name(enum usage_by by);

/* The number of group's member; for days the day. */
uint64_t usage_group_number(const struct usage_group *g, enum usage_by by);

/* How numbers are shown. id is what programs use, label (may stay empty) what people call it. */
struct usage_names {
	void (*find)(
		void *ctx, enum usage_by by, uint64_t number, struct buf *id, struct buf *label);
	void *ctx;
};

/* Writes both for any member, days too, of which id is "2026-11-21". */
void usage_name_of(const struct usage_names *names, const struct usage_group *g, enum usage_by by,
	struct buf *id, struct buf *label);

/* ---- days ---- */

/* Reads "2026-11-01", or a duration: "7d" and "24h" are the 7 days and the one day that end
 * with today. ERR_BAD_REQUEST naming param. */
MUST_CHECK enum err_code usage_day_read(
	struct slice text, const char *param, int64_t now_ms, int64_t *day, struct err *e);

/* "2026-11-21" */
#define USAGE_DAY_SIZE 16
void usage_day_write(int64_t day, char out[USAGE_DAY_SIZE]);

/* ---- writing ---- */

/* Microdollars as USD, exact: "0.000123", "12.5", "-1". */
void usage_write_usd(int64_t microusd, struct buf *out);

/* Members of a JSON object without braces: requests, tokens, cost, times, rates. */
void usage_write_row(const struct usage_row *u, struct buf *out);

/* {"since":day,"until":day,"by":[…],"data":[…],"total":{…}} */
void usage_report_json(const struct usage_report *r, const struct usage_names *names,
	int64_t first_day, int64_t last_day, struct buf *out);

/* RFC 4180 with a header line; texts that a spreadsheet would take for a formula begin with an
 * apostrophe. The total is left out: it would be summed up again. */
void usage_report_csv(
	const struct usage_report *r, const struct usage_names *names, struct buf *out);

/* Appends one field of RFC 4180, guarded as above. */
void usage_csv_text(struct slice text, struct buf *out);

#endif
