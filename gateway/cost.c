#include "gateway/cost.h"

#include "base/crypto.h"

#define PICO_PER_MICRO 1000000u
#define PICO_PER_USD   UINT64_C(1000000000000)

bool cost_read_usd(struct slice text, int64_t *picousd)
{
	int64_t n = 0;
	size_t whole = 0, decimals = 0, at = 0;

	for (; at < text.len && text.ptr[at] >= '0' && text.ptr[at] <= '9'; at++, whole++) {
		n = n * 10 + (text.ptr[at] - '0');
		if (n > COST_PRICE_MAX / (int64_t)PICO_PER_USD)
			return false;
	}
	if (whole == 0)
		return false;
	if (at < text.len) {
		if (text.ptr[at++] != '.' || at == text.len)
			return false;
	}
	for (; at < text.len; at++) {
		char c = text.ptr[at];

		if (c < '0' || c > '9' || (decimals == COST_DECIMALS && c != '0'))
			return false;
		if (decimals < COST_DECIMALS) {
			n = n * 10 + (c - '0');
			decimals++;
		}
	}
	for (; decimals < COST_DECIMALS; decimals++)
		n *= 10;
	if (n > COST_PRICE_MAX)
		return false;
	*picousd = n;
	return true;
}

/* ---- tables ---- */

/* A price that may be missing: then what it falls back to. */
static enum err_code read_price(
	const char *name, const char *text, int64_t otherwise, int64_t *out, struct err *e)
{
	*out = otherwise;
	if (!text || cost_read_usd(slice_of(text), out))
		return ERR_OK;
	return err_param(e, ERR_RANGE, name,
		"%s: expected a price in USD from 0 to 1000, such as 0.0000025, with at most %d "
		"decimals",
		name, COST_DECIMALS);
}

static enum err_code read_rates(
	const struct cost_texts *t, bool doubles_1h, struct cost_rates *r, struct err *e)
{
	enum err_code rc;

	if (!t->prompt || !t->completion)
		return err_param(e, ERR_RANGE, t->prompt ? "completion" : "prompt",
			"a price table needs the prices of prompt and completion");
	rc = read_price("prompt", t->prompt, 0, &r->prompt, e);
	if (!rc)
		rc = read_price("cache_read", t->cache_read, r->prompt, &r->cache_read, e);
	if (!rc)
		rc = read_price("cache_write", t->cache_write, r->prompt, &r->cache_write, e);
	if (!rc)
		rc = read_price("cache_write_1h", t->cache_write_1h,
			doubles_1h ? 2 * r->prompt : r->cache_write, &r->cache_write_1h, e);
	if (!rc)
		rc = read_price("completion", t->completion, 0, &r->completion, e);
	if (!rc)
		rc = read_price("reasoning", t->reasoning, r->completion, &r->reasoning, e);
	return rc;
}

/* A step's texts over those of the base. What neither names then falls back within the step: a
 * cache write without a price of its own costs the step's prompt price. */
static struct cost_texts overlay(const struct cost_texts *base, const struct cost_texts *step)
{
	return (struct cost_texts){
		.prompt = step->prompt ? step->prompt : base->prompt,
		.completion = step->completion ? step->completion : base->completion,
		.cache_read = step->cache_read ? step->cache_read : base->cache_read,
		.cache_write = step->cache_write ? step->cache_write : base->cache_write,
		.cache_write_1h =
			step->cache_write_1h ? step->cache_write_1h : base->cache_write_1h,
		.reasoning = step->reasoning ? step->reasoning : base->reasoning,
	};
}

static enum err_code read_steps(struct cost_table *t, const struct cost_offer *o, struct err *e)
{
	int64_t last = 0;

	if (o->steps_n > COST_STEPS)
		return err_param(
			e, ERR_RANGE, "steps", "more than %d long-context steps", COST_STEPS);
	for (size_t i = 0; i < o->steps_n; i++) {
		struct cost_texts texts = overlay(&o->base, &o->steps[i].prices);
		enum err_code rc;

		if (o->steps[i].above_tokens <= last)
			return err_param(e, ERR_RANGE, "steps",
				"long-context steps must ascend, from 1 token at least");
		last = t->steps[i].above_tokens = o->steps[i].above_tokens;
		rc = read_rates(&texts, o->doubles_1h, &t->steps[i].rates, e);
		if (rc)
			return rc;
		t->steps_n++;
	}
	return ERR_OK;
}

/* Numbers in a fixed order, eight bytes each, the lowest first: the same on every machine. */
struct canon {
	unsigned char bytes[8 * (8 + 7 * COST_STEPS)];
	size_t n;
};

static void canon_add(struct canon *c, int64_t number)
{
	for (unsigned shift = 0; shift < 64; shift += 8)
		c->bytes[c->n++] = (unsigned char)((uint64_t)number >> shift);
}

static void canon_rates(struct canon *c, const struct cost_rates *r)
{
	canon_add(c, r->prompt);
	canon_add(c, r->cache_read);
	canon_add(c, r->cache_write);
	canon_add(c, r->cache_write_1h);
	canon_add(c, r->completion);
	canon_add(c, r->reasoning);
}

