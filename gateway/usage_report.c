#include "gateway/usage_report.h"

#include "store/account.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define DAY_MS   INT64_C(86400000)
#define DAY_LAST INT64_C(2932896) /* 9999-12-31 */

const char *usage_by_name(enum usage_by by)
{
	static const char *const names[USAGE_BY_KINDS] = {
		[USAGE_BY_MODEL] = "model",
		[USAGE_BY_KEY] = "key",
		[USAGE_BY_DAY] = "day",
		[USAGE_BY_PROVIDER] = "provider",
		[USAGE_BY_USER] = "user",
		[USAGE_BY_ORG] = "org",
	};

	return names[by];
}

static uint64_t *member(struct usage_group *g, enum usage_by by)
{
	switch (by) {
	case USAGE_BY_MODEL:
		return &g->key.model;
	case USAGE_BY_KEY:
		return &g->key.key;
	case USAGE_BY_PROVIDER:
		return &g->key.provider;
	case USAGE_BY_USER:
		return &g->key.user;
	case USAGE_BY_ORG:
		return &g->key.org;
	default:
		return (uint64_t *)&g->day;
	}
}

uint64_t usage_group_number(const struct usage_group *g, enum usage_by by)
{
	struct usage_group copy = *g;

	return *member(&copy, by);
}

/* ---- adding up ---- */

static bool is_grouped(const struct usage_report *r, enum usage_by by)
{
	for (size_t i = 0; i < r->by_n; i++)
		if (r->by[i] == by)
			return true;
	return false;
}

enum err_code usage_report_init(
	struct usage_report *r, struct slice by, const char *param, struct err *e)
{
	struct slice rest = slice_trim(by);

	*r = (struct usage_report){ 0 };
	tally_init(&r->groups, sizeof(struct usage_group), sizeof(struct usage_row));
	while (rest.len) {
		struct slice word = slice_trim(slice_cut(&rest, ','));
		enum usage_by kind = 0;

		while (kind < USAGE_BY_KINDS && !slice_is(word, usage_by_name(kind)))
			kind++;
		if (kind == USAGE_BY_KINDS)
			return err_param(e, ERR_BAD_REQUEST, param,
				"%s: %.*s is not one of model, key, day, provider, user, org",
				param, SLICE_ARG(slice_first(word, 40)));
		if (is_grouped(r, kind))
			return err_param(e, ERR_BAD_REQUEST, param, "%s: %s stands there twice",
				param, usage_by_name(kind));
		r->by[r->by_n++] = kind;
	}
	return ERR_OK;
}

void usage_report_fini(struct usage_report *r)
{
	tally_fini(&r->groups);
	free(r->sorted);
	*r = (struct usage_report){ 0 };
}

static bool is_wanted(const struct usage_filter *f, const struct usage_key *key)
{
	return (!f->key || f->key == key->key) && (!f->user || f->user == key->user) &&
	       (!f->org || f->org == key->org) && (!f->personal || !key->org);
}

enum err_code usage_report_add(void *ctx, int64_t day, const struct usage_key *key,
	const struct usage_row *row, struct err *e)
{
	struct usage_report *r = ctx;
	struct usage_group from = { .day = day, .key = *key }, group = { 0 };
	struct usage_row *sum;
	bool fresh;

	if (!is_wanted(&r->only, key))
		return ERR_OK;
	usage_add(&r->total, row);
	if (!r->by_n)
		return ERR_OK;
	for (size_t i = 0; i < r->by_n; i++)
		*member(&group, r->by[i]) = *member(&from, r->by[i]);
	sum = tally_at(&r->groups, &group, &fresh);
	if (!sum)
		return err_set(e, ERR_NO_MEMORY, "no memory to add up the usage");
	usage_add(sum, row);
	return ERR_OK;
}

