#include "handlers/cli/cache_list.h"

#include "base/clock.h"
#include "base/crypto.h"
#include "handlers/cli/amount.h"
#include "handlers/cli/json_out.h"
#include "handlers/cli/table.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define SHOWN_BYTES 8 /* of a key, in the table */
#define SPAN_SIZE   24

enum err_code cache_prefix_read(
	const char *text, const char *what, struct cache_prefix *out, struct err *e)
{
	struct slice digits = slice_of(text);

	if (!digits.len || digits.len % 2 || digits.len > 2 * sizeof(out->hash) ||
		!crypto_unhex(digits, out->hash, digits.len / 2))
		return err_param(e, ERR_BAD_REQUEST, what,
			"%s is the beginning of a key: 2 to 64 hexadecimal digits, an even number",
			what);
	out->bytes = digits.len / 2;
	return ERR_OK;
}

/* What a list shows of an answer. */
struct row {
	struct cache_key key;
	int64_t made_ms, expires_ms, saved_microusd;
	size_t bytes;
	enum cache_form form;
	uint32_t prompt_tokens, completion_tokens;
	char model[CACHE_MODEL_MAX], provider[CACHE_SLUG_MAX], finish_reason[CACHE_FINISH_MAX];
};

static struct row row_of(const struct cache_key *key, const struct cache_entry *e)
{
	struct row r = { *key, e->made_ms, e->expires_ms, e->saved_microusd,
		e->body.len + e->usage.len, e->form, e->prompt_tokens, e->completion_tokens, "", "",
		"" };

	memcpy(r.model, e->model, sizeof(r.model));
	memcpy(r.provider, e->provider, sizeof(r.provider));
	memcpy(r.finish_reason, e->finish_reason, sizeof(r.finish_reason));
	return r;
}

static void write_json(struct buf *out, const struct row *r, int64_t now_ms)
{
	char hex[65];

	crypto_hex(r->key.hash, 32, hex);
	buf_printf(out, "{\"key\":\"%s\"", hex);
	json_out_text(out, "model", r->model);
	json_out_text(out, "provider", r->provider);
	json_out_text(out, "form", r->form == CACHE_EVENTS ? "events" : "whole");
	json_out_text(out, "finish_reason", r->finish_reason);
	json_out_time(out, "made", r->made_ms);
	json_out_time(out, "expires", r->expires_ms);
	buf_printf(out,
		",\"age_ms\":%" PRId64 ",\"ttl_ms\":%" PRId64 ",\"bytes\":%zu"
		",\"prompt_tokens\":%" PRIu32 ",\"completion_tokens\":%" PRIu32
		",\"saved_microusd\":%" PRId64,
		now_ms - r->made_ms, r->expires_ms - now_ms, r->bytes, r->prompt_tokens,
		r->completion_tokens, r->saved_microusd);
}

/* "45s", "12m", "3h", "2d": the two digits that matter. */
static void write_span(int64_t ms, char out[SPAN_SIZE])
{
	static const struct {
		int64_t seconds;
		char unit;
	} units[] = { { 172800, 'd' }, { 7200, 'h' }, { 120, 'm' }, { 0, 's' } };
	static const int64_t per[] = { 86400, 3600, 60, 1 };
	int64_t s = ms > 0 ? ms / 1000 : 0;
	size_t i = 0;

	while (s < units[i].seconds)
		i++;
	snprintf(out, SPAN_SIZE, "%" PRId64 "%c", s / per[i], units[i].unit);
}

/* ---- all of them ---- */

static bool add_row(void *ctx, const struct cache_key *key, const struct cache_entry *entry)
{
	struct buf *rows = ctx;
	struct row r = row_of(key, entry);

	buf_append(rows, &r, sizeof(r));
	return buf_ok(rows);
}

static int newest_first(const void *a, const void *b)
{
	const struct row *x = a, *y = b;

	if (x->made_ms != y->made_ms)
		return x->made_ms < y->made_ms ? 1 : -1;
	return memcmp(x->key.hash, y->key.hash, sizeof(x->key.hash));
}

static void print_list(const struct row *rows, size_t n, int64_t now_ms, bool json)
{
	struct table t = { .heads = { "KEY", "MODEL", "FORM", "AGE", "ENDS IN", "BYTES", "SAVES" },
		.right = 1 << 3 | 1 << 4 | 1 << 5 | 1 << 6 };
	struct buf out = { .max_bytes = (size_t)1 << 30 };
	char hex[2 * SHOWN_BYTES + 1], age[SPAN_SIZE], rest[SPAN_SIZE], saves[AMOUNT_SIZE];

	for (size_t i = 0; i < n; i++) {
		const struct row *r = &rows[i];

		if (json) {
			buf_str(&out, i ? ",\n" : "[");
			write_json(&out, r, now_ms);
			buf_char(&out, '}');
			continue;
		}
		crypto_hex(r->key.hash, SHOWN_BYTES, hex);
		write_span(now_ms - r->made_ms, age);
		write_span(r->expires_ms - now_ms, rest);
		amount_write(r->saved_microusd, saves);
		table_cell(&t, CLI_PLAIN, "%s", hex);
		table_cell(&t, CLI_PLAIN, "%s", r->model[0] ? r->model : "-");
		table_cell(&t, CLI_PLAIN, "%s", r->form == CACHE_EVENTS ? "events" : "whole");
		table_cell(&t, CLI_PLAIN, "%s", age);
		table_cell(&t, CLI_PLAIN, "%s", rest);
		table_cell(&t, CLI_PLAIN, "%zu", r->bytes);
		table_cell(&t, CLI_PLAIN, "%s", saves);
	}
	if (json) {
		buf_str(&out, n ? "]\n" : "[]\n");
		json_out_print(&out);
	} else {
		table_print(&t, "No answer is remembered.");
	}
}