static uint32_t version_of(const struct cost_table *t)
{
	struct canon c = { .n = 0 };
	uint32_t crc;

	canon_rates(&c, &t->base);
	canon_add(&c, t->request);
	canon_add(&c, t->image);
	for (uint32_t i = 0; i < t->steps_n; i++) {
		canon_add(&c, t->steps[i].above_tokens);
		canon_rates(&c, &t->steps[i].rates);
	}
	crc = crypto_crc32((struct slice){ (const char *)c.bytes, c.n });
	return crc ? crc : 1;
}

enum err_code cost_table_init(struct cost_table *t, const struct cost_offer *offer, struct err *e)
{
	enum err_code rc;

	*t = (struct cost_table){ 0 };
	rc = read_rates(&offer->base, offer->doubles_1h, &t->base, e);
	if (!rc)
		rc = read_price("request", offer->request, 0, &t->request, e);
	if (!rc)
		rc = read_price("image", offer->image, 0, &t->image, e);
	if (!rc)
		rc = read_steps(t, offer, e);
	if (rc)
		*t = (struct cost_table){ 0 };
	else
		t->version = version_of(t);
	return rc;
}

/* ---- arithmetic ----
 *
 * Nothing here can overflow: a figure is below 2^63, a sum of three below 2^65, a price at most
 * 2 x COST_PRICE_MAX, below 2^51, and a total is a sum of eight such products: below 2^120. */

static cost_wide most(cost_wide a, cost_wide b)
{
	return a > b ? a : b;
}

static cost_wide wide(int64_t n)
{
	return (cost_wide)n;
}

/* What is left of a whole without its parts; parts beyond it stand beside it. */
static cost_wide rest(cost_wide whole, cost_wide parts)
{
	return whole > parts ? whole - parts : 0;
}

static enum err_code round_to_microusd(cost_wide picousd, int64_t *microusd, struct err *e)
{
	cost_wide rounded = (picousd + PICO_PER_MICRO / 2) / PICO_PER_MICRO;

	*microusd = rounded > INT64_MAX ? INT64_MAX : (int64_t)rounded;
	if (rounded > INT64_MAX)
		return err_set(e, ERR_RANGE, "the cost is beyond what can be counted");
	return ERR_OK;
}

static const struct cost_rates *rates_at(const struct cost_table *t, cost_wide prompt_tokens)
{
	const struct cost_rates *r = &t->base;

	for (uint32_t i = 0; i < t->steps_n && prompt_tokens > wide(t->steps[i].above_tokens); i++)
		r = &t->steps[i].rates;
	return r;
}

static cost_wide price_parts(const struct cost_facts *f, struct cost_parts *p)
{
	const struct usage *u = f->usage;
	cost_wide cached = wide(u->cached_tokens);
	cost_wide write_1h = wide(u->cache_write_1h_tokens);
	cost_wide write_5m = rest(wide(u->cache_write_tokens), write_1h);
	cost_wide reasoning = wide(u->reasoning_tokens);
	cost_wide beside = cached + write_5m + write_1h;
	const struct cost_rates *r = rates_at(f->table, most(wide(u->prompt_tokens), beside));

	*p = (struct cost_parts){
		.prompt = rest(wide(u->prompt_tokens), beside) * wide(r->prompt),
		.cached = cached * wide(r->cache_read),
		.write = write_5m * wide(r->cache_write) + write_1h * wide(r->cache_write_1h),
		.completion = rest(wide(u->completion_tokens), reasoning) * wide(r->completion),
		.reasoning = reasoning * wide(r->reasoning),
		.request = wide(f->table->request),
		.image = wide(f->images) * wide(f->table->image),
	};
	return p->prompt + p->cached + p->write + p->completion + p->reasoning + p->request +
	       p->image;
}

/* What a trusted router says it cost, or -1. */
static int64_t routers_word(const struct cost_facts *f)
{
	if (!f->trusts_cost || f->usage->state == USAGE_ESTIMATED)
		return -1;
	return f->router_byok ? f->upstream_picousd : f->usage->cost_picousd;
}

static bool is_negative(const struct cost_facts *f)
{
	const struct usage *u = f->usage;

	return u->prompt_tokens < 0 || u->completion_tokens < 0 || u->cached_tokens < 0 ||
	       u->cache_write_tokens < 0 || u->reasoning_tokens < 0 || f->images < 0 ||
	       u->cache_write_1h_tokens < 0;
}

enum err_code cost_of(const struct cost_facts *f, struct cost *out, struct err *e)
{
	enum err_code rc;
	int64_t said;

