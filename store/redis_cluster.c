#include "store/redis_inside.h"

#include "base/clock.h"

#include <stdlib.h>

#define REFRESH_MS 500 /* old slots are asked for anew at most so often */

/* CRC-16/XMODEM, as the cluster's specification has it. */
static uint16_t crc16(struct slice s)
{
	uint16_t crc = 0;

	for (size_t i = 0; i < s.len; i++) {
		crc = (uint16_t)(crc ^ (uint16_t)((uint8_t)s.ptr[i] << 8));
		for (int bit = 0; bit < 8; bit++)
			crc = (uint16_t)((crc & 0x8000) ? (crc << 1) ^ 0x1021 : crc << 1);
	}
	return crc;
}

unsigned redis_slot(struct slice key)
{
	const char *open = key.len ? memchr(key.ptr, '{', key.len) : NULL;

	if (open) {
		struct slice tag = slice_from(key, (size_t)(open - key.ptr) + 1);
		const char *close = tag.len ? memchr(tag.ptr, '}', tag.len) : NULL;

		/* Empty braces are part of the key. */
		if (close && close != tag.ptr)
			key = slice_first(tag, (size_t)(close - tag.ptr));
	}
	return crc16(key) % REDIS_SLOTS;
}

/* ---- who has which slots ---- */

static bool read_range(const struct redis_value *v, const struct redis_address *asked,
	int64_t *from, int64_t *to, struct redis_address *at)
{
	const struct redis_value *node;
	struct slice host;

	if (v->kind != REDIS_ARRAY || v->count < 3 || v->items[0].kind != REDIS_INTEGER ||
		v->items[1].kind != REDIS_INTEGER)
		return false;
	*from = v->items[0].integer;
	*to = v->items[1].integer;
	node = &v->items[2];
	if (*from < 0 || *to < *from || *to >= REDIS_SLOTS || node->kind != REDIS_ARRAY ||
		node->count < 2 || node->items[1].kind != REDIS_INTEGER)
		return false;
	*at = *asked;
	host = node->items[0].text;
	/* No name, or none that is known: the one that was asked by. */
	if (host.len && !slice_is(host, "?") && !slice_copy(host, at->host, sizeof(at->host)))
		return false;
	at->port = (uint16_t)node->items[1].integer;
	return node->items[1].integer > 0 && node->items[1].integer <= 65535;
}

static enum err_code read_slots(struct redis *r, const struct redis_value *v,
	const struct redis_address *asked, struct err *e)
{
	uint16_t *slots = calloc(REDIS_SLOTS, sizeof(*slots));
	enum err_code rc = ERR_OK;

	if (!slots)
		return err_set(e, ERR_NO_MEMORY, "no memory for the slots of Redis");
	if (v->kind == REDIS_ERROR)
		rc = err_set(e, ERR_STORE, "it answers %.*s", SLICE_ARG(v->text));
	else if (v->kind != REDIS_ARRAY)
		rc = err_set(e, ERR_STORE, "it answers unlike a cluster");
	else if (!v->count)
		rc = err_set(e, ERR_STORE, "this node knows of no slots");
	for (size_t i = 0; !rc && i < v->count; i++) {
		struct redis_address at;
		int64_t from, to;
		size_t node;

		if (!read_range(&v->items[i], asked, &from, &to, &at)) {
			rc = err_set(e, ERR_STORE, "it answers unlike a cluster");
			break;
		}
		rc = redis_node_at(r, &at, &node, e);
		for (int64_t s = from; !rc && s <= to; s++)
			slots[s] = (uint16_t)(node + 1);
	}
	if (!rc) {
		pthread_mutex_lock(&r->lock);
		memcpy(r->slots, slots, REDIS_SLOTS * sizeof(*slots));
		r->slots_are_old = false;
		pthread_mutex_unlock(&r->lock);
	}
	free(slots);
	return rc;
}

static enum err_code ask_node(struct redis *r, size_t node, int64_t deadline_mono_ms, struct err *e)
{
	const struct slice words[] = { SLICE("CLUSTER"), SLICE("SLOTS") };
	const struct redis_address *at = &r->nodes[node]->at;
	struct redis_reply reply = { 0 };
	struct redis_link *l;
	enum err_code rc;

	rc = redis_node_take(r, node, deadline_mono_ms, &l, e);
	if (rc)
		return rc;
	rc = redis_link_add(l, words, 2, e);
	if (!rc)
		rc = redis_link_flush(l, deadline_mono_ms, e);
	if (!rc)
		rc = redis_link_read(l, deadline_mono_ms, &reply, e);
	redis_node_give(r, node, l, !rc);
	if (!rc)
		rc = read_slots(r, &reply.value, at, e);
	redis_reply_fini(&reply);
	return rc ? redis_say(at, e) : ERR_OK;
}

