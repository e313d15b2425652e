#include "handlers/cli/ledger_export.h"

#include "base/clock.h"
#include "base/crypto.h"

#include <stdio.h>

/* One walk over the fields serves header, CSV and JSON, so that they cannot differ. */
struct writer {
	struct ledger_books *books;
	enum ledger_export_format format;
	bool is_head;
	bool is_first;
	struct buf *out;
};

/* Begins a field; true when its value is wanted. */
static bool begin(struct writer *w, const char *name)
{
	if (!w->is_first)
		buf_char(w->out, ',');
	w->is_first = false;
	if (w->is_head) {
		buf_str(w->out, name);
		return false;
	}
	if (w->format == LEDGER_EXPORT_JSONL)
		buf_printf(w->out, "\"%s\":", name);
	return true;
}

static void nothing(struct writer *w)
{
	if (w->format == LEDGER_EXPORT_JSONL)
		buf_str(w->out, "null");
}

static void text(struct writer *w, const char *name, struct slice value)
{
	if (!begin(w, name))
		return;
	if (!value.len)
		nothing(w);
	else if (w->format == LEDGER_EXPORT_JSONL)
		buf_json_str(w->out, value);
	else
		usage_csv_text(value, w->out);
}

static void integer(struct writer *w, const char *name, bool is_there, int64_t value)
{
	if (!begin(w, name))
		return;
	if (is_there)
		buf_int(w->out, value);
	else
		nothing(w);
}

static void money(struct writer *w, const char *name, bool is_there, int64_t microusd)
{
	if (!begin(w, name))
		return;
	if (is_there)
		usage_write_usd(microusd, w->out);
	else
		nothing(w);
}

static void flag(struct writer *w, const char *name, const struct record_settle *s, unsigned bit)
{
	if (!begin(w, name))
		return;
	if (s)
		buf_str(w->out, s->flags & bit ? "true" : "false");
	else
		nothing(w);
}

static void named(struct writer *w, const char *name, enum usage_by by, uint64_t number)
{
	struct buf id = { 0 };

	if (!w->is_head)
		ledger_books_text(w->books, by, number, &id);
	text(w, name, buf_slice(&id));
	buf_fini(&id);
}

static void subject(struct writer *w, const struct record_credit *c)
{
	struct buf id = { 0 };

	if (c)
		ledger_books_subject(w->books, c->subject, &id);
	text(w, "subject", buf_slice(&id));
	buf_fini(&id);
}

static const char *usage_state(const struct record_settle *s)
{
	static const char *const names[] = {
		[RECORD_USAGE_NONE] = "none",
		[RECORD_USAGE_REPORTED] = "reported",
		[RECORD_USAGE_ESTIMATED] = "estimated",
		[RECORD_USAGE_PARTIAL] = "partial",
	};

	return !s ? "" : s->usage_state <= RECORD_USAGE_PARTIAL ? names[s->usage_state] : "unknown";
}

static void tokens(struct writer *w, const struct record_settle *s)
{
	static const char *const names[RECORD_TOKENS] = {
		[RECORD_PROMPT] = "prompt_tokens",
		[RECORD_CACHE_READ] = "cached_tokens",
		[RECORD_CACHE_WRITE_5M] = "cache_write_5m_tokens",
		[RECORD_CACHE_WRITE_1H] = "cache_write_1h_tokens",
		[RECORD_COMPLETION] = "completion_tokens",
		[RECORD_REASONING] = "reasoning_tokens",
	};

	for (unsigned i = 0; i < RECORD_TOKENS; i++)
		integer(w, names[i], s != NULL, s ? s->tokens[i] : 0);
}

/* s or c is NULL, both for the header. */
static void fields(struct writer *w, const struct record *r, const struct record_settle *s,
	const struct record_credit *c)
{
	static const struct record_settle none;
	const struct record_settle *v = s ? s : &none;
	char time[CLOCK_ISO_SIZE] = "", id[33] = "", version[12] = "";

	if (r) {
		clock_iso(r->wall_ms, time);
		crypto_hex(r->id, sizeof(r->id), id);
	}
	if (s && s->price_version)
		snprintf(version, sizeof(version), "%08x", s->price_version);
	text(w, "time", slice_of(time));
	text(w, "type", slice_of(c ? "credit" : "request"));
	text(w, "id", slice_of(id));
	named(w, "key", s ? USAGE_BY_KEY : USAGE_BY_MODEL, v->key);
	named(w, "user", s ? USAGE_BY_USER : USAGE_BY_MODEL, v->user);
	named(w, "org", USAGE_BY_ORG, v->org);
	named(w, "provider", USAGE_BY_PROVIDER, v->provider);
	named(w, "model", USAGE_BY_MODEL, v->model);
	named(w, "asked_model", USAGE_BY_MODEL, v->asked_model);
	named(w, "app", USAGE_BY_MODEL, v->app);
	integer(w, "status", s != NULL, v->status);
	text(w, "usage", slice_of(usage_state(s)));
	tokens(w, s);
	money(w, "cost_usd", s != NULL, v->cost_microusd);
	money(w, "upstream_cost_usd", s != NULL, v->upstream_microusd);
	money(w, "reserved_usd", s != NULL, v->reserved_microusd);
	money(w, "saved_usd", s != NULL, v->saved_microusd);
	text(w, "price_version", slice_of(version));
	integer(w, "latency_ms", s != NULL, v->latency_ms);
	integer(w, "ttft_ms", v->ttft_ms != 0, v->ttft_ms);
	integer(w, "generation_ms", s != NULL, v->generation_ms);
	integer(w, "attempts", s != NULL, v->attempts);
	flag(w, "stream", s, RECORD_STREAM);
	flag(w, "cache_hit", s, RECORD_CACHE_HIT);
	flag(w, "byok", s, RECORD_BYOK);
	flag(w, "free", s, RECORD_FREE);
	flag(w, "client_gone", s, RECORD_CLIENT_GONE);
	flag(w, "late", s, RECORD_LATE);
	subject(w, c);
	money(w, "credit_usd", c != NULL, c ? c->microusd : 0);
	text(w, "note",
		c ? (struct slice){ c->note, strnlen(c->note, sizeof(c->note)) } : SLICE(""));
}

void ledger_export_head(enum ledger_export_format format, struct buf *out)
{
	struct writer w = { .format = format, .is_head = true, .is_first = true, .out = out };

	if (format != LEDGER_EXPORT_CSV)
		return;
	fields(&w, NULL, NULL, NULL);
	buf_str(out, "\r\n");
}

void ledger_export_record(struct ledger_books *b, const struct record *r,
	enum ledger_export_format format, struct buf *out)
{
	struct writer w = { .books = b, .format = format, .is_first = true, .out = out };

	if (r->type != RECORD_SETTLE && r->type != RECORD_CREDIT)
		return;
	if (format == LEDGER_EXPORT_JSONL)
		buf_char(out, '{');
	fields(&w, r, r->type == RECORD_SETTLE ? &r->settle : NULL,
		r->type == RECORD_CREDIT ? &r->credit : NULL);
	buf_str(out, format == LEDGER_EXPORT_JSONL ? "}\n" : "\r\n");
}
