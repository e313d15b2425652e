#include "store/redis_inside.h"

#include "base/clock.h"

#include <stdio.h>
#include <stdlib.h>

enum err_code redis_say(const struct redis_address *a, struct err *e)
{
	char where[REDIS_HOST_SIZE + 10];
	struct err cause;

	if (!e)
		return ERR_STORE;
	cause = *e;
	redis_address_text(a, where, sizeof(where));
	return err_set(e, ERR_STORE, "Redis at %s: %s", where, cause.message);
}

enum err_code redis_pause_check(struct redis_pause *p, struct err *e)
{
	int64_t now_ms = clock_mono_ms();

	if (!p->why.code)
		return ERR_OK;
	if (now_ms >= p->until_ms) {
		p->until_ms = now_ms + REDIS_PAUSE_MS;
		return ERR_OK;
	}
	if (e)
		*e = p->why;
	return p->why.code;
}

void redis_pause_begin(struct redis_pause *p, const struct err *why)
{
	p->why = *why;
	p->until_ms = clock_mono_ms() + REDIS_PAUSE_MS;
}

void redis_pause_end(struct redis_pause *p)
{
	p->why.code = ERR_OK;
}

static bool is_same(const struct redis_address *a, const struct redis_address *b)
{
	return a->port == b->port && !strcmp(a->host, b->host) && !strcmp(a->path, b->path);
}

enum err_code redis_node_at(
	struct redis *r, const struct redis_address *a, size_t *node, struct err *e)
{
	enum err_code rc = ERR_OK;
	size_t i;

	pthread_mutex_lock(&r->lock);
	for (i = 0; i < r->nodes_n && !is_same(&r->nodes[i]->at, a); i++)
		;
	if (i == r->nodes_n && i < REDIS_NODES_MAX)
		r->nodes[i] = calloc(1, sizeof(*r->nodes[i]));
	if (i == REDIS_NODES_MAX || !r->nodes[i]) {
		rc = err_set(e, ERR_STORE, "Redis has more than %d nodes", REDIS_NODES_MAX);
	} else if (i == r->nodes_n) {
		r->nodes[i]->at = *a;
		r->nodes_n++;
	}
	pthread_mutex_unlock(&r->lock);
	*node = i;
	return rc;
}

/* ---- connections ---- */

static enum err_code take_idle(
	struct redis *r, struct redis_node *n, struct redis_link **out, struct err *e)
{
	enum err_code rc;

	pthread_mutex_lock(&r->lock);
	rc = !n->idle || n->late >= REDIS_LATE_MAX ? redis_pause_check(&n->pause, e) : ERR_OK;
	*out = rc ? NULL : n->idle;
	if (*out) {
		n->idle = *redis_link_next(*out);
		n->idle_n--;
	}
	pthread_mutex_unlock(&r->lock);
	return rc;
}

static bool is_fresh(struct redis_link *l)
{
	return clock_mono_ms() - *redis_link_idle_since_ms(l) < REDIS_IDLE_MS &&
	       redis_link_is_clean(l);
}

enum err_code redis_node_take(struct redis *r, size_t node, int64_t deadline_mono_ms,
	struct redis_link **out, struct err *e)
{
	struct redis_node *n = r->nodes[node];
	struct err why = { 0 };
	enum err_code rc;

	do {
		rc = take_idle(r, n, out, e);
		if (rc || (*out && is_fresh(*out)))
			return rc;
		redis_link_close(*out);
	} while (*out);
	rc = redis_link_open(out,
		&(struct redis_link_conf){ .at = &n->at,
			.target = &r->target,
			.tls = r->tls,
			.needs_master = r->target.mode == REDIS_SENTINEL },
		deadline_mono_ms, &why);
	if (rc)
		redis_say(&n->at, &why);
	pthread_mutex_lock(&r->lock);
	if (rc)
		redis_pause_begin(&n->pause, &why);
	else if (n->late < REDIS_LATE_MAX)
		redis_pause_end(&n->pause);
	pthread_mutex_unlock(&r->lock);
	if (rc && e)
		*e = why;
	return rc ? why.code : ERR_OK;
}

void redis_node_give(struct redis *r, size_t node, struct redis_link *l, bool answered)
{
	struct redis_node *n = r->nodes[node];
	struct redis_link *too_many = l;
	bool clean = answered && redis_link_is_clean(l);

	pthread_mutex_lock(&r->lock);
	if (answered) {
		n->late = 0;
		n->has_answered = true;
		redis_pause_end(&n->pause);
	} else if (++n->late >= REDIS_LATE_MAX || !n->has_answered) {
		struct err why;

		why.code = err_set(&why, ERR_STORE, "it did not answer");
		n->late = REDIS_LATE_MAX;
		redis_say(&n->at, &why);
		redis_pause_begin(&n->pause, &why);
	}
	if (clean && n->idle_n < REDIS_IDLE_MAX) {
		*redis_link_idle_since_ms(l) = clock_mono_ms();
		*redis_link_next(l) = n->idle;
		n->idle = l;
		n->idle_n++;
		too_many = NULL;
	}
	pthread_mutex_unlock(&r->lock);
	redis_link_close(too_many);
}

