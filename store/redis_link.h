/* store/redis_link.h - one connection to one Redis: commands out, answers in, within a deadline.
 *
 * Errors: ERR_STORE with the cause alone, without the name of the server. After one the link is of
 *   no use but to be closed: an answer may still be on its way.
 * Blocking: up to deadline_mono_ms. Threads: one at a time.
 */
#ifndef STORE_REDIS_LINK_H
#define STORE_REDIS_LINK_H

#include "store/redis.h"
#include "store/redis_url.h"

struct tls_context;
struct redis_link;

struct redis_link_conf {
	const struct redis_address *at;
	const struct redis_target *target; /* user, password and db; NULL = none of them */
	struct tls_context *tls;           /* NULL = none */
	bool needs_master;                 /* refuse a replica */
};

/* Dials, shakes hands, says who we are. */
MUST_CHECK enum err_code redis_link_open(struct redis_link **out,
	const struct redis_link_conf *conf, int64_t deadline_mono_ms, struct err *e);
void redis_link_close(struct redis_link *l);

/* Appends a command to what goes out. ERR_RANGE, ERR_NO_MEMORY: as redis_wire_write(). */
MUST_CHECK enum err_code redis_link_add(
	struct redis_link *l, const struct slice *words, size_t n, struct err *e);
MUST_CHECK enum err_code redis_link_flush(
	struct redis_link *l, int64_t deadline_mono_ms, struct err *e);
/* The answer to the oldest command that has none yet. */
MUST_CHECK enum err_code redis_link_read(
	struct redis_link *l, int64_t deadline_mono_ms, struct redis_reply *out, struct err *e);

/* May it be used for a next call: all is answered, nothing has come that nobody asked for, and it
 * was not closed at the other end? */
bool redis_link_is_clean(struct redis_link *l);

/* An error without the arguments that it repeats, and not too long for a message. */
struct slice redis_without_arguments(struct slice text);

/* For a list of those that wait for use. */
struct redis_link **redis_link_next(struct redis_link *l);
int64_t *redis_link_idle_since_ms(struct redis_link *l);

#endif