int cache_list(struct cache *c, bool json)
{
	struct buf found = { .max_bytes = (size_t)1 << 32 };
	int64_t now_ms = clock_wall_ms();
	struct row *rows;
	struct err e;
	size_t n;
	enum err_code rc = cache_each(c, now_ms, add_row, &found, &e);

	if (!rc && !buf_ok(&found))
		rc = err_set(&e, ERR_NO_MEMORY, "no memory for the list");
	if (!rc) {
		rows = (struct row *)(void *)found.data;
		n = found.len / sizeof(*rows);
		if (n)
			qsort(rows, n, sizeof(*rows), newest_first);
		print_list(rows, n, now_ms, json);
	}
	buf_fini(&found);
	return rc ? cli_fail(&e) : CLI_OK;
}

/* ---- one ---- */

struct search {
	struct cache_prefix prefix;
	struct row row;
	struct buf usage, body;
	unsigned found;
};

static bool compare(void *ctx, const struct cache_key *key, const struct cache_entry *entry)
{
	struct search *s = ctx;

	if (memcmp(key->hash, s->prefix.hash, s->prefix.bytes) != 0)
		return true;
	if (!s->found++) {
		s->row = row_of(key, entry);
		buf_slice_append(&s->usage, entry->usage);
		buf_slice_append(&s->body, entry->body);
	}
	return s->found < 2;
}

static void print_one(const struct search *s, int64_t now_ms, bool body)
{
	char hex[65], made[CLOCK_ISO_SIZE], age[SPAN_SIZE], rest[SPAN_SIZE], saves[AMOUNT_SIZE];
	const struct row *r = &s->row;

	crypto_hex(r->key.hash, 32, hex);
	clock_iso(r->made_ms, made);
	write_span(now_ms - r->made_ms, age);
	write_span(r->expires_ms - now_ms, rest);
	amount_write(r->saved_microusd, saves);
	printf("%s\n", hex);
	table_line("model", "%s", r->model);
	table_line("provider", "%s", r->provider);
	table_line("form", "%s",
		r->form == CACHE_EVENTS ? "the events of a stream" : "a whole answer");
	table_line("finish reason", "%s", r->finish_reason);
	table_line("made", "%s (%s ago)", made, age);
	table_line("ends in", "%s", rest);
	table_line("tokens", "%" PRIu32 " + %" PRIu32, r->prompt_tokens, r->completion_tokens);
	table_line("bytes", "%zu", r->bytes);
	table_line("saves", "%s", saves);
	table_line("usage", "%.*s", SLICE_ARG(buf_slice(&s->usage)));
	if (!body)
		return;
	putchar('\n');
	fwrite(s->body.data ? s->body.data : "", 1, s->body.len, stdout);
	if (!slice_ends(buf_slice(&s->body), "\n"))
		putchar('\n');
}

static void print_one_json(const struct search *s, int64_t now_ms, bool body)
{
	struct buf out = { .max_bytes = (size_t)1 << 30 };

	write_json(&out, &s->row, now_ms);
	buf_printf(&out, ",\"usage\":");
	if (s->usage.len)
		buf_slice_append(&out, buf_slice(&s->usage));
	else
		buf_str(&out, "null");
	if (body) {
		buf_str(&out, ",\"body\":");
		buf_json_str(&out, buf_slice(&s->body));
	}
	buf_str(&out, "}\n");
	json_out_print(&out);
}

int cache_show(struct cache *c, const char *key, bool body, bool json)
{
	struct search s = { .usage = { .max_bytes = INT32_MAX },
		.body = { .max_bytes = INT32_MAX } };
	int64_t now_ms = clock_wall_ms();
	struct err e;
	enum err_code rc = cache_prefix_read(key, "KEY", &s.prefix, &e);

	if (!rc)
		rc = cache_each(c, now_ms, compare, &s, &e);
	if (!rc && !s.found)
		rc = err_set(&e, ERR_NOT_FOUND, "no answer is remembered under %s", key);
	else if (!rc && s.found > 1)
		rc = err_set(
			&e, ERR_BAD_REQUEST, "several keys begin with %s: say more of it", key);
	if (!rc && json)
		print_one_json(&s, now_ms, body);
	else if (!rc)
		print_one(&s, now_ms, body);
	buf_fini(&s.usage);
	buf_fini(&s.body);
	return rc ? cli_fail(&e) : CLI_OK;
}
