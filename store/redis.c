#include "store/redis_inside.h"

#include "base/clock.h"
#include "base/crypto.h"
#include "base/tls.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define HOPS     6  /* redirections and second tries of one command */
#define AGAIN_MS 20 /* while a slot is on its way to another node */
#define FEW      4  /* commands that need no memory of the heap */

/* ---- opening ---- */

static bool prefix_is_valid(const char *prefix)
{
	size_t n = strspn(prefix, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
				  "0123456789._:-");

	return n >= 1 && n <= 64 && !prefix[n];
}

static enum err_code set_up(struct redis *r, const struct redis_conf *conf, struct err *e)
{
	enum err_code rc = redis_url_read(conf->url, &r->target, e);

	if (rc)
		return rc;
	if (!conf->prefix || !prefix_is_valid(conf->prefix))
		return err_set(e, ERR_CONF,
			"the prefix of names in Redis must be 1 to 64 of A-Z a-z 0-9 . _ : -");
	snprintf(r->prefix, sizeof(r->prefix), "%s", conf->prefix);
	r->timeout_ms = conf->timeout_ms;
	r->master = REDIS_NO_NODE;
	if (r->target.tls)
		rc = tls_context_new(&r->tls, conf->ca_file, e);
	if (rc)
		return rc;
	if (r->target.mode == REDIS_SINGLE)
		return redis_node_at(r, &r->target.at[0], &r->master, e);
	if (r->target.mode == REDIS_SENTINEL)
		return ERR_OK;
	r->slots = calloc(REDIS_SLOTS, sizeof(*r->slots));
	if (!r->slots)
		return err_set(e, ERR_NO_MEMORY, "no memory for the slots of Redis");
	for (size_t i = 0; !rc && i < r->target.at_n; i++) {
		size_t node;

		rc = redis_node_at(r, &r->target.at[i], &node, e);
	}
	return rc;
}

enum err_code redis_open(struct redis **out, const struct redis_conf *conf, struct err *e)
{
	enum err_code rc;
	struct redis *r;

	*out = NULL;
	if (!redis_is_built())
		return err_set(e, ERR_CONF,
			"this build is without Redis: install hiredis (Debian: libhiredis-dev) and "
			"build again");
	r = calloc(1, sizeof(*r));
	if (!r)
		return err_set(e, ERR_NO_MEMORY, "no memory for Redis");
	pthread_mutex_init(&r->lock, NULL);
	rc = set_up(r, conf, e);
	if (rc)
		redis_close(r);
	else
		*out = r;
	return rc;
}

void redis_close(struct redis *r)
{
	if (!r)
		return;
	redis_nodes_fini(r);
	tls_context_free(r->tls);
	redis_target_fini(&r->target);
	pthread_mutex_destroy(&r->lock);
	free(r->slots);
	free(r);
}

const char *redis_prefix(const struct redis *r)
{
	return r->prefix;
}

const char *redis_where(const struct redis *r)
{
	return r->target.where;
}

bool redis_is_cluster(const struct redis *r)
{
	return r->target.mode == REDIS_CLUSTER;
}

int64_t redis_timeout_ms(const struct redis *r)
{
	return r->timeout_ms;
}

/* ---- calling ---- */

/* A command on its way. */
struct errand {
	const struct redis_command *command;
	struct redis_reply *reply;
	size_t node;  /* where it goes; REDIS_NO_NODE = to be found out */
	size_t tried; /* could not be reached; REDIS_NO_NODE = none */
	size_t lane;
	bool asking; /* the node has the slot for this command only */
	bool done;
};

/* A connection that some of them share for one round trip. */
struct lane {
	size_t node;
	struct redis_link *link;
	enum err_code rc;
	bool unsent; /* rc is set, and nothing has gone out */
	struct err why;
};

struct round {
	struct redis *r;
	struct errand *errands;
	size_t n;
	struct lane *lanes; /* room for n */
	size_t lanes_n;
	int64_t deadline_ms;
	bool fixed; /* the node is given: no redirections */
	bool pause; /* before the next round */
	enum err_code rc;
	struct err why; /* of the first that failed */
};

