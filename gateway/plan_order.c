#include "gateway/plan_inside.h"

#include <math.h>

/* Of a thousand requests, how many try whose speed is not known, and how many somebody who was
 * slow when last asked. */
#define TRIES_UNKNOWN 50
#define TRIES_SLOW    10

#define NOT_WISHED ((size_t)-1)

/* ---- numbers from names ---- */

static uint64_t mix(uint64_t h)
{
	h = (h ^ (h >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	h = (h ^ (h >> 27)) * UINT64_C(0x94d049bb133111eb);
	return h ^ (h >> 31);
}

static uint64_t hash(struct slice s)
{
	uint64_t h = UINT64_C(14695981039346656037); /* FNV-1a */

	for (size_t i = 0; i < s.len; i++)
		h = (h ^ (unsigned char)s.ptr[i]) * UINT64_C(1099511628211);
	return mix(h);
}

/* A number above 0 and below 1 that belongs to this conversation and this provider. */
static double lot(uint64_t conversation, const char *slug)
{
	return ((double)(mix(conversation ^ hash(slice_of(slug))) >> 12) + 0.5) /
	       (double)(UINT64_C(1) << 52);
}

/* ---- places among the candidates of one model ---- */

/* The candidates of one model: from..to. */
struct group {
	const struct plan_ask *ask;
	const struct candidate *at;
	struct plan_mark *marks;
	size_t from, to;
	bool sticks;
	uint64_t conversation; /* when it sticks */
	uint64_t dice;
};

static bool is_in(const struct group *g, size_t i)
{
	return !g->marks[i].dropped && g->marks[i].look.wait_ms <= 0;
}

static int64_t weight_of(const struct plan_conf *c, const struct catalog_provider *p)
{
	for (size_t i = 0; i < c->share_count; i++)
		if (plan_is_called(p, c->shares[i].slug))
			return c->shares[i].weight;
	return 0;
}

/* Rendezvous hashing with weights: each provider draws a lot that is the likelier to be the least
 * the more it weighs, and the same one for the same conversation whoever else is there. */
static void place_by_lots(const struct group *g)
{
	for (size_t i = g->from; i < g->to; i++) {
		struct plan_mark *m = &g->marks[i];
		int64_t weight = weight_of(g->ask->conf, g->at[i].route.provider);

		m->reserve = weight == 0;
		m->place = m->reserve ? 0
				      : -log(lot(g->conversation, g->at[i].route.provider->slug)) /
						(double)weight;
	}
}

static void place_by_dice(const struct group *g)
{
	int64_t weight[PLAN_MAX], all = 0, drawn;

	for (size_t i = g->from; i < g->to; i++) {
		weight[i] = weight_of(g->ask->conf, g->at[i].route.provider);
		g->marks[i].reserve = weight[i] == 0;
		g->marks[i].place = -(double)weight[i];
		all += is_in(g, i) ? weight[i] : 0;
	}
	if (!all)
		return;
	drawn = (int64_t)(g->dice % (uint64_t)all);
	for (size_t i = g->from; i < g->to; i++) {
		if (!is_in(g, i))
			continue;
		drawn -= weight[i];
		if (drawn < 0) {
			g->marks[i].place = -INFINITY;
			return;
		}
	}
}

/* Three tokens are read for each that is written. */
static void place_by_price(const struct group *g)
{
	for (size_t i = g->from; i < g->to; i++) {
		const struct cost_table *t = g->at[i].route.prices;

		g->marks[i].place = g->at[i].route.free ? 0
				    : !t                ? INFINITY
					 : 3 * (double)t->base.prompt + (double)t->base.completion;
	}
}

/* Lets one be asked now and then of whom nothing, or nothing good, is known: it may have become
 * the fastest. */
static void try_another(const struct group *g)
{
	size_t at[PLAN_MAX], known = 0, n = 0;
	uint64_t dice = g->sticks ? g->conversation : g->dice;

	for (size_t i = g->from; i < g->to; i++)
		if (is_in(g, i) && !g->marks[i].look.ttft_ms)
			at[n++] = i;
		else if (is_in(g, i))
			known++;
	if (!known)
		return;
	if (!n && dice % 1000 < TRIES_SLOW) {
		for (size_t i = g->from; i < g->to; i++)
			if (is_in(g, i))
				at[n++] = i;
	} else if (dice % 1000 >= TRIES_UNKNOWN) {
		return;
	}
	if (n)
		g->marks[at[dice / 1000 % n]].place = -1;
}

/* A conversation stays with one of those that are about as fast as the fastest. */
static void place_by_latency(const struct group *g)
{
	int64_t best = INT64_MAX;

	for (size_t i = g->from; i < g->to; i++)
		if (is_in(g, i) && g->marks[i].look.ttft_ms && g->marks[i].look.ttft_ms < best)
			best = g->marks[i].look.ttft_ms;
	for (size_t i = g->from; i < g->to; i++) {
		int64_t ttft = g->marks[i].look.ttft_ms;

		g->marks[i].place = ttft ? (double)ttft : INFINITY;
		if (g->sticks && ttft && ttft - best <= best / 4)
			g->marks[i].place = lot(g->conversation, g->at[i].route.provider->slug);
	}
	try_another(g);
}

static void place(const struct group *g)
{
	enum wish_sort sort =
		g->ask->wishes && g->ask->wishes->any ? g->ask->wishes->sort : SORT_NONE;
	const struct plan_conf *c = g->ask->conf;

	if (sort == SORT_PRICE || (!sort && c->strategy == STRATEGY_COST))
		place_by_price(g);
	else if (sort || c->strategy == STRATEGY_LATENCY)
		place_by_latency(g);
	else if (c->share_count && g->sticks)
		place_by_lots(g);
	else if (c->share_count)
		place_by_dice(g);
}

/* ---- the request's own order ---- */

/* Where a router stands that is not named itself: with the first name that is none of ours, which
 * is one of those behind it. */
static size_t wished_place(const struct catalog *catalog, const struct wish_slugs *order,
	const struct catalog_provider *p)
{
	size_t inner = NOT_WISHED;

	for (size_t i = 0; i < order->count; i++) {
		const struct catalog_provider *named;

		if (plan_is_called(p, order->slug[i]))
			return i;
		if (!p->quirks->is_router || inner != NOT_WISHED)
			continue;
		named = catalog_provider_find(catalog, order->slug[i]);
		if (!named || !named->configured)
			inner = i;
	}
	return inner;
}

/* ---- all of them ---- */

/* Does a come before b? Of two that are alike the one that was there first does. */
static bool is_before(const struct candidate *at, const struct plan_mark *marks, size_t a, size_t b)
{
	const struct plan_mark *x = &marks[a], *y = &marks[b];

	if ((x->look.wait_ms > 0) != (y->look.wait_ms > 0))
		return y->look.wait_ms > 0;
	if (x->look.wait_ms > 0 && x->look.wait_ms != y->look.wait_ms)
		return x->look.wait_ms < y->look.wait_ms;
	if (at[a].link != at[b].link)
		return at[a].link < at[b].link;
	if (at[a].route.named != at[b].route.named)
		return at[a].route.named;
	if (x->wished != y->wished)
		return x->wished < y->wished;
	if (x->reserve != y->reserve)
		return y->reserve;
	if (x->place < y->place || x->place > y->place)
		return x->place < y->place;
	return a < b;
}

static void place_all(
	const struct plan_ask *ask, const struct candidate *at, struct plan_mark *marks, size_t n)
{
	struct group g = { .ask = ask,
		.at = at,
		.marks = marks,
		.sticks = ask->conf->sticky && ask->sticky.len,
		.dice = ask->dice };

	if (g.sticks)
		g.conversation = hash(ask->sticky);
	for (size_t i = 0; i < n; i++) {
		marks[i].place = 0;
		marks[i].reserve = false;
		marks[i].wished = ask->wishes && ask->wishes->any
					  ? wished_place(ask->catalog, &ask->wishes->order,
						    at[i].route.provider)
					  : NOT_WISHED;
	}
	for (g.from = 0; g.from < n; g.from = g.to) {
		for (g.to = g.from; g.to < n && at[g.to].link == at[g.from].link;)
			g.to++;
		if (g.to > g.from + 1)
			place(&g);
	}
}

/* Those that a request without fallbacks may go to: who it names in its order; else, of each model,
 * the first. */
static size_t leave_fallbacks_out(const struct wishes *w, const struct candidate *at,
	const struct plan_mark *marks, uint8_t *order, size_t n)
{
	bool seen[WISHES_MODELS + 1] = { false };
	size_t kept = 0;

	for (size_t i = 0; i < n; i++) {
		uint8_t k = order[i];

		if (w->order.count && !at[k].route.named ? marks[k].wished == NOT_WISHED
							 : seen[at[k].link])
			continue;
		seen[at[k].link] = true;
		order[kept++] = k;
	}
	return kept;
}

size_t plan_order(const struct plan_ask *ask, const struct candidate *at, struct plan_mark *marks,
	size_t n, uint8_t order[PLAN_MAX])
{
	size_t count = 0, k;

	place_all(ask, at, marks, n);
	for (size_t i = 0; i < n; i++) {
		if (marks[i].dropped)
			continue;
		for (k = count++; k > 0 && is_before(at, marks, i, order[k - 1]); k--)
			order[k] = order[k - 1];
		order[k] = (uint8_t)i;
	}
	return ask->wishes && ask->wishes->any && ask->wishes->no_fallbacks
		       ? leave_fallbacks_out(ask->wishes, at, marks, order, count)
		       : count;
}