static int compare(const void *pa, const void *pb, void *ctx)
{
	const struct usage_group *a = *(const struct usage_group *const *)pa;
	const struct usage_group *b = *(const struct usage_group *const *)pb;
	const struct usage_row *ra = tally_find(ctx, a), *rb = tally_find(ctx, b);

	if (a->day != b->day)
		return a->day < b->day ? -1 : 1;
	if (ra->cost_microusd != rb->cost_microusd)
		return ra->cost_microusd > rb->cost_microusd ? -1 : 1;
	if (ra->requests != rb->requests)
		return ra->requests > rb->requests ? -1 : 1;
	return memcmp(a, b, sizeof(*a));
}

enum err_code usage_report_sort(struct usage_report *r, struct err *e)
{
	r->sorted = calloc(r->groups.n + 1, sizeof(*r->sorted));
	if (!r->sorted)
		return err_set(e, ERR_NO_MEMORY, "no memory to sort the usage");
	for (size_t i = 0; i < r->groups.n; i++)
		r->sorted[i] = tally_key(&r->groups, i);
	qsort_r(r->sorted, r->groups.n, sizeof(*r->sorted), compare, &r->groups);
	return ERR_OK;
}

/* ---- names and days ---- */

void usage_name_of(const struct usage_names *names, const struct usage_group *g, enum usage_by by,
	struct buf *id, struct buf *label)
{
	char day[USAGE_DAY_SIZE];

	if (by == USAGE_BY_DAY) {
		usage_day_write(g->day, day);
		buf_str(id, day);
	} else {
		names->find(names->ctx, by, usage_group_number(g, by), id, label);
	}
}

static bool read_date(struct slice text, int64_t *day)
{
	int64_t y, m, d;
	struct tm t = { 0 };
	time_t seconds;

	if (text.len != 10 || text.ptr[4] != '-' || text.ptr[7] != '-' ||
		!str_int(slice_first(text, 4), 1970, 9999, &y) ||
		!str_int(slice_first(slice_from(text, 5), 2), 1, 12, &m) ||
		!str_int(slice_from(text, 8), 1, 31, &d))
		return false;
	t.tm_year = (int)y - 1900;
	t.tm_mon = (int)m - 1;
	t.tm_mday = (int)d;
	seconds = timegm(&t);
	*day = seconds / 86400;
	return t.tm_mday == d; /* else there is no such day: timegm() went on into the next month */
}

enum err_code usage_day_read(
	struct slice text, const char *param, int64_t now_ms, int64_t *day, struct err *e)
{
	int64_t ms, today = account_day(now_ms), n;

	if (read_date(text, day))
		return ERR_OK;
	if (!str_duration(text, &ms))
		return err_param(e, ERR_BAD_REQUEST, param,
			"%s: a day such as 2026-11-01 or a duration such as 7d is asked, not %.*s",
			param, SLICE_ARG(slice_first(text, 40)));
	n = ms <= DAY_MS ? 1 : (ms - 1) / DAY_MS + 1;
	*day = n > today ? 0 : today - n + 1;
	return ERR_OK;
}

void usage_day_write(int64_t day, char out[USAGE_DAY_SIZE])
{
	time_t seconds;
	struct tm t;

	day = day < 0 ? 0 : day > DAY_LAST ? DAY_LAST : day;
	seconds = (time_t)(day * 86400);
	gmtime_r(&seconds, &t);
	strftime(out, USAGE_DAY_SIZE, "%Y-%m-%d", &t);
}

/* ---- figures ---- */

void usage_write_usd(int64_t microusd, struct buf *out)
{
	uint64_t n = microusd < 0 ? -(uint64_t)microusd : (uint64_t)microusd;
	char fraction[8];
	size_t len = 6;

	if (microusd < 0)
		buf_char(out, '-');
	buf_printf(out, "%llu", (unsigned long long)(n / 1000000));
	snprintf(fraction, sizeof(fraction), "%06u", (unsigned)(n % 1000000));
	while (len && fraction[len - 1] == '0')
		len--;
	if (len) {
		buf_char(out, '.');
		buf_append(out, fraction, len);
	}
}

