/* store/redis_wire.h - commands and answers as they go over a connection: the door to hiredis.
 *
 * Blocking: no. Threads: a reader belongs to one at a time.
 */
#ifndef STORE_REDIS_WIRE_H
#define STORE_REDIS_WIRE_H

#include "store/redis.h"

#define REDIS_COMMAND_MAX ((size_t)64 << 20) /* bytes of all that is sent at once */
#define REDIS_ANSWER_MAX  ((size_t)64 << 20) /* bytes of one answer */
#define REDIS_ITEMS_MAX   (1 << 20)          /* in all lists of one answer together */
#define REDIS_WORDS_MAX   100000             /* of one command */

/* Appends a command. ERR_RANGE: too long, or too many words. ERR_NO_MEMORY. */
MUST_CHECK enum err_code redis_wire_write(
	struct buf *out, const struct slice *words, size_t n, struct err *e);

struct redis_reader;

struct redis_reader *redis_reader_new(void); /* NULL: no memory */
void redis_reader_free(struct redis_reader *r);

/* Takes in what has come. ERR_IO: what came is no answer of Redis, or more than REDIS_ANSWER_MAX:
 * the connection is of no more use. */
MUST_CHECK enum err_code redis_reader_feed(
	struct redis_reader *r, struct slice bytes, struct err *e);
/* The next whole answer, if there is one: else *got is false. ERR_IO as above. */
MUST_CHECK enum err_code redis_reader_next(
	struct redis_reader *r, struct redis_reply *out, bool *got, struct err *e);
/* Nothing has come that was not read as an answer. */
bool redis_reader_is_empty(const struct redis_reader *r);

#endif
