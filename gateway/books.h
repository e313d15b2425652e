/* gateway/books.h - opens what outlives a request as the settings say: the ledger, the caches, and
 * the Redis that they may live in.
 */
#ifndef GATEWAY_BOOKS_H
#define GATEWAY_BOOKS_H

#include "base/conf.h"
#include "store/byok.h"
#include "store/flights.h"
#include "store/keys.h"
#include "store/ledger.h"
#include "store/redis.h"
#include "store/vectors.h"

/* The Redis of GATEWAY_STORE; NULL when that is gdbm. The same one for every caller of the process,
 * until books_close_redis(). ERR_CONF: it is neither. */
MUST_CHECK enum err_code books_redis(const struct conf *conf, struct redis **out, struct err *e);
/* Nothing that was opened with it is open any more. */
void books_close_redis(void);

/* GATEWAY_HOME is made when it is missing (0700), here and below. As ledger_open. */
MUST_CHECK enum err_code books_open(const struct conf *conf, struct ledger **out, struct err *e);

/* Keys (which hold the people), people alone, and users' provider keys; with a Redis as several
 * hosts have them in common, up to date if it can be reached. As keys_open, people_file_open and
 * byok_open. */
MUST_CHECK enum err_code books_keys(const struct conf *conf, struct keys **out, struct err *e);
MUST_CHECK enum err_code books_people(
	const struct conf *conf, struct people_file **out, struct err *e);
MUST_CHECK enum err_code books_byok(const struct conf *conf, struct byok **out, struct err *e);

/* Remembered answers, also while GATEWAY_CACHE_TTL is 0. As cache_open. */
MUST_CHECK enum err_code books_cache(const struct conf *conf, struct cache **out, struct err *e);

/* Requests in flight. As flights_open. */
MUST_CHECK enum err_code books_flights(
	const struct conf *conf, struct flights **out, struct err *e);

/* Remembered questions. As vectors_open. */
MUST_CHECK enum err_code books_vectors(
	const struct conf *conf, struct vectors **out, struct err *e);

#endif