/* part of all, to four decimals, half up. */
static void write_share(int64_t part, int64_t all, struct buf *out)
{
	int64_t n = all > 0 ? (int64_t)(((__int128)part * 20000 + all) / ((__int128)2 * all)) : 0;

	buf_printf(out, "%lld.%04lld", (long long)(n / 10000), (long long)(n % 10000));
}

struct column {
	const char *name;
	int64_t (*get)(const struct usage_row *u);
};

static int64_t get_requests(const struct usage_row *u)
{
	return u->requests;
}
static int64_t get_prompt(const struct usage_row *u)
{
	return u->tokens[RECORD_PROMPT];
}
static int64_t get_cached(const struct usage_row *u)
{
	return u->tokens[RECORD_CACHE_READ];
}
static int64_t get_written(const struct usage_row *u)
{
	return account_add(u->tokens[RECORD_CACHE_WRITE_5M], u->tokens[RECORD_CACHE_WRITE_1H]);
}
static int64_t get_completion(const struct usage_row *u)
{
	return u->tokens[RECORD_COMPLETION];
}
static int64_t get_reasoning(const struct usage_row *u)
{
	return u->tokens[RECORD_REASONING];
}
static int64_t get_hits(const struct usage_row *u)
{
	return u->cached;
}
static int64_t get_failed(const struct usage_row *u)
{
	return u->failed;
}
static int64_t get_estimated(const struct usage_row *u)
{
	return u->estimated;
}

static const struct column columns[] = {
	{ "requests", get_requests },
	{ "prompt_tokens", get_prompt },
	{ "cached_tokens", get_cached },
	{ "cache_write_tokens", get_written },
	{ "completion_tokens", get_completion },
	{ "reasoning_tokens", get_reasoning },
	{ "cache_hits", get_hits },
	{ "failed", get_failed },
	{ "estimated", get_estimated },
};

#define COLUMNS (sizeof(columns) / sizeof(columns[0]))

static void write_ttft(const struct usage_row *u, int percent, const char *none, struct buf *out)
{
	int64_t ms = usage_ttft_ms(u, percent);

	if (ms)
		buf_int(out, ms);
	else
		buf_str(out, none);
}

void usage_write_row(const struct usage_row *u, struct buf *out)
{
	for (size_t i = 0; i < COLUMNS; i++) {
		buf_printf(out, "\"%s\":", columns[i].name);
		buf_int(out, columns[i].get(u));
		buf_char(out, ',');
	}
	buf_str(out, "\"cost\":");
	usage_write_usd(u->cost_microusd, out);
	buf_str(out, ",\"upstream_cost\":");
	usage_write_usd(u->upstream_microusd, out);
	buf_str(out, ",\"ttft_p50_ms\":");
	write_ttft(u, 50, "null", out);
	buf_str(out, ",\"ttft_p99_ms\":");
	write_ttft(u, 99, "null", out);
	buf_str(out, ",\"error_rate\":");
	write_share(u->failed, u->requests, out);
	buf_str(out, ",\"estimated_share\":");
	write_share(u->estimated, u->requests, out);
}

/* ---- JSON ---- */

static void write_group(const struct usage_report *r, const struct usage_names *names,
	const struct usage_group *g, struct buf *out)
{
	for (size_t i = 0; i < r->by_n; i++) {
		struct buf id = { 0 }, label = { 0 };

		usage_name_of(names, g, r->by[i], &id, &label);
		buf_printf(out, "\"%s\":", usage_by_name(r->by[i]));
		if (id.len)
			buf_json_str(out, buf_slice(&id));
		else
			buf_str(out, "null");
		buf_char(out, ',');
		if (label.len) {
			buf_printf(out, "\"%s_name\":", usage_by_name(r->by[i]));
			buf_json_str(out, buf_slice(&label));
			buf_char(out, ',');
		}
		buf_fini(&id);
		buf_fini(&label);
	}
}

