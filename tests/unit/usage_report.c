#include "gateway/usage_report.h"
#include "handlers/cli/usage_table.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#define TODAY  INT64_C(20778) /* 2026-11-21 */
#define NOW_MS (TODAY * INT64_C(86400000) + 12345678)

static struct err err;

/* Models 1.. have names; 7 has one that a spreadsheet and a terminal would obey. */
static void find(void *ctx, enum usage_by by, uint64_t number, struct buf *id, struct buf *label)
{
	static const char *const models[] = { "", "anthropic/claude-sonnet-4.5", "openai/gpt-5.2",
		"demo/echo", "a\"b,c", "z", "y", "=cmd|'/C calc'!A0\033[2J" };

	(void)ctx;
	if (by == USAGE_BY_MODEL && number < 8)
		buf_str(id, models[number]);
	else if (number)
		buf_printf(id, "%s_%llu", usage_by_name(by), (unsigned long long)number);
	if (by == USAGE_BY_KEY && number)
		buf_str(label, "laptop of Ann");
}

static const struct usage_names names = { find, NULL };

static void add(struct usage_report *r, int64_t day, uint64_t key, uint64_t model, int64_t cost)
{
	struct usage_key k = { .key = key, .user = 2, .org = key == 9 ? 3 : 0, .model = model };
	struct record line = { .type = RECORD_SETTLE };
	struct usage_row row = { 0 };

	line.settle = (struct record_settle){ .cost_microusd = cost,
		.upstream_microusd = cost / 2,
		.tokens = { 1000, 600, 30, 4, 200, 50 },
		.ttft_ms = 300,
		.status = model == 3 ? 502 : 200,
		.usage_state = model == 2 ? RECORD_USAGE_ESTIMATED : RECORD_USAGE_REPORTED };
	usage_apply(&row, &line);
	assert_int_equal(usage_report_add(r, day, &k, &row, &err), ERR_OK);
}

static void begin(struct usage_report *r, const char *by)
{
	assert_int_equal(usage_report_init(r, slice_of(by), "--by", &err), ERR_OK);
}

static void fill(struct usage_report *r)
{
	add(r, TODAY - 1, 1, 1, 500000);
	add(r, TODAY, 1, 1, 700000);
	add(r, TODAY, 1, 2, 42);
	add(r, TODAY, 9, 2, 2000000);
	add(r, TODAY, 9, 3, 0);
	assert_int_equal(usage_report_sort(r, &err), ERR_OK);
}

static const struct usage_row *line(const struct usage_report *r, size_t i)
{
	assert_true(i < r->groups.n);
	return tally_find(&r->groups, r->sorted[i]);
}

static void what_is_not_grouped_by_is_summed_and_the_dearest_comes_first(void **state)
{
	struct usage_report r;

	(void)state;
	begin(&r, "model");
	fill(&r);
	assert_int_equal(r.groups.n, 3);
	assert_int_equal(r.sorted[0]->key.model, 2);
	assert_int_equal(line(&r, 0)->cost_microusd, 2000042);
	assert_int_equal(line(&r, 0)->requests, 2);
	assert_int_equal(line(&r, 1)->cost_microusd, 1200000);
	assert_int_equal(line(&r, 2)->failed, 1);
	assert_int_equal(r.total.cost_microusd, 3200042);
	assert_int_equal(r.total.requests, 5);
	usage_report_fini(&r);
}

static void days_come_in_order_whatever_they_cost(void **state)
{
	struct usage_report r;

	(void)state;
	begin(&r, "key, day");
	fill(&r);
	assert_int_equal(r.groups.n, 3);
	assert_int_equal(r.sorted[0]->day, TODAY - 1);
	assert_int_equal(r.sorted[1]->key.key, 9);
	assert_int_equal(r.sorted[2]->key.key, 1);
	usage_report_fini(&r);
}