static void fail(struct round *o, struct errand *it, enum err_code rc, const struct err *why)
{
	it->done = true;
	if (o->rc)
		return;
	o->rc = rc;
	o->why = *why;
}

/* Where does it go? */
static enum err_code find_node(struct round *o, struct errand *it, struct err *e)
{
	const struct redis_command *c = it->command;
	unsigned slot = c->key && c->key < c->n ? redis_slot(c->words[c->key]) : 0;

	if (it->node != REDIS_NO_NODE)
		return ERR_OK;
	if (o->r->target.mode == REDIS_CLUSTER)
		return redis_slot_node(o->r, slot, o->deadline_ms, &it->node, e);
	return redis_master(o->r, o->deadline_ms, &it->node, e);
}

/* The lane to that node, opened for the first that goes there. */
static size_t find_lane(struct round *o, size_t node)
{
	struct lane *l;
	size_t i;

	for (i = 0; i < o->lanes_n; i++)
		if (o->lanes[i].node == node)
			return i;
	o->lanes_n++;
	l = &o->lanes[i];
	*l = (struct lane){ .node = node };
	l->rc = redis_node_take(o->r, node, o->deadline_ms, &l->link, &l->why);
	l->unsent = l->rc != ERR_OK;
	return i;
}

static void load(struct round *o, struct errand *it)
{
	const struct slice asking = SLICE("ASKING");
	struct err why = { 0 };
	struct lane *l;
	enum err_code rc;

	rc = find_node(o, it, &why);
	if (rc) {
		fail(o, it, rc, &why);
		return;
	}
	it->lane = find_lane(o, it->node);
	l = &o->lanes[it->lane];
	if (!l->rc && it->asking)
		l->rc = redis_link_add(l->link, &asking, 1, &l->why);
	if (!l->rc)
		l->rc = redis_link_add(l->link, it->command->words, it->command->n, &l->why);
}

/* Nothing of it went out: it may be tried at another node, if there is one. */
static void not_sent(struct round *o, struct errand *it, const struct lane *l)
{
	if (o->fixed || o->r->target.mode == REDIS_SINGLE || it->tried == it->node ||
		clock_mono_ms() >= o->deadline_ms) {
		fail(o, it, l->rc, &l->why);
		return;
	}
	it->tried = it->node;
	it->node = REDIS_NO_NODE;
	it->asking = false;
}

static void again_at(struct errand *it, size_t node, bool asking)
{
	redis_reply_fini(it->reply);
	it->node = node;
	it->asking = asking;
}

/* Errors that say that a node cannot serve anybody now. */
static bool is_unable(struct slice text)
{
	static const char *const words[] = { "LOADING ", "CLUSTERDOWN ", "MASTERDOWN ", "READONLY ",
		"TRYAGAIN ", "MOVED ", "ASK ", "MISCONF ", "OOM ", "BUSY ", "NOREPLICAS ",
		"NOAUTH " };

	for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++)
		if (slice_starts(text, words[i]))
			return true;
	return false;
}

static void judge(struct round *o, struct errand *it)
{
	struct slice text = it->reply->value.text;
	enum redis_mode mode = o->r->target.mode;
	struct err why = { 0 };
	enum err_code rc;
	size_t node;

	it->done = it->reply->value.kind != REDIS_ERROR || !is_unable(text);
	if (it->done)
		return;
	rc = err_set(&why, ERR_STORE, "it answers %.*s", SLICE_ARG(redis_without_arguments(text)));
	if (mode == REDIS_CLUSTER && !o->fixed &&
		(slice_starts(text, "MOVED ") || slice_starts(text, "ASK "))) {
		bool asking = slice_starts(text, "ASK ");

		rc = redis_moved(o->r, text, it->node, &node, &why);
		if (!rc) {
			again_at(it, node, asking);
			return;
		}
	} else if (mode == REDIS_CLUSTER && !o->fixed && slice_starts(text, "TRYAGAIN ")) {
		again_at(it, it->node, it->asking);
		o->pause = true;
		return;
	} else if (mode == REDIS_SENTINEL && slice_starts(text, "READONLY ")) {
		redis_suspect(o->r, it->node);
		again_at(it, REDIS_NO_NODE, false);
		o->pause = true;
		return;
	}
	if (mode == REDIS_CLUSTER)
		redis_suspect(o->r, it->node);
	if (rc)
		redis_say(&o->r->nodes[it->node]->at, &why);
	fail(o, it, ERR_STORE, &why);
}