void usage_report_json(const struct usage_report *r, const struct usage_names *names,
	int64_t first_day, int64_t last_day, struct buf *out)
{
	char first[USAGE_DAY_SIZE], last[USAGE_DAY_SIZE];

	usage_day_write(first_day, first);
	usage_day_write(last_day, last);
	buf_printf(out, "{\"since\":\"%s\",\"until\":\"%s\",\"by\":[", first, last);
	for (size_t i = 0; i < r->by_n; i++)
		buf_printf(out, "%s\"%s\"", i ? "," : "", usage_by_name(r->by[i]));
	buf_str(out, "],\"data\":[");
	for (size_t i = 0; i < r->groups.n; i++) {
		buf_str(out, i ? ",{" : "{");
		write_group(r, names, r->sorted[i], out);
		usage_write_row(tally_find(&r->groups, r->sorted[i]), out);
		buf_char(out, '}');
	}
	buf_str(out, "],\"total\":{");
	usage_write_row(&r->total, out);
	buf_str(out, "}}\n");
}

/* ---- CSV ---- */

void usage_csv_text(struct slice text, struct buf *out)
{
	bool guard = text.len && memchr("=+-@\t\r", text.ptr[0], 6);
	bool quote = guard;

	for (size_t i = 0; i < text.len && !quote; i++)
		quote = memchr(",\"\r\n", text.ptr[i], 4) != NULL;
	if (!quote) {
		buf_slice_append(out, text);
		return;
	}
	buf_str(out, guard ? "\"'" : "\"");
	for (size_t i = 0; i < text.len; i++) {
		if (text.ptr[i] == '"')
			buf_char(out, '"');
		buf_char(out, text.ptr[i]);
	}
	buf_char(out, '"');
}

static bool has_labels(enum usage_by by)
{
	return by == USAGE_BY_KEY || by == USAGE_BY_USER || by == USAGE_BY_ORG;
}

static void csv_row(const struct usage_row *u, struct buf *out)
{
	for (size_t i = 0; i < COLUMNS; i++) {
		buf_int(out, columns[i].get(u));
		buf_char(out, ',');
	}
	usage_write_usd(u->cost_microusd, out);
	buf_char(out, ',');
	usage_write_usd(u->upstream_microusd, out);
	buf_char(out, ',');
	write_ttft(u, 50, "", out);
	buf_char(out, ',');
	write_ttft(u, 99, "", out);
	buf_char(out, ',');
	write_share(u->failed, u->requests, out);
	buf_char(out, ',');
	write_share(u->estimated, u->requests, out);
	buf_str(out, "\r\n");
}

void usage_report_csv(
	const struct usage_report *r, const struct usage_names *names, struct buf *out)
{
	for (size_t i = 0; i < r->by_n; i++) {
		buf_printf(out, "%s,", usage_by_name(r->by[i]));
		if (has_labels(r->by[i]))
			buf_printf(out, "%s_name,", usage_by_name(r->by[i]));
	}
	for (size_t i = 0; i < COLUMNS; i++)
		buf_printf(out, "%s,", columns[i].name);
	buf_str(out, "cost_usd,upstream_cost_usd,ttft_p50_ms,ttft_p99_ms,error_rate,"
		     "estimated_share\r\n");
	if (!r->by_n)
		csv_row(&r->total, out);
	for (size_t i = 0; i < r->groups.n; i++) {
		for (size_t k = 0; k < r->by_n; k++) {
			struct buf id = { 0 }, label = { 0 };

			usage_name_of(names, r->sorted[i], r->by[k], &id, &label);
			usage_csv_text(buf_slice(&id), out);
			buf_char(out, ',');
			if (has_labels(r->by[k])) {
				usage_csv_text(buf_slice(&label), out);
				buf_char(out, ',');
			}
			buf_fini(&id);
			buf_fini(&label);
		}
		csv_row(tally_find(&r->groups, r->sorted[i]), out);
	}
}