	*out = (struct cost){ .waived = f->free || f->byok };
	if (f->usage->state == USAGE_NONE)
		return ERR_OK;
	if (is_negative(f)) {
		*out = (struct cost){ 0 };
		return err_set(e, ERR_RANGE, "a count of tokens or images is negative");
	}
	said = routers_word(f);
	if (said >= 0) {
		out->source = COST_ROUTER;
		out->total = wide(said);
	} else if (f->table) {
		out->source = COST_TABLE;
		out->price_version = f->table->version;
		out->total = price_parts(f, &out->parts);
	} else {
		out->source = COST_UNKNOWN;
		if (!out->waived)
			return err_set(
				e, ERR_NOT_FOUND, "the catalogue has no price for this model");
	}
	rc = round_to_microusd(out->total, &out->market_microusd, e);
	out->microusd = out->waived ? 0 : out->market_microusd;
	return rc;
}

void cost_add_completion(struct cost *to, const struct cost *cut)
{
	to->parts.completion += cut->parts.completion;
	to->parts.reasoning += cut->parts.reasoning;
	to->total += cut->parts.completion + cut->parts.reasoning;
	(void)!round_to_microusd(to->total, &to->market_microusd, NULL);
	to->microusd = to->waived ? 0 : to->market_microusd;
}

/* The dearest a token of prompt, or of completion, can be by these rates. */
static cost_wide dearest_prompt(const struct cost_rates *r, bool writes_1h)
{
	cost_wide p = most(most(wide(r->prompt), wide(r->cache_read)), wide(r->cache_write));

	return writes_1h ? most(p, wide(r->cache_write_1h)) : p;
}

static cost_wide dearest_completion(const struct cost_rates *r)
{
	return most(wide(r->completion), wide(r->reasoning));
}

enum err_code cost_worst(
	const struct cost_table *t, const struct cost_ask *ask, int64_t *microusd, struct err *e)
{
	cost_wide in, out;

	*microusd = 0;
	if (!t)
		return err_set(e, ERR_NOT_FOUND, "the catalogue has no price for this model");
	if (ask->prompt_tokens < 0 || ask->max_output_tokens < 0 || ask->images < 0)
		return err_set(e, ERR_RANGE, "a count of tokens or images is negative");
	in = dearest_prompt(&t->base, ask->writes_1h);
	out = dearest_completion(&t->base);
	/* A prompt shorter than estimated may fall on a lower step: none below is left out. */
	for (uint32_t i = 0; i < t->steps_n && ask->prompt_tokens > t->steps[i].above_tokens; i++) {
		in = most(in, dearest_prompt(&t->steps[i].rates, ask->writes_1h));
		out = most(out, dearest_completion(&t->steps[i].rates));
	}
	return round_to_microusd(in * wide(ask->prompt_tokens) +
					 out * wide(ask->max_output_tokens) + wide(t->request) +
					 wide(ask->images) * wide(t->image),
		microusd, e);
}

/* ---- writing ---- */

/* Takes the last decimal digit off. Dividing 128 bits costs ten times as much as 64. */
static unsigned take_digit(cost_wide *n)
{
	uint64_t low = (uint64_t)*n;
	unsigned digit;

	if (*n != low) {
		digit = (unsigned)(*n % 10);
		*n /= 10;
	} else {
		digit = (unsigned)(low % 10);
		*n = low / 10;
	}
	return digit;
}

void cost_write_usd(cost_wide picousd, struct buf *out)
{
	char digits[48]; /* 2^128 has 39 */
	size_t at = sizeof(digits), end = sizeof(digits);
	unsigned n = 0;

	if (!picousd) { /* half of what an answer tells */
		buf_char(out, '0');
		return;
	}
	do {
		if (n++ == COST_DECIMALS)
			digits[--at] = '.';
		digits[--at] = (char)('0' + take_digit(&picousd));
	} while (picousd || n <= COST_DECIMALS);
	while (digits[end - 1] == '0')
		end--;
	if (digits[end - 1] == '.')
		end--;
	buf_append(out, digits + at, end - at);
}

static void put(struct buf *out, const char *name, cost_wide picousd)
{
	buf_str(out, ",\"");
	buf_str(out, name);
	buf_str(out, "\":");
	cost_write_usd(picousd, out);
}

void cost_write_json(const struct cost *c, struct buf *out)
{
	const struct cost_parts *p = &c->parts;

	if (c->source == COST_UNKNOWN)
		return;
	buf_str(out, "\"cost\":");
	cost_write_usd(c->waived ? 0 : c->total, out);
	buf_str(out, ",\"cost_details\":{\"upstream_inference_cost\":");
	if (c->waived || c->source == COST_ROUTER)
		cost_write_usd(c->total, out);
	else
		buf_str(out, "null");
	if (c->source == COST_TABLE) {
		put(out, "upstream_inference_prompt_cost", p->prompt + p->cached + p->write);
		put(out, "upstream_inference_completions_cost", p->completion + p->reasoning);
		put(out, "prompt_cost", p->prompt);
		put(out, "cached_cost", p->cached);
		put(out, "cache_write_cost", p->write);
		put(out, "completion_cost", p->completion);
		put(out, "reasoning_cost", p->reasoning);
		put(out, "request_cost", p->request);
		put(out, "image_cost", p->image);
	}
	buf_char(out, '}');
}