static void collect(struct round *o, struct errand *it)
{
	struct lane *l = &o->lanes[it->lane];

	if (!l->rc && it->asking) {
		l->rc = redis_link_read(l->link, o->deadline_ms, it->reply, &l->why);
		redis_reply_fini(it->reply);
	}
	if (!l->rc)
		l->rc = redis_link_read(l->link, o->deadline_ms, it->reply, &l->why);
	if (!l->rc) {
		judge(o, it);
	} else if (l->unsent) {
		not_sent(o, it, l);
	} else {
		if (l->rc == ERR_STORE)
			redis_say(&o->r->nodes[l->node]->at, &l->why);
		fail(o, it, l->rc, &l->why);
	}
}

/* One round trip for all that are not done: everything goes out before anything is read. */
static void go_round(struct round *o)
{
	o->lanes_n = 0;
	o->pause = false;
	for (size_t i = 0; i < o->n; i++)
		if (!o->errands[i].done)
			load(o, &o->errands[i]);
	for (size_t i = 0; i < o->lanes_n; i++) {
		struct lane *l = &o->lanes[i];

		if (!l->rc)
			l->rc = redis_link_flush(l->link, o->deadline_ms, &l->why);
	}
	for (size_t i = 0; i < o->n; i++)
		if (!o->errands[i].done)
			collect(o, &o->errands[i]);
	for (size_t i = 0; i < o->lanes_n; i++) {
		struct lane *l = &o->lanes[i];

		if (l->rc)
			redis_suspect(o->r, l->node);
		if (l->link)
			redis_node_give(o->r, l->node, l->link, !l->rc);
	}
}

static bool all_done(const struct round *o)
{
	for (size_t i = 0; i < o->n; i++)
		if (!o->errands[i].done)
			return false;
	return true;
}

static void sleep_ms(int64_t ms)
{
	struct timespec t = { .tv_nsec = ms * 1000000 };

	(void)nanosleep(&t, NULL);
}

/* node: REDIS_NO_NODE = whoever has the key. */
static enum err_code carry_out(struct redis *r, size_t node, const struct redis_command *commands,
	size_t n, struct redis_reply *replies, struct err *e)
{
	struct errand few_errands[FEW];
	struct lane few_lanes[FEW];
	struct round o = { .r = r,
		.errands = few_errands,
		.lanes = few_lanes,
		.n = n,
		.deadline_ms = clock_mono_ms() + r->timeout_ms,
		.fixed = node != REDIS_NO_NODE };

	if (n > FEW) {
		o.errands = malloc(n * sizeof(*o.errands));
		o.lanes = malloc(n * sizeof(*o.lanes));
	}
	if (!o.errands || !o.lanes) {
		o.rc = err_set(&o.why, ERR_NO_MEMORY, "no memory for %zu commands to Redis", n);
		goto out;
	}
	for (size_t i = 0; i < n; i++)
		o.errands[i] = (struct errand){ .command = &commands[i],
			.reply = &replies[i],
			.node = node,
			.tried = REDIS_NO_NODE };
	for (int hop = 0; hop < HOPS && !all_done(&o); hop++) {
		if (o.pause)
			sleep_ms(AGAIN_MS);
		go_round(&o);
	}
	if (!o.rc && !all_done(&o))
		o.rc = err_set(&o.why, ERR_STORE,
			"Redis at %s: its nodes do not agree who is to answer", r->target.where);
out:
	if (o.errands != few_errands)
		free(o.errands);
	if (o.lanes != few_lanes)
		free(o.lanes);
	if (o.rc && e)
		*e = o.why;
	return o.rc;
}

