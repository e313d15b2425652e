/* store/redis.h - the door to Redis (and Valkey): the one file that calls hiredis.
 *
 * hiredis writes commands and reads answers; the sockets are ours, because Debian 12's hiredis
 * knows no TLS and no deadline for a whole call. Connections are made when they are needed, kept,
 * and shared by the threads of a process, one call at a time each.
 *
 * URLs: redis://[user[:password]@]host[:port][/db], rediss:// (TLS, verified),
 *   unix:///path[?db=N], redis+sentinel://[user:password@]host[:port],host2[:port]/master[/db]
 *   (rediss+sentinel: with TLS to the data nodes), redis+cluster://[user:password@]host[:port],…
 *   (rediss+cluster). User and password may be percent-encoded. Default port 6379 (Sentinel:
 *   26379).
 * A cluster's MOVED and ASK are followed; a Sentinel is asked for the master anew after a failure
 *   or a READONLY answer.
 *
 * Names of keys: the caller writes them whole, with redis_prefix() in front; what must be changed
 *   together has the same part in braces, so that a cluster keeps it in one slot.
 *
 * Errors: ERR_STORE: it cannot be reached, or did not answer in time: the call may or may not have
 *   been carried out, and the message names host and port, never user or password. ERR_IO: Redis
 *   answered with an error, whose text is in the message.
 * After a failure to connect, or three answers out of time (one, if there never was another),
 * nobody tries again for REDIS_PAUSE_MS: calls fail at once. Then one call tries. TLS: a
 * certificate must be for the host of the URL, or for what Sentinel or cluster call a node.
 * Blocking: up to timeout_ms a call, all reconnecting included. Threads: any. Never fork with one.
 */
#ifndef STORE_REDIS_H
#define STORE_REDIS_H

#include "base/buf.h"

#define REDIS_PAUSE_MS 500

struct redis;

struct redis_conf {
	const char *url;
	const char *prefix;  /* GATEWAY_STORE_PREFIX: 1..64 of [A-Za-z0-9._:-] */
	const char *ca_file; /* PEM instead of the system's; "" = the system's */
	int64_t timeout_ms;
};

/* Is this build with Redis at all? */
bool redis_is_built(void);

/* Reads the URL; nothing is dialled yet. ERR_CONF: malformed, or this build has no Redis. */
MUST_CHECK enum err_code redis_open(
	struct redis **out, const struct redis_conf *conf, struct err *e);
void redis_close(struct redis *r); /* NULL is fine */

const char *redis_prefix(const struct redis *r);
/* Host and port (or path) it was told, without user and password; for messages. */
const char *redis_where(const struct redis *r);
bool redis_is_cluster(const struct redis *r);
/* Of a call: what waits in Redis for something has to wait for less. */
int64_t redis_timeout_ms(const struct redis *r);

enum redis_kind { REDIS_NIL, REDIS_INTEGER, REDIS_STRING, REDIS_ARRAY, REDIS_ERROR };

struct redis_value {
	enum redis_kind kind;
	int64_t integer;
	struct slice text; /* of a string, status or error */
	struct redis_value *items;
	size_t count;
};

/* What came back; { 0 } to begin with, ended with redis_reply_fini. */
struct redis_reply {
	struct redis_value value;
	void *own;
};
void redis_reply_fini(struct redis_reply *r);

/* One command. key: which of the words is the key that says the slot, mostly 1; 0 = any node. */
MUST_CHECK enum err_code redis_call(struct redis *r, const struct slice *words, size_t n,
	size_t key, struct redis_reply *out, struct err *e);

/* One command of n words. */
struct redis_command {
	const struct slice *words;
	size_t n;
	size_t key;
};
/* Several in one round trip (in a cluster: one for each node); an answer of kind REDIS_ERROR is
 * that command's alone. The caller ends all n replies, also after an error. */
MUST_CHECK enum err_code redis_calls(struct redis *r, const struct redis_command *commands,
	size_t n, struct redis_reply *replies, struct err *e);

/* A script in Lua, by its checksum; it is sent whole when the server does not know it. A static one
 * of the caller, for good. */
struct redis_script {
	const char *text;
	char sha1[41]; /* made at first use */
};
/* Its checksum, for an EVALSHA among other commands; NOSCRIPT is then the caller's to see. */
const char *redis_script_sha1(struct redis_script *script);
/* keys_n keys, all in one slot, then arguments: words holds both. */
MUST_CHECK enum err_code redis_eval(struct redis *r, struct redis_script *script,
	const struct slice *words, size_t keys_n, size_t n, struct redis_reply *out, struct err *e);

/* The connection to a node with an address of its own, for commands that concern that node: in a
 * cluster calls f for every master, else once. For scans. */
MUST_CHECK enum err_code redis_each_node(struct redis *r,
	enum err_code (*f)(void *ctx, struct redis *r, size_t node, struct err *e), void *ctx,
	struct err *e);
/* One command to such a node. */
MUST_CHECK enum err_code redis_call_node(struct redis *r, size_t node, const struct slice *words,
	size_t n, struct redis_reply *out, struct err *e);

#endif
