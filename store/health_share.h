/* store/health_share.h - how providers fare, told between hosts by way of Redis.
 *
 * Each host keeps its own table (health.h), which requests look at; one process of it tells once a
 * second what changed here, and hears what changed elsewhere. What opens on one host is open on all
 * about a second later, and likewise what a probe closes; the last word counts. Times go as what is
 * left of them and are counted by the clock of Redis. Averages of first tokens are mixed by how
 * many each host has seen.
 *
 * In Redis, with one tag:
 *     PREFIX:{PREFIX}:health        a hash: name → the row, '#' → how many were told
 *     PREFIX:{PREFIX}:health:when   a sorted set: name, by the number of its last telling
 * Both expire when nobody told anything for two hours.
 *
 * Redis gone: nothing happens; what changed meanwhile is told afterwards.
 * Blocking: the tick, for one call of Redis. Threads: one for each struct.
 */
#ifndef STORE_HEALTH_SHARE_H
#define STORE_HEALTH_SHARE_H

#include "store/health.h"
#include "store/redis.h"

#define HEALTH_SHARE_MS 1000

struct health_share;

/* redis outlives it. home: of the host, for the lock that says which of its processes does it. */
MUST_CHECK enum err_code health_share_open(
	struct health_share **out, struct redis *redis, const char *home, struct err *e);
void health_share_close(struct health_share *s); /* NULL is fine */

/* Tells and hears, once in HEALTH_SHARE_MS, if this process is the one. h NULL: nothing. */
void health_share_tick(
	struct health_share *s, struct health *h, const struct health_conf *conf, int64_t mono_ms);

#endif