void redis_nodes_fini(struct redis *r)
{
	for (size_t i = 0; i < r->nodes_n; i++) {
		while (r->nodes[i]->idle) {
			struct redis_link *l = r->nodes[i]->idle;

			r->nodes[i]->idle = *redis_link_next(l);
			redis_link_close(l);
		}
		free(r->nodes[i]);
	}
	r->nodes_n = 0;
}

void redis_suspect(struct redis *r, size_t node)
{
	pthread_mutex_lock(&r->lock);
	if (r->target.mode == REDIS_SENTINEL && r->master == node)
		r->master = REDIS_NO_NODE;
	r->slots_are_old = true;
	pthread_mutex_unlock(&r->lock);
}

/* ---- Sentinels ---- */

/* What one Sentinel says. */
static enum err_code ask_sentinel(struct redis *r, const struct redis_address *sentinel,
	int64_t deadline_mono_ms, struct redis_address *out, struct err *e)
{
	const struct slice words[] = { SLICE("SENTINEL"), SLICE("get-master-addr-by-name"),
		slice_of(r->target.master) };
	struct redis_reply reply = { 0 };
	const struct redis_value *v = &reply.value;
	struct redis_link *l;
	enum err_code rc;
	int64_t port;

	*out = (struct redis_address){ 0 };
	rc = redis_link_open(&l, &(struct redis_link_conf){ .at = sentinel }, deadline_mono_ms, e);
	if (rc)
		return rc;
	rc = redis_link_add(l, words, 3, e);
	if (!rc)
		rc = redis_link_flush(l, deadline_mono_ms, e);
	if (!rc)
		rc = redis_link_read(l, deadline_mono_ms, &reply, e);
	if (!rc && v->kind == REDIS_NIL)
		rc = err_set(
			e, ERR_STORE, "this Sentinel knows no master \"%s\"", r->target.master);
	else if (!rc && v->kind == REDIS_ERROR)
		rc = err_set(e, ERR_STORE, "it answers %.*s", SLICE_ARG(v->text));
	else if (!rc && (v->kind != REDIS_ARRAY || v->count != 2 ||
				!slice_copy(v->items[0].text, out->host, sizeof(out->host)) ||
				!str_int(v->items[1].text, 1, 65535, &port)))
		rc = err_set(e, ERR_STORE, "it answers unlike a Sentinel");
	else if (!rc)
		out->port = (uint16_t)port;
	redis_reply_fini(&reply);
	redis_link_close(l);
	return rc;
}

/* The first that answers; the others have their share of the time, too. */
static enum err_code ask_sentinels(
	struct redis *r, size_t first, int64_t deadline_mono_ms, size_t *node, struct err *e)
{
	struct redis_address found;
	enum err_code rc = ERR_STORE;

	for (size_t i = 0; i < r->target.at_n; i++) {
		size_t which = (first + i) % r->target.at_n;
		int64_t now_ms = clock_mono_ms();
		int64_t until_ms =
			now_ms + (deadline_mono_ms - now_ms) / (int64_t)(r->target.at_n - i);

		rc = ask_sentinel(r, &r->target.at[which], until_ms, &found, e);
		if (rc) {
			redis_say(&r->target.at[which], e);
			continue;
		}
		rc = redis_node_at(r, &found, node, e);
		pthread_mutex_lock(&r->lock);
		r->sentinel = which;
		pthread_mutex_unlock(&r->lock);
		break;
	}
	return rc;
}

enum err_code redis_master(struct redis *r, int64_t deadline_mono_ms, size_t *node, struct err *e)
{
	struct err why = { 0 };
	enum err_code rc = ERR_OK;
	size_t first;

	pthread_mutex_lock(&r->lock);
	*node = r->master;
	first = r->sentinel;
	if (*node == REDIS_NO_NODE)
		rc = redis_pause_check(&r->lost, e);
	pthread_mutex_unlock(&r->lock);
	if (rc || *node != REDIS_NO_NODE)
		return rc;
	rc = ask_sentinels(r, first, deadline_mono_ms, node, &why);
	pthread_mutex_lock(&r->lock);
	if (rc) {
		redis_pause_begin(&r->lost, &why);
	} else {
		redis_pause_end(&r->lost);
		r->master = *node;
	}
	pthread_mutex_unlock(&r->lock);
	if (rc && e)
		*e = why;
	return rc;
}