/* Asks the nodes one after the other; those of the URL were the first to be made. */
static enum err_code ask_cluster(struct redis *r, int64_t deadline_mono_ms, struct err *e)
{
	enum err_code rc = ERR_STORE;
	size_t n, first;

	pthread_mutex_lock(&r->lock);
	n = r->nodes_n;
	first = r->sentinel;
	pthread_mutex_unlock(&r->lock);
	for (size_t i = 0; rc && i < n; i++) {
		int64_t now_ms = clock_mono_ms();
		int64_t until_ms = now_ms + (deadline_mono_ms - now_ms) / (i + 1 < n ? 2 : 1);
		size_t which = (first + i) % n;

		if (now_ms >= deadline_mono_ms)
			break;
		rc = ask_node(r, which, until_ms, e);
		if (!rc) {
			pthread_mutex_lock(&r->lock);
			r->sentinel = which;
			pthread_mutex_unlock(&r->lock);
		}
	}
	return rc;
}

/* Brings the slots up to date when they are old. Old ones do for who gets no better ones. */
static enum err_code refresh(
	struct redis *r, unsigned slot, int64_t deadline_mono_ms, struct err *e)
{
	int64_t now_ms = clock_mono_ms();
	struct err why = { 0 };
	enum err_code rc = ERR_OK;
	bool known, due;

	pthread_mutex_lock(&r->lock);
	known = r->slots[slot] != 0;
	due = !known || (r->slots_are_old && now_ms - r->slots_ms >= REFRESH_MS);
	if (due)
		rc = redis_pause_check(&r->lost, &why);
	if (due && !rc)
		r->slots_ms = now_ms;
	pthread_mutex_unlock(&r->lock);
	if (due && !rc) {
		rc = ask_cluster(r, deadline_mono_ms, &why);
		pthread_mutex_lock(&r->lock);
		if (rc)
			redis_pause_begin(&r->lost, &why);
		else
			redis_pause_end(&r->lost);
		pthread_mutex_unlock(&r->lock);
	}
	if (!rc || known)
		return ERR_OK;
	if (e)
		*e = why;
	return rc;
}

enum err_code redis_slot_node(
	struct redis *r, unsigned slot, int64_t deadline_mono_ms, size_t *node, struct err *e)
{
	enum err_code rc = refresh(r, slot, deadline_mono_ms, e);
	uint16_t n;

	*node = REDIS_NO_NODE;
	if (rc)
		return rc;
	pthread_mutex_lock(&r->lock);
	n = r->slots[slot];
	pthread_mutex_unlock(&r->lock);
	if (!n)
		return err_set(
			e, ERR_STORE, "Redis at %s: no node has slot %u", r->target.where, slot);
	*node = (size_t)n - 1;
	return ERR_OK;
}

enum err_code redis_moved(
	struct redis *r, struct slice text, size_t from, size_t *node, struct err *e)
{
	bool for_good = slice_starts(text, "MOVED ");
	struct redis_address at = r->nodes[from]->at;
	struct slice host, port = { NULL, 0 };
	enum err_code rc;
	int64_t slot, n;

	(void)slice_cut(&text, ' ');
	if (!str_int(slice_cut(&text, ' '), 0, REDIS_SLOTS - 1, &slot))
		return err_set(e, ERR_STORE, "a redirection that cannot be read");
	/* The last colon: an IPv6 address stands without brackets. */
	host = text;
	for (size_t i = text.len; i-- && !port.ptr;)
		if (text.ptr[i] == ':') {
			host = slice_first(text, i);
			port = slice_from(text, i + 1);
		}
	if (!str_int(port, 1, 65535, &n) ||
		(host.len && !slice_copy(host, at.host, sizeof(at.host))))
		return err_set(e, ERR_STORE, "a redirection that cannot be read");
	at.port = (uint16_t)n;
	rc = redis_node_at(r, &at, node, e);
	if (rc || !for_good)
		return rc;
	pthread_mutex_lock(&r->lock);
	r->slots[slot] = (uint16_t)(*node + 1);
	r->slots_are_old = true;
	pthread_mutex_unlock(&r->lock);
	return ERR_OK;
}

enum err_code redis_masters(struct redis *r, int64_t deadline_mono_ms,
	size_t nodes[REDIS_NODES_MAX], size_t *n, struct err *e)
{
	bool seen[REDIS_NODES_MAX + 1] = { true };
	enum err_code rc;

	*n = 0;
	rc = refresh(r, 0, deadline_mono_ms, e);
	if (rc)
		return rc;
	pthread_mutex_lock(&r->lock);
	for (size_t i = 0; i < REDIS_SLOTS; i++) {
		if (seen[r->slots[i]])
			continue;
		seen[r->slots[i]] = true;
		nodes[(*n)++] = (size_t)r->slots[i] - 1;
	}
	pthread_mutex_unlock(&r->lock);
	return ERR_OK;
}