static enum err_code judge_one(const struct redis *r, const struct redis_reply *out, struct err *e)
{
	if (out->value.kind != REDIS_ERROR)
		return ERR_OK;
	return err_set(e, ERR_IO, "Redis at %s answers %.*s", r->target.where,
		SLICE_ARG(redis_without_arguments(out->value.text)));
}

enum err_code redis_call(struct redis *r, const struct slice *words, size_t n, size_t key,
	struct redis_reply *out, struct err *e)
{
	const struct redis_command command = { words, n, key };
	enum err_code rc = carry_out(r, REDIS_NO_NODE, &command, 1, out, e);

	return rc ? rc : judge_one(r, out, e);
}

enum err_code redis_calls(struct redis *r, const struct redis_command *commands, size_t n,
	struct redis_reply *replies, struct err *e)
{
	return carry_out(r, REDIS_NO_NODE, commands, n, replies, e);
}

/* ---- scripts ---- */

const char *redis_script_sha1(struct redis_script *script)
{
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	uint8_t sum[SHA1_BYTES];

	pthread_mutex_lock(&lock);
	if (!script->sha1[0]) {
		crypto_sha1(slice_of(script->text), sum);
		crypto_hex(sum, sizeof(sum), script->sha1);
	}
	pthread_mutex_unlock(&lock);
	return script->sha1;
}

enum err_code redis_eval(struct redis *r, struct redis_script *script, const struct slice *words,
	size_t keys_n, size_t n, struct redis_reply *out, struct err *e)
{
	struct slice few[FEW * 4], *all = few;
	struct redis_command command = { .n = n + 3, .key = keys_n ? 3 : 0 };
	char count[24];
	enum err_code rc;

	if (n + 3 > sizeof(few) / sizeof(*few))
		all = malloc((n + 3) * sizeof(*all));
	if (!all)
		return err_set(e, ERR_NO_MEMORY, "no memory for a script of Redis");
	snprintf(count, sizeof(count), "%zu", keys_n);
	all[0] = SLICE("EVALSHA");
	all[1] = slice_of(redis_script_sha1(script));
	all[2] = slice_of(count);
	if (n)
		memcpy(all + 3, words, n * sizeof(*all));
	command.words = all;
	rc = carry_out(r, REDIS_NO_NODE, &command, 1, out, e);
	if (!rc && out->value.kind == REDIS_ERROR && slice_starts(out->value.text, "NOSCRIPT")) {
		redis_reply_fini(out);
		all[0] = SLICE("EVAL");
		all[1] = slice_of(script->text);
		rc = carry_out(r, REDIS_NO_NODE, &command, 1, out, e);
	}
	if (all != few)
		free(all);
	return rc ? rc : judge_one(r, out, e);
}

/* ---- nodes ---- */

enum err_code redis_each_node(struct redis *r,
	enum err_code (*f)(void *ctx, struct redis *r, size_t node, struct err *e), void *ctx,
	struct err *e)
{
	int64_t deadline_ms = clock_mono_ms() + r->timeout_ms;
	size_t nodes[REDIS_NODES_MAX], n = 1;
	enum err_code rc;

	if (redis_is_cluster(r))
		rc = redis_masters(r, deadline_ms, nodes, &n, e);
	else
		rc = redis_master(r, deadline_ms, nodes, e);
	for (size_t i = 0; !rc && i < n; i++)
		rc = f(ctx, r, nodes[i], e);
	return rc;
}

enum err_code redis_call_node(struct redis *r, size_t node, const struct slice *words, size_t n,
	struct redis_reply *out, struct err *e)
{
	const struct redis_command command = { words, n, 0 };
	enum err_code rc = carry_out(r, node, &command, 1, out, e);

	return rc ? rc : judge_one(r, out, e);
}