static void a_filter_leaves_nothing_of_others(void **state)
{
	static const struct {
		const char *name;
		struct usage_filter only;
		int64_t cost;
	} rows[] = {
		{ "key", { .key = 1 }, 1200042 },
		{ "org", { .org = 3 }, 2000000 },
		{ "personal", { .user = 2, .personal = true }, 1200042 },
		{ "nobody", { .key = 77 }, 0 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct usage_report r;

		print_message("  %s\n", rows[i].name);
		begin(&r, "");
		r.only = rows[i].only;
		fill(&r);
		assert_int_equal(r.total.cost_microusd, rows[i].cost);
		usage_report_fini(&r);
	}
}

static void a_group_that_is_none_is_named(void **state)
{
	struct usage_report r;

	(void)state;
	assert_int_equal(
		usage_report_init(&r, SLICE("model,colour"), "--by", &err), ERR_BAD_REQUEST);
	assert_non_null(strstr(err.message, "colour"));
	assert_string_equal(err.param, "--by");
	usage_report_fini(&r);
	assert_int_equal(usage_report_init(&r, SLICE("day,day"), "by", &err), ERR_BAD_REQUEST);
	assert_non_null(strstr(err.message, "twice"));
	usage_report_fini(&r);
}

static void a_day_is_a_date_or_so_many_days_that_end_with_today(void **state)
{
	static const struct {
		const char *text;
		int64_t day; /* -1 = refused */
	} rows[] = {
		{ "2026-11-21", TODAY },
		{ "2026-11-01", TODAY - 20 },
		{ "2024-02-29", 19782 },
		{ "1970-01-01", 0 },
		{ "7d", TODAY - 6 },
		{ "1d", TODAY },
		{ "24h", TODAY },
		{ "25h", TODAY - 1 },
		{ "0", TODAY },
		{ "90000d", 0 },
		{ "2025-02-29", -1 },
		{ "2026-11-31", -1 },
		{ "2026-13-01", -1 },
		{ "2026-1-1", -1 },
		{ "1969-12-31", -1 },
		{ "yesterday", -1 },
		{ "", -1 },
		{ "-7d", -1 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		int64_t day = -1;

		print_message("  %s\n", rows[i].text);
		assert_int_equal(
			usage_day_read(slice_of(rows[i].text), "since", NOW_MS, &day, &err),
			rows[i].day < 0 ? ERR_BAD_REQUEST : ERR_OK);
		if (rows[i].day >= 0)
			assert_int_equal(day, rows[i].day);
		else
			assert_string_equal(err.param, "since");
	}
}

static void money_is_written_exactly(void **state)
{
	static const struct {
		int64_t microusd;
		const char *usd, *table;
	} rows[] = {
		{ 0, "0", "$0" },
		{ 1, "0.000001", "$0.000001" },
		{ 42, "0.000042", "$0.000042" },
		{ 12345, "0.012345", "$0.0123" },
		{ 999949, "0.999949", "$0.9999" },
		{ 999950, "0.99995", "$1.00" },
		{ 12500000, "12.5", "$12.50" },
		{ INT64_C(1234567890000), "1234567.89", "$1,234,567.89" },
		{ -1500000, "-1.5", "-$1.50" },
		{ INT64_MIN, "-9223372036854.775808", "-$9,223,372,036,854.78" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct buf text = { 0 };

		usage_write_usd(rows[i].microusd, &text);
		assert_string_equal(buf_cstr(&text), rows[i].usd);
		buf_reset(&text);
		usage_table_money(rows[i].microusd, &text);
		assert_string_equal(buf_cstr(&text), rows[i].table);
		buf_fini(&text);
	}
}

static void counts_fit_into_six_columns(void **state)
{
	static const struct {
		int64_t n;
		const char *text;
	} rows[] = { { 0, "0" }, { 999, "999" }, { 9999, "9,999" }, { 10000, "10.0k" },
		{ 99999, "99.9k" }, { 999999, "999k" }, { 1000000, "1.00M" }, { 1239999, "1.23M" },
		{ 45600000, "45.6M" }, { INT64_MAX, "9.22E" }, { -5, "0" } };

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct buf text = { 0 };

		usage_table_count(rows[i].n, &text);
		assert_string_equal(buf_cstr(&text), rows[i].text);
		buf_fini(&text);
	}
}

static size_t columns_of(const char *from, const char *end)
{
	size_t n = 0;

	for (; from < end; from++)
		n += ((unsigned char)*from & 0xc0) != 0x80;
	return n;
}

static void no_line_of_the_table_is_wider_than_the_terminal(void **state)
{
	static const char *const groupings[] = { "model", "model,key,day", "key", "day", "" };

	(void)state;
	for (size_t i = 0; i < sizeof(groupings) / sizeof(groupings[0]); i++) {
		struct usage_report r;
		struct buf text = { 0 };
		size_t width = 0;

		begin(&r, groupings[i]);
		/* Figures as wide as they get. */
		for (int k = 0; k < 40 && r.by_n < 2; k++)
			add(&r, TODAY, 1, 1, INT64_C(99999990000));
		for (int k = 0; k < 12; k++)
			add(&r, TODAY - k, 9, 7, 123456);
		fill(&r);
		usage_table(&r, &names, USAGE_TABLE_WIDTH, &text);
		assert_non_null(buf_cstr(&text));
		print_message("%s", text.data);
		for (char *p = text.data, *end; (end = strchr(p, '\n')); p = end + 1) {
			size_t n = columns_of(p, end);

			assert_true(n <= USAGE_TABLE_WIDTH);
			assert_true(width == 0 || n == width);
			width = n;
		}
		assert_null(strchr(text.data, '\033'));
		assert_non_null(strstr(text.data, "TOTAL"));
		buf_fini(&text);
		usage_report_fini(&r);
	}
}

static void csv_is_what_a_spreadsheet_opens_without_obeying_it(void **state)
{
	struct usage_report r;
	struct buf text = { 0 };

	(void)state;
	begin(&r, "model,key");
	add(&r, TODAY, 1, 4, 3);
	add(&r, TODAY, 1, 7, 2);
	add(&r, TODAY, 0, 3, 1);
	assert_int_equal(usage_report_sort(&r, &err), ERR_OK);
	usage_report_csv(&r, &names, &text);
	assert_string_equal(buf_cstr(&text),
		"model,key,key_name,requests,prompt_tokens,cached_tokens,cache_write_tokens,"
		"completion_tokens,reasoning_tokens,cache_hits,failed,estimated,cost_usd,"
		"upstream_cost_usd,ttft_p50_ms,ttft_p99_ms,error_rate,estimated_share\r\n"
		"\"a\"\"b,c\",key_1,laptop of Ann,1,1000,600,34,200,50,0,0,0,0.000003,0.000001,"
		"362,362,0.0000,0.0000\r\n"
		"\"'=cmd|'/C calc'!A0\033[2J\",key_1,laptop of Ann,1,1000,600,34,200,50,0,0,0,"
		"0.000002,0.000001,362,362,0.0000,0.0000\r\n"
		"demo/echo,,,1,1000,600,34,200,50,0,1,0,0.000001,0,362,362,1.0000,0.0000\r\n");
	buf_fini(&text);
	usage_report_fini(&r);
}

static void json_has_every_line_and_their_total(void **state)
{
	struct usage_report r;
	struct buf text = { 0 };

	(void)state;
	begin(&r, "day,key");
	add(&r, TODAY, 1, 1, 1500000);
	add(&r, TODAY, 0, 2, 0);
	assert_int_equal(usage_report_sort(&r, &err), ERR_OK);
	usage_report_json(&r, &names, TODAY - 6, TODAY, &text);
	assert_string_equal(buf_cstr(&text),
		"{\"since\":\"2026-11-15\",\"until\":\"2026-11-21\",\"by\":[\"day\",\"key\"],"
		"\"data\":["
		"{\"day\":\"2026-11-21\",\"key\":\"key_1\",\"key_name\":\"laptop of Ann\","
		"\"requests\":1,\"prompt_tokens\":1000,\"cached_tokens\":600,"
		"\"cache_write_tokens\":34,\"completion_tokens\":200,\"reasoning_tokens\":50,"
		"\"cache_hits\":0,\"failed\":0,\"estimated\":0,\"cost\":1.5,\"upstream_cost\":0.75,"
		"\"ttft_p50_ms\":362,\"ttft_p99_ms\":362,\"error_rate\":0.0000,"
		"\"estimated_share\":0.0000},"
		"{\"day\":\"2026-11-21\",\"key\":null,"
		"\"requests\":1,\"prompt_tokens\":1000,\"cached_tokens\":600,"
		"\"cache_write_tokens\":34,\"completion_tokens\":200,\"reasoning_tokens\":50,"
		"\"cache_hits\":0,\"failed\":0,\"estimated\":1,\"cost\":0,\"upstream_cost\":0,"
		"\"ttft_p50_ms\":362,\"ttft_p99_ms\":362,\"error_rate\":0.0000,"
		"\"estimated_share\":1.0000}],\"total\":{"
		"\"requests\":2,\"prompt_tokens\":2000,\"cached_tokens\":1200,"
		"\"cache_write_tokens\":68,\"completion_tokens\":400,\"reasoning_tokens\":100,"
		"\"cache_hits\":0,\"failed\":0,\"estimated\":1,\"cost\":1.5,\"upstream_cost\":0.75,"
		"\"ttft_p50_ms\":362,\"ttft_p99_ms\":362,\"error_rate\":0.0000,"
		"\"estimated_share\":0.5000}}\n");
	buf_fini(&text);
	usage_report_fini(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_not_grouped_by_is_summed_and_the_dearest_comes_first),
		cmocka_unit_test(days_come_in_order_whatever_they_cost),
		cmocka_unit_test(a_filter_leaves_nothing_of_others),
		cmocka_unit_test(a_group_that_is_none_is_named),
		cmocka_unit_test(a_day_is_a_date_or_so_many_days_that_end_with_today),
		cmocka_unit_test(money_is_written_exactly),
		cmocka_unit_test(counts_fit_into_six_columns),
		cmocka_unit_test(no_line_of_the_table_is_wider_than_the_terminal),
		cmocka_unit_test(csv_is_what_a_spreadsheet_opens_without_obeying_it),
		cmocka_unit_test(json_has_every_line_and_their_total),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
